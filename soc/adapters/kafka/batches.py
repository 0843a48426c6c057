"""Batches of records as the client takes them from a fetch, held to a limit before they are unpacked.

The client (kafka-python) unpacks a batch whole, whatever its size, and takes many of them in one poll; and a record that
it cannot read makes every poll fail at the same place. `guard` puts itself between: a batch that is too large, or that
cannot be read, comes as a single record whose value is a `Refused`, and reading goes on behind it. The place is the class
that a fetcher makes for each answer of a broker; `tests/adapters/kafka/test_batches.py` notices when an update moves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from soc.adapters.kafka.packing import NAMES, TooLargeError, UnpackError, unpack
from soc.errors import ConfigError, Phrase
from soc.telemetry import get_logger

log = get_logger(__name__)

MOST_HEADERS = 64
"""Of a record; more are left out. Ours are the first, and an empty one of 2 bytes takes 64 bytes in memory."""
LONG_RECORD = 1 << 20
"""Of records beyond this length headers are counted before they are read."""
MOST_HEADERS_LONG = 4_096
BOMBS = 4
"""Batches beyond the limit that one poll looks at: each takes a tenth of a second, and an answer may hold a thousand."""
_KEPT = "; kept is the batch as it stands in the topic"


class Refused(bytes):
    """In the place of records that are not read: the batch that they stand in, as it is in the log.

    They are those from `first` to the offset of the record that has this value, `records` of them; `reason` says why.
    """

    first: int
    records: int
    reason: str

    @classmethod
    def of(cls, batch: bytes, first: int, records: int, reason: str) -> Refused:
        """The batch with what is said of it."""
        made = cls(batch)
        made.first, made.records, made.reason = first, records, reason
        return made


class Guard:
    """How much the packed batches of one poll may come to; `begin` is to be called before each.

    One batch may have `most` bytes, and when all so far have as many, the rest is fetched again by the next poll.
    """

    def __init__(self, most: int) -> None:
        self.most: Final = most
        self._left = most

    def begin(self) -> None:
        """A poll begins."""
        self._left = self.most

    def spend(self, size: int) -> None:
        """A batch came to so many bytes."""
        self._left -= size

    @property
    def spent(self) -> bool:
        """Whether the poll is to take no more batches."""
        return self._left <= 0


def guard(consumer: Any, most: int) -> Guard:
    """Let a consumer take no batch that unpacks to more than `most` bytes; to be called before it polls.

    Raises: ConfigError when the client has no place for it any more: without it no record may be read.
    """
    from kafka.consumer.fetcher import Fetcher

    found = Guard(most)
    fetcher = getattr(consumer, "_fetcher", None)
    made = getattr(Fetcher, "PartitionRecords", None)
    if not isinstance(fetcher, Fetcher) or made is None or not hasattr(made, "_unpack_records"):
        import kafka

        raise ConfigError(
            Phrase("kafka-python {version} takes records in another way than this program knows", version=kafka.__version__),
            hint="install the version that requirements/ names",
        )

    class _Records(made):  # type: ignore[misc,valid-type]  # the client has no types
        def _unpack_records(self, tp: Any, records: Any, *more: Any) -> Any:
            return super()._unpack_records(tp, _Batches(records, found, self), *more)

    fetcher.PartitionRecords = _Records
    return found


class _Batches:
    """The batches of one answer of a broker; see `kafka.record.MemoryRecords`."""

    def __init__(self, records: Any, limit: Guard, reading: Any) -> None:
        self._records = records
        self._limit = limit
        self._reading = reading

    def next_batch(self) -> Any:
        """The next batch; None behind the last one, or when the poll has enough: the rest is fetched again."""
        if self._limit.spent:
            return None
        batch = self._records.next_batch()
        return None if batch is None else _Batch(batch, self._limit, self._reading)


class _Batch:
    """One batch; everything but its records is the client's own."""

    def __init__(self, batch: Any, limit: Guard, reading: Any) -> None:
        self._batch = batch
        self._limit = limit
        self._reading = reading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        if self._batch.magic < 2:  # noqa: PLR2004 - before Kafka 0.11; only logs as old have them
            return self._old()
        return self._records()

    def _records(self) -> Iterator[Any]:
        from kafka.errors import CorruptRecordError
        from kafka.record.default_records import DefaultRecord

        batch = self._batch
        expected, last = batch.base_offset, batch.last_offset
        try:
            for record in self._unpacked():
                # Brokers do not look at the offsets within a batch that is not packed: a wrong one leads reading astray.
                if not expected <= record.offset <= last:
                    raise UnpackError(f"a record at offset {record.offset}, which does not follow")
                expected = record.offset + 1
                if len(record.headers) > MOST_HEADERS:
                    yield DefaultRecord(
                        record.size_in_bytes, record.offset, record.timestamp, record.timestamp_type, record.key, record.value, record.headers[:MOST_HEADERS]
                    )
                else:
                    yield record
        except TooLargeError:
            yield self._oversized()
        except (UnpackError, CorruptRecordError) as error:
            if expected > last:  # of bytes behind the last record nobody is told
                return
            yield self._refused(f"{self._what()} cannot be read: {error}")

    def _unpacked(self) -> Any:
        from kafka.record.default_records import DefaultRecordBatch

        codec, head = self._batch.compression_type, DefaultRecordBatch.HEADER_STRUCT
        if not codec:
            return self._batch
        whole = memoryview(self._whole)
        data = unpack(codec, whole[head.size :], self._limit.most)
        self._limit.spend(len(data))
        if len(data) > LONG_RECORD:
            _count_headers(data, self._batch.records_count)
        fields = list(head.unpack_from(whole))
        fields[5] &= ~DefaultRecordBatch.CODEC_MASK
        # The client reads it as one that was never packed; that the bytes came whole it has checked on the packed one.
        return DefaultRecordBatch(b"".join((head.pack(*fields), data)))

    def _old(self) -> Iterator[Any]:
        """The records of a batch of the old format, of which the client looks at the size only when it has unpacked it."""
        batch = self._batch
        if batch.compression_type:
            try:
                self._limit.spend(len(unpack(batch.compression_type, _old_payload(bytes(self._whole), batch.magic), self._limit.most)))
            except TooLargeError:
                yield self._oversized()
                return
            except UnpackError as error:
                yield self._refused(f"{self._what()} cannot be read: {error}")
                return
        yield from batch

    @property
    def _whole(self) -> Any:
        """The batch as it came: the client does not hand it out, and overwrites it only when it unpacks by itself."""
        return self._batch._buffer  # noqa: SLF001

    def _oversized(self) -> Any:
        self._limit.spend(self._limit.most // BOMBS)
        return self._refused(f"oversized: {self._what()} unpacks to more than {self._limit.most} bytes (kafka.max_batch_bytes)")

    def _what(self) -> str:
        packed = NAMES.get(self._batch.compression_type)
        return f"a batch packed with {packed}" if packed else "a batch"

    def _refused(self, reason: str) -> Any:
        """A record in the place of those that were not read; at the last offset, so that reading goes on behind all of them."""
        from kafka.record.default_records import DefaultRecord

        batch, reading, whole = self._batch, self._reading, bytes(self._whole)
        old = batch.magic < 2  # noqa: PLR2004
        last = batch.base_offset if old else batch.last_offset
        # A log, or a place to read from, may begin within a batch.
        first = min(last, max(reading.fetch_offset, reading.next_fetch_offset, 0 if old else batch.base_offset))
        records = last - first + 1 if old else max(1, min(batch.records_count, last - first + 1))
        timestamp = 0 if old else max(batch.first_timestamp, 0)
        told = f"{reason}; these are the {records} records at offsets {first} to {last}{_KEPT}"
        log.error("records not read", topic=reading.topic_partition.topic, partition=reading.topic_partition.partition, reason=told)
        return DefaultRecord(len(whole), last, timestamp, 0, None, Refused.of(whole, first, records, told), [])


def _count_headers(data: bytes | bytearray, records: int) -> None:
    """Make sure that no long record consists of headers: each takes many times its size in memory.

    Cost: a few steps for a record.   Raises: UnpackError.
    """
    from kafka.record.util import decode_varint

    at = 0
    try:
        for _ in range(records):
            length, at = decode_varint(data, at)
            end = at + length
            if length < 0:
                raise UnpackError("a record has a negative length")
            if length > LONG_RECORD:
                for _ in range(3):  # attributes, time, offset
                    _, at = decode_varint(data, at)
                for _ in range(2):
                    size, at = decode_varint(data, at)
                    at += max(0, size)
                headers, at = decode_varint(data, at)
                if headers > MOST_HEADERS_LONG:
                    raise UnpackError(f"a record has {headers} headers")
            at = end
    except (IndexError, ValueError) as error:
        raise UnpackError("it has fewer records than it says") from error


def _old_payload(whole: bytes, magic: int) -> bytes:
    """What is packed in a message of the old formats.   Reference: Kafka protocol guide, "Message sets"."""
    begin = at = 18 if magic == 0 else 26
    for _ in range(2):  # key, value
        size = int.from_bytes(whole[at : at + 4], "big", signed=True)
        begin, at = at + 4, at + 4 + max(0, size)
    return whole[begin:at]
