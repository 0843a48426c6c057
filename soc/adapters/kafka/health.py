"""What is wrong with the way to a Kafka cluster, told apart step by step.

The client answers a wrong password, a wrong certificate authority and a missing TLS alike, with a time-out. So this module
goes the way itself: name, TCP, TLS, first answer of the protocol, login; only then it lets the client try.
"""

from __future__ import annotations

import socket
import ssl
import struct
from typing import Any, Literal

import msgspec

from soc.adapters.kafka.settings import connection_options, servers, tls_context, translate, uses_sasl, uses_tls
from soc.config import KafkaSettings, secret
from soc.errors import AccessDenied, ConfigError, Phrase, SocError, SourceUnavailable

PROBE_TIMEOUT_S = 5.0
"""For each step: a broker that lives answers in milliseconds."""
# Reference: Kafka protocol guide, "Request Header v1": key, version, correlation id, client id (-1 = none).
_HEADER = ">hhih"
_API_VERSIONS, _SASL_HANDSHAKE, _SASL_AUTHENTICATE = (18, 0), (17, 1), (36, 0)
_CORRELATION = 1
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
    if any(finding.what == ("login" if uses_sasl(settings) else "protocol") and finding.state == "ok" for finding in found):
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
    return _error(fault, doing)


def _error(fault: Finding, doing: str) -> SocError:
    text = Phrase("{doing}: {message}", doing=Phrase(doing), message=Phrase(fault.message))
    return AccessDenied(text, hint=fault.hint) if fault.what == "login" else SourceUnavailable(text, hint=fault.hint)


def _probe(settings: KafkaSettings, server: str) -> list[Finding]:
    host, _, port = server.rpartition(":")
    found: list[Finding] = []
    try:
        plain = socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_TIMEOUT_S)
    except ValueError:
        return [Finding(server, "address", "fail", Phrase("{server} is no address", server=server), "write kafka.bootstrap_servers as host:port")]
    except OSError as error:
        return [
            Finding(
                server,
                "address",
                "fail",
                Phrase("{server} cannot be reached: {error}", server=server, error=error),
                "is the broker running, and the port right and open?",
            )
        ]
    with plain:
        found.append(Finding(server, "address", "ok", Phrase("{server} accepts connections", server=server)))
        if not uses_tls(settings):
            return [*found, *_talk(plain, settings, server)]
        try:
            with tls_context(settings).wrap_socket(plain, server_hostname=host.strip("[]")) as wrapped:
                found.append(Finding(server, "tls", "ok", Phrase("{server} shows a good certificate ({version})", server=server, version=wrapped.version())))
                return [*found, *_talk(wrapped, settings, server)]
        except OSError as error:
            return [*found, _tls_fault(settings, server, error)]


def _tls_fault(settings: KafkaSettings, server: str, error: OSError) -> Finding:
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "set kafka.ca_file to the authority that signed the broker's certificate, and use the name that stands in it"
        return Finding(
            server,
            "tls",
            "fail",
            Phrase("the certificate of {server} is not accepted: {verify_message}", server=server, verify_message=error.verify_message),
            hint,
        )
    if isinstance(error, ssl.SSLError) and "certificate required" in str(error).lower():
        return Finding(server, "tls", "fail", Phrase("{server} wants a client certificate", server=server), "set kafka.cert_file and kafka.key_file")
    other = "SASL_PLAINTEXT" if uses_sasl(settings) else "PLAINTEXT"
    return Finding(
        server,
        "tls",
        "fail",
        Phrase("{server} does not speak TLS ({error})", server=server, error=error),
        Phrase("use its TLS port, or set kafka.security_protocol to {other}", other=other),
    )


def _talk(connection: socket.socket, settings: KafkaSettings, server: str) -> list[Finding]:
    """What the server says to the first request, and to our login."""
    try:
        body = _ask(connection, _API_VERSIONS, b"")
    except OSError as error:
        return [Finding(server, "protocol", "fail", Phrase("{server} does not answer: {error}", server=server, error=error), "is it a Kafka listener?")]
    if body is not None and body[:4] == struct.pack(">i", _CORRELATION):
        found = Finding(server, "protocol", "ok", Phrase("{server} speaks Kafka", server=server))
        return [found, _login(connection, settings, server)] if uses_sasl(settings) else [found]
    if not uses_tls(settings) and (body is None or body[:1] == bytes([_TLS_ALERT])):
        other = "SASL_SSL" if uses_sasl(settings) else "SSL"
        hint = Phrase("set kafka.security_protocol to {other} (and kafka.ca_file), or use its plain port", other=other)
        return [
            Finding(
                server,
                "tls",
                "fail",
                Phrase(
                    "{server} speaks TLS only, and kafka.security_protocol is {security_protocol}", server=server, security_protocol=settings.security_protocol
                ),
                hint,
            )
        ]
    return [Finding(server, "protocol", "fail", Phrase("{server} does not speak Kafka", server=server), "is it the port of a Kafka listener?")]


def _login(connection: socket.socket, settings: KafkaSettings, server: str) -> Finding:
    """Whether the server takes our name and password: the client's own log does not say so reliably."""
    from kafka.net.sasl import SaslMechanismPlain, SaslMechanismScram

    config = {
        "sasl_plain_username": settings.username,
        "sasl_plain_password": secret("kafka.password", settings.password_file, settings.password_command),
        "sasl_mechanism": settings.sasl_mechanism,
    }
    mechanism = settings.sasl_mechanism.encode()
    refused = Finding(
        server,
        "login",
        "fail",
        Phrase("Kafka at {server} refuses the name or password of user {username}", server=server, username=settings.username),
        "check kafka.username and kafka.password_file (or kafka.password_command)",
    )
    try:
        answer = _ask(connection, _SASL_HANDSHAKE, struct.pack(">h", len(mechanism)) + mechanism)
        if not answer or answer[4:6] != b"\0\0":
            hint = "set kafka.sasl_mechanism and kafka.security_protocol as the listener has them"
            return Finding(
                server,
                "login",
                "fail",
                Phrase("Kafka at {server} does not take {sasl_mechanism} on this listener", server=server, sasl_mechanism=settings.sasl_mechanism),
                hint,
            )
        exchange = SaslMechanismPlain(**config) if settings.sasl_mechanism == "PLAIN" else SaslMechanismScram(**config)
        while not exchange.is_done():
            token = exchange.auth_bytes()
            answer = _ask(connection, _SASL_AUTHENTICATE, struct.pack(">i", len(token)) + token)
            if not answer or answer[4:6] != b"\0\0":
                return refused
            exchange.receive(_auth_bytes(answer))
    except TimeoutError as error:  # a broker that is frozen or busy refuses nobody
        return Finding(server, "protocol", "fail", Phrase("{server} does not answer: {error}", server=server, error=error), "look at the broker's log")
    except (OSError, ValueError, KeyError, IndexError, struct.error):
        return refused
    return Finding(server, "login", "ok", Phrase("{server} takes user {username}", server=server, username=settings.username))


def _auth_bytes(answer: bytes) -> bytes:
    # Reference: SaslAuthenticate response v0: correlation id, error code, error message (nullable string), auth bytes.
    (size,) = struct.unpack_from(">h", answer, 6)
    at = 8 + max(0, size)
    (length,) = struct.unpack_from(">i", answer, at)
    return answer[at + 4 : at + 4 + length]


def _ask(connection: socket.socket, request: tuple[int, int], body: bytes) -> bytes | None:
    """The answer to one request; None when the server hangs up, its first bytes when it is none of Kafka's."""
    message = struct.pack(_HEADER, *request, _CORRELATION, -1) + body
    connection.sendall(struct.pack(">i", len(message)) + message)
    head = _read(connection, 4)
    if len(head) < 4:  # noqa: PLR2004 - the size field
        return head or None
    (size,) = struct.unpack(">i", head)
    return _read(connection, size) if 4 <= size <= _LARGEST_ANSWER else head  # noqa: PLR2004 - at least a correlation id


def _read(connection: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size and (more := connection.recv(size - len(got))):
        got += more
    return got


def _log_in(settings: KafkaSettings, options: dict[str, Any]) -> Finding:
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    where = servers(settings)
    try:
        client = KafkaAdminClient(**{**options, "bootstrap_timeout_ms": min(3_000, options["bootstrap_timeout_ms"])})
        try:
            cluster = client.describe_cluster()["cluster_id"]
        finally:
            client.close()
    except KafkaError as error:
        hint = "look at the broker's log"
        if not uses_sasl(settings):
            other = "SASL_SSL" if uses_tls(settings) else "SASL_PLAINTEXT"
            hint = Phrase("if the listener wants a login, set kafka.security_protocol to {other}; else look at the broker's log", other=other)
        return Finding(
            where, "cluster", "fail", Phrase("Kafka at {where} ends the connection before it says who it is ({error})", where=where, error=error), hint
        )
    return Finding(where, "cluster", "ok", Phrase("cluster {cluster} lets us in", cluster=cluster))


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
        raise _error(first, doing)
