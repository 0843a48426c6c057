"""Times as analysts write them, as stretches of microseconds since 1970.

`2026-11-20` and `today` are whole days of Asia/Ho_Chi_Minh, `2026-11` a whole month, `now-24h` and
`2026-11-20T08:00` instants (a time without a zone is local).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from soc.clock import from_datetime, to_datetime
from soc.config import DEFAULT_TIMEZONE

_UNIT_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}
# Reference: the date math of Elasticsearch and Lucene, without its rounding.
_RELATIVE = re.compile(r"now(?:([+-])(\d{1,6})([smhdw]))?")
_MONTH = re.compile(r"(\d{4})-(\d{2})")
# Reference: RFC 3339 5.6, with seconds and zone left out at will.
_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?")


def stretch(text: str, now_us: int | None) -> tuple[int, int] | None:
    """First microsecond and the one after the last of the time that `text` names; None when it names none.

    An instant has both equal. Relative times need `now_us`.
    """
    text = text.strip()
    folded = text.lower()
    if relative := _RELATIVE.fullmatch(folded):
        return _relative(relative, now_us)
    if folded in ("today", "yesterday"):
        if now_us is None:
            return None
        day = to_datetime(now_us).astimezone(_zone()).replace(hour=0, minute=0, second=0, microsecond=0)
        day -= timedelta(days=folded == "yesterday")
        return from_datetime(day), from_datetime(_later(day, 1))
    try:
        if month := _MONTH.fullmatch(text):
            first = datetime(int(month[1]), int(month[2]), 1, tzinfo=_zone())
            return from_datetime(first), from_datetime(_later(first, 32).replace(day=1))
        if not (found := _STAMP.fullmatch(text.upper())):
            return None
        moment = datetime.fromisoformat(_microseconds(text.upper().replace(" ", "T")))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=_zone())
        begin = from_datetime(moment.astimezone(UTC))
        return (begin, begin) if found[1] else (begin, from_datetime(_later(moment, 1)))
    except (ValueError, OverflowError):
        return None


def instant(value: str) -> int | None:
    """Microseconds of a complete RFC 3339 time as events hold them; None for anything else."""
    if len(value) < 20 or value[4] != "-" or value[10] not in "Tt " or value[-1] not in "Zz0123456789":  # noqa: PLR2004 - `2026-11-20T01:02:03Z`
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return None if moment.tzinfo is None else from_datetime(moment)


def _relative(found: re.Match[str], now_us: int | None) -> tuple[int, int] | None:
    if now_us is None:
        return None
    moment = now_us
    if found[1]:
        moment += int(found[2]) * _UNIT_US[found[3]] * (1 if found[1] == "+" else -1)
    return (moment, moment) if 0 <= moment < 250_000_000_000_000_000 else None  # noqa: PLR2004 - the year 9892: what datetime can hold


def _later(day: datetime, days: int) -> datetime:
    return day + timedelta(days=days)


def _microseconds(text: str) -> str:
    """The time with at most six digits of fraction, which is what `datetime` reads on every Python."""
    return re.sub(r"[.,](\d{1,6})\d*", lambda found: "." + found[1].ljust(6, "0"), text)


def _zone() -> ZoneInfo:
    return ZoneInfo(DEFAULT_TIMEZONE)
