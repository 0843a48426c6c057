"""A document as plain text, for mail and terminals: the same fields in the same order as in the DOCX."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from soc.reports.kinds import FIELDS, LISTS, Kind, Section
from soc.reports.values import text_of

WIDTH = 100


def text(kind: Kind, values: Mapping[str, Any]) -> str:
    """The lines of a document, of filled values."""
    lines = [
        *_pair(values["superior"], "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM"),
        *_pair(values["issuer"], "Độc lập - Tự do - Hạnh phúc"),
        *_pair(values["number_line"], values["place_date"]),
        "",
    ]
    if values["mark"]:
        lines += [f"*** {values['mark']} ***", ""]
    lines += [text_of(values["name"]).center(WIDTH).rstrip()] if kind.form == "report" else []
    lines += (
        [*_centered(values["subject"]), "", f"Kính gửi: {text_of(values['addressee'])}", ""] if values["addressee"] else [*_centered(values["subject"]), ""]
    )
    if values["opening"]:
        lines += [*_wrapped(values["opening"]), ""]
    for number, section in enumerate(kind.sections, 1):
        lines += [f"{number}. {section.heading}", *_section(section, values), ""]
    if values["closing"]:
        lines += [*_wrapped(values["closing"]), ""]
    lines += ["Nơi nhận:", *(text_of(one["name"]) for one in values["copies"]), "", text_of(values["signer_title"]), "", text_of(values["signer_name"])]
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def _section(section: Section, values: Mapping[str, Any]) -> list[str]:
    lines = []
    for name in section.rows:
        field = name.rstrip("~")
        label = FIELDS[field].vi
        body = text_of(values[field]).split("\n")
        lines += _wrapped(f"{label}: {body[0]}", "   ")
        lines += [line for part in body[1:] for line in _wrapped(part, "      ")]
    if section.text:
        lines += [line for part in text_of(values[section.text.rstrip("~")]).split("\n") for line in _wrapped(part, "   ")]
    if section.list:
        lines += [line for row in values[section.list] for line in _row(section.list, row)]
    return lines


def _row(name: str, row: Mapping[str, str]) -> Sequence[str]:
    parts = [text_of(row[column]).replace("\n", " ") for column in LISTS[name] if row.get(column)]
    return _wrapped("- " + " | ".join(parts), "   ")


def _wrapped(line: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text_of(line), WIDTH, initial_indent=indent, subsequent_indent=indent + "   ", break_on_hyphens=False) or [""]


def _centered(line: str) -> list[str]:
    return [part.center(WIDTH) for part in textwrap.wrap(text_of(line), WIDTH - 20)]


def _pair(left: str, right: str) -> list[str]:
    """Two columns of the head."""
    half = WIDTH // 2
    lefts, rights = textwrap.wrap(text_of(left), half - 2) or [""], textwrap.wrap(text_of(right), half) or [""]
    return [f"{(lefts[at] if at < len(lefts) else ''):^{half}}{(rights[at] if at < len(rights) else ''):^{half}}" for at in range(max(len(lefts), len(rights)))]
