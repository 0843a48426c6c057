"""Runs commands in this process, seeing nothing of the machine's configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import pytest

from soc import cli, i18n
from soc.cli import _group, _progress


@dataclass(frozen=True)
class Done:
    """What a command left: exit code and what it wrote."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@cache
def load_commands() -> None:
    """Import every command while English is spoken: their texts are made then, and must not be those of the test that happened to come first."""
    i18n.use("en")
    waiting: list[click.Command | None] = [_group.root()]
    while waiting:
        if isinstance(group := waiting.pop(), click.Group):
            context = click.Context(group)
            waiting += [group.get_command(context, name) for name in group.list_commands(context)]


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty home, no variables of ours, English."""
    for name in [name for name in os.environ if name.startswith(("SOC_", "LC_", "XDG_")) or name in ("NO_COLOR", "FORCE_COLOR")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("LANGUAGE", "en")
    load_commands()
    yield
    i18n.use("en")


@pytest.fixture
def soc(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run one command line; its exit code, stdout and stderr, without the lines that tell every ten seconds how far it is."""
    load_commands()
    monkeypatch.setattr(_progress, "TELL_S", 86_400.0)

    def run(*words: str) -> Done:
        os.environ["LANGUAGE"] = "en"  # as each command finds it; `use` leaves its own there
        i18n.use(i18n.choose(words, os.environ))
        code = cli.execute(list(words))
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run
