"""One mail on its way through the gateway: what its lines have told so far."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec

from soc.ingest.parsers.postfix.address import endpoint
from soc.model.event import Doc

MOST_RECIPIENTS = 500
"""Recipients whose outcome is kept; beyond it they are only counted."""
MOST_LINES = 40
"""Event ids of contributing lines that the finished event names."""
_MOST_SEEN = 128 * 8

DELIVERED, BOUNCED, DEFERRED, BLOCKED, PASSED = "dbfxp"
"""What became of a recipient: `PASSED` = handed to the content filter, its own delivery not seen yet."""


class Mail(msgspec.Struct, array_like=True):
    """The state of one message. Units: microseconds since 1970. Every field is a join, so a line folded twice changes nothing."""

    host: str
    queue_id: str
    start_us: int
    end_us: int
    open: list[str]
    """Queue ids under which the message still lies in the queue."""
    closed: list[str] = []
    seen: bytes = b""
    """8-byte hashes of the lines taken in."""
    lines: list[str] = []
    """Ids of the line events."""
    client_ip: str = ""
    client_port: int = 0
    client_domain: str = ""
    loopback: bool = False
    """Received from this machine itself: perhaps a message that the content filter put back."""
    user: str = ""
    sender: str = ""
    message_id: str = ""
    subject: str = ""
    size: int = 0
    recipients: dict[str, str] = {}
    more_recipients: int = 0
    verdict: str = ""
    score: float | None = None
    rule: str = ""
    reason: str = ""
    quarantine: str = ""
    held: bool = False
    refused: bool = False
    """The gateway refused, discarded or blocked the message as a whole."""
    probe: bool = False
    """An address verification, no mail."""
    helo: str = ""
    relay: str = ""
    dsn: str = ""
    filter_id: str = ""
    content: str = ""
    """A filter's digest of the text: equal for equal mails."""


def take(mail: Mail, doc: Doc, queue_id: str) -> str:
    """Note what a line says of the message; `closed` when it left the queue under `queue_id`, `final` when it is decided at once, else ""."""
    module = doc.get("event.module")
    if module == "postfix":
        return _postfix(mail, doc, queue_id)
    if module == "amavis":
        _amavis(mail, doc)
    elif module == "rspamd":
        _scanned(mail, doc, "rspamd")
        _common(mail, doc)
        mail.content = mail.content or doc.get("rspamd.digest", "")
        if address := doc.get("source.ip"):
            _client(mail, address, 0, "")
    return ""


def _postfix(mail: Mail, doc: Doc, queue_id: str) -> str:
    action = doc.get("event.action", "")
    if "postfix.status" in doc and "email.to.address" in doc:
        _delivery(mail, doc, action)
    elif action == "accepted":
        _accepted(mail, doc)
    elif action == "removed":
        _close(mail, queue_id)
        return "closed"
    elif action in _DECISIONS:
        return _decision(mail, doc, action)
    elif action in ("expired", "force-expired"):
        mail.recipients = {to: BOUNCED if became == DEFERRED else became for to, became in mail.recipients.items()}
    elif action in ("hold", "milter-hold"):
        mail.held = True
    elif action in ("release", "requeue"):
        mail.held = False
    elif action == "queue-active":
        mail.size = mail.size or _int(doc.get("postfix.size", ""))
    _common(mail, doc)
    return ""


_DECISIONS = frozenset(("reject", "discard", "milter-reject", "milter-discard", "proxy-reject"))
_RECIPIENT_STAGES = frozenset(("RCPT", "VRFY"))


def _decision(mail: Mail, doc: Doc, action: str) -> str:
    to = doc.get("email.to.address") or []
    _common(mail, doc)
    if address := doc.get("source.ip"):
        _client(mail, address, doc.get("source.port", 0), doc.get("source.domain", ""))
    later = is_temporary(doc)
    for recipient in to:
        recipient_is(mail, recipient, DEFERRED if later else BLOCKED)
    mail.rule = mail.rule or doc.get("rule.name", "")
    mail.reason = doc.get("event.reason", "") or mail.reason
    mail.dsn = doc.get("postfix.dsn", "") or mail.dsn
    if doc.get("postfix.stage") in _RECIPIENT_STAGES and not action.endswith("discard"):
        return ""
    if not later:
        refuse(mail, doc)
    return "final"


def is_temporary(doc: Doc) -> bool:
    """Whether a refusal asks the client to try again (greylisting, a filter that is down): 4yz of RFC 5321 4.2.1."""
    return (doc.get("postfix.reply_code") or doc.get("postfix.dsn") or "5")[0] == "4"


_SESSION_STAGES = frozenset(("CONNECT", "HELO", "EHLO", "AUTH", "STARTTLS", "VRFY", "ETRN", "UNKNOWN", "XCLIENT", "XFORWARD"))


def is_of_a_mail(doc: Doc) -> bool:
    """Whether a refusal is about a mail: before MAIL FROM there is none."""
    return doc.get("postfix.stage") not in _SESSION_STAGES or ("email.from.address" in doc and "email.to.address" in doc)


def refuse(mail: Mail, doc: Doc) -> None:
    """The message as a whole is refused; the words of the refusal say what for where no filter did."""
    mail.refused = True
    if mail.verdict in ("", "clean", "unknown"):
        mail.verdict = verdict_of(doc.get("event.reason", ""))
    mail.recipients = {to: became if became == DELIVERED else BLOCKED for to, became in mail.recipients.items()}


def verdict_of(text: str) -> str:
    """The verdict that the words of a refusal imply: `- spam`, `INFECTED: name`, `BANNED: name`."""
    text = text.lower()
    for word, verdict in _WORDS:
        if word in text:
            return verdict
    return "rejected"


# Order: a phishing signature is found by a virus scanner, a virus may be called spam too.
_WORDS = (
    ("phish", "phish"),
    ("infected", "virus"),
    ("virus", "virus"),
    ("malware", "virus"),
    ("banned", "banned"),
    ("bad header", "bad-header"),
    ("spam", "spam"),
)


def _accepted(mail: Mail, doc: Doc) -> None:
    mail.user = mail.user or doc.get("user.name", "")
    address = doc.get("source.ip", "")
    if original := doc.get("postfix.orig_client"):
        outside: Doc = {}
        if endpoint(outside, "source", original) > 0 and "source.ip" in outside:
            _client(mail, outside["source.ip"], 0, outside.get("source.domain", ""))
            return
    if address:
        _client(mail, address, doc.get("source.port", 0), doc.get("source.domain", ""))


def _client(mail: Mail, address: str, port: int, domain: str) -> None:
    """The outside client; one on this machine only until another is known."""
    if is_loopback(address):
        mail.loopback = mail.loopback or not mail.client_ip
        return
    if not mail.client_ip:
        mail.client_ip = address
    if mail.client_ip == address:
        mail.client_port = mail.client_port or port
        mail.client_domain = mail.client_domain or domain


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own."""
    return address.startswith("127.") or address in ("::1", "::ffff:127.0.0.1")


def _delivery(mail: Mail, doc: Doc, action: str) -> None:
    to = doc["email.to.address"]
    recipient = to[0]
    text = doc.get("postfix.response", "")
    mail.relay = doc.get("postfix.relay", "") or mail.relay
    mail.dsn = doc.get("postfix.dsn", "") or mail.dsn
    if action in ("deliverable", "undeliverable"):
        mail.probe = True
        return
    for original in to[1:]:
        if mail.recipients.get(original) == PASSED:
            del mail.recipients[original]
    if action == "sent":
        local = is_loopback(doc.get("destination.ip", ""))
        if (local and ("discarded, id=" in text or " BOUNCE" in text)) or doc.get("postfix.daemon") == "discard":
            recipient_is(mail, recipient, BLOCKED)
            mail.reason = text
        else:
            passed = (local and "postfix.queued_as" in doc) or "postfix.forwarded_as" in doc
            recipient_is(mail, recipient, PASSED if passed else DELIVERED)
        return
    mail.reason = text or mail.reason
    if action == "deferred":
        recipient_is(mail, recipient, DEFERRED)
    elif "Reject, id=" in text:
        recipient_is(mail, recipient, BLOCKED)
        if mail.verdict in ("", "clean", "unknown"):
            mail.verdict = verdict_of(text)
    else:
        recipient_is(mail, recipient, BOUNCED)


_RANK = {PASSED: 0, DEFERRED: 1, BLOCKED: 2, BOUNCED: 2, DELIVERED: 3}


def recipient_is(mail: Mail, recipient: str, became: str) -> None:
    """Note what became of a recipient; what is final stays."""
    known = mail.recipients.get(recipient)
    if known is None and len(mail.recipients) >= MOST_RECIPIENTS:
        mail.more_recipients += 1
    elif known is None or _RANK[became] >= _RANK[known]:
        mail.recipients[recipient] = became


def _amavis(mail: Mail, doc: Doc) -> None:
    _common(mail, doc)
    if address := doc.get("source.ip"):
        _client(mail, address, doc.get("source.port", 0), "")
    verdict = doc.get("amavis.verdict")
    if verdict is None:
        return
    mail.filter_id = doc.get("amavis.id", "") or mail.filter_id
    mail.size = mail.size or _int(doc.get("amavis.size", ""))
    mail.quarantine = doc.get("amavis.quarantine", "") or mail.quarantine
    _judge(mail, verdict, doc.get("amavis.hits"), doc.get("rule.name", ""))
    if doc["event.action"].startswith("blocked-"):
        for recipient in doc.get("email.to.address") or []:
            recipient_is(mail, recipient, BLOCKED)


def _scanned(mail: Mail, doc: Doc, product: str) -> None:
    verdict = doc.get(product + ".verdict")
    if verdict is not None:
        _judge(mail, verdict, doc.get(product + ".score"), doc.get("rule.name", ""))


# Worst first: several filters may judge one message.
_WORST = {verdict: rank for rank, verdict in enumerate(("", "unknown", "clean", "bad-header", "rejected", "spam", "banned", "phish", "virus"))}


def _judge(mail: Mail, verdict: str, score: Any, rule: str) -> None:
    """Take a filter's verdict, unless a worse one is known."""
    if _WORST.get(verdict, 0) < _WORST.get(mail.verdict, 0):
        return
    mail.verdict = verdict
    mail.rule = rule or mail.rule
    with contextlib.suppress(ValueError):
        mail.score = float(score) if score is not None else mail.score


def judge_by(mail: Mail, verdict: str, score: str) -> None:
    """Take the verdict of a filter that knows only the Message-ID."""
    _judge(mail, verdict, score or None, "")


def _common(mail: Mail, doc: Doc) -> None:
    if not mail.sender and (sender := doc.get("email.from.address")):
        mail.sender = sender[0]
    if not mail.message_id:
        mail.message_id = doc.get("email.message_id", "")
    if not mail.subject:
        mail.subject = doc.get("email.subject", "")
    if not mail.helo:
        mail.helo = doc.get("postfix.helo", "")


def _close(mail: Mail, queue_id: str) -> None:
    if queue_id in mail.open:
        mail.open.remove(queue_id)
        mail.closed.append(queue_id)


def _int(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0  # noqa: PLR2004 - fits 64 bits


def saw(mail: Mail, mark: bytes, event_id: str, ts_us: int) -> bool:
    """Note a line by its hash; False when it was taken in before."""
    at = mail.seen.find(mark)
    while at >= 0 and at % 8:
        at = mail.seen.find(mark, at + 1)
    if at >= 0:
        return False
    mail.seen = (mail.seen + mark)[-_MOST_SEEN:]
    if len(mail.lines) < MOST_LINES:
        mail.lines.append(event_id)
    if ts_us > mail.end_us:
        mail.end_us = ts_us
    elif ts_us < mail.start_us:
        mail.start_us = ts_us
    return True


def merge(mail: Mail, inner: Mail) -> None:
    """Take in what is known of the same message under another queue id (the one that the content filter put back)."""
    mail.start_us = min(mail.start_us, inner.start_us)
    mail.end_us = max(mail.end_us, inner.end_us)
    mail.open += [queue_id for queue_id in inner.open if queue_id not in mail.open and queue_id not in mail.closed]
    mail.closed += [queue_id for queue_id in inner.closed if queue_id not in mail.closed]
    mail.seen = (mail.seen + inner.seen)[-_MOST_SEEN:]
    mail.lines = (mail.lines + inner.lines)[:MOST_LINES]
    for recipient, became in inner.recipients.items():
        recipient_is(mail, recipient, became)
    mail.more_recipients += inner.more_recipients
    if inner.client_ip:
        _client(mail, inner.client_ip, inner.client_port, inner.client_domain)
    _judge(mail, inner.verdict, inner.score, inner.rule)
    mail.refused = mail.refused or inner.refused
    for name in ("user", "sender", "message_id", "subject", "size", "reason", "quarantine", "helo", "filter_id", "content"):
        setattr(mail, name, getattr(mail, name) or getattr(inner, name))
    mail.relay = inner.relay or mail.relay
    mail.dsn = inner.dsn or mail.dsn
