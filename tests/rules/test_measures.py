"""Measures of sliding windows, beside what they mean written plainly."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.rules import measures
from soc.rules.measures import Chain, InOrder, Percentile

STEPS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 31), st.integers(0, 8)), max_size=25)
"""How much later than the one before, bits of the rules that match, how long the window is."""


def _longest(window: list[tuple[int, int]], rules: int) -> int:
    """The most rules that have events one after the other, found by trying every subset of them."""

    def fits(chosen: int) -> bool:
        at = -1
        for rule in range(rules):
            if chosen >> rule & 1:
                at = next((ts for ts, bits in window if ts >= at and bits >> rule & 1), -1)
                if at < 0:
                    return False
        return True

    return max(chosen.bit_count() for chosen in range(1 << rules) if fits(chosen))


@given(STEPS, st.integers(1, 5))
def test_rules_in_order_are_the_longest_chain(steps: list[tuple[int, int, int]], rules: int) -> None:
    """As many as the best choice of them; of all rules together the quick measure says the same."""
    some, every = InOrder(rules), Chain((1 << rules) - 1)
    seen: list[tuple[int, int]] = []
    for ts, (_, drawn, span) in zip(accumulate(step[0] for step in steps), steps, strict=True):
        mask = drawn & ((1 << rules) - 1)
        some.push(ts, mask, ())
        every.push(ts, mask, ())
        seen.append((ts, mask))
        longest = _longest([one for one in seen if one[0] >= ts - span], rules)
        assert some.measure(ts - span) == longest
        assert (every.measure(ts - span) == rules) == (longest == rules)


@given(st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(-20, 20), min_size=1, max_size=4)), min_size=1, max_size=60), st.integers(0, 100))
@pytest.mark.parametrize("part", [2, 5, 4_096])
def test_percentiles_are_those_of_a_sorted_list(part: int, steps: list[tuple[int, list[int]]], percent: int) -> None:
    """In parts of any size; a number that leaves the window is one of those that are equal to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "_PART", part)
        measure = Percentile(percent)
        members: list[tuple[int, int]] = []
        for ts, (_, values) in zip(accumulate(step[0] for step in steps), steps, strict=True):
            measure.push(ts, 1, tuple(values))
            members = [one for one in (*members, *((ts, value) for value in values)) if one[0] >= ts - 4]
            ordered = sorted(value for _, value in members)
            place, rest = divmod((len(ordered) - 1) * percent, 100)
            wanted: Fraction = Fraction(ordered[place])
            if rest:
                wanted += Fraction(rest, 100) * (ordered[place + 1] - ordered[place])
            assert measure.measure(ts - 4) == wanted
        assert measure.measure(ts + 1) is None
