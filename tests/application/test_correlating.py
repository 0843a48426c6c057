from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soc.application.app import Actor
from soc.application.correlating import RoutesInForce, by_topic, require_work, signal_lag
from soc.application.run import run
from soc.bootstrap import open_app
from soc.config import KafkaSettings, Settings
from soc.errors import ConfigError, SourceUnavailable
from soc.model.signal import Signal
from soc.rules.routes import Routes
from tests.servers.process import free_port

KAFKA = {"raw": {"type": "kafka", "topics": ["t"]}}
SYSLOG = {"fw": {"type": "syslog", "udp": "127.0.0.1:5514"}}


def _settings(**more: Any) -> Settings:
    return Settings.model_validate(more)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"store": {"kind": "elasticsearch"}, "sources": KAFKA}, True),
        ({"store": {"kind": "elasticsearch"}, "sources": SYSLOG, "transport": "kafka"}, True),
        ({"store": {"kind": "elasticsearch"}, "sources": SYSLOG}, False),
        ({"store": {"kind": "embedded"}, "sources": KAFKA}, False),
        ({"store": {"kind": "memory"}, "sources": KAFKA, "transport": "kafka"}, False),
    ],
)
def test_a_topic_is_used_where_several_workers_can_be(settings: dict[str, Any], expected: bool) -> None:
    """One writer keeps its signals in its store; several need a store that they share and a log that shares them out."""
    assert by_topic(_settings(**settings)) is expected


def test_correlating_alone_without_a_topic_is_refused(tmp_path: Path) -> None:
    """A process that would do nothing for ever says so at once, and how to mend it."""
    settings = _settings(roles=["correlate"], data_dir=str(tmp_path), store={"kind": "memory"}, sources=KAFKA)
    with pytest.raises(ConfigError, match="correlate") as caught:
        require_work(settings)
    assert caught.value.hint
    with open_app(settings, Actor("test"), pipeline=True) as app, pytest.raises(ConfigError):
        run(app)
    require_work(settings.model_copy(update={"roles": ["ingest", "correlate"]}))
    require_work(_settings(roles=["correlate"], store={"kind": "elasticsearch"}, sources=KAFKA))


def test_keys_follow_the_rules_in_force(tmp_path: Path) -> None:
    """A worker that takes changed rules over writes signals where correlators with the same rules look for them."""
    rules = tmp_path / "rules"
    rules.mkdir()
    head = """
title: Bad
id: 11111111-1111-4111-8111-111111111111
name: bad
logsource: {category: authentication}
detection: {sel: {event.outcome: failure}, condition: sel}
level: low
---
title: Many
id: 33333333-3333-4333-8333-333333333333
name: many
correlation: {type: event_count, rules: [bad], group-by: [user.name, source.ip], timespan: 60s, condition: {gte: 3}}
level: medium
"""
    parent = """---
title: Several
id: 44444444-4444-4444-8444-444444444444
correlation: {type: event_count, rules: [many], group-by: [source.ip], timespan: 5m, condition: {gte: 2}}
level: high
"""
    (rules / "rules.yml").write_text(head, encoding="utf-8")
    settings = _settings(data_dir=str(tmp_path), store={"kind": "memory"}, rules={"shipped": False, "directories": [str(rules)]})
    one = Signal(1, ("real", "an", "192.0.2.1"), "e", 1, "33333333-3333-4333-8333-333333333333")
    with open_app(settings, Actor("test")) as app:
        in_force = RoutesInForce(app)
        before = in_force.key(one)
        assert before == Routes(app.rules.engine.collection.correlations).key(one)
        (rules / "rules.yml").write_text(head + parent, encoding="utf-8")
        del app.__dict__["rules"]
        assert in_force.key(one) == Routes(app.rules.engine.collection.correlations).key(one) != before


def test_brokers_that_do_not_answer_are_told(tmp_path: Path) -> None:
    """The lag is not zero then, it is not known."""
    kafka = KafkaSettings(bootstrap_servers=[f"127.0.0.1:{free_port()}"], bootstrap_timeout_s=0.5)
    settings = _settings(data_dir=str(tmp_path), store={"kind": "memory"}).model_copy(update={"kafka": kafka})
    with open_app(settings, Actor("test")) as app, pytest.raises(SourceUnavailable):
        signal_lag(app)
