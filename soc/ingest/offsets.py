"""Clock offsets of sources: measured, proposed, applied as dated facts (design: identity and time).

A device left on UTC that writes local time without a zone is 7 hours off, the commonest fault. Nothing is corrected
silently: the measured offset is proposed, a person (or the configuration) applies it from a date on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

QUARTER_S = 900
"""Zones and daylight saving differ by quarters of an hour; a wrong zone is a multiple of it."""
SAMPLES = 64
NEAR_S = 120
"""How far from a quarter the median may lie: transport delay and drift."""


class OffsetMeter:
    """Measures how far the clock of each source is off, from records received live."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[float]] = {}

    def sample(self, source: str, device_us: int, received_us: int) -> None:
        """One record: the time that the device wrote, without any correction, and when it was received."""
        self._samples.setdefault(source, deque(maxlen=SAMPLES)).append((received_us - device_us) / 1e6)

    def measured_s(self, source: str) -> float | None:
        """The median of received − device time in seconds (None = too few records to say)."""
        samples = self._samples.get(source)
        return round(median(samples), 1) if samples and len(samples) >= SAMPLES // 2 else None

    def proposal_s(self, source: str) -> int | None:
        """The correction that the clock needs in seconds: a multiple of a quarter of an hour that explains what is measured.

        0 = it is right; None = too few records to say, or no such multiple explains them.
        """
        measured = self.measured_s(source)
        if measured is None:
            return None
        nearest = round(measured / QUARTER_S) * QUARTER_S
        samples = self._samples[source]
        steady = sum(abs(sample - nearest) <= NEAR_S for sample in samples) >= 0.9 * len(samples)
        return nearest if steady else None

    def sources(self) -> Iterable[str]:
        """The sources that were measured."""
        return self._samples.keys()


class OffsetsInForce:
    """The offset of a source at a received time: the newest fact at or before it, else the configured one."""

    def __init__(self, configured_s: Mapping[str, float], facts: Iterable[Mapping[str, Any]] = ()) -> None:
        self._configured = {source: round(seconds * 1e6) for source, seconds in configured_s.items() if seconds}
        self._dated: dict[str, list[tuple[int, int]]] = {}
        for fact in facts:
            self._dated.setdefault(str(fact["source"]), []).append((int(fact["from_us"]), round(float(fact["offset_s"]) * 1e6)))
        for dated in self._dated.values():
            dated.sort()

    def __call__(self, source: str, received_us: int) -> int:
        """Microseconds to add to device times of `source` received then."""
        for from_us, offset_us in reversed(self._dated.get(source, ())):
            if from_us <= received_us:
                return offset_us
        return self._configured.get(source, 0)
