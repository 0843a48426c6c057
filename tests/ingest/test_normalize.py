"""Device spellings become ECS values, or a ValueError; nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.clock import iso as slow_iso
from soc.ingest import normalize
from soc.ingest.normalize import HOUR_US, Remembered, duration_ns, hash_kind, ip, ip_port, iso, known_zone, mac, mail_address, port, time_us, zone_us
from soc.ingest.parser import Context

RECEIVED_US = 1_767_319_200_000_000
"""2026-01-02T02:00:00Z."""
CONTEXT = Context(RECEIVED_US)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-01T10:00:00+07:00", "2026-01-01T03:00:00.000Z"),
        ("2026-01-01T10:00:00.123456Z", "2026-01-01T10:00:00.123456Z"),
        ("2026-01-01 10:00:00,5", "2026-01-01T03:00:00.500Z"),
        ("2026/01/01 10:00 Asia/Tokyo", "2026-01-01T01:00:00.000Z"),
        ("Jan  2 08:59:00", "2026-01-02T01:59:00.000Z"),
        ("Dec 31 23:59:59", "2025-12-31T16:59:59.000Z"),
        ("Jan  5 00:00:00", "2026-01-04T17:00:00.000Z"),
        ("Feb 29 01:00:00", "2024-02-28T18:00:00.000Z"),
        ("*Mar  1 2025 18:46:11.123 UTC", "2025-03-01T18:46:11.123Z"),
        ("Mar 10 09:30:19 2010", "2010-03-10T02:30:19.000Z"),
        ("Wed Mar 10 09:30:19 2010", "2010-03-10T02:30:19.000Z"),
        ("Apr 11 2020 10:42:13.123 EST", "2020-04-11T15:42:13.123Z"),
        ("10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36.000Z"),
        ("Fri, 21 Nov 2025 09:55:06 -0600", "2025-11-21T15:55:06.000Z"),
        ("1543270652", "2018-11-26T22:17:32.000Z"),
        ("1543270652.25", "2018-11-26T22:17:32.250Z"),
        ("1543270652000", "2018-11-26T22:17:32.000Z"),
        ("1587230269052907", "2020-04-18T17:17:49.052907Z"),
        ("1587230269052907555", "2020-04-18T17:17:49.052907Z"),
        ("Oct 02 2026 12:15:09 AM UTC", "2026-10-02T00:15:09.000Z"),
        ("Oct 02 2026 12:15:09 PM UTC", "2026-10-02T12:15:09.000Z"),
        ("2026-10-02 03:15:09 PM UTC", "2026-10-02T15:15:09.000Z"),
        ("02 Oct 2026 03:15:09 PM +0000", "2026-10-02T15:15:09.000Z"),
        ("31 March 2016 13:04:55", "2016-03-31T06:04:55.000Z"),
        ("Friday, 20 November 2026 13:04:55 +0000", "2026-11-20T13:04:55.000Z"),
        ("11/20/2026 3:04:05 PM", "2026-11-20T08:04:05.000Z"),
        ("02/03/2026 10:11:12 AM", "2026-02-03T03:11:12.000Z"),
        ("20/11/2026 10:11:12", "2026-11-20T03:11:12.000Z"),
        ("11/20/2026 10:11:12.5", "2026-11-20T03:11:12.500Z"),
    ],
)
def test_times(text: str, moment: str) -> None:
    """Every form that devices write is read; zone and year are completed from the context."""
    assert iso(time_us(text, CONTEXT)) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-01-01T25:00:00Z",
        "2026-01-01 13:00:00 PM",
        "02/03/2026 10:11:12",
        "13/13/2026 10:11:12",
        "20/11/2026 10:11:12 AM",
        "0/0/2026 1:00:00 AM",
        "Foo 10 10:00:00",
        "Feb 30 10:00:00",
        "9" * 40,
        "1" * 100,
        "٢٠٢٦-01-01T00:00:00Z",
    ],
)
def test_what_is_no_time(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match=r".+"):
        time_us(text, CONTEXT)


def test_the_offset_of_a_wrong_clock_is_added() -> None:
    """A device left on UTC is put right by its source's offset."""
    assert time_us("2026-01-01T10:00:00", Context(RECEIVED_US, "UTC", 7 * HOUR_US)) == time_us("2026-01-01T17:00:00Z", CONTEXT)


def test_summer_time_is_kept() -> None:
    """A zone with summer time has its offset of that day."""
    berlin = Context(RECEIVED_US, "Europe/Berlin")
    assert iso(time_us("2025-07-01 12:00:00", berlin)) == "2025-07-01T10:00:00.000Z"
    assert iso(time_us("2025-12-01 12:00:00", berlin)) == "2025-12-01T11:00:00.000Z"


@pytest.mark.parametrize(
    ("name", "hours"),
    [
        ("+0700", 7),
        ("-05:00", -5),
        ("Z", 0),
        ("UTC-5:00", -5),
        ("GMT+7", 7),
        ("ICT", 7),
        ("Asia/Tokyo", None),
        ("", None),
        ("+99:00", None),
        ("../../etc", None),
    ],
)
def test_zones(name: str, hours: int | None) -> None:
    """Offsets and known names are fixed zones; names of places are not."""
    assert zone_us(name) == (None if hours is None else hours * HOUR_US)


def test_known_zones() -> None:
    """Places and offsets are known, paths and nonsense are not."""
    assert [known_zone(name) for name in ("Asia/Ho_Chi_Minh", "+07:00", "Mars/Base", "../../etc/passwd", "", "a\0b")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


@given(st.integers(-62_135_596_800_000_000, 253_000_000_000_000_000))
def test_iso_is_the_clock_s(us: int) -> None:
    """The remembered form is the same as the plain one."""
    assert iso(us)[4:] == slow_iso(us)[-len(iso(us)) + 4 :]
    assert len(iso(us)) in {24, 27}


@given(st.integers(0, 4_000_000_000_000_000))
def test_iso_is_read_back(us: int) -> None:
    """What we write we read."""
    assert time_us(iso(us), CONTEXT) == us


@pytest.mark.parametrize(
    ("text", "address"),
    [("192.0.2.1", "192.0.2.1"), ("2001:DB8:0:0::1", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1"), ("fe80::1%eth0", "fe80::1"), (" 10.0.0.1 ", "10.0.0.1")],
)
def test_addresses(text: str, address: str) -> None:
    """Addresses have one text each."""
    assert ip(text) == address


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "host", "1.2.3.4/24", ":" * 100, "1.2.3.4\0"])
def test_what_is_no_address(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match=r".+"):
        ip(text)


def test_addresses_with_ports() -> None:
    """The usual ways to write a port behind an address."""
    assert [ip_port(text) for text in ("192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.1#53", "2001:db8::1")] == [
        ("192.0.2.1", 53),
        ("2001:db8::1", 53),
        ("192.0.2.1", 53),
        ("2001:db8::1", None),
    ]


def test_small_values() -> None:
    """Ports, hardware addresses, mail addresses, hashes and durations in their ECS forms."""
    assert port("65535") == 65535
    assert mac("001b.4411.3ab7") == mac("00:1b:44:11:3a:b7") == "00-1B-44-11-3A-B7"
    assert mail_address("<Nguyen.Van.A@Tinh.Example>") == "Nguyen.Van.A@tinh.example"
    assert [hash_kind("a" * length) for length in (32, 40, 64, 128)] == ["md5", "sha1", "sha256", "sha512"]
    assert [duration_ns(text) for text in ("5", "1.5", "0:00:30", "1h2m3s", "1d 00:00:01", "2s")] == [
        5 * 10**9,
        15 * 10**8,
        30 * 10**9,
        3723 * 10**9,
        86401 * 10**9,
        2 * 10**9,
    ]


FUNCTIONS: list[Callable[[str], Any]] = [
    normalize.integer,
    normalize.count,
    normalize.port,
    normalize.decimal,
    normalize.duration_ns,
    normalize.zone_us,
    normalize.known_zone,
    normalize.midnight_us,
    normalize.clock_us,
    normalize.epoch_us,
    normalize.ip,
    normalize.ip_port,
    normalize.domain,
    normalize.mail_address,
    normalize.mac,
    normalize.hash_kind,
    lambda text: time_us(text, CONTEXT),
    lambda text: normalize.to_utc_us(0, text, text),
]


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
@given(
    st.one_of(st.text(max_size=80), st.text("0123456789:-+. TZabcdef@<>[]%/x", max_size=60), st.sampled_from(["9" * 5000, "a" * 5000, "1e999", "nan", "\0"]))
)
def test_nothing_raises_but_value_error(number: int, text: str) -> None:
    """Any text gives a value or a ValueError."""
    try:
        FUNCTIONS[number](text)
    except ValueError:
        return


def test_a_table_is_bounded() -> None:
    """A remembered table is emptied when it is full, and keeps no long keys."""
    table = Remembered(str.upper, most=2)
    assert [table[key] for key in ("a", "b", "c", "x" * 1000)] == ["A", "B", "C", "X" * 1000]
    assert len(table) <= 2
