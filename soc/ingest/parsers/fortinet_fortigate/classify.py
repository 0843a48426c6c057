"""Says what an event is in ECS terms (category, type, action, outcome) from the few FortiOS fields that tell.

The conventions are those of the published Elastic documents; see README.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from soc.ingest.parsers.fortinet_fortigate.mapping import family

TELLING = ("type", "subtype", "eventtype", "action", "status", "result", "utmaction", "app", "cfgpath", "desc")
"""The fields that decide; `app` and `cfgpath` only by being there."""

# Reference: FortiOS Log Message Reference, field `action` of traffic and of each UTM log.
_DENIED = frozenset(
    {"deny", "denied", "block", "blocked", "drop", "dropped", "drop_session", "reset", "reset_client", "reset_server", "clear_session", "violation"}
    | {"quarantine", "quarantined", "quarantine-interface", "ban", "ban-user", "banned", "redirect", "server-block"}
)
_SUCCESS = frozenset(["success", "succeeded", "successful", "ok", "done", "logon", "logged_on", "authenticated"])
_FAILURE = frozenset(
    [
        "failure",
        "failed",
        "fail",
        "error",
        "denied",
        "deny",
        "negotiate_error",
        "dpd_failure",
        "timed_out",
        "timeout",
        "authentication_failure",
        "unauthenticated",
        "blocked",
    ]
)
_LOGON = frozenset(
    ["login", "logon", "fsso-logon", "auth-logon", "authentication", "auth", "ssl-login-fail", "ssl-login", "ntlm-auth", "radius-authentication"]
)
_LOGOFF = frozenset(["logout", "logoff", "fsso-logoff", "auth-logout", "auth-logoff"])
# Reference: FortiOS configuration audit logs (logid 0100044545-0100044547): Add, Edit, Delete, Move, Rename.
_CHANGES = {"add": "creation", "edit": "change", "delete": "deletion", "move": "change", "rename": "change", "clone": "creation"}

# Reference: FortiOS Log Message Reference: 0100040704 (performance statistics), event logs of subtypes `user` and `update`.
_BY_ACTION: dict[str, dict[str, Any]] = {"perf-stats": {"event.category": ["host"], "event.type": ["info"]}}
_BY_SUBTYPE: dict[str, dict[str, Any]] = {
    "user": {"event.category": ["authentication"], "event.type": ["info"]},
    "update": {"event.category": ["host", "malware"], "event.type": ["info"]},
}


def classify(tell: Callable[[str], str]) -> dict[str, Any]:
    """The `event.*` fields that follow from the telling fields; `tell(name)` is a field's text, "" where absent."""
    group = family(tell("type"))
    if group == "traffic":
        return _traffic(tell)
    if group == "utm":
        return _utm(tell)
    return _event(tell) if tell("type") else {"event.kind": "event"}


def _denied(action: str) -> bool:
    return action.lower().replace("-", "_") in _DENIED or action.lower() in _DENIED


def _traffic(tell: Callable[[str], str]) -> dict[str, Any]:
    action = tell("action") or tell("status")
    types = ["connection", "start" if action == "start" else "end"]
    refused = _denied(action)
    if tell("app") and not refused:  # what is refused at once never spoke a protocol
        types.append("protocol")
    types.append("denied" if refused or _denied(tell("utmaction")) else "allowed")
    fields: dict[str, Any] = {"event.kind": "event", "event.category": ["network"], "event.type": types}
    if action:
        fields |= {"event.action": action, "event.outcome": "success"}
    return fields


def _utm(tell: Callable[[str], str]) -> dict[str, Any]:
    what = {tell("type"), tell("subtype")}
    action = tell("action") or tell("status")
    types = ["info"] if "dns" in what else []
    if action:
        types.append("denied" if _denied(action) else "allowed")
    category = ["network"]
    if what & {"ips", "anomaly", "attack"}:
        category.append("intrusion_detection")
    elif "virus" in what:
        category.append("malware")
    fields: dict[str, Any] = {
        "event.kind": "event",
        "event.category": category,
        "event.type": types or ["info"],
        "event.action": tell("eventtype") or action or tell("subtype"),
    }
    if action:
        fields["event.outcome"] = "success"
    return {name: value for name, value in fields.items() if value}


def _event(tell: Callable[[str], str]) -> dict[str, Any]:
    action, result = tell("action"), tell("result")
    said = tell("desc").lower().split()
    if not action and said[:1] == ["user"] and said[1:2] in (["login/logout"], ["login"]):  # FortiManager: `User login/logout successful`
        action, result = "login", result or said[-1]
    verb = action.lower()
    fields: dict[str, Any] = {"event.kind": "event"}
    if action:
        fields["event.action"] = action
    if tell("subtype") == "vpn":
        fields |= {"event.category": ["network", "authentication"] if verb in _LOGON else ["network"], "event.type": ["connection"]}
    elif verb in _LOGON or verb in _LOGOFF:
        fields |= {"event.category": ["authentication"], "event.type": ["start" if verb in _LOGON else "end"]}
    elif verb in _CHANGES and tell("cfgpath"):
        fields |= {"event.category": ["configuration"], "event.type": [_CHANGES[verb]]}
    else:
        fields |= _BY_ACTION.get(verb) or _BY_SUBTYPE.get(tell("subtype")) or {}
    outcome = _outcome(verb, tell("status").lower(), result.lower())
    if outcome:
        fields["event.outcome"] = outcome
    return fields


def _outcome(verb: str, status: str, result: str) -> str:
    if status in _FAILURE or result in _FAILURE or verb.endswith(("-fail", "-failed", "-failure")):
        return "failure"
    if status in _SUCCESS or result in _SUCCESS or verb in _LOGOFF or verb in {"fsso-logon", "auth-logon"}:
        return "success"
    return ""
