"""Whether two people are needed is an organization's own rule, and a fact."""

from __future__ import annotations

import pytest

from soc.application import approval
from soc.application.app import Actor, App
from soc.errors import NotAllowed, UsageError
from tests.application.test_notices_send import register
from tests.incidents.test_workflow import application


@pytest.fixture
def app() -> App:
    """An application in memory."""
    return application()


def test_two_people_unless_somebody_said_otherwise(app: App) -> None:
    """Nothing recorded means two; each change says by whom, when and why, and can be taken back."""
    assert approval.rule(app) == approval.Approval(two_person=True)
    one = approval.set_two_person(app, False, reason="đội một người")
    assert (one.two_person, one.by, one.reason, bool(one.at)) == (False, "an", "đội một người", True)
    assert approval.set_two_person(app, True, reason="đã có người thứ hai").two_person
    assert [one.fact.data for one in app.journal.read(approval.STREAM)] == [{"required": False}, {"required": True}]


def test_the_same_again_records_nothing_and_a_reason_is_needed(app: App) -> None:
    """What is so already is no fact."""
    approval.set_two_person(app, True, reason="như cũ")
    assert app.journal.read(approval.STREAM) == []
    with pytest.raises(UsageError):
        approval.set_two_person(app, False, reason=" ")


def test_only_leads_change_it(app: App) -> None:
    """An analyst sees the rule and cannot switch it off."""
    register(app, "agencies", [{"id": "tinh", "name": "Tỉnh", "level": "province"}])
    people = [{"id": role, "name": role, "agency": "tinh", "role": role, "account": role} for role in ("analyst", "lead", "administrator")]
    register(app, "people", people)
    app.actor = Actor("analyst")
    assert approval.rule(app).two_person
    with pytest.raises(NotAllowed):
        approval.set_two_person(app, False, reason="vội")
    app.actor = Actor("lead")
    assert not approval.set_two_person(app, False, reason="đội một người").two_person
