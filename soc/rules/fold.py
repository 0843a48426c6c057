"""One correlation as a fold over its signals: windows, conditions, episodes.

Groups are light (`soc.rules.light`) until their members could fulfil the condition, and then kept in full. Events of one
instant are judged together: light groups take them as they come, full ones when the instant is over, in order of their ids.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from operator import attrgetter, eq, ge, gt, le, lt, ne

from soc.model.ids import digest_id
from soc.rules.correlation import All, Correlation, Expression, Lacks, Ref
from soc.rules.episodes import Bounds, Episode
from soc.rules.groups import FEW, NEVER, Group
from soc.rules.light import STRIDE, Cell, merge, need_of, wanted_by
from soc.rules.measures import Kinds, Number, measure_of
from soc.rules.signals import Signal
from soc.rules.waiting import Waiting

Key = tuple[str, ...]
_WHEEL = 16
_MOST_JUDGED = 1 << 12
_NO_ROOM = 2
"""Ids that a group beyond the bound keeps."""
_ID = attrgetter("id")
_TIME = attrgetter("ts")


class Fold:
    """One correlation. Signals before `watermark` are folded; `waiting` are the others."""

    def __init__(self, rule: Correlation, bounds: Bounds) -> None:
        self.rule = rule
        self.span = rule.span_us
        self.bounds = bounds
        self.light: dict[Key, Cell] = {}
        self.groups: dict[Key, Group] = {}
        self.watermark = -NEVER
        self.opened: list[Episode] = []
        """Since the last advance: what is a signal to parents."""
        self.changed: dict[int, tuple[Episode, bool]] = {}
        """Since the last advance, by `id()`: what has changed, and whether it has ended."""
        self.untold: dict[int, Episode] = {}
        """What changed before that and is still to be told."""
        self.waiting = Waiting()
        self._wheel: dict[int, list[Key]] = {}
        self._slot = max(1, self.span // _WHEEL)
        self._next = NEVER
        self._wanted = wanted_by(rule)
        self._need = need_of(rule, bounds.members)
        self._bound = bound_of(rule)
        self._judged: dict[tuple[int, int], bool] = {}

    def __len__(self) -> int:
        """How many groups are known."""
        return len(self.light) + len(self.groups)

    def begin(self, us: int, scope: str) -> None:
        """Observation begins: only rules on silence without groups need to know."""

    def advance(self, watermark: int, *, final: bool = False) -> list[Signal]:  # noqa: ARG002 - a condition with `not` looks ahead
        """Fold everything before `watermark`; the signals that were folded."""
        if watermark <= self.watermark:
            return []
        batch = self.waiting.take(watermark)
        self.watermark = watermark
        self.fold(batch)
        self.expire(watermark)
        return batch

    def fold(self, batch: list[Signal]) -> None:
        """Fold signals in order of time; every instant is whole. One loop without calls, as nearly all signals end in it."""
        light, groups, need, wheel, length, span = self.light, self.groups, self._need, self._wheel, self._slot, self.span
        add, kind, least, full, zero, enough = need.add, need.kind, need.least, need.full, need.zero, need.enough
        counts, sees, most = kind == "count", kind == "seen", kind == "most"
        watched = len(light) + len(groups) + len(batch) > self.bounds.groups
        now, due, busy = -NEVER, self._next, False
        pending: list[Signal] = []
        fresh: list[Key] = []
        for signal in batch:
            ts, key = signal.ts, signal.key
            if ts != now:
                if busy:
                    self._end_instant(batch, now, pending, fresh)
                    busy, pending, fresh = False, [], []
                now = ts
                if ts >= due:
                    self.expire(ts)
                    due = self._next
            cell = light.get(key)
            if cell is None:
                if key in groups:
                    pending.append(signal)
                    busy = True
                    continue
                slot = wheel.get(ts // length)
                if slot is None:
                    self._roll(key, ts)
                    due = self._next
                else:
                    slot.append(key)
                cell = light[key] = [zero, ts, signal.id, signal.rules, signal.values]
                if watched:
                    fresh.append(key)
                    busy = True
            elif cell[-STRIDE] == ts and merge(cell, signal):
                need.again(cell)
                if need.outgrown(cell, ts - span):
                    pending += self._keep(key, cell, batch, signal)
                    busy = True
                continue
            else:
                cell += (ts, signal.id, signal.rules, signal.values)
            if counts:
                if len(cell) < full:
                    continue
            elif sees:
                weight = cell[0]
                seen = weight | signal.rules
                if seen != weight:
                    cell[0] = seen
                    possible = enough.get(seen)
                    if possible is None:
                        possible = need.possible(seen)
                    if not possible and len(cell) < full:
                        continue
                elif len(cell) < full:
                    continue
            elif most and len(signal.values) == 1 and (value := signal.values[0]).__class__ is int:
                if value > cell[0]:  # noqa: PLR1730 - `max` takes five times as long
                    cell[0] = value
                if value < least and len(cell) < full:
                    continue
            else:
                weight = cell[0] = add(cell[0], signal.values)
                if weight < least and len(cell) < full:
                    continue
            if need.outgrown(cell, ts - span):
                pending += self._keep(key, cell, batch, signal)
                busy = True
        if busy:
            self._end_instant(batch, now, pending, fresh)

    def _keep(self, key: Key, cell: Cell, batch: list[Signal], signal: Signal) -> list[Signal]:
        """Keep a light group in full from now on; its signals of the instant up to `signal`, which it gets at the end of the instant."""
        ts = signal.ts
        group = self.groups[key] = Group(key, ts, measure_of(self.rule), self.bounds.members)
        del self.light[key]
        members = sorted((cell[place], cell[place + 1], cell[place + 2], cell[place + 3]) for place in range(1, len(cell), STRIDE) if cell[place] < ts)
        for then, name, rules, values in members:
            group.items.append((then, name, rules))
            if group.measure is not None:
                group.measure.push(then, rules & self._wanted, values)
        if members:
            group.last, group.last_id = members[-1][0], members[-1][1]
        found = []
        for place in range(bisect_left(batch, ts, key=_TIME), len(batch)):
            one = batch[place]
            if one.key == key:
                found.append(one)
            if one is signal:
                break
        return found

    def _end_instant(self, batch: list[Signal], ts: int, pending: list[Signal], fresh: list[Key]) -> None:
        """Give the groups that are kept in full their events of an instant; `fresh`: the groups that are new with it, when there may be too many."""
        groups = self.groups
        over = len(self) - self.bounds.groups
        if fresh and over > 0:  # which of them have no room must not depend on the order in which they came
            for key in sorted(fresh)[-over:]:
                self.light.pop(key, None)
                groups[key] = Group(key, ts, measure_of(self.rule), _NO_ROOM)
            pending = []
            for place in range(bisect_left(batch, ts, key=_TIME), bisect_right(batch, ts, key=_TIME)):
                if batch[place].key in groups:
                    pending.append(batch[place])
        if len(pending) == 1:
            self._give(groups[pending[0].key], pending)
            return
        runs: dict[Key, list[Signal]] = {}
        for signal in pending:
            runs.setdefault(signal.key, []).append(signal)
        for key in sorted(runs):
            run = runs[key]
            if len(run) > 1:
                run.sort(key=_ID)
            self._give(groups[key], run)

    def _give(self, group: Group, run: list[Signal]) -> None:
        """Let a group that is kept in full have its events of an instant, in order of their ids."""
        self._step(group, run)

    def _step(self, group: Group, run: list[Signal]) -> None:
        """Fold one instant of one group."""
        signal = run[0]
        ts, low = signal.ts, signal.ts - self.span
        if group.last < low and group.episode is not None:
            self._close(group)
        self._push(group, run)
        measure: Number | None
        if group.measure is None:
            measure = group.count(low)
        else:
            measure = group.measure.measure(low)
            if len(group.items) > FEW:
                group.count(low)
        holds = self._bound(measure) if self._bound is not None else self.holds(measure, low, group)
        if holds:
            if group.episode is None:
                self._open(group, ts, measure, signal.id, signal.shown)
            else:
                self._continue(group, ts, measure, fresh=True)
        elif group.episode is not None:
            self._close(group)

    def holds(self, measure: Number | None, low: int, group: Group) -> bool:
        """Whether the condition holds in the window that begins at `low`."""
        expression = self.rule.expression
        if expression is None:
            return self.rule.holds(measure)
        if self.rule.type == "temporal_ordered":
            return measure == self._wanted.bit_count()
        assert isinstance(group.measure, Kinds)
        return self._true(group.measure.seen(low), 0)

    def _true(self, seen: int, near: int) -> bool:
        """Whether the boolean condition holds: `seen` and `near` as of `true`."""
        found = self._judged.get((seen, near))
        if found is None:
            assert self.rule.expression is not None
            found = true(self.rule.expression, seen, near)
            if len(self._judged) < _MOST_JUDGED:
                self._judged[seen, near] = found
        return found

    def _roll(self, key: Key, ts: int) -> None:
        """Note when to look whether a group is still alive."""
        slot = ts // self._slot
        self._wheel.setdefault(slot, []).append(key)
        self._next = min(self._next, (slot + 1) * self._slot + self.span)

    def _push(self, group: Group, run: list[Signal]) -> None:
        """Give a group all its events of one instant, in order of their ids; repeats of one event are one."""
        ts, wanted, measure, items = run[0].ts, self._wanted, group.measure, group.items
        place, last = 0, len(run) - 1
        while place <= last:
            signal = run[place]
            rules, values = signal.rules, signal.values
            while place < last and run[place + 1].id == signal.id:
                place += 1
                again = run[place]
                rules |= again.rules
                if again.values != values:
                    values = tuple(dict.fromkeys(values + again.values))
            items.append((ts, signal.id, rules))
            if measure is not None:
                measure.push(ts, rules & wanted, values)
            place += 1
        group.last, group.last_id = ts, signal.id
        if len(items) - group.head > group.limit or group.packed is not None:
            group.settle()

    def _continue(self, group: Group, ts: int, measure: Number | None, *, fresh: bool) -> None:
        """The condition still holds at an instant, `fresh` = with new members."""
        episode = group.episode
        assert episode is not None
        episode.end, episode.last_measure = ts, measure
        episode.steps += 1
        if fresh:
            episode.take(group.newest(), group.most)
        self.changed[id(episode)] = (episode, False)

    def _open(self, group: Group, ts: int, measure: Number | None, first: str, shown: tuple[str, ...]) -> None:
        episode = Episode("c-" + digest_id("correlation", self.rule.id, *group.key, first), group.key, shown, first, ts, measure, group.most)
        group.count(ts - self.span)
        if group.older is not None:
            episode.count = len(group.older) - group.older_head
            episode.truncated = True
        episode.take(group.members(), group.most)
        group.episode = episode
        self.opened.append(episode)
        self.changed[id(episode)] = (episode, False)

    def _close(self, group: Group) -> None:
        episode = group.episode
        assert episode is not None
        group.episode = None
        self.changed[id(episode)] = (episode, True)

    def forget(self, key: Key, last: int) -> None:  # noqa: ARG002 - a condition with `not` asks when its last event was
        """Drop a group."""
        if self.light.pop(key, None) is None:
            group = self.groups.pop(key)
            if group.episode is not None:
                self._close(group)

    def adopt(self, other: Fold, key: Key) -> None:
        """Put a group as another fold has it in the place of the one there is."""
        cell, group = other.light.get(key), other.groups.get(key)
        if cell is None and group is None:
            return
        if key not in self.light and key not in self.groups:
            self._roll(key, other.last(key))
        self.light.pop(key, None)
        self.groups.pop(key, None)
        if group is not None:
            self.groups[key] = group
        elif cell is not None:
            self.light[key] = cell

    def last(self, key: Key) -> int:
        """When a group had its last event."""
        cell = self.light.get(key)
        return self.groups[key].last if cell is None else int(cell[-STRIDE])

    def expire(self, now: int) -> None:
        """Forget the groups that have had no event for a timespan before `now`."""
        light, groups, low = self.light, self.groups, now - self.span
        while self._next <= now:
            for key in self._wheel.pop(min(self._wheel)):
                cell = light.get(key)
                last = max(groups[key].last, groups[key].taken) if cell is None else cell[-STRIDE]
                if last < low:
                    self.forget(key, last)
                else:
                    self._wheel.setdefault(last // self._slot, []).append(key)
            self._next = (min(self._wheel) + 1) * self._slot + self.span if self._wheel else NEVER


def bound_of(rule: Correlation) -> Callable[[Number | None], bool] | None:
    """The comparison of a rule with a single one, as one call; None for other rules."""
    if rule.expression is not None or len(rule.bounds) != 1:
        return None
    compare: Callable[[Number, Number], bool] = {"gt": gt, "gte": ge, "lt": lt, "lte": le, "eq": eq, "neq": ne}[rule.bounds[0].op]
    wanted = rule.bounds[0].number
    return lambda measure: measure is not None and compare(measure, wanted)


def true(node: Expression, seen: int, near: int) -> bool:
    """Whether a boolean condition holds: `seen` has the bits of the rules with an event in the window, `near` of those with one near it."""
    if isinstance(node, Ref):
        return bool(seen >> node.rule & 1)
    if isinstance(node, Lacks):
        return not near >> node.rule & 1
    return all(true(arg, seen, near) for arg in node.args) if isinstance(node, All) else any(true(arg, seen, near) for arg in node.args)
