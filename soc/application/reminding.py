"""One pass of reminding, which reports and tasks share: look at what changed or is due, record, send, take back what is needless.

What is recorded fixes a reminder and whom it goes to; its messages follow from it under ids of their own, so what a kill leaves out is
made up for, and a change of shift sends nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from soc.application import outbox
from soc.application.app import App
from soc.errors import ConfigError, Conflict, NotFound, UsageError
from soc.incidents.listing import incident_of
from soc.incidents.listing import incidents as incident_lists
from soc.incidents.model import PREFIX as INCIDENT
from soc.incidents.model import Incident
from soc.incidents.reminders import steps_of
from soc.model.fact import Fact, NewFact
from soc.model.journal import FactConflict
from soc.model.message import Message
from soc.model.projection import ListQuery
from soc.telemetry import get_logger

log = get_logger(__name__)


class Known(msgspec.Struct):
    """What one process remembers from pass to pass, so that the next one looks only at what changed or is due.

    `incidents`: stream → number seen, and when its next step is (0 = never).
    """

    incidents: dict[str, tuple[int, int]] = {}
    untold: set[str] = set()
    """Incidents of which it was said that nobody is there to be reminded."""


@dataclass(frozen=True)
class Look:
    """What one incident asks for now."""

    fresh: Sequence[NewFact]
    """Reminders that nobody recorded yet: one fact each."""
    messages: Callable[[Sequence[Fact]], Sequence[Message]]
    """The messages of all that is recorded, the fresh ones among them."""
    next_us: int = 0
    """When its next step is (0 = never)."""
    untold: bool = False
    """Somebody should be reminded, and nobody is there."""


@dataclass(frozen=True)
class Sort:
    """Something that people are reminded of. `kind`: of its messages; `prefix`: of its streams, one per incident; `crash`: of its crash points."""

    kind: str
    prefix: str
    crash: str
    query: ListQuery
    """The incidents that may have it."""
    look: Callable[[App, Incident, Sequence[Fact]], Look]
    """What an incident asks for; it is given the facts that were recorded of it."""
    needed: Callable[[App], Callable[[Message], bool]]
    """Whether a message that was not sent yet is needed still; made once a pass."""
    has: Callable[[Incident], bool] = lambda _incident: True
    """Whether an incident has any of it; of others nothing is read."""


def remind(app: App, sort: Sort, known: Known) -> int:
    """Record and send every reminder that should have gone out by now; how many were new.

    Cost: that of the incidents which may have it, and of those only what changed or is due since the pass before.
    """
    _cancel_needless(app, sort)
    steps_of(app.settings.duties.reminders)  # a file that cannot be used is told as such, not once per incident
    count = 0
    for incident in _looked_at(app, sort, known):
        try:
            count += _remind(app, sort, incident, known)
        except (UsageError, ConfigError, NotFound, Conflict) as error:  # one incident stops no other
            log.error("nobody can be reminded", of=sort.kind, incident=incident.id, error=error.message, hint=error.hint)
    return count


def _looked_at(app: App, sort: Sort, known: Known) -> Iterator[Incident]:
    """Incidents that changed since, or have their next step now."""
    now = app.clock.now_us()
    _, found = app.lists.page(incident_lists(), sort.query)
    for one in found:
        through, next_us = known.incidents.get(one.stream, (0, 0))
        if through != one.through or (next_us and next_us <= now):
            yield incident_of(one)


def _remind(app: App, sort: Sort, incident: Incident, known: Known) -> int:
    """The reminders of one incident."""
    if not sort.has(incident):
        known.incidents[INCIDENT + incident.id] = (incident.version, 0)
        return 0
    stream = sort.prefix + incident.id
    facts = [one.fact for one in app.journal.read(stream)]
    look = sort.look(app, incident, facts)
    for one in look.fresh:
        app.crash(f"{sort.crash}.due")
        try:
            facts += [stored.fact for stored in app.journal.append(stream, len(facts), [one], actor=app.actor.name, scope=incident.scope)]
        except FactConflict:  # another process does it; what it does not is seen by the next pass
            return 0
        app.crash(f"{sort.crash}.recorded")
    outbox.send_each(app, list(look.messages(facts)))
    if look.untold and incident.id not in known.untold:
        known.untold.add(incident.id)
        log.error("nobody is there to be reminded", of=sort.kind, incident=incident.id, hint="give it an owner, import a roster, or set outbox.leads")
    known.incidents[INCIDENT + incident.id] = (incident.version, app.clock.now_us() if look.untold else look.next_us)  # until somebody is
    return len(look.fresh)


def _cancel_needless(app: App, sort: Sort) -> None:
    """Take back what was not sent yet and is needed no longer."""
    needed = sort.needed(app)
    for one in outbox.waiting(app):
        if one.message.kind != sort.kind or needed(one.message):
            continue
        try:
            outbox.cancel(app, one.message.id, reason="needed no longer")
        except Conflict:
            continue  # on its way
