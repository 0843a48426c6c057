"""A report says what is recorded: nothing is retyped, what is missing is named, numbers go from the first to the last."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from soc.application import evidence, incidents, reports
from soc.application.app import App
from soc.clock import FrozenClock, from_iso, iso
from soc.errors import Conflict, NotAllowed, NotFound, UsageError
from soc.model.fact import Behalf
from soc.reports.facts import gather
from soc.reports.kinds import FIELDS, kind_of, kinds
from soc.reports.model import Report
from soc.reports.values import MISSING
from tests.application.office import take_in
from tests.conftest import NOW_US
from tests.reports.conftest import HOUR, Opened


def exported(app: App, incident: str, report: str, folder: Path, form: str = "txt") -> tuple[bytes, Report]:
    """The bytes of an export, and the report after it."""

    def write(name: str, data: bytes) -> str:
        (folder / name).write_bytes(data)
        return name

    _, found, digest = reports.export(app, incident, report, form, write)
    data = (folder / found.exports[-1].name).read_bytes()
    assert sha256(data).hexdigest() == digest == found.exports[-1].sha256
    return data, found


def signed(app: App, incident: str, report: str, folder: Path, number: str, day: str = "2026-11-21") -> Report:
    """Sign elsewhere and import back."""
    file = folder / f"{number.replace('/', '_')}.pdf"
    file.write_bytes(b"%PDF-1.7 " + number.encode())
    return reports.import_signed(app, incident, report, file, number=number, signed_on=day, signer="Trần Văn Bình")[1]


@pytest.mark.parametrize("kind", ["first-notice", "initial"])
def test_of_a_registered_system_nothing_is_retyped_but_description_and_status(app: App, opened: Opened, tmp_path: Path, kind: str) -> None:
    """With description and status given, the first report of either regime lacks nothing but whom was told."""
    before = {} if kind == "first-notice" else {"detected_at": "2026-06-20T15:05:00Z"}
    incident = opened(legal_class="serious", **before)
    _, report, _ = reports.draft(app, incident, kind, {"status": "Chưa được xử lý"})
    assert set(report.versions[-1].missing) <= {"notified"}
    text = exported(app, incident, report.id, tmp_path)[0].decode()
    for known in (
        "Hệ thống quản lý bệnh viện",
        "Sở Y tế",
        "Cấp độ 3 (Quyết định 45/QĐ-SYT 10/02/2026)",
        "Trung tâm dữ liệu tỉnh",
        "VNPT",
        "Nguyễn Thị Hòa",
        "0912 345 678",
        "Số 1, đường Hùng Vương, phường Tân Phú",
        "Chưa được xử lý",
        "ỦY BAN NHÂN DÂN TỈNH MẪU",
        "/BC-SKHCN" if kind == "initial" else "/TB-SKHCN",
        "kỹ thuật viên trực – qua điện thoại",
    ):
        assert known in text
    if kind == "initial":
        for known in ("Windows Server 2022; Ubuntu 24.04", "203.0.113.10", "his.tinh-mau.gov.vn", "22 giờ 05 phút, ngày 20/06/2026"):
            assert known in text


def test_what_is_missing_is_named_with_the_command_that_fills_it(app: App, tmp_path: Path) -> None:
    """In the document as «(chưa có)»; each field of every kind has a label and a command."""
    incident = incidents.open_incident(app, {"title": "Máy lạ", "agencies": ["so-yt"]}).id
    found, report, _ = reports.draft(app, incident, "report-72h")
    fills = dict(reports.fills(found, report))
    assert fills["cause"] == f"soc reports draft {incident} report-72h --set cause=…"
    assert fills["summary"] == f"soc incidents edit {incident} --summary …"
    assert fills["system_domains"] == "soc systems import FILE --yes (domains: ID)"
    text = exported(app, incident, report.id, tmp_path)[0].decode()
    assert text.count(MISSING) == len(report.versions[-1].missing)
    for kind in kinds():
        assert {name for section in kind.sections for name in section.fields} <= set(FIELDS)


def test_numbers_dates_and_texts_are_carried_from_the_first_to_the_last(app: App, opened: Opened, tmp_path: Path) -> None:
    """The final report cites number and date of the first, and lists all that went out; what was written once stays."""
    incident = opened(legal_class="serious", complex=True)
    reports.draft(app, incident, "first-notice", {"scope": "12 cơ sở khám chữa bệnh"})
    signed(app, incident, "first-notice", tmp_path, "12/TB-SKHCN")
    _, _, met = reports.sent(app, incident, "first-notice", to="PA05", channel="document")
    assert met == ["first-notice"]
    reports.draft(app, incident, "report-72h", {"cause": "lộ mật khẩu", "consequence": "gián đoạn 6 giờ"})
    signed(app, incident, "report-72h", tmp_path, "15/BC-SKHCN")
    reports.sent(app, incident, "report-72h", to="PA05", channel="document")
    reports.draft(app, incident, "update")
    reports.sent(app, incident, "update", to="PA05", channel="telephone", word_of="Giám đốc")
    _, second, _ = reports.draft(app, incident, "update")
    assert (second.id, second.ordinal) == ("r4", 2)
    _, final, _ = reports.draft(app, incident, "final", {"result": "đã khôi phục"})
    text = exported(app, incident, "final", tmp_path)[0].decode()
    for carried in (
        "số 12/TB-SKHCN, ngày 21/11/2026",
        "15/BC-SKHCN",
        "lộ mật khẩu",
        "12 cơ sở khám chữa bệnh",
        "gián đoạn 6 giờ",
        "đã khôi phục",
        "Báo cáo cập nhật",
    ):
        assert carried in text
    assert final.versions[-1].missing == ["closed_at"]


def test_reports_that_follow_go_to_whom_the_first_went(app: App, opened: Opened, tmp_path: Path) -> None:
    """An update, and the final report of an incident that owes none, go to the authority of the first report, not to the superior."""
    incident = opened(legal_class="serious", personal_data=True)
    for kind in ("update", "final"):
        _, report, _ = reports.draft(app, incident, kind)
        text = exported(app, incident, report.id, tmp_path)[0].decode()
        assert "Kính gửi: Lực lượng chuyên trách bảo vệ an ninh mạng thuộc Bộ Công an" in text
    old = opened(detected_at="2026-06-20T03:00:00Z", personal_data=True)
    _, report, _ = reports.draft(app, old, "progress")
    assert "Kính gửi: Chủ quản, đơn vị chuyên trách cùng cấp" in exported(app, old, report.id, tmp_path)[0].decode()
    earlier = opened(detected_at="2025-06-20T03:00:00Z", personal_data=True)
    _, report, _ = reports.draft(app, earlier, "personal-data-notice")
    assert "Căn cứ Nghị định 13/2023/NĐ-CP, Điều 23" in " ".join(exported(app, earlier, report.id, tmp_path)[0].decode().split())


def test_documents_name_people_and_the_hour(app: App, opened: Opened, tmp_path: Path) -> None:
    """Accounts and ids of the registry become names; the first report of 2017 says the hour and minute at which it was made."""
    take_in(app, "people", {"id": "an", "name": "Lê Văn An", "agency": "so-khcn", "role": "analyst", "account": app.actor.name})
    incident = opened(detected_at="2026-06-20T03:00:00Z")
    incidents.add_tasks(app, incident, [{"title": "Rút dây", "owner": "an"}])
    _, plan, _ = reports.draft(app, incident, "plan")
    _, progress, _ = reports.draft(app, incident, "progress")
    assert "Lê Văn An" in exported(app, incident, plan.id, tmp_path)[0].decode()
    assert {one["who"] for one in progress.versions[-1].facts["timeline"]} == {"Lê Văn An"}
    _, initial, _ = reports.draft(app, incident, "initial")
    assert "Thời gian báo cáo: 08 giờ 00 phút, ngày 21/11/2026" in exported(app, incident, initial.id, tmp_path)[0].decode()


def test_a_corrected_time_of_detection_shows_and_the_number_of_the_report_stays(app: App, opened: Opened, tmp_path: Path) -> None:
    """A further version says what it was before, when it was corrected and why; the first version stays readable."""
    incident = opened()
    _, first, _ = reports.draft(app, incident, "report-72h")
    incidents.edit(app, incident, {"detected_at": iso(NOW_US - 5 * HOUR)}, reason="nhật ký máy chủ ghi sớm hơn")
    _, second, new = reports.draft(app, incident, "report-72h")
    assert (new, first.id, second.id, [one.number for one in second.versions]) == (True, "r1", "r1", [1, 2])
    text = exported(app, incident, "r1", tmp_path)[0].decode()
    assert "03 giờ 00 phút, ngày 21/11/2026" in text
    assert "trước đó ghi 06 giờ 00 phút, ngày 21/11/2026" in text
    assert "nhật ký máy chủ ghi sớm hơn" in text
    old = reports.document(app, incident, "r1", "txt", version=1)[0].decode()
    assert "03 giờ 00 phút" not in old
    with pytest.raises(NotFound, match="no version 3"):
        reports.document(app, incident, "r1", "txt", version=3)


def test_a_draft_that_says_the_same_is_no_new_version(app: App, opened: Opened) -> None:
    """The hash of the facts decides: neither the day nor the drafting itself counts."""
    incident = opened()
    _, first, _ = reports.draft(app, incident, "report-72h")
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(100_000)
    _, again, new = reports.draft(app, incident, "report-72h")
    assert (new, len(again.versions)) == (False, 1)
    incidents.note(app, incident, "đã gọi nhà cung cấp")
    _, third, new = reports.draft(app, incident, "report-72h")
    assert (new, third.versions[1].hash != first.versions[0].hash) == (True, True)


def test_sending_meets_the_obligation_and_nothing_else_does(app: App, opened: Opened, tmp_path: Path) -> None:
    """Drafted, exported and signed reports leave the clock running; a person's word that it went out stops it."""
    incident = opened(legal_class="serious")

    def states() -> dict[str, str]:
        return {one.id: one.state for one in incidents.duties(app, incidents.get(app, incident))}

    incidents.move(app, incident, "triage", {})
    reports.draft(app, incident, "first-notice")
    exported(app, incident, "first-notice", tmp_path)
    with pytest.raises(Conflict, match="not signed"):
        reports.sent(app, incident, "first-notice", to="PA05", channel="mail")
    signed(app, incident, "first-notice", tmp_path, "1/TB")
    assert states() == {"first-notice": "due", "report-72h": "due"}
    at = iso(NOW_US - HOUR)
    _, found, _ = reports.sent(app, incident, "first-notice", to="PA05", channel="mail", at=at, behalf=Behalf("Chị Hoa", "telephone"))
    assert states() == {"first-notice": "met", "report-72h": "due"}
    recorded = incidents.get(app, incident).reports["first-notice"]
    assert (recorded["at"], recorded["reference"], recorded["to"]) == (at, "1/TB", "PA05")
    assert (found.state, found.sent[0].behalf) == ("sent", "Chị Hoa")
    _, _, met = reports.sent(app, incident, "first-notice", to="A05", channel="mail")
    assert met == []
    with pytest.raises(NotFound, match="no obligation"):
        reports.sent(app, incident, "first-notice", to="A05", channel="mail", obligation=["initial-report"])
    with pytest.raises(UsageError, match="future"):
        reports.sent(app, incident, "first-notice", to="A05", channel="mail", at=iso(NOW_US + HOUR))


def test_the_signed_document_comes_back_as_evidence(app: App, opened: Opened, tmp_path: Path) -> None:
    """Number, date and signer are needed, its author cannot sign, once is enough; the file is kept by its hash."""
    incident = opened()
    reports.draft(app, incident, "report-72h")
    file = tmp_path / "signed.pdf"
    file.write_bytes(b"%PDF")
    sign: dict[str, Any] = {"number": "7/BC", "signed_on": "2026-11-21", "signer": "Trần Văn Bình"}
    for wrong, match in (({"number": " "}, "--number"), ({"signed_on": "21/11"}, "no date"), ({"signed_on": "2026-12-01"}, "future")):
        with pytest.raises(UsageError, match=match):
            reports.import_signed(app, incident, "r1", file, **{**sign, **wrong})
    with pytest.raises(NotAllowed, match="cannot sign"):
        reports.import_signed(app, incident, "r1", file, **{**sign, "signer": "AN"})
    assert evidence.listed(app, incident) == []
    _, found = reports.import_signed(app, incident, "r1", file, **sign)
    assert found.signed is not None
    kept = evidence.get(app, found.signed.evidence)
    assert (kept.sha256, kept.incident, found.number) == (sha256(b"%PDF").hexdigest(), incident, "7/BC")
    with pytest.raises(Conflict, match="signed already"):
        reports.import_signed(app, incident, "r1", file, **sign)


def test_what_is_tried_again_leaves_nothing_twice(app: App, opened: Opened, tmp_path: Path) -> None:
    """Somebody changes the incident between file and fact: the second try finds the file that is kept already; an export is recorded all the same."""
    incident = opened()
    reports.draft(app, incident, "report-72h")
    file = tmp_path / "signed.pdf"
    file.write_bytes(b"%PDF")
    evidence.add_once(app, incident, file, why="lần đầu")
    _, found = reports.import_signed(app, incident, "r1", file, number="7/BC", signed_on="2026-11-21", signer="Trần Văn Bình")
    assert [one.id for one in evidence.listed(app, incident)] == [found.signed.evidence if found.signed else ""]

    def write(name: str, _data: bytes) -> str:
        incidents.note(app, incident, "giữa chừng")
        return name

    assert reports.export(app, incident, "r1", "txt", write)[1].exports


def test_two_people_who_draft_at_once_see_each_other(app: App, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """The draft is of the facts that its author saw: a change meanwhile is a conflict, and nothing is recorded."""
    incident = opened()

    def meanwhile(*given: Any, **more: Any) -> Any:
        incidents.note(app, incident, "giữa chừng")
        return gather(*given, **more)

    monkeypatch.setattr("soc.application.reports.gather", meanwhile)
    with pytest.raises(Conflict):
        reports.draft(app, incident, "report-72h")
    assert reports.listed(app, incident) == []


def test_kinds_belong_to_the_regime_of_the_detection(app: App, opened: Opened) -> None:
    """Six kinds and the notice about personal data until June 2026, seven and that since; the other regime's are refused by name."""
    old, new = opened(detected_at="2026-06-30T16:59:00Z"), opened(detected_at="2026-06-30T17:00:00Z")
    assert [kind.id for kind in reports.known(app, old)] == ["initial", "progress", "plan", "direction", "support", "personal-data-notice", "final"]
    assert [kind.id for kind in reports.known(app, new)] == [
        "first-notice",
        "report-72h",
        "update",
        "plan",
        "direction",
        "support",
        "personal-data-notice",
        "final",
    ]
    with pytest.raises(UsageError, match="vn-2026 knows no report initial"):
        reports.draft(app, new, "initial")
    assert kind_of("final", "vn-2017").template != kind_of("final", "vn-2026").template
    with pytest.raises(UsageError, match="not written into a draft"):
        reports.draft(app, new, "update", {"system_os": "Linux"})
    with pytest.raises(UsageError, match="too many"):
        reports.draft(app, new, "update", {"scope": "x" * 5_000})


def test_the_same_facts_give_the_same_bytes(app: App, opened: Opened, tmp_path: Path) -> None:
    """DOCX, text and JSON of one version are the same whenever they are exported."""
    incident = opened()
    reports.draft(app, incident, "report-72h")
    first = {form: reports.document(app, incident, "r1", form)[0] for form in reports.FORMATS}
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(1_000_000)
    assert {form: reports.document(app, incident, "r1", form)[0] for form in reports.FORMATS} == first
    assert sha256(first["json"]).hexdigest() != sha256(first["txt"]).hexdigest()
    assert from_iso(reports.get(app, incident, "r1")[1].versions[0].at) == NOW_US


def test_an_exercise_is_marked_on_every_document(app: App) -> None:
    """No drill's report can be taken for a real one."""
    incident = incidents.open_incident(app, {"title": "Thử", "agencies": ["so-yt"]}, scope="exercise:2026").id
    reports.draft(app, incident, "report-72h")
    text = reports.document(app, incident, "r1", "txt")[0].decode()
    assert "DIỄN TẬP – KHÔNG PHẢI SỰ CỐ THẬT" in text
    assert "[DIỄN TẬP]" in text
