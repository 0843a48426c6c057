"""Sigma filters: exceptions written beside the rules that they change.

A filter's condition is joined to the rule's by `and`, as written (so an exception says `not selection`), for every rule
it names whose log source is the filter's or a narrower one. Names are never made up: the condition is read apart and
joined as a tree, so the same files always give the same rule.

Source: Sigma specification 2.1.0, «Sigma Filters»; pySigma 2.0 `SigmaFilter`.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import yaml

from soc.errors import RuleSyntaxError
from soc.rules.ast import And, LogSource, Node, Rule
from soc.rules.documents import Document
from soc.rules.sigma import read_rule


class Filter(msgspec.Struct, frozen=True):
    """One filter. `rules`: the ids or names that it names; () = every rule of its log source."""

    id: str
    title: str
    logsource: LogSource
    condition: Node
    hash: str
    rules: tuple[str, ...] = ()
    name: str = ""
    path: str = ""
    line: int = 0
    rules_line: int = 0

    def covers(self, source: LogSource) -> bool:
        """Whether rules of a log source are among those that the filter may change."""
        return all(not getattr(self.logsource, kind) or getattr(self.logsource, kind) == getattr(source, kind) for kind in ("category", "product", "service"))


def read_filter(document: Document, placeholders: dict[str, list[str]] | None = None) -> Filter:
    """The filter of a document.

    Raises: RuleSyntaxError when it is none, RuleUnsupported when it uses what is not evaluated.
    """
    part = document.data["filter"]
    if not isinstance(part, dict):
        raise RuleSyntaxError(document.path, document.line_of("filter"), "`filter` is no mapping")
    for key in ("detection", "correlation"):
        if document.data.get(key) is not None:
            raise RuleSyntaxError(document.path, document.line_of(key), f"a document is one thing: it has `filter` and `{key}`")
    if "logsource" not in document.data:
        raise RuleSyntaxError(document.path, document.line, "a Sigma filter needs `logsource`")
    if not isinstance(part.get("condition"), str):
        raise RuleSyntaxError(document.path, document.line_of("filter", "condition"), "a filter needs one `condition`, a text", hint="condition: not selection")
    rules = _rules(document, part)
    detection = {key: value for key, value in part.items() if key != "rules"}
    data = {key: value for key, value in document.data.items() if key not in {"filter", "soc"}} | {"detection": detection}
    rule = read_rule(msgspec.structs.replace(document, data=data, root=_renamed(document.root)), placeholders)
    name = document.data.get("name")
    return Filter(
        rule.id,
        rule.title,
        rule.logsource,
        rule.condition,
        rule.hash,
        rules,
        name.strip() if isinstance(name, str) else "",
        document.path,
        document.line_of("title"),
        document.line_of("filter", "rules"),
    )


def _rules(document: Document, part: dict[str, Any]) -> tuple[str, ...]:
    line = document.line_of("filter", "rules")
    if "rules" not in part:
        raise RuleSyntaxError(document.path, document.line_of("filter"), "a filter says for which `rules` it is", hint="rules: any, or a list of ids and names")
    value = part["rules"]
    if isinstance(value, str) and value.lower() == "any":
        return ()
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) and item.strip() for item in items):
        raise RuleSyntaxError(document.path, line, "`rules` is neither `any` nor a list of rule ids and names")
    return tuple(dict.fromkeys(item.strip() for item in items))


def _renamed(root: yaml.MappingNode) -> yaml.MappingNode:
    """The document with `filter` called `detection`, so that errors of the condition find their lines."""
    pairs = [
        (yaml.ScalarNode(key.tag, "detection", key.start_mark, key.end_mark) if getattr(key, "value", "") == "filter" else key, value)
        for key, value in root.value
    ]
    return yaml.MappingNode(root.tag, pairs, root.start_mark, root.end_mark)


def applied(rule: Rule, filters: list[Filter]) -> Rule:
    """The rule with the conditions of its filters; its hash names them all, as they change what it says."""
    if not filters:
        return rule
    ordered = sorted(filters, key=lambda one: (one.id, one.hash))
    digest = hashlib.blake2b("\x1f".join([rule.hash, *(one.hash for one in ordered)]).encode(), digest_size=16).hexdigest()
    return msgspec.structs.replace(rule, condition=And((rule.condition, *(one.condition for one in ordered))), hash=digest)
