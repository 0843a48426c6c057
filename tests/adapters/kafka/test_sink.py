from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping

import pytest

from soc.adapters.kafka.sink import KafkaForwarder, KafkaSink
from soc.clock import SystemClock
from soc.config import KafkaSettings
from soc.errors import ConfigError, SourceUnavailable
from soc.model.record import RawRecord
from tests.adapters.kafka.conftest import Counts, patiently, record
from tests.servers.kafka_server import Broker

Names = Callable[[str], str]


def _write(sink: KafkaSink, records: list[RawRecord]) -> None:
    """Write as those do who go on: what the brokers do not take in time is given again."""
    patiently(lambda: sink.write(records))


def _positions(broker: Broker, topic: str, partitions: int = 1) -> list[str]:
    return [dict(item.headers)["soc-pos"].decode() for item in broker.read_all(topic, partitions)]


def test_records_are_in_the_topic_when_the_call_returns(kafka_broker: Broker, kafka_settings: KafkaSettings, unique_name: Names) -> None:
    """Every record is acknowledged on return, with its position, times and host, in order."""
    topic = kafka_broker.create_topic(unique_name("sink"))
    sink = KafkaSink(kafka_settings, topic, clock=SystemClock())
    _write(sink, [record(number) for number in range(200)])
    found = kafka_broker.read_all(topic)
    sink.close()
    assert [item.value for item in found] == [b"line %d" % number for number in range(200)]
    assert _positions(kafka_broker, topic) == [f"c1/edge/{number}/0" for number in range(200)]
    assert {item.key for item in found} == {b"192.0.2.1"}
    assert found[0].timestamp == record(0).received_us // 1000


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_every_compression_works(kafka_broker: Broker, kafka_settings: KafkaSettings, unique_name: Names, compression: str) -> None:
    """What is written compressed is read back (lz4 is the default of the other tests)."""
    topic = kafka_broker.create_topic(unique_name("compressed"))
    sink = KafkaSink(kafka_settings.model_copy(update={"compression": compression}), topic, clock=SystemClock())
    _write(sink, [record(1, b"a" * 5_000)])
    sink.close()
    assert [item.value for item in kafka_broker.read_all(topic)] == [b"a" * 5_000]


def test_the_lines_of_one_host_stay_in_order(kafka_broker: Broker, kafka_settings: KafkaSettings, unique_name: Names) -> None:
    """All lines of a host go to one partition, in order; several hosts use several partitions."""
    topic = kafka_broker.create_topic(unique_name("keys"), partitions=4)
    sink = KafkaSink(kafka_settings, topic, clock=SystemClock())
    _write(sink, [record(number, host=f"192.0.2.{number % 20}") for number in range(200)])
    sink.close()
    found = kafka_broker.read_all(topic, 4)
    by_host: dict[bytes, list[tuple[int, bytes]]] = {}
    for item in found:
        by_host.setdefault(item.key, []).append((item.partition, item.value))
    assert len(by_host) == 20
    assert len({partition for items in by_host.values() for partition, _ in items}) > 1
    for host, items in by_host.items():
        number = int(host.rpartition(b".")[2])
        assert len({partition for partition, _ in items}) == 1
        assert [value for _, value in items] == [b"line %d" % seq for seq in range(number, 200, 20)]


def test_a_record_too_large_for_the_client_is_cut_and_says_so(kafka_broker: Broker, kafka_settings: KafkaSettings, unique_name: Names, counts: Counts) -> None:
    """A record beyond the request size is cut, marked, and holds nothing else up."""
    topic = kafka_broker.create_topic(unique_name("large"))
    sink = KafkaSink(kafka_settings, topic, clock=SystemClock(), metrics=counts)
    _write(sink, [record(1), record(2, b"x" * 3_000_000), record(3)])
    sink.close()
    found = kafka_broker.read_all(topic)
    by_position = {dict(item.headers)["soc-pos"]: item for item in found}
    assert set(by_position) == {b"c1/edge/1/0", b"c1/edge/2/0", b"c1/edge/3/0"}
    large = by_position[b"c1/edge/2/0"]
    headers = dict(large.headers)
    assert len(large.value) + int(headers["soc-truncated"]) == 3_000_000
    assert len(large.value) > 1_000_000
    assert headers["soc-fault"].startswith(b"3000000 bytes are more than topic")
    assert counts.counted["soc_kafka_records_cut_total"] == 1


def test_records_too_large_for_the_topic_are_cut_one_by_one(kafka_broker: Broker, kafka_settings: KafkaSettings, unique_name: Names, counts: Counts) -> None:
    """Where the topic takes less than the client, only the records that are refused alone are cut."""
    topic = kafka_broker.create_topic(unique_name("small"), settings={"max.message.bytes": "20000"})
    sink = KafkaSink(kafka_settings.model_copy(update={"compression": "none"}), topic, clock=SystemClock(), metrics=counts)
    _write(sink, [record(number, b"y" * (30_000 if number == 5 else 3_000)) for number in range(10)])
    sink.close()
    sizes = {dict(item.headers)["soc-pos"].decode(): len(item.value) for item in kafka_broker.read_all(topic)}
    assert sizes == {f"c1/edge/{number}/0": 15_000 if number == 5 else 3_000 for number in range(10)}
    assert counts.counted["soc_kafka_records_cut_total"] == 1


def test_a_missing_topic_is_named(kafka_settings: KafkaSettings, unique_name: Names) -> None:
    """Writing to a topic that does not exist is refused with the command to create it."""
    topic = unique_name("nowhere")
    sink = KafkaSink(kafka_settings, topic, clock=SystemClock())
    with pytest.raises(ConfigError, match=f"topic {topic} does not exist") as caught:
        _write(sink, [record(1)])
    assert "--create" in caught.value.hint


def test_what_is_no_name_of_a_topic_is_told(kafka_settings: KafkaSettings) -> None:
    """A slip in a name is nothing that waiting mends: it is refused, with what names are made of."""
    for name in ("bad topic!", ""):
        with pytest.raises(ConfigError, match=f"'{name}' is no name of a topic") as caught:
            _write(KafkaSink(kafka_settings, name, clock=SystemClock()), [record(1)])
        assert "letters, digits" in caught.value.hint


def test_no_broker_is_told(kafka_settings: KafkaSettings) -> None:
    """A broker that is not there is an error to be retried."""
    sink = KafkaSink(kafka_settings.model_copy(update={"bootstrap_servers": ["127.0.0.1:1"]}), "any", clock=SystemClock())
    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:1 cannot be reached"):
        sink.write([record(1)])


class _Spool:
    """A source of ten records that remembers what it was told."""

    name = "edge"

    def __init__(self) -> None:
        self.next = 0
        self.told: list[Mapping[str, int]] = []

    def open(self, positions: Mapping[str, int]) -> None: ...

    def poll(self, most: int, timeout_s: float) -> list[RawRecord]:
        first, self.next = self.next, 10
        return [record(number) for number in range(first, 10)]

    def commit(self, positions: Mapping[str, int]) -> None:
        self.told.append(dict(positions))

    def lost(self) -> set[str]:
        return set()

    def lag(self) -> dict[str, int]:
        return {}

    def exhausted(self) -> bool:
        return self.next == 10

    def close(self) -> None: ...


def test_the_source_is_told_after_the_brokers_have_it(kafka_broker: Broker, kafka_settings: KafkaSettings, unique_name: Names) -> None:
    """A failed step loses nothing and tells nothing; the next one carries the same records on."""
    topic = unique_name("forward")
    spool = _Spool()
    forwarder = KafkaForwarder(kafka_settings, spool, topic, clock=SystemClock())
    with pytest.raises(ConfigError):
        patiently(lambda: forwarder.step(0.1))
    assert spool.told == []
    kafka_broker.create_topic(topic)
    assert patiently(lambda: forwarder.step(0.1)) == 10
    assert spool.told == [{"spool:edge": 10}]
    assert forwarder.step(0.1) == 0
    forwarder.close()
    assert len(_positions(kafka_broker, topic)) == 10


_KILLED = """
import os, sys
from soc.adapters.kafka.sink import KafkaSink
from soc.clock import SystemClock
from soc.config import KafkaSettings
from tests.adapters.kafka.conftest import patiently, record
sink = KafkaSink(KafkaSettings.model_validate_json(sys.argv[1]), sys.argv[2], clock=SystemClock())
patiently(lambda: sink.write([record(number) for number in range(10)]))
if sys.argv[3] == "kill":
    os.kill(os.getpid(), 9)
"""


def test_a_collector_killed_before_its_own_mark_sends_again_under_the_same_positions(
    kafka_broker: Broker, kafka_settings: KafkaSettings, unique_name: Names
) -> None:
    """Killed between the brokers' answer and its own mark, a collector sends the same positions again, and no others."""
    topic = kafka_broker.create_topic(unique_name("mark"))
    command = [sys.executable, "-c", _KILLED, kafka_settings.model_dump_json(), topic]
    environment = {**os.environ, "PYTHONPATH": "."}
    assert subprocess.run([*command, "kill"], env=environment, check=False, timeout=600).returncode == -signal.SIGKILL
    subprocess.run([*command, "go on"], env=environment, check=True, timeout=600)
    assert _positions(kafka_broker, topic) == [f"c1/edge/{number}/0" for number in range(10)] * 2
