from __future__ import annotations

from soc.rules.ast import And, Leaf, LogSource, Node, Not, Or, Rule
from soc.rules.fields import belongs, has_events, mapped, taxonomy


def rule(condition: Node, **source: str) -> Rule:
    """A rule of a log source."""
    return Rule("r", "t", "low", LogSource(**source), condition, "h")


def test_sigma_fields_become_ecs_by_log_source() -> None:
    """The same Sigma name is another field in another log source; ECS names stay."""
    names = taxonomy()
    assert mapped(rule(Leaf("src_ip", "equals", "x"), category="firewall"), names).condition == Leaf("source.ip", "equals", "x")
    assert mapped(rule(Leaf("c-ip", "equals", "x"), category="webserver"), names).condition == Leaf("source.ip", "equals", "x")
    assert mapped(rule(Leaf("event.action", "equals", "x"), category="firewall"), names).condition == Leaf("event.action", "equals", "x")
    assert mapped(rule(Leaf("", "contains", "x"), category="firewall"), names).condition == Leaf("", "contains", "x")


def test_a_field_that_is_several_of_ours_matches_any_and_is_absent_in_all() -> None:
    """One Sigma field on two ECS fields: OR for tests, AND for null, and NOT stays outside."""
    names = taxonomy()
    both = ("file.path", "file.name")
    assert mapped(rule(Not(Leaf("Filename", "equals", "x")), category="antivirus"), names).condition == Not(
        Or(tuple(Leaf(field, "equals", "x") for field in both))
    )
    assert mapped(rule(Leaf("Filename", "null"), category="antivirus"), names).condition == And(tuple(Leaf(field, "null") for field in both))


def test_field_references_are_mapped_on_both_sides() -> None:
    """`fieldref` names a Sigma field too."""
    assert mapped(rule(Leaf("src_ip", "fieldref", "dst_ip"), category="firewall"), taxonomy()).condition == Leaf("source.ip", "fieldref", "destination.ip")


def test_vendor_fields_go_under_the_vendor_prefix_and_others_are_named() -> None:
    """FortiGate's own names are known without a table; what nobody has is listed."""
    names = taxonomy()
    assert mapped(rule(Leaf("cfgpath", "equals", "x"), product="fortigate", service="event"), names).condition == Leaf(
        "fortinet.firewall.cfgpath", "equals", "x"
    )
    unknown = mapped(rule(Leaf("NoSuch", "equals", "x"), category="firewall"), names)
    assert unknown.unmapped == ("NoSuch",)
    assert unknown.condition == Leaf("NoSuch", "equals", "x")


def test_log_sources_take_the_events_that_belong_to_all_they_say() -> None:
    """Category and service both must fit; an unknown one has no events."""
    names = taxonomy()
    place = {"soc.kind": "firewall", "event.module": "fortinet", "fortinet.firewall.type": "utm", "fortinet.firewall.subtype": "virus"}
    assert belongs(LogSource(category="antivirus"), place, names)
    assert belongs(LogSource(product="fortinet", service="utm"), place, names)
    assert not belongs(LogSource(product="fortinet", service="event"), place, names)
    assert not belongs(LogSource(product="windows"), place, names)
    assert not has_events(LogSource(product="windows", category="process_creation"), names)
    assert has_events(LogSource(category="proxy"), names)


def test_every_field_that_routes_decide_by_is_a_routing_field() -> None:
    """A table of the file that asks another field would be asked of nothing."""
    names = taxonomy()
    asked = {field for kinds in names.route.values() for entry in kinds.values() for table in entry["any"] for field in table}
    assert asked <= set(names.routing)
