"""What all tests share: clocks and the real servers."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from soc.clock import FrozenClock, SystemClock

pytest_plugins = ["tests.servers.fixtures"]

NOW_US = 1_795_222_800_000_000
"""2026-11-21T01:00:00Z: the frozen now of tests."""

# How long an example took, or was in the making, says nothing about the code on a machine that others use too. Where a run
# decides about a change it tries the same examples each time, so that what it says is due to the change; elsewhere new ones.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=os.environ.get("SOC_REQUIRE_REAL") == "1")
settings.load_profile("any-machine")


@pytest.fixture
def frozen_clock() -> FrozenClock:
    """A clock that stands at `NOW_US` until it is told to move."""
    return FrozenClock(NOW_US)


@pytest.fixture
def system_clock() -> SystemClock:
    """The clock of the machine, for tests with real servers."""
    return SystemClock()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Short names for long byte strings: compressed ones differ from second to second, and every worker must collect the same."""
    return f"{len(val)}bytes" if isinstance(val, bytes) and len(val) > 16 else None
