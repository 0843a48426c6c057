"""Documents as bytes: JSON lines, compressed in blocks of consecutive events."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import orjson
import zstandard

from soc.errors import Phrase, StoreCorrupt
from soc.model.event import Doc, document_of

BLOCK_DOCS = 64
"""64 documents compress 4 times as well as one and are read in 0.1 ms."""
BLOCK_BYTES = 262_144
"""A block ends here too: long documents are not read together for the sake of one."""
_MOST_BYTES = 1 << 30
_LEVEL = 1
"""zstd level 3 gains 4 % at twice the time."""

_local = threading.local()


def dump(doc: Doc) -> bytes:
    """A document as one line of JSON; what JSON cannot hold (lone surrogates, huge integers) is written as text that it can."""
    try:
        line = orjson.dumps(doc)
    except TypeError:
        line = orjson.dumps(_storable(doc))
    return bytes(memoryview(line))  # orjson gives its whole buffer away, ten times as large: 2,000 of them would pass through 50 MiB


def _storable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_storable(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_storable(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
        return value
    return str(value)


load = document_of
"""The document of a line: what a store keeps of an event is what the event can be read from."""


def pack(lines: Sequence[bytes]) -> bytes:
    """A block of lines; used by one thread at a time per thread-local compressor."""
    compressor: zstandard.ZstdCompressor | None = getattr(_local, "compressor", None)
    if compressor is None:
        compressor = _local.compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    return compressor.compress(b"\n".join(lines))


def pack_all(runs: Sequence[Sequence[bytes]]) -> tuple[bytes, list[int]]:
    """The blocks of several runs of lines, as `pack` makes each, one behind the other, and the bytes of each; most of it leaves the interpreter to others."""
    if not runs:
        return b"", []
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    packed = compressor.multi_compress_to_buffer([b"\n".join(run) for run in runs])
    blocks: list[Any] = [packed[number] for number in range(len(packed))]
    return b"".join(blocks), list(map(len, blocks))


class Block:
    """The lines of a block, of which only those that are asked for are cut out: most readers want one or two of 64."""

    __slots__ = ("_ends", "_whole", "count")

    def __init__(self, data: bytes) -> None:
        """Raises: StoreCorrupt. Cost: a tenth of taking all lines apart."""
        whole = self._whole = _decompressed(data)
        ends = self._ends = [-1]
        find, at = whole.find, whole.find(b"\n")
        while at >= 0:
            ends.append(at)
            at = find(b"\n", at + 1)
        ends.append(len(whole))
        self.count = len(ends) - 1

    def line(self, number: int) -> bytes:
        """The line of a number from 0."""
        return self._whole[self._ends[number] + 1 : self._ends[number + 1]]

    def lines(self) -> list[bytes]:
        """All lines."""
        return self._whole.split(b"\n")


def unpack(data: bytes) -> list[bytes]:
    """The lines of a block.

    Raises: StoreCorrupt.
    """
    return _decompressed(data).split(b"\n")


def _decompressed(data: bytes) -> bytes:
    decompressor: zstandard.ZstdDecompressor | None = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor()
    try:
        return decompressor.decompress(data, max_output_size=_MOST_BYTES)
    except zstandard.ZstdError as error:
        raise StoreCorrupt(Phrase("a block of documents is damaged: {error}", error=error), hint="restore the last backup") from error


def cut(lines: Sequence[bytes], room: int = BLOCK_DOCS) -> list[Sequence[bytes]]:
    """The lines in runs of one block each; the first has at most `room`."""
    out: list[Sequence[bytes]] = []
    begin = 0
    while begin < len(lines):
        end = min(begin + room, len(lines))
        room = BLOCK_DOCS
        total = 0
        for position in range(begin, end):
            total += len(lines[position])
            if total > BLOCK_BYTES and position > begin:
                end = position
                break
        out.append(lines[begin:end])
        begin = end
    return out
