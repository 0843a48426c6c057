from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from soc.rules.ast import And, Leaf, Node, Not, Or
from soc.rules.explain import MOST_CHILDREN, explain
from soc.rules.match import matches
from tests.rules.strategies import conditions, docs


def test_every_leaf_tells_what_was_tested_and_what_was_there() -> None:
    """A match gives the value and its position, a miss the values of the field."""
    condition = And((Leaf("subject", "contains", "lừa đảo"), Not(Leaf("user", "equals", "admin")), Leaf("n", "gte", 5)))
    tree = explain(condition, {"subject": ["xin chào", "Thư LỪA ĐẢO"], "user": "nva", "n": 7})
    first, second, third = tree["children"]
    assert (tree["node"], tree["matched"]) == ("and", True)
    assert first == {
        "node": "field",
        "matched": True,
        "field": "subject",
        "test": "contains",
        "pattern": "lừa đảo",
        "matched_value": "Thư LỪA ĐẢO",
        "position": [4, 11],
    }
    assert second["children"][0] == {"node": "field", "matched": False, "field": "user", "test": "equals", "pattern": "admin", "values": ["nva"]}
    assert third["matched_value"] == 7


def test_keywords_name_the_text_they_were_found_in() -> None:
    """A keyword shows the field searched, the place, and of a long text only the part around it."""
    tree = explain(Leaf("", "contains", "needle"), {"event.original": "x" * 5_000 + "NEEDLE" + "y" * 5_000})
    assert (tree["node"], tree["field"], tree["position"]) == ("keyword", "event.original", [5_000, 5_006])
    assert "NEEDLE" in tree["matched_value"]
    assert len(tree["matched_value"]) <= 512


def test_positions_of_the_other_tests() -> None:
    """Begin, end, wildcards and expressions tell where they matched; a missing field shows no values."""
    assert explain(Leaf("f", "startswith", "ab"), {"f": "ABc"})["position"] == [0, 2]
    assert explain(Leaf("f", "endswith", "bc"), {"f": "aBC"})["position"] == [1, 3]
    assert explain(Leaf("f", "like", "*b?d*", parts=(0, "b", 1, "d", 0)), {"f": "aaBxDzz"})["position"] == [2, 5]
    assert explain(Leaf("f", "re", "b+"), {"f": "abbc"})["position"] == [1, 3]
    assert explain(Leaf("f", "equals", "x"), {})["values"] == []
    assert explain(Leaf("f", "fieldref", "g"), {"f": "x", "g": ["y", "X"]})["other_values"] == ["y", "X"]
    assert explain(Leaf("f", "null"), {})["matched"] is True


def test_what_attackers_wrote_is_shown_safely() -> None:
    """Control characters of a value are written out."""
    assert explain(Leaf("f", "contains", "x"), {"f": "\x1b[2Jx"})["matched_value"] == "\\x1b[2Jx"


def test_long_lists_are_cut_but_never_their_match() -> None:
    """Of a thousand alternatives the matching one is shown, and how many are not."""
    tree = explain(Or(tuple(Leaf("f", "equals", str(number)) for number in range(1000))), {"f": "999"})
    assert len(tree["children"]) == MOST_CHILDREN + 1
    assert tree["omitted"] == 999 - MOST_CHILDREN
    assert tree["children"][-1]["matched_value"] == "999"


@settings(max_examples=200, deadline=None)
@given(conditions, docs)
def test_the_tree_says_what_the_matcher_says(condition: Node, doc: dict[str, Any]) -> None:
    """At every branch and leaf, for any condition and event."""

    def check(node: Node, tree: dict[str, Any]) -> None:
        assert tree["matched"] is matches(node, doc)
        below = [] if isinstance(node, Leaf) else [node.arg] if isinstance(node, Not) else list(node.args)
        for inner, branch in zip(below, tree.get("children", []), strict=True):
            check(inner, branch)

    check(condition, explain(condition, doc))
