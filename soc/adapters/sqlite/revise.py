"""Changing stored events afterwards: other documents, or another threat level and category, in short transactions beside a running pipeline.

Why that is right while another process appends: all that the pipeline remembers of a file (its next seq, its batches, numbers of
names) is never touched here; what it rewrites of what is stored (the last block, which it fills up) it compares within its own
transaction with what it remembers. Only events of committed batches are changed, as others may be taken back. Repairs exclude one another, and whatever
removes or replaces files, by a lock of their own (soc/adapters/sqlite/lock.py), so a document is still what it was when it was read.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from pathlib import Path

from soc.adapters.sqlite import codec, lock
from soc.adapters.sqlite.database import guarded, transaction
from soc.adapters.sqlite.events import LEVEL_RANKS, EventFile
from soc.adapters.sqlite.plan import marks_of, plan
from soc.adapters.sqlite.schema import HOUR_MS
from soc.adapters.sqlite.search import bounds_of, in_time, keyed, rows_of
from soc.clock import Clock
from soc.model.event import Doc
from soc.model.query.evaluate import matches
from soc.model.text import event_tokens
from soc.ports import CrashPoint, EventQuery

_HOLD_S = 0.01
"""How long a transaction should keep the pipeline from writing to the same file; a batch holds it for some 50 ms. With this the pipeline waits 1 % of its time, with 30 ms 4 %."""
_REST = 4.0
"""Times that a transaction took, for which a repair lets a running pipeline work before the next one."""
_MOST_REST_S = 1.0
_FIRST, _LEAST, _MOST = 64, 8, 1_000
"""Events per transaction: at first, and between which bounds it follows the time that they take."""
_LOOK_S = 1.0
_HOUR_KEYS = HOUR_MS << 15

Change = Callable[[Doc], Doc | None]


class Pace:
    """How many events a repair changes at once, and how long it waits in between: hardly noticed by a pipeline, at full speed without one."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.at_once = _FIRST
        self._folder = folder
        self._clock = clock
        self._beside = False
        self._look_at = clock.monotonic()
        self._begun = 0.0

    def begin(self) -> None:
        """A transaction begins."""
        self._begun = self._clock.monotonic()

    def end(self, events: int) -> None:
        """A transaction changed so many events; waits when a pipeline wants its turn."""
        now = self._clock.monotonic()
        took = now - self._begun
        wanted = int(events * _HOLD_S / took) if took > 0 else _MOST
        self.at_once = min(max(wanted, self.at_once // 2, _LEAST), self.at_once * 2, _MOST)
        if now >= self._look_at:
            self._beside, self._look_at = lock.holder(self._folder) not in {0, os.getpid()}, now + _LOOK_S
        if self._beside:
            self._clock.sleep(min(took * _REST, _MOST_REST_S))


def revise_file(file: EventFile, query: EventQuery, change: Change, end: int, pace: Pace, *, dry_run: bool, crash: CrashPoint) -> None:
    """Put other documents in the place of the fitting ones of one file, of those before seq `end`.

    Delivery: each transaction changes documents, columns, rollup and full text together. Killed in between, some
    events are changed; the same call again changes the rest.
    """
    how, bounds = plan(query.where), bounds_of(query)
    rows = rows_of(file, query, how, bounds)
    if rows is None:
        return
    docs = file.docs()
    # All at once: a statement that stays open would keep the log from being copied into its file. 16 bytes an event.
    found = array("q")
    for at in keyed(file, rows, how.text, query.descending):
        found.extend(at)
    news: dict[int, tuple[int, Doc]] = {}
    for n in range(0, len(found), 2):
        key, seq = found[n], found[n + 1]
        doc = docs.doc(seq) if seq < end else None
        if doc is None or not (in_time(query, doc) and matches(query.where, doc)):
            continue
        new = change(dict(doc))
        if new is not None and not dry_run:
            news[seq] = (key, new)
            if len(news) >= pace.at_once:
                _write(file, news, pace, crash)
                news.clear()
    if news:
        _write(file, news, pace, crash)


def _write(file: EventFile, news: dict[int, tuple[int, Doc]], pace: Pace, crash: CrashPoint) -> None:
    lines = {seq: codec.dump(doc) for seq, (_, doc) in news.items()}
    words = [(seq, tokens + marks_of(tokens)) for seq, tokens in sorted((seq, event_tokens(doc)) for seq, (_, doc) in news.items())]
    with guarded(file.path, "changing events"), transaction(file.db):
        pace.begin()
        _write_lines(file, lines)
        for seq, (key, doc) in news.items():
            rank, name = LEVEL_RANKS[doc.get("soc.threat.level", "none")], file.name_id(doc.get("soc.threat.category", ""))
            if (rank, name) != file.db.execute("SELECT level, category FROM ev WHERE seq = ?", (seq,)).fetchone():
                _move(file, seq, key // _HOUR_KEYS, rank, name)
                file.db.execute("UPDATE ev SET level = ?, category = ? WHERE seq = ?", (rank, name, seq))
        # More postings for a row are added to those it has; words that it lost are found in vain (`reworded`).
        file.db.executemany("INSERT INTO ft (rowid, t) VALUES (?, ?)", words)
        file.db.execute("INSERT OR REPLACE INTO meta VALUES ('reworded', 1)")
        crash("revise.written")
    crash("revise.committed")
    pace.end(len(news))


def _write_lines(file: EventFile, changed: dict[int, bytes]) -> None:
    todo = sorted(changed)
    begin = 0
    while begin < len(todo):
        found = file.db.execute("SELECT first, docs, data FROM block WHERE first <= ? ORDER BY first DESC LIMIT 1", (todo[begin],)).fetchone()
        first, docs, data = found
        lines = codec.unpack(data)
        while begin < len(todo) and todo[begin] < first + docs:
            lines[todo[begin] - first] = changed[todo[begin]]
            begin += 1
        file.db.execute("UPDATE block SET data = ? WHERE first = ?", (codec.pack(lines), first))


def _move(file: EventFile, seq: int, hour: int, level: int, category: int) -> None:
    """Move one event between classes of the rollup."""
    scope, old_level, old_category, part, counted = file.db.execute("SELECT scope, level, category, part, counted FROM ev WHERE seq = ?", (seq,)).fetchone()
    old = (hour, scope, old_level, old_category, part)
    file.db.execute(
        "UPDATE rollup SET events = events - 1, counted = counted - ? WHERE hour = ? AND scope = ? AND level = ? AND category = ? AND part = ?", (counted, *old)
    )
    file.db.execute("DELETE FROM rollup WHERE events = 0 AND hour = ? AND scope = ? AND level = ? AND category = ? AND part = ?", old)
    file.db.execute(
        "INSERT INTO rollup VALUES (?, ?, ?, ?, ?, 1, ?) ON CONFLICT DO UPDATE SET events = events + 1, counted = counted + excluded.counted",
        (hour, scope, level, category, part, counted),
    )
