"""The commit of a batch: event files first, each by its own transaction, `control.db` last.

`control.db` names the last committed batch. An event file names the last batch that was written to it and its first
event; where that number is higher, the process died (or the disk filled) in between, and the batch is taken back
before anything else is written. So a batch is stored whole or not at all, and the records that are read again find
nothing of the attempt that failed.

Replays: a record comes twice either from its own partition, below the committed position, or from another partition
that names the same origin. Both are noticed without looking anything up; only then is the id looked up. An event that
was made of several records has no position: its id is kept among the claims, and looked up only when it stands there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from soc.adapters.sqlite.alerts import Alerts
from soc.adapters.sqlite.catalog import Catalog
from soc.adapters.sqlite.control import Control
from soc.adapters.sqlite.database import guarded, transaction
from soc.adapters.sqlite.events import Appending, EventFile
from soc.adapters.sqlite.order import DAY_US, month_of
from soc.adapters.sqlite.spans import Spans
from soc.errors import Conflict, Phrase
from soc.model.event import Doc, Event
from soc.model.ids import digest_id
from soc.ports import Committed, CrashPoint, Effects, Progress

_Known = Callable[[Event], Doc | None]
_MaybeSeen = Callable[[str, int, str, int], bool]


class Writer:
    """Writes batches; one per store, of the process that holds the pipeline lock."""

    def __init__(self, catalog: Catalog, control: Control, alerts: Alerts, crash: CrashPoint) -> None:
        self._catalog = catalog
        self._control = control
        self._alerts = alerts
        self._crash = crash
        self._sound = False
        self._recovered = 0
        """How often: what was prepared before is not to be written."""
        self._batch = 0
        self._positions: dict[str, int] = {}
        self._spans: dict[str, Spans] = {}
        self.recover()

    def recover(self) -> None:
        """Take back what an unfinished batch left, and read anew where we stand."""
        self._sound = False
        self._recovered += 1
        self._batch = self._control.batch()
        for file in self._catalog.all():
            file.take_back(self._batch)
        self._positions = self._control.positions()
        self._spans = self._control.spans()
        self._sound = True

    def commit(self, effects: Effects) -> Committed:
        """See `Store.commit`.

        Raises: Conflict when a partition's records were partly committed by somebody else.
        """
        return self.write(self.prepare(effects))

    def prepare(self, effects: Effects) -> Prepared:
        """Sort the events out and make what is to be written of them; nothing of the batch is stored yet, and the one before must be.

        Raises: as `commit`.
        """
        self._crash("store.begin")
        if not self._sound:
            self.recover()
        fresh = [progress for progress in effects.progress if self._is_fresh(progress)]
        waiting = self._control.inbox()
        derived = [event.id for event in effects.events if event.derived]
        sifted = _Sifted(self._known, self._maybe_seen, waiting, self._control.owners(derived).keys())
        with self._catalog.looking_back():
            for event in effects.events:
                sifted.take(event)
        return Prepared(effects, fresh, waiting, sifted, self._prepare_events([*waiting, *sifted.new]), self._recovered)

    def write(self, prepared: Prepared) -> Committed:
        """Store what was prepared, whole or not at all.

        Raises: what the store raises; then prepare anew.
        """
        if prepared.recovered != self._recovered or not self._sound:
            prepared = self.prepare(prepared.effects)
        while True:
            try:
                return self._write(prepared)
            except _Revised:  # what was written to files is taken back first
                prepared = self.prepare(prepared.effects)

    def _write(self, prepared: Prepared) -> Committed:
        effects, fresh, waiting, sifted = prepared.effects, prepared.fresh, prepared.waiting, prepared.sifted
        committed = Committed(sifted.stored, 0, sifted.faults, [])
        self._sound = False
        for file, appending in prepared.files:
            file.write(appending)
            self._crash("store.events.written")
        with guarded(self._control.path, "committing"), transaction(self._control.db):
            for event in waiting:
                now = self._control.waiting(event.id)
                if now is None or now.doc != event.doc:
                    raise _Revised
            self._write_control(effects, fresh, sifted, committed)
            self._control.put_taken(event.id for event in waiting)
            self._control.put_batch(self._batch + 1)
            self._crash("store.control.written")
        self._batch += 1
        for progress in fresh:
            self._positions[progress.partition] = progress.next
        self._sound = True
        self._crash("store.committed")
        return committed

    def drain(self) -> None:
        """Move events that commands wrote into the event files."""
        if self._control.rows("SELECT 1 FROM inbox LIMIT 1"):
            self.commit(Effects(progress=[]))

    def _is_fresh(self, progress: Progress) -> bool:
        """Whether the progress lies beyond what is committed; False when it was committed before."""
        committed = self._positions.get(progress.partition)
        if committed is None or progress.first >= committed:
            return True
        if progress.next <= committed:
            return False
        raise Conflict(
            Phrase(
                "partition {partition}: records {first} to {last} were given, but all before {committed} are committed",
                partition=progress.partition,
                first=progress.first,
                last=progress.last,
                committed=committed,
            ),
            hint="another worker has taken the partition over; read again from the store's position",
        )

    def _prepare_events(self, events: Sequence[Event]) -> list[tuple[EventFile, Appending]]:
        by_file: dict[tuple[str, str], list[Event]] = {}
        by_day: dict[tuple[str, int], list[Event]] = {}  # the same lists, found without asking for the month of each
        for event in events:
            day = event.kind, event.ts_us // DAY_US
            group = by_day.get(day)
            if group is None:
                group = by_day[day] = by_file.setdefault((event.kind, month_of(event.ts_us).name), [])
            group.append(event)
        out = []
        for (kind, _month), group in sorted(by_file.items()):
            file = self._catalog.writable(kind, month_of(group[0].ts_us))
            out.append((file, file.prepare(self._batch + 1, group)))
        self._catalog.take_in_hand([file for file, _ in out])
        return out

    def _write_control(self, effects: Effects, fresh: Sequence[Progress], sifted: _Sifted, committed: Committed) -> None:
        control, replays, faulty = self._control, sifted.replays, sifted.faulty
        for letter in effects.dead_letters:
            replayed, fault = control.put_letter(letter)
            replays[letter.partition] += replayed
            if fault:
                faulty[letter.partition] += 1
                committed.faults.append(fault)
        committed.replayed = sum(replays.values())
        committed.new_alerts = self._alerts.put(effects.alerts)
        self._crash("store.alerts.written")
        for progress in fresh:
            control.put_progress(progress, replays[progress.partition], faulty[progress.partition])
        control.put_signals(effects.signals)
        control.put_marks({progress.partition: effects.marks[progress.partition] for progress in fresh if progress.partition in effects.marks})
        control.put_claims(effects.claims | dict.fromkeys(sifted.derived, ""))
        history = {progress.partition for progress in effects.progress} - {progress.partition for progress in fresh}
        control.put_state({key: value for key, value in effects.state.items() if key.partition("\x1f")[0] not in history})
        for gap in effects.gaps:
            control.put_gap(gap)
        for origin, positions in sifted.origins.items():
            self._spans.setdefault(origin, Spans()).add(positions)
        control.put_spans({origin: self._spans[origin] for origin in sifted.origins})

    # what was seen ---------------------------------------------------------------------------------------------------

    def _maybe_seen(self, origin: str, position: int, partition: str, seq: int) -> bool:
        if seq < self._positions.get(partition, -1) or position < self._positions.get(origin, -1):
            return True
        spans = self._spans.get(origin)
        return spans is not None and position in spans

    def _known(self, event: Event) -> Doc | None:
        """The stored event of this id: looked for where its kind and time say, then in all files."""
        likely = f"{event.kind}-{month_of(event.ts_us).name}"
        for name in sorted(self._catalog.newest_first(), key=lambda name: name.partition != likely):
            for doc in self._catalog.get(name).find(event.id, most=2):
                if doc["soc.id"] == event.id:
                    return doc
        return None


class _Revised(Exception):
    """An event that waits was changed by a command after it was prepared."""


class Prepared(NamedTuple):
    """A batch that only has to be written."""

    effects: Effects
    fresh: Sequence[Progress]
    waiting: Sequence[Event]
    sifted: _Sifted
    files: Sequence[tuple[EventFile, Appending]]
    recovered: int


class _Sifted:
    """The events of a batch, sorted out: what is new, what was stored by us before, what is a replay or a fault."""

    def __init__(self, known: _Known, maybe_seen: _MaybeSeen, waiting: Sequence[Event], claimed: Collection[str]) -> None:
        self._known = known
        self._maybe_seen = maybe_seen
        self._claimed = claimed
        self.derived: list[str] = []
        self._here = {event.id: event for event in waiting}
        self.new: list[Event] = []
        self.stored = 0
        self.replays: Counter[str] = Counter()
        self.faulty: Counter[str] = Counter()
        self.faults: list[str] = []
        self.origins: dict[str, list[int]] = {}

    def take(self, event: Event) -> None:
        """Sort out one event. Cost: two look-ups in dicts for the ordinary one."""
        if event.derived:
            if event.id not in self._here and (event.id not in self._claimed or self._stored(event) is None):
                self.derived.append(event.id)
                self._add(event)
            return
        origin = event.origin or event.partition
        position = event.origin_seq if event.origin else event.seq
        known: tuple[str, str, int] | None = None
        if event.id in self._here or self._maybe_seen(origin, position, event.partition, event.seq):
            known = self._stored(event)
            if known is not None and known[0] != event.raw_hash:
                self.faulty[event.partition] += 1
                self.faults.append(event.id)
                event = _under(event, digest_id(event.id, event.raw_hash))
                known = self._stored(event)
        if origin != event.partition:
            self.origins.setdefault(origin, []).append(position)
        if known is None:
            self._add(event)
            self.stored += 1
        elif known[1:] == (event.partition, event.seq):
            self.stored += 1
        else:
            self.replays[event.partition] += 1

    def _add(self, event: Event) -> None:
        self._here[event.id] = event
        self.new.append(event)

    def _stored(self, event: Event) -> tuple[str, str, int] | None:
        """Hash, partition and position of the event that has this id already."""
        here = self._here.get(event.id)
        if here is not None:
            return here.raw_hash, here.partition, here.seq
        doc = self._known(event)
        return (doc["soc.raw_hash"], doc["soc.partition"], doc["soc.seq"]) if doc is not None else None


def _under(event: Event, identity: str) -> Event:
    return event.with_doc({**event.doc, "soc.id": identity}, id=identity)
