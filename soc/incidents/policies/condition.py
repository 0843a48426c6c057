"""What a policy asks of a group of alerts: the query language of events, over the fields of the group and of its alerts.

A group says by itself which rule, level, count, agencies and key it has; anything else (`soc.system.level`, `file.name`) is asked
of its alerts one by one, and only while the group's own fields leave the answer open. One alert must fulfil the whole condition.
Cost: 2 µs a group for what its own fields decide.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from soc.errors import Phrase, QuerySyntaxError
from soc.model.alert import Alert, AlertGroup, RuleRef
from soc.model.event import Doc, flatten
from soc.model.query import All, And, Cidr, Exists, Node, Not, Or, Range, Term, Text, matches, parse

OF_GROUPS: dict[str, Phrase] = {
    "rule.id": Phrase("id of the rule"),
    "rule.name": Phrase("title of the rule, in both languages"),
    "rule.level": Phrase("level of the rule: critical, high, medium, low, informational"),
    "rule.kind": Phrase("sigma, or health for what the platform says of itself"),
    "rule.tags": Phrase("tags of the rule, as attack.t1110"),
    "soc.threat.level": Phrase("highest threat level of its events"),
    "soc.threat.category": Phrase("threat category"),
    "soc.agency.id": Phrase("agencies concerned"),
    "soc.scope": Phrase("real, or exercise:<id>"),
    "soc.source": Phrase("source that is silent (of groups about silence)"),
    "count": Phrase("occurrences since the group was opened (in its generation)"),
    "total": Phrase("all occurrences"),
    "generation": Phrase("how often the group was opened"),
    "storm": Phrase("whether its rule floods and all its alerts of a day stand in this group"),
    "silence.minutes": Phrase("how long the source has been silent, or was"),
    "silence.open": Phrase("whether the source is still silent"),
}
"""Fields that a group has by itself → what they are. Beside them the fields of its key (`source.ip`, `user.name`, …)."""
STORM_KEY = "storm"
_SOURCE_KEY = "source"


def condition(text: str) -> Node:
    """The tree of a condition.

    Raises: QuerySyntaxError for what is no query, is empty, or holds free text or relative times.
    """
    node = parse(text)
    if isinstance(node, All):
        raise QuerySyntaxError(text, 0, "the condition is empty", hint="when: rule.level:critical")
    for part in leaves(node):
        if isinstance(part, (Text, All)):
            raise QuerySyntaxError(text, 0, "words without a field mean nothing to groups", hint='name the field: rule.name:"…"')
    return node


def leaves(node: Node) -> Iterable[Node]:
    """The comparisons of a condition."""
    if isinstance(node, (And, Or)):
        for child in node.nodes:
            yield from leaves(child)
    elif isinstance(node, Not):
        yield from leaves(node.node)
    else:
        yield node


def fields(node: Node) -> set[str]:
    """The fields that a condition asks for."""
    return {part.field for part in leaves(node) if isinstance(part, (Term, Range, Cidr, Exists))}


def group_doc(group: AlertGroup, *, count: int, generation: int, silence: tuple[int, bool] | None = None) -> Doc:
    """The fields of a group. `silence`: minutes, and whether it goes on."""
    doc: Doc = {
        **rule_doc(group.rule),
        "soc.threat.level": group.threat_level,
        "soc.threat.category": group.threat_category,
        "soc.agency.id": group.agencies,
        "soc.scope": group.scope,
        "count": count,
        "total": group.count,
        "generation": generation,
        "storm": STORM_KEY in group.key,
    }
    for name, value in group.key.items():
        if name == _SOURCE_KEY:
            doc["soc.source"] = value
        elif name not in doc:
            doc[name] = value
    if silence is not None:
        doc["silence.minutes"], doc["silence.open"] = silence
    return doc


def alert_doc(group: Doc, alert: Alert) -> Doc:
    """The fields of a group together with those of one of its alerts (all of its documents: lists of values)."""
    merged: dict[str, list[Any]] = {}
    for document in alert.documents:
        for name, value in flatten(document).items():
            held = merged.setdefault(name, [])
            held += [one for one in (value if isinstance(value, list) else [value]) if one not in held]
    return {**merged, **({"soc.source": alert.source} if alert.source else {}), **group}


def decided(node: Node, doc: Doc, known: Container[str] = OF_GROUPS) -> bool | None:
    """Whether a group fulfils a condition by its own fields; None = its alerts must be asked.

    `known`: fields of which absence from `doc` is an answer, too.
    """
    if isinstance(node, And):
        return _all(decided(child, doc, known) for child in node.nodes)
    if isinstance(node, Or):
        return _any(decided(child, doc, known) for child in node.nodes)
    if isinstance(node, Not):
        inner = decided(node.node, doc, known)
        return None if inner is None else not inner
    field = getattr(node, "field", "")
    return matches(node, doc) if field in doc or field in known else None


def rule_doc(rule: RuleRef) -> Doc:
    """The fields of a group that its rule decides."""
    return {
        "rule.id": rule.id,
        "rule.name": [rule.title, rule.title_vi] if rule.title_vi else rule.title,
        "rule.level": rule.level,
        "rule.kind": rule.kind,
        "rule.tags": list(rule.tags),
    }


def _all(parts: Iterable[bool | None]) -> bool | None:
    open_ = False
    for part in parts:
        if part is False:
            return False
        open_ = open_ or part is None
    return None if open_ else True


def _any(parts: Iterable[bool | None]) -> bool | None:
    open_ = False
    for part in parts:
        if part is True:
            return True
        open_ = open_ or part is None
    return None if open_ else False


def required_rules(node: Node) -> frozenset[str] | None:
    """The ids of rules of which a group must have one to fulfil a condition; None = any rule may do."""
    if isinstance(node, Term):
        return frozenset({node.value}) if node.field == "rule.id" and not node.wildcard else None
    if isinstance(node, And):
        found = [one for child in node.nodes if (one := required_rules(child)) is not None]
        return frozenset.intersection(*found) if found else None
    if isinstance(node, Or):
        every = [required_rules(child) for child in node.nodes]
        return None if any(one is None for one in every) else frozenset().union(*(one for one in every if one is not None))
    return None


def unknown_fields(node: Node, known: Mapping[str, Phrase] = OF_GROUPS) -> list[str]:
    """Fields that neither groups have nor events could: names without a dot that mean nothing."""
    return sorted(name for name in fields(node) if name not in known and "." not in name)


def why_not(error: QuerySyntaxError) -> Phrase:
    """The reason of an error as a policy file tells it."""
    return Phrase("when: {reason}", reason=error.message)
