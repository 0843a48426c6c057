"""Everything that is to be done again and again beside the stream, as one step: reminders, on-call, what others add, delivery.

Each part is idempotent and remembers nothing that the journal does not know, so the step may run in `soc run`, by `soc duties run`
from a timer, in both, on several machines, and after any pause.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from soc.application import checkpoints, incidents, notices_send, oncall, outbox, policies, reminders, reminding, situation, task_reminders
from soc.application.access import acting, require
from soc.application.app import App
from soc.clock import iso
from soc.errors import SocError
from soc.incidents.clocks import Obligation
from soc.incidents.reminders import STATES, steps_of
from soc.incidents.reminders import reminders as reminders_of
from soc.incidents.workflow import CLOSED, OPEN
from soc.telemetry import get_logger

log = get_logger(__name__)

ACTOR = "duties"
SOME = 100
"""Messages of one step beside the pipeline."""
AT_ONCE = 200
"""Incidents that are read together."""
Part = Callable[[App], int]
"""Does what is due and says how much it was."""
PARTS: dict[str, Part] = {"policies": policies.part, "notices": notices_send.flush_changed, "checkpoints": checkpoints.part, "situation": situation.part}
"""What is done before reminders and calls, by name: each is idempotent, and says how much it did."""


class Done(msgspec.Struct):
    """What one step did. `errors`: parts that failed, with why; the others were done all the same."""

    reminders: int = 0
    calls: int = 0
    parts: dict[str, int] = {}
    outbox: outbox.Delivered = msgspec.field(default_factory=outbox.Delivered)
    errors: dict[str, str] = {}

    @property
    def anything(self) -> bool:
        """Whether anything happened."""
        return bool(self.reminders or self.calls or any(self.parts.values()) or self.outbox.sent or self.outbox.failed or self.outbox.unknown or self.errors)


@dataclass
class Memory:
    """What one process remembers from step to step: only what spares it reading."""

    service: App | None = None
    """The application as it acts where nobody sits before it."""
    reminders: reminding.Known = field(default_factory=reminding.Known)
    tasks: reminding.Known = field(default_factory=reminding.Known)


def step(app: App, memory: Memory | None = None, *, stop: Callable[[], bool] = lambda: False, limit: int = 1_000) -> Done:
    """Do everything that is due now; what fails is told in the result and tried again by the next step."""
    require(app, "pipeline.run")
    memory = memory or Memory()
    if memory.service is None:
        _ = (app.journal, app.lists)  # opened before, so that both have the same
        memory.service = acting(app, ACTOR)
    service = memory.service
    done = Done()

    def part(name: str, work: Callable[[], None]) -> None:
        if stop():
            return
        try:
            work()
        except SocError as error:
            done.errors[name] = str(error.message)
            log.error("a duty failed, it is tried again", duty=name, error=error.message, hint=error.hint)

    def remind() -> None:
        done.reminders = reminders.remind(service, memory.reminders)

    def remind_of_tasks() -> None:
        done.reminders += task_reminders.remind(service, memory.tasks)

    def call() -> None:
        done.calls = oncall.escalate_due(service)

    def deliver() -> None:
        done.outbox = outbox.deliver(service, limit, stop=stop)

    def other(name: str, work: Part) -> None:
        done.parts[name] = work(service)

    for name, work in PARTS.items():
        part(name, lambda name=name, work=work: other(name, work))  # type: ignore[misc]
    part("reminders", remind)
    part("tasks", remind_of_tasks)
    part("on-call", call)
    part("outbox", deliver)
    return done


class Due(msgspec.Struct, frozen=True):
    """Something that is to be reported. `reminded`: steps that went out, with the time each was recorded; `next_at`: the next one ("" = none)."""

    incident: str
    title: str
    owner: str
    duty: Obligation
    reminded: tuple[tuple[str, str], ...]
    next_at: str


def listed(app: App, *, overdue: bool = False, until_us: int = 0, scope: str | None = "real", limit: int = 0) -> list[Due]:
    """What is to be reported, by due time. `overdue`: only what is late; `until_us`: only what is due by then; `limit`: at most so many (0 = all).

    Cost: that of the incidents which owe something, as they are kept sorted.
    """
    steps, now = steps_of(app.settings.duties.reminders), app.clock.now_us()
    found: list[Due] = []
    offset, total = 0, 1
    while offset < total and not (limit and len(found) >= limit + AT_ONCE):
        total, some = incidents.page(app, states=(*OPEN, CLOSED), scope=scope, overdue=overdue, limit=AT_ONCE, offset=offset)
        offset += AT_ONCE
        for incident, owed in some:
            due = [one for one in owed if one.state in STATES and (not overdue or one.state == "overdue") and (not until_us or one.due_at <= iso(until_us))]
            sent = reminders.recorded(one.fact for one in app.journal.read(reminders.PREFIX + incident.id)) if due else {}
            for one in due:
                reminded = tuple((key, step.at) for (name, key), step in sent.items() if name == one.id)
                next_us = reminders_of(one, steps, now)[1]
                found.append(Due(incident.id, incident.title, incident.owner, one, reminded, iso(next_us) if next_us else ""))
        if not some or not any(one.state in STATES for one in some[-1][1]):
            break  # sorted: what comes after owes nothing
    found.sort(key=lambda one: (one.duty.due_at, one.incident, one.duty.id))
    return found[:limit] if limit else found


def beside(app: App) -> App:
    """The same application with a journal and store of its own, for another thread."""
    return App(app.settings, app.actor, app.clock, app.metrics, app.wiring, crash=app.crash)


class Duties(threading.Thread):
    """Does the step each so many seconds beside the pipeline; nothing that fails in it stops anything."""

    def __init__(self, app: App, every_s: float) -> None:
        super().__init__(name="duties", daemon=True)
        self._app = app
        self._every_s = every_s
        self._stop_run = threading.Event()

    def run(self) -> None:
        memory = Memory()
        with self._app as app:
            while not self._stop_run.is_set():
                try:
                    done = step(app, memory, stop=self._stop_run.is_set, limit=SOME)
                except SocError as error:
                    log.error("duties failed, they are tried again", error=error.message, hint=error.hint)
                except Exception:  # the pipeline must go on whatever a part does
                    log.exception("duties failed, they are tried again")
                else:
                    if done.anything:
                        log.info("duties done", reminders=done.reminders, calls=done.calls, sent=done.outbox.sent, failed=done.outbox.failed)
                    if done.outbox.sent == SOME:  # there may be more, and whoever is called next comes in between
                        continue
                self._stop_run.wait(self._every_s)

    def stop(self) -> None:
        """Have it end after the message that it is at."""
        self._stop_run.set()
