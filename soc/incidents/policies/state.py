"""What a policy has done so far in one scope: the fold of its stream `policy/<name>/<scope>`.

`PolicyTaken` (since when groups count) · `PolicyFired` (decisions, each with the id of its effect) · `IncidentReserved` (the number
under which an effect opens its incident) · `PolicyDone` (effects that were carried out). Every process appends under the version
that it saw: of two that decide the same, one has to look again. `policy/<name>/state` holds `PolicyEnabled` and `PolicyDisabled`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from soc.clock import from_iso
from soc.incidents.policies.plan import FIRST, Firing
from soc.model.fact import Fact

PREFIX = "policy/"
STATE = "state"


class PolicyState(msgspec.Struct):
    """The state of a policy in a scope. `since_us` 0: nobody has run it."""

    version: int = 0
    since_us: int = 0
    fired: dict[str, Firing] = {}
    reserved: dict[str, str] = {}
    """Effect → the incident that it opens; the last word counts."""
    done: set[str] = set()
    begun: list[int] = []
    """When what counts against the limit began, microseconds."""
    at: dict[str, str] = {}
    """Effect → when it was decided."""

    def pending(self) -> list[Firing]:
        """What was decided and has not been carried out, in order."""
        return [firing for effect, firing in self.fired.items() if effect not in self.done]

    def incident_of(self, firing: Firing) -> str:
        """The incident that a decision is about ("" = none)."""
        return self.reserved.get(firing.target, firing.target if firing.target.startswith("INC-") else "")


class Switch(msgspec.Struct, frozen=True):
    """Whether somebody switched a policy on or off. `state` "": as its file says."""

    state: str = ""
    at_us: int = 0
    by: str = ""
    why: str = ""
    version: int = 0


def stream_of(name: str, scope: str) -> str:
    """The stream of a policy in a scope."""
    return f"{PREFIX}{name}/{scope}"


def fold(facts: Iterable[Fact]) -> PolicyState:
    """The state that the facts of a stream come to."""
    state = PolicyState()
    for fact in facts:
        state.version = fact.sequence
        if fact.kind == "PolicyTaken":
            state.since_us = from_iso(str(fact.data["since"]))
        elif fact.kind == "PolicyFired":
            for firing in msgspec.convert(fact.data.get("firings", []), list[Firing]):
                state.fired.setdefault(firing.effect, firing)
                state.at.setdefault(firing.effect, fact.at)
                if firing.how in FIRST:
                    state.begun.append(from_iso(fact.at))
        elif fact.kind == "IncidentReserved":
            state.reserved[str(fact.data["effect"])] = str(fact.data["incident"])
        elif fact.kind == "PolicyDone":
            state.done.update(str(effect) for effect in fact.data.get("effects", []))
    return state


def switched(facts: Iterable[Fact]) -> Switch:
    """What people last said of whether a policy runs."""
    found = Switch()
    for fact in facts:
        if fact.kind in ("PolicyEnabled", "PolicyDisabled"):
            found = Switch("on" if fact.kind == "PolicyEnabled" else "off", from_iso(fact.at), fact.actor, fact.reason, fact.sequence)
    return found
