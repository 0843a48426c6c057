"""What differs between two collections of rules: what a reader would call a change, apart from changes of the text alone.

Conditions are compared in a normal form (nested `and` and `or` flattened and sorted, double `not` and repetitions left out,
letters folded where a test folds them), so that another order of selections is no change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from soc.rules.ast import TEXT_TESTS, And, Leaf, Node, Not, Or, Rule, leaves
from soc.rules.collection import Collection
from soc.rules.correlation import Correlation
from soc.rules.evaluate import Evaluation, condition_text
from soc.rules.mutation import words
from soc.rules.values import fold

ADDED, REMOVED, CHANGED, TEXT = "added", "removed", "changed", "text only"
KINDS = (ADDED, REMOVED, CHANGED, TEXT)
MOST_SHOWN = 5

Alerted = tuple[str, str, tuple[Any, ...], tuple[tuple[str, str], ...], str]
"""An alert: id and title of its rule, its events (lines or ids), its group, its level."""


class Difference(msgspec.Struct):
    """One rule that differs. `facts`: per thing that changed what it was and what it is (`condition`: tests gone and tests new)."""

    id: str
    kind: str
    title: str
    path: str
    facts: dict[str, tuple[str, str]] = {}


class Told(msgspec.Struct):
    """Alerts of one rule on the same events: how many on both sides, and the events (lines or ids) of each that is on one side only."""

    id: str
    title: str
    both: int
    before_only: list[list[Any]]
    after_only: list[list[Any]]


def difference(before: Collection, after: Collection) -> list[Difference]:
    """The differences by rule: added, removed, changed, then changed in text only; in order of title."""
    old, new = _by_id(before), _by_id(after)
    out = [Difference(name, ADDED, rule.title, rule.path) for name, rule in new.items() if name not in old]
    out += [Difference(name, REMOVED, rule.title, rule.path) for name, rule in old.items() if name not in new]
    for name, rule in new.items():
        if name in old:
            facts = _facts(old[name], rule, before, after)
            if facts:
                out.append(Difference(name, CHANGED, rule.title, rule.path, facts))
            elif old[name].hash != rule.hash:
                out.append(Difference(name, TEXT, rule.title, rule.path))
    return sorted(out, key=lambda one: (KINDS.index(one.kind), one.title, one.id))


def _by_id(collection: Collection) -> dict[str, Rule | Correlation]:
    every: list[Rule | Correlation] = [*collection.ruleset.rules, *collection.correlations]
    return {rule.id: rule for rule in every}


def _facts(old: Rule | Correlation, new: Rule | Correlation, before: Collection, after: Collection) -> dict[str, tuple[str, str]]:
    """What changed beside words."""
    if isinstance(old, Rule) and isinstance(new, Rule):
        facts = _compared(_detection(old), _detection(new))
        if normal(old.condition) != normal(new.condition):
            facts["condition"] = _conditions(old.condition, new.condition)
    elif isinstance(old, Correlation) and isinstance(new, Correlation):
        facts = _compared(_correlation(old), _correlation(new))
    else:
        facts = {"type": (_type(old), _type(new))}
    if (old.id in before.silent) is not (new.id in after.silent):
        facts["alerts"] = ("none of its own" if old.id in before.silent else "yes", "none of its own" if new.id in after.silent else "yes")
    return facts


def _type(rule: Rule | Correlation) -> str:
    return rule.type if isinstance(rule, Correlation) else "detection"


def _detection(rule: Rule) -> dict[str, str]:
    return {
        "level": rule.level,
        "logsource": str(rule.logsource),
        "class": f"{rule.classify.level}, {rule.classify.category}" if rule.classify else "",
        "group_by": ", ".join(rule.group_by),
        "shadow": str(rule.shadow).lower(),
        "exceptions": ", ".join(sorted(one.id for one in rule.exceptions)),
    }


def _correlation(rule: Correlation) -> dict[str, str]:
    return {
        "level": rule.level,
        "type": rule.type,
        "rules": ", ".join(rule.rules if rule.type == "temporal_ordered" else sorted(rule.rules)),
        "condition": condition_text(rule),
        "field": ", ".join(rule.fields) + (f" (percentile {rule.percentile})" if rule.type == "value_percentile" else ""),
        "timespan": f"{rule.span_us // 1_000_000}s",
        "group-by": ", ".join(rule.group_by),
        "aliases": str({alias: dict(sorted(mapping.items())) for alias, mapping in sorted(rule.aliases.items())}) if rule.aliases else "",
        "generate": str(rule.generate).lower(),
        "shadow": str(rule.shadow).lower(),
    }


def _compared(old: dict[str, str], new: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {key: (old[key], new[key]) for key in old if old[key] != new[key]}


def _conditions(old: Node, new: Node) -> tuple[str, str]:
    """The tests that only one of two conditions has; the joining words where the tests are the same."""
    first, second = ({_leaf(leaf): leaf for leaf in leaves(node)} for node in (old, new))
    gone = [words(first[key]) for key in first if key not in second]
    come = [words(second[key]) for key in second if key not in first]
    return (_list(gone), _list(come)) if gone or come else (_joined(normal(old)), _joined(normal(new)))


def _list(texts: list[str]) -> str:
    return ", ".join(texts[:MOST_SHOWN]) + (f" and {len(texts) - MOST_SHOWN} more" if len(texts) > MOST_SHOWN else "")


def _joined(key: Any) -> str:
    """How tests are joined, in short."""
    if key[0] == "leaf":
        return str(key[1])
    if key[0] == "not":
        return f"not {_joined(key[1])}"
    return "(" + f" {key[0]} ".join(_joined(arg) for arg in key[1:]) + ")"


# --- the normal form --------------------------------------------------------------------------------------------------


def normal(node: Node) -> tuple[Any, ...]:
    """The normal form of a condition: equal for conditions that differ in order, repetition and nesting only."""
    if isinstance(node, Leaf):
        return _leaf(node)
    if isinstance(node, Not):
        inner = normal(node.arg)
        return inner[1] if inner[0] == "not" else ("not", inner)
    kind = "and" if isinstance(node, And) else "or"
    assert isinstance(node, (And, Or))
    parts: dict[tuple[Any, ...], None] = {}
    for arg in node.args:
        found = normal(arg)
        for part in found[1:] if found[0] == kind else (found,):
            parts[part] = None
    return next(iter(parts)) if len(parts) == 1 else (kind, *sorted(parts, key=repr))


def _leaf(leaf: Leaf) -> tuple[Any, ...]:
    folds = leaf.test in TEXT_TESTS and not leaf.cased
    pattern = fold(leaf.pattern) if folds and isinstance(leaf.pattern, str) else leaf.pattern
    parts = tuple(fold(part) if folds and isinstance(part, str) else part for part in leaf.parts)
    return ("leaf", f"{leaf.field} {leaf.test} {pattern!r}", leaf.cased, leaf.flags, parts if leaf.test == "like" else ())


# --- alerts -----------------------------------------------------------------------------------------------------------


def alerts_differ(before: Iterable[Alerted], after: Iterable[Alerted]) -> list[Told]:
    """Per rule how the alerts on the same events differ; rules whose alerts are the same are left out."""
    old, new = _alerts(before), _alerts(after)
    out = []
    for name in sorted(old.keys() | new.keys()):
        first, second = old.get(name, ("", set())), new.get(name, ("", set()))
        if first[1] != second[1]:
            gone, come = first[1] - second[1], second[1] - first[1]
            out.append(Told(name, second[0] or first[0], len(first[1] & second[1]), _events(gone), _events(come)))
    return out


def alerted(found: Evaluation) -> Iterator[Alerted]:
    """The alerts of an evaluation, for `alerts_differ`."""
    for alert in found.alerts:
        yield alert["rule_id"], alert["rule"], tuple(alert["events"]), tuple(sorted(alert.get("group", {}).items())), alert["level"]


def _alerts(alerts: Iterable[Alerted]) -> dict[str, tuple[str, set[tuple[Any, ...]]]]:
    out: dict[str, tuple[str, set[tuple[Any, ...]]]] = {}
    for rule, title, *key in alerts:
        out.setdefault(rule, (title, set()))[1].add(tuple(key))
    return out


def _events(keys: set[tuple[Any, ...]]) -> list[list[Any]]:
    return sorted(list(key[0]) for key in keys)
