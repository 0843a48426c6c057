"""The lock of the one pipeline process: an `flock` on a file that names its pid. Readers need none.

Source: flock(2): the kernel releases it when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from soc.adapters.sqlite.database import guarded
from soc.errors import Locked, Phrase

FILE = "pipeline.lock"


class PipelineLock:
    """Held from construction to `release`.

    Raises: Locked (with the pid of the holder) when another pipeline has it; NotAllowed where the folder is read-only.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / FILE
        with guarded(path, "locking"):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = _pid(descriptor)
            os.close(descriptor)
            raise Locked(
                Phrase("{folder} is in use by another pipeline, process {pid}", folder=folder, pid=pid or "unknown"),
                pid=pid,
                hint=Phrase("stop it first (kill {pid})", pid=pid) if pid else "stop the other `soc run` first",
            ) from error
        with guarded(path, "locking"):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


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
