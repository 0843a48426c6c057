"""Reads amavis lines: the verdict (`Passed`, `Blocked`) and what it says on the way."""

from __future__ import annotations

import re
from collections.abc import Iterator

from soc.ingest.parsers.postfix.address import LONGEST_VALUE, endpoint, header_text, ip_of
from soc.ingest.parsers.postfix.queued import is_queue_id
from soc.model.event import Doc

MOST_RECIPIENTS = 200
"""Of one message; amavis itself shortens longer lists in its log."""

# Reference: amavisd-new, `$log_templ` in the program's own defaults (amavisd.conf-default): `(id) Passed CATEGORY (name)
# {actions}, POLICY [client]:port [origin] <sender> -> <recipient>,…, key: value, …, N ms`.
_VERDICT = re.compile(
    r"\((?P<id>[\w-]{1,64})\) (?P<action>Passed|Blocked)(?: (?P<category>[A-Z][\w-]{1,32}))?(?: \((?P<match>[^()]{0,1024}(?:\([^()]{0,256}\)[^()]{0,1024}){0,4})\))?"
    r"(?: \{(?P<actions>[^{}]{0,1024})\})?,? ?(?P<rest>.*)",
    re.DOTALL,
)
# Reference: amavis, `do_log`: every line of a task begins with its id in parentheses.
_ID = re.compile(r"\((?P<id>[\w-]{1,64})\) (?P<text>.*)", re.DOTALL)
VERDICTS = {
    "CLEAN": "clean",
    "SPAM": "spam",
    "SPAMMY": "spam",
    "INFECTED": "virus",
    "BANNED": "banned",
    "UNCHECKED": "unknown",
    "UNCHECKED-ENCRYPTED": "unknown",
    "OVERSIZED": "rejected",
    "TEMPFAILED": "unknown",
    "MTA-BLOCKED": "rejected",
}
"""amavis contents category → verdict."""
_KEYS = {
    "mail_id": "amavis.mail_id",
    "quarantine": "amavis.quarantine",
    "queued_as": "amavis.queued_as",
    "dkim_sd": "amavis.dkim_sd",
    "dkim_new": "amavis.dkim_new",
    "Tests": "amavis.tests",
    "autolearn": "amavis.autolearn",
    "autolearnscore": "amavis.autolearn_score",
    "languages": "amavis.languages",
    "pt": "amavis.penpals_score",
    "helo": "postfix.helo",
}
# Reference: the same template: `key: value` or `key=value`, values in double quotes or brackets may hold commas.
_FIELD = re.compile(
    r"(?:^|, )(?P<key>[A-Za-z][\w-]{0,31})(?:: |=)(?P<value>\"(?:[^\"\\]|\\.){0,4096}\"|\[[^\]]{0,8192}\]|<[^>]{0,1024}>|[^,]{0,1024})", re.DOTALL
)
# Reference: amavis, `[?%#T||, Tests: [[%T|,]]]`: NAME=SCORE pairs.
_TEST = re.compile(r"(?P<name>[A-Z][A-Z0-9_]{1,63})=(?P<score>-?\d{1,4}(?:\.\d{1,6})?)")


def read_amavis(message: str, doc: Doc) -> None:
    """Put an amavis message into `doc`; what is no verdict keeps its id and the addresses that it names."""
    match = _VERDICT.match(message)
    if match is None:
        _other(message, doc)
        return
    category = match["category"] or "CLEAN"  # before 2.2 `Passed, <a> -> <b>` said so
    doc["amavis.id"] = match["id"]
    doc["amavis.category"] = category
    verdict = doc["amavis.verdict"] = "bad-header" if category.startswith("BAD-HEADER") else VERDICTS.get(category, "unknown")
    blocked = match["action"] == "Blocked"
    doc["event.action"] = f"{match['action'].lower()}-{category.lower()}"
    doc["event.outcome"] = "failure" if blocked else "success"
    name = match["match"]
    if match["actions"]:
        doc["amavis.actions"] = match["actions"]
    if name:
        name = verdict_name(name) if verdict == "virus" and "phish" in name.lower() else name
        doc["rule.name"] = name[:256]
        if verdict == "virus":
            doc["amavis.verdict"] = "phish" if "phish" in name.lower() else "virus"
            doc["event.category"] = ["email", "malware"]
    _fields(_envelope(match["rest"], doc), doc)
    if "rule.name" not in doc and verdict == "spam":
        _heaviest_test(doc)


def verdict_name(name: str) -> str:
    """The first of several virus names."""
    return name.partition(", ")[0]


def _envelope(rest: str, doc: Doc) -> str:
    """Client, origin, sender and recipients; what follows them comes back."""
    at = rest.find("[")
    arrow = rest.find("> -> <")
    if at >= 0 and (arrow < 0 or at < arrow):
        doc["amavis.policy"] = rest[:at].strip()
        if not doc["amavis.policy"]:
            del doc["amavis.policy"]
        end = endpoint(doc, "source", rest, at)
        if end > 0:
            rest = rest[end:].lstrip(" ,")
            if rest[:1] == "[" and (close := rest.find("]")) > 0:
                if origin := ip_of(rest[1:close]):
                    doc["amavis.origin_ip"] = origin
                rest = rest[close + 1 :].lstrip(" ,")
    return _parties(rest, doc)


def _parties(rest: str, doc: Doc) -> str:
    """Sender and recipients, the first `<` before the arrow begins the sender; what follows them comes back."""
    arrow = rest.find("> -> <")
    start = rest.rfind("<", 0, arrow + 1) if arrow >= 0 else -1
    if start < 0:
        return rest
    sender = rest[start + 1 : arrow]
    if sender:
        doc["email.from.address"] = [sender]
    recipients, rest = _recipients(rest, arrow + 5)
    if recipients:
        doc["email.to.address"] = recipients
    return rest


def _recipients(rest: str, at: int) -> tuple[list[str], str]:
    found: list[str] = []
    while rest[at : at + 1] == "<":
        end = rest.find(">", at)
        if end < 0:
            break
        if len(found) < MOST_RECIPIENTS and end > at + 1:
            found.append(rest[at + 1 : end])
        at = end + 1
        if rest[at : at + 2] != ",<":
            break
        at += 1
    return found, rest[at:]


def _pairs(rest: str) -> Iterator[tuple[str, str]]:
    """The `key: value` and `key=value` pairs after the recipients."""
    if '"' in rest or "[" in rest:
        for match in _FIELD.finditer(rest):
            value = match["value"].strip()
            yield match["key"], value[1:-1].replace('\\"', '"') if value[:1] == '"' == value[-1:] else value
        return
    for part in rest.split(", "):
        key, colon, value = part.partition(": ")
        if not colon:
            key, _, value = part.partition("=")
        yield key, value.strip()


def _fields(rest: str, doc: Doc) -> None:
    for key, value in _pairs(rest):
        if not value:
            continue
        field = _KEYS.get(key)
        if field is not None:
            doc[field] = value.strip("[]")[:LONGEST_VALUE] if key == "Tests" else value[:LONGEST_VALUE]
        elif key == "Queue-ID":
            if is_queue_id(value):
                doc["email.local_id"] = value
        elif key == "Message-ID":
            if value.strip("<>"):
                doc["email.message_id"] = value.strip("<>")[:LONGEST_VALUE]
        elif key == "Hits":
            hits, told, size = value.partition(" size: ")  # old versions leave the comma between them out
            if hits != "-":
                doc["amavis.hits"] = hits
            if told:
                doc["amavis.size"] = size
        elif key in ("size", "Size"):
            doc["amavis.size"] = value
        elif key == "Subject":
            doc["email.subject"] = header_text(value)
        elif key == "From":
            doc["amavis.header_from"] = header_text(value)
    head, _, elapsed = rest.rpartition(", ")
    for part in (elapsed, head.rpartition(", ")[2]):
        number, _, unit = part.partition(" ")
        if unit == "ms" and number.isascii() and number.isdigit() and len(number) < 10:  # noqa: PLR2004 - under 12 days
            doc["event.duration"] = int(number) * 1_000_000
            break


def _heaviest_test(doc: Doc) -> None:
    """Name as rule the test that gave the most: what an analyst asks for first."""
    best, most = "", 0.0
    for match in _TEST.finditer(doc.get("amavis.tests", "")):
        score = float(match["score"])
        if score > most:
            best, most = match["name"], score
    if best:
        doc["rule.name"] = best


def _other(message: str, doc: Doc) -> None:
    match = _ID.match(message)
    if match is None:
        return
    doc["amavis.id"] = match["id"]
    text = match["text"]
    word, _, rest = text.partition(": ")
    if word == "Checking":
        # Reference: amavis `Checking: MAILID POLICY [client] <sender> -> <recipient>`
        doc["event.action"] = "checking"
        mail_id, _, rest = rest.partition(" ")
        if mail_id:
            doc["amavis.mail_id"] = mail_id
        _envelope(rest, doc)
        return
    _parties(text, doc)
    if " from MTA(" in text and "queued as " in text:
        doc["event.action"] = "forwarded"
        queued = text.rpartition("queued as ")[2].split(" ", 1)[0].rstrip(".,;)")
        if is_queue_id(queued):
            doc["amavis.queued_as"] = queued
