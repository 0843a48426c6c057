"""`soc handover`: write, show, list, accept."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from soc.cli import _record, _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import current
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.incidents.handover import Handover
    from soc.model.fact import Behalf


@click.group(help=_("Handing a shift over: a note with how things stand, which the next shift accepts."))
def command() -> None:
    """The noun."""


def _item(one: Handover) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(one)
    return found


def _answer(session: Session, one: Handover, as_json: bool) -> None:
    if as_json:
        write_json({"schema_version": 1, "kind": "handover", "item": _item(one)})
        return
    from soc.application.recipients import names
    from soc.incidents.clocks import regimes

    zone, out, known = session.settings.timezone, session.out, names(session.app())
    titles = {rule.id: rule.title.get(current()) or rule.title["en"] for regime in regimes().values() for rule in regime.obligations}
    by, to = one.behalf.person if one.behalf else known.get(one.by, one.by), known.get(one.to, one.to)
    accepted = _("accepted by {by}, {at}").format(
        by=one.accepted_behalf.person if one.accepted_behalf else known.get(one.accepted_by, one.accepted_by), at=_show.when(one.accepted_at, zone)
    )
    out.text(f"{one.id}  {_show.when(one.at, zone)}  {by}{' → ' + to if to else ''}", "bold")
    out.text(accepted if one.accepted_at else _("nobody has accepted it yet"), "" if one.accepted_at else "yellow")
    out.text("")
    out.text(one.text)
    standing = one.standing
    out.text("")
    out.text(
        _("When it was written: {overdue} overdue, {calls} calls unanswered, {messages} messages undelivered; on call: {people}").format(
            overdue=standing.get("overdue", 0),
            calls=len(standing.get("calls", ())),
            messages=standing.get("messages", 0),
            people=", ".join(standing.get("on_call", ())) or "-",
        )
    )
    for due in standing.get("due", ())[:10]:
        out.text(
            f"  {due['incident']}  {_show.when(due['due_at'], zone)}  {titles.get(due['obligation'], due['obligation'])}",
            "bold red" if due["state"] == "overdue" else "",
        )
    if one.remark:
        out.text(one.remark)


@command.command(
    help=_("Write a note for the next shift; how things stand is put in by itself. Example: soc handover write 'Chờ Sở Y tế gửi nhật ký' --to minh")
)
@click.argument("text")
@click.option("--to", "to", default="", metavar="PERSON", help=_("Who comes on."))
@json_option
@pass_session
@_record.behalf_options
def write(session: Session, text: str, to: str, as_json: bool, behalf: Behalf | None) -> None:
    """Write a note; `-` reads it from stdin."""
    from soc.application import handover

    if text == "-":
        text = sys.stdin.read(200_000)
    _answer(session, handover.write(session.app(), text, to=to, behalf=behalf), as_json)


@command.command(help=_("Show a note; without an id the last one."))
@click.argument("id", required=False, default="")
@json_option
@pass_session
def show(session: Session, id: str, as_json: bool) -> None:
    """Show a note."""
    from soc.application import handover

    _answer(session, handover.get(session.app(), id), as_json)


@command.command("list", help=_("List the notes, the newest first."))
@click.option("--open", "open_only", is_flag=True, help=_("Only those that nobody has accepted."))
@list_options
@pass_session
def list_command(session: Session, open_only: bool, form: str | None, fields: tuple[str, ...]) -> None:
    """List notes."""
    from soc.application import handover

    zone = session.settings.timezone
    columns = [
        Column("id", "ID", whole=True),
        Column("at", _("Written"), lambda item: _show.when(item["at"], zone), whole=True),
        Column("by", _("By")),
        Column("to", _("To")),
        Column("text", _("Text"), most=80),
        Column("accepted_by", _("Accepted")),
    ]
    session.out.items("handovers", [_item(one) for one in handover.listed(session.app(), open_only=open_only)], columns, form=form, fields=fields)


@command.command(help=_("Accept a note for the next shift; without an id the last one. Example: soc handover accept 7 --remark 'đã nhận máy'"))
@click.argument("id", required=False, default="")
@click.option("--remark", default="", metavar="TEXT", help=_("What is to be added."))
@json_option
@pass_session
@_record.behalf_options
def accept(session: Session, id: str, remark: str, as_json: bool, behalf: Behalf | None) -> None:
    """Accept a note."""
    from soc.application import handover

    _answer(session, handover.accept(session.app(), id, remark=remark, behalf=behalf), as_json)
