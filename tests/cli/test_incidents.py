"""`soc incidents` as people call it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run

KEYS = {
    "id", "title", "state", "severity", "legal_class", "tlp", "class", "regime", "agencies", "systems", "owner", "detected_at", "opened_at", "next_due_at", "overdue", "version", "scope",
}  # fmt: skip


def test_from_the_telephone_call_to_the_end(soc: Run, tmp_path: Path) -> None:
    """A call becomes an incident with its clocks in one command, and goes through all states to its end."""
    store = ("--store", str(tmp_path / "s"))
    words = ("--detected", "2h", "--reported-by", "Chị Hoa", "--channel", "telephone", "--severity", "critical", "--personal-data")
    opened = json.loads(soc("incidents", "new", "Máy bị mã hóa", *words, "--json", *store).out)["item"]
    assert set(opened) == KEYS
    assert (opened["state"], opened["regime"], opened["overdue"]) == ("new", "vn-2026", False)
    name = opened["id"]
    told = soc("incidents", "contain", name, *store)
    assert told.code == 6
    assert "triage" in told.err
    assert soc("incidents", "triage", name, "--class", "malicious-code/infected-system", "--legal-class", "serious", "--reason", "r", *store).code == 0
    assert "first-notice" in soc("incidents", "due", *store).out
    assert soc("incidents", "task", name, "Cách ly máy", "--owner", "an", *store).code == 0
    assert soc("incidents", "task-done", name, "t1", "--result", "xong", "--on-behalf", "Chị Hoa", "--by", "telephone", *store).code == 0
    assert soc("incidents", "note", name, "đã gọi lại", *store).code == 0
    assert soc("incidents", "report", name, "first-notice", "--number", "12/BC", *store).code == 0
    for step in (("contain",), ("eradicate",), ("recover",), ("close", "--resolution", "cài lại")):
        assert soc("incidents", step[0], name, *step[1:], *store).code == 0, step
    listed = json.loads(soc("incidents", "list", "--json", *store).out)
    assert (listed["kind"], listed["total"]) == ("incidents", 0)
    every = json.loads(soc("incidents", "list", "--all", "--json", *store).out)["items"]
    assert [(item["id"], item["state"], item["class"]) for item in every] == [(name, "closed", {"rsit": "malicious-code/infected-system", "group": "N1"})]
    kinds = [json.loads(line)["kind"] for line in soc("incidents", "history", name, "--jsonl", *store).out.splitlines()]
    assert kinds[0] == "IncidentOpened"
    assert kinds.count("IncidentMoved") == 5
    shown = soc("--lang", "vi", "incidents", "show", name, *store)
    assert "Thông báo ban đầu" in shown.out
    assert "Chị Hoa" in shown.out
    assert json.loads(soc("audit", "verify", "--json", *store).out)["ok"] is True


def test_wrong_words_are_told(soc: Run, tmp_path: Path) -> None:
    """Unknown incidents, classes, agencies and versions are errors with the next step."""
    store = ("--store", str(tmp_path / "s"))
    assert soc("incidents", "show", "7", *store).code == 1
    assert soc("incidents", "new", "x", "--class", "no/such", *store).code == 2
    assert soc("incidents", "new", "x", *store).code == 0
    assert soc("incidents", "edit", "1", "--severity", "low", "--expect", "9", *store).code == 6
    assert soc("incidents", "edit", "1", "--legal-class", "serious", *store).code == 2
    assert soc("incidents", "list", "--state", "nowhere", *store).code == 2
    (tmp_path / "a.csv").write_text("id,name,level\nso-yt,Sở Y tế,department\n", encoding="utf-8")
    soc("agencies", "import", str(tmp_path / "a.csv"), "--yes", *store)
    told = soc("incidents", "edit", "1", "--agency", "so-xx", *store)
    assert (told.code, "so-xx" in told.err) == (2, True)
    assert soc("incidents", "edit", "1", "--agency", "so-yt", *store).code == 0
    assert json.loads(soc("incidents", "list", "--agency", "so-yt", "--json", *store).out)["total"] == 1


def test_exercises_stay_among_themselves(soc: Run, tmp_path: Path) -> None:
    """An incident of an exercise is in no list of real ones."""
    store = ("--store", str(tmp_path / "s"))
    soc("incidents", "new", "diễn tập", "--scope", "exercise:2026", *store)
    assert json.loads(soc("incidents", "list", "--json", *store).out)["total"] == 0
    assert json.loads(soc("incidents", "list", "--scope", "exercise:2026", "--json", *store).out)["total"] == 1
