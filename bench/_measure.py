"""What the measures share: one pinned core, the machine's name, tables, and a store filled through the real command path."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import orjson

from soc.application.app import Actor, App
from soc.application.ingest import ingest_files
from soc.bootstrap import open_app
from soc.config import Settings, StoreSettings
from soc.ingest.worker import Totals
from soc.model.query import All
from soc.ports import EventQuery, Store

FOLDER = Path(os.environ.get("SOC_BENCH_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "soc-bench")
"""Where lines, stores and what is fetched lie: outside the repository, some gigabytes."""


class Measure(NamedTuple):
    """One row of the table: what, the figure, the goal ("" = none), whether it was reached (None = no goal, or left out with its reason as the figure)."""

    what: str
    figure: str
    goal: str = ""
    reached: bool | None = None


def pin(core: int | None = None) -> int:
    """Hold this process on one core; its number."""
    cores = sorted(os.sched_getaffinity(0))
    chosen = cores[-1] if core is None else core
    os.sched_setaffinity(0, {chosen})
    return chosen


@contextmanager
def all_cores() -> Iterator[None]:
    """Let this process use every core meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def machine() -> str:
    """Processor, cores, memory and versions, in a line."""
    names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1]) / 1024**2
    import sqlite3

    return f"{len(names)} × {names[0] if names else platform.machine()}, {memory:.0f} GiB, Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"


def rss_mib() -> float:
    """Resident memory of this process now, without pages of files."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0


def settings(folder: Path, **more: Any) -> Settings:
    """Settings of a run in a folder of its own."""
    return Settings(data_dir=folder, store=StoreSettings(kind="embedded", path=folder / "store"), **more)


def opened(folder: Path, *, pipeline: bool = False, **more: Any) -> App:
    """The application with an embedded store below `folder`."""
    return open_app(settings(folder, **more), Actor("bench"), pipeline=pipeline)


class Filled(NamedTuple):
    """How filling a store went: wall and CPU seconds, records received so far with the time, and memory by records."""

    wall_s: float
    cpu_s: float
    totals: Totals
    progress: list[tuple[int, float]]
    memory: list[tuple[int, float]]

    @property
    def rate(self) -> float:
        """Lines per second."""
        return self.totals.received / self.wall_s

    def part_rate(self, begin: float, end: float) -> float:
        """Lines per second between two shares of all lines."""
        total = self.progress[-1][0]
        inside = [point for point in self.progress if begin * total <= point[0] <= end * total]
        return (inside[-1][0] - inside[0][0]) / (inside[-1][1] - inside[0][1])


def fill(app: App, lines: Path) -> Filled:
    """Take a file in as `soc ingest` does: classified by the shipped rules, durable."""
    progress: list[tuple[int, float]] = []
    memory: list[tuple[int, float]] = []

    def note(totals: Totals) -> None:
        progress.append((totals.received, time.perf_counter()))
        if totals.received >= (len(memory) + 1) * 100_000:
            memory.append((totals.received, rss_mib()))

    _ = app.classifier  # loading the rules is no part of the rate
    wall, cpu = time.perf_counter(), time.process_time()
    totals = ingest_files(app, [lines], source="bench", progress=note)
    return Filled(time.perf_counter() - wall, time.process_time() - cpu, totals, progress, memory)


def stored_lines(store: Store, most: int) -> list[bytes]:
    """The first documents of a store, as they are stored: one JSON line each."""
    return [orjson.dumps(doc) for doc in islice(store.stream(EventQuery(All(), scope=None, descending=False)), most)]


def loads_rate(lines: Sequence[bytes], passes: int = 5, clock: Callable[[], float] = time.perf_counter) -> float:
    """Documents per second (of `clock`) that `orjson.loads` makes of these lines, none kept: the yardstick of this machine at this moment."""
    loads = orjson.loads
    rates = []
    for _ in range(passes):
        begin = clock()
        for line in lines:
            loads(line)
        rates.append(len(lines) / (clock() - begin))
    return median(rates)


def median_ms(work: Callable[[], object], times: int = 5) -> float:
    """Median milliseconds, after one run that warms up."""
    work()
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begin) * 1000)
    return median(taken)


def fresh(name: str) -> Path:
    """An empty folder for one run."""
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def apart(module: str, *arguments: str, core: int | None = None) -> Any:
    """What a measure in a process of its own says (its last line on stdout is JSON); pinned to a core if one is given."""
    command = [sys.executable, "-m", module, *arguments]
    if core is not None:
        command = ["taskset", "-c", str(core), *command]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def show(measures: Sequence[Measure]) -> Iterator[str]:
    """The rows as a Markdown table."""
    yield "| measure | figure | goal | |"
    yield "|---|---|---|---|"
    for row in measures:
        yield f"| {row.what} | {row.figure} | {row.goal} | {'' if row.reached is None else 'reached' if row.reached else 'missed'} |"
