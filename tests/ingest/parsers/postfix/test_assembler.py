"""One event per mail and decision, whatever happens to the lines: interleaved, resent, cut off, late, read again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.ingest.assembly import Assembly
from soc.ingest.framing import frame
from soc.ingest.parser import Context, Parsed
from soc.ingest.parsers.postfix.parser import ASSEMBLER, PARSER
from soc.model.event import Doc

NOW_US = 1_795_222_800_000_000
SAMPLES = Path(__file__).parents[4] / "soc/ingest/parsers/postfix/samples"
CLIENT = "mx.congty.example[203.0.113.25]"
TAIL = "from=<a@x.example> to=<b@y.example> proto=ESMTP helo=<x>"


class Gateway:
    """Lines going into the assembler, as the pipeline does it."""

    def __init__(self, kept: dict[str, bytes] | None = None) -> None:
        self.assembly = Assembly(ASSEMBLER, kept or {})
        self.lines = 0

    def line(self, text: str, received_s: float = 0.0, event_id: str = "") -> list[Parsed]:
        """What one line finishes."""
        parsed = PARSER.parse(frame(text), Context(NOW_US))
        self.lines += 1
        return self.assembly.fold(event_id or f"e{self.lines}", parsed.ts_us, round(received_s * 1e6), parsed.doc)

    def lines_of(self, texts: Iterable[str]) -> list[Doc]:
        """What several lines finish."""
        return [parsed.doc for text in texts for parsed in self.line(text)]

    def after(self, seconds: float) -> list[Doc]:
        """What the passing of time finishes."""
        return [parsed.doc for parsed in self.assembly.expire(round(seconds * 1e6))]


def at(clock: str, program: str, text: str, host: str = "mail", pid: int = 7) -> str:
    """A line as rsyslog writes it."""
    return f"Nov 20 {clock} {host} {program}[{pid}]: {text}"


def received(queue_id: str, client: str = CLIENT, *, sender: str = "a@x.example", recipients: int = 1, clock: str = "08:00:00") -> list[str]:
    """A mail enters the queue."""
    return [
        at(clock, "postfix/smtpd", f"{queue_id}: client={client}"),
        at(clock, "postfix/cleanup", f"{queue_id}: message-id=<m-{queue_id}@x.example>"),
        at(clock, "postfix/qmgr", f"{queue_id}: from=<{sender}>, size=1234, nrcpt={recipients} (queue active)"),
    ]


def delivered(
    queue_id: str, recipient: str, status: str = "sent (250 2.1.5 Delivery OK)", *, relay: str = "box.example[10.0.0.5]:7025", clock: str = "08:00:01"
) -> str:
    """A delivery agent says what became of a recipient."""
    return at(clock, "postfix/smtp", f"{queue_id}: to=<{recipient}>, relay={relay}, delay=1, delays=0.1/0/0.1/0.8, dsn=2.0.0, status={status}")


def removed(queue_id: str, clock: str = "08:00:02") -> str:
    """The queue entry is gone."""
    return at(clock, "postfix/qmgr", f"{queue_id}: removed")


def filtered(queue_id: str, inner: str, verdict: str = "Passed CLEAN {RelayedInbound}", hits: str = "-1.9") -> list[str]:
    """Amavis puts the message back as `inner`: the order in which a real host logs it."""
    return [
        at("08:00:01", "postfix/10025/smtpd", f"{inner}: client=localhost[127.0.0.1]"),
        at("08:00:01", "postfix/cleanup", f"{inner}: message-id=<m-{queue_id}@x.example>"),
        at("08:00:01", "postfix/qmgr", f"{inner}: from=<a@x.example>, size=1300, nrcpt=1 (queue active)"),
        at(
            "08:00:01",
            "amavis",
            f"(07-1) {verdict}, [203.0.113.25]:4000 <a@x.example> -> <b@y.example>, Queue-ID: {queue_id}, mail_id: q, Hits: {hits}, size: 1234, queued_as: {inner}, 9 ms",
        ),
        delivered(
            queue_id, "b@y.example", f"sent (250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as {inner})", relay="127.0.0.1[127.0.0.1]:10024"
        ),
        removed(queue_id, "08:00:01"),
    ]


def one(docs: list[Doc]) -> Doc:
    """The only event."""
    assert [doc["event.action"] for doc in docs] == [docs[0]["event.action"]] if docs else False, docs
    return docs[0]


def test_a_mail_is_one_event_when_it_leaves_the_queue() -> None:
    """Client, sender, recipient, size and times are joined; nothing comes before the end."""
    doc = one(Gateway().lines_of([*received("1A2B3C4D5E"), delivered("1A2B3C4D5E", "b@y.example"), removed("1A2B3C4D5E")]))
    assert (doc["event.action"], doc["soc.blocked"], doc["soc.mail.verdict"]) == ("mail-delivered", False, "unknown")
    assert (doc["source.ip"], doc["source.domain"]) == ("203.0.113.25", "mx.congty.example")
    assert (doc["email.from.address"], doc["soc.mail.delivered_to"], doc["soc.mail.size"]) == (["a@x.example"], ["b@y.example"], 1234)
    assert (doc["event.start"], doc["event.end"], doc["event.duration"]) == ("2026-11-20T01:00:00.000Z", "2026-11-20T01:00:02.000Z", 2_000_000_000)
    assert doc["soc.mail.event_ids"] == ["e1", "e2", "e3", "e4", "e5"]
    assert doc["event.dataset"] == "postfix.message"


def test_policy_servers_and_signers_add_no_mail() -> None:
    """What postgrey, policyd-spf and opendkim say between a mail's lines leaves it one event, with the client that Postfix named."""
    between = [
        at(
            "08:00:00",
            "postgrey",
            "action=pass, reason=triplet found, client_name=other.example, client_address=198.51.100.9, sender=a@x.example, recipient=b@y.example",
        ),
        at(
            "08:00:00",
            "policyd-spf",
            "prepend Received-SPF: Pass (mailfrom) identity=mailfrom; client-ip=198.51.100.9; helo=x; envelope-from=a@x.example; receiver=b@y.example",
        ),
        at("08:00:00", "opendkim", "1A2B3C4D5E: DKIM-Signature field added (s=mail, d=y.example)"),
        at("08:00:00", "opendmarc", "1A2B3C4D5E: x.example pass"),
    ]
    lines = [*received("1A2B3C4D5E"), *between, delivered("1A2B3C4D5E", "b@y.example"), removed("1A2B3C4D5E")]
    gateway = Gateway()
    doc = one(gateway.lines_of(lines))
    assert (doc["event.action"], doc["source.ip"], doc["email.to.address"]) == ("mail-delivered", "203.0.113.25", ["b@y.example"])
    assert gateway.after(10**7) == []


def test_what_the_content_filter_puts_back_is_the_same_mail() -> None:
    """Two queue ids, one message: the outside client, the verdict and the final delivery in one event."""
    lines = [*received("1A2B3C4D5E"), *filtered("1A2B3C4D5E", "2B3C4D5E6F"), delivered("2B3C4D5E6F", "b@y.example"), removed("2B3C4D5E6F")]
    doc = one(Gateway().lines_of(lines))
    assert (doc["event.action"], doc["soc.mail.verdict"], doc["soc.mail.score"], doc["source.ip"]) == ("mail-delivered", "clean", -1.9, "203.0.113.25")
    assert (doc["email.local_id"], doc["postfix.queue_ids"]) == ("1A2B3C4D5E", ["1A2B3C4D5E", "2B3C4D5E6F"])
    assert (doc["soc.mail.delivered_to"], "soc.mail.relayed_to" in doc) == (["b@y.example"], False)


def test_a_delivery_that_overtakes_the_filters_word_still_joins() -> None:
    """The second queue entry may be gone before anything has told where it came from."""
    first = [*received("1A2B3C4D5E"), *filtered("1A2B3C4D5E", "2B3C4D5E6F"), delivered("2B3C4D5E6F", "b@y.example"), removed("2B3C4D5E6F")]
    second = [*received("1A2B3C4D50", clock="08:01:00"), *filtered("1A2B3C4D50", "2B3C4D5E60"), delivered("2B3C4D5E60", "b@y.example"), removed("2B3C4D5E60")]
    overtaken = second[:6] + second[9:] + second[6:9]
    gateway = Gateway()
    one(gateway.lines_of(first))
    assert one(gateway.lines_of(overtaken))["postfix.queue_ids"] == ["1A2B3C4D50", "2B3C4D5E60"]


def test_a_mail_from_the_machine_itself_is_finished_at_once_where_there_is_no_filter() -> None:
    """Web mail speaks SMTP to localhost: without a content filter there is nothing to wait for."""
    lines = [*received("1A2B3C4D5E", "localhost[127.0.0.1]"), delivered("1A2B3C4D5E", "b@y.example"), removed("1A2B3C4D5E")]
    assert one(Gateway().lines_of(lines))["event.action"] == "mail-delivered"


@pytest.mark.parametrize(
    ("verdict", "expected", "rule"),
    [
        ("Blocked SPAM {DiscardedInbound,Quarantined}", "spam", ""),
        ("Blocked INFECTED (Eicar-Test-Signature) {DiscardedInbound,Quarantined}", "virus", "Eicar-Test-Signature"),
        ("Blocked INFECTED (Heuristics.Phishing.Email) {DiscardedInbound,Quarantined}", "phish", "Heuristics.Phishing.Email"),
        ("Blocked BANNED (.exe) {DiscardedInbound,Quarantined}", "banned", ".exe"),
    ],
)
def test_what_amavis_blocks_is_blocked(verdict: str, expected: str, rule: str) -> None:
    """The filter's verdict, its name and the quarantine are in the event; the recipient got nothing."""
    lines = [
        *received("1A2B3C4D5E"),
        at(
            "08:00:01",
            "amavis",
            f"(07-1) {verdict}, [203.0.113.25]:4000 <a@x.example> -> <b@y.example>, quarantine: q-1, Queue-ID: 1A2B3C4D5E, Hits: 17.2, size: 1234, 9 ms",
        ),
        delivered("1A2B3C4D5E", "b@y.example", "sent (250 2.7.0 Ok, discarded, id=07-1 - spam)", relay="127.0.0.1[127.0.0.1]:10024"),
        removed("1A2B3C4D5E"),
    ]
    doc = one(Gateway().lines_of(lines))
    assert (doc["event.action"], doc["soc.blocked"], doc["soc.mail.verdict"], doc.get("rule.name", "")) == ("mail-quarantined", True, expected, rule)
    assert (doc["soc.mail.blocked_to"], doc["soc.mail.quarantine"], doc["soc.mail.score"]) == (["b@y.example"], "q-1", 17.2)


def test_a_tagged_spam_is_delivered_and_spam() -> None:
    """Passed by the filter with a mark: the verdict is spam, the mail not blocked."""
    lines = [
        *received("1A2B3C4D5E"),
        *filtered("1A2B3C4D5E", "2B3C4D5E6F", "Passed SPAMMY {RelayedTaggedInbound}", "5.5"),
        delivered("2B3C4D5E6F", "b@y.example"),
        removed("2B3C4D5E6F"),
    ]
    doc = one(Gateway().lines_of(lines))
    assert (doc["event.action"], doc["soc.mail.verdict"], doc["soc.blocked"]) == ("mail-delivered", "spam", False)


def test_a_deferred_mail_waits_for_its_delivery() -> None:
    """Deferral is no end; what came last counts."""
    gateway = Gateway()
    assert gateway.lines_of([*received("1A2B3C4D5E"), delivered("1A2B3C4D5E", "b@y.example", "deferred (connect: Connection timed out)")]) == []
    doc = one(gateway.lines_of([delivered("1A2B3C4D5E", "b@y.example", clock="09:05:00"), removed("1A2B3C4D5E", "09:05:00")]))
    assert (doc["event.action"], "soc.mail.deferred_to" in doc, doc["event.duration"]) == ("mail-delivered", False, 3900 * 10**9)


def test_a_bounced_mail_is_a_failure_with_its_reason() -> None:
    """The remote server's words stand in the event."""
    doc = one(Gateway().lines_of([*received("1A2B3C4D5E"), delivered("1A2B3C4D5E", "b@y.example", "bounced (550 no such user)"), removed("1A2B3C4D5E")]))
    assert (doc["event.action"], doc["event.outcome"], doc["event.reason"], doc["soc.mail.bounced_to"]) == (
        "mail-bounced",
        "failure",
        "550 no such user",
        ["b@y.example"],
    )


def test_an_expired_mail_is_bounced_to_whom_it_was_deferred() -> None:
    """The queue manager gives up after days: what was deferred is returned."""
    lines = [
        *received("1A2B3C4D5E"),
        delivered("1A2B3C4D5E", "b@y.example", "deferred (timed out)"),
        at("09:00:00", "postfix/qmgr", "1A2B3C4D5E: from=<a@x.example>, status=expired, returned to sender"),
        removed("1A2B3C4D5E", "09:00:00"),
    ]
    assert one(Gateway().lines_of(lines))["soc.mail.bounced_to"] == ["b@y.example"]


def test_recipients_fare_each_their_own_way() -> None:
    """Delivered, bounced and refused recipients of one mail are listed apart; it is no blocked mail."""
    lines = [
        *received("1A2B3C4D5E", recipients=2),
        at(
            "08:00:00",
            "postfix/smtpd",
            f"1A2B3C4D5E: reject: RCPT from {CLIENT}: 550 5.1.1 <no@y.example>: Recipient address rejected: User unknown; from=<a@x.example> to=<no@y.example> proto=ESMTP helo=<x>",
        ),
        delivered("1A2B3C4D5E", "b@y.example"),
        delivered("1A2B3C4D5E", "c@y.example", "bounced (552 quota)"),
        removed("1A2B3C4D5E"),
    ]
    doc = one(Gateway().lines_of(lines))
    assert (doc["soc.mail.delivered_to"], doc["soc.mail.bounced_to"], doc["soc.mail.blocked_to"]) == (["b@y.example"], ["c@y.example"], ["no@y.example"])
    assert (doc["event.action"], doc["soc.blocked"], doc["soc.mail.recipients"]) == ("mail-delivered", False, 3)


def test_a_refusal_in_the_dialogue_is_a_mail_at_once() -> None:
    """NOQUEUE: one decision, one event, with the list that refused."""
    text = f"NOQUEUE: reject: RCPT from unknown[198.51.100.7]: 554 5.7.1 Service unavailable; Client host [198.51.100.7] blocked using zen.example; {TAIL}"
    doc = one(Gateway().lines_of([at("08:00:00", "postfix/smtpd", text)]))
    assert (doc["event.action"], doc["soc.blocked"], doc["soc.mail.verdict"], doc["rule.name"]) == ("mail-blocked", True, "rejected", "zen.example")
    assert (doc["source.ip"], doc["soc.mail.blocked_to"], doc["email.from.address"]) == ("198.51.100.7", ["b@y.example"], ["a@x.example"])


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (f"milter-reject: END-OF-MESSAGE from {CLIENT}: 5.7.1 Spam message rejected; {TAIL}", "spam"),
        (f"milter-reject: END-OF-MESSAGE from {CLIENT}: 5.7.1 virus Eicar found; {TAIL}", "virus"),
        (f"milter-discard: END-OF-MESSAGE from {CLIENT}: milter triggers DISCARD action; {TAIL}", "rejected"),
        (f"reject: header Subject: hi from {CLIENT}; {TAIL}: 5.7.1 no", "rejected"),
        (f"discard: body x from {CLIENT}; {TAIL}: quietly", "rejected"),
    ],
)
def test_a_refusal_at_the_end_of_the_message_finishes_it(text: str, verdict: str) -> None:
    """No `removed` follows; later lines of that queue id open nothing."""
    gateway = Gateway()
    doc = one(gateway.lines_of([*received("1A2B3C4D5E"), at("08:00:01", "postfix/cleanup", "1A2B3C4D5E: " + text)]))
    assert (doc["event.action"], doc["soc.mail.verdict"], doc["email.local_id"]) == ("mail-blocked", verdict, "1A2B3C4D5E")
    assert gateway.lines_of([removed("1A2B3C4D5E"), delivered("1A2B3C4D5E", "b@y.example")]) == []
    assert gateway.after(100_000) == []


def test_a_client_asked_to_come_again_is_not_blocked() -> None:
    """Greylisting, in the dialogue or by a milter: deferred, and the mail that comes again is a mail of its own."""
    greylisted = at(
        "08:00:00", "postfix/smtpd", f"NOQUEUE: reject: RCPT from {CLIENT}: 450 4.2.0 <b@y.example>: Recipient address rejected: Greylisted; {TAIL}"
    )
    milter = at("08:00:01", "postfix/cleanup", f"1A2B3C4D5E: milter-reject: END-OF-MESSAGE from {CLIENT}: 4.7.1 Try again later; {TAIL}")
    for lines in ([greylisted], [*received("1A2B3C4D5E"), milter]):
        doc = one(Gateway().lines_of(lines))
        assert (doc["event.action"], doc["soc.blocked"], doc["soc.mail.deferred_to"]) == ("mail-deferred", False, ["b@y.example"])


@pytest.mark.parametrize(
    "text",
    [
        "NOQUEUE: reject: CONNECT from [198.51.100.7]:77: too many connections",
        "NOQUEUE: reject: EHLO from a[198.51.100.7]: 504 5.5.2 <User>: Helo command rejected: need fully-qualified hostname; proto=SMTP helo=<User>",
        "NOQUEUE: reject: VRFY from a[198.51.100.7]: 550 5.1.1 <b@y.example>: Recipient address rejected: User unknown; to=<b@y.example> proto=SMTP helo=<me>",
        f"NOQUEUE: reject_warning: RCPT from a[198.51.100.7]: 550 5.1.1 would refuse; {TAIL}",
    ],
)
def test_what_is_refused_before_there_is_a_mail_is_none(text: str) -> None:
    """A session or a question refused, and a restriction on trial, decide about no mail."""
    assert Gateway().lines_of([at("08:00:00", "postfix/smtpd", text)]) == []


def test_a_filter_before_the_queue_is_joined_both_ways() -> None:
    """Amavis as a proxy: a refusal bears its verdict, an accepted mail the client of the outer session."""
    gateway = Gateway()
    blocked = one(
        gateway.lines_of(
            [
                at(
                    "08:00:00",
                    "amavis",
                    "(07-3) Blocked INFECTED (Eicar) {RejectedInbound}, [203.0.113.25]:4000 <a@x.example> -> <b@y.example>, Message-ID: <m@x>, mail_id: q, Hits: -, size: 9, 9 ms",
                ),
                at("08:00:00", "postfix/smtpd", f"NOQUEUE: proxy-reject: END-OF-MESSAGE: 554 5.7.0 Reject, id=07-3 - INFECTED: Eicar; {TAIL}"),
            ]
        )
    )
    assert (blocked["soc.mail.verdict"], blocked["rule.name"], blocked["source.ip"]) == ("virus", "Eicar", "203.0.113.25")
    passed = one(
        gateway.lines_of(
            [
                *received("2B3C4D5E6F", "localhost[127.0.0.1]"),
                at(
                    "08:00:01",
                    "postfix/smtpd",
                    f"NOQUEUE: proxy-accept: END-OF-MESSAGE from {CLIENT}: 250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 2B3C4D5E6F; {TAIL}",
                ),
                delivered("2B3C4D5E6F", "b@y.example"),
                removed("2B3C4D5E6F"),
            ]
        )
    )
    assert (passed["event.action"], passed["source.ip"]) == ("mail-delivered", "203.0.113.25")
    assert gateway.after(100_000) == []


def test_rspamd_and_spamassassin_verdicts_join() -> None:
    """By queue id, or by Message-ID where the filter knows no queue id."""
    rspamd = "(normal) <a1>; task; rspamd_task_write_log: id: <m@x>, qid: <1A2B3C4D5E>, ip: 203.0.113.25, from: <a@x.example>, (default: T (add header): [8.10/15.00] [BAYES_SPAM(5.10){99%;}]), len: 9, time: 3.0ms, rcpts: <b@y.example>"
    spamd = "spamd: result: Y 15 - BAYES_99 scantime=1,size=9,user=x,uid=1,required_score=5.0,rhost=localhost,raddr=127.0.0.1,rport=1,mid=<m-2B3C4D5E6F@x.example>,autolearn=no"
    gateway = Gateway()
    first = one(gateway.lines_of([*received("1A2B3C4D5E"), at("08:00:00", "rspamd", rspamd), delivered("1A2B3C4D5E", "b@y.example"), removed("1A2B3C4D5E")]))
    assert (first["soc.mail.verdict"], first["soc.mail.score"], first["rule.name"]) == ("spam", 8.1, "BAYES_SPAM")
    second = one(gateway.lines_of([*received("2B3C4D5E6F"), at("08:00:00", "spamd", spamd), delivered("2B3C4D5E6F", "b@y.example"), removed("2B3C4D5E6F")]))
    assert (second["soc.mail.verdict"], second["soc.mail.score"]) == ("spam", 15.0)


def test_a_bounce_to_another_gateway_is_another_mail() -> None:
    """`queued as` of another server is its own decision: the id may stand for another mail here."""
    lines = [
        *received("1A2B3C4D5E"),
        delivered("1A2B3C4D5E", "b@y.example", "sent (250 Ok: queued as 2B3C4D5E6F)", relay="mx2[192.0.2.9]:25"),
        removed("1A2B3C4D5E"),
    ]
    gateway = Gateway()
    assert "postfix.queue_ids" not in one(gateway.lines_of(lines))
    assert one(gateway.lines_of([*received("2B3C4D5E6F"), delivered("2B3C4D5E6F", "d@y.example"), removed("2B3C4D5E6F")]))["soc.mail.delivered_to"] == [
        "d@y.example"
    ]


def test_a_forwarded_mail_is_the_same_mail() -> None:
    """An alias that the local agent forwards puts the message into the queue again: still one mail."""
    inner = [
        at("08:00:01", "postfix/cleanup", "2B3C4D5E6F: message-id=<m@x>"),
        at(
            "08:00:01",
            "postfix/local",
            "1A2B3C4D5E: to=<root@y.example>, orig_to=<root>, relay=local, delay=1, delays=1/0/0/0, dsn=2.0.0, status=sent (forwarded as 2B3C4D5E6F)",
        ),
        removed("1A2B3C4D5E"),
    ]
    doc = one(Gateway().lines_of([*received("1A2B3C4D5E"), *inner, delivered("2B3C4D5E6F", "b@y.example"), removed("2B3C4D5E6F")]))
    assert (doc["source.ip"], doc["soc.mail.delivered_to"], doc["soc.mail.relayed_to"]) == ("203.0.113.25", ["b@y.example"], ["root@y.example"])


def test_hosts_do_not_mix() -> None:
    """The same queue id on two hosts is two mails."""
    lines = [*received("1A2B3C4D5E"), delivered("1A2B3C4D5E", "b@y.example"), removed("1A2B3C4D5E")]
    both = [line for text in lines for line in (text, text.replace(" mail ", " mail2 "))]
    assert sorted(doc["host.hostname"] for doc in Gateway().lines_of(both)) == ["mail", "mail2"]


def test_a_queue_id_used_again_is_a_new_mail() -> None:
    """Short queue ids come again; the later mail has its own event and natural key."""
    gateway = Gateway()
    lines = [*received("1A2B3C4D5E"), delivered("1A2B3C4D5E", "b@y.example"), removed("1A2B3C4D5E")]
    later = [line.replace(" 08:0", " 08:3") for line in lines]
    found = [parsed for line in [*lines, *later] for parsed in gateway.line(line)]
    assert len({parsed.natural_key for parsed in found}) == len(found) == 2
    assert found[1].doc["source.ip"] == "203.0.113.25"


def test_lines_resent_change_nothing() -> None:
    """Every line twice, or all of them again afterwards: one event, the same as without."""
    lines = [*received("1A2B3C4D5E"), *filtered("1A2B3C4D5E", "2B3C4D5E6F"), delivered("2B3C4D5E6F", "b@y.example"), removed("2B3C4D5E6F")]
    refusal = at("08:00:00", "postfix/smtpd", f"NOQUEUE: reject: RCPT from unknown[198.51.100.7]: 554 5.7.1 no; {TAIL}")
    lines.append(refusal)

    def without_ids(docs: list[Doc]) -> list[Doc]:
        return [{name: value for name, value in doc.items() if name != "soc.mail.event_ids"} for doc in docs]

    plain = without_ids(Gateway().lines_of(lines))
    assert len(plain) == 2
    doubled = Gateway().lines_of([line for line in lines for _ in range(2)])
    assert without_ids(doubled) == plain
    assert len(doubled[0]["soc.mail.event_ids"]) == len(lines) - 1
    gateway = Gateway()
    assert without_ids(gateway.lines_of([*lines, *lines])) == plain
    assert gateway.after(100_000) == []


def test_silence_finishes_what_is_known() -> None:
    """A deferred mail of which nothing is heard any more is an event after the timeout, once; its stragglers open nothing."""
    gateway = Gateway()
    for text in [*received("1A2B3C4D5E"), delivered("1A2B3C4D5E", "b@y.example", "deferred (timed out)")]:
        assert gateway.line(text, received_s=10) == []
    assert gateway.after(7209) == []
    assert one(gateway.after(7210))["event.action"] == "mail-deferred"
    assert gateway.line(removed("1A2B3C4D5E"), received_s=7300) == []
    assert gateway.after(50_000) == []


def test_a_session_given_up_is_no_mail() -> None:
    """A client that vanished before the end of its mail, and an address verification: no decision, no event, no state for ever."""
    gateway = Gateway()
    probe = at(
        "08:00:00", "postfix/smtp", "2B3C4D5E6F: to=<b@y.example>, relay=mx[192.0.2.9]:25, delay=1, delays=1/0/0/0, dsn=2.1.5, status=deliverable (250 ok)"
    )
    assert gateway.lines_of([received("1A2B3C4D5E")[0], *received("2B3C4D5E6F"), probe, removed("2B3C4D5E6F")]) == []
    assert gateway.after(8_000) == []
    assert gateway.after(1_000_000) == []
    assert len(gateway.assembly) == 0


def test_the_golden_conversation_is_one_mail() -> None:
    """The sample gateway log: alias, deferral, content filter, Vietnamese subject, MIME decoded."""
    gateway = Gateway()
    doc = one(gateway.lines_of((SAMPLES / "postfix-3.8-gateway.log").read_text("utf-8").splitlines()))
    assert doc["email.subject"] == "Báo giá thiết bị mạng đợt 2"
    assert doc["soc.mail.delivered_to"] == ["vanthu@sotttt.tinh.example", "tuan.nv@sotttt.tinh.example"]
    assert (doc["event.action"], doc["soc.mail.verdict"], doc["source.ip"]) == ("mail-delivered", "clean", "203.0.113.25")


def _conversations() -> list[list[str]]:
    plain = [*received("1A2B3C4D5E"), delivered("1A2B3C4D5E", "b@y.example"), removed("1A2B3C4D5E")]
    through_filter = [*received("2A2B3C4D5E"), *filtered("2A2B3C4D5E", "2B3C4D5E6F"), delivered("2B3C4D5E6F", "b@y.example"), removed("2B3C4D5E6F")]
    bounced = [*received("3A2B3C4D5E"), delivered("3A2B3C4D5E", "b@y.example", "bounced (no)"), removed("3A2B3C4D5E")]
    refused = [at("08:00:00", "postfix/smtpd", f"NOQUEUE: reject: RCPT from unknown[198.51.100.7]: 554 5.7.1 no; {TAIL}")]
    milter = [*received("4A2B3C4D5E"), at("08:00:01", "postfix/cleanup", f"4A2B3C4D5E: milter-reject: END-OF-MESSAGE from {CLIENT}: 5.7.1 Spam; {TAIL}")]
    return [plain, through_filter, bounced, refused, milter]


@st.composite
def _interleaved(draw: st.DrawFn) -> list[str]:
    """The conversations' lines in any order that keeps each conversation's own."""
    rest = [list(conversation) for conversation in _conversations()]
    lines: list[str] = []
    while any(rest):
        chosen = draw(st.sampled_from([conversation for conversation in rest if conversation]))
        lines.append(chosen.pop(0))
    return lines


def _essence(docs: list[Doc]) -> list[tuple[str, str, str]]:
    return sorted((doc["event.action"], doc.get("email.local_id", ""), doc["soc.mail.verdict"]) for doc in docs)


@settings(deadline=None)
@given(_interleaved())
def test_interleaved_mails_do_not_disturb_each_other(lines: list[str]) -> None:
    """Any interleaving of several mails gives the same messages."""
    alone = [doc for conversation in _conversations() for doc in Gateway().lines_of(conversation)]
    assert _essence(Gateway().lines_of(lines)) == _essence(alone)


@settings(deadline=None)
@given(_interleaved(), st.sets(st.integers(0, 40), max_size=6))
def test_a_restart_anywhere_changes_nothing(lines: list[str], cuts: set[int]) -> None:
    """State kept and read back between any two lines gives the very same events."""
    whole = Gateway().lines_of(lines)
    gateway, parts = Gateway(), []
    kept: dict[str, bytes | None] = {}
    for n, line in enumerate(lines):
        if n in cuts:
            kept |= gateway.assembly.take_changes()
            resumed = Gateway({key: state for key, state in kept.items() if state is not None})
            resumed.lines = gateway.lines
            gateway = resumed
        parts += [parsed.doc for parsed in gateway.line(line)]
    assert parts == whole


_DOCS = st.dictionaries(
    st.sampled_from(
        [
            "email.local_id",
            "event.action",
            "event.module",
            "postfix.queued_as",
            "amavis.queued_as",
            "amavis.id",
            "amavis.verdict",
            "source.ip",
            "postfix.response",
            "destination.ip",
            "host.hostname",
        ]
    ),
    st.sampled_from(
        [
            "1A2B3C4D5E",
            "2B3C4D5E6F",
            "3C4D5E6F70",
            "accepted",
            "removed",
            "reject",
            "postfix",
            "amavis",
            "rspamd",
            "127.0.0.1",
            "192.0.2.1",
            "spam",
            "x",
        ]
    ),
)


@settings(deadline=None)
@given(st.lists(_DOCS, max_size=20))
def test_no_lines_make_the_assembler_fail_or_grow_without_end(docs: list[Doc]) -> None:
    """Whatever stands in the documents, folding goes on, and all state is gone after enough silence."""
    assembly = Assembly(ASSEMBLER)
    for n, doc in enumerate(docs):
        assembly.fold(f"e{n}", NOW_US, n, {"event.action": "", "event.module": "postfix", **doc})
    for hours in range(1, 200):
        assembly.expire(hours * 3_600_000_000)
    assert len(assembly) == 0


def test_a_mail_names_its_campaign() -> None:
    """The subject without what a wave changes, rspamd's digest, and the network of the client; without them the network with the sender's domain."""
    gateway = Gateway()
    subject = "warning: header Subject: Re: =?UTF-8?Q?X=C3=A1c_minh_t=C3=A0i_kho=E1=BA=A3n_17h?= from mx.congty.example[203.0.113.25]; from=<a@x.example> to=<b@y.example> proto=ESMTP helo=<x>"
    lines = [*received("4AAAAAAAAA"), *received("4BBBBBBBBB"), at("08:00:01", "postfix/cleanup", f"4AAAAAAAAA: {subject}")]
    lines.append(
        at(
            "08:00:01",
            "rspamd",
            "(normal) <1>; task; rspamd_task_write_log: id: <m-4AAAAAAAAA@x.example>, qid: <4AAAAAAAAA>, ip: 203.0.113.25, from: <a@x.example>, "
            "(default: F (no action): [1.00/15.00] [BAYES_HAM(1.00){1%;}]), len: 4120, time: 131.2ms, dns req: 41, digest: <AAbb01>, rcpts: <b@y.example>",
        )
    )
    lines += [line for queue_id in ("4AAAAAAAAA", "4BBBBBBBBB") for line in (delivered(queue_id, "b@y.example"), removed(queue_id))]
    first, second = gateway.lines_of(lines)
    assert first["soc.mail.campaign"] == ["subject xac minh tai khoan #h", "content aabb01"]
    assert first["soc.mail.network"] == second["soc.mail.network"] == "203.0.113.0/24"
    assert second["soc.mail.campaign"] == ["network 203.0.113.0/24 x.example"]
