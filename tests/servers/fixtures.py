"""pytest fixtures for real servers; loaded as plugin by `tests/conftest.py`.

Shared by all tests of a run: `kafka_servers` and `kafka_broker`, `elastic_url` and `elastic_store`; whoever uses them takes names of its own
(`unique_name`) and breaks nothing. Private, for tests that kill, freeze or cut: `own_kafka`, `own_elastic`.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import pytest

from soc.adapters.elastic.store import erase
from soc.config import StoreSettings
from tests.servers.elastic_server import ElasticServer
from tests.servers.jars import Unavailable
from tests.servers.kafka_server import Broker, KafkaServer, Tls
from tests.servers.keeper import shared_address, stop_keepers
from tests.servers.process import ServerFailed, tail

_FOLDER, _PID = "SOC_TEST_RUN_FOLDER", "SOC_TEST_RUN_PID"
_SERVER_FIXTURES = frozenset({"kafka_servers", "kafka_broker", "elastic_url", "elastic_store", "own_kafka", "own_elastic"})
_numbers = count(1)
_servers: list[KafkaServer | ElasticServer] = []


def decline(reason: str) -> None:
    """Skip the test that needs a real server; fail it where `SOC_REQUIRE_REAL=1` demands one."""
    if os.environ.get("SOC_REQUIRE_REAL") == "1":
        pytest.fail(f"SOC_REQUIRE_REAL=1, but {reason}", pytrace=False)
    pytest.skip(reason)


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a folder that its workers share; do not take the Kafka client's own faults for ours."""
    # kafka-python reads its schemas by a function that Python 3.11 and 3.12 call deprecated, and leaves its wake-up socket
    # pair to the garbage collector when a constructor fails.
    config.addinivalue_line("filterwarnings", "ignore:(read_text|open_text) is deprecated:DeprecationWarning")
    config.addinivalue_line("filterwarnings", "ignore:unclosed <socket.socket fd=\\d+, family=1,:ResourceWarning")
    _close_what_does_not_connect()
    if not hasattr(config, "workerinput"):
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix="soc-test-run-")
        os.environ[_PID] = str(os.getpid())


def _close_what_does_not_connect() -> None:
    """Close the sockets that kafka-python leaves to the garbage collector: those refused, or given up while they connect."""
    from kafka.net.inet import KafkaNetSocket

    connect = KafkaNetSocket.sock_connect

    async def _connect(self: Any, net: Any, sock: socket.socket, *more: Any, **options: Any) -> Any:
        try:
            return await connect(self, net, sock, *more, **options)
        except BaseException:
            sock.close()
            raise

    KafkaNetSocket.sock_connect = _connect


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers of the run."""
    if not hasattr(config, "workerinput") and os.environ.get(_PID) == str(os.getpid()):
        folder = Path(os.environ[_FOLDER])
        stop_keepers(folder)
        shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use real servers, and give them time: the first one of a run waits for the start."""
    for item in items:
        if _SERVER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(1200))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Put the end of the servers' logs beside a failure."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pluggy's Result
    used = _SERVER_FIXTURES & set(getattr(item, "fixturenames", ()))
    if report.failed and used:
        logs = [server.log for server in _servers] or sorted(Path(os.environ[_FOLDER]).glob("*/*.log"))
        for log in logs:
            report.sections.append((f"end of {log}", tail(log)))


@pytest.fixture(scope="session")
def run_folder() -> Path:
    """The folder of this test run, the same for all of its processes."""
    return Path(os.environ[_FOLDER])


def _shared(folder: Path, name: str) -> str:
    try:
        return shared_address(folder, name, int(os.environ[_PID]))
    except Unavailable as reason:
        decline(str(reason))
    except ServerFailed as reason:
        pytest.fail(str(reason), pytrace=False)
    raise AssertionError("decline and fail do not return")


@pytest.fixture(scope="session")
def kafka_servers(run_folder: Path) -> str:
    """The bootstrap address of the run's Kafka broker."""
    return _shared(run_folder, "kafka")


@pytest.fixture(scope="session")
def kafka_broker(kafka_servers: str) -> Broker:
    """The run's Kafka broker with topics to create, fill and read."""
    return Broker(kafka_servers)


@pytest.fixture(scope="session")
def elastic_url(run_folder: Path) -> str:
    """The URL of the run's Elasticsearch node."""
    return _shared(run_folder, "elasticsearch")


@pytest.fixture
def unique_name() -> Callable[[str], str]:
    """Names (of topics, groups, index prefixes) that no other test of the run uses: `unique_name("mail")`."""

    def _name(stem: str) -> str:
        return f"{stem}_{os.getpid()}_{next(_numbers)}"

    return _name


@pytest.fixture
def elastic_store(elastic_url: str, unique_name: Callable[[str], str]) -> Iterator[StoreSettings]:
    """Settings of a fresh store on the run's node, patient with it; what was written is erased at the end."""
    settings = patient_store(elastic_url, unique_name("store"))
    yield settings
    erase(settings)


def patient_store(url: str, prefix: str) -> StoreSettings:
    """Settings of a store on a node that a busy machine makes slow."""
    return StoreSettings(kind="elasticsearch", hosts=[url], prefix=prefix, stall_budget_s=240, look_up_budget_s=240)


class OwnKafka(Protocol):
    """Starts a private broker."""

    def __call__(self, *, tls: Tls | None = None, proxy_port: int = 0, properties: dict[str, str] | None = None) -> KafkaServer:
        """A broker that nobody else uses; ended with the module at the latest."""


class OwnElastic(Protocol):
    """Starts a private node."""

    def __call__(self, *, settings: dict[str, str] | None = None) -> ElasticServer:
        """A node that nobody else uses; ended with the module at the latest."""


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnKafka]:
    """Starts private Kafka brokers: `own_kafka(tls=…, proxy_port=…)`; all are ended with the module."""
    made: list[KafkaServer] = []

    def _start(*, tls: Tls | None = None, proxy_port: int = 0, properties: dict[str, str] | None = None) -> KafkaServer:
        server = KafkaServer(tmp_path_factory.mktemp("kafka"), tls=tls, proxy_port=proxy_port, properties=properties)
        made.append(server)
        _begin(server)
        return server

    yield _start
    _end(made)


@pytest.fixture(scope="module")
def own_elastic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnElastic]:
    """Starts private Elasticsearch nodes: `own_elastic()`; all are ended with the module."""
    made: list[ElasticServer] = []

    def _start(*, settings: dict[str, str] | None = None) -> ElasticServer:
        server = ElasticServer(tmp_path_factory.mktemp("elasticsearch"), settings=settings)
        made.append(server)
        _begin(server)
        return server

    yield _start
    _end(made)


def _begin(server: KafkaServer | ElasticServer) -> None:
    _servers.append(server)
    try:
        server.start()
    except Unavailable as reason:
        decline(str(reason))
    except ServerFailed as reason:
        pytest.fail(str(reason), pytrace=False)


def _end(servers: Sequence[KafkaServer | ElasticServer]) -> None:
    for server in servers:
        server.stop()
        _servers.remove(server)
