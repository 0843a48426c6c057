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
    made = json.loads(soc("agencies", "sample", str(folder), "--json").out)["items"]
    assert {one["kind"] for one in made} == {path.stem for path in folder.glob("*.csv")}
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


DISTRICTS = """id,name,level,parent,valid_from,valid_until,successors,computers,licences
tinh,Tỉnh,province,,,,,,
h-a,Huyện A,district,tinh,,2025-06-30,x-moi,,
x-cu,Xã Cũ,commune,h-a,,2025-06-30,x-moi,,
x-moi,Xã Mới,commune,tinh,2025-07-01,,,40,30
"""


def test_an_abolished_district_keeps_its_history(soc: Run, tmp_path: Path) -> None:
    """On 30 June it counts, on 1 July its successor; both stay to be shown, with who named it and every import that touched it."""
    store, file = ("--store", str(tmp_path / "s")), tmp_path / "a.csv"
    file.write_text(DISTRICTS.replace(",2025-06-30,x-moi", ",,").replace("x-moi,Xã Mới,commune,tinh,2025-07-01,,,40,30\n", ""), encoding="utf-8")
    assert soc("agencies", "import", str(file), "--yes", *store).code == 0
    file.write_text(DISTRICTS, encoding="utf-8")
    assert soc("agencies", "import", str(file), "--yes", "--reason", "Nghị quyết sắp xếp", *store).code == 0

    def on(day: str) -> set[str]:
        return {item["id"] for item in json.loads(soc("agencies", "list", "--at", day, "--json", *store).out)["items"]}

    assert on("2025-06-30") == {"tinh", "h-a", "x-cu"}
    assert on("2025-07-01") == {"tinh", "x-moi"}
    shown = json.loads(soc("agencies", "show", "h-a", "--json", *store).out)
    assert (shown["item"]["successors"], shown["item"]["valid_until"], shown["named_by"]) == (["x-moi"], "2025-06-30", {"agencies": ["x-cu"]})
    assert json.loads(soc("agencies", "show", "x-moi", "--json", *store).out)["named_by"] == {"agencies": ["h-a", "x-cu"]}
    past = json.loads(soc("agencies", "show", "h-a", "--history", "--json", *store).out)["items"]
    assert [(one["reason"], one["values"].get("valid_until")) for one in past] == [("", None), ("Nghị quyết sắp xếp", "2025-06-30")]
    assert "valid_until:  → 2025-06-30" in soc("agencies", "show", "h-a", "--history", *store).out
    told = soc("notices", "new", "x", "--to", "h-a", *store)
    assert (told.code, "x-moi" in told.err) == (2, True)
    opened = soc("incidents", "new", "cũ", "--agency", "h-a", "--detected", "2025-06-01", *store)
    assert opened.code == 0, opened.err


def test_the_party_branch_is_a_tree_of_its_own(soc: Run, tmp_path: Path) -> None:
    """A party agency below a government one is refused by line; the two trees stand side by side."""
    store, file = ("--store", str(tmp_path / "s")), tmp_path / "a.csv"
    file.write_text(
        "id,name,level,tree,parent\nt,UBND,province,,\nd,Tỉnh ủy,province,party,\nb,Ban,department,party,d\nx,Lẫn,department,party,t\n", encoding="utf-8"
    )
    told = json.loads(soc("agencies", "import", str(file), "--yes", "--skip-rejected", "--json", *store).out)
    assert [(one["line"], one["id"]) for one in told["items"]] == [(5, "x")]
    assert "another tree" in told["items"][0]["reason"]
    below = json.loads(soc("agencies", "list", "--agency", "d", "--json", *store).out)["items"]
    assert [one["id"] for one in below] == ["b", "d"]


def test_every_field_of_the_initial_report_is_kept(soc: Run, tmp_path: Path) -> None:
    """What the form asks of a system comes in and out again; a state or level that there is none of is refused with what there is."""
    store = ("--store", str(tmp_path / "s"))
    (tmp_path / "a.csv").write_text(DISTRICTS, encoding="utf-8")
    soc("agencies", "import", str(tmp_path / "a.csv"), "--yes", *store)
    given = {
        "id": "dvc", "name": "Dịch vụ công", "owner": "tinh", "operator": "x-moi", "level": 3, "shared": True, "dossier": "appraised", "decision": "12/QĐ-UBND",
        "decision_date": "2026-01-15", "regulation": "5/QĐ-UBND", "review_date": "2027-01-15", "purpose": "Giải quyết thủ tục hành chính", "operating_system": "Ubuntu 24.04",
        "services": ["web", "sql"], "addresses": ["10.1.1.5"], "public_addresses": ["198.51.100.10"], "domains": ["dvc.tinh.vn"], "protection": "Tường lửa",
        "hosting_provider": "TTDL tỉnh", "line_provider": "VNPT", "computers": 10, "licences": 8,
    }  # fmt: skip
    (tmp_path / "s.yml").write_text(
        json.dumps([given, {**given, "id": "b", "dossier": "lost"}, {**given, "id": "c", "level": 7}], ensure_ascii=False), encoding="utf-8"
    )
    told = json.loads(soc("systems", "import", str(tmp_path / "s.yml"), "--yes", "--skip-rejected", "--json", *store).out)
    assert {one["id"] for one in told["items"]} == {"b", "c"}
    assert "appraised" in next(one["reason"] for one in told["items"] if one["id"] == "b")
    item = json.loads(soc("systems", "show", "dvc", "--json", *store).out)["item"]
    assert {key: item[key] for key in given} == given
    covered = json.loads(soc("agencies", "coverage", "--json", *store).out)["items"]
    assert [(one["agency"], one["computers"], one["licences"], one["covered"]) for one in covered] == [("x-moi", 40, 30, 30), ("tinh", 10, 8, 8)]


def test_each_regime_asks_for_its_own(soc: Run, tmp_path: Path) -> None:
    """The same registry by the former and the present law: every gap says which article asks for it; an unknown regime is refused."""
    store = ("--store", str(tmp_path / "s"))
    (tmp_path / "a.csv").write_text(DISTRICTS, encoding="utf-8")
    soc("agencies", "import", str(tmp_path / "a.csv"), "--yes", *store)
    (tmp_path / "s.csv").write_text("id,name,owner\nweb,Cổng,x-moi\n", encoding="utf-8")
    soc("systems", "import", str(tmp_path / "s.csv"), "--yes", *store)

    def gaps(*words: str) -> dict[str, str]:
        items = json.loads(soc("agencies", "gaps", "--agency", "x-moi", *words, "--json", *store).out)["items"]
        return {item["what"]: item["source"] for item in items}

    now, before = gaps(), gaps("--regime", "vn-2017")
    assert now == gaps("--regime", "vn-2026")
    assert set(now) - set(before) == {"regulation"}
    assert "331/2026" in now["level"]
    assert "85/2016" in before["level"]
    assert {"contact", "network-point", "mailboxes", "licences", "dossier", "operator", "protection"} <= set(now)
    assert soc("agencies", "gaps", "--regime", "vn-1999", *store).code == 2


def test_two_communes_with_one_private_address_stay_two(soc: Run, tmp_path: Path) -> None:
    """From the log line to the incident: events, groups of alerts, and what ties incidents keep them apart."""
    store = ("--store", str(tmp_path / "s"))
    for kind, text in {
        "agencies": "id,name,level\nx-1,Xã Một,commune\nx-2,Xã Hai,commune\n",
        "points": "id,name,agency,observers,prefixes\np1,Một,x-1,FGT-1,192.168.1.0/24\np2,Hai,x-2,FGT-2,192.168.1.0/24\n",
    }.items():
        (tmp_path / f"{kind}.csv").write_text(text, encoding="utf-8")
        assert soc(kind, "import", str(tmp_path / f"{kind}.csv"), "--yes", *store).code == 0
    (tmp_path / "lines.log").write_text(
        "".join(
            f'date=2026-11-20 time=08:0{at}:0{number} devname="FGT-{number}" devid="FG{number}" logid="0422016400" type="utm" subtype="ips" eventtype="botnet" level="warning" '
            f'severity="critical" srcip=192.168.1.10 srcport=5000{at} dstip=45.77.{number}.{at} dstport=4444 sessionid={number}{at} proto=6 action="detected" attack="Botnet"\n'
            for number in (1, 2)
            for at in (1, 2, 3)
        )
    )
    assert soc("ingest", "file", str(tmp_path / "lines.log"), "--product", "fortinet_fortigate", *store).code == 0
    groups = [item for item in json.loads(soc("alerts", "list", "--json", *store).out)["items"] if item["key"].get("source.ip") == "192.168.1.10"]
    assert {tuple(item["agencies"]) for item in groups} == {("x-1",), ("x-2",)}
    assert {item["count"] for item in groups} == {3}
    for agency in ("x-1", "x-2"):
        alerts = [word for item in groups if item["agencies"] == [agency] for word in ("--alert", item["id"])]
        assert soc("incidents", "new", agency, "--agency", agency, *alerts, *store).code == 0
    named = json.loads(soc("incidents", "observables", "1", "--json", *store).out)["items"]
    assert {item["value"] for item in named if not item["never_blocked"]} == {"45.77.1.1", "45.77.1.2", "45.77.1.3"}
    assert "192.168.1.10" in {item["value"] for item in named}
    assert json.loads(soc("incidents", "related", "1", "--json", *store).out)["items"] == []


def test_values_that_cannot_be_are_told_in_the_readers_words(soc: Run, tmp_path: Path) -> None:
    """Numbers out of range, no numbers and no dates are named in Vietnamese, too."""
    store = ("--store", str(tmp_path / "s"))
    (tmp_path / "s.csv").write_text("id,name,owner,level,review_date\na,A,x,9,\nb,B,x,0,\nc,C,x,ba,\nd,D,x,3,31/02\n", encoding="utf-8")
    told = soc("--lang", "vi", "systems", "import", str(tmp_path / "s.csv"), *store)
    assert told.code == 1
    for text in ("phải từ 5 trở xuống", "phải từ 1 trở lên", "không phải số nguyên", "không phải ngày"):
        assert text in told.out, told.out
    assert "Input should" not in told.out


def test_what_is_not_there_is_told_in_the_readers_words(soc: Run, tmp_path: Path) -> None:
    """No English word stands in a Vietnamese sentence but what is typed."""
    store = ("--store", str(tmp_path / "s"))
    for kind, word in (("agencies", "đơn vị"), ("points", "điểm mạng"), ("systems", "hệ thống"), ("people", "người")):
        told = soc("--lang", "vi", kind, "show", "nope", *store)
        line = told.err.partition("gợi ý")[0]
        assert (told.code, word in line, kind in line) == (1, True, False), told.err


def test_stored_events_follow_a_registry_that_came_late(soc: Run, tmp_path: Path) -> None:
    """The plan by agency first, then with --yes; found by their agency, and given back what they had; a reason is needed."""
    store, log = ("--store", str(tmp_path / "s")), tmp_path / "fw.log"
    line = 'date=2026-11-21 time=09:00:0{n} devname="FGT-1" devid="FG1" logid="0000000013" type="traffic" subtype="forward" level="notice" vd="root" '
    line += 'srcip=192.168.1.{n} srcport=4000 dstip=203.0.113.9 dstport=443 sessionid={n} action="close" policyid=1 service="HTTPS" proto=6\n'
    log.write_text("".join(line.format(n=n) for n in range(5)), encoding="utf-8")
    assert soc("ingest", "file", str(log), "--product", "fortinet_fortigate", *store).code == 0
    for kind, text in (("agencies", GOOD), ("points", "id,name,agency,observers\np1,P1,so-yt,FGT-1\n")):
        (tmp_path / f"{kind}.csv").write_text(text, encoding="utf-8")
        imported = soc(kind, "import", str(tmp_path / f"{kind}.csv"), "--yes", *store)
        assert (imported.code, "soc enrich" in imported.err) == (0, True)
    assert soc("enrich", *store).code == 2
    plan = json.loads(soc("enrich", "--why", "nhập muộn", "--json", *store).out)
    assert (plan["written"], plan["seen"], plan["changed"], plan["agencies"]) == (False, 5, 5, {"→so-yt": 5})
    assert json.loads(soc("events", "search", "agency:so-yt", "--json", *store).out)["total"] == 0
    done = soc("enrich", "--why", "nhập muộn", "--yes", *store)
    assert (done.code, "(none) → so-yt" in done.out) == (0, True)
    assert json.loads(soc("events", "search", "agency:so-yt", "--json", *store).out)["total"] == 5
    assert json.loads(soc("enrich", "--why", "nhập muộn", "--dry-run", "--json", *store).out)["changed"] == 0
    assert json.loads(soc("enrich", "--original", "--why", "nhầm", "--yes", "--json", *store).out)["changed"] == 5
    assert json.loads(soc("events", "search", "agency:so-yt", "--json", *store).out)["total"] == 0
