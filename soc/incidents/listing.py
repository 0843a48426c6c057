"""What lists keep of each incident: its fold, when the next thing is due, and from when on something is overdue."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from soc.clock import from_iso
from soc.incidents.clocks import obligations
from soc.incidents.model import PREFIX, Incident, fold
from soc.model.fact import Fact
from soc.model.projection import Document, Projection, version_of

_DECODE = msgspec.msgpack.Decoder(Incident).decode


def document(stream: str, facts: Sequence[Fact]) -> Document:
    """An incident as lists keep it. Nothing in it depends on the present time."""
    incident = fold(stream.removeprefix(PREFIX), facts)
    duties = obligations(incident, 0)
    waiting = [from_iso(one.due_at) for one in duties if one.due_at and one.state in ("tentative", "due", "overdue")]
    firm = [from_iso(one.due_at) for one in duties if one.due_at and one.state in ("due", "overdue")]
    return Document(
        stream,
        incident.version,
        incident.scope,
        incident.state,
        min(waiting, default=0),
        min(firm, default=0),
        from_iso(incident.detected_at) if incident.detected_at else 0,
        tuple(dict.fromkeys(incident.agencies)),
        msgspec.msgpack.encode(incident),
    )


def incident_of(one: Document) -> Incident:
    """The incident of a document."""
    return _DECODE(one.body)


@lru_cache(maxsize=1)
def incidents() -> Projection:
    """The projection of incidents; made anew when the fold, a clock or a regime changes."""
    folder = Path(__file__).parent
    return Projection(
        "incidents",
        PREFIX,
        version_of(*folder.glob("*.py"), *(folder / "regimes").glob("*.yml"), *(folder.parent / "organization" / "calendars").glob("*.yml")),
        document,
    )
