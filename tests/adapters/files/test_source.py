"""Files as a source of records: identity, rotation, compression, bad input."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.adapters.files import FileRecordSource
from soc.adapters.files.stream import HEAD, Lines
from soc.clock import FrozenClock
from soc.config import FileSource
from soc.errors import ConfigError, SourceUnavailable
from soc.model.record import RawRecord


def source(*paths: Path | str, follow: bool = False, most: int = 65_536) -> FileRecordSource:
    return FileRecordSource(
        "f", FileSource(type="file", paths=[str(path) for path in paths], follow=follow, max_record_bytes=most), clock=FrozenClock(1_795_222_800_000_000)
    )


def read_all(src: FileRecordSource, *, most: int = 7, rounds: int = 40) -> list[RawRecord]:
    """All records; a followed source is polled until it gave nothing for long enough that every pause inside has passed."""
    out: list[RawRecord] = []
    idle = 0
    while not src.exhausted() and idle < rounds:
        got = src.poll(most, 0.3)
        idle = 0 if got else idle + 1
        out += got
    return out


def lines(first: int, last: int) -> bytes:
    return b"".join(b"line %06d of the log with some text\n" % number for number in range(first, last))


def raws(records: Iterable[RawRecord]) -> bytes:
    return b"".join(record.raw + b"\n" for record in records)


def partition(content: bytes) -> str:
    return "file:f/" + hashlib.sha256(content[:HEAD]).hexdigest()[:32]


def test_a_file_read_once_gives_every_line_with_its_offset(tmp_path: Path) -> None:
    """Positions are byte offsets that chain without a hole, line ends are cut, the last line needs none."""
    content = b"one\r\ntwo\n\n" + lines(0, 100) + b"last"
    (tmp_path / "a.log").write_bytes(content)
    src = source(tmp_path / "a.log")
    src.open({})
    records = read_all(src)
    assert [record.raw for record in records[:3]] == [b"one", b"two", b""]
    assert records[-1].raw == b"last"
    assert [record.next for record in records[:-1]] == [record.seq for record in records[1:]]
    assert (records[0].seq, records[-1].next) == (0, len(content))
    assert {record.partition for record in records} == {partition(content)}
    assert all((record.origin, record.origin_seq) == (record.partition, record.seq) for record in records)
    assert src.exhausted()
    assert not any(src.lag().values())


def test_reading_goes_on_at_the_position_kept_under_any_name_and_compressed(tmp_path: Path) -> None:
    """Renamed, copied or compressed, a log is the same partition and is not read twice."""
    content = lines(0, 200)
    (tmp_path / "a.log").write_bytes(content)
    src = source(tmp_path / "a.log")
    src.open({})
    half = src.poll(77, 0)
    rest_at = {half[-1].partition: half[-1].next}
    with gzip.open(tmp_path / "b.gz", "wb") as out:
        out.write(content)
    shutil.copy(tmp_path / "a.log", tmp_path / "c.log")
    src = source(tmp_path / "b.gz", tmp_path / "c.log", tmp_path / "a.log")
    src.open(rest_at)
    rest = read_all(src)
    assert raws(half) + raws(rest) == content
    assert {record.partition for record in rest} == {partition(content)}


def test_a_followed_file_waits_for_its_name_and_for_line_ends(tmp_path: Path) -> None:
    """Nothing is handed over before 1,024 bytes name the partition, and no unfinished line."""
    path = tmp_path / "a.log"
    path.write_bytes(lines(0, 5))
    src = source(path, follow=True)
    src.open({})
    assert read_all(src) == []
    with path.open("ab") as log:
        log.write(lines(5, 40) + b"unfin")
    records = read_all(src)
    assert raws(records) == lines(0, 40)
    assert sum(src.lag().values()) == 0
    with path.open("ab") as log:
        log.write(b"ished\n")
    assert [record.raw for record in read_all(src)] == [b"unfinished"]
    assert not src.exhausted()


@pytest.mark.parametrize("pattern", ["a.log", "a.log*"])
def test_rotation_by_rename_loses_and_repeats_nothing(tmp_path: Path, pattern: str) -> None:
    """What was written before, during and after the rename is read once, whether or not the old name is looked at."""
    path = tmp_path / "a.log"
    path.write_bytes(lines(0, 50))
    src = source(tmp_path / pattern, follow=True)
    src.open({})
    got = src.poll(10, 1)
    path.rename(tmp_path / "a.log.1")
    with (tmp_path / "a.log.1").open("ab") as old:
        old.write(lines(50, 60))
    path.write_bytes(lines(60, 120))
    got += read_all(src)
    assert sorted(record.raw + b"\n" for record in got) == lines(0, 120).splitlines(keepends=True)
    with gzip.open(tmp_path / "a.log.1.gz", "wb") as packed:
        packed.write((tmp_path / "a.log.1").read_bytes())
    (tmp_path / "a.log.1").unlink()
    assert read_all(src, rounds=100) == []


def test_rotation_by_copy_and_truncate_begins_a_new_partition(tmp_path: Path) -> None:
    """After the truncation the file is another stream; what was not read before it comes from the copy."""
    path = tmp_path / "a.log"
    path.write_bytes(lines(0, 50))
    src = source(tmp_path / "a.log*", follow=True)
    src.open({})
    got = read_all(src)
    with path.open("ab") as log:
        log.write(lines(50, 60))
    shutil.copy(path, tmp_path / "a.log.1")
    os.truncate(path, 0)
    with path.open("ab") as log:
        log.write(lines(100, 250))
    got += read_all(src)
    assert sorted(record.raw + b"\n" for record in got) == (lines(0, 60) + lines(100, 250)).splitlines(keepends=True)
    assert {record.partition for record in got} == {partition(lines(0, 50)), partition(lines(100, 250))}


def test_a_short_file_that_was_rotated_away_is_named_by_all_its_bytes(tmp_path: Path) -> None:
    """A followed file that never reached 1,024 bytes is read when it is finished, its last line too."""
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntwo")
    src = source(path, follow=True)
    src.open({})
    assert src.poll(10, 0) == []
    path.unlink()
    records = read_all(src)
    assert [record.raw for record in records] == [b"one", b"two"]
    assert records[0].partition == partition(b"one\ntwo")


def read_on(path: Path, positions: dict[str, int], **how: bool) -> list[RawRecord]:
    """What is read of a file from these positions on, which move along; as each start of the program does it."""
    src = source(path, **how)
    src.open(positions)
    records = read_all(src)
    src.close()
    positions.update({record.partition: record.next for record in records})
    return records


def test_a_short_file_that_grows_is_read_once(tmp_path: Path) -> None:
    """Short, longer, named by its first 1,024 bytes, then followed: each line comes once, and each name stays what it was."""
    path, positions = tmp_path / "a.log", dict[str, int]()
    content = lines(0, 3)
    path.write_bytes(content)
    first = read_on(path, positions)
    assert raws(first) == content
    assert read_on(path, positions) == []
    steps = [(3, 5), (5, 60), (60, 80)]
    for begin, end in steps:
        with path.open("ab") as log:
            log.write(lines(begin, end))
        content += lines(begin, end)
        records = read_on(path, positions, follow=(begin, end) == steps[-1])
        assert raws(records) == lines(begin, end)
        assert {record.partition for record in records} == {partition(content)}
        assert records[0].seq == len(lines(0, begin))
    with gzip.open(tmp_path / "a.gz", "wb") as packed:
        packed.write(content)
    assert read_on(tmp_path / "a.gz", positions) == []
    path.write_bytes(lines(0, 3))
    assert read_on(path, positions) == []


@pytest.mark.parametrize(
    ("before", "after", "read"),
    [
        (lines(0, 3)[:-1], lines(0, 3) + lines(3, 6), b"\n" + lines(3, 6)),
        (lines(0, 3)[:-5], lines(0, 3), lines(0, 3)),
        (lines(0, 1), lines(0, 6), lines(0, 6)),
        (lines(0, 3), lines(0, 2) + lines(7, 9), lines(0, 2) + lines(7, 9)),
        (lines(0, 60), lines(1, 60), lines(1, 60)),
    ],
)
def test_what_has_not_grown_by_whole_lines_is_read_whole(tmp_path: Path, before: bytes, after: bytes, read: bytes) -> None:
    """A last line that only then was finished, a beginning that may be chance, and other contents: nothing of those is left out."""
    path, positions = tmp_path / "a.log", dict[str, int]()
    path.write_bytes(before)
    read_on(path, positions)
    path.write_bytes(after)
    assert raws(read_on(path, positions)) == read


def test_a_short_file_that_was_not_read_to_its_end_is_read_whole_when_it_grew(tmp_path: Path) -> None:
    """After a kill in the midst nothing says how long it was: its lines come again, and none is left out."""
    path = tmp_path / "a.log"
    path.write_bytes(lines(0, 10))
    src = source(path)
    src.open({})
    some = src.poll(4, 0)
    path.write_bytes(lines(0, 60))
    assert raws(read_on(path, {some[-1].partition: some[-1].next})) == lines(0, 60)


@pytest.mark.parametrize(("after", "told"), [(lines(0, 40) + lines(50, 90), 0), (lines(0, 40)[:1100] + b"x" * 200, 1), (lines(0, 40)[:1100], 1)])
def test_another_file_with_the_same_beginning_is_told(tmp_path: Path, after: bytes, told: int) -> None:
    """One that is shorter than what was read, or whose lines end elsewhere, is hardly the same; one that has grown is."""
    path, positions = tmp_path / "a.log", dict[str, int]()
    path.write_bytes(lines(0, 40))
    read_on(path, positions)
    path.write_bytes(after)
    with structlog.testing.capture_logs() as logs:
        read_on(path, positions)
    assert [entry["offset"] for entry in logs if entry["log_level"] == "warning"] == [len(lines(0, 40))] * told


def test_concatenated_gzip_members_are_one_stream_and_a_torn_tail_is_a_fault(tmp_path: Path) -> None:
    """All that can be decompressed is delivered, then one fault record, which does not come again."""
    first, second = gzip.compress(lines(0, 300)), gzip.compress(os.urandom(30_000).hex().encode() + b"\n" + lines(300, 600))
    path = tmp_path / "a.gz"
    path.write_bytes(first + second)
    src = source(path)
    src.open({})
    whole = read_all(src)
    assert len(whole) == 601
    path.write_bytes(first + second[: len(second) // 2])
    src = source(path)
    src.open({})
    torn = read_all(src)
    assert [record.raw for record in torn[:300]] == [record.raw for record in whole[:300]]
    assert torn[-1].fault.endswith("torn: its end is missing")
    assert [record.fault for record in torn[:-1]] == [""] * (len(torn) - 1)
    assert [record.next for record in torn[:-1]] == [record.seq for record in torn[1:]]
    src.open({torn[-1].partition: torn[-1].next})
    assert read_all(src) == []
    path.write_bytes(first + b"garbage behind")
    src.open({})
    assert "damaged" in read_all(src)[-1].fault


def test_an_overlong_line_keeps_its_beginning_and_says_what_is_lost(tmp_path: Path) -> None:
    """A line of several megabytes costs no more memory than the bound, and the next lines stay where they are."""
    content = b"a\n" + b"x" * 3_000_000 + b"\n" + b"y" * 1001 + b"\nend\n" + b"z" * 5000
    path = tmp_path / "a.log"
    path.write_bytes(content)
    src = source(path, most=1000)
    src.open({})
    records = read_all(src)
    assert [(len(record.raw), record.truncated_bytes, record.fault[:9]) for record in records] == [
        (1, 0, ""), (1000, 2_999_000, "oversized"), (1000, 1, "oversized"), (3, 0, ""), (1000, 4000, "oversized"),
    ]  # fmt: skip
    assert [record.seq for record in records] == [0, 2, 3_000_003, 3_001_005, 3_001_009]
    assert records[-1].next == len(content)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file, a folder, and an empty pattern say which and why."""
    for path, error in ((tmp_path / "no.log", "is not there"), (tmp_path, "is a folder"), (tmp_path / "*.log", "no file fits")):
        with pytest.raises(ConfigError, match=error):
            source(path).open({})


def test_a_file_that_does_not_open_is_unavailable(tmp_path: Path) -> None:
    """What may be mended while we run is tried again, and named."""
    path = tmp_path / "a.log"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        with pytest.raises(SourceUnavailable, match=r"a\.log cannot be read: No such device"):
            source(path).open({})


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=12).map(lambda raw: raw.replace(b"b", b"\n")), max_size=12), st.integers(1, 6))
def test_any_split_into_blocks_gives_the_same_lines(blocks: list[bytes], most: int) -> None:
    """Where reads begin and end changes neither lines nor positions."""

    def run(parts: list[bytes]) -> list[tuple[int, bytes, int]]:
        reader = Lines(most)
        out: list[tuple[int, bytes, int]] = []
        for step in [*(lambda part=part: reader.feed(part) for part in parts if part), reader.finish]:
            at, found, cut = step()
            for line in found:
                out.append((at, line[:most], len(line) + cut))
                at, cut = at + len(line) + cut + 1, 0
        return out

    assert run(blocks) == run([b"".join(blocks)])
