"""Which groups meet the conditions of policies: one pass over the groups of a time, their alerts only where those decide.

Left out are groups that are closed, hidden by a suppression, withdrawn with their rule's defect, or of shadow rules.
Cost: see docs/performance.md; a group whose own fields say no costs microseconds, one that fits some look-ups.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from soc.application import suppressions
from soc.application.app import App
from soc.clock import from_iso, iso
from soc.incidents.policies.condition import alert_doc, decided, fields, group_doc, required_rules, rule_doc
from soc.incidents.policies.plan import Subject, observables_of
from soc.incidents.policies.policy import Loaded
from soc.model.alert import Alert, AlertGroup, RuleRef
from soc.model.event import Doc, flatten
from soc.model.query import matches
from soc.ports import AlertQuery, Gap
from soc.triage.model import CLOSED, PREFIX, Triage, effective, fold, standing

PAGE = 50_000
MOST_ALERTS = 200
"""Alerts of one group that are asked whether they fulfil a condition, the newest first."""
FORGET_S = 600.0
MOST_REMEMBERED = 1_000_000
SILENT = "soc-source-silent"
_OF_PEOPLE = ("count", "generation")
_MINUTE_US = 60_000_000


class Asked(NamedTuple):
    """A policy, and since when groups count for it in each scope (microseconds)."""

    loaded: Loaded
    since_us: Mapping[str, int]
    otherwise_us: int


class Memory:
    """What one process remembers of groups whose alerts were asked and did not fulfil a condition: asking again every minute costs the most.

    By policy and group what the group looked like; forgotten as a whole now and then, as an alert may grow without its group.
    """

    def __init__(self) -> None:
        self._no: dict[tuple[str, str], tuple[str, int]] = {}
        self._since: float | None = None

    def begin(self, now: float) -> bool:
        """Begin a pass; whether it is one over everything, which is due now and then: alerts may come days late, groups may be reopened."""
        whole = self._since is None or now - self._since > FORGET_S or len(self._no) > MOST_REMEMBERED
        if whole:
            self._no.clear()
            self._since = now
        return whole

    def knows(self, loaded: Loaded, group: AlertGroup) -> bool:
        """Whether a group as it is now was asked before, and the answer was no."""
        return self._no.get((loaded.hash, group.id)) == (group.last_at, group.count)

    def refused(self, loaded: Loaded, group: AlertGroup) -> None:
        """The answer was no."""
        self._no[loaded.hash, group.id] = (group.last_at, group.count)


class Matcher:
    """Finds the groups of policies. `history`: closed groups count too, and triage is not asked (for dry runs)."""

    def __init__(self, app: App, asked: Sequence[Asked], *, history: bool = False, memory: Memory | None = None) -> None:
        self._app = app
        self._memory = memory or Memory()
        self._history = history
        self._now_us = app.clock.now_us()
        self._by_rule: dict[str, list[Asked]] = {}
        self._of_any: list[Asked] = []
        self._of_rule: dict[tuple[str, str, str], list[Asked]] = {}
        for one in asked:
            rules = required_rules(one.loaded.node)
            if rules is None:
                self._of_any.append(one)
            for rule in rules or ():
                self._by_rule.setdefault(rule, []).append(one)
        self._said = frozenset() if history else frozenset(head.stream.removeprefix(PREFIX) for head in app.journal.heads(PREFIX))
        self._gaps = _newest_gaps(app.store.gaps())
        self._hiding = suppressions.in_force(app)

    def found(self, groups: Iterable[AlertGroup]) -> dict[tuple[str, str], list[Subject]]:
        """By policy and scope the groups that meet its condition."""
        out: dict[tuple[str, str], list[Subject]] = {}
        seen: set[str] = set()  # pages shift while alerts come in
        for group in groups:
            if group.id in seen:
                continue
            seen.add(group.id)
            candidates = self._candidates(group.rule)
            for one, subject in self._subjects(group, candidates) if candidates else ():
                out.setdefault((one.loaded.name, group.scope), []).append(subject)
        return out

    def _candidates(self, rule: RuleRef) -> list[Asked]:
        """The policies whose condition the rule of a group does not rule out."""
        key = (rule.id, rule.hash, rule.level)
        found = self._of_rule.get(key)
        if found is None:
            doc = rule_doc(rule)
            named = [*self._by_rule.get(rule.id, ()), *self._of_any]
            found = self._of_rule[key] = [one for one in named if decided(one.loaded.node, doc, ()) is not False]
        return found

    def _subjects(self, group: AlertGroup, candidates: Sequence[Asked]) -> list[tuple[Asked, Subject]]:
        last_us = from_iso(group.last_at)
        left = [one for one in candidates if one.loaded.policy.applies_to(group.scope) and self._reaches(one, group, last_us)]
        if not left:
            return []
        gap = self._gaps.get((group.key.get("source", ""), group.scope)) if group.rule.id == SILENT else None
        doc = group_doc(group, count=group.count, generation=1, silence=self._silence(gap))
        cheap = {name: value for name, value in doc.items() if name not in _OF_PEOPLE} if group.id in self._said else doc
        left = [one for one in left if _might(one.loaded, cheap)]
        left = [one for one in left if not self._memory.knows(one.loaded, group)]
        if not left or any(one.hides(group) for one in self._hiding):
            return []
        triage, since_us = self._triage(group)
        if triage.state == CLOSED:
            return []
        doc = group_doc(group, count=triage.count_since(group.count), generation=triage.generation, silence=self._silence(gap))
        members = _Members(self._app, group, since_us)
        found = []
        for one in left:
            answer = decided(one.loaded.node, doc)
            alert = members.first() if answer else next((held for held in members.oldest_first() if matches(one.loaded.node, alert_doc(doc, held))), None)
            if answer is False or alert is None:
                if answer is None:
                    self._memory.refused(one.loaded, group)
                continue
            found.append((one, self._subject(one.loaded, group, triage, doc, alert, members, gap)))
        return found

    def _reaches(self, one: Asked, group: AlertGroup, last_us: int) -> bool:
        since_us = one.since_us.get(group.scope, one.otherwise_us)
        if last_us >= since_us:
            return True
        if group.rule.id != SILENT:
            return False
        gap = self._gaps.get((group.key.get("source", ""), group.scope))  # a silence begins with the last word, and goes on
        return gap is not None and (gap.until_us or self._now_us) >= since_us

    def _triage(self, group: AlertGroup) -> tuple[Triage, int | None]:
        """What people said of a group, and the time after which its generation began (None = at its first alert)."""
        if self._history or group.id not in self._said:
            return Triage(), None
        facts = [one.fact for one in self._app.journal.read(PREFIX + group.id)]
        triage = standing(fold(facts), last_at=group.last_at, count=group.count)
        closed = [fact for fact in effective(facts) if fact.kind == "GroupClosed" and int(fact.data.get("generation", 1)) < triage.generation]
        return triage, from_iso(str(closed[-1].data["through"]["last_at"])) + 1 if closed else None

    def _silence(self, gap: Gap | None) -> tuple[int, bool] | None:
        return None if gap is None else (max((gap.until_us or self._now_us) - gap.from_us, 0) // _MINUTE_US, not gap.until_us)

    def _subject(self, loaded: Loaded, group: AlertGroup, triage: Triage, doc: Doc, alert: Alert, members: _Members, gap: Gap | None) -> Subject:
        counts = "count" in loaded.policy.when or "total" in loaded.policy.when
        decisive = members.newest() if counts else alert
        occasion = str(triage.generation) if gap is None else f"{triage.generation}.{gap.from_us}"
        systems = _values(alert, "soc.system.id")
        at_us = from_iso(decisive.ts) if self._history else self._now_us
        return Subject(group, occasion, decisive.detected_at, at_us, doc, list(group.agencies), systems, observables_of(group.key))


def _might(loaded: Loaded, doc: Doc) -> bool:
    """Whether a group could meet a condition; fields of people's work that are left out of `doc` may be anything."""
    if all(name in doc for name in _OF_PEOPLE):
        return decided(loaded.node, doc) is not False
    return bool(fields(loaded.node) & set(_OF_PEOPLE)) or decided(loaded.node, doc) is not False


class _Members:
    """The alerts of a group in its generation, read when they are asked for."""

    def __init__(self, app: App, group: AlertGroup, since_us: int | None) -> None:
        self._app = app
        self._group = group
        self._since_us = since_us
        self._read: list[Alert] | None = None

    def newest_first(self) -> list[Alert]:
        if self._read is None:
            query = AlertQuery(scope=self._group.scope, group=self._group.id, since_us=self._since_us, limit=MOST_ALERTS)
            self._read = self._app.store.alerts(query)[1]
        return self._read

    def oldest_first(self) -> list[Alert]:
        return self.newest_first()[::-1]

    def newest(self) -> Alert:
        found = self.newest_first()
        return found[0] if found else _bare(self._group)

    def first(self) -> Alert:
        """The first alert of the generation: when it was detected."""
        found = self.newest_first()
        if not found:
            return _bare(self._group)
        if len(found) < MOST_ALERTS:
            return found[-1]
        query = AlertQuery(scope=self._group.scope, group=self._group.id, since_us=self._since_us, limit=1)
        total, _ = self._app.store.alerts(query)
        _, oldest = self._app.store.alerts(msgspec.structs.replace(query, offset=max(total - 1, 0)))
        return oldest[0] if oldest else found[-1]


def _bare(group: AlertGroup) -> Alert:
    """What stands for the alerts of a group of which none is left."""
    return Alert(group.last_alert, group.id, group.key, group.rule, group.scope, group.first_at, group.first_at, [], [], {})


def _values(alert: Alert, field: str) -> list[str]:
    found: dict[str, None] = {}
    for document in alert.documents:
        value: Any = flatten(document).get(field)
        for one in value if isinstance(value, list) else [value] if value else []:
            found[str(one)] = None
    return list(found)


def _newest_gaps(gaps: Iterable[Gap]) -> dict[tuple[str, str], Gap]:
    found: dict[tuple[str, str], Gap] = {}
    for gap in gaps:
        held = found.get((gap.source, gap.scope))
        if held is None or gap.from_us >= held.from_us:
            found[gap.source, gap.scope] = gap
    return found


def groups_since(app: App, since_us: int, *, silent: bool = True) -> Iterable[AlertGroup]:
    """The groups with an alert since a time, of every scope; with `silent` also those about sources, which go on without alerts."""
    offset = 0
    while True:
        _, page = app.store.alert_groups(AlertQuery(scope=None, since_us=since_us, limit=PAGE, offset=offset))
        yield from page
        offset += len(page)
        if len(page) < PAGE:
            break
    if silent:
        for group in app.store.alert_groups(AlertQuery(scope=None, rule=SILENT, until_us=since_us, limit=PAGE))[1]:
            if group.last_at < iso(since_us):
                yield group
