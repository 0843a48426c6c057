"""The bytes of one file, as a decompressed stream with positions, and the lines in it.

A plain file may grow; a gzip file is read once, through all its members. Positions are offsets in the decompressed
stream, so that a log and its compressed copy are the same partition at the same positions.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from soc.errors import Phrase, SourceUnavailable

BLOCK = 1 << 20
"""Bytes per read: large enough that splitting costs more than reading."""
HEAD = 1024
"""The bytes that name a partition (design: identity)."""
P = ParamSpec("P")
R = TypeVar("R")
_GZIP = b"\x1f\x8b"


class PlainStream:
    """A file that may grow."""

    compressed = False
    fault = ""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self.offset = 0

    def head(self) -> bytes:
        """The first `HEAD` bytes, or all there are."""
        return _guarded(self.path, os.pread, self._descriptor, HEAD, 0)

    def at(self, offset: int) -> bytes:
        """The byte at `offset`; b"" beyond the end."""
        return _guarded(self.path, os.pread, self._descriptor, 1, offset)

    def seek(self, offset: int) -> None:
        """Go on at `offset`."""
        self.offset = offset

    def read(self) -> bytes:
        """The next block; b"" at the (present) end."""
        block = _guarded(self.path, os.pread, self._descriptor, BLOCK, self.offset)
        self.offset += len(block)
        return block

    def left(self) -> int:
        """Bytes between the place read to and the end of the file; negative after it was truncated."""
        return _guarded(self.path, os.fstat, self._descriptor).st_size - self.offset

    def stamp(self) -> tuple[int, int]:
        """Size and time of change of the file: equal ones mean that nothing was written meanwhile."""
        status = _guarded(self.path, os.fstat, self._descriptor)
        return status.st_size, status.st_mtime_ns

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class GzipStream:
    """A gzip file of one or more members; what is readable of a torn or corrupt one is delivered, `fault` says the rest.

    Source: RFC 1952 2.2 (members follow each other; zero bytes may pad the end).
    """

    compressed = True

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self.fault = ""
        self._start()

    def _start(self) -> None:
        self.offset = 0
        self._place = 0
        self._pending = self._back = b""
        self._inflate = zlib.decompressobj(wbits=31)
        self._in_member = False
        self._ended = False

    def head(self) -> bytes:
        """The first `HEAD` bytes of the decompressed stream, or all there are."""
        out = b""
        while len(out) < HEAD and (block := self.read()):
            out += block
        self._start()
        self.fault = ""
        return out[:HEAD]

    def seek(self, offset: int) -> None:
        """Go on at `offset`: what stands before is decompressed and dropped. Beyond the end nothing is left, not even a fault."""
        self._start()
        while self.offset < offset and (block := self.read()):
            if self.offset > offset:
                keep = self.offset - offset
                self._back = block[len(block) - keep :]
                self.offset = offset
                return
        if self.offset < offset:
            self.fault = ""

    def read(self) -> bytes:
        """The next block; b"" at the end."""
        if self._back:
            block, self._back = self._back, b""
            self.offset += len(block)
            return block
        while not self._ended:
            block = self._step()
            if block:
                self.offset += len(block)
                return block
        return b""

    def _step(self) -> bytes:
        if not self._pending:
            self._pending = _guarded(self.path, os.pread, self._descriptor, BLOCK // 4, self._place)
            self._place += len(self._pending)
        if not self._pending:
            self._end("the compressed file is torn: its end is missing" if self._in_member else "")
            return b""
        if not self._in_member:
            self._pending = self._pending.lstrip(b"\0")
            if not self._pending:
                return b""
            self._in_member = True
        try:
            block = self._inflate.decompress(self._pending, BLOCK)
        except zlib.error as error:
            self._end(f"the compressed file is damaged: {error}")
            return b""
        if self._inflate.eof:
            self._pending = self._inflate.unused_data
            self._inflate = zlib.decompressobj(wbits=31)
            self._in_member = False
        else:
            self._pending = self._inflate.unconsumed_tail
        return block

    def _end(self, fault: str) -> None:
        self._ended = True
        self.fault = fault

    def left(self) -> int:
        """Compressed bytes that are not read yet (how many they become is unknown); 0 at the end."""
        if self._ended:
            return 0
        return max(1, _guarded(self.path, os.fstat, self._descriptor).st_size - self._place + len(self._pending) + len(self._back))

    def stamp(self) -> tuple[int, int]:
        """Size and time of change of the file: equal ones mean that nothing was written meanwhile."""
        status = _guarded(self.path, os.fstat, self._descriptor)
        return status.st_size, status.st_mtime_ns

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


Stream = PlainStream | GzipStream


def open_stream(path: Path) -> tuple[Stream, os.stat_result]:
    """The stream of a file and what it is; gzip is known by its first bytes, not by its name.

    Raises: SourceUnavailable naming the file and why it cannot be read.
    """
    descriptor = _guarded(path, os.open, path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        first = os.pread(descriptor, 2, 0)
    except OSError as error:
        os.close(descriptor)
        raise _unavailable(path, error) from error
    return (GzipStream if first == _GZIP else PlainStream)(path, descriptor), status


class Lines:
    """The lines of a stream with their positions; a line longer than `most` keeps its first `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.start = 0
        """Position of the first byte of the unfinished line."""
        self._rest = b""
        self._cut = 0

    def feed(self, block: bytes) -> tuple[int, list[bytes], int]:
        """The position of the first finished line, the finished lines, and how many bytes the first had to lose."""
        lines = (self._rest + block).split(b"\n") if self._rest else block.split(b"\n")
        rest = lines.pop()
        first, cut = self.start, self._cut if lines else 0
        if lines:
            # Everything up to the rest is finished: one addition instead of one per line.
            self.start += len(self._rest) + self._cut + len(block) - len(rest)
            self._cut = 0
        if len(rest) > self._most:
            self._cut += len(rest) - self._most
            rest = rest[: self._most]
        self._rest = rest
        return first, lines, cut

    def finish(self) -> tuple[int, list[bytes], int]:
        """The last line of a stream that ends without a line end, as from `feed`."""
        lines = [self._rest] if self._rest else []
        first, cut = self.start, self._cut
        self.start += len(self._rest) + cut
        self._rest, self._cut = b"", 0
        return first, lines, cut


def _guarded(path: Path, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    try:
        return call(*args, **kwargs)
    except OSError as error:
        raise _unavailable(path, error) from error


def _unavailable(path: Path, error: OSError) -> SourceUnavailable:
    hint = Phrase("let the user of soc read it: setfacl -m u:$USER:r {path}", path=path) if isinstance(error, PermissionError) else ""
    return SourceUnavailable(Phrase("{path} cannot be read: {strerror}", path=path, strerror=error.strerror), hint=hint)
