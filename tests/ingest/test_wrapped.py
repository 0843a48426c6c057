"""Lines inside the JSON of shippers: what Filebeat, Elastic Agent, exports of Elasticsearch and OpenTelemetry send is read as the device's own line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.clock import iso
from soc.errors import ParseError
from soc.ingest import parsers
from soc.ingest.framing import frame
from soc.ingest.parser import Context, Line, Parser
from soc.ingest.registry import installed
from soc.ingest.wrapped import carried

TRAFFIC = (
    '<189>date=2026-03-02 time=08:15:30 devname="fw" devid="FG1" eventtime=1772414130123456789 tz="+0700" logid="0000000013" type="traffic" subtype="forward" '
    'level="notice" vd="root" srcip=10.20.1.15 srcport=51544 dstip=203.0.113.80 dstport=443 sessionid=81 proto=6 action="close" sentbyte=923 rcvdbyte=77654'
)
MAIL = "Mar  2 08:15:30 mx postfix/smtpd[123]: connect from unknown[203.0.113.5]"
TEXT = "connect from unknown[203.0.113.5]"
CEF = "CEF:0|Vendor|Product|1|100|worm|10|src=10.0.0.1"
BEAT: dict[str, Any] = {  # as Filebeat 8 writes to Kafka, to a file, to Redis
    "@timestamp": "2026-03-02T01:15:30.123Z",
    "@metadata": {"beat": "filebeat", "type": "_doc", "version": "8.12.0"},
    "log": {"offset": 0, "file": {"path": "/var/log/fw.log"}},
    "input": {"type": "filestream"},
    "ecs": {"version": "8.0.0"},
    "host": {"name": "collector"},
    "agent": {"name": "collector", "type": "filebeat", "version": "8.12.0"},
}
FROM_NETWORK = {**BEAT, "input": {"type": "udp"}, "log": {"source": {"address": "10.0.0.9:514"}}}
ENRICHED = {"source": {"ip": "192.0.2.1"}, "destination": {"ip": "192.0.2.2"}, "observer": {"product": "x"}, "user": {"name": "eve"}, "fortinet": {"a": 1}}


@pytest.mark.parametrize(
    ("document", "parser", "host", "app", "message"),
    [
        ({**BEAT, "message": TRAFFIC}, "fortinet_fortigate", "collector", "", TRAFFIC[5:]),
        ({**FROM_NETWORK, "message": TRAFFIC}, "fortinet_fortigate", "10.0.0.9", "", TRAFFIC[5:]),
        ({**FROM_NETWORK, "log": {"source": {"address": "[2001:db8::9]:514"}}, "message": TRAFFIC}, "fortinet_fortigate", "2001:db8::9", "", TRAFFIC[5:]),
        ({**FROM_NETWORK, **ENRICHED, "message": TRAFFIC}, "fortinet_fortigate", "10.0.0.9", "", TRAFFIC[5:]),
        ({**FROM_NETWORK, **ENRICHED, "message": "closed", "event": {"original": TRAFFIC, "action": "x"}}, "fortinet_fortigate", "10.0.0.9", "", TRAFFIC[5:]),
        ({**BEAT, "message": MAIL, "log": {"flags": ["multiline"]}}, "postfix", "mx", "postfix/smtpd", TEXT),
        ({**BEAT, "message": CEF, "cef": {"version": "0"}, "observer": {"vendor": "x"}}, "cef_generic", "collector", "", CEF),
        ({**FROM_NETWORK, "hostname": "mx", "process": {"program": "postfix/smtpd", "pid": 123}, "message": TEXT}, "postfix", "mx", "postfix/smtpd", TEXT),
        (
            {**BEAT, "syslog": {"identifier": "postfix/smtpd"}, "process": {"pid": 123, "name": "smtpd", "uid": 1}, "message": TEXT},
            *("postfix", "collector"),
            *("postfix/smtpd", TEXT),
        ),
        ({"_index": "filebeat-8", "_id": "x", "_source": {**BEAT, "message": TRAFFIC}}, "fortinet_fortigate", "collector", "", TRAFFIC[5:]),
    ],
)
def test_lines_of_beats_are_the_lines_of_devices(document: dict[str, Any], parser: str, host: str, app: str, message: str) -> None:
    """The parser of the device reads it, whatever else the object says; the sender's address goes before the shipper's name."""
    line = frame(orjson.dumps(document).decode())
    found = installed().recognise(line)
    assert found is not None
    assert (found.name, line.host, line.app, line.message) == (parser, host, app, message)


def test_only_the_line_is_believed() -> None:
    """An event is what the bare line makes of it: fields beside it neither replace nor add one, but for the name of the sender."""
    parser = installed().get("fortinet_fortigate")
    context = Context(1_795_222_800_000_000)
    found = parser.parse(frame(orjson.dumps({**FROM_NETWORK, **ENRICHED, "message": TRAFFIC, "tags": ["x"]}).decode()), context)
    expected = parser.parse(frame(TRAFFIC), context)
    assert {key: value for key, value in found.doc.items() if key != "log.syslog.hostname"} == expected.doc
    assert (found.ts_us, found.natural_key) == (expected.ts_us, expected.natural_key)


@pytest.mark.parametrize(
    ("shipped", "time", "said"),
    [
        ("2024-05-14T03:21:33.000Z", "May 14 10:21:33", "2024 May 14 10:21:33"),
        ("2024-01-01T00:00:01Z", "Dec 31 23:59:59", "2023 Dec 31 23:59:59"),
        ("2023-12-31T23:59:59Z", "Jan  1 06:59:59", "2024 Jan  1 06:59:59"),  # the device's zone is ahead
        ("2023-12-31T23:59:59Z", "Jan  8 06:59:59", "2023 Jan  8 06:59:59"),
        ("2025-03-01T00:00:00Z", "Feb 29 10:00:00", "2024 Feb 29 10:00:00"),
        ("2024-05-14T03:21:33Z", "May 14 2020 10:21:33", "May 14 2020 10:21:33"),
        ("2024-05-14T03:21:33Z", "May 99 10:21:33", "May 99 10:21:33"),
        ("2024-05-14T03:21:33Z", "May  0 10:21:33", "May  0 10:21:33"),
        *(
            (shipped, "May 14 10:21:33", "May 14 10:21:33")
            for shipped in ("9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z", "2024-13-01T00:00:00Z", "yesterday", "")
        ),
    ],
)
def test_a_line_without_a_year_is_of_the_year_in_which_it_was_shipped(shipped: str, time: str, said: str) -> None:
    """An export of last year's lines stands in last year."""
    document = {**BEAT, "@timestamp": shipped, "message": f"{time} mx postfix/smtpd[123]: {TEXT}"}
    assert frame(orjson.dumps(document).decode()).header_time == said
    assert frame(orjson.dumps({"_index": "x", "_source": document}).decode()).header_time == said


SAMPLES = sorted((Path(parsers.__file__).parent).glob("*/samples/*.log"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.parent.name}/{path.stem}")
def test_samples_are_the_same_inside_an_object(sample: Path) -> None:
    """Every line of the samples, as Filebeat and as an export hand it over, gives the event of the bare line, but for the name of the sender."""
    context = Context(1_795_222_800_000_000)
    read = 0
    for text in sample.read_text(encoding="utf-8").splitlines():
        bare = frame(text)
        parser = installed().recognise(bare, sample.parent.parent.name)
        if parser is None or bare.message[:1] == "{" or (parser.name == "postfix" and not bare.host):  # without a header the shipper is the sender
            continue
        expected = outcome(parser, bare, context)
        beat = {**BEAT, "@timestamp": iso(context.received_us)}  # a line without a year is of the year in which it was shipped
        for document in ({**beat, "message": text}, {"_index": "x", "_source": {**beat, **ENRICHED, "message": "x", "event": {"original": text}}}):
            line = frame(orjson.dumps(document).decode())
            assert installed().recognise(line, sample.parent.parent.name) is parser, text
            assert outcome(parser, line, context) == expected, text
        read += 1
    assert read


def outcome(parser: Parser, line: Line, context: Context) -> object:
    """The event of a line without the names of its sender, or why there is none."""
    try:
        found = parser.parse(line, context)
    except ParseError as error:
        return error.reason
    sender = ("log.syslog.hostname", "host.hostname", "host.name", "observer.name", "observer.hostname")
    return {key: value for key, value in found.doc.items() if key not in sender}, found.ts_us, found.natural_key


@pytest.mark.parametrize(
    ("beside", "priority"),
    [
        ({"event": {"severity": 6}, "syslog": {"facility": 2, "priority": 22}}, 22),
        ({"log": {"syslog": {"priority": 22, "facility": {"code": 2}, "severity": {"code": 6}}}}, 22),
        ({"log": {"syslog": {"facility": {"code": 2}, "severity": {"code": 6}}}}, 22),
        ({"syslog": {"facility": 2, "priority": 6}}, 22),
        ({"syslog": {"facility": 2}}, -1),
        ({"syslog": {"priority": "x", "facility": None}}, -1),
        ({"syslog": {"priority": 4000}}, -1),
    ],
)
def test_the_priority_beside_a_line(beside: dict[str, Any], priority: int) -> None:
    """Facility and severity, or their sum; journald calls the severity priority."""
    document = {**BEAT, "process": {"program": "postfix/smtpd", "pid": 123}, "message": TEXT, **beside}
    assert frame(orjson.dumps(document).decode()).priority == priority


@pytest.mark.parametrize(
    "document",
    [
        {**BEAT, **ENRICHED, "message": "An account was successfully logged on.", "winlog": {"event_id": 4624}},
        {**BEAT, **ENRICHED, "message": "", "event": {"action": "login"}},
        {**ENRICHED, "message": TRAFFIC},
        {"_index": "x", "_source": {**ENRICHED, "message": "closed"}},
        {"_source": {**BEAT, "message": TRAFFIC}},
    ],
)
def test_events_that_hold_no_line_stay_whole(document: dict[str, Any]) -> None:
    """What people read is no line, and what is no event of a shipper is one of its own."""
    text = orjson.dumps(document).decode()
    assert frame(text).message == text


def otlp(*bodies: object, attributes: object = ()) -> dict[str, Any]:
    """An object of OTLP with one record per body."""
    records = [{"timeUnixNano": "1", "body": {"stringValue": body}, "attributes": attributes} for body in bodies]
    resource = {"attributes": [{"key": "host.name", "value": {"stringValue": "mx1"}}]}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {}, "logRecords": records}]}]}


def test_a_log_record_of_opentelemetry() -> None:
    """One record is one line, with program and process from its attributes; several, and shapes that are none, stay whole."""
    line = frame(orjson.dumps(otlp(TRAFFIC)).decode())
    assert (line.priority, line.host, line.message) == (189, "mx1", TRAFFIC[5:])
    attributes = [{"key": "appname", "value": {"stringValue": "postfix/smtpd"}}, {"key": "proc_id", "value": {"intValue": "12"}}, {"key": 1}, "x"]
    line = frame(orjson.dumps(otlp(TEXT, attributes=attributes)).decode())
    assert (line.host, line.app, line.pid, line.message) == ("mx1", "postfix/smtpd", "12", TEXT)
    odd: list[dict[str, Any]] = [{"resourceLogs": {}}, {"resourceLogs": [1]}, {"resourceLogs": [{"scopeLogs": "x"}]}]
    for document in (otlp(TRAFFIC, MAIL), otlp(), otlp(1), *odd):
        text = orjson.dumps(document).decode()
        assert frame(text).message == text


NAMES = st.sampled_from(
    [
        "@timestamp",
        "agent",
        "message",
        "event",
        "original",
        "log",
        "syslog",
        "source",
        "address",
        "process",
        "program",
        "pid",
        "host",
        "name",
        "input",
        "facility",
        "priority",
        "resourceLogs",
        "resource",
        "scopeLogs",
        "logRecords",
        "body",
        "stringValue",
        "attributes",
        "key",
        "value",
        "_source",
        "_index",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=8))
def test_no_object_breaks_it(document: dict[str, Any]) -> None:
    """Whatever stands where: a line comes back, and what is carried is text."""
    assert isinstance(carried(document).text, str)
    text = orjson.dumps(document).decode()
    assert frame(text).text == text
