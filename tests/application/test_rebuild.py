"""What follows from the journal is made anew: what differed is told, and nothing is lost beside those who work meanwhile."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from soc.adapters.sqlite import journal as book
from soc.adapters.sqlite import lists as kept
from soc.application import audit, incidents, triage
from soc.application.app import Actor, App
from soc.application.lists import FoldingLists
from soc.application.rebuild import PROJECTIONS, rebuild
from soc.bootstrap import open_app
from soc.clock import FrozenClock
from soc.config import Settings, StoreSettings
from soc.errors import NotAllowed, SocError
from soc.incidents.listing import incidents as incident_lists
from soc.model.fact import NewFact
from soc.model.projection import ListQuery
from soc.ports import AlertQuery
from tests.contracts.samples import DAY, T0, alert, batch, event
from tests.servers.process import wait_until


def quiet(_name: str, _done: int, _total: int) -> None:
    """No progress."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An embedded store."""
    return Settings(store=StoreSettings(path=tmp_path / "store"), data_dir=tmp_path)


@pytest.fixture
def app(settings: Settings) -> Iterator[App]:
    """Twelve groups, four of them closed, and six incidents; the lists are made."""
    with open_app(settings, Actor("an"), clock=FrozenClock(T0 + DAY), pipeline=True) as opened:
        events = [event(n) for n in range(12)]
        opened.store.commit(batch(*events, alerts=[alert(one, key=f"k{n}") for n, one in enumerate(events)]))
        triage.close(opened, triage.queue(opened, AlertQuery(limit=4)).items, "benign")
        for number in range(6):
            incidents.open_incident(opened, {"title": f"Sự cố {number}"})
        assert (triage.queue(opened, AlertQuery(limit=3)).total, len(incidents.listed(opened))) == (8, 6)
        yield opened


def change(settings: Settings, file: str, sql: str) -> None:
    """Change a database of the store by hand."""
    assert settings.store.path is not None
    with closing(sqlite3.connect(settings.store.path / file)) as db, db:
        assert db.execute(sql).rowcount


def test_a_store_that_is_right_differs_in_nothing(app: App) -> None:
    """And says how many objects it made."""
    found = rebuild(app, quiet)
    assert (found.ok, found.differed, {one.name: one.documents for one in found.lists}) == (
        True,
        False,
        {"groups": 4, "incidents": 6, "notices": 0, "messages": 0, "calls": 0},
    )
    assert len(PROJECTIONS) == len(found.lists)


@pytest.mark.parametrize(
    ("file", "sql", "what"),
    [
        (
            kept.FILE,
            "UPDATE standing SET state = 'closed' WHERE state = 'open' AND id = (SELECT min(id) FROM standing WHERE state = 'open')",
            ("groups", "changed", 1),
        ),
        (kept.FILE, "DELETE FROM standing WHERE state = 'open'", ("groups", "changed", 8)),
        (kept.FILE, "DELETE FROM doc WHERE list = 'incidents' AND stream GLOB '*0003'", ("incidents", "missing", 1)),
        (kept.FILE, "UPDATE doc SET state = 'closed', digest = zeroblob(8) WHERE list = 'incidents'", ("incidents", "changed", 6)),
        (kept.FILE, "UPDATE doc SET stream = 'incident/INC-2026-9999' WHERE list = 'incidents' AND stream GLOB '*0003'", ("incidents", "surplus", 1)),
        (kept.FILE, "DELETE FROM list", ("incidents", "missing", 0)),
    ],
)
def test_kept_lists_that_were_changed_are_counted_and_right_again(app: App, settings: Settings, file: str, sql: str, what: tuple[str, str, int]) -> None:
    """Whatever was done to them by hand."""
    before = (triage.queue(app, AlertQuery(limit=0)), incidents.listed(app))
    change(settings, file, sql)
    found = {one.name: one for one in rebuild(app, quiet).lists}
    assert getattr(found[what[0]], what[1]) == what[2]
    assert (triage.queue(app, AlertQuery(limit=0)), incidents.listed(app)) == before
    assert not rebuild(app, quiet).differed


@pytest.mark.parametrize(
    "sql", ["UPDATE head SET hash = zeroblob(32) WHERE stream GLOB 'incident/*0002'", "DELETE FROM head WHERE stream GLOB 'incident/*0002'"]
)
def test_wrong_ends_of_streams_are_mended(app: App, settings: Settings, sql: str) -> None:
    """So that the next fact is chained to the last one; the journal holds again."""
    change(settings, book.FILE, sql)
    assert not audit.verify(app.journal).ok
    found = rebuild(app, quiet)
    assert (found.ok, len(found.ends), found.differed) == (True, 1, True)
    incidents.note(app, found.ends[0].removeprefix("incident/"), "tiếp tục")
    assert audit.verify(app.journal).ok


def test_what_was_cut_off_or_changed_in_the_journal_is_not_papered_over(app: App, settings: Settings) -> None:
    """The trace of facts that are gone stays, and the rebuild says that the journal does not hold."""
    stream = app.journal.latest(1)[0].stream
    change(settings, book.FILE, f"DELETE FROM fact WHERE stream = '{stream}'")
    found = rebuild(app, quiet)
    assert (found.ok, [(one.stream, one.kind) for one in found.problems], found.ends) == (False, [(stream, "truncated")], [])
    assert not audit.verify(app.journal).ok


def test_who_may_not_write_rebuilds_nothing(app: App, settings: Settings) -> None:
    """The error says so."""
    with open_app(settings.model_copy(update={"read_only": True}), Actor("an"), clock=app.clock) as reader, pytest.raises(NotAllowed):
        rebuild(reader, quiet)


def test_any_flipped_byte_of_the_kept_lists_is_mended(app: App, settings: Settings) -> None:
    """After a rebuild lists say what a full fold says, wherever the file was damaged; and nothing ever stops with an error of SQLite."""
    assert settings.store.path is not None
    before = (triage.queue(app, AlertQuery(limit=0)), incidents.listed(app))
    app.lists.close()
    file = settings.store.path / kept.FILE
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    good = file.read_bytes()
    rng = random.Random(9)
    for place in [*range(0, 100, 7), *rng.sample(range(100, len(good)), 60)]:
        for suffix in ("-wal", "-shm"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        file.write_bytes(good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
        with open_app(settings, Actor("bình"), clock=app.clock) as other:
            try:
                other.lists.page(incident_lists(), ListQuery(scope=None))
            except SocError as error:
                pytest.fail(f"byte {place}: {error.message}")
            rebuild(other, quiet)
            assert (triage.queue(other, AlertQuery(limit=0)), incidents.listed(other)) == before, place


_WORKER = """
import sys
import time
from soc.application import incidents, triage
from soc.application.app import Actor
from soc.application.lists import FoldingLists
from soc.application.rebuild import rebuild
from soc.bootstrap import open_app
from soc.config import Settings, StoreSettings
from soc.ports import AlertQuery
from pathlib import Path
folder, name = Path(sys.argv[1]), sys.argv[2]
with open_app(Settings(store=StoreSettings(path=folder / "store"), data_dir=folder), Actor(name)) as app:
    for number in range(int(sys.argv[3])):
        if name == "rebuilder":
            found = rebuild(app, lambda *_: None)
            assert found.ok and not found.differed, found
        else:
            opened = incidents.open_incident(app, {"title": f"{name} {number}"})
            assert any(one.id == opened.id for one, _ in incidents.listed(app)), "what one recorded is in one's own list at once"
"""


def test_rebuilding_beside_people_who_work_loses_nothing_and_finds_no_difference(app: App, tmp_path: Path) -> None:
    """Two processes record, one rebuilds again and again: each sees what it recorded, and no rebuild takes news for a difference."""
    command = [sys.executable, "-c", _WORKER, str(tmp_path)]
    running = [
        subprocess.Popen([*command, name, count], stderr=subprocess.PIPE, text=True) for name, count in (("an", "25"), ("bình", "25"), ("rebuilder", "12"))
    ]
    errors = [one.communicate()[1] for one in running]
    assert [one.returncode for one in running] == [0, 0, 0], errors
    assert len(incidents.listed(app)) == 56
    assert rebuild(app, quiet).ok
    assert audit.verify(app.journal).ok


def test_the_command_tells_what_differed(app: App, settings: Settings, tmp_path: Path) -> None:
    """As text and as JSON; exit code 1 only when the journal itself does not hold."""
    config = tmp_path / "c.toml"
    config.write_text(f'data_dir = "{tmp_path}"\n', encoding="utf-8")
    config.chmod(0o600)
    command = [sys.executable, "-m", "soc", "--lang", "en", "--config", str(config), "store", "rebuild"]
    change(settings, kept.FILE, "DELETE FROM doc WHERE list = 'incidents' AND stream GLOB '*0003'")
    app.close()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "1 were missing" in done.stdout
    answer = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert (answer["ok"], answer["kind"], [one["missing"] for one in answer["lists"]]) == (True, "rebuild", [0, 0, 0, 0, 0])
    change(settings, book.FILE, "DELETE FROM fact WHERE stream GLOB 'incident/*0003'")
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 1


def test_facts_of_kinds_that_nobody_knows_change_no_list(app: App) -> None:
    """But their number is taken over."""
    app.journal.append("incident/INC-2026-0001", 1, [NewFact("IncidentPraised")], actor="an")
    [one] = app.lists.some(incident_lists(), ["incident/INC-2026-0001"]).values()
    assert (one.through, one.state) == (2, "new")


def test_projectors_that_are_killed_leave_lists_that_are_right(app: App, tmp_path: Path) -> None:
    """SIGKILL at any moment of making, following and rebuilding lists while others record: the next look is right, and the journal whole."""
    command = [sys.executable, "-c", _WORKER, str(tmp_path)]
    rng = random.Random(12)
    for turn in range(4):
        if turn == 2:
            for suffix in ("", "-wal", "-shm"):
                (tmp_path / "store" / (kept.FILE + suffix)).unlink(missing_ok=True)
        running = [
            subprocess.Popen([*command, name, "1000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for name in ("an", "rebuilder", "bình", "rebuilder")
        ]
        before = app.journal.latest(1)[0]
        wait_until(lambda before=before: app.journal.latest(1)[0] != before, what="the first record", every_s=0.01)  # type: ignore[misc]
        time.sleep(rng.random() * 0.4)
        for one in running:
            one.kill()
            one.wait()
        oracle = FoldingLists(app.journal)
        for query in (ListQuery(scope=None), ListQuery(limit=5, offset=2)):
            assert app.lists.page(incident_lists(), query) == oracle.page(incident_lists(), query)
        assert triage.queue(app, AlertQuery(limit=0)).total == 8
        assert audit.verify(app.journal).ok
    assert not rebuild(app, quiet).differed
