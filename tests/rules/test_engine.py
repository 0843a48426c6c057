from __future__ import annotations

from typing import Any

import msgspec
import pytest

from soc.model.alert import Alert
from soc.model.event import Event
from soc.model.ids import alert_id, group_id
from soc.rules.ast import Classify, Leaf, LogSource, Node, Or, Rule
from soc.rules.engine import MOST_ROUTES, NOTHING, compile_ruleset, group_key
from soc.rules.index import MOST_REMEMBERED
from soc.rules.load import RuleSet, make_ruleset

DENIED = Leaf("event.action", "equals", "deny")
FIREWALL = LogSource(category="firewall")


def rule(name: str, condition: Node = DENIED, source: LogSource = FIREWALL, **facts: Any) -> Rule:
    """A rule named by its id."""
    return Rule(name, f"title {name}", facts.pop("level", "low"), source, condition, f"hash {name}", **facts)


def event(doc: dict[str, Any], scope: str = "real") -> Event:
    """An event around a document."""
    return Event("e1", 1_795_137_330_123_000, "firewall", "fw", "p", 1, "h", "high", "intrusion", scope, doc, "", "key")


def test_the_highest_class_wins_and_carries_its_category() -> None:
    """Of several classification rules the highest level counts, whatever the order of the files; detections are told beside it."""
    rules = [
        rule("c-low", classify=Classify("low", "policy")),
        rule("c-high", classify=Classify("high", "intrusion")),
        rule("d-1"),
        rule("d-2", Leaf("event.action", "equals", "accept")),
    ]
    for order in (rules, rules[::-1]):
        engine = compile_ruleset(make_ruleset(order))
        verdict = engine.classify({"soc.kind": "firewall", "event.action": "Deny"})
        assert (verdict.level, verdict.category, verdict.classified_by) == ("high", "intrusion", "c-high")
        assert [engine.rules[number].id for number in verdict.matches] == ["d-1"]


def test_an_event_without_match_is_no_threat() -> None:
    """Nothing matches: level none, no category, no alerts."""
    engine = compile_ruleset(make_ruleset([rule("c", classify=Classify("low", "policy")), rule("d")]))
    assert engine.classify({"soc.kind": "firewall", "event.action": "accept"}) == NOTHING
    assert (NOTHING.level, NOTHING.matches) == ("none", ())


def test_a_rule_found_twice_alerts_once_and_rules_come_in_order() -> None:
    """The index may find a rule by several values and in any order of fields; the verdict names each once, in order."""
    twice = Or((Leaf("event.action", "equals", "deny"), Leaf("user.name", "equals", "admin")))
    rules = [rule("d-1", Leaf("user.name", "equals", "admin")), rule("d-2", twice), rule("d-3")]
    engine = compile_ruleset(make_ruleset(rules))
    assert engine.classify({"soc.kind": "firewall", "event.action": "deny", "user.name": "admin"}).matches == (0, 1, 2)


@pytest.mark.parametrize(
    ("source", "doc", "asked"),
    [
        (LogSource(category="firewall"), {"soc.kind": "firewall"}, True),
        (LogSource(category="firewall"), {"soc.kind": "mail"}, False),
        (LogSource(product="fortinet", service="ips"), {"soc.kind": "firewall", "event.module": "fortinet", "fortinet.firewall.subtype": "ips"}, True),
        (LogSource(product="fortinet", service="ips"), {"soc.kind": "firewall", "event.module": "fortinet", "fortinet.firewall.subtype": "virus"}, False),
        (LogSource(category="dns"), {"soc.kind": "firewall", "event.module": "fortinet", "fortinet.firewall.subtype": "dns"}, True),
        (LogSource(product="windows"), {"soc.kind": "endpoint"}, False),
        (LogSource(category="firewall"), {"soc.kind": ["firewall"]}, False),
    ],
)
def test_rules_are_asked_only_of_their_log_source(source: LogSource, doc: dict[str, Any], *, asked: bool) -> None:
    """Routing decides before any test; a list where one value belongs is survived."""
    engine = compile_ruleset(make_ruleset([rule("d", source=source)]))
    assert bool(engine.classify({**doc, "event.action": "deny"}).matches) is asked


def test_without_mapping_every_event_is_asked() -> None:
    """A rule set taken as written has no routing."""
    engine = compile_ruleset(RuleSet((rule("d", Leaf("Image", "endswith", "\\whoami.exe")),), "", ecs=False))
    assert engine.classify({"Image": "C:\\Windows\\WHOAMI.exe"}).matches == (0,)


def test_an_alert_states_rule_event_and_reason() -> None:
    """Ids are hashes of rule and event; the document is nested; the explanation names field and value; it survives as JSON."""
    engine = compile_ruleset(make_ruleset([rule("d", level="high", tags=("attack.t1190",))]))
    doc = {"soc.kind": "firewall", "event.action": "deny", "source.ip": "203.0.113.7", "observer.name": "fw1", "soc.agency.id": "so-y-te"}
    alert = engine.alert(0, event(doc), "2026-11-20T01:00:00.000Z")
    assert alert.id == alert_id("d", "e1")
    assert alert.group == group_id("d", "soc.agency.id=so-y-te\x1fobserver.name=fw1\x1fsource.ip=203.0.113.7", "real")
    assert (alert.rule.id, alert.rule.level, alert.rule.hash, alert.rule.tags) == ("d", "high", "hash d", ("attack.t1190",))
    assert (alert.ts, alert.detected_at, alert.events, alert.agency) == ("2026-11-20T01:15:30.123Z", "2026-11-20T01:00:00.000Z", ["e1"], "so-y-te")
    assert (alert.threat_level, alert.threat_category, alert.natural_key, alert.rules_hash) == ("high", "intrusion", "key", engine.hash)
    assert alert.documents == [
        {"soc": {"kind": "firewall", "agency": {"id": "so-y-te"}}, "event": {"action": "deny"}, "source": {"ip": "203.0.113.7"}, "observer": {"name": "fw1"}}
    ]
    assert alert.explanation["matched_value"] == "deny"
    assert msgspec.json.decode(msgspec.json.encode(alert), type=Alert) == alert


def test_a_drill_has_groups_of_its_own() -> None:
    """The same rule and key in another scope is another group (contract 11)."""
    engine = compile_ruleset(make_ruleset([rule("d")]))
    doc = {"source.ip": "203.0.113.7"}
    assert engine.alert(0, event(doc), "").group != engine.alert(0, event(doc, "exercise:2026"), "").group


def test_groups_on_private_addresses_carry_their_place() -> None:
    """192.168.1.5 behind one router is not 192.168.1.5 behind another; a public address needs no place."""
    by_ip = rule("d", group_by=("source.ip",))
    private = {"source.ip": "192.168.1.5", "soc.network_point": "xa-12", "observer.name": "fw12"}
    assert group_key(by_ip, private) == {"source.ip": "192.168.1.5", "soc.network_point": "xa-12"}
    assert group_key(by_ip, {"source.ip": "192.168.1.5", "soc.source": "fw"}) == {"source.ip": "192.168.1.5", "soc.source": "fw"}
    assert group_key(by_ip, {"source.ip": "8.8.8.8", "soc.network_point": "xa-12"}) == {"source.ip": "8.8.8.8"}
    assert group_key(rule("d", group_by=("email.from.address",)), {"email.from.address": ["b@x.vn", "a@x.vn"]}) == {"email.from.address": "a@x.vn,b@x.vn"}


def test_attackers_cannot_grow_the_memory() -> None:
    """Values and routes seen are remembered only up to a bound."""
    engine = compile_ruleset(make_ruleset([rule("d")]))
    for number in range(20_000):
        engine.classify({"soc.kind": "firewall", "event.module": f"m{number}", "event.action": f"a{number}"})
    assert len(engine._routes) <= MOST_ROUTES
    (index,) = {id(index): index for index in engine._routes.values()}.values()
    assert all(len(table) <= MOST_REMEMBERED for _, table in index.tables)
    assert engine.classify({"soc.kind": "firewall", "event.action": "deny"}).matches == (0,)
