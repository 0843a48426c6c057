from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import pytest

from soc.adapters.kafka.source import KafkaRecordSource
from soc.clock import SystemClock
from soc.config import KafkaSettings, KafkaSource
from soc.errors import SocError, SourceUnavailable
from soc.model.record import RawRecord
from soc.ports import RecordSource
from tests.servers.process import WITHIN_S, wait_until

Found = TypeVar("Found")


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


def patiently(work: Callable[[], Found]) -> Found:
    """What `work` gives, as those get it who ask again while the source is unavailable: a broker whose disk stalls is, and answers later."""
    got: list[Found] = []

    def _is_done() -> bool:
        with suppress(SourceUnavailable):
            got.append(work())
        return bool(got)

    wait_until(_is_done, what="an answer of the broker")
    return got[0]


def polled(source: RecordSource, most: int = 500, timeout_s: float = 0.5) -> list[RawRecord]:
    """What one poll gives; nothing while the source is unavailable, as a reader takes it."""
    try:
        return source.poll(most, timeout_s)
    except SourceUnavailable:
        return []


def read(source: RecordSource, count: int, *, until: Callable[[list[RawRecord]], bool] | None = None) -> list[RawRecord]:
    """Records polled until there are `count` (or `until` holds); fails when they do not come."""
    got: list[RawRecord] = []

    def _is_read() -> bool:
        if until(got) if until else len(got) >= count:
            return True
        got.extend(polled(source))
        return False

    wait_until(_is_read, what=f"{count} records", every_s=0.01)
    return got


def told(work: Callable[[], object], kind: type[SocError], text: str, *, again: bool = False) -> SocError:
    """The error of this kind that says `text`.

    That the source is unavailable for another reason (a broker too busy to answer in time) is waited out; what
    comes without an error is a failure, unless it is to be tried `again` until the error comes.
    """
    found: list[SocError] = []

    def _is_told() -> bool:
        try:
            work()
        except SocError as error:
            if isinstance(error, kind) and text in error.message:
                found.append(error)
            elif not isinstance(error, SourceUnavailable):
                raise
        else:
            assert again, f"nothing was told of: {text}"
        return bool(found)

    wait_until(_is_told, what=f"the error: {text}")
    return found[0]


def commit(source: RecordSource, records: list[RawRecord]) -> None:
    """Commit everything up to these records."""
    positions = {record.partition: record.next for record in records}
    patiently(lambda: source.commit(positions))


class Member:
    """Polls a source in a thread of its own, as a worker does; a rebalance needs all members to poll."""

    def __init__(self, source: KafkaRecordSource) -> None:
        self.source = source
        self.got: list[RawRecord] = []
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._halt.is_set():
            self.got += polled(self.source)

    def partitions(self) -> set[str]:
        """The partitions that it reads at the moment."""
        return set(self.source._placed.values())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._halt.set()
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive(), "the client is for one thread: the test must not go on with it"


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
        patiently(lambda: source.open(positions or {}))
        return source

    yield _open
    for source in made:
        source.close()


@pytest.fixture
def kafka_settings(kafka_servers: str, unique_name: Callable[[str], str]) -> KafkaSettings:
    """Settings for the shared broker, with a group of the test's own that puts up with a machine which stands still for half a minute."""
    return KafkaSettings(bootstrap_servers=[kafka_servers], group=unique_name("group"), session_timeout_s=60, silent_after_s=5, bootstrap_timeout_s=60)


def password_file(folder: Path, password: str) -> Path:
    """A file with a password that nobody else may read."""
    path = folder / f"password-{password}"
    path.write_text(password, encoding="utf-8")
    path.chmod(0o600)
    return path
