"""The handbook: whom to call, what is due, what to do, blank forms; every letter of it can be shown."""

from __future__ import annotations

import unicodedata
import zlib
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from soc.application import handbook, incidents
from soc.application.app import App
from soc.organization.registry import Registry, record
from soc.organization.table import Row
from soc.reports.handbook import AT_ONCE, Guide, glyphs, pdf
from soc.reports.kinds import FIELDS, kinds, of_regime
from tests.reports.conftest import Opened


@pytest.fixture
def full(app: App, opened: Opened) -> App:
    """An application with incidents, tasks, partners and the team."""
    rows = {
        "partners": [{"id": "a05", "name": "Cục A05", "sort": "police", "phone": "069 2345 678"}],
        "people": [{"id": "binh", "name": "Trần Văn Bình", "agency": "so-khcn", "role": "lead", "phone": "0913 000 111", "team": "có"}],
    }
    rows["roster"] = [{"begin": "2026-11-21 07:00", "end": "2026-11-21 19:00", "person": "binh", "decision": "12/QĐ"}]
    for kind, found in rows.items():
        record(app.journal, Registry(app.journal).plan(kind, [Row(number, row) for number, row in enumerate(found, 2)]), actor="an")
    incident = opened(legal_class="serious")
    incidents.move(app, incident, "triage", {})
    incidents.add_tasks(app, incident, [{"title": "Cô lập máy chủ", "owner": "Bình"}, {"title": "đã xong"}])
    incidents.finish_task(app, incident, "t2")
    return app


def test_it_holds_contacts_and_deadlines_as_they_are_now(full: App) -> None:
    """Team, partners, an agency without a contact person, open tasks, due times; what is done is left out."""
    book = handbook.gather(full)
    assert [one.name for one in book.team] == ["Trần Văn Bình"]
    assert [(one.name, one.of, one.phone) for one in book.partners] == [("Cục A05", "công an", "069 2345 678")]
    assert ("Sở Khoa học và Công nghệ", "Nguyễn Thị Hòa", "0912 345 678", "hoa@tinh-mau.gov.vn") in book.agencies
    assert ("Sở Y tế", "", "", "") in book.agencies
    (one,) = book.incidents
    assert ([title for title, _, _ in one.tasks], [what for _, what, _ in one.due]) == (
        ["Cô lập máy chủ"],
        ["Thông báo ban đầu (sự cố nghiêm trọng)", "Báo cáo 72 giờ: nguyên nhân, phạm vi, biện pháp khắc phục"],
    )
    assert book.shifts == [("07:00 21/11/2026", "19:00 21/11/2026", "Trần Văn Bình", "0913 000 111")]
    assert book.office.name == "Sở Khoa học và Công nghệ"


def test_the_pdf_is_written_then_recorded(full: App, tmp_path: Path) -> None:
    """Name and hash stand in the journal; the same book gives the same bytes; an error of writing records nothing."""

    def put(data: bytes) -> str:
        (tmp_path / "sổ tay.pdf").write_bytes(data)
        return "sổ tay.pdf"

    name, found = handbook.write(full, put)
    data = (tmp_path / name).read_bytes()
    assert data.startswith(b"%PDF-")
    assert sha256(data).hexdigest() == found
    assert [one.fact.data["sha256"] for one in full.journal.read(handbook.STREAM)] == [found]
    forms = of_regime("vn-2026")
    assert pdf(handbook.gather(full), forms) == data

    def refuse(_data: bytes) -> str:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        handbook.write(full, refuse)
    assert len(full.journal.read(handbook.STREAM)) == 1


@pytest.mark.parametrize("count", [0, 10, 11, 60])
def test_it_is_printed_however_many_incidents_there_are(full: App, count: int) -> None:
    """Few stand in the contents by name, many by one line; each has its place in the book."""
    book = handbook.gather(full)
    (one,) = book.incidents
    data = pdf(msgspec.structs.replace(book, incidents=[msgspec.structs.replace(one, id=f"INC-2026-{number:04d}") for number in range(1, count + 1)]), ())
    assert data.startswith(b"%PDF-")
    assert data.count(b"/Title <") + data.count(b"/Title (") >= count


def test_every_letter_of_vietnamese_and_of_our_texts_can_be_shown() -> None:
    """The fonts have all 134 letters with their marks, the signs of forms and playbooks, and come with their licence."""
    there = glyphs()
    letters = "".join(
        unicodedata.normalize("NFC", base + mark) for base in "aăâeêioôơuưyAĂÂEÊIOÔƠUƯY" for mark in ("", "\u0300", "\u0301", "\u0303", "\u0309", "\u0323")
    )
    assert {character for character in letters if unicodedata.combining(character)} == set()
    texts = letters + "đĐ☐–…→«»✔" + "".join(AT_ONCE) + "".join(field.vi for field in FIELDS.values())
    texts += "".join(section.heading for kind in kinds() for section in kind.sections)
    assert {character for character in texts if ord(character) > 0x20} - {chr(one) for one in there} == set()
    assert "Bitstream" in files("soc.reports").joinpath("fonts", "LICENSE.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    ["\x1b[31m\x00\u202eabc", "x" * 5_000, "**đậm** __gạch__ {nb} [a](http://evil)", "文字 العربية 🙂", "dòng\n" * 300, ""],
    ids=["steering", "long", "markup", "other-scripts", "lines", "empty"],
)
def test_hostile_texts_are_printed_as_text(full: App, text: str) -> None:
    """Nothing breaks a page, nothing becomes a link, an action or a script."""
    book = handbook.gather(full)
    one = msgspec.structs.replace(book.incidents[0], title=text, owner=text, tasks=[(text, text, text)])
    guide = Guide(text, text, text, [(text, text, "1 giờ", [text], text)])
    hostile = msgspec.structs.replace(book, incidents=[one], guides=[guide], agencies=[(text, text, text, text)], made_by=text)
    data = pdf(hostile, of_regime("vn-2017"))
    assert data.startswith(b"%PDF-")
    for sign in (b"/URI", b"/JavaScript", b"/Launch", b"/GoToR", b"/SubmitForm", b"/EmbeddedFile"):
        assert sign not in data
    assert zlib.crc32(data)
