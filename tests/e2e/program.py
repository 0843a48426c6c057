"""`soc` as a process in a home of its own, as an operator runs it."""

from __future__ import annotations

import json
import os
import queue
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

from tests.servers.process import WITHIN_S, wait_until

ROOT = Path(__file__).parents[2]


class Home:
    """An empty home folder: runs commands in it, and keeps `soc run` going."""

    def __init__(self, folder: Path, config: str = "") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.words: list[str] = []
        if config:
            file = folder / "soc.toml"
            file.write_text(config, encoding="utf-8")
            file.chmod(0o600)
            self.words = ["--config", str(file)]
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SOC_", "XDG_"))}
        self.env = kept | {"HOME": str(folder), "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
        self._runs: list[Run] = []

    def soc(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself."""
        return subprocess.run(
            [sys.executable, "-m", "soc", *words, *self.words], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False, timeout=WITHIN_S
        )

    def items(self, *words: str) -> list[dict[str, Any]]:
        """The items of a command's `--json`; [] when it has nothing to say yet."""
        done = self.soc(*words, "--json")
        return list(json.loads(done.stdout)["items"]) if done.stdout else []

    def await_items(self, *words: str, least: int = 1) -> list[dict[str, Any]]:
        """The same once there are so many."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = self.items(*words)
            return len(found) >= least

        wait_until(look, what=f"{least} items of soc {' '.join(words)}")
        return found

    def run(self, *words: str) -> Run:
        """`soc run`, begun."""
        run = Run([sys.executable, "-m", "soc", "run", *words, *self.words], self.folder, self.env)
        self._runs.append(run)
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for run in self._runs:
            run.close()


class Run:
    """A running `soc run`, whose stderr is read line by line, and whose stdout is read away: nobody holds it up."""

    def __init__(self, words: list[str], folder: Path, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(words, cwd=folder, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        pipes: list[tuple[IO[str] | None, Callable[[str | None], None]]] = [(self.process.stderr, self._lines.put), (self.process.stdout, lambda _line: None)]
        self._threads = [threading.Thread(target=_read, args=pipe, daemon=True) for pipe in pipes]
        for thread in self._threads:
            thread.start()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The match of the first line that fits."""
        while True:
            try:
                line = self._lines.get(timeout=WITHIN_S)
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"{pattern!r} was not said; said was {self.said[-20:]}")
            self.said.append(line)
            if found := re.search(pattern, line):
                return found

    def port(self, kind: str) -> int:
        """The port it listens to; ports of kinds come in the order of the settings: udp, tcp."""
        return int(self.wait_for(rf"{kind} 127\.0\.0\.1:(\d+)").group(1))

    def end(self, number: int) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(WITHIN_S)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WITHIN_S)
        for thread in self._threads:
            thread.join(WITHIN_S)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def _read(pipe: IO[str] | None, take: Callable[[str | None], None]) -> None:
    assert pipe is not None
    for line in pipe:
        take(line.rstrip("\n"))
    take(None)  # the end: nothing more will be said


def send(port: int, lines: bytes) -> None:
    """Send lines by TCP; on return they have been taken in, durably."""
    with connected(port) as sender:
        sender.sendall(lines)


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """A TCP connection to `soc run`; once it is left, all that was sent has been taken in: the other side ends only then."""
    with socket.create_connection(("127.0.0.1", port), WITHIN_S) as sender:
        yield sender
        sender.shutdown(socket.SHUT_WR)
        assert sender.recv(1) == b""
