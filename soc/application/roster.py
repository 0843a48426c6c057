"""Who is on call: asked, and changed by a swap. Rosters are imported as the other tables of the registry are."""

from __future__ import annotations

from soc.application.access import require
from soc.application.app import App
from soc.application.numbered import local_day
from soc.clock import from_iso
from soc.errors import Conflict, NotFound, Phrase, UsageError
from soc.model.fact import Behalf, NewFact
from soc.organization import roster
from soc.organization.model import Person, Shift, kind_word
from soc.organization.registry import Registry, stream_of

NEXT_US = 7 * 86_400_000_000
"""So far ahead the one who comes next is looked for."""
KINDS = ("people", "roster")


def called(app: App, at_us: int | None = None) -> list[Person]:
    """The people who are on call at a moment, in the order in which they are called: those on shift by post, then whoever comes on next."""
    registry = Registry(app.journal, KINDS)
    now = app.clock.now_us() if at_us is None else at_us
    shifts = registry.all(Shift)
    named = roster.persons([*roster.on_shift(shifts, now), *roster.upcoming(shifts, now, NEXT_US)[:1]])
    return _people(app, registry, named)


def on_call(app: App, at_us: int | None = None) -> list[Person]:
    """The people whose shift runs at a moment, by post."""
    registry = Registry(app.journal, KINDS)
    now = app.clock.now_us() if at_us is None else at_us
    return _people(app, registry, roster.persons(roster.on_shift(registry.all(Shift), now)))


def _people(app: App, registry: Registry, named: list[str]) -> list[Person]:
    today = local_day(app)
    return [one for name in named if (one := registry.get(Person, name)) is not None and one.valid(today)]


def shifts(app: App, begin_us: int, end_us: int) -> tuple[list[Shift], list[roster.Uncovered]]:
    """The shifts that touch a time, and when in it nobody is on call."""
    require(app, "oncall.view")
    every = Registry(app.journal, ("roster",)).all(Shift)
    found = [one for one in roster.counting(every) if from_iso(one.begin) < end_us and from_iso(one.end) > begin_us]
    return found, roster.uncovered(every, begin_us, end_us)


def swap(app: App, shift: str, person: str = "", *, other: str = "", reason: str, behalf: Behalf | None = None) -> list[Shift]:
    """Give a shift to somebody else (`person`), or exchange the people of two shifts (`other`); the changed shifts.

    Raises: NotFound, UsageError, Conflict (another shift of that person at the same time), FactConflict.
    """
    require(app, "oncall.change")
    if not reason.strip() or bool(person) == bool(other):
        raise UsageError("a swap needs a reason, and either the person or the other shift", hint="soc roster swap SHIFT --with PERSON --reason TEXT")
    registry = Registry(app.journal, KINDS)
    first = _found(registry, shift)
    changed = []
    if other:
        second = _found(registry, other)
        changed = [first.model_copy(update={"person": second.person}), second.model_copy(update={"person": first.person})]
    else:
        if registry.get(Person, person) is None:
            raise NotFound(Phrase("there is no {key} among the {kind}", key=person, kind=kind_word("people")), hint="soc people list")
        changed = [first.model_copy(update={"person": person})]
    if from_iso(first.end) <= app.clock.now_us():
        raise Conflict(Phrase("{key} is over", key=first.key), hint="what was is not changed")
    _keep_apart(registry, changed)
    rows = [one.model_dump(mode="json", exclude_defaults=True) for one in changed]
    fact = NewFact("RegistryImported", {"kind": "roster", "origin": "swap", "part": 1, "rows": rows}, reason, behalf)
    app.journal.append(stream_of("roster"), registry.versions["roster"], [fact], actor=app.actor.name)
    return changed


def _found(registry: Registry, name: str) -> Shift:
    text = name.strip().replace(" ", "T")
    keys = [one.key for one in roster.counting(registry.all(Shift)) if one.key == text or one.key.startswith(text)]
    if not keys:
        raise NotFound(Phrase("there is no shift {name}", name=name), hint="soc roster show")
    if len(keys) > 1 and text not in keys:
        raise Conflict(Phrase("several shifts begin with {name}: {first}, {second}, …", name=name, first=keys[0], second=keys[1]), hint="give more of the id")
    found = registry.get(Shift, text if text in keys else keys[0])
    assert found is not None
    return found


def _keep_apart(registry: Registry, changed: list[Shift]) -> None:
    """Nobody is on call at two posts at once."""
    keys = {one.key for one in changed}
    standing = [one for one in roster.counting(registry.all(Shift)) if one.key not in keys]
    for at, one in enumerate(changed):
        for known in (*standing, *changed[:at]):
            if known.person == one.person and known.begin < one.end and one.begin < known.end:
                raise Conflict(
                    Phrase("{person} has the shift {key} at the same time", person=one.person, key=known.key), hint="exchange the two shifts: --and SHIFT"
                )
