"""What was packed comes out again, whatever the format, and never more than the limit."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from contextlib import suppress

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from soc.adapters.kafka.packing import GZIP, LZ4, SNAPPY, ZSTD, TooLargeError, UnpackError, unpack
from tests.adapters.kafka.packed import CODECS, pack

MIB = 1 << 20
EACH = pytest.mark.parametrize("codec", CODECS, ids=CODECS.values())


@EACH
@given(data=st.one_of(st.binary(max_size=2_000), st.lists(st.sampled_from([b"srcip=192.0.2.1 ", b"x" * 64, b"\0"])).map(b"".join)))
def test_what_was_packed_comes_out(codec: int, data: bytes) -> None:
    """Byte for byte, at a limit that just fits; one byte less is too little."""
    packed = pack(codec, data)
    assert unpack(codec, memoryview(packed), len(data)) == data
    if data:
        with pytest.raises(TooLargeError):
            unpack(codec, packed, len(data) - 1)


@EACH
def test_a_bomb_takes_no_more_memory_than_the_limit(codec: int) -> None:
    """32 MiB of nothing, held to one."""
    packed = pack(codec, bytes(32 * MIB))
    tracemalloc.start()
    tracemalloc.reset_peak()
    try:
        with pytest.raises(TooLargeError):
            unpack(codec, packed, MIB)
        assert tracemalloc.get_traced_memory()[1] < 6 * MIB + len(packed)
    finally:
        tracemalloc.stop()


@EACH
@given(data=st.data())
def test_broken_bytes_are_told(codec: int, data: st.DataObject) -> None:
    """Cut off or changed anywhere: bytes within the limit, or one of the two errors."""
    packed = bytearray(pack(codec, b"date=2026-11-21 srcip=192.0.2.1 " * 40 + bytes(200)))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] = data.draw(st.integers(0, 255))
    cut = bytes(packed[: data.draw(st.integers(0, len(packed)))])
    with suppress(TooLargeError, UnpackError):
        assert len(unpack(codec, cut, 4_096)) <= 4_096


@EACH
@given(packed=st.binary(max_size=300))
def test_any_bytes_are_told(codec: int, packed: bytes) -> None:
    """Bytes of no format at all."""
    with suppress(TooLargeError, UnpackError):
        assert len(unpack(codec, packed, 4_096)) <= 4_096


def test_formats_without_a_name_are_told() -> None:
    """Kafka has numbers left."""
    with pytest.raises(UnpackError, match="no name"):
        unpack(5, b"", 10)


def test_several_gzip_members_are_one_text_and_very_many_are_refused() -> None:
    """As the client reads them; each copies what follows, so their number has a bound."""
    assert unpack(GZIP, gzip.compress(b"one ") + gzip.compress(b"two") + b"\0\0", 100) == b"one two"
    with pytest.raises(UnpackError, match="members"):
        unpack(GZIP, gzip.compress(b"") * 1_001, 100)


def test_several_zstd_frames_are_one_text() -> None:
    """As the client reads them."""
    packer = zstandard.ZstdCompressor()
    assert unpack(ZSTD, packer.compress(b"one ") + packer.compress(b"two"), 100) == b"one two"


def test_a_size_that_lies_takes_no_memory() -> None:
    """A head that promises an exabyte, in the formats that have one."""
    frame = bytearray(lz4.frame.compress(bytes(1_000), store_size=True))
    frame[6:14] = struct.pack("<Q", 1 << 60)
    block = b"\xff\xff\xff\xff\x0f" + b"\0a"
    tracemalloc.start()
    tracemalloc.reset_peak()
    try:
        for codec, packed in ((LZ4, bytes(frame)), (SNAPPY, block)):
            with pytest.raises((TooLargeError, UnpackError)):
                unpack(codec, packed, MIB)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("block", "data"),
    [
        (b"\x05\x10hello", b"hello"),
        (b"\x0a\x00a\x15\x01", b"a" * 10),
        (b"\x08\x04ab\x16\x02\x00", b"ab" * 4),
        (b"\x08\x04ab\x17\x02\x00\x00\x00", b"ab" * 4),
        (b"\x46\xf0\x3f" + b"x" * 64 + b"\x09\x40\x00\x00", None),
    ],
)
def test_elements_of_snappy(block: bytes, data: bytes | None) -> None:
    """Literals and copies of each width, those that repeat themselves too.   Source: google/snappy, format_description.txt."""
    if data is None:
        with pytest.raises(UnpackError):
            unpack(SNAPPY, block, 100)
    else:
        assert unpack(SNAPPY, block, 100) == data
