"""A reader hands over in order, carries commits out in its own thread, and never gives up on a source that waiting mends."""

from __future__ import annotations

from collections.abc import Mapping
from queue import Queue

from soc.clock import SystemClock
from soc.errors import SourceUnavailable
from soc.ingest.reader import Batch, Reader, drain
from tests.ingest.supplies import ListSource, record
from tests.servers.process import WITHIN_S, wait_until


class Refusing(ListSource):
    """Refuses the first commits."""

    def __init__(self, refusals: int) -> None:
        super().__init__("fw", [record(number, b"x") for number in range(6)])
        self.refusals = refusals

    def commit(self, positions: Mapping[str, int]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise SourceUnavailable("no broker", retry_after_s=0.01)
        super().commit(positions)


class Broken(ListSource):
    """Fails as no source may."""

    def poll(self, most: int, timeout_s: float) -> list[object]:  # type: ignore[override]
        raise ZeroDivisionError


def _reader(source: ListSource, out: Queue[Batch]) -> Reader:
    reader = Reader(source, out, most=2, wait_s=0.01, clock=SystemClock(), positions={})
    reader.start()
    return reader


def test_records_come_in_order_and_the_end_is_told() -> None:
    """Batches of the size asked for, then one that says that nothing more will come."""
    out: Queue[Batch] = Queue()
    reader = _reader(ListSource("fw", [record(number, b"x") for number in range(5)]), out)
    batches = [out.get(timeout=WITHIN_S) for _ in range(4)]
    assert [[item.seq for item in batch.records] for batch in batches] == [[0, 1], [2, 3], [4], []]
    assert [batch.end for batch in batches] == [False, False, False, True]
    reader.halt()
    reader.join(WITHIN_S)


def test_a_refused_commit_is_carried_along() -> None:
    """What could not be told is told with the next commit; the newest position of each partition counts."""
    out: Queue[Batch] = Queue()
    source = Refusing(2)
    reader = _reader(source, out)
    reader.commit({"p0": 2, "p1": 7})
    reader.commit({"p0": 4})
    while not out.get(timeout=WITHIN_S).end:
        pass
    reader.commit({"p0": 6})
    wait_until(lambda: source.committed == {"p0": 6, "p1": 7}, what="the commit")
    reader.halt()
    reader.join(WITHIN_S)
    assert source.committed == {"p0": 6, "p1": 7}


def test_a_fault_of_a_source_is_told_to_the_pipeline() -> None:
    """A thread that died silently would leave the pipeline waiting for ever."""
    out: Queue[Batch] = Queue()
    reader = _reader(Broken("fw", []), out)
    error = out.get(timeout=WITHIN_S).error
    reader.join(WITHIN_S)
    assert error is not None
    assert "ZeroDivisionError" in error.message


def test_a_reader_that_nobody_listens_to_can_be_stopped() -> None:
    """A full queue does not hold a reader that was told to stop."""
    out: Queue[Batch] = Queue(maxsize=1)
    reader = _reader(ListSource("fw", [record(number, b"x") for number in range(50)]), out)
    reader.halt()
    reader.join(WITHIN_S)
    assert not reader.is_alive()
    drain(out)
    assert out.empty()
