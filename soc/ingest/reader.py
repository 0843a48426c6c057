"""Reads one source in its own thread, so that an idle source never holds up a busy one.

The thread polls, hands batches over through a short queue (back-pressure: when the pipeline is slow, nobody polls),
and carries out the commits that the pipeline asks for between two polls: clients such as kafka-python are not safe
to use from two threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from queue import Empty, Full, Queue
from typing import NamedTuple

from soc.clock import Clock
from soc.errors import Phrase, SocError, Unreachable
from soc.model.record import RawRecord
from soc.ports import RecordSource, SharedSource
from soc.telemetry import get_logger

log = get_logger(__name__)

_RETRY_S = (0.5, 1, 2, 5, 10, 30)
"""Pauses between attempts at a source that cannot be reached: quick at first, then every half minute."""
ONCE_TRIES = 5
"""A run that is to end by itself (from a timer) gives a source up after so many; with their pauses longer than a broker takes to come back."""


class Batch(NamedTuple):
    """What a reader hands over: records of one source; `lost` partitions come first; `end` = nothing more will come.

    `epoch` counts the restarts of reading: a batch of an earlier one must not be used.
    """

    reader: Reader
    epoch: int
    records: Sequence[RawRecord]
    lost: frozenset[str] = frozenset()
    gone: Sequence[tuple[str, int, int]] = ()
    """Ranges (partition, first, last) that were deleted before they could be read."""
    error: SocError | None = None
    end: bool = False


class Reader(threading.Thread):
    """Polls `source` until told to stop, or until it is exhausted."""

    def __init__(
        self, source: RecordSource, out: Queue[Batch], *, most: int, wait_s: float, clock: Clock, positions: Mapping[str, int], once: bool = False
    ) -> None:
        super().__init__(name=f"read-{source.name}", daemon=True)
        self.source = source
        self.unreachable = ""
        """Why the source cannot be read at the moment ("" = it can)."""
        self._out = out
        self._most = most
        self._wait_s = wait_s
        self._clock = clock
        self._positions = dict(positions)
        self._once = once
        self._halt = threading.Event()
        self._commits: deque[dict[str, int]] = deque()
        self._reopen: deque[tuple[int, dict[str, int]]] = deque()
        self._epoch = 0

    def commit(self, positions: Mapping[str, int]) -> None:
        """Everything before `positions` is durable; told to the source by its own thread."""
        self._commits.append(dict(positions))

    def reopen(self, epoch: int, positions: Mapping[str, int]) -> None:
        """Read again from `positions` (after a conflict): what was handed over and not committed comes again, as `epoch`."""
        self._reopen.append((epoch, dict(positions)))

    def halt(self) -> None:
        """Stop soon; commits asked for so far are still carried out."""
        self._halt.set()

    def run(self) -> None:
        try:
            if self._open():
                self._read()
            self._carry_out_commits()
        except SocError as error:
            self._hand_over(Batch(self, self._epoch, (), error=error))
        except Exception as error:  # the last line of a thread: the pipeline must learn of it, or it would wait for ever
            log.exception("reader failed", source=self.source.name)
            self._hand_over(Batch(self, self._epoch, (), error=SocError(Phrase("reading {name} failed: {error!r}", name=self.source.name, error=error))))
        finally:
            self.source.close()

    def _open(self) -> bool:
        attempt = 0
        while not self._halt.is_set():
            try:
                self.source.open(self._positions)
            except Unreachable as error:
                self._wait_after(error, attempt)
                attempt += 1
            else:
                self.unreachable = ""
                return True
        return False

    def _read(self) -> None:
        attempt = 0
        while not self._halt.is_set():
            self._carry_out_commits()
            if self._reopen:
                self._start_again()
            try:
                records = self.source.poll(self._most, self._wait_s)
            except Unreachable as error:
                self._wait_after(error, attempt)
                attempt += 1
                continue
            attempt = 0
            self.unreachable = ""
            lost = frozenset(self.source.lost())
            gone = self.source.take_lost_ranges() if isinstance(self.source, SharedSource) else ()
            if (records or lost or gone) and not self._hand_over(Batch(self, self._epoch, records, lost, gone)):
                return
            if not records and (self.source.exhausted() or (self._once and not any(self.source.lag().values()))):
                self._hand_over(Batch(self, self._epoch, (), end=True))
                self._await_end()
                return

    def _start_again(self) -> None:
        self._epoch, self._positions = self._reopen.pop()
        self._reopen.clear()
        self._commits.clear()
        if isinstance(self.source, SharedSource):
            self.source.rewind(self._positions)  # a group member that left and joined again would make every other worker stop
            return
        self.source.close()
        self._open()

    def _await_end(self) -> None:
        while not self._halt.wait(0.05):
            self._carry_out_commits()
            if self._reopen:
                self._read()
                return

    def _carry_out_commits(self) -> None:
        merged: dict[str, int] = {}
        while self._commits:
            merged.update(self._commits.popleft())
        if not merged:
            return
        try:
            self.source.commit(merged)
        except Unreachable as error:
            # Positions stand in the store; the next commit carries these along.
            log.warning("commit failed", source=self.source.name, error=error.message)
            self._commits.appendleft(merged)

    def _wait_after(self, error: Unreachable, attempt: int) -> None:
        if self._once and attempt >= ONCE_TRIES:
            raise error
        if error.message != self.unreachable:
            log.warning("source unavailable", source=self.source.name, error=error.message, hint=error.hint)
        self.unreachable = error.message
        self._halt.wait(error.retry_after_s or _RETRY_S[min(attempt, len(_RETRY_S) - 1)])

    def _hand_over(self, batch: Batch) -> bool:
        while not self._halt.is_set():
            try:
                self._out.put(batch, timeout=0.2)
            except Full:
                self._carry_out_commits()
                if isinstance(self.source, SharedSource):
                    self.source.hold()  # the other members of a consumer group wait for one that does not poll
                continue
            return True
        return False


def drain(queue: Queue[Batch]) -> None:
    """Empty a queue, so that nobody waits to put into it."""
    while True:
        try:
            queue.get_nowait()
        except Empty:
            return
