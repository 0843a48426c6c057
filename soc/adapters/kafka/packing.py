"""The bytes of a packed batch of records, up to a limit: a megabyte of gzip, lz4, snappy or zstd may stand for gigabytes.

Every format is unpacked only as far as the limit goes, so memory and time follow the limit, never what a sender packed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
NAMES = {GZIP: "gzip", SNAPPY: "snappy", LZ4: "lz4", ZSTD: "zstd"}
"""Reference: Kafka protocol guide, "Record Batch", attributes, bits 0 to 2."""
_GZIP_MEMBERS = 1_000
"""Each begins with a copy of what follows; senders write one."""
_PIECE = 1 << 20
_GZIP_WINDOW = 31
_XERIAL = b"\x82SNAPPY\x00"
"""How Java's clients frame snappy: this, two numbers of 4 bytes, then blocks, each behind its length. Source: xerial/snappy-java, SnappyCodec."""
_XERIAL_HEAD = 16


class TooLargeError(Exception):
    """More comes out than the limit."""


class UnpackError(Exception):
    """The bytes are not what they are said to be; the text says how."""


def unpack(codec: int, packed: bytes | memoryview, most: int) -> bytes | bytearray:
    """What was packed.   Cost: memory of `most` at most, time that grows with it and with `packed`.

    Raises: TooLargeError beyond `most` bytes, UnpackError for what cannot be unpacked.
    """
    unpacks = _UNPACKS.get(codec)
    if unpacks is None:
        raise UnpackError(f"packed in a way that has no name ({codec})")
    return unpacks(bytes(packed), most)


def _gzip(packed: bytes, most: int) -> bytes:
    parts: list[bytes] = []
    left = most + 1
    for _ in range(_GZIP_MEMBERS):
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            parts.append(member.decompress(packed, left))
        except zlib.error as error:
            raise UnpackError(str(error)) from error
        left -= len(parts[-1])
        if left <= 0:
            raise TooLargeError
        if not member.eof:
            raise UnpackError("it ends too early")
        packed = member.unused_data
        if not packed.strip(b"\0"):
            return b"".join(parts)
    raise UnpackError(f"more than {_GZIP_MEMBERS} gzip members")


def _lz4(packed: bytes, most: int) -> bytes:
    import lz4.frame

    frame = lz4.frame.LZ4FrameDecompressor()
    try:
        found: bytes = frame.decompress(packed, max_length=most + 1)
    except RuntimeError as error:  # its only one
        raise UnpackError(str(error)) from error
    if len(found) > most:
        raise TooLargeError
    if not frame.eof:
        raise UnpackError("it ends too early")
    return found


def _zstd(packed: bytes, most: int) -> bytes:
    import zstandard

    parts: list[bytes] = []
    left = most + 1
    with zstandard.ZstdDecompressor().stream_reader(BytesIO(packed), read_across_frames=True) as reader:
        while left > 0:
            try:
                part = reader.read(min(left, _PIECE))
            except zstandard.ZstdError as error:
                raise UnpackError(str(error)) from error
            if not part:
                return b"".join(parts)
            parts.append(part)
            left -= len(part)
    raise TooLargeError


def _snappy(packed: bytes, most: int) -> bytearray:
    """The client's own way needs a library that is not installed with it; this one is slow, and needs none."""
    out = bytearray()
    if not packed.startswith(_XERIAL):
        _snappy_block(packed, 0, len(packed), out, most)
        return out
    at = _XERIAL_HEAD
    while at < len(packed):
        try:
            (length,) = struct.unpack_from(">i", packed, at)
        except struct.error as error:
            raise UnpackError("it ends too early") from error
        at += 4
        if not 0 < length <= len(packed) - at:
            raise UnpackError("a block is longer than the rest")
        _snappy_block(packed, at, at + length, out, most)
        at += length
    return out


def _snappy_block(packed: bytes, at: int, end: int, out: bytearray, most: int) -> None:
    """Append what a block holds.   Source: google/snappy, format_description.txt."""
    base = len(out)
    size, at = _varint(packed, at, end)
    if base + size > most:
        raise TooLargeError
    while at < end:
        tag = packed[at]
        kind = tag & 3
        if kind == 0:
            length = (tag >> 2) + 1
            at += 1
            if length > 60:  # noqa: PLR2004 - then it stands in the next 1 to 4 bytes
                behind = at + length - 60
                length = int.from_bytes(packed[at:behind], "little") + 1
                at = behind
            if length > end - at:
                raise UnpackError("a literal is longer than the rest")
            out += packed[at : at + length]
            at += length
        else:
            width = (1, 2, 4)[kind - 1]
            offset = int.from_bytes(packed[at + 1 : at + 1 + width], "little")
            at += 1 + width
            if kind == 1:
                length = (tag >> 2 & 7) + 4
                offset |= tag >> 5 << 8
            else:
                length = (tag >> 2) + 1
            begin = len(out) - offset
            if not offset or begin < base or at > end:
                raise UnpackError("a copy of what is not there")
            piece = out[begin : begin + length]
            out += piece if len(piece) == length else (piece * (length // offset + 1))[:length]
        if len(out) - base > size:
            raise UnpackError("it is longer than it says")
    if len(out) - base != size:
        raise UnpackError("it is shorter than it says")


def _varint(packed: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        if at >= end:
            break
        byte = packed[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
            return value, at
    raise UnpackError("its length cannot be read")


_UNPACKS: dict[int, Callable[[bytes, int], bytes | bytearray]] = {GZIP: _gzip, SNAPPY: _snappy, LZ4: _lz4, ZSTD: _zstd}
