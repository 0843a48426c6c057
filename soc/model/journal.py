"""The journal as the inside sees it: streams of facts that only grow, and what two people on one object get to see.

The port has one contract suite (`tests/contracts/test_journal.py`) on memory, the embedded store and Elasticsearch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from soc.errors import Conflict, Phrase, StoreCorrupt
from soc.model.fact import Fact, NewFact, Stored, decoded


class Append(msgspec.Struct, frozen=True):
    """Facts for one stream whose last number is `expected` (0 = a new stream, `ANY_VERSION` = whatever there is)."""

    stream: str
    expected: int
    facts: tuple[NewFact, ...]


class Head(NamedTuple):
    """The end of a stream."""

    stream: str
    sequence: int
    hash: str


class FactConflict(Conflict):
    """Somebody recorded something on the same object meanwhile: `since` holds it."""

    def __init__(self, stream: str, expected: int, since: Sequence[Fact]) -> None:
        said = Phrase("; ").join(f"{fact.kind} ({fact.actor}, {fact.at})" for fact in since[-5:]) or "?"
        super().__init__(
            Phrase("{stream} was changed meanwhile: {said}", stream=stream, said=said),
            hint="look at it again, then decide again",
        )
        self.stream = stream
        self.expected = expected
        self.since = list(since)


def sole(outcomes: Sequence[list[Stored] | FactConflict]) -> list[Stored]:
    """The facts of the only append of `Journal.append_each`.

    Raises: FactConflict when that is what became of it.
    """
    [outcome] = outcomes
    if isinstance(outcome, FactConflict):
        raise outcome
    return outcome


def readable(body: bytes, found: str, *, place: object, stream: str) -> Stored:
    """The stored fact of these bytes, as journals hand it out; `place` is where they lie.

    Raises: StoreCorrupt when the bytes are no fact.
    """
    try:
        return decoded(body, found)
    except ValueError as error:
        raise StoreCorrupt(
            Phrase("{path}: a fact of {stream} cannot be read: {error}", path=place, stream=stream, error=error),
            hint="soc audit verify names it; restore the last backup",
        ) from error


class Journal(Protocol):
    """Streams of facts. What `append` returned is durable and is never changed."""

    def append(self, stream: str, expected: int, facts: Sequence[NewFact], *, actor: str, scope: str = "real") -> list[Stored]:
        """Append to one stream: all of the facts or none.

        Raises: FactConflict when the stream is not at `expected`, UsageError (a fact that cannot be stored), NotAllowed,
        StoreUnavailable, StoreFull, StoreRefused.
        """

    def append_each(self, appends: Sequence[Append], *, actor: str, scope: str = "real") -> list[list[Stored] | FactConflict]:
        """Append to many streams; each one whole or not at all, conflicts are told one by one. At most one entry per stream."""

    def read(self, stream: str, after: int = 0) -> list[Stored]:
        """The facts of a stream with numbers above `after`, in order; what was appended is there at once."""

    def read_each(self, streams: Sequence[str]) -> dict[str, list[Stored]]:
        """The facts of many streams, each in order; streams without facts are left out."""

    def under(self, prefix: str) -> Iterator[tuple[str, list[Stored]]]:
        """All streams with this beginning and their facts, by name."""

    def heads(self, prefix: str = "") -> Iterator[Head]:
        """The ends of all streams with this beginning, by name."""

    def scan(self) -> Iterator[tuple[str, int, bytes, str]]:
        """Everything that is stored: stream, number, bytes, hash; the facts of a stream in order. Nothing is checked."""

    def mend_ends(self) -> list[str]:
        """The streams whose kept end was not that of their facts, and is again; a journal that keeps none has nothing to mend.

        An end beyond the facts stays: it is the trace of facts that were cut off.
        """

    def latest(self, most: int, prefix: str = "") -> list[Fact]:
        """The facts recorded last, the newest first."""

    def close(self) -> None:
        """Give everything back; idempotent."""
