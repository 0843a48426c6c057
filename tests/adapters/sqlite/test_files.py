"""Event files one after another: what a full one gives back, and what is known of assembled events after a restart."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from contextlib import closing
from itertools import islice
from operator import itemgetter
from pathlib import Path

import pytest

from soc.adapters.sqlite import SqliteStore, codec, open_store
from soc.adapters.sqlite import events as events_module
from soc.adapters.sqlite.database import transaction
from soc.adapters.sqlite.events import EventFile, Name
from soc.adapters.sqlite.order import month_named
from soc.clock import FrozenClock, SystemClock
from soc.config import StoreSettings
from soc.model.event import Event
from soc.model.level import THREAT_LEVELS
from soc.model.query import All, Text
from soc.ports import Effects, EventQuery, Progress
from tests.adapters.sqlite.conftest import PATIENT_S
from tests.contracts.samples import DAY, HOUR, T0, batch, event

EVERYTHING = EventQuery(All(), limit=10_000)


def opened(folder: Path) -> SqliteStore:
    """The store in a folder, with the smallest files."""
    return open_store(StoreSettings(events_per_file=1000), folder, pipeline=True, clock=FrozenClock(T0 + DAY))


def test_a_full_file_gives_its_log_back_and_stays_readable(tmp_path: Path) -> None:
    """When the next file begins, the one before is closed and leaves no log on the disk; all events are found, and late ones go where they belong."""
    store = opened(tmp_path / "store")
    for first in range(0, 2400, 400):
        store.commit(batch(*[event(number, event__action=f"word{number}") for number in range(first, first + 400)]))
    first_file, second_file = sorted((tmp_path / "store" / "events").glob("*.db"))
    logs = [file.with_name(file.name + "-wal") for file in (first_file, second_file)]
    assert not logs[0].exists()
    assert logs[1].stat().st_size > 0
    assert len(list(store.stream(EVERYTHING))) == 2400
    assert [doc["soc.seq"] for doc in store.search(EventQuery(Text(("word3",)))).docs] == [3]
    store.commit(batch(*[event(number) for number in range(2400, 2410)]))
    assert store.count(EVERYTHING) == 2410
    store.commit(batch(event(2410, ts_us=T0 + 60 * DAY)))  # a month in which nothing was yet: the files before rest
    store.commit(batch(event(2411)))
    assert store.count(EVERYTHING) == 2412
    store.close()


def test_an_assembled_event_is_known_after_a_restart_and_new_ones_are_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id of an assembled event comes again: it is stored once. One that never came costs no search of the event files."""
    store = opened(tmp_path / "store")
    store.commit(batch(event(0), event(0, derived="Q1", kind="mail")))
    store.close()
    store = opened(tmp_path / "store")
    searched: list[str] = []
    find = EventFile.find

    def watched(file: EventFile, prefix: str, most: int = 2) -> list[dict[str, object]]:
        searched.append(prefix)
        return find(file, prefix, most)

    monkeypatch.setattr(EventFile, "find", watched)
    again: Event = event(1, derived="Q1", kind="mail")
    store.commit(batch(event(1), again, event(1, derived="Q2", kind="mail")))
    assert set(searched) == {again.id}
    assert sum("soc.derived" in doc for doc in store.stream(EVERYTHING)) == 2
    store.close()


@pytest.mark.parametrize("most", [1, 1 << 26])
def test_a_last_block_that_another_process_changed_is_filled_up_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """What is remembered of the last block is not written over what a repair made of it meanwhile."""
    monkeypatch.setattr(events_module, "_MOST_PACKED", most)
    month = Name("firewall", month_named("2026.11"), 1)
    file = EventFile(tmp_path, month, read_only=False)
    file.append(1, [event(number) for number in range(5)])
    repair = EventFile(tmp_path, month, read_only=False)
    lines = [codec.dump({**event(number).doc, "soc.threat.level": "high"}) for number in range(5)]
    with transaction(repair.db):
        repair.db.execute("UPDATE block SET data = ?", (codec.pack(lines),))
    file.append(2, [event(number) for number in range(5, 100)])
    found = [codec.load(line) for _, block in file.blocks(0) for line in block]
    assert [doc["soc.seq"] for doc in found] == list(range(100))
    assert [doc["soc.seq"] for doc in found if doc["soc.threat.level"] == "high"] == [0, 1, 2, 3, 4]
    assert file.find(event(3).id)[0]["soc.threat.level"] == "high"
    assert file.stored() == {("fw1", "fw/0"): 100}
    assert [first for first, _ in file.blocks(0)] == [1, 65]
    file.close()
    repair.close()


@pytest.mark.parametrize("most", [1, 1 << 26])
def test_what_a_batch_adds_is_what_its_rows_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Rows, counts an hour and bounds of keys agree with the events, over batches that share a block, an hour and a chunk; also where blocks are large."""
    monkeypatch.setattr(events_module, "_MOST_PACKED", most)
    month = Name("firewall", month_named("2026.11"), 1)
    file = EventFile(tmp_path, month, read_only=False)
    events = [
        event(number, ts_us=T0 + number % 7 * HOUR // 3, level=("none", "high", "low")[number % 3], counted=number % 5 > 0, partition=f"fw/{number % 2}")
        for number in range(1100)
    ]
    for batch_no, begin in enumerate(range(0, 1100, 275), 1):
        file.append(batch_no, events[begin : begin + 275])
    names, parts = file.names(), file.parts()
    rows = file.reading.execute("SELECT seq, key, part, level, category, scope, counted FROM ev ORDER BY seq").fetchall()
    assert [
        (seq, key, parts[part][1], THREAT_LEVELS[level], names[category], names[scope], counted) for seq, key, part, level, category, scope, counted in rows
    ] == [
        (seq, month.month.key(one.ts_us // 1000, one.id), one.partition, one.level, one.category, one.scope, int(one.counted))
        for seq, one in enumerate(events, 1)
    ]
    counts = Counter((one.ts_us // 1000 - month.month.begin_ms) // 3_600_000 for one in events)
    assert dict(file.reading.execute("SELECT hour, sum(events) FROM rollup GROUP BY hour")) == counts
    assert file.reading.execute("SELECT sum(counted) FROM rollup").fetchone()[0] == sum(one.counted for one in events)
    assert [codec.load(line)["soc.seq"] for _, block in file.blocks(0) for line in block] == list(range(1100))
    bounds = {no: [key for seq, key, *_ in rows if seq >> 10 == no] for no in (0, 1)}
    assert file.reading.execute("SELECT no, low, high FROM chunk ORDER BY no").fetchall() == [(no, min(keys), max(keys)) for no, keys in bounds.items()]
    file.close()


def test_who_looks_through_a_full_file_does_not_keep_the_next_one_from_being_begun(tmp_path: Path) -> None:
    """A search whose reader went for lunch goes on where it stood; the pipeline does not wait for it."""
    store = opened(tmp_path / "store")
    store.commit(batch(*[event(number) for number in range(600)]))
    with closing(sqlite3.connect(f"{next((tmp_path / 'store' / 'events').glob('*.db')).as_uri()}?mode=ro", uri=True)) as reader:
        found = reader.execute("SELECT seq FROM ev ORDER BY seq")
        assert next(found) == (1,)
        store.commit(batch(*[event(number) for number in range(600, 1000)]))
        begun = SystemClock().monotonic()
        store.commit(batch(event(1000)))
        assert SystemClock().monotonic() - begun < PATIENT_S / 3
        assert sum(1 for _ in found) == 599
    assert store.count(EVERYTHING) == 1001
    store.close()


def test_who_reads_between_the_steps_of_a_commit_does_not_get_a_second_file(tmp_path: Path) -> None:
    """Of a batch over two months the file of one is not kept open; read by somebody before it is written, it is known as it is when the next batch comes."""
    store = opened(tmp_path / "store")
    for first in range(0, 6, 2):
        write = store.begin_commit(batch(event(first), event(first + 1, ts_us=T0 + 40 * DAY + first)))
        assert store.get_events([event(100).id]) == []
        write()
    assert [doc["soc.seq"] for doc in store.stream(EVERYTHING)] == [1, 3, 5, 4, 2, 0]
    store.close()


def test_events_are_looked_for_in_files_that_are_opened_once_for_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old events by id, and records that come again, of which a pipeline keeps no file open: each file is opened once a call, none older than need be."""
    store = opened(tmp_path / "store")
    old = [event(number) for number in range(30)]
    store.commit(batch(*old, *[event(number) for number in range(30, 1000)]))
    for month in range(1, 6):
        store.commit(batch(*[event(1000 * month + number, ts_us=T0 + month * 31 * DAY + number) for number in range(1000)]))
    read: list[str] = []
    make = EventFile.__init__

    def watched(file: EventFile, folder: Path, name: Name, *, read_only: bool) -> None:
        read.append(name.file)
        make(file, folder, name, read_only=read_only)

    monkeypatch.setattr(EventFile, "__init__", watched)
    assert store.get_events([one.id for one in old]) == [one.doc for one in old]
    assert max(Counter(read).values()) == 1
    read.clear()
    assert len(store.get_events([event(number).id for number in range(5000, 5030)])) == 30
    assert read == []
    again = [event(number, partition="fw/1", origin="fw/0", ts_us=T0 + 200 * DAY) for number in range(30)]
    assert store.commit(Effects([Progress("fw1", "fw/1", 0, 29, 30, 30)], again)).replayed == 30
    assert max(Counter(read).values()) == 1
    assert len(store.catalog._open) <= 2
    store.close()


def test_threads_that_read_beside_commits_get_whole_events_from_files_that_come_and_go(tmp_path: Path) -> None:
    """Batches over months and kinds, new files all the while; nobody is given a file that somebody else closes, or adds to one that has gone on."""
    store = opened(tmp_path / "store")
    end = threading.Event()
    faults: list[Exception] = []

    def some(number: int) -> Event:
        return event(number, ts_us=T0 + number + (number % 7 == 0) * 40 * DAY - (number % 11 == 0) * 40 * DAY, kind=("firewall", "mail")[number % 2])

    def read() -> None:
        try:
            while not end.is_set():
                store.get_events([some(number).id for number in range(0, 2000, 400)])
                assert all(map(itemgetter("soc.id"), islice(store.stream(EVERYTHING), 20)))
        except Exception as error:  # noqa: BLE001 - shown below
            faults.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for first in range(0, 3000, 60):
            write = store.begin_commit(batch(*[some(number) for number in range(first, first + 60)]))
            write()
    finally:
        end.set()
        for reader in readers:
            reader.join()
    assert faults == []
    assert sorted(doc["soc.seq"] for doc in store.stream(EVERYTHING)) == list(range(3000))
    store.close()
