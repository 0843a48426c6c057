"""Withdrawing what a wrong rule said: planned, recorded, listed, undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.application.app import App
from soc.application.rules_retract import defect_of, plan, retract, retractions, undo
from soc.config import RulesSettings, Settings
from soc.errors import Conflict, NotAllowed, NotFound, UsageError
from soc.model.alert import Alert
from soc.ports import AlertQuery
from tests.application.test_rules_backtest import LOGIN, app_on, rule, write
from tests.contracts.conftest import Rig
from tests.contracts.samples import HOUR, T0, alert, batch, event

KNOWN = rule("login", LOGIN)


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
