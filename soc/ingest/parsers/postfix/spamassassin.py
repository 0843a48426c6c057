"""Reads spamd lines: the verdict of SpamAssassin and the connection it served."""

from __future__ import annotations

import re

from soc.ingest.parsers.postfix.address import LONGEST_VALUE, ip_of
from soc.model.event import Doc

# Reference: SpamAssassin spamd/spamd.raw: `spamd: result: Y 15 - TEST,TEST scantime=1.2,size=3,user=x,…,mid=<id>,autolearn=no`
_RESULT = re.compile(r"spamd: result: (?P<spam>[Y.]) (?P<score>-?\d{1,5}(?:\.\d{1,6})?) - (?P<tests>[\w,.=-]{0,8192}?)(?: (?P<rest>scantime=.*))?$", re.DOTALL)
# Reference: the same: `spamd: identified spam (15.2/5.0) for user:uid in 1.2 seconds, 345 bytes.`, `clean message (…)`
_SUMMARY = re.compile(
    r"spamd: (?P<what>identified spam|clean message) \((?P<score>-?\d{1,5}(?:\.\d{1,6})?)/(?P<required>-?\d{1,5}(?:\.\d{1,6})?)\) for (?P<user>\S{1,255}):(?P<uid>-?\d{1,10}) "
    r"in (?P<seconds>\d{1,6}(?:\.\d{1,6})?) seconds, (?P<size>\d{1,15}) bytes"
)
# Reference: the same: `spamd: processing message <id> for user:uid`, `checking message <id> for …`
_PROCESSING = re.compile(
    r"spamd: (?P<what>processing|checking) message (?P<mid><[^<>\s]{0,1024}>|\(unknown\)|\S{1,1024}?)(?: aka \S{1,1024})? for (?P<user>\S{1,255}):(?P<uid>-?\d{1,10})"
)
# Reference: SpamAssassin spamd/spamd.raw: `connection from name [address]:port to port 783, fd 5`.
_CONNECTION = re.compile(r"spamd: connection from (?P<name>\S{1,255}) \[(?P<ip>[0-9A-Fa-f:.]{2,45})\](?::(?P<port>\d{1,5}))?")


def read_spamassassin(message: str, doc: Doc) -> None:
    """Put a spamd message into `doc`."""
    match = _RESULT.match(message)
    if match is not None:
        _result(match, doc)
        return
    match = _SUMMARY.match(message)
    if match is not None:
        spam = match["what"] == "identified spam"
        _verdict(spam, match["score"], doc)
        doc["spamassassin.required"] = match["required"]
        doc["spamassassin.size"] = match["size"]
        doc["user.name"] = match["user"]
        doc["event.duration"] = round(float(match["seconds"]) * 1e9)
        return
    match = _PROCESSING.match(message)
    if match is not None:
        doc["event.action"] = match["what"]
        doc["user.name"] = match["user"]
        if match["user"] == "(unknown)":
            del doc["user.name"]
        if match["mid"][:1] == "<" and len(match["mid"]) > 2:  # noqa: PLR2004 - "<>"
            doc["email.message_id"] = match["mid"][1:-1]
        return
    match = _CONNECTION.match(message)
    if match is not None:
        doc["event.category"] = ["network"]
        doc["event.type"] = ["connection", "start"]
        doc["event.action"] = "connect"
        if address := ip_of(match["ip"]):
            doc["source.ip"] = doc["source.address"] = address
        if match["port"] and int(match["port"]) <= 65535:  # noqa: PLR2004
            doc["source.port"] = int(match["port"])


def _result(match: re.Match[str], doc: Doc) -> None:
    _verdict(match["spam"] == "Y", match["score"], doc)
    tests = match["tests"]
    if tests:
        doc["spamassassin.tests"] = tests[:LONGEST_VALUE]
    rest = match["rest"] or ""
    before, found, mid = rest.partition(",mid=<")
    if found:
        mid, _, after = mid.partition(">")
        if mid:
            doc["email.message_id"] = mid[:LONGEST_VALUE]
        before += after
    for pair in before.replace(" autolearn", ",autolearn").split(","):
        key, _, value = pair.partition("=")
        if key in _RESULT_KEYS and value:
            doc["spamassassin." + key] = value[:LONGEST_VALUE]
        elif key == "user" and value:
            doc["user.name"] = value


_RESULT_KEYS = frozenset(("scantime", "size", "required_score", "bayes", "autolearn", "rhost", "raddr", "uid"))


def _verdict(spam: bool, score: str, doc: Doc) -> None:
    doc["event.action"] = "identified-spam" if spam else "clean-message"
    doc["spamassassin.verdict"] = "spam" if spam else "clean"
    doc["spamassassin.score"] = score
