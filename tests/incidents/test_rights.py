"""State × command × role: what happens is what two tables say, the one of states and the one of rights, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.application import access, incidents, observables
from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.clock import FrozenClock, from_iso, iso
from soc.config import Settings, StoreSettings
from soc.errors import Conflict, NotAllowed, SocError
from soc.incidents.model import PREFIX, Incident, fold
from soc.incidents.workflow import BEFORE, COMMANDS, OPEN, STATES, TABLE, IllegalTransition
from soc.model.fact import ANY_VERSION, NewFact
from soc.model.journal import FactConflict
from soc.model.role import ANY, NONE, ROLES

NOW = from_iso("2026-11-21T02:00:00Z")
ACCOUNTS = {"viewer": "vi", "analyst": "an", "lead": "le", "officer": "of", "administrator": "ad", "": "mallory"}


def application() -> App:
    """An application that remembers nothing, with a person in each role."""
    app = open_app(Settings(store=StoreSettings(kind="memory")), Actor("ad"), clock=FrozenClock(NOW))
    rows = [{"id": key, "name": name, "level": "unit", **more} for key, name, more in (("a", "A", {}), ("b", "B", {"parent": "a"}), ("c", "C", {}))]
    app.journal.append("registry/agencies", 0, [NewFact("RegistryImported", {"rows": rows})], actor="ad")
    people = [{"id": account, "name": account, "agency": "a", "role": role, "account": account} for role, account in ACCOUNTS.items() if role]
    app.journal.append("registry/people", 0, [NewFact("RegistryImported", {"rows": people})], actor="ad")
    return app


def carry_out(app: App, command: str, name: str, into: str) -> Incident:
    """The command with all that it may need."""
    simple: dict[str, Any] = {
        "edit": lambda: incidents.edit(app, name, {"severity": "low"}),
        "assign": lambda: incidents.assign(app, name, "an"),
        "note": lambda: incidents.note(app, name, "gọi lại"),
        "task": lambda: incidents.add_tasks(app, name, [{"title": "Cách ly máy"}]),
        "task-done": lambda: incidents.finish_task(app, name, "t1", result="xong"),
        "attach": lambda: incidents.attach(app, name, []),
        "observe": lambda: observables.observe(app, name, "45.77.1.2")[0],
        "report": lambda: incidents.report(app, name, "report-72h"),
        "link": lambda: observables.link(app, name, into, "cùng máy chủ"),
        "unlink": lambda: observables.unlink(app, name, into, "nhầm"),
    }
    if command in simple:
        found = simple[command]()
        assert isinstance(found, Incident)
        return found
    given_ = {"rsit": "malicious-code/infected-system", "into": into if command == "merge" else "", "resolution": "cài lại"}
    return incidents.move(app, name, command, given_, reason="vì vậy")


def stored(app: App, name: str) -> Incident:
    """The incident as its facts say, whoever asks."""
    return fold(name, [one.fact for one in app.journal.read(PREFIX + name)])


STEPS = st.lists(st.tuples(st.sampled_from(("", *ROLES)), st.sampled_from(COMMANDS), st.sampled_from([0, 1, 2])), min_size=1, max_size=14)
TO_THE_END = [("analyst", command, 0) for command in ("triage", "contain", "eradicate", "recover", "close", "reopen")]


@settings(max_examples=120, deadline=None)
@given(STEPS, st.integers(0, len(TO_THE_END)))
def test_only_what_both_tables_allow_happens(steps: list[tuple[str, str, int]], lead_in: int) -> None:
    """After any steps of anybody: who has no right changes nothing and gets exit code 5; a command that does not fit changes nothing."""
    app = application()
    agencies = (["b"], ["c"], ["b", "c"])
    names = [incidents.open_incident(app, {"title": f"I{at}", "agencies": of, "legal_class": "ordinary"}, reason="rõ").id for at, of in enumerate(agencies)]
    for role, command, which in TO_THE_END[:lead_in] + steps:
        name, into = names[which], names[(which + 1) % 3]
        before, other = stored(app, name), stored(app, into)
        app.actor = Actor(ACCOUNTS[role])
        row = access.ACTIONS[incidents._ACTIONS.get(command, "incidents.handle")]
        view = access.ACTIONS["incidents.view"].reach(role)
        may = row.reach(role)
        own = [True, False, True]
        permitted = may == ANY or (may != NONE and own[which])
        seen = view == ANY or (view != NONE and own[which] and (command not in ("merge", "link", "unlink") or own[(which + 1) % 3]))
        fits = (before.state, command) in TABLE
        try:
            after = carry_out(app, command, name, into)
        except NotAllowed:
            assert not (permitted and seen), (role, command, which)
            assert stored(app, name) == before
        except IllegalTransition:
            assert not fits or (command in ("link", "unlink") and (other.state, command) not in TABLE)
            assert stored(app, name) == before
        except SocError as error:
            assert permitted, (role, command)
            assert seen
            refused = isinstance(error, Conflict) or command in ("task-done", "report", "unlink", "unmerge", "merge", "attach")
            assert refused
            assert stored(app, name) == before
        else:
            assert permitted
            assert fits, (before.state, command)
            step = TABLE[before.state, command]
            expected = before.before_merge if step.to == BEFORE else step.to or before.state
            assert after.state == expected == stored(app, name).state
            assert after.version > before.version or command in ("attach", "observe")
    for name in names:
        whole = stored(app, name)
        assert whole.state in STATES
        assert [one.begin for one in whole.intervals] == sorted(one.begin for one in whole.intervals)
        assert [one.end for one in whole.intervals[:-1]] == [one.begin for one in whole.intervals[1:]]
    app.close()


def test_two_people_at_once_see_each_others_change() -> None:
    """Two leads close the same incident: the second gets a conflict that names what the first did, and nothing of theirs is half there."""
    app = application()
    name = incidents.open_incident(app, {"title": "x", "agencies": ["b"], "legal_class": "ordinary"}, reason="rõ").id
    for command in ("triage", "contain", "eradicate", "recover"):
        carry_out(app, command, name, "")
    seen = incidents.get(app, name).version
    app.actor = Actor("le")
    incidents.move(app, name, "close", {"resolution": "một"}, expected=seen)
    app.actor = Actor("ad")
    with pytest.raises(FactConflict, match=r"IncidentMoved \(le, ") as told:
        incidents.move(app, name, "close", {"resolution": "hai"}, expected=seen)
    assert [(fact.actor, fact.data["resolution"]) for fact in told.value.since] == [("le", "một")]
    whole = stored(app, name)
    assert (whole.resolution, whole.version) == ("một", seen + 1)


def test_two_people_in_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both read the same version; who appends second gets a conflict with the other one's change, and a merge is taken back."""
    app = application()
    names = [incidents.open_incident(app, {"title": "x", "agencies": ["b"]}).id for _ in range(2)]
    append = app.journal.append

    def late(stream: str, expected: int, facts: Any, **more: Any) -> Any:
        """Somebody is faster, once."""
        monkeypatch.undo()
        append(PREFIX + names[0], stored(app, names[0]).version, [NewFact("NoteAdded", {"text": "nhanh hơn"})], actor="le")
        return append(stream, expected, facts, **more)

    monkeypatch.setattr(app.journal, "append", late)
    with pytest.raises(FactConflict, match=r"NoteAdded \(le, "):
        incidents.move(app, names[0], "reject", {}, reason="không phải")
    assert (stored(app, names[0]).state, len(stored(app, names[0]).notes)) == ("new", 1)
    append_each = app.journal.append_each
    for faster in (0, 1):

        def late_both(appends: Any, *, faster: int = faster, **more: Any) -> Any:
            """Somebody is faster, in one of the two."""
            monkeypatch.undo()
            append(PREFIX + names[faster], ANY_VERSION, [NewFact("NoteAdded", {"text": "nhanh hơn"})], actor="le")
            return append_each(appends, **more)

        monkeypatch.setattr(app.journal, "append_each", late_both)
        with pytest.raises(FactConflict):
            incidents.move(app, names[0], "merge", {"into": names[1]}, reason="một")
        assert (stored(app, names[0]).state, stored(app, names[0]).merged_into, stored(app, names[1]).merged) == ("new", "", [])


def test_a_clock_that_was_set_back_moves_nothing() -> None:
    """An hour is set back in between: facts keep their order, intervals do not run backwards further than the clock says, and numbers go on."""
    app = application()
    name = incidents.open_incident(app, {"title": "x", "agencies": ["b"]}).id
    assert isinstance(app.clock, FrozenClock)
    app.clock = FrozenClock(NOW - 3_600_000_000)
    carry_out(app, "triage", name, "")
    carry_out(app, "note", name, "")
    second = incidents.open_incident(app, {"title": "y", "agencies": ["b"]}).id
    whole = stored(app, name)
    assert (whole.version, whole.state, second > name) == (3, "triaged", True)
    assert whole.detected_at == iso(NOW)
    due = [one.due_at for one in incidents.duties(app, whole) if one.clock == "cyber"]
    assert min(due) > iso(NOW)
    with pytest.raises(SocError, match="future"):
        incidents.move(app, name, "contain", {"at": iso(NOW)})


def test_facts_of_another_version_are_read() -> None:
    """A state or kind of fact that this version does not know stands there, is listed and shown, and is changed by nothing."""
    app = application()
    name = incidents.open_incident(app, {"title": "x", "agencies": ["b"]}).id
    app.journal.append(PREFIX + name, 1, [NewFact("IncidentDreamt", {"of": "sheep"}), NewFact("IncidentMoved", {"to": "sleeping"})], actor="le")
    whole = incidents.get(app, name)
    assert (whole.state, whole.version) == ("sleeping", 3)
    assert incidents.item(whole, incidents.duties(app, whole))["state"] == "sleeping"
    assert [one.id for one, _ in incidents.listed(app, states=("sleeping",))] == [name]
    for command in COMMANDS:
        with pytest.raises(SocError):
            carry_out(app, command, name, name)
    assert stored(app, name).version == 3


def test_long_texts_are_refused_by_name() -> None:
    """Ten megabytes in any field: the field is named, and nothing is recorded."""
    app = application()
    name = incidents.open_incident(app, {"title": "x", "agencies": ["b"]}).id
    long = "x" * 10_000_000
    for field in ("title", "summary", "detected_by", "reported_by", "reference"):
        with pytest.raises(SocError, match=field):
            incidents.edit(app, name, {field: long})
        with pytest.raises(SocError, match=field):
            incidents.open_incident(app, {"title": "y", "agencies": ["b"], field: long})
    for work, field in (
        (lambda: incidents.note(app, name, long), "note"),
        (lambda: incidents.assign(app, name, long), "owner"),
        (lambda: incidents.add_tasks(app, name, [{"title": long}]), "title"),
        (lambda: incidents.finish_task(app, name, "t1", result=long), "result"),
        (lambda: incidents.edit(app, name, {"severity": "low"}, reason=long), "reason"),
        (lambda: incidents.move(app, name, "reject", {}, reason=long), "reason"),
        (lambda: incidents.move(app, name, "close", {"resolution": long}), "resolution"),
        (lambda: incidents.report(app, name, "report-72h", reference=long), "reference"),
        (lambda: observables.observe(app, name, long), "text"),
        (lambda: observables.ignore(app, name, ["1.2.3.4"], long), "reason"),
    ):
        app.actor = Actor("ad")
        before = stored(app, name)
        if field in ("result", "resolution"):
            incidents.add_tasks(app, name, [{"title": "t"}]) if field == "result" else [
                carry_out(app, one, name, "") for one in ("triage", "contain", "eradicate", "recover")
            ]
            before = stored(app, name)
        with pytest.raises(SocError, match=field):
            work()
        assert stored(app, name).version == before.version
    assert len(OPEN) == 5
