"""Every command on a real embedded store that real lines went through."""

from __future__ import annotations

import csv
import ctypes
import gzip
import io
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soc import cli
from soc.adapters.sqlite.lock import RepairLock
from soc.cli.demo import _next_steps
from tests.cli.conftest import Done, Run

pytestmark = pytest.mark.xdist_group("cli-store")

LINES = (
    (
        'date=2026-11-20 time=08:00:01 devname="FGT-A" devid="FG100F0001" eventtime=1795136401000000000 tz="+0700" logid="0000000013" type="traffic" subtype="forward" level="notice" vd="root" '
        'srcip=10.1.1.5 srcport=50000 dstip=203.0.113.66 dstport=443 policyid=7 sessionid=1 proto=6 action="accept" service="HTTPS" sentbyte=10 rcvdbyte=20'
    ),
    (
        'date=2026-11-20 time=08:00:02 devname="FGT-A" devid="FG100F0001" eventtime=1795136402000000000 tz="+0700" logid="0422016400" type="utm" subtype="ips" eventtype="botnet" level="warning" vd="root" '
        'severity="critical" srcip=10.1.1.5 srcport=50001 dstip=203.0.113.66 dstport=4444 sessionid=2 proto=6 action="detected" attack="Đăng.Nhập\x1b[2J" msg="=cmd|calc"'
    ),
    (
        'date=2026-11-20 time=08:00:03 devname="FGT-A" devid="FG100F0001" eventtime=1795136403000000000 tz="+0700" logid="0000000013" type="traffic" subtype="forward" level="notice" vd="root" '
        'srcip=10.1.1.6 srcport=50002 dstip=198.51.100.9 dstport=25 policyid=8 sessionid=3 proto=6 action="deny" service="SMTP" sentbyte=0 rcvdbyte=0'
    ),
)
TOO_LONG = "x" * 2_000_000


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the lines above, made once by `soc ingest file` and only read by the tests."""
    folder = tmp_path_factory.mktemp("filled")
    log = folder / "fw.log"
    log.write_text("\n".join((*LINES, TOO_LONG)) + "\n", encoding="utf-8")
    store = folder / "store"
    assert cli.execute(["-q", "ingest", "file", str(log), "--source", "fw", "--product", "fortinet_fortigate", "--store", str(store)]) == 1
    return store


@pytest.fixture
def on(soc: Run, filled: Path) -> Callable[..., Done]:
    """Run a command on that store."""
    return lambda *words: soc(*words, "--store", str(filled))


@pytest.fixture
def own(soc: Run, tmp_path: Path) -> Callable[..., Done]:
    """Run a command on a store of the test's own, filled the same way."""
    log = tmp_path / "fw.log"
    log.write_text("\n".join((*LINES, TOO_LONG)) + "\n", encoding="utf-8")
    store = tmp_path / "store"
    soc("ingest", "file", str(log), "--source", "fw", "--store", str(store))
    return lambda *words: soc(*words, "--store", str(store))


def items(done: Done) -> list[dict[str, Any]]:
    """The items of a JSON list."""
    answer = json.loads(done.out)
    assert answer["schema_version"] == 1
    assert isinstance(answer["truncated"], bool)
    found: list[dict[str, Any]] = answer["items"]
    return found


def test_ingest_tells_what_became_of_the_lines(soc: Run, tmp_path: Path) -> None:
    """Totals as data, next steps as narration, exit code 1 for what became a dead letter; a second time nothing is new."""
    log = tmp_path / "fw.log"
    log.write_text("\n".join((*LINES, TOO_LONG)) + "\n", encoding="utf-8")
    words = ["ingest", "file", str(log), "--store", str(tmp_path / "s"), "--json"]
    done = soc(*words)
    totals = json.loads(done.out)
    assert (done.code, totals["received"], totals["stored"], totals["dead_lettered"]) == (1, 4, 3, 1)
    assert "soc deadletters list" in done.err
    again = soc(*words)
    assert (again.code, json.loads(again.out)["received"]) == (0, 0)


def test_search_forms(on: Callable[..., Done]) -> None:
    """One query, five forms, the same events."""
    found = items(on("events", "search", "source.ip:10.1.1.0/24", "--json"))
    assert [doc["destination"]["port"] for doc in found] == [25, 4444, 443]
    assert [json.loads(line) for line in on("events", "search", "source.ip:10.1.1.0/24", "--jsonl").out.splitlines()] == found
    rows = list(csv.DictReader(io.StringIO(on("events", "search", "source.ip:10.1.1.0/24", "--csv", "--fields", "@timestamp,destination.port").out)))
    assert [row["destination.port"] for row in rows] == ["25", "4444", "443"]
    assert rows[0]["@timestamp"].endswith("Z")
    plain = on("events", "search", "source.ip:10.1.1.0/24", "--plain").out.splitlines()
    assert len(plain) == 4
    assert "+07" in plain[1]


def test_search_is_cut_openly(on: Callable[..., Done]) -> None:
    """A cut list says so with the true total; --limit 0 is everything; order can be turned."""
    cut = on("events", "search", "--limit", "1", "--json")
    assert (json.loads(cut.out)["total"], json.loads(cut.out)["truncated"]) == (3, True)
    assert "1 of 3" in on("events", "search", "--limit", "1").err
    assert len(items(on("events", "search", "--limit", "0", "--json"))) == 3
    first = items(on("events", "search", "--limit", "1", "--oldest-first", "--json"))
    assert first[0]["destination"]["port"] == 443


def test_search_period_is_read_in_the_zone(on: Callable[..., Done]) -> None:
    """Half past eight is local time, unless a zone is named."""
    assert len(items(on("events", "search", "--since", "2026-11-20 08:00:02", "--until", "2026-11-20 08:00:03", "--json"))) == 1
    assert items(on("events", "search", "--since", "2026-11-20 08:00:02", "--tz", "UTC", "--json")) == []


def test_search_error_points_at_the_character(on: Callable[..., Done]) -> None:
    """Exit 2, the query, and a caret below the place."""
    done = on("events", "search", "a:1 and )")
    assert (done.code, done.out) == (2, "")
    query, caret = done.err.splitlines()[1:3]
    assert query[caret.index("^")] == ")"


def test_hostile_text_is_harmless_everywhere(on: Callable[..., Done]) -> None:
    """What an attacker wrote into a log steers no terminal and is no formula, whatever the command."""
    event = items(on("events", "search", "destination.port:4444", "--json"))[0]["soc"]["id"]
    group = items(on("alerts", "list", "--json"))[0]["id"]
    for words in (
        ("events", "search"),
        ("events", "search", "--csv"),
        ("events", "search", "--json"),
        ("events", "get", event),
        ("events", "get", event, "--raw"),
        ("events", "stats"),
        ("events", "export", "--csv"),
        ("events", "tail", "--looks", "1"),
        ("alerts", "list"),
        ("alerts", "why", group),
        ("alerts", "get", group),
        ("alerts", "list", "--each", "--csv"),
    ):
        done = on(*words)
        assert done.code == 0, (words, done.err)
        assert "\x1b" not in done.out + done.err, words
        assert not any(line.startswith("=") for line in done.out.splitlines()), words


def test_get_accepts_unique_beginnings(on: Callable[..., Done]) -> None:
    """Enough of an id will do; none is exit 1."""
    found = items(on("events", "search", "destination.port:25", "--json"))[0]
    assert json.loads(on("events", "get", found["soc"]["id"][:8], "--json").out) == found
    assert on("events", "get", found["soc"]["id"][:8], "--raw").out.strip() == LINES[2]
    missing = on("events", "get", "zzzzzzzz")
    assert (missing.code, missing.out) == (1, "")
    assert "hint: soc events search" in missing.err


def test_stats(on: Callable[..., Done]) -> None:
    """Counts, bars and threats agree."""
    stats = json.loads(on("events", "stats", "--json", "--facet", "source.ip", "--interval", "hour").out)
    assert stats["total"] == 3
    assert sum(bucket["count"] for bucket in stats["histogram"]) == 3
    assert stats["facets"]["source.ip"] == [{"value": "10.1.1.5", "count": 2}, {"value": "10.1.1.6", "count": 1}]
    assert "█" in on("events", "stats").out


def test_export_writes_whole_files(on: Callable[..., Done], tmp_path: Path) -> None:
    """Every event, by the name of the file: NDJSON or CSV, packed or not."""
    assert on("events", "export", "--to", str(tmp_path / "e.ndjson.gz"), "--oldest-first").code == 0
    docs = [json.loads(line) for line in gzip.decompress((tmp_path / "e.ndjson.gz").read_bytes()).splitlines()]
    assert [doc["destination"]["port"] for doc in docs] == [443, 4444, 25]
    assert on("events", "export", "--to", str(tmp_path / "e.csv")).code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "e.csv").read_text(encoding="utf-8"))))
    assert {row["source.ip"] for row in rows} == {"10.1.1.5", "10.1.1.6"}
    assert on("events", "export", "--to", str(tmp_path / "none" / "e.csv")).code == 5


def test_tail_shows_only_what_is_new(own: Callable[..., Done], tmp_path: Path) -> None:
    """A second look at the same store shows nothing twice."""
    from soc.application.app import Actor
    from soc.application.events import Tail, event_query
    from soc.bootstrap import open_app
    from soc.clock import FrozenClock, from_iso
    from soc.config import Settings, StoreSettings

    settings = Settings(data_dir=tmp_path / "store", store=StoreSettings(path=tmp_path / "store"))
    with open_app(settings, Actor("test"), clock=FrozenClock(from_iso("2026-11-20T01:05:00Z"))) as app:
        tail = Tail(app, event_query(""))
        first, more = tail.look()
        assert ([doc["destination.port"] for doc in first], more) == ([443, 4444, 25], False)
        assert tail.look() == ([], False)


def test_alerts_carry_their_titles_in_both_languages(on: Callable[..., Done]) -> None:
    """Vietnamese readers get the Vietnamese title of a shipped rule; JSON holds both."""
    group = items(on("alerts", "list", "--json"))[0]["rule"]
    title = group["title_vi"]
    assert title
    assert title != group["title"]
    assert title in on("--lang", "vi", "alerts", "list").out
    assert title not in on("alerts", "list").out


def test_alerts_list_and_why(on: Callable[..., Done]) -> None:
    """Groups by default, alerts on request; why tells rule, tree, event, raw line and what to do."""
    groups = items(on("alerts", "list", "--json"))
    assert {"id", "level", "rule", "key", "count", "first_at", "last_at", "state", "from", "to"} <= groups[0].keys()
    single = items(on("alerts", "list", "--each", "--json"))
    assert {alert["group"] for alert in single} == {group["id"] for group in groups}
    critical = next(group for group in groups if group["level"] == "critical")
    assert items(on("alerts", "list", "--level", "critical", "--json")) == [group for group in groups if group["level"] == "critical"]
    why = on("alerts", "why", critical["id"][:8]).out
    for text in (
        "◆ CRITICAL",
        critical["rule"]["title"],
        critical["rule"]["hash"],
        "2026-11-20 08:00:02 +07",
        "✔",
        "⟦botnet⟧",
        "10.1.1.5:50001 → 203.0.113.66:4444",
        'eventtype="botnet"',
        "What to do",
    ):
        assert text in why, text
    assert "soc events get" in on("alerts", "why", critical["id"]).err
    alert = json.loads(on("alerts", "why", critical["id"], "--json").out)
    assert alert["explanation"]["matched"] is True
    assert on("alerts", "get", alert["id"], "--json").code == 0
    assert on("alerts", "why", "g-zzzz").code == 1


def test_why_in_vietnamese(on: Callable[..., Done]) -> None:
    """Texts, levels and triage in the chosen language; keys stay."""
    group = next(item for item in items(on("alerts", "list", "--json")) if item["level"] == "critical")
    out = on("alerts", "why", group["id"], "--lang", "vi").out
    assert "◆ NGHIÊM TRỌNG" in out
    assert "Việc cần làm" in out
    assert "What to do" not in out


def test_ledger(on: Callable[..., Done]) -> None:
    """Exactly the promised fields; balanced, so exit 0."""
    done = on("store", "ledger", "--json")
    assert done.code == 0
    (row,) = items(done)
    assert {"source", "partition", "first", "last", "received", "stored", "dead_lettered", "dropped", "in_flight", "difference", "knowledge"} <= row.keys()
    assert (row["source"], row["received"], row["stored"], row["dead_lettered"], row["difference"]) == ("fw", 4, 3, 1, 0)
    assert row["knowledge"] in ("proved", "counted", "unknowable")


def test_sources_status_and_list(on: Callable[..., Done]) -> None:
    """What the ledger knows of, also when it is not configured."""
    (row,) = items(on("sources", "status", "--json"))
    assert (row["source"], row["state"], row["received"], row["stored"]) == ("fw", "ok", 4, 3)
    assert items(on("sources", "list", "--json")) == []


def test_sources_test_reads_without_storing(soc: Run, tmp_path: Path) -> None:
    """A file source is opened and shown; no store is made; an unknown name is exit 1."""
    log = tmp_path / "fw.log"
    log.write_text("\n".join(LINES * 10) + "\n", encoding="utf-8")
    config = tmp_path / "soc.toml"
    config.write_text(
        f'[sources.fw]\ntype = "file"\npaths = ["{log}"]\n[sources.gone]\ntype = "file"\npaths = ["{tmp_path}/none.log"]\nfollow = false\n', encoding="utf-8"
    )
    config.chmod(0o600)
    done = soc("sources", "test", "fw", "--config", str(config), "--json", "--most", "2")
    assert (done.code, len(json.loads(done.out)["sample"])) == (0, 2), done.err
    assert not (tmp_path / "home").exists()
    assert soc("sources", "test", "nope", "--config", str(config)).code == 1


def test_sources_offset_is_recorded(own: Callable[..., Done]) -> None:
    """A dated fact with a reason; without one nothing happens."""
    assert json.loads(own("sources", "offset", "fw", "25200", "--why", "left on UTC", "--json").out)["item"]["offset_s"] == 25200
    assert items(own("sources", "status", "--json"))[0]["clock_offset_s"] == 25200
    assert own("sources", "offset", "fw", "1", "--why", " ").code == 2
    slip = own("sources", "offset", "fv", "1", "--why", "x")
    assert (slip.code, "no source fv" in slip.err) == (1, True)


def test_dead_letters(own: Callable[..., Done], tmp_path: Path) -> None:
    """Listed, shown, mended and re-driven; the ledger still balances."""
    (letter,) = items(own("deadletters", "list", "--json"))
    assert letter["reason"] == "oversized"
    assert own("deadletters", "show", letter["id"][:8]).code == 0
    mended = tmp_path / "mended"
    mended.write_text(LINES[2].replace("sessionid=3", "sessionid=4"), encoding="utf-8")
    done = own("deadletters", "redrive", letter["id"], "--raw-file", str(mended), "--json")
    assert (done.code, items(done)[0]["event"]) == (0, letter["id"])
    assert items(own("deadletters", "list", "--json")) == []
    assert items(own("deadletters", "list", "--state", "redriven", "--json"))[0]["id"] == letter["id"]
    (row,) = items(own("store", "ledger", "--json"))
    assert (row["stored"], row["dead_lettered"], row["difference"]) == (4, 0, 0)
    assert own("deadletters", "redrive", letter["id"]).code == 6


def test_dead_letters_given_up(own: Callable[..., Done]) -> None:
    """With a reason, kept and readable; the ledger still balances."""
    (letter,) = items(own("deadletters", "list", "--json"))
    assert own("deadletters", "discard", letter["id"]).code == 2
    assert items(own("deadletters", "discard", letter["id"], "--why", "test traffic", "--json")) == [{"id": letter["id"], "state": "discarded"}]
    (given_up,) = items(own("deadletters", "list", "--state", "discarded", "--json"))
    assert "test traffic" in given_up["note"]
    assert own("store", "ledger", "--json").code == 0


def test_replay_with_the_same_rules_is_the_same(on: Callable[..., Done], tmp_path: Path) -> None:
    """No difference, exit 0; without rules every alert is removed, exit 1."""
    assert on("replay", "--diff").code == 0
    (tmp_path / "rules").mkdir()
    done = on("replay", "--diff", "--json", "--rules", str(tmp_path / "rules"))
    answer = json.loads(done.out)
    assert (done.code, answer["alerts_after"], len(answer["removed"])) == (1, 0, answer["alerts_before"])


def test_reclassify_shows_the_plan_first(own: Callable[..., Done]) -> None:
    """Without --yes nothing changes; with it the class changes and the reason is kept."""
    words = ("reclassify", "destination.port:4444", "--level", "low", "--why", "a test of ours", "--json")
    plan = json.loads(own(*words).out)
    assert (plan["written"], plan["counts"]["changed"]) == (False, 1)
    assert json.loads(own(*words, "--yes").out)["written"] is True
    begun, fact = sorted(items(own("audit", "log", "reclassification", "--json")), key=lambda one: int(one["sequence"]))
    assert (begun["kind"], begun["reason"], "counts" in begun["data"]) == ("ReclassificationBegun", "a test of ours", False)
    assert (fact["kind"], fact["reason"], fact["data"]["counts"]["changed"]) == ("EventsReclassified", "a test of ours", 1)
    doc = items(own("events", "search", "destination.port:4444", "--json"))[0]
    assert doc["soc"]["threat"]["level"] == "low"
    assert own("reclassify", "x", "--level", "low").code == 2
    assert own("reclassify", "x", "--level", "loud", "--why", "x").code == 2


def test_a_repair_that_is_stopped_or_not_alone_says_how_to_go_on(own: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while events are changed: 130 and that the same command does the rest; beside another repair: 5, and who is at it."""

    def stopped(*_: object, **rest: bool) -> dict[str, int]:
        if not rest["dry_run"]:
            raise KeyboardInterrupt
        return {"seen": 1, "changed": 1}

    words = ("reclassify", "destination.port:4444", "--level", "medium", "--why", "x", "--yes")
    with monkeypatch.context() as patch:
        patch.setattr("soc.application.reclassify.reclassify", stopped)
        patch.setattr("soc.application.enrich.enrich", stopped)
        for command in (words, ("enrich", "--why", "x", "--yes")):
            done = own(*command)
            assert (done.code, "the same command does the rest" in done.err) == (130, True), done
    folder = Path(str(json.loads(own("store", "status", "--json").out)["status"]["place"]))
    held = RepairLock(folder)
    try:
        done = own(*words)
        assert (done.code, str(os.getpid()) in done.err, "take turns" in done.err) == (5, True, True), done
        assert own(*words[:-1], "--dry-run").code == 0
    finally:
        held.release()
    assert own(*words).code == 0


def test_backup_and_restore(own: Callable[..., Done], soc: Run, tmp_path: Path) -> None:
    """What was backed up comes back whole; a used folder is refused."""
    assert own("store", "backup", str(tmp_path / "copy")).code == 0
    assert own("store", "backup", str(tmp_path / "copy")).code == 2
    fresh = str(tmp_path / "fresh")
    assert "--yes" in soc("store", "restore", str(tmp_path / "copy"), "--store", fresh).err
    assert soc("store", "restore", str(tmp_path / "copy"), "--yes", "--store", fresh).code == 0
    assert soc("events", "search", "--json", "--store", fresh).out == own("events", "search", "--json").out
    assert soc("store", "ledger", "--store", fresh).code == 0


def test_retention_shows_the_plan_first(own: Callable[..., Done]) -> None:
    """Whole partitions, only with --yes."""
    words = ("store", "retention", "--before", "2027-01-01", "--json")
    plan = json.loads(own(*words).out)
    assert (plan["removed"], len(plan["items"])) == (False, 1)
    assert len(items(own("events", "search", "--json"))) == 3
    assert json.loads(own(*words, "--yes").out)["removed"] is True
    assert items(own("events", "search", "--json")) == []
    assert own("store", "retention", "--before", "1d", "--kind", "nonsense").code == 2


def test_migrate_reparses(own: Callable[..., Done]) -> None:
    """Every event is read anew from its line and stays the same."""
    before = own("events", "search", "--json").out
    assert own("store", "migrate", "--reparse", "--yes").code == 0
    assert own("events", "search", "--json").out == before


def test_status(on: Callable[..., Done]) -> None:
    """Place, partitions, sizes."""
    answer = json.loads(on("store", "status", "--json").out)["status"]
    assert answer["kind"] == "embedded"
    assert sum(partition["events"] for partition in answer["partitions"]) == 3


def test_doctor(on: Callable[..., Done], soc: Run, tmp_path: Path) -> None:
    """All fine is 0; a broken rule is a warning with its file; a broken configuration fails with what to do."""
    done = on("doctor", "--json")
    assert done.code == 0, done.out
    assert json.loads(done.out)["ok"] is True
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "bad.yml").write_text("title: [", encoding="utf-8")
    config = tmp_path / "soc.toml"
    config.write_text(f'[rules]\ndirectories = ["{rules}"]\n[store]\npassword_file = "{tmp_path}/none"\n', encoding="utf-8")
    config.chmod(0o600)
    answer = on("doctor", "--json", "--config", str(config))
    found = {item["name"]: item for item in items(answer)}
    assert (answer.code, found["rule"]["state"], found["store.password"]["state"]) == (1, "warn", "fail")
    assert "bad.yml" in found["rule"]["text"]
    config.write_text("[store]\nknid = 1\n", encoding="utf-8")
    assert "did you mean 'store.kind'" in soc("doctor", "--config", str(config)).out


def test_doctor_looks_at_brokers_ports_and_files(on: Callable[..., Done], tmp_path: Path) -> None:
    """A broker that does not answer fails with what to do; a port that is taken is a warning; a file that is missing is told."""
    with socket.socket() as holder, socket.socket() as other, socket.socket() as closed:
        for one in (holder, other):
            one.bind(("127.0.0.1", 0))
            one.listen()
        closed.bind(("127.0.0.1", 0))
        taken, too, nobody = holder.getsockname()[1], other.getsockname()[1], closed.getsockname()[1]
        config = tmp_path / "soc.toml"
        config.write_text(
            f'[kafka]\nbootstrap_servers = ["127.0.0.1:{nobody}"]\n[sources.raw]\ntype = "kafka"\ntopics = ["t"]\n'
            f'[sources.fw]\ntype = "syslog"\ntcp = "127.0.0.1:{taken}"\n[sources.web]\ntype = "http"\nlisten = "127.0.0.1:{too}"\n',
            encoding="utf-8",
        )
        config.chmod(0o600)
        done = on("doctor", "--json", "--config", str(config))
    found = {item["name"]: item for item in items(done)}
    assert done.code == 1
    assert found[f"kafka 127.0.0.1:{nobody}"]["state"] == "fail"
    assert "broker" in found[f"kafka 127.0.0.1:{nobody}"]["fix"]
    for name in ("source fw", "source web"):
        assert (found[name]["state"], "soc run" in found[name]["fix"]) == ("warn", True), found[name]


def test_two_pipelines_on_one_store(on: Callable[..., Done], filled: Path, tmp_path: Path) -> None:
    """The second is refused with the first one's pid, exit 5; reading goes on."""
    from soc.application.app import Actor
    from soc.bootstrap import open_app
    from soc.config import Settings, StoreSettings

    log = tmp_path / "x.log"
    log.write_text(LINES[0] + "\n", encoding="utf-8")
    with open_app(Settings(data_dir=filled, store=StoreSettings(path=filled)), Actor("test"), pipeline=True) as app:
        assert app.store.positions()
        done = on("ingest", "file", str(log))
        assert done.code == 5
        assert str(os.getpid()) in done.err
        assert on("events", "search", "--json").code == 0


def test_run_once_and_demo(soc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demonstration ends with commands that work as printed, and empties only its own folder."""
    monkeypatch.chdir(tmp_path)
    done = soc("demo")
    assert done.code == 0, done.err
    printed = [shlex.split(line) for line in done.out.partition("\nNext\n")[2].splitlines()]
    commands = [shlex.join(words[1:]) for words in printed if words[0].endswith("bin/soc")]
    assert len(commands) == 3
    for command in commands:
        again = soc(*shlex.split(command))
        assert (again.code, bool(again.out)) == (0, True), command
    listed = json.loads(soc("alerts", "list", "--json", "--store", ".demo").out)["items"]
    waves = [item for item in listed if item["events"] > item["count"]]
    assert waves  # one alert that stands for many occurrences
    assert [json.loads(soc("alerts", "get", item["id"], "--json", "--store", ".demo").out)["events"] for item in waves] == [item["events"] for item in waves]
    again = json.loads(soc("demo", "--json").out)
    assert (again["kind"], again["store"], set(again["files"])) == ("demo", ".demo", {"tuong-lua", "thu-dien-tu"})
    assert again["items"][0]["id"][:10] in " ".join(again["next"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    assert soc("demo", "--folder", "mine").code == 5
    assert (tmp_path / "mine" / "file").exists()


def test_a_demonstration_without_alerts_names_none() -> None:
    """No command without its id is printed when no group is there to explain."""
    assert "alerts why" not in " ".join(_next_steps(Path("x"), ""))


def test_run_reads_what_is_there_once(soc: Run, tmp_path: Path) -> None:
    """`soc run --once` with a file source ends by itself."""
    log = tmp_path / "fw.log"
    log.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    config = tmp_path / "soc.toml"
    config.write_text(f'[sources.fw]\ntype = "file"\npaths = ["{log}"]\nfollow = false\n', encoding="utf-8")
    config.chmod(0o600)
    done = soc("run", "--once", "--json", "--config", str(config), "--store", str(tmp_path / "s"))
    assert done.code == 0, done.err
    assert json.loads(done.out)["stored"] == 3
    assert "store: " in done.err


def test_a_store_that_is_not_there_is_told(soc: Run, tmp_path: Path) -> None:
    """A slip in --store does not look like a quiet day."""
    done = soc("alerts", "list", "--store", str(tmp_path / "typo"))
    assert f"there is no store at {tmp_path / 'typo'}" in done.err


def test_an_unreachable_store_exits_4(soc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be reached, why, and what to do; nothing of what a library says between its tries."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("SOC_STORE__KIND", "elasticsearch")
        monkeypatch.setenv("SOC_STORE__HOSTS", json.dumps([host]))
        monkeypatch.setenv("SOC_STORE__STALL_BUDGET_S", "0.5")
        done = soc("alerts", "list")
    assert (done.code, done.out) == (4, "")
    assert done.err.startswith(f"error: {host}")
    assert "cause: " in done.err
    assert "hint: " in done.err
    assert "WARNING" not in done.err


def test_a_search_without_results_says_so_and_what_may_be_a_slip(on: Callable[..., Done]) -> None:
    """An empty list alone would look as if all were well: fields that no event has are named, with the one that may be meant."""
    done = on("events", "search", "sourc.ip:10.1.1.5")
    assert (done.code, "no events" in done.err) == (0, True)
    assert "none of the newest events has the field sourc.ip; did you mean source.ip?" in done.err
    assert "has the field" not in on("events", "search", "source.ip:10.9.9.9").err
    assert "has the field" not in on("events", "search", "-nothing:1").err
    assert json.loads(on("events", "search", "sourc.ip:10.1.1.5", "--json").out)["items"] == []


def test_fields_that_nothing_has_are_named(on: Callable[..., Done], tmp_path: Path) -> None:
    """Blanks alone would look as if there were no values; short names and names in objects are fields, and a field of other events is no slip."""
    done = on("events", "search", "--json", "--fields", "levl,source.ip,dport,destinaton.port")
    assert (done.code, items(done)[0]["dport"], items(done)[0]["levl"]) == (0, 25, None)
    assert "warning: there is no field levl; did you mean level?" in done.err
    assert "warning: there is no field destinaton.port; did you mean destination.port?" in done.err
    assert "dport" not in done.err
    assert "no field" not in on("events", "search", "--csv", "--fields", "source,email.subject,rule.id,@timestamp").err
    for form, name in (("csv", "e.csv"), ("json", "e.ndjson")):
        done = on("events", "export", "--to", str(tmp_path / name), "--fields", "src,sourc.ip,attack")
        assert (done.code, done.err.count("no field")) == (0, 2), form
        assert "sourc.ip; did you mean source.ip?" in done.err
        assert "10.1.1.5" in (tmp_path / name).read_text(encoding="utf-8")
    done = on("alerts", "list", "--jsonl", "--fields", "id,rule.hash,lvl,threat.level")
    assert (done.code, "warning: there is no field lvl; did you mean level?" in done.err, done.err.count("no field")) == (0, True, 1)
    row = json.loads(done.out.splitlines()[0])
    assert (row["lvl"], bool(row["rule.hash"]), row["threat.level"]) == (None, True, "critical")


def test_figures_of_fields_that_nothing_has_are_told(on: Callable[..., Done]) -> None:
    """A slip in --facet, --by or --sort is named; short names stand for their fields, and a known field without values is no slip."""
    done = on("events", "stats", "--facet", "levl", "--facet", "ip", "--facet", "email.subject", "--by", "dportt", "--json")
    answer = json.loads(done.out)
    assert (done.code, list(answer["facets"])) == (0, ["levl", "source.ip", "destination.ip", "email.subject"])
    assert {row["value"] for row in answer["facets"]["source.ip"]} == {"10.1.1.5", "10.1.1.6"}
    assert [line for line in done.err.splitlines() if "no field" in line] == [
        "warning: there is no field levl; did you mean level?",
        "warning: there is no field dportt; did you mean dport?",
    ]
    split = json.loads(on("events", "stats", "--by", "dport", "--json").out)["histogram"]
    assert {bucket["by"] for bucket in split} == {"443", "4444", "25"}
    assert "there is no field sourc.port; did you mean source.port?" in on("events", "search", "--sort", "sourc.port").err
    for words in (("search", "--sort", "email.subject"), ("search", "--sort", "sport:desc"), ("stats", "--facet", "src"), ("stats",)):
        assert "no field" not in on("events", *words).err, words


def test_a_rule_that_nobody_knows_is_no_empty_list(on: Callable[..., Done]) -> None:
    """The nearest name is told; file name, beginning and id mean the same rule, and one without alerts is no error."""
    slip = on("alerts", "list", "--rule", "net_firewall_botnet_c3")
    assert (slip.code, "no rule net_firewall_botnet_c3" in slip.err, "did you mean net_firewall_botnet_c2?" in slip.err) == (1, True, True)
    rule = items(on("alerts", "list", "--json"))[0]["rule"]["id"]
    (path,) = [one["path"] for one in items(on("rules", "list", "--json")) if one["id"] == rule]
    every = items(on("alerts", "list", "--rule", rule, "--json"))
    assert every
    for name in (rule[:12], Path(path).stem):
        assert items(on("alerts", "list", "--rule", name, "--json")) == every, name
    quiet = on("alerts", "list", "--rule", "soc-source-silent", "--json")
    assert (quiet.code, items(quiet)) == (0, [])
    assert on("alerts", "close", "--all-matching", "--rule", "nothing like it", "--verdict", "benign", "--yes").code == 1


def test_periods_and_scopes_that_can_hold_nothing_are_refused(on: Callable[..., Done]) -> None:
    """Swapped ends and a scope that is none would find nothing for ever."""
    for words in (("--since", "1h", "--until", "2h"), ("--until", "2026-01-01", "--since", "2026-02-01")):
        done = on("events", "search", *words)
        assert (done.code, "ends before it begins" in done.err) == (2, True), words
    assert on("events", "search", "--since", "2h", "--until", "1h").code == 0
    for scope, code in (("drill", 2), ("exercise:", 2), ("exercise:tap-1", 0), ("real", 0), ("all", 0)):
        assert on("events", "search", "--scope", scope).code == code, scope


def test_what_only_looks_makes_no_store(soc: Run, tmp_path: Path) -> None:
    """A slip in --store, or a look before the first run, leaves nothing behind that somebody else could not write to."""
    for words in (
        ("alerts", "list"), ("events", "search"), ("events", "stats"), ("store", "ledger"), ("store", "status"), ("sources", "status"), ("deadletters", "list"),
        ("incidents", "list"), ("audit", "log"), ("duties", "list"), ("doctor",),
    ):  # fmt: skip
        done = soc(*words, "--store", str(tmp_path / "none"))
        assert done.code == 0, done.err
        assert not (tmp_path / "none").exists(), words
        assert done.err.count("there is no store at") == (words != ("doctor",)), done.err
    assert soc("incidents", "new", "Gọi điện báo", "--store", str(tmp_path / "none")).code == 0
    assert json.loads(soc("incidents", "list", "--json", "--store", str(tmp_path / "none")).out)["total"] == 1


def test_run_says_what_it_reads_and_refuses_what_receives_nothing(soc: Run, tmp_path: Path) -> None:
    """A file that is not there yet is named; a source without any place ends the command, as `config validate` tells with its line."""
    config = tmp_path / "soc.toml"
    config.write_text(f'[sources.fw]\ntype = "file"\npaths = ["{tmp_path}/none*.log"]\n', encoding="utf-8")
    config.chmod(0o600)
    done = soc("run", "--once", "--config", str(config), "--store", str(tmp_path / "s"))
    assert (done.code, f"reads {tmp_path}/none*.log" in done.err) == (0, True), done.err
    assert f"source fw: no file is there yet: {tmp_path}/none*.log" in done.err
    assert "no file is there yet" in soc("doctor", "--config", str(config), "--store", str(tmp_path / "s")).out
    config.write_text('[sources.fw]\nscope = "real"\ntype = "syslog"\n', encoding="utf-8")
    for words in (("run", "--once"), ("config", "validate")):
        done = soc(*words, "--config", str(config), "--store", str(tmp_path / "s"))
        assert (done.code, "source fw reads nothing" in done.err) == (3, True), done.err
    assert f"error: {config}:3: source fw reads nothing" in done.err
    assert soc("doctor", "--config", str(config), "--store", str(tmp_path / "s")).code == 1


def _without_power() -> None:
    """Between fork and exec: what a folder forbids is forbidden to root too.  Source: capabilities(7), prctl(2) PR_CAPBSET_DROP."""
    libc = ctypes.CDLL(None)
    for capability in (1, 2, 3):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
        libc.prctl(24, capability, 0, 0, 0)


def test_a_store_that_one_may_only_read_is_read(filled: Path, tmp_path: Path) -> None:
    """Whoever may read the store and not write it can look at it without any setting; what would change it says so, with exit code 5."""
    store = tmp_path / "store"
    shutil.copytree(filled, store)
    for place in (*store.rglob("*"), store):
        place.chmod(0o555 if place.is_dir() else 0o444)

    def as_reader(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "soc", "--lang", "en", "--store", str(store), *words],
            preexec_fn=_without_power,
            capture_output=True,
            text=True,
            check=False,
        )

    try:
        found = as_reader("events", "search", "--json")
        assert (found.returncode, json.loads(found.stdout)["total"]) == (0, 3), found.stderr
        assert as_reader("store", "ledger").returncode == 0
        for words in (("ingest", "file", __file__), ("incidents", "new", "x"), ("deadletters", "discard", "d-x", "--why", "x", "--yes")):
            refused = as_reader(*words)
            assert (refused.returncode, "SOC_READ_ONLY=true" in refused.stderr) == (5, True), (words, refused.stderr)
    finally:
        for place in (store, *store.rglob("*")):
            place.chmod(0o755)


def test_search_by_another_order(on: Callable[..., Done]) -> None:
    """By any field, the largest first or last, those without it at the end; paging stays, and nonsense is refused."""

    def ports(*words: str) -> list[Any]:
        return [doc.get("destination.port") for doc in items(on("events", "search", "--json", "--fields", "destination.port", *words))]

    assert ports("--sort", "dport") == [25, 443, 4444]
    assert ports("--sort", "destination.port:desc") == [4444, 443, 25]
    assert ports("--sort", "dport:desc", "--limit", "1") == [4444]
    assert ports("--sort", "level:desc")[0] == 4444
    assert [ports("--sort", f"fortinet.firewall.attack{way}")[0] for way in ("", ":desc")] == [4444, 4444]
    assert ports("--sort", "source.ip", "--oldest-first") == [443, 4444, 25]
    for wrong in ("ip", ":desc", "dport:down"):
        refused = on("events", "search", "--sort", wrong)
        assert (refused.code, "hint: as in" in refused.err) == (2, True), wrong


def test_a_demonstration_in_a_forbidden_place_says_where_and_what_to_do(soc: Run) -> None:
    """Exit code 5 and another folder to name, not a bare error of the system."""
    done = soc("demo", "--folder", "/proc/soc-demo")
    assert (done.code, done.out) == (5, "")
    assert "/proc/soc-demo cannot be written" in done.err
    assert "hint: --folder ANOTHER" in done.err


def test_a_query_that_begins_with_a_minus_gets_its_hint(on: Callable[..., Done], soc: Run, filled: Path) -> None:
    """It looks like an option: the hint says how it is typed, and what it says works."""
    wrong = on("events", "search", "-event.action:accept")
    assert (wrong.code, "stands after --, or is written with not" in wrong.err) == (2, True)
    assert len(items(soc("--store", str(filled), "events", "search", "--json", "--", "-event.action:accept"))) == 2
    assert len(items(on("events", "search", "--json", "not event.action:accept"))) == 2
    assert "--help" in on("alerts", "list", "--nonsense").err
    assert (on("run", "--roles", " ,").code, on("run", "--roles", "nonsense").code) == (2, 3)


def test_figures_and_exports_of_nothing_say_so_too(on: Callable[..., Done], tmp_path: Path) -> None:
    """A slip in the name of a field is told wherever a query is typed; the data stay data."""
    for words in (("stats",), ("export",), ("export", "--csv"), ("export", "--to", str(tmp_path / "none.jsonl"))):
        done = on("events", words[0], "sourc.ip:10.1.1.5", *words[1:])
        assert (done.code, "did you mean source.ip?" in done.err) == (0, True), words
        assert "did you mean" not in on("events", words[0], "source.ip:10.1.1.5", *words[1:]).err, words
    assert (tmp_path / "none.jsonl").read_text(encoding="utf-8").count("\n") == 2


def test_replay_tells_the_levels_of_assembled_mails_too(soc: Run, tmp_path: Path) -> None:
    """Mails are what figures count: without rules every event that has a level loses it, lines and assembled mails alike."""
    store = ("--store", str(tmp_path / "demo"))
    assert soc("demo", "--folder", str(tmp_path / "demo")).code == 0
    levels = {row["value"]: row["count"] for row in json.loads(soc("events", "stats", "--json", *store).out)["facets"]["soc.threat.level"]}
    mails = json.loads(soc("events", "search", "soc.derived:true level:>none", "--json", "--limit", "1", *store).out)["total"]
    assert mails > 200
    (tmp_path / "rules").mkdir()
    answer = json.loads(soc("replay", "--json", "--rules", str(tmp_path / "rules"), *store).out)
    assert answer["levels"] == {f"{level}→none": count for level, count in levels.items() if level != "none"}
    assert json.loads(soc("replay", "--json", *store).out)["levels"] == {}


def test_reclassification_is_recorded_whole_and_changes_only_what_is_stated(own: Callable[..., Done], tmp_path: Path) -> None:
    """Query, period, former and new rule set stand in the record; a category alone leaves the level, and a class goes not with rules."""
    (before,) = {doc["soc"]["rules_hash"] for doc in items(own("events", "search", "--json"))}
    done = own("reclassify", "destination.port:4444", "--category", "malware", "--since", "2026-11-19", "--why", "mã độc", "--yes")
    assert done.code == 0, done.err
    threat = items(own("events", "search", "destination.port:4444", "--json"))[0]["soc"]["threat"]
    assert (threat["level"], threat["category"]) == ("critical", "malware")
    (tmp_path / "rules").mkdir()
    assert own("reclassify", "--rules", str(tmp_path / "rules"), "--why", "thử", "--yes").code == 0
    recorded = items(own("audit", "log", "reclassification", "--json", "--limit", "0"))
    first, second = (fact["data"] for fact in recorded if fact["kind"] == "EventsReclassified")
    if "category" in second:
        first, second = second, first
    assert (first["query"], first["since"], first["rules_before"]) == ('destination.port:"4444"', "2026-11-18T17:00:00.000Z", [before])
    assert "rules_hash" not in first
    assert (second["query"], second["rules_before"]) == ("*", [before])
    assert second["rules_hash"] not in ("", before)
    assert own("reclassify", "--rules", str(tmp_path / "rules"), "--level", "low", "--why", "x").code == 2


def test_ingest_refuses_names_that_nothing_knows(soc: Run, tmp_path: Path) -> None:
    """A parser that is none, and a source that no configuration could name: exit code 2, the names that there are, and no store made."""
    log = tmp_path / "fw.log"
    log.write_text(LINES[0] + "\n", encoding="utf-8")
    for words, told in (
        (("--product", "fortigate"), "fortinet_fortigate"),
        (("--source", "Tường lửa"), "lower-case letters"),
        (("--source", "../x"), "no name of a source"),
    ):
        done = soc("ingest", "file", str(log), *words, "--store", str(tmp_path / "s"))
        assert (done.code, told in done.err) == (2, True), done.err
    assert not (tmp_path / "s").exists()


def test_an_empty_place_is_not_the_current_folder(soc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--store "$UNSET"` must not make a store of the folder that one stands in."""
    monkeypatch.chdir(tmp_path)
    for words in (("--store", "", "alerts", "list"), ("alerts", "list", "--store", ""), ("--config", "", "alerts", "list")):
        done = soc(*words)
        assert (done.code, "it is empty" in done.err) == (2, True), done.err
    assert not [one for one in tmp_path.iterdir() if one.suffix == ".db"]
