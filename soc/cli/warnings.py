"""`soc warnings`: new, list, show, fan-out, close."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.cli import _notices_show, _record, _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _
from soc.incidents.classes import TLP

if TYPE_CHECKING:
    from soc.incidents.warnings import CentreWarning, Progress
    from soc.model.fact import Behalf


@click.group(help=_("Numbered warnings of the national centre: passed on to agencies as notices, and answered when they have acted."))
def command() -> None:
    """The noun."""


def _item(warning: CentreWarning, done: Progress) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(warning)
    more = {"notices": done.notices, "agencies": len(done.agencies), "counts_now": done.counts, "unanswered": done.unanswered, "missing": done.missing}
    return {**found, **more}


def _word(state: str) -> str:
    return {"open": _("Open"), "closed": _("Closed")}.get(state, state)


def _tell(session: Session, warning: CentreWarning, done: Progress, as_json: bool) -> None:
    if as_json:
        write_json({"schema_version": 1, "kind": "warning", "item": _item(warning, done)})
        return
    zone = session.settings.timezone
    session.out.text(f"{warning.id}  {_word(warning.state)}  {warning.number}  {warning.subject}", "bold")
    for title, value in (
        (_("Issuer"), f"{warning.issuer}  {warning.issued_on}"),
        ("TLP", warning.tlp),
        (_("Asked for"), warning.asked),
        (_("Due"), _show.when(warning.due_at, zone)),
        (_("Weak points"), ", ".join(warning.vulnerabilities)),
        (_("Came"), _show.when(warning.received_at, zone)),
        (_("Hash"), warning.sha256),
        (_("Notices"), ", ".join(done.notices)),
        (_("Agencies"), "  ".join(f"{_notices_show.word(state)}: {count}" for state, count in done.counts.items() if count)),
        (_("Not acted"), ", ".join(done.missing)),
        (_("Result"), warning.summary),
        (_("Answer"), f"{warning.answer_number}  {warning.answer_on}".strip()),
        (_("Although"), warning.although),
    ):
        if value:
            session.out.text(session.out.folded(f"  {title:<12} {value}", more="               "))


@command.command(
    help=_record.example(
        _("Record a warning that came: its NUMBER and sign, and its SUBJECT."),
        "soc warnings new 1943/CATTT-NCSC 'Lỗ hổng Zimbra' --issued-on 2026-11-20 --due 5d --cve CVE-2026-12345",
    )
)
@click.argument("number")
@click.argument("subject")
@click.option("--issued-on", required=True, metavar="DATE", help=_("Its date (2026-11-21)."))
@click.option("--issuer", default=None, metavar="NAME", help=_("Who issued it; default: the national cyber security centre."))
@click.option("--asked", default="", metavar="TEXT", help=_("What it asks for."))
@click.option("--due", "due_at", default="", metavar="TIME", help=_("Until when: 3d (from now), or a day, or a time."))
@click.option("--tlp", type=click.Choice(TLP, case_sensitive=False), default="AMBER", show_default=True, help=_("Traffic Light Protocol 2.0."))
@click.option("--cve", "vulnerabilities", multiple=True, metavar="ID", help=_("A vulnerability or product concerned (may be repeated)."))
@click.option("--received", "received_at", default="", metavar="TIME", help=_("When it came; default: now."))
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help=_("The document that came: it is kept with its hash."))
@click.option("--scope", default="real", metavar="SCOPE", help=_("real, or exercise:<id>."))
@json_option
@pass_session
@_record.behalf_options
def new(
    session: Session,
    number: str,
    subject: str,
    issued_on: str,
    issuer: str | None,
    asked: str,
    due_at: str,
    tlp: str,
    vulnerabilities: tuple[str, ...],
    received_at: str,
    file: Path | None,
    scope: str,
    behalf: Behalf | None,
    as_json: bool,
) -> None:
    """Record a warning."""
    from soc.application import warnings

    app = session.app(new_store=True)
    due, received = _record.ahead(session, due_at), _record.past(session, received_at)
    made = warnings.new(
        app, number, subject, issued_on=issued_on, issuer=warnings.ISSUER if issuer is None else issuer, asked=asked, tlp=tlp, due_at=due, received_at=received,
        vulnerabilities=vulnerabilities, file=file, behalf=behalf, scope=scope,
    )  # fmt: skip
    _tell(session, *warnings.get(app, made.id), as_json)
    if not as_json:
        session.out.say(_("Next: soc warnings fan-out {id} --to AGENCY").format(id=made.id))


@command.command(
    "list",
    help=_record.example(
        _("List warnings with how far the agencies are, what is due first comes first; open ones unless --all says otherwise."), "soc warnings list --all"
    ),
)
@click.option("--all", "closed", is_flag=True, help=_("Also closed ones."))
@click.option("--scope", default="real", metavar="SCOPE", help=_("real (default), exercise:<id>, or all."))
@list_options
@pass_session
def list_command(session: Session, closed: bool, scope: str, form: str | None, fields: tuple[str, ...]) -> None:
    """List warnings."""
    from soc.application import warnings

    found = warnings.listed(session.app(), closed=closed, scope=None if scope == "all" else scope)
    zone = session.settings.timezone
    columns = [
        Column("id", "ID", whole=True),
        Column("state", _("State"), lambda one: _word(one["state"])),
        Column("number", _("Number")),
        Column("issued_on", _("Date"), whole=True),
        Column("subject", _("Subject"), most=80),
        Column("due_at", _("Due"), lambda one: _show.when(one["due_at"], zone), whole=True),
        Column("agencies", _("Agencies"), right=True),
        Column("missing", _("Not acted"), lambda one: str(len(one["missing"])), right=True),
        Column("unanswered", _("No answer"), lambda one: str(len(one["unanswered"])), right=True),
    ]
    session.out.items("warnings", [_item(*pair) for pair in found], columns, form=form, fields=fields)
    if not found:
        session.out.say(_("no warnings; to record one: soc warnings new NUMBER SUBJECT --issued-on DATE"))


@command.command(
    help=_record.example(
        _("Show a warning and how far the agencies are. ID may be the number alone, or that of its issuer."), "soc warnings show 1943/CATTT-NCSC"
    )
)
@click.argument("id")
@json_option
@pass_session
def show(session: Session, id: str, as_json: bool) -> None:
    """Show a warning."""
    from soc.application import warnings

    _tell(session, *warnings.get(session.app(), id), as_json)


@command.command(
    "fan-out",
    help=_record.example(
        _("Draft a notice that passes a warning on to agencies; those that have it already are left out."), "soc warnings fan-out 7 --running zimbra"
    ),
)
@click.argument("id")
@click.option("--to", "to", multiple=True, metavar="ID", help=_("An agency (may be repeated)."))
@click.option("--below", "below", multiple=True, metavar="ID", help=_("An agency with all below it (may be repeated)."))
@click.option(
    "--annex", type=click.Path(path_type=Path, exists=True, dir_okay=False), help=_("What concerns each agency only: a table with the columns agency, item.")
)
@click.option(
    "--running", default="", metavar="WORDS", help=_("Owners of systems whose entry in the registry names these words; the systems stand in their annexes.")
)
@click.option("--subject", default="", metavar="TEXT", help=_("Another subject than the warning's."))
@click.option("--body", default="", metavar="TEXT", help=_("Another text than the warning's."))
@click.option("--action", default="", metavar="TEXT", help=_("What recipients are asked to do; default: what the warning asks for."))
@click.option("--due", "due_at", default="", metavar="TIME", help=_("Until when; default: as the warning says."))
@json_option
@pass_session
def fan_out(
    session: Session,
    id: str,
    to: tuple[str, ...],
    below: tuple[str, ...],
    annex: Path | None,
    running: str,
    subject: str,
    body: str,
    action: str,
    due_at: str,
    as_json: bool,
) -> None:
    """Pass a warning on."""
    from soc.application import notices, warnings

    app = session.app()
    own = notices.read_annex(app, annex) if annex is not None else {}
    for agency, systems in warnings.concerned(app, running).items() if running else ():
        own[agency] = [*own.get(agency, []), *systems]
    due = _record.ahead(session, due_at)
    made = warnings.fan_out(app, id, to=to, below=below, annex=own, subject=subject, body=body, action=action, due_at=due)
    _notices_show.answer(session, made, as_json)
    if not as_json:
        session.out.say(_("Next: soc notices export {id} FOLDER, have it signed, soc notices approve {id} --signer NAME").format(id=made.id))


@command.command(
    help=_record.example(
        _("Close a warning with what is answered to the centre, once all agencies have acted; without --summary it is made of the figures."),
        "soc warnings close 7 --number 77/BC-SKHCN --on 2026-11-25",
    )
)
@click.argument("id")
@click.option("--summary", default="", metavar="TEXT", help=_("What was done."))
@click.option("--number", default="", metavar="TEXT", help=_("Number and sign of our answer."))
@click.option("--on", "on", default="", metavar="DATE", help=_("Its date."))
@click.option("--although", default="", metavar="TEXT", help=_("Why it is closed before all agencies have acted."))
@json_option
@pass_session
@_record.behalf_options
def close(session: Session, id: str, summary: str, number: str, on: str, although: str, behalf: Behalf | None, as_json: bool) -> None:
    """Close a warning."""
    from soc.application import warnings

    app = session.app()
    warnings.close(app, id, summary=summary, number=number, on=on, although=although, behalf=behalf)
    _tell(session, *warnings.get(app, id), as_json)
