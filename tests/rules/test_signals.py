"""What correlations are told of an event: whom it is about, where that is, and the values that count."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from soc.rules.engine import place_of
from soc.rules.signals import Extractor
from tests.rules.correlations import rule

EVENT = {"g": "192.168.1.5", "other": "203.0.113.9", "observer.name": "FG-1", "v": "One"}


def told(event: Mapping[str, object], *, group_by: tuple[str, ...] = ("g",), placed: bool = True, fields: tuple[str, ...] = ()) -> list[tuple[object, ...]]:
    """Key, what is shown of it, and values of each signal."""
    one = rule("value_count" if fields else "event_count", group_by=group_by, fields=fields)
    extractor = Extractor(one, 0, place_of=place_of if placed else None)
    return [(signal.key, signal.shown, signal.values) for signal in extractor.signals(event, 1, "e1")]


def test_a_private_address_comes_with_its_place() -> None:
    """The same one stands behind many routers; what is public needs none, and a key that names the place has it already."""
    assert told(EVENT) == [(("real", "192.168.1.5", "observer.name=fg-1"), ("192.168.1.5", "observer.name=FG-1"), ())]
    assert told(EVENT, group_by=("other", "g")) == [
        (("real", "203.0.113.9", "192.168.1.5", "observer.name=fg-1"), ("203.0.113.9", "192.168.1.5", "observer.name=FG-1"), ())
    ]
    assert told(EVENT, group_by=("other",)) == [(("real", "203.0.113.9"), ("203.0.113.9",), ())]
    assert told(EVENT, placed=False) == [(("real", "192.168.1.5"), ("192.168.1.5",), ())]
    assert told({"g": "192.168.1.5"}) == [(("real", "192.168.1.5"), ("192.168.1.5",), ())]


def test_a_field_of_several_values_gives_a_signal_for_each() -> None:
    """One group a value; the place goes with all of them."""
    event = {**EVENT, "g": ["203.0.113.1", "10.0.0.1", "203.0.113.1"]}
    assert [key for key, _, _ in told(event)] == [("real", "203.0.113.1", "observer.name=fg-1"), ("real", "10.0.0.1", "observer.name=fg-1")]


@pytest.mark.parametrize("event", [{}, {"other": "x"}, {"g": None}, {"g": []}])
def test_an_event_without_its_group_says_nothing(event: dict[str, object]) -> None:
    """Nor does one without the value that counts."""
    assert told(event) == []
    assert told({**EVENT, "v": event.get("g")}, fields=("v",)) == []


def test_values_are_told_once_each_and_folded() -> None:
    """Of one field, and joined of several."""
    assert [values for _, _, values in told(EVENT, fields=("v",))] == [("one",)]
    assert [values for _, _, values in told({**EVENT, "v": ["One", "TWO", "one"]}, fields=("v",))] == [("one", "two")]
    assert [values for _, _, values in told({**EVENT, "v": ["One", "TWO"]}, fields=("v", "other"))] == [("one\x1f203.0.113.9", "two\x1f203.0.113.9")]
