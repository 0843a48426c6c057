"""Episodes of correlations, and the alerts that tell them: what comes out of a fold."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import overload

import msgspec

from soc.rules.measures import Number
from soc.rules.packed import TOGETHER, pack, unpacker

_MOST_WHOLE = 1 << 63

Member = tuple[int, str, int]
"""Time, id (of an event, or of the alert of a correlation), bits of the rules."""


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
    members: Sequence[Member]
    count: int
    measure: int | float | None
    last_measure: int | float | None
    truncated: bool
    late: bool
    revision: int


_unpack: Callable[[bytes], list[Member]] = unpacker(Member)


class Members:
    """Members in order of time, of many the oldest packed: a wave that never ends has thousands.

    `most`: how many of the newest are kept (0 = all). Adding one costs what a list takes; reading all of them unpacks.
    """

    __slots__ = ("_count", "_most", "_new", "_packed")

    def __init__(self, most: int = 0) -> None:
        self._most = most
        self._count = 0
        self._packed: deque[bytes] = deque()
        self._new: list[Member] = []

    def __len__(self) -> int:
        return min(self._count, self._most) if self._most else self._count

    def append(self, member: Member) -> None:
        """Add the newest."""
        self._count += 1
        self._new.append(member)
        if len(self._new) == 2 * TOGETHER:
            self._packed.append(pack(self._new[:TOGETHER]))
            del self._new[:TOGETHER]
            if self._most and len(self._new) + (len(self._packed) - 1) * TOGETHER >= self._most:
                self._packed.popleft()

    def __iter__(self) -> Iterator[Member]:
        return islice(chain(chain.from_iterable(map(_unpack, self._packed)), self._new), self._spare(), None)

    def _spare(self) -> int:
        """How many that are no longer kept still stand before the others."""
        return len(self._packed) * TOGETHER + len(self._new) - len(self)

    def copy(self) -> Members:
        """The same members, which share what is packed."""
        other = Members(self._most)
        other._count, other._packed, other._new = self._count, self._packed.copy(), self._new.copy()
        return other


class Snapshot(Sequence[Member]):
    """The members of an episode as they were when it was told; unpacked each time they are looked at, so that many alerts may wait for that."""

    __slots__ = ("_parts",)

    def __init__(self, *parts: Members) -> None:
        self._parts = [part.copy() for part in parts]

    def __iter__(self) -> Iterator[Member]:
        return chain.from_iterable(self._parts)

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    @overload
    def __getitem__(self, index: int) -> Member: ...

    @overload
    def __getitem__(self, index: slice) -> list[Member]: ...

    def __getitem__(self, index: int | slice) -> Member | list[Member]:
        if isinstance(index, slice) and index.start is None and index.step is None and index.stop is not None and index.stop >= 0:
            return list(islice(self, index.stop))  # the first ones, which need not all to be unpacked
        return list(self)[index]

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it is compared as the list that it stands for


class Episode:
    """A run of instants at which the condition holds."""

    __slots__ = (
        "_last",
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
        self._last = max(1, most - most // 2)
        self.empty()
        self.truncated = self.late = False
        self.emitted = self.told = 0
        self.steps = 1

    def empty(self) -> None:
        """Forget all members."""
        self.head, self.tail, self.count = Members(), Members(self._last), 0

    def take(self, members: Iterable[Member], most: int) -> None:
        """Add members in order of time; of very many the first and the last are kept."""
        head, tail, half = self.head, self.tail, max(1, most // 2)
        for member in members:
            self.count += 1
            if len(head) < half:
                head.append(member)
            else:
                if len(tail) == self._last:
                    self.truncated = True
                tail.append(member)


def plain(measure: Number | None) -> int | float | None:
    """A measure for people: a whole number that stores and JSON can hold, or the nearest float (rounded here and nowhere else)."""
    if measure is None:
        return None
    if measure.denominator == 1 and -_MOST_WHOLE <= measure < _MOST_WHOLE:
        return measure.numerator
    try:
        return float(measure)
    except OverflowError:  # sums of numbers that are each at the end of what there is
        return sys.float_info.max if measure > 0 else -sys.float_info.max
