"""`soc outbox`: list, show, deliver, retry, cancel, test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from soc.cli import _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _
from soc.i18n import translated

if TYPE_CHECKING:
    from soc.application.outbox import Delivered
    from soc.model.message import Sending

_STYLES = {"given-up": "bold red", "unknown": "yellow", "failed": "yellow", "held": "yellow"}


@click.group(help=_("Messages to people outside: what is due, what went out, what did not arrive."))
def command() -> None:
    """The noun."""


def state_word(state: str) -> str:
    """The word for a state."""
    words = {
        "due": _("due"),
        "held": _("held"),
        "trying": _("being sent"),
        "failed": _("tried, waits"),
        "unknown": _("unknown whether it arrived"),
        "sent": _("sent"),
        "given-up": _("GIVEN UP"),
        "cancelled": _("cancelled"),
    }
    return words.get(state, state)


def item_of(one: Sending) -> dict[str, Any]:
    """A message as the JSON of lists."""
    message = one.message
    return {
        "id": message.id,
        "state": one.state,
        "kind": message.kind,
        "about": message.about,
        "step": message.step,
        "channel": message.channel,
        "recipient": message.recipient,
        "subject": message.subject,
        "due_at": one.due_at,
        "again_at": one.again_at,
        "sent_at": one.sent_at,
        "attempts": len(one.attempts),
        "possibly_twice": one.possibly_twice,
        "reason": one.reason,
        "scope": message.scope,
    }


@command.command(
    "list", help=_("List messages with which something is still to be done; --problems shows what did not arrive. Example: soc outbox list --problems")
)
@click.option("--all", "every", is_flag=True, help=_("Also what was sent or cancelled."))
@click.option("--problems", is_flag=True, help=_("Only what was given up, waits, or perhaps arrived twice."))
@click.option("--about", default="", metavar="ID", help=_("Only about this object (INC-2026-0007, TB-2026-0003)."))
@click.option("--limit", default=200, show_default=True, metavar="N", help=_("At most so many, the newest (0 = all)."))
@list_options
@pass_session
def list_command(session: Session, every: bool, problems: bool, about: str, limit: int, form: str | None, fields: tuple[str, ...]) -> int:
    """List messages."""
    from soc.application import outbox

    zone = session.settings.timezone
    found = outbox.listed(session.app(), every=every, problems=problems, about=about)
    items = [item_of(one) for one in (found[-limit:] if limit else found)]
    columns = [
        Column("id", "ID", lambda item: item["id"][:10], whole=True),
        Column("state", _("State"), _state, lambda item: _STYLES.get(item["state"], "")),
        Column("recipient", _("To")),
        Column("subject", _("Subject"), most=70),
        Column("due_at", _("Due"), lambda item: _show.when(item["due_at"], zone), whole=True),
        Column("again_at", _("Again"), lambda item: _show.when(item["again_at"], zone), whole=True),
        Column("reason", _("Reason"), lambda item: translated(item["reason"]), most=60),
    ]
    session.out.items("messages", items, columns, total=len(found), form=form, fields=fields)
    if not found:
        session.out.say(_("nothing waits") if not (every or problems) else _("no messages"))
    return 1 if problems and found else 0


def _state(item: dict[str, Any]) -> str:
    return state_word(item["state"]) + (" (" + _("perhaps twice") + ")" if item["possibly_twice"] else "")


@command.command(help=_("Show a message with its text and every attempt. Example: soc outbox show m-4bug5"))
@click.argument("id")
@json_option
@pass_session
def show(session: Session, id: str, as_json: bool) -> None:
    """Show one message."""
    import msgspec

    from soc.application import outbox
    from soc.application.access import require

    app, zone = session.app(), session.settings.timezone
    require(app, "oncall.view")
    found = outbox.get(app, id)
    message = found.message
    if as_json:
        files = [{"name": one.name, "type": one.type, "sha256": one.sha256, "bytes": len(one.data)} for one in message.attachments]
        attempts = [msgspec.structs.asdict(one) for one in found.attempts]
        write_json({"schema_version": 1, "kind": "message", "item": {**item_of(found), "body": message.body, "attachments": files, "tries": attempts}})
        return
    out = session.out
    out.text(f"{message.id}  {_state(item_of(found))}", _STYLES.get(found.state, ""))
    for title, value in (
        (_("To"), f"{message.recipient} ({message.channel})"),
        (_("About"), f"{message.about} · {message.step}"),
        (_("Recorded"), f"{_show.when(found.due_at, zone)} · {found.by}"),
        (_("Sent"), _show.when(found.sent_at, zone)),
        (_("Again"), _show.when(found.again_at, zone)),
        (_("Scope"), message.scope if message.scope != "real" else ""),
        (_("Reason"), translated(found.reason)),
        (_("Subject"), message.subject),
    ):
        if value:
            out.text(f"{title:<12} {value}")
    for one in message.attachments:
        out.text(_("Attached").ljust(12) + f" {one.name} ({one.type})")
    out.text("")
    out.text(message.body)
    for attempt in found.attempts:
        out.text(f"{attempt.number:>3}  {_show.when(attempt.at, zone)}  → {attempt.to}  {attempt.result or '…'}  {attempt.text}")


def _tell(session: Session, done: Delivered, as_json: bool) -> int:
    import msgspec

    if as_json:
        write_json({"schema_version": 1, "kind": "delivery", **msgspec.structs.asdict(done)})
    else:
        session.out.text(delivered_text(done))
        if done.failed or done.unknown or done.given_up or done.held:
            session.out.say(_("why: soc outbox list --problems, soc outbox list"))
    return 1 if done.failed or done.unknown or done.given_up else 0


def delivered_text(done: Delivered) -> str:
    """What a delivery did, in words."""
    return _("{sent} sent, {failed} not taken, {unknown} unknown, {held} held, {given_up} given up; {waiting} wait").format(
        sent=done.sent, failed=done.failed, unknown=done.unknown, held=done.held, given_up=done.given_up, waiting=done.waiting
    )


@command.command(help=_("Hand over what is due, now; soc run does it by itself. Exit code 1 when something was not taken."))
@click.argument("id", required=False, default="")
@click.option("--limit", default=1000, show_default=True, metavar="N", help=_("At most so many attempts."))
@json_option
@pass_session
def deliver(session: Session, id: str, limit: int, as_json: bool) -> int:
    """Deliver."""
    from soc.application import outbox

    return _tell(session, outbox.deliver(session.app(), limit, only=id), as_json)


@command.command(help=_("Have a message tried again from the beginning, also one that was given up."))
@click.argument("id")
@click.option("--reason", default="", metavar="TEXT", help=_("Why, for the record."))
@json_option
@pass_session
def retry(session: Session, id: str, reason: str, as_json: bool) -> None:
    """Try again."""
    from soc.application import outbox

    _answer(session, outbox.retry(session.app(), id, reason=reason), as_json)


@command.command(help=_("Take a message back that was not sent yet."))
@click.argument("id")
@click.option("--reason", required=True, metavar="TEXT", help=_("Why, for the record."))
@json_option
@pass_session
def cancel(session: Session, id: str, reason: str, as_json: bool) -> None:
    """Cancel."""
    from soc.application import outbox

    _answer(session, outbox.cancel(session.app(), id, reason=reason), as_json)


def _answer(session: Session, found: Sending, as_json: bool) -> None:
    if as_json:
        write_json({"schema_version": 1, "kind": "message", "item": item_of(found)})
    else:
        session.out.text(f"{found.message.id}  {_state(item_of(found))}")


@command.command(help=_("Send a test to an address, at once, and say what became of it. Example: soc outbox test truc@tinh.vn"))
@click.argument("to")
@click.option("--channel", default="mail", show_default=True, metavar="NAME", help=_("mail, webhook, or webhook:NAME."))
@json_option
@pass_session
def test(session: Session, to: str, channel: str, as_json: bool) -> int:
    """Test a channel."""
    from soc.application import outbox

    app = session.app(new_store=True)
    message = outbox.test_message(app, to, channel)
    outbox.send(app, message)
    outbox.deliver(app, only=message.id)
    found = outbox.get(app, message.id)
    _answer(session, found, as_json)
    if not as_json and found.state != "sent":
        session.out.say(translated(found.reason) or state_word(found.state))
        session.out.say(_("every attempt: soc outbox show {id}").format(id=found.message.id))
    return 0 if found.state == "sent" else 1
