"""Answers to notices that came by mail: what each says, and what became of it.

A reply is the fold of its stream (`reply/r-…`, named by its Message-ID, so that the same mail is taken once however it comes).
Facts: `ReplyTaken` (what the mail says; `outcome`: recorded, unclear), `ReplySettled` (a person said what it means), `ReplyDiscarded`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from soc.errors import Phrase
from soc.incidents.letter import ACTED_WORD, RECEIVED_WORD
from soc.incidents.notices import ACTED, CODE_LETTERS, RECEIVED
from soc.model.fact import Fact
from soc.model.ids import digest_id
from soc.model.mail import Mail
from soc.model.text import vi_fold

PREFIX = "reply/"
RECORDED, UNCLEAR, DISCARDED = "recorded", "unclear", "discarded"
SAID = {RECORDED: Phrase("recorded"), UNCLEAR: Phrase("unclear"), DISCARDED: Phrase("discarded")}
"""Outcomes as errors say them."""
MOST_TEXT = 4_000
"""Characters of the text that are recorded."""
_MOST_LINES = 200
# Reference: ABCD2345, standing alone; also in small letters, as people type
_CODE = re.compile(rf"(?<![A-Za-z0-9])[A-Za-z2-7]{{{CODE_LETTERS}}}(?![A-Za-z0-9])")
# Reference: m-abcdefghij0123456789@soc.example.vn, as our mails are named
_OURS = re.compile(r"(m-[a-z2-7]{20})@")
# Reference: "On Sat, 21 Nov 2026 … wrote:", "Vào Th 7, 21 thg 11, 2026 … đã viết:", "-----Original Message-----", "Từ: …"
_QUOTE = re.compile(r"\s*(?:>|On .{0,300}wrote:|Vào .{0,300}viết:|-{2,} ?(?:Original Message|Forwarded|Thư gốc|Tin nhắn)|_{10,})", re.IGNORECASE)
_NOT_LETTERS = re.compile(r"[^a-z0-9]+")
_WORDS = {vi_fold(RECEIVED_WORD): RECEIVED, vi_fold(ACTED_WORD): ACTED}


class Reply(msgspec.Struct):
    """A mail that answers, or may answer, a notice. `source`: file, or mailbox; `why`: why it is unclear."""

    id: str
    outcome: str = UNCLEAR
    notice: str = ""
    agency: str = ""
    code: str = ""
    state: str = ""
    why: str = ""
    message_id: str = ""
    sender: str = ""
    sender_name: str = ""
    subject: str = ""
    date: str = ""
    text: str = ""
    source: str = ""
    sha256: str = ""
    size: int = 0
    kept: bool = False
    """The store of evidence has the mail itself, under `sha256`."""
    files: list[dict[str, str]] = []
    at: str = ""
    by: str = ""
    settled_by: str = ""
    reason: str = ""
    scope: str = "real"
    version: int = 0


def identity(message_id: str, digest: str) -> str:
    """The id of the reply that a mail is."""
    return "r-" + (digest_id("reply", message_id) if message_id else digest_id("reply", "", digest))


def fold(identity: str, facts: Iterable[Fact]) -> Reply:
    """The reply of these facts."""
    found = Reply(identity)
    for fact in facts:
        found.version, found.scope = fact.sequence, fact.scope
        if fact.kind in ("ReplyTaken", "ReplySettled"):
            for name in (
                "notice",
                "agency",
                "code",
                "state",
                "why",
                "outcome",
                "message_id",
                "sender",
                "sender_name",
                "subject",
                "date",
                "text",
                "source",
                "sha256",
            ):
                if name in fact.data:
                    setattr(found, name, str(fact.data[name]))
        if "why_of" in fact.data:  # in the language of whoever reads it
            found.why = Phrase(str(fact.data["why_of"]["template"]), **{str(key): str(value) for key, value in fact.data["why_of"]["facts"].items()})
        if fact.kind == "ReplyTaken":
            found.at, found.by, found.size = fact.at, fact.actor, int(fact.data.get("size", 0))
            found.kept = bool(fact.data.get("kept", False))
            found.files = [{str(key): str(value) for key, value in one.items()} for one in fact.data.get("files", ())]
        elif fact.kind == "ReplySettled":
            found.outcome, found.settled_by, found.reason = RECORDED, fact.actor, fact.reason
        elif fact.kind == "ReplyDiscarded":
            found.outcome, found.settled_by, found.reason = DISCARDED, fact.actor, fact.reason
    return found


def codes_in(text: str, known: Mapping[str, object]) -> list[str]:
    """The codes of ours that stand in a text, each once."""
    return list(dict.fromkeys(code for one in _CODE.finditer(text) if (code := one[0].upper()) in known))


def messages_in(ids: Iterable[str]) -> list[str]:
    """The ids of our messages that a mail answers."""
    return list(dict.fromkeys(one[1] for text in ids if (one := _OURS.match(text))))


def own_words(text: str) -> list[str]:
    """The lines that the sender wrote: without what is quoted."""
    found = []
    for line in text.split("\n")[:_MOST_LINES]:
        if _QUOTE.match(line[:400]):
            if not line.lstrip().startswith(">"):
                break  # what follows is the mail that was answered
            continue
        if line.strip():
            found.append(line.strip())
    return found


def said(mail: Mail, code: str) -> str:
    """How far the sender says to be: acted when a line of its own says so, else received."""
    for line in own_words(mail.text):
        words = _NOT_LETTERS.sub(" ", vi_fold(line[:200])).replace(code.lower(), " ").split()
        state = _WORDS.get(" ".join(words))
        if state is not None:
            return state
    return RECEIVED


class Known(NamedTuple):
    """A recipient of a notice, found by its code or by our message."""

    notice: str
    agency: str
    code: str
    scope: str
