"""What exceptions let pass, counted exactly once: a part of the pipeline's kept state, so it stands or falls with the batch.

Key of the state: `<partition>\\x1f` + `KEPT` + `\\x1f<exception>\\x1f<rule>`; value: a `Passed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

KEPT = "excepted"
MOST_EVENTS = 5
"""Ids of events kept as examples, the latest."""


class Passed(msgspec.Struct):
    """Matches of one rule that one exception let pass, in one partition; times are received times, RFC 3339 UTC."""

    count: int = 0
    first_at: str = ""
    last_at: str = ""
    events: list[str] = []


class ExceptionCounts:
    """The counts of the partitions at hand. `kept_state` as of the pipeline."""

    def __init__(self, kept_state: Callable[[str], Mapping[str, bytes]]) -> None:
        self._kept_state = kept_state
        self._known: dict[str, dict[tuple[str, str], Passed]] = {}
        self._changed: set[tuple[str, str, str]] = set()

    def count(self, partition: str, exception: str, rule: str, event: str, at: str) -> None:
        """Count one match that was let pass."""
        known = self._known.get(partition)
        if known is None:
            known = self._known[partition] = kept_counts(self._kept_state(partition))
        passed = known.setdefault((exception, rule), Passed(first_at=at))
        passed.count += 1
        passed.last_at = max(passed.last_at, at)
        passed.events = [*passed.events, event][-MOST_EVENTS:]
        self._changed.add((partition, exception, rule))

    def take_changes(self) -> dict[str, bytes | None]:
        """State to keep since the last call."""
        changed, self._changed = self._changed, set()
        return {
            f"{partition}\x1f{KEPT}\x1f{exception}\x1f{rule}": msgspec.msgpack.encode(self._known[partition][exception, rule])
            for partition, exception, rule in sorted(changed)
        }

    def forget(self, partitions: Iterable[str]) -> None:
        """Drop what is known of partitions that went elsewhere."""
        for partition in partitions:
            self._known.pop(partition, None)
        self._changed = {one for one in self._changed if one[0] in self._known}

    def forget_all(self) -> None:
        """Drop everything: it is read back."""
        self._known.clear()
        self._changed.clear()


def kept_counts(state: Mapping[str, bytes]) -> dict[tuple[str, str], Passed]:
    """By exception and rule what the kept state of a partition says."""
    found = {}
    for key, value in state.items():
        kind, _, rest = key.partition("\x1f")
        if kind == KEPT:
            exception, _, rule = rest.partition("\x1f")
            found[exception, rule] = msgspec.msgpack.decode(value, type=Passed)
    return found
