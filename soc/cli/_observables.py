"""`soc incidents observables`, `observe`, `ignore`, `related`, `link`, `unlink`, `import-eml`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.cli import _record, _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._session import Session, may_ask, pass_session
from soc.i18n import gettext as _
from soc.i18n import translated

if TYPE_CHECKING:
    from soc.model.fact import Behalf

_TYPES = ("ip", "domain", "url", "hash", "email", "file")
_MOST_PASTED = 4 << 20
_MOST_PLACES = 3


@click.command(help=_("What an incident names that can be looked for, the commonest first. Example: soc incidents observables INC-2026-0007 --events 7d"))
@click.argument("id")
@click.option("--type", "types", multiple=True, type=click.Choice(_TYPES), help=_("Only of this type (may be repeated)."))
@click.option("--events", "since", default="", metavar="TIME", help=_("Count the events that name each since this time: 7d."))
@click.option("--defang", is_flag=True, help=_("Write values harmlessly (hxxp, [.]), for mails."))
@list_options
@pass_session
def observables(session: Session, id: str, types: tuple[str, ...], since: str, defang: bool, form: str | None, fields: tuple[str, ...]) -> None:
    """List observables."""
    import msgspec

    from soc.application import observables as work
    from soc.intel.observables import Observable, defanged

    app = session.app()
    incident, seen = work.of_incident(app, id)
    seen = [one for one in seen if not types or one.type in types]
    items: list[dict[str, Any]] = [msgspec.structs.asdict(one) for one in seen]
    if since:
        since_us = _show.read_time(since, app.clock.now_us(), session.settings.timezone)
        for item, (events, blocked) in zip(items, work.events(app, seen, scope=incident.scope, since_us=since_us), strict=True):
            item |= {"events": events, "blocked": blocked}
    for item, one in zip(items, seen, strict=True):
        item["never_blocked"] = str(one.never_blocked)
        if defang:
            item["value"] = defanged(Observable(one.type, one.value))
    said = {one.value: translated(one.never_blocked) for one in seen}
    columns = [
        Column("type", _("Type"), whole=True),
        Column("value", _("Value")),
        Column("count", _("Count"), right=True),
        *([Column("events", _("Events"), right=True), Column("blocked", _("Stopped"), right=True)] if since else []),
        Column(
            "origins",
            _("Where"),
            lambda item: ", ".join(item["origins"][:_MOST_PLACES]) + (f", … +{more}" if (more := len(item["origins"]) - _MOST_PLACES) > 0 else ""),
        ),
        Column("never_blocked", _("Never blocked"), lambda item: said.get(item["value"], item["never_blocked"])),
        Column("ignored", _("Does not belong")),
    ]
    session.out.items("observables", items, columns, form=form, fields=fields)
    if not items:
        session.out.say(_("it names nothing; to record what you were told: soc incidents observe {id} VALUE").format(id=incident.id))


@click.command(
    help=_("Record what a text names; - reads a pasted text from standard input. Example: soc incidents observe INC-2026-0007 'hxxp://xau[.]example/a'")
)
@click.argument("id")
@click.argument("texts", nargs=-1, required=True, metavar="TEXT…")
@click.option("--type", "type_", default="", type=click.Choice(("", *_TYPES)), help=_("What a single value is, where it does not show."))
@click.option("--origin", default="", metavar="TEXT", help=_("Where it came from."))
@json_option
@pass_session
@_record.behalf_options
def observe(session: Session, /, id: str, texts: tuple[str, ...], type_: str, origin: str, behalf: Behalf | None, as_json: bool) -> None:
    """Record observables."""
    from soc.application import observables as work

    pasted = [sys.stdin.read(_MOST_PASTED) if text == "-" else text for text in texts]
    incident, found = work.observe(session.app(), id, "\n".join(pasted), type_=type_, origin=origin, behalf=behalf)
    if as_json:
        items = [{"type": one.type, "value": one.value} for one in found]
        write_json({"schema_version": 1, "kind": "observables", "total": len(items), "truncated": False, "items": items, "incident": incident.id})
        return
    for one in found:
        session.out.text(f"{one.type:<7} {one.value}")


@click.command(help=_("Say that values do not belong to an incident. Example: soc incidents ignore INC-2026-0007 198.51.100.7 --reason 'máy của ta'"))
@click.argument("id")
@click.argument("values", nargs=-1, required=True, metavar="VALUE…")
@_record.reason_option
@json_option
@pass_session
def ignore(session: Session, id: str, values: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Ignore observables."""
    from soc.application import observables as work

    incident = work.ignore(session.app(), id, values, reason)
    if as_json:
        write_json({"schema_version": 1, "kind": "incident", "item": {"id": incident.id, "ignored": incident.ignored, "version": incident.version}})
    else:
        session.out.text(_("{id}: {count} values do not belong to it").format(id=incident.id, count=len(incident.ignored)))


@click.command(help=_("Other incidents that are linked with this one or name the same. Example: soc incidents related INC-2026-0007"))
@click.argument("id")
@list_options
@pass_session
def related(session: Session, id: str, form: str | None, fields: tuple[str, ...]) -> None:
    """List related incidents."""
    from soc.application import observables as work
    from soc.cli.incidents import state_word

    incident, found = work.related(session.app(), id)
    items = [
        {
            "id": one.incident.id,
            "title": one.incident.title,
            "state": one.incident.state,
            "detected_at": one.incident.detected_at,
            "link": one.link,
            "shared": [{"type": shared.type, "value": shared.value} for shared in one.shared],
        }
        for one in found
    ]
    zone = session.settings.timezone
    columns = [
        Column("id", "ID", whole=True),
        Column("state", _("State"), lambda item: state_word(item["state"])),
        Column("detected_at", _("Detected"), lambda item: _show.when(item["detected_at"], zone), whole=True),
        Column("title", _("Title"), most=60),
        Column("link", _("Linked")),
        Column("shared", _("Both name"), lambda item: ", ".join(one["value"] for one in item["shared"]), most=120),
    ]
    session.out.items("related", items, columns, form=form, fields=fields)
    if not items:
        session.out.say(_("nothing is tied to {id}").format(id=incident.id))


@click.command(help=_("Tie two incidents, in both. Example: soc incidents link INC-2026-0007 INC-2026-0003 --reason 'cùng máy chủ điều khiển'"))
@click.argument("id")
@click.argument("other")
@_record.reason_option
@json_option
@pass_session
def link(session: Session, id: str, other: str, reason: str, as_json: bool) -> None:
    """Link incidents."""
    from soc.application import observables as work

    _tell_links(session, work.link(session.app(), id, other, reason), as_json)


@click.command(help=_("Untie two incidents. Example: soc incidents unlink INC-2026-0007 INC-2026-0003 --reason 'nhầm'"))
@click.argument("id")
@click.argument("other")
@_record.reason_option
@json_option
@pass_session
def unlink(session: Session, id: str, other: str, reason: str, as_json: bool) -> None:
    """Unlink incidents."""
    from soc.application import observables as work

    _tell_links(session, work.unlink(session.app(), id, other, reason), as_json)


def _tell_links(session: Session, incident: Any, as_json: bool) -> None:
    if as_json:
        write_json({"schema_version": 1, "kind": "incident", "item": {"id": incident.id, "links": incident.links, "version": incident.version}})
    else:
        session.out.text(incident.id + "  " + (_("linked with {ids}").format(ids=", ".join(incident.links)) if incident.links else _("linked with nothing")))


@click.command(
    "import-eml",
    help=_(
        "Open an incident of a forwarded mail: what it proposes is shown first, --yes records it. Example: soc incidents import-eml thu.eml --agency so-yt --yes"
    ),
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--title", metavar="TEXT", help=_("Another title than the subject."))
@click.option("--agency", "agencies", multiple=True, metavar="ID", help=_("Agency concerned (may be repeated)."))
@click.option("--severity", type=click.Choice(("critical", "high", "medium", "low")), help=_("How bad it is for us."))
@click.option("--rsit", "--class", "rsit", metavar="CODE", help=_("RSIT class, as malicious-code/infected-system (soc incidents classes)."))
@click.option("--detected", "detected_at", metavar="TIME", help=_("When it was detected locally (T0), to the minute; default: when the mail was sent."))
@click.option("--reported-by", metavar="NAME", help=_("Who reported it, with a telephone number."))
@click.option("--owner", default="", metavar="NAME", help=_("Who handles it."))
@click.option("--again", is_flag=True, help=_("Although an incident was opened of this mail before."))
@click.option("--yes", is_flag=True, help=_("Record it; without it the preview is shown."))
@_record.reason_option
@json_option
@pass_session
@_record.behalf_options
def import_eml(
    session: Session,
    /,
    file: Path,
    agencies: tuple[str, ...],
    owner: str,
    again: bool,
    yes: bool,
    reason: str,
    behalf: Behalf | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Open an incident of a mail."""
    from soc.application import incident_mail
    from soc.cli._agencies import resolved
    from soc.cli.incidents import tell_changed

    app = session.app(new_store=True)
    changed = {**given, "agencies": resolved(app, agencies), "detected_at": _record.past(session, given["detected_at"])}
    proposal = incident_mail.look(app, file)
    if not yes:
        fields = proposal.fields | {name: value for name, value in changed.items() if value}
        refused = 1 if proposal.known_as and not again else 0
        if as_json:
            files = [{"name": one.name, "type": one.type, "size": len(one.data), "sha256": one.sha256} for one in proposal.mail.files]
            preview = {"fields": fields, "observables": proposal.observables, "attachments": files, "known_as": proposal.known_as}
            write_json({"schema_version": 1, "kind": "incident", "recorded": False, "preview": preview, "item": None})
            return refused
        _preview(session, proposal, fields)
        if not (may_ask(session) and click.confirm(_("Record this?"), default=False, err=True)):
            session.out.say(_("nothing was recorded; --yes records it"))
            return refused
    opened = incident_mail.open_from(app, proposal, changed, again=again, owner=owner, reason=reason, behalf=behalf)
    _record.warn_of_unknown(session, owner)
    tell_changed(session, opened, as_json)
    return 0


def _preview(session: Session, proposal: Any, fields: dict[str, Any]) -> None:
    zone, out = session.settings.timezone, session.out
    rows = [
        (_("Title"), fields["title"]),
        (_("Detected"), _show.when(fields["detected_at"], zone)),
        (_("Reported"), f"{_show.when(fields['reported_at'], zone)} {fields['reported_by']}"),
        (_("Agency"), ", ".join(fields["agencies"]) or "?"),
        (_("Reference"), fields["reference"]),
    ]
    for title, value in rows:
        out.text(f"  {title:<12} {value}")
    for one in proposal.mail.files:
        out.text(f"  + {one.name or '?'}  {_show.size(len(one.data))}  {one.type}  SHA-256 {one.sha256}")
    for item in proposal.observables[:30]:
        out.text(f"  · {item['type']:<7} {item['value']}")
    if proposal.known_as:
        out.warn(_("this mail is {id} already").format(id=proposal.known_as))


COMMANDS = (observables, observe, ignore, related, link, unlink, import_eml)
