"""The spool: `RecordSink` of the receivers and `RecordSource` of the pipeline.

A folder per stream, dense sequence numbers from 0, partition and origin `collector:<id>/<stream>`; the id is drawn
when the spool is made and stored in it. One process holds it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets  # noqa: TID251 - the one place where collector ids are drawn
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from soc.adapters.spool.frames import next_whole, unpack, wants
from soc.adapters.spool.stream import Stream
from soc.errors import ConfigError, Locked, NotAllowed, Phrase, SourceUnavailable, StoreCorrupt, StoreFull
from soc.model.record import RawRecord
from soc.ports import CrashPoint, no_crash

SEGMENT_BYTES = 1 << 26
_READ_BYTES = 1 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


class Spool:
    """Durable streams of received lines in `folder`, at most `most_bytes` in all.

    Delivery: what `append` returned for survives kill -9 and power cuts. Raises (construction): Locked, NotAllowed, StoreFull.
    """

    def __init__(self, folder: Path, *, most_bytes: int, crash: CrashPoint = no_crash) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._crash = crash
        self._streams: dict[str, Stream] = {}
        self._making = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            told = Phrase("the spool {folder} cannot be made: {strerror}", folder=folder, strerror=error.strerror)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull(told, hint="make room on its disk, or set data_dir") from error
            raise NotAllowed(told, hint="give this user the right to write there, or set data_dir") from error
        self._hold()
        self.collector = self._identity()

    def _hold(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            text = os.pread(self._lock, 20, 0)
            os.close(self._lock)
            self._lock = -1
            pid = int(text) if text.isdigit() else 0
            raise Locked(
                Phrase("the spool {folder} is in use by process {pid}", folder=self._folder, pid=pid or "unknown"),
                pid=pid,
                hint="stop that process, or use another data_dir",
            ) from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def _identity(self) -> str:
        """The collector id: drawn once, stored before it is used."""
        path = self._folder / "collector"
        if path.exists():
            text = path.read_text().strip()
            if not re.fullmatch(r"[0-9a-f]{16}", text):
                self.close()
                raise StoreCorrupt(
                    Phrase("{path} holds no collector id", path=path),
                    hint="put the 16 hexadecimal digits back (they stand in `soc store ledger`), or delete the file to begin as a new collector",
                )
            return text
        identity = secrets.token_hex(8)
        fresh = self._folder / "collector.new"
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(identity + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._crash("spool-identity-written")
        fresh.replace(path)
        descriptor = os.open(self._folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        return identity

    def append(self, stream: str, records: Sequence[tuple[bytes, int, str, int]]) -> None:
        """Append `(raw, received_us, host, truncated_bytes)`; durable on return, in one sync.

        Raises: StoreFull when the bound or the disk is reached; Unreachable for other faults of the disk. Nothing of
        the call counts then.
        """
        if not records:
            return
        if self.size_bytes() >= self._most_bytes:
            raise StoreFull(
                Phrase("the spool {folder} is full ({most_bytes:,} bytes)", folder=self._folder, most_bytes=self._most_bytes),
                hint="the pipeline is behind: see `soc sources status`; pipeline.spool_max_bytes sets the bound",
            )
        self.stream(stream).append(records)

    def append_heartbeat(self, stream: str, now_us: int) -> None:
        """Write into the stream that time goes on."""
        self.stream(stream).append([(b"", now_us, "", 0)], heartbeat=True)

    def source(self, stream: str) -> SpoolSource:
        """The reading side of a stream (one reader at a time)."""
        return SpoolSource(self, stream)

    def stream(self, name: str) -> Stream:
        """The segments of a stream, made when first asked for."""
        found = self._streams.get(name)
        if found is None:
            if not _NAME.fullmatch(name):
                raise ConfigError(Phrase("{name!r} is no name of a stream", name=name), hint="lower-case letters, digits, . _ -")
            with self._making:
                found = self._streams.get(name)
                if found is None:
                    # A sixteenth of the bound: segments that are read can go long before the spool is full.
                    found = self._streams[name] = Stream(self._folder / "streams" / name, min(SEGMENT_BYTES, self._most_bytes // 16), self._crash)
        return found

    def unread(self, positions: Mapping[str, int]) -> dict[str, int]:
        """Records beyond these positions by stream, of all streams on the disk: also those whose source has gone."""
        found = {}
        for folder in sorted((self._folder / "streams").glob("*")):
            if _NAME.fullmatch(folder.name) and folder.is_dir():
                stream = self.stream(folder.name)
                read = positions.get(self.partition(folder.name), next(iter(stream.bases()), 0))
                found[folder.name] = max(0, stream.next_seq - read)
        return found

    def partition(self, stream: str) -> str:
        """The partition, and the origin, of a stream."""
        return f"collector:{self.collector}/{stream}"

    def size_bytes(self) -> int:
        """Bytes of all streams opened so far."""
        return sum(stream.size_bytes() for stream in list(self._streams.values()))

    def close(self) -> None:
        """Give everything back; idempotent."""
        for stream in self._streams.values():
            stream.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class SpoolSource:
    """A `RecordSource` of one stream: one partition, positions are sequence numbers.

    What was damaged on disk comes as one fault record per lost number; reading goes on behind it.
    """

    def __init__(self, spool: Spool, stream: str) -> None:
        self.name = stream
        self._stream = spool.stream(stream)
        self.partition = spool.partition(stream)
        self._next = 0
        self._base = -1
        self._data = b""
        self._at = 0
        self._place = 0
        self._lost_until = 0
        self._reason = ""
        self._received_us = 0

    def open(self, positions: Mapping[str, int]) -> None:
        """Go on at the position of the stream, or at the oldest record kept."""
        bases = self._stream.bases()
        known = positions.get(self.partition)
        self._next = known if known is not None else bases[0] if bases else 0
        self._stream.raise_to(self._next)
        self._leave()
        self._lost_until = 0

    def poll(self, most: int, timeout_s: float) -> list[RawRecord]:
        """Up to `most` records, waiting up to `timeout_s` for the first."""
        with self._stream.arrived:
            if self._stream.next_seq <= self._next:
                self._stream.arrived.wait(timeout_s)
            until, sizes = self._stream.next_seq, dict(self._stream.sizes)
        out: list[RawRecord] = []
        try:
            while self._next < until and len(out) < most:
                self._step(until, sizes, most, out)
        except OSError as error:
            raise SourceUnavailable(
                Phrase("the spool of {name} cannot be read: {strerror}", name=self.name, strerror=error.strerror), hint="see its disk"
            ) from error
        return out

    def commit(self, positions: Mapping[str, int]) -> None:
        """Remove what lies wholly before the position."""
        position = positions.get(self.partition)
        if position is not None:
            try:
                self._stream.committed(position)
            except OSError as error:
                raise SourceUnavailable(
                    Phrase("read segments of {name} cannot be removed: {strerror}", name=self.name, strerror=error.strerror), hint="see the disk of the spool"
                ) from error

    def lost(self) -> set[str]:
        """A stream is never taken away."""
        return set()

    def lag(self) -> dict[str, int]:
        """Records not handed over."""
        return {self.partition: max(0, self._stream.next_seq - self._next)}

    def exhausted(self) -> bool:
        """Never: more may be received."""
        return False

    def close(self) -> None:
        """Nothing is held between polls."""
        self._leave()

    # --- reading

    def _step(self, until: int, sizes: dict[int, int], most: int, out: list[RawRecord]) -> None:
        """Take frames of the segment at hand, or move to the right one, or state what is lost."""
        if self._next < self._lost_until:
            self._state_loss(min(most - len(out), self._lost_until - self._next), out)
        elif self._base not in sizes:
            self._enter(sizes)
        elif not self._take(until, most, out) and not self._more(sizes[self._base]):
            self._end_segment(until, sizes)

    def _take(self, until: int, most: int, out: list[RawRecord]) -> bool:
        """Frames from the bytes at hand; False when no whole one stands there."""
        taken = False
        while len(out) < most and self._next < until and (frame := unpack(self._data, self._at)):
            taken = True
            if frame.seq > self._next:
                self._lost_until, self._reason = frame.seq, "the spool is damaged here"
                return True
            self._at = frame.end
            if frame.seq == self._next:
                seq = frame.seq
                out.append(
                    RawRecord(
                        self.name,
                        self.partition,
                        seq,
                        seq + 1,
                        frame.raw,
                        frame.received_us,
                        self.partition,
                        seq,
                        0,
                        frame.host,
                        frame.heartbeat,
                        frame.truncated_bytes,
                    )
                )
                self._next = seq + 1
                self._received_us = frame.received_us
        return taken

    def _more(self, size: int) -> bool:
        """Have more bytes at hand, or skip to the next whole frame behind damage; False at the end of the segment."""
        need = wants(self._data, self._at)
        if need and self._place < size:
            self._read(max(_READ_BYTES, need), size)
            return True
        if self._place < size:
            self._read(size, size)
        found = next_whole(self._data, self._at + 1)
        if found is None:
            return False
        self._at = found[0]
        return True

    def _read(self, count: int, size: int) -> None:
        with self._stream.path(self._base).open("rb") as file:
            file.seek(self._place)
            block = file.read(min(count, size - self._place))
        self._data = self._data[self._at :] + block
        self._at = 0
        self._place = self._place + len(block) if block else size

    def _enter(self, sizes: dict[int, int]) -> None:
        base = self._stream.segment_of(self._next)
        if base is None or not self._stream.path(base).exists():
            following = [first for first in sizes if first > self._next]
            self._lost_until, self._reason = (min(following) if following else self._stream.next_seq), "the spool's segment is missing"
            return
        self._leave()
        self._base = base

    def _end_segment(self, until: int, sizes: dict[int, int]) -> None:
        following = min((base for base in sizes if base > self._base), default=until)
        if self._next < following:
            self._lost_until, self._reason = following, "the spool is damaged here"
        if following != until:
            self._leave()

    def _leave(self) -> None:
        self._base, self._data, self._at, self._place = -1, b"", 0, 0

    def _state_loss(self, count: int, out: list[RawRecord]) -> None:
        numbers = range(self._next, self._next + count)
        out.extend([RawRecord(self.name, self.partition, seq, seq + 1, b"", self._received_us, self.partition, seq, fault=self._reason) for seq in numbers])
        self._next += count
