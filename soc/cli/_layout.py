"""How a table is laid out on a terminal that may be too narrow for it: nothing is cut off, no column is squeezed to a letter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

if TYPE_CHECKING:
    from soc.cli._io import Column

LEAST = 12
"""A column that may be folded is never made narrower."""
GAP = 2
"""Between columns."""


def fitting(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """The places of the columns to show: all, else those that are not empty; None when these do not fit either."""
    needed = [_needed(column, [row[at] for row in rows]) for at, column in enumerate(columns)]
    every = list(range(len(columns)))
    filled = [at for at in every if not rows or any(row[at] for row in rows)]
    for places in (every, filled):
        if sum(needed[at] for at in places) + GAP * (len(places) - 1) <= width:
            return places
    return None


def _needed(column: Column, cells: Sequence[str]) -> int:
    natural = max([cell_len(column.title), *map(cell_len, cells)])
    return natural if column.whole or column.right else min(natural, LEAST)


def record(columns: Sequence[Column], row: Sequence[str]) -> list[tuple[str, str]]:
    """One item below each other: padded titles and values, without those that are empty."""
    widest = max(cell_len(column.title) for column in columns)
    return [(column.title + " " * (widest - cell_len(column.title)), value) for column, value in zip(columns, row, strict=True) if value]
