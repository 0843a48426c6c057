from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.model.signal import pack, unpack
from soc.rules.correlate import Bounds, CorrelationAlert, Correlator, plain
from soc.rules.correlate_naive import alerts
from soc.rules.correlation import Bound, Correlation
from soc.rules.signals import Extractor, Signal
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


def written(alerts: list[CorrelationAlert]) -> bytes:
    """All that is said of alerts."""
    return msgspec.json.encode(alerts, enc_hook=list)


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


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_it_does_not_matter_when_a_group_is_kept_in_full(data: st.DataObject) -> None:
    """Kept in full after few members instead of 64: the same episodes; cut into batches at random, too."""
    one = data.draw(correlations())
    found = data.draw(signals(one))
    with mock.patch("soc.rules.light.FEW", data.draw(st.sampled_from((2, 3, 4)))):
        fold = Correlator([one])
    fold.begin(0)
    fold.extend(found)
    told: list[CorrelationAlert] = []
    for watermark in sorted(data.draw(st.lists(st.integers(0, 50), max_size=6))):
        told += fold.advance(watermark)
    told += fold.advance(61, final=True)
    assert flat(last(told)) == naive([one], found, 60, 0)


@contextmanager
def packing(together: int) -> Iterator[None]:
    """Members and waiting signals are packed by few instead of 128."""
    with ExitStack() as patches:
        for module in ("groups", "undecided", "episodes"):
            patches.enter_context(mock.patch(f"soc.rules.{module}.TOGETHER", together))
        patches.enter_context(mock.patch("soc.rules.groups._WHOLE", together))
        yield


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_it_does_not_matter_what_is_packed(data: st.DataObject) -> None:
    """Packed after few members instead of many, with few ids kept or all: the same alerts, however time is cut."""
    one = data.draw(correlations())
    found = data.draw(signals(one))
    bounds = Bounds(members=data.draw(st.sampled_from((2, 3, 5, 8, 10_000))))
    cuts = sorted(data.draw(st.lists(st.integers(0, 50), max_size=6)))
    told: list[bytes] = []
    for together in (128, data.draw(st.integers(1, 3))):
        with packing(together), mock.patch("soc.rules.light.FEW", 2):
            fold = Correlator([one], bounds=bounds)
            fold.begin(0)
            fold.extend(found)
            told.append(written([alert for cut in cuts for alert in fold.advance(cut)] + fold.advance(61, final=True)))
    assert told[1] == told[0]


def test_a_wave_beyond_the_bound_is_told_as_plainly_kept() -> None:
    """Thousands in the window, more than ids are kept, some of one instant: count, first and last ids are those of a fold that packs nothing."""
    found = [at(second // 3, f"e{second:05}") for second in range(3_000)]
    told = []
    for together in (10_000, 128, 7):
        with packing(together):
            fold = Correlator([rule("event_count", 700, Bound("gte", 1_000))], bounds=Bounds(members=900))
            fold.extend(found)
            found_now = fold.advance(5_000 * SECOND, final=True)
            told.append(written(found_now))
    assert told[1] == told[0] == told[2]
    assert found_now[-1].count == 3_000


@pytest.mark.parametrize("order", [1, -1])
def test_which_groups_have_no_room_does_not_depend_on_the_order(order: int) -> None:
    """Of the groups that begin at one instant those with the highest keys keep no ids, whichever came first."""
    fold = Correlator([rule()], bounds=Bounds(groups=3))
    fold.extend(at(second, f"{group}{second}", group) for second in (5, 6, 7, 8) for group in "abcde"[::order])
    told = {alert.group["g"]: (alert.count, alert.truncated) for alert in last(fold.advance(100 * SECOND, final=True))}
    assert told == {"a": (4, False), "b": (4, False), "c": (4, False), "d": (4, True), "e": (4, True)}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_order_within_the_lateness_gives_the_same_alerts(data: st.DataObject) -> None:
    """Cut into batches at random, shuffled within the lateness, some told twice: byte for byte the same last revisions."""
    one = data.draw(correlations())
    found = sorted(data.draw(signals(one)), key=lambda signal: signal.ts)
    lateness = data.draw(st.integers(0, 15))
    expected = written(folded([one], found, 60, begin=0))
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
    assert written(last(told)) == expected


@pytest.mark.parametrize(
    ("seconds", "fires"),
    [
        ((200, 0, 100), 0),
        ((0, 100, 200), 0),
        ((100, 0, 150), 0),
        ((0, 10, 20), 1),
        ((20, 0, 10), 1),
        ((0, 30, 60), 1),
        ((60, 30, 0), 1),
        ((0, 30, 60.000001), 0),
    ],
)
def test_three_in_a_minute(seconds: tuple[float, ...], fires: int) -> None:
    """The cases on which an engine that goes by arrival differs from itself."""
    assert len(folded([rule()], [at(second) for second in seconds], 1000 * SECOND)) == fires


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_chain_equals_the_naive_oracle(data: st.DataObject) -> None:
    """A correlation of a correlation and a rule, of any types."""
    inner = msgspec.structs.replace(data.draw(correlations("inner")), group_by=("g",))
    outer = data.draw(correlations("outer"))
    numeric = outer.type in {"value_sum", "value_avg", "value_median", "value_percentile"}
    fields = ("g",) if outer.fields and not numeric else ()
    if numeric or (outer.fields and not fields):
        outer = msgspec.structs.replace(outer, type="event_count", fields=())
        fields = ()
    outer = msgspec.structs.replace(outer, fields=fields, rules=("inner", *outer.rules[1:]))
    found = data.draw(signals(inner)) + [signal for signal in data.draw(signals(outer)) if signal.rules & 1 == 0]
    assert flat(folded([inner, outer], found, 70, begin=0)) == naive([inner, outer], found, 70, 0)


def test_many_members_keep_the_count_and_the_first_and_last_ids() -> None:
    """Beyond the bound the count is exact, ids of the middle are left out, and the alert says so."""
    found = [at(second, f"e{second:04}") for second in range(500)]
    fold = Correlator([rule("event_count", 600)], bounds=Bounds(members=20))
    fold.extend(found)
    (alert,) = last(fold.advance(1000 * SECOND, final=True))
    assert (alert.count, alert.truncated, len(alert.members)) == (500, True, 20)
    assert [name for _, name, _ in alert.members] == [f"e{number:04}" for number in (*range(10), *range(490, 500))]


def test_counts_beyond_the_bound_stay_exact() -> None:
    """A rule on more events than ids are kept fires at exactly that number."""
    for number in (99, 100):
        fold = Correlator([rule("event_count", 600, Bound("gte", 100))], bounds=Bounds(members=20))
        fold.extend(at(second, f"e{second:04}") for second in range(number))
        told = fold.advance(1000 * SECOND, final=True)
        assert [(alert.count, alert.truncated) for alert in told] == ([(100, True)] if number == 100 else [])


def test_groups_beyond_the_bound_are_counted_too() -> None:
    """The group that was one too many fires, with its first and last event."""
    fold = Correlator([rule()], bounds=Bounds(groups=2))
    fold.extend(at(second, f"{group}{second}", group) for second in range(5) for group in "abc")
    told = {alert.group["g"]: alert for alert in last(fold.advance(100 * SECOND, final=True))}
    assert {group: (alert.count, alert.truncated) for group, alert in told.items()} == {"a": (5, False), "b": (5, False), "c": (5, True)}


def test_groups_are_forgotten() -> None:
    """After a timespan without events nothing is kept of a group, however many there were."""
    fold = Correlator([rule()])
    for second in range(5000):
        fold.add(at(second, "", f"g{second}"))
        fold.advance(second * SECOND)
    assert len(fold.folds["c"]) <= 70


def test_an_episode_grows_by_revisions() -> None:
    """Opened, doubled, ended: the id stays, revisions rise, the last one has all members."""
    fold = Correlator([rule()])
    told = []
    for second in range(40):
        fold.add(at(second))
        told += fold.advance(second * SECOND)
    told += fold.advance(10_000 * SECOND)
    assert len({alert.id for alert in told}) == 1
    assert [alert.revision for alert in told] == sorted({alert.revision for alert in told})
    assert [alert.count for alert in told] == [3, 7, 15, 31, 40]


def test_a_straggler_is_counted_and_left_out() -> None:
    """Two in time and one behind the watermark are two."""
    fold = Correlator([rule()])
    fold.extend([at(0), at(20)])
    assert fold.advance(50 * SECOND) == []
    fold.add(at(10))
    assert fold.advance(51 * SECOND) == []
    assert fold.dropped == 1


def test_scopes_never_meet() -> None:
    """Two real events and one of an exercise are no three."""
    drill = msgspec.structs.replace(at(5), key=("exercise:1", "a"))
    assert folded([rule()], [at(0), at(10), drill], 1000 * SECOND) == []


@pytest.mark.parametrize("text", ["9" * 40, "-" + "9" * 40, str(1 << 64), str(1 << 63), "1" + "0" * 30 + ".0"])
def test_numbers_of_any_size_are_summed_exactly_and_written(text: str) -> None:
    """A number that no integer of 64 bits holds goes through the log of signals as any other."""
    one = rule("value_sum", 60, Bound("eq", 2 * int(text.removesuffix(".0"))), fields=("bytes",), group_by=())
    extractor = Extractor(one, 0)
    found = [signal for second in (1, 2) for signal in extractor.signals({"bytes": text}, second * SECOND, f"e{second}")]
    assert unpack(pack(found)) == found
    assert len(folded([one], unpack(pack(found)), 1000 * SECOND)) == 1
