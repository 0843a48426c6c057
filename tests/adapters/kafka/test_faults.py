from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from soc.adapters.kafka.sink import KafkaSink
from soc.adapters.kafka.source import KafkaRecordSource
from soc.clock import SystemClock
from soc.config import KafkaSettings
from soc.errors import SourceUnavailable
from soc.model.record import RawRecord
from tests.adapters.kafka.conftest import Counts, Opens, patiently, polled, record
from tests.servers.fault_proxy import FaultProxy
from tests.servers.fixtures import OwnKafka
from tests.servers.kafka_server import KafkaServer
from tests.servers.process import WITHIN_S, free_port, wait_until

pytestmark = pytest.mark.xdist_group("kafka-faults")
Names = Callable[[str], str]


@dataclass
class Rig:
    """A private broker behind a proxy that misbehaves."""

    broker: KafkaServer
    proxy: FaultProxy


@pytest.fixture(scope="module")
def rig(own_kafka: OwnKafka) -> Iterator[Rig]:
    """One broker for the module: its tests mend what they break."""
    port = free_port()
    broker = own_kafka(proxy_port=port)
    with FaultProxy(broker.behind_proxy, port=port) as proxy:
        yield Rig(broker, proxy)


def _settings(rig: Rig, name: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=[rig.broker.proxied], group=name, session_timeout_s=60, silent_after_s=10, bootstrap_timeout_s=60)


def _sink(rig: Rig, topic: str, **more: Any) -> KafkaSink:
    """A sink that waits for as long as a slow machine needs to start a broker."""
    return KafkaSink(_settings(rig, topic), topic, clock=SystemClock(), **{"acknowledge_s": WITHIN_S, **more})


def _read_on(source: KafkaRecordSource, got: list[RawRecord], count: int) -> None:
    """Read as the pipeline reads, through times in which the source is unavailable, until there are `count` different records."""

    def _is_enough() -> bool:
        got.extend(polled(source))
        return len({(item.partition, item.seq) for item in got}) >= count

    wait_until(_is_enough, what=f"{count} records")


def _exactly(got: list[RawRecord], count: int) -> None:
    """All are there, and in order where none came twice."""
    seqs = [item.seq for item in got]
    assert sorted(set(seqs)) == list(range(count))


def test_a_broker_restart_in_mid_stream_loses_nothing(rig: Rig, opened: Opens, unique_name: Names, counts: Counts) -> None:
    """Killed and started again between two writes, the broker has every record, and the reader gets them all."""
    topic = rig.broker.create_topic(unique_name("restart"))
    sink = _sink(rig, topic, metrics=counts)
    source = opened([topic], settings=_settings(rig, topic))
    patiently(lambda: sink.write([record(number) for number in range(100)]))
    got: list[RawRecord] = []
    _read_on(source, got, 50)
    rig.broker.kill()
    rig.broker.start()
    patiently(lambda: sink.write([record(number) for number in range(100, 200)]))
    sink.close()
    positions = {dict(item.headers)["soc-pos"] for item in rig.broker.read_all(topic)}
    assert positions == {b"c1/edge/%d/0" % number for number in range(200)}
    ends = rig.broker.end_offsets(topic)[0]
    _read_on(source, got, ends)
    _exactly(got, ends)


def test_cut_connections_lose_nothing(rig: Rig, opened: Opens, unique_name: Names) -> None:
    """With connections reset again and again in mid-stream, every record arrives."""
    topic = rig.broker.create_topic(unique_name("cut"))
    sink = _sink(rig, topic)
    source = opened([topic], settings=_settings(rig, topic))
    got: list[RawRecord] = []
    for part in range(5):
        patiently(lambda part=part: sink.write([record(number) for number in range(part * 100, part * 100 + 100)]))  # type: ignore[misc]
        assert rig.proxy.cut() > 0
        _read_on(source, got, part * 100 + 1)
    sink.close()
    ends = rig.broker.end_offsets(topic)[0]
    _read_on(source, got, ends)
    _exactly(got, ends)
    assert {dict(item.headers)["soc-pos"] for item in rig.broker.read_all(topic)} == {b"c1/edge/%d/0" % number for number in range(500)}


def test_stalled_answers_lose_nothing(rig: Rig, unique_name: Names) -> None:
    """Answers held back while the broker applies the requests delay the call, and nothing is missing afterwards."""
    import threading

    topic = rig.broker.create_topic(unique_name("stall"))
    sink = _sink(rig, topic, acknowledge_s=3 * WITHIN_S)
    patiently(lambda: sink.write([record(0)]))
    rig.proxy.mode = "stall_down"
    writer = threading.Thread(target=sink.write, args=([record(number) for number in range(1, 100)],))
    writer.start()
    try:
        wait_until(lambda: rig.broker.end_offsets(topic)[0] == 100, what="the broker has applied the requests")
        assert writer.is_alive()
    finally:
        rig.proxy.mode = "pass"
        writer.join(3 * WITHIN_S)
    assert not writer.is_alive()
    sink.close()
    assert {dict(item.headers)["soc-pos"] for item in rig.broker.read_all(topic)} == {b"c1/edge/%d/0" % number for number in range(100)}


def test_a_broker_that_stays_away_is_told(rig: Rig, unique_name: Names) -> None:
    """What could not be acknowledged in time is an error to be retried; the next call writes it."""
    topic = rig.broker.create_topic(unique_name("away"))
    sink = _sink(rig, topic, acknowledge_s=2.0)
    patiently(lambda: sink.write([record(0)]))
    rig.proxy.mode = "refuse"
    rig.proxy.cut()
    try:
        with pytest.raises(SourceUnavailable):
            sink.write([record(1)])
    finally:
        rig.proxy.mode = "pass"
    patiently(lambda: sink.write([record(1)]))
    sink.close()
    assert {dict(item.headers)["soc-pos"] for item in rig.broker.read_all(topic)} == {b"c1/edge/0/0", b"c1/edge/1/0"}


def test_a_fatal_producer_is_replaced(rig: Rig, unique_name: Names, counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer that fails for good is closed, and a new one sends what is not acknowledged under the same positions."""
    from kafka.errors import IncompatibleBrokerVersion

    topic = rig.broker.create_topic(unique_name("fatal"))
    sink = _sink(rig, topic, metrics=counts)
    patiently(lambda: sink.write([record(0)]))
    manager = sink._producer._transaction_manager
    manager.transition_to_fatal_error(IncompatibleBrokerVersion("as after a killed broker"))
    patiently(lambda: sink.write([record(number) for number in range(1, 20)]))
    sink.close()
    assert counts.counted["soc_kafka_producers_replaced_total"] >= 1
    assert [dict(item.headers)["soc-pos"] for item in rig.broker.read_all(topic)] == [b"c1/edge/%d/0" % number for number in range(20)]
