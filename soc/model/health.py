"""Alerts that the platform raises about itself: silence, losses, a ledger that does not balance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soc.model.alert import Alert, RuleRef
from soc.model.ids import alert_id, group_id


def health_alert(
    rule: RuleRef,
    *,
    occurrence: str,
    key: Mapping[str, str],
    explanation: dict[str, Any],
    at: str,
    since: str = "",
    source: str = "",
    scope: str = "real",
    agency: str = "",
) -> Alert:
    """The alert of a health rule: one per `occurrence`, grouped by `key`; `at` and `since` are RFC 3339 UTC."""
    return Alert(
        id=alert_id(rule.id, occurrence),
        group=group_id(rule.id, ",".join(f"{name}={value}" for name, value in sorted(key.items())), scope),
        group_key=dict(key),
        rule=rule,
        scope=scope,
        ts=since or at,
        detected_at=at,
        events=[],
        documents=[],
        explanation=explanation,
        source=source,
        agency=agency,
        natural_key=occurrence,
    )
