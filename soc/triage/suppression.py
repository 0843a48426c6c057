"""Suppressions: groups that nobody wants to be shown for a while; they stay stored and counted.

A suppression hides a group while the newest alert of it has a time in [from, until): event time, so that a replay hides the
same. What comes after the end shows the group again, with all that it counted meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from soc.model.alert import AlertGroup
from soc.model.fact import Fact

PREFIX = "suppression/"
OF_GROUPS = ("rule", "level", "agency", "category")
"""Names beside those of the group's key (`source.ip`, …) that a suppression may ask for."""


class Suppression(msgspec.Struct, frozen=True):
    """What is hidden: groups all of whose `fields` have these values. Times: RFC 3339 UTC; `until` is exclusive."""

    id: str
    fields: dict[str, str]
    begin: str
    until: str
    reason: str
    by: str
    at: str
    scope: str = "real"
    ended_by: str = ""
    version: int = 1

    def hides(self, group: AlertGroup) -> bool:
        """Whether it hides a group as it is now."""
        return group.scope == self.scope and self.begin <= group.last_at < self.until and fits(self.fields, group)


def fits(fields: Mapping[str, str], group: AlertGroup) -> bool:
    """Whether a group has these values; an agency only if no other is concerned."""
    own = {
        "rule": group.rule.id,
        "level": group.rule.level,
        "agency": group.agencies[0] if len(group.agencies) == 1 else "",
        "category": group.threat_category,
    }
    return all((own[name] if name in own else str(group.key.get(name, ""))) == value for name, value in fields.items())


def fold(facts: Sequence[Fact]) -> Suppression:
    """The suppression that the facts of its stream state. An end given by hand is never later than the one that was set."""
    first = facts[0]
    data = first.data
    found = Suppression(
        first.stream.removeprefix(PREFIX),
        {str(name): str(value) for name, value in data["fields"].items()},
        str(data["begin"]),
        str(data["until"]),
        first.reason,
        first.actor,
        first.at,
        first.scope,
    )
    for fact in facts[1:]:
        if fact.kind == "SuppressionEnded":
            found = msgspec.structs.replace(found, until=min(found.until, str(fact.data["until"])), ended_by=fact.actor)
    return msgspec.structs.replace(found, version=facts[-1].sequence)
