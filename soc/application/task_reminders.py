"""Reminding owners of tasks of incidents that are not done in time: each step of each task exactly once.

The fact `TasksDue` in the stream `task-reminders/<incident>` fixes the tasks with their steps, and whom they go to; one message tells
all tasks of one owner that fall together, under an id that follows from the fact, so what a kill leaves out is made up for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from soc.application import outbox
from soc.application.app import App
from soc.application.recipients import Way
from soc.application.reminders import local, recipients
from soc.clock import iso
from soc.errors import ConfigError, Conflict, NotFound, Phrase, UsageError
from soc.i18n import said
from soc.incidents.listing import incident_of
from soc.incidents.listing import incidents as incident_lists
from soc.incidents.model import PREFIX as INCIDENT
from soc.incidents.model import Incident, Task, fold
from soc.incidents.reminders import steps_of, task_reminders
from soc.incidents.workflow import OPEN
from soc.model.fact import Fact, NewFact
from soc.model.ids import digest_id
from soc.model.journal import FactConflict
from soc.model.message import Message, message
from soc.model.projection import ListQuery
from soc.telemetry import get_logger

log = get_logger(__name__)

PREFIX = "task-reminders/"
KIND = "task"
Known = dict[str, tuple[int, int]]
"""What one process remembers from pass to pass: stream of an incident → number seen, and when its next step is (0 = never)."""


class Told(msgspec.Struct, frozen=True):
    """A reminder that was recorded: tasks with their steps, and whom it went to."""

    tasks: tuple[tuple[str, str], ...]
    to: tuple[Way, ...]

    @property
    def key(self) -> str:
        """The same for the same reminder, for ever."""
        return digest_id("tasks", *(word for one in self.tasks for word in one))


def recorded(facts: Iterable[Fact]) -> list[Told]:
    """The reminders of one incident that were recorded, in order."""
    return [
        Told(tuple((str(task), str(key)) for task, key in fact.data["tasks"]), tuple((str(channel), str(to)) for channel, to in fact.data["to"]))
        for fact in facts
        if fact.kind == "TasksDue"
    ]


def remind(app: App, known: Known | None = None) -> int:
    """Record and send every reminder of a task that should have gone out by now; how many were new.

    Cost: that of the open incidents; with `known` only of those that changed or are due.
    """
    known = known if known is not None else {}
    _cancel_needless(app)
    count = 0
    for incident in _looked_at(app, known):
        try:
            count += _remind(app, incident, known)
        except (UsageError, ConfigError, NotFound, Conflict) as error:  # one incident stops no other
            log.error("nobody can be reminded of a task", incident=incident.id, error=error.message, hint=error.hint)
    return count


def _looked_at(app: App, known: Known) -> Iterator[Incident]:
    """Open incidents that changed since, or of which a task has its next step now."""
    now = app.clock.now_us()
    _, found = app.lists.page(incident_lists(), ListQuery(OPEN, None))
    for one in found:
        through, next_us = known.get(one.stream, (0, 0))
        if through != one.through or (next_us and next_us <= now):
            yield incident_of(one)


def _remind(app: App, incident: Incident, known: Known) -> int:
    now, steps = app.clock.now_us(), steps_of(app.settings.duties.reminders)
    stream, next_us = PREFIX + incident.id, 0
    facts = [one.fact for one in app.journal.read(stream)] if any(one.due_at for one in incident.tasks) else []
    told = recorded(facts)
    before = {one for reminder in told for one in reminder.tasks}
    fresh: dict[tuple[Way, ...], list[tuple[str, str]]] = {}
    for task in incident.tasks:
        due, then = task_reminders(task, steps, now)
        next_us = min((at for at in (next_us, then) if at), default=0)
        for one in due:
            if (task.id, one.key) in before:
                continue
            to = tuple(recipients(app, one.to, msgspec.structs.replace(incident, owner=task.owner or incident.owner)))
            if to:
                fresh.setdefault(to, []).append((task.id, one.key))
            else:
                next_us = now  # until somebody is there
    version = len(facts)
    for to, tasks in fresh.items():
        data: dict[str, Any] = {"tasks": [list(one) for one in tasks], "to": [list(way) for way in to]}
        app.crash("tasks.due")
        try:
            version = app.journal.append(stream, version, [NewFact("TasksDue", data)], actor=app.actor.name, scope=incident.scope)[-1].fact.sequence
        except FactConflict:  # another process does it
            return 0
        app.crash("tasks.recorded")
        told.append(Told(tuple(tasks), to))
    outbox.send_each(app, [_message(app, incident, one, way) for one in told for way in one.to if _left(incident, one)])
    known[INCIDENT + incident.id] = (incident.version, next_us)
    return len(fresh)


def _left(incident: Incident, told: Told) -> list[Task]:
    """The tasks of a reminder that are not done."""
    names = {task for task, _ in told.tasks}
    return [one for one in incident.tasks if one.id in names and not one.done_at]


def _cancel_needless(app: App) -> None:
    """Take back what was not sent yet and is needed no longer: all of its tasks are done, or the incident is over."""
    for one in outbox.waiting(app):
        if one.message.kind != KIND:
            continue
        name = one.message.about
        incident = fold(name, [stored.fact for stored in app.journal.read(INCIDENT + name)])
        told = next((found for found in recorded(stored.fact for stored in app.journal.read(PREFIX + name)) if found.key == one.message.step), None)
        if incident.state in OPEN and (told is None or _left(incident, told)):
            continue
        try:
            outbox.cancel(app, one.message.id, reason="needed no longer")
        except Conflict:
            continue  # on its way


def _message(app: App, incident: Incident, told: Told, way: Way) -> Message:
    language, zone = app.settings.outbox.language, ZoneInfo(app.settings.timezone)
    now, left = iso(app.clock.now_us()), _left(incident, told)
    late = [one for one in left if one.due_at <= now]
    hidden = incident.tlp == "RED"  # what TLP:RED covers stays where people log in
    facts = {"id": incident.id, "title": "TLP:RED" if hidden else incident.title, "count": len(late)}
    lines = [f"{one.id}  {local(one.due_at, zone)}" + ("" if hidden else f"  {one.title}") for one in sorted(left, key=lambda one: (one.due_at, one.id))]
    subject = Phrase("OVERDUE {id}: {count} tasks are not done", **facts) if late else Phrase("Reminder {id}: tasks that are due", **facts)
    head = said(language, Phrase("{id}: {title}\nThese tasks are yours, with the time by which they are to be done:", **facts))
    tail = said(
        language, Phrase("What each asks for: soc incidents show {id}\nSay that one is done: soc incidents task-done {id} TASK --result TEXT\n", **facts)
    )
    return message(
        KIND,
        incident.id,
        told.key,
        way[1],
        said(language, subject),
        "\n".join([head, "", *lines, "", tail]),
        channel=way[0],
        scope=incident.scope,
        cause=INCIDENT + incident.id,
    )
