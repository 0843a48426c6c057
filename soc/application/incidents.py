"""Commands and queries about incidents: each command checks the table of states, then appends facts under the version it saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from soc.application.access import reach, require, standing, visible
from soc.application.alert_observables import seen_in
from soc.application.app import App
from soc.application.numbered import identity, local_day, not_later, take
from soc.clock import from_iso, iso
from soc.errors import Conflict, NotFound, Phrase, UsageError
from soc.incidents.classes import CHANNELS, CODES, FLAGS, GROUPS, LEGAL, SEVERITIES, TLP
from soc.incidents.clocks import Obligation, is_overdue, next_due, obligations, regime_at
from soc.incidents.listing import incident_of
from soc.incidents.listing import incidents as incident_lists
from soc.incidents.model import EDITABLE, PREFIX, Incident, fold
from soc.incidents.workflow import BEFORE, OPEN, SAID, STATES, step
from soc.model.fact import ANY_VERSION, Behalf, NewFact, Stored
from soc.model.journal import Append, FactConflict
from soc.model.projection import ListQuery
from soc.model.role import OWN
from soc.organization.model import kind_word
from soc.organization.registry import Registry

_OPTIONS = {"rsit": "--class"}
"""What the option of a field is called where it is not called as the field."""
_CHOICES: dict[str, Sequence[str]] = {"severity": SEVERITIES, "tlp": TLP, "legal_class": LEGAL, "channel": CHANNELS, "group": tuple(GROUPS)}
_TIMES = ("detected_at", "reported_at")
_ONE_LINE = ("title", "detected_by", "reported_by", "reference")
_LONGEST = {"title": 300, "summary": 20_000, "detected_by": 500, "reported_by": 500, "reference": 500}
"""Characters of a field."""
MOST_NOTE = 50_000
_LONGEST_OWNER = 200
_LONGEST_WORD = 500
MOST_REASON = 10_000
MOST_NAMED = 500
"""Agencies or systems of one incident."""
_ACTIONS = {"note": "incidents.note", "task-done": "incidents.task-done"} | dict.fromkeys(("close", "reject", "reopen", "merge", "unmerge"), "incidents.decide")
"""Command of the workflow → action of the table of rights; all others are `incidents.handle`."""


def permitted(app: App, name: str, command: str) -> Incident:
    """The incident, for somebody who may carry out this command of the workflow on it.

    Raises: NotFound, NotAllowed.
    """
    incident = get(app, name)
    require(app, _ACTIONS.get(command, "incidents.handle"), incident)
    return incident


def open_incident(
    app: App,
    fields: Mapping[str, Any],
    *,
    alerts: Sequence[str] = (),
    observables: Sequence[Mapping[str, Any]] = (),
    owner: str = "",
    reason: str = "",
    behalf: Behalf | None = None,
    scope: str = "real",
) -> Incident:
    """A new incident under the next number of the year of its local detection; the number is taken once and for all.

    `observables`: what it names, as `soc.application.observables` records it.
    Raises: UsageError for a field that cannot be.
    """
    require(app, "incidents.open")
    if reach(app, "incidents.open") == OWN:
        fields = {**fields, "agencies": list(fields.get("agencies") or [standing(app).agency])}
        for agency in fields["agencies"]:
            require(app, "incidents.open", agency)
    now = app.clock.now_us()
    data = checked(app, {"detected_at": iso(now), **fields})
    if not data.get("title"):
        raise UsageError("an incident needs a title", hint="soc incidents new TITLE")
    if not data.get("reported_at") and (data.get("reported_by") or data.get("channel")):
        data["reported_at"] = iso(now)  # who is on the telephone reports now
    data["regime"] = regime_at(data["detected_at"]).id
    short("owner", owner, _LONGEST_OWNER)
    _said(reason, behalf)
    named = [*(dict(one) for one in observables), *(seen_in(app, alerts) if alerts else [])]
    data |= {"alerts": list(alerts), "owner": owner} | ({"observables": named} if named else {})
    stem = f"{PREFIX}INC-{local_day(app, from_iso(data['detected_at'])).year}-"
    fact = NewFact("IncidentOpened", data, reason, behalf)
    return _folded(take(app, stem, fact, scope=scope, busy="too many incidents are opened at the same moment"))


def _folded(facts: Sequence[Stored]) -> Incident:
    return fold(facts[0].fact.stream.removeprefix(PREFIX), [one.fact for one in facts])


def checked(app: App, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as they are recorded.

    Raises: UsageError naming the field and what it may be.
    """
    unknown = set(fields) - set(EDITABLE)
    if unknown:
        raise UsageError(Phrase("{field} is no field of an incident", field=min(unknown)))
    data = {name: value for name, value in fields.items() if value is not None}
    for name in _ONE_LINE:
        if name in data:
            data[name] = " ".join(str(data[name]).split())
    for name, most in _LONGEST.items():
        short(name, str(data.get(name, "")), most)
    for name in ("agencies", "systems"):
        if len(data.get(name, ())) > MOST_NAMED:
            raise UsageError(Phrase("{field}: more than {most}", field=name, most=MOST_NAMED), hint="name the agency above them")
    for name, known in _CHOICES.items():
        if name in data and data[name] not in known:
            raise UsageError(Phrase("{field}: {value} is none of {known}", field=name, value=data[name], known=", ".join(known)))
    if data.get("rsit") and data["rsit"] not in CODES:
        raise UsageError(Phrase("{value} is no RSIT class", value=data["rsit"]), hint="as malicious-code/infected-system; all: soc incidents classes")
    for name in _TIMES:
        not_later(app, name, str(data.get(name, "")), hint="give the time to the minute: 2026-11-21 22:05")
    for name in FLAGS:
        if name in data:
            data[name] = bool(data[name])
    _known_objects(app, data)
    return data


def short(field: str, text: str, most: int) -> None:
    """Refuse a text that is too long, by the name of its field.

    Raises: UsageError.
    """
    if len(text) > most:
        raise UsageError(
            Phrase("{field}: {count} characters are too many (most: {most})", field=field, count=len(text), most=most),
            hint="keep long texts as files: soc evidence add ID FILE --why …",
        )


def _said(reason: str, behalf: Behalf | None = None) -> None:
    """Bound what comes with every fact."""
    short("reason", reason, MOST_REASON)
    if behalf is not None:
        for field, text in (("person", behalf.person), ("channel", behalf.channel), ("reference", behalf.reference)):
            short(f"behalf.{field}", text, _LONGEST_WORD)


def _known_objects(app: App, data: Mapping[str, Any]) -> None:
    """Refuse agencies and systems that the registry does not have, once it has any."""
    for name, kind in (("agencies", "agencies"), ("systems", "systems")):
        if data.get(name):
            known = Registry(app.journal, (kind,)).entries[kind]
            for one in data[name]:
                if known and one not in known:
                    raise UsageError(Phrase("there is no {key} among the {kind}", key=one, kind=kind_word(kind)), hint=Phrase("soc {kind} list", kind=kind))


def get(app: App, name: str) -> Incident:
    """The incident of this id: `INC-2026-0007` in any case, or the number alone (`7`) of this year; beginnings of ids are not accepted.

    Raises: NotFound.
    """
    facts = app.journal.read(PREFIX + identity(f"INC-{local_day(app).year}-", name))
    if not facts:
        raise NotFound(Phrase("there is no incident {name}", name=name), hint="soc incidents list --all")
    found = _folded(facts)
    require(app, "incidents.view", found)
    return found


def listed(
    app: App, *, states: Sequence[str] = OPEN, scope: str | None = "real", overdue: bool = False, waiting: bool = False, agency: str = ""
) -> list[tuple[Incident, list[Obligation]]]:
    """Incidents in these states with their obligations: what is due first comes first, then the newest.

    `waiting`: only those of which something is due at all.
    """
    return page(app, states=states, scope=scope, overdue=overdue, waiting=waiting, agency=agency)[1]


def page(
    app: App,
    *,
    states: Sequence[str] = OPEN,
    scope: str | None = "real",
    overdue: bool = False,
    waiting: bool = False,
    agency: str = "",
    limit: int = 0,
    offset: int = 0,
) -> tuple[int, list[tuple[Incident, list[Obligation]]]]:
    """How many such incidents there are, and one page of them (`limit` 0 = all). Cost: that of the page (`soc.ports.Lists`)."""
    now = app.clock.now_us()
    total, incidents = _page(app, ListQuery(tuple(states), scope, now if overdue else 0, agency, limit, offset, waiting))
    return total, [(incident, obligations(incident, now)) for incident in incidents]


def without_duties(app: App, *, states: Sequence[str] = STATES, scope: str | None = "real") -> list[Incident]:
    """Incidents in these states, for what asks nothing of their deadlines. Cost: some microseconds each."""
    return _page(app, ListQuery(tuple(states), scope))[1]


def _page(app: App, query: ListQuery) -> tuple[int, list[Incident]]:
    """A page of the incidents that one may see, and how many there are."""
    require(app, "incidents.view")
    own = reach(app, "incidents.view") == OWN
    total, found = app.lists.page(incident_lists(), msgspec.structs.replace(query, limit=0, offset=0) if own else query)
    incidents = [incident_of(one) for one in found]
    if own:
        incidents = visible(app, "incidents.view", incidents)
        total, incidents = len(incidents), incidents[query.offset : query.offset + query.limit] if query.limit else incidents[query.offset :]
    return total, incidents


def move(
    app: App, name: str, command: str, given: Mapping[str, Any], *, reason: str = "", behalf: Behalf | None = None, expected: int | None = None
) -> Incident:
    """Carry out a command that changes the state; `given` holds what it needs (`into`, `resolution`, `rsit`, `at`, fields).

    Raises: IllegalTransition, UsageError (something is missing), FactConflict (somebody was faster, or `expected` is old).
    """
    incident = permitted(app, name, command)
    _said(reason, behalf)
    short("resolution", str(given.get("resolution") or ""), MOST_NOTE)
    _as_seen(app, incident, expected)
    found = step(incident.state, command)
    data = {key: value for key, value in given.items() if value not in (None, "")}
    for need in found.needs:
        has = reason if need == "reason" else data.get(need) or (incident.rsit if need == "rsit" else "")
        if not has:
            raise UsageError(
                Phrase("{command} needs {need}", command=command, need=_OPTIONS.get(need, f"--{need}")),
                hint=Phrase("soc incidents {command} --help", command=command),
            )
    fields = checked(app, {key: value for key, value in data.items() if key in EDITABLE})
    not_later(app, "at", str(data.get("at", "")))
    if command == "close":
        _nothing_left(incident)
    content: dict[str, Any] = {
        **fields,
        "to": incident.before_merge if found.to == BEFORE else found.to,
        **{key: data[key] for key in ("at", *found.needs) if key in data and key != "into"},
    }
    if command in ("merge", "unmerge"):
        _with_other(app, incident, command, str(data.get("into", "")), content, reason, behalf)
    else:
        _moved(app, incident, content, reason, behalf)
    return get(app, incident.id)


def _moved(app: App, incident: Incident, content: dict[str, Any], reason: str, behalf: Behalf | None) -> None:
    app.journal.append(PREFIX + incident.id, incident.version, [NewFact("IncidentMoved", content, reason, behalf)], actor=app.actor.name, scope=incident.scope)


def _with_other(app: App, incident: Incident, command: str, into: str, content: dict[str, Any], reason: str, behalf: Behalf | None) -> None:
    """A merge or its taking back, recorded in both incidents; the one merged stays readable and says where it went.

    When one of the two was changed meanwhile, what was recorded in the other is taken back by a further fact.
    """
    other = get(app, into or incident.merged_into)
    if other.id == incident.id:
        raise UsageError("an incident cannot be merged into itself")
    if command == "merge" and other.state not in OPEN:
        raise Conflict(Phrase("{id} is {state}: nothing can be merged into it", id=other.id, state=SAID.get(other.state, other.state)), hint="reopen it first")
    if other.scope != incident.scope:
        raise Conflict("an exercise and a real incident are never merged")
    kinds = ("IncidentAbsorbed", "IncidentReleased") if command == "merge" else ("IncidentReleased", "IncidentAbsorbed")
    mine = {**content, "into": other.id} if command == "merge" else content
    about = {"from": incident.id}
    # Both in one: a journal that has transactions leaves no half of it when it is killed.
    theirs, ours = app.journal.append_each(
        [
            Append(PREFIX + other.id, other.version, (NewFact(kinds[0], about, reason, behalf),)),
            Append(PREFIX + incident.id, incident.version, (NewFact("IncidentMoved", mine, reason, behalf),)),
        ],
        actor=app.actor.name,
        scope=incident.scope,
    )
    if isinstance(ours, FactConflict) and not isinstance(theirs, FactConflict):
        back = NewFact(kinds[1], about, "the other one was changed meanwhile")
        app.journal.append(PREFIX + other.id, ANY_VERSION, [back], actor=app.actor.name, scope=other.scope)
    if isinstance(theirs, FactConflict) and not isinstance(ours, FactConflict):
        back = NewFact("IncidentMoved", {"to": incident.state, "into": incident.merged_into}, "the other one was changed meanwhile")
        app.journal.append(PREFIX + incident.id, ANY_VERSION, [back], actor=app.actor.name, scope=incident.scope)
    for outcome in (ours, theirs):
        if isinstance(outcome, FactConflict):
            raise outcome


def _nothing_left(incident: Incident) -> None:
    left = [task for task in incident.tasks if not task.done_at]
    if left:
        raise Conflict(
            Phrase("{count} tasks are not done: {tasks}", count=len(left), tasks=", ".join(f"{task.id} {task.title}" for task in left[:5])),
            hint="soc incidents task-done ID TASK --result …",
        )
    if incident.legal_class == "undecided":
        raise Conflict("nobody has decided the legal class yet", hint="soc incidents edit ID --legal-class ordinary|serious --reason …")


def _as_seen(app: App, incident: Incident, expected: int | None) -> None:
    """Go on if nobody changed it since this version.

    Raises: FactConflict, which shows what was changed.
    """
    if expected is not None and expected > incident.version:
        raise UsageError(
            Phrase("{id} is at version {version}, there is no version {expected} yet", id=incident.id, version=incident.version, expected=expected),
            hint=Phrase("soc incidents show {id}", id=incident.id),
        )
    if expected is not None and expected != incident.version:
        stream = PREFIX + incident.id
        raise FactConflict(stream, expected, [one.fact for one in app.journal.read(stream, max(expected, 0))])


def _record(app: App, name: str, command: str, facts: Sequence[NewFact], expected: int | None = None) -> Incident:
    incident = permitted(app, name, command)
    for fact in facts:
        _said(fact.reason, fact.behalf)
    _as_seen(app, incident, expected)
    step(incident.state, command)
    app.journal.append(PREFIX + incident.id, incident.version, facts, actor=app.actor.name, scope=incident.scope)
    return get(app, incident.id)


def edit(app: App, name: str, fields: Mapping[str, Any], *, reason: str = "", behalf: Behalf | None = None, expected: int | None = None) -> Incident:
    """Change fields. A new legal class or time of detection needs a reason, and moves the clocks visibly.

    Raises: UsageError, IllegalTransition, FactConflict.
    """
    permitted(app, name, "edit")
    data = checked(app, fields)
    if not data:
        raise UsageError("nothing to change was given", hint="soc incidents edit --help")
    if not reason and {"legal_class", "detected_at"} & set(data):
        raise UsageError("a new legal class or time of detection needs a reason", hint="--reason TEXT")
    if "detected_at" in data:
        data["regime"] = regime_at(data["detected_at"]).id
    return _record(app, name, "edit", [NewFact("IncidentEdited", data, reason, behalf)], expected)


def note(app: App, name: str, text: str, *, behalf: Behalf | None = None) -> Incident:
    """Write something down; also in incidents that are closed."""
    permitted(app, name, "note")
    if not text.strip():
        raise UsageError("the note is empty")
    short("note", text, MOST_NOTE)
    return _record(app, name, "note", [NewFact("NoteAdded", {"text": text}, behalf=behalf)])


def assign(app: App, name: str, owner: str) -> Incident:
    """Give an incident to somebody."""
    permitted(app, name, "assign")
    short("owner", owner, _LONGEST_OWNER)
    return _record(app, name, "assign", [NewFact("IncidentAssigned", {"owner": owner})])


def add_tasks(app: App, name: str, tasks: Sequence[Mapping[str, str]]) -> Incident:
    """Add tasks: title, owner, due_at, origin each."""
    incident = permitted(app, name, "task")
    facts = []
    for number, task in enumerate(tasks, len(incident.tasks) + 1):
        short("title", task.get("title", ""), _LONGEST_WORD)
        short("owner", task.get("owner", ""), _LONGEST_OWNER)
        data = {key: value for key, value in task.items() if value}
        facts.append(NewFact("TaskAdded", {"id": f"t{number}", **data}))
    return _record(app, name, "task", facts, incident.version)


def finish_task(app: App, name: str, task: str, *, result: str = "", at: str = "", behalf: Behalf | None = None) -> Incident:
    """Say that a task is done.

    Raises: NotFound.
    """
    incident = permitted(app, name, "task-done")
    if all(one.id != task for one in incident.tasks):
        raise NotFound(Phrase("{id} has no task {task}", id=incident.id, task=task), hint=Phrase("soc incidents show {id}", id=incident.id))
    short("result", result, MOST_NOTE)
    data = {"id": task, "result": result, "at": not_later(app, "at", at)}
    return _record(app, name, "task-done", [NewFact("TaskFinished", {key: value for key, value in data.items() if value}, behalf=behalf)], incident.version)


def attach(app: App, name: str, alerts: Sequence[str]) -> Incident:
    """Tie groups or alerts to an incident; ids may be beginnings.

    Raises: NotFound, Conflict.
    """
    permitted(app, name, "attach")
    found = alert_ids(app, alerts)
    named = seen_in(app, found)
    facts = [NewFact("AlertsAttached", {"alerts": found}), *([NewFact("ObservablesAdded", {"observables": named})] if named else [])]
    return _record(app, name, "attach", facts)


def alert_ids(app: App, alerts: Sequence[str]) -> list[str]:
    """The whole ids of groups or alerts that one may see; ids may be beginnings.

    Raises: NotFound, Conflict (several fit), NotAllowed.
    """
    found = []
    for one in alerts:
        alert = app.store.get_alert(one)
        if alert is None:
            raise NotFound(Phrase("there is no alert {id}", id=one), hint="soc alerts list")
        require(app, "alerts.view", alert)
        found.append(alert.id)
    return found


def report(app: App, name: str, obligation: str, *, at: str = "", reference: str = "", channel: str = "", behalf: Behalf | None = None) -> Incident:
    """Record that a report was sent: nothing goes to an authority by itself.

    Raises: NotFound for an obligation that the incident does not have; UsageError.
    """
    incident = permitted(app, name, "report")
    known = [one.id for one in obligations(incident, app.clock.now_us())]
    if obligation not in known:
        raise NotFound(
            Phrase("{id} has no obligation {obligation}", id=incident.id, obligation=obligation), hint=Phrase("known: {known}", known=", ".join(known))
        )
    short("reference", reference, _LONGEST_WORD)
    short("channel", channel, _LONGEST_WORD)
    when = not_later(app, "at", at) or iso(app.clock.now_us())
    data = {"obligation": obligation, "at": when, "reference": reference, "channel": channel}
    return _record(app, name, "report", [NewFact("ReportRecorded", data, behalf=behalf)], incident.version)


def item(incident: Incident, duties: list[Obligation]) -> dict[str, Any]:
    """An incident as the JSON of lists."""
    return {
        "id": incident.id,
        "title": incident.title,
        "state": incident.state,
        "severity": incident.severity,
        "legal_class": incident.legal_class,
        "tlp": incident.tlp,
        "class": incident.class_,
        "regime": incident.regime,
        "agencies": incident.agencies,
        "systems": incident.systems,
        "owner": incident.owner,
        "detected_at": incident.detected_at,
        "opened_at": incident.opened_at,
        "next_due_at": next_due(duties),
        "overdue": is_overdue(duties),
        "version": incident.version,
        "scope": incident.scope,
    }


def duties(app: App, incident: Incident) -> list[Obligation]:
    """What has to be reported of an incident."""
    return obligations(incident, app.clock.now_us())
