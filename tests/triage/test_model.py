"""The triage of a group is a fold of its facts, whatever was undone in between."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from soc.model.fact import Fact
from soc.triage.model import ACKNOWLEDGED, CLOSED, OPEN, PREFIX, TABLE, UNDONE, Through, Triage, effective, fold, last_words, standing

STREAM = PREFIX + "g-1"


def fact(sequence: int, kind: str, actor: str = "an", /, **data: Any) -> Fact:
    """A fact of one stream."""
    return Fact(1, STREAM, sequence, kind, f"2026-11-20T08:{sequence:02d}:00Z", actor, "real", data, "", None, "")


def close(sequence: int, *, generation: int = 1, verdict: str = "benign", last_at: str = "2026-11-20T08:00:00Z", count: int = 5) -> Fact:
    """A group closed with so much in it."""
    return fact(sequence, "GroupClosed", generation=generation, verdict=verdict, note="", through={"last_alert": "a-1", "last_at": last_at, "count": count})


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    """What commands would have recorded: steps that fit the state, alerts that come meanwhile, undoings of the last effective fact."""
    facts: list[Fact] = []
    count = 1
    for number in range(1, draw(st.integers(1, 20)) + 1):
        count += draw(st.integers(0, 1))
        triage = standing(fold(facts), last_at="2026-11-20T08:00:00Z", count=count)
        fitting = [command for command, states in TABLE.items() if triage.state in states] + (["undo"] if effective(facts) else [])
        command = draw(st.sampled_from(sorted(fitting)))
        actor = draw(st.sampled_from(["an", "bình"]))
        if command == "undo":
            facts.append(fact(number, UNDONE, actor, sequence=effective(facts)[-1].sequence))
        elif command == "close":
            facts.append(close(number, generation=triage.generation, count=count))
        else:
            kind = {"ack": "GroupAcknowledged", "assign": "GroupAssigned", "reopen": "GroupReopened"}[command]
            facts.append(fact(number, kind, actor, generation=triage.generation, **({"owner": "cường"} if command == "assign" else {})))
    return facts


def without_version(triage: Triage) -> tuple[Any, ...]:
    """What people see of a triage."""
    return (triage.state, triage.owner, triage.verdict, triage.generation, triage.previous_verdict, triage.through, triage.by, triage.at)


@given(histories())
def test_undoing_the_last_word_gives_what_was_before(facts: list[Fact]) -> None:
    """With its undoing a fact is as if it had never been said, and only the version tells."""
    last = effective(facts)
    if not last:
        return
    undone = fold([*facts, fact(len(facts) + 1, UNDONE, sequence=last[-1].sequence)])
    assert without_version(undone) == without_version(fold([one for one in effective(facts) if one is not last[-1]]))
    assert undone.version == len(facts) + 1


@given(histories())
def test_a_state_is_always_whole(facts: list[Fact]) -> None:
    """A closed group has a verdict and what it was closed with, others have no verdict; generations never leap or fall."""
    generations = [fold(facts[:number]).generation for number in range(len(facts) + 1)]
    assert all(later - earlier <= 1 for earlier, later in pairwise(generations))
    triage = fold(facts)
    assert triage.state in (OPEN, ACKNOWLEDGED, CLOSED)
    assert bool(triage.verdict) == (triage.state == CLOSED)
    assert (triage.state == CLOSED) == (triage.through is not None)
    assert triage.state != ACKNOWLEDGED or triage.owner


@given(histories(), st.integers(0, 40))
def test_only_what_is_new_opens_a_closed_group(facts: list[Fact], count: int) -> None:
    """The same counts and times change nothing; a higher count or a later time makes one generation more."""
    triage = fold(facts)
    if triage.state != CLOSED or triage.through is None:
        assert standing(triage, last_at="9", count=count) == triage
        return
    through = triage.through
    found = standing(triage, last_at=through.last_at, count=count)
    assert (found.state, found.generation - triage.generation) == (("open", 1) if count > through.count else ("closed", 0))
    assert found.count_since(count) == max(count - (through.count if count > through.count else triage.since), 0)
    assert standing(triage, last_at="2026-11-20T08:00:01Z", count=through.count).previous_verdict == triage.verdict


def test_an_alert_that_comes_late_opens_a_group_again() -> None:
    """Its time is an old one, but the count tells; the line that is sent again does not."""
    triage = fold([close(1)])
    assert standing(triage, last_at="2026-11-20T08:00:00Z", count=6).generation == 2
    assert standing(triage, last_at="2026-11-20T08:00:00Z", count=5) is triage
    assert triage.through == Through("a-1", "2026-11-20T08:00:00Z", 5)


def test_the_next_generation_begins_without_an_owner() -> None:
    """What is said of it does not change what the one before was."""
    facts = [fact(1, "GroupAcknowledged", generation=1), close(2, verdict="false-positive"), fact(3, "GroupAssigned", generation=2, owner="bình")]
    triage = fold(facts)
    assert (triage.state, triage.owner, triage.generation, triage.previous_verdict, triage.verdict) == (OPEN, "bình", 2, "false-positive", "")


def test_a_generation_that_is_reopened_counts_from_its_own_beginning() -> None:
    """Not from the first alert ever, and not from its own close."""
    facts = [close(1, count=5), close(2, generation=2, count=8), fact(3, "GroupReopened", generation=2)]
    assert [fold(facts[:number]).count_since(9) for number in (1, 2, 3)] == [9, 4, 4]
    assert standing(fold(facts[:2]), last_at="2026-11-20T08:00:00Z", count=9).count_since(9) == 1


def test_the_last_word_on_alert_and_group_counts() -> None:
    """Of each the last verdict; reopening and undoing take the group's away."""
    given_ = fact(1, "VerdictGiven", target="a-1", verdict="true-positive")
    assert set(last_words([given_, close(2)])) == {"a-1", "g-1"}
    assert set(last_words([given_, close(2), fact(3, "GroupReopened")])) == {"a-1"}
    assert set(last_words([given_, close(2), fact(3, UNDONE, sequence=2)])) == {"a-1"}
    assert set(last_words([given_, fact(2, UNDONE, sequence=1)])) == set()
