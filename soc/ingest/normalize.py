"""Turns device spellings into ECS values: times, addresses, ports, numbers, names. Shared by all parsers.

Every function takes text of any content and length, and gives the normal form or raises ValueError; nothing else.
Values that repeat (dates, zones, addresses) are remembered in bounded tables, so the hot path is one dict look-up.
"""

from __future__ import annotations

import ipaddress
import math
import re
import socket
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from soc.clock import to_datetime
from soc.ingest.parser import Context

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US
LONGEST_TIME = 64
"""No device writes a time in more characters."""
LONGEST_NAME = 255
MOST_REMEMBERED = 16_384
"""Entries of a table; at about 100 bytes each a table stays below 10 MB, then it is emptied."""

T = TypeVar("T")


class Remembered(dict[str, Any]):
    """A table that computes a missing value with `compute` and keeps it; emptied when full.

    Cost: one dict look-up per hit, in C even inside `map(table.__getitem__, values)`. Raises: what `compute` raises.
    """

    def __init__(self, compute: Callable[[str], Any], most: int = MOST_REMEMBERED) -> None:
        super().__init__()
        self._compute = compute
        self._most = most

    def __missing__(self, key: str) -> Any:
        value = self._compute(key)
        if len(self) >= self._most:
            self.clear()
        if len(key) <= LONGEST_NAME:
            self[key] = value
        return value


# --- numbers --------------------------------------------------------------------------------------------------------

_LARGEST = 2**63 - 1


def integer(text: str) -> int:
    """A whole number that fits 64 bits (what a store's `long` takes).

    Raises: ValueError.
    """
    if len(text) > 20:  # noqa: PLR2004 - digits of a 64-bit number with its sign
        raise ValueError("not a 64-bit number")
    value = int(text)
    if not -_LARGEST <= value <= _LARGEST or not text.isascii():
        raise ValueError("not a 64-bit number")
    return value


def count(text: str) -> int:
    """A whole number that is not negative (bytes, packets).

    Raises: ValueError.
    """
    value = integer(text)
    if value < 0:
        raise ValueError("negative count")
    return value


def port(text: str) -> int:
    """A port, 0 to 65535.

    Raises: ValueError.
    """
    value = integer(text)
    if not 0 <= value <= 0xFFFF:  # noqa: PLR2004 - RFC 9293 3.1: 16 bits
        raise ValueError("not a port")
    return value


def decimal(text: str) -> float:
    """A finite number.

    Raises: ValueError.
    """
    value = float(text) if len(text) <= LONGEST_TIME else float("nan")
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


# Reference: durations as devices write them: `5462`, `12.5`, `0:00:30`, `1h2m3s`, `2d 03:04:05`.
_CLOCKED = re.compile(r"(?:(?P<days>\d{1,6})d ?)?(?P<hours>\d{1,6}):(?P<minutes>\d{1,2})(?::(?P<seconds>\d{1,2}(?:\.\d{1,9})?))?$")
_LETTERED = re.compile(r"(?:(?P<days>\d{1,6})d)? ?(?:(?P<hours>\d{1,6})h)? ?(?:(?P<minutes>\d{1,6})m)? ?(?:(?P<seconds>\d{1,9}(?:\.\d{1,9})?)s)?$")


def duration_ns(text: str, unit_ns: int = 1_000_000_000) -> int:
    """A duration in nanoseconds (ECS `event.duration`); a bare number counts `unit_ns`.

    Raises: ValueError.
    """
    text = text.strip()
    if text.isdigit() and text.isascii():
        return _bounded(integer(text) * unit_ns)
    match = _CLOCKED.match(text) or _LETTERED.match(text)
    if match is not None and any(match.groups()):
        parts = {name: float(value) for name, value in match.groupdict().items() if value}
        seconds = parts.get("days", 0) * 86_400 + parts.get("hours", 0) * 3600 + parts.get("minutes", 0) * 60 + parts.get("seconds", 0)
        return _bounded(round(seconds * 1e9))
    return _bounded(round(decimal(text) * unit_ns))


def _bounded(value: int) -> int:
    if not 0 <= value <= _LARGEST:
        raise ValueError("not a duration")
    return value


# --- times ----------------------------------------------------------------------------------------------------------

# Reference: RFC 2822 4.3 (North American names) and the names that appliances sold here write; ambiguous ones
# (IST, CST outside America, BST) are left out on purpose: such a time is taken as local.
_ZONES = {"Z": 0, "UTC": 0, "GMT": 0, "UT": 0, "WET": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
_ZONES |= {"CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "ICT": 7, "WIB": 7, "SGT": 8, "HKT": 8, "JST": 9, "KST": 9, "AEST": 10}
# Reference: ISO 8601 offsets, and `UTC-5:00`, `GMT+7` as FortiOS and others write them.
_OFFSET = re.compile(r"(?:UTC|GMT)?(?P<sign>[+-])(?P<hours>\d{1,2})(?::?(?P<minutes>\d\d))?$")


@lru_cache(maxsize=4096)
def zone_us(name: str) -> int | None:
    """The offset from UTC of a fixed zone (`+0700`, `Z`, `UTC-5:00`, `ICT`), None for a name that is none (`Asia/Tokyo`, "")."""
    name = name.strip()
    if name.upper() in _ZONES:
        return _ZONES[name.upper()] * HOUR_US
    match = _OFFSET.match(name)
    if match is None or not name.isascii():
        return None
    offset = int(match["hours"]) * HOUR_US + int(match["minutes"] or 0) * MINUTE_US
    if offset > 15 * HOUR_US:
        return None
    return -offset if match["sign"] == "-" else offset


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # an unknown name, a path, a name that is a folder
        return None


def known_zone(name: str) -> bool:
    """Whether a zone name means anything here (`+0700`, `ICT`, `Asia/Ho_Chi_Minh`)."""
    return zone_us(name) is not None or _zone(name) is not None


@lru_cache(maxsize=65_536)
def _local_offset_us(hour: int, name: str) -> int:
    """The offset of zone `name` in the civil hour `hour` (hours since 1970 on that zone's own clock)."""
    zone = _zone(name)
    if zone is None:
        return zone_us(name) or 0
    try:
        offset = (datetime(1970, 1, 1) + timedelta(hours=hour)).replace(tzinfo=zone).utcoffset()  # noqa: DTZ001 - a civil time, its zone is set beside
    except (OverflowError, ValueError):
        offset = None
    return offset // timedelta(microseconds=1) if offset is not None else 0


def to_utc_us(civil_us: int, zone: str, timezone: str) -> int:
    """The moment of a civil time (microseconds since 1970 on its own clock) in `zone` (any spelling), else in `timezone`."""
    if zone:
        offset = zone_us(zone)
        if offset is not None:
            return civil_us - offset
        if "/" in zone and _zone(zone) is not None:
            timezone = zone
    return civil_us - _local_offset_us(civil_us // HOUR_US, timezone)


def _midnight_us(text: str) -> int:
    # Reference: ISO 8601 calendar dates; `/` and `.` as separators are what devices make of it.
    if len(text) != 10 or text[4] not in "-/." or text[7] != text[4] or not text.isascii():  # noqa: PLR2004
        raise ValueError("not a date")
    return (date(int(text[:4]), int(text[5:7]), int(text[8:])).toordinal() - _EPOCH_DAY) * DAY_US


_EPOCH_DAY = date(1970, 1, 1).toordinal()
midnight_us = Remembered(_midnight_us).__getitem__
"""Microseconds since 1970 at the start of the civil day `YYYY-MM-DD`. Raises: ValueError."""


def clock_us(text: str) -> int:
    """Microseconds since midnight of `HH:MM:SS` with a fraction or without; a leap second counts as the one before.

    Raises: ValueError.
    """
    if len(text) < 8 or text[2] != ":" or text[5] != ":" or not text.isascii():  # noqa: PLR2004
        raise ValueError("not a time of day")
    hour, minute, second = int(text[:2]), int(text[3:5]), int(text[6:8])
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second <= 60):  # noqa: PLR2004
        raise ValueError("not a time of day")
    whole = (hour * 3600 + minute * 60 + min(second, 59)) * SECOND_US
    if len(text) == 8:  # noqa: PLR2004
        return whole
    fraction = text[9:15]
    if text[8] not in ".," or not text[9:].isdigit():
        raise ValueError("not a time of day")
    return whole + int(fraction.ljust(6, "0"))


def _us_of_epoch(text: str) -> int:
    whole, _, fraction = text.strip().partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) <= 19 and (not fraction or fraction.isdigit())):  # noqa: PLR2004 - nanoseconds of this century have 19 digits
        raise ValueError("not a time since 1970")
    value = int(whole)
    if len(whole) >= 18:  # noqa: PLR2004 - below, each form by its number of digits from 1973 to 2286
        return value // 1000
    if len(whole) >= 15:  # noqa: PLR2004
        return value
    if len(whole) >= 12:  # noqa: PLR2004
        return value * 1000 + int((fraction[:3] or "0").ljust(3, "0"))
    return value * SECOND_US + int((fraction[:6] or "0").ljust(6, "0"))


def epoch_us(text: str) -> int:
    """Microseconds of a number since 1970 in seconds (with a fraction or without), milli-, micro- or nanoseconds.

    Raises: ValueError.
    """
    return _us_of_epoch(text)


_MONTHS = {name: number for number, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)}
# Reference: ISO 8601 / RFC 3339, with space for T, comma for point, no seconds, AM or PM, and a zone name after a space.
_ISO = re.compile(
    r"(?P<date>\d{4}[-/.]\d\d[-/.]\d\d)(?:[T_ ]|  )(?P<clock>\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)(?: (?P<half>[AP]M))? ?"
    r"(?P<zone>Z|(?:UTC|GMT)?[+-]\d\d?:?(?:\d\d)?|[A-Z]{2,5}|[A-Za-z_]+/[A-Za-z_/+-]+)?$"
)
# Reference: RFC 3164 4.1.2, ctime(3), CEF "Date Formats" (`MMM dd [yyyy] HH:mm:ss[.SSS] [zzz]`), Cisco IOS.
_MONTH_FIRST = re.compile(
    r"[*.]?(?:[A-Za-z]{3,9},? )?(?:(?P<y0>\d{4}) )?(?P<month>[A-Za-z]{3})[a-z]{0,6}  ?(?P<day>\d{1,2})(?:,? (?P<y1>\d{4}))?,? "
    r"(?P<clock>\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)(?: (?P<half>[AP]M))?(?: (?P<y2>\d{4})$)?(?: (?P<zone>[A-Z]{1,5}|(?:UTC|GMT)?[+-]\d\d?:?(?:\d\d)?|[A-Za-z_]+/[A-Za-z_/+-]+)(?: (?P<y3>\d{4}))?)?$"
)
# Reference: RFC 5322 3.3 and the NCSA log format (`10/Oct/2000:13:55:36 -0700`); months in full as SecureSphere writes them.
_DAY_FIRST = re.compile(
    r"(?:[A-Za-z]{3,9}, )?(?P<day>\d{1,2})[ /-](?P<month>[A-Za-z]{3})[a-z]{0,6}[ /-](?P<y1>\d{4})[ :T](?P<clock>\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)(?: (?P<half>[AP]M))?(?: ?(?P<zone>[A-Z]{1,5}|[+-]\d\d:?\d\d))?$"
)

# Reference: `11/20/2026 10:11:12 AM` of Windows programs and databases.
_NUMBERED = re.compile(r"(?P<first>\d{1,2})/(?P<second>\d{1,2})/(?P<year>\d{4}),? (?P<clock>\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?)(?: (?P<half>[AP]M))?$")


def time_us(text: str, context: Context) -> int:
    """Microseconds since 1970 of a time in any spelling that devices are known to use.

    A missing zone is completed by `context.timezone`, a missing year so that the time is the latest that is not after
    `context.received_us` by more than a week (a December line received in January is of last year).
    `context.offset_us` is added.
    Raises: ValueError.
    """
    if len(text) > LONGEST_TIME:
        raise ValueError("not a time")
    text = text.strip()
    if text[:1].isdigit() and text.replace(".", "", 1).isdigit():
        return epoch_us(text) + context.offset_us
    match = _ISO.match(text)
    if match is not None:
        clock = match["clock"]
        civil = midnight_us(match["date"]) + _half_day_us(clock_us(clock if len(clock) > 5 else clock + ":00"), match["half"])  # noqa: PLR2004
        return to_utc_us(civil, match["zone"] or "", context.timezone) + context.offset_us
    match = _NUMBERED.match(text)
    if match is not None:
        return _numbered_month_us(match, context) + context.offset_us
    return _named_month_us(text, context) + context.offset_us


def _numbered_month_us(match: re.Match[str], context: Context) -> int:
    """The moment of a date in three numbers. Which is the month must be certain: by a number above 12, or by the clock of twelve hours (America).

    Raises: ValueError.
    """
    first, second = int(match["first"]), int(match["second"])
    american = match["half"] is not None or second > 12  # noqa: PLR2004 - months of a year
    if not american and first <= 12:  # noqa: PLR2004
        raise ValueError("a day or a month")
    month, day = (first, second) if american else (second, first)
    clock = _half_day_us(clock_us(match["clock"] if match["clock"][2] == ":" else "0" + match["clock"]), match["half"])
    return to_utc_us((date(int(match["year"]), month, day).toordinal() - _EPOCH_DAY) * DAY_US + clock, "", context.timezone)


def _half_day_us(clock: int, half: str | None) -> int:
    """The time of day that a clock of twelve hours means by `AM` or `PM`.

    Raises: ValueError.
    """
    if half is None:
        return clock
    hour = clock // HOUR_US
    if not 1 <= hour <= 12:  # noqa: PLR2004 - the hours of such a clock
        raise ValueError("not a time of day")
    return clock - hour * HOUR_US + (hour % 12 + (12 if half == "PM" else 0)) * HOUR_US


def _named_month_us(text: str, context: Context) -> int:
    match = _MONTH_FIRST.match(text) or _DAY_FIRST.match(text)
    month = _MONTHS.get(match["month"].lower()) if match is not None else None
    if match is None or month is None:
        raise ValueError("not a time")
    parts = match.groupdict()
    clock, zone = _half_day_us(clock_us(parts["clock"]), parts["half"]), parts["zone"] or ""
    year = parts.get("y0") or parts["y1"] or parts.get("y2") or parts.get("y3")
    if year is not None:
        return to_utc_us((date(int(year), month, int(parts["day"])).toordinal() - _EPOCH_DAY) * DAY_US + clock, zone, context.timezone)
    return nearest_year_us(month, int(parts["day"]), clock, zone, context)


def nearest_year_us(month: int, day: int, clock: int, zone: str, context: Context) -> int:
    """The latest moment with this month, day and time of day that is at most a week after `context.received_us`.

    A week: clocks are wrong by hours or days, not by months; a line from an archive lies in the past.
    Raises: ValueError.
    """
    latest = min(max(context.received_us - context.offset_us, 0), _LATEST_US) + 7 * DAY_US
    year = to_datetime(latest).year
    for candidate in range(year + 1, year - 9, -1):  # 29 February: leap years may lie eight years apart (1896, 1904)
        try:
            us = to_utc_us((date(candidate, month, day).toordinal() - _EPOCH_DAY) * DAY_US + clock, zone, context.timezone)
        except ValueError:
            continue
        if us <= latest:
            return us
    raise ValueError("not a date")


_LATEST_US = (datetime(9990, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
_EARLIEST_US = -62_135_596_800 * SECOND_US
_SECONDS: dict[int, str] = {}
_MOST_SECONDS = 4_096
"""An hour: lines come nearly in the order of time, what is longer ago comes no more."""


def iso(us: int) -> str:
    """RFC 3339 in UTC, as `soc.clock.iso` writes it, but the text of a second is remembered.

    Raises: ValueError outside the years 1 to 9990.
    """
    second, fraction = divmod(us, SECOND_US)
    text = _SECONDS.get(second)
    if text is None:
        if not _EARLIEST_US <= us <= _LATEST_US:
            raise ValueError("a year that no calendar here has")
        if len(_SECONDS) >= _MOST_SECONDS:
            _SECONDS.clear()
        moment = to_datetime(second * SECOND_US)
        text = _SECONDS[second] = f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d}T{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d}."
    return f"{text}{fraction:06d}Z" if fraction % 1000 else f"{text}{fraction // 1000:03d}Z"


# --- addresses and names --------------------------------------------------------------------------------------------


def _canonical_ip(text: str) -> str:
    try:
        socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        pass
    else:
        return text
    stripped = text.strip().strip("[]").partition("%")[0]
    if len(stripped) > 45:  # noqa: PLR2004 - the longest text of an IPv6 address
        raise ValueError("not an address")
    return str(ipaddress.ip_address(stripped))


ips = Remembered(_canonical_ip)
"""Text → canonical address; `map(ips.__getitem__, values)` runs in C for known ones."""


def ip(text: str) -> str:
    """The canonical text of an IPv4 or IPv6 address (RFC 5952), without brackets and zone id.

    Raises: ValueError.
    """
    value: str = ips[text]
    return value


# Reference: `192.0.2.1:53`, `[2001:db8::1]:53`, `192.0.2.1#53` (BIND), `192.0.2.1/53` (Cisco).
_IP_PORT = re.compile(r"\[?(?P<ip>[0-9A-Fa-f.:]{2,45})(?:%[\w.]{1,32})?\]?[:#/](?P<port>\d{1,5})$")


def ip_port(text: str) -> tuple[str, int | None]:
    """The address and, where one is given, the port.

    Raises: ValueError.
    """
    try:
        return ip(text), None
    except ValueError:
        match = _IP_PORT.match(text.strip()) if len(text) <= LONGEST_NAME else None
        if match is None:
            raise
        return ip(match["ip"]), port(match["port"])


def domain(text: str) -> str:
    """A host or domain name in lower case without the final dot.

    Raises: ValueError.
    """
    name = text.strip().rstrip(".").lower()
    if not name or len(name) > LONGEST_NAME or any(c.isspace() for c in name):
        raise ValueError("not a name")
    return name


def mail_address(text: str) -> str:
    """A mail address without angle brackets, its domain in lower case (RFC 5321 2.4: the local part is kept as it is).

    Raises: ValueError.
    """
    address = text.strip().removeprefix("<").removesuffix(">")
    local, at, host = address.rpartition("@")
    if not at or not local or not host or len(address) > 320 or any(c.isspace() for c in host):  # noqa: PLR2004 - RFC 5321 4.5.3.1: 64 + 1 + 255
        raise ValueError("not a mail address")
    return f"{local}@{host.lower()}"


def _mac(text: str) -> str:
    digits = text.strip().replace(":", "").replace("-", "").replace(".", "")
    if len(text) > 32 or len(digits) != 12:  # noqa: PLR2004
        raise ValueError("not a hardware address")
    bytes.fromhex(digits)
    digits = digits.upper()
    return "-".join(digits[i : i + 2] for i in range(0, 12, 2))


macs = Remembered(_mac)


def mac(text: str) -> str:
    """A hardware address as ECS writes it: `00-1B-44-11-3A-B7` (RFC 7042).

    Raises: ValueError.
    """
    value: str = macs[text]
    return value


_HASHES = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
_HEX = re.compile(r"[0-9A-Fa-f]{32,128}$")


def hash_kind(text: str) -> str:
    """The ECS name (`md5`, `sha1`, `sha256`, `sha512`) of a file hash by its length.

    Raises: ValueError.
    """
    kind = _HASHES.get(len(text))
    if kind is None or _HEX.match(text) is None:
        raise ValueError("not a hash")
    return kind


# Reference: IANA "Assigned Internet Protocol Numbers", keywords in lower case as ECS `network.transport` wants them.
TRANSPORTS = {
    "0": "hopopt",
    "1": "icmp",
    "2": "igmp",
    "4": "ipv4",
    "6": "tcp",
    "8": "egp",
    "9": "igp",
    "12": "pup",
    "17": "udp",
    "27": "rdp",
    "33": "dccp",
    "41": "ipv6",
}
TRANSPORTS |= {
    "46": "rsvp",
    "47": "gre",
    "50": "esp",
    "51": "ah",
    "58": "ipv6-icmp",
    "88": "eigrp",
    "89": "ospf",
    "94": "ipip",
    "103": "pim",
    "112": "vrrp",
    "115": "l2tp",
    "132": "sctp",
}
