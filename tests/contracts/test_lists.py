"""Kept lists say what a full fold of the journal says: in memory, in the embedded store and on Elasticsearch, whatever became of them."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import msgspec
import pytest

from soc.adapters.elastic.client import Link
from soc.adapters.sqlite import lists as kept
from soc.application import incidents, triage
from soc.application.app import Actor, App
from soc.application.lists import FoldingLists
from soc.bootstrap import open_app
from soc.clock import FrozenClock, iso
from soc.config import Settings, StoreSettings
from soc.incidents.clocks import is_overdue, obligations
from soc.incidents.listing import incident_of
from soc.incidents.listing import incidents as incident_lists
from soc.incidents.model import PREFIX
from soc.incidents.workflow import STATES
from soc.model.fact import ANY_VERSION, NewFact
from soc.model.journal import Append
from soc.model.projection import Document, ListQuery
from soc.ports import AlertQuery, TellingStore
from soc.triage.listing import groups as group_lists
from soc.triage.model import fold
from soc.triage.standing import chosen
from tests.contracts.conftest import STORES
from tests.contracts.samples import DAY, HOUR, T0, alert, batch, event
from tests.servers.clock import clock_for

AGENCIES = ("so-y-te", "xa-loc-ninh", "so-kh-cn")
_MOVES = ("triaged", "contained", "closed", "rejected", "new")


@dataclass
class Place:
    """An application, and how it is opened a second time."""

    settings: Settings
    app: App

    def again(self, *, read_only: bool = False) -> App:
        """The same store as another process opens it."""
        return open_app(self.settings.model_copy(update={"read_only": read_only}), Actor("bình"), clock=self.app.clock)


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty store."""
    store = StoreSettings(kind="memory") if request.param == "memory" else StoreSettings(path=tmp_path / "store")
    if request.param == "elasticsearch":
        store = request.getfixturevalue("elastic_store")
    settings = Settings(store=store, data_dir=tmp_path)
    with open_app(settings, Actor("an"), clock=clock_for(request.param, T0 + 40 * DAY), pipeline=True) as app:
        yield Place(settings, app)


def tell(app: App, rng: random.Random, count: int) -> None:
    """Facts about incidents at random: openings, moves, edits that move clocks, reports, kinds that nobody knows."""
    appends: list[Append] = []
    for number in rng.sample(range(60), count):
        stream = f"{PREFIX}INC-2026-{number:04d}"
        facts = [] if app.journal.read(stream) else [_opened(rng, number)]
        facts += [_said(rng) for _ in range(rng.randrange(3))]
        if facts:
            appends.append(Append(stream, ANY_VERSION, tuple(facts)))
    for scope in ("real", "exercise:x"):
        app.journal.append_each([one for one in appends if (int(one.stream[-4:]) % 7 == 0) == (scope != "real")], actor="an", scope=scope)


def _said(rng: random.Random) -> NewFact:
    return rng.choice(
        [
            NewFact("IncidentMoved", {"to": rng.choice(_MOVES)}, "vì"),
            NewFact("IncidentEdited", {"detected_at": iso(T0 + rng.randrange(45 * DAY)), "agencies": rng.sample(AGENCIES, 2)}, "sửa"),
            NewFact("IncidentEdited", {"legal_class": rng.choice(("serious", "ordinary"))}, "rõ"),
            NewFact("ReportRecorded", {"obligation": rng.choice(("initial", "final")), "at": iso(T0 + DAY)}),
            NewFact("IncidentPraised", {}),
        ]
    )


def _opened(rng: random.Random, number: int) -> NewFact:
    at = iso(T0 + rng.randrange(45) * DAY)
    return NewFact("IncidentOpened", {"title": f"Sự cố {number}", "detected_at": at, "regime": "vn-2017", "agencies": rng.sample(AGENCIES, rng.randrange(3))})


QUERIES = [
    ListQuery(states, scope, late, word, waiting=waiting)
    for states, scope, late, word, waiting in product(
        (None, STATES, ("new", "triaged"), ("closed",)), (None, "real", "exercise:x"), (0, T0 + 20 * DAY, T0 + 60 * DAY), ("", "so-y-te", "none"), (False, True)
    )
]


def check(app: App) -> None:
    """Every page of every query is what folding everything gives."""
    oracle = FoldingLists(app.journal)
    everything = {query: oracle.page(incident_lists(), query) for query in QUERIES}
    for query, expected in everything.items():
        assert app.lists.page(incident_lists(), query) == expected
    whole = oracle.page(incident_lists(), ListQuery(scope=None))[1]
    for offset in range(0, len(whole) + 7, 7):
        assert app.lists.page(incident_lists(), ListQuery(scope=None, limit=7, offset=offset)) == (len(whole), whole[offset : offset + 7])
    streams = [one.stream for one in whole[::3]]
    assert app.lists.some(incident_lists(), [*streams, "incident/none"]) == {one.stream: one for one in whole[::3]}


@pytest.mark.parametrize("seed", [1, 2])
def test_lists_follow_random_facts_and_survive_their_own_loss(place: Place, seed: int) -> None:
    """After each handful of facts, seen from two processes, after deletion, and for those who may not write."""
    rng = random.Random(seed)
    check(place.app)
    with place.again() as other:
        for turn in range(3):
            tell(place.app, rng, 12)
            if place.settings.store.kind != "memory":
                tell(other, rng, 5)
                check(other)
            check(place.app)
            if turn == 1:
                forget(place)
    check(place.app)
    if place.settings.store.kind != "memory":
        with place.again(read_only=True) as reader:
            check(reader)
        tell(place.app, rng, 9)
        with place.again(read_only=True) as reader:
            check(reader)


def forget(place: Place) -> None:
    """Take the kept lists away under the feet of the application."""
    store = place.settings.store
    if store.kind == "elasticsearch":
        link = Link(store, place.app.clock)
        link.request("DELETE", f"/{store.prefix}-lists")
        link.close()
        place.app.lists.close()
        place.app.__dict__.pop("lists")
    elif store.path is not None:
        place.app.lists.close()
        for suffix in ("", "-wal", "-shm"):
            store.path.joinpath(kept.FILE + suffix).unlink(missing_ok=True)


def test_overdue_depends_on_now_and_not_on_when_the_list_was_made(place: Place) -> None:
    """Time alone makes incidents overdue; the application's list says the same as its obligations."""
    rng = random.Random(5)
    tell(place.app, rng, 40)
    tell(place.app, rng, 40)
    clock = place.app.clock
    assert isinstance(clock, FrozenClock)
    counts = []
    for _ in range(4):
        found = incidents.listed(place.app, states=STATES, scope=None, overdue=True)
        every = [incident_of(one) for one in FoldingLists(place.app.journal).page(incident_lists(), ListQuery(scope=None))[1]]
        assert {one.id for one, _ in found} == {one.id for one in every if is_overdue(obligations(one, clock.now_us()))}
        assert all(is_overdue(duties) for _, duties in found)
        total, page = incidents.page(place.app, states=STATES, scope=None, overdue=True, limit=3, offset=2)
        assert (total, page) == (len(found), found[2:5])
        counts.append(len(found))
        clock.advance(20 * DAY / 1e6)
    assert counts[0] < counts[-1]


def put(app: App, rng: random.Random, count: int, since: int) -> None:
    """Alerts at random into thirty groups."""
    numbers = range(since, since + count)
    events = [event(n, ts_us=T0 + rng.randrange(200) * HOUR, scope="exercise:x" if n % 9 == 0 else "real") for n in numbers]
    app.store.commit(
        batch(*events, alerts=[alert(one, rule=f"r-{n % 3}", key=f"k{rng.randrange(10)}", rule_level="high") for n, one in zip(numbers, events, strict=True)])
    )
    getattr(app.store, "refresh", lambda: None)()


@pytest.mark.parametrize("seed", [3, 4])
def test_states_of_groups_follow_people_and_alerts(place: Place, seed: int) -> None:
    """The queue by kept states is the queue by folding everything, while alerts and facts come in any order and rules are withdrawn."""
    rng = random.Random(seed)
    app = place.app
    for turn in range(5):
        put(app, rng, 25, turn * 25)
        items = triage.queue(app, AlertQuery(scope=None, limit=0)).items
        some = rng.sample(items, min(len(items), 8))
        triage.close(app, some[:4], "benign", lenient=True)
        triage.acknowledge(app, some[4:7], lenient=True)
        triage.undo(app, some[3:5], lenient=True)
        if turn == 2:
            forget(place)
        if turn == 3:
            app.store.retract({"id": "d-1", "rule": "r-1", "from_us": T0, "until_us": T0 + 90 * HOUR, "why": "sai", "by": "an", "at": iso(T0)})
            getattr(app.store, "refresh", lambda: None)()
        same(place, rng)
    if place.settings.store.kind != "memory":
        with place.again(read_only=True) as reader:
            triage.close(app, triage.queue(app, AlertQuery(limit=3)).items, "test")
            assert ids(reader, ("open", "acknowledged")) == ids(app, ("open", "acknowledged"))


def ids(app: App, states: tuple[str, ...]) -> list[str]:
    """The queue of all scopes."""
    return [item.group.id for item in triage.queue(app, AlertQuery(scope=None, limit=0), states=states).items]


def same(place: Place, rng: random.Random) -> None:
    """The kept choice against the plain one, for all and for some."""
    app = place.app
    said = {stream.removeprefix("group/"): fold([one.fact for one in facts]) for stream, facts in app.journal.under("group/")}
    everything = [group.id for group in app.store.alert_groups(AlertQuery(scope=None, limit=10**6))[1]]
    hidden = frozenset(rng.sample(everything, 3))
    for states, scope, rule in product(
        (("open", "acknowledged"), ("closed",), ("acknowledged",), ("open", "acknowledged", "closed")), (None, "real"), ("", "r-1")
    ):
        query = AlertQuery(scope=scope, rule=rule, limit=10**6)
        plain = chosen(said, app.store, query, states, hidden)
        expected = app.store.alert_groups(msgspec.structs.replace(query, ids=plain.ids, without=plain.without))
        mine = app.lists.standing(group_lists(), app.store, query, states, hidden)
        total, found = app.store.alert_groups(msgspec.structs.replace(query, ids=mine.ids, without=mine.without))
        assert (total if mine.total is None else mine.total, found) == expected


def test_rebuilding_says_what_differed_and_mends_it(place: Place) -> None:
    """A list that is right has no difference; one that was changed by hand is counted and right again."""
    rng = random.Random(7)
    tell(place.app, rng, 30)
    put(place.app, rng, 30, 0)
    items = triage.queue(place.app, AlertQuery(limit=0)).items
    triage.close(place.app, items[:5], "benign")
    triage.queue(place.app, AlertQuery(limit=0))
    check(place.app)
    made = place.app.lists.rebuild(incident_lists())
    assert (made.ok, made.documents) == (True, len(list(place.app.journal.heads(PREFIX))))
    assert place.app.lists.rebuild(group_lists(), place.app.store).ok
    tell(place.app, rng, 20)
    assert place.app.lists.rebuild(incident_lists()).ok, "facts that came since are no difference"
    if place.settings.store.kind == "memory":
        return
    spoil(place)
    made = place.app.lists.rebuild(incident_lists())
    assert (made.missing, made.changed) == (1, 1)
    check(place.app)
    tell(place.app, rng, 59)
    check(place.app)


def spoil(place: Place) -> None:
    """Remove a document and change another one's state."""
    store = place.settings.store
    whole: list[Document] = place.app.lists.page(incident_lists(), ListQuery(scope=None))[1]
    if store.kind == "elasticsearch":
        link = Link(store, place.app.clock)
        for one, what in ((whole[0], "DELETE"), (whole[1], "PUT")):
            found = link.request("POST", f"/{store.prefix}-lists/_search", {"query": {"term": {"stream": one.stream}}})
            [hit] = found["hits"]["hits"]
            body = {**hit["_source"], "state": "x"} if what == "PUT" else None
            for _ in range(3):  # its version is beyond what comes next
                link.request(what, f"/{store.prefix}-lists/_doc/{hit['_id']}", body, params={"refresh": "true"}, missing=None)
        link.close()
        return
    assert store.path is not None
    with sqlite3.connect(store.path / kept.FILE) as db:
        db.execute("DELETE FROM doc WHERE stream = ?", (whole[0].stream,))
        db.execute("UPDATE doc SET digest = x'00', state = 'closed' WHERE stream = ?", (whole[1].stream,))
    db.close()


def test_only_stores_that_number_changes_are_asked_for_them(place: Place) -> None:
    """The embedded store tells which groups changed; the others are looked at whole."""
    assert isinstance(place.app.store, TellingStore) == (place.settings.store.kind == "embedded")
