"""Runs the pipeline in a process of its own, with a clock that stands still for records: what crash tests kill.

    python -m tests.e2e.driver SETTINGS.json FILE...     files, one after the other, each a source named by its stem
    python -m tests.e2e.driver SETTINGS.json --once      the roles of the settings, until everything there is has been read
    python -m tests.e2e.driver SETTINGS.json --run       the same until SIGTERM
    python -m tests.e2e.driver SETTINGS.json --run --brake=FILE    slowly beyond the records that the file allows (see `Brake`)
    python -m tests.e2e.driver SETTINGS.json --run --clock=FILE    by a clock that a test moves (see `ToldClock`)

The environment variable `SOC_TEST_CRASH` names the step to die at (see `soc.bootstrap.crash_point_from_environment`).
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path

from soc.application.app import Actor, App
from soc.application.ingest import ingest_files
from soc.application.run import run
from soc.bootstrap import open_app
from soc.clock import FrozenClock, SystemClock
from soc.config import Settings
from soc.model.record import RawRecord
from soc.ports import RecordSource

NOW_US = 1_795_225_000_000_000  # 2026-11-21T01:36:40Z


class RunningClock(FrozenClock):
    """Stands still for records, and runs for deadlines."""

    def monotonic(self) -> float:
        return SystemClock().monotonic()

    def sleep(self, seconds: float) -> None:
        SystemClock().sleep(seconds)


class ToldClock(RunningClock):
    """Says what stands in a file, as microseconds: several processes share it, and nothing but the test lets time pass."""

    def __init__(self, file: Path) -> None:
        super().__init__(0)
        self._file = file

    @property
    def word(self) -> str:
        """The word by which a worker goes by it."""
        return f"--clock={self._file}"

    def now_us(self) -> int:
        return int(self._file.read_text(encoding="ascii"))

    def tell(self, us: int) -> None:
        """Let it be so late now."""
        write_whole(self._file, us)


class Brake:
    """Lets a worker read as many records as stand in a file, then one at a time, ever more seldom; all of them once the file has gone.

    So a test that waits for something to happen in the middle of a log finds itself in the middle, however long it takes; and in the middle of each
    partition, as little is fetched of one at a time.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0
        self._pause_s = _FIRST_PAUSE_S

    @property
    def word(self) -> str:
        """The word by which a worker is braked."""
        return f"--brake={self._file}"

    def allow(self, records: int) -> None:
        """Let each worker read so many at full speed."""
        write_whole(self._file, records)

    def release(self) -> None:
        """Let everything be read."""
        self._file.unlink()

    def put_on_all(self, app: App) -> None:
        """Brake what a run of the application will read."""
        import kafka

        sources, consumer = app.wiring.sources, kafka.KafkaConsumer
        kafka.KafkaConsumer = lambda **options: consumer(**options | {"max_partition_fetch_bytes": _LITTLE_BYTES})
        app.wiring.sources = lambda: [self._put_on(source) for source in sources()]  # type: ignore[method-assign]

    def _put_on(self, source: RecordSource) -> RecordSource:
        poll = source.poll

        def slowly(most: int, timeout_s: float) -> list[RawRecord]:
            records = poll(self._wanted(most), timeout_s)
            self._read += len(records)
            return records

        source.poll = slowly  # type: ignore[method-assign]  # all else is the source's own
        return source

    def _wanted(self, most: int) -> int:
        try:
            left = int(self._file.read_text(encoding="ascii")) - self._read
        except FileNotFoundError:
            return most
        if left > 0:
            return min(most, left)
        SystemClock().sleep(self._pause_s)
        self._pause_s = min(1.0, self._pause_s * 1.05)
        return 1


_FIRST_PAUSE_S = 0.1
_LITTLE_BYTES = 17_000
"""One batch of the producer of `Feed`: some 25 lines."""


def write_whole(file: Path, number: int) -> None:
    """Write a number for other processes, who find it whole."""
    partial = file.with_suffix(".partial")
    partial.write_text(str(number), encoding="ascii")
    partial.replace(file)


def main(arguments: list[str]) -> None:
    """Do what the arguments say."""
    settings = Settings.model_validate(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    if arguments[1:] and arguments[1].startswith("--"):
        more = dict(word.removeprefix("--").split("=", 1) for word in arguments[2:])
        clock = ToldClock(Path(more["clock"])) if "clock" in more else RunningClock(NOW_US)
        with open_app(settings, Actor("test"), pipeline=True, clock=clock) as app:
            if "brake" in more:
                Brake(Path(more["brake"])).put_on_all(app)
            _run(app, once=arguments[1] == "--once")
        return
    with open_app(settings, Actor("test"), pipeline=True, clock=FrozenClock(NOW_US)) as app:
        for name in arguments[1:]:
            path = Path(name)
            totals = ingest_files(app, [path], source=path.stem)
            sys.stdout.write(f"{path.stem} {totals}\n")


def _run(app: App, *, once: bool) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    totals = run(
        app, once=once, stop=stop, on_ready=lambda addresses: _say(f"ready {json.dumps(addresses)}"), on_batch=lambda done: _say(f"batch {done.received}")
    )
    _say(f"done {totals}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
