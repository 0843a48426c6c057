"""From a sender's TCP connection to the store, over spool and topic, with a collector that is killed on the way."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soc.config import Settings
from tests.e2e.distributed import Worker, Workers, forget, opened, settings_of, state_of, wait_until
from tests.servers.kafka_server import Broker
from tests.servers.process import WITHIN_S

Name = Callable[[str], str]
LINES = 900


def _line(number: int) -> bytes:
    return (
        f'<189>date=2026-11-21 time=08:00:{number % 60:02d} devname="FGT-A" devid="FG1" tz="+0700" logid="0000000013" type="traffic" subtype="forward" '
        f'level="notice" vd="root" srcip=10.1.{number // 250}.{number % 250} dstip=203.0.113.6 sessionid={number} action="accept"\n'
    ).encode()


def _collecting(folder: Path, broker: Broker, prefix: str) -> Settings:
    return Settings.model_validate(
        {
            "store": {"kind": "memory"},
            "data_dir": str(folder / "collector"),
            "roles": ["collect"],
            "transport": "kafka",
            "kafka": {"bootstrap_servers": [broker.bootstrap], "topic_prefix": f"{prefix}."},
            "sources": {"fw": {"type": "syslog", "tcp": "127.0.0.1:0", "kind": "firewall"}},
        }
    )


def _port(worker: Worker) -> int:
    [address] = worker.addresses()
    return int(address.rpartition(":")[2])


def _spooled(folder: Path) -> list[bytes]:
    """The lines that the spool holds."""
    from soc.adapters.spool import Spool

    spool = Spool(folder / "collector" / "spool", most_bytes=1 << 30)
    try:
        source = spool.source("fw")
        source.open({})
        found: list[bytes] = []
        while records := source.poll(1000, 0.0):
            found += [record.raw for record in records if not record.heartbeat]
        return found
    finally:
        spool.close()


@pytest.mark.parametrize("point", ["forward.acknowledged", "forward.told"])
def test_a_collector_killed_after_the_brokers_answer(point: str, tmp_path: Path, kafka_broker: Broker, elastic_url: str, unique_name: Name) -> None:
    """Killed between the broker's answer and its own mark, twice: every line that the spool took is stored exactly once."""
    prefix = unique_name("collector")
    topic = kafka_broker.create_topic(f"{prefix}.firewall")
    collecting = _collecting(tmp_path, kafka_broker, prefix)
    sent = 0
    with Workers(tmp_path / "workers") as workers:
        for crash in (f"{point}:2", f"{point}:1"):
            collector = workers.start(collecting, "--run", crash=crash)
            sent = _send_until_killed(collector, sent)
        spooled = _spooled(tmp_path)
        collector = workers.start(collecting, "--run")
        with socket.create_connection(("127.0.0.1", _port(collector)), WITHIN_S) as sender:
            last = [_line(number) for number in range(sent, sent + 50)]
            sender.sendall(b"".join(last))
            expected = [*spooled, *(line.rstrip(b"\n") for line in last)]
            settings = settings_of(tmp_path, elastic_url, kafka_broker.bootstrap, prefix, {"fw": topic}, batch=100)
            with opened(settings) as app:
                worker = workers.start(settings, "--run")
                wait_until(lambda: sum(item.stored for item in app.store.ledger()) >= len(expected), what="the lines are stored")
                worker.stop()
        collector.stop()
    state = state_of(settings)
    assert spooled, "lines from before the kill"
    assert Counter(doc["event.original"].encode() for doc in state["events"].values()) == Counter(expected)
    assert _dropped(state).get("replay", 0) > 0, "lines were sent to the topic twice"
    forget(settings)


def _send_until_killed(collector: Worker, sent: int) -> int:
    """Send lines until the collector dies; how many were sent in all."""
    port = _port(collector)
    try:
        with socket.create_connection(("127.0.0.1", port), WITHIN_S) as sender:
            while collector.process.poll() is None:
                sender.sendall(b"".join(_line(number) for number in range(sent, sent + 50)))
                sent += 50
                wait_until(_soon(), every_s=0.05)
    except OSError:
        pass  # the connection broke: what was not read on is the sender's to send again
    assert collector.wait() == -9
    return sent


def _soon() -> Callable[[], bool]:
    looks = iter((False, True))
    return lambda: next(looks, True)


def _dropped(state: dict[str, Any]) -> Counter[str]:
    total: Counter[str] = Counter()
    for row in state["ledger"].values():
        total.update(row[3])
    return total


def test_the_same_without_a_kill(tmp_path: Path, kafka_broker: Broker, elastic_url: str, unique_name: Name) -> None:
    """Collector and worker side by side: each line once, none sent twice, the spool's position in every event."""
    prefix = unique_name("collector")
    topic = kafka_broker.create_topic(f"{prefix}.firewall")
    settings = settings_of(tmp_path, elastic_url, kafka_broker.bootstrap, prefix, {"fw": topic}, batch=100)
    with Workers(tmp_path / "workers") as workers, opened(settings) as app:
        collector = workers.start(_collecting(tmp_path, kafka_broker, prefix), "--run")
        worker = workers.start(settings, "--run")
        lines = [_line(number) for number in range(LINES)]
        with socket.create_connection(("127.0.0.1", _port(collector)), WITHIN_S) as sender:
            sender.sendall(b"".join(lines))
        wait_until(lambda: sum(item.stored for item in app.store.ledger()) >= LINES, what="the lines are stored")
        collector.stop()
        worker.stop()
    state = state_of(settings)
    assert Counter(doc["event.original"].encode() for doc in state["events"].values()) == Counter(line.rstrip(b"\n") for line in lines)
    assert "replay" not in _dropped(state)
    assert {doc["soc.origin"].partition(":")[0] for doc in state["events"].values()} == {"collector"}
    assert {json.dumps(doc["log.source.address"]) for doc in state["events"].values()} == {'"127.0.0.1"'}
    forget(settings)
