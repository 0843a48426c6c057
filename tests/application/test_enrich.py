"""Stored events are asked of the registry anew: recorded, repeatable, whole after a kill; ledger, figures and replays stay what they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from soc.application import enrich as work
from soc.application.app import Actor, App
from soc.application.directories import STAMP
from soc.application.enrich import AGAIN, PREVIOUS, STREAM, enrich
from soc.application.ingest import ingest_files
from soc.application.replay import RECORDED, replay
from soc.bootstrap import open_app
from soc.clock import FrozenClock
from soc.config import FileSource, StoreSettings
from soc.errors import NotAllowed, UsageError
from soc.model.alert import Alert
from soc.model.event import Doc
from soc.model.fact import ANY_VERSION, Fact, NewFact
from soc.model.query import All, Term
from soc.ports import AlertQuery, CrashPoint, EventQuery, no_crash
from tests.application.test_directories import DAY_S, LINE, NOW, settings, tell
from tests.application.test_outbox import Killed
from tests.contracts.conftest import STORES
from tests.contracts.samples import alert, batch, event
from tests.servers.clock import clock_for

EVERYTHING = EventQuery(All(), descending=False)
WHY = "điểm mạng đã chuyển về xã"


def again(app: App, *, dry_run: bool = False, query: EventQuery = EVERYTHING, original: bool = False) -> work.Enriched:
    """Ask anew."""
    return enrich(app, query=query, original=original, why=WHY, dry_run=dry_run)


def docs(app: App) -> list[Doc]:
    """All events in the order of their lines."""
    return sorted(app.store.stream(EVERYTHING), key=lambda doc: int(doc["soc.seq"]))


def agencies(app: App) -> list[str]:
    """The agency of each line."""
    return [str(doc.get("soc.agency.id", "")) for doc in docs(app)]


def figures(app: App) -> object:
    """What must not change: ledger, threats, ids of alerts and groups."""
    ledger = app.store.ledger()
    assert not any(item.difference for item in ledger)
    groups = {group.id: group.count for group in app.store.alert_groups(AlertQuery(limit=100))[1]}
    return ledger, app.store.threats(EVERYTHING), [alert.id for alert in app.store.alerts(AlertQuery(limit=100))[1]], groups


def opened(folder: Path, clock: FrozenClock, crash: CrashPoint = no_crash, agency: str = "", store: StoreSettings | None = None) -> App:
    """The application on the store of a folder; `agency`: what the settings of its source say."""
    found = settings(folder)
    fw = FileSource(type="file", paths=[str(folder / "*.log")], product="fortinet_fortigate", agency=agency)
    return open_app(found.model_copy(update={"sources": {"fw": fw}, "store": store or found.store}), Actor("an"), clock=clock, pipeline=True, crash=crash)


def take(app: App, folder: Path, begin: int) -> None:
    """Ten lines come."""
    log = folder / f"{begin}.log"
    log.write_text("".join(LINE.format(minute=0, second=n, n=n + 1, session=n) for n in range(begin, begin + 10)), encoding="utf-8")
    ingest_files(app, [log], source="fw")


@pytest.fixture
def clock() -> FrozenClock:
    """A day on which nothing else happens."""
    return FrozenClock(NOW)


@pytest.fixture
def app(tmp_path: Path, clock: FrozenClock) -> Iterator[App]:
    """Ten lines came before anything was known, ten when the point of the firewall was said to be of agency b (each an alert); it is of a."""
    with opened(tmp_path, clock) as found:
        history(found, tmp_path)
        yield found


def history(app: App, folder: Path) -> None:
    """What happened before the test."""
    take(app, folder, 0)
    tell(app, "b")
    take(app, folder, 10)
    settle(app)
    assert sorted(agencies(app)) == [""] * 10 + ["b"] * 10
    tell(app, "a")


def settle(app: App) -> None:
    """Make everything written findable."""
    getattr(app.store, "refresh", lambda: None)()


def recorded(app: App) -> list[Fact]:
    """What the journal says of it."""
    return [one.fact for one in app.journal.read(STREAM)]


def told(app: App) -> tuple[set[str], set[str]]:
    """The agencies of alerts and of groups."""
    groups = app.store.alert_groups(AlertQuery(limit=100))[1]
    return {alert.agency for alert in app.store.alerts(AlertQuery(limit=100))[1]}, {one for group in groups for one in group.agencies}


def test_events_alerts_and_groups_follow_and_all_else_stays(app: App) -> None:
    """A dry run counts the same and changes nothing; figures, ledger, ids and groups stay; who, why and how much are recorded; once more is nothing."""
    before = figures(app)
    plan = again(app, dry_run=True)
    assert (plan.seen, plan.changed, plan.alerts, plan.agencies) == (20, 20, 10, {"b→a": 10, "→a": 10})
    assert (set(agencies(app)), told(app), recorded(app)) == ({"", "b"}, ({"b"}, {"b"}), [])
    assert again(app) == plan
    assert (set(agencies(app)), told(app)) == ({"a"}, ({"a"}, {"a"}))
    assert figures(app) == before
    assert app.store.count(EventQuery(Term("soc.agency.id", "a"))) == 20
    begun, done = recorded(app)
    assert (begun.kind, done.kind, {(one.actor, one.reason) for one in (begun, done)}) == ("EnrichmentBegun", "EnrichmentDone", {("an", WHY)})
    assert (done.data["changed"], done.data["alerts"], done.data["registry"], done.data["agencies"]) == (20, 10, plan.registry, plan.agencies)
    assert {tuple(doc[PREVIOUS]) for doc in docs(app)} == {("///",), ("b/p1//",)}
    assert {doc[AGAIN] for doc in docs(app)} == {plan.registry}
    once_more = again(app)
    assert (once_more.seen, once_more.changed, once_more.alerts) == (20, 0, 0)


@pytest.mark.parametrize("kind", STORES)
def test_on_every_store_the_same(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Memory, SQLite and Elasticsearch: the plan, the work, its repetition, and back."""
    store = StoreSettings(kind="memory") if kind == "memory" else StoreSettings(path=tmp_path / "store")
    if kind == "elasticsearch":
        store = request.getfixturevalue("elastic_store")
    with opened(tmp_path, clock_for(kind, NOW), store=store) as app:
        history(app, tmp_path)
        before = figures(app)
        done = []
        for dry_run, original in ((True, False), (False, False), (False, False), (False, True)):
            found = again(app, dry_run=dry_run, original=original)
            settle(app)
            done.append((found.seen, found.changed, found.alerts, sorted(set(agencies(app))), told(app), figures(app) == before))
        were = (["", "b"], ({"b"}, {"b"}), True)
        now = (["a"], ({"a"}, {"a"}), True)
        assert done == [(20, 20, 10, *were), (20, 20, 10, *now), (20, 0, 0, *now), (20, 20, 10, *were)]


def test_a_replay_gives_what_was_and_the_original_comes_back(app: App) -> None:
    """The state that was asked first stays in the event; what was given back is that of the day it came."""
    before = {doc["soc.id"]: (doc.get(STAMP), doc.get("soc.agency.id"), doc.get("soc.network_point")) for doc in docs(app)}
    again(app)
    report = replay(app, query=EventQuery(All()), rules_hash=RECORDED)
    assert (report.events, report.alerts_before, report.added, report.removed, report.changed) == (20, 10, [], [], [])
    back = again(app, original=True)
    assert (back.changed, back.alerts, back.registry) == (20, 10, "")
    assert {doc["soc.id"]: (doc.get(STAMP), doc.get("soc.agency.id"), doc.get("soc.network_point")) for doc in docs(app)} == before
    assert told(app) == ({"b"}, {"b"})
    assert {tuple(doc[PREVIOUS]) for doc in docs(app)} == {("///", "a/p1//"), ("b/p1//", "a/p1//")}
    assert all(AGAIN not in doc for doc in docs(app))
    assert again(app, original=True).changed == 0
    assert (again(app).changed, told(app)) == (20, ({"a"}, {"a"}))


def test_only_what_fits_the_query_is_asked(app: App) -> None:
    """Other events and the alerts behind which they stand keep what they have."""
    found = again(app, query=EventQuery(Term("soc.agency.id", "b"), until_us=NOW))
    assert (found.seen, found.changed, found.alerts) == (10, 10, 10)
    assert sorted(agencies(app)) == [""] * 10 + ["a"] * 10
    none = again(app, query=EventQuery(Term("source.ip", "192.168.1.99")))
    assert (none.seen, none.changed, none.alerts) == (0, 0, 0)


def test_each_event_is_asked_on_its_own_day(app: App, tmp_path: Path, clock: FrozenClock) -> None:
    """An agency's point that ended yesterday keeps what came before, and gets nothing of today."""
    tell(app, "a", valid_until="2026-11-21")
    clock.advance(DAY_S)
    take(app, tmp_path, 20)
    again(app)
    assert sorted(agencies(app)) == [""] * 10 + ["a"] * 20


def test_what_the_settings_of_a_source_say_stays(tmp_path: Path, clock: FrozenClock) -> None:
    """Also when the settings say something else by now: the state asked then does not explain it."""
    with opened(tmp_path, clock, agency="so-yt") as app:
        tell(app, "b")
        take(app, tmp_path, 0)
        assert set(agencies(app)) == {"so-yt"}
        tell(app, "a")
        assert again(app).changed == 0
    with opened(tmp_path, clock) as app:
        assert again(app).changed == 0
        assert set(agencies(app)) == {"so-yt"}


@pytest.mark.parametrize("point", ["enrich.begun", "enrich.events", "enrich.alerts"])
def test_after_a_kill_the_same_call_does_the_rest(tmp_path: Path, clock: FrozenClock, app: App, point: str) -> None:
    """Wherever it was killed: events and alerts are whole, and the record says who began and what was done."""
    app.close()

    def kill(at: str) -> None:
        if at == point:
            raise Killed

    with opened(tmp_path, clock, kill) as killed, pytest.raises(Killed):
        again(killed)
    with opened(tmp_path, clock) as found:
        assert [fact.kind for fact in recorded(found)] == ["EnrichmentBegun"]
        again(found)
        assert (set(agencies(found)), told(found)) == ({"a"}, ({"a"}, {"a"}))
        assert {len(doc[PREVIOUS]) for doc in docs(found)} == {1}
        assert again(found).alerts == 0


@pytest.mark.parametrize("at_once", [1, 3, 10])
@pytest.mark.parametrize("second", [None, 7])
def test_alerts_are_read_part_by_part_while_more_are_raised(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, second: int | None
) -> None:
    """Also those of one time: places shift by what comes meanwhile, and none is left out or attributed twice."""
    tell(app, "b")
    log = tmp_path / "more.log"
    log.write_text("".join(LINE.format(minute=1, second=n if second is None else second, n=n + 1, session=100 + n) for n in range(10)), encoding="utf-8")
    ingest_files(app, [log], source="fw")
    tell(app, "a")
    monkeypatch.setattr(work, "_AT_ONCE", at_once)
    asked, attributed, number = app.store.alerts, app.store.attribute, [0]
    given: list[str] = []

    def alerts(query: AlertQuery) -> tuple[int, list[Alert]]:
        found = asked(query)
        if not query.shadow and not query.retracted:
            number[0] += 1
            assert number[0] < 50, "whoever counts from the newest never comes to an end"
            one = event(number[0], partition="other", ts_us=NOW + number[0] * 1_000_000)
            app.store.commit(batch(one, alerts=[alert(one, agency="c")]))
        return found

    def attribute(agencies: dict[str, str]) -> None:
        given.extend(agencies)
        attributed(agencies)

    monkeypatch.setattr(app.store, "alerts", alerts)
    monkeypatch.setattr(app.store, "attribute", attribute)
    assert again(app).alerts == 20
    assert (len(given), len(set(given))) == (20, 20)
    assert told(app)[0] == {"a", "c"}


def test_it_takes_a_reason_and_the_right(app: App) -> None:
    """Without a reason nothing is done; an analyst may not."""
    with pytest.raises(UsageError):
        enrich(app, query=EVERYTHING, why=" ", dry_run=True)
    rows = [{"id": name, "name": name, "agency": "a", "role": role, "account": name} for name, role in (("an", "analyst"), ("le", "lead"))]
    app.journal.append("registry/people", ANY_VERSION, [NewFact("RegistryImported", {"kind": "people", "rows": rows})], actor="an")
    app.__dict__.pop("_standing", None)
    with pytest.raises(NotAllowed):
        again(app, dry_run=True)
    app.actor = Actor("le")
    app.__dict__.pop("_standing", None)
    assert again(app, dry_run=True).changed == 20
