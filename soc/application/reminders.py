"""Reminding people of reports that are due, and telling leads when they are late: each step of each deadline exactly once.

The fact `ReminderDue` in the stream `reminders/<incident>` fixes a step and whom it goes to; its messages follow from it under ids
of their own, so what a kill leaves out is made up for, and a change of shift sends nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from soc.application import outbox, roster
from soc.application.app import App
from soc.application.numbered import local_day
from soc.application.recipients import Way, leads, ways
from soc.clock import from_iso, to_datetime
from soc.errors import ConfigError, Conflict, NotFound, Phrase, UsageError
from soc.i18n import said
from soc.incidents.clocks import Obligation, obligations
from soc.incidents.listing import incident_of
from soc.incidents.listing import incidents as incident_lists
from soc.incidents.model import PREFIX as INCIDENT
from soc.incidents.model import Incident, fold
from soc.incidents.reminders import KNOWN, STATES, Reminder, Whom, reminders, steps_of
from soc.model.fact import Fact, NewFact
from soc.model.journal import FactConflict
from soc.model.message import Message, message
from soc.model.projection import ListQuery
from soc.organization.model import Person
from soc.organization.registry import Registry
from soc.telemetry import get_logger

log = get_logger(__name__)

PREFIX = "reminders/"
KIND = "obligation"


class Sent(msgspec.Struct, frozen=True):
    """A reminder that was recorded: whom it went to, as channel and recipient."""

    obligation: str
    key: str
    at: str
    to: tuple[Way, ...]


class Known(msgspec.Struct):
    """What one process remembers from pass to pass, so that the next one looks only at what changed or is due.

    `incidents`: stream → number seen, and when its next step is (0 = never).
    """

    incidents: dict[str, tuple[int, int]] = {}
    untold: set[str] = set()
    """Incidents of which it was said that nobody is there to be reminded."""


def recorded(facts: Iterable[Fact]) -> dict[tuple[str, str], Sent]:
    """The reminders of one incident that were recorded, by obligation and key."""
    out = {}
    for fact in facts:
        if fact.kind == "ReminderDue":
            one = Sent(str(fact.data["obligation"]), str(fact.data["key"]), fact.at, tuple((str(channel), str(to)) for channel, to in fact.data.get("to", ())))
            out[one.obligation, one.key] = one
    return out


def remind(app: App, known: Known | None = None) -> int:
    """Record and send every reminder that should have gone out by now; how many steps were new.

    Cost: that of the incidents that owe something; with `known` only of those that changed or are due.
    """
    known = known if known is not None else Known()
    _cancel_needless(app)
    steps_of(app.settings.duties.reminders)  # a file that cannot be used is told as such, not once per incident
    count = 0
    for incident in _looked_at(app, known):
        try:
            count += _remind(app, incident, known)
        except (UsageError, ConfigError, NotFound, Conflict) as error:  # one incident stops no other
            log.error("nobody can be reminded of an incident", incident=incident.id, error=error.message, hint=error.hint)
    return count


def _looked_at(app: App, known: Known) -> Iterator[Incident]:
    """Incidents that owe something and changed since, or have their next step now."""
    now = app.clock.now_us()
    _, found = app.lists.page(incident_lists(), ListQuery(None, None, waiting=True))
    for one in found:
        through, next_us = known.incidents.get(one.stream, (0, 0))
        if through != one.through or (next_us and next_us <= now):
            yield incident_of(one)


def _remind(app: App, incident: Incident, known: Known) -> int:
    """The reminders of one incident."""
    now = app.clock.now_us()
    steps = steps_of(app.settings.duties.reminders)
    duties = obligations(incident, now)
    stream = PREFIX + incident.id
    facts = app.journal.read(stream)
    sent = recorded(one.fact for one in facts)
    version, count, untold = len(facts), 0, False
    next_us = 0
    for duty in duties:
        due, then = reminders(duty, steps, now)
        next_us = min((at for at in (next_us, then) if at), default=0)
        for one in due:
            done = sent.get((duty.id, one.key))
            if done is None:
                to = recipients(app, one.to, incident)
                if not to:
                    untold = True
                    continue
                data: dict[str, Any] = {"obligation": duty.id, "key": one.key, "step": one.step, "due_at": duty.due_at, "to": [list(way) for way in to]}
                app.crash("reminders.due")
                try:
                    version = app.journal.append(stream, version, [NewFact("ReminderDue", data)], actor=app.actor.name, scope=incident.scope)[-1].fact.sequence
                except FactConflict:  # another process does it
                    return count
                app.crash("reminders.recorded")
                count += 1
                done = Sent(duty.id, one.key, "", tuple(to))
            outbox.send_each(app, [_message(app, incident, duty, one, way) for way in done.to])
    if untold:
        if incident.id not in known.untold:
            known.untold.add(incident.id)
            log.error("nobody is there to be reminded", incident=incident.id, hint="give it an owner, import a roster, or set outbox.leads")
        next_us = now  # until somebody is
    known.incidents[INCIDENT + incident.id] = (incident.version, next_us)
    return count


def _cancel_needless(app: App) -> None:
    """Take back what was not sent yet and is needed no longer: the report was made, the duty was moved or is void."""
    now = app.clock.now_us()
    standing: dict[str, set[tuple[str, str]]] = {}
    for one in outbox.waiting(app):
        if one.message.kind != KIND:
            continue
        name, _, duty = one.message.about.partition("/")
        if name not in standing:
            incident = fold(name, [stored.fact for stored in app.journal.read(INCIDENT + name)])
            standing[name] = {(found.id, found.due_at) for found in obligations(incident, now) if found.state in STATES} if incident.version else set()
        if (duty, one.message.step.partition("@")[2]) not in standing[name]:
            try:
                outbox.cancel(app, one.message.id, reason="needed no longer")
            except Conflict:
                continue  # on its way


def recipients(app: App, whom: Sequence[Whom], incident: Incident) -> list[Way]:
    """Whom a step goes to, each way once; nobody of those named: the leads, rather than nobody."""
    found: list[Way] = []
    if "owner" in whom:
        owner = _owner(app, incident)
        found += ways(owner, app.settings) if owner is not None else _on_call(app)
    if "on-call" in whom:
        found += _on_call(app)
    if "leads" in whom or not found:
        found += leads(app)
    return list(dict.fromkeys(found))


def _owner(app: App, incident: Incident) -> Person | None:
    """The person of the registry who owns an incident: by id, account or name."""
    if not incident.owner:
        return None
    every = Registry(app.journal, ("people",)).all(Person, local_day(app))
    return next((one for one in every if incident.owner in (one.id, one.account, one.name, one.email)), None)


def _on_call(app: App) -> list[Way]:
    return [way for one in roster.on_call(app)[:1] for way in ways(one, app.settings)]


def _message(app: App, incident: Incident, duty: Obligation, one: Reminder, way: Way) -> Message:
    language = app.settings.outbox.language
    zone = ZoneInfo(app.settings.timezone)
    facts = {
        "id": incident.id,
        "duty": duty.title.get(language) or duty.title["en"],
        "due": local(duty.due_at, zone),
        "to": duty.to,
        "source": duty.source,
        "detected": local(duty.begin_at, zone),
        # what TLP:RED covers stays where people log in
        "title": "TLP:RED" if incident.tlp == "RED" else incident.title,
        "obligation": duty.id,
    }
    if one.step == KNOWN:
        subject = Phrase("{id}: {duty}, due {due}", **facts)
    elif one.at_us >= from_iso(duty.due_at):
        subject = (
            Phrase("OVERDUE {id}: {duty}, was due {due}", **facts) if one.at_us > from_iso(duty.due_at) else Phrase("DUE NOW {id}: {duty}, {due}", **facts)
        )
    else:
        subject = Phrase("Reminder {id}: {duty}, due {due}", **facts)
    body = Phrase(
        "{id}: {title}\n{duty}\nDue: {due}\nTo: {to}\nSource: {source}\nCounted from: {detected}\n\nRecord it when it was sent: soc incidents report {id} {obligation} --number NUMBER\nLook at it: soc incidents show {id}\n",
        **facts,
    )
    text = said(language, body)
    if duty.state == "tentative":
        text = (
            said(language, Phrase("Nobody has confirmed this incident yet; its clock runs all the same: soc incidents triage {id}", id=incident.id))
            + "\n\n"
            + text
        )
    if duty.unverified:
        text += said(language, Phrase("To be confirmed by the office's jurist: {what}", what=duty.unverified)) + "\n"
    for was in duty.earlier[-1:]:
        text += (
            said(language, Phrase("Was due before: {was} (changed by {by}: {reason})", was=local(was.due_at, zone), by=was.ended_by, reason=was.reason)) + "\n"
        )
    return message(
        KIND, f"{incident.id}/{duty.id}", one.key, way[1], said(language, subject), text, channel=way[0], scope=incident.scope, cause=INCIDENT + incident.id
    )


def local(moment: str, zone: ZoneInfo) -> str:
    """A time as messages write it: `21/11/2026 22:05`."""
    return f"{to_datetime(from_iso(moment)).astimezone(zone):%d/%m/%Y %H:%M}"
