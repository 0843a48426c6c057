from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
import re2
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from soc.errors import RuleError
from soc.rules import index as indexing
from soc.rules.ast import And, Leaf, LogSource, Node, Not, Or, Rule
from soc.rules.compile import Folded, Several, compile_condition, compile_single, searcher
from soc.rules.documents import Document, read
from soc.rules.engine import compile_ruleset
from soc.rules.literals import fewest, required
from soc.rules.load import RuleSet
from soc.rules.match import matches, regex, searchable
from soc.rules.sigma import read_rule
from soc.rules.values import composed, fold
from tests.rules.strategies import ADDRESSES, EXPRESSIONS, WORDS, conditions, docs, texts, values

ANYTHING = LogSource(category="firewall")


@contextmanager
def hasty() -> Iterator[None]:
    """An index that measures after five events, remembers four values, and looks soon whether that pays."""
    with patch.multiple(indexing, SAMPLE=5, LEAST_MEASURED=1, MOST_REMEMBERED=4, PROBE=3, CHUNK=8, FEW=50, FEW_PIECES=1, GOOD=0.0):
        yield


def agree(rules: list[Node], events: list[dict[str, Any]]) -> None:
    """One engine of all rules says of every event what the naive matcher says, however much it has learned."""
    engine = compile_ruleset(RuleSet(tuple(Rule(f"r{number:03}", "t", "low", ANYTHING, rule, "h") for number, rule in enumerate(rules)), "", ecs=False))
    wanted = [tuple(number for number, rule in enumerate(rules) if matches(rule, doc)) for doc in events]
    for _ in range(4):
        for doc, numbers in zip(events, wanted, strict=True):
            assert engine.classify(doc).matches == numbers


@settings(max_examples=250, deadline=None)
@given(st.lists(conditions, min_size=1, max_size=8), st.lists(docs, min_size=1, max_size=8))
@example([And((Leaf("tags", "contains", "dm"), Not(Leaf("tags", "startswith", "x"))))], [{"tags": ["adm", "x"]}, {"tags": "adm"}, {"tags": "xadm"}, {}])
@example([Not(Leaf("tags", "equals", "a"))], [{"tags": ["a", "b"]}, {"tags": {}}, {"tags": [[None]]}, {"tags": "b"}])
@example([Leaf("tags", "re", "st", flags="i")], [{"tags": "\u017fT\u0308"}])
@example([Leaf("tags", "contains", "T", cased=True), Leaf("tags", "re", "xT")], [{"tags": "xT\u0308"}, {"tags": "xt"}])
def test_an_engine_that_learns_equals_the_naive_matcher(rules: list[Node], events: list[dict[str, Any]]) -> None:
    """Many rules, many events, through all states of the index: estimated, measuring, measured, memory full, given up, lists met."""
    with hasty():
        agree(rules, events)


@settings(max_examples=400, deadline=None)
@given(conditions, docs)
def test_the_predicate_of_single_values_equals_the_naive_one_or_refuses(condition: Node, doc: dict[str, Any]) -> None:
    """For single values the inlined predicate decides; it refuses only where a field is a list of several."""
    folded = Folded()
    folded.get_raw = doc.get
    try:
        found = compile_single(condition)(folded, doc.get, doc)
    except Several:
        assert any(isinstance(value, list) for value in doc.values())
    else:
        assert found == matches(condition, doc)


# --- rules as they are written ---------------------------------------------------------------------------------------

_FIELDS = ("user.name", "tags", "source.ip")
_plain = st.sampled_from([word for word in WORDS if word.isprintable() and "\ud800" not in word] + ["* -enc*", "a*n", "ad?in", "\\*", "net /add"])
_ITEMS: tuple[tuple[str, st.SearchStrategy[Any]], ...] = (
    ("", _plain | st.integers(-1, 5) | st.booleans() | st.none() | st.just(5.5)),
    ("|contains", _plain),
    ("|startswith", _plain),
    ("|endswith", _plain),
    ("|cased", _plain),
    ("|contains|cased", _plain),
    ("|windash|contains", st.sampled_from((" -enc", "-a /b", "ad-min"))),
    ("|base64offset|contains", st.sampled_from(("admin", "xy"))),
    ("|base64", st.sampled_from(("admin", "xy"))),
    ("|wide|base64offset|contains", st.just("adm")),
    ("|re", st.sampled_from(EXPRESSIONS)),
    ("|re|i", st.sampled_from(EXPRESSIONS)),
    ("|cidr", st.sampled_from(("10.0.0.0/8", "2001:db8::/32", "192.168.1.5/32"))),
    ("|gt", st.integers(-1, 5)),
    ("|lte", st.integers(-1, 5)),
    ("|exists", st.booleans()),
    ("|neq", _plain),
    ("|fieldref", st.sampled_from(_FIELDS)),
    ("|fieldref|endswith", st.sampled_from(_FIELDS)),
    ("|hour", st.integers(0, 23)),
)


@st.composite
def _selection(draw: st.DrawFn) -> Any:
    if draw(st.integers(0, 9)) == 0:
        return draw(st.lists(st.sampled_from(("admin", "lừa", "cmd.exe", "5")), min_size=1, max_size=2))
    out: dict[str, Any] = {}
    for _ in range(draw(st.integers(1, 3))):
        modifiers, value = draw(st.sampled_from(_ITEMS))
        many = "exists" not in modifiers and draw(st.booleans())
        key = draw(st.sampled_from(_FIELDS)) + modifiers + ("|all" if many and "contains" in modifiers and draw(st.booleans()) else "")
        out[key] = draw(st.lists(value, min_size=2, max_size=3)) if many else draw(value)
    return out


_CONDITIONS = (
    "one",
    "not one",
    "one and two",
    "one and not two",
    "one or two",
    "1 of them",
    "all of them",
    "not (one or two)",
    "one and not (two and not one)",
)
_written = st.builds(lambda one, two, condition: {"one": one, "two": two, "condition": condition}, _selection(), _selection(), st.sampled_from(_CONDITIONS))
_encoded = st.sampled_from(
    [base64.b64encode(text).decode() for text in (b"admin", b" admin", b"x xy", "adm".encode("utf-16-le"))] + ["powershell /ENC x", "-a –b", "ad—min"]
)
_events = st.dictionaries(st.sampled_from((*_FIELDS, "event.original", "message")), values | _encoded | texts | st.sampled_from(ADDRESSES), max_size=5)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(st.lists(_written, min_size=1, max_size=4), st.lists(_events, min_size=1, max_size=6))
def test_written_rules_with_every_modifier(detections: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    """Rules from YAML with windash, base64, wide, cidr, expressions, references, numbers, null, lists and keywords: engine and naive matcher agree."""
    rules = []
    for detection in detections:
        text = yaml.safe_dump({"title": "t", "logsource": {"category": "test"}, "detection": detection}, allow_unicode=True)
        (document,) = read("r.yml", text.encode())
        assert isinstance(document, Document)
        try:
            rules.append(read_rule(document, {}).condition)
        except RuleError:
            continue
    assume(rules)
    with hasty():
        agree(rules, events)


# --- expressions -------------------------------------------------------------------------------------------------------

_bits = st.sampled_from(
    (
        "a",
        "B",
        "t",
        "k",
        "s",
        "-",
        "\\.",
        "\\?",
        "é",
        "?x"[1:],
        "[ab]",
        "[^a]",
        "[a-c]",
        "[[:digit:]]",
        "[\\-b]",
        ".",
        "\\d",
        "\\w",
        "\\b",
        "^",
        "$",
        " ",
        "{",
        "}",
        "\\\\",
        "\u0308",
    )
)
_expressions = st.recursive(
    _bits,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.builds("({}|{})".format, inner, inner),
        st.builds("(?:{}){}".format, inner, st.sampled_from(("*", "+", "?", "{2}", "{1}", "{0,2}", "{1,}", "+?", "*?"))),
        st.builds("{}{}".format, st.sampled_from(("a", "B", "[ab]", "\\.")), st.sampled_from(("*", "+", "?", "{2}", "{1}", "{0,2}", "+?"))),
        st.builds("(?i:{})".format, inner),
        st.builds("(?P<n>{})".format, inner),
    ),
    max_leaves=10,
)
_searched = st.text(alphabet="aAbBtTkK\u212asS\u017f-.?é\u0308 {}\\1\ud800x", max_size=14)


@settings(max_examples=1_500, deadline=None)
@given(_expressions, st.lists(_searched, min_size=1, max_size=6), st.sampled_from(("", "i", "s")))
@example("xT", ["xT\u0308"], "")
@example("(?i:s)k", ["\u017fk", "\u212as"], "")
@example("ab+c", ["abbc"], "")
@example("a\\?", ["a\ud800"], "")
def test_what_an_expression_requires_is_in_every_match(pattern: str, searched: list[str], flags: str) -> None:
    """A text that the expression matches contains one of its required texts as the index looks for it: folded, or as it is written."""
    try:
        search = regex(pattern, flags).search
    except re2.error:
        assume(False)
    words = required(composed(pattern))
    check = searcher(pattern, flags)
    for text in searched:
        found = search(searchable(text)) is not None
        assert check(text) == found
        if found and words:
            written = composed(text).translate(indexing._PLAIN)
            assert any(word in fold(text) or word in written for word in words), (words, text)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("abc", {"abc"}),
        ("(foo|bar)x", {"foo", "bar"}),
        ("ab+c", {"bc"}),
        ("(?i)Invoke-", {"invoke-"}),
        ("\\.[ \"']{1}x", {". x", '."x', ".'x"}),
        ("(?:abc){2,}", {"abc"}),
        ("[0-9]{4}", None),
        ("(abc)?d", None),
        ("ab?", None),
        ("abx{0,2}", {"ab"}),
        ("a|", None),
        ("x*", None),
        ("\\x41bc", None),
        ("\\Qabc\\E", None),
        ("(" * 3_000 + "abc" + ")" * 3_000, None),
    ],
)
def test_required_texts(pattern: str, words: set[str] | None) -> None:
    """Literals, alternatives and small classes are read; what is not certain, or nested too deep, gives nothing."""
    found = required(pattern)
    assert (set(found) if found else None) == words


@pytest.mark.parametrize(
    ("pattern", "least"),
    [
        ("", 0),
        ("abc", 3),
        ("^[A-Za-z0-9_=+-]{30,63}\\.", 31),
        ("(?:^|\\.)[a-z^$]{45,63}\\.", 46),
        ("a|bc", 1),
        ("(ab)?c{3}", 3),
        ("\\bfoo\\d+\\z", 4),
        ("(?i)abc", 3),
        ("(?i:ab)c", 3),
        ("x{0,4}(a|bb){2,}", 2),
        ("a*b+?.", 2),
        ("lừa", 3),
        ("\\pL{4}", 0),
        ("(" * 3_000 + "abc" + ")" * 3_000, 0),
    ],
)
def test_fewest_characters(pattern: str, least: int) -> None:
    """Classes, repetitions and alternatives are counted, borders are not; what is not read to its end needs nothing."""
    assert fewest(pattern) == least


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.sampled_from(("10.0.0.0/8", "172.16.0.0/12", "0.0.0.0/0", "203.0.113.7/32", "fc00::/7", "::/0", "::ffff:0:0/96")), min_size=1, max_size=4),
    st.lists(st.one_of(st.ip_addresses().map(str), st.text("0123456789.:%af /x\0", max_size=24), st.sampled_from(ADDRESSES)), min_size=1, max_size=6),
    st.sampled_from(("", " ", "%eth0", ".", "\0", "\ud800", "٣", "x" * 60)),
)
@example(["10.0.0.0/8"], ["10.0.0.01", "010.0.0.1", "10.1", "0x0a.0.0.1", "10.0.0.1\n", "10.٣.0.1"], "")
def test_addresses_in_any_spelling(networks: list[str], written: list[str], tail: str) -> None:
    """What the fast path takes for an address, and where it finds it, is what the naive matcher says, also when asked again."""
    condition = Or(tuple(Leaf("source.ip", "cidr", network) for network in networks))
    predicate = compile_condition(condition)
    for text in (*written, *(text + tail for text in written), *(tail + text for text in written), *written):
        doc = {"source.ip": text}
        assert predicate(doc.get, doc) == matches(condition, doc), text


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 6), st.sampled_from((5.0, 5.5, 2**70, -1))), min_size=2, max_size=5), values)
@example([1, 5], True)
@example([0, 5], "05")
@example([0, 5], ["x", "5.0"])
def test_alternatives_among_numbers(numbers: list[int | float], value: Any) -> None:
    """Numbers that stand side by side are asked at once, and mean what they mean one by one."""
    condition = Or(tuple(Leaf("event.code", "number", number) for number in numbers))
    doc = {"event.code": value}
    assert compile_condition(condition)(doc.get, doc) == matches(condition, doc)


# --- size --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", ["", " CMD.exe", " lừa đảo", "\ud800"])
def test_a_megabyte_in_one_value(tail: str) -> None:
    """A long value is matched as any other, by text, expression and keyword, and is not kept."""
    rules: list[Node] = [
        Leaf("user.name", "contains", "aaab"),
        Leaf("user.name", "endswith", "cmd.exe"),
        Leaf("user.name", "contains", "lừa đảo"),
        Leaf("user.name", "re", "b+ *(?i)cmd"),
        Leaf("", "contains", "aaabbb"),
        And((Leaf("user.name", "startswith", "aaaa"), Not(Leaf("user.name", "contains", "cmd.")))),
        Leaf("user.name", "contains", "nothing of it"),
    ]
    doc = {"user.name": "a" * 700_000 + "b" * 300_000 + tail}
    engine = compile_ruleset(RuleSet(tuple(Rule(f"r{number}", "t", "low", ANYTHING, rule, "h") for number, rule in enumerate(rules)), "", ecs=False))
    for _ in range(3):
        assert engine.classify(doc).matches == tuple(number for number, rule in enumerate(rules) if matches(rule, doc))
    (index,) = engine._indices.values()
    assert all(not isinstance(value, str) or len(value) <= indexing.MOST_VALUE for _, table in index.tables for value in table)


def test_the_rules_asked_always_are_told() -> None:
    """What needs nothing rare is named once its route is in use."""
    rules = (
        Rule("r1", "t", "low", ANYTHING, Or((Leaf("a", "null"), Leaf("b", "equals", "x"))), "h"),
        Rule("r2", "t", "low", ANYTHING, Leaf("b", "equals", "x"), "h"),
    )
    engine = compile_ruleset(RuleSet(rules, "", ecs=False))
    assert engine.residual() == ()
    engine.classify({"b": "y", "a": "1"})
    assert [rule.id for rule in engine.residual()] == ["r1"]
    engine.forget()
    assert engine.classify({"b": "x", "a": "1"}).matches == (0, 1)
