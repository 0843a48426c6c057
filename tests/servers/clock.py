"""The clock of a test that talks to a real server."""

from __future__ import annotations

import time

from soc.clock import FrozenClock


class StillClock(FrozenClock):
    """Its date stands still until it is told to move; waiting takes real time, as a server will not be ready sooner."""

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def clock_for(kind: str, now_us: int) -> FrozenClock:
    """The clock for a test on a store of this kind ("elasticsearch" is a server, all others are not)."""
    return StillClock(now_us) if kind == "elasticsearch" else FrozenClock(now_us)
