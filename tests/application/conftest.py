"""The stores of the contract suites, for what commands do on each of them; an office with a mail server, for what people are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from soc.application.app import App
from soc.clock import FrozenClock
from tests.adapters.smtp.server import Server, running
from tests.application.office import furnish, opened, settings_of
from tests.contracts.conftest import rig, store

__all__ = ["rig", "store"]


@pytest.fixture
def server() -> Iterator[Server]:
    """A mail server."""
    with running() as found:
        yield found


@pytest.fixture
def app(tmp_path: Path, frozen_clock: FrozenClock, server: Server, request: pytest.FixtureRequest) -> Iterator[App]:
    """An office with three people, the shifts of the module (`ROSTER`), and that server."""
    with opened(settings_of(tmp_path, server.port), frozen_clock) as found:
        furnish(found, *getattr(request.module, "ROSTER", ()))
        yield found
