"""The cases of a test file that stands beside a rule: `<rule>.test.yml` says of events what the rule must make of them.

A test file is a list of cases. Each has

- `name`;
- `events`: flat or nested ECS. An item may be `{repeat: 5, every: 2s, base: {…}}` for the same event several times, and
  `events` may be one such mapping alone. `at: 90s` in an item stands for the `@timestamp` so long after the beginning
  (2026-11-20T02:00:00Z). In a repeated event `vary: {field: [values]}` gives the values in turn, `vary: {field: "a{n}"}` a
  text with the number from 1. `base` of the case: fields that all its events have;
- or `lines` (`{product, raw}`: lines that a parser reads first);
- `expect`: `{alerts: n, level: high}` of a detection rule or a correlation; `{threat: high, category: malware}` of a
  classification rule (of the last event, under all rules of the folder). Of a correlation `alerts` may also be the list of
  its episodes, `[{events: [1, 2, 3], group: {user.name: an}}]`, events by number from 1, `group` only where it matters;
- `rule`: the id or name of the rule that is meant where the file has several. Without it: the correlation that no other of
  the file uses, else every rule of the file;
- `tz: Europe/Paris`: the zone of hours and days for this case; without it, that of the command;
- `until: 30m`: to when time is known to have passed, for correlations that alert on silence; without it, to the last event.

Events of a correlation may stand in any order. What runs the cases: `soc.rules.testing`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from soc.clock import from_datetime, iso
from soc.errors import ConfigError, Phrase, RuleSyntaxError
from soc.model.event import Doc, flatten
from soc.rules.load import TEST_SUFFIX
from soc.rules.values import local_time, told_in, zone_named

LineParser = Callable[[str, str], Doc]
"""Called with a product (a parser's folder name) and a raw line; the event as the rules would see it."""

MOST_REPEATS = 100_000
# Reference: time spans of Sigma correlations, seconds to days.
_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(s|m|h|d)?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
START = "2026-11-20T02:00:00.000Z"
"""When the events of a case begin that do not say when they were."""
_SHAPE = "a test file is a list of cases with `name`, `events` or `lines`, and `expect`"
_KEYS = {"name", "events", "lines", "base", "expect", "rule", "tz", "until"}


class Case(msgspec.Struct):
    """One case: its events as flat documents, and what is expected. `rule`: id or name ("" = the file's); `until_us`: None = the last event; `tz`: its zone, "" = that of this process."""

    name: str
    docs: list[Doc]
    expect: dict[str, Any]
    rule: str = ""
    until_us: int | None = None
    tz: str = ""


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
    if not isinstance(found, list):
        raise RuleSyntaxError(str(file), 1, _SHAPE)
    return [_case(file, case, parse) for case in found]


def _case(file: Path, case: Any, parse: LineParser | None) -> Case:
    if not isinstance(case, dict) or not isinstance(case.get("expect"), dict):
        raise RuleSyntaxError(str(file), 1, _SHAPE)
    name = str(case.get("name", ""))
    unknown = sorted(str(key) for key in case if key not in _KEYS)
    if unknown:
        raise RuleSyntaxError(str(file), 0, f"the case {name!r} has the unknown key {unknown[0]!r}", hint="known: " + ", ".join(sorted(_KEYS)))
    tz = str(case.get("tz", ""))
    try:
        zone_named(tz)
    except (KeyError, ValueError, OSError) as error:
        raise RuleSyntaxError(str(file), 0, f"the case {name!r} is in the time zone {tz!r}, which there is not", hint="tz: Asia/Ho_Chi_Minh") from error
    with told_in(tz):
        until = _after(file, name, case["until"]) if "until" in case else None
        return Case(name, list(_docs(file, name, case, parse)), case["expect"], str(case.get("rule", "")), until, tz)


def _docs(file: Path, name: str, case: Mapping[str, Any], parse: LineParser | None) -> Iterator[Doc]:
    events, lines = case.get("events"), case.get("lines")
    common = case.get("base") or {}
    if isinstance(lines, dict):
        if parse is None:
            raise ConfigError(Phrase("the case {name!r} has raw lines, and no parser was given", name=name), file=str(file))
        for raw in lines.get("raw", []):
            yield parse(str(lines.get("product", "")), str(raw))
    elif isinstance(events, (dict, list)) and isinstance(common, dict):
        for event in [{"repeat": 1, **events}] if isinstance(events, dict) else events:
            if not isinstance(event, dict):
                raise RuleSyntaxError(str(file), 0, f"the case {name!r} has an event that is no mapping")
            yield from _repeated(file, name, event, common) if "repeat" in event else _placed(file, name, event, common)
    else:
        raise RuleSyntaxError(str(file), 0, f"the case {name!r} has neither `events` nor `lines`")


def _placed(file: Path, name: str, event: Mapping[str, Any], common: Mapping[str, Any]) -> Iterator[Doc]:
    """One event, its time by `at`."""
    fields = {key: value for key, value in event.items() if key != "at"}
    doc = {**flatten(dict(common)), **flatten(fields)}
    yield {**doc, "@timestamp": iso(_after(file, name, event["at"]))} if "at" in event else doc


def _repeated(file: Path, name: str, item: Mapping[str, Any], common: Mapping[str, Any]) -> Iterator[Doc]:
    """The events of `{repeat, every, base, vary, at}`."""
    repeat, vary = item["repeat"], item.get("vary") or {}
    every = _SPAN.fullmatch(str(item.get("every", "1s")))
    if not every or not every[2] or not isinstance(repeat, int) or isinstance(repeat, bool) or not 0 < repeat <= MOST_REPEATS:
        raise RuleSyntaxError(str(file), 0, f"the case {name!r} needs `repeat` (1 to {MOST_REPEATS:,}) and `every` such as 2s")
    if not isinstance(vary, dict) or not all(isinstance(value, str) or (isinstance(value, list) and value) for value in vary.values()):
        raise RuleSyntaxError(str(file), 0, f"`vary` of the case {name!r} is no mapping of fields to values, or to a text with {{n}}")
    (base,) = _placed(file, name, {**(item.get("base") or {}), **({"at": item["at"]} if "at" in item else {})}, common)
    first = local_time(base.get("@timestamp", START))
    if first is None:
        raise RuleSyntaxError(str(file), 0, f"the case {name!r} has no readable @timestamp")
    step = round(float(every[1]) * _SECONDS[every[2]] * 1_000_000)
    for number in range(repeat):
        changed = {field: value.replace("{n}", str(number + 1)) if isinstance(value, str) else value[number % len(value)] for field, value in vary.items()}
        yield {**base, **changed, "@timestamp": iso(from_datetime(first) + number * step)}


def _after(file: Path, name: str, value: Any) -> int:
    """The time of `at` and `until`: seconds, or a number with a unit, after the beginning; or a time as it is."""
    found = _SPAN.fullmatch(str(value))
    moment = None if found else local_time(value)
    if found:
        start = local_time(START)
        assert start is not None
        return from_datetime(start) + round(float(found[1]) * _SECONDS[found[2] or "s"] * 1_000_000)
    if moment is None:
        raise RuleSyntaxError(str(file), 0, f"the case {name!r} has the time {value!r}, which is none", hint="at: 90s, 5m, 2h, or an RFC 3339 time")
    return from_datetime(moment)
