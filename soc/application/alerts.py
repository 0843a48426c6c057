"""Asking for alerts and the groups that analysts triage."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from soc.application.access import reach, require, visible
from soc.application.app import App
from soc.errors import NotFound, Phrase
from soc.model.alert import Alert, AlertGroup
from soc.model.role import ANY
from soc.ports import AlertQuery

PAGE = 1000
HEALTH = ("soc-source-silent", "soc-alert-storm", "soc-ledger-difference", "soc-signals-lost")
"""The rules of what the platform says of itself."""
T = TypeVar("T", Alert, AlertGroup)


def groups(app: App, query: AlertQuery) -> tuple[int, list[AlertGroup]]:
    """Total and the first `limit` groups (0 = all), newest first."""
    own = reach(app, "alerts.view") != ANY
    require(app, "alerts.view")
    if query.limit and not own:
        return app.store.alert_groups(query)
    found: list[AlertGroup] = []
    while True:
        total, page = app.store.alert_groups(msgspec.structs.replace(query, limit=PAGE, offset=len(found)))
        found += page
        if not page or len(found) >= total:
            return _shown(app, query, found)


def each(app: App, query: AlertQuery) -> tuple[int, list[Alert]]:
    """Total and the first `limit` alerts (0 = all), newest first."""
    own = reach(app, "alerts.view") != ANY
    require(app, "alerts.view")
    if query.limit and not own:
        return app.store.alerts(query)
    found: list[Alert] = []
    while True:
        total, page = app.store.alerts(msgspec.structs.replace(query, limit=PAGE, offset=len(found)))
        found += page
        if not page or len(found) >= total:
            return _shown(app, query, found)


def _shown(app: App, query: AlertQuery, found: list[T]) -> tuple[int, list[T]]:
    """How many of those found one may see, and the page of them that was asked for."""
    seen = visible(app, "alerts.view", found)
    return len(seen), seen[query.offset : query.offset + query.limit] if query.limit else seen


def rule_named(app: App, name: str) -> str:
    """The id of the rule that a name means: an id of which there are alerts, or the id, name, file name or beginning of an id of a rule at hand.

    Raises: NotFound with the nearest name. Cost: a look at the alerts of an id; rules are read only for what is none.
    """
    asked = AlertQuery(scope=None, rule=name, limit=1)
    if name in HEALTH or any(app.store.alerts(msgspec.structs.replace(asked, **beside))[0] for beside in ({}, {"shadow": True}, {"retracted": True})):
        return name
    from soc.application.rules_choice import configured  # noqa: PLC0415 - most commands ask no rules

    collection, _errors = configured(app.settings.rules_in_zone)
    found = collection.get(name)
    if found is not None:
        return found.id
    raise collection.missing(name, HEALTH)


def get(app: App, prefix: str) -> Alert | AlertGroup:
    """The alert or group of an id or unique prefix.

    Raises: NotFound, Conflict when several fit.
    """
    found = app.store.get_alert(prefix)
    if found is None:
        raise NotFound(Phrase("no alert or group {prefix}", prefix=prefix), hint="soc alerts list")
    require(app, "alerts.view", found)
    return found


def explained(app: App, prefix: str) -> Alert:
    """The alert that explains an id: the alert itself, or the newest alert of a group."""
    found = get(app, prefix)
    if isinstance(found, Alert):
        return found
    alert = app.store.get_alert(found.last_alert)
    if not isinstance(alert, Alert):
        raise NotFound(Phrase("the newest alert {last_alert} of group {id} is missing", last_alert=found.last_alert, id=found.id), hint="soc store ledger")
    return alert


def newest(app: App, group: AlertGroup) -> tuple[dict[str, Any], dict[str, Any]]:
    """The nested document of the event behind the newest alert of a group ({} when there is none, as for health alerts), and its explanation."""
    alert = app.store.get_alert(group.last_alert)
    return (alert.documents[0] if alert.documents else {}, alert.explanation) if isinstance(alert, Alert) else ({}, {})


def triage_text(app: App, rule_id: str, language: str) -> str:
    """What the rule tells analysts to do, in a language or else in the other; "" when the rule is gone or says nothing."""
    rule = app.rules.engine.collection.get(rule_id)
    if rule is None:
        return ""
    return rule.triage.get(language) or next(iter(rule.triage.values()), "") or rule.description
