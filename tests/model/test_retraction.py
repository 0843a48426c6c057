"""Retractions are a fold of facts."""

from __future__ import annotations

from typing import Any

from soc.model.retraction import Retraction, in_force, retraction_of, withdrawn


def fact(identity: str, rule: str = "r", since: int = 10, until: int = 20) -> dict[str, Any]:
    """A fact as stores keep it, with what readers need beside."""
    return {"id": identity, "rule": rule, "from_us": since, "until_us": until, "by": "lan", "why": "wrong", "at": "2026-11-21T00:00:00Z", "later": "unknown"}


def test_a_retraction_covers_its_rule_and_period() -> None:
    """From inclusive, until exclusive, and no other rule."""
    one = retraction_of(fact("x-1"))
    assert one == Retraction("x-1", "r", 10, 20)
    assert [one.covers("r", at) for at in (9, 10, 19, 20)] == [False, True, True, False]
    assert not one.covers("other", 15)


def test_what_is_undone_is_in_force_no_more() -> None:
    """Undoing names the retraction; the others stay; undoing what is not there changes nothing."""
    facts = [fact("x-1"), fact("x-2", since=15, until=30), {"undoes": "x-1"}, {"undoes": "x-9"}]
    assert [one.id for one in in_force(facts)] == ["x-2"]
    assert [withdrawn(in_force(facts), "r", at) for at in (12, 15, 29, 30)] == [False, True, True, False]
    assert in_force([]) == ()
    assert not withdrawn((), "r", 15)


def test_facts_of_one_retraction_count_once() -> None:
    """A fact that came twice is undone at once."""
    assert in_force([fact("x-1"), fact("x-1"), {"undoes": "x-1"}]) == ()
