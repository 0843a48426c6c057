"""What the queue keeps of each group: the fold of what people said of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from soc.model.fact import Fact
from soc.model.projection import Document, Projection, version_of
from soc.triage.model import PREFIX, Triage, fold

_DECODE = msgspec.msgpack.Decoder(Triage).decode


def document(stream: str, facts: Sequence[Fact]) -> Document:
    """A group as the queue keeps it."""
    triage = fold(facts)
    return Document(stream, triage.version, facts[-1].scope, triage.state, body=msgspec.msgpack.encode(triage))


def triage_of(one: Document) -> Triage:
    """What people decided about the group of a document."""
    return _DECODE(one.body)


@lru_cache(maxsize=1)
def groups() -> Projection:
    """The projection of groups."""
    folder = Path(__file__).parent
    return Projection("groups", PREFIX, version_of(folder / "model.py", folder / "listing.py"), document)
