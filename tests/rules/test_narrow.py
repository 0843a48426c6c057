"""The query that a rule implies finds whatever the rule matches."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.config import RulesSettings
from soc.ingest.normalize import ip
from soc.model.query.evaluate import matches
from soc.model.query.tree import All, And, Cidr, Exists, Or, Range, Term
from soc.model.text import vi_fold
from soc.rules.ast import And as AllOf
from soc.rules.ast import Leaf, LogSource, Node, Not, Rule
from soc.rules.ast import Or as AnyOf
from soc.rules.load import load_ruleset
from soc.rules.match import matches as rule_matches
from soc.rules.narrow import MOST_LEAVES, NOTHING, narrowed
from soc.rules.values import fold, scalars
from tests.rules.strategies import conditions, docs


def of(condition: Node, source: LogSource = LogSource()) -> Any:  # noqa: B008 - frozen
    """The query of a rule with this condition."""
    return narrowed([Rule("r", "", "high", source, condition, "h")])


def as_parsers_write(doc: dict[str, Any]) -> dict[str, Any]:
    """The document as events are: flat lists, 64-bit integers, canonical addresses, integer ports."""
    out: dict[str, Any] = {}
    for field, value in doc.items():
        items = [item for item in scalars(value) if not (isinstance(item, int) and abs(item) > 2**63)]
        if field.endswith(".ip"):
            items = [found for item in items if isinstance(item, str) and (found := _address(item))]
        if field.endswith(".port"):
            items = [item for item in items if type(item) is int]
        if items:
            out[field] = items if len(items) > 1 else items[0]
    return out


def _address(text: str) -> str:
    try:
        return ip(text)
    except ValueError:
        return ""


ports = st.sampled_from((0, 1, 5, 22, 443, -1))
port_leaf = st.builds(Leaf, st.just("destination.port"), st.sampled_from(("number", "gt", "gte", "lt", "lte", "equals", "startswith")), ports)
mixed: st.SearchStrategy[Node] = st.one_of(
    conditions,
    st.builds(lambda leaf, other: AllOf((leaf, other)), port_leaf, conditions),
    st.builds(lambda leaf, other: AnyOf((leaf, other)), port_leaf, conditions),
)


@settings(max_examples=600, deadline=None)
@given(condition=mixed, doc=docs, port=ports | st.lists(ports, max_size=2))
def test_what_a_rule_matches_its_query_finds(condition: Node, doc: dict[str, Any], port: Any) -> None:
    """Whatever the condition and the event: a match is found."""
    event = as_parsers_write({**doc, "destination.port": port})
    if rule_matches(condition, event):
        assert matches(of(condition), event)


def test_folding_of_queries_drops_all_that_folding_of_rules_does() -> None:
    """For every character: equal for rules means equal for queries, and text is folded piece by piece."""
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        assert vi_fold(fold(char)) == vi_fold(char), hex(code)
        assert vi_fold("aK" + char + "ß1") == "ak" + vi_fold(char) + "ss1", hex(code)


@pytest.mark.parametrize(
    ("leaf", "query"),
    [
        (Leaf("user.name", "equals", "Admin"), Term("user.name", "Admin")),
        (Leaf("user.name", "contains", "a*b?"), Term("user.name", "*a*b*", wildcard=True)),
        (Leaf("user.name", "startswith", "adm", cased=True), Term("user.name", "adm*", wildcard=True)),
        (Leaf("user.name", "contains", "55"), Exists("user.name")),
        (Leaf("user.name", "equals", ""), Exists("user.name")),
        (Leaf("user.name", "equals", "\ud800"), Exists("user.name")),
        (Leaf("user.name", "re", "evil|bad{2}"), Or((Term("user.name", "*bad*", wildcard=True), Term("user.name", "*evil*", wildcard=True)))),
        (Leaf("user.name", "re", ".*"), Exists("user.name")),
        (Leaf("user.name", "null"), All()),
        (Leaf("", "contains", "evil"), All()),
        (Leaf("destination.port", "number", 22), Term("destination.port", "22")),
        (Leaf("destination.port", "gt", 1024), Range("destination.port", "1024", None, include_low=False)),
        (Leaf("event.code", "number", 22), Exists("event.code")),
        (Leaf("source.ip", "cidr", "10.0.0.0/8"), Cidr("source.ip", "10.0.0.0/8")),
        (Leaf("source.ip", "cidr", "::/0"), Exists("source.ip")),
        (Leaf("host.name", "cidr", "10.0.0.0/8"), Exists("host.name")),
        (Leaf("source.ip", "fieldref", "destination.ip"), And((Exists("source.ip"), Exists("destination.ip")))),
        (Not(Leaf("user.name", "equals", "Admin")), All()),
    ],
)
def test_each_test_is_narrowed_as_far_as_queries_can_say_it(leaf: Node, query: Any) -> None:
    """What is exact is said, what is not is widened."""
    assert of(leaf) == query


def test_the_log_source_narrows_too_and_one_without_events_finds_nothing() -> None:
    """Routing fields become terms; a rule that no event can fit asks for none."""
    leaf = Leaf("user.name", "equals", "x")
    assert of(leaf, LogSource(category="firewall")) == And((Term("soc.kind", "firewall"), Term("user.name", "x")))
    assert of(leaf, LogSource(product="windows")) == NOTHING
    assert not matches(NOTHING, {"soc.kind": "firewall"})


def test_a_query_stays_within_bounds() -> None:
    """Too many alternatives become the fields they need; too many rules become their log sources."""
    many = AnyOf(tuple(Leaf("user.name", "equals", f"user{number}") for number in range(MOST_LEAVES + 1)))
    assert of(many) == Exists("user.name")
    source = LogSource(category="mail")
    rules = [Rule(str(number), "", "high", source, Leaf("user.name", "equals", f"u{number}"), "h") for number in range(300)]
    assert narrowed(rules) == Term("soc.kind", "mail")


def test_most_shipped_rules_are_narrowed_beyond_their_log_source() -> None:
    """The queries of what is shipped say something of the condition."""
    rules = [rule for rule in load_ruleset(RulesSettings())[0].rules if not rule.classify]
    bare = [narrowed([Rule(rule.id, "", "", rule.logsource, AllOf(()), "")]) for rule in rules]
    assert sum(narrowed([rule]) != of_source for rule, of_source in zip(rules, bare, strict=True)) >= 0.95 * len(rules)
