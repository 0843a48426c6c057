"""What a policy decides of groups that meet its condition: open, join, or one incident for a storm. Pure: no store, no clock.

Used by the step that acts and by dry runs alike. An effect has an id of its own, hash of policy, group and occasion, so what was
decided once is never decided again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from soc.incidents.policies.keys import key_text
from soc.incidents.policies.policy import Loaded, span_us
from soc.model.alert import AlertGroup
from soc.model.event import Doc
from soc.model.ids import digest_id

OPENED, JOINED, KNOWN, STORM, TOLD, COUNTED = "opened", "joined", "known", "storm", "told", "counted"
"""Opened an incident · joined one · stood in an open one already · opened the one of a storm · told people · only counted in a storm."""
FIRST = (OPENED, STORM, TOLD)
"""What counts against the limit, and what people are told of."""

MOST_VALUE = 300
"""Characters of an observable; longer ones are cut."""
_KINDS = (
    (("ip",), "ip"),
    (("domain", "hostname", "question.name", "registered_domain"), "domain"),
    (("sha256", "sha1", "md5"), "hash"),
    (("original", "full"), "url"),
    (("address",), "email"),
    (("user.name",), "account"),
)


class Subject(msgspec.Struct):
    """A group that meets the condition of a policy. `occasion`: what makes it another case of the same group; `at_us`: when it was decided."""

    group: AlertGroup
    occasion: str
    detected_at: str
    at_us: int
    fields: Doc = {}
    agencies: list[str] = []
    systems: list[str] = []
    observables: list[dict[str, str]] = []


class Target(msgspec.Struct):
    """An open incident (or one that is about to be opened) with what groups may have in common with it."""

    id: str
    """The incident's id, or the effect that opens it."""
    last_us: int
    effect: str = ""
    rsit: str = ""
    agencies: set[str] = set()
    systems: set[str] = set()
    observables: set[str] = set()
    rules: set[str] = set()
    policies: set[str] = set()
    groups: set[str] = set()


class Firing(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was decided of one group. `target`: the incident, or the effect that opens it ("" = none). Times: RFC 3339 UTC."""

    effect: str
    group: str
    occasion: str
    how: str
    target: str = ""
    detected_at: str = ""
    rule: str = ""
    last_at: str = ""
    """The newest alert of the group then."""
    agencies: list[str] = []
    systems: list[str] = []
    observables: list[dict[str, str]] = []
    values: dict[str, str] = {}
    """What the places of texts stand for."""


def effect_of(policy: str, group: str, occasion: str) -> str:
    """The id of what a policy does about a group on one occasion."""
    return "e-" + digest_id("policy-effect", policy, group, occasion)


def action_of(effect: str, action: str) -> str:
    """The id of one action (a message, a page) of an effect: what is sent under it is sent once."""
    return digest_id("policy-action", effect, action)


def observables_of(key: dict[str, str]) -> list[dict[str, str]]:
    """The observables that a group's key holds: type, value."""
    found = []
    for name, value in sorted(key.items()):
        kind = next((kind for ends, kind in _KINDS if any(name == end or name.endswith("." + end) for end in ends)), "")
        if kind and value:
            found.append({"type": kind, "value": str(value)[:MOST_VALUE]})
    return found


def decide(
    loaded: Loaded, subjects: Sequence[Subject], targets: list[Target], *, fired: Collection[str], begun: Iterable[int], now_us: int, day: str
) -> list[Firing]:
    """What a policy does about groups that meet its condition now; `targets` grows by what is opened and joined.

    `fired`: effects decided before; `begun`: when incidents (or messages) of this policy began, microseconds; `day`: the local day,
    which names storms. When more would begin than the limit allows, all that would begin now goes into one.
    """
    policy = loaded.policy
    drafts: list[tuple[Subject, str, str, Target | None]] = []
    fresh: list[Target] = []
    holding = {group: target for target in targets for group in target.groups}
    recent = _recent(loaded, targets, subjects)
    for subject in subjects:
        effect = effect_of(policy.name, subject.group.id, subject.occasion)
        if effect in fired:
            continue
        if policy.then.open is None:
            drafts.append((subject, effect, TOLD, None))
            continue
        how, target = _target(loaded, subject, holding, recent)
        if target is None:
            target = Target(effect, subject.at_us, effect, policy.then.open.class_)
            fresh.append(target)
            recent.insert(0, target)
        _join(target, loaded, subject)
        holding[subject.group.id] = target
        drafts.append((subject, effect, how, target))
    lately = sum(1 for at in begun if at > now_us - span_us(policy.limit.within))
    starting = sum(how in FIRST for _, _, how, _ in drafts)
    if starting and lately + starting > policy.limit.most:
        return _storm(loaded, drafts, fresh, targets, fired, now_us, day)
    targets += fresh
    return [_firing(subject, effect, how, target.id if target is not None else "") for subject, effect, how, target in drafts]


def _recent(loaded: Loaded, targets: Sequence[Target], subjects: Sequence[Subject]) -> list[Target]:
    """The incidents that a group might join now, what was joined last first."""
    attach = loaded.policy.attach
    if attach is None or not subjects:
        return []
    since_us = min(subject.at_us for subject in subjects) - span_us(attach.within)
    return sorted((one for one in targets if one.last_us >= since_us), key=lambda one: one.last_us, reverse=True)


def _target(loaded: Loaded, subject: Subject, holding: dict[str, Target], recent: Sequence[Target]) -> tuple[str, Target | None]:
    """The incident that a group stands in already, or joins; how."""
    held = holding.get(subject.group.id)
    if held is not None:
        return KNOWN, held
    attach = loaded.policy.attach
    if attach is not None:
        within = span_us(attach.within)
        for target in recent:
            if subject.at_us - target.last_us <= within and all(_same(loaded, name, subject, target) for name in attach.same):
                return JOINED, target
    return OPENED, None


def _same(loaded: Loaded, name: str, subject: Subject, target: Target) -> bool:
    opening = loaded.policy.then.open
    match name:
        case "agency":
            return not target.agencies.isdisjoint(subject.agencies)
        case "system":
            return not target.systems.isdisjoint(subject.systems)
        case "observable":
            return any(one["value"] in target.observables for one in subject.observables)
        case "rule":
            return subject.group.rule.id in target.rules
        case "class":
            return opening is not None and bool(opening.class_) and opening.class_ == target.rsit
        case _:
            return loaded.name in target.policies


def _join(target: Target, loaded: Loaded, subject: Subject) -> None:
    target.last_us = max(target.last_us, subject.at_us)
    target.agencies.update(subject.agencies)
    target.systems.update(subject.systems)
    target.observables.update(one["value"] for one in subject.observables)
    target.rules.add(subject.group.rule.id)
    target.policies.add(loaded.name)
    target.groups.add(subject.group.id)


def _storm(
    loaded: Loaded,
    drafts: Sequence[tuple[Subject, str, str, Target | None]],
    fresh: Sequence[Target],
    targets: list[Target],
    fired: Collection[str],
    now_us: int,
    day: str,
) -> list[Firing]:
    """The same drafts with all that would begin in one incident (or message) of the storm; what joins older incidents does so."""
    number, opening = 0, loaded.policy.then.open
    while True:
        effect = effect_of(loaded.name, "storm", f"{day}/{number}")
        target = next((one for one in targets if one.effect == effect), None)
        if target is not None or effect not in fired:
            break
        if opening is None:
            break  # it was told; the rest is counted
        number += 1
    first = effect not in fired
    if opening is not None and target is None:
        target = Target(effect, now_us, effect, opening.class_)
        targets.append(target)
    found = []
    for subject, own, how, former in drafts:
        if former is not None and not any(former is one for one in fresh):
            found.append(_firing(subject, own, how, former.id))
            continue
        if target is not None:
            _join(target, loaded, subject)
        if first:
            found.append(msgspec.structs.replace(_firing(subject, effect, STORM, target.id if target is not None else ""), occasion=f"{day}/{number}"))
            first = False
        found.append(_firing(subject, own, JOINED if target is not None else COUNTED, target.id if target is not None else ""))
    return found


def _firing(subject: Subject, effect: str, how: str, target: str) -> Firing:
    group = subject.group
    return Firing(
        effect,
        group.id,
        subject.occasion,
        how,
        target,
        subject.detected_at,
        group.rule.id,
        group.last_at,
        subject.agencies,
        subject.systems,
        subject.observables,
        values_of(subject) if how in FIRST else {},
    )


def values_of(subject: Subject) -> dict[str, str]:
    """What the places of texts stand for."""
    group = subject.group
    return {
        "rule": group.rule.title_vi or group.rule.title,
        "rule_en": group.rule.title,
        "level": group.rule.level,
        "count": str(subject.fields.get("count", group.count)),
        "agency": ", ".join(subject.agencies),
        "system": ", ".join(subject.systems),
        "key": key_text(group.key, "vi", subject.agencies),
        "key_en": key_text(group.key, "en", subject.agencies),
        "source": str(subject.fields.get("soc.source", "")),
        "minutes": str(subject.fields.get("silence.minutes", "")),
        "first": group.first_at,
        "last": group.last_at,
        "group": group.id,
    }
