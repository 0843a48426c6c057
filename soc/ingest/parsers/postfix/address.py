"""Takes apart what every Postfix line is made of: `host[address]:port`, `name=<value>` pairs, SMTP replies, header text."""

from __future__ import annotations

import contextlib
import re
from email.errors import HeaderParseError
from email.header import decode_header
from ipaddress import ip_address
from unicodedata import normalize

from soc.model.event import Doc

LONGEST_VALUE = 4096
"""Characters of one value that are kept; Postfix itself cuts headers in its log at 200 or so, replies at some thousand."""

# Reference: Postfix src/smtpd/smtpd_peer.c (`namaddr`) and src/smtp/smtp_session.c (`namaddrport`): name[address] or
# name[address]:port; postscreen writes an empty name; a socket has its path in the brackets.
_ENDPOINT = re.compile(r"(?P<host>[^\s\[\]()<>,;]{0,255})\[(?P<address>[^\]\s]{1,255})\](?::(?P<port>\d{1,5}))?")
# Reference: Postfix src/smtpd/smtpd.c `log_whatsup`, src/cleanup/cleanup_message.c: `from=<a> to=<b> proto=ESMTP helo=<c>`,
# postscreen separates by comma and blank.
_PAIR = re.compile(r"(?P<key>[A-Za-z_][\w-]{0,63})=(?:<(?P<quoted>[^>]*)>|(?P<bare>[^\s,]*))")
_PROTOCOL = {"ESMTP": "esmtp", "SMTP": "smtp", "LMTP": "lmtp"}

_KNOWN_IPS: dict[str, str] = {}
_MOST_KNOWN = 65_536


def ip_of(text: str) -> str:
    """The address in its canonical form, "" when `text` is none. Repeated addresses cost one look-up."""
    known = _KNOWN_IPS.get(text)
    if known is None:
        try:
            known = str(ip_address(text.removeprefix("IPv6:")))
        except ValueError:
            known = ""
        if len(text) <= 64:  # noqa: PLR2004 - longer ones are no addresses and come once
            if len(_KNOWN_IPS) >= _MOST_KNOWN:
                _KNOWN_IPS.clear()
            _KNOWN_IPS[text] = known
    return known


def endpoint(doc: Doc, side: str, text: str, at: int = 0) -> int:
    """Put the `host[address]:port` at position `at` under `side` (`source`, `destination`); the position after it, -1 when there is none."""
    match = _ENDPOINT.match(text, at)
    if match is None:
        return -1
    host, address, port = match.groups()
    address = ip_of(address)
    if address:
        doc[side + ".ip"] = address
        doc[side + ".address"] = address
        if port and int(port) <= 65535:  # noqa: PLR2004 - the highest port
            doc[side + ".port"] = int(port)
    if host and host != "unknown" and not ip_of(host):
        doc[side + ".domain"] = host
    return match.end()


def endpoint_after(doc: Doc, side: str, text: str, marker: str) -> int:
    """As `endpoint`, for what follows the first `marker` in `text`."""
    at = text.find(marker)
    return endpoint(doc, side, text, at + len(marker)) if at >= 0 else -1


def pairs(text: str) -> dict[str, str]:
    """The `name=<value>` and `name=value` pairs of `text`, in order."""
    return {match[1]: match[3] if match[2] is None else match[2] for match in _PAIR.finditer(text)}


def envelope(doc: Doc, values: dict[str, str]) -> None:
    """Put sender, recipient, HELO name, protocol and login of an SMTP session where ECS has them."""
    for key, value in values.items():
        if not value:
            continue
        if key == "from":
            doc["email.from.address"] = [value]
        elif key == "to":
            doc["email.to.address"] = [value]
        elif key == "proto":
            doc["network.protocol"] = _PROTOCOL.get(value) or value.lower()
        elif key == "sasl_username":
            doc["user.name"] = value
            doc["postfix.sasl_username"] = value
        elif key in _SESSION_KEYS:
            doc["postfix." + key] = value[:LONGEST_VALUE]


_SESSION_KEYS = frozenset(("helo", "sasl_method", "sasl_sender", "orig_client", "orig_queue_id", "ccert_subject"))


# Reference: RFC 5321 4.2 and RFC 3463 2: reply code, enhanced status code, text; a restriction first names in <> what it tested.
_REPLY = re.compile(
    r"(?P<code>\d{3})(?:[ -](?P<enhanced>\d\.\d{1,3}\.\d{1,3}))?(?:[ -]|$)(?P<text>.*)|(?P<bare_enhanced>\d\.\d{1,3}\.\d{1,3}) (?P<bare_text>.*)", re.DOTALL
)


def reply(doc: Doc, text: str) -> str:
    """Put an SMTP reply's codes under `postfix.*`; the words of the reply come back."""
    match = _REPLY.match(text)
    if match is None:
        return text
    if match["bare_enhanced"]:
        doc["postfix.dsn"] = match["bare_enhanced"]
        return match["bare_text"]
    doc["postfix.reply_code"] = match["code"]
    if match["enhanced"]:
        doc["postfix.dsn"] = match["enhanced"]
    return match["text"]


def header_text(text: str) -> str:
    """A header value as people read it: RFC 2047 words decoded, NFC; what cannot be decoded stays as it is."""
    text = text[:LONGEST_VALUE]
    if "=?" in text:
        with contextlib.suppress(HeaderParseError, LookupError, ValueError):
            text = "".join(part if isinstance(part, str) else part.decode(charset or "ascii", "replace") for part, charset in decode_header(text))
    return text if text.isascii() else normalize("NFC", text)
