"""Runs the pipeline in a process of its own, with a clock that stands still for records: what crash tests kill.

    python -m tests.e2e.driver SETTINGS.json FILE...     files, one after the other, each a source named by its stem
    python -m tests.e2e.driver SETTINGS.json --once      the roles of the settings, until everything there is has been read
    python -m tests.e2e.driver SETTINGS.json --run       the same until SIGTERM
    python -m tests.e2e.driver SETTINGS.json --now       the same by the machine's clock

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

NOW_US = 1_795_225_000_000_000  # 2026-11-21T01:36:40Z


class RunningClock(FrozenClock):
    """Stands still for records, and runs for deadlines."""

    def monotonic(self) -> float:
        return SystemClock().monotonic()

    def sleep(self, seconds: float) -> None:
        SystemClock().sleep(seconds)


def main(arguments: list[str]) -> None:
    """Do what the arguments say."""
    settings = Settings.model_validate(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    if arguments[1:] and arguments[1].startswith("--"):
        clock = SystemClock() if arguments[1] == "--now" else RunningClock(NOW_US)
        with open_app(settings, Actor("test"), pipeline=True, clock=clock) as app:
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
