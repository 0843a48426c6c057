from __future__ import annotations

import itertools
import random
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from soc.clock import from_datetime
from soc.model.event import flatten
from soc.rules.collection import Collection, load_collection
from soc.rules.compile import compile_condition
from soc.rules.correlate_naive import alert_key, alerts
from soc.rules.evaluate import Options, evaluate
from soc.rules.load import VALUES_FILE
from soc.rules.match import matches
from soc.rules.signals import Extractor
from tests.conformance.suite import CORRELATIONS, DETECTIONS, FILTERS, START, correlations_of, detection_of, event_of

ORDERS = 6
FEWEST = 300


def by_name(case: dict[str, Any]) -> str:
    """The test id of a case."""
    return str(case["name"])


def loaded(folder: Path, documents: list[dict[str, Any]], values: dict[str, Any] | None = None) -> tuple[Collection, list[str]]:
    """The collection of documents, written to a file and read as any."""
    (folder / "rules.yml").write_text(yaml.safe_dump_all(documents, allow_unicode=True, sort_keys=False), encoding="utf-8")
    if values:
        (folder / VALUES_FILE).write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    collection, errors, _ = load_collection([folder], ecs=False)
    return collection, [str(error) for error in errors]


@pytest.mark.parametrize("case", DETECTIONS, ids=by_name)
def test_detections_and_modifiers(case: dict[str, Any], tmp_path: Path) -> None:
    """Every event matches or not as the suite says, on the naive matcher, the compiled one and the engine with its index."""
    collection, errors = loaded(tmp_path, [detection_of(case)], case.get("values"))
    if "refused" in case:
        assert len(errors) == 1
        assert re.search(case["refused"], errors[0])
        assert collection.ruleset.rules == ()
        return
    assert errors == []
    condition = collection.ruleset.rules[0].condition
    predicate = compile_condition(condition)
    for expected, event in [*((True, event) for event in case["match"]), *((False, event) for event in case["miss"])]:
        doc = flatten(event)
        assert matches(condition, doc) is expected, event
        assert bool(predicate(doc.get, doc)) is expected, event
        assert bool(evaluate(collection, [orjson.dumps(event)]).alerts) is expected, event


def orders(events: list[Any]) -> list[tuple[int, ...]]:
    """All orders of few events, some of many."""
    if len(events) <= 3:
        return list(itertools.permutations(range(len(events))))
    seed = random.Random(len(events))
    whole = tuple(range(len(events)))
    return [whole, whole[::-1], *(tuple(seed.sample(whole, len(whole))) for _ in range(ORDERS))]


def check(collection: Collection, events: list[dict[str, Any]], wanted: list[dict[str, Any]], until: int | None, names: dict[str, str]) -> None:
    """Engine and oracle give the alerts wanted, in every order of the events."""
    expected = sorted((alert["rule"], alert["events"], alert.get("group")) for alert in wanted)
    options = Options(until_us=None if until is None else from_datetime(START) + until * 1_000_000)
    for order in orders(events):
        found = evaluate(collection, [orjson.dumps(events[place]) for place in order], options)
        got = sorted((names[alert["rule_id"]], sorted(order[n - 1] + 1 for n in alert["events"]), alert.get("group")) for alert in found.alerts)
        assert got == [(rule, list(numbers), group) for rule, numbers, group in expected], order
        assert [alert["events"] for alert in found.alerts] == [sorted(alert["events"]) for alert in found.alerts]
    assert sorted(naive(collection, events, options, names)) == [(rule, list(numbers), group) for rule, numbers, group in expected]


def naive(collection: Collection, events: list[dict[str, Any]], options: Options, names: dict[str, str]) -> list[tuple[str, list[int], dict[str, str] | None]]:
    """What the oracles say: every rule asked of every event, every window looked at anew."""
    docs = [flatten(event) for event in events]
    times = [from_datetime(datetime.fromisoformat(doc["@timestamp"])) if "@timestamp" in doc else None for doc in docs]
    usable = [ts for ts in times if ts is not None]
    out: list[tuple[str, list[int], dict[str, str] | None]] = []
    signals = []
    for number, (doc, ts) in enumerate(zip(docs, times, strict=True), 1):
        for rule in collection.ruleset.rules:
            if not matches(rule.condition, doc):
                continue
            if rule.id not in collection.silent:
                out.append((names[rule.id], [number], None))
            for correlation in collection.correlations:
                if rule.id in correlation.rules and ts is not None:
                    signals += Extractor(correlation, correlation.rules.index(rule.id)).signals(doc, ts, f"{number:012}")
    if not usable:
        return out
    horizon = options.until_us if options.until_us is not None else max(usable)
    found = alerts(collection.correlations, signals, horizon, {"real": min(usable)})
    by_key = {alert_key(one): one for one in found}

    def events_of(name: str) -> set[int]:
        return {number for _, inner, _ in by_key[name].members for number in events_of(inner)} if name in by_key else {int(name)}

    correlations = {rule.id: rule for rule in collection.correlations}
    for one in found:
        if one.rule not in collection.silent:
            members = sorted({number for _, name, _ in one.members for number in events_of(name)})
            out.append((names[one.rule], members, dict(zip(correlations[one.rule].group_by, one.shown, strict=True)) if one.shown else {}))
    return out


@pytest.mark.parametrize("case", CORRELATIONS, ids=by_name)
def test_correlations(case: dict[str, Any], tmp_path: Path) -> None:
    """Every case gives its alerts in every order of its events, from the fold and from the oracle."""
    documents = correlations_of(case)
    collection, errors = loaded(tmp_path, documents)
    if "refused" in case:
        assert errors
        assert any(re.search(case["refused"], error) for error in errors), errors
        assert all(re.match(r".*rules\.yml:\d+: ", error) for error in errors)
        assert not any(rule.id == f"c-{len(case['correlations']) - 1}" for rule in collection.correlations)
        return
    assert errors == []
    names = {str(document["id"]): str(document["name"]) for document in documents}
    events = [event_of(text) for text in case["events"]]
    wanted = [{"rule": names[f"c-{len(case['correlations']) - 1}"], **alert} for alert in case["alerts"]]
    # Rules of the library that no correlation uses would alert by themselves; the cases are about correlations.
    used = {rule for one in collection.correlations for rule in one.rules} | {one.id for one in collection.correlations}
    assert {rule.id for rule in collection.ruleset.rules} <= used
    check(collection, events, wanted, case.get("until"), names)


@pytest.mark.parametrize("case", FILTERS, ids=by_name)
def test_filters(case: dict[str, Any], tmp_path: Path) -> None:
    """Every case gives its alerts, or is refused with the reason."""
    collection, errors = loaded(tmp_path, [*case["rules"], *case["filters"]])
    if "refused" in case:
        assert len(errors) == 1
        assert re.search(case["refused"], errors[0])
        return
    assert errors == []
    check(collection, case["events"], case["alerts"], None, {document["id"]: document["id"] for document in case["rules"]})


def test_there_are_enough_cases() -> None:
    """At least 300, each with a name of its own; a case of a detection asks several events besides."""
    assert len(DETECTIONS) + len(CORRELATIONS) + len(FILTERS) >= FEWEST
