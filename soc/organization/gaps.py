"""What a regime asks for of each agency and the registry does not have; which regime asks for what stands in gaps.yml."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import msgspec
import yaml

from soc.errors import ConfigError, Phrase, UsageError
from soc.organization.model import Agency, Mailbox, Person, Point, System
from soc.organization.registry import Registry


class Ask(msgspec.Struct, frozen=True):
    """Where a regime asks for something. `house`: no law does, the work needs it."""

    source: str = ""
    unverified: str = ""
    house: bool = False


class Regime(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """What a regime asks for, and the days on which it counts (both inclusive)."""

    id: str
    asks: dict[str, Ask]
    from_: date | None = None
    until: date | None = None


class _File(msgspec.Struct, frozen=True):
    regimes: list[Regime]


@lru_cache(maxsize=1)
def regimes() -> dict[str, Regime]:
    """All regimes, by id.

    Raises: ConfigError.
    """
    try:
        found = msgspec.convert(yaml.safe_load(files("soc.organization").joinpath("gaps.yml").read_text(encoding="utf-8")), _File)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigError(Phrase("it cannot be read: {error}", error=error), file="gaps.yml") from error
    return {one.id: one for one in found.regimes}


def regime_on(day: date) -> Regime:
    """The regime in force on a day."""
    return next(one for one in regimes().values() if (one.from_ is None or one.from_ <= day) and (one.until is None or day <= one.until))


class Missing(NamedTuple):
    """One thing that is missing: `what` is a stable word, `about` the object concerned ("" = the agency itself)."""

    agency: str
    what: str
    about: str
    regime: str = ""
    source: str = ""
    unverified: str = ""


def missing(registry: Registry, day: date, agency: str = "", regime: str = "") -> list[Missing]:
    """All that is missing on a day by a regime (default: the one in force then), of one agency and those below it, or of all.

    Raises: UsageError for a regime that there is none of.
    """
    if regime and regime not in regimes():
        raise UsageError(Phrase("there is no regime {name}", name=regime), hint=Phrase("known: {known}", known=", ".join(regimes())))
    law = regimes()[regime] if regime else regime_on(day)
    return [
        one._replace(regime=law.id, source=law.asks[one.what].source, unverified=law.asks[one.what].unverified)
        for one in _lacking(registry, day, agency)
        if one.what in law.asks
    ]


def _lacking(registry: Registry, day: date, agency: str) -> list[Missing]:
    wanted = set(registry.below(agency)) if agency else None
    found: list[Missing] = []
    people: dict[str, list[Person]] = {}
    for person in registry.all(Person, day):
        people.setdefault(person.agency, []).append(person)
    points = {point.agency for point in registry.all(Point, day)} | {
        prefix.partition("=")[2] for point in registry.all(Point, day) for prefix in point.prefixes if "=" in prefix
    }
    mailboxes = {mailbox.agency for mailbox in registry.all(Mailbox, day)}
    systems: dict[str, list[System]] = {}
    for system in registry.all(System, day):
        systems.setdefault(system.owner, []).append(system)
    for one in registry.all(Agency, day):
        if wanted is None or one.id in wanted:
            found += _of_agency(one, people.get(one.id, []), points, mailboxes)
            found += [gap for system in systems.get(one.id, []) for gap in _of_system(system, day)]
    return found


def _of_agency(one: Agency, people: list[Person], points: set[str], mailboxes: set[str]) -> Iterator[Missing]:
    contacts = [person for person in people if person.role == "contact"]
    if not contacts:
        yield Missing(one.id, "contact", "")
    elif not any(person.phone for person in contacts):
        yield Missing(one.id, "contact-phone", contacts[0].id)
    if contacts and not any(person.email for person in contacts):
        yield Missing(one.id, "contact-mail", contacts[0].id)
    if one.id not in points:
        yield Missing(one.id, "network-point", "")
    if one.id not in mailboxes:
        yield Missing(one.id, "mailboxes", "")
    if one.computers and (one.licences or 0) < one.computers:
        yield Missing(one.id, "licences", "")


def _of_system(system: System, day: date) -> Iterator[Missing]:
    if system.level is None:
        yield Missing(system.owner, "level", system.id)
    if system.dossier != "approved":
        yield Missing(system.owner, "dossier", system.id)
    elif not system.decision or system.decision_date is None:
        yield Missing(system.owner, "decision", system.id)
    if system.dossier == "approved" and system.review_date is None:
        yield Missing(system.owner, "review-date", system.id)
    elif system.review_date is not None and system.review_date < day:
        yield Missing(system.owner, "review-overdue", system.id)
    if not system.regulation:
        yield Missing(system.owner, "regulation", system.id)
    if not system.operator:
        yield Missing(system.owner, "operator", system.id)
    if not system.protection:
        yield Missing(system.owner, "protection", system.id)
    if system.computers and (system.licences or 0) < system.computers:
        yield Missing(system.owner, "licences", system.id)
