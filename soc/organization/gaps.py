"""What the regime asks for of each agency and the registry does not have.

Source: Decision 05/2017/QĐ-TTg (contact points, response teams), Decree 85/2016/NĐ-CP and Circular 12/2022/TT-BTTTT
(security level, dossier and review of each information system).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from soc.organization.model import Agency, Mailbox, Person, Point, System
from soc.organization.registry import Registry


class Missing(NamedTuple):
    """One thing that is missing: `what` is a stable word, `about` the object concerned ("" = the agency itself)."""

    agency: str
    what: str
    about: str


def missing(registry: Registry, day: date, agency: str = "") -> list[Missing]:
    """All that is missing on a day, of one agency and those below it, or of all."""
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
    if not system.operator:
        yield Missing(system.owner, "operator", system.id)
    if not system.protection:
        yield Missing(system.owner, "protection", system.id)
    if system.computers and (system.licences or 0) < system.computers:
        yield Missing(system.owner, "licences", system.id)
