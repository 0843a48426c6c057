"""The life of rules at the command line: exceptions, shadows, verdicts, reload, sets of former times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from soc.clock import SystemClock, from_iso
from tests.cli.conftest import Done, Run

ID = "44444444-0000-4000-8000-000000000001"
RULE = f"""\
title: Signature of an attack
id: {ID}
name: attack
logsource: {{category: firewall}}
detection: {{sel: {{fortinet.firewall.action: detected}}, condition: sel}}
level: medium
"""
LINE = (
    'date=2026-11-21 time=08:2{0}:00 devname="FG" devid="FG1" eventtime=17952245{0}0000000000 tz="+0700" logid="0419016384" type="utm" subtype="ips" '
    'eventtype="signature" level="alert" severity="critical" srcip=203.0.113.{0} dstip=10.0.0.5 srcport=4000 dstport=443 sessionid={0} action="detected" '
    'proto=6 service="HTTPS" attack="Some.Attack" attackid=1 msg="m"'
)


class Desk:
    """A configuration with own rules only, and commands on it."""

    def __init__(self, soc: Run, tmp_path: Path) -> None:
        self.rules = tmp_path / "rules"
        self.rules.mkdir()
        self.config = tmp_path / "soc.toml"
        self.config.write_text(f'data_dir = "{tmp_path}/data"\n[rules]\nshipped = false\ndirectories = ["{self.rules}"]\n')
        self._soc = soc
        self._folder = tmp_path
        self._read = 0

    def __call__(self, *words: str) -> Done:
        return self._soc("--config", str(self.config), *words)

    def items(self, *words: str) -> list[dict[str, Any]]:
        """The items of a list."""
        done = self(*words, "--json")
        assert done.code in (0, 1), done
        found: list[dict[str, Any]] = json.loads(done.out)["items"]
        return found

    def ingest(self, *numbers: int) -> None:
        """Bring lines of these numbers in."""
        self._ingest("".join(LINE.format(number) + "\n" for number in numbers))

    def ingest_at(self, number: int, *, minute: int) -> None:
        """Bring one line in that happened later, in this minute past nine."""
        line = LINE.format(number).replace(f"eventtime=17952245{number}0000000000", f"eventtime={1795226400 + minute * 60}000000000")
        self._ingest(line.replace(f"sessionid={number}", f"sessionid=9{minute}") + "\n")

    def _ingest(self, text: str) -> None:
        self._read += 1
        path = self._folder / f"{self._read}.log"
        path.write_text(text)
        assert self("ingest", "file", str(path), "--source", "fw").code == 0


@pytest.fixture(autouse=True)
def that_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the day of the lines, eleven in the morning; from then on time goes by as it does."""
    clock = SystemClock()
    begun = clock.monotonic()
    monkeypatch.setattr(SystemClock, "now_us", lambda _self: from_iso("2026-11-21T04:00:00Z") + round((clock.monotonic() - begun) * 1e6))


@pytest.fixture
def desk(soc: Run, tmp_path: Path) -> Desk:
    """One rule, three alerts."""
    found = Desk(soc, tmp_path)
    (found.rules / "attack.yml").write_text(RULE)
    found.ingest(1, 2, 3)
    return found


def alerts(desk: Desk, *more: str) -> list[str]:
    """The source addresses of alerts, sorted."""
    return sorted(item["from"].split(":")[0] for item in desk.items("alerts", "list", "--each", *more))


def test_an_exception_is_previewed_written_and_counted(desk: Desk) -> None:
    """Without --yes nothing is written; afterwards what it covers is let pass and counted, and the list says so."""
    words = ("rules", "except", "add", "attack", "--where", "source.ip: 203.0.113.2", "--owner", "an", "--expires", "2099-01-31", "--reason", "our scanner")
    plan = desk(*words)
    assert plan.code == 0
    assert "hidden 1 of 3" in plan.err
    assert not (desk.rules / "exceptions").exists()
    done = desk(*words, "--yes", "--json")
    assert done.code == 0
    made = json.loads(done.out)
    assert (made["written"], made["told"], made["hidden"], made["expires"]) == (True, 3, 1, "2099-01-31T17:00:00.000Z")
    assert Path(made["path"]).parent == desk.rules / "exceptions"
    assert desk(*words, "--yes").code == 6
    desk.ingest(2, 4, 5)  # 2 again from another file is another record
    assert alerts(desk) == ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4", "203.0.113.5"]
    (listed,) = desk.items("rules", "except", "list")
    assert (listed["owner"], listed["reason"], listed["state"], listed["hits"], listed["rules"]) == ("an", "our scanner", "in force", 1, [ID])
    (stats,) = desk.items("rules", "stats")
    assert (stats["alerts"], stats["excepted"]) == (5, 1)


def test_an_exception_to_a_rule_without_alerts_is_counted_by_what_it_tells(desk: Desk) -> None:
    """Three attacks on one host make one alert of a correlation; without one of them there is none, and the plan says so."""
    text = "title: Many\nid: 44444444-0000-4000-8000-000000000002\nlevel: high\n"
    rule = "correlation: {type: event_count, rules: [attack], group-by: [destination.ip], timespan: 1h, condition: {gte: 3}}\n"
    (desk.rules / "many.yml").write_text(text + rule)
    words = ("rules", "except", "add", "attack", "--owner", "an", "--expires", "30d", "--reason", "our scanner", "--where")
    plan = desk(*words, "source.ip: 203.0.113.2")
    assert "counted are those of: Many" in plan.err
    assert "hidden 1 of 1" in plan.err
    assert "Many: destination.ip=10.0.0.5" in plan.err
    other = json.loads(desk(*words, "source.ip: 203.0.113.7", "--json").out)
    assert (other["told"], other["hidden"], other["through"], other["examples"]) == (1, 0, ["44444444-0000-4000-8000-000000000002"], [])


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"--where": "nothing"}, 2, "names no fields"),
        ({"--where": "source.ip|cidr: 1.2.3.4.5/99"}, 2, "no exception"),
        ({"--expires": "some day"}, 2, "no exception"),
        ({"--owner": " "}, 2, "--owner"),
    ],
)
def test_an_exception_that_says_nothing_is_refused(desk: Desk, change: dict[str, str], code: int, said: str) -> None:
    """Fields, end and owner are read before anything is written."""
    options = {"--where": "source.ip: 1.2.3.4", "--owner": "an", "--expires": "30d", "--reason": "r"} | change
    done = desk("rules", "except", "add", "attack", "--yes", *(word for pair in options.items() for word in pair))
    assert (done.code, said in done.err) == (code, True)
    assert not (desk.rules / "exceptions").exists()


def test_explain_names_the_exception_that_covers_an_event(desk: Desk, tmp_path: Path) -> None:
    """A rule whose condition holds does not match an event that an exception lets pass, and the answer says which."""
    words = ("--where", "source.ip: 203.0.113.2", "--owner", "an", "--expires", "never", "--reason", "our scanner", "--yes")
    assert desk("rules", "except", "add", "attack", *words).code == 0
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"fortinet.firewall.action": "detected", "source.ip": "203.0.113.2", "soc.kind": "firewall"}))
    done = desk("rules", "explain", "attack", "--event", str(event))
    assert done.code == 1
    assert "our scanner" in done.out
    found = json.loads(desk("rules", "explain", "attack", "--event", str(event), "--json").out)
    assert (found["matched"], found["explanation"]["exceptions"][0]["covers"]) == (False, True)


def test_a_shadow_runs_apart_is_compared_and_promoted(desk: Desk) -> None:
    """The narrower draft of a live rule: its alerts are in no list, are compared by event, and after promotion it alerts under the old id."""
    draft = RULE.replace("{fortinet.firewall.action: detected}", "{fortinet.firewall.action: detected, source.ip: 203.0.113.5}").replace(
        "level: medium", "level: high"
    )
    (desk.rules / "draft.yml").write_text(draft + "soc: {shadow: true}\n")
    desk.ingest(4, 5)
    assert alerts(desk) == [f"203.0.113.{n}" for n in (1, 2, 3, 4, 5)]
    assert alerts(desk, "--shadow") == ["203.0.113.5"]
    assert alerts(desk, "--shadow", "--scope", "all") == ["203.0.113.5"]
    assert len(alerts(desk, "--scope", "all")) == 5
    (noted,) = desk.items("alerts", "list", "--shadow")
    assert noted["rule"]["id"] == f"{ID}.shadow"
    assert "beside the live ones" in desk("alerts", "why", noted["id"]).out
    done = desk("rules", "compare", "attack", "--since", "2026-11-20", "--json")
    found = json.loads(done.out)
    assert done.code == 1
    assert (found["live"]["id"], found["both"], found["only_old"], found["only_new"]) == (ID, 1, 4, 0)
    assert {one["where"] for one in found["examples"]} == {"old", "both"}
    promoted = desk("rules", "promote", "attack", "--reason", "it is quieter", "--json")
    assert promoted.code == 0
    desk.ingest(5, 6)
    desk.ingest(7)
    assert alerts(desk) == [f"203.0.113.{n}" for n in (1, 2, 3, 4, 5, 5)]
    (listed,) = desk.items("rules", "list")
    assert (listed["id"], listed["level"], Path(listed["path"]).name) == (ID, "high", "draft.yml")
    changed = desk.items("rules", "history")[0]
    assert (changed["removed"], changed["changed"]) == ([f"{ID}.shadow"], [ID])


def test_a_live_rule_can_be_made_a_shadow(desk: Desk) -> None:
    """It goes on apart; promoting it brings it back; a reason is asked for."""
    assert desk("rules", "shadow", "attack").code == 2
    assert json.loads(desk("rules", "shadow", "attack", "--reason", "too loud", "--json").out)["state"] == "shadow"
    assert desk("rules", "shadow", "attack", "--reason", "again").code == 6
    desk.ingest(4)
    assert "203.0.113.4" not in alerts(desk)
    assert alerts(desk, "--shadow") == ["203.0.113.4"]
    assert desk("rules", "promote", "attack").code == 0
    desk.ingest(5)
    assert "203.0.113.5" in alerts(desk)


def test_verdicts_give_the_rate_of_false_positives(desk: Desk) -> None:
    """The last word on an alert or group counts; duplicates and tests say nothing; the list of rules has the figures."""
    ids = [item["id"] for item in desk.items("alerts", "list", "--each")]
    group = desk.items("alerts", "list")[0]["id"]
    assert desk("alerts", "verdict", ids[0][:12], ids[1], "true-positive").code == 0
    assert desk("alerts", "verdict", ids[0], "false-positive", "--note", "our scanner").code == 0
    assert desk("alerts", "verdict", ids[2], "duplicate").code == 0
    done = desk("alerts", "verdict", group, "benign", "--json")
    assert [(fact["target"], fact["verdict"], fact["rule"]) for fact in json.loads(done.out)["items"]] == [(group, "benign", ID)]
    (stats,) = desk.items("rules", "stats")
    assert stats["verdicts"] == {"true-positive": 1, "false-positive": 1, "benign": 1, "duplicate": 1}
    assert stats["false_positive_rate"] == 0.3333
    (listed,) = desk.items("rules", "list")
    assert (listed["verdicts"], listed["false_positive_rate"]) == (stats["verdicts"], 0.3333)
    assert "false-positive" in desk("alerts", "why", ids[0]).out
    assert "our scanner" in desk("alerts", "why", ids[0]).out
    assert "benign" not in desk("alerts", "why", ids[1]).out
    assert desk("alerts", "verdict", ids[0], "nonsense").code == 2
    assert desk("alerts", "verdict", ids[0]).code == 2
    assert desk("alerts", "verdict", ids[0], "a-zzzz", "test").code == 1


def test_a_former_set_is_shown_written_out_and_replayed(desk: Desk, tmp_path: Path) -> None:
    """By the hash that history tells: its rule as it was written then, its files, and what it says of the stored lines."""
    first = desk.items("rules", "history")[0]["hash"]
    (desk.rules / "attack.yml").write_text(RULE.replace("detected", "blocked"))
    desk.ingest(4)
    second, old = desk.items("rules", "history")
    assert (old["hash"], second["before"], second["changed"]) == (first, first, [ID])
    assert "blocked" in desk("rules", "show", "attack").out
    assert desk("rules", "show", "attack", "--hash", first[:10]).out == RULE
    assert desk("rules", "show", "--hash", first, "--to", str(tmp_path / "then")).code == 0
    assert (tmp_path / "then" / "0" / "attack.yml").read_text() == RULE
    now = json.loads(desk("replay", "--json").out)
    assert (len(now["removed"]), len(now["added"])) == (3, 0)
    then = json.loads(desk("replay", "--rules-hash", first[:10], "--json").out)
    assert (then["rules_hash"], len(then["removed"]), len(then["added"])) == (first, 0, 1)
    history = json.loads(desk("replay", "--rules-hash", "recorded", "--json").out)
    assert (history["removed"], history["added"], history["changed"]) == ([], [], [])
    assert desk("rules", "show", "--hash", "ffff").code == 1


def test_reload_checks_and_tells_when_nobody_answers(desk: Desk) -> None:
    """What would change is named; with nothing running, that is said, and the exit code is 1."""
    (desk.rules / "new.yml").write_text(RULE.replace("000001", "000002").replace("name: attack\n", ""))
    done = desk("rules", "reload", "--check", "--json")
    assert (done.code, json.loads(done.out)["change"]["added"]) == (0, [ID.replace("000001", "000002")])
    done = desk("rules", "reload", "--wait", "0")
    assert (done.code, "No running pipeline" in done.err) == (1, True)


def test_the_zone_of_rules_is_that_of_the_settings_and_not_that_of_what_is_shown(soc: Run, tmp_path: Path) -> None:
    """`explain` tells hours as the pipeline does, `--tz` behind it in another zone, `--tz` before it only shows times; a zone that is none is refused."""
    desk = Desk(soc, tmp_path)
    (desk.rules / "a.yml").write_text(RULE.replace("fortinet.firewall.action: detected", '"@timestamp|hour": 1'))
    desk.config.write_text('timezone = "UTC"\n' + desk.config.read_text())
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"@timestamp": "2026-11-21T01:29:00Z"}))
    assert desk("rules", "explain", "attack", "--event", str(event)).code == 0
    assert desk("rules", "explain", "attack", "--event", str(event), "--tz", "Asia/Ho_Chi_Minh").code == 1
    desk.ingest(1)
    log = tmp_path / "again.log"
    log.write_text(LINE.format(2) + "\n")
    assert desk("--tz", "Asia/Tokyo", "ingest", "file", str(log), "--source", "fw", "--product", "fortinet_fortigate").code == 0
    assert len(desk.items("rules", "history")) == 1
    assert len(desk.items("alerts", "list", "--each")) == 2
    desk.config.write_text(desk.config.read_text().replace('"UTC"', '"Asia/Hanoi"'))
    done = desk("rules", "history")
    assert (done.code, "there is no such time zone" in done.err, "timezone" in done.err) == (3, True, True)
