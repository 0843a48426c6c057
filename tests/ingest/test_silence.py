"""Silence of sources is noticed, ended and remembered."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from soc.ingest.silence import HOUR_US, SHORTEST_S, SLACK, UNKNOWN_S, SilenceWatch, silence_effects
from soc.ports import Gap

MONDAY = 4 * 24 * HOUR_US  # 1970-01-05, a Monday
SECOND = 1_000_000


def test_a_set_rhythm_decides_when_a_source_is_silent() -> None:
    """With a rhythm of 60 s, 61 s without a record are a gap that begins at the last record."""
    watch = SilenceWatch({"fw": (60.0, "real", "so-y-te")})
    watch.heard("fw", MONDAY)
    assert watch.overdue(MONDAY + 60 * SECOND) == []
    [gap] = watch.overdue(MONDAY + 61 * SECOND)
    assert (gap.source, gap.from_us, gap.until_us, gap.expected_s) == ("fw", MONDAY, 0, 60.0)
    assert watch.overdue(MONDAY + 62 * SECOND) == [], "one gap, not one per look"


def test_what_another_worker_heard_is_no_silence() -> None:
    """A source whose partitions another worker has is silent only when that one hears nothing either."""
    here, there = (SilenceWatch({"fw": (60.0, "real", "")}) for _ in range(2))
    for watch in (here, there):
        watch.heard("fw", MONDAY)
    there.heard("fw", MONDAY + 50 * SECOND)
    now = MONDAY + 70 * SECOND
    assert there.doubtful(now) == []
    assert here.doubtful(now) == ["fw"]
    here.learn("fw", there.take_changes()["fw"])
    assert here.overdue(now) == []
    here.learn("fw", None)
    assert [gap.from_us for gap in here.overdue(MONDAY + 111 * SECOND)] == [MONDAY + 50 * SECOND]
    there.heard("fw", MONDAY + 200 * SECOND)
    assert here.doubtful(MONDAY + 201 * SECOND) == ["fw"], "who called it silent looks whether it speaks again"
    here.learn("fw", there.take_changes()["fw"])
    assert here.doubtful(MONDAY + 201 * SECOND) == []


def test_a_backlog_is_no_silence() -> None:
    """While old records wait to be read nothing is said, by other workers neither; after that silence counts from there."""
    here, there = (SilenceWatch({"fw": (60.0, "real", "")}) for _ in range(2))
    for watch in (here, there):
        watch.heard("fw", MONDAY)
    now = MONDAY + HOUR_US
    assert there.doubtful(now) == ["fw"]
    there.behind("fw", now)
    assert there.overdue(now + 60 * SECOND) == []
    here.learn("fw", there.take_changes()["fw"])
    assert here.overdue(now + 60 * SECOND) == []
    [gap] = there.overdue(now + 61 * SECOND)
    assert gap.from_us == MONDAY


def test_a_record_ends_the_gap() -> None:
    """The first record after a silence closes the gap with both ends."""
    watch = SilenceWatch({"fw": (60.0, "real", "")})
    watch.heard("fw", MONDAY)
    watch.overdue(MONDAY + HOUR_US)
    gap = watch.heard("fw", MONDAY + 2 * HOUR_US)
    assert gap is not None
    assert (gap.from_us, gap.until_us) == (MONDAY, MONDAY + 2 * HOUR_US)
    assert watch.heard("fw", MONDAY + 2 * HOUR_US + 1) is None


def test_a_source_never_heard_counts_from_the_start_of_watching() -> None:
    """A source that never sent a line is reported too."""
    watch = SilenceWatch({"fw": (60.0, "real", "")})
    watch.started(MONDAY)
    assert [gap.source for gap in watch.overdue(MONDAY + 61 * SECOND)] == ["fw"]


def test_the_rhythm_is_learned_per_hour_of_the_week() -> None:
    """A source that speaks each 200 s on Mondays at 0 o'clock may pause three times as long there, and six hours in hours unknown."""
    watch = SilenceWatch({"mail": (0.0, "real", "")})
    for step in range(10):
        watch.heard("mail", MONDAY + step * 200 * SECOND)
    assert watch.expected_s("mail", MONDAY) == 200 * SLACK
    assert watch.expected_s("mail", MONDAY + 30 * HOUR_US) == UNKNOWN_S


def test_nobody_is_woken_by_a_chatty_source_within_five_minutes() -> None:
    """The learned limit is never below five minutes."""
    watch = SilenceWatch({"fw": (0.0, "real", "")})
    for step in range(100):
        watch.heard("fw", MONDAY + step * SECOND)
    assert watch.expected_s("fw", MONDAY) == SHORTEST_S


def test_an_open_gap_raises_one_alert_that_names_source_and_agency() -> None:
    """The alert's id depends only on source and begin, so another worker raises the same."""
    watch = SilenceWatch({"fw": (60.0, "exercise:d1", "so-y-te")})
    watch.heard("fw", MONDAY)
    gaps = watch.overdue(MONDAY + HOUR_US)
    first = silence_effects(gaps, {"fw": "so-y-te"}, MONDAY + HOUR_US)
    second = silence_effects(gaps, {"fw": "so-y-te"}, MONDAY + HOUR_US + 5 * SECOND)
    assert [alert.id for alert in first.alerts] == [alert.id for alert in second.alerts]
    [alert] = first.alerts
    assert (alert.source, alert.agency, alert.scope, alert.rule.kind) == ("fw", "so-y-te", "exercise:d1", "health")
    assert first.gaps == gaps


@given(st.lists(st.integers(min_value=1, max_value=7200), min_size=1, max_size=60), st.integers(min_value=0, max_value=59))
def test_a_restart_changes_nothing(pauses: list[int], cut: int) -> None:
    """Kept and restored in the middle, the watch reports the same gaps."""

    def play(restart_at: int) -> list[tuple[int, int]]:
        watch, now = SilenceWatch({"fw": (0.0, "real", "")}), MONDAY
        seen: list[tuple[int, int]] = []
        state: dict[str, bytes] = {}
        for step, pause in enumerate(pauses):
            if step == restart_at:
                watch = SilenceWatch({"fw": (0.0, "real", "")}, state)
            seen += [(gap.from_us, gap.until_us) for gap in watch.overdue(now)]
            ended = watch.heard("fw", now)
            seen += [(ended.from_us, ended.until_us)] if ended else []
            state.update(watch.take_changes())
            now += pause * SECOND
        return seen

    assert play(-1) == play(min(cut, len(pauses) - 1) or -1)


def test_a_clock_set_back_or_a_sender_ahead_does_not_make_us_deaf() -> None:
    """A record from the future, or our clock set back by hours: from the next look on the source is watched as ever."""
    watch = SilenceWatch({"fw": (60.0, "real", "")})
    watch.heard("fw", MONDAY + 5 * HOUR_US)
    assert watch.overdue(MONDAY) == []
    [gap] = watch.overdue(MONDAY + 61 * SECOND)
    assert gap.from_us == MONDAY
    ended = watch.heard("fw", MONDAY + 90 * SECOND)
    assert ended is not None
    assert ended.until_us == MONDAY + 90 * SECOND


class Titles(NamedTuple):
    """A rule, as far as silence looks."""

    title: str
    title_vi: str


def test_an_alert_about_silence_names_the_rules_that_it_blinds() -> None:
    """All are counted, the first of them named; without any it says none."""
    gaps = [Gap("fw", "real", MONDAY, 0, "silent", 300.0), Gap("mx", "real", MONDAY, 0, "silent", 300.0)]
    firewall, mail = silence_effects(
        gaps, {}, MONDAY + HOUR_US, {"fw": [Titles(f"rule {number}", f"quy tắc {number}" if number else "") for number in range(30)]}
    ).alerts
    assert firewall.explanation["blinds"]["count"] == 30
    assert firewall.explanation["blinds"]["rules"] == [f"rule {number}" for number in range(20)]
    assert firewall.explanation["blinds"]["rules_vi"] == ["rule 0", *(f"quy tắc {number}" for number in range(1, 20))]
    assert mail.explanation["blinds"] == {"count": 0, "rules": [], "rules_vi": []}
