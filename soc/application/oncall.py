"""Waking somebody: who is on shift is told by all their channels; without an acknowledgement the next in the roster is, then the leads.

Every attempt is a fact. The order is asked anew each time, so a change of shift in the night reaches who is there by then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from soc.application import outbox, roster
from soc.application.access import require
from soc.application.app import App
from soc.application.numbered import local_day, local_time
from soc.application.recipients import Way, leads, ways
from soc.clock import from_iso, iso
from soc.errors import ConfigError, Conflict, NotFound, Phrase, SocError, UsageError
from soc.i18n import said
from soc.incidents.page import PREFIX, Page, calls, fold, page_id
from soc.model.fact import Behalf, NewFact
from soc.model.journal import FactConflict
from soc.model.message import SKEW_US, Message, message
from soc.model.projection import ListQuery
from soc.model.record import SCOPE_REAL
from soc.organization.model import Person
from soc.organization.registry import Registry
from soc.telemetry import get_logger

log = get_logger(__name__)

KIND = "on-call"
NOBODY = "-"
"""In the place of a person: the addresses of the settings."""
MOST_TEXT, MOST_ABOUT = 5_000, 150
_US = 60_000_000


def page(app: App, about: str, text: str, *, subject: str = "", key: str = "", scope: str = SCOPE_REAL, cause: str = "", minutes: float | None = None) -> Page:
    """Call whoever is on call about an object; the same call again (`about` and `key`) wakes nobody a second time.

    The first person is told at once; the rest is `escalate_due`, which `soc run` and `soc duties run` do. Raises: UsageError.
    """
    require(app, "messages.send")
    if not about.strip() or not text.strip():
        raise UsageError("a call needs what it is about and a text", hint="soc oncall page INC-2026-0007 TEXT")
    if len(text) > MOST_TEXT or len(about) > MOST_ABOUT or len(key) > MOST_ABOUT:
        raise UsageError(
            Phrase("the text has {count} characters, more than {most}", count=max(len(text), len(about), len(key)), most=MOST_TEXT),
            hint="say it short: people read it at night on a telephone",
        )
    identity = page_id(about, key)
    data = {
        "about": about,
        "subject": subject or text.partition("\n")[0][:120],
        "text": text,
        "minutes": app.settings.on_call.minutes if minutes is None else minutes,
        "cause": cause,
    }
    app.crash("oncall.raising")
    try:
        app.journal.append(PREFIX + identity, 0, [NewFact("PageRaised", data)], actor=app.actor.name, scope=scope)
    except FactConflict:
        return get(app, identity)
    app.crash("oncall.raised")
    escalate(app, get(app, identity))
    return get(app, identity)


def made(app: App, about: str, key: str = "") -> bool:
    """Whether this call was made before, so that the same again wakes nobody."""
    return bool(app.journal.read(PREFIX + page_id(about, key)))


def get(app: App, name: str) -> Page:
    """The call of an id, of the beginning of one, or of its code.

    Raises: NotFound, Conflict.
    """
    found = list(pages(app, code=name.strip().upper())) or [one for one in pages(app) if one.id.startswith((name, f"p-{name}"))]
    exact = [one for one in found if one.id == name]
    if len(exact or found) > 1:  # of two with one code the open one is meant
        found = [one for one in found if one.state == "open"] or found
    if not (exact or found):
        raise NotFound(Phrase("there is no call {name}", name=name), hint="soc oncall list --all")
    if len(exact or found) > 1:
        raise Conflict(
            Phrase("several calls begin with {name}: {first}, {second}, …", name=name, first=found[0].id, second=found[1].id), hint="give more of the id"
        )
    return (exact or found)[0]


def pages(app: App, states: Sequence[str] | None = None, *, code: str = "") -> Iterator[Page]:
    """Calls, the newest first. `states`: only those in them; `code`: only those of this code."""
    _, found = app.lists.page(calls(), ListQuery(tuple(states) if states is not None else None, None, word=code))
    for stream, facts in app.journal.read_each([one.stream for one in found]).items():
        yield fold(stream.removeprefix(PREFIX), [one.fact for one in facts])


def acknowledge(app: App, name: str, *, by: str = "", reason: str = "", behalf: Behalf | None = None) -> Page:
    """Record that somebody has taken the call over (`by`: who, when it is not who records it); what was not sent yet is cancelled.

    Raises: NotFound, Conflict when it was acknowledged before.
    """
    require(app, "oncall.acknowledge")
    found = get(app, name)
    if found.state == "acknowledged":
        raise Conflict(
            Phrase("{about} was acknowledged by {by} at {at}", about=found.about, by=found.acknowledged_by, at=local_time(app, found.acknowledged_at))
        )
    _append(app, found, NewFact("PageAcknowledged", {"by": by or (behalf.person if behalf else "")}, reason, behalf))
    _cancel_unsent(app, found)
    return get(app, found.id)


def _cancel_unsent(app: App, found: Page) -> None:
    for asked in found.asked:
        for name in asked.messages:
            try:
                outbox.cancel(app, name, reason="acknowledged")
            except (Conflict, NotFound):
                continue  # sent, or on its way


def hurry(app: App, name: str, *, reason: str) -> Page:
    """Call the next one now.

    Raises: NotFound, Conflict, UsageError.
    """
    require(app, "oncall.acknowledge")
    if not reason.strip():
        raise UsageError("calling the next one needs a reason", hint="--reason TEXT")
    found = get(app, name)
    if found.state == "acknowledged":
        raise Conflict(
            Phrase("{about} was acknowledged by {by} at {at}", about=found.about, by=found.acknowledged_by, at=local_time(app, found.acknowledged_at))
        )
    _append(app, found, NewFact("PageEscalated", {}, reason))
    escalate(app, get(app, found.id))
    return get(app, found.id)


def escalate_due(app: App) -> int:
    """Call the next one for every call that nobody acknowledged in time; how many people were called."""
    count = 0
    for one in pages(app, ("open",)):
        try:
            count += escalate(app, one) if one.state == "open" else 0
        except (UsageError, ConfigError, NotFound, Conflict) as error:  # one call that cannot be made stops no other
            log.error("a call cannot be made", about=one.about, error=error.message, hint=error.hint)
    return count


def escalate(app: App, page: Page) -> int:
    """One step of a call, when it is due; how many people were called (people without any way to reach them are passed over, visibly)."""
    _complete(app, page)
    while page.state == "open" and _is_due(app, page):
        heir = _next(app, page)
        if heir is None:
            _exhaust(app, page)
            return 0
        try:
            reached = _call(app, page, *heir)
        except FactConflict:  # another process does it, or it was acknowledged just now
            return 0
        if reached:
            return 1
        page = get(app, page.id)
    return 0


def _complete(app: App, page: Page) -> None:
    """Record the messages that a kill between the fact of a call and its messages left out."""
    last = page.asked[-1] if page.asked else None
    if last is not None and page.state == "open" and not all(_there(app, name) for name in last.messages):
        outbox.send_each(app, _messages(app, page, last.person, last.name, [_way(one) for one in last.ways], last.number))


def _is_due(app: App, page: Page) -> bool:
    """Whether the next one is to be called: nobody was, the time is over, somebody asked for it, or the last one cannot have heard of it."""
    last = page.asked[-1] if page.asked else None
    if last is None or page.hurried or last.why:
        return True
    now, asked = app.clock.now_us(), from_iso(last.at)
    if now >= asked + round(page.minutes * _US) or asked > now + SKEW_US:  # what lies ahead was recorded before the clock was set back: rather too early
        return True
    return all(outbox.get(app, name).state in ("given-up", "cancelled") for name in last.messages)


def _next(app: App, page: Page) -> tuple[str, str, list[Way]] | None:
    """Who is called next: of those who had the fewest turns the first in order; None when everybody was called often enough."""
    turns = Counter(one.person for one in page.asked)
    able = [one for one in _ladder(app) if turns[one[0]] < app.settings.on_call.rounds]
    return min(able, key=lambda one: turns[one[0]], default=None)


def _there(app: App, name: str) -> bool:
    try:
        outbox.get(app, name)
    except SocError:
        return False
    return True


def _ladder(app: App) -> list[tuple[str, str, list[Way]]]:
    """Whom to call, in order: id, name, ways. Those on shift, whoever comes on next, the leads, and the addresses of the settings."""
    every = Registry(app.journal, ("people",)).all(Person, local_day(app))
    people = {one.id: one for one in (*roster.called(app), *(one for one in every if one.role == "lead"))}
    found = [(one.id, one.name, ways(one, app.settings)) for one in people.values()]
    known = {way for _, _, theirs in found for way in theirs}
    rest = [way for way in leads(app) if way not in known]
    return [*found, (NOBODY, "", rest)] if rest else found


def _call(app: App, page: Page, person: str, name: str, theirs: list[Way]) -> int:
    """Tell one person; 0 when nothing leads to them."""
    number = len(page.asked) + 1
    if not theirs:
        why = Phrase("neither a mail address nor a telephone number that a webhook takes")
        _append(app, page, NewFact("PagePassed", {"person": person, "name": name, "why": why}))
        log.error("nothing leads to somebody on call", person=person, about=page.about)
        return 0
    messages = _messages(app, page, person, name, theirs, number)
    data: dict[str, Any] = {"person": person, "name": name, "ways": [f"{channel} {to}" for channel, to in theirs], "messages": [one.id for one in messages]}
    app.crash("oncall.calling")
    _append(app, page, NewFact("PageSent", data))
    app.crash("oncall.called")
    outbox.send_each(app, messages)
    return 1


def _way(text: str) -> Way:
    channel, _, to = text.partition(" ")
    return channel, to


def _messages(app: App, page: Page, person: str, name: str, theirs: list[Way], number: int) -> list[Message]:
    language = app.settings.outbox.language
    subject = said(language, Phrase("ON CALL {code}: {subject}", code=page.code, subject=page.subject))
    body = said(
        language,
        Phrase(
            "{text}\n\nAcknowledge with the code {code}: soc oncall ack {code}, or tell the operations room.\nWithout it the next one is called in {minutes} minutes.\nCall {number} about {about}, for {name}.\n",
            text=page.text,
            code=page.code,
            minutes=f"{page.minutes:g}",
            number=number,
            about=page.about,
            name=name or person,
        ),
    )
    return [
        message(KIND, page.id, f"call-{number}", to, subject, body, channel=channel, scope=page.scope, cause=page.cause or page.about) for channel, to in theirs
    ]


def _exhaust(app: App, page: Page) -> None:
    try:
        _append(app, page, NewFact("PageExhausted", {"asked": len(page.asked)}))
    except FactConflict:
        return
    log.error("nobody on call has answered", about=page.about, code=page.code, asked=len(page.asked))


def _append(app: App, page: Page, fact: NewFact) -> None:
    app.journal.append(PREFIX + page.id, page.version, [fact], actor=app.actor.name, scope=page.scope)


def next_at(page: Page) -> str:
    """When the next one is called ("" = not by itself)."""
    if page.state != "open":
        return ""
    last = page.asked[-1] if page.asked else None
    return iso(from_iso(last.at) + round(page.minutes * _US)) if last is not None else page.raised_at
