"""Sigma filters: exceptions written beside the rules that they change.

A filter's condition is joined to the rule's by `and`, as written (so an exception says `not selection`), for every rule
it names whose log source is the filter's or a narrower one. Names are never made up: the condition is read apart and
joined as a tree, so the same files always give the same rule.

Source: Sigma specification 2.1.0, «Sigma Filters»; pySigma 2.0 `SigmaFilter`.
"""

from __future__ import annotations

import hashlib
from datetime import MAXYEAR, MINYEAR, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

from soc.clock import from_datetime, iso
from soc.errors import RuleSyntaxError
from soc.model.text import display_safe
from soc.rules.ast import And, LogSource, Node, Rule, RuleException
from soc.rules.values import LOCAL_ZONE, local_time, zone_in_use, zone_named

if TYPE_CHECKING:
    import yaml

    from soc.rules.documents import Document

NEVER = "never"
"""What `soc.expires` says of an exception without an end."""
_ANOTHER_ZONE = ZoneInfo("UTC")
MOST_WORDS = 1_000
"""Characters of an owner or a reason."""


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
    owner: str = ""
    """Set = the filter is an exception: it has an owner, a reason and an end."""
    reason: str = ""
    expires: str = ""
    """RFC 3339 UTC with milliseconds; "" = never."""
    local_end: str = ""
    """The end as written, where it names no zone: `2027-02-01T00:00:00`; `expires` is then its time in some zone, see `in_zone`."""

    def in_zone(self, zone: str) -> Filter:
        """The filter with its end told in a zone, "" = that of `soc.rules.values`."""
        if not self.local_end:
            return self
        moment = datetime.fromisoformat(self.local_end).replace(tzinfo=zone_named(zone or zone_in_use()) or LOCAL_ZONE)
        return msgspec.structs.replace(self, expires=iso(from_datetime(moment)))

    def covers(self, source: LogSource) -> bool:
        """Whether rules of a log source are among those that the filter may change."""
        return all(not getattr(self.logsource, kind) or getattr(self.logsource, kind) == getattr(source, kind) for kind in ("category", "product", "service"))


def read_filter(document: Document, placeholders: dict[str, list[str]] | None = None) -> Filter:
    """The filter of a document.

    Raises: RuleSyntaxError when it is none, RuleUnsupported when it uses what is not evaluated.
    """
    from soc.rules.sigma import read_rule  # noqa: PLC0415 - it imports pySigma, which a start from the cache does not need

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
        *_exception(document),
    )


def _exception(document: Document) -> tuple[str, str, str, str]:
    """Owner, reason and end of an exception, and the end without a zone; four times "" for a plain filter.

    Raises: RuleSyntaxError.
    """
    part = document.data.get("soc")
    if part is None:
        return "", "", "", ""
    line = document.line_of("soc")
    if not isinstance(part, dict):
        raise RuleSyntaxError(document.path, line, "`soc` is no mapping")
    unknown = sorted(map(str, set(part) - {"owner", "expires", "reason"}))
    if unknown:
        shown = display_safe(unknown[0], most=40)
        raise RuleSyntaxError(
            document.path, document.line_of("soc", unknown[0]), f"`soc` of a filter has no key {shown!r}", hint="known: owner, expires, reason"
        )
    words = []
    for key in ("owner", "reason"):
        value = part.get(key)
        if not isinstance(value, str) or not value.strip() or len(value) > MOST_WORDS:
            raise RuleSyntaxError(document.path, document.line_of("soc", key), f"an exception needs `soc.{key}`, a text")
        words.append(value.strip())
    return words[0], words[1], *_end(document, part.get("expires"))


def _end(document: Document, value: Any) -> tuple[str, str]:
    """When an exception ends, and the same as written where that names no zone; a day counts to its end.

    Raises: RuleSyntaxError.
    """
    if value == NEVER:
        return "", ""
    text = value.isoformat() if isinstance(value, date) else value
    moment = local_time(text, LOCAL_ZONE) if isinstance(text, str) else None
    if moment is not None and MINYEAR < moment.year < MAXYEAR:  # the first and the last year do not have all of their days in all zones
        elsewhere = moment != local_time(text, _ANOTHER_ZONE)
        if len(text) == len("2026-11-20") and "-" in text:
            moment = datetime.combine(moment.date() + timedelta(days=1), time(), LOCAL_ZONE)
        return iso(from_datetime(moment)), moment.replace(tzinfo=None).isoformat() if elsewhere else ""
    raise RuleSyntaxError(
        document.path, document.line_of("soc", "expires"), "an exception needs `soc.expires`, a day or a time", hint=f"expires: 2027-01-31, or {NEVER}"
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
    import yaml  # noqa: PLC0415 - the same

    pairs = [
        (yaml.ScalarNode(key.tag, "detection", key.start_mark, key.end_mark) if getattr(key, "value", "") == "filter" else key, value)
        for key, value in root.value
    ]
    return yaml.MappingNode(root.tag, pairs, root.start_mark, root.end_mark)


def applied(rule: Rule, filters: list[Filter]) -> Rule:
    """The rule with the conditions of its filters and its exceptions; its hash names them all, as they change what it says.

    Exceptions are kept apart: they end, and what they let pass is counted.
    """
    if not filters:
        return rule
    ordered = sorted(filters, key=lambda one: (one.id, one.hash))
    digest = hashlib.blake2b("\x1f".join([rule.hash, *(one.hash for one in ordered)]).encode(), digest_size=16).hexdigest()
    plain = [one.condition for one in ordered if not one.owner]
    exceptions = tuple(RuleException(one.id, one.title, one.condition, one.hash, one.owner, one.reason, one.expires) for one in ordered if one.owner)
    return msgspec.structs.replace(rule, condition=And((rule.condition, *plain)) if plain else rule.condition, hash=digest, exceptions=exceptions)
