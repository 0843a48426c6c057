"""Follows docs/how-to/automate-with-policies.md and write-a-playbook.md: writes their files, types their commands, compares what they print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.content.test_the_page_on_rules import FILE, PROGRESS, ROOT, plain, steps

# What differs from year to year and from run to run: numbers of incidents, times.
CHANGES = ((re.compile(r"INC-\d{4}-"), "INC-"), (re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2} \+07"), "TIME"))


def said(text: str) -> list[str]:
    """The lines of an output without what changes."""
    for pattern, instead in CHANGES:
        text = pattern.sub(instead, text)
    return plain(text)


@pytest.mark.slow
@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("automate-with-policies.md", {"policies lint", "policies test", "policies run", "policies disable", "policies enable"}),
        ("write-a-playbook.md", {"playbooks lint", "playbooks show", "incidents playbook", "incidents task-done"}),
    ],
)
def test_the_page_does_what_it_says(name: str, needed: set[str], tmp_path: Path) -> None:
    """Every command of the page prints what stands below it."""
    page = (ROOT / "docs/how-to" / name).read_text(encoding="utf-8")
    for file, text in FILE.findall(page):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("SOC_", "LC_", "XDG_"))} | {"HOME": str(tmp_path), "LANG": "C.UTF-8"}
    commands = steps(page)
    for command, shown in commands:
        words = shlex.split(command)
        done = subprocess.run([ROOT / words[0], *words[1:]], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode in {0, 1, 6}, (command, done.stderr)
        assert said(done.stdout + PROGRESS.sub("", done.stderr)) == said(shown), command
    assert {" ".join(words.split()[1:3]) for words, _ in commands} >= needed
