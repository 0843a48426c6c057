"""kill -9 at every border of poll → process → store → commit, then a restart: the same as if nothing had happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from soc.application.app import Actor
from soc.bootstrap import open_app
from soc.config import Settings
from tests.e2e import traffic
from tests.e2e.state import assert_balanced, everything
from tests.servers.process import WITHIN_S

ROOT = Path(__file__).parents[2]
POINTS = (
    "worker.polled",
    "worker.processed",
    "store.begin",
    "store.events.written",
    "store.control.written",
    "worker.committed",
    "worker.told",
)


def _settings(folder: Path) -> Path:
    settings = {"store": {"kind": "embedded", "path": str(folder / "store")}, "data_dir": str(folder), "pipeline": {"batch_size": 100}}
    file = folder / "settings.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    return file


def _drive(settings: Path, files: list[Path], crash: str = "") -> int:
    environment = {**os.environ, "SOC_TEST_CRASH": crash}
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.driver", str(settings), *map(str, files)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode in {0, -9}, done.stderr
    return done.returncode


def _state(settings: Path) -> dict[str, object]:
    with open_app(Settings.model_validate(json.loads(settings.read_text(encoding="utf-8"))), Actor("test")) as app:
        assert_balanced(app.store)
        return everything(app.store)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], dict[str, object]]:
    """The files, and what an undisturbed run makes of them."""
    folder = tmp_path_factory.mktemp("undisturbed")
    files = traffic.write(folder / "in")
    settings = _settings(folder)
    assert _drive(settings, files) == 0
    state = _state(settings)
    assert len(state["events"]) > 700  # type: ignore[arg-type]
    assert state["alerts"]
    assert state["threats"]
    return files, state


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("point", POINTS)
def test_kill_9_loses_and_doubles_nothing(point: str, times: int, tmp_path: Path, undisturbed: tuple[list[Path], dict[str, object]]) -> None:
    """A process killed at a border, in the first and in a later batch, and started again ends with the very same store."""
    files, expected = undisturbed
    settings = _settings(tmp_path)
    assert _drive(settings, files, f"{point}:{times}") == -9, f"{point} was never passed {times} times"
    assert _drive(settings, files) == 0
    assert _state(settings) == expected


def test_killed_at_every_step_in_turn(tmp_path: Path, undisturbed: tuple[list[Path], dict[str, object]]) -> None:
    """A process that dies again and again, each time elsewhere, still comes to the same end."""
    files, expected = undisturbed
    settings = _settings(tmp_path)
    for point in POINTS:
        assert _drive(settings, files, f"{point}:2") == -9
    assert _drive(settings, files) == 0
    assert _state(settings) == expected


def test_a_second_run_over_the_same_files_adds_nothing(tmp_path: Path, undisturbed: tuple[list[Path], dict[str, object]]) -> None:
    """What was read is not read again."""
    files, expected = undisturbed
    settings = _settings(tmp_path)
    assert _drive(settings, files) == 0
    assert _drive(settings, files) == 0
    assert _state(settings) == expected
