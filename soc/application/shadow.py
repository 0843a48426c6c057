"""Shadow rules: run beside the live ones, compare with the rule that they are to replace, promote."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from soc.application.access import require
from soc.application.app import App
from soc.application.rules_backtest import DAY_US, Backtest, backtest
from soc.application.rules_choice import Choice, only
from soc.application.ruleset import RULES_FACT, STATE_FACT, kept_manifest, one_named
from soc.clock import from_iso, iso
from soc.errors import Conflict, NotFound, Phrase, UsageError
from soc.model.alert import Alert
from soc.ports import AlertQuery
from soc.rules.ast import Rule
from soc.rules.collection import Collection
from soc.rules.correlation import Correlation

GUARD_DAYS = 7
PAGE = 1_000
MOST_EXAMPLES = 10


class Side(msgspec.Struct):
    """One of the rules compared, and its alerts in the period."""

    id: str
    title: str
    level: str
    alerts: int


class Example(msgspec.Struct):
    """An alert that one of two rules made, or both: `where` is `old`, `new` or `both`."""

    where: str
    alert: str
    ts: str
    key: dict[str, str]
    events: list[str]
    original: str


class Comparison(msgspec.Struct):
    """What a shadow told beside the rule that it is to replace; alerts are the same when they share an event.

    `live` None: it replaces nothing. `only_old`: alerts of the live rule that the shadow did not make.
    """

    shadow: Side
    live: Side | None
    since: str
    until: str
    both: int
    only_old: int
    only_new: int
    examples: list[Example]


class Promoted(msgspec.Struct):
    """What became of `promote`; `live` False: the guard refused, `test` says why."""

    rule: str
    title: str
    live: bool
    limit: float
    test: Backtest


def shadow_rule(collection: Collection, name: str) -> Rule | Correlation:
    """The shadow of a name: its own id or name, or that of the rule that it replaces.

    Raises: NotFound when there is none, or several.
    """
    every: list[Rule | Correlation] = [*collection.ruleset.rules, *collection.correlations]
    found = collection.get(name)
    if found is not None and found.shadow:
        return found
    names = {name} | ({found.id, found.name} if isinstance(found, Rule | Correlation) else set())
    fitting = [rule for rule in every if rule.shadow and rule.replaces and rule.replaces in names]
    if len(fitting) != 1:
        raise NotFound(Phrase("no shadow rule {name}, or several", name=name), hint="soc rules list")
    return fitting[0]


def make_shadow(app: App, name: str, *, why: str) -> Rule | Correlation:
    """Make a live rule a shadow, for the record; a running pipeline obeys at its next batch. The rule.

    Raises: UsageError for a classification rule and without a reason, Conflict when it is one, NotFound.
    """
    require(app, "rules.change")
    rule = one_named(app.rules.engine.collection, name)
    if not why.strip():
        raise UsageError("making a rule a shadow needs a reason", hint="--reason '…'")
    if isinstance(rule, Rule) and rule.classify is not None:
        raise UsageError(Phrase("{title} classifies events: it makes no alerts to compare", title=rule.title), hint="soc reclassify --dry-run")
    if rule.shadow:
        raise Conflict(Phrase("the rule {title} is a shadow already", title=rule.title), hint="soc rules compare RULE")
    _record(app, rule, "shadow", why)
    return rule


def promote(app: App, name: str, *, why: str = "", sure: bool = False) -> Promoted:
    """Make a shadow live, unless it would have made too many alerts in the last seven days (`sure`: also then).

    Nothing is written when the guard refuses. Raises: NotFound.
    """
    require(app, "rules.change")
    collection = app.rules.engine.collection
    rule = shadow_rule(collection, name)
    limit = float(app.settings.rules.enable_limit_per_day)
    until = app.clock.now_us() + 1
    choice = Choice(only(collection, {rule.id}), frozenset({rule.id}))
    test = backtest(app, choice, since_us=until - GUARD_DAYS * DAY_US, until_us=until)
    over = test.rules[0].per_day > limit
    if over and not sure:
        return Promoted(rule.id, rule.title, live=False, limit=limit, test=test)
    _record(app, rule, "live", why, alerts_per_day=test.rules[0].per_day, limit_per_day=limit, over_limit=over)
    return Promoted(rule.id, rule.title, live=True, limit=limit, test=test)


def _record(app: App, rule: Rule | Correlation, state: str, why: str, **more: object) -> None:
    fact = {"rule": rule.id, "title": rule.title, "state": state, "by": app.actor.name, "why": why.strip(), "at": iso(app.clock.now_us()), "hash": rule.hash}
    app.store.record_fact(STATE_FACT, fact | more)


def compare(app: App, name: str, *, since_us: int | None = None, until_us: int | None = None, other: str = "", examples: int = MOST_EXAMPLES) -> Comparison:
    """The alerts of a shadow against those of the live rule that it is to replace (or of `other`).

    Without `since_us`: since it runs as a shadow. Raises: NotFound.
    """
    collection = app.rules.engine.collection
    rule = shadow_rule(collection, name)
    live = _replaced(collection, rule, other)
    since = since_us if since_us is not None else shadow_since(app, rule)
    until = until_us if until_us is not None else app.clock.now_us() + 1
    new = list(_alerts(app, rule.id, since, until, shadow=True))
    old = list(_alerts(app, live.id, since, until, shadow=False)) if live is not None else []
    seen_new = {event for alert in new for event in alert.events}
    seen_old = {event for alert in old for event in alert.events}
    both = [alert for alert in new if not seen_old.isdisjoint(alert.events)]
    only_new = [alert for alert in new if seen_old.isdisjoint(alert.events)]
    only_old = [alert for alert in old if seen_new.isdisjoint(alert.events)]
    return Comparison(
        _side(rule, new),
        _side(live, old) if live is not None else None,
        iso(since) if since is not None else "",
        iso(until),
        len(both),
        len(only_old),
        len(only_new),
        [_example(where, alert) for where, found in (("old", only_old), ("new", only_new), ("both", both)) for alert in found[:examples]],
    )


def _replaced(collection: Collection, rule: Rule | Correlation, other: str) -> Rule | Correlation | None:
    """The live rule that a shadow is compared with: the one named, the one that it replaces, else one with its title."""
    if other:
        return one_named(collection, other)
    if rule.replaces:
        return collection.get(rule.replaces)
    every: list[Rule | Correlation] = [*collection.ruleset.rules, *collection.correlations]
    same = [one for one in every if not one.shadow and one.title == rule.title]
    return same[0] if len(same) == 1 else None


def shadow_since(app: App, rule: Rule | Correlation) -> int | None:
    """When a rule became the shadow that it is, by the recorded sets; None when that is not known."""
    since = None
    for fact in reversed(app.store.facts(RULES_FACT)):
        manifest = kept_manifest(app.store, str(fact["hash"]))
        if manifest is None or ":shadow" not in manifest.get(rule.id, ""):
            break
        since = from_iso(str(fact["at"]))
    return since


def _alerts(app: App, rule_id: str, since_us: int | None, until_us: int, *, shadow: bool) -> Iterator[Alert]:
    offset = 0
    while True:
        total, page = app.store.alerts(AlertQuery(rule=rule_id, since_us=since_us, until_us=until_us, limit=PAGE, offset=offset, shadow=shadow))
        yield from page
        offset += len(page)
        if not page or offset >= total:
            return


def _side(rule: Rule | Correlation, alerts: list[Alert]) -> Side:
    return Side(rule.id, rule.title, rule.level, len(alerts))


def _example(where: str, alert: Alert) -> Example:
    event = alert.documents[0].get("event", {}) if alert.documents else {}
    return Example(where, alert.id, alert.ts, alert.group_key, alert.events[:5], str(event.get("original", ""))[:500])
