"""What correlations told lately, packed: an alert of a wave that never ends has thousands of members, and few are ever looked at again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
import zstandard

from soc.rules.episodes import CorrelationAlert

_LONG = 256
"""Of an alert with more members its snapshot is kept, which shares them, packed, with the episode that goes on."""


class Head(NamedTuple):
    """What is known of an alert without unpacking it: its rule, the key of its group, and the end of the last window in which it held (microseconds)."""

    rule: str
    key: tuple[str, ...]
    end: int


class Told(Mapping[str, CorrelationAlert]):
    """The last state of each alert by its id; those that were looked at are at hand until `rest`."""

    def __init__(self) -> None:
        self.heads: dict[str, Head] = {}
        self._kept: dict[str, bytes | CorrelationAlert] = {}
        self._read: dict[str, CorrelationAlert] = {}

    def put(self, alert: CorrelationAlert) -> bytes:
        """Keep the state of an alert; the bytes that `take_in` reads."""
        body = zstandard.compress(msgspec.msgpack.encode(alert, enc_hook=list), 1)  # members are not unpacked before
        body = bytes(memoryview(body))  # what zstandard gives goes on holding the room that it reserved
        self.heads[alert.id] = Head(alert.rule, alert.key, alert.end)
        self._kept[alert.id] = alert if len(alert.members) > _LONG else body
        self._read.pop(alert.id, None)
        return body

    def take_in(self, body: bytes) -> None:
        """Keep what `put` gave before a restart; what another version gave is left out: its episode is told under a new id, if it goes on."""
        try:
            alert = _unpacked(body)
        except (msgspec.MsgspecError, zstandard.ZstdError):
            return
        self.heads[alert.id] = Head(alert.rule, alert.key, alert.end)
        self._kept[alert.id] = body

    def __getitem__(self, name: str) -> CorrelationAlert:
        alert = self._read.get(name)
        if alert is None:
            kept = self._kept[name]
            if not isinstance(kept, bytes):
                return kept
            alert = self._read[name] = _unpacked(kept)
        return alert

    def __iter__(self) -> Iterator[str]:
        return iter(self.heads)

    def __len__(self) -> int:
        return len(self.heads)

    def rest(self) -> None:
        """Let what was looked at go."""
        self._read.clear()

    def forget(self, name: str) -> None:
        """Let an alert go."""
        del self.heads[name], self._kept[name]
        self._read.pop(name, None)

    def clear(self) -> None:
        """Let all of them go."""
        self.heads.clear()
        self._kept.clear()
        self._read.clear()


def _unpacked(body: bytes) -> CorrelationAlert:
    return msgspec.msgpack.decode(zstandard.decompress(body), type=CorrelationAlert)
