"""Events of a query in order: by time in milliseconds, then id, over all files, a page or a stream at a time.

Months follow one another, so only the files of one month are merged. Within a file the rows come by whichever is
cheapest: the full text (when few fit, all at once), the level index, or chunk after chunk in time order.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import NamedTuple

from soc.adapters.sqlite.catalog import Catalog
from soc.adapters.sqlite.control import Control
from soc.adapters.sqlite.database import guarded
from soc.adapters.sqlite.events import LEVEL_RANKS, EventFile, Name
from soc.adapters.sqlite.order import month_of
from soc.adapters.sqlite.plan import Plan, plan
from soc.adapters.sqlite.schema import CHUNK_BITS
from soc.errors import Phrase, UsageError
from soc.model.event import Doc, Event, usable_us
from soc.model.query.evaluate import matches
from soc.model.text import vi_fold
from soc.ports import EventPage, EventQuery

FEW = 4_096
"""So many full-text hits of a file are sorted at once; more are read chunk by chunk."""
_NEVER = 1 << 62

Found = tuple[int, str, Doc]
"""Time in ms, id, document."""


class Bounds(NamedTuple):
    """Times in ms, from inclusive, until exclusive; `whole` when no document at a border needs a closer look."""

    from_ms: int
    until_ms: int
    whole: bool


def bounds_of(query: EventQuery) -> Bounds:
    """The times of a query."""
    since = -_NEVER if query.since_us is None else query.since_us // 1000
    until = _NEVER if query.until_us is None else -(-query.until_us // 1000)
    whole = not ((query.since_us or 0) % 1000 or (query.until_us or 0) % 1000)
    return Bounds(since, until, whole)


class Rows(NamedTuple):
    """Which rows of one file can fit: an SQL condition on `ev`, its values, and the range of keys [low, high)."""

    condition: str
    values: tuple[object, ...]
    low: int
    high: int
    levels: tuple[int, ...] | None


class Search:
    """Reads the events of a store."""

    def __init__(self, catalog: Catalog, control: Control) -> None:
        self._catalog = catalog
        self._control = control

    def page(self, query: EventQuery) -> EventPage:
        """See `Store.search`."""
        after = _cursor(query.after)
        found = list(islice(self.found(query, after), query.limit + 1))
        rest = len(found) > query.limit
        last = found[query.limit - 1] if rest and query.limit else None
        return EventPage([doc for _, _, doc in found[: query.limit]], f"{last[0]}:{last[1]}" if last else "")

    def found(self, query: EventQuery, after: tuple[int, str] | None = None) -> Iterator[Found]:
        """The events of a query in its order, those beyond the cursor `after` only."""
        how, bounds = plan(query.where), bounds_of(query)
        waiting = self.waiting(query)
        months: dict[int, list[Name]] = {}
        for name in self.names(how, bounds):
            months.setdefault(name.month.begin_ms, []).append(name)
        begins = {month_of(ms * 1000).begin_ms for ms, _, _ in waiting}
        last: tuple[int, str] | None = None
        for begin in sorted(begins | months.keys(), reverse=query.descending):
            streams = [self.of_file(self._catalog.get(name), query, how, bounds, after) for name in months.get(begin, [])]
            streams.append(iter([item for item in waiting if month_of(item[0] * 1000).begin_ms == begin]))
            for item in heapq.merge(*streams, key=itemgetter(0, 1), reverse=query.descending):
                at = item[:2]
                if at == last or (after is not None and (at >= after if query.descending else at <= after)):
                    continue  # a redriven event stands in two places for the moment that the pipeline takes to move it
                last = at
                yield item

    def names(self, how: Plan, bounds: Bounds) -> list[Name]:
        """The files that can hold fitting events."""
        return [
            name
            for name in self._catalog.names()
            if name.month.begin_ms < bounds.until_ms and name.month.end_ms > bounds.from_ms and (how.kinds is None or vi_fold(name.kind) in how.kinds)
        ]

    def open(self, name: Name) -> EventFile:
        """The file of a name."""
        return self._catalog.get(name)

    def waiting(self, query: EventQuery) -> list[Found]:
        """The fitting events that commands wrote and the pipeline has not yet moved into files, in order."""
        found = [(event.ts_us // 1000, event.id, event.doc) for event in self._control.inbox() if fits(query, event)]
        return sorted(found, key=itemgetter(0, 1), reverse=query.descending)

    # one file ----------------------------------------------------------------------------------------------------

    def of_file(self, file: EventFile, query: EventQuery, how: Plan, bounds: Bounds, after: tuple[int, str] | None) -> Iterator[Found]:
        """The fitting events of one file in order."""
        rows = rows_of(file, query, how, bounds, after)
        if rows is None:
            return
        docs = file.docs()
        month = file.name.month
        test = not how.exact or not bounds.whole or (how.worded and file.reworded())
        for key, group in groupby(keyed(file, rows, how.text, query.descending), key=itemgetter(0)):
            here: list[Found] = []
            ms = month.ms(key)
            for _, seq in group:
                doc = docs.doc(seq)
                if doc is not None and (not test or (in_time(query, doc) and matches(query.where, doc))):
                    here.append((ms, doc["soc.id"], doc))
            if len(here) > 1:
                here.sort(key=itemgetter(1), reverse=query.descending)
            yield from here


def rows_of(file: EventFile, query: EventQuery, how: Plan, bounds: Bounds, after: tuple[int, str] | None = None) -> Rows | None:
    """Which rows of a file can fit, None when none can."""
    month = file.name.month
    low, high = month.floor(bounds.from_ms), month.floor(bounds.until_ms)
    if after is not None:
        ms, identity = after
        if query.descending and ms < month.end_ms:
            high = min(high, month.key(ms, identity) + 1) if ms >= month.begin_ms else low
        elif not query.descending and ms >= month.begin_ms:
            low = max(low, month.key(ms, identity)) if ms < month.end_ms else high
    conditions: list[str] = []
    values: list[object] = []
    names = file.names()
    levels = None if how.levels is None else tuple(sorted(LEVEL_RANKS[level] for level in how.levels if level in LEVEL_RANKS))
    for column, wanted in (
        ("scope", None if query.scope is None else [number for number, name in names.items() if name == query.scope]),
        ("category", None if how.categories is None else [number for number, name in names.items() if name and vi_fold(name) in how.categories]),
        ("part", None if how.sources is None else [number for number, part in file.parts().items() if vi_fold(part[0]) in how.sources]),
        ("level", levels),
    ):
        if wanted is not None:
            if not wanted:
                return None
            conditions.append(f"{column} IN ({','.join('?' * len(wanted))})")
            values += wanted
    if low >= high:
        return None
    return Rows(" AND ".join(["key >= ?", "key < ?", *conditions]), (low, high, *values), low, high, levels)


def keyed(file: EventFile, rows: Rows, text: str, descending: bool) -> Iterator[tuple[int, int]]:
    """Keys and seqs of the rows, in the order of keys."""
    order = "DESC" if descending else "ASC"
    end = file.end()
    if text:
        found = _few(file, rows, text, end)
        if found is not None:
            yield from sorted(found, reverse=descending)
            return
        sql = f"SELECT ev.key, ev.seq FROM ft CROSS JOIN ev ON ev.seq = ft.rowid WHERE ft MATCH ? AND ft.rowid >= ? AND ft.rowid < ? AND {rows.condition}"
        yield from _by_chunks(file, rows, sql, (text,), end, descending)
    elif rows.levels is not None and 0 not in rows.levels:
        streams = [
            _stream(
                file,
                f"SELECT key, seq FROM ev INDEXED BY ev_level WHERE level = ? AND level > 0 AND seq < ? AND {rows.condition} ORDER BY key {order}",
                (level, end, *rows.values),
            )
            for level in rows.levels
        ]
        yield from heapq.merge(*streams, key=itemgetter(0), reverse=descending)
    else:
        sql = f"SELECT key, seq FROM ev WHERE seq >= ? AND seq < ? AND {rows.condition}"
        yield from _by_chunks(file, rows, sql, (), end, descending)


def _few(file: EventFile, rows: Rows, text: str, end: int) -> list[tuple[int, int]] | None:
    """All full-text hits that fit, when the hits are few; None when they are many."""
    first, last = _seqs(file, rows)
    sql = f"SELECT ev.key, ev.seq, {rows.condition} FROM ft CROSS JOIN ev ON ev.seq = ft.rowid WHERE ft MATCH ? AND ft.rowid >= ? AND ft.rowid < ? LIMIT ?"
    with guarded(file.path, "searching"):
        found = file.reading.execute(sql, (*rows.values, text, first, min(last, end), FEW + 1)).fetchall()
    return [(key, seq) for key, seq, fitting in found if fitting] if len(found) <= FEW else None


def _seqs(file: EventFile, rows: Rows) -> tuple[int, int]:
    """The range of seqs whose chunks touch the keys."""
    with guarded(file.path, "reading"):
        first, last = file.reading.execute("SELECT min(no), max(no) FROM chunk WHERE low < ? AND high >= ?", (rows.high, rows.low)).fetchone()
    return (0, 0) if first is None else (first << CHUNK_BITS, (last + 1) << CHUNK_BITS)


def _by_chunks(file: EventFile, rows: Rows, sql: str, before: tuple[object, ...], end: int, descending: bool) -> Iterator[tuple[int, int]]:
    """Rows in order of keys, reading chunks in that order and holding what overlaps the next."""
    with guarded(file.path, "reading"):
        chunks = file.reading.execute("SELECT no, low, high FROM chunk WHERE low < ? AND high >= ?", (rows.high, rows.low)).fetchall()
    chunks.sort(key=itemgetter(2) if descending else itemgetter(1), reverse=descending)
    held: list[tuple[int, int]] = []
    for index, (no, _low, _high) in enumerate(chunks):
        first = no << CHUNK_BITS
        with guarded(file.path, "reading"):
            found = file.reading.execute(sql, (*before, first, min(first + (1 << CHUNK_BITS), end), *rows.values)).fetchall()
        held = list(heapq.merge(held, sorted(found, reverse=descending), reverse=descending))
        border = None if index + 1 == len(chunks) else chunks[index + 1][2 if descending else 1]
        ready = len(held) if border is None else _before(held, border, descending)
        yield from held[:ready]
        del held[:ready]
    yield from held


def _before(held: Sequence[tuple[int, int]], border: int, descending: bool) -> int:
    """How many rows certainly come before all of the next chunk."""
    low, high = 0, len(held)
    while low < high:
        middle = (low + high) // 2
        if (held[middle][0] > border) if descending else (held[middle][0] < border):
            low = middle + 1
        else:
            high = middle
    return low


def _stream(file: EventFile, sql: str, values: Sequence[object]) -> Iterator[tuple[int, int]]:
    with guarded(file.path, "reading"):
        cursor = file.reading.execute(sql, values)
    while True:
        with guarded(file.path, "reading"):
            found = cursor.fetchmany(512)
        if not found:
            return
        yield from found


def fits(query: EventQuery, event: Event) -> bool:
    """Whether an event fits scope, times and condition of a query."""
    return query.scope in {None, event.scope} and in_time(query, event.doc) and matches(query.where, event.doc)


def in_time(query: EventQuery, doc: Doc) -> bool:
    """Whether the usable time of a document lies within a query's."""
    if query.since_us is None and query.until_us is None:
        return True
    at = usable_us(doc)
    return (query.since_us is None or at >= query.since_us) and (query.until_us is None or at < query.until_us)


def _cursor(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    ms, _, identity = text.partition(":")
    if not ms.lstrip("-").isdigit():
        raise UsageError(Phrase("{text!r} is no cursor of a page", text=text), hint="give the cursor of the page before, as it was printed")
    return int(ms), identity
