"""Answers to notices by mail: taken from files and from a mailbox, matched by code, checked against the registry, never lost.

What is not clear is listed until a person says what it means. The same mail (its Message-ID) is taken once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any

import msgspec

from soc.application.access import require
from soc.application.app import App
from soc.application.notices import KIND, about, answer, every
from soc.errors import Conflict, NotFound, Phrase, UsageError
from soc.incidents.notices import OUT, RECEIVED, WAITING, WITHDRAWN, Notice
from soc.incidents.replies import MOST_TEXT, PREFIX, RECORDED, SAID, UNCLEAR, Known, Reply, codes_in, fold, identity, messages_in, said
from soc.model.fact import ANY_VERSION, NewFact
from soc.model.ids import digest_id
from soc.model.journal import FactConflict
from soc.model.mail import Mail, read
from soc.model.message import message_id
from soc.organization.model import Agency, Mailbox, Person
from soc.organization.registry import Registry
from soc.telemetry import get_logger

log = get_logger(__name__)

_CURSOR = "mailbox/"
_EVERY = 50
"""Mails between two notes of how far a mailbox was read."""
_FILES = 50


class Taken(msgspec.Struct):
    """What one import did. `known`: taken before."""

    recorded: int = 0
    unclear: int = 0
    known: int = 0
    replies: list[Reply] = []


class _Book:
    """Every code and message of ours, and whose addresses belong to which agency; made once an import."""

    def __init__(self, app: App) -> None:
        self.codes: dict[str, Known] = {}
        self.messages: dict[str, Known] = {}
        self.notices: dict[str, Notice] = {}
        for notice in every(app):
            self.notices[notice.id] = notice
            for one in notice.recipients:
                known = self.codes[one.code] = Known(notice.id, one.agency, one.code, notice.scope)
                for sending in one.sent:
                    for to in filter(None, sending.get("to", "").split(", ")):
                        self.messages[message_id(KIND, about(notice, one.agency), sending["message"], to)] = known
        registry = Registry(app.journal, ("agencies", "people", "mailboxes"))
        self._addresses: dict[str, set[str]] = {}
        for address, agency in (
            *((one.email, one.id) for one in registry.all(Agency)),
            *((one.email, one.agency) for one in registry.all(Person)),
            *((one.address, one.agency) for one in registry.all(Mailbox)),
        ):
            if address:
                self._addresses.setdefault(address.lower(), set()).add(agency)
        self._domains = {domain.lower(): agency.id for agency in registry.all(Agency) for domain in agency.domains}

    def agencies_of(self, sender: str) -> set[str]:
        """The agencies that an address belongs to: by itself, or by a domain that is one agency's own."""
        found = self._addresses.get(sender)
        if found:
            return found
        domain = self._domains.get(sender.rpartition("@")[2])
        return {domain} if domain else set()

    def sent_to(self, known: Known, sender: str) -> bool:
        """Whether the notice went to this very address."""
        one = self.notices[known.notice].recipient(known.agency)
        return one is not None and any(sender in sending.get("to", "").lower().split(", ") for sending in one.sent)


def take_in(app: App, mails: Iterable[tuple[str, bytes]]) -> Taken:
    """Take mails in: where each is from (a file's name), and its bytes.

    Raises: NotAllowed, StoreUnavailable, StoreFull; a mail that cannot be read is an unclear reply.
    """
    require(app, "notices.replies")
    book: _Book | None = None
    done = Taken()
    for source, raw in mails:
        book = book or _Book(app)
        _take(app, book, done, source, raw)
    return done


def _take(app: App, book: _Book, done: Taken, source: str, raw: bytes) -> None:
    digest = sha256(raw).hexdigest()
    try:
        mail = read(raw)
    except UsageError as error:
        _keep(app, done, Reply(identity("", digest), why=error.message, source=source, sha256=digest, size=len(raw)))
        return
    reply = Reply(
        identity(mail.message_id, digest), UNCLEAR, message_id=mail.message_id[:500], sender=mail.sender, sender_name=mail.sender_name, subject=mail.subject[:500],
        date=mail.date, text=mail.text[:MOST_TEXT], source=source, sha256=digest, size=len(raw),
        files=[{"name": one.name, "type": one.type, "sha256": one.sha256, "size": str(len(one.data))} for one in mail.files[:_FILES]],
    )  # fmt: skip
    if app.journal.read(PREFIX + reply.id):
        done.known += 1
        return
    known, why = _meant(book, mail)
    if known is not None:
        reply.notice, reply.agency, reply.code, reply.scope = known.notice, known.agency, known.code, known.scope
        why = why or _against(book, mail, known)
    if known is not None and not why:
        reply.state = said(mail, known.code)
        try:
            _record(app, reply)
            reply.outcome = RECORDED
        except (Conflict, NotFound) as error:
            why = error.message
    reply.why = why
    if known is not None or book.agencies_of(mail.sender):  # what strangers write about other things is not worth the room
        app.wiring.evidence().put(raw)
        reply.kept = True
    _keep(app, done, reply)


def _record(app: App, reply: Reply) -> None:
    """Record the answer with the notice, under the reply's id: the same again changes nothing."""
    text = " ".join(reply.text.split())[:500]
    answer(app, reply.notice, reply.agency, reply.state, text=text, channel="mail", reply=reply.id, sender=reply.sender)
    app.crash("replies.answered")


def _meant(book: _Book, mail: Mail) -> tuple[Known | None, str]:
    """The recipient that a mail speaks for, or why that is not clear: the code in the subject, our mail that it answers, the code in the text."""
    if mail.bounce:
        found = [book.messages[one] for one in messages_in(mail.answers) if one in book.messages]
        return (found[0] if found else None), Phrase("a server says that a mail could not be delivered")
    for places in ([book.codes[one] for one in codes_in(mail.subject, book.codes)],
                   [book.messages[one] for one in messages_in(mail.answers) if one in book.messages],
                   [book.codes[one] for one in codes_in(mail.text, book.codes)]):  # fmt: skip
        found = list(dict.fromkeys(places))
        if len(found) > 1:
            return None, Phrase("it names several recipients: {codes}", codes=", ".join(one.code for one in found[:5]))
        if found:
            return found[0], ""
    return None, Phrase("no code of a notice was found in it")


def _against(book: _Book, mail: Mail, known: Known) -> str:
    """What stands against taking a mail for the answer of this recipient ("" = nothing)."""
    if mail.automatic:
        return Phrase("it was written by a program (an automatic answer)")
    if not mail.sender:
        return Phrase("it has no sender, or several")
    if not book.sent_to(known, mail.sender):
        of = book.agencies_of(mail.sender)
        if not of:
            return Phrase("the registry does not know the sender {sender}", sender=mail.sender)
        if known.agency not in of:
            return Phrase("the code is of {agency}, the sender {sender} of {other}", agency=known.agency, sender=mail.sender, other=", ".join(sorted(of)))
    notice = book.notices[known.notice]
    one = notice.recipient(known.agency)
    if notice.state != OUT or one is None or one.state == WAITING:
        return (
            Phrase("{id} was withdrawn", id=notice.id)
            if notice.state == WITHDRAWN
            else Phrase("{id} was not sent to {agency}", id=notice.id, agency=known.agency)
        )
    return ""


def _keep(app: App, done: Taken, reply: Reply) -> None:
    data: dict[str, Any] = {name: getattr(reply, name) for name in ("outcome", "notice", "agency", "code", "state", "why", "message_id", "sender", "sender_name", "subject", "date",
            "text", "source", "sha256", "size", "kept", "files")}  # fmt: skip
    if isinstance(reply.why, Phrase):
        data |= {"why": str(reply.why), "why_of": {"template": reply.why.template, "facts": {key: str(value) for key, value in reply.why.facts.items()}}}
    try:
        app.journal.append(PREFIX + reply.id, 0, [NewFact("ReplyTaken", data)], actor=app.actor.name, scope=reply.scope)
    except FactConflict:
        done.known += 1
        return
    done.replies.append(reply)
    if reply.outcome == RECORDED:
        done.recorded += 1
    else:
        done.unclear += 1


# --- unclear ones ----------------------------------------------------------------------------------------------------


def listed(app: App, *, unclear_only: bool = False) -> list[Reply]:
    """All replies, the newest first."""
    require(app, "notices.replies")
    return sorted((one for one in every_reply(app) if not unclear_only or one.outcome == UNCLEAR), key=lambda one: (one.at, one.id), reverse=True)


def every_reply(app: App) -> list[Reply]:
    """All replies, for what the program itself does."""
    return [fold(stream.removeprefix(PREFIX), [one.fact for one in facts]) for stream, facts in app.journal.under(PREFIX)]


def get(app: App, name: str) -> Reply:
    """The reply of an id, or of the beginning of one.

    Raises: NotFound, Conflict.
    """
    require(app, "notices.replies")
    stem = PREFIX + (name if name.startswith("r-") else f"r-{name}")
    found = [head.stream for head in app.journal.heads(stem)]
    if not found:
        raise NotFound(Phrase("there is no reply {name}", name=name), hint="soc notices replies list")
    if len(found) > 1:
        raise Conflict(Phrase("several replies begin with {name}", name=name), hint="give more of the id")
    return fold(found[0].removeprefix(PREFIX), [one.fact for one in app.journal.read(found[0])])


def raw(app: App, reply: Reply) -> Iterator[bytes]:
    """The mail itself, in pieces.

    Raises: NotFound when it was not kept.
    """
    if not reply.kept:
        raise NotFound(
            Phrase("the mail of {id} was not kept: it names no notice, and its sender is a stranger", id=reply.id),
            hint="it is in the mailbox, or in the file that was imported",
        )
    yield from app.wiring.evidence().read(reply.sha256)


def settle(app: App, name: str, code: str, *, state: str = RECEIVED, reason: str = "") -> Reply:
    """Say what an unclear reply means: the answer of the recipient with this code.

    Raises: Conflict when it is settled, NotFound (no such code).
    """
    reply = _unclear(app, name)
    for notice in every(app):
        for one in notice.recipients:
            if one.code == code.strip().upper():
                reply.notice, reply.agency, reply.code, reply.state = notice.id, one.agency, one.code, state
                _record(app, reply)
                data = {"notice": notice.id, "agency": one.agency, "code": one.code, "state": state}
                app.journal.append(PREFIX + reply.id, reply.version, [NewFact("ReplySettled", data, reason)], actor=app.actor.name, scope=reply.scope)
                return get(app, reply.id)
    raise NotFound(Phrase("no notice has the code {code}", code=code), hint="soc notices show ID shows the codes")


def discard(app: App, name: str, *, reason: str) -> Reply:
    """Say that an unclear reply means nothing; it stays on the record.

    Raises: UsageError without a reason, Conflict when it is settled.
    """
    if not reason.strip():
        raise UsageError("why is it discarded?", hint="--reason TEXT")
    reply = _unclear(app, name)
    app.journal.append(PREFIX + reply.id, reply.version, [NewFact("ReplyDiscarded", {}, reason)], actor=app.actor.name, scope=reply.scope)
    return get(app, reply.id)


def _unclear(app: App, name: str) -> Reply:
    require(app, "notices.replies")
    reply = get(app, name)
    if reply.outcome != UNCLEAR:
        raise Conflict(Phrase("{id} is {state}", id=reply.id, state=SAID.get(reply.outcome, reply.outcome)), hint="soc notices replies list --unclear")
    return reply


# --- a mailbox -------------------------------------------------------------------------------------------------------


def fetch(app: App, *, stop: Callable[[], bool] = lambda: False) -> Taken:
    """Take in what came to the mailbox of the settings since the last time; nothing there is changed.

    Raises: ConfigError (no mailbox is configured), Unreachable, NotAllowed (the password).
    """
    require(app, "notices.replies")
    reader = app.wiring.mailbox()
    book: _Book | None = None
    done = Taken()
    try:
        stream = _CURSOR + digest_id("mailbox", reader.name)
        validity, last = reader.validity(), 0
        for one in app.journal.read(stream):
            if one.fact.data.get("uidvalidity") == validity:
                last = max(last, int(one.fact.data.get("uid", 0)))
        begun = last
        for count, mail in enumerate(reader.since(last), 1):
            book = book or _Book(app)
            source = f"{reader.name} {validity}/{mail.uid}"
            if mail.raw is None:
                why = Phrase("the mail has {size} bytes, which is too large to be fetched", size=mail.size)
                _keep(app, done, Reply("r-" + digest_id("reply", "uid", reader.name, str(validity), str(mail.uid)), why=why, source=source, size=mail.size))
            else:
                _take(app, book, done, source, mail.raw)
            last = mail.uid
            app.crash("replies.taken")
            if count % _EVERY == 0:
                begun = _note(app, stream, reader.name, validity, last)
            if stop():
                break
        if last != begun:
            _note(app, stream, reader.name, validity, last)
    finally:
        reader.close()
    return done


def _note(app: App, stream: str, name: str, validity: int, uid: int) -> int:
    fact = NewFact("MailboxRead", {"mailbox": name, "uidvalidity": validity, "uid": uid})
    app.journal.append(stream, ANY_VERSION, [fact], actor=app.actor.name)
    return uid
