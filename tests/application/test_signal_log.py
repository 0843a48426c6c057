"""What an ingest worker writes to a log of signals when: signals before the commit, marks after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from soc.application.signal_log import TOGETHER_S, SignalWriter
from soc.clock import FrozenClock
from soc.errors import SourceUnavailable
from soc.model.record import RawRecord
from soc.model.signal import Signal
from soc.ports import Effects, MarkedSource
from tests.conftest import NOW_US


class Paper:
    """A log that can be read, and taken away for a while."""

    def __init__(self) -> None:
        self.lines: list[tuple[list[str], dict[str, int]]] = []
        self.away = False
        self.closed = False

    def append(self, signals: Sequence[Signal], marks: Mapping[str, int]) -> None:
        if self.away:
            raise SourceUnavailable("the log is away")
        self.lines.append(([one.id for one in signals], dict(marks)))

    def close(self) -> None:
        self.closed = True


class Partitions:
    """A source of two partitions of which nothing comes."""

    name = "kafka"

    def __init__(self) -> None:
        self.idle_now: dict[str, int] = {}
        self.behind = {"p0": 0, "p1": 3}

    def open(self, positions: Mapping[str, int]) -> None: ...

    def poll(self, most: int, timeout_s: float) -> list[RawRecord]:
        return []

    def commit(self, positions: Mapping[str, int]) -> None: ...

    def lost(self) -> set[str]:
        return set()

    def lag(self) -> dict[str, int]:
        return self.behind

    def exhausted(self) -> bool:
        return False

    def close(self) -> None: ...

    def partitions(self) -> list[str]:
        return ["p0", "p1"]

    def idle(self) -> dict[str, int]:
        return self.idle_now


def batch(name: str, partition: str = "p0", mark: int = 10) -> Effects:
    """A batch with one signal."""
    return Effects(progress=[], signals=[Signal(mark, ("real",), name, 1, "c")], marks={partition: mark})


@pytest.fixture
def paper() -> Paper:
    """The log of the test."""
    return Paper()


@pytest.fixture
def source() -> Partitions:
    """The source of the test."""
    found = Partitions()
    assert isinstance(found, MarkedSource)
    return found


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that the test moves."""
    return FrozenClock(NOW_US)


@pytest.fixture
def writer(paper: Paper, source: Partitions, clock: FrozenClock) -> SignalWriter:
    """A writer that has waited long enough for whatever it does first."""
    made = SignalWriter(paper, [source], clock=clock)
    clock.sleep(TOGETHER_S)
    return made


def test_signals_are_written_before_the_commit_and_marks_after_it(writer: SignalWriter, paper: Paper, clock: FrozenClock) -> None:
    """The partitions that there are stand first of all; a mark never stands before its batch is durable."""
    effects = batch("e1")
    writer.before_commit(effects)
    assert paper.lines == [(["e1"], {"p0": 0, "p1": 0})]
    assert effects.signals == [], "the store has no need of them"
    clock.sleep(TOGETHER_S)
    writer.committed(effects)
    assert paper.lines[1:] == [([], {"p0": 10})]


def test_marks_go_along_with_the_next_signals(writer: SignalWriter, paper: Paper) -> None:
    """Under load one call a batch is enough, and each partition has the latest mark."""
    for number, mark in enumerate((10, 30, 20)):
        effects = batch(f"e{number}", mark=mark)
        writer.before_commit(effects)
        writer.committed(effects)
    assert paper.lines == [(["e0"], {"p0": 0, "p1": 0}), (["e1"], {"p0": 10}), (["e2"], {"p0": 30})]
    writer.close()
    assert paper.lines[3:] == [([], {"p0": 20})]
    assert paper.closed


def test_idle_partitions_are_marked_by_time(writer: SignalWriter, paper: Paper, source: Partitions) -> None:
    """Every tick tells how long nothing has been missing; without news nothing is written."""
    source.idle_now = {"p1": NOW_US}
    writer.tick()
    assert paper.lines == [([], {"p0": 0, "p1": NOW_US})]
    source.idle_now = {}
    writer.tick()
    assert len(paper.lines) == 1


def test_at_the_end_what_has_no_lag_is_read(writer: SignalWriter, paper: Paper, clock: FrozenClock) -> None:
    """A run that reads what there is says so of the partitions that it read to their end, and of no other."""
    writer.end()
    assert paper.lines == [([], {"p0": clock.now_us(), "p1": 0})]


def test_a_log_that_is_away_stops_batches_but_no_marks(writer: SignalWriter, paper: Paper, clock: FrozenClock) -> None:
    """A batch whose signals cannot be written must not be committed; marks wait, and nothing of them is lost."""
    first = batch("e1")
    writer.before_commit(first)
    paper.away = True
    clock.sleep(TOGETHER_S)
    writer.committed(first)
    second = batch("e2", "p1", 7)
    with pytest.raises(SourceUnavailable):
        writer.before_commit(second)
    assert second.signals
    paper.away = False
    writer.before_commit(second)
    assert paper.lines[1:] == [(["e2"], {"p0": 10})]
    writer.committed(second)
    writer.tick()
    assert paper.lines[2:] == [([], {"p1": 7})]
