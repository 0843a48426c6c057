"""What is measured of the members of one group in a sliding window, kept up step by step.

Each class takes members in order of time (`push`) and tells the measure of those at or after `low` (`measure`), where
`low` never goes back. Sums and averages are exact (integers and fractions), so the order of events changes nothing.

Cost: a step costs the same however many members or different values there are, except for percentiles (a binary search
and one move in a sorted list).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from fractions import Fraction
from typing import Protocol

from soc.rules.correlation import Correlation

Number = int | Fraction
Values = tuple[str | int, ...]
_LONG_AGO = -(1 << 62)
_HUNDRED = 100
_SMALL = 16


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
    return InOrder(len(rule.rules))


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


class Percentile:
    """The percentile by linear interpolation between the two nearest values; 50 is the median.

    Source: Hyndman and Fan (1996), definition 7 (that of spreadsheets, numpy and SQL's PERCENTILE_CONT).
    """

    __slots__ = ("_members", "_percent", "_sorted")

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._members: deque[tuple[int, Number]] = deque()
        self._sorted: list[Number] = []

    def push(self, ts: int, rules: int, values: Values) -> None:  # noqa: ARG002 - one form for all measures
        for value in map(number, values):
            self._members.append((ts, value))
            insort(self._sorted, value)

    def measure(self, low: int) -> Number | None:
        members, ordered = self._members, self._sorted
        while members and members[0][0] < low:
            del ordered[bisect_left(ordered, members.popleft()[1])]
        if not ordered:
            return None
        place, rest = divmod((len(ordered) - 1) * self._percent, _HUNDRED)
        if not rest:
            return ordered[place]
        return ordered[place] + (ordered[place + 1] - ordered[place]) * Fraction(rest, _HUNDRED)


class Kinds:
    """How many of the rules have an event."""

    __slots__ = ("last",)

    def __init__(self, rules: int) -> None:
        self.last = [_LONG_AGO] * rules

    def push(self, ts: int, rules: int, values: Values) -> None:  # noqa: ARG002 - one form for all measures
        for place in bits(rules):
            self.last[place] = ts

    def measure(self, low: int) -> int:
        return sum(ts >= low for ts in self.last)

    def seen(self, low: int) -> set[int]:
        """The rules with an event at or after `low`."""
        return {rule for rule, ts in enumerate(self.last) if ts >= low}


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
        for rule in bits(self._now):  # all of this instant again, as an earlier rule may have come last
            mine = self._began[rule]
            mine[0] = ts
            for earlier in self._began[:rule]:
                for length, began in enumerate(earlier):
                    mine[length + 1] = max(mine[length + 1], began)

    def measure(self, low: int) -> int:
        return max((length + 1 for mine in self._began for length, began in enumerate(mine) if began >= low), default=0)


def bits(mask: int) -> list[int]:
    """The places of the bits that are set, ascending."""
    out = []
    while mask:
        out.append((mask & -mask).bit_length() - 1)
        mask &= mask - 1
    return out
