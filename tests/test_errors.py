"""Errors are facts with an exit code; their text can be said in another language and never acts as a format."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest

from soc.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    Locked,
    NotAllowed,
    NotFound,
    Phrase,
    RuleError,
    SocError,
    StoreCorrupt,
    StoreFull,
    StoreNewer,
    StoreUnavailable,
    UsageError,
)


def _all(kind: type[SocError] = SocError) -> Iterator[type[SocError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _all(below)


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ([UsageError], 2),
        ([ConfigError, RuleError], 3),
        ([StoreUnavailable], 4),
        ([NotAllowed, Locked, AccessDenied], 5),
        ([Conflict], 6),
        ([StoreFull, StoreNewer, StoreCorrupt], 7),
        ([NotFound], 1),
        ([SocError], 70),
    ],
)
def test_exit_codes_are_those_of_the_design(kinds: list[type[SocError]], code: int) -> None:
    """Scripts rely on them."""
    assert [kind.exit_code for kind in kinds] == [code] * len(kinds)


def test_every_error_has_an_exit_code_of_the_table() -> None:
    """Nothing ends with a number that no document names."""
    assert {kind.exit_code for kind in _all()} <= {1, 2, 3, 4, 5, 6, 7, 70}


def test_a_phrase_is_its_text_and_knows_its_facts() -> None:
    """It goes wherever a text goes, also through a copy, and a fact is never read as a format."""
    phrase = Phrase("no event {id}", id="{0.__class__}%s{x}")
    assert phrase == "no event {0.__class__}%s{x}"
    assert (phrase.template, phrase.facts) == ("no event {id}", {"id": "{0.__class__}%s{x}"})
    again = copy.deepcopy(phrase)
    assert (again, again.template, again.facts) == (phrase, phrase.template, phrase.facts)
    assert Phrase("100 % of {x}") == "100 % of {x}"
