"""`soc reports`, `soc evidence` and `soc handbook` as people call them."""

from __future__ import annotations

import json
import stat
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.reports.conftest import ROWS

CONFIG = """
[reports]
agency = "so-khcn"
place = "Tân Phú"
sign = "SKHCN"
signer_title = "Giám đốc"
"""


@pytest.fixture
def store(soc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """A store with a registered system and an incident on it; the configuration of the office."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "soc.toml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("SOC_CONFIG", str(tmp_path / "soc.toml"))
    words = ("--store", str(tmp_path / "s"))
    for kind, rows in ROWS.items():
        names = list(dict.fromkeys(name for row in rows for name in row))
        lines = [",".join(names), *(",".join(f'"{row.get(name, "")}"' for name in names) for row in rows)]
        (tmp_path / f"{kind}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        assert soc(kind, "import", str(tmp_path / f"{kind}.csv"), "--yes", *words).code == 0
    made = soc(
        "incidents",
        "new",
        "Mã hóa dữ liệu",
        "--system",
        "his",
        "--agency",
        "so-yt",
        "--detected",
        "2h",
        "--detected-by",
        "kỹ thuật viên",
        "--summary",
        "Tệp bị mã hóa",
        *words,
    )
    assert made.code == 0
    assert soc("incidents", "triage", "1", "--class", "malicious-code/infected-system", *words).code == 0
    assert soc("incidents", "edit", "1", "--legal-class", "serious", "--reason", "theo tiêu chí của tỉnh", *words).code == 0
    return words


def test_from_draft_to_a_met_obligation(soc: Run, store: tuple[str, ...], tmp_path: Path) -> None:
    """Kinds, draft with what is missing, export, signed document back, sent: the clock stops, the dossier holds it all and proves itself."""
    kinds = json.loads(soc("reports", "kinds", "1", "--json", *store).out)["items"]
    assert [one["id"] for one in kinds][:3] == ["first-notice", "report-72h", "update"]
    drafted = soc("reports", "draft", "1", "report-72h", "--set", "cause=lộ mật khẩu", *store)
    assert drafted.code == 0
    assert "--set scope=…" in drafted.err
    (tmp_path / "scope.txt").write_text("12 cơ sở\n", encoding="utf-8")
    done = (
        "--set-file",
        "scope=scope.txt",
        "--set",
        "consequence=gián đoạn",
        "--set",
        "measures=cô lập",
        "--set",
        "next_steps=khôi phục",
        "--set",
        "status=đang xử lý",
    )
    second = soc("reports", "draft", "1", "report-72h", *done, "--set", "notified=PA05", "--json", *store)
    assert json.loads(second.out)["item"]["version"] == 2
    assert second.err == ""
    exported = soc("reports", "export", "1", "report-72h", *store)
    assert exported.code == 0
    incident = json.loads(soc("incidents", "show", "1", "--json", *store).out)["item"]["id"]
    file = tmp_path / f"{incident}-report-72h-v2.docx"
    assert sha256(file.read_bytes()).hexdigest() in exported.out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = soc("reports", "export", "1", "report-72h", *store)
    assert (again.code, "--out" in again.err) == (5, True)
    assert "12 cơ sở" in soc("reports", "show", "1", "r1", *store).out
    assert soc("reports", "sent", "1", "r1", "--to", "PA05", *store).code == 6
    (tmp_path / "ký.pdf").write_bytes(b"%PDF-1.7")
    signed = ("--number", "15/BC-SKHCN", "--signed-on", "2026-11-20", "--signer", "Trần Văn Bình")
    assert soc("reports", "import-signed", "1", "r1", "ký.pdf", *signed, *store).code == 0
    sent = soc("reports", "sent", "1", "r1", "--to", "Phòng PA05", "--channel", "document", *store)
    assert "report-72h" in sent.err
    due = json.loads(soc("incidents", "show", "1", "--json", *store).out)["item"]["obligations"]
    assert {one["id"]: one["state"] for one in due} == {"first-notice": "due", "report-72h": "met"}
    listed = json.loads(soc("reports", "list", "1", "--json", *store).out)["items"]
    assert [(one["id"], one["state"], one["number"]) for one in listed] == [("r1", "sent", "15/BC-SKHCN")]
    (tmp_path / "mail.eml").write_bytes(b"Subject: x")
    assert soc("evidence", "add", "1", "mail.eml", "--why", "thư gốc", "--from", "máy chủ thư", *store).code == 0
    assert soc("evidence", "hand-over", "2", "--to", "PA05", "--why", "giám định", *store).code == 0
    image = ("--sha256", "0" * 64, "--place", "Tủ 3", "--seal", "7", "--name", "disk.img")
    assert soc("evidence", "register", "1", *image, "--why", "ảnh đĩa", *store).code == 0
    assert soc("evidence", "verify", *store).code == 0
    shown = soc("--lang", "vi", "evidence", "show", "2", *store).out
    assert "máy chủ thư" in shown
    assert "PA05" in shown
    assert soc("evidence", "dossier", "1", "hồ-sơ", *store).code == 0
    key = soc("audit", "key", *store).out.split()[0]
    verdict = json.loads(soc("evidence", "dossier-verify", "hồ-sơ", "--key", key, "--json").out)
    assert (verdict["ok"], verdict["trusted"]) == (True, True)
    (tmp_path / "hồ-sơ/timeline.txt").chmod(0o600)
    (tmp_path / "hồ-sơ/timeline.txt").write_text("khác", encoding="utf-8")
    broken = soc("evidence", "dossier-verify", "hồ-sơ")
    assert (broken.code, "timeline.txt" in broken.out) == (1, True)
    assert json.loads(soc("audit", "verify", "--json", *store).out)["ok"] is True


def test_evidence_that_was_changed_is_told_by_the_exit_code(soc: Run, store: tuple[str, ...], tmp_path: Path) -> None:
    """One changed byte in the folder of evidence: exit code 1, and which piece."""
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "l").symlink_to(tmp_path / "a")
    assert soc("evidence", "add", "1", "l", "--why", "x", *store).code == 2
    assert soc("evidence", "add", "1", "a", "--why", "x", *store).code == 0
    place = next(path for path in (tmp_path / "s/evidence/sha256").rglob("*") if path.is_file())
    place.chmod(0o600)
    place.write_bytes(b"b")
    found = soc("evidence", "verify", "--json", *store)
    assert (found.code, [one["result"] for one in json.loads(found.out)["items"]]) == (1, ["changed"])
    assert json.loads(soc("evidence", "list", "--json", *store).out)["items"][0]["checked"] == "changed"


def test_templates_are_written_out_checked_and_used(soc: Run, store: tuple[str, ...], tmp_path: Path) -> None:
    """The shipped ones are without fault; one with logic in it is named with its place, exit code 1; a second export touches nothing."""
    assert soc("reports", "templates", "export", "mẫu").code == 0
    assert len(list((tmp_path / "mẫu").glob("*.docx"))) >= 12
    assert soc("reports", "templates", "check", "mẫu").code == 0
    assert soc("reports", "templates", "export", "mẫu").code == 5
    from docx import Document

    document = Document(str(tmp_path / "mẫu/update.docx"))
    document.add_paragraph("{{ summary.__class__ }}")
    document.save(str(tmp_path / "mẫu/update.docx"))
    found = soc("reports", "templates", "check", "mẫu", "--json")
    assert found.code == 1
    (fault,) = json.loads(found.out)["items"]
    assert (fault["template"], fault["what"]) == ("update.docx", "{{ summary.__class__ }}")
    assert fault["place"].startswith("word/document.xml, paragraph ")
    (tmp_path / "soc.toml").write_text(CONFIG + f'templates = "{tmp_path}/mẫu"\n', encoding="utf-8")
    assert soc("reports", "draft", "1", "update", *store).code == 0
    assert soc("reports", "export", "1", "update", *store).code == 3
    assert soc("reports", "export", "1", "update", "--format", "txt", *store).code == 0


def test_the_situation_report_and_the_handbook(soc: Run, store: tuple[str, ...], tmp_path: Path) -> None:
    """Shown without being recorded, written with its hash; the handbook is a PDF that is not overwritten by accident."""
    shown = soc("reports", "situation", "--until", "now", *store)
    assert (shown.code, "BÁO CÁO NHANH" in shown.out) == (0, True)
    written = soc("reports", "situation", "--until", "now", "--out", "nhanh.docx", "--json", *store)
    assert json.loads(written.out)["sha256"] == sha256((tmp_path / "nhanh.docx").read_bytes()).hexdigest()
    assert soc("handbook", "so-tay.pdf", *store).code == 0
    assert (tmp_path / "so-tay.pdf").read_bytes().startswith(b"%PDF-")
    assert soc("handbook", "so-tay.pdf", *store).code == 5
    assert soc("handbook", "so-tay.pdf", "--overwrite", *store).code == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []
    log = json.loads(soc("audit", "log", "report/handbook", "--json", *store).out)["items"]
    assert [one["kind"] for one in log] == ["HandbookPrinted", "HandbookPrinted"]


def test_without_the_extra_everything_but_docx_and_pdf_works(soc: Run, store: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Text, JSON and the dossier need no further packages; what does says how to get them."""
    for name in ("docxtpl", "fpdf"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("soc.reports.template", "soc.reports.handbook", "soc.application.handbook"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        package, _, module = name.rpartition(".")
        monkeypatch.delattr(sys.modules[package], module, raising=False)
    assert soc("reports", "draft", "1", "update", *store).code == 0
    assert soc("reports", "export", "1", "update", "--format", "txt", *store).code == 0
    refused = soc("reports", "export", "1", "update", *store)
    assert (refused.code, "soc[docs]" in refused.err) == (3, True)
    assert soc("reports", "situation", "--until", "now", *store).code == 0
    printed = soc("handbook", "so-tay.pdf", *store)
    assert (printed.code, "soc[docs]" in printed.err) == (3, True)
    assert soc("evidence", "dossier", "1", "hồ-sơ", *store).code == 0
    assert soc("evidence", "dossier-verify", "hồ-sơ").code == 0


def test_the_doctor_looks_at_templates_and_at_who_issues(soc: Run, store: tuple[str, ...], tmp_path: Path) -> None:
    """An agency that is not registered, and a template with logic, are told with what to do."""
    from docx import Document

    def found(config: str) -> dict[str, tuple[str, str]]:
        (tmp_path / "soc.toml").write_text(config, encoding="utf-8")
        items = json.loads(soc("doctor", "--json", *store).out)["items"]
        return {one["name"]: (one["state"], one["fix"]) for one in items if one["name"] in ("reports", "templates")}

    assert found(CONFIG) == {"reports": ("ok", "")}
    assert found('[reports]\nagency = "khong-co"\n')["reports"][0] == "warn"
    soc("reports", "templates", "export", "mẫu")
    config = CONFIG + f'templates = "{tmp_path}/mẫu"\n'
    assert found(config)["templates"] == ("ok", "")
    document = Document()
    document.add_paragraph("{% if x %}")
    document.save(str(tmp_path / "mẫu/final-2026.docx"))
    state, fix = found(config)["templates"]
    assert (state, fix.startswith("soc reports templates check ")) == ("fail", True)
