"""The breaker: what a rule raises beyond its limit stands in one group, the same however the log was cut."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.clock import from_iso, iso
from soc.ingest.storm import HOUR_US, KEY, MOST_HOURS, Breaker
from soc.model.alert import Alert
from tests.contracts.samples import DAY, HOUR, SECOND, T0, alert, event


def raised(seq: int, *, ts_us: int | None = None, rule: str = "r-1") -> Alert:
    """An alert about the event at a position."""
    return alert(event(seq, ts_us=ts_us), rule=rule)


def fold(alerts: list[Alert], limit: int, cuts: set[int] = frozenset()) -> tuple[list[Alert], list[Alert], dict[str, bytes]]:  # type: ignore[assignment]
    """The alerts as they end, the messages, the state; at a cut the breaker is made anew from what was kept."""
    kept: dict[str, bytes] = {}
    breaker = Breaker(limit, lambda partition: _of(kept, partition))
    messages = []
    for number, one in enumerate(alerts):
        if number in cuts:
            kept.update(breaker.take_changes())
            breaker = Breaker(limit, lambda partition: _of(kept, partition))
        message = breaker.count("fw/0", one)
        if message is not None:
            messages.append(message)
    kept.update(breaker.take_changes())
    return alerts, messages, kept


def _of(kept: dict[str, bytes], partition: str) -> dict[str, bytes]:
    return {key.removeprefix(partition + "\x1f"): value for key, value in kept.items() if key.startswith(partition + "\x1f")}


def test_alerts_beyond_the_limit_stand_in_one_group_with_one_message() -> None:
    """Ten alerts, a limit of three: three stand as they were, seven in the storm of the day."""
    alerts, messages, _ = fold([raised(seq) for seq in range(10)], 3)
    assert [one.storm for one in alerts] == [False] * 3 + [True] * 7
    assert len({one.group for one in alerts[3:]}) == 1
    assert alerts[3].group not in {one.group for one in alerts[:3]}
    assert alerts[3].group_key == {"storm": "2026-11-20"}
    [message] = messages
    assert message.rule.kind == "health"
    assert message.explanation["group"] == alerts[3].group
    assert len({one.id for one in alerts}) == 10


def test_each_rule_and_hour_of_event_time_has_a_limit_of_its_own() -> None:
    """Two rules, two hours: none of them is beyond it; the day's storm is one group for both hours."""
    two = [raised(seq, ts_us=T0 + hour * HOUR + seq, rule=rule) for rule in ("a", "b") for hour in (0, 1) for seq in range(3)]
    assert not any(one.storm for one in fold(two, 3)[0])
    again, messages, _ = fold([raised(seq, ts_us=T0 + hour * HOUR + seq) for hour in (0, 1) for seq in range(5)], 3)
    storm = [one for one in again if one.storm]
    assert len(storm) == 4
    assert len({one.group for one in storm}) == 1
    assert len({one.id for one in messages}) == 1
    next_day, _, _ = fold([raised(seq, ts_us=T0 + day * DAY + seq) for day in (0, 1) for seq in range(5)], 3)
    assert len({one.group for one in next_day if one.storm}) == 2


def test_partitions_count_for_themselves_and_share_the_group() -> None:
    """Each source partition may raise the limit once; the storm is one group, the message one group too."""
    breaker = Breaker(2, lambda _partition: {})
    alerts = [raised(seq) for seq in range(8)]
    messages = [breaker.count(f"fw/{seq % 2}", one) for seq, one in enumerate(alerts)]
    assert sum(not one.storm for one in alerts) == 4
    assert len({one.group for one in alerts if one.storm}) == 1
    told = [message for message in messages if message is not None]
    assert (len({one.id for one in told}), len({one.group for one in told})) == (2, 1)


def test_without_a_limit_and_for_health_alerts_nothing_breaks() -> None:
    """0 = no limit; what the platform says of itself is never held back."""
    assert not any(one.storm for one in fold([raised(seq) for seq in range(50)], 0)[0])
    health = [msgspec.structs.replace(one, rule=msgspec.structs.replace(one.rule, kind="health")) for one in (raised(seq) for seq in range(9))]
    assert not any(one.storm for one in fold(health, 2)[0])


def test_shadow_rules_storm_apart_and_tell_nobody() -> None:
    """The alerts of a shadow rule are folded too, into a group that no live query sees."""
    shadows = [msgspec.structs.replace(raised(seq), shadow=True) for seq in range(5)]
    found, messages, _ = fold(shadows, 2)
    live = fold([raised(seq) for seq in range(5)], 2)[0]
    assert sum(one.storm for one in found) == 3
    assert not messages
    assert {one.group for one in found if one.storm}.isdisjoint({one.group for one in live})


def test_what_is_remembered_is_bounded() -> None:
    """Event times over years leave the newest hours only."""
    _, _, kept = fold([raised(seq, ts_us=T0 + seq * HOUR) for seq in range(MOST_HOURS * 3)], 5)
    hours = msgspec.msgpack.decode(kept[f"fw/0\x1f{KEY}\x1fr-1"], type=dict[int, int])
    assert len(hours) == MOST_HOURS
    assert max(hours) == T0 // HOUR_US + MOST_HOURS * 3 - 1


@settings(max_examples=200, deadline=None)
@given(
    times=st.lists(st.integers(0, 3 * HOUR // SECOND), max_size=60),
    rules=st.lists(st.sampled_from("ab"), min_size=60, max_size=60),
    limit=st.integers(1, 8),
    cuts=st.sets(st.integers(0, 60)),
)
def test_cuts_and_restarts_change_nothing(times: list[int], rules: list[str], limit: int, cuts: set[int]) -> None:
    """Whatever the batches: the same alerts in the same groups, and just those beyond the limit of rule and hour."""

    def made() -> list[Alert]:
        return [raised(seq, ts_us=T0 + second * SECOND, rule=rule) for seq, (second, rule) in enumerate(zip(times, rules, strict=False))]

    whole, cut = fold(made(), limit), fold(made(), limit, cuts)
    assert whole[:2] == cut[:2]
    kept = Counter((one.rule.id, from_iso(one.ts) // HOUR_US) for one in whole[0] if not one.storm)
    every = Counter((one.rule.id, from_iso(one.ts) // HOUR_US) for one in whole[0])
    assert kept == {at: min(limit, number) for at, number in every.items()}


def test_a_message_says_when_it_began() -> None:
    """Its time is that of the first alert beyond the limit."""
    alerts, [message], _ = fold([raised(seq) for seq in range(5)], 3)
    assert message.ts == alerts[3].ts == iso(T0 + 3 * SECOND)


@pytest.mark.parametrize("limit", [1, 2])
def test_forgetting_reads_the_kept_state_back(limit: int) -> None:
    """A partition that comes back goes on counting where it was."""
    kept: dict[str, bytes] = {}
    breaker = Breaker(limit, lambda partition: _of(kept, partition))
    for seq in range(limit):
        breaker.count("fw/0", raised(seq))
    kept.update(breaker.take_changes())
    breaker.forget(["fw/0"])
    beyond = raised(limit)
    breaker.count("fw/0", beyond)
    assert beyond.storm
