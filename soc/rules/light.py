"""Light groups: what is kept of a group as long as its members cannot fulfil the condition, whichever of them the window holds.

Nearly all groups stay far below every threshold. For those a flat list is kept, `[weight, time, id, rules, values, time, …]`,
where `weight` is a bound of what the measure could be, and no measure is kept up. When the bound is reached the members
that have left the window are dropped; if it still is, the group is kept in full (`soc.rules.groups`).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from soc.rules.correlation import All, Correlation, Expression, Lacks, Ref, needed
from soc.rules.groups import FEW
from soc.rules.measures import Number, Values, number
from soc.rules.signals import Signal

Cell = list[Any]
"""Weight, then four values a member: time, id, bits of the rules, values."""
STRIDE = 4
_PROBES = 8
_MASKS = 1 << 16


class Need:
    """What members must come to at least, together, for a condition to be possible.

    `kind`: how members weigh: "count" (one each), "seen" (bits of rules), "values" (how many values), "sum" (of what is
    positive), "most" (the largest value), "least" (the smallest, negated), "none" (nothing can be said). `least`: the weight
    that is needed; of "seen" as many rules, or what the boolean condition wants. `full`: the length of a cell at which
    it is looked at whatever it weighs.
    """

    __slots__ = ("_expression", "_wanted", "add", "enough", "full", "kind", "least", "zero")

    def __init__(self, rule: Correlation, kind: str, least: Number, members: int) -> None:
        self.kind, self.least = kind, least
        self._expression, self._wanted = rule.expression, wanted_by(rule)
        self.enough: dict[int, bool] = {}
        """Of \"seen\": what `possible` said."""
        self.add = _ADD[kind]
        self.zero: float = float("-inf") if kind in {"most", "least"} else 0
        few = 1 + STRIDE * max(2, min(FEW, members))
        self.full = 1 if kind == "none" else min(few, 1 + STRIDE * int(least)) if kind == "count" else few

    def outgrown(self, cell: Cell, low: int) -> bool:
        """Whether a group must be kept in full; the members before `low` are dropped."""
        watched = len(cell) >= self.full
        place, size = 1, len(cell)
        while place < size and cell[place] < low:
            place += STRIDE
        if place > 1:
            del cell[1:place]
            self.again(cell)
        if self.kind in {"count", "none"}:
            return len(cell) >= self.full
        return (watched and 2 * len(cell) > self.full) or self.possible(cell[0])

    def again(self, cell: Cell) -> None:
        """Weigh all members anew."""
        weight: Any = self.zero
        seen = self.kind == "seen"
        for place in range(1, len(cell), STRIDE):
            weight = weight | cell[place + 2] if seen else self.add(weight, cell[place + 3])
        cell[0] = weight

    def possible(self, weight: Any) -> bool:
        """Whether members of this weight could fulfil the condition."""
        if self.kind != "seen":
            return bool(weight >= self.least)
        found = self.enough.get(weight)
        if found is None:
            seen = weight & self._wanted
            found = seen.bit_count() >= self.least if self._expression is None else _possible(self._expression, seen)
            if len(self.enough) < _MASKS:
                self.enough[weight] = found
        return found


def _add_nothing(weight: Any, values: Values) -> Any:  # noqa: ARG001 - one form for all
    return weight


def _add_values(weight: Any, values: Values) -> Any:
    return weight + len(values)


def _add_positive(weight: Any, values: Values) -> Any:
    for value in values:
        found = value if value.__class__ is int else number(value)
        if found > 0:
            weight += found
    return weight


def _add_most(weight: Any, values: Values) -> Any:
    for value in values:
        found = value if value.__class__ is int else number(value)
        if found > weight:  # noqa: PLR1730 - `max` takes five times as long
            weight = found
    return weight


def _add_least(weight: Any, values: Values) -> Any:
    return max(weight, *(-number(value) for value in values))


_ADD: dict[str, Callable[[Any, Values], Any]] = {
    "count": _add_nothing,
    "none": _add_nothing,
    "seen": _add_nothing,
    "values": _add_values,
    "sum": _add_positive,
    "most": _add_most,
    "least": _add_least,
}


def merge(cell: Cell, signal: Signal) -> bool:
    """Whether the event of a signal is a member already: then what the signal adds to it is added. The cell must be weighed anew."""
    place, ts = len(cell) - STRIDE, signal.ts
    while place > 0 and cell[place] == ts:
        if cell[place + 1] == signal.id:
            cell[place + 2] |= signal.rules
            if cell[place + 3] != signal.values:
                cell[place + 3] = tuple(dict.fromkeys(cell[place + 3] + signal.values))
            return True
        place -= STRIDE
    return False


def need_of(rule: Correlation, members: int) -> Need:
    """What the members of a group need to come to."""
    if rule.expression is not None:
        return Need(rule, "seen", 1, members)
    if rule.type in {"event_count", "value_count", "temporal", "temporal_ordered"}:
        kind = {"event_count": "count", "value_count": "values"}.get(rule.type, "seen")
        least = _least_count(rule)
        return _nothing(rule) if least is None or least < 1 else Need(rule, kind, least, members)
    low, high = _limits(rule)
    if rule.type == "value_sum":
        return Need(rule, "sum", low, members) if low is not None and low > 0 else _nothing(rule)
    if low is not None:
        return Need(rule, "most", low, members)
    return Need(rule, "least", -high, members) if high is not None else _nothing(rule)


def _nothing(rule: Correlation) -> Need:
    return Need(rule, "none", 0, 2)


def wanted_by(rule: Correlation) -> int:
    """The bits of the rules that a condition wants to see."""
    return sum(1 << place for place in (set(needed(rule.expression)) if rule.expression is not None else range(len(rule.rules))))


def _least_count(rule: Correlation) -> int | None:
    """The smallest whole number that fulfils all bounds."""
    probes = {max(0, int(Fraction(bound.number).__floor__()) + step) for bound in rule.bounds for step in range(_PROBES)} | {0}
    # Between two bounds nothing changes, and behind the last one neither; `neq` takes single numbers out.
    return next((probe for probe in sorted(probes) if rule.holds(probe)), None)


def _limits(rule: Correlation) -> tuple[Number | None, Number | None]:
    """A number that the measure must reach, and one that it must not exceed, as far as single bounds tell."""
    low = [bound.number for bound in rule.bounds if bound.op in {"gt", "gte", "eq"}]
    high = [bound.number for bound in rule.bounds if bound.op in {"lt", "lte", "eq"}]
    return max(low, default=None), min(high, default=None)


def _possible(node: Expression, seen: int) -> bool:
    """Whether a boolean condition could hold when these rules have events and what must be silent is."""
    if isinstance(node, Ref):
        return bool(seen >> node.rule & 1)
    if isinstance(node, Lacks):
        return True
    return all(_possible(arg, seen) for arg in node.args) if isinstance(node, All) else any(_possible(arg, seen) for arg in node.args)
