"""What a store holds, in a form that can be compared: two runs are equal when nothing here differs."""

from __future__ import annotations

from typing import Any

import msgspec

from soc.model.query import All
from soc.ports import AlertQuery, EventQuery, Store

HERE = {"soc.partition", "soc.seq"}
"""Where a worker read a record: a byte offset here, an offset of a topic there."""


def everything(store: Store) -> dict[str, Any]:
    """Events, alerts, groups, dead letters, positions and figures of a store."""
    everywhere = EventQuery(All(), scope=None)
    _, alerts = store.alerts(AlertQuery(scope=None, limit=100_000))
    _, groups = store.alert_groups(AlertQuery(scope=None, limit=100_000))
    _, letters = store.dead_letters(limit=100_000)
    return {
        "events": {doc["soc.id"]: dict(sorted(doc.items())) for doc in store.stream(everywhere)},
        "alerts": {alert.id: msgspec.to_builtins(alert) for alert in alerts},
        "groups": {group.id: msgspec.to_builtins(group) for group in groups},
        "letters": {letter.id: letter.reason for letter in letters},
        "positions": store.positions(),
        "threats": store.threats(everywhere),
        "count": store.count(everywhere),
        "ledger": {item.partition: (item.received, item.stored, item.dead_lettered, dict(item.dropped)) for item in store.ledger()},
    }


def comparable(state: dict[str, Any], *, beside: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A state without what differs by design: where each record was read, and the fields `beside` of events."""
    hidden = HERE | beside
    inner = {name.removeprefix("soc.") for name in hidden}

    def strip(doc: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in doc.items() if name not in hidden}

    def strip_alert(alert: dict[str, Any]) -> dict[str, Any]:
        documents = [{**document, "soc": {name: value for name, value in document["soc"].items() if name not in inner}} for document in alert["documents"]]
        return {**alert, "documents": documents}

    return {
        "events": {key: strip(doc) for key, doc in state["events"].items()},
        "alerts": {key: strip_alert(alert) for key, alert in state["alerts"].items()},
        **{part: state[part] for part in ("groups", "threats", "count", "letters")},
    }


def without_correlations(state: dict[str, Any]) -> dict[str, Any]:
    """A comparable state without the alerts that correlations made, and without their groups."""
    made = {key for key, alert in state["alerts"].items() if alert["explanation"].get("node") == "correlation"}
    groups = {state["alerts"][key]["group"] for key in made}
    return {
        **state,
        "alerts": {key: alert for key, alert in state["alerts"].items() if key not in made},
        "groups": {key: group for key, group in state["groups"].items() if key not in groups},
    }


def assert_balanced(store: Store) -> None:
    """The ledger balances in every partition."""
    wrong = [item for item in store.ledger() if item.difference or item.faults]
    assert wrong == []


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Two states are equal; what differs is said shortly."""
    for part, wanted in expected.items():
        got = found[part]
        if got == wanted:
            continue
        if not isinstance(wanted, dict):
            raise AssertionError(f"{part}: {got} is not {wanted}")
        missing, surplus = sorted(map(str, wanted.keys() - got.keys())), sorted(map(str, got.keys() - wanted.keys()))
        lines = [f"{part}: {len(missing)} missing {missing[:3]}, {len(surplus)} too many {surplus[:3]}"]
        lines += [f"  missing {wanted[key]}" for key in wanted if str(key) in missing[:1]]
        for key in wanted.keys() & got.keys():
            if got[key] != wanted[key]:
                lines.append(f"  {key}: {_difference(got[key], wanted[key])}")
                if len(lines) > 8:
                    break
        raise AssertionError("\n".join(lines)[:6000])


def _difference(got: Any, wanted: Any) -> str:
    if isinstance(got, dict) and isinstance(wanted, dict):
        return "; ".join(
            f"{name}: {got.get(name)!r} is not {wanted.get(name)!r}" for name in sorted(got.keys() | wanted.keys()) if got.get(name) != wanted.get(name)
        )
    return f"{got!r} is not {wanted!r}"
