"""Lines of files as records.

Partition = `file:<source>/<hash of the first 1,024 bytes of the decompressed stream>`, position = byte offset in that
stream. So a file that is renamed, copied or compressed is the same partition, and reading goes on where it stopped. A
followed file shorter than 1,024 bytes waits until it has grown or is finished (rotated away); a finished one is named
by all its bytes. Where such a short one has grown since, it is another partition that begins where the short one ended
(docs/adr/0031).
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from soc.adapters.files.stream import HEAD, Lines, PlainStream, Stream, open_stream
from soc.clock import Clock
from soc.config import FileSource
from soc.errors import ConfigError, Phrase, SourceUnavailable
from soc.model.record import RawRecord
from soc.telemetry import get_logger

log = get_logger(__name__)

_SCAN_S = 0.5
"""How often the folder is looked at for new and rotated files."""
_LEAST_GROWN = 64
"""Bytes that a shorter file must have had: fewer may stand at the beginning of another one by chance."""
_PAUSE_S = 0.05
"""Between two looks at files that had nothing new."""
Key = tuple[int, int]


class _Tracked:
    """One file as an inode: its stream, its lines, and those lines that were read and not handed over yet."""

    def __init__(self, path: Path, key: Key, stream: Stream, most: int, seen_at: float) -> None:
        self.path = path
        self.key = key
        self.stream = stream
        self.most = most
        self.partition = ""
        self.head = b""
        self.lines = Lines(most)
        self.ready: list[bytes] = []
        self.taken = 0
        self.position = 0
        self.cut = 0
        self.received_us = 0
        self.begun = False
        self.finished = False
        self.gone_at: float | None = None
        self.stamp: tuple[int, int] = (-1, -1)
        self.changed_at = seen_at

    def take(self, source: str, most: int, out: list[RawRecord]) -> None:
        """Move up to `most` of the lines that are ready to `out`."""
        lines = self.ready[self.taken : self.taken + most]
        self.taken += len(lines)
        partition, at, now, longest = self.partition, self.position, self.received_us, self.most
        cut, self.cut = self.cut, 0
        for line in lines:
            end = at + len(line) + 1
            if cut or len(line) > longest:
                whole = len(line) + cut
                end, cut = end + cut, 0
                raw = line[:longest]
                lost = whole - len(raw)
                fault = f"oversized: {whole} bytes, at most {longest} are kept"
                out.append(RawRecord(source, partition, at, end, raw, now, partition, at, truncated_bytes=lost, fault=fault))
            else:
                out.append(RawRecord(source, partition, at, end, line[:-1] if line[-1:] == b"\r" else line, now, partition, at))
            at = end
        if lines and self.finished:
            # Only the last line of a finished file stands here: it has no line end to count.
            at -= 1
            out[-1] = replace(out[-1], next=at)
        self.position = at


class FileRecordSource:
    """A `RecordSource` of the files that `settings.paths` name (files or glob patterns).

    Delivery: at least once, in order within a file. With `settings.follow` files are followed through rotation by
    rename (what is written to the old one within `rotated_grace_s` is still read) and by copy and truncate; without,
    each is read to its end and the source is exhausted.
    """

    def __init__(self, name: str, settings: FileSource, *, clock: Clock, rotated_grace_s: float = 5.0) -> None:
        self.name = name
        self._settings = settings
        self._clock = clock
        self._grace_s = rotated_grace_s
        self._reset({})

    def _reset(self, positions: Mapping[str, int]) -> None:
        self._next = dict(positions)
        self._lengths = {position for position in self._next.values() if _LEAST_GROWN <= position < HEAD}
        self._waiting: deque[Path] = deque()
        self._files: dict[Key, _Tracked] = {}
        self._turns: deque[_Tracked] = deque()
        self._owners: dict[str, _Tracked] = {}
        self._done: dict[Key, tuple[int, int]] = {}
        self._scanned_at = float("-inf")
        self._complaints: dict[Path, str] = {}

    def open(self, positions: Mapping[str, int]) -> None:
        """Find the files; `positions` maps partition to the offset to go on at.

        Raises: ConfigError for a folder, or (read once) a file that is not there; SourceUnavailable for one that may
        not be read, or a followed one that is not there yet and has no other beside it.
        """
        self.close()
        self._reset(positions)
        found = self._expand(strict=True)
        if self._settings.follow:
            self._scan()
            if not self._files and found and self._complaints:
                raise SourceUnavailable(next(iter(self._complaints.values())), hint="the file is tried again; see its rights and those of its folders")
        else:
            for path in found:
                os.close(_openable(path))
            self._waiting.extend(found)

    def poll(self, most: int, timeout_s: float) -> list[RawRecord]:
        """Up to `most` records, from one file after the other, waiting up to `timeout_s` for the first."""
        deadline = self._clock.monotonic() + timeout_s
        out: list[RawRecord] = []
        while True:
            if self._settings.follow:
                self._scan()
            while len(out) < most and self._turn(most - len(out), out):
                pass
            left = deadline - self._clock.monotonic()
            if out or left <= 0 or self.exhausted():
                return out
            self._clock.sleep(min(_PAUSE_S, left))

    def commit(self, positions: Mapping[str, int]) -> None:
        """Nothing to tell: files keep what was read."""

    def lost(self) -> set[str]:
        """No partition is ever taken away."""
        return set()

    def lag(self) -> dict[str, int]:
        """Bytes not handed over, per partition; an unfinished last line is not waited for. Compressed bytes for gzip."""
        out: dict[str, int] = {}
        for file in self._files.values():
            if file.partition and self._owners.get(file.partition) is file:
                left = file.stream.left()
                unread = sum(map(len, file.ready[file.taken :]))
                out[file.partition] = max(0, left) + unread
            elif file.stream.compressed and not file.partition:
                out[f"file:{self.name}/{file.path.name}"] = file.stream.left()
        for path in self._waiting:
            out[f"file:{self.name}/{path.name}"] = _size(path)
        return out

    def exhausted(self) -> bool:
        """True when all files were read to their ends and none is followed."""
        return not self._settings.follow and not self._waiting and not self._files

    def close(self) -> None:
        """Close all files; idempotent."""
        for file in self._files.values():
            file.stream.close()
        self._files.clear()
        self._turns.clear()
        self._waiting.clear()

    # --- which files

    def _expand(self, *, strict: bool) -> list[Path]:
        """The files there are, sorted within each pattern, each path once."""
        found: dict[Path, None] = {}
        for pattern in self._settings.paths:
            if glob.has_magic(pattern) and not os.path.lexists(pattern):
                paths = [path for path in map(Path, sorted(glob.glob(pattern, recursive=True))) if not path.is_dir()]  # noqa: PTH207 - absolute patterns
            else:
                paths = [Path(pattern)]
                if strict:
                    self._check(paths[0])
            if strict and not paths and not self._settings.follow:
                raise ConfigError(
                    Phrase("no file fits {pattern} of source {name}", pattern=pattern, name=self.name),
                    key=f"sources.{self.name}.paths",
                    hint="see the pattern; it is read where soc was started",
                )
            found.update(dict.fromkeys(paths))
        return list(found)

    def _check(self, path: Path) -> None:
        key = f"sources.{self.name}.paths"
        if path.is_dir():
            raise ConfigError(
                Phrase("{path} of source {name} is a folder", path=path, name=self.name), key=key, hint=Phrase("name its files: {path}/*.log", path=path)
            )
        if not path.exists() and not self._settings.follow:
            raise ConfigError(
                Phrase("{path} of source {name} is not there", path=path, name=self.name), key=key, hint="see the path; it is read from where soc was started"
            )

    def _scan(self) -> None:
        """Track new files and note which tracked ones are no longer found under any name."""
        now = self._clock.monotonic()
        if now - self._scanned_at < _SCAN_S:
            return
        self._scanned_at = now
        here: set[Key] = set()
        for path in self._expand(strict=False):
            try:
                status = path.stat()
                key = (status.st_dev, status.st_ino)
                if not stat.S_ISREG(status.st_mode):
                    continue
                here.add(key)
                if key not in self._files and self._done.get(key) != (status.st_size, status.st_mtime_ns):
                    self._track(path)
                self._complaints.pop(path, None)
            except FileNotFoundError:
                continue
            except (OSError, SourceUnavailable) as error:
                reason = error.message if isinstance(error, SourceUnavailable) else f"{path} cannot be read: {error.strerror}"
                if self._complaints.get(path) != reason:
                    log.warning("file cannot be read", source=self.name, error=reason)
                self._complaints[path] = reason
        for key, file in self._files.items():
            file.gone_at = None if key in here else now if file.gone_at is None else file.gone_at

    def _track(self, path: Path) -> _Tracked:
        stream, status = open_stream(path)
        key = (status.st_dev, status.st_ino)
        file = _Tracked(path, key, stream, self._settings.max_record_bytes, self._clock.monotonic())
        self._files[key] = file
        self._turns.append(file)
        return file

    # --- reading

    def _turn(self, most: int, out: list[RawRecord]) -> bool:
        """Take what one file has; False when none has anything."""
        if not self._settings.follow:
            while self._turns or self._waiting:
                if not self._turns:
                    self._track(self._waiting.popleft())
                elif self._take(self._turns[0], most, out):
                    return True
            return False
        for _ in range(len(self._turns)):
            file = self._turns[0]
            self._turns.rotate(-1)
            if self._take(file, most, out):
                return True
        return False

    def _take(self, file: _Tracked, most: int, out: list[RawRecord]) -> bool:
        if not file.partition and not self._identify(file):
            return False
        if self._owners.setdefault(file.partition, file) is not file:
            return False  # the same partition under another name: when that file is finished, this one goes on where it stopped
        if file.taken == len(file.ready) and not self._read(file):
            return False
        before = len(out)
        file.take(self.name, most, out)
        if len(out) > before:
            self._next[file.partition] = out[-1].next
        if file.finished and file.taken == len(file.ready):
            if _LEAST_GROWN <= file.position < HEAD:
                self._lengths.add(file.position)
            self._finish(file, out)
        return True

    def _identify(self, file: _Tracked) -> bool:
        """Name the partition, once enough of the file is there."""
        ended = self._ended(file)
        if file.stream.compressed and not ended:
            return False
        head = file.stream.head()
        if len(head) < HEAD and not ended:
            return False
        if not head:
            self._drop(file)
            return False
        file.head = head
        file.partition = self._name_of(head)
        return True

    def _ended(self, file: _Tracked) -> bool:
        """Whether nothing more will be written to the file: it is read once, was rotated away, or (gzip) stopped growing."""
        if not self._settings.follow:
            return True
        now = self._clock.monotonic()
        if file.stream.compressed:
            stamp = file.stream.stamp()
            if stamp != file.stamp:
                file.stamp, file.changed_at = stamp, now
            return now - file.changed_at >= self._grace_s
        return file.gone_at is not None and now - file.gone_at >= self._grace_s

    def _begin(self, file: _Tracked) -> None:
        known = self._next.get(file.partition)
        start = self._grown_from(file.head) if known is None else known
        if known is None and start:
            log.info("file was read before it grew", source=self.name, path=str(file.path), offset=start)
        elif start and isinstance(file.stream, PlainStream):
            self._doubt(file.stream, start)
        file.stream.seek(start)
        file.lines.start = file.position = start
        file.begun = True
        self._next.setdefault(file.partition, start)

    def _grown_from(self, head: bytes) -> int:
        """How many bytes of a new file were read when it was no longer than that; 0 where it is no file that has grown by whole lines.

        The position of a short file that was read to its end is its length, and its name the hash of just so many bytes.
        """
        for length in sorted(self._lengths, reverse=True):
            if length < len(head) and b"\n" in head[length - 1 : length + 1] and self._next.get(self._name_of(head[:length])) == length:
                return length
        return 0

    def _name_of(self, head: bytes) -> str:
        return f"file:{self.name}/{hashlib.sha256(head).hexdigest()[:32]}"

    def _doubt(self, stream: PlainStream, start: int) -> None:
        """Tell of a file that goes on where it can hardly be the one that was read before: beyond its end, or in the middle of a line."""
        size = stream.stamp()[0]
        if size < start or (size > start and stream.at(start - 1) != b"\n"):
            log.warning(
                "file begins as one that was read, and is shorter or goes on in the middle of a line; what stands before the offset is not read",
                source=self.name,
                path=str(stream.path),
                offset=start,
                hint="where it is another file, read it under a source of its own",
            )

    def _read(self, file: _Tracked) -> bool:
        """Make more lines ready; False when there are none now."""
        if not file.begun:
            self._begin(file)
        if not file.stream.compressed and self._settings.follow and self._was_truncated(file):
            return False
        file.received_us = self._clock.now_us()
        file.ready, file.taken = [], 0
        while block := file.stream.read():
            file.position, file.ready, file.cut = file.lines.feed(block)
            if file.ready:
                return True
        if not (file.stream.compressed or self._ended(file)):
            return False
        file.position, file.ready, file.cut = file.lines.finish()
        file.finished = True
        return True

    def _was_truncated(self, file: _Tracked) -> bool:
        """Copy and truncate: the stream that was followed has ended, another one begins in the same file."""
        if file.stream.left() == 0 or file.stream.head() == file.head:
            return False
        log.info("file was truncated", source=self.name, path=str(file.path))
        self._drop(file)
        self._scanned_at = float("-inf")
        self._done.pop(file.key, None)
        return True

    def _finish(self, file: _Tracked, out: list[RawRecord]) -> None:
        if file.stream.fault:
            at = file.position
            out.append(
                RawRecord(self.name, file.partition, at, at + 1, b"", self._clock.now_us(), file.partition, at, fault=f"{file.path.name}: {file.stream.fault}")
            )
            self._next[file.partition] = at + 1
        self._drop(file)

    def _drop(self, file: _Tracked) -> None:
        """Forget a file that has no more to give."""
        self._done[file.key] = file.stream.stamp()
        file.stream.close()
        self._files.pop(file.key, None)
        self._turns.remove(file)
        if self._owners.get(file.partition) is file:
            del self._owners[file.partition]


def _openable(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SourceUnavailable(Phrase("{path} cannot be read: {strerror}", path=path, strerror=error.strerror), hint="let the user of soc read it") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
