"""One record of the topic of signals: some signals, and how far the partitions that they came from have been read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from soc.model.signal import Signal

SCHEMA = 1


class SignalRecord(msgspec.Struct, array_like=True):
    """Signals of one partition of the topic, then marks: what the marks promise is that the signals before them are here.

    `marks`: per source partition the largest usable event time read so far, microseconds since 1970; 0 = the partition
    exists, and nothing of it has been read. `at_us`: when the record was written, by the clock of its writer. `begun`: per
    scope the earliest event time that its writer knows, where that is news; in every partition alike.
    """

    at_us: int
    marks: dict[str, int]
    signals: list[Signal]
    begun: dict[str, int] = {}
    schema: int = SCHEMA


_DECODER = msgspec.msgpack.Decoder(SignalRecord)


def encode(at_us: int, marks: Mapping[str, int], signals: Sequence[Signal], begun: Mapping[str, int] | None = None) -> bytes:
    """A record as the topic keeps it."""
    return msgspec.msgpack.encode(SignalRecord(at_us, dict(marks), list(signals), dict(begun or {})))


def decode(raw: bytes) -> SignalRecord | None:
    """The record that `encode` wrote; None for anything else, and for one of a newer version."""
    try:
        record = _DECODER.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return record if record.schema == SCHEMA else None
