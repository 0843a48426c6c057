"""Syslog headers as ECS fields."""

from __future__ import annotations

import pytest

from soc.ingest.framing import frame
from soc.ingest.syslog import syslog_fields


def test_priority_and_parts() -> None:
    """Priority gives facility and severity by number and name; the header's parts stand beside them."""
    assert syslog_fields(frame("<165>1 2003-10-11T22:14:15.003Z host app 77 ID47 - m")) == {
        "log.syslog.priority": 165,
        "log.syslog.facility.code": 20,
        "log.syslog.facility.name": "local4",
        "log.syslog.severity.code": 5,
        "log.syslog.severity.name": "notice",
        "log.syslog.hostname": "host",
        "log.syslog.appname": "app",
        "log.syslog.procid": "77",
        "log.syslog.msgid": "ID47",
    }


@pytest.mark.parametrize("text", ["plain text", "", "<999>x"])
def test_no_header_no_fields(text: str) -> None:
    """A line without a header has none of them."""
    assert syslog_fields(frame(text)) == {}


def test_every_priority_is_known() -> None:
    """0 to 191 each have a facility and a severity."""
    for priority in range(192):
        fields = syslog_fields(frame(f"<{priority}>date=x"))
        assert fields["log.syslog.facility.code"] * 8 + fields["log.syslog.severity.code"] == priority
