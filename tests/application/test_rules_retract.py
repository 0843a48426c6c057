"""Withdrawing what a wrong rule said: planned, recorded, listed, undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.application.app import Actor, App
from soc.application.ingest import ingest_files
from soc.application.rules_retract import defect_of, followers, plan, retract, retractions, undo
from soc.bootstrap import open_app
from soc.config import RulesSettings, Settings
from soc.errors import Conflict, NotAllowed, NotFound, UsageError
from soc.model.alert import Alert
from soc.ports import AlertQuery
from tests.application.test_pipelines import LINE, THREE
from tests.application.test_rules_backtest import LOGIN, app_on, rule, write
from tests.contracts.conftest import Rig
from tests.contracts.samples import HOUR, SECOND, T0, alert, batch, event

KNOWN = rule("login", LOGIN)
SEEN = "44444444-0000-4000-8000-000000000001"
PARENT = """\
title: Two attacked addresses
id: 44444444-0000-4000-8000-000000000003
correlation: {type: event_count, rules: [44444444-0000-4000-8000-000000000002], timespan: 5m, condition: {gte: 2}, generate: true}
level: critical
"""


@pytest.fixture
def app(rig: Rig, tmp_path: Path) -> App:
    """Eight alerts of a known rule, one an hour, and four of a rule that is gone; two of the known one in an exercise."""
    (tmp_path / "rules").mkdir()
    write(tmp_path / "rules", KNOWN)
    events = [event(seq, ts_us=T0 + seq * HOUR, scope="exercise:x" if seq > 5 else "real") for seq in range(8)]
    alerts = [alert(one, rule=KNOWN["id"], key=str(one.seq % 2)) for one in events] + [alert(one, rule="gone") for one in events[:4]]
    store = rig.open()
    store.commit(batch(*events, alerts=alerts))
    rig.settle()
    return app_on(store, RulesSettings(shipped=False, directories=[tmp_path / "rules"]))


def left(app: App, **query: object) -> int:
    """How many alerts a query finds."""
    return app.store.alerts(AlertQuery(scope=None, **query))[0]  # type: ignore[arg-type]


def test_a_plan_counts_and_writes_nothing(app: App) -> None:
    """By name or id, of all scopes; the fact is written by `retract` alone."""
    found = plan(app, "login", from_us=T0 + 2 * HOUR, until_us=T0 + 8 * HOUR)
    assert (found.rule, found.title, found.alerts) == (KNOWN["id"], "login", 6)
    assert found.groups >= 2
    assert found.hash
    assert left(app) == 12
    assert app.store.facts("retraction") == []


def test_a_retraction_is_recorded_and_undone(app: App) -> None:
    """Who, why, when, the rule's hash and the number; each alert can say which one withdrew it."""
    planned = plan(app, KNOWN["id"][:20], from_us=T0, until_us=T0 + 3 * HOUR)
    defect = retract(app, planned, why="wrong list")
    assert (defect.by, defect.why, defect.alerts, defect.hash) == ("lan", "wrong list", 3, planned.hash)
    assert left(app, rule=KNOWN["id"]) == 5
    _total, [one, *_more] = app.store.alerts(AlertQuery(retracted=True))
    assert isinstance(one, Alert)
    found = defect_of(app, one)
    assert found is not None
    assert found.id == defect.id
    assert retractions(app) == [defect]
    undone = undo(app, defect.id[:6], why="it was right")
    assert (undone.undone_by, undone.undone_why) == ("lan", "it was right")
    assert left(app, rule=KNOWN["id"]) == 8
    assert defect_of(app, one) is None
    assert retractions(app) == [undone]
    with pytest.raises(Conflict):
        undo(app, defect.id, why="again")


def test_the_rule_may_be_gone(app: App) -> None:
    """Wrong rules often are: its alerts tell its title, also once they are withdrawn."""
    planned = plan(app, "gone", from_us=T0, until_us=T0 + 8 * HOUR)
    assert (planned.alerts, planned.hash) == (4, "")
    retract(app, planned, why="deleted")
    assert plan(app, "gone", from_us=T0, until_us=T0 + 8 * HOUR).alerts == 0
    with pytest.raises(NotFound):
        plan(app, "never", from_us=T0, until_us=T0 + 8 * HOUR)


def test_what_cannot_be_meant_is_refused(app: App) -> None:
    """An empty period, no reason, a read-only system, an unknown retraction."""
    planned = plan(app, "login", from_us=T0, until_us=T0 + HOUR)
    with pytest.raises(UsageError):
        plan(app, "login", from_us=T0 + HOUR, until_us=T0 + HOUR)
    with pytest.raises(UsageError):
        retract(app, planned, why=" ")
    with pytest.raises(UsageError):
        undo(app, "x-", why="")
    with pytest.raises(NotFound):
        undo(app, "x-nothing", why="because")
    app.settings = Settings(rules=app.settings.rules, read_only=True)
    with pytest.raises(NotAllowed):
        retract(app, planned, why="x")
    assert app.store.facts("retraction") == []


def test_correlations_that_counted_what_is_withdrawn_fall_with_it(tmp_path: Path) -> None:
    """Three attacks of one address: without one of them there is no alert; of another four, the alert holds. Undone, both count; told again nothing changes."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "three.yml").write_text(THREE + "---\n" + PARENT, encoding="utf-8")
    settings = Settings.model_validate({"data_dir": tmp_path / "data", "rules": {"shipped": False, "directories": [tmp_path / "rules"]}})
    log = tmp_path / "fw.log"
    wrong = [LINE.format(second) for second in (0, 1, 2)]
    right = [LINE.format(second).replace("203.0.113.9", "203.0.113.7") for second in (2, 3, 4, 5)]
    log.write_text("".join(text + "\n" for text in (*wrong, *right)), encoding="utf-8")

    def held(app: App) -> list[str]:
        found = app.store.alerts(AlertQuery(limit=100))[1]
        return sorted(f"{one.rule.title[:5]} {one.group_key.get('source.ip', '')}" for one in found if one.rule.id != SEEN)

    with open_app(settings, Actor("lan"), pipeline=True) as app:
        ingest_files(app, [log], source="fw")
        before = ["Three 203.0.113.7", "Three 203.0.113.9", "Two a "]
        assert held(app) == before
        third = 1_795_224_542_000_000
        defect = retract(app, plan(app, SEEN, from_us=third, until_us=third + SECOND), why="a wrong signature")
        assert held(app) == ["Three 203.0.113.7"]
        followed = followers(app, defect)
        assert [(one.title[:5], one.alerts, one.by, one.why) for one in sorted(followed, key=lambda one: one.title)] == [
            ("Three", 1, "lan", "a wrong signature"),
            ("Two a", 1, "lan", "a wrong signature"),
        ]
        aside = [one for one in app.store.alerts(AlertQuery(limit=100, retracted=True))[1] if one.rule.id != SEEN]
        assert {defect_of(app, one).because for one in aside if defect_of(app, one)} == {defect.id}  # type: ignore[union-attr]
        again = retract(app, plan(app, SEEN, from_us=third, until_us=third + SECOND), why="once more")
        assert followers(app, again) == []
        undo(app, again.id, why="it was said before")
        undo(app, defect.id, why="it was right")
        assert held(app) == before
        assert all(one.undone_at for one in retractions(app))
