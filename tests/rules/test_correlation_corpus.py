from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from soc.rules.collection import load_collection
from soc.rules.evaluate import evaluate
from tests.rules.corpus import CORPUS, need_corpus

SCENARIOS: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("correlation_scenarios.yml").read_text(encoding="utf-8"))
UNWRITTEN = {"proxmox-logs": "it tests a parser: the origin has no scenario for it, and bursts of failures that the rule of proxmox-bf rightly finds"}
# Reference: the time formats of the corpus: RFC 3339, syslog of RFC 3164, combined log, error log of nginx, FortiOS.
TIMES = (
    (re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))"), ""),
    (re.compile(r"^([A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d)"), "%b %d %H:%M:%S"),
    (re.compile(r"\[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]"), "%d/%b/%Y:%H:%M:%S %z"),
    (re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)"), "%Y-%m-%d %H:%M:%S"),
    (re.compile(r"^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)"), "%Y/%m/%d %H:%M:%S"),
    (re.compile(r"^date=(\S+ time=\S+)"), "%Y-%m-%d time=%H:%M:%S"),
)


def time_of(line: str) -> str:
    """The time in a line; of one without a year, in 2024."""
    for pattern, form in TIMES:
        found = pattern.search(line)
        if found:
            text = found[1] if "%b %d %H" not in form else "2024 " + found[1]
            moment = (
                datetime.strptime(  # noqa: DTZ007 - those without zone get one below
                    text, ("%Y " if "%b %d %H" in form else "") + form
                )
                if form
                else datetime.fromisoformat(text)
            )
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
    raise AssertionError(line)


def events(lines: list[str], fields: str) -> list[bytes]:
    """The events of the lines."""
    pattern = re.compile(fields)
    out = []
    for line in lines:
        found = pattern.search(line)
        taken = {name: value for name, value in found.groupdict().items() if value is not None} if found else {}
        out.append(orjson.dumps({"@timestamp": time_of(line), "message": line, **taken}))
    return out


def documents(rules: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The detections and correlations of a scenario."""
    out: list[dict[str, Any]] = []
    for name, rule in rules.items():
        out.append({"title": name, "id": f"d-{name}", "logsource": {"category": "test"}, "detection": {"sel": rule["match"], "condition": "sel"}})
        correlation = {"rules": [f"d-{name}"], "group-by": ["ip"], **{key: value for key, value in rule.items() if key != "match"}}
        out.append({"title": name, "id": f"c-{name}", "level": "high", "correlation": correlation})
    return out


def test_every_scenario_of_the_corpus_is_written() -> None:
    """No folder is left out, but for those with a reason."""
    need_corpus()
    assert {path.name for path in (CORPUS / "correlation").iterdir() if path.is_dir()} == set(SCENARIOS) | set(UNWRITTEN)


@pytest.mark.parametrize("name", SCENARIOS)
def test_exactly_the_expected_sources_alert(name: str, tmp_path: Path) -> None:
    """Each alert name has the sources that the corpus says, and no other."""
    need_corpus()
    folder = CORPUS / "correlation" / name
    scenario = SCENARIOS[name]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump_all(documents(scenario["rules"])), encoding="utf-8")
    collection, errors, _ = load_collection([tmp_path], ecs=False)
    assert errors == []
    lines = [line for line in (folder / "events.log").read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]
    found = evaluate(collection, events(lines, scenario["fields"]))
    assert not found.refused
    expected = orjson.loads((folder / "expected.json").read_bytes())
    wanted = {(one["scenario"].split("/")[-1], source) for one in expected["expected_overflows"] for source in one["sources"]}
    assert {(alert["rule"], alert["group"]["ip"]) for alert in found.alerts} == wanted
