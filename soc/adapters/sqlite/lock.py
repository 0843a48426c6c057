"""The locks of the embedded store: of the one pipeline process, and of the one repair of stored events. Readers need none.

Each is an `flock` on a file that names the pid of its holder.

Source: flock(2): the kernel releases it when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

from soc.adapters.sqlite.database import guarded
from soc.errors import Locked, Phrase

FILE = "pipeline.lock"
REPAIR_FILE = "repair.lock"

_TRIES, _MOST_TRIES, _PAUSE_S = 10, 3_000, 0.01
"""Whoever looks who holds a lock (`holder`) has it for an instant, on a busy machine for seconds; a process that holds it is named in the file, and lives."""


class _Held(ABC):
    """Held from construction to `release`. Raises: Locked (with the pid of the holder); NotAllowed where the folder is read-only."""

    def __init__(self, folder: Path, file: str) -> None:
        path = folder / file
        with guarded(path, "locking"):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for tried in itertools.count(1):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                pid = _pid(descriptor)
                if tried < (_TRIES if _lives(pid) else _MOST_TRIES):
                    threading.Event().wait(_PAUSE_S)
                    continue
                os.close(descriptor)
                raise self._refusal(folder, pid) from error
        self._descriptor = descriptor
        try:
            with guarded(path, "locking"):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            self.release()  # or nobody could have it as long as this process lives
            raise

    @abstractmethod
    def _refusal(self, folder: Path, pid: int) -> Locked:
        """What whoever comes second is told (`pid` 0 = unknown)."""

    def release(self) -> None:
        """Let go; idempotent."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)  # nobody is named who does not hold it
            os.close(self._descriptor)
            self._descriptor = -1


class PipelineLock(_Held):
    """Who holds it appends events. Raises: Locked while another pipeline has it; NotAllowed where the folder is read-only."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, FILE)

    def _refusal(self, folder: Path, pid: int) -> Locked:
        return Locked(
            Phrase("{folder} is in use by another pipeline, process {pid}", folder=folder, pid=pid or "unknown"),
            pid=pid,
            hint=Phrase("stop it first (kill {pid})", pid=pid) if pid else "stop the other `soc run` first",
        )


class RepairLock(_Held):
    """Who holds it changes stored events, or removes or replaces their files; a pipeline goes on appending beside it.

    Raises: Locked while another command has it; NotAllowed where the folder is read-only.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, REPAIR_FILE)

    def _refusal(self, folder: Path, pid: int) -> Locked:
        return Locked(
            Phrase("{folder}: stored events are being changed by another command, process {pid}", folder=folder, pid=pid or "unknown"),
            pid=pid,
            hint="wait until it is done (soc reclassify, soc enrich, soc store retention and migrate take turns)",
        )


def holder(folder: Path) -> int:
    """The pid of the pipeline that holds the store (0 = none)."""
    try:
        descriptor = os.open(folder / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid(descriptor)
    finally:
        os.close(descriptor)
    return 0


def _pid(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else 0


def _lives(pid: int) -> bool:
    """Whether there is such a process (0 = none is named)."""
    try:
        if pid:
            os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's; no number of a process
        return True
    return bool(pid)
