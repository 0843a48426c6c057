"""Whom messages go to: the ways in which a person can be reached, by the registry and what is configured."""

from __future__ import annotations

from collections.abc import Collection

from soc.application.app import App
from soc.application.numbered import local_day
from soc.config import Settings
from soc.model.message import MAIL, WEBHOOK, is_mail
from soc.organization.model import Agency, Person
from soc.organization.registry import Registry

Way = tuple[str, str]
"""Channel and recipient, as a message has them."""


def ways(person: Person, settings: Settings) -> list[Way]:
    """How a person can be told, the way they prefer first: mail, and the first webhook with their telephone number."""
    found: list[Way] = []
    if settings.webhook and person.phone:
        found.append((WEBHOOK, person.phone))
    if is_mail(person.email):
        found.append((MAIL, person.email))
    return found if person.channel == WEBHOOK else found[::-1]


def names(app: App) -> dict[str, str]:
    """Id and account → name, of everybody the registry knows or knew."""
    return {key: one.name for one in Registry(app.journal, (Person.kind,)).all(Person) for key in (one.id, one.account) if key}


def person_named(app: App, name: str) -> Person | None:
    """The person of the registry whom an owner's name means today: by id, account, name or mail address."""
    every = Registry(app.journal, (Person.kind,)).all(Person, local_day(app))
    return next((one for one in every if name in (one.id, one.account, one.name, one.email)), None) if name else None


def is_unknown(app: App, name: str) -> bool:
    """Whether a name means nobody of a registry that has people: then whoever is on call is reminded in its place, and the leads."""
    return bool(name) and person_named(app, name) is None and bool(Registry(app.journal, (Person.kind,)).all(Person, local_day(app)))


def contacts(app: App, agencies: Collection[str]) -> dict[str, tuple[str, str, str]]:
    """By agency its name, and name and telephone of the contact person to call: one with a telephone, if there is any. What is not known is ""."""
    registry = Registry(app.journal, (Agency.kind, Person.kind))
    people: dict[str, list[Person]] = {}
    for one in registry.all(Person, local_day(app)):
        if one.agency in agencies and one.role == "contact":
            people.setdefault(one.agency, []).append(one)
    found = {}
    for key in agencies:
        agency = registry.get(Agency, key)
        person = next(iter(sorted(people.get(key, ()), key=lambda one: (not one.phone, one.id))), None)
        phone = (person.phone if person else "") or (agency.phone if agency else "")
        found[key] = (agency.name if agency else "", person.name if person else "", phone)
    return found


def leads(app: App) -> list[Way]:
    """How the leads are told: those of the registry by all their ways, and the addresses of the settings."""
    people = [one for one in Registry(app.journal, ("people",)).all(Person, local_day(app)) if one.role == "lead"]
    found = [way for one in people for way in ways(one, app.settings)]
    return list(dict.fromkeys([*found, *((MAIL, one) for one in app.settings.outbox.leads if is_mail(one))]))
