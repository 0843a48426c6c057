from __future__ import annotations

from functools import cache
from pathlib import Path
from uuid import UUID

import pytest

import soc.rules
from soc.ingest.framing import decode, frame
from soc.ingest.parser import Context
from soc.ingest.registry import installed
from soc.model.event import Doc
from soc.model.level import CATEGORIES, THREAT_LEVELS
from soc.rules.ast import Rule
from soc.rules.engine import Engine, compile_ruleset
from soc.rules.lint import Severity, attack_tags, lint_rule
from soc.rules.load import RuleSet, load_paths
from soc.rules.match import matches
from soc.rules.mutation import median, weaker
from soc.rules.testing import Result, cases_file, mutation_scores, read_cases, run_case, run_tests

CONTENT = Path(soc.rules.__file__).parent / "content"
EVERY_FILE = sorted(path for path in CONTENT.rglob("*.yml") if not path.name.endswith(".test.yml"))
FILES = [path for path in EVERY_FILE if path.parent.name != "correlation"]
"""One rule each; the folder `correlation` has its own test."""
LEAST_MEDIAN = 0.9
RECEIVED_US = 1_795_137_600_000_000


@cache
def everything() -> tuple[RuleSet, Engine]:
    """All shipped rules, compiled."""
    ruleset, errors = load_paths([CONTENT])
    assert not errors
    return ruleset, compile_ruleset(ruleset)


def rule_of(path: Path) -> Rule:
    """The one rule of a file."""
    (rule,) = (rule for rule in everything()[0].rules if rule.path == str(path))
    return rule


def parse(product: str, raw: str) -> Doc:
    """The event that the pipeline would show the rules for a raw line."""
    text, _ = decode(raw.encode())
    parser = installed().get(product)
    parsed = parser.parse(frame(text), Context(RECEIVED_US))
    assert not parsed.error
    return {**parsed.doc, "soc.kind": parser.kind, "event.original": text}


def by_name(path: Path) -> str:
    """The test id of a rule file."""
    return path.stem


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_the_cases_beside_the_rule_hold(path: Path) -> None:
    """Every case gives what it expects, on the naive and the fast matcher; there is a match and a near miss."""
    rule, (_, engine) = rule_of(path), everything()
    results = [run_case(rule, case, engine) for case in read_cases(cases_file(path), parse)]
    assert [result.reason for result in results if not result.passed] == []
    assert {result.matched for result in results} == {True, False}
    assert len({result.case for result in results}) == len(results)


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_each_part_of_the_rule_is_shown_to_be_needed(path: Path) -> None:
    """Leaving out any part of the condition makes a case fail."""
    rule = rule_of(path)
    cases = read_cases(cases_file(path), parse)
    truth = [[matches(rule.condition, doc) for doc in case.docs] for case in cases]
    survivors = [name for name, mutant in weaker(rule.condition) if [[matches(mutant, doc) for doc in case.docs] for case in cases] == truth]
    assert survivors == []


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_the_rule_is_complete(path: Path) -> None:
    """Title, own UUID, author, date, references, and nothing that lint calls an error or warning; what people need to act."""
    rule = rule_of(path)
    assert str(UUID(rule.id)) == rule.id
    assert UUID(rule.id).version == 4
    assert rule.title
    assert rule.description
    assert rule.author
    assert rule.date
    assert rule.references
    assert rule.status in {"stable", "test", "experimental"}
    issues = list(lint_rule(rule))
    assert [issue for issue in issues if issue.severity is Severity.ERROR] == []
    assert [issue for issue in issues if issue.severity is Severity.WARNING and issue.name != "residual"] == []
    if rule.classify:
        assert path.parent.name == "classification"
        assert rule.classify.level in THREAT_LEVELS
        assert rule.classify.category in CATEGORIES
        return
    assert path.stem.startswith({"firewall": "net_firewall_", "mail": "mail_"}[path.parent.name])
    assert set(rule.triage) == {"vi", "en"}
    assert rule.triage["vi"] != rule.triage["en"]
    assert min(len(text) for text in rule.triage.values()) > 40
    assert rule.falsepositives
    assert any(tag in attack_tags() for tag in rule.tags)
    assert set(rule.tags) <= attack_tags()


def test_the_tests_notice_most_small_mistakes() -> None:
    """In the middle at least 0.9 of the wrong versions of a rule fail a case of it, and every rule has a score."""
    scores = mutation_scores(CONTENT, parse=parse)
    assert [score.path for score in scores if score.reason] == []
    assert median(scores) >= LEAST_MEDIAN


def test_ids_and_titles_are_unique() -> None:
    """No two rules share an id or a title."""
    rules = everything()[0].rules
    assert len({rule.id for rule in rules}) == len(rules)
    assert len({rule.title for rule in rules}) == len(rules)


def test_there_are_rules_for_firewall_and_mail() -> None:
    """At least 120 detection rules are shipped, of both kinds."""
    kinds = [path.parent.name for path in FILES]
    assert kinds.count("firewall") >= 95
    assert kinds.count("mail") >= 25


def test_the_test_runner_agrees() -> None:
    """The library's own runner passes all shipped rules and finds no test file without rule."""
    results = run_tests(CONTENT, parse=parse)
    assert [result for result in results if not result.passed] == []
    assert {result.path for result in results} == {str(cases_file(path)) for path in EVERY_FILE}
    assert all(isinstance(result, Result) for result in results)
