"""Counts: from the hourly rollup where the classes answer the query, from the full text where words do, else by reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from soc.adapters.sqlite.database import guarded
from soc.adapters.sqlite.events import EventFile
from soc.adapters.sqlite.plan import COLUMNS, Plan, plan
from soc.adapters.sqlite.schema import CHUNK_BITS, HOUR_MS
from soc.adapters.sqlite.search import Bounds, Found, Rows, Search, bounds_of, rows_of
from soc.clock import from_datetime, iso, to_datetime
from soc.errors import Phrase, UsageError
from soc.model.event import Doc, values
from soc.model.level import THREAT_LEVELS
from soc.ports import Bucket, EventQuery

_QUARTER_MS = 900_000
"""Offsets of time zones are multiples of it, so no interval begins inside."""
_ROLLED = {*COLUMNS, ""}


class Tally(NamedTuple):
    """How many events of one class lie in one hour; `counted`: occurrences, each once."""

    hour_ms: int
    level: str
    category: str
    source: str
    kind: str
    events: int
    counted: int

    def value(self, field: str) -> str:
        """The value that this class has in a column's field."""
        named = {"soc.threat.level": self.level, "soc.threat.category": self.category, "soc.source": self.source, "soc.kind": self.kind}
        return named.get(field, "")


class Figures:
    """Counts over the events of a store."""

    def __init__(self, search: Search) -> None:
        self._search = search

    def count(self, query: EventQuery) -> int:
        """See `Store.count`."""
        return sum(item.events if isinstance(item, Tally) else 1 for item in self._items(query))

    def threats(self, query: EventQuery) -> dict[tuple[str, str], int]:
        """See `Store.threats`."""
        counts: Counter[tuple[str, str]] = Counter()
        for item in self._items(query):
            if isinstance(item, Tally):
                counts[item.level, item.category] += item.counted
            elif item[2].get("soc.counted", True):
                counts[item[2].get("soc.threat.level", "none"), item[2].get("soc.threat.category", "")] += 1
        return {at: count for at, count in counts.items() if count}

    def histogram(self, query: EventQuery, interval: Literal["hour", "day", "month"], by: str, tz: str) -> list[Bucket]:
        """See `Store.histogram`."""
        begin = _Begin(interval, tz)
        counts: Counter[tuple[int, str]] = Counter()
        for item in self._items(query, rolled=by in _ROLLED and begin.whole_hours):
            if isinstance(item, Tally):
                counts[begin.of(item.hour_ms), item.value(by)] += item.events
            else:
                for value in (shown(item[2], by) if by else []) or [""]:
                    counts[begin.of(item[0]), value] += 1
        return [Bucket(iso(at), value, count) for (at, value), count in sorted(counts.items())]

    def facets(self, query: EventQuery, field: str, most: int) -> list[tuple[str, int]]:
        """See `Store.facets`."""
        counts: Counter[str] = Counter()
        for item in self._items(query, rolled=field in COLUMNS):
            if not isinstance(item, Tally):
                counts.update(shown(item[2], field))
            elif value := item.value(field):
                counts[value] += item.events
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]

    def _items(self, query: EventQuery, *, rolled: bool = True) -> Iterator[Tally | Found]:
        """All fitting events, as tallies where the classes are enough and as documents where not."""
        how, bounds = plan(query.where), bounds_of(query)
        yield from self._search.waiting(query)
        for file in map(self._search.open, self._search.names(how, bounds)):
            if rolled and how.exact and bounds.whole and not (how.worded and file.reworded()):
                yield from _tallies(file, query, how, bounds)
            else:
                yield from self._search.of_file(file, query, how, bounds, None)


def _tallies(file: EventFile, query: EventQuery, how: Plan, bounds: Bounds) -> Iterator[Tally]:
    rows = rows_of(file, query, how, bounds)
    if rows is None:
        return
    names, parts = file.names(), file.parts()
    begin_ms = file.name.month.begin_ms
    for hour, level, category, part, events, counted in _grouped(file, rows, how.text):
        yield Tally(begin_ms + hour * HOUR_MS, THREAT_LEVELS[level], names[category], parts[part][0], file.name.kind, events, counted)


def _grouped(file: EventFile, rows: Rows, text: str) -> Iterator[tuple[int, int, int, int, int, int]]:
    """(hour of the month, level, category, part, events, counted) of the rows."""
    columns = "(key >> 15) / 3600000, level, category, part, count(*), sum(counted)"
    if text:
        sql = f"SELECT {columns} FROM ft CROSS JOIN ev ON ev.seq = ft.rowid WHERE ft MATCH ? AND {rows.condition} GROUP BY 1, 2, 3, 4"
        with guarded(file.path, "counting"):
            yield from file.reading.execute(sql, (text, *rows.values)).fetchall()
        return
    first, last = -(-(rows.low >> 15) // HOUR_MS), (rows.high >> 15) // HOUR_MS
    classes = rows.condition.removeprefix("key >= ? AND key < ?")
    if first < last:
        sql = f"SELECT hour, level, category, part, sum(events), sum(counted) FROM rollup WHERE hour >= ? AND hour < ?{classes} GROUP BY 1, 2, 3, 4"
        with guarded(file.path, "counting"):
            yield from file.reading.execute(sql, (first, last, *rows.values[2:])).fetchall()
    hour_keys = HOUR_MS << 15
    edges = [(rows.low, min(first * hour_keys, rows.high)), (max(last * hour_keys, rows.low), rows.high)] if first <= last else [(rows.low, rows.high)]
    for low, high in edges:
        if low < high:
            yield from _edge(file, f"SELECT {columns} FROM ev WHERE seq >= ? AND seq < ? AND {rows.condition} GROUP BY 1, 2, 3, 4", low, high, rows)


def _edge(file: EventFile, sql: str, low: int, high: int, rows: Rows) -> list[tuple[int, int, int, int, int, int]]:
    """The rows of a part of an hour, from the chunks that touch it."""
    with guarded(file.path, "counting"):
        first, last = file.reading.execute("SELECT min(no), max(no) FROM chunk WHERE low < ? AND high >= ?", (high, low)).fetchone()
        if first is None:
            return []
        return file.reading.execute(sql, (first << CHUNK_BITS, (last + 1) << CHUNK_BITS, low, high, *rows.values[2:])).fetchall()


class _Begin:
    """When the interval of a time begins, in a time zone."""

    def __init__(self, interval: str, tz: str) -> None:
        try:
            self._zone = ZoneInfo(tz)
        except (KeyError, ValueError, OSError) as error:
            raise UsageError(Phrase("no time zone {tz!r}", tz=tz), hint="give a name such as Asia/Ho_Chi_Minh") from error
        self._interval = interval
        self._known: dict[int, int] = {}
        self.whole_hours = all(
            (self._zone.utcoffset(to_datetime(us).replace(tzinfo=None)) or to_datetime(0) - to_datetime(0)).seconds % 3600 == 0 for us in _SAMPLES
        )

    def of(self, ms: int) -> int:
        """The begin of the interval that holds a time, in microseconds."""
        quarter = ms // _QUARTER_MS
        known = self._known.get(quarter)
        if known is None:
            moment = to_datetime(ms * 1000).astimezone(self._zone).replace(minute=0, second=0, microsecond=0)
            if self._interval != "hour":
                moment = moment.replace(hour=0, fold=0)
            if self._interval == "month":
                moment = moment.replace(day=1)
            known = self._known[quarter] = from_datetime(moment)
        return known


_SAMPLES = [year * 31_556_952_000_000 + half * 15_778_476_000_000 for year in range(40, 70) for half in (0, 1)]
"""Times of 2010 to 2040, winter and summer: whether a zone has offsets of whole hours only."""


def shown(doc: Doc, field: str) -> list[str]:
    """The distinct values of a field as facets name them."""
    return sorted({"true" if value is True else "false" if value is False else str(value) for value in values(doc, field)})
