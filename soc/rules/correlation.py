"""What a correlation rule is once it is read: plain data that the fold, the naive oracle and the loader share.

Read from the YAML document by this module alone: what pySigma refuses or does not know (ranges such as `gt` with `lte`)
is part of the language here, and every refusal carries file, line and reason. References are resolved by
`soc.rules.collection`.

Source: Sigma specification 2.1.0, «Sigma Correlation Rules»; extended conditions as pySigma 2.0 reads them.
"""

from __future__ import annotations

import hashlib
import math
import re
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

from soc.errors import RuleSyntaxError, RuleUnsupported
from soc.model.text import display_safe

if TYPE_CHECKING:
    from soc.rules.documents import Document

COUNTS = ("event_count", "value_count", "temporal", "temporal_ordered")
"""Types whose measure is a number of things: 0 for an empty window, never negative."""
NUMERIC = ("value_sum", "value_avg", "value_percentile", "value_median")
"""Types whose measure is made of the numbers in a field."""
TYPES = (*COUNTS, *NUMERIC)
OPERATORS = ("gt", "gte", "lt", "lte", "eq", "neq")
MOST_RULES = 64
MOST_SPAN_S = 5 * 31_556_952
"""Five years; a state that reaches back longer cannot be rebuilt from a log."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_629_746, "y": 31_556_952}
# Reference: Sigma specification 2.1, `timespan`: number + s, m, h, d; pySigma 2.0 adds w, M (a twelfth of a year) and y.
_SPAN = re.compile(r"([0-9]{1,12})([smhdwMy])", re.ASCII)
# Reference: pySigma 2.0 SigmaExtendedCorrelationCondition: names, `and`, `or`, `not`, parentheses.
_TOKEN = re.compile(r"\s*(\(|\)|[\w.:@+-]+)")
_KEYS = ("type", "rules", "group-by", "timespan", "condition", "aliases", "generate")
_MOST_DEPTH = 32
_MOST_TEXT, _MOST_NAMES, _MOST_NAME = 10_000, 256, 256
"""Of a refused correlation: what is looked at to learn whom it names."""
_HUNDRED = 100
_MOST_NUMBER = 10**18
"""What caches and stores hold: integers of 64 bits."""


class Ref(msgspec.Struct, frozen=True, tag="ref"):
    """In a boolean condition: the rule at this place of `Correlation.rules` has an event."""

    rule: int


class All(msgspec.Struct, frozen=True, tag="all"):
    """All of `args` hold."""

    args: tuple[Expression, ...]


class Either(msgspec.Struct, frozen=True, tag="either"):
    """At least one of `args` holds."""

    args: tuple[Expression, ...]


class Lacks(msgspec.Struct, frozen=True, tag="lacks"):
    """The rule at this place has no event. `not` stands before single rules only (De Morgan is applied when read)."""

    rule: int


Expression = Ref | All | Either | Lacks


class Bound(msgspec.Struct, frozen=True):
    """One comparison of the measure: `numerator / denominator` is the number as written, exact."""

    op: str
    numerator: int
    denominator: int = 1

    @property
    def number(self) -> int | Fraction:
        """The number to compare with."""
        return self.numerator if self.denominator == 1 else Fraction(self.numerator, self.denominator)


class Correlation(msgspec.Struct, frozen=True):
    """One correlation rule.

    `rules`: what it names, as written (ids or names) until `soc.rules.collection` puts ids there. `aliases`: per alias
    what its field is called in the events of each rule, `{alias: {rule: field}}`. `bounds` all hold, or `expression`
    does. `span_us`: the window, closed at both ends.
    """

    id: str
    title: str
    level: str
    hash: str
    type: str
    rules: tuple[str, ...]
    span_us: int
    bounds: tuple[Bound, ...] = ()
    expression: Expression | None = None
    group_by: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    percentile: int = 50
    aliases: dict[str, dict[str, str]] = {}
    generate: bool = False
    name: str = ""
    path: str = ""
    line: int = 0
    lines: dict[str, int] = {}
    """The line of each key of `correlation`, for errors found later."""
    status: str = ""
    description: str = ""
    author: str = ""
    date: str = ""
    tags: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    triage: dict[str, str] = {}
    title_vi: str = ""
    shadow: bool = False
    """It runs beside the live rules, as does every correlation that is made of a shadow rule."""
    replaces: str = ""
    """The rule (id or name) whose place it takes once it is live."""

    def holds(self, measure: int | Fraction | None) -> bool:
        """Whether the bounds hold for a measure; for none (the average of nothing) they do not."""
        return measure is not None and all(compare(bound.op, measure, bound.number) for bound in self.bounds)

    @property
    def negated(self) -> bool:
        """Whether the condition says `not`: then it is judged once a whole timespan has passed."""
        return self.expression is not None and bool(lacking(self.expression))

    @property
    def by_time(self) -> bool:
        """Whether an empty window fulfils the condition (absence): then time makes it hold, and not an event."""
        return self.expression is None and self.holds(0 if self.type in COUNTS or self.type == "value_sum" else None)


def compare(op: str, measure: int | Fraction, number: int | Fraction) -> bool:
    """One comparison."""
    if op == "gte":
        return measure >= number
    if op == "gt":
        return measure > number
    if op == "lt":
        return measure < number
    if op == "lte":
        return measure <= number
    return (measure == number) is (op == "eq")


def lacking(node: Expression) -> set[int]:
    """The rules that the condition wants to be silent."""
    if isinstance(node, Lacks):
        return {node.rule}
    return set() if isinstance(node, Ref) else {rule for arg in node.args for rule in lacking(arg)}


def needed(node: Expression) -> list[int]:
    """The rules that the condition wants to see, in order."""
    if isinstance(node, Ref):
        return [node.rule]
    return [] if isinstance(node, Lacks) else [rule for arg in node.args for rule in needed(arg)]


# --- reading ---------------------------------------------------------------------------------------------------------


def silenced(document: Document) -> tuple[str, ...]:
    """What a document that is refused names as rules that make no alerts of their own, if it is a correlation."""
    part = document.data.get("correlation")
    if not isinstance(part, dict) or part.get("generate") is True:
        return ()
    found = part.get("rules", [])
    names = [found] if isinstance(found, str) else [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
    condition = part.get("condition")
    if isinstance(condition, str):
        names += _TOKEN.findall(condition[:_MOST_TEXT])
    return tuple(dict.fromkeys(name for name in names[:_MOST_NAMES] if len(name) <= _MOST_NAME))


def read_correlation(document: Document) -> Correlation:
    """The correlation rule of a document, its references as written.

    Raises: RuleSyntaxError when it is none, RuleUnsupported when it uses what is not evaluated.
    """
    from soc.rules import sigma  # noqa: PLC0415 - it imports pySigma, which the fold does not need

    data = document.data
    part = data["correlation"]
    if not isinstance(part, dict):
        raise RuleSyntaxError(document.path, document.line_of("correlation"), "`correlation` is no mapping")
    for key in ("detection", "filter", "logsource"):
        if key in data and data[key] is not None and key != "logsource":
            raise RuleSyntaxError(document.path, document.line_of(key), f"a document is one thing: it has `correlation` and `{key}`")
    unknown = sorted(str(key) for key in part if key not in _KEYS)
    if unknown:
        hint = {"timeframe": "write `timespan`", "group_by": "write `group-by`", "field": "write it under `condition`"}.get(
            unknown[0], "known: " + ", ".join(_KEYS)
        )
        raise RuleUnsupported(
            document.path, document.line_of("correlation", unknown[0]), f"`correlation` has no key {display_safe(unknown[0], most=40)!r}", hint=hint
        )
    kind = _type(document, part)
    rules = _rules(document, part)
    bounds, expression, rules = _condition(document, part, kind, rules)
    fields, percentile = _fields(document, part, kind)
    text_hash = hashlib.blake2b(document.text.encode(), digest_size=16).hexdigest()
    classify, _, triage = sigma._soc(document)  # noqa: SLF001 - the facts about a rule are read in one place
    if classify is not None:
        raise RuleUnsupported(document.path, document.line_of("soc", "classify"), "a correlation makes alerts, it does not classify events")
    out = Correlation(
        id=sigma._rule_id(document, text_hash),  # noqa: SLF001
        title=sigma._text(document, "title"),  # noqa: SLF001
        level=sigma._level(document),  # noqa: SLF001
        hash=text_hash,
        type=kind,
        rules=rules,
        span_us=_span(document, part),
        bounds=bounds,
        expression=expression,
        group_by=_names(document, part, "group-by"),
        fields=fields,
        percentile=percentile,
        aliases=_aliases(document, part),
        generate=_generate(document, part),
        name=_name(document),
        path=document.path,
        line=document.line_of("title"),
        lines={key: document.line_of("correlation", key) for key in part},
        status=str(data.get("status") or ""),
        description=str(data.get("description") or "").strip(),
        author=str(data.get("author") or ""),
        date=str(data.get("date") or ""),
        tags=sigma._texts(document, "tags"),  # noqa: SLF001
        references=sigma._texts(document, "references"),  # noqa: SLF001
        falsepositives=sigma._texts(document, "falsepositives"),  # noqa: SLF001
        triage=triage,
        title_vi=sigma._title_vi(document),  # noqa: SLF001
        shadow=sigma._shadow(document),  # noqa: SLF001
        replaces=sigma._replaces(document),  # noqa: SLF001
    )
    _check(document, out)
    return out


def _name(document: Document) -> str:
    value = document.data.get("name")
    if value is None:
        return ""
    if not isinstance(value, str) or not value.strip():
        raise RuleSyntaxError(document.path, document.line_of("name"), "`name` is no text")
    return value.strip()


def _type(document: Document, part: dict[str, Any]) -> str:
    value = part.get("type")
    if value not in TYPES:
        shown = "is missing" if value is None else f"{display_safe(value, most=40)!r} is not known"
        raise RuleUnsupported(document.path, document.line_of("correlation", "type"), f"the correlation type {shown}", hint=f"known: {', '.join(TYPES)}")
    return str(value)


def _rules(document: Document, part: dict[str, Any]) -> tuple[str, ...]:
    value = part.get("rules")
    items = [] if value is None else value if isinstance(value, list) else [value]
    line = document.line_of("correlation", "rules")
    if not all(isinstance(item, str) and item.strip() for item in items):
        raise RuleSyntaxError(document.path, line, "`rules` is no list of rule ids or names")
    names = tuple(item.strip() for item in items)
    if len(names) > MOST_RULES:
        raise RuleUnsupported(document.path, line, f"a correlation of more than {MOST_RULES} rules is not evaluated")
    for number, name in enumerate(names):
        if name in names[:number]:
            raise RuleSyntaxError(document.path, line, f"the rule {display_safe(name, most=60)!r} stands twice in `rules`")
    return names


def _span(document: Document, part: dict[str, Any]) -> int:
    line = document.line_of("correlation", "timespan")
    value = part.get("timespan")
    if value is None:
        raise RuleSyntaxError(document.path, line, "a correlation needs a `timespan`")
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise RuleSyntaxError(
            document.path,
            line,
            f"the timespan {display_safe(value, most=40)!r} is no number with one of s, m, h, d, w, M, y",
            hint="for one and a half hours: 90m",
        )
    seconds = int(found[1]) * _UNITS[found[2]]
    if seconds == 0:
        raise RuleSyntaxError(document.path, line, "the timespan is zero")
    if seconds > MOST_SPAN_S:
        raise RuleUnsupported(document.path, line, "the timespan is longer than five years")
    return seconds * 1_000_000


def _names(document: Document, part: dict[str, Any], key: str) -> tuple[str, ...]:
    value = part.get(key)
    items = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) and item for item in items) or len(set(items)) < len(items):
        raise RuleSyntaxError(document.path, document.line_of("correlation", key), f"`{key}` is no list of different field names")
    return tuple(items)


def _generate(document: Document, part: dict[str, Any]) -> bool:
    # The specification's schema has `generate` beside `correlation`, its text and pySigma inside.
    found = [
        (document.line_of(*where), value)
        for where, value in ((("correlation", "generate"), part.get("generate")), (("generate",), document.data.get("generate")))
    ]
    given = [(line, value) for line, value in found if value is not None]
    for line, value in given:
        if not isinstance(value, bool) or value is not given[0][1]:
            raise RuleSyntaxError(document.path, line, "`generate` is neither true nor false, or stands twice with different values")
    return bool(given) and bool(given[0][1])


def _aliases(document: Document, part: dict[str, Any]) -> dict[str, dict[str, str]]:
    value = part.get("aliases")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RuleSyntaxError(document.path, document.line_of("correlation", "aliases"), "`aliases` is no mapping")
    for alias, mapping in value.items():
        line = document.line_of("correlation", "aliases", str(alias))
        if not isinstance(alias, str) or not isinstance(mapping, dict) or not mapping:
            raise RuleSyntaxError(document.path, line, "an alias is a mapping of rules to field names")
        if not all(isinstance(rule, str) and isinstance(field, str) and field for rule, field in mapping.items()):
            raise RuleSyntaxError(document.path, line, f"the alias {display_safe(alias, most=60)!r} is no mapping of rules to field names")
    return {alias: dict(mapping) for alias, mapping in value.items()}


def _fields(document: Document, part: dict[str, Any], kind: str) -> tuple[tuple[str, ...], int]:
    """The fields whose values are counted or computed with, and the percentile."""
    condition = part.get("condition")
    condition = condition if isinstance(condition, dict) else {}
    line = document.line_of("correlation", "condition", "field")
    value = condition.get("field")
    items = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) and item for item in items) or len(set(items)) < len(items):
        raise RuleSyntaxError(document.path, line, "`field` is no field name, nor a list of different ones")
    if kind.startswith("value_"):
        if not items:
            raise RuleSyntaxError(document.path, document.line_of("correlation", "condition"), f"{kind} needs a `field` in its condition")
        if len(items) > 1 and kind != "value_count":
            raise RuleUnsupported(document.path, line, f"{kind} computes with one field", hint="value_count counts combinations of several")
    elif items:
        raise RuleUnsupported(document.path, line, f"{kind} looks at no field", hint="value_count counts the different values of a field")
    percentile = condition.get("percentile")
    line = document.line_of("correlation", "condition", "percentile")
    if kind != "value_percentile":
        if percentile is not None:
            raise RuleUnsupported(document.path, line, f"{kind} has no `percentile`")
        return tuple(items), 50
    if percentile is None:
        raise RuleUnsupported(
            document.path,
            document.line_of("correlation", "condition"),
            "value_percentile does not say which percentile",
            hint="write `percentile: 95` beside `field`",
        )
    if not isinstance(percentile, int) or isinstance(percentile, bool) or not 0 <= percentile <= _HUNDRED:
        raise RuleSyntaxError(document.path, line, "`percentile` is no whole number from 0 to 100")
    return tuple(items), percentile


# --- the condition ---------------------------------------------------------------------------------------------------


def _condition(document: Document, part: dict[str, Any], kind: str, rules: tuple[str, ...]) -> tuple[tuple[Bound, ...], Expression | None, tuple[str, ...]]:
    """Bounds or boolean expression, and the rules (those of the expression where `rules` is not given)."""
    value = part.get("condition")
    line = document.line_of("correlation", "condition")
    temporal = kind in {"temporal", "temporal_ordered"}
    if isinstance(value, str):
        if not temporal:
            raise RuleUnsupported(document.path, line, "a condition in words belongs to temporal and temporal_ordered", hint="write `condition: {gte: 5}`")
        expression, named = _parse(document, line, value, rules)
        return (), expression, named
    if not rules:
        raise RuleSyntaxError(document.path, document.line_of("correlation", "rules"), "a correlation needs `rules`")
    if value is None:
        if not temporal:
            raise RuleSyntaxError(document.path, line, f"{kind} needs a `condition`")
        return (Bound("gte", len(rules)),), None, rules
    if not isinstance(value, dict):
        raise RuleSyntaxError(document.path, line, "`condition` is neither a mapping nor a text")
    for key in value:
        if key not in (*OPERATORS, "field", "percentile"):
            raise RuleUnsupported(
                document.path,
                document.line_of("correlation", "condition", str(key)),
                f"unknown operator {display_safe(key, most=40)!r} in the condition",
                hint=f"known: {', '.join(OPERATORS)}, field, percentile",
            )
    bounds = tuple(_bound(document, op, value[op]) for op in OPERATORS if op in value)
    if not bounds:
        raise RuleSyntaxError(document.path, line, f"the condition compares nothing: it needs one of {', '.join(OPERATORS)}")
    return bounds, None, rules


def _bound(document: Document, op: str, value: Any) -> Bound:
    line = document.line_of("correlation", "condition", op)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (isinstance(value, float) and not math.isfinite(value)):
        raise RuleSyntaxError(document.path, line, f"{display_safe(value, most=40)!r} is no number", hint="write it without quotes")
    number = Fraction(value if isinstance(value, int) else repr(value))  # the decimal as written, not the nearest binary one
    if max(abs(number.numerator), number.denominator) >= _MOST_NUMBER:
        raise RuleUnsupported(document.path, line, "the condition compares with a number of more than 18 digits")
    return Bound(op, number.numerator, number.denominator)


def _parse(document: Document, line: int, text: str, rules: tuple[str, ...]) -> tuple[Expression, tuple[str, ...]]:
    """The boolean condition in words; `not` moved down to single rules."""
    tokens: list[str] = []
    at = 0
    while at < len(text.rstrip()):
        found = _TOKEN.match(text, at)
        if found is None:
            raise RuleSyntaxError(document.path, line, f"the condition has an unexpected {display_safe(text[at:].strip()[:1])!r}")
        tokens.append(found[1])
        at = found.end()
    names = list(rules)
    place = 0

    def fail(reason: str) -> RuleSyntaxError:
        return RuleSyntaxError(document.path, line, f"the condition {reason}", hint="as in `rule_a and not (rule_b or rule_c)`")

    def either(depth: int, negate: bool) -> Expression:
        nonlocal place
        args = [both(depth, negate)]
        while place < len(tokens) and tokens[place] == "or":
            place += 1
            args.append(both(depth, negate))
        return _join(args, All if negate else Either)

    def both(depth: int, negate: bool) -> Expression:
        nonlocal place
        args = [single(depth, negate)]
        while place < len(tokens) and tokens[place] == "and":
            place += 1
            args.append(single(depth, negate))
        return _join(args, Either if negate else All)

    def single(depth: int, negate: bool) -> Expression:
        nonlocal place
        if depth > _MOST_DEPTH:
            raise fail(f"is nested deeper than {_MOST_DEPTH}")
        if place >= len(tokens):
            raise fail("ends where a rule is expected")
        token = tokens[place]
        place += 1
        if token == "not":  # noqa: S105 - a word of the condition
            return single(depth + 1, not negate)
        if token == "(":  # noqa: S105 - the same
            inner = either(depth + 1, negate)
            if place >= len(tokens) or tokens[place] != ")":
                raise fail("lacks a closing parenthesis")
            place += 1
            return inner
        if token in {")", "and", "or"}:
            raise fail(f"has {token!r} where a rule is expected")
        if token not in names:
            if rules:
                raise fail(f"names {display_safe(token, most=60)!r}, which is not in `rules`")
            names.append(token)
        number = names.index(token)
        return Lacks(number) if negate else Ref(number)

    tree = either(0, negate=False)
    if place < len(tokens):
        raise fail(f"has {display_safe(tokens[place], most=60)!r} where `and` or `or` is expected")
    if len(names) > MOST_RULES:
        raise RuleUnsupported(document.path, line, f"a correlation of more than {MOST_RULES} rules is not evaluated")
    used = set(needed(tree)) | lacking(tree)
    for number, name in enumerate(names):
        if number not in used:
            raise fail(f"does not use the rule {display_safe(name, most=60)!r} of `rules`")
    return tree, tuple(names)


def _join(args: list[Expression], kind: type[All | Either]) -> Expression:
    """One node of several; inner nodes of the same kind are taken in."""
    if len(args) == 1:
        return args[0]
    return kind(tuple(inner for arg in args for inner in (arg.args if isinstance(arg, kind) else (arg,))))


def _check(document: Document, rule: Correlation) -> None:
    """Conditions that say nothing: that always hold, never hold, or want silence only.

    Raises: RuleSyntaxError, RuleUnsupported.
    """
    line = document.line_of("correlation", "condition")
    if rule.expression is not None:
        if rule.type == "temporal_ordered" and (
            not isinstance(rule.expression, (All, Ref)) or any(isinstance(arg, (All, Either)) for arg in getattr(rule.expression, "args", ()))
        ):
            raise RuleUnsupported(
                document.path,
                line,
                "an ordered condition joins rules by `and` only (each perhaps with `not`)",
                hint="use `temporal` where the order does not matter",
            )
        if _silent(rule.expression):
            raise RuleUnsupported(
                document.path, line, "the condition holds where no event is: nothing would ever say when", hint="event_count with `eq: 0` alerts on silence"
            )
        return
    if rule.type in COUNTS or rule.type == "value_sum":
        low = 0 if rule.type in COUNTS else None
        top = len(rule.rules) if rule.type.startswith("temporal") else None
        probes = _probes(rule.bounds, low, top)
        outcomes = {rule.holds(probe) for probe in probes}
    else:
        outcomes = {rule.holds(probe) for probe in _probes(rule.bounds, None, None)}
    if len(outcomes) == 1:
        raise RuleSyntaxError(document.path, line, "the condition always holds" if True in outcomes else "the condition can never hold")


def _probes(bounds: tuple[Bound, ...], low: int | None, top: int | None) -> list[Fraction]:
    """Measures that between them try every way the bounds can come out."""
    numbers = sorted({Fraction(bound.number) for bound in bounds})
    if low is not None:
        whole = {number.__floor__() + step for number in numbers for step in (-1, 0, 1, 2)} | {low, *(() if top is None else (top,))}
        return [Fraction(number) for number in sorted(whole) if number >= low and (top is None or number <= top)]
    between = [(first + second) / 2 for first, second in pairwise(numbers)]
    return [numbers[0] - 1, *numbers, *between, numbers[-1] + 1]


def _silent(node: Expression) -> bool:
    """Whether the condition holds when no rule has an event."""
    if isinstance(node, Ref):
        return False
    if isinstance(node, Lacks):
        return True
    return all(map(_silent, node.args)) if isinstance(node, All) else any(map(_silent, node.args))
