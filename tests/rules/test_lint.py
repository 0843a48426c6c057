from __future__ import annotations

from typing import Any

import msgspec

from soc.rules.ast import Leaf, LogSource, Node, Rule
from soc.rules.lint import Severity, attack_tags, lint, lint_rule
from soc.rules.load import make_ruleset

ID = "00000000-0000-4000-8000-000000000001"


GOOD = Rule(
    ID,
    "t",
    "low",
    LogSource(category="firewall"),
    Leaf("event.action", "equals", "deny"),
    "h",
    references=("https://example.com",),
    falsepositives=("some",),
    tags=("attack.t1190",),
    triage={"vi": "a", "en": "b"},
)


def rule(condition: Node = GOOD.condition, **facts: Any) -> Rule:
    """A rule that lint has nothing against, but for what is given."""
    return msgspec.structs.replace(GOOD, condition=condition, **facts)


def names(found: Rule) -> set[str]:
    """The issues of a rule by name."""
    return {issue.name for issue in lint_rule(found)}


def test_a_good_rule_has_no_issues() -> None:
    """Nothing to say."""
    assert names(rule()) == set()


def test_each_issue_is_found() -> None:
    """One fault, one issue."""
    assert names(rule(logsource=LogSource(product="windows"))) == {"no-events"}
    assert names(rule(unmapped=("NoSuch",))) == {"unmapped-field"}
    assert names(rule(Leaf("message", "contains", "x"))) == {"residual"}
    assert names(rule(Leaf("message", "contains", ""))) == {"residual", "matches-anything"}
    assert names(rule(references=())) == {"no-references"}
    assert names(rule(triage={"vi": "a"})) == {"no-triage"}
    assert names(rule(falsepositives=())) == {"no-falsepositives"}
    assert names(rule(tags=())) == {"no-attack-tags"}
    assert names(rule(tags=("attack.t9999",))) == {"unknown-attack-tag"}
    assert names(rule(id="x")) == {"no-uuid"}


def test_the_shipped_list_of_techniques() -> None:
    """Tactics, techniques and sub-techniques are there."""
    assert {"attack.initial-access", "attack.t1190", "attack.t1566.002"} <= attack_tags()


def test_issues_of_a_set_come_in_order_of_place() -> None:
    """By path and line."""
    issues = lint(make_ruleset([rule(path="b.yml", references=()), rule(path="a.yml", id=ID[:-1] + "2", unmapped=(), tags=())]))
    assert [(issue.path, issue.severity) for issue in issues] == [("a.yml", Severity.NOTE), ("b.yml", Severity.NOTE)]
