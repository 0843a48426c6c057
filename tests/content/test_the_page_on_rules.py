"""Follows docs/how-to/write-a-rule.md: writes its files, types its commands, compares what they print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/write-a-rule.md"
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
# What differs from run to run: ids made of file identities, ages, durations, rates over a time that ends now.
CHANGES = (
    (re.compile(re.escape(f"{ROOT}/bin/soc")), "bin/soc"),
    (re.compile(r"\b[agc]-[a-z0-9]{8,20}\b"), "ID"),
    (re.compile(r"(?:(?<=[\s])[a-z0-9]{10}(?=\s|$))+"), "EVENT"),
    (re.compile(r"\t\d+[smhd]\t"), "\tAGE\t"),
    (re.compile(r"\b[\d.]+ a day"), "N a day"),
    (re.compile(r"\([\d.]+ alerts a day in the last week\)"), "(N alerts a day in the last week)"),
    (re.compile(r"in [\d.]+ s \([\d,]+ a second\)"), "in T"),
)

# What is told every ten seconds, on a machine on which a command takes that long.
PROGRESS = re.compile(r"^(?:[\d,]+ (?:received|events read), .*|\d+ of \d+ rule files)\n", re.MULTILINE)


def plain(text: str) -> list[str]:
    """The lines of an output without what changes."""
    for pattern, instead in CHANGES:
        text = pattern.sub(instead, text)
    return [line.rstrip() for line in text.strip().split("\n")]


def steps(page: str) -> list[tuple[str, str]]:
    """The commands of the page in order, each with what is shown below it."""
    out: list[tuple[str, str]] = []
    for block in CONSOLE.findall(page):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            out.append((command, shown))
    return out


@pytest.mark.slow
@pytest.mark.xdist_group("docs")
def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Every command of the page prints what stands below it."""
    page = PAGE.read_text(encoding="utf-8")
    for name, text in FILE.findall(page):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("SOC_", "LC_", "XDG_"))} | {"HOME": str(tmp_path), "LANG": "C.UTF-8"}
    commands = steps(page)
    for command, shown in commands:
        words = shlex.split(command)
        done = subprocess.run([ROOT / words[0], *words[1:]], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode in {0, 1}, (command, done.stderr)
        assert plain(done.stdout + PROGRESS.sub("", done.stderr)) == plain(shown), command
    assert {words.split()[2] for words, _ in commands if words.split()[1] == "rules"} >= {
        "lint",
        "test",
        "eval",
        "explain",
        "shadow",
        "backtest",
        "compare",
        "promote",
    }
