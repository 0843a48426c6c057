from __future__ import annotations

from pathlib import Path

import pytest

from soc.errors import ConfigError, RuleSyntaxError
from soc.rules.testing import cases_file, read_cases, run_tests
from tests.rules.test_load import good, put

DENY = "{soc.kind: firewall, event.action: deny}"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule cache of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def reasons(folder: Path) -> list[str]:
    """Why cases failed."""
    return [result.reason for result in run_tests(folder) if not result.passed]


def test_cases_pass_and_fail_with_a_reason(tmp_path: Path) -> None:
    """Counts, levels, classes and log sources are compared; each failure says what was expected and what came."""
    put(tmp_path / "r", "a.yml", good(1))
    cases = (
        f"- {{name: hit, events: [{DENY}], expect: {{alerts: 1, level: informational}}}}\n"
        f"- {{name: twice, events: {{repeat: 3, every: 2s, base: {DENY}}}, expect: {{alerts: 3}}}}\n"
        f"- {{name: wrong count, events: [{DENY}], expect: {{alerts: 0}}}}\n"
        f"- {{name: wrong level, events: [{DENY}], expect: {{alerts: 1, level: high}}}}\n"
        "- {name: elsewhere, events: [{soc.kind: mail, event.action: deny}], expect: {alerts: 1}}\n"
        f"- {{name: class, events: [{DENY}], expect: {{threat: high}}}}\n"
        f"- {{name: nothing, events: [{DENY}], expect: {{}}}}\n"
    )
    put(tmp_path / "r", "a.test.yml", cases)
    found = reasons(tmp_path / "r")
    assert found[0] == "expected 0 alerts, got 1"
    assert found[1] == "expected the level high, the rule has informational"
    assert "does not have the event" in found[2]
    assert found[3] == "expected the class ('high', ''), got ('none', '')"
    assert "expects nothing" in found[4]
    assert len(found) == 5


def test_missing_and_orphaned_test_files_fail(tmp_path: Path) -> None:
    """A rule without tests, tests without a rule, an unreadable rule: each is a failed result."""
    put(tmp_path / "r", "a.yml", good(1))
    put(tmp_path / "r", "b.test.yml", "[]\n")
    put(tmp_path / "r", "c.yml", "title: [\n")
    found = " ".join(reasons(tmp_path / "r"))
    assert "there is no a.test.yml" in found
    assert "no rule beside" in found
    assert "cannot be read" in found
    assert {result.path for result in run_tests(tmp_path / "r" / "a.yml")} >= {str(tmp_path / "r" / "a.yml")}


def test_repeated_events_are_spaced_in_time(tmp_path: Path) -> None:
    """`repeat` and `every` give the same event at growing times."""
    path = put(
        tmp_path, "a.test.yml", '- {name: n, events: {repeat: 3, every: 2m, base: {"@timestamp": "2026-11-20T02:00:00Z", a: {b: 1}}}, expect: {alerts: 0}}\n'
    )
    (case,) = read_cases(path)
    assert [doc["@timestamp"] for doc in case.docs] == ["2026-11-20T02:00:00.000Z", "2026-11-20T02:02:00.000Z", "2026-11-20T02:04:00.000Z"]
    assert case.docs[0]["a.b"] == 1


def test_raw_lines_go_through_the_given_parser(tmp_path: Path) -> None:
    """A case with `lines` needs a parser, and gets its events."""
    path = put(tmp_path, "a.test.yml", "- {name: n, lines: {product: p, raw: [one, two]}, expect: {alerts: 0}}\n")
    assert [doc for case in read_cases(path, lambda product, raw: {product: raw}) for doc in case.docs] == [{"p": "one"}, {"p": "two"}]
    with pytest.raises(ConfigError, match="no parser"):
        read_cases(path)


@pytest.mark.parametrize(
    "text",
    [
        "a: b\n",
        "- {name: n}\n",
        "- [\n",
        "- {name: n, expect: {}}\n",
        "- {name: n, events: {repeat: 0}, expect: {}}\n",
        "- {name: n, events: {repeat: 2, every: soon}, expect: {}}\n",
        "- {name: n, events: [{at: soon}], expect: {}}\n",
        "- {name: n, events: [{a: 1}], expects: {}, expect: {}}\n",
        "- {name: n, events: [1], expect: {}}\n",
        "- {name: n, events: {repeat: 2, vary: {a: []}}, expect: {}}\n",
        "- {name: n, events: [{a: 1}], until: soon, expect: {}}\n",
    ],
)
def test_a_broken_test_file_says_so(tmp_path: Path, text: str) -> None:
    """Each is a rule error with the file's name."""
    with pytest.raises(RuleSyntaxError, match=r"a\.test\.yml"):
        read_cases(put(tmp_path, "a.test.yml", text))


BURST = """title: Failed
name: failed
id: 11111111-0000-4000-8000-000000000001
logsource: {category: firewall}
detection: {sel: {action: failed}, condition: sel}
level: low
---
title: Burst
name: burst
id: 11111111-0000-4000-8000-000000000002
level: high
correlation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 60s, condition: {gte: 3}}
---
title: Silence
name: silence
id: 11111111-0000-4000-8000-000000000003
level: low
correlation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 10m, condition: {eq: 0}}
"""
FAILED = "base: {soc.kind: firewall, event.action: failed, user.name: an}"
BURST_CASES = {
    "any order": (f"rule: burst, {FAILED}, events: [{{at: 20s}}, {{at: 0}}, {{at: 10}}], expect: {{alerts: 1, level: high}}", ""),
    "episodes": (
        f"rule: burst, {FAILED}, events: [{{at: 20}}, {{at: 0}}, {{at: 10}}], expect: {{alerts: [{{events: [1, 2, 3], group: {{user.name: an}}}}]}}",
        "",
    ),
    "the window is closed": (f"rule: burst, {FAILED}, events: {{repeat: 3, every: 30s}}, expect: {{alerts: 1}}", ""),
    "too slow": (f"rule: burst, {FAILED}, events: {{repeat: 3, every: 30.5s}}, expect: {{alerts: 0}}", ""),
    "too slow and wrongly expected": (f"rule: burst, {FAILED}, events: {{repeat: 3, every: 31s}}, expect: {{alerts: 1}}", "expected 1 alerts, got 0"),
    "not these events": (f"rule: burst, {FAILED}, events: {{repeat: 3, every: 1s}}, expect: {{alerts: [{{events: [1, 2]}}]}}", "expected an alert of"),
    "another group": (f"rule: burst, {FAILED}, events: {{repeat: 3, every: 1s}}, expect: {{alerts: [{{group: {{user.name: bo}}}}]}}", "expected an alert of"),
    "one too many": (f"rule: burst, {FAILED}, events: {{repeat: 3, every: 1s}}, expect: {{alerts: []}}", "not expected"),
    "several users": (f"rule: burst, {FAILED}, events: [{{repeat: 6, every: 1s, vary: {{user.name: [an, bo]}}}}], expect: {{alerts: 2}}", ""),
    "numbered users": (f'rule: burst, {FAILED}, events: [{{repeat: 9, every: 1s, vary: {{user.name: "u{{n}}"}}}}], expect: {{alerts: 0}}', ""),
    "silence": (f"rule: silence, {FAILED}, events: [{{at: 0}}], until: 11m, expect: {{alerts: 1}}", ""),
    "no silence yet": (f"rule: silence, {FAILED}, events: [{{at: 0}}], until: 10m, expect: {{alerts: 0}}", ""),
    "elsewhere": (f"rule: burst, {FAILED}, events: [{{repeat: 3, every: 1s, base: {{soc.kind: mail}}}}], expect: {{alerts: 1}}", "do not have the events"),
    "without time": (f"rule: burst, {FAILED}, events: [{{user.name: an}}], expect: {{alerts: 0}}", "event 1 has no @timestamp"),
    "wrong level": (f"rule: burst, {FAILED}, events: [{{at: 0}}], expect: {{alerts: 0, level: low}}", "expected the level low"),
    "expects nothing": (f"rule: burst, {FAILED}, events: [{{at: 0}}], expect: {{}}", "expects nothing"),
    "no such rule": (f"rule: other, {FAILED}, events: [{{at: 0}}], expect: {{alerts: 0}}", "no rule 'other'"),
    "the member by itself": (f"rule: failed, {FAILED}, events: [{{at: 0}}, {{at: 1}}], expect: {{alerts: 2}}", ""),
}


@pytest.mark.parametrize("name", BURST_CASES)
def test_cases_of_correlations(tmp_path: Path, name: str) -> None:
    """A case stands for a correlation as for a detection: times by `at`, episodes by number or in full, silence by `until`."""
    put(tmp_path, "a.yml", BURST)
    case, reason = BURST_CASES[name]
    put(tmp_path, "a.test.yml", f"- {{name: {name}, {case}}}\n")
    (result,) = run_tests(tmp_path)
    assert (reason in result.reason) if reason else result.passed, result.reason


def test_a_case_is_about_the_correlations_that_no_other_uses(tmp_path: Path) -> None:
    """Without `rule` the members of a correlation are not asked by themselves."""
    put(tmp_path, "a.yml", BURST.partition("---\ntitle: Silence")[0])
    put(tmp_path, "a.test.yml", f"- {{name: n, {FAILED}, events: {{repeat: 3, every: 1s}}, expect: {{alerts: 1}}}}\n")
    (result,) = run_tests(tmp_path)
    assert (result.rule, result.passed) == ("11111111-0000-4000-8000-000000000002", True)


def test_a_correlation_may_name_rules_of_a_library(tmp_path: Path) -> None:
    """Rules that stand elsewhere are found there; their own tests are not run."""
    first, second, _ = BURST.split("---\n")
    put(tmp_path / "lib", "failed.yml", first)
    put(tmp_path / "own", "burst.yml", second)
    put(tmp_path / "own", "burst.test.yml", f"- {{name: n, {FAILED}, events: {{repeat: 3, every: 1s}}, expect: {{alerts: 1}}}}\n")
    assert [result.passed for result in run_tests(tmp_path / "own", library=[tmp_path / "lib"])] == [True]
    assert "no rule with the id or name" in reasons(tmp_path / "own")[0]


def test_test_files_are_found_from_themselves(tmp_path: Path) -> None:
    """`soc rules test a.test.yml` is `soc rules test a.yml`."""
    put(tmp_path, "a.yml", good(1))
    put(tmp_path, "a.test.yml", f"- {{name: hit, events: [{DENY}], expect: {{alerts: 1}}}}\n")
    assert [result.case for result in run_tests(tmp_path / "a.test.yml")] == ["hit"]
    assert cases_file(Path("x/net.yml")) == Path("x/net.test.yml")
