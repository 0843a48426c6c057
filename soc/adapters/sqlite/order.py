"""The order of events as integers: time in milliseconds, then id.

A key is (ms since the begin of the file's month) << 15 | the rank of the id's first three characters; it fits six
bytes of SQLite's integers. Keys order as (ms, id) does; equal keys are put in order by the whole id when read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from soc.clock import from_datetime, to_datetime

_BITS = 15
_ALPHABET = "234567abcdefghijklmnopqrstuvwxyz"
_CHARS = 3


class _Ranks(dict[str, int]):
    """The rank of the first characters of an id, remembered: never falls where the text order rises.

    Ids of ours use base32; any other text gets a rank too, so that the order holds whatever an id looks like.
    """

    def __missing__(self, head: str) -> int:
        rank = self[head] = _rank(head)
        return rank


def _rank(head: str) -> int:
    value = 0
    for position in range(_CHARS):
        left = 5 * (_CHARS - 1 - position)
        char = head[position : position + 1]
        if not char or char < _ALPHABET[0]:
            return value  # lower than every character of the alphabet: the rest stays zero
        place = _ALPHABET.find(char)
        if place < 0:  # between two characters, or beyond the last: all that share the lower one's rank come first
            place = sum(known < char for known in _ALPHABET) - 1
            return value | (place << left) | ((1 << left) - 1)
        value |= place << left
    return value


RANKS = _Ranks()


class Month(NamedTuple):
    """A UTC month: its name (`2026.11`) and when it begins and ends, in ms since 1970."""

    name: str
    begin_ms: int
    end_ms: int

    def key(self, ms: int, identity: str) -> int:
        """The key of an event of this month."""
        return ((ms - self.begin_ms) << _BITS) | RANKS[identity[:_CHARS]]

    def keys(self, times_us: Iterable[int], ids: Iterable[str]) -> list[int]:
        """The keys of events of this month, by their times in microseconds and their ids."""
        begin_us = self.begin_ms * 1000
        ranks = map(RANKS.__getitem__, [identity[:_CHARS] for identity in ids])
        return [((us - begin_us) // 1000 << _BITS) | rank for us, rank in zip(times_us, ranks, strict=True)]

    def floor(self, ms: int) -> int:
        """The smallest key of a time (clamped to the month)."""
        return (min(max(ms, self.begin_ms), self.end_ms) - self.begin_ms) << _BITS

    def ms(self, key: int) -> int:
        """The time of a key."""
        return self.begin_ms + (key >> _BITS)


DAY_US = 86_400_000_000
_MONTHS: dict[int, Month] = {}


def month_of(ts_us: int) -> Month:
    """The month of a time. Cost: one division and a look-up for times near others."""
    day = ts_us // DAY_US
    known = _MONTHS.get(day)
    if known is None:
        known = _MONTHS[day] = month_named(f"{to_datetime(ts_us):%Y.%m}")
    return known


def month_named(name: str) -> Month:
    """The month of a name.

    Raises: ValueError.
    """
    begin = datetime.fromisoformat(name.replace(".", "-") + "-01T00:00:00+00:00")
    after = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
    return Month(name, from_datetime(begin) // 1000, from_datetime(after) // 1000)
