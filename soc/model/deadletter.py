"""Dead letters: records that could not become events, kept whole until a person has dealt with them."""

from __future__ import annotations

import msgspec

from soc.errors import Phrase

SAID = {"open": Phrase("open"), "redriven": Phrase("redriven"), "discarded": Phrase("discarded")}
"""States as errors say them."""


class DeadLetter(msgspec.Struct):
    """One record that could not become an event.

    `id` is the event id that it would have had. `reason` is a short stable word (`oversized`, `rejected`,
    `parser-fault`, `unreadable`), `error` the whole message. Time: RFC 3339 UTC.
    """

    id: str
    source: str
    partition: str
    seq: int
    origin: str
    origin_seq: int
    sub: int
    reason: str
    error: str
    raw: bytes
    received_us: int
    parser: str = ""
    scope: str = "real"
    state: str = "open"
    """`open`, `redriven` or `discarded`."""
    note: str = ""
    host: str = ""
    """Address of the sender as the collector saw it."""
    truncated_bytes: int = 0
    """How many bytes of the record the collector had to cut off (0 = `raw` is whole)."""
