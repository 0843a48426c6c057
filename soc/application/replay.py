"""Replaying history: stored raw records through the parsers and a rule set, and how the alerts would differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import msgspec

from soc.application.app import App
from soc.application.pipelines import pipeline_again
from soc.clock import from_iso
from soc.config import RulesSettings
from soc.ingest.pipeline import Pipeline
from soc.ingest.records import record_of
from soc.model.alert import Alert
from soc.model.event import Doc
from soc.model.query import And, Not, Term
from soc.ports import AlertQuery, Classifier, EventQuery

HOUR_US = 3_600_000_000


class ReplayReport(msgspec.Struct):
    """What a replay found. `added`, `removed`, `changed` are alerts (of changed ones: as they would be now)."""

    events: int
    alerts_before: int
    alerts_after: int
    added: list[Alert]
    removed: list[Alert]
    changed: list[Alert]
    rules_hash: str
    levels: dict[str, int]
    """Events whose threat level would differ, as `old→new`."""


def replay(app: App, *, query: EventQuery, rules_dir: Path | None = None, progress: Callable[[int], None] = lambda _count: None) -> ReplayReport:
    """Run the stored raw records of a query through the pipeline with the given rules (default: the present ones).

    Nothing is written. Alerts are compared by id; a changed one has the same id and another level, rule hash or group.
    Cost: constant memory but for the alerts; the speed of the pipeline without the store's.
    """
    classifier = app.classifier if rules_dir is None else _only(app, rules_dir)
    scratch = app.wiring.memory_store()
    pipelines: dict[tuple[str, str], Pipeline] = {}
    after: dict[str, Alert] = {}
    events, levels = 0, dict[str, int]()
    try:
        for docs in _hours(app.store.stream(_lines_only(query))):
            before_levels = {doc["soc.id"]: doc.get("soc.threat.level", "none") for doc in docs}
            docs.sort(key=lambda doc: (doc["soc.source"], doc["soc.scope"], doc["soc.partition"], doc["soc.seq"], doc.get("soc.sub", 0)))
            for at, run in groupby(docs, key=lambda doc: (doc["soc.source"], doc["soc.scope"])):
                if at not in pipelines:
                    pipelines[at] = pipeline_again(app, scratch, *at, classifier=classifier)
                effects = pipelines[at].process([record_of(doc) for doc in run])
                after.update((alert.id, alert) for alert in effects.alerts if alert.rule.kind == "sigma")
                for event in effects.events:
                    old = before_levels.get(event.id)
                    if old is not None and old != event.level:
                        levels[f"{old}→{event.level}"] = levels.get(f"{old}→{event.level}", 0) + 1
            events += len(docs)
            progress(events)
    finally:
        scratch.close()
    before = {alert.id: alert for alert in _stored_alerts(app, query)}
    return ReplayReport(
        events=events,
        alerts_before=len(before),
        alerts_after=len(after),
        added=[after[key] for key in sorted(after.keys() - before.keys())],
        removed=[before[key] for key in sorted(before.keys() - after.keys())],
        changed=[after[key] for key in sorted(after.keys() & before.keys()) if _differs(before[key], after[key])],
        rules_hash=classifier.hash,
        levels=levels,
    )


def _only(app: App, rules_dir: Path) -> Classifier:
    classifier, app.rule_errors = app.wiring.classifier(RulesSettings(directories=[rules_dir], shipped=False))
    return classifier


def _lines_only(query: EventQuery) -> EventQuery:
    """The query without events that were assembled from others: they come out of the lines again."""
    return msgspec.structs.replace(query, where=And((query.where, Not(Term("soc.derived", "true")))), descending=False)


def _hours(docs: Iterator[Doc]) -> Iterator[list[Doc]]:
    """Documents by hour of their received time: within an hour they are put back into the order of the log."""
    for _, hour in groupby(docs, key=lambda doc: from_iso(doc["@timestamp"]) // HOUR_US):
        yield list(hour)


def _stored_alerts(app: App, query: EventQuery) -> Iterator[Alert]:
    offset = 0
    while True:
        total, page = app.store.alerts(AlertQuery(scope=query.scope, since_us=query.since_us, until_us=query.until_us, limit=1000, offset=offset))
        yield from (alert for alert in page if alert.rule.kind == "sigma")
        offset += len(page)
        if not page or offset >= total:
            return


def _differs(before: Alert, after: Alert) -> bool:
    return (before.rule.hash, before.rule.level, before.group) != (after.rule.hash, after.rule.level, after.group)
