from __future__ import annotations

import orjson
import pytest

from soc.rules import index as indexing
from soc.rules.ast import And, Leaf, Node, Not, Or
from soc.rules.atoms import all_atoms, needed, single_field
from soc.rules.fields import taxonomy
from soc.rules.index import MOST_REMEMBERED, PROBE, SAMPLE, Atom, FieldTable, Index, build, limit_of, necessary
from soc.rules.match import matches

A, B = Leaf("a", "equals", "X"), Leaf("b", "number", 5)
COMMON = Leaf("soc.kind", "equals", "mail")


def atoms(node: Node) -> set[tuple[str, str, float | None]] | None:
    """The necessary values of a condition as tuples."""
    found = necessary(node, taxonomy())
    return None if found is None else {(atom.field, atom.text, atom.number) for atom in found}


def kinds(node: Node) -> set[tuple[str, str]] | None:
    """The necessary texts of a condition with their kinds."""
    found = necessary(node, taxonomy())
    return None if found is None else {(atom.kind, atom.text) for atom in found}


def table(*filed: Atom) -> FieldTable:
    """A table of one field with the atoms filed under their numbers."""
    made = FieldTable("a")
    for number, atom in enumerate(filed):
        made.add(atom, number)
    made.close()
    return made


def learned(rules: list[Node], docs: list[dict[str, object]]) -> Index:
    """An index that has measured its atoms on these events."""
    made = build(list(enumerate(rules)), taxonomy())
    for number in range(SAMPLE + 1):
        doc = docs[number % len(docs)]
        try:
            made.scan(doc.get, doc)
        except TypeError:
            made.several(doc)
    return made


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


def test_pieces_and_expressions_need_their_texts() -> None:
    """A piece is needed as it stands, of wildcards the longest literal, of an expression what every match contains."""
    assert kinds(Leaf("a", "endswith", "\\Cmd.exe")) == {("endswith", "\\cmd.exe")}
    assert kinds(Leaf("a", "like", "", parts=("net", 0, " user", 0))) == {("contains", " user")}
    assert kinds(Leaf("a", "like", "", parts=("powershell", 0, "x"))) == {("startswith", "powershell")}
    assert kinds(Leaf("", "contains", "MIMIkatz")) == {("contains", "mimikatz")}
    assert kinds(Leaf("a", "re", "(?:foo|bar)\\d+")) == {("contains", "foo"), ("contains", "bar")}
    assert kinds(Leaf("a", "re", "[0-9]{4}")) is None
    assert kinds(Leaf("a", "contains", "Đảo", cased=True)) is None
    assert kinds(Leaf("a", "contains", "hóa Đơn", cased=True)) == {("contains", "a ")}


def test_trees_are_conditions_on_one_field() -> None:
    """A part that is about one field can be evaluated once a value; comparisons of fields and keywords cannot."""
    assert single_field(And((A, Not(Leaf("a", "contains", "yy"))))) == "a"
    assert single_field(And((A, B))) == ""
    assert single_field(Leaf("a", "fieldref", "b")) == ""
    assert single_field(Leaf("", "contains", "xyz")) == ""
    both = And((Leaf("a", "endswith", "\\cmd.exe"), B, Not(Leaf("a", "startswith", "c:\\windows\\"))))
    found = needed(both, lambda _: 0.3, lambda tree: 0.01 if tree.guard else None)
    assert found
    assert [tree.field for tree in found.trees] == ["a"]
    assert found.trees[0].guard == frozenset({Atom("a", "\\cmd.exe", kind="endswith")})


def test_rules_are_filed_under_what_they_need() -> None:
    """A value finds its rules however it is spelt; rules without need are always there; unknown values find nothing."""
    index = build([(0, A), (1, B), (2, Not(A))], taxonomy())
    assert index.always == (2,)
    tables = dict(index.tables)
    assert tables["a"].look_up("x") == (0,)
    assert tables["a"].look_up(["y", "X"]) == (0,)
    assert tables["a"].look_up("y") == ()
    assert tables["b"].look_up("05") == (1,)
    assert tables["b"].look_up(5.0) == (1,)
    assert tables["b"].look_up(10**400) == ()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("C:\\Windows\\CMD.exe", {0}),
        ("/bin/cmd.exe", {0}),
        ("cmd.exe", {0}),
        ("C:\\cmd.exe x", set()),
        ("begin here", {1}),
        ("not begin", set()),
        ("the end.", {2}),
        ("end. not", set()),
        ("ab lừa ĐẢO cd", {3}),
        ("lua dao", set()),
        ("x" * 40_000 + " the end.", {2}),
        ("begin" + "lừa đảo" * 20_000, {1, 3}),
        ("\ud800lừa đảo\ud800", {3}),
        (None, set()),
    ],
)
def test_a_value_finds_pieces_where_they_count(value: str | None, found: set[int]) -> None:
    """File names, beginnings, endings and pieces, in short, long, foreign and broken texts; a superset is allowed for a file name."""
    filed = table(
        Atom("a", "\\cmd.exe", kind="endswith"),
        Atom("a", "begin", kind="startswith"),
        Atom("a", "end.", kind="endswith"),
        Atom("a", "lừa đảo", kind="contains"),
        *(Atom("a", f"filler {number}", kind="contains") for number in range(5)),
    )
    assert set(filed[value]) == found


def test_cased_pieces_are_found_in_letters_that_fold_into_others() -> None:
    """`T` with a diaeresis folds to one letter; who looks for the plain `T` finds it nevertheless."""
    assert set(table(Atom("a", "xt", kind="contains"))["XT\u0308"]) == {0}


def test_one_and_true_are_one_key_and_lose_nothing() -> None:
    """1, 1.0 and True are equal to a dict, not to a rule."""
    for values in ((1, True), (True, 1), (1.0, True), (0, False), (False, 0.0)):
        filed = table(Atom("a", number=float(values[0])), Atom("a", str(bool(values[0])).lower()))
        for value in values:
            assert set(filed[value]) == {0, 1}


def test_only_short_values_are_remembered() -> None:
    """A long value is looked up and forgotten."""
    ((_, filed),) = build([(0, A)], taxonomy()).tables
    filed.look_up("x")
    filed.look_up("y" * 10_000)
    assert filed == {"x": (0,)}


def test_memory_is_given_up_where_values_do_not_repeat_and_kept_where_they_do() -> None:
    """A field of ever new values is no longer remembered; another one starts anew when it was full."""
    index = build([(0, A), (1, Leaf("b", "equals", "y"))], taxonomy())
    tables = dict(index.tables)
    for number in range(MOST_REMEMBERED + 2 * PROBE):
        doc = {"a": f"n{number}", "b": f"v{number % 10}"}
        assert index.scan(doc.get, doc) == ()
    assert not tables["a"].remember
    assert tables["a"] == {}
    assert tables["b"].remember
    assert len(tables["b"]) == 10
    for number in range(MOST_REMEMBERED * 2):
        doc = {"b": f"w{number % (MOST_REMEMBERED + 8)}"}
        index.scan(doc.get, doc)
    assert len(tables["b"]) <= MOST_REMEMBERED
    assert index.scan({"a": "X", "b": "Y"}.get, {"a": "X", "b": "Y"}) == (0, 1)


def test_the_choice_follows_what_is_measured() -> None:
    """An atom that every event has is not what a rule is filed under; what is about one field is evaluated once a value."""
    often, seldom = Leaf("a", "contains", "telling words"), Leaf("b", "contains", "xy")
    rules: list[Node] = [And((often, seldom)) for _ in range(20)]
    rules.append(And((often, Not(Leaf("a", "contains", "of mine")))))
    docs: list[dict[str, object]] = [{"a": "telling words of mine", "b": "0"}, {"a": "telling words of mine"}]
    before = build(list(enumerate(rules)), taxonomy())
    assert len(set(before.scan(docs[0].get, docs[0]))) == 21
    after = learned(rules, docs)
    assert after.scan(docs[0].get, docs[0]) == ()
    other: dict[str, object] = {"a": "telling words", "b": "-xy-"}
    assert set(after.scan(other.get, other)) == set(range(21))


def test_learning_changes_no_result() -> None:
    """Before, while and after measuring, with lists, numbers, nulls and absent fields, the candidates hold every match."""
    rules: list[Node] = [
        And((Leaf("a", "endswith", "\\x.exe"), Not(Leaf("a", "contains", "good")))),
        Not(Leaf("a", "contains", "\\")),
        Leaf("a", "null"),
        Not(Leaf("b", "gt", 5)),
        Leaf("b", "cidr", "10.0.0.0/8"),
        And((Leaf("b", "exists", True), Not(Leaf("b", "equals", "1")))),
        Or((Leaf("a", "re", "^g.*d$"), Leaf("b", "bool", True))),
        And((Leaf("a", "fieldref", "b"), Leaf("a", "exists", True))),
        *(Leaf("a", "equals", f"filler {number}") for number in range(12)),
    ]
    values: tuple[object, ...] = (
        "c:\\x.exe",
        "good\\x.exe",
        "good",
        "",
        "10.1.2.3",
        1,
        True,
        7,
        1.0,
        None,
        ["good", "c:\\X.exe"],
        [],
        {"x": 1},
        [["1"], None],
        float("nan"),
    )
    docs: list[dict[str, object]] = [{"a": one, "b": other} for one in values for other in values] + [{}]
    index = learned(rules, docs)
    for doc in docs:
        try:
            found = set(index.scan(doc.get, doc))
        except TypeError:
            found = set(index.several(doc))
        assert found >= {number for number, rule in enumerate(rules) if matches(rule, doc)}, doc


def test_an_atom_is_a_value() -> None:
    """Equal atoms are one."""
    assert len({Atom("a", "x"), Atom("a", "x"), Atom("a", number=1.0)}) == 2
    assert set(all_atoms(And((A, Not(B))))) == {Atom("a", "x"), Atom("b", number=5.0, kind="number")}


def test_a_long_hostile_value_is_searched_in_parts() -> None:
    """A megabyte in which a pattern stands at every place finds each rule once, without holding a million matches."""
    assert len(orjson.dumps("a" * 1_000_000)) > indexing.CHUNK
    filed = table(*(Atom("a", "a" * (number + 2), kind="contains") for number in range(8)))
    assert sorted(filed["a" * 1_000_000]) == list(range(8))


def test_rules_that_need_a_number_are_asked_only_from_that_number_on() -> None:
    """A limit that every match reaches files the rule under it, whatever else the condition says; what is no integer is asked."""
    large, larger = Leaf("n", "gte", 1_000), Leaf("n", "gt", 5_000.5)
    assert limit_of(And((Not(A), large))) == ("n", 1_000)
    assert limit_of(Or((large, larger))) == ("n", 1_000)
    assert limit_of(Or((large, Leaf("m", "gte", 1)))) is None
    assert limit_of(Or((large, A))) is None
    assert limit_of(Not(large)) is None
    assert limit_of(Leaf("n", "lt", 5)) is None
    rules: list[Node] = [And((large, Not(A))), larger]
    index = build(list(enumerate(rules)), taxonomy())
    values = [None, -1, 999, 1_000, 1_001, 5_000, 5_001, 10**30, "1000", "x", True, 1e9, float("nan")]
    found = {repr(value): index.scan({"n": value}.get, {"n": value}) for value in values}
    assert found == {repr(value): () for value in (None, -1, 999)} | {repr(value): (0,) for value in (1_000, 1_001, 5_000)} | {
        repr(value): (0, 1) for value in (5_001, 10**30, "1000", "x", True, 1e9, float("nan"))
    }
    for doc in [{"n": value, "a": "y"} for value in (*values, [1, 2_000], [])]:
        asked = index.several(doc)
        assert all(number in asked for number, rule in enumerate(rules) if matches(rule, doc))


def test_short_lists_are_remembered_and_find_what_their_items_find() -> None:
    """A list of texts is looked up once; one that holds other things equal to it is not taken for it."""
    looked = table(Atom("a", "x"), Atom("a", "1"))
    assert looked.look_up(["x", "q"]) == looked.look_up(["x", "q"]) == (0,)
    assert looked.look_up(["1"]) == (1,)
    assert set(looked.look_up([1])) == {1}
    assert looked.look_up([{"b": 1}, "x"]) == (0,)
    for number in range(3_000):
        looked.look_up([f"v{number}"])
    assert looked.look_up(["x"]) == (0,)
