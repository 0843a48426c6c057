"""Opened database files of the store, with SQLite's complaints turned into errors that say what to do.

Every file is a WAL database with synchronous=FULL: a committed transaction survives a power cut. `user_version` is the
schema version, `application_id` says which sort of file it is. Source: https://sqlite.org/pragma.html, /wal.html,
/rescode.html.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from soc.errors import NotAllowed, Phrase, SocError, StoreCorrupt, StoreFull, StoreNewer, StoreRefused, StoreUnavailable

BUSY_S = 120.0
"""How long one writer waits for another. A batch holds the lock of a file for some 100 ms; a disk that stalls for half a minute holds it as long,
and several writers may have to wait for their turn after it."""
_ROWS_AT_ONCE = (400, 200, 100, 50, 25)
"""Rows of one statement (SQLite takes 32,766 values). Few numbers of rows, so that statements stay prepared: to prepare one takes three times as long
as to run it, and those of 256 different numbers of rows would hold 15 MiB a file."""
_KEYS_AT_ONCE = (10, 50, 250)
_CHECKPOINT_BYTES = 64 * 1_048_576
"""A log of this size is copied into its database: pages that change in many batches are then written once."""
_FULL_BELOW_BYTES = 1_048_576
"""With less free space than this, a failed write is taken as a full disk."""
CORRUPT_HINT = "restore the last backup (`soc store backup`/`restore`); the damaged file can be moved away, the ledger then shows what is missing"

JOURNAL = "journal.db"
"""The file of what people recorded, which nothing else holds."""
_JOURNAL_HINT = "copy the file away as it is: it alone holds what people recorded since the last backup; then `soc store restore` into an empty folder"


class Sort(NamedTuple):
    """A sort of database file: its mark in the header, its schema version and what creates it."""

    name: str
    application_id: int
    version: int
    script: str
    page_bytes: int


def trouble(error: Exception, path: Path, doing: str) -> SocError:
    """The error of `soc.errors` for a failure of SQLite or the file system."""
    code = getattr(error, "sqlite_errorcode", 0) or 0
    primary = code & 0xFF
    why = Phrase("{path}: {doing} failed: {error}", path=path, doing=Phrase(doing), error=error)
    if isinstance(error, OSError):
        return _system_trouble(error, path, why)
    if primary == sqlite3.SQLITE_FULL or (primary == sqlite3.SQLITE_IOERR and _is_full(path)):
        return StoreFull(
            Phrase("{path}: {doing} failed: no space left on the disk (or the limit on file sizes is reached)", path=path, doing=Phrase(doing)),
            hint=Phrase("make room on the disk of {parent}; nothing was lost, the batch is given again", parent=path.parent),
        )
    if primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return StoreCorrupt(Phrase("{path} is damaged: {error}", path=path, error=error), hint=_JOURNAL_HINT if path.name == JOURNAL else CORRUPT_HINT)
    if primary in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH} or (primary == sqlite3.SQLITE_CANTOPEN and _is_locked_away(path)):
        return NotAllowed(
            Phrase("{path}: {doing} failed: the store is read-only", path=path, doing=Phrase(doing)),
            hint=Phrase("give this user write permission on {parent}, or only look: SOC_READ_ONLY=true soc …", parent=path.parent),
        )
    if primary == sqlite3.SQLITE_CANTOPEN:
        return StoreRefused(
            Phrase("{path} cannot be opened", path=path), hint=Phrase("check that {parent} exists and that this user may read and write it", parent=path.parent)
        )
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreUnavailable(
            Phrase("{path}: another process has been writing for longer than {busy_s:.0f} s", path=path, busy_s=BUSY_S),
            retry_after_s=1.0,
            hint="try again; `soc store status` names the writer",
        )
    return StoreRefused(why, hint=Phrase("check the disk of {parent} and the system log", parent=path.parent))


def _system_trouble(error: OSError, path: Path, why: str) -> SocError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return StoreFull(why, hint=Phrase("make room on the disk of {parent}", parent=path.parent))
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return NotAllowed(why, hint=Phrase("give this user write permission on {parent}, or only look: SOC_READ_ONLY=true soc …", parent=path.parent))
    return StoreRefused(why, hint=Phrase("check {parent}", parent=path.parent))


def _is_locked_away(path: Path) -> bool:
    """Whether the file is there and this user may not write it or beside it; SQLite tells only that it cannot be opened."""
    return path.exists() and not (os.access(path, os.R_OK | os.W_OK) and _can_write(path.parent))


def _is_full(path: Path) -> bool:
    """Whether the disk, or the limit on the size of files (ulimit -f), leaves no room; SQLite tells only «I/O error»."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    try:
        largest = max((file.stat().st_size for file in path.parent.glob(path.name + "*")), default=0)
        return shutil.disk_usage(path.parent).free < _FULL_BELOW_BYTES or (limit != resource.RLIM_INFINITY and largest + _FULL_BELOW_BYTES > limit)
    except OSError:
        return False


@contextmanager
def guarded(path: Path, doing: str) -> Iterator[None]:
    """Turns errors of SQLite and the file system inside the block into those of `soc.errors`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise trouble(error, path, doing) from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction: committed at the end of the block, rolled back by any error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def insert_many(connection: sqlite3.Connection, into: str, rows: Sequence[Sequence[Any]], then: str = "") -> None:
    """Run `into VALUES … then` for rows of equal length, many by each statement.

    Half the time of one by one; and each return from a statement may have to wait for the interpreter's lock while another
    thread parses, up to 5 ms (sys.setswitchinterval).
    """
    begin = 0
    while begin < len(rows):
        left = len(rows) - begin
        count = next((size for size in _ROWS_AT_ONCE if size <= left), left)
        row = f"({','.join('?' * len(rows[begin]))})"
        connection.execute(f"{into} VALUES {','.join([row] * count)} {then}", list(chain.from_iterable(rows[begin : begin + count])))
        begin += count


def key_lists(keys: Sequence[Any]) -> Iterator[tuple[str, Sequence[Any]]]:
    """The keys in parts, each as a list for `IN` and its values; the last is filled up by repeating a key, so that few statements are to be prepared."""
    most = _KEYS_AT_ONCE[-1]
    for begin in range(0, len(keys), most):
        some = keys[begin : begin + most]
        size = next(size for size in _KEYS_AT_ONCE if size >= len(some))
        yield f"({','.join('?' * size)})", [*some, *[some[0]] * (size - len(some))]


class _State(NamedTuple):
    """What tells that a file was written: whether it has a log to be read with it, its inode, times and size."""

    logged: bool
    inode: int
    written_ns: int
    changed_ns: int
    size: int


class Connection(sqlite3.Connection):
    """A connection that is closed at the latest when nobody holds it, nor a cursor of it.

    `rested`: how the file stood when it was opened without its log, as nobody was writing it; None = it was not.
    """

    rested: _State | None = None

    def __del__(self) -> None:
        with suppress(sqlite3.Error):
            self.close()


class Looking:
    """The connection of who may only read a file: also where no log can be shared, it sees what is written later."""

    def __init__(self, path: Path, sort: Sort) -> None:
        self._path, self._sort = path, sort
        self._lock = threading.Lock()
        self._connection = connect(path, sort, read_only=True)

    def connection(self) -> Connection:
        """The connection to read with now: another one when the file was opened at rest and somebody has written it since.

        What is being read from the one before goes on.   Cost: of a file that was at rest, 10 µs.
        """
        connection = self._connection
        if connection.rested is not None and _state(self._path) not in {connection.rested, None}:
            with self._lock:
                if self._connection is connection:
                    self._connection = connect(self._path, self._sort, read_only=True)
        return self._connection

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()


def connect(path: Path, sort: Sort, *, read_only: bool, cache_kib: int = 8_192) -> Connection:
    """A connection to a file of the store, created or checked. May be used from any thread, by one at a time.

    Raises: StoreNewer, StoreCorrupt, StoreRefused, NotAllowed, StoreFull.
    """
    with guarded(path, "opening"):
        if not read_only and not path.exists():
            _create(path, sort)
        for last in (False, False, True):
            rested = _rested(path) if read_only else None
            connection = _opened(path, "" if not read_only else "?mode=ro" if rested is None else "?immutable=1")
            connection.rested = rested
            try:
                _set_up(connection, path, sort, read_only=read_only, cache_kib=cache_kib)
            except BaseException as error:
                connection.close()
                # Who writes may have begun or ended just now, and with that the log came or went.
                if last or not read_only or not isinstance(error, sqlite3.OperationalError) or _rested(path) == rested:
                    raise
            else:
                break
        return connection


def _opened(path: Path, how: str) -> Connection:
    return sqlite3.connect(
        path.absolute().as_uri() + how, uri=True, isolation_level=None, timeout=BUSY_S, check_same_thread=False, cached_statements=256, factory=Connection
    )


def _rested(path: Path) -> _State | None:
    """How a file stands that is to be read without its log; None = with it.

    A WAL database in a folder that cannot be written has no -shm file to share, unless somebody else is writing it.
    Who only read leaves an empty log behind; copied without its -shm file, as most backups do, it says nothing.
    """
    state = _state(path)
    return state if state is not None and not state.logged and not _can_write(path.parent) else None


def _state(path: Path) -> _State | None:
    """How a file stands now; None when it is not there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return _State(_is_logged(path), found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


def _is_logged(path: Path) -> bool:
    """Whether there is a log of the file to be read with it."""
    try:
        empty = not path.with_name(path.name + "-wal").stat().st_size
    except FileNotFoundError:
        return False
    return not empty or path.with_name(path.name + "-shm").exists()


def _can_write(folder: Path) -> bool:
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return False
    return os.access(folder, os.W_OK)


def _set_up(connection: sqlite3.Connection, path: Path, sort: Sort, *, read_only: bool, cache_kib: int) -> None:
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    connection.execute("PRAGMA temp_store = MEMORY")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    if version > sort.version:
        raise StoreNewer(
            Phrase(
                "{path} has schema {version}; this version of soc knows {name} files up to {version2}",
                path=path,
                version=version,
                name=sort.name,
                version2=sort.version,
            ),
            hint="use the version of soc that wrote it, or a newer one",
        )
    if mark != sort.application_id:
        raise StoreCorrupt(Phrase("{path} is no {name} file of soc", path=path, name=sort.name), hint=CORRUPT_HINT)
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_BYTES // sort.page_bytes}")


def _create(path: Path, sort: Sort) -> None:
    """Make an empty database under another name and give it its own when it is whole; whoever is first wins."""
    new = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    unlink(new)
    # SQLite would let everybody read it where the folder does; the logs beside it take over these rights.
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {sort.page_bytes}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN;{sort.script};PRAGMA application_id = {sort.application_id};PRAGMA user_version = {sort.version};COMMIT")
    with suppress(FileExistsError):
        os.link(new, path)
    unlink(new)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # the name of the file, too, must outlive a power cut
    finally:
        os.close(descriptor)


def unlink(path: Path) -> None:
    """Remove a database with its logs."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
