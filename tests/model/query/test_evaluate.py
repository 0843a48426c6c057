"""What queries mean, comparison by comparison."""

from __future__ import annotations

from typing import Any

import pytest

from soc.model.query import matches, parse
from soc.model.query.evaluate import glob

DOC: dict[str, Any] = {
    "@timestamp": "2026-11-20T01:02:03.004Z",
    "event.original": 'date=2026-11-20 action="deny" msg="Đăng  nhập thất bại từ 10.1.2.3" url="http://mail.evil.com/a"',
    "event.category": ["network", "intrusion_detection"],
    "event.action": "deny",
    "source.ip": "10.1.2.3",
    "destination.ip": "2001:db8::1",
    "source.port": 443,
    "network.bytes": 1500,
    "rule.name": "Chặn Truy Cập",
    "soc.id": "abcdef",
    "soc.threat.level": "critical",
    "soc.threat.category": "brute-force",
    "soc.blocked": True,
    "vendor.count": "0030",
    "empty": [],
}


@pytest.mark.parametrize(
    "query",
    [
        "action:DENY", 'rule:"chan truy cap"', "rule:chan*", "rule:*c?p", "sport:443", "sport:443.0", "blocked:true", "event.category:network", "source.ip:10.0.0.0/8",
        'destination.ip:"2001:0db8:0:0::1"', "destination.ip:2001:db8::/32", "source.ip:[10.1.2.2 TO 10.1.2.10]", 'source.ip:"::ffff:10.1.2.3"', "network.bytes>1499", "network.bytes:[1500 TO 1500]",
        "not network.bytes:{1500 TO 1600]", "vendor.count>9", "vendor.count<100", "event.action:[dena TO denz]", "@timestamp:[2026-11-20T01:02:03.004Z TO 2026-11-20T01:02:03.004Z]",
        "@timestamp:2026-11-20", "exists:source.ip", "not exists:empty", "not nothing:x", "deny", '"dang nhap that bai"', '"ĐĂNG NHẬP"', "mail.evil.com", "evil", "10.1.2.3", "10.1.2.3 deny",
        "thất", "that*", "mail.ev*", "brute-force", "not abcdef", "not critical", "443", "level:(high or critical)", "event.category:(network and intrusion_detection)", "chan truy",
    ],
)  # fmt: skip
def test_an_event_fits(query: str) -> None:
    """The event fits the query, and not its negation."""
    assert matches(parse(query), DOC)
    assert not matches(parse(f"not ({query})"), DOC)


@pytest.mark.parametrize(
    "query",
    [
        "action:den", "action:den?x*", "sport:44", "vendor.count:30", "source.ip:11.0.0.0/8", "source.ip:fe80::/10", "destination.ip:0.0.0.0/0", "source.ip:[10.1.2.10 TO 10.1.2.20]",
        "network.bytes:{1500 TO *]", "event.action>5", "@timestamp<2026-11-20", "exists:empty", "nothing:*", "nothing<5", "den", "vil", '"nhap dang"', '"ang nhap"', "blocked>0", "level:<critical",
    ],
)  # fmt: skip
def test_an_event_does_not_fit(query: str) -> None:
    """A near miss is a miss."""
    assert not matches(parse(query), DOC)


def test_a_pattern_of_many_stars_is_answered_at_once() -> None:
    """Patterns never backtrack exponentially."""
    assert not glob("*a" * 200 + "b", "a" * 2000)
    assert glob("*a" * 200 + "*", "a" * 2000)
