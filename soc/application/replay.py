"""Replaying history: stored raw records through the parsers and a rule set, and how the alerts would differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, product
from pathlib import Path

import msgspec

from soc.application.app import App
from soc.application.correlate import CorrelationStage, pace_of
from soc.application.directories import STAMP, Enrich, enricher, recorded
from soc.application.pipelines import pipeline_again
from soc.application.ruleset import kept_set
from soc.clock import from_iso
from soc.config import RulesSettings
from soc.errors import NotFound
from soc.ingest.pipeline import Pipeline
from soc.ingest.records import record_of
from soc.model.alert import Alert
from soc.model.event import Doc, Event
from soc.model.query import And, Not, Term
from soc.ports import AlertQuery, Classifier, Effects, EventQuery, Store
from soc.rules.engine import Engine

HOUR_US = 3_600_000_000
MADE_OF = "soc.mail.event_ids"
"""Of an assembled mail: the ids of its lines."""
_PAGE = 500


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
    missing: list[str] = []
    """Hashes of former rule sets that the store does not keep: their events were judged by the present rules."""


RECORDED = "recorded"
"""As the hash of a rule set: for each event the one under which it was judged when it came."""


class _Sets:
    """The rule sets of a replay."""

    def __init__(self, app: App, rules_dir: Path | None, rules_hash: str) -> None:
        self.missing: list[str] = []
        self.recorded = rules_hash == RECORDED
        self._app = app
        self._known: dict[str, Classifier] = {}
        self._registries: dict[str, Enrich | None] = {}
        if rules_dir is not None:
            self._present = _only(app, rules_dir)
        elif rules_hash and not self.recorded:
            found = kept_set(app.store, rules_hash)
            self._present, app.rule_errors = found.engine, found.errors
        else:
            self._present = app.classifier
        self.hash = RECORDED if self.recorded else self._present.hash

    def name(self, doc: Doc) -> str:
        """Which set an event is judged by, for `of`."""
        return str(doc.get("soc.rules_hash", "")) if self.recorded else ""

    def registry_name(self, doc: Doc) -> str:
        """Which state of the registry an event was asked about, for `enricher`."""
        return str(doc.get(STAMP, "")) if self.recorded else ""

    def enricher(self, name: str) -> Enrich | None:
        """What adds whose an event is, as it was when the event came; by the present registry where nobody recorded that."""
        if name not in self._registries:
            self._registries[name] = enricher(self._app, recorded(self._app, name) if self.recorded else None)
        return self._registries[name]

    def turns(self, docs: Iterable[Doc]) -> dict[str, str]:
        """When each of their sets came into force, as far as they tell: sets follow each other for all sources at once."""
        first: dict[str, str] = {}
        for doc in docs:
            name, at = self.name(doc), str(doc["soc.received_at"])
            first[name] = min(at, first.get(name, at))
        return first

    def of(self, name: str) -> Classifier:
        """The set of a name."""
        if not name or name == self._present.hash:
            return self._present
        if name not in self._known:
            try:
                self._known[name] = kept_set(self._app.store, name).engine
            except NotFound:
                self.missing.append(name)
                self._known[name] = self._present
        return self._known[name]


class _Correlations:
    """The correlations of a replay: folded from its signals alone."""

    def __init__(self, app: App, scratch: Store) -> None:
        self._app = app
        self._scratch = scratch
        self._stage: CorrelationStage | None = None
        self._hash = ""

    def take(self, classifier: Classifier, effects: Effects) -> list[Alert]:
        """The alerts that follow from the signals of a batch that these rules judged."""
        if not isinstance(classifier, Engine):
            return []
        if self._stage is None:
            app = self._app
            pace = pace_of(app.settings.pipeline)
            self._stage = CorrelationStage(
                classifier.collection,
                self._scratch,
                clock=app.clock,
                rules_hash=classifier.hash,
                pace=pace,
                documents=app.store.get_events,
                storm_per_hour=app.settings.rules.storm_per_hour,
            )
            self._stage.start(kept=False)
        before: list[Alert] = []
        if self._hash and classifier.hash != self._hash:
            before = self._told(self._stage.finish())  # what came under the rules before is theirs to judge
        self._hash = classifier.hash
        self._stage.use(classifier.collection, classifier.hash)
        if effects.signals:
            self._scratch.commit(Effects(progress=[], signals=effects.signals))  # stragglers are folded anew from there
        return before + self._told(self._stage.take(effects.signals, effects.marks))

    def tidy(self) -> list[Alert]:
        """Forget the signals that no rule looks back to any more."""
        return self._told(self._stage.tick()) if self._stage is not None else []

    def end(self) -> list[Alert]:
        """What is judged when all is read."""
        return self._told(self._stage.finish()) if self._stage is not None else []

    def _told(self, effects: Effects) -> list[Alert]:
        self._scratch.commit(effects)  # under other rules what was told goes on
        return effects.alerts


def replay(
    app: App, *, query: EventQuery, rules_dir: Path | None = None, rules_hash: str = "", progress: Callable[[int], None] = lambda _count: None
) -> ReplayReport:
    """Run the stored raw records of a query through the pipeline with the given rules (default: the present ones).

    `rules_hash`: a set that was in force once (or the beginning of its hash), or `RECORDED`.

    Correlations are folded from the signals of the replay; what was open before its first line is not known to it.
    Nothing is written. Alerts are compared by id; a changed one has the same id and another level, rule hash or group.
    Cost: constant memory but for the alerts; the speed of the pipeline without the store's.
    """
    sets = _Sets(app, rules_dir, rules_hash)
    scratch = app.wiring.memory_store()
    correlations = _Correlations(app, scratch)
    pipelines: dict[tuple[str, str], Pipeline] = {}
    after: dict[str, Alert] = {}
    events, levels = 0, dict[str, int]()
    try:
        for docs in _hours(app.store.stream(_lines_only(query))):
            before_levels = {doc["soc.id"]: doc.get("soc.threat.level", "none") for doc in docs}
            turn = sets.turns(docs)
            docs.sort(key=lambda doc: (turn[sets.name(doc)], doc["soc.source"], doc["soc.scope"], doc["soc.partition"], doc["soc.seq"], doc.get("soc.sub", 0)))
            for (source, scope, name, registry), run in groupby(
                docs, key=lambda doc: (doc["soc.source"], doc["soc.scope"], sets.name(doc), sets.registry_name(doc))
            ):
                at = (source, scope)
                if at not in pipelines:
                    pipelines[at] = pipeline_again(app, scratch, *at, classifier=sets.of(name))
                pipelines[at].use_rules(sets.of(name))
                pipelines[at].use_registry(sets.enricher(registry))
                effects = pipelines[at].process([record_of(doc) for doc in run])
                found = effects.alerts + correlations.take(sets.of(name), effects)
                after.update((alert.id, alert) for alert in found if alert.rule.kind == "sigma")
                before_levels |= _assembled(app.store, [event for event in effects.events if event.id not in before_levels])
                for event in effects.events:
                    old = before_levels.get(event.id)
                    if old is not None and old != event.level:
                        levels[f"{old}→{event.level}"] = levels.get(f"{old}→{event.level}", 0) + 1
            events += len(docs)
            after.update((alert.id, alert) for alert in correlations.tidy() if alert.rule.kind == "sigma")
            progress(events)
        after.update((alert.id, alert) for alert in correlations.end() if alert.rule.kind == "sigma")
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
        rules_hash=sets.hash,
        levels=levels,
        missing=sets.missing,
    )


def _only(app: App, rules_dir: Path) -> Classifier:
    classifier, app.rule_errors = app.wiring.classifier(RulesSettings(directories=[rules_dir], shipped=False, timezone=app.settings.rules_in_zone.timezone))
    return classifier


def _lines_only(query: EventQuery) -> EventQuery:
    """The query without events that were assembled from others: they come out of the lines again."""
    return msgspec.structs.replace(query, where=And((query.where, Not(Term("soc.derived", "true")))), descending=False)


def _assembled(store: Store, events: Sequence[Event]) -> dict[str, str]:
    """The stored levels of what was assembled from several lines, by id; left out where the replay has not all the lines that it was made of."""
    made = {event.id: event.doc.get(MADE_OF) for event in events}
    ids = list(made)
    return {
        doc["soc.id"]: doc.get("soc.threat.level", "none")
        for at in range(0, len(ids), _PAGE)
        for doc in store.get_events(ids[at : at + _PAGE])
        if doc.get(MADE_OF) == made[doc["soc.id"]]
    }


def _hours(docs: Iterator[Doc]) -> Iterator[list[Doc]]:
    """Documents by hour of their received time: within an hour they are put back into the order of the log."""
    for _, hour in groupby(docs, key=lambda doc: from_iso(doc["@timestamp"]) // HOUR_US):
        yield list(hour)


def _stored_alerts(app: App, query: EventQuery) -> Iterator[Alert]:
    """The alerts that the pipeline raised, also those withdrawn since and those of shadows."""
    for shadow, retracted in product((False, True), repeat=2):
        offset, total = 0, 1
        while offset < total:
            asked = AlertQuery(
                scope=query.scope, since_us=query.since_us, until_us=query.until_us, limit=1000, offset=offset, shadow=shadow, retracted=retracted
            )
            total, page = app.store.alerts(asked)
            yield from (alert for alert in page if alert.rule.kind == "sigma")
            offset += len(page)
            if not page:
                break


def _differs(before: Alert, after: Alert) -> bool:
    return (before.rule.hash, before.rule.level, before.group) != (after.rule.hash, after.rule.level, after.group)
