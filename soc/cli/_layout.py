"""How a table is laid out on a terminal that may be too narrow for it: nothing is cut off, no column is squeezed to a letter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

if TYPE_CHECKING:
    from soc.cli._io import Column

LEAST = 12
"""A column that may be folded is never made narrower."""
# Reference: a word with the blanks before it, as many as there are: they set columns of a line apart
_WORDS = re.compile(r"(\s*)(\S+)")
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


def folded(line: str, width: int, first: str = "", more: str = "") -> str:
    """A line folded between words so that no row takes more than `width` places; `first` begins the first row, `more` the others.

    Wide letters take two places, marks that stand on letters none. A word that is wider than a row is broken. Cost: linear, whatever the words.
    """
    from rich.cells import chop_cells

    rows: list[str] = []
    row, indent = first, len(first)
    for blanks, word in _WORDS.findall(line):
        gap = blanks if len(row) > indent or (row == first and not rows) else ""  # a line may begin with blanks, a row that goes on not
        if cell_len(row) + len(gap) + cell_len(word) <= width:
            row += gap + word
            continue
        if len(row) > indent:
            rows.append(row)
            row, indent = more, len(more)
        if cell_len(row) + cell_len(word) <= width:
            row += word
            continue
        part = chop_cells(word, max(width - cell_len(row), 2))[0]
        *parts, last = chop_cells(word[len(part) :], max(width - cell_len(more), 2)) or [""]
        rows += [row + part, *(more + one for one in parts)]
        row, indent = more + last, len(more)
    return "\n".join([*rows, row])


def record(columns: Sequence[Column], row: Sequence[str]) -> list[tuple[str, str]]:
    """One item below each other: padded titles and values, without those that are empty."""
    widest = max(cell_len(column.title) for column in columns)
    return [(column.title + " " * (widest - cell_len(column.title)), value) for column, value in zip(columns, row, strict=True) if value]
