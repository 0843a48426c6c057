"""Runs the tests that stand beside rules (`soc.rules.cases` says what a case is).

Every case is run by the naive oracle and by the engine; they must agree. The events of a correlation are given in the order
in which they stand, in the reverse and in a shuffled one; all must give the same alerts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson

from soc.errors import RuleError
from soc.rules.ast import Rule
from soc.rules.cases import Case, LineParser, cases_file, read_cases
from soc.rules.collection import Collection, load_collection
from soc.rules.correlation import Correlation
from soc.rules.engine import Engine, compile_ruleset
from soc.rules.evaluate import Options, evaluate
from soc.rules.load import TEST_SUFFIX, RuleSet, make_ruleset
from soc.rules.match import matches
from soc.rules.mutation import Score, correlation_mutants, mutants
from soc.rules.oracle import Episode, episodes
from soc.rules.values import told_in

__all__ = ["Case", "LineParser", "Result", "cases_file", "mutation_scores", "read_cases", "run_case", "run_correlation", "run_tests"]

MOST_NAIVE = 400
"""Events of a case up to which the oracle of correlations is asked; it looks at every window anew."""


class Result(msgspec.Struct):
    """What became of one case; `reason` says why it failed ("" = passed), `matched` whether the rule matched an event."""

    path: str
    rule: str
    case: str
    reason: str
    matched: bool

    @property
    def passed(self) -> bool:
        """Whether the case gave what it expects."""
        return not self.reason


class _Beside(msgspec.Struct):
    """The rules below a path by file, with all that they refer to."""

    path: Path
    collection: Collection
    errors: list[RuleError]
    rules: dict[str, list[Rule | Correlation]]

    def wanted(self, file: str) -> bool:
        """Whether a rule file is asked for."""
        return self.path.is_dir() or file in {str(self.path), str(self.path).removesuffix(TEST_SUFFIX) + ".yml"}


def _beside(path: Path, library: list[Path] | None) -> _Beside:
    folder = path if path.is_dir() else path.parent
    elsewhere = library or []
    within = any(folder.resolve().is_relative_to(root.resolve()) for root in elsewhere)
    collection, errors, _notes = load_collection([*([] if within else [folder]), *elsewhere])
    rules: dict[str, list[Rule | Correlation]] = {}
    every: list[Rule | Correlation] = [*collection.ruleset.rules, *collection.correlations]
    for rule in every:
        if Path(rule.path).is_relative_to(folder):
            rules.setdefault(rule.path, []).append(rule)
    return _Beside(path, collection, [error for error in errors if Path(error.path).is_relative_to(folder)], rules)


def run_tests(path: Path, *, parse: LineParser | None = None, library: list[Path] | None = None) -> list[Result]:
    """The results of all test files below `path` (or of the one of a rule file), in order of path.

    A rule without test file, a test file without rule and a rule that cannot be read are failed results of their own.
    `library`: where the rules stand that correlations name, when not below `path`; it may be a folder that `path` is in.
    """
    found = _beside(path, library)
    engine = compile_ruleset(found.collection.ruleset)
    results = [Result(error.path, "", "", f"the rule cannot be read: {error}", matched=False) for error in found.errors]
    rules = found.rules
    for file, of_file in sorted(rules.items()):
        if found.wanted(file):
            results.extend(_run_file(Path(file), of_file, found.collection, engine, parse))
    orphans = [file for file in (sorted(path.rglob("*" + TEST_SUFFIX)) if path.is_dir() else []) if str(file).removesuffix(TEST_SUFFIX) + ".yml" not in rules]
    results.extend(Result(str(file), "", "", "there is no rule beside this test file", matched=False) for file in orphans)
    return results


def _run_file(file: Path, rules: list[Rule | Correlation], collection: Collection, engine: Engine, parse: LineParser | None) -> Iterator[Result]:
    beside = cases_file(file)
    if not beside.exists():
        yield from (Result(str(file), rule.id, "", f"there is no {beside.name} beside the rule", matched=False) for rule in rules)
        return
    try:
        cases = read_cases(beside, parse)
    except RuleError as error:
        yield Result(str(beside), rules[0].id, "", str(error), matched=False)
        return
    for case in cases:
        meant = meant_by(case, rules)
        if not meant:
            yield Result(str(beside), "", case.name, f"the file has no rule {case.rule!r}", matched=False)
        for rule in meant:
            with told_in(case.tz):
                result = run_case(rule, case, engine, str(beside)) if isinstance(rule, Rule) else run_correlation(rule, case, collection, str(beside))
            yield result


def meant_by(case: Case, rules: list[Rule | Correlation]) -> list[Rule | Correlation]:
    """The rules of its file that a case is about."""
    if case.rule:
        return [rule for rule in rules if case.rule in (rule.id, rule.name)]
    correlations = [rule for rule in rules if isinstance(rule, Correlation)]
    used = {member for rule in correlations for member in rule.rules}
    return [rule for rule in correlations if rule.id not in used] or list(rules)


def run_case(rule: Rule, case: Case, engine: Engine, path: str = "") -> Result:
    """One case of one rule: naive and compiled, alerts or class."""
    alone = compile_ruleset(RuleSet((rule,), ""))
    hits = [matches(rule.condition, doc) for doc in case.docs]
    result = Result(path, rule.id, case.name, "", any(hits))
    fast = [bool(verdict.matches) or verdict.classified_by == rule.id for verdict in map(alone.classify, case.docs)]
    unrouted = compile_ruleset(make_ruleset([rule], ecs=False))
    plain = [bool(verdict.matches) or verdict.classified_by == rule.id for verdict in map(unrouted.classify, case.docs)]
    if plain != hits:
        result.reason = f"the fast matcher says {plain}, the naive one {hits}"
    elif fast != hits:
        result.reason = f"the rule matches, but its log source ({rule.logsource}) does not have the event"
    elif "alerts" in case.expect and sum(hits) != case.expect["alerts"]:
        result.reason = f"expected {case.expect['alerts']} alerts, got {sum(hits)}"
    elif "level" in case.expect and rule.level != case.expect["level"]:
        result.reason = f"expected the level {case.expect['level']}, the rule has {rule.level}"
    elif "threat" in case.expect:
        verdict = engine.classify(case.docs[-1])
        wanted = (case.expect["threat"], case.expect.get("category", ""))
        if (verdict.level, verdict.category) != wanted:
            result.reason = f"expected the class {wanted}, got {(verdict.level, verdict.category)}"
    elif "alerts" not in case.expect:
        result.reason = "the case expects nothing: give `alerts` or `threat`"
    return result


def run_correlation(rule: Correlation, case: Case, collection: Collection, path: str = "") -> Result:
    """One case of one correlation, with nothing but the rules that it is made of, in several orders of its events."""
    alone = collection.part(rule.id)
    result = Result(path, rule.id, case.name, "", matched=False)
    timeless = next((number for number, doc in enumerate(case.docs, 1) if "@timestamp" not in doc), 0)
    if timeless:
        result.reason = f"event {timeless} has no @timestamp (or `at`), without which nothing can be counted over time"
        return result
    told = [_episodes(alone, rule, case, order) for order in _orders(len(case.docs))]
    result.matched = bool(told[0])
    if any(other != told[0] for other in told[1:]):
        result.reason = f"the alerts depend on the order of the events: {told}"
    elif len(case.docs) <= MOST_NAIVE and (naive := episodes(alone, rule, case.docs, case.until_us)) != told[0]:
        unrouted = msgspec.structs.replace(alone, ruleset=msgspec.structs.replace(alone.ruleset, ecs=False))
        elsewhere = _episodes(unrouted, rule, case, range(len(case.docs))) == naive
        result.reason = "the rules match, but their log sources do not have the events" if elsewhere else f"the fold says {told[0]}, the naive oracle {naive}"
    else:
        result.reason = _unmet(rule, case, told[0])
    return result


def _episodes(collection: Collection, rule: Correlation, case: Case, order: Iterable[int]) -> list[Episode]:
    """The episodes for the events in an order: their numbers as in the case, and the group."""
    places = list(order)
    found = evaluate(collection, [orjson.dumps(case.docs[place]) for place in places], Options(until_us=case.until_us))
    return sorted(
        ([*sorted(places[n - 1] + 1 for n in alert["events"])], sorted(alert["group"].items())) for alert in found.alerts if alert["rule_id"] == rule.id
    )


def _orders(count: int) -> list[list[int]]:
    """As given, reversed, and shuffled the same way each time."""
    whole = list(range(count))
    return [whole, whole[::-1], random.Random(count).sample(whole, count)][: 1 if count < 2 else 3]  # noqa: PLR2004, S311 - no order of one; the same each time


def _unmet(rule: Correlation, case: Case, told: list[Episode]) -> str:
    """What a case expects and did not get, or ""."""
    wanted = case.expect.get("alerts")
    if "level" in case.expect and rule.level != case.expect["level"]:
        return f"expected the level {case.expect['level']}, the rule has {rule.level}"
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        return "" if len(told) == wanted else f"expected {wanted} alerts, got {len(told)}: {_shown(told)}"
    if not isinstance(wanted, list) or not all(isinstance(one, dict) and isinstance(one.get("events", []), list) for one in wanted):
        return "the case expects nothing: give `alerts`, a number or a list of {events, group}"
    left = list(told)
    for one in wanted:
        group = {str(key): str(value) for key, value in (one.get("group") or {}).items()}
        fits = (got for got in left if ("events" not in one or sorted(one["events"]) == got[0]) and group.items() <= dict(got[1]).items())
        found = next(fits, None)
        if found is None:
            return f"expected an alert of {one}, got {_shown(told)}"
        left.remove(found)
    return f"alerts that are not expected: {_shown(left)}" if left else ""


def _shown(told: list[Episode]) -> str:
    return str([{"events": events, "group": dict(group)} for events, group in told]) if told else "none"


# --- mutation ---------------------------------------------------------------------------------------------------------


def mutation_scores(
    path: Path, *, parse: LineParser | None = None, library: list[Path] | None = None, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> list[Score]:
    """How many wrong versions of each rule below `path` (or of one rule file) its tests notice, in order of path. `progress`: called with files done and all.

    Cost: about 5 ms a detection rule, half a second a correlation.
    """
    found = _beside(path, library)
    out = []
    wanted = sorted(file for file in found.rules if found.wanted(file))
    for number, file in enumerate(wanted):
        progress(number, len(wanted))
        rules = found.rules[file]
        meant: dict[str, list[Case]] = {}
        reason = ""
        try:
            for case in read_cases(cases_file(Path(file)), parse):
                for rule in meant_by(case, rules):
                    meant.setdefault(rule.id, []).append(case)
        except RuleError as error:
            reason = str(error)
        used = {member for rule in rules if isinstance(rule, Correlation) for member in rule.rules}
        asked = [rule for rule in rules if rule.id in meant or rule.id not in used]
        out += [_score(rule, meant.get(rule.id, []), found.collection, reason) for rule in asked]
    return out


def _score(rule: Rule | Correlation, cases: list[Case], collection: Collection, reason: str) -> Score:
    """The score of one rule; without a test that passes there is none."""
    reason = reason or ("" if cases else "no test case is about the rule")
    survivors: list[str] = []
    total = 0
    if not reason:
        noticed, every = _detection(rule, cases) if isinstance(rule, Rule) else _correlated(rule, cases, collection)
        for name, mutant in every:
            total += 1
            if not noticed(mutant):
                survivors.append(name)
    return Score(rule.id, rule.title, rule.path, rule.line, total, total - len(survivors), tuple(survivors), reason)


def _detection(rule: Rule, cases: list[Case]) -> tuple[Callable[[Any], bool], Iterator[tuple[str, Any]]]:
    """What tells whether the cases notice a condition, and the conditions."""

    def matched(condition: Any, case: Case) -> int:
        # A class is told of the last event, alerts of all.
        with told_in(case.tz):
            return sum(matches(condition, doc) for doc in (case.docs[-1:] if "threat" in case.expect else case.docs))

    def outcome(condition: Any) -> list[int]:
        return [matched(condition, case) for case in cases]

    truth = outcome(rule.condition)
    return lambda condition: outcome(condition) != truth, mutants(rule.condition)


def _correlated(rule: Correlation, cases: list[Case], collection: Collection) -> tuple[Callable[[Any], bool], Iterator[tuple[str, Any]]]:
    """The same of a correlation: its collection in place of the condition."""
    alone = collection.part(rule.id)
    shortest = sorted(cases, key=lambda case: len(case.docs))

    def noticed(part: Any) -> bool:
        changed = next(one for one in part.correlations if one.id == rule.id)
        return any(unmet(part, changed, case) for case in shortest)

    def unmet(part: Any, changed: Correlation, case: Case) -> str:
        with told_in(case.tz):
            return _unmet(changed, case, _episodes(part, changed, case, range(len(case.docs))))

    return noticed, correlation_mutants(rule, alone)
