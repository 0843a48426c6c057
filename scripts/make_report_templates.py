"""Writes the DOCX templates of reports, soc/reports/templates/*.docx, from soc/reports/kinds.yml: `python -m scripts.make_report_templates`.

Layout of administrative documents after Decree 30/2020/NĐ-CP, annex I: A4, margins 20/20/30/15 mm, Times New Roman, the issuer on the left
and the national title on the right, name and subject centered, recipients on the left below and the signature on the right, page
numbers in the middle of the head from the second page on. The same input gives the same bytes.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from docx import Document
from docx.enum.table import WD_TABLE_ALIGNMENT
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Cm, Mm, Pt

from soc.reports.kinds import FIELDS, LISTS, Kind, kinds
from soc.reports.template import check, settled

FOLDER = Path(__file__).parents[1] / "soc/reports/templates"
FONT = "Times New Roman"
LEFT, CENTER, RIGHT, JUSTIFY = WD_ALIGN_PARAGRAPH.LEFT, WD_ALIGN_PARAGRAPH.CENTER, WD_ALIGN_PARAGRAPH.RIGHT, WD_ALIGN_PARAGRAPH.JUSTIFY
LABEL, VALUE = 5.7, 10.8


def write(paragraph: Any, text: str, *, size: float = 13, bold: bool = False, italic: bool = False) -> Any:
    """A run of text in the font of documents."""
    run = paragraph.add_run(text)
    run.font.name, run.font.size, run.bold, run.italic = FONT, Pt(size), bold, italic
    run._element.get_or_add_rPr().get_or_add_rFonts().set(qn("w:eastAsia"), FONT)
    return run


def lay(paragraph: Any, align: Any = LEFT, *, before: float = 0, after: float = 0, indent: float = 0, keep: bool = False) -> Any:
    """A paragraph's alignment and distances (points, centimeters)."""
    form = paragraph.paragraph_format
    form.alignment, form.space_before, form.space_after, form.keep_with_next = align, Pt(before), Pt(after), keep
    form.line_spacing = 1.0
    if indent:
        form.first_line_indent = Cm(indent)
    return paragraph


def rule(paragraph: Any, left: float, right: float) -> None:
    """A thin line below a paragraph, set in from both sides (centimeters)."""
    paragraph.paragraph_format.left_indent, paragraph.paragraph_format.right_indent = Cm(left), Cm(right)
    borders, top = OxmlElement("w:pBdr"), OxmlElement("w:top")
    for name, value in (("val", "single"), ("sz", "6"), ("space", "1"), ("color", "auto")):
        top.set(qn(f"w:{name}"), value)
    borders.append(top)
    paragraph._p.get_or_add_pPr().insert_element_before(borders, "w:shd", "w:tabs", "w:spacing", "w:ind", "w:jc")
    write(paragraph, "", size=4)
    paragraph.paragraph_format.space_before, paragraph.paragraph_format.line_spacing = Pt(3), Pt(5)


def table(parent: Any, rows: int, widths: tuple[float, ...], *, lines: bool) -> Any:
    """A table of fixed widths (centimeters), with or without lines."""
    made = parent.add_table(rows, len(widths))
    made.autofit, made.alignment = False, WD_TABLE_ALIGNMENT.CENTER
    if lines:
        made.style = "Table Grid"
    grid = made._tbl.tblGrid
    for column, width in zip(grid.findall(qn("w:gridCol")), widths, strict=True):
        column.set(qn("w:w"), str(int(Cm(width).twips)))
    for row in made.rows:
        for cell, width in zip(row.cells, widths, strict=True):
            cell.width = Cm(width)
    return made


def unsplit(row: Any, *, header: bool = False) -> None:
    """A row that is not cut by the end of a page; a header comes again on the next one."""
    properties = row._tr.get_or_add_trPr()
    properties.append(OxmlElement("w:cantSplit"))
    if header:
        properties.append(OxmlElement("w:tblHeader"))


def head(document: Any, kind: Kind) -> None:
    """Issuer and number on the left, national title, motto, place and date on the right."""
    top = table(document, 2, (6.9, 9.6), lines=False)
    left, right = top.rows[0].cells
    write(lay(left.paragraphs[0], CENTER), "{{superior}}", size=12)
    write(lay(left.add_paragraph(), CENTER), "{{issuer}}", size=12, bold=True)
    rule(lay(left.add_paragraph(), CENTER), 2.2, 2.2)
    write(lay(right.paragraphs[0], CENTER), "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", size=12, bold=True)
    write(lay(right.add_paragraph(), CENTER), "Độc lập - Tự do - Hạnh phúc", size=13, bold=True)
    rule(lay(right.add_paragraph(), CENTER), 1.9, 1.9)
    left, right = top.rows[1].cells
    write(lay(left.paragraphs[0], CENTER, before=4), "{{number_line}}", size=13)
    if kind.form == "letter":
        write(lay(left.add_paragraph(), CENTER, before=4), "V/v {{subject}}", size=12)
    write(lay(right.paragraphs[0], CENTER, before=4), "{{place_date}}", size=13, italic=True)


def title(document: Any, kind: Kind, size: float) -> None:
    """Name and subject of a report; of a letter, and of a report with addressees, whom it goes to."""
    if kind.form == "report":
        write(lay(document.add_paragraph(), CENTER, before=14, keep=True), "{{name}}", size=size + 1, bold=True)
        write(lay(document.add_paragraph(), CENTER, keep=True), "{{subject}}", size=size, bold=True)
        rule(lay(document.add_paragraph(), CENTER, after=6), 6.2, 6.2)
    if kind.id != "situation":
        to = lay(document.add_paragraph(), CENTER, before=12 if kind.form == "letter" else 4, after=8)
        write(to, "Kính gửi: {{addressee}}", size=size)
        write(lay(document.add_paragraph(), JUSTIFY, after=4, indent=1.0), "{{opening}}", size=size)


def sections(document: Any, kind: Kind, size: float) -> None:
    """What the kind is about, section by section."""
    small = size - 1
    for number, section in enumerate(kind.sections, 1):
        write(lay(document.add_paragraph(), LEFT, before=6, after=3, keep=True), f"{number}. {section.heading}", size=size, bold=True)
        if section.rows:
            body = table(document, len(section.rows), (LABEL, VALUE), lines=True)
            for row, name in zip(body.rows, section.rows, strict=True):
                unsplit(row)
                write(lay(row.cells[0].paragraphs[0], LEFT, before=1, after=1), FIELDS[name.rstrip("~")].vi, size=small)
                write(lay(row.cells[1].paragraphs[0], LEFT, before=1, after=1), "{{" + name.rstrip("~") + "}}", size=small)
        if section.text:
            write(lay(document.add_paragraph(), JUSTIFY, after=3, indent=1.0), "{{" + section.text.rstrip("~") + "}}", size=size)
        if section.list:
            repeated(document, section.list, small)


def repeated(document: Any, name: str, size: float) -> None:
    """A table with a row for each item of a list."""
    columns = LISTS[name]
    widths = tuple(width for _, _, width in columns.values())
    body = table(document, 4, widths, lines=True)
    unsplit(body.rows[0], header=True)
    for cell, (label, _, _) in zip(body.rows[0].cells, columns.values(), strict=True):
        write(lay(cell.paragraphs[0], CENTER, before=1, after=1), label, size=size, bold=True)
    write(body.rows[1].cells[0].paragraphs[0], "{%tr for row in " + name + " %}", size=size)
    unsplit(body.rows[2])
    for cell, column in zip(body.rows[2].cells, columns, strict=True):
        write(lay(cell.paragraphs[0], LEFT, before=1, after=1), "{{row." + column + "}}", size=size)
    write(body.rows[3].cells[0].paragraphs[0], "{%tr endfor %}", size=size)


def foot(document: Any, kind: Kind, size: float) -> None:
    """The closing sentence, recipients and signature."""
    if kind.closing:
        write(lay(document.add_paragraph(), JUSTIFY, before=6, after=8, indent=1.0), "{{closing}}", size=size)
    else:
        write(lay(document.add_paragraph(), LEFT), "", size=6)
    below = table(document, 1, (8.0, 8.5), lines=False)
    unsplit(below.rows[0])
    left, right = below.rows[0].cells
    write(lay(left.paragraphs[0], LEFT), "Nơi nhận:", size=12, bold=True, italic=True)
    write(lay(left.add_paragraph(), LEFT), "{%p for row in copies %}", size=11)
    write(lay(left.add_paragraph(), LEFT), "{{row.name}}", size=11)
    write(lay(left.add_paragraph(), LEFT), "{%p endfor %}", size=11)
    write(lay(right.paragraphs[0], CENTER), "{{signer_title}}", size=13, bold=True)
    for _ in range(2 if kind.id == "situation" else 4):
        write(lay(right.add_paragraph(), CENTER), "", size=13)
    write(lay(right.add_paragraph(), CENTER), "{{signer_name}}", size=13, bold=True)


def page(document: Any, kind: Kind) -> None:
    """A4 with its margins, page numbers from the second page on, the mark of exercises on every page."""
    section = document.sections[0]
    section.page_width, section.page_height = Mm(210), Mm(297)
    section.top_margin, section.bottom_margin, section.left_margin, section.right_margin = Mm(20), Mm(20), Mm(30), Mm(15)
    if kind.id == "situation":  # one page
        section.top_margin = section.bottom_margin = Mm(14)
    section.header_distance = Mm(8)
    section.different_first_page_header_footer = True
    write(lay(section.first_page_header.paragraphs[0], CENTER), "{{mark}}", size=13, bold=True)
    number = lay(section.header.paragraphs[0], CENTER)
    for sort, text in (("begin", ""), ("", "PAGE"), ("end", "")):
        run = write(number, "", size=13)
        mark = OxmlElement("w:fldChar" if sort else "w:instrText")
        if sort:
            mark.set(qn("w:fldCharType"), sort)
        else:
            mark.text = text
        run._element.append(mark)
    write(lay(section.header.add_paragraph(), CENTER), "{{mark}}", size=13, bold=True)


def made(kind: Kind) -> bytes:
    """The template of a kind."""
    document = Document()
    size = 11.5 if kind.id == "situation" else 13
    style = document.styles["Normal"]
    style.font.name, style.font.size = FONT, Pt(size)
    properties = document.core_properties
    properties.author, properties.title, properties.comments, properties.revision = "soc", kind.title["vi"], "", 1
    properties.created = properties.modified = datetime(2026, 1, 1, tzinfo=UTC)
    properties.last_modified_by, properties.language = "soc", "vi-VN"
    page(document, kind)
    head(document, kind)
    title(document, kind, size)
    sections(document, kind, size)
    foot(document, kind, size)
    out = io.BytesIO()
    document.save(out)
    return settled(out.getvalue())


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    for kind in kinds():
        data = made(kind)
        faults = check(data)
        if faults:
            raise SystemExit(f"{kind.template}: {faults}")
        (FOLDER / f"{kind.template}.docx").write_bytes(data)
        print(f"{kind.template}.docx  {len(data)} bytes")


if __name__ == "__main__":
    main()
