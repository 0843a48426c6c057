"""Correlations about what does not come: conditions with `not`, and absence.

Both look at time that has passed: the watermark tells it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from heapq import heappop, heappush
from itertools import groupby
from operator import attrgetter

from soc.rules.correlation import Correlation, lacking
from soc.rules.episodes import Bounds
from soc.rules.fold import Fold
from soc.rules.groups import FEW, NEVER, SLACK, Group
from soc.rules.measures import Kinds, Number, bits, measure_of
from soc.rules.signals import Signal
from soc.rules.undecided import Undecided
from soc.rules.waiting import ties_in_order

_MOMENT = attrgetter("ts", "key")
_TIME = attrgetter("ts")
_NO_TIMES: dict[int, array[int]] = {}


class NegatedFold(Fold):
    """A correlation whose condition says `not`: an instant is judged once a whole timespan after it is known.

    A rule that must be silent must be so for one timespan before and after; otherwise the answer would depend on which of
    two events came first.
    """

    def __init__(self, rule: Correlation, bounds: Bounds) -> None:
        super().__init__(rule, bounds)
        self._undecided = Undecided()
        self._gone: list[tuple[tuple[str, ...], int, Group | None]] = []
        self._unwanted = lacking(rule.expression) if rule.expression is not None else set()
        self._mask = sum(1 << place for place in self._unwanted)
        self._near: dict[tuple[str, ...], dict[int, array[int]]] = {}
        """By group and rule that must be silent: the times of its events."""

    def advance(self, watermark: int, *, final: bool = False) -> list[Signal]:
        """As `Fold.advance`. Light groups take their events at once, as they cannot fulfil the condition whatever comes; those of full ones wait."""
        if watermark <= self.watermark:
            return []
        past = self.watermark - 2 * self.span  # no window that is still to be judged reaches further back
        batch = self.waiting.take(watermark)
        self.watermark = watermark
        mask, undecided = self._mask, self._undecided
        for signal in [signal for signal in batch if signal.rules & mask]:
            self._note(signal, past)
        self.fold(batch)
        limit = watermark if final else watermark - self.span
        while undecided and undecided.first()[1] < limit:
            judged, ts, *_ = undecided.first()
            run = []
            while undecided and undecided.first()[0] is judged and undecided.first()[1] == ts:
                _, _, name, rules, values, shown = undecided.take()
                run.append(Signal(ts, judged.key, name, rules, self.rule.id, values, judged.shown if shown is None else shown))
            self._step(judged, run)
        self.expire(watermark)
        for key, last, group in self._gone:  # now that all their events are judged
            if group is not None and group.episode is not None:
                self._close(group)
            near = self._near.get(key)
            if near is not None and all(times[-1] <= last for times in near.values()):
                del self._near[key]
        self._gone.clear()
        return batch

    def _give(self, group: Group, run: list[Signal]) -> None:
        group.taken = run[0].ts
        for signal in run:  # they wait for a timespan, so no more is kept of them than must be, and what they share with their group once
            group.shown = group.shown or signal.shown
            shown = None if signal.shown == group.shown else signal.shown
            self._undecided.add((group, signal.ts, signal.id, signal.rules, signal.values, shown))

    def _note(self, signal: Signal, past: int) -> None:
        near = self._near.setdefault(signal.key, {})
        for rule in bits(signal.rules & self._mask):
            times = near.get(rule)
            if times is None:
                times = near[rule] = array("q")
            times.append(signal.ts)
            if len(times) > FEW and times[len(times) // SLACK] < past:
                del times[: bisect_left(times, past)]

    def holds(self, measure: Number | None, low: int, group: Group) -> bool:
        near, high = 0, low + 2 * self.span
        for rule, times in self._near.get(group.key, _NO_TIMES).items():
            at = bisect_left(times, low)
            if at < len(times) and times[at] <= high:
                near |= 1 << rule
        if self.rule.type == "temporal_ordered":
            return not near and measure == self._wanted.bit_count()
        assert isinstance(group.measure, Kinds)
        return self._true(group.measure.seen(low), near)

    def forget(self, key: tuple[str, ...], last: int) -> None:
        group = None if self.light.pop(key, None) is not None else self.groups.pop(key)
        if group is not None or key in self._near:
            self._gone.append((key, last, group))


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
        for (ts, key), found in groupby(ties_in_order(batch), key=_MOMENT):
            run = list(found)
            self._pass(ts)
            group = self.groups.get(key)
            if group is None:
                group = self.groups[key] = self._known(key, ts)
            self._push(group, run)
            self._shown[key] = run[-1].shown
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
                self.forget(key, group.last)
                continue
            self._schedule(group)

    def _schedule(self, group: Group) -> None:
        """Note when the oldest member leaves the window."""
        oldest = group.oldest()
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

    def forget(self, key: tuple[str, ...], last: int) -> None:
        super().forget(key, last)
        self._shown.pop(key, None)


def fold_of(rule: Correlation, bounds: Bounds) -> Fold:
    """A fresh fold of a correlation."""
    return SilenceFold(rule, bounds) if rule.by_time else NegatedFold(rule, bounds) if rule.negated else Fold(rule, bounds)
