"""`soc notices`: new, list, show, approve, send, remind, ack, answer, unanswered, overdue, export, withdraw."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.cli import _export, _record, _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._session import Session, pass_session
from soc.errors import NotAllowed, Phrase
from soc.i18n import gettext as _
from soc.incidents.classes import ANSWERS, NOTICE_CHANNELS, TLP

if TYPE_CHECKING:
    from soc.incidents.notices import Notice, Recipient
    from soc.model.fact import Behalf


@click.group(help=_("Warning notices to agencies, followed until each has answered."))
def command() -> None:
    """The noun."""


def _word(state: str) -> str:
    words = {
        "draft": _("Draft"),
        "approved": _("Approved"),
        "sent": _("Sent"),
        "withdrawn": _("Withdrawn"),
        "waiting": _("not sent"),
        "received": _("received"),
        "acted": _("acted"),
        "verified": _("verified"),
    }
    return words.get(state, state)


def item(notice: Notice) -> dict[str, Any]:
    """A notice as the JSON of lists."""
    counts = Counter(one.state for one in notice.recipients)
    return {
        "id": notice.id,
        "state": notice.state,
        "subject": notice.subject,
        "number": notice.number,
        "due_at": notice.due_at,
        "incident": notice.incident,
        "recipients": len(notice.recipients),
        "counts": {state: counts.get(state, 0) for state in ("waiting", "sent", "received", "acted", "verified")},
        "unanswered": len(notice.unanswered()),
        "scope": notice.scope,
        "version": notice.version,
    }


def _answer(session: Session, notice: Notice, as_json: bool) -> None:
    if as_json:
        write_json({"schema_version": 1, "kind": "notice", "item": item(notice)})
        return
    found = item(notice)
    session.out.text(f"{notice.id}  {_word(notice.state)}  {notice.subject}", "bold")
    counts = "  ".join(f"{_word(state)}: {count}" for state, count in found["counts"].items() if count)
    session.out.text("  " + _("{count} recipients").format(count=found["recipients"]) + "  " + counts)
    if notice.urgent and not notice.confirmed:
        session.out.text("  ✖ " + _("sent on the word of {name}; the written confirmation is still due").format(name=notice.signer), "yellow")


@command.command(help=_("Draft a notice. Recipients: --to, --below, and the agencies of --annex (a table with the columns agency, item)."))
@click.argument("subject")
@click.option("--body", default="", metavar="TEXT", help=_("What happened, what is known."))
@click.option("--action", default="", metavar="TEXT", help=_("What recipients are asked to do."))
@click.option("--due", "due_at", default="", metavar="TIME", help=_("Until when: 3d (from now), or a day, or a time."))
@click.option("--tlp", type=click.Choice(TLP, case_sensitive=False), default="AMBER", show_default=True, help=_("Traffic Light Protocol 2.0."))
@click.option("--incident", default="", metavar="ID", help=_("The incident that it belongs to."))
@click.option("--to", "to", multiple=True, metavar="ID", help=_("An agency (may be repeated)."))
@click.option("--below", "below", multiple=True, metavar="ID", help=_("An agency with all below it (may be repeated)."))
@click.option("--annex", type=click.Path(path_type=Path, exists=True, dir_okay=False), help=_("What concerns each agency only: its mailboxes, its machines."))
@click.option("--scope", default="real", metavar="SCOPE", help=_("real, or exercise:<id>."))
@json_option
@pass_session
def new(
    session: Session,
    subject: str,
    body: str,
    action: str,
    due_at: str,
    tlp: str,
    incident: str,
    to: tuple[str, ...],
    below: tuple[str, ...],
    annex: Path | None,
    scope: str,
    as_json: bool,
) -> None:
    """Draft a notice."""
    from soc.application import notices

    app = session.app()
    own = notices.read_annex(annex) if annex is not None else {}
    due = _record.ahead(session, due_at)
    made = notices.draft(app, subject, body=body, action=action, due_at=due, tlp=tlp, incident=incident, to=to, below=below, annex=own, scope=scope)
    _answer(session, made, as_json)
    if not as_json:
        session.out.say(_("Next: soc notices export {id} FOLDER, have it signed, soc notices approve {id} --signer NAME").format(id=made.id))


@command.command("list", help=_("List notices, the newest first."))
@click.option("--open", "open_only", is_flag=True, help=_("Only those that somebody still has to act on."))
@click.option("--scope", default="real", metavar="SCOPE", help=_("real (default), exercise:<id>, or all."))
@list_options
@pass_session
def list_command(session: Session, open_only: bool, scope: str, form: str | None, fields: tuple[str, ...]) -> None:
    """List notices."""
    from soc.application import notices

    found = notices.listed(session.app(), scope=None if scope == "all" else scope, open_only=open_only)
    zone = session.settings.timezone
    columns = [
        Column("id", "ID", whole=True),
        Column("state", _("State"), lambda one: _word(one["state"])),
        Column("subject", _("Subject"), most=80),
        Column("number", _("Number")),
        Column("due_at", _("Due"), lambda one: _show.when(one["due_at"], zone), whole=True),
        Column("recipients", _("Recipients"), right=True),
        Column("unanswered", _("No answer"), right=True),
    ]
    session.out.items("notices", [item(one) for one in found], columns, form=form, fields=fields)
    if not found:
        session.out.say(_("no notices; to draft one: soc notices new SUBJECT --to AGENCY"))


@command.command(help=_("Show a notice and how far each recipient is. ID may be the number alone."))
@click.argument("id")
@json_option
@pass_session
def show(session: Session, id: str, as_json: bool) -> None:
    """Show a notice."""
    import msgspec

    from soc.application import notices

    notice = notices.get(session.app(), id)
    if as_json:
        write_json({"schema_version": 1, "kind": "notice", "item": {**msgspec.to_builtins(notice), "unanswered": [one.agency for one in notice.unanswered()]}})
        return
    _answer(session, notice, as_json=False)
    zone = session.settings.timezone
    for title, value in (
        (_("Due"), _show.when(notice.due_at, zone)),
        (_("Number"), notice.number),
        (_("Signer"), notice.signer),
        (_("Incident"), notice.incident),
        (_("Reason"), notice.reason),
    ):
        if value:
            session.out.text(f"  {title:<12} {value}")
    for text in (notice.body, notice.action):
        if text:
            session.out.text("\n" + "\n".join(session.out.folded(line, indent="  ") for line in text.split("\n")))
    session.out.text("")
    for one in notice.recipients:
        _tell(session, one)


def _tell(session: Session, one: Recipient) -> None:
    zone = session.settings.timezone
    marks = {"waiting": "·", "sent": "○", "received": "◔", "acted": "✔", "verified": "✔"}
    last = one.answers[-1] if one.answers else {}
    said = " ".join(filter(None, (last.get("text", ""), _("on behalf of {name}").format(name=last["behalf"]) if last.get("behalf") else "")))
    reminded = _("{count} reminders").format(count=one.reminders) if one.reminders else ""
    parts = (f"  {marks[one.state]} {one.agency:<16} {_word(one.state)}", _show.when(one.at.get(one.state, ""), zone), reminded, said, f"[{one.code}]")
    session.out.text(session.out.folded("  ".join(filter(None, parts)), more="      "))


@command.command(help=_("Record that a notice was signed: by another person than its author, with number and date; --urgent: on a named person's word."))
@click.argument("id")
@click.option("--signer", required=True, metavar="NAME", help=_("Who signed, or on whose word it goes out."))
@click.option("--number", default="", metavar="TEXT", help=_("Number and sign of the document."))
@click.option("--signed-on", default="", metavar="DATE", help=_("Date of the signature (2026-11-21)."))
@click.option("--urgent", is_flag=True, help=_("Without a signature yet; the written confirmation follows."))
@json_option
@pass_session
def approve(session: Session, id: str, signer: str, number: str, signed_on: str, urgent: bool, as_json: bool) -> None:
    """Approve a notice."""
    from soc.application import notices

    _answer(session, notices.approve(session.app(), id, signer=signer, number=number, signed_on=signed_on, urgent=urgent), as_json)


def _sending(remind: bool) -> Any:
    @click.argument("id")
    @click.option("--channel", type=click.Choice(NOTICE_CHANNELS), default="document", show_default=True, help=_("How it went."))
    @click.option("--to", "to", multiple=True, metavar="ID", help=_("Only to this agency (may be repeated)."))
    @click.option("--at", "at", default="", metavar="TIME", help=_("When; default: now."))
    @click.option("--reference", default="", metavar="TEXT", help=_("Number of the sending."))
    @json_option
    @pass_session
    def carry_out(session: Session, id: str, channel: str, to: tuple[str, ...], at: str, reference: str, as_json: bool) -> None:
        """Record a sending."""
        from soc.application import notices

        _answer(session, notices.send(session.app(), id, channel=channel, to=to, at=_record.past(session, at), reference=reference, remind=remind), as_json)

    return carry_out


command.command("send", help=_("Record that a notice went out to those who wait for it, or to those named."))(_sending(remind=False))
command.command("remind", help=_("Record a reminder to those who have not acted, or to those named."))(_sending(remind=True))


@command.command(help=_("Record an answer by the code on the letter: received, or with --state acted what was done."))
@click.argument("code")
@click.option("--state", type=click.Choice(ANSWERS), default="received", show_default=True, help=_("What the answer says."))
@click.option("--text", default="", metavar="TEXT", help=_("What they said."))
@json_option
@pass_session
@_record.behalf_options
def ack(session: Session, code: str, state: str, text: str, behalf: Behalf | None, as_json: bool) -> None:
    """Record an answer by code."""
    from soc.application import notices

    notice, agency = notices.acknowledge(session.app(), code, state=state, text=text, behalf=behalf)
    if not as_json:
        session.out.text(f"{agency}  {_word(state)}")
    _answer(session, notice, as_json)


@command.command(help=_("Record what an agency did: received, acted, or verified by us."))
@click.argument("id")
@click.argument("agency")
@click.argument("state", type=click.Choice(ANSWERS))
@click.option("--text", default="", metavar="TEXT", help=_("What they said."))
@click.option("--at", "at", default="", metavar="TIME", help=_("When; default: now."))
@json_option
@pass_session
@_record.behalf_options
def answer(session: Session, id: str, agency: str, state: str, text: str, at: str, behalf: Behalf | None, as_json: bool) -> None:
    """Record an answer."""
    from soc.application import notices

    _answer(session, notices.answer(session.app(), id, agency, state, text=text, at=_record.past(session, at), behalf=behalf), as_json)


def _rows(session: Session, found: list[tuple[Notice, Recipient]], kind: str, form: str | None, fields: tuple[str, ...]) -> None:
    zone = session.settings.timezone
    items = [
        {
            "notice": notice.id,
            "agency": one.agency,
            "state": one.state,
            "subject": notice.subject,
            "sent_at": one.at.get("sent", ""),
            "due_at": notice.due_at,
            "reminders": one.reminders,
            "code": one.code,
        }
        for notice, one in found
    ]
    columns = [
        Column("agency", _("Agency"), whole=True),
        Column("notice", _("Notice"), whole=True),
        Column("state", _("State"), lambda one: _word(one["state"])),
        Column("subject", _("Subject"), most=60),
        Column("sent_at", _("Sent"), lambda one: _show.when(one["sent_at"], zone), whole=True),
        Column("due_at", _("Due"), lambda one: _show.when(one["due_at"], zone), whole=True),
        Column("reminders", _("Reminders"), right=True),
    ]
    session.out.items(kind, items, columns, form=form, fields=fields)


@command.command(help=_("Agencies that never answered: of one notice, or of all."))
@click.argument("id", required=False, default="")
@list_options
@pass_session
def unanswered(session: Session, id: str, form: str | None, fields: tuple[str, ...]) -> int:
    """List who never answered."""
    from soc.application import notices

    app = session.app()
    chosen = [notices.get(app, id)] if id else notices.listed(app)
    found = [(notice, one) for notice in chosen for one in notice.unanswered()]
    _rows(session, found, "unanswered", form, fields)
    if not found:
        session.out.say(_("everybody has answered"))
    return 1 if found else 0


@command.command(help=_("Agencies that should have acted by now and have not."))
@list_options
@pass_session
def overdue(session: Session, form: str | None, fields: tuple[str, ...]) -> int:
    """List who is overdue."""
    from soc.application import notices

    found = notices.overdue(session.app())
    _rows(session, found, "overdue", form, fields)
    if not found:
        session.out.say(_("nothing is overdue"))
    return 1 if found else 0


@command.command(help=_("Write each recipient's letter, with its own annex and code, as a text file into FOLDER."))
@click.argument("id")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@pass_session
def export(session: Session, id: str, folder: Path) -> None:
    """Write the letters."""
    from soc.application import notices

    written = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotAllowed(Phrase("{path} cannot be written: {strerror}", path=folder, strerror=error.strerror)) from error
    for agency, text in notices.letters(session.app(), id):
        # An agency's id holds letters, digits and `._-` only (the registry checks it); without registry it may be anything.
        name = "".join(character if character.isalnum() or character in "._-" else "_" for character in agency).lstrip(".") or "_"
        with _export.new_file(folder / f"{name}.txt", hint="give an empty folder") as file:
            file.write(text.encode())
        written += 1
    session.out.say(_("{count} letters in {folder}").format(count=written, folder=folder))


@command.command(help=_("Withdraw a notice; what was sent stays on the record."))
@click.argument("id")
@click.option("--reason", required=True, metavar="TEXT", help=_("Why, for the record."))
@json_option
@pass_session
def withdraw(session: Session, id: str, reason: str, as_json: bool) -> None:
    """Withdraw a notice."""
    from soc.application import notices

    _answer(session, notices.withdraw(session.app(), id, reason=reason), as_json)
