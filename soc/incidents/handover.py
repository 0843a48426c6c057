"""What one shift leaves to the next: the fold of its facts.

Facts of the stream `handover/<id>`: `HandoverWritten` (text, for whom, and how things stood), `HandoverAccepted` (by whom, and what they asked or added).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from soc.model.fact import Behalf, Fact

PREFIX = "handover/"
MOST_TEXT = 50_000


class Handover(msgspec.Struct):
    """A handover note. `state`: how things stood when it was written (open incidents, what is overdue, calls, messages)."""

    id: str
    text: str = ""
    by: str = ""
    at: str = ""
    to: str = ""
    standing: dict[str, Any] = {}
    behalf: Behalf | None = None
    accepted_by: str = ""
    accepted_at: str = ""
    accepted_behalf: Behalf | None = None
    remark: str = ""
    version: int = 0


def fold(identity: str, facts: Iterable[Fact]) -> Handover:
    """The note of these facts; kinds that this version does not know only count."""
    found = Handover(identity)
    for fact in facts:
        found.version = fact.sequence
        if fact.kind == "HandoverWritten":
            found.text, found.to, found.standing = str(fact.data.get("text", "")), str(fact.data.get("to", "")), dict(fact.data.get("standing", {}))
            found.by, found.at, found.behalf = fact.actor, fact.at, fact.behalf
        elif fact.kind == "HandoverAccepted":
            found.accepted_by, found.accepted_at, found.accepted_behalf, found.remark = fact.actor, fact.at, fact.behalf, fact.reason
    return found
