"""Reads the log of a Postfix mail gateway: Postfix itself, amavis, SpamAssassin, rspamd and the policy servers beside it.

They write into one syslog stream about the same messages, so one parser reads them and one assembler joins them.
`event.dataset` tells them apart: `postfix.log`, `amavis.log`, `spamassassin.log`, `rspamd.log`, `postgrey.log`, ….
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from hashlib import blake2b

from soc.errors import ParseError, UnknownFormat
from soc.ingest.normalize import DAY_US, MINUTE_US, SECOND_US, iso, time_us
from soc.ingest.parser import Context, Line, Parsed
from soc.ingest.parsers.postfix.amavis import read_amavis
from soc.ingest.parsers.postfix.assembler import MailAssembler
from soc.ingest.parsers.postfix.forms import Form, Forms, Template
from soc.ingest.parsers.postfix.policy import PROGRAMS as POLICY_PROGRAMS
from soc.ingest.parsers.postfix.policy import READERS as POLICY_READERS
from soc.ingest.parsers.postfix.queued import is_queue_id, read_queued
from soc.ingest.parsers.postfix.rspamd import read_rspamd
from soc.ingest.parsers.postfix.session import ends_a_session, read_session
from soc.ingest.parsers.postfix.spamassassin import read_spamassassin
from soc.model.event import Doc
from soc.model.text import texts_tokens

_MOST_TIMES = 4096
_MOST_APPS = 4096
_MOST_TEMPLATES = 4096
# Reference: RFC 3164 4.1.2.
_TO_THE_SECOND = re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:[0-5]\d", re.ASCII)
_TO_SECONDS = 13
_SECONDS = {f"{second:02d}": second * SECOND_US for second in range(60)}
_APART = ("@timestamp", "message", "process.pid")
"""Fields that every line has of its own."""
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
] + [f"local{n}" for n in range(8)]
_SEVERITIES = ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"]


def read_postfix(message: str, doc: Doc) -> None:
    """Put a message of any Postfix daemon into `doc`: the daemon matters less than what it says."""
    head, colon, rest = message.partition(": ")
    if colon and is_queue_id(head):
        doc["email.local_id"] = head
        read_queued(rest, doc)
    elif head == "NOQUEUE":
        doc["postfix.queue_id"] = "NOQUEUE"
        (read_session if ends_a_session(rest) else read_queued)(rest, doc)
    else:
        read_session(message, doc)


_READERS: dict[str, Callable[[str, Doc], None]] = {
    "postfix": read_postfix,
    "amavis": read_amavis,
    "spamassassin": read_spamassassin,
    "rspamd": read_rspamd,
    **POLICY_READERS,
}


def _read_alone(message: str) -> Doc:
    """What the reader of a message without a header gives."""
    doc: Doc = {}
    (read_amavis if message[:1] == "(" else read_postfix)(message, doc)
    return doc


_PROGRAMS = {
    **POLICY_PROGRAMS,
    "amavisd": "amavis",
    "amavis": "amavis",
    "amavisd-new": "amavis",
    "spamd": "spamassassin",
    "spamassassin": "spamassassin",
    "rspamd": "rspamd",
    "rspamd_proxy": "rspamd",
    "postlog": "postfix",
}
_DAEMONS = frozenset(
    [
        "smtpd",
        "smtp",
        "lmtp",
        "qmgr",
        "nqmgr",
        "oqmgr",
        "cleanup",
        "pickup",
        "bounce",
        "local",
        "virtual",
        "pipe",
        "error",
        "discard",
        "trivial-rewrite",
        "anvil",
        "scache",
        "postscreen",
        "dnsblog",
        "tlsproxy",
        "verify",
        "postsuper",
        "postfix-script",
        "script",
        "master",
        "flush",
        "proxymap",
        "tlsmgr",
        "showq",
        "spawn",
        "qmqpd",
        "defer",
        "trace",
        "postdrop",
        "sendmail",
        "postqueue",
        "postlogd",
        "postalias",
        "postmap",
    ]
)


def _product(app: str) -> str:
    """Which of the products a syslog program name is of, "" = none: `postfix/smtpd`, `postfix-in/smtpd`, `/usr/sbin/amavisd`."""
    if app.startswith("postfix"):
        return POLICY_PROGRAMS.get(app.rpartition("/")[2], "postfix")
    known = _PROGRAMS.get(app) or _PROGRAMS.get(app.rpartition("/")[2])
    if known:
        return known
    instance, slash, daemon = app.rpartition("/")
    ours = slash and daemon in _DAEMONS and instance and not instance.startswith(("/", "cyrus", "imap", "dovecot", "exim"))
    return "postfix" if ours else ""


# Reference: what stands before a message that a container or a collector passes on under its own name or none.
_INNER_TAG = re.compile(r"(?P<app>postfix[\w.-]{0,32}/[\w/.-]{1,64})(?:\[(?P<pid>\d{1,10})\])?: ")


# Reference: rspamd's own log file: `DATE TIME #PID(WORKER) <tag>; module; function: text`.
_RSPAMD_FILE = re.compile(r"#\d{1,10}\([\w-]{1,32}\) <\w{1,32}>; ")


def _inner(line: Line) -> Line:
    """The line under the program that its message itself names: `postfix/smtpd[7]: connect from …`; a line of rspamd's own file under `rspamd`."""
    if line.message[:1] == "#" and not line.app and _RSPAMD_FILE.match(line.message):
        return Line(line.text, line.message, line.priority, line.header_time, line.host, "rspamd", line.message[1 : line.message.index("(")])
    tag = _INNER_TAG.match(line.message) if line.message[:7] == "postfix" and "/" not in line.app.removeprefix("docker/") else None
    if tag is None:
        return line
    return Line(line.text, line.message[tag.end() :], line.priority, line.header_time, line.host, tag["app"], tag["pid"] or line.pid)


class PostfixParser:
    """Postfix, amavis, SpamAssassin (spamd), rspamd and policy servers."""

    name = "postfix"
    version = 4
    kind = "mail"
    fields_hold_line = False

    def __init__(self) -> None:
        self._apps: dict[str, tuple[str, str]] = {}
        self._times: dict[tuple[str, str, int], int] = {}
        self._stamps: dict[tuple[str, str, int], tuple[int, str, str]] = {}
        self._minutes: dict[tuple[str, str, int], tuple[int, str, str]] = {}
        """What times of one minute have in common: its microseconds, the text of `@timestamp` up to the seconds, the tokens of its date."""
        self._forms = Forms(_read_alone)
        self._templates: dict[tuple[int, str, str, int], Template | None] = {}

    def claims(self, line: Line) -> bool:
        """Whether the program, or the one that the message begins with, is one of those that are read here."""
        return bool(self._app(line.app)[0]) or _inner(line) is not line

    def parse(self, line: Line, context: Context) -> Parsed:
        """The line as ECS.

        Raises: UnknownFormat for a program that is not read here.
        Cost: about 8 µs, half of it the fields that every line has.
        """
        if line.message[:7] == "postfix" or line.message[:1] == "#":
            line = _inner(line)
        product, daemon = self._app(line.app)
        if not product:
            raise UnknownFormat("the program is neither Postfix nor a mail filter beside it", parser=self.name)
        message = line.message
        ts_us = self._time(line.header_time, context)
        host = line.host
        doc: Doc = {
            "@timestamp": "",
            "event.kind": "event",
            "event.category": ["email"],
            "event.type": ["info"],
            "event.module": product,
            "event.dataset": product + ".log",
            "message": message,
            "process.name": line.app,
        }
        if ts_us:
            doc["@timestamp"] = iso(ts_us)
        else:
            del doc["@timestamp"]
        if host:
            doc["host.hostname"] = doc["host.name"] = host
        if line.pid.isascii() and line.pid.isdigit() and len(line.pid) <= 10:  # noqa: PLR2004 - 32 bits
            doc["process.pid"] = int(line.pid)
        if daemon:
            doc["postfix.daemon"] = daemon
        if line.priority >= 0:
            doc.update(_PRIORITIES[line.priority])
        _READERS[product](message.rstrip(), doc)
        return Parsed(doc, ts_us, _natural_key(host, line, ts_us))

    def parse_many(self, lines: Sequence[Line], context: Context) -> list[Parsed | None]:
        """See `BatchParser`: lines of a known form. Cost: half of `parse`, and a quarter of working out their tokens."""
        return [self._of_form(line, context) for line in lines]

    def _of_form(self, line: Line, context: Context) -> Parsed | None:
        """What `parse` gives for a line whose message has a form; None for any other line."""
        message, pid = line.message, line.pid
        found = self._forms.find(message)
        if found is None or not (pid.isascii() and pid.isdigit() and len(pid) <= 10 and pid[0] != "0"):  # noqa: PLR2004 - 32 bits
            return None
        stamp = self._stamp(line.header_time, context)
        if stamp is None:
            return None
        form, values = found
        key = (id(form), line.app, line.host, line.priority)
        template = self._templates.get(key)
        if template is None:
            template = self._template(key, form, line, context)
            if template is None:
                return None
        ts_us, written, tokens = stamp
        doc = template.fill(values)
        doc["@timestamp"] = written
        doc["message"] = message
        doc["process.pid"] = int(pid)
        own = ""
        if context.tokens and line.text == f"{template.before}{line.header_time} {line.host} {line.app}[{pid}]: {message}":
            own = template.tokens_of(values, tokens, pid)
        return Parsed(doc, ts_us, _natural_key(line.host, line, ts_us), "", own)

    def _template(self, key: tuple[int, str, str, int], form: Form, line: Line, context: Context) -> Template | None:
        """How lines with this header become whose message has this form; None where that cannot be told."""
        if key in self._templates:
            return None
        if len(self._templates) >= _MOST_TEMPLATES:
            self._templates.clear()
        if self._app(line.app)[0] != ("amavis" if line.message[:1] == "(" else "postfix"):
            self._templates[key] = None  # others look for words of their own in what is any value to the reader that the form is of
            return None

        def read(message: str) -> Doc:
            return self.parse(Line(message, message, line.priority, line.header_time, line.host, line.app, "1"), context).doc

        before = f"<{line.priority}>" if line.priority >= 0 else ""
        try:
            template = Template(form, read, _APART, before, f" {line.host} {line.app}[")
        except (ParseError, ValueError):
            template = None
        self._templates[key] = template
        return template

    def _stamp(self, text: str, context: Context) -> tuple[int, str, str] | None:
        """The header time of lines that are read together, as microseconds, as `@timestamp` and its tokens; None where there is none, or not one for all of them."""
        key = (text, context.timezone, context.offset_us)
        known = self._stamps.get(key)
        if known is None or not _holds(text, known[0], context.received_us):
            known = self._new_stamp(text, context)
            if known is None:
                return None
            if len(self._stamps) >= _MOST_TIMES:
                self._stamps.clear()
            self._stamps[key] = known
        return known if _holds(text, known[0], context.last_us) else None

    def _new_stamp(self, text: str, context: Context) -> tuple[int, str, str] | None:
        """A header time that was not met lately; most differ by their seconds only from one that was."""
        key = (text[:_TO_SECONDS], context.timezone, context.offset_us)
        seconds_us = _SECONDS.get(text[_TO_SECONDS:], 0)
        minute = self._minutes.get(key) if text[_TO_SECONDS:] in _SECONDS else None
        if minute is not None and _holds(text, minute[0] + seconds_us, context.received_us):
            return minute[0] + seconds_us, f"{minute[1]}{text[_TO_SECONDS:]}.000Z", f"{minute[2]} {text[7:]}"
        ts_us = self._time(text, context)
        if not ts_us:
            return None
        written = iso(ts_us)
        if _TO_THE_SECOND.fullmatch(text) and ts_us % MINUTE_US == seconds_us:
            if len(self._minutes) >= _MOST_TIMES:
                self._minutes.clear()
            self._minutes[key] = ts_us - seconds_us, written[:17], texts_tokens((text[:6],))
        return ts_us, written, texts_tokens((text,))

    def _app(self, app: str) -> tuple[str, str]:
        known = self._apps.get(app)
        if known is None:
            product = _product(app)
            known = (product, app.rpartition("/")[2] if product == "postfix" and "/" in app else "")
            if len(self._apps) >= _MOST_APPS:
                self._apps.clear()
            self._apps[app] = known
        return known

    def _time(self, text: str, context: Context) -> int:
        """The header time; 0 where there is none. Lines come many to a second, so a text is read once."""
        if not text:
            return 0
        key = (text, context.timezone, context.offset_us)
        known = self._times.get(key)
        if known is not None and _holds(text, known, context.received_us):
            return known
        try:
            known = time_us(text, context)
            iso(known)
        except ValueError:
            return 0
        if len(self._times) >= _MOST_TIMES:
            self._times.clear()
        self._times[key] = known
        return known


def _holds(text: str, ts_us: int, received_us: int) -> bool:
    """Whether what was remembered of a time is what reading it again would give: it has a year, or no later year fits."""
    return text[0].isdigit() or 0 <= received_us + 7 * DAY_US - ts_us < 365 * DAY_US


def _syslog_fields(priority: int) -> Doc:
    facility, severity = divmod(priority, 8)
    return {
        "log.syslog.priority": priority,
        "log.syslog.facility.code": facility,
        "log.syslog.facility.name": _FACILITIES[facility],
        "log.syslog.severity.code": severity,
        "log.syslog.severity.name": _SEVERITIES[severity],
    }


_PRIORITIES = [_syslog_fields(priority) for priority in range(192)]


def _natural_key(host: str, line: Line, ts_us: int) -> str:
    """The same for a line that a relay sends again: it may put its own priority, stamp style and address before it."""
    said = blake2b(line.message.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
    return f"postfix\x1f{host}\x1f{line.app}\x1f{line.pid}\x1f{ts_us // 1_000_000}\x1f{said}"


PARSER = PostfixParser()
ASSEMBLER = MailAssembler()
