from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.rules.ast import And, Leaf, Node, Not, Or
from soc.rules.collection import Collection, load_collection
from soc.rules.diff import ADDED, CHANGED, REMOVED, TEXT, alerted, alerts_differ, difference, normal
from soc.rules.evaluate import evaluate
from soc.rules.match import matches
from tests.rules.strategies import conditions, docs

RULE = """title: Failed
name: failed
id: 11111111-0000-4000-8000-000000000001
logsource: {category: firewall}
detection:
    first: {event.action: [a, b]}
    second: {source.ip: 10.0.0.1}
    condition: first and second
level: low
"""
BURST = """title: Burst
id: 11111111-0000-4000-8000-000000000002
level: high
correlation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 60s, condition: {gte: 3}}
"""
A, B = Leaf("a", "equals", "x"), Leaf("b", "equals", "y")


def load(folder: Path, text: str) -> Collection:
    """The collection of a text."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "r.yml").write_text(text, encoding="utf-8")
    collection, errors, _ = load_collection([folder], ecs=False)
    assert errors == []
    return collection


CHANGES: dict[str, tuple[tuple[str, str], dict[str, tuple[str, str]]]] = {
    "a level": (("level: low", "level: high"), {"level": ("low", "high")}),
    "a log source": (("category: firewall", "category: mail"), {"logsource": ("category: firewall", "category: mail")}),
    "a value": (("10.0.0.1", "10.0.0.2"), {"condition": ("`source.ip equals '10.0.0.1'`", "`source.ip equals '10.0.0.2'`")}),
    "a word that joins": (
        ("first and second", "first or second"),
        {
            "condition": (
                "(source.ip equals '10.0.0.1' and (event.action equals 'a' or event.action equals 'b'))",
                "(event.action equals 'a' or event.action equals 'b' or source.ip equals '10.0.0.1')",
            )
        },
    ),
    "a window": (("timespan: 60s", "timespan: 2m"), {"timespan": ("60s", "120s")}),
    "a threshold": (("gte: 3", "gte: 4"), {"condition": ("gte 3", "gte 4")}),
    "a group": (("[user.name]", "[user.name, source.ip]"), {"group-by": ("user.name", "user.name, source.ip")}),
    "a type": (("type: event_count", "type: temporal"), {"type": ("event_count", "temporal"), "condition": ("gte 3", "gte 1")}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_is_named(tmp_path: Path, name: str) -> None:
    """The thing with what it was and what it is."""
    (old, new), facts = CHANGES[name]
    text = RULE + "---\n" + BURST
    changed = text.replace(old, new)
    if name == "a type":
        changed = changed.replace("gte: 3", "gte: 1")
    (found,) = difference(load(tmp_path / "a", text), load(tmp_path / "b", changed))
    assert (found.kind, found.facts) == (CHANGED, facts)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[a, b]", "[b, a]"),
        ("first and second", "second and first"),
        ("[a, b]", "[A, b, B]"),
        ("title: Failed", "title: Refused"),
        ("first and second", "not not second and first"),
    ],
)
def test_words_and_order_are_no_change(tmp_path: Path, old: str, new: str) -> None:
    """Another order, a repetition, another case of letters, another title: text only."""
    found = difference(load(tmp_path / "a", RULE), load(tmp_path / "b", RULE.replace(old, new)))
    assert [one.kind for one in found] == [TEXT]
    assert difference(load(tmp_path / "a", RULE), load(tmp_path / "c", RULE)) == []


def test_added_and_removed_rules_and_what_follows(tmp_path: Path) -> None:
    """A correlation that is gone lets its rules alert again."""
    first, second = load(tmp_path / "a", RULE + "---\n" + BURST), load(tmp_path / "b", RULE)
    found = difference(first, second)
    assert [(one.kind, one.title) for one in found] == [(REMOVED, "Burst"), (CHANGED, "Failed")]
    assert found[1].facts == {"alerts": ("none of its own", "yes")}
    assert [one.kind for one in difference(second, first)] == [ADDED, CHANGED]


@given(conditions, st.integers(0, 2**32))
def test_the_normal_form_does_not_see_order_nesting_and_repetition(node: Node, seed: int) -> None:
    """However a condition is shuffled and wrapped."""
    chance = random.Random(seed)

    def shuffled(one: Node) -> Node:
        if isinstance(one, Leaf):
            wrapped: list[Node] = [one, Not(Not(one)), And((one, one))]
            return chance.choice(wrapped)
        if isinstance(one, Not):
            return Not(shuffled(one.arg))
        args = [shuffled(arg) for arg in one.args]
        chance.shuffle(args)
        return type(one)((*args, args[0])) if args else one

    assert normal(shuffled(node)) == normal(node)


@given(conditions, conditions, docs)
def test_equal_normal_forms_mean_the_same(first: Node, second: Node, doc: dict[str, Any]) -> None:
    """Two conditions of one form agree on every event."""
    if normal(first) == normal(second):
        assert matches(first, doc) is matches(second, doc)
    assert normal(And((A, Or((B, A))))) != normal(Or((A, And((B, A)))))


def test_alerts_that_would_differ_are_told_by_rule(tmp_path: Path) -> None:
    """Numbers on both sides, and the events of the others."""
    text = RULE + "---\n" + BURST.replace("correlation: {", "correlation: {generate: true, ")
    first, second = load(tmp_path / "a", text), load(tmp_path / "b", text.replace("[a, b]", "[a, c]").replace("60s", "5s"))
    lines = [
        orjson.dumps({"@timestamp": f"2026-11-20T00:00:{second:02}Z", "event.action": action, "source.ip": "10.0.0.1", "user.name": "u"})
        for second, action in enumerate(["a", "a", "b", "a", "c"])
    ]
    failed, burst = alerts_differ(alerted(evaluate(first, lines)), alerted(evaluate(second, lines)))
    assert (failed.title, failed.both, failed.before_only, failed.after_only) == ("Failed", 3, [[3]], [[5]])
    assert (burst.title, burst.both, burst.before_only, burst.after_only) == ("Burst", 0, [[1, 2, 3, 4]], [[1, 2, 4, 5]])
    assert alerts_differ(alerted(evaluate(first, lines)), alerted(evaluate(first, lines))) == []
