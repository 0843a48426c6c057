"""The registry reaches a running pipeline between two batches, every event names the state that was asked, and a replay asks it again."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from soc.application.app import Actor, App
from soc.application.directories import FACT, STAMP, RegistryWatch, State, enricher, present, recorded
from soc.application.pipelines import make_pipeline
from soc.application.replay import RECORDED, replay
from soc.application.run import run
from soc.bootstrap import open_app
from soc.clock import FrozenClock, from_datetime
from soc.config import FileSource, PipelineSettings, RulesSettings, Settings, StoreSettings
from soc.model.event import Doc
from soc.model.fact import ANY_VERSION, NewFact
from soc.model.query import All
from soc.ports import EventQuery
from tests.servers.clock import StillClock
from tests.servers.process import wait_until

DAY_S = 86_400.0
NOW = from_datetime(datetime(2026, 11, 21, 3, tzinfo=UTC))
LINE = (
    'date=2026-11-21 time=09:{minute:02d}:{second:02d} devname="FGT-1" devid="FG1" logid="0000000013" type="traffic" subtype="forward" level="notice" vd="root" '
    'srcip=192.168.1.{n} srcport=4000 dstip=203.0.113.9 dstport=443 sessionid={session} action="close" policyid=1 service="HTTPS" proto=6\n'
)
RULE = """\
title: Anything of agency b
id: 66666666-0000-4000-8000-000000000001
logsource: {category: firewall}
detection: {sel: {soc.agency.id: b}, condition: sel}
level: low
"""


def settings(folder: Path, **more: Any) -> Settings:
    """An embedded store with one followed file and one rule of its own."""
    rules = folder / "rules"
    rules.mkdir(exist_ok=True)
    (rules / "b.yml").write_text(RULE, encoding="utf-8")
    return Settings(
        data_dir=folder,
        store=StoreSettings(path=folder / "store"),
        sources={"fw": FileSource(type="file", paths=[str(folder / "fw.log")], follow=True, product="fortinet_fortigate")},
        rules=RulesSettings(directories=[rules], shipped=False),
        pipeline=PipelineSettings(batch_wait_s=0.05, heartbeat_s=1.0),
        **more,
    )


def tell(app: App, agency: str, **more: Any) -> None:
    """An import: the point of the firewall belongs to an agency."""
    if not app.journal.read("registry/agencies"):
        rows = [{"id": name, "name": name.upper(), "level": "department"} for name in ("a", "b")]
        app.journal.append("registry/agencies", 0, [NewFact("RegistryImported", {"kind": "agencies", "rows": rows})], actor="an")
    point = {"id": "p1", "name": "P1", "agency": agency, "observers": ["FGT-1"], "prefixes": ["192.168.1.0/24"], **more}
    app.journal.append("registry/points", ANY_VERSION, [NewFact("RegistryImported", {"kind": "points", "rows": [point]})], actor="an")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An application that runs nothing."""
    with open_app(settings(tmp_path), Actor("an"), clock=FrozenClock(NOW), pipeline=True) as opened:
        yield opened


def asked(enrich: Callable[[Doc], None] | None) -> Doc:
    """What is added to an event of the firewall."""
    doc: Doc = {"observer.name": "FGT-1", "source.ip": "192.168.1.7"}
    if enrich is not None:
        enrich(doc)
    return {key: value for key, value in doc.items() if key.startswith("soc.")}


def test_a_state_has_a_name_and_is_read_once(app: App) -> None:
    """While nothing is registered there is none; each import and each day is another; an old state is asked as it was."""
    assert (present(app).name, enricher(app), asked(None)) == ("", None, {})
    tell(app, "a")
    first = present(app)
    assert asked(enricher(app)) == {"soc.network_point": "p1", "soc.agency.id": "a", STAMP: first.name}
    assert enricher(app) is enricher(app)
    assert make_pipeline(app, app.store)._enrich is make_pipeline(app, app.store)._enrich is enricher(app)
    tell(app, "b")
    second = present(app)
    assert first.name != second.name
    assert (asked(enricher(app))["soc.agency.id"], asked(enricher(app, first))["soc.agency.id"]) == ("b", "a")
    app.journal.append("registry/people", 0, [NewFact("RegistryImported", {"kind": "people", "rows": []})], actor="an")
    assert present(app) == second
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(DAY_S)
    assert present(app).name != second.name


def test_objects_count_from_day_to_day_also_in_a_run_that_goes_on(app: App) -> None:
    """At midnight, where the users are, another state is in force."""
    tell(app, "a", valid_until="2026-11-21")
    used: list[Any] = []
    watch = RegistryWatch(app, used.append)
    watch.look()
    assert not watch.due
    assert asked(enricher(app)) != {}
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(DAY_S)
    watch.look()
    assert watch.due
    watch.switch()
    assert "soc.agency.id" not in asked(used[-1])
    assert [fact["day"] for fact in app.store.facts(FACT)] == ["2026-11-22"]
    assert recorded(app, present(app).name) == present(app)
    assert recorded(app, "never") is None
    assert recorded(app, "") is None, "a store that was filled before states were recorded"
    assert State({}, "2026-11-21").name == ""


def test_a_registry_that_cannot_be_read_does_not_stop_the_stream(app: App, tmp_path: Path) -> None:
    """The state before stays in force; when it is whole again it is taken over."""
    tell(app, "a")
    used: list[Any] = []
    watch = RegistryWatch(app, used.append)
    tell(app, "b")
    database = tmp_path / "store" / "journal.db"
    with closing(sqlite3.connect(database)) as db, db:
        [body] = db.execute("SELECT body FROM fact WHERE stream = 'registry/points' AND sequence = 2").fetchone()
        db.execute("UPDATE fact SET body = x'7b' WHERE stream = 'registry/points' AND sequence = 2")
    watch.look()
    watch.switch()
    assert used == []
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("UPDATE fact SET body = ? WHERE stream = 'registry/points' AND sequence = 2", (body,))
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(60)
    watch.look()
    watch.switch()
    assert asked(used[-1])["soc.agency.id"] == "b"


def lines(folder: Path, begin: int, count: int) -> None:
    """Append lines to the file that is followed."""
    with (folder / "fw.log").open("a", encoding="utf-8") as file:
        file.writelines(LINE.format(minute=n // 60, second=n % 60, n=n % 200 + 1, session=n) for n in range(begin, begin + count))


def until(found: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    wait_until(found, what=what)


def test_an_import_reaches_the_running_pipeline_and_a_replay_reproduces_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No restart: later lines belong to the other agency, alerts follow from that, and what was judged before is judged so again."""
    monkeypatch.setattr("soc.application.directories.LOOK_EVERY_S", 0.1)
    lines(tmp_path, 0, 40)
    stop, clock = threading.Event(), StillClock(NOW)  # a state of the registry is one of a day: midnight makes another
    with open_app(settings(tmp_path), Actor("an"), clock=clock, pipeline=True) as app, open_app(settings(tmp_path), Actor("bình"), clock=clock) as person:
        working = threading.Thread(target=lambda: run(app, stop=stop))
        working.start()

        def stored() -> list[Doc]:
            return list(person.store.stream(EventQuery(All(), descending=False)))

        try:
            until(lambda: len(stored()) == 40, "the first lines")
            for number, agency in enumerate(("a", "b")):
                tell(person, agency)
                name = present(person).name
                until(lambda name=name: any(fact["name"] == name for fact in person.store.facts(FACT)), "the import")  # type: ignore[misc]
                lines(tmp_path, 40 + number * 40, 40)
                until(lambda number=number: len(stored()) == 80 + number * 40, "the lines after it")  # type: ignore[misc]
        finally:
            stop.set()
            working.join(150)
        assert not working.is_alive()
    with open_app(settings(tmp_path), Actor("an"), clock=clock) as app:
        docs = list(app.store.stream(EventQuery(All(), descending=False)))
        agencies = [doc.get("soc.agency.id", "") for doc in sorted(docs, key=lambda doc: int(doc["soc.seq"]))]
        assert agencies == [""] * 40 + ["a"] * 40 + ["b"] * 40
        assert len({doc.get(STAMP, "") for doc in docs}) == 3
        report = replay(app, query=EventQuery(All()), rules_hash=RECORDED)
        assert (report.events, report.alerts_before, report.added, report.removed, report.changed) == (120, 40, [], [], [])
        now = replay(app, query=EventQuery(All()))
        assert len(now.added) == 80, "by the present registry all lines belong to b"
