"""The parts of policies: files that are refused with line and reason, conditions decided early or late, decisions that are repeatable."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.errors import ConfigError, QuerySyntaxError
from soc.incidents.document import MOST_BYTES, parsed
from soc.incidents.playbook import due_at
from soc.incidents.playbook import load_text as load_playbook
from soc.incidents.policies.cases import cases_of, run_case
from soc.incidents.policies.condition import OF_GROUPS, alert_doc, condition, decided, fields, group_doc, required_rules
from soc.incidents.policies.plan import FIRST, Subject, Target, action_of, decide, effect_of, observables_of
from soc.incidents.policies.policy import Loaded, filled, load_text, span_us
from soc.incidents.policies.state import Switch, fold, stream_of, switched
from soc.model.alert import Alert, AlertGroup, RuleRef
from soc.model.fact import Fact
from soc.model.query import And, Node, Not, Or, Term, matches

GOOD = """title: {vi: Mở, en: Opens}
when: rule.id:r-1
attach: {same: [rule], within: 1h}
limit: {most: 2, within: 1h}
then:
    open:
        title: {vi: "{rule}", en: "{rule}"}
"""
AT = "2026-11-20T02:00:00.000Z"


def group(
    number: int = 1, *, rule: str = "r-1", level: str = "high", key: dict[str, str] | None = None, agencies: tuple[str, ...] = (), count: int = 1
) -> AlertGroup:
    """A group."""
    return AlertGroup(
        f"g-{number}",
        RuleRef(rule, f"Rule {rule}", level, "h", ("attack.t1110",)),
        key or {},
        "real",
        count,
        AT,
        AT,
        f"a-{number}",
        "high",
        "malware",
        list(agencies),
    )


def subject(number: int, at_us: int, **rest: Any) -> Subject:
    """A group that meets a condition."""
    found = group(number, **rest)
    return Subject(found, "1", AT, at_us, {}, list(found.agencies), [], observables_of(found.key))


# --- files -----------------------------------------------------------------------------------------------------------

WRONG = [
    ("", 1, "empty"),
    ("title: {vi: a, en: b}\nwhen: rule.id:x\n", 1, "then"),
    ("title: {vi: a}\nwhen: rule.id:x\nthen: {page: true}\n", 1, "title.en"),
    (GOOD + "colour: red\n", 8, "colour"),
    (GOOD.replace('title: {vi: "{rule}"', 'titel: {vi: "{rule}"'), 7, "titel"),
    (GOOD.replace("rule.id:r-1", "rule.id:("), 2, "when"),
    (GOOD.replace("rule.id:r-1", "malware"), 2, "field"),
    (GOOD.replace("rule.id:r-1", '""'), 2, "empty"),
    (GOOD.replace("rule.id:r-1", "cuont>3"), 2, "cuont"),
    (GOOD.replace("within: 1h}\nlimit", "within: soon}\nlimit"), 3, "soon"),
    (GOOD.replace("same: [rule]", "same: []"), 3, "same"),
    (GOOD.replace("same: [rule]", "same: [color]"), 3, "color"),
    (GOOD.replace("most: 2", "most: 0"), 4, "limit.most"),
    (GOOD.replace("most: 2", "most: two"), 4, "limit.most"),
    (GOOD + "        class: no/such\n", 8, "RSIT"),
    (GOOD + "        tlp: PINK\n", 8, "PINK"),
    (GOOD + "        severity: awful\n", 8, "awful"),
    (GOOD + "    assign: everybody\n", 8, "everybody"),
    (GOOD + "    notify:\n        - {to: nobody, text: {vi: a, en: b}}\n", 9, "nobody"),
    (GOOD.replace('en: "{rule}"', 'en: "{rule.__class__}"'), 7, "{rule.__class__}"),
    ("title: {vi: a, en: b}\nwhen: rule.id:x\nthen: {}\n", 3, "nothing"),
    ("title: {vi: a, en: b}\nwhen: rule.id:x\nattach: {same: [rule], within: 1h}\nthen: {page: true}\n", 4, "open"),
    (GOOD + "then: {page: true}\n", 8, "twice"),
    ("a: &x [1]\nb: *x\n", 1, "references"),
    ("a: b: c\n", 1, "YAML"),
    ("a: !!python/object/apply:os.system [x]\n", 1, "YAML"),
    ("- 1\n", 1, "object"),
    ("x: " + "[" * 40 + "]" * 40, 1, "deep"),
    ("x: 2026-99-99\n", 1, "month"),
]


@pytest.mark.parametrize(("text", "line", "word"), WRONG, ids=[word for *_, word in WRONG])
def test_a_bad_file_is_refused_with_its_line_and_the_reason(text: str, line: int, word: str) -> None:
    """The line is that of the part that is wrong; the reason names it."""
    with pytest.raises(ConfigError) as told:
        load_text(text.encode(), "own")
    assert (told.value.file, told.value.line) == ("own.yml", line), told.value.message
    assert word in told.value.message


def test_files_that_are_too_large_no_text_or_wrongly_named_are_refused() -> None:
    """Nothing is read of them."""
    for content, name in ((b"#" * (MOST_BYTES + 1), "own"), (b"title: \xff", "own"), (GOOD.encode(), "Own Policy"), (GOOD.encode() + b"name: other\n", "own")):
        with pytest.raises(ConfigError):
            load_text(content, name)


@given(st.binary(max_size=200))
def test_whatever_stands_in_a_file_it_is_a_policy_or_refused(content: bytes) -> None:
    """Nothing else is raised."""
    with suppress(ConfigError):
        assert load_text(content, "own").name == "own"


def test_a_file_names_the_line_of_each_part() -> None:
    """Also inside lists, and of what is missing the nearest above."""
    document = parsed(b"a:\n  - b: 1\n  - c: 2\n", "x.yml")
    assert [document.line_of(*steps) for steps in ((), ("a",), ("a", 1, "c"), ("a", 1, "d"), ("z",))] == [1, 1, 3, 3, 1]


@pytest.mark.parametrize("text", ["", "0h", "1w", "-1h", "1 h", "12345d", "٣h"])
def test_periods_are_minutes_hours_and_days(text: str) -> None:
    """Anything else is none."""
    assert (span_us("90m"), span_us("24h"), span_us("7d")) == (5_400_000_000, 86_400_000_000, 604_800_000_000)
    with pytest.raises(ValueError, match="^" + re.escape(text) + "$"):
        span_us(text)


def test_texts_are_filled_once_and_values_are_no_templates() -> None:
    """What an attacker writes into a field stands there as it is."""
    assert filled("{rule}: {key} {nothing}", {"rule": "{key}", "key": "a={rule}"}) == "{key}: a={rule} "


# --- conditions ------------------------------------------------------------------------------------------------------

FIELDS = ("rule.id", "rule.level", "count", "source.ip", "file.name", "soc.system.level")
VALUES = ("r-1", "high", "3", "192.0.2.1", "a.exe")


def nodes() -> st.SearchStrategy[Node]:
    """Conditions over fields of groups, of keys and of events."""
    leaf: st.SearchStrategy[Node] = st.builds(Term, st.sampled_from(FIELDS), st.sampled_from(VALUES))
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(And, st.lists(inner, min_size=1, max_size=3).map(tuple)),
            st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        ),
        max_leaves=8,
    )


@given(nodes(), st.lists(st.dictionaries(st.sampled_from(("file.name", "soc.system.level")), st.sampled_from(VALUES)), min_size=1, max_size=3))
def test_what_the_group_decides_by_itself_no_alert_can_change(node: Node, documents: list[dict[str, str]]) -> None:
    """Three-valued: a yes or no is that of every alert; only an open answer depends on them."""
    doc = group_doc(group(key={"source.ip": "192.0.2.1"}, count=3), count=3, generation=1)
    answer = decided(node, doc)
    full = [matches(node, alert_doc(doc, Alert("a", "g", {}, RuleRef("r", "", "", ""), "real", AT, AT, [], [dict(one)], {}))) for one in documents]
    if answer is not None:
        assert full == [answer] * len(full)


@given(nodes())
def test_a_rule_that_is_not_required_never_fulfils_a_condition(node: Node) -> None:
    """The index by rules leaves no group out."""
    rules = required_rules(node)
    if rules is not None and "r-9" not in rules:
        assert decided(node, group_doc(group(rule="r-9"), count=1, generation=1)) is not True


def test_conditions_name_fields_of_groups_keys_and_events() -> None:
    """Short names of the query language work; words without a field are refused."""
    node = condition("agency:so-yt and category:malware and soc.system.level>=3 and silence.minutes>60")
    assert fields(node) == {"soc.agency.id", "soc.threat.category", "soc.system.level", "silence.minutes"}
    doc = group_doc(group(agencies=("so-yt",)), count=1, generation=1, silence=(61, True))
    assert set(OF_GROUPS) >= {name for name in doc if name != "source.ip"}
    assert decided(node, doc) is None
    assert decided(condition("agency:xa-a and soc.system.level>=3"), doc) is False
    for text in ("", "malware", "rule.id:x and (malware or agency:a)"):
        with pytest.raises(QuerySyntaxError):
            condition(text)


def test_observables_are_what_the_key_names() -> None:
    """By kind; what is none stays out."""
    key = {
        "source.ip": "192.0.2.1",
        "url.domain": "evil.example",
        "file.hash.sha256": "ab",
        "user.name": "an",
        "email.from.address": "a@b.c",
        "storm": "x",
        "source": "s",
    }
    assert [(one["type"], one["value"]) for one in observables_of(key)] == [
        ("email", "a@b.c"),
        ("hash", "ab"),
        ("ip", "192.0.2.1"),
        ("domain", "evil.example"),
        ("account", "an"),
    ]


# --- decisions -------------------------------------------------------------------------------------------------------


def loaded(text: str = GOOD) -> Loaded:
    """A policy."""
    return load_text(text.encode(), "own")


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.integers(0, 300)), max_size=60))
def test_every_group_is_decided_once_and_the_limit_holds(steps: list[tuple[int, int, int]]) -> None:
    """Whatever comes in which order: one decision per group, no more beginnings within the time than allowed plus one storm, targets that were opened."""
    policy = loaded(GOOD.replace("same: [rule]", "same: [agency]"))
    targets: list[Target] = []
    fired: dict[str, Any] = {}
    begun: list[int] = []
    for number, agency, minute in sorted(steps, key=lambda step: step[2]):
        now_us = 10**15 + minute * 60_000_000
        found = decide(policy, [subject(number, now_us, agencies=(f"x{agency}",))], targets, fired=fired, begun=begun, now_us=now_us, day="2026-11-20")
        assert (
            decide(policy, [subject(number, now_us)], list(targets), fired={**fired, **{one.effect: one for one in found}}, begun=begun, now_us=now_us, day="d")
            == []
        )
        for firing in found:
            assert firing.effect not in fired
            fired[firing.effect] = firing
            begun += [now_us] * (firing.how in FIRST)
    groups = {one.group for one in fired.values() if one.how != "storm"}
    assert groups == {f"g-{number}" for number, *_ in steps}
    opened = {one.effect for one in fired.values() if one.how in FIRST}
    assert {one.target for one in fired.values()} <= opened
    for at in begun:
        assert sum(0 <= other - at < 3_600_000_000 for other in begun) <= policy.policy.limit.most + 1


def test_ids_of_effects_and_actions_are_stable_and_differ_by_their_parts() -> None:
    """What was sent under one is sent once, also by another program of another day."""
    assert effect_of("own", "g-1", "1") == effect_of("own", "g-1", "1") == "e-" + effect_of("own", "g-1", "1")[2:]
    assert len({effect_of(*parts) for parts in (("own", "g-1", "1"), ("own", "g-1", "2"), ("own", "g-2", "1"), ("other", "g-1", "1"))}) == 4
    assert action_of("e-1", "page") != action_of("e-1", "mail")


def test_the_state_of_a_policy_is_a_fold_of_its_facts() -> None:
    """Decisions that were not carried out are pending; the last word about the switch counts; unknown facts only count."""
    firings = decide(loaded(), [subject(1, 10**15), subject(2, 10**15)], [], fired=(), begun=(), now_us=10**15, day="d")
    data: list[tuple[str, dict[str, Any]]] = [("PolicyTaken", {"since": AT}), ("PolicyFired", {"firings": [msgspec.to_builtins(one) for one in firings]}), ("PolicyPraised", {}),
            ("IncidentReserved", {"effect": firings[0].effect, "incident": "INC-2026-0001"}), ("PolicyDone", {"effects": [firings[0].effect]})]  # fmt: skip
    facts = [Fact(1, stream_of("own", "real"), number, kind, AT, "x", "real", values, "", None, "") for number, (kind, values) in enumerate(data, 1)]
    state = fold(facts)
    assert (state.version, len(state.fired), [one.group for one in state.pending()], len(state.begun)) == (5, 2, ["g-2"], 1)
    assert {state.incident_of(one) for one in firings} == {"INC-2026-0001"}
    assert switched([]) == Switch()
    off = Fact(1, "policy/own/state", 1, "PolicyDisabled", AT, "an", "real", {}, "thử", None, "")
    assert (switched([off]).state, switched([off]).why, switched([off, msgspec.structs.replace(off, sequence=2, kind="PolicyEnabled")]).state) == (
        "off",
        "thử",
        "on",
    )


def test_a_case_that_does_not_hold_says_what_was_found() -> None:
    """Too few, too many, unknown words."""
    text = "- name: a\n  groups: [{rule: {id: r-1}, key: {source.ip: 192.0.2.1}}]\n  expect: %s\n"
    for expected, reason in (("{opened: 1}", ""), ("{opened: 2}", "expected 2"), ("nothing", "nothing"), ("{told: 0}", "not expected"), ("{cups: 1}", "cups")):
        (case,) = cases_of((text % expected).encode(), "own.test.yml")
        assert reason in run_case(loaded(), case).reason
        assert bool(reason) == bool(run_case(loaded(), case).reason)
    with pytest.raises(ConfigError) as told:
        cases_of(b"- name: a\n  groups: []\n  expect: {}\n  expects: 1\n", "own.test.yml")
    assert told.value.line == 4


# --- playbooks -------------------------------------------------------------------------------------------------------

PLAY = """title: {vi: Một, en: One}
version: 1
summary: {vi: a, en: b}
classes: [fraud/phishing]
sources: [{name: x}]
national_centre: {vi: a, en: b}
tasks:
    - id: one
      phase: detect
      title: {vi: a, en: b}
      who: analyst
      due: 90m
      how: {vi: [a], en: [b]}
      record: {vi: a, en: b}
"""


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [("due: 90m", "due: soon", 12), ("phase: detect", "phase: later", 9), ("who: analyst", "who: all", 11), ("en: [b]", "en: [b, c]", 13), ("en: [b]", "en: []", 13),
     ("fraud/phishing", "no/such", 4), ("version: 1", "version: 0", 2), ("[{name: x}]", "[]", 5), ("id: one", "id: One", 8), ("title: {vi: Một, en: One}", "title: {vi: Một}", 1)],
)  # fmt: skip
def test_a_bad_playbook_is_refused_with_its_line(old: str, new: str, line: int) -> None:
    """As policies are."""
    (job,) = load_playbook(PLAY.encode(), "own").tasks
    assert due_at(job, "2026-11-20T13:00:00.000Z", "2026-11-20T23:00:00.000Z") == "2026-11-21T00:30:00.000Z"
    with pytest.raises(ConfigError) as told:
        load_playbook(PLAY.replace(old, new).encode(), "own")
    assert told.value.line == line
