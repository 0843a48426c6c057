"""Changing stored events afterwards: other documents, or another threat level and category, in short transactions beside a running pipeline."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from soc.adapters.sqlite import codec
from soc.adapters.sqlite.database import guarded, transaction
from soc.adapters.sqlite.events import LEVEL_RANKS, EventFile
from soc.adapters.sqlite.plan import plan
from soc.adapters.sqlite.search import bounds_of, in_time, keyed, rows_of
from soc.model.event import Doc
from soc.model.query.evaluate import matches
from soc.model.text import event_tokens
from soc.ports import EventQuery

_AT_ONCE = 500
"""Events per transaction: some 50 ms, so that the pipeline hardly waits."""
_HOUR_KEYS = 3_600_000 << 15


def revise_file(file: EventFile, query: EventQuery, change: Callable[[Doc], Doc | None], *, dry_run: bool) -> None:
    """Put other documents in the place of the fitting ones of one file.

    Delivery: each transaction changes documents, columns, rollup and full text together. Killed in between, some
    events are changed; the same call again changes the rest.
    """
    how, bounds = plan(query.where), bounds_of(query)
    rows = rows_of(file, query, how, bounds)
    if rows is None:
        return
    docs = file.docs()
    stream = keyed(file, rows, how.text, query.descending)
    while part := list(islice(stream, _AT_ONCE)):
        news: dict[int, tuple[int, Doc]] = {}
        for key, seq in part:
            doc = docs.doc(seq)
            if doc is None or not (in_time(query, doc) and matches(query.where, doc)):
                continue
            new = change(dict(doc))
            if new is not None:
                news[seq] = (key, new)
        if news and not dry_run:
            _write(file, news)


def _write(file: EventFile, news: dict[int, tuple[int, Doc]]) -> None:
    with guarded(file.path, "changing events"), transaction(file.db):
        _write_docs(file, {seq: doc for seq, (_, doc) in news.items()})
        for seq, (key, doc) in news.items():
            rank, name = LEVEL_RANKS[doc.get("soc.threat.level", "none")], file.name_id(doc.get("soc.threat.category", ""))
            if (rank, name) != file.db.execute("SELECT level, category FROM ev WHERE seq = ?", (seq,)).fetchone():
                _move(file, seq, key // _HOUR_KEYS, rank, name)
                file.db.execute("UPDATE ev SET level = ?, category = ? WHERE seq = ?", (rank, name, seq))
        # More postings for a row are added to those it has; words that it lost are found in vain (`reworded`).
        file.db.executemany("INSERT INTO ft (rowid, t) VALUES (?, ?)", [(seq, event_tokens(doc)) for seq, (_, doc) in sorted(news.items())])
        file.db.execute("INSERT OR REPLACE INTO meta VALUES ('reworded', 1)")


def _write_docs(file: EventFile, changed: dict[int, Doc]) -> None:
    todo = sorted(changed)
    while todo:
        found = file.db.execute("SELECT first, docs, data FROM block WHERE first <= ? ORDER BY first DESC LIMIT 1", (todo[0],)).fetchone()
        first, docs, data = found
        lines = codec.unpack(data)
        here = [seq for seq in todo if seq < first + docs]
        for seq in here:
            lines[seq - first] = codec.dump(changed[seq])
        file.db.execute("UPDATE block SET data = ? WHERE first = ?", (codec.pack(lines), first))
        todo = todo[len(here) :]


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
