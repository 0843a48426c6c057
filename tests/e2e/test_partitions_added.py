"""Partitions added to a topic while two workers read it: nothing is lost, and the alerts are those of an undisturbed run."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from soc.application.app import App
from soc.application.correlate_topic import SOURCE, Place
from soc.model.record import RawRecord
from tests.e2e import test_correlate_distributed as correlation
from tests.e2e.distributed import Workers, fill, forget, opened, wait_until
from tests.e2e.state import assert_balanced, assert_same
from tests.servers.kafka_server import Broker

Name = Callable[[str], str]
pytestmark = pytest.mark.xdist_group("partitions-added")
BEFORE, AFTER = 5, 9
supply = correlation.supply
"""Intrusions at three gateways, and the alerts of one embedded run over them."""


def _narrow(record: RawRecord) -> int:
    return zlib.crc32(record.raw[-120:]) % (BEFORE - 1)


def _wide(record: RawRecord) -> int:
    return zlib.crc32(record.raw[-120:]) % AFTER


def _marked(app: App) -> set[str]:
    """The partitions of which all correlators have heard."""
    heard: list[set[str]] = []
    for partition in app.wiring.signal_ends():
        kept = app.store.state(partition).get("place")
        heard.append(set(msgspec.msgpack.decode(kept, type=Place).marks) if kept else set())
    return set.intersection(*heard) if heard else set()


def _rows(app: App) -> dict[str, Any]:
    return {item.partition.rpartition("/")[2]: item for item in app.store.ledger() if item.source != SOURCE}


def test_partitions_added_under_two_workers_change_nothing(
    tmp_path: Path, supply: correlation.Supply, kafka_broker: Broker, elastic_url: str, unique_name: Name
) -> None:
    """Two that ingest and two that correlate; lines go to all partitions, old and new, from then on: each is stored once, and judged in its time.

    The brake leaves records unread in the old partitions meanwhile: time in them runs many times faster than here, where new partitions are noticed
    within seconds and read within half a minute.
    """
    stage = correlation.Stage(tmp_path, elastic_url, kafka_broker, unique_name("added"), supply)
    records = correlation._shuffled(supply.records)
    fill(kafka_broker, stage.topics, records[:600], partition=_narrow)
    with Workers(tmp_path / "workers") as workers, opened(stage.of("looker", "ingest")) as app:
        brake = workers.brake(40)
        both = [workers.start(stage.of(name, "ingest"), "--run", brake.word) for name in ("a", "b")]
        others = [workers.start(stage.of(name, "correlate"), "--run") for name in ("c", "d")]
        wait_until(lambda: all(worker.received() >= 30 for worker in both), what="both read")
        before = [worker.received() for worker in both]
        kafka_broker.add_partitions(stage.topics["firewall"], AFTER)
        fill(kafka_broker, stage.topics, records[600:], partition=_wide)
        wait_until(lambda: len(_marked(app)) == AFTER, what="correlators have heard of the new partitions", every_s=0.5)
        assert sum(row.received for row in _rows(app).values()) < 600, "the old partitions are not read to their end"
        brake.release()
        stage.await_judged(app, supply)
        assert all(worker.received() > some for worker, some in zip(both, before, strict=True)), "both went on"
        for worker in (*both, *others):
            worker.stop()
        assert_balanced(app.store)
        rows = _rows(app)
        assert set(rows) == {str(number) for number in range(AFTER)}
        assert sum(row.received for row in rows.values()) == len(supply.records)
        assert sum(row.stored for row in rows.values()) == len(supply.records), "no record came twice"
        assert all(row.first == 0 for row in rows.values()), "each partition was read from its beginning"
        assert_same(correlation._alerts(app), supply.expected)
    forget(stage.settings)
