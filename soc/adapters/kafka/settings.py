"""Our settings as options of kafka-python, and its errors as ours.

Cost: importing the client takes a third of a second, so it is imported where it is used.
"""

from __future__ import annotations

import logging
import ssl
from typing import Any

from soc.config import KafkaSettings, secret
from soc.errors import AccessDenied, ConfigError, Phrase, SocError, SourceUnavailable

REQUEST_TIMEOUT_MS = 30_000
"""Three times the stall of a broker that was killed (8-12 s with the broker's defaults)."""
MAX_POLL_INTERVAL_MS = 300_000
"""A group that rebalances waits so long for a member that does not poll; ours polls while it waits for its store, too."""


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """The options that every client of the cluster needs.

    Raises: ConfigError when a certificate or the password cannot be read.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "bootstrap_timeout_ms": round(settings.bootstrap_timeout_s * 1000),
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "security_protocol": settings.security_protocol,
        "reconnect_backoff_max_ms": 2_000,
    }
    if uses_tls(settings):
        options["ssl_context"] = tls_context(settings)
    if uses_sasl(settings):
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.username,
            "sasl_plain_password": secret("kafka.password", settings.password_file, settings.password_command),
        }
    return options


def uses_tls(settings: KafkaSettings) -> bool:
    """Whether connections are encrypted."""
    return settings.security_protocol in {"SSL", "SASL_SSL"}


def uses_sasl(settings: KafkaSettings) -> bool:
    """Whether we log in by name and password."""
    return settings.security_protocol in {"SASL_PLAINTEXT", "SASL_SSL"}


def tls_context(settings: KafkaSettings) -> ssl.SSLContext:
    """The TLS side of a client: the broker's name and certificate are always checked.

    Raises: ConfigError when a file cannot be used, named by its key.
    """
    key = "kafka.ca_file"
    try:
        context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
        key = "kafka.cert_file"
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(Phrase("{key} cannot be used: {error}", key=key, error=error), key=key, hint="it must be a readable PEM file") from error
    return context


def servers(settings: KafkaSettings) -> str:
    """The bootstrap servers as they are shown."""
    return ", ".join(settings.bootstrap_servers)


def create_command(settings: KafkaSettings, topic: str) -> str:
    """The command that creates a topic on the cluster of the settings."""
    return f"kafka-topics.sh --bootstrap-server {settings.bootstrap_servers[0]} --create --topic {topic} --partitions 4"


def missing_topic(settings: KafkaSettings, cluster: str, topic: str) -> tuple[str, str]:
    """Message and hint for a topic that is not there."""
    return f"topic {topic} does not exist on Kafka cluster {cluster} ({servers(settings)})", f"create it: {create_command(settings, topic)}"


def translate(error: Exception, settings: KafkaSettings, doing: str) -> SocError:
    """Our error for one of kafka-python's: denied rights are told from a cluster that does not answer."""
    from kafka import errors

    user = Phrase("user {name}", name=settings.username) if settings.username else Phrase("this client")
    if isinstance(error, errors.GroupAuthorizationFailedError):
        return AccessDenied(
            Phrase("{doing}: {user} may not use consumer group {group}", doing=Phrase(doing), user=user, group=settings.group),
            hint=Phrase("grant READ on group {group} to {user}", group=settings.group, user=user),
        )
    if isinstance(error, errors.FencedInstanceIdError):
        return ConfigError(
            Phrase("{doing}: another worker has the instance id {instance_id}", doing=Phrase(doing), instance_id=settings.instance_id),
            key="kafka.instance_id",
            hint="give every worker an id of its own",
        )
    if isinstance(error, errors.AuthorizationError):
        about = " ".join(sorted(map(str, error.args[0]))) if error.args and isinstance(error.args[0], set | frozenset) else ""
        return AccessDenied(
            Phrase("{doing}: {user} has no right to topic {topic}", doing=Phrase(doing), user=user, topic=about)
            if about
            else Phrase("{doing}: {user} has no right to it", doing=Phrase(doing), user=user),
            hint=Phrase("grant DESCRIBE and READ (or WRITE) on the topic {topic}", topic=about) if about else "grant DESCRIBE and READ (or WRITE) on the topic",
        )
    if isinstance(error, errors.SaslAuthenticationFailedError):
        return AccessDenied(
            Phrase("{doing}: Kafka refuses the name or password of {user}", doing=Phrase(doing), user=user), hint="check kafka.username and kafka.password_file"
        )
    return SourceUnavailable(
        Phrase(
            "{doing}: {name} from Kafka at {servers}: {error}",
            doing=Phrase(doing),
            name=type(error).__name__,
            servers=servers(settings),
            error=str(error)[:300],
        ),
        hint="soc doctor tells what is wrong",
    )


def quiet_client_log() -> None:
    """Keep the client's own log to errors, or to what the root's level says: it reports each reconnection."""
    logger = logging.getLogger("kafka")
    if logger.level == logging.NOTSET:
        logger.setLevel(max(logging.ERROR, logging.getLogger().level))
