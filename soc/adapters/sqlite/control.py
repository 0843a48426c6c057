"""`control.db`: positions, ledger, dead letters, claims, pipeline state, gaps and facts; the commit point of every batch."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import orjson
import zstandard

from soc.adapters.sqlite.database import CORRUPT_HINT, Looking, connect, guarded, insert_many, key_lists, transaction
from soc.adapters.sqlite.schema import ADDED, CONTROL
from soc.adapters.sqlite.spans import Spans
from soc.errors import Conflict, Phrase, StoreCorrupt
from soc.model.deadletter import DeadLetter
from soc.model.event import Event
from soc.model.ids import digest_id, raw_hash
from soc.model.signal import Signal, blocks, is_asked_for, pack, unpack
from soc.ports import Gap, LedgerItem, Progress

FILE = "control.db"
_AFTER = "\U0010ffff"
"""Beyond every character that continues a prefix."""
_TS = attrgetter("ts")
_BODIES_AT_ONCE = 50
"""Of signals; each holds at most some thousands."""
_KEPT_RULES = """
WITH RECURSIVE kept (rule) AS (SELECT min(rule) FROM signal UNION ALL SELECT (SELECT min(rule) FROM signal WHERE rule > kept.rule) FROM kept WHERE kept.rule IS NOT NULL)
SELECT rule FROM kept WHERE rule IS NOT NULL
"""
"""The correlations of which there are signals: a look into the index for each, instead of one at each row."""


class Control:
    """The open control database. Methods named `put_…` run inside the caller's transaction."""

    def __init__(self, folder: Path, *, read_only: bool) -> None:
        self.path = folder / FILE
        self._looking = Looking(self.path, CONTROL) if read_only else None
        self.db = connect(self.path, CONTROL, read_only=False) if self._looking is None else self._looking.connection()
        if not read_only:
            with guarded(self.path, "opening"):
                self.db.executescript(ADDED)
                if self.db.execute("SELECT EXISTS (SELECT 1 FROM grp) AND NOT EXISTS (SELECT 1 FROM grp_change)").fetchone()[0]:
                    self.db.execute("INSERT OR IGNORE INTO grp_change (id) SELECT id FROM grp")  # groups of an earlier version
        # Reading has a connection of its own, so that it neither waits for a commit nor sees half of one.
        self._reading = self.db if read_only else connect(self.path, CONTROL, read_only=True, cache_kib=8_192)

    def close(self) -> None:
        """Give the file back."""
        if self._looking is not None:
            self._looking.close()
        self._reading.close()
        self.db.close()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, as last committed."""
        with guarded(self.path, "reading"):
            reading = self._reading if self._looking is None else self._looking.connection()
            return reading.execute(sql, values).fetchall()

    # positions and ledger ------------------------------------------------------------------------------------------

    def batch(self) -> int:
        """The number of the last committed batch."""
        number: int = self.rows("SELECT value FROM meta WHERE name = 'batch'")[0][0]
        return number

    def layout(self) -> tuple[int, frozenset[str]]:
        """The generation of event files that counts, and the files that retention is just removing."""
        meta = dict(self.rows("SELECT name, value FROM meta WHERE name IN ('generation', 'removing')"))
        return meta.get("generation", 0), frozenset(orjson.loads(meta["removing"])) if "removing" in meta else frozenset()

    def put_meta(self, name: str, value: int | bytes | None) -> None:
        """Record a value of the store as a whole (None = forget)."""
        if value is None:
            self.db.execute("DELETE FROM meta WHERE name = ?", (name,))
        else:
            self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def positions(self) -> dict[str, int]:
        """Next position per partition."""
        return dict(self.rows("SELECT partition, next FROM position"))

    def put_batch(self, number: int) -> None:
        """Record the number of the batch that this transaction commits."""
        self.db.execute("UPDATE meta SET value = ? WHERE name = 'batch'", (number,))

    def put_progress(self, progress: Progress, replays: int, faults: int) -> None:
        """Add what a batch took from a partition."""
        at = (progress.source, progress.partition)
        self.db.execute("INSERT INTO position VALUES (?, ?) ON CONFLICT DO UPDATE SET next = excluded.next", (progress.partition, progress.next))
        self.db.execute(
            "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET last = max(last, excluded.last), received = received + excluded.received,"
            " lost = lost + excluded.lost, faults = faults + excluded.faults, knowledge = excluded.knowledge",
            (*at, progress.first, progress.last, progress.received, progress.lost, faults, progress.knowledge),
        )
        for reason, records in progress.dropped.items():
            self.put_dropped(*at, reason, records)
        if replays:
            self.put_dropped(*at, "replay", replays)

    def put_dropped(self, source: str, partition: str, reason: str, records: int) -> None:
        """Add dropped records to the ledger."""
        self.db.execute(
            "INSERT INTO dropped VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET records = records + excluded.records", (source, partition, reason, records)
        )

    def ledger(self, stored: Mapping[tuple[str, str], int]) -> list[LedgerItem]:
        """The rows of the ledger, given the events recounted from the event files."""
        dead = {
            (source, partition): count
            for source, partition, count in self.rows("SELECT source, partition, count(*) FROM letter WHERE state <> 'redriven' GROUP BY 1, 2")
        }
        waiting = {(source, partition): count for source, partition, count in self.rows("SELECT source, partition, count(*) FROM inbox GROUP BY 1, 2")}
        dropped: dict[tuple[str, str], dict[str, int]] = {}
        for source, partition, reason, records in self.rows("SELECT source, partition, reason, records FROM dropped ORDER BY 3"):
            dropped.setdefault((source, partition), {})[reason] = records
        items = []
        for source, partition, first, last, received, lost, faults, knowledge in self.rows(
            "SELECT source, partition, first, last, received, lost, faults, knowledge FROM ledger ORDER BY source, partition"
        ):
            at = (source, partition)
            here, letters, gone = stored.get(at, 0) + waiting.get(at, 0), dead.get(at, 0), dropped.get(at, {})
            difference = received - here - letters - sum(gone.values())
            items.append(LedgerItem(source, partition, first, last, received, here, letters, gone, 0, difference, knowledge, lost, faults))
        return items

    # dead letters --------------------------------------------------------------------------------------------------

    def put_letter(self, letter: DeadLetter) -> tuple[bool, str]:
        """Add a dead letter, create-only; whether it is a replay from another position, and the id of a fault (same id, other bytes)."""
        fault = ""
        known = self._letter(letter.id)
        if known is not None and known.raw != letter.raw:
            fault = letter.id
            letter = msgspec.structs.replace(letter, id=digest_id(letter.id, raw_hash(letter.raw)))
            known = self._letter(letter.id)
        if known is not None:
            return (known.partition, known.seq) != (letter.partition, letter.seq), fault
        self.db.execute(
            "INSERT INTO letter VALUES (?, ?, ?, ?, ?, ?)",
            (letter.id, letter.source, letter.partition, letter.state, letter.received_us, msgspec.msgpack.encode(letter)),
        )
        return False, fault

    def _letter(self, identity: str) -> DeadLetter | None:
        found = self.db.execute("SELECT body FROM letter WHERE id = ?", (identity,)).fetchone()
        return msgspec.msgpack.decode(found[0], type=DeadLetter) if found else None

    def letters(self, state: str, source: str, limit: int, offset: int) -> tuple[int, list[DeadLetter]]:
        """Total and one page, oldest first; "" = any."""
        where = "WHERE (?1 = '' OR state = ?1) AND (?2 = '' OR source = ?2)"
        total = self.rows(f"SELECT count(*) FROM letter {where}", (state, source))[0][0]
        found = self.rows(f"SELECT body FROM letter {where} ORDER BY received_us, id LIMIT ?3 OFFSET ?4", (state, source, limit, offset))
        return total, [msgspec.msgpack.decode(body, type=DeadLetter) for (body,) in found]

    def letter(self, prefix: str) -> DeadLetter | None:
        """The dead letter of an id or unique prefix.

        Raises: Conflict.
        """
        found = self.by_prefix("letter", prefix)
        return msgspec.msgpack.decode(found, type=DeadLetter) if found is not None else None

    def by_prefix(self, table: str, prefix: str) -> bytes | None:
        """The body of the only row whose id begins with `prefix`, or is it.

        Raises: Conflict when several fit.
        """
        found = self.rows(f"SELECT id, body FROM {table} WHERE id >= ? AND id < ? ORDER BY id LIMIT 2", (prefix, prefix + _AFTER))
        if len(found) > 1 and found[0][0] != prefix:
            raise Conflict(Phrase("several ids begin with {prefix!r}", prefix=prefix), hint="give more characters of the id")
        return found[0][1] if found else None

    def put_settled(self, letter: DeadLetter) -> None:
        """Replace a dead letter by its settled form."""
        self.db.execute("UPDATE letter SET state = ?, body = ? WHERE id = ?", (letter.state, msgspec.msgpack.encode(letter), letter.id))

    # events that commands wrote, until the pipeline takes them over ----------------------------------------------------

    def inbox(self) -> list[Event]:
        """Redriven events that no event file holds yet."""
        return [msgspec.msgpack.decode(body, type=Event) for (body,) in self.rows("SELECT body FROM inbox ORDER BY no")]

    def put_inbox(self, event: Event) -> None:
        """Add a redriven event."""
        self.db.execute(
            "INSERT OR IGNORE INTO inbox (id, source, partition, body) VALUES (?, ?, ?, ?)",
            (event.id, event.source, event.partition, msgspec.msgpack.encode(event)),
        )

    def waiting(self, identity: str) -> Event | None:
        """An event that waits, as the transaction at hand sees it."""
        found = self.db.execute("SELECT body FROM inbox WHERE id = ?", (identity,)).fetchone()
        return msgspec.msgpack.decode(found[0], type=Event) if found else None

    def put_other(self, event: Event) -> None:
        """Put another form of an event that waits in the place of the one there is."""
        self.db.execute("UPDATE inbox SET body = ? WHERE id = ?", (msgspec.msgpack.encode(event), event.id))

    def put_taken(self, ids: Iterable[str]) -> None:
        """Remove what the event files hold now."""
        self.db.executemany("DELETE FROM inbox WHERE id = ?", [(identity,) for identity in ids])

    # claims, state, origins ----------------------------------------------------------------------------------------

    def owners(self, keys: Iterable[str]) -> dict[str, str]:
        """The owners of the natural keys that are claimed."""
        wanted = {_number(key): key for key in keys}
        hashes = sorted(wanted)
        found: dict[str, str] = {}
        for places, some in key_lists(hashes):
            found.update((wanted[key], owner) for key, owner in self.rows(f"SELECT key, owner FROM claim WHERE key IN {places}", some))
        return found

    def owner(self, key: str) -> str:
        """The owner of a claimed natural key, as the transaction at hand sees it."""
        owner: str = self.db.execute("SELECT owner FROM claim WHERE key = ?", (_number(key),)).fetchone()[0]
        return owner

    def put_claims(self, claims: Mapping[str, str]) -> None:
        """Record owners, the first for ever."""
        insert_many(self.db, "INSERT OR IGNORE INTO claim", sorted((_number(key), owner) for key, owner in claims.items()))

    def state(self, partition: str) -> dict[str, bytes]:
        """What the pipeline keeps for a partition."""
        prefix = partition + "\x1f"
        return {key[len(prefix) :]: value for key, value in self.rows("SELECT key, value FROM state WHERE key >= ? AND key < ?", (prefix, prefix + _AFTER))}

    def put_state(self, state: Mapping[str, bytes | None]) -> None:
        """Keep or forget pipeline state."""
        for places, gone in key_lists([key for key, value in state.items() if value is None]):
            self.db.execute(f"DELETE FROM state WHERE key IN {places}", gone)
        insert_many(self.db, "INSERT OR REPLACE INTO state", sorted((key, value) for key, value in state.items() if value is not None))

    # correlation ---------------------------------------------------------------------------------------------------

    def put_signals(self, signals: Sequence[Signal]) -> None:
        """Add the signals of a batch, those of each correlation by themselves."""
        found: dict[str, list[Signal]] = {}
        for signal in signals:
            found.setdefault(signal.correlation, []).append(signal)
        compress = zstandard.ZstdCompressor(level=1).compress  # made once a batch, a third of the time
        rows = [(_number(rule), max(map(_TS, block)), compress(pack(block))) for rule, own in found.items() for block in blocks(own)]
        insert_many(self.db, "INSERT INTO signal (rule, until_us, body)", rows)

    def signals(self, since_us: int, of: Mapping[str, int] | None = None) -> Iterator[Signal]:
        """The signals at or after a time; nothing is read of correlations that are not asked for."""
        asked = [(_number(rule), max(since_us, us)) for rule, us in of.items()] if of is not None else [(rule, since_us) for (rule,) in self.rows(_KEPT_RULES)]
        for values in asked:
            numbers = [no for (no,) in self.rows("SELECT no FROM signal WHERE rule = ? AND until_us >= ? ORDER BY no", values)]
            for begin in range(0, len(numbers), _BODIES_AT_ONCE):
                for places, some in key_lists(numbers[begin : begin + _BODIES_AT_ONCE]):
                    for (body,) in self.rows(f"SELECT body FROM signal WHERE no IN {places} ORDER BY no", some):
                        yield from (signal for signal in self._unpacked(body) if is_asked_for(signal, since_us, of))

    def _unpacked(self, body: bytes) -> list[Signal]:
        try:
            return unpack(zstandard.decompress(body))
        except (zstandard.ZstdError, msgspec.MsgspecError) as error:
            raise StoreCorrupt(Phrase("{path} is damaged: {error}", path=self.path, error=error), hint=CORRUPT_HINT) from error

    def drop_signals(self, before_us: int) -> None:
        """Remove what holds only signals before a time."""
        rules = self.db.execute(_KEPT_RULES).fetchall()
        self.db.executemany("DELETE FROM signal WHERE rule = ? AND until_us < ?", [(rule, before_us) for (rule,) in rules])

    def sort_signals(self) -> None:
        """Put signals that an earlier version kept by batch where those of each correlation stand by themselves."""
        while rows := self.rows("SELECT no, body FROM signals ORDER BY no LIMIT 50"):
            with guarded(self.path, "sorting signals"), transaction(self.db):
                for no, body in rows:
                    self.put_signals(self._unpacked(body))
                    self.db.execute("DELETE FROM signals WHERE no = ?", (no,))

    def put_marks(self, marks: Mapping[str, int]) -> None:
        """Let the marks of partitions grow."""
        self.db.executemany("INSERT INTO mark VALUES (?, ?) ON CONFLICT DO UPDATE SET us = max(us, excluded.us)", sorted(marks.items()))

    def marks(self) -> dict[str, int]:
        """The largest event time by partition."""
        return dict(self.rows("SELECT partition, us FROM mark"))

    def spans(self) -> dict[str, Spans]:
        """Seen positions of origins that are not partitions of ours."""
        return {origin: Spans(packed) for origin, packed in self.rows("SELECT origin, spans FROM origin")}

    def put_spans(self, spans: Mapping[str, Spans]) -> None:
        """Record the seen positions of some origins."""
        self.db.executemany("INSERT OR REPLACE INTO origin VALUES (?, ?)", [(origin, span.packed()) for origin, span in spans.items()])

    # silence and facts ---------------------------------------------------------------------------------------------

    def put_gap(self, gap: Gap) -> None:
        """Record a gap; one that began at the same time is the same gap, further on."""
        self.db.execute("INSERT OR REPLACE INTO gap VALUES (?, ?, ?, ?, ?, ?)", (gap.source, gap.scope, gap.from_us, gap.until_us, gap.cause, gap.expected_s))

    def gaps(self, source: str, since_us: int | None) -> list[Gap]:
        """Gap facts that reach beyond `since_us`, oldest first."""
        found = self.rows(
            "SELECT source, scope, from_us, until_us, cause, expected_s FROM gap WHERE ?1 = '' OR source = ?1 ORDER BY from_us, source, scope", (source,)
        )
        gaps = [Gap(*row) for row in found]
        return [gap for gap in gaps if since_us is None or not gap.until_us or gap.until_us >= since_us]

    def put_fact(self, kind: str, fact: Mapping[str, Any]) -> None:
        """Append a fact."""
        self.db.execute("INSERT INTO fact (kind, body) VALUES (?, ?)", (kind, orjson.dumps(dict(fact))))

    def facts(self, kind: str) -> list[dict[str, Any]]:
        """The facts of a kind, oldest first."""
        return [orjson.loads(body) for (body,) in self.rows("SELECT body FROM fact WHERE kind = ? ORDER BY no", (kind,))]


def _number(key: str) -> int:
    """What a natural key, or the id of a correlation, is kept as: 64 bits of a hash. Among ten million keys the chance of any collision is 3 in a million."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest(), signed=True)


def table_counts(db: sqlite3.Connection) -> dict[str, int]:
    """Rows of the tables that a backup's manifest names."""
    return {
        name: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for name, table in (("alerts", "alert"), ("dead_letters", "letter"), ("gaps", "gap"), ("facts", "fact"))
    }
