"""How rules do: alerts, groups, verdicts, what exceptions let pass."""

from __future__ import annotations

import msgspec

from soc.application import verdicts
from soc.application.app import App
from soc.application.exceptions import hits
from soc.ports import AlertQuery
from soc.rules.ast import Rule
from soc.rules.correlation import Correlation


class RuleStats(msgspec.Struct):
    """The figures of one rule in a period; verdicts are of all time."""

    id: str
    title: str
    level: str
    kind: str
    shadow: bool
    alerts: int
    groups: int
    verdicts: dict[str, int]
    false_positive_rate: float | None
    excepted: int


def kind_of(rule: Rule | Correlation) -> str:
    """`detection`, `classification`, or the type of a correlation."""
    return rule.type if isinstance(rule, Correlation) else "classification" if rule.classify else "detection"


def stats(app: App, *, since_us: int | None = None, until_us: int | None = None, everything: bool = False) -> list[RuleStats]:
    """The figures of every rule that has any (of all with `everything`), the worst false-positive rate first, then the most alerts."""
    collection = app.rules.engine.collection
    said = verdicts.by_rule(app)
    passed: dict[str, int] = {}
    for (_exception, rule_id), let_pass in hits(app.store).items():
        passed[rule_id] = passed.get(rule_id, 0) + let_pass.count
    every: list[Rule | Correlation] = [*collection.ruleset.rules, *collection.correlations]
    out = []
    for rule in every:
        if isinstance(rule, Rule) and rule.classify is not None:
            continue
        query = AlertQuery(rule=rule.id, since_us=since_us, until_us=until_us, limit=1, shadow=rule.shadow)
        alerts, groups = app.store.alerts(query)[0], app.store.alert_groups(query)[0]
        counts = said.get(rule.id, {})
        rate = verdicts.false_positive_rate(counts)
        one = RuleStats(rule.id, rule.title, rule.level, kind_of(rule), rule.shadow, alerts, groups, counts, rate, passed.get(rule.id, 0))
        if everything or alerts or counts or one.excepted:
            out.append(one)
    return sorted(out, key=lambda one: (-(one.false_positive_rate or 0), -one.alerts, one.id))
