"""Every store withdraws the alerts of a retraction alike: from lists, counts and groups, before and after it is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soc.adapters.memory import MemoryStore
from soc.adapters.sqlite.store import open_store
from soc.clock import FrozenClock
from soc.config import StoreSettings
from soc.model.alert import Alert, AlertGroup
from soc.model.event import Event
from soc.ports import AlertQuery, Store
from tests.contracts.conftest import Rig
from tests.contracts.samples import HOUR, T0, alert, batch, event

EVENTS = [event(seq, ts_us=T0 + seq * HOUR, level="high" if seq == 3 else "low") for seq in range(8)]


def raised(of: Event, rule: str = "bad", **more: Any) -> Alert:
    """An alert of a rule; its threat is that of the event, every second one repeats an occurrence."""
    made = alert(of, rule=rule, agency=f"agency-{of.seq}", natural_key=f"n{of.seq // 2}", **more)
    return msgspec.structs.replace(made, threat_level=of.level)


def fact(since: int, until: int, *, identity: str = "x-1", rule: str = "bad") -> dict[str, Any]:
    """A retraction of the alerts of some hours."""
    return {
        "id": identity,
        "rule": rule,
        "from_us": T0 + since * HOUR,
        "until_us": T0 + until * HOUR,
        "by": "lan",
        "why": "wrong",
        "at": "2026-11-21T00:00:00Z",
    }


@pytest.fixture
def filled(rig: Rig) -> Rig:
    """Eight alerts of a bad rule in one group, one an hour, and three of a good one."""
    rig.open().commit(batch(*EVENTS, alerts=[*map(raised, EVENTS), *(raised(of, "good") for of in EVENTS[:3])]))
    rig.settle()
    return rig


def seqs(store: Store, **query: Any) -> list[int]:
    """The positions of the events of the alerts of a query, oldest first."""
    by_id = {one.id: one.seq for one in EVENTS}
    total, found = store.alerts(AlertQuery(**query))
    assert total == len(found)
    return sorted(by_id[one.events[0]] for one in found)


def groups(store: Store, **query: Any) -> list[AlertGroup]:
    """The groups of a query."""
    total, found = store.alert_groups(AlertQuery(**query))
    assert total == len(found)
    return found


def test_withdrawn_alerts_leave_lists_counts_and_groups(filled: Rig) -> None:
    """Hours 2 to 5 of the bad rule are out: the group is as if they had never been; `retracted` shows just them."""
    store = filled.store
    store.retract(fact(2, 6))
    filled.settle()
    assert seqs(store, rule="bad") == [0, 1, 6, 7]
    assert seqs(store, rule="bad", retracted=True) == [2, 3, 4, 5]
    assert seqs(store, rule="good") == [0, 1, 2]
    [group] = groups(store, rule="bad")
    assert (group.count, group.threat_level, group.retracted) == (2, "low", False)
    assert (group.first_at[:13], group.last_at[:13]) == ("2026-11-20T01", "2026-11-20T08")
    assert group.agencies == ["agency-0", "agency-1", "agency-6", "agency-7"]
    [aside] = groups(store, rule="bad", retracted=True)
    assert (aside.count, aside.threat_level, aside.retracted, aside.id) == (2, "high", True, group.id)
    assert (aside.first_at[:13], aside.last_at[:13]) == ("2026-11-20T03", "2026-11-20T06")


def test_other_conditions_of_queries_hold_among_the_withdrawn_too(filled: Rig) -> None:
    """Group, period, scope and level narrow both views."""
    store = filled.store
    store.retract(fact(2, 6))
    filled.settle()
    group = groups(store, rule="bad")[0].id
    assert seqs(store, group=group) == [0, 1, 6, 7]
    assert seqs(store, group=group, retracted=True) == [2, 3, 4, 5]
    assert seqs(store, retracted=True, since_us=T0 + 4 * HOUR, scope=None) == [4, 5]
    assert seqs(store, retracted=True, levels=("low",)) == []
    assert seqs(store, retracted=True, scope="exercise:x") == []
    assert [one.id for one in groups(store, since_us=T0 + 2 * HOUR, until_us=T0 + 3 * HOUR, rule="bad")] == []
    assert [one.id for one in groups(store, since_us=T0 + 2 * HOUR, until_us=T0 + 3 * HOUR, rule="bad", retracted=True)] == [group]
    assert len(groups(store, scope=None)) == 2


def test_a_group_withdrawn_whole_is_gone_and_can_be_shown(filled: Rig) -> None:
    """Its id still leads to it, marked; its alerts are found by their ids."""
    store = filled.store
    [group] = groups(store, rule="bad")
    store.retract(fact(-1, 100))
    filled.settle()
    assert groups(store, rule="bad") == []
    found = store.get_alert(group.id)
    assert isinstance(found, AlertGroup)
    assert (found.retracted, found.count) == (True, 4)
    assert isinstance(store.get_alert(raised(EVENTS[0]).id), Alert)


def test_what_is_written_later_for_the_period_is_withdrawn_too(rig: Rig) -> None:
    """A replay raises alerts of the period: they are kept aside, nobody is told, and the same again changes nothing."""
    store = rig.open()
    store.retract(fact(2, 6))
    first = store.commit(batch(*EVENTS, alerts=[raised(of) for of in EVENTS]))
    rig.settle()
    assert sorted(one.ts[11:13] for one in first.new_alerts) == ["01", "02", "07", "08"]
    assert seqs(store, rule="bad") == [0, 1, 6, 7]
    assert groups(store, rule="bad")[0].count == 2
    assert groups(store, rule="bad", retracted=True)[0].count == 2
    again = store.commit(batch(*EVENTS, alerts=[raised(of) for of in EVENTS]))
    assert again.new_alerts == []
    rig.settle()
    assert groups(store, rule="bad")[0].count == 2


def test_undoing_brings_everything_back(filled: Rig) -> None:
    """After the compensating fact the store answers as before; one of two overlapping retractions keeps what it covers."""
    store = filled.store
    before = (groups(store), seqs(store))
    store.retract(fact(2, 6))
    store.retract(fact(5, 8, identity="x-2"))
    filled.settle()
    assert seqs(store, rule="bad") == [0, 1]
    store.retract({"undoes": "x-1", "by": "lan", "why": "right after all", "at": "2026-11-21T01:00:00Z"})
    filled.settle()
    assert seqs(store, rule="bad") == [0, 1, 2, 3, 4]
    assert seqs(store, rule="bad", retracted=True) == [5, 6, 7]
    store.retract({"undoes": "x-2", "by": "lan", "why": "right", "at": "2026-11-21T01:00:00Z"})
    filled.settle()
    assert (groups(store), seqs(store)) == before
    assert groups(store, retracted=True) == []
    assert len(store.facts("retraction")) == 4


def test_an_alert_that_grows_stays_on_its_side(filled: Rig) -> None:
    """A further revision of a withdrawn alert, or of one that counts, changes its own group only."""
    store = filled.store
    store.retract(fact(2, 6))
    for seq in (1, 3):
        grown = msgspec.structs.replace(raised(EVENTS[seq]), revision=1, threat_level="critical")
        store.commit(batch(event(100 + seq, partition=f"fw/{seq}"), alerts=[grown]))
    filled.settle()
    assert seqs(store, rule="bad") == [0, 1, 6, 7]
    assert groups(store, rule="bad")[0].threat_level == "critical"
    assert groups(store, rule="bad", retracted=True)[0].threat_level == "critical"
    assert (groups(store, rule="bad")[0].count, groups(store, rule="bad", retracted=True)[0].count) == (2, 2)


def test_shadows_can_be_retracted_and_stay_apart(rig: Rig) -> None:
    """The alerts of a shadow rule are withdrawn among the shadows."""
    store = rig.open()
    shadows = [msgspec.structs.replace(raised(of), shadow=True) for of in EVENTS[:4]]
    store.commit(batch(*EVENTS, alerts=shadows))
    store.retract(fact(2, 6))
    rig.settle()
    for scope in ("real", None):
        assert seqs(store, scope=scope) == []
        assert seqs(store, scope=scope, retracted=True) == []
        assert seqs(store, scope=scope, shadow=True) == [0, 1]
        assert seqs(store, scope=scope, shadow=True, retracted=True) == [2, 3]


def test_a_store_opened_again_remembers(filled: Rig) -> None:
    """What was withdrawn stays so."""
    filled.store.retract(fact(2, 6))
    filled.settle()
    store = filled.open()
    assert seqs(store, rule="bad") == [0, 1, 6, 7]


def test_a_command_beside_the_running_pipeline_is_obeyed(rig: Rig) -> None:
    """Another handle on the store retracts; what the pipeline writes next is withdrawn, what it wrote is aside."""
    pipeline = rig.open()
    pipeline.commit(batch(*EVENTS[:4], alerts=[raised(of) for of in EVENTS[:4]]))
    rig.settle()
    command = rig.open(pipeline=False)
    command.retract(fact(2, 6))
    pipeline.commit(batch(*EVENTS[4:], alerts=[raised(of) for of in EVENTS[4:]]))
    rig.settle()
    assert seqs(pipeline, rule="bad") == seqs(command, rule="bad") == [0, 1, 6, 7]
    assert groups(pipeline) == groups(command)


Step = tuple[str, int, int, int]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("alert"), st.integers(0, 7), st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.just("retract"), st.integers(-1, 7), st.integers(1, 4), st.integers(0, 1)),
        st.tuples(st.just("undo"), st.integers(0, 3), st.just(0), st.just(0)),
    ),
    max_size=14,
)


def play(store: Store, history: list[Step]) -> Any:
    """Alerts with revisions, retractions and their undoing, in any order; what the store answers then."""
    made: list[str] = []
    for number, (what, first, second, third) in enumerate(history):
        if what == "alert":
            one = msgspec.structs.replace(raised(EVENTS[first], ("bad", "good")[second % 2]), revision=third, threat_level=("low", "high", "critical")[third])
            store.commit(batch(event(number, partition=f"p/{number}"), alerts=[one]))
        elif what == "retract":
            made.append(f"x-{len(made)}")
            store.retract(fact(first, first + second, identity=made[-1], rule=("bad", "good")[third]))
        elif made:
            store.retract({"undoes": made[first % len(made)], "by": "lan", "why": "", "at": ""})
    queries = [AlertQuery(scope=scope, retracted=retracted) for scope in ("real", None) for retracted in (False, True)]
    queries += [AlertQuery(rule="bad", since_us=T0 + 2 * HOUR, until_us=T0 + 5 * HOUR, retracted=retracted) for retracted in (False, True)]
    return [(store.alerts(query), store.alert_groups(query)) for query in queries]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(history=steps)
def test_the_embedded_store_answers_as_the_plainest_one(tmp_path_factory: pytest.TempPathFactory, history: list[Step]) -> None:
    """Whatever the history: folded incrementally or anew, the same alerts and groups."""
    clock = FrozenClock(T0)
    folder: Path = tmp_path_factory.mktemp("history")
    store = open_store(StoreSettings(), folder / "store", pipeline=True, read_only=False, clock=clock)
    try:
        assert play(store, history) == play(MemoryStore(clock=clock), history)
    finally:
        store.close()
