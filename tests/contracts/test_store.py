"""What every store promises (`soc.ports.Store`): writing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from soc.clock import iso
from soc.errors import Conflict, NotAllowed, NotFound
from soc.model.alert import AlertGroup
from soc.model.event import values
from soc.model.ids import digest_id
from soc.model.query import All, Term, Text
from soc.ports import AlertQuery, Committed, Effects, EventQuery, Gap, Progress, Store
from tests.contracts.conftest import Rig
from tests.contracts.samples import DAY, HOUR, SECOND, T0, alert, batch, event, letter, progress, redriven

EVERYTHING = EventQuery(where=All(), scope=None, limit=1000, descending=False)


def ids(store: Store) -> list[str]:
    """All event ids, by time."""
    return [doc["soc.id"] for doc in store.search(EVERYTHING).docs]


def row(store: Store, partition: str = "fw/0") -> Any:
    """The ledger row of a partition, which must balance."""
    [item] = [item for item in store.ledger() if item.partition == partition]
    assert item.difference == 0, item
    return item


# --- commit ------------------------------------------------------------------------------------------------------------


def test_an_empty_store_knows_nothing(store: Store) -> None:
    """A fresh store has no positions, rows, events, groups or letters."""
    assert (store.positions(), store.ledger(), ids(store), store.gaps(), store.facts("rules")) == ({}, [], [], [], [])
    assert (store.alert_groups(AlertQuery()), store.alerts(AlertQuery()), store.dead_letters()) == ((0, []), (0, []), (0, []))
    assert (store.get_events(["abc"]), store.get_alert("a-1"), store.get_alert("g-1"), store.get_dead_letter("x"), store.state("p")) == (
        [],
        None,
        None,
        None,
        {},
    )
    assert (store.count(EVERYTHING), store.threats(EVERYTHING), store.facets(EVERYTHING, "event.action"), store.histogram(EVERYTHING, "day")) == (0, {}, [], [])


def test_a_batch_is_stored_whole(store: Store, rig: Rig) -> None:
    """Events, alerts, letters, state, gaps and progress of a batch can all be read back."""
    events = [event(n, event__action="deny") for n in range(3)]
    raised = alert(events[1])
    gap = Gap("fw1", "real", T0, 0, "silence", 60.0)
    committed = store.commit(
        Effects(
            progress=progress(*events, letters=1, dropped={"empty": 2}),
            events=events,
            alerts=[raised],
            dead_letters=[letter(3)],
            state={"fw/0\x1fpostfix\x1fQ1": b"\x00open"},
            gaps=[gap],
        )
    )
    rig.settle()
    assert (committed.stored, committed.replayed, committed.faults, [one.id for one in committed.new_alerts]) == (3, 0, [], [raised.id])
    assert store.get_events([one.id for one in events]) == [one.doc for one in events]
    assert store.alerts(AlertQuery()) == (1, [raised])
    assert store.get_dead_letter(letter(3).id) == letter(3)
    assert store.state("fw/0") == {"postfix\x1fQ1": b"\x00open"}
    assert store.gaps() == [gap]
    assert store.positions() == {"fw/0": 6}
    item = row(store)
    assert (item.source, item.first, item.last, item.received, item.stored, item.dead_lettered, item.dropped, item.in_flight) == (
        "fw1",
        0,
        5,
        6,
        3,
        1,
        {"empty": 2},
        0,
    )


def test_the_same_effects_again_change_nothing(store: Store, rig: Rig) -> None:
    """A batch given twice counts as stored both times and stands once."""
    events = [event(n) for n in range(5)]
    effects = Effects(progress=progress(*events, letters=1, dropped={"heartbeat": 1}), events=events, alerts=[alert(events[0])], dead_letters=[letter(5)])
    first = store.commit(effects)
    again = store.commit(effects)
    rig.settle()
    assert (first.stored, again.stored, again.replayed, again.faults, again.new_alerts) == (5, 5, 0, [], [])
    assert len(ids(store)) == 5
    assert (row(store).received, row(store).stored, row(store).dropped) == (7, 5, {"heartbeat": 1})
    assert store.alert_groups(AlertQuery())[1][0].count == 1


def test_a_replay_from_another_position_is_dropped_and_counted(store: Store, rig: Rig) -> None:
    """The same origin and bytes at another position: dropped as `replay` in the row of that position."""
    store.commit(batch(event(0), event(1)))
    again = event(0, partition="fw/1", origin="fw/0", origin_seq=0)
    fresh = event(1, partition="fw/1", origin="elsewhere")
    committed = store.commit(batch(again, fresh))
    rig.settle()
    assert (committed.stored, committed.replayed, committed.faults) == (1, 1, [])
    assert len(ids(store)) == 3
    assert row(store, "fw/1").dropped == {"replay": 1}
    assert store.get_events([again.id])[0]["soc.partition"] == "fw/0"


def test_a_replay_counts_once_when_its_batch_comes_again(store: Store, rig: Rig) -> None:
    """A repeated batch that holds a replay does not count the replay twice."""
    store.commit(batch(event(0)))
    effects = batch(event(0, partition="fw/1", origin="fw/0", origin_seq=0))
    assert [store.commit(effects).replayed for _ in range(2)] == [1, 1]
    rig.settle()
    assert (row(store, "fw/1").received, row(store, "fw/1").dropped) == (1, {"replay": 1})


def test_a_replay_within_one_batch_is_dropped(store: Store, rig: Rig) -> None:
    """Both copies in one batch: the first is stored, the second is a replay; again, too."""
    effects = batch(event(0), event(1, origin_seq=0, raw="line 0 of fw/0"))
    assert [(done.stored, done.replayed) for done in (store.commit(effects), store.commit(effects))] == [(1, 1), (1, 1)]
    rig.settle()
    assert (len(ids(store)), row(store).dropped) == (1, {"replay": 1})


def test_same_id_with_other_bytes_is_a_fault_and_is_stored_beside(store: Store, rig: Rig) -> None:
    """A position that comes back with other bytes loses nothing: a second id, and a fault in the ledger."""
    store.commit(batch(event(0, raw="truth")))
    other = event(0, partition="fw/1", origin="fw/0", origin_seq=0, raw="another truth")
    second = digest_id(other.id, other.raw_hash)
    committed = store.commit(batch(other))
    again = store.commit(batch(other))
    rig.settle()
    assert (committed.stored, committed.replayed, committed.faults, again.stored, again.faults) == (1, 0, [other.id], 1, [other.id])
    assert sorted(ids(store)) == sorted([other.id, second])
    assert store.get_events([second])[0] == {**other.doc, "soc.id": second}
    assert (row(store, "fw/1").stored, row(store, "fw/1").faults) == (1, 1)


def test_a_replay_of_a_faulty_event_is_a_replay(store: Store, rig: Rig) -> None:
    """The other bytes again, from a third position: dropped, not stored a third time."""
    store.commit(batch(event(0, raw="truth")))
    store.commit(batch(event(0, partition="fw/1", origin="fw/0", origin_seq=0, raw="another truth")))
    third = event(7, partition="fw/2", origin="fw/0", origin_seq=0, raw="another truth")
    assert store.commit(batch(third)).replayed == 1
    rig.settle()
    assert (len(ids(store)), row(store, "fw/2").dropped) == (2, {"replay": 1})


def test_derived_events_have_no_position_and_no_place_in_the_ledger(store: Store, rig: Rig) -> None:
    """An assembled message is stored once by its id, whichever line finished it, and is not counted as received or stored."""
    message = event(1, derived="Q1", kind="mail", email__subject="Hoá đơn")
    committed = store.commit(Effects(progress=progress(event(0), event(1)), events=[event(0), event(1), message]))
    store.commit(Effects(progress=progress(event(2)), events=[event(2), event(2, derived="Q1", kind="mail", email__subject="Hoá đơn")]))
    rig.settle()
    assert (committed.stored, committed.replayed, committed.faults) == (2, 0, [])
    assert len(ids(store)) == 4
    assert (row(store).received, row(store).stored, row(store).dropped) == (3, 3, {})


def test_progress_counts_only_beyond_the_committed_position(store: Store, rig: Rig) -> None:
    """A batch before the position changes no row; one across it is refused as a conflict and counts nothing."""
    store.commit(batch(*[event(n) for n in range(10)]))
    store.commit(batch(event(3), event(4)))
    with pytest.raises(Conflict):
        store.commit(batch(*[event(n) for n in range(8, 12)]))
    rig.settle()
    assert store.positions() == {"fw/0": 10}
    assert (row(store).received, row(store).first, row(store).last) == (10, 0, 9)


def test_several_partitions_go_in_one_batch(store: Store, rig: Rig) -> None:
    """Each partition keeps its own position and row; `lost` and `knowledge` are kept too."""
    a, b = event(5, partition="k/0", source="k"), event(9, partition="k/1", source="k")
    store.commit(Effects(progress=[Progress("k", "k/0", 5, 5, 6, 1, {}, "proved", 3), Progress("k", "k/1", 9, 9, 10, 1, {}, "unknowable", 0)], events=[a, b]))
    store.commit(Effects(progress=[Progress("k", "k/0", 6, 6, 7, 1, {"empty": 1}, "proved", 2)]))
    rig.settle()
    assert store.positions() == {"k/0": 7, "k/1": 10}
    assert [(item.partition, item.knowledge, item.lost, item.difference) for item in store.ledger()] == [("k/0", "proved", 5, 0), ("k/1", "unknowable", 0, 0)]
    assert store.ledger()[0].dropped == {"empty": 1}


def test_a_difference_shows_in_the_ledger(store: Store, rig: Rig) -> None:
    """What was received and is nowhere makes the row's difference: nothing is hidden."""
    store.commit(Effects(progress=[Progress("fw1", "fw/0", 0, 4, 5, 5)], events=[event(0), event(1)]))
    rig.settle()
    assert store.ledger()[0].difference == 3


class Killed(Exception):
    """Stands for kill -9 at a crash point."""


@pytest.mark.parametrize("point", ["store.begin", "store.events.written", "store.alerts.written", "store.control.written"])
def test_a_crash_at_any_point_leaves_nothing_half_done(rig: Rig, point: str) -> None:
    """Killed anywhere, then the same batch again: as if it had never been killed."""
    calm = event(0)
    events = [event(n, level="high", category="scan") for n in range(1, 6)] + [
        event(6, origin_seq=0, raw="line 0 of fw/0"),
        event(7, origin_seq=1, raw="other bytes"),
    ]
    effects = Effects(
        progress=progress(*events, letters=1),
        events=[*events, event(7, derived="Q7", kind="mail")],
        alerts=[alert(events[0], natural_key="n1"), alert(events[1], natural_key="n1")],
        dead_letters=[letter(8)],
        state={"fw/0\x1fpostfix\x1fQ1": b"new", "fw/0\x1fpostfix\x1fQ0": None},
        claims={"k1": events[0].id},
    )
    rig.open().commit(batch(calm, state={"fw/0\x1fpostfix\x1fQ0": b"old"}))

    def crash(name: str) -> None:
        if name == point:
            raise Killed

    with pytest.raises(Killed):
        rig.open(crash=crash).commit(effects)
    store = rig.open()
    if rig.name != "memory":
        assert store.positions() == {"fw/0": 1}
        assert store.state("fw/0") == {"postfix\x1fQ0": b"old"}
    committed = store.commit(effects)
    rig.settle()
    assert (committed.stored, committed.replayed, committed.faults) == (6, 1, [events[6].id])
    assert len(ids(store)) == 8
    assert store.positions() == {"fw/0": 9}
    assert store.state("fw/0") == {"postfix\x1fQ1": b"new"}
    item = row(store)
    assert (item.received, item.stored, item.dead_lettered, item.dropped, item.faults) == (9, 7, 1, {"replay": 1}, 1)
    assert [group.count for group in store.alert_groups(AlertQuery())[1]] == [1]
    assert store.owners({"k1": "somebody else"}) == {"k1": events[0].id}


def test_what_was_committed_outlives_a_reopening(rig: Rig) -> None:
    """Everything is there again after closing and opening."""
    rig.open().commit(batch(event(0, event__action="deny"), alerts=[alert(event(0))], state={"fw/0\x1fa\x1fb": b"1"}))
    rig.open().commit(batch(event(1)))
    store = rig.open(read_only=True, pipeline=False)
    rig.settle()
    assert len(ids(store)) == 2
    assert (store.positions(), store.state("fw/0"), store.alerts(AlertQuery())[0]) == ({"fw/0": 2}, {"a\x1fb": b"1"}, 1)
    assert row(store).stored == 2


def test_a_store_open_for_reading_refuses_to_write(rig: Rig) -> None:
    """Every writing method of a read-only store says so."""
    rig.open().commit(batch(event(0)))
    store = rig.open(read_only=True, pipeline=False)
    for write in (
        lambda: store.commit(batch(event(1))),
        lambda: store.owners({"k": "e"}),
        lambda: store.record_fact("rules", {}),
        lambda: store.settle_dead_letter("x", "discarded", "", None),
        lambda: store.reclassify(EVERYTHING, lambda _doc: ("low", ""), fact={}, dry_run=False),
        lambda: store.revise(EVERYTHING, lambda _doc: None, dry_run=False),
        lambda: store.attribute({"a-1": "so-yt"}),
        lambda: store.migrate(None, dry_run=False),
    ):
        with pytest.raises(NotAllowed):
            write()


# --- natural keys, state -----------------------------------------------------------------------------------------------


def test_the_first_claim_owns_a_natural_key(rig: Rig) -> None:
    """The first event that claims a key owns it, for ever; others learn its id."""
    store = rig.open()
    assert store.owners({"k1": "e1", "k2": "e2"}) == {"k1": "e1", "k2": "e2"}
    assert store.owners({"k1": "e9", "k3": "e3"}) == {"k1": "e1", "k3": "e3"}
    store.commit(batch(event(0), claims={"k1": "e1", "k4": "e4"}))
    store = rig.open()
    assert store.owners({"k1": "x", "k4": "x", "k5": "x"}) == {"k1": "e1", "k4": "e4", "k5": "x"}
    assert store.owners({}) == {}


def test_threats_count_each_occurrence_once(store: Store, rig: Rig) -> None:
    """A line that repeats an occurrence is stored, found, and not counted; scopes and queries apply."""
    store.commit(
        batch(
            event(0, level="high", category="spam", natural_key="n"),
            event(1, level="high", category="spam", natural_key="n", counted=False),
            event(2, level="critical", category="intrusion"),
            event(3, level="none"),
            event(4, level="high", category="spam", scope="exercise:x"),
        )
    )
    rig.settle()
    assert store.threats(EventQuery(All())) == {("high", "spam"): 1, ("critical", "intrusion"): 1, ("none", ""): 1}
    assert store.threats(EventQuery(All(), scope="exercise:x")) == {("high", "spam"): 1}
    assert store.threats(EventQuery(Term("soc.threat.level", "HIGH"), scope=None)) == {("high", "spam"): 2}
    assert store.count(EventQuery(Term("soc.threat.level", "high"))) == 2


def test_state_is_kept_per_partition_and_forgotten(store: Store) -> None:
    """State of one partition is not another's, is overwritten, and None forgets."""
    store.commit(batch(event(0), state={"fw/0\x1fa\x1fx": b"1", "fw/0\x1fb\x1fx": b"2", "fw/01\x1fa\x1fx": b"9"}))
    store.commit(batch(event(1), state={"fw/0\x1fa\x1fx": b"3", "fw/0\x1fb\x1fx": None, "fw/0\x1fc\x1fx": None}))
    assert store.state("fw/0") == {"a\x1fx": b"3"}
    assert store.state("fw/01") == {"a\x1fx": b"9"}
    store.commit(batch(event(0), state={"fw/0\x1fa\x1fx": b"1"}))  # an old batch again: its state is history
    assert store.state("fw/0") == {"a\x1fx": b"3"}
    store.commit(batch(event(2), state={"fw/0\x1fb\x1fx": b"4"}))
    store.commit(batch(event(3), state={"fw/0\x1fa\x1fx": None}))
    assert store.state("fw/0") == {"b\x1fx": b"4"}


# --- alerts ------------------------------------------------------------------------------------------------------------


def test_alerts_are_folded_into_groups(store: Store, rig: Rig) -> None:
    """A group counts each occurrence once, spans its alerts, names the newest, the worst threat and every agency."""
    events = [event(0, level="high", category="spam"), event(1, level="critical", category="malware"), event(2, level="low", category="policy"), event(3)]
    raised = [
        alert(events[0], natural_key="n1", agency="so-y-te"),
        alert(events[1], natural_key="n1", agency="ubnd"),
        alert(events[2], agency="so-y-te", title="Quét cổng, bản mới"),
        alert(events[3], rule="r-2", rule_level="low", key="other"),
    ]
    store.commit(batch(*events[:2], alerts=raised[:2]))
    store.commit(batch(*events[2:], alerts=[raised[2], raised[3], raised[0]]))
    rig.settle()
    total, groups = store.alert_groups(AlertQuery())
    assert (total, [group.rule.id for group in groups]) == (2, ["r-2", "r-1"])
    group = groups[1]
    assert (group.count, group.first_at, group.last_at, group.last_alert) == (2, iso(events[0].ts_us), iso(events[2].ts_us), raised[2].id)
    assert (group.threat_level, group.threat_category, group.agencies, group.state) == ("critical", "malware", ["so-y-te", "ubnd"], "open")
    assert (group.key, group.scope, group.rule.title) == ({"source.ip": "203.0.113.7"}, "real", "Quét cổng, bản mới")
    assert store.get_alert(group.id) == group
    assert store.get_alert(group.id[:9]) == group
    assert store.get_alert(raised[1].id[:9]) == raised[1]


def test_alerts_and_groups_are_filtered_and_paged(store: Store, rig: Rig) -> None:
    """Level, rule, group, source, time and scope filter; pages neither overlap nor skip; the total is of all."""
    events = [event(n, source=("fw1", "fw2")[n % 2], partition=f"p/{n % 2}", scope="exercise:x" if n == 11 else "real", ts_us=T0 + n * HOUR) for n in range(12)]
    raised = [alert(one, rule=f"r-{n % 3}", rule_level=("low", "high", "critical")[n % 3], key=f"k{n % 4}") for n, one in enumerate(events)]
    for parity in (0, 1):
        mine = events[parity::2]
        store.commit(Effects(progress=[Progress(mine[0].source, mine[0].partition, 0, 11, 12, 6)], events=mine, alerts=raised[parity::2]))
    rig.settle()
    newest = [one.id for one in reversed(raised) if one.scope == "real"]
    assert [one.id for one in store.alerts(AlertQuery())[1]] == newest
    assert store.alerts(AlertQuery(limit=4, offset=4)) == (11, [store.get_alert(one) for one in newest[4:8]])
    assert store.alerts(AlertQuery(scope="exercise:x"))[0] == 1
    assert store.alerts(AlertQuery(scope=None))[0] == 12
    assert store.alerts(AlertQuery(levels=("high", "critical")))[0] == 7
    assert store.alerts(AlertQuery(rule="r-0"))[0] == 4
    assert store.alerts(AlertQuery(source="fw2"))[0] == 5
    assert store.alerts(AlertQuery(group=raised[0].group))[0] == 1
    assert [one.id for one in store.alerts(AlertQuery(since_us=T0 + 2 * HOUR, until_us=T0 + 4 * HOUR))[1]] == [raised[3].id, raised[2].id]
    total, groups = store.alert_groups(AlertQuery())
    assert (total, [group.last_alert for group in groups]) == (11, newest)
    pages = [store.alert_groups(AlertQuery(limit=4, offset=offset))[1] for offset in (0, 4, 8)]
    assert [group for page in pages for group in page] == groups
    assert store.alert_groups(AlertQuery(levels=("low",)))[0] == 4
    assert store.alert_groups(AlertQuery(rule="r-1", source="fw2"))[0] == 2
    assert store.alert_groups(AlertQuery(since_us=T0 + 9 * HOUR))[0] == 2
    assert store.alert_groups(AlertQuery(group=raised[5].group, scope=None))[0] == 1
    three = frozenset(group.id for group in groups[:3])
    assert store.alert_groups(AlertQuery(ids=three)) == (3, groups[:3])
    assert store.alert_groups(AlertQuery(ids=frozenset())) == (0, [])
    assert store.group_ends(AlertQuery(limit=2, offset=1)) == {group.id: (group.last_at, group.count) for group in groups}
    assert set(store.group_ends(AlertQuery(ids=three, without=frozenset([groups[0].id])))) == {group.id for group in groups[1:3]}
    assert store.alert_groups(AlertQuery(without=three, limit=2, offset=1)) == (8, groups[4:6])
    assert store.alert_groups(AlertQuery(ids=three, without=frozenset([groups[0].id]), levels=("low", "high", "critical")))[1] == groups[1:3]


def test_a_large_fact_comes_back_whole(store: Store, rig: Rig) -> None:
    """A folder of rules is kept as one fact under a kind of its own; other kinds are not disturbed."""
    kind = "rules-root:0123456789abcdef"
    fact = {"at": "2026-11-21T00:00:00.000Z", "sources": "QUJD" * 100_000, "rules": {f"rule.{number}": f"hash-{number}" for number in range(2_000)}}
    store.record_fact("rules-root:0123", {"other": True})
    store.record_fact(kind, fact)
    rig.settle()
    assert store.facts(kind) == [fact]
    assert store.facts("rules-root:0123") == [{"other": True}]
    assert store.facts("rules-root:") == []


def test_alerts_of_shadow_rules_stand_apart(store: Store, rig: Rig) -> None:
    """No list, count or group of live alerts has them, not even over all scopes; asked for, they come alone, in their scope."""
    events = [event(n, scope="exercise:x" if n == 3 else "real") for n in range(4)]
    live = [alert(events[0]), alert(events[1], rule="r-2")]
    shadow = [msgspec.structs.replace(alert(one, rule="r-1.shadow"), shadow=True) for one in events[1:]]
    store.commit(batch(*events, alerts=[*live, *shadow]))
    rig.settle()
    for query, expected in (
        (AlertQuery(), live),
        (AlertQuery(scope=None), live),
        (AlertQuery(rule="r-1.shadow"), []),
        (AlertQuery(shadow=True), shadow[:2]),
        (AlertQuery(scope=None, shadow=True), shadow),
        (AlertQuery(scope="exercise:x", shadow=True), shadow[2:]),
    ):
        assert store.alerts(query) == (len(expected), list(reversed(expected)))
        total, groups = store.alert_groups(query)
        assert (total, {group.id for group in groups}) == (len({one.group for one in expected}), {one.group for one in expected})
        assert all(group.shadow == query.shadow for group in groups)
    found = store.get_alert(shadow[0].group)
    assert isinstance(found, AlertGroup)
    assert (found.shadow, found.scope, found.count) == (True, "real", 2)
    assert store.get_alert(shadow[2].id) == shadow[2]


def test_a_group_is_shown_whole_when_one_of_its_alerts_fits(store: Store, rig: Rig) -> None:
    """A time filter chooses groups by their alerts; the counts and times of a group stay those of all its alerts."""
    events = [event(n, ts_us=T0 + n * HOUR) for n in range(3)]
    store.commit(batch(*events, alerts=[alert(one) for one in events]))
    rig.settle()
    [group] = store.alert_groups(AlertQuery(since_us=T0 + HOUR, until_us=T0 + 2 * HOUR))[1]
    assert (group.count, group.first_at, group.last_at) == (3, iso(T0), iso(T0 + 2 * HOUR))


def test_an_alert_prefix_that_fits_several_is_a_conflict(store: Store, rig: Rig) -> None:
    """`a-` and `g-` alone fit several; nothing fits an unknown prefix."""
    store.commit(batch(event(0), event(1), alerts=[alert(event(0)), alert(event(1), key="other")]))
    rig.settle()
    for prefix in ("a-", "g-"):
        with pytest.raises(Conflict):
            store.get_alert(prefix)
    assert (store.get_alert("a-zzzz"), store.get_alert("g-zzzz"), store.get_alert("zzz")) == (None, None, None)


# --- dead letters ------------------------------------------------------------------------------------------------------


def test_dead_letters_are_listed_oldest_first(store: Store, rig: Rig) -> None:
    """State and source filter, pages fit together, prefixes find, an ambiguous prefix is a conflict."""
    letters = [letter(n, source=("fw1", "fw2")[n % 2]) for n in range(6)]
    for source in ("fw1", "fw2"):
        mine = [one for one in letters if one.source == source]
        store.commit(Effects(progress=[Progress(source, f"{source}/0", 0, 5, 6, 3)], dead_letters=[_at(one, f"{source}/0") for one in mine]))
    rig.settle()
    total, listed = store.dead_letters()
    assert (total, [one.seq for one in listed]) == (6, [0, 1, 2, 3, 4, 5])
    assert [one.seq for one in store.dead_letters(limit=2, offset=2)[1]] == [2, 3]
    assert store.dead_letters(source="fw2")[0] == 3
    assert store.dead_letters(state="redriven") == (0, [])
    assert store.get_dead_letter(letters[2].id[:8]) == listed[2]
    assert store.get_dead_letter("zzz") is None
    with pytest.raises(Conflict):
        store.get_dead_letter("")


def _at(one: Any, partition: str) -> Any:
    one.partition = partition
    return one


def test_a_redriven_letter_becomes_an_event(store: Store, rig: Rig) -> None:
    """Redriving moves one record from dead_lettered to stored; it happens once."""
    store.commit(Effects(progress=progress(event(0), letters=2), events=[event(0)], dead_letters=[letter(1), letter(2)]))
    mended = redriven(letter(1), event__action="deny", level="high", category="scan")
    store.settle_dead_letter(letter(1).id, "redriven", "parser mended", mended, [alert(mended)])
    store.settle_dead_letter(letter(2).id, "discarded", "noise", None)
    rig.settle()
    assert store.get_events([mended.id]) == [mended.doc]
    assert store.alerts(AlertQuery())[0] == 1
    item = row(store)
    assert (item.received, item.stored, item.dead_lettered) == (3, 2, 1)
    assert store.dead_letters()[0] == 0
    [done] = store.dead_letters(state="redriven")[1]
    assert (done.id, done.note, done.raw) == (letter(1).id, "parser mended", letter(1).raw)
    assert store.dead_letters(state="discarded")[1][0].note == "noise"
    with pytest.raises(Conflict):
        store.settle_dead_letter(letter(1).id, "discarded", "", None)
    with pytest.raises(NotFound):
        store.settle_dead_letter("nothing", "discarded", "", None)


def test_a_replayed_dead_letter_is_dropped_and_counted(store: Store, rig: Rig) -> None:
    """Letters are told apart like events: again, replayed from elsewhere, or with other bytes."""
    store.commit(Effects(progress=[Progress("fw1", "fw/0", 1, 1, 2, 1)], dead_letters=[letter(1)]))
    replayed = letter(5, partition="fw/1", origin="fw/0", origin_seq=1)
    other = letter(6, partition="fw/1", origin="fw/0", origin_seq=1, raw=b"other bytes")
    effects = Effects(progress=[Progress("fw1", "fw/1", 5, 6, 7, 2)], dead_letters=[replayed, other])
    for _ in range(2):
        committed: Committed = store.commit(effects)
        assert (committed.replayed, committed.faults) == (1, [other.id])
    rig.settle()
    item = row(store, "fw/1")
    assert (item.received, item.dead_lettered, item.dropped, item.faults) == (2, 1, {"replay": 1}, 1)
    assert store.dead_letters()[0] == 2


# --- silence, facts ----------------------------------------------------------------------------------------------------


def test_gaps_are_facts_that_close(store: Store) -> None:
    """A gap that ends is the same gap with its end; filters by source and time; oldest first."""
    store.commit(Effects(progress=[], gaps=[Gap("fw1", "real", T0, 0, "silence", 60), Gap("fw2", "real", T0 - HOUR, T0 - HOUR // 2, "silence", 60)]))
    store.commit(Effects(progress=[], gaps=[Gap("fw1", "real", T0, T0 + HOUR, "silence", 60)]))
    assert [(gap.source, gap.until_us) for gap in store.gaps()] == [("fw2", T0 - HOUR // 2), ("fw1", T0 + HOUR)]
    assert [gap.source for gap in store.gaps(source="fw1")] == ["fw1"]
    assert [gap.source for gap in store.gaps(since_us=T0)] == ["fw1"]


def test_facts_are_kept_in_order(rig: Rig) -> None:
    """Facts come back as recorded, by kind, oldest first, after reopening too."""
    store = rig.open()
    for number in range(5):
        store.record_fact("rules", {"n": number, "text": "ghi chú", "nested": {"a": [1, 2]}})
    store.record_fact("clock-offset", {"source": "fw1"})
    store = rig.open()
    assert store.facts("rules") == [{"n": number, "text": "ghi chú", "nested": {"a": [1, 2]}} for number in range(5)]
    assert store.facts("clock-offset") == [{"source": "fw1"}]
    assert store.facts("unknown") == []


# --- keeping house -----------------------------------------------------------------------------------------------------


def test_status_names_kind_schema_and_partitions(store: Store, rig: Rig) -> None:
    """Partitions are kind and month, with counts and the times they span."""
    store.commit(batch(event(0), event(1), event(2, kind="mail"), event(3, ts_us=T0 - 40 * DAY)))
    rig.settle()
    status = store.status()
    assert {"kind", "place", "schema", "partitions", "free_bytes"} <= set(status)
    assert sorted((part["kind"], part["month"], part["events"]) for part in status["partitions"]) == [
        ("firewall", "2026.10", 1),
        ("firewall", "2026.11", 2),
        ("mail", "2026.11", 1),
    ]
    [part] = [part for part in status["partitions"] if part["events"] == 2]
    assert (part["from"], part["until"]) == (iso(T0), iso(T0 + 1_000_000))
    assert part["bytes"] > 0


def test_retention_drops_whole_partitions(store: Store, rig: Rig) -> None:
    """Only partitions of the kind that end before the time go; the ledger still balances; a fact says so; a dry run only tells."""
    old = [event(n, ts_us=T0 - 60 * DAY + n) for n in range(3)]
    store.commit(batch(*old, event(3), event(4, kind="mail", ts_us=T0 - 60 * DAY), event(4, derived="Q", ts_us=T0 - 60 * DAY)))
    rig.settle()
    told = store.drop_partitions(kind="firewall", before_us=T0, dry_run=True)
    assert [(part["kind"], part["month"], part["events"]) for part in told] == [("firewall", "2026.09", 4)]
    assert len(ids(store)) == 6
    assert store.drop_partitions(kind="firewall", before_us=T0 - 51 * DAY, dry_run=False) == []
    dropped = store.drop_partitions(kind="firewall", before_us=T0, dry_run=False)
    rig.settle()
    assert [part["events"] for part in dropped] == [4]
    assert len(ids(store)) == 2
    item = row(store)
    assert (item.received, item.stored, item.dropped) == (5, 2, {"retention": 3})
    [fact] = store.facts("retention")
    assert fact["kind"] == "firewall"
    store.commit(batch(event(5, ts_us=T0 - 60 * DAY)))
    rig.settle()
    assert (len(ids(store)), row(store).stored) == (3, 3)


def test_reclassification_changes_level_and_keeps_the_former(rig: Rig) -> None:
    """Changed events count under the new class, the old class stays readable, tokens follow, and a fact records it."""
    store = rig.open()
    store.commit(batch(event(0, level="high", category="spam", event__action="deny"), event(1, level="high", category="malware"), event(2)))
    rig.settle()
    query = EventQuery(Term("soc.threat.level", "high"))

    def change(doc: dict[str, Any]) -> tuple[str, str] | None:
        return ("low", "policy") if doc["soc.threat.category"] == "spam" else None

    told = store.reclassify(query, change, fact={"who": "an", "why": "wrong rule"}, dry_run=True)
    assert (told["seen"], told["changed"], told["high→low"]) == (2, 1, 1)
    assert (store.threats(EventQuery(All())), store.facts("reclassification")) == ({("high", "spam"): 1, ("high", "malware"): 1, ("none", ""): 1}, [])
    assert store.reclassify(query, change, fact={"who": "an", "why": "wrong rule"}, dry_run=False) == told
    rig.settle()
    assert store.threats(EventQuery(All())) == {("low", "policy"): 1, ("high", "malware"): 1, ("none", ""): 1}
    [doc] = store.get_events([event(0).id])
    assert (doc["soc.threat.level"], doc["soc.threat.category"], doc["soc.threat.previous"]) == ("low", "policy", ["high/spam"])
    assert doc["event.action"] == "deny"
    assert [found["soc.id"] for found in store.search(EventQuery(Term("soc.threat.level", "low"))).docs] == [doc["soc.id"]]
    [fact] = store.facts("reclassification")
    assert (fact["who"], fact["changed"]) == ("an", 1)
    store.reclassify(EventQuery(Term("soc.threat.level", "low")), lambda _doc: ("none", ""), fact={"who": "an"}, dry_run=False)
    rig.settle()
    [doc] = store.get_events([event(0).id])
    assert (doc.get("soc.threat.category"), doc["soc.threat.previous"]) == (None, ["high/spam", "low/policy"])
    assert row(store).stored == 3


def test_documents_are_revised_and_found_by_what_they_say_then(rig: Rig) -> None:
    """Other values stand in documents, facets, full text and queries; counts, ledger and what a dry run sees do not change."""
    store = rig.open()
    store.commit(batch(*(event(n, level="high" if n < 2 else "none", soc__agency__id="xacu") for n in range(5))))
    rig.settle()
    figures = store.threats(EventQuery(All())), row(store)
    query = EventQuery(All(), until_us=T0 + 4 * SECOND)
    seen: list[int] = []

    def change(doc: dict[str, Any]) -> dict[str, Any] | None:
        seen.append(doc["soc.seq"])
        return {**doc, "soc.agency.id": "xamoi"} if doc["soc.seq"] % 2 else None

    store.revise(query, change, dry_run=True)
    rig.settle()
    assert store.count(EventQuery(Term("soc.agency.id", "xamoi"))) == 0
    store.revise(query, change, dry_run=False)
    rig.settle()
    assert sorted(seen) == sorted([0, 1, 2, 3] * 2)
    assert dict(store.facets(EventQuery(All()), "soc.agency.id", most=5)) == {"xacu": 3, "xamoi": 2}
    assert {doc["soc.seq"] for doc in store.search(EventQuery(Text(("xamoi",)))).docs} == {1, 3}
    assert {doc["soc.seq"] for doc in store.search(EventQuery(Text(("xacu",)))).docs} == {0, 2, 4}
    assert (store.threats(EventQuery(All())), row(store)) == figures
    reopened = rig.open()
    assert [doc["soc.agency.id"] for doc in reopened.get_events([event(n).id for n in range(5)])] == ["xacu", "xamoi", "xacu", "xamoi", "xacu"]


def test_a_revision_that_breaks_off_leaves_every_event_whole(rig: Rig) -> None:
    """Some are changed, the others not; the same again changes the rest, each once, and nothing is lost or counted twice."""
    store = rig.open()
    store.commit(batch(*(event(n, level="high", soc__agency__id="xacu") for n in range(6))))
    rig.settle()
    left = [4]

    def change(doc: dict[str, Any]) -> dict[str, Any] | None:
        left[0] -= 1
        if not left[0]:
            raise RuntimeError("broken off")
        before = [*values(doc, "soc.agency.previous"), doc["soc.agency.id"]]
        return None if doc["soc.agency.id"] == "xamoi" else {**doc, "soc.agency.id": "xamoi", "soc.agency.previous": before}

    with pytest.raises(RuntimeError):
        store.revise(EVERYTHING, change, dry_run=False)
    store = rig.open()
    rig.settle()
    assert all(doc["soc.agency.id"] == ("xamoi" if "soc.agency.previous" in doc else "xacu") for doc in store.search(EVERYTHING).docs)
    store.revise(EVERYTHING, change, dry_run=False)
    rig.settle()
    assert [(doc["soc.agency.id"], list(values(doc, "soc.agency.previous"))) for doc in store.search(EVERYTHING).docs] == [("xamoi", ["xacu"])] * 6
    assert (store.threats(EVERYTHING), row(store).stored) == ({("high", ""): 6}, 6)


def test_alerts_are_attributed_to_another_agency_and_groups_follow(rig: Rig) -> None:
    """The alert, its group and both after a restart; the same alert again, or a higher revision of it, does what it always does."""
    store = rig.open()
    one, two = (alert(event(n), agency="xa-cu") for n in range(2))
    store.commit(batch(event(0), event(1), alerts=[one, two]))
    store.attribute({one.id: "xa-moi", "a-unknown": "x"})
    store.attribute({one.id: "xa-moi"})
    rig.settle()

    def agencies() -> tuple[dict[str, str], list[str], int]:
        [group] = store.alert_groups(AlertQuery())[1]
        return {found.id: found.agency for found in store.alerts(AlertQuery())[1]}, group.agencies, group.count

    assert agencies() == ({one.id: "xa-moi", two.id: "xa-cu"}, ["xa-cu", "xa-moi"], 2)
    store = rig.open()
    store.commit(batch(event(2), alerts=[one]))
    rig.settle()
    assert agencies() == ({one.id: "xa-moi", two.id: "xa-cu"}, ["xa-cu", "xa-moi"], 2)
    store.commit(batch(event(3), alerts=[msgspec.structs.replace(one, revision=1, agency="xa-ba")]))
    store.attribute({two.id: "xa-ba"})
    rig.settle()
    assert agencies() == ({one.id: "xa-ba", two.id: "xa-ba"}, ["xa-ba"], 2)


def test_migration_reparses_every_event_into_a_new_generation(rig: Rig) -> None:
    """With `reparse` every document is rewritten, found by its new values, and moves to the partition of its new time."""
    store = rig.open()
    events = [event(n, event__action="deny") for n in range(5)]
    store.commit(batch(*events, alerts=[alert(events[0])]))
    rig.settle()

    def reparse(doc: dict[str, Any]) -> dict[str, Any]:
        out = {**doc, "event.action": "blocked"}
        if doc["soc.seq"] == 4:
            out["@timestamp"] = iso(T0 - 60 * DAY)
        return out

    assert store.migrate(reparse, dry_run=True)["changed"] == 5
    assert store.count(EventQuery(Term("event.action", "deny"))) == 5
    steps: list[tuple[int, int]] = []
    report = store.migrate(reparse, dry_run=False, progress=lambda done, total: steps.append((done, total)))
    rig.settle()
    assert (report["events"], report["changed"], steps[-1]) == (5, 5, (5, 5))
    assert (store.count(EventQuery(Term("event.action", "deny"))), store.count(EventQuery(Term("event.action", "blocked")))) == (0, 5)
    assert store.get_events([events[0].id]) == [{**events[0].doc, "event.action": "blocked"}]
    assert sorted((part["month"], part["events"]) for part in store.status()["partitions"]) == [("2026.09", 1), ("2026.11", 4)]
    assert row(store).stored == 5
    assert store.commit(batch(*events[:4])).stored == 4
    assert store.commit(batch(event(5))).stored == 1
    rig.settle()
    assert (len(ids(store)), len(store.facts("migration"))) == (6, 1)
    store.migrate(None, dry_run=False)
    rig.settle()
    assert len(ids(store)) == 6


def test_a_backup_can_be_restored(store: Store, rig: Rig, tmp_path: Any) -> None:
    """A backup, restored elsewhere, answers everything as the store did at its time."""
    events = [event(n, level="high", category="spam", event__action="deny", user__name="Đặng") for n in range(20)] + [
        event(20, ts_us=T0 - 40 * DAY, kind="mail")
    ]
    store.commit(
        batch(
            *events,
            alerts=[alert(events[0]), alert(events[1], natural_key="n")],
            state={"fw/0\x1fa\x1fb": b"\x001"},
            gaps=[Gap("fw1", "real", T0, 0, "silence", 60)],
            claims={"k": events[0].id},
        )
    )
    store.commit(Effects(progress=[Progress("fw1", "fw/0", 21, 21, 22, 1)], dead_letters=[letter(21)]))
    store.record_fact("rules", {"hash": "1"})
    rig.settle()
    steps: list[str] = []
    manifest = store.backup(tmp_path / "backup", progress=lambda what, _done, _total: steps.append(what))
    store.commit(batch(event(22)))
    assert manifest["events"] == 21
    assert manifest["files"]
    assert steps
    assert all({"name", "bytes", "sha256"} <= set(one) for one in manifest["files"])
    restored = rig.into(tmp_path / "backup")
    try:
        getattr(restored, "refresh", lambda: None)()
        assert ids(restored) == [one.id for one in sorted(events, key=lambda one: (one.ts_us // 1000, one.id))]
        assert restored.positions() == {"fw/0": 22}
        assert restored.state("fw/0") == {"a\x1fb": b"\x001"}
        assert (restored.gaps(), restored.facts("rules"), restored.dead_letters()) == (store.gaps(), [{"hash": "1"}], (1, [letter(21)]))
        assert restored.alert_groups(AlertQuery()) == store.alert_groups(AlertQuery())
        assert restored.owners({"k": "other"}) == {"k": events[0].id}
        assert row(restored).stored == 21
        assert restored.commit(batch(event(22))).stored == 1
        assert restored.commit(batch(events[0])).stored == 1
    finally:
        restored.close()
