"""Projections: what lists show of each object, folded from its stream once and kept until the stream grows.

A kept document carries `through`, the number of the last fact that it was folded from. Facts are the truth: documents are made anew
whenever they are older than the journal, were made by another program, or are gone; losing them costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec

from soc.model.fact import Fact


class Document(msgspec.Struct, frozen=True, gc=False):
    """One object as lists keep it. Units: microseconds since 1970, 0 = never."""

    stream: str
    through: int
    scope: str
    state: str
    due_us: int = 0
    """When the next thing is due."""
    late_us: int = 0
    """From when on something is overdue."""
    order_us: int = 0
    """Its place among those that are due at the same time: the newest first."""
    words: tuple[str, ...] = ()
    """What lists may ask for beside state and scope: agencies."""
    body: bytes = b""
    """The whole fold, for who decodes it."""

    def digest(self) -> bytes:
        """Eight bytes over all of it: a kept document that was changed is seen when it is read."""
        return blake2b(msgspec.msgpack.encode(self), digest_size=8).digest()


class Projection(msgspec.Struct, frozen=True):
    """A sort of list: the streams beginning with `prefix`, and what makes a document of each.

    `version` changes with the program and the data that documents depend on, so that those of another one are made anew.
    """

    name: str
    prefix: str
    version: str
    document: Callable[[str, Sequence[Fact]], Document]


class ListQuery(msgspec.Struct, frozen=True):
    """Which documents: what is due first comes first, then the newest, then by name. `limit` 0 = all."""

    states: tuple[str, ...] | None = None
    scope: str | None = "real"
    late_at_us: int = 0
    """Only those of which something is overdue at this time."""
    word: str = ""
    limit: int = 0
    offset: int = 0
    waiting: bool = False
    """Only those of which something is due."""

    def fits(self, one: Document) -> bool:
        """Whether a document belongs to the list."""
        return (
            (self.states is None or one.state in self.states)
            and (self.scope is None or one.scope == self.scope)
            and (not self.late_at_us or 0 < one.late_us < self.late_at_us)
            and (not self.waiting or one.due_us > 0)
            and (not self.word or self.word in one.words)
        )


def version_of(*files: Path) -> str:
    """The version of a projection that these files make: their bytes' hash."""
    whole = blake2b(digest_size=12)
    for file in sorted(files):
        content = file.read_bytes()
        whole.update(f"{file.name}\x1f{len(content)}\x1f".encode() + content)
    return whole.hexdigest()


def place(one: Document) -> tuple[bool, int, int, str]:
    """The place of a document in a list."""
    return (not one.due_us, one.due_us, -one.order_us, one.stream)


class Difference(msgspec.Struct):
    """What making a list anew came to: how many documents there are, and how many of those kept were wrong."""

    name: str
    documents: int
    missing: int = 0
    changed: int = 0
    surplus: int = 0

    @property
    def ok(self) -> bool:
        """Whether the kept list said what the journal says."""
        return not (self.missing or self.changed or self.surplus)
