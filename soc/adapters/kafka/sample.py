"""A look at topics beside their consumer group: what `soc sources test` and `soc doctor` read, disturbing nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soc.adapters.kafka.batches import Guard, Refused, guard
from soc.adapters.kafka.catalog import Catalog
from soc.adapters.kafka.health import explain
from soc.adapters.kafka.settings import REQUEST_TIMEOUT_MS, connection_options, translate
from soc.adapters.kafka.source import MOST_MS, refused
from soc.clock import Clock
from soc.config import KafkaSettings, KafkaSource
from soc.errors import SourceUnavailable
from soc.model.record import RawRecord


class KafkaSample:
    """The newest records of the topics of some sources; see `soc.ports.RecordSource` for `open`, `poll` and `close`.

    It asks for the group that workers are in, as rights are given to that one, and never becomes a member.
    """

    name = "kafka"

    def __init__(self, settings: KafkaSettings, sources: Mapping[str, KafkaSource], *, clock: Clock) -> None:
        self._settings = settings
        self._source_of = {topic: name for name, source in sources.items() for topic in source.topics}
        self._clock = clock
        self._consumer: Any = None
        self._guard: Guard | None = None

    def open(self, _positions: Mapping[str, int]) -> None:
        """Connect.   Raises: ConfigError for a missing topic, AccessDenied without a right to topic or group, SourceUnavailable."""
        from kafka import KafkaConsumer, TopicPartition
        from kafka.errors import KafkaError

        catalog = Catalog(self._settings)
        try:
            topics = catalog.require(self._source_of, running=False)
        finally:
            catalog.close()
        try:
            self._consumer = KafkaConsumer(
                **connection_options(self._settings),
                group_id=self._settings.group,
                auto_offset_reset="none",
                enable_auto_commit=False,
                isolation_level="read_committed",
                allow_auto_create_topics=False,
            )
        except KafkaError as error:
            raise explain(self._settings, error, "Kafka cannot be read") from error
        self._guard = guard(self._consumer, self._settings.max_batch_bytes)
        partitions = [TopicPartition(name, number) for name, topic in topics.items() for number in range(topic.partitions)]
        try:
            self._consumer.assign(partitions)
            self._consumer.committed(partitions[0], timeout_ms=REQUEST_TIMEOUT_MS)  # nobody else says whether we may use the group
        except KafkaError as error:
            raise translate(error, self._settings, "reading from Kafka") from error

    def poll(self, most: int, timeout_s: float) -> list[RawRecord]:
        """The newest `most` records, or fewer when there are no more or the time is up; each time the same.   Raises: AccessDenied, SourceUnavailable."""
        from kafka.errors import KafkaError

        if self._consumer is None or self._guard is None:
            raise SourceUnavailable("the Kafka source is not open")
        try:
            partitions = sorted(self._consumer.assignment())
            starts = self._consumer.beginning_offsets(partitions, timeout_ms=REQUEST_TIMEOUT_MS)
            ends = self._consumer.end_offsets(partitions, timeout_ms=REQUEST_TIMEOUT_MS)
            left = {}
            for which in partitions:
                begin = max(starts[which], ends[which] - most)
                self._consumer.seek(which, begin)
                left[which] = ends[which] > begin
            found: list[RawRecord] = []
            until = self._clock.monotonic() + max(timeout_s, _LEAST_S)
            while any(left.values()) and self._clock.monotonic() < until:
                self._guard.begin()
                for which, messages in self._consumer.poll(timeout_ms=_POLL_MS).items():
                    left[which] = messages[-1].offset + 1 < ends[which]
                    found += [self._record(which, message) for message in messages]
        except KafkaError as error:
            raise translate(error, self._settings, "reading from Kafka") from error
        return sorted(found, key=lambda record: record.received_us)[-most:]

    def _record(self, which: Any, message: Any) -> RawRecord:
        partition = f"{which.topic}/{which.partition}"
        received_us = message.timestamp * 1000 if 0 < message.timestamp < MOST_MS else self._clock.now_us()
        source, raw = self._source_of[which.topic], message.value or b""
        if isinstance(raw, Refused):
            return refused(raw, source, partition, message.offset, received_us)
        return RawRecord(
            *(source, partition, message.offset, message.offset + 1, raw[:_MOST_SHOWN], received_us, partition, message.offset),
            truncated_bytes=max(0, len(raw) - _MOST_SHOWN),
        )

    def close(self) -> None:
        """Disconnect; idempotent."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            consumer.close(autocommit=False, timeout_ms=1_000)


_LEAST_S = 5.0
"""Of waiting for records that are there: a first fetch takes some round trips."""
_POLL_MS = 500
_MOST_SHOWN = 1 << 20
"""Of a record: many long ones would fill the memory."""
