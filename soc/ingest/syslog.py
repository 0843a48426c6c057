"""Gives what a syslog header says as ECS fields (`log.syslog.*`)."""

from __future__ import annotations

from soc.ingest.parser import Line
from soc.model.event import Doc
from soc.model.text import UNSEARCHED, texts_tokens

# Reference: RFC 5424 6.2.1, tables 1 and 2; keywords of syslog.conf(5).
_FACILITIES = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
]
_SEVERITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug")


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
    """The header's fields, those that are there; not to be changed.

    Cost: one list look-up for a line that has a priority only.
    """
    doc = _PRIORITIES[line.priority] if line.priority >= 0 else _NOTHING
    if line.host or line.app or line.message_id:
        return {**doc, **{f"log.syslog.{name}": value for name, value in zip(_PARTS, (line.host, line.app, line.pid, line.message_id), strict=True) if value}}
    return doc


def syslog_tokens(line: Line) -> str:
    """The tokens of what `syslog_fields` gives, each after a space."""
    tokens = _TOKENS[line.priority] if line.priority >= 0 else ""
    if line.host or line.app or line.message_id:
        more = texts_tokens((line.host, line.app, line.pid, line.message_id))
        return f"{tokens} {more}" if more else tokens
    return tokens


_TOKENS = [" " + texts_tokens(value for name, value in fields.items() if name not in UNSEARCHED) for fields in _PRIORITIES]
_NOTHING: Doc = {}
_PARTS = ("hostname", "appname", "procid", "msgid")
