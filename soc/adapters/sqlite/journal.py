"""`journal.db`: the journal of the embedded store. Many processes may write; each append is one synced transaction.

Kept apart from `control.db`, so that people never wait for a batch, and the pipeline never for people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from soc.adapters.sqlite.database import JOURNAL, Looking, Sort, connect, guarded, transaction
from soc.clock import Clock, iso
from soc.errors import NotAllowed, Phrase
from soc.model.fact import ANY_VERSION, Fact, NewFact, Stored, chained, digest
from soc.model.journal import Append, FactConflict, Head, readable, sole

FILE = JOURNAL
SORT = Sort(
    "journal",
    0x736F636A,
    1,
    """
    CREATE TABLE fact (
        position INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        body BLOB NOT NULL,
        hash BLOB NOT NULL,
        UNIQUE (stream, sequence)
    ) STRICT;
    CREATE TABLE head (
        stream TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL,
        hash BLOB NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    4096,
)
_AT_ONCE = 2_000
_AFTER = "\U0010ffff"
"""Beyond every character that continues a prefix."""


class SqliteJournal:
    """See `soc.model.journal.Journal`."""

    def __init__(self, folder: Path, *, clock: Clock, read_only: bool = False) -> None:
        self.path = folder / FILE
        self._clock = clock
        self._read_only = read_only
        self._looking: Looking | None = None
        self._there = False
        self._look()

    def _make(self) -> None:
        """Make the file when the first fact comes: who only looks leaves nothing behind."""
        if not self._there:
            with guarded(self.path.parent, "making the folder"):
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = connect(self.path, SORT, read_only=False)
            self._there = True

    def _look(self) -> bool:
        """Whether there is a journal, also when another process made it meanwhile."""
        if not self._there and self.path.exists():
            if self._read_only:
                self._looking = Looking(self.path, SORT)
            else:
                self._db = connect(self.path, SORT, read_only=False)
            self._there = True
        if self._looking is not None:
            self._db = self._looking.connection()
        return self._there

    def append(self, stream: str, expected: int, facts: Sequence[NewFact], *, actor: str, scope: str = "real") -> list[Stored]:
        return sole(self.append_each([Append(stream, expected, tuple(facts))], actor=actor, scope=scope))

    def append_each(self, appends: Sequence[Append], *, actor: str, scope: str = "real") -> list[list[Stored] | FactConflict]:
        if self._read_only:
            raise NotAllowed(Phrase("{path}: the journal is open for reading only", path=self.path), hint="leave out read_only to record something")
        self._make()
        at = iso(self._clock.now_us())
        outcomes: list[list[Stored] | FactConflict] = []
        with guarded(self.path, "appending"), transaction(self._db):
            for append in appends:
                sequence, previous = self._head(append.stream)
                if append.expected not in (ANY_VERSION, sequence):
                    outcomes.append(FactConflict(append.stream, append.expected, [one.fact for one in self.read(append.stream, append.expected)]))
                    continue
                new = chained(append.stream, sequence, previous, append.facts, actor=actor, at=at, scope=scope)
                self._db.executemany(
                    "INSERT INTO fact (stream, sequence, body, hash) VALUES (?, ?, ?, ?)",
                    [(one.fact.stream, one.fact.sequence, one.body, bytes.fromhex(one.hash)) for one in new],
                )
                if new:
                    last = new[-1]
                    self._db.execute("INSERT OR REPLACE INTO head VALUES (?, ?, ?)", (append.stream, last.fact.sequence, bytes.fromhex(last.hash)))
                outcomes.append(new)
        return outcomes

    def _head(self, stream: str) -> tuple[int, str]:
        found = self._db.execute("SELECT sequence, hash FROM head WHERE stream = ?", (stream,)).fetchone()
        return (found[0], found[1].hex()) if found else (0, "")

    def read(self, stream: str, after: int = 0) -> list[Stored]:
        if not self._look():
            return []
        with guarded(self.path, "reading"):
            rows = self._db.execute("SELECT body, hash FROM fact WHERE stream = ? AND sequence > ? ORDER BY sequence", (stream, max(after, 0))).fetchall()
        return [self._decoded(stream, body, found) for body, found in rows]

    def read_each(self, streams: Sequence[str]) -> dict[str, list[Stored]]:
        found = {stream: self.read(stream) for stream in dict.fromkeys(streams)} if self._look() else {}
        return {stream: facts for stream, facts in found.items() if facts}

    def under(self, prefix: str) -> Iterator[tuple[str, list[Stored]]]:
        name, sequence = prefix, 0
        held: list[Stored] = []
        while self._look():
            with guarded(self.path, "reading"):
                rows = self._db.execute(
                    f"SELECT stream, sequence, body, hash FROM fact WHERE (stream, sequence) > (?, ?) ORDER BY stream, sequence LIMIT {_AT_ONCE}",
                    (name, sequence),
                ).fetchall()
            for stream, sequence, body, found in rows:  # noqa: B007 - the last one is where to go on
                if held and stream != name:
                    yield name, held
                    held = []
                if not stream.startswith(prefix):
                    return
                name = stream
                held.append(self._decoded(stream, body, found))
            if len(rows) < _AT_ONCE:
                break
        if held:
            yield name, held

    def heads(self, prefix: str = "") -> Iterator[Head]:
        stream = prefix
        first = True
        while self._look():
            with guarded(self.path, "reading"):
                rows = self._db.execute(
                    f"SELECT stream, sequence, hash FROM head WHERE stream {'>=' if first else '>'} ? ORDER BY stream LIMIT {_AT_ONCE}", (stream,)
                ).fetchall()
            for name, sequence, found in rows:
                if not name.startswith(prefix):
                    return
                yield Head(name, sequence, found.hex())
            if len(rows) < _AT_ONCE:
                return
            stream, first = rows[-1][0], False

    def scan(self) -> Iterator[tuple[str, int, bytes, str]]:
        position = 0
        while self._look():
            with guarded(self.path, "reading"):
                rows = self._db.execute(
                    f"SELECT position, stream, sequence, body, hash FROM fact WHERE position > ? ORDER BY position LIMIT {_AT_ONCE}", (position,)
                ).fetchall()
            for position, stream, sequence, body, found in rows:  # noqa: B007 - the last one is where to go on
                yield stream, sequence, body, found.hex()
            if len(rows) < _AT_ONCE:
                return

    def mend_ends(self) -> list[str]:
        if self._read_only:
            raise NotAllowed(Phrase("{path}: the journal is open for reading only", path=self.path), hint="leave out read_only to record something")
        if not self._look():
            return []
        mended: list[str] = []
        with guarded(self.path, "mending ends"), transaction(self._db):
            ends = self._db.execute(
                "SELECT fact.stream, fact.sequence, fact.body, fact.hash, head.sequence, head.hash FROM fact"
                " JOIN (SELECT stream, max(sequence) AS last FROM fact GROUP BY stream) AS end ON end.stream = fact.stream AND end.last = fact.sequence"
                " LEFT JOIN head ON head.stream = fact.stream"
                " WHERE head.stream IS NULL OR head.sequence < fact.sequence OR (head.sequence = fact.sequence AND head.hash <> fact.hash)"
            ).fetchall()
            for stream, sequence, body, found, _, _ in ends:
                if digest(body) == found.hex():  # a fact that was changed itself is nothing to go by
                    self._db.execute("INSERT OR REPLACE INTO head VALUES (?, ?, ?)", (stream, sequence, found))
                    mended.append(stream)
        return mended

    def latest(self, most: int, prefix: str = "") -> list[Fact]:
        if not self._look():
            return []
        with guarded(self.path, "reading"):
            named = self._db.execute("SELECT stream FROM head WHERE stream >= ? AND stream < ? LIMIT 2", (prefix, prefix + _AFTER)).fetchall() if prefix else []
            if len(named) == 1:  # the facts of one stream stand together, wherever they are among all others
                rows = self._db.execute("SELECT stream, body, hash FROM fact WHERE stream = ? ORDER BY sequence DESC LIMIT ?", (*named[0], most)).fetchall()
                return [self._decoded(stream, body, found).fact for stream, body, found in rows]
            rows = self._db.execute(
                "SELECT stream, body, hash FROM fact WHERE substr(stream, 1, ?) = ? ORDER BY position DESC LIMIT ?", (len(prefix), prefix, most)
            ).fetchall()
        return [self._decoded(stream, body, found).fact for stream, body, found in rows]

    # what lists beside it are told ---------------------------------------------------------------------------------------

    def end(self) -> tuple[int, bytes]:
        """Position and hash of the fact appended last (0, b"" for none)."""
        if not self._look():
            return 0, b""
        with guarded(self.path, "reading"):
            found = self._db.execute("SELECT position, hash FROM fact ORDER BY position DESC LIMIT 1").fetchone()
        return (found[0], found[1]) if found else (0, b"")

    def hash_at(self, position: int) -> bytes:
        """The hash of the fact at a position (b"" = there is none)."""
        if not self._look():
            return b""
        with guarded(self.path, "reading"):
            found = self._db.execute("SELECT hash FROM fact WHERE position = ?", (position,)).fetchone()
        return found[0] if found else b""

    def grown(self, prefix: str, after: int) -> list[str]:
        """The streams with this beginning that have facts beyond a position."""
        if not self._look():
            return []
        with guarded(self.path, "reading"):
            rows = self._db.execute("SELECT DISTINCT stream FROM fact WHERE position > ? AND substr(stream, 1, ?) = ?", (after, len(prefix), prefix)).fetchall()
        return [stream for (stream,) in rows]

    def _decoded(self, stream: str, body: bytes, found: bytes) -> Stored:
        return readable(body, found.hex(), place=self.path, stream=stream)

    def close(self) -> None:
        if self._there:
            self._db.close()
        if self._looking is not None:
            self._looking.close()
