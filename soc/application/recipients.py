"""Whom messages go to: the ways in which a person can be reached, by the registry and what is configured."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

from soc.application.app import App
from soc.clock import to_datetime
from soc.config import Settings
from soc.model.message import MAIL, WEBHOOK, is_mail
from soc.organization.model import Person
from soc.organization.registry import Registry

Way = tuple[str, str]
"""Channel and recipient, as a message has them."""


def today(app: App) -> date:
    """The day it is where the users are."""
    return to_datetime(app.clock.now_us()).astimezone(ZoneInfo(app.settings.timezone)).date()


def ways(person: Person, settings: Settings) -> list[Way]:
    """How a person can be told, the way they prefer first: mail, and the first webhook with their telephone number."""
    found: list[Way] = []
    if settings.webhook and person.phone:
        found.append((WEBHOOK, person.phone))
    if is_mail(person.email):
        found.append((MAIL, person.email))
    return found if person.channel == WEBHOOK else found[::-1]


def leads(app: App) -> list[Way]:
    """How the leads are told: those of the registry by all their ways, and the addresses of the settings."""
    people = [one for one in Registry(app.journal, ("people",)).all(Person, today(app)) if one.role == "lead"]
    found = [way for one in people for way in ways(one, app.settings)]
    return list(dict.fromkeys([*found, *((MAIL, one) for one in app.settings.outbox.leads if is_mail(one))]))
