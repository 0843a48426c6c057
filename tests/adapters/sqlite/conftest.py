"""What the tests of the embedded store share: patience with a disk that stalls."""

from __future__ import annotations

import pytest

from soc.adapters.sqlite import database

PATIENT_S = 600.0
"""How long a writer waits for another one; with the store's own limit a disk that stalls for as long would be a fault of the test's."""


@pytest.fixture(autouse=True)
def _patient_writers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_S", PATIENT_S)


def be_patient() -> None:
    """The same for a process of its own."""
    database.BUSY_S = PATIENT_S
