"""`soc intel` and the observables of incidents (alert_observables, intel, observables) as people use them, from the mail to the proof that the block works."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from soc.clock import SystemClock, to_datetime
from tests.cli.conftest import Done, Run

pytestmark = pytest.mark.xdist_group("cli-intel")

AGENCIES = "id,name,level,parent,domains\nubnd,UBND tỉnh,province,,tinh.gov.vn\nso-yt,Sở Y tế,department,ubnd,\nso-yt2,Sở Y tế hai,department,ubnd,\n"
POINTS = "id,name,agency,prefixes,public_addresses\np1,Điểm A,so-yt,10.1.0.0/16,198.51.100.7\n"
PEOPLE = (
    "id,name,agency,role,account,email\nan,An,ubnd,analyst,an,\nle,Lê,ubnd,lead,le,le@tinh.gov.vn\nle2,Liên,ubnd,lead,le2,\nad,Đạt,ubnd,administrator,ad,\n"
)
LINE = (
    'date={day} time={time} devname="FGT-A" devid="FG1" eventtime={ns} tz="+0700" logid="0000000013" type="traffic" subtype="forward" level="notice" vd="root" '
    'srcip=10.1.1.{n} srcport=5000{n} dstip={to} dstport=443 policyid=7 sessionid={n} proto=6 action="{action}" service="HTTPS" sentbyte=10 rcvdbyte=20'
)


@pytest.fixture
def as_(soc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Run a command as somebody, on a store with a registry."""
    store = ("--store", str(tmp_path / "s"))
    for kind, text in (("agencies", AGENCIES), ("points", POINTS), ("people", PEOPLE)):
        (tmp_path / f"{kind}.csv").write_text(text, encoding="utf-8")
        done = soc(kind, "import", str(tmp_path / f"{kind}.csv"), "--yes", *store)
        assert done.code == 0, done.err
        monkeypatch.setattr("soc.cli._session.actor_name", lambda: "root")

    def run(account: str, *words: str) -> Done:
        monkeypatch.setattr("soc.cli._session.actor_name", lambda: account)
        return soc(*words, *store, "--no-input")

    return run


def opened(as_: Callable[..., Done], title: str, *words: str) -> str:
    """The id of a new incident."""
    done = as_("an", "incidents", "new", title, "--agency", "so-yt", *words, "--json")
    assert done.code == 0, done.err
    return str(json.loads(done.out)["item"]["id"])


def test_what_an_incident_names(as_: Callable[..., Done]) -> None:
    """Title, summary, notes and pasted text, counted and with their places; what is ours or everybody's is marked."""
    name = opened(as_, "Máy 10.1.2.3 gọi hxxp://xau[.]example/a", "--summary", "đi tới 203.0.113.66 và 203.0.113.66, hỏi 8.8.8.8")
    as_("an", "incidents", "note", name, "lại thấy 203.0.113[.]66; tệp hoadon.exe; thư từ lua@xau[.]example tới a@tinh.gov.vn")
    assert as_("an", "incidents", "observe", name, "D41D8CD98F00B204E9800998ECF8427E tên-miền-xấu.vn", "--origin", "điện thoại").code == 0
    items = {(item["type"], item["value"]): item for item in json.loads(as_("an", "incidents", "observables", name, "--json").out)["items"]}
    assert items["ip", "203.0.113.66"]["count"] == 3
    assert items["ip", "203.0.113.66"]["origins"] == ["summary", "note 1"]
    assert items["hash", "d41d8cd98f00b204e9800998ecf8427e"]["origins"] == ["điện thoại"]
    assert ("domain", "xn--tn-min-xu-w3a4h2570a.vn") in items or any(value.startswith("xn--") for _, value in items)
    assert ("file", "hoadon.exe") in items
    assert ("url", "http://xau.example/a") in items
    assert "10.1.2.3" in str(items["ip", "10.1.2.3"]["value"])
    assert items["ip", "10.1.2.3"]["never_blocked"]
    assert "resolver" in items["ip", "8.8.8.8"]["never_blocked"]
    assert "ours" in items["email", "a@tinh.gov.vn"]["never_blocked"]
    assert items["ip", "203.0.113.66"]["never_blocked"] == ""  # a documentation network: drills block it
    harmless = as_("an", "incidents", "observables", name, "--defang", "--plain").out
    assert "hxxp://xau[.]example/a" in harmless
    assert "http://" not in harmless
    assert as_("an", "incidents", "observe", name, "không có gì").code == 2
    assert as_("an", "incidents", "ignore", name, "1.2.3.4", "--reason", "x").code == 1


def test_incidents_that_name_the_same_are_related(as_: Callable[..., Done]) -> None:
    """Shared observables and links tie; private addresses, resolvers and what was said not to belong tie nothing."""
    one = opened(as_, "gọi 45.77.1.2 và 10.1.1.1, hỏi 8.8.8.8")
    two = opened(as_, "cũng 45.77.1.2, 10.1.1.1, 8.8.8.8")
    three = opened(as_, "khác: 10.1.1.1 8.8.8.8")
    found = json.loads(as_("an", "incidents", "related", one, "--json").out)["items"]
    assert [(item["id"], item["shared"]) for item in found] == [(two, [{"type": "ip", "value": "45.77.1.2"}])]
    assert as_("an", "incidents", "link", one, three, "--reason", "cùng phòng").code == 0
    found = json.loads(as_("an", "incidents", "related", three, "--json").out)["items"]
    assert [(item["id"], item["link"]) for item in found] == [(one, "cùng phòng")]
    assert as_("an", "incidents", "ignore", two, "45.77.1.2", "--reason", "máy quét của ta").code == 0
    assert [item["id"] for item in json.loads(as_("an", "incidents", "related", one, "--json").out)["items"]] == [three]
    assert as_("an", "incidents", "unlink", three, one, "--reason", "nhầm").code == 0
    assert json.loads(as_("an", "incidents", "related", one, "--json").out)["items"] == []
    assert as_("an", "incidents", "unlink", three, one, "--reason", "nhầm").code == 1
    assert as_("an", "incidents", "link", one, one, "--reason", "x").code == 2
    drill = json.loads(as_("an", "incidents", "new", "diễn tập 45.77.1.2", "--scope", "exercise:1", "--json").out)["item"]["id"]
    assert as_("an", "incidents", "link", one, drill, "--reason", "x").code == 6
    assert json.loads(as_("an", "incidents", "related", one, "--json").out)["items"] == []


def test_from_the_incident_to_a_block_that_works(as_: Callable[..., Done], tmp_path: Path) -> None:
    """Proposed, approved by another person, written as every format, and asked of the logs; what is never blocked stands in none."""
    name = opened(as_, "gọi 45.77.1.2, 45.77.1.3, xau-lam.top/duong?a='x', a@xau-lam.top, 8.8.8.8, 198.51.100.7, 10.1.1.1, portal.tinh.gov.vn, google.com")
    preview = as_("an", "intel", "propose", name)
    assert (preview.code, "45.77.1.2" in preview.out) == (0, True)
    assert as_("an", "intel", "list", "--json").out.count("BL-") == 0
    made = json.loads(as_("an", "intel", "propose", name, "--expires", "30d", "--yes", "--json").out)["item"]
    assert {(entry["type"], entry["value"]) for entry in made["entries"]} == {
        ("ip", "45.77.1.2"), ("ip", "45.77.1.3"), ("domain", "xau-lam.top"), ("email", "a@xau-lam.top"),
    }  # fmt: skip
    assert {one["value"] for one in made["left_out"]} == {"8.8.8.8", "198.51.100.7", "10.1.1.1", "portal.tinh.gov.vn", "google.com"}
    assert as_("an", "intel", "export", "--format", "csv", name).code == 6
    assert as_("an", "intel", "approve", made["id"]).code == 5
    assert as_("le", "intel", "approve", made["id"], "--expect", "9").code == 6
    assert as_("le", "intel", "approve", made["id"]).code == 0
    assert as_("le2", "intel", "approve", made["id"]).code == 6
    folder = tmp_path / "block"
    done = as_("an", "intel", "export", "--format", "edl", "--to", str(folder))
    assert done.code == 0, done.err
    assert (folder / "ip.txt").read_text() == "45.77.1.2\n45.77.1.3\n"
    assert (folder / "domain.txt").read_text() == "xau-lam.top\n"
    assert (folder / "url.txt").read_text() == ""
    assert as_("an", "intel", "export", "--format", "edl").code == 2
    assert as_("an", "intel", "export", "--format", "edl", "--type", "ip", name).out == "45.77.1.2\n45.77.1.3\n"
    rows = list(csv.DictReader(io.StringIO(as_("an", "intel", "export", "--format", "csv").out)))
    assert {row["value"] for row in rows} == {"45.77.1.2", "45.77.1.3", "xau-lam.top", "a@xau-lam.top"}
    assert {row["approved_by"] for row in rows} == {"le"}
    fortigate = as_("an", "intel", "export", "--format", "fortigate").out
    assert "set subnet 45.77.1.2 255.255.255.255" in fortigate
    assert 'set fqdn "xau-lam.top"' in fortigate
    stix = json.loads(as_("an", "intel", "export", "--format", "stix").out)
    assert {one["pattern"] for one in stix["objects"]} >= {"[ipv4-addr:value = '45.77.1.2']", "[domain-name:value = 'xau-lam.top']"}
    assert json.loads(as_("an", "intel", "export", "--format", "stix").out) == stix
    lines(tmp_path, [("45.77.1.2", "deny"), ("45.77.1.3", "accept"), ("45.77.1.3", "deny"), ("45.77.9.9", "accept")])
    assert as_("ad", "ingest", "file", str(tmp_path / "fw.log"), "--product", "fortinet_fortigate").code == 0
    checked = as_("an", "intel", "check", "--json")
    states = {item["value"]: (item["state"], item["stopped"], item["passed"]) for item in json.loads(checked.out)["items"]}
    assert states["45.77.1.2"] == ("stopped", 1, 0)
    assert states["45.77.1.3"] == ("passed", 1, 1)
    assert states["xau-lam.top"] == ("unseen", 0, 0)
    assert checked.code == 1
    counted = {
        item["value"]: (item["events"], item["blocked"])
        for item in json.loads(as_("an", "incidents", "observables", name, "--events", "1d", "--json").out)["items"]
    }
    assert counted["45.77.1.3"] == (2, 1)
    assert as_("le", "intel", "withdraw", made["id"]).code == 2
    assert as_("le", "intel", "withdraw", made["id"], "--reason", "máy chủ đã sạch").code == 0
    assert as_("an", "intel", "export", "--format", "edl", "--type", "ip").out == ""
    assert json.loads(as_("an", "audit", "verify", "--json").out)["ok"] is True


def lines(folder: Path, wanted: list[tuple[str, str]]) -> None:
    """A firewall log of right now."""
    at = SystemClock().now_us() + 5_000_000  # after the list was written
    local = to_datetime(at).astimezone(ZoneInfo("Asia/Ho_Chi_Minh"))
    day, time = local.strftime("%Y-%m-%d"), local.strftime("%H:%M:%S")
    text = "".join(LINE.format(day=day, time=time, ns=at * 1000, n=n, to=to, action=action) + "\n" for n, (to, action) in enumerate(wanted, 1))
    (folder / "fw.log").write_text(text, encoding="utf-8")


def test_what_may_never_be_blocked(as_: Callable[..., Done]) -> None:
    """Exercises, what people allowed (also after the approval), too late an end, nothing at all: each refused by name."""
    drill = json.loads(as_("an", "incidents", "new", "diễn tập 45.77.1.2", "--scope", "exercise:1", "--json").out)["item"]["id"]
    refused = as_("an", "intel", "propose", drill, "--yes")
    assert (refused.code, "exercise" in refused.err) == (5, True)
    assert as_("an", "intel", "export", "--format", "csv", drill).code == 5
    name = opened(as_, "gọi 45.77.1.2 và 45.77.1.3")
    assert as_("an", "intel", "propose", name, "--expires", "900d", "--yes").code == 2
    assert as_("an", "intel", "propose", name, "--only", "9.9.9.1", "--yes").code == 2
    assert as_("an", "intel", "propose", "--yes").code == 2
    first = json.loads(as_("an", "intel", "propose", name, "--only", "45.77.1.2", "--yes", "--json").out)["item"]["id"]
    assert as_("an", "intel", "allow", "45.77.1.2", "--reason", "x").code == 5
    assert as_("le", "intel", "allow", "45.77.1.2", "--reason", "cổng dịch vụ công").code == 0
    stopped = as_("le", "intel", "approve", first)
    assert (stopped.code, "45.77.1.2" in stopped.err) == (6, True)
    second = json.loads(as_("an", "intel", "propose", "--all-open", "--yes", "--json").out)["item"]
    assert [entry["value"] for entry in second["entries"]] == ["45.77.1.3"]
    assert as_("le", "intel", "approve", second["id"]).code == 0
    as_("le", "intel", "allow", "45.77.1.3", "--reason", "nhầm")
    done = as_("an", "intel", "export", "--format", "edl", "--type", "ip")
    assert (done.out, "45.77.1.3" in done.err) == ("", True)
    assert "45.77.1.3" in as_("an", "intel", "allowed", "--json").out
    assert as_("le", "intel", "allow", "45.77.1.3", "--remove", "--reason", "không phải").code == 0
    assert as_("an", "intel", "export", "--format", "edl", "--type", "ip").out == "45.77.1.3\n"


def test_who_proposed_does_not_approve(as_: Callable[..., Done]) -> None:
    """A lead's own list needs another lead, or the word of one that is recorded; alone on a machine one may do both, on record."""
    name = opened(as_, "gọi 45.77.1.2")
    made = json.loads(as_("le", "intel", "propose", name, "--yes", "--json").out)["item"]["id"]
    assert as_("le", "intel", "approve", made).code == 5
    assert as_("le", "intel", "approve", made, "--on-behalf", "Lê", "--by", "telephone").code == 5
    assert as_("le", "intel", "approve", made, "--on-behalf", "Liên", "--by", "telephone").code == 0
    assert json.loads(as_("an", "intel", "show", made, "--json").out)["item"]["on_behalf"] == "Liên"


def test_an_office_may_do_with_one_person(as_: Callable[..., Done]) -> None:
    """Where two-person approval was switched off by a recorded decision, a lead approves the own list, and the list says so."""
    name = opened(as_, "gọi 45.77.1.2")
    made = json.loads(as_("le", "intel", "propose", name, "--yes", "--json").out)["item"]["id"]
    assert as_("ad", "notices", "approval", "--one-person", "--reason", "đội một người").code == 0
    assert as_("le", "intel", "approve", made).code == 0
    assert json.loads(as_("an", "intel", "show", made, "--json").out)["item"]["alone"] is True


def test_leads_are_told_that_a_list_waits(as_: Callable[..., Done]) -> None:
    """One message to each lead that can be reached, once; nothing in it can be clicked."""
    name = opened(as_, "gọi 45.77.1.2 và hxxp://xau[.]top/a")
    made = json.loads(as_("an", "intel", "propose", name, "--yes", "--json").out)["item"]["id"]
    sent = json.loads(as_("an", "outbox", "list", "--all", "--json").out)["items"]
    assert [(one["recipient"], one["about"]) for one in sent] == [("le@tinh.gov.vn", made)]
    shown = as_("an", "outbox", "show", sent[0]["id"], "--json").out
    assert "hxxp://xau[.]top/a" in shown
    assert "http://xau.top" not in shown
    assert f"soc intel approve {made}" in shown


def test_alone_on_a_machine(soc: Run, tmp_path: Path) -> None:
    """Nobody registered: proposing and approving is one person's work, and the record says so."""
    store = ("--store", str(tmp_path / "s"))
    soc("incidents", "new", "gọi 45.77.1.2", *store)
    assert soc("intel", "propose", "1", "--yes", *store).code == 0
    assert soc("intel", "approve", "1", *store).code == 0
    assert json.loads(soc("intel", "show", "1", "--json", *store).out)["item"]["alone"] is True
