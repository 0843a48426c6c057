"""What keeps a wrong rule from being a disaster, as users type it: backtest, disable, enable, storms, retract."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soc.application.app import Actor
from soc.application.rules_blind import blinded_by
from soc.application.rules_state import disabled_rules
from soc.bootstrap import open_app
from soc.clock import SystemClock, to_datetime
from soc.config_files import load
from soc.ingest.silence import silence_effects
from soc.ports import Gap
from tests.cli.conftest import Done, Run

BOTNET = "net_firewall_botnet_c2"
RULE = "53fd7880-aa1f-4232-a3bd-51bde6a69019"
CONFIG = """\
[store]
path = "{folder}/store"

[rules]
storm_per_hour = 5
enable_limit_per_day = 10
"""


_LINE = (
    'date={moment:%Y-%m-%d} time={moment:%H:%M:%S} devname="FGT-A" devid="FG100F0001" eventtime={at}000000000 tz="+0000" logid="0422016400" type="utm" '
    'subtype="ips" eventtype="botnet" level="warning" vd="root" severity="critical" srcip=10.1.1.5 srcport={port} dstip=203.0.113.66 dstport=4444 '
    'sessionid={number} proto=6 action="detected" attack="Mirai"'
)


class Contacts:
    """Lines of a firewall, all of one hour, which is the one before the test began."""

    def __init__(self) -> None:
        self._begin_s = SystemClock().now_us() // 1_000_000 // 3600 * 3600 - 1800

    def __call__(self, number: int) -> str:
        """A botnet contact of an inside host."""
        at = self._begin_s + number
        moment = to_datetime(at * 1_000_000)
        return _LINE.format(moment=moment, at=at, number=number, port=50000 + number)


@pytest.fixture
def line() -> Contacts:
    """The lines of the test."""
    return Contacts()


@pytest.fixture
def on(soc: Run, tmp_path: Path, line: Contacts) -> Callable[..., Done]:
    """Run a command on a store through which twelve botnet contacts went; a rule may make five alerts an hour."""
    log = tmp_path / "fw.log"
    log.write_text("\n".join(line(number) for number in range(12)) + "\n", encoding="utf-8")
    config = tmp_path / "soc.toml"
    config.write_text(CONFIG.format(folder=tmp_path), encoding="utf-8")
    assert soc("ingest", "file", str(log), "--source", "fw", "--product", "fortinet_fortigate", "--config", str(config)).code == 0
    return lambda *words: soc(*words, "--config", str(config))


def items(done: Done) -> list[dict[str, Any]]:
    """The items of a JSON list."""
    found: list[dict[str, Any]] = json.loads(done.out)["items"]
    return found


def test_a_storm_is_one_group_and_one_message(on: Callable[..., Done]) -> None:
    """Twelve alerts, five allowed: one group of five, one storm group of seven, one message about it; all twelve are stored."""
    groups = items(on("alerts", "list", "--rule", RULE, "--json"))
    assert sorted(group["count"] for group in groups) == [5, 7]
    [storm] = [group for group in groups if "storm" in group["key"]]
    assert "storm of alerts, 20" in on("alerts", "list", "--rule", RULE).out
    assert sum(alert["storm"] for alert in items(on("alerts", "list", "--each", "--rule", RULE, "--json"))) == 7
    [message] = [one for one in items(on("alerts", "list", "--rule", "soc-alert-storm", "--json")) if one["key"]["rule"] == RULE]
    assert message["count"] == 1
    assert storm["id"] in on("alerts", "get", message["last_alert"], "--json").out
    assert "Bão cảnh báo" in on("alerts", "list", "--rule", "soc-alert-storm", "--lang", "vi").out
    assert "rules.storm_per_hour" in on("alerts", "why", storm["id"]).out


def test_a_replay_of_the_log_raises_the_same_storm(on: Callable[..., Done]) -> None:
    """The same alerts in the same groups."""
    done = on("replay", "--diff", "--json")
    answer = json.loads(done.out)
    assert (done.code, answer["alerts_before"], answer["alerts_after"]) == (0, answer["alerts_after"], answer["alerts_before"])


CORRELATION = """\
title: Botnet contacts
name: botnet_contact
id: 00000000-0000-4000-8000-0000000000b1
logsource: {product: fortinet}
detection: {sel: {destination.port: 4444}, condition: sel}
level: low
---
title: Many botnet contacts
id: 00000000-0000-4000-8000-0000000000b2
correlation: {type: event_count, rules: [botnet_contact], group-by: [source.ip], timespan: 5s, condition: {gte: 4}}
level: high
"""


def test_replay_and_backtest_say_of_correlations_what_the_stream_said(on: Callable[..., Done], tmp_path: Path, line: Contacts) -> None:
    """A correlation over new lines: one alert in the stream, the same one in a replay, one in a backtest."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "many.yml").write_text(CORRELATION, encoding="utf-8")
    config = tmp_path / "soc.toml"
    config.write_text(config.read_text(encoding="utf-8").replace("[rules]\n", f'[rules]\nshipped = false\ndirectories = ["{folder}"]\n'), encoding="utf-8")
    log = tmp_path / "more.log"
    log.write_text("\n".join(line(number) for number in (100, 101, 102, 103, 104, 150, 160)) + "\n", encoding="utf-8")
    assert on("ingest", "file", str(log), "--source", "more", "--product", "fortinet_fortigate").code == 0
    live = items(on("alerts", "list", "--each", "--rule", "00000000-0000-4000-8000-0000000000b2", "--json"))
    assert [alert["rule"]["title"] for alert in live] == ["Many botnet contacts"]
    found = json.loads(on("rules", "backtest", "00000000-0000-4000-8000-0000000000b2", "--since", "2h", "--json").out)
    assert found["items"][-1]["ts"] == live[0]["ts"]
    replayed = json.loads(on("replay", "soc.source:more", "--json").out)
    assert live[0]["id"] not in {alert["id"] for alert in (*replayed["removed"], *replayed["added"], *replayed["changed"])}


def test_backtest_shows_figures_examples_and_the_storm(on: Callable[..., Done]) -> None:
    """By file name; numbers a day, the biggest group, the examples, how much was read."""
    done = on("rules", "backtest", BOTNET, "--limit", "2")
    assert done.code == 0
    assert "12 alerts, 12 a day; at most 12 in a day and 12 in an hour; 1 groups" in done.out
    assert "a storm: 7 alerts would stand in one storm group" in done.out
    assert "source.ip=10.1.1.5" in done.out
    assert "2 of 12 shown" in done.err
    assert "12 of 12 stored events read" in done.err
    answer = json.loads(on("rules", "backtest", RULE, "--json").out)
    assert (answer["kind"], answer["total"], answer["truncated"], len(answer["items"])) == ("backtest", 12, False, 12)
    assert answer["rules"][0]["in_storm"] == 7
    assert answer["items"][0]["explanation"]["matched"] is True


def test_a_folder_is_backtested_and_what_is_broken_is_told(on: Callable[..., Done], tmp_path: Path) -> None:
    """The good rule runs, the bad one is named, exit code 1; a folder without any rule is an error."""
    folder = tmp_path / "mine"
    folder.mkdir()
    assert on("rules", "backtest", str(folder)).code != 0
    rule = "title: Mirai\nid: 00000000-0000-4000-8000-0000000000aa\nlogsource: {product: fortinet}\ndetection: {sel: {destination.port: 4444}, condition: sel}\nlevel: low\n"
    (folder / "good.yml").write_text(rule, encoding="utf-8")
    (folder / "bad.yml").write_text("title: [", encoding="utf-8")
    done = on("rules", "backtest", str(folder), "--jsonl", "--limit", "0")
    assert done.code == 1
    assert "bad.yml" in done.err
    assert [json.loads(one)["title"] for one in done.out.splitlines()] == ["Mirai"] * 12


def test_a_rule_is_switched_off_and_the_guard_keeps_it_off(on: Callable[..., Done], tmp_path: Path) -> None:
    """Twelve alerts are more than ten: enable refuses with figures, exit code 1; `--yes` does it all the same."""
    off = on("rules", "disable", BOTNET, "--reason", "the address was given to a school", "--json")
    told = json.loads(off.out)
    assert (off.code, told["kind"], told["rule"], told["state"]) == (0, "rule-disable", RULE, "disabled")
    [listed] = [one for one in items(on("rules", "list", "--json")) if one["id"] == RULE]
    assert listed["state"] == "disabled"
    assert on("rules", "disable", BOTNET, "--reason", "again").code == 6
    refused = on("rules", "enable", BOTNET)
    assert refused.code == 1
    assert "12 alerts, 12 a day" in refused.out
    assert "stays off: 12 alerts a day are more than 10" in refused.err
    assert "--yes" in refused.err
    forced = on("rules", "enable", BOTNET, "--yes", "--reason", "wanted", "--json")
    assert (forced.code, json.loads(forced.out)["enabled"]) == (0, True)
    assert on("rules", "enable", BOTNET).code == 0
    settings = load(tmp_path / "soc.toml", {}, {})[0]
    with open_app(settings, Actor("test")) as app:
        assert disabled_rules(app.store) == frozenset()
        assert [fact["state"] for fact in app.store.facts("rule-state")] == ["disabled", "enabled"]


def test_a_disabled_rule_raises_nothing(on: Callable[..., Done], tmp_path: Path, line: Contacts) -> None:
    """The next lines make no alert of it."""
    assert on("rules", "disable", BOTNET, "--reason", "x").code == 0
    log = tmp_path / "more.log"
    log.write_text("\n".join(line(number) for number in range(100, 140)) + "\n", encoding="utf-8")
    assert on("ingest", "file", str(log), "--source", "more", "--product", "fortinet_fortigate").code == 0
    assert len(items(on("alerts", "list", "--each", "--rule", RULE, "--json", "--limit", "0"))) == 12


def test_rules_are_shown_blind_while_what_feeds_them_is_silent(on: Callable[..., Done], tmp_path: Path) -> None:
    """With one firewall configured the rules on mail have no source; while it is silent its own rules see nothing either."""
    config = tmp_path / "soc.toml"
    source = '\n[sources.fw]\ntype = "syslog"\nudp = "127.0.0.1:5514"\nproduct = "fortinet_fortigate"\n'
    config.write_text(config.read_text(encoding="utf-8") + source, encoding="utf-8")

    def blind() -> dict[str, str]:
        return {one["title"]: one["blind"]["state"] for one in items(on("rules", "list", "--json")) if one["blind"]}

    title = "Inside host contacts a botnet server"
    before = blind()
    assert title not in before
    assert "unfed" in before.values()
    assert "blind: no source feeds it" in on("rules", "list").out
    settings = load(config, {}, {})[0]
    with open_app(settings, Actor("test"), pipeline=True) as app:
        since = app.clock.now_us() - 3_600_000_000
        gap = Gap("fw", "real", since, 0, "silent", 300.0)
        blinds = blinded_by(app, app.rules.engine.collection, {"fw": since})
        app.store.commit(silence_effects([gap], {}, app.clock.now_us(), blinds))
    assert blind()[title] == "silent"
    assert "blind: fw silent" in on("rules", "list").out
    assert "blind: fw silent" in on("rules", "show", BOTNET).err
    [alert] = items(on("alerts", "list", "--rule", "soc-source-silent", "--json"))
    said = on("alerts", "why", alert["id"]).out
    assert "rules see nothing meanwhile" in said
    first, told = blinds["fw"][0], on("--lang", "vi", "alerts", "why", alert["id"]).out
    assert (first.title in said, first.title in told, first.title_vi in told) == (True, False, True)


def test_a_retraction_is_planned_made_listed_and_undone(on: Callable[..., Done]) -> None:
    """Without --yes nothing happens; then the alerts are out of lists, shown with --retracted, and come back."""
    words = ("rules", "retract", BOTNET, "--from", "3h", "--reason", "the list was wrong")
    planned = on(*words)
    assert (planned.code, "12 alerts in 2 groups" in planned.err) == (0, True)
    assert len(items(on("alerts", "list", "--each", "--rule", RULE, "--json"))) == 12
    done = on(*words, "--yes", "--json")
    defect = json.loads(done.out)["retraction"]
    assert (done.code, defect["alerts"], defect["why"]) == (0, 12, "the list was wrong")
    assert items(on("alerts", "list", "--rule", RULE, "--json")) == []
    groups = items(on("alerts", "list", "--rule", RULE, "--retracted", "--json"))
    assert [group["retracted"] for group in groups] == [True, True]
    why = on("alerts", "why", groups[0]["id"])
    assert "the list was wrong" in why.out
    assert on("replay", "--diff").code == 0
    [listed] = items(on("rules", "retractions", "--json"))
    assert listed["id"] == defect["id"]
    assert on("rules", "unretract", defect["id"][:8], "--reason", "it was right").code == 0
    assert len(items(on("alerts", "list", "--each", "--rule", RULE, "--json"))) == 12
    assert items(on("rules", "retractions", "--json"))[0]["undone_why"] == "it was right"
    assert on("rules", "unretract", defect["id"], "--reason", "again").code == 6
    assert on("rules", "unretract", "x-none", "--reason", "again").code != 0


def test_a_retraction_of_nothing_known_is_refused(on: Callable[..., Done]) -> None:
    """An unknown rule, a period that ends before it begins."""
    assert on("rules", "retract", "nothing", "--from", "3h", "--reason", "x", "--yes").code != 0
    assert on("rules", "retract", BOTNET, "--from", "1h", "--to", "3h", "--reason", "x", "--yes").code == 2
