"""Signals survive storing exactly, in parts that every store takes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.model.signal import MOST_AT_ONCE, Signal, blocks, pack, unpack

TEXT = st.text(max_size=20)
SIGNALS = st.builds(
    Signal,
    st.integers(-(2**62), 2**62),
    st.lists(TEXT, min_size=1, max_size=4).map(tuple),
    TEXT,
    st.integers(0, 2**63),
    TEXT,
    st.lists(st.one_of(TEXT, st.integers(-(2**63), 2**63)), max_size=4).map(tuple),
    st.lists(TEXT, max_size=4).map(tuple),
    TEXT,
)


@given(st.lists(SIGNALS, max_size=8))
def test_what_was_packed_comes_back(signals: list[Signal]) -> None:
    """Texts of any language, numbers of any size, in order."""
    assert unpack(pack(signals)) == signals


def test_what_was_not_packed_is_refused() -> None:
    """A damaged value is an error, never other signals."""
    with pytest.raises(msgspec.MsgspecError):
        unpack(pack([Signal(1, ("real",), "e", 1, "c")])[:-3])


@pytest.mark.parametrize("count", [0, 1, MOST_AT_ONCE, MOST_AT_ONCE + 1, 3 * MOST_AT_ONCE])
def test_blocks_leave_nothing_out(count: int) -> None:
    """They are at most so long, and together what was given."""
    signals = [Signal(number, ("real",), str(number), 1, "c") for number in range(count)]
    cut = list(blocks(signals))
    assert [signal for block in cut for signal in block] == signals
    assert all(0 < len(block) <= MOST_AT_ONCE for block in cut)
