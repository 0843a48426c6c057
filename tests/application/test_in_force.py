"""A repair begins when the pipeline beside it works by what the repair asks: then nothing is stored later that it would have changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from soc.application import in_force
from soc.application.app import Actor, App
from soc.application.directories import FACT, STAMP, present
from soc.application.enrich import PREVIOUS, enrich
from soc.application.in_force import MOST_S, await_pipeline
from soc.application.pipelines import note_registry
from soc.application.reclassify import reclassify
from soc.application.ruleset import RULES_FACT
from soc.application.run import run
from soc.bootstrap import open_app
from soc.clock import FrozenClock
from soc.model.event import Doc, values
from soc.model.query import All
from soc.ports import Committed, Effects, EventQuery, RecordSource
from tests.application.test_directories import LINE, NOW, lines, settings, tell, until
from tests.servers.clock import StillClock

EVERYTHING = EventQuery(All(), descending=False)
_HOLD = "import sys; from pathlib import Path; from soc.adapters.sqlite.lock import PipelineLock; held = PipelineLock(Path(sys.argv[1])); print(flush=True); sys.stdin.read()"


@contextmanager
def pipeline(folder: Path) -> Iterator[int]:
    """Another process holds the store."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder / "store")], cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as held:
        assert held.stdout is not None
        held.stdout.readline()
        try:
            yield held.pid
        finally:
            held.kill()


class Told(list[tuple[str, int]]):
    """What was told."""

    def __call__(self, what: str, pid: int) -> None:
        self.append((what, pid))


class Stepping(FrozenClock):
    """A clock under which something happens at a step of waiting."""

    def __init__(self, now_us: int, at: int, then: Callable[[], object]) -> None:
        super().__init__(now_us)
        self._left = at
        self._then = then

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._left -= 1
        if not self._left:
            self._then()


@pytest.fixture
def person(tmp_path: Path) -> Iterator[App]:
    """The application of somebody beside a pipeline, on a store with one state on record."""
    with open_app(settings(tmp_path), Actor("an"), clock=FrozenClock(NOW)) as app:
        app.store.record_fact(RULES_FACT, {"hash": "old"})
        yield app


def waited(app: App) -> float:
    """How long the clock says that was waited, in seconds."""
    return (app.clock.now_us() - NOW) / 1e6


def test_without_another_pipeline_nothing_is_waited_for(person: App, tmp_path: Path) -> None:
    """Nobody runs, or this process is the pipeline itself, or the store knows none."""
    told = Told()
    await_pipeline(person, RULES_FACT, "hash", "new", told)
    with open_app(settings(tmp_path), Actor("an"), clock=person.clock, pipeline=True) as own:
        assert own.store.status()["pipeline_pid"] == os.getpid()
        await_pipeline(own, RULES_FACT, "hash", "new", told)
    person.__dict__["store"] = person.wiring.memory_store()
    await_pipeline(person, RULES_FACT, "hash", "new", told)
    assert (told, waited(person)) == ([], 0)


def test_it_waits_until_the_pipeline_has_recorded_the_state(person: App, tmp_path: Path) -> None:
    """At once when it has; else until it does, which is told once."""
    told = Told()
    with pipeline(tmp_path) as pid:
        await_pipeline(person, RULES_FACT, "hash", "old", told)
        assert (told, waited(person)) == ([], 0)
        person.clock = Stepping(NOW, 8, lambda: person.store.record_fact(RULES_FACT, {"hash": "new"}))
        await_pipeline(person, RULES_FACT, "hash", "new", told)
        assert (told, waited(person)) == ([("waits", pid)], 2)


def test_it_waits_no_longer_than_the_pipeline_runs(person: App, tmp_path: Path) -> None:
    """One that ends has nothing more to store; the next begins with the present state."""
    told = Told()
    with pipeline(tmp_path) as pid:
        person.clock = Stepping(NOW, 3, lambda: _end(tmp_path, pid))
        await_pipeline(person, RULES_FACT, "hash", "new", told)
        assert told == [("waits", pid)]
        assert waited(person) < MOST_S


def _end(folder: Path, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    with open_app(settings(folder), Actor("an")) as app:
        until(lambda: app.store.status()["pipeline_pid"] == 0, "the end of the pipeline")


def test_a_pipeline_that_does_not_follow_is_told(person: App, tmp_path: Path) -> None:
    """After half a minute the repair begins all the same, and says what it cannot reach."""
    told = Told()
    with pipeline(tmp_path) as pid:
        await_pipeline(person, RULES_FACT, "hash", "new", told)
        assert told == [("waits", pid), ("behind", pid)]
        assert waited(person) == pytest.approx(MOST_S, abs=1)


def test_repairs_wait_for_what_they_ask_and_for_nothing_else(person: App, tmp_path: Path) -> None:
    """The registry in force, the rules in force; not a preview, a stated class, given rules, or the way back."""
    told = Told()
    tell(person, "a")
    with pipeline(tmp_path) as pid:
        for dry_run, original in ((True, False), (False, True), (False, False)):
            enrich(person, query=EVERYTHING, why="x", dry_run=dry_run, original=original, tell=told)
        assert told == [("waits", pid), ("behind", pid)]
        told.clear()
        reclassify(person, query=EVERYTHING, why="x", dry_run=True, tell=told)
        reclassify(person, query=EVERYTHING, level="low", why="x", dry_run=False, tell=told)
        reclassify(person, query=EVERYTHING, rules_dir=tmp_path / "rules", why="x", dry_run=False, tell=told)
        assert told == []
        reclassify(person, query=EVERYTHING, why="x", dry_run=False, tell=told)
        assert told == [("waits", pid), ("behind", pid)]
        told.clear()
        note_registry(person, person.store)
        person.store.record_fact(RULES_FACT, {"hash": person.classifier.hash})
        enrich(person, query=EVERYTHING, why="x", dry_run=False, tell=told)
        reclassify(person, query=EVERYTHING, why="x", dry_run=False, tell=told)
        assert told == []


def test_what_comes_while_the_registry_is_put_right_is_put_right_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a stream an import is followed at once by a re-enrichment, three times: no event is left with what was said before."""
    monkeypatch.setattr("soc.application.directories.LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(in_force, "os", _Another)
    monkeypatch.setattr(in_force, "MOST_S", 150.0)  # whether the pipeline follows is tested here, not how quick the machine is
    stop, done, number = threading.Event(), threading.Event(), [0]
    clock = StillClock(NOW)  # a state of the registry is one of a day: midnight makes another

    def send() -> None:
        while not done.is_set():
            lines(tmp_path, number[0], 20)
            number[0] += 20
            time.sleep(0.05)

    with open_app(settings(tmp_path), Actor("an"), clock=clock, pipeline=True) as app, open_app(settings(tmp_path), Actor("bình"), clock=clock) as person:
        threads = [threading.Thread(target=send), threading.Thread(target=lambda: run(app, stop=stop))]
        for thread in threads:
            thread.start()

        def stored() -> list[Doc]:
            return list(person.store.stream(EVERYTHING))

        def count() -> int:
            return sum(item.stored for item in person.store.ledger())

        try:
            until(lambda: count() > 40, "the first lines")
            for agency in "aba":
                tell(person, agency)
                told = Told()
                enrich(person, query=EVERYTHING, why="the registry was wrong", dry_run=False, tell=told)
                assert [what for what, _ in told] in ([], ["waits"])
                more = count() + 40
                until(lambda more=more: count() > more, "lines after it")  # type: ignore[misc]
                assert {str(doc.get("soc.agency.id", "")) for doc in stored()} == {agency}
            done.set()
            threads[0].join(150)
            until(lambda: count() == number[0], "the last lines")
        finally:
            done.set()
            stop.set()
            for thread in threads:
                thread.join(150)
        assert not any(thread.is_alive() for thread in threads)
    with open_app(settings(tmp_path), Actor("an"), clock=clock) as app:
        docs = list(app.store.stream(EVERYTHING))
        assert len({doc["soc.id"] for doc in docs}) == len(docs) == number[0]
        assert all(item.difference == 0 for item in app.store.ledger())
        assert max(len(list(values(doc, PREVIOUS))) for doc in docs) == 3
        assert len({doc.get(STAMP, "") for doc in docs}) == 4
        assert present(app).name == app.store.facts(FACT)[-1]["name"]


class _Another:
    """As if the pipeline of this process were another's."""

    @staticmethod
    def getpid() -> int:
        return -1


def test_a_state_is_not_recorded_while_a_batch_of_the_one_before_is_in_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks come after each batch here; whatever was processed by the state before is stored when the fact says the next one."""
    monkeypatch.setattr("soc.application.directories.LOOK_EVERY_S", 0.0)
    clock = StillClock(NOW)
    with open_app(settings(tmp_path), Actor("an"), clock=clock, pipeline=True) as app, open_app(settings(tmp_path), Actor("bình"), clock=clock) as person:
        (tmp_path / "fw.log").write_text("".join(LINE.format(minute=0, second=n, n=n + 1, session=n) for n in range(50)), encoding="utf-8")
        tell(person, "a")
        before = present(person).name
        begin = app.store.begin_commit  # type: ignore[attr-defined]
        seen: list[tuple[str, str]] = []

        def beginning(effects: Effects) -> Callable[[], Committed]:
            recorded = app.store.facts(FACT)
            seen.extend((event.doc[STAMP], recorded[-1]["name"]) for event in effects.events)
            write: Callable[[], Committed] = begin(effects)
            return write

        monkeypatch.setattr(app.store, "begin_commit", beginning)
        monkeypatch.setattr("soc.application.run.Worker", _ticking(lambda: tell(person, "b")))
        run(app, once=True)
    assert len(seen) == 50
    assert {stamp for stamp, _ in seen} == {before}
    assert all(stamp == state for stamp, state in seen)


def _ticking(then: Callable[[], None]) -> Callable[..., object]:
    """A worker whose every turn has a tick, and before whose first tick something happens."""
    from soc.ingest.worker import Worker

    def made(*, sources: Sequence[RecordSource], on_tick: Callable[[], Sequence[Effects]], **rest: Any) -> Worker:
        left = [then]

        def tick() -> Sequence[Effects]:
            if worker.in_hand and left:
                left.pop()()
            return on_tick()

        return (worker := Worker(sources=sources, on_tick=tick, **(rest | {"tick_s": 0.0})))

    return made
