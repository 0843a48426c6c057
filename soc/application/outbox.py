"""Messages to people outside: recorded as due first, then handed over, until each has arrived or somebody knows that it has not.

`send` records that a message is due; the same message again changes nothing. `deliver` hands over what is due: before and after
each attempt a fact, so that a program that was killed at any step knows afterwards what it does not know. Several processes may
deliver at once: who records the attempt makes it. Delivery: at least once under one and the same id; a message whose attempt
nobody has heard the end of is tried again, and shown as possibly there twice. What belongs to an exercise never reaches a real
recipient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from soc.application.access import require
from soc.application.app import App
from soc.application.numbered import local_time
from soc.clock import from_iso, iso
from soc.errors import Conflict, NotFound, Phrase, SocError, UsageError
from soc.i18n import said
from soc.model.fact import ANY_VERSION, NewFact
from soc.model.journal import Append, FactConflict
from soc.model.message import LOST, OPEN, PREFIX, TWICE, Attachment, Message, Sending, content, fold, message, messages, spoken
from soc.model.projection import ListQuery
from soc.model.record import SCOPE_REAL
from soc.ports import AttachedFile, Messenger, Outcome
from soc.telemetry import get_logger

log = get_logger(__name__)

AT_ONCE = 500
"""Streams that are read, or messages that are recorded, together."""
MOST_CUTS = 2
"""A connection that was cut when the other side may have had the message: once more, then never by itself."""
LEASE_S = 15.0
"""Beyond the longest time that an attempt takes: then it counts as abandoned."""
MOST_FILE = 25 << 20
"""Bytes of one attachment; most servers take no larger mail."""
UNDELIVERED = (*OPEN, LOST, "given-up")
"""States, as lists keep them, of messages that have not arrived, as far as anybody knows."""
URGENT = "on-call"
"""Messages of this kind go first."""
KIND = "outbox"
"""Messages about messages; nobody is told of these in turn."""


class Delivered(msgspec.Struct):
    """What one pass did. `waiting`: still to be tried, now or later."""

    sent: int = 0
    failed: int = 0
    unknown: int = 0
    held: int = 0
    given_up: int = 0
    waiting: int = 0


def send(app: App, message: Message) -> bool:
    """Record that a message is due; False when it was recorded before: then nothing changes.

    Raises: NotAllowed, StoreUnavailable, StoreFull.
    """
    return send_each(app, [message]) == 1


def send_each(app: App, messages: Iterable[Message]) -> int:
    """Record many messages as due; how many of them were new."""
    new = 0
    by_scope: dict[str, dict[str, Message]] = {}
    for one in messages:
        by_scope.setdefault(one.scope, {})[one.id] = one
    for scope, found in by_scope.items():
        every = list(found.values())
        for at in range(0, len(every), AT_ONCE):
            appends = [Append(PREFIX + one.id, 0, (NewFact("MessageDue", content(one)),)) for one in every[at : at + AT_ONCE]]
            app.crash("outbox.due")
            new += sum(isinstance(outcome, list) for outcome in app.journal.append_each(appends, actor=app.actor.name, scope=scope))
            app.crash("outbox.recorded")
    return new


def sendings(app: App, states: Sequence[str] | None = None, *, word: str = "", scope: str | None = None) -> Iterator[Sending]:
    """Messages and what became of them, the oldest first. `states`: as the list keeps them (None = all); what is told is read from the facts themselves."""
    _, found = app.lists.page(messages(), ListQuery(tuple(states) if states is not None else None, scope, word=word))
    for at in range(0, len(found), AT_ONCE):
        for stream, facts in app.journal.read_each([one.stream for one in found[at : at + AT_ONCE]]).items():
            sending = fold(stream.removeprefix(PREFIX), [one.fact for one in facts])
            if sending is not None:
                yield sending


def states(app: App, names: Sequence[str]) -> dict[str, Sending]:
    """What became of the messages of these ids; those that were never recorded are left out."""
    out = {}
    every = list(dict.fromkeys(names))
    for at in range(0, len(every), AT_ONCE):
        for stream, facts in app.journal.read_each([PREFIX + name for name in every[at : at + AT_ONCE]]).items():
            found = fold(stream.removeprefix(PREFIX), [one.fact for one in facts])
            if found is not None:
                out[found.message.id] = found
    return out


def waiting(app: App) -> list[Sending]:
    """Messages with which something is still to be done, the oldest first."""
    return sorted((one for one in sendings(app, OPEN) if not one.settled), key=lambda one: (one.due_at, one.message.id))


def get(app: App, name: str) -> Sending:
    """The message of an id, or of the beginning of one.

    Raises: NotFound, Conflict.
    """
    stem = PREFIX + (name if name.startswith("m-") else f"m-{name}")
    heads = []
    for head in app.journal.heads(stem):
        heads.append(head.stream)
        if len(heads) > 1:
            raise Conflict(
                Phrase("several messages begin with {name}: {first}, {second}, …", name=name, first=heads[0][len(PREFIX) :], second=heads[1][len(PREFIX) :]),
                hint="give more of the id",
            )
    found = fold(heads[0].removeprefix(PREFIX), [one.fact for one in app.journal.read(heads[0])]) if heads else None
    if found is None:
        raise NotFound(Phrase("there is no message {name}", name=name), hint="soc outbox list --all")
    return found


def listed(app: App, *, every: bool = False, problems: bool = False, about: str = "", scope: str | None = None) -> list[Sending]:
    """Messages: those with which something is still to be done, the oldest first; with `every` all, with `problems` what did not arrive, or perhaps not.

    `about`: only those about objects whose id begins so.
    """
    require(app, "oncall.view")
    if problems:
        wrong = {one.message.id: one for one in (*sendings(app, ("given-up", LOST, "unknown", "failed"), scope=scope), *sendings(app, word=TWICE, scope=scope))}
        found: Iterable[Sending] = wrong.values()
    else:
        found = sendings(app, None if every else OPEN, scope=scope)
    return sorted(
        (one for one in found if one.message.about.startswith(about) and (every or problems or not one.settled)), key=lambda one: (one.due_at, one.message.id)
    )


def test_message(app: App, to: str, channel: str) -> Message:
    """A message that only says that messages arrive; each minute's is another one."""
    now = iso(app.clock.now_us())[:16]
    language = app.settings.outbox.language
    subject = said(language, Phrase("Test of messages"))
    body = said(language, Phrase("Messages of soc arrive here. Nothing is to be done.\n\n{at}", at=now))
    return message("test", "outbox", now, to, subject, body, channel=channel)


def retry(app: App, name: str, *, reason: str = "") -> Sending:
    """Have a message tried again from the beginning, also one that was given up or cancelled.

    Raises: Conflict for one that was sent.
    """
    require(app, "messages.send")
    found = get(app, name)
    if found.state == "sent":
        raise Conflict(
            Phrase("{id} was sent at {at}", id=found.message.id, at=local_time(app, found.sent_at)), hint="a message that was sent is never sent again"
        )
    return _changed(app, found, NewFact("MessageRetried", {}, reason))


def cancel(app: App, name: str, *, reason: str) -> Sending:
    """Take a message back that was not sent yet.

    Raises: UsageError without a reason, Conflict for one that was sent or is being sent.
    """
    require(app, "messages.send")
    if not reason.strip():
        raise UsageError("a message is cancelled for a reason", hint="--reason TEXT")
    found = get(app, name)
    if found.state == "sent" or (found.state == "trying" and not found.ready(app.clock.now_us())):
        raise Conflict(Phrase("{id} was sent, or is being sent just now", id=found.message.id), hint="what has gone out cannot be taken back")
    return _changed(app, found, NewFact("MessageCancelled", {}, reason))


def _changed(app: App, found: Sending, fact: NewFact) -> Sending:
    app.journal.append(PREFIX + found.message.id, found.version, [fact], actor=app.actor.name, scope=found.message.scope)
    return get(app, found.message.id)


def deliver(
    app: App,
    limit: int = 1_000,
    *,
    only: str = "",
    stop: Callable[[], bool] = lambda: False,
) -> Delivered:
    """Hand over what is due, calls first, then the oldest; at most `limit` attempts.

    `only`: this message alone, at once whatever pause it is in (but not while it is on its way); `stop`: asked between two messages.
    A gateway that fails as such is left alone for the rest of the pass. Raises: StoreUnavailable, StoreFull.
    """
    require(app, "messages.send")
    pass_ = _Pass(app)
    now_us = app.clock.now_us()
    open_ = [get(app, only)] if only else waiting(app)
    due = sorted((one for one in open_ if one.ready(now_us) or (only and one.state != "trying")), key=_urgency)
    pass_.done.waiting = len(open_)
    try:
        for one in due:
            if stop() or pass_.attempts >= limit:
                break
            pass_.take(one)
    finally:
        pass_.close()
    return pass_.done


def _urgency(one: Sending) -> tuple[bool, str, str]:
    """Who is called in the night does not wait for three hundred notices."""
    return (one.message.kind != URGENT, one.due_at, one.message.id)


class _Pass:
    """One pass over what is due."""

    def __init__(self, app: App) -> None:
        self.done = Delivered()
        self.attempts = 0
        self._app = app
        self._messengers: dict[str, Messenger | None] = {}
        self._failing: set[str] = set()

    def close(self) -> None:
        """Give the connections back."""
        for messenger in self._messengers.values():
            if messenger is not None:
                messenger.close()

    def take(self, sending: Sending) -> None:
        """Try one message, unless another process does, or it may not go as things are."""
        channel = sending.message.channel
        if channel in self._failing or sending.settled:
            return
        try:
            to = self._recipient(sending.message)
            files = [attached(self._app, one) for one in sending.message.attachments]
        except SocError as error:
            self._hold(sending, error.message)
            return
        messenger = self._messengers[channel]
        if messenger is None:
            return
        attempt = self._attempted(sending, to, messenger)
        if attempt:
            self.attempts += 1
            self._app.crash("outbox.attempted")
            try:
                outcome = messenger.send(_marked(sending.message), to, files)
            except SocError as error:
                outcome = Outcome("failed", error.message, gateway=True)
            self._app.crash("outbox.handed-over")
            self._ended(sending, attempt, outcome)
            if outcome.gateway:
                self._failing.add(channel)

    def _recipient(self, message: Message) -> str:
        """Whom the message goes to.

        Raises: SocError that says why it may not go: nothing is configured, or the exercise is redirected to nobody.
        """
        channel, settings = message.channel, self._app.settings
        if channel not in self._messengers:
            self._messengers[channel] = self._app.wiring.messenger(channel)
        if self._messengers[channel] is None:
            section = "mail" if channel == "mail" else "webhook." + (channel.partition(":")[2] or "NAME")
            raise NotFound(Phrase("nothing is configured for it: [{section}]", section=section))
        if message.scope == SCOPE_REAL:
            return message.recipient
        name = channel.partition(":")[2] or next(iter(settings.webhook), "")
        to = settings.mail.exercise_to if channel == "mail" else settings.webhook[name].exercise_to
        if not to:
            raise NotFound("it belongs to an exercise, and exercise_to is not set")
        return to

    def _hold(self, sending: Sending, why: str) -> None:
        now_us = self._app.clock.now_us()
        if now_us - from_iso(sending.due_at) > self._app.settings.outbox.held_days * 86_400_000_000:
            self._append(sending, NewFact("MessageGivenUp", spoken(why)))
            self.done.given_up += 1
            self.done.waiting -= 1
        elif sending.state != "held" or sending.reason != why:
            self._append(sending, NewFact("MessageHeld", spoken(why)))
            self.done.held += 1

    def _attempted(self, sending: Sending, to: str, messenger: Messenger) -> int:
        """The number of the attempt that is ours now; 0 when another process has it, or the message was changed."""
        number = len(sending.attempts) + 1
        until = self._app.clock.now_us() + round((messenger.longest_s + LEASE_S) * 1e6)
        fact = NewFact("MessageAttempted", {"number": number, "until": iso(until), "to": to})
        try:
            self._app.journal.append(PREFIX + sending.message.id, sending.version, [fact], actor=self._app.actor.name, scope=sending.message.scope)
        except FactConflict:
            return 0
        return number

    def _append(self, sending: Sending, fact: NewFact) -> None:
        """Record what is true whatever others recorded meanwhile."""
        self._app.journal.append(PREFIX + sending.message.id, ANY_VERSION, [fact], actor=self._app.actor.name, scope=sending.message.scope)

    def _ended(self, sending: Sending, number: int, outcome: Outcome) -> None:
        data = {"number": number, "text": outcome.text[:500]}
        if outcome.result == "sent":
            self._append(sending, NewFact("MessageSent", data))
            self.done.sent += 1
            self.done.waiting -= 1
            return
        settings, now_us = self._app.settings.outbox, self._app.clock.now_us()
        if outcome.result == "unknown":
            last = sending.cuts + 1 >= MOST_CUTS
            self._append(sending, NewFact("MessageUnknown", {**data, "again_at": "" if last else self._again(sending.cuts, outcome, now_us)}))
            self.done.unknown += 1
            if last:
                self.done.waiting -= 1
                self._tell(sending, "unknown", Phrase("the connection was cut twice; it may have arrived: {text}", text=outcome.text[:200]))
            return
        last = outcome.result == "refused" or sending.failures + 1 >= settings.attempts
        again = "" if last else self._again(sending.failures, outcome, now_us)
        self._append(sending, NewFact("MessageFailed", {**data, "again_at": again}))
        self.done.failed += 1
        self._app.crash("outbox.failed")
        if last:
            self.give_up(sending, outcome.text[:500])

    def give_up(self, sending: Sending, why: str) -> None:
        """Try no more, and tell the leads."""
        self._tell(sending, "given-up", why)  # first, so that nobody is left untold by a crash between the two
        self._app.crash("outbox.told")
        self._append(sending, NewFact("MessageGivenUp", spoken(why)))
        self.done.given_up += 1
        self.done.waiting -= 1

    def _again(self, before: int, outcome: Outcome, now_us: int) -> str:
        settings = self._app.settings.outbox
        pause = min(settings.backoff_s * 2 ** min(before, 30), settings.backoff_most_s)
        return iso(now_us + round(max(pause, min(outcome.retry_after_s, settings.backoff_most_s)) * 1e6))

    def _tell(self, sending: Sending, step: str, why: str) -> None:
        """Tell the leads that a message did not arrive, or perhaps not."""
        from soc.application.recipients import leads  # noqa: PLC0415 - most passes tell nobody

        one = sending.message
        log.error("a message was not delivered", id=one.id, about=one.about, recipient=one.recipient, reason=str(why))
        if one.kind == KIND:
            return
        language = self._app.settings.outbox.language
        subject = said(language, Phrase("Not delivered: {subject}", subject=one.subject))
        text = said(
            language,
            Phrase(
                "This message could not be delivered, or nobody knows whether it was.\n\nTo: {to} ({channel})\nAbout: {about}\nReason: {why}\n\nLook at it: soc outbox show {id}\nTry again: soc outbox retry {id}\n",
                to=one.recipient,
                channel=one.channel,
                about=one.about,
                why=why,
                id=one.id,
            ),
        )
        send_each(
            self._app,
            [
                message(KIND, one.id, step, to, subject, text, channel=channel, scope=one.scope, cause=PREFIX + one.id)
                for channel, to in leads(self._app)
                if (channel, to) != (one.channel, one.recipient)
            ],
        )


def attached(app: App, one: Attachment) -> AttachedFile:
    """An attachment with its bytes, from the message or from the evidence store.

    Raises: NotFound.
    """
    if one.data:
        return AttachedFile(one.name, one.type, one.data)
    files = app.wiring.evidence()
    if files.check(one.sha256) != "ok":
        raise NotFound(Phrase("attachment {name}: the evidence store does not have {sha256}", name=one.name, sha256=one.sha256))
    data = bytearray()
    for piece in files.read(one.sha256):
        data += piece
        if len(data) > MOST_FILE:
            raise NotFound(Phrase("attachment {name}: it is larger than {most} MiB", name=one.name, most=MOST_FILE >> 20))
    return AttachedFile(one.name, one.type, bytes(data))


def _marked(message: Message) -> Message:
    """The message as it goes out: that of an exercise says so, first of all."""
    if message.scope == SCOPE_REAL:
        return message
    exercise = message.scope.partition(":")[2]
    mark = f"[DIỄN TẬP {exercise}]"
    body = f"{mark} Đây là tin của một cuộc diễn tập, lẽ ra gửi cho: {message.recipient}\n\n{message.body}"
    return msgspec.structs.replace(message, subject=f"{mark} {message.subject}", body=body)
