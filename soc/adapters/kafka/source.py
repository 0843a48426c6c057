"""Records of Kafka topics: one consumer per process for all sources of type `kafka`.

What the client does not do by itself is done here: positions come from the store, ranges are checked, a topic that was
created anew is another partition, and a consumer that fell silent is replaced.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from soc.adapters.kafka.batches import Guard, Refused, guard
from soc.adapters.kafka.catalog import Catalog, Topic
from soc.adapters.kafka.health import explain
from soc.adapters.kafka.position import read_headers
from soc.adapters.kafka.settings import MAX_POLL_INTERVAL_MS, REQUEST_TIMEOUT_MS, connection_options, servers, translate
from soc.clock import Clock
from soc.config import KafkaSettings, KafkaSource
from soc.errors import AccessDenied, ConfigError, Phrase, SourceUnavailable
from soc.model.record import RawRecord
from soc.ports import Metrics
from soc.telemetry import get_logger

log = get_logger(__name__)

LEAST_POLL_S = 0.5
"""Shorter polls can strand a rejoin after changed metadata: the consumer then says nothing for ever (4 of 4 at 5 ms, 0 of 4 at 500)."""
TOPIC_CHECK_S = 0.0
"""After every poll that gave records: those of a topic deleted and created anew must not pass under the old one's name. A look-up a poll is nothing beside its batch."""
IDLE_CHECK_S = 2.0
"""The same while nothing comes: a missing topic is silent, the client only polls on."""
OFFSETS_TIMEOUT_MS = 10_000
"""For asking where a log begins and ends; asked again at the next poll."""
ENDS_EVERY_S = 5.0
"""How often the brokers are asked whether partitions that say nothing have nothing to say."""
HOLD_EVERY_S = 3.0
"""While the pipeline is behind, the group hears of us this often."""
MOST_MS = (1 << 53) // 1000
"""Any producer may write any time into a record; beyond the year 2255 it is none, and would fit no store."""


class KafkaRecordSource:
    """See `RecordSource`. For one thread, but `lag` may be read by others.

    `partition` = `kafka:<cluster id>/<topic id>/<number>`. Back-pressure: records wait in the
    broker, and `hold` keeps the membership. Order: per partition. Delivery: at least once.
    """

    name = "kafka"

    def __init__(
        self, settings: KafkaSettings, sources: Mapping[str, KafkaSource], *, clock: Clock, metrics: Metrics | None = None, metadata_max_age_s: float = 30.0
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._metadata_max_age_ms = round(metadata_max_age_s * 1000)
        self._by_topic = _by_topic(sources)
        self._positions: dict[str, int] = {}
        self._fresh: Callable[[], Mapping[str, int]] | None = None
        self._catalog: Catalog | None = None
        self._consumer: Any = None
        self._guard: Guard | None = None
        self._topics: dict[str, Topic] = {}
        self._checked_at = 0.0
        self._polled_at = 0.0
        self._placed: dict[Any, str] = {}
        self._resume: dict[str, int] = {}
        self._stuck: dict[Any, float] = {}
        self._moved: deque[tuple[Any, ...]] = deque()
        self._lost: set[str] = set()
        self._lost_ranges: list[tuple[str, int, int]] = []
        self._lag: dict[str, int] = {"kafka:unassigned": 1}
        self._handed: dict[str, int] = {}
        self._durable: dict[str, int] = {}
        self._idle: dict[str, int] | None = None
        self._asked_at = -ENDS_EVERY_S
        self._silent_s = 0.0
        self._broken = ""
        self._waited = False
        self._behind: dict[Any, int] = {}

    def follow_positions(self, fresh: Callable[[], Mapping[str, int]]) -> None:
        """Ask `fresh` for the store's positions whenever partitions are taken over: other workers move them on."""
        self._fresh = fresh

    def open(self, positions: Mapping[str, int]) -> None:
        self._positions = dict(positions)
        self._catalog = self._catalog or Catalog(self._settings)
        if self._consumer is None:
            self._begin(running=False)

    def rewind(self, positions: Mapping[str, int]) -> None:
        """Go on at these positions without leaving the group."""
        self._positions = dict(positions)
        self._resume.clear()
        self._placed.clear()
        self._stuck.clear()

    def poll(self, most: int, timeout_s: float) -> list[RawRecord]:
        if self._catalog is None:
            raise SourceUnavailable("the Kafka source is not open")
        self._polled_at = began = self._clock.monotonic()
        polled = self._poll(most, timeout_s)
        self._check_topics(polled, TOPIC_CHECK_S if polled else IDLE_CHECK_S)
        records = self._records(polled)
        self._look_for_idle()
        self._silent_s = 0.0 if records else self._silent_s + self._clock.monotonic() - began
        self._measure_lag()
        return records

    def hold(self) -> None:
        """Stay a member of the group while nobody takes records: a group waits for a member that does not poll."""
        if self._consumer is None or self._broken or self._clock.monotonic() - self._polled_at < HOLD_EVERY_S:
            return
        from kafka.errors import KafkaError

        self._polled_at = self._clock.monotonic()
        paused = [which for which in self._consumer.assignment() if which not in self._stuck]
        try:
            self._consumer.pause(*paused)
            # Partitions that come during this poll are not paused: they are not placed either, so what comes of them is read again.
            self._take(LEAST_POLL_S)
            self._consumer.resume(*[which for which in paused if which in self._consumer.assignment()])
        except (KafkaError, ValueError, KeyError) as error:
            log.debug("not polled while waiting", error=type(error).__name__)
            self._broken = "hold failed"

    def _poll(self, most: int, timeout_s: float) -> Mapping[Any, Sequence[Any]]:
        from kafka import errors

        try:
            self._watch()
            self._place()
            # Partitions that come during the poll are placed by the next one: what it gives of them is not used.
            polled = self._take(max(timeout_s, LEAST_POLL_S), most)
        except errors.NoOffsetForPartitionError:
            polled = {}
        except errors.OffsetOutOfRangeError as error:
            self._out_of_range(error)
            polled = {}
        except errors.KafkaError as error:
            if not isinstance(error, errors.RetriableError):
                self._broken = type(error).__name__
            raise translate(error, self._settings, "reading from Kafka") from error
        self._forget_moved()
        return polled

    def _take(self, timeout_s: float, most: int | None = None) -> Mapping[Any, Sequence[Any]]:
        if self._guard is not None:
            self._guard.begin()
        taken: Mapping[Any, Sequence[Any]] = self._consumer.poll(timeout_ms=round(timeout_s * 1000), max_records=most)
        return taken

    def commit(self, positions: Mapping[str, int]) -> None:
        from kafka import OffsetAndMetadata, errors

        self._positions.update(positions)
        self._durable.update(positions)
        offsets = {
            # The topic's id goes along: an offset of a topic that was deleted says nothing of its successor.
            which: OffsetAndMetadata(positions[name], self._topics[which.topic].id, -1)
            for which, name in self._placed.items()
            if name in positions
        }
        if not offsets or self._consumer is None:
            return
        try:
            self._consumer.commit(offsets, timeout_ms=REQUEST_TIMEOUT_MS)
        except (
            errors.CommitFailedError,
            errors.IllegalGenerationError,
            errors.UnknownMemberIdError,
            errors.RebalanceInProgressError,
            errors.UnknownTopicOrPartitionError,
        ) as error:
            # The effects are durable; whoever has the partitions now reads on from the store's positions.
            log.warning("commit refused, partitions were taken over", error=type(error).__name__, partitions=len(offsets))
            self._count("soc_kafka_commits_refused_total")
        except errors.KafkaError as error:
            raise translate(error, self._settings, "committing to Kafka") from error

    def lost(self) -> set[str]:
        self._forget_moved()
        lost, self._lost = self._lost, set()
        return lost

    def take_lost_ranges(self) -> list[tuple[str, int, int]]:
        """Ranges (partition, first, last) that the broker deleted before they were read, since the last call."""
        ranges, self._lost_ranges = self._lost_ranges, []
        return ranges

    def lag(self) -> dict[str, int]:
        return dict(self._lag)

    def lag_of(self, source: str) -> dict[str, int]:
        """The part of `lag` that is of one source; {} when this process has none of its partitions."""
        lag = self.lag()
        if "kafka:unassigned" in lag:
            return lag
        names = [name for which, name in dict(self._placed).items() if self._by_topic[which.topic][0] == source]
        return {name: lag.get(name, 0) for name in names}

    def partitions(self) -> list[str]:
        """Every partition that there is to read, here or by other workers of the group; [] before the source is open."""
        catalog = self._catalog
        if catalog is None:
            return []
        return [f"kafka:{catalog.cluster_id}/{topic.id}/{number}" for topic in self._topics.values() for number in range(topic.partitions)]

    def idle(self) -> dict[str, int]:
        """Partitions of this worker of which all records are durable, and the time at which there were no others; asked for from now on."""
        if self._idle is None:
            self._idle = {}
        return self._idle

    def exhausted(self) -> bool:
        return False

    def close(self) -> None:
        self._end()
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None

    # the consumer's life ------------------------------------------------------------------------------------------

    def _begin(self, *, running: bool) -> None:
        from kafka import KafkaConsumer
        from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
        from kafka.errors import KafkaError

        assert self._catalog is not None
        self._topics = self._catalog.require(self._by_topic, running=running)
        self._checked_at = self._clock.monotonic()
        session_ms = round(self._settings.session_timeout_s * 1000)
        doing = "Kafka cannot be read"
        try:
            consumer = KafkaConsumer(
                **connection_options(self._settings),
                group_id=self._settings.group,
                group_instance_id=self._settings.instance_id or None,
                partition_assignment_strategy=[CooperativeStickyAssignor],
                session_timeout_ms=session_ms,
                heartbeat_interval_ms=min(3_000, session_ms // 3),
                max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
                metadata_max_age_ms=self._metadata_max_age_ms,
                auto_offset_reset="none",  # a position out of range is ours to judge, never silently another one
                enable_auto_commit=False,
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                max_partition_fetch_bytes=4 << 20,
            )
        except KafkaError as error:
            raise explain(self._settings, error, doing) from error
        try:
            self._guard = guard(consumer, self._settings.max_batch_bytes)
            self._await_metadata(consumer)
            consumer.subscribe(topics=list(self._by_topic), listener=_listener(self._moved))
        except KafkaError as error:
            consumer.close(autocommit=False, timeout_ms=1_000)
            raise translate(error, self._settings, doing) from error
        except ConfigError:
            consumer.close(autocommit=False, timeout_ms=1_000)
            raise
        self._consumer, self._broken, self._silent_s, self._waited, self._behind = consumer, "", 0.0, False, {}

    def _await_metadata(self, consumer: Any) -> None:
        # A first assignment made before the topics are known stays empty (3 of 48; with this wait 0 of 48).
        deadline = self._clock.monotonic() + self._settings.bootstrap_timeout_s
        while not all(consumer.partitions_for_topic(topic) for topic in self._by_topic):
            if self._clock.monotonic() > deadline:
                consumer.close(autocommit=False, timeout_ms=1_000)
                raise SourceUnavailable(Phrase("Kafka at {servers} does not say which partitions the topics have", servers=servers(self._settings)))
            self._clock.sleep(0.05)

    def _end(self) -> None:
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            consumer.close(autocommit=False, timeout_ms=5_000)
        self._forget_moved()
        self._lost |= set(self._placed.values())
        self._placed.clear()
        self._stuck.clear()
        self._lag = {"kafka:unassigned": 1}

    def _watch(self) -> None:
        """Make sure that there is a consumer that can be believed when it says nothing."""
        if self._consumer is not None and not self._broken and self._silent_s >= self._settings.silent_after_s:
            self._silent_s = 0.0
            self._broken = self._silence_cause()
        if self._broken:
            log.warning("consumer replaced", cause=self._broken, group=self._settings.group)
            self._count("soc_kafka_consumers_replaced_total", cause=self._broken)
            self._broken = ""
            self._end()
        if self._consumer is None:
            self._begin(running=True)

    def _silence_cause(self) -> str:
        assert self._catalog is not None
        said = self._catalog.membership(self._settings.group, self._consumer.group_metadata().member_id)
        if said == "rebalancing":
            # The group may wait for another worker; if it still does at the next look, it may as well be for us.
            self._waited, waited = True, self._waited
            return "rebalance does not end" if waited else ""
        self._waited = False
        assigned = self._consumer.assignment()
        if not assigned:
            if said == "member":
                self._lag = {}  # more workers than partitions: nothing to do is no fault
                return ""
            return "no assignment"
        standing = self._standing(assigned)
        ends = self._ask(self._consumer.end_offsets, standing, REQUEST_TIMEOUT_MS)
        behind = {which: at for which in standing if which not in self._stuck and ends[which] > (at := self._position(which))}
        # Of records that were written just now the next poll gives some: what is behind at the same place after it stays so.
        before, self._behind = self._behind, behind
        if behind and not behind.items() & before.items():
            self._silent_s = self._settings.silent_after_s
            return ""
        return "lag without records" if behind else ""

    def _look_for_idle(self) -> None:
        """Ask the brokers for the ends of partitions that seem to be read to the end, now and then."""
        from kafka.errors import KafkaError

        now = self._clock.monotonic()
        if self._idle is None or now - self._asked_at < ENDS_EVERY_S:
            return
        done = {which: name for which, name in self._placed.items() if self._durable.get(name, -1) >= self._handed.get(name, 0)}
        self._asked_at = now
        self._idle = {}
        if not done:
            return
        now_us = self._clock.now_us()  # before the question: what was written until then is counted in the answer
        try:
            ends = self._ask(self._consumer.end_offsets, list(done), OFFSETS_TIMEOUT_MS)
        except (KafkaError, SourceUnavailable) as error:
            log.debug("ends of partitions not known", error=type(error).__name__)
            return
        self._idle = {name: now_us for which, name in done.items() if self._position(which) >= ends[which]}

    def _forget_moved(self) -> None:
        while self._moved:
            for which in self._moved.popleft():
                name = self._placed.pop(which, None)
                self._stuck.pop(which, None)
                if name is not None:
                    self._lost.add(name)
                if which.topic in self._topics:
                    self._resume.pop(self._partition(which), None)

    # positions ----------------------------------------------------------------------------------------------------

    def _place(self) -> None:
        """Seek every newly assigned partition to where the store, else the group, else the log's start says."""
        self._forget_moved()
        now = self._clock.monotonic()
        fresh = [which for which in self._consumer.assignment() if which not in self._placed and self._stuck.get(which, 0.0) <= now]
        if not fresh:
            return
        self._check_topics({}, 0.0)  # of a topic that is gone the next calls would ask until they time out
        fresh = self._standing(fresh)
        if not fresh:
            return
        if self._fresh is not None:
            self._positions.update(self._fresh())
        starts = self._ask(self._consumer.beginning_offsets, fresh, OFFSETS_TIMEOUT_MS)
        ends = self._ask(self._consumer.end_offsets, fresh, OFFSETS_TIMEOUT_MS)
        for which in fresh:
            self._place_one(which, starts[which], ends[which])

    def _standing(self, assigned: Iterable[Any]) -> list[Any]:
        """Those that there are: of a topic created anew with fewer partitions the group still hands out the others for a while."""
        return [which for which in assigned if which.topic in self._topics and which.partition < self._topics[which.topic].partitions]

    def _ask(self, ask: Callable[..., dict[Any, int]], partitions: Sequence[Any], timeout_ms: int) -> dict[Any, int]:
        """Offsets of partitions.   Raises: SourceUnavailable for one that the brokers do not know at the moment; what the client raises."""
        try:
            return ask(partitions, timeout_ms=timeout_ms)
        except KeyError as error:  # what the client says to a partition that went between its question and the answer
            raise SourceUnavailable(
                Phrase("Kafka at {servers} does not know partition {partition}", servers=servers(self._settings), partition=error), retry_after_s=1.0
            ) from error

    def _place_one(self, which: Any, start: int, end: int) -> None:
        name = self._partition(which)
        position = self._wanted(which, name)
        wanted = start if position is None else position
        try:
            if wanted > end:
                self._stuck[which] = self._clock.monotonic() + self._settings.silent_after_s
                self._consumer.pause(which)
                raise SourceUnavailable(
                    Phrase(
                        "topic {topic}, partition {partition}: the log ends at {end}, but was read up to {wanted}: the broker lost records",
                        topic=which.topic,
                        partition=which.partition,
                        end=end,
                        wanted=wanted,
                    ),
                    hint="if the broker is still starting, wait; else restore its log, or delete and create the topic, which begins a new partition",
                )
            if wanted < start:
                log.error("records deleted before they were read", topic=which.topic, partition=which.partition, first=wanted, last=start - 1)
                self._lost_ranges.append((name, wanted, start - 1))
                self._count("soc_kafka_records_lost_total", start - wanted, topic=which.topic)
                wanted = start
            self._consumer.seek(which, wanted)
            self._consumer.resume(which)
        except (ValueError, KeyError):
            return  # taken away meanwhile
        self._stuck.pop(which, None)
        self._placed[which] = name
        self._handed[name] = self._durable[name] = wanted
        self._lag[name] = end - wanted
        self._lag.pop("kafka:unassigned", None)

    def _wanted(self, which: Any, name: str) -> int | None:
        if name in self._resume:
            return self._resume.pop(name)
        if name in self._positions:
            return self._positions[name]
        committed = self._consumer.committed(which, metadata=True, timeout_ms=REQUEST_TIMEOUT_MS)
        if committed is None or committed.offset < 0 or committed.metadata not in {"", None, self._topics[which.topic].id}:
            return None
        return int(committed.offset)

    def _out_of_range(self, error: Any) -> None:
        """The log was cut while it was read: place the partitions again, from where reading stood."""
        for which, offset in dict(error.args[0]).items():
            name = self._placed.pop(which, None)
            if name is not None:
                self._resume[name] = offset

    def _partition(self, which: Any) -> str:
        assert self._catalog is not None
        return f"kafka:{self._catalog.cluster_id}/{self._topics[which.topic].id}/{which.partition}"

    def _check_topics(self, polled: Mapping[Any, Sequence[Any]], every_s: float) -> None:
        assert self._catalog is not None
        now = self._clock.monotonic()
        if now - self._checked_at < every_s:
            return
        try:
            found = self._catalog.require(self._by_topic, running=True)
        except (SourceUnavailable, AccessDenied):
            # What was polled cannot be told from records of a topic created anew: it is read again.
            for which, messages in polled.items():
                if which in self._placed:
                    self._resume[self._placed.pop(which)] = _first(messages[0])
            raise
        self._checked_at = now
        renewed = {topic for topic, known in self._topics.items() if found[topic].id != known.id}
        self._topics = found
        for which in [which for which in self._placed if which.topic in renewed]:
            self._lost.add(self._placed.pop(which))
        if renewed:
            log.warning("topics were deleted and created anew; read from their start", topics=sorted(renewed))
            self._lag = {name: behind for name, behind in self._lag.items() if name in self._placed.values()}

    def _measure_lag(self) -> None:
        lag: dict[str, int] = {}
        for which, name in self._placed.items():
            high = self._consumer.highwater(which) if which in self._consumer.assignment() else None
            if high is None:
                lag[name] = self._lag.get(name, 1)
            else:
                lag[name] = max(0, high - self._position(which))
        if lag or not self._silent_s:
            self._lag = lag

    def _position(self, which: Any) -> int:
        # The public call asks the broker, and raises for partitions that are not meant.
        state = self._consumer._subscription.assignment.get(which)  # noqa: SLF001
        return int(state.position.offset) if state is not None and state.position is not None else 0

    # records ------------------------------------------------------------------------------------------------------

    def _records(self, polled: Mapping[Any, Sequence[Any]]) -> list[RawRecord]:
        """The polled records of placed partitions.   Cost: hot; plain topics take one constructor per record."""
        out: list[RawRecord] = []
        for which, messages in polled.items():
            partition = self._placed.get(which)
            if partition is None:
                continue
            source, trusted = self._by_topic[which.topic]
            self._handed[partition] = messages[-1].offset + 1
            for message in messages:
                raw, offset = message.value, message.offset
                received_us = message.timestamp * 1000 if 0 < message.timestamp < MOST_MS else self._clock.now_us()
                if raw.__class__ is Refused:
                    self._count("soc_kafka_records_refused_total", raw.records, topic=which.topic)
                    out.append(refused(raw, source, partition, offset, received_us))
                elif raw is None:
                    out.append(RawRecord(source, partition, offset, offset + 1, b"", received_us, partition, offset, fault="a record without a value"))
                elif trusted:
                    out.append(self._trusted(source, partition, offset, raw, received_us, message.headers))
                else:
                    out.append(RawRecord(source, partition, offset, offset + 1, raw, received_us, partition, offset))
        return out

    def _trusted(self, source: str, partition: str, offset: int, raw: bytes, received_us: int, headers: Iterable[tuple[str, bytes | None]]) -> RawRecord:
        said = read_headers(headers)
        if not said.valid:
            self._count("soc_kafka_positions_invalid_total", source=source)
        return RawRecord(
            source,
            partition,
            offset,
            offset + 1,
            raw,
            said.received_us or received_us,
            said.origin or partition,
            said.origin_seq if said.origin else offset,
            said.sub,
            said.host,
            said.heartbeat,
            said.truncated_bytes,
            said.fault,
        )

    def _count(self, name: str, amount: float = 1, **labels: str) -> None:
        if self._metrics is not None:
            self._metrics.count(name, amount, **labels)


def refused(value: Refused, source: str, partition: str, last: int, received_us: int) -> RawRecord:
    """The record in the place of those of a batch that is not read."""
    first, raw = value.first, bytes(value)
    return RawRecord(source, partition, first, last + 1, raw, received_us, partition, first, fault=value.reason, records=value.records)


def _first(message: Any) -> int:
    """The offset that reading goes on at to get a message again."""
    return int(message.value.first if isinstance(message.value, Refused) else message.offset)


def _by_topic(sources: Mapping[str, KafkaSource]) -> dict[str, tuple[str, bool]]:
    found: dict[str, tuple[str, bool]] = {}
    for name, source in sources.items():
        for topic in source.topics:
            if topic in found:
                raise ConfigError(
                    Phrase("topic {topic} is read by sources {found} and {name}", topic=topic, found=found[topic][0], name=name),
                    key=f"sources.{name}.topics",
                    hint="leave it in one of them",
                )
            found[topic] = (name, source.trust_positions)
    return found


def _listener(moved: deque[tuple[Any, ...]]) -> Any:
    """A listener that only notes what was taken away: it runs in the client's thread, which must not be held up."""
    from kafka import ConsumerRebalanceListener

    class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
        def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
            moved.append(tuple(revoked))

        def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
            moved.append(tuple(assigned))  # whatever was known of them is of an earlier time

        def on_partitions_lost(self, lost: Iterable[Any]) -> None:
            moved.append(tuple(lost))

    return _Listener()
