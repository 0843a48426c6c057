"""Reminding owners of tasks of incidents that are not done in time: each step of each task exactly once.

The fact `TasksDue` in the stream `task-reminders/<incident>` fixes the tasks with their steps, and whom they go to; one message tells
all tasks of one owner that fall together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from zoneinfo import ZoneInfo

import msgspec

from soc.application import reminding
from soc.application.app import App
from soc.application.recipients import Way
from soc.application.reminders import local, recipients
from soc.application.reminding import Known, Look, Sort
from soc.clock import iso
from soc.errors import Phrase
from soc.i18n import said
from soc.incidents.model import PREFIX as INCIDENT
from soc.incidents.model import Incident, Task, fold
from soc.incidents.reminders import steps_of, task_reminders
from soc.incidents.workflow import OPEN
from soc.model.fact import Fact, NewFact
from soc.model.ids import digest_id
from soc.model.message import Message, message
from soc.model.projection import ListQuery

PREFIX = "task-reminders/"
KIND = "task"


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
    """Record and send every reminder of a task that should have gone out by now; how many were new."""
    return reminding.remind(app, _TASKS, known if known is not None else Known())


def _look(app: App, incident: Incident, facts: Sequence[Fact]) -> Look:
    """The steps of the tasks of an incident that are due by now, by whom they go to; and when the next one is."""
    now, steps = app.clock.now_us(), steps_of(app.settings.duties.reminders)
    before = {one for reminder in recorded(facts) for one in reminder.tasks}
    fresh: dict[tuple[Way, ...], list[tuple[str, str]]] = {}
    next_us, untold = 0, False
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
                untold = True
    new = [NewFact("TasksDue", {"tasks": [list(one) for one in tasks], "to": [list(way) for way in to]}) for to, tasks in fresh.items()]

    def messages(facts: Sequence[Fact]) -> list[Message]:
        return [_message(app, incident, one, way) for one in recorded(facts) for way in one.to if _left(incident, one)]

    return Look(new, messages, next_us, untold)


def _left(incident: Incident, told: Told) -> list[Task]:
    """The tasks of a reminder that are not done."""
    names = {task for task, _ in told.tasks}
    return [one for one in incident.tasks if one.id in names and not one.done_at]


def _needed(app: App) -> Callable[[Message], bool]:
    """Needless: all of its tasks are done, or the incident is over."""

    def needed(one: Message) -> bool:
        incident = fold(one.about, [stored.fact for stored in app.journal.read(INCIDENT + one.about)])
        told = next((found for found in recorded(stored.fact for stored in app.journal.read(PREFIX + one.about)) if found.key == one.step), None)
        return incident.state in OPEN and (told is None or bool(_left(incident, told)))

    return needed


_TASKS = Sort(KIND, PREFIX, "tasks", ListQuery(OPEN, None), _look, _needed, lambda incident: any(one.due_at for one in incident.tasks))


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
