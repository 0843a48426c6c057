"""Working days are counted as offices work."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.organization.calendar import is_working, next_working_day, unverified, working_days_after, year_of

DAYS = st.dates(date(2024, 1, 1), date(2029, 12, 31))


@pytest.mark.parametrize(
    ("day", "works"),
    [
        ("2026-11-20", True),
        ("2026-11-21", False),
        ("2026-02-17", False),
        ("2026-04-26", False),
        ("2026-04-27", False),
        ("2026-08-22", True),
        ("2026-08-31", False),
        ("2027-05-03", False),
        ("2031-09-02", False),
    ],
)
def test_weekends_holidays_and_exchanged_days(day: str, works: bool) -> None:
    """Tết, the substitute of a holiday on a Sunday, a Saturday worked for a Monday off; of a year without a file the fixed days."""
    assert is_working(date.fromisoformat(day)) is works


def test_the_next_working_day_leaps_over_tet() -> None:
    """After the Friday before Tết 2026 comes the Monday after it."""
    assert next_working_day(date(2026, 2, 13)) == date(2026, 2, 23)
    assert working_days_after(date(2026, 2, 13), 5) == date(2026, 2, 27)


@given(DAYS, st.integers(0, 60))
def test_counting_is_additive_and_ends_on_working_days(day: date, count: int) -> None:
    """The n-th working day after a day is a working day, and n steps of one are one of n."""
    end = working_days_after(day, count)
    step = day
    for _ in range(count):
        step = next_working_day(step)
    assert step == end
    assert not count or is_working(end)
    assert sum(is_working(day + timedelta(days=at)) for at in range(1, (end - day).days + 1)) == count


def test_what_nobody_has_compared_is_named() -> None:
    """Days whose announcement was not read, and years without a calendar, are told."""
    assert unverified(date(2026, 3, 1), date(2026, 3, 31)) == []
    assert any("24/11/2026" in one for one in unverified(date(2026, 11, 20), date(2026, 11, 30)))
    assert any("2031" in one for one in unverified(date(2031, 1, 5), date(2031, 1, 6)))


@pytest.mark.parametrize("year", [2025, 2026, 2027])
def test_every_calendar_names_its_source_and_both_languages(year: int) -> None:
    """Dated data: a source, and texts in Vietnamese and English."""
    found = year_of(year)
    assert found.source
    for one in (*found.holidays, *found.working):
        assert set(one.title) == {"vi", "en"}
