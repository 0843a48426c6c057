"""Exceptions: filters with an owner, a reason and an end by the log's own time; shadows beside the rules that they are to replace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soc.model.event import Event
from soc.rules.ast import Rule
from soc.rules.cache import Cache
from soc.rules.collection import Collection, load_collection
from soc.rules.engine import Engine, compile_ruleset
from soc.rules.exceptions import explained, letting_pass
from soc.rules.match import matches

RULE = """\
title: Scan
id: 22222222-0000-4000-8000-000000000001
name: scan
logsource: {category: firewall}
detection: {sel: {event.action: deny}, condition: sel}
level: medium
"""
EXCEPTION = """\
title: Our own scanner
id: 22222222-0000-4000-8000-000000000002
logsource: {category: firewall}
filter:
  rules: [scan]
  selection: {source.ip: 10.1.2.3}
  condition: not selection
soc: {owner: an, reason: weekly scan, expires: 2026-11-21}
"""
END = "2026-11-21T17:00:00.000Z"
"""The end of that day in Viet Nam."""


def doc(at: str, ip: str = "10.1.2.3") -> dict[str, Any]:
    """A denied connection received at a time."""
    return {"soc.kind": "firewall", "event.action": "deny", "source.ip": ip, "soc.received_at": at, "@timestamp": "2020-01-01T00:00:00.000Z"}


def loaded(tmp_path: Path, *texts: str, states: dict[str, str] | None = None) -> Collection:
    """The collection of some files; nothing may be refused."""
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.yml").write_text(text, encoding="utf-8")
    collection, errors, notes = load_collection([tmp_path], states=states)
    assert not errors
    assert not notes
    return collection


def only(collection: Collection) -> Rule:
    """The only rule."""
    (rule,) = collection.ruleset.rules
    return rule


def engine_of(collection: Collection) -> Engine:
    """The engine."""
    return compile_ruleset(collection.ruleset)


def test_an_exception_lets_pass_what_it_names_until_its_end(tmp_path: Path) -> None:
    """It covers the one address, to the last moment of its day by the received time; who let an event pass is told."""
    engine = engine_of(loaded(tmp_path, RULE, EXCEPTION))
    covered = engine.classify(doc("2026-11-21T16:59:59.999Z"))
    assert (covered.matches, covered.excepted) == ((), ((0, "22222222-0000-4000-8000-000000000002"),))
    assert engine.classify(doc(END)).matches == (0,)
    assert engine.classify(doc("2026-11-20T00:00:00.000Z", "10.1.2.4")).matches == (0,)
    assert engine.classify(doc("2026-11-20T00:00:00.000Z", "10.1.2.4")).excepted == ()


@pytest.mark.parametrize(
    ("written", "zone", "end"),
    [
        ("2026-11-21", "", END),
        ("2026-11-21", "Asia/Ho_Chi_Minh", END),
        ("2026-11-21", "Europe/Paris", "2026-11-21T23:00:00.000Z"),
        ("'2026-11-21'", "Europe/Paris", "2026-11-21T23:00:00.000Z"),
        ("2026-03-28", "Europe/Paris", "2026-03-28T23:00:00.000Z"),
        ("2026-03-29", "Europe/Paris", "2026-03-29T22:00:00.000Z"),
        ("2026-11-21T08:00:00", "Europe/Paris", "2026-11-21T07:00:00.000Z"),
        ("'2026-11-21T08:00:00+07:00'", "Europe/Paris", "2026-11-21T01:00:00.000Z"),
        ("2026-11-21T08:00:00Z", "Europe/Paris", "2026-11-21T08:00:00.000Z"),
        ("never", "Europe/Paris", ""),
    ],
)
def test_a_day_ends_in_the_zone_of_the_rules(tmp_path: Path, written: str, zone: str, end: str) -> None:
    """A day or a time without zone is one of the zone that rules are in, also when the file was read before for another; an instant is an instant."""
    (tmp_path / "0.yml").write_text(RULE, encoding="utf-8")
    (tmp_path / "1.yml").write_text(EXCEPTION.replace("2026-11-21", written), encoding="utf-8")
    cache = Cache(tmp_path / "cache")
    for first in ("Asia/Tokyo", zone):
        collection, errors, _ = load_collection([tmp_path], cache=cache, zone=first)
        assert not errors
    assert only(collection).exceptions[0].expires == end


@pytest.mark.parametrize("written", ["9999-12-31", "0001-01-01", "soon", "'2026-13-01'", "[1]", "12"])
def test_an_end_that_is_no_time_is_refused(tmp_path: Path, written: str) -> None:
    """Also the last day that calendars know, which has no end."""
    (tmp_path / "0.yml").write_text(RULE, encoding="utf-8")
    (tmp_path / "1.yml").write_text(EXCEPTION.replace("2026-11-21", written), encoding="utf-8")
    _, errors, _ = load_collection([tmp_path])
    assert ["expires" in error.reason for error in errors] == [True]


def test_the_naive_answer_is_that_of_the_engine(tmp_path: Path) -> None:
    """For every time and address: the condition with its exceptions, naively, says what the engine says."""
    collection = loaded(tmp_path, RULE, EXCEPTION)
    rule, engine = only(collection), engine_of(collection)
    for at in ("2026-11-20T00:00:00.000Z", END, "", "no time", "2026-11-22T00:00:00+07:00", "2026-11-21T23:59:00+07:00"):
        for ip in ("10.1.2.3", "10.1.2.4"):
            event = doc(at, ip)
            naive = matches(rule.condition, event) and letting_pass(rule, event) is None
            assert bool(engine.classify(event).matches) == naive, (at, ip)


def test_an_exception_is_part_of_the_rules_hash(tmp_path: Path) -> None:
    """With an exception, and with another end of it, a rule is another: the set says something else."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    hashes = {
        loaded(tmp_path / "a", RULE).ruleset.hash,
        loaded(tmp_path / "b", RULE, EXCEPTION).ruleset.hash,
        loaded(tmp_path / "c", RULE, EXCEPTION.replace("11-21", "11-22")).ruleset.hash,
    }
    assert len(hashes) == 3


def test_the_explanation_names_exceptions(tmp_path: Path) -> None:
    """Each with owner and reason, whether it is in force and whether it covers the event; an alert's explanation has them too."""
    collection = loaded(tmp_path, RULE, EXCEPTION)
    (found,) = explained(only(collection), doc(END))["exceptions"]
    assert (found["owner"], found["reason"], found["expires"], found["in_force"], found["covers"]) == ("an", "weekly scan", END, False, True)
    alert = engine_of(collection).alert(0, Event("e1", 0, "firewall", "fw", "p", 1, "h", "none", "", "real", doc(END), ""), END)
    assert alert.explanation["exceptions"] == [found]


@pytest.mark.parametrize(
    ("soc", "reason"),
    [
        ("{owner: an, reason: r}", "needs `soc.expires`"),
        ("{owner: an, expires: never}", "needs `soc.reason`"),
        ("{reason: r, expires: never}", "needs `soc.owner`"),
        ("{owner: '', reason: r, expires: never}", "needs `soc.owner`"),
        ("{owner: an, reason: r, expires: soon}", "needs `soc.expires`"),
        ("{owner: an, reason: r, expires: 5}", "needs `soc.expires`"),
        ("{owner: an, reason: r, expires: never, x: 1}", "no key 'x'"),
        ("[1]", "no mapping"),
    ],
)
def test_an_exception_that_says_too_little_is_refused(tmp_path: Path, soc: str, reason: str) -> None:
    """Owner, reason and end must be said; the rule itself works on."""
    (tmp_path / "r.yml").write_text(RULE + "---\n" + EXCEPTION.rpartition("soc:")[0] + f"soc: {soc}\n")
    collection, errors, _notes = load_collection([tmp_path])
    (error,) = errors
    assert reason in error.reason
    assert error.line > 8
    assert only(collection).exceptions == ()


@pytest.mark.parametrize(
    ("written", "expires"),
    [
        ("never", ""),
        ("2026-11-21", END),
        ("'2026-11-21'", END),
        ("2026-11-21T10:00:00+07:00", "2026-11-21T03:00:00.000Z"),
        ("'2026-11-21 10:00'", "2026-11-21T03:00:00.000Z"),
    ],
)
def test_ends_are_days_or_times(tmp_path: Path, written: str, expires: str) -> None:
    """A day lasts to its end in the local zone; a time without a zone is local; never has none."""
    (exception,) = only(loaded(tmp_path, RULE, EXCEPTION.replace("2026-11-21", written))).exceptions
    assert exception.expires == expires


# --- shadows ----------------------------------------------------------------------------------------------------------

SHADOW = RULE.replace("level: medium", "level: high\nsoc: {shadow: true}")


def test_a_shadow_may_have_the_id_of_a_live_rule(tmp_path: Path) -> None:
    """In whichever order the files come, the live rule keeps id and name, and exceptions hold for both."""
    for number, order in enumerate(((RULE, SHADOW, EXCEPTION), (SHADOW, RULE, EXCEPTION))):
        folder = tmp_path / str(number)
        folder.mkdir()
        rules = {rule.id: rule for rule in loaded(folder, *order).ruleset.rules}
        assert [(name[-7:], rule.level, rule.shadow, len(rule.exceptions)) for name, rule in sorted(rules.items())] == [
            ("0000001", "medium", False, 1),
            (".shadow", "high", True, 1),
        ]


def test_alerts_of_a_shadow_are_others(tmp_path: Path) -> None:
    """Marked, with ids and groups of their own, so that a promoted rule raises what its shadow only noted."""
    event = Event("e1", 0, "firewall", "fw", "p", 1, "h", "none", "", "real", doc(END, "10.9.9.9"), "")
    (tmp_path / "s").mkdir()
    (tmp_path / "l").mkdir()
    shadow = engine_of(loaded(tmp_path / "s", SHADOW)).alert(0, event, END)
    live = engine_of(loaded(tmp_path / "l", RULE)).alert(0, event, END)
    assert (shadow.shadow, live.shadow) == (True, False)
    assert (shadow.namespace, live.namespace) == ("shadow:real", "real")
    assert shadow.id != live.id
    assert shadow.group != live.group
    assert shadow.rule.id == live.rule.id


def test_a_promoted_shadow_takes_the_place_and_the_id(tmp_path: Path) -> None:
    """By a recorded state; the old rule is gone and the set's hash another."""
    before = loaded(tmp_path, RULE, SHADOW)
    after = load_collection([tmp_path], states={"22222222-0000-4000-8000-000000000001.shadow": "live"})[0]
    rule = only(after)
    assert (rule.id, rule.level, rule.shadow) == ("22222222-0000-4000-8000-000000000001", "high", False)
    assert after.ruleset.hash != before.ruleset.hash


def test_a_live_rule_can_be_made_a_shadow_and_back(tmp_path: Path) -> None:
    """Only its state changes; the hash of the set says so."""
    name = "22222222-0000-4000-8000-000000000001"
    live = loaded(tmp_path, RULE)
    shadow = load_collection([tmp_path], states={name: "shadow"})[0]
    again = load_collection([tmp_path], states={name: "live"})[0]
    assert only(shadow).shadow
    assert shadow.ruleset.hash != live.ruleset.hash == again.ruleset.hash


def test_a_rule_replaces_another_only_when_it_is_live(tmp_path: Path) -> None:
    """`soc.replaces` names another rule: beside it as a shadow, in its place when promoted."""
    other = RULE.replace("000001", "000009").replace("name: scan\n", "") + "soc: {shadow: true, replaces: scan}\n"
    both = loaded(tmp_path, RULE, other, EXCEPTION)
    assert sorted(rule.shadow for rule in both.ruleset.rules) == [False, True]
    assert all(rule.exceptions for rule in both.ruleset.rules)
    (tmp_path / "2.yml").unlink()
    promoted = load_collection([tmp_path], states={"22222222-0000-4000-8000-000000000009": "live"})[0]
    assert [rule.id for rule in promoted.ruleset.rules] == ["22222222-0000-4000-8000-000000000009"]


def test_what_is_made_of_a_shadow_is_a_shadow_and_silences_nothing_live(tmp_path: Path) -> None:
    """A correlation over a shadow rule counts nowhere either; over live rules a shadow correlation leaves them their alerts."""
    burst = (
        "title: Burst\nid: 22222222-0000-4000-8000-000000000003\nlevel: high\n"
        "correlation: {type: event_count, rules: [scan], group-by: [source.ip], timespan: 60s, condition: {gte: 3}}\n"
    )
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    over_shadow = loaded(tmp_path / "a", SHADOW, burst)
    assert over_shadow.correlations[0].shadow
    assert over_shadow.silent == {"22222222-0000-4000-8000-000000000001"}
    over_live = loaded(tmp_path / "b", RULE, burst + "soc: {shadow: true}\n")
    assert over_live.correlations[0].shadow
    assert over_live.silent == frozenset()


def test_a_classification_rule_has_no_shadow(tmp_path: Path) -> None:
    """It makes no alerts that could be compared, so it is refused with what to do instead; a recorded state changes nothing."""
    rule = RULE + "soc: {classify: {level: high, category: scan}, shadow: true}\n"
    (tmp_path / "r.yml").write_text(rule)
    _collection, (error,), _notes = load_collection([tmp_path])
    assert "has no shadow" in error.reason
    assert "soc replay" in error.hint
    (tmp_path / "r.yml").write_text(rule.replace(", shadow: true", ""))
    collection, errors, _notes = load_collection([tmp_path], states={"22222222-0000-4000-8000-000000000001": "shadow"})
    assert not errors
    assert not only(collection).shadow
