from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec

from soc.rules.ast import Leaf, LogSource, Node, Rule
from soc.rules.collection import load_collection
from soc.rules.cost import residual_costs
from soc.rules.lint import BUDGET, RESIDUAL_COST, Severity, attack_tags, lint, lint_collection, lint_rule
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
    assert names(rule(tags=("attack.t1566.099",))) == {"newer-attack-tag"}
    assert names(rule(tags=("attack.t1562.004",))) == {"revoked-attack-tag"}
    assert names(rule(tags=("attack.defense-evasion",))) == {"former-attack-tactic"}
    assert names(rule(id="x")) == {"no-uuid"}


def test_the_shipped_list_of_techniques() -> None:
    """Tactics, techniques and sub-techniques are there."""
    assert {"attack.initial-access", "attack.t1190", "attack.t1566.002"} <= attack_tags()


def test_issues_of_a_set_come_in_order_of_place() -> None:
    """By path and line."""
    issues = lint(make_ruleset([rule(path="b.yml", references=()), rule(path="a.yml", id=ID[:-1] + "2", unmapped=(), tags=())]))
    assert [(issue.path, issue.severity) for issue in issues] == [("a.yml", Severity.NOTE), ("b.yml", Severity.NOTE)]


DETECTION = """title: Failed
name: failed
id: 11111111-0000-4000-8000-000000000001
logsource: {{{source}}}
detection: {{sel: {{event.action: x, {field}: a}}, condition: sel}}
---
"""
CORRELATION = """title: Burst
id: 11111111-0000-4000-8000-000000000002
correlation: {{type: event_count, rules: [failed], timespan: 60s, condition: {{gte: 3}}, {more}}}
---
"""
FILTER = """title: Exception
id: 11111111-0000-4000-8000-000000000003
logsource: {{category: firewall}}
filter: {{rules: [failed], sel: {{source.ip: 10.0.0.1}}, condition: {condition}}}
"""


def of_collection(
    folder: Path, *, source: str = "category: firewall", field: str = "rule.name", more: str = "group-by: [source.ip]", condition: str = "not sel"
) -> set[str]:
    """The issues of a correlation and a filter, by name, without those of form."""
    (folder / "r.yml").write_text(
        DETECTION.format(source=source, field=field) + CORRELATION.format(more=more) + FILTER.format(condition=condition), encoding="utf-8"
    )
    collection, errors, _ = load_collection([folder])
    assert errors == []
    form = {"no-references", "no-triage", "no-falsepositives", "no-attack-tags"}
    own = {"11111111-0000-4000-8000-000000000002", "11111111-0000-4000-8000-000000000003"}
    return {issue.name for issue in lint_collection(collection) if issue.rule in own} - form


def test_issues_of_correlations_and_filters(tmp_path: Path) -> None:
    """What makes a correlation blind, boundless or needless; a filter that restricts where an exception was meant."""
    assert of_collection(tmp_path) == set()
    assert of_collection(tmp_path, more="group-by: [nobody]") == {"unmapped-field"}
    assert of_collection(tmp_path, more="group-by: [ip], aliases: {ip: {failed: src_ip}}") == set()
    assert of_collection(tmp_path, more="generate: true") == {"no-group-by"}
    assert of_collection(tmp_path, source="product: windows", more="group-by: [source.ip]") == {"no-events"}
    assert of_collection(tmp_path, field="nobody") == {"no-events"}
    assert of_collection(tmp_path, condition="sel") == {"restricting-filter"}


def test_windows_that_are_long_and_conditions_of_one_event(tmp_path: Path) -> None:
    """Each is noted."""
    text = DETECTION.format(source="category: firewall", field="rule.name") + CORRELATION.format(more="group-by: [source.ip]")
    (tmp_path / "r.yml").write_text(text.replace("60s", "30d").replace("gte: 3", "gte: 1"), encoding="utf-8")
    found = {issue.name for issue in lint_collection(load_collection([tmp_path])[0])}
    assert {"long-timespan", "single-event"} <= found


def test_residual_rules_are_named_with_cost_and_budget() -> None:
    """A measured cost in the text; more of them than a log source may have is an issue of its own."""
    slow = [rule(Leaf("message", "re", "x.*y.?"), id=f"{ID[:-2]}{number:02}") for number in range(BUDGET // RESIDUAL_COST + 1)]
    ruleset = make_ruleset(slow)
    costs = residual_costs(ruleset, time.thread_time)
    assert len(costs) == len(slow)
    assert all(0 < cost < 10_000 for cost in costs.values())
    (issue,) = (one for one in lint_rule(ruleset.rules[0], 12.34) if one.name == "residual")
    assert "measured 12.3 µs" in issue.text
    assert f"{RESIDUAL_COST} rules" in issue.text
    from soc.rules.collection import Collection

    assert [one.name for one in lint_collection(Collection(ruleset), costs)].count("residual-budget") == 1
    assert "residual-budget" not in [one.name for one in lint_collection(Collection(make_ruleset(slow[1:])))]


def test_a_rule_that_makes_no_alerts_needs_no_words_for_analysts(tmp_path: Path) -> None:
    """What a correlation is made of has no triage text; the correlation must have one."""
    base = f"title: D\nname: d\nid: {ID}\nlogsource: {{category: firewall}}\ndetection: {{sel: {{event.action: deny}}, condition: sel}}\n"
    correlation = "title: C\nid: 00000000-0000-4000-8000-000000000002\ncorrelation: {type: event_count, rules: [d], group-by: [source.ip], timespan: 1m, condition: {gte: 2}}\n"
    (tmp_path / "both.yml").write_text(base + "---\n" + correlation, encoding="utf-8")
    found = {(issue.rule, issue.name) for issue in lint_collection(load_collection([tmp_path])[0])}
    assert ("00000000-0000-4000-8000-000000000002", "no-triage") in found
    assert not any(rule_id == ID and name.startswith("no-") for rule_id, name in found)
