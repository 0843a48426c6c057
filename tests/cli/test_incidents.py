"""`soc incidents` as people call it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

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
    assert soc("incidents", "edit", "1", "--severity", "low", "--expect", "0", *store).code == 6
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


def test_a_wrong_alert_opens_nothing(soc: Run, tmp_path: Path) -> None:
    """An alert that does not exist is told before a number is taken; so is a scope that is none."""
    store = ("--store", str(tmp_path / "s"))
    told = soc("incidents", "new", "x", "--alert", "g-none", *store)
    assert (told.code, "g-none" in told.err) == (1, True)
    told = soc("incidents", "new", "x", "--scope", "real life", *store)
    assert (told.code, "real life" in told.err) == (2, True)
    assert json.loads(soc("incidents", "list", "--all", "--scope", "all", "--json", *store).out)["total"] == 0


def test_errors_name_what_can_be_typed(soc: Run, tmp_path: Path) -> None:
    """Options and commands are told by the names that the command line knows, states in the language in use, times in the zone in use."""
    store = ("--store", str(tmp_path / "s"))
    soc("incidents", "new", "x", *store)
    assert "--class" in soc("incidents", "triage", "1", *store).err
    told = soc("--lang", "vi", "incidents", "close", "1", *store)
    assert (told.code, "eradicated" in told.err, "mới" in told.err) == (6, False, True)
    for name in told.err.partition("có thể làm: ")[2].split(", "):
        assert soc("incidents", name.strip(), "--help").code == 0, name
    assert "is at version 1" in soc("incidents", "edit", "1", "--severity", "low", "--expect", "9", *store).err
    assert "2999-12-31 00:00" in soc("incidents", "edit", "1", "--detected", "2999-12-31", "--reason", "r", *store).err


def test_a_note_may_be_piped(soc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` is standard input; what is too long for a note is refused, whatever its length."""
    store = ("--store", str(tmp_path / "s"))
    soc("incidents", "new", "x", *store)
    monkeypatch.setattr("sys.stdin", io.StringIO("dòng một\ndòng hai"))
    assert soc("incidents", "note", "1", "-", *store).code == 0
    assert "dòng hai" in soc("incidents", "show", "1", *store).out
    monkeypatch.setattr("sys.stdin", io.StringIO("A" * 10_000_000))
    told = soc("incidents", "note", "1", "-", *store)
    assert (told.code, "50000" in told.err) == (2, True)


def test_a_noun_alone_is_its_help(soc: Run) -> None:
    """`soc incidents` shows what there is, without calling it an error, and leaves with 2."""
    told = soc("incidents")
    assert (told.code, "error" in told.err, told.err.count("Usage:")) == (2, False, 1)


def test_a_conflict_shows_what_others_did(soc: Run, tmp_path: Path) -> None:
    """Who is too late sees who recorded what, when by the clock of the office, and why."""
    store = ("--store", str(tmp_path / "s"))
    soc("incidents", "new", "x", *store)
    words = ("--severity", "low", "--reason", "theo cuộc gọi", "--on-behalf", "Chị Hoa", "--by", "telephone")
    assert soc("incidents", "edit", "1", *words, *store).code == 0
    told = soc("--lang", "vi", "incidents", "edit", "1", "--severity", "high", "--expect", "1", *store)
    assert told.code == 6
    for text in ("severity=low", "theo cuộc gọi", "Chị Hoa", " +07 ", "chưa được ghi"):
        assert text in told.err, text
    assert "Z" not in told.err.replace("ZZ", "")


def test_what_is_shown_is_said_in_words(soc: Run, tmp_path: Path) -> None:
    """Agencies and systems stand there by name, channel and legal class in the language in use, times of the history by the clock of the office."""
    store = ("--store", str(tmp_path / "s"))
    for kind, rows in (("agencies", "id,name,level\nso-yt,Sở Y tế,department\n"), ("systems", "id,name,owner,level\nhis,Khám chữa bệnh,so-yt,3\n")):
        (tmp_path / f"{kind}.csv").write_text(rows, encoding="utf-8")
        assert soc(kind, "import", str(tmp_path / f"{kind}.csv"), "--yes", *store).code == 0
    words = ("--agency", "so-yt", "--system", "his", "--channel", "telephone", "--detected", "2026-11-20 08:30", "--personal-data")
    name = json.loads(soc("incidents", "new", "x", *words, "--json", *store).out)["item"]["id"]  # by the year in which it was detected
    shown = soc("--lang", "vi", "incidents", "show", name, *store).out
    for text in ("Sở Y tế (so-yt)", "Khám chữa bệnh (his)", "qua điện thoại", "chưa quyết định", "dữ liệu cá nhân"):
        assert text in shown, text
    assert "telephone" not in shown
    assert "undecided" not in shown
    history = soc("incidents", "history", name, *store).out
    assert "detected_at=2026-11-20 08:30:00 +07" in history
    assert "Z " not in history
    assert json.loads(soc("incidents", "history", name, "--jsonl", *store).out)["data"]["detected_at"] == "2026-11-20T01:30:00.000Z"
    titles = soc("--lang", "vi", "systems", "list", *store).out.splitlines()[0]
    assert ("Chủ quản" in titles, "Cấp độ" in titles) == (True, True)


def test_an_incident_is_given_as_groups_are(soc: Run, tmp_path: Path) -> None:
    """`assign ID OWNER` and `assign ID --to OWNER` are the same; neither or both is refused."""
    store = ("--store", str(tmp_path / "s"))
    soc("incidents", "new", "x", *store)
    for words, owner in ((("an",), "an"), (("--to", "bình"), "bình"), (("--to", ""), "")):
        item = json.loads(soc("incidents", "assign", "1", *words, "--json", *store).out)["item"]
        assert item["owner"] == owner
    assert soc("incidents", "assign", "1", *store).code == 2
    assert soc("incidents", "assign", "1", "an", "--to", "bình", *store).code == 2


def test_on_a_narrow_terminal_words_stay_whole(soc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks, the history and what can be done next are folded between words at 80 columns."""
    store = ("--store", str(tmp_path / "s"))
    soc("incidents", "new", "Máy chủ văn bản bị mã hóa " * 8, "--summary", "tệp bị đổi đuôi " * 20, *store)
    soc("incidents", "triage", "1", "--class", "malicious-code/infected-system", *store)
    soc("incidents", "playbook", "1", "ransomware", *store)
    monkeypatch.setattr("soc.cli._io.is_terminal", lambda _stream: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    for words in (("show", "1"), ("history", "1")):
        told = soc("--lang", "vi", "incidents", *words, *store)
        assert [line for line in (told.out + told.err).splitlines() if len(line) > 80] == [], words


def test_work_that_is_given_to_an_unknown_name_is_warned_of(soc: Run, tmp_path: Path) -> None:
    """An owner of an incident or a task whom the registry does not know; nothing is said while it has no people, or of those it has."""
    store, said = ("--store", str(tmp_path / "s")), "nobody in the registry is called bin"
    assert said not in soc("incidents", "new", "Mã độc", "--owner", "bin", *store).err
    for kind, text in (
        ("agencies", "id,name,level\nso-yt,Sở Y tế,department\n"),
        ("people", "id,name,agency,role,email\nbinh,Bình,so-yt,analyst,binh@tinh.vn\n"),
    ):
        (tmp_path / f"{kind}.csv").write_text(text, encoding="utf-8")
        assert soc(kind, "import", str(tmp_path / f"{kind}.csv"), "--yes", *store).code == 0
    for words in (("new", "Lừa đảo", "--owner"), ("assign", "1"), ("task", "1", "Lấy nhật ký", "--owner")):
        wrong, right = soc("incidents", *words, "bin", *store), soc("incidents", *words, "binh", *store)
        assert (wrong.code, said in wrong.err, right.code, "nobody in the registry" in right.err) == (0, True, 0, False), words


def test_a_class_proposes_its_playbooks(soc: Run, tmp_path: Path) -> None:
    """A defaced page, which no rule sees, has its playbook named when it is triaged; once it is begun nothing more is proposed."""
    store = ("--store", str(tmp_path / "s"))
    soc("incidents", "new", "Trang bị sửa", *store)
    words = ("incidents", "triage", "1", "--class", "information-content-security/unauthorised-information-modification", *store)
    assert "Defaced web page: soc incidents playbook INC-" in soc(*words).err
    soc("incidents", "new", "Trang khác bị sửa", *store)
    soc("incidents", "playbook", "2", "defacement", *store)
    again = soc("incidents", "triage", "2", *words[3:])
    assert (again.code, "Playbook for it" in again.err) == (0, False)
