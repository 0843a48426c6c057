"""What a reviewer would say about a rule that can be read: issues as typed objects with a severity."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from importlib.resources import files

import msgspec

from soc.rules.ast import Rule, leaves
from soc.rules.fields import has_events, taxonomy
from soc.rules.index import necessary
from soc.rules.load import RuleSet

# Reference: RFC 9562 section 4, text form.
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Severity(StrEnum):
    """How much an issue matters: an error keeps a rule from working, a warning costs something, a note is about form."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Issue(msgspec.Struct, frozen=True):
    """One finding about one rule; `name` is stable, `hint` says what to do."""

    name: str
    severity: Severity
    rule: str
    path: str
    line: int
    text: str
    hint: str = ""


@cache
def attack_tags() -> frozenset[str]:
    """The tags of MITRE ATT&CK (tactics and techniques) that rules may name. Source: `attack.txt`."""
    return frozenset(
        line.strip() for line in files("soc.rules").joinpath("attack.txt").read_text(encoding="utf-8").splitlines() if line.strip() and line[0] != "#"
    )


def lint(ruleset: RuleSet) -> list[Issue]:
    """The issues of all rules, in order of path and line."""
    return sorted((issue for rule in ruleset.rules for issue in lint_rule(rule)), key=lambda issue: (issue.path, issue.line, issue.name))


def lint_rule(rule: Rule) -> Iterator[Issue]:
    """The issues of one rule (with mapped fields)."""

    def issue(name: str, severity: Severity, text: str, hint: str = "") -> Issue:
        return Issue(name, severity, rule.id, rule.path, rule.line, text, hint)

    names = taxonomy()
    if not has_events(rule.logsource, names):
        yield issue(
            "no-events",
            Severity.ERROR,
            f"no source gives events of {rule.logsource}: the rule can never match",
            "see soc/rules/taxonomy.toml for the log sources there are",
        )
    for field in rule.unmapped:
        yield issue("unmapped-field", Severity.ERROR, f"no event has the field {field!r}", "name the ECS field, or add it to taxonomy.toml")
    if necessary(rule.condition, names) is None:
        yield issue(
            "residual",
            Severity.WARNING,
            "the rule needs no particular value of any field, so every event of its log source is asked in full",
            "add an exact value that every match has",
        )
    for leaf in leaves(rule.condition):
        if (leaf.test == "like" and leaf.parts == (0,)) or (leaf.test == "contains" and leaf.pattern == ""):
            yield issue(
                "matches-anything", Severity.WARNING, f"a test of {leaf.field or 'the text'!r} matches every value", "write `exists: true` when that is meant"
            )
    if not _UUID.fullmatch(rule.id):
        yield issue("no-uuid", Severity.NOTE, "the rule has no UUID", "give it one: rules are known by their id wherever they lie")
    if not rule.references:
        yield issue("no-references", Severity.NOTE, "there are no references")
    if rule.classify is None:
        if set(rule.triage) != {"vi", "en"}:
            yield issue("no-triage", Severity.NOTE, "there is no triage text in vi and en", "soc: {triage: {vi: …, en: …}}")
        if not rule.falsepositives:
            yield issue("no-falsepositives", Severity.NOTE, "there are no known false positives; each rule has some")
        if not any(tag.startswith("attack.") for tag in rule.tags):
            yield issue("no-attack-tags", Severity.NOTE, "there is no ATT&CK tag")
    for tag in rule.tags:
        if tag.startswith("attack.") and tag not in attack_tags():
            yield issue("unknown-attack-tag", Severity.WARNING, f"ATT&CK knows no {tag!r}")
