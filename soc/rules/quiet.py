"""Correlations about what does not come: conditions with `not`, and absence.

Both look at time that has passed: the watermark tells it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from heapq import heappop, heappush

from soc.rules.correlation import Correlation, lacking
from soc.rules.episodes import Bounds
from soc.rules.fold import Fold, true
from soc.rules.groups import FEW, NEVER, Group
from soc.rules.measures import Kinds, Number, bits, measure_of
from soc.rules.signals import Signal


class NegatedFold(Fold):
    """A correlation whose condition says `not`: an instant is judged once a whole timespan after it is known.

    A rule that must be silent must be so for one timespan before and after; otherwise the answer would depend on which of
    two events came first.
    """

    def __init__(self, rule: Correlation, bounds: Bounds) -> None:
        super().__init__(rule, bounds)
        self._undecided: deque[Signal] = deque()
        self._unwanted = lacking(rule.expression) if rule.expression is not None else set()
        self._near: dict[tuple[str, ...], list[list[int]]] = {}

    def advance(self, watermark: int, *, final: bool = False) -> list[Signal]:
        if watermark <= self.watermark:
            return []
        batch = self.waiting.take(watermark)
        self.watermark = watermark
        for signal in batch:
            if signal.key not in self._near:
                self._near[signal.key] = [[] for _ in self.rule.rules]
            for rule in bits(signal.rules):
                self._near[signal.key][rule].append(signal.ts)
        self._undecided.extend(batch)
        limit = watermark if final else watermark - self.span
        decided = []
        while self._undecided and self._undecided[0].ts < limit:
            decided.append(self._undecided.popleft())
        self.fold(decided)
        self.expire(limit)
        return batch

    def holds(self, measure: Number | None, low: int, group: Group) -> bool:
        times, high = self._near[group.key], low + 2 * self.span
        near = set()
        for rule in self._unwanted:
            at = bisect_left(times[rule], low)
            if at < len(times[rule]) and times[rule][at] <= high:
                near.add(rule)
            if at > FEW:
                del times[rule][:at]
        expression = self.rule.expression
        assert expression is not None
        if self.rule.type == "temporal_ordered":
            return not near and measure == self._wanted.bit_count()
        assert isinstance(group.measure, Kinds)
        return true(expression, group.measure.seen(low), near)

    def forget(self, group: Group) -> None:
        super().forget(group)
        if all(not times or times[-1] <= group.last for times in self._near[group.key]):
            del self._near[group.key]


class SilenceFold(Fold):
    """A correlation whose condition holds when nothing comes: time makes it hold, and time is the watermark.

    A group is known from its first event and judged from one timespan later on, whenever an event comes or leaves the
    window; a timespan without any event ends it. Without `group-by` there is one group, known from the beginning.
    """

    def __init__(self, rule: Correlation, bounds: Bounds) -> None:
        super().__init__(rule, bounds)
        self._dues: list[tuple[int, tuple[str, ...]]] = []
        self._shown: dict[tuple[str, ...], tuple[str, ...]] = {}

    def begin(self, us: int, scope: str) -> None:
        if not self.rule.group_by and (scope,) not in self.groups:
            self.groups[scope,] = self._known((scope,), us)

    def advance(self, watermark: int, *, final: bool = False) -> list[Signal]:
        batch = super().advance(watermark, final=final)
        self._pass(watermark)
        return batch

    def fold(self, batch: list[Signal]) -> None:
        size, place = len(batch), 0
        while place < size:
            signal = batch[place]
            ts, key = signal.ts, signal.key
            self._pass(ts)
            group = self.groups.get(key)
            if group is None:
                group = self.groups[key] = self._known(key, ts)
            place = self._push(group, batch, place)
            self._shown[key] = batch[place - 1].shown
            if ts >= group.known + self.span:
                self._look(group, ts, fresh=True)
                self._schedule(group)

    def _known(self, key: tuple[str, ...], ts: int) -> Group:
        group = Group(key, ts, measure_of(self.rule), self.bounds.members if len(self.groups) < self.bounds.groups else 2)
        group.due = ts + self.span
        heappush(self._dues, (group.due, key))
        return group

    def _pass(self, now: int) -> None:
        """Let time pass: judge what is due before `now`."""
        while self._dues and self._dues[0][0] < now:
            due, key = heappop(self._dues)
            group = self.groups.get(key)
            if group is None or group.due != due:
                continue
            if not self._look(group, due, fresh=False) and self.rule.group_by:
                if group.episode is not None:
                    self._close(group)
                self.forget(group)
                continue
            self._schedule(group)

    def _schedule(self, group: Group) -> None:
        """Note when the oldest member leaves the window."""
        oldest = group.older[group.older_head] if group.older is not None else group.items[group.head][0] if group.head < len(group.items) else None
        due = NEVER if oldest is None else oldest + self.span + 1
        if due != group.due:
            group.due = due
            if due != NEVER:
                heappush(self._dues, (due, group.key))

    def _look(self, group: Group, ts: int, *, fresh: bool) -> int:
        """Judge a group at an instant; how many members the window holds."""
        low = ts - self.span
        count = group.count(low)
        measure: Number | None = count if group.measure is None else group.measure.measure(low)
        if not self.rule.holds(measure):
            if group.episode is not None:
                self._close(group)
        elif group.episode is None:
            self._open(group, ts, measure, f"{group.last_id}@{ts}", self._shown.get(group.key, ()))
        else:
            self._continue(group, ts, measure, fresh=fresh)
        return count

    def forget(self, group: Group) -> None:
        super().forget(group)
        self._shown.pop(group.key, None)


def fold_of(rule: Correlation, bounds: Bounds) -> Fold:
    """A fresh fold of a correlation."""
    return SilenceFold(rule, bounds) if rule.by_time else NegatedFold(rule, bounds) if rule.negated else Fold(rule, bounds)
