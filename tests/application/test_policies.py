"""What policies do with the groups of a store: opened once, joined, storms as one; whatever is killed, and whoever runs it beside.

The parts `policies_match`, `policies_effects`, `policies_people`, `policies_defects` and `policies_set` are tested together here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from soc.application import duties, incidents, outbox, playbooks, policies, policies_set, rules_retract, situation, suppressions, triage
from soc.application.app import Actor, App
from soc.application.policies_defects import Settled, reached
from soc.application.policies_match import MOST_ALERTS
from soc.application.policies_people import unreached
from soc.bootstrap import open_app
from soc.clock import FrozenClock, iso
from soc.config import PoliciesSettings, Settings, StoreSettings
from soc.errors import Conflict, NotAllowed, NotFound, UsageError
from soc.incidents.model import PREFIX as INCIDENTS
from soc.incidents.model import Incident
from soc.incidents.model import fold as fold_incident
from soc.incidents.policies.policy import load_text
from soc.incidents.policies.state import fold, stream_of
from soc.model.alert import RuleRef
from soc.model.fact import NewFact
from soc.organization.registry import Registry, record
from soc.organization.table import Row
from soc.ports import AlertQuery, Effects, Gap
from tests.contracts.conftest import STORES
from tests.contracts.samples import DAY, HOUR, T0, alert, batch, event
from tests.servers.clock import clock_for

MINUTE = 60_000_000

OPENS = """
title: {vi: Mở, en: Opens}
when: "rule.id:r-open"
attach: {same: [policy, agency], within: 24h}
limit: {most: 3, within: 1h}
then:
    open:
        title: {vi: "{rule} {agency} {key}", en: "{rule} {agency} {key}"}
        severity: high
        class: malicious-code/infected-system
        playbook: own
    assign: lead
    notify:
        - to: lead
          text: {vi: "Sự cố {incident}", en: "Incident {incident}"}
"""
TELLS = """
title: {vi: Báo, en: Tells}
when: rule.id:r-tell and count>=3
limit: {most: 2, within: 1h}
then:
    notify:
        - to: lead
          text: {vi: "{count} lần {key}", en: "{count} times {key}"}
"""
LEVEL = """
title: {vi: Hệ thống, en: System}
when: rule.level:critical and soc.system.level>=3
then:
    open:
        title: {vi: "{system}", en: "{system}"}
"""
SILENT = """
title: {vi: Im lặng, en: Silent}
when: rule.id:soc-source-silent and silence.minutes>=60
then:
    open:
        title: {vi: "{source} im lặng", en: "{source} is silent"}
"""
PLAYBOOK = """
title: {vi: Mẫu, en: Sample}
version: 2
summary: {vi: Một, en: One}
classes: [malicious-code/infected-system]
sources: [{name: Ta}]
national_centre: {vi: Khi lan, en: When it spreads}
tasks:
    - id: isolate
      phase: contain
      title: {vi: Cách ly, en: Isolate}
      who: analyst
      due: 30m
      how: {vi: [Rút dây], en: [Pull the cable]}
      record: {vi: Giờ, en: The hour}
"""
WRITTEN = {"opens": OPENS, "tells": TELLS, "level": LEVEL, "silent": SILENT}


@pytest.fixture
def made(tmp_path: Path) -> Iterator[App]:
    """An application with four policies of its own, a lead with a mail address, and two agencies."""
    with open_app(settings(tmp_path), Actor("an"), clock=FrozenClock(T0 + HOUR), pipeline=True) as app:
        register(app)
        yield app


def settings(folder: Path, kind: str = "memory") -> Settings:
    """Settings with the policies and playbooks that are written into a folder."""
    for name, text in WRITTEN.items():
        (folder / "policies").mkdir(exist_ok=True)
        (folder / "policies" / f"{name}.yml").write_text(text, encoding="utf-8")
    (folder / "playbooks").mkdir(exist_ok=True)
    (folder / "playbooks" / "own.yml").write_text(PLAYBOOK, encoding="utf-8")
    store = StoreSettings(kind="memory") if kind == "memory" else StoreSettings(path=folder / "store")
    return Settings.model_validate(
        {
            "store": store,
            "data_dir": folder,
            "policies": PoliciesSettings(shipped=False, directories=[folder / "policies"]),
            "playbooks": {"directories": [folder / "playbooks"]},
        }
    )


def register(app: App) -> None:
    """Two agencies, a lead."""
    for kind, rows in (
        ("agencies", [{"id": "so-yt", "name": "Sở Y tế", "level": "department"}, {"id": "xa-a", "name": "Xã A", "level": "commune"}]),
        ("people", [{"id": "lan", "name": "Chị Lan", "agency": "so-yt", "role": "lead", "email": "lan@example.gov.vn"}]),
    ):
        plan = Registry(app.journal).plan(kind, [Row(number, dict(row)) for number, row in enumerate(rows, 1)])
        assert not plan.rejected
        record(app.journal, plan, actor="an")


def put(
    app: App,
    *numbers: int,
    rule: str = "r-open",
    key: str = "",
    agency: str = "so-yt",
    level: str = "high",
    scope: str = "real",
    step_us: int = MINUTE,
    **fields: Any,
) -> list[str]:
    """An alert for each number, a minute apart, each in a group of its own unless `key` says which; their groups."""
    events = [event(n, ts_us=T0 + n * step_us, scope=scope, partition=f"fw/{scope}") for n in numbers]
    made = [alert(one, rule=rule, rule_level=level, key=key or f"198.51.100.{n}", agency=agency) for n, one in zip(numbers, events, strict=True)]
    for one in made:
        one.documents = [{**one.documents[0], **fields}]
    app.store.commit(batch(*events, alerts=made))
    return [one.group for one in made]


def opened(app: App) -> list[Incident]:
    """All incidents, by number."""
    return [fold_incident(stream.removeprefix(INCIDENTS), [one.fact for one in facts]) for stream, facts in app.journal.under(INCIDENTS)]


def messages(app: App) -> list[str]:
    """The texts that are due, sent or cancelled."""
    return sorted(one.message.body.partition("\n")[0] for one in outbox.sendings(app))


def test_a_group_that_fits_opens_one_incident_with_all_that_the_policy_says(made: App) -> None:
    """Title, class, owner, agency, T0 from the first alert, observables, tasks with due times; people are told; again nothing happens."""
    (group,) = put(made, 1)
    put(made, 2, rule="r-other")
    (did,) = policies.apply(made).did
    assert (did.policy, did.opened, did.incidents) == ("opens", 1, ["INC-2026-0001"])
    (incident,) = opened(made)
    assert (incident.title, incident.rsit, incident.severity, incident.owner) == (
        "Quét cổng Sở Y tế địa chỉ nguồn 198.51.100.1",
        "malicious-code/infected-system",
        "high",
        "Chị Lan",
    )
    assert (incident.agencies, incident.alerts, incident.policy, incident.state) == (["so-yt"], [group], "opens", "new")
    assert incident.detected_at == iso(T0 + MINUTE + 1_000_000)
    assert [(one["type"], one["value"]) for one in incident.observables] == [("ip", "198.51.100.1")]
    (task,) = incident.tasks
    assert (task.origin, task.title, task.owner, task.due_at) == ("own@2#isolate", "Cách ly", "Chị Lan", iso(T0 + 90 * MINUTE))
    assert task.how == "1. Rút dây"
    assert messages(made) == ["Sự cố INC-2026-0001"]
    before = len(made.journal.latest(1000))
    assert policies.apply(made).did == []
    assert len(made.journal.latest(1000)) == before


def test_what_comes_later_joins_and_another_agency_opens_its_own(made: App) -> None:
    """Same policy and agency within a day: no second incident, no second message; the observables come along."""
    put(made, 1)
    policies.apply(made)
    put(made, 2)
    put(made, 3, agency="xa-a")
    (did,) = policies.apply(made).did
    assert (did.opened, did.joined) == (1, 1)
    first, second = opened(made)
    assert (len(first.alerts), len(first.observables), second.agencies) == (2, 2, ["xa-a"])
    assert len(messages(made)) == 2
    assert isinstance(made.clock, FrozenClock)
    made.clock.advance(25 * 3600)
    put(made, 26 * 60)
    policies.apply(made)
    assert len(opened(made)) == 3


def test_an_incident_that_people_opened_is_known(made: App) -> None:
    """A group that stands in an open incident opens no second one, and nobody is told."""
    (group,) = put(made, 1)
    incidents.open_incident(made, {"title": "qua điện thoại"}, alerts=[group])
    (did,) = policies.apply(made).did
    assert (did.known, did.opened, len(opened(made)), messages(made)) == (1, 0, 1, [])


def test_a_storm_is_one_incident_and_one_message(made: App) -> None:
    """Five hundred groups of five hundred agencies at once; what comes after joins the same one."""
    for number in range(250):
        put(made, number, agency=f"x{number}")
    (did,) = policies.apply(made).did
    assert (did.storms, did.opened, did.joined) == (1, 0, 250)
    (incident,) = opened(made)
    assert (len(incident.alerts), len(messages(made)), incident.title.startswith("[Mở]")) == (250, 1, True)
    for number in range(250, 300):
        put(made, number, agency=f"x{number}")
    (did,) = policies.apply(made).did
    assert (did.storms, did.joined, len(opened(made)), len(messages(made))) == (0, 50, 1, 1)
    assert len(opened(made)[0].alerts) == 300


def test_messages_of_a_policy_that_opens_nothing_are_limited_too(made: App) -> None:
    """Three occurrences are told once; ten such groups in an hour are one more message."""
    for number in range(3):
        put(made, number, rule="r-tell", key="a")
    (did,) = policies.apply(made).did
    assert (did.told, messages(made)) == (1, ["3 lần địa chỉ nguồn a"])
    put(made, 4, rule="r-tell", key="a")
    assert policies.apply(made).did == []
    for number in range(30):
        put(made, 10 + number, rule="r-tell", key=f"b{number % 10}")
    (did,) = policies.apply(made).did
    assert (did.storms, did.counted, did.told, len(messages(made))) == (1, 10, 0, 2)


def test_what_was_closed_suppressed_withdrawn_or_is_a_shadow_triggers_nothing(made: App) -> None:
    """And the next generation of a closed group triggers again."""
    put(made, 1, 2, 3, 4, key="a")
    (closed,) = triage.queue(made, AlertQuery(limit=0)).items
    triage.close(made, [closed], "benign")
    put(made, 5, key="b")
    suppressions.add(made, {"source.ip": "b"}, until_us=T0 + DAY, begin_us=T0, reason="đã biết")
    put(made, 6, key="c")
    rules_retract.retract(made, rules_retract.plan(made, "r-open", from_us=T0 + 6 * MINUTE, until_us=T0 + 7 * MINUTE), why="sai")
    assert policies.apply(made).did == []
    put(made, 8, key="a")
    (did,) = policies.apply(made).did
    assert did.opened == 1
    (incident,) = opened(made)
    assert incident.detected_at == iso(T0 + 8 * MINUTE + 1_000_000), "of the new generation"


def test_an_exercise_never_mixes_with_what_is_real(made: App) -> None:
    """Same policy, same agency, same moment: two incidents, each in its scope, the limits apart."""
    for number in range(3):
        put(made, number, scope="exercise:x", agency=("so-yt", "xa-a", "x3")[number])
    put(made, 1)
    did = {one.scope: one for one in policies.apply(made).did}
    assert (did["real"].opened, did["exercise:x"].opened) == (1, 3)
    assert sorted((one.scope, one.agencies) for one in opened(made)) == [
        ("exercise:x", []), ("exercise:x", ["so-yt"]), ("exercise:x", ["xa-a"]), ("real", ["so-yt"])
    ]  # fmt: skip
    assert {one.message.scope for one in outbox.sendings(made)} == {"real", "exercise:x"}
    for number in range(20, 40):
        put(made, number, scope="exercise:x", agency=f"y{number}")
    (did_again,) = policies.apply(made).did
    assert (did_again.scope, did_again.storms) == ("exercise:x", 1)
    assert sum(one.scope == "real" for one in opened(made)) == 1


def test_a_condition_on_events_is_asked_of_every_alert_of_a_group(made: App) -> None:
    """The alert that fulfils it need not be the newest; another group of the same rule does not fulfil it."""
    put(made, 1, rule="r-x", level="critical", key="a", soc={"system": {"id": "web", "level": 1}})
    put(made, 2, rule="r-x", level="critical", key="a", soc={"system": {"id": "hcc", "level": 4}})
    put(made, *range(3, 20), rule="r-x", level="critical", key="a", soc={"system": {"id": "web", "level": 1}})
    put(made, 21, rule="r-x", level="critical", key="b", soc={"system": {"id": "web", "level": 2}})
    put(made, 22, rule="r-x", level="high", key="c", soc={"system": {"id": "hcc", "level": 5}})
    assert MOST_ALERTS > 20
    policies.apply(made)
    (incident,) = opened(made)
    assert (incident.title, incident.detected_at) == ("hcc", iso(T0 + 2 * MINUTE + 1_000_000))


def test_silence_is_a_condition_and_each_silence_an_occasion(made: App) -> None:
    """Not after 59 minutes, once after 60, and again for the next silence after the incident was closed."""
    rule = RuleRef("soc-source-silent", "Source has gone silent", "high", "h", (), "health")

    def silent(from_us: int, until_us: int) -> None:
        said = alert(event(1, ts_us=from_us), rule=rule.id, key="")
        said.rule, said.group_key, said.group, said.id = rule, {"source": "mail"}, "g-silent", f"a-{from_us}"
        made.store.commit(Effects(progress=[], gaps=[Gap("mail", "real", from_us, until_us, "silent", 60.0)], alerts=[said]))

    assert isinstance(made.clock, FrozenClock)
    silent(T0 + MINUTE, 0)
    assert policies.apply(made).did == []
    made.clock.advance(60)
    assert [one.opened for one in policies.apply(made).did] == [1]
    made.clock.advance(3600)
    assert policies.apply(made).did == []
    (incident,) = opened(made)
    assert incident.title == "mail im lặng"


def test_a_group_that_goes_on_after_its_incident_was_closed_is_another_case(made: App) -> None:
    """Also when nobody closed the group itself; a rejected incident is the last word until somebody closes the group."""
    put(made, 1, key="a")
    policies.apply(made)
    incident = opened(made)[0]
    given = {"to": "closed", "resolution": "xong", "at": iso(T0 + 30 * MINUTE)}
    made.journal.append(INCIDENTS + incident.id, incident.version, [NewFact("IncidentMoved", given)], actor="an")
    put(made, 20, key="a")
    assert policies.apply(made).did == []
    put(made, 40, key="a")
    assert [one.opened for one in policies.apply(made).did] == [1]
    second = opened(made)[1]
    incidents.move(made, second.id, "reject", {}, reason="không phải")
    put(made, 50, key="a")
    assert policies.apply(made).did == []


def test_a_policy_looks_back_one_day_when_it_is_new_and_not_into_the_time_when_it_was_off(made: App) -> None:
    """Years of old alerts open nothing; `since` looks at them when somebody asks."""
    assert isinstance(made.clock, FrozenClock)
    put(made, 1)
    made.clock.advance(48 * 3600)
    assert policies.apply(made).did == []
    with pytest.raises(UsageError):
        policies_set.disable(made, "opens", why=" ")
    policies_set.disable(made, "opens", why="thử")
    with pytest.raises(Conflict):
        policies_set.disable(made, "opens", why="thử")
    put(made, 48 * 60)
    assert policies.apply(made).did == []
    made.clock.advance(60)
    assert policies_set.enable(made, "opens").running
    assert policies.apply(made).did == []
    assert [one.opened for one in policies.run(made, since_us=T0).did] == [1], "both groups are of one agency: one opens, one joins"
    with pytest.raises(NotFound):
        policies_set.one(made, "nothing")


def test_a_dry_run_says_what_would_have_been_done_and_does_nothing(made: App) -> None:
    """Opened, joined, storms, messages, with the first examples; closed groups count; the journal stays as it is."""
    put(made, 1, 2)
    put(made, 3, agency="xa-a")
    for number in range(60_000, 60_060):  # within one second
        put(made, number, step_us=10_000, agency=f"x{number}")
    triage.close(made, triage.queue(made, AlertQuery(limit=0)).items, "test")
    before = len(made.journal.latest(5000))
    loaded = policies_set.one(made, "opens").loaded
    (would,) = policies.rehearse(made, [loaded], since_us=T0)
    assert (would.groups, would.opened, would.joined, would.storms, would.messages) == (63, 3, 61, 1, 3)
    assert [example["how"] for example in would.examples] == ["opened", "opened", "storm"]
    assert len(made.journal.latest(5000)) == before


# --- whatever is killed ----------------------------------------------------------------------------------------------

POINTS = (
    "policies.decided",
    "policies.recorded",
    "policies.reserved",
    "policies.opened",
    "policies.joined",
    "policies.told",
    "policies.done",
    "outbox.recorded",
)


class Killed(BaseException):
    """What a kill looks like from inside."""


def killing(point: str, at: int) -> Callable[[str], None]:
    """A crash point that strikes at the n-th pass."""
    left = [at]

    def crash(name: str) -> None:
        if name == point:
            left[0] -= 1
            if not left[0]:
                raise Killed(name)

    return crash


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("point", POINTS)
def test_after_a_kill_at_any_step_nothing_is_done_twice_and_nothing_left_out(made: App, point: str, at: int) -> None:
    """Killed anywhere, run again: the same incidents with the same groups and tasks, the same messages as without."""
    put(made, 1, 2)
    put(made, 3, agency="xa-a")
    for number in range(3):
        put(made, 10 + number, rule="r-tell", key="a")
    made.crash = killing(point, at)
    for _ in range(3):
        try:
            policies.apply(made)
        except Killed:
            continue
        break
    made.crash = lambda _point: None
    policies.apply(made)
    put(made, 4)
    policies.apply(made)
    assert [(one.agencies, len(one.alerts), len(one.tasks)) for one in opened(made)] == [(["so-yt"], 3, 1), (["xa-a"], 1, 1)]
    assert messages(made) == ["3 lần địa chỉ nguồn a", "Sự cố INC-2026-0001", "Sự cố INC-2026-0002"]
    state = fold(one.fact for one in made.journal.read(stream_of("opens", "real")))
    assert not state.pending()
    assert policies.apply(made).did == []


def test_a_number_that_somebody_takes_between_reservation_and_opening_is_left_to_them(made: App) -> None:
    """The incident gets the next one; there is still only one."""
    put(made, 1)
    made.crash = killing("policies.reserved", 1)
    with pytest.raises(Killed):
        policies.apply(made)
    made.crash = lambda _point: None
    assert incidents.open_incident(made, {"title": "khác"}).id == "INC-2026-0001"
    policies.apply(made)
    assert [(one.id, one.policy) for one in opened(made)] == [("INC-2026-0001", ""), ("INC-2026-0002", "opens")]


def test_two_processes_at_once_open_one_incident(made: App) -> None:
    """The second one decides between the first one's decision and its record: it looks again and finds it done."""
    put(made, 1, 2)
    entered: list[str] = []

    def meanwhile(name: str) -> None:
        if name == "policies.decided" and not entered:
            entered.append(name)
            policies.apply(made)

    made.crash = meanwhile
    policies.apply(made)
    assert entered
    assert [len(one.alerts) for one in opened(made)] == [2]
    assert len(messages(made)) == 1


# --- a wrong rule ----------------------------------------------------------------------------------------------------


def test_a_retraction_reaches_what_policies_opened_and_undoing_brings_it_back(made: App) -> None:
    """The incident is marked with the defect, its clocks are void with the reason, unsent messages are cancelled; one that people act on stays."""
    put(made, 1)
    put(made, 2, agency="xa-a")
    policies.apply(made)
    second = opened(made)[1]
    incidents.move(made, second.id, "triage", {"rsit": "malicious-code/infected-system"})
    incidents.move(made, second.id, "contain", {})
    defect = rules_retract.retract(made, rules_retract.plan(made, "r-open", from_us=T0, until_us=T0 + HOUR), why="quy tắc sai")
    found, stays = opened(made)
    assert (found.state, found.defect, found.reason) == ("rejected", defect.id, "quy tắc sai")
    assert {(one.state, one.reason) for one in incidents.duties(made, found)} == {("void", "quy tắc sai")}
    assert (stays.state, stays.defect, stays.notes[-1].text.startswith(defect.id)) == ("contained", "", True)
    assert [one.id for one, _ in incidents.listed(made)] == [stays.id]
    assert {one.state for one in outbox.sendings(made) if one.message.cause == INCIDENTS + found.id} == {"cancelled"}
    assert {one.state for one in outbox.sendings(made) if one.message.cause == INCIDENTS + stays.id} == {"due"}
    assert policies.apply(made).settled == Settled()
    assert isinstance(made.clock, FrozenClock)
    made.clock.advance(60)
    assert situation.gather(made, iso(made.clock.now_us())).incidents_new == 1, "what was withdrawn stands in no figure"
    rules_retract.undo(made, defect.id, why="quy tắc đúng")
    again = opened(made)[0]
    assert (again.state, again.defect) == ("new", "")
    assert policies.apply(made).did == []
    assert msgspec.structs.astuple(reached(made, {defect.id})) == ([found.id], [found.id], [stays.id])


def test_a_policy_that_reaches_nobody_is_told(made: App) -> None:
    """No shift: neither on-call nor shift; a lead with an address is reached, and gets calls; a person whom nobody knows is not."""
    loaded = [policies_set.one(made, name).loaded for name in WRITTEN]
    assert unreached(made, loaded) == {}
    strange = load_text(OPENS.replace("to: lead", "to: person:nobody").encode(), "opens")
    shift = load_text(OPENS.replace("to: lead", "to: shift").encode(), "shift")
    assert unreached(made, [*loaded, strange, shift]) == {"opens": ["person:nobody"], "shift": ["shift"]}
    plan = Registry(made.journal).plan("people", [Row(2, {"id": "lan", "name": "Chị Lan", "agency": "so-yt", "role": "lead", "email": ""})])
    record(made.journal, plan, actor="an")
    called = load_text((OPENS + "    page: true\n").encode(), "called")
    assert unreached(made, [called]) == {"called": ["lead", "on-call"]}


def test_an_incident_of_two_wrong_rules_comes_back_with_either(made: App) -> None:
    """It goes when nothing of it counts any more, whichever defect was the last, and comes back when something counts again."""
    put(made, 1)
    policies.apply(made)
    (other,) = put(made, 2, rule="r-other")
    made.journal.append(INCIDENTS + "INC-2026-0001", 3, [NewFact("AlertsAttached", {"alerts": [other], "rules": ["r-other"]})], actor="an")
    first = rules_retract.retract(made, rules_retract.plan(made, "r-open", from_us=T0, until_us=T0 + HOUR), why="sai")
    assert opened(made)[0].state == "new"
    second = rules_retract.retract(made, rules_retract.plan(made, "r-other", from_us=T0, until_us=T0 + HOUR), why="cũng sai")
    assert (opened(made)[0].state, opened(made)[0].defect) == ("rejected", second.id)
    rules_retract.undo(made, first.id, why="đúng")
    assert (opened(made)[0].state, opened(made)[0].defect) == ("new", "")


def test_an_incident_with_another_group_that_counts_stays(made: App) -> None:
    """Only what the wrong rule alone opened goes with it."""
    (group,) = put(made, 1)
    (other,) = put(made, 2, rule="r-other")
    policies.apply(made)
    incidents.attach(made, "INC-2026-0001", [other])
    rules_retract.retract(made, rules_retract.plan(made, "r-open", from_us=T0, until_us=T0 + HOUR), why="sai")
    (incident,) = opened(made)
    assert (incident.state, incident.defect, incident.alerts) == ("new", "", [group, other])


def test_a_retraction_that_was_cut_off_is_settled_by_the_next_pass(made: App) -> None:
    """Withdrawn in the store, killed before the incident was marked."""
    put(made, 1)
    policies.apply(made)
    planned = rules_retract.plan(made, "r-open", from_us=T0, until_us=T0 + HOUR)
    made.store.retract(
        {
            "id": "x-1",
            "rule": "r-open",
            "title": "t",
            "from_us": T0,
            "until_us": T0 + HOUR,
            "since": iso(T0),
            "until": iso(T0 + HOUR),
            "alerts": planned.alerts,
            "hash": "",
            "by": "an",
            "why": "sai",
            "at": iso(T0 + HOUR),
        }
    )
    made.crash = killing("policies.withdrawn", 1)
    with pytest.raises(Killed):
        policies.apply(made)
    made.crash = lambda _point: None
    assert policies.apply(made).settled.withdrawn == []
    (incident,) = opened(made)
    assert (incident.defect, [one.state for one in outbox.sendings(made)]) == ("x-1", ["cancelled"])


def test_one_bad_file_stops_no_other(made: App, tmp_path: Path) -> None:
    """It is told with file, line and reason; the others run."""
    (tmp_path / "policies" / "bad.yml").write_text("title: {vi: a, en: b}\nwhen: rule.id:(\nthen: {page: true}\n", encoding="utf-8")
    put(made, 1)
    report = policies.apply(made)
    (error,) = report.errors
    assert (error.line, error.file.endswith("bad.yml")) == (2, True)
    assert [one.opened for one in report.did] == [1]
    assert msgspec.structs.asdict(report)["groups"] == 1


# --- beside the stream, on every store -------------------------------------------------------------------------------


def test_the_periodic_step_carries_policies_out(made: App) -> None:
    """As `soc run` and `soc duties run` do; what failed in one file is told and stops nothing."""
    put(made, 1, 2)
    put(made, 3, agency="xa-a")
    done = duties.step(made)
    assert (done.parts["policies"], done.errors) == (3, {})
    assert [one.agencies for one in opened(made)] == [["so-yt"], ["xa-a"]]
    assert duties.step(made).parts["policies"] == 0


def test_settings_switch_a_policy_off_whatever_people_said(made: App) -> None:
    """And nobody can switch it on but who may change the settings."""
    made.settings = made.settings.model_copy(update={"policies": made.settings.policies.model_copy(update={"disabled": ["opens"]})})
    put(made, 1)
    assert policies.apply(made).did == []
    known = policies_set.one(made, "opens")
    assert (known.running, known.says) == (False, "settings")
    with pytest.raises(Conflict, match="settings"):
        policies_set.enable(made, "opens")


def test_who_may_not_run_policies_is_refused(made: App) -> None:
    """A viewer may look and rehearse; the periodic step acts as the program itself."""
    rows = [{"id": "tuan", "name": "Anh Tuấn", "agency": "so-yt", "role": "viewer", "account": "tuan"}]
    plan = Registry(made.journal).plan("people", [Row(1, rows[0])])
    record(made.journal, plan, actor="an")
    made.actor = Actor("tuan")
    put(made, 1)
    for forbidden in (lambda: policies.run(made), lambda: policies_set.disable(made, "opens", why="x"), lambda: playbooks.start(made, "1", "own")):
        with pytest.raises((NotAllowed, NotFound)):
            forbidden()
    assert policies.rehearse(made, [policies_set.one(made, "opens").loaded], since_us=T0)[0].opened == 1
    assert policies.part(made) == 1
    assert [one.opened_by for one in opened(made)] == ["policy/opens"]


@pytest.mark.parametrize("kind", STORES)
def test_every_store_gives_the_same(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Groups by level, key and events; the same incidents, and the second pass does nothing."""
    chosen = settings(tmp_path, kind)
    if kind == "elasticsearch":
        chosen = chosen.model_copy(update={"store": request.getfixturevalue("elastic_store")})
    with open_app(chosen, Actor("an"), clock=clock_for(kind, T0 + HOUR), pipeline=True) as app:
        register(app)
        put(app, 1, 2)
        put(app, 3, agency="xa-a")
        put(app, 4, 5, rule="r-x", level="critical", key="a", soc={"system": {"id": "hcc", "level": 4}})
        getattr(app.store, "refresh", lambda: None)()
        policies.apply(app)
        assert sorted((one.policy, one.agencies, len(one.alerts)) for one in opened(app)) == [
            ("level", ["so-yt"], 1),
            ("opens", ["so-yt"], 2),
            ("opens", ["xa-a"], 1),
        ]
        assert policies.apply(app).did == []
