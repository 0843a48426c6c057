"""Embedded equals distributed: the same lines through files and SQLite, and through real Kafka and real Elasticsearch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soc.application.app import Actor, App
from soc.application.ingest import ingest_files, to_kafka
from soc.application.run import run
from soc.bootstrap import open_app
from soc.clock import FrozenClock, SystemClock
from soc.config import Settings
from soc.model.query.parse import parse
from soc.ports import EventQuery
from tests.e2e import corpus, traffic
from tests.e2e.driver import NOW_US
from tests.e2e.state import assert_balanced, assert_same, everything
from tests.servers.kafka_server import Broker

Name = Callable[[str], str]
HERE = {"soc.partition", "soc.seq"}
"""Where a worker read a record: a byte offset here, an offset of a topic there."""


def _embedded(folder: Path) -> Settings:
    return Settings.model_validate({"store": {"kind": "embedded", "path": str(folder / "store")}, "data_dir": str(folder), "pipeline": {"batch_size": 200}})


def _distributed(folder: Path, url: str, servers: str, prefix: str, topics: dict[str, str], **kafka: Any) -> Settings:
    return Settings.model_validate(
        {
            "store": {"kind": "elasticsearch", "hosts": [url], "prefix": prefix},
            "kafka": {"bootstrap_servers": [servers], "group": prefix, **kafka},
            "data_dir": str(folder),
            "roles": ["ingest"],
            "pipeline": {"batch_size": 200, "batch_wait_s": 0.5},
            "sources": {name: {"type": "kafka", "topics": [topic], "trust_positions": True} for name, topic in topics.items()},
        }
    )


def _comparable(state: dict[str, Any]) -> dict[str, Any]:
    """A state without what differs by design: where each record was read."""

    def strip(doc: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in doc.items() if name not in HERE}

    def strip_alert(alert: dict[str, Any]) -> dict[str, Any]:
        documents = [
            {**document, "soc": {name: value for name, value in document["soc"].items() if name not in {"partition", "seq"}}} for document in alert["documents"]
        ]
        return {**alert, "documents": documents}

    return {
        "events": {key: strip(doc) for key, doc in state["events"].items()},
        "alerts": {key: strip_alert(alert) for key, alert in state["alerts"].items()},
        "groups": state["groups"],
        "threats": state["threats"],
        "count": state["count"],
        "letters": state["letters"],
    }


def _ingest_until(app: App, expected: int, *, deadline_s: float = 90.0, stop: threading.Event | None = None) -> None:
    """Run the worker until the store's ledger has received `expected` records."""
    stop = stop or threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            run(app, stop=stop)
        except BaseException as error:  # noqa: BLE001 - told to the test below
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        _await(lambda: bool(failures) or _received(app) >= expected, deadline_s)
    finally:
        stop.set()
        thread.join(60)
    assert not failures, failures


def _received(app: App) -> int:
    return sum(item.received - item.dropped.get("replay", 0) for item in app.store.ledger())


def _await(condition: Callable[[], bool], deadline_s: float) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "deadline passed"
        time.sleep(0.2)


def _clock() -> FrozenClock:
    return _Ticking(NOW_US)


class _Ticking(FrozenClock):
    """Stands still for records, and runs for deadlines."""

    def monotonic(self) -> float:
        return SystemClock().monotonic()

    def sleep(self, seconds: float) -> None:
        SystemClock().sleep(seconds)


def _compare_queries(first: App, second: App) -> None:
    for text in (
        "*",
        "level:critical or level:high",
        "source.ip:10.0.0.0/8",
        '"mật khẩu" or mat',
        "source.port>1024 and not event.action:close",
        "exists:email.to.address",
        "ev*",
    ):
        query = EventQuery(parse(text), scope=None, limit=500)
        assert [doc["soc.id"] for doc in first.store.search(query).docs] == [doc["soc.id"] for doc in second.store.search(query).docs], text
        assert first.store.count(query) == second.store.count(query), text
        assert first.store.facets(query, "event.action") == second.store.facets(query, "event.action"), text


def _through_both(files: dict[str, Path], tmp_path: Path, elastic_url: str, broker: Broker, unique_name: Name) -> None:
    prefix = unique_name("e2e")
    topics = {name: f"{prefix}.{name}" for name in files}
    for topic in topics.values():
        broker.create_topic(topic, 2)
    settings = _distributed(tmp_path, elastic_url, broker.bootstrap, prefix, topics)
    with open_app(_embedded(tmp_path), Actor("test"), pipeline=True, clock=_clock()) as embedded:
        for name, file in files.items():
            ingest_files(embedded, [file], source=name)
        expected = everything(embedded.store)
        assert_balanced(embedded.store)
        with open_app(settings, Actor("test"), pipeline=True, clock=_clock()) as app:
            sent = sum(to_kafka(app, [file], source=name, topic=topics[name]) for name, file in files.items())
            assert sent == sum(item.received for item in embedded.store.ledger())
            _ingest_until(app, sent)
            found = everything(app.store)
            assert_balanced(app.store)
            assert_same(_comparable(found), _comparable(expected))
            _compare_queries(embedded, app)


@pytest.mark.corpus
def test_corpus_lines_give_the_same_store_through_both_configurations(tmp_path: Path, elastic_url: str, kafka_broker: Broker, unique_name: Name) -> None:
    """FortiGate, Postfix and CEF lines of the corpus: the same events, alerts, figures, and answers in the same order."""
    _through_both(corpus.write(tmp_path / "in"), tmp_path, elastic_url, kafka_broker, unique_name)


def test_traffic_with_repeats_and_broken_lines_gives_the_same_store(tmp_path: Path, elastic_url: str, kafka_broker: Broker, unique_name: Name) -> None:
    """Threats, mails joined from lines, resent lines, nonsense: the same on both."""
    files = {file.stem: file for file in traffic.write(tmp_path / "in", lines=300)}
    _through_both(files, tmp_path, elastic_url, kafka_broker, unique_name)
