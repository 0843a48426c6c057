"""The embedded store: what `Store` of soc.ports promises, on SQLite files in one folder.

    <folder>/control.db                    positions, ledger, dead letters, alerts, facts: the commit point
    <folder>/events/events-<kind>-YYYY.MM-<n>.db   events of one kind and UTC month
    <folder>/pipeline.lock                 held by the one pipeline process

    <folder>/repair.lock                   held by the one command that changes, removes or replaces stored events

One pipeline writes events; any number of processes read; people's commands write `control.db` (its transactions are
short), and event files only where this says so: a redriven dead letter waits in `control.db` as an event, found by
every search, until the pipeline moves it; reclassification and re-enrichment rewrite documents in short transactions of
their own (see soc/adapters/sqlite/revise.py); retention and migration need the pipeline to be stopped.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from soc.adapters.sqlite import backup as copies
from soc.adapters.sqlite import codec, generation, keep, lock
from soc.adapters.sqlite.alerts import Alerts
from soc.adapters.sqlite.catalog import Catalog
from soc.adapters.sqlite.commit import Prepared, Writer
from soc.adapters.sqlite.control import Control
from soc.adapters.sqlite.database import guarded, transaction
from soc.adapters.sqlite.events import EventFile
from soc.adapters.sqlite.figures import Figures
from soc.adapters.sqlite.plan import plan
from soc.adapters.sqlite.revise import Change, Pace, revise_file
from soc.adapters.sqlite.search import Search, bounds_of, fits
from soc.clock import Clock, iso
from soc.config import StoreSettings
from soc.errors import Conflict, NotAllowed, NotFound, Phrase, StoreRefused
from soc.model.alert import Alert, AlertGroup
from soc.model.deadletter import SAID, DeadLetter
from soc.model.event import SCHEMA, Doc, Event, other_class
from soc.model.signal import Signal
from soc.model.text import event_tokens
from soc.ports import AlertQuery, Bucket, Committed, CrashPoint, Effects, EventPage, EventQuery, Gap, GroupEnd, LedgerItem, no_crash


def open_store(settings: StoreSettings, path: Path, *, pipeline: bool, read_only: bool = False, clock: Clock, crash: CrashPoint = no_crash) -> SqliteStore:
    """The store in the folder `path`, created when it is absent and may be written.

    With `pipeline` it takes the lock of the one writing process and takes back what a killed one left half done.
    Raises: Locked, NotAllowed, StoreNewer, StoreCorrupt, StoreFull, StoreRefused.
    """
    return SqliteStore(settings, path, pipeline=pipeline, read_only=read_only, clock=clock, crash=crash)


class SqliteStore:
    """A `Store` on SQLite; may be used from several threads."""

    def __init__(self, settings: StoreSettings, path: Path, *, pipeline: bool, read_only: bool, clock: Clock, crash: CrashPoint) -> None:
        self.path = path
        self.clock = clock
        self.read_only = read_only
        self._settings = settings
        self._writing = threading.RLock()
        self._claiming = threading.Lock()
        self._claimed: dict[str, str] = {}
        self._pipeline_lock: lock.PipelineLock | None = None
        self._writer: Writer | None = None
        self._crash = crash
        self._prepare(pipeline)
        try:
            self._open(pipeline, crash)
        except BaseException:
            self.close()
            raise

    def _prepare(self, pipeline: bool) -> None:
        if pipeline and self.read_only:
            raise NotAllowed(Phrase("{path}: a pipeline cannot work on a store that is read-only", path=self.path), hint="leave out read_only")
        if self.read_only:
            if not self.path.is_dir():
                raise StoreRefused(Phrase("there is no store at {path}", path=self.path), hint="start `soc run` first, or name another folder (store.path)")
            return
        with guarded(self.path, "creating the store"):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _open(self, pipeline: bool, crash: CrashPoint) -> None:
        if pipeline:
            self._pipeline_lock = lock.PipelineLock(self.path)
        self.control = Control(self.path, read_only=self.read_only)
        self.catalog = Catalog(self._layout, read_only=self.read_only, events_per_file=self._settings.events_per_file)
        self.searching = Search(self.catalog, self.control)
        self._figures = Figures(self.searching)
        self._alerts = Alerts(self.control)
        if pipeline:
            keep.finish_removal(self.control, self.catalog.folder)
            generation.clean(self.path, self.control)
            self.control.sort_signals()
            self._writer = Writer(self.catalog, self.control, self._alerts, crash)
            self._writer.drain()

    def _layout(self) -> tuple[Path, frozenset[str]]:
        number, removing = self.control.layout()
        return keep.events_folder(self.path, number), removing

    def close(self) -> None:
        """Give everything back; idempotent."""
        for part in ("catalog", "control"):
            if hasattr(self, part):
                getattr(self, part).close()
        if self._pipeline_lock is not None:
            self._pipeline_lock.release()

    # writing -------------------------------------------------------------------------------------------------------

    def positions(self) -> dict[str, int]:
        return self.control.positions()

    def owners(self, claims: Mapping[str, str]) -> dict[str, str]:
        self.writable()
        with self._claiming:  # a claim given here and not yet committed counts, or it is in the database
            out = {key: self._claimed[key] for key in claims if key in self._claimed}
            known = self.control.owners(key for key in claims if key not in out)
            for key, owner in claims.items():
                if key not in out:
                    out[key] = known.get(key) or self._claimed.setdefault(key, owner)
            return out

    def encode(self, doc: Doc) -> bytes:
        return codec.dump(doc)

    def commit(self, effects: Effects) -> Committed:
        with self._writing:
            return self.begin_commit(effects)()

    def begin_commit(self, effects: Effects) -> Callable[[], Committed]:
        self.writable()
        if self._writer is None:
            raise NotAllowed("only the pipeline stores events", hint="open the store with pipeline=True")
        with self._writing:
            return partial(self._write, self._writer, self._writer.prepare(effects))

    def _write(self, writer: Writer, prepared: Prepared) -> Committed:
        with self._writing:
            committed = writer.write(prepared)
            with self._claiming:
                for key in prepared.effects.claims:
                    self._claimed.pop(key, None)
            return committed

    def state(self, partition: str) -> dict[str, bytes]:
        return self.control.state(partition)

    # correlation ---------------------------------------------------------------------------------------------------

    def signals(self, since_us: int, of: Mapping[str, int] | None = None) -> Iterator[Signal]:
        return self.control.signals(since_us, of)

    def drop_signals(self, before_us: int) -> None:
        self.writable()
        with self._writing, guarded(self.control.path, "dropping signals"), transaction(self.control.db):
            self.control.drop_signals(before_us)

    def marks(self) -> dict[str, int]:
        return self.control.marks()

    # events --------------------------------------------------------------------------------------------------------

    def get_events(self, ids: Sequence[str]) -> list[Doc]:
        found = self._get_events(ids, {event.id: event.doc for event in self.control.inbox()})
        return [found[prefix] for prefix in ids if prefix in found]

    def _get_events(self, ids: Sequence[str], waiting: Mapping[str, Doc]) -> dict[str, Doc]:
        """The events of ids or beginnings of ids. Each file is opened once, the newest first: a pipeline keeps few of them open."""
        found = {prefix: {identity: doc for identity, doc in waiting.items() if identity.startswith(prefix)} for prefix in ids}
        left = [prefix for prefix in found if prefix not in found[prefix]]
        for name in self.catalog.newest_first() if left else ():
            file = self.catalog.get(name)
            for prefix in left:
                found[prefix] |= {doc["soc.id"]: doc for doc in file.find(prefix)}
            left = [prefix for prefix in left if prefix not in found[prefix]]
            if not left:
                break
        for prefix in left:
            if len(found[prefix]) > 1:
                raise Conflict(Phrase("several events have ids that begin with {prefix!r}", prefix=prefix), hint="give more characters of the id")
        return {prefix: some.get(prefix) or next(iter(some.values())) for prefix, some in found.items() if some}

    def search(self, query: EventQuery) -> EventPage:
        return self.searching.page(query)

    def stream(self, query: EventQuery) -> Iterator[Doc]:
        return (doc for _, _, doc in self.searching.found(query))

    def count(self, query: EventQuery) -> int:
        return self._figures.count(query)

    def histogram(self, query: EventQuery, interval: Literal["hour", "day", "month"], by: str = "", tz: str = "UTC") -> list[Bucket]:
        return self._figures.histogram(query, interval, by, tz)

    def facets(self, query: EventQuery, field: str, most: int = 10) -> list[tuple[str, int]]:
        return self._figures.facets(query, field, most)

    def threats(self, query: EventQuery) -> dict[tuple[str, str], int]:
        return self._figures.threats(query)

    # alerts --------------------------------------------------------------------------------------------------------

    def alert_groups(self, query: AlertQuery) -> tuple[int, list[AlertGroup]]:
        return self._alerts.groups(query)

    def group_ends(self, query: AlertQuery) -> dict[str, tuple[str, int]]:
        return self._alerts.ends(query)

    def group_changes(self, after: int) -> tuple[int, list[str]]:
        return self._alerts.changes(after)

    def ends_of(self, ids: Sequence[str] | None) -> Iterator[GroupEnd]:
        return self._alerts.ends_of(ids)

    def alerts(self, query: AlertQuery) -> tuple[int, list[Alert]]:
        return self._alerts.page(query)

    def get_alert(self, prefix: str) -> Alert | AlertGroup | None:
        return self._alerts.get(prefix)

    # dead letters --------------------------------------------------------------------------------------------------

    def dead_letters(self, *, state: str = "open", source: str = "", limit: int = 100, offset: int = 0) -> tuple[int, list[DeadLetter]]:
        return self.control.letters(state, source, limit, offset)

    def get_dead_letter(self, prefix: str) -> DeadLetter | None:
        return self.control.letter(prefix)

    def settle_dead_letter(self, letter_id: str, state: Literal["redriven", "discarded"], note: str, event: Event | None, alerts: Sequence[Alert] = ()) -> None:
        self.writable()
        if state == "redriven" and event is None:
            raise ValueError("a redriven dead letter needs its event")
        with self._writing, guarded(self.control.path, "settling a dead letter"), transaction(self.control.db):
            letter = self.control.letter(letter_id)
            if letter is None or letter.id != letter_id:
                raise NotFound(Phrase("no dead letter {letter_id}", letter_id=letter_id))
            if letter.state != "open":
                raise Conflict(Phrase("dead letter {letter_id} is already {state}", letter_id=letter_id, state=SAID.get(letter.state, letter.state)))
            if state == "redriven" and event is not None:
                if not self._get_events([event.id], {}):
                    self.control.put_inbox(self._claimed_by(event))
                else:  # its record came again meanwhile, from another position, and could be read: one event, two records
                    self.control.put_dropped(letter.source, letter.partition, "replay", 1)
                self._alerts.put(alerts)
            self.control.put_settled(msgspec.structs.replace(letter, state=state, note=note))

    def _claimed_by(self, event: Event) -> Event:
        """The event, owner of its natural key from now on unless another got it meanwhile; inside a transaction."""
        key = event.doc.get("soc.natural_key", "")
        if not key or not event.counted:
            return event
        self.control.put_claims({key: event.id})
        if self.control.owner(key) == event.id:
            return event
        return event.with_doc({**event.doc, "soc.counted": False}, counted=False)

    # ledger, silence -----------------------------------------------------------------------------------------------

    def ledger(self) -> list[LedgerItem]:
        with self._writing:
            stored: dict[tuple[str, str], int] = {}
            for file in self.catalog.all():
                for at, count in file.stored().items():
                    stored[at] = stored.get(at, 0) + count
            return self.control.ledger(stored)

    def gaps(self, *, source: str = "", since_us: int | None = None) -> list[Gap]:
        return self.control.gaps(source, since_us)

    def facts(self, kind: str) -> list[dict[str, Any]]:
        return self.control.facts(kind)

    def record_fact(self, kind: str, fact: Mapping[str, Any]) -> None:
        self.writable()
        with self._writing, guarded(self.control.path, "recording a fact"), transaction(self.control.db):
            self.control.put_fact(kind, fact)

    def retract(self, fact: Mapping[str, Any]) -> None:
        self.writable()
        with self._writing, guarded(self.control.path, "recording a fact"), transaction(self.control.db):
            self._alerts.retract(fact)

    # keeping house -------------------------------------------------------------------------------------------------

    def pipeline_pid(self) -> int:
        return lock.holder(self.path)

    def status(self) -> dict[str, Any]:
        return keep.status(self.path, self.control, self.catalog)

    def backup(self, target: Path, progress: Callable[[str, int, int], None] | None = None) -> dict[str, Any]:
        return copies.backup(self.path, self.catalog.folder, self.catalog.names(), target, iso(self.clock.now_us()), progress)

    def drop_partitions(self, *, kind: str, before_us: int, dry_run: bool) -> list[dict[str, Any]]:
        with self._alone(dry_run=dry_run):
            names = keep.ended(self.catalog, kind, before_us)
            gone = {name.partition for name in names}
            dropped = [partition for partition in keep.partitions(self.catalog) if partition["name"] in gone]
            if names and not dry_run:
                fact = {"at": iso(self.clock.now_us()), "kind": kind, "before": iso(before_us), "partitions": dropped}
                keep.remove(self.control, self.catalog, names, fact)
            return dropped

    def reclassify(self, query: EventQuery, change: Callable[[Doc], tuple[str, str] | None], *, fact: Mapping[str, Any], dry_run: bool) -> dict[str, int]:
        counts: Counter[str] = Counter(seen=0, changed=0)
        with self._writing:
            self.revise(query, partial(other_class, change, counts), dry_run=dry_run)
            if not dry_run:
                self.record_fact("reclassification", {"at": iso(self.clock.now_us()), **fact, **counts})
        return dict(counts)

    def revise(self, query: EventQuery, change: Callable[[Doc], Doc | None], *, dry_run: bool) -> None:
        if not dry_run:
            self.writable()
        how, bounds = plan(query.where), bounds_of(query)
        with self._repairing(dry_run=dry_run):
            # First what waits: whatever the pipeline moves into a file meanwhile is found there.
            seen = self._revise_waiting(query, change, dry_run=dry_run)

            def others(doc: Doc) -> Doc | None:
                return None if doc["soc.id"] in seen else change(doc)

            pace = Pace(self.path, self.clock)
            for name in self.searching.names(how, bounds):
                file = self.catalog.get(name)
                revise_file(file, query, others if seen else change, self._settled(file), pace, dry_run=dry_run, crash=self._crash)

    def _settled(self, file: EventFile) -> int:
        """One beyond the last event of a file that no kill can take back."""
        batch, begun, end = file.written()
        return end if batch <= self.control.batch() else begun

    def _revise_waiting(self, query: EventQuery, change: Change, *, dry_run: bool) -> set[str]:
        """Change what waits for the pipeline; the ids of what was given to `change`."""
        waiting = [event for event in self.control.inbox() if fits(query, event)]
        if dry_run:
            for event in waiting:
                change(dict(event.doc))
            return {event.id for event in waiting}
        seen: set[str] = set()
        for identity in [event.id for event in waiting]:
            with guarded(self.control.path, "changing events"), transaction(self.control.db):
                now = self.control.waiting(identity)
                if now is None:  # moved just now
                    continue
                seen.add(identity)
                doc = change(dict(now.doc))
                if doc is not None:
                    level, category = doc.get("soc.threat.level", "none"), doc.get("soc.threat.category", "")
                    self.control.put_other(now.with_doc(doc, level=level, category=category, tokens=event_tokens(doc)))
                    self._crash("revise.waiting")
        return seen

    def attribute(self, agencies: Mapping[str, str]) -> None:
        self.writable()
        pace = Pace(self.path, self.clock)
        left = self._alerts.in_groups(agencies)
        while left:
            some, left = left[: pace.at_once], left[pace.at_once :]
            with self._writing, guarded(self.control.path, "saying whose alerts are"), transaction(self.control.db):
                pace.begin()
                self._alerts.attribute({identity: agencies[identity] for identity in some})
                self._crash("attribute.written")
            self._crash("attribute.committed")
            pace.end(len(some))

    def migrate(self, reparse: Callable[[Doc], Doc] | None, *, dry_run: bool, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
        with self._alone(dry_run=dry_run):
            if dry_run or reparse is None:
                events, changed = generation.dry_run(self.catalog, reparse, progress)
                report = self._migration(events, changed)
                if not dry_run:
                    self.record_fact("migration", {"at": iso(self.clock.now_us()), **report})
                return report

            def fact(events: int, changed: int) -> dict[str, Any]:
                return {"at": iso(self.clock.now_us()), **self._migration(events, changed)}

            events, changed = generation.rewrite(self.path, self.control, self.catalog, reparse, fact, progress, self._settings.events_per_file)
            if self._writer is not None:
                self._writer.recover()
            return self._migration(events, changed)

    @staticmethod
    def _migration(events: int, changed: int) -> dict[str, Any]:
        return {"from": SCHEMA, "to": SCHEMA, "events": events, "changed": changed}

    @contextmanager
    def _repairing(self, *, dry_run: bool) -> Iterator[None]:
        """Nobody else changes stored events meanwhile, or removes or replaces their files; a pipeline goes on.

        Raises: Locked while another command does.
        """
        with self._writing:
            held = None if dry_run else lock.RepairLock(self.path)
            try:
                yield
            finally:
                if held is not None:
                    held.release()

    @contextmanager
    def _alone(self, *, dry_run: bool) -> Iterator[None]:
        """Nobody else writes event files meanwhile; what a killed pipeline left half done is put in order first.

        Raises: Locked while a pipeline of another process runs, or stored events are being changed.
        """
        if dry_run:
            yield
            return
        self.writable()
        with self._repairing(dry_run=False):
            if self._pipeline_lock is not None:
                yield
                return
            held = lock.PipelineLock(self.path)
            try:
                Writer(self.catalog, self.control, self._alerts, no_crash).drain()
                yield
            finally:
                held.release()

    def writable(self) -> None:
        """Raises: NotAllowed when the store was opened for reading."""
        if self.read_only:
            raise NotAllowed("the store is open for reading only", hint="leave out read_only to write")
