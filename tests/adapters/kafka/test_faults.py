from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from soc.adapters.kafka.sink import KafkaSink
from soc.clock import SystemClock
from soc.config import KafkaSettings
from soc.errors import SourceUnavailable
from soc.model.record import RawRecord
from tests.adapters.kafka.conftest import Counts, Opens, record
from tests.servers.fault_proxy import FaultProxy
from tests.servers.fixtures import OwnKafka
from tests.servers.kafka_server import KafkaServer
from tests.servers.process import free_port, wait_until

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
    return KafkaSettings(bootstrap_servers=[rig.broker.proxied], group=name, session_timeout_s=6, silent_after_s=10)


def _all_of(source: object, poll: Callable[[], list[RawRecord]], count: int) -> list[RawRecord]:
    """Records read as the pipeline reads: through times in which the source is unavailable."""
    got: list[RawRecord] = []

    def _enough() -> bool:
        try:
            got.extend(poll())
        except SourceUnavailable:
            return False
        return len({(item.partition, item.seq) for item in got}) >= count

    wait_until(_enough, within_s=90, what=f"{count} records")
    return got


def _exactly(got: list[RawRecord], count: int) -> None:
    """All are there, and in order where none came twice."""
    seqs = [item.seq for item in got]
    assert sorted(set(seqs)) == list(range(count))


def test_a_broker_restart_in_mid_stream_loses_nothing(rig: Rig, opened: Opens, unique_name: Names, counts: Counts) -> None:
    """Killed and started again between two writes, the broker has every record, and the reader gets them all."""
    topic = rig.broker.create_topic(unique_name("restart"))
    settings = _settings(rig, topic)
    sink = KafkaSink(settings, topic, clock=SystemClock(), metrics=counts)
    source = opened([topic], settings=settings)
    sink.write([record(number) for number in range(100)])
    got = _all_of(source, lambda: source.poll(500, 0.5), 50)
    rig.broker.kill()
    rig.broker.start()
    sink.write([record(number) for number in range(100, 200)])
    sink.close()
    positions = {dict(item.headers)["soc-pos"] for item in rig.broker.read_all(topic)}
    assert positions == {b"c1/edge/%d/0" % number for number in range(200)}
    ends = rig.broker.end_offsets(topic)[0]
    got += _all_of(source, lambda: source.poll(500, 0.5), ends - len(got))
    _exactly(got, ends)


def test_cut_connections_lose_nothing(rig: Rig, opened: Opens, unique_name: Names) -> None:
    """With connections reset again and again in mid-stream, every record arrives."""
    topic = rig.broker.create_topic(unique_name("cut"))
    settings = _settings(rig, topic)
    sink = KafkaSink(settings, topic, clock=SystemClock())
    source = opened([topic], settings=settings)
    got: list[RawRecord] = []
    for part in range(5):
        sink.write([record(number) for number in range(part * 100, part * 100 + 100)])
        assert rig.proxy.cut() > 0
        got += _all_of(source, lambda: source.poll(500, 0.5), 1)
    sink.close()
    ends = rig.broker.end_offsets(topic)[0]
    missing = ends - len({item.seq for item in got})
    got += _all_of(source, lambda: source.poll(500, 0.5), missing) if missing else []
    _exactly(got, ends)
    assert {dict(item.headers)["soc-pos"] for item in rig.broker.read_all(topic)} == {b"c1/edge/%d/0" % number for number in range(500)}


def test_stalled_answers_lose_nothing(rig: Rig, unique_name: Names) -> None:
    """Answers held back while the broker applies the requests delay the call, and nothing is missing afterwards."""
    import threading

    topic = rig.broker.create_topic(unique_name("stall"))
    sink = KafkaSink(_settings(rig, topic), topic, clock=SystemClock())
    sink.write([record(0)])
    rig.proxy.mode = "stall_down"
    writer = threading.Thread(target=sink.write, args=([record(number) for number in range(1, 100)],))
    writer.start()
    try:
        wait_until(lambda: rig.broker.end_offsets(topic)[0] == 100, what="the broker has applied the requests")
        assert writer.is_alive()
    finally:
        rig.proxy.mode = "pass"
        writer.join(60)
    assert not writer.is_alive()
    sink.close()
    assert {dict(item.headers)["soc-pos"] for item in rig.broker.read_all(topic)} == {b"c1/edge/%d/0" % number for number in range(100)}


def test_a_broker_that_stays_away_is_told(rig: Rig, unique_name: Names) -> None:
    """What could not be acknowledged in time is an error to be retried; the next call writes it."""
    topic = rig.broker.create_topic(unique_name("away"))
    sink = KafkaSink(_settings(rig, topic), topic, clock=SystemClock(), acknowledge_s=2.0)
    sink.write([record(0)])
    rig.proxy.mode = "refuse"
    rig.proxy.cut()
    try:
        with pytest.raises(SourceUnavailable):
            sink.write([record(1)])
    finally:
        rig.proxy.mode = "pass"
    sink.write([record(1)])
    sink.close()
    assert {dict(item.headers)["soc-pos"] for item in rig.broker.read_all(topic)} == {b"c1/edge/0/0", b"c1/edge/1/0"}


def test_a_fatal_producer_is_replaced(rig: Rig, unique_name: Names, counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer that fails for good is closed, and a new one sends what is not acknowledged under the same positions."""
    from kafka.errors import IncompatibleBrokerVersion

    topic = rig.broker.create_topic(unique_name("fatal"))
    sink = KafkaSink(_settings(rig, topic), topic, clock=SystemClock(), metrics=counts)
    sink.write([record(0)])
    manager = sink._producer._transaction_manager
    manager.transition_to_fatal_error(IncompatibleBrokerVersion("as after a killed broker"))
    sink.write([record(number) for number in range(1, 20)])
    sink.close()
    assert counts.counted["soc_kafka_producers_replaced_total"] == 1
    assert [dict(item.headers)["soc-pos"] for item in rig.broker.read_all(topic)] == [b"c1/edge/%d/0" % number for number in range(20)]
