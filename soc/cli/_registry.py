"""The commands that every kind of object of the registry has: import, list, show."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.cli import _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._session import Session, may_ask, pass_session
from soc.i18n import gettext as _
from soc.i18n import translated

if TYPE_CHECKING:
    from soc.organization.registry import Plan

_MOST_SHOWN = 50
COLUMNS = {
    "agencies": ("id", "name", "level", "parent", "phone", "valid_until"),
    "points": ("id", "name", "agency", "prefixes", "observers"),
    "people": ("id", "name", "agency", "role", "phone", "email"),
    "systems": ("id", "name", "owner", "level", "dossier", "review_date"),
    "mailboxes": ("address", "agency", "person", "shared"),
    "partners": ("id", "name", "sort", "phone", "email"),
    "roster": ("begin", "end", "post", "person", "decision"),
}


def titles() -> dict[str, str]:
    """The headings of the columns."""
    return {
        "id": "ID",
        "name": _("Name"),
        "level": _("Level"),
        "parent": _("Belongs to"),
        "phone": _("Telephone"),
        "email": _("Mail"),
        "valid_until": _("Until"),
        "agency": _("Agency"),
        "prefixes": _("Networks"),
        "observers": _("Devices"),
        "role": _("Role"),
        "owner": _("Owner"),
        "dossier": _("Dossier"),
        "review_date": _("Review"),
        "address": _("Address"),
        "person": _("Person"),
        "shared": _("Shared"),
        "sort": _("Kind"),
        "begin": _("Begin"),
        "end": _("End"),
        "post": _("Post"),
        "decision": _("Decision"),
    }


_NAMED_OTHERWISE = {
    "systems": lambda: {"owner": _("System owner"), "level": _("Security level")},
    "agencies": lambda: {"level": _("Tier")},
}
"""Headings of kinds that mean something else by a column than the others."""


def make(kind: str, help: str) -> click.Group:
    """The commands of one kind."""

    @click.group(help=help)
    def command() -> None:
        """The noun."""

    @command.command("import", help=_("Take over the rows of a CSV or YAML file: first only what would change is shown; --yes records it."))
    @click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
    @click.option("--yes", is_flag=True, help=_("Record it."))
    @click.option("--skip-rejected", is_flag=True, help=_("Record the good rows although others are rejected."))
    @click.option("--replace", is_flag=True, help=_("What the file does not name ends today."))
    @click.option("--reason", default="", metavar="TEXT", help=_("Why, for the record."))
    @json_option
    @pass_session
    def import_(session: Session, file: Path, yes: bool, skip_rejected: bool, replace: bool, reason: str, as_json: bool) -> int:
        """Import rows."""
        return _import(session, kind, file, yes=yes, skip_rejected=skip_rejected, replace=replace, reason=reason, as_json=as_json)

    @command.command("list", help=_("List what counts today, or on another day."))
    @click.option("--at", "at", default="", metavar="DATE", help=_("On this day (2025-06-30)."))
    @click.option("--agency", default="", metavar="ID", help=_("Only of this agency and those below it."))
    @click.option("--all", "every", is_flag=True, help=_("Also what has ended or not begun."))
    @list_options
    @pass_session
    def list_command(session: Session, at: str, agency: str, every: bool, form: str | None, fields: tuple[str, ...]) -> None:
        """List objects."""
        from soc.application import registry

        found = registry.listed(session.app(), kind, at=_day(at), agency=agency, every=every)
        names = titles()
        names |= _NAMED_OTHERWISE.get(kind, dict)()
        columns = [Column(key, names[key], whole=key in {"id", "address"}) for key in COLUMNS[kind]]
        session.out.items(kind, [registry.as_json(entry) for entry in found], columns, form=form, fields=fields)
        if not found:
            session.out.say(_("nothing there: soc {kind} import FILE").format(kind=kind))

    @command.command(help=_("Show one of them whole, and what names it; --history: every import that touched it."))
    @click.argument("id")
    @click.option("--history", "past", is_flag=True, help=_("Every import that touched it, the oldest first."))
    @json_option
    @pass_session
    def show(session: Session, id: str, past: bool, as_json: bool) -> None:
        """Show one object."""
        from soc.application import registry
        from soc.cli._io import cell

        if past:
            _history(session, kind, id, as_json)
            return
        entry, users = registry.shown(session.app(), kind, id)
        values = registry.as_json(entry)
        if as_json:
            write_json({"schema_version": 1, "kind": kind, "item": values, "named_by": users})
            return
        for key, value in values.items():
            if value not in ("", None, [], False):
                session.out.text(f"{key:<20} {cell(value)}")
        for other, names in users.items():
            more = f" … +{_show.number(len(names) - _MOST_SHOWN)}" if len(names) > _MOST_SHOWN else ""
            session.out.text(f"{'← ' + other:<20} {', '.join(names[:_MOST_SHOWN])}{more}")

    return command


def _history(session: Session, kind: str, id: str, as_json: bool) -> None:
    from soc.application import registry
    from soc.cli._io import cell

    found = registry.changes(session.app(), kind, id)
    if as_json:
        items = [one._asdict() for one in found]
        write_json({"schema_version": 1, "kind": f"{kind}-history", "total": len(items), "truncated": False, "items": items})
        return
    before: dict[str, Any] = {}
    for one in found:
        session.out.text("  ".join(filter(None, (_show.when(one.at, session.settings.timezone), one.actor, one.origin, one.reason))), "bold")
        for key in sorted({*before, *one.values}):
            if before.get(key) != one.values.get(key):
                session.out.text(f"    {key}: {cell(before.get(key, ''))} → {cell(one.values.get(key, ''))}")
        before = one.values


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(_("no date: {text} (as 2025-06-30)").format(text=text)) from None


def _import(session: Session, kind: str, file: Path, *, yes: bool, skip_rejected: bool, replace: bool, reason: str, as_json: bool) -> int:
    from soc.application import registry

    app = session.app(new_store=True)
    plan = registry.plan(app, kind, file, replace=replace)
    if not as_json:
        _tell(session, plan)
    done = False
    if not plan.empty and (not plan.rejected or skip_rejected):
        if not yes and not as_json and may_ask(session):
            yes = click.confirm(_("Record this?"), err=True)
        if yes:
            registry.apply(app, plan, origin=file.name, reason=reason, skip_rejected=skip_rejected)
            done = True
    if as_json:
        write_json(_json(plan, recorded=done))
    elif done:
        session.out.say(_("recorded: {added} added, {changed} changed, {ended} ended").format(**_counts(plan)))
        _tell_stored(session, kind)
    elif plan.rejected and not skip_rejected:
        session.out.say(_("nothing was recorded; mend the rows, or leave them out: --skip-rejected"))
    elif not plan.empty:
        session.out.say(_("nothing was recorded yet: --yes records it"))
    return 1 if plan.rejected else 0


def _tell_stored(session: Session, kind: str) -> None:
    """Say how stored events follow an import that says whose events are."""
    from soc.application.directories import ASKED

    if kind in ASKED and session.app().store.positions():
        session.out.say(_("Events that come from now on follow this; stored ones: soc enrich --since TIME --why TEXT --dry-run"))


def _counts(plan: Plan) -> dict[str, int]:
    return {"added": len(plan.added), "changed": len(plan.changed), "ended": len(plan.ended), "unchanged": plan.unchanged, "rejected": len(plan.rejected)}


def _json(plan: Plan, *, recorded: bool) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "kind": "registry-import",
        "of": plan.kind,
        "recorded": recorded,
        **_counts(plan),
        "items": [{"line": one.line, "id": one.key, "reason": one.reason} for one in plan.rejected],
    }


def _tell(session: Session, plan: Plan) -> None:
    for entry in plan.added[:_MOST_SHOWN]:
        session.out.text(f"+ {entry.key}  {getattr(entry, 'name', '')}".rstrip(), "green")
    for before, after in plan.changed[:_MOST_SHOWN]:
        fields = [name for name in type(after).model_fields if getattr(before, name) != getattr(after, name)]
        session.out.text(f"~ {after.key}  " + "  ".join(f"{name}: {getattr(before, name)} → {getattr(after, name)}" for name in fields), "yellow")
    for entry in plan.ended[:_MOST_SHOWN]:
        session.out.text(f"- {entry.key}  {getattr(entry, 'name', '')}".rstrip(), "red")
    for one in plan.rejected:
        session.out.text(_("✖ line {line}: {key}: {reason}").format(line=one.line, key=one.key or "?", reason=translated(one.reason)), "bold red")
    session.out.say(_("{added} to add, {changed} to change, {ended} to end, {unchanged} as they are, {rejected} rejected").format(**_counts(plan)))
