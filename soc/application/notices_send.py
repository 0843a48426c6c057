"""How notices go out: by the outbox (mail, webhook), or recorded by who sent them (document, telephone, paper).

A sending is a fact first, with every address that it goes to; the messages follow from it and are put into the outbox afterwards, under
ids that depend on notice, step and recipient only. A program that was killed in between puts them there the next time (`flush`): none
is lost, none is there twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from soc.application import outbox
from soc.application.access import require
from soc.application.app import App
from soc.application.notices import KIND, ROWS_PER_FACT, about, bounded, every, get, in_state, message_ids, names_of, recipient_of, record, signature, whole
from soc.application.numbered import local_day, not_later
from soc.clock import iso
from soc.errors import Conflict, NotFound, Phrase, UsageError
from soc.incidents.classes import NOTICE_CHANNELS
from soc.incidents.letter import annex, mail_subject, mail_text, short
from soc.incidents.notices import APPROVED, BY_PROGRAM, FIRST, OUT, PREFIX, RECEIVED, REMINDER, SECOND, SENT, Notice, Order, Recipient
from soc.model.fact import ANY_VERSION, Behalf, NewFact
from soc.model.message import MAIL, MOST_BODY, Attachment, Message, Sending, is_mail, message
from soc.model.message import PREFIX as MESSAGES
from soc.model.message import fold as fold_message
from soc.organization.model import Agency, Person
from soc.organization.registry import Registry

EACH = "each"
"""As channel: what the contact person of each agency prefers."""
_KINDS = {FIRST: "NoticeSent", REMINDER: "NoticeReminded", SECOND: "NoticeSecondLetter"}
_ROOM = 2_000
"""Characters that a mail's text needs beside letter and annex."""


class Way(msgspec.Struct, frozen=True):
    """How one recipient is reached. `why`: what stands against it ("" = nothing)."""

    agency: str
    name: str
    channel: str
    to: tuple[str, ...] = ()
    why: str = ""


class Delivery(msgspec.Struct, frozen=True):
    """What became of one message to a recipient. `state`: of the outbox, or "ordered" when it does not have it yet."""

    agency: str
    step: str
    to: str
    state: str
    sent_at: str = ""
    reason: str = ""
    possibly_twice: bool = False


def plan(app: App, name: str, kind: str, *, channel: str, to: Sequence[str] = ()) -> list[Way]:
    """Whom a sending would go to, and how; nothing is recorded. `kind`: sent, reminder, second-letter.

    Raises: Conflict (not signed yet, nobody left), UsageError, NotFound.
    """
    return _planned(app, get(app, name), kind, channel, to)


def _planned(app: App, notice: Notice, kind: str, channel: str, to: Sequence[str]) -> list[Way]:
    require(app, "notices.send")
    in_state(notice, *((APPROVED, OUT) if kind == FIRST else (OUT,)))
    if channel not in (*NOTICE_CHANNELS, EACH):
        raise UsageError(Phrase("{field}: {value} is none of {known}", field="channel", value=channel, known=", ".join((*NOTICE_CHANNELS, EACH))))
    named = [recipient_of(notice, agency) for agency in dict.fromkeys(to)]
    contacts = _Contacts(app)
    ways = [contacts.way(one, channel) for one in named or notice.recipients]
    by_id = {one.agency: one for one in notice.recipients}
    found = [way for way in ways if _fits(by_id[way.agency], kind, way.channel)]
    if named and len(found) < len(named):
        left = sorted({one.agency for one in named} - {way.agency for way in found})
        raise Conflict(_why_not(kind, left[0], channel), hint=Phrase("soc notices show {id}", id=notice.id))
    if not found:
        raise Conflict("there is nobody left to send it to", hint=Phrase("soc notices show {id}", id=notice.id))
    return found


def _fits(one: Recipient, kind: str, channel: str) -> bool:
    """Whether a recipient gets such a sending: the notice itself once by each channel, the others while it has not acted."""
    return not one.went_by(channel) if kind == FIRST else one.state in (SENT, RECEIVED)


def _why_not(kind: str, agency: str, channel: str) -> Phrase:
    if kind == FIRST:
        return Phrase("{agency} has it by {channel} already; again: soc notices remind", agency=agency, channel=channel)
    return Phrase("{agency} was not sent it, or has acted", agency=agency)


class _Contacts:
    """Addresses of agencies by the registry: the contact persons, else the agency's own."""

    def __init__(self, app: App) -> None:
        registry, today = Registry(app.journal, ("agencies", "people")), local_day(app)
        self._agencies = {one.id: one for one in registry.all(Agency, today)}
        self._people: dict[str, list[Person]] = {}
        for person in registry.all(Person, today):
            if person.role == "contact":
                self._people.setdefault(person.agency, []).append(person)

    def way(self, one: Recipient, channel: str) -> Way:
        """How a recipient is reached by a channel."""
        people, agency = self._people.get(one.agency, []), self._agencies.get(one.agency)
        name = agency.name if agency is not None else one.agency
        if channel == EACH:
            channel = people[0].channel if people else "mail" if agency is not None and agency.email else "document"
        if channel not in BY_PROGRAM:
            return Way(one.agency, name, channel)
        own = [person.email if channel == MAIL else person.phone for person in people]
        found = [text for text in own if text] or [text for text in ((agency.email if channel == MAIL else agency.phone) if agency else "",) if text]
        good = tuple(dict.fromkeys(text for text in found if channel != MAIL or is_mail(text)))
        if good:
            return Way(one.agency, name, channel, good)
        missing = Phrase("the registry has no mail address for it") if channel == MAIL else Phrase("the registry has no telephone number for it")
        return Way(one.agency, name, channel, why=Phrase("{value} is no mail address that a server takes", value=found[0]) if found else missing)


def send(
    app: App,
    name: str,
    *,
    channel: str,
    to: Sequence[str] = (),
    at: str = "",
    reference: str = "",
    behalf: Behalf | None = None,
) -> Notice:
    """Send a notice to recipients that did not get it by this channel yet (or to those named), or record that it was sent.

    Those who cannot be reached by it stay as they are. Raises: Conflict (not signed yet, nobody left, nobody can be reached), UsageError, NotFound.
    """
    return _sending(app, name, FIRST, channel, to, {"at": not_later(app, "at", at), **bounded({"reference": reference})}, behalf)


def remind(
    app: App,
    name: str,
    *,
    channel: str,
    to: Sequence[str] = (),
    at: str = "",
    reference: str = "",
    behalf: Behalf | None = None,
) -> Notice:
    """Remind those who have not acted (or those of them that are named).

    Raises: as `send`.
    """
    return _sending(app, name, REMINDER, channel, to, {"at": not_later(app, "at", at), **bounded({"reference": reference})}, behalf)


def second_letter(
    app: App,
    name: str,
    *,
    signer: str,
    number: str,
    signed_on: str,
    signed_file: Path | None = None,
    channel: str,
    to: Sequence[str] = (),
    behalf: Behalf | None = None,
) -> Notice:
    """Record a second, signed letter to those who have not acted, and send it.

    Raises: NotAllowed (the author cannot sign), and as `send`.
    """
    require(app, "notices.approve")
    data = signature(app, get(app, name), signer, number, signed_on, signed_file)
    return _sending(app, name, SECOND, channel, to, data, behalf)


def _sending(app: App, name: str, kind: str, channel: str, to: Sequence[str], data: Mapping[str, Any], behalf: Behalf | None) -> Notice:
    notice = get(app, name)
    ways = _planned(app, notice, kind, channel, to)
    reached = [way for way in ways if not way.why and (channel != EACH or way.channel in BY_PROGRAM)]
    if not reached:
        why = next((way.why for way in ways if way.why), Phrase("their contact persons want it by telephone, paper or document"))
        raise Conflict(Phrase("nobody can be reached: {why}", why=why), hint="soc people import FILE, or another --channel")
    facts = []
    for used in dict.fromkeys(way.channel for way in reached):
        mine = [way for way in reached if way.channel == used]
        for start in range(0, len(mine), ROWS_PER_FACT):
            part = mine[start : start + ROWS_PER_FACT]
            found = {**data, "channel": used, "recipients": [way.agency for way in part]}
            if used in BY_PROGRAM:
                found["to"] = {way.agency: list(way.to) for way in part}
            facts.append(NewFact(_KINDS[kind], found, behalf=behalf))
    app.crash("notices.planned")
    record(app, notice, *facts)
    app.crash("notices.recorded")
    flush(app, notice.id)
    return get(app, notice.id)


def flush(app: App, name: str = "") -> int:
    """Put the messages of recorded sendings into the outbox that are not there yet, of one notice or of all; how many were new."""
    new = 0
    names: dict[str, str] | None = None
    for notice in [whole(app, name)] if name else every(app):
        for order in list(notice.orders):
            names = names_of(app) if names is None else names
            new += outbox.send_each(app, _messages(app, notice, order, names))
            app.crash("notices.queued")
            app.journal.append(
                PREFIX + notice.id, ANY_VERSION, [NewFact("NoticeQueued", {"sending": order.sequence})], actor=app.actor.name, scope=notice.scope
            )
    return new


def flush_changed(app: App) -> int:
    """As `flush`, of the notices that changed since this application asked last; how many messages were new."""
    known: dict[str, int] = app.__dict__.setdefault("_flushed_notices", {})
    new = 0
    for head in list(app.journal.heads(PREFIX)):
        if known.get(head.stream) != head.sequence:
            new += flush(app, head.stream.removeprefix(PREFIX))
            known[head.stream] = head.sequence
    return new


def _messages(app: App, notice: Notice, order: Order, names: Mapping[str, str]) -> list[Message]:
    found = []
    for agency, addresses in order.to.items():
        one = recipient_of(notice, agency)
        number = int(order.steps[agency].rpartition("-")[2]) if order.kind != FIRST else 0
        for to in addresses:
            texts = _texts(app, notice, one, names.get(agency, agency), order, number)
            found.append(
                message(KIND, about(notice, agency), order.steps[agency], to, texts[0], texts[1], channel=order.channel, attachments=texts[2],
                    scope=notice.scope, cause=PREFIX + notice.id)
            )  # fmt: skip
    return found


def _texts(app: App, notice: Notice, one: Recipient, name: str, order: Order, number: int) -> tuple[str, str, tuple[Attachment, ...]]:
    zone = app.settings.timezone
    subject = mail_subject(notice, one, order.kind, number)
    if order.channel != MAIL:
        return subject, short(notice, one, zone), ()
    text = mail_text(notice, one, name, zone, order.kind, number)
    if len(text) + _ROOM <= MOST_BODY:
        return subject, text, ()
    attached = Attachment(f"phu-luc-{notice.id}.txt", "text/plain", annex(one).encode())
    return subject, mail_text(notice, one, name, zone, order.kind, number, annex=False), (attached,)


def _sendings(app: App, ids: Sequence[str]) -> dict[str, Sending]:
    """What the outbox knows of these messages, by id."""
    found: dict[str, Sending] = {}
    for at in range(0, len(ids), outbox.AT_ONCE):
        for stream, facts in app.journal.read_each([MESSAGES + one for one in ids[at : at + outbox.AT_ONCE]]).items():
            one = fold_message(stream.removeprefix(MESSAGES), [stored.fact for stored in facts])
            if one is not None:
                found[one.message.id] = one
    return found


def deliveries(app: App, notice: Notice) -> list[Delivery]:
    """What became of every message of a notice, in the order of its recipients."""
    wanted = [(one, sending, to) for one in notice.recipients for sending in one.sent for to in sending.get("to", "").split(", ") if to]
    found = []
    states = _sendings(app, [message_id for one in notice.recipients for sending in one.sent for message_id in message_ids(notice, one, sending)])
    for one, sending, to in wanted:
        [identity] = message_ids(notice, one, {**sending, "to": to})
        known = states.get(identity)
        if known is None:
            found.append(Delivery(one.agency, sending["message"], to, "ordered"))
        else:
            found.append(Delivery(one.agency, sending["message"], to, known.state, known.sent_at, known.reason, known.possibly_twice))
    return found


def remind_overdue(app: App, *, channel: str) -> list[tuple[str, list[Way]]]:
    """Whom a reminder of everything overdue would go to, by notice; nothing is recorded."""
    now = iso(app.clock.now_us())
    found = []
    for notice in every(app, late=True):
        late = [one.agency for one in notice.overdue(now)]
        if late and notice.scope == "real":
            try:
                found.append((notice.id, plan(app, notice.id, REMINDER, channel=channel, to=late)))
            except (Conflict, NotFound):
                continue
    return found
