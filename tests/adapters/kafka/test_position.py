from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.adapters.kafka.position import Headers, read_headers, write_headers
from tests.adapters.kafka.conftest import record

_words = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60)


@given(_words, st.integers(0, 10**15), st.integers(0, 10**9 - 1), st.booleans(), st.integers(0, 10**9))
def test_headers_carry_a_record_through(stream: str, seq: int, sub: int, heartbeat: bool, cut: int) -> None:
    """What is written is read back, whatever the names of collector and stream."""
    original = record(seq, origin=f"collector:c1/{stream}", sub=sub, heartbeat=heartbeat, truncated_bytes=cut, fault="x" if cut else "")
    said = read_headers(write_headers(original))
    assert (said.origin, said.origin_seq, said.sub) == (original.origin, seq, sub)
    assert (said.received_us, said.host, said.heartbeat, said.truncated_bytes, said.fault) == (
        original.received_us,
        original.host,
        heartbeat,
        cut,
        original.fault,
    )
    assert said.valid


def test_positions_of_files_stay_theirs() -> None:
    """A line of a file keeps its file position, so that it has one id on either way."""
    assert read_headers(write_headers(record(9, origin="file:gate/ab12"))).origin == "file:gate/ab12"


@pytest.mark.parametrize(
    "value", [b"", b"c1/edge/7", b"c1/edge/7/x", b"/7/0", b"c1/edge/-7/0", b"c1/edge/" + b"9" * 19 + b"/0", b"c1/a b/7/0", b"c1/edge/\xd9\xa7/0"]
)
def test_an_invalid_position_is_told(value: bytes) -> None:
    """What is no position is not used."""
    said = read_headers([("soc-pos", value)])
    assert (said.origin, said.valid) == ("", False)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["soc-pos", "soc-received", "soc-host", "soc-truncated", "soc-heartbeat", "soc-fault", "x"]), st.none() | st.binary(max_size=600)
        )
    )
)
def test_hostile_headers_never_raise(headers: list[tuple[str, bytes | None]]) -> None:
    """Headers of anybody give bounded values."""
    said = read_headers(headers)
    assert len(said.host) <= 255
    assert len(said.fault) <= 300
    assert 0 <= said.received_us <= 1 << 53


def test_without_headers_nothing_is_said() -> None:
    """A foreign record has no position, which is no fault."""
    assert read_headers([]) == Headers()
