"""`soc notices send`, `remind`, `second-letter`: what goes out is shown first, and goes with --yes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from soc.cli import _notices_show, _record
from soc.cli._io import json_option, write_json
from soc.cli._session import Session, may_ask, pass_session
from soc.i18n import gettext as _
from soc.incidents.classes import NOTICE_CHANNELS

if TYPE_CHECKING:
    from soc.incidents.notices import Notice
    from soc.model.fact import Behalf

F = TypeVar("F", bound=Callable[..., Any])
_EACH = "each"
_OUTWARD = ("mail", "webhook", _EACH)
"""What the program itself sends: shown first."""


def _options(function: F) -> F:
    """The options of every sending."""
    options = [
        click.option("--to", "to", multiple=True, metavar="ID", help=_("Only to this agency (may be repeated).")),
        click.option("--yes", is_flag=True, help=_("Send it; without it is shown whom it would go to.")),
        json_option,
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _channel(default: str) -> Callable[[F], F]:
    help_text = _("How it goes: mail and webhook are sent by the program, the others recorded; each: as each contact person prefers.")
    return click.option("--channel", type=click.Choice((*NOTICE_CHANNELS, _EACH)), default=default, show_default=True, help=help_text)


def _when(function: F) -> F:
    function = click.option("--reference", default="", metavar="TEXT", help=_("Number of the sending."))(function)
    return click.option("--at", "at", default="", metavar="TIME", help=_("When; default: now."))(function)


@click.command(
    help=_record.example(
        _("Send a notice to those who did not get it by this channel yet, or record that it was sent. Mail is the advance copy of the signed document."),
        "soc notices send 7 --channel mail --yes",
    )
)
@click.argument("id")
@_channel("document")
@_when
@_options
@pass_session
@_record.behalf_options
def send(session: Session, id: str, channel: str, to: tuple[str, ...], at: str, reference: str, yes: bool, behalf: Behalf | None, as_json: bool) -> int:
    """Send a notice."""
    from soc.application import notices_send

    app, when = session.app(), _record.past(session, at)
    return _carry_out(session, id, "sent", channel, to, yes=yes, as_json=as_json, act=lambda: notices_send.send(
        app, id, channel=channel, to=to, at=when, reference=reference, behalf=behalf))  # fmt: skip


@click.command(
    help=_record.example(
        _("Remind those who have not acted, or those named; with --overdue those of every notice whose day has passed."), "soc notices remind --overdue --yes"
    )
)
@click.argument("id", required=False, default="")
@click.option("--overdue", is_flag=True, help=_("Everybody who is overdue, of all notices."))
@_channel("mail")
@_when
@_options
@pass_session
@_record.behalf_options
def remind(
    session: Session, id: str, overdue: bool, channel: str, to: tuple[str, ...], at: str, reference: str, yes: bool, behalf: Behalf | None, as_json: bool
) -> int:
    """Remind recipients."""
    from soc.application import notices_send

    app, when = session.app(), _record.past(session, at)
    if bool(id) == overdue or (overdue and to):
        raise click.UsageError(_("name a notice, or say --overdue"))
    if not overdue:
        return _carry_out(session, id, "reminder", channel, to, yes=yes, as_json=as_json, act=lambda: notices_send.remind(
            app, id, channel=channel, to=to, at=when, reference=reference, behalf=behalf))  # fmt: skip
    found = notices_send.remind_overdue(app, channel=channel)
    sure = bool(found) and _sure(session, [way for _id, ways in found for way in ways], channel, yes=yes, as_json=as_json)
    if sure:
        for name, ways in found:
            if any(not way.why for way in ways):
                notices_send.remind(app, name, channel=channel, to=[way.agency for way in ways], at=when, reference=reference, behalf=behalf)
    items = [{"notice": name, **row} for name, ways in found for row in _notices_show.way_items(ways)]
    if as_json:
        write_json(
            {"schema_version": 1, "kind": "notice-sending", "step": "reminder", "recorded": sure, "total": len(items), "truncated": False, "items": items}
        )
    elif not found:
        session.out.say(_("nothing is overdue"))
    elif sure:
        session.out.text(_("{count} recipients of {notices} notices are reminded").format(count=sum(not row["why"] for row in items), notices=len(found)))
        _tell_outbox(session, channel)
    return 1 if any(row["why"] for row in items) else 0


@click.command(
    "second-letter",
    help=_record.example(
        _("Record a second, signed letter to those who have not acted (or those named), and send it."),
        "soc notices second-letter 7 --signer 'Giám đốc' --number 20/CB-SKHCN --signed-on 2026-11-30 --channel mail --yes",
    ),
)
@click.argument("id")
@click.option("--signer", required=True, metavar="NAME", help=_("Who signed it."))
@click.option("--number", required=True, metavar="TEXT", help=_("Number and sign of the document."))
@click.option("--signed-on", required=True, metavar="DATE", help=_("Date of the signature (2026-11-21)."))
@click.option("--signed-file", type=click.Path(path_type=Path, dir_okay=False), help=_("The signed document, as it came back: it is kept with its hash."))
@_channel("document")
@_options
@pass_session
@_record.behalf_options
def second_letter(
    session: Session,
    id: str,
    signer: str,
    number: str,
    signed_on: str,
    signed_file: Path | None,
    channel: str,
    to: tuple[str, ...],
    yes: bool,
    behalf: Behalf | None,
    as_json: bool,
) -> int:
    """Send a second letter."""
    from soc.application import notices_send

    app = session.app()
    return _carry_out(session, id, "second-letter", channel, to, yes=yes, as_json=as_json, act=lambda: notices_send.second_letter(
        app, id, signer=signer, number=number, signed_on=signed_on, signed_file=signed_file, channel=channel, to=to, behalf=behalf))  # fmt: skip


def _carry_out(session: Session, id: str, step: str, channel: str, to: tuple[str, ...], *, yes: bool, as_json: bool, act: Callable[[], Notice]) -> int:
    """Show whom a sending goes to; send it when that is sure."""
    from soc.application import notices_send

    app = session.app()
    notices_send.flush(app, id)  # what a program that was killed had recorded and not put into the outbox
    ways = notices_send.plan(app, id, step, channel=channel, to=to)
    sure = _sure(session, ways, channel, yes=yes, as_json=as_json)
    notice = act() if sure else None
    if as_json:
        found = _notices_show.item(notice) if notice is not None else None
        head = {"schema_version": 1, "kind": "notice-sending", "step": step, "recorded": sure, "total": len(ways), "truncated": False}
        write_json({**head, "items": _notices_show.way_items(ways), "item": found})
    elif notice is not None:
        _notices_show.answer(session, notice, as_json=False)
        by_hand = [way for way in ways if channel == _EACH and way.channel not in _OUTWARD]
        for way in by_hand:
            session.out.say("  ! " + _("{agency} wants it by {channel}: do it, then soc notices send {id} --channel {channel} --to {agency}").format(
                agency=way.agency, channel=way.channel, id=notice.id))  # fmt: skip
        _tell_outbox(session, channel)
    return 1 if any(way.why for way in ways) else 0


def _sure(session: Session, ways: Any, channel: str, *, yes: bool, as_json: bool) -> bool:
    if channel not in _OUTWARD:
        return True
    if not as_json:
        _notices_show.tell_ways(session, ways)
    if yes:
        return True
    if not as_json and may_ask(session):
        count = sum(not way.why for way in ways)
        return click.confirm(_("Send it to {count} recipients?").format(count=count), default=False, err=True)
    if not as_json:
        session.out.say(_("nothing was sent; --yes sends it"))
    return False


def _tell_outbox(session: Session, channel: str) -> None:
    if channel in _OUTWARD:
        session.out.say(_("The messages are in the outbox, which soc run empties; now: soc duties run"))
