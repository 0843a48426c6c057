"""The syslog receiver on real sockets, into a real spool."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from soc.adapters.spool import Spool
from soc.adapters.syslog import SyslogReceiver, receiver
from soc.clock import SystemClock
from soc.config import SyslogSource
from soc.errors import ConfigError, NotAllowed, StoreFull
from soc.model.record import RawRecord
from tests.servers.process import WITHIN_S, wait_until


@contextmanager
def receiving(tmp_path: Path, sink: object = None, **settings: object) -> Iterator[tuple[SyslogReceiver, dict[str, tuple[str, int]], Spool]]:
    spool = Spool(tmp_path / "spool", most_bytes=1 << 28)
    made = SyslogReceiver("fw", SyslogSource.model_validate({"type": "syslog", **settings}), sink or spool, clock=SystemClock())  # type: ignore[arg-type]  # tests pass sinks of their own
    made.start()
    try:
        where = {}
        for address in made.addresses():
            kind, _, place = address.partition(" ")
            host, _, port = place.rpartition(":")
            where[kind] = (host.strip("[]"), int(port))
        yield made, where, spool
    finally:
        made.stop()
        spool.close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is thought idle or stuck because the machine stood still."""
    monkeypatch.setattr(receiver, "EVICT_IDLE_S", 10 * WITHIN_S)
    monkeypatch.setattr(receiver, "HANDSHAKE_S", WITHIN_S)


def until(condition: Callable[[], bool]) -> None:
    wait_until(condition, every_s=0.01)


def spooled(spool: Spool, count: int) -> list[RawRecord]:
    """The records of the stream, once there are `count`."""
    source = spool.source("fw")
    source.open({})
    out: list[RawRecord] = []

    def _is_there() -> bool:
        out.extend(source.poll(10_000, 0.0))
        return len(out) >= count

    until(_is_there)
    return out


def test_datagrams_and_both_framings_are_spooled_with_sender_and_time(tmp_path: Path) -> None:
    """UDP, octet counting and line ends arrive as the same records, with address and received time."""
    with receiving(tmp_path, udp="127.0.0.1:0", tcp="127.0.0.1:0", max_record_bytes=1000) as (received, where, spool):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"<1>datagram\n", where["udp"])
            udp.sendto(b"<1>" + b"x" * 1997, where["udp"])
        assert [(record.raw[:11], record.truncated_bytes) for record in spooled(spool, 2)] == [(b"<1>datagram", 0), (b"<1>xxxxxxxx", 1000)]
        with socket.create_connection(where["tcp"]) as tcp:
            tcp.sendall(b"<1>line\n6 <2>a\nb<3>last")
        records = spooled(spool, 5)
        assert [record.raw for record in records[2:]] == [b"<1>line", b"<2>a\nb", b"<3>last"]
        assert {record.host for record in records} == {"127.0.0.1"}
        assert all(abs(record.received_us - SystemClock().now_us()) < 60_000_000 for record in records)
        assert received.lost() == 0


def test_stopping_flushes_what_was_received(tmp_path: Path) -> None:
    """Lines in the buffers of the process and of a connection that stays open are durable after stop; a second stop is harmless."""
    with receiving(tmp_path, udp="127.0.0.1:0", tcp="127.0.0.1:0") as (received, where, spool):
        with socket.create_connection(where["tcp"]) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.sendall(b"".join(b"<1>line %d\n" % number for number in range(1000)) + b"<1>unfinished")
            until(lambda: spool.stream("fw").next_seq >= 1000 and all(one.frames.unfinished for one in received._connections.values()))
            for number in range(100):
                udp.sendto(b"<1>datagram %d" % number, where["udp"])
            received.stop()
            received.stop()
        raws = [record.raw for record in spooled(spool, 1101)]
        assert len(raws) == 1101
        assert b"<1>unfinished" in raws
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(where["tcp"])


class _FullSink:
    """A sink that refuses until it is told otherwise."""

    def __init__(self, spool: Callable[[], Spool]) -> None:
        self.full = True
        self.spool = spool
        self.tries = 0

    def append(self, stream: str, records: Sequence[tuple[bytes, int, str, int]]) -> None:
        self.tries += 1
        if self.full:
            raise StoreFull("full", hint="wait")
        self.spool().append(stream, records)

    def close(self) -> None:
        """Nothing is held."""


def test_a_full_spool_makes_tcp_wait_and_loses_nothing(tmp_path: Path) -> None:
    """Back-pressure reaches the sender: its socket blocks; when there is room again every line arrives."""
    holder: list[Spool] = []
    sink = _FullSink(lambda: holder[0])
    with receiving(tmp_path, sink, tcp="127.0.0.1:0") as (_receiver, where, spool):
        holder.append(spool)
        with socket.create_connection(where["tcp"]) as tcp:
            tcp.settimeout(1.0)
            text = memoryview(b"".join(b"<1>line %d " % number + b"x" * 2000 + b"\n" for number in range(20_000)))
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < len(text):
                    sent += tcp.send(text[sent : sent + 65_536])
            assert sent < len(text)
            sink.full = False
            tcp.settimeout(WITHIN_S)
            tcp.sendall(b"\n<1>end\n")
        lines = [line for line in (bytes(text[:sent]) + b"\n<1>end").split(b"\n") if line]
        assert [record.raw for record in spooled(spool, len(lines))] == lines


def test_datagrams_without_room_are_dropped_and_counted(tmp_path: Path) -> None:
    """What a full spool costs by UDP stands in `lost`: received is spooled plus lost."""
    holder: list[Spool] = []
    sink = _FullSink(lambda: holder[0])
    with receiving(tmp_path, sink, udp="127.0.0.1:0") as (received, where, spool):
        holder.append(spool)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"<1>first", where["udp"])
            until(lambda: sink.tries > 0)
            sent = 1
            while received.lost() == 0 and sent < 400_000:
                for _ in range(500):
                    udp.sendto(b"<1>x", where["udp"])
                sent += 500
        assert received.lost() > 0
        sink.full = False
        until(lambda: spool.stream("fw").next_seq + received.lost() >= sent)
        assert spool.stream("fw").next_seq + received.lost() == sent


def test_connections_are_bounded_and_broken_ones_harm_nobody(tmp_path: Path) -> None:
    """One too many is turned away, a reset is survived, and the places come back."""
    with receiving(tmp_path, tcp="127.0.0.1:0", max_connections=2) as (received, where, spool):
        first, second = socket.create_connection(where["tcp"]), socket.create_connection(where["tcp"])
        first.sendall(b"<1>one\n")
        second.sendall(b"<1>two\n")
        until(lambda: spool.stream("fw").next_seq == 2)
        with socket.create_connection(where["tcp"]) as third:
            until(lambda: received.refused == 1)
            third.settimeout(WITHIN_S)
            with contextlib.suppress(ConnectionError):
                assert third.recv(1) == b""
        first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        first.sendall(b"4 <1>")
        first.close()

        def placed() -> bool:
            with socket.create_connection(where["tcp"]) as again, contextlib.suppress(ConnectionError):  # turned away while the place is still taken
                again.sendall(b"<1>again\n")
            return any(record.raw == b"<1>again" for record in spooled(spool, spool.stream("fw").next_seq))

        until(placed)
        second.close()


def test_tls_is_received_and_clients_must_show_their_certificate(tmp_path: Path) -> None:
    """RFC 5425: with a client authority, a sender without certificate is refused; garbage on the port harms nobody."""
    authority = trustme.CA()
    for name, cert in (("server", authority.issue_cert("localhost", "127.0.0.1")), ("client", authority.issue_cert("relay@example.vn"))):
        cert.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        cert.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    files = {"cert_file": tmp_path / "server.pem", "key_file": tmp_path / "server.key", "client_ca_file": tmp_path / "ca.pem"}
    with receiving(tmp_path, tls="127.0.0.1:0", **files) as (_receiver, where, spool):
        with socket.create_connection(where["tls"]) as plain:
            plain.sendall(b"<1>no tls\n")
            plain.settimeout(WITHIN_S)
            plain.recv(100)
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        # The refusal may come at the handshake, at the first read, or as the end of the connection.
        with (
            contextlib.suppress(ssl.SSLError, ConnectionError),
            socket.create_connection(where["tls"]) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as refused,
        ):
            refused.sendall(b"<1>nobody\n")
            assert refused.recv(1) == b""
        context.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
        with socket.create_connection(where["tls"]) as raw, context.wrap_socket(raw, server_hostname="localhost") as sender:
            sender.sendall(b"7 <1>tls!")
            until(lambda: spool.stream("fw").next_seq == 1)
        assert [record.raw for record in spooled(spool, 1)] == [b"<1>tls!"]


def test_what_cannot_be_listened_on_is_named(tmp_path: Path) -> None:
    """A taken port, a wrong address, a missing certificate: error, cause and cure, and nothing stays bound."""
    with receiving(tmp_path, tcp="127.0.0.1:0") as (_receiver, where, spool):
        taken = f"127.0.0.1:{where['tcp'][1]}"
        for settings, kind, text in (
            ({"tcp": taken}, NotAllowed, "taken by another program"),
            ({"tcp": "here"}, ConfigError, "no address to listen on"),
            ({"udp": "203.0.113.1:0"}, ConfigError, "cannot be listened on"),
            ({"tls": "127.0.0.1:0"}, ConfigError, "has no certificate"),
            ({"tls": "127.0.0.1:0", "cert_file": tmp_path / "no.pem"}, ConfigError, "cannot be used"),
        ):
            with pytest.raises(kind, match=text):
                SyslogReceiver("x", SyslogSource.model_validate({"type": "syslog", **settings}), spool, clock=SystemClock()).start()
