"""Headers that carry a record's own position and times through a topic.

`soc-pos` is `<collector id>/<stream>/<sequence>/<sub>`, or, for origins that are no collectors, the whole origin (`file:…`)
in front. A record sent twice carries the same position twice, so it becomes one event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from soc.model.record import RawRecord

POSITION, RECEIVED, HOST, TRUNCATED, HEARTBEAT, FAULT = "soc-pos", "soc-received", "soc-host", "soc-truncated", "soc-heartbeat", "soc-fault"
_COLLECTOR = "collector:"
_MOST = 1 << 53
"""More is neither a time (the year 2255) nor a size."""
# Reference: the format of `soc-pos` above; lengths are bounded as anybody may write to a topic that is trusted by mistake.
_POSITION = re.compile(r"([\x21-\x7e]{1,300})/([0-9]{1,18})/([0-9]{1,9})")


class Headers(NamedTuple):
    """What the headers of a trusted record say; `valid` False = there was a position, and it is none."""

    origin: str = ""
    origin_seq: int = 0
    sub: int = 0
    received_us: int = 0
    host: str = ""
    truncated_bytes: int = 0
    heartbeat: bool = False
    fault: str = ""
    valid: bool = True


def write_headers(record: RawRecord) -> list[tuple[str, bytes]]:
    """The headers of a record that is carried on."""
    origin = record.origin.removeprefix(_COLLECTOR)
    headers = [(POSITION, f"{origin}/{record.origin_seq}/{record.sub}".encode()), (RECEIVED, str(record.received_us).encode())]
    if record.host:
        headers.append((HOST, record.host.encode("utf-8", "replace")))
    if record.truncated_bytes:
        headers.append((TRUNCATED, str(record.truncated_bytes).encode()))
    if record.heartbeat:
        headers.append((HEARTBEAT, b"1"))
    if record.fault:
        headers.append((FAULT, record.fault.encode("utf-8", "replace")))
    return headers


def read_headers(headers: Iterable[tuple[str, bytes | None]]) -> Headers:
    """What the headers of a record of a trusted topic say; unreadable values count as absent."""
    texts = {name: (value or b"")[:400].decode("utf-8", "replace") for name, value in headers if name.startswith("soc-")}
    origin, origin_seq, sub, valid = "", 0, 0, True
    if POSITION in texts:
        found = _POSITION.fullmatch(texts[POSITION])
        valid = found is not None
        if found:
            named, origin_seq, sub = found[1], int(found[2]), int(found[3])
            origin = named if named.startswith(("file:", "kafka:", "spool:")) else _COLLECTOR + named
    return Headers(
        origin=origin,
        origin_seq=origin_seq,
        sub=sub,
        received_us=_number(texts.get(RECEIVED, ""), _MOST),
        host=texts.get(HOST, "")[:255],
        truncated_bytes=_number(texts.get(TRUNCATED, ""), _MOST),
        heartbeat=texts.get(HEARTBEAT) == "1",
        fault=texts.get(FAULT, "")[:300],
        valid=valid,
    )


def _number(text: str, most: int) -> int:
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) <= 18 else 0  # noqa: PLR2004 - fits 64 bits
