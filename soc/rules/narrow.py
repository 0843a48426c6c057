"""A search of the store that finds every event a rule can match, and as few others as it can say.

A rule's condition and log source become a query that they imply: whatever the query language cannot say exactly is said
wider, or left out. So a search with it and the engine behind it find what asking the engine about everything finds.

Why each piece is implied: terms of queries compare by `vi_fold`, which drops more than `soc.rules.values.fold` does and
maps text piece by piece, so what is equal, begins, ends or stands inside after `fold` does so after `vi_fold`. Numbers and
addresses are narrowed only in fields whose type parsers guarantee (`soc.ingest.normalize`): elsewhere `+5`, ` 5` and
`fe80::1%eth0` mean to rules what they do not mean to queries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_network

from soc.model.query.tree import All, And, Cidr, Exists, Or, Range, Term
from soc.model.query.tree import Node as Query
from soc.rules.ast import FIELDREF_TESTS, NUMBER_TESTS, TEXT_TESTS, Leaf, LogSource, Node, Not, Rule
from soc.rules.ast import And as AllOf
from soc.rules.fields import Taxonomy, has_events, taxonomy
from soc.rules.literals import required
from soc.rules.values import composed, fold, text_of

MOST_LEAVES = 200
"""A larger query costs a store more than it saves: then parts are left out."""
_MOST_DIGITS = 40
"""Longer numbers are no numbers to queries."""
_INTEGERS = frozenset({"port", "bytes", "packets"})
"""Last names of ECS fields that hold integers only."""
# Reference: none; what the text of a number can consist of.
_DIGITS = re.compile(r"[0-9\-]*")
_MAPPED = ip_network("::ffff:0:0/96")

NOTHING: Query = Or(())
"""No event at all."""


def narrowed(rules: Iterable[Rule], names: Taxonomy | None = None) -> Query:
    """The query that finds every event that one of these rules (with ECS fields) matches."""
    known = names or taxonomy()
    chosen = list(rules)
    parts = [_of_rule(rule, known) for rule in chosen]
    if sum(map(_leaves, parts)) <= MOST_LEAVES:
        return _any(parts)
    return _any([_of_source(source, known) for source in dict.fromkeys(rule.logsource for rule in chosen) if has_events(source, known)])


def _of_rule(rule: Rule, names: Taxonomy) -> Query:
    if not has_events(rule.logsource, names):
        return NOTHING
    return _all([_of_source(rule.logsource, names), _implied(rule.condition)])


def _of_source(source: LogSource, names: Taxonomy) -> Query:
    """The events of a log source (see `soc.rules.fields.belongs`)."""
    parts = []
    for kind in ("category", "product", "service"):
        name = getattr(source, kind)
        if name:
            tables = names.route.get(kind, {}).get(name, {}).get("any", [])
            parts.append(_any([_all([_any([Term(field, value) for value in values]) for field, values in table.items()]) for table in tables]))
    return _all(parts)


def _implied(node: Node) -> Query:
    """What holds of every event of which the condition holds."""
    if isinstance(node, Leaf):
        return _test(node)
    if isinstance(node, Not):
        return All()
    parts = [_implied(arg) for arg in node.args]
    return _all(parts) if isinstance(node, AllOf) else _any(parts)


def _test(leaf: Leaf) -> Query:
    field, test = leaf.field, leaf.test
    if not field or test == "null" or (test == "exists" and not leaf.pattern):
        return All()
    if test in TEXT_TESTS:
        return _text(leaf)
    if test == "re":
        words = required(composed(str(leaf.pattern)))
        return _any([Term(field, f"*{word}*", wildcard=True) for word in sorted(words)]) if words else Exists(field)
    if test == "number" or test in NUMBER_TESTS:
        return _number(leaf)
    if test == "bool":
        return Term(field, fold(text_of(leaf.pattern)))
    if test == "cidr":
        return _network(field, str(leaf.pattern))
    if test in FIELDREF_TESTS:
        return And((Exists(field), Exists(str(leaf.pattern))))
    return Exists(field)


def _text(leaf: Leaf) -> Query:
    """Literal pieces between stars; a star in a literal, and one character that may be several once folded, are stars too."""
    text = str(leaf.pattern)
    pieces = {
        "equals": [text],
        "startswith": [text, "*"],
        "endswith": ["*", text],
        "contains": ["*", text, "*"],
        "like": [part if isinstance(part, str) else "*" for part in leaf.parts],
    }[leaf.test]
    literal = "".join(part for part in (leaf.parts if leaf.test == "like" else [text]) if isinstance(part, str))
    if not literal or not _encodable(literal):
        return Exists(leaf.field)
    digits = _DIGITS.fullmatch(literal) is not None
    if leaf.test == "equals":
        return Term(leaf.field, text) if not digits or len(text) <= _MOST_DIGITS else Exists(leaf.field)
    if digits:  # a float without fraction is an integer to rules, and has a point to queries
        return Exists(leaf.field)
    pattern = re.sub(r"\*+", "*", "".join(pieces).replace("?", "*"))
    return Term(leaf.field, pattern, wildcard=True) if pattern.strip("*") else Exists(leaf.field)


def _number(leaf: Leaf) -> Query:
    pattern = leaf.pattern
    bound = repr(pattern) if isinstance(pattern, int) and not isinstance(pattern, bool) else ""
    if leaf.field.rpartition(".")[2] not in _INTEGERS or not bound or len(bound) > _MOST_DIGITS:
        return Exists(leaf.field)
    if leaf.test == "number":
        return Term(leaf.field, bound)
    low = bound if leaf.test in {"gt", "gte"} else None
    return Range(leaf.field, low, None if low is not None else bound, include_low=leaf.test != "gt", include_high=leaf.test != "lt")


def _network(field: str, pattern: str) -> Query:
    network = ip_network(pattern)
    if not field.endswith(".ip") or (network.version == 6 and network.overlaps(_MAPPED)):  # noqa: PLR2004 - to queries a mapped address is the IPv4 one
        return Exists(field)
    return Cidr(field, pattern)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _all(parts: Iterable[Query]) -> Query:
    """All of the parts, within bounds: the smallest first, as they are also the ones that say most per cost."""
    flat: list[Query] = []
    for part in parts:
        flat += part.nodes if isinstance(part, And) else () if isinstance(part, All) else (part,)
    known = list(dict.fromkeys(flat))
    if NOTHING in known:
        return NOTHING
    if sum(map(_leaves, known)) > MOST_LEAVES:
        kept, left = [], MOST_LEAVES
        for part in sorted(known, key=_leaves):
            left -= _leaves(part)
            if left >= 0:
                kept.append(part)
        known = kept
    return All() if not known else known[0] if len(known) == 1 else And(tuple(known))


def _any(parts: Iterable[Query]) -> Query:
    flat: list[Query] = []
    for part in parts:
        flat += part.nodes if isinstance(part, Or) else (part,)
    known = tuple(dict.fromkeys(flat))
    if any(isinstance(part, All) for part in known):
        return All()
    if sum(map(_leaves, known)) > MOST_LEAVES:
        return _wider(known)
    return known[0] if len(known) == 1 else Or(known)


def _wider(known: tuple[Query, ...]) -> Query:
    """Too many alternatives: that their fields have values, where that is few and all that each needs."""
    fields = {getattr(part, "field", None) for part in known}
    if None in fields or len(fields) > MOST_LEAVES:
        return All()
    return _any([Exists(field) for field in sorted(str(field) for field in fields)])


def _leaves(node: Query) -> int:
    return sum(map(_leaves, node.nodes)) if isinstance(node, (And, Or)) else 1
