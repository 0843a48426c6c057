"""Switching rules off and on: recorded, and guarded by what the rule would have done."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.application.app import App
from soc.application.rules_state import STATE_FACT, disable, disabled_rules, enable
from soc.clock import FrozenClock
from soc.config import RulesSettings, Settings
from soc.errors import Conflict, NotAllowed, NotFound, UsageError
from soc.ports import Store
from tests.application.test_rules_backtest import LOGIN, app_on, rule, write
from tests.contracts.conftest import Rig
from tests.contracts.samples import DAY, HOUR, T0, batch, event


@pytest.fixture
def app(rig: Rig, tmp_path: Path) -> App:
    """An application with one rule that would have made 70 alerts in the last week."""
    (tmp_path / "rules").mkdir()
    write(tmp_path / "rules", rule("login", LOGIN), rule("other", {"selection": {"user.name": "nobody"}, "condition": "selection"}))
    store: Store = rig.open()
    store.commit(batch(*(event(seq, user__name="admin", destination__port=22, ts_us=T0 - seq * 2 * HOUR) for seq in range(70))))
    rig.settle()
    return app_on(store, RulesSettings(shipped=False, directories=[tmp_path / "rules"], enable_limit_per_day=5))


def test_a_rule_is_switched_off_and_on_for_the_record(app: App) -> None:
    """Who, when, why and the hash of the rule are kept; the last word counts."""
    found = disable(app, "other", why="noisy")
    assert disabled_rules(app.store) == {found.id}
    with pytest.raises(Conflict):
        disable(app, "other", why="again")
    done = enable(app, "other", why="mended")
    assert done.enabled
    assert done.test is not None
    assert disabled_rules(app.store) == frozenset()
    off, on = app.store.facts(STATE_FACT)
    assert (off["state"], off["by"], off["why"], off["hash"]) == ("disabled", "lan", "noisy", found.hash)
    assert (on["state"], on["why"], on["alerts"], on["over_limit"]) == ("enabled", "mended", 0, False)
    assert on["at"].startswith("2026-11-21")


def test_the_guard_refuses_a_rule_that_would_flood(app: App) -> None:
    """More alerts a day than the limit: nothing is recorded, the figures say why; with `sure` it is, and that is recorded."""
    found = disable(app, "login", why="floods")
    refused = enable(app, "login")
    assert not refused.enabled
    assert refused.test is not None
    assert refused.test.rules[0].per_day == 10.37  # 70 in the 6.75 days since the first event
    assert disabled_rules(app.store) == {found.id}
    assert enable(app, "login", sure=True, why="wanted").enabled
    assert disabled_rules(app.store) == frozenset()
    fact = app.store.facts(STATE_FACT)[-1]
    assert (fact["over_limit"], fact["alerts_per_day"], fact["limit_per_day"]) == (True, 10.37, 5)


def test_what_is_on_already_is_said_so_without_a_fact(app: App) -> None:
    """No guard, no record."""
    assert enable(app, "other").known
    assert app.store.facts(STATE_FACT) == []


def test_a_reason_and_one_rule_are_needed(app: App, tmp_path: Path) -> None:
    """An empty reason, an unknown rule, a file of several are refused."""
    with pytest.raises(UsageError):
        disable(app, "other", why=" ")
    with pytest.raises(NotFound):
        disable(app, "nothing", why="x")
    with pytest.raises(UsageError):
        disable(app, str(tmp_path / "rules" / "rules.yml"), why="x")
    assert app.store.facts(STATE_FACT) == []


def test_a_rule_that_the_settings_name_by_its_file_stays_off(app: App) -> None:
    """The hint says where to change it."""
    app.settings = Settings(rules=app.settings.rules.model_copy(update={"disabled": ["rules.yml"]}))
    with pytest.raises(NotAllowed):
        enable(app, "login")


def test_the_last_word_counts_whatever_else_is_recorded_of_a_rule(app: App) -> None:
    """Facts of other states do not switch."""
    app.store.record_fact(STATE_FACT, {"rule": "x", "state": "disabled"})
    app.store.record_fact(STATE_FACT, {"rule": "x", "state": "shadow"})
    assert disabled_rules(app.store) == {"x"}
    assert isinstance(app.clock, FrozenClock)
    assert app.clock.now_us() == T0 + DAY
