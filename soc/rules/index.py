"""Which rules can match an event at all: an index over values that a rule needs.

The idea: most rules can only match when one of a few values stands in one field (`fortinet.firewall.subtype: ips`).
Such a set of (field, value) is necessary: of an AND any one argument gives it, of an OR all together, of a NOT none.
Each rule is filed under the cheapest of its necessary sets; an event looks up its own values, one dict per field, and
only the rules found are evaluated. Rules without a necessary value are evaluated always, and `soc.rules.lint` names
them. A value is looked up as it stands: what it folds to is remembered, as devices write few different values in the
fields that rules ask for; the memory is bounded, because attackers choose values too.

Measured: a FortiGate traffic line against the shipped rules costs about 1 µs, where asking every rule costs 20.
"""

from __future__ import annotations

from typing import Any

import msgspec

from soc.rules.ast import And, Leaf, Node, Or
from soc.rules.fields import Taxonomy
from soc.rules.values import fold, number_of, scalars, text_of

MOST_REMEMBERED = 4_096
"""Values per field whose answer is kept."""
MOST_VALUE = 256
"""Longer values are looked up but not kept."""
MOST_ATOMS = 2_000
"""A necessary set larger than this saves nothing over asking the rule."""

MOST_NUMBER = 1e300
"""Larger integers are no floats."""

Ids = tuple[int, ...]


class Atom(msgspec.Struct, frozen=True):
    """A value that a field must have: as folded text, or as a number."""

    field: str
    text: str = ""
    number: float | None = None

    @property
    def order(self) -> tuple[str, bool, str, float]:
        """What atoms are sorted by, so that the same rules always give the same index."""
        return self.field, self.number is not None, self.text, self.number or 0.0


def necessary(node: Node, names: Taxonomy) -> frozenset[Atom] | None:
    """Values of which an event must have at least one to match; None when there is no such set."""
    if isinstance(node, Leaf):
        if not node.field:
            return None
        if node.test in {"equals", "bool"}:
            return frozenset({Atom(node.field, fold(text_of(node.pattern)))})
        if node.test == "number" and isinstance(node.pattern, (int, float)) and abs(node.pattern) < MOST_NUMBER:
            return frozenset({Atom(node.field, number=float(node.pattern))})
        return None
    if isinstance(node, And):
        sets = [found for arg in node.args if (found := necessary(arg, names)) is not None]
        return min(sets, key=lambda atoms: cost(atoms, names)) if sets else None
    if isinstance(node, Or):
        together: set[Atom] = set()
        for arg in node.args:
            found = necessary(arg, names)
            if found is None:
                return None
            together |= found
        return frozenset(together) if len(together) <= MOST_ATOMS else None
    return None


def cost(atoms: frozenset[Atom], names: Taxonomy) -> tuple[int, int, list[tuple[str, bool, str, float]]]:
    """How much filing under these values saves, less is better: rare fields, few fields, few values."""
    fields = {atom.field for atom in atoms}
    return (sum(1 + names.common.get(field, 0) for field in fields), len(atoms), sorted(atom.order for atom in atoms))


class FieldTable:
    """The rules filed under the values of one field."""

    def __init__(self, field: str) -> None:
        self.field = field
        self._texts: dict[str, list[int]] = {}
        self._numbers: dict[float, list[int]] = {}
        self.remembered: dict[str, Ids] = {}

    def add(self, atom: Atom, rule: int) -> None:
        """File a rule."""
        place = self._texts.setdefault(atom.text, []) if atom.number is None else self._numbers.setdefault(atom.number, [])
        place.append(rule)

    def look_up(self, value: Any) -> Ids:
        """The rules filed under a value (or under any of a list, perhaps named twice)."""
        if value.__class__ is str:
            found = self.remembered.get(value)
            return self._remember(value) if found is None else found
        if value.__class__ is list:
            out: Ids = ()
            for item in value:
                out += self.look_up(item) if item.__class__ is str else tuple(rule for scalar in scalars(item) for rule in self._find(scalar))
            return out
        return tuple(rule for scalar in scalars(value) for rule in self._find(scalar))

    def _remember(self, value: str) -> Ids:
        found = self._find(value)
        if len(value) <= MOST_VALUE:
            if len(self.remembered) >= MOST_REMEMBERED:
                self.remembered.clear()
            self.remembered[value] = found
        return found

    def _find(self, value: Any) -> Ids:
        rules = list(self._texts.get(fold(text_of(value)), ()))
        if self._numbers:
            number = number_of(value)
            rules.extend(self._numbers.get(float(number), ()) if number is not None and abs(number) < MOST_NUMBER else ())
        return tuple(rules)


class Index(msgspec.Struct):
    """The rules of one route: per field a table, and those that are asked always."""

    tables: list[tuple[str, dict[str, Ids], FieldTable]]
    always: Ids


def build(rules: list[tuple[int, Node]], names: Taxonomy) -> Index:
    """The index of numbered conditions."""
    tables: dict[str, FieldTable] = {}
    always: list[int] = []
    for number, condition in rules:
        atoms = necessary(condition, names)
        if atoms is None:
            always.append(number)
            continue
        for atom in sorted(atoms, key=lambda atom: atom.order):
            tables.setdefault(atom.field, FieldTable(atom.field)).add(atom, number)
    return Index([(field, table.remembered, table) for field, table in sorted(tables.items())], tuple(always))
