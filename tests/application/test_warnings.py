"""Numbered warnings go out to agencies and are answered when these have acted."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.application import notices, notices_send, warnings
from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.clock import FrozenClock, iso
from soc.config import Settings, StoreSettings
from soc.errors import Conflict, NotFound, UsageError
from tests.application.test_notices_send import register
from tests.incidents.test_workflow import NOW, application

DAY = 86_400_000_000


@pytest.fixture
def app() -> App:
    """A province with three communes."""
    found = application()
    rows = [{"id": "tinh", "name": "Tỉnh", "level": "province"}]
    register(found, "agencies", [*rows, *({"id": f"x-{n}", "name": f"Xã {n}", "level": "commune", "parent": "tinh"} for n in (1, 2, 3))])
    return found


def came(app: App, number: str = "1943/CATTT-NCSC") -> str:
    """A warning that came."""
    asked = {"asked": "Rà soát, vá, báo cáo", "due_at": iso(NOW + 5 * DAY), "vulnerabilities": ["CVE-2026-12345"]}
    return warnings.new(app, number, "Lỗ hổng Zimbra", issued_on="2026-11-20", **asked).id  # type: ignore[arg-type]


def sign_and_send(app: App, notice: str) -> None:
    """Have a notice go out."""
    notices.approve(app, notice, signer="Giám đốc", number="12/CB", signed_on="2026-11-21")
    notices_send.send(app, notice, channel="document")


def test_from_the_centre_to_the_agencies_and_back(app: App) -> None:
    """Recorded with its number, passed on in two steps, followed, closed with the figures when all have acted."""
    name = came(app)
    assert name == "WN-2026-0001"
    notice = warnings.fan_out(app, name, to=["x-1"])
    assert (notice.warning, notice.subject, notice.action, notice.due_at, notice.tlp) == (
        name,
        "Lỗ hổng Zimbra",
        "Rà soát, vá, báo cáo",
        iso(NOW + 5 * DAY),
        "AMBER",
    )
    assert "1943/CATTT-NCSC ngày 20/11/2026" in notice.body
    assert "CVE-2026-12345" in notice.body
    second = warnings.fan_out(app, "1943/cattt-ncsc", below=["tinh"], annex={"x-2": ["máy 1"]})
    assert [one.agency for one in second.recipients] == ["x-2", "tinh", "x-3"], "x-1 has it already"
    with pytest.raises(Conflict, match="already"):
        warnings.fan_out(app, name, below=["tinh"])
    sign_and_send(app, notice.id)
    sign_and_send(app, second.id)
    for agency in ("x-1", "x-2", "x-3"):
        notices.answer(app, notice.id if agency == "x-1" else second.id, agency, "acted")
    with pytest.raises(Conflict, match="1 agencies have not acted: tinh"):
        warnings.close(app, name)
    [(_, done)] = warnings.listed(app)
    assert (done.notices, done.missing, done.unanswered) == ([notice.id, second.id], ["tinh"], ["tinh"])
    notices.answer(app, second.id, "tinh", "verified")
    closed = warnings.close(app, name, number="77/BC", on="2026-11-25")
    assert (closed.state, closed.answer_number, closed.counts["acted"], closed.counts["verified"]) == ("closed", "77/BC", 3, 1)
    assert "đã chuyển 4 đơn vị; 4 đơn vị đã thực hiện, trong đó 1 đã được kiểm tra." in closed.summary
    assert warnings.listed(app) == []
    assert len(warnings.listed(app, closed=True)) == 1
    for call in (lambda: warnings.close(app, name), lambda: warnings.fan_out(app, name, to=["x-1"])):
        with pytest.raises(Conflict, match="closed"):
            call()


def test_a_warning_may_be_closed_although_some_never_acted(app: App) -> None:
    """The reason is kept, and who did not act is named in the summary."""
    name = came(app)
    with pytest.raises(Conflict, match="passed on to nobody"):
        warnings.close(app, name)
    notice = warnings.fan_out(app, name, to=["x-1", "x-2"])
    sign_and_send(app, notice.id)
    notices.answer(app, notice.id, "x-1", "acted")
    closed = warnings.close(app, name, although="hết hạn báo cáo")
    assert closed.although == "hết hạn báo cáo"
    assert "1 đơn vị chưa thực hiện: Xã 2" in closed.summary


def test_a_withdrawn_notice_does_not_count(app: App) -> None:
    """Its agencies may get the warning again."""
    name = came(app)
    notice = warnings.fan_out(app, name, to=["x-1"])
    notices.withdraw(app, notice.id, reason="nhầm")
    assert warnings.get(app, name)[1].agencies == {}
    assert warnings.fan_out(app, name, to=["x-1"]).id != notice.id


def test_agencies_concerned_are_those_whose_systems_name_it(app: App) -> None:
    """By words of the registry, in any case and without accents; each gets its own systems only."""
    rows = [
        {"id": "thu-1", "name": "Thư điện tử xã", "owner": "x-1", "services": "Zimbra 8;https"},
        {"id": "web-1", "name": "Cổng Zimbra", "owner": "x-1", "operating_system": "Linux"},
        {"id": "thu-2", "name": "Thư", "owner": "x-2", "services": "ZIMBRA 10"},
        {"id": "web-3", "name": "Cổng", "owner": "x-3", "services": "nginx"},
    ]
    register(app, "systems", rows)
    assert warnings.concerned(app, "zimbra") == {"x-1": ["Thư điện tử xã (thu-1)", "Cổng Zimbra (web-1)"], "x-2": ["Thư (thu-2)"]}
    assert list(warnings.concerned(app, "thu dien tu ZIMBRA")) == ["x-1"]
    for words in ("exchange", " "):
        with pytest.raises(UsageError):
            warnings.concerned(app, words)
    notice = warnings.fan_out(app, came(app), annex=warnings.concerned(app, "zimbra"))
    assert {one.agency: len(one.annex) for one in notice.recipients} == {"x-1": 2, "x-2": 1}


def test_the_same_number_is_recorded_once(app: App, tmp_path: Path) -> None:
    """Another issuer may have the same number; what is missing or too long is named."""
    name = came(app)
    with pytest.raises(Conflict, match=name):
        came(app, "1943/cattt-ncsc")
    other = warnings.new(app, "1943/CATTT-NCSC", "khác", issued_on="2026-11-20", issuer="Công an tỉnh")
    with pytest.raises(Conflict, match="several"):
        warnings.get(app, "1943/CATTT-NCSC")
    assert warnings.get(app, "2")[0].id == other.id
    (tmp_path / "cb.pdf").write_bytes(b"%PDF")
    own = open_app(Settings(data_dir=tmp_path / "data", store=StoreSettings(kind="memory")), Actor("an"), clock=FrozenClock(NOW))
    kept = warnings.new(own, "5", "a", issued_on="2026-11-20", file=tmp_path / "cb.pdf")
    assert (kept.file, b"".join(own.wiring.evidence().read(kept.sha256))) == ("cb.pdf", b"%PDF")
    for change in (
        {"number": " "},
        {"subject": ""},
        {"subject": "x" * 501},
        {"issued_on": "20/11"},
        {"tlp": "PINK"},
        {"received_at": iso(NOW + DAY)},
        {"vulnerabilities": ["x"] * 201},
    ):
        with pytest.raises(UsageError):
            warnings.new(app, **{"number": "9", "subject": "a", "issued_on": "2026-11-20", **change})  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        warnings.get(app, "99")
