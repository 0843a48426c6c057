"""Giving an incident the tasks of a playbook: owners by role, due times from when they are given or from T0, never twice; own playbooks take the place of shipped ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from soc.application import incidents, playbooks
from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.clock import FrozenClock, iso
from soc.config import Settings, StoreSettings
from soc.errors import ConfigError, Conflict, NotFound
from soc.incidents.clocks import obligations
from soc.incidents.workflow import IllegalTransition
from soc.organization.registry import Registry, record
from soc.organization.table import Row
from tests.contracts.samples import HOUR, T0

PEOPLE = [
    {"id": "hoa", "name": "Chị Hoa", "agency": "xa-a", "role": "contact"},
    {"id": "lan", "name": "Chị Lan", "agency": "so-yt", "role": "lead"},
    {"id": "minh", "name": "Anh Minh", "agency": "so-yt", "role": "contact"},
]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An application with two agencies and their people."""
    settings = Settings.model_validate({"store": StoreSettings(kind="memory"), "data_dir": tmp_path, "playbooks": {"directories": [tmp_path]}})
    with open_app(settings, Actor("an"), clock=FrozenClock(T0 + HOUR)) as opened:
        agencies = [{"id": "so-yt", "name": "Sở Y tế", "level": "department"}, {"id": "xa-a", "name": "Xã A", "level": "commune"}]
        for kind, rows in (("agencies", agencies), ("people", PEOPLE)):
            plan = Registry(opened.journal).plan(kind, [Row(number, dict(row)) for number, row in enumerate(rows, 1)])
            record(opened.journal, plan, actor="an")
        yield opened


def test_tasks_have_owners_by_role_and_are_due_from_when_they_are_given(app: App) -> None:
    """The contact of the agency concerned, the lead, the owner of the incident for the one on duty; T0 lies an hour back."""
    opened = incidents.open_incident(app, {"title": "x", "agencies": ["xa-a"], "detected_at": iso(T0)}, owner="bình")
    incident, count = playbooks.start(app, opened.id, "ransomware")
    assert count == len(incident.tasks) == 10
    owners = {task.origin.partition("#")[2]: (task.owner, task.due_at) for task in incident.tasks}
    assert owners["isolate"] == ("Chị Hoa", iso(T0 + HOUR + HOUR // 2))
    assert owners["decide"] == ("Chị Lan", iso(T0 + 3 * HOUR))
    assert owners["extent"] == ("bình", iso(T0 + 5 * HOUR))
    assert all(task.how.startswith("1. ") and task.record and task.phase for task in incident.tasks)
    assert [(one.playbook, one.version, one.done, one.total) for one in playbooks.progress(incident)] == [("ransomware", 1, 0, 10)]
    incident = incidents.finish_task(app, incident.id, "t1", result="đã rút dây")
    assert playbooks.progress(incident)[0].done == 1


def test_an_incident_that_is_reported_hours_late_begins_with_no_overdue_task_but_those_of_the_law(app: App) -> None:
    """Detected five days ago, recorded now: inner tasks have all of their time, what the law counts from T0 is late and says so."""
    opened = incidents.open_incident(app, {"title": "x", "detected_at": iso(T0 - 120 * HOUR)})
    incident, _ = playbooks.start(app, opened.id, "data-leak")
    due = {task.origin.partition("#")[2]: task.due_at for task in incident.tasks}
    late = {name for name, at in due.items() if at <= iso(T0 + HOUR)}
    assert late == {"clocks", "tell-people"}
    assert due["tell-people"] == iso(T0 - 48 * HOUR)
    assert {one.begin_at for one in obligations(incident, T0 + HOUR)} == {incident.detected_at}


def test_a_playbook_is_added_once_and_another_beside_it(app: App) -> None:
    """Tasks that are there stay as they are; the numbers go on."""
    opened = incidents.open_incident(app, {"title": "x"})
    playbooks.start(app, opened.id, "malware")
    with pytest.raises(Conflict):
        playbooks.start(app, opened.id, "malware")
    incident, count = playbooks.start(app, opened.id, "data-leak")
    assert [task.id for task in incident.tasks] == [f"t{number}" for number in range(1, 8 + count + 1)]
    with pytest.raises(NotFound):
        playbooks.start(app, opened.id, "flood")
    incidents.move(app, opened.id, "reject", {}, reason="không phải")
    with pytest.raises(IllegalTransition):
        playbooks.start(app, opened.id, "ddos")


def test_own_playbooks_take_the_place_of_shipped_ones_and_a_bad_one_stops_no_other(app: App, tmp_path: Path) -> None:
    """By their name; the error names file and line."""
    text = Path(playbooks.find(app.settings, "ddos").path).read_text(encoding="utf-8")
    (tmp_path / "ddos.yml").write_text(text.replace("version: 1", "version: 7"), encoding="utf-8")
    (tmp_path / "malware.yml").write_text(text.replace("version: 1", "version: one"), encoding="utf-8")
    (tmp_path / "bad.yml").write_text("title: [", encoding="utf-8")
    found, errors = playbooks.load(app.settings)
    assert ({one.name: one.version for one in found}["ddos"], len(errors), len(found)) == (7, 2, 8)
    with pytest.raises(ConfigError) as told:
        playbooks.find(app.settings, "bad")
    assert told.value.file.endswith("bad.yml")
    incident, _ = playbooks.start(app, incidents.open_incident(app, {"title": "x"}).id, "ddos")
    assert incident.tasks[0].origin == "ddos@7#confirm"
