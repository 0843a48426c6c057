"""Warning notices (văn bản cảnh báo): one letter, up to 310 recipients with an own annex each, followed until each has answered.

A notice is the fold of its stream (`notice/TB-2026-0007`); each recipient goes its own way: waiting → sent → received → acted →
verified. Who never answered is known at any time. Source: Decree 333/2026/NĐ-CP, article 7.6.d (the duty to act on warnings).

Facts: `NoticeDrafted` (texts; `salt`, of which the codes are made), `RecipientsAdded` (many facts of one append, as a fact is bounded),
`NoticeExported` (what was written for whom, with hashes), `NoticeApproved` (signer, number, date, hash of the signed file; `urgent`: a word
only, the writing is due), `NoticeSent`, `NoticeReminded`, `NoticeSecondLetter` (recipients, channel, `to`: addresses), `NoticeQueued` (the
messages of a sending are in the outbox), `NoticeAnswered`, `NoticeWithdrawn`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from soc.errors import Phrase
from soc.incidents.classes import ANSWERS
from soc.model.fact import Fact
from soc.model.ids import digest_id

PREFIX = "notice/"
WAITING, SENT = "waiting", "sent"
RECEIVED, ACTED, VERIFIED = ANSWERS
WAY = (WAITING, SENT, *ANSWERS)
"""A recipient's states, in order; a later one implies the earlier ones."""
DRAFT, APPROVED, OUT, WITHDRAWN = "draft", "approved", "sent", "withdrawn"
SAID = {DRAFT: Phrase("draft"), APPROVED: Phrase("approved"), OUT: Phrase("sent"), WITHDRAWN: Phrase("withdrawn")}
"""States as errors say them."""
FIRST, REMINDER, SECOND = "sent", "reminder", "second-letter"
"""What a sending is."""
CODE_LETTERS = 8
BY_PROGRAM = ("mail", "webhook")
"""Channels by which the outbox sends; the others are recorded by who used them."""


class Recipient(msgspec.Struct, gc=False):
    """One agency's way with a notice. `annex`: what concerns this one only (mailboxes, machines)."""

    agency: str
    code: str
    annex: list[str] = []
    state: str = WAITING
    at: dict[str, str] = {}
    """State → when it was entered (RFC 3339 UTC)."""
    answers: list[dict[str, str]] = []
    """What was said, by whom, how, and on whose behalf it was recorded."""
    sent: list[dict[str, str]] = []
    """Every sending: at, channel, reference, step (sent, reminder, second-letter), message (the outbox's name of the step), to."""
    exported: dict[str, str] = {}
    """The file that was written last: file, sha256, at."""

    @property
    def reminders(self) -> int:
        """How often it was reminded."""
        return self.count(REMINDER)

    def count(self, step: str) -> int:
        """How many sendings of a kind there were."""
        return sum(one.get("step", "") == step for one in self.sent)

    def went_by(self, channel: str) -> bool:
        """Whether the notice itself went out by a channel."""
        return any(one.get("step") == FIRST and one.get("channel") == channel for one in self.sent)


class Signed(msgspec.Struct):
    """A document that somebody signed elsewhere. `on`: date; `sha256`, `file`: of what was imported back ("" = nothing was)."""

    signer: str
    number: str
    on: str
    sha256: str = ""
    file: str = ""
    recorded_by: str = ""
    at: str = ""


class Order(msgspec.Struct):
    """A sending whose messages the outbox does not have yet. `to`: agency → addresses; `steps`: agency → the message's step."""

    sequence: int
    channel: str
    kind: str
    to: dict[str, list[str]]
    steps: dict[str, str]


class Notice(msgspec.Struct):
    """The state of a notice after all its facts."""

    id: str
    state: str = DRAFT
    subject: str = ""
    body: str = ""
    action: str = ""
    """What recipients are asked to do."""
    due_at: str = ""
    tlp: str = "AMBER"
    incident: str = ""
    warning: str = ""
    """The national centre's warning that it passes on."""
    recipients: list[Recipient] = []
    drafted_by: str = ""
    drafted_at: str = ""
    number: str = ""
    """Number and sign of the signed document."""
    signer: str = ""
    signed_on: str = ""
    sha256: str = ""
    """Of the signed file."""
    approved_at: str = ""
    urgent: bool = False
    """Sent on a named person's word; the written confirmation is still due."""
    confirmed: bool = False
    second: list[Signed] = []
    """Second letters."""
    orders: list[Order] = []
    reason: str = ""
    scope: str = "real"
    salt: str = ""
    version: int = 0

    def recipient(self, agency: str) -> Recipient | None:
        """The recipient of this id."""
        return next((one for one in self.recipients if one.agency == agency), None)

    def unanswered(self) -> list[Recipient]:
        """Those that were sent it and never said a word."""
        return [one for one in self.recipients if one.state == SENT] if self.state == OUT else []

    def overdue(self, now: str) -> list[Recipient]:
        """Those that have not acted although the day has passed (RFC 3339 UTC texts compare as times)."""
        if not self.due_at or self.state != OUT or now <= self.due_at:
            return []
        return [one for one in self.recipients if one.state in (SENT, RECEIVED)]


def code_of(notice: str, agency: str, salt: str) -> str:
    """The word by which a recipient answers: short enough for the telephone, and without the salt not to be guessed."""
    return digest_id("notice-code", notice, agency, salt)[:CODE_LETTERS].upper()


def fold(identity: str, facts: Iterable[Fact]) -> Notice:
    """The notice of these facts."""
    notice = Notice(identity)
    known: _Known = {}
    for fact in facts:
        notice.version, notice.scope = fact.sequence, fact.scope
        apply = _APPLY.get(fact.kind)
        if apply is not None:
            apply(notice, fact, known)
    return notice


_Known = dict[str, Recipient]
"""Agency → recipient, while folding."""


def _drafted(notice: Notice, fact: Fact, known: _Known) -> None:
    notice.drafted_by = notice.drafted_by or fact.actor
    notice.drafted_at = notice.drafted_at or fact.at
    for name in ("subject", "body", "action", "due_at", "tlp", "incident", "warning", "salt"):
        if name in fact.data:
            setattr(notice, name, str(fact.data[name]))
    _recipients_added(notice, fact, known)


def _recipients_added(notice: Notice, fact: Fact, known: _Known) -> None:
    for one in fact.data.get("recipients", ()):
        agency = str(one["agency"])
        if agency not in known:
            known[agency] = Recipient(agency, code_of(notice.id, agency, notice.salt))
            notice.recipients.append(known[agency])
        known[agency].annex += [str(line) for line in one.get("annex", ())]


def _exported(_notice: Notice, fact: Fact, known: _Known) -> None:
    for one in fact.data.get("files", ()):
        recipient = known.get(str(one.get("agency", "")))
        if recipient is not None:
            recipient.exported = {"file": str(one.get("file", "")), "sha256": str(one.get("sha256", "")), "at": fact.at}


def _approved(notice: Notice, fact: Fact, _known: _Known) -> None:
    if notice.state == DRAFT:
        notice.state = APPROVED
    for name in ("number", "signer", "signed_on", "sha256"):
        setattr(notice, name, str(fact.data.get(name, "")))
    notice.approved_at = notice.approved_at or fact.at
    notice.urgent = notice.urgent or bool(fact.data.get("urgent", False))
    notice.confirmed = not fact.data.get("urgent", False)


def _second(notice: Notice, fact: Fact, known: _Known) -> None:
    signer, number, on, digest, file = (str(fact.data.get(name, "")) for name in ("signer", "number", "signed_on", "sha256", "file"))
    if not notice.second or (notice.second[-1].number, notice.second[-1].on) != (number, on):  # one letter may go out in several facts
        notice.second.append(Signed(signer, number, on, digest, file, recorded_by=fact.actor, at=fact.at))
    _sent(notice, fact, known)


_STEPS = {"NoticeSent": FIRST, "NoticeReminded": REMINDER, "NoticeSecondLetter": SECOND}


def _sent(notice: Notice, fact: Fact, known: _Known) -> None:
    notice.state = OUT
    step, channel = _STEPS[fact.kind], str(fact.data.get("channel", ""))
    at = str(fact.data.get("at") or fact.at)
    to: dict[str, list[str]] = fact.data.get("to", {})
    steps: dict[str, str] = {}
    for agency in fact.data.get("recipients", []):
        one = known.get(str(agency))
        if one is not None:
            # Named by what it is and how often: the same sending tried again is the same message.
            steps[one.agency] = step if step == FIRST else f"{step}-{one.count(step) + 1}"
            addresses = ", ".join(map(str, to.get(one.agency, ())))
            one.sent.append(
                {"at": at, "channel": channel, "reference": str(fact.data.get("reference", "")), "step": step, "message": steps[one.agency], "to": addresses}
            )
            _advance(one, SENT, at)
    if channel in BY_PROGRAM and to:
        notice.orders.append(Order(fact.sequence, channel, step, {agency: list(to.get(agency, ())) for agency in steps}, steps))


def _queued(notice: Notice, fact: Fact, _known: _Known) -> None:
    notice.orders = [one for one in notice.orders if one.sequence != fact.data.get("sending")]


def _answered(_notice: Notice, fact: Fact, known: _Known) -> None:
    one = known.get(str(fact.data.get("agency", "")))
    if one is None:
        return
    at = str(fact.data.get("at") or fact.at)
    answer: dict[str, Any] = {
        "at": at,
        "state": fact.data["state"],
        "text": fact.data.get("text", ""),
        "channel": fact.data.get("channel", ""),
        "by": fact.actor,
    }
    if fact.data.get("reply"):
        answer |= {"reply": fact.data["reply"], "from": fact.data.get("from", "")}
    if fact.behalf is not None:
        answer |= {"behalf": fact.behalf.person, "channel": fact.behalf.channel or answer["channel"], "reference": fact.behalf.reference}
    one.answers.append({key: str(value) for key, value in answer.items()})
    _advance(one, str(fact.data["state"]), at)


def _advance(one: Recipient, state: str, at: str) -> None:
    """Enter a state; what is further already stays there."""
    one.at.setdefault(state, at)
    if WAY.index(state) > WAY.index(one.state):
        one.state = state


def _withdrawn(notice: Notice, fact: Fact, _known: _Known) -> None:
    notice.state, notice.reason, notice.orders = WITHDRAWN, fact.reason, []


_APPLY = {
    "NoticeDrafted": _drafted,
    "RecipientsAdded": _recipients_added,
    "NoticeExported": _exported,
    "NoticeApproved": _approved,
    "NoticeSent": _sent,
    "NoticeReminded": _sent,
    "NoticeSecondLetter": _second,
    "NoticeQueued": _queued,
    "NoticeAnswered": _answered,
    "NoticeWithdrawn": _withdrawn,
}
