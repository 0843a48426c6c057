from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from soc.adapters.kafka import health
from soc.adapters.kafka.health import diagnose
from soc.adapters.kafka.sink import KafkaSink
from soc.adapters.kafka.source import KafkaRecordSource
from soc.clock import SystemClock
from soc.config import KafkaSettings, KafkaSource
from soc.errors import AccessDenied, ConfigError, SocError, SourceUnavailable
from tests.adapters.kafka.conftest import Counts, Opens, commit, password_file, patiently, read, record, told
from tests.servers.fixtures import OwnKafka
from tests.servers.kafka_server import KafkaServer, Tls
from tests.servers.process import WITHIN_S, wait_until

pytestmark = pytest.mark.xdist_group("kafka-security")
Names = Callable[[str], str]
USER, PASSWORD = "soc", "correct-horse"


@dataclass
class Secured:
    """A private broker with a TLS listener that wants a login, and settings that are right for it."""

    broker: KafkaServer
    settings: KafkaSettings
    folder: Path

    def but(self, **changes: object) -> KafkaSettings:
        """The right settings with something wrong."""
        return self.settings.model_copy(update=changes)


@pytest.fixture(scope="module")
def secured(own_kafka: OwnKafka, tmp_path_factory: pytest.TempPathFactory) -> Secured:
    """One broker for the module."""
    folder = tmp_path_factory.mktemp("secrets")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    broker = own_kafka(tls=Tls(authority, {USER: PASSWORD, "admin": "admin-secret"}))
    settings = KafkaSettings(
        bootstrap_servers=[broker.secure],
        security_protocol="SASL_SSL",
        username=USER,
        password_file=password_file(folder, PASSWORD),
        ca_file=folder / "ca.pem",
        group="secured",
        session_timeout_s=60,
        silent_after_s=3,
        bootstrap_timeout_s=60,
    )
    return Secured(broker, settings, folder)


def _open(settings: KafkaSettings, topic: str = "any") -> None:
    source = KafkaRecordSource(settings, {"gate": KafkaSource(type="kafka", topics=[topic])}, clock=SystemClock())
    try:
        source.open({})
    finally:
        source.close()


def test_records_go_through_tls_with_a_login(secured: Secured, opened: Opens, unique_name: Names) -> None:
    """With the right password, authority and rights records are written and read."""
    topic = secured.broker.create_topic(unique_name("tls"))
    settings = secured.but(group=topic)
    secured.broker.allow(USER, "READ", "WRITE", "DESCRIBE", topic=topic)
    secured.broker.allow(USER, "READ", group=topic)
    sink = KafkaSink(settings, topic, clock=SystemClock())
    patiently(lambda: sink.write([record(1)]))
    sink.close()
    source = opened([topic], settings=settings, trust=True)
    records = read(source, 1)
    assert records[0].raw == b"line 1"
    commit(source, records)
    wait_until(lambda: all(finding.state == "ok" for finding in diagnose(settings)), what="no fault is found")


def test_a_wrong_password_is_named(secured: Secured) -> None:
    """A refused login says so, and whose."""
    error = told(lambda: _open(secured.but(password_file=password_file(secured.folder, "wrong"))), AccessDenied, "refuses the name or password of user soc")
    assert "kafka.password_file" in error.hint


def test_a_wrong_authority_is_named(secured: Secured) -> None:
    """A certificate of another authority says that it is not accepted."""
    trustme.CA().cert_pem.write_to_path(str(secured.folder / "other.pem"))
    text = f"certificate of {secured.broker.secure} is not accepted"
    error = told(lambda: _open(secured.but(ca_file=secured.folder / "other.pem")), SourceUnavailable, text)
    assert "kafka.ca_file" in error.hint


def test_plain_text_to_a_tls_port_is_named(secured: Secured) -> None:
    """A client that speaks no TLS to a TLS port is told so."""
    error = told(lambda: _open(secured.but(security_protocol="SASL_PLAINTEXT")), SourceUnavailable, f"{secured.broker.secure} speaks TLS only")
    assert "SASL_SSL" in error.hint


def test_tls_to_a_plain_port_is_named(secured: Secured) -> None:
    """TLS to a plain port is told, too."""
    error = told(lambda: _open(secured.but(bootstrap_servers=[secured.broker.bootstrap])), SourceUnavailable, "does not speak TLS")
    assert "SASL_PLAINTEXT" in error.hint


def test_a_login_where_none_is_wanted_is_named(secured: Secured) -> None:
    """A login on a listener without SASL is told apart from a wrong password."""
    settings = secured.but(bootstrap_servers=[secured.broker.bootstrap], security_protocol="SASL_PLAINTEXT")
    told(lambda: _open(settings), SocError, "does not take SCRAM-SHA-512")


def test_no_login_where_one_is_wanted_is_named(secured: Secured) -> None:
    """TLS without a login on a listener that wants one gives the hint to log in."""
    error = told(lambda: _open(secured.but(security_protocol="SSL", bootstrap_timeout_s=4)), SourceUnavailable, "ends the connection before it says who it is")
    assert "SASL_SSL" in error.hint


def test_another_mechanism_is_named(secured: Secured) -> None:
    """A mechanism that the listener does not have is told."""
    told(lambda: _open(secured.but(sasl_mechanism="PLAIN")), AccessDenied, "does not take PLAIN")


def test_a_closed_port_is_named(secured: Secured) -> None:
    """Where nobody listens, the address is named."""
    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:1 cannot be reached"):
        _open(secured.but(bootstrap_servers=["127.0.0.1:1"]))


def test_an_address_without_a_port_is_named(secured: Secured) -> None:
    """What is no host:port is told."""
    with pytest.raises(SourceUnavailable, match="kafka is no address"):
        _open(secured.but(bootstrap_servers=["kafka"]))


def test_something_else_than_kafka_is_named() -> None:
    """A server that answers in another protocol is not taken for Kafka."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def _answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=_answer, daemon=True)
        thread.start()
        findings = diagnose(KafkaSettings(bootstrap_servers=[f"127.0.0.1:{server.getsockname()[1]}"]))
        thread.join(WITHIN_S)
    assert [(finding.what, finding.state) for finding in findings] == [("address", "ok"), ("protocol", "fail")]


def test_a_broker_that_says_nothing_to_a_login_has_not_refused_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that is frozen or busy is away for a while: a run that took it for a wrong password would end."""
    monkeypatch.setattr(health, "PROBE_TIMEOUT_S", 0.5)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def _answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"\0\0\0\4\0\0\0\1")  # to the first question: a size, and the correlation id
                ended.wait(WITHIN_S)

        thread = threading.Thread(target=_answer, daemon=True)
        thread.start()
        findings = diagnose(
            KafkaSettings(
                bootstrap_servers=[f"127.0.0.1:{server.getsockname()[1]}"],
                security_protocol="SASL_PLAINTEXT",
                username=USER,
                password_file=password_file(tmp_path, PASSWORD),
            )
        )
        ended.set()
        thread.join(WITHIN_S)
    assert (findings[-1].what, findings[-1].state) == ("protocol", "fail")
    assert "does not answer" in findings[-1].message


def test_unreadable_certificates_are_a_fault_of_the_configuration(secured: Secured) -> None:
    """An authority file that is not there or no PEM names its key."""
    (secured.folder / "junk.pem").write_text("junk", encoding="utf-8")
    for file in ("absent.pem", "junk.pem"):
        with pytest.raises(ConfigError) as caught:
            _open(secured.but(ca_file=secured.folder / file))
        assert caught.value.key == "kafka.ca_file"


def test_a_topic_without_rights_is_named(secured: Secured, unique_name: Names) -> None:
    """Without rights to a topic the error names the topic and what to grant."""
    topic = secured.broker.create_topic(unique_name("denied"))
    assert "DESCRIBE and READ" in told(lambda: _open(secured.settings, topic), AccessDenied, topic).hint
    sink = KafkaSink(secured.settings, topic, clock=SystemClock())
    assert "DESCRIBE and WRITE" in told(lambda: sink.write([record(1)]), AccessDenied, topic).hint


def test_a_group_without_rights_is_named(secured: Secured, opened: Opens, unique_name: Names) -> None:
    """Without rights to the consumer group the error names the group."""
    topic = secured.broker.create_topic(unique_name("nogroup"))
    secured.broker.allow(USER, "READ", "DESCRIBE", topic=topic)
    source = opened([topic], settings=secured.but(group=topic + "-group"))
    told(lambda: source.poll(500, 0.5), AccessDenied, f"consumer group {topic}-group", again=True)


def test_rights_taken_away_while_reading_are_told_and_reading_goes_on_after_a_grant(
    secured: Secured, opened: Opens, unique_name: Names, counts: Counts
) -> None:
    """The bare client falls silent after a while; ours says that it may not read, and reads on when it may again."""
    topic = secured.broker.create_topic(unique_name("revoked"))
    secured.broker.allow(USER, "READ", "DESCRIBE", topic=topic)
    secured.broker.allow(USER, "READ", group=topic)
    source = opened([topic], settings=secured.but(group=topic))
    secured.broker.send(topic, [b"before"])
    commit(source, read(source, 1))
    secured.broker.forbid(USER, "READ", "DESCRIBE", topic=topic)
    told(lambda: source.poll(500, 0.5), AccessDenied, topic, again=True)  # a question that was asked before is answered by now
    secured.broker.send(topic, [b"after"])
    for _ in range(2):  # again and again, not once
        told(lambda: source.poll(500, 0.5), AccessDenied, topic, again=True)
    secured.broker.allow(USER, "READ", "DESCRIBE", topic=topic)
    assert [item.raw for item in read(source, 1)] == [b"after"]


def test_a_writer_whose_rights_are_taken_and_given_back_goes_on_under_the_same_positions(secured: Secured, unique_name: Names) -> None:
    """One denial makes a producer fatal for ever: ours is replaced, and what was refused is written under its own positions."""
    topic = secured.broker.create_topic(unique_name("writer"))
    secured.broker.allow(USER, "WRITE", "DESCRIBE", topic=topic)
    sink = KafkaSink(secured.settings, topic, clock=SystemClock())
    patiently(lambda: sink.write([record(0)]))
    secured.broker.forbid(USER, "WRITE", topic=topic)
    told(lambda: sink.write([record(1), record(2)]), AccessDenied, "writing to topic")
    secured.broker.allow(USER, "WRITE", topic=topic)

    def _written() -> bool:
        try:
            sink.write([record(1), record(2)])
        except (AccessDenied, SourceUnavailable):
            return False
        return True

    wait_until(_written, what="the records are written")
    sink.close()
    assert [dict(item.headers)["soc-pos"] for item in secured.broker.read_all(topic)] == [b"c1/edge/%d/0" % number for number in range(3)]
