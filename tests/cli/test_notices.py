"""`soc notices` as people call it."""

from __future__ import annotations

import json
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
    assert soc("notices", "approve", made["id"], "--signer", "Giám đốc", "--number", "12/CB", "--signed-on", "2026-11-21", *store).code == 0
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
