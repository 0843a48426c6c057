"""Embedded equals distributed: the same lines through files and SQLite, and through real Kafka and real Elasticsearch.

Alerts of correlations are compared in `test_correlate_distributed`: the workers here only ingest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from soc.application.app import Actor, App
from soc.application.ingest import ingest_files, to_kafka
from soc.bootstrap import open_app
from soc.config import Settings
from soc.model.query.parse import parse
from soc.ports import EventQuery
from tests.e2e import corpus, traffic
from tests.e2e.distributed import forget, received, run_until, settings_of
from tests.e2e.driver import NOW_US, RunningClock
from tests.e2e.state import assert_balanced, assert_same, comparable, everything, without_correlations
from tests.servers.kafka_server import Broker

Name = Callable[[str], str]


def _embedded(folder: Path) -> Settings:
    return Settings.model_validate({"store": {"kind": "embedded", "path": str(folder / "store")}, "data_dir": str(folder), "pipeline": {"batch_size": 200}})


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
    settings = settings_of(tmp_path, elastic_url, broker.bootstrap, prefix, topics)
    with open_app(_embedded(tmp_path), Actor("test"), pipeline=True, clock=RunningClock(NOW_US)) as embedded:
        for name, file in files.items():
            ingest_files(embedded, [file], source=name)
        expected = everything(embedded.store)
        assert_balanced(embedded.store)
        with open_app(settings, Actor("test"), pipeline=True, clock=RunningClock(NOW_US)) as app:
            sent = sum(to_kafka(app, [file], source=name, topic=topics[name]) for name, file in files.items())
            assert sent == sum(item.received for item in embedded.store.ledger())
            run_until(app, lambda: received(app.store) >= sent)
            found = everything(app.store)
            assert_balanced(app.store)
            assert_same(comparable(found), without_correlations(comparable(expected)))
            _compare_queries(embedded, app)
    forget(settings)


@pytest.mark.corpus
def test_corpus_lines_give_the_same_store_through_both_configurations(tmp_path: Path, elastic_url: str, kafka_broker: Broker, unique_name: Name) -> None:
    """FortiGate, Postfix and CEF lines of the corpus: the same events, alerts, figures, and answers in the same order."""
    _through_both(corpus.write(tmp_path / "in"), tmp_path, elastic_url, kafka_broker, unique_name)


def test_traffic_with_repeats_and_broken_lines_gives_the_same_store(tmp_path: Path, elastic_url: str, kafka_broker: Broker, unique_name: Name) -> None:
    """Threats, mails joined from lines, resent lines, nonsense: the same on both."""
    files = {file.stem: file for file in traffic.write(tmp_path / "in", lines=300)}
    _through_both(files, tmp_path, elastic_url, kafka_broker, unique_name)
