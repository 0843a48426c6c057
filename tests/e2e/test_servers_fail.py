"""Servers that fail in mid-stream: brokers and nodes killed and started again, connections cut and stalled in mid-bulk."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from soc.model.record import RawRecord
from tests.e2e import traffic
from tests.e2e.distributed import Feed, Workers, fill, forget, ingest, opened, received, records_of, run_until, settings_of, state_of, wait_until
from tests.e2e.state import assert_same, comparable
from tests.servers.fault_proxy import FaultProxy
from tests.servers.fixtures import OwnElastic, OwnKafka
from tests.servers.kafka_server import Broker

Name = Callable[[str], str]
REQUEST_S = 3.0
"""The time-out of a request where connections stall: far above what a busy node takes, as every request must get through in the end."""
TIMES = 6
"""How often connections are broken."""
pytestmark = pytest.mark.xdist_group("servers-fail")


class Undisturbed(NamedTuple):
    """Records, their sources, and what an undisturbed run makes of them."""

    records: list[RawRecord]
    sources: tuple[str, ...]
    state: dict[str, Any]

    @property
    def halves(self) -> tuple[list[RawRecord], list[RawRecord]]:
        """What there is before a server fails, and what comes while it is away: so it always fails in mid-stream."""
        half = len(self.records) // 2
        return self.records[:half], self.records[half:]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, kafka_broker: Broker, elastic_url: str) -> Undisturbed:
    """Firewall and mail lines in a topic each."""
    folder = tmp_path_factory.mktemp("undisturbed")
    prefix = f"fail_{folder.parent.name}_{folder.name}".replace("-", "_").lower()
    files = traffic.write(folder / "in")
    records = [record for file in files for record in records_of(file)]
    topics = {file.stem: kafka_broker.create_topic(f"{prefix}.{file.stem}") for file in files}
    fill(kafka_broker, topics, records)
    settings = settings_of(folder, elastic_url, kafka_broker.bootstrap, prefix, topics)
    state = ingest(settings, len(records))
    forget(settings)
    assert state["alerts"]
    return Undisturbed(records, tuple(topics), state)


def _topics(broker: Broker, prefix: str, undisturbed: Undisturbed) -> dict[str, str]:
    return {name: broker.create_topic(f"{prefix}.{name}") for name in undisturbed.sources}


def test_broker_killed_in_mid_stream(tmp_path: Path, undisturbed: Undisturbed, own_kafka: OwnKafka, elastic_url: str, unique_name: Name) -> None:
    """A broker that is killed while records are read, and comes back with more: the worker lives through it."""
    broker = own_kafka()
    prefix = unique_name("fail")
    topics = _topics(broker, prefix, undisturbed)
    before, after = undisturbed.halves
    fill(broker, topics, before)
    settings = settings_of(tmp_path, elastic_url, broker.bootstrap, prefix, topics, batch=25, instance_id=prefix)
    with Workers(tmp_path / "workers") as workers, opened(settings) as app:
        worker = workers.start(settings, "--run")
        worker.await_received(50)
        broker.restart()
        fill(broker, topics, after)
        wait_until(lambda: received(app.store) >= len(undisturbed.records), what="everything is stored")
        worker.stop()
    assert_same(comparable(state_of(settings)), comparable(undisturbed.state))
    forget(settings)


def test_node_killed_in_mid_stream(tmp_path: Path, undisturbed: Undisturbed, kafka_broker: Broker, own_elastic: OwnElastic, unique_name: Name) -> None:
    """An Elasticsearch node that is killed while batches are written, and comes back: the worker waits and goes on."""
    node = own_elastic()
    prefix = unique_name("fail")
    topics = _topics(kafka_broker, prefix, undisturbed)
    settings = settings_of(tmp_path, node.url, kafka_broker.bootstrap, prefix, topics, batch=10, instance_id=prefix)
    before, after = undisturbed.halves
    fill(kafka_broker, topics, before)
    with Workers(tmp_path / "workers") as workers:
        worker = workers.start(settings, "--run")
        worker.await_received(50)
        node.kill()
        fill(kafka_broker, topics, after)
        node.start()
        worker.await_received(len(undisturbed.records))
        worker.stop()
    assert_same(comparable(state_of(settings)), comparable(undisturbed.state))


@pytest.mark.parametrize("fault", ["cut", "stall_up", "stall_down", "refuse"])
def test_connections_to_the_store_broken_in_mid_bulk(
    fault: str, tmp_path: Path, undisturbed: Undisturbed, kafka_broker: Broker, elastic_url: str, unique_name: Name
) -> None:
    """Connections cut, stalled before a request or before its answer, and refused, again and again: nothing lost, nothing twice."""
    prefix = unique_name("fail")
    topics = _topics(kafka_broker, prefix, undisturbed)
    port = int(elastic_url.rpartition(":")[2])
    with FaultProxy(port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        settings = settings_of(tmp_path, url, kafka_broker.bootstrap, prefix, topics, batch=40, store={"request_timeout_s": REQUEST_S})
        looked = settings_of(tmp_path, elastic_url, kafka_broker.bootstrap, prefix, topics)
        with opened(settings, pipeline=True) as app, opened(looked) as direct, Feed(kafka_broker, topics) as feed:
            part = -(-len(undisturbed.records) // TIMES)

            def disturb() -> None:
                for number in range(TIMES):
                    before = proxy.bytes_up
                    feed.write(undisturbed.records[number * part : (number + 1) * part])
                    # In the middle of a large request: at different places each time.
                    wait_until(lambda least=before + 2_000 + 17_000 * number: proxy.bytes_up >= least, what="requests pass", every_s=0.0005)  # type: ignore[misc]
                    _break(proxy, fault)

            run_until(app, lambda: received(direct.store) >= len(undisturbed.records), meanwhile=disturb)
        found = state_of(looked)
    assert_same(comparable(found), comparable(undisturbed.state))
    forget(looked)


def _break(proxy: FaultProxy, fault: str) -> None:
    if fault == "cut":
        proxy.cut()
        return
    before = proxy.bytes_up
    proxy.mode = fault  # type: ignore[assignment]
    if fault == "refuse":
        proxy.cut()
    # Longer than the time-out of a request: the worker gives it up and sends it again.
    time.sleep(1.3 * REQUEST_S if fault.startswith("stall") else 1.0)
    assert proxy.bytes_up >= before
    proxy.cut()
    proxy.mode = "pass"
