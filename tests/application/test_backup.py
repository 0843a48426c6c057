"""Backups hold people's work, too, and a restore refuses whatever is not what was backed up."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from soc.adapters.elastic.store import erase
from soc.adapters.keys import FILE as KEY
from soc.adapters.sqlite import lists
from soc.application import audit, backup, incidents, triage
from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.config import Settings, StoreSettings
from soc.errors import StoreCorrupt, UsageError
from soc.model.fact import NewFact
from soc.ports import AlertQuery
from tests.contracts.samples import DAY, T0, alert, batch, event
from tests.servers.clock import StillClock

CLOCK = StillClock(T0 + DAY)


def quiet(_name: str, _done: int, _total: int) -> None:
    """No progress."""


class Bench:
    """An application with people's work in it, and empty places to restore into."""

    def __init__(self, folder: Path, make: Callable[[str], StoreSettings]) -> None:
        self.folder = folder
        self._make = make
        self._opened: list[App] = []

    def app(self, name: str, **more: Any) -> App:
        """An application on a store of this name."""
        settings = Settings(store=self._make(name), data_dir=self.folder / name, **more)
        self._opened.append(open_app(settings, Actor("an"), clock=CLOCK, pipeline=not more))
        return self._opened[-1]

    def worked(self, *, key: bool = True) -> App:
        """Alerts, triage, an incident, evidence."""
        app = self.app("first")
        if key:
            app.wiring.signing_key(make=True)
        events = [event(n) for n in range(3)]
        app.store.commit(batch(*events, alerts=[alert(one, key=f"k{n}") for n, one in enumerate(events)]))
        getattr(app.store, "refresh", lambda: None)()
        triage.close(app, triage.queue(app, AlertQuery(limit=1)).items, "benign", "đã hỏi")
        incidents.open_incident(app, {"title": "Mã hóa tống tiền"})
        app.wiring.evidence().put(b"disk image")
        app.wiring.evidence().put(b"mail")
        return app

    def close(self) -> None:
        """Close all."""
        for app in self._opened:
            app.close()


@pytest.fixture(params=["sqlite", pytest.param("elasticsearch", marks=pytest.mark.xdist_group("elasticsearch"))])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """On both stores."""
    made: list[StoreSettings] = []

    def make(name: str) -> StoreSettings:
        if request.param == "sqlite":
            return StoreSettings(path=tmp_path / name / "store")
        store: StoreSettings = request.getfixturevalue("elastic_store")
        made.append(store.model_copy(update={"prefix": store.prefix + name}))
        return made[-1]

    found = Bench(tmp_path, make)
    yield found
    found.close()
    for store in made:
        erase(store)


def facts(app: App) -> list[tuple[str, int, bytes, str]]:
    """Everything in the journal."""
    return sorted(app.journal.scan())


def test_people_s_work_comes_back_byte_for_byte(bench: Bench, tmp_path: Path) -> None:
    """Journal, evidence and public key; the private key stays where it is; lists are made anew."""
    app = bench.worked()
    key = app.wiring.signing_key()
    assert key is not None
    manifest = backup.backup(app, tmp_path / "copy", quiet)
    assert (manifest["people"]["facts"], manifest["people"]["evidence"], manifest["people"]["anchor"]) == (len(facts(app)), 2, 1)
    assert (manifest["people"]["key"], manifest["people"]["problems"]) == (key.public, 0)
    assert not list((tmp_path / "copy").rglob(KEY))
    assert not list((tmp_path / "copy").rglob(lists.FILE))
    anchor = audit.checkpoint(app.journal, key, actor="an")
    other = bench.app("second")
    backup.restore(other, tmp_path / "copy", quiet, anchor=anchor)
    assert facts(other) == facts(app)
    getattr(other.store, "refresh", lambda: None)()
    for states in (("open", "acknowledged"), ("closed",)):
        assert triage.queue(other, AlertQuery(limit=0), states=states) == triage.queue(app, AlertQuery(limit=0), states=states)
    assert incidents.listed(other) == incidents.listed(app)
    assert [path.name for path in other.wiring.evidence().each()] == [path.name for path in app.wiring.evidence().each()]
    assert other.wiring.evidence().check(sha256(b"disk image").hexdigest()) == "ok"
    assert other.wiring.signing_key() is None
    assert audit.verify(other.journal, anchor).ok
    triage.reopen(other, triage.queue(other, AlertQuery(limit=0), states=("closed",)).items)
    assert audit.verify(other.journal, anchor).ok


def test_the_private_key_goes_along_only_when_it_is_asked_for(bench: Bench, tmp_path: Path) -> None:
    """Then it is readable by its owner only, and signs on in the new place; without a key there is none to copy."""
    with pytest.raises(UsageError, match="no key"):
        backup.backup(bench.app("none"), tmp_path / "no", quiet, with_key=True)
    app = bench.worked()
    backup.backup(app, tmp_path / "copy", quiet, with_key=True)
    assert (tmp_path / "copy" / "keys" / KEY).stat().st_mode & 0o777 == 0o600
    other = bench.app("second")
    backup.restore(other, tmp_path / "copy", quiet)
    before, after = app.wiring.signing_key(), other.wiring.signing_key()
    assert before is not None
    assert after is not None
    assert after.id == before.id
    assert (tmp_path / "second" / "keys" / KEY).stat().st_mode & 0o777 == 0o600


def test_a_backup_that_is_older_than_an_anchor_is_refused(bench: Bench, tmp_path: Path) -> None:
    """Somebody who hands in an older backup to undo what people recorded is found out; nothing is restored."""
    app = bench.worked()
    backup.backup(app, tmp_path / "copy", quiet)
    key = app.wiring.signing_key()
    assert key is not None
    app.journal.append("group/g-later", 0, [NewFact("GroupAcknowledged")], actor="an")
    anchor = audit.checkpoint(app.journal, key, actor="an")
    other = bench.app("second")
    with pytest.raises(StoreCorrupt, match="group/g-later #1: truncated"):
        backup.restore(other, tmp_path / "copy", quiet, anchor=anchor)
    assert facts(other) == []


@pytest.mark.parametrize("what", ["evidence", "evidence gone", "people", "root", "journal gone"])
def test_what_is_not_what_was_backed_up_is_refused_whole(bench: Bench, tmp_path: Path, what: str) -> None:
    """Each part by itself; the store stays empty."""
    app = bench.worked()
    copy = tmp_path / "copy"
    backup.backup(app, copy, quiet)
    spoil(copy, what)
    other = bench.app("second")
    with pytest.raises(StoreCorrupt):
        backup.restore(other, copy, quiet)
    assert facts(other) == []
    assert list(other.wiring.evidence().each()) == []
    assert other.store.positions() == {}


def spoil(copy: Path, what: str) -> None:
    """Change one part of a backup."""
    people = copy / backup.FILE
    found = msgspec.json.decode(people.read_bytes())
    evidence = next((copy / "evidence").rglob("[0-9a-f]" * 64))
    if what.startswith("evidence"):
        evidence.chmod(0o600)
        evidence.unlink() if what.endswith("gone") else evidence.write_bytes(b"something else")
    elif what == "people":
        people.write_bytes(people.read_bytes()[:-20])
    elif what == "root":
        found["root"] = "0" * 64
        people.write_bytes(msgspec.json.encode(found))
    else:
        for name in ("journal.db", "journal.ndjson.zst"):
            (copy / name).unlink(missing_ok=True)
        forged(copy, drop=True)


def forged(copy: Path, *, drop: bool = False) -> None:
    """Make the manifest fit the files again, as somebody who changes a backup would."""
    path = copy / "manifest.json"
    manifest = json.loads(path.read_bytes())
    if drop:
        manifest["files"] = [file for file in manifest["files"] if not file["name"].startswith("journal")]
    for file in manifest["files"]:
        content = (copy / file["name"]).read_bytes()
        file |= {"bytes": len(content), "sha256": sha256(content).hexdigest()}
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE fact SET body = CAST(replace(CAST(body AS TEXT), 'benign', 'tested') AS BLOB) WHERE stream GLOB 'group/*'",
        "DELETE FROM fact WHERE stream GLOB 'incident/*'",
        "UPDATE fact SET hash = zeroblob(32) WHERE position = 1",
        "UPDATE head SET hash = zeroblob(32) WHERE stream GLOB 'group/*'",
        "UPDATE fact SET stream = 'group/g-x' WHERE stream GLOB 'group/*'",
    ],
)
@pytest.mark.parametrize("with_key", [True, False])
def test_a_forged_journal_is_refused_although_the_manifest_fits(tmp_path: Path, change: str, with_key: bool) -> None:
    """Facts that were changed, removed, or moved, with sizes and hashes of files put right, with and without signatures."""
    bench = Bench(tmp_path, lambda name: StoreSettings(path=tmp_path / name / "store"))
    backup.backup(bench.worked(key=with_key), tmp_path / "copy", quiet)
    with closing(sqlite3.connect(tmp_path / "copy" / "journal.db")) as db, db:
        assert db.execute(change).rowcount
    with closing(sqlite3.connect(tmp_path / "copy" / "journal.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    forged(tmp_path / "copy")
    other = bench.app("second")
    with pytest.raises(StoreCorrupt):
        backup.restore(other, tmp_path / "copy", quiet)
    assert facts(other) == []
    bench.close()


def test_a_journal_that_was_broken_when_it_was_copied_is_said_to_be_and_comes_back_as_it_was(tmp_path: Path) -> None:
    """Evidence of what somebody did must not be lost because it is broken."""
    bench = Bench(tmp_path, lambda name: StoreSettings(path=tmp_path / name / "store"))
    app = bench.worked()
    with closing(sqlite3.connect(tmp_path / "first" / "store" / "journal.db")) as db, db:
        db.execute("UPDATE fact SET body = CAST(replace(CAST(body AS TEXT), 'benign', 'tested') AS BLOB)")
    manifest = backup.backup(app, tmp_path / "copy", quiet)
    assert manifest["people"]["problems"] >= 1
    other = bench.app("second")
    backup.restore(other, tmp_path / "copy", quiet)
    assert {(one.stream, one.kind) for one in audit.verify(other.journal).problems} == {(one.stream, one.kind) for one in audit.verify(app.journal).problems}
    bench.close()


def test_a_changed_piece_of_evidence_is_not_copied_silently(tmp_path: Path) -> None:
    """The backup says which."""
    bench = Bench(tmp_path, lambda name: StoreSettings(path=tmp_path / name / "store"))
    app = bench.worked()
    path = next(app.wiring.evidence().each())
    path.chmod(0o600)
    path.write_bytes(b"other")
    with pytest.raises(StoreCorrupt, match=path.name[:16]):
        backup.backup(app, tmp_path / "copy", quiet)
    bench.close()
