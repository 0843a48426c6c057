"""One rig per store: how to open, reopen, refresh and restore it, so that one suite fits all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from soc.adapters.elastic.keep import restore
from soc.adapters.elastic.store import erase
from soc.adapters.elastic.store import open_store as open_elastic
from soc.adapters.memory import MemoryStore
from soc.clock import FrozenClock
from soc.config import StoreSettings
from soc.ports import CrashPoint, Store, no_crash
from tests.contracts.samples import DAY, T0
from tests.servers.clock import clock_for
from tests.servers.fixtures import patient_store

_numbers = count(1)
STORES = ["memory", "sqlite", pytest.param("elasticsearch", marks=[pytest.mark.real, pytest.mark.timeout(1200)])]


@dataclass
class Rig:
    """A store under test. `make(pipeline, read_only, crash)` opens it on the same data; `into(path)` restores a backup."""

    name: str
    clock: FrozenClock
    make: Callable[[bool, bool, CrashPoint], Store]
    into: Callable[[Path], Store]
    opened: list[Store] = field(default_factory=list)

    @property
    def store(self) -> Store:
        """The store that was opened last, opened now if none is."""
        return self.opened[-1] if self.opened else self.open()

    def open(self, *, pipeline: bool = True, read_only: bool = False, crash: CrashPoint = no_crash) -> Store:
        """Close what is open for writing and open again."""
        if pipeline:
            self.close()
        self.opened.append(self.make(pipeline, read_only, crash))
        return self.opened[-1]

    def settle(self) -> None:
        """Make everything written findable (Elasticsearch finds only after a refresh)."""
        refresh: Callable[[], Any] = getattr(self.store, "refresh", lambda: None)
        refresh()

    def close(self) -> None:
        """Close all."""
        while self.opened:
            self.opened.pop().close()


def make_rig(name: str, folder: Path, request: pytest.FixtureRequest) -> Rig:
    """The rig of a store by name."""
    clock = clock_for(name, T0 + DAY)
    return {"memory": _memory, "sqlite": _sqlite, "elasticsearch": _elastic}[name](folder, clock, request)


def _memory(folder: Path, clock: FrozenClock, request: pytest.FixtureRequest) -> Rig:
    kept = MemoryStore(clock=clock)

    def make(pipeline: bool, read_only: bool, crash: CrashPoint) -> Store:
        again = MemoryStore(clock=clock, read_only=read_only, crash=crash)
        again._all = kept._all
        return again

    def into(source: Path) -> Store:
        restored = MemoryStore(clock=clock)
        restored.restore(source)
        return restored

    return Rig("memory", clock, make, into)


def _sqlite(folder: Path, clock: FrozenClock, request: pytest.FixtureRequest) -> Rig:
    sqlite = pytest.importorskip("soc.adapters.sqlite.store")
    settings = StoreSettings(events_per_file=1_000)

    def make(pipeline: bool, read_only: bool, crash: CrashPoint) -> Store:
        store: Store = sqlite.open_store(settings, folder / "store", pipeline=pipeline, read_only=read_only, clock=clock, crash=crash)
        return store

    def into(source: Path) -> Store:
        store: Store = sqlite.open_store(settings, source, pipeline=True, clock=clock)
        return store

    return Rig("sqlite", clock, make, into)


def _elastic(folder: Path, clock: FrozenClock, request: pytest.FixtureRequest) -> Rig:
    settings = patient_store(request.getfixturevalue("elastic_url"), f"rig_{os.getpid()}_{next(_numbers)}")
    request.addfinalizer(lambda: erase(settings))

    def make(pipeline: bool, read_only: bool, crash: CrashPoint) -> Store:
        store: Store = open_elastic(settings, pipeline=pipeline, read_only=read_only, clock=clock, crash=crash)
        return store

    def into(source: Path) -> Store:
        other = settings.model_copy(update={"prefix": settings.prefix + "r"})
        request.addfinalizer(lambda: erase(other))
        restore(other, source, clock=clock)
        store: Store = open_elastic(other, pipeline=True, read_only=False, clock=clock)
        return store

    return Rig("elasticsearch", clock, make, into)


@pytest.fixture(params=STORES)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """A fresh, empty store."""
    rig = make_rig(request.param, tmp_path, request)
    yield rig
    rig.close()


@pytest.fixture
def store(rig: Rig) -> Store:
    """A fresh, empty store, open for the pipeline."""
    return rig.open()
