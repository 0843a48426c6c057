"""The two sorts of database files of the store, as SQL.

An event file holds the events of one kind and UTC month, in the order in which they came (`seq` from 1):

- `ev`: one small row per event: `key` = order (time in ms since the month's begin << 15 | leading bits of the id), class.
- `block`: up to 64 consecutive documents, JSON lines compressed together: 3 µs and about 300 bytes an event, where
  single documents with a trained dictionary took 12 µs and 340 bytes.
- `ft`: full text over `Event.tokens`. Dense ascending rowids make it a third of the size that rowids in time order
  give (219 against 645 bytes an event); the time order is regained from `chunk`.
  Its segments (one per batch) are merged 32 at a time: each posting is then rewritten once or twice in the life of a
  file, which takes 5 µs an event less than merging step by step.
- `chunk`: smallest and largest key of every 1,024 events: events arrive nearly in time order, so a search reads
  chunk after chunk and has to hold only what overlaps.
- `rollup`: counts per hour and class; written in the same transaction.
- `meta`: `batch` and `from` name the last batch written and its first seq, so that a batch whose control transaction
  never came can be taken back (see soc/adapters/sqlite/commit.py).

`control.db` is the commit point: positions, ledger, dead letters, alerts, and everything else that is small.
"""

from __future__ import annotations

import string

from soc.adapters.sqlite.database import Sort

# FTS5's ascii tokenizer splits on ASCII characters that are neither alphanumeric nor listed; bytes from 0x80 are token
# characters anyway. With all punctuation listed it splits on spaces only: the tokens are ours (soc.model.text).
# Reference: https://sqlite.org/fts5.html section 4.3.2
_TOKEN_CHARS = string.punctuation.replace("'", "''").replace('"', '""')

EVENTS = Sort(
    "event",
    0x50C0E001,
    1,
    f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE part (id INTEGER PRIMARY KEY, source TEXT NOT NULL, partition TEXT NOT NULL, derived INTEGER NOT NULL, UNIQUE (source, partition, derived));
CREATE TABLE name (id INTEGER PRIMARY KEY, value TEXT NOT NULL UNIQUE);
CREATE TABLE ev (seq INTEGER PRIMARY KEY, key INTEGER NOT NULL, part INTEGER NOT NULL, level INTEGER NOT NULL, category INTEGER NOT NULL, scope INTEGER NOT NULL, counted INTEGER NOT NULL);
CREATE INDEX ev_level ON ev (level, key) WHERE level > 0;
CREATE INDEX ev_part ON ev (part);
CREATE TABLE block (first INTEGER PRIMARY KEY, docs INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE chunk (no INTEGER PRIMARY KEY, low INTEGER NOT NULL, high INTEGER NOT NULL);
CREATE TABLE rollup (hour INTEGER NOT NULL, scope INTEGER NOT NULL, level INTEGER NOT NULL, category INTEGER NOT NULL, part INTEGER NOT NULL,
  events INTEGER NOT NULL, counted INTEGER NOT NULL, PRIMARY KEY (hour, scope, level, category, part)) WITHOUT ROWID;
CREATE VIRTUAL TABLE ft USING fts5 (t, content='', detail=none, columnsize=0, tokenize="ascii tokenchars '{_TOKEN_CHARS}'");
INSERT INTO ft (ft, rank) VALUES ('hashsize', 16777216);
INSERT INTO ft (ft, rank) VALUES ('automerge', 0);
INSERT INTO ft (ft, rank) VALUES ('crisismerge', 32);
""",
    8_192,  # blocks and segments are large and written in order
)

CHUNK_BITS = 10
"""Keys are bounded per 1,024 events."""
HOUR_MS = 3_600_000

APPEND = f"""
CREATE TEMP TABLE sort (id INTEGER PRIMARY KEY, part INTEGER NOT NULL, level INTEGER NOT NULL, category INTEGER NOT NULL, scope INTEGER NOT NULL, counted INTEGER NOT NULL);
CREATE TEMP VIEW appending (batch, first, after, base, keys, sorts, texts, blocks, packed, filled) AS SELECT 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 WHERE 0;
CREATE TEMP TRIGGER append INSTEAD OF INSERT ON appending BEGIN
  SELECT RAISE(ABORT, 'the last block was changed') FROM block
    WHERE new.filled IS NOT NULL AND first = (SELECT json_extract(new.blocks, '$[0][0]')) AND data <> new.filled;
  DELETE FROM sort;
  INSERT INTO sort
    SELECT key, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]'), json_extract(value, '$[4]')
    FROM json_each(new.sorts);
  INSERT INTO ev SELECT new.first + one.key, one.value / new.base, part, level, category, scope, counted
    FROM json_each(new.keys) AS one CROSS JOIN sort ON sort.id = one.value % new.base;
  INSERT INTO ft (rowid, t) SELECT new.first + key, value FROM json_each(CAST(new.texts AS TEXT));
  INSERT INTO rollup SELECT (key >> 15) / {HOUR_MS}, scope, level, category, part, count(*), sum(counted) FROM ev WHERE seq >= new.first GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT DO UPDATE SET events = events + excluded.events, counted = counted + excluded.counted;
  INSERT INTO chunk SELECT seq >> {CHUNK_BITS}, min(key), max(key) FROM ev WHERE seq >= new.first GROUP BY 1
    ON CONFLICT DO UPDATE SET low = min(low, excluded.low), high = max(high, excluded.high);
  INSERT OR REPLACE INTO block
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), substr(new.packed, json_extract(value, '$[2]'), json_extract(value, '$[3]'))
    FROM json_each(new.blocks);
  INSERT OR REPLACE INTO meta VALUES ('batch', new.batch), ('from', new.first), ('next', new.after);
END;
"""
"""What a connection has that writes an event file: all of a batch goes in by one INSERT into `appending`, which is a transaction of its own.

Every statement that comes back to the interpreter may have to wait for it while another thread parses, and that thread for
the statement's turn: one for a file costs less than thirty. `keys` are the keys of the events, each times `base` plus the number of its
row in `sorts`; `blocks` says first seq, documents, begin (from 1) and bytes of each block in `packed`; `filled` is
what the first of them replaces, unless it is new: where that was changed meanwhile, the statement fails.
"""

ADDED = """
CREATE TABLE IF NOT EXISTS signals (no INTEGER PRIMARY KEY, from_us INTEGER NOT NULL, until_us INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS signal (no INTEGER PRIMARY KEY, rule INTEGER NOT NULL, until_us INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS signal_order ON signal (rule, until_us);
CREATE TABLE IF NOT EXISTS mark (partition TEXT PRIMARY KEY, us INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS retraction (id TEXT PRIMARY KEY, rule TEXT NOT NULL, from_us INTEGER NOT NULL, until_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revision (id TEXT NOT NULL, revision INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (id, revision)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS grp_change (no INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE);
CREATE TRIGGER IF NOT EXISTS grp_put AFTER INSERT ON grp BEGIN INSERT OR REPLACE INTO grp_change (id) VALUES (new.id); END;
CREATE TRIGGER IF NOT EXISTS grp_gone AFTER DELETE ON grp BEGIN INSERT OR REPLACE INTO grp_change (id) VALUES (old.id); END;
"""
"""Tables of `control.db` that earlier versions did not make: the signals of a batch, one row for each correlation (those of
earlier versions one for all, in `signals`, which a pipeline empties), event times by source partition, superseded states of
alerts, the retractions in force (of the facts of that kind), and which groups changed last (by triggers, so that whoever writes a
group numbers its change)."""

CONTROL = Sort(
    "control",
    0x50C0C001,
    1,
    """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO meta VALUES ('batch', 0);
CREATE TABLE position (partition TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE ledger (source TEXT NOT NULL, partition TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, received INTEGER NOT NULL,
  lost INTEGER NOT NULL, faults INTEGER NOT NULL, knowledge TEXT NOT NULL, PRIMARY KEY (source, partition)) WITHOUT ROWID;
CREATE TABLE dropped (source TEXT NOT NULL, partition TEXT NOT NULL, reason TEXT NOT NULL, records INTEGER NOT NULL,
  PRIMARY KEY (source, partition, reason)) WITHOUT ROWID;
CREATE TABLE letter (id TEXT PRIMARY KEY, source TEXT NOT NULL, partition TEXT NOT NULL, state TEXT NOT NULL, received_us INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX letter_order ON letter (received_us, id);
CREATE INDEX letter_part ON letter (source, partition, state);
CREATE TABLE alert (id TEXT PRIMARY KEY, grp TEXT NOT NULL, rule TEXT NOT NULL, level TEXT NOT NULL, scope TEXT NOT NULL, source TEXT NOT NULL, ts_us INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX alert_order ON alert (scope, ts_us, id, level);
CREATE INDEX alert_group ON alert (grp, ts_us, level, source);
CREATE TABLE grp (id TEXT PRIMARY KEY, rule TEXT NOT NULL, scope TEXT NOT NULL, last_us INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX grp_order ON grp (scope, last_us, id);
CREATE TABLE grp_part (grp TEXT NOT NULL, level TEXT NOT NULL, source TEXT NOT NULL, first_us INTEGER NOT NULL, last_us INTEGER NOT NULL,
  PRIMARY KEY (grp, level, source)) WITHOUT ROWID;
CREATE TABLE member (grp TEXT NOT NULL, occurrence TEXT NOT NULL, PRIMARY KEY (grp, occurrence)) WITHOUT ROWID;
CREATE TABLE claim (key INTEGER PRIMARY KEY, owner TEXT NOT NULL);
CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE gap (source TEXT NOT NULL, scope TEXT NOT NULL, from_us INTEGER NOT NULL, until_us INTEGER NOT NULL, cause TEXT NOT NULL, expected_s REAL NOT NULL,
  PRIMARY KEY (source, scope, from_us)) WITHOUT ROWID;
CREATE TABLE fact (no INTEGER PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE origin (origin TEXT PRIMARY KEY, spans BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE inbox (no INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, source TEXT NOT NULL, partition TEXT NOT NULL, body BLOB NOT NULL);
"""
    + ADDED,
    4_096,  # claims are small and written anywhere: each changes a page
)
