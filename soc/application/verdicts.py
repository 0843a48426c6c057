"""What analysts say of alerts: verdicts, and how often each rule was wrong.

A verdict is a fact in the stream of the group: `VerdictGiven` of one alert or of the group, or the `GroupClosed` of the group. Of each alert
or group the last word counts. Verdicts of former versions, which stand in the store, count where nothing newer was said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from soc.application import alerts
from soc.application.access import require
from soc.application.app import App
from soc.application.triage import MOST_NOTE, VERDICTS, check
from soc.model.alert import Alert, AlertGroup
from soc.model.fact import ANY_VERSION, Fact, NewFact
from soc.model.journal import Append
from soc.triage.model import PREFIX, last_words

__all__ = ["MOST_NOTE", "VERDICTS", "by_rule", "false_positive_rate", "latest", "of_alert", "record"]

_FORMER = "verdict"
"""The kind of the store's facts of former versions."""
_PARTS = ("rule", "rule_hash", "verdict", "note")
_JUDGED = ("true-positive", "false-positive", "benign")


def record(app: App, names: Sequence[str], verdict: str, note: str = "") -> list[dict[str, str]]:
    """Say what some alerts or groups (ids or unique beginnings) were, and leave them open; the facts.

    Nothing is written unless all are found. Raises: UsageError, NotFound, Conflict.
    """
    require(app, "alerts.triage")
    check(verdict, note)
    found = {one.id: one for one in (alerts.get(app, name) for name in dict.fromkeys(names))}
    streams: dict[tuple[str, str], list[NewFact]] = {}
    for one in found.values():
        data = {"target": one.id, "rule": one.rule.id, "rule_hash": one.rule.hash, "verdict": verdict, "note": note.strip()}
        group = one.id if isinstance(one, AlertGroup) else one.group
        streams.setdefault((one.scope, PREFIX + group), []).append(NewFact("VerdictGiven", data))
    facts: dict[str, dict[str, str]] = {}
    for scope in dict.fromkeys(scope for scope, _ in streams):
        appends = [Append(stream, ANY_VERSION, tuple(new)) for (of, stream), new in streams.items() if of == scope]
        for outcome in app.journal.append_each(appends, actor=app.actor.name, scope=scope):
            if isinstance(outcome, Exception):
                raise outcome
            for stored in outcome:
                facts[stored.fact.data["target"]] = {**stored.fact.data, "by": stored.fact.actor, "at": stored.fact.at}
    return [facts[identity] for identity in found]


def latest(app: App) -> dict[str, dict[str, str]]:
    """By id of an alert or group the verdict that counts."""
    out = _former(app)
    for _, stored in app.journal.under(PREFIX):
        out |= _said(one.fact for one in stored)
    return out


def _former(app: App) -> dict[str, dict[str, str]]:
    return {str(fact["target"]): {name: str(value) for name, value in fact.items()} for fact in app.store.facts(_FORMER)}


def _said(facts: Iterable[Fact]) -> dict[str, dict[str, str]]:
    return {
        target: {"target": target, **{name: str(fact.data.get(name, "")) for name in _PARTS}, "by": fact.actor, "at": fact.at}
        for target, fact in last_words(facts).items()
    }


def of_alert(app: App, alert: Alert) -> dict[str, str] | None:
    """What was said of an alert, or else of its group; None = nothing. Reads the facts of its group only."""
    out = _former(app)
    out |= _said(one.fact for one in app.journal.read(PREFIX + alert.group))
    return out.get(alert.id) or out.get(alert.group)


def by_rule(app: App) -> dict[str, dict[str, int]]:
    """By id of a rule how many alerts and groups have which verdict."""
    counts: dict[str, Counter[str]] = {}
    for fact in latest(app).values():
        counts.setdefault(fact["rule"], Counter())[fact["verdict"]] += 1
    return {rule: {name: count[name] for name in VERDICTS if count[name]} for rule, count in counts.items()}


def false_positive_rate(counts: Mapping[str, int]) -> float | None:
    """The share of false positives among true positives, benign and false ones; None when nothing was judged."""
    judged = sum(counts.get(name, 0) for name in _JUDGED)
    return round(counts.get("false-positive", 0) / judged, 4) if judged else None
