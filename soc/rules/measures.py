"""What is measured of the members of one group in a sliding window, kept up step by step.

Each class takes members in order of time (`push`) and tells the measure of those at or after `low` (`measure`), where
`low` never goes back. Sums and averages are exact (integers and fractions), so the order of events changes nothing.

Cost: a step costs the same however many members or different values there are; of percentiles, 3 µs with 100 values in the window and 10 µs
with a million. `temporal_ordered` that is content with some of its rules grows with the square of their number.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from fractions import Fraction
from typing import Protocol

from soc.rules.correlation import Correlation, needed

Number = int | Fraction
Values = tuple[str | int, ...]
_LONG_AGO = -(1 << 62)
_HUNDRED = 100
_SMALL = 16
_PART = 4_096
"""Numbers in a part of what is sorted."""


class Measure(Protocol):
    """The measure of one group."""

    def push(self, ts: int, rules: int, values: Values) -> None:
        """Take a member: its time, the bits of the rules it matched, its values."""

    def measure(self, low: int) -> Number | None:
        """The measure of the members at or after `low`; None when there is none (the average of nothing)."""


def measure_of(rule: Correlation) -> Measure | None:
    """A new measure for a group of a rule; None for event_count, which counts members alone."""
    match rule.type:
        case "event_count":
            return None
        case "value_count":
            return Distinct()
        case "value_sum":
            return Total()
        case "value_avg":
            return Average()
        case "value_median" | "value_percentile":
            return Percentile(rule.percentile)
        case "temporal":
            return Kinds(len(rule.rules))
    every = len(rule.rules)
    if rule.expression is not None:
        return Chain(sum(1 << place for place in set(needed(rule.expression))))
    if len(rule.bounds) == 1 and rule.bounds[0].op == "gte" and rule.bounds[0].number == every:
        return Chain((1 << every) - 1)
    return InOrder(every)


def number(value: str | int) -> Number:
    """The exact number of a signal's value: an integer, or `numerator/denominator`."""
    return value if isinstance(value, int) else Fraction(value)


class Distinct:
    """How many different values there are: per value the last time it was seen, the oldest first."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[str | int, int] = {}

    def push(self, ts: int, rules: int, values: Values) -> None:  # noqa: ARG002 - one form for all measures
        last = self._last
        for value in values:
            if value in last:
                del last[value]
            last[value] = ts
        if len(last) > _SMALL and last.__class__ is dict:
            self._last = OrderedDict(last)  # a dict is slow to find its first key after many were taken from its front

    def measure(self, low: int) -> int:
        last = self._last
        while last:
            oldest = next(iter(last))
            if last[oldest] >= low:
                break
            del last[oldest]
        return len(last)


class Total:
    """The sum of all values."""

    __slots__ = ("_fraction", "_members", "_whole", "count")

    def __init__(self) -> None:
        self._members: deque[tuple[int, Number, int]] = deque()
        self._whole = 0
        self._fraction: Number = 0
        self.count = 0

    def push(self, ts: int, rules: int, values: Values) -> None:  # noqa: ARG002 - one form for all measures
        value = number(values[0]) if len(values) == 1 else sum(map(number, values))
        self._members.append((ts, value, len(values)))
        self._add(value)
        self.count += len(values)

    def _add(self, value: Number) -> None:
        # Whole numbers and fractions apart: adding integers is ten times as fast, and nearly all values are some.
        if isinstance(value, int):
            self._whole += value
        else:
            self._fraction += value

    def measure(self, low: int) -> Number:
        members = self._members
        while members and members[0][0] < low:
            _, value, count = members.popleft()
            self._add(-value)
            self.count -= count
        return self._whole + self._fraction if self._fraction else self._whole


class Average:
    """The mean of all values."""

    __slots__ = ("_total",)

    def __init__(self) -> None:
        self._total = Total()

    def push(self, ts: int, rules: int, values: Values) -> None:
        self._total.push(ts, rules, values)

    def measure(self, low: int) -> Number | None:
        total = self._total.measure(low)
        return Fraction(total, self._total.count) if self._total.count else None


class Sorted:
    """Numbers in order, in parts that are short enough for one to be put in between."""

    __slots__ = ("_most", "_parts", "size")

    def __init__(self) -> None:
        self._parts: list[list[Number]] = [[]]
        self._most: list[Number] = [0]
        """The largest number of each part."""
        self.size = 0

    def add(self, value: Number) -> None:
        """Take a number."""
        at = min(bisect_left(self._most, value), len(self._parts) - 1)
        part = self._parts[at]
        insort(part, value)
        self._most[at] = part[-1]
        self.size += 1
        if len(part) > _PART:
            half = len(part) // 2
            self._parts[at : at + 1] = [part[:half], part[half:]]
            self._most[at : at + 1] = [part[half - 1], part[-1]]

    def remove(self, value: Number) -> None:
        """Give up a number that is there."""
        at = bisect_left(self._most, value) if len(self._parts) > 1 else 0
        part = self._parts[at]
        del part[bisect_left(part, value)]
        self.size -= 1
        if part:
            self._most[at] = part[-1]
        elif len(self._parts) > 1:
            del self._parts[at], self._most[at]

    def __getitem__(self, place: int) -> Number:
        """The number at a place, the smallest first."""
        if len(self._parts) == 1:
            return self._parts[0][place]
        if 2 * place < self.size:
            for part in self._parts:
                if place < len(part):
                    return part[place]
                place -= len(part)
        place -= self.size
        for part in reversed(self._parts):
            place += len(part)
            if place >= 0:
                return part[place]
        raise IndexError(place)


class Percentile:
    """The percentile by linear interpolation between the two nearest values; 50 is the median.

    Source: Hyndman and Fan (1996), definition 7 (that of spreadsheets, numpy and SQL's PERCENTILE_CONT).
    """

    __slots__ = ("_members", "_percent", "_sorted")

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._members: deque[tuple[int, Number]] = deque()
        self._sorted = Sorted()

    def push(self, ts: int, rules: int, values: Values) -> None:  # noqa: ARG002 - one form for all measures
        for value in map(number, values):
            self._members.append((ts, value))
            self._sorted.add(value)

    def measure(self, low: int) -> Number | None:
        members, ordered = self._members, self._sorted
        while members and members[0][0] < low:
            ordered.remove(members.popleft()[1])
        if not ordered.size:
            return None
        place, rest = divmod((ordered.size - 1) * self._percent, _HUNDRED)
        lower = ordered[place]
        return Fraction(lower * _HUNDRED + (ordered[place + 1] - lower) * rest, _HUNDRED) if rest else lower


class Kinds:
    """How many of the rules have an event."""

    __slots__ = ("last",)

    def __init__(self, rules: int) -> None:
        self.last = [_LONG_AGO] * rules

    def push(self, ts: int, rules: int, values: Values) -> None:  # noqa: ARG002 - one form for all measures
        if rules & (rules - 1):
            for place in bits(rules):
                self.last[place] = ts
        elif rules:
            self.last[rules.bit_length() - 1] = ts

    def measure(self, low: int) -> int:
        return self.seen(low).bit_count()

    def seen(self, low: int) -> int:
        """The bits of the rules with an event at or after `low`."""
        found, bit = 0, 1
        for ts in self.last:
            if ts >= low:
                found |= bit
            bit += bit
        return found


class Chain:
    """How many of the rules have events one after the other, from the first rule on, none left out; events of one instant in any order.

    For conditions that all of `wanted` (bits) must fulfil: for each rule the latest time at which a chain up to it began.
    """

    __slots__ = ("_at", "_began", "_now", "_places")

    def __init__(self, wanted: int) -> None:
        self._places = bits(wanted)
        self._began = [_LONG_AGO] * len(self._places)
        self._at = _LONG_AGO
        self._now = 0

    def push(self, ts: int, rules: int, values: Values) -> None:  # noqa: ARG002 - one form for all measures
        if ts != self._at:
            self._at, self._now = ts, rules
        else:  # all of this instant again, as an earlier rule may have come last
            self._now |= rules
        now, began, before = self._now, self._began, ts
        for step, place in enumerate(self._places):
            if now >> place & 1 and before > began[step]:
                began[step] = before
            before = began[step]

    def measure(self, low: int) -> int:
        steps = 0
        for began in self._began:
            if began < low:
                break
            steps += 1
        return steps


class InOrder:
    """How many of the rules have events one after the other, in the order of the rules; events of one instant in any.

    For each rule and length: the latest time at which a chain of that length that ends with the rule began.
    """

    __slots__ = ("_at", "_began", "_now")

    def __init__(self, rules: int) -> None:
        self._began = [[_LONG_AGO] * (rule + 1) for rule in range(rules)]
        self._at = _LONG_AGO
        self._now = 0

    def push(self, ts: int, rules: int, values: Values) -> None:  # noqa: ARG002 - one form for all measures
        if ts != self._at:
            self._at, self._now = ts, 0
        self._now |= rules
        now = self._now
        best: list[int] = []
        """Of the rules before, by length."""
        for rule in range(now.bit_length()):  # all of this instant again, as an earlier rule may have come last
            mine = self._began[rule]
            if now >> rule & 1:
                mine[0] = ts
                mine[1:] = map(max, mine[1:], best)
            best = [*map(max, best, mine), mine[-1]]

    def measure(self, low: int) -> int:
        return max((length + 1 for mine in self._began for length, began in enumerate(mine) if began >= low), default=0)


def bits(mask: int) -> list[int]:
    """The places of the bits that are set, ascending."""
    out = []
    while mask:
        out.append((mask & -mask).bit_length() - 1)
        mask &= mask - 1
    return out
