"""The embedded store at five million events: does the rate hold, what does an event weigh, does memory grow, how long do queries take.

    python -m bench.large [--lines 5000000] [--keep]

One process, not pinned. Queries are run in a process of their own that opens the store for reading, warm, median of 5.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from bench import lines
from bench._measure import FOLDER, Filled, Measure, apart, fill, fresh, median_ms, opened, show, size_of
from soc.model.query import All, And, Term, Text
from soc.ports import AlertQuery, EventQuery

LIMITS_MS = {
    "newest 100 alerts": 50,
    "newest 100 alert groups": 50,
    "counted threats by level and category": 100,
    "events by level and month": 100,
    "events of one address, newest 100": 200,
    "free text, one rare word": 500,
    "free text, two common words, newest 100": 500,
    "free text, two common words, counted": 500,
}
_ZONE = "Asia/Ho_Chi_Minh"


def queries(folder: Path) -> dict[str, float]:
    """Median milliseconds of each query over the store below `folder`."""
    with opened(folder) as app:
        store = app.store
        some = store.search(EventQuery(Term("event.module", "fortinet"), limit=5000)).docs
        address, session = some[4321]["source.ip"], next(doc for doc in some[3000:] if "fortinet.firewall.sessionid" in doc)["fortinet.firewall.sessionid"]
        of_address = EventQuery(Term("source.ip", address))
        common = EventQuery(Text(("deny", "brazil")))
        work: dict[str, Callable[[], object]] = {
            "newest 100 alerts": lambda: store.alerts(AlertQuery()),
            "newest 100 alert groups": lambda: store.alert_groups(AlertQuery()),
            "counted threats by level and category": lambda: store.threats(EventQuery(All())),
            "events by level and month": lambda: store.histogram(EventQuery(All()), "month", "soc.threat.level", _ZONE),
            "events of one address, newest 100": lambda: store.search(of_address),
            "events of one address, counted": lambda: store.count(of_address),
            "free text, one rare word": lambda: store.search(EventQuery(Text((session,)))),
            "free text, two common words, newest 100": lambda: store.search(common),
            "free text, two common words, counted": lambda: store.count(common),
            "events of one address with a level": lambda: store.search(EventQuery(And((Term("source.ip", address), Term("soc.threat.level", "medium"))))),
            "newest 100 events": lambda: store.search(EventQuery(All())),
        }
        sys.stderr.write(f"address {address}: {store.count(of_address):,} events; common words: {store.count(common):,}\n")
        return {name: median_ms(one) for name, one in work.items()}


def filled_measures(filled: Filled, folder: Path) -> list[Measure]:
    """The rows of rate, size and memory."""
    events = filled.totals.stored + filled.totals.derived
    weight = size_of(folder / "store") / events
    tenth = filled.part_rate(0.9, 1.0) / filled.part_rate(0.0, 0.1)
    early = next((mib for at, mib in filled.memory if at >= filled.totals.received / 10), filled.memory[0][1])
    late = filled.memory[-1][1]
    what = f"{filled.totals.received:,} lines into the embedded store"
    return [
        Measure(f"{what}: lines/s (last tenth / first)", f"{filled.rate:,.0f} ({tenth:.2f})", "≥ 0.85", tenth >= 0.85),
        Measure(f"{what}: bytes an event, {events:,} events, {filled.totals.alerts:,} alerts", f"{weight:.0f}", "≤ 600", weight <= 600),
        Measure(f"{what}: memory at the end / at a tenth", f"{late / early:.2f} ({early:.0f} → {late:.0f} MiB)", "≤ 1.1", late <= 1.1 * early),
    ]


def measure(count: int = 5_000_000, *, keep: bool = False) -> list[Measure]:
    """The rows of this measure."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"lines-{count}.log"
    lines.write(file, count)
    folder = fresh("large")
    with opened(folder, pipeline=True) as app:
        filled = fill(app, file)
    for part in range(10):
        sys.stderr.write(f"tenth {part + 1}: {filled.part_rate(part / 10, (part + 1) / 10):,.0f} lines/s\n")
    sys.stderr.write(f"memory: {[(at, round(mib)) for at, mib in filled.memory[:: max(1, len(filled.memory) // 20)]]}\n")
    rows = filled_measures(filled, folder)
    rows += [
        Measure(f"{name}, {count:,} lines stored", f"{ms:.1f} ms", f"< {limit} ms" if (limit := LIMITS_MS.get(name)) else "", ms < limit if limit else None)
        for name, ms in apart("bench.large", "--queries", str(folder)).items()
    ]
    if not keep:
        shutil.rmtree(folder)
        file.unlink()
    return rows


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=5_000_000)
    options.add_argument("--keep", action="store_true", help="leave lines and store where they are")
    options.add_argument("--queries", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.queries:
        sys.stdout.write(json.dumps(queries(chosen.queries)) + "\n")
        return
    for row in show(measure(chosen.lines, keep=chosen.keep)):
        sys.stdout.write(row + "\n")


if __name__ == "__main__":
    main()
