"""Reads Postfix lines without a queue id: connections, TLS, logins, postscreen, statistics, warnings, the daemons themselves."""

from __future__ import annotations

import re
from collections.abc import Callable

from soc.ingest.parsers.postfix.address import LONGEST_VALUE, endpoint, endpoint_after, envelope, ip_of, pairs
from soc.ingest.parsers.postfix.queued import VERBS, is_queue_id, read_queued
from soc.model.event import Doc


def read_session(message: str, doc: Doc) -> None:
    """Put the message of a daemon into `doc`; a form that is not known leaves at least what names a peer."""
    word = message.partition(" ")[0]
    reader = _BY_WORD.get(word)
    if reader is not None:
        reader(message, doc)
    elif word[-1:] == ":" and (word[:-1] in VERBS or word.startswith("milter-")):
        read_queued(message, doc)
    elif " TLS connection established " in message or " TLS connection reused " in message:
        _tls(message, doc)
    elif "certificate verification failed" in message or message.startswith("TLS handshake failed "):
        _certificate(message, doc)
    elif word in (">", "<"):  # a conversation, told line by line (`debug_peer_list`, `-v`)
        endpoint(doc, _other_side(doc), message, 2)
    else:
        _peers(message, doc)


def ends_a_session(text: str) -> bool:
    """Whether a text tells how a session broke off; newer versions put `NOQUEUE: ` before it."""
    return text.partition(" ")[0] in _BREAKS and " after " in text


def _peers(message: str, doc: Doc) -> None:
    """Whose address a line names, by the preposition before it."""
    first = message.partition(" ")[0]
    if "[" in first and endpoint(doc, _other_side(doc), message) > 0:
        return
    if first == "host" and endpoint(doc, "destination", message, 5) > 0:
        return
    if endpoint_after(doc, "source", message, " from ") < 0:
        for marker in (" to ", " for ", " with ", " peer="):
            if endpoint_after(doc, "destination" if marker == " to " else _other_side(doc), message, marker) >= 0:
                return


def _other_side(doc: Doc) -> str:
    """Where a daemon's peer stands: a server's peers are sources, all others talk to destinations."""
    return "source" if doc.get("postfix.daemon") in _SERVERS else "destination"


_SERVERS = frozenset(("smtpd", "postscreen", "tlsproxy", "qmqpd"))


def _reason(doc: Doc, text: str) -> None:
    if text:
        doc["event.reason"] = text[:LONGEST_VALUE]


# connections ------------------------------------------------------------------------------------------------------------


def _connect(message: str, doc: Doc) -> None:
    # Reference: Postfix src/smtpd/smtpd.c: `connect from name[address]`; src/smtp/smtp_connect.c: `connect to name[address]:port: reason`.
    doc["event.category"] = ["network"]
    if message.startswith("connect from "):
        endpoint(doc, "source", message, 13)
        doc["event.type"] = ["connection", "start"]
        doc["event.action"] = "connect"
        return
    doc["event.type"] = ["connection", "error"]
    doc["event.action"] = "connect-to-server"
    doc["event.outcome"] = "failure"
    end = endpoint(doc, "destination", message, 11)
    if end > 0:
        _reason(doc, message[end:].lstrip(": "))


def _disconnect(message: str, doc: Doc) -> None:
    # Reference: Postfix src/smtpd/smtpd.c: `disconnect from name[address] ehlo=1 auth=0/1 quit=1 commands=2/3` (accepted/tried).
    doc["event.category"] = ["network"]
    doc["event.type"] = ["connection", "end"]
    doc["event.action"] = "disconnect"
    end = endpoint(doc, "source", message, 16)
    if end <= 0:
        return
    counts = message[end:].strip()
    if counts:
        doc["postfix.commands"] = counts[:LONGEST_VALUE]
        if "auth=" in counts:
            doc["postfix.auth_failed"] = auth_failed(counts)


def auth_failed(counts: str) -> str:
    """How many logins failed, of the counts of commands of a session with logins."""
    done, slash, tried = counts.partition("auth=")[2].partition(" ")[0].partition("/")
    return str(int(tried) - int(done)) if slash and _small(done) and _small(tried) else "0"


def _small(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9  # noqa: PLR2004 - a count of commands


# Reference: Postfix src/smtpd/smtpd.c: `lost connection after DATA (0 bytes) from name[address]`, `timeout after …`,
# `too many errors after …`, `improper command pipelining after AUTH from name[address]: text`, `bare <LF> received after …`.
_AFTER = re.compile(r"(?P<what>[^\[\]]{1,64}?) after (?P<stage>[A-Za-z. -]{1,32}?)(?: \(.{1,64}?\))? from ")


def _after(message: str, doc: Doc) -> None:
    match = _AFTER.match(message)
    if match is None:
        _peers(message, doc)
        return
    doc["event.category"] = ["network"]
    doc["event.type"] = ["connection", "end"]
    doc["event.action"] = match["what"].replace("<", "").replace(">", "").lower().replace(" ", "-")
    doc["event.outcome"] = "failure"
    doc["postfix.stage"] = match["stage"]
    end = endpoint(doc, "source", message, match.end())
    if end > 0 and message[end : end + 2] == ": ":
        doc["postfix.data"] = message[end + 2 :][:LONGEST_VALUE]


# Reference: Postfix src/tls/tls_misc.c `tls_log_summary`: `Trusted TLS connection established to name[address]:port: TLSv1.3 with cipher X (256/256 bits) …`.
_TLS = re.compile(r"(?P<protocol>TLS|SSL)v(?P<version>[\d.]{1,8}) with cipher (?P<cipher>[\w.-]{1,64})")


def _tls(message: str, doc: Doc) -> None:
    how = "established" if " TLS connection established " in message else "reused"
    trust, _, rest = message.partition(f" TLS connection {how} ")
    doc["event.category"] = ["network"]
    doc["event.type"] = ["protocol"]
    doc["event.action"] = f"tls-{how}"
    doc["event.outcome"] = "success"
    doc["tls.established"] = True
    doc["postfix.tls_trust"] = trust.lower()
    side, at = ("source", 5) if rest.startswith("from ") else ("destination", 3)
    end = endpoint(doc, side, rest, at)
    match = _TLS.search(rest, max(end, 0))
    if match is not None:
        doc["tls.version_protocol"] = match["protocol"].lower()
        doc["tls.version"] = match["version"]
        doc["tls.cipher"] = match["cipher"]


def _tls_error(message: str, doc: Doc) -> None:
    # Reference: Postfix src/tls/tls_server.c, tls_client.c: `SSL_accept error from name[address]: reason`, `SSL_connect error to …`.
    doc["event.category"] = ["network"]
    doc["event.type"] = ["protocol", "error"]
    doc["event.action"] = message.partition(" ")[0].lower().replace("_", "-") + "-error"
    doc["event.outcome"] = "failure"
    side, marker = ("source", " from ") if " from " in message else ("destination", " to ")
    end = endpoint_after(doc, side, message, marker)
    if end > 0:
        _reason(doc, message[end:].lstrip(": "))


def _certificate(message: str, doc: Doc) -> None:
    # Reference: Postfix src/tls/tls_verify.c, src/smtp/smtp_proto.c, src/tlsproxy/tlsproxy.c: `[server |client ]certificate verification
    # failed for NAMADDR: reason`, `NAMADDR: certificate verification failed: reason`, `TLS handshake failed for service=s peer=ADDR`.
    doc["event.category"] = ["network"]
    doc["event.type"] = ["protocol", "error"]
    doc["event.action"] = "tls-handshake" if message.startswith("TLS ") else "certificate-verification"
    doc["event.outcome"] = "failure"
    markers = ((_other_side(doc), " peer="), (_other_side(doc), " for "), ("source", " from "))
    end = endpoint(doc, _other_side(doc), message) if "[" in message.partition(": ")[0] and " " not in message.partition(": ")[0] else -1
    for side, marker in markers:
        if end < 0:
            end = endpoint_after(doc, side, message, marker)
    if end > 0:
        _reason(doc, message[end:].removeprefix(": certificate verification failed").lstrip(": "))


# postscreen, dnsblog ------------------------------------------------------------------------------------------------------

# Reference: https://www.postfix.org/POSTSCREEN_README.html: words in capitals, then `[address]:port`, and for violations
# `after TIME` or `after COMMAND: text`.
_SCREEN = re.compile(r"(?P<what>[A-Z][A-Z -]{2,31}?)(?: (?:rank )?(?P<number>[\d.]{1,12}))?(?: after (?P<time>[\d.]{1,12}))?(?: (?P<way>from|for|to))? \[")
_SCREEN_TYPE = {
    "CONNECT": ["connection", "start"],
    "DISCONNECT": ["connection", "end"],
    "PASS OLD": ["allowed"],
    "PASS NEW": ["allowed"],
    "WHITELISTED": ["allowed"],
    "ALLOWLISTED": ["allowed"],
    "BLACKLISTED": ["denied"],
    "DENYLISTED": ["denied"],
}


def _screen(message: str, doc: Doc) -> None:
    match = _SCREEN.match(message)
    if match is None:
        _peers(message, doc)
        return
    what = match["what"].rstrip()
    doc["event.category"] = ["network"]
    doc["event.type"] = list(_SCREEN_TYPE.get(what, ("connection", "info")))
    doc["event.action"] = what.lower().replace(" ", "-")
    end = endpoint(doc, "destination" if match["way"] == "to" else "source", message, match.end() - 1)
    if what == "DNSBL":
        doc["postfix.dnsbl_rank"] = match["number"] or ""
        return
    if match["time"]:
        doc["postfix.after_s"] = match["time"]
    rest = message[end:] if end > 0 else ""
    if rest.startswith(" to "):
        endpoint(doc, "destination", rest, 4)
    elif rest.startswith(" after "):
        stage, _, data = rest[7:].partition(": ")
        if stage:
            doc["postfix.stage"] = stage
        if data:
            doc["postfix.data"] = data[:LONGEST_VALUE]
    elif rest.startswith(": "):
        doc["postfix.data"] = rest[2:][:LONGEST_VALUE]


def _listed(message: str, doc: Doc) -> None:
    # Reference: Postfix src/dnsblog/dnsblog.c: `addr ADDRESS listed by domain DOMAIN as ADDRESS`.
    words = message.split(" ", 8)
    if len(words) < 6 or words[2] != "listed":  # noqa: PLR2004 - the words up to the domain
        return
    address = ip_of(words[1])
    if address:
        doc["source.ip"] = doc["source.address"] = address
    doc["event.category"] = ["network"]
    doc["event.action"] = "dnsbl-listed"
    doc["rule.name"] = words[5]
    doc["rule.category"] = "dnsbl"
    if len(words) > 7:  # noqa: PLR2004
        doc["postfix.dnsbl_result"] = words[7]


# anvil, scache ------------------------------------------------------------------------------------------------------------

# Reference: Postfix src/anvil/anvil.c: `statistics: max connection rate 1/60s for (service:address) at Oct 26 18:13:50`; the
# service is a name or an address and port.
_ANVIL = re.compile(
    r"statistics: max (?P<what>[a-z ]{1,40}) (?P<value>[\d/smhd]{1,24}) for \((?P<service>[\d.]{7,15}:\w{1,32}|\[[^\]]{1,64}\]:\w{1,32}|[^:()]{1,255}):(?P<client>[^()]{1,64})\)"
)


def _statistics(message: str, doc: Doc) -> None:
    doc["event.action"] = "statistics"
    match = _ANVIL.match(message)
    if match is None:
        return
    doc["postfix.statistic"] = match["what"]
    doc["postfix.value"] = match["value"]
    doc["postfix.service"] = match["service"]
    address = ip_of(match["client"])
    if address:
        doc["source.ip"] = doc["source.address"] = address


# warnings -----------------------------------------------------------------------------------------------------------------

# Reference: Postfix src/smtpd/smtpd_sasl_glue.c: `warning: name[address]: SASL LOGIN authentication failed: reason, sasl_username=x`.
_SASL = re.compile(r"(?:]|]:\d{1,5}): SASL (?P<method>[\w-]{1,32}) authentication (?P<what>failed|aborted)(?:: ?(?P<reason>.*))?", re.DOTALL)
# Reference: Postfix src/smtpd/smtpd_peer.c: `hostname NAME does not resolve to address ADDRESS: reason`; before 2.9
# `ADDRESS: hostname NAME verification failed: reason`, `ADDRESS: address not listed for hostname NAME`.
_RESOLVE = re.compile(r"hostname (?P<name>\S{1,255}) does not resolve to address (?P<address>[0-9A-Fa-f.:]{2,45}?)(?:: |$)")
# Reference: Postfix src/smtpd/smtpd.c: `Connection rate limit exceeded: 31 from name[address] for service smtp`.
_LIMIT = re.compile(r"(?P<what>[A-Z][a-z A-Z]{1,60}) limit exceeded: (?P<value>\d{1,9}) from ")


def _level(message: str, doc: Doc) -> None:
    level, _, text = message.partition(": ")
    doc["log.level"] = level
    _reason(doc, text)
    queue_id, colon, rest = text.partition(": ")
    if colon and is_queue_id(queue_id):
        doc["postfix.queue_id"] = queue_id
        text = rest
    if "SASL " in text and _sasl(text, doc):
        return
    if text.startswith("hostname "):
        match = _RESOLVE.match(text)
        if match is not None and ip_of(match["address"]):
            doc["event.action"] = "hostname-mismatch"
            doc["source.ip"] = doc["source.address"] = ip_of(match["address"])
        return
    limit = _LIMIT.match(text)
    if limit is not None:
        doc["event.category"] = ["network"]
        doc["event.type"] = ["denied"]
        doc["event.action"] = limit["what"].lower().replace(" ", "-") + "-limit"
        doc["event.outcome"] = "failure"
        doc["rule.name"] = limit["what"] + " limit"
        endpoint(doc, "source", text, limit.end())
        return
    if text.startswith("header "):
        read_queued(message, doc)
        return
    if text.startswith("non-SMTP command from "):
        doc["event.action"] = "non-smtp-command"
        end = endpoint(doc, "source", text, 22)
        data = text[end:].removeprefix(": ") if end > 0 else ""
        if data:
            doc["postfix.data"] = data[:LONGEST_VALUE]
        return
    first = text.partition(": ")[0]
    if (first[-1:] == "]" and " " not in first) or ip_of(first):
        endpoint(doc, "source", first if "[" in first else f"[{first}]")
        if " verification failed" in text or ": address not listed for hostname " in text:
            doc["event.action"] = "hostname-mismatch"
    else:
        _peers(text, doc)
        if text.startswith("Illegal address syntax"):
            doc["event.action"] = "illegal-address-syntax"


def _sasl(text: str, doc: Doc) -> bool:
    match = _SASL.search(text)
    if match is None or endpoint(doc, "source", text) < 0:
        return False
    doc["event.category"] = ["authentication", "email"]
    doc["event.type"] = ["start"]
    doc["event.action"] = "sasl-authentication"
    doc["event.outcome"] = "failure"
    doc["postfix.sasl_method"] = match["method"]
    reason = match["reason"] or match["what"]
    at = reason.rfind("sasl_username=")
    if at >= 0:
        envelope(doc, {"sasl_username": reason[at + 14 :]})
        reason = reason[:at].rstrip(", ")
    _reason(doc, reason)
    return True


# daemons ------------------------------------------------------------------------------------------------------------------

# Reference: Postfix src/postsuper/postsuper.c: `Deleted: 3 messages`, `Placed on hold: 1 message`.
_SUMMARY = re.compile(r"(?P<what>Deleted|Requeued|Placed on hold|Released from hold|Expired): (?P<count>\d{1,12}) messages?$")


def _daemon(message: str, doc: Doc) -> None:
    doc["event.category"] = ["process"]
    word = message.partition(" ")[0]
    doc["event.type"] = {"terminating": ["end"], "stopping": ["end"]}.get(word, ["start"] if word in ("daemon", "starting") else ["change"])
    doc["event.action"] = {"daemon": "start", "starting": "start", "terminating": "stop", "stopping": "stop"}.get(word, word)
    match = _VERSION.search(message)
    if match is not None:
        doc["service.version"] = match["version"].rstrip(",")


# Reference: Postfix src/master/master.c: `daemon started -- version 3.8.6, configuration /etc/postfix`.
_VERSION = re.compile(r"-- version (?P<version>\S{1,64})")


def _summary(message: str, doc: Doc) -> None:
    match = _SUMMARY.match(message)
    if match is not None:
        doc["event.action"] = match["what"].lower().replace(" ", "-")
        doc["postfix.messages"] = match["count"]


def _discarding(message: str, doc: Doc) -> None:
    values = pairs(message)
    envelope(doc, values)
    doc["event.action"] = "discard-ehlo-keywords"


_BREAKS = ("lost", "timeout", "too", "improper", "bare")
_BY_WORD: dict[str, Callable[[str, Doc], None]] = {
    "connect": _connect,
    "disconnect": _disconnect,
    **dict.fromkeys(_BREAKS, _after),
    **dict.fromkeys(("SSL_accept", "SSL_connect"), _tls_error),
    "certificate": _certificate,
    **dict.fromkeys(("warning:", "error:", "fatal:", "panic:", "info:"), _level),
    "statistics:": _statistics,
    "addr": _listed,
    **dict.fromkeys(
        [
            "CONNECT",
            "DISCONNECT",
            "PASS",
            "WHITELISTED",
            "BLACKLISTED",
            "ALLOWLISTED",
            "DENYLISTED",
            "WHITELIST",
            "ALLOWLIST",
            "DNSBL",
            "HANGUP",
            "PREGREET",
            "COMMAND",
            "NON-SMTP",
            "BARE",
            "DENYLIST",
        ],
        _screen,
    ),
    **dict.fromkeys(("daemon", "reload", "terminating", "starting", "stopping", "refreshing"), _daemon),
    **dict.fromkeys(("Deleted:", "Requeued:", "Placed", "Released", "Expired:"), _summary),
    "discarding": _discarding,
}
