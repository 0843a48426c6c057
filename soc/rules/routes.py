"""Which signals must meet in one place: the key by which a log of signals is cut into partitions.

A correlation needs all signals of a group. A correlation of correlations needs all alerts of its rules that are of one
of its groups; its group values stand among theirs, so signals are keyed by the group *of the last correlation of the
chain*: then a chain is judged where its signals are, and no alert has to travel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from soc.model.signal import Signal
from soc.rules.correlation import Correlation
from soc.rules.signals import chained

_SEPARATOR = "\x1f"


class Routes:
    """The keys of a rule set's signals.

    `rules`: children before parents, references as ids. Where a chain ends in several correlations, or comes to its end
    by ways that keep different group values, all its signals have one key: right, but on one partition. The same is true of
    correlations without groups.
    """

    def __init__(self, rules: Sequence[Correlation]) -> None:
        by_id = {rule.id: rule for rule in rules}
        parents: dict[str, list[str]] = {}
        for rule in rules:
            for member in dict.fromkeys(rule.rules):
                if member in by_id:
                    parents.setdefault(member, []).append(rule.id)
        self._ways: dict[str, tuple[str, tuple[int, ...]]] = {}
        """Per correlation: where its chain ends, and which of its group values stand for the group there."""
        for names in _chains(by_id, parents):
            ends = [name for name in names if name not in parents]
            ways = {name: _places(name, by_id, parents) for name in names}
            apart = len(ends) == 1 and all(len(found) == 1 for found in ways.values())
            for name in names:
                self._ways[name] = (min(ends), next(iter(ways[name])) if apart else ())

    def key(self, signal: Signal) -> bytes:
        """The key of a signal.   Cost: 1 µs."""
        way = self._ways.get(signal.correlation)
        if way is None:
            return _joined(signal.correlation, *signal.key)
        return self._key(way, signal.key)

    def only_key(self, correlation: str) -> bytes | None:
        """The key that all signals of a correlation have; None where each group has its own."""
        end, places = self._ways[correlation]
        return None if places else _joined(end)

    @staticmethod
    def _key(way: tuple[str, tuple[int, ...]], key: tuple[str, ...]) -> bytes:
        end, places = way
        return _joined(end, key[0], *[key[1 + place] for place in places]) if places else _joined(end)


RoutesOf = Callable[[], Routes]
"""The routes of the rules in force."""


def _joined(*parts: str) -> bytes:
    return _SEPARATOR.join(parts).encode("utf-8", "surrogatepass")


def _chains(by_id: dict[str, Correlation], parents: dict[str, list[str]]) -> list[list[str]]:
    """Correlations that hang together, in the order of the rules."""
    group_of: dict[str, list[str]] = {name: [name] for name in by_id}
    for child, above in parents.items():
        for parent in above:
            one, other = group_of[child], group_of[parent]
            if one is not other:
                one += other
                for name in other:
                    group_of[name] = one
    return list({id(names): names for names in group_of.values()}.values())


def _places(name: str, by_id: dict[str, Correlation], parents: dict[str, list[str]]) -> set[tuple[int, ...]]:
    """Where the group values of the end of the chain stand among those of a correlation, by each way that leads there."""
    if name not in parents:
        return {tuple(range(len(by_id[name].group_by)))}
    ways = set()
    for parent in parents[name]:
        group, _ = chained(by_id[parent], by_id[name])
        ways |= {tuple(group[place] for place in places) for places in _places(parent, by_id, parents)}
    return ways
