"""Child processes that never outlive their parent, with logs and a readiness that is waited for."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Protocol

READY_TIMEOUT_S = 600.0
"""A server is up in 3-6 s on an idle machine; on a busy one, or where the disk stalls, it has taken minutes. One that ends is seen at once."""
WITHIN_S = 300.0
"""How long a condition is waited for: costs nothing where it comes, and a busy machine is no reason to fail."""
_FIRST_PORT, _PORTS = 20_000, 12_000
"""Below the range that the kernel gives to outgoing connections, so that a restarted server finds its port free."""
_tried = count()


class Child(Protocol):
    """A running server, whatever runs it."""

    def alive(self) -> bool:
        """Whether it still runs."""

    def signal(self, number: int) -> None:
        """Send it a signal (SIGSTOP freezes it)."""

    def kill(self) -> None:
        """End it without a chance to tidy up, and wait until it is gone."""

    def stop(self) -> None:
        """End it in an orderly way, by force after a while."""


class ServerFailed(Exception):
    """A server that did not become ready; the text holds the end of its log."""


@cache
def _taken_ports(_pid: int) -> int:
    """A file whose bytes stand for ports; who has locked a byte has the port. Locks go with their process, and no child has them."""
    return os.open(Path(tempfile.gettempdir()) / f"soc-test-ports-{os.getuid()}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on, and that no other process of tests is given while this one lives.

    So a server that takes seconds to start, or is killed and started again, finds its port free.
    """
    for _ in range(_PORTS):
        port = _FIRST_PORT + (os.getpid() * 37 + next(_tried)) % _PORTS
        try:
            fcntl.lockf(_taken_ports(os.getpid()), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise ServerFailed("no free port")


def tail(path: Path, lines: int = 40) -> str:
    """The last lines of a log ("" when there is none)."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 32_768))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return ""


def wait_until(check: Callable[[], bool], *, within_s: float = WITHIN_S, what: str = "the condition", every_s: float = 0.05) -> None:
    """Return as soon as `check` holds.

    Raises: AssertionError when it does not within the time.
    """
    deadline = time.monotonic() + within_s
    over = False
    while not check():
        if over:
            raise AssertionError(f"{what}: not within {within_s:g} s")
        over = time.monotonic() > deadline  # looked at once more then: this process itself may have stood still
        time.sleep(every_s)


class Process:
    """A program of this machine as child; the kernel kills it when its parent is gone."""

    def __init__(self, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        # setpriv (util-linux) sets PR_SET_PDEATHSIG: without it a killed test run would leave servers behind.
        guard = [setpriv, "--pdeathsig", "KILL", "--"] if (setpriv := shutil.which("setpriv")) else []
        with log.open("ab") as out:
            self._popen = subprocess.Popen(
                [*guard, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(env or {})}, start_new_session=True
            )

    def alive(self) -> bool:
        return self._popen.poll() is None

    def signal(self, number: int) -> None:
        self._popen.send_signal(number)

    def kill(self) -> None:
        self._popen.kill()
        self._popen.wait(WITHIN_S)

    def kill_group(self) -> None:
        """Kill it with every child that stayed in its session."""
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait(WITHIN_S)

    def stop(self) -> None:
        self._popen.send_signal(signal.SIGCONT)
        self._popen.terminate()
        try:
            self._popen.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()


class Server:
    """A server with its own folder: started, killed, frozen and started again over the same data."""

    name: str

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / f"{self.name}.log"
        self._child: Child | None = None

    def _launch(self) -> Child:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises: ServerFailed with the end of the log.
        """
        self._child = child = self._launch()
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self._answers():
            if not child.alive() or time.monotonic() > deadline:
                why = "ended" if not child.alive() else f"did not answer within {READY_TIMEOUT_S:g} s"
                self.kill()
                raise ServerFailed(f"{self.name} {why}; its log ({self.log}) ends with\n{tail(self.log)}")
            time.sleep(0.1)

    def freeze(self) -> None:
        """Stop it from answering without ending it."""
        if self._child is not None:
            self._child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self._child is not None:
            self._child.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once; its data stay."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def restart(self) -> None:
        """Kill it and start it again over the same data, on the same ports."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """End it for good and remove its folder; the data of tests need no orderly end."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
