"""Why a correlation fires for some events, or why not: its members, its groups, the window that came nearest, and what was missing.

Made with the naive oracle, so it is the definition that speaks. Cost: quadratic in the events of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import msgspec

from soc.clock import from_datetime, iso
from soc.model.event import Doc
from soc.rules.collection import Collection
from soc.rules.correlate_naive import Moment, alert_key, alerts, measured, moments_of
from soc.rules.correlation import Correlation, lacking, needed
from soc.rules.engine import compile_ruleset
from soc.rules.evaluate import condition_text
from soc.rules.match import matches
from soc.rules.measures import bits
from soc.rules.oracle import DIGITS, fields_of_member
from soc.rules.signals import Extractor, Signal, of_alert
from soc.rules.values import local_time

MOST_GROUPS = 20
"""Groups that are shown, those that came nearest first."""
MOST_SHOWN = 20
"""Events of a window or a list that are shown."""


class Member(msgspec.Struct):
    """One rule of a correlation. `matched`: events; of these `elsewhere` are not of its log source, `timeless` have no readable time,
    `ungrouped` lack a field of the group and `valueless` the value that is counted, so they do not count.
    """

    rule: str
    title: str
    matched: int = 0
    counted: int = 0
    elsewhere: list[int] = []
    timeless: list[int] = []
    ungrouped: list[int] = []
    valueless: list[int] = []
    title_vi: str = ""


class Window(msgspec.Struct):
    """The window of a group that came nearest. `missing`: rules that it lacks, `unwanted`: rules whose events keep it from firing."""

    group: dict[str, str]
    count: int
    start: str
    end: str
    events: list[int]
    measure: str
    fired: bool
    missing: list[str] = []
    unwanted: list[str] = []


class Explained(msgspec.Struct):
    """A correlation on events."""

    rule: str
    title: str
    type: str
    matched: bool
    timespan_s: int
    condition: str
    group_by: list[str]
    fields: list[str]
    alerts: int
    members: list[Member]
    groups: list[Window]
    more_groups: int


def explain_correlation(rule: Correlation, collection: Collection, docs: Sequence[Doc], until_us: int | None = None) -> Explained:
    """Why a correlation of a collection fires for these events or does not."""
    part = collection.part(rule.id)
    members = {one: Member(one, _title(part, one), title_vi=_title_vi(part, one)) for one in rule.rules}
    signals, usable = _signals(part, rule, docs, members)
    horizon = until_us if until_us is not None else max(usable, default=0)
    begin = {"real": min(usable)} if usable else {}
    events: dict[str, list[int]] = {}
    for child in part.correlations:
        if child.id != rule.id:
            _children(part, child, signals, horizon, begin, events, members)
    mine = [signal for signal in signals if signal.correlation == rule.id and signal.ts <= horizon]
    found = alerts([rule], mine, horizon, begin) if usable else []
    fired = {one.key for one in found}
    keys = sorted({signal.key for signal in mine})
    groups = [_window(rule, moments_of([signal for signal in mine if signal.key == key]), events, fired=key in fired) for key in keys]
    groups.sort(key=lambda one: (not one.fired, len(one.missing) + len(one.unwanted), -one.count, sorted(one.group.items())))
    return Explained(
        rule.id,
        rule.title,
        rule.type,
        bool(found),
        rule.span_us // 1_000_000,
        condition_text(rule),
        list(rule.group_by),
        list(rule.fields),
        len(found),
        list(members.values()),
        groups[:MOST_GROUPS],
        max(0, len(groups) - MOST_GROUPS),
    )


def _title(part: Collection, name: str) -> str:
    found = part.get(name)
    return found.title if found else name


def _title_vi(part: Collection, name: str) -> str:
    found = part.get(name)
    return found.title_vi if found else ""


def _signals(part: Collection, rule: Correlation, docs: Sequence[Doc], members: dict[str, Member]) -> tuple[list[Signal], list[int]]:
    """The signals of all events, and their times; what each member lost on the way is counted."""
    engine = compile_ruleset(part.ruleset)
    signals: list[Signal] = []
    usable: list[int] = []
    for number, doc in enumerate(docs, 1):
        moment = local_time(doc.get("@timestamp"))
        ts = None if moment is None else from_datetime(moment)
        if ts is not None:
            usable.append(ts)
        routed = {engine.rules[index].id for index in engine.classify(doc).matches}
        for one in part.ruleset.rules:
            if not matches(one.condition, doc):
                continue
            member = members.get(one.id)
            if member is not None:
                member.matched += 1
                if one.id not in routed:
                    member.elsewhere.append(number)
                elif ts is None:
                    member.timeless.append(number)
            if ts is None or one.id not in routed:
                continue
            for correlation in part.correlations:
                for place, name in enumerate(correlation.rules):
                    if name == one.id:
                        made = Extractor(correlation, place, fields_of_member(part, name)).signals(doc, ts, f"{number:0{DIGITS}}")
                        signals += made
                        if correlation.id == rule.id and member is not None:
                            _count(rule, place, part, member, doc, number, made=bool(made))
    return signals, usable


def _count(rule: Correlation, place: int, part: Collection, member: Member, doc: Doc, number: int, *, made: bool) -> None:
    if made:
        member.counted += 1
        return
    # Without the value that is counted the event would still be in a group.
    grouped = Extractor(msgspec.structs.replace(rule, fields=()), place, fields_of_member(part, member.rule)).signals(doc, 0, "x")
    (member.valueless if grouped else member.ungrouped).append(number)


def _children(
    part: Collection, child: Correlation, signals: list[Signal], horizon: int, begin: dict[str, int], events: dict[str, list[int]], members: dict[str, Member]
) -> None:
    """The alerts of a correlation that another one builds on, as its signals."""
    for one in alerts([child], [signal for signal in signals if signal.correlation == child.id], horizon, begin):
        name = alert_key(one)
        events[name] = sorted({number for _, inner, _ in one.members for number in events.get(inner, [int(inner)] if inner.isdigit() else [])})
        if child.id in members:
            members[child.id].matched += 1
        for parent in part.correlations:
            for place, member in enumerate(parent.rules):
                made = of_alert(parent, place, child, one.at, name, one.key, one.shown) if member == child.id else None
                if made is not None:
                    signals.append(made)
                    if child.id in members:
                        members[child.id].counted += 1


def _window(rule: Correlation, moments: list[Moment], events: dict[str, list[int]], *, fired: bool) -> Window:
    """The window that came nearest to what the condition wants."""
    best: tuple[tuple[Any, ...], int, list[Moment], Fraction | None, list[str], list[str]] | None = None
    for ts in sorted({moment.ts for moment in moments}):
        window = [moment for moment in moments if ts - rule.span_us <= moment.ts <= ts]
        measure = measured(rule, window)
        missing, unwanted = _lacks(rule, window, [moment for moment in moments if ts - rule.span_us <= moment.ts <= ts + rule.span_us])
        rank = (rule.expression is None and rule.holds(measure), -len(missing) - len(unwanted), _near(rule, measure))
        if best is None or rank > best[0]:
            best = (rank, ts, window, measure, missing, unwanted)
    assert best is not None
    _rank, ts, window, measure, missing, unwanted = best
    numbers = sorted({number for moment in window for number in events.get(moment.id, [int(moment.id)] if moment.id.isdigit() else [])})
    group = dict(zip(rule.group_by, moments[0].shown, strict=False))
    shown = "" if measure is None else str(measure.numerator) if measure.denominator == 1 else f"{float(measure):.6g}"
    return Window(group, len(moments), iso(max(ts - rule.span_us, window[0].ts)), iso(ts), numbers[:MOST_SHOWN], shown, fired, missing, unwanted)


def _lacks(rule: Correlation, window: list[Moment], around: list[Moment]) -> tuple[list[str], list[str]]:
    """The rules that a window lacks, and those that it should lack."""
    seen = {place for moment in window for place in bits(moment.rules)}
    if rule.expression is not None:
        near = {place for moment in around for place in bits(moment.rules)}
        return [rule.rules[place] for place in dict.fromkeys(needed(rule.expression)) if place not in seen], [
            rule.rules[place] for place in sorted(lacking(rule.expression) & near)
        ]
    if rule.type in {"temporal", "temporal_ordered"}:
        return [name for place, name in enumerate(rule.rules) if place not in seen], []
    return [], []


def _near(rule: Correlation, measure: Fraction | None) -> Fraction:
    """How near a measure comes: the less is missing to the bounds, the larger."""
    if measure is None:
        return Fraction(-(10**18))
    return -sum((abs(measure - bound.number) for bound in rule.bounds if not rule.holds(measure)), Fraction(0))
