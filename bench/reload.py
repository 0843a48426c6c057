"""Changing rules under a stream: how long ingest pauses while a new rule set is loaded, compiled and taken over.

    python -m bench.reload [--rules 1000] [--lines 300000]

Small batches are committed one after another; the pause is the longest time between two commits. It is told for a
stream whose rules rest, for one changed rule, and for all rules changed at once (nothing of them in the cache).
"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench import lines
from bench._measure import FOLDER, Measure, fresh, show
from soc.application.app import Actor
from soc.application.ruleset import RULES_FACT
from soc.application.run import run
from soc.bootstrap import open_app
from soc.config import FileSource, PipelineSettings, RulesSettings, Settings, StoreSettings

BATCH = 200
QUIET_S = 8.0
RULE = """\
title: Rule {number} of round {round}
id: 77777777-0000-4000-8000-{number:012}
logsource: {{category: firewall}}
detection:
  sel: {{url.path|contains: ['/payload-{number}-{round}', '/dropper-{number}.exe'], event.action: deny}}
  other: {{destination.domain|endswith: '.evil-{number}.example'}}
  condition: sel or other
level: medium
"""


def write(folder: Path, numbers: range, turn: int) -> None:
    """Write rules of a round."""
    for number in numbers:
        temporary = folder / ".new"
        temporary.write_text(RULE.format(number=number, round=turn), encoding="utf-8")
        temporary.replace(folder / f"{number}.yml")


def measure(rules: int = 1_000, count: int = 300_000) -> list[Measure]:
    """The rows of this measure."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"lines-{count}.log"
    lines.write(file, count)
    folder = fresh("reload")
    own = folder / "rules"
    own.mkdir(parents=True)
    write(own, range(rules), 0)
    settings = Settings(
        data_dir=folder,
        store=StoreSettings(kind="embedded", path=folder / "store"),
        rules=RulesSettings(directories=[own]),
        pipeline=PipelineSettings(batch_size=BATCH),
        sources={"fw": FileSource(type="file", paths=[str(file)], follow=True)},
    )
    commits: list[float] = []
    stop = threading.Event()
    found: list[tuple[str, float, float, float, float]] = []
    with open_app(settings, Actor("bench"), pipeline=True) as app:
        working = threading.Thread(target=lambda: run(app, stop=stop, on_batch=lambda _totals: commits.append(time.perf_counter())))
        working.start()

        def sets() -> int:
            return len(app.store.facts(RULES_FACT))

        def phase(name: str, change: Callable[[], None] | None) -> None:
            known, begun = sets(), time.perf_counter()
            if change is not None:
                change()
                begun = time.perf_counter()
                while sets() == known and time.perf_counter() < begun + 120:
                    time.sleep(0.05)
                live = time.perf_counter() - begun
                time.sleep(1.0)
            else:
                time.sleep(QUIET_S)
                live = 0.0
            mine = [at for at in commits if at >= begun]
            gaps = sorted(after - before for before, after in itertools.pairwise(mine))
            found.append((name, live, gaps[-1], median(gaps), BATCH * len(gaps) / (mine[-1] - mine[0])))

        while len(commits) < 50:
            time.sleep(0.05)
        phase("rules at rest", None)
        phase("one rule of them changed", lambda: write(own, range(1), 1))
        phase("all of them changed", lambda: write(own, range(rules), 2))
        stop.set()
        working.join()
    total = rules
    return [
        Measure(
            f"hot reload, {total:,} own rules beside the shipped ones: longest pause between commits, {name}",
            f"{longest * 1000:.0f} ms (median {middle * 1000:.0f} ms; {rate:,.0f} lines/s" + (f"; live after {live:.1f} s)" if live else ")"),
            "",
        )
        for name, live, longest, middle, rate in found
    ]


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rules", type=int, default=1_000)
    options.add_argument("--lines", type=int, default=300_000)
    chosen = options.parse_args()
    for row in show(measure(chosen.rules, chosen.lines)):
        sys.stdout.write(row + "\n")


if __name__ == "__main__":
    main()
