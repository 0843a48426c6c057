"""Which tactics and techniques of ATT&CK the rules of a collection cover, as a table and as a layer of the ATT&CK Navigator.

A technique is covered by a rule that names it and can make alerts: one that is on, is no shadow, has events, and is not blind.
A technique counts as covered when one of its sub-techniques is.

Source: https://github.com/mitre-attack/attack-navigator, layer format 4.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from soc.rules.ast import LogSource, Rule
from soc.rules.attack import attack, read_tags
from soc.rules.collection import Collection
from soc.rules.correlation import Correlation
from soc.rules.fields import has_events, taxonomy

NAVIGATOR = "5.1.0"
LAYER = "4.5"
_COLORS = ("#e8f5e9", "#66bb6a", "#1b5e20")
_IDLE = "#ffcc80"


class Technique(msgspec.Struct, frozen=True):
    """One technique. `rules`: ids of the rules that cover it; `idle`: of those that name it and make no alerts now, with why."""

    id: str
    name: str
    tactics: tuple[str, ...]
    rules: tuple[str, ...]
    idle: dict[str, str]


class Tactic(msgspec.Struct, frozen=True):
    """One tactic: how many of its techniques (without sub-techniques) are covered, of how many, by how many rules."""

    id: str
    name: str
    covered: int
    techniques: int
    rules: int


class Coverage(msgspec.Struct, frozen=True):
    """What rules cover. `untagged`: ids of rules without a technique, members of correlations left out; `unknown`: per rule the tags that ATT&CK does not know."""

    version: str
    tactics: tuple[Tactic, ...]
    techniques: tuple[Technique, ...]
    untagged: tuple[str, ...]
    unknown: dict[str, tuple[str, ...]]
    revoked: dict[str, dict[str, str]]


def coverage(collection: Collection, idle: Mapping[str, str] | None = None) -> Coverage:
    """The coverage of all rules that make alerts. `idle`: rule ids that make none now, and why (`disabled`, `blind`)."""
    data = attack()
    live: dict[str, list[str]] = {}
    resting: dict[str, dict[str, str]] = {}
    untagged, unknown, revoked = [], {}, {}
    tactic_rules: dict[str, set[str]] = {}
    for rule in _alerting(collection):
        tags = read_tags(rule.tags)
        why = (idle or {}).get(rule.id, "") or _why_idle(rule, collection)
        if tags.unknown or tags.newer:
            unknown[rule.id] = (*tags.unknown, *tags.newer)
        if tags.revoked:
            revoked[rule.id] = tags.revoked
        if not tags.techniques and why != "member":
            untagged.append(rule.id)
        for name in tags.techniques:
            if why:
                resting.setdefault(name, {})[rule.id] = why
            else:
                live.setdefault(name, []).append(rule.id)
                for tactic in data.techniques[name][1]:
                    tactic_rules.setdefault(tactic, set()).add(rule.id)
    techniques = tuple(
        Technique(name, title, tactics, tuple(live.get(name, ())), resting.get(name, {}))
        for name, (title, tactics) in data.techniques.items()
        if name in live or name in resting
    )
    covered = {name.partition(".")[0] for name in live}
    parents = {name: tactics for name, (_, tactics) in data.techniques.items() if "." not in name}
    table = tuple(
        Tactic(
            tactic_id,
            name,
            sum(name in tactics and one in covered for one, tactics in parents.items()),
            sum(name in tactics for tactics in parents.values()),
            len(tactic_rules.get(name, ())),
        )
        for tactic_id, name in data.tactics.items()
    )
    return Coverage(data.version, table, techniques, tuple(untagged), unknown, revoked)


def _alerting(collection: Collection) -> list[Rule | Correlation]:
    """Detections and correlations: what makes alerts, or would if it were on."""
    return [*(rule for rule in collection.ruleset.rules if rule.classify is None), *collection.correlations]


def _why_idle(rule: Rule | Correlation, collection: Collection) -> str:
    """Why a rule makes no alerts of its own whatever events come, or ""."""
    if rule.shadow:
        return "shadow"
    if rule.id in collection.silent:
        return "member"
    if all(has_events(source, taxonomy()) for source in sources_of(rule, collection)):
        return ""
    return "no-events"


def sources_of(rule: Rule | Correlation, collection: Collection) -> set[LogSource]:
    """The log sources of a rule, those of its members for a correlation."""
    if isinstance(rule, Rule):
        return {rule.logsource}
    rules: dict[str, Rule | Correlation] = {one.id: one for one in collection.ruleset.rules} | {one.id: one for one in collection.correlations}
    return {source for member in rule.rules if member in rules for source in sources_of(rules[member], collection)}


def navigator_layer(found: Coverage, titles: Mapping[str, str], *, name: str) -> dict[str, Any]:
    """The coverage as a layer for the ATT&CK Navigator: the score of a technique is its number of rules; orange = rules that make no alerts now."""
    most = max((len(one.rules) for one in found.techniques), default=1) or 1
    return {
        "name": name,
        "versions": {"attack": found.version, "navigator": NAVIGATOR, "layer": LAYER},
        "domain": "enterprise-attack",
        "description": "Techniques that detection and correlation rules name; the score is the number of rules.",
        "sorting": 3,
        "layout": {"layout": "side", "showID": True, "showName": True, "showAggregateScores": True, "aggregateFunction": "sum", "countUnscored": False},
        "hideDisabled": False,
        "techniques": [_cell(one, titles) for one in found.techniques],
        "gradient": {"colors": list(_COLORS), "minValue": 0, "maxValue": max(most, 1)},
        "legendItems": [{"label": "only rules that make no alerts now", "color": _IDLE}],
        "selectTechniquesAcrossTactics": True,
        "selectSubtechniquesWithParent": False,
    }


def _cell(one: Technique, titles: Mapping[str, str]) -> dict[str, Any]:
    lines = [titles.get(rule, rule) for rule in one.rules] + [f"{titles.get(rule, rule)} ({why})" for rule, why in one.idle.items()]
    cell: dict[str, Any] = {"techniqueID": one.id, "score": len(one.rules), "comment": "\n".join(lines), "enabled": True, "showSubtechniques": "." in one.id}
    return cell if one.rules else cell | {"color": _IDLE}
