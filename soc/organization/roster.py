"""Who is on call at a moment, who comes next, and when nobody is: read off the shifts of the registry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from zoneinfo import ZoneInfo

import msgspec

from soc.clock import from_iso, iso, to_datetime
from soc.config import DEFAULT_TIMEZONE
from soc.errors import Phrase
from soc.organization.model import Shift
from soc.organization.registry import Plan, Registry, Rejected


class Uncovered(msgspec.Struct, frozen=True):
    """A stretch of time in which nobody is called first."""

    begin: str
    end: str


def counting(shifts: Iterable[Shift]) -> list[Shift]:
    """The shifts that count, by beginning and post: those that a later roster replaced do not."""
    return sorted((one for one in shifts if one.valid(day_of(one.begin))), key=lambda one: (one.begin, one.post))


def day_of(moment: str) -> date:
    """The local day of a time."""
    return to_datetime(from_iso(moment)).astimezone(ZoneInfo(DEFAULT_TIMEZONE)).date()


def on_shift(shifts: Iterable[Shift], us: int) -> list[Shift]:
    """The shifts that run at a moment, the post that is called first first."""
    return sorted((one for one in counting(shifts) if from_iso(one.begin) <= us < from_iso(one.end)), key=lambda one: (one.post, one.begin))


def upcoming(shifts: Iterable[Shift], us: int, within_us: int) -> list[Shift]:
    """The shifts that begin after a moment, within a time, the next first."""
    return [one for one in counting(shifts) if us < from_iso(one.begin) <= us + within_us]


def uncovered(shifts: Iterable[Shift], begin_us: int, end_us: int) -> list[Uncovered]:
    """When between two moments nobody is on call at any post."""
    out, at = [], begin_us
    for one in counting(shifts):
        first, last = from_iso(one.begin), from_iso(one.end)
        if last <= at:
            continue
        if first >= end_us:
            break
        if first > at:
            out.append(Uncovered(iso(at), iso(first)))
        at = max(at, last)
    if at < end_us:
        out.append(Uncovered(iso(at), iso(end_us)))
    return out


def without_overlaps(plan: Plan, registry: Registry) -> Plan:
    """The plan of an import without the rows that would put two people on one post at once; they are rejected by name."""
    new = {one.key: one for one in (*plan.added, *(after for _, after in plan.changed)) if isinstance(one, Shift)}
    ended = {one.key for one in plan.ended}
    standing = [one for one in registry.all(Shift) if one.key not in new and one.key not in ended]
    wrong: dict[str, Shift] = {}
    for post in {one.post for one in new.values()}:
        last: Shift | None = None  # the one that ends last of those taken so far
        for one in counting(one for one in (*standing, *new.values()) if one.post == post):
            if last is None or one.begin >= last.end:
                last = one
            elif one.key in new:
                wrong[one.key] = last
            elif last.key in new:  # what stands goes before what is new
                wrong[last.key] = one
                last = one
            else:
                last = max(last, one, key=lambda found: found.end)
    return _rejecting(plan, wrong) if wrong else plan


def _rejecting(plan: Plan, wrong: dict[str, Shift]) -> Plan:
    plan.added = [one for one in plan.added if one.key not in wrong]
    plan.changed = [(before, after) for before, after in plan.changed if after.key not in wrong]
    plan.rejected += [
        Rejected(0, key, Phrase("overlaps with {key} of {person} on the same post", key=other.key, person=other.person)) for key, other in sorted(wrong.items())
    ]
    return plan


def persons(shifts: Sequence[Shift]) -> list[str]:
    """The ids of the people of shifts, each once, in order."""
    return list(dict.fromkeys(one.person for one in shifts))
