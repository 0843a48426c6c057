"""Groups of correlations: what is known of the members of one."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from itertools import chain

from soc.rules.episodes import Episode, Member
from soc.rules.measures import Measure
from soc.rules.packed import TOGETHER, pack, unpacker

FEW = 64
SLACK = 8
"""What is forgotten stays until it is one part in so many: each takes its place once, and is moved so often."""
NEVER = 1 << 62


_WHOLE = 2 * TOGETHER
"""Members that are kept as they are; of more the oldest are packed."""
_Named = tuple[str, int]
_unpack: Callable[[bytes], list[_Named]] = unpacker(_Named)


class Group:
    """What is known of one group: its members in the window, and the episode that is open.

    Members with ids are, the oldest first, `packed[0]` without its first `packed_head`, the other `packed`, and `items[head:]`. `older` the times of
    members whose ids were given up. `last` is the time of the last one, `taken` of the last one that is known, also if it is still to be judged.
    """

    __slots__ = (
        "due",
        "episode",
        "head",
        "items",
        "key",
        "known",
        "last",
        "last_id",
        "limit",
        "measure",
        "most",
        "older",
        "older_head",
        "packed",
        "packed_head",
        "shown",
        "taken",
    )

    def __init__(self, key: tuple[str, ...], known: int, measure: Measure | None, most: int) -> None:
        self.key, self.known, self.measure, self.most = key, known, measure, most
        self.items: list[Member] = []
        self.head = 0
        self.limit = min(most, _WHOLE)
        """How many `items` there may be before `settle` is due, which it also is as long as there are `packed` ones."""
        self.packed: deque[tuple[array[int], bytes]] | None = None
        """Times of the members, and the rest of them."""
        self.packed_head = 0
        self.older: array[int] | None = None
        self.older_head = 0
        self.last = self.taken = known
        self.last_id = ""
        self.shown: tuple[str, ...] = ()
        """The group values as an event had them, where events wait to be judged."""
        self.due = NEVER
        self.episode: Episode | None = None

    def count(self, low: int) -> int:
        """How many members there are at or after `low`; the earlier ones are forgotten."""
        items, head = self.items, self.head
        size = len(items)
        if self.packed is not None:
            packed = self._packed(low)
            if packed:
                return size - head + packed + (0 if self.older is None else self._older(low))
        while head < size and items[head][0] < low:
            head += 1
        if head > FEW and head * SLACK > size:
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

    def _packed(self, low: int) -> int:
        """How many of the packed members are at or after `low`."""
        packed = self.packed
        assert packed is not None
        while packed and packed[0][0][-1] < low:
            packed.popleft()
            self.packed_head = 0
        if not packed:
            self.packed = None
            return 0
        self.packed_head = bisect_left(packed[0][0], low, self.packed_head)
        return self._still_packed()

    def _still_packed(self) -> int:
        return len(self.packed) * TOGETHER - self.packed_head if self.packed else 0  # each is full

    def settle(self) -> None:
        """Pack the oldest of many members, and give up the ids of the oldest beyond the bound."""
        items = self.items
        if len(items) - self.head > _WHOLE:
            some = items[self.head : self.head + TOGETHER]
            if some[-1][0] < items[-1][0]:  # the last instant stays at hand
                if self.packed is None:
                    self.packed = deque()
                self.packed.append((array("q", [ts for ts, _, _ in some]), pack([member[1:] for member in some])))
                del items[: self.head + TOGETHER]
                self.head = 0
        beyond = len(items) - self.head + self._still_packed() - self.most
        if beyond > 0:
            if self.older is None:
                self.older = array("q")
            for _ in range(beyond):
                self.older.append(self._give_up())

    def _give_up(self) -> int:
        """Let the oldest member with an id go; its time."""
        if self.packed:
            times = self.packed[0][0]
            ts = times[self.packed_head]
            self.packed_head += 1
            if self.packed_head == len(times):
                self.packed.popleft()
                self.packed_head = 0
            return ts
        self.head += 1
        return self.items[self.head - 1][0]

    def members(self) -> list[Member]:
        """The members with ids, in order of time."""
        kept = self.items[self.head :]
        if not self.packed:
            return kept
        before = chain.from_iterable(zip(times, _unpack(body), strict=True) for times, body in self.packed)
        return [*((ts, name, rules) for ts, (name, rules) in before), *kept][self.packed_head :]

    def newest(self) -> list[Member]:
        """The members of the last instant."""
        items = self.items
        start = len(items)
        while start > self.head and items[start - 1][0] == items[-1][0]:
            start -= 1
        return items[start:]

    def oldest(self) -> int | None:
        """The time of the oldest member; None when there is none."""
        if self.older is not None:
            return self.older[self.older_head]
        if self.packed:
            return self.packed[0][0][self.packed_head]
        return self.items[self.head][0] if self.head < len(self.items) else None
