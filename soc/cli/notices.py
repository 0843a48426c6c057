"""`soc notices`: from the draft to the last answer; sending in `_notices_send`, answers by mail in `_replies`."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soc.cli import _export, _notices_send, _notices_show, _record, _replies, _show
from soc.cli._io import Column, csv_line, json_option, list_options, write_json
from soc.cli._session import Session, pass_session
from soc.errors import NotAllowed, Phrase
from soc.i18n import gettext as _
from soc.incidents.classes import ANSWERS, TLP

if TYPE_CHECKING:
    from soc.model.fact import Behalf

REGISTER = "register.csv"


@click.group(help=_("Warning notices to agencies, followed until each has answered."))
def command() -> None:
    """The noun."""


command.add_command(_notices_send.send)
command.add_command(_notices_send.remind)
command.add_command(_notices_send.second_letter)
command.add_command(_replies.replies)

_ANNEX = _("What concerns each agency only (mailboxes, machines): a table with the columns agency, item; whose mailbox it is the registry knows.")


@command.command(
    help=_record.example(
        _("Draft a notice. Recipients: --to, --below, and the agencies of --annex (a table with the columns agency, item)."),
        "soc notices new 'Lỗ hổng Zimbra' --to so-yt --annex annex.csv --due 5d",
    )
)
@click.argument("subject")
@click.option("--body", default="", metavar="TEXT", help=_("What happened, what is known."))
@click.option("--action", default="", metavar="TEXT", help=_("What recipients are asked to do."))
@click.option("--due", "due_at", default="", metavar="TIME", help=_("Until when: 3d (from now), or a day, or a time."))
@click.option("--tlp", type=click.Choice(TLP, case_sensitive=False), default="AMBER", show_default=True, help=_("Traffic Light Protocol 2.0."))
@click.option("--incident", default="", metavar="ID", help=_("The incident that it belongs to."))
@click.option("--to", "to", multiple=True, metavar="ID", help=_("An agency (may be repeated)."))
@click.option("--below", "below", multiple=True, metavar="ID", help=_("An agency with all below it (may be repeated)."))
@click.option("--annex", type=click.Path(path_type=Path, exists=True, dir_okay=False), help=_ANNEX)
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
    own = notices.read_annex(app, annex) if annex is not None else {}
    due = _record.ahead(session, due_at)
    made = notices.draft(app, subject, body=body, action=action, due_at=due, tlp=tlp, incident=incident, to=to, below=below, annex=own, scope=scope)
    _notices_show.answer(session, made, as_json)
    if not as_json:
        session.out.say(_("Next: soc notices export {id} FOLDER, have it signed, soc notices approve {id} --signer NAME").format(id=made.id))


@command.command(help=_record.example(_("Change the texts of a draft."), "soc notices edit 7 --due 2d"))
@click.argument("id")
@click.option("--subject", default="", metavar="TEXT", help=_("Another subject."))
@click.option("--body", default="", metavar="TEXT", help=_("What happened, what is known."))
@click.option("--action", default="", metavar="TEXT", help=_("What recipients are asked to do."))
@click.option("--due", "due_at", default="", metavar="TIME", help=_("Until when: 3d (from now), or a day, or a time."))
@click.option("--tlp", type=click.Choice(TLP, case_sensitive=False), help=_("Traffic Light Protocol 2.0."))
@json_option
@pass_session
def edit(session: Session, id: str, subject: str, body: str, action: str, due_at: str, tlp: str | None, as_json: bool) -> None:
    """Change a draft."""
    from soc.application import notices

    due = _record.ahead(session, due_at)
    _notices_show.answer(session, notices.edit(session.app(), id, subject=subject, body=body, action=action, due_at=due, tlp=tlp or ""), as_json)


@command.command("list", help=_record.example(_("List notices, the newest first."), "soc notices list --open"))
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
        Column("state", _("State"), lambda one: _notices_show.word(one["state"])),
        Column("subject", _("Subject"), most=80),
        Column("number", _("Number")),
        Column("due_at", _("Due"), lambda one: _show.when(one["due_at"], zone), whole=True),
        Column("recipients", _("Recipients"), right=True),
        Column("unanswered", _("No answer"), right=True),
    ]
    session.out.items("notices", [_notices_show.item(one) for one in found], columns, form=form, fields=fields)
    if not found:
        session.out.say(_("no notices; to draft one: soc notices new SUBJECT --to AGENCY"))


@command.command(
    help=_record.example(_("Show a notice, how far each recipient is, and what became of its mails. ID may be the number alone."), "soc notices show 7")
)
@click.argument("id")
@json_option
@pass_session
def show(session: Session, id: str, as_json: bool) -> None:
    """Show a notice."""
    import msgspec

    from soc.application import notices, notices_send
    from soc.application.recipients import contacts

    app = session.app()
    notice = notices.get(app, id)
    mails = notices_send.deliveries(app, notice)
    if as_json:
        whole = {key: value for key, value in msgspec.to_builtins(notice).items() if key not in ("salt", "orders")}
        more = {"unanswered": [one.agency for one in notice.unanswered()], "deliveries": msgspec.to_builtins(mails)}
        write_json({"schema_version": 1, "kind": "notice", "item": {**whole, **more}})
        return
    _notices_show.answer(session, notice, as_json=False)
    zone = session.settings.timezone
    for title, value in (
        (_("Due"), _show.when(notice.due_at, zone)),
        (_("Number"), notice.number),
        (_("Signer"), notice.signer),
        (_("Hash"), notice.sha256),
        (_("Incident"), notice.incident),
        (_("Warning"), notice.warning),
        (_("Second letter"), ", ".join(f"{one.number} {one.on}" for one in notice.second)),
        (_("Reason"), notice.reason),
    ):
        if value:
            session.out.text(f"  {title:<12} {value}")
    for text in (notice.body, notice.action):
        if text:
            session.out.text("\n" + "\n".join(session.out.folded(line, indent="  ") for line in text.split("\n")))
    session.out.text("")
    known = contacts(app, {one.agency for one in notice.recipients})
    for one in notice.recipients:
        _notices_show.tell(session, one, [mail for mail in mails if mail.agency == one.agency], known[one.agency][0])


@command.command(
    help=_record.example(
        _("Record that a notice was signed: by another person than its author, with number and date; --urgent: on a named person's word."),
        "soc notices approve 7 --signer 'Giám đốc' --number 12/CB-SKHCN --signed-on 2026-11-21 --signed-file cb.pdf",
    )
)
@click.argument("id")
@click.option("--signer", required=True, metavar="NAME", help=_("Who signed, or on whose word it goes out."))
@click.option("--number", default="", metavar="TEXT", help=_("Number and sign of the document."))
@click.option("--signed-on", default="", metavar="DATE", help=_("Date of the signature (2026-11-21)."))
@click.option("--signed-file", type=click.Path(path_type=Path, dir_okay=False), help=_("The signed document, as it came back: it is kept with its hash."))
@click.option("--urgent", is_flag=True, help=_("Without a signature yet; the written confirmation is due the next working day."))
@json_option
@pass_session
@_record.behalf_options
def approve(
    session: Session, id: str, signer: str, number: str, signed_on: str, signed_file: Path | None, urgent: bool, behalf: Behalf | None, as_json: bool
) -> None:
    """Approve a notice."""
    from soc.application import notices

    found = notices.approve(session.app(), id, signer=signer, number=number, signed_on=signed_on, signed_file=signed_file, urgent=urgent, behalf=behalf)
    _notices_show.answer(session, found, as_json)


@command.command(
    help=_record.example(
        _("Urgent notices whose written confirmation is still due, and until when; exit code 1 when one is overdue."), "soc notices confirmations"
    )
)
@list_options
@pass_session
def confirmations(session: Session, form: str | None, fields: tuple[str, ...]) -> int:
    """List confirmations that are due."""
    from soc.application import notices

    found = notices.confirmations(session.app())
    items = [
        {"notice": one.notice.id, "subject": one.notice.subject, "signer": one.notice.signer, "due": one.due.isoformat(), "overdue": one.overdue}
        for one in found
    ]
    columns = [
        Column("notice", _("Notice"), whole=True),
        Column("subject", _("Subject"), most=60),
        Column("signer", _("On the word of")),
        Column("due", _("Due"), lambda item: item["due"] + (" " + _("OVERDUE") if item["overdue"] else ""), whole=True),
    ]
    session.out.items("confirmations", items, columns, form=form, fields=fields)
    if not items:
        session.out.say(_("no written confirmation is due"))
    return 1 if any(one.overdue for one in found) else 0


@command.command(
    help=_record.example(
        _("Show whether a notice needs two people (author and signer), or change it for a team of one; both are facts."),
        "soc notices approval --one-person --reason 'đội một người'",
    )
)
@click.option("--two-people/--one-person", "required", default=None, help=_("The rule from now on."))
@click.option("--reason", default="", metavar="TEXT", help=_("Why, for the record."))
@json_option
@pass_session
def approval(session: Session, required: bool | None, reason: str, as_json: bool) -> None:
    """Show or change the rule."""
    from soc.application import approval as application

    app = session.app()
    rule = application.rule(app) if required is None else application.set_two_person(app, required, reason=reason)
    if as_json:
        write_json({"schema_version": 1, "kind": "approval", "item": rule._asdict()})
        return
    session.out.text(_("two people: the author does not sign") if rule.two_person else _("one person may write and sign"))
    if rule.at:
        session.out.say(_("set by {name}, {time}: {reason}").format(name=rule.by, time=_show.when(rule.at, session.settings.timezone), reason=rule.reason))


@command.command(
    help=_record.example(
        _("Record an answer by the code on the letter: received, or with --state acted what was done."),
        "soc notices ack ABCD2345 --state acted --on-behalf 'Chị Hoa' --by telephone",
    )
)
@click.argument("code")
@click.option("--state", type=click.Choice(ANSWERS), default="received", show_default=True, help=_("What the answer says."))
@click.option("--text", default="", metavar="TEXT", help=_("What they said."))
@click.option("--at", "at", default="", metavar="TIME", help=_("When; default: now."))
@json_option
@pass_session
@_record.behalf_options
def ack(session: Session, code: str, state: str, text: str, at: str, behalf: Behalf | None, as_json: bool) -> None:
    """Record an answer by code."""
    from soc.application import notices

    notice, agency = notices.acknowledge(session.app(), code, state=state, text=text, at=_record.past(session, at), behalf=behalf)
    if not as_json:
        session.out.text(f"{agency}  {_notices_show.word(state)}")
    _notices_show.answer(session, notice, as_json)


@command.command(
    help=_record.example(
        _("Record what an agency did: received, acted, or verified by us."), "soc notices answer 7 so-yt received --on-behalf 'Chị Hoa' --by telephone"
    )
)
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

    found = notices.answer(session.app(), id, agency, state, text=text, at=_record.past(session, at), behalf=behalf)
    _notices_show.answer(session, found, as_json)


@command.command(help=_record.example(_("Agencies that never answered: of one notice, or of all."), "soc notices unanswered"))
@click.argument("id", required=False, default="")
@list_options
@pass_session
def unanswered(session: Session, id: str, form: str | None, fields: tuple[str, ...]) -> int:
    """List who never answered."""
    from soc.application import notices

    found = notices.unanswered(session.app(), id)
    _notices_show.rows(session, found, "unanswered", form, fields)
    if not found:
        session.out.say(_("everybody has answered"))
    return 1 if found else 0


@command.command(help=_record.example(_("Agencies that should have acted by now and have not."), "soc notices overdue --json"))
@list_options
@pass_session
def overdue(session: Session, form: str | None, fields: tuple[str, ...]) -> int:
    """List who is overdue."""
    from soc.application import notices

    found = notices.overdue(session.app())
    _notices_show.rows(session, found, "overdue", form, fields)
    if not found:
        session.out.say(_("nothing is overdue"))
    return 1 if found else 0


@command.command(
    help=_record.example(
        _("Write each recipient's letter, with its own annex and code, as a file into FOLDER, and a register of what was written."),
        "soc notices export 7 ./van-ban --format docx",
    )
)
@click.argument("id")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--format",
    "form",
    type=click.Choice(("txt", "docx")),
    default="txt",
    show_default=True,
    help=_("docx: by the template notice.docx (soc reports templates export)."),
)
@json_option
@pass_session
def export(session: Session, id: str, folder: Path, form: str, as_json: bool) -> None:
    """Write the letters."""
    from soc.application import notices

    app = session.app()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotAllowed(Phrase("{path} cannot be written: {strerror}", path=folder, strerror=error.strerror)) from error
    written: list[tuple[str, str, str]] = []
    lines = [csv_line(("agency", "name", "code", "file", "sha256"))]
    for one in notices.letters(app, id, form):
        # An agency's id holds letters, digits and `._-` only (the registry checks it); without registry it may be anything.
        name = "".join(character if character.isalnum() or character in "._-" else "_" for character in one.agency).lstrip(".") or "_"
        with _export.new_file(folder / f"{name}.{form}", hint="give an empty folder") as file:
            file.write(one.content)
        written.append((one.agency, f"{name}.{form}", sha256(one.content).hexdigest()))
        lines.append(csv_line((one.agency, one.name, one.code, *written[-1][1:])))
    with _export.new_file(folder / REGISTER, hint="give an empty folder") as file:
        file.write(("\n".join(lines) + "\n").encode())
    notices.exported(app, id, written)
    if as_json:
        items = [{"agency": agency, "file": file, "sha256": digest} for agency, file, digest in written]
        write_json({"schema_version": 1, "kind": "notice-export", "total": len(items), "truncated": False, "items": items})
    session.out.say(_("{count} letters in {folder}").format(count=len(written), folder=folder))


@command.command(
    help=_record.example(
        _("Withdraw a notice; what was sent stays on the record, messages that wait are cancelled."), "soc notices withdraw 7 --reason 'nhầm đơn vị'"
    )
)
@click.argument("id")
@click.option("--reason", required=True, metavar="TEXT", help=_("Why, for the record."))
@json_option
@pass_session
def withdraw(session: Session, id: str, reason: str, as_json: bool) -> None:
    """Withdraw a notice."""
    from soc.application import notices

    _notices_show.answer(session, notices.withdraw(session.app(), id, reason=reason), as_json)
