from __future__ import annotations

import pytest

from soc.errors import RuleSyntaxError
from soc.rules.ast import ANY_ONE, STAR, And, Leaf, LogSource, Not, Or, Rule
from soc.rules.documents import Document, read
from soc.rules.sigma import read_rule

RULE = """
title: Example
id: 6F0D5A0E-3C5B-4C0F-9A54-0A7A2D1F7A01
name: example
status: test
description: what it finds
author: somebody
date: 2026/11/21
references: [https://example.com]
tags: [attack.t1190]
falsepositives: [none known]
logsource: {category: Firewall, product: fortinet, definition: any, vendor: acme, tier: 2}
detection:
    a:
        f|contains|all: [x, 'y?z*']
        g: [1, two, null]
    b:
        - h|cidr: 10.0.0.0/8
        - i|re|i: ^x
    condition: a and not b
level: high
custom: {whatever: 1}
soc: {group_by: [source.ip], triage: {vi: một, en: one}}
"""


def rule() -> Rule:
    """The rule of the example."""
    (document,) = read("x.yml", RULE.encode())
    assert isinstance(document, Document)
    return read_rule(document)


def test_the_facts_of_a_rule() -> None:
    """Every fact is there, the id in its usual spelling, log source in lower case, missing level informational."""
    found = rule()
    assert (found.id, found.title, found.level) == ("6f0d5a0e-3c5b-4c0f-9a54-0a7a2d1f7a01", "Example", "high")
    assert found.logsource == LogSource("firewall", "fortinet")
    assert (found.tags, found.references, found.falsepositives) == (("attack.t1190",), ("https://example.com",), ("none known",))
    assert (found.group_by, found.triage, found.line) == (("source.ip",), {"vi": "một", "en": "one"}, 2)
    (document,) = read("x.yml", RULE.replace("level: high\n", "").encode())
    assert isinstance(document, Document)
    assert read_rule(document).level == "informational"


def test_the_tree_of_a_rule() -> None:
    """Modifiers, lists and the condition as plain data, each test in its plainest form."""
    assert rule().condition == And(
        (
            And(
                (
                    And((Leaf("f", "contains", "x"), Leaf("f", "like", "*y?z*", parts=(STAR, "y", ANY_ONE, "z", STAR)))),
                    Or((Leaf("g", "number", 1), Leaf("g", "equals", "two"), Leaf("g", "null"))),
                )
            ),
            Not(Or((Leaf("h", "cidr", "10.0.0.0/8"), Leaf("i", "re", "^x", flags="i")))),
        )
    )


def test_the_hash_follows_the_text() -> None:
    """Another character is another hash; the file around the document is not in it."""
    (one,) = read("x.yml", RULE.encode())
    two, _ = read("y.yml", ("---\n" + RULE + "---\ntitle: other\n").encode())
    (three,) = read("x.yml", RULE.replace("[1,", "[2,").encode())
    assert isinstance(one, Document)
    assert isinstance(two, Document)
    assert isinstance(three, Document)
    assert read_rule(one).hash == read_rule(two).hash != read_rule(three).hash


def test_the_hash_follows_the_value_lists_that_the_rule_uses() -> None:
    """A list decides what a rule says: with another one it is another rule, whatever other lists there are."""
    text = "title: t\nid: x\nlogsource: {category: firewall}\ndetection: {s: {user|expand: '%admins%'}, condition: s}\n"
    [document] = read("r.yml", text.encode())
    assert isinstance(document, Document)
    first, other = read_rule(document, {"admins": ["root"], "beside": ["1"]}), read_rule(document, {"admins": ["root", "an"]})
    assert first.hash == read_rule(document, {"admins": ["root"], "beside": ["2"]}).hash != other.hash
    assert (first.lists, first.id) == (("admins",), other.id)


def test_the_title_in_vietnamese_is_kept_beside_the_shared_one() -> None:
    """`soc.title.vi` is the title that Vietnamese readers get; anything but a text is refused."""
    text = RULE.replace("soc: {", "soc: {title: {vi: Máy bên trong quét mạng}, ")
    (document,) = read("r.yml", text.encode())
    assert isinstance(document, Document)
    assert read_rule(document).title_vi == "Máy bên trong quét mạng"
    (wrong,) = read("r.yml", text.replace("vi: Máy bên trong quét mạng", "vi: [1]").encode())
    assert isinstance(wrong, Document)
    with pytest.raises(RuleSyntaxError, match=r"soc\.title"):
        read_rule(wrong)
