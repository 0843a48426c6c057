"""`soc oncall`: list, page, ack, escalate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from soc.cli import _record, _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _
from soc.i18n import translated

if TYPE_CHECKING:
    from soc.incidents.page import Page
    from soc.model.fact import Behalf


@click.group(help=_("Calls to whoever is on call, until somebody acknowledges."))
def command() -> None:
    """The noun."""


def _state(state: str) -> str:
    words = {"open": _("nobody has answered yet"), "acknowledged": _("acknowledged"), "exhausted": _("NOBODY ANSWERED")}
    return words.get(state, state)


def _item(one: Page) -> dict[str, Any]:
    from soc.application.oncall import next_at

    return {
        "id": one.id,
        "code": one.code,
        "state": one.state,
        "about": one.about,
        "subject": one.subject,
        "raised_at": one.raised_at,
        "by": one.by,
        "next_at": next_at(one),
        "acknowledged_by": one.acknowledged_by,
        "acknowledged_at": one.acknowledged_at,
        "asked": [
            {"at": asked.at, "person": asked.person, "name": asked.name, "ways": list(asked.ways), "messages": list(asked.messages), "why": asked.why}
            for asked in one.asked
        ],
        "scope": one.scope,
    }


def _answer(session: Session, one: Page, as_json: bool) -> None:
    if as_json:
        write_json({"schema_version": 1, "kind": "call", "item": _item(one)})
        return
    zone = session.settings.timezone
    by = f" · {one.acknowledged_by}" if one.acknowledged_by else ""
    session.out.text(f"{one.code}  {one.about}  {_state(one.state)}{by}", "bold red" if one.state == "exhausted" else "")
    for asked in one.asked:
        how = ", ".join(asked.ways) if asked.ways else translated(asked.why)
        session.out.text(f"  {asked.number}. {_show.when(asked.at, zone)}  {asked.name or asked.person}  {how}")


@command.command("list", help=_("List the calls that nobody has acknowledged; exit code 1 when there are any. Example: soc oncall list --all"))
@click.option("--all", "every", is_flag=True, help=_("Also those that were acknowledged."))
@list_options
@pass_session
def list_command(session: Session, every: bool, form: str | None, fields: tuple[str, ...]) -> int:
    """List calls."""
    from soc.application import oncall
    from soc.application.access import require

    app, zone = session.app(), session.settings.timezone
    require(app, "oncall.view")
    found = sorted(oncall.pages(app, None if every else ("open", "exhausted")), key=lambda one: one.raised_at, reverse=True)
    columns = [
        Column("code", _("Code"), whole=True),
        Column("state", _("State"), lambda item: _state(item["state"]), lambda item: "bold red" if item["state"] == "exhausted" else ""),
        Column("about", _("About"), whole=True),
        Column("subject", _("Subject"), most=60),
        Column("raised_at", _("Called"), lambda item: _show.when(item["raised_at"], zone), whole=True),
        Column("asked", _("Whom"), lambda item: ", ".join(one["name"] or one["person"] for one in item["asked"])),
        Column("next_at", _("Next one"), lambda item: _show.when(item["next_at"], zone), whole=True),
        Column("acknowledged_by", _("By")),
    ]
    session.out.items("calls", [_item(one) for one in found], columns, form=form, fields=fields)
    if not found:
        session.out.say(_("nobody is being called"))
    return 1 if any(one.state != "acknowledged" for one in found) else 0


@command.command(
    help=_("Call whoever is on call, now; exit code 1 when nobody is called. Example: soc oncall page INC-2026-0007 'Mã độc tống tiền tại Sở Y tế'")
)
@click.argument("about")
@click.argument("text")
@click.option("--again", "key", default="", metavar="TEXT", help=_("Another call about the same object; without it the same call wakes nobody twice."))
@click.option("--minutes", type=click.FloatRange(1, 1440), metavar="N", help=_("After so many minutes without an answer the next one is called."))
@click.option("--scope", default="real", show_default=True, metavar="SCOPE", help=_("real, or exercise:<id>."))
@json_option
@pass_session
def page(session: Session, about: str, text: str, key: str, minutes: float | None, scope: str, as_json: bool) -> int:
    """Call."""
    from soc.application import incidents, oncall, outbox
    from soc.errors import NotFound

    app = session.app()
    before = oncall.made(app, about, key)
    found = oncall.page(app, about, text, key=key, minutes=minutes, scope=scope)
    if before:
        session.out.warn(_("this call was made before and wakes nobody again: {subject}; another one: --again TEXT").format(subject=found.subject))
    elif about.startswith("INC-"):
        try:
            incidents.get(app, about)
        except NotFound:  # somebody is called all the same: a mistyped number at night must not keep people asleep
            session.out.warn(_("there is no incident {id}; the call goes out all the same").format(id=about))
    for name in found.asked[-1].messages if found.asked and found.state == "open" else ():
        if not outbox.get(app, name).attempts:
            outbox.deliver(app, only=name)
    _answer(session, found, as_json)
    if not as_json and found.state == "open":
        session.out.say(_("delivered by soc run or soc duties run, which also call the next one; messages: soc outbox list --about {id}").format(id=found.id))
    return 1 if found.state == "exhausted" or (before and found.state != "open") else 0


@command.command(help=_("Say that somebody has taken it over, by the code of the call. Example: soc oncall ack K3VQ7A --on-behalf 'Trần Minh' --by telephone"))
@click.argument("code")
@click.option("--reason", default="", metavar="TEXT", help=_("What they said, for the record."))
@json_option
@pass_session
@_record.behalf_options
def ack(session: Session, code: str, reason: str, as_json: bool, behalf: Behalf | None) -> None:
    """Acknowledge."""
    from soc.application import oncall

    _answer(session, oncall.acknowledge(session.app(), code, reason=reason, behalf=behalf), as_json)


@command.command(help=_("Call the next one now, without waiting. Example: soc oncall escalate K3VQ7A --reason 'không nghe máy'"))
@click.argument("code")
@click.option("--reason", required=True, metavar="TEXT", help=_("Why, for the record."))
@json_option
@pass_session
def escalate(session: Session, code: str, reason: str, as_json: bool) -> None:
    """Escalate."""
    from soc.application import oncall

    _answer(session, oncall.hurry(session.app(), code, reason=reason), as_json)
