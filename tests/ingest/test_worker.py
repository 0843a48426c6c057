"""The worker commits in order, retries what passes, begins again after a conflict, and never tells a source too early."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import pytest

from soc.adapters.memory import MemoryStore
from soc.adapters.metrics import NoMetrics
from soc.clock import FrozenClock, SystemClock
from soc.errors import AccessDenied, Conflict, SourceUnavailable, StoreUnavailable
from soc.ingest.pipeline import Pipeline, SourceInfo
from soc.ingest.reader import ONCE_TRIES, Batch
from soc.ingest.registry import installed
from soc.ingest.worker import Worker
from soc.model.alert import Alert
from soc.model.event import Doc, Event
from soc.model.query import All
from soc.model.signal import Signal
from soc.ports import Committed, Effects, EventQuery, Gap, Verdict
from tests.ingest.supplies import ListSource, Step, record, unavailable
from tests.servers.process import wait_until

LINE = 'date=2026-11-21 time=08:00:{:02d} devname="FG" devid="FG1" eventtime={} tz="+0700" logid="0000000013" type="traffic" subtype="forward" level="notice" srcip=10.0.0.{} dstip=192.0.2.1 action="accept" sessionid={}'


class Plain:
    """No rules: every event is harmless."""

    hash = "none"
    silent: frozenset[int] = frozenset()

    def rule_id(self, index: int) -> str:
        raise NotImplementedError

    def signals(self, matches: Sequence[int], event: Event) -> list[Signal]:
        return []

    def classify(self, doc: Doc) -> Verdict:
        return Verdict("none", "", "", ())

    def alert(self, index: int, event: Event, detected_at: str) -> Alert:
        raise NotImplementedError


class Watched:
    """A memory store whose commits of records can be made to fail, by their number, in front of the real one."""

    def __init__(self, before: Callable[[int], None] = lambda _number: None) -> None:
        self.store = MemoryStore(clock=FrozenClock(0))
        self.commits: list[list[int]] = []
        self._before = before
        self._number = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    def commit(self, effects: Effects) -> Committed:
        if effects.progress:  # what time brings about comes when it comes
            self._number += 1
            self._before(self._number)
        self.commits.append([progress.first for progress in effects.progress])
        return self.store.commit(effects)


def _records(count: int, partition: str = "p0", source: str = "fw") -> list[Step]:
    return [
        record(number, LINE.format(number % 60, 1_795_222_800_000_000_000 + number, number % 250, number), partition=partition, source=source)
        for number in range(count)
    ]


def _worker(store: Watched, *sources: ListSource, batch_size: int = 10, overlap: bool = True, once: bool = False) -> Worker:
    pipeline = Pipeline(
        registry=installed(),
        classifier=Plain(),
        sources={source.name: SourceInfo(source.name) for source in sources},
        kept_state=store.store.state,
        owners=store.store.owners,
    )
    return Worker(
        store=store,  # type: ignore[arg-type]
        pipeline=pipeline,
        sources=sources,
        clock=SystemClock(),
        metrics=NoMetrics(),
        batch_size=batch_size,
        batch_wait_s=0.01,
        overlap=overlap,
        once=once,
    )


def _pipeline(worker: Worker) -> Pipeline:
    assert isinstance(worker._pipeline, Pipeline)
    return worker._pipeline


def _stored(store: Watched) -> int:
    return store.store.count(EventQuery(All(), scope=None))


@pytest.mark.parametrize("overlap", [True, False])
def test_everything_is_stored_in_order_and_told_to_the_source(*, overlap: bool) -> None:
    """35 records in batches of 10: four commits in the order of the log, and the source hears of the end."""
    store, source = Watched(), ListSource("fw", _records(35))
    totals = _worker(store, source, overlap=overlap).run()
    assert (totals.received, totals.stored, _stored(store)) == (35, 35, 35)
    assert store.commits == [[0], [10], [20], [30]]
    assert source.committed == {"p0": 35}


@pytest.mark.parametrize("overlap", [True, False])
def test_other_rules_begin_with_a_batch(*, overlap: bool) -> None:
    """What was begun under the rules before is written before they change; each batch is of one set, and says which."""
    store, source = Watched(), ListSource("fw", _records(40))
    worker = _worker(store, source, overlap=overlap)
    written_at: list[int] = []

    class Other(Plain):
        hash = "other"

    def due() -> bool:
        return len(store.commits) >= 2 and not written_at

    def switch() -> None:
        written_at.append(_stored(store))
        _pipeline(worker).use_rules(Other())

    worker._switch_due, worker._switch = due, switch
    worker.run()
    (before,) = written_at
    assert before % 10 == 0
    found = [doc["soc.rules_hash"] for doc in store.store.stream(EventQuery(All(), scope=None, descending=False))]
    assert (found.count("none"), found.count("other")) == (before, 40 - before)
    assert 20 <= before < 40


def test_a_passing_fault_of_the_store_is_waited_out() -> None:
    """A commit refused as unavailable is given again, unchanged; nothing is skipped or doubled."""

    def fail_twice(number: int) -> None:
        if number in {2, 3}:
            raise StoreUnavailable("full queue", retry_after_s=0.01)

    store, source = Watched(fail_twice), ListSource("fw", _records(35))
    _worker(store, source).run()
    assert store.commits == [[0], [10], [20], [30]]
    assert _stored(store) == 35


def test_a_passing_fault_of_the_source_is_waited_out() -> None:
    """An unreachable source is tried again; its records come once."""
    steps = _records(20)
    store, source = Watched(), ListSource("fw", [*steps[:7], unavailable(), unavailable(), *steps[7:]])
    _worker(store, source).run()
    assert _stored(store) == 20


@pytest.mark.parametrize("overlap", [True, False])
def test_a_run_that_ends_by_itself_waits_for_nobody_for_ever(*, overlap: bool) -> None:
    """Source or store away for good: a run with `once` raises what says so, when others would go on trying."""
    steps = _records(20)
    source = ListSource("fw", [*steps[:7], *[unavailable() for _ in range(50)], *steps[7:]])
    with pytest.raises(SourceUnavailable, match="the wire is cut"):
        _worker(Watched(), source, overlap=overlap, once=True).run()
    store, source = Watched(), ListSource("fw", [*steps[:7], *[unavailable() for _ in range(ONCE_TRIES)], *steps[7:]])
    _worker(store, source, overlap=overlap, once=True).run()
    assert _stored(store) == 20

    def away(number: int) -> None:
        if number > 1:
            raise StoreUnavailable("no node answers", retry_after_s=0.01)

    store, source = Watched(away), ListSource("fw", _records(35))
    with pytest.raises(StoreUnavailable, match="no node answers"):
        _worker(store, source, overlap=overlap, once=True).run()
    assert store.store.positions() == source.committed == {"p0": 10}


@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("failing", [1, 2, 4])
def test_a_conflict_makes_it_read_again_from_the_stores_positions(failing: int, *, overlap: bool) -> None:
    """When another worker took over, everything in hand is dropped and read again; the store ends complete."""

    def conflict_once(number: int) -> None:
        if number == failing:
            raise Conflict("partition p0 was taken over")

    store, source = Watched(conflict_once), ListSource("fw", _records(35))
    _worker(store, source, overlap=overlap).run()
    assert _stored(store) == 35
    assert source.opened == 2
    assert [first for [first] in store.commits] == [0, 10, 20, 30]


def test_what_waiting_cannot_mend_ends_the_run() -> None:
    """Refused credentials are no fault of a document: the run stops, and the source is told nothing of the batch."""

    def refuse(number: int) -> None:
        if number == 2:
            raise AccessDenied("401")

    store, source = Watched(refuse), ListSource("fw", _records(35))
    with pytest.raises(AccessDenied):
        _worker(store, source).run()
    assert store.commits == [[0]]
    assert source.committed in ({"p0": 10}, {})


def test_two_sources_go_side_by_side() -> None:
    """An idle source never holds up a busy one; both end complete."""
    store = Watched()
    first, second = ListSource("fw", _records(30)), ListSource("mail", [])
    _worker(store, first, second).run()
    assert _stored(store) == 30


def test_stop_finishes_what_was_begun() -> None:
    """After a stop every committed position is backed by stored events."""
    stop = threading.Event()
    store, source = Watched(lambda number: stop.set() if number == 2 else None), ListSource("fw", _records(1000))
    _worker(store, source).run(stop)
    assert _stored(store) == store.store.positions()["p0"]
    assert _stored(store) < 1000


def test_a_store_that_gives_no_answer_while_a_batch_is_processed_is_waited_out() -> None:
    """Asked whose a natural key is, the store is away: the batch is read again from the store's positions, the run goes on."""
    store, source = Watched(), ListSource("fw", _records(35))
    left = [2]

    def owners(claims: Mapping[str, str]) -> dict[str, str]:
        if store.commits and left[0]:
            left[0] -= 1
            raise StoreUnavailable("no node answers", retry_after_s=0.01)
        return store.store.owners(claims)

    class Threats(Plain):
        def classify(self, doc: Doc) -> Verdict:
            return Verdict("low", "intrusion", "r", ())

    worker = _worker(store, source)
    _pipeline(worker)._owners = owners
    _pipeline(worker).classifier = Threats()
    totals = worker.run()
    assert left == [0]
    assert (totals.received, _stored(store)) == (35, 35)
    assert sorted(first for [first] in store.commits) == [0, 10, 20, 30]


def test_a_conflict_loses_nothing_of_what_time_brought_about() -> None:
    """A gap that a tick found is recorded, though the batch before it is given up and read again."""
    gap = Gap("fw", "real", 1, 2, "silent", 1.0)
    told: list[int] = []

    def tick() -> list[Effects]:
        told.append(1)
        return [Effects(progress=[], gaps=[gap])] if len(told) == 1 else []

    def conflict_once(number: int) -> None:
        if number == 1:
            raise Conflict("partition p0 was taken over")

    store, source = Watched(conflict_once), ListSource("fw", _records(35))
    worker = _worker(store, source)
    worker._on_tick, worker._tick_s = tick, 0.0
    worker.run()
    assert store.store.gaps() == [gap]
    assert _stored(store) == 35


def test_what_was_read_and_waits_to_be_looked_at_is_known() -> None:
    """A source is not read to its end as long as its last batches wait behind a slow commit; signs of life of a collector are not waited for."""
    store, source = Watched(), ListSource("fw", _records(35))
    worker = _worker(store, source)
    waiting: list[tuple[bool, bool]] = []

    def tick() -> list[Effects]:
        if not waiting:  # the first batch is being stored: the reader has the next ones at hand
            wait_until(worker._queue.full, what="batches wait")
        waiting.append((worker.waits("fw"), worker.waits("mail")))
        return []

    worker._on_tick, worker._tick_s = tick, 0.0
    worker.run()
    assert waiting[0] == (True, False)
    assert not worker.waits("fw")
    assert _stored(store) == 35
    worker._queue.put(Batch(worker.readers[0], 0, [record(45, b"", heartbeat=True)]))
    assert not worker.waits("fw")


def test_an_exercise_moves_no_figure_of_real_work() -> None:
    """Every counter names the scope, so a board that shows `real` sees nothing of a drill."""
    counted: dict[tuple[str, str], float] = {}

    class Counting(NoMetrics):
        def count(self, name: str, amount: float = 1, **labels: str) -> None:
            if amount:
                counted[name, labels["scope"]] = counted.get((name, labels["scope"]), 0) + amount

    store = Watched()
    worker = _worker(store, ListSource("fw", _records(10)), ListSource("drill", _records(15, "p1", "drill")))
    _pipeline(worker)._sources = {"fw": SourceInfo("fw"), "drill": SourceInfo("drill", "exercise:d1")}
    worker._metrics = Counting()
    worker.run()
    assert counted["soc_events_stored_total", "real"] == counted["soc_records_received_total", "real"] == 10
    assert counted["soc_events_stored_total", "exercise:d1"] == 15
    assert {scope for _, scope in counted} == {"real", "exercise:d1"}


class TwoSteps(Watched):
    """A store whose commits have two steps; the second of them may fail."""

    def __init__(self, before: Callable[[int], None] = lambda _number: None, begin: Callable[[int], None] = lambda _number: None) -> None:
        super().__init__(before)
        self.begun: list[tuple[int, int]] = []
        self._begin = begin

    def begin_commit(self, effects: Effects) -> Callable[[], Committed]:
        self._begin(len(self.begun))
        self.begun.append((effects.progress[0].first, len(self.commits)))
        return lambda: self.commit(effects)


def test_what_computes_is_done_before_the_rest_goes_beside_and_after_the_commit_before_it() -> None:
    """Each commit is begun when the one before is whole; a rest that fails is given again whole, an error at the beginning is that of the commit."""

    def once(number: int) -> None:
        if number == 2:
            raise StoreUnavailable("gone for a moment", retry_after_s=0.01)

    away = [True]

    def begin(number: int) -> None:
        if number == 2 and away:
            away.clear()
            raise StoreUnavailable("gone for a moment")

    store, source = TwoSteps(once, begin), ListSource("fw", _records(40))
    totals = _worker(store, source).run()
    assert (totals.stored, _stored(store)) == (40, 40)
    assert store.commits == [[0], [10], [20], [30]]
    assert store.begun == [(0, 0), (10, 1), (30, 3)]
    assert source.committed == {"p0": 40}


def test_on_one_core_nothing_is_begun() -> None:
    """Without overlap the store commits as ever."""
    store = TwoSteps()
    _worker(store, ListSource("fw", _records(20)), overlap=False).run()
    assert (store.begun, store.commits) == ([], [[0], [10]])
