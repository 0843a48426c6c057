"""A message to somebody outside the program, and what became of it as the fold of its facts.

A message is known by what it says to whom: the kind and id of the object it is about, the step of that object, and the
recipient. Saying the same again is therefore the same message, however often the program was stopped in between.

Facts of the stream `message/<id>`: `MessageDue` (the message), then per attempt `MessageAttempted` and one of `MessageSent`,
`MessageFailed` (nothing was taken over), `MessageUnknown` (the other side may have it); `MessageHeld` (it may not go as things
are), `MessageGivenUp`, `MessageCancelled`, `MessageRetried`.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from soc.clock import from_iso
from soc.errors import Phrase, UsageError
from soc.model.fact import Fact
from soc.model.ids import digest_id
from soc.model.projection import Document, Projection, version_of
from soc.model.record import SCOPE_REAL

PREFIX = "message/"
MAIL, WEBHOOK = "mail", "webhook"
MOST_SUBJECT = 500
MOST_BODY = 50_000
"""Characters; what is longer goes as an attachment."""
MOST_INLINE = 98_304
"""Bytes of all attachments that are kept in the fact itself; larger ones are named by their hash in the evidence store."""
MOST_ATTACHMENTS = 50
SKEW_US = 60_000_000
"""So far apart the clocks of processes that share a journal may be: what lies further ahead was recorded before a clock was set back."""

# Reference: an addr-spec without quoting (RFC 5321 4.1.2), ASCII only: other servers take no other
_MAIL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}){0,10}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}")
# Reference: `webhook`, `webhook:sms`
_CHANNEL = re.compile(r"mail|webhook(?::[a-z0-9][a-z0-9_.-]{0,62})?")
# Reference: RFC 6838 section 4.2
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_STEERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")

LOST, TWICE = "lost", "twice"
"""How lists call a message of which nobody will ever know whether it arrived, and the word for those that are perhaps there twice."""
State = Literal["due", "held", "trying", "failed", "unknown", "sent", "given-up", "cancelled"]
OPEN = ("due", "held", "trying", "failed", "unknown")
"""States in which something is still to be done; an `unknown` one that was tried twice is settled all the same."""


class Attachment(msgspec.Struct, frozen=True):
    """A file that goes along: its bytes, or the hash under which the evidence store has it."""

    name: str
    type: str = "application/octet-stream"
    data: bytes = b""
    sha256: str = ""


class Message(msgspec.Struct, frozen=True):
    """What is to be said to whom. Make it with `message`, which checks it and computes the id.

    `kind`: what asks for it (`obligation`, `notice`, `policy`, `on-call`, …); `about`: the id of that object; `step`: which of
    its messages; `channel`: `mail`, or `webhook` (the first one of the settings), `webhook:<name>`; `cause`: the stream or id
    that shows why.
    """

    id: str
    kind: str
    about: str
    step: str
    channel: str
    recipient: str
    subject: str
    body: str
    attachments: tuple[Attachment, ...] = ()
    scope: str = SCOPE_REAL
    cause: str = ""


def message_id(kind: str, about: str, step: str, recipient: str) -> str:
    """The id of the message that tells `recipient` this step of this object."""
    return "m-" + digest_id("message", kind, about, step, recipient.strip().lower())


def message(
    kind: str,
    about: str,
    step: str,
    recipient: str,
    subject: str,
    body: str,
    *,
    channel: str = MAIL,
    attachments: Sequence[Attachment] = (),
    scope: str = SCOPE_REAL,
    cause: str = "",
) -> Message:
    """The message, checked; line breaks and control characters of the subject become blanks, those of the body that steer are left out.

    Raises: UsageError naming the field.
    """
    recipient = recipient.strip()
    for name, value in (("kind", kind), ("about", about), ("step", step), ("recipient", recipient)):
        if not value or len(value) > 200 or _BREAKS.search(value):  # noqa: PLR2004 - as a stream's name
            raise UsageError(Phrase("a message needs {field}: up to 200 printable characters", field=name))
    if not _CHANNEL.fullmatch(channel):
        raise UsageError(Phrase("{field}: {value} is none of {known}", field="channel", value=repr(channel[:80]), known="mail, webhook, webhook:<name>"))
    if channel == MAIL and not is_mail(recipient):
        raise UsageError(Phrase("{value} is no mail address that a server takes", value=repr(recipient[:120])), hint="name@example.vn, without accents")
    subject = one_line(subject)[:MOST_SUBJECT]
    if not subject:
        raise UsageError(Phrase("a message needs {field}: up to 200 printable characters", field="subject"))
    body = _STEERS.sub("", body.replace("\r\n", "\n").replace("\r", "\n"))
    if len(body) > MOST_BODY:
        raise UsageError(
            Phrase("the text has {count} characters, more than {most}", count=len(body), most=MOST_BODY), hint="send what is longer as an attachment"
        )
    return Message(
        message_id(kind, about, step, recipient), kind, about, step, channel, recipient, subject, body, _checked(attachments), scope or SCOPE_REAL, cause
    )


def is_mail(text: str) -> bool:
    """Whether a text is a mail address that every server takes."""
    return len(text) <= 254 and _MAIL.fullmatch(text) is not None  # noqa: PLR2004 - RFC 5321 4.5.3.1.3


def one_line(text: str) -> str:
    """A text that can stand in a header: no line breaks, no control characters."""
    return _STEERS.sub("", _BREAKS.sub(" ", text)).strip()


def file_name(name: str) -> str:
    """The last part of a file's name, without what other systems take for a path or a command."""
    plain = one_line(name).replace("\\", "/").rpartition("/")[2].strip(". ")
    return "".join("_" if character in '<>:"|?*' else character for character in plain)[:120] or "file"


def _checked(attachments: Sequence[Attachment]) -> tuple[Attachment, ...]:
    found = []
    inline = 0
    if len(attachments) > MOST_ATTACHMENTS:
        raise UsageError(Phrase("{count} attachments are too many (most: {most})", count=len(attachments), most=MOST_ATTACHMENTS))
    for one in attachments:
        inline += len(one.data)
        if one.sha256 and not _SHA256.fullmatch(one.sha256):
            raise UsageError(Phrase("{value} is no SHA-256", value=repr(one.sha256[:80])))
        if bool(one.data) == bool(one.sha256):
            raise UsageError(Phrase("attachment {name}: give either its bytes or its hash", name=file_name(one.name)))
        found.append(Attachment(file_name(one.name), one.type if _TYPE.fullmatch(one.type) else "application/octet-stream", one.data, one.sha256))
    if inline > MOST_INLINE:
        raise UsageError(
            Phrase("the attachments have {size} bytes, more than {most}", size=inline, most=MOST_INLINE),
            hint="put them into the evidence store and name their hash",
        )
    return tuple(found)


def spoken(why: str) -> dict[str, Any]:
    """A reason as the data of a fact, so that it can be said in the reader's language later."""
    if isinstance(why, Phrase) and all(isinstance(fact, str | int) for fact in why.facts.values()):
        return {"text": str(why), "say": why.template, "facts": {name: str(fact) for name, fact in why.facts.items()}}
    return {"text": str(why)}


def _why(fact: Fact) -> str:
    """The reason of a fact."""
    text, say, facts = str(fact.data.get("text", "")), str(fact.data.get("say", "")), fact.data.get("facts", {})
    if not say:
        return text
    try:
        phrase = Phrase(say, **facts)
    except (KeyError, IndexError, AttributeError, ValueError, TypeError):
        return text
    return phrase if phrase == text else text


def content(message: Message) -> dict[str, Any]:
    """The data of the fact `MessageDue`."""
    data: dict[str, Any] = {name: getattr(message, name) for name in ("kind", "about", "step", "channel", "recipient", "subject", "body", "cause")}
    data["attachments"] = [
        {"name": one.name, "type": one.type, **({"sha256": one.sha256} if one.sha256 else {"data": b64encode(one.data).decode("ascii")})}
        for one in message.attachments
    ]
    return data


class Attempt(msgspec.Struct):
    """One try. `until`: when it counts as abandoned, should nothing be heard of it; `result` "" = nothing was heard yet."""

    number: int
    at: str
    until: str
    to: str
    result: str = ""
    text: str = ""


class Sending(msgspec.Struct):
    """A message and what became of it so far. Times: RFC 3339 UTC; `again_at` "" = it is not tried by itself any more (or at once)."""

    message: Message
    state: State = "due"
    due_at: str = ""
    by: str = ""
    again_at: str = ""
    sent_at: str = ""
    reason: str = ""
    attempts: list[Attempt] = []
    failures: int = 0
    """Since it was made, or retried by hand."""
    cuts: int = 0
    """Connections that were cut when the other side may have had the whole message."""
    version: int = 0

    @property
    def possibly_twice(self) -> bool:
        """Whether the recipient may have it twice: an earlier attempt ended nobody knows how, and it was tried again."""
        return any(one.result in ("", "unknown") for one in self.attempts[:-1])

    @property
    def settled(self) -> bool:
        """Whether nothing is to be done any more unless somebody says so."""
        return self.state not in OPEN or (self.state == "unknown" and not self.again_at)

    def ready(self, now_us: int) -> bool:
        """Whether it is to be tried now; also when the last attempt lies ahead, because the clock was set back meanwhile."""
        if self.settled:
            return False
        if self.attempts and from_iso(self.attempts[-1].at) > now_us + SKEW_US:
            return True
        wait = self.attempts[-1].until if self.state == "trying" else self.again_at
        return not wait or from_iso(wait) <= now_us


def fold(identity: str, facts: Iterable[Fact]) -> Sending | None:
    """The message of these facts; None when they do not begin with one. Facts of kinds that this version does not know only count."""
    found: Sending | None = None
    for fact in facts:
        if fact.kind == "MessageDue":
            found = Sending(_read(identity, fact), due_at=fact.at, by=fact.actor)
        elif found is not None and fact.kind in _APPLY:
            _APPLY[fact.kind](found, fact)
        if found is not None:
            found.version = fact.sequence
    return found


def _read(identity: str, fact: Fact) -> Message:
    values = fact.data
    attachments = tuple(
        Attachment(str(one.get("name", "")), str(one.get("type", "")), _bytes(str(one.get("data", ""))), str(one.get("sha256", "")))
        for one in values.get("attachments", ())
    )
    texts = {name: str(values.get(name, "")) for name in ("kind", "about", "step", "channel", "recipient", "subject", "body", "cause")}
    return msgspec.convert({"id": identity, **texts, "attachments": attachments, "scope": fact.scope}, Message)


def _bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _attempted(sending: Sending, fact: Fact) -> None:
    sending.attempts.append(Attempt(int(fact.data.get("number", 0)), fact.at, str(fact.data.get("until", "")), str(fact.data.get("to", ""))))
    if sending.state != "sent":
        sending.state, sending.again_at = "trying", ""


def _ended(sending: Sending, fact: Fact, result: str) -> None:
    """What was heard of an attempt; also late, when another one runs or the message was cancelled."""
    for attempt in sending.attempts:
        if attempt.number == fact.data.get("number"):
            attempt.result, attempt.text = result, str(fact.data.get("text", ""))


def _sent(sending: Sending, fact: Fact) -> None:
    _ended(sending, fact, "sent")
    sending.state, sending.sent_at, sending.again_at, sending.reason = "sent", sending.sent_at or fact.at, "", str(fact.data.get("text", ""))


def _failed(sending: Sending, fact: Fact) -> None:
    _ended(sending, fact, "failed")
    sending.failures += 1
    _waits(sending, fact, "failed")


def _unknown(sending: Sending, fact: Fact) -> None:
    _ended(sending, fact, "unknown")
    sending.cuts += 1
    _waits(sending, fact, "unknown")


def _waits(sending: Sending, fact: Fact, state: State) -> None:
    last = sending.attempts[-1].number if sending.attempts else 0
    if sending.state in ("trying", "unknown", "failed") and fact.data.get("number") == last:
        sending.state, sending.again_at, sending.reason = state, str(fact.data.get("again_at", "")), str(fact.data.get("text", ""))


def _held(sending: Sending, fact: Fact) -> None:
    if sending.state in OPEN:
        sending.state, sending.reason, sending.again_at = "held", _why(fact), ""


def _given_up(sending: Sending, fact: Fact) -> None:
    if sending.state in OPEN:
        sending.state, sending.again_at, sending.reason = "given-up", "", _why(fact)


def _cancelled(sending: Sending, fact: Fact) -> None:
    if sending.state != "sent":
        sending.state, sending.again_at, sending.reason = "cancelled", "", fact.reason


def _retried(sending: Sending, _fact: Fact) -> None:
    if sending.state != "sent":
        sending.state, sending.again_at, sending.failures, sending.cuts = "due", "", 0, 0


_APPLY = {
    "MessageAttempted": _attempted,
    "MessageSent": _sent,
    "MessageFailed": _failed,
    "MessageUnknown": _unknown,
    "MessageHeld": _held,
    "MessageGivenUp": _given_up,
    "MessageCancelled": _cancelled,
    "MessageRetried": _retried,
}


def document(stream: str, facts: Sequence[Fact]) -> Document:
    """A message as lists keep it: its state, when it was recorded, whether it is perhaps there twice."""
    found = fold(stream.removeprefix(PREFIX), facts)
    if found is None:
        return Document(stream, facts[-1].sequence, facts[-1].scope, "cancelled")
    state = LOST if found.state == "unknown" and found.settled else found.state
    return Document(stream, found.version, found.message.scope, state, from_iso(found.due_at), words=(TWICE,) if found.possibly_twice else ())


@lru_cache(maxsize=1)
def messages() -> Projection:
    """The projection of messages."""
    return Projection("messages", PREFIX, version_of(Path(__file__)), document)
