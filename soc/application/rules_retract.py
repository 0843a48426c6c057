"""Withdrawing what a wrong rule said of a period: one recorded defect, undone by another record.

The alerts are kept and can be shown; they stand in no list, count, group or message, also those that a replay writes later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from soc.application.access import acting, require
from soc.application.app import App
from soc.application.rules_backtest import Hit, backtest
from soc.application.rules_choice import Choice, configured, only
from soc.clock import from_iso, iso
from soc.errors import Conflict, NotAllowed, NotFound, Phrase, UsageError
from soc.model.alert import Alert
from soc.model.ids import digest_id
from soc.model.retraction import FACT, in_force, retraction_of, withdrawn
from soc.ports import AlertQuery
from soc.rules.collection import Collection
from soc.rules.correlation import Correlation
from soc.rules.values import fold

_PAGE = 1_000


class Plan(msgspec.Struct):
    """What a retraction concerns: alerts of the rule in [from_us, until_us), of all scopes. `hash` "" = the rule is gone."""

    rule: str
    title: str
    hash: str
    from_us: int
    until_us: int
    alerts: int
    groups: int


class Defect(msgspec.Struct):
    """A recorded retraction as lists show it. `undone_*` "" = in force. Times: RFC 3339 UTC."""

    id: str
    rule: str
    title: str
    since: str
    until: str
    alerts: int
    by: str
    why: str
    at: str
    hash: str = ""
    because: str = ""
    """The retraction that this one follows from: a correlation's alert that no longer held without what was withdrawn."""
    undone_by: str = ""
    undone_at: str = ""
    undone_why: str = ""


def plan(app: App, name: str, *, from_us: int, until_us: int) -> Plan:
    """What would be withdrawn.

    Raises: UsageError for an empty period, NotFound for a rule that nobody knows and that has no alerts.
    """
    if from_us >= until_us:
        raise UsageError("the period is empty", hint="--from lies before --to")
    rule_id, title, rule_hash = _rule(app, name)
    alerts, groups = 0, 0
    for shadow in (False, True):
        query = AlertQuery(scope=None, rule=rule_id, since_us=from_us, until_us=until_us, limit=0, shadow=shadow)
        alerts += app.store.alerts(query)[0]
        groups += app.store.alert_groups(query)[0]
    return Plan(rule_id, title, rule_hash, from_us, until_us, alerts, groups)


def _rule(app: App, name: str) -> tuple[str, str, str]:
    """Id, title and hash of a rule: of those at hand, or of an alert when the rule is gone, as wrong rules often are."""
    collection, _errors = configured(app.settings.rules)
    found = collection.get(name)
    if found is not None:
        return found.id, found.title, found.hash
    for retracted in (False, True):
        _total, alerts = app.store.alerts(AlertQuery(scope=None, rule=name, limit=1, retracted=retracted))
        if alerts:
            return alerts[0].rule.id, alerts[0].rule.title, ""
    raise collection.missing(name)


def retract(app: App, planned: Plan, *, why: str) -> Defect:
    """Withdraw what was planned; the record of it.

    Raises: UsageError without a reason, NotAllowed when nothing may be written.
    """
    require(app, "rules.retract")
    if not why.strip():
        raise UsageError("a retraction needs a reason", hint="--reason '…'")
    if app.settings.read_only:
        raise NotAllowed("this is read-only", hint="set read_only = false")
    at = iso(app.clock.now_us())
    fact = {
        "id": "x-" + digest_id("retraction", planned.rule, str(planned.from_us), str(planned.until_us), at),
        "rule": planned.rule,
        "title": planned.title,
        "from_us": planned.from_us,
        "until_us": planned.until_us,
        "since": iso(planned.from_us),
        "until": iso(planned.until_us),
        "alerts": planned.alerts,
        "hash": planned.hash,
        "by": app.actor.name,
        "why": why,
        "at": at,
    }
    app.store.retract(fact)
    _follow(app, fact)
    _reach_on(app)
    return _defect(fact)


def followers(app: App, defect: Defect) -> list[Defect]:
    """The retractions of alerts of correlations that followed from one."""
    return [one for one in retractions(app) if one.because == defect.id]


def _follow(app: App, fact: Mapping[str, Any]) -> None:
    """Withdraw the alerts of correlations that counted what was withdrawn and do not hold by what remains, each by a fact of its own.

    An alert that shares its millisecond with one of its rule that holds stays, and so does one that stored events no longer bring about.
    """
    collection = app.rules.engine.collection
    above = correlations_above(collection, str(fact["rule"]))
    if not above:
        return
    defect = retraction_of(fact)
    facts = in_force(app.store.facts(FACT))
    ids = frozenset(rule.id for rule in above)
    since, until = defect.from_us, defect.until_us + max(_reach_us(collection, rule) for rule in above)
    stored = [
        alert
        for rule in above
        for alert in _all_alerts(app, AlertQuery(scope=None, rule=rule.id, since_us=since, until_us=until, limit=_PAGE, shadow=rule.shadow))
    ]
    if not stored:
        return

    def gone(rule_id: str, ts_us: int) -> bool:
        return withdrawn(facts, rule_id, ts_us)

    def before(rule_id: str, ts_us: int) -> bool:
        return any(one.covers(rule_id, ts_us) for one in facts if one.id != defect.id)

    choice = Choice(only(collection, ids), ids)
    whole, left = (
        _by_group(backtest(app, choice, since_us=since, until_us=until + 1, scope=None, examples=0, without=without).examples) for without in (before, gone)
    )
    falls = [alert for alert in stored if _holds(alert, whole) and not _holds(alert, left)]
    fallen = {alert.id for alert in falls}
    stay = {(alert.rule.id, alert.ts) for alert in stored if alert.id not in fallen}
    for rule, ts in sorted({(alert.rule.id, alert.ts) for alert in falls} - stay):
        same = [alert for alert in falls if (alert.rule.id, alert.ts) == (rule, ts)]
        ts_us = from_iso(ts)
        own = {"id": "x-" + digest_id("retraction", str(fact["id"]), rule, ts), "rule": rule, "title": same[0].rule.title, "hash": same[0].rule.hash}
        span = {"from_us": ts_us, "until_us": ts_us + 1_000, "since": iso(ts_us), "until": iso(ts_us + 1_000), "alerts": len(same)}
        app.store.retract({**own, **span, "because": fact["id"], "by": fact["by"], "why": fact["why"], "at": fact["at"]})


def correlations_above(collection: Collection, rule_id: str) -> list[Correlation]:
    """The correlations that make alerts of what a rule tells, also through others."""
    telling = {rule_id}
    for one in collection.correlations:  # children stand before their parents
        if telling.intersection(one.rules):
            telling.add(one.id)
    return [one for one in collection.correlations if one.id in telling and one.id != rule_id and one.id not in collection.silent]


def _reach_us(collection: Collection, rule: Correlation) -> int:
    """How long after a member an alert of a correlation may come, through all that stands between them."""
    inner = [one for one in collection.correlations if one.id in rule.rules]
    return 2 * rule.span_us + max((_reach_us(collection, one) for one in inner), default=0)


def _all_alerts(app: App, query: AlertQuery) -> list[Alert]:
    found: list[Alert] = []
    while True:
        total, page = app.store.alerts(msgspec.structs.replace(query, offset=len(found)))
        found += page
        if not page or len(found) >= total:
            return found


_Hits = dict[tuple[str, str, tuple[tuple[str, str], ...]], list[tuple[str, str]]]


def _by_group(hits: list[Hit]) -> _Hits:
    found: _Hits = {}
    for hit in hits:
        if hit.window is not None:
            found.setdefault((hit.rule, hit.scope, _key(hit.key)), []).append(hit.window)
    return found


def _key(group: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((field, fold(value)) for field, value in group.items()))


def _holds(alert: Alert, hits: _Hits) -> bool:
    """Whether one of the alerts is that of the same group and time."""
    start, end = alert.explanation["window"]["start"], alert.explanation["window"]["end"]
    group = alert.explanation.get("group", {})
    windows = hits.get((alert.rule.id, alert.scope, _key(group)), ())
    return any(start <= other_end and other_start <= end for other_start, other_end in windows)


def _reach_on(app: App) -> None:
    """Let the retraction reach what policies opened and said; what is cut off here is done by the next pass of the policies."""
    from soc.application.policies_defects import settle  # noqa: PLC0415 - it asks this module for the retractions

    _ = (app.store, app.journal)
    settle(acting(app, "policies"))


def retractions(app: App) -> list[Defect]:
    """All that were recorded, the newest first, undone ones too."""
    found: dict[str, Defect] = {}
    for fact in app.store.facts(FACT):
        if "undoes" in fact:
            defect = found.get(str(fact["undoes"]))
            if defect is not None:
                defect.undone_by, defect.undone_at, defect.undone_why = str(fact["by"]), str(fact["at"]), str(fact["why"])
        else:
            found[str(fact["id"])] = _defect(fact)
    return list(reversed(found.values()))


def undo(app: App, prefix: str, *, why: str) -> Defect:
    """Let the alerts of a retraction count again, by a record of its own.

    Raises: UsageError without a reason, NotFound, Conflict when several fit or it is undone already.
    """
    require(app, "rules.retract")
    if not why.strip():
        raise UsageError("undoing a retraction needs a reason", hint="--reason '…'")
    fitting = [defect for defect in retractions(app) if defect.id.startswith(prefix)]
    if not fitting:
        raise NotFound(Phrase("no retraction {prefix}", prefix=prefix), hint="soc rules retractions")
    if len(fitting) > 1:
        raise Conflict(Phrase("several ids begin with {prefix!r}", prefix=prefix), hint="give more characters of the id")
    [defect] = fitting
    if defect.undone_at:
        raise Conflict(Phrase("the retraction {id} is undone already", id=defect.id), hint="soc rules retractions")
    if app.settings.read_only:
        raise NotAllowed("this is read-only", hint="set read_only = false")
    defect.undone_by, defect.undone_at, defect.undone_why = app.actor.name, iso(app.clock.now_us()), why
    app.store.retract({"undoes": defect.id, "by": defect.undone_by, "why": why, "at": defect.undone_at})
    for one in followers(app, defect):
        if not one.undone_at:
            app.store.retract({"undoes": one.id, "by": defect.undone_by, "why": why, "at": defect.undone_at})
    _reach_on(app)
    return defect


def defect_of(app: App, alert: Alert) -> Defect | None:
    """The retraction in force that withdraws an alert, the newest first; None when it counts."""
    ts_us = from_iso(alert.ts)
    undone = {defect.id for defect in retractions(app) if defect.undone_at}
    facts = [fact for fact in app.store.facts(FACT) if "undoes" not in fact and fact["id"] not in undone]
    return next((_defect(fact) for fact in reversed(facts) if retraction_of(fact).covers(alert.rule.id, ts_us)), None)


def _defect(fact: dict[str, Any]) -> Defect:
    names = ("id", "rule", "title", "since", "until", "alerts", "by", "why", "at", "hash", "because")
    return msgspec.convert({name: fact[name] for name in names if name in fact}, Defect)
