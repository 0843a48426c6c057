"""A notice is followed until each agency has answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.application import incidents, notices
from soc.application.app import App
from soc.clock import FrozenClock, iso
from soc.errors import Conflict, NotAllowed, NotFound, UsageError
from soc.incidents.notices import Notice, code_of
from soc.model.fact import Behalf
from soc.organization.registry import Registry, record
from soc.organization.table import Row
from tests.incidents.test_workflow import NOW, application

DAY = 86_400_000_000


@pytest.fixture
def app() -> App:
    """A province with a department, three communes and a district that has ended."""
    app = application()
    rows = [
        {"id": "tinh", "name": "Tỉnh", "level": "province"},
        {"id": "so-yt", "name": "Sở Y tế", "level": "department", "parent": "tinh"},
        *({"id": f"x-{n}", "name": f"Xã {n}", "level": "commune", "parent": "tinh"} for n in (1, 2, 3)),
        {"id": "h-a", "name": "Huyện A", "level": "district", "parent": "tinh", "valid_until": "2025-06-30", "successors": "x-1;x-2"},
    ]
    record(app.journal, Registry(app.journal).plan("agencies", [Row(n, row) for n, row in enumerate(rows)]), actor="an")
    return app


def out(app: App, **more: object) -> Notice:
    """A notice to three communes that was signed and sent."""
    made = notices.draft(app, "Lỗ hổng Zimbra", to=["x-1", "x-2", "x-3"], due_at=iso(NOW + 3 * DAY), **more)  # type: ignore[arg-type]
    notices.approve(app, made.id, signer="Giám đốc", number="12/CB", signed_on="2026-11-21")
    return notices.send(app, made.id, channel="document")


def test_from_draft_to_verified(app: App) -> None:
    """Draft, signature, sending, an answer by code, one on behalf, one never: each recipient is where it is."""
    made = out(app, annex={"x-1": ["a@tinh-mau.gov.vn"], "x-2": ["b@tinh-mau.gov.vn"]})
    assert (made.id, made.state, [one.state for one in made.recipients]) == ("TB-2026-0001", "sent", ["sent"] * 3)
    found, agency = notices.acknowledge(app, code_of(made.id, "x-1").lower())
    assert (found.id, agency) == (made.id, "x-1")
    notices.answer(app, made.id, "x-1", "acted", text="đã vá")
    notices.answer(app, made.id, "x-1", "verified")
    found = notices.answer(app, made.id, "x-2", "received", behalf=Behalf("Chị Hoa", "telephone", "", "gọi lúc 9 giờ"))
    assert [one.state for one in found.recipients] == ["verified", "received", "sent"]
    assert found.recipients[1].answers[0]["behalf"] == "Chị Hoa"
    assert [one.agency for one in found.unanswered()] == ["x-3"]


def test_each_letter_holds_its_own_annex_only(app: App) -> None:
    """No recipient sees another's mailboxes or code."""
    made = out(app, annex={"x-1": ["bi-mat-1@tinh-mau.gov.vn"], "x-2": ["bi-mat-2@tinh-mau.gov.vn"]})
    letters = dict(notices.letters(app, made.id))
    assert "bi-mat-1" in letters["x-1"]
    assert "bi-mat-2" not in letters["x-1"]
    assert "Xã 1" in letters["x-1"]
    codes = [code_of(made.id, agency) for agency in ("x-1", "x-2", "x-3")]
    assert len(set(codes)) == 3
    assert [code for code in codes if code in letters["x-1"]] == codes[:1]


def test_overdue_and_reminders(app: App) -> None:
    """Who has not acted when the day has passed is overdue until it acts; reminders are counted; acting late is no silence."""
    made = out(app)
    assert notices.overdue(app) == []
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(4 * 86_400)
    notices.answer(app, made.id, "x-1", "acted")
    notices.answer(app, made.id, "x-2", "received")
    assert [one.agency for _, one in notices.overdue(app)] == ["x-2", "x-3"]
    again = notices.send(app, made.id, channel="mail", remind=True)
    assert [one.reminders for one in again.recipients] == [0, 1, 1]
    assert [one.state for one in again.recipients] == ["acted", "received", "sent"]


def test_the_author_does_not_sign_and_urgent_ones_wait_for_confirmation(app: App) -> None:
    """Two people, or a named person's word whose written confirmation is still due."""
    made = notices.draft(app, "Khẩn", to=["x-1"])
    with pytest.raises(NotAllowed):
        notices.approve(app, made.id, signer="AN", number="1", signed_on="2026-11-21")
    with pytest.raises(UsageError):
        notices.approve(app, made.id, signer="Giám đốc")
    with pytest.raises(Conflict):
        notices.send(app, made.id, channel="mail")
    notices.approve(app, made.id, signer="Giám đốc", urgent=True)
    sent = notices.send(app, made.id, channel="telephone")
    assert (sent.urgent, sent.confirmed) == (True, False)
    confirmed = notices.approve(app, made.id, signer="Giám đốc", number="13/CB", signed_on="2026-11-21")
    assert (confirmed.state, confirmed.urgent, confirmed.confirmed) == ("sent", True, True)
    with pytest.raises(Conflict):
        notices.approve(app, made.id, signer="Giám đốc", number="14/CB", signed_on="2026-11-21")


def test_recipients_are_agencies_of_today(app: App) -> None:
    """A whole tree at once; one that ended names its successors; an unknown one is refused."""
    assert [one.agency for one in notices.draft(app, "a", below=["tinh"]).recipients] == ["tinh", "x-3", "x-2", "x-1", "so-yt"]
    for to, said in ((["h-a"], "ended"), (["nobody"], "nobody"), ([], "recipients")):
        with pytest.raises(UsageError, match=said):
            notices.draft(app, "a", to=to)
    with pytest.raises(NotFound):
        notices.draft(app, "a", to=["x-1"], incident="INC-2026-0009")
    name = incidents.open_incident(app, {"title": "sự cố"}).id
    assert notices.draft(app, "a", to=["x-1"], incident=name).incident == name


def test_what_does_not_fit_is_refused_and_nothing_recorded(app: App) -> None:
    """Answers of agencies that got nothing, unknown codes and states, times in the future."""
    made = out(app)
    version = made.version
    for call in (
        lambda: notices.answer(app, made.id, "so-yt", "received"),
        lambda: notices.answer(app, made.id, "x-1", "sent"),
        lambda: notices.answer(app, made.id, "x-1", "acted", at=iso(NOW + DAY)),
        lambda: notices.send(app, made.id, channel="pigeon"),
        lambda: notices.send(app, made.id, channel="mail"),
        lambda: notices.acknowledge(app, "ABCDEFGH"),
        lambda: notices.withdraw(app, made.id, reason=" "),
    ):
        with pytest.raises((UsageError, NotFound, Conflict)):
            call()
    assert notices.get(app, made.id).version == version
    assert notices.withdraw(app, made.id, reason="nhầm").state == "withdrawn"
    with pytest.raises(Conflict):
        notices.answer(app, made.id, "x-1", "received")


def test_the_same_code_twice_is_one_answer(app: App) -> None:
    """An answer that comes again changes nothing."""
    made = out(app)
    code = code_of(made.id, "x-1")
    once, _ = notices.acknowledge(app, code)
    twice, _ = notices.acknowledge(app, code)
    assert twice.version == once.version


def test_three_hundred_recipients_with_annexes(app: App, tmp_path: Path) -> None:
    """310 recipients with an own annex each fit into one notice."""
    rows = [{"id": f"u{n:03d}", "name": f"Đơn vị {n}", "level": "unit"} for n in range(310)]
    record(app.journal, Registry(app.journal).plan("agencies", [Row(n, row) for n, row in enumerate(rows)]), actor="an")
    file = tmp_path / "annex.csv"
    file.write_text("agency,item\n" + "".join(f"u{n:03d},hop-thu-{n}-{k}@tinh-mau.gov.vn\n" for n in range(310) for k in range(12)), encoding="utf-8")
    made = notices.draft(app, "Đợt thư rác", annex=notices.read_annex(file))
    assert len(made.recipients) == 310
    assert len({one.code for one in made.recipients}) == 310
    assert notices.listed(app, open_only=True)[0].id == made.id
