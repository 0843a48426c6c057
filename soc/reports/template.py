"""DOCX templates that the office edits: checked to be without logic, and filled in a closed sandbox.

A template may hold `{{ field }}`, and rows or paragraphs repeated by `{%tr for row in list %}` … `{{ row.column }}` …
`{%tr endfor %}` (`{%p …` for paragraphs), each tag of a repetition in a row or paragraph of its own. Everything else is refused with
the part of the file, the paragraph and the tag. Macros, embedded objects, references to outside and field codes but page numbers
are refused as well. Source: docs.docxtpl (tags), ECMA-376 part 1, 17.16 (fields), part 2 (packages); CVE-2024-25624 (why).
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, NamedTuple

from docxtpl import DocxTemplate
from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedEnvironment
from lxml import etree

from soc.errors import ConfigError, Phrase
from soc.model.text import display_safe
from soc.reports.kinds import FIELDS, HEAD, LISTS
from soc.reports.values import text_of

MOST_BYTES = 8_388_608
_MOST_UNPACKED, _MOST_PARTS = 67_108_864, 500
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FILLED = re.compile(r"word/(?:document|header\d*|footer\d*|footnotes)\.xml")
_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|\{\{|\}\}|\{%|%\}|\{#", re.DOTALL)
_VALUE = re.compile(r"\{\{ ?([a-z][a-z0-9_]*)(?:\.([a-z][a-z0-9_]*))? ?\}\}")
_FOR = re.compile(r"\{%(?:tr|p) for ([a-z][a-z0-9_]*) in ([a-z][a-z0-9_]*) %\}")
_END = re.compile(r"\{%(?:tr|p) endfor %\}")
_FIELD_CODES = frozenset({"PAGE", "NUMPAGES", "SECTIONPAGES"})
_REFUSED_PARTS = ("vbaproject", "activex", "embeddings/", "afchunk", "customxml/")
_STAMP = (1980, 1, 1, 0, 0, 0)


class Fault(NamedTuple):
    """What is refused in a template: `place` says where, `what` quotes it, `why` is told to people."""

    place: str
    what: str
    why: str


class _Closed(SandboxedEnvironment):
    """Substitution and nothing else: no calls, no attributes, no filters, no tests, no globals."""

    def __init__(self) -> None:
        super().__init__(autoescape=True, undefined=StrictUndefined)
        self.globals.clear()
        self.filters.clear()
        self.tests.clear()

    def getattr(self, obj: Any, attribute: str) -> Any:
        """An item of a row."""
        return obj[attribute]

    def is_safe_callable(self, obj: Any) -> bool:  # noqa: ARG002 - the sandbox's signature
        """Nothing is called."""
        return False


def check(data: bytes) -> list[Fault]:
    """What is refused in a template; [] when it may be used."""
    try:
        parts = _unpacked(data)
    except (zipfile.BadZipFile, ValueError, RuntimeError, NotImplementedError, OSError, EOFError) as error:
        return [Fault("", str(error)[:200], Phrase("this is no DOCX file"))]
    faults = [fault for name, content in parts.items() for fault in _part_faults(name, content)]
    if not faults:
        faults = [fault for name, content in parts.items() if _FILLED.fullmatch(name) for fault in _logic(name, content)]
    return faults


def _unpacked(data: bytes) -> dict[str, bytes]:
    """The parts of a package, within bounds."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"{len(data)} bytes are more than {MOST_BYTES}")
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        infos = package.infolist()
        if len(infos) > _MOST_PARTS or sum(one.file_size for one in infos) > _MOST_UNPACKED:
            raise ValueError("too many or too large parts")
        if "word/document.xml" not in package.namelist():
            raise ValueError("word/document.xml is missing")
        return {one.filename: _part(package, one) for one in infos}


def _part(package: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with package.open(info) as part:
        content = part.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise ValueError(f"{info.filename}: another size than stated")
    return content


def _part_faults(name: str, content: bytes) -> Iterator[Fault]:
    lowered = name.lower()
    if any(refused in lowered for refused in _REFUSED_PARTS) and not lowered.endswith((".xml", ".rels")):
        yield Fault(name, name, Phrase("macros and embedded objects are refused"))
    if not lowered.endswith((".xml", ".rels")):
        return
    tree = _parsed(content)
    if tree is None:
        yield Fault(name, "", Phrase("this part is no plain XML"))
        return
    if lowered.endswith(".rels"):
        for link in tree.iter("{*}Relationship"):
            if link.get("TargetMode") == "External" and not str(link.get("Type", "")).endswith("/hyperlink"):
                yield Fault(name, str(link.get("Target"))[:200], Phrase("references to outside are refused"))
    if lowered.startswith("docprops/") and _TAG.search("".join(tree.itertext())):
        yield Fault(name, "".join(tree.itertext())[:80], Phrase("properties of the file hold no fields"))
    if _FILLED.fullmatch(name):
        yield from _paragraph_faults(name, tree)


def _parsed(content: bytes) -> Any:
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        return None
    try:
        return etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False))
    except etree.XMLSyntaxError:
        return None


def _paragraph_faults(name: str, tree: Any) -> Iterator[Fault]:
    for code in (*tree.iter(f"{_W}instrText"), *tree.iter(f"{_W}fldSimple")):
        text = str(code.text if code.tag == f"{_W}instrText" else code.get(f"{_W}instr") or "")
        words = text.split()
        if words and words[0].upper() not in _FIELD_CODES:
            yield Fault(name, text.strip()[:80], Phrase("field codes but page numbers are refused"))
    if next(tree.iter(f"{_W}altChunk"), None) is not None:
        yield Fault(name, "altChunk", Phrase("macros and embedded objects are refused"))
    rows: dict[str, str] = {}
    for number, paragraph in enumerate(tree.iter(f"{_W}p"), 1):
        text = "".join(part.text or "" for part in paragraph.iter(f"{_W}t"))
        for tag in _TAG.findall(text):
            why = _refusal(tag, rows)
            if why:
                yield Fault(f"{name}, paragraph {number}", tag[:120], why)


def _refusal(tag: str, rows: dict[str, str]) -> str:
    """Why a tag is refused ("" = it is not); `rows` are the names of the repetitions so far, and their lists."""
    begun = _FOR.fullmatch(tag)
    if begun:
        rows[begun[1]] = begun[2]
        return "" if begun[2] in (*LISTS, "copies") else _unknown(begun[2], (*LISTS, "copies"))
    if _END.fullmatch(tag):
        return ""
    value = _VALUE.fullmatch(tag)
    if not value:
        return Phrase("only {{ field }} and repeated rows are allowed")
    if value[2] is None:
        return "" if value[1] in FIELDS or value[1] in HEAD else _unknown(value[1], (*FIELDS, *HEAD))
    if value[1] not in rows:
        return Phrase("attributes are refused; only columns of a repeated row have a point")
    columns = ("name",) if rows[value[1]] == "copies" else tuple(LISTS.get(rows[value[1]], ()))
    return "" if value[2] in columns else _unknown(value[2], columns)


def _unknown(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, 1)
    return Phrase("no field is named {name}; did you mean {near}?", name=name, near=near[0]) if near else Phrase("no field is named {name}", name=name)


_ALLOWED = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.For)


def _logic(name: str, content: bytes) -> Iterator[Fault]:
    """The same asked of the syntax tree of what is really run, wherever in the XML a tag may hide."""
    try:
        tree = _Closed().parse(DocxTemplate(io.BytesIO()).patch_xml(content.decode("utf-8")))
    except (TemplateError, UnicodeDecodeError) as error:
        yield Fault(name, str(error)[:120], Phrase("repetitions do not begin and end as they should"))
        return
    known = {*FIELDS, *HEAD, *LISTS}
    for node in tree.find_all(nodes.Node):
        plain = not isinstance(node, nodes.For) or _plain_for(node)
        if not isinstance(node, _ALLOWED) or not plain or (isinstance(node, nodes.Getattr) and not isinstance(node.node, nodes.Name)):
            yield Fault(name, type(node).__name__, Phrase("only {{ field }} and repeated rows are allowed"))
    rows = {node.target.name for node in tree.find_all(nodes.For) if isinstance(node.target, nodes.Name)}
    for node in tree.find_all(nodes.Getattr):
        if isinstance(node.node, nodes.Name) and node.node.name not in rows:
            yield Fault(name, f"{node.node.name}.{node.attr}", Phrase("attributes are refused; only columns of a repeated row have a point"))
    for node in tree.find_all(nodes.Name):
        if node.name not in known | rows:
            yield Fault(name, node.name, _unknown(node.name, tuple(known)))


def _plain_for(node: nodes.For) -> bool:
    return isinstance(node.target, nodes.Name) and isinstance(node.iter, nodes.Name) and not (node.else_ or node.test or node.recursive)


def fill(template: bytes, values: Mapping[str, Any], *, name: str = "") -> bytes:
    """The document of a template and values; the same ones give the same bytes.

    Raises: ConfigError for a template that is refused, naming file, place and tag.
    """
    refuse(template, name)
    safe = {
        key: [{inner: _lines(one) for inner, one in row.items()} for row in value] if isinstance(value, list) else _lines(value)
        for key, value in values.items()
    }
    document = DocxTemplate(io.BytesIO(template))
    try:
        document.render(safe, jinja_env=_Closed(), autoescape=True)
        out = io.BytesIO()
        document.save(out)
    except (TemplateError, SecurityError, KeyError, etree.XMLSyntaxError) as error:
        raise ConfigError(
            Phrase("the template cannot be filled: {error}", error=error), file=name, hint="soc reports templates export DIR gives the shipped ones"
        ) from error
    return settled(out.getvalue())


def _lines(value: Any) -> str:
    """A value whose lines become paragraphs (docxtpl: `\\a`): line breaks inside a justified one would be stretched."""
    return text_of(value).replace("\n", "\a")


@lru_cache(maxsize=8)
def _faults(template: bytes) -> tuple[Fault, ...]:
    """As `check`, once for all documents of one template."""
    return tuple(check(template))


def refuse(template: bytes, name: str) -> None:
    """Stop at the first fault of a template.

    Raises: ConfigError.
    """
    faults = _faults(template)
    if faults:
        first = faults[0]
        raise ConfigError(
            Phrase("{place}: {what}: {why}", place=first.place, what=display_safe(first.what), why=first.why), file=name, hint="soc reports templates check DIR"
        )


def settled(data: bytes) -> bytes:
    """The same package with parts in order and without dates, so that its hash says what is in it."""
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        parts = [(name, package.read(name)) for name in package.namelist()]
    # Source: ECMA-376 part 2: the content types come first by custom.
    parts.sort(key=lambda part: (part[0] != "[Content_Types].xml", part[0] != "_rels/.rels", part[0]))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as package:
        for name, content in parts:
            info = zipfile.ZipInfo(name, _STAMP)
            info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_DEFLATED, 0o600 << 16, 3
            package.writestr(info, content)
    return out.getvalue()
