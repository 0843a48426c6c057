"""The naive matcher: whether a rule matches an event, written plainly from the table of semantics.

It is the oracle of `soc.rules.compile`: the fast path must give the same for every rule and event. It is never
optimised; read it to learn what a rule means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Any

import re2

from soc.rules.ast import ANY_ONE, FIELDREF_TESTS, NUMBER_TESTS, STAR, TEXT_TESTS, TIME_TESTS, And, Leaf, Node, Not, Or
from soc.rules.values import address_of, composed, fold, local_time, number_of, scalars, text_of, time_part, zone_named

TEXT_FIELDS = ("event.original", "message")
"""What keywords are searched in: the first of these that the event has; without any, the values of all fields."""


def matches(node: Node, doc: Mapping[str, Any]) -> bool:
    """Whether the condition holds for a flat event."""
    if isinstance(node, And):
        return all(matches(arg, doc) for arg in node.args)
    if isinstance(node, Or):
        return any(matches(arg, doc) for arg in node.args)
    if isinstance(node, Not):
        return not matches(node.arg, doc)
    return leaf_holds(node, doc)


def leaf_holds(leaf: Leaf, doc: Mapping[str, Any]) -> bool:
    """Whether one test holds: for a field of several values, when it holds for one of them."""
    if leaf.test == "null":
        return not any(True for _ in scalars(doc.get(leaf.field)))
    if leaf.test == "exists":
        return any(True for _ in scalars(doc.get(leaf.field))) == leaf.pattern
    return any(holds(leaf, value, doc) for value in values_of(leaf, doc))


def values_of(leaf: Leaf, doc: Mapping[str, Any]) -> Iterator[Any]:
    """The values that a leaf looks at: of its field, or for a keyword the event's text."""
    if leaf.field:
        yield from scalars(doc.get(leaf.field))
        return
    for field in TEXT_FIELDS:
        if doc.get(field) is not None:
            yield from scalars(doc[field])
            return
    for value in doc.values():
        yield from scalars(value)


def holds(leaf: Leaf, value: Any, doc: Mapping[str, Any]) -> bool:
    """Whether one test holds for one scalar."""
    test, pattern = leaf.test, leaf.pattern
    if test in TEXT_TESTS:
        return _text_holds(leaf, text_of(value))
    if test == "number":
        return number_of(value) == pattern
    if test == "bool":
        return value is pattern or (isinstance(value, str) and fold(value) == text_of(pattern))
    if test in NUMBER_TESTS:
        number = number_of(value)
        return number is not None and _compare(test, number, pattern)
    if test == "re":
        return bool(regex(str(pattern), leaf.flags).search(searchable(text_of(value))))
    if test == "cidr":
        address = address_of(value)
        network = ip_network(str(pattern))
        return address is not None and address.version == network.version and address in network
    if test in FIELDREF_TESTS:
        return any(_text_holds(Leaf("", _REFERENCE[test], text_of(other), cased=leaf.cased), text_of(value)) for other in scalars(doc.get(str(pattern))))
    if test in TIME_TESTS:
        moment = local_time(value, zone_named(leaf.zone))
        if moment is None:
            return False
        part = time_part(moment, test)
        return _compare(leaf.flags, part, pattern) if leaf.flags else part == pattern
    raise AssertionError(test)


_REFERENCE = {"fieldref": "equals", "fieldref_contains": "contains", "fieldref_startswith": "startswith", "fieldref_endswith": "endswith"}


def _text_holds(leaf: Leaf, text: str) -> bool:
    fit = composed if leaf.cased else fold
    text = fit(text)
    if leaf.test == "like":
        return _like(tuple(fit(part) if isinstance(part, str) else part for part in leaf.parts), text)
    pattern = fit(str(leaf.pattern))
    if leaf.test == "equals":
        return text == pattern
    if leaf.test == "contains":
        return pattern in text
    if leaf.test == "startswith":
        return text.startswith(pattern)
    return text.endswith(pattern)


def _like(parts: tuple[str | int, ...], text: str) -> bool:
    """Whether the pattern fits the whole text: `*` any text, `?` any one character; also across line ends."""
    pattern: list[str | int] = []
    for part in parts:
        pattern.extend(part if isinstance(part, str) else (part,))
    at = star = 0
    resume = -1
    here = 0
    while here < len(text):
        if at < len(pattern) and (pattern[at] == ANY_ONE or pattern[at] == text[here]):
            at, here = at + 1, here + 1
        elif at < len(pattern) and pattern[at] == STAR:
            star, resume, at = at, here, at + 1
        elif resume >= 0:
            resume += 1
            at, here = star + 1, resume
        else:
            return False
    return all(part == STAR for part in pattern[at:])


def _compare(test: str, number: float, pattern: Any) -> bool:
    if test == "gt":
        return bool(number > pattern)
    if test == "gte":
        return bool(number >= pattern)
    if test == "lt":
        return bool(number < pattern)
    return bool(number <= pattern)


def regex(pattern: str, flags: str) -> Any:
    """The compiled expression: RE2, unanchored, case-sensitive unless flagged; linear in the text.

    Raises: re2.error for what RE2 refuses (look-around, back references).
    """
    options = re2.Options()
    options.log_errors = False
    return re2.compile((f"(?{flags})" if flags else "") + composed(pattern), options)


def searchable(text: str) -> str:
    """Text that an expression can search: NFC, lone surrogates as `?` (RE2 reads UTF-8)."""
    if text.isascii():
        return text
    return composed(text).encode("utf-8", "replace").decode("utf-8")
