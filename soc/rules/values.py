"""What values mean to rules: folding, text, numbers, times and addresses, each in one place.

Both matchers use these definitions; `soc.rules.semantics` states them. None of the functions raises, whatever an
event holds.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from zoneinfo import ZoneInfo

LOCAL_ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
"""The zone that `hour`, `day` and the like are told in, unless `use_zone` names another."""
MOST_DEPTH = 8
"""Lists within lists deeper than this are not looked into."""

MOST_BITS = 4_096
"""Larger integers are told in hexadecimal: Python refuses to write them in decimal (CVE-2020-10735)."""

# Reference: JSON number (RFC 8259 section 6) without exponent, leading zeros and a plus sign allowed: what devices write.
_NUMBER = re.compile(r"[ \t]*[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?[ \t]*", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_FROM = 100_000_000_000
"""Larger numbers are milliseconds since 1970, smaller ones seconds (the border is the year 5138 in seconds)."""


def fold(text: str) -> str:
    """What caseless tests compare: full Unicode case folding, then NFC. Accents stay: `lừa` is not `lua`.

    Source: Unicode Standard 3.13, D145 (canonical caseless matching).
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def composed(text: str) -> str:
    """What cased tests compare: NFC, so that two spellings of one letter are one."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def text_of(value: Any) -> str:
    """A scalar as text: `5`, `5.5`, `true`; a float without fraction as the integer."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return hex(value)
    return str(value)


def number_of(value: Any) -> int | float | None:
    """A scalar as a number: a finite number itself, or a text that is one; None for all else (also for booleans)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str) and len(value) <= 96 and _NUMBER.fullmatch(value):  # noqa: PLR2004 - what the pattern can match
        whole, _, fraction = value.partition(".")
        return float(value) if fraction.strip("0 \t") else int(whole)  # as floats, large numbers would be others
    return None


def scalars(value: Any) -> Iterator[Any]:
    """The values of a field: none for an absent one or null, all of a list (also of lists in it); objects are no values."""
    if value.__class__ is list:
        for item in value:
            if item.__class__ is not str:
                break
        else:
            return iter(value)  # nearly all lists of events hold texts only
    return _walk(value, 0)


def _walk(value: Any, depth: int) -> Iterator[Any]:
    if value is None or isinstance(value, dict):
        return
    if isinstance(value, (list, tuple)):
        if depth < MOST_DEPTH:
            for item in value:
                yield from _walk(item, depth + 1)
        return
    yield value


def address_of(value: Any) -> IPv4Address | IPv6Address | None:
    """A scalar as an IP address (a zone index `%eth0` is left out); None when it is none."""
    if not isinstance(value, str) or not 2 <= len(value) <= 64:  # noqa: PLR2004 - `::` to an address with zone
        return None
    try:
        return ip_address(value.partition("%")[0].strip())
    except ValueError:
        return None


class _Local:
    """The zone of this process."""

    zone = LOCAL_ZONE


def use_zone(zone: ZoneInfo) -> None:
    """Tell times in another zone from now on, in the whole process: for commands that evaluate events from elsewhere."""
    _Local.zone = zone


@contextmanager
def told_in(name: str) -> Iterator[None]:
    """Tell times in the zone of a name for a while, "" = in that of this process."""
    before = _Local.zone
    _Local.zone = zone_named(name) or before
    try:
        yield
    finally:
        _Local.zone = before


def zone_named(name: str) -> ZoneInfo | None:
    """The zone of a name, None for "": then that of the process counts."""
    return ZoneInfo(name) if name else None


def zone_in_use() -> str:
    """The name of the zone of this process."""
    return _Local.zone.key or ""


def local_time(value: Any, zone: ZoneInfo | None = None) -> datetime | None:
    """A scalar as a time in the local zone: RFC 3339 text (without zone: already local) or seconds or milliseconds since 1970."""
    zone = zone or _Local.zone
    try:
        if isinstance(value, str) and not _NUMBER.fullmatch(value):
            if not 10 <= len(value) <= 40:  # noqa: PLR2004 - a date to nanoseconds with zone
                return None
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)
        number = number_of(value)
        if number is None:
            return None
        return (_EPOCH + timedelta(milliseconds=number if abs(number) >= _MILLISECONDS_FROM else number * 1000)).astimezone(zone)
    except (ValueError, OverflowError):
        return None


def time_part(moment: datetime, part: str) -> int:
    """A part of a time: minute, hour, day (of the month), week (ISO 8601), month or year."""
    return moment.isocalendar().week if part == "week" else int(getattr(moment, part))
