"""Reads Postfix lines about a message: `QUEUEID: …` and `NOQUEUE: …`."""

from __future__ import annotations

import re
from collections.abc import Callable

from soc.ingest.parsers.postfix.address import LONGEST_VALUE, endpoint, endpoint_after, envelope, header_text, pairs, reply
from soc.model.event import Doc

# Reference: https://www.postfix.org/postconf.5.html#enable_long_queue_ids: short ids are upper-case hexadecimal (5 digits of
# microseconds, then the inode), long ones count in base 52 without vowels (seconds, microseconds, `z`, inode). Logs made
# anonymous write any letter, so a long one is letters and digits with a digit among them.
is_queue_id = re.compile(r"[0-9A-F]{5,20}|(?=[A-Za-z]{0,25}[0-9])[0-9A-Za-z]{10,26}").fullmatch


def read_queued(rest: str, doc: Doc) -> None:
    """Put what follows the queue id into `doc`; a form that is not known leaves at least what names a peer."""
    if rest[:3] == "to=":
        _delivery(rest, doc)
        return
    word = _WORD.match(rest)
    reader = _BY_WORD.get(word.group()) if word is not None else None
    if reader is not None:
        reader(rest, doc)
        return
    verb, colon, text = rest.partition(": ")
    if colon and (verb in VERBS or verb.startswith("milter-")):
        _verdict(verb, text, doc)
    else:
        _other(rest, doc)


# delivery agents ------------------------------------------------------------------------------------------------------

_STATUS_ACTION = {"SOFTBOUNCE": "deferred", "undeliverable-but-not-cached": "undeliverable", "deliverable-but-not-cached": "deliverable"}
_FAILED = frozenset(("bounced", "deferred", "expired", "undeliverable"))
_DELIVERY_KEYS = frozenset(("delay", "delays", "dsn", "conn_use", "orig_to", "relay", "tls"))


def _delivery(rest: str, doc: Doc) -> None:
    # Reference: Postfix src/global/log_adhoc.c: to=, orig_to=, relay=, conn_use=, delay=, delays=, dsn=, status=word (text).
    # An address may hold anything, commas and blanks too, but ends at `>, `.
    if rest[3:4] == "<":
        end = rest.find(">, ", 4)
        recipient, rest = (rest[4:end], rest[end + 3 :]) if end >= 0 else (rest[4:].rstrip(">"), "")
    else:
        recipient, _, rest = rest[3:].partition(", ")
    recipients = [recipient] if recipient else []
    if rest[:9] == "orig_to=<":
        end = rest.find(">, ", 9)
        original, rest = (rest[9:end], rest[end + 3 :]) if end >= 0 else (rest[9:].rstrip(">"), "")
        _original(original, recipients, doc)
    fields, _, status = rest.partition("status=")
    for field in fields.split(", "):
        key, _, value = field.partition("=")
        if key == "relay":
            doc["postfix.relay"] = value
            endpoint(doc, "destination", value)
        elif key == "orig_to":
            _original(value, recipients, doc)
        elif key in _DELIVERY_KEYS:
            doc["postfix." + key] = value
    if recipients:
        doc["email.to.address"] = recipients
    if not status:
        return
    word, _, text = status.partition(" ")
    word = word.rstrip(",")
    if text[:1] == "(":
        text = text[1:-1] if text[-1:] == ")" else text[1:]
    doc["postfix.status"] = word
    action = doc["event.action"] = _STATUS_ACTION.get(word, word)
    doc["event.outcome"] = "failure" if action in _FAILED else "success"
    if text:
        doc["postfix.response"] = text[:LONGEST_VALUE]
        if action in _FAILED:
            doc["event.reason"] = text[:LONGEST_VALUE]
        # Reference: RFC 5321 replies of Postfix' own smtpd (`queued as ID`); Postfix src/local/forward.c (`forwarded as ID`).
        for words, field in (("queued as ", "postfix.queued_as"), ("forwarded as ", "postfix.forwarded_as")):
            at = text.find(words)
            if at >= 0:
                queued = text[at + len(words) :].split(" ", 1)[0].rstrip(".,;)")
                if is_queue_id(queued):
                    doc[field] = queued


def _original(address: str, recipients: list[str], doc: Doc) -> None:
    if address:
        doc["postfix.orig_to"] = address
        if address not in recipients:
            recipients.append(address)


# the queue manager, smtpd, pickup, cleanup ------------------------------------------------------------------------------


def _from(rest: str, doc: Doc) -> None:
    # Reference: Postfix src/qmgr/qmgr_active.c: `from=<a>, size=1, nrcpt=1 (queue active)`; `from=<a>, status=expired, returned to sender`.
    end = rest.find(">, ", 5)
    if end >= 0 and rest.startswith("to=", end + 3):  # the queue manager deferred it for a recipient
        _delivery(rest[end + 3 :], doc)
        if rest[5:6] == "<" and end > 6:  # noqa: PLR2004 - `from=<>` names nobody
            doc["email.from.address"] = [rest[6:end]]
        return
    values = pairs(rest[end + 3 :]) if end >= 0 else pairs(rest)
    sender = rest[6:end] if end >= 0 and rest[5:6] == "<" else values.get("from", "")
    if sender:
        doc["email.from.address"] = [sender]
    for key in ("size", "nrcpt", "status", "orig_id", "uid"):
        if value := values.get(key):
            doc["postfix." + key] = value
    status = values.get("status")
    if status:
        doc["event.action"] = status
        doc["event.outcome"] = "failure"
    elif "(queue active)" in rest:
        doc["event.action"] = "queue-active"


def _client(rest: str, doc: Doc) -> None:
    # Reference: Postfix src/smtpd/smtpd.c `mail_cmd`: client=name[address]:port, orig_queue_id=, orig_client=, sasl_method=, sasl_username=
    end = endpoint(doc, "source", rest, 7)
    doc["event.action"] = "accepted"
    doc["event.outcome"] = "success"
    if end > 0 and end < len(rest):
        values = pairs(rest[end:])
        envelope(doc, values)
        if original := values.get("orig_client"):
            doc["postfix.orig_client"] = original[:LONGEST_VALUE]


def _uid(rest: str, doc: Doc) -> None:
    values = pairs(rest)
    envelope(doc, {"from": values.get("from", "")})
    if uid := values.get("uid"):
        doc["user.id"] = uid
    doc["event.action"] = "submitted"


def _message_id(rest: str, doc: Doc) -> None:
    key, _, value = rest.partition("=")
    value = value.strip()
    value = value[1:-1] if value[:1] == "<" and value[-1:] == ">" else value
    if value:
        doc["email.message_id" if key == "message-id" else "postfix.resent_message_id"] = value[:LONGEST_VALUE]
    doc["event.action"] = "message-id"


def _word(action: str) -> Callable[[str, Doc], None]:
    def read(_: str, doc: Doc) -> None:
        doc["event.action"] = action

    return read


def _notification(rest: str, doc: Doc) -> None:
    # Reference: Postfix src/bounce/bounce_notify_service.c: `sender non-delivery notification: QUEUEID`, postmaster likewise.
    what, colon, queue_id = rest.partition(" notification: ")
    if colon:
        doc["event.action"] = what.partition(" ")[2].replace(" ", "-") + "-notification"
        doc["postfix.notified"] = what.partition(" ")[0]
        doc["postfix.bounce_queue_id"] = queue_id.strip()


def _peer(marker: str) -> Callable[[str, Doc], None]:
    """A reader of what the SMTP client says of the server it talked to."""

    def read(rest: str, doc: Doc) -> None:
        end = endpoint_after(doc, "destination", rest, marker)
        doc["event.outcome"] = "failure"
        for separator in (" said: ", " refused to talk to me: "):
            _, found, text = rest.partition(separator)
            if found:
                doc["postfix.response"] = text[:LONGEST_VALUE]
                doc["event.reason"] = reply(doc, text)[:LONGEST_VALUE]
                return
        if end < 0:
            _other(rest, doc)
        else:
            doc["event.reason"] = rest[end:].lstrip(": ")[:LONGEST_VALUE] or rest

    return read


# verdicts -------------------------------------------------------------------------------------------------------------

VERBS = frozenset(
    [
        "reject",
        "reject_warning",
        "discard",
        "filter",
        "hold",
        "delay",
        "redirect",
        "prepend",
        "replace",
        "strip",
        "ignore",
        "bcc",
        "info",
        "warn",
        "warning",
        "pass",
        "permit",
        "proxy-accept",
        "proxy-reject",
    ]
)
_CONTENT_STAGES = ("DATA content", "BDAT content")
_DENY = frozenset(("reject", "discard", "proxy-reject", "milter-reject", "milter-discard"))
# Reference: Postfix src/smtpd/smtpd_check.c: `… blocked using DOMAIN; …`.
_BLOCKED_USING = re.compile(r"blocked using (?P<list>[^\s;]{1,255})")


def _verdict(verb: str, text: str, doc: Doc) -> None:
    """A restriction, header or body check, milter or proxy that decided about a message or a recipient."""
    doc["event.action"] = verb
    if verb in _DENY:
        doc["event.category"] = ["email", "network"]
        doc["event.type"] = ["denied"]
        doc["event.outcome"] = "failure"
    elif verb == "warning":
        doc["log.level"] = "warning"
    if text.startswith(("header ", "body ", "mime-header ", "nested-header ")):
        _content(text, doc)
        return
    reason = text
    at = _envelope_at(text)
    if at >= 0:
        reason, tail = text[:at], text[at + 2 :]
        envelope(doc, pairs(tail))
    stage, space, after = reason.partition(" from ")
    if space and (" " not in stage or stage in _CONTENT_STAGES) and ":" not in stage:
        doc["postfix.stage"] = stage
        end = endpoint(doc, "source", after)
        reason = after[end:].removeprefix(":").lstrip(" ") if end > 0 else after
    elif verb.startswith("proxy-"):
        stage, _, reason = reason.partition(": ")
        doc["postfix.stage"] = stage
    _reason(reason, doc)


def _envelope_at(text: str) -> int:
    """Where the envelope begins. Whoever sent the mail wrote much of what stands before it, so the last place counts."""
    for mark in ("; from=<", "; to=<", "; proto="):
        at = text.rfind(mark)
        if at >= 0:
            return at
    return -1


def _reason(text: str, doc: Doc) -> None:
    words = reply(doc, text)
    doc["postfix.response"] = text[:LONGEST_VALUE]
    if words[:1] == "<":
        tested, found, rest = words[1:].partition(">: ")
        if found:
            doc["postfix.tested"] = tested[:LONGEST_VALUE]
            words = rest
    words = words.removeprefix(": ")[:LONGEST_VALUE]
    if words:
        doc["event.reason"] = words
    listed = _BLOCKED_USING.search(words)
    if listed is not None:
        doc["rule.name"] = listed["list"]
        doc["rule.category"] = "dnsbl"
    elif "queued as " in words:
        queued = words.rpartition("queued as ")[2].split(" ", 1)[0].rstrip(".;)")
        if is_queue_id(queued):
            doc["postfix.queued_as"] = queued
    elif words and doc.get("event.type") == ["denied"]:
        doc["rule.name"] = words.partition(":")[0].partition(";")[0][:128]


def _content(text: str, doc: Doc) -> None:
    # Reference: https://www.postfix.org/header_checks.5.html: `header NAME: value from host[address]; from=<a> to=<b> proto=… helo=<c>: text`;
    # for mail that was not received by SMTP `from local`.
    at = _envelope_at(text)
    content, tail = (text[:at], text[at + 2 :]) if at >= 0 else (text, "")
    envelope_part, found, reason = tail.partition(">: ") if tail else ("", "", "")
    if found and "=<" in reason:  # an address ended with `>: `: what follows the last one is the text
        envelope_part, _, reason = tail.rpartition(">: ")
    envelope(doc, pairs(envelope_part + (">" if found else "")))
    content, found, peer = content.rpartition(" from ")
    if not found:
        content = peer
    elif peer != "local" and endpoint(doc, "source", peer) < 0:
        content = f"{content} from {peer}"
    where, _, value = content.partition(" ")
    doc["postfix.content"] = content[:LONGEST_VALUE]
    if reason:
        _reason(reason, doc)
    name, colon, value = value.partition(":")
    checked = doc["event.action"] not in ("info", "warning", "ignore")
    if where.endswith("header") and colon:
        if checked:
            doc["rule.name"] = f"{where} {name}"
        if name.lower() == "subject":
            doc["email.subject"] = header_text(value.strip())
    elif where == "body" and checked:
        doc["rule.name"] = "body"


# the rest ---------------------------------------------------------------------------------------------------------------


def _other(rest: str, doc: Doc) -> None:
    """A form without a reader of its own: whose address it names, by the preposition before it."""
    if endpoint_after(doc, "source", rest, " from ") < 0:
        for marker in (" to ", " with ", " for ", "host ", "server "):
            if endpoint_after(doc, "destination", rest, marker) >= 0:
                break


# Reference: the first word of a line, up to what may follow one.
_WORD = re.compile(r"[A-Za-z_-]{1,32}(?:=|$|(?=[ ,]))")

_BY_WORD: dict[str, Callable[[str, Doc], None]] = {
    "from=": _from,
    "client=": _client,
    "message-id=": _message_id,
    "resent-message-id=": _message_id,
    "removed": _word("removed"),
    "uid=": _uid,
    "sender": _notification,
    "postmaster": _notification,
    "host": _peer("host "),
    "conversation": _peer(" with "),
    "lost": _peer(" with "),
    "SASL": _peer("server "),
    "placed": _word("hold"),
    "released": _word("release"),
    "requeued": _word("requeue"),
    "skipped": _word("skip"),
    "expired": _word("expire"),
}
