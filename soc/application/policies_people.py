"""Whom a policy means: those on call or on shift, leads, the owner of an incident, contacts of agencies, a person of the registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from soc.application import oncall, roster
from soc.application.app import App
from soc.application.numbered import local_day
from soc.application.recipients import leads, ways
from soc.incidents.model import Incident
from soc.incidents.policies.policy import Loaded
from soc.organization.model import Person
from soc.organization.registry import Registry


class Reached(NamedTuple):
    """A way to reach somebody."""

    channel: str
    recipient: str


def people_of(app: App, word: str, agencies: Sequence[str] = (), owner: str = "") -> list[Person]:
    """The people of the registry that a word means, in their order."""
    everybody = Registry(app.journal, (Person.kind,)).all(Person, local_day(app))
    match word:
        case "lead":
            return [one for one in everybody if one.role == "lead"]
        case "contact":
            return [one for one in everybody if one.role == "contact" and one.agency in agencies]
        case "owner":
            return [one for one in everybody if owner and owner in (one.id, one.name, one.account)]
        case "on-call" | "shift":
            return roster.called(app)
        case _:
            wanted = word.removeprefix("person:")
            return [one for one in everybody if one.id == wanted]


def name_of(person: Person) -> str:
    """How a person stands as an owner: the account, else the name."""
    return person.account or person.name


def owner_of(app: App, word: str, agencies: Sequence[str]) -> str:
    """The owner that a word means now ("" = nobody)."""
    found = people_of(app, word, agencies) if word else []
    return name_of(found[0]) if found else ""


def reached(app: App, word: str, incident: Incident | None, agencies: Sequence[str]) -> list[Reached]:
    """How those are told whom a word means: each by the way they prefer."""
    if word == "lead":
        return [Reached(*way) for way in leads(app)]
    people = people_of(app, word, agencies or (incident.agencies if incident is not None else ()), incident.owner if incident is not None else "")
    return [Reached(*way[0]) for one in people if (way := ways(one, app.settings))]


def unreached(app: App, policies: Sequence[Loaded]) -> dict[str, list[str]]:
    """By policy, whom it means to tell or call and reaches nobody by now: `lead`, `on-call`, `shift`, `person:ID`. Those that it does not concern are left out.

    Owners and contacts follow from each incident, so nothing can be said of them beforehand.
    """
    nobody: dict[str, bool] = {}

    def silent(word: str) -> bool:
        if word not in nobody:
            nobody[word] = not reached(app, word, None, ())
        return nobody[word]

    found: dict[str, list[str]] = {}
    for one in policies:
        then = one.policy.then
        words = [telling.to for telling in then.notify if telling.to not in ("owner", "contact")]
        missing = [word for word in dict.fromkeys(words) if silent(word)]
        if then.page and "on-call" not in missing and silent("on-call") and silent("lead"):  # a call goes on to the leads
            missing.append("on-call")
        if missing:
            found[one.name] = missing
    return found


def wake(app: App, about: str, key: str, subject: str, text: str, *, scope: str, cause: str) -> None:
    """Call who is on call; the same call (`about`, `key`) again wakes nobody twice."""
    oncall.page(app, about, text, subject=subject, key=key, scope=scope, cause=cause)
