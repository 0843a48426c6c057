"""Kafka → Elasticsearch for end-to-end tests: settings, topics filled with records, workers in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from soc.adapters.elastic.store import erase
from soc.adapters.kafka.position import write_headers
from soc.application.app import Actor, App
from soc.application.run import run
from soc.bootstrap import open_app
from soc.config import Settings, StoreSettings
from soc.errors import Unreachable
from soc.ingest.worker import Totals
from soc.model.record import RawRecord
from soc.ports import Store
from tests.e2e.driver import NOW_US, Brake, RunningClock
from tests.e2e.state import assert_balanced, everything
from tests.servers.kafka_server import Broker, producer
from tests.servers.process import WITHIN_S, tail
from tests.servers.process import wait_until as wait_for

ROOT = Path(__file__).parents[2]


def settings_of(
    folder: Path, url: str, servers: str, prefix: str, topics: dict[str, str], *, batch: int = 200, store: dict[str, Any] | None = None, **kafka: Any
) -> Settings:
    """Ingest `topics` (by source) into the Elasticsearch at `url`, with `prefix` as consumer group and prefix of indices; patient with busy servers."""
    patience = {"request_timeout_s": 120, "stall_budget_s": WITHIN_S, "look_up_budget_s": WITHIN_S}
    return Settings.model_validate(
        {
            "store": {"kind": "elasticsearch", "hosts": [url], "prefix": prefix, **patience, **(store or {})},
            "kafka": {"bootstrap_servers": [servers], "group": prefix, "session_timeout_s": 6, "bootstrap_timeout_s": 120, **kafka},
            "data_dir": str(folder),
            "roles": ["ingest"],
            "pipeline": {"batch_size": batch, "batch_wait_s": 0.5},
            "sources": {name: {"type": "kafka", "topics": [topic], "trust_positions": True} for name, topic in topics.items()},
        }
    )


def records_of(path: Path, *, host: Callable[[bytes], str] = lambda _line: "") -> list[RawRecord]:
    """The lines of a file as a collector would have received them: one stream, `host` the sender of a line."""
    name = f"collector:{path.stem}/{path.stem}"
    lines = path.read_bytes().split(b"\n")[:-1]
    return [RawRecord(path.stem, name, seq, seq + 1, line, NOW_US + seq * 1000, name, seq, host=host(line)) for seq, line in enumerate(lines)]


def wait_until(check: Callable[[], bool], *, within_s: float = WITHIN_S, what: str = "the condition", every_s: float = 0.2) -> None:
    """`tests.servers.process.wait_until` for a question to servers; while one does not answer, as after a start or when it is busy, the answer is no."""

    def answered() -> bool:
        try:
            return check()
        except Unreachable:
            return False

    wait_for(answered, within_s=within_s, what=what, every_s=every_s)


class Feed:
    """Writes records to topics (by source) under their own positions; acknowledged on return."""

    def __init__(self, broker: Broker, topics: Mapping[str, str], partition: Callable[[RawRecord], int] = lambda _record: 0) -> None:
        self._topics = topics
        self._partition = partition
        self._producer = producer(broker.bootstrap)

    def write(self, records: Iterable[RawRecord]) -> None:
        """Write records, each to the topic of its source."""
        futures = [
            self._producer.send(
                self._topics[record.source],
                record.raw,
                partition=self._partition(record),
                headers=write_headers(record),
                timestamp_ms=record.received_us // 1000,
            )
            for record in records
        ]
        for future in futures:
            future.get(timeout=2 * WITHIN_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.close()


def fill(broker: Broker, topics: Mapping[str, str], records: Iterable[RawRecord], *, partition: Callable[[RawRecord], int] = lambda _record: 0) -> None:
    """Write records to the topics of their sources."""
    with Feed(broker, topics, partition) as feed:
        feed.write(records)


@contextmanager
def opened(settings: Settings, *, pipeline: bool = False) -> Iterator[App]:
    """The application of the settings in this process."""
    with open_app(settings, Actor("test"), pipeline=pipeline, clock=RunningClock(NOW_US)) as app:
        yield app


def state_of(settings: Settings) -> dict[str, Any]:
    """Everything that the store of the settings holds; its ledger balances."""
    with opened(settings) as app:
        assert_balanced(app.store)
        return everything(app.store)


def received(store: Store) -> int:
    """Records that the ledger knows of, replays left out."""
    return sum(item.received - item.dropped.get("replay", 0) for item in store.ledger())


def ingest(settings: Settings, expected: int) -> dict[str, Any]:
    """Run a worker in this process until `expected` records are in the ledger; everything that the store holds then."""
    with opened(settings, pipeline=True) as app:
        run_until(app, lambda: received(app.store) >= expected)
        assert_balanced(app.store)
        return everything(app.store)


def run_until(app: App, done: Callable[[], bool], *, meanwhile: Callable[[], None] = lambda: None) -> Totals:
    """Run the roles of the application in a thread until `done`; `meanwhile` is called when it has begun. What the run says it did."""
    stop = threading.Event()
    failures: list[BaseException] = []
    totals: list[Totals] = []

    def work() -> None:
        try:
            totals.append(run(app, stop=stop))
        except BaseException as error:  # noqa: BLE001 - told to the test below
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        meanwhile()
        wait_until(lambda: bool(failures) or done(), what="the records are in the store")
    finally:
        stop.set()
        thread.join(WITHIN_S)
    assert not failures, failures
    assert not thread.is_alive()
    return totals[0]


class Workers:
    """Worker processes of one test: settings files, logs, and nothing left behind."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._started: list[Worker] = []

    def brake(self, records: int) -> Brake:
        """A brake for workers (`start(settings, "--run", brake.word)`): each of them reads so many records at full speed."""
        brake = Brake(self._folder / "brake")
        brake.allow(records)
        return brake

    def start(self, settings: Settings, *how: str, crash: str = "") -> Worker:
        """Begin `tests.e2e.driver` with these settings."""
        number = len(self._started)
        file = self._folder / f"settings-{number}.json"
        file.write_text(settings.model_dump_json(), encoding="utf-8")
        worker = Worker([str(file), *how], self._folder / f"worker-{number}.log", crash)
        self._started.append(worker)
        return worker

    def once(self, settings: Settings, *, crash: str = "") -> int:
        """Run a worker until it ends; its exit code (−9 = killed)."""
        return self.start(settings, "--once", crash=crash).wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._started:
            worker.kill()


class Worker:
    """One worker process."""

    def __init__(self, words: Sequence[str], log: Path, crash: str) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.driver", *words], cwd=ROOT, env={**os.environ, "SOC_TEST_CRASH": crash}, stdout=out, stderr=out
            )

    def said(self, beginning: str) -> list[str]:
        """The lines of its output that begin so; one that is still being written is none."""
        whole, _, _ = self.log.read_text(encoding="utf-8", errors="replace").rpartition("\n")
        return [line for line in whole.splitlines() if line.startswith(beginning)]

    def received(self) -> int:
        """How many records it has committed."""
        batches = self.said("batch ")
        return int(batches[-1].split()[1]) if batches else 0

    def await_received(self, least: int) -> None:
        """Return when it has committed so many records."""
        wait_for(lambda: self.received() >= least or self._ended(), what=f"{least} records by a worker ({self.log})")

    def addresses(self) -> list[str]:
        """What it listens to, once it does."""
        wait_for(lambda: bool(self.said("ready ")) or self._ended(), what="the worker is ready")
        return [str(address) for address in json.loads(self.said("ready ")[0].removeprefix("ready "))]

    def _ended(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the worker ended with {self.process.returncode}:\n{tail(self.log)}")
        return False

    def wait(self) -> int:
        """Its exit code; anything but 0 and a kill is a failure."""
        try:
            code = self.process.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the worker did not end within {WITHIN_S:g} s:\n{tail(self.log)}") from None
        assert code in {0, -9}, tail(self.log)
        return code

    def stop(self) -> None:
        """End it gracefully, once it knows how to."""
        self.addresses()
        self.process.terminate()
        assert self.wait() == 0

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(WITHIN_S)


def forget(settings: Settings) -> None:
    """Remove the indices of the settings."""
    assert isinstance(settings.store, StoreSettings)
    erase(settings.store)
