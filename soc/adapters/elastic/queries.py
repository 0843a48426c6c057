"""The query tree as Elasticsearch queries, and what is exact about them.

For the documents that are *regular* for a query (soc/adapters/elastic/document.py) most nodes translate exactly; such
a query is counted and aggregated by Elasticsearch, and only the few irregular documents are read and checked. Where a
node has no exact translation its query is a superset: candidates are streamed and `matches` decides.

| node | exact on | superset on |
|---|---|---|
| All, And, Or, Not, Exists | everything mapped or not | stored-only fields (`event.original`) |
| Term | keyword, vendor fields, unmapped text, ip, numbers, boolean | times, and addresses on fields that are not `ip` |
| Term with wildcard | keyword, unmapped; `10.0.0.*` on ip; trailing `*` on vendor fields | other wildcards on vendor fields, ip, numbers |
| Range | numbers, times, addresses by their own kind of bounds | text order, fields without type |
| Cidr | ip | other fields |
| Text | tokens, prefix | phrase (narrowed by its tokens) |

Each node is translated twice: `upper` fits every document that `matches` (and maybe others), `lower` none that does
not; negation swaps them. On regular documents of an exact query both are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network, ip_network
from typing import Any, NamedTuple

from soc.adapters.elastic.document import SEPARATOR, type_of
from soc.clock import iso
from soc.model.query.evaluate import as_address, as_number
from soc.model.query.moment import instant
from soc.model.query.tree import All, And, Cidr, Exists, Node, Not, Or, Range, Term, Text
from soc.model.text import vi_fold
from soc.ports import EventQuery

Clause = dict[str, Any]
_ALL: Clause = {"match_all": {}}
_NONE: Clause = {"match_none": {}}
_LONG = 2**63
_LAST_US = 9_200_000_000_000_000
"""date_nanos ends in 2262."""
# Reference: octets of an IPv4 address before `*`, as analysts type networks.
_OCTETS = re.compile(r"((?:\d{1,3}\.){1,3})\*", re.ASCII)
_LONGEST_PATTERN, _MOST_SINGLES = 256, 6
"""Of wildcards given to Elasticsearch: `?` after `*` doubles the states of Lucene's automaton, which has a limit."""
_V4_ONLY = {"gte": "0.0.0.0", "lte": "255.255.255.255"}  # noqa: S104 - the bounds of IPv4, no binding


class Translation(NamedTuple):
    """A node as Elasticsearch queries; `fields` are those that decide whether a document is regular for it."""

    upper: Clause
    lower: Clause
    exact: bool
    fields: frozenset[str]


class Plan(NamedTuple):
    """A whole query. `candidates` fits every result; with `exact`, it fits nothing else among regular documents."""

    candidates: Clause
    exact: bool
    fields: frozenset[str]
    certain: bool
    """No document needs to be checked."""


def plan(query: EventQuery) -> Plan:
    """How to ask Elasticsearch a query."""
    where = translate(query.where)
    filters: list[Clause] = [where.upper]
    if query.scope is not None:
        filters.append({"term": {"soc.scope": query.scope}})
    bounds = {name: value for name, value in (("gte", query.since_us), ("lt", query.until_us)) if value is not None}
    if bounds:
        # The milliseconds beside the exact bounds let Elasticsearch pass over whole partitions.
        coarse = {"lte" if name == "lt" else name: value // 1000 for name, value in bounds.items()}
        filters += [{"range": {"store.us": bounds}}, {"range": {"store.time": coarse}}]
    return Plan({"bool": {"filter": filters}}, where.exact, where.fields, where.exact and not where.fields)


def regular(fields: frozenset[str], *, yes: bool) -> Clause:
    """The documents that are regular for some fields, or those that are not."""
    odd: Clause = {"terms": {"store.odd": sorted(fields)}} if fields else _NONE
    return {"bool": {"must_not": [odd]}} if yes else odd


def translate(node: Node) -> Translation:
    """A node as queries."""
    if isinstance(node, All):
        return Translation(_ALL, _ALL, True, frozenset())
    if isinstance(node, And):
        return _join(node.nodes, _and, _ALL)
    if isinstance(node, Or):
        return _join(node.nodes, _or, _NONE)
    if isinstance(node, Not):
        inner = translate(node.node)
        return Translation(_not(inner.lower), _not(inner.upper), inner.exact, inner.fields)
    if isinstance(node, Text):
        return _text(node)
    clause, exact = _leaf(node)
    fields = frozenset([node.field])
    odd = regular(fields, yes=False)
    return Translation(_or([clause, odd]), _and([clause, _not(odd)]) if exact else _NONE, exact, fields)


def _join(nodes: tuple[Node, ...], how: Callable[[list[Clause]], Clause], empty: Clause) -> Translation:
    parts = [translate(node) for node in nodes]
    if not parts:
        return Translation(empty, empty, True, frozenset())
    return Translation(
        how([part.upper for part in parts]),
        how([part.lower for part in parts]),
        all(part.exact for part in parts),
        frozenset().union(*(part.fields for part in parts)),
    )


def _and(clauses: list[Clause]) -> Clause:
    return {"bool": {"filter": clauses}}


def _or(clauses: list[Clause]) -> Clause:
    return {"bool": {"should": clauses, "minimum_should_match": 1}}


def _not(clause: Clause) -> Clause:
    return {"bool": {"must_not": [clause]}}


# --- leaves: a clause, and whether it is exact on regular documents ---------------------------------------------------------

Leaf = tuple[Clause, bool]


def _leaf(node: Exists | Term | Range | Cidr) -> Leaf:
    kind = type_of(node.field)
    if kind == "stored":
        return _ALL, False
    if isinstance(node, Exists):
        return _exists(node.field, kind), True
    if isinstance(node, Cidr):
        return _cidr(node, kind)
    if isinstance(node, Range):
        return _range(node, kind)
    return _wildcard(node, kind) if node.wildcard else _term(node, kind)


def _exists(field: str, kind: str) -> Clause:
    return {"exists": {"field": field}} if kind else {"term": {"store.extra": field}}


def _term(node: Term, kind: str) -> Leaf:
    wanted = vi_fold(node.value)
    address = as_address(wanted)
    if kind == "ip":
        return ({"term": {node.field: str(address)}} if address is not None and "%" not in wanted else _NONE), True
    if kind == "long":
        number = as_number(node.value)
        return ({"term": {node.field: int(number)}} if number is not None and number == int(number) and -_LONG <= number < _LONG else _NONE), True
    if kind == "boolean":
        return ({"term": {node.field: wanted}} if wanted in {"true", "false"} else _NONE), True
    if kind in {"double", "date_nanos"} or (address is not None and kind in {"", "flattened"}):
        return _exists(node.field, kind), False
    if address is not None:  # it may be spelled in another way, then with a colon
        spelled: Clause = {"wildcard": {"store.folded": {"value": node.field + SEPARATOR + "*:*"}}}
        return _or(
            [
                {"term": {node.field: {"value": wanted, "case_insensitive": True}}},
                {"wildcard": {node.field: {"value": "*:*"}}},
                spelled,
                {"term": {"store.folded": node.field + SEPARATOR + wanted}},
            ]
        ), False
    folded: Clause = {"term": {"store.folded": node.field + SEPARATOR + wanted}}
    if not kind or not wanted.isascii():
        return folded, True
    return _or([folded, {"term": {node.field: {"value": wanted, "case_insensitive": True}}}]), True


def _wildcard(node: Term, kind: str) -> Leaf:
    wanted = vi_fold(node.value)
    if not wanted.strip("*") and wanted:
        return _exists(node.field, kind), True
    if kind == "ip":
        network = _octet_network(wanted)
        return ({"term": {node.field: network}}, True) if network else (_exists(node.field, kind), False)
    if kind in {"long", "double", "boolean", "date_nanos"}:
        return _exists(node.field, kind), False
    if len(wanted) > _LONGEST_PATTERN or ("*" in wanted and wanted.count("?") > _MOST_SINGLES):
        return _exists(node.field, kind), False
    pattern = wanted.replace("\\", "\\\\")
    folded: Clause = {"wildcard": {"store.folded": {"value": node.field.replace("\\", "\\\\") + SEPARATOR + pattern}}}
    if not kind:
        return folded, "*" not in node.field and "?" not in node.field
    if kind == "flattened":
        stem = wanted[:-1]
        if not (wanted.endswith("*") and stem and "*" not in stem and "?" not in stem):
            return _exists(node.field, kind), False
        plain: Clause = {"prefix": {node.field: {"value": stem, "case_insensitive": True}}}
    else:
        plain = {"wildcard": {node.field: {"value": pattern, "case_insensitive": True}}}
    if not wanted.isascii():
        return folded, True
    return _or([folded, plain]), "?" not in wanted  # `?` is one character of the folded text, not of the text as written


def _octet_network(pattern: str) -> str:
    """`10.0.*` as `10.0.0.0/16` ("" = it is no such pattern)."""
    found = _OCTETS.fullmatch(pattern)
    if not found:
        return ""
    octets = found[1].rstrip(".").split(".")
    if any(int(octet) > 255 or str(int(octet)) != octet for octet in octets):  # noqa: PLR2004 - an octet
        return ""
    return ".".join(octets + ["0"] * (4 - len(octets))) + f"/{8 * len(octets)}"


def _cidr(node: Cidr, kind: str) -> Leaf:
    try:
        network = ip_network(node.network, strict=False)
    except ValueError:
        return _NONE, True
    if kind in {"long", "double", "boolean", "date_nanos"}:
        return _NONE, True
    if kind != "ip":
        return _exists(node.field, kind), False
    if "%" in node.network:
        return _exists(node.field, kind), False
    if network.version == 6 and network.network_address.ipv4_mapped is not None:  # noqa: PLR2004
        return _NONE, True  # regular values are no mapped addresses, and Elasticsearch refuses such networks
    clause: Clause = {"term": {node.field: str(network)}}
    return (clause if isinstance(network, IPv4Network) else _without_v4(node.field, clause)), True


def _without_v4(field: str, clause: Clause) -> Clause:
    """Elasticsearch holds IPv4 addresses as mapped IPv6 ones; for us they are of another version."""
    return {"bool": {"filter": [clause], "must_not": [{"range": {field: _V4_ONLY}}]}}


def _range(node: Range, kind: str) -> Leaf:
    bounds = [bound for bound in (node.low, node.high) if bound is not None]
    if not bounds:
        return _exists(node.field, kind), True
    numbers = [as_number(bound) for bound in bounds]
    if None not in numbers:
        if kind == "long" and all(abs(number) < 2**52 for number in numbers if number is not None):
            return {"range": {node.field: _bounds(node, as_number)}}, True
        return (_NONE, True) if kind in {"ip", "boolean", "date_nanos"} else (_exists(node.field, kind), False)
    if all(instant(bound) is not None for bound in bounds):
        if kind == "date_nanos":
            return ({"range": {node.field: _bounds(node, _moment)}}, True) if all(_moment(bound) for bound in bounds) else (_exists(node.field, kind), False)
        return (_NONE, True) if kind in {"ip", "boolean", "long", "double"} else (_exists(node.field, kind), False)
    if kind == "ip" and all(as_address(bound) is not None and "%" not in bound for bound in bounds):
        return _address_range(node), True
    return _exists(node.field, kind), False


def _bounds(node: Range, read: Callable[[str], Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if node.low is not None:
        out["gte" if node.include_low else "gt"] = read(node.low)
    if node.high is not None:
        out["lte" if node.include_high else "lt"] = read(node.high)
    return out


def _moment(bound: str) -> str:
    """A bound as date_nanos understands it ("" = beyond what it holds)."""
    us = instant(bound)
    if us is None or not 0 <= us < _LAST_US:
        return ""
    return iso(us)


def _address_range(node: Range) -> Clause:
    versions = {address.version for bound in (node.low, node.high) if bound is not None and (address := as_address(bound)) is not None}
    if len(versions) > 1:
        return _NONE
    clause: Clause = {"range": {node.field: _bounds(node, lambda bound: str(as_address(bound)))}}
    if versions == {4}:
        return _and([clause, {"range": {node.field: _V4_ONLY}}])
    return _without_v4(node.field, clause)


def _text(node: Text) -> Translation:
    whole = node.tokens[:-1] if node.prefix else node.tokens
    clauses: list[Clause] = [{"term": {"store.text": token}} for token in whole]
    if node.prefix and node.tokens:
        clauses.append({"prefix": {"store.text": {"value": node.tokens[-1]}}})
    clause = _and(clauses) if clauses else _ALL
    return Translation(clause, _NONE if node.phrase else clause, not node.phrase, frozenset())
