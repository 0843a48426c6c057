"""Correlation by several workers over Kafka and Elasticsearch: killed, joined, behind, and still the alerts of one embedded run.

All records wait in the topic from the first; a brake lets who ingests read them slowly until what a test is about has happened. Records that came
one by one would not do: at each stall of the machine the log would seem to be read to its end, and time would have passed.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from soc.application import sources
from soc.application.app import Actor, App
from soc.application.correlate_topic import SOURCE
from soc.application.doctor import MOST_BEHIND, check_signals
from soc.application.ingest import ingest_files
from soc.application.redrive import judge, redrive
from soc.application.run import run
from soc.bootstrap import open_app
from soc.clock import to_datetime
from soc.config import Settings
from soc.model.record import RawRecord
from soc.ports import AlertQuery
from tests.application.test_correlate import DETECTION, OTHER
from tests.e2e.distributed import Worker, Workers, fill, forget, opened, received, run_until, settings_of, wait_until
from tests.e2e.driver import NOW_US, RunningClock
from tests.e2e.state import assert_balanced, assert_same, comparable, everything
from tests.servers.kafka_server import Broker

Name = Callable[[str], str]
pytestmark = pytest.mark.xdist_group("correlate-distributed")
SECOND = 1_000_000
START = NOW_US - 3 * 3_600 * SECOND
"""A backlog, beside a partition that is up to date as it has no records."""
LENGTH_S = 280
RULES = f"""{DETECTION}---{OTHER}---
title: Many intrusions from one address
id: 33333333-3333-4333-8333-333333333333
name: many
correlation:
    type: event_count
    rules: [seen]
    group-by: [source.ip, observer.name]
    timespan: 30s
    condition: {{gte: 4}}
level: high
---
title: Several busy addresses at one sensor
id: 44444444-4444-4444-8444-444444444444
correlation:
    type: value_count
    rules: [many]
    group-by: [observer.name]
    timespan: 60s
    condition: {{gte: 2, field: source.ip}}
    generate: true
level: critical
---
title: One kind, then the other
id: 77777777-7777-4777-8777-777777777777
correlation:
    type: temporal_ordered
    rules: [seen, other]
    group-by: [source.ip]
    timespan: 5s
level: medium
"""


class Supply(NamedTuple):
    """Records as collectors got them, and the alerts of one embedded run over them."""

    rules: Path
    records: list[RawRecord]
    expected: dict[str, Any]


def line(at_us: int, ip: str, attack: str, device: str, number: int) -> str:
    """What a FortiGate says of an intrusion."""
    local = to_datetime(at_us).astimezone(ZoneInfo("Asia/Ho_Chi_Minh"))
    return (
        f'date={local:%Y-%m-%d} time={local:%H:%M:%S} devname="{device}" devid="{device}1" eventtime={at_us * 1000} tz="+0700" logid="0419016384" type="utm" '
        f'subtype="ips" eventtype="signature" level="alert" severity="critical" srcip={ip} dstip=10.0.0.5 srcport=4000 dstport=443 sessionid={number} '
        f'action="detected" proto=6 service="HTTPS" attack="{attack}" attackid=1 msg="m"'
    )


def _lines(count: int) -> list[str]:
    chance = random.Random(5)
    times = sorted(START + chance.randrange(LENGTH_S * SECOND) for _ in range(count))
    out = []
    for number, at in enumerate(times):
        busy = chance.random() < 0.5
        ip = f"203.0.113.{chance.randrange(3) if busy else chance.randrange(3, 30)}"
        out.append(line(at, ip, chance.choice(["Some.Attack", "Some.Attack", "Other.Attack"]), f"FG{chance.randrange(3)}", number))
    return out


@pytest.fixture(scope="module")
def supply(tmp_path_factory: pytest.TempPathFactory) -> Supply:
    """Intrusions at three gateways within five minutes, and what one embedded run makes of them in order."""
    folder = tmp_path_factory.mktemp("supply")
    rules = folder / "rules"
    rules.mkdir()
    (rules / "rules.yml").write_text(RULES, encoding="utf-8")
    file = folder / "firewall.log"
    file.write_text("".join(text + "\n" for text in _lines(900)), encoding="utf-8")
    settings = Settings.model_validate(
        {"store": {"kind": "embedded", "path": str(folder / "store")}, "data_dir": str(folder), "rules": {"shipped": False, "directories": [str(rules)]}}
    )
    with open_app(settings, Actor("test"), pipeline=True, clock=RunningClock(NOW_US)) as app:
        ingest_files(app, [file], source="firewall")
        expected = _alerts(app)
        source = app.wiring.file_source("firewall", [file], None)
        source.open({})
        records: list[RawRecord] = []
        while not source.exhausted():
            records += source.poll(5_000, 0.1)
        source.close()
    titles = {alert["rule"]["title"] for alert in expected["alerts"].values()}
    assert titles == {"Many intrusions from one address", "Several busy addresses at one sensor", "One kind, then the other"}
    return Supply(rules, records, expected)


def _alerts(app: App) -> dict[str, Any]:
    """The last revisions of all alerts, and their groups."""
    assert_balanced(app.store)
    state = comparable(everything(app.store))
    return {part: state[part] for part in ("alerts", "groups")}


_BEGUN = 400
"""Of 900 shuffled records so many reach beyond the first 20 seconds and the lateness in each partition."""


def _shuffled(records: Sequence[RawRecord], seed: int = 3) -> list[RawRecord]:
    """In another order; none comes more than 50 seconds after one that is younger."""
    chance = random.Random(seed)
    step = LENGTH_S * SECOND / len(records)
    return [records[at] for _, at in sorted((at * step + chance.randrange(50 * SECOND), at) for at in range(len(records)))]


def _partition(record: RawRecord) -> int:
    """One of the first four: the fifth partition never has a record."""
    return zlib.crc32(record.raw[-120:]) % 4


class Stage:
    """One test: topics, settings by role, and when all is judged."""

    def __init__(self, folder: Path, url: str, broker: Broker, prefix: str, supply: Supply, *, partitions: int = 4) -> None:
        self.broker = broker
        self.topics = {"firewall": broker.create_topic(f"{prefix}.firewall", 5)}
        self._partitions = partitions
        settings = settings_of(
            folder,
            url,
            broker.bootstrap,
            prefix,
            self.topics,
            batch=40,
            signals_topic=f"{prefix}.signals",
            signals_partitions=partitions,
            correlate_group=f"{prefix}-correlate",
        )
        rules = {"shipped": False, "directories": [str(supply.rules)]}
        pipeline = settings.pipeline.model_copy(update={"heartbeat_s": 1.0, "batch_wait_s": 0.2})
        self.settings = settings.model_copy(update={"rules": Settings.model_validate({"rules": rules}).rules, "pipeline": pipeline})

    def of(self, name: str, *roles: str) -> Settings:
        """The settings of one process."""
        kafka = self.settings.kafka.model_copy(update={"instance_id": name})
        return self.settings.model_copy(update={"roles": list(roles), "kafka": kafka})

    def watermarks(self, app: App) -> dict[str, int]:
        """How far each partition of the topic of signals has been judged."""
        return {name: int(app.store.state(name).get("watermark", b"0")) for name in app.wiring.signal_ends()}

    def judged(self, app: App) -> bool:
        """Whether every partition has been judged up to the time at which the last source partition was seen to be idle."""
        found = self.watermarks(app)
        return len(found) == self._partitions and min(found.values()) >= NOW_US - 60 * SECOND

    def begun(self, app: App, least: int) -> bool:
        """Whether every partition has been judged for so many seconds."""
        found = self.watermarks(app)
        return len(found) == self._partitions and min(found.values()) >= START + least * SECOND

    def await_judged(self, app: App, supply: Supply) -> None:
        """Return when there is nothing more to do."""
        wait_until(lambda: received(app.store) >= len(supply.records), what="everything is stored", every_s=0.5)
        wait_until(lambda: self.judged(app), what="everything is judged", every_s=0.5)


@pytest.fixture
def stage(tmp_path: Path, elastic_url: str, kafka_broker: Broker, unique_name: Name, supply: Supply) -> Stage:
    """Topics and indices of the test's own."""
    return Stage(tmp_path, elastic_url, kafka_broker, unique_name("corr"), supply)


def test_two_and_two_workers_tell_what_one_tells(tmp_path: Path, stage: Stage, supply: Supply) -> None:
    """Two that ingest and two that correlate, records shuffled within the lateness, one partition without any: the same alerts."""
    fill(stage.broker, stage.topics, _shuffled(supply.records), partition=_partition)
    with Workers(tmp_path / "workers") as workers, opened(stage.of("looker", "ingest")) as app:
        brake = workers.brake(40)
        both = [workers.start(stage.of(name, "ingest"), "--run", brake.word) for name in ("a", "b")]
        others = [workers.start(stage.of(name, "correlate"), "--run") for name in ("c", "d")]
        for worker in both:
            worker.await_received(30)
        brake.release()
        stage.await_judged(app, supply)
        for worker in (*both, *others):
            worker.stop()
        assert_same(_alerts(app), supply.expected)
    forget(stage.settings)


def test_a_correlator_killed_in_mid_window_adds_and_loses_nothing(tmp_path: Path, stage: Stage, supply: Supply) -> None:
    """One is killed while windows are open, a second takes over, a third joins, the second is stopped: the same alerts."""
    fill(stage.broker, stage.topics, _shuffled(supply.records), partition=_partition)
    with Workers(tmp_path / "workers") as workers, opened(stage.of("looker", "ingest")) as app:
        brake = workers.brake(_BEGUN)
        workers.start(stage.of("a", "ingest"), "--run", brake.word)
        first = workers.start(stage.of("c", "correlate"), "--run")
        wait_until(lambda: stage.begun(app, 20), what="correlation has begun")
        first.kill()
        second = workers.start(stage.of("d", "correlate"), "--run")
        wait_until(lambda: _taken(second) >= 4, what="the second has taken over")
        third = workers.start(stage.of("e", "correlate"), "--run")
        wait_until(lambda: _taken(third) >= 1, what="the third has joined")
        second.stop()
        assert received(app.store) < len(supply.records) - 50, "records are left for the last one"
        brake.release()
        stage.await_judged(app, supply)
        assert_same(_alerts(app), supply.expected)
    forget(stage.settings)


def _taken(worker: Worker) -> int:
    """How often a correlator went on with a partition."""
    return worker.log.read_text(encoding="utf-8", errors="replace").count(" correlating ")


@pytest.mark.parametrize("point", ["worker.appended", "worker.committed"])
def test_an_ingest_worker_killed_between_log_and_store_adds_and_loses_nothing(tmp_path: Path, stage: Stage, supply: Supply, point: str) -> None:
    """Killed twice after its signals were written, before or after the batch is durable: they come twice, and count once."""
    fill(stage.broker, stage.topics, _shuffled(supply.records), partition=_partition)
    with Workers(tmp_path / "workers") as workers, opened(stage.of("looker", "ingest")) as app:
        workers.start(stage.of("c", "correlate"), "--run")
        for count in (2, 3):
            assert workers.start(stage.of("a", "ingest"), "--run", crash=f"{point}:{count}").wait() == -9
        workers.start(stage.of("a", "ingest"), "--run")
        stage.await_judged(app, supply)
        assert_same(_alerts(app), supply.expected)
    forget(stage.settings)


@pytest.mark.parametrize("point", ["correlate.told", "store.alerts.written", "store.control.written", "worker.committed"])
def test_a_correlator_killed_at_a_border_adds_and_loses_nothing(tmp_path: Path, stage: Stage, supply: Supply, point: str) -> None:
    """Killed between fold, alerts, state and position, and started again: the same alerts, from a backlog of signals."""
    fill(stage.broker, stage.topics, _shuffled(supply.records), partition=_partition)
    with Workers(tmp_path / "workers") as workers, opened(stage.of("looker", "ingest")) as app:
        workers.start(stage.of("a", "ingest"), "--run")
        wait_until(lambda: received(app.store) >= len(supply.records), what="everything is stored", every_s=0.5)
        for count in (1, 2):
            assert workers.start(_small(stage.of("c", "correlate")), "--run", crash=f"{point}:{count}").wait() == -9
        workers.start(stage.of("c", "correlate"), "--run")
        stage.await_judged(app, supply)
        assert_same(_alerts(app), supply.expected)
    forget(stage.settings)


def _small(settings: Settings) -> Settings:
    return settings.model_copy(update={"pipeline": settings.pipeline.model_copy(update={"batch_size": 7})})


def test_all_roles_in_one_process(tmp_path: Path, stage: Stage, supply: Supply) -> None:
    """One process over the same topics does it all; and the lag of the topic of signals is known."""
    fill(stage.broker, stage.topics, _shuffled(supply.records, 9), partition=_partition)
    with opened(stage.of("one", "collect", "ingest", "correlate"), pipeline=True) as app:

        def is_done() -> bool:  # asked while it runs: a mark may be written after the last step of the correlator
            ends = app.wiring.signal_ends()
            return stage.judged(app) and {name: app.store.positions().get(name) for name in ends} == ends

        totals = run_until(app, is_done)
        assert_same(_alerts(app), supply.expected)
        assert totals.alerts >= len(supply.expected["alerts"]), "those of correlations count too"
        (row,) = [row for row in sources.status(app) if row.source == SOURCE]
        assert (row.state, row.difference) == ("ok", 0)
        marks = row.lag or 0  # written after the correlator's last step: the more, the slower the run ended
        assert [check.state for check in check_signals(app)] == ["ok"]
        stage.broker.send(stage.settings.kafka.signals_topic, [b"x"] * (MOST_BEHIND + 1), partition=1)
        (behind,) = check_signals(app)
        told = [int(word) for word in behind.text.replace(",", "").split() if word.isdecimal()]
        assert (behind.state, any(MOST_BEHIND < count <= MOST_BEHIND + 1 + marks for count in told)) == ("warn", True)
        assert next(row.lag for row in sources.status(app) if row.source == SOURCE) == MOST_BEHIND + 1 + marks
    forget(stage.settings)


def test_a_topic_that_forgets_too_early_is_told(stage: Stage) -> None:
    """Rules that look back five minutes over a topic that keeps one: a warning with the command that mends it."""
    topic = stage.broker.create_topic(stage.settings.kafka.signals_topic, 4, {"retention.ms": "60000"})
    with opened(stage.of("one", "correlate"), pipeline=True) as app:
        _, kept = check_signals(app)
        assert kept.state == "warn"
        assert f"--topic {topic} --add-config retention.ms=86400000" in kept.fix
    forget(stage.settings)


def test_a_correlator_alone_takes_changed_rules_over(tmp_path: Path, stage: Stage, supply: Supply) -> None:
    """A rule that never fired is changed while everything runs: it fires, and only where it would have fired all along."""
    folder = tmp_path / "rules"
    folder.mkdir()
    file = folder / "rules.yml"
    file.write_text(RULES.replace("gte: 4", "gte: 1000"), encoding="utf-8")

    def of(name: str, *roles: str) -> Settings:
        settings = stage.of(name, *roles)
        return settings.model_copy(update={"rules": settings.rules.model_copy(update={"directories": [folder]})})

    def titled(alerts: dict[str, Any], title: str) -> set[str]:
        return {key for key, alert in alerts.items() if alert["rule"]["title"] == title}

    fill(stage.broker, stage.topics, _shuffled(supply.records), partition=_partition)
    with Workers(tmp_path / "workers") as workers, opened(of("c", "correlate"), pipeline=True) as app:
        brake = workers.brake(_BEGUN)
        workers.start(of("a", "ingest"), "--run", brake.word)

        def meanwhile() -> None:
            wait_until(lambda: stage.begun(app, 20), what="correlation has begun")
            before = app.rules.hash
            assert not titled(everything(app.store)["alerts"], "Many intrusions from one address")
            file.write_text(RULES, encoding="utf-8")
            wait_until(lambda: app.rules.hash != before, what="the changed rules are in force")
            brake.release()

        run_until(app, lambda: stage.judged(app) and received(app.store) >= len(supply.records), meanwhile=meanwhile)
        found, wanted = _alerts(app)["alerts"], supply.expected["alerts"]
        many = [set(found[key]["events"]) for key in titled(found, "Many intrusions from one address")]
        all_along = [set(wanted[key]["events"]) for key in titled(wanted, "Many intrusions from one address")]
        assert many
        assert all(any(events <= known for known in all_along) for events in many), "the change may come in the middle of one, and nowhere else"
        assert titled(found, "One kind, then the other") == titled(wanted, "One kind, then the other")
    forget(stage.settings)


def test_once_reads_what_there_is_and_ends(tmp_path: Path, stage: Stage, supply: Supply) -> None:
    """Everything that can be judged has been when the run is over."""
    fill(stage.broker, stage.topics, supply.records, partition=_partition)
    with opened(stage.of("one", "ingest", "correlate"), pipeline=True) as app:
        totals = run(app, once=True)
        assert totals.received == len(supply.records)
        assert_same(_alerts(app), supply.expected)
    forget(stage.settings)


def test_a_redriven_line_reaches_correlators_through_the_topic(tmp_path: Path, stage: Stage, supply: Supply) -> None:
    """Three intrusions and one line that was too long: mended it is the fourth, and the correlator raises the alert of four, late."""
    pipeline = stage.settings.pipeline.model_copy(update={"max_record_bytes": 600})
    stage.settings = stage.settings.model_copy(update={"pipeline": pipeline})
    texts = [line(NOW_US - (300 - 5 * number) * SECOND, "203.0.113.77", "Some.Attack", "FG0", number) for number in range(4)]
    file = tmp_path / "few.log"
    file.write_text("".join(text + (" pad=" + "x" * 600 if number == 2 else "") + "\n" for number, text in enumerate(texts)), encoding="utf-8")

    def told(app: App) -> list[Any]:
        return [alert for alert in app.store.alerts(AlertQuery(limit=100))[1] if alert.rule.title == "Many intrusions from one address"]

    with opened(stage.of("one", "ingest", "correlate"), pipeline=True) as app:
        source = app.wiring.file_source("firewall", [file], None)
        source.open({})
        fill(stage.broker, stage.topics, source.poll(100, 0.1))
        source.close()

        def meanwhile() -> None:
            wait_until(lambda: app.store.dead_letters()[0] == 1, what="the long line is a dead letter")
            with opened(stage.of("desk", "ingest")) as desk:
                assert told(desk) == []
                (done,) = redrive(desk, None, raw_override=texts[2].encode())
                assert done.event
                assert judge(desk) is None

        run_until(app, lambda: bool(told(app)), meanwhile=meanwhile)
        (alert,) = told(app)
        assert len(alert.events) == 4
    forget(stage.settings)
