"""kill -9 at every border of poll → process → store → commit on Kafka and Elasticsearch, then a restart: as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from soc.config import Settings
from tests.e2e import traffic
from tests.e2e.distributed import Workers, fill, forget, ingest, records_of, settings_of, state_of
from tests.e2e.state import assert_same
from tests.servers.kafka_server import Broker

Name = Callable[[str], str]
POINTS = (
    "worker.polled",
    "worker.processed",
    "store.begin",
    "store.events.written",
    "store.alerts.written",
    "store.control.written",
    "worker.committed",
    "worker.told",
)
pytestmark = pytest.mark.xdist_group("crash-distributed")


class Filled(NamedTuple):
    """Topics with records, and what an undisturbed run makes of them."""

    topics: dict[str, str]
    state: dict[str, Any]


def _settings(folder: Path, url: str, broker: Broker, prefix: str, topics: dict[str, str]) -> Settings:
    return settings_of(folder, url, broker.bootstrap, prefix, topics, batch=100, instance_id=f"{prefix}-1")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, kafka_broker: Broker, elastic_url: str) -> Iterator[Filled]:
    """One topic per source, filled once."""
    folder = tmp_path_factory.mktemp("undisturbed")
    prefix = f"crash_{folder.parent.name.replace('-', '_')}_{folder.name}".lower().replace("-", "_")
    files = traffic.write(folder / "in", lines=400)
    topics = {file.stem: kafka_broker.create_topic(f"{prefix}.{file.stem}") for file in files}
    sent = 0
    for file in files:
        records = records_of(file)
        fill(kafka_broker, topics, records)
        sent += len(records)
    settings = _settings(folder, elastic_url, kafka_broker, prefix, topics)
    state = ingest(settings, sent)
    assert sum(row[0] for row in state["ledger"].values()) == sent
    assert state["alerts"]
    assert state["threats"]
    assert state["letters"] == {}
    yield Filled(topics, state)
    forget(settings)


@pytest.mark.parametrize("point", POINTS)
def test_kill_9_loses_and_doubles_nothing(point: str, tmp_path: Path, filled: Filled, kafka_broker: Broker, elastic_url: str, unique_name: Name) -> None:
    """A worker killed at a border of its second batch, and started again under its own name, ends with the very same store."""
    settings = _settings(tmp_path, elastic_url, kafka_broker, unique_name("crash"), filled.topics)
    with Workers(tmp_path / "workers") as workers:
        assert workers.once(settings, crash=f"{point}:2") == -9, f"{point} was never passed twice"
        assert workers.once(settings) == 0
    assert_same(state_of(settings), filled.state)
    forget(settings)


def test_killed_at_every_step_in_turn(tmp_path: Path, filled: Filled, kafka_broker: Broker, elastic_url: str, unique_name: Name) -> None:
    """A worker that dies at one step after the other still comes to the same end."""
    settings = _settings(tmp_path, elastic_url, kafka_broker, unique_name("crash"), filled.topics)
    with Workers(tmp_path / "workers") as workers:
        for point in POINTS:
            assert workers.once(settings, crash=f"{point}:1") == -9
        assert workers.once(settings) == 0
    assert_same(state_of(settings), filled.state)
    forget(settings)
