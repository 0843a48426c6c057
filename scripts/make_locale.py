"""Collects the texts to translate (ours and click's) into soc/locale/vi/LC_MESSAGES/messages.po and compiles it.

New texts stand in the file without a translation: `tests/test_i18n.py` fails until they have one.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import click
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[1]
PO = ROOT / "soc/locale/vi/LC_MESSAGES/messages.po"
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}


def collected() -> Catalog:
    """Every text that is shown to people."""
    template = Catalog(project="soc", charset="utf-8")
    for folder, label in ((ROOT / "soc", "soc"), (Path(click.__file__).parent, "click")):
        for name, _line, message, _comments, context in extract_from_dir(str(folder), method_map=[("**.py", "python")], keywords=KEYWORDS):
            template.add(message, locations=[(f"{label}/{name}", 0)], context=context)
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
