from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from soc.adapters.kafka import source as source_module
from soc.adapters.kafka.sink import KafkaSink
from soc.adapters.kafka.source import KafkaRecordSource
from soc.clock import FrozenClock, SystemClock
from soc.config import KafkaSettings, KafkaSource
from soc.errors import ConfigError, SourceUnavailable
from soc.model.ids import event_id
from tests.adapters.kafka.conftest import Counts, Member, Opens, commit, patiently, polled, read, record, told
from tests.servers.kafka_server import Broker
from tests.servers.process import WITHIN_S, wait_until

Names = Callable[[str], str]


def test_records_come_in_order_with_their_positions(kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names) -> None:
    """Each record carries cluster, topic id, partition and offset, and nothing is left out."""
    topic = kafka_broker.create_topic(unique_name("order"))
    kafka_broker.send(topic, [b"%d" % number for number in range(50)])
    records = read(opened([topic], settings=kafka_settings), 50)
    assert [item.raw for item in records] == [b"%d" % number for number in range(50)]
    assert [item.seq for item in records] == list(range(50))
    assert {item.partition for item in records} == {records[0].origin}
    assert records[0].partition.startswith("kafka:")
    assert records[0].partition.endswith("/0")
    assert records[0].source == "gate"
    assert abs(records[0].received_us - SystemClock().now_us()) < 600_000_000


def test_the_store_knows_better_than_the_group(kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names) -> None:
    """Reading begins at the store's position, whatever the group committed."""
    topic = kafka_broker.create_topic(unique_name("start"))
    kafka_broker.send(topic, [b"%d" % number for number in range(10)])
    first = opened([topic], settings=kafka_settings)
    records = read(first, 10)
    commit(first, records)
    first.close()
    again = opened([topic], settings=kafka_settings, positions={records[0].partition: 7})
    assert [item.seq for item in read(again, 3)] == [7, 8, 9]


def test_an_unknown_partition_begins_where_the_group_stood(kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names) -> None:
    """Without a position in the store the committed offset counts."""
    topic = kafka_broker.create_topic(unique_name("group"))
    kafka_broker.send(topic, [b"%d" % number for number in range(10)])
    first = opened([topic], settings=kafka_settings)
    records = read(first, 10)
    commit(first, records[:4])
    first.close()
    assert read(opened([topic], settings=kafka_settings), 6)[0].seq == 4


def test_positions_of_other_workers_are_asked_for(kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names) -> None:
    """A partition taken over is read from the store's position of that moment, not of the time of opening."""
    topic = kafka_broker.create_topic(unique_name("fresh"))
    kafka_broker.send(topic, [b"%d" % number for number in range(10)])
    first = opened([topic], settings=kafka_settings)
    partition = read(first, 10)[0].partition
    first.close()
    again = KafkaRecordSource(kafka_settings, {"gate": KafkaSource(type="kafka", topics=[topic])}, clock=SystemClock())
    again.follow_positions(lambda: {partition: 8})
    try:
        patiently(lambda: again.open({partition: 0}))
        assert read(again, 2)[0].seq == 8
    finally:
        again.close()


def test_rewinding_keeps_the_group(kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names) -> None:
    """After a rewind the same records come again, and no partition is reported lost."""
    topic = kafka_broker.create_topic(unique_name("rewind"))
    kafka_broker.send(topic, [b"%d" % number for number in range(5)])
    source = opened([topic], settings=kafka_settings)
    partition = read(source, 5)[0].partition
    source.lost()
    source.rewind({partition: 2})
    assert [item.seq for item in read(source, 3)] == [2, 3, 4]
    assert source.lost() == set()


def test_deleted_records_are_told(kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names, counts: Counts) -> None:
    """When the broker deleted records before we read them, the range is reported and reading goes on."""
    topic = kafka_broker.create_topic(unique_name("retention"))
    kafka_broker.send(topic, [b"%d" % number for number in range(10)])
    source = opened([topic], settings=kafka_settings)
    records = read(source, 10)
    commit(source, records[:3])
    source.close()
    _delete_before(kafka_broker, topic, 6)
    again = opened([topic], settings=kafka_settings)
    assert read(again, 4)[0].seq == 6
    assert again.take_lost_ranges() == [(records[0].partition, 3, 5)]
    assert again.take_lost_ranges() == []
    assert counts.counted["soc_kafka_records_lost_total"] == 3


def test_a_log_that_is_cut_while_we_read_goes_on_behind_the_cut(kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names) -> None:
    """Records deleted ahead of a running reader are reported as lost, and the rest is read."""
    topic = kafka_broker.create_topic(unique_name("cut"))
    kafka_broker.send(topic, [b"first"])
    source = opened([topic], settings=kafka_settings)
    partition = read(source, 1)[0].partition
    # More than one fetch holds, so that the reader has to ask again after the cut.
    kafka_broker.send(topic, [bytes(500_000) for _ in range(40)])
    _delete_before(kafka_broker, topic, 39)
    records = read(source, 0, until=lambda got: bool(got) and got[-1].seq == 40)
    seen = {item.seq for item in records} | {0}
    lost = {seq for _, first, last in source.take_lost_ranges() for seq in range(first, last + 1)}
    assert seen | lost == set(range(41))
    assert not seen & lost
    assert partition == records[0].partition


def _delete_before(broker: Broker, topic: str, offset: int) -> None:
    from kafka import TopicPartition

    with broker.admin() as admin:
        admin.delete_records({TopicPartition(topic, 0): offset})


def test_a_position_beyond_the_end_is_refused(kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names) -> None:
    """A log that is shorter than what was read of it raises, and is never read from elsewhere in silence."""
    topic = kafka_broker.create_topic(unique_name("short"))
    kafka_broker.send(topic, [b"one"])
    first = opened([topic], settings=kafka_settings)
    partition = read(first, 1)[0].partition
    first.close()
    source = opened([topic], settings=kafka_settings, positions={partition: 99})
    told(lambda: source.poll(500, 0.5), SourceUnavailable, "ends at 1, but was read up to 99", again=True)


def test_a_topic_created_anew_is_another_partition(kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names) -> None:
    """A topic deleted and created again while we read starts at 0 under another name; no event id comes twice."""
    topic = kafka_broker.create_topic(unique_name("anew"))
    kafka_broker.send(topic, [b"old %d" % number for number in range(5)])
    source = opened([topic], settings=kafka_settings, metadata_max_age_s=1)
    old = read(source, 5)
    commit(source, old)
    kafka_broker.delete_topic(topic)
    kafka_broker.create_topic(topic)
    kafka_broker.send(topic, [b"new %d" % number for number in range(8)])
    new = read(source, 8)
    assert [item.raw for item in new] == [b"new %d" % number for number in range(8)]
    assert [item.seq for item in new] == list(range(8))
    assert old[0].partition in source.lost()
    assert not {event_id(item.origin, item.origin_seq) for item in old} & {event_id(item.origin, item.origin_seq) for item in new}


def test_a_topic_created_anew_with_fewer_partitions_is_read(kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names) -> None:
    """The group hands out partitions that are no more until it learns of it: those that there are come all the same."""
    topic = kafka_broker.create_topic(unique_name("fewer"), partitions=4)
    for number in range(4):
        kafka_broker.send(topic, [b"old"] * 5, partition=number)
    source = opened([topic], settings=kafka_settings, metadata_max_age_s=1)
    old = read(source, 20)
    commit(source, old)
    kafka_broker.delete_topic(topic)
    kafka_broker.create_topic(topic, partitions=2)
    # The client knows before the group does: what it is assigned is still of the old topic.
    patiently(lambda: source._check_topics({}, 0.0))
    wait_until(lambda: len(source._consumer.partitions_for_topic(topic) or ()) == 2, what="the client knows two partitions")
    assert len(source._consumer.assignment()) == 4
    for number in range(2):
        kafka_broker.send(topic, [b"new"] * 4, partition=number)
    new = read(source, 8)
    assert {item.raw for item in new} == {b"new"}
    assert sorted(item.seq for item in new) == sorted([*range(4)] * 2)
    assert len(source.partitions()) == 2


def test_a_topic_created_anew_while_we_are_away_is_read_from_its_start(
    kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names
) -> None:
    """Neither the store's position nor the group's of the old topic is used for the new one."""
    topic = kafka_broker.create_topic(unique_name("away"))
    kafka_broker.send(topic, [b"old"] * 5)
    first = opened([topic], settings=kafka_settings)
    old = read(first, 5)
    commit(first, old)
    first.close()
    kafka_broker.delete_topic(topic)
    kafka_broker.create_topic(topic)
    kafka_broker.send(topic, [b"new"] * 7)
    new = read(opened([topic], settings=kafka_settings, positions={old[0].partition: 5}), 7)
    assert [item.seq for item in new] == list(range(7))
    assert {item.raw for item in new} == {b"new"}


def test_a_missing_topic_is_named_with_the_command_to_create_it(kafka_settings: KafkaSettings, opened: Opens, unique_name: Names) -> None:
    """A topic that does not exist is refused at the start."""
    topic = unique_name("missing")
    with pytest.raises(ConfigError, match=rf"topic {topic} does not exist on Kafka cluster \S+ \(127") as caught:
        opened([topic], settings=kafka_settings)
    assert f"--create --topic {topic}" in caught.value.hint


def test_a_topic_that_vanishes_is_told(kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names) -> None:
    """A topic deleted while we read raises instead of polling nothing for ever."""
    topic = kafka_broker.create_topic(unique_name("vanish"))
    source = opened([topic], settings=kafka_settings)
    polled(source)
    kafka_broker.delete_topic(topic)
    told(lambda: source.poll(500, 0.5), SourceUnavailable, "does not exist", again=True)


def test_a_topic_of_two_sources_is_refused(kafka_settings: KafkaSettings) -> None:
    """One topic cannot belong to two sources."""
    sources = {name: KafkaSource(type="kafka", topics=["same"]) for name in ("a", "b")}
    with pytest.raises(ConfigError, match="read by sources a and b"):
        KafkaRecordSource(kafka_settings, sources, clock=SystemClock())


def test_partitions_added_while_running_are_read(
    kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names, counts: Counts
) -> None:
    """New partitions are taken up although the caller polls with 5 ms, which strands the bare client (4 of 4)."""
    topic = kafka_broker.create_topic(unique_name("added"), partitions=2)
    settings = kafka_settings.model_copy(update={"silent_after_s": 2 * WITHIN_S})  # none is replaced: one that is stranded stays so
    source = opened([topic], settings=settings, metadata_max_age_s=1)
    polled(source, 10, 0.005)
    kafka_broker.add_partitions(topic, 4)
    kafka_broker.send(topic, [b"three"], partition=3)
    wait_until(lambda: any(item.raw == b"three" for item in polled(source, 10, 0.005)), what="the record of the new partition")


def test_records_written_at_the_moment_of_the_look_make_no_silent_consumer(
    kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names, counts: Counts
) -> None:
    """A partition in which a record comes now and then may have a new one just when the consumer is doubted: the next poll gives it."""
    topic = kafka_broker.create_topic(unique_name("seldom"))
    kafka_broker.send(topic, [b"one"])
    source = opened([topic], settings=kafka_settings.model_copy(update={"silent_after_s": 2 * WITHIN_S}))
    read(source, 1)
    source._silent_s = 3 * WITHIN_S
    kafka_broker.send(topic, [b"two"])
    assert [item.raw for item in read(source, 1)] == [b"two"]
    assert "soc_kafka_consumers_replaced_total" not in counts.counted


def test_a_consumer_that_fell_silent_is_replaced(
    kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names, counts: Counts
) -> None:
    """A consumer that says nothing although there are records is noticed, replaced, and its partitions are read on."""
    topic = kafka_broker.create_topic(unique_name("silent"))
    kafka_broker.send(topic, [b"one"])
    source = opened([topic], settings=kafka_settings.model_copy(update={"silent_after_s": 2.0}))
    commit(source, read(source, 1))
    source._consumer.pause(*source._consumer.assignment())  # as silent as a consumer stranded in a rejoin
    kafka_broker.send(topic, [b"two"])
    assert [item.raw for item in read(source, 1)] == [b"two"]
    assert counts.counted["soc_kafka_consumers_replaced_total"] >= 1


def test_a_consumer_without_assignment_is_replaced(
    kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names, counts: Counts
) -> None:
    """A consumer that lost its place in the group without noticing is replaced."""
    topic = kafka_broker.create_topic(unique_name("unassigned"))
    kafka_broker.send(topic, [b"one"])
    source = opened([topic], settings=kafka_settings.model_copy(update={"silent_after_s": 2.0}))
    commit(source, read(source, 1))
    source._consumer.unsubscribe()
    kafka_broker.send(topic, [b"two"])
    assert [item.raw for item in read(source, 1)] == [b"two"]
    assert counts.counted["soc_kafka_consumers_replaced_total"] >= 1


def test_more_workers_than_partitions_is_no_fault(
    kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names, counts: Counts
) -> None:
    """A member that rightly has no partition is left in peace, and has no lag."""
    topic = kafka_broker.create_topic(unique_name("idle"))
    settings = kafka_settings.model_copy(update={"silent_after_s": 2 * WITHIN_S})
    with Member(opened([topic], settings=settings)) as first, Member(opened([topic], settings=settings)) as second, kafka_broker.admin() as admin:
        wait_until(lambda: _is_settled(admin, settings.group, 2), what="both are members")
        for member in (first, second):  # from here on silence is looked into
            member.source._settings = kafka_settings.model_copy(update={"silent_after_s": 2.0})
        wait_until(lambda: sorted(map(len, (first.source.lag(), second.source.lag()))) == [0, 1], what="one has nothing to do")
        assert "soc_kafka_consumers_replaced_total" not in counts.counted


def _is_settled(admin: Any, group: str, members: int) -> bool:
    said = admin.describe_groups([group])[group]
    return said["group_state"] == "Stable" and len(said["members"]) == members


def test_lag_is_known_without_asking(kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names) -> None:
    """Lag is at least 1 before anything is assigned, then what is left, then 0."""
    topic = kafka_broker.create_topic(unique_name("lag"))
    kafka_broker.send(topic, [b"%d" % number for number in range(30)])
    source = opened([topic], settings=kafka_settings)
    assert sum(source.lag().values()) == 1
    got: list[Any] = []
    while not got:
        got += polled(source, 10)
    assert sum(source.lag().values()) == 30 - len(got)
    read(source, 30 - len(got))
    assert sum(source.lag().values()) == 0
    assert not source.exhausted()


def test_a_second_worker_takes_over_and_gives_back(kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names) -> None:
    """A join moves only some partitions, a leave brings them back; every record is read, and the lost ones are told."""
    topic = kafka_broker.create_topic(unique_name("rebalance"), partitions=4)
    with Member(opened([topic], settings=kafka_settings)) as first:
        wait_until(lambda: len(first.partitions()) == 4, what="all partitions with the first")
        second_source = opened([topic], settings=kafka_settings)
        with Member(second_source) as second:
            wait_until(lambda: len(first.partitions()) == 2 == len(second.partitions()), what="two each")
            assert first.partitions().isdisjoint(second.partitions())
            lost: set[str] = set()
            wait_until(lambda: lost.update(first.source.lost()) or lost >= second.partitions(), what="the lost ones are told")  # type: ignore[func-returns-value]  # gathers
            for number in range(4):
                kafka_broker.send(topic, [b"%d" % number] * 3, partition=number)
            wait_until(lambda: len(first.got) >= 6 <= len(second.got), what="the records of both")
        commit(second_source, second.got)
        second_source.close()
        kafka_broker.send(topic, [b"late"], partition=int(second.got[0].partition.rpartition("/")[2]))
        wait_until(lambda: any(item.raw == b"late" for item in first.got), what="the first has the partition again")
        wait_until(lambda: len({(item.partition, item.seq) for item in [*first.got, *second.got]}) == 13, what="every record")


def test_a_worker_that_waits_for_its_store_does_not_hold_up_the_group(
    kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nobody takes its records a worker stays a member, lets others join, and goes on exactly where it stood."""
    monkeypatch.setattr(source_module, "HOLD_EVERY_S", 0.0)
    topic = kafka_broker.create_topic(unique_name("hold"), partitions=2)
    for partition in (0, 1):
        kafka_broker.send(topic, [b"%d" % number for number in range(20)], partition=partition)
    first = opened([topic], settings=kafka_settings)
    before: list[Any] = []
    while len(before) < 10:
        before += polled(first, 10)
    commit(first, before)
    with Member(opened([topic], settings=kafka_settings)) as second:
        wait_until(lambda: first.hold() is None and len(second.partitions()) == 1, what="the second has a partition")  # type: ignore[func-returns-value]  # called until it helps
        kept = next(name for name in first._placed.values() if name not in second.partitions())
        rest = read(first, 0, until=lambda got: any(item.partition == kept and item.seq == 19 for item in got))
    assert [item.seq for item in [*before, *rest] if item.partition == kept] == list(range(20))


def test_a_late_commit_for_a_lost_partition_is_left_out(kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names) -> None:
    """Committing what another worker has taken over does nothing and raises nothing."""
    topic = kafka_broker.create_topic(unique_name("late"))
    kafka_broker.send(topic, [b"one", b"two"])
    source = opened([topic], settings=kafka_settings)
    records = read(source, 2)
    source._consumer.unsubscribe()
    commit(source, records)
    source.commit({"kafka:other/topic/0": 5})


_WORKER = """
import sys, time
from soc.adapters.kafka.source import KafkaRecordSource
from soc.clock import SystemClock
from soc.config import KafkaSettings, KafkaSource
from tests.adapters.kafka.conftest import patiently, polled
settings = KafkaSettings.model_validate_json(sys.argv[1])
source = KafkaRecordSource(settings, {"gate": KafkaSource(type="kafka", topics=[sys.argv[2]])}, clock=SystemClock())
patiently(lambda: source.open({}))
while True:
    records = polled(source)
    print("has", len(source._placed), *(record.raw.decode() for record in records), flush=True)
"""


class _Worker:
    """A member of the group in a process of its own; it reads and never commits."""

    def __init__(self, settings: KafkaSettings, topic: str, folder: Path) -> None:
        self.out = folder / f"worker-{len(list(folder.iterdir()))}.txt"
        with self.out.open("w", encoding="utf-8") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _WORKER, settings.model_dump_json(), topic], stdout=out, env={**os.environ, "PYTHONPATH": "."}
            )

    def lines(self) -> list[list[str]]:
        """What it has said, in whole lines: how many partitions it had, and what it read (between them stands what is logged)."""
        lines = [line.split() for line in self.out.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
        return [words for first, *words in lines if first == "has"]

    def has_read(self) -> set[str]:
        """The records that it has read."""
        return {word for _, *words in self.lines() for word in words}

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(WITHIN_S)


def test_a_killed_worker_is_replaced_by_the_others(
    kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names, tmp_path: Path
) -> None:
    """What a killed member had read and not committed is read again by another one after the session time."""
    topic = kafka_broker.create_topic(unique_name("killed"), partitions=2)
    settings = kafka_settings.model_copy(update={"session_timeout_s": 6.0})
    source = opened([topic], settings=settings)
    worker = _Worker(settings, topic, tmp_path)
    ours: set[str] = set()
    numbers = count()

    def _is_theirs() -> bool:
        # Sent again and again: on a machine that stands still for longer than the session the partitions go to and fro.
        if not next(numbers) % 20:
            for partition in (0, 1):
                kafka_broker.send(topic, [b"%d-%d" % (partition, next(numbers))], partition=partition)
        ours.update(item.raw.decode() for item in polled(source))
        return bool(worker.has_read() - ours)

    wait_until(_is_theirs, what="the worker has read what the other has not")
    worker.kill()
    theirs = worker.has_read()
    assert theirs - ours
    read(source, 0, until=lambda got: theirs <= ours | {item.raw.decode() for item in got})


def test_a_static_worker_that_restarts_keeps_its_partitions(
    kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names, tmp_path: Path
) -> None:
    """With an instance id a killed worker that comes back within the session gets the same partitions, and nobody else loses any."""
    topic = kafka_broker.create_topic(unique_name("static"), partitions=2)
    settings = kafka_settings.model_copy(update={"session_timeout_s": 240.0, "silent_after_s": 240.0})
    source = opened([topic], settings=settings.model_copy(update={"instance_id": "one"}))
    worker = _Worker(settings.model_copy(update={"instance_id": "two"}), topic, tmp_path)
    wait_until(lambda: (polled(source, 10), len(source._placed) == 1 and any(line[0] == "1" for line in worker.lines()))[-1], what="one each")
    source.lost()
    theirs = 1 - next(which.partition for which in source._placed)
    worker.kill()
    kafka_broker.send(topic, [b"theirs"], partition=theirs)
    again = _Worker(settings.model_copy(update={"instance_id": "two"}), topic, tmp_path)
    try:
        # Within the session: after it anybody would get them.
        wait_until(lambda: (polled(source, 10), "theirs" in again.has_read())[-1], within_s=200, what="the worker reads on")
        assert source.lost() == set()
    finally:
        again.kill()


def test_positions_of_collectors_are_believed_only_where_configured(
    kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names, counts: Counts
) -> None:
    """On a trusted topic origin, times, host and marks come from the headers; an invalid position is ignored and counted."""
    topic = kafka_broker.create_topic(unique_name("trust"))
    sink = KafkaSink(kafka_settings, topic, clock=SystemClock())
    patiently(lambda: sink.write([record(7, truncated_bytes=5), record(8, heartbeat=True)]))
    sink.close()
    kafka_broker.send(topic, [b"forged"], headers=[("soc-pos", b"no position")])
    kafka_broker.send(topic, [b"plain"])
    trusted = read(opened([topic], settings=kafka_settings, trust=True), 4)
    assert [(item.origin, item.origin_seq, item.sub) for item in trusted[:2]] == [("collector:c1/edge", 7, 0), ("collector:c1/edge", 8, 0)]
    assert trusted[0].received_us == record(7).received_us
    assert (trusted[0].host, trusted[0].truncated_bytes, trusted[1].heartbeat) == ("192.0.2.1", 5, True)
    assert [(item.origin, item.origin_seq) for item in trusted[2:]] == [(trusted[0].partition, 2), (trusted[0].partition, 3)]
    assert counts.counted == {"soc_kafka_positions_invalid_total": 1}
    other = kafka_settings.model_copy(update={"group": kafka_settings.group + "-other"})
    foreign = read(opened([topic], settings=other), 4)
    assert [(item.origin, item.origin_seq, item.host) for item in foreign] == [(item.partition, item.seq, "") for item in foreign]


def test_a_record_without_a_value_becomes_a_fault(kafka_broker: Broker, kafka_settings: KafkaSettings, opened: Opens, unique_name: Names) -> None:
    """A tombstone of a compacted topic ends as a dead letter, not as an error."""
    from kafka import KafkaProducer

    topic = kafka_broker.create_topic(unique_name("tombstone"))
    with KafkaProducer(bootstrap_servers=kafka_broker.bootstrap) as producer:
        producer.send(topic, None, key=b"k").get(timeout=WITHIN_S)
    (only,) = read(opened([topic], settings=kafka_settings), 1)
    assert (only.raw, only.fault) == (b"", "a record without a value")


def test_the_shortest_poll_is_long_enough_for_a_rejoin() -> None:
    """Polls are never shorter than what was measured to be safe."""
    assert source_module.LEAST_POLL_S >= 0.5


@pytest.mark.parametrize("timestamp", [-1, 0, 2**63 - 1, 1 << 53])
def test_a_time_that_no_clock_shows_is_not_believed(timestamp: int) -> None:
    """Whoever may write to a topic chooses its records' times; one beyond all calendars would fit no store and stop the pipeline for ever."""
    source = KafkaRecordSource(KafkaSettings(), {"gate": KafkaSource(type="kafka", topics=["t"])}, clock=FrozenClock(1_795_225_000_000_000))
    source._placed = {"t-0": "kafka:c/t/0"}
    [item] = source._records({_Placed("t-0"): [SimpleNamespace(value=b"x", offset=3, timestamp=timestamp, headers=[])]})
    assert item.received_us == 1_795_225_000_000_000


class _Placed(str):
    """A topic's partition, as the client names it."""

    __slots__ = ()
    topic = "t"
