"""Reads rspamd lines: the verdict of a scan (`rspamd_task_write_log`), and the connections of its milter."""

from __future__ import annotations

import re

from soc.ingest.parsers.postfix.address import LONGEST_VALUE, ip_of
from soc.ingest.parsers.postfix.queued import is_queue_id
from soc.model.event import Doc

MOST_RECIPIENTS = 200

# Reference: https://docs.rspamd.com/configuration/logging: `(worker) <tag>; module; function: text`, in files with `#pid` before; through
# syslog newer versions leave the worker out, where syslog names it already.
_PREFIX = re.compile(
    r"(?:[\d-]{10} [\d:.]{8,15} )?(?:#\d{1,10})?(?:\((?P<worker>[\w-]{1,32})\) )?(?:<(?P<tag>\w{1,32})>; )?(?P<module>[\w-]{1,64}); (?P<function>[\w.:-]{1,128}): (?P<text>.*)",
    re.DOTALL,
)
# Reference: the same page, `log_format`: `id: <$mid>, $if_qid{ qid: <$>,}$if_ip{ ip: $,}$if_user{ user: $,}$if_smtp_from{ from: <$>,}
# (default: $is_spam ($action): [$scores] [$symbols_scores_params]), len: $len, time: …, dns req: …, digest: <$>…`
_SCORES = re.compile(
    r"\((?P<metric>[\w-]{1,32}): (?P<spam>[TF]) \((?P<action>[a-z ]{1,32})\): \[(?P<score>-?[\d.]{1,16})/(?P<required>-?(?:[\d.]{1,16}|nan))\] \["
)
# Reference: https://docs.rspamd.com/configuration/logging: the fields of `log_format`, each `name: <value>` or `name: value`.
_PAIR = re.compile(r"(?:^|, )(?P<key>id|qid|ip|user|from|len|time|rcpts?|mime_rcpts?|file|digest): (?:<(?P<quoted>[^>]*)>|(?P<bare>[^,(]*))")
# Reference: https://docs.rspamd.com/configuration/logging: `$symbols_scores_params`: NAME(score){options;}, comma-separated.
_SYMBOL = re.compile(r"(?P<name>[A-Z][A-Z0-9_]{1,63})\((?P<score>-?\d{1,5}\.\d{1,4})\)")
# Reference: rspamd src/libserver/milter.c (`got connection from address:port`), src/rspamd_proxy.c, src/worker.c (`accepted connection from address port N`).
_CONNECTION = re.compile(r"(?:got connection from |accepted (?:milter )?connection from )(?P<ip>[0-9A-Fa-f:.]{2,45}?)(?: port |:)(?P<port>\d{1,5})(?!\S)")
ACTIONS = {
    "reject": "rejected",
    "soft reject": "rejected",
    "discard": "rejected",
    "quarantine": "spam",
    "add header": "spam",
    "rewrite subject": "spam",
    "greylist": "unknown",
    "no action": "clean",
}
"""rspamd action → verdict; a rejected message whose score says so is spam."""


def read_rspamd(message: str, doc: Doc) -> None:
    """Put an rspamd message into `doc`."""
    match = _PREFIX.match(message)
    if match is None:
        text, function = message, message.partition(": ")[0]
        text = text.partition(": ")[2] if function == "rspamd_task_write_log" else text
    else:
        if match["worker"]:
            doc["rspamd.worker"] = match["worker"]
        if match["tag"]:
            doc["rspamd.tag"] = match["tag"]
        function, text = match["function"], match["text"]
        doc["rspamd.function"] = function
    if function == "rspamd_task_write_log":
        _task(text, doc)
        return
    if function == "rspamd_message_parse":
        _loaded(text, doc)
        return
    connection = _CONNECTION.search(text)
    if connection is not None and ip_of(connection["ip"]):
        doc["event.category"] = ["network"]
        doc["event.type"] = ["connection", "start"]
        doc["event.action"] = "connect"
        doc["source.ip"] = doc["source.address"] = ip_of(connection["ip"])
        if int(connection["port"]) <= 65535:  # noqa: PLR2004
            doc["source.port"] = int(connection["port"])


# Reference: rspamd src/libmime/message.c: `loaded message; id: <x>; queue-id: <y>; size: 1; checksum: <z>`.
_LOADED = re.compile(r"; (?P<key>id|queue-id): <(?P<value>[^>]*)>")


def _loaded(text: str, doc: Doc) -> None:
    values = {match["key"]: match["value"] for match in _LOADED.finditer(text)}
    _envelope({"id": values.get("id", ""), "qid": values.get("queue-id", "")}, doc)


def _task(text: str, doc: Doc) -> None:
    scores = _SCORES.search(text)
    head, tail = (text[: scores.start()], text[scores.end() :]) if scores is not None else (text, "")
    values = {match["key"]: match["bare"] if match["quoted"] is None else match["quoted"] for match in _PAIR.finditer(head)}
    symbols, closed, tail = tail.rpartition("]), ")
    if not closed:
        symbols, tail = tail, ""
    values |= {match["key"]: match["bare"] if match["quoted"] is None else match["quoted"] for match in _PAIR.finditer(", " + tail)}
    _envelope(values, doc)
    if scores is None:
        return
    action = scores["action"]
    doc["event.action"] = action.replace(" ", "-")
    denied = action in ("reject", "soft reject", "discard", "greylist")
    doc["event.outcome"] = "failure" if denied else "success"
    doc["rspamd.action"] = action
    doc["rspamd.score"] = scores["score"]
    doc["rspamd.required"] = scores["required"]
    doc["rspamd.verdict"] = "spam" if scores["spam"] == "T" else ACTIONS.get(action, "unknown")
    if symbols:
        doc["rspamd.symbols"] = symbols[:LONGEST_VALUE]
        _weigh(symbols, doc)


def _weigh(symbols: str, doc: Doc) -> None:
    """Name the heaviest symbol as the rule, and what the antivirus or phishing symbols say as the verdict."""
    best, most = "", 0.0
    for match in _SYMBOL.finditer(symbols):
        name, score = match["name"], float(match["score"])
        if score > most:
            best, most = name, score
        if score > 0 and ("VIRUS" in name or name in ("CLAM_VIRUS", "ICAP_INFECTED")):
            doc["rspamd.verdict"] = "virus"
        elif score > 0 and "PHISH" in name and doc["rspamd.verdict"] in ("spam", "rejected"):
            doc["rspamd.verdict"] = "phish"
    if best and doc["rspamd.verdict"] != "clean":
        doc["rule.name"] = best


def _envelope(values: dict[str, str], doc: Doc) -> None:
    if (mid := values.get("id", "").strip()) and mid != "undef":
        doc["email.message_id"] = mid[:LONGEST_VALUE]
    qid = values.get("qid", "")
    if is_queue_id(qid):
        doc["email.local_id"] = qid
    if address := ip_of(values.get("ip", "").strip()):
        doc["source.ip"] = doc["source.address"] = address
    if sender := values.get("from", "").strip():
        doc["email.from.address"] = [sender]
    recipients = values.get("rcpts") or values.get("rcpt") or ""
    if recipients:
        doc["email.to.address"] = [part.strip() for part in recipients.split(",")[:MOST_RECIPIENTS] if part.strip()]
    if user := values.get("user", "").strip():
        doc["user.name"] = user
    size = values.get("len", "").strip()
    if size:
        doc["rspamd.size"] = size
    digest = values.get("digest", "").strip()
    if digest.isascii() and digest.isalnum():
        doc["rspamd.digest"] = digest[:64]
    elapsed = values.get("time", "").strip().partition(" ")[0]  # `2.8ms`, before 2.0 `2.8ms real, 1.2ms virtual`
    if elapsed.endswith("ms") and elapsed[:-2].replace(".", "", 1).isdigit() and len(elapsed) < 16:  # noqa: PLR2004 - digits of a duration
        doc["event.duration"] = round(float(elapsed[:-2]) * 1e6)
