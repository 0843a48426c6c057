"""Numbered warnings of the national centre: what it asks for, until when, and what was answered to it.

A warning is the fold of its stream (`warning/WN-2026-0007`); the notices that pass it on name it, so how far the agencies are follows
from those. Facts: `WarningReceived`, `WarningClosed` (summary, number of our answer, counts as they were; `although`: why it was closed
before everybody had acted).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from soc.errors import Phrase
from soc.incidents.notices import ACTED, RECEIVED, SENT, VERIFIED, WAITING, WITHDRAWN, Notice
from soc.model.fact import Fact

PREFIX = "warning/"
OPEN, CLOSED = "open", "closed"
SAID = {OPEN: Phrase("open"), CLOSED: Phrase("closed")}
"""States as errors say them."""


class CentreWarning(msgspec.Struct):
    """The state of a warning after its facts. `issued_on`: date; `sha256`: of the file that came."""

    id: str
    state: str = OPEN
    number: str = ""
    issued_on: str = ""
    issuer: str = ""
    subject: str = ""
    asked: str = ""
    """What it asks for."""
    tlp: str = "AMBER"
    due_at: str = ""
    vulnerabilities: list[str] = []
    sha256: str = ""
    file: str = ""
    received_at: str = ""
    recorded_by: str = ""
    summary: str = ""
    answer_number: str = ""
    answer_on: str = ""
    although: str = ""
    closed_at: str = ""
    closed_by: str = ""
    counts: dict[str, int] = {}
    """As they were when it was closed."""
    scope: str = "real"
    version: int = 0


class Progress(msgspec.Struct, frozen=True):
    """How far the agencies are to whom a warning was passed on. `agencies`: each once, as far as its furthest notice."""

    notices: list[str]
    agencies: dict[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """How many agencies are how far."""
        found = list(self.agencies.values())
        return {state: found.count(state) for state in (WAITING, SENT, RECEIVED, ACTED, VERIFIED)}

    @property
    def missing(self) -> list[str]:
        """Agencies that have not acted."""
        return [agency for agency, state in self.agencies.items() if state not in (ACTED, VERIFIED)]

    @property
    def unanswered(self) -> list[str]:
        """Agencies that never said a word."""
        return [agency for agency, state in self.agencies.items() if state == SENT]


_ORDER = (WAITING, SENT, RECEIVED, ACTED, VERIFIED)


def progress(identity: str, notices: Sequence[Notice]) -> Progress:
    """How far the agencies are; notices that were withdrawn do not count."""
    mine = [one for one in notices if one.warning == identity and one.state != WITHDRAWN]
    agencies: dict[str, str] = {}
    for notice in sorted(mine, key=lambda one: one.id):
        for one in notice.recipients:
            known = agencies.get(one.agency, WAITING)
            agencies[one.agency] = max(known, one.state, key=_ORDER.index)
    return Progress(sorted(one.id for one in mine), agencies)


def fold(identity: str, facts: Iterable[Fact]) -> CentreWarning:
    """The warning of these facts."""
    found = CentreWarning(identity)
    for fact in facts:
        found.version, found.scope = fact.sequence, fact.scope
        if fact.kind == "WarningReceived":
            for name in ("number", "issued_on", "issuer", "subject", "asked", "tlp", "due_at", "sha256", "file"):
                setattr(found, name, str(fact.data.get(name, "")))
            found.vulnerabilities = [str(one) for one in fact.data.get("vulnerabilities", ())]
            found.received_at, found.recorded_by = str(fact.data.get("received_at") or fact.at), fact.actor
        elif fact.kind == "WarningClosed":
            found.state, found.closed_at, found.closed_by = CLOSED, fact.at, fact.actor
            found.summary, found.although = str(fact.data.get("summary", "")), fact.reason
            found.answer_number, found.answer_on = str(fact.data.get("number", "")), str(fact.data.get("on", ""))
            found.counts = {str(key): int(value) for key, value in fact.data.get("counts", {}).items()}
    return found
