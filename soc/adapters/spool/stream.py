"""One stream of the spool: segment files in a folder, written by one, read by one.

Segment `<first sequence>.seg` holds frames one after the other. A write is acknowledged after fdatasync; what a crash
left behind the last acknowledged frame is cut off when the stream is opened.
"""

from __future__ import annotations

import errno
import os
import threading
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from soc.adapters.spool.frames import next_whole, pack, unpack
from soc.errors import Phrase, SocError, StoreFull, Unreachable
from soc.ports import CrashPoint
from soc.telemetry import get_logger

log = get_logger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Stream:
    """The segments of one stream. `bases` are their first sequence numbers, `next_seq` the number of the next record."""

    def __init__(self, folder: Path, segment_bytes: int, crash: CrashPoint) -> None:
        self.folder = folder
        self._segment_bytes = segment_bytes
        self._crash = crash
        self.lock = threading.Lock()
        self.arrived = threading.Condition(self.lock)
        self._descriptor = -1
        self.sizes: dict[int, int] = {}
        """First sequence → acknowledged bytes of the segment, in order."""
        self.next_seq = 0
        self._open()

    def path(self, base: int) -> Path:
        """The file of a segment."""
        return self.folder / f"{base:020d}.seg"

    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(self.sizes.values())

    def bases(self) -> list[int]:
        """First sequence numbers, ascending."""
        return list(self.sizes)

    def segment_of(self, seq: int) -> int | None:
        """The base of the segment that holds `seq`, or would; None before the first."""
        bases = self.bases()
        at = bisect_right(bases, seq)
        return bases[at - 1] if at else None

    # --- opening

    def _open(self) -> None:
        if not self.folder.exists():
            self.folder.mkdir(parents=True, mode=0o700)
            _sync_folder(self.folder.parent)
        for path in sorted(self.folder.glob("*.seg")):
            if path.stem.isdigit():
                self.sizes[int(path.stem)] = path.stat().st_size
        if self.sizes:
            self._recover(self.bases()[-1])

    def _recover(self, base: int) -> None:
        """Find the end of the last segment and cut off what follows its last whole frame."""
        data = self.path(base).read_bytes()
        at, seq = 0, base
        while True:
            frame = unpack(data, at)
            if frame and frame.seq >= seq:
                at, seq = frame.end, frame.seq + 1
            elif found := next_whole(data, at + 1):
                at, _seq = found
            else:
                break
        if at < len(data):
            log.warning("torn end of the spool was cut off", stream=self.folder.name, cut_bytes=len(data) - at)
            with self.path(base).open("r+b") as file:
                file.truncate(at)
                os.fsync(file.fileno())
        self.sizes[base] = at
        self.next_seq = seq

    # --- writing

    def append(self, records: Sequence[tuple[bytes, int, str, int]], *, heartbeat: bool = False) -> None:
        """Write and sync the records as one group; all or nothing is acknowledged."""
        with self.lock:
            try:
                base = self._writable()
                data = b"".join([pack(seq, *record, heartbeat=heartbeat) for seq, record in enumerate(records, self.next_seq)])
                self._write(data)
            except OSError as error:
                self._take_back()
                raise _append_error(self.folder, error) from error
            self.sizes[base] += len(data)
            self.next_seq += len(records)
            self.arrived.notify_all()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._crash("spool-written")
        os.fdatasync(self._descriptor)
        self._crash("spool-synced")

    def _writable(self) -> int:
        """The base of the segment to write to, opened; a new one when the last is full."""
        if self.sizes:
            base = self.bases()[-1]
            if self.sizes[base] < self._segment_bytes:
                if self._descriptor < 0:
                    self._descriptor = os.open(self.path(base), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
                return base
        return self._new_segment()

    def _new_segment(self) -> int:
        self._shut()
        base = self.next_seq
        self._descriptor = os.open(self.path(base), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.fsync(self._descriptor)
        self._crash("spool-segment-created")
        _sync_folder(self.folder)
        self.sizes.setdefault(base, 0)
        return base

    def _take_back(self) -> None:
        """Nothing half-written counts: cut the file back to what was acknowledged."""
        if self._descriptor >= 0 and self.sizes:
            try:
                os.ftruncate(self._descriptor, self.sizes[self.bases()[-1]])
            except OSError as error:
                log.error("the spool could not be cut back; the next start will", stream=self.folder.name, error=str(error))
        self._shut()

    # --- reading side

    def raise_to(self, seq: int) -> None:
        """Never give a number below `seq` again (somebody has read on to there)."""
        with self.lock:
            if seq > self.next_seq:
                log.warning("the spool is behind what was read from it", stream=self.folder.name, missing=seq - self.next_seq)
                self.next_seq = seq
                self._new_segment()

    def committed(self, seq: int) -> None:
        """Remove the segments that lie wholly before `seq`; the last one too when it is half full, behind a new one."""
        with self.lock:
            bases = self.bases()
            if seq >= self.next_seq and bases and self.sizes[bases[-1]] >= self._segment_bytes // 2:
                bases.append(self._new_segment())
            for base, following in pairwise(bases):
                if following > seq:
                    break
                self.path(base).unlink(missing_ok=True)
                self._crash("spool-segment-removed")
                del self.sizes[base]

    def close(self) -> None:
        """Close the file that is written to."""
        with self.lock:
            self._shut()

    def _shut(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _append_error(folder: Path, error: OSError) -> SocError:
    if error.errno in _FULL:
        return StoreFull(
            Phrase("the spool {folder} cannot grow: {strerror}", folder=folder, strerror=error.strerror),
            hint="free space on its disk; senders by TCP wait, UDP lines are dropped and counted meanwhile",
        )
    return Unreachable(
        Phrase("the spool {folder} cannot be written: {strerror}", folder=folder, strerror=error.strerror), hint="see the disk and the rights of the folder"
    )
