"""A mail as it came in: bounded, decoded, and nothing in it taken at its word.

Whoever writes a mail chooses everything in it. What is read here is cut to lengths, free of control characters, and read in time
linear in its size; nested parts are few or the mail is refused. Source: RFC 5322, RFC 2045-2047, RFC 3834, RFC 3462.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from email.errors import MessageError
from email.header import decode_header
from email.message import Message as Part
from email.parser import BytesParser
from email.policy import Compat32
from email.utils import getaddresses, parsedate_to_datetime
from hashlib import sha256
from html import unescape
from typing import Any

import msgspec

from soc.clock import from_datetime, iso
from soc.errors import Phrase, UsageError

MOST_BYTES = 25 << 20
MOST_LINES = 500_000
MOST_PARTS = 100
MOST_NESTED = 20
MOST_HEADER = 10_000
"""Characters of one header that are looked at."""
MOST_TEXT = 65_536
"""Characters of the text that are kept."""
MOST_IDS = 50

# Reference: <20261121.4711@mail.example.vn>
_ID = re.compile(r"<([^<>\s]{1,900})>")
# Reference: <p class="x">; no tag holds another
_TAG = re.compile(r"<[^<>]*>")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BLANK = re.compile(r"\s+")
_CONTAINER = re.compile(rb"multipart/|message/", re.IGNORECASE)
_CHARSETS = re.compile(
    r"utf-?8|us-ascii|ascii|utf-16(?:le|be)?|iso-8859-\d{1,2}|latin-?1|windows-125\d|cp125\d|koi8-[ru]|gb2312|gbk|gb18030|big5|euc-(?:jp|kr)|shift_jis|iso-2022-jp"
)


class _Bounded(Compat32):
    """Reads headers as the library always did, but not without end: it takes quadratic time over their parameters."""

    def header_source_parse(self, sourcelines: Sequence[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(list(sourcelines))
        return name, value[:MOST_HEADER]

    def header_fetch_parse(self, name: str, value: str) -> Any:
        """The header; bytes that no charset was named for are UTF-8 (RFC 6532), as programs that encode nothing write them."""
        if value.isascii():
            return super().header_fetch_parse(name, value)
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class File(msgspec.Struct, frozen=True):
    """A file that came along."""

    name: str
    type: str
    data: bytes

    @property
    def sha256(self) -> str:
        """The hash of its bytes."""
        return sha256(self.data).hexdigest()


class Mail(msgspec.Struct, frozen=True):
    """What a mail says of itself. `message_id` "" = it has none; `sender` "" = none, or more than one; `date` RFC 3339 UTC, or "".

    `answers`: message ids that it answers, quotes or (a bounce) returns. `automatic`: no person wrote it. `bounce`: a server says
    that something could not be delivered.
    """

    sha256: str
    message_id: str = ""
    sender: str = ""
    sender_name: str = ""
    to: tuple[str, ...] = ()
    subject: str = ""
    date: str = ""
    answers: tuple[str, ...] = ()
    text: str = ""
    automatic: bool = False
    bounce: bool = False
    files: tuple[File, ...] = ()


def read(raw: bytes) -> Mail:
    """The mail of these bytes.

    Raises: UsageError: too large, too many parts, or no mail at all.
    """
    if len(raw) > MOST_BYTES:
        raise UsageError(Phrase("the mail is larger than {most} MiB", most=MOST_BYTES >> 20))
    if raw.count(b"\n") > MOST_LINES or sum(1 for _ in _CONTAINER.finditer(raw)) > MOST_PARTS:
        raise UsageError(Phrase("the mail has more than {parts} parts or {lines} lines", parts=MOST_PARTS, lines=MOST_LINES))
    if raw.startswith(b"From "):  # as some programs save mails
        raw = raw.partition(b"\n")[2]
    try:
        mail = BytesParser(policy=_Bounded()).parsebytes(raw)
        parts = list(_parts(mail))
    except (MessageError, ValueError, LookupError, RecursionError) as error:
        raise UsageError("this is no mail that can be read") from error
    if not any(name in mail for name in ("from", "subject", "message-id", "to", "date")):
        raise UsageError("this is no mail: it has none of the headers From, To, Subject, Date, Message-ID", hint="save it as .eml")
    return _mail(raw, mail, parts)


def _mail(raw: bytes, mail: Part, parts: list[tuple[Part, bool]]) -> Mail:
    senders = _addresses(mail, "from")
    ids = [*_ids(mail, "in-reply-to"), *_ids(mail, "references")]
    bounce = mail.get_content_type() == "multipart/report" or _header(mail, "return-path").strip() == "<>" or _is_daemon(senders)
    if bounce:  # what is sent back stands in a part of its own
        ids += [one for part, inner in parts if inner for one in _ids(part, "message-id")]
        ids += [one for part, _ in parts if part.get_content_type() == "text/rfc822-headers" for one in _ID.findall(_text(part))]
    own = _ids(mail, "message-id")
    return Mail(
        sha256(raw).hexdigest(),
        own[0] if own else "",
        senders[0][1] if len(senders) == 1 else "",
        senders[0][0] if len(senders) == 1 else "",
        tuple(address for _, address in [*_addresses(mail, "to"), *_addresses(mail, "cc")][:MOST_IDS]),
        _header(mail, "subject"),
        _date(mail),
        tuple(dict.fromkeys(ids))[:MOST_IDS],
        _body(parts),
        _is_automatic(mail),
        bounce,
        tuple(File(_name(part), part.get_content_type()[:200], _bytes(part)) for part, inner in parts if not inner and _is_file(part)),
    )


def _parts(mail: Part) -> Iterator[tuple[Part, bool]]:
    """All parts, and whether each lies inside an attached message.

    Raises: ValueError when they are nested too deep.
    """
    waiting = [(mail, 0, False)]
    while waiting:
        part, depth, inner = waiting.pop()
        if depth > MOST_NESTED:
            raise ValueError("nested too deep")
        yield part, inner
        content = part.get_payload()
        if isinstance(content, list):
            inside = inner or part.get_content_maintype() == "message"
            waiting += [(one, depth + 1, inside) for one in reversed(content) if isinstance(one, Part)]


def _is_file(part: Part) -> bool:
    if part.is_multipart():
        return False
    return part.get_content_disposition() == "attachment" or bool(part.get_filename()) or part.get_content_maintype() not in ("text", "multipart", "message")


def _name(part: Part) -> str:
    return _line(_decoded(str(part.get_filename() or "")[:MOST_HEADER]))[:200]


def _body(parts: list[tuple[Part, bool]]) -> str:
    """The text: of the first plain part, or of the first HTML part without its tags."""
    texts = [part for part, inner in parts if not inner and not _is_file(part)]
    for part in texts:
        if part.get_content_type() == "text/plain" and (found := _text(part).strip()):
            return found
    for part in texts:
        if part.get_content_type() == "text/html":
            return clean(unescape(_TAG.sub(" ", _text(part)))).strip()
    return ""


def _text(part: Part) -> str:
    charset = (part.get_content_charset() or "utf-8").lower()
    found = _bytes(part)[: 4 * MOST_TEXT].decode(charset if _CHARSETS.fullmatch(charset) else "utf-8", "replace")
    return clean(found.replace("\r\n", "\n").replace("\r", "\n"))[:MOST_TEXT]


def _bytes(part: Part) -> bytes:
    found = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def clean(text: str) -> str:
    """A text without control characters but line ends and tabs, and without halves of characters."""
    return _CONTROL.sub("", text)


def _line(text: str) -> str:
    return clean(_BLANK.sub(" ", text)).strip()


def _raw_header(mail: Part, name: str) -> str:
    """The first header of a name, as it stands, one line."""
    found = mail.get(name)
    return "" if found is None else _BLANK.sub(" ", str(found)[:MOST_HEADER])


def _header(mail: Part, name: str) -> str:
    return _line(_decoded(_raw_header(mail, name)))[:2_000]


def _decoded(text: str) -> str:
    """A header's text, encoded words decoded."""
    if "=?" not in text:
        return text.encode("ascii", "surrogateescape").decode("utf-8", "replace") if not text.isascii() and "\udc80" <= max(text) <= "\udcff" else text
    try:
        parts = decode_header(text)
    except (MessageError, ValueError):
        return text
    found = []
    for part, charset in parts:
        if isinstance(part, bytes):
            known = (charset or "utf-8").lower()
            found.append(part.decode(known if _CHARSETS.fullmatch(known) else "utf-8", "replace"))
        else:
            found.append(part)
    return "".join(found)


def _addresses(mail: Part, name: str) -> list[tuple[str, str]]:
    """Names and addresses (lower case) of a header; what is no address is left out."""
    if name == "from" and len(mail.get_all("from", [])) > 1:
        return [("", ""), ("", "")]  # which of them is true?
    try:
        found = getaddresses([_raw_header(mail, name)])[:MOST_IDS]
    except RecursionError:  # comments within comments
        return []
    return [(_line(_decoded(who))[:200], address.lower()[:320]) for who, address in found if "@" in address and not _BLANK.search(address)]


def _ids(mail: Part, name: str) -> list[str]:
    return [_line(one) for one in _ID.findall(_raw_header(mail, name))][:MOST_IDS]


def _date(mail: Part) -> str:
    try:
        found = parsedate_to_datetime(_raw_header(mail, "date")[:100])
        return iso(from_datetime(found)) if found.tzinfo else ""
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def _is_automatic(mail: Part) -> bool:
    said = _raw_header(mail, "auto-submitted").strip().lower().partition(";")[0].strip()
    return said not in ("", "no") or "x-autoreply" in mail or _raw_header(mail, "precedence").strip().lower() in ("auto_reply", "auto-reply")


def _is_daemon(senders: list[tuple[str, str]]) -> bool:
    return any(address.partition("@")[0] in ("mailer-daemon", "postmaster") for _, address in senders)
