"""The role `correlate`: folds the partitions of the topic of signals that this process has been given.

Each partition is a share of its own: with a fold, a watermark and a place in the topic, all committed together with the
alerts under the partition's position. So whoever is given the partition next goes on from there as if nothing had
happened: the fold is rebuilt from the signals of the last timespans, read from the topic itself. Time is that of the
records; nothing here depends on when they are read.

Where to read back from: records stand in the topic in the order of writing, not of event time. Beside the position stands
a short list of (offset, latest event time before it). All signals after a time t are at or after the last offset before
which everything is earlier than t; so nothing can be missed, however late or early events came.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, cast

import msgspec

from soc.application.correlate import CorrelationStage, Pace
from soc.clock import Clock, FrozenClock, iso
from soc.errors import SourceUnavailable, StoreUnavailable
from soc.model.alert import Alert, RuleRef
from soc.model.event import Doc
from soc.model.health import health_alert
from soc.model.ids import digest_id
from soc.model.record import SCOPE_REAL, RawRecord
from soc.model.signal import Signal, is_asked_for
from soc.model.signal_record import SignalRecord, decode
from soc.ports import Classifier, CrashPoint, Effects, Metrics, Progress, Store, no_crash
from soc.rules.collection import Collection
from soc.rules.episodes import CorrelationAlert
from soc.rules.routes import Routes
from soc.telemetry import get_logger

log = get_logger(__name__)

SOURCE = "(signals)"
"""What the topic is called where sources are listed; no name of a configured source."""
TICK_US = 5_000_000
CATCH_UP_US = 60_000_000
"""A source partition that is behind is waited for as long as it gains on time at least once in so long."""
GAIN_US = 30_000_000
"""What counts as a gain: less behind than it ever was lately. One whose clock is wrong stays as far behind as it is."""
LATELY_US = 600_000_000
DOCUMENTS_S = 5.0
"""Events of a straggler may still be on their way into the store; an alert waits so long for them."""
_SEPARATOR = "\x1f"
_PLACE = "place"
RENEWED_RULE = RuleRef(
    "soc-signals-lost", "Signals of correlations were lost", "high", digest_id("soc-signals-lost", "1"), (), "health", "Mất tín hiệu của quy tắc tương quan"
)
"""The topic was deleted: windows that were open begin anew, and what nobody had judged yet will not be."""


class ReadBack(Protocol):
    """Reads records of the log again."""

    def read(self, partition: str, begin: int, end: int) -> Iterator[bytes]:
        """The records at [begin, end), those that still exist. Raises: Unreachable."""


class Landmarks(msgspec.Struct):
    """Where in a partition of the log signals of which time are: `(offset, latest event time before it)`, both growing."""

    at: list[tuple[int, int]] = []
    latest: int = 0

    EVERY_US = 10_000_000
    MOST = 512

    def pass_by(self, offset: int, signals: Sequence[Signal]) -> None:
        """Take the record at `offset` in."""
        if not self.at or self.latest - self.at[-1][1] >= self.EVERY_US:
            self.at.append((offset, self.latest))
            if len(self.at) > self.MOST:
                self.at = [self.at[0], *self.at[2::2]]  # fewer landmarks only make reading begin earlier
        for signal in signals:
            self.latest = max(self.latest, signal.ts)

    def before(self, since: int) -> int:
        """An offset before which there is no signal at or after `since`."""
        place = bisect_left(self.at, since, key=lambda entry: entry[1])
        return self.at[max(0, place - 1)][0] if self.at else 0

    def forget(self, since: int) -> None:
        """Leave out what only times before `since` need."""
        place = bisect_left(self.at, since, key=lambda entry: entry[1])
        if place > 1:
            del self.at[: place - 1]


class Place(msgspec.Struct):
    """What is known at a position of the log, beside what the stage keeps by itself."""

    at_us: int = 0
    marks: dict[str, int] = {}
    begun: dict[str, int] = {}
    """Since when scopes are observed, by scope; also of those whose beginning time has not come to."""
    landmarks: Landmarks = msgspec.field(default_factory=Landmarks)


class _LogClock(FrozenClock):
    """The time of the records that were read, for everything but measuring how long work takes."""

    def __init__(self, real: Clock, now_us: int) -> None:
        super().__init__(now_us)
        self._real = real
        self._log_us = now_us

    def now_us(self) -> int:
        return self._log_us

    def reach(self, us: int) -> None:
        """Go on, never back."""
        self._log_us = max(self._log_us, us)

    def monotonic(self) -> float:
        return self._real.monotonic()


class Share(CorrelationStage):
    """The stage of one partition of the topic."""

    def __init__(
        self,
        partition: str,
        collection: Collection,
        rules_hash: str,
        store: Store,
        read_back: ReadBack,
        *,
        next_: int,
        pace: Pace,
        clock: Clock,
        crash: CrashPoint,
    ) -> None:
        kept = store.state(partition).get(_PLACE)
        self.place = msgspec.msgpack.decode(kept, type=Place) if kept else Place()
        self.next = next_
        """Up to here the log has been taken in."""
        self.late = 0
        self._read_back = read_back
        self._real = clock
        self._log_clock = _LogClock(clock, self.place.at_us)
        self._events = store.get_events
        self._beginnings = dict(self.place.begun)
        self._least_behind: dict[str, tuple[int, int]] = {}
        self._gained: dict[str, int] = {}
        self._patient_until = 0.0
        super().__init__(
            collection,
            store,
            clock=self._log_clock,
            rules_hash=rules_hash,
            pace=pace,
            name=partition,
            signals=self._since,
            marks=lambda: self.place.marks,
            documents=self._whole,
            crash=crash,
        )
        self._ticked_us = 0

    def read(self, records: Sequence[tuple[int, SignalRecord]]) -> Effects:
        """What follows from records at these offsets, and the place to go on from.

        Raises: StoreUnavailable; then the share is to be made anew.
        """
        effects = Effects(progress=[]) if self._started else self.start()
        signals: list[Signal] = []
        marks: dict[str, int] = {}
        for offset, record in records:
            self.place.landmarks.pass_by(offset, record.signals)
            self._log_clock.reach(record.at_us)
            signals += record.signals
            for partition, mark in record.marks.items():
                if mark or partition not in self._marks:  # that a partition exists is news only once
                    marks[partition] = max(mark, marks.get(partition, 0))
            for scope, us in record.begun.items():
                self._begin(scope, us)
            self.next = offset + 1
        self._note_gains(marks)
        merge(effects, self.take(signals, marks))
        if self._log_clock.now_us() - self._ticked_us >= TICK_US:
            self._ticked_us = self._log_clock.now_us()
            merge(effects, self.tick())
        self._keep_place(effects)
        return effects

    def _keep_place(self, effects: Effects) -> None:
        now = self._log_clock.now_us()
        place = self.place
        place.at_us = now
        place.marks = {partition: mark for partition, mark in self._marks.items() if self._heard[partition] >= now - self.pace.idle}
        place.begun = self._beginnings | self._begun
        place.landmarks.forget(self._horizon(max(self._fold.reach.values(), default=0)))
        effects.state[f"{self.name}{_SEPARATOR}{_PLACE}"] = msgspec.msgpack.encode(place)
        self._keep_watermark(effects)

    def _begin(self, scope: str, us: int) -> None:
        # Not at once: an earlier signal of the scope may still come, until time has passed it.
        if scope not in self._begun:
            self._beginnings[scope] = min(us, self._beginnings.get(scope, us))

    def _advance(self, target: int) -> list[CorrelationAlert]:
        if target <= self.watermark:
            return []
        if not self._begun and not self._beginnings:
            self._begin(SCOPE_REAL, target)
        for scope in [scope for scope, us in self._beginnings.items() if us < target]:
            super()._begin(scope, self._beginnings.pop(scope))
        self.watermark = target
        return self._fold.advance(target)

    def _rebuild(self, base: int) -> list[CorrelationAlert]:
        self._begun |= {scope: us for scope, us in self._beginnings.items() if us < self.watermark}
        for scope in self._begun:
            self._beginnings.pop(scope, None)
        return super()._rebuild(base)

    def _target(self, now_us: int) -> int:
        """The least time of the partitions that are heard of, and up to date or catching up; nothing while one of them was not yet read."""
        active = {partition: mark for partition, mark in self._marks.items() if self._heard[partition] >= now_us - self.pace.idle}
        if not active or not all(active.values()):
            return self.watermark
        live, gaining = now_us - self.pace.behind, now_us - CATCH_UP_US
        waited = [mark for partition, mark in active.items() if mark >= live or self._gained.get(partition, now_us) >= gaining]
        return max(self.watermark, min(waited or active.values()) - self.pace.lateness)

    def _note_gains(self, marks: Mapping[str, int]) -> None:
        """Note which partitions are less behind than they were: what reads a backlog comes to its end."""
        now = self._log_clock.now_us()
        for partition, mark in marks.items():
            behind = now - max(mark, self._marks.get(partition, 0))
            least, at = self._least_behind.get(partition, (behind + GAIN_US, now))
            if behind <= least - GAIN_US:
                self._gained[partition] = now
                self._least_behind[partition] = (behind, now)
            elif now - at >= LATELY_US:
                self._least_behind[partition] = (behind, now)

    def _take_in(self, signals: Iterable[Signal]) -> None:
        signals = list(signals)
        late = sum(1 for signal in signals if self._fold.understands(signal) and self._fold.is_late(signal))
        if late:
            self.late += late
            self._patient_until = self._real.monotonic() + DOCUMENTS_S
        super()._take_in(signals)

    def _since(self, us: int, of: Mapping[str, int]) -> Iterator[Signal]:
        """The signals of the log at or after a time, of these correlations each since its own, up to where it was read."""
        try:
            for raw in self._read_back.read(self.name, self.place.landmarks.before(us), self.next):
                record = decode(raw)
                if record is not None:
                    yield from (signal for signal in record.signals if is_asked_for(signal, us, of))
        except SourceUnavailable as error:
            raise StoreUnavailable(error.message, hint=error.hint, retry_after_s=error.retry_after_s) from error

    def _whole(self, ids: Sequence[str]) -> list[Doc]:
        """The events of these ids; those of stragglers, whose batch may be under way to the store, are waited for a little."""
        while True:
            found = self._events(ids)
            if len(found) >= len(ids) or self._real.monotonic() >= self._patient_until:
                return found
            self._real.sleep(0.2)


class TopicFold:
    """What a worker does with records of the topic; in the place of a `Pipeline`.

    `classifier`: the rules in force. `partitions`: all partitions of the topic, by name.
    `place`: which of so many partitions a key belongs to.
    """

    def __init__(
        self,
        classifier: Callable[[], Classifier],
        store: Store,
        read_back: ReadBack,
        *,
        partitions: Callable[[], Sequence[str]],
        place: Callable[[bytes, int], int],
        pace: Pace,
        clock: Clock,
        metrics: Metrics,
        crash: CrashPoint = no_crash,
    ) -> None:
        self._classifier = classifier
        self._store = store
        self._read_back = read_back
        self._partitions = partitions
        self._place = place
        self._pace = pace
        self._clock = clock
        self._metrics = metrics
        self._crash = crash
        self._rules = classifier()
        self._shares: dict[str, Share] = {}

    def scope(self, _source: str) -> str:
        """The topic belongs to no exercise; its signals have scopes of their own."""
        return SCOPE_REAL

    def forget(self, partitions: Iterable[str]) -> None:
        """Drop partitions that went elsewhere."""
        for partition in partitions:
            self._shares.pop(partition, None)

    def forget_all(self) -> None:
        """Drop everything: it is read again."""
        self._shares.clear()

    @property
    def due(self) -> bool:
        """Whether other rules are in force by now."""
        return self._classifier() is not self._rules

    def use_rules(self) -> None:
        """Go on with the rules in force; to be called when nothing is being committed, as the folds are made anew from the log."""
        self._rules = self._classifier()
        self.forget_all()

    def process(self, records: Sequence[RawRecord]) -> Effects:
        """The alerts that follow from records of the topic, with the place to go on from.

        Raises: StoreUnavailable; then `forget_all` is due.
        """
        effects = Effects(progress=[])
        rules = self._rules
        by_partition: dict[str, list[RawRecord]] = {}
        for record in records:
            by_partition.setdefault(record.partition, []).append(record)
        for partition, run in by_partition.items():
            merge(effects, self._read(partition, run, rules))
        effects.rules_hash = rules.hash
        return effects

    def _read(self, partition: str, run: Sequence[RawRecord], rules: Classifier) -> Effects:
        effects = Effects(progress=[])
        share = self._shares.get(partition)
        if share is None:
            share = self._shares[partition] = Share(
                partition,
                self._part(partition, rules),
                rules.hash,
                self._store,
                self._read_back,
                next_=run[0].seq,
                pace=self._pace,
                clock=self._clock,
                crash=self._crash,
            )
            merge(effects, share.start())
            effects.alerts += self._lost(partition, share)
            log.info("correlating", partition=partition, position=run[0].seq, watermark=share.watermark, rules=len(share._fold.rules))  # noqa: SLF001
        found = [(record.seq, decoded) for record in run if not record.fault and (decoded := decode(record.raw)) is not None]
        late = share.late
        merge(effects, share.read(found))
        share.next = run[-1].next
        progress = Progress(SOURCE, partition, run[0].seq, run[-1].seq, run[-1].next, 0)
        unreadable = sum(record.records for record in run) - len(found)
        if unreadable:
            log.warning("records of the log of signals cannot be read", partition=partition, records=unreadable)
            progress.received, progress.dropped = unreadable, {"unreadable": unreadable}
        effects.progress.append(progress)
        self._measure(share, sum(len(record.signals) for _, record in found), share.late - late)
        return effects

    def _lost(self, partition: str, share: Share) -> list[Alert]:
        """That the topic is another one than the one that was judged before, told once by each partition of it.

        Cost: for a partition that was never judged, one look for each position of another topic with its number.
        """
        cluster, _, number = partition.rsplit("/", 2)
        if share.place.at_us:
            return []
        judged = 0
        for name in self._store.positions():
            if name != partition and name.startswith(f"{cluster}/") and name.endswith(f"/{number}"):
                state = self._store.state(name)
                if _PLACE in state:
                    judged = max(judged, int(state.get("watermark", b"0")))
        if not judged:
            return []
        log.error(
            "the topic of signals was deleted: windows of correlations begin anew",
            partition=partition,
            judged_until=iso(judged),
            hint="soc rules backtest shows what a rule would have told since then",
        )
        explanation = {
            "node": "signals",
            "field": partition,
            "test": "judged_until",
            "pattern": iso(judged),
            "matched_value": "",
            "matched": True,
            "children": [],
        }
        return [
            health_alert(
                RENEWED_RULE,
                occurrence=digest_id(partition),
                key={"source": SOURCE},
                explanation=explanation,
                at=iso(self._clock.now_us()),
                since=iso(judged),
                source=SOURCE,
            )
        ]

    def _measure(self, share: Share, signals: int, late: int) -> None:
        number = share.name.rpartition("/")[2]
        self._metrics.count("soc_signals_folded_total", signals)
        self._metrics.count("soc_signals_late_total", late)
        if share.watermark:
            self._metrics.gauge("soc_correlation_watermark_age_seconds", max(0.0, (self._clock.now_us() - share.watermark) / 1e6), partition=number)

    def _part(self, partition: str, rules: Classifier) -> Collection:
        """The rules that have signals in a partition: one without groups has them in a single one."""
        collection = cast("Collection", rules.collection)  # type: ignore[attr-defined]
        routes = Routes(collection.correlations)
        names = self._partitions()
        number = int(partition.rpartition("/")[2])

        def here(name: str) -> bool:
            key = routes.only_key(name)
            return key is None or self._place(key, len(names)) == number

        return msgspec.structs.replace(collection, correlations=tuple(rule for rule in collection.correlations if here(rule.id)))


def merge(effects: Effects, more: Effects) -> None:
    """Put what follows after what there is."""
    effects.progress += more.progress
    effects.alerts += more.alerts
    effects.state |= more.state
    effects.rules_hash = more.rules_hash or effects.rules_hash
