"""The embedded pipeline on one core: lines from a file, parsed, classified, durably stored with raw line and full text.

    python -m bench.embedded [--lines 200000] [--passes 3] [--harsh]

The rate is set against that of `orjson.loads` over the documents that were stored, measured in the same process on the
same core right after each pass; the figure is the median of the ratios.
"""

from __future__ import annotations

import argparse
import sys
from statistics import median

from bench import lines
from bench._measure import FOLDER, Measure, fill, fresh, loads_rate, opened, pin, show, size_of, stored_lines

GOAL, AIM = 0.06, 0.08


def measure(count: int = 200_000, passes: int = 3, *, harsh: bool = False) -> list[Measure]:
    """The rows of this measure."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"lines-{count}{'-harsh' if harsh else ''}.log"
    lines.write(file, count, harsh=harsh)
    rates, yards, cpu, alerts = [], [], [], 0
    for _ in range(passes):
        folder = fresh("embedded")
        with opened(folder, pipeline=True) as app:
            filled = fill(app, file)
            yards.append(loads_rate(stored_lines(app.store, 20_000)))
        rates.append(filled.rate)
        cpu.append(filled.cpu_s / filled.totals.received * 1e6)
        alerts = filled.totals.alerts
        weight = size_of(folder / "store") / (filled.totals.stored + filled.totals.derived)
    ratio = median(rate / yard for rate, yard in zip(rates, yards, strict=True))
    what = "embedded, file to durable store, one core" + (", harsh lines" if harsh else "")
    return [
        Measure(f"{what}: rate / `orjson.loads`", f"{ratio:.3f}", "" if harsh else f"≥ {GOAL}, aim {AIM}", None if harsh else ratio >= GOAL),
        Measure(
            f"{what}: lines/s, {count:,} lines, {alerts:,} alerts",
            f"{median(rates):,.0f} (loads {median(yards):,.0f}/s; CPU {median(cpu):.1f} µs a line; {weight:.0f} bytes an event)",
        ),
    ]


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
