"""Clocks follow from facts and the regime in force at detection."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.application import incidents
from soc.application.app import App
from soc.clock import FrozenClock, from_iso, iso
from soc.incidents.clocks import due_after, history, regime_at, regimes
from tests.incidents.test_workflow import GIVEN, NOW, application

HOUR = 3_600_000_000


@pytest.fixture
def app() -> App:
    """An application in memory."""
    return application()


def states(app: App, name: str) -> dict[str, tuple[str, str]]:
    """Obligation → state and due time."""
    return {one.id: (one.state, one.due_at) for one in incidents.duties(app, incidents.get(app, name))}


def opened(app: App, **fields: Any) -> str:
    """An incident detected now."""
    return incidents.open_incident(app, {"title": "sự cố", "detected_at": iso(NOW), **fields}).id


def advance(app: App, hours: float) -> None:
    """Let time pass."""
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(hours * 3600)


def test_an_unconfirmed_incident_has_tentative_clocks_from_the_same_moment(app: App) -> None:
    """Until triage everything is tentative; triage confirms it without moving T0."""
    name = opened(app)
    assert states(app, name) == {"report-72h": ("tentative", iso(NOW + 72 * HOUR))}
    advance(app, 5)
    incidents.move(app, name, "triage", GIVEN)
    assert states(app, name) == {"report-72h": ("due", iso(NOW + 72 * HOUR))}


def test_a_serious_incident_adds_the_first_notice(app: App) -> None:
    """24 hours for the first notice, then 72; both from detection, and overdue when they have passed."""
    name = opened(app)
    incidents.move(app, name, "triage", {**GIVEN, "legal_class": "serious"}, reason="dịch vụ công ngừng")
    advance(app, 25)
    assert states(app, name) == {"first-notice": ("overdue", iso(NOW + 24 * HOUR)), "report-72h": ("due", iso(NOW + 72 * HOUR))}
    [(found, duties)] = incidents.listed(app, overdue=True)
    assert incidents.item(found, duties)["overdue"] is True
    incidents.report(app, name, "first-notice", at=iso(NOW + 23 * HOUR), reference="12/BC-CNTT")
    assert states(app, name)["first-notice"][0] == "met"
    incidents.report(app, name, "report-72h", at=iso(NOW + 25 * HOUR))
    assert {state for state, _ in states(app, name).values()} == {"met"}
    assert incidents.item(*incidents.listed(app)[0])["next_due_at"] == ""


def test_personal_data_have_a_clock_of_their_own(app: App) -> None:
    """The same moment of detection, another recipient, its own report."""
    name = opened(app, personal_data=True)
    found = {one.id: one for one in incidents.duties(app, incidents.get(app, name))}
    assert found["personal-data-notice"].clock == "personal-data"
    assert found["personal-data-notice"].due_at == found["report-72h"].due_at
    assert found["personal-data-notice"].to != found["report-72h"].to


def test_a_corrected_time_of_detection_moves_deadlines_visibly_and_deletes_nothing(app: App) -> None:
    """The correction is a fact with its reason; what was met stays met, also when it is late by now."""
    name = opened(app)
    incidents.move(app, name, "triage", {**GIVEN, "legal_class": "serious"}, reason="r")
    advance(app, 10)
    incidents.report(app, name, "first-notice")
    incidents.edit(app, name, {"detected_at": iso(NOW - 20 * HOUR)}, reason="nhật ký cho thấy sớm hơn")
    assert states(app, name) == {"first-notice": ("met-late", iso(NOW + 4 * HOUR)), "report-72h": ("due", iso(NOW + 52 * HOUR))}
    incidents.edit(app, name, {"legal_class": "ordinary"}, reason="đánh giá lại")
    assert states(app, name)["first-notice"][0] == "met-late"


def test_a_rejected_incident_owes_nothing_and_says_why(app: App) -> None:
    """Void with the reason; reopening brings the clocks back as they were."""
    name = opened(app)
    incidents.move(app, name, "reject", {}, reason="báo nhầm")
    [duty] = incidents.duties(app, incidents.get(app, name))
    assert (duty.state, duty.reason) == ("void", "báo nhầm")
    incidents.move(app, name, "reopen", {}, reason="không phải nhầm")
    assert states(app, name) == {"report-72h": ("tentative", iso(NOW + 72 * HOUR))}


@pytest.mark.parametrize(
    ("detected", "regime"),
    [("2026-06-30T16:59:59Z", "vn-2017"), ("2026-06-30T17:00:00Z", "vn-2026"), ("2019-01-01T00:00:00Z", "vn-2017"), ("2026-11-21T00:00:00Z", "vn-2026")],
)
def test_the_regime_is_that_of_the_day_of_detection_in_vietnam(detected: str, regime: str) -> None:
    """The new law counts from 1 July 2026, 00:00 +07."""
    assert regime_at(detected).id == regime


def test_the_older_regime_gives_five_days_and_asks_at_once_beyond_capacity(app: App) -> None:
    """Five days from detection; an emergency report at once; the final report begins when the incident is closed."""
    at = "2026-06-29T10:00:00Z"
    name = opened(app, detected_at=at, beyond_capacity=True)
    assert incidents.get(app, name).regime == "vn-2017"
    found = states(app, name)
    assert found["initial-report"][1] == iso(from_iso(at) + 120 * HOUR)
    assert found["emergency-report"][1] == iso(from_iso(at))
    assert found["final-report"] == ("waiting", "")


@pytest.mark.parametrize(
    ("detected", "source", "marked"),
    [
        ("2023-06-30T16:59:00Z", "", False),
        ("2023-06-30T17:00:00Z", "Nghị định 13/2023/NĐ-CP, Điều 23", True),
        ("2025-12-31T16:59:00Z", "Nghị định 13/2023/NĐ-CP, Điều 23", True),
        ("2025-12-31T17:00:00Z", "Luật 91/2025/QH15, Điều 23; Nghị định 356/2025/NĐ-CP, Điều 28", False),
        ("2026-06-30T17:00:00Z", "Luật 91/2025/QH15, Điều 23; Nghị định 356/2025/NĐ-CP, Điều 28", False),
    ],
)
def test_the_law_on_personal_data_has_days_of_its_own(app: App, detected: str, source: str, marked: bool) -> None:
    """It changed half a year before that on cyber security; a report that was recorded meets one obligation, not two."""
    name = opened(app, personal_data=True, detected_at=detected)
    found = [one for one in incidents.duties(app, incidents.get(app, name)) if one.id == "personal-data-notice"]
    assert [(one.source, bool(one.unverified)) for one in found] == ([(source, marked)] if source else [])
    if source:
        incidents.report(app, name, "personal-data-notice")
        assert [one.state for one in incidents.duties(app, incidents.get(app, name)) if one.id == "personal-data-notice"] == ["met-late"]


def test_the_periods_of_a_decree_are_marked_for_what_was_detected_before_it(app: App) -> None:
    """Law 116/2025 counts from 1 July 2026, the decree with the hours from 19 August 2026."""
    before, after = (opened(app, detected_at=detected) for detected in ("2026-08-18T16:59:00Z", "2026-08-18T17:00:00Z"))
    marks = [incidents.duties(app, incidents.get(app, name))[0].unverified for name in (before, after)]
    assert marks == ["phát hiện trước ngày 19/08/2026, khi văn bản này có hiệu lực", ""]


def test_every_obligation_names_its_source_and_both_languages() -> None:
    """Law is dated data: each rule has a source, and texts in Vietnamese and English."""
    for regime in regimes().values():
        assert set(regime.title) == {"vi", "en"}
        for rule in regime.obligations:
            assert rule.source
            assert set(rule.title) == {"vi", "en"}


def test_a_corrected_time_of_detection_keeps_the_deadline_that_stood(app: App) -> None:
    """The old deadline stays readable with who moved it, when and why; the new one says since when it is known."""
    name = opened(app)
    advance(app, 10)
    incidents.edit(app, name, {"detected_at": iso(NOW - 20 * HOUR)}, reason="nhật ký cho thấy sớm hơn")
    [duty] = incidents.duties(app, incidents.get(app, name))
    assert (duty.due_at, duty.since, duty.begin_at) == (iso(NOW + 52 * HOUR), iso(NOW + 10 * HOUR), iso(NOW - 20 * HOUR))
    [was] = duty.earlier
    assert (was.due_at, was.since, was.ended_at, was.reason) == (iso(NOW + 72 * HOUR), iso(NOW), iso(NOW + 10 * HOUR), "nhật ký cho thấy sớm hơn")
    assert was.ended_by == app.actor.name


def test_what_is_owed_no_longer_is_void_and_never_gone(app: App) -> None:
    """A class that is taken back voids the first notice, with the reason; over the border of the regimes all of the old ones are kept."""
    name = opened(app)
    incidents.move(app, name, "triage", {**GIVEN, "legal_class": "serious"}, reason="r")
    incidents.edit(app, name, {"legal_class": "ordinary"}, reason="đánh giá lại")
    found = {one.id: one for one in incidents.duties(app, incidents.get(app, name))}
    assert (found["first-notice"].state, found["first-notice"].reason, found["first-notice"].due_at) == ("void", "đánh giá lại", iso(NOW + 24 * HOUR))
    incidents.edit(app, name, {"detected_at": "2026-06-29T10:00:00Z"}, reason="phát hiện từ trước")
    found = {one.id: one for one in incidents.duties(app, incidents.get(app, name))}
    assert {one.id for one in found.values() if one.state == "void"} == {"first-notice", "report-72h"}
    assert found["initial-report"].state == "overdue"
    assert incidents.item(*incidents.listed(app)[0])["next_due_at"] == found["initial-report"].due_at


def test_a_reopened_incident_is_not_closed(app: App) -> None:
    """The clock of the final report stops with the reopening, and begins anew with the next closing; the old one stays readable."""
    name = opened(app, complex=True)
    for command, values in (
        ("triage", {**GIVEN, "legal_class": "ordinary"}),
        ("contain", {}),
        ("eradicate", {}),
        ("recover", {}),
        ("close", {"resolution": "resolved"}),
    ):
        incidents.move(app, name, command, values)
    assert states(app, name)["final-report"] == ("due", iso(NOW + 72 * HOUR))
    advance(app, 2)
    incidents.move(app, name, "reopen", {}, reason="tái diễn")
    assert states(app, name)["final-report"] == ("waiting", "")
    found = {one.id: one for one in incidents.duties(app, incidents.get(app, name))}
    assert [(one.due_at, one.reason) for one in found["final-report"].earlier] == [(iso(NOW + 72 * HOUR), "tái diễn")]


def test_working_days_end_at_midnight_after_the_last_one() -> None:
    """Over a weekend and the culture day: from Friday 20 November 2026 five working days end on Monday 30 November, 24:00 +07."""
    begin = from_iso("2026-11-20T09:00:00Z")
    assert iso(due_after(begin, "5wd")) == "2026-11-30T17:00:00.000Z"
    assert iso(due_after(begin, "1wd")) == "2026-11-23T17:00:00.000Z"
    assert due_after(begin, "0h") == begin


EDITS = st.one_of(
    st.tuples(st.just("detected_at"), st.integers(-6000, 0)),
    st.tuples(st.sampled_from(["personal_data", "national_security", "beyond_capacity", "complex"]), st.booleans()),
    st.tuples(st.just("legal_class"), st.sampled_from(["ordinary", "serious"])),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(EDITS, st.integers(0, 90)), max_size=8))
def test_no_change_ever_deletes_a_deadline(edits: list[tuple[tuple[str, Any], int]]) -> None:
    """Whatever is corrected in whatever order, every deadline that ever stood is still told, in order, and none overlaps another of its kind."""
    app = application()
    name = opened(app)
    incidents.move(app, name, "triage", GIVEN)
    seen: set[tuple[str, str]] = set()
    for (field, value), hours in edits:
        advance(app, hours)
        data = {field: iso(NOW + value * HOUR) if field == "detected_at" else value}
        incidents.edit(app, name, data, reason=f"{field}")
        incident = incidents.get(app, name)
        every = history(incident)
        told = {(one.id, one.due_at) for one in every}
        assert seen <= told
        seen = told
        standing = {one.id: one.due_at for one in every if not one.ended_at}
        duties = incidents.duties(app, incident)
        assert standing == {one.id: one.due_at for one in duties if one.due_at and one.state != "void"}
        assert {one.id for one in every} <= {one.id for one in duties}
        for one in every:
            assert not one.ended_at or one.since <= one.ended_at
