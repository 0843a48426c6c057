"""What lists keep of each notice: its fold, until when somebody should act, and from when on somebody is overdue."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from soc.clock import from_iso
from soc.incidents import classes, notices
from soc.incidents.notices import ACTED, OUT, PREFIX, RECEIVED, SENT, VERIFIED, WITHDRAWN, Notice, fold
from soc.model import ids
from soc.model.fact import Fact
from soc.model.projection import Document, Projection, version_of

OPEN, SILENT = "open", "silent"
"""Words: somebody still has to act; somebody was sent it and never said a word."""
_DECODE = msgspec.msgpack.Decoder(Notice).decode


def document(stream: str, facts: Sequence[Fact]) -> Document:
    """A notice as lists keep it. Nothing in it depends on the present time."""
    notice = fold(stream.removeprefix(PREFIX), facts)
    states = {one.state for one in notice.recipients}
    waited_for = notice.state != WITHDRAWN and not states <= {ACTED, VERIFIED}
    late = notice.state == OUT and not states.isdisjoint({SENT, RECEIVED})
    due_us = from_iso(notice.due_at) if notice.due_at else 0
    words = (*((OPEN,) if waited_for else ()), *((SILENT,) if notice.unanswered() else ()))
    return Document(
        stream,
        notice.version,
        notice.scope,
        notice.state,
        due_us if waited_for else 0,
        due_us if late else 0,
        from_iso(notice.drafted_at) if notice.drafted_at else 0,
        words,
        msgspec.msgpack.encode(notice),
    )


def notice_of(one: Document) -> Notice:
    """The notice of a document."""
    return _DECODE(one.body)


@lru_cache(maxsize=1)
def projection() -> Projection:
    """The projection of notices; made anew when the fold changes."""
    files = (__file__, classes.__file__, notices.__file__, ids.__file__)
    return Projection("notices", PREFIX, version_of(*map(Path, files)), document)
