"""Request bodies as records: decompressed within bounds, split into lines."""

from __future__ import annotations

import zlib

import orjson
import zstandard

from soc.errors import Phrase, UsageError

MOST_RECORDS = 100_000
"""Of one request: each costs some hundred bytes beside its own, so a body of line ends would take a gigabyte."""


class TooLarge(UsageError):
    """The body, or what it decompresses to, is beyond the bound."""


class BadLine(UsageError):
    """A line of the body is refused; `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line


def decompress(body: bytes, encoding: str, most: int) -> bytes:
    """The body without its content encoding; never more than `most` bytes are made.

    Raises: TooLarge, UsageError (an unknown encoding, damaged data).
    """
    try:
        if encoding in ("", "identity"):
            out = body
        elif encoding in ("gzip", "x-gzip"):
            inflate = zlib.decompressobj(wbits=31)
            out = inflate.decompress(body, most + 1)
            if not inflate.eof and len(out) <= most:
                raise UsageError("the gzip body is torn")
        elif encoding == "zstd":
            with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body) as reader:
                out = reader.read(most + 1)
            if len(out) <= most:
                # The reader gives what it can of a torn frame; now that the size is known, the end can be asked for.
                whole = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
                whole.decompress(body)
                if not whole.eof:
                    raise UsageError("the zstd body is torn")
        else:
            raise UsageError(Phrase("the content encoding {encoding!r} is unknown", encoding=encoding), hint="gzip, zstd or none")
    except (zlib.error, zstandard.ZstdError) as error:
        raise UsageError(Phrase("the {encoding} body is damaged: {error}", encoding=encoding, error=error)) from error
    if len(out) > most:
        raise TooLarge(Phrase("the body is larger than {most:,} bytes", most=most), hint="send it in parts")
    return out


def records(body: bytes, *, ndjson: bool, most: int) -> list[tuple[bytes, int]]:
    """The lines that are not blank, each with how many bytes were cut off.

    Raises: BadLine for one that is no JSON object where NDJSON is sent; TooLarge for more than `MOST_RECORDS` lines.
    """
    if body.count(b"\n") > MOST_RECORDS:
        raise TooLarge(Phrase("the body has more than {most:,} lines", most=MOST_RECORDS), hint="send it in parts")
    out: list[tuple[bytes, int]] = []
    for number, line in enumerate(body.split(b"\n"), 1):
        raw = line.rstrip(b"\r")
        if not raw.strip():
            continue
        if ndjson:
            _check(number, raw, most)
        out.append((raw[:most], max(0, len(raw) - most)))
    return out


def _check(number: int, raw: bytes, most: int) -> None:
    if len(raw) > most:
        raise BadLine(number, f"a record has at most {most:,} bytes")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadLine(number, f"no JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadLine(number, "no JSON object")
