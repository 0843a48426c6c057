"""Silence of a source that several workers share: who has none of its partitions must not call it silent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from soc.clock import SystemClock, from_iso
from soc.config import Settings
from soc.model.query import All
from soc.model.record import RawRecord
from soc.ports import AlertQuery, EventQuery, Store
from tests.e2e.distributed import Feed, Workers, fill, forget, opened, settings_of
from tests.e2e.state import assert_balanced
from tests.servers.kafka_server import Broker
from tests.servers.process import wait_until

Name = Callable[[str], str]
RHYTHM_S = 4.0


def _settings(folder: Path, url: str, broker: Broker, prefix: str, topic: str, name: str) -> Settings:
    settings = settings_of(folder, url, broker.bootstrap, prefix, {"fw": topic}, instance_id=f"{prefix}-{name}")
    return settings.model_copy(
        update={
            "pipeline": settings.pipeline.model_copy(update={"heartbeat_s": 0.5}),
            "sources": {"fw": settings.sources["fw"].model_copy(update={"rhythm_s": RHYTHM_S})},
        }
    )


def _records() -> Iterator[RawRecord]:
    number = 0
    while True:
        now = SystemClock().now_us()
        yield RawRecord("fw", "collector:c/fw", number, number + 1, b"nothing known", now, "collector:c/fw", number)
        number += 1


def _told(store: Store) -> list[str]:
    return [alert.rule.id for alert in store.alerts(AlertQuery(scope=None))[1]]


def test_two_workers_agree_on_silence(tmp_path: Path, kafka_broker: Broker, elastic_url: str, unique_name: Name) -> None:
    """One partition, two workers: while one hears the source nobody is told; when it stops there is one alert and one gap, with both ends."""
    prefix = unique_name("silence")
    topic = kafka_broker.create_topic(f"{prefix}.fw")
    first, second = (_settings(tmp_path, elastic_url, kafka_broker, prefix, topic, name) for name in ("a", "b"))
    records = _records()
    with Workers(tmp_path / "workers") as workers, opened(first) as app, Feed(kafka_broker, {"fw": topic}) as feed:
        both = [workers.start(settings, "--now") for settings in (first, second)]
        feed.write_until(records, lambda: any(worker.received() >= 5 for worker in both), at_once=1)
        end = time.monotonic() + 2.5 * RHYTHM_S
        feed.write_until(records, lambda: time.monotonic() > end, at_once=1)
        assert _told(app.store) == []
        assert [worker.received() > 0 for worker in both].count(True) == 1, "the other one has no partition"
        wait_until(lambda: bool(_told(app.store)), within_s=30, what="silence is told", every_s=0.2)
        feed.write([next(records)])
        wait_until(lambda: any(gap.until_us for gap in app.store.gaps()), within_s=30, what="the gap has an end", every_s=0.2)
        for worker in both:
            worker.stop()
        assert _told(app.store) == ["soc-source-silent"]
        assert_balanced(app.store)
        [gap] = app.store.gaps()
        received = sorted(from_iso(doc["soc.received_at"]) for doc in _docs(app.store))
        assert [gap.from_us, gap.until_us] == received[-2:]
    forget(first)


def test_a_backlog_is_read_before_a_source_is_called_silent(tmp_path: Path, kafka_broker: Broker, elastic_url: str, unique_name: Name) -> None:
    """Records received an hour ago wait in the topic: the alert comes when they are read and nothing follows, not before."""
    prefix = unique_name("silence")
    topic = kafka_broker.create_topic(f"{prefix}.fw")
    waiting = [msgspec.structs.replace(record, received_us=record.received_us - 3_600_000_000) for record in islice(_records(), 3000)]
    fill(kafka_broker, {"fw": topic}, waiting)
    settings = _settings(tmp_path, elastic_url, kafka_broker, prefix, topic, "a")
    settings = settings.model_copy(
        update={
            "pipeline": settings.pipeline.model_copy(update={"batch_size": 20, "heartbeat_s": 0.2}),
            "sources": {"fw": settings.sources["fw"].model_copy(update={"rhythm_s": 2.0})},
        }
    )
    with Workers(tmp_path / "workers") as workers, opened(settings) as app:
        worker = workers.start(settings, "--now")
        wait_until(lambda: bool(_told(app.store)), within_s=60, what="silence is told", every_s=0.1)
        assert worker.received() == len(waiting)
        worker.stop()
        assert_balanced(app.store)
        [gap] = app.store.gaps()
        assert gap.until_us == 0
    forget(settings)


def _docs(store: Store) -> list[dict[str, str]]:
    return list(store.stream(EventQuery(All(), scope=None)))
