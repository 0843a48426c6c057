from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soc.rules.collection import Collection, load_collection
from soc.rules.correlation import NUMERIC, TYPES
from soc.rules.evaluate import Evaluation, Options, evaluate


def loaded(folder: Path, *correlations: dict[str, Any]) -> Collection:
    """Rules `a` and `b` for events of that kind, and correlations `c0`, `c1`, …."""
    documents: list[dict[str, Any]] = [
        {"title": name, "id": name, "name": name, "logsource": {"category": "test"}, "detection": {"sel": {"kind": name}, "condition": "sel"}} for name in "ab"
    ]
    for number, correlation in enumerate(correlations):
        documents.append({"title": f"c{number}", "id": f"c{number}", "name": f"c{number}", "correlation": {"timespan": "1h", **correlation}})
    (folder / "rules.yml").write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    collection, errors, _ = load_collection([folder], ecs=False)
    assert errors == []
    return collection


def told(collection: Collection, *events: dict[str, Any], lateness_us: int | None = None) -> Evaluation:
    """What comes out of events of kind `a`."""
    return evaluate(collection, [orjson.dumps({"kind": "a", **event}) for event in events], Options(lateness_us=lateness_us))


def test_a_long_chain_of_correlations_is_told(tmp_path: Path) -> None:
    """Two thousand correlations, each of the one before: the last names the events of the first."""
    first: dict[str, Any] = {"type": "event_count", "rules": ["a"], "condition": {"gte": 2}}
    chain = [{"type": "event_count", "rules": [f"c{number}"], "condition": {"gte": 1}} for number in range(2_000)]
    found = told(loaded(tmp_path, first, *chain), {"@timestamp": "2026-11-20T00:00:00Z"}, {"@timestamp": "2026-11-20T00:00:01Z"})
    assert [(alert["rule_id"], alert["events"]) for alert in found.alerts] == [("c2000", [1, 2])]


def test_an_explanation_names_the_lists_and_filters_that_were_asked(tmp_path: Path) -> None:
    """Of a rule its value lists, of a correlation the filters of the rules that it counts."""
    (tmp_path / "values.yml").write_text("kinds: [a]\n", encoding="utf-8")
    documents = [
        {"title": "listed", "id": "l", "name": "l", "logsource": {"category": "test"}, "detection": {"sel": {"kind|expand": "%kinds%"}, "condition": "sel"}},
        {"title": "not x", "id": "f", "logsource": {"category": "test"}, "filter": {"rules": ["l"], "sel": {"u": "x"}, "condition": "not sel"}},
        {
            "title": "c",
            "id": "c",
            "correlation": {"type": "event_count", "rules": ["l"], "timespan": "1h", "condition": {"gte": 1}, "generate": True},
        },
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    collection, errors, _ = load_collection([tmp_path], ecs=False)
    assert errors == []
    of = {alert["rule_id"]: alert["explanation"] for alert in told(collection, {"@timestamp": "2026-11-20T00:00:00Z"}).alerts}
    assert of["l"]["lists"] == ["kinds"]
    assert [one["id"] for one in of["c"]["filters"]] == [one["id"] for one in of["l"]["filters"]] == ["f"]


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_the_first_and_the_last_time_there_is_are_none(tmp_path: Path, time: str) -> None:
    """What systems write where they know no time puts an event into no window, and moves time nowhere."""
    collection = loaded(
        tmp_path, {"type": "event_count", "rules": ["a"], "condition": {"gte": 1}}, {"type": "event_count", "rules": ["a"], "condition": {"eq": 0}}
    )
    found = told(collection, {"@timestamp": time}, {"@timestamp": "2026-11-20T00:00:00Z"}, lateness_us=0)
    assert [(alert["rule_id"], alert["events"]) for alert in found.alerts] == [("c0", [2])]
    assert (found.timeless, found.late) == (1, 0)


def test_half_a_character_makes_a_group_like_any_other(tmp_path: Path) -> None:
    """A lone surrogate cannot be written as UTF-8: the group is shown with its number, and told from others."""
    collection = loaded(tmp_path, {"type": "event_count", "rules": ["a"], "group-by": ["g"], "condition": {"gte": 2}})
    lines = [f'{{"kind":"a","g":"\\u{code}","@timestamp":"2026-11-20T00:00:00Z"}}'.encode() for code in ("d800", "d800", "d801")]
    (alert,) = evaluate(collection, lines).alerts
    assert (alert["events"], alert["group"]) == ([1, 2], {"g": "\\ud800"})


COLLECTIONS: dict[str, Collection] = {}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["٣", "1e9", "9" * 500, "-0.0", "\ud800", "1/3"]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["v", "g"]), inner, max_size=2)), max_leaves=4
)
TIMES = st.one_of(st.integers(0, 90).map(lambda second: f"2026-11-20T00:{second // 60:02}:{second % 60:02}Z"), VALUES)
LINES = st.lists(
    st.one_of(
        st.fixed_dictionaries({"kind": st.sampled_from(["a", "b"]), "@timestamp": TIMES}, optional={"g": VALUES, "v": VALUES}).map(json.dumps).map(str.encode),
        st.binary(max_size=8),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.sampled_from(TYPES), st.sampled_from([{"gte": 1}, {"eq": 2}, {"lt": 2}, {"gt": 1, "lte": 3}]), LINES, st.sampled_from([None, 0, 10_000_000]))
def test_no_event_stops_an_evaluation(tmp_path: Path, kind: str, condition: dict[str, Any], lines: list[bytes], lateness: int | None) -> None:
    """Whatever stands in fields, groups and times: alerts come out, in order, and can be written as JSON."""
    correlation: dict[str, Any] = {"type": kind, "rules": ["a", "b"], "group-by": ["g"], "timespan": "10s", "condition": dict(condition)}
    if kind.startswith("value_"):
        correlation["condition"]["field"] = "v"
    if kind == "value_percentile":
        correlation["condition"]["percentile"] = 90
    if kind.startswith("temporal") and condition in ({"gte": 1}, {"gt": 1, "lte": 3}, {"lt": 2}):
        correlation["condition"] = {"eq": 2}
    name = json.dumps(correlation)
    if name not in COLLECTIONS:
        COLLECTIONS[name] = loaded(tmp_path, correlation)
    found = evaluate(COLLECTIONS[name], lines, Options(lateness_us=lateness))
    orjson.dumps(found.alerts)
    assert all(alert["events"] == sorted(set(alert["events"])) for alert in found.alerts)
    assert all(1 <= number <= len(lines) for alert in found.alerts for number in alert["events"])
    assert kind not in NUMERIC or all(isinstance(alert["explanation"].get("measure"), int | float | None) for alert in found.alerts)


def test_sums_beyond_whole_numbers_of_stores_are_told_as_floats() -> None:
    """A measure always fits into JSON and a column: exact up to 64 bits, rounded beyond, and finite."""
    from fractions import Fraction

    from soc.rules.episodes import plain

    assert [plain(None), plain(5), plain(Fraction(10, 2)), plain(Fraction(1, 4))] == [None, 5, 5, 0.25]
    assert (plain((1 << 63) - 1), plain(-(1 << 63))) == ((1 << 63) - 1, -(1 << 63))
    assert (plain(1 << 63), plain(1 << 70)) == (float(1 << 63), float(1 << 70))
    assert isinstance(plain(1 << 63), float)
    assert (plain(10**400), plain(-(10**400))) == (1.7976931348623157e308, -1.7976931348623157e308)
