"""The forms of the messages that mail gateways write most, and the kinds of values that stand in them: see `forms`.

A kind takes only values that the readers treat alike. Places are set off by characters that separate words (`<`, `[`, `=`, blanks), as the
words of a message are put together from those of its values and of the text between them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

from soc.ingest.parsers.postfix.address import header_text
from soc.ingest.parsers.postfix.session import auth_failed
from soc.model.text import known_tokens


class Kind(NamedTuple):
    """What may stand at a place: a pattern (ASCII), a value for samples by number, the other shapes in which readers give it, and its tokens (None: it is its own)."""

    pattern: str
    sample: str
    converts: tuple[Callable[[str], Any], ...] = ()
    tokens: Callable[[str], str] | None = known_tokens


def _word(text: str) -> str:
    return text.lower() if text.isalnum() else known_tokens(text)


def _unsigned(text: str) -> str:
    return text.removeprefix("-")


def _address_tokens(text: str) -> str:
    return known_tokens(text) if ":" in text else text


def _one(text: str) -> list[str]:
    return [text]


def _recipients(text: str) -> list[str]:
    return text[1:-1].split(">,<")


def _recipients_tokens(text: str) -> str:
    return " ".join(map(known_tokens, text[1:-1].split(">,<")))


def _both(text: str) -> list[str]:
    return list(dict.fromkeys(text.split(">, orig_to=<")))


def _original(text: str) -> str:
    return text.rpartition("<")[2]


def _milliseconds(text: str) -> int:
    return int(text) * 1_000_000


def _tls_version(text: str) -> str:
    return text[4:]


def _tls_tokens(text: str) -> str:
    return f"{known_tokens(text)} {text[4:]}"


def _passed(text: str) -> str:
    return "passed-" + text.lower()


def _passed_tokens(text: str) -> str:
    return f"{known_tokens(text)} {known_tokens(_passed(text))}"


def _logins_tokens(text: str) -> str:
    return f"{known_tokens(text)} {known_tokens(auth_failed(text))}"


def _subject_tokens(text: str) -> str:
    return f"{known_tokens(text)} {known_tokens(header_text(text))}" if "=?" in text else known_tokens(text)


_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
# Reference: RFC 5952: written in one way only. Those with a group of zeros that stands alone are left to the readers.
_GROUP = r"[1-9a-f][0-9a-f]{0,3}"
_IPV6 = rf"{_GROUP}(?::{_GROUP}){{7}}|(?!(?:[0-9a-f]*:){{7}}){_GROUP}(?::{_GROUP}){{0,4}}::{_GROUP}(?::{_GROUP}){{0,4}}"
_ADDRESS = r"[\w.+=/&'#*!-]{1,128}@[\w.-]{1,190}"
_LOCAL = r"[\w.+=-]{1,64}(?:@[\w.-]{1,190})?"
_COMMAND = r"(?![a-z]{0,16}auth=)[a-z]{1,16}=\d{1,9}(?:/\d{1,9})?"
_NO_USER = r"(?:(?!sasl_username=)[!-~])+"
_QUEUED = r"(?!as (?:(?<=queued as )|(?<=forwarded as )))"
_BLOCKED = rf"{_QUEUED}(?!using (?<=blocked using ))"
# Reference: as the readers' own patterns: `queued.is_queue_id`, `address._ENDPOINT`, `amavis._VERDICT`, `session._SCREEN`, Postfix src/smtpd/smtpd.c.
KINDS = {
    "id": Kind(r"[0-9A-F]{5,20}|(?=[A-Za-z]{0,25}[0-9])[0-9A-Za-z]{10,26}", "4Bq{n:03d}zQx7Lk", tokens=str.lower),
    "ip": Kind(rf"{_OCTET}(?:\.{_OCTET}){{3}}|{_IPV6}", "192.0.2.{n}", tokens=_address_tokens),
    "port": Kind(r"[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}", "40{n:02d}", (int,), tokens=None),
    "count": Kind(r"\d{1,9}", "700{n:02d}", tokens=None),
    "decimal": Kind(r"\d{1,9}(?:\.\d{1,9})?", "{n}.31", tokens=None),
    "seconds": Kind(r"\d{1,6}(?:\.\d{1,5})?", "{n}.41", tokens=None),
    "signed": Kind(r"-?\d{1,9}(?:\.\d{1,9})?", "-{n}.57", tokens=_unsigned),
    "ms": Kind(r"\d{1,9}", "800{n:02d}", (_milliseconds,), tokens=None),
    "dsn": Kind(r"\d\.\d{1,3}\.\d{1,3}", "2.{n}.77", tokens=None),
    "reply": Kind(r"[45]\d\d", "5{n:02d}", tokens=None),
    "address": Kind(_ADDRESS, "user{n}@d{n}.example.org", (_one,)),
    "local": Kind(_LOCAL, "local{n}", (_one,)),
    "aliased": Kind(rf"{_ADDRESS}>, orig_to=<{_LOCAL}", "user{n}@d{n}.example.org>, orig_to=<alias{n}@d{n}.example.org", (_both, _original)),
    "recipients": Kind(rf"<{_ADDRESS}>(?:,<{_ADDRESS}>){{0,9}}", "<a{n}@r.example.org>,<b{n}@r.example.org>", (_recipients,), _recipients_tokens),
    "login": Kind(r"[\w.@+%$!#-]{1,190}", "login{n}@example.org"),
    "mid": Kind(r"[\w.@$%+=/!#&'*?^{|}~:-]{1,190}", "m{n}$x@message.example.org"),
    "host": Kind(
        r"(?!unknown\[|[\w.-]{256})(?=[0-9._-]{0,250}[A-Za-z])[A-Za-z0-9][\w-]{0,62}(?:\.[\w-]{1,63}){0,12}",
        "mx{n}.host.example.org",
    ),
    "socket": Kind(r"(?=[\w.-]{0,64}/)[\w./-]{1,190}", "private/lmtp{n}"),
    "helo": Kind(r"[!-;=?-~]{1,190}", "helo{n}.example.org"),
    "tested": Kind(r"[!-;=?-~]{1,190}", "tested{n}@example.org"),
    "protocol": Kind(r"[A-Z0-9]{1,16}", "PROTO{n}", (str.lower,), tokens=str.lower),
    "name": Kind(r"[\w-]{1,64}", "name{n}x", tokens=_word),
    "method": Kind(r"[\w-]{1,32}", "METHOD-{n}"),
    "task": Kind(r"\d{1,10}-\d{1,4}(?:-\d{1,4})?", "{n:05d}-17", tokens=None),
    "list": Kind(r"[\w.-]{1,190}", "dnsbl{n}.example.org"),
    "names": Kind(r"[A-Za-z0-9,:-]{1,200}", "Flag{n},Other"),
    "banks": Kind(r"[A-Z][\w.-]{0,31}(?: [A-Z][\w.-]{0,31}){0,3}", "BANK{n} OTHER"),
    "badheader": Kind(r"BAD-HEADER-\d{1,2}", "BAD-HEADER-{n}", (_passed,), _passed_tokens),
    "virus": Kind(r"(?!(?i:[\w./:+!, -]{0,200}phish))[\w./:+!-]{1,100}(?:, [\w./:+!-]{1,100})?", "Virus{n}.Sample"),
    "phish": Kind(r"(?=(?i:[\w./:+!-]{0,190}phish))[\w./:+!-]{1,200}", "Phish{n}.Sample"),
    "banned": Kind(r"(?![ -'*-~]{257})[!-'*-~]+(?: [!-'*-~]+)*", ".exe,letter{n} of.exe"),
    "quarantine": Kind(r"[\w./@-]{1,190}", "q/spam-{n}.gz"),
    "dkim": Kind(r"[\w.:-]{1,190}", "key{n}:example.org"),
    "words": Kind(rf"[!-~]+(?: {{1,16}}{_QUEUED}[!-~]+)*", "some {n} words"),
    "cause": Kind(rf"(?!:)[!-;=-~]+(?: {{1,16}}{_BLOCKED}[!-;=-~]+)*", "cause {n}"),
    "sentence": Kind(rf"(?!<|[ -9<-~]{{129}})[!-9<-~]+(?: {_BLOCKED}[!-9<-~]+)*", "Sentence {n}"),
    "plain": Kind(r"[!-Z\\^-~]+(?: [!-Z\\^-~]+)*", "plain {n}"),
    "subject": Kind(r"[!-~]+(?: {1,16}[!-~]+)*", "=?utf-8?q?S{n}=C3=A0?=", (header_text,), _subject_tokens),
    "commands": Kind(rf"{_COMMAND}(?: {_COMMAND}){{0,16}}", "ehlo=1 mail={n}/90 quit=1"),
    "logins": Kind(rf"(?:{_COMMAND} ){{0,16}}auth=\d{{1,9}}(?:/\d{{1,9}})?(?: {_COMMAND}){{0,16}}", "ehlo=1 auth=0/{n} quit=1", (auth_failed,), _logins_tokens),
    "tls": Kind(r"TLSv1(?:\.\d{1,2})?", "TLSv1.{n}", (_tls_version,), _tls_tokens),
    "cipher": Kind(r"[\w.-]{1,64}", "CIPHER{n}_AES-GCM"),
    "failure": Kind(rf"{_NO_USER}(?: {_NO_USER})*(?<!,)", "failure {n}"),
    "stage": Kind(r"[A-Z][A-Z-]{1,15}", "STAGE"),
}
_PEERS = ("$host[$ip]", "unknown[$ip]")
_ANY_PEERS = (*_PEERS, "unknown[unknown]")
_SERVER = "$host[$ip]:$port"
_RELAYS = (_SERVER, "$ip[$ip]:$port", "$host[$socket]")
_DELAYS = "delay=$decimal, delays=$decimal/$decimal/$decimal/$decimal, dsn=$dsn"
_STATUS = ("sent ($words queued as $id)", "sent ($words)", "sent (forwarded as $id)", "deferred ($words)", "bounced ($words)")
_DELIVERIES = tuple(
    f"$id: to=<{to}>, relay={relay}, {_DELAYS}, status={status}"
    for status, relay, to in product(_STATUS, (*_RELAYS, "$name", *(relay + ", conn_use=$count" for relay in _RELAYS)), ("$address", "$aliased"))
)

_SESSION = "proto=$protocol helo=<$helo>"
_ENVELOPES = tuple(f"from={sender} to=<$address> {_SESSION}" for sender in ("<$address>", "<>"))
_BEFORE_RCPT = (f"from=<$address> {_SESSION}", _SESSION, "proto=$protocol")
_TOLD = ("$sentence", "$sentence: $cause")
_RULED = tuple(tested + told for tested in ("", "<$tested>: ") for told in _TOLD)
_LISTED = tuple(
    f"Service unavailable; {who} blocked using $list{why}"
    for who in ("Client host [$ip]", "Helo command [$tested]", "Sender address [$tested]")
    for why in ("", "; $cause")
)
_REFUSALS = (
    *(f"NOQUEUE: reject: $stage from {peer}: $reply $dsn {why}; {said}" for why, said, peer in product((*_LISTED, *_RULED), _ENVELOPES, _PEERS)),
    *(f"NOQUEUE: reject: $stage from {peer}: $reply $dsn {why}; {said}" for why, said, peer in product(_RULED, _BEFORE_RCPT, _PEERS)),
    *(
        f"NOQUEUE: reject: $stage from [$ip]:$port: $reply $dsn Service unavailable; client [$ip] blocked using $list; "
        f"from={sender}, to=<$address>, proto=$protocol, helo=<$helo>"
        for sender in ("<$address>", "<>")
    ),
    *(f"NOQUEUE: filter: $stage from {peer}: <$tested>: $cause; {said}" for said, peer in product(_ENVELOPES, _PEERS)),
    *(
        f"{mail}: milter-reject: $stage from {peer}: {code}$dsn {told}; {said}"
        for told, said, code, peer, mail in product(_TOLD, _ENVELOPES, ("", "$reply "), _PEERS, ("$id", "NOQUEUE"))
    ),
)

# Reference: amavisd-new, `$log_templ` in amavisd.conf-default.
_SCANNED = "$recipients, {kept}Queue-ID: $id, Message-ID: <$mid>, mail_id: $name, Hits: {hits}, size: $count, {after}$ms ms"
_AFTER_QUEUE = ("queued_as: $id, ", "queued_as: $id, dkim_sd=$dkim, ")
_SCANS = tuple(
    f"($task) {verdict} {{$names}}, {bank}[$ip]:$port [$ip] <{sender}> -> {_SCANNED.format(kept=kept, hits=hits, after=after)}"
    for verdicts, banks, keeps, scores, afters in (
        (("Passed CLEAN",), ("", "$banks "), ("",), ("$signed", "-"), ("", *_AFTER_QUEUE)),
        (("Passed SPAMMY", "Passed SPAM", "Passed $badheader"), ("",), ("", "quarantine: $quarantine, "), ("$signed",), ("", *_AFTER_QUEUE)),
        (("Passed UNCHECKED", "Passed UNCHECKED-ENCRYPTED"), ("",), ("",), ("$signed", "-"), _AFTER_QUEUE),
        (("Blocked SPAM",), ("",), ("", "quarantine: $quarantine, "), ("$signed",), ("",)),
        (
            ("Blocked INFECTED ($virus)", "Blocked INFECTED ($phish)", "Blocked BANNED ($banned)"),
            ("",),
            ("", "quarantine: $quarantine, "),
            ("-", "$signed"),
            ("",),
        ),
    )
    for verdict, bank, kept, hits, after, sender in product(verdicts, banks, keeps, scores, afters, ("$address", ""))
)

_LIMITS = ("Connection rate", "Connection concurrency", "AUTH command rate", "Recipient address rate")
_WARNINGS = (
    *(f"warning: {peer}: SASL $method authentication failed: $failure{user}" for peer, user in product(_PEERS, ("", ", sasl_username=$login"))),
    "warning: hostname $host does not resolve to address $ip",
    "warning: hostname $host does not resolve to address $ip: $words",
    *(f"warning: {what} limit exceeded: $count from {peer} for service $name" for what, peer in product(_LIMITS, _PEERS)),
    *(f"warning: non-SMTP command from {peer}: $plain" for peer in _PEERS),
    "warning: TLS library problem: $plain",
)

_BREAKS = ("lost connection", "timeout", "too many errors")
_SESSIONS = (
    *(f"connect from {peer}" for peer in _ANY_PEERS),
    *(f"disconnect from {peer}{commands}" for peer, commands in product(_ANY_PEERS, ("", " $commands", " $logins"))),
    *(f"{mail}{what} after $stage{size} from {peer}" for what, size, peer, mail in product(_BREAKS, ("", " ($count bytes)"), _ANY_PEERS, ("", "NOQUEUE: "))),
    *(f"improper command pipelining after $stage from {peer}{data}" for peer, data in product(_PEERS, ("", ": $words"))),
    *(
        f"{trust} TLS connection established {way}: $tls with cipher $cipher ($words"
        for trust, way in product(
            ("Anonymous", "Untrusted", "Trusted", "Verified"), (*(f"from {peer}" for peer in _PEERS), f"to {_SERVER}", "to $ip[$ip]:$port")
        )
    ),
    *(f"SSL_accept error from {peer}: $cause" for peer in _PEERS),
    f"connect to {_SERVER}: $cause",
)

# Reference: https://www.postfix.org/POSTSCREEN_README.html.
_SCREENED = (
    "CONNECT from [$ip]:$port to [$ip]:$port",
    *(f"{what} [$ip]:$port" for what in ("PASS OLD", "PASS NEW", "DISCONNECT", "WHITELISTED", "ALLOWLISTED", "BLACKLISTED", "DENYLISTED")),
    *(f"HANGUP after $seconds from [$ip]:$port in tests {when} SMTP handshake" for when in ("before", "after")),
    *(f"COMMAND {what} LIMIT from [$ip]:$port after $stage" for what in ("TIME", "COUNT", "LENGTH")),
    "DNSBL rank $count for [$ip]:$port",
    "PREGREET $count after $seconds from [$ip]:$port: $words",
    "addr $ip listed by domain $list as $ip",
)

_QUEUE = (
    *(f"$id: client={peer}" for peer in _PEERS),
    *(f"$id: client={peer}, sasl_method=$method, sasl_username=$login" for peer in _PEERS),
    *(f"$id: client={peer}, {before}orig_client={client}" for peer, before, client in product(_PEERS, ("", "orig_queue_id=$id, "), _PEERS)),
    "$id: uid=$count from=<$local>",
    "$id: message-id=<$mid>",
    *(f"$id: {verb}: header Subject: $subject from {peer}; {said}" for verb, said, peer in product(("info", "warning"), _ENVELOPES, _PEERS)),
    "$id: from=<$address>, size=$count, nrcpt=$count (queue active)",
    "$id: from=<>, size=$count, nrcpt=$count (queue active)",
    "$id: from=<$address>, status=expired, returned to sender",
    "$id: host $host[$ip] said: $reply $dsn $words",
    *(f"$id: {what} notification: $id" for what in ("sender non-delivery", "sender delay", "sender delivery status", "postmaster non-delivery")),
    "$id: removed",
)
TEXTS = (*_QUEUE, *_DELIVERIES, *_REFUSALS, *_SCANS, *_SESSIONS, *_SCREENED, *_WARNINGS)
"""The forms: what stands at `$kind` is of that kind."""
