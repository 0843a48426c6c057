"""A raw record: bytes as they were collected, with the position that identifies them."""

from __future__ import annotations

import re

import msgspec


class RawRecord(msgspec.Struct, gc=False, frozen=True):
    """One record of an ordered log.

    `partition` names the log it was read from (unique and stable: it never names another log), `seq` its position
    there, `next` the position after it; positions only grow. `origin`/`origin_seq`/`sub` is where it was first
    collected (the same as partition/seq unless a trusted `soc-pos` header says otherwise) and makes the event's id.
    Units: `received_us` microseconds since 1970, the collector's clock; the only clock that parsers and rules see.
    """

    source: str
    partition: str
    seq: int
    next: int
    raw: bytes
    received_us: int
    origin: str
    origin_seq: int
    sub: int = 0
    host: str = ""
    """Address of the sender as the collector saw it ("" = none)."""
    heartbeat: bool = False
    """A record that a collector writes to say that time goes on; it carries no event."""
    truncated_bytes: int = 0
    """How many bytes the collector had to cut off (0 = whole)."""
    fault: str = ""
    """Why the collector could not hand the record over as it should ("" = fine); it ends as a dead letter."""
    records: int = 1
    """How many records of the log this one stands for: several where one `fault` spoils a whole batch, of which `raw` is then the bytes."""


SCOPE_REAL = "real"
"""The scope of everything that is no exercise (`exercise:<id>` otherwise)."""
SCOPE = r"^(real|exercise:[A-Za-z0-9_.-]{1,100})$"
"""Every scope there is."""
# Reference: real, exercise:dt-2026
_SCOPE = re.compile(SCOPE)


def is_scope(text: str) -> bool:
    """Whether a text is a scope."""
    return text == SCOPE_REAL or (_SCOPE.match(text) is not None and text.isprintable())
