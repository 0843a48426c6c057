from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soc.rules.cache import Cache
from soc.rules.collection import load_collection
from soc.rules.engine import compile_ruleset
from soc.rules.load import RuleSet, load_paths
from soc.rules.match import matches
from tests.rules.corpus import need_corpus

COUNTED_OTHERWISE = {"registry_set_change_security_zones"}
"""Rules whose published count is that of another program: its three events differ in the last key only, and each fits the rule as written."""


def events_of(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of a regression record with the field names that the rules use."""
    for event in entry["events"]:
        if entry["kind"] == "raw-line":
            yield {"event.original": event["raw"]}
            continue
        system = event["Event"]["System"]
        named = {"EventID": system["EventID"], "Channel": system["Channel"], "Provider_Name": system["Provider"]["#attributes"]["Name"]}
        yield {**(event["Event"].get("EventData") or {}), **named}


def regression() -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """All regression records with their events."""
    lines = [line for path in sorted(need_corpus().glob("regression-*.ndjson")) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(entry, list(events_of(entry))) for entry in map(json.loads, lines)]


def test_published_rules_match_their_regression_events(tmp_path: Path) -> None:
    """Every rule matches as many of its events as its publisher counted (at least one where no count is given), on both matchers."""
    root, wrong = need_corpus(), []
    cache = Cache(tmp_path / "c")
    entries = regression()
    for entry, docs in entries:
        ruleset, errors = load_paths([root / entry["rule"]], cache=cache, ecs=False)
        assert not errors
        (rule,) = ruleset.rules
        engine = compile_ruleset(ruleset)
        hits = sum(matches(rule.condition, doc) for doc in docs)
        assert hits == sum(len(engine.classify(doc).matches) for doc in docs)
        if hits != (entry["match_count"] or max(hits, 1)) and Path(entry["rule"]).stem not in COUNTED_OTHERWISE:
            wrong.append((entry["rule"], hits, entry["match_count"]))
    assert wrong == []
    assert len(entries) >= 100


def test_all_published_rules_load_and_the_engine_equals_the_oracle(tmp_path: Path) -> None:
    """Every rule of the corpus can be read; one engine of all of them finds in every regression event exactly what the naive matcher finds."""
    ruleset, errors = load_paths([need_corpus() / "rules", need_corpus() / "bench"], cache=Cache(tmp_path / "c"), ecs=False)
    assert [str(error) for error in errors if "is already that of" not in error.reason] == []
    assert len(ruleset.rules) > 1_800
    engine = compile_ruleset(ruleset)
    docs = [doc for _, docs in regression() for doc in docs]
    for doc in docs:
        wanted = tuple(number for number, rule in enumerate(engine.rules) if matches(rule.condition, doc))
        assert engine.classify(doc).matches == wanted


def test_rsigma_examples_fire_as_often_as_their_events_say(tmp_path: Path) -> None:
    """The small rules of another engine: counts per rule; its correlations are read beside their rules."""
    folder = need_corpus() / "rsigma"
    cache = Cache(tmp_path / "c")
    ruleset, errors = load_paths([folder / "backtest" / "rules.yml"], cache=cache, ecs=False)
    assert not errors
    docs = [json.loads(line) for path in sorted((folder / "backtest" / "corpus").glob("*.ndjson")) for line in path.read_text().splitlines()]
    counts = {rule.title: sum(len(compile_ruleset(RuleSet((rule,), "", ecs=False)).classify(doc).matches) for doc in docs) for rule in ruleset.rules}
    assert counts == {"Whoami Execution": 2, "Netstat Execution": 1, "Ping Execution": 1}
    singles, errors = load_paths([folder / "correlation.yml"], cache=cache, ecs=False)
    assert not errors
    assert [rule.id for rule in singles.rules] == ["perf-auth-failure", "perf-auth-success"]
    whole, errors, _notes = load_collection([folder / "correlation.yml"], cache=cache, ecs=False)
    assert not errors
    assert whole.ruleset.rules == singles.rules
    assert {member for rule in whole.correlations for member in rule.rules} <= {rule.id for rule in singles.rules} | {rule.id for rule in whole.correlations}
    assert whole.correlations
