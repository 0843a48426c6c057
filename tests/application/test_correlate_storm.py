"""The breaker of correlations: one that floods stands in one group with one message, whatever is restarted meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soc.application.correlate import CorrelationStage, Pace
from soc.clock import FrozenClock
from soc.model.alert import Alert
from soc.ports import AlertQuery
from tests.application.test_correlate import DETECTION, MANY, NOW, Rig, line, records, rules
from tests.contracts import conftest as contracts


class Limited(Rig):
    """A rig whose rules may raise two alerts an hour."""

    def restart(self) -> None:
        """As after a crash."""
        self.pipeline.forget_all()
        self.stage = CorrelationStage(self.collection, self.store, clock=self.clock, rules_hash=self.engine.hash, pace=Pace(), storm_per_hour=2)


@pytest.fixture
def limited(tmp_path: Path, rig: contracts.Rig) -> Callable[[], Limited]:
    """A limited rig on each store."""
    return lambda: Limited(rules(tmp_path / "rules", DETECTION, MANY), rig.open(), settle=rig.settle)


LINES = [line(step * 2 + place / 10, f"203.0.113.{10 + place}") for step in range(3) for place in range(6)]
"""Six addresses with three intrusions each: six alerts within five seconds."""
MORE = [line(8 + place / 10, f"203.0.113.{10 + place}") for place in range(6)]
"""A fourth of each: the six alerts grow."""


def sigma(rig: Rig) -> list[Alert]:
    """The alerts of the correlation, oldest first."""
    return [alert for alert in rig.alerts() if alert.rule.kind == "sigma"]


def test_correlations_beyond_the_limit_stand_in_one_storm(limited: Callable[[], Limited]) -> None:
    """Two stand for themselves, four in the storm, one message; they are all there, with their members."""
    rig = limited()
    rig.feed(records(LINES))
    rig.end()
    alerts = sigma(rig)
    assert [alert.storm for alert in alerts] == [False, False, True, True, True, True]
    assert len({alert.group for alert in alerts}) == 3
    assert all(len(alert.events) == 3 for alert in alerts)
    assert [alert.rule.id for alert in rig.alerts() if alert.rule.kind == "health"] == ["soc-alert-storm"]


@pytest.mark.parametrize("restart", [False, True])
def test_what_stands_in_a_storm_stays_there_when_it_grows(limited: Callable[[], Limited], restart: bool) -> None:
    """Revisions change neither group nor mark, also after a restart; nothing is counted twice."""
    rig = limited()
    rig.feed(records(LINES))
    rig.end()
    before: dict[str, Any] = {alert.id: (alert.storm, alert.group, alert.group_key) for alert in sigma(rig)}
    if restart:
        rig.restart()
    rig.feed(records([*LINES, *MORE])[len(LINES) :])
    rig.end()
    after = sigma(rig)
    assert {alert.id: (alert.storm, alert.group, alert.group_key) for alert in after} == before
    assert all(len(alert.events) == 4 for alert in after)
    total, groups = rig.store.alert_groups(AlertQuery(limit=100))
    assert sum(group.count for group in groups if group.rule.kind == "sigma") == 6
    assert total == len(groups)


def test_a_crash_before_the_alerts_are_written_changes_nothing(limited: Callable[[], Limited]) -> None:
    """The signals are durable, the alerts are not: after the restart the same two stand apart."""
    rig = limited()
    rig.feed(records(LINES), judge=False)
    rig.restart()
    rig.feed(records([*LINES, line(9, "198.51.100.1")])[len(LINES) :])
    rig.end()
    assert [alert.storm for alert in sigma(rig)] == [False, False, True, True, True, True]
    assert isinstance(rig.clock, FrozenClock)
    assert rig.clock.now_us() == NOW
