"""The events that name an observable are found on every store, stopped and let through told apart; an event of another scope never."""

from __future__ import annotations

import pytest

from soc.application.observables import blocked, query_of
from soc.intel.observables import Observable
from tests.contracts.conftest import Rig
from tests.contracts.samples import batch, event

EVENTS: list[dict[str, object]] = [
    {"destination.ip": "45.77.1.2", "soc.blocked": True},
    {"source.ip": "45.77.1.2", "soc.blocked": False},
    {"source.ip": "45.77.1.3"},
    {"destination.ip": "2405:4800::1", "soc.blocked": True},
    {"dns.question.name": "xau.top"},
    {"url.domain": "tai.xau.top", "url.original": "http://tai.xau.top/a.exe?x=1", "soc.blocked": True},
    {"url.domain": "khongxau.top"},
    {"url.original": "tai.xau.top/a.exe?x=1"},
    {"file.hash.sha256": "ab" * 32, "file.name": "hóa đơn.exe"},
    {"email.from.address": "lua@xau.top"},
]
CASES = [
    (Observable("ip", "45.77.1.2"), (1, 1)),
    (Observable("ip", "45.77.1.0/24"), (1, 2)),
    (Observable("ip", "2405:4800::1"), (1, 0)),
    (Observable("ip", "45.77.1.9"), (0, 0)),
    (Observable("domain", "xau.top"), (1, 1)),
    (Observable("url", "http://tai.xau.top/a.exe?x=1"), (1, 1)),
    (Observable("hash", "ab" * 32), (0, 1)),
    (Observable("file", "hóa đơn.exe"), (0, 1)),
    (Observable("email", "lua@xau.top"), (0, 1)),
]


@pytest.fixture
def filled(rig: Rig) -> Rig:
    """A store with events that name things."""
    fields = [{name.replace(".", "__"): value for name, value in more.items()} for more in EVENTS]
    events = [event(seq, **more) for seq, more in enumerate(fields)]  # type: ignore[arg-type]
    rig.store.commit(batch(*events, event(len(events), scope="exercise:1", destination__ip="45.77.1.2")))
    rig.settle()
    return rig


def test_events_that_name_something(filled: Rig) -> None:
    """Addresses and networks, domains and what is below them, URLs with and without scheme, hashes, files, senders."""
    store = filled.store
    for one, (stopped, passed) in CASES:
        query = query_of(one)
        assert (store.count(blocked(query, stopped=True)), store.count(blocked(query, stopped=False))) == (stopped, passed), one
        assert store.count(query) == stopped + passed
    assert store.count(query_of(CASES[0][0], scope=None)) == 3
