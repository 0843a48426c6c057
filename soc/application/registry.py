"""Importing, listing and asking the registry of agencies, points, people, systems, mailboxes and partners."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from soc.application.access import allowed, reach, require, standing, visible
from soc.application.app import App
from soc.application.numbered import local_day
from soc.errors import Conflict, NegativeResult, NotAllowed, NotFound, Phrase, UsageError, near
from soc.model.role import ADMINISTRATOR, OWN
from soc.model.text import vi_fold
from soc.organization import gaps as gaps_of
from soc.organization.model import KINDS, Agency, Entry, Person, Shift, System, kind_word
from soc.organization.registry import Plan, Registry, record, stream_of
from soc.organization.roster import without_overlaps
from soc.organization.table import read

_MOST_OFFERED = 8


def plan(app: App, kind: str, file: Path, *, replace: bool) -> Plan:
    """What importing a file would change; nothing is recorded."""
    require(app, _import(kind))
    registry = Registry(app.journal)
    found = registry.plan(kind, read(file), replace=local_day(app) if replace else None)
    return without_overlaps(found, registry) if kind == Shift.kind else found


def _import(kind: str) -> str:
    return {Person.kind: "people.import", Shift.kind: "oncall.change"}.get(kind, "registry.import")


def _keep_an_administrator(app: App, plan: Plan) -> None:
    """Refuse what leaves accounts and no administrator among them: nobody could change roles again."""
    people = {one.id: one for one in Registry(app.journal, (Person.kind,)).all(Person)}
    people |= {one.id: one for one in (*plan.added, *(after for _, after in plan.changed), *plan.ended) if isinstance(one, Person)}
    today = local_day(app)
    if any(one.account for one in people.values()) and not any(one.account and one.role == ADMINISTRATOR and one.valid(today) for one in people.values()):
        raise NotAllowed(
            "after this nobody would be administrator, so nothing was recorded", hint="give an account with the role administrator in the same file"
        )


def apply(app: App, plan: Plan, *, origin: str, reason: str = "", skip_rejected: bool = False) -> int:
    """Record a plan; how many facts.

    Raises: NegativeResult while rows are rejected and it was not said to leave them out; Conflict.
    """
    require(app, _import(plan.kind))
    if plan.kind == Person.kind:
        _keep_an_administrator(app, plan)
    if plan.rejected and not skip_rejected:
        raise NegativeResult(
            Phrase("{count} rows are rejected, so nothing was recorded", count=len(plan.rejected)), hint="mend them, or leave them out: --skip-rejected"
        )
    return record(app.journal, plan, actor=app.actor.name, reason=reason, origin=origin)


def listed(app: App, kind: str, *, at: date | None = None, agency: str = "", every: bool = False) -> list[Entry]:
    """The objects of a kind that count on a day (`every`: also those that do not), of one agency and those below it or of all."""
    registry = Registry(app.journal)
    found: Iterable[Entry] = registry.all(KINDS[kind], None if every else at or local_day(app))
    if agency:
        below = set(registry.below(agency))
        field = {"agencies": "id", "systems": "owner"}.get(kind, "agency")
        found = [one for one in found if getattr(one, field, "") in below]
    return visible(app, "registry.view", found)


def names(app: App, kind: str, ids: Sequence[str]) -> dict[str, str]:
    """The names of agencies or systems that something one may see is about; ids that the registry does not have are left out."""
    known = Registry(app.journal, (kind,)).entries[kind] if ids else {}
    return {one: str(getattr(known[one], "name", "")) for one in ids if one in known}


def shown(app: App, kind: str, key: str) -> tuple[Entry, dict[str, list[str]]]:
    """One object by its id or a unique beginning of it, and the ids of what names it, by kind.

    Raises: NotFound, Conflict.
    """
    registry = Registry(app.journal)
    entries = registry.entries[kind]
    names = [key] if key in entries else [name for name in entries if name.startswith(key)]
    if not names:
        raise NotFound(
            Phrase("there is no {key} among the {kind}", key=key, kind=kind_word(kind)), hint=near(key, entries, Phrase("soc {kind} list --all", kind=kind))
        )
    if len(names) > 1:
        raise Conflict(
            Phrase("several {kind} begin with {key}: {first}, {second}, …", kind=kind, key=key, first=names[0], second=names[1]), hint="give more of the id"
        )
    require(app, "registry.view", entries[names[0]])
    users: dict[str, list[str]] = {}
    for other, model in KINDS.items():
        fields = [field for field, target in model.refers.items() if target == kind]
        for name, entry in sorted(registry.entries[other].items()):
            if allowed(app, "registry.view", entry) and any(
                names[0] == value or (isinstance(value, list) and names[0] in value) for value in (getattr(entry, field) for field in fields)
            ):
                users.setdefault(other, []).append(name)
    return entries[names[0]], users


def gaps(app: App, agency: str = "", regime: str = "") -> list[gaps_of.Missing]:
    """What a regime (default: the one in force) asks for and the registry does not have.

    Raises: NotFound for an agency that is not there, UsageError for a regime that there is none of.
    """
    registry = Registry(app.journal)
    if agency and agency not in registry.entries["agencies"]:
        raise NotFound(Phrase("there is no {key} among the {kind}", key=agency, kind=kind_word("agencies")), hint="soc agencies list")
    if reach(app, "registry.view") == OWN:
        agency = agency or standing(app).agency
    require(app, "registry.view", agency or None)
    return gaps_of.missing(registry, local_day(app), agency, regime)


class Coverage(NamedTuple):
    """How many computers of an agency and its systems have endpoint protection. `licences` beyond the computers of one object cover no other."""

    agency: str
    name: str
    computers: int
    licences: int
    covered: int


def coverage(app: App, agency: str = "") -> list[Coverage]:
    """Of each agency that has told its computers, the least covered first.

    Raises: NotAllowed.
    """
    registry = Registry(app.journal, ("agencies", "systems"))
    day = local_day(app)
    below = set(registry.below(agency)) if agency else None
    counted: dict[str, list[tuple[int, int]]] = {}
    for one in registry.all(Agency, day):
        if one.computers is not None:
            counted.setdefault(one.id, []).append((one.computers, one.licences or 0))
    for system in registry.all(System, day):
        if system.computers is not None:
            counted.setdefault(system.owner, []).append((system.computers, system.licences or 0))
    names = {one.id: one.name for one in registry.all(Agency)}
    found = [
        Coverage(owner, names.get(owner, owner), sum(have for have, _ in pairs), sum(paid for _, paid in pairs), sum(min(pair) for pair in pairs))
        for owner, pairs in counted.items()
        if below is None or owner in below
    ]
    found = visible(app, "registry.view", found)
    return sorted(found, key=lambda one: (one.covered / one.computers if one.computers else 1.0, one.agency))


class Change(NamedTuple):
    """One import that touched an object: when, by whom, from which file, why, and what it said of it then."""

    at: str
    actor: str
    origin: str
    reason: str
    values: dict[str, Any]


def changes(app: App, kind: str, key: str) -> list[Change]:
    """Every import that touched an object, the oldest first.

    Raises: NotFound, Conflict.
    """
    entry, _ = shown(app, kind, key)
    model = KINDS[kind]
    found = []
    for stored in app.journal.read(stream_of(kind)):
        fact = stored.fact
        for row in fact.data.get("rows", ()):
            one = model.model_validate(row)
            if one.key == entry.key:
                found.append(Change(fact.at, fact.actor, str(fact.data.get("origin", "")), fact.reason, row))
    return found


def agencies_like(app: App, text: str) -> list[Agency]:
    """The agencies of today whose id begins with a text or whose name holds its words, without regard to accents; ids first."""
    words = vi_fold(text).split()
    found = [one for one in Registry(app.journal, (Agency.kind,)).all(Agency, local_day(app)) if allowed(app, "registry.view", one)]
    fitting = [one for one in found if one.id.lower().startswith(text.strip().lower()) or (words and all(word in vi_fold(one.name) for word in words))]
    return sorted(fitting, key=lambda one: (not one.id.lower().startswith(text.strip().lower()), one.name))


def agency_named(app: App, text: str) -> str:
    """The id of the agency that somebody means: its id, or a part of the name that only one has; while there is no registry, what was said.

    Raises: UsageError, which names those that fit.
    """
    known = Registry(app.journal, (Agency.kind,)).entries[Agency.kind]
    if text in known or not known:
        return text
    found = agencies_like(app, text)
    whole = [one for one in found if vi_fold(one.name) == vi_fold(text)]
    if len(whole or found) == 1:
        return (whole or found)[0].id
    if not found:
        raise UsageError(Phrase("there is no {key} among the {kind}", key=text, kind=kind_word("agencies")), hint="soc agencies list")
    raise UsageError(
        Phrase("{text} may be {names}", text=text, names=", ".join(one.id for one in found[:_MOST_OFFERED]) + (", …" if len(found) > _MOST_OFFERED else "")),
        hint="give the id, or more of the name",
    )


def as_json(entry: Entry) -> dict[str, Any]:
    """An object as the JSON of lists, every field there."""
    found: dict[str, Any] = entry.model_dump(mode="json")
    return found
