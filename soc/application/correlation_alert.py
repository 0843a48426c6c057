"""What a correlation found, as an alert that explains itself: condition, window, members, documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from soc.clock import from_iso, iso
from soc.model.alert import MOST_DOCUMENTS, Alert, RuleRef
from soc.model.event import Doc, nest
from soc.model.ids import digest_id, group_id, shadow_name
from soc.model.level import ThreatLevel
from soc.rules.ast import Rule
from soc.rules.collection import Collection
from soc.rules.correlation import Correlation
from soc.rules.episodes import CorrelationAlert
from soc.rules.evaluate import condition_text
from soc.rules.measures import bits

MOST_MEMBERS = 20
"""Members that an explanation shows."""
LATE_US = 900_000_000
_SEPARATOR = "\x1f"

DocumentsOf = Callable[[Sequence[str]], list[Doc]]


def alert_name(correlation_alert: str, *, shadow: bool = False) -> str:
    """The id of the alert of an episode (`c-…`); the shadow's is another, should the rule become live while it goes on."""
    return "a-" + (digest_id("shadow", correlation_alert) if shadow else correlation_alert.removeprefix("c-"))


class Teller:
    """Makes the alerts of correlations.

    `told`: what was told so far by id, in which the alerts are found that others are built on. `documents` gives events by id.
    """

    def __init__(self, collection: Collection, told: Mapping[str, CorrelationAlert], documents: DocumentsOf, rules_hash: str) -> None:
        self._collection = collection
        self._told = told
        self._documents = documents
        self._rules_hash = rules_hash
        self._shadows = {rule.id for rule in collection.correlations if rule.shadow}
        every: list[Rule | Correlation] = [*collection.ruleset.rules, *collection.correlations]
        self._titles = {rule.id: rule.title for rule in every}
        self._titles_vi = {rule.id: rule.title_vi for rule in every if rule.title_vi}
        self._lists: dict[str, set[str]] = {rule.id: set(rule.lists) for rule in collection.ruleset.rules if rule.lists}
        for one in collection.correlations:  # children stand before their parents
            found = {name for member in one.rules for name in self._lists.get(member, ())}
            if found:
                self._lists[one.id] = found

    def alert(self, rule: Correlation, found: CorrelationAlert) -> Alert:
        """The alert of a correlation as it stands now.

        Raises: StoreUnavailable when the events cannot be read.
        """
        events = self.events(found)
        completing = self._completing(found)
        docs = {doc["soc.id"]: doc for doc in self._documents(list(dict.fromkeys([*events[:MOST_DOCUMENTS], *([completing] if completing else [])])))}
        shown = [docs[name] for name in events[:MOST_DOCUMENTS] if name in docs]
        worst: Doc = max(shown, key=lambda doc: ThreatLevel(doc.get("soc.threat.level", "none")).rank, default={})
        detected = docs[completing]["soc.received_at"] if completing in docs else iso(found.at)
        name = shadow_name(rule.id) if rule.shadow else rule.id
        sources = list(dict.fromkeys(doc["soc.source"] for doc in shown))
        return Alert(
            id=alert_name(found.id, shadow=rule.shadow),
            group=group_id(name, _SEPARATOR.join(f"{field}={value}" for field, value in found.group.items()), found.scope),
            group_key=dict(found.group),
            rule=RuleRef(rule.id, rule.title, rule.level, rule.hash, rule.tags, title_vi=rule.title_vi),
            scope=found.scope,
            ts=iso(found.at),
            detected_at=detected,
            events=events,
            documents=[nest(doc) for doc in shown],
            explanation=self._explained(rule, found),
            source=sources[0] if len(sources) == 1 else "",
            threat_level=worst.get("soc.threat.level", "none"),
            threat_category=worst.get("soc.threat.category", ""),
            agency=next((str(doc["soc.agency.id"]) for doc in shown if doc.get("soc.agency.id")), ""),
            natural_key=found.id,
            rules_hash=self._rules_hash,
            late=found.late or from_iso(detected) - found.at > LATE_US,
            revision=found.revision,
            shadow=rule.shadow,
        )

    def events(self, found: CorrelationAlert) -> list[str]:
        """The ids of all events behind an alert, those behind the alerts it is built on as they were when those were raised."""
        out: dict[str, None] = {}
        for _, name, _ in found.members:
            if name.startswith("c-"):
                out.update(dict.fromkeys(self._events_at_first(name)))
            else:
                out[name] = None
        return list(out)

    def _events_at_first(self, name: str) -> list[str]:
        child = self._told.get(name)
        if child is None:
            return []
        out: list[str] = []
        for ts, member, _ in child.members:
            if ts <= child.at:
                out += self._events_at_first(member) if member.startswith("c-") else [member]
        return out

    def _completing(self, found: CorrelationAlert) -> str:
        """The event with which the condition came to hold; "" where time made it hold."""
        first = found.first
        while first.startswith("c-") and "@" not in first:
            child = self._told.get(first)
            if child is None:
                return ""
            first = child.first
        return "" if "@" in first else first

    def _explained(self, rule: Correlation, found: CorrelationAlert) -> dict[str, Any]:
        filters = {one.id: {"id": one.id, "title": one.title, "hash": one.hash} for member in rule.rules for one in self._collection.filters.get(member, ())}
        return {
            "node": "correlation",
            "matched": True,
            "type": rule.type,
            "condition": condition_text(rule),
            "timespan_s": rule.span_us // 1_000_000,
            "fields": list(rule.fields),
            "group": dict(found.group),
            "window": {"start": iso(found.start), "end": iso(found.end)},
            "at": iso(found.at),
            "measure": found.measure,
            "last_measure": found.last_measure,
            "count": found.count,
            "truncated": found.truncated,
            "members": [self._member(rule, *member) for member in found.members[:MOST_MEMBERS]],
            "rules": {member: self._titles.get(member, "") for member in rule.rules},
            "rules_vi": {member: self._titles_vi[member] for member in rule.rules if member in self._titles_vi},
            "rule_hash": rule.hash,
            **({"lists": sorted(self._lists[rule.id])} if rule.id in self._lists else {}),
            **({"filters": list(filters.values())} if filters else {}),
        }

    def _member(self, rule: Correlation, ts: int, name: str, rules: int) -> dict[str, Any]:
        child = self._told.get(name)
        shadow = child is not None and child.rule in self._shadows
        which = {"alert": alert_name(name, shadow=shadow), "events": self._events_at_first(name)[:MOST_MEMBERS]} if name.startswith("c-") else {"event": name}
        return {"time": iso(ts), **which, "rules": [rule.rules[place] for place in bits(rules)]}
