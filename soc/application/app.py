"""What every command and query works on: the wired parts, handed over by `soc.bootstrap.open_app`.

Parts are made when first asked for, so that `soc alerts list` loads no rules and `soc parse` opens no store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from soc.clock import Clock
from soc.config import Settings
from soc.ports import Classifier, Metrics, RecordSource, Store


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: a name for the record; roles come with the incident part."""

    name: str


@dataclass
class App:
    """The application as one command sees it."""

    settings: Settings
    actor: Actor
    clock: Clock
    metrics: Metrics
    make_store: Callable[[bool], Store]
    """Opens the store; True = for the pipeline (takes the lock), False = for reading and people's commands."""
    make_classifier: Callable[[], Classifier]
    make_sources: Callable[[], list[RecordSource]]
    pipeline: bool = False
    _opened: list[Store] = field(default_factory=list)

    @cached_property
    def store(self) -> Store:
        """The store of the settings."""
        store = self.make_store(self.pipeline)
        self._opened.append(store)
        return store

    @cached_property
    def classifier(self) -> Classifier:
        """The compiled rule set of the settings."""
        return self.make_classifier()

    def close(self) -> None:
        """Close what was opened; idempotent."""
        while self._opened:
            self._opened.pop().close()
