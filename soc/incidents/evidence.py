"""A piece of evidence as the fold of its facts: what it is, where it is, and through whose hands it went.

Stream `evidence/EV-2026-0007`. Facts: `EvidenceAdded` (copied into the store), `EvidenceRegistered` (known by hash, place and seal
only, or by a paper reference where it may not be stored), `EvidenceHandedOver`, `EvidenceChecked`.
Source: Decree 333/2026/NĐ-CP, articles 9 and 12 (evidence is preserved whole); ISO/IEC 27037:2012, 5.4 (chain of custody).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from soc.model.fact import Fact

PREFIX = "evidence/"


class Custody(msgspec.Struct, frozen=True):
    """One link of the chain of custody. `by`: who recorded it; `behalf`: for whom."""

    at: str
    giver: str
    taker: str
    why: str
    by: str
    place: str = ""
    seal: str = ""
    behalf: str = ""


class Checked(msgspec.Struct, frozen=True):
    """One comparison with the recorded hash."""

    at: str
    result: str
    by: str


class Evidence(msgspec.Struct):
    """The state of a piece of evidence. `form`: `kept` in our store, `registered` elsewhere, `paper` may not be stored at all."""

    id: str
    form: Literal["kept", "registered", "paper"] = "kept"
    incident: str = ""
    name: str = ""
    """What the file was called: data, never a path."""
    description: str = ""
    sha256: str = ""
    size: int = 0
    origin: str = ""
    """Where it was taken from: a host, a disk, a mailbox."""
    collected_by: str = ""
    collected_at: str = ""
    place: str = ""
    seal: str = ""
    reference: str = ""
    """Of the paper record, where it may not be stored."""
    holder: str = ""
    recorded_at: str = ""
    recorded_by: str = ""
    events: int = 0
    """How many events of the store it holds a copy of."""
    custody: list[Custody] = []
    checks: list[Checked] = []
    scope: str = "real"
    version: int = 0


def fold(identity: str, facts: Iterable[Fact]) -> Evidence:
    """The evidence of these facts."""
    found = Evidence(identity)
    for fact in facts:
        found.version, found.scope = fact.sequence, fact.scope
        apply = _APPLY.get(fact.kind)
        if apply is not None:
            apply(found, fact)
    return found


_TEXTS = ("form", "incident", "name", "description", "sha256", "origin", "collected_by", "collected_at", "place", "seal", "reference")


def _recorded(found: Evidence, fact: Fact) -> None:
    for name in _TEXTS:
        if name in fact.data:
            setattr(found, name, str(fact.data[name]))
    found.size, found.events = int(fact.data.get("size", 0)), int(fact.data.get("events", 0))
    found.recorded_at, found.recorded_by = fact.at, fact.actor
    found.holder = str(fact.data.get("holder", "")) or fact.actor
    found.custody.append(
        Custody(found.collected_at or fact.at, found.origin, found.holder, fact.reason, fact.actor, found.place, found.seal, _behalf(fact)),
    )


def _handed_over(found: Evidence, fact: Fact) -> None:
    data = fact.data
    found.holder = str(data.get("to", ""))
    found.place, found.seal = str(data.get("place", "") or found.place), str(data.get("seal", "") or found.seal)
    found.custody.append(
        Custody(str(data.get("at") or fact.at), str(data.get("from", "")), found.holder, fact.reason, fact.actor, found.place, found.seal, _behalf(fact))
    )


def _checked(found: Evidence, fact: Fact) -> None:
    found.checks.append(Checked(fact.at, str(fact.data.get("result", "")), fact.actor))


def _behalf(fact: Fact) -> str:
    return fact.behalf.person if fact.behalf else ""


_APPLY = {"EvidenceAdded": _recorded, "EvidenceRegistered": _recorded, "EvidenceHandedOver": _handed_over, "EvidenceChecked": _checked}
