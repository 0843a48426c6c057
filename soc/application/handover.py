"""Handing a shift over: a note with how things stand, which somebody of the next shift accepts."""

from __future__ import annotations

from typing import Any

from soc.application import duties, oncall, outbox, roster
from soc.application.access import require
from soc.application.app import App
from soc.application.numbered import identity, local_day, local_time, take
from soc.errors import Conflict, NotFound, Phrase, UsageError
from soc.incidents.handover import MOST_TEXT, PREFIX, Handover, fold
from soc.model.fact import Behalf, NewFact

_MOST_NAMED = 50


def write(app: App, text: str, *, to: str = "", behalf: Behalf | None = None) -> Handover:
    """A new note under the next number of the year, with how things stand now.

    Raises: UsageError.
    """
    require(app, "oncall.acknowledge")
    if not text.strip():
        raise UsageError("the note is empty")
    if len(text) > MOST_TEXT:
        raise UsageError(
            Phrase("the text has {count} characters, more than {most}", count=len(text), most=MOST_TEXT), hint="keep long texts as files: soc evidence add"
        )
    fact = NewFact("HandoverWritten", {"text": text, "to": to, "standing": standing(app)}, behalf=behalf)
    taken = take(app, f"{PREFIX}HO-{local_day(app).year}-", fact, busy="too many handovers are written at the same moment")
    return get(app, taken[0].fact.stream.removeprefix(PREFIX))


def standing(app: App) -> dict[str, Any]:
    """How things stand: what is open and due next, calls nobody acknowledged, messages that did not go out, who is on call."""
    due = duties.listed(app)
    return {
        "due": [{"incident": one.incident, "obligation": one.duty.id, "due_at": one.duty.due_at, "state": one.duty.state} for one in due[:_MOST_NAMED]],
        "overdue": sum(one.duty.state == "overdue" for one in due),
        "calls": [{"about": one.about, "code": one.code} for one in oncall.pages(app, ("open", "exhausted"))][:_MOST_NAMED],
        "messages": sum(1 for _ in outbox.sendings(app, outbox.UNDELIVERED)),
        "on_call": [one.name for one in roster.called(app)],
    }


def get(app: App, name: str = "") -> Handover:
    """The note of an id (`HO-2026-0007`, or `7` of this year); without one the last.

    Raises: NotFound.
    """
    require(app, "oncall.view")
    if not name:
        every = listed(app)
        if not every:
            raise NotFound("nothing was handed over yet", hint="soc handover write TEXT")
        return every[0]
    found = identity(f"HO-{local_day(app).year}-", name)
    facts = app.journal.read(PREFIX + found)
    if not facts:
        raise NotFound(Phrase("there is no handover {name}", name=name), hint="soc handover list")
    return fold(found, [one.fact for one in facts])


def listed(app: App, *, open_only: bool = False) -> list[Handover]:
    """The notes, the newest first."""
    require(app, "oncall.view")
    found = [fold(stream.removeprefix(PREFIX), [one.fact for one in facts]) for stream, facts in app.journal.under(PREFIX)]
    return [one for one in reversed(found) if not (open_only and one.accepted_at)]


def accept(app: App, name: str = "", *, remark: str = "", behalf: Behalf | None = None) -> Handover:
    """Record that somebody of the next shift has read the note and goes on.

    Raises: NotFound, Conflict (accepted before; or by who wrote it, unless it is recorded for somebody else).
    """
    require(app, "oncall.acknowledge")
    found = get(app, name)
    if found.accepted_at:
        raise Conflict(
            Phrase(
                "{id} was accepted by {by} at {at}",
                id=found.id,
                by=found.accepted_behalf.person if found.accepted_behalf else found.accepted_by,
                at=local_time(app, found.accepted_at),
            )
        )
    if behalf is None and found.by == app.actor.name and not found.behalf:
        raise Conflict(
            Phrase("{id} was written by {by}: somebody else accepts it", id=found.id, by=found.by), hint="for somebody who says so: --on-behalf NAME"
        )
    app.journal.append(PREFIX + found.id, found.version, [NewFact("HandoverAccepted", {}, remark, behalf)], actor=app.actor.name)
    return get(app, found.id)
