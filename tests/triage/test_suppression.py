"""Which groups a suppression hides."""

from __future__ import annotations

import msgspec
import pytest

from soc.model.alert import AlertGroup, RuleRef
from soc.model.fact import Fact
from soc.triage.suppression import PREFIX, Suppression, fold

GROUP = AlertGroup(
    "g-1",
    RuleRef("r-1", "t", "high", "h"),
    {"source.ip": "203.0.113.7"},
    "real",
    3,
    "2026-11-20T01:00:00Z",
    "2026-11-20T08:00:00Z",
    "a-1",
    "high",
    "scan",
    ["yte"],
)


def suppression(fields: dict[str, str], *, begin: str = "2026-11-20T00:00:00Z", until: str = "2026-11-21T00:00:00Z", scope: str = "real") -> Suppression:
    """A suppression of a day."""
    return Suppression("SUP-0001", fields, begin, until, "r", "an", begin, scope)


@pytest.mark.parametrize(
    ("fields", "hidden"),
    [
        ({"rule": "r-1"}, True),
        ({"rule": "r-1", "source.ip": "203.0.113.7", "level": "high", "agency": "yte", "category": "scan"}, True),
        ({"rule": "r-1", "source.ip": "203.0.113.8"}, False),
        ({"destination.ip": "203.0.113.7"}, False),
        ({"agency": "ubnd"}, False),
        ({"level": "low"}, False),
    ],
)
def test_all_fields_must_fit(fields: dict[str, str], hidden: bool) -> None:
    """One that does not fit is enough."""
    assert suppression(fields).hides(GROUP) is hidden


@pytest.mark.parametrize(
    ("begin", "until", "hidden"),
    [
        ("2026-11-20T08:00:00Z", "2026-11-20T08:00:01Z", True),
        ("2026-11-20T00:00:00Z", "2026-11-20T08:00:00Z", False),
        ("2026-11-20T08:00:01Z", "2026-11-21T00:00:00Z", False),
    ],
)
def test_the_time_of_the_newest_alert_counts(begin: str, until: str, hidden: bool) -> None:
    """From the beginning on, before the end."""
    assert suppression({"rule": "r-1"}, begin=begin, until=until).hides(GROUP) is hidden


def test_exercises_and_agencies_that_are_not_alone_are_left() -> None:
    """A suppression of real groups hides none of an exercise; one of an agency none that concerns another one too."""
    assert not suppression({"rule": "r-1"}, scope="exercise:x").hides(GROUP)
    both = msgspec.structs.replace(GROUP, agencies=["ubnd", "yte"])
    assert not suppression({"agency": "yte"}).hides(both)


def test_an_end_by_hand_never_comes_later() -> None:
    """The earlier of the two ends holds."""

    def fact(sequence: int, kind: str, /, **data: object) -> Fact:
        return Fact(1, PREFIX + "SUP-0001", sequence, kind, "2026-11-20T00:00:00Z", "an", "real", data, "máy quét", None, "")

    added = fact(1, "SuppressionAdded", fields={"rule": "r-1"}, begin="2026-11-20T00:00:00Z", until="2026-11-21T00:00:00Z")
    found = fold([added, fact(2, "SuppressionEnded", until="2026-11-20T05:00:00Z")])
    assert (found.until, found.ended_by, found.version, found.reason) == ("2026-11-20T05:00:00Z", "an", 2, "máy quét")
    assert fold([added, fact(2, "SuppressionEnded", until="2026-12-20T05:00:00Z")]).until == "2026-11-21T00:00:00Z"
