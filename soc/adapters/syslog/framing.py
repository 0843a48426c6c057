"""Records out of a byte stream, in both framings of RFC 6587, mixed as they may be.

Source: RFC 6587 3.4.1 (octet counting: `LENGTH SP <PRI>…`) and 3.4.2 (a line end, in practice LF, CR LF or NUL). Each
frame says by its first bytes which one it is: a count is followed by a space and the `<` of the priority. A count that
is too short leaves a rest that ends at the next line end, one that is too long takes the next frame's beginning: a
wrong count costs the frames that it touches, never the connection.
"""

from __future__ import annotations

import re

# Reference: RFC 6587 3.4.1, MSG-LEN = NONZERO-DIGIT *DIGIT; eight digits are more than any record may have.
_COUNT = re.compile(rb"([1-9][0-9]{0,7}) <")
_COUNT_BEGUN = re.compile(rb"[1-9][0-9]{0,7} ?\Z")
_END = re.compile(rb"[\n\x00]")
_TRAILER = b"\r\n\x00"
MOST_COUNT = 16_777_216
"""A count above is no count but part of a line."""

Frame = tuple[bytes, int]
"""The bytes that are kept, and how many were cut off."""


class Deframer:
    """The records of one connection; each keeps at most `most` bytes, and no more are held in memory."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest = b""
        self._kept = b""
        self._lost = 0
        self._left = 0
        """Bytes of an overlong counted frame that are still to come."""
        self._overlong = False
        """Inside an overlong line: its end is still to come."""

    @property
    def unfinished(self) -> bool:
        """Whether a record has begun and not ended."""
        return bool(self._rest or self._left or self._overlong)

    def feed(self, data: bytes) -> list[Frame]:
        """The records that `data` completes; where the data was cut into segments makes no difference."""
        out: list[Frame] = []
        if self._rest:
            data, self._rest = self._rest + data, b""
        at = self._go_on(data, out) if self._left or self._overlong else 0
        size = len(data)
        nul = b"\0" in data
        while at < size:
            following = self._counted(data, at, out) if 0x31 <= data[at] <= 0x39 else -1  # noqa: PLR2004 - the digits 1 to 9
            if following < 0:
                following = self._line(data, at, out, nul=nul)
            if following == at:
                break
            at = following
        return out

    def finish(self) -> list[Frame]:
        """What the end of the connection leaves: an unfinished record counts, cut bytes are told where they are known."""
        out: list[Frame] = []
        if self._left or self._overlong:
            self._put(self._kept, self._lost + self._left, out)
        elif self._rest:
            counted = _COUNT.match(self._rest)
            if counted and int(counted[1]) <= MOST_COUNT:
                body = self._rest[counted.end() - 1 :]
                self._put(body[: self._most], max(0, len(body) - self._most) + int(counted[1]) - len(body), out)
            else:
                self._put(self._rest[: self._most], max(0, len(self._rest) - self._most), out)
        self._rest, self._left, self._overlong = b"", 0, False
        return out

    def _counted(self, data: bytes, at: int, out: list[Frame]) -> int:
        """The offset after the counted frame at `at`; `at` itself when more data is needed; -1 when it is none."""
        found = _COUNT.match(data, at)
        if not found:
            if len(data) - at < 10 and _COUNT_BEGUN.match(data, at):  # noqa: PLR2004 - the longest count, space and `<`
                self._rest = data[at:]
                return at
            return -1
        length = int(found[1])
        if length > MOST_COUNT:
            return -1
        start = found.end() - 1
        end = start + length
        if end <= len(data):
            self._put(data[start : min(end, start + self._most)], max(0, length - self._most), out)
            return end
        if len(data) - start >= self._most < length:
            self._kept, self._lost, self._left = data[start : start + self._most], len(data) - start - self._most, end - len(data)
            return len(data)
        self._rest = data[at:]
        return at

    def _line(self, data: bytes, at: int, out: list[Frame], *, nul: bool) -> int:
        if nul:
            found = _END.search(data, at)
            end = found.start() if found else -1
        else:
            end = data.find(b"\n", at)
        if end >= 0:
            if end - at > self._most:
                self._put(data[at : at + self._most], end - at - self._most, out)
            else:
                self._put(data[at:end], 0, out)
            return end + 1
        if len(data) - at > self._most:
            self._kept, self._lost, self._overlong = data[at : at + self._most], len(data) - at - self._most, True
            return len(data)
        self._rest = data[at:]
        return at

    def _go_on(self, data: bytes, out: list[Frame]) -> int:
        """Leave out the rest of an overlong record; the offset after it."""
        if self._left:
            skipped = min(self._left, len(data))
            self._left -= skipped
            self._lost += skipped
            if not self._left:
                self._put(self._kept, self._lost, out)
            return skipped
        found = _END.search(data)
        if not found:
            self._lost += len(data)
            return len(data)
        self._overlong = False
        self._put(self._kept, self._lost + found.start(), out)
        return found.end()

    def _put(self, raw: bytes, lost: int, out: list[Frame]) -> None:
        if raw[-1:] in (b"\r", b"\n", b"\0"):
            raw = raw.rstrip(_TRAILER)
        if raw or lost:
            out.append((raw, lost))
