"""Reminding people of reports that are due, and telling leads when they are late: each step of each deadline exactly once.

The fact `ReminderDue` in the stream `reminders/<incident>` fixes a step and whom it goes to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from zoneinfo import ZoneInfo

import msgspec

from soc.application import reminding, roster
from soc.application.app import App
from soc.application.recipients import Way, leads, person_named, ways
from soc.application.reminding import Known, Look, Sort
from soc.clock import from_iso, to_datetime
from soc.errors import Phrase
from soc.i18n import said
from soc.incidents.clocks import Obligation, obligations
from soc.incidents.model import PREFIX as INCIDENT
from soc.incidents.model import Incident, fold
from soc.incidents.reminders import KNOWN, STATES, Reminder, Whom, reminders, steps_of
from soc.model.fact import Fact, NewFact
from soc.model.message import Message, message
from soc.model.projection import ListQuery

PREFIX = "reminders/"
KIND = "obligation"


class Sent(msgspec.Struct, frozen=True):
    """A reminder that was recorded: whom it went to, as channel and recipient."""

    obligation: str
    key: str
    at: str
    to: tuple[Way, ...]


def recorded(facts: Iterable[Fact]) -> dict[tuple[str, str], Sent]:
    """The reminders of one incident that were recorded, by obligation and key."""
    out = {}
    for fact in facts:
        if fact.kind == "ReminderDue":
            one = Sent(str(fact.data["obligation"]), str(fact.data["key"]), fact.at, tuple((str(channel), str(to)) for channel, to in fact.data.get("to", ())))
            out[one.obligation, one.key] = one
    return out


def remind(app: App, known: Known | None = None) -> int:
    """Record and send every reminder of a report that should have gone out by now; how many steps were new."""
    return reminding.remind(app, _REPORTS, known if known is not None else Known())


def _look(app: App, incident: Incident, facts: Sequence[Fact]) -> Look:
    """The steps of the deadlines of an incident: those that are due by now, and when the next one is."""
    now, steps = app.clock.now_us(), steps_of(app.settings.duties.reminders)
    sent = recorded(facts)
    every: list[tuple[Obligation, Reminder]] = []
    fresh: list[NewFact] = []
    next_us, untold = 0, False
    for duty in obligations(incident, now):
        due, then = reminders(duty, steps, now)
        next_us = min((at for at in (next_us, then) if at), default=0)
        for one in due:
            every.append((duty, one))
            if (duty.id, one.key) in sent:
                continue
            to = recipients(app, one.to, incident)
            if to:
                data = {"obligation": duty.id, "key": one.key, "step": one.step, "due_at": duty.due_at, "to": [list(way) for way in to]}
                fresh.append(NewFact("ReminderDue", data))
            else:
                untold = True

    def messages(facts: Sequence[Fact]) -> list[Message]:
        sent = recorded(facts)
        told = [(duty, one, done) for duty, one in every if (done := sent.get((duty.id, one.key))) is not None]
        return [_message(app, incident, duty, one, way) for duty, one, done in told for way in done.to]

    return Look(fresh, messages, next_us, untold)


def _needed(app: App) -> Callable[[Message], bool]:
    """Needless: the report was made, the duty was moved or is void."""
    now = app.clock.now_us()
    standing: dict[str, set[tuple[str, str]]] = {}

    def needed(one: Message) -> bool:
        name, _, duty = one.about.partition("/")
        if name not in standing:
            incident = fold(name, [stored.fact for stored in app.journal.read(INCIDENT + name)])
            standing[name] = {(found.id, found.due_at) for found in obligations(incident, now) if found.state in STATES} if incident.version else set()
        return (duty, one.step.partition("@")[2]) in standing[name]

    return needed


_REPORTS = Sort(KIND, PREFIX, "reminders", ListQuery(None, None, waiting=True), _look, _needed)


def recipients(app: App, whom: Sequence[Whom], incident: Incident) -> list[Way]:
    """Whom a step goes to, each way once; nobody of those named: the leads, rather than nobody."""
    found: list[Way] = []
    if "owner" in whom:
        owner = person_named(app, incident.owner)
        found += ways(owner, app.settings) if owner is not None else _on_call(app)
    if "on-call" in whom:
        found += _on_call(app)
    if "leads" in whom or not found:
        found += leads(app)
    return list(dict.fromkeys(found))


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
