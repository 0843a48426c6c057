"""Backup while the pipeline goes on, and restore.

A backup is a store folder of its own with a `manifest.json` (names, sizes, SHA-256, counts): it can be restored, or
simply opened. All files are copied as they stood at one moment: a write lock on `control.db` stops commits for the
instant in which a reading transaction is begun on every file; the copies are then made from those snapshots. Source:
https://sqlite.org/backup.html, https://sqlite.org/isolation.html.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import orjson

from soc.adapters.sqlite.control import FILE, table_counts
from soc.adapters.sqlite.database import Connection, Sort, connect, guarded, transaction, trouble
from soc.adapters.sqlite.events import EventFile, Name
from soc.adapters.sqlite.journal import FILE as JOURNAL_FILE
from soc.adapters.sqlite.journal import SORT as JOURNAL
from soc.adapters.sqlite.schema import CONTROL, EVENTS
from soc.errors import NotFound, Phrase, StoreCorrupt, StoreFull, StoreRefused

MANIFEST = "manifest.json"
_PIECE = 1 << 20
_RESERVE_BYTES = 16 * 1_048_576
"""Left free on the target's disk."""

Step = Callable[[str, int, int], None]
"""Told (file, files done, files in all) after each file."""


def backup(folder: Path, events: Path, names: list[Name], target: Path, at: str, progress: Step | None) -> dict[str, Any]:
    """A consistent copy of a store at `target`; returns the manifest, which also lies there.

    Raises: StoreRefused when the target is not empty, StoreFull when it has too little room.
    """
    book = [(folder / JOURNAL_FILE, JOURNAL, JOURNAL_FILE)] if (folder / JOURNAL_FILE).exists() else []
    _prepare(target, [folder / FILE, *(events / name.file for name in names), *(path for path, _, _ in book)])
    (target / events.name).mkdir(mode=0o700, exist_ok=True)
    files = [(folder / FILE, CONTROL, FILE), *book, *((events / name.file, EVENTS, f"{events.name}/{name.file}") for name in names)]
    with ExitStack() as stack:
        sources = _snapshots(folder, [(path, sort) for path, sort, _ in files], stack)
        for number, (source, (path, _sort, name)) in enumerate(zip(sources, files, strict=True), 1):
            _copy(source, path, target / name)
            if progress:
                progress(name, number, len(files))
    counts = _settle(target, events.name, names)
    manifest = {"kind": "embedded", "schema": EVENTS.version, "at": at, "files": [_entry(target, name) for _, _, name in files], **counts}
    _write(target / MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    return manifest


def restore(source: Path, target: Path, progress: Step | None = None) -> dict[str, Any]:
    """Copy a backup to the new store folder `target` after checking every file against the manifest; returns the manifest.

    Raises: NotFound without a manifest, StoreCorrupt when a file is missing or was changed, StoreRefused when the
    target is not empty, StoreFull. The target is complete only on return; a failed restore leaves no `control.db`.
    """
    manifest = read_manifest(source)
    files = [str(entry["name"]) for entry in manifest["files"]]
    for entry in manifest["files"]:
        _check(source, entry)
    _prepare(target, [source / name for name in files])
    for number, name in enumerate(sorted(files, key=lambda name: name == FILE), 1):  # the commit point last
        with guarded(target / name, "restoring"):
            (target / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)
            (target / name).chmod(0o600)
            _sync(target / name)
        if progress:
            progress(name, number, len(files))
    for entry in manifest["files"]:
        _check(target, entry)
    return manifest


def read_manifest(source: Path) -> dict[str, Any]:
    """The manifest of a backup.

    Raises: NotFound, StoreCorrupt.
    """
    try:
        manifest: dict[str, Any] = orjson.loads((source / MANIFEST).read_bytes())
        if any(".." in Path(entry["name"]).parts or Path(entry["name"]).is_absolute() for entry in manifest["files"]):
            raise StoreCorrupt(Phrase("{source} names files outside the backup", source=source / MANIFEST), hint="use another backup")
    except FileNotFoundError as error:
        raise NotFound(
            Phrase("{source} is no backup: there is no {manifest}", source=source, manifest=MANIFEST), hint="name the folder that `soc store backup` wrote"
        ) from error
    except OSError as error:
        raise trouble(error, source / MANIFEST, "reading the manifest") from error
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise StoreCorrupt(Phrase("{source} is damaged: {error}", source=source / MANIFEST, error=error), hint="use another backup") from error
    return manifest


def _prepare(target: Path, files: list[Path]) -> None:
    with guarded(target, "creating the folder"):
        if target.exists() and any(target.iterdir()):
            raise StoreRefused(Phrase("{target} is not empty", target=target), hint="name a folder that is empty or does not exist yet")
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        needed = sum(path.stat().st_size for path in files if path.exists()) + _RESERVE_BYTES
        free = shutil.disk_usage(target).free
    if free < needed:
        raise StoreFull(
            Phrase("{target} has {free} MiB free, {needed} MiB are needed", target=target, free=free // 1048576, needed=needed // 1048576),
            hint="choose a target with more room",
        )


def _snapshots(folder: Path, files: list[tuple[Path, Sort]], stack: ExitStack) -> list[Connection]:
    """Connections to all files, each in a reading transaction; all of one moment between two commits."""
    connections = [stack.enter_context(closing(connect(path, sort, read_only=True, cache_kib=2_048))) for path, sort in files]
    gate = stack.enter_context(closing(connect(folder / FILE, CONTROL, read_only=False)))
    with guarded(folder / FILE, "beginning the backup"), transaction(gate):
        for connection in connections:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return connections


def _copy(source: sqlite3.Connection, path: Path, target: Path) -> None:
    with guarded(target, Phrase("copying {name}", name=path.name)), closing(sqlite3.connect(target, isolation_level=None)) as copy:
        target.chmod(0o600)
        source.backup(copy)
        source.execute("COMMIT")
        copy.execute("PRAGMA journal_mode = WAL")


def _settle(target: Path, events: str, names: list[Name]) -> dict[str, int]:
    """Take back what was written of a batch whose commit is not in the copy, close the logs, and count."""
    control = connect(target / FILE, CONTROL, read_only=False)
    with closing(control), guarded(target / FILE, "counting"):
        committed = control.execute("SELECT value FROM meta WHERE name = 'batch'").fetchone()[0]
        counts = table_counts(control)
        total = control.execute("SELECT count(*) FROM inbox").fetchone()[0]
        control.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in names:
        file = EventFile(target / events, name, read_only=False)
        with closing(file), guarded(file.path, "counting"):
            file.take_back(committed)
            total += file.db.execute("SELECT count(*) FROM ev").fetchone()[0]
            file.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return {"events": total, **counts}


def _entry(target: Path, name: str) -> dict[str, Any]:
    with guarded(target / name, "reading the copy"):
        _sync(target / name)
        return {"name": name, "bytes": (target / name).stat().st_size, "sha256": _hash(target / name)}


def _check(folder: Path, entry: dict[str, Any]) -> None:
    path = folder / entry["name"]
    if not path.is_file():
        raise StoreCorrupt(Phrase("{path} is missing from the backup", path=path), hint="use another backup")
    with guarded(path, "reading"):
        if path.stat().st_size != entry["bytes"] or _hash(path) != entry["sha256"]:
            raise StoreCorrupt(Phrase("{path} is not what the manifest says: it was changed or damaged", path=path), hint="use another backup")


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    with guarded(path, "writing"):
        path.write_bytes(content)
        _sync(path)
        _sync(path.parent)
