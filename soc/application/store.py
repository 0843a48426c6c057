"""Keeping house: ledger, status, retention, migration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from soc.application import evidence
from soc.application.access import require
from soc.application.app import App
from soc.application.pipelines import make_pipeline
from soc.clock import iso
from soc.errors import Conflict, NotAllowed, NotFound, Phrase, UsageError, near
from soc.incidents.workflow import OPEN
from soc.ingest.records import record_of
from soc.model.event import Doc
from soc.model.fact import ANY_VERSION, NewFact
from soc.model.level import KINDS
from soc.model.record import SCOPE_REAL
from soc.ports import LedgerItem

Progress = Callable[[str, int, int], None]
RETENTION = "retention"
"""The stream of the journal that says who had old events removed; the store keeps the same, without the name, as a fact of its own."""


def ledger(app: App) -> tuple[list[LedgerItem], bool]:
    """All rows, and whether every difference is 0."""
    items = app.store.ledger()
    return items, not any(item.difference for item in items)


def status(app: App) -> dict[str, Any]:
    """Kind, place, schema, partitions and free space of the store."""
    return app.store.status()


def retention(app: App, *, kind: str, before_us: int, dry_run: bool, copy_cited: bool = False) -> list[dict[str, Any]]:
    """The partitions of a kind ("" = every kind) that end before a time; removed unless `dry_run`.

    Events that incidents cite are copied into their evidence first. Raises: Conflict while incidents at work cite some, unless
    `copy_cited` says that the copies will do.
    """
    require(app, "store.keep")
    if kind and kind not in KINDS:
        raise UsageError(Phrase("no kind is named {kind!r}", kind=kind), hint=Phrase("one of {names}", names=", ".join(KINDS)))
    if app.settings.read_only and not dry_run:
        raise NotAllowed("this is read-only", hint="set read_only = false")
    kinds = [kind] if kind else list(KINDS)
    plan = [one for name in kinds for one in app.store.drop_partitions(kind=name, before_us=before_us, dry_run=True)]
    if dry_run or not plan:
        return plan
    found = evidence.threatened(app, plan)
    at_work = [one.incident.id for one in found if one.incident.state in OPEN]
    if at_work and not copy_cited:
        raise Conflict(
            Phrase("incidents at work need these events: {incidents}", incidents=", ".join(at_work[:5]) + (" …" if len(at_work) > 5 else "")),  # noqa: PLR2004
            hint="close them first, or with --copy-cited keep only what their alerts cite",
        )
    evidence.keep_threatened(app, found)
    dropped = [one for name in kinds for one in app.store.drop_partitions(kind=name, before_us=before_us, dry_run=False)]
    data = {"before": iso(before_us), "partitions": {one["name"]: one["events"] for one in dropped}} | ({"kind": kind} if kind else {})
    app.journal.append(RETENTION, ANY_VERSION, [NewFact("PartitionsRemoved", data, "")], actor=app.actor.name, scope=SCOPE_REAL)
    return dropped


def migrate(app: App, *, reparse: bool, dry_run: bool, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Bring the store to this version's schema; with `reparse` every event is read anew from its original line.

    What people and rules said of an event (level, category, agency) stays when its line is read anew.
    """
    require(app, "store.keep")
    return app.store.migrate(_reparser(app) if reparse else None, dry_run=dry_run, progress=progress)


_KEPT = (
    *("soc.id", "soc.threat.", "soc.agency.", "soc.system.", "soc.scope", "soc.network_point"),
    "soc.registry",
    *("soc.natural_key", "soc.counted", "soc.rules_hash"),
)
"""Not what the line says but what was said of it when it came: its source may have gone since, or belong elsewhere."""


def _reparser(app: App) -> Callable[[Doc], Doc]:
    pipeline = make_pipeline(app, app.wiring.memory_store())

    def again(doc: Doc) -> Doc:
        if "soc.derived" in doc or "event.original" not in doc:
            return doc
        events = pipeline.process([record_of(doc)]).events
        new = next((event.doc for event in events if not event.derived), None)
        if new is None:
            return doc
        kept = {key: value for key, value in doc.items() if key.startswith(_KEPT)}
        # In the order of a first reading, so that an event that says the same looks the same.
        return {**{key: kept.get(key, value) for key, value in new.items() if key in kept or not key.startswith(_KEPT)}, **kept}

    return again


def record_offset(app: App, source: str, offset_s: float, from_us: int, why: str) -> dict[str, Any]:
    """Record the clock offset of a source from a received time on; the fact.

    Raises: UsageError without a reason, NotFound for a source that is neither configured nor known to the ledger.
    """
    require(app, "sources.change")
    if not why.strip():
        raise UsageError("a clock offset needs a reason", hint="--why '…'")
    if source not in app.settings.sources and source not in (known := app.known_sources()):
        raise NotFound(Phrase("no source {name}", name=source), hint=near(source, sorted(known), "soc sources list"))
    fact = {"source": source, "offset_s": offset_s, "from_us": from_us, "from": iso(from_us), "by": app.actor.name, "why": why, "at": iso(app.clock.now_us())}
    app.store.record_fact("clock-offset", fact)
    return fact
