"""Switching rules off and on again: recorded facts that the live set honours at a batch boundary, and the guard before it.

A fact of kind `rule-state` says `{"rule", "state": "disabled"|"enabled", "by", "why", "at", "hash"}`; of each rule the last word
counts. Before a rule is enabled it is run over the events of the last seven days.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from soc.application.access import require
from soc.application.app import App
from soc.application.rules_backtest import DAY_US, Backtest, backtest
from soc.application.rules_choice import Choice, choose
from soc.clock import iso
from soc.errors import Conflict, NotAllowed, Phrase, UsageError
from soc.ports import Store
from soc.rules.ast import Rule
from soc.rules.correlation import Correlation

STATE_FACT = "rule-state"
GUARD_DAYS = 7


class Enabled(msgspec.Struct):
    """What became of `enable`. `enabled` False: the guard refused, `test` says why; `known`: it was on already."""

    rule: str
    title: str
    enabled: bool
    limit: float
    test: Backtest | None = None
    known: bool = False


def disabled_rules(store: Store) -> frozenset[str]:
    """The ids of the rules that people switched off: of each the last fact counts."""
    state = {str(fact.get("rule", "")): str(fact.get("state", "")) for fact in store.facts(STATE_FACT) if fact.get("state") in {"disabled", "enabled"}}
    return frozenset(rule for rule, last in state.items() if last == "disabled")


def one_rule(app: App, name: str) -> tuple[Choice, Rule | Correlation]:
    """The one rule of an id, the beginning of one, a name or a file.

    Raises: NotFound, UsageError when the file holds several.
    """
    choice = choose(app.settings.rules_in_zone, name)
    rules = choice.rules()
    if len(rules) != 1:
        raise UsageError(Phrase("{name} holds {count} rules", name=name, count=len(rules)), hint="give the id of one: soc rules list")
    return choice, rules[0]


def disable(app: App, name: str, *, why: str) -> Rule | Correlation:
    """Switch a rule off, with the reason; a running pipeline obeys at its next batch. The rule.

    Raises: UsageError without a reason, Conflict when it is off already, NotFound.
    """
    require(app, "rules.change")
    if not why.strip():
        raise UsageError("switching a rule off needs a reason", hint="--reason '…'")
    _choice, rule = one_rule(app, name)
    if rule.id in disabled_rules(app.store):
        raise Conflict(Phrase("the rule {title} is off already", title=rule.title), hint="soc rules list")
    app.store.record_fact(STATE_FACT, _fact(app, rule, "disabled", why))
    return rule


def enable(app: App, name: str, *, why: str = "", sure: bool = False, progress: Callable[[int, int], None] = lambda _read, _found: None) -> Enabled:
    """Switch a rule on again, unless it would have made too many alerts in the last seven days.

    `sure`: also then; the fact says so, with the figures. Nothing is written when the guard refuses.
    Raises: NotAllowed when the settings switch the rule off under its file name, NotFound.
    """
    require(app, "rules.change")
    choice, rule = one_rule(app, name)
    in_settings = {Path(rule.path).name, Path(rule.path).stem} & set(app.settings.rules.disabled)
    if in_settings:
        raise NotAllowed(Phrase("the settings switch {name} off", name=min(in_settings)), hint="take it out of rules.disabled")
    limit = app.settings.rules.enable_limit_per_day
    if rule.id not in disabled_rules(app.store) and rule.id not in app.settings.rules.disabled:
        return Enabled(rule.id, rule.title, enabled=True, limit=limit, known=True)
    until = app.clock.now_us() + 1
    test = backtest(app, choice, since_us=until - GUARD_DAYS * DAY_US, until_us=until, progress=progress)
    per_day = test.rules[0].per_day
    if per_day > limit and not sure:
        return Enabled(rule.id, rule.title, enabled=False, limit=limit, test=test)
    fact = _fact(app, rule, "enabled", why)
    fact |= {"alerts_per_day": per_day, "alerts": test.alerts, "days": GUARD_DAYS, "limit_per_day": limit, "over_limit": per_day > limit}
    app.store.record_fact(STATE_FACT, fact)
    return Enabled(rule.id, rule.title, enabled=True, limit=limit, test=test)


def _fact(app: App, rule: Rule | Correlation, state: str, why: str) -> dict[str, object]:
    return {"rule": rule.id, "title": rule.title, "state": state, "by": app.actor.name, "why": why, "at": iso(app.clock.now_us()), "hash": rule.hash}
