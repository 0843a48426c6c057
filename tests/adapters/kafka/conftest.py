from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pytest

from soc.adapters.kafka.source import KafkaRecordSource
from soc.clock import SystemClock
from soc.config import KafkaSettings, KafkaSource
from soc.errors import SourceUnavailable
from soc.model.record import RawRecord
from soc.ports import RecordSource

WITHIN_S = 60.0
"""Generous: a busy machine and a rebalance together have taken half of it."""


class Counts:
    """Metrics that a test can read."""

    def __init__(self) -> None:
        self.counted: dict[str, float] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self.counted[name] = self.counted.get(name, 0) + amount

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self.counted[name] = value


def record(seq: int, raw: bytes = b"", *, origin: str = "collector:c1/edge", host: str = "192.0.2.1", **more: Any) -> RawRecord:
    """A record as a spool hands it over."""
    return RawRecord("edge", "spool:edge", seq, seq + 1, raw or b"line %d" % seq, 1_795_222_800_000_000 + seq, origin, seq, host=host, **more)


def read(source: RecordSource, count: int, *, within_s: float = WITHIN_S, until: Callable[[list[RawRecord]], bool] | None = None) -> list[RawRecord]:
    """Records polled until there are `count` (or `until` holds); fails when they do not come within the time."""
    got: list[RawRecord] = []
    deadline = time.monotonic() + within_s
    while not (until(got) if until else len(got) >= count):
        assert time.monotonic() < deadline, f"{len(got)} of {count} records within {within_s:g} s"
        got += source.poll(500, 0.5)
    return got


def commit(source: RecordSource, records: list[RawRecord]) -> None:
    """Commit everything up to these records."""
    source.commit({record.partition: record.next for record in records})


class Member:
    """Polls a source in a thread of its own, as a worker does; a rebalance needs all members to poll."""

    def __init__(self, source: KafkaRecordSource) -> None:
        self.source = source
        self.got: list[RawRecord] = []
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._halt.is_set():
            with suppress(SourceUnavailable):
                self.got += self.source.poll(500, 0.5)

    def partitions(self) -> set[str]:
        """The partitions that it reads at the moment."""
        return set(self.source._placed.values())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._halt.set()
        self._thread.join(60)


class Opens(Protocol):
    """Makes opened sources that are closed with the test."""

    def __call__(
        self, topics: list[str], *, positions: Mapping[str, int] | None = None, settings: KafkaSettings | None = None, trust: bool = False, **more: Any
    ) -> KafkaRecordSource: ...


@pytest.fixture
def counts() -> Counts:
    """Metrics of the test's sources and sinks."""
    return Counts()


@pytest.fixture
def opened(counts: Counts) -> Iterator[Opens]:
    """Opens sources; all are closed at the end."""
    made: list[KafkaRecordSource] = []

    def _open(
        topics: list[str], *, positions: Mapping[str, int] | None = None, settings: KafkaSettings | None = None, trust: bool = False, **more: Any
    ) -> KafkaRecordSource:
        assert settings is not None
        source = KafkaRecordSource(
            settings, {"gate": KafkaSource(type="kafka", topics=topics, trust_positions=trust)}, clock=SystemClock(), metrics=counts, **more
        )
        made.append(source)
        source.open(positions or {})
        return source

    yield _open
    for source in made:
        source.close()


@pytest.fixture
def kafka_settings(kafka_servers: str, unique_name: Callable[[str], str]) -> KafkaSettings:
    """Settings for the shared broker, with a group of the test's own."""
    return KafkaSettings(bootstrap_servers=[kafka_servers], group=unique_name("group"), session_timeout_s=6, silent_after_s=5)


def password_file(folder: Path, password: str) -> Path:
    """A file with a password that nobody else may read."""
    path = folder / f"password-{password}"
    path.write_text(password, encoding="utf-8")
    path.chmod(0o600)
    return path
