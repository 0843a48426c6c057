"""Which positions of an origin have been seen, small enough to keep: sorted spans [from, until).

A record nearly always comes from the partition that is its origin; then the committed position says whether it was
seen. Only records that name another origin (the `soc-pos` header) need spans. Too many spans are joined from the low
end: a position inside a span *may* have been seen, one outside has certainly not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import msgspec

MOST = 512


class Spans:
    """Sorted, disjoint spans of positions."""

    def __init__(self, packed: bytes = b"") -> None:
        flat: list[int] = msgspec.msgpack.decode(packed) if packed else []
        self._from = flat[0::2]
        self._until = flat[1::2]

    def __contains__(self, position: int) -> bool:
        index = bisect_right(self._from, position) - 1
        return index >= 0 and position < self._until[index]

    def add(self, positions: Iterable[int]) -> None:
        """Take positions in."""
        for begin, until in _runs(sorted(set(positions))):
            self._add(begin, until)
        while len(self._from) > MOST:
            del self._from[1], self._until[0]

    def _add(self, begin: int, until: int) -> None:
        low = bisect_right(self._until, begin - 1)  # the first span that ends at or after `begin`
        high = bisect_right(self._from, until)  # the first that begins after `until`
        if low < high:
            begin, until = min(begin, self._from[low]), max(until, self._until[high - 1])
        self._from[low:high] = [begin]
        self._until[low:high] = [until]

    def packed(self) -> bytes:
        """The spans as bytes."""
        return msgspec.msgpack.encode([bound for span in zip(self._from, self._until, strict=True) for bound in span])


def _runs(positions: Sequence[int]) -> Iterable[tuple[int, int]]:
    begin = 0
    for index in range(1, len(positions) + 1):
        if index == len(positions) or positions[index] != positions[index - 1] + 1:
            yield positions[begin], positions[index - 1] + 1
            begin = index
