"""Members of episodes: packed or not, they are what a list would hold."""

from __future__ import annotations

import tracemalloc

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from soc.rules.episodes import Episode, Member, Members, Snapshot


def member(number: int) -> Member:
    """A member as the fold makes it: time, id, bits of the rules."""
    return (1_795_000_000_000_000 + number, f"{number:020d}", number % 5)


@given(st.integers(0, 1_500), st.sampled_from([0, 1, 2, 127, 128, 129, 300, 1_000]))
def test_members_are_the_newest_of_a_list(count: int, most: int) -> None:
    """However many come, those that are kept are the last of them, in their order, and are counted."""
    members = Members(most)
    for number in range(count):
        members.append(member(number))
    wanted = [member(number) for number in range(count)][-most:] if most else [member(number) for number in range(count)]
    assert list(members) == wanted
    assert len(members) == len(wanted)


@given(st.lists(st.integers(0, 400), max_size=6), st.integers(1, 600))
def test_an_episode_keeps_the_first_and_the_last(parts: list[int], most: int) -> None:
    """Of many members the first half and the last half are kept, all are counted, and it is told that some were left out."""
    episode = Episode("c-1", ("real",), (), "", 0, None, most)
    every: list[Member] = []
    for size in parts:
        some = [member(len(every) + number) for number in range(size)]
        every += some
        episode.take(some, most)
    first, last = max(1, most // 2), max(1, most - most // 2)
    assert list(episode.head) == every[:first]
    assert list(episode.tail) == every[first:][-last:]
    assert (episode.count, episode.truncated) == (len(every), len(every) > first + last)
    episode.empty()
    assert ([*episode.head, *episode.tail], episode.count) == ([], 0)


def test_many_members_take_little() -> None:
    """Ten thousand members of which nothing else is kept take a third of what a list of them does."""
    tracemalloc.start()
    plain = [member(number) for number in range(10_000)]
    listed = tracemalloc.get_traced_memory()[0]
    members = Members()
    for one in plain:
        members.append(one)
    del plain, one
    assert tracemalloc.get_traced_memory()[0] < listed / 3
    tracemalloc.stop()
    assert len(members) == 10_000


def test_a_snapshot_stays_as_it_was() -> None:
    """What was told of an episode does not grow with it, is compared and cut like a list, and is written as one."""
    head, tail = Members(), Members(300)
    for number in range(700):
        (head if number < 300 else tail).append(member(number))
    told = Snapshot(head, tail)
    wanted = [member(number) for number in (*range(300), *range(400, 700))]
    for number in range(700, 1_200):
        tail.append(member(number))
    assert told == wanted
    assert wanted == told
    assert told != wanted[1:]
    assert (len(told), told[0], told[-1], told[298:302]) == (600, wanted[0], wanted[-1], wanted[298:302])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(told, enc_hook=list), type=list[Member]) == wanted
