"""Everything hostile that a folder of rules or a file of events may hold, all at once: what is good goes on beside it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from soc.rules.collection import Collection, load_collection
from soc.rules.evaluate import MOST_LINE, evaluate, read_lines

GOOD = """title: good
name: good
id: 11111111-0000-4000-8000-000000000001
logsource: {category: test}
detection: {sel: {action: deny}, condition: sel}
level: low
"""
ID = "22222222-0000-4000-8000-{:012}"
SECONDS = 5.0
"""Processor time: more than any of these takes on a slow machine; without the bounds they take minutes, or all memory."""


def rule(detection: str, **more: str) -> str:
    """A rule with a detection."""
    facts = {"title": "bad", "id": ID.format(1), "logsource": "{category: test}", "detection": detection, **more}
    return "".join(f"{key}: {value}\n" for key, value in facts.items())


def correlation(**parts: str) -> str:
    """A correlation of the good rule with other parts."""
    facts = {"type": "event_count", "rules": "[good]", "group-by": "[user]", "timespan": "60s", "condition": "{gte: 2}", **parts}
    return f"title: bad\nid: {ID.format(2)}\ncorrelation:\n" + "".join(f"    {key}: {value}\n" for key, value in facts.items() if value)


SEL = "{sel: {action: deny}, condition: sel}"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(9))
BAD: dict[str, tuple[str, str]] = {
    "a YAML bomb": (BOMB, "aliases written out"),
    "a cycle of aliases": ("a: &a [*a]\n", "refers to what it stands in"),
    "deep nesting": ("a: " + "[" * 5_000 + "]" * 5_000 + "\n", "nested deeper"),
    "ten megabytes": ("# " + "x" * 10_485_760, "more than the 1,048,576"),
    "no YAML": ("title: [\n", "not YAML"),
    "a tag that builds objects": ("title: !!python/object/apply:os.system ['true']\n", ""),
    "no UTF-8": ("\udcff", "not UTF-8"),
    "no mapping": ("- 1\n", "no mapping"),
    "a key twice": (rule(SEL) + "title: again\n", "stands twice"),
    "an unknown modifier": (rule("{sel: {action|near: deny}, condition: sel}"), "unknown modifier 'near'"),
    "a condition of a wrong type": (rule("{sel: {action: deny}, condition: 5}"), ""),
    "a detection of a wrong type": (rule("5"), "no mapping"),
    "a selection of a wrong type": (rule("{sel: {action: {a: b}}, condition: sel}"), ""),
    "a selection that pySigma cannot even show": (rule("{sel: [], other: {action|day|s: '[a'}, condition: sel}"), ""),
    "a threshold that no store holds": (correlation(condition="{gt: 1000000000000000000000}"), "more than 18 digits"),
    "a threshold with too fine a fraction": (correlation(condition="{gt: 1.0e-300}"), "more than 18 digits"),
    "a threshold of five thousand digits": (correlation(condition="{gt: " + "9" * 5_000 + "}"), ""),
    "a number of five thousand digits": (rule("{sel: {bytes|gt: " + "9" * 5_000 + "}, condition: sel}"), ""),
    "a title of a wrong type": (rule(SEL, title="[a]"), "title"),
    "a level of a wrong type": (rule(SEL, level="7"), "level"),
    "a log source with a list": (rule(SEL, logsource="{category: test, vendor: [a]}"), "vendor"),
    "an id that is a number": (rule(SEL).replace("id: ", "id: 5 #"), "UUID"),
    "a log source of a wrong type": (rule(SEL, logsource="test"), "logsource"),
    "tags of a wrong type": (rule(SEL, tags="5"), "tags"),
    "a name that is not there": (rule("{sel: {action: deny}, condition: other}"), "other"),
    "look-around": (rule("{sel: {action|re: '(?<=a)b'}, condition: sel}"), "look-around"),
    "a back reference": (rule("{sel: {action|re: '(a)\\1'}, condition: sel}"), ""),
    "an expression that explodes": (rule("{sel: {action|re: '" + "x{1000}" * 1_000 + "'}, condition: sel}"), "too large"),
    "no expression": (rule("{sel: {action|re: '('}, condition: sel}"), ""),
    "parentheses without end": (rule("{sel: {action: deny}, condition: " + "(" * 3_000 + "sel}"), ""),
    "a correlation of nothing": (correlation(rules="[]"), "needs `rules`"),
    "a correlation of an unknown rule": (correlation(rules="[nobody]"), "no rule with the id or name"),
    "a correlation of itself": (correlation(rules=f"[{ID.format(2)}]"), "refers to itself"),
    "no timespan": (correlation(timespan=""), "timespan"),
    "a zero timespan": (correlation(timespan="0s"), "timespan is zero"),
    "a negative timespan": (correlation(timespan="-60s"), "timespan"),
    "a timespan of a wrong type": (correlation(timespan="60"), "timespan"),
    "a timespan of ages": (correlation(timespan="999999999d"), "five years"),
    "an unknown type": (correlation(type="event_sum"), "not known"),
    "an unknown operator": (correlation(condition="{about: 3}"), "unknown operator"),
    "a threshold of a wrong type": (correlation(condition="{gte: many}"), "no number"),
    "a threshold without bounds": (correlation(condition="{gte: .inf}"), "no number"),
    "a condition that always holds": (correlation(condition="{gte: 0}"), "always holds"),
    "a condition that never holds": (correlation(condition="{lt: 0}"), "never hold"),
    "groups of a wrong type": (correlation(**{"group-by": "[[a]]"}), "group-by"),
    "aliases of a wrong type": (correlation(aliases="[a]"), "aliases"),
    "a filter for nobody": (
        f"title: f\nid: {ID.format(3)}\nlogsource: {{category: test}}\nfilter: {{rules: [nobody], sel: {{a: 1}}, condition: not sel}}\n",
        "there is no rule",
    ),
    "a filter without condition": (f"title: f\nid: {ID.format(3)}\nlogsource: {{category: test}}\nfilter: {{rules: any, sel: {{a: 1}}}}\n", "condition"),
}


def loaded(folder: Path, **texts: str) -> tuple[Collection, list[str]]:
    """The collection of files, and what was refused."""
    for name, text in texts.items():
        (folder / f"{name}.yml").write_bytes(text.encode("utf-8", "surrogateescape"))
    collection, errors, _ = load_collection([folder], ecs=False)
    return collection, [f"{Path(error.path).name}:{error.line}: {error.reason} {error.hint}" for error in errors]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_rule_is_refused_and_stops_no_other(tmp_path: Path, name: str) -> None:
    """It is named with file, line and reason, quickly; the good rules before and after it still match."""
    text, reason = BAD[name]
    start = time.thread_time()
    collection, errors = loaded(tmp_path, a=GOOD, m=text, z=GOOD.replace("good", "other").replace("0001", "0009"))
    assert time.thread_time() - start < SECONDS
    assert errors
    assert all(error.startswith("m.yml:") for error in errors)
    assert reason in errors[0]
    found = evaluate(collection, [b'{"action": "deny"}'])
    assert {alert["rule"] for alert in found.alerts} >= {"good", "other"}


def test_duplicate_ids_keep_the_first(tmp_path: Path) -> None:
    """The second is refused and says where the first is."""
    collection, errors = loaded(tmp_path, a=GOOD, b=GOOD.replace("deny", "accept"))
    assert len(errors) == 1
    assert errors[0].startswith("b.yml:1: the id 11111111-0000-4000-8000-000000000001 is already that of")
    assert [alert["events"] for alert in evaluate(collection, [b'{"action": "deny"}', b'{"action": "accept"}']).alerts] == [[1]]


def test_a_cycle_between_correlations_refuses_all_of_it(tmp_path: Path) -> None:
    """Three that name each other, and one that builds on them; another correlation goes on."""
    cycle = [correlation(rules=f"[{ID.format(10 + (n + 1) % 3)}]").replace(ID.format(2), ID.format(10 + n)) for n in range(3)]
    builds = correlation(rules=f"[{ID.format(10)}]").replace(ID.format(2), ID.format(20))
    alive = correlation().replace(ID.format(2), ID.format(30))
    collection, errors = loaded(tmp_path, a=GOOD, b="---\n".join([*cycle, builds, alive]))
    assert [rule.id for rule in collection.correlations] == [ID.format(30)]
    assert len(errors) == 4
    assert sum("refers to itself" in error for error in errors) == 3


def test_all_bad_rules_at_once(tmp_path: Path) -> None:
    """A folder of nothing but faults and one good rule."""
    texts = {f"m{number:02}": text for number, (text, _) in enumerate(BAD.values())}
    collection, errors = loaded(tmp_path, a=GOOD, **texts)
    assert {error.split(":")[0] for error in errors} >= {f"{name}.yml" for name in texts}
    assert [alert["rule"] for alert in evaluate(collection, [b'{"action": "deny"}']).alerts] == ["good"]


# --- events -----------------------------------------------------------------------------------------------------------

RULES = """title: Text
id: 33333333-0000-4000-8000-000000000001
logsource: {category: test}
detection: {sel: {user.name|contains: admin}, condition: sel}
---
title: Number
id: 33333333-0000-4000-8000-000000000002
logsource: {category: test}
detection: {sel: {port|gte: 1024}, condition: sel}
---
title: Slow
id: 33333333-0000-4000-8000-000000000003
logsource: {category: test}
detection: {sel: {text|re: '(a+)+$'}, condition: sel}
---
title: Absent
id: 33333333-0000-4000-8000-000000000004
logsource: {category: test}
detection: {sel: {kind: x}, none: {user.name: null}, condition: sel and none}
---
title: Burst
id: 33333333-0000-4000-8000-000000000005
correlation: {type: value_count, rules: [33333333-0000-4000-8000-000000000001], group-by: [ip], timespan: 60s, condition: {gte: 2, field: user.name}, generate: true}
"""
EVENTS: dict[str, tuple[Any, set[str]]] = {
    "a missing field": ({"kind": "x"}, {"Absent"}),
    "an empty object": ({"kind": "x", "user": {}}, {"Absent"}),
    "an explicit null": ({"kind": "x", "user": {"name": None}}, {"Absent"}),
    "several values": ({"user": {"name": ["guest", "Administrator"]}}, {"Text"}),
    "no value in a list": ({"kind": "x", "user": {"name": []}}, {"Absent"}),
    "lists in lists": ({"user": {"name": [["guest"], [["admin"]]]}}, {"Text"}),
    "objects in lists": ({"user": [{"name": "guest"}, {"name": "admin"}]}, {"Text"}),
    "a number as text": ({"port": "8080"}, {"Number"}),
    "a small number as text": ({"port": "80"}, set()),
    "a text that is no number": ({"port": "http"}, set()),
    "no number": ({"port": True}, set()),
    "a number for a text": ({"user": {"name": 5}}, set()),
    "a huge number": ({"port": 10**18}, {"Number"}),
    "a name with dots": ({"user.name": "admin"}, {"Text"}),
    "half a name with dots": ({"a.b": {"c": 1}, "user.name": "admin"}, {"Text"}),
    "an empty name": ({"": "admin", "user": {"name": "admin", "": 1}}, {"Text"}),
    "control characters": ({"user": {"name": "\u0000\u001b[2Jadmin\u202e"}}, {"Text"}),
    "half a character": ('{"user": {"name": "admin\\ud800"}}', {"Text"}),
    "a time that is none": ({"@timestamp": "yesterday", "user": {"name": "admin"}, "ip": "x"}, {"Text"}),
    "a time of a wrong type": ({"@timestamp": {"a": 1}, "user": {"name": "admin"}, "ip": "x"}, {"Text"}),
    "a time beyond all": ({"@timestamp": "99999-01-01T00:00:00Z", "user": {"name": "admin"}, "ip": "x"}, {"Text"}),
}


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """The rules that odd events meet."""
    found, errors = loaded(tmp_path_factory.mktemp("rules"), r=RULES)
    assert errors == []
    return found


@pytest.mark.parametrize("name", EVENTS)
def test_odd_events_are_judged_like_any(collection: Collection, name: str) -> None:
    """Each matches what it should, and the event behind it as well."""
    event, wanted = EVENTS[name]
    line = event.encode() if isinstance(event, str) else orjson.dumps(event)
    found = evaluate(collection, [line, b'{"user.name": "admin"}'])
    assert found.refused == []
    assert {alert["rule"] for alert in found.alerts if alert["events"] == [1]} == wanted
    assert "Text" in {alert["rule"] for alert in found.alerts if alert["events"] == [2]}


@pytest.mark.parametrize("line", [b"", b"   ", b"nothing", b"[1]", b'"text"', b"5", b"{", b'{"a":' * 3_000 + b"1" + b"}" * 3_000, b"\xff\xfe", b'{"a": NaN}'])
def test_lines_that_are_no_events_are_named_and_left_out(collection: Collection, line: bytes) -> None:
    """The line number and the reason; the next line is read."""
    found = evaluate(collection, [line, b'{"user.name": "admin"}'])
    assert [n for n, _ in found.refused] == ([1] if line.strip() else [])
    assert [alert["events"] for alert in found.alerts] == [[2]]


def test_values_of_a_megabyte_cost_time_in_proportion(collection: Collection) -> None:
    """A text of a million characters, also one that makes other engines go back and forth; twice as long takes about twice the time."""

    def seconds(size: int) -> float:
        lines = [orjson.dumps({"user": {"name": "x" * size + "ADMIN"}}), orjson.dumps({"text": "a" * size + "!"}), orjson.dumps({"text": ["a" * size, "b"]})]
        start = time.thread_time()
        found = evaluate(collection, lines)
        assert [(alert["rule"], alert["events"]) for alert in found.alerts] == [("Text", [1]), ("Slow", [3])]
        assert all(len(orjson.dumps(alert)) < 20_000 for alert in found.alerts)
        return time.thread_time() - start

    assert seconds(1_000_000) < SECONDS
    assert min(seconds(800_000) for _ in range(3)) < 8 * min(seconds(200_000) for _ in range(3)) + 0.05


def test_many_fields_and_many_values(collection: Collection) -> None:
    """Ten thousand fields, ten thousand values in one field: bounded work, also for correlations."""
    start = time.thread_time()
    many = {
        "@timestamp": "2026-11-20T00:00:00Z",
        "user": {"name": [f"admin{n}" for n in range(10_000)]},
        "ip": [f"10.0.{n // 250}.{n % 250}" for n in range(10_000)],
    }
    found = evaluate(collection, [orjson.dumps({f"f{n}": n for n in range(10_000)}), orjson.dumps(many)])
    assert time.thread_time() - start < SECONDS
    assert {alert["rule"] for alert in found.alerts} >= {"Text", "Burst"}


def test_a_line_without_end_is_left_out(tmp_path: Path, collection: Collection) -> None:
    """It is not read into memory as a whole, and the next line is read."""
    path = tmp_path / "events.ndjson"
    with path.open("wb") as file:
        file.truncate(MOST_LINE + 1_000)
        file.seek(0, 2)
        file.write(b'\n{"user.name": "admin"}\n')
    with path.open("rb") as file:
        found = evaluate(collection, read_lines(file))
    assert [n for n, _ in found.refused] == [1]
    assert [alert["events"] for alert in found.alerts] == [[2]]


def test_a_rule_with_a_number_beyond_64_bits_loads(tmp_path: Path) -> None:
    """It is compared, and kept from the second load on."""
    text = rule("{sel: {bytes|gt: 1180591620717411303424}, condition: sel}") + "---\n" + rule("{sel: {bytes: 1.0e+300}, condition: sel}", id=ID.format(3))
    (tmp_path / "r.yml").write_text(text, encoding="utf-8")
    for _ in range(2):
        collection, errors, _ = load_collection([tmp_path], ecs=False)
        assert errors == []
        lines = [b'{"bytes": "1180591620717411303424"}', b'{"bytes": "1180591620717411303425"}', b'{"bytes": 1e22}']
        assert [alert["events"] for alert in evaluate(collection, lines).alerts] == [[2], [3]]
