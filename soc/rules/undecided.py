"""Signals that wait until the timespan after them is known: first in, first out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from soc.rules.groups import Group
from soc.rules.packed import TOGETHER, pack, unpacker

_Rest = tuple[int, str, int, tuple[str | int, ...], tuple[str, ...] | None]
Waiting = tuple[Group, int, str, int, tuple[str | int, ...], tuple[str, ...] | None]
"""A signal that is still to be judged: its group, then time, id, bits of the rules, values and group values as a `Signal` has them (None = those of the group)."""
_unpack: Callable[[bytes], list[_Rest]] = unpacker(_Rest)


class Undecided:
    """Signals in the order in which they came; of many all but the oldest and the newest are packed."""

    __slots__ = ("_new", "_old", "_packed")

    def __init__(self) -> None:
        self._old: deque[Waiting] = deque()
        self._packed: deque[tuple[list[Group], bytes]] = deque()
        self._new: deque[Waiting] = deque()

    def __bool__(self) -> bool:
        return bool(self._old or self._packed or self._new)

    def add(self, waiting: Waiting) -> None:
        """Put a signal behind all others."""
        new = self._new
        new.append(waiting)
        if len(new) == 2 * TOGETHER:
            some = [new.popleft() for _ in range(TOGETHER)]
            self._packed.append(([row[0] for row in some], pack([row[1:] for row in some])))

    def first(self) -> Waiting:
        """The oldest.

        Raises: IndexError when there is none.
        """
        if not self._old:
            self._refill()
        return self._old[0]

    def take(self) -> Waiting:
        """Take the oldest away.

        Raises: IndexError when there is none.
        """
        if not self._old:
            self._refill()
        return self._old.popleft()

    def _refill(self) -> None:
        if self._packed:
            groups, body = self._packed.popleft()
            self._old.extend((group, *row) for group, row in zip(groups, _unpack(body), strict=True))
        else:
            self._old, self._new = self._new, self._old
