from __future__ import annotations

import csv
import gzip
import io
import json
import unicodedata
from pathlib import Path
from time import thread_time
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.cli import _show
from soc.cli._export import text_file
from soc.cli._io import Column, Output, cell_width, csv_line, csv_safe, to_json, wants_color
from soc.cli._layout import folded
from soc.cli._progress import Progress
from soc.cli._session import Session, called_as
from soc.cli._why import plain, tree_lines
from soc.clock import FrozenClock
from soc.errors import NotAllowed
from soc.i18n import use

HOSTILE = "\x1b]0;owned\x07\x1b[2J[/oops]=cmd|' /C calc'!A0\u202egnp.exe\u2028"
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def steers(text: str) -> bool:
    """Whether a text holds anything that could move a cursor or turn reading order."""
    return any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") for c in text.replace("\n", "").replace("\t", ""))


@given(ANY)
def test_json_says_the_same_and_steers_nothing(value: Any) -> None:
    """What a terminal would obey is written as an escape; the data stay the same."""
    text = to_json({"v": value})
    assert json.loads(text) == {"v": value}
    assert not any(0x7F <= ord(c) <= 0x9F or 0x202A <= ord(c) <= 0x202E or 0x2066 <= ord(c) <= 0x2069 or 0xE0000 <= ord(c) <= 0xE0FFF for c in text)


def test_json_of_bytes_that_are_no_text() -> None:
    """Lone surrogates (bytes that were no UTF-8) are escapes, not an error."""
    assert json.loads(to_json({"raw": "a\udcff"})) == {"raw": "a\udcff"}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1+2", "@SUM(A1)", " =1", "＝1", "|calc", "%0A"])
def test_csv_defuses_formulas(text: str) -> None:
    """A spreadsheet shows text, whatever it begins with."""
    assert csv_safe(text).startswith("'")


@pytest.mark.parametrize(("value", "shown"), [(-5, "-5"), (1.5, "1.5"), (None, ""), ("-", "-"), ("a=b", "a=b"), (["x"], '["x"]'), (True, "True")])
def test_csv_leaves_data_alone(value: Any, shown: str) -> None:
    """Numbers stay numbers."""
    assert csv_safe(value) == shown


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_csv_line_is_one_row(values: list[str]) -> None:
    """Whatever the values, a reader gets one row of as many cells."""
    rows = list(csv.reader(io.StringIO(csv_line(values) + "\r\n")))
    assert len(rows) == 1
    assert rows[0] == [csv_safe(value) for value in values]


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "plain", "table"])
def test_every_form_shows_hostile_text_harmless(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Terminal codes, markup, bidirectional marks: data everywhere."""
    Output(Session()).items("things", [{"name": HOSTILE}], [Column("name", "Name")], form=form)
    out = capsys.readouterr().out
    assert "owned" in out.replace("\n", "")
    assert not steers(out)


def test_list_shape(capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON of every list, and the true total on stderr where a list is cut."""
    out = Output(Session())
    out.items("things", [{"a": 1}], [Column("a", "A")], total=7, form="json")
    assert json.loads(capsys.readouterr().out) == {"schema_version": 1, "kind": "things", "total": 7, "truncated": True, "items": [{"a": 1}]}
    out.items("things", [{"a": 1, "b": 2}], [Column("a", "A")], total=7, form="plain", fields=("b", "c"))
    captured = capsys.readouterr()
    assert captured.out == "b\tc\n2\t\n"
    assert "1 of 7" in captured.err
    assert "warning: there is no field c\n" in captured.err
    out.items("things", [], [Column("a", "A")], form="json", fields=("b",))
    assert "no field" not in capsys.readouterr().err


def test_what_sets_columns_apart_stays() -> None:
    """Two blanks between fields are kept, as long as both stand in one row."""
    assert folded("  a  b   c  dddd", 10, "", "  ") == "  a  b   c\n  dddd"


@pytest.mark.parametrize(
    "text", ["Máy bên trong liên lạc máy chủ botnet", "Ma\u0301y bên trong gọi ra ngoa\u0300i", "防火墙 发现 攻击 事件 严重", "a" * 70, ""]
)
@pytest.mark.parametrize("width", [20, 33])
def test_prose_is_folded_by_places(text: str, width: int) -> None:
    """Wide letters take two places, accents of their own none; nothing is lost, and no row is wider than the terminal."""
    rows = folded(text, width, "  ◆ ", "      ").split("\n")
    assert [row for row in rows if cell_width(row) > width] == []
    assert rows[0].startswith("  ◆ ")
    assert all(row.startswith("      ") for row in rows[1:])
    assert "".join("".join(rows).split()) == "◆" + "".join(text.split())
    assert len(rows) > 1 or cell_width(text) + 4 <= width


@pytest.mark.parametrize("text", ["a" * 400_000, "中" * 200_000, "a " * 100_000])
def test_long_prose_is_folded_in_time(text: str) -> None:
    """Whoever writes a letter chooses how long its words are."""
    begun = thread_time()
    rows = folded(text, 80, "  ", "    ").split("\n")
    assert thread_time() - begun < 5  # 0.1 s where nothing else runs
    assert "".join("".join(rows).split()) == text.replace(" ", "")


def test_rows_that_have_no_room_beside_their_beginning() -> None:
    """Nothing is lost where a terminal is narrower than what a row begins with."""
    assert folded("ab c", 3, "     ", "      ").replace("\n", "").replace(" ", "") == "abc"


def test_next_steps_are_found_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a text names the program."""
    monkeypatch.setenv("_SOC_TYPED", "bin/soc")
    begun = thread_time()
    assert Session().as_typed("soc a " * 50_000).count("bin/soc a") == 50_000
    assert thread_time() - begun < 5  # 0.3 s where nothing else runs


def test_next_steps_are_typed_as_here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The program as it was called, and the store that was named: what is copied finds the same."""
    monkeypatch.setenv("_SOC_TYPED", "bin/soc")
    monkeypatch.setenv("PATH", str(tmp_path))
    Output(Session(store=Path("a b"))).say("Next: soc events get x · soc alerts list; not soc.toml, nor soc doctor --store c")
    assert capsys.readouterr().err == "Next: bin/soc --store 'a b' events get x · bin/soc --store 'a b' alerts list; not soc.toml, nor soc doctor --store c\n"
    monkeypatch.delenv("_SOC_TYPED")
    Output(Session(store=Path("a"))).say("Next: soc run")
    assert capsys.readouterr().err == "Next: soc run\n"


def test_a_program_on_the_path_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A link to the launcher of a checkout, too."""
    launcher_file, link = tmp_path / "checkout-soc", tmp_path / "soc"
    launcher_file.write_text("#!/bin/sh\n")
    launcher_file.chmod(0o755)
    link.symlink_to(launcher_file)
    monkeypatch.setenv("_SOC_TYPED", str(launcher_file))
    assert called_as() == str(launcher_file)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert called_as() == "soc"
    monkeypatch.delenv("_SOC_TYPED")
    assert called_as() == ""
    monkeypatch.setattr("sys.argv", [str(link)])
    assert called_as() == "soc"


def test_quiet_says_errors_only(capsys: pytest.CaptureFixture[str]) -> None:
    """Narration goes to stderr and can be switched off; data cannot."""
    out = Output(Session(verbosity=-1))
    out.say("narration")
    out.text("data")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("data\n", "")


@pytest.mark.parametrize(
    ("choice", "env", "colors"),
    [
        ("auto", {}, False),
        ("auto", {"FORCE_COLOR": "1"}, True),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ("always", {"NO_COLOR": "1"}, True),
        ("never", {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colors(choice: str, env: dict[str, str], colors: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option, then NO_COLOR, then FORCE_COLOR, then whether it is a terminal."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert wants_color(choice, io.StringIO()) is colors


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_dumb_terminal_gets_no_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """TERM=dumb means plain."""
    monkeypatch.setenv("TERM", "xterm")
    assert wants_color("auto", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_color("auto", Terminal())


# --- times, levels -------------------------------------------------------------------------------------------------

NOW_US = 1_795_226_400_000_000
"""2026-11-21T02:00:00Z."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW_US),
        ("24h", NOW_US - 86_400_000_000),
        ("2w", NOW_US - 14 * 86_400_000_000),
        ("2026-11-21 09:00", NOW_US),
        ("2026-11-21T02:00:00Z", NOW_US),
        ("2026-11-21T03:00:00+01:00", NOW_US),
        ("2026-11-21", NOW_US - 9 * 3_600_000_000),
    ],
)
def test_read_time(text: str, expected: int) -> None:
    """Spans, local times and RFC 3339."""
    assert _show.read_time(text, NOW_US, "Asia/Ho_Chi_Minh") == expected


@pytest.mark.parametrize("text", ["0001-01-01", "1969-12-31", "9999-12-31T23:59:59-12:00", "3000-01-02", "9999999d", "9999999w", "31/02/2026", "25:00", ""])
def test_what_is_no_time(text: str) -> None:
    """A time that nothing could be recorded under is refused by name, forwards and backwards."""
    for read in (_show.read_time, _show.read_end):
        with pytest.raises(click.BadParameter, match="no time"):
            read(text, NOW_US, "Asia/Ho_Chi_Minh")


@pytest.mark.parametrize(
    ("zone", "text"), [("Asia/Ho_Chi_Minh", "2026-11-21 09:00:00 +07"), ("UTC", "2026-11-21 02:00:00 +00"), ("Asia/Kolkata", "2026-11-21 07:30:00 +05:30")]
)
def test_times_show_their_zone(zone: str, text: str) -> None:
    """No time without its zone."""
    assert _show.when(NOW_US, zone) == text
    assert _show.when("2026-11-21T02:00:00.000Z", zone) == text


@pytest.mark.parametrize(
    ("moment", "age"),
    [
        ("2026-11-21T01:59:30Z", "30s"),
        ("2026-11-21T01:59:00Z", "1m"),
        ("2026-11-21T00:30:00Z", "90m"),
        ("2026-11-20T21:00:00Z", "5h"),
        ("2026-11-18T02:00:00Z", "3d"),
        ("2026-11-21T02:05:00Z", "-5m"),
        ("?", ""),
    ],
)
def test_age(moment: str, age: str) -> None:
    """One number and one unit; the future is shown as such."""
    assert _show.age(moment, NOW_US) == age


def test_levels_are_glyph_and_word() -> None:
    """Color is never the only sign; the words are those of the language."""
    assert _show.level("critical") == "◆ CRITICAL"
    use("vi")
    assert [_show.level(level) for level in ("critical", "high", "medium", "low")] == ["◆ NGHIÊM TRỌNG", "▲ Cao", "■ Trung bình", "· Thấp"]
    assert _show.number(1_234_567) == "1.234.567"
    use("en")
    assert _show.level("?new") == "  ?new"


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_bars_fit(count: int, most: int) -> None:
    """A bar is never longer than its width, and anything above nothing shows."""
    drawn = _show.bar(min(count, most), most, 30)
    assert len(drawn) <= 30
    assert bool(drawn) == bool(min(count, most))


# --- why ---------------------------------------------------------------------------------------------------------------

TREE = {
    "node": "and",
    "matched": True,
    "children": [
        {
            "node": "field",
            "matched": True,
            "field": "url.path",
            "test": "contains",
            "pattern": "etc",
            "values": ["/etc/passwd"],
            "matched_value": "/etc/passwd",
            "position": [1, 4],
        },
        {
            "node": "or",
            "matched": False,
            "omitted": 3,
            "children": [{"node": "field", "matched": False, "field": "user.name", "test": "equals", "pattern": "root", "values": []}],
        },
        {
            "node": "not",
            "matched": True,
            "children": [{"node": "field", "matched": False, "field": "x", "test": "equals", "pattern": "\x1b[2J", "values": ["\x1b[2J"]}],
        },
    ],
}


def test_why_tree_marks_what_matched() -> None:
    """Each clause with its sign, the matched part marked also without styles, hostile values harmless."""
    lines = [plain(parts) for parts in tree_lines(TREE)]
    assert lines == [
        "✔ all of",
        "  ✔ url.path contains etc  ← /⟦etc⟧/passwd",
        "  ✖ any of",
        "    ✖ user.name equals root  ← (absent)",
        "    … and 3 more that did not match",
        "  ✔ not",
        "    ✖ x equals \\x1b[2J  ← \\x1b[2J",
    ]


def test_why_tree_is_bounded() -> None:
    """A tree of a thousand levels is no endless recursion."""
    node: dict[str, Any] = {"node": "field", "matched": True, "field": "a"}
    for _ in range(5000):
        node = {"node": "not", "matched": True, "children": [node]}
    assert len(list(tree_lines(node))) < 50


# --- files, progress -----------------------------------------------------------------------------------------------------


def test_export_file_appears_only_when_whole(tmp_path: Path) -> None:
    """After an error nothing is there, and what stood there before still is."""
    target = tmp_path / "out.ndjson"
    target.write_text("before", encoding="utf-8")
    with pytest.raises(ZeroDivisionError), text_file(target) as write:
        write("half" * (1 // 0))
    assert [path.name for path in tmp_path.iterdir()] == ["out.ndjson"]
    assert target.read_text(encoding="utf-8") == "before"


def test_export_packs_by_name(tmp_path: Path) -> None:
    """`.gz` is gzip, and the same data give the same bytes."""
    for name in ("a.gz", "b.gz"):
        with text_file(tmp_path / name) as write:
            write("đăng\n")
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()).decode() == "đăng\n"
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert (tmp_path / "a.gz").stat().st_mode & 0o077 == 0


def test_export_into_nowhere_is_told(tmp_path: Path) -> None:
    """A folder that does not exist is an error of ours, not a traceback."""
    with pytest.raises(NotAllowed, match="cannot be written"), text_file(tmp_path / "none" / "x") as write:
        write("x")


def test_progress_tells_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal: one line per ten seconds, no codes."""
    clock = FrozenClock(0)
    with Progress(Session(), clock) as progress:
        for done in range(25):
            clock.advance(1)
            progress("reading", done, 100)
    assert capsys.readouterr().err == "reading    9%\nreading   19%\n"
