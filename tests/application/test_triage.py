"""The queue of groups: what is in it, in which order, how many; and commands on many groups at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from soc.application import suppressions, triage, verdicts
from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.clock import iso
from soc.config import Settings, StoreSettings
from soc.errors import Conflict, NotFound, UsageError
from soc.model.alert import Alert
from soc.model.fact import ANY_VERSION, Fact, NewFact
from soc.ports import AlertQuery, Effects
from soc.triage.model import PREFIX, STATES, IllegalStep
from tests.contracts.conftest import STORES
from tests.contracts.samples import DAY, HOUR, T0, alert, batch, event
from tests.servers.clock import clock_for

MANY = 9


@pytest.fixture(params=STORES)
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[App]:
    """Nine groups, one an hour, of three rules; the last of an exercise."""
    store = StoreSettings(kind="memory") if request.param == "memory" else StoreSettings(path=tmp_path / "store")
    if request.param == "elasticsearch":
        store = request.getfixturevalue("elastic_store")
    with open_app(Settings(store=store, data_dir=tmp_path), Actor("an"), clock=clock_for(request.param, T0 + DAY), pipeline=True) as opened:
        put(opened, *range(MANY))
        yield opened


def put(app: App, *numbers: int, key: int = -1, hour: int = -1) -> None:
    """An alert for each number, in its hour and the group of its number, or in those given."""
    events = [event(n, ts_us=T0 + (n if hour < 0 else hour) * HOUR, scope="exercise:x" if n == MANY - 1 else "real") for n in numbers]
    levels = ("low", "high", "critical")
    raised = [alert(one, rule=f"r-{n % 3}", rule_level=levels[n % 3], key=f"k{n if key < 0 else key}") for n, one in zip(numbers, events, strict=True)]
    app.store.commit(batch(*events, alerts=raised))
    getattr(app.store, "refresh", lambda: None)()  # Elasticsearch finds only after a refresh


def as_(app: App, name: str) -> App:
    """The same application in somebody else's hands."""
    app.actor = Actor(name)
    return app


def shown(app: App, **asked: Any) -> list[str]:
    """The keys of the groups of a queue, after a check that its pages are the whole and its total is right."""
    states: tuple[str, ...] = tuple(asked.pop("states", triage.WAITING))
    query = AlertQuery(**{"limit": 0, **asked})
    whole = triage.queue(app, query, states=states)
    assert whole.total == len(whole.items)
    pages = []
    for offset in range(0, whole.total + 3, 3):
        page = triage.queue(app, msgspec.structs.replace(query, limit=3, offset=offset), states=states)
        assert page.total == whole.total
        pages += page.items
    assert pages == whole.items
    assert all(item.triage.state in states for item in whole.items)
    return ["".join(item.group.key.values()) for item in whole.items]


def test_the_queue_is_what_waits_newest_first_and_its_pages_are_right(app: App) -> None:
    """Closed groups are left out of list, total and pages; each state lists its own; filters go on working."""
    keys = [f"k{n}" for n in range(MANY - 2, -1, -1)]
    assert shown(app) == keys
    items = {item.group.key["source.ip"]: item for item in triage.queue(app, AlertQuery(limit=0)).items}
    triage.close(app, [items["k7"], items["k2"]], "benign")
    triage.acknowledge(app, [items["k5"]])
    assert shown(app) == ["k6", "k5", "k4", "k3", "k1", "k0"]
    assert shown(app, states=("open",)) == ["k6", "k4", "k3", "k1", "k0"]
    assert shown(app, states=("acknowledged",)) == ["k5"]
    assert shown(app, states=("closed",)) == ["k7", "k2"]
    assert shown(app, states=STATES) == keys
    assert shown(app, states=("closed",), rule="r-1") == ["k7"]
    assert shown(app, levels=("critical",)) == ["k5"]
    assert shown(app, since_us=T0 + 4 * HOUR, until_us=T0 + 7 * HOUR) == ["k6", "k5", "k4"]
    assert shown(app, scope="exercise:x") == ["k8"]


def test_a_late_alert_opens_a_closed_group_and_a_resent_line_does_not(app: App) -> None:
    """The time of the late one lies before the newest; its count tells."""
    (closed,) = [item for item in triage.queue(app, AlertQuery(limit=0)).items if item.group.key["source.ip"] == "k7"]
    triage.close(app, [closed], "benign")
    put(app, 7)
    assert "k7" in shown(app, states=("closed",))
    put(app, 10, key=7, hour=1)
    found = triage.queue(app, AlertQuery(limit=0)).items
    (again,) = [item for item in found if item.group.key["source.ip"] == "k7"]
    assert (again.triage.generation, again.triage.count_since(again.group.count), again.group.count) == (2, 1, 2)
    assert "k7" not in shown(app, states=("closed",))


def test_groups_are_named_by_beginnings_and_by_their_alerts(app: App) -> None:
    """Each once; what is not there is told."""
    item = triage.queue(app, AlertQuery(limit=1)).items[0]
    (found,) = triage.named(app, [item.group.id, item.group.id[:12], item.group.last_alert])
    assert found == item == triage.get(app, item.group)
    with pytest.raises(NotFound):
        triage.named(app, ["g-zzzz"])


def test_of_many_only_those_conflict_that_somebody_changed(app: App) -> None:
    """The others are closed; the conflict says who did what."""
    items = triage.queue(app, AlertQuery(limit=4)).items
    triage.assign(as_(app, "bình"), [items[1]], "cường")
    outcome = triage.close(as_(app, "an"), items, "test")
    assert (len(outcome.done), [one.stream for one in outcome.conflicts]) == (3, [PREFIX + items[1].group.id])
    assert "bình" in outcome.conflicts[0].message
    assert shown(app, states=("closed",)) == [items[at].group.key["source.ip"] for at in (0, 2, 3)]


def test_steps_that_do_not_fit_stop_all_or_are_left_out(app: App) -> None:
    """Named groups: nothing is written; a selection: the others are done."""
    first, second = triage.queue(app, AlertQuery(limit=2)).items
    (first,) = triage.close(app, [first], "test").done
    with pytest.raises(IllegalStep, match="closed"):
        triage.acknowledge(app, [second, first])
    assert app.journal.read(PREFIX + second.group.id) == []
    outcome = triage.acknowledge(app, [second, first], lenient=True)
    assert ([item.group.id for item in outcome.done], outcome.skipped) == ([second.group.id], [first.group.id])


@pytest.mark.parametrize(("verdict", "note"), [("wrong", ""), ("", ""), ("benign", "x" * 2_001)])
def test_what_cannot_be_said_is_refused(app: App, verdict: str, note: str) -> None:
    """Unknown verdicts and notes without an end; nothing is written."""
    item = triage.queue(app, AlertQuery(limit=1)).items[0]
    with pytest.raises(UsageError):
        triage.close(app, [item], verdict, note)
    with pytest.raises(UsageError):
        triage.assign(app, [item], "x\ny")
    assert app.journal.read(PREFIX + item.group.id) == []


def test_undo_goes_back_step_by_step_and_stops_at_others(app: App) -> None:
    """Twice takes two things back; what somebody else said in between is a conflict that shows it."""
    item = triage.queue(app, AlertQuery(limit=1)).items[0]
    (item,) = triage.acknowledge(app, [item]).done
    (item,) = triage.close(app, [item], "benign").done
    (item,) = triage.undo(app, [item]).done
    assert (item.triage.state, item.triage.version) == ("acknowledged", 3)
    (item,) = triage.undo(app, [item]).done
    assert (item.triage.state, item.triage.owner, item.triage.version) == ("open", "", 4)
    with pytest.raises(UsageError):
        triage.undo(app, [item])
    (item,) = triage.acknowledge(app, [item]).done
    seen = item
    triage.assign(as_(app, "bình"), [item], "cường")
    outcome = triage.undo(as_(app, "an"), [seen])
    assert (outcome.done, [fact.kind for fact in outcome.conflicts[0].since]) == ([], ["GroupAssigned"])


def test_verdicts_of_former_versions_count_until_something_newer_is_said(app: App) -> None:
    """Facts of the store are read still; a fact of the journal about the same target wins; reopening takes a group's verdict away."""
    first, second = triage.queue(app, AlertQuery(limit=2)).items
    for item in (first, second):
        about = {"target": item.group.id, "rule": item.group.rule.id, "rule_hash": "h", "verdict": "false-positive", "note": "", "by": "an", "at": iso(T0)}
        app.store.record_fact("verdict", about)
    newest = app.store.get_alert(first.group.last_alert)
    assert isinstance(newest, Alert)
    assert (verdicts.of_alert(app, newest) or {})["verdict"] == "false-positive"
    triage.close(app, [first], "true-positive")
    assert (verdicts.of_alert(app, newest) or {})["verdict"] == "true-positive"
    said = verdicts.latest(app)
    assert {target: fact["verdict"] for target, fact in said.items()} == {first.group.id: "true-positive", second.group.id: "false-positive"}
    assert said[first.group.id]["by"] == "an"
    verdicts.record(app, [second.group.last_alert, second.group.id], "benign", "đã hỏi")
    assert verdicts.by_rule(app) == {"r-1": {"true-positive": 1}, "r-0": {"benign": 2}}
    assert [item.triage.state for item in triage.named(app, [second.group.id])] == ["open"]
    assert triage.undo(app, triage.named(app, [second.group.id])).done[0].triage.version == 3
    assert app.store.facts("verdict")[0]["verdict"] == "false-positive"


def test_facts_that_this_version_does_not_know_change_nothing(app: App) -> None:
    """But they count as something that happened meanwhile."""
    item = triage.queue(app, AlertQuery(limit=1)).items[0]
    app.journal.append(PREFIX + item.group.id, ANY_VERSION, [NewFact("GroupPraised", {})], actor="an")
    (conflict,) = triage.acknowledge(app, [item]).conflicts
    assert isinstance(conflict, Conflict)
    assert triage.named(app, [item.group.id])[0].triage.state == "open"


def test_a_replay_of_alerts_and_journal_gives_the_same_groups(app: App, tmp_path: Path) -> None:
    """Whatever came first when it happened: all alerts in another order, then all facts, and the queue says the same."""
    for turn, key in enumerate((7, 2, 5, 7)):
        items = {item.group.key["source.ip"]: item for item in triage.queue(app, AlertQuery(limit=0)).items}
        if turn == 1:
            suppressions.add(app, {"source.ip": "k3"}, until_us=T0 + 9 * DAY, reason="bảo trì", begin_us=T0)
        triage.close(app, [items[f"k{key}"]], "benign")
        triage.acknowledge(app, [items["k0"]])
        put(app, 20 + turn, key=key, hour=12 + turn)
    triage.undo(app, triage.queue(app, AlertQuery(limit=1)).items, lenient=True)
    settings = Settings(store=StoreSettings(path=tmp_path / "again"), data_dir=tmp_path / "again")
    with open_app(settings, Actor("an"), clock=app.clock, pipeline=True) as again:
        everything: list[Alert] = [one for scope in ("real", "exercise:x") for one in app.store.alerts(AlertQuery(scope=scope, limit=1000))[1]]
        random.Random(4).shuffle(everything)
        for one in everything:
            again.store.commit(Effects(progress=[], alerts=[one]))
        for stored in app.journal.scan():
            fact = msgspec.json.decode(stored[2], type=Fact)
            again.journal.append(fact.stream, fact.sequence - 1, [NewFact(fact.kind, fact.data, fact.reason)], actor=fact.actor, scope=fact.scope)
        for states in (triage.WAITING, STATES, ("closed",)):
            for scope in ("real", "exercise:x"):
                query = AlertQuery(scope=scope, limit=0)
                assert plain(triage.queue(again, query, states=states)) == plain(triage.queue(app, query, states=states))
        assert len(triage.queue(again, AlertQuery(limit=0), suppressed=True).items) == 1


def plain(found: triage.Queue) -> list[tuple[Any, ...]]:
    """A queue without when its facts were recorded."""
    items = [(item.group, msgspec.structs.replace(item.triage, at="")) for item in found.items]
    return [(found.total, found.suppressed), *items]
