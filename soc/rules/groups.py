"""Groups of correlations: what is known of the members of one."""

from __future__ import annotations

from array import array
from bisect import bisect_left

from soc.rules.episodes import Episode, Member
from soc.rules.measures import Measure

FEW = 64
SLACK = 8
"""What is forgotten stays until it is one part in so many: each takes its place once, and is moved so often."""
NEVER = 1 << 62


class Group:
    """What is known of one group: its members in the window, and the episode that is open.

    `items[head:]` are the newest members with ids; `older` the times of members whose ids were given up. `last` is the time of the last
    one, `taken` of the last one that is known, also if it is still to be judged.
    """

    __slots__ = ("due", "episode", "head", "items", "key", "known", "last", "last_id", "measure", "most", "older", "older_head", "shown", "taken")

    def __init__(self, key: tuple[str, ...], known: int, measure: Measure | None, most: int) -> None:
        self.key, self.known, self.measure, self.most = key, known, measure, most
        self.items: list[Member] = []
        self.head = 0
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

    def trim(self) -> None:
        """Give up the ids of the oldest members beyond the bound."""
        if self.older is None:
            self.older = array("q")
        while len(self.items) - self.head > self.most:
            self.older.append(self.items[self.head][0])
            self.head += 1
