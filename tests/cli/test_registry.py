"""`soc agencies`, `points`, `people`, `systems`, `mailboxes`, `partners` as people call them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run

SAMPLE = Path(__file__).parents[2] / "soc/organization/sample"
GOOD = "id,name,level,parent,successors\ntinh,Tỉnh Mẫu,province,,\nso-yt,Sở Y tế,department,tinh,\n"


def test_an_import_is_a_dry_run_until_yes(soc: Run, tmp_path: Path) -> None:
    """First only what would change is shown; --yes records it as a fact; the same file again changes nothing."""
    file, store = tmp_path / "a.csv", str(tmp_path / "s")
    file.write_text(GOOD, encoding="utf-8")
    dry = soc("agencies", "import", str(file), "--store", store)
    assert (dry.code, "+ so-yt  Sở Y tế" in dry.out, "--yes" in dry.err) == (0, True, True)
    assert json.loads(soc("agencies", "list", "--json", "--store", store).out)["total"] == 0
    done = json.loads(soc("agencies", "import", str(file), "--yes", "--json", "--store", store).out)
    assert (done["recorded"], done["added"]) == (True, 2)
    again = json.loads(soc("agencies", "import", str(file), "--yes", "--json", "--store", store).out)
    assert (again["recorded"], again["unchanged"]) == (False, 2)
    assert [item["id"] for item in json.loads(soc("agencies", "list", "--json", "--store", store).out)["items"]] == ["so-yt", "tinh"]
    shown = json.loads(soc("agencies", "show", "tinh", "--json", "--store", store).out)
    assert shown["named_by"] == {"agencies": ["so-yt"]}
    log = json.loads(soc("audit", "log", "registry/agencies", "--json", "--store", store).out)
    assert [item["kind"] for item in log["items"]] == ["RegistryImported"]


def test_rejected_rows_are_all_named_and_stop_the_import(soc: Run, tmp_path: Path) -> None:
    """Nothing is half-applied: with a bad row nothing is recorded unless it is to be left out."""
    file, store = tmp_path / "a.csv", str(tmp_path / "s")
    file.write_text(GOOD + "x-1,,commune,tinh,\nx-2,Xã,commune,khong-co,\n", encoding="utf-8")
    told = soc("agencies", "import", str(file), "--yes", "--store", store)
    assert told.code == 1
    assert "line 4: x-1: name: is missing" in told.out
    assert "line 5: x-2: parent: there is no khong-co among the agencies" in told.out
    assert json.loads(soc("agencies", "list", "--json", "--store", store).out)["total"] == 0
    vietnamese = soc("--lang", "vi", "agencies", "import", str(file), "--store", store)
    assert "dòng 4" in vietnamese.out
    assert "thiếu" in vietnamese.out
    partly = json.loads(soc("agencies", "import", str(file), "--yes", "--skip-rejected", "--json", "--store", store).out)
    assert (partly["recorded"], partly["added"], [item["line"] for item in partly["items"]]) == (True, 2, [4, 5])


def test_the_sample_province_and_its_gaps(soc: Run, tmp_path: Path) -> None:
    """The sample is written out, imported in order, listed by agency, and its gaps are told."""
    store, folder = str(tmp_path / "s"), tmp_path / "sample"
    assert soc("agencies", "sample", str(folder)).code == 0
    for kind in ("agencies", "points", "people", "systems", "mailboxes"):
        assert soc(kind, "import", str(folder / f"{kind}.csv"), "--yes", "--store", store).code == 0
    assert json.loads(soc("points", "list", "--json", "--store", store).out)["total"] == 152
    assert json.loads(soc("mailboxes", "list", "--json", "--store", store).out)["total"] == 8023
    assert json.loads(soc("agencies", "list", "--at", "2025-06-30", "--json", "--store", store).out)["total"] == 43
    one = json.loads(soc("mailboxes", "list", "--agency", "so-yt", "--json", "--store", store).out)["items"]
    assert {item["agency"] for item in one} == {"so-yt"}
    gaps = soc("agencies", "gaps", "--json", "--store", store)
    assert gaps.code == 1
    assert {"contact-phone", "dossier"} <= {item["what"] for item in json.loads(gaps.out)["items"]}
    assert soc("agencies", "gaps", "--agency", "nobody", "--store", store).code == 1


def test_events_get_agency_point_and_system(soc: Run, tmp_path: Path) -> None:
    """What is registered is added to events at ingest: two communes behind the same private address stay two."""
    store = str(tmp_path / "s")
    for kind, text in {
        "agencies": "id,name,level\nx-1,Xã Một,commune\nx-2,Xã Hai,commune\n",
        "points": "id,name,agency,observers,prefixes\np1,Một,x-1,FGT-1,192.168.1.0/24\np2,Hai,x-2,FGT-2,192.168.1.0/24\n",
        "systems": "id,name,owner,point,addresses,level\ncam,Camera,x-1,p1,192.168.1.10,2\n",
    }.items():
        (tmp_path / f"{kind}.csv").write_text(text, encoding="utf-8")
        assert soc(kind, "import", str(tmp_path / f"{kind}.csv"), "--yes", "--store", store).code == 0
    lines = tmp_path / "lines.log"
    lines.write_text(
        "".join(
            f'date=2026-11-20 time=08:00:0{number} devname="FGT-{number}" devid="FG{number}" logid="0000000013" type="traffic" subtype="forward" level="notice" '
            f'srcip=192.168.1.10 dstip=203.0.113.{number} action="accept" sessionid={number}\n'
            for number in (1, 2)
        )
    )
    assert soc("ingest", "file", str(lines), "--source", "fw", "--store", store).code == 0
    events = [item["soc"] for item in json.loads(soc("events", "search", "--oldest-first", "--json", "--store", store).out)["items"]]
    assert [(event["network_point"], event["agency"]["id"], event.get("system")) for event in events] == [
        ("p1", "x-1", {"id": "cam", "level": 2}),
        ("p2", "x-2", None),
    ]
    assert json.loads(soc("events", "search", "soc.agency.id:x-1", "--json", "--store", store).out)["total"] == 1
