"""The life of an incident: every state with every command, what is asked for, and that nothing recorded is lost."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soc.application import incidents
from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.clock import FrozenClock, iso
from soc.config import Settings, StoreSettings
from soc.errors import Conflict, NotFound, SocError, UsageError
from soc.incidents.model import PREFIX, Incident, fold
from soc.incidents.workflow import COMMANDS, STATES, TABLE, IllegalTransition, possible, step
from soc.model.fact import ANY_VERSION, Behalf, NewFact
from soc.model.journal import FactConflict

NOW = 1_795_226_400_000_000
GIVEN = {"rsit": "malicious-code/infected-system", "resolution": "xong", "into": ""}
WAY = {
    "new": [],
    "triaged": ["triage"],
    "contained": ["triage", "contain"],
    "eradicated": ["triage", "contain", "eradicate"],
    "recovered": ["triage", "contain", "eradicate", "recover"],
    "closed": ["triage", "contain", "eradicate", "recover", "close"],
    "rejected": ["reject"],
    "merged": ["merge"],
}


def application(kind: str = "memory", folder: Path | None = None) -> App:
    """An application on an empty journal and a stopped clock."""
    store = StoreSettings(kind="memory") if kind == "memory" else StoreSettings(path=folder)
    return open_app(Settings(store=store), Actor("an"), clock=FrozenClock(NOW))


@pytest.fixture
def app() -> App:
    """An application in memory."""
    return application()


def do(app: App, name: str, command: str, **more: Any) -> Incident:
    """Carry out a step with everything that it may need."""
    return incidents.move(app, name, command, {**GIVEN, **more}, reason="vì thế")


def incident_in(app: App, state: str) -> str:
    """A fresh incident in a state."""
    other = incidents.open_incident(app, {"title": "khác"})
    found = incidents.open_incident(app, {"title": "sự cố", "legal_class": "ordinary"})
    for command in WAY[state]:
        do(app, found.id, command, into=other.id)
    return found.id


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", [command for command in COMMANDS if any(known == command and to.to for (_, known), to in TABLE.items())])
def test_every_state_and_command_is_as_the_table_says(app: App, state: str, command: str) -> None:
    """A step that the table has leads where it says; any other is refused, names what is possible, and records nothing."""
    name = incident_in(app, state)
    before = len(app.journal.read(PREFIX + name))
    other = incidents.open_incident(app, {"title": "khác"})
    if (state, command) in TABLE:
        wanted = TABLE[state, command].to
        assert do(app, name, command, into=other.id).state == ("new" if wanted == "before" else wanted)
        assert len(app.journal.read(PREFIX + name)) == before + 1
    else:
        with pytest.raises(IllegalTransition) as caught:
            do(app, name, command, into=other.id)
        assert all(one in caught.value.hint for one in possible(state))
        assert len(app.journal.read(PREFIX + name)) == before


def test_the_table_reaches_every_state_and_leaves_none_for_good() -> None:
    """From each state there is a way to closed: nothing is stuck."""
    reach = {state: {to.to if to.to != "before" else "new" for (known, _), to in TABLE.items() if known == state and to.to} for state in STATES}
    for state in STATES:
        seen, waiting = {state}, [state]
        while waiting:
            for to in reach[waiting.pop()] - seen:
                seen.add(to)
                waiting.append(to)
        assert "closed" in seen, state
    with pytest.raises(IllegalTransition):
        step("closed", "triage")


@pytest.mark.parametrize(
    ("state", "command", "given", "reason", "said"),
    [
        ("new", "triage", {}, "", "--class"),
        ("triaged", "eradicate", {}, "", "--reason"),
        ("triaged", "recover", {}, "", "--reason"),
        ("recovered", "close", {}, "", "--resolution"),
        ("new", "reject", {}, "", "--reason"),
        ("closed", "reopen", {}, "", "--reason"),
        ("new", "merge", {}, "x", "--into"),
        ("new", "triage", {"rsit": "no/such"}, "", "RSIT"),
        ("new", "triage", {"rsit": "fraud/phishing", "severity": "awful"}, "", "severity"),
        ("triaged", "contain", {"at": iso(NOW + 3_600_000_000)}, "", "future"),
    ],
)
def test_what_a_step_needs_is_asked_for(app: App, state: str, command: str, given: dict[str, str], reason: str, said: str) -> None:
    """A missing or impossible value is named, and nothing is recorded."""
    name = incident_in(app, state)
    version = incidents.get(app, name).version
    with pytest.raises(UsageError, match=said):
        incidents.move(app, name, command, given, reason=reason)
    assert incidents.get(app, name).version == version


def test_closing_waits_for_tasks_and_the_legal_class(app: App) -> None:
    """Open tasks and an undecided legal class stand in the way of closing, by name."""
    found = incidents.open_incident(app, {"title": "sự cố"})
    for command in WAY["recovered"]:
        do(app, found.id, command)
    incidents.add_tasks(app, found.id, [{"title": "Cách ly máy"}])
    with pytest.raises(Conflict, match="t1 Cách ly máy"):
        do(app, found.id, "close")
    incidents.finish_task(app, found.id, "t1", result="đã rút mạng", behalf=Behalf("Chị Hoa", "telephone"))
    with pytest.raises(Conflict, match="legal class"):
        do(app, found.id, "close")
    incidents.edit(app, found.id, {"legal_class": "ordinary"}, reason="một máy, không dữ liệu")
    assert do(app, found.id, "close").state == "closed"
    with pytest.raises(NotFound):
        incidents.finish_task(app, found.id, "t9")


def test_every_interval_is_kept_also_of_reopened_work(app: App) -> None:
    """Reopening begins new stretches; the earlier ones stand as they were, to the time that was said."""
    clock = app.clock
    assert isinstance(clock, FrozenClock)
    name = incidents.open_incident(app, {"title": "sự cố", "legal_class": "ordinary"}).id
    for command in (*WAY["closed"], "reopen", "contain"):
        clock.advance(3600)
        do(app, name, command)
    found = incidents.get(app, name)
    assert [one.state for one in found.intervals] == ["new", "triaged", "contained", "eradicated", "recovered", "closed", "triaged", "contained"]
    assert all(one.end == after.begin for one, after in zip(found.intervals, found.intervals[1:], strict=False))
    assert found.intervals[-1].end == ""


def test_a_merge_keeps_its_source_readable_and_is_taken_back_exactly(app: App) -> None:
    """What was merged says where it went; taking it back restores the state before, and both histories stand."""
    first, second = incident_in(app, "contained"), incident_in(app, "new")
    before = incidents.get(app, first)
    merged = do(app, first, "merge", into=second)
    assert (merged.state, merged.merged_into, incidents.get(app, second).merged) == ("merged", second, [first])
    with pytest.raises(IllegalTransition):
        incidents.edit(app, first, {"title": "x"})
    back = do(app, first, "unmerge")
    same = ("state", "title", "rsit", "agencies", "tasks", "notes", "merged_into", "legal_class")
    assert [getattr(back, name) for name in same] == [getattr(before, name) for name in same]
    assert incidents.get(app, second).merged == []
    with pytest.raises(UsageError):
        do(app, first, "merge", into=first)


def test_two_people_on_one_incident_conflict_visibly(tmp_path: Path) -> None:
    """The second of two who saw the same version is refused and shown what the first one did."""
    app = application("embedded", tmp_path / "store")
    name = incident_in(app, "triaged")
    seen = incidents.get(app, name).version
    incidents.edit(app, name, {"severity": "high"}, expected=seen)
    with pytest.raises(Conflict, match="changed meanwhile"):
        incidents.move(app, name, "contain", {}, expected=seen)
    app.journal.append(PREFIX + name, ANY_VERSION, [NewFact("NoteAdded", {"text": "chen ngang"})], actor="bình")
    with pytest.raises(FactConflict, match="bình"):
        app.journal.append(PREFIX + name, seen + 1, [NewFact("NoteAdded", {"text": "muộn"})], actor="an")
    app.close()


def test_numbers_are_taken_once_and_follow_the_year_of_detection(app: App) -> None:
    """Ids are the local year of detection and the next number; a number that somebody took meanwhile is skipped."""
    assert incidents.open_incident(app, {"title": "a"}).id == "INC-2026-0001"
    app.journal.append(PREFIX + "INC-2026-0003", 0, [NewFact("IncidentOpened", {"title": "of another", "detected_at": iso(NOW)})], actor="b")
    assert incidents.open_incident(app, {"title": "b"}).id == "INC-2026-0004"
    assert incidents.open_incident(app, {"title": "c", "detected_at": "2025-12-31T16:59:00Z"}).id == "INC-2025-0001"
    assert incidents.open_incident(app, {"title": "d", "detected_at": "2025-12-31T17:00:00Z"}).id == "INC-2026-0005"
    assert incidents.get(app, "4").title == "b"


def test_hostile_texts_are_kept_as_they_are(app: App) -> None:
    """Markup, formulas and template syntax are text; what no text file holds is refused whole."""
    text = "=HYPERLINK(1) {{7*7}} <script> \x1b[2J {0.__class__}"
    found = incidents.open_incident(app, {"title": text, "summary": text})
    assert incidents.note(app, found.id, text).notes[0].text == text
    assert incidents.get(app, found.id).title == text
    for bad in ("\x00", "x" * 300_000, "  "):
        with pytest.raises(UsageError):
            incidents.note(app, found.id, bad)
    assert incidents.get(app, found.id).version == 2


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(COMMANDS), st.booleans()), max_size=14))
def test_whatever_is_tried_the_table_holds_and_the_fold_repeats(tried: list[tuple[str, bool]]) -> None:
    """After any sequence of commands the state is one of the table, each recorded move was allowed, and folding again gives the same."""
    with tempfile.TemporaryDirectory():
        app = application()
        other = incidents.open_incident(app, {"title": "khác"}).id
        name = incidents.open_incident(app, {"title": "sự cố", "legal_class": "ordinary"}).id
        for command, with_reason in tried:
            state = incidents.get(app, name).state
            try:
                if any(known == command and to.to for (_, known), to in TABLE.items()):
                    incidents.move(app, name, command, {**GIVEN, "into": other}, reason="r" if with_reason else "")
                elif command == "edit":
                    incidents.edit(app, name, {"severity": "low"})
                elif command == "note":
                    incidents.note(app, name, "n")
                else:
                    incidents.assign(app, name, "b")
            except SocError:
                continue
            assert (state, command) in TABLE or command in ("task", "task-done", "attach", "observe", "report")
        facts = [one.fact for one in app.journal.read(PREFIX + name)]
        assert fold(name, facts) == incidents.get(app, name)
        assert incidents.get(app, name).state in STATES
