"""What analysts say of alerts: verdicts, and how often each rule was wrong.

A verdict is a fact of kind `verdict`: `{"target", "rule", "rule_hash", "verdict", "note", "by", "at"}`; of each alert or group the last word
counts. This module is the only one that knows where verdicts are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from soc.application import alerts
from soc.application.app import App
from soc.clock import iso
from soc.errors import Phrase, UsageError
from soc.ports import Store

VERDICTS = ("true-positive", "false-positive", "benign", "duplicate", "test")
"""`benign`: the rule was right, and what it saw was allowed. `duplicate` and `test` say nothing about the rule."""
MOST_NOTE = 2_000
_FACT = "verdict"
_JUDGED = ("true-positive", "false-positive", "benign")


def record(app: App, names: Sequence[str], verdict: str, note: str = "") -> list[dict[str, str]]:
    """Say what some alerts or groups (ids or unique beginnings) were; the facts.

    Nothing is written unless all are found. Raises: UsageError, NotFound, Conflict.
    """
    if verdict not in VERDICTS:
        raise UsageError(Phrase("no verdict is named {verdict!r}", verdict=verdict), hint=Phrase("one of {names}", names=", ".join(VERDICTS)))
    if len(note) > MOST_NOTE:
        raise UsageError(Phrase("a note has at most {count} characters", count=MOST_NOTE))
    found = [alerts.get(app, name) for name in dict.fromkeys(names)]
    at = iso(app.clock.now_us())
    facts = [
        {"target": one.id, "rule": one.rule.id, "rule_hash": one.rule.hash, "verdict": verdict, "note": note.strip(), "by": app.actor.name, "at": at}
        for one in {one.id: one for one in found}.values()
    ]
    for fact in facts:
        app.store.record_fact(_FACT, fact)
    return facts


def latest(store: Store) -> dict[str, dict[str, str]]:
    """By id of an alert or group the verdict that counts."""
    return {str(fact["target"]): {name: str(value) for name, value in fact.items()} for fact in store.facts(_FACT)}


def by_rule(store: Store) -> dict[str, dict[str, int]]:
    """By id of a rule how many alerts and groups have which verdict."""
    counts: dict[str, Counter[str]] = {}
    for fact in latest(store).values():
        counts.setdefault(fact["rule"], Counter())[fact["verdict"]] += 1
    return {rule: {name: count[name] for name in VERDICTS if count[name]} for rule, count in counts.items()}


def false_positive_rate(counts: Mapping[str, int]) -> float | None:
    """The share of false positives among true positives, benign and false ones; None when nothing was judged."""
    judged = sum(counts.get(name, 0) for name in _JUDGED)
    return round(counts.get("false-positive", 0) / judged, 4) if judged else None
