"""Collects the texts to translate (ours and click's) into soc/locale/vi/LC_MESSAGES/messages.po and compiles it.

New texts stand in the file without a translation: `tests/test_i18n.py` fails until they have one.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import click
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from soc import errors

ROOT = Path(__file__).resolve().parents[1]
PO = ROOT / "soc/locale/vi/LC_MESSAGES/messages.po"
KEYWORDS = {"_": None, "gettext": None, "Phrase": None, "ngettext": (1, 2)}
SPOKEN = {
    "Check": (0, 2, 3),
    "Finding": (3, 4),
    "Problem": (0,),
    "QuerySyntaxError": (2,),
    "RuleRef": (1,),
    "error": (0,),
    "guarded": (1,),
    "translate": (2,),
    "explain": (2,),
}
"""Which arguments of these calls are said to people, beside `hint` of any call and the first argument of our errors."""
# Reference: rules and parsers report to their authors and into stored events, in English (docs/adr/0011).
SILENT = ("RuleError", "RuleSyntaxError", "RuleUnsupported", "ParseError", "UnknownFormat", "MalformedRecord")
LOGS = ("error", "warning", "info", "debug", "exception")


def spoken(tree: ast.AST) -> Iterator[str]:
    """The plain texts of errors, hints and checks: the border translates them, so nothing marks them in the code."""
    for node in _said(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
            yield node.value


def unsayable(tree: ast.AST) -> Iterator[int]:
    """The lines of such texts that are f-strings with words in them: no language but English could be given to those."""
    for node in _said(tree):
        if isinstance(node, ast.JoinedStr) and any(isinstance(part, ast.Constant) and re.search(r"[a-z]{2}", str(part.value)) for part in node.values):
            yield node.lineno


def _said(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id.lower().strip("_").endswith("hint") for target in node.targets):
            yield from _branches(node.value)
        elif isinstance(node, ast.Call):
            yield from _said_by(node)


def _said_by(call: ast.Call) -> Iterator[ast.expr]:
    name = call.func.id if isinstance(call.func, ast.Name) else call.func.attr if isinstance(call.func, ast.Attribute) else ""
    of_log = name in LOGS and not (isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and call.func.value.id == "self")
    if of_log or name in SILENT:
        return
    found = getattr(errors, name, None)
    is_error = isinstance(found, type) and issubclass(found, errors.SocError)
    said = [call.args[at] for at in SPOKEN.get(name, (0,) if is_error else ()) if at < len(call.args)]
    for node in [*said, *(keyword.value for keyword in call.keywords if keyword.arg == "hint")]:
        yield from _branches(node)


def _branches(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.IfExp):
        yield from _branches(node.body)
        yield from _branches(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _branches(value)
    else:
        yield node


def collected() -> Catalog:
    """Every text that is shown to people."""
    template = Catalog(project="soc", charset="utf-8")
    for folder, label in ((ROOT / "soc", "soc"), (Path(click.__file__).parent, "click")):
        for name, _line, message, _comments, context in extract_from_dir(str(folder), method_map=[("**.py", "python")], keywords=KEYWORDS):
            template.add(message, locations=[(f"{label}/{name}", 0)], context=context)
    for path in sorted((ROOT / "soc").rglob("*.py")):
        for text in spoken(ast.parse(path.read_text(encoding="utf-8"))):
            template.add(text, locations=[(f"soc/{path.name}", 0)])
    return template


def updated() -> Catalog:
    """The Vietnamese catalog with today's texts."""
    with PO.open("rb") as file:
        catalog = read_po(file, locale="vi")
    catalog.update(collected(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    return catalog


def po_bytes(catalog: Catalog) -> bytes:
    """The text form: sorted, without line numbers or dates, so that it only changes when a text does."""
    out = BytesIO()
    write_po(out, catalog, width=120, sort_output=True, omit_header=False, include_lineno=False, no_location=True)
    lines = [line for line in out.getvalue().decode().split("\n") if not line.startswith(('"POT-Creation-Date', '"PO-Revision-Date', '"Generated-By'))]
    return "\n".join(lines).encode()


def mo_bytes(catalog: Catalog) -> bytes:
    """The compiled form of the text form."""
    out = BytesIO()
    compiled = read_po(BytesIO(po_bytes(catalog)), locale="vi")
    compiled.creation_date = compiled.revision_date = datetime(2026, 1, 1, tzinfo=UTC)  # the same texts give the same bytes
    write_mo(out, compiled)
    return out.getvalue()


def untranslated(catalog: Catalog) -> list[object]:
    """The texts that have no translation."""
    return [message.id for message in catalog if message.id and not (all(message.string) if isinstance(message.string, tuple | list) else message.string)]


def main() -> None:
    """Write both files."""
    catalog = updated()
    PO.write_bytes(po_bytes(catalog))
    PO.with_suffix(".mo").write_bytes(mo_bytes(catalog))
    missing = untranslated(catalog)
    for message in missing:
        print(f"no Vietnamese text: {message!r}", file=sys.stderr)
    print(f"{len(catalog)} texts, {len(missing)} without a translation")


if __name__ == "__main__":
    main()
