"""The spool: durable before it is acknowledged, readable after anything."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from soc.adapters.spool import Spool
from soc.adapters.spool.frames import MAGIC, pack
from soc.errors import ConfigError, Locked, NotAllowed, StoreFull
from soc.model.record import RawRecord

BIG = 1 << 30


def batch(first: int, last: int) -> list[tuple[bytes, int, str, int]]:
    return [(b"line %d " % number + b"x" * (number % 300), 1000 + number, "192.0.2.1", number % 2) for number in range(first, last)]


def read(spool: Spool, stream: str = "fw", at: int | None = None) -> list[RawRecord]:
    source = spool.source(stream)
    source.open({} if at is None else {source.partition: at})
    out: list[RawRecord] = []
    while got := source.poll(97, 0):
        out += got
    assert source.lag() == {source.partition: 0}
    return out


def test_what_was_appended_comes_back_with_dense_numbers(tmp_path: Path) -> None:
    """Bytes, sender, time and truncation are kept; the identity outlives a restart; heartbeats are marked."""
    spool = Spool(tmp_path, most_bytes=BIG)
    spool.append("fw", batch(0, 500))
    spool.append_heartbeat("fw", 77)
    spool.close()
    again = Spool(tmp_path, most_bytes=BIG)
    again.append("fw", batch(501, 600))
    records = read(again)
    assert again.collector == spool.collector
    assert [record.seq for record in records] == list(range(600))
    assert [record.next for record in records] == list(range(1, 601))
    assert [(record.raw, record.received_us, record.host, record.truncated_bytes) for record in records if not record.heartbeat] == batch(0, 500) + batch(
        501, 600
    )
    assert [(record.seq, record.received_us) for record in records if record.heartbeat] == [(500, 77)]
    assert {(record.partition, record.origin) for record in records} == {(f"collector:{spool.collector}/fw",) * 2}
    assert [record.seq for record in read(again, at=555)] == list(range(555, 600))
    again.close()


def test_read_segments_are_removed_and_the_numbers_go_on(tmp_path: Path) -> None:
    """The bound is on what is kept: after a commit there is room again, and positions stay valid over a restart."""
    spool = Spool(tmp_path, most_bytes=1 << 20)

    def fill() -> None:
        for first in range(0, 100_000, 100):
            spool.append("fw", batch(first, first + 100))

    with pytest.raises(StoreFull, match="is full"):
        fill()
    count = spool.stream("fw").next_seq
    source = spool.source("fw")
    source.open({})
    records: list[RawRecord] = []
    while got := source.poll(1000, 0):
        records += got
    assert [record.seq for record in records] == list(range(count))
    source.commit({source.partition: count})
    assert len(list((tmp_path / "streams" / "fw").glob("*.seg"))) == 1
    spool.append("fw", batch(0, 10))
    spool.close()
    spool = Spool(tmp_path, most_bytes=1 << 20)
    assert [record.seq for record in read(spool, at=count)] == list(range(count, count + 10))
    spool.close()


@pytest.mark.parametrize("point", ["spool-identity-written", "spool-segment-created", "spool-written", "spool-synced", "spool-segment-removed"])
def test_killed_at_any_step_everything_acknowledged_is_there(tmp_path: Path, point: str) -> None:
    """Killed at each step: the acknowledged records are a prefix of what is read, nothing is torn, numbers are dense."""
    code = f"""
import os, signal, sys
from pathlib import Path
from soc.adapters.spool import Spool
seen = 0
def crash(name):
    global seen
    if name == {point!r}:
        seen += 1
        if seen == {1 if "identity" in point else 3}:
            os.kill(os.getpid(), signal.SIGKILL)
spool = Spool(Path({str(tmp_path)!r}), most_bytes=1 << 20, crash=crash)
source = spool.source("fw")
source.open({{}})
for first in range(0, 100000, 200):
    spool.append("fw", [(b"line %d " % n + b"x" * 300, n, "", 0) for n in range(first, first + 200)])
    os.write(1, b"%d\\n" % (first + 200))
    if {point!r} == "spool-segment-removed":
        got = source.poll(10000, 0)
        source.commit({{source.partition: got[-1].next}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=600, cwd=Path(__file__).parents[3])
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    acknowledged = int(done.stdout.split()[-1]) if done.stdout else 0
    spool = Spool(tmp_path, most_bytes=BIG)
    records = read(spool)
    assert not any(record.fault for record in records)
    assert [record.raw for record in records] == [b"line %d " % record.seq + b"x" * 300 for record in records]
    if records:
        assert [record.seq for record in records] == list(range(records[0].seq, records[-1].seq + 1))
    assert spool.stream("fw").next_seq >= acknowledged
    spool.append("fw", batch(0, 3))
    assert [record.raw for record in read(spool)[-3:]] == [raw for raw, *_ in batch(0, 3)]
    spool.close()


@pytest.mark.parametrize("cut", [1, 15, 25, 60])
def test_a_torn_end_is_cut_off(tmp_path: Path, cut: int) -> None:
    """A power cut may leave part of a frame; it was never acknowledged."""
    spool = Spool(tmp_path, most_bytes=BIG)
    spool.append("fw", batch(0, 10))
    spool.close()
    (segment,) = (tmp_path / "streams" / "fw").glob("*.seg")
    whole = segment.read_bytes()
    segment.write_bytes(whole + pack(10, b"x" * 100, 1, "", 0)[:cut])
    spool = Spool(tmp_path, most_bytes=BIG)
    spool.append("fw", batch(10, 12))
    assert [record.raw for record in read(spool)] == [raw for raw, *_ in batch(0, 12)]
    spool.close()


def test_damage_in_the_middle_loses_only_what_it_hit(tmp_path: Path) -> None:
    """Each lost number comes as a fault record, and reading goes on behind the damage, in sealed and in open segments."""
    spool = Spool(tmp_path, most_bytes=1 << 20)
    for first in range(0, 1500, 100):
        spool.append("fw", batch(first, first + 100))
    spool.close()
    segments = sorted((tmp_path / "streams" / "fw").glob("*.seg"))
    assert len(segments) >= 3
    for segment in (segments[0], segments[-1]):
        data = bytearray(segment.read_bytes())
        second = data.index(MAGIC, data.index(MAGIC, 1) + 1)
        data[second + 30] ^= 0xFF
        data[second - 1] ^= 0xFF
        segment.write_bytes(data)
    segments[1].unlink()
    spool = Spool(tmp_path, most_bytes=BIG)
    records = read(spool)
    assert [record.seq for record in records] == list(range(1500))
    lost = {record.seq for record in records if record.fault}
    missing = set(range(int(segments[1].stem), int(segments[2].stem)))
    assert lost == missing | {1, 2} | {int(segments[-1].stem) + 1, int(segments[-1].stem) + 2}
    assert all(record.raw == batch(record.seq, record.seq + 1)[0][0] for record in records if not record.fault)
    spool.close()


def test_a_position_beyond_the_spool_is_never_given_again(tmp_path: Path) -> None:
    """Where the end of the spool was lost after it had been read, new records get new numbers."""
    spool = Spool(tmp_path, most_bytes=BIG)
    spool.append("fw", batch(0, 5))
    source = spool.source("fw")
    source.open({source.partition: 9})
    spool.append("fw", batch(0, 2))
    assert [record.seq for record in source.poll(10, 0)] == [9, 10]
    spool.close()


def test_a_full_disk_refuses_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """The error reaches the sender; when there is room again, the stream goes on without a hole."""
    spool = Spool(tmp_path, most_bytes=BIG)
    spool.append("fw", batch(0, 10))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        with pytest.raises(StoreFull, match="cannot grow"):
            spool.append("fw", batch(10, 200))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    spool.append("fw", batch(10, 20))
    assert [record.raw for record in read(spool)] == [raw for raw, *_ in batch(0, 20)]
    spool.close()


def test_two_processes_cannot_hold_one_spool(tmp_path: Path) -> None:
    """The second is told which process has it."""
    spool = Spool(tmp_path, most_bytes=BIG)
    with pytest.raises(Locked) as caught:
        Spool(tmp_path, most_bytes=BIG)
    assert caught.value.pid == os.getpid()
    with pytest.raises(ConfigError):
        spool.append("../up", batch(0, 1))
    spool.close()
    Spool(tmp_path, most_bytes=BIG).close()


def test_only_its_owner_reads_a_spool(tmp_path: Path) -> None:
    """Also in a folder that lets everybody in."""
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o755)
    before = os.umask(0o022)
    try:
        spool = Spool(folder, most_bytes=BIG)
        spool.append("fw", batch(0, 5))
        spool.close()
    finally:
        os.umask(before)
    assert [path for path in folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o077] == []


def test_streams_of_sources_that_are_gone_are_known(tmp_path: Path) -> None:
    """After a source was renamed its unread lines are still there, and counted from the store's position on."""
    spool = Spool(tmp_path, most_bytes=BIG)
    spool.append("old", batch(0, 5))
    spool.append("read", batch(0, 3))
    spool.close()
    again = Spool(tmp_path, most_bytes=BIG)
    read_to = {again.source("read").partition: 3, again.source("old").partition: 2}
    assert again.unread(read_to) == {"old": 3, "read": 0}
    assert again.unread({}) == {"old": 5, "read": 3}
    again.close()


def test_a_folder_that_cannot_be_made_is_not_allowed(tmp_path: Path) -> None:
    """Where nothing may be written, the error is that of every other command there, and names the folder and the reason."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(NotAllowed, match=r"file/spool cannot be made: Not a directory") as told:
        Spool(tmp_path / "file" / "spool", most_bytes=1 << 20)
    assert "data_dir" in told.value.hint
