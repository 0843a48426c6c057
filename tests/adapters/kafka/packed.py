"""Batches of records as a hostile sender packs them: a megabyte that stands for many, bytes that are no records."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from typing import Any

import lz4.frame
import pytest
import zstandard
from kafka.record import default_records
from kafka.record.util import encode_varint

from soc.adapters.kafka.packing import GZIP, LZ4, SNAPPY, ZSTD
from tests.servers.process import WITHIN_S

CODECS = {GZIP: "gzip", SNAPPY: "snappy", LZ4: "lz4", ZSTD: "zstd"}


def varint(value: int) -> bytes:
    """A number as records have it."""
    out = bytearray()
    encode_varint(value, out.append)
    return bytes(out)


def record(delta: int, value: bytes, headers: bytes = varint(0)) -> bytes:
    """A record as it stands in a batch, `delta` behind the first one; `headers`: their count and what follows."""
    body = b"\0" + varint(0) + varint(delta) + varint(-1) + varint(len(value)) + value + headers
    return varint(len(body)) + body


def records(values: Sequence[bytes]) -> bytes:
    """Records of these values, one after the other."""
    return b"".join(record(number, value) for number, value in enumerate(values))


def pack(codec: int, data: bytes) -> bytes:
    """The same packed."""
    if codec == GZIP:
        return gzip.compress(data, 9)
    if codec == LZ4:
        return bytes(lz4.frame.compress(data, block_linked=False))
    if codec == ZSTD:
        return zstandard.ZstdCompressor().compress(data)
    blocks = [_snappy(data[at : at + 65_536]) for at in range(0, len(data), 65_536)]
    return b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1) + b"".join(struct.pack(">i", len(block)) + block for block in blocks)


def _snappy(data: bytes) -> bytes:
    """A block of snappy: what repeats itself at 64 bytes' distance is a copy, the rest stands there."""
    out = bytearray()
    size = len(data)
    while size >= 128:
        out.append(size & 127 | 128)
        size >>= 7
    out.append(size)
    at = 0
    while at < len(data):
        piece = data[at : at + 64]
        if at >= 64 and piece == data[at - 64 : at - 64 + len(piece)]:
            out += bytes([len(piece) - 1 << 2 | 2]) + struct.pack("<H", 64)
        else:
            out += bytes([60 << 2, len(piece) - 1]) + piece
        at += 64
    return bytes(out)


def send_packed(bootstrap: str, topic: str, codec: int, packed: bytes, count: int, *, partition: int = 0, monkeypatch: pytest.MonkeyPatch) -> int:
    """Write `count` records as one batch whose packed bytes are these; the offset of the first one. The broker looks at them as at any others."""
    from kafka import KafkaProducer

    name = CODECS[codec]
    with monkeypatch.context() as patch:
        patch.setattr(default_records, f"{name}_encode", lambda _data: packed)
        if codec == SNAPPY:  # the client asks for a library that is not installed
            patch.setattr("kafka.codec.snappy", object())
        with KafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            compression_type=name,
            linger_ms=60_000,
            batch_size=len(packed) * 4 + 65_536 * count,
            max_request_size=1 << 28,
            bootstrap_timeout_ms=round(WITHIN_S * 1000),
            max_block_ms=round(WITHIN_S * 1000),
            request_timeout_ms=round(WITHIN_S * 1000),
            delivery_timeout_ms=800_000,
        ) as producer:
            filling = b"x" * (len(packed) // count + 64)  # a batch that would not become smaller is sent as it is
            futures: list[Any] = [producer.send(topic, filling, partition=partition) for _ in range(count)]
            producer.flush(2 * WITHIN_S)
            offsets = [future.get(timeout=2 * WITHIN_S).offset for future in futures]
    assert offsets == list(range(offsets[0], offsets[0] + count)), "one batch"
    return int(offsets[0])


def batch(data: bytes, count: int, *, codec: int = 0, base: int = 0) -> bytes:
    """A batch as a fetch gives it, its checksum right."""
    from kafka.record.util import calc_crc32c

    head = default_records.DefaultRecordBase.HEADER_STRUCT
    fields = [base, head.size - 12 + len(data), 0, 2, 0, codec, count - 1, 1_795_222_800_000, 1_795_222_800_000, -1, -1, -1, count]
    whole = bytearray(head.pack(*fields) + data)
    fields[4] = calc_crc32c(memoryview(whole)[default_records.DefaultRecordBase.ATTRIBUTES_OFFSET :])
    return bytes(head.pack(*fields)) + data
