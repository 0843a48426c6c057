"""`soc alerts why` of a correlation: what it measured, in which window, and the events it is made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soc.cli._why import plain, tree_lines
from soc.clock import iso
from soc.i18n import use
from tests.application.test_correlate import CHAIN, DETECTION, MANY, SECOND, START, line
from tests.cli.conftest import Run

FILTER = """
title: Our own scanner
id: 77777777-7777-4777-8777-777777777777
logsource: {product: fortigate}
filter:
    rules: [seen]
    own: {source.ip: 203.0.113.200}
    condition: not own
"""
TRIAGE = """
soc:
    triage: {en: Ask the network team., vi: Hỏi bộ phận mạng.}
"""


@pytest.fixture
def home(tmp_path: Path) -> list[str]:
    """Words that choose a store, and rules with two correlations."""
    rules = tmp_path / "rules"
    rules.mkdir()
    for name, text in (("seen", DETECTION), ("many", MANY + TRIAGE), ("chain", CHAIN), ("filter", FILTER)):
        (rules / f"{name}.yml").write_text(text.replace("rules: [many]", "generate: true\n    rules: [many]"), encoding="utf-8")
    seen = rules / "seen.yml"
    text = seen.read_text(encoding="utf-8").replace("|startswith: Some", "|startswith|expand: '%attacks%'")
    seen.write_text(text + "soc: {title: {vi: Thấy tấn công}}\n", encoding="utf-8")
    (rules / "values.yml").write_text("attacks: [Some, Other]\n", encoding="utf-8")
    file = tmp_path / "soc.toml"
    file.write_text(f'data_dir = "{tmp_path}/data"\n[rules]\nshipped = false\ndirectories = ["{rules}"]\n', encoding="utf-8")
    file.chmod(0o600)
    log = tmp_path / "fw.log"
    lines = [line(second) for second in (0, 20, 45)] + [line(100 + second, "192.168.1.5") for second in range(25)]
    log.write_text("".join(text + "\n" for text in lines), encoding="utf-8")
    return ["--config", str(file)]


def test_silence_is_told_in_the_readers_language() -> None:
    """How long, and how long it may be: in hours and minutes, not in seconds and English."""
    node = {"node": "silence", "matched": True, "field": "thu", "test": "silent longer than", "pattern": "21600 s", "matched_value": "23402 s"}
    assert [plain(line) for line in tree_lines(node)] == ["✔ thu silent longer than 6 h: 6 h 30 min"]
    use("vi")
    try:
        assert [plain(line) for line in tree_lines(node)] == ["✔ thu im lặng quá 6 giờ: 6 giờ 30 phút"]
    finally:
        use("en")


def _ids(soc: Run, home: list[str]) -> dict[str, str]:
    items = json.loads(soc("alerts", "list", "--each", "--json", *home).out)["items"]
    return {item["rule"]["title"] + " " + item["key"].get("source.ip", ""): item["id"] for item in items}


def test_a_correlation_tells_what_it_measured_and_its_members(soc: Run, home: list[str], tmp_path: Path) -> None:
    """Condition, window, group, filters, members with times, ids and rules, documents, and what to do."""
    done = soc("ingest", "file", str(tmp_path / "fw.log"), *home)
    assert done.code == 0, done.err
    ids = _ids(soc, home)
    assert set(ids) == {"Many intrusions from one address 203.0.113.9", "Many intrusions from one address 192.168.1.5", "Two busy addresses at one sensor "}
    told = soc("alerts", "why", ids["Many intrusions from one address 203.0.113.9"], *home).out
    for part in (
        "event_count gte 3 within 1 minute",
        "Window         2026-11-21 08:28:45 +07 … 2026-11-21 08:29:45 +07",
        "First held     2026-11-21 08:29:45 +07",
        "Group          source.ip=203.0.113.9",
        "Measured       3",
        "Filter         Our own scanner",
        "Value lists    attacks",
        "Members (3)",
        "Intrusion seen",
        "Events (3)",
        "Ask the network team.",
    ):
        assert part in told, told
    long = soc("alerts", "why", ids["Many intrusions from one address 192.168.1.5"], *home).out
    for part in ("source.ip=192.168.1.5  observer.name=FG", "3, at the end 25", "Members (25)", "… and 5 more"):
        assert part in long, long
    chain = soc("alerts", "why", ids["Two busy addresses at one sensor "], *home).out
    assert "alert of 3 events" in chain, chain


def test_the_explanation_is_data_too(soc: Run, home: list[str], tmp_path: Path) -> None:
    """`--json` gives the alert whole."""
    assert soc("ingest", "file", str(tmp_path / "fw.log"), *home).code == 0
    one = _ids(soc, home)["Many intrusions from one address 203.0.113.9"]
    found = json.loads(soc("alerts", "why", one, "--json", *home).out)
    assert found["explanation"]["window"] == {"start": iso(START - 15 * SECOND), "end": iso(START + 45 * SECOND)}
    assert [member["event"] for member in found["explanation"]["members"]] == found["events"]
    assert found["explanation"]["filters"][0]["title"] == "Our own scanner"


def test_vietnamese_readers_get_it_in_their_language(soc: Run, home: list[str], tmp_path: Path) -> None:
    """The same lines, and the advice in Vietnamese."""
    assert soc("ingest", "file", str(tmp_path / "fw.log"), *home).code == 0
    one = _ids(soc, home)["Many intrusions from one address 192.168.1.5"]
    told = soc("alerts", "why", one, "--lang", "vi", *home).out
    for part in ("event_count gte 3 trong 1 phút", "Cửa sổ", "Thấy tấn công", "Danh sách giá trị", "Thành phần (25)", "Hỏi bộ phận mạng."):
        assert part in told, told


def test_a_detection_names_the_lists_filters_and_exceptions_that_it_consulted(soc: Run, home: list[str], tmp_path: Path) -> None:
    """Below the tree of its condition; an exception that has ended says so."""
    rules = tmp_path / "rules"
    for name in ("many", "chain"):
        (rules / f"{name}.yml").unlink()
    ended = FILTER.replace("77777777-7777-4777-8777-777777777777", "88888888-7777-4777-8777-777777777777")
    (rules / "ended.yml").write_text(ended.replace("Our own scanner", "Once") + "soc: {owner: an, reason: test, expires: 2020-01-01}\n", encoding="utf-8")
    assert soc("ingest", "file", str(tmp_path / "fw.log"), *home).code == 0
    one = json.loads(soc("alerts", "list", "--each", "--json", *home).out)["items"][0]["id"]
    told = soc("alerts", "why", one, *home).out
    for part in ("Value lists    attacks", "Filter         Our own scanner", "Exception      Once  (an): has ended"):
        assert part in told, told
