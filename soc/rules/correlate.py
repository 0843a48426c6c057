"""Correlation as a pure fold over signals: the same signals give the same alerts, whatever order they came in.

Time enters by the watermark alone: «no signal before W is still to come». Signals wait until it has passed them and are
then folded in order of (time, group, id), so arrival order cannot matter. The window is closed, [t - T, t], and holds all
events of one instant together. An episode is a run of the instants of a group's events at which the condition holds, no
two further apart than T; it is one alert, which grows by revisions. What means what: docs/reference/correlation-semantics.md.

`soc.rules.correlate_naive` says the same plainly; the tests compare the two.
Cost: 3.5 µs a signal of event_count and 5 to 7 of the other types with 100,000 groups; 0.6 KB (event_count) to 1.4 KB a group
with one member, 0.2 KB for each further one.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from heapq import heappop, heappush
from operator import attrgetter, eq, ge, gt, le, lt, ne

import msgspec

from soc.model.ids import digest_id
from soc.rules.correlation import All, Correlation, Expression, Lacks, Ref, lacking, needed
from soc.rules.measures import Kinds, Measure, Number, bits, measure_of
from soc.rules.signals import Signal, of_alert

Member = tuple[int, str, int]
"""Time, id (of an event, or of the alert of a correlation), bits of the rules."""

_BUCKET = 1_000_000
_TIME = attrgetter("ts")
_ORDER = attrgetter("ts", "key", "id")
_WHEEL = 16
_FEW = 64
_NEVER = 1 << 62


class Bounds(msgspec.Struct, frozen=True):
    """What a correlation keeps at most; beyond it counts stay exact and ids of the middle are left out."""

    groups: int = 100_000
    """Groups that keep ids; later ones keep the first and the last."""
    members: int = 10_000
    """Ids kept of a group."""


class CorrelationAlert(msgspec.Struct):
    """One state of an alert; the same `id` with a higher `revision` replaces it.

    `key`: scope and folded group values; `group`: field → value as in the event. `at`: when the condition first held, `start`/`end`: of the windows in which it
    held, [first - T, last]; microseconds. `members`: (time, id, bits of rules) in order of time. `first`: the id that `id`
    is made of. `measure`/`last_measure`: what was measured at `at` and at the end of it. `count`: all members, also those
    left out of `members`. `revision`: how many instants were judged so far.
    """

    id: str
    rule: str
    scope: str
    key: tuple[str, ...]
    group: dict[str, str]
    first: str
    at: int
    start: int
    end: int
    members: list[Member]
    count: int
    measure: int | float | None
    last_measure: int | float | None
    truncated: bool
    late: bool
    revision: int


class Episode:
    """A run of instants at which the condition holds."""

    __slots__ = (
        "at",
        "count",
        "emitted",
        "end",
        "first",
        "head",
        "id",
        "key",
        "last_measure",
        "late",
        "measure",
        "shown",
        "steps",
        "tail",
        "told",
        "truncated",
    )

    def __init__(self, episode_id: str, key: tuple[str, ...], shown: tuple[str, ...], first: str, at: int, measure: Number | None, most: int) -> None:
        self.id, self.key, self.shown, self.first = episode_id, key, shown, first
        self.at = self.end = at
        self.measure = self.last_measure = measure
        self.head: list[Member] = []
        self.tail: deque[Member] = deque(maxlen=max(1, most - most // 2))
        self.count = 0
        self.truncated = self.late = False
        self.emitted = self.told = 0
        self.steps = 1

    def take(self, members: Iterable[Member], most: int) -> None:
        """Add members in order of time; of very many the first and the last are kept."""
        head, tail, half = self.head, self.tail, max(1, most // 2)
        for member in members:
            self.count += 1
            if len(head) < half:
                head.append(member)
            else:
                if len(tail) == tail.maxlen:
                    self.truncated = True
                tail.append(member)


class Group:
    """What is known of one group: its members in the window, and the episode that is open.

    `items[head:]` are the newest members with ids; `older` the times of members whose ids were given up.
    """

    __slots__ = ("due", "episode", "head", "items", "key", "known", "last", "last_id", "measure", "most", "older", "older_head")

    def __init__(self, key: tuple[str, ...], known: int, measure: Measure | None, most: int) -> None:
        self.key, self.known, self.measure, self.most = key, known, measure, most
        self.items: list[Member] = []
        self.head = 0
        self.older: array[int] | None = None
        self.older_head = 0
        self.last = known
        self.last_id = ""
        self.due = _NEVER
        self.episode: Episode | None = None

    def count(self, low: int) -> int:
        """How many members there are at or after `low`; the earlier ones are forgotten."""
        items, head = self.items, self.head
        size = len(items)
        while head < size and items[head][0] < low:
            head += 1
        if head > _FEW and head * 2 > size:
            del items[:head]
            size -= head
            head = 0
        self.head = head
        return size - head if self.older is None else size - head + self._older(low)

    def _older(self, low: int) -> int:
        older = self.older
        assert older is not None
        self.older_head = bisect_left(older, low, self.older_head)
        if self.older_head == len(older):
            self.older, self.older_head = None, 0
            return 0
        return len(older) - self.older_head

    def trim(self) -> None:
        """Give up the ids of the oldest members beyond the bound."""
        if self.older is None:
            self.older = array("q")
        while len(self.items) - self.head > self.most:
            self.older.append(self.items[self.head][0])
            self.head += 1


class Fold:
    """One correlation. Signals before `watermark` are folded; `pending` wait."""

    def __init__(self, rule: Correlation, bounds: Bounds) -> None:
        self.rule = rule
        self.span = rule.span_us
        self.bounds = bounds
        self.groups: dict[tuple[str, ...], Group] = {}
        self.watermark = -_NEVER
        self.opened: list[Episode] = []
        """Since the last advance: what is a signal to parents."""
        self.changed: dict[int, tuple[Episode, bool]] = {}
        self.buckets: dict[int, list[Signal]] = {}
        self._times: list[int] = []
        self._wheel: dict[int, list[Group]] = {}
        self._slot = max(1, self.span // _WHEEL)
        self._next = _NEVER
        self._wanted = sum(1 << place for place in (set(needed(rule.expression)) if rule.expression is not None else range(len(rule.rules))))
        self._bound = bound_of(rule)
        self._plain = len(rule.bounds) == 1 and rule.type == "event_count"
        bound = rule.bounds[0] if self._plain else None
        self._at_least = (
            0 if bound is None or bound.denominator != 1 else bound.numerator if bound.op == "gte" else bound.numerator + 1 if bound.op == "gt" else 0
        )

    # --- waiting signals ----------------------------------------------------------------------------------------------

    def add(self, signal: Signal) -> None:
        """Take a signal at or after the watermark."""
        slot = signal.ts // _BUCKET
        bucket = self.buckets.get(slot)
        if bucket is None:
            self.buckets[slot] = [signal]
            heappush(self._times, slot)
        else:
            bucket.append(signal)

    def take(self, watermark: int) -> list[Signal]:
        """The waiting signals before `watermark`, in order; repeats of one event are one."""
        slot = watermark // _BUCKET
        found: list[Signal] = []
        while self._times and self._times[0] < slot:
            found += self.buckets.pop(heappop(self._times))
        if self._times and self._times[0] == slot:
            bucket = self.buckets[slot]
            found += [signal for signal in bucket if signal.ts < watermark]
            rest = [signal for signal in bucket if signal.ts >= watermark]
            if rest:
                self.buckets[slot] = rest
            else:
                del self.buckets[slot]
                heappop(self._times)
        found.sort(key=_TIME)
        return _ties_in_order(found)

    @property
    def waiting(self) -> int:
        """How many signals wait."""
        return sum(map(len, self.buckets.values()))

    # --- time ---------------------------------------------------------------------------------------------------------

    def begin(self, us: int, scope: str) -> None:
        """Observation begins: only rules on silence without groups need to know."""

    def advance(self, watermark: int, *, final: bool = False) -> list[Signal]:  # noqa: ARG002 - a condition with `not` looks ahead
        """Fold everything before `watermark`; the signals that were folded."""
        if watermark <= self.watermark:
            return []
        batch = self.take(watermark)
        self.watermark = watermark
        self.fold(batch)
        self.expire(watermark)
        return batch

    def fold(self, batch: list[Signal]) -> None:
        """Fold signals in order of time; every instant is whole."""
        if self._at_least:
            self._fold_counts(batch)
            return
        size, place = len(batch), 0
        while place < size:
            place = self._step(batch, place)

    def _step(self, batch: list[Signal], place: int) -> int:
        """Fold one instant of one group; the place after it."""
        signal = batch[place]
        ts, key, low = signal.ts, signal.key, signal.ts - self.span
        if ts >= self._next:
            self.expire(ts)
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = self._group(key, ts, len(self.groups) < self.bounds.groups)
        elif group.last < low and group.episode is not None:
            self._close(group)
        place = self._push(group, batch, place)
        measure: Number | None
        if group.measure is None:
            measure = group.count(low)
        else:
            measure = group.measure.measure(low)
            if len(group.items) > _FEW:
                group.count(low)
        holds = self._bound(measure) if self._bound is not None else self.holds(measure, low, group)
        if holds or group.episode is not None:
            self._judge(group, ts, measure, holds, signal)
        return place

    def _fold_counts(self, batch: list[Signal]) -> None:
        """The same for the commonest rule by far, «at least so many events»: below the number nothing needs to be judged."""
        groups, span, at_least, most_groups = self.groups, self.span, self._at_least, self.bounds.groups
        place, last = 0, len(batch) - 1
        while place <= last:
            signal = batch[place]
            ts = signal.ts
            if ts >= self._next:
                self.expire(ts)
            key = signal.key
            group = groups.get(key)
            if group is None:
                group = groups[key] = self._group(key, ts, len(groups) < most_groups)
            if group.episode is not None or group.older is not None or group.most < at_least or (place < last and batch[place + 1].ts == ts):
                place = self._step(batch, place)
                continue
            items, head = group.items, group.head
            items.append((ts, signal.id, signal.rules))
            group.last, group.last_id = ts, signal.id
            if items[head][0] < ts - span:
                group.count(ts - span)
                head = group.head
            if len(items) - head >= at_least:
                self._judge(group, ts, len(items) - head, True, signal)
            place += 1

    def holds(self, measure: Number | None, low: int, group: Group) -> bool:
        """Whether the condition holds in the window that begins at `low`."""
        expression = self.rule.expression
        if expression is None:
            return self.rule.holds(measure)
        if self.rule.type == "temporal_ordered":
            return measure == self._wanted.bit_count()
        assert isinstance(group.measure, Kinds)
        return true(expression, group.measure.seen(low), set())

    def _group(self, key: tuple[str, ...], ts: int, room: bool) -> Group:
        group = Group(key, ts, measure_of(self.rule), self.bounds.members if room else 2)
        self._roll(group, ts)
        return group

    def _roll(self, group: Group, ts: int) -> None:
        """Note when to look whether a group is still alive."""
        slot = ts // self._slot
        found = self._wheel.get(slot)
        if found is None:
            self._wheel[slot] = [group]
            self._next = min(self._next, (slot + 1) * self._slot + self.span)
        else:
            found.append(group)

    def _push(self, group: Group, batch: list[Signal], place: int) -> int:
        """Give a group all its events of one instant; the place after them."""
        signal = batch[place]
        ts, key = signal.ts, signal.key
        last = len(batch) - 1
        while True:
            rules, values = signal.rules, signal.values
            while place < last and batch[place + 1].id == signal.id and batch[place + 1].ts == ts and batch[place + 1].key == key:
                place += 1
                again = batch[place]
                rules |= again.rules
                if again.values != values:
                    values = tuple(dict.fromkeys(values + again.values))
            group.items.append((ts, signal.id, rules))
            if group.measure is not None:
                group.measure.push(ts, rules & self._wanted, values)
            place += 1
            if place > last or batch[place].ts != ts or batch[place].key != key:
                break
            signal = batch[place]
        group.last, group.last_id = ts, signal.id
        if len(group.items) - group.head > group.most:
            group.trim()
        return place

    def _judge(self, group: Group, ts: int, measure: Number | None, holds: bool, signal: Signal) -> None:
        """Open, continue or close the episode of a group at an instant."""
        episode = group.episode
        if not holds:
            if episode is not None:
                self._close(group)
            return
        if episode is None:
            self._open(group, ts, measure, signal.id, signal.shown)
            return
        self._continue(group, ts, measure, fresh=True)

    def _continue(self, group: Group, ts: int, measure: Number | None, *, fresh: bool) -> None:
        """The condition still holds at an instant, `fresh` = with new members."""
        episode = group.episode
        assert episode is not None
        episode.end, episode.last_measure = ts, measure
        episode.steps += 1
        if fresh:
            items = group.items
            start = len(items)
            while start > group.head and items[start - 1][0] == ts:
                start -= 1
            episode.take(items[start:], group.most)
        self.changed[id(episode)] = (episode, False)

    def _open(self, group: Group, ts: int, measure: Number | None, first: str, shown: tuple[str, ...]) -> None:
        episode = Episode("c-" + digest_id("correlation", self.rule.id, *group.key, first), group.key, shown, first, ts, measure, group.most)
        group.count(ts - self.span)
        if group.older is not None:
            episode.count = len(group.older) - group.older_head
            episode.truncated = True
        episode.take(group.items[group.head :], group.most)
        group.episode = episode
        self.opened.append(episode)
        self.changed[id(episode)] = (episode, False)

    def _close(self, group: Group) -> None:
        episode = group.episode
        assert episode is not None
        group.episode = None
        self.changed[id(episode)] = (episode, True)

    def forget(self, group: Group) -> None:
        """Drop a group."""
        del self.groups[group.key]

    def adopt(self, group: Group) -> None:
        """Put a group that was folded anew in the place of the one there is."""
        if group.key not in self.groups:
            self._roll(group, group.last)
        else:
            old = self.groups[group.key]
            for groups in self._wheel.values():
                for place, found in enumerate(groups):
                    if found is old:
                        groups[place] = group
        self.groups[group.key] = group

    def expire(self, now: int) -> None:
        """Forget the groups that have had no event for a timespan before `now`."""
        while self._next <= now:
            slot = min(self._wheel)
            for group in self._wheel.pop(slot):
                if now - group.last > self.span:
                    if group.episode is not None:
                        self._close(group)
                    self.forget(group)
                else:
                    self._wheel.setdefault(group.last // self._slot, []).append(group)
            self._next = (min(self._wheel) + 1) * self._slot + self.span if self._wheel else _NEVER


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
        batch = self.take(watermark)
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
            if at > _FEW:
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
        due = _NEVER if oldest is None else oldest + self.span + 1
        if due != group.due:
            group.due = due
            if due != _NEVER:
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


def bound_of(rule: Correlation) -> Callable[[Number | None], bool] | None:
    """The comparison of a rule with a single one, as one call; None for other rules."""
    if rule.expression is not None or len(rule.bounds) != 1:
        return None
    compare: Callable[[Number, Number], bool] = {"gt": gt, "gte": ge, "lt": lt, "lte": le, "eq": eq, "neq": ne}[rule.bounds[0].op]
    wanted = rule.bounds[0].number
    return lambda measure: measure is not None and compare(measure, wanted)


def _ties_in_order(batch: list[Signal]) -> list[Signal]:
    """Signals in order of time, those of one instant in order of group and id: ties are few, so they alone pay for it."""
    place, size = 0, len(batch)
    before = -_NEVER
    while place < size:
        ts = batch[place].ts
        if ts != before:
            before = ts
            place += 1
            continue
        first = place - 1
        while place < size and batch[place].ts == ts:
            place += 1
        batch[first:place] = sorted(batch[first:place], key=_ORDER)
    return batch


def true(node: Expression, seen: set[int], near: set[int]) -> bool:
    """Whether a boolean condition holds: `seen` are the rules with an event in the window, `near` those with one near it."""
    if isinstance(node, Ref):
        return node.rule in seen
    if isinstance(node, Lacks):
        return node.rule not in near
    return all(true(arg, seen, near) for arg in node.args) if isinstance(node, All) else any(true(arg, seen, near) for arg in node.args)


def fold_of(rule: Correlation, bounds: Bounds) -> Fold:
    """A fresh fold of a correlation."""
    return SilenceFold(rule, bounds) if rule.by_time else NegatedFold(rule, bounds) if rule.negated else Fold(rule, bounds)


class Correlator:
    """All correlations of a rule set as one fold.

    `rules`: children before parents, references as ids (as `soc.rules.collection` gives them). `add` signals in any order,
    `advance` the watermark; what comes out depends only on the signals, and on nothing else: not on their order, on how they
    were cut into batches, or on a clock. `late`: what becomes of a signal before the watermark: "drop" counts it,
    "revise" folds its group anew over the last two timespans and gives revisions and alerts marked late.

    State is rebuilt by `restore` from the signals of the last `reach_us` and the alerts still open; it is never stored.
    """

    def __init__(self, rules: Sequence[Correlation], *, bounds: Bounds | None = None, late: str = "drop") -> None:
        self.bounds = bounds or Bounds()
        self.rules = {rule.id: rule for rule in rules}
        self.folds = {rule.id: fold_of(rule, self.bounds) for rule in rules}
        self.dropped = 0
        self._revise = late == "revise"
        self._before: dict[tuple[str, tuple[str, ...]], list[CorrelationAlert]] = {}
        self._parents: dict[str, list[tuple[Correlation, int]]] = {}
        self._lag: dict[str, int] = {}
        self._late: dict[str, list[Signal]] = {}
        self._history: dict[str, deque[Signal]] = {rule.id: deque() for rule in rules}
        self._told: dict[str, dict[tuple[str, ...], list[Episode]]] = {rule.id: {} for rule in rules}
        for rule in rules:
            children = [member for member in rule.rules if member in self.rules]
            for place, member in enumerate(rule.rules):
                if member in self.rules:
                    self._parents.setdefault(member, []).append((rule, place))
            self._lag[rule.id] = max((self._lag[child] + (self.rules[child].span_us if self.rules[child].negated else 0) for child in children), default=0)

    @property
    def reach_us(self) -> int:
        """How far back signals are needed to rebuild the state."""
        return max((self._lag[rule.id] + 2 * rule.span_us for rule in self.rules.values()), default=0)

    def begin(self, us: int, scope: str = "real") -> None:
        """Observation of a scope begins at this time."""
        for fold in self.folds.values():
            fold.begin(us, scope)

    def add(self, signal: Signal) -> None:
        """Take a signal."""
        self.extend((signal,))

    def extend(self, signals: Iterable[Signal]) -> None:
        """Take signals."""
        folds = self.folds
        for signal in signals:
            fold = folds[signal.correlation]
            ts = signal.ts
            if ts >= fold.watermark:
                bucket = fold.buckets.get(ts // _BUCKET)
                if bucket is None:
                    fold.add(signal)
                else:
                    bucket.append(signal)
            elif self._revise:
                self._late.setdefault(signal.correlation, []).append(signal)
            else:
                self.dropped += 1

    def advance(self, watermark: int, *, final: bool = False) -> list[CorrelationAlert]:
        """The alerts that are new or have grown, now that no signal before `watermark` is to come.

        `final`: nothing at all is to come, so `not` is judged by what there is. An open alert is told when it opens, each
        time it has doubled, and when its episode ends; so its last revision depends on its members alone.
        """
        out: list[CorrelationAlert] = []
        for rule_id, fold in self.folds.items():
            batch = fold.advance(watermark if final else watermark - self._lag[rule_id], final=final)
            late = self._late.pop(rule_id, None)
            if late:
                self._fold_again(fold, late)
            if self._before:
                self._resume(fold)
            if self._revise:
                self._remember(fold, batch)
            for episode in fold.opened:
                for parent, place in self._parents.get(rule_id, ()):
                    signal = of_alert(parent, place, fold.rule, episode.at, episode.id, episode.key, episode.shown)
                    if signal is not None:
                        self.add(signal)
            fold.opened.clear()
            untold: dict[int, tuple[Episode, bool]] = {}
            for name, (episode, closed) in fold.changed.items():
                if episode.told == episode.steps:
                    continue
                if closed or final or not episode.told or episode.late or episode.count > 2 * episode.emitted:
                    episode.emitted, episode.told = episode.count, episode.steps
                    out.append(self._alert(fold.rule, episode))
                else:
                    untold[name] = (episode, closed)
            fold.changed = untold
        return out

    def restore(self, signals: Iterable[Signal], watermark: int, told: Iterable[CorrelationAlert] = ()) -> list[CorrelationAlert]:
        """Rebuild the state from signals of the last `reach_us`, and tell what differs from the alerts that were told."""
        for alert in told:
            self._before.setdefault((alert.rule, alert.key), []).append(alert)
        self.extend(signals)
        out = self.advance(watermark)
        self._before.clear()
        return out

    def _resume(self, fold: Fold) -> None:
        """Let episodes that were told go on under the ids that they have: their beginnings may lie before what was read back."""
        for episode, _ in fold.changed.values():
            for alert in self._before.get((fold.rule.id, episode.key), ()):
                if alert.at <= episode.end and episode.at <= alert.end:
                    new = [member for member in (*episode.head, *episode.tail) if member[0] > alert.end]
                    episode.id, episode.first, episode.at, episode.late = alert.id, alert.first, alert.at, alert.late
                    episode.shown = tuple(alert.group.values())
                    episode.measure = Fraction(repr(alert.measure)) if isinstance(alert.measure, float) else alert.measure
                    episode.head, episode.count = [], 0
                    episode.tail.clear()
                    episode.take((*alert.members, *new), self.bounds.members)
                    episode.count, episode.truncated = alert.count + len(new), episode.truncated or alert.truncated
                    episode.emitted, episode.told, episode.steps = alert.count, alert.revision, alert.revision + len({ts for ts, _, _ in new})
                    break

    def _alert(self, rule: Correlation, episode: Episode) -> CorrelationAlert:
        return CorrelationAlert(
            id=episode.id,
            rule=rule.id,
            scope=episode.key[0],
            key=episode.key,
            group=dict(zip(rule.group_by, episode.shown, strict=False)),
            first=episode.first,
            at=episode.at,
            start=episode.at - rule.span_us,
            end=episode.end,
            members=[*episode.head, *episode.tail],
            count=episode.count,
            measure=plain(episode.measure),
            last_measure=plain(episode.last_measure),
            truncated=episode.truncated,
            late=episode.late,
            revision=episode.steps,
        )

    # --- stragglers -----------------------------------------------------------------------------------------------------

    def _remember(self, fold: Fold, batch: list[Signal]) -> None:
        """Keep what stragglers may need: the signals and the episodes of the last two timespans."""
        history = self._history[fold.rule.id]
        history.extend(batch)
        low = fold.watermark - 2 * fold.span
        while history and history[0].ts < low:
            history.popleft()
        told = self._told[fold.rule.id]
        for episode, _ in list(fold.changed.values()):
            kept = told.setdefault(episode.key, [])
            if episode not in kept:
                kept.append(episode)
        if len(told) > self.bounds.groups:
            for key in [key for key, episodes in told.items() if all(episode.end < low for episode in episodes)]:
                del told[key]

    def _fold_again(self, fold: Fold, late: list[Signal]) -> None:
        """Fold the groups of stragglers anew, and put what they change into revisions of what was told, or new alerts."""
        keys = {signal.key for signal in late}
        history = self._history[fold.rule.id]
        known = {(signal.ts, signal.key, signal.id) for signal in history if signal.key in keys}
        fresh = [signal for signal in late if (signal.ts, signal.key, signal.id) not in known]
        if not fresh:
            return
        again = fold_of(fold.rule, self.bounds)
        for signal in [signal for signal in history if signal.key in keys] + fresh:
            again.add(signal)
        again.advance(fold.watermark)
        self._history[fold.rule.id] = deque(sorted([*history, *fresh], key=_ORDER))
        told = self._told[fold.rule.id]
        ids = {signal.id for signal in fresh}
        for episode in again.opened:
            earlier = [old for old in told.get(episode.key, []) if old.at <= episode.end and episode.at <= old.end]
            if earlier:
                _grow(earlier[0], episode, self.bounds.members)
                fold.changed[id(earlier[0])] = (earlier[0], False)
                group = again.groups.get(episode.key)
                if group is not None and group.episode is episode:
                    group.episode = earlier[0]
            elif any(name in ids for _, name, _ in [*episode.head, *episode.tail]):
                episode.late = True
                fold.opened.append(episode)
                fold.changed[id(episode)] = (episode, False)
        for key in keys:
            group = again.groups.get(key)
            if group is not None and not isinstance(fold, SilenceFold):
                fold.adopt(group)


def _grow(told: Episode, found: Episode, most: int) -> None:
    """Give an episode that was told what folding anew found."""
    members = sorted({*told.head, *told.tail, *found.head, *found.tail})
    if len(members) <= told.count:
        return
    told.steps = max(told.steps, found.steps) + 1
    told.at, told.end = min(told.at, found.at), max(told.end, found.end)
    told.last_measure, told.late = found.last_measure, True
    told.head, told.count = [], 0
    told.tail.clear()
    told.take(members, most)


def plain(measure: Number | None) -> int | float | None:
    """A measure for people: a whole number, or the nearest float (rounded here and nowhere else)."""
    if measure is None or isinstance(measure, int):
        return measure
    return measure.numerator if measure.denominator == 1 else float(measure)
