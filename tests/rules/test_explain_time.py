from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soc.clock import from_datetime
from soc.model.event import Doc
from soc.rules.collection import load_collection
from soc.rules.correlation import Correlation
from soc.rules.explain_time import Explained, explain_correlation
from soc.rules.values import local_time

RULE = "title: {name}\nname: {name}\nid: id-{name}\nlogsource: {{category: firewall}}\ndetection: {{sel: {{event.action: {name}}}, condition: sel}}\n---\n"
LIBRARY = "".join(RULE.format(name=name) for name in ("failed", "success", "reset"))


def told(folder: Path, part: str, docs: list[Doc], *, more: str = "", until: str = "") -> Explained:
    """A correlation explained."""
    (folder / "r.yml").write_text(LIBRARY + more + "title: C\nid: c\ncorrelation: {" + part + "}\n", encoding="utf-8")
    collection, errors, _ = load_collection([folder])
    assert errors == []
    rule = collection.get("c")
    assert isinstance(rule, Correlation)
    moment = local_time(until)
    return explain_correlation(rule, collection, docs, None if moment is None else from_datetime(moment))


def event(second: int, action: str = "failed", **fields: Any) -> Doc:
    """An event of the firewall."""
    time = f"2026-11-20T00:{second // 60:02}:{second % 60:02}Z"
    return {
        "@timestamp": time,
        "soc.kind": "firewall",
        "event.action": action,
        "source.ip": "10.0.0.1",
        **{key.replace("__", "."): value for key, value in fields.items()},
    }


BURST = "type: event_count, rules: [failed], group-by: [source.ip], timespan: 60s, condition: {gte: 3}"


def test_a_burst_that_fires_names_its_window(tmp_path: Path) -> None:
    """Members, the group, its window and its measure."""
    found = told(tmp_path, BURST, [event(0), event(10), event(20)])
    assert (found.matched, found.alerts, found.condition, found.timespan_s, found.group_by) == (True, 1, "gte 3", 60, ["source.ip"])
    (group,) = found.groups
    assert (group.group, group.fired, group.measure, group.events) == ({"source.ip": "10.0.0.1"}, True, "3", [1, 2, 3])
    assert (group.start, group.end) == ("2026-11-20T00:00:00.000Z", "2026-11-20T00:00:20.000Z")


def test_a_burst_that_does_not_fire_names_what_came_nearest(tmp_path: Path) -> None:
    """Two of three within the window, the third too late; the groups that came nearest stand first."""
    other = {"source__ip": "10.0.0.2"}
    found = told(tmp_path, BURST, [event(0, **other), event(0), event(10), event(100)])
    assert not found.matched
    assert [(group.group["source.ip"], group.measure, group.events) for group in found.groups] == [("10.0.0.1", "2", [2, 3]), ("10.0.0.2", "1", [1])]


def test_events_that_do_not_count_are_told_with_the_reason(tmp_path: Path) -> None:
    """Another log source, no time, no group, no value."""
    docs = [event(0), event(1, soc__kind="mail"), event(2), event(3), event(4)]
    del docs[2]["@timestamp"]
    del docs[3]["source.ip"]
    docs[0]["user.name"] = docs[1]["user.name"] = docs[2]["user.name"] = docs[3]["user.name"] = "u"
    found = told(tmp_path, "type: value_count, rules: [failed], group-by: [source.ip], timespan: 60s, condition: {gte: 2, field: user.name}", docs)
    (member,) = found.members
    assert (member.matched, member.counted) == (5, 1)
    assert (member.elsewhere, member.timeless, member.ungrouped, member.valueless) == ([2], [3], [4], [5])


def test_rules_that_are_missing_or_not_wanted(tmp_path: Path) -> None:
    """Of a temporal correlation which rule did not come; of `not` which one did."""
    part = "type: temporal, rules: [failed, success], group-by: [source.ip], timespan: 60s"
    (group,) = told(tmp_path, part, [event(0), event(100, "success")]).groups
    assert (group.fired, group.missing) == (False, ["id-success"])
    part = "type: temporal, rules: [failed, success, reset], group-by: [source.ip], timespan: 60s, condition: failed and success and not reset"
    found = told(tmp_path, part, [event(0), event(1, "success"), event(2, "reset")], until="2026-11-20T01:00:00Z")
    assert (found.matched, found.groups[0].missing, found.groups[0].unwanted) == (False, [], ["id-reset"])
    assert told(tmp_path, part, [event(0), event(1, "success")], until="2026-11-20T01:00:00Z").matched


def test_a_chain_shows_the_events_behind_its_alerts(tmp_path: Path) -> None:
    """The inner correlation is a member; its alerts stand for their events."""
    inner = "title: Burst\nname: burst\nid: burst\ncorrelation: {" + BURST + "}\n---\n"
    part = "type: temporal_ordered, rules: [burst, success], group-by: [source.ip], timespan: 5m"
    docs = [event(0), event(10), event(20), event(60, "success")]
    found = told(tmp_path, part, docs, more=inner)
    assert found.matched
    assert found.groups[0].events == [1, 2, 3, 4]
    assert {member.title: (member.matched, member.counted) for member in found.members} == {"Burst": (1, 1), "success": (1, 1)}
    found = told(tmp_path, part, docs[:2] + docs[3:], more=inner)
    assert (found.matched, found.groups[0].missing) == (False, ["burst"])


def test_silence_is_explained_by_time(tmp_path: Path) -> None:
    """An absence rule fires once time has passed, and not before."""
    part = "type: event_count, rules: [failed], group-by: [source.ip], timespan: 60s, condition: {eq: 0}"
    assert told(tmp_path, part, [event(0)], until="2026-11-20T00:02:00Z").matched
    assert not told(tmp_path, part, [event(0)], until="2026-11-20T00:01:00Z").matched


def test_no_events_at_all(tmp_path: Path) -> None:
    """Nothing matched, there is no group."""
    found = told(tmp_path, BURST, [])
    assert (found.matched, found.groups, found.members[0].matched) == (False, [], 0)
    many = told(tmp_path, BURST, [event(0, source__ip=f"10.0.1.{n}") for n in range(30)])
    assert (len(many.groups), many.more_groups) == (20, 10)


@pytest.mark.parametrize("orders", [[0, 1, 2], [2, 0, 1], [2, 1, 0]])
def test_the_order_of_events_does_not_matter(tmp_path: Path, orders: list[int]) -> None:
    """The window is one of time."""
    docs = [event(0), event(10), event(20)]
    found = told(tmp_path, BURST, [docs[place] for place in orders])
    assert (found.matched, found.groups[0].measure) == (True, "3")
