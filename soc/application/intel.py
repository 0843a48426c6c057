"""Blocking lists: proposed from what incidents name, approved by a lead, written for gateways, and asked of the logs whether they work.

No list holds what belongs to an exercise, what is ours, or what everybody needs; nothing is written that nobody approved, and what
has expired or was withdrawn is in no list any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec

from soc.application import approval, incidents, observables, outbox
from soc.application.access import acting, require, standing
from soc.application.app import App
from soc.application.numbered import identity, local_day, local_time, take
from soc.application.recipients import leads
from soc.clock import from_iso, iso
from soc.errors import Conflict, NotAllowed, NotFound, Phrase, UsageError
from soc.i18n import said
from soc.incidents.classes import TLP
from soc.incidents.model import Incident
from soc.intel import formats
from soc.intel.blocking import ALLOWED, APPROVED, EXPIRED, PREFIX, PROPOSED, SAID, WITHDRAWN, Blocklist, Entry, LeftOut, fold
from soc.intel.blocking import allowed as allowed_by
from soc.intel.observables import Observable, defanged, read
from soc.model.fact import ANY_VERSION, Behalf, NewFact, Stored
from soc.model.journal import FactConflict
from soc.model.message import message

LETTERS = "BL"
MOST_ENTRIES = 1_000
"""Of one list: a fact holds them all."""
LONGEST_DAYS = 366
_MOST_TOLD = 50
"""Entries that a message names."""
DAY_US = 86_400_000_000
BLOCKABLE = ("ip", "domain", "url", "hash", "email")
"""Types that gateways block by; a file name alone says too little."""


class Effect(msgspec.Struct, frozen=True):
    """What the logs say of an entry since its list was first written: events that name it, stopped and let through, and the last let through.

    `state`: `stopped`, `passed`, or `unseen`.
    """

    blocklist: str
    type: str
    value: str
    since: str
    stopped: int
    passed: int
    last_passed_at: str = ""
    last_passed_source: str = ""
    last_passed_event: str = ""

    @property
    def state(self) -> str:
        """Whether it works."""
        return "passed" if self.passed else "stopped" if self.stopped else "unseen"


def _folded(facts: Sequence[Stored]) -> Blocklist:
    return fold(facts[0].fact.stream.removeprefix(PREFIX), [one.fact for one in facts])


def get(app: App, name: str) -> Blocklist:
    """The list of this id (`BL-2026-0001`), or of the number alone of this year.

    Raises: NotFound.
    """
    require(app, "intel.view")
    facts = app.journal.read(PREFIX + identity(f"{LETTERS}-{local_day(app).year}-", name))
    if not facts:
        raise NotFound(Phrase("there is no blocking list {name}", name=name), hint="soc intel list --all")
    return _folded(facts)


def listed(app: App, *, every: bool = False) -> list[Blocklist]:
    """The lists that wait or are in force (`every`: also those that ended), the newest first."""
    require(app, "intel.view")
    now = iso(app.clock.now_us())
    found = [_folded(facts) for _, facts in app.journal.under(PREFIX)]
    return [one for one in reversed(found) if every or one.state_at(now) in (PROPOSED, APPROVED)]


def in_force(app: App) -> list[Blocklist]:
    """The approved lists that have not ended, the oldest first."""
    now = iso(app.clock.now_us())
    return [one for one in reversed(listed(app)) if one.state_at(now) == APPROVED]


# --- proposing and deciding ------------------------------------------------------------------------------------------


def chosen(app: App, names: Sequence[str], *, all_open: bool = False) -> list[Incident]:
    """The incidents that a list is made of, none of an exercise.

    Raises: UsageError, NotFound, NotAllowed (an exercise).
    """
    if bool(names) == all_open:
        raise UsageError("say which incidents", hint="soc intel propose INC-2026-0007, or --all-open")
    found = [one for one, _ in incidents.listed(app)] if all_open else [incidents.get(app, name) for name in dict.fromkeys(names)]
    for one in found:
        if one.scope != "real":
            raise NotAllowed(Phrase("{id} belongs to an exercise: nothing of it is ever blocked", id=one.id), hint="name real incidents")
    return found


def gathered(app: App, found: Sequence[Incident], *, types: Sequence[str] = (), only: Sequence[str] = ()) -> tuple[list[Entry], list[LeftOut]]:
    """What a list of these incidents would hold, and what it would leave out and why; nothing is recorded.

    Raises: UsageError for values that they do not name, and when there are too many.
    """
    wanted = {value if (one := read(value)) is None else one.value for value in only}
    entries: dict[Observable, list[str]] = {}
    left: dict[Observable, str] = {}
    for incident in found:
        for seen in observables.of_incident(app, incident.id)[1]:
            one = Observable(seen.type, seen.value)
            if (wanted and seen.value not in wanted) or (types and seen.type not in types):
                continue
            why = seen.never_blocked or (Phrase("does not belong to {id}: {reason}", id=incident.id, reason=seen.ignored) if seen.ignored else "")
            if not why and seen.type not in BLOCKABLE:
                why = Phrase("no gateway blocks by it")
            if why:
                left[one] = why
            else:
                entries.setdefault(one, []).append(incident.id)
    unknown = wanted - {one.value for one in (*entries, *left)}
    if unknown:
        raise UsageError(Phrase("no chosen incident names {value}", value=min(unknown)), hint="soc incidents observe ID VALUE")
    if len(entries) > MOST_ENTRIES:
        raise UsageError(Phrase("{count} entries are too many (most: {most})", count=len(entries), most=MOST_ENTRIES), hint="choose by --type or --only")
    return (
        [Entry(one.type, one.value, tuple(sorted(names))) for one, names in sorted(entries.items())],
        [LeftOut(one.type, one.value, why) for one, why in sorted(left.items()) if one not in entries],
    )


def propose(
    app: App, names: Sequence[str], *, all_open: bool = False, expires_at: str, types: Sequence[str] = (), only: Sequence[str] = (), reason: str = ""
) -> Blocklist:
    """A new list, waiting for approval.

    Raises: UsageError (nothing to block, no or too late an end), NotAllowed.
    """
    require(app, "intel.propose")
    now = app.clock.now_us()
    if not now < from_iso(expires_at) <= now + LONGEST_DAYS * DAY_US:
        raise UsageError(
            Phrase("{field}: {value} is not within the next {days} days", field="expires", value=local_time(app, expires_at), days=LONGEST_DAYS),
            hint="--expires 30d",
        )
    found = chosen(app, names, all_open=all_open)
    entries, left = gathered(app, found, types=types, only=only)
    if not entries:
        raise UsageError("nothing is left that could be blocked", hint="soc incidents observables ID says why")
    closest = min((one.tlp for one in found if one.tlp in TLP), key=TLP.index, default="AMBER")
    data = {
        "entries": msgspec.to_builtins(entries),
        "left_out": [{"type": one.type, "value": one.value, "reason": str(one.reason)} for one in left][:MOST_ENTRIES],
        "incidents": [one.id for one in found],
        "expires_at": expires_at,
        "tlp": closest,
    }
    stem = f"{PREFIX}{LETTERS}-{local_day(app).year}-"
    made = _folded(take(app, stem, NewFact("BlocklistProposed", data, reason), busy="too many blocking lists are proposed at the same moment"))
    _tell_leads(app, made)
    return made


def _tell_leads(app: App, one: Blocklist) -> None:
    """Tell the leads that a list waits; its values are written harmlessly, as mails are clicked and filtered."""
    language = app.settings.language or "vi"
    subject = said(language, Phrase("Blocking list {id} waits for approval", id=one.id))
    shown = [f"{entry.type} {defanged(Observable(entry.type, entry.value))} ({', '.join(entry.incidents)})" for entry in one.entries[:_MOST_TOLD]]
    more = [f"… +{len(one.entries) - _MOST_TOLD}"] if len(one.entries) > _MOST_TOLD else []
    text = Phrase(
        "{who} proposes to block {count} entries until {until}:\n\n{entries}\n\nLook at it: soc intel show {id}\nApprove it: soc intel approve {id}\n",
        who=one.proposed_by,
        count=len(one.entries),
        until=one.expires_at[:10],
        entries="\n".join([*shown, *more]),
        id=one.id,
    )
    due = [
        message("blocklist", one.id, "proposed", recipient, subject, said(language, text), channel=channel, cause=PREFIX + one.id)
        for channel, recipient in leads(app)
    ]
    outbox.send_each(acting(app, "intel"), due)


def approve(app: App, name: str, *, reason: str = "", behalf: Behalf | None = None, expected: int | None = None) -> Blocklist:
    """Approve a list as it stands: another person than the one who proposed it, unless nobody is registered or one person is enough.

    What was allowed since it was proposed stops it. Raises: NotAllowed, Conflict, FactConflict.
    """
    require(app, "intel.approve")
    one = get(app, name)
    approved = [fact.fact for fact in app.journal.read(PREFIX + one.id) if fact.fact.kind == "BlocklistApproved"]
    if approved and one.state_at(iso(app.clock.now_us())) == APPROVED:
        raise FactConflict(PREFIX + one.id, one.version, approved)
    _in(app, one, PROPOSED)
    if expected is not None and expected != one.version:
        raise FactConflict(PREFIX + one.id, expected, [fact.fact for fact in app.journal.read(PREFIX + one.id, max(expected, 0))])
    signer = behalf.person if behalf is not None else app.actor.name
    alone = one.proposed_by == signer if behalf is None else not approval.may_sign(app, one.proposed_by, signer)
    if alone and standing(app).why != "sole" and approval.rule(app).two_person:
        raise NotAllowed(Phrase("{name} proposed it and cannot approve it", name=signer), hint="another person approves, or --on-behalf of the one who said so")
    allow = observables.allow_list(app)
    for entry in one.entries:
        why = allow.reason(Observable(entry.type, entry.value))
        if why:
            raise Conflict(
                Phrase("{value} must not be blocked: {why}", value=entry.value, why=why), hint=Phrase("soc intel withdraw {id} --reason …", id=one.id)
            )
    data = {"alone": True} if alone else {}
    return _appended(app, one, NewFact("BlocklistApproved", data, reason, behalf))


def withdraw(app: App, name: str, *, reason: str) -> Blocklist:
    """End a list now; gateways that fetch lists drop it at their next look.

    Raises: UsageError without a reason, Conflict.
    """
    require(app, "intel.approve")
    one = get(app, name)
    _in(app, one, PROPOSED, APPROVED)
    if not reason.strip():
        raise UsageError("why is it withdrawn?", hint="--reason TEXT")
    return _appended(app, one, NewFact("BlocklistWithdrawn", {}, reason))


def _in(app: App, one: Blocklist, *states: str) -> None:
    state = one.state_at(iso(app.clock.now_us()))
    if state not in states:
        raise Conflict(Phrase("{id} is {state}", id=one.id, state=SAID.get(state, state)), hint=Phrase("soc intel show {id}", id=one.id))


def _appended(app: App, one: Blocklist, fact: NewFact) -> Blocklist:
    app.journal.append(PREFIX + one.id, one.version, [fact], actor=app.actor.name)
    return get(app, one.id)


def allow(app: App, value: str, *, reason: str, remove: bool = False) -> Observable:
    """Say that a value must never be blocked, or no longer that.

    Raises: UsageError, NotFound.
    """
    require(app, "intel.approve")
    one = read(value)
    if one is None:
        raise UsageError(Phrase("{value} is nothing that could be blocked", value=value), hint="an address, network, domain, URL, mail address or hash")
    if not reason.strip():
        raise UsageError("why must it never be blocked?", hint="--reason TEXT")
    if remove and one.value not in allowed(app):
        raise NotFound(Phrase("nobody said that {value} must never be blocked", value=one.value), hint="soc intel allowed")
    fact = NewFact("ValueNoLongerAllowed" if remove else "ValueAllowed", {"value": one.value}, reason)
    app.journal.append(ALLOWED, ANY_VERSION, [fact], actor=app.actor.name)
    return one


def allowed(app: App) -> dict[str, str]:
    """Value → why people said that it must never be blocked."""
    require(app, "intel.view")
    return allowed_by(one.fact for one in app.journal.read(ALLOWED))


# --- writing ---------------------------------------------------------------------------------------------------------


class Written(msgspec.Struct, frozen=True):
    """What is written: entries of the lists in force with the list each comes from, and what was taken out since they were approved."""

    lists: list[Blocklist]
    entries: list[tuple[Blocklist, Entry]]
    left_out: list[LeftOut]

    def plain(self) -> list[Entry]:
        """Each value once."""
        return list({(entry.type, entry.value): entry for _, entry in self.entries}.values())


def writable(app: App, names: Sequence[str] = (), *, types: Sequence[str] = ()) -> Written:
    """What of the lists in force may be written now: of all, of some lists, or of some incidents.

    What became ours or was allowed meanwhile is left out. Raises: Conflict when nothing is approved, NotFound.
    """
    require(app, "intel.propose")
    lists, wanted = _lists(app, names)
    known = observables.allow_list(app)
    entries, left = [], []
    for one in lists:
        for entry in one.entries:
            if (types and entry.type not in types) or (wanted and not wanted.intersection(entry.incidents)):
                continue
            why = known.reason(Observable(entry.type, entry.value))
            if why:
                left.append(LeftOut(entry.type, entry.value, why))
            else:
                entries.append((one, entry))
    if not entries and names:
        raise Conflict("nothing of it is approved and in force", hint="soc intel propose INCIDENT, then soc intel approve LIST")
    return Written(lists, entries, left)


def _lists(app: App, names: Sequence[str]) -> tuple[list[Blocklist], set[str]]:
    """The lists in force that names of lists and incidents mean, and the incidents (none = all of the lists)."""
    force = in_force(app)
    if not names:
        return force, set()
    lists: dict[str, Blocklist] = {}
    wanted: set[str] = set()
    for name in names:
        if name.strip().upper().startswith(LETTERS + "-"):
            one = get(app, name)
            _in(app, one, APPROVED)
            lists[one.id] = one
            wanted |= {incident for entry in one.entries for incident in entry.incidents}
        else:
            incident = incidents.get(app, name)
            if incident.scope != "real":
                raise NotAllowed(Phrase("{id} belongs to an exercise: nothing of it is ever blocked", id=incident.id), hint="name real incidents")
            wanted.add(incident.id)
            lists |= {one.id: one for one in force if incident.id in one.incidents}
    return list(lists.values()), wanted


def rendered(found: Written, format_: str, type_: str = "") -> bytes:
    """The file of a format; CSV is made by the front end.

    Raises: UsageError: `edl` with several types.
    """
    entries = found.plain()
    if format_ == "edl":
        types = {entry.type for entry in entries}
        if not type_ and len(types) > 1:
            raise UsageError(
                Phrase("a plain list holds one type, and there are {types}", types=", ".join(sorted(types))), hint="--type ip, or --to FOLDER for a file each"
            )
        return _lines(formats.edl(entries, type_ or next(iter(types), "ip")))
    if format_ == "fortigate":
        ends = min((one.expires_at for one in found.lists), default="")
        return _lines(formats.fortigate(entries, "soc-block", ends))
    objects = [
        thing
        for one in found.lists
        for thing in formats.stix(
            [entry for of, entry in found.entries if of.id == one.id], one.id, tlp=one.tlp, begin=one.approved_at, expires_at=one.expires_at
        )
    ]
    whole = formats.bundle(objects, [one.id for one in found.lists])
    return msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n"


def _lines(lines: Any) -> bytes:
    return "".join(line + "\n" for line in lines).encode()


def note_written(app: App, found: Written, format_: str, content: bytes, place: str = "") -> None:
    """Record in each list that it was written, when its content was not written so before: the effect is counted from then on."""
    digest = sha256(content).hexdigest()
    for one in found.lists:
        count = sum(of.id == one.id for of, _ in found.entries)
        if count and not any(past["sha256"] == digest and past["format"] == format_ for past in one.written):
            data = {"format": format_, "count": count, "sha256": digest, "place": place}
            app.journal.append(PREFIX + one.id, ANY_VERSION, [NewFact("BlocklistWritten", data)], actor=app.actor.name)


# --- whether it worked -----------------------------------------------------------------------------------------------


def check(app: App, names: Sequence[str] = ()) -> list[Effect]:
    """What the logs say of every entry since its list was first written; what passed comes first.

    Cost: up to three queries an entry.
    """
    require(app, "intel.view")
    lists = [get(app, name) for name in names] if names else [one for one in listed(app, every=True) if one.written and one.state != WITHDRAWN]
    found = []
    for one in lists:
        if not one.written:
            raise Conflict(Phrase("{id} was never written for a gateway", id=one.id), hint=Phrase("soc intel export {id}", id=one.id))
        since = min(str(past["at"]) for past in one.written)
        until = min(iso(app.clock.now_us() + DAY_US), one.expires_at)
        found += [_effect(app, one, entry, since, until) for entry in one.entries]
    order = {"passed": 0, "unseen": 1, "stopped": 2}
    return sorted(found, key=lambda effect: (order[effect.state], -effect.passed, effect.blocklist, effect.type, effect.value))


def _effect(app: App, one: Blocklist, entry: Entry, since: str, until: str) -> Effect:
    query = observables.query_of(Observable(entry.type, entry.value), since_us=from_iso(since), until_us=from_iso(until))
    stopped = app.store.count(observables.blocked(query, stopped=True))
    let = observables.blocked(query, stopped=False)
    passed = app.store.count(let)
    last = app.store.search(let).docs[0] if passed else {}
    return Effect(
        one.id,
        entry.type,
        entry.value,
        since,
        stopped,
        passed,
        str(last.get("@timestamp", "")),
        str(last.get("soc.source", "")),
        str(last.get("soc.id", "")),
    )


__all__ = [
    "BLOCKABLE",
    "EXPIRED",
    "Effect",
    "Written",
    "allow",
    "allowed",
    "approve",
    "check",
    "chosen",
    "gathered",
    "get",
    "in_force",
    "listed",
    "note_written",
    "propose",
    "rendered",
    "withdraw",
    "writable",
]
