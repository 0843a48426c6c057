"""Which reminders of an obligation or a task should have gone out by a moment: a pure function of it and the steps of the office."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from soc.clock import from_iso
from soc.errors import ConfigError, Phrase
from soc.incidents.clocks import Obligation
from soc.incidents.model import Task

Whom = Literal["owner", "on-call", "leads"]
KNOWN = "known"
# Reference: `50%`, `due`, `due-24h`, `due+30m`
_AT = re.compile(r"(\d{1,2})%|due(?:([+-])(\d{1,4})(m|h|d))?")
_UNIT_US = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_ID = re.compile(r"[a-z0-9][a-z0-9+.-]{0,40}")
STATES = ("tentative", "due", "overdue")


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reminder: when, and to whom."""

    id: str
    at: str
    to: tuple[Whom, ...]


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is told of a duty that came to be known late, or was moved."""

    to: tuple[Whom, ...]


class Steps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The steps of the office. `tasks`: those of tasks of incidents; a file without them has the shipped ones."""

    steps: tuple[Step, ...]
    known: Known = Known(("owner",))
    tasks: tuple[Step, ...] = (Step("due", "due", ("owner",)), Step("overdue-24h", "due+24h", ("owner",)))


class Reminder(msgspec.Struct, frozen=True):
    """A step that should have gone out: `key` is the same for the same step of the same deadline, for ever."""

    key: str
    step: str
    at_us: int
    to: tuple[Whom, ...]


@lru_cache(maxsize=4)
def steps_of(file: Path | None = None) -> Steps:
    """The steps of a file (None = the shipped one).

    Raises: ConfigError naming the file.
    """
    name = str(file) if file is not None else "soc/incidents/reminders.yml"
    try:
        text = file.read_text(encoding="utf-8") if file is not None else shipped()
        found = msgspec.convert(yaml.safe_load(text), Steps)
        for steps in (found.steps, found.tasks):
            for one in steps:
                _parts(one.at)
            if any(not _ID.fullmatch(one.id) or one.id == KNOWN for one in steps) or len({one.id for one in steps}) < len(steps):
                raise ValueError("every step needs an id of its own, in small letters")
    except (OSError, yaml.YAMLError, msgspec.ValidationError, ValueError) as error:
        raise ConfigError(Phrase("these are no steps of reminders: {error}", error=error), file=name, hint="compare: soc duties steps") from error
    return found


def shipped() -> str:
    """The shipped steps, as text."""
    return files("soc.incidents").joinpath("reminders.yml").read_text(encoding="utf-8")


def _parts(at: str) -> re.Match[str]:
    found = _AT.fullmatch(at)
    if found is None:
        raise ValueError(f"{at!r} is no time of a step (50%, due, due-1h, due+24h)")
    return found


def at_us(step: Step, begin_us: int, due_us: int) -> int | None:
    """When a step of a deadline is; None when there is no such moment: half of nothing, or before it all began."""
    found = _parts(step.at)
    if found[1]:
        return begin_us + (due_us - begin_us) * int(found[1]) // 100 if due_us > begin_us else None
    moment = due_us + (0 if not found[2] else (1 if found[2] == "+" else -1) * int(found[3]) * _UNIT_US[found[4]])
    return moment if moment > begin_us or moment >= due_us else None


def reminders(one: Obligation, steps: Steps, now_us: int) -> tuple[list[Reminder], int]:
    """The reminders of an obligation that should have gone out by now, in order, and when the next one is to (0 = none).

    Those whose time was over when the deadline came to be known are one: `known`.
    """
    if one.state not in STATES or not one.due_at:
        return [], 0
    begin, due = from_iso(one.begin_at), from_iso(one.due_at)
    since = from_iso(one.since) if one.since else begin
    every = _sorted(steps.steps, begin, due)
    out = []
    if one.earlier or any(at <= since for at, _, _ in every):
        out.append(Reminder(f"{KNOWN}@{one.due_at}", KNOWN, since, steps.known.to))
    out += [Reminder(f"{step.id}@{one.due_at}", step.id, at, step.to) for at, _, step in every if since < at <= now_us]
    return out, min((at for at, _, _ in every if at > max(now_us, since)), default=0)


def task_reminders(task: Task, steps: Steps, now_us: int) -> tuple[list[Reminder], int]:
    """The reminders of a task that should have gone out by now, in order, and when the next one is to (0 = none).

    Those whose time was over when the task was given (a playbook begun late) are one: `known`, to its owner.
    """
    if task.done_at or not task.due_at:
        return [], 0
    due = from_iso(task.due_at)
    since = from_iso(task.added_at) if task.added_at else 0
    every = _sorted(steps.tasks, since, due)
    out = [Reminder(f"{KNOWN}@{task.due_at}", KNOWN, since, ("owner",))] if any(at <= since for at, _, _ in every) else []
    out += [Reminder(f"{step.id}@{task.due_at}", step.id, at, step.to) for at, _, step in every if since < at <= now_us]
    return out, min((at for at, _, _ in every if at > max(now_us, since)), default=0)


def _sorted(steps: tuple[Step, ...], begin_us: int, due_us: int) -> list[tuple[int, int, Step]]:
    """The steps that a deadline has, with their times."""
    return sorted((at, index, step) for index, step in enumerate(steps) if (at := at_us(step, begin_us, due_us)) is not None)
