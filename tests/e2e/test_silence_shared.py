"""Silence of a source that several workers share: who has none of its partitions must not call it silent.

The test lets time pass, second by second, once what was said in one is known to all: a machine that stands still changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from soc.clock import from_iso
from soc.config import Settings
from soc.model.query import All
from soc.model.record import RawRecord
from soc.ports import AlertQuery, EventQuery, Store
from tests.e2e.distributed import Feed, Workers, fill, forget, opened, settings_of, wait_until
from tests.e2e.driver import NOW_US, ToldClock
from tests.e2e.state import assert_balanced
from tests.servers.kafka_server import Broker

Name = Callable[[str], str]
RHYTHM_S = 4.0
SECOND = 1_000_000


def _settings(folder: Path, url: str, broker: Broker, prefix: str, topic: str, name: str) -> Settings:
    # Nobody is killed here: a machine that stands still for a while must not cost a worker its partition. Who has none learns soon that it is so.
    patience: dict[str, Any] = {"session_timeout_s": 600, "silent_after_s": 2}
    settings = settings_of(folder, url, broker.bootstrap, prefix, {"fw": topic}, instance_id=f"{prefix}-{name}", **patience)
    return settings.model_copy(
        update={
            "pipeline": settings.pipeline.model_copy(update={"heartbeat_s": 0.5}),
            "sources": {"fw": settings.sources["fw"].model_copy(update={"rhythm_s": RHYTHM_S})},
        }
    )


def _record(number: int, received_us: int) -> RawRecord:
    return RawRecord("fw", "collector:c/fw", number, number + 1, b"nothing known", received_us, "collector:c/fw", number)


def _told(store: Store) -> list[str]:
    return [alert.rule.id for alert in store.alerts(AlertQuery(scope=None))[1]]


def _kept(store: Store) -> int:
    """When the source was heard last, as the workers tell each other (0 = nobody has said so yet)."""
    kept = store.state("source:fw").get("silence")
    return int(msgspec.msgpack.decode(kept)["last_us"]) if kept else 0


class Voice:
    """A source that speaks when the test wants it to."""

    def __init__(self, feed: Feed, store: Store, clock: ToldClock) -> None:
        self._feed, self._store, self._clock = feed, store, clock
        self._said = 0
        self.last_us = 0

    def say(self) -> None:
        """One record, received half a second ago at the earliest, and after the one before."""
        self.last_us = max(self.last_us + 1, self._clock.now_us() - SECOND // 2)
        self._feed.write([_record(self._said, self.last_us)])
        self._said += 1

    def speak_until_heard(self) -> None:
        """Return when everybody can know that it spoke just now."""
        since = self._clock.now_us() - SECOND // 2

        def is_heard() -> bool:
            self.say()
            return _kept(self._store) >= since

        wait_until(is_heard, what="the source is heard")

    def fall_silent(self) -> None:
        """Return when everybody can know its last record."""

        def is_known() -> bool:
            if _kept(self._store) == self.last_us:
                return True
            self.say()
            return False

        wait_until(is_known, what="the last record is heard", every_s=2.0)


def test_two_workers_agree_on_silence(tmp_path: Path, kafka_broker: Broker, elastic_url: str, unique_name: Name) -> None:
    """One partition, two workers: while one hears the source nobody is told; when it stops there is one alert and one gap, with both ends."""
    prefix = unique_name("silence")
    topic = kafka_broker.create_topic(f"{prefix}.fw")
    first, second = (_settings(tmp_path, elastic_url, kafka_broker, prefix, topic, name) for name in ("a", "b"))
    clock = ToldClock(tmp_path / "clock")
    clock.tell(NOW_US)
    with Workers(tmp_path / "workers") as workers, opened(first) as app, Feed(kafka_broker, {"fw": topic}) as feed:
        both = [workers.start(settings, "--run", clock.word) for settings in (first, second)]
        for worker in both:
            worker.addresses()
        voice = Voice(feed, app.store, clock)
        for second_ in range(int(2.5 * RHYTHM_S)):
            clock.tell(NOW_US + second_ * SECOND)
            voice.speak_until_heard()
        assert _told(app.store) == []
        assert [worker.received() > 0 for worker in both].count(True) == 1, "the other one has no partition"
        voice.fall_silent()
        clock.tell(clock.now_us() + round(1.5 * RHYTHM_S * SECOND))
        wait_until(lambda: bool(_told(app.store)), what="silence is told")
        voice.say()
        wait_until(lambda: any(gap.until_us for gap in app.store.gaps()), what="the gap has an end")
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
    waiting = [_record(number, NOW_US - 3_600 * SECOND + number) for number in range(600)]
    fill(kafka_broker, {"fw": topic}, waiting)
    settings = _settings(tmp_path, elastic_url, kafka_broker, prefix, topic, "a")
    settings = settings.model_copy(update={"pipeline": settings.pipeline.model_copy(update={"batch_size": 20, "heartbeat_s": 0.2})})
    clock = ToldClock(tmp_path / "clock")
    clock.tell(NOW_US)
    with Workers(tmp_path / "workers") as workers, opened(settings) as app:
        brake = workers.brake(300)
        worker = workers.start(settings, "--run", clock.word, brake.word)
        worker.await_received(300)
        clock.tell(NOW_US + 100 * SECOND)
        worker.await_received(310)
        assert _told(app.store) == []
        brake.release()
        worker.await_received(len(waiting))

        def is_told_later() -> bool:
            clock.tell(clock.now_us() + 2 * round(RHYTHM_S) * SECOND)
            return bool(_told(app.store))

        wait_until(is_told_later, what="silence is told")
        worker.stop()
        assert_balanced(app.store)
        [gap] = app.store.gaps()
        assert (gap.from_us, gap.until_us) == (NOW_US, 0), "since when it is watched"
    forget(settings)


def _docs(store: Store) -> list[dict[str, str]]:
    return list(store.stream(EventQuery(All(), scope=None)))
