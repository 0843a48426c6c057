"""The tree of a query text, and the text of a tree.

Grammar (`docs/reference/query-language.md` is the version for analysts):

    query  = [ or ]                             nothing = every event
    or     = and { "or" and }
    and    = not { [ "and" ] not }
    not    = ( "not" | "-" ) not | "(" or ")" | clause
    clause = field ":" values | field ( ">" | ">=" | "<" | "<=" ) value | word | phrase
    values = value | "(" list ")" | ( "[" | "{" ) bound "to" bound ( "]" | "}" ) | ( ">" … ) value

By hand, recursive descent, one pass: errors know the exact place, and nothing backtracks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_network

from soc.clock import iso
from soc.errors import Phrase, QuerySyntaxError
from soc.model.query.evaluate import as_address, as_number
from soc.model.query.fields import ALIASES, CLOSED_FIELDS, ORDERED_FIELDS, TIME_FIELDS, holds_addresses, holds_numbers
from soc.model.query.moment import stretch
from soc.model.query.tree import All, And, Cidr, Exists, Node, Not, Or, Range, Term, Text
from soc.model.text import MOST_TOKEN, runs_of, vi_fold

MOST_LENGTH = 4096
"""Characters of a query: longer ones are not typed by people."""
MOST_DEPTH = 64
"""Nested parentheses and negations."""
MOST_TERMS = 256
"""Comparisons in one query, after short names are spelled out."""

_FIELD = re.compile(r"[A-Za-z_@][A-Za-z0-9_@.\-]{0,255}", re.ASCII)
_WORD = re.compile(r"[^\s()\"]+")
_VALUE = re.compile(r"[^\s()\"\[\]{},]+")
_SPACE = re.compile(r"\s*")
_OPERATOR = re.compile(r"\s*(:|>=|<=|>|<)")
_COMPARISON = re.compile(r">=|<=|>|<")
# Reference: RFC 3986 3.1 and IEEE 802; such words hold colons but name no field.
_NO_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,15}://|(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![:\w])")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_KEYWORDS = ("and", "or", "not", "to")
_PLAIN_TOKEN = re.compile(r"[^\W_][\w.]*")


def parse(text: str, now_us: int | None = None) -> Node:
    """The tree of a query; `now_us` (microseconds since 1970) is what relative times count from.

    Raises: QuerySyntaxError with the offset of the first wrong character; nothing else, whatever the text.
    """
    if len(text) > MOST_LENGTH:
        raise QuerySyntaxError(
            text,
            MOST_LENGTH,
            Phrase("a query has at most {most_length:,} characters, this one {count:,}, so it ends", most_length=MOST_LENGTH, count=len(text)),
            hint="narrow it by fields instead of long lists",
        )
    return _Parser(text, now_us).query()


class _Parser:
    """One parse: the text, the place in it, and how much was used up."""

    def __init__(self, text: str, now_us: int | None) -> None:
        self.text = text
        self.now_us = now_us
        self.at = 0
        self.depth = 0
        self.terms = 0

    # --- structure

    def query(self) -> Node:
        self.skip()
        if self.at == len(self.text):
            return All()
        node = self.any_of()
        if self.at < len(self.text):
            raise self.error("nothing opens this )", hint="remove it, or quote the text that holds it")
        return node

    def any_of(self) -> Node:
        nodes = [self.all_of()]
        while self.keyword("or"):
            nodes.append(self.all_of())
        return _join(Or, nodes)

    def all_of(self) -> Node:
        nodes = [self.negation()]
        while True:
            self.skip()
            if self.keyword("and"):
                nodes.append(self.negation())
            elif self.at == len(self.text) or self.text[self.at] == ")" or self.sees("or"):
                return _join(And, nodes)
            else:
                nodes.append(self.negation())

    def negation(self) -> Node:
        self.skip()
        if self.keyword("not") or self.minus():
            self.enter()
            node: Node = Not(self.negation())
            self.depth -= 1
            return node
        if self.peek() == "(":
            return self.bracketed(self.any_of)
        return self.clause()

    def bracketed(self, inside: Callable[[], Node]) -> Node:
        opened = self.at
        self.at += 1
        self.enter()
        node = inside()
        self.skip()
        if self.peek() != ")":
            raise self.error("this ( is never closed", at=opened, hint="add a )")
        self.at += 1
        self.depth -= 1
        return node

    # --- clauses

    def clause(self) -> Node:
        start = self.at
        if self.at == len(self.text) or self.text[self.at] == ")" or self.sees("or") or self.sees("and"):
            raise self.error("something to search for is missing", hint="words and, or, not that are searched for stand in quotes")
        if self.text[self.at] == '"':
            return self.phrase()
        word = _WORD.match(self.text, self.at)
        assert word is not None
        if not _NO_FIELD.match(self.text, self.at) and as_address(word[0]) is None and (field := _FIELD.match(self.text, self.at)):
            operator = _OPERATOR.match(self.text, field.end())
            if operator:
                self.at = operator.end()
                self.skip()
                return self.fielded(field[0], operator[1], start)
        self.at = word.end()
        return self.words(word[0], start)

    def fielded(self, name: str, operator: str, start: int) -> Node:
        if operator == ":" and name.lower() in ("exists", "_exists_"):
            field = _FIELD.match(self.text, self.at)
            if not field:
                raise self.error("the name of a field is missing", hint="as in exists:source.ip")
            self.at = field.end()
            return self.each(field[0], start, Exists)
        if operator != ":":
            return self.compared(name, operator, start)
        if self.peek() == "(":
            return self.bracketed(lambda: self.list_of(name, start))
        return self.value_of(name, start)

    def value_of(self, name: str, start: int) -> Node:
        first = self.peek()
        if first in ("[", "{"):
            return self.range_of(name, start)
        if comparison := _COMPARISON.match(self.text, self.at):
            self.at = comparison.end()
            self.skip()
            return self.compared(name, comparison[0], start)
        at = self.at
        value, quoted = self.value(name, _WORD)
        if not quoted and value == "*":
            return self.each(name, start, Exists)
        return self.each(name, start, lambda field: self.equal(field, value, quoted=quoted, at=at))

    def list_of(self, name: str, start: int) -> Node:
        """Values in parentheses: any of them, with `and`, `or`, `not` where written."""
        nodes: list[list[Node]] = [[]]
        joined = False
        while True:
            self.skip(",")
            if self.keyword("or"):
                self.expect_value(name)
                joined = False
                continue
            if self.keyword("and"):
                self.expect_value(name)
                joined = True
                continue
            if self.at == len(self.text) or self.text[self.at] == ")":
                break
            negated = self.keyword("not")
            self.skip()
            node = self.bracketed(lambda: self.list_of(name, start)) if self.peek() == "(" else self.value_of_list(name, start)
            node = Not(node) if negated else node
            if joined:
                nodes[-1].append(node)
            else:
                nodes.append([node])
            joined = False
        alternatives = [_join(And, group) for group in nodes if group]
        if not alternatives:
            raise self.error(Phrase("the list of values of {name} is empty", name=name), hint=Phrase("as in {name}:(a or b)", name=name))
        return _join(Or, alternatives)

    def expect_value(self, name: str) -> None:
        self.skip(",")
        if self.at == len(self.text) or self.text[self.at] == ")" or self.sees("or") or self.sees("and"):
            raise self.error(Phrase("a value of {name} is missing", name=name))

    def value_of_list(self, name: str, start: int) -> Node:
        if self.peek() in ("[", "{", ">", "<"):
            return self.value_of(name, start)
        at = self.at
        value, quoted = self.value(name, _VALUE)
        return self.each(name, start, lambda field: self.equal(field, value, quoted=quoted, at=at))

    def equal(self, field: str, value: str, *, quoted: bool, at: int) -> Node:
        if field in TIME_FIELDS and (moment := stretch(value, self.now_us)) is not None:
            begin, end = moment
            return Range(field, iso(begin), iso(end), include_high=begin == end)
        if field in TIME_FIELDS and value.lower().startswith("now"):
            raise self.error("this is not a time", at=at, hint="relative times are written now-24h, now-7d, now-30m")
        if not quoted and "/" in value and (network := _network(value)):
            return Cidr(field, network)
        wildcard = not quoted and ("*" in value or "?" in value)
        if not wildcard:
            self.possible(field, value, at)
        return Term(field, value, wildcard=wildcard)

    def possible(self, field: str, value: str, at: int) -> None:
        """Refuse a value that the field never has: such a query finds nothing, and looks as if there were nothing."""
        if field in CLOSED_FIELDS and vi_fold(value) not in CLOSED_FIELDS[field]:
            raise self.error(
                Phrase("{name} never is {value!r}", name=field, value=value), at=at, hint=Phrase("one of {names}", names=", ".join(CLOSED_FIELDS[field]))
            )
        if holds_addresses(field) and as_address(value) is None:
            raise self.error(
                Phrase("{name} holds addresses, and {value!r} is neither one nor a network", name=field, value=value),
                at=at,
                hint=Phrase("as in {name}:203.0.113.7, {name}:10.0.0.0/8, {name}:[10.0.0.1 TO 10.0.0.9] or {name}:10.1.*", name=field),
            )
        if holds_numbers(field) and as_number(value) is None:
            raise self.error(
                Phrase("{name} holds numbers, and {value!r} is none", name=field, value=value),
                at=at,
                hint=Phrase("as in {name}:443, {name}:>=1024 or {name}:[22 TO 25]", name=field),
            )

    def range_of(self, name: str, start: int) -> Node:
        opened = self.at
        include_low = self.text[self.at] == "["
        self.at += 1
        self.skip()
        low = self.bound(name)
        if not self.keyword("to"):
            raise self.error("TO is missing between the bounds", hint=Phrase("as in {name}:[1 TO 5]", name=name))
        self.skip()
        high = self.bound(name)
        self.skip()
        if self.peek() not in ("]", "}"):
            raise self.error("this range is never closed", at=opened, hint="add a ], or a } to leave the upper bound out")
        include_high = self.text[self.at] == "]"
        self.at += 1
        if low is None and high is None:
            return self.each(name, start, Exists)
        return self.each(name, start, lambda field: self.between(field, low, high, include_low=include_low, include_high=include_high))

    def bound(self, name: str) -> tuple[str, int] | None:
        at = self.at
        value, quoted = self.value(name, _VALUE)
        return None if value == "*" and not quoted else (value, at)

    def compared(self, name: str, operator: str, start: int) -> Node:
        at = self.at
        value, _quoted = self.value(name, _WORD)
        low, high = ((value, at), None) if operator[0] == ">" else (None, (value, at))
        include = operator.endswith("=")
        return self.each(name, start, lambda field: self.between(field, low, high, include_low=include, include_high=include))

    def between(self, field: str, low: tuple[str, int] | None, high: tuple[str, int] | None, *, include_low: bool, include_high: bool) -> Node:
        for bound in (low, high):
            if bound and field not in TIME_FIELDS:
                self.possible(field, *bound)
        if field in ORDERED_FIELDS:
            return _of_order(field, low[0] if low else None, high[0] if high else None, include_low=include_low, include_high=include_high)
        if field not in TIME_FIELDS:
            return Range(field, low[0] if low else None, high[0] if high else None, include_low or low is None, include_high or high is None)
        lower = upper = None
        if low:
            begin, end = self.moment(*low)
            lower, include_low = (iso(begin), include_low) if include_low or begin == end else (iso(end), True)
        if high:
            begin, end = self.moment(*high)
            upper, include_high = (iso(end), begin == end) if include_high else (iso(begin), False)
        return Range(field, lower, upper, include_low or low is None, include_high or high is None)

    def moment(self, text: str, at: int) -> tuple[int, int]:
        found = stretch(text, self.now_us)
        if found is None:
            raise self.error("this is not a time", at=at, hint="as in 2026-11-20, 2026-11-20T08:00, 2026-11-20T01:00:00Z or now-24h")
        return found

    def each(self, name: str, start: int, make: Callable[[str], Node]) -> Node:
        """The comparison for the field, or for any of the fields that a short name stands for."""
        fields = ALIASES.get(name.lower(), (name,))
        self.terms += len(fields)
        if self.terms > MOST_TERMS:
            raise self.error(
                Phrase("a query has at most {most_terms} terms; the next one begins", most_terms=MOST_TERMS),
                at=start,
                hint="use a wildcard, a range or a network instead of many values",
            )
        return _join(Or, [make(field) for field in fields])

    def value(self, name: str, shape: re.Pattern[str]) -> tuple[str, bool]:
        """The value here and whether it was quoted."""
        if self.peek() == '"':
            return self.quoted(), True
        found = shape.match(self.text, self.at)
        if not found:
            raise self.error(Phrase("a value of {name} is missing", name=name), hint=Phrase('as in {name}:value, {name}:"two words" or {name}:*', name=name))
        self.at = found.end()
        return found[0], False

    # --- free text

    def phrase(self) -> Node:
        start = self.at
        text = self.quoted().strip()
        if not text:
            raise self.error("there is nothing between the quotes", at=start)
        self.each("", start, lambda _field: All())
        runs = runs_of(text)
        # Words first: a phrase begins and ends at word borders, so the index narrows before any text is compared.
        return Text(tuple(dict.fromkeys(runs)), phrase=text)

    def words(self, word: str, start: int) -> Node:
        prefix = word.endswith("*")
        bare = word.rstrip("*") if prefix else word
        if not bare:
            self.each("", start, lambda _field: All())
            return All()
        if "*" in bare:
            raise self.error("in free text a * may only stand at the end of a word", at=start + bare.index("*"), hint="name the field: url.original:*evil*")
        runs = runs_of(bare)
        if not runs:
            raise self.error("this holds no letter or digit to search for", at=start, hint="put it into quotes")
        nodes: list[Node] = [self.each("", start, lambda _field, run=run: Text((run,))) for run in runs]  # type: ignore[misc]  # mypy cannot infer a default of a lambda
        if prefix:
            tail = bare[len(bare.rstrip("_.:-@")) :]
            nodes[-1] = Text(((runs[-1] + tail)[:MOST_TOKEN],), prefix=True)
        return _join(And, nodes)

    def quoted(self) -> str:
        found = _QUOTED.match(self.text, self.at)
        if not found:
            raise self.error("this quote is never closed", hint='add a ", and write \\" for one inside the text')
        self.at = found.end()
        return _ESCAPE.sub(r"\1", found[1])

    # --- characters

    def peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def skip(self, also: str = "") -> None:
        while True:
            self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]  # it always matches
            if not also or self.peek() != also:
                return
            self.at += 1

    def sees(self, keyword: str) -> bool:
        end = self.at + len(keyword)
        return self.text[self.at : end].lower() == keyword and (end >= len(self.text) or self.text[end].isspace() or self.text[end] in '()"')

    def keyword(self, keyword: str) -> bool:
        self.skip()
        if not self.sees(keyword):
            return False
        self.at += len(keyword)
        self.skip()
        return True

    def minus(self) -> bool:
        if self.peek() not in ("-", "!") or self.at + 1 >= len(self.text) or self.text[self.at + 1].isspace():
            return False
        self.at += 1
        return True

    def enter(self) -> None:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise self.error(Phrase("a query nests at most {most_depth} deep", most_depth=MOST_DEPTH))

    def error(self, reason: str, *, at: int | None = None, hint: str = "") -> QuerySyntaxError:
        return QuerySyntaxError(self.text, self.at if at is None else at, reason, hint=hint)


def _join(kind: type[And | Or], nodes: list[Node]) -> Node:
    """The nodes joined by `kind`; one alone stays itself, nested ones of the same kind are taken in."""
    flat: list[Node] = []
    for node in nodes:
        flat.extend(node.nodes if isinstance(node, kind) else (node,))
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


def _of_order(field: str, low: str | None, high: str | None, *, include_low: bool, include_high: bool) -> Node:
    """The values between the bounds, by the order that the field has."""
    values = ORDERED_FIELDS[field]
    first = 0 if low is None else values.index(vi_fold(low)) + (not include_low)
    end = len(values) if high is None else values.index(vi_fold(high)) + include_high
    return _join(Or, [Term(field, value) for value in values[first:end]]) if first < end else Not(All())


def _network(text: str) -> str | None:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return None


def to_text(node: Node) -> str:
    """A query text that parses to this tree again (of any tree that `parse` gives)."""
    if isinstance(node, All):
        return "*"
    if isinstance(node, (And, Or)):
        word = " and " if isinstance(node, And) else " or "
        return "(" + word.join(to_text(child) for child in node.nodes) + ")"
    if isinstance(node, Not):
        return "not " + to_text(node.node)
    if isinstance(node, Exists):
        return f"{node.field}:*"
    if isinstance(node, Term):
        return f"{node.field}:{node.value if node.wildcard else _quote(node.value)}"
    if isinstance(node, Cidr):
        return f"{node.field}:{node.network}"
    if isinstance(node, Range):
        low, high = ("*" if bound is None else _quote(bound) for bound in (node.low, node.high))
        return f"{node.field}:{'[' if node.include_low else '{'}{low} TO {high}{']' if node.include_high else '}'}"
    if node.phrase:
        return _quote(node.phrase)
    return " ".join(_word(token) for token in node.tokens) + ("*" if node.prefix else "")


def _word(token: str) -> str:
    return token if _PLAIN_TOKEN.fullmatch(token) and token not in _KEYWORDS else "=" + token


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
