from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from soc.rules.values import LOCAL_ZONE, use_zone
from tests.cli.conftest import Run

RULES = """\
title: Failed
name: failed
id: 11111111-0000-4000-8000-000000000001
logsource: {category: authentication}
detection: {sel: {event: failed}, condition: sel}
level: low
---
title: Burst
id: 11111111-0000-4000-8000-000000000002
level: high
correlation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 60s, condition: {gte: 3}}
---
title: At night
id: 11111111-0000-4000-8000-000000000003
logsource: {category: authentication}
detection: {sel: {"@timestamp|hour": 1}, condition: sel}
"""
START = 1_795_132_800


def line(second: float, **fields: Any) -> str:
    """An event at a second after 2026-11-20T00:00:00Z."""
    return json.dumps({"@timestamp": f"2026-11-20T00:{int(second) // 60:02}:{second % 60:09.6f}Z", **fields})


@pytest.fixture(autouse=True)
def _zone_again() -> Any:
    """Other tests tell times in the usual zone."""
    yield
    use_zone(LOCAL_ZONE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of rules."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "r.yml").write_text(RULES, encoding="utf-8")
    return tmp_path / "rules"


def events(tmp_path: Path, *lines: str) -> str:
    """A file of events."""
    path = tmp_path / "events.ndjson"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_eval_prints_one_line_an_alert(soc: Run, folder: Path, tmp_path: Path) -> None:
    """Members of a correlation are silent; keys, order and times are as documented; nested and dotted fields are the same."""
    file = events(
        tmp_path,
        line(20, event="failed", user={"name": "bob"}),
        line(0, event="failed", **{"user.name": "bob"}),
        line(3600 - 1, event="other"),
        line(10, event="failed", user={"name": "bob"}),
    )
    done = soc("rules", "eval", "--rules", str(folder), "--events", file, "--tz", "Asia/Ho_Chi_Minh")
    assert (done.code, done.err) == (0, "")
    (alert,) = map(json.loads, done.out.splitlines())
    assert list(alert) == ["rule_id", "rule", "level", "events", "group", "window", "late", "explanation"]
    assert alert["rule_id"] == "11111111-0000-4000-8000-000000000002"
    assert (alert["rule"], alert["level"], alert["late"]) == ("Burst", "high", False)
    assert alert["events"] == [1, 2, 4]
    assert alert["group"] == {"user.name": "bob"}
    assert alert["window"] == {"start": "2026-11-19T23:59:20.000Z", "end": "2026-11-20T00:00:20.000Z"}
    assert [one["event"] for one in alert["explanation"]["members"]] == [2, 4, 1]


def test_eval_of_a_detection(soc: Run, folder: Path, tmp_path: Path) -> None:
    """A rule without level is informational; the zone decides what hour it is; there is no group and no window."""
    file = events(tmp_path, line(0, event="x"), line(1, event="y"))
    assert soc("rules", "eval", "--rules", str(folder), "--events", file).out == ""
    done = soc("rules", "eval", "--rules", str(folder), "--events", file, "--tz", "Europe/Paris")
    first, second = map(json.loads, done.out.splitlines())
    assert (first["events"], second["events"]) == ([1], [2])
    assert list(first) == ["rule_id", "rule", "level", "events", "late", "explanation"]
    assert first["level"] == "informational"
    assert first["explanation"]["node"] == "field"


def test_eval_in_other_orders_gives_the_same_lines(soc: Run, folder: Path, tmp_path: Path) -> None:
    """t = 200, 0, 100 does not fire within 60 s."""
    file = events(tmp_path, *(line(second, event="failed", user={"name": "a"}) for second in (200, 0, 100)))
    assert soc("rules", "eval", "--rules", str(folder), "--events", file).out == ""


def test_a_bad_rule_does_not_stop_the_others(soc: Run, folder: Path, tmp_path: Path) -> None:
    """`path:line: reason` on stderr, exit code 1, alerts of the rest."""
    bad = folder / "bad.yml"
    bad.write_text("title: bad\nlogsource: {category: x}\ndetection:\n    sel:\n        a|near: 1\n    condition: sel\n", encoding="utf-8")
    file = events(tmp_path, *(line(second, event="failed", user={"name": "a"}) for second in (0, 1, 2)))
    done = soc("rules", "eval", "--rules", str(folder), "--events", file)
    assert done.code == 1
    assert done.err.startswith(f"{bad}:5: unknown modifier 'near'")
    assert json.loads(done.out)["events"] == [1, 2, 3]


def test_lines_that_are_no_events_are_told(soc: Run, folder: Path, tmp_path: Path) -> None:
    """File and line on stderr, exit code 1; blank lines count as lines and are nothing else."""
    file = events(tmp_path, "", "[1]", "{", line(0, event="failed", user={"name": "\ud800"}), "{" * 5_000, '{"a":' * 1_000 + "1" + "}" * 1_000)
    done = soc("rules", "eval", "--rules", str(folder), "--events", file)
    assert done.code == 1
    assert [error.split(":")[1] for error in done.err.splitlines()] == ["2", "3", "5", "6"]


def test_a_finite_lateness_drops_and_counts(soc: Run, folder: Path, tmp_path: Path) -> None:
    """What is later than the lateness makes no alert of any kind and is counted; within it nothing is dropped."""
    file = events(tmp_path, *(line(second, event="failed", user={"name": "a"}) for second in (0, 40, 9, 10)))
    done = soc("rules", "eval", "--rules", str(folder), "--events", file, "--lateness", "30")
    assert json.loads(done.out)["events"] == [1, 2, 4]
    assert done.err == "1 event came later than 30 s and was dropped\n"
    assert done.code == 0
    done = soc("rules", "eval", "--rules", str(folder), "--events", file, "--lateness", "31")
    assert json.loads(done.out)["events"] == [1, 2, 3, 4]
    assert done.err == ""
    night = [f'{{"@timestamp": "2026-11-19T18:{minute}:00Z"}}' for minute in (10, 30, 29)]
    done = soc("rules", "eval", "--rules", str(folder), "--events", events(tmp_path, *night), "--lateness", "30s")
    assert [json.loads(one)["events"] for one in done.out.splitlines()] == [[1], [2]]
    assert done.err == "1 event came later than 30 s and was dropped\n"


@pytest.mark.parametrize("words", [["eval"], ["lint"], ["list"]])
def test_a_folder_without_rules_is_said_so(soc: Run, tmp_path: Path, words: list[str]) -> None:
    """A mistyped path must not look like rules that never match."""
    empty = tmp_path / "none"
    empty.mkdir()
    (empty / "rule.yaml.bak").write_text("title: x\n")
    more = ["--events", events(tmp_path, line(0))] if words == ["eval"] else []
    done = soc("rules", *words, "--rules", str(empty), *more)
    assert (done.code, done.err) == (0, f"{empty} holds no rule; rules are files *.yml\n")


def test_the_time_may_stand_in_another_field(soc: Run, folder: Path, tmp_path: Path) -> None:
    """--time-field; seconds since 1970 are a time; events without one are counted."""
    lines = [json.dumps({"event": "failed", "user": {"name": "a"}, "when": {"t": START + second}}) for second in (0, 1, 2)]
    file = events(tmp_path, *lines, json.dumps({"event": "failed", "user": {"name": "a"}}))
    done = soc("rules", "eval", "--rules", str(folder), "--events", file, "--time-field", "when.t")
    assert json.loads(done.out)["events"] == [1, 2, 3]
    assert done.err == "1 events have no readable time in when.t; correlations left them out\n"


def test_until_judges_silence(soc: Run, tmp_path: Path) -> None:
    """`eq: 0` fires by time; events after --until are left out."""
    rules = tmp_path / "r.yml"
    rules.write_text(RULES.replace("gte: 3", "eq: 0"), encoding="utf-8")
    file = events(tmp_path, line(0, event="failed", user={"name": "a"}), line(300, event="failed", user={"name": "a"}))
    done = soc("rules", "eval", "--rules", str(rules), "--events", file, "--until", "2026-11-20T07:01:00+07:00")
    assert done.out == ""
    done = soc("rules", "eval", "--rules", str(rules), "--events", file, "--until", "2026-11-20T00:10:00Z")
    assert [json.loads(text)["window"]["end"] for text in done.out.splitlines()] == ["2026-11-20T00:01:00.000001Z", "2026-11-20T00:06:00.000001Z"]


def test_the_ecs_pipeline_maps_and_routes(soc: Run, tmp_path: Path) -> None:
    """Fields of the log source are mapped, also those of a correlation; events of other log sources are not asked."""
    rules = tmp_path / "r.yml"
    rules.write_text(
        "title: Denied\nname: denied\nlogsource: {category: firewall}\ndetection: {sel: {dst_port: 22}, condition: sel}\n---\ntitle: Many\nid: many\n"
        "correlation: {type: event_count, rules: [denied], group-by: [src_ip], timespan: 1m, condition: {gte: 2}}\n",
        encoding="utf-8",
    )
    event = {
        "soc": {"kind": "firewall"},
        "event": {"module": "fortinet"},
        "fortinet": {"firewall": {"type": "traffic"}},
        "source": {"ip": "10.1.1.1"},
        "destination": {"port": 22},
    }
    file = events(tmp_path, line(0, **event), line(1, **event), line(2, **{**event, "soc": {"kind": "mail"}, "event": {"module": "postfix"}}))
    done = soc("rules", "eval", "--rules", str(rules), "--events", file, "--pipeline", "ecs")
    (alert,) = map(json.loads, done.out.splitlines())
    assert (alert["rule_id"], alert["events"], alert["group"]) == ("many", [1, 2], {"src_ip": "10.1.1.1"})
    assert soc("rules", "eval", "--rules", str(rules), "--events", file).out == ""


def test_filters_are_told_in_the_explanation(soc: Run, folder: Path, tmp_path: Path) -> None:
    """An alert says which filters its rule was under; a filter that covers nothing is noted."""
    (folder / "f.yml").write_text(
        "title: No test users\nid: f1\nlogsource: {category: authentication}\n"
        "filter: {rules: [11111111-0000-4000-8000-000000000003], sel: {user: test}, condition: not sel}\n---\n"
        "title: Other\nid: f2\nlogsource: {category: dns}\nfilter: {rules: [failed], sel: {user: test}, condition: not sel}\n",
        encoding="utf-8",
    )
    file = events(tmp_path, line(0, user="test"), line(0, user="bob"))
    done = soc("rules", "eval", "--rules", str(folder), "--events", file, "--tz", "Europe/Paris")
    (alert,) = map(json.loads, done.out.splitlines())
    assert alert["events"] == [2]
    assert [one["id"] for one in alert["explanation"]["filters"]] == ["f1"]
    assert "does not change that rule" in done.err
    assert done.code == 0


def test_events_from_standard_input(soc: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--events -`."""
    text = "\n".join(line(second, event="failed", user={"name": "a"}) for second in (0, 1, 2)).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    done = soc("rules", "eval", "--rules", str(folder), "--events", "-")
    assert json.loads(done.out)["events"] == [1, 2, 3]


@pytest.mark.parametrize(
    "words",
    [
        ("--lateness", "soon"),
        ("--lateness", "-1"),
        ("--until", "tomorrow"),
        ("--tz", "Mars/Base"),
        ("--tz", "../etc/passwd"),
    ],
)
def test_words_that_are_wrong(soc: Run, folder: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Exit code 2, and nothing on stdout."""
    done = soc("rules", "eval", "--rules", str(folder), "--events", events(tmp_path, line(0)), *words)
    assert (done.code, done.out) == (2, "")


def test_files_that_are_not_there(soc: Run, folder: Path, tmp_path: Path) -> None:
    """Exit code 2."""
    assert soc("rules", "eval", "--rules", str(tmp_path / "nowhere"), "--events", "-").code == 2
    assert soc("rules", "eval", "--rules", str(folder), "--events", str(tmp_path / "nothing")).code == 2


def test_list_lint_test_and_explain(soc: Run, folder: Path, tmp_path: Path) -> None:
    """The other commands see correlations, too, and say yes or no by their exit code."""
    listed = json.loads(soc("rules", "list", "--rules", str(folder), "--json").out)
    assert [item["kind"] for item in listed["items"]] == ["detection", "event_count", "detection"]
    assert soc("rules", "lint", "--rules", str(folder)).code == 1
    (folder / "r.test.yml").write_text("- {name: one, events: [{event: failed}], expect: {alerts: 1}}\n", encoding="utf-8")
    assert soc("rules", "test", str(folder)).code == 1
    event = tmp_path / "event.json"
    event.write_bytes(orjson.dumps({"event": "failed"}))
    done = soc("rules", "explain", "11111111-0000-4000-8000-000000000001", "--rules", str(folder), "--event", str(event), "--pipeline", "none")
    assert done.code == 0
    assert "✔ event equals failed" in done.out
    event.write_bytes(orjson.dumps({"event": "ok"}))
    done = soc("rules", "explain", "failed", "--rules", str(folder), "--event", str(event), "--pipeline", "none", "--json")
    assert (done.code, json.loads(done.out)["matched"]) == (1, False)
    assert soc("rules", "explain", "nobody", "--rules", str(folder), "--event", str(event)).code == 1
    assert soc("rules", "explain", "11111111-0000-4000-8000-000000000002", "--rules", str(folder), "--event", str(event)).code == 1


def test_the_shipped_rules_pass_their_own_commands(soc: Run) -> None:
    """Listed without complaint."""
    done = soc("rules", "list", "--jsonl")
    assert done.code == 0
    assert len(done.out.splitlines()) > 50


def test_mutation_scores_name_what_tests_do_not_notice(folder: Path, soc: Run) -> None:
    """Each rule with its share and its survivors; `--at-least` makes a weak one an error."""
    (folder / "r.test.yml").write_text(
        "- {name: n, base: {soc.kind: auth, event: failed, user.name: an}, events: {repeat: 3, every: 1s}, expect: {alerts: 1}, rule: 11111111-0000-4000-8000-000000000002}\n",
        encoding="utf-8",
    )
    done = soc("rules", "test", str(folder), "--mutate", "--json")
    items = {item["rule"]: item for item in json.loads(done.out)["items"]}
    assert 0 < items["11111111-0000-4000-8000-000000000002"]["score"] < 1
    assert "a longer timespan" in items["11111111-0000-4000-8000-000000000002"]["survivors"]
    assert items["11111111-0000-4000-8000-000000000003"]["reason"]
    assert soc("rules", "test", "net_firewall_admin_locked", "--mutate", "--at-least", "0.1").code == 0
    assert soc("rules", "test", "net_firewall_admin_locked", "--mutate", "--at-least", "1").code == 1


HOURS = """\
title: At night
id: 33333333-0000-4000-8000-000000000001
logsource: {category: firewall}
detection: {sel: {'@timestamp|hour': 23}, condition: sel}
level: medium
"""
HOUR_CASES = """\
- {name: of the settings, events: [{'@timestamp': '2026-11-20T22:30:00Z', soc.kind: firewall}], expect: {alerts: ALERTS}}
- {name: without a zone, events: [{'@timestamp': '2026-11-20T23:30:00', soc.kind: firewall}], expect: {alerts: 1}}
- {name: of its own, tz: Asia/Tokyo, events: [{'@timestamp': '2026-11-20T14:30:00Z', soc.kind: firewall}], expect: {alerts: 1}}
"""


def test_rules_are_tested_in_the_zone_of_the_settings(soc: Run, tmp_path: Path) -> None:
    """In `rules.timezone`, else `timezone`, unless `--tz` or the case names another; a zone that there is not is refused."""
    rules = tmp_path / "r"
    rules.mkdir()
    (rules / "night.yml").write_text(HOURS, encoding="utf-8")
    cases = rules / "night.test.yml"
    settings = tmp_path / "soc.toml"
    for text, words, alerts in (
        ('timezone = "Europe/Paris"\n', (), 1),
        ('timezone = "Asia/Tokyo"\n[rules]\ntimezone = "Europe/Paris"\n', (), 1),
        ('timezone = "Europe/Paris"\n[rules]\ntimezone = "Asia/Tokyo"\n', (), 0),
        ('timezone = "Asia/Tokyo"\n', ("--tz", "Europe/Paris"), 1),
        ("", (), 0),
    ):
        settings.write_text(text, encoding="utf-8")
        cases.write_text(HOUR_CASES.replace("ALERTS", str(alerts)), encoding="utf-8")
        done = soc("rules", "test", str(rules), "--config", str(settings), *words)
        assert done.code == 0, done.out
        cases.write_text(HOUR_CASES.replace("ALERTS", str(1 - alerts)), encoding="utf-8")
        assert soc("rules", "test", str(rules), "--config", str(settings), *words).code == 1
    noticed = [
        json.loads(soc("rules", "test", str(rules), "--mutate", "--tz", zone, "--json").out)["items"][0]["killed"] for zone in ("Europe/Paris", "Asia/Tokyo")
    ]
    assert noticed == [1, 2]  # in Tokyo one event is no match, and a rule that always matches is another
    cases.write_text(HOUR_CASES.replace("Asia/Tokyo", "Mars/Base"), encoding="utf-8")
    assert "Mars/Base" in soc("rules", "test", str(rules)).out
    assert soc("rules", "test", str(rules), "--tz", "Mars/Base").code == 2


def test_the_shipped_cases_hold_in_any_zone(soc: Run) -> None:
    """Cases of rules that tell hours name their zone."""
    done = soc("rules", "test", "net_firewall_vpn_login_night", "net_firewall_config_changed_at_night", "net_exfiltration_night", "--tz", "Pacific/Auckland")
    assert done.code == 0, done.out


def test_rules_are_tested_by_name(soc: Run) -> None:
    """An id, a name or a file name is as good as a path; what is none is said."""
    done = soc("rules", "test", "net_firewall_admin_locked", "--json")
    assert {item["case"] for item in json.loads(done.out)["items"]} == {"the login is locked", "one wrong password"}
    assert soc("rules", "test", "no such rule").code != 0


def test_coverage_counts_techniques_of_shipped_rules(soc: Run, tmp_path: Path) -> None:
    """Tactics for people, techniques for programs, a layer for the Navigator."""
    layer = tmp_path / "layer.json"
    done = soc("rules", "coverage", "--json", "--navigator", str(layer))
    assert done.code == 0
    found = json.loads(done.out)
    assert found["kind"] == "rule-coverage"
    assert len(found["tactics"]) == 15
    assert found["unknown"] == {}
    assert {item["id"] for item in found["items"] if item["rules"]} == {
        cell["techniqueID"] for cell in json.loads(layer.read_text())["techniques"] if cell["score"]
    }
    assert soc("rules", "coverage").out.startswith("Id\tTactic")
    assert soc("rules", "coverage", "--techniques").out.startswith("Technique\tName")
    assert soc("rules", "coverage", "--navigator", str(tmp_path / "no" / "where")).code != 0


def test_lint_speaks_of_correlations(soc: Run, folder: Path) -> None:
    """A correlation is reviewed like any rule."""
    found = json.loads(soc("rules", "lint", "--rules", str(folder), "--json").out)["items"]
    assert {item["name"] for item in found if item["rule"] == "11111111-0000-4000-8000-000000000002"} >= {"no-references", "no-attack-tags"}


def test_import_is_a_dry_run_until_it_is_told(soc: Run, tmp_path: Path) -> None:
    """The summary names verdicts, reasons and fields; --yes copies; JSON has every rule."""
    source, target = tmp_path / "sigma", tmp_path / "own"
    source.mkdir()
    (source / "good.yml").write_text(
        "title: good\nid: 22222222-0000-4000-8000-000000000001\nlogsource: {category: firewall}\ndetection: {sel: {action: deny}, condition: sel}\n",
        encoding="utf-8",
    )
    (source / "win.yml").write_text(
        "title: win\nid: 22222222-0000-4000-8000-000000000002\nlogsource: {product: windows}\ndetection: {sel: {EventID: 1}, condition: sel}\n",
        encoding="utf-8",
    )
    done = soc("rules", "import", str(source), "--to", str(target))
    assert done.code == 0
    assert "no source gives events of product: windows" in done.out
    assert "EventID" in done.out
    assert "2 rules: 1 ready, 1 can never match here" in done.err
    assert not target.exists()
    found = json.loads(soc("rules", "import", str(source), "--to", str(target), "--yes", "--json").out)
    assert found["counts"] == {"ready": 1, "never": 1, "duplicate": 0, "refused": 0}
    assert {item["title"]: item["verdict"] for item in found["items"]} == {"good": "ready", "win": "never"}
    assert "text" not in found["items"][0]
    assert (target / "good.yml").exists()
    assert not (target / "win.yml").exists()
    assert soc("rules", "import", str(source / "win.yml"), "--to", str(target)).code == 1


def test_diff_of_two_folders_and_of_their_alerts(soc: Run, folder: Path, tmp_path: Path) -> None:
    """Changes beside words give exit code 1; the shipped rules are those in force here."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "r.yml").write_text(RULES.replace("gte: 3", "gte: 2"), encoding="utf-8")
    file = events(tmp_path, *(line(second, event="failed", user={"name": "a"}) for second in (0, 1)))
    done = soc("rules", "diff", str(folder), str(other), "--events", file, "--pipeline", "none")
    assert done.code == 1
    assert "condition: gte 3 → gte 2" in done.out
    assert "Burst: 0 alerts on both sides, 0 only before, 1 only after" in done.out
    found = json.loads(soc("rules", "diff", str(folder), str(other), "--events", file, "--pipeline", "none", "--json").out)
    assert found["items"][0]["facts"] == {"condition": ["gte 3", "gte 2"]}
    assert found["alerts"][0]["after_only"] == [[1, 2]]
    assert soc("rules", "diff", str(folder), str(folder)).code == 0
    assert soc("rules", "diff", "shipped", "live").code == 0
    assert soc("rules", "diff", "shipped", "no such thing").code != 0
    assert soc("rules", "diff", str(folder), str(folder), "--events", str(tmp_path / "none")).code != 0


def test_diff_of_alerts_on_stored_events(soc: Run, folder: Path, tmp_path: Path) -> None:
    """The alerts that a change would make on what is in the store."""
    store = str(tmp_path / "store")
    assert soc("demo", "--folder", store, "--no-input").code == 0
    rule = "title: {title}\nid: 33333333-0000-4000-8000-000000000001\nlogsource: {{category: firewall}}\ndetection: {{sel: {{event.module: {value}}}, condition: sel}}\nlevel: low\n"
    for name, value in (("a", "nothing"), ("b", "fortinet")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "r.yml").write_text(rule.format(title="Denied", value=value), encoding="utf-8")
    found = json.loads(soc("rules", "diff", str(tmp_path / "a"), str(tmp_path / "b"), "--since", "2020-01-01", "--json", "--store", store).out)
    assert len(found["alerts"]) == 1
    assert found["alerts"][0]["after_only"]
    assert found["alerts"][0]["before_only"] == []


def test_explain_of_a_correlation(soc: Run, folder: Path, tmp_path: Path) -> None:
    """Over all events of the file: what counted, the window that came nearest, what did not count and why."""
    file = events(tmp_path, *(line(second, event="failed", user={"name": "bob"}) for second in (0, 10)), line(20, event="failed"))
    words = ("rules", "explain", "11111111-0000-4000-8000-000000000002", "--rules", str(folder), "--events", file, "--pipeline", "none")
    done = soc(*words)
    assert done.code == 1
    assert "event_count of gte 3 within 1 minute by user.name" in done.out
    assert "Failed: 3 matched, 2 count" in done.out
    assert "without a field of the group: events 3" in done.out
    assert "✖ user.name=bob: nearest window" in done.out
    found = json.loads(soc(*words, "--json").out)
    assert (found["matched"], found["explanation"]["groups"][0]["measure"]) == (False, "2")
    (tmp_path / "events.ndjson").write_text("no event\n", encoding="utf-8")
    assert soc(*words).code != 0


def test_coverage_of_what_is_live(soc: Run, tmp_path: Path) -> None:
    """A rule that was switched off in the store covers nothing."""
    store = str(tmp_path / "store")
    assert soc("demo", "--folder", store, "--no-input").code == 0
    before = json.loads(soc("rules", "coverage", "--live", "--json", "--store", store).out)["items"]
    assert soc("rules", "disable", "net_firewall_web_log4shell", "--reason", "noise", "--store", store).code == 0
    after = json.loads(soc("rules", "coverage", "--live", "--json", "--store", store).out)["items"]
    assert sum(len(item["rules"]) for item in after) < sum(len(item["rules"]) for item in before)
    assert "disabled" in {why for item in after for why in item["idle"].values()}


def test_list_names_filters_and_the_rules_that_they_change(soc: Run, folder: Path) -> None:
    """A filter stands among the rules."""
    text = "title: Not bob\nid: 11111111-0000-4000-8000-000000000004\nlogsource: {category: authentication}\nfilter: {rules: [failed], sel: {user.name: bob}, condition: not sel}\n"
    (folder / "f.yml").write_text(text, encoding="utf-8")
    items = json.loads(soc("rules", "list", "--rules", str(folder), "--json").out)["items"]
    (found,) = (item for item in items if item["kind"] == "filter")
    assert (found["title"], found["rules"]) == ("Not bob", ["11111111-0000-4000-8000-000000000001"])
