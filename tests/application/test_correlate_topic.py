"""Correlation over a log in several partitions: any workers, any cuts, any deaths give the alerts of one fold over everything."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.adapters.kafka.signals import partition_of
from soc.adapters.memory import MemoryStore
from soc.application.correlate import CorrelationStage, Pace
from soc.application.correlate_topic import RENEWED_RULE, Landmarks, TopicFold
from soc.clock import FrozenClock
from soc.model.record import RawRecord
from soc.model.signal import Signal
from soc.model.signal_record import encode
from soc.ports import AlertQuery, Effects
from soc.rules.collection import load_collection
from soc.rules.engine import Engine, compile_collection
from soc.rules.routes import Routes
from soc.rules.signals import shape_of
from tests.adapters.kafka.conftest import Counts

SECOND = 1_000_000
START = 1_795_224_540 * SECOND
RULES = """
title: Signed in badly
id: 11111111-1111-4111-8111-111111111111
name: bad
logsource: {category: authentication}
detection: {sel: {event.outcome: failure}, condition: sel}
level: low
---
title: Signed in well
id: 22222222-2222-4222-8222-222222222222
name: well
logsource: {category: authentication}
detection: {sel: {event.outcome: success}, condition: sel}
level: low
---
title: Many bad ones
id: 33333333-3333-4333-8333-333333333333
name: many
correlation: {type: event_count, rules: [bad], group-by: [user.name, source.ip], timespan: 60s, condition: {gte: 3}}
level: medium
---
title: One address, several users
id: 44444444-4444-4444-8444-444444444444
name: spray
correlation: {type: value_count, rules: [many], group-by: [source.ip], timespan: 5m, condition: {gte: 2, field: user.name}, generate: true}
level: high
---
title: Bad, then well
id: 55555555-5555-4555-8555-555555555555
correlation: {type: temporal_ordered, rules: [bad, well], group-by: [user.name], timespan: 30s}
level: high
---
title: Nobody at all
id: 66666666-6666-4666-8666-666666666666
correlation: {type: event_count, rules: [bad, well], timespan: 40s, condition: {eq: 0}}
level: low
"""
PACE = Pace(lateness=60 * SECOND)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The rules above, compiled."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "rules.yml").write_text(RULES)
    collection, errors, _ = load_collection([folder])
    assert errors == []
    return compile_collection(collection)


class Log:
    """A log of signals in memory, written as the topic is."""

    def __init__(self, engine: Engine, partitions: int) -> None:
        self.names = [f"kafka:c/t/{number}" for number in range(partitions)]
        self.records: dict[str, list[bytes]] = {name: [] for name in self.names}
        self._routes = Routes(engine.collection.correlations)
        self._begun: dict[str, int] = {}

    def append(self, signals: Sequence[Signal], marks: Mapping[str, int], at_us: int) -> None:
        """Write to every partition."""
        begun: dict[str, int] = {}
        for one in signals:
            if one.ts < self._begun.get(one.key[0], one.ts + 1):
                begun[one.key[0]] = min(one.ts, begun.get(one.key[0], one.ts))
        self._begun |= begun
        for number, name in enumerate(self.names):
            own = [one for one in signals if partition_of(self._routes.key(one), len(self.names)) == number]
            self.records[name].append(encode(at_us, marks, own, begun))

    def read(self, partition: str, begin: int, end: int) -> Iterator[bytes]:
        """See `ReadBack`."""
        yield from self.records[partition][begin:end]

    def poll(self, partition: str, begin: int, most: int) -> list[RawRecord]:
        """Records as a consumer gives them."""
        found = self.records[partition][begin : begin + most]
        return [RawRecord("(signals)", partition, begin + n, begin + n + 1, raw, 0, partition, begin + n) for n, raw in enumerate(found)]


def fold(engine: Engine, store: MemoryStore, log: Log, counts: Counts | None = None) -> TopicFold:
    """A process that correlates."""
    return TopicFold(
        lambda: engine,
        store,
        log,
        partitions=lambda: log.names,
        place=partition_of,
        pace=PACE,
        clock=FrozenClock(START),
        metrics=counts or Counts(),
    )


def traffic(engine: Engine, seed: int, count: int = 160) -> list[Signal]:
    """Signals of some users and addresses over ten minutes, in order of time; two scopes."""
    chance = random.Random(seed)
    rules = {rule.title: rule for rule in engine.collection.correlations}
    out = []
    for number in range(count):
        ts = START + round(chance.uniform(0, 600) * SECOND)
        user, address = f"u{chance.randrange(5)}", f"192.0.2.{chance.randrange(3)}"
        scope = "exercise:x" if chance.random() < 0.2 else "real"
        event = f"{number:032x}"
        bad = chance.random() < 0.8
        for title, key, bit in (
            ("Many bad ones", (user, address), 1 if bad else 0),
            ("Bad, then well", (user,), 1 if bad else 2),
            ("Nobody at all", (), 1 if bad else 2),
        ):
            if bit:
                out.append(Signal(ts, (scope, *key), event, bit, rules[title].id, (), key, shape_of(rules[title])))
    return sorted(out, key=lambda one: (one.ts, one.id))


def alerts(store: MemoryStore) -> dict[str, Any]:
    """The last revisions of all alerts."""
    return {alert.id: msgspec.to_builtins(alert) for alert in store.alerts(AlertQuery(scope=None, limit=100_000))[1]}


def expected(engine: Engine, signals: Sequence[Signal]) -> dict[str, Any]:
    """What one stage makes of all signals, in order, and of ten more minutes of nothing."""
    store = MemoryStore(clock=FrozenClock(START))
    stage = CorrelationStage(
        engine.collection, store, clock=FrozenClock(START + 700 * SECOND), rules_hash=engine.hash, pace=PACE, signals=lambda _since, _of: ()
    )
    stage.start()
    for effects in (stage.take(signals, {"s": START + 600 * SECOND}), stage.take([], {"s": START + 1_200 * SECOND})):
        store.commit(effects)
    return alerts(store)


def shuffled(signals: Sequence[Signal], seed: int) -> list[Signal]:
    """The same in another order, none more than the lateness out of place; the first stays."""
    chance = random.Random(seed)
    return [signals[0], *sorted(signals[1:], key=lambda one: (one.ts + chance.randrange(55 * SECOND), one.key))]


def written(engine: Engine, signals: Sequence[Signal], partitions: int, seed: int) -> Log:
    """A log that two source partitions were told into, one often far behind the other, in batches, some of them twice."""
    chance = random.Random(seed)
    log = Log(engine, partitions)
    log.append([], {"s": 0, "t": 0}, START)
    log.append(signals[:1], dict.fromkeys("st", START), START)
    left = {name: [one for one in signals[1:] if int(one.id, 16) % 2 == place] for place, name in enumerate("st")}
    marks = dict.fromkeys("st", START)
    latest = START
    while any(left.values()):
        name = chance.choice([name for name, waiting in left.items() for _ in range(8 if name == "t" else 1) if waiting])
        size = chance.randrange(1, 25)
        batch, left[name] = left[name][:size], left[name][size:]
        marks[name] = max(marks[name], *(one.ts for one in batch))
        latest = max(latest, marks[name])
        log.append(batch, {}, latest)
        if chance.random() < 0.2:  # killed before the commit: written again
            log.append(batch, {}, latest)
        log.append([], {name: marks[name]}, latest)
        for other in "st":  # both live: the one that has nothing new is heard of all the same
            log.append([], {other: marks[other]}, latest)
    log.append([], dict.fromkeys("st", START + 1_200 * SECOND), START + 1_200 * SECOND)
    return log


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("partitions", [1, 3, 5])
def test_workers_that_come_and_go_tell_what_one_fold_tells(engine: Engine, partitions: int, seed: int) -> None:
    """Order, batches, repeats, rebalances and deaths before a commit change nothing, whatever the rules: chains, silence, order."""
    signals = traffic(engine, seed)
    wanted = expected(engine, signals)
    assert {alert["rule"]["title"] for alert in wanted.values()} == {"Many bad ones", "One address, several users", "Bad, then well", "Nobody at all"}
    log = written(engine, shuffled(signals, seed), partitions, seed)
    store = MemoryStore(clock=FrozenClock(START))
    chance = random.Random(seed)
    workers = [fold(engine, store, log) for _ in range(3)]
    owner = {name: chance.choice(workers) for name in log.names}
    while any(store.positions().get(name, 0) < len(log.records[name]) for name in log.names):
        name = chance.choice(log.names)
        worker, at = owner[name], store.positions().get(name, 0)
        polled = log.poll(name, at, chance.randrange(1, 9))
        if not polled:
            continue
        effects = worker.process(polled)
        if chance.random() < 0.15:  # killed before the commit: somebody else goes on
            worker.forget_all()
            owner[name] = chance.choice(workers)
            continue
        store.commit(effects)
        if chance.random() < 0.1:
            worker.forget([name])
            owner[name] = chance.choice(workers)
    assert alerts(store) == wanted


def test_chained_correlations_stay_spread_over_the_partitions(engine: Engine) -> None:
    """The addresses of a chain live in several partitions, each with all of its users."""
    log = written(engine, traffic(engine, 1), 5, 1)
    store = MemoryStore(clock=FrozenClock(START))
    for name in log.names:
        store.commit(fold(engine, store, log).process(log.poll(name, 0, 10_000)))
    places = {name for name in log.names for key in store.state(name) if key.startswith("told")}
    assert len(places) > 1
    assert alerts(store) == expected(engine, traffic(engine, 1))


def test_a_partition_that_nobody_has_read_holds_time_up_for_a_while(engine: Engine) -> None:
    """Its first events may be older than all that is marked; when nothing is heard of it for two minutes, time goes on without it."""
    log = Log(engine, 1)
    signals = traffic(engine, 3)
    log.append([], {"s": 0, "t": 0}, START + 500 * SECOND)
    log.append(signals, {"s": START + 600 * SECOND}, START + 600 * SECOND)
    log.append([], {"s": START + 620 * SECOND}, START + 620 * SECOND)
    log.append([], {"s": START + 621 * SECOND}, START + 621 * SECOND)
    log.append([], {"s": START + 1_200 * SECOND}, START + 1_200 * SECOND)
    store = MemoryStore(clock=FrozenClock(START))
    worker = fold(engine, store, log)
    told = []
    for at in range(5):
        store.commit(worker.process(log.poll(log.names[0], at, 1)))
        told.append(len(alerts(store)))
    assert told[:3] == [0, 0, 0]
    assert 0 < told[3] < told[4]
    assert alerts(store) == expected(engine, signals)


HOUR = 3_600 * SECOND


def test_a_backlog_is_judged_in_order_although_others_are_up_to_date(engine: Engine) -> None:
    """As long as it is read faster than time goes by, it is waited for, and nothing of it is late."""
    signals = traffic(engine, 5)
    log = Log(engine, 2)
    now = START + 3 * HOUR
    log.append([], {"s": 0, "t": now}, now)
    for at in range(0, len(signals), 10):
        batch = signals[at : at + 10]
        log.append(batch, {}, now)
        log.append([], {"s": batch[-1].ts, "t": now}, now)
        now += SECOND
    log.append([], {"s": START + 1_200 * SECOND, "t": now}, now + 2 * SECOND)
    store, counts = MemoryStore(clock=FrozenClock(START)), Counts()
    for name in log.names:
        worker = fold(engine, store, log, counts)
        for at in range(len(log.records[name])):
            store.commit(worker.process(log.poll(name, at, 1)))
    assert counts.counted["soc_signals_late_total"] == 0
    assert alerts(store) == expected(engine, signals)


def test_a_partition_with_a_wrong_clock_is_not_waited_for(engine: Engine) -> None:
    """Seven hours behind and hardly ever less: after a minute the others are judged without it."""
    log = Log(engine, 1)
    store = MemoryStore(clock=FrozenClock(START))
    worker = fold(engine, store, log)
    watermarks = []
    for minute in range(60):
        now = START + minute * 60 * SECOND
        log.append([], {"right": now, "wrong": now - 7 * HOUR + (minute % 5) * 10 * SECOND}, now)
        store.commit(worker.process(log.poll(log.names[0], minute, 1)))
        watermarks.append(int(store.state(log.names[0])["watermark"]) - now)
    assert watermarks[0] < -6 * HOUR
    assert min(watermarks[3:]) >= -240 * SECOND, "however it jumps to and fro, it holds nothing up for long"
    assert sum(behind == -60 * SECOND for behind in watermarks[3:]) > 40


def test_what_is_no_record_is_counted_and_passed_over(engine: Engine) -> None:
    """Anybody with the right to write may write nonsense; the ledger says how much, and correlation goes on."""
    log = written(engine, traffic(engine, 2), 1, 2)
    log.records[log.names[0]].insert(3, b"\xc1nonsense")
    store = MemoryStore(clock=FrozenClock(START))
    counts = Counts()
    store.commit(fold(engine, store, log, counts).process(log.poll(log.names[0], 0, 10_000)))
    (item,) = store.ledger()
    assert (item.received, item.dropped, item.difference) == (1, {"unreadable": 1}, 0)
    assert alerts(store) == expected(engine, traffic(engine, 2))
    assert counts.counted["soc_signals_folded_total"] >= len(traffic(engine, 2))
    assert counts.counted["soc_signals_late_total"] == 0


def test_late_signals_are_counted_and_told_as_revisions(engine: Engine) -> None:
    """A straggler beyond the lateness grows the alert that its group has, marked, and its number shows in the metrics."""
    (rule,) = [rule for rule in engine.collection.correlations if rule.title == "Bad, then well"]

    def one(second: int, bit: int) -> Signal:
        return Signal(START + second * SECOND, ("real", "an"), f"{second:032x}", bit, rule.id, (), ("an",), shape_of(rule))

    log = Log(engine, 1)
    log.append([one(0, 1)], {"s": START + 300 * SECOND}, START + 300 * SECOND)
    log.append([one(20, 2)], {"s": START + 301 * SECOND}, START + 301 * SECOND)
    store, counts = MemoryStore(clock=FrozenClock(START)), Counts()
    worker = fold(engine, store, log, counts)
    for at in range(2):
        store.commit(worker.process(log.poll(log.names[0], at, 1)))
    found = [alert for alert in alerts(store).values() if alert["rule"]["title"] == "Bad, then well"]
    assert [alert["late"] for alert in found] == [True]
    assert counts.counted["soc_signals_late_total"] == 1


@given(st.lists(st.lists(st.integers(1, 3_000), max_size=4), min_size=1, max_size=60), st.integers(0, 3_200), st.integers(0, 3_200))
def test_nothing_after_a_time_stands_before_its_landmark(records: list[list[int]], since: int, horizon: int) -> None:
    """Whatever the order of times in the log, and whatever was forgotten as too old."""
    landmarks = Landmarks()
    for offset, seconds in enumerate(records):
        landmarks.pass_by(offset, [Signal(second * SECOND, ("real",), "e", 1, "c") for second in seconds])
    landmarks.forget(min(horizon, since) * SECOND)
    place = landmarks.before(since * SECOND)
    assert all(second < since for seconds in records[:place] for second in seconds)


def test_landmarks_stay_few() -> None:
    """However much time passes."""
    landmarks = Landmarks()
    for offset in range(20_000):
        landmarks.pass_by(offset, [Signal(offset * 20 * SECOND, ("real",), "e", 1, "c")])
    assert len(landmarks.at) <= Landmarks.MOST
    assert 19_000 - 200 < landmarks.before(19_000 * 20 * SECOND) <= 19_000


def test_changed_rules_are_taken_over_from_the_log(engine: Engine, tmp_path: Path) -> None:
    """A rule that counts two instead of three finds what it would have found, as its signals are the same."""
    (tmp_path / "rules.yml").write_text(RULES.replace("gte: 3", "gte: 2"))
    other = compile_collection(load_collection([tmp_path])[0])
    in_force = [engine]
    log = written(engine, traffic(engine, 4), 3, 4)
    store = MemoryStore(clock=FrozenClock(START))
    worker = TopicFold(lambda: in_force[0], store, log, partitions=lambda: log.names, place=partition_of, pace=PACE, clock=FrozenClock(START), metrics=Counts())
    for name in log.names:
        store.commit(worker.process(log.poll(name, 0, 2)))
    assert not worker.due
    in_force[0] = other
    assert worker.due
    worker.use_rules()
    assert not worker.due
    for name in log.names:
        effects: Effects = worker.process(log.poll(name, 2, 10_000))
        assert effects.rules_hash == other.hash
        store.commit(effects)
    assert {key: alert["count"] if "count" in alert else alert["events"] for key, alert in alerts(store).items()} == {
        key: alert["count"] if "count" in alert else alert["events"] for key, alert in expected(other, traffic(other, 4)).items()
    }


def test_a_batch_that_could_not_be_read_counts_with_all_its_records(engine: Engine) -> None:
    """Also where its bytes happen to be a record of signals: nobody wrote them as one."""
    log = Log(engine, 1)
    (name,) = log.names
    raw = encode(START, {"p": START}, [], {})
    batch = RawRecord("(signals)", name, 0, 4, raw, 0, name, 0, fault="oversized: a batch", records=4)
    effects = fold(engine, MemoryStore(clock=FrozenClock(START)), log).process([batch])
    (progress,) = effects.progress
    assert (progress.received, progress.dropped, progress.next) == (4, {"unreadable": 4}, 4)


def test_a_topic_in_the_place_of_one_that_was_judged_is_told(engine: Engine) -> None:
    """By each of its partitions, once, also after a restart; the first topic there is, and one of another cluster, is nothing to tell of."""
    signals = traffic(engine, 5)
    store = MemoryStore(clock=FrozenClock(START))
    logs = {}
    for topic in ("first", "second"):
        logs[topic] = written(engine, signals, 2, 5)
        logs[topic].names = [f"kafka:c/{topic}/{number}" for number in range(2)]
        logs[topic].records = dict(zip(logs[topic].names, logs[topic].records.values(), strict=True))

    def told(log: Log) -> list[str]:
        for _ in range(2):
            one = fold(engine, store, log)
            for name in log.names:
                store.commit(one.process(log.poll(name, 0, 10_000)))
        return sorted(alert.explanation["field"] for alert in store.alerts(AlertQuery(scope=None, limit=100_000))[1] if alert.rule == RENEWED_RULE)

    assert told(logs["first"]) == []
    assert told(logs["second"]) == logs["second"].names
    elsewhere = Log(engine, 1)
    elsewhere.names = ["kafka:d/third/0"]
    elsewhere.records = {"kafka:d/third/0": logs["first"].records["kafka:c/first/0"]}
    assert told(elsewhere) == logs["second"].names
