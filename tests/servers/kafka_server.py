"""A real Kafka broker (KRaft, broker and controller in one): its start, its listeners, its topics and rights."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.servers.containers import KAFKA_IMAGE, Container, engine_has
from tests.servers.jars import find_jdk, kafka_jars
from tests.servers.process import WITHIN_S, Child, Process, Server, free_port, wait_until

if TYPE_CHECKING:
    import trustme

_ids = iter(range(1, 1 << 30))
_WITHIN_MS = round(WITHIN_S * 1000)


@dataclass(frozen=True)
class Tls:
    """What a SASL_SSL listener needs, and what its clients show."""

    authority: trustme.CA
    users: Mapping[str, str]
    """Passwords by user name (SCRAM-SHA-512); all without rights but `admin`."""


def producer(bootstrap: str) -> Any:
    """A producer that waits for a broker whose disk stalls, and writes each record once all the same."""
    from kafka import KafkaProducer

    return KafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        bootstrap_timeout_ms=_WITHIN_MS,
        max_block_ms=_WITHIN_MS,
        request_timeout_ms=_WITHIN_MS,
        delivery_timeout_ms=2 * _WITHIN_MS,
    )


def consumer(bootstrap: str, **options: Any) -> Any:
    """A consumer of no group that is as patient."""
    from kafka import KafkaConsumer

    return KafkaConsumer(bootstrap_servers=bootstrap, bootstrap_timeout_ms=_WITHIN_MS, request_timeout_ms=_WITHIN_MS, enable_auto_commit=False, **options)


class Broker:
    """A broker that runs somewhere, seen through its plain listener (all rights)."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    @contextmanager
    def admin(self, within_s: float = WITHIN_S) -> Iterator[Any]:
        """An admin client of its own: one must not be shared by threads."""
        from kafka import KafkaAdminClient

        within_ms = round(within_s * 1000)
        client = KafkaAdminClient(bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=within_ms, request_timeout_ms=within_ms)
        try:
            yield client
        finally:
            client.close()

    def create_topic(self, name: str, partitions: int = 1, settings: Mapping[str, str] | None = None) -> str:
        """Create a topic and wait until it can be written; its name is returned."""
        with self.admin() as admin:
            admin.create_topics({name: {"num_partitions": partitions, "replication_factor": 1, "configs": dict(settings or {})}})
            wait_until(lambda: self._ready(admin, name, partitions), what=f"topic {name} has leaders")
        return name

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until it is gone."""
        with self.admin() as admin:
            admin.delete_topics([name])
            wait_until(lambda: name not in admin.list_topics(), what=f"topic {name} is gone")

    def add_partitions(self, name: str, total: int) -> None:
        """Raise the number of partitions of a topic."""
        with self.admin() as admin:
            admin.create_partitions({name: total})
            wait_until(lambda: self._ready(admin, name, total), what=f"topic {name} has {total} partitions")

    def end_offsets(self, name: str, partitions: int = 1) -> list[int]:
        """The next offset of each partition."""
        from kafka import TopicPartition

        with consumer(self.bootstrap) as asking:
            found = asking.end_offsets([TopicPartition(name, number) for number in range(partitions)])
        return [found[TopicPartition(name, number)] for number in range(partitions)]

    def read_all(self, name: str, partitions: int = 1) -> list[Any]:
        """Every record of a topic as kafka-python gives it, partition by partition."""
        from kafka import TopicPartition

        wanted = [TopicPartition(name, number) for number in range(partitions)]
        found: dict[Any, list[Any]] = {which: [] for which in wanted}
        with consumer(self.bootstrap, auto_offset_reset="earliest") as reading:
            reading.assign(wanted)
            ends = reading.end_offsets(wanted)
            reading.seek_to_beginning(*wanted)

            def is_read() -> bool:
                for which, records in reading.poll(timeout_ms=500).items():
                    found[which] += records
                return all(reading.position(which) >= ends[which] for which in wanted)

            wait_until(is_read, what=f"topic {name} is read", every_s=0.0)
        return [record for which in wanted for record in found[which]]

    def send(self, name: str, values: Iterable[bytes], *, partition: int | None = None, headers: Iterable[tuple[str, bytes]] = ()) -> None:
        """Write values to a topic, acknowledged on return."""
        with producer(self.bootstrap) as writing:
            futures = [writing.send(name, value, partition=partition, headers=list(headers)) for value in values]
            for future in futures:
                future.get(timeout=2 * WITHIN_S)

    @staticmethod
    def _ready(admin: Any, name: str, partitions: int) -> bool:
        from kafka.errors import KafkaError

        try:
            described = admin.describe_topics([name])
        except KafkaError:
            return False
        entries = described.values() if isinstance(described, dict) else described
        return any(len([p for p in topic["partitions"] if p["leader_id"] >= 0]) == partitions for topic in entries if topic.get("error_code", 0) == 0)


class KafkaServer(Server, Broker):
    """A private broker; `bootstrap` is the plain listener, `proxied` the one behind a fault proxy, `secure` SASL_SSL."""

    name = "kafka"

    def __init__(self, folder: Path, *, tls: Tls | None = None, proxy_port: int = 0, properties: Mapping[str, str] | None = None) -> None:
        Server.__init__(self, folder)
        plain, self._controller, secure = free_port(), free_port(), free_port()
        Broker.__init__(self, f"127.0.0.1:{plain}")
        self.behind_proxy = free_port()
        """Where a fault proxy must send what comes in at `proxy_port`."""
        self.proxied = f"127.0.0.1:{proxy_port}"
        self.secure = f"localhost:{secure}"
        self.secure_port = secure
        self.plain_port = plain
        # 16 bytes that no other run has: the port and folder are this run's own.
        self.cluster_id = base64.urlsafe_b64encode(f"{plain:05d}{next(_ids):04d}{int(time.monotonic() * 1e3) % 10**7:07d}".encode()).decode().rstrip("=")
        self._tls = tls
        self._properties(proxy_port, dict(properties or {}))
        self._formatted = False

    def _properties(self, proxy_port: int, more: dict[str, str]) -> None:
        listeners = [f"PLAINTEXT://{self.bootstrap}"]
        advertised = list(listeners)
        protocols = ["PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT", "PROXY:PLAINTEXT", "SASL_SSL:SASL_SSL"]
        if proxy_port:
            listeners.append(f"PROXY://127.0.0.1:{self.behind_proxy}")
            advertised.append(f"PROXY://127.0.0.1:{proxy_port}")
        if self._tls is not None:
            listeners.append(f"SASL_SSL://127.0.0.1:{self.secure_port}")
            advertised.append(f"SASL_SSL://{self.secure}")
            more = {**self._security(self._tls), **more}
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller}",
            "listeners": ",".join([*listeners, f"CONTROLLER://127.0.0.1:{self._controller}"]),
            "advertised.listeners": ",".join(advertised),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": ",".join(protocols),
            "log.dirs": str(self.folder / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "5",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "group.initial.rebalance.delay.ms": "0",
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "log.segment.delete.delay.ms": "500",
            "log.retention.ms": "-1",  # records are dated by clocks that stand still, however long ago that is
            **more,
        }
        self._config = self.folder / "server.properties"
        self._config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")

    def _security(self, tls: Tls) -> dict[str, str]:
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

        authority = self.folder / "ca.pem"
        tls.authority.cert_pem.write_to_path(str(authority))
        issued = tls.authority.issue_cert("localhost", "127.0.0.1")
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems) + tls.authority.cert_pem.bytes()
        store = self.folder / "broker.pem"
        store.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + chain)
        return {
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(authority),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:admin",
            "allow.everyone.if.no.acl.found": "false",
        }

    def _scram(self) -> list[str]:
        users = self._tls.users if self._tls else {}
        return [part for name, password in users.items() for part in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")]

    def _launch(self) -> Child:
        format_words = ["format", "--ignore-formatted", "-t", self.cluster_id, "-c", str(self._config), *self._scram()]
        if engine_has(KAFKA_IMAGE):
            quoted = " ".join(f"'{word}'" for word in format_words)
            script = f"/opt/kafka/bin/kafka-storage.sh {quoted} && exec /opt/kafka/bin/kafka-server-start.sh '{self._config}'"
            env = {"KAFKA_HEAP_OPTS": "-Xmx512m", "LOG_DIR": str(self.folder / "logs")}
            return Container(KAFKA_IMAGE, ["-c", script], folder=self.folder, log=self.log, env=env, entrypoint="/bin/bash")
        java = [str(find_jdk() / "bin" / "java"), "-Xmx512m", "-XX:TieredStopAtLevel=4", "-cp", f"{kafka_jars()}/*"]
        if not self._formatted:
            formatting = Process([*java, "kafka.tools.StorageTool", *format_words], log=self.log)
            wait_until(lambda: not formatting.alive(), what="the broker's folder is formatted")
            self._formatted = True
        return Process([*java, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "kafka.Kafka", str(self._config)], log=self.log)

    def _answers(self) -> bool:
        import socket

        from kafka.errors import KafkaError

        try:
            socket.create_connection(("127.0.0.1", self.plain_port), timeout=10).close()
            with self.admin(20) as admin:
                return bool(admin.describe_cluster()["cluster_id"] == self.cluster_id)
        except (OSError, KafkaError):
            return False

    def allow(self, user: str, *operations: str, topic: str = "", group: str = "") -> None:
        """Grant rights on a topic or a group, in force on return."""
        from kafka.admin import ACL, ACLPermissionType, ResourcePattern, ResourceType

        with self.admin() as admin:
            admin.create_acls([self._acl(ACL, ACLPermissionType, ResourcePattern, ResourceType, user, operation, topic, group) for operation in operations])
            wait_until(lambda: set(operations) <= self._granted(admin, user, topic, group), what="the broker knows the rights")

    def forbid(self, user: str, *operations: str, topic: str = "", group: str = "") -> None:
        """Take rights away again, in force on return."""
        from kafka.admin import ACLFilter, ACLPermissionType, ResourcePatternFilter, ResourceType

        with self.admin() as admin:
            admin.delete_acls(
                [self._acl(ACLFilter, ACLPermissionType, ResourcePatternFilter, ResourceType, user, operation, topic, group) for operation in operations]
            )
            wait_until(lambda: not set(operations) & self._granted(admin, user, topic, group), what="the broker has forgotten the rights")

    @staticmethod
    def _acl(acl: Any, permission: Any, pattern: Any, kinds: Any, user: str, operation: str, topic: str, group: str) -> Any:
        from kafka.admin import ACLOperation, ACLResourcePatternType

        resource = pattern(kinds.TOPIC if topic else kinds.GROUP, topic or group, pattern_type=ACLResourcePatternType.LITERAL)
        return acl(f"User:{user}", "*", ACLOperation[operation], permission.ALLOW, resource)

    @staticmethod
    def _granted(admin: Any, user: str, topic: str, group: str) -> set[str]:
        """What a user may do with a topic or a group as the broker sees it: the controller knows at once, the broker when it has read that."""
        from kafka.admin import ACLFilter, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePatternFilter, ResourceType

        resource = ResourcePatternFilter(ResourceType.TOPIC if topic else ResourceType.GROUP, topic or group, ACLResourcePatternType.LITERAL)
        found, _ = admin.describe_acls(ACLFilter(f"User:{user}", "*", ACLOperation.ANY, ACLPermissionType.ALLOW, resource))
        return {acl.operation.name for acl in found}
