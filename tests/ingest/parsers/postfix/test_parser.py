"""Every kind of line that a Postfix gateway logs is read to the same fields, whatever it holds."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from time import thread_time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.errors import ParseError, UnknownFormat
from soc.ingest.framing import decode, frame
from soc.ingest.parser import Context, Line, Parsed
from soc.ingest.parsers.postfix.parser import PARSER, PostfixParser
from soc.model.event import Doc, nest

NOW_US = 1_795_222_800_000_000
SAMPLES = Path(__file__).parents[4] / "soc/ingest/parsers/postfix/samples"
CONTEXT = Context(NOW_US)


def read(text: str, parser: PostfixParser = PARSER) -> Parsed:
    """A framed and parsed line."""
    return parser.parse(frame(text), CONTEXT)


def said(message: str, program: str = "postfix/smtpd") -> Doc:
    """The document of a message of a program."""
    return read(f"Nov 20 08:00:00 mx1 {program}[7]: {message}").doc


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.log")), ids=lambda path: path.stem)
def test_the_samples_give_their_golden_documents(sample: Path) -> None:
    """What comes out is a contract: a change of it is a new parser version."""
    lines = sample.read_text("utf-8").splitlines()
    expected = [orjson.loads(line) for line in sample.with_suffix(".expected.ndjson").read_bytes().splitlines()]
    assert [{"n": n, "ecs": nest(read(line).doc)} for n, line in enumerate(lines, 1)] == expected


def test_a_program_that_is_no_part_of_a_mail_gateway_is_not_claimed() -> None:
    """Another program's line is left to others, and refused when it is forced on the parser."""
    line = frame("Nov 20 08:00:00 mx1 sshd[7]: connect from mx[192.0.2.1]")
    assert not PARSER.claims(line)
    with pytest.raises(UnknownFormat):
        PARSER.parse(line, CONTEXT)


@pytest.mark.parametrize(
    "program",
    [
        "postfix/smtpd",
        "postfix-in/smtpd",
        "postfix/submission/smtpd",
        "mx-out/qmgr",
        "postfix/postfix-script",
        "amavis",
        "/usr/sbin/amavisd",
        "amavisd-new",
        "spamd",
        "spamassassin",
        "rspamd",
        "postgrey",
        "postfix/postgrey",
        "policyd-spf",
        "postfix/policy-spf",
        "opendkim",
        "opendmarc",
    ],
)
def test_every_spelling_of_the_programs_is_claimed(program: str) -> None:
    """Instances, service names and full paths are all the same products."""
    assert PARSER.claims(Line("x", "x", app=program))


@pytest.mark.parametrize("program", ["", "sshd", "dovecot", "/smtpd", "cyrus/lmtp", "amavisx"])
def test_other_programs_are_not_claimed(program: str) -> None:
    """A name that only looks alike is no claim."""
    assert not PARSER.claims(Line("x", "x", app=program))


def test_a_recipient_that_imitates_the_rest_of_the_line_stays_a_recipient() -> None:
    """An address ends at `>, `, whatever a sender put into it."""
    doc = said(
        '1A2B3C4D5E: to=<"a, status=sent (ok)"@x.example>, relay=none, delay=1, delays=1/0/0/0, dsn=5.4.4, status=bounced (no such host)', "postfix/smtp"
    )
    assert (doc["email.to.address"], doc["postfix.status"]) == (['"a, status=sent (ok)"@x.example'], "bounced")


def test_a_header_that_imitates_a_client_does_not_become_one() -> None:
    """The client that Postfix logged stands last; what the mail's author wrote before it does not count."""
    doc = said(
        "1A2B3C4D5E: reject: header Subject: hi from good[192.0.2.1]; from=<a@b> to=<c@d> from bad[198.51.100.9]; from=<e@f> to=<g@h> proto=ESMTP helo=<bad>: 5.7.1 no",
        "postfix/cleanup",
    )
    assert (doc["source.ip"], doc["email.from.address"]) == ("198.51.100.9", ["e@f"])


def test_a_subject_is_decoded_and_composed() -> None:
    """MIME words in either normal form give the same subject."""
    composed = said("1A2B3C4D5E: info: header Subject: =?utf-8?q?H=E1=BB=8Dp?= from local; from=<a@b> to=<c@d>", "postfix/cleanup")
    decomposed = said("1A2B3C4D5E: info: header Subject: =?utf-8?q?Ho=CC=A3p?= from local; from=<a@b> to=<c@d>", "postfix/cleanup")
    assert composed["email.subject"] == decomposed["email.subject"] == "Họp"


def test_an_original_recipient_stands_beside_the_final_one() -> None:
    """An alias and what it stands for are both whom the mail was for."""
    doc = said(
        "1A2B3C4D5E: to=<a@x.example>, orig_to=<all@x.example>, relay=mx[192.0.2.9]:25, delay=1, dsn=2.0.0, status=sent (250 ok: queued as 4bTrKq5Tv2z9rvR)",
        "postfix/smtp",
    )
    assert doc["email.to.address"] == ["a@x.example", "all@x.example"]
    assert (doc["destination.ip"], doc["destination.port"], doc["postfix.queued_as"]) == ("192.0.2.9", 25, "4bTrKq5Tv2z9rvR")


@pytest.mark.parametrize(
    ("message", "address", "port"),
    [
        ("connect from unknown[192.0.2.1]", "192.0.2.1", None),
        ("lost connection after DATA (77 bytes) from a.example[2001:DB8::1]", "2001:db8::1", None),
        ("improper command pipelining after AUTH from unknown[192.0.2.2]: QUIT", "192.0.2.2", None),
        ("warning: unknown[192.0.2.3]:5555: SASL PLAIN authentication failed: no", "192.0.2.3", 5555),
        ("NON-SMTP COMMAND from [192.0.2.4]:1234 after CONNECT: GET / HTTP/1.1", "192.0.2.4", 1234),
        ("warning: hostname a.example does not resolve to address 192.0.2.5: Name or service not known", "192.0.2.5", None),
        ("warning: 192.0.2.6: hostname a.example verification failed: Name or service not known", "192.0.2.6", None),
        ("warning: Illegal address syntax from unknown[192.0.2.7] in MAIL command: <x", "192.0.2.7", None),
        ("statistics: max connection count 3 for (10.0.0.1:25:192.0.2.8) at Nov 20 08:00:00", "192.0.2.8", None),
        ("NOQUEUE: lost connection after CONNECT from unknown[192.0.2.10]", "192.0.2.10", None),
        ("warning: a.example[192.0.2.11] sent message header instead of SMTP command: Subject: x", "192.0.2.11", None),
        ("a.example[192.0.2.12]: Trusted: subject_CN=a, issuer=b, fingerprint=c", "192.0.2.12", None),
        ("a wording of tomorrow from host.example[192.0.2.9]:77 for nothing", "192.0.2.9", 77),
    ],
)
def test_the_client_is_found_in_every_form(message: str, address: str, port: int | None) -> None:
    """Also in a wording that no version has written yet."""
    doc = said(message)
    assert (doc["source.ip"], doc.get("source.port")) == (address, port)


@pytest.mark.parametrize(
    ("message", "program", "fields"),
    [
        (
            "NOQUEUE: lost connection after AUTH from unknown[192.0.2.1]",
            "postfix/smtpd",
            {"event.action": "lost-connection", "postfix.stage": "AUTH", "postfix.queue_id": "NOQUEUE"},
        ),
        ("CONNECT to [192.0.2.25]:25", "postfix/tlsproxy", {"event.action": "connect", "destination.ip": "192.0.2.25", "event.type": ["connection", "start"]}),
        (
            "TLS handshake failed for service=smtp peer=[192.0.2.1]:6399",
            "postfix/tlsproxy",
            {"event.action": "tls-handshake", "event.outcome": "failure", "source.ip": "192.0.2.1", "source.port": 6399},
        ),
        (
            "server certificate verification failed for mx.example[192.0.2.25]:25: expired",
            "postfix/smtp",
            {"event.action": "certificate-verification", "destination.domain": "mx.example", "event.reason": "expired"},
        ),
        (
            "mx.example[192.0.2.25]:25: certificate verification failed: self-signed",
            "postfix/smtp",
            {"event.action": "certificate-verification", "destination.ip": "192.0.2.25", "event.reason": "self-signed"},
        ),
        (
            "NOQUEUE: reject: BDAT content from a.example[192.0.2.1]: 521 5.5.2 mx Error: bare <LF> received; from=<a@b> to=<c@d> proto=ESMTP helo=<x>",
            "postfix/smtpd",
            {"postfix.stage": "BDAT content", "source.ip": "192.0.2.1", "postfix.reply_code": "521", "event.reason": "mx Error: bare <LF> received"},
        ),
        ("warning: 192.0.2.6: address not listed for hostname a.example", "postfix/smtpd", {"event.action": "hostname-mismatch", "source.ip": "192.0.2.6"}),
        ("1A2B3C4D5E: skipped, still being delivered", "postfix/qmgr", {"event.action": "skip"}),
        ("1A2B3C4D5E: expired", "postfix/postsuper", {"event.action": "expire"}),
        ("Expired: 4 messages", "postfix/postsuper", {"event.action": "expired", "postfix.messages": "4"}),
    ],
)
def test_lines_of_newer_versions(message: str, program: str, fields: Doc) -> None:
    """What versions since 3.4 say of sessions, certificates and expired mail."""
    assert fields.items() <= said(message, program).items()


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (
            "(01-1) Passed, <a@b.example> -> <c@d.example>, Message-ID: <m@b.example>, Hits: 4.3",
            {"event.action": "passed-clean", "email.from.address": ["a@b.example"], "email.to.address": ["c@d.example"], "amavis.hits": "4.3"},
        ),
        (
            "(01-1) SMTP:[127.0.0.1]:10024 /var/tmp/amavis-1: <a@b.example> -> <c@d.example>,<e@d.example> SIZE=9",
            {"email.from.address": ["a@b.example"], "email.to.address": ["c@d.example", "e@d.example"]},
        ),
        ("(01-1) Passed BAD-HEADER, <a@b.example> -> <c@d.example>, Hits: 2.54 size: 4134, 37 ms", {"amavis.hits": "2.54", "amavis.size": "4134"}),
        ("(01-1) spam-tag, <a@b.example> -> <c@d.example>, Yes, score=7.3", {"email.from.address": ["a@b.example"]}),
        ("(01-1) Checking: abc MYNETS [192.0.2.1] <> -> <c@d.example>", {"amavis.mail_id": "abc", "amavis.policy": "MYNETS", "source.ip": "192.0.2.1"}),
    ],
)
def test_amavis_lines_name_sender_and_recipients(message: str, fields: Doc) -> None:
    """Also those that are no verdict, and verdicts of old versions; its own address is no client."""
    doc = said(message, "amavis")
    assert fields.items() <= doc.items()
    assert ("source.ip" in doc) == ("Checking" in message)


_SCAN = "<8ae27d>; proxy; rspamd_task_write_log: id: <m@b.example>, qid: <1A2B3C4D5E>, ip: 192.0.2.1, from: <a@b.example>, (default: F (no action): [-0.64/20.00] [A(-1.00){}]), len: 9"


@pytest.mark.parametrize(
    "text",
    [
        f"Nov 20 08:00:00 mx1 rspamd[7]: {_SCAN}",
        f"Nov 20 08:00:00 mx1 rspamd[7]: (proxy) {_SCAN}",
        f"2026-11-20 08:00:00 #7(rspamd_proxy) {_SCAN}",
        f"2026-11-20 08:00:00.123 #7(normal) {_SCAN}",
        orjson.dumps({"log": f"2026-11-20 08:00:00 #7(normal) {_SCAN}\n", "stream": "stderr", "time": "2026-11-20T01:00:01Z"}).decode(),
    ],
)
def test_rspamd_is_read_from_syslog_and_from_its_own_file(text: str) -> None:
    """With its worker or without, with a host or none."""
    assert PARSER.claims(frame(text))
    doc = read(text).doc
    assert (doc["event.dataset"], doc["email.local_id"], doc["source.ip"], doc["rspamd.score"]) == ("rspamd.log", "1A2B3C4D5E", "192.0.2.1", "-0.64")
    assert doc["@timestamp"].startswith("2026-11-20T01:00:00.")
    assert doc["process.pid"] == 7


def test_rspamd_names_the_message_that_it_loads() -> None:
    """Queue id and Message-ID stand in the line before the verdict."""
    doc = said("<a1>; task; rspamd_message_parse: loaded message; id: <m@b>; queue-id: <1A2B3C4D5E>; size: 9; checksum: <0>", "rspamd")
    assert (doc["email.message_id"], doc["email.local_id"]) == ("m@b", "1A2B3C4D5E")


def test_a_resent_line_keeps_its_natural_key() -> None:
    """A relay adds a priority and rewrites the stamp; the line is the same occurrence. Another second is not."""
    first = read("Nov 20 08:00:00 mx1 postfix/smtpd[7]: connect from a[192.0.2.1]")
    resent = read("<22>2026-11-20T01:00:00+00:00 mx1 postfix/smtpd[7]: connect from a[192.0.2.1]")
    later = read("Nov 20 08:00:01 mx1 postfix/smtpd[7]: connect from a[192.0.2.1]")
    assert first.natural_key == resent.natural_key != later.natural_key


def test_a_remembered_time_does_not_outlive_its_year() -> None:
    """The same stamp received a year later is of the later year, also when the parser has read it before."""
    parser = PostfixParser()
    line = frame("Nov 20 08:00:00 mx1 postfix/smtpd[7]: x")
    year_us = 365 * 86_400_000_000
    times = [parser.parse(line, Context(received)).doc["@timestamp"][:4] for received in (NOW_US, NOW_US + year_us, NOW_US)]
    assert times == ["2026", "2027", "2026"]


def test_no_field_is_another_type_or_a_part_of_another_name() -> None:
    """A store maps each name once: one type in all lines, and no name that is the beginning of another."""
    types: dict[str, type] = {}
    for sample in SAMPLES.glob("*.log"):
        for line in sample.read_text("utf-8").splitlines():
            for name, value in read(line).doc.items():
                assert types.setdefault(name, type(value)) is type(value), name
    names = sorted(types)
    assert not [(a, b) for a, b in pairwise(names) if b.startswith(a + ".")]


_PIECES = st.sampled_from(
    [
        *'<>[](){}:;,=- \n\x00"\\',
        "to=<", ">, ", "from=<", "relay=", "status=sent (", "NOQUEUE", ": ", "reject", "RCPT from ", "a[192.0.2.1]", "[::1]:25", "1A2B3C4D5E: ", "; from=<",
        "header Subject: ", "=?utf-8?b?", "?=", "(1-2) Passed CLEAN ", "> -> <", "Queue-ID: ", "Tests: [", "A_B=1", "spamd: result: Y 15 - ", "mid=<",
        "(normal) <a1>; task; rspamd_task_write_log: ", "(default: T (reject): [1/2] [", "id: <", "time: 1e9ms", "999999999999999999999", "warning: ", "SASL X authentication failed",
        "statistics: max x 1 for (", "after ", " queued as ", "action=", ", reason=", "client_address=", "Received-SPF: pass ", "client-ip=", "envelope-from=", "; queue-id: <", "TLS handshake failed for peer=", "proto=", "delay=", "đ", "\ud800",
    ]
)  # fmt: skip


@given(
    st.sampled_from(["postfix/smtpd", "amavis", "spamd", "rspamd", "postgrey", "policyd-spf", "opendkim", "opendmarc"]),
    st.lists(_PIECES | st.text(max_size=20), max_size=30),
)
def test_no_text_makes_the_parser_fail(program: str, pieces: list[str]) -> None:
    """Whatever a line holds, it is read or refused by a ParseError, with values that a store takes."""
    try:
        parsed = PARSER.parse(Line("", "".join(pieces), header_time="Nov 20 08:00:00", host="mx1", app=program, pid="7"), CONTEXT)
    except ParseError:
        return
    for name, value in parsed.doc.items():
        assert re.fullmatch(r"@timestamp|[a-z_]+(\.[a-z_0-9]+)*", name)
        assert all(isinstance(item, str | int | float | bool) and item != "" for item in (value if isinstance(value, list) else [value])) or name == "message"


@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_fail(raw: bytes) -> None:
    """The same for bytes on the wire."""
    line = frame(decode(b"Nov 20 08:00:00 mx1 postfix/cleanup[7]: " + raw)[0])
    if PARSER.claims(line):
        PARSER.parse(line, CONTEXT)


@pytest.mark.parametrize("unit", ["A", "a ", "from ", "[", "<", "to=<", "a=b ", "> -> <", ",", ": ", "A_B=1,", "=?utf-8?q?a?= "])
@pytest.mark.parametrize("program", ["postfix/smtpd", "amavis", "spamd", "rspamd", "postgrey", "policyd-spf", "opendkim"])
def test_a_line_of_a_megabyte_is_read_in_no_time(program: str, unit: str) -> None:
    """Reading is linear: 1 MB of what looks like the beginning of something costs a moment, where anything quadratic would take hours."""
    for start in (
        "",
        "1A2B3C4D5E: ",
        "1A2B3C4D5E: reject: header Subject: ",
        "warning: ",
        "(1-2) Passed CLEAN {",
        "(normal) <a>; task; rspamd_task_write_log: ",
        "spamd: result: Y 1 - ",
        "action=",
    ):
        line = Line("", start + unit * (1_000_000 // len(unit)), header_time="Nov 20 08:00:00", host="mx1", app=program, pid="7")
        begun = thread_time()
        PARSER.parse(line, CONTEXT)
        assert thread_time() - begun < 5


@pytest.mark.parametrize("date", ["9999-12-31 11:31:02", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+07:00"])
def test_a_header_of_no_calendar_has_no_time(date: str) -> None:
    """A moment that cannot be written in UTC is none; the line stays an event."""
    parsed = read(f"{date} mx3 postfix/smtpd[700]: connect from unknown[192.0.2.1]")
    assert (parsed.ts_us, "@timestamp" in parsed.doc) == (0, False)
