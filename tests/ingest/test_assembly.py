"""Open occurrences live as long as they are touched, survive a restart, and never pile up."""

from __future__ import annotations

from collections.abc import MutableMapping

import pytest

from soc.ingest import assembly
from soc.ingest.assembly import Assembly
from soc.ingest.parser import Parsed


class Pairs:
    """Joins two lines with the same `key` field; a lone line expires as `half`."""

    name = "pairs"
    version = 1
    timeout_s = 10.0

    def fold(self, states: MutableMapping[str, bytes], event_id: str, ts_us: int, doc: dict[str, object]) -> list[Parsed]:
        key = str(doc["key"])
        if key in states:
            if states[key] == b"done":
                return []
            states[key] = b"done"
            return [Parsed({"what": "pair", "key": key}, ts_us, key)]
        states[key] = event_id.encode()
        return []

    def expire(self, states: MutableMapping[str, bytes], key: str) -> list[Parsed]:
        if states[key] == b"done":
            return []
        states[key] = b"done"
        return [Parsed({"what": "half", "key": key}, 0, key)]


S = 1_000_000


def _fold(pairs: Assembly, key: str, at_s: float) -> list[str]:
    return [str(parsed.doc["what"]) for parsed in pairs.fold(f"e{at_s}", round(at_s * S), round(at_s * S), {"key": key})]


def test_an_untouched_occurrence_expires_by_the_next_record() -> None:
    """Time is the received time of records: nothing expires before a record says that it is late."""
    pairs = Assembly(Pairs())
    assert _fold(pairs, "a", 0) == []
    assert _fold(pairs, "b", 9.9) == []
    assert _fold(pairs, "c", 10) == ["half"]


def test_a_finished_occurrence_rests_once_more_and_is_forgotten() -> None:
    """The tombstone that an assembler writes when it expires goes with the second timeout."""
    pairs = Assembly(Pairs())
    _fold(pairs, "a", 0)
    assert _fold(pairs, "a", 1) == ["pair"]
    assert _fold(pairs, "a", 2) == [], "a straggler opens nothing"
    pairs.expire(11 * S)
    assert list(pairs) == []
    assert pairs.take_changes()["a"] is None


def test_kept_states_go_on_after_a_restart() -> None:
    """What take_changes gave, read back, behaves as if nothing had happened, also its age."""
    pairs = Assembly(Pairs())
    _fold(pairs, "old", 0)
    _fold(pairs, "new", 5)
    kept = {key: value for key, value in pairs.take_changes().items() if value is not None}
    again = Assembly(Pairs(), kept)
    assert [parsed.doc["key"] for parsed in again.expire(10 * S)] == ["old"]
    assert _fold(again, "new", 11) == ["pair"]


def test_changes_are_told_once() -> None:
    """A state that was kept and not touched since is not kept again."""
    pairs = Assembly(Pairs())
    _fold(pairs, "a", 1)
    assert sorted(pairs.take_changes()) == ["", "a"]
    assert pairs.take_changes() == {}


def test_too_many_open_occurrences_finish_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that opens messages and never ends them costs bounded memory, and loses none of them."""
    monkeypatch.setattr(assembly, "MOST_OPEN", 3)
    pairs = Assembly(Pairs())
    told = [what for step in range(6) for what in _fold(pairs, f"k{step}", step)]
    assert told == ["half", "half", "half"]
    assert len(pairs) <= 4


def test_a_clock_set_back_expires_the_same_after_a_restart() -> None:
    """Time never goes back in a partition, with a restart in between or without one."""

    def run(*, restart: bool) -> list[str]:
        pairs = Assembly(Pairs())
        _fold(pairs, "a", 7200)
        _fold(pairs, "a", 7201)
        pairs.expire(7300 * S)
        pairs.expire(7400 * S)
        assert len(pairs) == 0
        if restart:
            pairs = Assembly(Pairs(), {key: value for key, value in pairs.take_changes().items() if value is not None})
        return [*_fold(pairs, "b", 100), *_fold(pairs, "c", 150), *_fold(pairs, "b", 200)]

    assert run(restart=True) == run(restart=False)


def test_an_occurrence_that_its_assembler_fails_at_is_not_in_the_way() -> None:
    """The fault is told once; the next occurrences expire as ever."""

    class Failing(Pairs):
        def expire(self, states: MutableMapping[str, bytes], key: str) -> list[Parsed]:
            if key == "bad":
                raise ZeroDivisionError
            return super().expire(states, key)

    pairs = Assembly(Failing())
    _fold(pairs, "bad", 0)
    _fold(pairs, "good", 1)
    with pytest.raises(ZeroDivisionError):
        pairs.expire(20 * S)
    assert [parsed.doc["key"] for parsed in pairs.expire(20 * S)] == ["good"]
