"""Says which line the JSON object of a shipper carries, and what of its header stands beside it. No product knowledge.

Of what a shipper says itself only the parts of the header that it took off the line are believed: program, process, host, time, priority; and the year of a line that names none.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import orjson

_CARRIES = ("message", "rawmsg", "@message", "MESSAGE", "log", "raw", "rawmsg-after-pri")
# Reference: what shippers put beside the line: Elastic Beats and Agent, Logstash (syslog input), rsyslog (`jsonmesg` and
# mmjsonparse templates), syslog-ng `format-json`, Fluentd and Fluent Bit, Docker, Kubernetes.
_SHIPPER_KEYS = (
    "@timestamp @version @metadata agent beat input ecs log fields tags host hostname fromhost fromhost-ip HOST HOST_FROM SOURCEIP "
    "syslogtag programname PROGRAM PID facility FACILITY severity priority PRIORITY DATE ISODATE R_ISODATE S_ISODATE LEGACY_MSGHDR "
    "timereported timegenerated stream time timestamp date source type inputname event offset prospector "
    "logsource program pid facility_label severity_label ident pri procid app-name appname msgid msg uuid $! protocol-version "
    "structured-data syslogfacility syslogseverity syslogfacility-text syslogseverity-text "
    "data_stream elastic_agent fileset service cloud container kubernetes docker logtag _p syslog journald systemd orchestrator labels"
)
_SHIPPER = frozenset(_SHIPPER_KEYS.split())
_CARRIED = frozenset(_CARRIES)
_ELASTIC = frozenset(["agent", "beat", "@metadata", "ecs", "data_stream", "elastic_agent"])
"""One of these, and `@timestamp`: an event as Beats and Agent send it, perhaps after a pipeline that read fields out of its line."""
_OF_HEADERS = frozenset(["program", "name", "pid"])
"""What of a process a syslog header tells."""
# Reference: systemd.journal-fields(7) and systemd's "Journal Export Formats": `journalctl -o json` and what forwards it.
_JOURNAL_TIMES = ("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP")
_HOSTS = ("hostname", "logsource", "host", "_HOSTNAME", "HOST", "fromhost", "fromhost-ip", "SOURCEIP", "host.name")
_APPS = ("SYSLOG_IDENTIFIER", "programname", "PROGRAM", "program", "ident", "app-name", "appname", "identifier", "_COMM")
_PIDS = ("SYSLOG_PID", "_PID", "PID", "pid", "procid", "proc_id")
_TIMES = ("timereported", "ISODATE", "DATE", "timestamp", "time", "@timestamp")
_LATEST_US = 10**16
_LARGEST_SEVERITY = 7
_NOTHING: Mapping[str, Any] = {}


class Carried(NamedTuple):
    """The text of a line ("" = none), whether it is one for certain, and the object whose fields stand beside it."""

    text: str
    sure: bool
    beside: Mapping[str, Any]


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, None when it is none. Depth and numbers are bounded by the JSON library."""
    if text[:1] != "{" or text.rstrip()[-1:] != "}":
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def carried(document: Mapping[str, Any]) -> Carried:
    """The line that an object carries; not sure where the object holds more than shippers add: it may be the event itself."""
    if "resourceLogs" in document:
        return _of_otlp(document)
    hit = document.get("_source")
    if isinstance(hit, Mapping) and "_index" in document:  # a document as searches and exports of Elasticsearch give it
        document = hit
    event = _object(document, "event")
    original = event.get("original") if event else document.get("event.original")
    if isinstance(original, str) and original.strip():
        return Carried(original, True, document)
    text = next((document[name] for name in _CARRIES if isinstance(document.get(name), str)), "")
    sure = "_BOOT_ID" in document or "__REALTIME_TIMESTAMP" in document or _only_shippers(document)
    elastic = "@timestamp" in document and not _ELASTIC.isdisjoint(document)
    return Carried(text if sure or elastic else "", sure, document)


def _only_shippers(document: Mapping[str, Any]) -> bool:
    strange = document.keys() - _CARRIED - _SHIPPER
    return not strange or (strange == {"process"} and _OF_HEADERS.issuperset(_object(document, "process")))


def _of_otlp(document: Mapping[str, Any]) -> Carried:
    """The body of the one log record of an OTLP object; several are not taken apart, as one record is one line.

    Source: OpenTelemetry Protocol 1.x, "JSON Protobuf Encoding", and opentelemetry/proto/logs/v1/logs.proto.
    """
    resource = _only(document.get("resourceLogs"))
    record = _only(_only(resource.get("scopeLogs")).get("logRecords"))
    text = _object(record, "body").get("stringValue")
    if not isinstance(text, str):
        return Carried("", False, document)
    return Carried(text, True, {**_attributes(_object(resource, "resource")), **_attributes(record)})


def _attributes(owner: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a resource or record that are texts or numbers, by name."""
    out: dict[str, Any] = {}
    listed = owner.get("attributes")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, Mapping) and isinstance(one.get("key"), str):
            value = _object(one, "value")
            out[one["key"]] = value.get("stringValue", value.get("intValue"))
    return out


def _only(found: Any) -> Mapping[str, Any]:
    """The one object of a list; nothing where there are several or none."""
    return found[0] if isinstance(found, list) and len(found) == 1 and isinstance(found[0], Mapping) else _NOTHING


def _object(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, Mapping) else _NOTHING


class Header(NamedTuple):
    """What stands beside a line of its header: program and process ("" = not told), the tag of both as rsyslog writes it, the host."""

    app: str
    pid: str
    tag: str
    host: str


def header(document: Mapping[str, Any]) -> Header:
    """The header that stands beside a line.

    Source: Filebeat, "Exported fields" (`process.program`, `syslog.*`) and `syslog` processor (`log.syslog.*`).
    """
    parts = {**document, **_object(document, "syslog"), **_object(_object(document, "log"), "syslog")}
    app, pid = word(parts, _APPS), word(parts, _PIDS)
    if not app and ("input" in document or "fileset" in document):
        process = _object(document, "process")
        app, pid = word(process, ("program", "name")), word(process, ("pid",))
    return Header(app, pid or word(_object(document, "process"), ("pid",)), word(document, ("syslogtag",)), host(parts))


def word(document: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of the values that is a word or a number; an empty text without one."""
    for name in names:
        value = document.get(name)
        if isinstance(value, str) and value:
            return value[:128]
        if type(value) is int:
            return str(value)
    return ""


def time(document: Mapping[str, Any], fits: Callable[[str], bool]) -> str:
    """The time beside the line as a header writes it; an empty text where none is told in a form that headers have (`fits`)."""
    since = word(document, _JOURNAL_TIMES)
    if since.isdecimal() and int(since) < _LATEST_US:
        return datetime.fromtimestamp(int(since) // 1_000_000, UTC).replace(microsecond=int(since) % 1_000_000).isoformat()
    for name in _TIMES:
        value = document.get(name)
        if isinstance(value, str) and fits(value):
            return value
    return ""


# Reference: RFC 3164 4.1.2: a time without a year.
_YEARLESS = re.compile(r"(?P<month>[A-Za-z]{3})[a-z]{0,6}  ?(?P<day>\d{1,2}) \d\d:\d\d:\d\d(?:[.,]\d{1,9})?", re.ASCII)
_MONTHS = {name: number for number, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)}
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d(?=[T ])", re.ASCII)
_LEAPS_APART = 8
"""Years between two leap days at most."""
_AHEAD = timedelta(days=7)
"""So far a device's clock may be ahead of the shipper's; further it is a year behind. As in `soc.ingest.normalize`."""


def dated(document: Mapping[str, Any], header_time: str) -> str:
    """The time of a line's header, with the year in which it was the last time before the one beside it; as it is where it has a year or nothing tells one."""
    found = _YEARLESS.fullmatch(header_time)
    beside = _ISO_DATE.match(time(document, lambda text: _ISO_DATE.match(text) is not None)) if found is not None else None
    month = _MONTHS.get(found["month"].lower()) if found is not None else None
    if found is None or beside is None or month is None:
        return header_time
    try:
        latest = date.fromisoformat(beside.group()) + _AHEAD
        day = int(found["day"])
        for year in range(latest.year, latest.year - _LEAPS_APART - 1, -1):
            if day <= monthrange(year, month)[1] and date(year, month, day) <= latest:
                return f"{year:04d} {header_time}"
    except (ValueError, OverflowError):  # a date beside the line that is none, or at the end of all dates
        return header_time
    return header_time


def priority(document: Mapping[str, Any]) -> str:
    """The priority beside the line as text; an empty text where none is told.

    Source: RFC 5424 6.2.1: facility times eight and severity; journald and Beats tell both apart, or `priority` as the sum.
    """
    facility, severity = word(document, ("SYSLOG_FACILITY",)), word(document, ("PRIORITY",))
    if not facility:
        of_log, own = _object(_object(document, "log"), "syslog"), _object(document, "syslog")
        whole = word(of_log, ("priority",)) or word(own, ("priority",))
        if whole.isdecimal() and int(whole) > _LARGEST_SEVERITY:
            return whole
        facility = word(_object(of_log, "facility"), ("code",)) or word(own, ("facility",))
        severity = word(_object(of_log, "severity"), ("code",)) or whole
    return str(int(facility) * 8 + int(severity)) if facility.isdecimal() and severity.isdecimal() else ""


def host(document: Mapping[str, Any]) -> str:
    """The sender of the line: its host's name, else the address that it came from, else the machine of the shipper."""
    for name in _HOSTS:
        value = document.get(name)
        if isinstance(value, Mapping):
            value = _sender(document) or value.get("hostname") or value.get("name")
        if isinstance(value, str) and value:
            return value[:255]
    return ""


def _sender(document: Mapping[str, Any]) -> str:
    """The address that a Beat received the line from, without its port."""
    address = word(_object(_object(document, "log"), "source"), ("address",))
    rest, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and (":" not in rest or rest[:1] == "["):
        address = rest
    return address.strip("[]")
