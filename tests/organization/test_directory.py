"""Whose an event is: the point first, then the prefix inside it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from soc.adapters.memory_journal import MemoryJournal
from soc.clock import FrozenClock
from soc.organization.directory import Directory, Prefixes
from soc.organization.registry import Registry, record
from soc.organization.table import Row

DAY = date(2026, 11, 21)
ROWS: dict[str, list[dict[str, Any]]] = {
    "agencies": [
        {"id": "tinh", "name": "Tỉnh", "level": "province", "domains": "tinh-mau.gov.vn"},
        {"id": "x-1", "name": "Xã Một", "level": "commune", "parent": "tinh"},
        {"id": "x-2", "name": "Xã Hai", "level": "commune", "parent": "tinh"},
        {"id": "so-yt", "name": "Sở Y tế", "level": "department", "parent": "tinh"},
        {"id": "tram", "name": "Trạm y tế", "level": "unit", "parent": "so-yt"},
    ],
    "points": [
        {"id": "p1", "name": "Một", "agency": "x-1", "observers": "FGT-MOT", "prefixes": "192.168.1.0/24"},
        {"id": "p2", "name": "Hai", "agency": "x-2", "observers": "FGT-HAI;FGT40F2", "prefixes": "192.168.1.0/24", "sources": "firewall-two"},
        {"id": "p3", "name": "Sở", "agency": "so-yt", "observers": "FGT-SYT", "prefixes": ["10.1.0.0/16", "10.1.7.0/24=tram", "2001:db8:7::/48=tram"]},
    ],
    "systems": [
        {"id": "his", "name": "HIS", "owner": "so-yt", "point": "p3", "level": 3, "addresses": "10.1.0.5", "public_addresses": "198.51.100.5"},
        {"id": "cam", "name": "Camera", "owner": "x-1", "point": "p1", "addresses": "192.168.1.10"},
    ],
    "mailboxes": [{"address": "An@tinh-mau.gov.vn", "agency": "so-yt"}],
}


@pytest.fixture(scope="module")
def directory() -> Directory:
    """A small province."""
    journal = MemoryJournal(clock=FrozenClock(0))
    for kind, rows in ROWS.items():
        plan = Registry(journal).plan(kind, [Row(number, row) for number, row in enumerate(rows)])
        assert plan.rejected == []
        record(journal, plan, actor="an")
    return Directory(Registry(journal), DAY)


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        ({"observer.name": "FGT-MOT", "source.ip": "192.168.1.10"}, {"point": "p1", "agency": "x-1", "system": "cam"}),
        ({"observer.name": "fgt-hai", "source.ip": "192.168.1.10"}, {"point": "p2", "agency": "x-2"}),
        ({"observer.serial_number": "FGT40F2"}, {"point": "p2", "agency": "x-2"}),
        ({"soc.source": "firewall-two"}, {"point": "p2", "agency": "x-2"}),
        ({"observer.name": "FGT-SYT", "source.ip": "203.0.113.9", "destination.ip": "10.1.7.20"}, {"point": "p3", "agency": "tram"}),
        ({"observer.name": "FGT-SYT", "source.ip": "2001:db8:7::1"}, {"point": "p3", "agency": "tram"}),
        ({"observer.name": "FGT-SYT", "destination.ip": "10.1.0.5"}, {"point": "p3", "agency": "so-yt", "system": "his", "level": 3}),
        ({"source.ip": "203.0.113.9", "destination.ip": "198.51.100.5"}, {"system": "his", "level": 3}),
        ({"source.ip": "192.168.1.10"}, {}),
        ({"email.to.address": ["x@gmail.com", "AN@tinh-mau.gov.vn"]}, {"agency": "so-yt"}),
        ({"email.from.address": ["khac@tinh-mau.gov.vn"]}, {"agency": "tinh"}),
        ({"soc.agency.id": "khác", "observer.name": "FGT-MOT"}, {"point": "p1", "agency": "khác"}),
        ({"soc.network_point": "p3", "observer.name": "FGT-MOT", "source.ip": "10.1.7.1"}, {"point": "p3", "agency": "tram"}),
        ({"observer.name": "FGT-SYT", "source.ip": "no address"}, {"point": "p3", "agency": "so-yt"}),
    ],
)
def test_whose_an_event_is(directory: Directory, doc: dict[str, Any], expected: dict[str, Any]) -> None:
    """Two communes with the same private address stay two; what settings say stays; nothing is guessed."""
    doc = dict(doc)
    directory.enrich(doc)
    names = {"point": "soc.network_point", "agency": "soc.agency.id", "system": "soc.system.id", "level": "soc.system.level"}
    assert {name: doc[field] for name, field in names.items() if field in doc} == expected


def test_the_longest_prefix_counts() -> None:
    """Of nested networks the narrowest wins, whatever order they were given in."""
    nested = Prefixes([("0.0.0.0/0", "all"), ("10.1.2.3/32", "host"), ("10.0.0.0/8", "wide"), ("10.1.2.0/24", "net")])
    found = [nested.find(4, value) for value in (0x0A010203, 0x0A010204, 0x0AFF0000, 0x01020304)]
    assert found == ["host", "net", "wide", "all"]
    assert nested.find(6, 1) == ""
