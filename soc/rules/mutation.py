"""Changes of a rule that its tests should notice, and how many of them they do.

A mutant is the rule with one small thing wrong. The tests kill it when a case that the rule passes fails for the mutant;
one that survives shows a part of the rule that nothing proves to be needed. Score: killed / all.

What is changed in a condition: a part of an `and` or an alternative of an `or` left out (a long list of values: each
quarter of it at once), `and` and `or` exchanged, `not` left out, a test weakened to `exists`, a modifier stripped
(`contains`, `startswith` and `endswith` to the exact value, `startswith` and `endswith` to `contains`, `cased`, flags of
`re`), a number one higher and one lower, `gt` and `gte`, `lt` and `lte` exchanged, `null` and `exists` turned around, and the
whole taken as always and as never true. In a correlation: threshold one higher and one lower, window one unit longer and
shorter, a field of `group-by` left out, a rule left out, order ignored, `value_count` taken as `event_count`, a part of the
boolean condition left out or turned around, and every change of the conditions of the rules in its file.

Source: Panther's test coverage of detections and mutation testing (DeMillo, Lipton, Sayward 1978).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from soc.model.text import display_safe
from soc.rules.ast import NUMBER_TESTS, TEXT_TESTS, And, Leaf, Node, Not, Or, Rule, leaves
from soc.rules.collection import Collection
from soc.rules.correlation import All, Bound, Correlation, Either, Expression, Lacks, Ref

LONG_LIST = 4
"""Alternatives up to which each is left out by itself."""
_UNITS_US = (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000)
_OTHER_OP = {"gt": "gte", "gte": "gt", "lt": "lte", "lte": "lt", "eq": "neq", "neq": "eq"}


class Score(msgspec.Struct, frozen=True):
    """What the tests of a rule noticed. `survivors`: what they did not, in words; `reason`: why there is no score ("" = there is one)."""

    rule: str
    title: str
    path: str
    line: int
    mutants: int
    killed: int
    survivors: tuple[str, ...]
    reason: str = ""

    @property
    def score(self) -> float:
        """The share of mutants killed; 0 without any."""
        return self.killed / self.mutants if self.mutants else 0.0


def weaker(condition: Node) -> Iterator[tuple[str, Node]]:
    """The mutants that leave out a part of the outermost AND, and the whole as always and as never true: those no test file may miss."""
    always = Or((condition, Not(condition)))
    if isinstance(condition, And):
        for number in range(len(condition.args)):
            yield f"without part {number + 1}", And(condition.args[:number] + condition.args[number + 1 :])
    else:
        yield "always true", always
    yield "never true", Not(always)


def mutants(condition: Node) -> Iterator[tuple[str, Node]]:
    """The mutants of a condition, each with what is wrong with it in words; none twice, none equal to the condition."""
    always = Or((condition, Not(condition)))
    seen: set[Node] = {condition}
    whole: list[tuple[str, Node]] = [("always true", always), ("never true", Not(always))]
    for name, node in [*_changed(condition), *whole]:
        if node not in seen:
            seen.add(node)
            yield name, node


def _changed(node: Node) -> Iterator[tuple[str, Node]]:
    """The condition with one change somewhere in it."""
    if isinstance(node, Leaf):
        yield from _changed_leaf(node)
        return
    if isinstance(node, Not):
        yield f"without the `not` of {words(node.arg)}", node.arg
        yield from ((name, Not(arg)) for name, arg in _changed(node.arg))
        return
    kind, other = (And, Or) if isinstance(node, And) else (Or, And)
    if len(node.args) > 1:
        for name, rest in _without(node.args):
            yield name, rest[0] if len(rest) == 1 else kind(rest)
        yield f"`{'or' if kind is And else 'and'}` in {words(node)}", other(node.args)
    inner = node.args if kind is And or len(node.args) <= LONG_LIST else node.args[:1]
    for place, arg in enumerate(inner):
        yield from ((name, kind((*node.args[:place], new, *node.args[place + 1 :]))) for name, new in _changed(arg))


def _without(args: Sequence[Node]) -> Iterator[tuple[str, tuple[Node, ...]]]:
    """The parts with one left out; of a long list a quarter."""
    step = 1 if len(args) <= LONG_LIST else -(-len(args) // LONG_LIST)
    for place in range(0, len(args), step):
        gone = args[place : place + step]
        yield f"without {words(gone[0])}" + (f" and the next {len(gone) - 1}" if len(gone) > 1 else ""), (*args[:place], *args[place + step :])


def _changed_leaf(leaf: Leaf) -> Iterator[tuple[str, Node]]:
    """One test with one change."""
    text, change = words(leaf), msgspec.structs.replace
    if leaf.test in TEXT_TESTS or leaf.test in {"re", "cidr", *NUMBER_TESTS}:
        if leaf.field:
            yield f"any value in {text}", Leaf(leaf.field, "exists", True)
        if leaf.test in {"contains", "startswith", "endswith"}:
            yield f"the whole value in {text}", change(leaf, test="equals")
        if leaf.test in {"startswith", "endswith"}:
            yield f"`contains` in {text}", change(leaf, test="contains")
    if leaf.cased:
        yield f"without `cased` in {text}", change(leaf, cased=False)
    if leaf.flags:
        yield f"without flags in {text}", change(leaf, flags="")
    if leaf.test in NUMBER_TESTS and isinstance(leaf.pattern, (int, float)) and not isinstance(leaf.pattern, bool):
        yield f"one more in {text}", change(leaf, pattern=leaf.pattern + 1)
        yield f"one less in {text}", change(leaf, pattern=leaf.pattern - 1)
        yield f"`{_OTHER_OP[leaf.test]}` in {text}", change(leaf, test=_OTHER_OP[leaf.test])
    if leaf.test in {"null", "exists"}:
        yield f"the contrary of {text}", Not(leaf)


def words(node: Node) -> str:
    """A condition in a few words."""
    first = next(leaves(node), None)
    if first is None:
        return "nothing"
    text = (
        f"{first.field or 'the text'} {first.test} {display_safe(first.pattern, most=60)!r}"
        if isinstance(first.pattern, str)
        else f"{first.field} {first.test} {first.pattern}"
    )
    count = sum(1 for _ in leaves(node))
    return f"`{text}`" if count == 1 else f"`{text}` … ({count} tests)"


# --- correlations -----------------------------------------------------------------------------------------------------


def correlation_mutants(rule: Correlation, collection: Collection) -> Iterator[tuple[str, Collection]]:
    """Collections of one correlation and its rules in which one thing is wrong."""

    def with_rule(changed: Correlation) -> Collection:
        return msgspec.structs.replace(collection, correlations=tuple(changed if one.id == rule.id else one for one in collection.correlations))

    for name, changed in _changed_correlation(rule):
        yield name, with_rule(changed)
    for number, member in enumerate(collection.ruleset.rules):
        if member.path != rule.path:
            continue  # rules that stand elsewhere have tests of their own
        for name, condition in mutants(member.condition):
            rules: tuple[Rule, ...] = collection.ruleset.rules
            new = (*rules[:number], msgspec.structs.replace(member, condition=condition), *rules[number + 1 :])
            yield f"{member.name or member.id}: {name}", msgspec.structs.replace(collection, ruleset=msgspec.structs.replace(collection.ruleset, rules=new))


def _changed_correlation(rule: Correlation) -> Iterator[tuple[str, Correlation]]:
    change = msgspec.structs.replace
    for place, bound in enumerate(rule.bounds):
        for name, new in _changed_bound(bound):
            bounds = (*rule.bounds[:place], new, *rule.bounds[place + 1 :])
            yield name, change(rule, bounds=bounds)
    unit = next((unit for unit in _UNITS_US if rule.span_us % unit == 0), _UNITS_US[-1])
    yield "a longer timespan", change(rule, span_us=rule.span_us + unit)
    yield "a shorter timespan", change(rule, span_us=rule.span_us - unit if rule.span_us > unit else rule.span_us // 2)
    for place, field in enumerate(rule.group_by):
        yield f"without `{field}` in group-by", change(rule, group_by=(*rule.group_by[:place], *rule.group_by[place + 1 :]))
    if rule.type == "temporal_ordered":
        yield "in any order", change(rule, type="temporal")
    if rule.type == "value_count":
        yield "events counted in place of values", change(rule, type="event_count", fields=())
        if len(rule.fields) > 1:
            yield from (
                (f"without `{field}` in the values counted", change(rule, fields=tuple(one for one in rule.fields if one != field))) for field in rule.fields
            )
    if rule.expression is not None:
        yield from ((name, change(rule, expression=new)) for name, new in _changed_expression(rule.expression, rule))
    elif len(rule.rules) > 1:
        for place, member in enumerate(rule.rules):
            yield f"without the rule {member}", change(rule, rules=(*rule.rules[:place], f"no-{member}", *rule.rules[place + 1 :]))


def _changed_bound(bound: Bound) -> Iterator[tuple[str, Bound]]:
    """A threshold one higher and one lower. `gte` for `gt` is the same thing of whole numbers."""
    change = msgspec.structs.replace
    yield f"`{bound.op}` one more than {bound.number}", change(bound, numerator=bound.numerator + bound.denominator)
    if bound.numerator > 0:
        yield f"`{bound.op}` one less than {bound.number}", change(bound, numerator=bound.numerator - bound.denominator)
    if bound.op in {"eq", "neq"}:
        yield f"`{_OTHER_OP[bound.op]}` for `{bound.op}`", change(bound, op=_OTHER_OP[bound.op])


def _changed_expression(node: Expression, rule: Correlation) -> Iterator[tuple[str, Expression]]:
    if isinstance(node, Lacks):
        yield f"without the `not` of {rule.rules[node.rule]}", Ref(node.rule)
    if isinstance(node, (Ref, Lacks)):
        return
    kind = type(node)
    other = Either if kind is All else All
    yield f"`{'or' if kind is All else 'and'}` for `{'and' if kind is All else 'or'}`", other(node.args)
    for place, arg in enumerate(node.args):
        rest = (*node.args[:place], *node.args[place + 1 :])
        name = f"{'not ' if isinstance(arg, Lacks) else ''}{rule.rules[arg.rule]}" if isinstance(arg, (Ref, Lacks)) else f"part {place + 1}"
        yield f"without {name}", rest[0] if len(rest) == 1 else kind(rest)
        yield from ((text, kind((*node.args[:place], new, *node.args[place + 1 :]))) for text, new in _changed_expression(arg, rule))


def median(scores: Iterable[Score]) -> float:
    """The middle of the scores; 0 of none."""
    found = sorted(one.score for one in scores if not one.reason)
    if not found:
        return 0.0
    half = len(found) // 2
    return found[half] if len(found) % 2 else (found[half - 1] + found[half]) / 2


def as_item(score: Score) -> dict[str, Any]:
    """A score as data, with the share and the file's name."""
    return {**msgspec.to_builtins(score), "score": round(score.score, 3), "file": Path(score.path).name}
