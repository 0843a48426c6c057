"""The registry as the pipeline asks it: which state of it is in force, taken over between two batches, and named in every event.

A state is how many imports of each kind there were, and the day (objects count from a day to a day). Its name stands in each event
(`soc.registry`), and a fact of kind `registry` says what the name means, so that a replay asks the registry that was asked then.
While nothing is registered events carry no name.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import msgspec

from soc.application.app import App
from soc.application.numbered import local_day
from soc.clock import iso
from soc.errors import StoreCorrupt
from soc.model.event import Doc
from soc.model.ids import digest_id
from soc.organization.directory import Directory
from soc.organization.registry import Registry, stream_of
from soc.ports import Store
from soc.telemetry import get_logger

log = get_logger(__name__)

FACT = "registry"
STAMP = "soc.registry"
ASKED = ("agencies", "points", "systems", "mailboxes")
LOOK_EVERY_S = 10.0
_MOST_KEPT = 8

Enrich = Callable[[Doc], None]


class State(msgspec.Struct, frozen=True):
    """A state of the registry: imports by kind, and the day."""

    versions: dict[str, int]
    day: str

    @property
    def name(self) -> str:
        """What events call it; "" while nothing is registered."""
        return digest_id(FACT, self.day, *(f"{kind}={number}" for kind, number in sorted(self.versions.items())))[:12] if any(self.versions.values()) else ""


def present(app: App) -> State:
    """The registry as it is now. Cost: a look at the ends of its streams."""
    wanted = {stream_of(kind): kind for kind in ASKED}
    versions = {wanted[head.stream]: head.sequence for head in app.journal.heads(stream_of("")) if head.stream in wanted}
    return State(versions, local_day(app).isoformat())


def recorded(app: App, name: str) -> State | None:
    """The state that events call by this name ("" = none was registered); None when no fact says what it was."""
    for fact in reversed(app.store.facts(FACT)):
        if fact.get("name") == name:
            return State({str(kind): int(number) for kind, number in fact["versions"].items()}, str(fact["day"]))
    return None


def note(app: App, store: Store, state: State) -> None:
    """Append a fact when another state than the last one recorded is in force from the next batch on."""
    known = store.facts(FACT)
    last = str(known[-1]["name"]) if known else ""
    if state.name != last or not known:
        fact = {"at": iso(app.clock.now_us()), "name": state.name, "before": last, "versions": state.versions, "day": state.day, "by": app.actor.name}
        store.record_fact(FACT, fact)


def enricher(app: App, state: State | None = None) -> Enrich | None:
    """What adds agency, network point and system to events by a state of the registry (None = the present one); None for an empty one.

    Each state is read once for all pipelines of an application.
    """
    state = state or present(app)
    if not state.name:
        return None
    kept: dict[str, Enrich | None] = app.__dict__.setdefault("_enrichers", {})
    if state.name not in kept:
        while len(kept) >= _MOST_KEPT:
            kept.pop(next(iter(kept)))
        kept[state.name] = _enricher(app, state)
    return kept[state.name]


def _enricher(app: App, state: State) -> Enrich | None:
    directory = Directory(Registry(app.journal, ASKED, versions=state.versions), date.fromisoformat(state.day))
    if directory.empty:
        return None
    name, enrich = state.name, directory.enrich

    def stamped(doc: Doc) -> None:
        enrich(doc)
        doc[STAMP] = name

    return stamped


class RegistryWatch:
    """Sees that the registry was changed, or that another day began, and has the pipeline ask the new state from the next batch on."""

    def __init__(self, app: App, use: Callable[[Enrich | None], None]) -> None:
        self._app = app
        self._use = use
        self._state = present(app)
        self._ready: tuple[State, Enrich | None] | None = None
        self._next = 0.0

    @property
    def due(self) -> bool:
        """Whether another state waits for the end of a batch."""
        return self._ready is not None

    def look(self) -> None:
        """Look, now and then; the new state is read here, outside the batch. Raises: Unreachable."""
        now = self._app.clock.monotonic()
        if now < self._next or self.due:
            return
        self._next = now + LOOK_EVERY_S
        state = present(self._app)
        if state.name == self._state.name:
            return
        try:
            self._ready = state, enricher(self._app, state)
        except StoreCorrupt as error:  # whose events are is one thing; that they are taken in goes before
            log.error("the registry cannot be read, the state before stays in force", error=error.message, hint=error.hint)

    def switch(self) -> None:
        """Take over what waits; recorded first, and kept waiting when that is not possible. Raises: Unreachable, StoreFull."""
        if self._ready is None:
            return
        state, enrich = self._ready
        note(self._app, self._app.store, state)
        self._use(enrich)
        self._state, self._ready = state, None
        log.info("another state of the registry is in force", name=state.name, versions=state.versions, day=state.day)
