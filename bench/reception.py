"""Syslog by TCP into the durable spool: lines per second that are synced to the disk.

    python -m bench.reception [--lines 300000] [--passes 3]

A sender in a process of its own writes newline-framed lines to one connection as fast as they are taken; the clock stops
when the last line is on the disk. Sender and receiver have a core each where there are two.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from statistics import median

from bench import lines
from bench._measure import FOLDER, Measure, fresh, show
from soc.adapters.spool import Spool
from soc.adapters.syslog import SyslogReceiver
from soc.clock import SystemClock
from soc.config import SyslogSource


class _Counting:
    """The spool, and how many records are durable in it."""

    def __init__(self, spool: Spool, expected: int) -> None:
        self._spool = spool
        self._expected = expected
        self.count = 0
        self.first = 0.0
        self.last = 0.0
        self.all = threading.Event()

    def append(self, stream: str, records: Sequence[tuple[bytes, int, str, int]]) -> None:
        """See `RecordSink.append`."""
        self.first = self.first or time.perf_counter()
        self._spool.append(stream, records)
        self.count += len(records)
        if self.count >= self._expected:
            self.last = time.perf_counter()
            self.all.set()

    def close(self) -> None:
        """See `RecordSink.close`."""
        self._spool.close()


def _received(file: str, count: int) -> tuple[float, float]:
    """Lines per second, and CPU microseconds a line of the receiver."""
    folder = fresh("reception")
    sink = _Counting(Spool(folder / "spool", most_bytes=1 << 34), count)
    receiver = SyslogReceiver("bench", SyslogSource(type="syslog", tcp="127.0.0.1:0"), sink, clock=SystemClock())
    receiver.start()
    port = receiver.addresses()[0].rpartition(":")[2]
    cpu = time.process_time()
    sender = subprocess.Popen([sys.executable, "-m", "bench.reception", "--send", file, port])
    try:
        if not sink.all.wait(300):
            raise RuntimeError(f"{sink.count} of {count} lines came")
        return count / (sink.last - sink.first), (time.process_time() - cpu) / count * 1e6
    finally:
        sender.wait(30)
        receiver.stop()
        sink.close()


def _send(file: str, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection, open(file, "rb") as stream:  # noqa: PTH123 - a path as given
        while chunk := stream.read(1 << 18):
            connection.sendall(chunk)


def measure(count: int = 300_000, passes: int = 3) -> list[Measure]:
    """The rows of this measure."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"lines-{count}.log"
    lines.write(file, count)
    runs = [_received(str(file), count) for _ in range(passes)]
    return [
        Measure(
            f"syslog by TCP to durable spool, {count:,} lines: lines/s",
            f"{median(rate for rate, _ in runs):,.0f} (CPU {median(cpu for _, cpu in runs):.1f} µs a line)",
        )
    ]


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=300_000)
    options.add_argument("--passes", type=int, default=3)
    options.add_argument("--send", nargs=2, metavar=("FILE", "PORT"), help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.send:
        _send(chosen.send[0], int(chosen.send[1]))
        return
    for row in show(measure(chosen.lines, chosen.passes)):
        sys.stdout.write(row + "\n")


if __name__ == "__main__":
    main()
