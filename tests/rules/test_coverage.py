from __future__ import annotations

from typing import Any

import msgspec

from soc.rules.ast import LogSource
from soc.rules.collection import Collection
from soc.rules.correlation import Bound, Correlation
from soc.rules.coverage import coverage, navigator_layer
from soc.rules.load import make_ruleset
from tests.rules.test_lint import ID, rule

BURST = Correlation("burst", "Burst", "high", "h", "event_count", (ID,), 60_000_000, (Bound("gte", 3),), tags=("attack.t1110",))


def of(*rules: Any, correlations: tuple[Correlation, ...] = (), silent: frozenset[str] = frozenset()) -> Collection:
    """A collection."""
    return Collection(make_ruleset(list(rules)), correlations, silent)


def test_a_technique_is_covered_by_what_makes_alerts() -> None:
    """Rules that are off, shadows, members, and those without events name it only."""
    rules = [
        rule(tags=("attack.t1190",)),
        rule(id="off", tags=("attack.t1190", "attack.t1566.002")),
        rule(id="shadow", tags=("attack.t1003",), shadow=True),
        rule(id="nowhere", tags=("attack.t1005",), logsource=LogSource(product="windows")),
        rule(id="none", tags=()),
    ]
    found = coverage(of(*rules), {"off": "disabled"})
    by_id = {one.id: one for one in found.techniques}
    assert (by_id["T1190"].rules, by_id["T1190"].idle) == ((ID,), {"off": "disabled"})
    assert (by_id["T1566.002"].rules, by_id["T1003"].idle, by_id["T1005"].idle) == ((), {"shadow": "shadow"}, {"nowhere": "no-events"})
    assert found.untagged == ("none",)
    tactics = {one.name: one for one in found.tactics}
    assert (tactics["initial-access"].covered, tactics["initial-access"].rules) == (1, 1)
    assert tactics["initial-access"].techniques > 8
    assert tactics["collection"].covered == 0
    assert list(tactics)[:2] == ["reconnaissance", "resource-development"]


def test_a_sub_technique_covers_its_technique_in_every_tactic() -> None:
    """T1078.004 is in four tactics."""
    found = coverage(of(rule(tags=("attack.t1078.004",))))
    assert [one.name for one in found.tactics if one.covered] == ["initial-access", "persistence", "privilege-escalation", "stealth"]


def test_members_of_a_correlation_cover_nothing_by_themselves() -> None:
    """The correlation does."""
    found = coverage(of(rule(tags=("attack.t1190",)), correlations=(BURST,), silent=frozenset({ID})))
    assert {one.id: bool(one.rules) for one in found.techniques} == {"T1110": True, "T1190": False}
    blind = msgspec.structs.replace(BURST, rules=("nowhere",))
    found = coverage(of(rule(id="nowhere", logsource=LogSource(product="windows")), correlations=(blind,), silent=frozenset({"nowhere"})))
    assert {one.id: one.idle for one in found.techniques}["T1110"] == {"burst": "no-events"}


def test_odd_tags_are_named() -> None:
    """Unknown and revoked ones, with their rule; a revoked technique counts as the one in its place."""
    found = coverage(of(rule(tags=("attack.t9999", "attack.t1562.004"))))
    assert found.unknown == {ID: ("attack.t9999",)}
    assert found.revoked == {ID: {"T1562.004": "T1686"}}
    assert [one.id for one in found.techniques] == ["T1686"]


def test_the_layer_is_one_of_the_navigator() -> None:
    """Format 4.5: the required keys, a score per technique, titles as comments."""
    found = coverage(of(rule(tags=("attack.t1190", "attack.t1566.002")), rule(id="off", tags=("attack.t1003",))), {"off": "disabled"})
    layer = navigator_layer(found, {ID: "Exploit", "off": "Dump"}, name="soc")
    assert (layer["name"], layer["domain"], layer["versions"]["layer"]) == ("soc", "enterprise-attack", "4.5")
    cells = {cell["techniqueID"]: cell for cell in layer["techniques"]}
    assert (cells["T1190"]["score"], cells["T1190"]["comment"]) == (1, "Exploit")
    assert (cells["T1003"]["score"], cells["T1003"]["comment"], "color" in cells["T1003"]) == (0, "Dump (disabled)", True)
    assert layer["gradient"]["minValue"] < layer["gradient"]["maxValue"]
    assert navigator_layer(coverage(of()), {}, name="soc")["techniques"] == []
