from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from soc.rules.ast import And, Leaf, Node, Not, Or
from soc.rules.match import matches
from soc.rules.mutation import Score, as_item, correlation_mutants, median, mutants, weaker
from soc.rules.testing import mutation_scores
from tests.rules.strategies import conditions
from tests.rules.test_collection import CORRELATION, DETECTION
from tests.rules.test_load import put

A, B = Leaf("a", "equals", "1"), Leaf("b", "contains", "x")
MUTANTS: dict[str, tuple[Node, list[str]]] = {
    "a part of an and, and its kind": (And((A, Not(A))), ["without `a equals '1'`", "`or` in", "without the `not`"]),
    "an alternative": (Or((A, B)), ["without `a equals", "without `b contains", "`and` in"]),
    "quarters of a long list": (
        Or(tuple(Leaf("a", "equals", str(n)) for n in range(100))),
        ["without `a equals '0'` and the next 24", "without `a equals '75'`"],
    ),
    "modifiers": (Leaf("a", "startswith", "x", cased=True), ["any value", "the whole value", "`contains`", "without `cased`"]),
    "flags": (Leaf("a", "re", "x", flags="i"), ["any value", "without flags"]),
    "numbers": (Leaf("a", "gt", 5), ["one more", "one less", "`gte`"]),
    "absence": (Leaf("a", "null", None), ["the contrary"]),
    "keywords": (Leaf("", "contains", "x"), ["the whole value in `the text"]),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule cache of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", MUTANTS)
def test_every_kind_of_change_is_made(name: str) -> None:
    """Each change is there with its words, and at last the whole as always and never true."""
    condition, wanted = MUTANTS[name]
    names = [text for text, _ in mutants(condition)]
    assert all(any(text.startswith(start) for text in names) for start in wanted), names
    assert names[-2:] == ["always true", "never true"]


@given(conditions)
def test_mutants_differ_from_the_rule_and_from_each_other(condition: Node) -> None:
    """No mutant is the condition itself, none comes twice."""
    found = [node for _, node in mutants(condition)]
    assert condition not in found
    assert len(set(found)) == len(found)


def test_tests_that_prove_a_rule_score_more(tmp_path: Path) -> None:
    """A match alone leaves every weaker rule alive; near misses kill them."""
    text = "title: x\nid: 11111111-0000-4000-8000-00000000000{n}\nlogsource: {{category: firewall}}\ndetection: {{sel: {{event.action: deny, destination.port|gt: 5}}, condition: sel}}\n"
    hit = "{soc.kind: firewall, event.action: deny, destination.port: 6}"
    put(tmp_path, "a.yml", text.format(n=1))
    put(tmp_path, "a.test.yml", f"- {{name: hit, events: [{hit}], expect: {{alerts: 1}}}}\n")
    put(tmp_path, "b.yml", text.format(n=2))
    misses = "{event.action: allow, destination.port: 6}, {event.action: deny, destination.port: 5}, {event.action: deny, destination.port: 4}"
    put(tmp_path, "b.test.yml", f"- {{name: hit, events: [{hit}], expect: {{alerts: 1}}}}\n- {{name: near, events: [{misses}], expect: {{alerts: 0}}}}\n")
    put(tmp_path, "c.yml", text.format(n=3))
    put(tmp_path, "d.yml", text.format(n=4))
    put(tmp_path, "d.test.yml", "- {name: broken}\n")
    weak, strong, untested, broken = mutation_scores(tmp_path)
    assert weak.score < 0.4 < strong.score == 1.0
    assert "any value in `event.action equals 'deny'`" in weak.survivors
    assert "`gte` in `destination.port gt 5`" in weak.survivors
    assert (untested.mutants, untested.score) == (0, 0.0)
    assert "cannot be read" in untested.reason
    assert "list of cases" in broken.reason
    assert median([weak, strong, untested]) == pytest.approx((weak.score + 1) / 2)
    assert as_item(strong)["score"] == 1.0
    assert median([]) == 0.0
    assert median([strong]) == strong.score


def test_correlations_are_changed_in_threshold_window_groups_and_members(tmp_path: Path) -> None:
    """Boundary cases kill the mutants of a threshold and a window; without them they live."""
    put(tmp_path, "a.yml", DETECTION.format(n=1).replace("category: test", "category: firewall") + "---\n" + CORRELATION.format(rule="d"))
    base = "base: {soc.kind: firewall, a: '1', u: x}"
    put(tmp_path, "a.test.yml", f"- {{name: hit, {base}, events: {{repeat: 5, every: 1s}}, expect: {{alerts: 1}}}}\n")
    (weak,) = mutation_scores(tmp_path)
    assert weak.rule == "c"
    assert {"a longer timespan", "a shorter timespan", "`gte` one more than 2", "`gte` one less than 2", "without `u` in group-by"} <= set(weak.survivors)
    more = [
        f"- {{name: the window is closed, {base}, events: [{{at: 0}}, {{at: 60s}}], expect: {{alerts: 1}}}}",
        f"- {{name: too slow, {base}, events: [{{at: 0}}, {{at: 61s}}], expect: {{alerts: 0}}}}",
        f"- {{name: too few, {base}, events: [{{at: 0}}], expect: {{alerts: 0}}}}",
        f"- {{name: two groups, {base}, events: [{{at: 0}}, {{at: 1, u: y}}], expect: {{alerts: 0}}}}",
        f"- {{name: another value, {base}, events: [{{at: 0}}, {{at: 1, a: '2'}}], expect: {{alerts: 0}}}}",
    ]
    put(tmp_path, "a.test.yml", "\n".join(more) + "\n")
    (strong,) = mutation_scores(tmp_path)
    assert strong.survivors == ()
    assert strong.mutants >= 7


def test_every_part_of_a_boolean_condition_is_changed(tmp_path: Path) -> None:
    """`and` and `or` exchanged, `not` left out, parts left out, order ignored."""
    from soc.rules.collection import load_collection

    text = DETECTION.format(n=1) + "---\n" + DETECTION.format(n=2).replace("name: d", "name: e") + "---\n" + DETECTION.format(n=3).replace("name: d", "name: f")
    text += "---\ntitle: C\nid: c\ncorrelation: {type: temporal, rules: [d, e, f], timespan: 1m, condition: d and (e or not f)}\n"
    text += "---\ntitle: O\nid: o\ncorrelation: {type: temporal_ordered, rules: [d, e], timespan: 1m}\n"
    text += "---\ntitle: V\nid: v\ncorrelation: {type: value_count, rules: [d], timespan: 1m, condition: {eq: 3, field: [x, y]}}\n"
    put(tmp_path, "a.yml", text)
    collection, errors, _ = load_collection([tmp_path], ecs=False)
    assert errors == []
    found = {rule.id: [name for name, _ in correlation_mutants(rule, collection.part(rule.id))] for rule in collection.correlations}
    assert {"`or` for `and`", "`and` for `or`", "without part 2"} <= set(found["c"])
    assert any(name.startswith("without the `not` of") for name in found["c"])
    assert "in any order" in found["o"]
    assert {"events counted in place of values", "without `x` in the values counted", "`neq` for `eq`"} <= set(found["v"])


def test_a_score_is_the_share_of_mutants_killed() -> None:
    """Nothing to kill is no merit."""
    assert Score("r", "t", "p", 1, 4, 3, ("x",)).score == 0.75
    assert Score("r", "t", "p", 1, 0, 0, ()).score == 0.0


def test_weaker_rules_lack_one_part() -> None:
    """Each part of an AND left out once; anything else taken as always and as never true."""
    assert [name for name, _ in weaker(And((A, Not(B))))] == ["without part 1", "without part 2", "never true"]
    assert [(name, matches(node, {"a": "1"}), matches(node, {})) for name, node in weaker(Or((A, B)))] == [
        ("always true", True, True),
        ("never true", False, False),
    ]
