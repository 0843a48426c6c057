"""Working days where the law counts them: weekends, holidays, days off in exchange and Saturdays worked for them, from one file a year.

A day whose announcement nobody has compared is marked unverified and counts all the same; a deadline that passes over it says so.
Of a year without a file only weekends and the fixed days of the Labour Code are known, and everything of it is unverified.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache
from importlib.resources import files

import msgspec
import yaml

from soc.errors import ConfigError, Phrase

MOST_DAYS = 1_000
"""Working days that are counted at most."""
_SATURDAY = 5
_FIXED = ((1, 1), (4, 30), (5, 1), (9, 2))
"""Month and day.  Source: Labour Code 45/2019/QH14, article 112."""


class Holiday(msgspec.Struct, frozen=True):
    """A day off (or, among `working`, a Saturday that is worked), or several in a row."""

    day: date
    title: dict[str, str]
    until: date | None = None
    source: str = ""
    unverified: str = ""


class Year(msgspec.Struct, frozen=True):
    """What of a year is not as the week says."""

    year: int
    source: str
    holidays: tuple[Holiday, ...] = ()
    working: tuple[Holiday, ...] = ()
    unverified: str = ""


class _Off(msgspec.Struct, frozen=True):
    """What a single day is."""

    working: bool
    holiday: Holiday


@lru_cache(maxsize=64)
def year_of(year: int) -> Year:
    """The calendar of a year.

    Raises: ConfigError naming the file.
    """
    file = files("soc.organization").joinpath("calendars", f"vn-{year}.yml")
    if not file.is_file():
        known = tuple(Holiday(date(year, month, day), {"vi": "Ngày lễ cố định", "en": "Fixed holiday"}) for month, day in _FIXED)
        return Year(year, "Bộ luật Lao động 45/2019/QH14, Điều 112", known, unverified="chưa có lịch nghỉ của năm này")
    try:
        found = msgspec.convert(yaml.safe_load(file.read_text(encoding="utf-8")), Year)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigError(Phrase("this is no calendar: {error}", error=error), file=file.name) from error
    for one in (*found.holidays, *found.working):
        if one.day.year != year or (one.until is not None and not one.day <= one.until):
            raise ConfigError(Phrase("{day} does not belong here", day=one.day), file=file.name)
    return found


@lru_cache(maxsize=64)
def _days(year: int) -> dict[date, _Off]:
    found = year_of(year)
    out = {day: _Off(working=False, holiday=one) for one in found.holidays for day in _each(one)}
    return out | {day: _Off(working=True, holiday=one) for one in found.working for day in _each(one)}


def _each(one: Holiday) -> Iterator[date]:
    day = one.day
    while day <= (one.until or one.day):
        yield day
        day += timedelta(days=1)


def is_working(day: date) -> bool:
    """Whether offices work on a day."""
    known = _days(day.year).get(day)
    return known.working if known is not None else day.weekday() < _SATURDAY


def working_days_after(day: date, count: int) -> date:
    """The `count`-th working day after a day, which itself never counts; with 0 the day itself.

    Raises: ValueError for too many.  Source: Civil Code 91/2015/QH13, article 147 (the first day does not count).
    """
    if not 0 <= count <= MOST_DAYS:
        raise ValueError(f"{count} working days cannot be counted")
    while count:
        day += timedelta(days=1)
        count -= is_working(day)
    return day


def next_working_day(day: date) -> date:
    """The first working day after a day."""
    return working_days_after(day, 1)


def unverified(first: date, last: date) -> list[str]:
    """What between two days (both inclusive) nobody has compared with its announcement."""
    out: dict[str, None] = {}
    day = first
    while day <= last and len(out) < 5:  # noqa: PLR2004 - more are not read
        year = year_of(day.year)
        if year.unverified:
            out[f"{day.year}: {year.unverified}"] = None
        known = _days(day.year).get(day)
        if known is not None and known.holiday.unverified:
            out[f"{known.holiday.day:%d/%m/%Y} {known.holiday.title['vi']}: {known.holiday.unverified}"] = None
        day += timedelta(days=1)
    return list(out)
