from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.fixtures import OwnElastic, OwnKafka, decline
from tests.servers.jars import locked
from tests.servers.kafka_server import Broker
from tests.servers.process import Process, Server, ServerFailed, free_port, wait_until


def test_the_shared_broker_keeps_what_is_written(kafka_broker: Broker, unique_name: Callable[[str], str]) -> None:
    """Records written to a new topic of the shared broker are read back in order."""
    topic = kafka_broker.create_topic(unique_name("servers"), partitions=2)
    kafka_broker.send(topic, [b"one", b"two"], partition=1)
    assert [record.value for record in kafka_broker.read_all(topic, partitions=2)] == [b"one", b"two"]
    assert kafka_broker.end_offsets(topic, 2) == [0, 2]


def test_a_private_broker_keeps_its_data_over_a_kill(own_kafka: OwnKafka) -> None:
    """A killed broker comes back on the same port with what was acknowledged."""
    broker = own_kafka()
    topic = broker.create_topic("kept")
    broker.send(topic, [b"one"])
    broker.restart()
    assert [record.value for record in broker.read_all(topic)] == [b"one"]


def _count(url: str, index: str) -> int:
    with urllib.request.urlopen(f"{url}/{index}/_count", timeout=60) as answer:
        return int(json.load(answer)["count"])


def _put(url: str, path: str, document: dict[str, object]) -> None:
    request = urllib.request.Request(f"{url}/{path}", json.dumps(document).encode(), {"Content-Type": "application/json"}, method="PUT")
    urllib.request.urlopen(request, timeout=60).close()


def test_the_shared_node_stores_documents(elastic_url: str, unique_name: Callable[[str], str]) -> None:
    """A document put into the shared Elasticsearch node is counted after a refresh."""
    index = unique_name("servers")
    _put(elastic_url, f"{index}/_doc/1?refresh=true", {"a": 1})
    assert _count(elastic_url, index) == 1


def test_a_private_node_keeps_its_data_over_a_kill(own_elastic: OwnElastic) -> None:
    """A killed node comes back on the same port with what was acknowledged."""
    node = own_elastic()
    _put(node.url, "kept/_doc/1", {"a": 1})
    node.restart()
    wait_until(lambda: _count(node.url, "kept") == 1, what="the document is back")


def test_without_servers_a_test_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no server can be started the test is skipped, and the reason is said."""
    monkeypatch.delenv("SOC_REQUIRE_REAL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no JDK"):
        decline("no JDK")


def test_a_demanded_server_that_is_missing_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """With SOC_REQUIRE_REAL=1 the same is a failure."""
    monkeypatch.setenv("SOC_REQUIRE_REAL", "1")
    with pytest.raises(pytest.fail.Exception, match="no JDK"):
        decline("no JDK")


class _Dies(Server):
    name = "dies"

    def _launch(self) -> Process:
        return Process(["sh", "-c", "echo the reason >&2; exit 1"], log=self.log)

    def _answers(self) -> bool:
        return False


def test_a_server_that_dies_shows_its_log(tmp_path: Path) -> None:
    """A server that ends during its start raises with the end of its log."""
    with pytest.raises(ServerFailed, match="the reason"):
        _Dies(tmp_path / "dies").start()


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    """A server's process is killed when the process that started it is killed."""
    import os
    import signal
    import subprocess
    import sys

    script = (
        "import sys; from pathlib import Path; from tests.servers.process import Process\n"
        f"child = Process(['sleep', '600'], log=Path({str(tmp_path / 'log')!r}))\nprint(child._popen.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        wait_until(lambda: (Path("/proc") / str(child) / "comm").read_text(encoding="utf-8").strip() == "sleep", what="the child runs")
        parent.send_signal(signal.SIGKILL)
        parent.wait(60)

    def _gone() -> bool:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return True
        return (Path("/proc") / str(child) / "stat").read_text(encoding="utf-8").split()[2] == "Z"

    wait_until(_gone, what="the child is gone")


def test_ports_are_free_and_differ() -> None:
    """Ports handed out one after the other are different."""
    assert len({free_port() for _ in range(50)}) == 50


def test_a_port_is_given_to_one_process_only() -> None:
    """A port that was handed out and is not yet, or not at the moment, listened on is no other process's."""
    import subprocess
    import sys

    port = free_port()
    only = f"from tests.servers import process; process._FIRST_PORT, process._PORTS = {port}, 1; print(process.free_port())"
    refused = subprocess.run([sys.executable, "-c", only], capture_output=True, text=True, check=False)
    assert "ServerFailed: no free port" in refused.stderr


def test_a_lock_is_given_back(tmp_path: Path) -> None:
    """A lock can be taken again after its block."""
    for _ in range(2):
        with locked(tmp_path / "lock"):
            pass
