"""The fast path: a rule's condition as one predicate on a flat event.

What is compiled means exactly what `soc.rules.match` says, and is tested against it on every rule and event there is.

Why it is fast: (1) each leaf becomes a function made once, with its pattern folded and its kind of test chosen; (2) the
tests of one field that stand side by side become one: alternatives a set look-up or one `startswith` of many; (3) the
condition becomes one generated expression over those functions, so no tree is walked; (4) there are two of it: one for
events whose fields have single values, where text tests stand in the expression itself and every value is folded once
for all rules (`Folded`), and one for any event, which is asked when a tested field turns out to be a list (`Several`).
The generated text holds nothing but our own names (`t0(g(f0))`); what a rule says enters as constants.
Against a walk over closures this measured 5 to 7 times; the index (`soc.rules.index`) saves the rest.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import ip_network
from socket import AF_INET, inet_pton
from typing import Any

import re2

from soc.rules.ast import FIELDREF_TESTS, NUMBER_TESTS, STAR, TEXT_TESTS, TIME_TESTS, And, Leaf, Node, Not, Or
from soc.rules.literals import fewest
from soc.rules.match import searchable, values_of
from soc.rules.values import address_of, composed, fold, local_time, number_of, scalars, text_of, time_part, zone_named

Predicate = Callable[[Callable[[str], Any], dict[str, Any]], bool]
"""Called with `doc.get` and the document."""
SinglePredicate = Callable[["Folded", Callable[[str], Any], dict[str, Any]], bool]
"""Called with the folded fields, `doc.get` and the document. Raises: Several."""
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


class Several(Exception):
    """A tested field has several values."""


class Folded(dict[str, str]):
    """The fields of an event as they are compared, folded when first asked for; "" for an absent one.

    Raises: Several for a field of several values.
    """

    __slots__ = ("get_raw",)
    get_raw: Callable[[str], Any]

    def __missing__(self, field: str) -> str:
        value = self.get_raw(field)
        if value.__class__ is str:
            text: str = value.lower() if value.isascii() else fold(value)
        elif value is None:
            text = ""
        elif isinstance(value, (list, tuple, dict)):
            items = list(scalars(value))
            if len(items) > 1:
                raise Several
            text = fold(text_of(items[0])) if items else ""
        else:
            text = fold(text_of(value))
        self[field] = text
        return text


def compile_single(node: Node) -> SinglePredicate:
    """The predicate of a condition for events whose tested fields have single values."""
    constants: dict[str, Any] = {}
    expression = _expression(node, constants, single=True)
    predicate: SinglePredicate = eval(f"lambda L, g, d: {expression}", {"__builtins__": {}, **constants})  # noqa: S307 - as above
    return predicate


def _expression(node: Node, constants: dict[str, Any], *, single: bool = False) -> str:
    """The condition as an expression over names in `constants`."""
    if isinstance(node, Leaf):
        return _call([node], "any", constants, single=single)
    if isinstance(node, Not):
        return f"(not {_expression(node.arg, constants, single=single)})"
    word, how = ("and", "all") if isinstance(node, And) else ("or", "any")
    together: dict[tuple[str, bool], list[Leaf]] = {}
    alike: dict[tuple[str, str], list[Leaf]] = {}
    parts: list[tuple[int, str]] = []
    for arg in _flat(node):
        if isinstance(arg, Leaf) and arg.field and arg.test in TEXT_TESTS:
            together.setdefault((arg.field, arg.cased), []).append(arg)
        elif isinstance(arg, Leaf) and arg.field and arg.test in {"cidr", "number"} and how == "any":
            alike.setdefault((arg.field, arg.test), []).append(arg)
        else:
            parts.append((_cost(arg), _expression(arg, constants, single=single)))
    parts.extend((max(map(_cost, leaves)), _call(leaves, how, constants, single=single)) for leaves in together.values())
    parts.extend((_cost(leaves[0]), _call(leaves, how, constants, single=single)) for leaves in alike.values())
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
    """A rank by which to order tests: comparisons, look-ups, then texts, then patterns, then whole trees, then keywords.

    A number beyond a limit is the rarest of these, and found without looking at fields of several values, which `Several` costs more.
    """
    if not isinstance(node, Leaf):
        return 4
    if not node.field:
        return 9
    if node.test in NUMBER_TESTS:
        return -1
    if node.test == "re" and fewest(composed(str(node.pattern))) >= _LONG:
        return 2
    return {"equals": 0, "null": 0, "exists": 0, "number": 1, "bool": 1, "startswith": 1, "endswith": 1, "contains": 2}.get(node.test, 3)


_LONG = 24
"""Characters that hardly a value has: an expression that needs so many is mostly told by the length."""


def _call(leaves: list[Leaf], how: str, constants: dict[str, Any], *, single: bool = False) -> str:
    """The call of the test of leaves on one field."""
    number = len(constants)
    leaf = leaves[0]
    if single and leaf.field and not leaf.cased and all(each.test in _INLINE and each.pattern != "" for each in leaves):
        return _inline(leaves, how, constants)
    if leaf.test in FIELDREF_TESTS or not leaf.field:
        constants[f"t{number}"] = _document_test(leaf)
        return f"t{number}(d)"
    constants[f"t{number}"] = _field_test(leaves, how)
    constants[f"f{number}"] = leaf.field
    return f"t{number}(g(f{number}))"


_INLINE = frozenset({"equals", "startswith", "endswith", "contains"})


def _inline(leaves: list[Leaf], how: str, constants: dict[str, Any]) -> str:
    """Text tests of one field as an expression over its folded value. No pattern is empty: none holds for an absent field, which reads ""."""
    number = len(constants)
    constants[f"f{number}"] = leaves[0].field
    value = f"L[f{number}]"
    patterns: dict[str, list[str]] = {}
    for leaf in leaves:
        patterns.setdefault(leaf.test, []).append(fold(str(leaf.pattern)))
    terms: list[str] = []

    def constant(content: Any) -> str:
        name = f"k{len(constants)}"
        constants[name] = content
        return name

    for test in ("equals", "startswith", "endswith", "contains"):
        found = patterns.get(test, [])
        if test == "contains" or how == "all":
            form = {"equals": "({1} == {0})", "contains": "({0} in {1})"}.get(test, "{1}." + test + "({0})")
            terms.extend(form.format(constant(text), value) for text in found)
        elif found and test == "equals":
            terms.append(f"({value} in {constant(frozenset(found))})")
        elif found:
            terms.append(f"{value}.{test}({constant(tuple(found))})")
    return "(" + (" or " if how == "any" else " and ").join(terms) + ")"


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
    if leaf.test == "cidr":
        return _scalar_test(_inside(tuple(str(each.pattern) for each in leaves)))
    if leaf.test == "number" and len(leaves) > 1:
        return _scalar_test(_one_of(frozenset(each.pattern for each in leaves)))
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
        found = searcher(str(pattern), leaf.flags)
        return lambda value: found(text_of(value))
    if leaf.test in TIME_TESTS:
        part, zone = leaf.test, zone_named(leaf.zone)
        fits = _comparison(leaf.flags, pattern) if leaf.flags else pattern.__eq__

        def at(value: Any) -> bool:
            moment = local_time(value, zone)
            return moment is not None and fits(time_part(moment, part)) is True

        return at
    raise AssertionError(leaf.test)


def _one_of(numbers: frozenset[Any]) -> Callable[[Any], bool]:
    """Whether a scalar is one of several numbers."""
    return lambda value: value in numbers if value.__class__ is int else number_of(value) in numbers


def searcher(pattern: str, flags: str) -> Check:
    """Whether an expression is found in a text: as `soc.rules.match.regex`, but told in bytes and without groups, which takes half the time."""
    options = re2.Options()
    options.log_errors, options.never_capture = False, True
    search = re2.compile((f"(?{flags})" if flags else "") + composed(pattern), options).search
    least = fewest(composed(pattern))

    def found(text: str) -> bool:
        if text.isascii():
            return len(text) >= least and search(text.encode()) is not None
        return search(searchable(text).encode()) is not None

    return found


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


def _address(text: str) -> tuple[int, int]:
    """Version and number of an address, (0, 0) for what is none.   Cost: 0.3 µs for IPv4, of which all that the system refuses is read with care."""
    try:
        return 4, int.from_bytes(inet_pton(AF_INET, text))
    except (OSError, ValueError):
        return _careful_address(text)


@lru_cache(maxsize=8_192)
def _careful_address(text: str) -> tuple[int, int]:
    """The same of any text. Addresses repeat: reading one costs 1.5 µs."""
    address = address_of(text)
    return (address.version, int(address)) if address is not None else (0, 0)


_BEYOND_IPV4 = 1 << 33
_MOST_INSIDE = 2_048
"""Addresses of which it is remembered whether they are in some networks."""


@lru_cache(maxsize=64)
def _inside(patterns: tuple[str, ...]) -> Callable[[Any], bool]:
    """Whether an address is in one of several networks; rules that name the same networks share what is remembered."""
    lows, highs = _ranges(patterns)
    outside = _heads() - {str(head) for low, high in zip(lows, highs, strict=True) if low < _BEYOND_IPV4 for head in range(low >> 24, (high >> 24) + 1)}
    known: dict[str, bool] = {}

    def inside(value: Any) -> bool:
        if value.__class__ is not str or len(value) > 64 or value.partition(".")[0] in outside:  # noqa: PLR2004 - as address_of
            return False
        found = known.get(value)
        if found is None:
            version, number = _address(value)
            number += _BEYOND_IPV4 if version == 6 else 0  # noqa: PLR2004
            found = version > 0 and (place := bisect_right(lows, number)) > 0 and number <= highs[place - 1]
            if len(known) >= _MOST_INSIDE:
                known.clear()
            known[value] = found
        return found

    return inside


def _heads() -> frozenset[str]:
    """How addresses of IPv4 may begin, up to the first point."""
    return frozenset(map(str, range(256)))


def _ranges(patterns: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """The first and the last addresses of networks, in order and without overlap; those of IPv6 stand behind those of IPv4."""
    lows: list[int] = []
    highs: list[int] = []
    networks = [ip_network(pattern) for pattern in patterns]
    beyond = {4: 0, 6: _BEYOND_IPV4}
    for low, high in sorted((int(one.network_address) + beyond[one.version], int(one.broadcast_address) + beyond[one.version]) for one in networks):
        if highs and low <= highs[-1]:
            highs[-1] = max(highs[-1], high)
        else:
            lows.append(low)
            highs.append(high)
    return lows, highs


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
    options = re2.Options()
    options.log_errors, options.never_capture = False, True
    whole = re2.compile(
        "(?s)" + "".join(_escaped(fit(part)) if isinstance(part, str) else ".*" if part == STAR else "." for part in leaf.parts), options
    ).fullmatch
    return lambda text: whole((text if text.isascii() else encodable(text)).encode()) is not None


def encodable(text: str) -> str:
    """The text with lone surrogates, which are no UTF-8, replaced by characters that nobody uses: RE2 and Aho-Corasick read UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.translate(_SURROGATES)
    return text


_SURROGATES = {0xD800 + number: 0x10F000 + number for number in range(0x800)}


def _escaped(text: str) -> str:
    """A literal for RE2. Reference: RE2 syntax, escapes of punctuation; lone surrogates are replaced there as in the text."""
    text = encodable(text)
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
            if value.__class__ is list:
                for item in value:
                    if item.__class__ is not str:
                        return of_others(value)
                    if (item.lower() if item.isascii() else fold(item)) in words:
                        return True
                return False
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
