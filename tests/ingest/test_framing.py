"""Headers, pairs, CEF and wrappers are taken apart as their senders mean them, and nothing is ever lost."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product
from time import thread_time
from timeit import repeat

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.ingest import framing
from soc.ingest.framing import Cef, cef, decode, frame, key_values, word_at
from soc.ingest.registry import installed
from soc.ingest.wrapped import json_object


@pytest.mark.parametrize(
    ("text", "priority", "time", "host", "app", "pid", "message"),
    [
        ("<34>Oct 11 22:14:15 mymachine su: 'su root' failed", 34, "Oct 11 22:14:15", "mymachine", "su", "", "'su root' failed"),
        ("Oct  1 22:14:15 mail postfix/smtpd[12]: connect", -1, "Oct  1 22:14:15", "mail", "postfix/smtpd", "12", "connect"),
        ("<38>Mar 7 2008 19:06:53 example tag: x", 38, "Mar 7 2008 19:06:53", "example", "tag", "", "x"),
        ("2018 Apr 09 16:03:37 mgr->172.24.0.253 date=2018-04-09", -1, "2018 Apr 09 16:03:37", "mgr", "", "", "date=2018-04-09"),
        ("<14>2010-08-30T23:00:05Z X4711 app: m", 14, "2010-08-30T23:00:05Z", "X4711", "app", "", "m"),
        ("<134>2020-01-01T00:00:00.123456+07:00 fe80::1 app: x", 134, "2020-01-01T00:00:00.123456+07:00", "fe80::1", "app", "", "x"),
        ("<166>Aug 11 2020 10:00:00 fw1 : %ASA-6-302013: Built", 166, "Aug 11 2020 10:00:00", "fw1", "", "", "%ASA-6-302013: Built"),
        ("<189>29: *Mar  1 18:46:11: %SYS-5-CONFIG_I: x", 189, "*Mar  1 18:46:11", "", "", "", "%SYS-5-CONFIG_I: x"),
        ("Dec 23 11:13:03 date=2011-07-24 time=10: 13:03", -1, "Dec 23 11:13:03", "", "", "", "date=2011-07-24 time=10: 13:03"),
        ("Mar 22 19:21:00 10.10.10.10 date=2016-03-22", -1, "Mar 22 19:21:00", "10.10.10.10", "", "", "date=2016-03-22"),
        ("Sep 19 08:26:10 host CEF:0|a|b|c|d|e|1|", -1, "Sep 19 08:26:10", "host", "", "", "CEF:0|a|b|c|d|e|1|"),
        ("Sep 19 08:26:10 CEF: 0|a|b|c|d|e|1|", -1, "Sep 19 08:26:10", "", "", "", "CEF: 0|a|b|c|d|e|1|"),
        ("<188>date=2020-04-23 time=12:17:48", 188, "", "", "", "", "date=2020-04-23 time=12:17:48"),
        ("<13>Nov 20 10:00:00 relay <189>date=1", 189, "Nov 20 10:00:00", "relay", "", "", "date=1"),
        ("<13>Nov 20 10:00:00 relay <38>Nov 20 09:59:59 mail sshd[1]: x", 38, "Nov 20 09:59:59", "mail", "sshd", "1", "x"),
        ("<14>Aug 30 23:00:05 ", 14, "Aug 30 23:00:05", "", "", "", ""),
        ("<999>text", -1, "", "", "", "", "<999>text"),
        ("\ufeff<13>Nov 20 10:00:00 h t: x", 13, "Nov 20 10:00:00", "h", "t", "", "x"),
        ("Oct  2 08:05:12 mx smtpd[7]: [ID 197553 mail.info] hello", -1, "Oct  2 08:05:12", "mx", "smtpd", "7", "hello"),
        ("Oct  2 08:05:12 mx smtpd[7]: [ID] hello", -1, "Oct  2 08:05:12", "mx", "smtpd", "7", "[ID] hello"),
        ("30 <14>Nov 20 10:00:00 h t[1]: x", 14, "Nov 20 10:00:00", "h", "t", "1", "x"),
        ("77 <14>1 2026-11-20T10:00:00Z h a - - - m", 14, "2026-11-20T10:00:00Z", "h", "a", "", "m"),
        ("2026-11-20T03:00:00.1Z stdout F <14>Nov 20 10:00:00 h t: x", 14, "Nov 20 10:00:00", "h", "t", "", "x"),
        ("2026-11-20T03:00:00.1Z stderr F CEF:0|a|b|c|d|e|1|", -1, "2026-11-20T03:00:00.1Z", "", "", "", "CEF:0|a|b|c|d|e|1|"),
        ("2026-11-20T03:00:00.1Z stdout F: x", -1, "2026-11-20T03:00:00.1Z", "stdout", "F", "", "x"),
        ("mail-1  | Nov 20 10:00:00 h t: x", -1, "Nov 20 10:00:00", "h", "t", "", "x"),
        ("fw | <189>date=1", 189, "", "", "", "", "date=1"),
        ("a | b", -1, "", "", "", "", "a | b"),
        ("Nov 20 10:00:00 relay Nov 20 09:59:59 mail sshd[1]: x", -1, "Nov 20 09:59:59", "mail", "sshd", "1", "x"),
        ("2026-11-20T10:00:00Z relay 2026-11-20T09:59:59Z gw CEF:0|a|b|c|d|e|1|", -1, "2026-11-20T09:59:59Z", "gw", "", "", "CEF:0|a|b|c|d|e|1|"),
        ("Nov 20 10:00:00 web 2026-11-20 10:00:00 INFO started", -1, "Nov 20 10:00:00", "web", "", "", "2026-11-20 10:00:00 INFO started"),
        ("Nov 20 10:00:00 web app: 2026-11-20 10:00:00 main x[1]: y", -1, "Nov 20 10:00:00", "web", "app", "", "2026-11-20 10:00:00 main x[1]: y"),
        ("<189>date=1 a=b\x00", 189, "", "", "", "", "date=1 a=b"),
        ("<13>Nov 20 10:00:00 h t: x\r\n\x00", 13, "Nov 20 10:00:00", "h", "t", "", "x"),
        ("<134>Jan  5 14:30:00 2024-01-05T14:30:00Z gw CEF:0|a|b|c|d|e|1|", 134, "2024-01-05T14:30:00Z", "gw", "", "", "CEF:0|a|b|c|d|e|1|"),
        ("Jan  5 14:30:00 1234567890Tail t: x", -1, "Jan  5 14:30:00", "1234567890Tail", "t", "", "x"),
        ("Apr 06 15:16:46 2016 mx postfix/qmgr[12]: x", -1, "Apr 06 15:16:46 2016", "mx", "postfix/qmgr", "12", "x"),
        ("Apr 06 15:16:46 2016mx t: x", -1, "Apr 06 15:16:46", "2016mx", "t", "", "x"),
        ("Nov 20 10:00:00 mx mail.info postfix/smtpd[7]: x", -1, "Nov 20 10:00:00", "mx", "postfix/smtpd", "7", "x"),
        ("Nov 20 10:00:00 mx mail.information: x", -1, "Nov 20 10:00:00", "mx", "mail.information", "", "x"),
        ("Fri Nov 20 10:00:00 2026 mx t[1]: x", -1, "Nov 20 10:00:00 2026", "mx", "t", "1", "x"),
        ("Fri 2026-11-20 10:00:00 +07 mx t[1]: x", -1, "2026-11-20 10:00:00 +07", "mx", "t", "1", "x"),
        ("Fri Nov 20 10:00:00 2026 : Auth: Login OK", -1, "", "", "", "", "Fri Nov 20 10:00:00 2026 : Auth: Login OK"),
        ("2026-11-20 10:00:00.1 +0700 mx t[1]: x", -1, "2026-11-20 10:00:00.1 +0700", "mx", "t", "1", "x"),
        ("2026-11-20 10:00:00\tMail.Info\t10.0.0.1\tNov 20 09:59:59 mx t[1]: x", -1, "Nov 20 09:59:59", "mx", "t", "1", "x"),
        ("2026-11-20 10:00:00\tLocal7.Notice\t10.0.0.1\tdate=1 a=b", -1, "2026-11-20 10:00:00", "10.0.0.1", "", "", "date=1 a=b"),
        ("<22>Nov 20 10:00:00 docker 5f2c1e7a[411]: Nov 20 09:59:59 mx t[1]: x", 22, "Nov 20 09:59:59", "mx", "t", "1", "x"),
        ("Nov 20 10:00:00 docker 5f2c1e7a[411]: Nov 20 is near", -1, "Nov 20 10:00:00", "docker", "5f2c1e7a", "411", "Nov 20 is near"),
        ("<134>1 Feb 14 19:04:54 gw CEF:0|a b|c|d|e|f|1|", 134, "Feb 14 19:04:54", "gw", "", "", "CEF:0|a b|c|d|e|f|1|"),
        ("<134>1 2022-02-14T03:17:30-08:00 gw CEF:0|a b|c d|e|f|g|1|", 134, "2022-02-14T03:17:30-08:00", "gw", "", "", "CEF:0|a b|c d|e|f|g|1|"),
        ("<189>1 2022-02-14T03:17:30Z - date=1 time=2 a=b c=d", 189, "2022-02-14T03:17:30Z", "", "", "", "date=1 time=2 a=b c=d"),
        ("June 8 00:21:09 gw t: x", -1, "June 8 00:21:09", "gw", "t", "", "x"),
        ("Jungle 8 00:21:09 gw t: x", -1, "", "", "", "", "Jungle 8 00:21:09 gw t: x"),
        ("Jun 12 23:37:17 <local0.info> 81.2.69.144 CEF:0|a|b|c|d|e|1|", -1, "Jun 12 23:37:17", "81.2.69.144", "", "", "CEF:0|a|b|c|d|e|1|"),
        ("Jun 12 23:37:17 <mail.info> mx postfix/qmgr[9]: x", -1, "Jun 12 23:37:17", "mx", "postfix/qmgr", "9", "x"),
        ("no header at all", -1, "", "", "", "", "no header at all"),
        ("Mayor of town: hello", -1, "", "", "", "", "Mayor of town: hello"),
        ("", -1, "", "", "", "", ""),
    ],
)
def test_headers_are_taken_off(text: str, priority: int, time: str, host: str, app: str, pid: str, message: str) -> None:
    """Each shape of header that real senders use gives its parts; other text is all message."""
    line = frame(text)
    assert (line.priority, line.header_time, line.host, line.app, line.pid, line.message) == (priority, time, host, app, pid, message)
    assert line.text == text


@pytest.mark.parametrize(
    ("text", "data", "message"),
    [
        ('<165>1 2003-10-11T22:14:15.003Z host app 77 ID47 [a@1 x="q\\"]\\"" y="2"][b@2] \ufeffm', '[a@1 x="q\\"]\\"" y="2"][b@2]', "m"),
        ("<165>1 2003-10-11T22:14:15.003Z host app 77 ID47 - m", "", "m"),
        ("<165>1 - host app 77 ID47 -", "", ""),
        ('<165>1 2003-10-11T22:14:15.003Z host app 77 ID47 [never "ends', "", '[never "ends'),
    ],
)
def test_rfc5424_headers(text: str, data: str, message: str) -> None:
    """Structured data ends at its own bracket; broken structured data stays in the message."""
    line = frame(text)
    assert (line.priority, line.host, line.app, line.pid, line.message_id) == (165, "host", "app", "77", "ID47")
    assert (line.structured_data, line.message) == (data, message)


@pytest.mark.parametrize(
    ("text", "time", "host", "app", "pid", "message"),
    [
        ("<134>1 1472676411.123456789 MX84 flows src=10.0.0.1", "1472676411.123456789", "MX84", "", "", "flows src=10.0.0.1"),
        ("<134>1772414130 10.0.0.9 a[1]: x", "1772414130", "10.0.0.9", "a", "1", "x"),
        ("1472676411.123     10 10.0.0.1 TCP_MISS/200", "", "", "", "", "1472676411.123     10 10.0.0.1 TCP_MISS/200"),
        ("<134>1472676411.123     10 10.0.0.1 TCP_MISS/200", "", "", "", "", "1472676411.123     10 10.0.0.1 TCP_MISS/200"),
        ("Nov 20 10:00:00 mx postfix/smtpd[12]:connect from x[192.0.2.1]", "Nov 20 10:00:00", "mx", "postfix/smtpd", "12", "connect from x[192.0.2.1]"),
        ("Nov 20 10:00:00 mx postfix/smtp[12]:4F1A2B: to=<a@b.vn>", "Nov 20 10:00:00", "mx", "postfix/smtp", "12", "4F1A2B: to=<a@b.vn>"),
        ("Nov 20 10:00:00 h mx[192.0.2.1]:25 refused", "Nov 20 10:00:00", "h", "", "", "mx[192.0.2.1]:25 refused"),
        ("Nov 20 10:00:00 h mx[12]:25 refused", "Nov 20 10:00:00", "h", "", "", "mx[12]:25 refused"),
        ("cef:0|a|b|c|d|e|1|", "", "", "", "", "CEF:0|a|b|c|d|e|1|"),
        ("Nov 20 10:00:00 h cef:0|a|b|c|d|e|1|", "Nov 20 10:00:00", "h", "", "", "CEF:0|a|b|c|d|e|1|"),
        ("Nov 20 10:00:00 h cef: 1.2|a|b|c|d|e|1|", "Nov 20 10:00:00", "h", "", "", "CEF: 1.2|a|b|c|d|e|1|"),
        ("<13>1 2026-11-20T10:00:00Z h p - - - cef:0|a|b|c|d|e|1|", "2026-11-20T10:00:00Z", "h", "p", "", "CEF:0|a|b|c|d|e|1|"),
        ("cef: the format was changed", "", "", "", "", "cef: the format was changed"),
    ],
)
def test_unusual_headers(text: str, time: str, host: str, app: str, pid: str, message: str) -> None:
    """Seconds since 1970 behind a priority, tags without a blank behind them, CEF in small letters; what only looks so stays."""
    line = frame(text)
    assert (line.header_time, line.host, line.app, line.pid, line.message) == (time, host, app, pid, message)


FORGED = "date=2026-03-02 time=08:15:30 devid=FG1 logid=0419016384 type=utm subtype=ips severity=critical srcip=192.0.2.1"


@pytest.mark.parametrize("record", [FORGED, "CEF:0|Fortinet|Fortigate|7|1|utm:ips|9|src=192.0.2.1 act=blocked"])
def test_what_visitors_write_is_no_record(record: str) -> None:
    """Lines of web servers and other JSON that quote it, or name it in an address, are not taken for the device's; a prefix of a relay is."""
    for line in (
        f'198.51.100.7 - - [02/Mar/2026:08:15:30 +0700] "GET / HTTP/1.1" 200 5 "-" "{record}"',
        f'198.51.100.7 - - [02/Mar/2026:08:15:30 +0700] "GET / HTTP/1.1" 200 5 "a\\" b" "{record}"',
        f"2026-03-02 08:15:30 10.0.0.1 GET /?{record.replace(' ', '&')} - 80 - 198.51.100.7",
        f"2026-03-02 08:15:30 10.0.0.1 GET /?msg={record.replace(' ', '&')} - 80 - 198.51.100.7",
        orjson.dumps({"status": 200, "agent": record, "host": "web"}).decode(),
        f'<134>Mar  2 08:15:30 web nginx[7]: 198.51.100.7 "GET /" "{record}"',
    ):
        assert installed().recognise(frame(line)) is None, line
    for line in (
        record,
        f"msg={record}",
        f"2026-03-02 08:15:30|INFO|msg={record}",
        f"fw1 : {record}",
        f"<134>Mar  2 08:15:30 fw relay {record}",
        f'"{record}"',
        f'a="b" {record}',
    ):
        assert installed().recognise(frame(line)) is not None, line


def test_where_a_word_stands_in_a_line() -> None:
    """Outside of quotes, and behind nothing that it could be the end of."""
    assert word_at("date=1", "date=", 99) == 0
    assert word_at("x date=1", "date=", 99) == 2
    assert word_at('"date=1"', "date=", 99) == 1
    assert word_at('update=2 x="date=3" date=4', "date=", 99) == 20
    assert word_at('update=2 x="date=3" date=4', "date=", 22) == -1
    for text in ("", "update=2", 'a "date=1"', "/?date=1", '{"a":"date=1"}', 'a "b\\" date=1"'):
        assert word_at(text, "date=", 99) == -1, text


def test_a_record_whose_beginning_a_relay_took_for_a_name() -> None:
    """rsyslog reads `CEF:` as the tag and writes it as the program's name of RFC 5424; the record is whole again."""
    assert frame("<134>1 2026-11-20T10:00:00Z gw CEF - - - 0|a|b|c|d|e|1|").message == "CEF:0|a|b|c|d|e|1|"
    assert frame("<134>1 2026-11-20T10:00:00Z gw CEF - - - forwarder started").message == "forwarder started"


def test_invalid_utf8_is_shown_and_told() -> None:
    """Bytes that are no UTF-8 stand as escapes; NUL and controls stay."""
    assert decode(b"a\xff\x00b") == ("a\\xff\x00b", True)
    assert decode("Trường\x00".encode()) == ("Trường\x00", False)


def test_wrappers_of_shippers_are_taken_off() -> None:
    """The line that Beats, rsyslog or Docker carry in JSON is what is parsed; the whole record stays in `text`."""
    beats = orjson.dumps({"@timestamp": "2026-03-02T01:00:00Z", "host": {"name": "h"}, "message": "<188>date=1 a=b"}).decode()
    line = frame(beats)
    assert (line.priority, line.host, line.message, line.text) == (188, "h", "date=1 a=b", beats)
    assert frame('{"event":{"original":"date=1"},"x":1}').message == "date=1"
    assert frame('{"log":"Nov 20 10:00:00 mail postfix/qmgr[1]: x","stream":"stdout","time":"t"}').app == "postfix/qmgr"
    nested = beats
    for _ in range(10):
        nested = orjson.dumps({"message": nested}).decode()
    assert frame(nested).message.startswith("{")


@pytest.mark.parametrize(
    ("document", "priority", "time", "host", "app", "pid", "message"),
    [
        (
            {
                "__REALTIME_TIMESTAMP": "1795136400123456",
                "_BOOT_ID": "b",
                "_TRANSPORT": "syslog",
                "PRIORITY": "6",
                "SYSLOG_FACILITY": "2",
                "SYSLOG_IDENTIFIER": "postfix/smtpd",
                "SYSLOG_PID": "47",
                "_COMM": "smtpd",
                "_HOSTNAME": "mx",
                "MESSAGE": "connect",
            },
            *(22, "2026-11-20T01:00:00.123456+00:00", "mx", "postfix/smtpd", "47", "connect"),
        ),
        (
            {"_BOOT_ID": "b", "_COMM": "cron", "MESSAGE": "x", "__REALTIME_TIMESTAMP": "9" * 20, "PRIORITY": "9", "SYSLOG_FACILITY": "99"},
            -1,
            "",
            "",
            "cron",
            "",
            "x",
        ),
        (
            {"PROGRAM": "a/b", "PID": "8", "HOST": "mx", "DATE": "Nov 20 10:00:00", "FACILITY": "mail", "MESSAGE": "x"},
            -1,
            "Nov 20 10:00:00",
            "mx",
            "a/b",
            "8",
            "x",
        ),
        (
            {"host": "10.0.0.9", "logsource": "mx", "program": "a", "pid": "9", "timestamp": "Nov 20 10:00:00", "message": "x"},
            -1,
            "Nov 20 10:00:00",
            "mx",
            "a",
            "9",
            "x",
        ),
        (
            {"timereported": "2026-11-20T10:00:00+07:00", "host": "mx", "syslogtag": "a/b[12]:", "message": " x"},
            -1,
            "2026-11-20T10:00:00+07:00",
            "mx",
            "a/b",
            "12",
            "x",
        ),
        ({"log": {"syslog": {"hostname": "mx", "appname": "a", "procid": 77}}, "host": {"name": "collector"}, "message": "x"}, -1, "", "mx", "a", "77", "x"),
        ({"host": "mx", "program": "-", "message": "Nov 20 10:00:00 h t[1]: x"}, -1, "Nov 20 10:00:00", "h", "t", "1", "x"),
        ({"host": "mx", "program": "relay", "message": "date=1 a=b"}, -1, "", "mx", "", "", "date=1 a=b"),
        ({"host": "mx", "program": "CEF", "message": "0|a|b|c|d|e|1|"}, -1, "", "mx", "", "", "CEF:0|a|b|c|d|e|1|"),
        ({"log": "<14>Nov 20 10:00:00 h t: x\n", "stream": "stdout", "kubernetes": {}}, 14, "Nov 20 10:00:00", "h", "t", "", "x"),
    ],
)
def test_what_stands_beside_a_line_is_its_header(document: dict[str, object], priority: int, time: str, host: str, app: str, pid: str, message: str) -> None:
    """Where journald, syslog-ng, Logstash, rsyslog or Beats took the header off, its parts come from the object's fields."""
    line = frame(orjson.dumps(document).decode())
    assert (line.priority, line.header_time, line.host, line.app, line.pid, line.message) == (priority, time, host, app, pid, message)


def test_json_that_is_the_event_is_no_wrapper() -> None:
    """A JSON event with fields of its own is handed on whole."""
    text = '{"event_type":"alert","src_ip":"10.0.0.1","message":"x"}'
    assert frame(text).message == text
    assert json_object("[1]") is None
    assert json_object('{"a":1') is None


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ('a=1 b="x y" c=""', {"a": "1", "b": "x y", "c": ""}),
        ('msg="say \\"hi\\"" x="C:\\\\temp"', {"msg": 'say "hi"', "x": "C:\\temp"}),
        ("time=10: 13:03 x=y", {"time": "10: 13:03", "x": "y"}),
        ('srcip=10.0.0.1 dstip=authid="u" z=1', {"srcip": "10.0.0.1", "dstip": "", "authid": "u", "z": "1"}),
        ("url=/a?b=c&d=e next=1", {"url": "/a?b=c&d=e", "next": "1"}),
        ('msg="Edit "a" b" x="1"', {"msg": 'Edit "a" b', "x": "1"}),
        ('msg="cut in the mid', {"msg": "cut in the mid"}),
        ("a=1 a=2", {"a": "2"}),
        ("no pairs here", {}),
    ],
)
def test_pairs(text: str, pairs: dict[str, str]) -> None:
    """Quoted, bare, empty, escaped and cut values are read as they are meant."""
    assert key_values(text) == pairs


def test_cef_escapes() -> None:
    """Escaped pipes, equals signs, backslashes and line ends are resolved; odd ones stay and lose nothing."""
    record = cef("x CEF:0|Ven\\|dor|Prod|1\\\\0|id|na\\=me|5|msg=a\\=b c \\n d \\q cs1=e|f request=http://x/?a=b&c=d act=")
    assert record == Cef("0", "Ven|dor", "Prod", "1\\0", "id", "na=me", "5", {"msg": "a=b c \n d \\q", "cs1": "e|f", "request": "http://x/?a=b&c=d", "act": ""})


def test_cef_without_a_severity() -> None:
    """A pair where the severity should stand, or right after it, begins the extension; any other text is the severity."""
    record = cef("CEF:0|a|b|c|d|name|src=192.0.2.1 act=x|y")
    assert record == Cef("0", "a", "b", "c", "d", "name", "", {"src": "192.0.2.1", "act": "x|y"})
    assert cef("CEF:0|a|b|c|d|name|10 src=192.0.2.1 act=x|y") == Cef("0", "a", "b", "c", "d", "name", "10", {"src": "192.0.2.1", "act": "x|y"})
    assert cef("CEF:0|a|b|c|d|name|Very High|src=192.0.2.1") == Cef("0", "a", "b", "c", "d", "name", "Very High", {"src": "192.0.2.1"})
    assert cef("CEF:0|a|b|c|d|name|High") == Cef("0", "a", "b", "c", "d", "name", "High", {})


@pytest.mark.parametrize("text", ["CEF:0|a|b|c", "CEF:", "nothing", "CEF:0|a\\|b|c|d|e|f"])
def test_a_broken_cef_header_is_no_record(text: str) -> None:
    """Too few header fields make no record."""
    assert cef(text) is None


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][a-z0-9_]{0,8}", fullmatch=True), st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=8))
def test_quoted_pairs_round_trip(pairs: dict[str, str]) -> None:
    """Whatever stands in escaped quotes comes back."""
    text = " ".join(f'{key}="{value.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"' for key, value in pairs.items())
    assert key_values(text) == pairs


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z_][a-z0-9_]{0,8}", fullmatch=True), st.from_regex(r"[A-Za-z0-9=|\\\n][A-Za-z0-9=|\\\n]{0,15}", fullmatch=True), max_size=8
    )
)
def test_cef_extensions_round_trip(pairs: dict[str, str]) -> None:
    """Values escaped as the standard says come back."""
    text = " ".join(f"{key}={value.replace(chr(92), chr(92) * 2).replace('=', chr(92) + '=').replace(chr(10), chr(92) + 'n')}" for key, value in pairs.items())
    record = cef("CEF:0|a|b|c|d|e|1|" + text)
    assert record is not None
    assert record.extensions == pairs


_ODD = st.one_of(
    st.text(max_size=3), st.sampled_from(["+07:00", "2026 ", "[ID 7 mail.info] ", ": ", "[", "]:", "stdout F ", "Nov 20 08:00:00 ", "->x", "\t", "{"])
)
_USUAL_PARTS = (
    ("", "<22>", "<22>1 "),
    ("Nov  2 08:00:00 ", "Now 2 08:00:00 "),
    ("mx-1.example", "UTC", "EST", "Z", "stdout", "10.0.0.1"),
    (" postfix/smtpd[71]: ", " CEF[71]: ", " cef[71]: ", " F[1]: "),
    ("connect from a[192.0.2.1]", "[ID 7 mail.info] x", "<22>Nov  2 08:00:01 mx2 a[1]: x", "Nov  2 08:00:01 mx2 a[1]: x", ""),
)


def _both_ways(texts: Iterable[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        short = [(text, frame(text)) for text in texts]
        patch.setattr(framing, "_USUAL", re.compile("(?!)"))
        for text, line in short:
            assert frame(text) == line


def test_the_short_cut_for_usual_headers_finds_what_the_long_way_does() -> None:
    """With parts of headers that mean something else, too."""
    _both_ways("".join(parts) for parts in product(*_USUAL_PARTS))


@given(st.tuples(*map(st.sampled_from, _USUAL_PARTS)), st.integers(0, 70), st.integers(0, 3), _ODD)
def test_the_short_cut_is_not_taken_for_what_differs_a_little(parts: tuple[str, ...], at: int, gone: int, odd: str) -> None:
    """Whatever stands at any place."""
    usual = "".join(parts)
    _both_ways([usual[:at] + odd + usual[at + gone :]])


@given(
    st.integers(-1, 191),
    st.from_regex(r"[a-z][a-z0-9.]{0,20}", fullmatch=True),
    st.from_regex(r"[a-z][a-z/]{0,10}", fullmatch=True),
    st.integers(0, 99999),
    st.text(max_size=60),
)
def test_rfc3164_round_trip(priority: int, host: str, app: str, pid: int, message: str) -> None:
    """A header put before any message comes off again."""
    head = f"<{priority}>" if priority >= 0 else ""
    line = frame(f"{head}Nov 20 10:00:00 {host} {app}[{pid}]: {message}")
    if message[:1] not in ("<", "{"):
        assert (line.priority, line.host, line.app, line.pid, line.message) == (priority, host, app, str(pid), message.rstrip("\x00\r\n"))


@pytest.mark.parametrize(
    "unit",
    [
        "a=",
        'a="',
        '"',
        "\\",
        "=",
        " ",
        "|",
        "\\|",
        "CEF:0|",
        "[",
        '["',
        "<1>",
        "{",
        '{"message":"',
        "1 ",
        "Nov 20 10:00:00 ",
        "a:",
        "x=\\",
        "a[",
        "0",
        "a b=c ",
        "1 <1>",
        "a | ",
        "2026-11-20T03:00:00Z stdout F ",
        "2026-11-20 03:00:00\tMail.Info\th\t",
        "Fri ",
        "h[1]: Nov 20 10:00:00 ",
    ],
)
def test_a_megabyte_of_anything_takes_linear_time(unit: str) -> None:
    """Twice the text takes about twice the time, whatever is repeated: nothing here is quadratic."""

    def cost(size: int) -> float:
        text = "<13>Nov 20 10:00:00 h CEF:0|a|b|c|d|e|1|" + unit * (size // len(unit))

        def work() -> None:
            frame(text)
            frame(unit * (size // len(unit)))
            key_values(text)
            cef(text)

        return min(repeat(work, timer=thread_time, number=1, repeat=3))

    assert cost(1_000_000) < max(20 * cost(125_000), 0.5)
