"""`soc roster`: import, show, now, swap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from soc.cli import _record, _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._registry import make
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.model.fact import Behalf
    from soc.organization.model import Person, Shift

_DAY_US = 86_400_000_000

command = make("roster", _("Who is on call and when: rosters with the decision that set them up."))
command.commands.pop("list")


def _item(one: Shift) -> dict[str, Any]:
    return {"id": one.key, "begin": one.begin, "end": one.end, "post": one.post, "person": one.person, "decision": one.decision, "note": one.note}


@command.command("show", help=_("Show the shifts of a time, and when nobody is on call. Example: soc roster show --days 14"))
@click.option("--from", "begin", default="now", show_default=True, metavar="TIME", help=_("From when on: now, 2026-12-01."))
@click.option("--days", default=7, show_default=True, type=click.IntRange(1, 400), metavar="N", help=_("So many days."))
@list_options
@pass_session
def show(session: Session, begin: str, days: int, form: str | None, fields: tuple[str, ...]) -> int:
    """Show shifts."""
    from soc.application import roster
    from soc.application.recipients import names

    app, zone = session.app(), session.settings.timezone
    known = names(app)
    first = _show.read_time(begin, app.clock.now_us(), zone)
    found, gaps = roster.shifts(app, first, first + days * _DAY_US)
    columns = [
        Column("begin", _("Begin"), lambda item: _show.when(item["begin"], zone)[:16], whole=True),
        Column("end", _("End"), lambda item: _show.when(item["end"], zone)[:16], whole=True),
        Column("post", _("Post"), right=True),
        Column("person", _("Person"), lambda item: f"{known[item['person']]} ({item['person']})" if item["person"] in known else item["person"]),
        Column("decision", _("Decision")),
        Column("id", "ID", whole=True),
    ]
    uncovered = [{"begin": one.begin, "end": one.end} for one in gaps]
    session.out.items("shifts", [_item(one) for one in found], columns, form=form, fields=fields, more={"uncovered": uncovered})
    for one in gaps:
        session.out.warn(_("nobody is on call from {begin} to {end}").format(begin=_show.when(one.begin, zone), end=_show.when(one.end, zone)))
    return 1 if gaps else 0


@command.command(help=_("Who is called now, in this order, and how they can be reached; exit code 1 when it is nobody."))
@json_option
@pass_session
def now(session: Session, as_json: bool) -> int:
    """Show who is on call."""
    from soc.application import roster
    from soc.application.access import require
    from soc.application.recipients import ways

    app = session.app()
    require(app, "oncall.view")
    running = {one.id for one in roster.on_call(app)}
    people = roster.called(app)

    def reached(one: Person) -> list[str]:
        return [f"{channel} {to}" for channel, to in ways(one, session.settings)]

    if as_json:
        items = [{"person": one.id, "name": one.name, "on_shift": one.id in running, "ways": reached(one), "phone": one.phone} for one in people]
        write_json({"schema_version": 1, "kind": "on-call", "total": len(items), "truncated": False, "items": items})
        return 0 if running else 1
    for one in people:
        when = _("on shift") if one.id in running else _("comes on next")
        how = ", ".join(reached(one)) or _("nothing leads to them: mail or telephone is missing")
        session.out.text(f"{one.name} ({one.id})  {when}  {one.phone}  {how}")
    if not running:
        session.out.say(_("nobody is on shift: soc roster show, soc roster import FILE"))
    return 0 if running else 1


@command.command(help=_("Give a shift to somebody else, or exchange two. Example: soc roster swap 2026-11-21T19:00 --with minh --reason 'ốm'"))
@click.argument("shift")
@click.option("--with", "person", default="", metavar="PERSON", help=_("Who takes it."))
@click.option("--and", "other", default="", metavar="SHIFT", help=_("The shift that it is exchanged with."))
@click.option("--reason", required=True, metavar="TEXT", help=_("Why, for the record."))
@json_option
@pass_session
@_record.behalf_options
def swap(session: Session, shift: str, person: str, other: str, reason: str, as_json: bool, behalf: Behalf | None) -> None:
    """Swap."""
    from soc.application import roster

    changed = roster.swap(session.app(), shift, person, other=other, reason=reason, behalf=behalf)
    if as_json:
        write_json({"schema_version": 1, "kind": "shifts", "total": len(changed), "truncated": False, "items": [_item(one) for one in changed]})
        return
    for one in changed:
        session.out.text(f"{one.key}  {one.person}")
