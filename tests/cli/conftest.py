"""Runs commands in this process, seeing nothing of the machine's configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from soc import cli, i18n


@dataclass(frozen=True)
class Done:
    """What a command left: exit code and what it wrote."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty home, no variables of ours, English."""
    for name in [name for name in os.environ if name.startswith(("SOC_", "LC_", "XDG_")) or name in ("NO_COLOR", "FORCE_COLOR")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("LANGUAGE", "en")
    yield
    i18n.use("en")


@pytest.fixture
def soc(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command line; its exit code, stdout and stderr."""

    def run(*words: str) -> Done:
        os.environ["LANGUAGE"] = "en"  # as each command finds it; `use` leaves its own there
        i18n.use(i18n.choose(words, os.environ))
        code = cli.execute(list(words))
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run
