from __future__ import annotations

from soc.rules.ast import And, Leaf, Node, Not, Or
from soc.rules.fields import taxonomy
from soc.rules.index import Atom, build, necessary

A, B = Leaf("a", "equals", "X"), Leaf("b", "number", 5)
COMMON = Leaf("soc.kind", "equals", "mail")


def atoms(node: Node) -> set[tuple[str, str, float | None]] | None:
    """The necessary values of a condition as tuples."""
    found = necessary(node, taxonomy())
    return None if found is None else {(atom.field, atom.text, atom.number) for atom in found}


def test_what_a_condition_needs() -> None:
    """Equality gives its folded value, AND its rarest part, OR all together, NOT and patterns nothing."""
    assert atoms(A) == {("a", "x", None)}
    assert atoms(And((COMMON, A))) == {("a", "x", None)}
    assert atoms(And((Leaf("b", "equals", ""), B))) in ({("b", "", None)}, {("b", "", 5.0)})
    assert atoms(Or((A, B))) == {("a", "x", None), ("b", "", 5.0)}
    assert atoms(Or((A, Not(B)))) is None
    assert atoms(Not(A)) is None
    assert atoms(And((Not(A), Leaf("c", "contains", "x")))) is None
    assert atoms(Leaf("", "contains", "x")) is None
    assert atoms(Leaf("b", "number", 10**400)) is None


def test_rules_are_filed_under_what_they_need() -> None:
    """A value finds its rules however it is spelt; rules without need are always there; unknown values find nothing."""
    index = build([(0, A), (1, B), (2, Not(A))], taxonomy())
    assert index.always == (2,)
    tables = {field: table for field, _, table in index.tables}
    assert tables["a"].look_up("x") == (0,)
    assert tables["a"].look_up(["y", "X"]) == (0,)
    assert tables["a"].look_up("y") == ()
    assert tables["b"].look_up("05") == (1,)
    assert tables["b"].look_up(5.0) == (1,)
    assert tables["b"].look_up(10**400) == ()


def test_only_short_values_are_remembered() -> None:
    """A long value is looked up and forgotten."""
    ((_, remembered, table),) = build([(0, A)], taxonomy()).tables
    table.look_up("x")
    table.look_up("y" * 10_000)
    assert remembered == {"x": (0,)}


def test_an_atom_is_a_value() -> None:
    """Equal atoms are one."""
    assert len({Atom("a", "x"), Atom("a", "x"), Atom("a", number=1.0)}) == 2
