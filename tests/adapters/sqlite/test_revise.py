"""Stored events are changed while another process appends: each once, whole, and none that may still be taken back, wherever either is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import zstandard

from soc.adapters.sqlite import SqliteStore, lock, open_store
from soc.adapters.sqlite.revise import Pace
from soc.clock import FrozenClock, from_iso
from soc.config import StoreSettings
from soc.errors import Locked
from soc.model.event import Doc, values
from soc.model.query import All, Term, Text
from soc.model.text import MOST_TOKENS
from soc.ports import AlertQuery, CrashPoint, Effects, EventQuery, no_crash
from tests.contracts.samples import DAY, T0, alert, batch, event, letter, progress, redriven

EVERYTHING = EventQuery(All(), limit=100_000)
SPAM = EventQuery(Term("soc.threat.category", "spam"))
ROOT = Path(__file__).parents[3]

_REPAIR = """
import sys
from pathlib import Path
from tests.adapters.sqlite.conftest import be_patient
from tests.adapters.sqlite.test_revise import killing, opened, policy, SPAM
be_patient()
point, skip, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
print(opened(folder, pipeline=False, crash=killing(point, skip)).reclassify(SPAM, policy, fact={"who": "an"}, dry_run=False)["changed"])
"""
_PIPELINE = """
import sys
from pathlib import Path
from tests.adapters.sqlite.conftest import be_patient
from tests.adapters.sqlite.test_revise import killing, opened, some
be_patient()
point, skip, folder, until = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
store = opened(folder, crash=killing(point, skip))
print("open", flush=True)
while (first := store.positions().get("fw/0", 0)) < until:
    store.commit(some(first))
"""
_HOLD = """
import sys
from pathlib import Path
from soc.adapters.sqlite import lock
held = getattr(lock, sys.argv[1])(Path(sys.argv[2]))
print("held", flush=True)
sys.stdin.read()
"""
_LOOK = """
import sys
from pathlib import Path
from soc.adapters.sqlite import lock
print(flush=True)
while True:
    lock.holder(Path(sys.argv[1]))
"""


class Killed(BaseException):
    """A kill at this place."""


def opened(folder: Path, *, pipeline: bool = True, crash: CrashPoint = no_crash) -> SqliteStore:
    """The store in a folder; small files, so that the pipeline begins new ones meanwhile."""
    return open_store(StoreSettings(events_per_file=1000), folder, pipeline=pipeline, clock=FrozenClock(T0 + DAY), crash=crash)


def killing(point: str, skip: int) -> CrashPoint:
    """Kills the process at a pass of a point."""
    left = [skip]

    def crash(name: str) -> None:
        if name == point:
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

    return crash


def raising(point: str) -> CrashPoint:
    """Breaks off at a point, as a kill does, within the process."""

    def crash(name: str) -> None:
        if name == point:
            raise Killed

    return crash


def some(first: int, count: int = 30) -> Effects:
    """A batch: spam at one of two places, over two months and kinds."""
    return batch(
        *(
            event(n, kind=("firewall", "mail")[n % 2], ts_us=T0 + n - n % 3 * 30 * DAY, level=("none", "high")[n % 2], category=("", "spam")[n % 2])
            for n in range(first, first + count)
        )
    )


def policy(doc: Doc) -> tuple[str, str]:
    """The right class of everything."""
    return ("low", "policy")


def whole(store: SqliteStore, *, events: int) -> Counter[tuple[str, str, tuple[str, ...]]]:
    """Classes of all events with those they had; counts, columns, words and ledger agree with the documents."""
    docs = list(store.stream(EVERYTHING))
    assert sorted(doc["soc.seq"] for doc in docs) == list(range(events))
    classes = Counter((str(doc["soc.threat.level"]), str(doc.get("soc.threat.category", ""))) for doc in docs)
    assert store.threats(EVERYTHING) == classes
    for category in ("spam", "policy"):
        number = sum(count for (_, name), count in classes.items() if name == category)
        assert store.count(EventQuery(Term("soc.threat.category", category))) == number
        assert len(list(store.stream(EventQuery(Text((category,)))))) == number
    assert all(item.difference == 0 and item.faults == 0 for item in store.ledger())
    return Counter((str(doc["soc.threat.level"]), str(doc.get("soc.threat.category", "")), tuple(map(str, values(doc, "soc.threat.previous")))) for doc in docs)


def start(script: str, *words: object) -> subprocess.Popen[str]:
    """A process of its own."""
    return subprocess.Popen([sys.executable, "-c", script, *map(str, words)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> str:
    """What it said; whether it ended or was killed shows in what follows."""
    with process:
        out, _ = process.communicate(timeout=600)
    return out


# --- kills -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("point", "skip"), [("revise.written", 0), ("revise.written", 3), ("revise.committed", 0), ("revise.committed", 2)])
def test_a_repair_that_is_killed_beside_a_pipeline_changes_the_rest_the_next_time(tmp_path: Path, point: str, skip: int) -> None:
    """The pipeline commits before, between and after; each event is changed once, and the two repairs together changed all there were."""
    store = opened(tmp_path / "s")
    for first in range(0, 600, 30):
        store.commit(some(first))
    repair = start(_REPAIR, point, skip, tmp_path / "s")
    first = 600
    while repair.poll() is None:
        if first < 15_000:  # a repair that takes its time to begin must not find a hundred times as much
            store.commit(some(first))
            first += 30
        else:
            time.sleep(0.01)
    assert (ended(repair), repair.returncode) == ("", -signal.SIGKILL)
    found = whole(store, events=first)
    left = found["high", "spam", ()]
    assert left + found["low", "policy", ("high/spam",)] == first // 2
    assert 0 < left < first // 2 or (point, skip) == ("revise.written", 0)
    assert store.facts("reclassification") == []
    assert int(ended(start(_REPAIR, "", 0, tmp_path / "s"))) == left
    assert whole(store, events=first) == {("none", "", ()): first // 2, ("low", "policy", ("high/spam",)): first // 2}
    [fact] = store.facts("reclassification")
    assert fact["changed"] == left
    store.close()


@pytest.mark.parametrize("point", ["store.begin", "store.events.written", "store.alerts.written", "store.control.written", "store.committed"])
def test_a_pipeline_that_is_killed_again_and_again_beside_repairs_loses_and_doubles_nothing(tmp_path: Path, point: str) -> None:
    """Repairs go on all the while; in the end everything is stored once, and a last repair leaves no event of the wrong class."""
    store = opened(tmp_path / "s")
    store.commit(some(0, 300))
    store.close()
    person = opened(tmp_path / "s", pipeline=False)
    changed = 0
    until = 1200
    for skip in (0, 2, 5, 10_000):
        pipeline = start(_PIPELINE, point, skip, tmp_path / "s", until)
        while pipeline.poll() is None:
            changed += person.reclassify(SPAM, policy, fact={"who": "an"}, dry_run=False)["changed"]
        assert (ended(pipeline), pipeline.returncode) == ("open\n", 0 if skip == 10_000 else -signal.SIGKILL)
        person.revise(SPAM, lambda _doc: None, dry_run=False)  # also while a killed batch lies there half written
    changed += person.reclassify(SPAM, policy, fact={"who": "an"}, dry_run=False)["changed"]
    assert changed == until // 2
    assert whole(person, events=until) == {("none", "", ()): until // 2, ("low", "policy", ("high/spam",)): until // 2}
    person.close()


# --- what may still be taken back, what waits ------------------------------------------------------------------------


def test_events_of_a_batch_that_is_not_committed_are_left(tmp_path: Path) -> None:
    """Written to its file, it may be taken back: it is neither changed nor counted; once it is committed, it is."""
    store = opened(tmp_path / "s", crash=raising("store.alerts.written"))
    with pytest.raises(Killed):
        store.commit(some(0))
    person = opened(tmp_path / "s", pipeline=False)
    for dry_run in (True, False):
        assert person.reclassify(SPAM, policy, fact={}, dry_run=dry_run) == {"seen": 0, "changed": 0}
    store.close()
    store = opened(tmp_path / "s")
    assert list(store.stream(EVERYTHING)) == []
    store.commit(some(0))
    assert person.reclassify(SPAM, policy, fact={}, dry_run=False)["changed"] == 15
    store.close()
    store = opened(tmp_path / "s", crash=raising("store.alerts.written"))
    with pytest.raises(Killed):
        store.commit(some(30))
    assert person.reclassify(EventQuery(All()), policy, fact={}, dry_run=False)["seen"] == 30
    store.close()
    store = opened(tmp_path / "s")
    store.commit(some(30))
    assert whole(store, events=60) == {("low", "policy", ("none/",)): 15, ("low", "policy", ("high/spam",)): 15, ("high", "spam", ()): 15, ("none", "", ()): 15}
    store.close()
    person.close()


def waiting(folder: Path) -> tuple[SqliteStore, SqliteStore]:
    """A pipeline and a person, and a redriven event of spam that waits."""
    store = opened(folder)
    own = letter(1)
    store.commit(Effects(progress(event(0, level="high", category="spam"), letters=1), [event(0, level="high", category="spam")], dead_letters=[own]))
    person = opened(folder, pipeline=False)
    person.settle_dead_letter(own.id, "redriven", "", redriven(own, level="high", category="spam"))
    assert store.status()["waiting"] == 1
    return store, person


def test_an_event_that_waits_is_changed_also_after_the_pipeline_prepared_to_move_it(tmp_path: Path) -> None:
    """What was prepared is made anew; the changed event is stored, once."""
    store, person = waiting(tmp_path / "s")
    write = store.begin_commit(batch(event(2)))
    assert person.reclassify(SPAM, policy, fact={}, dry_run=True)["changed"] == 2
    assert person.reclassify(SPAM, policy, fact={}, dry_run=False)["changed"] == 2
    assert write().stored == 1
    assert store.status()["waiting"] == 0
    assert whole(store, events=3) == {("low", "policy", ("high/spam",)): 2, ("none", "", ()): 1}
    store.close()
    person.close()


def test_an_event_that_is_moved_between_two_looks_is_found_where_it_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed among those that wait, stored by the pipeline, then changed: it stands in one place, with the new class."""
    store, person = waiting(tmp_path / "s")
    listed = person.control.inbox

    def then_moved() -> list[object]:
        found = listed()
        store.commit(Effects([]))
        return list(found)

    monkeypatch.setattr(person.control, "inbox", then_moved)
    assert person.reclassify(SPAM, policy, fact={}, dry_run=False) == {"seen": 2, "changed": 2, "high→low": 2}
    assert store.status()["waiting"] == 0
    assert whole(store, events=2) == {("low", "policy", ("high/spam",)): 2}
    store.close()
    person.close()


def test_a_kill_while_an_event_that_waits_is_changed_leaves_it_as_it_was(tmp_path: Path) -> None:
    """Nothing of it is written; the next repair changes it."""
    store, person = waiting(tmp_path / "s")
    store.close()
    person.close()
    repair = start(_REPAIR, "revise.waiting", 0, tmp_path / "s")
    ended(repair)
    assert repair.returncode == -signal.SIGKILL
    store = opened(tmp_path / "s")
    assert whole(store, events=2) == {("high", "spam", ()): 2}
    assert int(ended(start(_REPAIR, "", 0, tmp_path / "s"))) == 2
    store.close()


def test_an_event_that_has_more_words_than_are_kept_only_now_is_found_by_its_new_fields(tmp_path: Path) -> None:
    """Its last words are left out; searches of fields find it all the same, as they do one that came so."""
    store = opened(tmp_path / "s")
    words = len(event(0).tokens.split())
    store.commit(batch(event(0, message=" ".join(f"w{n}" for n in range(MOST_TOKENS - words - 1)))))
    store.revise(EVERYTHING, lambda doc: {**doc, "soc.agency.id": "xamoi", "user.name": "lan", "host.name": "may-le-tan"}, dry_run=False)
    for field, value in (("soc.agency.id", "xamoi"), ("user.name", "lan"), ("host.name", "may-le-tan")):
        assert store.count(EventQuery(Term(field, value))) == 1, field
    store.close()


# --- turns -----------------------------------------------------------------------------------------------------------


def test_repairs_take_turns_with_one_another_and_with_what_removes_or_replaces_files(tmp_path: Path) -> None:
    """Each is refused and told who is at it; looking and previews go on; a kill frees it."""
    store = opened(tmp_path / "s")
    store.commit(batch(event(0, level="high", category="spam", ts_us=T0 - 90 * DAY)))
    person = opened(tmp_path / "s", pipeline=False)
    other = start(_HOLD, "RepairLock", tmp_path / "s")
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    for refused in (
        lambda: person.reclassify(SPAM, policy, fact={}, dry_run=False),
        lambda: person.revise(SPAM, lambda doc: doc, dry_run=False),
        lambda: store.drop_partitions(kind="firewall", before_us=T0, dry_run=False),
        lambda: store.migrate(lambda doc: doc, dry_run=False),
    ):
        with pytest.raises(Locked) as caught:
            refused()
        assert (caught.value.pid, caught.value.exit_code) == (other.pid, 5)
    assert person.reclassify(SPAM, policy, fact={}, dry_run=True)["changed"] == 1
    assert len(store.drop_partitions(kind="firewall", before_us=T0, dry_run=True)) == 1
    store.commit(batch(event(1)))
    other.kill()
    ended(other)
    assert person.reclassify(SPAM, policy, fact={}, dry_run=False)["changed"] == 1
    assert len(store.drop_partitions(kind="firewall", before_us=T0, dry_run=False)) == 1
    person.close()
    store.close()


def test_whoever_looks_for_the_pipeline_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    """Another process looks all the time; the lock is got each time."""
    lock.PipelineLock(tmp_path).release()
    looking = start(_LOOK, tmp_path)
    assert looking.stdout is not None
    looking.stdout.readline()
    for _ in range(100):
        lock.PipelineLock(tmp_path).release()
    looking.kill()
    ended(looking)


def test_a_repair_that_fails_gives_its_turn_back(tmp_path: Path) -> None:
    """The next one in the same process goes on."""
    store = opened(tmp_path / "s")
    store.commit(some(0))

    def broken(_doc: Doc) -> tuple[str, str]:
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError):
        store.reclassify(SPAM, broken, fact={}, dry_run=False)
    assert store.reclassify(SPAM, policy, fact={}, dry_run=False)["changed"] == 15
    store.close()


def test_a_repair_lets_a_running_pipeline_work_between_its_transactions(tmp_path: Path) -> None:
    """As many events at once as take a hundredth of a second, and a rest of four times as long; without a pipeline none."""

    class Ticking(FrozenClock):
        slept: list[float]

        def sleep(self, seconds: float) -> None:
            self.slept.append(seconds)
            super().sleep(seconds)

    clock = Ticking(T0)
    clock.slept = []
    pace = Pace(tmp_path, clock)

    def work(took_s: float) -> None:
        pace.begin()
        clock.advance(took_s)
        pace.end(pace.at_once)

    first = pace.at_once
    work(0.001)
    assert (pace.at_once, clock.slept) == (first * 2, [])
    for _ in range(20):
        work(pace.at_once * 0.001)
    assert (pace.at_once, clock.slept) == (10, [])
    run = start(_HOLD, "PipelineLock", tmp_path)
    assert run.stdout is not None
    run.stdout.readline()
    clock.advance(2)
    work(0.01)
    assert clock.slept == [pytest.approx(0.04)]
    work(60)
    assert clock.slept[1:] == [1.0]
    run.kill()
    ended(run)
    clock.advance(2)
    work(0.01)
    assert len(clock.slept) == 2
    held = lock.PipelineLock(tmp_path)
    clock.advance(2)
    work(0.01)
    held.release()
    assert len(clock.slept) == 2, "its own pipeline waits for nothing"


# --- alerts ----------------------------------------------------------------------------------------------------------


def test_alerts_are_attributed_group_by_group_beside_the_pipeline(tmp_path: Path) -> None:
    """More than one transaction takes; new alerts of the same groups come meanwhile; each group shows the agencies of its alerts."""
    store = opened(tmp_path / "s")
    events = [event(n) for n in range(1300)]
    store.commit(batch(*events, alerts=[alert(one, key=f"10.0.0.{one.seq % 3}", agency="b") for one in events]))
    stop, number = threading.Event(), [1300]

    def run() -> None:
        while not stop.is_set():
            one = event(number[0])
            store.commit(batch(one, alerts=[alert(one, key=f"10.0.0.{one.seq % 3}", agency="c")]))
            number[0] += 1

    thread = threading.Thread(target=run)
    thread.start()
    person = opened(tmp_path / "s", pipeline=False)
    try:
        person.attribute({alert(one).id: "a" for one in events if one.seq != 4} | {"a-unknown": "a"})
        person.attribute({})
    finally:
        stop.set()
        thread.join()
    rows = person.control.rows("SELECT grp, count(*) FROM alert GROUP BY 1")
    assert sum(count for _, count in rows) == number[0]
    for identity, count in rows:
        group = person.get_alert(identity)
        assert group is not None
        shown = json.loads(json.dumps(group.agencies))  # type: ignore[union-attr]
        assert set(shown) - {"c"} == ({"a", "b"} if "b" in shown else {"a"})
        assert group.count == count  # type: ignore[union-attr]
    assert sum("b" in person.get_alert(identity).agencies for identity, _ in rows) == 1  # type: ignore[union-attr]
    person.close()
    store.close()


_ATTRIBUTE = """
import sys
from pathlib import Path
from tests.adapters.sqlite.conftest import be_patient
from tests.adapters.sqlite.test_revise import killing, opened, turned
be_patient()
opened(Path(sys.argv[3]), pipeline=False, crash=killing(sys.argv[1], int(sys.argv[2]))).attribute(turned())
"""


def turned() -> dict[str, str]:
    """All but one of 400 alerts go to other agencies."""
    return {alert(event(n)).id: "a" if n % 5 else "c" for n in range(400) if n != 4}


def shown(store: SqliteStore) -> dict[str, tuple[int, list[str]]]:
    """By group its count and the agencies that it shows."""
    return {group.id: (group.count, list(group.agencies)) for group in store.alert_groups(AlertQuery(limit=1_000))[1]}


def made_anew(store: SqliteStore) -> dict[str, bytes]:
    """What each group would be kept as if it were made of all its alerts now."""
    control = store.control.db
    control.execute("BEGIN IMMEDIATE")
    try:
        for (key,) in control.execute("SELECT id FROM grp").fetchall():
            store._alerts._fold_again(key)
        return groups_of(control)
    finally:
        control.execute("ROLLBACK")


def groups_of(control: sqlite3.Connection) -> dict[str, bytes]:
    """What each group is kept as, whatever the order in which its agencies were counted."""
    found = {}
    for key, body in control.execute("SELECT id, body FROM grp"):
        kept = msgspec.msgpack.decode(body)
        kept["held"] = sorted(kept["held"].items())
        found[key] = msgspec.msgpack.encode(kept)
    return found


@pytest.mark.parametrize(("point", "skip"), [("attribute.written", 0), ("attribute.committed", 0), ("attribute.written", 1), ("attribute.committed", 1)])
def test_attributing_a_large_group_is_killed_anywhere_and_done_again(tmp_path: Path, point: str, skip: int) -> None:
    """It goes slice by slice; at every moment the group shows the agencies of its alerts as they stand, and the same call does the rest."""
    events = [event(n) for n in range(400)]
    with closing(opened(tmp_path)) as store:
        store.commit(batch(*events, alerts=[alert(one, agency="b") for one in events]))
    done = subprocess.run([sys.executable, "-c", _ATTRIBUTE, point, str(skip), str(tmp_path)], cwd=ROOT, capture_output=True, timeout=600, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with closing(opened(tmp_path)) as store:
        before = {one.id: one.agency for one in store.alerts(AlertQuery(limit=1_000))[1]}
        count = sum(agency != "b" for agency in before.values())
        assert count < 400 - 1
        assert (count > 0) == ((point, skip) != ("attribute.written", 0))
        [(total, agencies)] = shown(store).values()
        assert (total, agencies) == (400, sorted(set(before.values())))
        passes: list[str] = []
        store._crash = passes.append
        store.attribute(turned())
        assert passes.count("attribute.committed") > 1
        [after] = shown(store).values()
        assert after == (400, ["a", "b", "c"])
        store.attribute({alert(events[4]).id: "a"})
        assert list(shown(store).values()) == [(400, ["a", "c"])]
        assert groups_of(store.control.db) == made_anew(store)


@pytest.mark.parametrize("seed", range(4))
def test_groups_stay_what_all_their_alerts_make_of_them(tmp_path: Path, seed: int) -> None:
    """Whatever order alerts come, grow, are withdrawn and are attributed in; also of groups whose agencies an earlier version did not count."""
    chance = random.Random(seed)
    agencies = ["", "a", "b", "c"]
    with closing(opened(tmp_path)) as store:
        made = []
        for number in range(40):
            one = event(number)
            made.append(alert(one, key=f"10.0.0.{chance.randrange(3)}", agency=chance.choice(agencies)))
            store.commit(batch(one, alerts=made[-1:]))
            what = chance.randrange(6)
            if what == 0:
                store.attribute({one.id: chance.choice(agencies) for one in chance.sample(made, min(len(made), 7))})
            elif what == 1:
                grown = msgspec.structs.replace(chance.choice(made), revision=number + 1, agency=chance.choice(agencies))
                store.commit(Effects(progress=[], alerts=[grown]))
            elif what == 2 and number > 10:
                first, last = sorted(from_iso(one.ts) for one in chance.sample(made, 2))
                store.retract({"id": f"r{number}", "rule": made[0].rule.id, "from_us": first, "until_us": last})
            elif what == 3:  # as an earlier version kept it
                control = store.control.db
                for key, body in control.execute("SELECT id, body FROM grp").fetchall():
                    kept = msgspec.msgpack.decode(body)
                    kept.pop("held", None)
                    control.execute("UPDATE grp SET body = ? WHERE id = ?", (msgspec.msgpack.encode(kept), key))
            expected: dict[str, set[str]] = {}
            for key, body in store.control.rows("SELECT grp, body FROM alert"):
                expected.setdefault(key, set()).add(msgspec.msgpack.decode(zstandard.decompress(body))["agency"])
            for key, body in store.control.rows("SELECT id, body FROM grp"):
                assert msgspec.msgpack.decode(body)["group"]["agencies"] == sorted(expected[key] - {""})
        store.attribute({one.id: "z" for one in made})
        assert groups_of(store.control.db) == made_anew(store)
        assert {agency for _, of in shown(store).values() for agency in of} == {"z"}
