"""All measures: one table on stdout and in docs/performance.md.

    python -m bench [--full] [--only NAME,…] [--no-write]

`--full` takes five million lines through the embedded store instead of one (a quarter of an hour instead of three
minutes), and shows people a million alerts and 50,000 incidents instead of a tenth of them. Measures of one core are held on the last core of those that this process may use, one after another.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench._measure import Measure, apart, machine, show

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- begin of what `make bench` writes -->", "<!-- end of what `make bench` writes -->"
ONE_CORE = frozenset({"embedded", "parse", "steps"})


def plan(*, full: bool) -> list[tuple[str, dict[str, object]]]:
    """The measures in their order, with their arguments."""
    return [
        ("embedded", {}),
        ("embedded", {"harsh": True, "count": 100_000, "passes": 1}),
        ("parse", {}),
        ("reception", {}),
        ("distributed", {}),
        ("rules", {}),
        ("correlate", {}),
        ("policies", {}),
        ("strokes", {}),
        ("large", {"count": 5_000_000 if full else 1_000_000}),
        ("people", {"full": full}),
    ]


def written(rows: Sequence[Measure], steps: Sequence[str]) -> str:
    """The part of docs/performance.md that is measured."""
    today = datetime.now(UTC).date().isoformat()
    return "\n".join(
        [
            BEGIN,
            "",
            f"Measured on {today}: {machine()}.",
            "",
            *show(rows),
            "",
            "What each step costs (one core, the quickest of five passes):",
            "",
            *steps,
            "",
            END,
        ]
    )


def put(text: str) -> None:
    """Replace the measured part of docs/performance.md."""
    whole = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = whole.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(before + text + after, encoding="utf-8")


def main() -> None:
    """Run everything, print the table, put it into the document."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--full", action="store_true")
    options.add_argument("--only", default="")
    options.add_argument("--no-write", action="store_true")
    options.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one:
        module = importlib.import_module(f"bench.{chosen.one[0]}")
        arguments = json.loads(chosen.one[1])
        sys.stdout.write(json.dumps(module.table(**arguments) if chosen.one[0] == "steps" else list(module.measure(**arguments))) + "\n")
        return
    core = max(os.sched_getaffinity(0))
    wanted = set(filter(None, chosen.only.split(",")))
    rows: list[Measure] = []
    for name, arguments in plan(full=chosen.full):
        if wanted and name not in wanted:
            continue
        sys.stderr.write(f"{name} {arguments or ''}\n")
        rows += [Measure(*row) for row in apart("bench", "--one", name, json.dumps(arguments), core=core if name in ONE_CORE else None)]
    steps: list[str] = [] if wanted and "steps" not in wanted else apart("bench", "--one", "steps", json.dumps({"count": 20_000}), core=core)
    text = written(rows, steps)
    sys.stdout.write(text + "\n")
    if not chosen.no_write and not wanted:
        put(text)


if __name__ == "__main__":
    main()
