from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from soc.rules.ast import ANY_ONE, STAR, And, Leaf, Not, Or
from soc.rules.match import matches, values_of

ONE = Leaf("a", "equals", "1")
TWO = Leaf("b", "equals", "2")


def test_boolean_operators() -> None:
    """And, or and not; of nothing, AND holds and OR does not."""
    both: dict[str, Any] = {"a": "1", "b": "2"}
    assert matches(And((ONE, TWO)), both)
    assert not matches(And((ONE, TWO)), {"a": "1"})
    assert matches(Or((ONE, TWO)), {"b": "2"})
    assert not matches(Not(ONE), both)
    assert matches(And(()), {})
    assert not matches(Or(()), {})


@given(st.lists(st.sampled_from(["a", "b", "ab", STAR, ANY_ONE]), min_size=1, max_size=6), st.text("ab\n", max_size=10))
def test_wildcards_mean_what_an_expression_means(parts: list[str | int], text: str) -> None:
    """The plain search for wildcards agrees with Python's own engine."""
    pattern = "".join(re.escape(part) if isinstance(part, str) else ".*" if part == STAR else "." for part in parts)
    assert matches(Leaf("f", "like", parts=tuple(parts)), {"f": text}) is bool(re.fullmatch(pattern, text, re.DOTALL))


def test_the_text_of_keywords() -> None:
    """event.original, else message, else every value; never names."""
    keyword = Leaf("", "contains", "x")
    assert list(values_of(keyword, {"event.original": "o", "message": "m"})) == ["o"]
    assert list(values_of(keyword, {"message": "m", "a": "b"})) == ["m"]
    assert list(values_of(keyword, {"a": ["b", 1], "c": None})) == ["b", 1]
