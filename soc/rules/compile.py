"""The fast path: a rule's condition as one predicate on a flat event.

What is compiled means exactly what `soc.rules.match` says, and is tested against it on every rule and event there is.

Why it is fast: (1) each leaf becomes a function made once, with its pattern folded and its kind of test chosen; (2) the
tests of one field that stand side by side become one, so that a value is folded once for all of them: alternatives a
set look-up or one `startswith` of many; (3) the condition becomes one generated expression over those functions, so no
tree is walked. The generated text holds nothing but our own names (`t0(g(f0))`); what a rule says enters as constants.
Against a walk over closures this measured 5 to 7 times; the index (`soc.rules.index`) saves the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import ip_network
from typing import Any

from soc.rules.ast import FIELDREF_TESTS, NUMBER_TESTS, STAR, TEXT_TESTS, TIME_TESTS, And, Leaf, Node, Not, Or
from soc.rules.match import regex, searchable, values_of
from soc.rules.values import address_of, composed, fold, local_time, number_of, scalars, text_of, time_part

Predicate = Callable[[Callable[[str], Any], dict[str, Any]], bool]
"""Called with `doc.get` and the document."""
Test = Callable[[Any], bool]
"""Of the value of a field as it stands in the event (None, a scalar or a list)."""
Check = Callable[[str], bool]
"""Of a folded text."""


def compile_condition(node: Node) -> Predicate:
    """The predicate of a condition."""
    constants: dict[str, Any] = {}
    expression = _expression(node, constants)
    predicate: Predicate = eval(f"lambda g, d: {expression}", {"__builtins__": {}, **constants})  # noqa: S307 - the text is made of our own names only, see above
    return predicate


def _expression(node: Node, constants: dict[str, Any]) -> str:
    """The condition as an expression over names in `constants`."""
    if isinstance(node, Leaf):
        return _call([node], "any", constants)
    if isinstance(node, Not):
        return f"(not {_expression(node.arg, constants)})"
    word, how = ("and", "all") if isinstance(node, And) else ("or", "any")
    together: dict[tuple[str, bool], list[Leaf]] = {}
    parts: list[tuple[int, str]] = []
    for arg in _flat(node):
        if isinstance(arg, Leaf) and arg.field and arg.test in TEXT_TESTS:
            together.setdefault((arg.field, arg.cased), []).append(arg)
        else:
            parts.append((_cost(arg), _expression(arg, constants)))
    parts.extend((_cost(leaves[0]), _call(leaves, how, constants)) for leaves in together.values())
    parts.sort(key=lambda part: part[0])  # cheap tests first; the order does not change a result, as no test has effects
    return "(" + f" {word} ".join(text for _, text in parts) + ")" if parts else str(isinstance(node, And))


def _flat(node: And | Or) -> Iterable[Node]:
    """The arguments, with those of inner nodes of the same kind."""
    for arg in node.args:
        if isinstance(arg, type(node)) and isinstance(arg, (And, Or)):
            yield from _flat(arg)
        else:
            yield arg


def _cost(node: Node) -> int:
    """A rank by which to order tests: look-ups, then texts, then patterns, then whole trees, then keywords."""
    if not isinstance(node, Leaf):
        return 4
    if not node.field:
        return 9
    return {"equals": 0, "null": 0, "exists": 0, "number": 1, "bool": 1, "startswith": 1, "endswith": 1, "contains": 2}.get(node.test, 3)


def _call(leaves: list[Leaf], how: str, constants: dict[str, Any]) -> str:
    """The call of the test of leaves on one field."""
    number = len(constants)
    leaf = leaves[0]
    if leaf.test in FIELDREF_TESTS or not leaf.field:
        constants[f"t{number}"] = _document_test(leaf)
        return f"t{number}(d)"
    constants[f"t{number}"] = _field_test(leaves, how)
    constants[f"f{number}"] = leaf.field
    return f"t{number}(g(f{number}))"


# --- tests of a field --------------------------------------------------------------------------------------------------


def _field_test(leaves: list[Leaf], how: str) -> Test:
    leaf = leaves[0]
    if leaf.test in TEXT_TESTS:
        if how == "any" or len(leaves) == 1:
            return _text_test(_any_check(leaves), cased=leaf.cased, equal=_equal_set(leaves))
        return _all_text_test([_any_check([each]) for each in leaves], cased=leaf.cased)
    if leaf.test in {"null", "exists"}:
        wanted = leaf.test == "exists" and bool(leaf.pattern)

        def present(value: Any) -> bool:
            return (any(True for _ in scalars(value)) if isinstance(value, (list, tuple, dict)) else value is not None) is wanted

        return present
    return _scalar_test(_scalar_check(leaf))


def _scalar_test(check: Callable[[Any], bool]) -> Test:
    def test(value: Any) -> bool:
        if value is None:
            return False
        if isinstance(value, (list, tuple, dict)):
            return any(map(check, scalars(value)))
        return check(value)

    return test


def _scalar_check(leaf: Leaf) -> Callable[[Any], bool]:
    """The test of one scalar for all that is not about folded text."""
    pattern: Any = leaf.pattern
    if leaf.test == "number":
        return lambda value: (value == pattern) if value.__class__ is int else number_of(value) == pattern
    if leaf.test == "bool":
        word = text_of(pattern)
        return lambda value: value is pattern or (isinstance(value, str) and fold(value) == word)
    if leaf.test in NUMBER_TESTS:
        return _comparison(leaf.test, pattern)
    if leaf.test == "re":
        search = regex(str(pattern), leaf.flags).search
        return lambda value: search(searchable(text_of(value))) is not None
    if leaf.test == "cidr":
        return _cidr(str(pattern))
    if leaf.test in TIME_TESTS:
        part = leaf.test

        def at(value: Any) -> bool:
            moment = local_time(value)
            return moment is not None and time_part(moment, part) == pattern

        return at
    raise AssertionError(leaf.test)


def _comparison(test: str, pattern: float) -> Callable[[Any], bool]:
    def greater(value: Any) -> bool:
        number = number_of(value)
        return number is not None and number > pattern

    def greater_equal(value: Any) -> bool:
        number = number_of(value)
        return number is not None and number >= pattern

    def less(value: Any) -> bool:
        number = number_of(value)
        return number is not None and number < pattern

    def less_equal(value: Any) -> bool:
        number = number_of(value)
        return number is not None and number <= pattern

    return {"gt": greater, "gte": greater_equal, "lt": less, "lte": less_equal}[test]


@lru_cache(maxsize=65_536)
def _address(text: str) -> tuple[int, int]:
    """Version and number of an address, (0, 0) for what is none. Addresses repeat: reading one costs 1.5 µs."""
    address = address_of(text)
    return (address.version, int(address)) if address is not None else (0, 0)


def _cidr(pattern: str) -> Callable[[Any], bool]:
    network = ip_network(pattern)
    version, low, high = network.version, int(network.network_address), int(network.broadcast_address)

    def inside(value: Any) -> bool:
        if not isinstance(value, str) or len(value) > 64:  # noqa: PLR2004 - as address_of
            return False
        found, number = _address(value)
        return found == version and low <= number <= high

    return inside


# --- texts -------------------------------------------------------------------------------------------------------------


def _equal_set(leaves: list[Leaf]) -> frozenset[str] | None:
    """The patterns when all are plain equality, folded as they are compared; None otherwise."""
    if any(leaf.test != "equals" for leaf in leaves):
        return None
    fit = composed if leaves[0].cased else fold
    return frozenset(fit(str(leaf.pattern)) for leaf in leaves)


def _any_check(leaves: list[Leaf]) -> Check:
    """Whether a folded text passes at least one of the leaves."""
    fit = composed if leaves[0].cased else fold
    equal = frozenset(fit(str(leaf.pattern)) for leaf in leaves if leaf.test == "equals")
    starts = tuple(fit(str(leaf.pattern)) for leaf in leaves if leaf.test == "startswith")
    ends = tuple(fit(str(leaf.pattern)) for leaf in leaves if leaf.test == "endswith")
    inside = tuple(fit(str(leaf.pattern)) for leaf in leaves if leaf.test == "contains")
    likes = [_like(leaf, fit) for leaf in leaves if leaf.test == "like"]
    checks: list[Check] = []
    if equal:
        checks.append(equal.__contains__)
    if starts:
        checks.append(lambda text: text.startswith(starts))
    if ends:
        checks.append(lambda text: text.endswith(ends))
    if len(inside) == 1:
        only = inside[0]
        checks.append(lambda text: only in text)
    elif inside:
        checks.append(lambda text: any(piece in text for piece in inside))
    checks.extend(likes)
    if len(checks) == 1:
        return checks[0]
    return lambda text: any(check(text) for check in checks)


def _like(leaf: Leaf, fit: Callable[[str], str]) -> Check:
    """A pattern with inner wildcards, as a linear-time expression over the whole text."""
    if leaf.parts == (STAR,):
        return lambda _text: True
    search = regex("".join(_escaped(fit(part)) if isinstance(part, str) else ".*" if part == STAR else "." for part in leaf.parts), "s").fullmatch
    return lambda text: search(text if text.isascii() else text.encode("utf-8", "replace").decode()) is not None


def _escaped(text: str) -> str:
    """A literal for RE2. Reference: RE2 syntax, escapes of punctuation; lone surrogates are `?` there as in the text."""
    text = text.encode("utf-8", "replace").decode()
    return "".join("\\x00" if c == "\0" else c if c.isalnum() or not c.isascii() or c in " _\n\t\r" else f"\\x{ord(c):02x}" for c in text)


def _text_test(check: Check, *, cased: bool, equal: frozenset[str] | None) -> Test:
    fit = composed if cased else fold

    def of_others(value: Any) -> bool:
        if value is None:
            return False
        return any(check(fit(text_of(item))) for item in scalars(value))

    if cased:
        return lambda value: check(value if value.isascii() else composed(value)) if value.__class__ is str else of_others(value)
    if equal is not None:
        words = equal

        def among(value: Any) -> bool:
            if value.__class__ is str:
                return (value.lower() if value.isascii() else fold(value)) in words
            return of_others(value)

        return among

    def passes(value: Any) -> bool:
        if value.__class__ is str:
            return check(value.lower() if value.isascii() else fold(value))
        return of_others(value)

    return passes


def _all_text_test(checks: list[Check], *, cased: bool) -> Test:
    """Every pattern must be found, each in some value of the field."""
    fit = composed if cased else fold

    def passes(value: Any) -> bool:
        if value.__class__ is str:
            text = fit(value)
            return all(check(text) for check in checks)
        if value is None:
            return False
        texts = [fit(text_of(item)) for item in scalars(value)]
        return all(any(check(text) for text in texts) for check in checks)

    return passes


# --- tests of the document ---------------------------------------------------------------------------------------------


def _document_test(leaf: Leaf) -> Callable[[dict[str, Any]], bool]:
    """Keywords and field references need the whole event."""
    if leaf.test in FIELDREF_TESTS:
        return _field_reference(leaf)
    if leaf.test == "re":
        check = _scalar_check(leaf)
        return lambda doc: any(check(value) for value in values_of(leaf, doc))
    inside = _any_check([leaf])
    fit = composed if leaf.cased else fold
    return lambda doc: any(inside(fit(text_of(value))) for value in values_of(leaf, doc))


def _field_reference(leaf: Leaf) -> Callable[[dict[str, Any]], bool]:
    field, other = leaf.field, str(leaf.pattern)
    compare: Callable[[str, str], bool] = {
        "fieldref": str.__eq__,
        "fieldref_contains": str.__contains__,
        "fieldref_startswith": str.startswith,
        "fieldref_endswith": str.endswith,
    }[leaf.test]

    def test(doc: dict[str, Any]) -> bool:
        others = [fold(text_of(value)) for value in scalars(doc.get(other))]
        return bool(others) and any(compare(fold(text_of(value)), text) for value in scalars(doc.get(field)) for text in others)

    return test
