"""What every store promises correlation: signals, marks, and alerts that grow by revisions."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from soc.errors import Conflict, NotAllowed
from soc.model.alert import Alert
from soc.model.signal import MOST_AT_ONCE, Signal
from soc.ports import AlertQuery, Effects, Store
from tests.contracts.conftest import Rig
from tests.contracts.samples import SECOND, T0, alert, batch, event


def signal(seq: int, rule: str = "c-1") -> Signal:
    """A signal of an event."""
    return Signal(T0 + seq * SECOND, ("real", "đỏ"), f"event-{seq}", 1, rule, (3, "1/3", "x"), ("Đỏ",), "shape")


def grown(of: Alert, revision: int, *, events: int = 1, at: int = 0, **changed: object) -> Alert:
    """A further state of an alert."""
    fields = {"events": [f"e{n}" for n in range(events)], "natural_key": of.id, **changed}
    if at:
        fields["ts"] = alert(event(at)).ts
    return msgspec.structs.replace(of, revision=revision, **fields)


# --- signals ------------------------------------------------------------------------------------------------------------


def test_signals_are_durable_with_their_batch(rig: Rig) -> None:
    """They are read back as they were, from a time on, after the store was opened anew."""
    rig.store.commit(msgspec.structs.replace(batch(event(0), event(1)), signals=[signal(0), signal(1)]))
    rig.store.commit(msgspec.structs.replace(batch(event(2)), signals=[signal(2, "c-2")]))
    store = rig.open()
    found = {one.id: one for one in store.signals(0)}
    assert found == {f"event-{n}": signal(n, "c-2" if n == 2 else "c-1") for n in range(3)}
    assert {one.id for one in store.signals(T0 + SECOND)} == {"event-1", "event-2"}
    assert list(store.signals(T0 + 3 * SECOND)) == []


def test_many_signals_of_one_batch_are_all_there(rig: Rig) -> None:
    """However many one value of the store holds."""
    many = [signal(n) for n in range(2 * MOST_AT_ONCE + 1)]
    rig.store.commit(msgspec.structs.replace(batch(event(0)), signals=many))
    assert {one.id for one in rig.store.signals(0)} == {one.id for one in many}


def test_the_same_batch_again_tells_no_other_signals(rig: Rig) -> None:
    """A repeat of a batch may repeat its signals, and nothing else."""
    effects = msgspec.structs.replace(batch(event(0)), signals=[signal(0)])
    rig.store.commit(effects)
    rig.store.commit(effects)
    assert {one.id for one in rig.store.signals(0)} == {"event-0"}


def test_old_signals_can_be_dropped(rig: Rig) -> None:
    """What is not older than asked for stays."""
    rig.store.commit(msgspec.structs.replace(batch(event(0)), signals=[signal(0)]))
    rig.store.commit(msgspec.structs.replace(batch(event(1)), signals=[signal(1), signal(50)]))
    rig.settle()
    rig.store.drop_signals(T0 + 10 * SECOND)
    rig.settle()
    found = {one.id for one in rig.store.signals(0)}
    assert "event-0" not in found
    assert "event-50" in found


def test_a_store_that_is_read_only_drops_nothing(rig: Rig) -> None:
    """And says so."""
    rig.store.commit(batch(event(0)))
    reader = rig.open(pipeline=False, read_only=True)
    with pytest.raises(NotAllowed):
        reader.drop_signals(T0)


# --- marks --------------------------------------------------------------------------------------------------------------


def test_marks_only_grow_and_go_with_their_position(rig: Rig) -> None:
    """The largest event time of a partition, whatever batch brought it; none of a partition that a batch did not move."""
    rig.store.commit(msgspec.structs.replace(batch(event(0)), marks={"fw/0": T0 + 5}))
    rig.store.commit(msgspec.structs.replace(batch(event(1)), marks={"fw/0": T0 + 3, "elsewhere": T0}))
    rig.store.commit(batch(event(0, partition="fw/1")))
    assert rig.open().marks() == {"fw/0": T0 + 5}
    rig.store.commit(msgspec.structs.replace(batch(event(2)), marks={"fw/0": T0 + 9}))
    assert rig.store.marks() == {"fw/0": T0 + 9}


def test_a_batch_that_lost_its_partition_leaves_no_mark(store: Store) -> None:
    """Nor signals that only it has."""
    store.commit(msgspec.structs.replace(batch(event(0), event(1)), marks={"fw/0": T0}))
    with pytest.raises(Conflict):
        store.commit(msgspec.structs.replace(batch(event(1), event(2)), signals=[signal(1)], marks={"fw/0": T0 + 99}))
    assert store.marks() == {"fw/0": T0}
    assert list(store.signals(0)) == []


# --- revisions ----------------------------------------------------------------------------------------------------------


def test_the_highest_revision_is_shown_whatever_the_order(store: Store, rig: Rig) -> None:
    """An alert that grows stands once; lower and equal revisions that come again change nothing."""
    first = grown(alert(event(0)), 1)
    third = grown(first, 3, events=3, late=True)
    committed = [store.commit(Effects(progress=[], alerts=[one])) for one in (first, third, grown(first, 2, events=2), grown(first, 3, events=9))]
    rig.settle()
    assert [[one.id for one in done.new_alerts] for done in committed] == [[first.id], [], [], []]
    assert store.alerts(AlertQuery()) == (1, [third])
    assert store.get_alert(first.id) == third


def test_a_group_counts_an_alert_that_grows_once(store: Store, rig: Rig) -> None:
    """Its span, its newest alert and its worst class are those of the alerts as they stand."""
    one, two = alert(event(10, level="low", category="scan")), alert(event(20, level="low", category="scan"))
    store.commit(Effects(progress=[], alerts=[grown(one, 1), grown(two, 1)]))
    store.commit(Effects(progress=[], alerts=[grown(two, 2, events=4, at=5, threat_level="high", threat_category="intrusion", agency="xa-1")]))
    rig.settle()
    [group] = store.alert_groups(AlertQuery())[1]
    assert (group.count, group.last_alert, group.first_at, group.last_at) == (2, one.id, alert(event(5)).ts, one.ts)
    assert (group.threat_level, group.threat_category, group.agencies) == ("high", "intrusion", ["xa-1"])
    assert store.alert_groups(AlertQuery(since_us=T0 + 15 * SECOND)) == (0, [])
    assert [found.id for found in store.alerts(AlertQuery())[1]] == [one.id, two.id]


def test_revisions_and_signals_are_in_the_backup(rig: Rig, tmp_path: Path) -> None:
    """A restored store goes on where the other stood."""
    first = grown(alert(event(0)), 1)
    effects = msgspec.structs.replace(batch(event(0)), alerts=[first], signals=[signal(0)], marks={"fw/0": T0})
    rig.store.commit(effects)
    rig.store.commit(Effects(progress=[], alerts=[grown(first, 2, events=2)]))
    rig.settle()
    rig.store.backup(tmp_path / "copy")
    restored = rig.into(tmp_path / "copy")
    try:
        if hasattr(restored, "refresh"):
            restored.refresh()
        assert {one.id for one in restored.signals(0)} == {"event-0"}
        assert restored.marks() == {"fw/0": T0}
        [found] = restored.alerts(AlertQuery())[1]
        assert found.revision == 2
    finally:
        restored.close()


def test_signals_are_given_of_the_correlations_asked_for_only(rig: Rig) -> None:
    """Of each since a time of its own, and none before the time that is asked of all."""
    rig.store.commit(msgspec.structs.replace(batch(event(0)), signals=[signal(n, f"c-{n % 3}") for n in range(12)]))
    rig.store.commit(msgspec.structs.replace(batch(event(1)), signals=[signal(12, "c-1")]))
    rig.settle()
    found = [(one.id, one.correlation) for one in rig.store.signals(T0 + 2 * SECOND, {"c-1": T0 + 7 * SECOND, "c-2": T0, "unknown": T0})]
    assert sorted(found) == sorted([("event-7", "c-1"), ("event-10", "c-1"), ("event-12", "c-1"), *((f"event-{n}", "c-2") for n in (2, 5, 8, 11))])
    assert list(rig.store.signals(0, {})) == []
