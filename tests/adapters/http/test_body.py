"""Bodies become records within bounds, whatever they hold."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from soc.adapters.http.body import MOST_RECORDS, BadLine, TooLarge, decompress, records


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)))
def test_every_line_that_says_something_is_a_record(lines: list[bytes]) -> None:
    """Blank lines are none; a carriage return at the end belongs to the line end."""
    expected = [line.rstrip(b"\r") for line in lines if line.strip()]
    assert records(b"\n".join(lines), ndjson=False, most=100) == [(line, 0) for line in expected]


def test_a_long_line_is_cut_and_says_by_how_much() -> None:
    """What is beyond the bound of a record is counted; NDJSON is refused there, as its rest would be no JSON."""
    assert records(b"abcdef\nxy", ndjson=False, most=4) == [(b"abcd", 2), (b"xy", 0)]
    with pytest.raises(BadLine, match="line 2"):
        records(b'{}\n{"a": 1}', ndjson=True, most=4)


@pytest.mark.parametrize("body", [b"\n" * (MOST_RECORDS + 1), b"a\n" * (MOST_RECORDS + 1)])
def test_a_body_of_line_ends_is_refused_before_it_is_taken_apart(body: bytes) -> None:
    """The lines of a body are bounded by number too: taking them apart first would cost many times the body."""
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="100,000 lines"):
            records(body, ndjson=False, most=100)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", gzip.compress(bytes(50_000_000))), ("zstd", zstandard.compress(bytes(50_000_000))), ("x-gzip", zlib.compress(bytes(50_000_000), wbits=31))],
)
def test_a_bomb_makes_no_more_than_the_bound(encoding: str, body: bytes) -> None:
    """Fifty megabytes out of a few kilobytes: refused, and never made."""
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            decompress(body, encoding, 100_000)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
