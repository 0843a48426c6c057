"""Who may do what: the table, the account that asks, and whose objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from soc.application import access, registry
from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.clock import FrozenClock, from_iso
from soc.config import Settings, StoreSettings
from soc.errors import NotAllowed
from soc.incidents.model import Incident
from soc.model.role import ADMINISTRATOR, ANY, NONE, OWN, ROLES, SERVICE
from soc.organization.model import Agency, System

NOW = from_iso("2026-11-21T02:00:00Z")
AGENCIES = "id,name,level,parent\nubnd,UBND tỉnh,province,\nso-yt,Sở Y tế,department,ubnd\ntt-yt,Trung tâm y tế,unit,so-yt\nso-gd,Sở Giáo dục,department,ubnd\n"
PEOPLE = """id,name,agency,role,account,valid_until
vi,Vi,ubnd,viewer,vi,
an,An,ubnd,analyst,an,
le,Lê,ubnd,lead,le,
of,Phương,so-yt,officer,of,
ad,Đạt,ubnd,administrator,ad,
old,Cũ,ubnd,lead,old,2026-11-20
"""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An application in whose registry nobody stands yet."""
    with open_app(Settings(store=StoreSettings(path=tmp_path / "s"), data_dir=tmp_path), Actor("root"), clock=FrozenClock(NOW)) as opened:
        yield opened


def take(app: App, kind: str, text: str, folder: Path) -> None:
    """Import a table."""
    file = folder / f"{kind}.csv"
    file.write_text(text, encoding="utf-8")
    registry.apply(app, registry.plan(app, kind, file, replace=False), origin=file.name)
    app.__dict__.pop("_standing", None)


@pytest.fixture
def staffed(app: App, tmp_path: Path) -> App:
    """The same with one person in each role."""
    take(app, "agencies", AGENCIES, tmp_path)
    take(app, "people", PEOPLE, tmp_path)
    return app


def as_(app: App, account: str) -> App:
    """Go on as somebody else."""
    app.actor = Actor(account)
    return app


def test_one_person_needs_no_registration(app: App, tmp_path: Path) -> None:
    """While nobody has an account everybody is administrator, also with people in the registry."""
    take(app, "agencies", AGENCIES, tmp_path)
    take(app, "people", "id,name,agency,role,phone\nhoa,Hoa,so-yt,contact,0271 3 600000\n", tmp_path)
    assert (access.standing(app).role, access.standing(app).why) == (ADMINISTRATOR, "sole")
    for row in access.TABLE:
        access.require(app, row.action)


@pytest.mark.parametrize("role", ROLES)
def test_the_table_is_what_is_asked(staffed: App, role: str) -> None:
    """For every action and role: without an object, with an own and with another one's, what the table says happens."""
    account = {"viewer": "vi", "analyst": "an", "lead": "le", "officer": "of", "administrator": "ad"}[role]
    as_(staffed, account)
    own, other = Incident("INC-2026-0001", agencies=["tt-yt"]), Incident("INC-2026-0002", agencies=["so-gd"])
    for row in access.TABLE:
        far = row.reach(role)
        assert access.reach(staffed, row.action) == far, row.action
        assert access.allowed(staffed, row.action) is (far != NONE)
        assert access.allowed(staffed, row.action, own) is (far != NONE)
        assert access.allowed(staffed, row.action, other) is (far == ANY)
        if far == NONE:
            with pytest.raises(NotAllowed, match="may not do this"):
                access.require(staffed, row.action)
        elif far == OWN:
            with pytest.raises(NotAllowed, match="so-yt") as told:
                access.require(staffed, row.action, other)
            assert "analyst" in str(told.value.hint)


def test_who_is_registered_nowhere_may_look_at_nothing(staffed: App) -> None:
    """An unknown account, and one whose time is over, keep what needs no right; the error names who may."""
    for account in ("mallory", "old", "root"):
        as_(staffed, account)
        assert access.standing(staffed).why == "unknown"
        for row in access.TABLE:
            assert access.allowed(staffed, row.action) is (access.EVERYBODY in row.roles.split()), row.action
    with pytest.raises(NotAllowed) as told:
        access.require(staffed, "notices.withdraw")
    assert told.value.exit_code == 5
    assert "Lê (le)" in told.value.hint
    assert "Cũ" not in told.value.hint


def test_an_officer_sees_the_own_subtree(staffed: App) -> None:
    """Lists hold what belongs to the own agency and those below it, and what the officer opened."""
    as_(staffed, "of")
    every = [
        Incident("INC-2026-0001", agencies=["tt-yt", "so-gd"]),
        Incident("INC-2026-0002", agencies=["so-gd"]),
        Incident("INC-2026-0003", opened_by="of"),
        Incident("INC-2026-0004"),
    ]
    assert [one.id for one in access.visible(staffed, "incidents.view", every)] == ["INC-2026-0001", "INC-2026-0003"]
    entries = [Agency(id="ubnd", name="UBND", level="province"), Agency(id="tt-yt", name="TT", level="unit"), System(id="x", name="X", owner="so-yt")]
    assert [one.key for one in access.visible(staffed, "registry.view", entries)] == ["tt-yt", "x"]
    assert access.visible(staffed, "events.view", [{"soc.agency.id": "so-yt"}, {"soc.agency.id": "so-gd"}, {}]) == [{"soc.agency.id": "so-yt"}]
    assert access.only_agencies(staffed, "events.view") == frozenset({"so-yt", "tt-yt"})
    assert access.only_agencies(as_(staffed, "an"), "events.view") is None
    with pytest.raises(NotAllowed):
        access.visible(as_(staffed, "vi"), "incidents.note", every)


def test_the_program_itself(staffed: App) -> None:
    """What acts by itself opens incidents under a name of its own, and decides nothing that people decide."""
    acting = access.acting(as_(staffed, "mallory"), "policy/ransomware")
    assert (acting.actor.name, access.standing(acting).role, acting.journal is staffed.journal) == ("policy/ransomware", SERVICE, True)
    access.require(acting, "incidents.open")
    with pytest.raises(NotAllowed):
        access.require(acting, "incidents.decide")
    assert access.standing(staffed).why == "unknown"


def test_commands_that_the_table_does_not_know_are_for_administrators(staffed: App) -> None:
    """A command that nobody thought of is closed, not open."""
    access.require_command(as_(staffed, "ad"), "new thing")
    with pytest.raises(NotAllowed):
        access.require_command(as_(staffed, "le"), "new thing")
    access.require_command(as_(staffed, "mallory"), "whoami")


def test_an_account_leads_to_one_person(staffed: App, tmp_path: Path) -> None:
    """Two people with one account on the same day are refused, one after the other is fine; a contact has no account."""
    file = tmp_path / "p.csv"
    head = "id,name,agency,role,account,valid_from\n"
    file.write_text(head + "x,X,ubnd,viewer,an,\ny,Y,ubnd,viewer,old,2026-11-21\nz,Z,ubnd,contact,z,\nq,Q,ubnd,viewer,a b,\n", encoding="utf-8")
    plan = registry.plan(as_(staffed, "ad"), "people", file, replace=False)
    assert [(one.key, one.reason.split(":")[0]) for one in plan.rejected] == [("x", "account"), ("z", "account"), ("q", "account")]
    assert [one.key for one in plan.added] == ["y"]
