from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.rules.correlate import Bounds, CorrelationAlert, Correlator, plain
from soc.rules.correlate_naive import alerts
from soc.rules.correlation import Bound, Correlation
from soc.rules.signals import Signal
from tests.rules.correlations import SECOND, at, correlations, rule, signals

Flat = tuple[object, ...]


def folded(rules: Sequence[Correlation], found: Iterable[Signal], horizon: int, begin: int | None = None) -> list[CorrelationAlert]:
    """The last revisions of all alerts, everything added before time passes."""
    fold = Correlator(rules)
    if begin is not None:
        fold.begin(begin)
    for signal in found:
        fold.add(signal)
    return last(fold.advance(horizon + 1, final=True))


def last(told: Iterable[CorrelationAlert]) -> list[CorrelationAlert]:
    """The last revision of each alert."""
    return sorted({alert.id: alert for alert in told}.values(), key=lambda alert: (alert.rule, alert.id))


def flat(found: Iterable[CorrelationAlert]) -> list[Flat]:
    """What the naive oracle says of an alert, too."""
    return sorted(
        (alert.rule, alert.scope, tuple(alert.group.values()), alert.at, alert.end, alert.first, tuple(alert.members), alert.measure, alert.last_measure)
        for alert in found
    )


def naive(rules: Sequence[Correlation], found: Iterable[Signal], horizon: int, begin: int) -> list[Flat]:
    """The same from the oracle."""

    def shown(value: object) -> object:
        return plain(value) if value is not None else None  # type: ignore[arg-type]

    return sorted(
        (one.rule, one.key[0], one.shown, one.at, one.end, one.first, one.members, shown(one.measure), shown(one.last_measure))
        for one in alerts(rules, found, horizon, {"real": begin})
    )


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_the_fold_equals_the_naive_oracle(data: st.DataObject) -> None:
    """Whatever the rule and the signals: same episodes, same members, same measures."""
    one = data.draw(correlations())
    found = data.draw(signals(one))
    horizon = data.draw(st.integers(40, 60))
    assert flat(folded([one], found, horizon, begin=0)) == naive([one], found, horizon, 0)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_order_within_the_lateness_gives_the_same_alerts(data: st.DataObject) -> None:
    """Cut into batches at random, shuffled within the lateness, some told twice: byte for byte the same last revisions."""
    one = data.draw(correlations())
    found = sorted(data.draw(signals(one)), key=lambda signal: signal.ts)
    lateness = data.draw(st.integers(0, 15))
    expected = msgspec.json.encode(folded([one], found, 60, begin=0))
    seed = random.Random(data.draw(st.integers(0, 1 << 30)))
    # Delaying each signal by at most the lateness is every order that the lateness allows.
    arriving = sorted(found + seed.sample(found, len(found) // 3), key=lambda signal: signal.ts + seed.uniform(0, lateness))
    fold = Correlator([one])
    fold.begin(0)
    told: list[CorrelationAlert] = []
    newest = 0
    for signal in arriving:
        fold.add(signal)
        newest = max(newest, signal.ts)
        if seed.random() < 0.5:
            told += fold.advance(newest - lateness)
    told += fold.advance(61, final=True)
    assert fold.dropped == 0
    assert msgspec.json.encode(last(told)) == expected
