"""What rules would have said of the events that are stored: retro-hunt, and the figures of the guard before enabling.

Stored events stream through the engine of the pipeline in order of time, narrowed by a search that the rules imply
(`soc.rules.narrow`), so the result is that of asking about every event. Correlations fold the signals of that stream. As it
is in order of time, nothing comes late: the alerts are those to which the pipeline's revisions converge after stragglers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from soc.application.app import App
from soc.application.rules_choice import Choice
from soc.clock import iso, to_datetime
from soc.model.event import Doc, event_of, usable_us
from soc.model.query import All, Node
from soc.ports import EventQuery
from soc.rules.ast import Rule
from soc.rules.correlate import CorrelationAlert, Correlator
from soc.rules.correlation import Correlation
from soc.rules.engine import Engine, group_key
from soc.rules.explain import explain
from soc.rules.fields import has_events, taxonomy
from soc.rules.narrow import narrowed

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
MOST_GROUPS = 100_000
"""Group keys that are counted one by one; beyond them only the number of alerts is exact."""
_EVERY = 1_000
"""Events between two steps of the watermark, and two reports of progress."""
_AFTERWARDS = ("soc.threat.", "soc.natural_key", "soc.counted", "soc.late")
"""Fields that the pipeline sets once the rules have been asked: they must not see them here either."""

Progress = Callable[[int, int], None]
Without = Callable[[str, int], bool]


class Hit(msgspec.Struct):
    """An alert that would have been. Times: RFC 3339 UTC. `window` and `count` only of correlations."""

    rule: str
    title: str
    level: str
    ts: str
    key: dict[str, str]
    events: list[str]
    count: int = 1
    window: tuple[str, str] | None = None
    scope: str = "real"
    explanation: dict[str, Any] = {}


class Figures(msgspec.Struct):
    """What one rule would have done."""

    rule: str
    title: str
    level: str
    kind: str
    path: str
    hash: str
    alerts: int
    days: dict[str, int]
    """Alerts by day in the zone of the settings; days without any are left out."""
    per_day: float
    """Alerts on an average day of the period, or of its part since the first stored event; of one day at least."""
    most_per_day: int
    most_per_hour: int
    """In the worst hour (UTC)."""
    in_storm: int
    """Alerts beyond `rules.storm_per_hour` in their hour: they would stand in one storm group."""
    groups: int
    biggest: list[tuple[str, int]]
    """The largest groups, as text, and their alerts."""
    fed: bool
    """False: no event of this program is of its log source, so it can never match."""


class Backtest(msgspec.Struct):
    """The result. `read` events were read of `stored`, those of the hours of the period; `narrowed`: the search left events out."""

    since: str
    until: str
    stored: int
    read: int
    seconds: float
    rules: list[Figures]
    examples: list[Hit]
    """The first alerts by time, as many as were asked for."""
    narrowed: bool = True

    @property
    def alerts(self) -> int:
        """All alerts of all rules."""
        return sum(rule.alerts for rule in self.rules)


def backtest(
    app: App,
    choice: Choice,
    *,
    since_us: int,
    until_us: int,
    scope: str | None = "real",
    examples: int = 20,
    narrow: bool = True,
    progress: Progress = lambda _read, _found: None,
    without: Without | None = None,
) -> Backtest:
    """Run rules over the stored events of a period [since, until). Nothing is written.

    `without`: what a rule said at a time (microseconds) and what correlations are not to be told of, as it was withdrawn.
    `examples` 0 = keep every alert. `narrow` False reads everything: for the tests that compare.
    Cost: one stream of the fitting events; memory grows with alerts of correlations and with groups.
    """
    begun = app.clock.monotonic()
    run = _Run(choice, since_us, until_us, ZoneInfo(app.settings.timezone), examples, without)
    where = narrowed(choice.collection.ruleset.rules) if narrow else All()
    # Correlations look back: what began before the period is read too, and only what holds inside it is told.
    query = EventQuery(where=where, scope=scope, since_us=since_us - run.reach_us, until_us=until_us, descending=False)
    for doc in app.store.stream(query):
        run.event(doc)
        if run.read % _EVERY == 0:
            progress(run.read, run.found)
    run.finish()
    everything = EventQuery(where=All(), scope=scope, since_us=since_us, until_us=until_us, descending=False, limit=1)
    first = app.store.search(everything).docs
    hours = {"since_us": since_us // HOUR_US * HOUR_US, "until_us": -(-until_us // HOUR_US) * HOUR_US}  # whole hours are counted already
    stored = app.store.count(msgspec.structs.replace(everything, **hours))
    return Backtest(
        since=iso(since_us),
        until=iso(until_us),
        stored=stored,
        read=run.read,
        seconds=app.clock.monotonic() - begun,
        rules=run.figures(app.settings.rules.storm_per_hour, usable_us(first[0]) if first else since_us),
        examples=run.hits,
        narrowed=not _everything(where),
    )


def _everything(where: Node) -> bool:
    return isinstance(where, All)


class _Count:
    """What is counted of one rule."""

    def __init__(self) -> None:
        self.days: Counter[str] = Counter()
        self.hours: Counter[int] = Counter()
        self.groups: Counter[str] = Counter()


class _Run:
    """One backtest."""

    def __init__(self, choice: Choice, since_us: int, until_us: int, zone: ZoneInfo, examples: int, without: Without | None = None) -> None:
        collection = choice.collection
        self.read = self.found = 0
        self.hits: list[Hit] = []
        self._choice = choice
        self._since, self._until, self._zone, self._examples = since_us, until_us, zone, examples
        self._engine: Engine = Engine(collection.ruleset, collection)
        self._by_id = {rule.id: number for number, rule in enumerate(self._engine.rules)}
        self.fold = Correlator(collection.correlations)
        self.fold.without = self._without = without
        self.reach_us = _reach_us(collection.correlations)
        self._counts: dict[str, _Count] = {rule.id: _Count() for rule in choice.rules()}
        self._told: dict[str, CorrelationAlert] = {}
        self._scopes: set[str] = set()
        self._day: tuple[int, str] = (-1, "")

    def event(self, doc: Doc) -> None:
        """Ask the rules about one event."""
        ts = usable_us(doc)
        self.read += 1
        seen = {field: value for field, value in doc.items() if not field.startswith(_AFTERWARDS)}
        verdict = self._engine.classify(seen)
        if verdict.classified_by and ts >= self._since:
            self._single(self._by_id[verdict.classified_by], doc, seen, ts)
        for number in verdict.matches:
            rule = self._engine.rules[number]
            if ts >= self._since and rule.id in self._counts:
                self._single(number, doc, seen, ts)
        if verdict.matches and self.fold.rules:
            matches = verdict.matches
            if self._without is not None:
                matches = tuple(number for number in matches if not self._without(self._engine.rules[number].id, ts))
            self._signals(matches, doc, seen)
        if self.read % _EVERY == 0:
            self._advance(ts // 1000 * 1000)  # events are in order of milliseconds

    def _single(self, number: int, doc: Doc, seen: Doc, ts: int) -> None:
        rule = self._engine.rules[number]
        key = group_key(rule, seen)
        self._count(rule.id, ts, key)
        if self._room():
            explanation = explain(rule.condition, seen)
            level = rule.classify.level if rule.classify else rule.level
            self.hits.append(Hit(rule.id, rule.title, level, iso(ts), key, [doc["soc.id"]], explanation=explanation))

    def _signals(self, matches: tuple[int, ...], doc: Doc, seen: Doc) -> None:
        if doc.get("soc.counted") is False:  # a repetition is no occurrence of its own: it counts in no correlation
            return
        signals = self._engine.signals(matches, event_of(doc, "").with_doc(seen))
        if not signals:
            return
        scope = str(doc.get("soc.scope", "real"))
        if scope not in self._scopes:
            self._scopes.add(scope)
            self.fold.begin(self._since - self.reach_us, scope)
        self.fold.extend(signals)

    def finish(self) -> None:
        """Everything was read: what is still open ends."""
        if not self._scopes:
            self.fold.begin(self._since - self.reach_us)
        self._advance(self._until, final=True)
        for alert in self._told.values():
            rule = self.fold.rules[alert.rule]
            self._count(rule.id, alert.at, alert.group)
            self.hits.append(
                Hit(
                    rule.id,
                    rule.title,
                    rule.level,
                    iso(alert.at),
                    alert.group,
                    [name for _, name, _ in alert.members if name not in self._told][:_EVERY],
                    alert.count,
                    (iso(alert.start), iso(alert.end)),
                    scope=alert.scope,
                )
            )
        self.hits.sort(key=lambda hit: (hit.ts, hit.rule, hit.events))
        if self._examples:
            del self.hits[self._examples :]

    def _advance(self, watermark: int, *, final: bool = False) -> None:
        for alert in self.fold.advance(watermark, final=final):
            if alert.rule in self._counts and self._since <= alert.at < self._until:
                self._told[alert.id] = alert
        self.found = max(self.found, sum(count.days.total() for count in self._counts.values()) + len(self._told))

    def _room(self) -> bool:
        return not self._examples or len(self.hits) < self._examples

    def _count(self, rule_id: str, ts: int, key: Mapping[str, str]) -> None:
        count = self._counts[rule_id]
        count.days[self._day_of(ts)] += 1
        count.hours[ts // HOUR_US] += 1
        text = " ".join(f"{name}={value}" for name, value in key.items())
        if text in count.groups or len(count.groups) < MOST_GROUPS:
            count.groups[text] += 1

    def _day_of(self, ts: int) -> str:
        quarter = ts // (HOUR_US // 4)  # zones differ by quarters of an hour
        if self._day[0] != quarter:
            self._day = (quarter, to_datetime(ts).replace(tzinfo=UTC).astimezone(self._zone).date().isoformat())
        return self._day[1]

    def figures(self, storm_per_hour: int, first_us: int) -> list[Figures]:
        """The figures of each rule that was meant; `first_us`: the time of the first stored event."""
        names = taxonomy()
        length = max((self._until - max(self._since, first_us)) / DAY_US, 1.0)
        out = []
        for rule in self._choice.rules():
            count = self._counts[rule.id]
            alerts = count.days.total()
            out.append(
                Figures(
                    rule.id,
                    rule.title,
                    rule.classify.level if isinstance(rule, Rule) and rule.classify else rule.level,
                    rule.type if isinstance(rule, Correlation) else "classification" if rule.classify else "detection",
                    rule.path,
                    rule.hash,
                    alerts,
                    dict(sorted(count.days.items())),
                    round(alerts / length, 2),
                    max(count.days.values(), default=0),
                    max(count.hours.values(), default=0),
                    sum(max(0, hits - storm_per_hour) for hits in count.hours.values()) if storm_per_hour else 0,
                    len(count.groups),
                    sorted(count.groups.items(), key=lambda item: (-item[1], item[0]))[:5],
                    any(has_events(one.logsource, names) for one in _detections(rule, self._choice)),
                )
            )
        return out


def _reach_us(correlations: Sequence[Correlation]) -> int:
    """How far back signals are needed so that what is open at a time is known as it is."""
    reach: dict[str, int] = {}
    for rule in correlations:  # children stand before their parents
        reach[rule.id] = 2 * rule.span_us + max((reach.get(member, 0) for member in rule.rules), default=0)
    return max(reach.values(), default=0)


def _detections(rule: Rule | Correlation, choice: Choice) -> Iterator[Rule]:
    """The rules that a rule is made of in the end."""
    if isinstance(rule, Rule):
        yield rule
        return
    for name in rule.rules:
        found = choice.collection.get(name)
        if found is not None:
            yield from _detections(found, choice)
