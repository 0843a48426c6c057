"""A look at topics shows what is there, needs the rights of a worker and no others, and is seen by no group."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from soc.adapters.kafka.sample import KafkaSample
from soc.clock import SystemClock
from soc.config import KafkaSettings, KafkaSource
from soc.errors import AccessDenied, ConfigError
from tests.adapters.kafka.conftest import password_file, patiently
from tests.servers.fixtures import OwnKafka
from tests.servers.kafka_server import Broker, Tls
from tests.servers.process import WITHIN_S, wait_until

Names = Callable[[str], str]


@contextmanager
def _sampled(settings: KafkaSettings, topic: str) -> Iterator[KafkaSample]:
    sample = KafkaSample(settings, {"fw": KafkaSource(type="kafka", topics=[topic])}, clock=SystemClock())

    def _open() -> None:
        sample.close()
        sample.open({})

    try:
        patiently(_open)
        yield sample
    finally:
        sample.close()


def test_the_newest_records_are_shown_and_nobody_is_disturbed(kafka_broker: Broker, kafka_settings: KafkaSettings, unique_name: Names) -> None:
    """Of all partitions, at the first look and the same at the second; an empty topic has none; there is no group afterwards."""
    topic = kafka_broker.create_topic(unique_name("sample"), partitions=2)
    with _sampled(kafka_settings, topic) as sample:
        assert patiently(lambda: sample.poll(5, 0.1)) == []
        kafka_broker.send(topic, [b"line %d" % number for number in range(20)], partition=1)
        for _ in range(2):
            found = patiently(lambda: sample.poll(5, WITHIN_S))
            assert [(record.source, record.raw) for record in found] == [("fw", b"line %d" % number) for number in range(15, 20)]
    with kafka_broker.admin() as admin:
        assert kafka_settings.group not in str(admin.list_groups())


def test_a_missing_topic_is_told(kafka_settings: KafkaSettings, unique_name: Names) -> None:
    """As a run would tell it."""
    with pytest.raises(ConfigError, match="does not exist"), _sampled(kafka_settings, unique_name("none")):
        pass


def test_the_rights_of_a_worker_are_enough_and_needed(own_kafka: OwnKafka, tmp_path: Path, unique_name: Names) -> None:
    """READ on topic and group is all that a worker has; without that on the group it is told, as a run would be refused."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    broker = own_kafka(tls=Tls(authority, {"admin": "a", "soc": "s"}))
    topic, group = broker.create_topic(unique_name("rights")), unique_name("workers")
    broker.send(topic, [b"line"])
    settings = KafkaSettings(
        bootstrap_servers=[broker.secure],
        group=group,
        security_protocol="SASL_SSL",
        username="soc",
        password_file=password_file(tmp_path, "s"),
        ca_file=tmp_path / "ca.pem",
        bootstrap_timeout_s=60,
    )
    broker.allow("soc", "READ", "DESCRIBE", topic=topic)
    with pytest.raises(AccessDenied, match=f"may not use consumer group {group}"), _sampled(settings, topic):
        pass
    told = _tested(tmp_path, settings, topic, f"may not use consumer group {group}")
    assert told.returncode == 1, told.stdout + told.stderr
    assert "a library says" not in told.stderr, "what the client says on its way is in the error"
    broker.allow("soc", "READ", group=group)
    with _sampled(settings, topic) as sample:
        assert [record.raw for record in patiently(lambda: sample.poll(1, WITHIN_S))] == [b"line"]
    told = _tested(tmp_path, settings, topic, "line")
    assert (told.returncode, "line" in told.stdout) == (0, True), told.stdout + told.stderr


def _tested(folder: Path, settings: KafkaSettings, topic: str, text: str) -> subprocess.CompletedProcess[str]:
    """The first run of `soc sources test` that says so; where the broker does not answer in time another one is made, as by hand."""
    runs: list[subprocess.CompletedProcess[str]] = []

    def _is_told() -> bool:
        runs.append(_soc(folder, settings, topic, "sources", "test", "fw", "--wait", "300"))
        return text in runs[-1].stdout + runs[-1].stderr

    try:
        wait_until(_is_told, what=f"the words: {text}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{runs[-1].stdout}{runs[-1].stderr}") from None
    return runs[-1]


def _soc(folder: Path, settings: KafkaSettings, topic: str, *words: str) -> subprocess.CompletedProcess[str]:
    config = folder / "soc.toml"
    config.write_text(
        f"""[kafka]
bootstrap_servers = ["{settings.bootstrap_servers[0]}"]
group = "{settings.group}"
security_protocol = "SASL_SSL"
username = "soc"
password_file = "{settings.password_file}"
ca_file = "{settings.ca_file}"
bootstrap_timeout_s = {settings.bootstrap_timeout_s}
[sources.fw]
type = "kafka"
topics = ["{topic}"]
""",
        encoding="utf-8",
    )
    config.chmod(0o600)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("SOC_", "XDG_"))}
    env = {**kept, "HOME": str(folder), "LANG": "C.UTF-8"}
    return subprocess.run([sys.executable, "-m", "soc", *words, "--config", str(config)], env=env, capture_output=True, text=True, check=False, timeout=600)
