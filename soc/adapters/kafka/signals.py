"""The topic of signals: what ingest workers tell correlators, and how far each of them has read.

Each call of `append` writes one record (or a few) to every partition of the topic: the signals of the groups that live
there, and the marks of the source partitions. A record's marks hold for all signals before it: records that cannot be one
are written in two steps, marks last, so that a watermark never runs ahead of its signals, whatever is sent again.
A topic that was deleted is made anew, and told all that was known of time; one that somebody made anew is noticed.
Record times are those of writing: with event times the broker would delete a backlog of old events at once. Where
reading has to begin again after a rebalance is kept beside the position (`soc.application.correlate_topic`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from soc.adapters.kafka.batches import Guard, Refused, guard
from soc.adapters.kafka.catalog import Catalog, Topic
from soc.adapters.kafka.settings import REQUEST_TIMEOUT_MS, connection_options, quiet_client_log, translate
from soc.adapters.kafka.sink import ACKNOWLEDGE_S, KafkaSink
from soc.adapters.kafka.source import KafkaRecordSource
from soc.clock import Clock
from soc.config import KafkaSettings, KafkaSource
from soc.errors import ConfigError, Phrase, SocError, SourceUnavailable
from soc.model.record import RawRecord
from soc.model.signal import Signal
from soc.model.signal_record import encode
from soc.ports import Metrics
from soc.telemetry import get_logger

log = get_logger(__name__)

MOST_SIGNALS = 2_000
"""Of one record; about 250 KB."""
MOST_BYTES = 786_432
"""Of one record, below what brokers take by default with its head."""
READ_BACK_S = 30.0
"""Brokers that give nothing of what they have for so long are unavailable."""
LOOK_EVERY_S = 2.0
"""How often a writer asks whether the topic is still the one it was: brokers take records for another one of the same name without a word."""
TOPIC_SETTINGS = {"cleanup.policy": "delete", "message.timestamp.type": "CreateTime", "retention.ms": str(180 * 86_400_000)}
"""180 days: what the shipped correlations look back (`soc.rules.rebuild.look_back`), and a month for processes that stood still."""


class KafkaSignalLog:
    """See `soc.ports.SignalLog`; for one thread.

    `key_of`: the key of a signal; signals of one key are in one partition (`soc.rules.routes`).
    """

    def __init__(
        self,
        settings: KafkaSettings,
        key_of: Callable[[Signal], bytes],
        *,
        clock: Clock,
        metrics: Metrics | None = None,
        acknowledge_s: float = ACKNOWLEDGE_S,
    ) -> None:
        self._key_of = key_of
        self._clock = clock
        self._metrics = metrics
        self._begun: dict[str, int] = {}
        self._marked: dict[str, int] = {}
        self._told = ""
        """The id of the topic that knows both."""
        self._sink = _Sink(settings, settings.signals_topic, clock=clock, metrics=metrics, acknowledge_s=acknowledge_s)

    def append(self, signals: Sequence[Signal], marks: Mapping[str, int]) -> None:
        """Append signals, then marks; acknowledged by all in-sync replicas on return.   Cost: one round trip, with very many signals two.

        Raises: SourceUnavailable, AccessDenied, ConfigError. After an error the whole call is to be repeated.
        """
        if not signals and not marks:
            return
        while True:
            topic = self._sink.topic()
            if self._told != topic.id:
                self._begun.clear()
                if self._told:
                    log.warning("the topic of signals is another one; it is told anew how far all is", topic=self._sink.name, former=self._told, now=topic.id)
            self._write(signals, {**self._marked, **marks} if self._told != topic.id else marks, topic.partitions)
            if self._sink.known == topic:
                break  # else it became another one meanwhile, and may not have got everything
        self._told = topic.id
        self._marked.update({partition: max(mark, self._marked.get(partition, 0)) for partition, mark in marks.items()})
        if self._metrics is not None and signals:
            self._metrics.count("soc_signals_appended_total", len(signals))

    def _write(self, signals: Sequence[Signal], marks: Mapping[str, int], count: int) -> None:
        begun: dict[str, int] = {}
        placed: dict[int, list[Signal]] = {}
        for signal in signals:
            placed.setdefault(partition_of(self._key_of(signal), count), []).append(signal)
            scope = signal.key[0]
            if signal.ts < self._begun.get(scope, signal.ts + 1):
                begun[scope] = min(signal.ts, begun.get(scope, signal.ts))
        at_us = self._clock.now_us()
        first: list[RawRecord] = []
        last: list[RawRecord] = []
        for partition in range(count):
            own = placed.get(partition, [])
            if own or marks or begun:
                blocks = _blocks(at_us, marks, own, begun)
                first += [_record(partition, at_us, raw) for raw in blocks[:-1]]
                last.append(_record(partition, at_us, blocks[-1]))
        if first:
            self._sink.write(first)
        self._sink.write(last)
        self._begun |= begun

    def close(self) -> None:
        """Disconnect; idempotent."""
        self._sink.close()


class KafkaSignalSource(KafkaRecordSource):
    """The topic of signals as a source of records, shared by the members of the group of correlators; made when it is missing."""

    name = "signals"

    def __init__(self, settings: KafkaSettings, source: str, *, clock: Clock, metrics: Metrics | None = None) -> None:
        topic = KafkaSource(type="kafka", topics=[settings.signals_topic])
        super().__init__(settings.model_copy(update={"group": settings.correlate_group}), {source: topic}, clock=clock, metrics=metrics)

    def open(self, positions: Mapping[str, int]) -> None:
        require_topic(self._settings)
        super().open(positions)


def partition_of(key: bytes, count: int) -> int:
    """The partition of a key: the same on every machine and in every version."""
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big") % count


def _blocks(at_us: int, marks: Mapping[str, int], signals: Sequence[Signal], begun: Mapping[str, int]) -> list[bytes]:
    """Records for one partition; only the first one tells of scopes, and only the last one has the marks."""
    if len(signals) <= MOST_SIGNALS:
        raw = encode(at_us, marks, signals, begun)
        if len(raw) <= MOST_BYTES or len(signals) <= 1:
            return [raw]
    middle = len(signals) // 2
    return [*_blocks(at_us, {}, signals[:middle], begun), *_blocks(at_us, marks, signals[middle:], {})]


def _record(partition: int, at_us: int, raw: bytes) -> RawRecord:
    return RawRecord("", "", partition, partition + 1, raw, at_us, "", 0)


class _Sink(KafkaSink):
    """Writes records, `seq` naming the partition; makes the topic when it is missing."""

    def __init__(self, settings: KafkaSettings, topic: str, *, clock: Clock, metrics: Metrics | None, acknowledge_s: float) -> None:
        super().__init__(settings, topic, clock=clock, metrics=metrics, acknowledge_s=acknowledge_s)
        self.name = topic
        self.known = Topic("", 0)
        """The topic as it was when it was last asked for: with each producer, and now and then."""
        self._catalog: Catalog | None = None
        self._looked_at = 0.0

    def topic(self) -> Topic:
        """The topic as it is, a producer for it at hand; made when it is missing.

        Raises: ConfigError when it is missing and may not be made; SourceUnavailable, AccessDenied.
        """
        self._open()
        if self._clock.monotonic() - self._looked_at >= LOOK_EVERY_S:
            before = self.known
            self._require_topic()
            if self.known != before:
                self.close()  # what it knows of the topic is wrong
                self._open()
        return self.known

    def close(self) -> None:
        super().close()
        if self._catalog is not None:
            catalog, self._catalog = self._catalog, None
            catalog.close()

    def _put(self, producer: Any, record: RawRecord) -> Any:
        if record.seq >= self.known.partitions:  # a topic made anew with fewer of them; the client would raise no error of Kafka's
            raise SourceUnavailable(Phrase("topic {topic} has other partitions than before", topic=self._topic), retry_after_s=0.2)
        return producer.send(self._topic, record.raw, partition=record.seq, timestamp_ms=max(0, record.received_us // 1000))

    def _cut(self, record: RawRecord, error: Exception) -> RawRecord:
        raise ConfigError(
            Phrase("topic {topic} refuses a record of {size} bytes: {error}", topic=self._topic, size=len(record.raw), error=error),
            hint=Phrase("raise max.message.bytes of topic {topic}, at least to 1048588", topic=self._topic),
        ) from error

    def _require_topic(self) -> None:
        catalog, self._catalog = self._catalog or Catalog(self._settings), None
        try:
            self.known = _required(catalog, self._settings)
        except SocError:
            catalog.close()
            raise
        self._catalog, self._looked_at = catalog, self._clock.monotonic()


def require_topic(settings: KafkaSettings) -> int:
    """How many partitions the topic of signals has; it is created when it is missing.

    Raises: ConfigError when it is missing and may not be created; SourceUnavailable, AccessDenied.
    """
    catalog = Catalog(settings)
    try:
        return _required(catalog, settings).partitions
    finally:
        catalog.close()


def _required(catalog: Catalog, settings: KafkaSettings) -> Topic:
    topic = settings.signals_topic
    found = catalog.topics([topic])
    if topic not in found:
        catalog.create(topic, settings.signals_partitions, TOPIC_SETTINGS)
        found = catalog.require([topic], running=True)
    return found[topic]


class KafkaReadBack:
    """Reads records of the topic again, beside the consumer group; for one thread."""

    def __init__(self, settings: KafkaSettings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._consumer: Any = None
        self._guard: Guard | None = None

    def read(self, partition: str, begin: int, end: int) -> Iterator[bytes]:
        """The values of the records at [begin, end) of a partition (as `RawRecord.partition`), those that still exist.

        Raises: SourceUnavailable, AccessDenied.   Cost: as fast as the brokers give them; nothing is kept.
        """
        from kafka import TopicPartition
        from kafka.errors import KafkaError

        if begin >= end:
            return
        which = TopicPartition(self._settings.signals_topic, int(partition.rpartition("/")[2]))
        try:
            consumer = self._open()
            consumer.assign([which])
            start = consumer.beginning_offsets([which], timeout_ms=REQUEST_TIMEOUT_MS)[which]
            if start > begin:
                log.warning("signals that are still needed were deleted", topic=which.topic, partition=which.partition, first=begin, last=start - 1)
            at = max(begin, start)
            consumer.seek(which, at)
            silent_until = self._clock.monotonic() + READ_BACK_S
            while at < end:
                if self._guard is not None:
                    self._guard.begin()
                records = consumer.poll(timeout_ms=500, max_records=2_000).get(which, ())
                for record in records:
                    if record.offset < end and record.value is not None and not isinstance(record.value, Refused):
                        yield record.value
                at = consumer.position(which, timeout_ms=REQUEST_TIMEOUT_MS)
                if records:
                    silent_until = self._clock.monotonic() + READ_BACK_S
                elif self._clock.monotonic() > silent_until:
                    raise SourceUnavailable(Phrase("topic {name} does not give its records {first} to {last}", name=which.topic, first=at, last=end - 1))
        except KafkaError as error:
            self.close()
            raise translate(error, self._settings, Phrase("reading topic {name} again", name=which.topic)) from error

    def _open(self) -> Any:
        if self._consumer is None:
            from kafka import KafkaConsumer

            quiet_client_log()
            self._consumer = KafkaConsumer(
                **connection_options(self._settings), enable_auto_commit=False, isolation_level="read_committed", allow_auto_create_topics=False
            )
            self._guard = guard(self._consumer, self._settings.max_batch_bytes)
        return self._consumer

    def close(self) -> None:
        """Disconnect; idempotent."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            consumer.close(autocommit=False, timeout_ms=1_000)


def log_keeps(settings: KafkaSettings) -> int | None:
    """For how many microseconds the topic of signals keeps its records; None for ever, without such a topic, or for who may not know.

    Raises: SourceUnavailable, AccessDenied, ConfigError.
    """
    quiet_client_log()
    catalog = Catalog(settings)
    try:
        kept = catalog.setting(settings.signals_topic, "retention.ms") if settings.signals_topic in catalog.topics([settings.signals_topic]) else None
    finally:
        catalog.close()
    return int(kept) * 1_000 if kept is not None and int(kept) >= 0 else None


def log_ends(settings: KafkaSettings) -> dict[str, int]:
    """Where each partition of the topic of signals ends, by the name that positions have; {} when there is no such topic.

    Raises: SourceUnavailable, AccessDenied, ConfigError.
    """
    from kafka import KafkaConsumer, TopicPartition
    from kafka.errors import KafkaError

    quiet_client_log()
    catalog = Catalog(settings)
    try:
        found = catalog.topics([settings.signals_topic]).get(settings.signals_topic)
        cluster = catalog.cluster_id
    finally:
        catalog.close()
    if found is None:
        return {}
    try:
        with KafkaConsumer(**connection_options(settings)) as consumer:
            which = [TopicPartition(settings.signals_topic, number) for number in range(found.partitions)]
            ends = consumer.end_offsets(which, timeout_ms=REQUEST_TIMEOUT_MS)
    except KafkaError as error:
        raise translate(error, settings, Phrase("asking Kafka for topic {name}", name=settings.signals_topic)) from error
    return {f"kafka:{cluster}/{found.id}/{one.partition}": int(end) for one, end in ends.items()}
