"""`soc store`: ledger, status, backup, restore, rebuild, retention, migrate."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from soc.cli import _record, _show
from soc.cli._io import Column, cell, json_option, list_options, write_json
from soc.cli._progress import Progress
from soc.cli._query import read_time
from soc.cli._session import Session, may_ask, pass_session
from soc.i18n import gettext as _

YES = click.option("--yes", is_flag=True, help=_("Do it; without it the plan is shown."))


@click.group(help=_("The store: ledger, status, backup, restore, rebuilding, retention, migration."))
def command() -> None:
    """The noun."""


@command.command(help=_("What came in and where it is now, recounted from the store; exit code 1 when anything is missing."))
@list_options
@pass_session
def ledger(session: Session, form: str | None, fields: tuple[str, ...]) -> int:
    """Show the ledger."""
    import msgspec

    from soc.application import store

    rows, balanced = store.ledger(session.app())
    names = ("received", "stored", "dead_lettered", "in_flight", "difference")
    titles = (_("Received"), _("Stored"), _("Dead letters"), _("In flight"), _("Difference"))
    numbers = [Column(name, title, lambda item, name=name: _show.number(item[name]), right=True) for name, title in zip(names, titles, strict=True)]  # type: ignore[misc]
    columns = [
        Column("source", _("Source"), whole=True),
        Column("partition", _("Partition")),
        Column("first", _("Positions"), lambda item: f"{item['first']}–{item['last']}", whole=True),
        *numbers[:3],
        Column("dropped", _("Dropped")),
        *numbers[3:],
        Column("knowledge", _("Knowledge"), lambda item: {"proved": _("proved"), "counted": _("counted"), "unknowable": _("unknowable")}[item["knowledge"]]),
    ]
    session.out.items("ledger", [msgspec.to_builtins(row) for row in rows], columns, form=form, fields=fields)
    if rows and form in (None, "plain"):
        missing = any(row.difference > 0 for row in rows)
        session.out.say(
            _("The ledger balances: nothing is lost.")
            if balanced
            else _("The ledger does not balance: records are missing.")
            if missing
            else _("The ledger does not balance: more is stored than its positions tell of. Were they removed, or restored from an older copy?")
        )
    return 0 if balanced else 1


@command.command(help=_("Kind, place, schema, partitions and free space."))
@json_option
@pass_session
def status(session: Session, as_json: bool) -> None:
    """Show the status."""
    from soc.application import store

    found = store.status(session.app())
    if as_json:
        write_json({"schema_version": 1, "kind": "store-status", "status": found})
        return
    labels = _labels()
    for key, value in found.items():
        if key != "partitions":
            shown = (
                _show.size(value)
                if key.endswith("bytes") and isinstance(value, int)
                else _("not running")
                if key == "pipeline_pid" and not value
                else cell(value)
            )
            session.out.text(f"{labels.get(key, key):<26} {shown}")
    zone = session.settings.timezone
    columns = [
        Column("name", _("Partition")),
        Column("events", _("Events"), lambda item: _show.number(item.get("events", 0)), right=True),
        Column("bytes", _("Size"), lambda item: _show.size(item.get("bytes", 0)), right=True),
        Column("from", _("From"), lambda item: _show.when(item.get("from") or "", zone), whole=True),
        Column("until", _("Until"), lambda item: _show.when(item.get("until") or "", zone), whole=True),
    ]
    session.out.items("partitions", found.get("partitions", []), columns)


@command.command(
    help=_record.example(
        _("Copy the store, its journal and the evidence to a new folder while the pipeline goes on."), "soc store backup /mnt/backup/2026-11-21"
    )
)
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--with-key", is_flag=True, help=_("Copy the private key that signs checkpoints, too: who has the backup can sign then."))
@json_option
@pass_session
def backup(session: Session, target: Path, with_key: bool, as_json: bool) -> None:
    """Copy the store."""
    from soc.application import backup as copies

    with Progress(session) as progress:
        manifest = copies.backup(session.app(), target, progress, with_key=with_key)
    people = manifest["people"]
    if people["problems"]:
        session.out.text(
            "✖ " + _("the journal in this backup does not hold: {count} problems; soc audit verify names them").format(count=people["problems"]), "bold red"
        )
    if as_json:
        write_json({"schema_version": 1, "kind": "backup", "manifest": manifest})
    session.out.say(
        _("copied to {path}; to restore: soc store restore {path}, with a store.prefix that has no indices").format(path=target)
        if session.settings.store.kind == "elasticsearch"
        else _("copied to {path}; to restore: soc store restore {path} --store NEW_FOLDER").format(path=target)
    )


@command.command(help=_("Put a backup into the store of the settings, which must be empty."))
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--anchor", type=click.Path(path_type=Path, dir_okay=False), help=_("Compare the journal with this checkpoint kept elsewhere first."))
@YES
@json_option
@pass_session
def restore(session: Session, source: Path, anchor: Path | None, yes: bool, as_json: bool) -> int:
    """Restore a backup."""
    from soc.application import backup as copies
    from soc.cli.audit import read_anchor

    known = None if anchor is None else read_anchor(anchor)
    app = session.app(new_store=True)
    if not _agreed(session, yes, _("{path} will be restored into {store}.").format(path=source, store=_name(session))):
        if as_json:
            write_json({"schema_version": 1, "kind": "restore", "written": False, "manifest": None})
        return 0
    with Progress(session) as progress:
        manifest = copies.restore(app, source, progress, anchor=known)
    if as_json:
        write_json({"schema_version": 1, "kind": "restore", "written": True, "manifest": manifest})
    session.out.say(
        _("restored; check it: {command}").format(command="soc store ledger" + (f" --store {shlex.quote(str(session.store))}" if session.store else ""))
    )
    return 0


@command.command(
    help=_record.example(
        _("Make everything anew that follows from the journal: kept lists, states of groups, ends of streams; says what differed."), "soc store rebuild --json"
    )
)
@json_option
@pass_session
def rebuild(session: Session, as_json: bool) -> int:
    """Make all state from the journal."""
    import msgspec

    from soc.application import rebuild as making

    with Progress(session) as progress:
        found = making.rebuild(session.app(), progress)
    if as_json:
        write_json({"schema_version": 1, "kind": "rebuild", **msgspec.to_builtins(found)})
        return 0 if found.ok else 1
    for one in found.lists:
        said = _("{count} objects").format(count=_show.number(one.documents))
        if not one.ok:
            wrong = _("{missing} were missing, {changed} wrong, {surplus} too many")
            said += "; " + wrong.format(missing=_show.number(one.missing), changed=_show.number(one.changed), surplus=_show.number(one.surplus))
        session.out.text(f"{'✔' if one.ok else '▲'} {_list_word(one.name)}: {said}", "" if one.ok else "yellow")
    for stream in found.ends:
        session.out.text("▲ " + _("the kept end of {stream} was wrong").format(stream=stream), "yellow")
    for problem in found.problems:
        session.out.text(f"✖ {problem.stream} #{problem.sequence}: {problem.kind}", "bold red")
    if not found.ok:
        session.out.say(_("The journal itself does not hold, so what follows from it cannot be trusted: soc audit verify"))
        return 1
    session.out.say(_("Everything says what the journal says.") if not found.differed else _("What was wrong is right again."))
    return 0


def _list_word(name: str) -> str:
    """What people call a list."""
    return {"groups": _("groups of alerts"), "incidents": _("incidents")}.get(name, name)


@command.command(help=_("Remove whole partitions that end before a time; the plan is shown first, and the removal is recorded."))
@click.option("--before", required=True, metavar="TIME", help=_("Partitions that end before this time (365d, 2025-11-01)."))
@click.option("--kind", default="", help=_("Only this kind of events (firewall, mail, …)."))
@YES
@click.option("--dry-run", is_flag=True, help=_("Only show the plan."))
@click.option("--copy-cited", is_flag=True, help=_("Also events that incidents at work cite: copies of these stay in the evidence."))
@json_option
@pass_session
def retention(session: Session, before: str, kind: str, yes: bool, dry_run: bool, copy_cited: bool, as_json: bool) -> int:
    """Remove old partitions."""
    from soc.application import store

    app = session.app()
    before_us = read_time(before, app.clock.now_us(), session.settings.timezone)
    plan = store.retention(app, kind=kind, before_us=before_us, dry_run=True)
    removed = False
    if plan and not dry_run:
        count = sum(int(one.get("events", 0)) for one in plan)
        question = _("{partitions} partitions with {events} events will be removed for good.").format(partitions=len(plan), events=_show.number(count))
        if _agreed(session, yes, question):
            plan, removed = store.retention(app, kind=kind, before_us=before_us, dry_run=False, copy_cited=copy_cited), True
    if as_json:
        write_json({"schema_version": 1, "kind": "retention", "removed": removed, "total": len(plan), "truncated": False, "items": plan})
        return 0
    for one in plan:
        session.out.text(f"{'✖' if removed else '·'} {one.get('name', '')}  {_show.number(int(one.get('events', 0)))}")
    if not plan:
        session.out.say(_("nothing is older"))
    return 0


@command.command(help=_("Bring the store to this version; with --reparse every event is read anew from its original line."))
@click.option("--reparse", is_flag=True, help=_("Read every event anew: a new generation is written beside the old and takes its place."))
@YES
@click.option("--dry-run", is_flag=True, help=_("Only show what would be done."))
@json_option
@pass_session
def migrate(session: Session, reparse: bool, yes: bool, dry_run: bool, as_json: bool) -> int:
    """Migrate the store."""
    from soc.application import store

    # With the lock: a pipeline must not write while partitions change places.
    app = session.app(pipeline=True)
    if not dry_run and not _agreed(session, yes, _("The store will be brought to this version.")):
        dry_run = True
    with Progress(session) as progress:
        done = store.migrate(app, reparse=reparse, dry_run=dry_run, progress=lambda now, total: progress(_("{count} events").format(count=now), now, total))
    if as_json:
        write_json({"schema_version": 1, "kind": "migration", "dry_run": dry_run, "result": done})
    else:
        labels = _labels()
        for key, value in done.items():
            session.out.text(f"{labels.get(key, key):<26} {cell(value)}")
    return 0


def _labels() -> dict[str, str]:
    """What people call the keys of a status or a migration; the keys themselves are those of the JSON."""
    return {
        "kind": _("kind"),
        "place": _("place"),
        "version": _("version"),
        "schema": _("schema"),
        "control_schema": _("schema of the control file"),
        "generation": _("generation"),
        "pipeline_pid": _("pipeline (process)"),
        "events": _("events"),
        "bytes": _("size"),
        "waiting": _("waiting"),
        "free_bytes": _("free"),
        "from": _("from schema"),
        "to": _("to schema"),
        "changed": _("changed"),
    }


def _name(session: Session) -> str:
    """The store as people know it: its folder, or what the configuration names."""
    from soc.bootstrap import store_path

    store = session.settings.store
    return str(store_path(session.settings)) if store.kind == "embedded" else f"{store.kind} {', '.join(store.hosts)} ({store.prefix})"


def _agreed(session: Session, yes: bool, plan: str) -> bool:
    """Whether a change may be made: `--yes`, or a person says so; else the plan is all there is."""
    if yes:
        return True
    session.out.say(plan)
    if may_ask(session):
        return click.confirm(_("Do it?"), default=False, err=True)
    session.out.say(_("Nothing was changed; --yes does it."))
    return False
