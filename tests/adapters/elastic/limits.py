"""Short limits where something is to be given up, in tests that are patient else; and the error that is meant among those of a busy node."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from soc.adapters.elastic.client import connect
from soc.adapters.elastic.store import ElasticStore
from soc.errors import StoreUnavailable
from tests.servers.process import WITHIN_S

PATIENT = {"request_timeout_s": 60.0, "stall_budget_s": 2 * WITHIN_S, "look_up_budget_s": 2 * WITHIN_S}
"""Limits that a node on a busy machine, or with a disk that stalls, keeps to."""


@contextmanager
def hasty(store: ElasticStore, **limits: float) -> Iterator[None]:
    """The store with these limits instead of its own (without any: it gives up after half a second)."""
    link = store._link
    patient, client = link.settings, link._client
    link.settings = patient.model_copy(update=limits or {"stall_budget_s": 0.5})
    link._client = connect(link.settings)
    try:
        yield
    finally:
        link._client.close()
        link.settings, link._client = patient, client


def told(work: Callable[[], object], text: str) -> StoreUnavailable:
    """The error whose words or hint say so; that a hasty store found the node busy otherwise is waited out."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        with pytest.raises(StoreUnavailable) as caught:
            work()
        if text in caught.value.message or text in caught.value.hint:
            return caught.value
        assert time.monotonic() < deadline, f"{caught.value} says nothing of: {text}"
