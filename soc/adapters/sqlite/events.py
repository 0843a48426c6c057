"""One event file: appending batches, taking back the last, and reading rows and documents."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from itertools import accumulate
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import orjson

from soc.adapters.sqlite import codec
from soc.adapters.sqlite.database import Looking, connect, guarded, transaction
from soc.adapters.sqlite.order import Month, month_named
from soc.adapters.sqlite.plan import ID_CHARS, id_token, marks_of, quoted
from soc.adapters.sqlite.schema import APPEND, EVENTS, HOUR_MS
from soc.errors import Phrase, StoreCorrupt
from soc.model.event import Doc, Event
from soc.model.level import THREAT_LEVELS

LEVEL_RANKS = {level: rank for rank, level in enumerate(THREAT_LEVELS)}
ID_LENGTH = 20
"""Ids of ours are that long (soc.model.ids): no other begins with one."""
_FILL_BELOW = 48
"""The last block is filled up by the next batch while it has fewer documents: sources that trickle compress as well."""
_MOST_PACKED = 64 * 1_048_576
"""Bytes of blocks that go in by one statement, 100 times what an ordinary batch has: SQLite takes values of a gigabyte."""
_REMEMBERED_BLOCKS = 16
_BESIDE_KIB = 512
"""Cached pages for what the pipeline reads: documents of alerts, a few of each file, of which it remembers blocks besides."""


_SORT = attrgetter("source", "partition", "scope", "level", "category", "counted", "derived")
_TIME = attrgetter("ts_us")
_ID = attrgetter("id")


class Name(NamedTuple):
    """What the name of an event file says: `events-<kind>-<month>-<number>.db`."""

    kind: str
    month: Month
    number: int

    @property
    def file(self) -> str:
        """The file's name."""
        return f"events-{self.kind}-{self.month.name}-{self.number}.db"

    @property
    def partition(self) -> str:
        """Kind and month: what retention drops."""
        return f"{self.kind}-{self.month.name}"


def parse_name(file: str) -> Name | None:
    """The name of an event file, None when it is none."""
    parts = file.removesuffix(".db").rsplit("-", 2)
    if len(parts) != 3 or not file.endswith(".db") or not parts[0].startswith("events-") or not parts[2].isdigit():  # noqa: PLR2004 - prefix-kind, month, number
        return None
    try:
        return Name(parts[0].removeprefix("events-"), month_named(parts[1]), int(parts[2]))
    except ValueError:
        return None


class Row(NamedTuple):
    """The class columns of one event."""

    part: int
    level: int
    category: int
    scope: int
    counted: int


class Appending(NamedTuple):
    """The events of a batch as they go into a file: documents, and as JSON keys with classes, the classes there are, and words (see `schema.APPEND`)."""

    batch: int
    first: int
    lines: Sequence[bytes]
    base: int
    keys: str
    sorts: str
    texts: bytes


class _Last(NamedTuple):
    """The last block, if it is to be filled up: its first seq, its lines, and what they are stored as."""

    first: int
    lines: Sequence[bytes]
    data: bytes


_FULL = _Last(0, (), b"")


class EventFile:
    """An open event file. One thread at a time writes; reading is safe from any thread (SQLite serialises calls)."""

    def __init__(self, folder: Path, name: Name, *, read_only: bool) -> None:
        self.name = name
        self.path = folder / name.file
        self._read_only = read_only
        self._looking = Looking(self.path, EVENTS) if read_only else None
        self._db: sqlite3.Connection | None = None if read_only else connect(self.path, EVENTS, read_only=False)
        self._reading: sqlite3.Connection | None = None
        self._rows: dict[tuple[str, str, str, str, str, bool, bool], Row] = {}
        self._last: _Last | None = None
        self._reload()
        if not read_only:  # most files are only read from now on
            self._let_writing_go()

    def _reload(self) -> None:
        self.batch, self.begun, self.next = self._written(self._db)
        self._rows.clear()
        self._last = None

    def _connected(self) -> sqlite3.Connection:
        connection = connect(self.path, EVENTS, read_only=False)
        with guarded(self.path, "opening"):
            connection.executescript(APPEND)
        return connection

    def close(self) -> None:
        """Give the file back."""
        if self._looking is not None:
            self._looking.close()
        if self._reading is not None:
            self._reading.close()
        if self._db is not None:
            self._db.close()

    def __del__(self) -> None:
        if hasattr(self, "_reading"):  # it was opened
            self.close()

    def rest(self) -> None:
        """Give cached pages, prepared statements and the log's space back; the file goes on to be usable."""
        if self._read_only:
            return
        with guarded(self.path, "checkpointing"):
            if self._db is not None:
                # Who looks through the file at the moment, perhaps for hours, is not waited for: the log then goes when it is opened to be written again.
                self._db.execute("PRAGMA busy_timeout = 0")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._let_writing_go()
            if self._reading is not None:
                self._reading.execute("PRAGMA shrink_memory")

    def _let_writing_go(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = self._last = None

    @property
    def db(self) -> sqlite3.Connection:
        """The connection that writes; of a file that may only be read the one there is."""
        if self._looking is not None:
            return self._looking.connection()
        if self._db is None:
            self._db = self._connected()
        return self._db

    @property
    def reading(self) -> sqlite3.Connection:
        """A connection for reading, which sees only what is committed."""
        if self._looking is not None:
            return self._looking.connection()
        if self._reading is None:
            self._reading = connect(self.path, EVENTS, read_only=True, cache_kib=_BESIDE_KIB)
        return self._reading

    # writing -----------------------------------------------------------------------------------------------------

    def append(self, batch: int, events: Sequence[Event]) -> None:
        """Add the events of batch number `batch`, durably.

        Raises: StoreFull, StoreUnavailable, StoreRefused; then nothing was added.
        Cost: about 20 µs an event of 90 tokens, half of it in FTS5.
        """
        self.write(self.prepare(batch, events))

    def prepare(self, batch: int, events: Sequence[Event]) -> Appending:
        """What `write` will add: all that needs the interpreter is done here, so that another thread can parse while that one writes.

        Raises: as `append`, for what a file must know before rows can name it.
        """
        lines = [event.body or codec.dump(event.doc) for event in events]
        sorts = list(map(_SORT, events))
        numbers = {sort: number for number, sort in enumerate(dict.fromkeys(sorts))}
        base = len(numbers)  # a key has 47 bits: there is room for 100,000 sorts
        places = self.name.month.keys(map(_TIME, events), map(_ID, events))
        keys = [key * base + number for key, number in zip(places, map(numbers.__getitem__, sorts), strict=True)]
        rows = orjson.dumps(list(map(list, self._rows_of(numbers)))).decode()
        return Appending(batch, self.next, lines, base, orjson.dumps(keys).decode(), rows, orjson.dumps(list(map(text_of, events))))

    def write(self, new: Appending) -> None:
        """Add what was prepared, durably, by one statement, which leaves the interpreter to others.

        Raises: as `append`.
        """
        try:
            with guarded(self.path, "writing events"):
                while not self._put(new):
                    self._last = None
        except BaseException:
            self._rows.clear()
            self._last = None
            raise
        self.batch, self.begun, self.next = new.batch, new.first, new.first + len(new.lines)

    def _put(self, new: Appending) -> bool:
        """Whether the events were added; nothing was where the last block, which they fill up, was changed by another process meanwhile."""
        last = self._last or self._read_last()
        first, lines, filled = (last.first, [*last.lines, *new.lines], last.data) if last.lines else (new.first, new.lines, None)
        runs = codec.cut(lines)
        packed, sizes = codec.pack_all(runs)
        firsts = list(accumulate(map(len, runs), initial=first))
        begins = list(accumulate(sizes, initial=0))
        together = len(runs) if len(packed) <= _MOST_PACKED else 1
        blocks = orjson.dumps([(firsts[n], len(runs[n]), begins[n] + 1, sizes[n]) for n in range(together)]).decode()
        after = new.first + len(new.lines)
        try:
            with transaction(self.db) if together < len(runs) else nullcontext():
                self.db.execute(
                    "INSERT INTO appending VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (new.batch, new.first, after, new.base, new.keys, new.sorts, new.texts, blocks, packed[: begins[together]], filled),
                )
                for n in range(together, len(runs)):
                    self.db.execute("INSERT INTO block VALUES (?, ?, ?)", (firsts[n], len(runs[n]), packed[begins[n] : begins[n + 1]]))
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_TRIGGER:
                raise
            return False
        self._last = _to_fill(firsts[-2], runs[-1], packed[-sizes[-1] :])
        return True

    def _read_last(self) -> _Last:
        found = self.db.execute("SELECT first, docs, data FROM block ORDER BY first DESC LIMIT 1").fetchone()
        if found is None or found[0] + found[1] != self.next or found[1] >= _FILL_BELOW:
            return _FULL
        return _to_fill(found[0], codec.unpack(found[2]), found[2])

    def _rows_of(self, sorts: Collection[tuple[str, str, str, str, str, bool, bool]]) -> list[Row]:
        """The class columns of sorts of events; what they name gets its numbers now, in a transaction of its own: unused ones do no harm."""
        known = self._rows
        new = set(sorts) - known.keys()
        if new:
            try:
                with guarded(self.path, "writing events"), transaction(self.db):
                    for sort in sorted(new):
                        self._row(*sort)
            except BaseException:
                known.clear()
                raise
        return [known[sort] for sort in sorts]

    def _row(self, source: str, partition: str, scope: str, level: str, category: str, counted: bool, derived: bool) -> Row:
        row = Row(self._part(source, partition, derived), LEVEL_RANKS.get(level, 0), self.name_id(category), self.name_id(scope), int(counted))
        self._rows[source, partition, scope, level, category, counted, derived] = row
        return row

    def _part(self, source: str, partition: str, derived: bool) -> int:
        self.db.execute("INSERT OR IGNORE INTO part (source, partition, derived) VALUES (?, ?, ?)", (source, partition, int(derived)))
        number: int = self.db.execute("SELECT id FROM part WHERE source = ? AND partition = ? AND derived = ?", (source, partition, int(derived))).fetchone()[0]
        return number

    def name_id(self, value: str) -> int:
        """The number of a scope or category, given now if it has none yet (inside a transaction)."""
        self.db.execute("INSERT OR IGNORE INTO name (value) VALUES (?)", (value,))
        number: int = self.db.execute("SELECT id FROM name WHERE value = ?", (value,)).fetchone()[0]
        return number

    def take_back(self, committed: int) -> int:
        """Remove the last batch if its number is beyond `committed`; returns how many events went.

        Their postings stay in the full text, which cannot delete; their seqs are not used again, so they find nothing.
        """
        self._reload()
        if self.batch <= committed:
            return 0
        with guarded(self.path, "taking back a batch"), transaction(self.db):
            gone: int = self.db.execute("SELECT count(*) FROM ev WHERE seq >= ?", (self.begun,)).fetchone()[0]
            self.db.execute(
                "INSERT INTO rollup SELECT (key >> 15) / ?, scope, level, category, part, -count(*), -sum(counted) FROM ev WHERE seq >= ? GROUP BY 1, 2, 3, 4, 5"
                " ON CONFLICT DO UPDATE SET events = events + excluded.events, counted = counted + excluded.counted",
                (HOUR_MS, self.begun),
            )
            self.db.execute("DELETE FROM rollup WHERE events = 0")
            self.db.execute("DELETE FROM ev WHERE seq >= ?", (self.begun,))
            self._cut_blocks(self.begun)
            self.db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", (("batch", committed), ("from", self.next)))
        self._reload()
        return gone

    def _cut_blocks(self, begun: int) -> None:
        for first, data in self.db.execute("SELECT first, data FROM block WHERE first + docs > ? AND first < ?", (begun, begun)).fetchall():
            lines = codec.unpack(data)[: begun - first]
            self.db.execute("UPDATE block SET docs = ?, data = ? WHERE first = ?", (len(lines), codec.pack(lines), first))
        self.db.execute("DELETE FROM block WHERE first >= ?", (begun,))

    # reading -----------------------------------------------------------------------------------------------------

    def names(self) -> dict[int, str]:
        """Scopes and categories by number."""
        with guarded(self.path, "reading"):
            return dict(self.reading.execute("SELECT id, value FROM name"))

    def parts(self) -> dict[int, tuple[str, str, bool]]:
        """Source, partition and whether derived, by number."""
        with guarded(self.path, "reading"):
            return {
                number: (source, partition, bool(derived))
                for number, source, partition, derived in self.reading.execute("SELECT id, source, partition, derived FROM part")
            }

    def stored(self) -> dict[tuple[str, str], int]:
        """How many events of records each source and partition has here, counted anew."""
        parts = self.parts()
        with guarded(self.path, "counting"):
            counted = self.reading.execute("SELECT part, count(*) FROM ev GROUP BY part").fetchall()
        return {parts[part][:2]: count for part, count in counted if not parts[part][2]}

    def docs(self) -> Docs:
        """A reader of documents with a memory of its own; one per query."""
        return Docs(self)

    def block(self, seq: int) -> tuple[int, codec.Block] | None:
        """The block that holds an event, and its first seq; None when the event was taken back."""
        with guarded(self.path, "reading"):
            found = self.reading.execute("SELECT first, docs, data FROM block WHERE first <= ? ORDER BY first DESC LIMIT 1", (seq,)).fetchone()
        if found is None or seq >= found[0] + found[1]:
            return None
        first, docs, data = found
        try:
            block = codec.Block(data)
        except StoreCorrupt as error:
            raise StoreCorrupt(
                Phrase("{path}: events {first} to {first2}: {message}", path=self.path, first=first, first2=first + docs - 1, message=error.message),
                hint=error.hint,
            ) from error
        if block.count != docs:
            raise StoreCorrupt(
                Phrase("{path}: block {first} holds {count} documents instead of {docs}", path=self.path, first=first, count=block.count, docs=docs),
                hint="restore the last backup",
            )
        return first, block

    def blocks(self, after: int) -> Iterator[tuple[int, list[bytes]]]:
        """All blocks with events beyond seq `after`, in order: first seq and lines."""
        while True:
            with guarded(self.path, "reading"):
                found = self.reading.execute(
                    "SELECT first, docs FROM block WHERE first + docs - 1 > ? AND first > ? - 64 ORDER BY first LIMIT 1", (after, after)
                ).fetchone()
            if found is None:
                return
            block = self.block(found[0])
            if block is None:
                return
            yield block[0], block[1].lines()
            after = found[0] + found[1] - 1

    def find(self, prefix: str, most: int = 2) -> list[Doc]:
        """The event of this id, else at most `most` whose ids begin with it."""
        found: list[Doc] = []
        for text in (quoted(id_token(prefix)), quoted(id_token(prefix), prefix=True))[: 1 if len(prefix) >= ID_LENGTH else 2]:
            for doc in self._docs_of(text):
                if doc["soc.id"] == prefix:
                    return [doc]
                if doc["soc.id"].startswith(prefix) and len(found) < most:
                    found.append(doc)
                if len(found) >= most and len(prefix) < ID_CHARS:
                    return found
        return found

    def _docs_of(self, text: str) -> Iterator[Doc]:
        """The documents of all hits of a full-text expression."""
        read = self.docs().doc
        with guarded(self.path, "searching"):
            cursor = self.reading.execute("SELECT rowid FROM ft WHERE ft MATCH ?", (text,))
            for (seq,) in cursor:
                doc = read(seq)
                if doc is not None:
                    yield doc

    def end(self) -> int:
        """One beyond the last event; what comes later does not belong to a search that began before."""
        return self.written()[2]

    def written(self) -> tuple[int, int, int]:
        """The number of the last batch here, its first seq, and one beyond its last, as one moment shows them."""
        return self._written(None)

    def _written(self, connection: sqlite3.Connection | None) -> tuple[int, int, int]:
        with guarded(self.path, "reading"):
            meta = dict((connection or self.reading).execute("SELECT name, value FROM meta"))
        return meta.get("batch", 0), meta.get("from", 1), meta.get("next", 1)

    def reworded(self) -> bool:
        """Whether words of stored events were changed, so that the full text may find what is no longer there."""
        with guarded(self.path, "reading"):
            return self.reading.execute("SELECT 1 FROM meta WHERE name = 'reworded'").fetchone() is not None

    def extent(self) -> tuple[int, int, int]:
        """How many events the file holds, and the times in ms of the first and last (0 for none)."""
        with guarded(self.path, "counting"):
            events = self.reading.execute("SELECT coalesce(sum(docs), 0) FROM block").fetchone()[0]
            low, high = self.reading.execute("SELECT min(low), max(high) FROM chunk").fetchone()
        return events, *((self.name.month.ms(low), self.name.month.ms(high)) if events else (0, 0))

    def bytes(self) -> int:
        """What the file takes on the disk, its log included."""
        return sum(path.stat().st_size for path in (self.path, self.path.with_name(self.path.name + "-wal")) if path.exists())


def _to_fill(first: int, lines: Sequence[bytes], data: bytes) -> _Last:
    """The last block, or none of it where it is full."""
    return _Last(first, lines, data) if len(lines) < _FILL_BELOW and sum(map(len, lines)) < codec.BLOCK_BYTES // 2 else _FULL


def text_of(event: Event) -> str:
    """What the full text holds of an event: its tokens, its id and its marks."""
    tokens = event.tokens
    if not tokens.isascii():
        tokens = tokens.encode("utf-8", "backslashreplace").decode()
    return f"{tokens} {id_token(event.id)}{marks_of(tokens)}"


class Docs:
    """Reads the documents of one event file; remembers the last blocks, as neighbours are asked for together."""

    def __init__(self, file: EventFile) -> None:
        self._file = file
        self._blocks: dict[int, codec.Block] = {}
        self._last: tuple[int, int, codec.Block] | None = None

    def doc(self, seq: int) -> Doc | None:
        """The document of an event, None when it was taken back."""
        last = self._last
        if last is None or not last[0] <= seq < last[1]:
            found = self._find(seq)
            if found is None:
                return None
            first, block = found
            last = self._last = (first, first + block.count, block)
        return codec.load(last[2].line(seq - last[0]))

    def _find(self, seq: int) -> tuple[int, codec.Block] | None:
        for first, block in self._blocks.items():
            if first <= seq < first + block.count:
                return first, block
        found = self._file.block(seq)
        if found is not None:
            if len(self._blocks) >= _REMEMBERED_BLOCKS:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[found[0]] = found[1]
        return found
