"""How records stand in a segment file: framed, numbered and checksummed, so that damage is found and got over.

A frame is `magic, length, CRC-32, sequence` and a body `received_us, truncated_bytes, flags, length of host, host, raw`.
The CRC-32 of the body starts from the sequence number, so a frame in the wrong place is damage too.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

MAGIC = b"\xa5sp1"
_HEAD = struct.Struct("<4sIIQ")
_BODY = struct.Struct("<qQBB")
HEAD_BYTES = _HEAD.size
HEARTBEAT = 1
MOST_BODY = 1 << 26
"""Longer bodies are damage: no receiver accepts such records."""


class Frame(NamedTuple):
    """One record of a segment and the offset after it."""

    seq: int
    received_us: int
    truncated_bytes: int
    heartbeat: bool
    host: str
    raw: bytes
    end: int


def pack(seq: int, raw: bytes, received_us: int, host: str, truncated_bytes: int, *, heartbeat: bool = False) -> bytes:
    """The bytes of one record."""
    name = host.encode()[:255]
    body = _BODY.pack(received_us, truncated_bytes, HEARTBEAT if heartbeat else 0, len(name)) + name + raw
    return _HEAD.pack(MAGIC, len(body), zlib.crc32(body, seq & 0xFFFFFFFF), seq) + body


def unpack(data: bytes, at: int) -> Frame | None:
    """The whole and undamaged frame at `at`, or None."""
    if at + HEAD_BYTES > len(data):
        return None
    magic, length, checksum, seq = _HEAD.unpack_from(data, at)
    start, end = at + HEAD_BYTES, at + HEAD_BYTES + length
    if magic != MAGIC or not _BODY.size <= length <= MOST_BODY or end > len(data):
        return None
    body = data[start:end]
    if zlib.crc32(body, seq & 0xFFFFFFFF) != checksum:
        return None
    received_us, truncated_bytes, flags, name = _BODY.unpack_from(body)
    raw_at = _BODY.size + name
    return Frame(seq, received_us, truncated_bytes, bool(flags & HEARTBEAT), body[_BODY.size : raw_at].decode("utf-8", "replace"), body[raw_at:], end)


def wants(data: bytes, at: int) -> int:
    """How many bytes from `at` on the frame that begins there needs (0 = what stands there begins no frame)."""
    if at + HEAD_BYTES > len(data):
        return HEAD_BYTES
    magic, length, _checksum, _seq = _HEAD.unpack_from(data, at)
    return HEAD_BYTES + length if magic == MAGIC and _BODY.size <= length <= MOST_BODY else 0


def next_whole(data: bytes, at: int) -> tuple[int, int] | None:
    """Offset and sequence of the first undamaged frame at or after `at`, None when there is none."""
    while (at := data.find(MAGIC, at)) >= 0:
        if frame := unpack(data, at):
            return at, frame.seq
        at += 1
    return None
