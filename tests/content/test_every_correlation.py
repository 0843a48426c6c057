from __future__ import annotations

from functools import cache
from pathlib import Path
from uuid import UUID

import pytest
from sigma.collection import SigmaCollection

import soc.rules
from soc.rules.ast import Rule
from soc.rules.collection import Collection, load_collection
from soc.rules.correlation import Correlation
from soc.rules.lint import Severity, attack_tags, lint_collection
from soc.rules.testing import cases_file, meant_by, read_cases, run_correlation

CONTENT = Path(soc.rules.__file__).parent / "content"
FOLDER = CONTENT / "correlation"
FILES = sorted(path for path in FOLDER.glob("*.yml") if not path.name.endswith(".test.yml"))
FEWEST = 25
PRIVATE = ("observer.name", "host.name")
"""Fields that tell two computers with the same private address apart."""


@cache
def everything() -> Collection:
    """All shipped rules."""
    collection, errors, notes = load_collection([CONTENT])
    assert errors == []
    assert notes == []
    return collection


def of_file(path: Path) -> list[Rule | Correlation]:
    """What a file holds."""
    every: list[Rule | Correlation] = [*everything().ruleset.rules, *everything().correlations]
    return [rule for rule in every if rule.path == str(path)]


def told(path: Path) -> Correlation:
    """The correlation of a file that makes alerts; the others are what it is made of."""
    (rule,) = (rule for rule in of_file(path) if isinstance(rule, Correlation) and rule.id not in everything().silent)
    return rule


def by_name(path: Path) -> str:
    """The test id of a rule file."""
    return path.stem


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_the_cases_beside_the_correlation_hold(path: Path) -> None:
    """Every case gives what it expects, in several orders of its events and on the naive oracle; there is a match and a near miss."""
    rules, rule = of_file(path), told(path)
    cases = read_cases(cases_file(path))
    assert [case.name for case in cases if meant_by(case, rules) != [rule]] == []
    results = [run_correlation(rule, case, everything()) for case in cases]
    assert [(result.case, result.reason) for result in results if not result.passed] == []
    assert {result.matched for result in results} == {True, False}
    assert len({result.case for result in results}) == len(results)


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_the_correlation_is_complete(path: Path) -> None:
    """What people need to act; names and ids of one's own; what it is made of makes no alerts."""
    rule = told(path)
    assert rule.name == path.stem
    assert rule.title_vi
    assert set(rule.triage) == {"vi", "en"}
    assert rule.triage["vi"] != rule.triage["en"]
    assert min(len(text) for text in rule.triage.values()) > 40
    assert rule.falsepositives
    assert rule.references
    assert rule.level in {"low", "medium", "high", "critical"}
    assert any(tag.startswith("attack.t") for tag in rule.tags)
    assert set(rule.tags) <= attack_tags()
    for part in of_file(path):
        assert UUID(part.id).version == 4
        assert part.title
        assert part.description
        assert part.author
        assert part.date
        assert part.status == "stable"
        assert part is rule or (part.id in everything().silent and part.level == "informational")


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_private_addresses_of_two_offices_are_not_mixed(path: Path) -> None:
    """Who groups or counts by an address of inside computers also groups or counts by the device that saw it."""
    rule = told(path)
    members = {one.id: one for one in everything().ruleset.rules}
    inside = [member for member in rule.rules if member in members and "inside" in str(members[member].title).casefold()]
    addresses = {"source.ip", "destination.ip"} & {*rule.group_by, *rule.fields}
    if inside and addresses:
        assert set(PRIVATE) & {*rule.group_by, *rule.fields}


def test_lint_has_no_errors_and_no_warnings() -> None:
    """Nothing but that some bases are asked of every event of their log source."""
    parts = {rule.id for path in FILES for rule in of_file(path)}
    issues = [issue for issue in lint_collection(everything()) if issue.rule in parts and issue.severity is not Severity.NOTE]
    assert [(issue.path, issue.text) for issue in issues if issue.name != "residual"] == []


def test_there_are_correlations_of_every_kind() -> None:
    """At least 25, for firewall, VPN, DNS, web, malware, administration and mail, with every type that content needs."""
    rules = [told(path) for path in FILES]
    assert len(rules) >= FEWEST
    beginnings = {"net_scan": 4, "net_dns": 4, "vpn_": 5, "net_admin": 3, "web_": 3, "net_virus": 2, "endpoint_": 2, "mail_": 15, "net_beacon": 2}
    counts = {beginning: sum(path.stem.startswith(beginning) for path in FILES) for beginning in beginnings}
    assert {name: count for name, count in counts.items() if count < beginnings[name]} == {}
    assert {rule.type for rule in rules} >= {"event_count", "value_count", "temporal_ordered", "value_sum"}
    assert len({rule.title for rule in rules}) == len(rules)
    assert any(rule.by_time for rule in rules)


def test_the_reference_implementation_reads_them() -> None:
    """pySigma parses every file and resolves every reference: the rules can be used elsewhere."""
    collection = SigmaCollection.from_yaml("\n---\n".join(path.read_text(encoding="utf-8") for path in FILES), collect_errors=True)
    collection.resolve_rule_references()
    assert collection.errors == []
    assert len(collection.rules) == sum(len(of_file(path)) for path in FILES)
