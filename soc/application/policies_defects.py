"""What policies opened by a rule's wrong alerts goes with them: the recorded defect marks the incident, voids its clocks, takes unsent messages back.

An incident is withdrawn when policies opened it, all groups that it holds were withdrawn, and nobody has begun to act on it
(`new`, `triaged`). One that people act on stays, with a note: they decide. Undoing the retraction brings both back. Each defect is settled once, in
the stream `defect/<id>`; a step that was cut off is repeated and changes nothing twice.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

import msgspec

from soc.application import oncall, outbox
from soc.application.app import App
from soc.application.rules_retract import Defect, retractions
from soc.errors import Conflict
from soc.incidents.model import PREFIX as INCIDENTS
from soc.incidents.model import Incident, fold
from soc.incidents.page import PREFIX as PAGES
from soc.incidents.workflow import CLOSED, MERGED, NEW, REJECTED, TRIAGED
from soc.model.fact import NewFact
from soc.model.journal import FactConflict
from soc.ports import AlertQuery
from soc.telemetry import get_logger

log = get_logger(__name__)

PREFIX = "defect/"
ACTOR = "policies"
_ALL = 1_000_000_000


class Settled(msgspec.Struct):
    """What settling defects came to: incidents withdrawn, brought back, left to people; messages taken back."""

    withdrawn: list[str] = []
    restored: list[str] = []
    left: list[str] = []
    messages: int = 0


def settle(app: App) -> Settled:
    """Let every retraction reach what policies opened, and every undone one bring it back; idempotent."""
    found = Settled()
    for defect in reversed(retractions(app)):
        held = [one.fact.kind for one in app.journal.read(PREFIX + defect.id)]
        try:
            if not defect.undone_at and not held:
                _withdraw(app, defect, found)
                _note(app, defect, "DefectSettled", 0)
            elif defect.undone_at and held[-1:] == ["DefectSettled"]:
                _restore(app, defect, found)
                _note(app, defect, "DefectLifted", len(held))
        except FactConflict as error:
            log.info("an incident was changed meanwhile: the defect is settled at the next pass", defect=defect.id, stream=error.stream)
    return found


class Reached(msgspec.Struct):
    """The incidents that a retraction reached, by id: withdrawn with it, brought back by undoing it, left to the people who act on them."""

    withdrawn: list[str] = []
    restored: list[str] = []
    left: list[str] = []


def reached(app: App, defects: Collection[str]) -> Reached:
    """What retractions (their ids) came to, as the incidents themselves tell. Cost: one read of the incidents that policies opened."""
    found = Reached()
    by_kind = {"IncidentWithdrawn": found.withdrawn, "IncidentRestored": found.restored, "NoteAdded": found.left}
    for stream, held in app.journal.under(INCIDENTS):
        kinds = {one.fact.kind for one in held if one.fact.data.get("defect") in defects}
        for kind in kinds & by_kind.keys():
            by_kind[kind].append(stream.removeprefix(INCIDENTS))
    return found


def _note(app: App, defect: Defect, kind: str, expected: int) -> None:
    with suppress(FactConflict):  # another process settled it as well: the same facts, which change nothing twice
        app.journal.append(PREFIX + defect.id, expected, [NewFact(kind, {"rule": defect.rule})], actor=ACTOR)


def _withdraw(app: App, defect: Defect, found: Settled) -> None:
    for incident in _concerned(app, defect):
        if not _is_withdrawn(app, incident):
            continue
        if incident.state in (NEW, TRIAGED):
            data = {"defect": defect.id, "rule": defect.rule, "title": defect.title, "to": REJECTED}
            if _append(app, incident, NewFact("IncidentWithdrawn", data, defect.why)):
                found.withdrawn.append(incident.id)
            app.crash("policies.withdrawn")
        elif incident.state not in (REJECTED, MERGED):
            text = f"{defect.id}: {defect.title} – {defect.why}"
            if not any(note.text == text for note in incident.notes) and _append(app, incident, NewFact("NoteAdded", {"text": text, "defect": defect.id})):
                found.left.append(incident.id)
            if incident.state != CLOSED:
                continue
        found.messages += _take_back(app, incident, defect)


def _concerned(app: App, defect: Defect) -> list[Incident]:
    """The incidents that policies opened because of the rule."""
    found = []
    for stream, held in app.journal.under(INCIDENTS):
        first = held[0].fact
        if "policy" in first.data and defect.rule in {str(rule) for one in held for rule in one.fact.data.get("rules", ())}:
            found.append(fold(stream.removeprefix(INCIDENTS), [one.fact for one in held]))
    return found


def _is_withdrawn(app: App, incident: Incident) -> bool:
    """Whether no group of an incident counts any more, and one was withdrawn."""
    ids = frozenset(one for one in incident.alerts if one.startswith("g-"))
    if not ids or len(ids) < len(incident.alerts):
        return False
    if app.store.alert_groups(AlertQuery(scope=None, ids=ids, limit=1))[0]:
        return False
    return app.store.alert_groups(AlertQuery(scope=None, ids=ids, retracted=True, limit=_ALL))[0] > 0


def _restore(app: App, defect: Defect, found: Settled) -> None:
    for incident in _concerned(app, defect):
        if incident.defect and incident.state == REJECTED and not _is_withdrawn(app, incident):
            data = {"defect": defect.id, "to": incident.before_defect or NEW}
            if _append(app, incident, NewFact("IncidentRestored", data, defect.undone_why)):
                found.restored.append(incident.id)


def _append(app: App, incident: Incident, fact: NewFact) -> bool:
    app.journal.append(INCIDENTS + incident.id, incident.version, [fact], actor=ACTOR, scope=incident.scope)
    return True


def _take_back(app: App, incident: Incident, defect: Defect) -> int:
    """Cancel what was to be said because of an incident and was not sent yet, and call nobody any more."""
    count = 0
    for sending in list(outbox.sendings(app)):
        if sending.settled or sending.message.cause != INCIDENTS + incident.id:
            continue
        try:
            outbox.cancel(app, sending.message.id, reason=f"{defect.id}: {defect.why}")
        except Conflict:
            continue  # it went out meanwhile
        count += 1
    for call in oncall.pages(app):
        if call.state == "open" and call.cause == INCIDENTS + incident.id:
            fact = NewFact("PageAcknowledged", {"by": ACTOR}, f"{defect.id}: {defect.why}")
            app.journal.append(PAGES + call.id, call.version, [fact], actor=ACTOR, scope=call.scope)
    return count


__all__ = ["PREFIX", "Reached", "Settled", "reached", "settle"]
