"""Hostile text in every field that people fill, on every output: it is recorded as it was said, and does nothing anywhere."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Done, Run

pytestmark = pytest.mark.xdist_group("cli-hostile")

TEXTS = {
    "terminal": "\x1b[2J\x1b]0;x\x07\x9b31mđỏ\x7f",
    "bidi": "hoadon\u202egnp.exe\u200b\u2066",
    "markup": "[bold red]x[/] [link=file:///etc/passwd]y[/link]",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "formula": '=HYPERLINK("http://xau.top","x")',
    "formula at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "formula minus": "-2+3+cmd|' /C calc'!A0",
    "header": "x\r\nBcc: all@tinh.vn\r\n\r\nbody",
    "template": "{{7*7}} {% for x in y %} ${7*7} #{7*7} {0.__class__} %(x)s %n",
    "quotes": "'; DROP TABLE fact; -- \" ` $(id) `id` \\",
    "long word": "x" * 190,
    "vietnamese": "Đăng nhập trái phép ạ",
}


@pytest.fixture
def on(soc: Run, tmp_path: Path) -> Callable[..., Done]:
    """Run a command on a store of the test's own."""
    return lambda *words: soc("--store", str(tmp_path / "s"), "--no-input", *words)


def harmless(done: Done, words: tuple[str, ...]) -> None:
    """Nothing that was written steers a terminal, and nothing was evaluated."""
    assert done.code in (0, 1), (words, done.err)
    for stream in (done.out, done.err):
        assert not [character for character in stream if (ord(character) < 32 and character not in "\n\t\r") or 0x7F <= ord(character) < 0xA0], words
        assert not set(stream) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u200e\u200f"), words
        assert "Traceback" not in stream


def spreadsheet(done: Done, words: tuple[str, ...]) -> None:
    """No cell is one that a spreadsheet would calculate."""
    harmless(done, words)
    for row in csv.reader(io.StringIO(done.out)):
        for value in row:
            assert not value.startswith(("=", "+", "@")), (words, value)
            assert not (value.startswith("-") and len(value) > 1 and not value[1:].replace(".", "").isdigit()), (words, value)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_every_field_of_an_incident(on: Callable[..., Done], tmp_path: Path, text: str) -> None:
    """Title, people, references, reasons, notes, tasks, results, links, observables and what is recorded on behalf."""

    def do(*words: str) -> dict[str, Any]:
        done = on(*words[:2], "--json", *words[2:])
        harmless(done, words)
        found: dict[str, Any] = json.loads(done.out)
        return found

    behalf = ("--on-behalf", text, "--by", text, "--their-reference", text)
    # a word that begins with `-` is an option to every command line
    words = ("--summary", text, "--detected-by", text, "--reported-by", text, "--reference", text, "--owner", text, "--reason", text, *behalf, "--", text)
    opened = on("incidents", "new", "--json", *words)
    harmless(opened, words)
    name = json.loads(opened.out)["item"]["id"]
    on("incidents", "new", "khác")
    do("incidents", "note", name, *behalf, f" {text}")
    do("incidents", "task", name, f" {text}", "--owner", text)
    do("incidents", "task-done", name, "t1", "--result", text, *behalf)
    do("incidents", "observe", name, f"45.77.1.2 {text}", "--origin", text)
    do("incidents", "ignore", name, "45.77.1.2", "--reason", text)
    do("incidents", "link", name, "2", "--reason", text)
    do("incidents", "triage", name, "--class", "malicious-code/infected-system", "--legal-class", "ordinary", "--reason", text)
    do("incidents", "report", name, "report-72h", "--number", text, "--channel", text)
    do("suppressions", "add", "--field", f"rule={text}x", "--expires", "7d", "--reason", f"{text}x", "--yes")
    shown = do("incidents", "show", name)["item"]
    assert shown["title"] == " ".join(text.split())
    assert shown["summary"] == text
    assert shown["notes"][0]["text"] == f" {text}"
    assert shown["tasks"][0]["result"] == text
    for command in (
        ("incidents", "show", name),
        ("incidents", "list"),
        ("incidents", "history", name),
        ("incidents", "due"),
        ("incidents", "observables", name),
        ("incidents", "related", name),
        ("suppressions", "list"),
        ("audit", "log"),
        ("audit", "log", f"incident/{name}"),
    ):
        for language in ("vi", "en"):
            harmless(on("--lang", language, *command), command)
        if command[1] != "show":
            spreadsheet(on(*command, "--csv"), command)
            harmless(on(*command, "--jsonl"), command)
    harmless(on("audit", "verify"), ("audit", "verify"))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_every_field_of_the_registry(on: Callable[..., Done], tmp_path: Path, text: str) -> None:
    """Names, notes and addresses of agencies, people and systems: taken as they are or refused by field, and harmless either way."""
    rows: dict[str, dict[str, Any]] = {
        "agencies": {"id": "a", "name": f"{text}x", "level": "unit", "note": text, "address": text},
        "people": {"id": "p", "name": f"{text}x", "agency": "a", "title": text, "decision": text},
        "systems": {"id": "s", "name": f"{text}x", "owner": "a", "operating_system": text, "protection": text, "services": [text]},
    }
    for kind, row in rows.items():
        file = tmp_path / f"{kind}.yml"
        file.write_text(json.dumps([row]), encoding="utf-8")
        told = on(kind, "import", str(file), "--yes", "--reason", text)
        harmless(told, (kind, "import"))
        for command in ((kind, "list"), (kind, "show", row["id"]), (kind, "show", str(row["id"]), "--history")):
            harmless(on(*command), command)
        spreadsheet(on(kind, "list", "--csv"), (kind, "list"))
    wrong = {"id": text, "name": "x", "level": text, "parent": text, "email": text, "phone": text, "valid_from": text}
    (tmp_path / "wrong.yml").write_text(json.dumps([wrong]), encoding="utf-8")
    told = on("agencies", "import", str(tmp_path / "wrong.yml"), "--yes")
    harmless(told, ("agencies", "import"))
    assert told.code == 1
    assert "level" in told.out


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_what_is_asked_for_is_data_too(on: Callable[..., Done], text: str) -> None:
    """As an id, an agency, a state, a type or a time: an error that shows it harmlessly."""
    on("incidents", "new", "x")
    for words in (
        ("incidents", "show", "--", text),
        ("incidents", "list", "--agency", text),
        ("incidents", "list", "--state", text),
        ("incidents", "new", "x", "--detected", text),
        ("incidents", "new", "x", "--class", text),
        ("agencies", "show", "--", text),
        ("intel", "show", "--", text),
        ("intel", "propose", "1", "--only", text),
        ("audit", "log", "--", text),
    ):
        done = on(*words)
        for stream in (done.out, done.err):
            assert "\x1b" not in stream
            assert "\u202e" not in stream
            assert "Traceback" not in stream
        assert done.code in (0, 1, 2), (words, done.err)
