"""Commands and queries about warning notices; how they go out is in `soc.application.notices_send`."""

from __future__ import annotations

import secrets  # noqa: TID251 - a code that anybody can work out would prove nothing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from soc.application import approval, incidents, outbox
from soc.application.access import only_agencies, require, visible
from soc.application.app import App
from soc.application.numbered import identity, local_day, not_later, take
from soc.clock import from_iso, iso
from soc.errors import Conflict, NotAllowed, NotFound, Phrase, UsageError
from soc.incidents.classes import ANSWERS, TLP
from soc.incidents.letter import letter
from soc.incidents.notices import ACTED, APPROVED, DRAFT, OUT, PREFIX, RECEIVED, SAID, VERIFIED, WAITING, Notice, Recipient, fold
from soc.incidents.notices_listing import OPEN, SILENT, notice_of, projection
from soc.model.fact import Behalf, NewFact, Stored
from soc.model.journal import FactConflict
from soc.model.message import message_id, one_line
from soc.model.projection import ListQuery
from soc.organization.calendar import next_working_day
from soc.organization.model import Agency, Mailbox, Point, System, kind_word
from soc.organization.registry import Registry
from soc.organization.table import read

MOST_RECIPIENTS = 2_000
MOST_ANNEX = 65_536
"""Characters of one recipient's annex; longer lists belong into the evidence store."""
MOST_SIGNED = 64 << 20
"""Bytes of a signed file."""
ROWS_PER_FACT = 500
KIND = "notice"
"""Of messages."""
_PER_FACT = 100_000
"""Characters of annexes in one fact, which may hold 256 KiB."""
_LONGEST = {"subject": 500, "body": 20_000, "action": 10_000, "text": 10_000, "reason": 2_000, "signer": 200, "number": 100, "reference": 500}
_TRIES = 20


# --- drafting --------------------------------------------------------------------------------------------------------


def draft(
    app: App,
    subject: str,
    *,
    body: str = "",
    action: str = "",
    due_at: str = "",
    tlp: str = "AMBER",
    incident: str = "",
    warning: str = "",
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
    subject = one_line(subject)
    if not subject:
        raise UsageError("a notice needs a subject", hint="soc notices new SUBJECT --to AGENCY")
    recipients = recipients_of(app, to, below, annex)
    data = {
        **bounded({"subject": subject, "body": body, "action": action}),
        "due_at": due_at,
        "tlp": _tlp(tlp),
        "incident": incidents.get(app, incident).id if incident else "",
        "warning": warning,
        "salt": secrets.token_hex(16),
    }
    facts = [NewFact("NoticeDrafted", data), *(NewFact("RecipientsAdded", {"recipients": part}) for part in _parts(recipients, annex))]
    return _folded(take(app, f"{PREFIX}TB-{local_day(app).year}-", *facts, scope=scope, busy="too many notices are drafted at the same moment"))


def edit(app: App, name: str, *, subject: str = "", body: str = "", action: str = "", due_at: str = "", tlp: str = "") -> Notice:
    """Change the texts of a draft.

    Raises: Conflict when it was approved already, UsageError.
    """
    require(app, "notices.draft")
    notice = get(app, name)
    in_state(notice, DRAFT)
    texts = {key: value for key, value in {"subject": one_line(subject), "body": body, "action": action}.items() if value}
    data = {**bounded(texts), **({"due_at": due_at} if due_at else {}), **({"tlp": _tlp(tlp)} if tlp else {})}
    if not data:
        raise UsageError("nothing to change was given", hint="soc notices edit --help")
    return record(app, notice, NewFact("NoticeDrafted", data))


def _tlp(value: str) -> str:
    if value not in TLP:
        raise UsageError(Phrase("{field}: {value} is none of {known}", field="tlp", value=value, known=", ".join(TLP)))
    return value


def bounded(given: Mapping[str, str]) -> dict[str, str]:
    """The texts, none too long.

    Raises: UsageError naming the field.
    """
    for name, value in given.items():
        if len(value) > _LONGEST[name]:
            raise UsageError(Phrase("{field}: {count} characters are too many (most: {most})", field=name, count=len(value), most=_LONGEST[name]))
    return dict(given)


def _parts(recipients: Sequence[str], annex: Mapping[str, Sequence[str]]) -> Iterator[list[dict[str, Any]]]:
    """Recipients with their annexes, cut so that each part fits into one fact.

    Raises: UsageError for an annex that is too long.
    """
    part: list[dict[str, Any]] = []
    size = 0
    for agency in recipients:
        lines = list(annex.get(agency, ()))
        own = sum(len(line.encode()) + 4 for line in lines) + 100
        if own > MOST_ANNEX:
            raise UsageError(
                Phrase("the annex of {agency} has {count} bytes, more than {most}", agency=agency, count=own, most=MOST_ANNEX),
                hint="keep the list as evidence, and name it in the notice",
            )
        if part and size + own > _PER_FACT:
            yield part
            part, size = [], 0
        part.append({"agency": agency, "annex": lines})
        size += own
    if part:
        yield part


def recipients_of(app: App, to: Sequence[str], below: Sequence[str], annex: Mapping[str, Sequence[str]]) -> list[str]:
    """The agencies that get a notice: those that count today, each once."""
    registry = Registry(app.journal, ("agencies",))
    today = local_day(app)
    wanted = [*to, *annex]
    for one in below:
        wanted += [key for key in registry.below(one) if (found := registry.get(Agency, key)) is not None and found.valid(today)]
    for one in (*to, *annex, *below):
        known = registry.get(Agency, one)
        if known is None and registry.entries["agencies"]:
            raise UsageError(Phrase("there is no {key} among the {kind}", key=one, kind=kind_word("agencies")), hint="soc agencies list")
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


def read_annex(app: App, file: Path) -> dict[str, list[str]]:
    """Agency → lines of its annex, from a table with the column `item`, and `agency` where the registry cannot say whose an item is.

    The registry knows mailboxes, mail domains and public addresses; a private address may be of several, so it needs `agency`.
    Raises: ConfigError, UsageError naming the line.
    """
    found: dict[str, list[str]] = {}
    owner: Callable[[str], str] | None = None
    for row in read(file):
        agency, item = str(row.values.get("agency", "")).strip(), str(row.values.get("item", "")).strip()
        if not item:
            raise UsageError(Phrase("{file}:{line}: the columns agency and item are needed", file=file, line=row.line))
        if not agency:
            owner = owner or _owners(app)
            agency = owner(item)
        if not agency:
            raise UsageError(
                Phrase("{file}:{line}: the registry does not know whose {item} is", file=file, line=row.line, item=item[:80]),
                hint="write the id of the agency into the column agency",
            )
        found.setdefault(agency, []).append(item)
    return found


def _owners(app: App) -> Callable[[str], str]:
    """Says whose a mailbox or public address is ("" = not known)."""
    registry, today = Registry(app.journal, ("agencies", "points", "systems", "mailboxes")), local_day(app)
    known = {address: point.agency for point in registry.all(Point, today) for address in point.public_addresses}
    known |= {address: system.owner for system in registry.all(System, today) for address in system.public_addresses}
    known |= {box.address: box.agency for box in registry.all(Mailbox, today)}
    domains = {domain.lower(): agency.id for agency in registry.all(Agency, today) for domain in agency.domains}

    def owner(item: str) -> str:
        text = item.lower()
        return known.get(text) or (domains.get(text.rpartition("@")[2], "") if "@" in text else "")

    return owner


# --- reading ---------------------------------------------------------------------------------------------------------


def _folded(facts: Sequence[Stored]) -> Notice:
    return fold(facts[0].fact.stream.removeprefix(PREFIX), [one.fact for one in facts])


def whole(app: App, name: str) -> Notice:
    """The notice with all its recipients, whoever asks: for what the program itself does.

    Raises: NotFound.
    """
    facts = app.journal.read(PREFIX + identity(f"TB-{local_day(app).year}-", name))
    if not facts:
        raise NotFound(Phrase("there is no notice {name}", name=name), hint="soc notices list")
    return _folded(facts)


def get(app: App, name: str) -> Notice:
    """The notice of this id: `TB-2026-0007` in any case, or the number alone (`7`) of this year.

    Raises: NotFound.
    """
    found = whole(app, name)
    require(app, "notices.view", found)
    return _own_part(app, found)


def _own_part(app: App, notice: Notice) -> Notice:
    """The notice with those recipients that one may see: what concerns others is in their annexes and answers."""
    agencies = only_agencies(app, "notices.view")
    if agencies is not None:
        notice.recipients = [one for one in notice.recipients if one.agency in agencies]
    return notice


def every(app: App, *, word: str = "", late: bool = False) -> list[Notice]:
    """All notices whole (or those of a word of the list, or with somebody overdue), for what the program itself does."""
    query = ListQuery(scope=None, word=word, late_at_us=app.clock.now_us() if late else 0)
    return [notice_of(one) for one in app.lists.page(projection(), query)[1]]


def listed(app: App, *, scope: str | None = "real", open_only: bool = False) -> list[Notice]:
    """All notices, the newest first; `open_only`: those that somebody still has to act on."""
    found = _seen(app, every(app, word=OPEN if open_only else ""), scope)
    if open_only:
        found = [one for one in found if any(recipient.state not in (ACTED, VERIFIED) for recipient in one.recipients)]
    return sorted(found, key=lambda one: one.id, reverse=True)


def _seen(app: App, found: Iterable[Notice], scope: str | None) -> list[Notice]:
    """What the one who asks may see of notices."""
    return [_own_part(app, one) for one in visible(app, "notices.view", found) if scope is None or one.scope == scope]


def overdue(app: App) -> list[tuple[Notice, Recipient]]:
    """Who should have acted by now and has not, the longest overdue first."""
    now = iso(app.clock.now_us())
    found = [(notice, one) for notice in _seen(app, every(app, late=True), "real") for one in notice.overdue(now)]
    return sorted(found, key=lambda pair: (pair[0].due_at, pair[0].id, pair[1].agency))


def unanswered(app: App, name: str = "") -> list[tuple[Notice, Recipient]]:
    """Who never said a word to a notice, or to any, the newest notice first."""
    chosen = [get(app, name)] if name else sorted(_seen(app, every(app, word=SILENT), "real"), key=lambda one: one.id, reverse=True)
    return [(notice, one) for notice in chosen for one in notice.unanswered()]


def record(app: App, notice: Notice, *facts: NewFact) -> Notice:
    """Append to a notice under the version that was seen; the notice afterwards."""
    app.journal.append(PREFIX + notice.id, notice.version, facts, actor=app.actor.name, scope=notice.scope)
    return get(app, notice.id)


def in_state(notice: Notice, *states: str) -> None:
    """Go on if the notice is in one of these states.

    Raises: Conflict.
    """
    if notice.state not in states:
        raise Conflict(Phrase("{id} is {state}", id=notice.id, state=SAID.get(notice.state, notice.state)), hint=Phrase("soc notices show {id}", id=notice.id))


# --- the document ----------------------------------------------------------------------------------------------------


FORMS = ("txt", "docx")


class Letter(NamedTuple):
    """What one recipient gets."""

    agency: str
    name: str
    code: str
    content: bytes


def letters(app: App, name: str, form: str = "txt") -> Iterator[Letter]:
    """The letter of each recipient, with its own annex and code, as text or by the template `notice.docx` of the reports.

    Raises: UsageError (no such form), ConfigError (the template, or the extra is not installed).
    """
    require(app, "notices.draft")
    notice = get(app, name)
    if form not in FORMS:
        raise UsageError(Phrase("{field}: {value} is none of {known}", field="format", value=form, known=", ".join(FORMS)))
    names, zone = names_of(app), app.settings.timezone
    written = _documents(app, notice) if form == "docx" else lambda one, to: letter(notice, one, to, zone).encode()
    for one in notice.recipients:
        to = names.get(one.agency, one.agency)
        yield Letter(one.agency, to, one.code, written(one, to))


def _documents(app: App, notice: Notice) -> Callable[[Recipient, str], bytes]:
    """Writes the document of a recipient."""
    from soc.application import reports  # noqa: PLC0415 - most commands write no documents
    from soc.reports import kinds  # noqa: PLC0415 - the same
    from soc.reports.facts import reporter_of  # noqa: PLC0415 - the same
    from soc.reports.notice import values  # noqa: PLC0415 - the same
    from soc.reports.values import filled  # noqa: PLC0415 - the same

    kind, office, day = kinds.notice(), reports.office(app), local_day(app)
    issuer = reporter_of(Registry(app.journal, ("agencies",)), office)

    def document(one: Recipient, to: str) -> bytes:
        return reports.made(app, kind, filled(kind, values(notice, one, to, office, issuer, day, app.settings.timezone)), "docx", {})

    return document


def names_of(app: App) -> dict[str, str]:
    """The names of agencies by their ids."""
    return {one.id: one.name for one in Registry(app.journal, ("agencies",)).all(Agency)}


def exported(app: App, name: str, files: Sequence[tuple[str, str, str]]) -> Notice:
    """Record what was written for whom: agency, name of the file, SHA-256 of its bytes."""
    require(app, "notices.draft")
    notice = get(app, name)
    rows = [{"agency": agency, "file": file, "sha256": digest} for agency, file, digest in files]
    facts = [NewFact("NoticeExported", {"files": rows[at : at + ROWS_PER_FACT]}) for at in range(0, len(rows), ROWS_PER_FACT)]
    return record(app, notice, *facts) if facts else notice


def approve(
    app: App,
    name: str,
    *,
    signer: str,
    number: str = "",
    signed_on: str = "",
    signed_file: Path | None = None,
    urgent: bool = False,
    behalf: Behalf | None = None,
) -> Notice:
    """Record that a notice was signed: by somebody else than its author, with number and date, or urgently on a named person's word.

    `signed_file`: the document as it came back, which is kept as evidence. Raises: NotAllowed (the author cannot sign), UsageError, Conflict.
    """
    require(app, "notices.approve")
    notice = get(app, name)
    if not (notice.urgent and not notice.confirmed and notice.state in (APPROVED, OUT)):
        _unsigned(app, notice)
        in_state(notice, DRAFT)
    data = {**signature(app, notice, signer, number, signed_on, signed_file, urgent=urgent), "urgent": urgent}
    return record(app, notice, NewFact("NoticeApproved", data, behalf=behalf))


def _unsigned(app: App, notice: Notice) -> None:
    """Go on if nobody signed it.

    Raises: FactConflict, which shows who did.
    """
    stream = PREFIX + notice.id
    signed = [one.fact for one in app.journal.read(stream) if one.fact.kind == "NoticeApproved"]
    if signed and notice.state in (APPROVED, OUT):
        raise FactConflict(stream, notice.version, signed)


def signature(app: App, notice: Notice, signer: str, number: str, signed_on: str, signed_file: Path | None, *, urgent: bool = False) -> dict[str, Any]:
    """What is recorded of a signature.

    Raises: NotAllowed (the author cannot sign), UsageError.
    """
    if not signer.strip():
        raise UsageError("who signed?", hint="--signer NAME")
    if not approval.may_sign(app, notice.drafted_by, signer):
        raise NotAllowed(
            Phrase("{name} wrote the notice and cannot sign it", name=signer), hint="another person signs; a team of one: soc notices approval --one-person"
        )
    if not urgent and (not number or not signed_on):
        raise UsageError("a signed document has a number and a date", hint="--number 12/CB-SKHCN --signed-on 2026-11-21, or --urgent")
    if signed_on and a_day(signed_on) > local_day(app):
        raise UsageError(Phrase("{field}: {value} lies in the future", field="signed_on", value=signed_on))
    found: dict[str, Any] = {
        **bounded({"signer": signer.strip(), "number": number.strip()}),
        "signed_on": signed_on,
        "two_person": approval.rule(app).two_person,
    }
    if signed_file is not None:
        found |= {"sha256": keep(app, signed_file), "file": signed_file.name}
    return found


def keep(app: App, file: Path) -> str:
    """The SHA-256 under which the store of evidence keeps a document that came.

    Raises: UsageError (no plain file, empty, too large), StoreFull.
    """
    try:
        size = file.lstat().st_size
    except OSError as error:
        raise UsageError(Phrase("{path} cannot be read: {strerror}", path=file, strerror=error.strerror)) from error
    if not 0 < size <= MOST_SIGNED:
        raise UsageError(Phrase("{path} is empty, or larger than {most} MiB", path=file, most=MOST_SIGNED >> 20), hint="give the signed document")
    return app.wiring.evidence().add(file).sha256


def a_day(text: str) -> date:
    """The date that a text is.

    Raises: UsageError.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(Phrase("{value} is no date", value=text), hint="as 2026-11-21") from None


def withdraw(app: App, name: str, *, reason: str) -> Notice:
    """Withdraw a notice: what was sent cannot be called back, and stays on the record; messages that wait are cancelled.

    Raises: UsageError without a reason, Conflict.
    """
    require(app, "notices.withdraw")
    notice = get(app, name)
    in_state(notice, DRAFT, APPROVED, OUT)
    if not reason.strip():
        raise UsageError("why is it withdrawn?", hint="--reason TEXT")
    bounded({"reason": reason})
    found = record(app, notice, NewFact("NoticeWithdrawn", {}, reason))
    for message in messages_of(notice):
        with suppress(NotFound, Conflict):  # never queued, or sent already
            outbox.cancel(app, message, reason=reason)
    return found


def messages_of(notice: Notice) -> list[str]:
    """The ids of all messages that a notice ever asked for."""
    return [one for recipient in notice.recipients for sending in recipient.sent for one in message_ids(notice, recipient, sending)]


def about(notice: Notice, agency: str) -> str:
    """What a message of a notice is about: one recipient's way with it."""
    return f"{notice.id}/{agency}"


def message_ids(notice: Notice, recipient: Recipient, sending: Mapping[str, str]) -> list[str]:
    """The ids of the messages of one sending to one recipient."""
    return [message_id(KIND, about(notice, recipient.agency), sending["message"], to) for to in sending.get("to", "").split(", ") if to]


# --- answers ---------------------------------------------------------------------------------------------------------


def answer(
    app: App,
    name: str,
    agency: str,
    state: str,
    *,
    text: str = "",
    at: str = "",
    channel: str = "",
    behalf: Behalf | None = None,
    reply: str = "",
    sender: str = "",
) -> Notice:
    """Record what a recipient did: received, acted, or that we verified it. `reply`: the mail that says so; the same again changes nothing.

    Raises: Conflict (never sent to it), NotFound, UsageError.
    """
    require(app, "notices.answer", agency)
    if state not in ANSWERS:
        raise UsageError(Phrase("{field}: {value} is none of {known}", field="state", value=state, known=", ".join(ANSWERS)))
    data = {"agency": agency, "state": state, **bounded({"text": text}), "at": not_later(app, "at", at), "channel": channel}
    if reply:
        data |= {"reply": reply, "from": sender}
    for tries_left in range(_TRIES, -1, -1):
        notice = get(app, name)
        in_state(notice, OUT)
        one = recipient_of(notice, agency)
        if one.state == WAITING:
            raise Conflict(Phrase("{id} was not sent to {agency} yet", id=notice.id, agency=agency), hint=Phrase("soc notices send {id}", id=notice.id))
        if reply and any(known.get("reply") == reply for known in one.answers):
            return notice
        try:
            return record(app, notice, NewFact("NoticeAnswered", data, behalf=behalf))
        except FactConflict:  # what others record of other agencies changes nothing here
            if not tries_left:
                raise
    raise AssertionError


def recipient_of(notice: Notice, agency: str) -> Recipient:
    """The recipient of this id.

    Raises: NotFound.
    """
    found = notice.recipient(agency)
    if found is None:
        raise NotFound(Phrase("{id} was not for {agency}", id=notice.id, agency=agency), hint=Phrase("soc notices show {id}", id=notice.id))
    return found


def acknowledge(
    app: App, code: str, *, state: str = RECEIVED, text: str = "", at: str = "", channel: str = "", behalf: Behalf | None = None
) -> tuple[Notice, str]:
    """Record an answer by its code; the notice and the agency that the code is of. The same answer again changes nothing.

    Raises: NotFound.
    """
    wanted = code.strip().upper()
    for notice in every(app):
        for one in notice.recipients:
            if one.code == wanted:
                require(app, "notices.answer", one.agency)
                if state in one.at and not text:
                    return _own_part(app, notice), one.agency
                return answer(app, notice.id, one.agency, state, text=text, at=at, channel=channel, behalf=behalf), one.agency
    raise NotFound(Phrase("no notice has the code {code}", code=code), hint="read it again: 8 letters and digits, as on the letter")


# --- what is due of us -----------------------------------------------------------------------------------------------


class Confirmation(NamedTuple):
    """A notice that went out on somebody's word, and until when the writing is due."""

    notice: Notice
    due: date
    overdue: bool


def confirmations(app: App) -> list[Confirmation]:
    """Notices whose written confirmation is still due, the most urgent first."""
    today = local_day(app)
    waiting = [one for one in listed(app) if one.urgent and not one.confirmed and one.state in (APPROVED, OUT)]
    found = [Confirmation(one, due := confirm_by(app, one), today > due) for one in waiting]
    return sorted(found, key=lambda one: (one.due, one.notice.id))


def confirm_by(app: App, notice: Notice) -> date:
    """The day until which the written confirmation of an urgent notice is due: the next working day."""
    return next_working_day(local_day(app, from_iso(notice.approved_at)))
