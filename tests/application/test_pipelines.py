"""What the commands that run a pipeline have in common: which rules count since when, and in which scope old records stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soc.application.app import Actor, App
from soc.application.correlate import make_stage
from soc.application.ingest import ingest_files
from soc.application.redrive import judge, redrive
from soc.application.replay import replay
from soc.application.rules_backtest import backtest
from soc.application.rules_choice import choose
from soc.application.ruleset import kept_set
from soc.application.store import migrate
from soc.bootstrap import open_app
from soc.config import FileSource, RulesSettings, Settings
from soc.model.query import All
from soc.ports import AlertQuery, EventQuery

LINE = (
    'date=2026-11-21 time=08:29:0{0} devname="FG" devid="FG1" eventtime=179522454{0}000000000 tz="+0700" logid="0419016384" type="utm" subtype="ips" '
    'eventtype="signature" level="alert" severity="critical" srcip=203.0.113.9 dstip=10.0.0.5 srcport=4000 dstport=443 sessionid={0} action="detected" '
    'proto=6 service="HTTPS" attack="Some.Attack" attackid=1 msg="m"'
)
EVERYTHING = EventQuery(All(), scope=None)
Opened = Callable[..., App]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Opens the application on one store with other settings each time."""

    def open_with(*, running: bool = True, **settings: object) -> App:
        return open_app(Settings.model_validate({"data_dir": tmp_path / "data", **settings}), Actor("an"), pipeline=running)

    return open_with


def _file(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text + "\n")
    return path


def test_a_change_of_rules_is_a_fact_and_stands_on_the_events(tmp_path: Path, opened: Opened) -> None:
    """Two runs under the same rules make one fact, a third under others a second one that names both sets."""
    for number, shipped in ((1, True), (2, True), (3, False)):
        with opened(rules=RulesSettings(shipped=shipped)) as app:
            ingest_files(app, [_file(tmp_path, f"{number}.log", LINE.format(number))], source="fw")
            facts = app.store.facts("rules")
            hashes = {doc["soc.rules_hash"] for doc in app.store.stream(EVERYTHING)}
    assert [fact["before"] for fact in facts] == ["", facts[0]["hash"]]
    assert facts[1]["by"] == "an"
    assert hashes == {fact["hash"] for fact in facts}


def _drill(tmp_path: Path) -> FileSource:
    return FileSource(type="file", paths=[str(tmp_path / "drill.log")], follow=False, scope="exercise:d1")


def test_what_came_in_an_exercise_stays_there_when_it_is_redriven(tmp_path: Path, opened: Opened) -> None:
    """After the drill its source is gone from the settings; its dead letter must not become a real event or alert."""
    _file(tmp_path, "drill.log", LINE.format(1))
    with opened(sources={"drill": _drill(tmp_path)}, pipeline={"max_record_bytes": 480}) as app:
        _file(tmp_path, "drill.log", LINE.format(1) + " pad=" + "x" * 480)
        ingest_files(app, [tmp_path / "drill.log"], source="drill")
        [letter] = app.store.dead_letters()[1]
        assert letter.scope == "exercise:d1"
    with opened() as app:
        [done] = redrive(app, None)
        assert done.event
        assert app.store.count(EventQuery(All())) == 0
        assert app.store.alerts(AlertQuery())[0] == 0
        assert app.store.count(EventQuery(All(), scope="exercise:d1")) == 1


def test_what_came_in_an_exercise_stays_there_when_it_is_replayed(tmp_path: Path, opened: Opened) -> None:
    """A replay of all scopes under unchanged rules finds the alerts of the drill unchanged, though its source is gone."""
    _file(tmp_path, "drill.log", "\n".join(LINE.format(number) for number in range(5)))
    with opened(sources={"drill": _drill(tmp_path)}) as app:
        ingest_files(app, [tmp_path / "drill.log"], source="drill")
        assert app.store.alerts(AlertQuery(scope=None))[0] > 0
    with opened(running=False) as app:
        report = replay(app, query=EVERYTHING)
    assert (report.events, report.added, report.removed, report.changed) == (5, [], [], [])


def test_a_redriven_threat_counts_once_when_its_line_is_resent(tmp_path: Path, opened: Opened) -> None:
    """The redriven event owns its natural key from then on: the same line from another file is stored and not counted."""
    source = FileSource(type="file", paths=[str(tmp_path / "a.log")], follow=False)
    _file(tmp_path, "a.log", LINE.format(1))
    with opened(sources={"fw": source}, pipeline={"max_record_bytes": 480}) as app:
        _file(tmp_path, "a.log", LINE.format(1) + " pad=" + "x" * 480)
        ingest_files(app, [tmp_path / "a.log"], source="fw")
        [letter] = app.store.dead_letters()[1]
    with opened(sources={"fw": source}) as app:
        redrive(app, [letter.id], raw_override=LINE.format(1).encode())
        ingest_files(app, [_file(tmp_path, "b.log", "<13>" + LINE.format(1))], source="fw")
        assert app.store.count(EVERYTHING) == 2
        assert sum(app.store.threats(EVERYTHING).values()) == 1


def test_what_came_in_an_exercise_stays_there_when_it_is_read_anew(tmp_path: Path, opened: Opened) -> None:
    """A migration keeps scope and counting of each event: the drill's source is gone from the settings, a resent line stays uncounted."""
    _file(tmp_path, "drill.log", "\n".join([LINE.format(1), "<13>" + LINE.format(1), LINE.format(2)]))
    with opened(sources={"drill": _drill(tmp_path)}) as app:
        ingest_files(app, [tmp_path / "drill.log"], source="drill")
        before = list(app.store.stream(EVERYTHING))
    with opened() as app:
        migrate(app, reparse=True, dry_run=False, progress=lambda _done, _total: None)
        assert app.store.count(EventQuery(All())) == 0
        assert list(app.store.stream(EVERYTHING)) == before


AT_ONE = """\
title: At one
id: 44444444-0000-4000-8000-000000000001
logsource: {category: firewall}
detection: {sel: {"@timestamp|hour": 1}, condition: sel}
level: low
"""


def _raised(app: App) -> int:
    return sum(alert.rule.title == "At one" for alert in app.store.alerts(AlertQuery(limit=100))[1])


@pytest.mark.parametrize(("zones", "alerts"), [({}, 0), ({"timezone": "UTC"}, 1), ({"timezone": "UTC", "rules": "Asia/Ho_Chi_Minh"}, 0), ({"rules": "UTC"}, 1)])
def test_hours_are_those_of_the_zone_that_is_set(tmp_path: Path, opened: Opened, zones: dict[str, str], alerts: int) -> None:
    """08:29 in Vietnam is one o'clock in UTC: so say ingest, redrive, replay, back-test and kept sets; the zone is part of the set's name."""
    rules = tmp_path / "own"
    rules.mkdir()
    _file(rules, "one.yml", AT_ONE)
    settings: dict[str, Any] = {
        "rules": {"shipped": False, "directories": [rules], "timezone": zones.get("rules", "")},
        "timezone": zones.get("timezone", "Asia/Ho_Chi_Minh"),
    }
    _file(tmp_path, "a.log", LINE.format(1) + " pad=" + "x" * 480)
    source = {"fw": FileSource(type="file", paths=[str(tmp_path / "a.log")], follow=False)}
    with opened(sources=source, pipeline={"max_record_bytes": 480}, **settings) as app:
        ingest_files(app, [tmp_path / "a.log"], source="fw")
    with opened(sources=source, **settings) as app:
        redrive(app, None, raw_override=LINE.format(1).encode())
        assert _raised(app) == alerts
        ingest_files(app, [_file(tmp_path, "b.log", LINE.format(2))], source="fw")
        assert _raised(app) == 2 * alerts
        report = replay(app, query=EVERYTHING)
        assert (report.events, report.alerts_after, report.added, report.removed) == (2, 2 * alerts, [], [])
        fresh = replay(app, query=EVERYTHING, rules_dir=rules)
        assert fresh.alerts_after == 2 * alerts
        since, until = 1_795_200_000_000_000, 1_795_300_000_000_000
        [figures] = backtest(app, choose(app.settings.rules_in_zone, "one"), since_us=since, until_us=until).rules
        assert figures.alerts == 2 * alerts
        kept = kept_set(app.store, app.rules.hash)
        assert kept.hash == app.rules.hash
        doc = next(iter(app.store.stream(EVERYTHING)))
        assert len(kept.engine.classify(doc).matches) == alerts
    with opened(rules=settings["rules"] | {"timezone": "Asia/Tokyo"}) as app:
        assert app.rules.hash != kept.hash


THREE = """\
title: At one
id: 44444444-0000-4000-8000-000000000001
name: seen
logsource: {category: firewall}
detection: {sel: {fortinet.firewall.action: detected}, condition: sel}
level: low
---
title: Three of one address
id: 44444444-0000-4000-8000-000000000002
correlation: {type: event_count, rules: [seen], group-by: [source.ip], timespan: 60s, condition: {gte: 3}}
level: high
"""


@pytest.mark.parametrize("way", ["alone", "beside a pipeline", "before the next lines", "in one go"])
def test_a_redriven_line_is_told_to_correlations(tmp_path: Path, opened: Opened, way: str) -> None:
    """The third of three could not be read at first: mended it makes the alert, once, whoever runs meanwhile; told again it changes nothing."""
    rules = tmp_path / "own"
    rules.mkdir()
    _file(rules, "three.yml", THREE)
    settings = {"rules": {"shipped": False, "directories": [rules]}}
    source = {"fw": FileSource(type="file", paths=[str(tmp_path / "a.log")], follow=False)}
    bad = range(3) if way == "in one go" else (1,)
    _file(tmp_path, "a.log", "\n".join(LINE.format(number) + (" pad=" + "x" * 480 if number in bad else "") for number in range(3)))

    def raised(app: App) -> list[Any]:
        return [alert for alert in app.store.alerts(AlertQuery(limit=100))[1] if alert.rule.title.startswith("Three")]

    with opened(sources=source, pipeline={"max_record_bytes": 480}, **settings) as app:
        ingest_files(app, [tmp_path / "a.log"], source="fw")
        letters = sorted(app.store.dead_letters()[1], key=lambda letter: letter.seq)
        assert [len(letters), raised(app)] == [len(bad), []]
    with opened(running=False, sources=source, **settings) as app:
        for number, letter in zip(bad, letters, strict=True):
            redrive(app, [letter.id], raw_override=LINE.format(number).encode())
        if way == "beside a pipeline":
            with opened(sources=source, **settings) as running:
                stage = make_stage(running, running.store)
                assert judge(app) is None
                running.store.commit(stage.start())
                running.store.commit(stage.tick())
        elif way != "before the next lines":
            assert judge(app) == 1
        assert judge(app) == (1 if way == "before the next lines" else 0)
        (alert,) = raised(app)
        assert (len(alert.events), alert.late) == (3, True)
        logged = [signal.id for signal in app.store.signals(0)].count(alert.events[bad[0]])
        assert logged >= 1
    with opened(sources=source, **settings) as app:  # after a restart the log has all of them
        ingest_files(app, [_file(tmp_path, "b.log", LINE.format(4))], source="fw")
        (after,) = raised(app)
        assert (after.id, len(after.events)) == (alert.id, 4)
        assert [signal.id for signal in app.store.signals(0)].count(alert.events[bad[0]]) == logged
