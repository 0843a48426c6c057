"""The one place that reads the time.

Time enters the pipeline through the log only (`RawRecord.received_at`); a clock is for those who write the log
(collectors), for waiting, and for commands that say "now".
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What tells the time and waits."""

    def now_us(self) -> int:
        """Microseconds since 1970-01-01T00:00:00Z."""

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back, for measuring."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The clock of the machine."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class FrozenClock:
    """A clock that moves only when told to: for tests and replays."""

    def __init__(self, now_us: int) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        return self._now_us

    def monotonic(self) -> float:
        return self._now_us / 1e6

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move on by so many seconds."""
        self._now_us += round(seconds * 1e6)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_datetime(us: int) -> datetime:
    """The aware UTC datetime of a time in microseconds; exact, unlike a float timestamp."""
    return _EPOCH + timedelta(microseconds=us)


def from_datetime(moment: datetime) -> int:
    """Microseconds since 1970 of an aware datetime.

    Raises: ValueError for a naive one.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def iso(us: int) -> str:
    """RFC 3339 in UTC with milliseconds, or microseconds where there are any: `2026-11-20T01:02:03.004Z`."""
    return to_datetime(us).isoformat()[:19] + "." + (f"{us % 1_000_000:06d}" if us % 1000 else f"{us // 1000 % 1000:03d}") + "Z"


def from_iso(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 time.

    Raises: ValueError when it is none, or has no zone.
    """
    return from_datetime(datetime.fromisoformat(text))
