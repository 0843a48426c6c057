"""`soc warnings` as people call it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_from_the_number_to_the_answer(soc: Run, tmp_path: Path) -> None:
    """Recorded, passed on, followed, closed; the same number twice is a conflict."""
    store = ("--store", str(tmp_path / "s"))
    (tmp_path / "a.csv").write_text("id,name,level\nx-1,Xã Một,commune\nx-2,Xã Hai,commune\n", encoding="utf-8")
    soc("agencies", "import", str(tmp_path / "a.csv"), "--yes", *store)
    words = ("1943/CATTT-NCSC", "Lỗ hổng Zimbra", "--issued-on", "2026-11-20", "--asked", "Vá và báo cáo", "--due", "5d", "--cve", "CVE-2026-1")
    made = json.loads(soc("warnings", "new", *words, "--json", *store).out)
    assert (made["kind"], made["item"]["state"], made["item"]["vulnerabilities"]) == ("warning", "open", ["CVE-2026-1"])
    assert soc("warnings", "new", *words, *store).code == 6
    notice = json.loads(soc("warnings", "fan-out", "1", "--to", "x-1", "--to", "x-2", "--json", *store).out)["item"]
    assert (notice["warning"], notice["recipients"]) == (made["item"]["id"], 2)
    soc("notices", "approve", notice["id"], "--signer", "Giám đốc", "--number", "12/CB", "--signed-on", "2026-01-05", *store)
    soc("notices", "send", notice["id"], *store)
    soc("notices", "answer", notice["id"], "x-1", "acted", *store)
    [item] = json.loads(soc("warnings", "list", "--json", *store).out)["items"]
    assert (item["agencies"], item["missing"], item["unanswered"]) == (2, ["x-2"], ["x-2"])
    told = soc("warnings", "close", "1", *store)
    assert (told.code, "x-2" in told.err) == (6, True)
    shown = soc("--lang", "vi", "warnings", "show", "1943/CATTT-NCSC", *store)
    assert "Chưa thực hiện" in shown.out
    assert soc("warnings", "close", "1", "--although", "hết hạn", "--number", "77/BC", "--on", "2026-11-25", *store).code == 0
    assert json.loads(soc("warnings", "list", "--json", *store).out)["total"] == 0
    assert json.loads(soc("warnings", "list", "--all", "--json", *store).out)["items"][0]["answer_number"] == "77/BC"
