"""Times inside are microseconds in UTC; their text is RFC 3339 and comes back unchanged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.clock import FrozenClock, SystemClock, from_datetime, from_iso, iso, to_datetime

LAST_US = from_datetime(datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))
FIRST_US = from_datetime(datetime(1, 1, 1, tzinfo=UTC))
MOMENTS = st.integers(min_value=FIRST_US, max_value=LAST_US)


@given(MOMENTS)
def test_text_and_datetime_come_back_unchanged(us: int) -> None:
    """To the microsecond, over all years that there are."""
    assert from_iso(iso(us)) == us
    assert from_datetime(to_datetime(us)) == us
    assert iso(us).endswith("Z")


@given(st.tuples(MOMENTS, MOMENTS))
def test_the_order_of_texts_of_whole_milliseconds_is_that_of_times(pair: tuple[int, int]) -> None:
    """Stores and exports may sort by the text."""
    first, second = (us // 1000 * 1000 for us in pair)
    assert (iso(first) < iso(second)) == (first < second)


def test_any_zone_is_understood() -> None:
    """07:00 in Ho Chi Minh City is midnight in UTC."""
    assert from_iso("2026-11-21T07:00:00+07:00") == from_datetime(datetime(2026, 11, 21, tzinfo=UTC))
    assert from_datetime(datetime(2026, 11, 21, 7, tzinfo=timezone(timedelta(hours=7)))) == from_iso("2026-11-21T00:00:00Z")


def test_a_frozen_clock_goes_on_only_when_told() -> None:
    """Sleeping and advancing move both of its hands."""
    clock = FrozenClock(1_000_000)
    before = clock.monotonic()
    clock.sleep(2)
    clock.advance(0.5)
    assert clock.now_us() == 3_500_000
    assert clock.monotonic() - before == pytest.approx(2.5)


def test_the_real_clock_shows_the_present(tmp_path: Path) -> None:
    """In microseconds since 1970: what the file system writes to a file made between two looks at it."""
    before = SystemClock().now_us()
    (tmp_path / "now").touch()
    after = SystemClock().now_us()
    made = (tmp_path / "now").stat().st_mtime_ns // 1000
    assert before - 1_000_000 <= made <= after + 1_000_000  # file systems round
