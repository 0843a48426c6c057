from __future__ import annotations

from collections.abc import Callable

import pytest
from kafka import TopicPartition

from soc.adapters.kafka.signals import (
    LOOK_EVERY_S,
    MOST_SIGNALS,
    KafkaReadBack,
    KafkaSignalLog,
    KafkaSignalSource,
    log_ends,
    log_keeps,
    partition_of,
    require_topic,
)
from soc.clock import FrozenClock, SystemClock
from soc.config import KafkaSettings
from soc.errors import SourceUnavailable
from soc.model.signal import Signal
from soc.model.signal_record import SignalRecord, decode, encode
from soc.rules.catalog import shipped
from soc.rules.rebuild import look_back
from tests.adapters.kafka.conftest import Counts, Opens, commit, patiently, polled, read
from tests.conftest import NOW_US
from tests.servers.kafka_server import Broker, KafkaServer
from tests.servers.process import free_port, wait_until

Names = Callable[[str], str]


def signal(number: int, user: str) -> Signal:
    """A signal of a group."""
    return Signal(NOW_US + number, ("real", user), f"e{number}", 1, "many-logins", ("v",), (user,))


def _key(one: Signal) -> bytes:
    return "\x1f".join((one.correlation, *one.key)).encode()


@pytest.fixture
def settings(kafka_settings: KafkaSettings, unique_name: Names) -> KafkaSettings:
    """Settings with a topic of signals of the test's own, of three partitions."""
    return kafka_settings.model_copy(update={"signals_topic": unique_name("signals"), "signals_partitions": 3})


def _log(settings: KafkaSettings, counts: Counts | None = None) -> KafkaSignalLog:
    return KafkaSignalLog(settings, _key, clock=FrozenClock(NOW_US), metrics=counts)


def _append(log: KafkaSignalLog, signals: list[Signal], marks: dict[str, int]) -> None:
    """Append as those do who go on: what the brokers do not take in time is given again."""
    patiently(lambda: log.append(signals, marks))


def _read(broker: Broker, settings: KafkaSettings) -> list[list[SignalRecord]]:
    by_partition: list[list[SignalRecord]] = [[] for _ in range(settings.signals_partitions)]
    for item in broker.read_all(settings.signals_topic, settings.signals_partitions):
        record = decode(item.value)
        assert record is not None
        by_partition[item.partition].append(record)
    return by_partition


def test_signals_and_marks_are_in_the_topic_when_the_call_returns(kafka_broker: Broker, settings: KafkaSettings, counts: Counts) -> None:
    """The missing topic is made; a group is in one partition; every partition has the marks, with its signals or without."""
    log = _log(settings, counts)
    signals = [signal(number, f"user{number % 7}") for number in range(50)]
    _append(log, signals, {"kafka:c/t/0": 17})
    _append(log, [], {"kafka:c/t/0": 18})
    _append(log, [], {})
    log.close()
    found = _read(kafka_broker, settings)
    assert sorted(one.id for records in found for record in records for one in record.signals) == sorted(one.id for one in signals)
    for number, records in enumerate(found):
        assert {partition_of(_key(one), 3) for record in records for one in record.signals} <= {number}
        assert [record.marks for record in records] == [{"kafka:c/t/0": 17}, {"kafka:c/t/0": 18}]
        assert {record.at_us for record in records} == {NOW_US}
    assert sum(1 for records in found if records[0].signals) > 1
    assert counts.counted["soc_signals_appended_total"] == 50


def test_marks_come_after_all_signals_of_the_same_call(kafka_broker: Broker, settings: KafkaSettings) -> None:
    """More signals than one record takes: several records, and only the last one of a partition promises anything."""
    log = _log(settings)
    signals = [signal(number, "one") for number in range(3 * MOST_SIGNALS)] + [signal(9_999_999, "x" * 256)]
    _append(log, signals, {"kafka:c/t/0": 5})
    log.close()
    for records in _read(kafka_broker, settings):
        assert [record.marks for record in records[:-1]] == [{}] * (len(records) - 1)
        assert records[-1].marks == {"kafka:c/t/0": 5}
    assert sorted(one.id for records in _read(kafka_broker, settings) for record in records for one in record.signals) == sorted(one.id for one in signals)


def test_signals_as_large_as_they_can_be_are_written(kafka_broker: Broker, settings: KafkaSettings) -> None:
    """Long values in many groups: the records stay below what brokers take."""
    log = _log(settings)
    signals = [Signal(NOW_US, ("real", *["đ" * 256] * 8), f"e{number}", 1, "wide", ("v" * 250,) * 64, ("Đ" * 256,) * 8) for number in range(300)]
    _append(log, signals, {})
    log.close()
    assert sum(len(record.signals) for records in _read(kafka_broker, settings) for record in records) == 300


def test_an_existing_topic_keeps_its_partitions(kafka_broker: Broker, settings: KafkaSettings) -> None:
    """The setting counts only when the topic is made."""
    kafka_broker.create_topic(settings.signals_topic, 5)
    assert patiently(lambda: require_topic(settings)) == 5


def test_brokers_that_do_not_answer_are_told(settings: KafkaSettings) -> None:
    """Nothing is lost silently: the caller learns that it must write again."""
    log = _log(settings.model_copy(update={"bootstrap_servers": [f"127.0.0.1:{free_port()}"], "bootstrap_timeout_s": 1.0}))
    with pytest.raises(SourceUnavailable):
        log.append([signal(1, "u")], {})
    log.close()


def test_ends_are_named_as_positions_are(kafka_broker: Broker, settings: KafkaSettings, opened: Opens) -> None:
    """What `log_ends` says can be subtracted from what the store has; a missing topic has none."""
    assert patiently(lambda: log_ends(settings)) == {}
    log = _log(settings)
    _append(log, [], {"p": 1})
    log.close()
    ends = patiently(lambda: log_ends(settings))
    assert sorted(ends.values()) == [1, 1, 1]
    records = read(opened([settings.signals_topic], settings=settings), 3)
    assert {record.partition: record.next for record in records} == ends


def test_records_are_read_again_from_anywhere(kafka_broker: Broker, settings: KafkaSettings) -> None:
    """The range that is asked for, of the partition that is asked for, as often as wanted; what was deleted is left out."""
    patiently(lambda: require_topic(settings))
    for number in range(3):
        kafka_broker.send(settings.signals_topic, [b"%d-%d" % (number, at) for at in range(50)], partition=number)
    names = sorted(patiently(lambda: log_ends(settings)))
    back = KafkaReadBack(settings, clock=SystemClock())

    def again(partition: str, begin: int, end: int) -> list[bytes]:
        return patiently(lambda: list(back.read(partition, begin, end)))

    assert again(names[1], 10, 13) == [b"1-10", b"1-11", b"1-12"]
    assert again(names[2], 0, 50) == [b"2-%d" % at for at in range(50)]
    assert again(names[1], 49, 50) == [b"1-49"]
    assert again(names[1], 7, 7) == []
    with kafka_broker.admin() as admin:
        admin.delete_records({TopicPartition(settings.signals_topic, 0): 40})
    assert again(names[0], 30, 42) == [b"0-40", b"0-41"]
    assert again(names[0], 30, 35) == []
    back.close()
    back.close()


def test_the_source_makes_the_topic_and_has_a_group_of_its_own(kafka_broker: Broker, settings: KafkaSettings, unique_name: Names) -> None:
    """A correlator may be the first to start; its group is not that of the ingest workers."""
    own = settings.model_copy(update={"correlate_group": unique_name("correlate")})
    source = KafkaSignalSource(own, "(signals)", clock=SystemClock())
    patiently(lambda: source.open({}))
    log = _log(own)
    _append(log, [signal(1, "u")], {"p": 1})
    records = read(source, 3)
    assert {record.source for record in records} == {"(signals)"}
    assert sorted(patiently(lambda: log_ends(own))) == sorted(source.partitions()) == sorted(record.partition for record in records)
    source.close()
    log.close()


def test_signals_survive_brokers_that_go_and_come(own_kafka: Callable[..., KafkaServer], unique_name: Names, counts: Counts) -> None:
    """While the broker is away the caller is told; afterwards the same call writes everything, signals before marks."""
    server = own_kafka()
    settings = KafkaSettings(bootstrap_servers=[server.bootstrap], signals_topic=unique_name("signals"), signals_partitions=2, bootstrap_timeout_s=2.0)
    log = KafkaSignalLog(settings, _key, clock=SystemClock(), metrics=counts, acknowledge_s=3.0)
    _append(log, [signal(1, "u")], {"p": 1})
    server.kill()
    with pytest.raises(SourceUnavailable):
        log.append([signal(2, "u")], {"p": 2})
    server.start()
    _append(log, [signal(2, "u")], {"p": 2})
    log.close()
    found = [decode(item.value) for item in server.read_all(settings.signals_topic, 2)]
    assert {one.id for record in found if record is not None for one in record.signals} == {"e1", "e2"}


def test_what_is_no_record_of_signals_is_told_apart() -> None:
    """Anything but our own records is none, also those of a version to come."""
    assert decode(b"") is None
    assert decode(b"\xff" * 10) is None
    assert decode(encode(1, {}, [])) == SignalRecord(1, {}, [])
    assert decode(encode(1, {}, [])[:-1] + b"\x02") is None


def test_a_partition_that_says_nothing_is_idle_once_its_records_are_durable(
    kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names
) -> None:
    """Read is not enough, committed is; a partition that never had a record is idle from the start."""
    topic = kafka_broker.create_topic(unique_name("idle"), 2)
    kafka_broker.send(topic, [b"a", b"b"], partition=0)
    source = opened([topic], settings=kafka_settings)
    assert source.idle() == {}
    records = read(source, 2)
    full, empty = records[0].partition, next(name for name in source.partitions() if name != records[0].partition)

    def looked() -> bool:
        polled(source, 10)
        return empty in source.idle()

    began = SystemClock().now_us()
    wait_until(looked, what="the empty partition is idle")
    assert full not in source.idle(), "its records are not durable"
    assert source.idle()[empty] >= began - 10_000_000
    commit(source, records)
    wait_until(lambda: looked() and full in source.idle(), what="the read partition is idle")
    kafka_broker.send(topic, [b"c"], partition=0)
    more = read(source, 1)
    wait_until(lambda: looked() and full not in source.idle(), what="the partition is busy again")
    commit(source, more)
    wait_until(lambda: looked() and full in source.idle(), what="and idle again")


@pytest.mark.parametrize("partitions", [0, 1, 5])
def test_a_topic_made_anew_under_a_writer_is_told_all_that_was_known(partitions: int, kafka_broker: Broker, settings: KafkaSettings) -> None:
    """By the writer itself, or by somebody with other partitions: signals stand where the new number puts them, marks and beginnings everywhere."""
    log = KafkaSignalLog(settings, _key, clock=SystemClock())
    signals = [signal(number, f"user{number % 7}") for number in range(50)]
    _append(log, signals, {"kafka:c/t/0": 17, "kafka:c/t/1": 0})
    kafka_broker.delete_topic(settings.signals_topic)
    if partitions:
        kafka_broker.create_topic(settings.signals_topic, partitions)
    count = partitions or settings.signals_partitions
    wait_until(lambda: log._sink._clock.monotonic() - log._sink._looked_at > LOOK_EVERY_S, what="the writer looks again")
    _append(log, signals, {"kafka:c/t/2": 18})
    log.close()
    found = _read(kafka_broker, settings.model_copy(update={"signals_partitions": count}))
    for number, records in enumerate(found):
        assert {name: mark for record in records for name, mark in record.marks.items()} == {"kafka:c/t/0": 17, "kafka:c/t/1": 0, "kafka:c/t/2": 18}
        assert {name for record in records for name in record.begun} == {"real"}
        assert {one.id for record in records for one in record.signals} == {one.id for one in signals if partition_of(_key(one), count) == number}


def test_the_topic_keeps_what_the_shipped_correlations_look_back_to(kafka_broker: Broker, settings: KafkaSettings) -> None:
    """The longest of them decides; what the brokers say is in force counts, and a topic that is not there says nothing."""
    rules = shipped().correlations
    needed = look_back(rules)
    assert needed >= 5 * max(rule.span_us for rule in rules)
    assert look_back(()) == 0
    assert log_keeps(settings) is None
    require_topic(settings)
    kept = log_keeps(settings)
    assert kept is not None
    assert needed < kept
    for ms, us in (("60000", 60_000_000), ("-1", None)):
        other = settings.model_copy(update={"signals_topic": f"{settings.signals_topic}_{ms.strip('-')}"})
        kafka_broker.create_topic(other.signals_topic, 1, {"retention.ms": ms})
        assert log_keeps(other) == us
