"""Parses lines without store or configuration: what `soc parse` answers for each line of a file.

Lines are read one by one and never kept: memory does not grow with the input.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO

import msgspec
import orjson

from soc.errors import ParseError, Phrase, UsageError
from soc.ingest.framing import decode, frame
from soc.ingest.normalize import iso, known_zone, time_us
from soc.ingest.parser import Context, Line, Parsed, Parser
from soc.ingest.registry import Registry
from soc.ingest.syslog import syslog_fields
from soc.model.event import Doc, nest

LONGEST_LINE = 16 * 1024 * 1024
"""Of which the rest is not read: sixteen times what a source takes."""
EMPTY = "empty"
UNKNOWN = "no parser recognises this line"
Recognise = Callable[[Line], Parser | None]


class Answer(msgspec.Struct):
    """What became of one line: `doc` flat (of a failed line what could be read), `error` "" for a parsed one."""

    n: int
    doc: Doc
    error: str = ""
    parser: str = ""

    def record(self) -> dict[str, Any]:
        """The answer as `soc parse` prints it: `{"n", "ecs"}` or `{"n", "error", "ecs"}`."""
        if self.error:
            return {"n": self.n, "error": self.error, "ecs": nest(self.doc)}
        return {"n": self.n, "ecs": nest(self.doc)}


def context_of(timezone: str, received_at: str, now_us: int) -> Context:
    """The context that completes dates, from what the user typed ("" = now).

    Raises: UsageError for a zone or time that is none.
    """
    if not known_zone(timezone):
        raise UsageError(Phrase("{timezone!r} is not a time zone", timezone=timezone), hint="write a name as Asia/Ho_Chi_Minh or an offset as +07:00")
    context = Context(now_us, timezone)
    if received_at:
        try:
            context.received_us = time_us(received_at, context)
            iso(context.received_us)
        except ValueError as error:
            raise UsageError(Phrase("{received_at!r} is not a time", received_at=received_at), hint="write it as 2026-11-21T08:00:00+07:00") from error
    return context


def parse_stream(stream: BinaryIO, registry: Registry, context: Context, *, product: str = "", records: bool = False) -> Iterator[Answer]:
    """One answer per line of the stream, in order; with `records` each line is JSON `{"n": …, "raw": "…"}`.

    Raises: UsageError for a product that no parser has. Cost: constant memory; a line over `LONGEST_LINE` is not kept.
    """
    if product:
        registry.get(product)
    return _answers(_utf8(stream), partial(registry.recognise, preferred=product), context, records=records)


class _Utf16(io.RawIOBase):
    """The bytes of a UTF-16 stream as UTF-8; what is no text there becomes a backslash escape."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-16")("backslashreplace")
        self._left = b""

    def readable(self) -> bool:
        """Always so."""
        return True

    def readinto(self, buffer: Any) -> int:
        """How many bytes were put into `buffer`; 0 at the end."""
        more = True
        while more and not self._left:
            raw = self._stream.read(_CHUNK)
            more = bool(raw)
            self._left = self._decoder.decode(raw, not more).encode("utf-8", "backslashreplace")
        part, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


class _Unpacked(io.RawIOBase):
    """What a gzip stream holds."""

    def __init__(self, stream: BinaryIO) -> None:
        self._file = gzip.GzipFile(fileobj=stream)

    def readable(self) -> bool:
        """Always so."""
        return True

    def readinto(self, buffer: Any) -> int:
        """How many bytes were put into `buffer`; 0 at the end.

        Raises: UsageError when the data are damaged or end too soon.
        """
        try:
            part = self._file.read1(len(buffer))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UsageError(Phrase("the gzip data are damaged: {error}", error=error), hint="what came before was answered") from error
        buffer[: len(part)] = part
        return len(part)


_CHUNK = 1 << 16
# Reference: RFC 1952 section 2.3.1
_GZIP = b"\x1f\x8b"


def _utf8(stream: BinaryIO) -> BinaryIO:
    """The stream itself, unpacked where it is gzip and, where a byte order mark says UTF-16 (what PowerShell's `>` writes), as UTF-8."""
    peek = getattr(stream, "peek", None)
    if peek is None:
        return stream
    if peek(2)[:2] == _GZIP:
        stream = io.BufferedReader(_Unpacked(stream), _CHUNK)
        peek = stream.peek
    if peek(2)[:2] not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return stream
    return io.BufferedReader(_Utf16(stream), _CHUNK)


def _answers(stream: BinaryIO, recognise: Recognise, context: Context, *, records: bool) -> Iterator[Answer]:
    number = 0
    while raw := stream.readline(LONGEST_LINE):
        number += 1
        if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
            while rest := stream.readline(LONGEST_LINE):
                if rest.endswith(b"\n"):
                    break
            yield Answer(number, {"message": decode(raw[:1024])[0]}, f"the line is longer than {LONGEST_LINE} bytes")
            continue
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        yield _record(number, raw, recognise, context) if records else parse_line(number, raw, recognise, context)


def _record(number: int, raw: bytes, recognise: Recognise, context: Context) -> Answer:
    """The answer to one `{"n", "raw"}` record; under its line number where it tells no other."""
    if not raw.strip():
        return Answer(number, {}, EMPTY)
    record = _loaded(raw.removeprefix(codecs.BOM_UTF8))
    told, text = record.get("n"), record.get("raw")
    n = told if type(told) is int and told.bit_length() < 64 else number  # noqa: PLR2004 - what the answer can hold
    if not isinstance(text, str) or ("n" in record and n != told):
        return Answer(n, {"event.original": decode(raw)[0]}, 'not a record {"n": …, "raw": "…"}')
    return parse_line(n, _bytes_of(text), recognise, context)


def _loaded(raw: bytes) -> dict[str, Any]:
    """The JSON object of a record, an empty one where there is none; with halves of surrogate pairs, too, as which Python writes bytes that are no UTF-8."""
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        try:
            found = json.loads(raw) if b"\\ud" in raw.lower() else None
        except (ValueError, RecursionError):
            found = None
    return found if isinstance(found, dict) else {}


def _bytes_of(text: str) -> bytes:
    """The bytes of a record's line; what Python made of invalid bytes (PEP 383) are those bytes again."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def parse_line(number: int, raw: bytes, recognise: Recognise, context: Context) -> Answer:
    """The answer to one line."""
    text, _broken = decode(raw)
    if not text.strip("\0 \t\r\n\v\f\ufeff"):
        return Answer(number, {}, EMPTY)
    line = frame(text)
    parser = recognise(line)
    if parser is None:
        return Answer(number, _finished(_framed(line, context), text), UNKNOWN)
    try:
        parsed: Parsed = parser.parse(line, context)
    except ParseError as error:
        return Answer(number, _finished({**_framed(line, context), **error.fields}, text), error.reason, parser.name)
    return Answer(number, _finished(parsed.doc, text), parsed.error, parser.name)


def _finished(doc: Doc, text: str) -> Doc:
    doc["event.original"] = text
    return doc


def _framed(line: Line, context: Context) -> Doc:
    """What the header alone says of a line."""
    doc: Doc = dict(syslog_fields(line))
    if line.message:
        doc["message"] = line.message
    if line.host:
        doc["host.hostname"] = line.host
    if line.header_time:
        try:
            doc["@timestamp"] = iso(time_us(_UNSYNCHRONISED.sub("", line.header_time), context))
        except ValueError:
            return doc
    return doc


# Reference: Cisco IOS marks a clock that is not synchronised by `*` or `.` before the time.
_UNSYNCHRONISED = re.compile(r"^[*.]")
