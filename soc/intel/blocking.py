"""A blocking list as the fold of its facts: proposed, approved by another person, written for gateways, ended or withdrawn.

A list holds what some incidents named at the moment it was proposed, whole: what was approved is what is written, whatever the
incidents say later. Facts: `BlocklistProposed` (entries, left out, expires), `BlocklistApproved`, `BlocklistWithdrawn`,
`BlocklistWritten` (format, SHA-256, count).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from soc.errors import Phrase
from soc.model.fact import Fact

PREFIX = "intel/"
ALLOWED = "intel-allowed"
"""The stream of what people said must never be blocked."""
PROPOSED, APPROVED, WITHDRAWN, EXPIRED = "proposed", "approved", "withdrawn", "expired"
SAID = {PROPOSED: Phrase("proposed"), APPROVED: Phrase("approved"), WITHDRAWN: Phrase("withdrawn"), EXPIRED: Phrase("expired")}
"""States as errors say them."""


class Entry(msgspec.Struct, frozen=True):
    """One thing to block, and the incidents that name it."""

    type: str
    value: str
    incidents: tuple[str, ...] = ()


class LeftOut(msgspec.Struct, frozen=True):
    """What an incident names and no list may hold."""

    type: str
    value: str
    reason: str


class Blocklist(msgspec.Struct):
    """A list after all its facts. Times: RFC 3339 UTC."""

    id: str
    state: str = PROPOSED
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    incidents: list[str] = []
    tlp: str = "AMBER"
    expires_at: str = ""
    reason: str = ""
    proposed_by: str = ""
    proposed_at: str = ""
    approved_by: str = ""
    approved_at: str = ""
    on_behalf: str = ""
    alone: bool = False
    """Approved by the one who proposed it, as nobody else is registered."""
    written: list[dict[str, Any]] = []
    """Every time it was written for a gateway: at, by, format, count, sha256."""
    version: int = 0

    def state_at(self, now: str) -> str:
        """Its state at a time: an approved list ends by itself."""
        return EXPIRED if self.state == APPROVED and self.expires_at <= now else self.state


def fold(identity: str, facts: Iterable[Fact]) -> Blocklist:
    """The list of these facts."""
    one = Blocklist(identity)
    for fact in facts:
        one.version = fact.sequence
        if fact.kind == "BlocklistProposed":
            one.entries = msgspec.convert(fact.data["entries"], list[Entry])
            one.left_out = msgspec.convert(fact.data.get("left_out", []), list[LeftOut])
            one.incidents, one.tlp = list(fact.data.get("incidents", [])), str(fact.data.get("tlp", "AMBER"))
            one.expires_at, one.reason = str(fact.data["expires_at"]), fact.reason
            one.proposed_by, one.proposed_at = fact.actor, fact.at
        elif fact.kind == "BlocklistApproved":
            one.state, one.approved_by, one.approved_at = APPROVED, fact.actor, fact.at
            one.on_behalf, one.alone = fact.behalf.person if fact.behalf else "", bool(fact.data.get("alone", False))
        elif fact.kind == "BlocklistWithdrawn":
            one.state, one.reason = WITHDRAWN, fact.reason
        elif fact.kind == "BlocklistWritten":
            one.written.append({"at": fact.at, "by": fact.actor, **fact.data})
    return one


def allowed(facts: Iterable[Fact]) -> dict[str, str]:
    """Value → why people said that it must never be blocked."""
    found: dict[str, str] = {}
    for fact in facts:
        if fact.kind == "ValueAllowed":
            found[str(fact.data["value"])] = fact.reason
        elif fact.kind == "ValueNoLongerAllowed":
            found.pop(str(fact.data["value"]), None)
    return found
