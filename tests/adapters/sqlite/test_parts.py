"""The small parts of the embedded store: keys, spans, blocks, the pipeline's lock."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.adapters.sqlite import codec, lock
from soc.adapters.sqlite.database import insert_many, key_lists
from soc.adapters.sqlite.events import Name, parse_name
from soc.adapters.sqlite.order import month_named, month_of
from soc.adapters.sqlite.spans import MOST, Spans
from soc.clock import from_iso
from soc.errors import Locked, StoreCorrupt, StoreFull
from soc.model.ids import event_id

_MONTH = month_named("2026.11")
_ids = st.one_of(st.integers(0, 10**6).map(lambda n: event_id("o", n)), st.text(max_size=6), st.text("127az{-A", max_size=5))


@given(st.lists(st.tuples(st.integers(_MONTH.begin_ms, _MONTH.end_ms - 1) | st.just(_MONTH.begin_ms), _ids), max_size=40))
def test_keys_never_contradict_the_order_of_time_and_id(events: list[tuple[int, str]]) -> None:
    """Sorted by (ms, id), keys never fall, whatever the ids are; and a key gives its time back."""
    keys = [_MONTH.key(ms, identity) for ms, identity in sorted(events)]
    assert keys == sorted(keys)
    assert all(0 <= key < 1 << 47 and _MONTH.ms(key) == ms for key, (ms, _) in zip(keys, sorted(events), strict=True))


def test_keys_tell_ids_of_ours_apart() -> None:
    """Of 1,000 events in one millisecond few share a key."""
    assert len({_MONTH.key(_MONTH.begin_ms, event_id("o", n)) for n in range(1000)}) > 950


@pytest.mark.parametrize(("time", "month"), [("2026-11-30T23:59:59.999Z", "2026.11"), ("2026-12-01T00:00:00Z", "2026.12"), ("2024-02-29T12:00:00Z", "2024.02")])
def test_months_are_utc(time: str, month: str) -> None:
    """An event belongs to the UTC month of its time, which spans it."""
    found = month_of(from_iso(time))
    assert found.name == month
    assert found.begin_ms * 1000 <= from_iso(time) < found.end_ms * 1000


@given(st.lists(st.lists(st.integers(0, 300), max_size=30), max_size=12))
def test_spans_hold_exactly_what_was_added(rounds: list[list[int]]) -> None:
    """While there are few spans they are exact, also after packing."""
    spans, wanted = Spans(), set()
    for positions in rounds:
        spans.add(positions)
        wanted |= set(positions)
        spans = Spans(spans.packed())
    assert {position for position in range(302) if position in spans} == wanted


def test_too_many_spans_are_joined_on_the_safe_side() -> None:
    """What was seen stays seen; what lies beyond the last is still new; the size is bounded."""
    spans = Spans()
    spans.add(range(0, 10 * MOST, 2))
    assert all(position in spans for position in range(0, 10 * MOST, 2))
    assert 10 * MOST not in spans
    assert 10 * MOST - 3 not in spans
    assert len(spans.packed()) < 20 * MOST


@given(st.lists(st.binary(min_size=1, max_size=200).map(bytes.hex).map(str.encode), min_size=1, max_size=300), st.integers(1, 64))
def test_blocks_give_back_their_lines(lines: list[bytes], room: int) -> None:
    """Cutting and packing lose and reorder nothing, and no block is too large."""
    runs = codec.cut(lines, room)
    assert [line for run in runs for line in codec.unpack(codec.pack(run))] == lines
    assert all(len(run) <= codec.BLOCK_DOCS for run in runs)
    packed, sizes = codec.pack_all(runs)
    assert packed == b"".join(map(codec.pack, runs))
    assert sizes == [len(codec.pack(run)) for run in runs]
    for run in runs:
        block = codec.Block(codec.pack(run))
        assert ([block.line(number) for number in reversed(range(block.count))], block.lines()) == (list(reversed(run)), run)


def test_long_documents_get_blocks_of_their_own() -> None:
    """A megabyte is not read for the sake of its neighbour."""
    assert [len(run) for run in codec.cut([b"x" * 1_000_000, b"y", b"z" * 300_000, b"a"])] == [1, 1, 1, 1]


def test_what_json_cannot_hold_is_kept_as_text() -> None:
    """Lone surrogates and huge integers never stop a batch."""
    assert codec.load(codec.dump({"a": "\udcff", "b": 2**70, "c": [1, "\ud800"]})) == {"a": "\\udcff", "b": str(2**70), "c": [1, "\\ud800"]}


def test_a_damaged_block_is_corruption() -> None:
    """A flipped bit never gives a wrong document: the frame has a checksum."""
    data = bytearray(codec.pack([b'{"a":1}'] * 10))
    for place in range(4, len(data)):
        data[place] ^= 4
        with suppress(StoreCorrupt):
            assert codec.unpack(bytes(data)) == [b'{"a":1}'] * 10  # the bit was one that nothing depends on
            assert codec.Block(bytes(data)).line(9) == b'{"a":1}'
        data[place] ^= 4


@pytest.mark.parametrize("name", ["events-a-2026.13-1.db", "events-a-2026.11-x.db", "x.db", "events-a-2026.11-1.db-wal", "other-2026.11-1.db"])
def test_other_files_are_no_event_files(name: str) -> None:
    """What lies about in the folder is left alone."""
    assert parse_name(name) is None
    assert parse_name(Name("web", _MONTH, 3).file) == Name("web", _MONTH, 3)


def test_the_lock_names_its_holder_until_it_is_released(tmp_path: Path) -> None:
    """Nobody, this process, nobody again."""
    assert lock.holder(tmp_path) == 0
    held = lock.PipelineLock(tmp_path)
    assert lock.holder(tmp_path) > 0
    held.release()
    held.release()
    assert lock.holder(tmp_path) == 0


@pytest.mark.parametrize("named", ["", "4194305\n"])
def test_who_only_looks_keeps_nobody_out_however_long_it_takes(tmp_path: Path, named: str) -> None:
    """Nobody is named, or a process that has ended: whoever has the lock then is only looking, and is waited for."""
    (tmp_path / lock.FILE).write_text(named, encoding="ascii")
    with (tmp_path / lock.FILE).open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        ended = threading.Timer(0.5, lambda: fcntl.flock(looking, fcntl.LOCK_UN))
        ended.start()
        held = lock.PipelineLock(tmp_path)
        ended.join()
    assert lock.holder(tmp_path) == os.getpid()
    with pytest.raises(Locked, match=str(os.getpid())):
        lock.PipelineLock(tmp_path)
    held.release()
    assert lock.holder(tmp_path) == 0


@pytest.mark.parametrize("kind", [lock.PipelineLock, lock.RepairLock])
def test_a_lock_that_cannot_name_its_holder_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[lock.PipelineLock | lock.RepairLock]
) -> None:
    """The disk is full where it is written: said so, and once there is room it is got, in the same process."""

    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(StoreFull):
            kind(tmp_path)
    kind(tmp_path).release()


def test_batches_of_any_size_are_written_by_few_different_statements() -> None:
    """Each row is there once, in its order; statements that stay prepared hold memory, so their number does not grow with the sizes that batches have."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, x INTEGER)")
        sizes: set[int] = set()
        db.set_trace_callback(lambda sql: sizes.add(sql.count("),(") + 1))
        rows: list[tuple[int, int]] = []
        for size in range(0, 1_300, 7):
            more = [(len(rows) + place, size) for place in range(size)]
            insert_many(db, "INSERT INTO t", more)
            rows += more
        db.set_trace_callback(None)
        assert db.execute("SELECT n, x FROM t ORDER BY n").fetchall() == rows
    assert len(sizes) <= 30


@given(st.lists(st.integers(), unique=True, max_size=1_200))
def test_keys_are_asked_for_in_lists_of_few_lengths(keys: list[int]) -> None:
    """All keys and no other, as many places as values, of three lengths at most."""
    found = list(key_lists(keys))
    assert {key for _, values in found for key in values} == set(keys)
    assert all(places.count("?") == len(values) for places, values in found)
    assert {len(values) for _, values in found} <= {10, 50, 250}
