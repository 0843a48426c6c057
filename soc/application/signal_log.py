"""The ingest worker's side of a log of signals: what is written to it when.

Signals are written before their batch is committed, so that none is missing after a kill (they come twice instead, which
the fold does not mind). Marks are written after it: what a mark lets correlators judge stands in the store by then, and
can be shown in the alert. An idle partition is marked by the time at which its log was seen to hold nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence

from soc.clock import Clock
from soc.errors import Unreachable
from soc.ports import CrashPoint, Effects, MarkedSource, RecordSource, SignalLog, no_crash
from soc.telemetry import get_logger

log = get_logger(__name__)

TOGETHER_S = 0.5
"""Marks wait so long for signals to go along with."""


class SignalWriter:
    """Writes signals and marks of one worker; never from two threads at a time."""

    def __init__(self, signals: SignalLog, sources: Sequence[RecordSource], *, clock: Clock, crash: CrashPoint = no_crash) -> None:
        self._signals = signals
        self._sources = [source for source in sources if isinstance(source, MarkedSource)]
        self._clock = clock
        self._crash = crash
        self._announced: set[str] = set()
        self._marks: dict[str, int] = {}
        self._written_at = -TOGETHER_S
        self._told = ""

    def before_commit(self, effects: Effects) -> None:
        """Write the signals of a batch; the store has no need of them then.

        Raises: Unreachable, AccessDenied, ConfigError; the same effects are to be given again.
        """
        if effects.signals:
            self._append(effects)
            effects.signals = []
            self._crash("worker.appended")

    def committed(self, effects: Effects) -> Sequence[Effects]:
        """A batch is durable: its partitions have been read up to its marks."""
        self._note(effects.marks)
        if self._clock.monotonic() - self._written_at >= TOGETHER_S:
            self.flush()
        return ()

    def tick(self) -> Sequence[Effects]:
        """Mark idle partitions, and write what waits."""
        for source in self._sources:
            self._note(source.idle())
        self.flush()
        return ()

    def end(self) -> Sequence[Effects]:
        """Everything there is has been read and is durable: mark it so."""
        now_us = self._clock.now_us()
        for source in self._sources:
            lag = source.lag()
            self._note({partition: now_us for partition in source.partitions() if lag.get(partition) == 0})
        self.flush()
        return ()

    def flush(self) -> None:
        """Write the marks that wait; when the log cannot be reached at the moment they wait on."""
        if not self._marks and self._known() <= self._announced:
            return
        try:
            self._append(None)
            self._told = ""
        except Unreachable as error:
            if error.message != self._told:
                log.warning("marks wait for the log of signals", error=error.message, hint=error.hint)
            self._told = error.message

    def close(self) -> None:
        """Write what waits, if that is possible now, and give everything back."""
        self.flush()
        self._signals.close()

    def _note(self, marks: dict[str, int]) -> None:
        for partition, mark in marks.items():
            self._marks[partition] = max(mark, self._marks.get(partition, 0))

    def _known(self) -> set[str]:
        return {partition for source in self._sources for partition in source.partitions()}

    def _append(self, effects: Effects | None) -> None:
        known = self._known()
        # Partitions that nobody has read yet hold time up: their first events may be older than all that is marked.
        marks = dict.fromkeys(sorted(known - self._announced), 0) | self._marks
        self._signals.append(effects.signals if effects is not None else (), marks)
        self._announced |= known
        self._marks.clear()
        self._written_at = self._clock.monotonic()
