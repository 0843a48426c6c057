"""What is never blocked, and what gateways get to read."""

from __future__ import annotations

import json
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.intel.allow import AllowList, shipped
from soc.intel.blocking import Entry
from soc.intel.formats import bundle, edl, fortigate, stix
from soc.intel.observables import Observable, extract

OURS = AllowList(
    [("45.77.0.0/16", "p1"), ("2405:4800::/32", "p1"), ("45.79.1.1", "s1")],
    {"Tinh.gov.vn": "ubnd", "cong.example.com": "s2"},
    ["a@tinh.gov.vn"],
    {"45.80.1.1": "đối tác"},
)


@pytest.mark.parametrize(
    ("type_", "value", "why"),
    [
        ("ip", "10.1.2.3", "public"), ("ip", "127.0.0.1", "public"), ("ip", "169.254.1.1", "public"), ("ip", "224.0.0.5", "public"), ("ip", "255.255.255.255", "public"),
        ("ip", "0.0.0.0", "public"), ("ip", "::1", "public"), ("ip", "fe80::1", "public"), ("ip", "fc00::1", "public"), ("ip", "ff02::1", "public"), ("ip", "::ffff:10.0.0.1", "public"),
        ("ip", "0.0.0.0/0", "too many"), ("ip", "45.0.0.0/8", "too many"), ("ip", "::/0", "too many"), ("ip", "45.77.0.0/16", "p1"), ("ip", "45.77.3.3", "p1"),
        ("ip", "45.76.0.0/15", "too many"), ("ip", "45.79.1.0/24", "s1"), ("ip", "45.79.1.1", "s1"), ("ip", "2405:4800::9", "p1"), ("ip", "8.8.8.8", "resolver"), ("ip", "8.8.8.0/24", "resolver"),
        ("ip", "45.80.1.1", "đối tác"), ("ip", "45.81.1.1", ""), ("ip", "2606:4700::9999", ""),
        ("domain", "google.com", "everybody"), ("domain", "mail.google.com", "everybody"), ("domain", "google.com.xau.top", ""), ("domain", "notgoogle.com", ""),
        ("domain", "so-y-te.tinh.gov.vn", "ubnd"), ("domain", "chinhphu.vn", "everybody"), ("domain", "cong.example.com", "s2"), ("domain", "example.com", ""), ("domain", "vn", "top-level"),
        ("email", "a@tinh.gov.vn", "ours"), ("email", "x@tinh.gov.vn", "ubnd"), ("email", "lua@gmail.com", ""), ("email", "x@xau.top", ""),
        ("url", "https://drive.google.com/uc?id=1", ""), ("url", "https://google.com/", "everybody"), ("url", "https://google.com:443", "everybody"), ("url", "http://tinh.gov.vn/x", "ubnd"),
        ("url", "http://10.1.1.1/x", "public"), ("url", "http://[::1]:80/x", "public"), ("url", "http://xau.top/", ""),
        ("hash", "d41d8cd98f00b204e9800998ecf8427e", ""),
    ],
)  # fmt: skip
def test_what_is_never_blocked(type_: str, value: str, why: str) -> None:
    """What is not public, ours, or everybody's, and neighbors that look like it."""
    reason = OURS.reason(Observable(type_, value))
    assert (why in reason) if why else reason == "", reason


def test_what_is_shipped_is_what_it_says() -> None:
    """Every resolver is one public address with a source, every domain is one."""
    for one in shipped().resolvers:
        network = ip_network(one.value)
        assert network.is_global, one
        assert network.num_addresses == 1
        assert one.source
    names = shipped().domains.names.split()
    assert len(names) == len(set(names)) > 100
    assert all("." in name and name == name.lower() for name in names)


@given(st.text(max_size=60))
def test_nothing_hostile_reaches_a_gateway(text: str) -> None:
    """Whatever a text says: a line of a list is one value, and the command line of a firewall gets no word that it does not expect."""
    entries = [Entry(one.type, one.value, ("INC-2026-0001",)) for one in extract(f"http://xau.top/{text} {text} {text}@xau.top 203.0.113.5{text}")]
    for type_ in ("ip", "domain", "url", "hash", "email"):
        for line in edl(entries, type_):
            assert line == line.strip()
            assert not set(line) & set(" \t\r\n\"'`|;\x00") - {"'", ";"}
    for line in fortigate(entries, "soc-block", "2026-12-21T00:00:00Z"):
        assert line.count('"') % 2 == 0
        assert line.strip().split(" ")[0] in {"config", "edit", "set", "next", "end"}
    assert json.loads(json.dumps(stix(entries, "BL-2026-0001", tlp="RED", begin="2026-11-21T00:00:00Z", expires_at="2026-12-21T00:00:00Z"))) is not None


def test_many_and_long_names_for_a_firewall() -> None:
    """Two long domains stay two objects, every name fits, and no line of a group holds more than twenty."""
    long = [Entry("domain", f"{'a' * 60}.{'b' * 60}.{number}.top") for number in range(45)]
    lines = list(fortigate(long, "soc-block", "2026-12-21T00:00:00Z"))
    names = [line.split('"')[1] for line in lines if line.strip().startswith('edit "soc-block ')]
    assert len(set(names)) == 45
    assert max(map(len, names)) <= 79
    members = [line.strip() for line in lines if " member " in line]
    assert [line.split()[0] for line in members] == ["set", "append", "append"]
    assert [line.count('"') // 2 for line in members] == [20, 20, 5]


def test_formats() -> None:
    """Each format as its reader's manual says."""
    entries = [
        Entry("ip", "203.0.113.5"),
        Entry("ip", "2001:db8::/48"),
        Entry("domain", "xau.top", ("INC-2026-0001",)),
        Entry("url", "http://xau.top/a"),
        Entry("hash", "0" * 64),
    ]
    assert list(edl(entries, "url")) == ["xau.top/a"]
    assert list(edl(entries, "ip")) == ["203.0.113.5", "2001:db8::/48"]
    text = "\n".join(fortigate(entries, "soc-block", "2026-12-21T00:00:00Z"))
    assert 'edit "soc-block 203.0.113.5"\n        set type ipmask\n        set subnet 203.0.113.5 255.255.255.255' in text
    assert "config firewall address6" in text
    assert "set ip6 2001:db8::/48" in text
    assert 'set member "soc-block 203.0.113.5" "soc-block xau.top"' in text
    objects = stix(entries, "BL-2026-0001", tlp="AMBER", begin="2026-11-21T00:00:00.123456Z", expires_at="2026-12-21T00:00:00Z")
    assert objects[0]["pattern"] == "[ipv4-addr:value = '203.0.113.5']"
    assert objects[4]["pattern"] == f"[file:hashes.'SHA-256' = '{'0' * 64}']"
    assert (objects[0]["valid_from"], objects[0]["valid_until"]) == ("2026-11-21T00:00:00.123Z", "2026-12-21T00:00:00.000Z")
    assert bundle(objects, ["BL-2026-0001"])["id"].startswith("bundle--")
