"""Facts of the journal: what people did, when, why and on whose behalf, chained so that a change shows.

A stream is the history of one object (`group/g-…`, `incident/INC-2026-0007`). Its facts are numbered from 1; each holds the
hash of the one before, and its own hash is SHA-256 over the very bytes that are stored. Facts are never rewritten: what was
wrong is put right by a further fact; readers understand older schemas.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec

from soc.errors import Phrase, UsageError
from soc.model.record import is_scope

FACT_SCHEMA = 1
MOST_BYTES = 262_144
"""Of one fact; longer texts belong into the evidence store."""
LONGEST_STREAM = 200
ANY_VERSION = -1
"""As expected version: append whatever was appended before (a log, not an object that two people may change)."""

_ENCODER = msgspec.json.Encoder(order="deterministic")
_CONTROLS = frozenset("\x00\x0b\x0c")


class Behalf(msgspec.Struct, frozen=True, omit_defaults=True):
    """On whose behalf somebody records a fact (ghi thay): officers telephone, leads sign elsewhere.

    `channel`: telephone, paper, mail, document, in-person, … `at`: when it was said (RFC 3339 UTC); `reference`: a number of a
    letter or call.
    """

    person: str
    channel: str = ""
    at: str = ""
    reference: str = ""


class NewFact(msgspec.Struct, frozen=True):
    """What is to be recorded: `kind` in the past tense (`GroupClosed`), `data` as JSON."""

    kind: str
    data: dict[str, Any] = {}
    reason: str = ""
    behalf: Behalf | None = None


class Fact(msgspec.Struct, frozen=True, gc=False):
    """A recorded fact. `at`: when it was recorded (RFC 3339 UTC); `previous`: hash of the fact before ("" = the first)."""

    schema: int
    stream: str
    sequence: int
    kind: str
    at: str
    actor: str
    scope: str
    data: dict[str, Any]
    reason: str
    behalf: Behalf | None
    previous: str


class Stored(msgspec.Struct, frozen=True, gc=False):
    """A fact as it stands in the journal: the bytes and their hash (hex)."""

    fact: Fact
    body: bytes
    hash: str


_DECODER = msgspec.json.Decoder(Fact)


def chained(stream: str, sequence: int, previous: str, facts: Sequence[NewFact], *, actor: str, at: str, scope: str) -> list[Stored]:
    """The next facts of a stream whose last one has this number and hash (0 and "" for none).

    Texts are brought into NFC. Raises: UsageError for what cannot be stored, naming the field.
    """
    if not stream or len(stream) > LONGEST_STREAM or not stream.isprintable():
        raise UsageError(Phrase("{stream} is no name of a stream", stream=repr(stream[:80])), hint="up to 200 printable characters")
    if not is_scope(scope):
        raise UsageError(Phrase("{scope} is no scope", scope=repr(scope[:80])), hint="real, or exercise:<id>")
    out: list[Stored] = []
    for new in facts:
        sequence += 1
        fact = Fact(
            FACT_SCHEMA,
            stream,
            sequence,
            new.kind,
            at,
            _clean(actor, "actor"),
            scope,
            _clean(new.data, "data"),
            _clean(new.reason, "reason"),
            None if new.behalf is None else Behalf(*(_clean(text, "behalf") for text in msgspec.structs.astuple(new.behalf))),
            previous,
        )
        body = encoded(fact)
        previous = digest(body)
        out.append(Stored(fact, body, previous))
    return out


def encoded(fact: Fact) -> bytes:
    """The bytes of a fact: JSON with sorted keys.

    Raises: UsageError when they are too many, or hold what JSON cannot.
    """
    try:
        body = _ENCODER.encode(fact)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            Phrase("{kind}: this cannot be recorded: {error}", kind=fact.kind, error=error), hint="texts, numbers, lists and mappings of them only"
        ) from error
    if len(body) > MOST_BYTES:
        raise UsageError(
            Phrase("{kind}: {size} bytes are too many for one fact (most: {most})", kind=fact.kind, size=len(body), most=MOST_BYTES),
            hint="keep long texts and files as evidence and record their hash",
        )
    return body


def decoded(body: bytes, stored_hash: str) -> Stored:
    """The stored fact of these bytes; the hash is taken as it stands, `soc audit verify` compares it.

    Raises: ValueError when the bytes are no fact.
    """
    return Stored(_DECODER.decode(body), body, stored_hash)


def digest(body: bytes) -> str:
    """The hash of a fact."""
    return sha256(body).hexdigest()


def _clean(value: Any, where: str) -> Any:
    """The value with its texts in NFC; what no text file can hold is refused by name."""
    if isinstance(value, str):
        if not value.isascii() or not _CONTROLS.isdisjoint(value):
            text = unicodedata.normalize("NFC", value)
            if not _CONTROLS.isdisjoint(text) or any("\ud800" <= character <= "\udfff" for character in text):
                raise UsageError(
                    Phrase("{where}: the text holds characters that cannot be recorded", where=where), hint="remove control characters and broken encodings"
                )
            return text
        return value
    if isinstance(value, dict):
        return {_clean(str(key), where): _clean(part, f"{where}.{key}"[:200]) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(part, where) for part in value]
    return value
