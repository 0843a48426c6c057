"""Exceptions: whether one is in force for an event, which one lets an event pass, and how that is explained.

An exception is a Sigma filter with an owner, a reason and an end (`soc.rules.filters`). It ends by the time at which the
line was received, which stands in the log: a replay of last year is under the exceptions of last year.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soc.clock import from_datetime, iso
from soc.rules.ast import Rule, RuleException
from soc.rules.explain import explain
from soc.rules.match import matches
from soc.rules.values import local_time

_ISO = len("2026-11-20T00:00:00.000Z")


def in_force(exception: RuleException, doc: Mapping[str, Any]) -> bool:
    """Whether an exception holds for an event: by its received time, else its own; without either it does."""
    if not exception.expires:
        return True
    at = received_at(doc)
    return not at or at < exception.expires


def received_at(doc: Mapping[str, Any]) -> str:
    """The time by which exceptions end, as RFC 3339 UTC with milliseconds; "" when the event has none that can be read."""
    at = doc.get("soc.received_at") or doc.get("@timestamp")
    if isinstance(at, list):
        at = at[0] if at else None
    if isinstance(at, str) and len(at) == _ISO and at.endswith("Z"):
        return at
    moment = local_time(at)
    return "" if moment is None else iso(from_datetime(moment))


def letting_pass(rule: Rule, doc: Mapping[str, Any]) -> RuleException | None:
    """The exception that keeps a rule from an event which its condition matches; None when none does."""
    return next((one for one in rule.exceptions if in_force(one, doc) and not matches(one.condition, doc)), None)


def explained(rule: Rule, doc: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of a rule for an event; with `lists` and `exceptions` when the rule has any, of those with whether each covers the event."""
    tree = explain(rule.condition, doc)
    if rule.lists:
        tree["lists"] = list(rule.lists)
    if rule.exceptions:
        tree["exceptions"] = [
            {
                "id": one.id,
                "title": one.title,
                "owner": one.owner,
                "reason": one.reason,
                "expires": one.expires,
                "in_force": in_force(one, doc),
                "covers": not matches(one.condition, doc),
            }
            for one in rule.exceptions
        ]
    return tree
