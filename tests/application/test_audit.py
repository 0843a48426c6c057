"""What was changed in the journal shows, and where."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from soc.adapters.sqlite.journal import FILE, SqliteJournal
from soc.application import audit
from soc.clock import FrozenClock
from soc.errors import ConfigError, Conflict, NotFound, SocError
from soc.model.fact import NewFact, decoded, digest
from soc.model.journal import Append
from soc.model.signing import SigningKey
from tests.contracts.samples import T0


@pytest.fixture
def key() -> SigningKey:
    """A key."""
    return SigningKey.generate()


def filled(folder: Path, key: SigningKey) -> audit.Anchor:
    """A journal with three streams and two checkpoints, closed; the anchor of the last."""
    journal = SqliteJournal(folder, clock=FrozenClock(T0))
    for number in range(12):
        stream = f"group/g-{number % 3}"
        journal.append(stream, number // 3, [NewFact("NoteAdded", {"n": number, "text": "ghi chú " * 5})], actor="an")
        if number == 5:
            audit.checkpoint(journal, key, actor="an")
    anchor = audit.checkpoint(journal, key, actor="an")
    journal.close()
    with closing(sqlite3.connect(folder / FILE)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("PRAGMA journal_mode = DELETE")
    return anchor


def verdict_of(folder: Path, anchor: audit.Anchor | None = None) -> audit.Verdict:
    """What verify says of a folder's journal."""
    journal = SqliteJournal(folder, clock=FrozenClock(T0), read_only=True)
    try:
        return audit.verify(journal, anchor)
    finally:
        journal.close()


def change(folder: Path, sql: str, *values: object) -> None:
    """Tamper with the database."""
    with closing(sqlite3.connect(folder / FILE)) as db:
        assert db.execute(sql, values).rowcount > 0
        db.commit()


def test_untouched_journal_holds(tmp_path: Path, key: SigningKey) -> None:
    """Nothing is reported of a journal that nobody touched."""
    anchor = filled(tmp_path, key)
    verdict = verdict_of(tmp_path, anchor)
    assert (verdict.ok, verdict.streams, verdict.facts, verdict.checkpoints, verdict.problems) == (True, 5, 15, 2, [])


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("UPDATE fact SET body = CAST(replace(body, 'ghi', 'GHI') AS BLOB) WHERE stream = 'group/g-1' AND sequence = 2", ("group/g-1", 2, "hash")),
        ("UPDATE fact SET hash = zeroblob(32) WHERE stream = 'group/g-1' AND sequence = 2", ("group/g-1", 2, "hash")),
        ("UPDATE fact SET stream = 'group/g-9' WHERE stream = 'group/g-1' AND sequence = 4", ("group/g-9", 4, "hash")),
        ("DELETE FROM fact WHERE stream = 'group/g-2' AND sequence = 2", ("group/g-2", 2, "gap")),
        ("DELETE FROM fact WHERE stream = 'group/g-2' AND sequence = 4", ("group/g-2", 4, "truncated")),
        ("DELETE FROM fact WHERE stream = 'group/g-0'", ("group/g-0", 1, "truncated")),
        ("UPDATE head SET hash = zeroblob(32) WHERE stream = 'group/g-0'", ("group/g-0", 4, "hash")),
        ("DELETE FROM fact WHERE stream = 'journal/checkpoints' AND sequence = 1", ("journal/checkpoints", 1, "gap")),
    ],
)
def test_tampering_is_named(tmp_path: Path, key: SigningKey, sql: str, expected: tuple[str, int, audit.Kind]) -> None:
    """Each way of changing the stored facts is told by stream, number and kind."""
    filled(tmp_path, key)
    change(tmp_path, sql)
    verdict = verdict_of(tmp_path)
    assert not verdict.ok
    assert audit.Problem(*expected) in verdict.problems


def rewrite(folder: Path, stream: str, sequence: int, edit: Callable[[dict[str, object]], None]) -> None:
    """Change a fact and chain everything after it anew, as somebody with the database but without the key would."""
    with closing(sqlite3.connect(folder / FILE)) as db:
        rows = db.execute("SELECT position, body, hash FROM fact WHERE stream = ? AND sequence >= ? ORDER BY sequence", (stream, sequence)).fetchall()
        previous = ""
        for number, (position, body, found) in enumerate(rows):
            fact = decoded(body, found.hex()).fact
            if number == 0:
                data = dict(fact.data)
                edit(data)
                fact = msgspec.structs.replace(fact, data=data)
            else:
                fact = msgspec.structs.replace(fact, previous=previous)
            changed = msgspec.json.encode(fact, order="deterministic")
            previous = digest(changed)
            db.execute("UPDATE fact SET body = ?, hash = ? WHERE position = ?", (changed, bytes.fromhex(previous), position))
        db.execute("UPDATE head SET hash = ? WHERE stream = ?", (bytes.fromhex(previous), stream))
        db.commit()


def test_history_chained_anew_does_not_match_the_signatures(tmp_path: Path, key: SigningKey) -> None:
    """A rewritten stream whose chain holds again is a fork from the checkpoint on that had signed it."""
    filled(tmp_path, key)
    rewrite(tmp_path, "group/g-1", 1, lambda data: data.update(n=99))
    verdict = verdict_of(tmp_path)
    assert {(problem.stream, problem.kind) for problem in verdict.problems} == {("group/g-1", "fork")}


def test_forged_checkpoint_is_not_signed(tmp_path: Path, key: SigningKey) -> None:
    """A checkpoint that was changed does not carry the signature any more."""
    filled(tmp_path, key)
    rewrite(tmp_path, audit.CHECKPOINTS, 1, lambda data: data.update(root="0" * 64))
    assert audit.Problem(audit.CHECKPOINTS, 1, "signature") in verdict_of(tmp_path).problems


def test_only_an_anchor_shows_a_journal_that_was_made_anew(tmp_path: Path, key: SigningKey) -> None:
    """Whoever replaces everything, key included, is caught by an anchor kept elsewhere, and by nothing else."""
    anchor = filled(tmp_path / "real", key)
    filled(tmp_path / "forged", SigningKey.generate())
    assert verdict_of(tmp_path / "forged").ok
    problems = verdict_of(tmp_path / "forged", anchor).problems
    assert {"signature", "fork"} <= {problem.kind for problem in problems}


def test_key_is_rotated_by_the_old_one(tmp_path: Path, key: SigningKey) -> None:
    """A new key counts when the old one signed for it; one that nobody signed for does not."""
    filled(tmp_path, key)
    journal = SqliteJournal(tmp_path, clock=FrozenClock(T0))
    second, stranger = SigningKey.generate(), SigningKey.generate()
    audit.introduce(journal, second, actor="lead", before=key, reason="yearly")
    journal.append("group/g-0", 4, [NewFact("NoteAdded")], actor="an")
    audit.checkpoint(journal, second, actor="lead")
    assert audit.verify(journal).ok
    audit.introduce(journal, stranger, actor="mallory")
    assert [(problem.stream, problem.kind) for problem in audit.verify(journal).problems] == [(audit.KEYS, "signature")]
    journal.close()


def test_changed_anchor_is_refused(tmp_path: Path, key: SigningKey) -> None:
    """An anchor whose own signature does not hold is an error, not a verdict."""
    anchor = filled(tmp_path, key)
    anchor.heads["group/g-0"] = (1, "0" * 64)
    with pytest.raises(ConfigError):
        verdict_of(tmp_path, anchor)


def test_flipped_bytes_never_pass(tmp_path: Path, key: SigningKey) -> None:
    """With any byte of the file flipped, verify says so, or every fact is still what was recorded."""
    filled(tmp_path / "good", key)
    whole = (tmp_path / "good" / FILE).read_bytes()
    bodies = list(SqliteJournal(tmp_path / "good", clock=FrozenClock(T0), read_only=True).scan())
    bad = tmp_path / "bad"
    bad.mkdir()
    noticed = 0
    for place in random.Random(7).sample(range(len(whole)), 700):
        (bad / FILE).write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            verdict = verdict_of(bad)
        except SocError:
            noticed += 1
            continue
        if verdict.ok:
            journal = SqliteJournal(bad, clock=FrozenClock(T0), read_only=True)
            assert list(journal.scan()) == bodies, place
            journal.close()
        else:
            noticed += 1
    assert noticed > 100
    shutil.rmtree(bad)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("DELETE FROM fact WHERE stream = 'group/g-2' AND sequence = 4", ("group/g-2", 4, "truncated")),
        ("DELETE FROM fact WHERE stream = 'group/g-2' AND sequence >= 3", ("group/g-2", 3, "truncated")),
        ("DELETE FROM fact WHERE stream = 'group/g-0'", ("group/g-0", 1, "truncated")),
        ("DELETE FROM head WHERE stream = 'group/g-1'", ("group/g-1", 4, "hash")),
        ("UPDATE head SET sequence = 9 WHERE stream = 'group/g-1'", ("group/g-1", 5, "truncated")),
        ("UPDATE head SET sequence = 2 WHERE stream = 'group/g-1'", ("group/g-1", 2, "hash")),
    ],
)
def test_what_was_cut_off_shows_without_a_checkpoint(tmp_path: Path, sql: str, expected: tuple[str, int, audit.Kind]) -> None:
    """The kept end of each stream must be its last fact."""
    journal = SqliteJournal(tmp_path, clock=FrozenClock(T0))
    for number in range(12):
        journal.append(f"group/g-{number % 3}", number // 3, [NewFact("NoteAdded", {"n": number})], actor="an")
    assert audit.verify(journal).ok
    journal.close()
    change(tmp_path, sql)
    assert verdict_of(tmp_path).problems == [audit.Problem(*expected)]


def test_thousands_of_streams_are_signed_in_parts(tmp_path: Path, key: SigningKey) -> None:
    """Ends that fit into no single fact stand in several, which the signature chains; parts of a signer that was killed do no harm."""
    journal = SqliteJournal(tmp_path, clock=FrozenClock(T0))

    def tell(expected: int) -> None:
        journal.append_each([Append(f"group/g-{number:060d}", expected, (NewFact("NoteAdded"),)) for number in range(2_500)], actor="an")

    tell(0)
    anchor = audit.checkpoint(journal, key, actor="an")
    kinds = [one.fact.kind for one in journal.read(audit.CHECKPOINTS)]
    assert (kinds[-1], set(kinds[:-1]), len(kinds) > 3) == (audit.SIGNED, {audit.HEADS}, True)
    verdict = audit.verify(journal, anchor)
    assert (verdict.ok, verdict.checkpoints, anchor.checkpoint) == (True, 1, 1)
    tell(1)
    orphans = {"heads": {f"group/g-{7:060d}": [2, journal.read(f"group/g-{7:060d}")[1].hash]}}
    journal.append(audit.CHECKPOINTS, len(kinds), [NewFact(audit.HEADS, orphans)], actor="an")
    assert audit.heads_of([one.fact for one in journal.read(audit.CHECKPOINTS)])[f"group/g-{7:060d}"][0] == 1
    tell(2)
    second = audit.checkpoint(journal, key, actor="an")
    assert (second.checkpoint, audit.verify(journal, second).problems, audit.verify(journal, anchor).problems) == (2, [], [])
    journal.close()
    change(tmp_path, "DELETE FROM fact WHERE stream = 'journal/checkpoints' AND sequence = 2")
    assert any(problem.stream == audit.CHECKPOINTS for problem in verdict_of(tmp_path).problems)


def test_history_is_found_by_the_beginning_of_its_name(tmp_path: Path, key: SigningKey) -> None:
    """A stream is found by a unique beginning; several are a conflict, none is not found."""
    filled(tmp_path, key)
    journal = SqliteJournal(tmp_path, clock=FrozenClock(T0), read_only=True)
    assert len(audit.history(journal, "group/g-1")) == 4
    assert audit.history(journal, "journal/k")[0].fact.stream == audit.KEYS
    with pytest.raises(Conflict):
        audit.history(journal, "group/")
    with pytest.raises(NotFound):
        audit.history(journal, "incident/")
    journal.close()
