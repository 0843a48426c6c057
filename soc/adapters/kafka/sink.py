"""Spooled or filed records carried on to a Kafka topic, under the positions at which they were first collected.

Delivery: at least once. A record is acknowledged by all in-sync replicas before its source is told; what is sent twice,
after a lost answer, a killed process or a producer that became fatal, carries the same `soc-pos` and becomes one event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from soc.adapters.kafka.health import explain, reachable
from soc.adapters.kafka.position import write_headers
from soc.adapters.kafka.settings import connection_options, missing_topic, quiet_client_log, servers, translate
from soc.clock import Clock
from soc.config import KafkaSettings
from soc.errors import ConfigError, Phrase, SourceUnavailable
from soc.model.record import RawRecord
from soc.ports import CrashPoint, Metrics, RecordSource, no_crash
from soc.telemetry import get_logger

log = get_logger(__name__)

MAX_REQUEST_BYTES = 1_048_576
"""What brokers take by default (`message.max.bytes`), headers included."""
LEAST_BYTES = 1_024
"""A record is cut in halves until the topic takes it; a topic that refuses this is set up wrongly."""
ACKNOWLEDGE_S = 60.0
"""A killed broker stalls acknowledgements for up to 12 s with the brokers' defaults."""
BATCH = 2_000


class KafkaSink:
    """Writes records to one topic; for one thread.

    A producer that met an error that cannot be retried stays unusable for ever: it is closed, and a new one sends what is
    not acknowledged.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        *,
        clock: Clock,
        metrics: Metrics | None = None,
        acknowledge_s: float = ACKNOWLEDGE_S,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._clock = clock
        self._metrics = metrics
        self._acknowledge_s = acknowledge_s
        self._producer: Any = None

    def write(self, records: Sequence[RawRecord]) -> None:
        """All records are in the topic, acknowledged, on return; in order per host. Too large ones are cut, and say so.

        Raises: SourceUnavailable, AccessDenied, ConfigError (no such topic). After an error some may be written: write the same again.
        """
        left = list(records)
        alone = False
        deadline = self._clock.monotonic() + self._acknowledge_s
        while left:
            before = len(left)
            left, error = self._send_alone(left) if alone else self._send(left)
            if error is None:
                return
            self._replace(error)
            if _is_size(error):
                if alone:
                    left[0] = self._cut(left[0], error)
                alone = True  # which record of a refused batch is too large shows only when each is sent by itself
            if len(left) < before or _is_size(error):
                deadline = self._clock.monotonic() + self._acknowledge_s
            elif self._clock.monotonic() > deadline:
                raise translate(error, self._settings, Phrase("writing to topic {topic}", topic=self._topic)) from error

    def close(self) -> None:
        """Disconnect; idempotent. Nothing is in flight after `write`."""
        if self._producer is not None:
            from kafka.errors import KafkaError

            producer, self._producer = self._producer, None
            try:
                producer.close(timeout=1)
            except KafkaError as error:
                # It still holds records that nobody acknowledged; they are sent again, and the client ends only when it gives them up.
                log.debug("producer closed with records in it", error=type(error).__name__)
                producer._sender.force_close()  # noqa: SLF001 - close itself waits for them and raises
                with suppress(KafkaError):
                    producer.close(timeout=1)

    def _send(self, records: Sequence[RawRecord]) -> tuple[list[RawRecord], Exception | None]:
        """What is not acknowledged, in order, and the first error."""
        from kafka.errors import KafkaError

        producer = self._open()
        futures: list[Any] = []
        first: Exception | None = None
        for record in records:
            try:
                futures.append(self._put(producer, record))
            except KafkaError as error:
                first = error
                break  # what comes after a failed record of the same host must not overtake it
        left: list[RawRecord] = []
        until = self._clock.monotonic() + self._acknowledge_s
        for record, future in zip(records, futures, strict=False):
            try:
                future.get(timeout=max(0.0, until - self._clock.monotonic()))
            except KafkaError as error:
                left.append(record)
                first = error if len(left) == 1 else first
        return [*left, *records[len(futures) :]], first

    def _send_alone(self, records: Sequence[RawRecord]) -> tuple[list[RawRecord], Exception | None]:
        """The same, up to the first record that is refused."""
        from kafka.errors import KafkaError

        producer = self._open()
        for number, record in enumerate(records):
            try:
                self._put(producer, record).get(timeout=self._acknowledge_s)
            except KafkaError as error:
                return list(records[number:]), error
        return [], None

    def _put(self, producer: Any, record: RawRecord) -> Any:
        key = (record.host or record.origin).encode("utf-8", "replace")
        return producer.send(self._topic, record.raw, key=key, headers=write_headers(record), timestamp_ms=max(0, record.received_us // 1000))

    def _replace(self, error: Exception) -> None:
        """Give the producer up.

        Raises: what a new one cannot mend.
        """
        from kafka import errors

        self.close()
        self._count("soc_kafka_producers_replaced_total", cause=type(error).__name__)
        if isinstance(error, errors.AuthorizationError | errors.SaslAuthenticationFailedError):
            raise translate(error, self._settings, Phrase("writing to topic {topic}", topic=self._topic)) from error
        log.warning("producer replaced, sending again", topic=self._topic, error=type(error).__name__)
        self._clock.sleep(0.2)

    def _cut(self, record: RawRecord, error: Exception) -> RawRecord:
        size = len(record.raw)
        if size <= LEAST_BYTES:
            raise ConfigError(
                Phrase("topic {topic} refuses a record of {size} bytes: {error}", topic=self._topic, size=size, error=error),
                hint=Phrase("raise max.message.bytes of topic {topic}, at least to 1048588", topic=self._topic),
            ) from error
        keep = size // 2 if size < MAX_REQUEST_BYTES - 4_096 else MAX_REQUEST_BYTES - 4_096 - 1
        self._count("soc_kafka_records_cut_total", topic=self._topic)
        whole = size + record.truncated_bytes
        fault = f"{whole} bytes are more than topic {self._topic} takes; the rest was cut off"
        return msgspec.structs.replace(record, raw=record.raw[:keep], truncated_bytes=whole - keep, fault=record.fault or fault)

    def _open(self) -> Any:
        if self._producer is None:
            from kafka import KafkaProducer
            from kafka.errors import KafkaError

            quiet_client_log()
            doing = f"topic {self._topic} cannot be written"
            reachable(self._settings, doing)
            self._require_topic()
            try:
                self._producer = KafkaProducer(
                    **connection_options(self._settings),
                    acks="all",
                    enable_idempotence=True,
                    compression_type=None if self._settings.compression == "none" else self._settings.compression,
                    linger_ms=5,
                    batch_size=131_072,
                    max_request_size=MAX_REQUEST_BYTES,
                    max_block_ms=10_000,
                    delivery_timeout_ms=round(self._acknowledge_s * 1000) + 31_000,
                    allow_auto_create_topics=False,
                )
            except KafkaError as error:
                raise explain(self._settings, error, doing) from error
        return self._producer

    def _require_topic(self) -> None:
        from soc.adapters.kafka.catalog import Catalog

        catalog = Catalog(self._settings)
        try:
            if self._topic not in catalog.topics([self._topic], right="WRITE"):
                message, hint = missing_topic(self._settings, catalog.cluster_id, self._topic)
                raise ConfigError(message, hint=hint)
        finally:
            catalog.close()

    def _count(self, name: str, **labels: str) -> None:
        if self._metrics is not None:
            self._metrics.count(name, 1, **labels)


def _is_size(error: Exception) -> bool:
    from kafka import errors

    return isinstance(error, errors.MessageSizeTooLargeError | errors.RecordListTooLargeError)


class KafkaForwarder:
    """Carries the records of a source (a stream of the spool, files) on to a topic; see `soc.application.app.Forwarder`.

    The source is told what is safe only after the brokers have acknowledged it; killed in between, the same records are
    sent again under the same positions.
    """

    def __init__(
        self, settings: KafkaSettings, source: RecordSource, topic: str, *, clock: Clock, metrics: Metrics | None = None, crash: CrashPoint = no_crash
    ) -> None:
        self._source = source
        self._crash = crash
        self._sink = KafkaSink(settings, topic, clock=clock, metrics=metrics)
        self._unwritten: list[RawRecord] = []
        self._uncommitted: Mapping[str, int] = {}
        self._where = f"topic {topic} at {servers(settings)}"

    def step(self, timeout_s: float) -> int:
        """Carry on what is there, waiting up to `timeout_s` for the first; how many records.

        Raises: Unreachable, AccessDenied, ConfigError; nothing is skipped: the next call goes on with the same records.
        """
        if not self._unwritten:
            self._unwritten = self._source.poll(BATCH, timeout_s)
        if not self._unwritten:
            return 0
        self._sink.write(self._unwritten)
        self._crash("forward.acknowledged")
        written, self._unwritten = self._unwritten, []
        self._uncommitted = {**self._uncommitted, **{record.partition: record.next for record in written}}
        try:
            self._source.commit(self._uncommitted)
        except SourceUnavailable as error:
            log.warning("source not told, told again with the next records", to=self._where, error=error.message)
        else:
            self._uncommitted = {}
        self._crash("forward.told")
        return len(written)

    def close(self) -> None:
        """Disconnect from Kafka; the source stays whose it is. Idempotent."""
        self._sink.close()
