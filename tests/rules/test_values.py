from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.rules.values import address_of, composed, fold, local_time, number_of, scalars, text_of, time_part
from tests.rules.strategies import values


@given(st.text(max_size=20))
def test_folding_knows_no_spelling_and_is_final(text: str) -> None:
    """Composed, decomposed and upper-cased spellings fold to one text, and folding that again changes nothing."""
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))
    assert fold(fold(text)) == fold(text)
    assert composed(composed(text)) == composed(text)


@given(values)
def test_no_value_of_an_event_makes_a_function_raise(value: Any) -> None:
    """Whatever stands in an event, each reading gives something or None."""
    for item in scalars(value):
        text_of(item)
        number_of(item)
        address_of(item)
        local_time(item)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("5", 5),
        (" 5 ", 5),
        ("-5.50", -5.5),
        ("+7", 7),
        ("1e3", None),
        ("0x10", None),
        ("٥", None),
        ("", None),
        (True, None),
        (float("nan"), None),
        ("9" * 1000, None),
        (2.0, 2),
    ],
)
def test_numbers(value: Any, number: float | None) -> None:
    """Plain decimal texts are numbers, nothing else is."""
    assert number_of(value) == number


def test_scalars_of_lists_in_lists() -> None:
    """Nulls and objects are no values; depth is bounded."""
    assert list(scalars(["a", None, ["b", {"c": "d"}, [1]]])) == ["a", "b", 1]
    deep: Any = "x"
    for _ in range(50):
        deep = [deep]
    assert list(scalars(deep)) == []


def test_times_are_told_in_the_local_zone() -> None:
    """UTC, offset, none, seconds and milliseconds."""
    for value in ("2026-11-20T01:30:00Z", "2026-11-20T08:30:00", "2026-11-20T03:30:00+02:00", 1795138200, "1795138200000"):
        moment = local_time(value)
        assert moment is not None
        assert (moment.hour, time_part(moment, "minute"), time_part(moment, "week")) == (8, 30, 47)
    assert local_time("no time") is None
    assert local_time(10**30) is None


def test_enormous_integers_are_told_in_hexadecimal() -> None:
    """Python refuses to write them in decimal; an event may hold one all the same."""
    assert text_of(10**5000) == hex(10**5000)
    assert text_of(2**4000) == str(2**4000)
    assert number_of(10**5000) == 10**5000
    assert local_time(10**5000) is None
