"""The handbook as PDF, for the day our own host is down: whom to call, what is open until when, what to do, and blank forms.

Source of the fonts: DejaVu 2.37 (soc/reports/fonts/LICENSE.txt), embedded as far as they are used.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.resources import as_file, files

import msgspec
from fpdf import FPDF, FontFace, XPos, YPos
from fpdf.enums import TableBordersLayout
from fpdf.fonts import TTFFont
from fpdf.outline import OutlineSection

from soc.clock import from_iso, to_datetime
from soc.reports.facts import Organization, when
from soc.reports.kinds import FIELDS, LISTS, Kind
from soc.reports.values import text_of

FONT = "DejaVu"
_MARGIN = 16.0
_PAGES = "{number-of-pages-of-this-handbook}"
_MOST_CELL, _MOST_TEXT = 200, 1_500
"""Characters of a cell and of a text: a row must fit on a page, a call must be found on it."""
_MOST_LISTED = 10
"""Incidents in the contents; when there are more, one line stands for all."""
_HEAD = FontFace(emphasis="BOLD", fill_color=(230, 230, 230))
_MOST_CONTENTS = 48
"""Lines that fit on the page of contents."""


class Called(msgspec.Struct, frozen=True):
    """Somebody to call. `of`: agency, sort of partner, or shift."""

    name: str
    of: str
    phone: str
    email: str
    title: str = ""


class OpenOne(msgspec.Struct, frozen=True):
    """An incident at work. `due`: (when, what, overdue); `tasks`: (title, owner, until)."""

    id: str
    title: str
    state: str
    agencies: str
    owner: str
    detected_at: str
    due: list[tuple[str, str, bool]]
    tasks: list[tuple[str, str, str]]


class Guide(msgspec.Struct, frozen=True):
    """A playbook in one language. `tasks`: (title, who, until, steps, what to write down)."""

    title: str
    summary: str
    call: str
    tasks: list[tuple[str, str, str, list[str], str]]


class Handbook(msgspec.Struct, frozen=True):
    """Everything that is printed. `agencies`: an agency and its contact persons."""

    made_at: str
    made_by: str
    office: Organization
    shifts: list[tuple[str, str, str, str]]
    team: list[Called]
    partners: list[Called]
    agencies: list[tuple[str, str, str, str]]
    incidents: list[OpenOne]
    guides: list[Guide]


AT_ONCE = (
    "Ghi lại trên giấy: giờ, phút; ai báo, số điện thoại; đơn vị, hệ thống; đã thấy gì. Không tắt máy bị nhiễm, rút cáp mạng.",
    "Gọi người trực theo danh sách ở phần 1; không gặp trong 10 phút thì gọi người kế tiếp, rồi lãnh đạo đội.",
    "Xem phần 2: việc nào đến hạn trong hôm nay. Thời hạn báo cáo tính từ thời điểm phát hiện, không dừng khi máy chủ ngừng.",
    "Sự cố nghiêm trọng: thông báo ban đầu trong 24 giờ. Mọi sự cố: báo cáo trong 72 giờ. Ảnh hưởng an ninh quốc gia: báo cáo ngay.",
    "Làm theo kịch bản ở phần 3; đánh dấu giờ hoàn thành từng việc.",
    "Lập báo cáo bằng biểu mẫu trắng ở phần 4; lấy số, ký, gửi qua văn thư hoặc điện thoại rồi gửi văn bản sau.",
    "Khi hệ thống chạy lại: nhập tất cả với thời gian thật (ghi thay), kèm số văn bản.",
)
"""What is done while nothing runs. Source: Decree 331/2026/NĐ-CP, article 31.2.d (deadlines)."""


class _Pages(FPDF):
    """A4 pages with a foot that says when they were printed."""

    def __init__(self, printed: str, office: str) -> None:
        super().__init__(format="A4")
        self._printed, self._office = printed, office
        self.alias_nb_pages(_PAGES)
        self.set_margins(_MARGIN, 14, _MARGIN)
        self.set_auto_page_break(True, 16)
        self.set_line_width(0.15)

    def footer(self) -> None:
        """Office, time of printing, page."""
        self.set_y(-12)
        self.set_font(FONT, size=7.5)
        self.cell(0, 4, f"{self._office} – in lúc {self._printed} – lưu hành nội bộ", align="L", new_x=XPos.LMARGIN, new_y=YPos.TOP)
        self.cell(0, 4, f"{self.page_no()}/{_PAGES}", align="R")


def pdf(book: Handbook, forms: Sequence[Kind]) -> bytes:
    """The bytes of the handbook; the same book gives the same bytes."""
    pages = _Pages(when(book.made_at), text_of(book.office.name))
    pages.set_creation_date(to_datetime(from_iso(book.made_at)))
    _fonts(pages)
    pages.set_title("Sổ tay ứng phó sự cố")
    pages.set_author(text_of(book.office.name))
    pages.set_lang("vi-VN")
    _cover(pages, book)
    _contacts(pages, book)
    _incidents(pages, book)
    _guides(pages, book)
    _forms(pages, forms)
    out = io.BytesIO()
    pages.output(out)
    return out.getvalue()


def _fonts(pages: FPDF) -> None:
    folder = files("soc.reports").joinpath("fonts")
    for style, name in (("", "DejaVuSansCondensed.ttf"), ("B", "DejaVuSansCondensed-Bold.ttf")):
        with as_file(folder.joinpath(name)) as path:
            pages.add_font(FONT, style, path)


def _say(pages: FPDF, text: str, size: float = 9.5, *, bold: bool = False, indent: float = 0, after: float = 0.8, align: str = "L") -> None:
    pages.set_font(FONT, "B" if bold else "", size)
    pages.set_x(pages.l_margin + indent)
    pages.multi_cell(pages.epw - indent, size * 0.48, text_of(text)[:_MOST_TEXT] or " ", align=align, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pages.ln(after)


def _part(pages: FPDF, title: str, *, new_page: bool = True) -> None:
    if new_page:
        pages.add_page()
    pages.start_section(title)
    _say(pages, title, 14, bold=True, after=2)


def _chapter(pages: FPDF, title: str, room: float = 30, *, level: int = 1) -> None:
    if pages.will_page_break(room):
        pages.add_page()
    pages.start_section(_cell(title), level=level)
    _say(pages, _cell(title), 11, bold=True, after=1)


def _table(pages: FPDF, heads: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float], size: float = 8.5) -> None:
    if not rows:
        _say(pages, "(không có)", after=2)
        return
    pages.set_font(FONT, size=size)
    with pages.table(
        col_widths=tuple(widths), headings_style=_HEAD, line_height=size * 0.47, text_align="LEFT", borders_layout=TableBordersLayout.ALL, padding=0.6
    ) as table:
        for row in (heads, *rows):
            line = table.row()
            for cell in row:
                line.cell(_cell(cell))
    pages.ln(3)


def _cell(text: str) -> str:
    """A text for a cell: one line, and no more than a row can hold."""
    line = " ".join(text_of(text).split())
    return (line if len(line) <= _MOST_CELL else line[:_MOST_CELL] + "…") or " "


def _cover(pages: FPDF, book: Handbook) -> None:
    pages.add_page()
    _say(pages, book.office.superior.upper(), 10, align="C", after=0)
    _say(pages, book.office.name.upper(), 11, bold=True, align="C", after=22)
    _say(pages, "SỔ TAY ỨNG PHÓ SỰ CỐ AN NINH MẠNG", 20, bold=True, align="C", after=1)
    _say(pages, "Dùng khi máy chủ của hệ thống giám sát ngừng hoạt động", 12, align="C", after=6)
    _say(pages, f"In lúc {when(book.made_at)} bởi {book.made_by}", 10, align="C", after=8)
    _say(pages, "Việc làm ngay", 12, bold=True, after=1)
    for number, line in enumerate(AT_ONCE, 1):
        _say(pages, f"{number}. {line}", 10.5, after=1.4)
    pages.add_page()
    _say(pages, "Nội dung", 12, bold=True, after=1)
    pages.insert_toc_placeholder(_contents, 1)


def _contents(pages: FPDF, outline: list[OutlineSection]) -> None:
    for one in [one for one in outline if one.level <= 1][:_MOST_CONTENTS]:
        pages.set_font(FONT, "B" if one.level == 0 else "", 10 if one.level == 0 else 9)
        pages.set_x(pages.l_margin + 6 * one.level)
        link = pages.add_link(page=one.page_number)
        room = pages.epw - 6 * one.level - 12
        pages.cell(room, 5, _fitting(pages, one.name, room - 2), link=link)
        pages.cell(12, 5, str(one.page_number), align="R", link=link, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _fitting(pages: FPDF, text: str, width: float) -> str:
    while text and pages.get_string_width(text) > width:
        text = text[:-2].rstrip("… ") + "…"
    return text


def _contacts(pages: FPDF, book: Handbook) -> None:
    # After the contents a new page has begun already.
    _part(pages, "1. Danh bạ liên lạc", new_page=False)
    _chapter(pages, "1.1. Ca trực sắp tới")
    _table(pages, ("Từ", "Đến", "Người trực", "Điện thoại"), book.shifts, (30, 30, 35, 25))
    _chapter(pages, "1.2. Đội ứng cứu sự cố")
    _table(pages, ("Họ và tên", "Chức vụ, đơn vị", "Điện thoại", "Thư điện tử"), [_called(one) for one in book.team], (30, 42, 22, 40))
    _chapter(pages, "1.3. Cơ quan, đơn vị bên ngoài")
    _table(pages, ("Tên", "Loại", "Điện thoại", "Thư điện tử"), [_called(one) for one in book.partners], (45, 22, 26, 36))
    _chapter(pages, "1.4. Đầu mối của các cơ quan, đơn vị")
    _table(pages, ("Cơ quan, đơn vị", "Đầu mối", "Điện thoại", "Thư điện tử"), book.agencies, (44, 32, 22, 46), 8)


def _called(one: Called) -> tuple[str, str, str, str]:
    return one.name, ", ".join(filter(None, (one.title, one.of))), one.phone, one.email


def _incidents(pages: FPDF, book: Handbook) -> None:
    _part(pages, "2. Sự cố đang xử lý và thời hạn")
    if not book.incidents:
        _say(pages, f"Không có sự cố đang xử lý lúc {when(book.made_at)}.")
    many = len(book.incidents) > _MOST_LISTED
    if many:  # the contents name all of them by one line
        _chapter(pages, f"2.1. {len(book.incidents)} sự cố", 55)
    for one in book.incidents:
        _chapter(pages, f"{one.id} – {one.title}", 45, level=1 + many)
        _say(pages, f"{one.state}. Cơ quan: {one.agencies or '–'}. Người xử lý: {one.owner or '–'}. Phát hiện: {when(one.detected_at)}.")
        _table(
            pages,
            ("Thời hạn", "Phải báo cáo", "Đã làm lúc"),
            [(("QUÁ HẠN: " if late else "") + when(due), what, "") for due, what, late in one.due],
            (42, 65, 25),
        )
        if one.tasks:
            _table(pages, ("Việc còn lại", "Người làm", "Thời hạn", "Xong lúc"), [(*task, "") for task in one.tasks], (62, 28, 36, 20))


def _guides(pages: FPDF, book: Handbook) -> None:
    _part(pages, "3. Kịch bản ứng cứu")
    if not book.guides:
        _say(pages, "(không có)")
    for number, guide in enumerate(book.guides, 1):
        _chapter(pages, f"3.{number}. {guide.title}", 60)
        _say(pages, guide.summary, after=1)
        _say(pages, f"Khi nào gọi trung tâm quốc gia: {guide.call}", bold=True, after=1.5)
        for step, (title, who, until, how, note) in enumerate(guide.tasks, 1):
            if pages.will_page_break(16):
                pages.add_page()
            _say(pages, f"☐ {step}. {title} – {who}, trong {until}", bold=True, after=0.4)
            for line in how:
                _say(pages, f"– {line}", 9, indent=6, after=0.2)
            _say(pages, f"Ghi lại: {note}", 9, indent=6, after=1.4)


def _forms(pages: FPDF, forms: Sequence[Kind]) -> None:
    _part(pages, "4. Biểu mẫu trắng")
    _chapter(pages, "4.1. Phiếu tiếp nhận thông tin qua điện thoại")
    rows = (
        *("Ngày, giờ, phút nhận", "Người báo, số điện thoại", "Đơn vị, hệ thống", "Phát hiện lúc (giờ, phút, ngày)", "Ai phát hiện, bằng cách nào"),
        *("Đã thấy gì", "Ảnh hưởng tới ai, dịch vụ nào", "Có dữ liệu cá nhân không", "Đã làm gì", "Người tiếp nhận, ký"),
    )
    _blank(pages, rows)
    _chapter(pages, "4.2. Biên bản giao nhận chứng cứ", 90)
    _blank(
        pages,
        (
            "Mã sự cố",
            "Tên, loại, số seri",
            "SHA-256",
            "Lấy từ đâu, lúc nào, ai lấy",
            "Số niêm phong",
            "Bên giao (họ tên, ký)",
            "Bên nhận (họ tên, ký)",
            "Lý do",
        ),
    )
    for number, kind in enumerate(forms, 3):
        pages.add_page()
        _chapter(pages, f"4.{number}. {kind.title['vi']}")
        _say(pages, f"{kind.name or 'CÔNG VĂN'} – {kind.subject}", bold=True, align="C")
        _say(pages, "Số: ……………/………………      ………………, ngày …… tháng …… năm ………", align="C", after=2)
        _say(pages, "Kính gửi: …………………………………………………………………………", align="C", after=2)
        for at, section in enumerate(kind.sections, 1):
            if pages.will_page_break(22):
                pages.add_page()
            _say(pages, f"{at}. {section.heading}", bold=True, after=0.6)
            if section.rows:
                _blank(pages, [FIELDS[name.rstrip("~")].vi for name in section.rows], 7)
            if section.text:
                _lines(pages, 5)
            if section.list:
                heads = LISTS[section.list]
                _table(pages, [one[0] for one in heads.values()], [[" "] * len(heads)] * 4, [one[2] for one in heads.values()])
        _say(pages, "Người ký (chức vụ, họ tên): ……………………………………………………", align="R", after=0)


def _blank(pages: FPDF, labels: Sequence[str], height: float = 9) -> None:
    """Rows with a label and room to write."""
    pages.set_font(FONT, size=9)
    for label in labels:
        if pages.will_page_break(height):
            pages.add_page()
        pages.cell(62, height, _fitting(pages, text_of(label), 60), border=1)
        pages.cell(pages.epw - 62, height, "", border=1, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pages.ln(3)


def _lines(pages: FPDF, count: int) -> None:
    """Lines to write on."""
    for _ in range(count):
        if pages.will_page_break(8):
            pages.add_page()
        pages.ln(7)
        pages.line(pages.l_margin, pages.get_y(), pages.l_margin + pages.epw, pages.get_y())
    pages.ln(3)


def glyphs() -> set[int]:
    """The characters that both fonts can show."""
    pages = FPDF()
    _fonts(pages)
    found = []
    for font in pages.fonts.values():
        if isinstance(font, TTFFont):
            found.append(set(font.cmap))
            font.close()
    return set.intersection(*found)
