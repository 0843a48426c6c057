"""What correlations told is kept packed, and is what was told."""

from __future__ import annotations

import tracemalloc

import msgspec
import pytest

from soc.application.correlate_told import Head, Told
from soc.rules.episodes import CorrelationAlert, Episode, Snapshot

ALERT = CorrelationAlert(
    id="c-1",
    rule="r1",
    scope="real",
    key=("real", "10.0.0.1"),
    group={"source.ip": "10.0.0.1"},
    first="e1",
    at=20,
    start=10,
    end=30,
    members=[(10, "e1", 1), (20, "e2", 3)],
    count=2,
    measure=2,
    last_measure=2.5,
    truncated=False,
    late=False,
    revision=1,
)


def test_what_was_told_is_read_as_it_was_last_told() -> None:
    """A higher revision takes the place of what stood, also of what was looked at; its head tells what decides whether it is needed."""
    told = Told()
    told.put(ALERT)
    assert told["c-1"] == ALERT
    grown = msgspec.structs.replace(ALERT, revision=2, end=40)
    told.put(grown)
    assert told["c-1"] == grown
    assert told.heads == {"c-1": Head("r1", ("real", "10.0.0.1"), 40)}
    told.rest()
    assert (told["c-1"], len(told), list(told)) == (grown, 1, ["c-1"])
    told.forget("c-1")
    assert (told.get("c-1"), len(told)) == (None, 0)


def test_a_restart_takes_in_what_was_kept_and_leaves_out_what_it_cannot_read() -> None:
    """The bytes that are kept with the commit give the same alert; those of another version give none, and no error."""
    body = Told().put(ALERT)
    told = Told()
    told.take_in(body)
    told.take_in(b"no zstd")
    assert dict(told) == {"c-1": ALERT}
    told.clear()
    with pytest.raises(KeyError):
        told["c-1"]


def test_a_long_wave_shares_its_members_with_its_episode() -> None:
    """What was told of thousands is not kept a second time; it stays as it was while the episode grows, and is written whole."""
    episode = Episode("c-2", ("real",), (), "e0", 0, 3, 10_000)
    episode.take([(number, f"{number:020}", 1) for number in range(5_000)], 10_000)
    alert = msgspec.structs.replace(ALERT, id="c-2", members=Snapshot(episode.head, episode.tail), count=5_000)
    told = Told()
    body = told.put(alert)
    episode.take([(number, f"{number:020}", 1) for number in range(5_000, 6_000)], 10_000)
    assert told["c-2"] is alert
    assert [name for _, name, _ in alert.members] == [f"{number:020}" for number in range(5_000)]
    again = Told()
    again.take_in(body)
    assert again["c-2"] == alert


def test_what_is_packed_takes_no_more_than_it_is_long() -> None:
    """Compressing reserves what the text could at most become, and the bytes that it gives go on holding that."""
    long = msgspec.structs.replace(ALERT, group={"url.original": "a" * 200_000})
    Told().put(long)
    told = Told()
    tracemalloc.start()
    body = told.put(long)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(body) < 2_000
    assert taken < 10_000
