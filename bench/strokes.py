"""What people type and wait for in two walks: a call that becomes an incident with its clocks, and 20,000 wrong alerts that are put right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench._measure import Measure
from scripts.follow_page import ROOT, Done, follow

WALKS = ROOT / "docs/how-to/walks"


def measure() -> Iterator[Measure]:
    """Keystrokes (characters typed, with Enter) and seconds until the commands are done."""
    with TemporaryDirectory() as folder:
        call = list(follow(WALKS / "ransomware-by-telephone.md", Path(folder) / "call"))
        wrong = list(follow(WALKS / "wrong-rule.md", Path(folder) / "wrong"))
    yield _row("telephone call → registered incident with its clocks", [one for one in call if one.step.command.startswith("soc incidents new")], "< 60 s")
    begin = next(number for number, one in enumerate(wrong) if one.step.command.startswith("soc rules disable"))
    end = next(number for number, one in enumerate(wrong) if one.step.command.startswith("soc alerts close"))
    yield _row("20,000 wrong alerts → clean queue, figures and clocks", wrong[begin : end + 1], "")


def _row(what: str, done: list[Done], goal: str) -> Measure:
    strokes = sum(len(one.step.command) + 1 for one in done)
    seconds = sum(one.seconds for one in done)
    return Measure(f"{what}: {len(done)} commands", f"{strokes} keystrokes, {seconds:.1f} s until they are done", goal, seconds < 60 if goal else None)


if __name__ == "__main__":
    for row in measure():
        print(row)
