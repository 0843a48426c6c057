"""A batch that is too large or cannot be read is told once, with the records it had, and reading goes on: by the real client."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaConsumer
from kafka.consumer.fetcher import Fetcher
from kafka.record import MemoryRecords
from kafka.record.legacy_records import LegacyRecordBatchBuilder

from soc.adapters.kafka import batches
from soc.adapters.kafka.batches import BOMBS, MOST_HEADERS, Refused, guard
from soc.adapters.kafka.packing import GZIP, LZ4, SNAPPY, ZSTD
from soc.adapters.kafka.sample import KafkaSample
from soc.adapters.kafka.signals import KafkaReadBack, require_topic
from soc.clock import SystemClock
from soc.config import KafkaSettings, KafkaSource
from soc.errors import ConfigError
from tests.adapters.kafka.conftest import Counts, Opens, commit, patiently, read
from tests.adapters.kafka.packed import CODECS, batch, pack, record, records, send_packed, varint
from tests.servers.kafka_server import Broker
from tests.servers.process import WITHIN_S

MIB = 1 << 20
EACH = pytest.mark.parametrize("codec", CODECS, ids=CODECS.values())
Names = Callable[[str], str]


class Taken:
    """What the client takes from the answer of a broker, held to a limit."""

    def __init__(self, answer: bytes, *, at: int = 0, most: int = MIB) -> None:
        from kafka.structs import TopicPartition

        fetcher = Fetcher.__new__(Fetcher)
        consumer = SimpleNamespace(_fetcher=fetcher)
        self.limit = guard(consumer, most)
        self.reading = fetcher.PartitionRecords(at, TopicPartition("t", 0), MemoryRecords(answer))

    def poll(self, most: int = 1_000) -> list[Any]:
        """What one poll takes."""
        self.limit.begin()
        if not self.reading:
            return []
        return list(self.reading.take(most))


def _told(messages: list[Any]) -> list[tuple[int, int, int]]:
    """First, last and number of the records that were refused."""
    return [(message.value.first, message.offset, message.value.records) for message in messages if isinstance(message.value, Refused)]


def _whole(messages: list[Any]) -> list[tuple[int, bytes]]:
    return [(message.offset, message.value) for message in messages if not isinstance(message.value, Refused)]


@EACH
def test_packed_records_are_read(codec: int) -> None:
    """Also from the middle of a batch on."""
    answer = batch(pack(codec, records([b"a" * 100, b"b", b"c"])), 3, codec=codec, base=10) + batch(records([b"d"]), 1, base=13)
    assert _whole(Taken(answer, at=11).poll()) == [(11, b"b"), (12, b"c"), (13, b"d")]


@EACH
def test_a_batch_beyond_the_limit_is_one_record_and_the_next_ones_are_read(codec: int) -> None:
    """It names its records, from the place that reading had come to."""
    bomb = batch(pack(codec, records([b"x", bytes(2 * MIB), b"y"])), 3, codec=codec, base=10)
    answer = batch(records([b"before"]), 1, base=9) + bomb + batch(records([b"behind"]), 1, base=13)
    taken = Taken(answer, at=9)
    found = taken.poll()
    assert _whole(found) == [(9, b"before"), (13, b"behind")]
    assert _told(found) == [(10, 12, 3)]
    assert bytes(found[1].value) == bomb
    assert "oversized" in found[1].value.reason
    assert "offsets 10 to 12" in found[1].value.reason
    assert taken.reading.next_fetch_offset == 14
    assert _told(Taken(bomb, at=12).poll()) == [(12, 12, 1)]


def test_many_packed_batches_do_not_fill_one_poll() -> None:
    """Forty of 1 MiB each, 1 KB in the answer: one poll takes what one batch may have and one more, the rest is fetched again."""
    packed = pack(ZSTD, records([bytes(MIB - 100)]))
    answer = b"".join(batch(packed, 1, codec=ZSTD, base=number) for number in range(40))
    taken, at, polls = Taken(answer), 0, 0
    while at < 40:
        found = taken.poll()
        assert 1 <= len(found) <= 2, "each poll goes on"
        assert [message.offset for message in found] == list(range(at, at + len(found)))
        at, polls = at + len(found), polls + 1
        assert taken.reading.next_fetch_offset == at
        taken = Taken(b"".join(batch(packed, 1, codec=ZSTD, base=number) for number in range(at, 40)), at=at)
    assert polls >= 20


def test_many_bombs_do_not_hold_a_poll_up() -> None:
    """Of a whole answer of them one poll looks at a few, and the next ones go on behind them."""
    packed = pack(ZSTD, records([bytes(2 * MIB)]))
    taken = Taken(b"".join(batch(packed, 1, codec=ZSTD, base=number) for number in range(40)))
    assert _told(taken.poll()) == [(number, number, 1) for number in range(BOMBS)]
    assert taken.reading.next_fetch_offset == BOMBS


@pytest.mark.parametrize(
    ("data", "count", "read_before"),
    [
        (record(0, b"a") + record(1, b"b", varint(1) + varint(2) + b"\xff\xfe" + varint(-1)), 3, 1),
        (record(0, b"a") + record(7, b"b"), 3, 1),
        (record(0, b"a") + record(0, b"b") + record(2, b"c"), 3, 1),
        (record(-5, b"a"), 1, 0),
        (record(0, b"a")[:-3], 1, 0),
        (b"\xff" * 40, 4, 0),
        (b"", 2, 0),
    ],
    ids=["header is no text", "offset beyond", "offset twice", "offset before", "cut off", "no record", "nothing"],
)
@pytest.mark.parametrize("codec", [0, LZ4])
def test_records_that_cannot_be_read_are_told_with_the_rest_of_their_batch(data: bytes, count: int, read_before: int, codec: int) -> None:
    """Those before are read, those behind the batch as well; every offset is accounted for once."""
    broken = batch(pack(LZ4, data) if codec else data, count, codec=codec, base=20)
    found = Taken(broken + batch(records([b"behind"]), 1, base=20 + count), at=20).poll()
    assert _told(found) == [(20 + read_before, 19 + count, count - read_before)]
    assert [offset for offset, _ in _whole(found)] == [*range(20, 20 + read_before), 20 + count]
    assert "cannot be read" in next(message.value.reason for message in found if isinstance(message.value, Refused))


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD, 5])
def test_bytes_that_cannot_be_unpacked_are_told(codec: int) -> None:
    """Also packed in a way that nobody knows."""
    found = Taken(batch(b"no such format" * 10, 4, codec=codec, base=1) + batch(records([b"behind"]), 1, base=5), at=1).poll()
    assert (_told(found), _whole(found)) == ([(1, 4, 4)], [(5, b"behind")])


def test_bytes_behind_the_last_record_are_no_record() -> None:
    """All records of the batch were read: nothing is told twice."""
    found = Taken(batch(records([b"a", b"b"]) + b"more", 2) + batch(records([b"c"]), 1, base=2)).poll()
    assert (_whole(found), _told(found)) == ([(0, b"a"), (1, b"b"), (2, b"c")], [])


def test_headers_beyond_all_need_take_no_memory() -> None:
    """Two bytes each in a batch, and 64 in memory: a few are kept, and a long record that consists of them is not read at all."""
    many = varint(10_000) + (varint(0) + varint(-1)) * 10_000
    (few,) = Taken(batch(record(0, b"a", many), 1)).poll()
    assert (few.value, len(few.headers)) == (b"a", MOST_HEADERS)
    bomb = varint(4 * MIB) + (varint(0) + varint(-1)) * (4 * MIB)
    answer = batch(pack(ZSTD, record(0, b"long" * MIB) + record(1, b"a", bomb)), 2, codec=ZSTD) + batch(records([b"behind"]), 1, base=2)
    tracemalloc.start()
    tracemalloc.reset_peak()
    try:
        found = Taken(answer, most=16 * MIB).poll()
        assert tracemalloc.get_traced_memory()[1] < 64 * MIB, "they would take 256 MiB and more"
    finally:
        tracemalloc.stop()
    assert (_told(found), _whole(found)) == ([(0, 1, 2)], [(2, b"behind")])
    assert "4194304 headers" in found[0].value.reason


@given(data=st.binary(max_size=200), count=st.integers(1, 5), codec=st.sampled_from([0, GZIP, SNAPPY, LZ4, ZSTD]))
def test_no_bytes_of_a_batch_stop_reading(data: bytes, count: int, codec: int) -> None:
    """Whatever stands in it, each of its offsets is read or told, once, and the record behind it is read."""
    broken = batch(pack(codec, data) if codec else data, count, codec=codec, base=3)
    found = Taken(broken + batch(records([b"behind"]), 1, base=3 + count), at=3).poll()
    seen = [offset for offset, _ in _whole(found)]
    for first, last, some in _told(found):
        assert some == last - first + 1
        seen += range(first, last + 1)
    assert sorted(seen) == list(range(3, 4 + count))


@pytest.mark.parametrize("magic", [0, 1])
def test_batches_of_the_old_formats_have_the_limit_too(magic: int) -> None:
    """Logs of before 2017."""
    answers = []
    for value in (b"a" * 1_000, bytes(2 * MIB)):
        builder = LegacyRecordBatchBuilder(magic=magic, compression_type=GZIP, batch_size=8 * MIB)
        for number in range(3):
            builder.append(number, timestamp=1, key=None, value=value)
        answers.append(bytes(builder.build()))
    assert len(_whole(Taken(answers[0]).poll())) == 3
    found = Taken(answers[1]).poll()
    assert len(_told(found)) == 1
    assert _whole(found) == []


def test_a_client_that_takes_records_in_another_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the limit nothing is read: an update that moves its place is told at once."""
    monkeypatch.delattr(Fetcher.PartitionRecords, "_unpack_records")
    with pytest.raises(ConfigError, match="another way"):
        guard(SimpleNamespace(_fetcher=Fetcher.__new__(Fetcher)), MIB)
    with pytest.raises(ConfigError, match="another way"):
        guard(SimpleNamespace(), MIB)


# by a real broker ----------------------------------------------------------------------------------------------------


@pytest.fixture
def limited(kafka_settings: KafkaSettings) -> KafkaSettings:
    """The least limit there is."""
    return kafka_settings.model_copy(update={"max_batch_bytes": MIB})


@EACH
def test_a_bomb_from_a_real_broker_is_told_and_passed(
    codec: int, kafka_broker: Broker, limited: KafkaSettings, opened: Opens, counts: Counts, unique_name: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker takes it as it takes any batch; the source gives one record for all of it, and goes on, also after a restart."""
    topic = kafka_broker.create_topic(unique_name("bomb"), settings={"max.message.bytes": str(8 * MIB)})
    kafka_broker.send(topic, [b"before"])
    data = records([b"x", bytes((8 if codec == SNAPPY else 64) * MIB), b"y"])
    packed = pack(codec, data)
    del data
    at = send_packed(kafka_broker.bootstrap, topic, codec, packed, 3, monkeypatch=monkeypatch)
    kafka_broker.send(topic, [b"behind"])
    source = opened([topic], settings=limited)
    tracemalloc.start()
    tracemalloc.reset_peak()
    try:
        found = read(source, 3)
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB + 8 * len(packed)
    finally:
        tracemalloc.stop()
    assert [(item.seq, item.next, item.records) for item in found] == [(0, 1, 1), (at, at + 3, 3), (at + 3, at + 4, 1)]
    assert [item.raw for item in found if not item.fault] == [b"before", b"behind"]
    assert packed in found[1].raw
    assert CODECS[codec] in found[1].fault
    assert counts.counted["soc_kafka_records_refused_total"] == 3
    commit(source, found[:2])
    source.close()
    assert [item.raw for item in read(opened([topic], settings=limited), 1)] == [b"behind"]


def test_an_answer_full_of_bombs_is_read_to_its_end(
    kafka_broker: Broker, limited: KafkaSettings, opened: Opens, unique_name: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one poll leaves, the next one fetches again: nothing is missing, nothing comes twice, in order."""
    topic = kafka_broker.create_topic(unique_name("bombs"))
    bomb, large = (pack(ZSTD, records([value])) for value in (bytes(2 * MIB), b"a" * 900_000))
    for number in range(7):
        send_packed(kafka_broker.bootstrap, topic, ZSTD, bomb, 1, monkeypatch=monkeypatch)
        send_packed(kafka_broker.bootstrap, topic, ZSTD, large, 1, monkeypatch=monkeypatch)
        kafka_broker.send(topic, [b"line %d" % number])
    found = read(opened([topic], settings=limited), 21)
    assert [item.seq for item in found] == list(range(21))
    assert [bool(item.fault) for item in found] == [True, False, False] * 7
    assert [item.raw for item in found[2::3]] == [b"line %d" % number for number in range(7)]
    assert {item.raw for item in found[1::3]} == {b"a" * 900_000}


@EACH
def test_what_senders_pack_is_read(
    codec: int, kafka_broker: Broker, limited: KafkaSettings, opened: Opens, unique_name: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every format that brokers know, snappy without a library as well."""
    topic = kafka_broker.create_topic(unique_name("packed"))
    lines = [b"date=2026-11-21 srcip=192.0.2.%d " % number * 20 for number in range(50)]
    send_packed(kafka_broker.bootstrap, topic, codec, pack(codec, records(lines)), 50, monkeypatch=monkeypatch)
    assert [item.raw for item in read(opened([topic], settings=limited), 50)] == lines


def test_a_look_at_a_topic_passes_a_bomb(kafka_broker: Broker, limited: KafkaSettings, unique_name: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """`soc sources test` says what cannot be read, and shows the rest."""
    topic = kafka_broker.create_topic(unique_name("look"))
    kafka_broker.send(topic, [b"before"])
    send_packed(kafka_broker.bootstrap, topic, ZSTD, pack(ZSTD, records([bytes(64 * MIB), b"x"])), 2, monkeypatch=monkeypatch)
    kafka_broker.send(topic, [b"behind"])
    sample = KafkaSample(limited, {"fw": KafkaSource(type="kafka", topics=[topic])}, clock=SystemClock())
    try:
        patiently(lambda: sample.open({}))
        found = patiently(lambda: sample.poll(5, WITHIN_S))
    finally:
        sample.close()
    assert sorted(item.raw for item in found if not item.fault) == [b"before", b"behind"]
    assert [(item.seq, item.records) for item in found if item.fault] == [(1, 2)]


def test_signals_are_read_back_around_a_bomb(kafka_broker: Broker, limited: KafkaSettings, unique_name: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a hostile sender wrote into the topic of signals is none, and holds nobody up."""
    settings = limited.model_copy(update={"signals_topic": unique_name("signals"), "signals_partitions": 1})
    patiently(lambda: require_topic(settings))
    kafka_broker.send(settings.signals_topic, [b"one"])
    send_packed(kafka_broker.bootstrap, settings.signals_topic, GZIP, pack(GZIP, records([bytes(64 * MIB), b"x"])), 2, monkeypatch=monkeypatch)
    kafka_broker.send(settings.signals_topic, [b"two"])
    back = KafkaReadBack(settings, clock=SystemClock())
    try:
        assert patiently(lambda: list(back.read("kafka:c/t/0", 0, 4))) == [b"one", b"two"]
    finally:
        back.close()


def test_the_limit_stands_where_the_client_takes_records(kafka_broker: Broker, unique_name: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer of the library's own, with nothing of ours but the limit: the place of it is the one through which all records come."""
    topic = kafka_broker.create_topic(unique_name("place"))
    kafka_broker.send(topic, [b"%d" % number for number in range(20)])
    seen: list[Any] = []
    real = batches._Batch.__iter__

    def _noted(self: Any) -> Iterator[Any]:
        for one in real(self):
            seen.append(one)
            yield one

    monkeypatch.setattr(batches._Batch, "__iter__", _noted)
    within = round(WITHIN_S * 1000)
    options: dict[str, Any] = {"bootstrap_timeout_ms": within, "request_timeout_ms": within}
    with KafkaConsumer(topic, bootstrap_servers=kafka_broker.bootstrap, auto_offset_reset="earliest", **options) as consumer:
        guard(consumer, MIB)
        got = 0
        while got < 20:
            got += sum(map(len, consumer.poll(timeout_ms=500).values()))
    assert len(seen) == 20
