"""A source of records out of a list, with marks for what may happen in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from soc.errors import SourceUnavailable
from soc.model.record import RawRecord

Step = RawRecord | Exception | str
"""A record, an error to raise once, or `lost:<partition>`."""


def record(seq: int, raw: bytes | str, *, partition: str = "p0", source: str = "fw", received_us: int = 1_795_225_000_000_000, **more: object) -> RawRecord:
    """A record at a position; `more` overrides any field."""
    data = raw.encode() if isinstance(raw, str) else raw
    fields: dict[str, object] = {
        "source": source,
        "partition": partition,
        "seq": seq,
        "next": seq + 1,
        "raw": data,
        "received_us": received_us,
        "origin": partition,
        "origin_seq": seq,
    }
    return RawRecord(**{**fields, **more})  # type: ignore[arg-type]


class ListSource:
    """Re-readable: after `open` reading begins at the store's positions."""

    def __init__(self, name: str, steps: Sequence[Step]) -> None:
        self.name = name
        self.committed: dict[str, int] = {}
        self.opened = 0
        self._steps = list(steps)
        self._at = 0
        self._raised: set[int] = set()
        self._lost: set[str] = set()
        self._positions: Mapping[str, int] = {}

    def open(self, positions: Mapping[str, int]) -> None:
        self.opened += 1
        self._positions = dict(positions)
        self._at = 0

    def poll(self, most: int, timeout_s: float) -> list[RawRecord]:
        records: list[RawRecord] = []
        while self._at < len(self._steps) and len(records) < most:
            step = self._steps[self._at]
            if isinstance(step, Exception):
                if records:
                    break
                self._at += 1
                if id(step) not in self._raised:
                    self._raised.add(id(step))
                    raise step
                continue
            self._at += 1
            if isinstance(step, str):
                self._lost.add(step.removeprefix("lost:"))
                break
            if step.seq >= self._positions.get(step.partition, 0):
                records.append(step)
        return records

    def commit(self, positions: Mapping[str, int]) -> None:
        self.committed.update(positions)

    def lost(self) -> set[str]:
        lost, self._lost = self._lost, set()
        return lost

    def lag(self) -> dict[str, int]:
        return {"p0": len(self._steps) - self._at}

    def exhausted(self) -> bool:
        return self._at >= len(self._steps)

    def close(self) -> None:
        """Nothing is held."""


def unavailable() -> SourceUnavailable:
    """An error that waiting mends at once."""
    return SourceUnavailable("the wire is cut", retry_after_s=0.01)
