"""Follows a page of commands literally: every command as it stands, in one shell, in an empty folder and an empty home.

A page's blocks are ```console; a line `$ …` is a command (lines `> …` and those after a `\\` belong to it), the lines below it are what
it prints: in that order, others may stand between; `…` stands for anything. `# exit 1` at the end of a command is the exit code that it leaves.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_EXIT = re.compile(r"  # exit (\d+)$")
_MARK = "\x1e"


@dataclass
class Step:
    """A command of a page, what it should print, and the exit code that it should leave."""

    command: str
    shown: list[str] = field(default_factory=list)
    code: int = 0


def steps(page: Path) -> list[Step]:
    """The commands of a page, in order."""
    found: list[Step] = []
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        goes_on = False
        for line in block.splitlines():
            if goes_on or line.startswith("> "):
                found[-1].command += "\n" + line.removeprefix("> ")
            elif line.startswith("$ "):
                found.append(Step(line[2:]))
            else:
                found[-1].shown.append(line)
            goes_on = (goes_on or line.startswith("$ ")) and line.endswith("\\")
    for step in found:
        code = _EXIT.search(step.command)
        if code:
            step.code, step.command = int(code.group(1)), step.command[: code.start()]
    return found


@dataclass
class Done:
    """What a command of a page did."""

    step: Step
    code: int
    out: str
    seconds: float = 0.0


def follow(page: Path, folder: Path, env: dict[str, str] | None = None) -> Iterator[Done]:
    """Run the commands of a page one after the other in one shell in `folder`."""
    wanted = steps(page)
    script = "".join(f"{step.command}\nprintf '{_MARK}%s %s{_MARK}' $? $EPOCHREALTIME\n" for step in wanted)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("SOC_", "LC_", "XDG_", "LANG"))}
    home = folder / "home"
    home.mkdir(parents=True)
    own = {"HOME": str(home), "LANG": "C.UTF-8", "LANGUAGE": "en", "PATH": f"{ROOT / 'bin'}:{os.environ['PATH']}", "COLUMNS": "160"}
    begin = time.time()
    done = subprocess.run(
        ["bash"], input=script, cwd=folder, env=kept | own | (env or {}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=3600
    )
    parts = done.stdout.split(_MARK)
    for number, step in enumerate(wanted):
        code, ended = parts[2 * number + 1].split()
        yield Done(step, int(code), parts[2 * number], float(ended) - begin)
        begin = float(ended)


def missing(done: Done) -> str | None:
    """The first line that a page shows and the command did not print, in that order."""
    printed = iter(done.out.splitlines())
    for line in done.step.shown:
        wanted = ".*".join(re.escape(part.strip()) for part in line.strip().split("…"))
        if line.strip() in ("", "…"):
            continue
        if not any(re.fullmatch(rf"\s*{wanted}\s*", text) for text in printed):
            return line
    return None
