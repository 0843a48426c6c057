"""Two workers on two partitions: joining, killed, stopped, and still the store of one worker that nobody disturbed.

All records wait in the topics from the first; a brake lets workers read them slowly until what a test is about has happened.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from soc.application.app import App
from soc.config import Settings
from soc.model.record import RawRecord
from tests.e2e import traffic
from tests.e2e.distributed import Workers, fill, forget, ingest, opened, received, records_of, settings_of, state_of, wait_until
from tests.e2e.state import assert_same, comparable
from tests.servers.kafka_server import Broker

Name = Callable[[str], str]
pytestmark = pytest.mark.xdist_group("rebalance")
COUNTED = frozenset({"soc.counted"})
"""Which of two copies of a line counts depends on who came first; that one counts does not."""


class Supply(NamedTuple):
    """Records by source, as collectors received them."""

    firewall: list[RawRecord]
    mail: list[RawRecord]

    @property
    def total(self) -> int:
        """How many records there are."""
        return len(self.firewall) + len(self.mail)

    def in_order(self) -> list[RawRecord]:
        """All of them as time went by."""
        return sorted([*self.firewall, *self.mail], key=lambda record: (record.received_us, record.source, record.origin))


@pytest.fixture(scope="module")
def supply(tmp_path_factory: pytest.TempPathFactory) -> Supply:
    """Firewall lines of six gateways, and mail lines of two hosts, whose messages run side by side."""
    folder = tmp_path_factory.mktemp("supply")
    firewall, mail = traffic.write(folder, lines=500)
    second = folder / "second"
    second.mkdir()
    _, other = traffic.write(second, lines=500, seed=11)
    other.write_bytes(other.read_bytes().replace(b" mx1 ", b" mx2 "))
    return Supply(records_of(firewall, host=_gateway), _merged(records_of(mail, host=_mail_host), records_of(other, host=_mail_host)))


def _merged(first: list[RawRecord], second: list[RawRecord]) -> list[RawRecord]:
    """Two hosts at one collector: each has its own stream of it."""
    renamed = [msgspec.structs.replace(record, partition="collector:mail2/mail", origin="collector:mail2/mail") for record in second]
    return sorted([*first, *renamed], key=lambda record: (record.seq, record.origin))


def _gateway(line: bytes) -> str:
    name = line.partition(b'devname="')[2].partition(b'"')[0]
    return name.decode("utf-8", "replace")


def _mail_host(line: bytes) -> str:
    return "mx2" if b" mx2 " in line else "mx1"


def _partition(record: RawRecord) -> int:
    if record.host.startswith("mx"):
        return int(record.host == "mx2")
    return zlib.crc32(record.host.encode()) % 2


def _topics(broker: Broker, prefix: str) -> dict[str, str]:
    return {name: broker.create_topic(f"{prefix}.{name}", 2) for name in ("firewall", "mail")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, kafka_broker: Broker, elastic_url: str, supply: Supply) -> dict[str, Any]:
    """What one worker makes of all records."""
    folder = tmp_path_factory.mktemp("undisturbed")
    prefix = f"one_{folder.parent.name}_{folder.name}".replace("-", "_").lower()
    topics = _topics(kafka_broker, prefix)
    fill(kafka_broker, topics, supply.in_order(), partition=_partition)
    assert all(end for topic in topics.values() for end in kafka_broker.end_offsets(topic, 2)), "a partition is empty"
    settings = settings_of(folder, elastic_url, kafka_broker.bootstrap, prefix, topics, batch=100)
    state = ingest(settings, supply.total)
    forget(settings)
    assert state["alerts"]
    derived = [doc for doc in state["events"].values() if doc.get("soc.derived")]
    assert {doc["soc.partition"][-1] for doc in derived} == {"0", "1"}, "messages of both mail hosts"
    assert any(doc.get("soc.counted") is False for doc in state["events"].values()), "lines that were sent twice"
    return state


def test_joins_kills_and_stops_change_nothing(
    tmp_path: Path, undisturbed: dict[str, Any], supply: Supply, kafka_broker: Broker, elastic_url: str, unique_name: Name
) -> None:
    """A second worker joins while the first reads, the first is killed, a third joins, the second stops: the same store, balanced."""
    prefix = unique_name("workers")
    topics = _topics(kafka_broker, prefix)
    fill(kafka_broker, topics, supply.in_order(), partition=_partition)

    def of(name: str) -> Settings:
        return settings_of(tmp_path, elastic_url, kafka_broker.bootstrap, prefix, topics, batch=50, instance_id=f"{prefix}-{name}")

    with Workers(tmp_path / "workers") as workers, opened(of("looker")) as app:
        brake = workers.brake(120)
        first = workers.start(of("a"), "--run", brake.word)
        first.await_received(100)
        second = workers.start(of("b"), "--run", brake.word)
        second.await_received(30)
        first.kill()
        third = workers.start(of("c"), "--run", brake.word)
        third.await_received(30)
        second.stop()
        assert received(app.store) < supply.total - 100, "records are left for the last worker"
        brake.release()
        wait_until(lambda: received(app.store) >= supply.total, what="everything is stored")
        third.stop()
    assert_same(comparable(state_of(of("looker")), beside=COUNTED), comparable(undisturbed, beside=COUNTED))
    forget(of("looker"))


def _work_at_once(workers: Workers, of: Callable[[str], Settings], app: App, total: int) -> None:
    """Let two workers share the partitions out, both while records are left, until so many are stored."""
    brake = workers.brake(40)
    both = [workers.start(of(name), "--run", brake.word) for name in ("a", "b")]
    for worker in both:
        worker.await_received(30)
    brake.release()
    wait_until(lambda: received(app.store) >= total, what="everything is stored")
    for worker in both:
        worker.stop()


def test_two_workers_at_once(tmp_path: Path, undisturbed: dict[str, Any], supply: Supply, kafka_broker: Broker, elastic_url: str, unique_name: Name) -> None:
    """Two workers that share the partitions both work, and end with the store of one."""
    prefix = unique_name("workers")
    topics = _topics(kafka_broker, prefix)
    fill(kafka_broker, topics, supply.in_order(), partition=_partition)

    def of(name: str) -> Settings:
        return settings_of(tmp_path, elastic_url, kafka_broker.bootstrap, prefix, topics, batch=20, instance_id=f"{prefix}-{name}")

    with Workers(tmp_path / "workers") as workers, opened(of("looker")) as app:
        _work_at_once(workers, of, app, supply.total)
    assert_same(comparable(state_of(of("looker")), beside=COUNTED), comparable(undisturbed, beside=COUNTED))
    forget(of("looker"))


def test_a_resent_line_counts_once_whichever_worker_sees_it_first(
    tmp_path: Path, undisturbed: dict[str, Any], supply: Supply, kafka_broker: Broker, elastic_url: str, unique_name: Name
) -> None:
    """Two workers side by side, and every gateway's lines again through the other partition: twice the lines, the same threats."""
    prefix = unique_name("workers")
    topics = _topics(kafka_broker, prefix)

    def of(name: str) -> Settings:
        return settings_of(tmp_path, elastic_url, kafka_broker.bootstrap, prefix, topics, batch=50, instance_id=f"{prefix}-{name}")

    again = [msgspec.structs.replace(record, origin="collector:other/firewall", host=f"again {record.host}") for record in supply.firewall]
    doubled = sorted([*supply.in_order(), *again], key=lambda record: record.received_us)
    fill(kafka_broker, topics, doubled, partition=_partition_of_copies)
    with Workers(tmp_path / "workers") as workers, opened(of("looker")) as app:
        _work_at_once(workers, of, app, len(doubled))
    state = state_of(of("looker"))
    assert _threats(state) == _threats(undisturbed)
    assert len(_threats(state)) >= 3
    assert state["count"] > undisturbed["count"] + 400
    assert_same({"firsts": _of_first_collector(state)}, {"firsts": _of_first_collector(undisturbed)})
    forget(of("looker"))


def _partition_of_copies(record: RawRecord) -> int:
    host = record.host.removeprefix("again ")
    there = _partition(msgspec.structs.replace(record, host=host))
    return there if host == record.host else 1 - there


def _threats(state: dict[str, Any]) -> dict[tuple[str, str], int]:
    """The figures of what is a threat: ordinary lines are not counted by occurrence."""
    return {(level, category): count for (level, category), count in state["threats"].items() if level != "none"}


def _of_first_collector(state: dict[str, Any]) -> dict[str, Any]:
    events = comparable(state, beside=COUNTED)["events"]
    return {key: doc for key, doc in events.items() if doc.get("soc.origin") != "collector:other/firewall"}
