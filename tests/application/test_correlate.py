"""Correlation in the pipeline: what comes out depends on the log alone, whatever its order, its batches and its crashes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

import msgspec
import pytest

from soc.adapters.memory import MemoryStore
from soc.application.app import Actor, App
from soc.application.correlate import CorrelationStage, Pace
from soc.application.ingest import ingest_files
from soc.application.replay import RECORDED, replay
from soc.bootstrap import open_app
from soc.clock import FrozenClock, iso, to_datetime
from soc.config import Settings
from soc.ingest.pipeline import Pipeline, SourceInfo
from soc.ingest.registry import installed
from soc.model.alert import Alert
from soc.model.query import All
from soc.model.record import RawRecord
from soc.ports import AlertQuery, Effects, EventQuery, Store
from soc.rules.collection import Collection, load_collection
from soc.rules.engine import Engine, compile_collection
from soc.rules.episodes import Bounds, CorrelationAlert
from soc.rules.rebuild import LiveCorrelator
from tests.contracts import conftest as contracts

SECOND = 1_000_000
START = 1_795_224_540 * SECOND
NOW = START + 400 * SECOND
DETECTION = """
title: Intrusion seen
id: 11111111-1111-4111-8111-111111111111
name: seen
logsource: {product: fortigate}
detection:
    sel: {fortinet.firewall.attack|startswith: Some}
    condition: sel
level: low
"""
MANY = """
title: Many intrusions from one address
id: 22222222-2222-4222-8222-222222222222
name: many
correlation:
    type: event_count
    rules: [seen]
    group-by: [source.ip]
    timespan: 60s
    condition: {gte: 3}
level: high
"""
QUIET = """
title: The sensor fell silent
id: 33333333-3333-4333-8333-333333333333
correlation:
    type: event_count
    rules: [seen]
    group-by: [observer.name]
    timespan: 30s
    condition: {eq: 0}
level: medium
"""
CHAIN = """
title: Two busy addresses at one sensor
id: 44444444-4444-4444-8444-444444444444
correlation:
    type: event_count
    rules: [many]
    timespan: 5m
    condition: {gte: 2}
level: critical
"""
OTHER = """
title: Intrusion of another kind
id: 55555555-5555-4555-8555-555555555555
name: other
logsource: {product: fortigate}
detection:
    sel: {fortinet.firewall.attack|startswith: Other}
    condition: sel
level: low
"""
DENIED = (
    OTHER
    + """---
title: One kind without the other
id: 66666666-6666-4666-8666-666666666666
correlation:
    type: temporal
    rules: [seen, other]
    group-by: [source.ip]
    timespan: 20s
    condition: seen and not other
level: medium
"""
)


def line(second: float, ip: str = "203.0.113.9", attack: str = "Some.Attack", device: str = "FG") -> str:
    """What a FortiGate says of an intrusion."""
    at_ns = (START + round(second * SECOND)) * 1000
    local = to_datetime(at_ns // 1000).astimezone(ZoneInfo("Asia/Ho_Chi_Minh"))
    return (
        f'date={local:%Y-%m-%d} time={local:%H:%M:%S} devname="{device}" devid="{device}1" eventtime={at_ns} tz="+0700" logid="0419016384" type="utm" subtype="ips" '
        f'eventtype="signature" level="alert" severity="critical" srcip={ip} dstip=10.0.0.5 srcport=4000 dstport=443 sessionid={at_ns} action="detected" '
        f'proto=6 service="HTTPS" attack="{attack}" attackid=1 msg="m"'
    )


def records(lines: Sequence[str], *, source: str = "fw", order: Sequence[int] | None = None, received: int = NOW) -> list[RawRecord]:
    """Records of a log; `order`: in which they are read, while their origins stay."""
    return [
        RawRecord(source, source, place, place + 1, lines[number].encode(), received, f"origin-{source}", number)
        for place, number in enumerate(order or range(len(lines)))
    ]


def beat(place: int, at: int, source: str = "fw") -> RawRecord:
    """A sign of life of a collector."""
    return RawRecord(source, source, place, place + 1, b"", at, source, place, heartbeat=True)


def rules(folder: Path, *texts: str) -> Collection:
    """The collection of some rules."""
    folder.mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        (folder / f"rule{number}.yml").write_text(text)
    collection, errors, _ = load_collection([folder])
    assert errors == []
    return collection


class Rig:
    """Pipeline, store and stage, put together as the worker does."""

    def __init__(
        self,
        collection: Collection,
        store: Store,
        scopes: Mapping[str, str] | None = None,
        *,
        bounds: Bounds | None = None,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self.settle = settle
        self.clock = FrozenClock(NOW)
        self.collection = collection
        self.engine: Engine = compile_collection(collection)
        self.store = store
        self.bounds = bounds
        sources = {name: SourceInfo(name, scope=(scopes or {}).get(name, "real")) for name in ("fw", "fw2", "drill")}
        self.pipeline = Pipeline(registry=installed(), classifier=self.engine, sources=sources, kept_state=store.state, owners=store.owners)
        self.restart()

    def restart(self) -> None:
        """As after a crash: nothing is known but what the store holds."""
        self.pipeline.forget_all()
        self.stage = CorrelationStage(self.collection, self.store, clock=self.clock, rules_hash=self.engine.hash, pace=Pace(), bounds=self.bounds)

    def feed(self, batch: Sequence[RawRecord], *, judge: bool = True) -> Effects:
        """Process and commit a batch, and what follows (unless a crash comes between)."""
        effects = self.pipeline.process(batch)
        self.store.commit(effects)
        if judge:
            for more in self.stage.follow(effects):
                self.store.commit(more)
        return effects

    def tick(self, *, caught_up: bool = True) -> None:
        """Time goes on."""
        self.store.commit(self.stage.tick(caught_up=caught_up))

    def end(self) -> None:
        """All there is has been read."""
        for more in self.stage.end():
            self.store.commit(more)

    def alerts(self, title: str = "", scope: str | None = "real") -> list[Alert]:
        """The alerts as they stand, oldest first."""
        self.settle()
        found = self.store.alerts(AlertQuery(scope=scope, limit=1000))[1][::-1]
        return [alert for alert in found if not title or alert.rule.title == title]


def plain(alerts: Sequence[Alert]) -> list[Any]:
    """Alerts without where their records were read."""
    out = msgspec.to_builtins(alerts)
    for alert in out:
        for document in alert["documents"]:
            document["soc"].pop("seq")
    return sorted(out, key=lambda alert: str(alert["id"]))


Rigged = Callable[..., Rig]


@pytest.fixture
def rigged(tmp_path: Path, rig: contracts.Rig) -> Rigged:
    """Makes the rig of some rules on each store."""

    def make(*texts: str, **options: Any) -> Rig:
        return Rig(rules(tmp_path / "rules", *texts), rig.store, settle=rig.settle, **options)

    return make


def test_three_in_a_minute_are_one_alert_that_explains_itself(rigged: Rigged) -> None:
    """The alert names condition, window, members, group and rule; it carries the documents and their worst class."""
    rig = rigged(DETECTION, MANY)
    rig.feed(records([line(0), line(20), line(40, "203.0.113.10"), line(45)]))
    rig.end()
    [alert] = rig.alerts()
    assert alert.id.startswith("a-")
    assert (alert.rule.title, alert.rule.level, alert.rule.kind) == ("Many intrusions from one address", "high", "sigma")
    assert alert.group_key == {"source.ip": "203.0.113.9"}
    assert len(alert.events) == len(alert.documents) == 3
    assert {document["soc"]["id"] for document in alert.documents} == set(alert.events)
    assert (alert.ts, alert.detected_at) == (iso(START + 45 * SECOND), iso(NOW))
    assert (alert.source, alert.rules_hash, alert.late) == ("fw", rig.engine.hash, False)
    why = alert.explanation
    assert (why["node"], why["type"], why["condition"], why["count"], why["measure"]) == ("correlation", "event_count", "gte 3", 3, 3)
    assert why["window"] == {"start": iso(START - 15 * SECOND), "end": iso(START + 45 * SECOND)}
    assert [member["event"] for member in why["members"]] == alert.events
    assert [member["time"] for member in why["members"]] == [iso(START + second * SECOND) for second in (0, 20, 45)]
    assert why["rules"] == {"11111111-1111-4111-8111-111111111111": "Intrusion seen"}
    assert why["rule_hash"] == alert.rule.hash


def test_a_shadow_correlation_stands_apart_and_again_when_it_is_live(rigged: Rigged, tmp_path: Path) -> None:
    """Its alerts are marked and in no live list; the rules it uses alert as ever; promoted, the same episode is an alert of its own."""
    rig = rigged(DETECTION, MANY + "soc: {shadow: true}\n")
    lines = records([line(0), line(20), line(45)])
    rig.feed(lines)
    rig.end()
    assert [alert.rule.title for alert in rig.alerts()] == ["Intrusion seen"] * 3
    _total, [noted] = rig.store.alerts(AlertQuery(shadow=True))
    assert (noted.rule.title, noted.shadow, len(noted.events)) == ("Many intrusions from one address", True, 3)
    collection, errors, _ = load_collection([tmp_path / "rules"], states={noted.rule.id: "live"})
    assert not errors
    live = Rig(collection, rig.store, settle=rig.settle)
    live.feed([msgspec.structs.replace(one, partition="fw2", source="fw2", origin="fw2") for one in lines])
    live.end()
    [told] = live.alerts("Many intrusions from one address")
    assert told.id != noted.id
    assert told.group != noted.group
    assert not told.shadow


def test_the_rules_that_a_correlation_uses_raise_nothing_themselves(rigged: Rigged, tmp_path: Path) -> None:
    """Unless the correlation says `generate: true`."""
    rig = rigged(DETECTION, MANY)
    rig.feed(records([line(0)]))
    assert rig.alerts() == []
    loud = rules(tmp_path / "loud", DETECTION, MANY.replace("timespan", "generate: true\n    timespan"))
    other = Rig(loud, rig.store, settle=rig.settle)
    other.feed(records([line(1)], source="fw2"))
    assert [alert.rule.title for alert in other.alerts()] == ["Intrusion seen"]


LOG = [
    *(line(second) for second in (0, 10, 20, 35, 95, 100, 110)),
    *(line(second, "203.0.113.10") for second in (5, 30, 64, 66, 70)),
    *(line(second, "203.0.113.11", "Other.Attack") for second in (12, 40)),
    *(line(second, "203.0.113.11") for second in (50, 90, 120)),
    line(300, "203.0.113.99"),
]


@pytest.mark.parametrize("seed", range(6))
def test_arrival_order_and_batches_change_nothing(rigged: Rigged, tmp_path: Path, seed: int) -> None:
    """A log shuffled within the lateness, cut anywhere, gives the same alerts byte for byte, on every store."""
    texts = (DETECTION, *(text.replace("timespan", "generate: true\n    timespan") for text in (MANY, CHAIN, DENIED)))
    ordered = sorted(range(len(LOG)), key=lambda number: LOG[number].split("eventtime=")[1][:19])
    whole = Rig(rules(tmp_path / "same", *texts), MemoryStore(clock=FrozenClock(NOW)))
    whole.feed(records(LOG, order=ordered))
    whole.end()
    expected = plain(whole.alerts())
    assert len([alert for alert in expected if alert["rule"]["kind"] == "sigma"]) > 5

    chance = random.Random(seed)
    times = {number: int(LOG[number].split("eventtime=")[1][:19]) // 1_000_000_000 + chance.uniform(0, 55) for number in ordered}
    rig = rigged(*texts)
    shuffled = records(LOG, order=sorted(ordered, key=times.__getitem__))
    while shuffled:
        size = chance.randint(1, 5)
        rig.feed(shuffled[:size])
        del shuffled[:size]
    rig.end()
    assert plain(rig.alerts()) == expected


@pytest.mark.parametrize("seed", range(4))
def test_a_restart_anywhere_adds_and_loses_nothing(rigged: Rigged, tmp_path: Path, seed: int) -> None:
    """Killed after each commit, before what follows from it was made, and started again: the same alerts."""
    texts = (DETECTION, MANY, CHAIN, DENIED, QUIET)
    log = sorted(LOG, key=lambda text: text.split("eventtime=")[1][:19])
    whole = Rig(rules(tmp_path / "same", *texts), MemoryStore(clock=FrozenClock(NOW)))
    whole.feed(records(log))
    whole.end()
    expected = plain(whole.alerts())
    assert expected

    chance = random.Random(seed)
    rig = rigged(*texts)
    rest = records(log)
    while rest:
        size = chance.randint(1, 4)
        rig.feed(rest[:size], judge=chance.random() < 0.6)
        del rest[:size]
        if chance.random() < 0.6:
            rig.restart()
        if chance.random() < 0.3:
            rig.tick()
    rig.restart()
    rig.end()
    assert plain(rig.alerts()) == expected


def test_an_exercise_never_counts_among_real_events(rigged: Rigged) -> None:
    """Two real intrusions and one of a drill are no three; three of the drill are an alert of the drill."""
    rig = rigged(DETECTION, MANY, scopes={"drill": "exercise:d1"})
    rig.feed(records([line(0), line(10)]))
    rig.feed(records([line(5), line(15), line(25)], source="drill"))
    rig.end()
    assert rig.alerts() == []
    [alert] = rig.alerts(scope="exercise:d1")
    assert alert.scope == "exercise:d1"
    assert rig.store.alert_groups(AlertQuery())[0] == 0


def test_a_straggler_makes_a_revision_marked_late(rigged: Rigged) -> None:
    """What comes after the lateness joins the alert it belongs to; a group's count counts the alert once."""
    rig = rigged(DETECTION, MANY)
    rig.feed(records([line(0), line(10), line(20), line(300)]))
    [before] = rig.alerts("Many intrusions from one address")
    assert (before.late, len(before.events)) == (False, 3)
    rig.feed(records([line(5)], source="fw2"))
    [after] = rig.alerts("Many intrusions from one address")
    assert (after.id, after.late, len(after.events)) == (before.id, True, 4)
    assert after.revision > before.revision
    [group] = rig.store.alert_groups(AlertQuery())[1]
    assert group.count == 1


def test_stragglers_alone_make_a_new_alert_marked_late(rigged: Rigged) -> None:
    """Also when they come one by one, and one of the three was in time."""
    rig = rigged(DETECTION, MANY)
    rig.feed(records([line(0), line(300, "203.0.113.77")]))
    assert rig.alerts() == []
    for number, second in enumerate((10, 20)):
        rig.feed([msgspec.structs.replace(records([line(second)], source="fw2")[0], seq=number, next=number + 1, origin_seq=number)])
    rig.tick()
    [alert] = rig.alerts()
    assert (alert.late, len(alert.events)) == (True, 3)


def test_a_backlog_behind_live_events_is_judged_all_the_same(rigged: Rigged) -> None:
    """Old lines of one source do not hold up another, and make the alerts they would have made in time."""
    rig = rigged(DETECTION, MANY)
    rig.feed(records([line(390)]))
    old = [line(second - 9_000, "203.0.113.50") for second in (0, 10, 20, 400, 500)]
    for number, one in enumerate(records(old, source="fw2")):
        rig.feed([one])
        assert rig.stage.watermark >= START + 330 * SECOND, number
    rig.feed([msgspec.structs.replace(records([line(398)])[0], seq=1, next=2, origin_seq=1)])
    assert rig.stage.watermark >= START + 338 * SECOND
    rig.end()
    [alert] = rig.alerts()
    assert (len(alert.events), alert.late) == (3, True)


def test_silence_fires_by_heartbeats_in_the_log(rigged: Rigged) -> None:
    """No event comes any more: the collector's signs of life tell that time goes on, and a replay reads them too."""
    rig = rigged(DETECTION, QUIET)
    rig.feed(records([line(0), line(20)], received=START + 25 * SECOND))
    assert rig.alerts() == []
    rig.feed([beat(2, START + 100 * SECOND)])
    assert rig.alerts() == []
    rig.feed([beat(3, START + 130 * SECOND)])
    [alert] = rig.alerts()
    assert (alert.group_key, alert.events) == ({"observer.name": "FG"}, [])
    assert alert.ts == iso(START + 50 * SECOND + 1)


def test_silence_fires_when_every_source_is_idle(rigged: Rigged) -> None:
    """Sources without heartbeats: after a while without anything to read, time goes on by the clock; with a backlog it does not."""
    rig = rigged(DETECTION, QUIET)
    rig.feed(records([line(0), line(20)]))
    rig.clock.advance(600)
    rig.tick(caught_up=False)
    assert rig.alerts() == []
    rig.tick(caught_up=True)
    assert [alert.rule.title for alert in rig.alerts()] == ["The sensor fell silent"]


CLASSIFIED = """
title: Intrusions are high
id: 88888888-8888-4888-8888-888888888888
logsource: {product: fortigate}
detection:
    sel: {fortinet.firewall.attack|startswith: Some}
    condition: sel
level: informational
soc: {classify: {level: high, category: intrusion}}
"""


def test_a_line_that_a_relay_sends_again_counts_once(rigged: Rigged) -> None:
    """The occurrence is counted once, here as in every figure; its class is that of the alert."""
    rig = rigged(DETECTION, MANY, CLASSIFIED)
    rig.feed(records([line(0), line(10)]))
    rig.feed(records([line(10), line(0)], source="fw2"))
    rig.end()
    assert rig.alerts() == []
    rig.feed(records([line(20)], source="drill"))
    rig.end()
    [alert] = rig.alerts()
    assert (len(alert.events), alert.threat_level, alert.threat_category) == (3, "high", "intrusion")


def test_a_device_whose_clock_is_fast_does_not_make_others_late(rigged: Rigged) -> None:
    """Times ahead of the time of receipt wait; they do not move the watermark beyond it."""
    rig = rigged(DETECTION, MANY)
    rig.feed(records([line(3000, "203.0.113.66", device="QUICK"), line(0), line(10)], received=START + 15 * SECOND))
    assert rig.stage.watermark <= START + 15 * SECOND
    rig.feed([msgspec.structs.replace(records([line(20)], received=START + 25 * SECOND)[0], seq=3, next=4, origin_seq=3)])
    rig.end()
    [alert] = rig.alerts()
    assert (len(alert.events), alert.explanation["count"]) == (3, 3)
    assert alert.explanation["members"][0]["time"] == iso(START)


def test_a_private_address_counts_by_the_place_where_it_is(rigged: Rigged) -> None:
    """192.168.1.5 behind two firewalls is two computers; the place stands in the group."""
    rig = rigged(DETECTION, MANY)
    lines = [line(0, "192.168.1.5", device="A"), line(1, "192.168.1.5", device="B"), line(2, "192.168.1.5", device="A"), line(3, "192.168.1.5", device="B")]
    rig.feed(records(lines))
    rig.end()
    assert rig.alerts() == []
    rig.feed([msgspec.structs.replace(records([line(4, "192.168.1.5", device="A")])[0], seq=4, next=5, origin_seq=4)])
    rig.restart()
    rig.end()
    [alert] = rig.alerts()
    assert alert.group_key == {"source.ip": "192.168.1.5", "observer.name": "A"}


def test_what_is_built_on_correlations_names_the_events_behind_them(rigged: Rigged) -> None:
    """A chain: the members are alerts, the documents are those of their events."""
    rig = rigged(DETECTION, MANY, CHAIN)
    rig.feed(records([line(0), line(1), line(2), line(100, "203.0.113.10"), line(101, "203.0.113.10"), line(102, "203.0.113.10")]))
    rig.end()
    [alert] = rig.alerts()
    assert alert.rule.title == "Two busy addresses at one sensor"
    assert len(alert.events) == 6
    assert [len(member["events"]) for member in alert.explanation["members"]] == [3, 3]
    assert alert.detected_at == iso(NOW)


def test_more_members_than_are_kept_are_counted_and_told_once_an_hour(rigged: Rigged) -> None:
    """The count stays exact, the alert says that it is cut, and the platform says so too, once."""
    rig = rigged(DETECTION, MANY, bounds=Bounds(groups=10, members=10))
    for number, one in enumerate(records([line(second) for second in range(50)])):
        rig.feed([one])
        assert number >= 0
    rig.end()
    [alert] = rig.alerts("Many intrusions from one address")
    assert (alert.explanation["count"], alert.explanation["truncated"], len(alert.events)) == (50, True, 10)
    assert len(rig.alerts("A correlation has more groups or members than it keeps")) == 1


def test_signals_of_a_rule_that_asks_for_something_else_now_are_not_used(rigged: Rigged, tmp_path: Path) -> None:
    """A changed threshold goes on with what was counted; another group begins anew."""
    rig = rigged(DETECTION, MANY)
    rig.feed(records([line(0), line(10)]))
    rig.collection = rules(tmp_path / "rules", DETECTION, MANY.replace("gte: 3", "gte: 2"))
    rig.engine = compile_collection(rig.collection)
    rig.stage.use(rig.collection, rig.engine.hash)
    rig.end()
    [alert] = rig.alerts()
    assert len(alert.events) == 2
    other = rules(tmp_path / "rules", DETECTION, MANY.replace("source.ip", "destination.ip").replace("gte: 3", "gte: 2"))
    rig.stage.use(other, "other")
    rig.end()
    assert rig.alerts() == [alert]


def test_an_attack_that_goes_on_for_long_is_one_alert_across_restarts(rigged: Rigged) -> None:
    """Its beginning lies far behind what is read back."""
    rig = rigged(DETECTION, MANY)
    lines = [line(second) for second in range(0, 3000, 15)]
    rest = records(lines, received=START + 3000 * SECOND)
    for number in range(0, len(rest), 20):
        rig.feed(rest[number : number + 20])
        rig.tick()
        rig.restart()
    rig.end()
    [alert] = rig.alerts()
    assert len(alert.events) == alert.explanation["count"] == 200


def test_old_signals_and_what_was_told_are_forgotten(rigged: Rigged) -> None:
    """What no rule reaches back to is dropped on a tick."""
    rig = rigged(DETECTION, MANY)
    rig.feed(records([line(0), line(1), line(2), line(20_000)], received=START + 20_000 * SECOND))
    rig.clock.advance(20_000 - 400)
    rig.tick()
    rig.feed([beat(4, START + 40_000 * SECOND)])
    rig.clock.advance(20_000)
    rig.tick()
    assert [signal.ts for signal in rig.store.signals(0)] == []
    assert [key for key in rig.store.state("correlate") if key.startswith("told")] == []
    assert len(rig.alerts()) == 1


# --- commands -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., App]:
    """Opens the application on an embedded store with own rules."""

    def open_with(*texts: str, name: str = "own", **settings: Any) -> App:
        folder = tmp_path / name
        rules(folder, *texts)
        return open_app(
            Settings.model_validate({"data_dir": tmp_path / "data", "rules": {"shipped": False, "directories": [folder]}, **settings}),
            Actor("an"),
            pipeline=True,
        )

    return open_with


def _write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("".join(text + "\n" for text in lines), encoding="utf-8")
    return path


def test_a_replay_gives_the_alerts_of_correlations_again(opened: Callable[..., App], tmp_path: Path) -> None:
    """The same rules change nothing; another threshold shows which alerts would differ."""
    with opened(DETECTION, MANY, CHAIN) as app:
        ingest_files(app, [_write(tmp_path / "fw.log", sorted(LOG, key=lambda text: text.split("eventtime=")[1][:19]))], source="fw")
        same = replay(app, query=EventQuery(All()))
        assert (same.alerts_before, same.added, same.removed, same.changed) == (same.alerts_after, [], [], [])
        assert same.alerts_before > 0
        rules(tmp_path / "other", DETECTION, MANY.replace("gte: 3", "gte: 4"))
        other = replay(app, query=EventQuery(All()), rules_dir=tmp_path / "other")
        assert [alert.rule.title for alert in other.removed] == ["Two busy addresses at one sensor"]
        assert {alert.rule.title for alert in other.added} == {"Many intrusions from one address"}


def test_a_replay_compares_shadows_with_what_they_said(opened: Callable[..., App], tmp_path: Path) -> None:
    """Alerts of shadows that are there already are nothing new."""
    with opened(DETECTION.replace("level: low", "level: low\nsoc: {shadow: true}")) as app:
        ingest_files(app, [_write(tmp_path / "fw.log", [line(0), line(10)])], source="fw")
        report = replay(app, query=EventQuery(All()))
        assert (report.alerts_before, report.added, report.removed, report.changed) == (2, [], [], [])


def test_a_replay_by_recorded_rules_gives_the_alerts_of_correlations_again(opened: Callable[..., App], tmp_path: Path) -> None:
    """What an earlier threshold counted is not counted by a later one."""
    with opened(DETECTION, MANY) as app:
        ingest_files(app, [_write(tmp_path / "a.log", [line(0), line(10), line(20)])], source="fw")
        ingest_files(app, [_write(tmp_path / "b.log", [line(0, "203.0.113.5"), line(10, "203.0.113.5")])], source="fx")
    with opened(DETECTION, MANY.replace("gte: 3", "gte: 2")) as app:
        ingest_files(app, [_write(tmp_path / "c.log", [line(200, "203.0.113.8"), line(210, "203.0.113.8")])], source="fw")
        ingest_files(app, [_write(tmp_path / "d.log", [line(300, "203.0.113.7"), line(310, "203.0.113.7")])], source="fx")
        assert app.store.alerts(AlertQuery())[0] == 4  # what was counted goes on counting: two of .5 are enough now
        report = replay(app, query=EventQuery(All()), rules_hash=RECORDED)
        assert (report.alerts_before, report.missing, report.added, report.removed, report.changed) == (4, [], [], [], [])


def test_files_read_one_after_the_other_are_one_log(opened: Callable[..., App], tmp_path: Path) -> None:
    """Whatever their order: an older file that is read later makes the alerts that it belongs to."""
    first, second = [line(0), line(20)], [line(45), line(50), line(3600)]
    with opened(DETECTION, MANY) as app:
        ingest_files(app, [_write(tmp_path / "b.log", second)], source="b")
        assert app.store.alerts(AlertQuery())[0] == 0
        ingest_files(app, [_write(tmp_path / "a.log", first)], source="a")
        [alert] = app.store.alerts(AlertQuery())[1]
    assert (len(alert.events), alert.late) == (4, True)


def test_a_new_file_does_not_have_the_whole_log_folded_anew(opened: Callable[..., App], tmp_path: Path) -> None:
    """What was judged before is not judged again because of a partition that nobody heard of before; what spans both files is one alert."""
    bases: list[int] = []
    rebuild = LiveCorrelator.rebuild

    def noted(self: LiveCorrelator, *signals: Any, base: int, **more: Any) -> list[CorrelationAlert]:
        bases.append(base)
        return rebuild(self, *signals, base=base, **more)

    with opened(DETECTION, MANY) as app:
        ingest_files(app, [_write(tmp_path / "a.log", [line(-86_400), line(0), line(10)])], source="a")
    with opened(DETECTION, MANY) as app, mock.patch.object(LiveCorrelator, "rebuild", noted):
        ingest_files(app, [_write(tmp_path / "b.log", [line(20), line(30)])], source="b")
        [alert] = app.store.alerts(AlertQuery())[1]
    assert len(alert.events) == 4
    assert min(bases) >= START, "all of it was judged"


def test_one_bad_correlation_stops_no_other(opened: Callable[..., App], tmp_path: Path) -> None:
    """It is told with file and line; what it would have used still raises its own alerts."""
    with opened(DETECTION, MANY) as app:
        (tmp_path / "own" / "bad.yml").write_text(MANY.replace("22222222", "99999999").replace("60s", "0s"), encoding="utf-8")
        ingest_files(app, [_write(tmp_path / "fw.log", [line(0), line(1), line(2)])], source="fw")
        assert app.store.alerts(AlertQuery())[0] == 1
        assert [Path(error.path).name for error in app.rule_errors] == ["bad.yml"]
