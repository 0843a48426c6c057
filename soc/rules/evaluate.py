"""Rules on a file of events, without a store: what `soc rules eval` prints.

The same engine, the same fold and the same explanations as in the pipeline; only ids differ, as an event is known by its
line number here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import msgspec
import orjson

from soc.clock import from_datetime, iso
from soc.model.event import Doc, flatten
from soc.rules.ast import Rule
from soc.rules.collection import Collection
from soc.rules.correlate import CorrelationAlert, Correlator
from soc.rules.correlation import All, Correlation, Either, Expression, Lacks
from soc.rules.engine import compile_ruleset
from soc.rules.explain import explain
from soc.rules.fields import ecs_fields, taxonomy
from soc.rules.measures import bits
from soc.rules.signals import Extractor
from soc.rules.values import local_time

MOST_LINE = 64 * 1_048_576
"""Bytes of one line of events."""
MOST_MEMBERS = 20
"""Members of a correlation that its explanation shows."""
_EVERY = 1_000
"""Lines between two steps of the watermark."""
_DIGITS = 12
_FIRST_YEAR, _LAST_YEAR = 1900, 9000

Alert = dict[str, Any]


class Options(msgspec.Struct, frozen=True):
    """How events are read. `lateness_us` None = all events are there before any is judged; `until_us`: the time to which."""

    time_field: str = "@timestamp"
    lateness_us: int | None = None
    until_us: int | None = None


class Evaluation(msgspec.Struct):
    """The alerts in order of (last n, rule id), and what could not be used."""

    alerts: list[Alert]
    refused: list[tuple[int, str]]
    """Line and reason of what is no event."""
    late: int = 0
    """Events later than the lateness: they were dropped."""
    timeless: int = 0
    """Events that a correlation needs and that have no readable time."""


def evaluate(collection: Collection, lines: Iterable[bytes | None], options: Options | None = None) -> Evaluation:
    """Evaluate all rules of a collection on lines of JSON (None = a line that was too long)."""
    return _Run(collection, options or Options()).run(lines)


class _Run:
    """One evaluation."""

    def __init__(self, collection: Collection, options: Options) -> None:
        self.collection = collection
        self.options = options
        self.engine = compile_ruleset(collection.ruleset)
        self.fold = Correlator(collection.correlations)
        self.result = Evaluation([], [])
        self.told: dict[str, CorrelationAlert] = {}
        self.lines: dict[str, set[int]] = {}
        self.newest: int | None = None
        self.oldest: int | None = None
        self.begun = False
        self.extractors: dict[str, list[Extractor]] = {}
        names = taxonomy()
        for rule in collection.correlations:
            for place, member in enumerate(rule.rules):
                written = collection.written.get(member)
                if written is not None:
                    fields_of = _mapped(written, names) if collection.ruleset.ecs else lambda field: (field,)
                    self.extractors.setdefault(member, []).append(Extractor(rule, place, fields_of))

    def run(self, lines: Iterable[bytes | None]) -> Evaluation:
        for n, line in enumerate(lines, 1):
            if line is not None and not line.strip():
                continue
            doc = self._read(n, line)
            if doc is not None:
                self._event(n, doc)
            if self.options.lateness_us is not None and n % _EVERY == 0 and self.newest is not None:
                self._advance(self.newest - self.options.lateness_us, final=False)
        horizon = self.options.until_us if self.options.until_us is not None else self.newest
        if horizon is not None:
            self._advance(horizon + 1, final=True)
        self._gather()
        for alert in self.told.values():
            if alert.rule not in self.collection.silent:
                self.result.alerts.append(self._correlation(alert))
        self.result.alerts.sort(key=_order)
        for found in self.result.alerts:
            del found["order"]
        return self.result

    def _read(self, n: int, line: bytes | None) -> Doc | None:
        try:
            return read_event(line)
        except ValueError as error:
            self.result.refused.append((n, str(error)))
            return None

    def _event(self, n: int, doc: Doc) -> None:
        ts = _time(doc.get(self.options.time_field))
        if ts is not None:
            if self.options.until_us is not None and ts > self.options.until_us:
                return
            self.newest = ts if self.newest is None else max(self.newest, ts)
            if self.options.lateness_us is not None and ts < self.newest - self.options.lateness_us:
                self.result.late += 1
                return
            self.oldest = ts if self.oldest is None else min(self.oldest, ts)
        needs_time = False
        for index in self.engine.classify(doc).matches:
            rule = self.engine.rules[index]
            if rule.id not in self.collection.silent:
                self.result.alerts.append(self._detection(n, rule, doc))
            for extractor in self.extractors.get(rule.id, ()):
                needs_time = True
                if ts is not None:
                    for signal in extractor.signals(doc, ts, f"{n:0{_DIGITS}}"):
                        self.fold.add(signal)
        self.result.timeless += needs_time and ts is None

    def _advance(self, watermark: int, *, final: bool) -> None:
        if not self.begun and self.oldest is not None:
            self.fold.begin(self.oldest)
            self.begun = True
        for alert in self.fold.advance(watermark, final=final):
            self.told[alert.id] = alert

    # --- alerts ---------------------------------------------------------------------------------------------------------

    def _detection(self, n: int, rule: Rule, doc: Doc) -> Alert:
        explanation = explain(rule.condition, doc) | {"rule_hash": rule.hash}
        if rule.lists:
            explanation["lists"] = list(rule.lists)
        filters = self.collection.filters.get(rule.id)
        if filters:
            explanation["filters"] = [{"id": one.id, "title": one.title, "hash": one.hash} for one in filters]
        return {"rule_id": rule.id, "rule": rule.title, "level": rule.level, "events": [n], "late": False, "explanation": explanation, "order": (n, 0)}

    def _correlation(self, alert: CorrelationAlert) -> Alert:
        rule = self.fold.rules[alert.rule]
        events = sorted(self.lines[alert.id])
        before = alert.first.partition("@")[0]
        anchor = int(before) if before.isdigit() else 0
        return {
            "rule_id": rule.id,
            "rule": rule.title,
            "level": rule.level,
            "events": events,
            "group": alert.group,
            "window": {"start": iso(alert.start), "end": iso(alert.end)},
            "late": alert.late,
            "explanation": self._explained(rule, alert),
            "order": (events[-1] if events else anchor, alert.at),
        }

    def _gather(self) -> None:
        """Note the lines behind each alert, also those behind the alerts it is made of: rules stand before those built on them."""
        by_rule: dict[str, list[CorrelationAlert]] = {}
        for alert in self.told.values():
            by_rule.setdefault(alert.rule, []).append(alert)
        for rule in self.collection.correlations:
            for alert in by_rule.get(rule.id, ()):
                found: set[int] = set()
                for _, name, _ in alert.members:
                    inner = self.lines.get(name)
                    if inner is None:
                        found.add(int(name))
                    else:
                        found |= inner
                self.lines[alert.id] = found

    def _explained(self, rule: Correlation, alert: CorrelationAlert) -> Alert:
        def member(ts: int, name: str, rules: int) -> Alert:
            which = {"alert": name, "events": sorted(self.lines[name])} if name in self.lines else {"event": int(name)}
            return {**which, "time": iso(ts), "rules": [rule.rules[place] for place in bits(rules)]}

        filters = {one.id: {"id": one.id, "title": one.title, "hash": one.hash} for name in rule.rules for one in self.collection.filters.get(name, ())}
        return {
            "node": "correlation",
            "matched": True,
            "type": rule.type,
            "timespan_s": rule.span_us // 1_000_000,
            "condition": condition_text(rule),
            "fields": list(rule.fields),
            "measure": alert.measure,
            "last_measure": alert.last_measure,
            "at": iso(alert.at),
            "count": alert.count,
            "truncated": alert.truncated,
            "members": [member(*one) for one in alert.members[:MOST_MEMBERS]],
            "rules": {one: self._title(one) for one in rule.rules},
            "rule_hash": rule.hash,
            "alert_id": alert.id,
            **({"filters": list(filters.values())} if filters else {}),
        }

    def _title(self, rule_id: str) -> str:
        found = self.collection.written.get(rule_id) or self.fold.rules.get(rule_id)
        return found.title if found else ""


def condition_text(rule: Correlation) -> str:
    """The condition of a correlation as text: `gte 3 and lte 9`, or the boolean expression over rule ids."""
    if rule.expression is None:
        return " and ".join(f"{bound.op} {bound.number if bound.denominator == 1 else float(bound.number)}" for bound in rule.bounds)

    def text(node: Expression) -> str:
        if isinstance(node, (All, Either)):
            return "(" + (" and " if isinstance(node, All) else " or ").join(map(text, node.args)) + ")"
        return ("not " if isinstance(node, Lacks) else "") + rule.rules[node.rule]

    return text(rule.expression)


def _order(alert: Alert) -> tuple[Any, ...]:
    last, at = alert["order"]
    return last, alert["rule_id"], at, sorted(alert.get("group", {}).items())


def _mapped(rule: Rule, names: Any) -> Callable[[str], tuple[str, ...]]:
    return lambda field: tuple(ecs_fields(field, rule.logsource, names)) or (field,)


def _time(value: Any) -> int | None:
    if isinstance(value, list):
        value = value[0] if value else None
    moment = local_time(value)
    # The first and the last years are what systems write for «no time»; windows around them could not be told either.
    return None if moment is None or not _FIRST_YEAR <= moment.year < _LAST_YEAR else from_datetime(moment)


def read_event(line: bytes | None) -> Doc:
    """The flat event of a line of JSON.

    Raises: ValueError with the reason when it is none.
    """
    if line is None:
        raise ValueError(f"the line has more than {MOST_LINE:,} bytes")
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        found = _lenient(line, str(error))
    if not isinstance(found, dict):
        raise ValueError("the line is no JSON object")  # noqa: TRY004 - one kind of error for what is no event
    try:
        return flatten(found)
    except RecursionError as error:
        raise ValueError("objects are nested too deep") from error


def _lenient(line: bytes, reason: str) -> Any:
    """What the standard library reads where orjson does not: escapes of half characters, which would hide an event."""
    if b"\\u" not in line and b"\\U" not in line:
        raise ValueError(f"not JSON: {reason}")
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {reason}") from error


def read_lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """The lines of a stream; None in place of one that is too long."""
    while line := stream.readline(MOST_LINE + 1):
        if len(line) > MOST_LINE and not line.endswith(b"\n"):
            while (rest := stream.readline(MOST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield None
        else:
            yield line
