"""The embedded pipeline in one process: lines from a file, parsed, classified, durably stored with raw line and full text.

    python -m bench.embedded [--lines 200000] [--passes 3] [--harsh]

Once held on one core, where each batch is committed before the next is parsed, and once on all cores of the machine, where
the commit goes on beside parsing. The rate is set against that of `orjson.loads` over the documents that were stored,
measured in the same process on one core right after each pass; the figure is the median of the ratios. "By CPU time" sets
processor seconds, of all threads, against processor seconds: what counts on a machine that does other work too.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import lines
from bench._measure import FOLDER, Measure, all_cores, fill, fresh, loads_rate, opened, pin, show, size_of, stored_lines

GOAL, AIM = 0.06, 0.08


class Pass(NamedTuple):
    """One pass: rates by the clock and by CPU time, of the pipeline and of `orjson.loads`; what it left."""

    rate: float
    cpu_rate: float
    loads: float
    loads_cpu: float
    alerts: int
    weight: float


def run(file: Path) -> Pass:
    """Take the file into a fresh store."""
    folder = fresh("embedded")
    with opened(folder, pipeline=True) as app:
        filled = fill(app, file)
        documents = stored_lines(app.store, 20_000)
    loads, loads_cpu = loads_rate(documents), loads_rate(documents, clock=time.process_time)
    weight = size_of(folder / "store") / (filled.totals.stored + filled.totals.derived)
    return Pass(filled.rate, filled.totals.received / filled.cpu_s, loads, loads_cpu, filled.totals.alerts, weight)


def measure(count: int = 200_000, passes: int = 3, *, harsh: bool = False) -> list[Measure]:
    """The rows of this measure."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"lines-{count}{'-harsh' if harsh else ''}.log"
    lines.write(file, count, harsh=harsh)
    alone: list[Pass] = []
    beside: list[Pass] = []
    for _ in range(passes):
        alone.append(run(file))
        with all_cores():
            beside.append(run(file))
    rows: list[Measure] = []
    for where, done, goal in (("one process, all cores", beside, not harsh), ("one core", alone, False)):
        what = f"embedded, file to durable store, {where}{', harsh lines' if harsh else ''}"
        ratio, cpu_ratio = median(one.rate / one.loads for one in done), median(one.cpu_rate / one.loads_cpu for one in done)
        rows.append(
            Measure(
                f"{what}: rate / `orjson.loads`",
                f"{ratio:.3f} (by CPU time {cpu_ratio:.3f})",
                f"≥ {GOAL}, aim {AIM}" if goal else "",
                ratio >= GOAL if goal else None,
            )
        )
        figure = f"{median(one.rate for one in done):,.0f} (loads {median(one.loads for one in done):,.0f}/s; CPU {1e6 / median(one.cpu_rate for one in done):.1f} µs a line"
        rows.append(Measure(f"{what}: lines/s, {count:,} lines, {done[-1].alerts:,} alerts", f"{figure}; {done[-1].weight:.0f} bytes an event)"))
    return rows


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=200_000)
    options.add_argument("--passes", type=int, default=3)
    options.add_argument("--harsh", action="store_true")
    chosen = options.parse_args()
    pin()
    for row in show(measure(chosen.lines, chosen.passes, harsh=chosen.harsh)):
        sys.stdout.write(row + "\n")


if __name__ == "__main__":
    main()
