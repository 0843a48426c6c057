"""`soc intel`: blocking lists from incidents: propose, approve, export, and whether they work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.cli import _record, _show
from soc.cli._io import Column, cell, csv_heading, csv_line, json_option, list_options, write_json
from soc.cli._session import Session, may_ask, pass_session
from soc.i18n import gettext as _
from soc.i18n import ngettext, translated

if TYPE_CHECKING:
    from soc.application.intel import Written
    from soc.intel.blocking import Blocklist, LeftOut
    from soc.model.fact import Behalf

_TYPES = ("ip", "domain", "url", "hash", "email")
_FORMATS = ("edl", "csv", "fortigate", "stix")
_SHOWN = 30


@click.group(help=_("Blocking lists: what incidents name, approved by a lead, for firewalls and mail gateways."))
def command() -> None:
    """The noun."""


def _state_word(state: str) -> str:
    return {"proposed": _("waits for approval"), "approved": _("in force"), "withdrawn": _("withdrawn"), "expired": _("expired")}.get(state, state)


def _item(session: Session, one: Blocklist) -> dict[str, Any]:
    from soc.clock import iso

    return {
        "id": one.id,
        "state": one.state_at(iso(session.app().clock.now_us())),
        "count": len(one.entries),
        "incidents": one.incidents,
        "expires_at": one.expires_at,
        "proposed_by": one.proposed_by,
        "proposed_at": one.proposed_at,
        "approved_by": one.approved_by,
        "approved_at": one.approved_at,
        "on_behalf": one.on_behalf,
        "written": len(one.written),
        "version": one.version,
    }


def _tell(session: Session, one: Blocklist, as_json: bool, *, whole: bool = False) -> None:
    import msgspec

    item = _item(session, one)
    if as_json:
        more = {"entries": one.entries, "left_out": one.left_out, "tlp": one.tlp, "reason": one.reason, "alone": one.alone, "writings": one.written}
        write_json({"schema_version": 1, "kind": "blocklist", "item": {**item, **msgspec.to_builtins(more)}})
        return
    zone, out = session.settings.timezone, session.out
    until = _("until {time}").format(time=_show.when(one.expires_at, zone))
    count = ngettext("{count} entry", "{count} entries", len(one.entries)).format(count=_show.number(len(one.entries)))
    out.text("  ".join((one.id, _state_word(item["state"]), count, until)), "bold")
    out.text("  " + _("Proposed: {who} {time}").format(who=one.proposed_by, time=_show.when(one.proposed_at, zone)))
    if one.approved_by:
        who = one.approved_by + (" " + _("on behalf of {name}").format(name=one.on_behalf) if one.on_behalf else "") + (" " + _("(alone)") if one.alone else "")
        out.text("  " + _("Approved: {who} {time}").format(who=who, time=_show.when(one.approved_at, zone)))
    if whole:
        for past in one.written:
            out.text(
                "  " + _("Written: {format}, {count} entries, {time}").format(format=past["format"], count=past["count"], time=_show.when(past["at"], zone))
            )
    for entry in one.entries if whole else one.entries[:_SHOWN]:
        out.text(f"  + {entry.type:<7} {entry.value}  {', '.join(entry.incidents)}")
    if not whole and len(one.entries) > _SHOWN:
        out.say("  " + _("… and {count} more").format(count=_show.number(len(one.entries) - _SHOWN)))
    _tell_left_out(session, one.left_out)


def _tell_left_out(session: Session, left: list[LeftOut]) -> None:
    for one in left[:_SHOWN]:
        session.out.text(f"  - {one.type:<7} {one.value}  {translated(one.reason)}", "dim")
    if len(left) > _SHOWN:
        session.out.say("  " + _("… and {count} more").format(count=_show.number(len(left) - _SHOWN)))


@command.command("list", help=_("List blocking lists that wait for approval or are in force; example: soc intel list --all --json"))
@click.option("--all", "every", is_flag=True, help=_("Also those that ended or were withdrawn."))
@list_options
@pass_session
def list_command(session: Session, every: bool, form: str | None, fields: tuple[str, ...]) -> None:
    """List blocking lists."""
    from soc.application import intel

    items = [_item(session, one) for one in intel.listed(session.app(), every=every)]
    zone = session.settings.timezone
    columns = [
        Column("id", "ID", whole=True),
        Column("state", _("State"), lambda item: _state_word(item["state"])),
        Column("count", _("Entries"), right=True),
        Column("incidents", _("Incident"), lambda item: cell(item["incidents"])),
        Column("expires_at", _("Ends"), lambda item: _show.when(item["expires_at"], zone), whole=True),
        Column("proposed_by", _("By")),
        Column("approved_by", _("Approved by")),
    ]
    session.out.items("blocklists", items, columns, form=form, fields=fields)
    if not items:
        session.out.say(_("no blocking lists; to propose one: soc intel propose INCIDENT"))


@command.command(help=_("Show a blocking list whole. ID may be the number alone; example: soc intel show BL-2026-0001"))
@click.argument("id")
@json_option
@pass_session
def show(session: Session, id: str, as_json: bool) -> None:
    """Show a list."""
    from soc.application import intel

    _tell(session, intel.get(session.app(), id), as_json, whole=True)


@command.command(
    help=_("Propose a blocking list of what incidents name: shown first, recorded with --yes. Example: soc intel propose INC-2026-0007 --expires 30d --yes")
)
@click.argument("incidents", nargs=-1)
@click.option("--all-open", is_flag=True, help=_("Of all incidents at work."))
@click.option("--type", "types", multiple=True, type=click.Choice(_TYPES), help=_("Only of this type (may be repeated)."))
@click.option("--only", multiple=True, metavar="VALUE", help=_("Only this value (may be repeated)."))
@click.option("--expires", default="30d", show_default=True, metavar="TIME", help=_("Until when it is blocked: 30d, 2026-12-31."))
@_record.reason_option
@click.option("--yes", is_flag=True, help=_("Record it; without it the preview is shown."))
@json_option
@pass_session
def propose(
    session: Session,
    incidents: tuple[str, ...],
    all_open: bool,
    types: tuple[str, ...],
    only: tuple[str, ...],
    expires: str,
    reason: str,
    yes: bool,
    as_json: bool,
) -> int:
    """Propose a list."""
    import msgspec

    from soc.application import intel

    app = session.app()
    expires_at = _record.ahead(session, expires)
    if not yes:
        entries, left = intel.gathered(app, intel.chosen(app, incidents, all_open=all_open), types=types, only=only)
        if not as_json:
            for entry in entries:
                session.out.text(f"  + {entry.type:<7} {entry.value}  {', '.join(entry.incidents)}")
            _tell_left_out(session, left)
        yes = bool(entries) and not as_json and may_ask(session) and click.confirm(_("Record this?"), default=False, err=True)
        if not yes:
            if as_json:
                preview = msgspec.to_builtins({"entries": entries, "left_out": [(one.type, one.value, str(one.reason)) for one in left]})
                write_json({"schema_version": 1, "kind": "blocklist", "recorded": False, "preview": preview, "item": None})
            else:
                session.out.say(_("nothing was recorded; --yes records it"))
            return 0 if entries else 1
    made = intel.propose(app, incidents, all_open=all_open, expires_at=expires_at, types=types, only=only, reason=reason)
    _tell(session, made, as_json)
    if not as_json:
        session.out.say(_("Next, by another person: soc intel approve {id}").format(id=made.id))
    return 0


@command.command(help=_("Approve a list as it stands, by another person than who proposed it. Example: soc intel approve BL-2026-0001"))
@click.argument("id")
@click.option("--expect", "expected", type=int, metavar="VERSION", help=_("Only if nobody changed it since this version."))
@_record.reason_option
@json_option
@pass_session
@_record.behalf_options
def approve(session: Session, /, id: str, expected: int | None, reason: str, behalf: Behalf | None, as_json: bool) -> None:
    """Approve a list."""
    from soc.application import intel

    one = intel.approve(session.app(), id, reason=reason, behalf=behalf, expected=expected)
    _tell(session, one, as_json)
    if not as_json:
        session.out.say(_("Next: soc intel export {id} --format edl --to FOLDER").format(id=one.id))


@command.command(help=_("End a list now. Example: soc intel withdraw BL-2026-0001 --reason 'máy chủ đã sạch'"))
@click.argument("id")
@_record.reason_option
@json_option
@pass_session
def withdraw(session: Session, id: str, reason: str, as_json: bool) -> None:
    """Withdraw a list."""
    from soc.application import intel

    _tell(session, intel.withdraw(session.app(), id, reason=reason), as_json)


@command.command(
    help=_("Write what is approved and in force: of all lists, or of the lists or incidents named. Example: soc intel export --format edl --to /srv/block")
)
@click.argument("names", nargs=-1, metavar="[LIST|INCIDENT]…")
@click.option("--all-open", is_flag=True, help=_("Of all lists in force (also without names)."))
@click.option("--format", "format_", type=click.Choice(_FORMATS), required=True, help=_("edl: plain list; fortigate: command line; stix: STIX 2.1."))
@click.option("--type", "type_", type=click.Choice(_TYPES), help=_("Only of this type."))
@click.option(
    "--to", "target", type=click.Path(path_type=Path), help=_("Into this file, or for edl this folder (ip.txt, domain.txt, …); default: standard output.")
)
@pass_session
def export(session: Session, names: tuple[str, ...], all_open: bool, format_: str, type_: str | None, target: Path | None) -> None:
    """Write lists for gateways."""
    from soc.application import intel

    if all_open and names:
        raise click.UsageError(_("either names, or --all-open"))
    app = session.app()
    found = intel.writable(app, names, types=(type_,) if type_ else ())
    if format_ == "edl" and target is not None and (target.is_dir() or not target.suffix):
        contents = _folder(found, target)
    else:
        content = _csv(found) if format_ == "csv" else intel.rendered(found, format_, type_ or "")
        contents = {target: content}
    for place, content in contents.items():
        _write(place, content)
        intel.note_written(app, found, format_, content, place.name if place else "")
    count = len(found.plain())
    session.out.say(ngettext("{count} entry written", "{count} entries written", count).format(count=_show.number(count)))
    for one in found.left_out[:_SHOWN]:
        session.out.warn(f"{one.value}: {translated(one.reason)}")


def _folder(found: Written, folder: Path) -> dict[Path | None, bytes]:
    """A file for each type, also for those of which nothing is left: a gateway that fetches it must see that."""
    from soc.application import intel

    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    return {folder / f"{type_}.txt": intel.rendered(found, "edl", type_) for type_ in _TYPES}


def _csv(found: Written) -> bytes:
    names = ("type", "value", "incidents", "list", "approved_by", "approved_at", "expires_at")
    lines = [csv_heading(names)]
    lines += [
        csv_line((entry.type, entry.value, " ".join(entry.incidents), one.id, one.approved_by, one.approved_at, one.expires_at)) for one, entry in found.entries
    ]
    return ("\r\n".join(lines) + "\r\n").encode()


def _write(target: Path | None, content: bytes) -> None:
    from soc.cli._export import text_file

    with text_file(target) as write:
        write(content.decode())
    if target is not None:
        target.chmod(0o644)  # a gateway fetches it through a web server


@command.command(
    help=_("Whether lists work: events since that name an entry, stopped and let through; exit code 1 when something passed. Example: soc intel check")
)
@click.argument("names", nargs=-1, metavar="[LIST]…")
@list_options
@pass_session
def check(session: Session, names: tuple[str, ...], form: str | None, fields: tuple[str, ...]) -> int:
    """Ask the logs."""
    import msgspec

    from soc.application import intel

    effects = intel.check(session.app(), names)
    items = [{**msgspec.structs.asdict(one), "state": one.state} for one in effects]
    words = {"stopped": _("stopped"), "passed": _("PASSED"), "unseen": _("not seen since")}
    zone = session.settings.timezone
    columns = [
        Column("state", _("State"), lambda item: words[item["state"]], lambda item: "bold red" if item["state"] == "passed" else "", whole=True),
        Column("type", _("Type"), whole=True),
        Column("value", _("Value")),
        Column("stopped", _("Stopped"), right=True),
        Column("passed", _("Passed"), right=True),
        Column("last_passed_at", _("Last passed"), lambda item: _show.when(item["last_passed_at"], zone) if item["last_passed_at"] else "", whole=True),
        Column("last_passed_source", _("Source")),
        Column("blocklist", _("List"), whole=True),
    ]
    session.out.items("effects", items, columns, form=form, fields=fields)
    if not items:
        session.out.say(_("no list was written for a gateway yet: soc intel export"))
    return 1 if any(one.state == "passed" for one in effects) else 0


@command.command(
    help=_("Say that a value must never be blocked; --remove takes it back. Example: soc intel allow portal.example.vn --reason 'cổng dịch vụ công'")
)
@click.argument("value")
@click.option("--remove", is_flag=True, help=_("It may be blocked again."))
@_record.reason_option
@json_option
@pass_session
def allow(session: Session, value: str, remove: bool, reason: str, as_json: bool) -> None:
    """Allow a value."""
    from soc.application import intel

    one = intel.allow(session.app(), value, reason=reason, remove=remove)
    if as_json:
        write_json({"schema_version": 1, "kind": "allowed", "item": {"type": one.type, "value": one.value, "allowed": not remove}})
    else:
        session.out.text((_("{value} may be blocked again") if remove else _("{value} is never blocked")).format(value=one.value))


@command.command(help=_("List what people said must never be blocked; what is shipped or ours by the registry is not listed. Example: soc intel allowed"))
@list_options
@pass_session
def allowed(session: Session, form: str | None, fields: tuple[str, ...]) -> None:
    """List what is allowed."""
    from soc.application import intel

    items = [{"value": value, "reason": reason} for value, reason in sorted(intel.allowed(session.app()).items())]
    session.out.items("allowed", items, [Column("value", _("Value")), Column("reason", _("Why"))], form=form, fields=fields)
