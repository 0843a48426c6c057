"""The loop that moves offsets: read, process, make durable, then tell the source. The only place that decides them.

Two batches are under way at a time: while one is being committed, the next is parsed. The committing thread mostly waits (for
a store across the network), or works without the interpreter (the embedded store: full text, compression, syncs); what needs
the interpreter is done before (`TwoStepStore`). On a single core one follows the other. Effects are committed in the order of the log; when
a commit fails for a passing reason the same effects are given again; when another worker has taken the partition over,
everything in hand is dropped and read again from the store's positions. kill -9 anywhere loses and doubles nothing: see `Store.commit`.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import Empty, Queue
from typing import Protocol

import msgspec

from soc.clock import Clock
from soc.errors import Conflict, SocError, StoreUnavailable, Unreachable
from soc.ingest.reader import Batch, Reader, drain
from soc.model.alert import Alert
from soc.model.record import RawRecord
from soc.ports import Committed, CrashPoint, Effects, Metrics, RecordSource, SharedSource, Store, TwoStepStore, no_crash
from soc.telemetry import get_logger

log = get_logger(__name__)

_STORE_RETRY_S = (0.2, 0.5, 1, 2, 5, 10, 30)
_ONCE_TRIES = 3
"""A run that is to end by itself gives the store up after so many, each of them as long as the store's own budget."""
_SWITCH_S = 0.0003
"""How long a commit may wait for the interpreter each time that the disk or the compressor is done; it has few such times, and the usual 5 ms would add up."""
_LOOK_AFTER = 50_000
"""New containers after which the collector looks for cycles: more than a batch has."""


Begun = Callable[[], Committed] | None
"""The rest of a commit that was begun."""


class Totals(msgspec.Struct):
    """What a run has done so far."""

    received: int = 0
    stored: int = 0
    dead_lettered: int = 0
    dropped: int = 0
    replayed: int = 0
    alerts: int = 0
    derived: int = 0
    faults: int = 0


class Processor(Protocol):
    """What makes effects of records: `Pipeline`, or the fold of a log of signals."""

    def process(self, records: Sequence[RawRecord]) -> Effects:
        """The effects of records of one source. Raises: StoreUnavailable; then `forget_all` is due."""

    def forget(self, partitions: Iterable[str]) -> None:
        """Drop the state of partitions that went elsewhere."""

    def forget_all(self) -> None:
        """Drop all state: everything that is not committed is read again."""

    def scope(self, source: str) -> str:
        """The scope that the figures of a source have."""


class Worker:
    """Runs the pipeline over some sources until stopped, or until all of them are exhausted.

    With `once`, a source that has nothing at the moment and no lag counts as exhausted too, and what cannot be reached is waited for some minutes, not for ever.
    """

    def __init__(
        self,
        *,
        store: Store,
        pipeline: Processor,
        sources: Sequence[RecordSource],
        clock: Clock,
        metrics: Metrics,
        batch_size: int,
        batch_wait_s: float,
        on_alerts: Callable[[Sequence[Alert]], None] = lambda _alerts: None,
        on_batch: Callable[[Totals], None] = lambda _totals: None,
        on_read: Callable[[str, int], None] = lambda _source, _received_us: None,
        on_tick: Callable[[], Sequence[Effects]] = lambda: (),
        before_commit: Callable[[Effects], None] = lambda _effects: None,
        on_committed: Callable[[Effects], Sequence[Effects]] = lambda _effects: (),
        on_again: Callable[[], None] = lambda: None,
        on_end: Callable[[], Sequence[Effects]] = lambda: (),
        switch_due: Callable[[], bool] = lambda: False,
        switch: Callable[[], None] = lambda: None,
        tick_s: float = 5.0,
        once: bool = False,
        overlap: bool = True,
        crash: CrashPoint = no_crash,
    ) -> None:
        self.totals = Totals()
        self._store = store
        self._pipeline = pipeline
        self._sources = sources
        self._clock = clock
        self._metrics = metrics
        self._batch_size = batch_size
        self._batch_wait_s = batch_wait_s
        self._on_alerts = on_alerts
        self._on_batch = on_batch
        self._on_read = on_read
        self._on_tick = on_tick
        self._before_commit = before_commit
        self._on_committed = on_committed
        self._on_again = on_again
        self._on_end = on_end
        self._switch_due = switch_due
        self._switch = switch
        self._tick_s = tick_s
        self._once = once
        self._overlap = overlap
        self._begin = store.begin_commit if overlap and isinstance(store, TwoStepStore) else None
        self._crash = crash
        self._queue: Queue[Batch] = Queue(maxsize=max(2, len(sources)))
        self._stopping = threading.Event()
        self._stop = self._stopping
        self._epoch = 0
        self._ended: set[Reader] = set()
        self._under_way: Future[None] | None = None
        self._gone: dict[str, int] = {}
        self.readers: list[Reader] = []
        self.in_hand = False
        """During a tick: whether a batch is in hand that was processed and is not yet being committed."""

    def run(self, stop: threading.Event | None = None) -> Totals:
        """Work until `stop` is set or every source is exhausted; what was begun is finished.

        Raises: what a source or the store cannot get over (AccessDenied, StoreFull, StoreRefused, ConfigError); with `once` Unreachable.
        """
        self._stop = stop or self._stopping
        gc.freeze()  # rules and parsers are some 10^5 objects that stay: looking through them again and again costs 8 %
        interval = sys.getswitchinterval()
        if self._overlap:
            sys.setswitchinterval(_SWITCH_S)
        thresholds = gc.get_threshold()
        gc.set_threshold(_LOOK_AFTER, *thresholds[1:])  # a batch goes as a whole, by its counts: looking through it meanwhile costs 4 %
        positions = self._store.positions()
        self.readers = [
            Reader(source, self._queue, most=self._batch_size, wait_s=self._batch_wait_s, clock=self._clock, positions=positions, once=self._once)
            for source in self._sources
        ]
        for reader in self.readers:
            if isinstance(reader.source, SharedSource):  # partitions that another worker had meanwhile go on where the store stands
                reader.source.follow_positions(self._store.positions)
            reader.start()
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="commit") as committer:
                self._loop(committer)
        finally:
            sys.setswitchinterval(interval)
            gc.set_threshold(*thresholds)
            gc.unfreeze()
            for reader in self.readers:
                reader.halt()
            drain(self._queue)
            for reader in self.readers:
                reader.join(timeout=30)
        return self.totals

    def waits(self, source: str) -> bool:
        """Whether records of a source were read and are not yet looked at."""
        with self._queue.mutex:
            batches = list(self._queue.queue)
        return any(record.source == source and not record.heartbeat for batch in batches for record in batch.records)

    def _loop(self, committer: ThreadPoolExecutor) -> None:
        next_tick = self._clock.monotonic() + self._tick_s
        while not self._stop.is_set():
            if len(self._ended) == len(self.readers):
                self._await()  # a conflict in the last commit makes the readers begin again
                if len(self._ended) == len(self.readers):
                    self._conclude(self._finish)
                    return
            epoch = self._epoch
            try:
                work = self._next(next_tick)
            except StoreUnavailable as error:  # asked for what it keeps, it gave no answer: what was begun is read again
                self._resume(error)
                continue
            for reader, effects in work:
                self._await()
                if self._overlap:
                    self._under_way = committer.submit(self._commit, reader, effects, epoch, self._begun(reader, effects, epoch))
                else:
                    self._conclude(partial(self._commit, reader, effects, epoch))
            if self._clock.monotonic() >= next_tick:
                next_tick = self._clock.monotonic() + self._tick_s
        self._await()

    def _next(self, tick_at: float) -> list[tuple[Reader | None, Effects]]:
        """The next work: the effects of one batch, if any came, and of a tick, if it is time."""
        work: list[tuple[Reader | None, Effects]] = []
        try:
            batch = self._queue.get(timeout=0.2)
        except Empty:
            pass
        else:
            if batch.error is not None:
                raise batch.error
            if self._switch_due():  # between two batches: what was begun under the rules before is written first
                self._await()
                self._switch()
            if batch.epoch == self._epoch:
                work += self._process(batch)
        if self._clock.monotonic() >= tick_at:
            self._await()  # a tick may recount the store: nothing may be half written
            self.in_hand = bool(work)
            work += [(None, effects) for effects in self._on_tick()]
            self.in_hand = False
        return work

    def _process(self, batch: Batch) -> list[tuple[Reader | None, Effects]]:
        if batch.end:
            self._ended.add(batch.reader)
        self._pipeline.forget(batch.lost)
        for partition, first, last in batch.gone:
            self._gone[partition] = self._gone.get(partition, 0) + last - first + 1
        if not batch.records:
            return []
        self._crash("worker.polled")
        work: list[tuple[Reader | None, Effects]] = []
        for source, run in _by_source(batch.records):
            for record in reversed(run):
                if not record.heartbeat:
                    self._on_read(source, record.received_us)
                    break
            effects = self._pipeline.process(run)
            for progress in effects.progress:
                progress.lost += self._gone.pop(progress.partition, 0)
            work.append((batch.reader, effects))
        self._crash("worker.processed")
        return work

    def _await(self) -> None:
        """Wait for the commit under way."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            self._conclude(under_way.result)

    def _conclude(self, commit: Callable[[], None]) -> None:
        """Bring a commit to its end; after a conflict everything is read again."""
        try:
            commit()
        except Conflict as error:
            log.warning("partition was taken over by another worker; reading again", error=error.message)
            try:
                self._start_again()
            except StoreUnavailable as away:
                self._resume(away)

    def _resume(self, error: StoreUnavailable) -> None:
        """Wait until the store answers, then go on from its positions; less is not enough, as open occurrences may have been touched."""
        attempt = 0
        while not self._stop.is_set():
            self._pause(error, attempt)
            try:
                self._await()
                self._start_again()
            except StoreUnavailable as again:
                error, attempt = again, attempt + 1
            else:
                return

    def _pause(self, error: Unreachable, attempt: int) -> None:
        if self._once and attempt >= _ONCE_TRIES:
            raise error
        log.warning("store unavailable, trying again", error=error.message, hint=error.hint, attempt=attempt + 1)
        self._metrics.count("soc_store_retries_total")
        self._stop.wait(error.retry_after_s or _STORE_RETRY_S[min(attempt, len(_STORE_RETRY_S) - 1)])

    def _start_again(self) -> None:
        self._epoch += 1
        self._ended.clear()
        self._pipeline.forget_all()
        self._on_again()
        positions = self._store.positions()
        for reader in self.readers:
            reader.reopen(self._epoch, positions)

    def _begun(self, reader: Reader | None, effects: Effects, epoch: int) -> Begun:
        """The commit with that part done which computes, where the store has one; what fails is found again by the commit."""
        if self._begin is None or (reader is not None and epoch != self._epoch):
            return None
        try:
            return self._begin(effects)
        except SocError:
            return None

    def _commit(self, reader: Reader | None, effects: Effects, epoch: int, begun: Begun = None) -> None:
        if reader is not None and epoch != self._epoch:
            return  # read again; what time brought about comes only once
        committed = self._durably(effects, begun)
        self._crash("worker.committed")
        if reader is not None:
            reader.commit({progress.partition: progress.next for progress in effects.progress})
        self._crash("worker.told")
        self._tell(effects, committed)
        if effects.signals or effects.marks:
            self._follow(partial(self._on_committed, effects))
        self._on_batch(self.totals)

    def _finish(self) -> None:
        """What follows once everything there is has been read."""
        self._follow(self._on_end)

    def _follow(self, what: Callable[[], Sequence[Effects]]) -> None:
        """Make durable what follows from a batch that is; after a failure it is worked out anew from what is durable."""
        attempt = 0
        while True:
            try:
                for effects in what():
                    self._tell(effects, self._durably(effects))
                    self._crash("worker.followed")
            except StoreUnavailable as error:
                if self._stop.is_set():
                    raise
                self._on_again()
                self._pause(error, attempt)
                attempt += 1
            else:
                return

    def _tell(self, effects: Effects, committed: Committed) -> None:
        self._account(effects, committed)
        told = [alert for alert in committed.new_alerts if not alert.shadow]
        if told:
            self._on_alerts(told)

    def _durably(self, effects: Effects, begun: Begun = None) -> Committed:
        attempt = 0
        while True:
            try:
                self._before_commit(effects)
                return begun() if begun is not None else self._store.commit(effects)
            except Unreachable as error:  # the store, or a log that the batch is told first
                begun = None
                if self._stop.is_set():
                    raise
                self._pause(error, attempt)
                attempt += 1

    def _account(self, effects: Effects, committed: Committed) -> None:
        totals = self.totals
        received = sum(progress.received for progress in effects.progress)
        dropped = sum(sum(progress.dropped.values()) for progress in effects.progress)
        derived = sum(1 for event in effects.events if event.derived)
        # Signs of life of our own collectors stand in the ledger, but nobody sent them.
        beats = sum(progress.dropped.get("heartbeat", 0) for progress in effects.progress)
        totals.received += received - beats
        totals.stored += committed.stored
        rejected = len(committed.rejected)  # refused by the store one by one: dead letters of this commit
        totals.dead_lettered += len(effects.dead_letters) + rejected
        totals.dropped += dropped - beats
        totals.replayed += committed.replayed
        totals.alerts += sum(1 for alert in committed.new_alerts if not alert.shadow)
        totals.derived += derived
        totals.faults += len(committed.faults)
        for progress in effects.progress:
            self._metrics.count("soc_records_received_total", progress.received, source=progress.source, scope=self._pipeline.scope(progress.source))
        for alert in committed.new_alerts:
            self._metrics.count("soc_shadow_alerts_raised_total" if alert.shadow else "soc_alerts_raised_total", scope=alert.scope)
        for exception, matches in effects.excepted.items():
            self._metrics.count("soc_rules_excepted_total", matches, exception=exception)
        if effects.progress:  # a batch is of one source, so an exercise never moves a real figure
            scope = self._pipeline.scope(effects.progress[0].source)
            self._metrics.count("soc_events_stored_total", committed.stored, scope=scope)
            self._metrics.count("soc_records_dead_lettered_total", len(effects.dead_letters) + rejected, scope=scope)
            self._metrics.count("soc_records_dropped_total", dropped, scope=scope)
            self._metrics.count("soc_events_replayed_total", committed.replayed, scope=scope)


def _by_source(records: Sequence[RawRecord]) -> list[tuple[str, Sequence[RawRecord]]]:
    """The records of each source, in the order of the log: one poll of Kafka may hold several topics."""
    first = records[0].source
    if all(record.source == first for record in records):
        return [(first, records)]
    runs: dict[str, list[RawRecord]] = {}
    for record in records:
        runs.setdefault(record.source, []).append(record)
    return list(runs.items())


def lag(readers: Sequence[Reader]) -> Mapping[str, int]:
    """Records not yet read, per partition, over all sources."""
    return {partition: behind for reader in readers for partition, behind in reader.source.lag().items()}
