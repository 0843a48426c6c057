"""A topic deleted and created again under the same name: its offsets start again, and nothing of it is taken for a replay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from soc.config import Settings
from soc.model.record import RawRecord
from tests.e2e import traffic
from tests.e2e.distributed import Workers, fill, forget, ingest, opened, received, records_of, settings_of, state_of, wait_until
from tests.e2e.state import assert_same, comparable
from tests.servers.kafka_server import Broker

Name = Callable[[str], str]


def _settings(folder: Path, url: str, broker: Broker, prefix: str, topic: str, *, trusted: bool) -> Settings:
    settings = settings_of(folder, url, broker.bootstrap, prefix, {"firewall": topic}, batch=50, instance_id=prefix)
    source = settings.sources["firewall"].model_copy(update={"trust_positions": trusted})
    return settings.model_copy(update={"sources": {"firewall": source}})


@pytest.mark.parametrize("running", [True, False], ids=["while a worker runs", "between two runs"])
def test_records_of_the_new_topic_are_new_events(running: bool, tmp_path: Path, kafka_broker: Broker, elastic_url: str, unique_name: Name) -> None:
    """The old events stay as they are, the new topic's records at the same offsets are all stored, replays are none."""
    prefix = unique_name("renewed")
    topic = kafka_broker.create_topic(f"{prefix}.firewall")
    records = [record for record in records_of(traffic.write(tmp_path / "in", lines=300)[0]) if record.raw]
    first, second = records[:150], records[150:]
    settings = _settings(tmp_path, elastic_url, kafka_broker, prefix, topic, trusted=False)
    fill(kafka_broker, {"firewall": topic}, first)
    with Workers(tmp_path / "workers") as workers, opened(settings) as app:
        worker = workers.start(settings, "--run" if running else "--once")
        wait_until(lambda: received(app.store) >= len(first), what="the old topic is stored")
        if not running:
            assert worker.wait() == 0
        before = state_of(settings)
        kafka_broker.delete_topic(topic)
        kafka_broker.create_topic(topic)
        fill(kafka_broker, {"firewall": topic}, second)
        if not running:
            worker = workers.start(settings, "--run")
        wait_until(lambda: received(app.store) >= len(records), what="the new topic is stored")
        worker.stop()
    after = state_of(settings)
    assert after["events"].items() >= before["events"].items()
    assert after["alerts"].items() >= before["alerts"].items()
    assert after["positions"].items() >= before["positions"].items()
    rows = sorted(after["ledger"].values(), key=lambda row: row[0])
    assert [row[0] for row in rows] == sorted([len(first), len(second)])
    assert all("replay" not in row[3] for row in rows)
    assert after["count"] + sum(row[2] + sum(row[3].values()) for row in rows) == len(records)
    forget(settings)


def test_a_new_topic_with_the_same_trusted_records_adds_nothing(tmp_path: Path, kafka_broker: Broker, elastic_url: str, unique_name: Name) -> None:
    """A collector that sends its spool again into a topic created anew: the positions say that these are the same records."""
    prefix = unique_name("renewed")
    topic = kafka_broker.create_topic(f"{prefix}.firewall")
    records: list[RawRecord] = [record for record in records_of(traffic.write(tmp_path / "in", lines=300)[0]) if record.raw]
    more = [msgspec.structs.replace(record, origin_seq=record.origin_seq + 10_000) for record in records[:40]]
    settings = _settings(tmp_path, elastic_url, kafka_broker, prefix, topic, trusted=True)
    fill(kafka_broker, {"firewall": topic}, records)
    before = ingest(settings, len(records))
    kafka_broker.delete_topic(topic)
    kafka_broker.create_topic(topic)
    fill(kafka_broker, {"firewall": topic}, [*records, *more])
    after = ingest(settings, len(records) + len(more))
    replayed = sum(row[3].get("replay", 0) for row in after["ledger"].values())
    assert replayed == len(records)
    assert after["count"] == before["count"] + len(more)
    old = comparable(after)
    assert_same({"events": {key: doc for key, doc in old["events"].items() if key in before["events"]}}, {"events": comparable(before)["events"]})
    forget(settings)
