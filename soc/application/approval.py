"""Whether what goes out needs two people: an organization's own rule, changed by a fact that says why.

Facts of the stream `approval`: `TwoPersonApprovalSet` (`required`). Without any, two people are required.
"""

from __future__ import annotations

from typing import NamedTuple

from soc.application.access import require
from soc.application.app import App
from soc.errors import UsageError
from soc.model.fact import NewFact
from soc.organization.model import Person
from soc.organization.registry import Registry

STREAM = "approval"


class Approval(NamedTuple):
    """The rule in force; by whom, when and why it was set last ("" = never)."""

    two_person: bool
    by: str = ""
    at: str = ""
    reason: str = ""


def rule(app: App) -> Approval:
    """The rule in force."""
    facts = [one.fact for one in app.journal.read(STREAM) if one.fact.kind == "TwoPersonApprovalSet"]
    if not facts:
        return Approval(two_person=True)
    last = facts[-1]
    return Approval(bool(last.data.get("required", True)), last.actor, last.at, last.reason)


def may_sign(app: App, author: str, signer: str) -> bool:
    """Whether a person of this name may sign what an account wrote: anybody else, and the author where one person is enough."""
    if not rule(app).two_person:
        return True
    name = signer.strip().casefold()
    people = Registry(app.journal, ("people",)).all(Person)
    return name != author.casefold() and all(name not in (one.id.casefold(), one.name.casefold()) for one in people if one.account == author)


def set_two_person(app: App, required: bool, *, reason: str) -> Approval:
    """Require two people from now on, or no longer; the same again records nothing.

    Raises: UsageError without a reason, NotAllowed.
    """
    require(app, "approval.change")
    if not reason.strip():
        raise UsageError("why is the rule changed?", hint="--reason TEXT")
    facts = app.journal.read(STREAM)
    if rule(app).two_person != required:
        app.journal.append(STREAM, len(facts), [NewFact("TwoPersonApprovalSet", {"required": required}, reason)], actor=app.actor.name)
    return rule(app)
