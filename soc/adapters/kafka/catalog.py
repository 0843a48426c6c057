"""What a Kafka cluster has: its id, and the id and partitions of topics, asked for anew when it matters.

A topic that is deleted and created again has another id; positions are kept per id, so nothing of the new one is mistaken
for a replay of the old one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple

from soc.adapters.kafka.health import explain, reachable
from soc.adapters.kafka.settings import connection_options, missing_topic, quiet_client_log, servers, translate
from soc.config import KafkaSettings
from soc.errors import AccessDenied, ConfigError, Phrase, SourceUnavailable


class Topic(NamedTuple):
    """A topic as it is now."""

    id: str
    partitions: int


class Catalog:
    """Asks one cluster about topics and group members; for one thread only (clients must not be shared)."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Connect.

        Raises: SourceUnavailable, AccessDenied, ConfigError, each saying which step failed.
        """
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        quiet_client_log()
        self._settings = settings
        doing = "Kafka cannot be used"
        reachable(settings, doing)
        try:
            self._admin: Any = KafkaAdminClient(**connection_options(settings))
        except KafkaError as error:
            raise explain(settings, error, doing) from error
        try:
            self.cluster_id = str(self._admin.describe_cluster()["cluster_id"])
        except KafkaError as error:
            self.close()
            raise translate(error, settings, doing) from error

    def topics(self, names: Collection[str], *, right: Literal["READ", "WRITE"] = "READ") -> dict[str, Topic]:
        """The topics of these names that exist now. `right`: what the caller is about to do with them.

        Raises: AccessDenied, ConfigError for a name that no topic can have, SourceUnavailable.   Cost: one round trip.
        """
        from kafka.errors import InvalidTopicError, KafkaError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError, for_code

        try:
            described = self._admin.describe_topics(list(names))
        except KafkaError as error:
            raise translate(error, self._settings, "asking Kafka for topics") from error
        found: dict[str, Topic] = {}
        for topic in described:
            fault = for_code(topic.get("error_code", 0))
            if fault is TopicAuthorizationFailedError:
                raise AccessDenied(
                    Phrase(
                        "topic {name}: {username} has no right to it, or it does not exist",
                        name=topic["name"],
                        username=self._settings.username or "this client",
                    ),
                    hint=Phrase("grant DESCRIBE and {right} on topic {name}", right=right, name=topic["name"]),
                )
            if fault is InvalidTopicError:
                raise ConfigError(
                    Phrase("{name!r} is no name of a topic", name=topic["name"]), key="topics", hint="letters, digits, dot, _ and -, at most 249 of them"
                )
            if fault is UnknownTopicOrPartitionError:
                continue
            if topic.get("error_code", 0):
                raise SourceUnavailable(
                    Phrase("asking Kafka at {servers} for topic {name}: {name2}", servers=servers(self._settings), name=topic["name"], name2=fault.__name__)
                )
            found[topic["name"]] = Topic(str(topic["topic_id"]), len(topic["partitions"]))
        return found

    def require(self, names: Collection[str], *, running: bool) -> dict[str, Topic]:
        """The topics of these names, all of them.

        Raises: ConfigError for a missing one; SourceUnavailable when `running`, as it may be created anew.
        """
        found = self.topics(names)
        for name in names:
            if name not in found:
                message, hint = missing_topic(self._settings, self.cluster_id, name)
                if running:
                    raise SourceUnavailable(message, hint=hint)
                raise ConfigError(message, key="topics", hint=hint)
        return found

    def create(self, name: str, partitions: int, settings: Mapping[str, str]) -> None:
        """Create a topic unless it is there by now, with as many replicas as the cluster gives by itself.

        Raises: ConfigError when this client may not, with the command for somebody who may; SourceUnavailable.
        """
        from kafka.errors import AuthorizationError, KafkaError, TopicAlreadyExistsError

        try:
            self._admin.create_topics({name: {"num_partitions": partitions, "configs": dict(settings)}}, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            return
        except AuthorizationError as error:
            message, hint = missing_topic(self._settings, self.cluster_id, name)
            raise ConfigError(message, hint=hint) from error
        except KafkaError as error:
            raise translate(error, self._settings, Phrase("creating topic {name}", name=name)) from error

    def setting(self, topic: str, name: str) -> str | None:
        """A setting of a topic as it is in force; None for who has not the right to know (DESCRIBE_CONFIGS).

        Raises: SourceUnavailable.
        """
        from kafka.admin import ConfigResource, ConfigResourceType
        from kafka.errors import AuthorizationError, KafkaError

        try:
            found = self._admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={name: None})], config_filter="all")
            (settings,) = (of_one for of_kind in found.values() for of_one in of_kind.values())
            return str(settings[name]["value"])
        except AuthorizationError:
            return None
        except KafkaError as error:
            raise translate(error, self._settings, Phrase("asking Kafka for topic {name}", name=topic)) from error

    def membership(self, group: str, member_id: str) -> Literal["member", "rebalancing", "stranger"]:
        """What the group says of this member: it counts it in (perhaps without partitions), waits for others, or does not know it.

        Raises: SourceUnavailable, AccessDenied.
        """
        from kafka.errors import KafkaError

        try:
            described = self._admin.describe_groups([group])[group]
        except KafkaError as error:
            raise translate(error, self._settings, Phrase("asking Kafka for group {group}", group=group)) from error
        if "Rebalanc" in str(described.get("group_state", "")):
            return "rebalancing"
        return "member" if member_id in {member["member_id"] for member in described.get("members", [])} else "stranger"

    def close(self) -> None:
        """Disconnect; idempotent."""
        self._admin.close()
