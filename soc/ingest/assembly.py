"""The open occurrences of one source partition: what assemblers have begun and not finished.

Kept beside the positions (`Effects.state`), so that a restart goes on where the log stands. Time is the received time
of the partition's records, which never goes back here: an occurrence untouched for the assembler's `timeout_s` is
expired by the next record. How far it has come is kept too, or a restart after a clock was set back would expire otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from soc.ingest.parser import Assembler, Parsed

MOST_OPEN = 200_000
"""Open occurrences per partition; beyond it the oldest is finished early (bounded memory whatever a sender writes)."""
_TIME = 8
_NOW = ""
"""Key under which the time is kept; no occurrence has it."""


class Assembly(MutableMapping[str, bytes]):
    """The states of one assembler in one partition, oldest touched first.

    Behaves as a mapping from key to state for the assembler; notes what changed for the next commit.
    """

    def __init__(self, assembler: Assembler, kept: Mapping[str, bytes] = {}) -> None:
        self.assembler = assembler
        self._timeout_us = round(assembler.timeout_s * 1e6)
        self._states: dict[str, tuple[int, bytes]] = dict(
            sorted(
                ((key, (int.from_bytes(value[:_TIME], "big"), value[_TIME:])) for key, value in kept.items() if key != _NOW),
                key=lambda item: (item[1][0], item[0]),
            )
        )
        self._changed: dict[str, None] = {}
        self._now_us = self._kept_now_us = int.from_bytes(kept.get(_NOW, b""), "big")
        self._expired_us = -1
        """Up to when everything that ran out is expired; what is touched later runs out later."""

    def fold(self, event_id: str, ts_us: int, received_us: int, doc: dict[str, object]) -> list[Parsed]:
        """Take in one line; the occurrences that it finished, after those that had expired before it."""
        finished = self.expire(received_us) if received_us > self._expired_us else []
        finished += self.assembler.fold(self, event_id, ts_us, doc)
        while len(self._states) > MOST_OPEN:
            finished += self._expire_oldest(rest=False)
        return finished

    def expire(self, received_us: int) -> list[Parsed]:
        """Let time go on to `received_us`; the occurrences that ran out."""
        self._now_us = max(self._now_us, received_us)
        finished: list[Parsed] = []
        while self._states:
            touched, _ = next(iter(self._states.values()))
            if touched + self._timeout_us > self._now_us:
                break
            finished += self._expire_oldest()
        self._expired_us = self._now_us
        return finished

    def _expire_oldest(self, *, rest: bool = True) -> list[Parsed]:
        key = next(iter(self._states))
        before, done = self._states[key], False
        try:
            finished = self.assembler.expire(self, key)
            done = True
        finally:
            # An assembler that left it untouched is done with it; when there are too many, nothing may rest either. What
            # it fails at must go too: it would stand in the way of all that are younger.
            if key in self and (not done or not rest or self._states[key] == before):
                del self[key]
        return finished

    def take_changes(self) -> dict[str, bytes | None]:
        """What changed since the last call, as kept bytes (None = gone)."""
        changes: dict[str, bytes | None] = {
            key: (state[0].to_bytes(_TIME, "big") + state[1]) if (state := self._states.get(key)) else None for key in self._changed
        }
        self._changed.clear()
        if self._now_us != self._kept_now_us:
            self._kept_now_us = self._now_us
            changes[_NOW] = self._now_us.to_bytes(_TIME, "big")
        return changes

    def __getitem__(self, key: str) -> bytes:
        return self._states[key][1]

    def get(self, key: str, default: Any = None, /) -> Any:
        """The state of a key; what a mapping has of itself raises an error for each that is missing, which takes four times as long."""
        state = self._states.get(key)
        return default if state is None else state[1]

    def __contains__(self, key: object) -> bool:
        return key in self._states

    def __setitem__(self, key: str, state: bytes) -> None:
        self._states.pop(key, None)  # to the end: the most recently touched
        self._states[key] = (self._now_us, state)
        self._changed[key] = None

    def __delitem__(self, key: str) -> None:
        del self._states[key]
        self._changed[key] = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)
