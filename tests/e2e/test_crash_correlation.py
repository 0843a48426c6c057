"""kill -9 in the middle of windows, then a restart: the alerts of correlations as if nothing had happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soc.application.app import Actor
from soc.bootstrap import open_app
from soc.config import Settings
from tests.application.test_correlate import CHAIN, DENIED, DETECTION, LOG, MANY, QUIET
from tests.e2e.state import assert_balanced, assert_same, everything
from tests.servers.fixtures import patient_store
from tests.servers.process import WITHIN_S

ROOT = Path(__file__).parents[2]
POINTS = (
    "worker.processed",
    "store.events.written",
    "store.alerts.written",
    "store.control.written",
    "worker.committed",
    "worker.told",
    "correlate.folded",
    "correlate.told",
    "worker.followed",
)


def _rules(folder: Path) -> Path:
    rules = folder / "rules"
    rules.mkdir(parents=True)
    for number, text in enumerate((DETECTION, *(text.replace("timespan", "generate: true\n    timespan") for text in (MANY, CHAIN, DENIED, QUIET)))):
        (rules / f"rule{number}.yml").write_text(text, encoding="utf-8")
    return rules


def _logs(folder: Path) -> list[Path]:
    """Two files: the second goes on in the middle of windows of the first, a little out of order."""
    lines = sorted(LOG, key=lambda text: text.split("eventtime=")[1][:19])
    halves = [[*lines[:9], lines[11]], [*lines[9:11], *lines[12:]]]
    paths = []
    for number, half in enumerate(halves):
        path = folder / f"fw{number}.log"
        path.write_text("".join(line + "\n" for line in half), encoding="utf-8")
        paths.append(path)
    return paths


def _settings(folder: Path, rules: Path, store: dict[str, Any]) -> Path:
    settings = {
        "store": {"path": str(folder / "store"), **store},
        "data_dir": str(folder),
        "pipeline": {"batch_size": 2},
        "rules": {"shipped": False, "directories": [str(rules)]},
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "settings.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    return file


def _drive(settings: Path, files: list[Path], crash: str = "") -> int:
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.driver", str(settings), *map(str, files)],
        cwd=ROOT,
        env={**os.environ, "SOC_TEST_CRASH": crash},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode in {0, -9}, done.stderr
    return done.returncode


def _state(settings: Path) -> dict[str, Any]:
    with open_app(Settings.model_validate(json.loads(settings.read_text(encoding="utf-8"))), Actor("test")) as app:
        refresh = getattr(app.store, "refresh", None)
        if refresh is not None:
            refresh()
        assert_balanced(app.store)
        return everything(app.store)


class Undisturbed:
    """The files, the rules, and what an undisturbed run makes of them."""

    def __init__(self, folder: Path, store: dict[str, Any]) -> None:
        self.rules = _rules(folder)
        self.files = _logs(folder)
        settings = _settings(folder / "run", self.rules, store)
        assert _drive(settings, self.files) == 0
        self.state = _state(settings)
        titles = {alert["rule"]["title"] for alert in self.state["alerts"].values()}
        assert titles >= {"Many intrusions from one address", "Two busy addresses at one sensor", "One kind without the other"}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """On the embedded store."""
    return Undisturbed(tmp_path_factory.mktemp("embedded"), {"kind": "embedded"})


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("point", POINTS)
def test_kill_9_in_a_window_adds_and_loses_nothing(point: str, times: int, tmp_path: Path, embedded: Undisturbed) -> None:
    """A process killed at a border, early and late, and started again, ends with the very same alerts and revisions."""
    settings = _settings(tmp_path, embedded.rules, {"kind": "embedded"})
    if _drive(settings, embedded.files, f"{point}:{times}") == 0:
        assert times > 1, f"{point} was never passed"
    assert _drive(settings, embedded.files) == 0
    assert_same(_state(settings), embedded.state)


def test_killed_at_every_step_in_turn(tmp_path: Path, embedded: Undisturbed) -> None:
    """A process that dies again and again, each time elsewhere, still comes to the same end."""
    settings = _settings(tmp_path, embedded.rules, {"kind": "embedded"})
    for point in POINTS:
        _drive(settings, embedded.files, f"{point}:1")
    assert _drive(settings, embedded.files) == 0
    assert_same(_state(settings), embedded.state)


@pytest.mark.real
@pytest.mark.timeout(1800)
def test_kill_9_on_elasticsearch(tmp_path: Path, embedded: Undisturbed, elastic_url: str, unique_name: Callable[[str], str]) -> None:
    """The same on the other store: killed at every step in turn, it ends with the alerts of the embedded one."""
    from soc.adapters.elastic.store import erase

    store = patient_store(elastic_url, unique_name("crashcorr"))
    settings = _settings(tmp_path, embedded.rules, store.model_dump(mode="json", exclude_unset=True))
    try:
        for point in POINTS:
            _drive(settings, embedded.files, f"{point}:1")
        assert _drive(settings, embedded.files) == 0
        found = _state(settings)
        assert_same({part: found[part] for part in ("alerts", "groups")}, {part: embedded.state[part] for part in ("alerts", "groups")})
    finally:
        erase(store)
