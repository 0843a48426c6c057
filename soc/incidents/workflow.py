"""Which command leads from which state to which: the whole truth about the life of an incident.

After RTIR's explicit transitions and the functions of NIST SP 800-61r3 (detect, respond, recover). A step may be left out
forwards, which needs a reason; nothing goes back but by `reopen`.
"""

from __future__ import annotations

from typing import NamedTuple

from soc.errors import Phrase, SocError


class IllegalTransition(SocError):
    """The command does not fit the state of the incident."""

    exit_code = 6

    def __init__(self, state: str, command: str, possible: list[str]) -> None:
        super().__init__(
            Phrase("an incident that is {state} cannot be changed by {command}", state=SAID.get(state, state), command=command),
            hint=Phrase("possible now: {commands}", commands=", ".join(possible)),
        )
        self.state = state
        self.command = command


class Step(NamedTuple):
    """Where a command leads ("" = the state stays, "before" = the one before the merge), and what must be given with it."""

    to: str
    needs: tuple[str, ...] = ()


NEW, TRIAGED, CONTAINED, ERADICATED, RECOVERED, CLOSED, REJECTED, MERGED = (
    "new",
    "triaged",
    "contained",
    "eradicated",
    "recovered",
    "closed",
    "rejected",
    "merged",
)
STATES = (NEW, TRIAGED, CONTAINED, ERADICATED, RECOVERED, CLOSED, REJECTED, MERGED)
SAID = {
    NEW: Phrase("new"),
    TRIAGED: Phrase("triaged"),
    CONTAINED: Phrase("contained"),
    ERADICATED: Phrase("eradicated"),
    RECOVERED: Phrase("recovered"),
    CLOSED: Phrase("closed"),
    REJECTED: Phrase("rejected"),
    MERGED: Phrase("merged"),
}
"""States as errors say them."""
OPEN = (NEW, TRIAGED, CONTAINED, ERADICATED, RECOVERED)
BEFORE = "before"
_SKIPPED = ("reason",)

TABLE: dict[tuple[str, str], Step] = {
    (NEW, "triage"): Step(TRIAGED, ("rsit",)),
    (TRIAGED, "contain"): Step(CONTAINED),
    (TRIAGED, "eradicate"): Step(ERADICATED, _SKIPPED),
    (CONTAINED, "eradicate"): Step(ERADICATED),
    (TRIAGED, "recover"): Step(RECOVERED, _SKIPPED),
    (CONTAINED, "recover"): Step(RECOVERED, _SKIPPED),
    (ERADICATED, "recover"): Step(RECOVERED),
    (RECOVERED, "close"): Step(CLOSED, ("resolution",)),
    (NEW, "reject"): Step(REJECTED, ("reason",)),
    (TRIAGED, "reject"): Step(REJECTED, ("reason",)),
    (CLOSED, "reopen"): Step(TRIAGED, ("reason",)),
    (REJECTED, "reopen"): Step(NEW, ("reason",)),
    (MERGED, "unmerge"): Step(BEFORE, ("reason",)),
    **{(state, "merge"): Step(MERGED, ("into",)) for state in OPEN},
    **{(state, command): Step("") for state in OPEN for command in ("edit", "assign", "task", "task-done", "attach", "observe")},
    **{(state, command): Step("") for state in STATES for command in ("note", "report", "link", "unlink")},
}
"""(state, command) → step. What is not here is refused."""
COMMANDS = tuple(dict.fromkeys(command for _, command in TABLE))


def step(state: str, command: str) -> Step:
    """Where a command leads.

    Raises: IllegalTransition, which names what is possible.
    """
    found = TABLE.get((state, command))
    if found is None:
        raise IllegalTransition(state, command, possible(state))
    return found


def possible(state: str) -> list[str]:
    """The commands that fit a state."""
    return [command for known, command in TABLE if known == state]
