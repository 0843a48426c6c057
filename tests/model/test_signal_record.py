from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from soc.model.signal import Signal
from soc.model.signal_record import SCHEMA, SignalRecord, decode, encode

_US = st.integers(0, 1 << 53)
_TEXT = st.text(max_size=20)
_SIGNALS = st.builds(
    Signal,
    ts=_US,
    key=st.tuples(_TEXT, _TEXT),
    id=_TEXT,
    rules=st.integers(0, (1 << 63) - 1),
    correlation=_TEXT,
    values=st.lists(st.one_of(_TEXT, st.integers(-(1 << 63), (1 << 63) - 1)), max_size=3).map(tuple),
    shown=st.tuples(_TEXT),
    shape=_TEXT,
)


@given(_US, st.dictionaries(_TEXT, _US, max_size=4), st.lists(_SIGNALS, max_size=5), st.dictionaries(_TEXT, _US, max_size=2))
def test_what_was_written_is_read(at_us: int, marks: dict[str, int], signals: list[Signal], begun: dict[str, int]) -> None:
    """Whatever signals hold that UTF-8 can say."""
    assert decode(encode(at_us, marks, signals, begun)) == SignalRecord(at_us, marks, signals, begun, SCHEMA)


@given(st.binary(max_size=200))
def test_anything_else_is_no_record(raw: bytes) -> None:
    """Bytes of strangers are None, or by chance a record; never an error."""
    found = decode(raw)
    assert found is None or found.schema == SCHEMA


@given(st.lists(_SIGNALS, min_size=1, max_size=3), st.data())
def test_a_record_that_was_cut_is_none(signals: list[Signal], data: st.DataObject) -> None:
    """Every byte is needed."""
    raw = encode(1, {"p": 2}, signals)
    assert decode(raw[: data.draw(st.integers(0, len(raw) - 1))]) is None
