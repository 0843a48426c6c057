"""Translation of the query tree: what is exact on Elasticsearch, and what only narrows."""

from __future__ import annotations

import pytest

from soc.adapters.elastic.queries import plan, translate
from soc.model.query import All, And, Cidr, Exists, Node, Not, Or, Range, Term, Text
from soc.ports import EventQuery


@pytest.mark.parametrize(
    "node",
    [
        All(),
        Term("soc.threat.level", "HIGH"),
        Term("soc.threat.category", "spam"),
        Term("soc.source", "fgt-01"),
        Term("source.ip", "10.0.0.1"),
        Term("source.ip", "10.0.*", wildcard=True),
        Term("source.ip", "no address"),
        Term("destination.port", "443"),
        Term("destination.port", "443.0"),
        Term("soc.blocked", "true"),
        Term("email.subject", "Hoá đơn"),
        Term("email.subject", "*hoá đơn*", wildcard=True),
        Term("fortinet.firewall.vd", "root"),
        Term("fortinet.firewall.vd", "ro*", wildcard=True),
        Term("unheard.of", "x*y", wildcard=True),
        Range("destination.port", "1", "1024"),
        Range("@timestamp", "2026-11-20T00:00:00Z", None),
        Range("source.ip", "10.0.0.1", "10.0.0.9"),
        Range("source.ip", "2001:db8::", None),
        Cidr("source.ip", "10.0.0.0/8"),
        Cidr("source.ip", "2001:db8::/32"),
        Exists("user.name"),
        Exists("no.such"),
        Text(("evil", "com")),
        Text(("evil", "co"), prefix=True),
        Not(Term("event.action", "deny")),
        And((Term("event.action", "deny"), Or((Cidr("source.ip", "10.0.0.0/8"), Text(("x",)))))),
    ],
    ids=str,
)
def test_the_important_nodes_are_answered_by_elasticsearch_alone(node: Node) -> None:
    """Counts and figures of these need no document to be read, but for the few irregular ones."""
    assert translate(node).exact


@pytest.mark.parametrize(
    "node",
    [
        Term("event.start", "2026-11-20T00:00:00Z"),
        Term("log.source.address", "10.0.0.1"),
        Term("event.original", "x"),
        Term("event.action", "d?ny", wildcard=True),
        Term("fortinet.firewall.vd", "*oot", wildcard=True),
        Term("source.ip", "*.1", wildcard=True),
        Term("destination.port", "4*", wildcard=True),
        Range("user.name", "a", "b"),
        Range("fortinet.firewall.crscore", "1", "30"),
        Cidr("observer.name", "10.0.0.0/8"),
        Text(("hoa", "don"), phrase="hoá đơn"),
        And((Term("event.action", "deny"), Text(("hoa",), phrase="hoá"))),
    ],
    ids=str,
)
def test_the_others_only_narrow(node: Node) -> None:
    """Candidates of these are read and checked one by one; nothing certain is claimed of them."""
    assert not translate(node).exact
    assert not plan(EventQuery(node)).certain


def test_hostile_patterns_do_not_reach_the_automaton() -> None:
    """Patterns that would explode in Lucene are checked here instead."""
    for pattern in ("*a" + "?" * 20, "*" + "a*" * 200):
        upper = translate(Term("user.name", pattern, wildcard=True)).upper
        assert "wildcard" not in str(upper)


def test_negation_swaps_the_bounds() -> None:
    """What might match must not be excluded: `not` of an inexact node excludes nothing."""
    inexact = translate(Not(Term("event.start", "2026-11-20T00:00:00Z")))
    assert inexact.upper == {"bool": {"must_not": [{"match_none": {}}]}}
