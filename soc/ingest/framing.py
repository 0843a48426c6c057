"""Takes records apart: bytes to text, syslog headers, key=value pairs, CEF, JSON wrappers. No product knowledge.

`decode` then `frame` run for every record, so both have a short way for the commonest shapes. Everything is one pass
over the text and never raises: what cannot be taken apart stays in `Line.message`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from soc.ingest import wrapped
from soc.ingest.parser import Line
from soc.ingest.wrapped import json_object

MOST_WRAPPERS = 3
"""Relays and shippers wrap a line at most so often before we stop unwrapping it."""
LONGEST_HEADER = 512
"""Syslog header tokens beyond this are not looked for: RFC 5424 6 sums to 480 without structured data."""


def decode(raw: bytes) -> tuple[str, bool]:
    r"""The text of a record, and whether it was not UTF-8: invalid bytes then stand as `\xNN`, NUL and controls as they are.

    Cost: one C call for valid UTF-8.
    """
    try:
        return raw.decode(), False
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace"), True


# --- syslog ---------------------------------------------------------------------------------------------------------

_PRIORITIES = (
    {str(number): number for number in range(192)} | {f"{number:03d}": number for number in range(100)} | {f"{number:02d}": number for number in range(10)}
)
_MONTHS = frozenset(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"])
_MONTH_NAMES = _MONTHS | {"january", "february", "march", "april", "june", "july", "august", "september", "october", "november", "december"}

# Reference: RFC 3164 4.1.2 with the variations of real senders: a year before or after the day or after the time, the month in full, one
# space before a one-digit day, fractions, a zone (Cisco `service timestamps`), leading `*` or `.` (Cisco: clock not synchronised).
_STAMP_3164 = re.compile(
    r"[*.]?(?:\d{4} )?(?P<month>[A-Za-z]{3,9})  ?\d{1,2} (?:\d{4} )?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: (?:19|20)\d\d(?= \S))?"
    r"(?: (?:UTC|GMT|Z|[A-Z]{3,4}T|[+-]\d\d:?\d\d)(?=[: ]))?"
)
# Reference: RFC 3339 5.6 and ISO 8601 as rsyslog, syslog-ng, journalctl (`-o short-full`) and appliances write them.
_STAMP_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d(?::?\d\d)?)?(?: (?:UTC|[+-]\d\d(?::?\d\d)?)(?= ))?(?= |:|$)")
# Reference: RFC 3164 4.1.3 (TAG), widened by what programs use: `postfix/smtpd[12]:`, `sshd(pam_unix)[3]:`, `amavis[7]:`.
_TAG = re.compile(r"(?P<app>[^\s\[\]:={}\"'|,;<>%]{1,128})(?:\[(?P<pid>[^\]\s]{0,64})\])?:(?=\s|$)")
# Reference: senders that leave out the blank after the tag; a number in brackets tells it from a host and its port (`mx[192.0.2.1]:25`).
_TAG_TIGHT = re.compile(r"(?P<app>[^\s\[\]:={}\"'|,;<>%]{1,128})\[(?P<pid>\d{1,10})\]:(?!\d{1,5}(?:\s|$))", re.ASCII)
# Reference: Meraki and others, `<134>1 1472676411.123456789 MX84 flows ...`: seconds since 1970, behind a priority only.
_STAMP_EPOCH = re.compile(r"[12]\d{9}(?:\.\d{1,9})?(?= (?:[A-Za-z]|(?:\d{1,3}\.){3}\d{1,3} ))", re.ASCII)
# What most lines of programs on Unix begin with; only a short cut, the long way finds the same. No zone is in lower case.
_USUAL = re.compile(
    r"((?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d) ([a-z][a-z0-9.-]{0,63}) ((?!cef\[)[a-z][a-z0-9_./-]{0,63})\[(\d{1,10})\]: ",
    re.ASCII,
)
# Reference: Solaris and illumos syslogd(8), `msgid` of log.conf(5): `[ID 197553 mail.info] ` before the message.
_MESSAGE_ID = re.compile(r"^\[ID \d{1,10} [a-z0-9]{1,16}\.[a-z]{1,16}\] ")
# Reference: BSD syslogd(8) `-vv` and NetScaler: `<mail.info> ` or `<22> ` in words before the host.
_LEVEL = re.compile(r"^<[a-z0-9]{1,16}\.[a-z]{1,16}> ")
# Reference: BusyBox syslogd: `mail.info ` after the host.
_LEVEL_OF_BUSYBOX = re.compile(r"[a-z0-9]{3,8}\.(?:emerg|alert|crit|err|warn|notice|info|debug) ")
# Reference: Kiwi Syslog Server, "ISO yyyy-mm-dd (tab delimited)" log files: time, level, host, the message as it came.
_KIWI = re.compile(r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\t[A-Za-z0-9]{2,10}\.[A-Za-z]{4,9}\t(?P<host>[^\t ]{1,255})\t")
_WEEKDAYS = frozenset(["mon", "tue", "wed", "thu", "fri", "sat", "sun"])
_CUT_CEF = re.compile(r" ?\d{1,2}\|", re.ASCII)
# Reference: host names, IPv4 and IPv6 addresses (with zone id) as RFC 3164 4.1.2 and RFC 5424 6.2.4 allow them.
_HOST = re.compile(r"(?P<host>[A-Za-z0-9_.:@/%~-]{1,255})(?:->[^\s]{1,255})?(?: |$)")
# Reference: Cisco IOS `service sequence-numbers`: `<189>29: *Mar  1 18:46:11: %SYS-5-CONFIG_I: ...`, also `:Mar ...` of ASA.
_CISCO_SEQUENCE = re.compile(r"(?:\d{1,10})?: ?(?=[*.]?[A-Z][a-z]{2} [ \d]\d|\d{4})")


_NO_HEADER = frozenset(["date", "devn", "CEF:", "LEEF"])
"""How the commonest lines without a header begin; only a short cut, the long way finds the same."""
# Reference: RFC 6587 3.4.1: `MSG-LEN SP SYSLOG-MSG`, the count left standing by a receiver that splits at line ends.
_OCTET_COUNT = re.compile(r"\d{1,7} (?=<\d{1,3}>)")
# Reference: the log files of Kubernetes (CRI): `TIME stdout F text`; F is a full line, P a part of one.
_STREAMS = frozenset(["stdout", "stderr"])
_PARTS_OF_LINES = frozenset(["F ", "P "])
# Reference: `docker compose logs`: the service's name, blanks, a bar.
_COMPOSE = re.compile(r"[A-Za-z0-9_][\w.-]{0,63} {0,64}\| ", re.ASCII)
_JUNK = frozenset("\x00\n\r")


def frame(text: str) -> Line:
    """The line with its syslog header (RFC 5424, RFC 3164 or what passes for it) taken off; a JSON wrapper of a shipper too.

    A header inside a header (a relay that puts its own before) is taken off as well; the innermost one counts.
    A NUL or line end after the line is no part of the message.
    Cost: about 0.5 µs for header-less lines (`<188>date=...`, `CEF:0|`), 2-3 µs with an RFC 3164 header.
    """
    return _frame(text.rstrip("\x00\r\n") if text[-1:] in _JUNK else text, text, MOST_WRAPPERS)


def _frame(text: str, whole: str, depth: int) -> Line:
    priority = -1
    if text[:1] == "<":
        end = text.find(">", 1, 5)
        if end > 0:
            priority = _PRIORITIES.get(text[1:end], -1)
            if priority >= 0:
                text = text[end + 1 :]
    if text[:4] in _NO_HEADER:
        return Line(whole, text, priority)
    first = text[:1]
    if first.isdigit() or text[:3].lower() in _MONTHS or first in "*.:" or first.isspace() or first == "\ufeff":
        return _with_header(text.lstrip(" \ufeff"), whole, priority, depth)
    if first == "{" and depth:
        inner = _unwrap(text, whole, depth)
        if inner is not None:
            if inner.priority < 0:
                inner.priority = priority
            return inner
    if text[3:4] == " " and text[:3].lower() in _WEEKDAYS:  # ctime(3), journalctl `-o short-full`
        line = _with_header(text[4:], whole, priority, depth)
        return line if line.host and line.pid else Line(whole, text, priority)
    if first == "c":
        text = _upper(text)
    if priority < 0 and depth and "| " in text[:130]:
        return _of_service(text, whole, depth)
    return Line(whole, text, priority)


def _of_service(text: str, whole: str, depth: int) -> Line:
    """The line behind the name of a container's service, the whole text where no header or known beginning stands there."""
    name = _COMPOSE.match(text)
    if name is not None:
        inner = _frame(text[name.end() :], whole, depth - 1)
        if inner.priority >= 0 or inner.header_time or inner.message[:4] in _NO_HEADER:
            return inner
    return Line(whole, text, -1)


def _with_header(text: str, whole: str, priority: int, depth: int) -> Line:
    """The line of a text that may begin with a header."""
    if priority < 0 and depth and text[:1].isdigit():
        counted = _OCTET_COUNT.match(text)
        if counted is not None:
            return _frame(text[counted.end() :], whole, depth - 1)
    if text[19:20] == "\t" and depth:
        kiwi = _KIWI.match(text)
        if kiwi is not None:
            inner = _frame(text[kiwi.end() :], whole, depth - 1)
            inner.host, inner.header_time = inner.host or kiwi["host"], inner.header_time or kiwi["time"]
            return inner
    if text[:2] == "1 ":
        line = _rfc5424(text, whole, priority)
        if line is not None:
            return _inner(line, depth)
        if text[2:5].lower() in _MONTHS or (priority >= 0 and _STAMP_EPOCH.match(text, 2)):
            text = text[2:]
    line = _rfc3164(text, whole, priority)
    if line.host in _STREAMS and depth and line.message[:2] in _PARTS_OF_LINES and not line.app:
        inner = _frame(line.message[2:], whole, depth - 1)
        if not inner.header_time:
            inner.header_time = line.header_time
        return inner
    return _inner(line, depth)


def _rfc5424(text: str, whole: str, priority: int) -> Line | None:
    parts = text[:LONGEST_HEADER].split(" ", 6)
    if len(parts) < 6 or not (parts[1] == "-" or _STAMP_ISO.fullmatch(parts[1])):  # noqa: PLR2004 - RFC 5424 6: six tokens before the structured data
        return None
    _, stamp, host, app, pid, message_id = parts[:6]
    if app[:4] in _NO_HEADER:  # a header of RFC 3164 behind a version
        return Line(whole, text[len(stamp) + len(host) + 4 :], priority, stamp, "" if host == "-" else host)
    start = sum(map(len, parts[:6])) + 6
    end = _structured_data_end(text, start)
    message = text[end:].removeprefix(" ").removeprefix("\ufeff")
    if app == "CEF" and _CUT_CEF.match(message):  # a relay took the beginning of a record for a program's name
        message = "CEF:" + message
    return Line(whole, _upper(message), priority, *("" if part == "-" else part for part in (stamp, host, app, pid, message_id, text[start:end])))


# Reference: RFC 5424 6.3.3: inside the quotes of a parameter value, `"`, `\` and `]` are escaped by `\`.
_SD_MARK = re.compile(r"\\.|[\"\]]", re.DOTALL)


def _structured_data_end(text: str, start: int) -> int:
    """The position after the structured data at `start`; `start` itself where there is none or it never ends."""
    if text[start : start + 1] == "-" and text[start + 1 : start + 2] in ("", " "):
        return start + 1
    at = start
    while text[at : at + 1] == "[":
        quoted = False
        for mark in _SD_MARK.finditer(text, at + 1):
            if mark.group() == '"':
                quoted = not quoted
            elif mark.group() == "]" and not quoted:
                at = mark.end()
                break
        else:
            return start
    return at


def _rfc3164(text: str, whole: str, priority: int) -> Line:
    usual = _USUAL.match(text)
    if usual is not None and text[usual.end() : usual.end() + 4] != "[ID ":
        time, host, app, pid = usual.groups()
        return Line(whole, text[usual.end() :], priority, time, host, app, pid)
    sequence = _CISCO_SEQUENCE.match(text)
    if sequence is not None:
        text = text[sequence.end() :]
    stamp = _STAMP_3164.match(text)
    if stamp is not None and stamp["month"].lower() not in _MONTH_NAMES:
        stamp = None
    stamp = stamp or _STAMP_ISO.match(text)
    if stamp is None and priority >= 0:
        stamp = _STAMP_EPOCH.match(text)
    if stamp is None:
        return Line(whole, text, priority)
    rest = text[stamp.end() :]
    rest = rest.removeprefix(":").lstrip(" ") if rest[:1] == ":" else rest.lstrip(" ")
    if rest[:1] == "<":
        rest = _LEVEL.sub("", rest, count=1)
    own = _STAMP_ISO.match(rest) if rest[10:11] == "T" else None
    if own is not None:  # a relay's time before the sender's, no host between them
        stamp, rest = own, rest[own.end() :].lstrip(" ")
    host, rest = _host(rest)
    tag = _TAG.match(rest)
    if tag is None:
        level = _LEVEL_OF_BUSYBOX.match(rest)
        if level is not None:
            rest = rest[level.end() :]
            tag = _TAG.match(rest)
    if tag is None and "]:" in rest[:LONGEST_HEADER]:
        tag = _TAG_TIGHT.match(rest)
    if tag is None or tag["app"] in _CEF_TAGS:
        return Line(whole, _upper(rest), priority, stamp.group(), host)
    message = rest[tag.end() :].removeprefix(" ")
    if message[:4] == "[ID ":
        message = _MESSAGE_ID.sub("", message, count=1)
    return Line(whole, message, priority, stamp.group(), host, tag["app"], tag["pid"] or "")


_CEF_TAGS = frozenset(["CEF", "cef"])
# Reference: records of CEF whose senders write the name of the format in small letters.
_SMALL_CEF = re.compile(r"cef: ?\d{1,2}(?:\.\d{1,2})?\|", re.ASCII)


def _upper(message: str) -> str:
    """The message, which begins as CEF does where it is a record in small letters."""
    return "CEF" + message[3:] if message[:4] == "cef:" and _SMALL_CEF.match(message) else message


def _host(rest: str) -> tuple[str, str]:
    """The host at the beginning of `rest` and what follows it; no host where the first word is a tag, a pair or CEF."""
    if rest[:4] in ("CEF:", "LEEF"):
        return "", rest
    match = _HOST.match(rest)
    if match is None or match["host"][0] == "%":
        return "", rest
    host = match["host"]
    if host[-1] == ":":  # `Jan 1 00:00:00 tag: text`, or Cisco's `host: ` before a sequence number or `%FACILITY-`
        after = rest[match.end() :]
        return (host[:-1], after) if after[:1] in "%*." or (after[:1].isdigit() and ": " in after[:12]) else ("", rest)
    return host, rest[match.end() :].removeprefix(": ") if rest[match.end() : match.end() + 3] == ": %" else rest[match.end() :]


_WRAPPING = frozenset("<{")


def _inner(line: Line, depth: int) -> Line:
    """The line itself, or what it wraps: another header (`<189>...`) or a JSON object."""
    first = line.message[:1]
    own = line.message[3:4] == " " and line.message[:3].lower() in _MONTHS
    if not depth or not (first in _WRAPPING or own or (not line.app and first.isdigit())):
        return line
    if first == "<" and line.message[1:2].isdigit():
        inner = _frame(line.message, line.text, depth - 1)
        if inner.priority < 0:
            return line
    elif first not in _WRAPPING:
        if not line.host or (line.app and not line.pid):
            return line
        inner = _rfc3164(line.message, line.text, line.priority)
        if not inner.header_time or not (inner.message[:4] in _NO_HEADER or (inner.host and inner.pid)):
            return line  # a time of the program's own, not the header that a relay put its own before
    else:
        found = _unwrap(line.message, line.text, depth)
        if found is None:
            return line
        inner = found
    for name in ("host", "header_time", "app", "pid", "message_id", "structured_data"):
        if not getattr(inner, name):
            setattr(inner, name, getattr(line, name))
    if inner.priority < 0:
        inner.priority = line.priority
    return inner


# --- JSON -----------------------------------------------------------------------------------------------------------


def _unwrap(text: str, whole: str, depth: int) -> Line | None:
    """The line that a shipper's JSON object carries; None for JSON that is itself the event."""
    document = json_object(text)
    if document is None:
        return None
    found = wrapped.carried(document)
    if not found.text.strip():
        return None
    inner = found.text.rstrip("\x00\r\n")
    line = _frame(inner, whole, depth - 1)
    head = wrapped.header(found.beside)
    if not line.app and line.message[:4] not in _NO_HEADER:
        line = _beside(found.beside, head, inner, line)
    if not found.sure and not _is_line(line):
        return None
    if not line.host:
        line.host = head.host
    if line.header_time[:1].isalpha():
        line.header_time = wrapped.dated(found.beside, line.header_time)
    return line


# Reference: what devices write without any header: `key=value` from the first letter on.
_KEYED = re.compile(r"[A-Za-z_][\w.\-]{0,63}=[^ ]")


def _is_line(line: Line) -> bool:
    """Whether a text looks as devices write lines, not as people write messages."""
    return line.priority >= 0 or bool(line.app or line.header_time) or line.message[:4] in _NO_HEADER or _KEYED.match(line.message) is not None


def _beside(document: Mapping[str, Any], head: wrapped.Header, inner: str, line: Line) -> Line:
    """The line with the program, process and time that stand beside it; `line` itself where no program is told."""
    app, pid = head.app, head.pid
    tag = _TAG.fullmatch(head.tag)
    if tag is not None:
        app, pid = tag["app"], tag["pid"] or ""
    if not app or app == "-":
        return line
    message = inner.removeprefix(" ")
    if app == "CEF" and _CUT_CEF.match(message):
        app, message = "", "CEF:" + message
    priority = _PRIORITIES.get(wrapped.priority(document), line.priority)
    return Line(line.text, message, priority, wrapped.time(document, _is_stamp), head.host, app, pid if pid.isdecimal() else "")


def _is_stamp(text: str) -> bool:
    return _STAMP_ISO.fullmatch(text) is not None or _STAMP_3164.fullmatch(text) is not None


# --- where a record begins inside a line ------------------------------------------------------------------------------


def word_at(message: str, mark: str, within: int) -> int:
    """Where `mark` stands in the first `within` characters as a word of the line's own; -1 where it does not.

    What stands in quotes is quoted (the address or program that a visitor names in the log of a web server, a value of JSON), and so is
    what follows a letter, digit or sign without a blank (`/?date=`), unless a relay names it (`msg=`): whoever wrote that may have wished
    to be taken for a device.
    """
    at = message.find(mark, 0, within)
    while at > 0:
        before = message[at - 1]
        quotes = message.count('"', 0, at) - message.count('\\"', 0, at) - (message[0] == '"')
        if not quotes & 1 and (before in _BETWEEN or (before == "=" and _CARRIES.search(message, max(0, at - 16), at) is not None)):
            return at
        at = message.find(mark, at + 1, within)
    return at


_BETWEEN = frozenset(" \t,;:|>\"'\ufeff")
# Reference: relays that write `key=value` and put the line as it came behind one of these.
_CARRIES = re.compile(r"(?:^|[ \t,;|>])(?:msg|message|rawmsg|raw|log|event)=\Z")


# --- key=value ------------------------------------------------------------------------------------------------------

# Reference: FortiOS, SonicWall, Sophos and iptables write `key=value key="value with \"quotes\""`; an unclosed quote
# (a line cut by UDP) runs to the end. Alternatives are disjoint, so the match is linear.
_PAIR = re.compile(
    r'(?P<key>[A-Za-z_][\w.\-]{0,127})=(?:"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)(?:"|\\?$)|(?P<bare>(?![A-Za-z_][\w.\-]{0,127}=")[^ ]*|))', re.DOTALL
)
_ESCAPED = re.compile(r'\\(["\\])')
MOST_PAIRS = 512
"""Of one line; more is an attack on memory, not a log."""


def key_values(text: str) -> dict[str, str]:
    r"""The pairs of `key=value key="quoted \" value"` text, in order; the last of a repeated key counts.

    Bare words between pairs belong to the unquoted value before them (`time=10: 13:03`), and
    quotes that nobody escaped to the quoted one (`msg="Edit "a" b"`). A key directly before another
    (`dstip=authid="x"`) is empty.
    """
    pairs: dict[str, str] = {}
    at, key, bare = 0, "", False
    for match in _PAIR.finditer(text):
        if match.start() < at or (match.start() > at and text[match.start() - 1] not in " ,\t"):
            continue
        between = text[at : match.start()].strip(" ,")
        if between:
            _continue(pairs, key, text[at : match.start()], bare=bare)
        key, bare, at = match["key"], match["quoted"] is None, match.end()
        if bare:
            pairs[key] = match["bare"]
        else:
            value = match["quoted"]
            pairs[key] = _ESCAPED.sub(r"\1", value) if "\\" in value else value
        if len(pairs) >= MOST_PAIRS:
            return pairs
    if text[at:].strip():
        _continue(pairs, key, text[at:], bare=bare)
    return pairs


def _continue(pairs: dict[str, str], key: str, between: str, *, bare: bool) -> None:
    """Give the text between two pairs to the value before it: words of a bare one, the rest of one with bare quotes inside."""
    if not key:
        return
    if bare:
        words = between.strip(" ,\t\r\n")
        pairs[key] = f"{pairs[key]} {words}" if pairs[key] else words
    else:
        pairs[key] += '"' + between.rstrip(" ,\t\r\n").removesuffix('"')


# --- CEF ------------------------------------------------------------------------------------------------------------


class Cef(msgspec.Struct, gc=False):
    """A CEF record. Source: ArcSight Common Event Format 0.1 / 1.x, "Header" and "Extension"."""

    version: str
    vendor: str
    product: str
    device_version: str
    class_id: str
    name: str
    severity: str
    extensions: dict[str, str]


# Reference: CEF header: fields end at a pipe that no backslash escapes.
_CEF_FIELD = re.compile(r"((?:[^|\\]|\\.)*)\|", re.DOTALL)
# Reference: CEF extension keys: at the start or after a space, up to an unescaped `=`; keys of ArcSight's flex
# connectors hold dots, brackets and commas (`ad.foo[0]`, `ad.Error_,Code`).
_CEF_KEY = re.compile(r"(?:^|(?<=\s))([A-Za-z0-9_][A-Za-z0-9_.,\-\[\]]{0,127})=")
_CEF_NO_PIPE = re.compile(r"(?:([A-Za-z0-9-]{1,16}) )? ?(?=[A-Za-z0-9_][A-Za-z0-9_.,\-\[\]]{0,127}=)")
_CEF_HEADER_FIELDS = 7


def cef(text: str) -> Cef | None:
    r"""The CEF record that begins at `CEF:` in `text`; None when there is none or its header is broken.

    A value runs to the next ` key=`, so it may hold spaces, and unescaped pipes and backslashes as they are. Escapes:
    `\|` and `\\` in the header, `\=`, `\\`, `\n`, `\r` (and `\|`) in values; any other backslash stays.
    """
    start = text.find("CEF:")
    if start < 0:
        return None
    header: list[str] = []
    at = start + 4
    while len(header) < _CEF_HEADER_FIELDS:
        if len(header) == _CEF_HEADER_FIELDS - 1:
            bare = _CEF_NO_PIPE.match(text, at)  # some senders leave the severity out, or the pipe after it
            if bare is not None:
                header.append(bare[1] or "")
                at = bare.end()
                break
        match = _CEF_FIELD.match(text, at)
        if match is None:
            break
        header.append(_cef_unescape(match[1]).strip())
        at = match.end()
    if len(header) == _CEF_HEADER_FIELDS - 1:  # no pipe after the severity: there is no extension
        header.append(text[at:].strip())
        at = len(text)
    if len(header) != _CEF_HEADER_FIELDS:
        return None
    version, vendor, product, device_version, class_id, name, severity = header
    return Cef(version, vendor, product, device_version, class_id, name, severity, cef_extensions(text[at:]))


def cef_extensions(text: str) -> dict[str, str]:
    """The extension's pairs, in order, unescaped; the last of a repeated key counts."""
    pairs: dict[str, str] = {}
    matches = list(_CEF_KEY.finditer(text))[:MOST_PAIRS]
    ends = [*(match.start() for match in matches[1:]), len(text)]
    for match, end in zip(matches, ends, strict=False):  # without a pair there is one end too many
        value = text[match.end() : end]
        pairs[match[1]] = _cef_unescape(value.rstrip(" \r\n") if end == len(text) else value[:-1])
    return pairs


_CEF_ESCAPE = re.compile(r"\\([\\|=nr])")
_CEF_ESCAPES = {"n": "\n", "r": "\r"}


def _cef_unescape(text: str) -> str:
    if "\\" not in text:
        return text
    return _CEF_ESCAPE.sub(lambda match: _CEF_ESCAPES.get(match[1], match[1]), text)
