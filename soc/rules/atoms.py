"""What a rule needs: tests of one field of which at least one must hold for the rule to match at all.

An AND needs what any one of its arguments needs (the rarest is chosen), an OR what all of them need together, a NOT
nothing; a regular expression the texts that every match contains. How rare a test is, is estimated from its form, or
measured on events (`soc.rules.index`). What is chosen changes the speed, never the result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

import msgspec

from soc.rules.ast import FIELDREF_TESTS, TEXT_TESTS, And, Leaf, Node, Not, leaves
from soc.rules.fields import Taxonomy
from soc.rules.literals import required, telling
from soc.rules.values import composed, fold, text_of

MOST_ATOMS = 50_000
"""A necessary set larger than this saves nothing over asking the rule."""
MOST_NUMBER = 1e300
"""Larger integers are no floats."""

Weigh = Callable[["Atom"], float]
"""The share of events that an atom is true of, as far as is known."""
Order = tuple[str, str, str, float]


class Atom(msgspec.Struct, frozen=True):
    """A test of one field that an index can look up: a folded text it equals, contains or begins or ends with, a number, or that it has a value.

    `field` "" = the event's text (keywords).
    """

    field: str
    text: str = ""
    number: float | None = None
    kind: str = "equals"

    @property
    def order(self) -> Order:
        """What atoms are sorted by, so that the same rules always give the same index."""
        return self.field, self.kind, self.text, self.number or 0.0


def present(field: str) -> Atom:
    """The atom that a field has a value: what every test of it needs at least."""
    return Atom(field, kind="present")


class Tree:
    """A part of a condition that is about one field only, with any NOT: an index can evaluate it once a value.

    `guard`: the atoms of which it needs one, None when it can hold for a value that nothing is known of.
    """

    __slots__ = ("field", "guard", "node")

    def __init__(self, field: str, node: Node, guard: frozenset[Atom] | None) -> None:
        self.field = field
        self.node = node
        self.guard = guard


WeighTree = Callable[[Tree], float | None]
"""The share of events that a tree is true of; None where it is not worth evaluating."""


class Needed(msgspec.Struct, frozen=True):
    """A necessary set (one of `atoms` or `trees` holds in every match) and the share of events that it lets through."""

    atoms: frozenset[Atom]
    share: float
    trees: tuple[Tree, ...] = ()


def necessary(node: Node, names: Taxonomy) -> frozenset[Atom] | None:
    """Atoms of which an event must have at least one to match, by the estimate; None when there is no set worth an index."""
    found = needed(node, lambda atom: estimate(atom, names))
    return found.atoms if found and not any(atom.kind == "present" for atom in found.atoms) else None


def needed(node: Node, weigh: Weigh, weigh_tree: WeighTree | None = None) -> Needed | None:
    """The necessary set that lets the fewest events through; None when there is none at all."""
    whole = None
    if weigh_tree and (field := single_field(node)):
        whole = _of_tree(field, node, weigh, weigh_tree)
        weigh_tree = None  # its parts say less than it does
    return _rarer(whole, _of_parts(node, weigh, weigh_tree))


def _of_parts(node: Node, weigh: Weigh, weigh_tree: WeighTree | None) -> Needed | None:
    if isinstance(node, Leaf):
        atoms = atoms_of(node)
        return Needed(atoms, sum(map(weigh, atoms))) if atoms else None
    if isinstance(node, Not):
        return None
    if isinstance(node, And):
        args, together = list(_all_args(node)), dict[str, list[Node]]()
        for arg in args if weigh_tree else ():
            if field := single_field(arg):
                together.setdefault(field, []).append(arg)
        groups: list[Node] = [And(tuple(same)) for same in together.values() if len(same) > 1]
        best: Needed | None = None
        for arg in (*args, *groups):
            best = _rarer(best, needed(arg, weigh, weigh_tree))
        return best
    sets = [needed(arg, weigh, weigh_tree) for arg in node.args]
    if not all(sets) or not sets:
        return None
    atoms = frozenset(atom for found in sets if found for atom in found.atoms)
    trees = tuple(tree for found in sets if found for tree in found.trees)
    share = sum(map(weigh, atoms)) + sum((weigh_tree(tree) or 0.0) for tree in trees) if weigh_tree else sum(map(weigh, atoms))
    return Needed(atoms, share, trees) if len(atoms) <= MOST_ATOMS else None


def _of_tree(field: str, node: Node, weigh: Weigh, weigh_tree: WeighTree) -> Needed | None:
    if isinstance(node, Leaf) and (atoms := atoms_of(node)) and not any(atom.kind == "present" for atom in atoms) and node.test != "re":
        return None  # its atoms say the same
    guard = _of_parts(node, weigh, None)
    tree = Tree(field, node, None if guard is None or any(atom.kind == "present" for atom in guard.atoms) else guard.atoms)
    share = weigh_tree(tree)
    return None if share is None else Needed(frozenset(), share, (tree,))


def single_field(node: Node) -> str:
    """The one field that a condition is about; "" when there are several, or the event's text or a comparison of fields is in it."""
    found = ""
    for leaf in leaves(node):
        if not leaf.field or leaf.test in FIELDREF_TESTS or (found and leaf.field != found):
            return ""
        found = leaf.field
    return found


def _all_args(node: And) -> Iterator[Node]:
    """The arguments, with those of inner ANDs."""
    for arg in node.args:
        if isinstance(arg, And):
            yield from _all_args(arg)
        else:
            yield arg


def all_atoms(node: Node) -> Iterator[Atom]:
    """Every atom that any choice could take, to be measured."""
    if isinstance(node, Leaf):
        yield from atoms_of(node) or ()
    else:
        for arg in (node.arg,) if isinstance(node, Not) else node.args:
            yield from all_atoms(arg)


def estimate(atom: Atom, names: Taxonomy) -> float:
    """How rare an atom is by its form alone: whole values before pieces, long pieces before short ones."""
    if atom.kind == "present":
        return 1.0
    common = 1 + names.common.get(atom.field, 0)
    if atom.kind in {"equals", "number"}:
        return min(0.9, 0.0005 * common)
    if not atom.text.isascii():
        return 1e-6 * common  # most values are ASCII, and cannot hold it
    length = len(atom.text)
    piece = 0.001 if length >= 8 else 0.004 if length >= 5 else 0.02 if length >= 3 else 0.2  # noqa: PLR2004 - fits the measured rates of published rules
    return min(0.9, piece * common * (20 if atom.kind == "startswith" else 3 if atom.text in _FREQUENT else 1))


_FREQUENT = frozenset({"\\cmd.exe", "\\powershell.exe", "\\pwsh.exe", "\\rundll32.exe", "http", "http://", "https://", ".exe", "c:\\", "c:\\windows\\"})


def _rarer(one: Needed | None, other: Needed | None) -> Needed | None:
    """Of two sets the one that lets fewer events through; atoms before trees, which must be evaluated."""
    if one is None or other is None:
        return one or other
    return min(one, other, key=_rank)


def _rank(found: Needed) -> tuple[float, int, list[Order]]:
    return found.share + (0.01 if found.trees else 0.0), len(found.atoms), sorted(atom.order for atom in found.atoms)


@lru_cache(maxsize=200_000)
def atoms_of(leaf: Leaf) -> frozenset[Atom] | None:
    """The necessary set of one test; None where the absence of the field can fulfil it, or where nothing can be looked up."""
    if leaf.test in TEXT_TESTS:
        return _of_text(leaf)
    if leaf.test == "re":
        words = required(composed(str(leaf.pattern)))
        return frozenset(Atom(leaf.field, word, kind="contains") for word in words) if words else _of_presence(leaf)
    if not leaf.field or leaf.test == "null" or (leaf.test == "exists" and not leaf.pattern):
        return None
    if leaf.test == "bool":
        return frozenset({Atom(leaf.field, fold(text_of(leaf.pattern)))})
    if leaf.test == "number" and isinstance(leaf.pattern, (int, float)) and abs(leaf.pattern) < MOST_NUMBER:
        return frozenset({Atom(leaf.field, number=float(leaf.pattern), kind="number")})
    return _of_presence(leaf)


def _of_presence(leaf: Leaf) -> frozenset[Atom] | None:
    return frozenset({present(leaf.field)}) if leaf.field else None


def _of_text(leaf: Leaf) -> frozenset[Atom] | None:
    """Of a text test. Cased tests give ASCII pieces only: two letters that are one when folded may be two when not."""
    if leaf.test == "equals" and leaf.field:
        return frozenset({Atom(leaf.field, fold(str(leaf.pattern)))})
    kind, text = _piece(leaf)
    if leaf.cased and not text.isascii():
        # Reference: none; runs of ASCII characters.
        kind, text = "contains", max(re.findall(r"[\x00-\x7f]+", composed(text)), key=len, default="")
    text = text.lower() if leaf.cased else fold(text)
    if not telling(text):
        return _of_presence(leaf)
    return frozenset({Atom(leaf.field, text, kind=kind)})


def _piece(leaf: Leaf) -> tuple[str, str]:
    """The longest literal piece of a text test, and where it stands."""
    if leaf.test != "like":
        return ("contains" if not leaf.field else leaf.test, str(leaf.pattern))
    places = [(part, number) for number, part in enumerate(leaf.parts) if isinstance(part, str)]
    text, number = max(places, key=lambda place: len(place[0]), default=("", 1))
    last = len(leaf.parts) - 1
    if not leaf.field or (number and number != last):
        return "contains", text
    return ("startswith" if number == 0 else "endswith"), text
