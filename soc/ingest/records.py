"""The raw record of a stored event: what replays, migrations and redrives start from."""

from __future__ import annotations

from base64 import b64decode

from soc.clock import from_iso
from soc.model.deadletter import DeadLetter
from soc.model.event import Doc
from soc.model.record import RawRecord


def record_of(doc: Doc) -> RawRecord:
    """The record that an event was made of: the same bytes, position and received time, so the same event again."""
    raw = b64decode(doc["soc.raw"]) if "soc.raw" in doc else str(doc.get("event.original", "")).encode("utf-8", "surrogateescape")
    partition, seq = str(doc["soc.partition"]), int(doc["soc.seq"])
    return RawRecord(
        source=str(doc["soc.source"]),
        partition=partition,
        seq=seq,
        next=seq + 1,
        raw=raw,
        received_us=from_iso(str(doc["soc.received_at"])),
        origin=str(doc.get("soc.origin", partition)),
        origin_seq=int(doc.get("soc.origin_seq", seq)),
        sub=int(doc.get("soc.sub", 0)),
        host=str(doc.get("log.source.address", "")),
        truncated_bytes=int(doc.get("soc.truncated_bytes", 0)),
    )


def record_of_dead_letter(letter: DeadLetter, raw: bytes | None = None) -> RawRecord:
    """The record of a dead letter, with other bytes where a person has mended them."""
    return RawRecord(
        source=letter.source,
        partition=letter.partition,
        seq=letter.seq,
        next=letter.seq + 1,
        raw=letter.raw if raw is None else raw,
        received_us=letter.received_us,
        origin=letter.origin,
        origin_seq=letter.origin_seq,
        sub=letter.sub,
        host=letter.host,
        truncated_bytes=letter.truncated_bytes if raw is None else 0,
    )
