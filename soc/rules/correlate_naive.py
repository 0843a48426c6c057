"""The naive oracle of correlation: the alerts of a set of signals, written plainly from the table of semantics.

Every window is looked at anew from all signals; nothing is kept up, nothing optimised. `soc.rules.correlate` must give
the same. Cost: quadratic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

import msgspec

from soc.rules.correlation import All, Correlation, Expression, Lacks, Ref, lacking, needed
from soc.rules.signals import Signal, of_alert


class Found(msgspec.Struct, frozen=True, order=True):
    """One episode."""

    rule: str
    key: tuple[str, ...]
    at: int
    end: int
    first: str
    shown: tuple[str, ...]
    members: tuple[tuple[int, str, int], ...]
    measure: Fraction | None
    last_measure: Fraction | None


class Moment(msgspec.Struct, frozen=True):
    """One event in one group."""

    ts: int
    id: str
    rules: int
    values: tuple[str | int, ...]
    shown: tuple[str, ...]


def alerts(rules: Sequence[Correlation], signals: Iterable[Signal], horizon: int, begin: dict[str, int]) -> list[Found]:
    """All episodes of all correlations (children before parents) until `horizon`, inclusive.

    `begin`: since when each scope is observed.
    """
    waiting = list(signals)
    out: list[Found] = []
    for rule in rules:
        mine = [signal for signal in waiting if signal.correlation == rule.id and signal.ts <= horizon]
        for key in sorted({signal.key for signal in mine} | ({(scope,) for scope in begin} if rule.by_time and not rule.group_by else set())):
            moments = moments_of([signal for signal in mine if signal.key == key])
            found = _silences(rule, key, moments, horizon, begin) if rule.by_time else _episodes(rule, key, moments)
            out += found
            for parent in rules:
                for place, member in enumerate(parent.rules):
                    if member == rule.id:
                        made = [of_alert(parent, place, rule, one.at, alert_key(one), one.key, one.shown) for one in found]
                        waiting += [signal for signal in made if signal is not None]
    return sorted(out)


def alert_key(found: Found) -> str:
    """A name of an episode that orders and identifies as the alert's id does."""
    from soc.model.ids import digest_id  # noqa: PLC0415 - only parents need it

    return "c-" + digest_id("correlation", found.rule, *found.key, found.first)


def moments_of(signals: list[Signal]) -> list[Moment]:
    """Every event once, in order of time."""
    by_id: dict[tuple[int, str], list[Signal]] = {}
    for signal in signals:
        by_id.setdefault((signal.ts, signal.id), []).append(signal)
    out = []
    for (ts, name), same in sorted(by_id.items()):
        values = same[0].values
        if any(signal.values != values for signal in same):
            values = tuple(dict.fromkeys(value for signal in same for value in signal.values))
        rules = 0
        for signal in same:
            rules |= signal.rules
        out.append(Moment(ts, name, rules, values, same[0].shown))
    return out


def _episodes(rule: Correlation, key: tuple[str, ...], moments: list[Moment]) -> list[Found]:
    out: list[list[tuple[int, list[Moment], Fraction | None]]] = []
    before: int | None = None
    holding = False
    for ts in sorted({moment.ts for moment in moments}):
        window = [moment for moment in moments if ts - rule.span_us <= moment.ts <= ts]
        around = [moment for moment in moments if ts - rule.span_us <= moment.ts <= ts + rule.span_us]
        measure = measured(rule, window)
        holds = _true(rule, window, around) if rule.expression is not None else rule.holds(measure)
        if holds:
            if holding and before is not None and ts - before <= rule.span_us:
                out[-1].append((ts, [moment for moment in moments if moment.ts == ts], measure))
            else:
                out.append([(ts, window, measure)])
        holding, before = holds, ts
    found = []
    for run in out:
        first = min((moment for moment in run[0][1] if moment.ts == run[0][0]), key=lambda moment: moment.id)
        found.append(_found(rule, key, run, first.id, first.shown))
    return found


def _silences(rule: Correlation, key: tuple[str, ...], moments: list[Moment], horizon: int, begin: dict[str, int]) -> list[Found]:
    lives: list[list[Moment]] = []
    for moment in moments:
        if lives and (not rule.group_by or moment.ts - lives[-1][-1].ts <= rule.span_us + 1):
            lives[-1].append(moment)
        else:
            lives.append([moment])
    out = []
    for life in lives or [[]]:
        known = begin[key[0]] if not rule.group_by and key[0] in begin else life[0].ts
        instants = {known + rule.span_us} | {moment.ts for moment in life} | {moment.ts + rule.span_us + 1 for moment in life}
        run: list[tuple[int, list[Moment], Fraction | None]] = []
        for ts in sorted(ts for ts in instants if known + rule.span_us <= ts <= horizon):
            window = [moment for moment in life if ts - rule.span_us <= moment.ts <= ts]
            measure = measured(rule, window)
            if rule.holds(measure):
                run.append((ts, window if not run else [moment for moment in window if moment.ts == ts], measure))
            if run and (not rule.holds(measure) or ts == max(ts for ts in instants if ts <= horizon)):
                before = [moment for moment in life if moment.ts <= run[0][0]]
                last = max(before, key=lambda moment: (moment.ts, moment.id), default=None)
                out.append(_found(rule, key, run, f"{last.id if last else ''}@{run[0][0]}", last.shown if last else ()))
                run = []
    return out


def _found(rule: Correlation, key: tuple[str, ...], run: list[tuple[int, list[Moment], Fraction | None]], first: str, shown: tuple[str, ...]) -> Found:
    members = tuple(sorted((moment.ts, moment.id, moment.rules) for _, window, _ in run for moment in window))
    return Found(rule.id, key, run[0][0], run[-1][0], first, shown, members, run[0][2], run[-1][2])


def measured(rule: Correlation, window: list[Moment]) -> Fraction | None:
    """The measure of a window, from its definition."""
    values = [value for moment in window for value in moment.values]
    match rule.type:
        case "event_count":
            return Fraction(len(window))
        case "value_count":
            return Fraction(len(set(values)))
        case "temporal":
            return Fraction(len({place for moment in window for place in range(len(rule.rules)) if moment.rules >> place & 1}))
        case "temporal_ordered":
            return Fraction(_chain(window, _wanted(rule)))
    numbers = sorted(map(Fraction, values))
    if rule.type == "value_sum":
        return sum(numbers, Fraction(0))
    if not numbers:
        return None
    if rule.type == "value_avg":
        return sum(numbers, Fraction(0)) / len(numbers)
    position = Fraction((len(numbers) - 1) * rule.percentile, 100)
    low = int(position)
    high = min(low + 1, len(numbers) - 1)
    return numbers[low] + (numbers[high] - numbers[low]) * (position - low)


def _wanted(rule: Correlation) -> list[int]:
    return sorted(set(needed(rule.expression))) if rule.expression is not None else list(range(len(rule.rules)))


def _chain(window: list[Moment], rules: list[int]) -> int:
    """The most rules that have events one after the other, in their order (events of one instant in any)."""
    best: dict[tuple[int, int], int] = {}

    def longest(place: int, since: int) -> int:
        """The longest chain of the rules from `place` on, with events not before `since`."""
        if place == len(rules):
            return 0
        if (place, since) not in best:
            times = [moment.ts for moment in window if moment.rules >> rules[place] & 1 and moment.ts >= since]
            skip = longest(place + 1, since)
            best[place, since] = max(skip, 1 + longest(place + 1, min(times))) if times else skip
        return best[place, since]

    return longest(0, min((moment.ts for moment in window), default=0))


def _true(rule: Correlation, window: list[Moment], around: list[Moment]) -> bool:
    assert rule.expression is not None
    seen = {place for moment in window for place in range(len(rule.rules)) if moment.rules >> place & 1}
    near = {place for moment in around for place in range(len(rule.rules)) if moment.rules >> place & 1}
    if rule.type == "temporal_ordered":
        return not near & lacking(rule.expression) and _chain(window, _wanted(rule)) == len(_wanted(rule))

    def holds(node: Expression) -> bool:
        if isinstance(node, Ref):
            return node.rule in seen
        if isinstance(node, Lacks):
            return node.rule not in near
        return all(map(holds, node.args)) if isinstance(node, All) else any(map(holds, node.args))

    return holds(rule.expression)
