"""`soc notices` as people call it."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from tests.cli.conftest import Run


def test_a_notice_from_draft_to_the_list_of_those_who_never_answered(soc: Run, tmp_path: Path) -> None:
    """Drafted, exported, signed, sent, answered by code and on behalf; who never answered is one command away."""
    store = ("--store", str(tmp_path / "s"))
    (tmp_path / "a.csv").write_text("id,name,level\nx-1,Xã Một,commune\nx-2,Xã Hai,commune\nx-3,Xã Ba,commune\n", encoding="utf-8")
    soc("agencies", "import", str(tmp_path / "a.csv"), "--yes", *store)
    (tmp_path / "annex.csv").write_text("agency,item\nx-1,a@tinh-mau.gov.vn\n", encoding="utf-8")
    made = json.loads(
        soc(
            "notices",
            "new",
            "Cảnh báo lỗ hổng",
            "--to",
            "x-1",
            "--to",
            "x-2",
            "--to",
            "x-3",
            "--annex",
            str(tmp_path / "annex.csv"),
            "--due",
            "2026-01-02 08:00",
            "--json",
            *store,
        ).out
    )["item"]
    assert (made["state"], made["recipients"]) == ("draft", 3)
    assert soc("notices", "send", made["id"], *store).code == 6
    assert soc("notices", "export", made["id"], str(tmp_path / "letters"), *store).code == 0
    letter = (tmp_path / "letters" / "x-1.txt").read_text(encoding="utf-8")
    assert "Xã Một" in letter
    assert "a@tinh-mau.gov.vn" in letter
    assert soc("notices", "approve", made["id"], "--signer", "Giám đốc", "--number", "12/CB", "--signed-on", "2026-01-05", *store).code == 0
    again = soc("notices", "approve", made["id"], "--signer", "Phó giám đốc", "--number", "13/CB", "--signed-on", "2026-01-05", *store)
    assert (again.code, "signer=Giám đốc" in again.err, "number=12/CB" in again.err) == (6, True, True)  # who signed first is shown
    assert soc("notices", "send", made["id"], *store).code == 0
    shown = json.loads(soc("notices", "show", made["id"], "--json", *store).out)["item"]
    code = next(one["code"] for one in shown["recipients"] if one["agency"] == "x-1")
    assert code in letter
    assert soc("notices", "ack", code, "--state", "acted", "--text", "đã vá", *store).code == 0
    assert soc("notices", "answer", "1", "x-2", "received", "--on-behalf", "Chị Hoa", "--by", "telephone", *store).code == 0
    silent = soc("notices", "unanswered", "--json", *store)
    assert (silent.code, [one["agency"] for one in json.loads(silent.out)["items"]]) == (1, ["x-3"])
    late = json.loads(soc("notices", "overdue", "--json", *store).out)["items"]
    assert [one["agency"] for one in late] == ["x-2", "x-3"]
    assert soc("notices", "remind", made["id"], "--channel", "telephone", *store).code == 0
    listed = json.loads(soc("notices", "list", "--json", *store).out)
    assert (listed["kind"], listed["items"][0]["counts"]) == ("notices", {"waiting": 0, "sent": 1, "received": 1, "acted": 1, "verified": 0})
    told = soc("--lang", "vi", "notices", "show", "1", *store)
    assert "đã thực hiện" in told.out
    assert "ghi thay Chị Hoa" in told.out
    assert soc("notices", "ack", "WRONG123", *store).code == 1
    assert soc("notices", "withdraw", made["id"], "--reason", "nhầm", *store).code == 0
    assert json.loads(soc("audit", "verify", "--json", *store).out)["ok"] is True


def province(soc: Run, folder: Path) -> tuple[str, ...]:
    """A store with three communes, two of which have a contact with a mail address."""
    store = ("--store", str(folder / "s"))
    (folder / "a.csv").write_text("id,name,level\nx-1,Xã Một,commune\nx-2,Xã Hai,commune\nx-3,Xã Ba,commune\n", encoding="utf-8")
    (folder / "p.csv").write_text("id,name,agency,email\nhoa,Chị Hoa,x-1,hoa@tinh.vn\nlan,Chị Lan,x-2,lan@tinh.vn\n", encoding="utf-8")
    for kind, name in (("agencies", "a.csv"), ("people", "p.csv")):
        assert soc(kind, "import", str(folder / name), "--yes", *store).code == 0
    return store


def approved(soc: Run, store: tuple[str, ...], *more: str) -> str:
    """The id of an approved notice to the three."""
    made = json.loads(soc("notices", "new", "Lỗ hổng", "--to", "x-1", "--to", "x-2", "--to", "x-3", "--due", "2026-01-02 08:00", *more, "--json", *store).out)[
        "item"
    ]
    assert soc("notices", "approve", made["id"], "--signer", "Giám đốc", "--number", "1/CB", "--signed-on", "2026-01-01", *store).code == 0
    return str(made["id"])


def test_mails_are_shown_before_they_go(soc: Run, tmp_path: Path) -> None:
    """Without --yes whom it would go to; with it the messages are in the outbox; who cannot be reached is named and makes exit code 1."""
    store = province(soc, tmp_path)
    name = approved(soc, store)
    shown = soc("notices", "send", name, "--channel", "mail", *store)
    assert (shown.code, "lan@tinh.vn" in shown.err, "x-3" in shown.err) == (1, True, True)
    planned = json.loads(soc("notices", "send", name, "--channel", "mail", "--json", *store).out)
    assert (planned["recorded"], planned["total"], planned["item"]) == (False, 3, None)
    assert json.loads(soc("notices", "show", name, "--json", *store).out)["item"]["state"] == "approved"
    done = json.loads(soc("notices", "send", name, "--channel", "mail", "--yes", "--json", *store).out)
    assert (done["recorded"], done["step"], done["item"]["counts"]["sent"]) == (True, "sent", 2)
    item = json.loads(soc("notices", "show", name, "--json", *store).out)["item"]
    assert [(one["agency"], one["to"], one["state"]) for one in item["deliveries"]] == [("x-1", "hoa@tinh.vn", "due"), ("x-2", "lan@tinh.vn", "due")]
    assert "salt" not in item, "who reads it could make codes"
    told = soc("--lang", "vi", "notices", "show", name, *store).out
    assert "hoa@tinh.vn" in told
    reminded = json.loads(soc("notices", "remind", "--overdue", "--yes", "--json", *store).out)
    assert (reminded["recorded"], [one["agency"] for one in reminded["items"]]) == (True, ["x-1", "x-2"])
    assert soc("notices", "remind", *store).code == 2
    letter = ("--signer", "Giám đốc", "--number", "2/CB", "--signed-on", "2026-01-06")
    assert soc("notices", "second-letter", name, *letter, *store).code == 0
    late = json.loads(soc("notices", "overdue", "--json", *store).out)["items"]
    assert [(one["agency"], one["reminders"], one["second_letters"]) for one in late] == [("x-1", 1, 1), ("x-2", 1, 1)]


def test_answers_from_files(soc: Run, tmp_path: Path) -> None:
    """A saved mail is taken once; an unclear one is listed until it is settled or discarded."""
    store = province(soc, tmp_path)
    name = approved(soc, store)
    soc("notices", "send", name, *store)
    codes = {one["agency"]: one["code"] for one in json.loads(soc("notices", "show", name, "--json", *store).out)["item"]["recipients"]}
    (tmp_path / "1.eml").write_text(f"From: Hoa <hoa@tinh.vn>\nSubject: Re: [{codes['x-1']}]\nMessage-ID: <1@tinh.vn>\n\nDa thuc hien\n", encoding="utf-8")
    (tmp_path / "2.eml").write_text(f"From: evil@evil.vn\nSubject: {codes['x-2']}\nMessage-ID: <2@evil.vn>\n\nx\x1b[2J\n", encoding="utf-8")
    files = (str(tmp_path / "1.eml"), str(tmp_path / "2.eml"))
    done = json.loads(soc("notices", "replies", "import", *files, "--json", *store).out)
    assert (done["kind"], done["recorded"], done["unclear"], done["known"]) == ("replies", 1, 1, 0)
    assert soc("notices", "replies", "import", *files, *store).code == 0, "taken before"
    assert soc("notices", "replies", "import", str(tmp_path / "no.eml"), *store).code == 1
    [waiting] = json.loads(soc("notices", "replies", "list", "--unclear", "--json", *store).out)["items"]
    assert "evil@evil.vn" in waiting["why"]
    assert "danh bạ không biết" in soc("--lang", "vi", "notices", "replies", "show", waiting["id"][:8], *store).out
    assert json.loads(soc("notices", "replies", "show", waiting["id"], "--json", *store).out)["item"]["outcome"] == "unclear"
    assert soc("notices", "replies", "show", waiting["id"], "--eml", str(tmp_path / "kept.eml"), *store).code == 0
    assert (tmp_path / "kept.eml").read_bytes() == (tmp_path / "2.eml").read_bytes()
    assert soc("notices", "replies", "show", waiting["id"], "--eml", str(tmp_path / "kept.eml"), *store).code == 5
    assert soc("notices", "replies", "settle", waiting["id"], codes["x-2"], "--reason", "gọi lại", *store).code == 0
    assert soc("notices", "replies", "discard", waiting["id"], "--reason", "rác", *store).code == 6
    assert json.loads(soc("notices", "list", "--json", *store).out)["items"][0]["counts"] == {"waiting": 0, "sent": 1, "received": 1, "acted": 1, "verified": 0}
    told = soc("notices", "replies", "fetch", *store)
    assert (told.code, "[replies] host" in told.err) == (3, True)


def test_urgent_on_a_word_and_a_team_of_one(soc: Run, tmp_path: Path) -> None:
    """The written confirmation is listed until it is there; a team of one says so once, with a reason."""
    store = province(soc, tmp_path)
    made = json.loads(soc("notices", "new", "Khẩn", "--to", "x-1", "--json", *store).out)["item"]
    assert soc("notices", "edit", made["id"], "--subject", "Rất khẩn", "--due", "1d", *store).code == 0
    assert soc("notices", "approve", made["id"], "--signer", "Giám đốc", "--urgent", *store).code == 0
    [waiting] = json.loads(soc("notices", "confirmations", "--json", *store).out)["items"]
    assert (waiting["subject"], waiting["overdue"]) == ("Rất khẩn", False)
    assert soc("notices", "approve", made["id"], "--signer", "Giám đốc", "--number", "3", "--signed-on", "2026-01-05", *store).code == 0
    assert json.loads(soc("notices", "confirmations", "--json", *store).out)["total"] == 0
    assert json.loads(soc("notices", "approval", "--json", *store).out)["item"]["two_person"] is True
    assert soc("notices", "approval", "--one-person", *store).code == 2
    assert soc("notices", "approval", "--one-person", "--reason", "đội một người", *store).code == 0
    assert json.loads(soc("notices", "approval", "--json", *store).out)["item"]["two_person"] is False


def test_what_was_exported_is_registered(soc: Run, tmp_path: Path) -> None:
    """A file per recipient, a register with their hashes, and the same hashes on the record; a second time nothing is overwritten."""
    store = province(soc, tmp_path)
    name = approved(soc, store)
    written = json.loads(soc("notices", "export", name, str(tmp_path / "out"), "--json", *store).out)
    assert (written["kind"], written["total"]) == ("notice-export", 3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["register.csv", "x-1.txt", "x-2.txt", "x-3.txt"]
    rows = (tmp_path / "out" / "register.csv").read_text(encoding="utf-8").splitlines()
    recipients = json.loads(soc("notices", "show", name, "--json", *store).out)["item"]["recipients"]
    for row, one in zip(rows[1:], recipients, strict=True):
        digest = sha256((tmp_path / "out" / f"{one['agency']}.txt").read_bytes()).hexdigest()
        assert row.split(",") == [one["agency"], row.split(",")[1], one["code"], f"{one['agency']}.txt", digest]
        assert one["exported"]["sha256"] == digest
    assert soc("notices", "export", name, str(tmp_path / "out"), *store).code == 5


def test_lists_of_agencies_name_them_and_whom_to_call(soc: Run, tmp_path: Path) -> None:
    """Who never answered stands there by name, with the contact person; the telephone of the agency where they have none. A subject is one line."""
    store = province(soc, tmp_path)
    (tmp_path / "n.csv").write_text("id,name,level,phone\nx-3,Xã Ba,commune,0271 3 600000\n", encoding="utf-8")
    assert soc("agencies", "import", str(tmp_path / "n.csv"), "--yes", *store).code == 0
    made = soc("notices", "new", "Lỗ hổng\r\nBcc: x@evil.example", "--to", "x-1", "--to", "x-3", "--json", *store)
    assert json.loads(made.out)["item"]["subject"] == "Lỗ hổng Bcc: x@evil.example"
    assert soc("notices", "edit", "1", "--subject", "Lỗ\nhổng", *store).code == 0
    assert soc("notices", "approve", "1", "--signer", "Giám đốc", "--urgent", *store).code == 0
    assert soc("notices", "send", "1", "--channel", "telephone", "--yes", *store).code == 0
    silent = json.loads(soc("notices", "unanswered", "--json", *store).out)["items"]
    assert [(one["name"], one["contact"], one["phone"], one["subject"]) for one in silent] == [
        ("Xã Một", "Chị Hoa", "", "Lỗ hổng"),
        ("Xã Ba", "", "0271 3 600000", "Lỗ hổng"),
    ]
    assert "Xã Ba" in soc("notices", "show", "1", *store).out
