"""Signals: what a correlation is told of an event that one of its rules matched, and nothing else of it.

A signal is small, plain and complete: the log of signals is all that correlation needs, now and in a replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec


class Signal(msgspec.Struct, array_like=True, gc=False):
    """One event in one group of one correlation.

    `ts`: usable event time, microseconds. `key`: the scope, then the folded group values; two values are one group where
    an equality test of a rule would say so. `rules`: bit n set = the event matched `Correlation.rules[n]`. `values`: what
    is counted or computed with (texts; integers or `numerator/denominator`). `shown`: the group values as in the event.
    `shape`: what the correlation asked for when the signal was made (`soc.rules.signals.shape_of`): a rule that asks for
    something else since must not be told it.
    """

    ts: int
    key: tuple[str, ...]
    id: str
    rules: int
    correlation: str
    values: tuple[str | int, ...] = ()
    shown: tuple[str, ...] = ()
    shape: str = ""


def is_asked_for(signal: Signal, since_us: int, of: Mapping[str, int] | None) -> bool:
    """Whether a signal is of an event at or after a time, and of one of the correlations `of` at or after its own (None = of any)."""
    return signal.ts >= since_us and (of is None or signal.ts >= of.get(signal.correlation, signal.ts + 1))


_SIGNALS = msgspec.msgpack.Decoder(list[Signal])
MOST_AT_ONCE = 5_000


def pack(signals: Sequence[Signal]) -> bytes:
    """Signals as stores and topics keep them."""
    return msgspec.msgpack.encode(signals)


def unpack(body: bytes) -> list[Signal]:
    """The signals that `pack` wrote.

    Raises: msgspec.MsgspecError.
    """
    return _SIGNALS.decode(body)


def blocks(signals: Sequence[Signal]) -> Iterable[Sequence[Signal]]:
    """Signals cut into parts of a size that every store takes as one value."""
    return (signals[begin : begin + MOST_AT_ONCE] for begin in range(0, len(signals), MOST_AT_ONCE))
