"""Indices that were deleted: another prefix and another group read the topics from their beginning, into the same events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.e2e import traffic
from tests.e2e.distributed import fill, forget, ingest, records_of, settings_of
from tests.e2e.state import assert_same, comparable
from tests.servers.kafka_server import Broker


def test_another_prefix_and_group_read_everything_again(tmp_path: Path, kafka_broker: Broker, elastic_url: str, unique_name: Callable[[str], str]) -> None:
    """The group had committed all of it, and the first store is gone: same ids, same alerts, a balanced ledger."""
    name, again = unique_name("anew"), unique_name("anew")
    topics = {source: kafka_broker.create_topic(f"{name}.{source}") for source in ("firewall", "mail")}
    lines = [record for file in traffic.write(tmp_path / "in", lines=500) for record in records_of(file)]
    fill(kafka_broker, topics, lines)
    first, second = (settings_of(tmp_path, elastic_url, kafka_broker.bootstrap, prefix, topics) for prefix in (name, again))
    before = ingest(first, len(lines))
    assert before["alerts"]
    forget(first)
    after = ingest(second, len(lines))
    assert_same(comparable(after), comparable(before))
    assert after["positions"] == before["positions"]
    assert after["ledger"] == before["ledger"]
    forget(second)
