"""Runs the tests that stand beside rules: `<rule>.test.yml` says of events what the rule must make of them.

A test file is a list of cases. Each has a `name`, its `events` (flat or nested ECS; or `{repeat, every, base}` for the
same event several times) or `lines` (`{product, raw}`: lines that a parser reads first), and what to `expect`:
`{alerts: n, level: high}` of a detection rule, `{threat: high, category: malware}` of a classification rule (of the last
event, under all rules of the folder). Every case is run by the naive matcher and by the engine; they must agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from soc.clock import from_datetime, iso
from soc.errors import ConfigError, Phrase, RuleError, RuleSyntaxError
from soc.model.event import Doc, flatten
from soc.rules.ast import And, Node, Not, Or, Rule
from soc.rules.engine import Engine, compile_ruleset
from soc.rules.load import TEST_SUFFIX, RuleSet, load_paths, make_ruleset
from soc.rules.match import matches
from soc.rules.values import local_time

LineParser = Callable[[str, str], Doc]
"""Called with a product (a parser's folder name) and a raw line; the event as the rules would see it."""

MOST_REPEATS = 100_000
# Reference: time spans of Sigma correlations, seconds to days.
_EVERY = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_START = "2026-11-20T02:00:00.000Z"


class Case(msgspec.Struct):
    """One case: its events as flat documents, and what is expected."""

    name: str
    docs: list[Doc]
    expect: dict[str, Any]


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


def run_tests(path: Path, *, parse: LineParser | None = None) -> list[Result]:
    """The results of all test files below `path` (or of the one of a rule file), in order of path.

    A rule without test file, a test file without rule and a rule that cannot be read are failed results of their own.
    """
    ruleset, errors = load_paths([path if path.is_dir() else path.parent])
    engine = compile_ruleset(ruleset)
    results = [Result(error.path, "", "", f"the rule cannot be read: {error}", matched=False) for error in errors]
    rules: dict[str, list[Rule]] = {}
    for rule in ruleset.rules:
        rules.setdefault(rule.path, []).append(rule)
    wanted = {str(path), str(cases_file(path))}
    for file, of_file in sorted(rules.items()):
        if path.is_dir() or file in wanted:
            results.extend(_run_file(Path(file), of_file, engine, parse))
    orphans = [file for file in (sorted(path.rglob("*" + TEST_SUFFIX)) if path.is_dir() else []) if str(file).removesuffix(TEST_SUFFIX) + ".yml" not in rules]
    results.extend(Result(str(file), "", "", "there is no rule beside this test file", matched=False) for file in orphans)
    return results


def cases_file(rule_file: Path) -> Path:
    """The test file of a rule file."""
    return rule_file.with_name(rule_file.stem + TEST_SUFFIX)


def read_cases(file: Path, parse: LineParser | None = None) -> list[Case]:
    """The cases of a test file.

    Raises: RuleSyntaxError when it is no list of cases; ConfigError when it needs a parser and none is given.
    """
    import yaml  # noqa: PLC0415 - only tests need it here

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RuleSyntaxError(str(file), 0, f"the test file cannot be read: {error}") from error
    if not isinstance(found, list) or not all(isinstance(case, dict) and isinstance(case.get("expect"), dict) for case in found):
        raise RuleSyntaxError(str(file), 1, "a test file is a list of cases with `name`, `events` or `lines`, and `expect`")
    return [Case(str(case.get("name", "")), list(_docs(file, case, parse)), case["expect"]) for case in found]


def _docs(file: Path, case: Mapping[str, Any], parse: LineParser | None) -> Iterator[Doc]:
    events, lines = case.get("events"), case.get("lines")
    if isinstance(lines, dict):
        if parse is None:
            raise ConfigError(Phrase("the case {name!r} has raw lines, and no parser was given", name=case.get("name")), file=str(file))
        for raw in lines.get("raw", []):
            yield parse(str(lines.get("product", "")), str(raw))
    elif isinstance(events, dict):
        every = _EVERY.fullmatch(str(events.get("every", "1s")))
        repeat = events.get("repeat", 1)
        base = flatten(events.get("base") or {})
        if not every or not isinstance(repeat, int) or not 0 < repeat <= MOST_REPEATS:
            raise RuleSyntaxError(str(file), 0, f"the case {case.get('name')!r} needs `repeat` (1 to {MOST_REPEATS:,}) and `every` such as 2s")
        first = local_time(base.get("@timestamp", _START))
        if first is None:
            raise RuleSyntaxError(str(file), 0, f"the case {case.get('name')!r} has no readable @timestamp")
        step = int(every[1]) * _SECONDS[every[2]] * 1_000_000
        for number in range(repeat):
            yield {**base, "@timestamp": iso(from_datetime(first) + number * step)}
    elif isinstance(events, list):
        for event in events:
            yield flatten(event)
    else:
        raise RuleSyntaxError(str(file), 0, f"the case {case.get('name')!r} has neither `events` nor `lines`")


def _run_file(file: Path, rules: list[Rule], engine: Engine, parse: LineParser | None) -> Iterator[Result]:
    beside = cases_file(file)
    for rule in rules:
        if not beside.exists():
            yield Result(str(file), rule.id, "", f"there is no {beside.name} beside the rule", matched=False)
            continue
        try:
            cases = read_cases(beside, parse)
        except RuleError as error:
            yield Result(str(beside), rule.id, "", str(error), matched=False)
            continue
        for case in cases:
            yield run_case(rule, case, engine, str(beside))


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


def mutants(condition: Node) -> Iterator[tuple[str, Node]]:
    """Weaker conditions: each with one part of the outermost AND left out, or the whole taken as true.

    A rule whose tests do not notice has a part that nothing shows to be needed.
    """
    always = Or((condition, Not(condition)))
    if isinstance(condition, And):
        for number in range(len(condition.args)):
            rest = condition.args[:number] + condition.args[number + 1 :]
            yield f"without part {number + 1}", And(rest)
    else:
        yield "always true", always
    yield "never true", Not(always)
