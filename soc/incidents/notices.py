"""Warning notices (văn bản cảnh báo): one letter, up to 310 recipients with an own annex each, followed until each has answered.

A notice is the fold of its stream (`notice/TB-2026-0007`); each recipient goes its own way: waiting → sent → received → acted →
verified. Who never answered is known at any time. Source: Decree 333/2026/NĐ-CP, article 7.6.d (the duty to act on warnings).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from soc.incidents.classes import ANSWERS
from soc.model.fact import Fact
from soc.model.ids import digest_id

PREFIX = "notice/"
WAITING, SENT = "waiting", "sent"
RECEIVED, ACTED, VERIFIED = ANSWERS
WAY = (WAITING, SENT, *ANSWERS)
"""A recipient's states, in order; a later one implies the earlier ones."""
DRAFT, APPROVED, OUT, WITHDRAWN = "draft", "approved", "sent", "withdrawn"
CODE_LETTERS = 8


class Recipient(msgspec.Struct):
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
    """Every sending and reminder: at, channel, reference, step."""

    @property
    def reminders(self) -> int:
        """How often it was reminded."""
        return sum(one.get("step", "") == "reminder" for one in self.sent)


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
    recipients: list[Recipient] = []
    drafted_by: str = ""
    drafted_at: str = ""
    number: str = ""
    """Number and sign of the signed document."""
    signer: str = ""
    signed_on: str = ""
    urgent: bool = False
    """Sent on a named person's word; the written confirmation is still due."""
    confirmed: bool = False
    reason: str = ""
    scope: str = "real"
    version: int = 0

    def recipient(self, agency: str) -> Recipient | None:
        """The recipient of this id."""
        return next((one for one in self.recipients if one.agency == agency), None)

    def unanswered(self) -> list[Recipient]:
        """Those that were sent it and never said a word."""
        return [one for one in self.recipients if one.state == SENT]

    def overdue(self, now: str) -> list[Recipient]:
        """Those that have not acted although the day has passed (RFC 3339 UTC texts compare as times)."""
        if not self.due_at or self.state != OUT or now <= self.due_at:
            return []
        return [one for one in self.recipients if one.state in (SENT, RECEIVED)]


def code_of(notice: str, agency: str) -> str:
    """The word by which a recipient answers: short enough for the telephone, not to be guessed from another one's."""
    return digest_id("notice-code", notice, agency)[:CODE_LETTERS].upper()


def fold(identity: str, facts: Iterable[Fact]) -> Notice:
    """The notice of these facts."""
    notice = Notice(identity)
    for fact in facts:
        notice.version, notice.scope = fact.sequence, fact.scope
        apply = _APPLY.get(fact.kind)
        if apply is not None:
            apply(notice, fact)
    return notice


def _drafted(notice: Notice, fact: Fact) -> None:
    notice.drafted_by = notice.drafted_by or fact.actor
    notice.drafted_at = notice.drafted_at or fact.at
    for name in ("subject", "body", "action", "due_at", "tlp", "incident"):
        if name in fact.data:
            setattr(notice, name, str(fact.data[name]))
    if "recipients" in fact.data:
        notice.recipients = [
            Recipient(str(one["agency"]), code_of(notice.id, str(one["agency"])), list(one.get("annex", []))) for one in fact.data["recipients"]
        ]


def _approved(notice: Notice, fact: Fact) -> None:
    if notice.state == DRAFT:
        notice.state = APPROVED
    notice.number, notice.signer = str(fact.data.get("number", "")), str(fact.data.get("signer", ""))
    notice.signed_on = str(fact.data.get("signed_on", ""))
    notice.urgent = notice.urgent or bool(fact.data.get("urgent", False))
    notice.confirmed = not fact.data.get("urgent", False)


def _sent(notice: Notice, fact: Fact) -> None:
    notice.state = OUT
    step = "reminder" if fact.kind == "NoticeReminded" else "sent"
    at = str(fact.data.get("at") or fact.at)
    for agency in fact.data.get("recipients", []):
        one = notice.recipient(str(agency))
        if one is not None:
            one.sent.append({"at": at, "channel": str(fact.data.get("channel", "")), "reference": str(fact.data.get("reference", "")), "step": step})
            _advance(one, SENT, at)


def _answered(notice: Notice, fact: Fact) -> None:
    one = notice.recipient(str(fact.data.get("agency", "")))
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
    if fact.behalf is not None:
        answer |= {"behalf": fact.behalf.person, "channel": fact.behalf.channel or answer["channel"], "reference": fact.behalf.reference}
    one.answers.append({key: str(value) for key, value in answer.items()})
    _advance(one, str(fact.data["state"]), at)


def _advance(one: Recipient, state: str, at: str) -> None:
    """Enter a state; what is further already stays there."""
    one.at.setdefault(state, at)
    if WAY.index(state) > WAY.index(one.state):
        one.state = state


def _withdrawn(notice: Notice, fact: Fact) -> None:
    notice.state, notice.reason = WITHDRAWN, fact.reason


_APPLY = {
    "NoticeDrafted": _drafted,
    "NoticeApproved": _approved,
    "NoticeSent": _sent,
    "NoticeReminded": _sent,
    "NoticeAnswered": _answered,
    "NoticeWithdrawn": _withdrawn,
}


def letter(notice: Notice, one: Recipient, name: str) -> str:
    """The text that one recipient gets, in Vietnamese, with its own annex and code."""
    lines = [
        f"Số: {notice.number or '…'}",
        f"Kính gửi: {name}",
        "",
        f"Trích yếu: {notice.subject}",
        "",
        notice.body,
        "",
    ]
    if notice.action:
        lines += [f"Đề nghị đơn vị: {notice.action}"]
    if notice.due_at:
        lines += [f"Thời hạn thực hiện: {notice.due_at}"]
    lines += ["", f"Mã xác nhận của đơn vị: {one.code} (trả lời thư, hoặc gọi điện và đọc mã này)", f"TLP:{notice.tlp}"]
    if one.annex:
        lines += ["", "PHỤ LỤC (chỉ gồm thông tin của đơn vị)", *(f"{number}. {item}" for number, item in enumerate(one.annex, 1))]
    return "\n".join(lines) + "\n"
