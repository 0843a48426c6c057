"""What a reviewer would say about a rule that can be read: issues as typed objects with a severity."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from soc.rules.ast import LogSource, Not, Rule, leaves
from soc.rules.atoms import necessary
from soc.rules.attack import attack, attack_tags, read_tags
from soc.rules.collection import Collection
from soc.rules.correlation import Correlation
from soc.rules.fields import ecs_fields, has_events, taxonomy
from soc.rules.filters import Filter
from soc.rules.load import RuleSet

__all__ = ["BUDGET", "RESIDUAL_COST", "Issue", "Severity", "attack_tags", "lint", "lint_collection", "lint_correlation", "lint_rule"]

RESIDUAL_COST = 150
"""Rules that the index finds that one rule costs which it cannot find (docs/reference/performance)."""
BUDGET = 1_500
"""What rules that the index cannot find may cost together for one log source, in rules that it finds."""
LONG_S = 7 * 86_400
"""A window beyond which signals have to be kept for weeks."""

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


def lint(ruleset: RuleSet) -> list[Issue]:
    """The issues of all rules, in order of path and line."""
    return sorted((issue for rule in ruleset.rules for issue in lint_rule(rule)), key=lambda issue: (issue.path, issue.line, issue.name))


def lint_rule(rule: Rule, cost_us: float | None = None) -> Iterator[Issue]:
    """The issues of one rule (with mapped fields). `cost_us`: what asking one event costs, where it was measured."""

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
    if residual(rule):
        yield issue(
            "residual",
            Severity.WARNING,
            "the rule needs no particular value of any field, so every event of its log source is asked in full"
            + (f": measured {cost_us:.1f} µs an event" if cost_us is not None else "")
            + f"; it counts as {RESIDUAL_COST} rules that the index finds, of {BUDGET:,} that a log source may have of such",
            "add an exact value that every match has",
        )
    for leaf in leaves(rule.condition):
        if (leaf.test == "like" and leaf.parts == (0,)) or (leaf.test == "contains" and leaf.pattern == ""):
            yield issue(
                "matches-anything", Severity.WARNING, f"a test of {leaf.field or 'the text'!r} matches every value", "write `exists: true` when that is meant"
            )
    yield from _facts(rule)


def residual(rule: Rule) -> bool:
    """Whether the index cannot find the rule: no value, literal or field is in every match."""
    return necessary(rule.condition, taxonomy()) is None


def _facts(rule: Rule | Correlation) -> Iterator[Issue]:
    """What people need beside the condition, and the tags of ATT&CK."""

    def issue(name: str, severity: Severity, text: str, hint: str = "") -> Issue:
        return Issue(name, severity, rule.id, rule.path, rule.line, text, hint)

    if not _UUID.fullmatch(rule.id):
        yield issue("no-uuid", Severity.NOTE, "the rule has no UUID", "give it one: rules are known by their id wherever they lie")
    if not rule.references:
        yield issue("no-references", Severity.NOTE, "there are no references")
    if isinstance(rule, Correlation) or rule.classify is None:
        if set(rule.triage) != {"vi", "en"}:
            yield issue("no-triage", Severity.NOTE, "there is no triage text in vi and en", "soc: {triage: {vi: …, en: …}}")
        if not rule.falsepositives:
            yield issue("no-falsepositives", Severity.NOTE, "there are no known false positives; each rule has some")
        if not any(tag.startswith("attack.") for tag in rule.tags):
            yield issue("no-attack-tags", Severity.NOTE, "there is no ATT&CK tag")
    tags = read_tags(rule.tags)
    for tag in tags.unknown:
        yield issue("unknown-attack-tag", Severity.WARNING, f"ATT&CK {attack().version} knows no {tag!r}")
    for tag in tags.newer:
        yield issue("newer-attack-tag", Severity.NOTE, f"{tag!r} is not among the sub-techniques shipped with this program")
    for old, new in tags.revoked.items():
        yield issue("revoked-attack-tag", Severity.WARNING, f"ATT&CK revoked {old}", f"attack.{new.lower()} took its place")
    for name in tags.tactics:
        if name in attack().former_tactics:
            now = " or ".join(f"attack.{new}" for new in attack().former_tactics[name])
            yield issue("former-attack-tactic", Severity.NOTE, f"ATT&CK {attack().version} has no tactic {name!r} any more", f"now {now}")


# --- collections ------------------------------------------------------------------------------------------------------


FOR_PEOPLE = frozenset({"no-references", "no-triage", "no-falsepositives", "no-attack-tags"})
"""What is missing for those who get an alert: nothing in a rule that makes none."""


def lint_collection(collection: Collection, costs: Mapping[str, float] | None = None) -> list[Issue]:
    """The issues of all rules, correlations and filters, in order of path and line. `costs`: µs an event per id of a residual rule."""
    found = [issue for rule in collection.ruleset.rules for issue in lint_rule(rule, (costs or {}).get(rule.id))]
    found += [issue for rule in collection.correlations for issue in lint_correlation(rule, collection)]
    found = [issue for issue in found if issue.rule not in collection.silent or issue.name not in FOR_PEOPLE]
    filters = {one.id: one for several in collection.filters.values() for one in several}
    found += [issue for one in filters.values() for issue in lint_filter(one)]
    if collection.ruleset.ecs:
        found += _over_budget(collection.ruleset.rules)
    return sorted(found, key=lambda issue: (issue.path, issue.line, issue.name))


def _over_budget(rules: Iterable[Rule]) -> Iterator[Issue]:
    """Log sources whose residual rules cost more together than they may."""
    sources: dict[LogSource, list[Rule]] = {}
    for rule in rules:
        if residual(rule):
            sources.setdefault(rule.logsource, []).append(rule)
    for source, found in sources.items():
        if len(found) * RESIDUAL_COST > BUDGET:
            first = min(found, key=lambda rule: (rule.path, rule.line))
            text = f"{len(found)} rules of {source} need no particular value: they cost as much as {len(found) * RESIDUAL_COST:,} rules that the index finds, more than {BUDGET:,}"
            yield Issue("residual-budget", Severity.WARNING, first.id, first.path, first.line, text, "add exact values, or merge them")


def lint_correlation(rule: Correlation, collection: Collection) -> Iterator[Issue]:
    """The issues of one correlation of a collection."""

    def issue(name: str, severity: Severity, text: str, hint: str = "") -> Issue:
        return Issue(name, severity, rule.id, rule.path, rule.line, text, hint)

    members = {one.id: one for one in collection.ruleset.rules}
    names = taxonomy()
    for member in (members[one] for one in rule.rules if one in members):
        if collection.ruleset.ecs and (not has_events(member.logsource, names) or member.unmapped):
            yield issue(
                "no-events", Severity.ERROR, f"its rule {member.title!r} ({member.path}:{member.line}) can never match", "see what lint says of that rule"
            )
        for field in (*rule.group_by, *rule.fields):
            field_there = rule.aliases.get(field, {}).get(member.id, field)
            if collection.ruleset.ecs and not ecs_fields(field_there, collection.written[member.id].logsource, names):
                yield issue(
                    "unmapped-field",
                    Severity.ERROR,
                    f"no event of the rule {member.title!r} has the field {field_there!r}: none would ever count",
                    "name the ECS field, or give an alias",
                )
    if not rule.group_by:
        yield issue("no-group-by", Severity.WARNING, "without `group-by` all events of all devices count together", "group by what one attack has in common")
    if rule.span_us > LONG_S * 1_000_000:
        yield issue("long-timespan", Severity.NOTE, f"the window is {rule.span_us // 86_400_000_000} days: its signals are kept and read again so long")
    if rule.type == "event_count" and rule.bounds and rule.holds(1):
        yield issue("single-event", Severity.NOTE, "one event fulfils the condition", "a detection rule says the same, at once and cheaper")
    yield from _facts(rule)


def lint_filter(one: Filter) -> Iterator[Issue]:
    """The issues of one filter that changes a rule."""
    if not isinstance(one.condition, Not):
        text = "the filter restricts its rules to events that match it, as filters are joined by `and`"
        yield Issue("restricting-filter", Severity.WARNING, one.id, one.path, one.line, text, "for an exception write `condition: not selection`")
    if not _UUID.fullmatch(one.id):
        yield Issue("no-uuid", Severity.NOTE, one.id, one.path, one.line, "the filter has no UUID", "give it one")
