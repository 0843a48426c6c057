"""Signals that wait for the watermark: added in any order, taken in order of time."""

from __future__ import annotations

from heapq import heappop, heappush
from operator import attrgetter

from soc.rules.signals import Signal

BUCKET = 1_000_000
IN_ORDER = attrgetter("ts", "key", "id")
_TIME = attrgetter("ts")
_NEVER = 1 << 62


class Waiting:
    """Signals by the second of their time: what the watermark has not reached costs nothing."""

    def __init__(self) -> None:
        self.buckets: dict[int, list[Signal]] = {}
        self._times: list[int] = []

    def __len__(self) -> int:
        return sum(map(len, self.buckets.values()))

    def add(self, signal: Signal) -> None:
        """Take a signal."""
        slot = signal.ts // BUCKET
        bucket = self.buckets.get(slot)
        if bucket is None:
            self.buckets[slot] = [signal]
            heappush(self._times, slot)
        else:
            bucket.append(signal)

    def take(self, watermark: int) -> list[Signal]:
        """The waiting signals before `watermark`, in order of time; those of one instant in any."""
        slot = watermark // BUCKET
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
        return found


def ties_in_order(batch: list[Signal]) -> list[Signal]:
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
        batch[first:place] = sorted(batch[first:place], key=IN_ORDER)
    return batch
