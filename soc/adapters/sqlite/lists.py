"""`lists.db`: the kept lists of the embedded store, beside the journal. Removing the file costs the time to fold everything once.

Each list holds the position in the journal up to which it was made, and the hash of the fact there: facts beyond it are folded before
an answer is given, and another journal's list is made anew. Groups stand there with the state that people see, which depends on their
alerts as well: `control.db` numbers the changes of groups. Who may not write has the same in memory.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from soc.adapters.sqlite.database import Sort, connect, transaction, trouble, unlink
from soc.adapters.sqlite.journal import SqliteJournal
from soc.errors import NotAllowed, SocError, StoreCorrupt, StoreFull, StoreNewer, StoreRefused, StoreUnavailable
from soc.model.projection import Difference, Document, ListQuery, Projection
from soc.ports import AlertQuery, Chosen, Store, TellingStore
from soc.telemetry import get_logger
from soc.triage.listing import triage_of
from soc.triage.model import Triage, standing
from soc.triage.standing import chosen

log = get_logger(__name__)

FILE = "lists.db"
_SCRIPT = """
CREATE TABLE list (name TEXT PRIMARY KEY, version TEXT NOT NULL, position INTEGER NOT NULL, hash BLOB NOT NULL, judged INTEGER NOT NULL, changes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE doc (
    no INTEGER PRIMARY KEY, list TEXT NOT NULL, stream TEXT NOT NULL, through INTEGER NOT NULL, scope TEXT NOT NULL, state TEXT NOT NULL,
    due_us INTEGER NOT NULL, late_us INTEGER NOT NULL, order_us INTEGER NOT NULL, words TEXT NOT NULL, body BLOB NOT NULL, digest BLOB NOT NULL,
    UNIQUE (list, stream)
) STRICT;
CREATE INDEX doc_order ON doc (list, state, scope, due_us, order_us, stream, late_us);
CREATE INDEX doc_late ON doc (list, late_us, due_us, order_us, stream, state, scope) WHERE late_us > 0;
CREATE TABLE word (list TEXT NOT NULL, word TEXT NOT NULL, stream TEXT NOT NULL, PRIMARY KEY (list, word, stream)) WITHOUT ROWID;
CREATE TABLE standing (id TEXT PRIMARY KEY, scope TEXT NOT NULL, state TEXT NOT NULL, last_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX standing_order ON standing (scope, state, last_us, id)
"""
_SORT = Sort("lists", 0x736F636C, 1, _SCRIPT, 4096)
_COLUMNS = "stream, through, scope, state, due_us, late_us, order_us, words, body, digest"
_NEVER = 1 << 62
"""As time when something is due: never, which sorts last."""
_AT_ONCE = 2_000

T = TypeVar("T")


class _Damaged(Exception):
    """The file of the lists is damaged, or a document of it was changed."""


class _Made(NamedTuple):
    """How far a list was made, and up to which fact and change of groups their states were judged (-1 = not at all)."""

    version: str
    position: int
    hash: bytes
    judged: int
    changes: int


class SqliteLists:
    """See `soc.ports.Lists`."""

    def __init__(self, folder: Path, journal: SqliteJournal, *, read_only: bool = False) -> None:
        self.path = folder / FILE
        self._journal = journal
        self._lock = threading.RLock()
        self._kept = not read_only
        self._opened: sqlite3.Connection | None = None

    # the port ------------------------------------------------------------------------------------------------------------

    def page(self, projection: Projection, query: ListQuery) -> tuple[int, list[Document]]:
        where, values = _where(projection, query)

        def work(db: sqlite3.Connection) -> tuple[int, list[Document]]:
            self._follow(db, projection)
            total = db.execute(f"SELECT count(*) FROM doc WHERE {where}", values).fetchone()[0]
            order = "ORDER BY due_us, order_us DESC, stream"
            inner = f"SELECT no FROM doc WHERE {where} {order} LIMIT ? OFFSET ?"
            rows = db.execute(f"SELECT {_COLUMNS} FROM doc WHERE no IN ({inner}) {order}", (*values, query.limit or -1, query.offset))
            return total, [_document(row) for row in rows]

        return self._asked(projection, work)

    def some(self, projection: Projection, streams: Sequence[str]) -> dict[str, Document]:
        def work(db: sqlite3.Connection) -> dict[str, Document]:
            self._follow(db, projection)
            return self._some(db, projection, streams)

        return self._asked(projection, work)

    def _some(self, db: sqlite3.Connection, projection: Projection, streams: Sequence[str]) -> dict[str, Document]:
        named = msgspec.json.encode(list(streams)).decode()
        rows = db.execute(f"SELECT {_COLUMNS} FROM doc WHERE list = ? AND stream IN (SELECT value FROM json_each(?))", (projection.name, named))
        return {row[0]: _document(row) for row in rows}

    def standing(self, projection: Projection, store: Store, query: AlertQuery, states: Sequence[str], hidden: frozenset[str]) -> Chosen:
        if not isinstance(store, TellingStore):
            _, found = self.page(projection, ListQuery(scope=None))
            said = {one.stream.removeprefix(projection.prefix): triage_of(one) for one in found}
            return chosen(said, store, query, states, hidden)
        telling: TellingStore = store

        def work(db: sqlite3.Connection) -> Chosen:
            self._follow(db, projection, telling)
            return _chosen(db, query, states, hidden)

        return self._asked(projection, work)

    def rebuild(self, projection: Projection, store: Store | None = None) -> Difference:
        telling = store if isinstance(store, TellingStore) else None
        with self._lock:
            try:
                with self._own():
                    return self._rebuilt(self._db(), projection, telling)
            except _Damaged:
                self._throw_away()
                with self._own():
                    found = self._rebuilt(self._db(), projection, telling)
                found.missing = found.documents
                return found

    def _rebuilt(self, db: sqlite3.Connection, projection: Projection, store: TellingStore | None) -> Difference:
        found = Difference(projection.name, 0)
        with transaction(db):
            made = _made(db, projection)
            known = made is not None and made.version == projection.version and self._journal.hash_at(made.position) == made.hash
            before = dict(db.execute("SELECT stream, digest FROM doc WHERE list = ?", (projection.name,)))
            suspect: list[tuple[str, bool]] = []
            for one in self._make(db, projection):
                found.documents += 1
                digest = before.pop(one.stream, None)
                if digest != one.digest():
                    suspect.append((one.stream, digest is None))
            stood = set(db.execute("SELECT id, scope, state, last_us FROM standing"))
            if store is not None:
                self._judge(db, projection, store)
            if made is None or not known:
                return found
            # Asked last: what others recorded while the list was made was to be made at the next look anyway.
            behind = set(self._journal.grown(projection.prefix, made.position))
            for stream, missing in suspect:
                if stream not in behind:
                    found.missing += missing
                    found.changed += not missing
            found.surplus = len(before)
            if store is not None and made.judged >= 0:
                changed = {*store.group_changes(max(made.changes, 0))[1], *(stream.removeprefix(projection.prefix) for stream in behind)}
                differing = {row[0] for row in stood ^ set(db.execute("SELECT id, scope, state, last_us FROM standing"))}
                found.changed += len(differing - changed)
        return found

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    # opening, and what to do when it does not go ---------------------------------------------------------------------------

    def _asked(self, projection: Projection, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` says; lists that are damaged are thrown away first, those that cannot be written are made in memory."""
        with self._lock:
            for last in (False, True):
                try:
                    with self._own():
                        return work(self._db())
                except _Damaged as error:
                    log.warning("kept lists were damaged and are made anew", path=str(self.path), list=projection.name, error=str(error))
                    self._throw_away()
                    if last:
                        break
                except (NotAllowed, StoreFull, StoreNewer, StoreRefused, StoreUnavailable) as error:
                    if not self._kept or last:
                        raise
                    log.warning("lists are kept in memory only", path=str(self.path), error=error.message)
                    self.close()
                    self._kept = False
            with self._own():
                return work(self._db())

    @contextmanager
    def _own(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            found: SocError = trouble(error, self.path, "keeping lists")
            if isinstance(found, StoreCorrupt):
                raise _Damaged(str(error)) from error
            raise found from error

    def _throw_away(self) -> None:
        self.close()
        try:
            if self.path.exists():
                unlink(self.path)
        except OSError:
            self._kept = False

    def _db(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = self._connect() if self._kept and self.path.parent.is_dir() else self._in_memory()
        return self._opened

    def _connect(self) -> sqlite3.Connection:
        try:
            db = connect(self.path, _SORT, read_only=False)
        except StoreCorrupt as error:
            raise _Damaged(str(error.message)) from error
        db.execute("PRAGMA synchronous = NORMAL")  # what a power cut takes away is made again
        return db

    def _in_memory(self) -> sqlite3.Connection:
        """The lists of the file as far as they can be read, without it."""
        db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            if self.path.exists():
                with closing(connect(self.path, _SORT, read_only=True)) as kept:
                    kept.backup(db)
                return db
        except (SocError, sqlite3.Error) as error:
            log.warning("kept lists cannot be read", path=str(self.path), error=str(error))
            db.close()
            db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        db.executescript(_SCRIPT)
        return db

    # the projector ---------------------------------------------------------------------------------------------------------

    def _follow(self, db: sqlite3.Connection, projection: Projection, store: TellingStore | None = None) -> None:
        """Fold what the journal (and the store of groups) said since the list was made."""
        end = self._journal.end()
        made = _made(db, projection)
        if (
            made is not None
            and made[:3] == (projection.version, *end)
            and (store is None or (made.judged == made.position and store.group_changes(made.changes) == (made.changes, [])))
        ):
            return
        with transaction(db):
            made = _made(db, projection)  # another process may have done it meanwhile
            position, found = self._journal.end()
            if made is None or made.version != projection.version or made.position > position or self._journal.hash_at(made.position) != made.hash:
                for _ in self._make(db, projection):
                    pass
            elif made.position < position:
                _put(db, projection, self._folded(projection, self._journal.grown(projection.prefix, made.position)))
                db.execute("UPDATE list SET position = ?, hash = ? WHERE name = ?", (position, found, projection.name))
            if store is not None:
                self._judge(db, projection, store)

    def _make(self, db: sqlite3.Connection, projection: Projection) -> Iterator[Document]:
        """Make the whole list anew, in the caller's transaction; what was appended meanwhile is folded the next time."""
        position, found = self._journal.end()
        for table in ("doc", "word"):
            db.execute(f"DELETE FROM {table} WHERE list = ?", (projection.name,))
        some: list[Document] = []
        for stream, facts in self._journal.under(projection.prefix):
            some.append(projection.document(stream, [one.fact for one in facts]))
            yield some[-1]
            if len(some) >= _AT_ONCE:
                _put(db, projection, some)
                some = []
        _put(db, projection, some)
        db.execute("INSERT OR REPLACE INTO list VALUES (?, ?, ?, ?, -1, -1)", (projection.name, projection.version, position, found))

    def _folded(self, projection: Projection, streams: Iterable[str]) -> Iterator[Document]:
        for stream in streams:
            facts = self._journal.read(stream)
            if facts:
                yield projection.document(stream, [one.fact for one in facts])

    def _judge(self, db: sqlite3.Connection, projection: Projection, store: TellingStore) -> None:
        """Say anew in which state those groups are of which people or alerts said something."""
        made = _made(db, projection)
        if made is None:
            return
        last, changed = store.group_changes(max(made.changes, 0))
        ids: list[str] | None = None
        if made.judged < 0 or made.changes > last:
            db.execute("DELETE FROM standing")
        else:
            grown = self._journal.grown(projection.prefix, made.judged) if made.judged < made.position else []
            ids = list({*changed, *(stream.removeprefix(projection.prefix) for stream in grown)})
            db.execute("DELETE FROM standing WHERE id IN (SELECT value FROM json_each(?))", (msgspec.json.encode(ids).decode(),))
        if ids is None:
            said = {row[0]: _document(row) for row in db.execute(f"SELECT {_COLUMNS} FROM doc WHERE list = ?", (projection.name,))}
        else:
            said = self._some(db, projection, [projection.prefix + one for one in ids])
        rows = []
        for end in store.ends_of(ids):
            document = said.get(projection.prefix + end.id)
            triage = Triage() if document is None else standing(triage_of(document), last_at=end.last_at, count=end.occurrences)
            rows.append((end.id, end.scope, triage.state, end.last_us))
        db.executemany("INSERT OR REPLACE INTO standing VALUES (?, ?, ?, ?)", rows)
        db.execute("UPDATE list SET judged = ?, changes = ? WHERE name = ?", (made.position, last, projection.name))


def _made(db: sqlite3.Connection, projection: Projection) -> _Made | None:
    found = db.execute("SELECT version, position, hash, judged, changes FROM list WHERE name = ?", (projection.name,)).fetchone()
    return _Made(*found) if found else None


def _put(db: sqlite3.Connection, projection: Projection, documents: Iterable[Document]) -> None:
    some = list(documents)
    streams = msgspec.json.encode([one.stream for one in some]).decode()
    db.execute("DELETE FROM word WHERE list = ?1 AND stream IN (SELECT value FROM json_each(?2))", (projection.name, streams))
    db.executemany(
        "INSERT INTO doc (list, stream, through, scope, state, due_us, late_us, order_us, words, body, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (list, stream) DO UPDATE SET through = excluded.through, scope = excluded.scope, state = excluded.state, due_us = excluded.due_us,"
        " late_us = excluded.late_us, order_us = excluded.order_us, words = excluded.words, body = excluded.body, digest = excluded.digest",
        [
            (
                *(projection.name, one.stream, one.through, one.scope, one.state, one.due_us or _NEVER, one.late_us, one.order_us),
                *(msgspec.json.encode(one.words).decode(), one.body, one.digest()),
            )
            for one in some
        ],
    )
    db.executemany("INSERT OR IGNORE INTO word VALUES (?, ?, ?)", [(projection.name, word, one.stream) for one in some for word in one.words])


def _document(row: Sequence[Any]) -> Document:
    stream, through, scope, state, due_us, late_us, order_us, words, body, digest = row
    try:
        one = Document(stream, through, scope, state, due_us % _NEVER, late_us, order_us, msgspec.json.decode(words, type=tuple[str, ...]), body)
    except msgspec.DecodeError as error:
        raise _Damaged(f"{stream}: {error}") from error
    if one.digest() != digest:
        raise _Damaged(f"{stream} is not what was kept")
    return one


def _where(projection: Projection, query: ListQuery) -> tuple[str, list[Any]]:
    parts, values = ["list = ?"], [projection.name]
    more: list[Any] = []
    if query.states is not None:
        parts.append(f"state IN ({','.join('?' * len(query.states))})")
        more += query.states
    if query.scope is not None:
        parts.append("scope = ?")
        more.append(query.scope)
    if query.late_at_us:
        parts.append("late_us > 0 AND late_us < ?")
        more.append(query.late_at_us)
    if query.waiting:
        parts.append("due_us < ?")
        more.append(_NEVER)
    if query.word:
        parts.append("stream IN (SELECT stream FROM word WHERE list = ? AND word = ?)")
        more += [projection.name, query.word]
    return " AND ".join(parts), [*values, *more]


def _chosen(db: sqlite3.Connection, query: AlertQuery, states: Sequence[str], hidden: frozenset[str]) -> Chosen:
    """By the kept states: the page itself when nothing but scope and states is asked for, else the smaller of two sets of ids."""
    scope, values = ("1", []) if query.scope is None else ("scope = ?", [query.scope])
    marks = ",".join("?" * len(states))
    where = f"{scope} AND state IN ({marks}) AND id NOT IN (SELECT value FROM json_each(?))"
    asked = (*values, *states, msgspec.json.encode(list(hidden)).decode())
    if (
        query.limit
        and not (query.levels or query.rule or query.group or query.source or query.ids is not None or query.without)
        and (query.since_us is None and query.until_us is None)
    ):
        total = db.execute(f"SELECT count(*) FROM standing WHERE {where}", asked).fetchone()[0]
        rows = db.execute(f"SELECT id FROM standing WHERE {where} ORDER BY last_us DESC, id DESC LIMIT ? OFFSET ?", (*asked, query.limit, query.offset))
        return Chosen(frozenset(identity for (identity,) in rows), total=total)
    fitting = db.execute(f"SELECT count(*) FROM standing WHERE {where}", asked).fetchone()[0]
    if fitting * 2 <= db.execute(f"SELECT count(*) FROM standing WHERE {scope}", values).fetchone()[0]:
        return Chosen(frozenset(identity for (identity,) in db.execute(f"SELECT id FROM standing WHERE {where}", asked)))
    others = db.execute(f"SELECT id FROM standing WHERE {scope} AND state NOT IN ({marks})", (*values, *states))
    return Chosen(None, frozenset(identity for (identity,) in others) | hidden)
