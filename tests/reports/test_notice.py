"""The letter of a notice as a document: each recipient's own, and inert whatever stands in it."""

from __future__ import annotations

import io

import pytest
from docx import Document

from soc.application import notices
from soc.application.app import App
from soc.clock import iso
from soc.errors import UsageError
from tests.application.test_notices_send import register
from tests.incidents.test_workflow import NOW, application


@pytest.fixture
def app() -> App:
    """A province with two agencies."""
    found = application()
    rows = [{"id": "tinh", "name": "UBND tỉnh Mẫu", "level": "province"}]
    register(found, "agencies", [*rows, *({"id": f"x-{n}", "name": f"Xã {n}", "level": "commune", "parent": "tinh"} for n in (1, 2))])
    return found


def words(data: bytes) -> str:
    """All text of a document."""
    document = Document(io.BytesIO(data))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    heads = [paragraph.text for section in document.sections for paragraph in section.first_page_header.paragraphs]
    return "\n".join([*heads, *(paragraph.text for paragraph in document.paragraphs), *cells])


def test_each_document_holds_its_own_annex_and_code(app: App) -> None:
    """Number, date, addressee, due time, code and annex of one recipient; of the other nothing."""
    annex = {"x-1": ["bi-mat-1@tinh.vn", "{{7*7}} {% for x in y %}"], "x-2": ["bi-mat-2@tinh.vn"]}
    made = notices.draft(app, "Lỗ hổng <b>{{summary}}</b>", body="Dòng một\nDòng hai", action="Vá", due_at=iso(NOW), annex=annex)
    draft = words(next(notices.letters(app, made.id, "docx")).content)
    assert "Số:        /" in draft
    notices.approve(app, made.id, signer="Trần Văn Bình", number="12/CB-SKHCN", signed_on="2026-11-20")
    first, second = notices.letters(app, made.id, "docx")
    text = words(first.content)
    for part in ("Số: 12/CB-SKHCN", "ngày 20 tháng 11 năm 2026", "Kính gửi: Xã 1", "UBND TỈNH MẪU", "Dòng một", "Dòng hai", first.code, "bi-mat-1@tinh.vn",
                 "{{7*7}} {% for x in y %}", "Trần Văn Bình", "Lỗ hổng <b>{{summary}}</b>", "TLP:AMBER"):  # fmt: skip
        assert part in text, part
    assert "bi-mat-2" not in text
    assert second.code not in text
    assert next(notices.letters(app, made.id, "docx")).content == first.content, "the same bytes again, so that the register's hash holds"


def test_an_urgent_notice_and_one_of_an_exercise_say_so(app: App) -> None:
    """On whose word it goes out; and that it is an exercise, first of all."""
    made = notices.draft(app, "Khẩn", to=["x-1"], scope="exercise:2026")
    notices.approve(app, made.id, signer="Giám đốc", urgent=True)
    text = words(next(notices.letters(app, made.id, "docx")).content)
    assert "DIỄN TẬP" in text
    assert "theo chỉ đạo của Giám đốc" in text


def test_an_unknown_form_is_refused(app: App) -> None:
    """With those that there are."""
    made = notices.draft(app, "a", to=["x-1"])
    with pytest.raises(UsageError, match="txt, docx"):
        next(notices.letters(app, made.id, "pdf"))
