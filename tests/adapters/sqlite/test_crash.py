"""A process killed at any border of a commit leaves a store that goes on as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from soc.adapters.sqlite import open_store
from soc.clock import FrozenClock
from soc.config import StoreSettings
from soc.errors import StoreUnavailable
from soc.model.deadletter import DeadLetter
from soc.model.event import Event
from soc.model.query import All
from soc.ports import AlertQuery, CrashPoint, Effects, EventQuery, Progress, Store, TwoStepStore, no_crash
from tests.contracts.samples import DAY, T0, alert, event, letter

POINTS = ("store.begin", "store.events.written", "store.alerts.written", "store.control.written", "store.committed")

_RUN = """
import os, signal, sys
from tests.adapters.sqlite.test_crash import batches, opened
point, skip, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
left = [skip]
def crash(name):
    if name == point:
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
store = opened(folder, crash)
for number, effects in enumerate(batches()):
    if store.positions().get("fw/0", 0) < effects.progress[0].next:
        store.commit(effects)
"""


def opened(folder: Path | str, crash: CrashPoint = no_crash) -> Store:
    """The store under test."""
    return open_store(StoreSettings(events_per_file=1000), Path(folder) / "store", pipeline=True, clock=FrozenClock(T0), crash=crash)


def batches() -> list[Effects]:
    """Four batches over two kinds and three months, each with an alert and a dead letter."""
    return [_batch(number) for number in range(4)]


def _batch(number: int) -> Effects:
    first = number * 10
    events: list[Event] = [
        event(first + n, kind=("firewall", "mail")[n % 2], ts_us=T0 + first + n - n % 3 * 30 * DAY, level=("none", "high")[n % 2], category=("", "spam")[n % 2])
        for n in range(9)
    ]
    letters: list[DeadLetter] = [letter(first + 9)]
    return Effects(
        [Progress("fw1", "fw/0", first, first + 9, first + 10, 10)],
        events,
        [alert(events[1])],
        letters,
        claims={f"k{number}": events[1].id},
        state={"fw/0\x1fa\x1fb": b"%d" % number},
    )


def everything(store: Store) -> object:
    """All that can be asked of a store."""
    return (
        list(store.stream(EventQuery(All()))),
        store.threats(EventQuery(All())),
        store.alert_groups(AlertQuery()),
        store.alerts(AlertQuery()),
        store.dead_letters(),
        store.positions(),
        store.state("fw/0"),
        store.ledger(),
        store.owners({f"k{n}": "x" for n in range(4)}),
        [(part["name"], part["events"]) for part in store.status()["partitions"]],
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> object:
    """What a run that nobody kills leaves."""
    store = opened(tmp_path_factory.mktemp("calm"))
    for effects in batches():
        store.commit(effects)
    found = everything(store)
    store.close()
    return found


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("skip", [0, 3])
def test_a_killed_process_loses_and_doubles_nothing(tmp_path: Path, undisturbed: object, point: str, skip: int) -> None:
    """SIGKILL at the border, then a restart that gives the uncommitted batches again: equal to the undisturbed run."""
    killed = subprocess.run(
        [sys.executable, "-c", _RUN, point, str(skip), str(tmp_path)], cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=600, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    store = opened(tmp_path)
    done = store.positions().get("fw/0", 0)
    assert done % 10 == 0
    assert store.count(EventQuery(All())) == done // 10 * 9
    for effects in batches():
        store.commit(effects)
    assert everything(store) == undisturbed
    store.close()


def test_another_order_of_batches_after_a_kill_is_as_good(tmp_path: Path, undisturbed: object) -> None:
    """What is read again after a kill may come in batches of another size."""
    killed = subprocess.run(
        [sys.executable, "-c", _RUN, "store.control.written", "1", str(tmp_path)], cwd=Path(__file__).parents[3], capture_output=True, timeout=600, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    store = opened(tmp_path)
    assert store.positions() == {"fw/0": 10}
    for whole in batches()[1:]:
        begin, size = whole.progress[0].first, len(whole.events)
        half = Effects([Progress("fw1", "fw/0", begin, begin + 4, begin + 5, 5)], whole.events[:5], whole.alerts, claims=whole.claims)
        rest = Effects([Progress("fw1", "fw/0", begin + 5, begin + 9, begin + 10, 5)], whole.events[5:size], [], whole.dead_letters, state=whole.state)
        store.commit(half)
        store.commit(rest)
    assert everything(store) == undisturbed
    store.close()


def test_the_lock_of_a_killed_pipeline_is_free(tmp_path: Path) -> None:
    """The kernel lets go for it; the pid in the file is history."""
    killed = subprocess.run(
        [sys.executable, "-c", _RUN, "store.begin", "0", str(tmp_path)], cwd=Path(__file__).parents[3], capture_output=True, timeout=600, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "store" / "pipeline.lock").read_text().strip() != str(os.getpid())
    opened(tmp_path).close()


def test_what_was_prepared_before_a_recovery_is_prepared_anew(tmp_path: Path) -> None:
    """A begun commit that failed half way, called again, takes back what it left and stores what a commit would."""
    fail = [""]

    def crash(point: str) -> None:
        if point == fail[0]:
            fail[0] = ""
            raise StoreUnavailable("gone")

    store = opened(tmp_path, crash)
    assert isinstance(store, TwoStepStore)
    first, second, *_ = batches()
    fail[0] = "store.alerts.written"
    begun = store.begin_commit(first)
    with pytest.raises(StoreUnavailable):
        begun()
    assert begun().stored == 9
    assert store.begin_commit(second)().stored == 9
    assert store.count(EventQuery(All(), scope=None)) == 18
    assert [item.difference for item in store.ledger()] == [0]
