"""The correlator of the pipeline: rebuilt at any time it says what it would have said, and stragglers find their alerts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.rules.correlation import Bound, Correlation
from soc.rules.episodes import CorrelationAlert
from soc.rules.rebuild import LiveCorrelator, group_of, shown_of
from soc.rules.signals import Signal, shape_of
from tests.rules.correlations import SECOND, at, correlations, rule, signals

END = 200
Told = dict[str, CorrelationAlert]


def shaped(rules: Sequence[Correlation], found: Iterable[Signal]) -> list[Signal]:
    """Signals as the rules would have made them."""
    shapes = {one.id: shape_of(one) for one in rules}
    return [msgspec.structs.replace(signal, shape=shapes[signal.correlation]) for signal in found]


def begun(rules: Sequence[Correlation]) -> LiveCorrelator:
    """A fresh correlator whose observation of each scope begins at 0; since when is kept over a restart."""
    fold = LiveCorrelator(rules)
    for scope in ("real", "exercise:1"):
        fold.begin(0, scope)
    return fold


def lived(rules: Sequence[Correlation], found: Sequence[Signal], cuts: Sequence[int], restarts: Sequence[bool]) -> Told:
    """What was told in the end, the watermark stopping at `cuts`, with a restart at some of them."""
    fold, told, before = begun(rules), Told(), 0
    for cut, restart in zip(cuts, restarts, strict=True):
        fold.extend(signal for signal in found if before <= signal.ts < cut)
        before = cut
        told |= {alert.id: alert for alert in fold.advance(cut)}
        if restart:
            kept = [alert for alert in told.values() if alert.end >= cut - 2 * fold.reach[alert.rule] or fold.is_open(alert.rule, alert.key, alert.id)]
            fold = begun(rules)
            new = fold.rebuild([signal for signal in found if signal.ts < cut], cut, kept, base=cut)
            assert new == [], cut
    fold.extend(signal for signal in found if signal.ts >= before)
    told |= {alert.id: alert for alert in fold.advance(END)}
    return told | {alert.id: alert for alert in fold.settle()}


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_a_restart_at_any_time_changes_nothing(data: st.DataObject) -> None:
    """Any type of correlation, also one built on another: the same alerts with the same last revisions."""
    one = data.draw(correlations())
    rules = [one]
    chained: bool = data.draw(st.booleans())
    if one.group_by and chained:
        keys: tuple[str, ...] = data.draw(st.sampled_from([(), ("g",)]))
        rules.append(rule("event_count", 1, Bound("gte", 2), id="parent", rules=("c",), group_by=keys))
        rules[1] = msgspec.structs.replace(rules[1], span_us=data.draw(st.integers(1, 15)))
    found = shaped(rules, data.draw(signals(one)))
    cuts = sorted(data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=4, unique=True)))
    restarts = [data.draw(st.booleans()) for _ in cuts]
    assert lived(rules, found, cuts, restarts) == lived(rules, found, cuts, [False] * len(cuts))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_stragglers_end_in_alerts_that_have_all_members(data: st.DataObject) -> None:
    """However late they come, and in how many goes: every episode of the whole log stands in an alert, and no alert has what never came."""
    spans, needed = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 4))
    rules = [msgspec.structs.replace(rule("event_count", 1, Bound("gte", needed)), span_us=spans)]
    found = shaped(rules, data.draw(signals(rules[0])))
    late = [data.draw(st.integers(0, 2)) for _ in found]
    fold, told = begun(rules), Told()
    fold.extend(signal for signal, number in zip(found, late, strict=True) if number == 0)
    told |= {alert.id: alert for alert in fold.advance(50)}
    for go in (1, 2):
        stragglers = [signal for signal, number in zip(found, late, strict=True) if number == go]
        if not stragglers:
            continue
        touched = fold.touched(stragglers)
        again = begun([one for one in rules if one.id in touched])
        log = [signal for signal, number in zip(found, late, strict=True) if number <= go and signal.key in (touched["c"] or ())]
        kept = [alert for alert in told.values() if alert.key in (touched["c"] or ())]
        new = again.rebuild(log, 50, kept, base=min(signal.ts for signal in stragglers), late_ids={signal.id for signal in stragglers})
        names = {signal.id for signal in stragglers}
        assert all(alert.late or names.isdisjoint(name for _, name, _ in alert.members) for alert in new)
        told |= {alert.id: alert for alert in new}
        fold.graft(again, touched)
    told |= {alert.id: alert for alert in fold.advance(END)}
    whole = begun(rules)
    whole.extend(found)
    ids = {(signal.ts, signal.id) for signal in found}
    for alert in {alert.id: alert for alert in (*whole.advance(END), *whole.settle())}.values():
        members = {member[:2] for member in alert.members}
        assert any(members <= {member[:2] for member in one.members} for one in told.values() if one.key == alert.key), alert
    assert all({member[:2] for member in alert.members} <= ids for alert in told.values())
    assert all(alert.count == len(alert.members) for alert in told.values())


def test_an_episode_that_goes_on_is_told_once_a_timespan() -> None:
    """So a restart finds it by what was told last."""
    rules = [rule("event_count", 60, Bound("gte", 3))]
    fold = begun(rules)
    fold.extend(shaped(rules, [at(second) for second in range(0, 3_000, 10)]))
    ends = [alert.end // SECOND for second in range(10, 3_000, 10) for alert in fold.advance(second * SECOND)]
    assert all(later - earlier <= 70 for earlier, later in pairwise(ends))
    assert len(ends) < 60


def test_what_silence_and_chains_depend_on_is_folded_anew_as_a_whole() -> None:
    """Of an ordinary rule only the groups that were touched."""
    plain, quiet = rule(), rule("event_count", 60, Bound("eq", 0), id="quiet")
    parent, child = rule(id="parent", rules=("child",), group_by=()), rule(id="child")
    fold = LiveCorrelator([plain, quiet, child, parent])
    late = [at(1, correlation=one) for one in ("c", "quiet", "child")]
    assert fold.touched(late) == {"c": {("real", "a")}, "quiet": None, "child": None, "parent": None}


def test_a_rule_that_others_are_built_on_reaches_back_as_far_as_they() -> None:
    """Its alerts of that time are needed."""
    fold = LiveCorrelator([rule(span=10, id="child"), rule(span=100, id="parent", rules=("child",), group_by=())])
    assert fold.reach == {"child": 200 * SECOND, "parent": 200 * SECOND}


def test_the_place_of_private_addresses_is_part_of_the_group() -> None:
    """It stands behind the values, and comes back from what was told."""
    one = rule()
    group = group_of(one, ("192.168.1.5", "observer.name=FG=1"))
    assert group == {"g": "192.168.1.5", "observer.name": "FG=1"}
    assert shown_of(group, 1) == ("192.168.1.5", "observer.name=FG=1")


def test_a_silence_that_began_while_windows_were_not_whole_goes_on() -> None:
    """Read back without the events before it, it seems to begin earlier than was told; it is the same alert all the same."""
    rules = [msgspec.structs.replace(rule("event_count", 1, Bound("lt", 2)), span_us=1, group_by=())]
    found = shaped(rules, [Signal(ts, ("real",), f"e{number}", 1, "c") for number, ts in enumerate((0, 0, 6))])
    (alert,) = (one for one in lived(rules, found, [6], [True]).values() if one.scope == "real")
    assert (alert.at, alert.end, alert.revision) == (2, 8, 3)
