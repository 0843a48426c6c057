"""Events that incidents cite outlive the retention of the store."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from soc.application import evidence, incidents, store
from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.clock import FrozenClock
from soc.config import Settings, StoreSettings
from soc.errors import Conflict
from soc.ports import AlertQuery
from tests.conftest import NOW_US
from tests.contracts.conftest import Rig
from tests.contracts.samples import DAY, T0, alert, batch, event

LATER = NOW_US + 400 * DAY


@pytest.fixture
def app(tmp_path: Path, rig: Rig) -> App:
    """Six events of two months and two kinds; alerts cite two of the first month, one of mail, one of the second month."""
    app = open_app(Settings(store=StoreSettings(kind="memory"), data_dir=tmp_path / "d"), Actor("an"), clock=FrozenClock(NOW_US))
    app.__dict__["store"] = rig.open()
    early = [event(number, raw=f"dòng {number}") for number in range(4)]
    mail = event(0, partition="mx/0", source="mx", kind="mail")
    late = event(4, ts_us=T0 + 40 * DAY)
    app.store.commit(batch(*early, late, alerts=[alert(early[0]), alert(early[1]), alert(late, rule="r-2")]))
    app.store.commit(batch(mail, alerts=[alert(mail, rule="r-3")]))
    rig.settle()
    return app


def group_of(app: App, rule: str) -> str:
    """The group of a rule's alerts."""
    _, groups = app.store.alert_groups(AlertQuery(rule=rule))
    return groups[0].id


def about(app: App, *rules: str, state: str = "new") -> str:
    """An incident with the groups of these rules, in a state."""
    made = incidents.open_incident(app, {"title": "x", "legal_class": "ordinary"}).id
    incidents.attach(app, made, [group_of(app, rule) for rule in rules])
    if state == "rejected":
        incidents.move(app, made, "reject", {}, reason="không phải")
    return made


def drop(app: App, **more: bool) -> list[str]:
    """Drop everything of the firewall that ends in the first month."""
    return [one["kind"] for one in store.retention(app, kind="firewall", before_us=T0 + 15 * DAY, dry_run=False, **more)]


def kept(app: App, incident: str) -> list[str]:
    """The lines of the events that an incident's evidence holds."""
    lines: list[str] = []
    for one in evidence.of_incident(app, incident):
        data = b"".join(app.wiring.evidence().read(one.sha256))
        lines += [orjson.loads(line)["event"]["original"] for line in data.splitlines()]
    return lines


def test_retention_refuses_what_an_incident_at_work_needs(app: App) -> None:
    """Nothing is dropped and nothing copied, and the incident is named; copies are enough when somebody says so."""
    incident = about(app, "r-1", "r-2", "r-3")
    with pytest.raises(Conflict, match=incident):
        drop(app)
    assert (len(app.store.get_events([event(0).id])), kept(app, incident)) == (1, [])
    assert drop(app, copy_cited=True) == ["firewall"]
    assert app.store.get_events([event(0).id]) == []
    assert kept(app, incident) == ["dòng 0", "dòng 1"]


def test_what_an_ended_incident_cites_is_copied_first(app: App) -> None:
    """Exactly the cited events that go, as they were; of another kind and month nothing is touched."""
    incident, other = about(app, "r-1", state="rejected"), about(app, "r-2", "r-3")
    assert drop(app) == ["firewall"]
    assert (kept(app, incident), kept(app, other)) == (["dòng 0", "dòng 1"], [])
    (piece,) = evidence.of_incident(app, incident)
    assert (piece.events, piece.form) == (2, "kept")
    assert drop(app) == []


def test_a_dry_run_copies_nothing(app: App) -> None:
    """It shows the partitions and leaves everything as it is."""
    incident = about(app, "r-1")
    assert [one["kind"] for one in store.retention(app, kind="", before_us=T0 + 15 * DAY, dry_run=True)] == ["firewall", "mail"]
    assert kept(app, incident) == []


def test_cited_events_are_copied_on_demand_and_once(app: App) -> None:
    """The same events again are the same piece of evidence; an incident without alerts has none."""
    incident, bare = about(app, "r-1"), incidents.open_incident(app, {"title": "y"}).id
    first = evidence.keep_events(app, incident, why="trước khi đóng")
    assert (first is not None, evidence.keep_events(app, incident, why="lần nữa")) == (True, first)
    assert len(evidence.of_incident(app, incident)) == 1
    assert evidence.keep_events(app, bare, why="x") is None


def test_who_removed_what_stands_in_the_journal(app: App) -> None:
    """Name, period, partitions and how many events each held; a plan, and a removal of nothing, leave no fact."""
    store.retention(app, kind="firewall", before_us=T0 + 15 * DAY, dry_run=True)
    assert list(app.journal.read(store.RETENTION)) == []
    drop(app)
    assert drop(app) == []
    (stored,) = app.journal.read(store.RETENTION)
    assert (stored.fact.kind, stored.fact.actor) == ("PartitionsRemoved", app.actor.name)
    (events,) = stored.fact.data["partitions"].values()
    assert (stored.fact.data["kind"], events) == ("firewall", 4)
