"""What is wrong with the way to a Kafka cluster, told apart step by step.

The client answers a wrong password, a wrong certificate authority and a missing TLS alike, with a time-out. So this module
goes the way itself: name, TCP, TLS, first answer of the protocol; only then it lets the client log in.
"""

from __future__ import annotations

import logging
import socket
import ssl
import struct
from typing import Any, Literal

import msgspec

from soc.adapters.kafka.settings import connection_options, servers, tls_context, translate, uses_sasl, uses_tls
from soc.config import KafkaSettings
from soc.errors import AccessDenied, ConfigError, SocError, SourceUnavailable

PROBE_TIMEOUT_S = 5.0
"""For each step: a broker that lives answers in milliseconds."""
# Reference: Kafka protocol guide, "Request Header v1" and ApiVersions (key 18) version 0: size, key, version, correlation id, client id.
_API_VERSIONS = struct.pack(">hhih", 18, 0, 1, -1)
_LARGEST_ANSWER = 65_536
_TLS_ALERT = 0x15


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at: `hint` says what to do ("" when it is fine)."""

    server: str
    what: Literal["address", "tls", "protocol", "login", "cluster"]
    state: Literal["ok", "fail"]
    message: str
    hint: str = ""


def diagnose(settings: KafkaSettings) -> list[Finding]:
    """What each bootstrap server says, up to its first fault; and whether the cluster lets us in.

    Raises: ConfigError when certificate or password files cannot be read.
    """
    options = connection_options(settings)
    found = [finding for server in settings.bootstrap_servers for finding in _probe(settings, server)]
    if any(finding.what == "protocol" and finding.state == "ok" for finding in found):
        found.append(_log_in(settings, options))
    return found


def explain(settings: KafkaSettings, cause: Exception, doing: str) -> SocError:
    """The error to raise when a client could not reach the cluster: what `diagnose` found, else the client's own words."""
    try:
        faults = [finding for finding in diagnose(settings) if finding.state == "fail"]
    except ConfigError as error:
        return error
    if not faults:
        return translate(cause, settings, doing)
    fault = min(faults, key=lambda finding: ("login", "tls", "protocol", "cluster", "address").index(finding.what))
    text = f"{doing}: {fault.message}"
    return AccessDenied(text, hint=fault.hint) if fault.what == "login" else SourceUnavailable(text, hint=fault.hint)


def _probe(settings: KafkaSettings, server: str) -> list[Finding]:
    host, _, port = server.rpartition(":")
    found: list[Finding] = []
    try:
        plain = socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_TIMEOUT_S)
    except ValueError:
        return [Finding(server, "address", "fail", f"{server} is no address", "write kafka.bootstrap_servers as host:port")]
    except OSError as error:
        return [Finding(server, "address", "fail", f"{server} cannot be reached: {error}", "is the broker running, and the port right and open?")]
    with plain:
        found.append(Finding(server, "address", "ok", f"{server} accepts connections"))
        if not uses_tls(settings):
            return [*found, _first_answer(plain, settings, server)]
        try:
            with tls_context(settings).wrap_socket(plain, server_hostname=host.strip("[]")) as wrapped:
                found.append(Finding(server, "tls", "ok", f"{server} shows a good certificate ({wrapped.version()})"))
                return [*found, _first_answer(wrapped, settings, server)]
        except OSError as error:
            return [*found, _tls_fault(settings, server, error)]


def _tls_fault(settings: KafkaSettings, server: str, error: OSError) -> Finding:
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "set kafka.ca_file to the authority that signed the broker's certificate, and use the name that stands in it"
        return Finding(server, "tls", "fail", f"the certificate of {server} is not accepted: {error.verify_message}", hint)
    if isinstance(error, ssl.SSLError) and "certificate required" in str(error).lower():
        return Finding(server, "tls", "fail", f"{server} wants a client certificate", "set kafka.cert_file and kafka.key_file")
    other = "SASL_PLAINTEXT" if uses_sasl(settings) else "PLAINTEXT"
    return Finding(server, "tls", "fail", f"{server} does not speak TLS ({error})", f"use its TLS port, or set kafka.security_protocol to {other}")


def _first_answer(connection: socket.socket, settings: KafkaSettings, server: str) -> Finding:
    try:
        connection.sendall(struct.pack(">i", len(_API_VERSIONS)) + _API_VERSIONS)
        head = _read(connection, 4)
        size = struct.unpack(">i", head)[0] if len(head) == 4 else -1  # noqa: PLR2004 - the size field
        body = _read(connection, size) if 4 <= size <= _LARGEST_ANSWER else b""  # noqa: PLR2004 - at least a correlation id
    except OSError as error:
        return Finding(server, "protocol", "fail", f"{server} does not answer: {error}", "is it a Kafka listener?")
    if body[:4] == struct.pack(">i", 1):
        return Finding(server, "protocol", "ok", f"{server} speaks Kafka")
    if not uses_tls(settings) and (not head or head[0] == _TLS_ALERT):
        other = "SASL_SSL" if uses_sasl(settings) else "SSL"
        hint = f"set kafka.security_protocol to {other} (and kafka.ca_file), or use its plain port"
        return Finding(server, "tls", "fail", f"{server} speaks TLS only, and kafka.security_protocol is {settings.security_protocol}", hint)
    return Finding(server, "protocol", "fail", f"{server} does not speak Kafka", "is it the port of a Kafka listener?")


def _read(connection: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size and (more := connection.recv(size - len(got))):
        got += more
    return got


class _Heard(logging.Handler):
    """Remembers what the client logs: it is the only place that names a refused login."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.text) < _LARGEST_ANSWER:
            self.text += record.getMessage() + "\n"


def _log_in(settings: KafkaSettings, options: dict[str, Any]) -> Finding:
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    logger, heard = logging.getLogger("kafka"), _Heard()
    logger.addHandler(heard)
    where = servers(settings)
    try:
        client = KafkaAdminClient(**{**options, "bootstrap_timeout_ms": min(3_000, options["bootstrap_timeout_ms"])})
        try:
            cluster = client.describe_cluster()["cluster_id"]
        finally:
            client.close()
    except KafkaError as error:
        text = heard.text + str(error)
        if uses_sasl(settings) and ("AuthenticationFailed" in text or "Authentication failed" in text):
            hint = "check kafka.username and kafka.password_file (or kafka.password_command)"
            return Finding(where, "login", "fail", f"Kafka at {where} refuses the name or password of user {settings.username}", hint)
        if uses_sasl(settings) and ("UnsupportedSaslMechanism" in text or "IllegalSaslState" in text):
            hint = "set kafka.sasl_mechanism and kafka.security_protocol as the listener has them"
            return Finding(where, "login", "fail", f"Kafka at {where} does not take {settings.sasl_mechanism} on this listener", hint)
        if not uses_sasl(settings) and "Connection" in text:
            hint = "if the listener wants a login, set kafka.security_protocol to SASL_SSL or SASL_PLAINTEXT"
            return Finding(where, "cluster", "fail", f"Kafka at {where} closes the connection before it says who it is", hint)
        return Finding(where, "cluster", "fail", f"Kafka at {where} does not answer: {error}", "look at the broker's log")
    finally:
        logger.removeHandler(heard)
    return Finding(where, "cluster", "ok", f"cluster {cluster} lets us in")


def reachable(settings: KafkaSettings, doing: str) -> None:
    """Return when at least one bootstrap server speaks the protocol.

    Asked before a client is made: one that cannot connect leaves its thread and sockets behind.
    Raises: SourceUnavailable with the first server's fault, ConfigError.
    """
    first: Finding | None = None
    for server in settings.bootstrap_servers:
        last = _probe(settings, server)[-1]
        if last.state == "ok":
            return
        first = first or last
    if first is not None:
        raise SourceUnavailable(f"{doing}: {first.message}", hint=first.hint)
