"""Migration: every document parsed anew into a new generation of event files, which then takes the place of the old.

The new files grow in a folder of their own, beside the old. After each round `control.db` keeps where we are, as a
batch does: a kill costs one round, the next call goes on. One transaction makes the new generation the one that
counts; the old folder is removed after it, or at the next opening.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from soc.adapters.sqlite import codec
from soc.adapters.sqlite.catalog import Catalog
from soc.adapters.sqlite.control import Control
from soc.adapters.sqlite.database import guarded, transaction
from soc.adapters.sqlite.events import EventFile, Name
from soc.adapters.sqlite.keep import events_folder
from soc.adapters.sqlite.order import month_of
from soc.model.event import Doc, event_of
from soc.model.text import event_tokens

_ROUND = 2_000
Reparse = Callable[[Doc], Doc]
Told = Callable[[int, int], None]


class _Place(msgspec.Struct):
    """Where a migration stands: the generation it makes, rounds done, the file and seq to go on at, and what it counted."""

    generation: int
    rounds: int = 0
    file: str = ""
    seq: int = 0
    events: int = 0
    changed: int = 0


def dry_run(catalog: Catalog, reparse: Reparse | None, progress: Told | None) -> tuple[int, int]:
    """How many events there are, and how many `reparse` would change."""
    place = _Place(0)
    total = _total(catalog)
    if reparse is None:
        if progress:
            progress(total, total)
        return total, 0
    for file in catalog.all():
        for part in _rounds(file, 0):
            for _, line in part:
                doc = codec.load(line)
                place.events += 1
                place.changed += reparse(dict(doc)) != doc
            if progress:
                progress(place.events, total)
    return place.events, place.changed


def rewrite(
    path: Path, control: Control, catalog: Catalog, reparse: Reparse, fact: Callable[[int, int], dict[str, Any]], progress: Told | None, events_per_file: int
) -> tuple[int, int]:
    """Write the new generation and let it take the old one's place; returns events and how many were changed.

    The caller holds the pipeline lock. Raises: StoreFull; what was written so far is kept for the next attempt.
    """
    place = _begin(path, control)
    folder = events_folder(path, place.generation)
    target = Catalog(lambda: (folder, ()), read_only=False, events_per_file=events_per_file)
    total = _total(catalog)
    try:
        for file in target.all():
            file.take_back(place.rounds)
        for name in catalog.names():
            if place.file and name < _at(catalog, place):
                continue
            _rewrite_file(catalog.get(name), name, target, control, place, reparse, lambda done: progress(done, total) if progress else None)
    finally:
        target.close()
    _swap(control, place, fact(place.events, place.changed))
    catalog.names()  # moves the catalog to the new folder
    clean(path, control)
    return place.events, place.changed


def clean(path: Path, control: Control) -> None:
    """Remove folders of generations that count no more, and what a kill left of new files."""
    kept = {events_folder(path, control.layout()[0]).name}
    unfinished = control.rows("SELECT value FROM meta WHERE name = 'migration'")
    if unfinished:
        kept.add(events_folder(path, msgspec.msgpack.decode(unfinished[0][0], type=_Place).generation).name)
    with guarded(path, "removing old generations"):
        for folder in path.glob("events*"):
            if folder.is_dir() and folder.name not in kept:
                shutil.rmtree(folder)
        for left in (*path.glob("*.new*"), *path.glob("events*/*.new*")):  # databases that a kill left without their name
            left.unlink(missing_ok=True)


def _begin(path: Path, control: Control) -> _Place:
    found = control.rows("SELECT value FROM meta WHERE name = 'migration'")
    if found:
        return msgspec.msgpack.decode(found[0][0], type=_Place)
    place = _Place(control.layout()[0] + 1)
    folder = events_folder(path, place.generation)
    with guarded(folder, "creating the new generation"):
        folder.mkdir(mode=0o700, exist_ok=True)
    _keep(control, place)
    return place


def _keep(control: Control, place: _Place) -> None:
    with guarded(control.path, "recording the migration"), transaction(control.db):
        control.put_meta("migration", msgspec.msgpack.encode(place))


def _swap(control: Control, place: _Place, fact: dict[str, Any]) -> None:
    """Make the new generation the one that counts. Its files name rounds as batches: the batch number goes beyond them."""
    with guarded(control.path, "recording the migration"), transaction(control.db):
        control.put_meta("generation", place.generation)
        control.put_meta("migration", None)
        control.put_batch(max(control.batch(), place.rounds))
        control.put_fact("migration", fact)


def _rewrite_file(file: EventFile, name: Name, target: Catalog, control: Control, place: _Place, reparse: Reparse, told: Callable[[int], None]) -> None:
    for part in _rounds(file, place.seq if place.file == name.file else 0):
        groups: dict[tuple[str, str], list[Any]] = {}
        for _, line in part:
            before = codec.load(line)
            doc = reparse(dict(before))
            place.events += 1
            place.changed += doc != before
            event = event_of(doc, event_tokens(doc))
            groups.setdefault((event.kind, month_of(event.ts_us).name), []).append(event)
        for (kind, _month), events in sorted(groups.items()):
            target.writable(kind, month_of(events[0].ts_us)).append(place.rounds + 1, events)
        place.rounds, place.file, place.seq = place.rounds + 1, name.file, part[-1][0]
        _keep(control, place)
        told(place.events)


def _rounds(file: EventFile, after: int) -> Iterator[list[tuple[int, bytes]]]:
    """The documents of a file with their seqs, in order, in rounds."""
    part: list[tuple[int, bytes]] = []
    for first, lines in file.blocks(after):
        part += [(seq, line) for seq, line in enumerate(lines, first) if seq > after]
        if len(part) >= _ROUND:
            yield part
            part = []
    if part:
        yield part


def _total(catalog: Catalog) -> int:
    return sum(file.extent()[0] for file in catalog.all())


def _at(catalog: Catalog, place: _Place) -> Name:
    """The file at which a migration goes on."""
    return next(name for name in catalog.names() if name.file == place.file)
