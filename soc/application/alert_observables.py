"""What alerts name: read when they are tied to an incident, and kept with it when they are gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from soc.application.app import App
from soc.intel.observables import Observable, of_event
from soc.model.alert import Alert, AlertGroup
from soc.model.event import flatten
from soc.ports import AlertQuery

MOST_RECORDED = 500
"""Observables of one fact."""
MOST_ALERTS = 200
"""Alerts of one group that are read for what they name."""
MOST_ORIGINS = 50
"""Places that are told of one observable."""
ALERT = "alert "


class Seen(msgspec.Struct):
    """One observable of an incident: how often it stands there, where (`title`, `note 2`, `alert a-…`, `mail …`), and why it is never blocked."""

    type: str
    value: str
    count: int = 0
    origins: list[str] = []
    never_blocked: str = ""
    ignored: str = ""


def alerted(app: App, names: Sequence[str]) -> Iterator[tuple[Observable, str, int]]:
    """What alerts, and the alerts of groups, name: once for each document."""
    for name in names:
        found = app.store.get_alert(name)
        alerts = app.store.alerts(AlertQuery(scope=found.scope, group=found.id, limit=MOST_ALERTS))[1] if isinstance(found, AlertGroup) else [found]
        for alert in alerts:
            if isinstance(alert, Alert):
                for doc in alert.documents:
                    for one in of_event(flatten(doc)):
                        yield one, f"{ALERT}{alert.id[:10]}", 1


def merged(found: Iterable[tuple[Observable, str, int]]) -> dict[Observable, Seen]:
    """By observable how often it was seen, and where."""
    out: dict[Observable, Seen] = {}
    for one, origin, count in found:
        seen = out.get(one) or out.setdefault(one, Seen(one.type, one.value, 0, []))
        seen.count += count
        if origin not in seen.origins and len(seen.origins) < MOST_ORIGINS:
            seen.origins.append(origin)
    return out


def seen_in(app: App, alerts: Sequence[str]) -> list[dict[str, Any]]:
    """What alerts name, as it is recorded with the incident that they are tied to."""
    found = merged(alerted(app, alerts))
    return [{"type": one.type, "value": one.value, "origin": ", ".join(one.origins[:3]), "count": one.count} for one in found.values()][:MOST_RECORDED]
