"""Suppressions: what one would have hidden, what it hides in event time, and that nothing is lost by it."""

from __future__ import annotations

import pytest

from soc.application import suppressions, triage
from soc.application.app import App
from soc.clock import FrozenClock, iso
from soc.errors import Conflict, NotFound, UsageError
from soc.ports import AlertQuery
from tests.application.test_triage import app as app  # noqa: PLC0414 - the fixture
from tests.application.test_triage import put
from tests.contracts.samples import DAY, HOUR, T0


def keys(app: App, *, suppressed: bool = False) -> list[str]:
    """The keys of the groups of the queue."""
    return [item.group.key["source.ip"] for item in triage.queue(app, AlertQuery(limit=0), suppressed=suppressed).items]


def test_a_preview_says_what_would_have_been_hidden(app: App) -> None:
    """Of the last seven days, newest first; of its own scope only."""
    assert [group.key["source.ip"] for group in suppressions.preview(app, {"rule": "r-1"})] == ["k7", "k4", "k1"]
    assert suppressions.preview(app, {"rule": "r-1", "source.ip": "k0"}) == []
    assert [group.key["source.ip"] for group in suppressions.preview(app, {"rule": "r-2"}, scope="exercise:x")] == ["k8"]
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(7 * 86_400)
    assert suppressions.preview(app, {"rule": "r-1"}) == []


def test_what_is_hidden_depends_on_the_times_of_events(app: App) -> None:
    """Only groups whose newest alert lies in its time; a newer alert after the end shows the group with all that it counted."""
    found = suppressions.add(app, {"rule": "r-1"}, begin_us=T0 + 3 * HOUR, until_us=T0 + 2 * DAY, reason="máy quét")
    assert keys(app) == ["k6", "k5", "k3", "k2", "k1", "k0"]
    assert keys(app, suppressed=True) == ["k7", "k4"]
    queue = triage.queue(app, AlertQuery(limit=2, offset=2))
    assert (queue.total, queue.suppressed, [item.group.key["source.ip"] for item in queue.items]) == (6, 2, ["k3", "k2"])
    assert triage.queue(app, AlertQuery(levels=("low",))).suppressed == 0
    assert app.store.alert_groups(AlertQuery())[0] == 8
    put(app, 49, key=4)
    assert keys(app)[0] == "k4"
    assert triage.queue(app, AlertQuery(limit=1)).items[0].group.count == 2
    suppressions.end(app, found.id)
    assert keys(app, suppressed=True) == ["k7"]


def test_closed_groups_are_not_told_as_suppressed(app: App) -> None:
    """What is closed and hidden is in neither figure."""
    (item,) = [one for one in triage.queue(app, AlertQuery(limit=0)).items if one.group.key["source.ip"] == "k7"]
    triage.close(app, [item], "benign")
    suppressions.add(app, {"rule": "r-1"}, begin_us=T0, until_us=T0 + 2 * DAY, reason="r")
    queue = triage.queue(app, AlertQuery(limit=0))
    assert (queue.suppressed, queue.total) == (2, 5)
    assert keys(app, suppressed=True) == ["k4", "k1"]
    assert triage.named(app, [item.group.id])[0].triage.state == "closed"
    assert triage.get(app, item.group).suppressed == "SUP-0001"


def test_suppressions_are_numbered_listed_and_ended_once(app: App) -> None:
    """The newest comes first; an end needs one that holds."""
    for n in range(2):
        suppressions.add(app, {"source.ip": f"k{n}"}, until_us=T0 + 2 * DAY, reason="r")
    assert [one.id for one in suppressions.listed(app)] == ["SUP-0002", "SUP-0001"]
    ended = suppressions.end(app, "2", "xong")
    assert (ended.until, ended.ended_by) == (iso(app.clock.now_us()), "an")
    with pytest.raises(Conflict):
        suppressions.end(app, "sup-0002")
    with pytest.raises(NotFound):
        suppressions.end(app, "9")


@pytest.mark.parametrize("given", [{}, {"": "x"}, {"rule": " "}, {f"f{n}": "v" for n in range(21)}, {"rule": "x" * 1_001}])
def test_fields_that_cannot_be_are_refused(app: App, given: dict[str, str]) -> None:
    """None, nameless ones, empty ones, too many, too long ones."""
    with pytest.raises(UsageError):
        suppressions.add(app, given, until_us=T0 + 2 * DAY, reason="r")
    assert suppressions.listed(app) == []


def test_a_suppression_ends_in_the_future_and_has_a_reason(app: App) -> None:
    """The time that is past is told."""
    with pytest.raises(UsageError, match="future"):
        suppressions.add(app, {"rule": "x"}, until_us=T0, reason="r")
    with pytest.raises(UsageError, match="reason"):
        suppressions.add(app, {"rule": "x"}, until_us=T0 + 2 * DAY, reason="  ")


def test_they_are_facts_of_the_journal(app: App) -> None:
    """A stream each, chained and verified like any other."""
    suppressions.add(app, {"rule": "x"}, until_us=T0 + 2 * DAY, reason="r")
    assert [head.stream for head in app.journal.heads("suppression/")] == ["suppression/SUP-0001"]
