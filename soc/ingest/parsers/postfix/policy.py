"""Reads what stands beside a Postfix gateway and judges senders: greylisting (postgrey), SPF, DKIM and DMARC checks."""

from __future__ import annotations

import re
from collections.abc import Callable

from soc.ingest.parsers.postfix.address import LONGEST_VALUE, endpoint, envelope, ip_of
from soc.ingest.parsers.postfix.queued import is_queue_id
from soc.model.event import Doc

# Reference: postgrey, `mylog_action`: `action=greylist, reason=new, client_name=n, client_address=a, sender=s, recipient=r`.
_GREY = re.compile(r"(?:^|, )(?P<key>[a-z_]{1,32})=(?P<value>.*?)(?=, [a-z_]{1,32}=|$)")
# Reference: RFC 7208 9.1 (Received-SPF) and RFC 8601 2.7.2 as policyd-spf (Python and Perl) log them; the short form begins with the result.
_SPF = re.compile(r"(?:Received-SPF: |\bspf=|^)(?P<result>pass|fail|softfail|neutral|none|temperror|permerror)\b", re.IGNORECASE)
_SPF_PAIR = re.compile(r'(?P<key>client-ip|helo|envelope-from)=(?:"(?P<quoted>[^"]*)"|(?P<bare>[^;\s)]*))')
# Reference: opendkim/opendkim.c, opendmarc/opendmarc.c: `QUEUEID: ` begins what is about a message.
_DKIM_SEEN = re.compile(r"\bd=(?P<domain>[\w.-]{1,255})")
_DMARC = re.compile(r"(?P<domain>[\w.-]{1,255}) (?P<result>pass|fail|none)$")
_NOT_INTERNAL = re.compile(r"(?P<host>\S{1,255}) \[(?P<ip>[0-9A-Fa-f.:]{2,45})\] not internal$")


def read_postgrey(message: str, doc: Doc) -> None:
    """Put what postgrey decided about a client into `doc`."""
    values = {match["key"]: match["value"] for match in _GREY.finditer(message[:LONGEST_VALUE])}
    action = values.get("action", "")
    if not action:
        return
    passed = action == "pass"
    doc["event.action"] = action
    doc["event.type"] = ["allowed" if passed else "denied"]
    doc["event.outcome"] = "success" if passed else "failure"
    if reason := values.get("reason"):
        doc["event.reason"] = reason
    if delay := values.get("delay"):
        doc["postfix.delay"] = delay
    name, address = values.get("client_name", "unknown"), values.get("client_address", "").partition("/")[0]
    endpoint(doc, "source", f"{name}[{address}]")
    envelope(doc, {"from": values.get("sender", ""), "to": values.get("recipient", "")})


def read_spf(message: str, doc: Doc) -> None:
    """Put what an SPF policy server found about a sender into `doc`."""
    text = message[:LONGEST_VALUE].removeprefix(": ")
    for match in _SPF_PAIR.finditer(text):
        value = match["bare"] if match["quoted"] is None else match["quoted"]
        if match["key"] == "client-ip":
            if address := ip_of(value):
                doc["source.ip"] = doc["source.address"] = address
        else:
            envelope(doc, {"from" if match["key"] == "envelope-from" else "helo": value})
    found = _SPF.search(text)
    if found is not None:
        result = doc["postfix.spf"] = found["result"].lower()
        doc["event.action"] = "spf-" + result
        if result in ("pass", "fail"):
            doc["event.outcome"] = "success" if result == "pass" else "failure"
    elif text[:1] in ("4", "5") and "SPF" in text:
        doc["event.action"] = "spf-reject"
        doc["event.type"] = ["denied"]
        doc["event.outcome"] = "failure"
        doc["event.reason"] = text


def read_dkim(message: str, doc: Doc) -> None:
    """Put what opendkim did with a message into `doc`."""
    text = _queued(message, doc)
    words = text.lower()
    seen = _DKIM_SEEN.search(text)
    if seen is not None:
        doc["postfix.dkim_domain"] = seen["domain"]
    if "signature field added" in words or "signature header added" in words:
        doc["event.action"], doc["event.outcome"] = "dkim-sign", "success"
    elif "verification successful" in words:
        doc["event.action"], doc["event.outcome"] = "dkim-verify", "success"
    elif "bad signature" in words or "key retrieval failed" in words or "verification error" in words:
        doc["event.action"], doc["event.outcome"] = "dkim-verify", "failure"
        doc["event.reason"] = text[:LONGEST_VALUE]
    client = _NOT_INTERNAL.match(text)
    if client is not None:
        endpoint(doc, "source", f"{client['host']}[{client['ip']}]")


def read_dmarc(message: str, doc: Doc) -> None:
    """Put what opendmarc found about a message into `doc`."""
    found = _DMARC.match(_queued(message, doc))
    if found is not None:
        doc["postfix.dmarc_domain"], doc["postfix.dmarc"] = found["domain"], found["result"]
        doc["event.action"] = "dmarc-" + found["result"]
        if found["result"] != "none":
            doc["event.outcome"] = "success" if found["result"] == "pass" else "failure"


def _queued(message: str, doc: Doc) -> str:
    """What follows the queue id, which stands in `doc` then; the whole message where there is none."""
    queue_id, colon, text = message.partition(": ")
    if not colon or not is_queue_id(queue_id):
        return message
    doc["email.local_id"] = queue_id
    return text


READERS: dict[str, Callable[[str, Doc], None]] = {"postgrey": read_postgrey, "policyd-spf": read_spf, "opendkim": read_dkim, "opendmarc": read_dmarc}
"""By product: what reads its messages."""
PROGRAMS = {**{product: product for product in READERS}, "policy-spf": "policyd-spf", "postfix-policyd-spf-perl": "policyd-spf"}
"""By syslog program name, as such or behind `postfix/`: the product."""
