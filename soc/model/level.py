"""Levels: what an event is classed as, and what a rule or alert states.

`soc.threat.level` is one of `ThreatLevel`; Sigma's `level` (rules, alerts) is one of `RuleLevel`. They are different
scales and are never mixed up: Source: Sigma specification 2.1 (level), `design.md` (Words).
"""

from __future__ import annotations

from enum import StrEnum


class ThreatLevel(StrEnum):
    """An event's class; `none` = no threat."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NONE = "none"

    @property
    def rank(self) -> int:
        """0 (none) to 4 (critical)."""
        return _THREAT_RANK[self.value]


class RuleLevel(StrEnum):
    """How bad it is when a detection rule matches."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFORMATIONAL = "informational"

    @property
    def rank(self) -> int:
        """0 (informational) to 4 (critical)."""
        return _RULE_RANK[self.value]


_THREAT_RANK = {"none": 0, "low": 1, "medium": 2, "high": 3, "critical": 4}
_RULE_RANK = {"informational": 0, "low": 1, "medium": 2, "high": 3, "critical": 4}

THREAT_LEVELS = ("none", "low", "medium", "high", "critical")
"""By rank."""

CATEGORIES = ("spam", "phishing", "malware", "intrusion", "denial-of-service", "scan", "brute-force", "policy", "data-leak", "bad-content", "other")
"""`soc.threat.category`; the classification rules name one of them."""

KINDS = ("firewall", "mail", "endpoint", "web", "dns", "auth", "other")
"""`soc.kind`: what sort of device an event comes from; partitions of the store are named by it."""
