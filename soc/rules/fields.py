"""What Sigma's fields and log sources are in our events: the mapping of rules to ECS, and which events a rule is asked of.

The data stand in `taxonomy.toml`. Rules may name ECS fields as well; those stay as they are.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from soc.rules.ast import FIELDREF_TESTS, TIME_TESTS, And, Leaf, LogSource, Node, Or, Rule, leaves, rewrite

Place = tuple[Any, ...]
"""The values of the routing fields of an event, in the order of `Taxonomy.routing`."""


class Taxonomy(msgspec.Struct, frozen=True):
    """The mapping as it stands in the file. `text`: the file itself, part of the rule-set hash."""

    text: str
    ecs: frozenset[str]
    routing: tuple[str, ...]
    common: dict[str, int]
    route: dict[str, dict[str, dict[str, list[dict[str, list[str]]]]]]
    fields: dict[str, dict[str, dict[str, str | list[str]]]]
    prefix: dict[str, dict[str, str]]


@cache
def taxonomy() -> Taxonomy:
    """The shipped mapping."""
    text = files("soc.rules").joinpath("taxonomy.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    return Taxonomy(text, frozenset(data["ecs"]), tuple(data["routing"]), data["common"], data["route"], data["fields"], data["prefix"])


def mapped(rule: Rule, names: Taxonomy) -> Rule:
    """The rule with ECS fields in place of Sigma's; what has no counterpart stays and is named in `unmapped`."""
    unmapped: set[str] = set()

    def fields_of(field: str) -> list[str]:
        found = ecs_fields(field, rule.logsource, names)
        if not found:
            unmapped.add(field)
        return found or [field]

    def change(leaf: Leaf) -> Node:
        if not leaf.field:
            return leaf
        other = fields_of(str(leaf.pattern)) if leaf.test in FIELDREF_TESTS else [leaf.pattern]
        leaves = tuple(msgspec.structs.replace(leaf, field=field, pattern=pattern) for field in fields_of(leaf.field) for pattern in other)
        return leaves[0] if len(leaves) == 1 else Or(leaves) if leaf.test != "null" else _all_null(leaves)

    condition = rewrite(rule.condition, change)
    exceptions = tuple(msgspec.structs.replace(one, condition=rewrite(one.condition, change)) for one in rule.exceptions)
    return msgspec.structs.replace(rule, condition=condition, exceptions=exceptions, unmapped=tuple(sorted(unmapped)))


def zoned(rule: Rule, zone: str) -> Rule:
    """The rule with parts of times told in a zone."""
    if not any(leaf.test in TIME_TESTS for node in (rule.condition, *(one.condition for one in rule.exceptions)) for leaf in leaves(node)):
        return rule

    def change(leaf: Leaf) -> Node:
        return msgspec.structs.replace(leaf, zone=zone) if leaf.test in TIME_TESTS else leaf

    exceptions = tuple(msgspec.structs.replace(one, condition=rewrite(one.condition, change)) for one in rule.exceptions)
    return msgspec.structs.replace(rule, condition=rewrite(rule.condition, change), exceptions=exceptions)


def _all_null(leaves: tuple[Leaf, ...]) -> Node:
    """A Sigma field that is several of ours is absent when all of them are."""
    return And(leaves)


def ecs_fields(field: str, source: LogSource, names: Taxonomy) -> list[str]:
    """The ECS fields of a Sigma field in a log source, [] when there are none."""
    for kind in ("service", "product", "category"):
        found = names.fields.get(kind, {}).get(getattr(source, kind), {}).get(field)
        if found:
            return [found] if isinstance(found, str) else list(found)
    if "." in field or field.startswith("@") or field in names.ecs:
        return [field]
    prefix = names.prefix.get("product", {}).get(source.product)
    return [prefix + field] if prefix else []


def belongs(source: LogSource, place: Mapping[str, Any], names: Taxonomy) -> bool:
    """Whether an event with these routing values is of the log source."""
    for kind in ("category", "product", "service"):
        name = getattr(source, kind)
        if name and not any(_fits(table, place) for table in names.route.get(kind, {}).get(name, {}).get("any", [])):
            return False
    return True


def has_events(source: LogSource, names: Taxonomy) -> bool:
    """Whether any event of this program can be of the log source."""
    return all(not getattr(source, kind) or getattr(source, kind) in names.route.get(kind, {}) for kind in ("category", "product", "service"))


def _fits(table: dict[str, list[str]], place: Mapping[str, Any]) -> bool:
    return all(place.get(field) in values for field, values in table.items())
