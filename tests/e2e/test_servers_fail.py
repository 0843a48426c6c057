"""Servers that fail in mid-stream: brokers and nodes killed and started again, connections cut and stalled in mid-bulk."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from soc.config import Settings
from soc.model.record import RawRecord
from tests.e2e import traffic
from tests.e2e.distributed import Workers, fill, forget, ingest, opened, received, records_of, run_until, settings_of, state_of
from tests.e2e.state import assert_same, comparable
from tests.servers.fault_proxy import FaultProxy
from tests.servers.fixtures import OwnElastic, OwnKafka
from tests.servers.kafka_server import Broker
from tests.servers.process import wait_until

Name = Callable[[str], str]
pytestmark = pytest.mark.xdist_group("servers-fail")


class Undisturbed(NamedTuple):
    """Records, the topics that hold them, and what an undisturbed run makes of them."""

    records: list[RawRecord]
    topics: dict[str, str]
    state: dict[str, Any]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, kafka_broker: Broker, elastic_url: str) -> Undisturbed:
    """Firewall and mail lines in a topic each."""
    folder = tmp_path_factory.mktemp("undisturbed")
    prefix = f"fail_{folder.parent.name}_{folder.name}".replace("-", "_").lower()
    files = traffic.write(folder / "in")
    records = [record for file in files for record in records_of(file)]
    topics = {file.stem: kafka_broker.create_topic(f"{prefix}.{file.stem}") for file in files}
    fill(kafka_broker, topics, records)
    state = ingest(settings_of(folder, elastic_url, kafka_broker.bootstrap, prefix, topics), len(records))
    assert state["alerts"]
    return Undisturbed(records, topics, state)


def test_broker_killed_in_mid_stream(tmp_path: Path, undisturbed: Undisturbed, own_kafka: OwnKafka, elastic_url: str, unique_name: Name) -> None:
    """A broker that is killed while records are read, and comes back with more: the worker lives through it."""
    broker = own_kafka()
    prefix = unique_name("fail")
    topics = {name: broker.create_topic(f"{prefix}.{name}") for name in undisturbed.topics}
    half = len(undisturbed.records) // 2
    fill(broker, topics, undisturbed.records[:half])
    settings = settings_of(tmp_path, elastic_url, broker.bootstrap, prefix, topics, batch=25, instance_id=prefix)
    with Workers(tmp_path / "workers") as workers, opened(settings) as app:
        worker = workers.start(settings, "--run")
        worker.await_received(50)
        broker.restart()
        fill(broker, topics, undisturbed.records[half:])
        wait_until(lambda: received(app.store) >= len(undisturbed.records), within_s=90, what="everything is stored", every_s=0.3)
        worker.stop()
    assert_same(comparable(state_of(settings)), comparable(undisturbed.state))
    forget(settings)


def test_node_killed_in_mid_stream(tmp_path: Path, undisturbed: Undisturbed, kafka_broker: Broker, own_elastic: OwnElastic, unique_name: Name) -> None:
    """An Elasticsearch node that is killed while batches are written, and comes back: the worker waits and goes on."""
    node = own_elastic()
    prefix = unique_name("fail")
    settings = settings_of(tmp_path, node.url, kafka_broker.bootstrap, prefix, undisturbed.topics, batch=10, instance_id=prefix)
    with Workers(tmp_path / "workers") as workers:
        worker = workers.start(settings, "--run")
        worker.await_received(50)
        node.kill()
        before = worker.received()
        assert before < len(undisturbed.records), "it was killed in mid-stream"
        node.start()
        worker.await_received(len(undisturbed.records), within_s=120)
        worker.stop()
    assert_same(state_of(settings), undisturbed.state)


@pytest.mark.parametrize("fault", ["cut", "stall_up", "stall_down", "refuse"])
def test_connections_to_the_store_broken_in_mid_bulk(
    fault: str, tmp_path: Path, undisturbed: Undisturbed, kafka_broker: Broker, elastic_url: str, unique_name: Name
) -> None:
    """Connections cut, stalled before a request or before its answer, and refused, again and again: nothing lost, nothing twice."""
    prefix = unique_name("fail")
    port = int(elastic_url.rpartition(":")[2])
    with FaultProxy(port) as proxy:
        settings = settings_of(
            tmp_path, f"http://127.0.0.1:{proxy.port}", kafka_broker.bootstrap, prefix, undisturbed.topics, batch=40, store={"request_timeout_s": 1.0}
        )
        with opened(settings, pipeline=True) as app:
            looked = _through(settings, elastic_url)
            with opened(looked) as direct:
                passes = count()

                def disturb() -> None:
                    for _ in range(6):
                        _await_traffic(proxy, next(passes))
                        _break(proxy, fault)

                run_until(app, lambda: received(direct.store) >= len(undisturbed.records), meanwhile=disturb)
        found = state_of(looked)
    assert_same(found, undisturbed.state)
    forget(looked)


def _through(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"store": settings.store.model_copy(update={"hosts": [url]})})


def _await_traffic(proxy: FaultProxy, number: int) -> None:
    """Return in the middle of a large request: at different places each time."""
    before = proxy.bytes_up
    wait_until(lambda: proxy.bytes_up >= before + 2_000 + 17_000 * number, within_s=30, what="requests pass", every_s=0.0005)


def _break(proxy: FaultProxy, fault: str) -> None:
    if fault == "cut":
        proxy.cut()
        return
    before = proxy.bytes_up
    proxy.mode = fault  # type: ignore[assignment]
    if fault == "refuse":
        proxy.cut()
    # Longer than the time-out of a request: the worker gives it up and sends it again.
    wait_until(_after(1.3), within_s=10, what="the time-out")
    assert proxy.bytes_up >= before
    proxy.cut()
    proxy.mode = "pass"


def _after(seconds: float) -> Callable[[], bool]:
    import time

    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end
