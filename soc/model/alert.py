"""Alerts: a rule's statement about events, self-contained, so that it can be read without engine or events."""

from __future__ import annotations

from typing import Any

import msgspec

ALERT_SCHEMA = 1
SHADOW_PREFIX = "shadow:"
RETRACTED_PREFIX = "retracted:"
MOST_DOCUMENTS = 20
"""How many contributing documents an alert carries (contract 3)."""


class RuleRef(msgspec.Struct, frozen=True):
    """The rule as it was: `hash` is over its source text, so a changed rule is another hash."""

    id: str
    title: str
    level: str
    hash: str
    tags: tuple[str, ...] = ()
    kind: str = "sigma"
    """`sigma`, or `health` for what the platform states about itself (silence, ledger)."""
    title_vi: str = ""
    """The title in Vietnamese, where there is one."""


class Alert(msgspec.Struct):
    """One alert.

    `id` = hash(rule, event); written create-only. `events`: ids of all contributing events; `documents`: nested ECS
    documents of up to 20 of them. `explanation`: a tree of nodes `{"node": "and|or|not|field|keyword", "matched": bool,
    "field", "test", "pattern", "values", "matched_value", "children": [...]}`. `ts` is the event time, `detected_at`
    the received time of the record that completed it (RFC 3339 UTC). `natural_key`: as of the event; alerts of resent
    lines share it, and a group counts it once.
    """

    id: str
    group: str
    group_key: dict[str, str]
    rule: RuleRef
    scope: str
    ts: str
    detected_at: str
    events: list[str]
    documents: list[dict[str, Any]]
    explanation: dict[str, Any]
    source: str = ""
    threat_level: str = "none"
    threat_category: str = ""
    agency: str = ""
    natural_key: str = ""
    rules_hash: str = ""
    late: bool = False
    """Detected long after the fact: «phát hiện muộn»."""
    revision: int = 0
    schema: int = ALERT_SCHEMA
    shadow: bool = False
    """Of a rule that runs beside the live ones: it counts nowhere and nobody is told."""
    storm: bool = False
    """Beyond the limit of its rule in its hour (`rules.storm_per_hour`): it stands in the storm group of the day."""

    @property
    def namespace(self) -> str:
        """Where stores keep it: under its scope, or apart from everything live."""
        return namespace(self.scope, shadow=self.shadow)


def namespace(scope: str, *, shadow: bool, retracted: bool = False) -> str:
    """What stores keep as the scope of an alert: a shadow's, or that of one withdrawn, is none that a query of live alerts can mean."""
    return (RETRACTED_PREFIX if retracted else "") + (SHADOW_PREFIX if shadow else "") + scope


class AlertGroup(msgspec.Struct):
    """What analysts triage: the alerts of one rule with one group key; `count` counts occurrences once."""

    id: str
    rule: RuleRef
    key: dict[str, str]
    scope: str
    count: int
    first_at: str
    last_at: str
    last_alert: str
    threat_level: str = "none"
    threat_category: str = ""
    agencies: list[str] = []
    state: str = "open"
    shadow: bool = False
    retracted: bool = False
    """Of alerts that a recorded defect of the rule withdrew."""
