"""Where the bytes of evidence are kept, as the inside sees it: by their SHA-256, never changed, never removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

State = Literal["ok", "missing", "changed"]


class Kept(NamedTuple):
    """What was kept or measured. `sha256`: hex; `size`: bytes."""

    sha256: str
    size: int


class EvidenceFiles(Protocol):
    """A content-addressed folder."""

    def add(self, source: Path) -> Kept:
        """Copy a file; durable on return. A file that is there already is not written again.

        Raises: UsageError (no plain file, a link, or it changes while it is read), NotAllowed, StoreFull, StoreCorrupt.
        """

    def put(self, data: bytes) -> Kept:
        """Keep bytes; durable on return."""

    def measure(self, source: Path) -> Kept:
        """Hash and size of a file that stays where it is.

        Raises: as `add`.
        """

    def read(self, sha256: str) -> Iterator[bytes]:
        """The bytes of this hash, in pieces.

        Raises: StoreCorrupt (they are gone, or are no longer those), when that is known.
        """

    def each(self) -> Iterator[Path]:
        """All files, in order of their hashes, by which they are named."""

    def check(self, sha256: str) -> State:
        """Whether the bytes of this hash are there and are still those."""
