"""Commands and queries about warning notices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from soc.application import incidents
from soc.application.access import only_agencies, require, visible
from soc.application.app import App
from soc.application.numbered import identity, local_day, not_later, take
from soc.clock import iso
from soc.errors import Conflict, NotAllowed, NotFound, Phrase, UsageError
from soc.incidents.classes import ANSWERS, NOTICE_CHANNELS, TLP
from soc.incidents.notices import (
    ACTED,
    APPROVED,
    DRAFT,
    OUT,
    PREFIX,
    RECEIVED,
    SENT,
    VERIFIED,
    WAITING,
    WITHDRAWN,
    Notice,
    Recipient,
    fold,
    letter,
)
from soc.model.fact import Behalf, NewFact, Stored
from soc.organization.model import Agency
from soc.organization.registry import Registry
from soc.organization.table import read

MOST_RECIPIENTS = 2_000


def draft(
    app: App,
    subject: str,
    *,
    body: str = "",
    action: str = "",
    due_at: str = "",
    tlp: str = "AMBER",
    incident: str = "",
    to: Sequence[str] = (),
    below: Sequence[str] = (),
    annex: Mapping[str, Sequence[str]] = {},
    scope: str = "real",
) -> Notice:
    """A new notice under the next number of the year.

    `to`: agencies; `below`: agencies with all below them; `annex`: agency → what concerns it only.
    Raises: UsageError, NotFound (incident).
    """
    require(app, "notices.draft")
    if not subject.strip():
        raise UsageError("a notice needs a subject", hint="soc notices new SUBJECT --to AGENCY")
    if tlp not in TLP:
        raise UsageError(Phrase("{field}: {value} is none of {known}", field="tlp", value=tlp, known=", ".join(TLP)))
    recipients = _recipients(app, to, below, annex)
    data: dict[str, Any] = {
        "subject": subject,
        "body": body,
        "action": action,
        "due_at": due_at,
        "tlp": tlp,
        "incident": incidents.get(app, incident).id if incident else "",
        "recipients": [{"agency": agency, "annex": list(annex.get(agency, ()))} for agency in recipients],
    }
    stem = f"{PREFIX}TB-{local_day(app).year}-"
    return _folded(take(app, stem, NewFact("NoticeDrafted", data), scope=scope, busy="too many notices are drafted at the same moment"))


def _folded(facts: Sequence[Stored]) -> Notice:
    return fold(facts[0].fact.stream.removeprefix(PREFIX), [one.fact for one in facts])


def _recipients(app: App, to: Sequence[str], below: Sequence[str], annex: Mapping[str, Sequence[str]]) -> list[str]:
    """The agencies that get a notice: those that count today, each once."""
    registry = Registry(app.journal, ("agencies",))
    today = local_day(app)
    wanted = [*to, *annex]
    for one in below:
        wanted += [key for key in registry.below(one) if (found := registry.get(Agency, key)) is not None and found.valid(today)]
    for one in (*to, *annex, *below):
        known = registry.get(Agency, one)
        if known is None and registry.entries["agencies"]:
            raise UsageError(Phrase("there is no {key} among the {kind}", key=one, kind="agencies"), hint="soc agencies list")
        if known is not None and not known.valid(today):
            raise UsageError(
                Phrase("{key} ended on {day}", key=one, day=known.valid_until),
                hint=Phrase("its successors: {names}", names=", ".join(known.successors) or "-"),
            )
    chosen = list(dict.fromkeys(wanted))
    if not chosen:
        raise UsageError("a notice needs recipients", hint="--to AGENCY, --below AGENCY, or --annex FILE")
    if len(chosen) > MOST_RECIPIENTS:
        raise UsageError(Phrase("{count} recipients are too many (most: {most})", count=len(chosen), most=MOST_RECIPIENTS))
    return chosen


def read_annex(file: Path) -> dict[str, list[str]]:
    """Agency → lines of its annex, from a table with the columns `agency` and `item`.

    Raises: ConfigError, UsageError naming the line.
    """
    found: dict[str, list[str]] = {}
    for row in read(file):
        agency, item = str(row.values.get("agency", "")).strip(), str(row.values.get("item", "")).strip()
        if not agency or not item:
            raise UsageError(Phrase("{file}:{line}: the columns agency and item are needed", file=file, line=row.line))
        found.setdefault(agency, []).append(item)
    return found


def get(app: App, name: str) -> Notice:
    """The notice of this id: `TB-2026-0007` in any case, or the number alone (`7`) of this year.

    Raises: NotFound.
    """
    facts = app.journal.read(PREFIX + identity(f"TB-{local_day(app).year}-", name))
    if not facts:
        raise NotFound(Phrase("there is no notice {name}", name=name), hint="soc notices list")
    found = _folded(facts)
    require(app, "notices.view", found)
    return _own_part(app, found)


def _own_part(app: App, notice: Notice) -> Notice:
    """The notice with those recipients that one may see: what concerns others is in their annexes and answers."""
    agencies = only_agencies(app, "notices.view")
    if agencies is not None:
        notice.recipients = [one for one in notice.recipients if one.agency in agencies]
    return notice


def _every(app: App) -> list[Notice]:
    return [_folded(facts) for _, facts in app.journal.under(PREFIX)]


def listed(app: App, *, scope: str | None = "real", open_only: bool = False) -> list[Notice]:
    """All notices, the newest first; `open_only`: those that somebody still has to act on."""
    found = [_own_part(app, one) for one in visible(app, "notices.view", _every(app))]
    found = [one for one in found if scope is None or one.scope == scope]
    if open_only:
        found = [one for one in found if one.state != WITHDRAWN and any(recipient.state not in (ACTED, VERIFIED) for recipient in one.recipients)]
    return sorted(found, key=lambda one: one.id, reverse=True)


def _record(app: App, notice: Notice, kind: str, data: Mapping[str, Any], *, reason: str = "", behalf: Behalf | None = None) -> Notice:
    app.journal.append(PREFIX + notice.id, notice.version, [NewFact(kind, dict(data), reason, behalf)], actor=app.actor.name, scope=notice.scope)
    return get(app, notice.id)


def _in(notice: Notice, *states: str) -> None:
    if notice.state not in states:
        raise Conflict(Phrase("{id} is {state}", id=notice.id, state=notice.state), hint=Phrase("soc notices show {id}", id=notice.id))


def approve(app: App, name: str, *, signer: str, number: str = "", signed_on: str = "", urgent: bool = False, behalf: Behalf | None = None) -> Notice:
    """Record that a notice was signed: by somebody else than its author, with number and date, or urgently on a named person's word.

    Raises: NotAllowed (the author cannot sign), UsageError, Conflict.
    """
    require(app, "notices.approve")
    notice = get(app, name)
    if not (notice.urgent and not notice.confirmed and notice.state == OUT):
        _in(notice, DRAFT)
    if not signer.strip():
        raise UsageError("who signed?", hint="--signer NAME")
    if signer.strip().casefold() == notice.drafted_by.casefold():
        raise NotAllowed(
            Phrase("{name} wrote the notice and cannot sign it", name=signer), hint="another person signs; --urgent names whose word it goes out on"
        )
    if not urgent and (not number or not signed_on):
        raise UsageError("a signed document has a number and a date", hint="--number 12/CB-SKHCN --signed-on 2026-11-21, or --urgent")
    if signed_on:
        _day(signed_on)
    return _record(app, notice, "NoticeApproved", {"signer": signer, "number": number, "signed_on": signed_on, "urgent": urgent}, behalf=behalf)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(Phrase("{value} is no date", value=text), hint="as 2026-11-21") from None


def send(app: App, name: str, *, channel: str, to: Sequence[str] = (), at: str = "", reference: str = "", remind: bool = False) -> Notice:
    """Record that a notice went out to recipients (all that wait, or those named); `remind`: again, to those who have not acted.

    Raises: Conflict (not signed yet), UsageError, NotFound.
    """
    require(app, "notices.send")
    notice = get(app, name)
    _in(notice, *((OUT,) if remind else (APPROVED, OUT)))
    if channel not in NOTICE_CHANNELS:
        raise UsageError(Phrase("{field}: {value} is none of {known}", field="channel", value=channel, known=", ".join(NOTICE_CHANNELS)))
    fitting = (SENT, RECEIVED) if remind else (WAITING,)
    chosen = [_recipient(notice, agency).agency for agency in to] or [one.agency for one in notice.recipients if one.state in fitting]
    if not chosen:
        raise Conflict("there is nobody left to send it to", hint=Phrase("soc notices show {id}", id=notice.id))
    data = {"recipients": chosen, "channel": channel, "at": not_later(app, "at", at), "reference": reference}
    return _record(app, notice, "NoticeReminded" if remind else "NoticeSent", data)


def _recipient(notice: Notice, agency: str) -> Recipient:
    found = notice.recipient(agency)
    if found is None:
        raise NotFound(Phrase("{id} was not for {agency}", id=notice.id, agency=agency), hint=Phrase("soc notices show {id}", id=notice.id))
    return found


def answer(app: App, name: str, agency: str, state: str, *, text: str = "", at: str = "", channel: str = "", behalf: Behalf | None = None) -> Notice:
    """Record what a recipient did: received, acted, or that we verified it.

    Raises: Conflict (never sent to it), NotFound, UsageError.
    """
    require(app, "notices.answer", agency)
    notice = get(app, name)
    _in(notice, OUT)
    if state not in ANSWERS:
        raise UsageError(Phrase("{field}: {value} is none of {known}", field="state", value=state, known=", ".join(ANSWERS)))
    if _recipient(notice, agency).state == WAITING:
        raise Conflict(Phrase("{id} was not sent to {agency} yet", id=notice.id, agency=agency), hint=Phrase("soc notices send {id}", id=notice.id))
    data = {"agency": agency, "state": state, "text": text, "at": not_later(app, "at", at), "channel": channel}
    return _record(app, notice, "NoticeAnswered", data, behalf=behalf)


def acknowledge(app: App, code: str, *, state: str = RECEIVED, text: str = "", channel: str = "", behalf: Behalf | None = None) -> tuple[Notice, str]:
    """Record an answer by its code; the notice and the agency that the code is of. The same answer again changes nothing.

    Raises: NotFound.
    """
    wanted = code.strip().upper()
    for notice in _every(app):
        for one in notice.recipients:
            if one.code == wanted:
                require(app, "notices.answer", one.agency)
                if state in one.at and not text:
                    return notice, one.agency
                return answer(app, notice.id, one.agency, state, text=text, channel=channel, behalf=behalf), one.agency
    raise NotFound(Phrase("no notice has the code {code}", code=code), hint="read it again: 8 letters and digits, as on the letter")


def withdraw(app: App, name: str, *, reason: str) -> Notice:
    """Withdraw a notice: what was sent cannot be called back, and stays on the record.

    Raises: UsageError without a reason, Conflict.
    """
    require(app, "notices.withdraw")
    notice = get(app, name)
    _in(notice, DRAFT, APPROVED, OUT)
    if not reason.strip():
        raise UsageError("why is it withdrawn?", hint="--reason TEXT")
    return _record(app, notice, "NoticeWithdrawn", {}, reason=reason)


def overdue(app: App) -> list[tuple[Notice, Recipient]]:
    """Who should have acted by now and has not, the longest overdue first."""
    now = iso(app.clock.now_us())
    found = [(notice, one) for notice in listed(app) for one in notice.overdue(now)]
    return sorted(found, key=lambda pair: (pair[0].due_at, pair[0].id, pair[1].agency))


def letters(app: App, name: str) -> list[tuple[str, str]]:
    """Agency id and the text of its letter, for each recipient."""
    require(app, "notices.draft")
    notice = get(app, name)
    registry = Registry(app.journal, ("agencies",))
    names = {one.id: one.name for one in registry.all(Agency)}
    return [(one.agency, letter(notice, one, names.get(one.agency, one.agency))) for one in notice.recipients]
