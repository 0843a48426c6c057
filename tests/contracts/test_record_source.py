"""The contract of `RecordSource`, on every adapter.

To add one: a function in `RIGS` that gives a `Rig` with `put` (make lines readable), `make` (a fresh source on the same
data, as after a restart) and `done`. Kafka is a real broker (`tests.servers`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest

from soc.adapters.files import FileRecordSource
from soc.adapters.kafka.source import KafkaRecordSource
from soc.adapters.spool import Spool
from soc.clock import SystemClock
from soc.config import FileSource, KafkaSettings, KafkaSource
from soc.errors import Unreachable
from soc.model.record import RawRecord
from soc.ports import RecordSource
from tests.servers.process import WITHIN_S

T = TypeVar("T")


@dataclass
class Rig:
    """A source under test."""

    put: Callable[[list[bytes]], None]
    make: Callable[[], RecordSource]
    done: Callable[[], None] = lambda: None


def _files(tmp_path: Path, _request: pytest.FixtureRequest) -> Rig:
    path = tmp_path / "a.log"

    def put(lines: list[bytes]) -> None:
        with path.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))

    return Rig(put, lambda: FileRecordSource("src", FileSource(type="file", paths=[str(path)]), clock=SystemClock()))


def _spool(tmp_path: Path, _request: pytest.FixtureRequest) -> Rig:
    spool = Spool(tmp_path / "spool", most_bytes=1 << 26)
    return Rig(lambda lines: spool.append("src", [(line, 1, "", 0) for line in lines]), lambda: spool.source("src"), spool.close)


def _kafka(_tmp_path: Path, request: pytest.FixtureRequest) -> Rig:
    broker, topic = request.getfixturevalue("kafka_broker"), request.getfixturevalue("unique_name")("contract")
    broker.create_topic(topic)
    settings = KafkaSettings(bootstrap_servers=[broker.bootstrap], group=topic, session_timeout_s=45, bootstrap_timeout_s=120)
    sources = {"src": KafkaSource(type="kafka", topics=[topic])}
    return Rig(lambda lines: broker.send(topic, lines), lambda: KafkaRecordSource(settings, sources, clock=SystemClock()))


RIGS: dict[str, Callable[[Path, pytest.FixtureRequest], Rig]] = {"file": _files, "spool": _spool, "kafka": _kafka}


@pytest.fixture(params=["file", "spool", pytest.param("kafka", marks=[pytest.mark.real, pytest.mark.timeout(1200)])])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Each adapter in turn."""
    made = RIGS[request.param](tmp_path, request)
    yield made
    made.done()


def some(first: int, last: int) -> list[bytes]:
    """Lines that differ."""
    return [b"line %06d with enough text to make a head of a kilobyte soon" % number for number in range(first, last)]


def patiently(call: Callable[[], T]) -> T:
    """What a call gives once the source can be reached: a server on a busy machine may not answer in time."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            return call()
        except Unreachable:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def begin(source: RecordSource, positions: Mapping[str, int]) -> None:
    """Open it at positions."""
    patiently(lambda: source.open(positions))


def take(source: RecordSource, count: int, most: int = 64) -> list[RawRecord]:
    """At least `count` records, within a deadline."""
    out: list[RawRecord] = []
    deadline = time.monotonic() + WITHIN_S
    while len(out) < count and time.monotonic() < deadline:
        out += patiently(lambda: source.poll(most, 0.2))
    return out


def test_records_come_in_order_and_their_positions_chain(rig: Rig) -> None:
    """Within a partition nothing is skipped or reordered; `most` is kept; positions grow; the origin is the position."""
    rig.put(some(0, 300))
    source = rig.make()
    begin(source, {})
    assert len(patiently(lambda: source.poll(7, 5))) <= 7
    source.close()
    source = rig.make()
    begin(source, {})
    records = take(source, 300)
    assert [record.raw for record in records] == some(0, 300)
    assert len({record.partition for record in records}) == 1
    assert all(a.next <= b.seq for a, b in pairwise(records))
    assert all(record.seq < record.next and record.source == "src" for record in records)
    assert all((record.origin, record.origin_seq, record.sub) == (record.partition, record.seq, 0) for record in records)
    source.close()


def test_reading_goes_on_at_any_position_that_was_handed_over(rig: Rig) -> None:
    """After a restart the record at the kept position comes first, with the same position and origin."""
    rig.put(some(0, 200))
    source = rig.make()
    begin(source, {})
    whole = take(source, 200)
    source.close()
    for at in (0, 1, 99, 199):
        source = rig.make()
        begin(source, {whole[at].partition: whole[at].next})
        rest = take(source, 199 - at)
        key = [(record.seq, record.next, record.origin, record.raw) for record in whole[at + 1 :]]
        assert [(record.seq, record.next, record.origin, record.raw) for record in rest] == key
        source.close()


def test_what_arrives_later_is_handed_over_and_lag_falls_to_nothing(rig: Rig) -> None:
    """New records follow the old ones; commit forgets nothing that was not committed; an empty poll returns in time."""
    rig.put(some(0, 100))
    source = rig.make()
    begin(source, {})
    first = take(source, 100)
    patiently(lambda: source.commit({first[49].partition: first[49].next}))
    rig.put(some(100, 150))
    later = take(source, 50)
    assert [record.raw for record in later] == some(100, 150)
    assert sum(source.lag().values()) == 0
    assert patiently(lambda: source.poll(10, 0)) == []
    assert not source.exhausted()
    assert source.lost() == set()
    source.close()
    source.close()
    source = rig.make()
    begin(source, {first[49].partition: first[49].next})
    assert [record.raw for record in take(source, 100)] == some(50, 150)
    source.close()


def test_a_source_can_be_opened_again_at_other_positions(rig: Rig) -> None:
    """After a conflict reading begins again where the store says, on the same object."""
    rig.put(some(0, 100))
    source = rig.make()
    begin(source, {})
    records = take(source, 100)
    source.close()
    begin(source, {records[9].partition: records[9].next})
    assert [record.raw for record in take(source, 90)] == some(10, 100)
    source.close()


def test_hostile_bytes_come_through_unchanged(rig: Rig) -> None:
    """Invalid UTF-8, NUL, control codes and long lines are nobody's error."""
    hostile = [b"\x00\xff\xfe", "tiếng Việt".encode(), b"\x1b[2Jcleared?", b"x" * 70_000, *some(0, 30)]
    rig.put(hostile)
    source = rig.make()
    begin(source, {})
    assert [record.raw for record in take(source, len(hostile))] == hostile
    source.close()


def test_a_commit_of_a_partition_that_is_not_ours_is_left_out(rig: Rig) -> None:
    """What another worker has taken over meanwhile is neither committed nor an error."""
    rig.put(some(0, 30))
    source = rig.make()
    begin(source, {"some:other/partition": 5})
    take(source, 30)
    patiently(lambda: source.commit({"some:other/partition": 7}))
    source.close()
