"""Parsers are found by themselves and lines go to the right one."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import soc.ingest.parsers
from soc.errors import ConfigError, UsageError
from soc.ingest import registry as module
from soc.ingest.framing import frame
from soc.ingest.parser import Context, Line, Parsed, Parser
from soc.ingest.registry import Registry, installed

FORTIGATE = frame('<189>date=2026-03-02 time=08:15:30 devname="a" devid="FG1" logid="0000000013" type="traffic" subtype="forward"')
FORTIGATE_CEF = frame("<134>Mar 02 08:22:00 fw CEF:0|Fortinet|Fortigate|v7.0.12|00013|traffic:forward close|3|deviceExternalId=FG1")
CEF = frame("CEF:0|Example|Gate|1.0|19|Login|3|src=10.0.0.1")


class Fake:
    """A parser that claims lines with a word."""

    version = 1
    kind = "other"
    fields_hold_line = False

    def __init__(self, name: str, word: str) -> None:
        self.name = name
        self.word = word
        self.asked = 0

    def claims(self, line: Line) -> bool:
        """Whether the word is in the line."""
        self.asked += 1
        return self.word in line.message

    def parse(self, line: Line, _context: Context) -> Parsed:
        """An event with the message."""
        return Parsed({"message": line.message}, 0)


def test_the_shipped_parsers_are_found() -> None:
    """Every folder is a parser of its name; generic ones are asked last."""
    names = installed().names()
    folders = {path.name for path in Path(soc.ingest.parsers.__path__[0]).iterdir() if (path / "parser.py").exists()}
    assert folders <= set(names)
    assert names[-1] == "cef_generic"


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    """The error names what was meant."""
    with pytest.raises(UsageError, match="fortigate") as caught:
        installed().get("fortigate")
    assert "fortinet_fortigate" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        installed().get("zzz")
    assert "cef_generic" in caught.value.hint


@pytest.mark.parametrize(
    ("line", "preferred", "name"),
    [
        (FORTIGATE, "", "fortinet_fortigate"),
        (FORTIGATE, "cef_generic", "fortinet_fortigate"),
        (FORTIGATE_CEF, "", "fortinet_fortigate"),
        (FORTIGATE_CEF, "cef_generic", "cef_generic"),
        (CEF, "fortinet_fortigate", "cef_generic"),
        (CEF, "no_such_parser", "cef_generic"),
    ],
)
def test_recognition(line: Line, preferred: str, name: str) -> None:
    """The preferred parser is asked first; where it does not claim the line, the others are."""
    found = installed().recognise(line, preferred)
    assert found is not None
    assert found.name == name


def test_nobody_claims_nonsense() -> None:
    """A line of no product has no parser."""
    assert installed().recognise(frame("hello world")) is None


def test_what_a_sender_wrote_before_changes_nothing() -> None:
    """A restart between two lines must not make another event of the second: the answer depends on the line alone."""
    registry = installed()
    fresh = registry.recognise(FORTIGATE_CEF)
    assert registry.recognise(CEF) is registry.get("cef_generic")
    assert registry.recognise(FORTIGATE_CEF) is fresh


def test_parsers_are_asked_in_order_until_one_claims() -> None:
    """The first parser that claims a line gets it; those after it are not asked."""
    a, b = Fake("a_a", "apple"), Fake("b_b", "banana")
    parsers: list[Parser] = [a, b]
    registry = Registry(parsers)
    assert registry.recognise(frame("banana")) is parsers[1]
    asked = b.asked
    assert registry.recognise(frame("apple and banana")) is parsers[0]
    assert b.asked == asked
    assert registry.recognise(frame("cherry")) is None


def test_a_parser_of_another_package_needs_only_its_entry_point(tmp_path: Path) -> None:
    """An installed package with the entry point is found in a fresh process; nothing of ours is touched."""
    (tmp_path / "plugged_parser.py").write_text(
        "from soc.ingest.parser import Parsed\n"
        "class P:\n"
        "    name, version, kind, fields_hold_line = 'acme_gate', 1, 'other', False\n"
        "    def claims(self, line): return line.message.startswith('ACME')\n"
        "    def parse(self, line, context): return Parsed({'message': line.message}, 0)\n"
        "PARSER = P()\n"
    )
    info = tmp_path / "plugged-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[soc.parsers]\nacme_gate = plugged_parser\n")
    code = "from soc.ingest.registry import installed\nfrom soc.ingest.framing import frame\nprint(installed().recognise(frame('ACME x')).name, *installed().names())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": f"{tmp_path}:{Path(soc.__file__).parents[1]}"}
    )
    assert done.stdout.split() == ["acme_gate", "acme_gate", *installed().names()]


def test_a_broken_entry_point_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package whose parser cannot be used is named in the error."""
    (tmp_path / "without_parser.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for value in ("without_parser", "no_such_module_here"):
        point = importlib.metadata.EntryPoint("x_y", value, "soc.parsers")
        monkeypatch.setattr(module, "entry_points", lambda group, point=point: [point])
        with pytest.raises(ConfigError, match="x_y"):
            module._plugged()


def test_two_parsers_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package cannot replace a shipped parser unseen."""
    monkeypatch.setattr(module, "_plugged", lambda: [importlib.import_module("soc.ingest.parsers.cef_generic.parser")])
    with pytest.raises(ConfigError, match="cef_generic"):
        installed.__wrapped__()
