"""Both framings of RFC 6587, mixed, broken and cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.adapters.syslog.framing import Deframer, Frame


def run(parts: list[bytes], most: int = 100) -> list[Frame]:
    frames = Deframer(most)
    out = [frame for part in parts for frame in frames.feed(part)]
    return out + frames.finish()


@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b"<1>a\n<2>b\r\n<3>c\0<4>d", [b"<1>a", b"<2>b", b"<3>c", b"<4>d"]),
        (b"4 <1>a5 <2>bc", [b"<1>a", b"<2>bc"]),
        (b"6 <1>a\nb4 <2>c", [b"<1>a\nb", b"<2>c"]),
        (b"4 <1>a\n4 <2>b\n", [b"<1>a", b"<2>b"]),
        (b"4 <1>a<2>b\n4 <3>c", [b"<1>a", b"<2>b", b"<3>c"]),
        (b"4 <1>abc\n4 <2>d", [b"<1>a", b"bc", b"<2>d"]),
        (b"9 <1>a4 <2>b\n4 <3>c", [b"<1>a4 <2>", b"b", b"<3>c"]),
        (b"99999999 <1>a\n<2>b\n", [b"99999999 <1>a", b"<2>b"]),
        (b"123456789 <1>a\n", [b"123456789 <1>a"]),
        (b"2026 is no count\n\n\n04 <1>a\n", [b"2026 is no count", b"04 <1>a"]),
        (b"12", [b"12"]),
        (b"", []),
    ],
)
def test_each_frame_says_what_it_is(data: bytes, records: list[bytes]) -> None:
    """Counted and delimited records follow each other; a wrong count costs only what it touches."""
    assert [raw for raw, _lost in run([data])] == records


def test_overlong_records_keep_their_beginning() -> None:
    """In both framings, over many segments, and the rest is counted."""
    data = b"<1>" + b"x" * 500 + b"\n300 <2>" + b"y" * 297 + b"<3>z\n250 <4>" + b"w" * 50
    assert [(len(raw), lost) for raw, lost in run([data])] == [(100, 403), (100, 200), (4, 0), (53, 197)]


PIECES = st.lists(
    st.sampled_from([b"<1>a", b"\n", b"\r\n", b"\0", b"4 <1>b", b"12 <2>cd\nef", b"7 ", b"9", b"<", b" ", b"x" * 30, b"150 <9>", b"8888888888"]), max_size=14
).map(b"".join)


@settings(max_examples=500, deadline=None)
@given(PIECES, st.lists(st.integers(0, 200), max_size=8), st.sampled_from([5, 20, 100]))
def test_any_split_into_segments_gives_the_same_records(data: bytes, cuts: list[int], most: int) -> None:
    """TCP keeps no borders, so none may matter: not even one byte at a time."""
    borders = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    whole = run([data], most)
    assert run([data[a:b] for a, b in pairwise(borders)], most) == whole
    assert run([data[at : at + 1] for at in range(len(data))], most) == whole
    assert all(len(raw) <= most for raw, _lost in whole)
