"""The reference page of the query language is true: its examples run, its short names are the real ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from soc.model.query import matches, parse
from soc.model.query.fields import ALIASES

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "query-language.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|`]*(?:`[^`]*`[^|`]*)*) \| `([^|]+)` \| `([^|]+)` \|$", PAGE, re.MULTILINE)
NOW = 1_795_190_400_000_000
EVENT: dict[str, Any] = {
    "@timestamp": "2026-11-20T01:02:03.004Z",
    "event.original": 'action="deny" msg="Đăng nhập thất bại" url="http://mail.evil.com/a" type="firewall"',
    "event.action": "deny",
    "source.ip": "10.1.2.3",
    "source.port": 51000,
    "destination.port": 445,
    "network.bytes": 1500,
    "rule.name": "Chặn truy cập",
    "soc.threat.level": "critical",
}


@pytest.mark.parametrize(("form", "hit", "miss"), ROWS, ids=[form for form, _, _ in ROWS])
def test_each_example_does_what_the_page_says(form: str, hit: str, miss: str) -> None:
    """The query of the second column finds the event, the one of the third does not."""
    assert matches(parse(hit, NOW), EVENT), form
    assert not matches(parse(miss, NOW), EVENT), form


def test_the_page_has_examples_and_all_short_names() -> None:
    """Nothing is left out and nothing invented."""
    assert len(ROWS) == 18
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE))
    assert {name: tuple(re.findall(r"`([^`]+)`", fields)) for name, fields in listed.items()} == ALIASES
