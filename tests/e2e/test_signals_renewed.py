"""The topic of signals deleted while workers run: it is made anew, correlation goes on, and what was lost is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soc.application import sources
from soc.application.correlate_topic import RENEWED_RULE, SOURCE
from soc.clock import from_iso
from soc.ports import AlertQuery
from tests.e2e import test_correlate_distributed as correlation
from tests.e2e.distributed import Workers, fill, forget, opened, received, wait_until
from tests.e2e.state import assert_balanced, everything
from tests.servers.kafka_server import Broker

Name = Callable[[str], str]
pytestmark = pytest.mark.xdist_group("signals-renewed")
SHORT = "One kind, then the other"
"""Of five seconds, so that some of its alerts have nothing to do with what was before."""
supply = correlation.supply
"""Intrusions at three gateways, and the alerts of one embedded run over them."""


def _correlated(alerts: dict[str, Any]) -> list[tuple[str, frozenset[str]]]:
    """Rule and events of the alerts that correlations made."""
    return [(alert["rule"]["title"], frozenset(alert["events"])) for alert in alerts.values() if alert["explanation"].get("node") == "correlation"]


def _alone(events: dict[str, Any], members: frozenset[str]) -> bool:
    """Whether an alert of five seconds began with nothing of its address before it: it is the same whatever was lost."""
    begin = min(from_iso(events[one]["@timestamp"]) for one in members)
    address = events[next(iter(members))]["source.ip"]
    return not any(doc["source.ip"] == address and 0 < begin - from_iso(doc["@timestamp"]) < 10_000_000 for doc in events.values())


def _events_of(rule: str, alerts: list[tuple[str, frozenset[str]]]) -> set[str]:
    return {one for title, members in alerts if title == rule for one in members}


@pytest.mark.parametrize("partitions", [0, 2], ids=["made by a worker", "made by somebody with fewer partitions"])
def test_a_deleted_topic_of_signals_is_made_anew_and_what_was_lost_is_told(
    partitions: int, tmp_path: Path, supply: correlation.Supply, kafka_broker: Broker, elastic_url: str, unique_name: Name
) -> None:
    """Two that ingest and two that correlate go on; alerts of windows that began later are those of an undisturbed run, and no other one is made up."""
    stage = correlation.Stage(tmp_path, elastic_url, kafka_broker, unique_name("renewed"), supply)
    topic = stage.settings.kafka.signals_topic
    records = correlation._shuffled(supply.records)
    fill(kafka_broker, stage.topics, records, partition=correlation._partition)
    with Workers(tmp_path / "workers") as workers, opened(stage.of("looker", "ingest")) as app:
        brake = workers.brake(160)
        both = [workers.start(stage.of(name, "ingest"), "--run", brake.word) for name in ("a", "b")]
        others = [workers.start(stage.of(name, "correlate"), "--run") for name in ("c", "d")]
        wait_until(lambda: stage.begun(app, 10), what="every partition has been judged for a while", every_s=0.5)
        former = app.wiring.signal_ends()
        kafka_broker.delete_topic(topic)
        if partitions:
            kafka_broker.create_topic(topic, partitions)
        stage._partitions = partitions or 4

        def _is_renewed() -> bool:
            ends = app.wiring.signal_ends()
            return len(ends) == stage._partitions and ends.keys().isdisjoint(former) and all(ends.values())

        wait_until(_is_renewed, what="the new topic has records in each partition", every_s=0.5)
        # From then on all signals go into the new topic, and the events of those that did not are stored.
        wait_until(lambda: all("the topic of signals is another one" in worker.log.read_text(encoding="utf-8") for worker in both), what="both writers know")
        before = set(everything(app.store)["events"])
        assert received(app.store) < len(records), "records are left"
        brake.release()
        stage.await_judged(app, supply)
        for worker in (*both, *others):
            worker.stop()
        assert_balanced(app.store)
        state = everything(app.store)
        found, wanted = _correlated(state["alerts"]), _correlated(supply.expected["alerts"])
        later = {(rule, members) for rule, members in wanted if rule == SHORT and members.isdisjoint(before) and _alone(state["events"], members)}
        assert later
        assert later <= set(found)
        for rule in (SHORT, "Many intrusions from one address"):
            assert _events_of(rule, found) <= _events_of(rule, wanted), f"{rule} was made up"
        told = [alert for alert in app.store.alerts(AlertQuery(limit=1_000))[1] if alert.rule.id == RENEWED_RULE.id]
        assert {alert.explanation["field"] for alert in told} == {name for name in app.wiring.signal_ends() if int(name.rpartition("/")[2]) < 4}
        assert len({alert.group for alert in told}) == 1
        assert {(alert.source, alert.rule.level) for alert in told} == {(SOURCE, "high")}
        (row,) = [row for row in sources.status(app) if row.source == SOURCE]
        assert (row.state, row.difference) == ("ok", 0)
    forget(stage.settings)
