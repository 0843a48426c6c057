"""A call to whoever is on call, until somebody acknowledges it: the fold of its facts.

Facts of the stream `page/<id>`: `PageRaised`, then per person `PageSent` (whom, how, which messages) or `PagePassed` (nobody can
reach them, and why), `PageEscalated` (somebody asked for the next one at once), `PageAcknowledged`, `PageExhausted`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from soc.clock import from_iso
from soc.model.fact import Fact
from soc.model.ids import digest_id
from soc.model.projection import Document, Projection, version_of

PREFIX = "page/"
State = Literal["open", "acknowledged", "exhausted"]
_CODE = 6


def page_id(about: str, key: str) -> str:
    """The id of the call about an object; another `key` is another call about the same."""
    return "p-" + digest_id("page", about, key)


def code_of(identity: str) -> str:
    """The short code that acknowledges a call: what people can say on the telephone."""
    return digest_id("code", identity)[:_CODE].upper()


class Asked(msgspec.Struct, frozen=True):
    """A person who was called, or could not be. `number`: of the call, from 1; `why`: why they could not."""

    number: int
    at: str
    person: str
    name: str
    ways: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    why: str = ""


class Page(msgspec.Struct):
    """The state of a call. `minutes`: after which the next one is called."""

    id: str
    about: str = ""
    subject: str = ""
    text: str = ""
    code: str = ""
    minutes: float = 10.0
    scope: str = "real"
    cause: str = ""
    state: State = "open"
    raised_at: str = ""
    by: str = ""
    asked: list[Asked] = []
    hurried: bool = False
    """Somebody asked for the next one at once."""
    acknowledged_at: str = ""
    acknowledged_by: str = ""
    acknowledged_how: str = ""
    reason: str = ""
    version: int = 0


def fold(identity: str, facts: Iterable[Fact]) -> Page:
    """The call of these facts; kinds that this version does not know only count."""
    page = Page(identity, code=code_of(identity))
    for fact in facts:
        page.version, page.scope = fact.sequence, fact.scope
        data = fact.data
        match fact.kind:
            case "PageRaised":
                page.about, page.subject, page.text = str(data.get("about")), str(data.get("subject")), str(data.get("text"))
                page.minutes, page.cause = float(data.get("minutes", 10.0)), str(data.get("cause", ""))
                page.raised_at, page.by = fact.at, fact.actor
            case "PageSent" | "PagePassed":
                page.asked.append(
                    Asked(
                        len(page.asked) + 1,
                        fact.at,
                        str(data.get("person", "")),
                        str(data.get("name", "")),
                        tuple(data.get("ways", ())),
                        tuple(data.get("messages", ())),
                        str(data.get("why", "")),
                    )
                )
                page.hurried = False
            case "PageEscalated":
                page.hurried = True
                if page.state == "exhausted":
                    page.state = "open"
            case "PageAcknowledged":
                page.state, page.acknowledged_at, page.reason = "acknowledged", fact.at, fact.reason
                page.acknowledged_by = str(data.get("by") or fact.actor)
                page.acknowledged_how = fact.behalf.channel if fact.behalf else ""
            case "PageExhausted":
                if page.state == "open":
                    page.state = "exhausted"
    return page


def document(stream: str, facts: Sequence[Fact]) -> Document:
    """A call as lists keep it: its state, and its code."""
    page = fold(stream.removeprefix(PREFIX), facts)
    raised = from_iso(page.raised_at) if page.raised_at else 0
    return Document(stream, page.version, page.scope, page.state, order_us=raised, words=(page.code,))


@lru_cache(maxsize=1)
def calls() -> Projection:
    """The projection of calls."""
    return Projection("calls", PREFIX, version_of(Path(__file__)), document)
