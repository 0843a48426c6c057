"""An incident as the fold of its facts: nothing of it is stored but what people recorded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from soc.incidents.classes import group_of
from soc.incidents.workflow import MERGED, NEW, TABLE
from soc.model.fact import Fact

PREFIX = "incident/"
EDITABLE = (
    "title",
    "summary",
    "severity",
    "rsit",
    "group",
    "tlp",
    "legal_class",
    "personal_data",
    "national_security",
    "beyond_capacity",
    "complex",
    "agencies",
    "systems",
    "detected_at",
    "detected_by",
    "reported_at",
    "reported_by",
    "channel",
    "reference",
)
"""What `IncidentEdited` may change."""


CLOCKED = ("regime", "detected_at", "legal_class", "personal_data", "national_security", "beyond_capacity", "complex", "state")
"""What deadlines are computed of: every change of it is kept."""


class Task(msgspec.Struct):
    """Something to do. `origin`: the playbook that asked for it (`ransomware@1#isolate`); `how`, `record`, `call`: its words as they were then."""

    id: str
    title: str
    owner: str = ""
    due_at: str = ""
    origin: str = ""
    done_at: str = ""
    result: str = ""
    role: str = ""
    phase: str = ""
    how: str = ""
    record: str = ""
    call: str = ""
    """When to call the national centre."""
    added_at: str = ""
    """When it was given."""


class Interval(msgspec.Struct):
    """A stretch of time in one state; reopened work begins new ones, and none is ever lost."""

    state: str
    begin: str
    end: str = ""


class Change(msgspec.Struct, frozen=True):
    """A change of what the clocks are computed of: when it was recorded, by whom, why, and the value before."""

    at: str
    by: str
    field: str
    before: Any
    after: Any
    reason: str
    fact: int
    """The number of the fact that says so."""


class Note(msgspec.Struct):
    """What somebody wrote down."""

    at: str
    actor: str
    text: str
    behalf: str = ""


class Incident(msgspec.Struct):
    """The state of an incident after all its facts. Times: RFC 3339 UTC; `detected_at` is T0."""

    id: str
    title: str = ""
    summary: str = ""
    state: str = NEW
    scope: str = "real"
    severity: str = "medium"
    rsit: str = ""
    group: str = ""
    tlp: str = "AMBER"
    legal_class: str = "undecided"
    legal_reason: str = ""
    personal_data: bool = False
    national_security: bool = False
    beyond_capacity: bool = False
    complex: bool = False
    regime: str = ""
    agencies: list[str] = []
    systems: list[str] = []
    owner: str = ""
    detected_at: str = ""
    detected_by: str = ""
    reported_at: str = ""
    reported_by: str = ""
    channel: str = ""
    reference: str = ""
    opened_at: str = ""
    opened_by: str = ""
    reason: str = ""
    """Why it is in its state, where that was asked for."""
    resolution: str = ""
    merged_into: str = ""
    merged: list[str] = []
    before_merge: str = ""
    policy: str = ""
    """The policy that opened it."""
    defect: str = ""
    """The recorded defect of a rule with which it was withdrawn: it counts in no figure."""
    before_defect: str = ""
    alerts: list[str] = []
    """Groups and alerts that belong to it."""
    observables: list[dict[str, Any]] = []
    """What was recorded: type, value, origin, count."""
    ignored: dict[str, str] = {}
    """Value of an observable that does not belong to it → why."""
    links: dict[str, str] = {}
    """Another incident → what ties them."""
    tasks: list[Task] = []
    notes: list[Note] = []
    reports: dict[str, dict[str, Any]] = {}
    """Obligation id → what was sent: at, reference, channel, by."""
    intervals: list[Interval] = []
    entered: dict[str, str] = {}
    """State → when it was entered last."""
    changes: list[Change] = []
    """Of what the clocks are computed of (`CLOCKED`), in order; `incident.state` among them."""
    version: int = 0
    updated_at: str = ""

    @property
    def class_(self) -> dict[str, str]:
        """RSIT code and Vietnamese group."""
        return {"rsit": self.rsit, "group": self.group or group_of(self.rsit)}


def fold(identity: str, facts: Iterable[Fact]) -> Incident:
    """The incident of these facts. Facts of kinds that this version does not know change nothing but the version."""
    incident = Incident(identity)
    for fact in facts:
        incident.version = fact.sequence
        incident.updated_at = fact.at
        incident.scope = fact.scope
        apply = _APPLY.get(fact.kind)
        if apply is not None:
            before = [getattr(incident, name) for name in CLOCKED]
            apply(incident, fact)
            if fact.kind != "IncidentOpened":
                _note_changes(incident, fact, before)
    return incident


def _note_changes(incident: Incident, fact: Fact, before: list[Any]) -> None:
    """Keep what a fact changed of what the clocks are computed of."""
    for name, was in zip(CLOCKED, before, strict=True):
        now = getattr(incident, name)
        if now != was:
            incident.changes.append(Change(fact.at, fact.actor, name, was, now, fact.reason, fact.sequence))


def _enter(incident: Incident, state: str, at: str) -> None:
    if incident.intervals:
        incident.intervals[-1].end = at
    incident.intervals.append(Interval(state, at))
    incident.state = state
    incident.entered[state] = at


def _opened(incident: Incident, fact: Fact) -> None:
    _edited(incident, fact)
    incident.opened_at, incident.opened_by = fact.at, fact.actor
    incident.regime = str(fact.data.get("regime", ""))
    incident.alerts = [str(one) for one in fact.data.get("alerts", [])]
    incident.owner = str(fact.data.get("owner", ""))
    incident.policy = str(fact.data.get("policy", ""))
    _enter(incident, NEW, fact.at)


def _edited(incident: Incident, fact: Fact) -> None:
    for name in EDITABLE:
        if name in fact.data:
            setattr(incident, name, fact.data[name])
    if "regime" in fact.data:
        incident.regime = str(fact.data["regime"])
    if "legal_class" in fact.data and fact.reason:
        incident.legal_reason = fact.reason


def _moved(incident: Incident, fact: Fact) -> None:
    """A state was entered, at the time that was said (`at`) or recorded."""
    to = str(fact.data["to"])
    _edited(incident, fact)
    if to == MERGED:
        incident.before_merge, incident.merged_into = incident.state, str(fact.data.get("into", ""))
    elif incident.state == MERGED:
        incident.merged_into = ""
    incident.reason = fact.reason
    incident.resolution = str(fact.data.get("resolution", incident.resolution))
    _enter(incident, to, str(fact.data.get("at") or fact.at))


def _withdrawn(incident: Incident, fact: Fact) -> None:
    """Withdrawn with the wrong alerts that it was opened for."""
    incident.before_defect, incident.defect, incident.reason = incident.state, str(fact.data["defect"]), fact.reason
    _enter(incident, str(fact.data["to"]), fact.at)


def _restored(incident: Incident, fact: Fact) -> None:
    incident.defect, incident.before_defect, incident.reason = "", "", fact.reason
    _enter(incident, str(fact.data["to"]), fact.at)


def _noted(incident: Incident, fact: Fact) -> None:
    incident.notes.append(Note(fact.at, fact.actor, str(fact.data.get("text", "")), fact.behalf.person if fact.behalf else ""))


def _assigned(incident: Incident, fact: Fact) -> None:
    incident.owner = str(fact.data.get("owner", ""))


def _task_added(incident: Incident, fact: Fact) -> None:
    incident.tasks.append(msgspec.convert({**fact.data, "added_at": fact.at}, Task))


def _task_finished(incident: Incident, fact: Fact) -> None:
    for task in incident.tasks:
        if task.id == fact.data.get("id"):
            task.done_at, task.result = str(fact.data.get("at") or fact.at), str(fact.data.get("result", ""))


def _attached(incident: Incident, fact: Fact) -> None:
    incident.alerts += [str(one) for one in fact.data.get("alerts", []) if one not in incident.alerts]


def _observed(incident: Incident, fact: Fact) -> None:
    incident.observables += [one for one in fact.data.get("observables", []) if one not in incident.observables]


def _ignored(incident: Incident, fact: Fact) -> None:
    incident.ignored |= {str(value): fact.reason for value in fact.data.get("values", [])}


def _linked(incident: Incident, fact: Fact) -> None:
    incident.links[str(fact.data["other"])] = fact.reason


def _unlinked(incident: Incident, fact: Fact) -> None:
    incident.links.pop(str(fact.data["other"]), None)


def _reported(incident: Incident, fact: Fact) -> None:
    incident.reports[str(fact.data["obligation"])] = {**fact.data, "by": fact.actor}


def _absorbed(incident: Incident, fact: Fact) -> None:
    incident.merged.append(str(fact.data["from"]))


def _released(incident: Incident, fact: Fact) -> None:
    incident.merged = [one for one in incident.merged if one != fact.data["from"]]


_APPLY = {
    "IncidentOpened": _opened,
    "IncidentEdited": _edited,
    "IncidentMoved": _moved,
    "IncidentWithdrawn": _withdrawn,
    "IncidentRestored": _restored,
    "NoteAdded": _noted,
    "IncidentAssigned": _assigned,
    "TaskAdded": _task_added,
    "TaskFinished": _task_finished,
    "AlertsAttached": _attached,
    "ObservablesAdded": _observed,
    "ObservablesIgnored": _ignored,
    "IncidentLinked": _linked,
    "IncidentUnlinked": _unlinked,
    "ReportRecorded": _reported,
    "IncidentAbsorbed": _absorbed,
    "IncidentReleased": _released,
}


def commands(incident: Incident) -> list[str]:
    """What may be done with an incident now."""
    return [command for state, command in TABLE if state == incident.state]
