"""Why a rule matched an event, or why not: the condition as a tree with the values that decided it.

It is made from the naive matcher, stored in the alert and readable without the engine (contract 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import re2

from soc.model.text import display_safe
from soc.rules.ast import FIELDREF_TESTS, STAR, TEXT_TESTS, TIME_TESTS, And, Leaf, Node, Not, Or
from soc.rules.match import TEXT_FIELDS, holds, leaf_holds, matches, regex, searchable, values_of
from soc.rules.values import composed, fold, scalars, text_of, zone_in_use

MOST_VALUES = 5
"""Values of a field shown where none matched."""
MOST_TEXT = 512
"""Characters shown of a value."""
MOST_CHILDREN = 50
"""Alternatives shown that did not match; those that matched are always shown."""


def explain(node: Node, doc: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of a condition for an event.

    Shape: `{"node": "and|or|not|field|keyword", "matched": bool, ...}`; branches have `children` (and `omitted`, how many
    alternatives without match are not shown); leaves have `field`, `test`, `pattern`, `values` (what the event has there)
    and, when they matched by a value, `matched_value` and `position` ([start, end) in it, for tests of a part of a text).
    """
    if isinstance(node, Leaf):
        return _leaf(node, doc)
    if isinstance(node, Not):
        return {"node": "not", "matched": matches(node, doc), "children": [explain(node.arg, doc)]}
    children = [explain(arg, doc) for arg in node.args]
    tree: dict[str, Any] = {"node": "and" if isinstance(node, And) else "or", "matched": matches(node, doc)}
    if isinstance(node, Or) and len(children) > MOST_CHILDREN:
        silent = [child for child in children if not child["matched"]]
        dropped = {id(child) for child in silent[MOST_CHILDREN:]}
        tree["omitted"] = len(dropped)
        children = [child for child in children if id(child) not in dropped]
    tree["children"] = children
    return tree


def _leaf(leaf: Leaf, doc: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {"node": "field" if leaf.field else "keyword", "matched": leaf_holds(leaf, doc)}
    tree["field"] = leaf.field or next((field for field in TEXT_FIELDS if doc.get(field) is not None), "*")
    tree["test"] = leaf.test
    tree["pattern"] = leaf.pattern
    if leaf.cased:
        tree["cased"] = True
    if leaf.flags:
        tree["flags"] = leaf.flags
    if leaf.test in TIME_TESTS:
        tree["zone"] = leaf.zone or zone_in_use()
    values = list(values_of(leaf, doc)) if leaf.test not in {"null", "exists"} else list(scalars(doc.get(leaf.field)))
    if tree["matched"] and leaf.test not in {"null", "exists"}:
        value = next(value for value in values if holds(leaf, value, doc))
        tree["matched_value"] = _shown(value)
        span = _position(leaf, text_of(value))
        if span:
            tree["position"] = list(span)
            start = max(0, span[0] - MOST_TEXT // 4)
            if len(text_of(value)) > MOST_TEXT:
                tree["matched_value"] = display_safe(text_of(value)[start : start + MOST_TEXT])
                tree["cut_at"] = start
    elif leaf.field:
        tree["values"] = [_shown(value) for value in values[:MOST_VALUES]]
    if leaf.test in FIELDREF_TESTS:
        tree["other_values"] = [_shown(value) for value in list(scalars(doc.get(str(leaf.pattern))))[:MOST_VALUES]]
    return tree


def _shown(value: Any) -> Any:
    return display_safe(value, most=MOST_TEXT) if isinstance(value, str) else value


def _position(leaf: Leaf, text: str) -> tuple[int, int] | None:
    """Where in the value the match stands, for tests that look at a part; characters of the value as stored.

    Folding keeps the length of nearly every text; where it does not, no position is told.
    """
    if leaf.test == "re":
        found = regex(str(leaf.pattern), leaf.flags).search(searchable(text))
        return found.span() if found and len(searchable(text)) == len(text) else None
    if leaf.test not in TEXT_TESTS or leaf.test == "equals":
        return None
    fit = composed if leaf.cased else fold
    folded = fit(text)
    if len(folded) != len(text):
        return None
    if leaf.test == "like":
        return _like_position([fit(part) if isinstance(part, str) else part for part in leaf.parts], folded)
    pattern = fit(str(leaf.pattern))
    at = {"contains": folded.find(pattern), "startswith": 0, "endswith": len(folded) - len(pattern)}[leaf.test]
    return at, at + len(pattern)


def _like_position(parts: list[str | int], text: str) -> tuple[int, int] | None:
    """Where the part between the outer wildcards stands."""
    inner = parts[1:] if parts[0] == STAR else parts
    inner = inner[:-1] if inner and inner[-1] == STAR else inner
    if not inner:
        return None
    try:
        found = regex("(?s)" + "".join(re2.escape(part) if isinstance(part, str) else ".*?" if part == STAR else "." for part in inner), "").search(
            searchable(text)
        )
    except re2.error:
        return None
    return found.span() if found else None
