"""Gives what a syslog header says as ECS fields (`log.syslog.*`)."""

from __future__ import annotations

from soc.ingest.parser import Line
from soc.model.event import Doc

# Reference: RFC 5424 6.2.1, tables 1 and 2; names as Elastic writes them.
_FACILITIES = [
    "kernel",
    "user-level",
    "mail",
    "system",
    "security/authorization",
    "syslogd",
    "line-printer",
    "network-news",
    "UUCP",
    "clock",
    "security/authorization",
    "FTP",
    "NTP",
    "log-audit",
    "log-alert",
    "clock",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
]
_SEVERITIES = ("Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug")


def _of_priority(priority: int) -> Doc:
    facility, severity = divmod(priority, 8)
    return {
        "log.syslog.priority": priority,
        "log.syslog.facility.code": facility,
        "log.syslog.facility.name": _FACILITIES[facility],
        "log.syslog.severity.code": severity,
        "log.syslog.severity.name": _SEVERITIES[severity],
    }


_PRIORITIES = [_of_priority(priority) for priority in range(192)]


def syslog_fields(line: Line) -> Doc:
    """The header's fields, those that are there: a new document."""
    doc = dict(_PRIORITIES[line.priority]) if line.priority >= 0 else {}
    for field, value in (("hostname", line.host), ("appname", line.app), ("procid", line.pid), ("msgid", line.message_id)):
        if value:
            doc[f"log.syslog.{field}"] = value
    return doc
