"""Retractions: a wrong rule's alerts of a period, withdrawn by one recorded defect.

The alerts stay where they are, also those that a replay writes for the period later; they stand in no list, count, group or
message of those that count. Undoing is a fact too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

FACT = "retraction"
"""The kind of the facts: `{"id", "rule", "from_us", "until_us", "by", "why", "at", …}`, or `{"undoes": id, "by", "why", "at"}`."""


class Retraction(msgspec.Struct, frozen=True):
    """The alerts of a rule with a time in [from_us, until_us), microseconds since 1970, are withdrawn."""

    id: str
    rule: str
    from_us: int
    until_us: int

    def covers(self, rule: str, ts_us: int) -> bool:
        """Whether an alert of a rule and time is withdrawn by it."""
        return rule == self.rule and self.from_us <= ts_us < self.until_us


def retraction_of(fact: Mapping[str, Any]) -> Retraction:
    """The retraction that a fact states."""
    return Retraction(str(fact["id"]), str(fact["rule"]), int(fact["from_us"]), int(fact["until_us"]))


def in_force(facts: Iterable[Mapping[str, Any]]) -> tuple[Retraction, ...]:
    """The retractions that no later fact undoes, oldest first."""
    found: dict[str, Retraction] = {}
    for fact in facts:
        if "undoes" in fact:
            found.pop(str(fact["undoes"]), None)
        else:
            found[str(fact["id"])] = retraction_of(fact)
    return tuple(found.values())


def withdrawn(retractions: Iterable[Retraction], rule: str, ts_us: int) -> bool:
    """Whether one of them withdraws an alert of a rule and time."""
    return any(one.covers(rule, ts_us) for one in retractions)
