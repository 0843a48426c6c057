from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings

from soc.rules.ast import And, Leaf, LogSource, Node, Not, Or, Rule, depth
from soc.rules.compile import compile_condition
from soc.rules.engine import compile_ruleset
from soc.rules.load import RuleSet
from soc.rules.match import matches
from soc.rules.sigma import MOST_DEPTH
from tests.rules.strategies import conditions, docs


@settings(max_examples=600, deadline=None)
@given(conditions, docs)
@example(And((Leaf("tags", "contains", "a"), Leaf("tags", "contains", "b"))), {"tags": ["a", "b"]})
@example(Or((Leaf("tags", "equals", "LỪA ĐẢO"), Leaf("tags", "endswith", ""))), {"tags": ["lừa đảo"]})
@example(Not(Leaf("tags", "equals", "")), {"tags": []})
@example(Leaf("tags", "number", 1), {"tags": True})
def test_compiled_equals_naive(condition: Node, doc: dict[str, Any]) -> None:
    """The compiled predicate says what the naive matcher says, for any condition and event."""
    assert compile_condition(condition)(doc.get, doc) == matches(condition, doc)


@settings(max_examples=400, deadline=None)
@given(conditions, docs)
@example(Leaf("event.code", "number", 5), {"event.code": ["05"]})
@example(Or((Leaf("event.code", "bool", True), Leaf("event.code", "equals", "5"))), {"event.code": True})
def test_the_index_loses_no_match(condition: Node, doc: dict[str, Any]) -> None:
    """The whole engine, index included, finds a rule exactly when the naive matcher does; also when asked twice."""
    rule = Rule("r", "t", "low", LogSource(category="firewall"), condition, "h")
    engine = compile_ruleset(RuleSet((rule,), "", ecs=False))
    wanted = (0,) if matches(condition, doc) else ()
    assert engine.classify(doc).matches == wanted
    assert engine.classify(doc).matches == wanted


def test_a_hostile_pattern_is_a_constant_never_code() -> None:
    """What a rule says does not enter the generated text."""
    evil = "'); __import__('os').abort(); ('"
    condition = And((Leaf(evil, "equals", evil), Not(Leaf(evil, "re", "x" + "y" * 50))))
    doc = {evil: evil}
    assert compile_condition(condition)(doc.get, doc) is True


def test_the_deepest_condition_that_loads_compiles() -> None:
    """Nesting up to what the loader lets pass is no trouble for Python's compiler."""
    condition: Node = Leaf("a", "equals", "b")
    while depth(condition) < MOST_DEPTH:
        condition = Not(condition) if depth(condition) % 2 else And((condition, Or((condition,))))
    assert compile_condition(condition)(({"a": "b"}).get, {"a": "b"}) == matches(condition, {"a": "b"})


def test_wildcards_are_linear() -> None:
    """A pattern of many wildcards against a long text that almost fits ends at once."""
    parts = (0, *(part for _ in range(30) for part in ("a", 0)), "b")
    condition = Leaf("user.name", "like", "", parts=parts)
    doc = {"user.name": "a" * 20_000}
    assert compile_condition(condition)(doc.get, doc) is False
