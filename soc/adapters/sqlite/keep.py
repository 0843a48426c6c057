"""Keeping house: what the store holds, and removing whole partitions."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from soc.adapters.sqlite import lock
from soc.adapters.sqlite.backup import restore
from soc.adapters.sqlite.catalog import Catalog
from soc.adapters.sqlite.control import FILE, Control
from soc.adapters.sqlite.database import guarded, transaction, unlink
from soc.adapters.sqlite.events import Name
from soc.adapters.sqlite.schema import CONTROL, EVENTS
from soc.clock import iso

__all__ = ["ended", "events_folder", "finish_removal", "partitions", "remove", "restore", "status"]


def events_folder(path: Path, generation: int) -> Path:
    """The folder of a generation of event files."""
    return path / ("events" if generation == 0 else f"events-{generation}")


def status(path: Path, control: Control, catalog: Catalog) -> dict[str, Any]:
    """See `Store.status`."""
    found = partitions(catalog)
    return {
        "kind": "embedded",
        "place": str(path),
        "schema": EVENTS.version,
        "control_schema": CONTROL.version,
        "generation": control.layout()[0],
        "pipeline_pid": lock.holder(path),
        "partitions": found,
        "events": sum(partition["events"] for partition in found),
        "bytes": sum(partition["bytes"] for partition in found) + (path / FILE).stat().st_size,
        "waiting": len(control.inbox()),
        "free_bytes": shutil.disk_usage(path).free,
    }


def partitions(catalog: Catalog) -> list[dict[str, Any]]:
    """Kind and month, events, bytes, and the times of the first and last event, of every partition."""
    found: dict[str, dict[str, Any]] = {}
    for file in catalog.all():
        events, first_ms, last_ms = file.extent()
        part = found.setdefault(
            file.name.partition,
            {"name": file.name.partition, "kind": file.name.kind, "month": file.name.month.name, "events": 0, "bytes": 0, "files": 0, "from": "", "until": ""},
        )
        part["events"] += events
        part["bytes"] += file.bytes()
        part["files"] += 1
        if events:
            part["from"] = min(part["from"] or "~", iso(first_ms * 1000))
            part["until"] = max(part["until"], iso(last_ms * 1000))
    return sorted(found.values(), key=lambda part: part["name"])


def ended(catalog: Catalog, kind: str, before_us: int) -> list[Name]:
    """The files of a kind whose month ends before the time."""
    return [name for name in catalog.names() if name.kind == kind and name.month.end_ms * 1000 <= before_us]


def remove(control: Control, catalog: Catalog, names: Sequence[Name], fact: dict[str, Any]) -> None:
    """Take event files out of the store: counted as dropped for `retention`, recorded as a fact, then removed.

    From the one transaction on they count as gone; a kill before they are removed is made good at the next opening.
    """
    gone: Counter[tuple[str, str]] = Counter()
    for name in names:
        gone.update(catalog.get(name).stored())
    with guarded(control.path, "recording retention"), transaction(control.db):
        for (source, partition), count in gone.items():
            control.put_dropped(source, partition, "retention", count)
        control.put_fact("retention", fact)
        control.put_meta("removing", orjson.dumps([name.file for name in names]))
    for name in names:
        catalog.forget(name)
    finish_removal(control, catalog.folder)


def finish_removal(control: Control, folder: Path) -> None:
    """Remove the files that were taken out of the store."""
    removing = control.layout()[1]
    if removing:
        with guarded(folder, "removing event files"):
            for file in removing:
                unlink(folder / file)
        with guarded(control.path, "recording retention"), transaction(control.db):
            control.put_meta("removing", None)
