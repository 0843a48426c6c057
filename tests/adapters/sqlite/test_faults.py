"""Disks, permissions, damage, versions and second pipelines: each ends in an error that says what to do, and nothing is lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from soc.adapters.sqlite import SqliteStore, open_store
from soc.adapters.sqlite.journal import SqliteJournal
from soc.clock import FrozenClock
from soc.config import StoreSettings
from soc.errors import Locked, NotAllowed, SocError, StoreCorrupt, StoreFull, StoreNewer, StoreRefused, StoreUnavailable
from soc.model.fact import NewFact
from soc.model.query import All, Text
from soc.ports import EventQuery
from tests.contracts.samples import T0, batch, event

EVERYTHING = EventQuery(All(), limit=10_000)
NOBODY = 65_534


def opened(folder: Path, *, pipeline: bool = True, read_only: bool = False) -> SqliteStore:
    """The store in a folder."""
    return open_store(StoreSettings(), folder, pipeline=pipeline, read_only=read_only, clock=FrozenClock(T0))


def filled(folder: Path, events: int = 300) -> Path:
    """A closed store with some events; its event file."""
    store = opened(folder)
    store.commit(batch(*(event(n, message=f"line {n} " + "x" * n) for n in range(events))))
    store.close()
    return next((folder / "events").glob("*.db"))


# --- the disk is full ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["events", "control"])
def test_a_full_disk_stops_a_batch_whole_and_room_lets_it_through(tmp_path: Path, which: str) -> None:
    """SQLite's «database or disk is full» is StoreFull, names the file; the same batch succeeds once there is room."""
    store = opened(tmp_path / "s")
    store.commit(batch(event(0)))
    file = store.control if which == "control" else next(store.catalog.all())
    pages = file.db.execute("PRAGMA page_count").fetchone()[0]
    file.db.execute(f"PRAGMA max_page_count = {pages}")
    effects = batch(*(event(n, message="y" * 3000) for n in range(1, 400)), state={f"fw/0\x1fa\x1f{n}": b"z" * 500 for n in range(100)})
    with pytest.raises(StoreFull, match=file.path.name) as caught:
        store.commit(effects)
    assert "room" in caught.value.hint
    assert caught.value.exit_code == 7
    assert store.positions() == {"fw/0": 1}
    file.db.execute("PRAGMA max_page_count = 1000000")
    assert store.commit(effects).stored == 399
    assert store.count(EVERYTHING) == 400
    assert store.ledger()[0].difference == 0
    store.close()


_FILL = """
import resource, sys
from pathlib import Path
from soc.errors import StoreFull
from tests.adapters.sqlite.test_faults import opened
from tests.contracts.samples import batch, event
store = opened(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
effects = lambda k: batch(*(event(k * 500 + n, message=f"{n * 7919} " * 300) for n in range(500)))
try:
    for k in range(100):
        store.commit(effects(k))
except StoreFull as error:
    print(k)
else:
    sys.exit("never full")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.positions().get("fw/0", 0) == k * 500
assert store.commit(effects(k)).stored == 500
assert store.ledger()[0].difference == 0 and store.ledger()[0].stored == (k + 1) * 500
"""


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path) -> None:
    """The operating system's own refusal in mid-write (a limit on file sizes): StoreFull; afterwards everything goes on."""
    done = subprocess.run(
        [sys.executable, "-c", _FILL, str(tmp_path / "s")], cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr


# --- permissions ---------------------------------------------------------------------------------------------------


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def as_other(work: Callable[[], object]) -> str:
    """What `work` raises (or returns) when done by a user who owns nothing here: in a child process, as nobody when we are root."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            if not os.geteuid():
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            text = repr(work())
        except SocError as error:
            text = f"{type(error).__name__}: {error} | {error.hint}"
        except BaseException as error:  # noqa: BLE001 - the child must end here, whatever happened
            text = repr(error)
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        return stream.read()


def locked_away(folder: Path) -> None:
    """Nobody may write here any more; everybody may read."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def test_a_folder_without_write_permission_is_said_and_can_still_be_read(public: Path) -> None:
    """The pipeline is refused with a hint; reading works."""
    folder = public / "store"
    filled(folder)
    locked_away(folder)
    refused = as_other(lambda: opened(folder))
    assert refused.startswith("NotAllowed: ")
    assert str(folder) in refused
    assert "write permission" in refused
    assert as_other(lambda: opened(folder, pipeline=False, read_only=True).count(EVERYTHING)) == "300"
    assert as_other(lambda: opened(public / "new")).startswith("NotAllowed: ")


@pytest.mark.parametrize("lacking", ["", "-shm", "-wal"])
def test_a_copy_that_nobody_may_write_is_read_whatever_of_empty_logs_was_copied(public: Path, lacking: str) -> None:
    """Who only looks leaves empty logs; an archive may hold them, or one of the two, or none."""
    folder = public / "store"
    filled(folder)
    looking = opened(folder, pipeline=False)
    assert looking.ledger()
    looking.close()
    assert {path.stat().st_size for path in folder.rglob("*-wal")} == {0}
    for path in folder.rglob(f"*{lacking}") if lacking else ():
        path.unlink()
    locked_away(folder)
    assert as_other(lambda: opened(folder, pipeline=False, read_only=True).count(EVERYTHING)) == "300"


def test_a_store_that_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    """Read-only on nothing says that nothing has run yet."""
    with pytest.raises(StoreRefused, match="no store") as caught:
        opened(tmp_path / "s", pipeline=False, read_only=True)
    assert "soc run" in caught.value.hint
    assert not (tmp_path / "s").exists()
    with pytest.raises(NotAllowed):
        opened(tmp_path / "s", pipeline=True, read_only=True)


def test_a_store_is_for_its_owner_only(tmp_path: Path) -> None:
    """Folders are made 0700: raw lines hold names and addresses."""
    filled(tmp_path / "s")
    assert [(tmp_path / "s" / name).stat().st_mode & 0o777 for name in (".", "events")] == [0o700, 0o700]


# --- versions and damage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["control", "events"])
def test_a_file_of_a_newer_version_is_not_touched(tmp_path: Path, which: str) -> None:
    """StoreNewer names the file and both versions, and leaves it as it is."""
    events = filled(tmp_path / "s")
    path = events if which == "events" else tmp_path / "s" / "control.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreNewer, match=r"99.*up to 1") as caught:
        opened(tmp_path / "s").count(EVERYTHING)
    assert path.name in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("which", ["control", "events"])
def test_a_damaged_header_is_corruption(tmp_path: Path, which: str) -> None:
    """Bytes flipped in the header: StoreCorrupt with the file's name and what to do."""
    events = filled(tmp_path / "s")
    path = events if which == "events" else tmp_path / "s" / "control.db"
    _flip(path, range(16))
    with pytest.raises(StoreCorrupt, match=path.name) as caught:
        opened(tmp_path / "s").count(EVERYTHING)
    assert "backup" in caught.value.hint


def test_damage_in_the_middle_is_found_when_it_is_read(tmp_path: Path) -> None:
    """Documents are checked when they are read: never a wrong one, always StoreCorrupt with the file's name."""
    path = filled(tmp_path / "s", 2000)
    data = path.read_bytes()
    at = data.index(b"\x28\xb5\x2f\xfd", len(data) // 2)  # a zstd frame; Source: RFC 8878 3.1.1
    _flip(path, range(at + 20, at + 60))
    store = opened(tmp_path / "s")
    with pytest.raises(StoreCorrupt, match=path.name):
        list(store.stream(EVERYTHING))
    store.close()


def test_a_foreign_database_is_no_store(tmp_path: Path) -> None:
    """A SQLite file of something else is refused, not overwritten."""
    (tmp_path / "s").mkdir()
    with sqlite3.connect(tmp_path / "s" / "control.db") as db:
        db.execute("CREATE TABLE precious (x)")
        db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(StoreCorrupt, match="no control file of soc"):
        opened(tmp_path / "s")


def _flip(path: Path, places: range) -> None:
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 0xFF
    path.write_bytes(data)


# --- two at once ---------------------------------------------------------------------------------------------------


def test_a_second_pipeline_is_told_who_has_the_store(tmp_path: Path) -> None:
    """Locked names the pid of the first; reading and people's writing go on; closing frees it."""
    first = opened(tmp_path / "s")
    first.commit(batch(event(0)))
    with pytest.raises(Locked) as caught:
        opened(tmp_path / "s")
    assert (caught.value.pid, str(os.getpid()) in str(caught.value)) == (os.getpid(), True)
    person = opened(tmp_path / "s", pipeline=False)
    assert person.status()["pipeline_pid"] == os.getpid()
    person.record_fact("rules", {"hash": "1"})
    with pytest.raises(NotAllowed):
        person.commit(batch(event(1)))
    with pytest.raises(Locked):
        person.drop_partitions(kind="firewall", before_us=T0, dry_run=False)
    first.close()
    opened(tmp_path / "s").close()
    person.close()


def test_a_writer_that_does_not_let_go_is_a_passing_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process in a long transaction: StoreUnavailable, and the same batch works afterwards."""
    monkeypatch.setattr("soc.adapters.sqlite.database.BUSY_S", 0.05)
    store = opened(tmp_path / "s")
    other = sqlite3.connect(tmp_path / "s" / "control.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable) as caught:
        store.commit(batch(event(0)))
    assert caught.value.retry_after_s
    other.execute("ROLLBACK")
    other.close()
    assert store.commit(batch(event(0))).stored == 1
    assert store.count(EVERYTHING) == 1
    store.close()


def test_a_folder_that_others_may_enter_gives_them_nothing_to_read(tmp_path: Path) -> None:
    """A folder made by the administrator (a service's state directory) often lets everybody in: no file of the store does."""
    folder = tmp_path / "s"
    folder.mkdir(mode=0o755)
    before = os.umask(0o022)
    try:
        with closing(opened(folder)) as store:
            store.commit(batch(event(1)))
            files = [path for path in folder.rglob("*") if path.is_file()]
            assert {path.suffix for path in files} >= {".db", ".db-wal", ".db-shm"}
            assert [path for path in files if path.stat().st_mode & 0o077] == []
    finally:
        os.umask(before)


# --- who may only look, while others write -------------------------------------------------------------------------------

_WRITER = """
import sys
from pathlib import Path
from soc.adapters.sqlite.journal import SqliteJournal
from soc.clock import FrozenClock
from soc.model.fact import ANY_VERSION, NewFact
from tests.adapters.sqlite.test_faults import opened
from tests.contracts.samples import T0, batch, event
folder = Path(sys.argv[1])
store = None
for line in sys.stdin:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    what, number = line.split()
    if what == "write":
        store = store or opened(folder)
        store.commit(batch(event(int(number), message="late")))
        journal = SqliteJournal(folder, clock=FrozenClock(T0))
        journal.append("shared", ANY_VERSION, [NewFact("NoteAdded", {"n": int(number)})], actor="an")
        journal.close()
    else:
        store.close()
        store = None
    print("done", flush=True)
"""


def test_who_may_only_look_sees_what_others_write_into_a_store_that_was_at_rest(public: Path) -> None:
    """Opened without logs, as there were none: later events are found once they are committed, while their writer is there and after he ended."""
    folder = public / "store"
    filled(folder)
    journal = SqliteJournal(folder, clock=FrozenClock(T0))
    journal.append("shared", 0, [NewFact("NoteAdded", {"n": 0})], actor="an")
    journal.close()
    locked_away(folder)
    assert not [*folder.rglob("*-wal"), *folder.rglob("*-shm")]
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder)], cwd=Path(__file__).parents[3], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def tell(line: str) -> None:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write(line + "\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "done\n"

    def look() -> list[object]:
        store = opened(folder, pipeline=False, read_only=True)
        journal = SqliteJournal(folder, clock=FrozenClock(T0), read_only=True)

        def seen() -> tuple[int, int, int, int, int]:
            ledger = store.ledger()
            late = store.count(EventQuery(Text(("late",))))
            return store.count(EVERYTHING), late, store.positions()["fw/0"], ledger[0].stored, len(journal.read("shared"))

        found: list[object] = [seen()]
        begun = store.stream(EVERYTHING)
        next(begun)
        tell("write 300")
        found.append(seen())
        tell("write 301")
        found.append(seen())
        found.append(len([next(begun), *begun]))
        tell("rest 0")
        found.append(seen())
        tell("write 302")
        tell("rest 0")
        found.append(seen())
        other = opened(folder, pipeline=False, read_only=True)
        found.append(other.count(EVERYTHING))
        return found

    try:
        text = as_other(look)
    finally:
        writer.communicate(timeout=600)
    first, second, third, fourth = (300, 0, 300, 300, 1), (301, 1, 301, 301, 2), (302, 2, 302, 302, 3), (303, 3, 303, 303, 4)
    assert text == repr([first, second, third, 299, third, fourth, 303])
