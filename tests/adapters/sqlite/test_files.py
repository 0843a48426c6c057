"""Event files one after another: what a full one gives back, and what is known of assembled events after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.adapters.sqlite import SqliteStore, open_store
from soc.adapters.sqlite.events import EventFile
from soc.clock import FrozenClock
from soc.config import StoreSettings
from soc.model.event import Event
from soc.model.query import All, Text
from soc.ports import EventQuery
from tests.contracts.samples import DAY, T0, batch, event

EVERYTHING = EventQuery(All(), limit=10_000)


def opened(folder: Path) -> SqliteStore:
    """The store in a folder, with the smallest files."""
    return open_store(StoreSettings(events_per_file=1000), folder, pipeline=True, clock=FrozenClock(T0 + DAY))


def test_a_full_file_gives_its_log_back_and_stays_readable(tmp_path: Path) -> None:
    """When the next file begins, the one before is closed and leaves no log on the disk; all events are found, and late ones go where they belong."""
    store = opened(tmp_path / "store")
    for first in range(0, 2400, 400):
        store.commit(batch(*[event(number, event__action=f"word{number}") for number in range(first, first + 400)]))
    first_file, second_file = sorted((tmp_path / "store" / "events").glob("*.db"))
    logs = [file.with_name(file.name + "-wal") for file in (first_file, second_file)]
    assert not logs[0].exists()
    assert logs[1].stat().st_size > 0
    assert len(list(store.stream(EVERYTHING))) == 2400
    assert [doc["soc.seq"] for doc in store.search(EventQuery(Text(("word3",)))).docs] == [3]
    store.commit(batch(*[event(number) for number in range(2400, 2410)]))
    assert store.count(EVERYTHING) == 2410
    store.commit(batch(event(2410, ts_us=T0 + 60 * DAY)))  # a month in which nothing was yet: the files before rest
    store.commit(batch(event(2411)))
    assert store.count(EVERYTHING) == 2412
    store.close()


def test_an_assembled_event_is_known_after_a_restart_and_new_ones_are_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id of an assembled event comes again: it is stored once. One that never came costs no search of the event files."""
    store = opened(tmp_path / "store")
    store.commit(batch(event(0), event(0, derived="Q1", kind="mail")))
    store.close()
    store = opened(tmp_path / "store")
    searched: list[str] = []
    find = EventFile.find

    def watched(file: EventFile, prefix: str, most: int = 2) -> list[dict[str, object]]:
        searched.append(prefix)
        return find(file, prefix, most)

    monkeypatch.setattr(EventFile, "find", watched)
    again: Event = event(1, derived="Q1", kind="mail")
    store.commit(batch(event(1), again, event(1, derived="Q2", kind="mail")))
    assert set(searched) == {again.id}
    assert sum("soc.derived" in doc for doc in store.stream(EVERYTHING)) == 2
    store.close()
