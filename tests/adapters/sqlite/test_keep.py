"""Backup beside a running pipeline, restore, retention, migration and reclassification, also when killed half-way."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from soc.adapters.sqlite import SqliteStore, generation, keep, open_store, restore
from soc.clock import FrozenClock, iso
from soc.config import StoreSettings
from soc.errors import NotFound, StoreCorrupt, StoreRefused
from soc.model.query import All, Term, Text
from soc.ports import Effects, EventQuery, Progress
from tests.contracts.samples import DAY, T0, batch, event, letter, redriven

EVERYTHING = EventQuery(All(), limit=10_000)


def opened(folder: Path, *, pipeline: bool = True) -> SqliteStore:
    """The store in a folder."""
    return open_store(StoreSettings(events_per_file=1000), folder, pipeline=pipeline, clock=FrozenClock(T0 + DAY))


def ids(store: SqliteStore) -> list[str]:
    """All ids in order."""
    return [doc["soc.id"] for doc in store.stream(EVERYTHING)]


class Killed(BaseException):
    """A kill at this place."""


# --- backup ------------------------------------------------------------------------------------------------------------


def test_a_backup_beside_a_running_pipeline_is_of_one_moment(tmp_path: Path) -> None:
    """Copies made while batches are committed balance: positions, ledger and events are of the same batch."""
    store = opened(tmp_path / "s")
    stop = threading.Event()

    def run() -> None:
        number = 0
        while not stop.is_set():
            store.commit(batch(*(event(number * 20 + n, kind=("firewall", "mail", "dns")[n % 3], message="x" * 500) for n in range(20))))
            number += 1

    thread = threading.Thread(target=run)
    thread.start()
    person = opened(tmp_path / "s", pipeline=False)
    try:
        manifests = [person.backup(tmp_path / f"b{n}") for n in range(8)]
    finally:
        stop.set()
        thread.join()
        person.close()
        store.close()
    for n, manifest in enumerate(manifests):
        restore(tmp_path / f"b{n}", tmp_path / f"r{n}")
        assert [path for path in (tmp_path / f"r{n}").rglob("*.db") if path.stat().st_mode & 0o077] == []
        copy = opened(tmp_path / f"r{n}")
        assert len(ids(copy)) == manifest["events"] == copy.positions().get("fw/0", 0)
        assert all(item.difference == 0 for item in copy.ledger())
        copy.close()


def test_a_restore_checks_everything_first(tmp_path: Path) -> None:
    """No manifest, a changed file, a missing file, a full target: each is refused and nothing is written."""
    store = opened(tmp_path / "s")
    store.commit(batch(*(event(n) for n in range(30))))
    store.backup(tmp_path / "b")
    store.close()
    with pytest.raises(NotFound, match="no backup"):
        restore(tmp_path / "s", tmp_path / "r")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(StoreRefused, match="not empty"):
        restore(tmp_path / "b", tmp_path / "full")
    with pytest.raises(StoreRefused, match="not empty"):
        opened(tmp_path / "s").backup(tmp_path / "full")
    [path] = (tmp_path / "b" / "events").glob("*.db")
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreCorrupt, match=path.name):
        restore(tmp_path / "b", tmp_path / "r")
    path.unlink()
    with pytest.raises(StoreCorrupt, match="missing"):
        restore(tmp_path / "b", tmp_path / "r")
    (tmp_path / "b" / "manifest.json").write_text('{"files": [{"name": "../../x", "bytes": 1, "sha256": ""}]}')
    with pytest.raises(StoreCorrupt, match="outside"):
        restore(tmp_path / "b", tmp_path / "r")
    assert not (tmp_path / "r").exists()


# --- retention ---------------------------------------------------------------------------------------------------------


def test_retention_killed_before_the_files_are_gone_is_finished_at_the_next_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger balances in between, the events count as gone at once, and the files go in the end."""
    store = opened(tmp_path / "s")
    store.commit(batch(*(event(n, ts_us=T0 - 60 * DAY) for n in range(5)), event(5)))

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(keep, "unlink", killed)
    with pytest.raises(Killed):
        store.drop_partitions(kind="firewall", before_us=T0, dry_run=False)
    monkeypatch.undo()
    store.close()
    reader = opened(tmp_path / "s", pipeline=False)
    assert (ids(reader), reader.ledger()[0].dropped, reader.ledger()[0].difference) == ([event(5).id], {"retention": 5}, 0)
    reader.close()
    assert len(list((tmp_path / "s" / "events").glob("*.db"))) == 2
    store = opened(tmp_path / "s")
    assert len(list((tmp_path / "s" / "events").glob("*.db"))) == 1
    assert (ids(store), store.ledger()[0].difference) == ([event(5).id], 0)
    store.close()


# --- migration -----------------------------------------------------------------------------------------------------------


def changed(doc: dict[str, Any]) -> dict[str, Any]:
    """A parser's new view of a document."""
    return {**doc, "event.action": "blocked"}


@pytest.mark.parametrize("place", ["round", "swap", "clean"])
def test_a_killed_migration_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Killed in a round, before the swap or after it: the old generation or the new, never a mixture; the next call finishes."""
    events = [event(n, ts_us=T0 - n % 3 * 30 * DAY, event__action="deny") for n in range(300)]
    store = opened(tmp_path / "s")
    store.commit(batch(*events))
    before = ids(store)
    monkeypatch.setattr(generation, "_ROUND", 40)
    name, calls = {"round": "_keep", "swap": "_swap", "clean": "clean"}[place], [0]
    real = getattr(generation, name)

    def killed(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == (4 if place == "round" else 1):
            raise Killed
        return real(*args)

    monkeypatch.setattr(generation, name, killed)
    with pytest.raises(Killed):
        store.migrate(changed, dry_run=False)
    monkeypatch.setattr(generation, name, real)
    store.close()
    store = opened(tmp_path / "s")
    assert ids(store) == before
    assert store.count(EventQuery(Term("event.action", "blocked"))) == (300 if place == "clean" else 0)
    if place != "clean":
        report = store.migrate(changed, dry_run=False)
        assert (report["events"], report["changed"]) == (300, 300)
    assert ids(store) == before
    assert store.count(EventQuery(Term("event.action", "blocked"))) == 300
    assert [folder.name for folder in (tmp_path / "s").glob("events*")] == ["events-1"]
    assert (store.ledger()[0].stored, store.ledger()[0].difference, len(store.facts("migration"))) == (300, 0, 1)
    store.close()


def test_a_reader_sees_the_new_generation(tmp_path: Path) -> None:
    """A store that was open for reading before a migration answers from the new files after it."""
    store = opened(tmp_path / "s")
    store.commit(batch(*(event(n, event__action="deny") for n in range(5))))
    reader = opened(tmp_path / "s", pipeline=False)
    assert reader.count(EventQuery(Term("event.action", "deny"))) == 5
    store.migrate(changed, dry_run=False)
    assert reader.count(EventQuery(Term("event.action", "blocked"))) == 5
    reader.close()
    store.close()


# --- people's commands beside a running pipeline -----------------------------------------------------------------------


def test_a_redriven_letter_is_found_at_once_and_moved_by_the_next_commit(tmp_path: Path) -> None:
    """While a pipeline runs, another process redrives: found by every question, counted once, before and after the move."""
    store = opened(tmp_path / "s")
    broken = letter(1)
    store.commit(Effects([Progress("fw1", "fw/0", 0, 1, 2, 2)], [event(0)], dead_letters=[broken]))
    person = opened(tmp_path / "s", pipeline=False)
    again = redriven(broken, level="high", category="scan", user__name="bob")
    person.settle_dead_letter(broken.id, "redriven", "mended", again)
    for step in ("waiting", "moved", "reopened"):
        for one in (person, store):
            assert ids(one) == [again.id, event(0).id], step
            assert one.count(EventQuery(Term("user.name", "bob"))) == 1
            assert one.threats(EventQuery(All())) == {("none", ""): 1, ("high", "scan"): 1}
            assert one.get_events([again.id]) == [again.doc]
            assert (one.ledger()[0].stored, one.ledger()[0].dead_lettered, one.ledger()[0].difference) == (2, 0, 0)
        if step == "waiting":
            assert store.commit(Effects([])).stored == 0
        else:
            store.close()
            store = opened(tmp_path / "s")
        assert store.status()["waiting"] == 0
    person.close()
    store.close()


def test_reclassification_runs_beside_the_pipeline(tmp_path: Path) -> None:
    """Another process changes classes while batches come: figures, words and rollup agree with the documents after it."""
    store = opened(tmp_path / "s")
    store.commit(batch(*(event(n, level="high", category="spam", ts_us=T0 - n % 2 * 30 * DAY) for n in range(700))))
    stop, number = threading.Event(), [700]

    def run() -> None:
        while not stop.is_set():
            store.commit(batch(event(number[0], level="high", category="malware")))
            number[0] += 1

    thread = threading.Thread(target=run)
    thread.start()
    person = opened(tmp_path / "s", pipeline=False)
    try:
        counts = person.reclassify(
            EventQuery(Term("soc.threat.category", "spam")), lambda doc: ("low", "policy") if doc["soc.seq"] % 2 else None, fact={"who": "an"}, dry_run=False
        )
    finally:
        stop.set()
        thread.join()
    assert (counts["seen"], counts["changed"], counts["high→low"]) == (700, 350, 350)
    docs = list(store.stream(EVERYTHING))
    assert len(docs) == number[0]
    assert store.threats(EventQuery(All())) == {("high", "spam"): 350, ("low", "policy"): 350, ("high", "malware"): number[0] - 700}
    assert store.count(EventQuery(Term("soc.threat.category", "policy"))) == 350
    assert store.count(EventQuery(Text(("policy",)))) == 350
    assert store.count(EventQuery(Text(("spam",)))) == 350
    assert sum(doc.get("soc.threat.previous") == ["high/spam"] for doc in docs) == 350
    assert store.ledger()[0].difference == 0
    person.close()
    store.close()


def test_retention_from_a_command_waits_for_no_pipeline(tmp_path: Path) -> None:
    """Without a pipeline a command takes the lock itself, and gives it back."""
    store = opened(tmp_path / "s")
    store.commit(batch(event(0, ts_us=T0 - 60 * DAY)))
    store.close()
    person = opened(tmp_path / "s", pipeline=False)
    assert len(person.drop_partitions(kind="firewall", before_us=T0, dry_run=True)) == 1
    [part] = person.drop_partitions(kind="firewall", before_us=T0, dry_run=False)
    assert part["from"] == iso(T0 - 60 * DAY)
    store = opened(tmp_path / "s")
    assert ids(store) == []
    store.close()
    person.close()
