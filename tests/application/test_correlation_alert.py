"""The alert of a correlation: what it takes from its members, and what it says where there are none."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from soc.application.correlation_alert import MOST_MEMBERS, Teller, alert_name
from soc.clock import iso
from soc.model.event import Doc
from soc.rules.collection import Collection
from soc.rules.correlation import Bound, Correlation
from soc.rules.episodes import CorrelationAlert
from soc.rules.load import make_ruleset
from tests.rules.correlations import SECOND, rule

RECEIVED = 5 * SECOND


def doc(name: str, **more: object) -> Doc:
    """An event as it is stored."""
    return {"soc.id": name, "soc.source": "fw", "soc.received_at": iso(RECEIVED), "soc.threat.level": "none", "source.ip": "10.0.0.1", **more}


def found(**changed: object) -> CorrelationAlert:
    """An alert of the fold with three members."""
    base = CorrelationAlert(
        id="c-abc",
        rule="c",
        scope="real",
        key=("real", "a"),
        group={"g": "A"},
        first="e3",
        at=3 * SECOND,
        start=-57 * SECOND,
        end=4 * SECOND,
        members=[(SECOND, "e1", 1), (2 * SECOND, "e2", 1), (3 * SECOND, "e3", 1)],
        count=3,
        measure=3,
        last_measure=4,
        truncated=False,
        late=False,
        revision=2,
    )
    return msgspec.structs.replace(base, **changed)


def teller(docs: Sequence[Doc], told: Sequence[CorrelationAlert] = (), rules: Sequence[Correlation] = ()) -> Teller:
    """A teller over some events and some alerts that were told."""
    known = {one["soc.id"]: one for one in docs}
    collection = Collection(make_ruleset([]), tuple(rules) or (rule(),))
    return Teller(collection, {one.id: one for one in told}, lambda ids: [known[name] for name in ids if name in known], "rules-1")


def test_the_worst_member_gives_the_class() -> None:
    """Level and category go together; source only where all are of one."""
    docs = [
        doc("e1", **{"soc.threat.level": "low", "soc.threat.category": "scan", "soc.agency.id": "xa-1"}),
        doc("e2", **{"soc.threat.level": "high", "soc.threat.category": "malware"}),
        doc("e3", **{"soc.source": "mail"}),
    ]
    alert = teller(docs).alert(rule(), found())
    assert (alert.threat_level, alert.threat_category, alert.agency, alert.source) == ("high", "malware", "xa-1", "")
    assert [document["soc"]["id"] for document in alert.documents] == ["e1", "e2", "e3"]
    assert (alert.id, alert.revision, alert.group_key, alert.rules_hash) == ("a-abc", 2, {"g": "A"}, "rules-1")


def test_it_has_the_titles_of_its_rule_in_both_languages() -> None:
    """Who reads Vietnamese sees the Vietnamese title of a correlation too."""
    named = msgspec.structs.replace(rule(), title="Guessing", title_vi="Dò mật khẩu")
    made = teller([doc("e3")], rules=[named]).alert(named, found())
    assert (made.rule.title, made.rule.title_vi) == ("Guessing", "Dò mật khẩu")


def test_it_is_detected_when_the_completing_event_was_received() -> None:
    """Long after the fact it says so; a straggler says so in any case."""
    assert teller([doc("e3")]).alert(rule(), found()).detected_at == iso(RECEIVED)
    late = doc("e3", **{"soc.received_at": iso(RECEIVED + 3600 * SECOND)})
    assert teller([late]).alert(rule(), found()).late
    assert not teller([doc("e3")]).alert(rule(), found()).late
    assert teller([doc("e3")]).alert(rule(), found(late=True)).late


def test_silence_has_no_events_and_is_detected_when_it_held() -> None:
    """There is nothing to show but the condition."""
    quiet = rule("event_count", 60, Bound("eq", 0))
    alert = teller([]).alert(quiet, found(first="e0@3000000", members=[], count=0, measure=0, last_measure=0))
    assert (alert.events, alert.documents, alert.detected_at, alert.late) == ([], [], iso(3 * SECOND), False)
    assert alert.explanation["condition"] == "eq 0"


def test_events_that_retention_took_leave_the_rest_readable() -> None:
    """Ids and members stay; what is gone is not shown."""
    alert = teller([doc("e2")]).alert(rule(), found())
    assert (alert.events, len(alert.documents), len(alert.explanation["members"])) == (["e1", "e2", "e3"], 1, 3)
    assert alert.detected_at == iso(3 * SECOND)


def test_an_alert_built_on_alerts_shows_their_events_as_they_were_then() -> None:
    """What an inner alert took in after it was raised is its own affair, so that the outer one is the same whenever it is made."""
    inner = found(id="c-inner", members=[(SECOND, "e1", 1), (3 * SECOND, "e3", 1), (9 * SECOND, "e9", 1)])
    outer = found(rule="parent", first="c-inner", members=[(3 * SECOND, "c-inner", 1)], count=1)
    parent = rule(id="parent", rules=("c",))
    alert = teller([doc("e1"), doc("e3")], [inner], [rule(), parent]).alert(parent, outer)
    assert alert.events == ["e1", "e3"]
    assert alert.explanation["members"] == [{"time": iso(3 * SECOND), "alert": alert_name("c-inner"), "events": ["e1", "e3"], "rules": ["c"]}]
    assert alert.detected_at == iso(RECEIVED)


def test_an_explanation_shows_so_many_members_and_counts_all() -> None:
    """The ids of all stand in the alert."""
    members = [(number * SECOND, f"e{number}", 1) for number in range(50)]
    alert = teller([]).alert(rule(), found(members=members, count=50))
    assert (len(alert.events), len(alert.explanation["members"]), alert.explanation["count"]) == (50, MOST_MEMBERS, 50)
