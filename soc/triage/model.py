"""The triage of a group as the fold of its facts; together with what its alerts say now it is the state that people see.

The facts never hold counts, and the pipeline never writes states: a closed group to which a newer alert came is open again as
its next generation, whichever of the two was written first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from soc.errors import Conflict, Phrase
from soc.model.fact import Fact

PREFIX = "group/"
OPEN, ACKNOWLEDGED, CLOSED = STATES = ("open", "acknowledged", "closed")
SAID = {OPEN: Phrase("open"), ACKNOWLEDGED: Phrase("acknowledged"), CLOSED: Phrase("closed")}
"""States as errors say them."""
WAITING = (OPEN, ACKNOWLEDGED)
"""What somebody still has to decide."""
VERDICTS = ("true-positive", "false-positive", "benign", "duplicate", "test")
"""`benign`: the rule was right, and what it saw was allowed. `duplicate` and `test` say nothing about the rule."""
UNDONE = "FactUndone"
TABLE = {"ack": WAITING, "assign": WAITING, "close": WAITING, "reopen": (CLOSED,)}
"""Command → the states in which it is possible."""


class Through(msgspec.Struct, frozen=True, gc=False):
    """What a group held when it was closed: its newest alert, the time of that, and the count of occurrences."""

    last_alert: str
    last_at: str
    count: int


class Triage(msgspec.Struct, frozen=True, gc=False):
    """What people decided about a group. `version`: the number of the last fact, 0 = nobody said anything."""

    state: str = OPEN
    owner: str = ""
    verdict: str = ""
    note: str = ""
    generation: int = 1
    previous_verdict: str = ""
    """What the generation before was closed as."""
    by: str = ""
    at: str = ""
    version: int = 0
    through: Through | None = None
    """What was there when this generation was closed."""
    since: int = 0
    """The count of occurrences when the generation before was closed."""

    def count_since(self, count: int) -> int:
        """How many of the occurrences of a group came in this generation."""
        return max(count - self.since, 0)


class IllegalStep(Conflict):
    """A command that does not fit the state of a group."""

    def __init__(self, group: str, state: str, command: str) -> None:
        super().__init__(
            Phrase("{group} is {state}: {command} is not possible", group=group, state=SAID.get(state, state), command=command),
            hint="soc alerts reopen ID" if state == CLOSED else "soc alerts close ID --verdict …",
        )


def effective(facts: Sequence[Fact]) -> list[Fact]:
    """The facts that count: neither undone by a later one nor an undoing themselves."""
    undone: set[int] = set()
    out: list[Fact] = []
    for fact in reversed(facts):
        if fact.sequence in undone:
            continue
        if fact.kind == UNDONE:
            undone.add(int(fact.data["sequence"]))
        else:
            out.append(fact)
    return out[::-1]


def fold(facts: Sequence[Fact]) -> Triage:
    """What the facts of one group come to. Kinds that it does not know change nothing but the version."""
    triage = Triage()
    for fact in facts if all(one.kind != UNDONE for one in facts) else effective(facts):
        triage = _applied(triage, fact)
    return msgspec.structs.replace(triage, version=facts[-1].sequence) if facts else triage


def _applied(triage: Triage, fact: Fact) -> Triage:
    if fact.kind not in ("GroupAcknowledged", "GroupAssigned", "GroupClosed", "GroupReopened"):
        return triage
    change = msgspec.structs.replace
    generation = int(fact.data.get("generation", 1))
    if generation > triage.generation:
        triage = _next(triage, generation)
    by, at = fact.actor, fact.at
    if fact.kind == "GroupAcknowledged":
        return change(triage, state=ACKNOWLEDGED, owner=triage.owner or fact.actor, by=by, at=at)
    if fact.kind == "GroupAssigned":
        return change(triage, owner=str(fact.data.get("owner", "")), by=by, at=at)
    if fact.kind == "GroupReopened":
        return change(triage, state=OPEN, verdict="", note="", through=None, by=by, at=at)
    seen = fact.data["through"]
    through = Through(str(seen["last_alert"]), str(seen["last_at"]), int(seen["count"]))
    return change(triage, state=CLOSED, verdict=str(fact.data["verdict"]), note=str(fact.data.get("note", "")), through=through, by=by, at=at)


def _next(triage: Triage, generation: int) -> Triage:
    since = triage.since if triage.through is None else triage.through.count
    return Triage(generation=generation, previous_verdict=triage.verdict or triage.previous_verdict, version=triage.version, since=since)


def standing(triage: Triage, *, last_at: str, count: int) -> Triage:
    """The triage of a group whose alerts say this: the next generation when something came after it was closed.

    A line that was sent again changes neither; an alert that came late with an old time raises the count.
    """
    through = triage.through
    if triage.state != CLOSED or through is None or (last_at <= through.last_at and count <= through.count):
        return triage
    return _next(triage, triage.generation + 1)


def last_words(facts: Iterable[Fact]) -> dict[str, Fact]:
    """By id of a group or of one of its alerts the fact whose verdict counts; a group that was reopened has none."""
    out: dict[str, Fact] = {}
    for fact in effective(list(facts)):
        target = str(fact.data.get("target") or fact.stream.removeprefix(PREFIX))
        if fact.kind in ("GroupClosed", "VerdictGiven"):
            out[target] = fact
        elif fact.kind == "GroupReopened":
            out.pop(target, None)
    return out
