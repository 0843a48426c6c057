"""Sockets of the syslog receiver: bound, with large buffers, and with the kernel's count of what it dropped."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import struct
from pathlib import Path

from soc.adapters.syslog.writer import Writer
from soc.clock import Clock
from soc.config import SyslogSource
from soc.errors import ConfigError, NotAllowed, Phrase

_SO_RXQ_OVFL = 40
"""Source: linux/include/uapi/asm-generic/socket.h; socket(7): the number of packets dropped since the socket was made, with each datagram."""
_RECEIVE_BUFFER = 1 << 25
_DATAGRAM = 65_536
_TURN = 512
"""Datagrams read before other connections get their turn."""


def bind(source: str, kind: str, address: str) -> socket.socket:
    """A bound, non-blocking socket for `host:port` (`[::1]:514` for IPv6; port 0 = any free one).

    Raises: ConfigError for an address that is none, NotAllowed for a port that is taken or privileged.
    """
    host, _, port = address.rpartition(":")
    key = f"sources.{source}.{kind}"
    if not port.isdigit() or not host or int(port) > 65_535:  # noqa: PLR2004 - the largest port
        raise ConfigError(Phrase("{address!r} is no address to listen on", address=address), key=key, hint="as in 0.0.0.0:5514 or [::]:5514")
    protocol = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
    try:
        family, _, _, _, where = socket.getaddrinfo(host.strip("[]"), int(port), type=protocol, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise ConfigError(
            Phrase("{host} of {address} is no address of this machine: {strerror}", host=host, address=address, strerror=error.strerror), key=key
        ) from error
    sock = socket.socket(family, protocol)
    try:
        sock.setblocking(False)
        if kind == "udp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
    except OSError as error:
        sock.close()
        raise _bind_error(source, kind, address, error) from error
    return sock


def _bind_error(source: str, kind: str, address: str, error: OSError) -> Exception:
    if error.errno == errno.EACCES:
        return NotAllowed(
            Phrase("{kind} {address} of source {source} needs a privilege", kind=kind, address=address, source=source),
            hint="use a port above 1023, or grant CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities)",
        )
    if error.errno == errno.EADDRINUSE:
        return NotAllowed(
            Phrase("{kind} {address} of source {source} is taken by another program", kind=kind, address=address, source=source),
            hint=Phrase("see who listens: ss -lpn 'sport = :{rpartition}'", rpartition=address.rpartition(":")[2]),
        )
    return ConfigError(
        Phrase("{kind} {address} of source {source} cannot be listened on: {strerror}", kind=kind, address=address, source=source, strerror=error.strerror),
        key=f"sources.{source}.{kind}",
    )


def tls_context(source: str, settings: SyslogSource) -> ssl.SSLContext:
    """The server side of TLS 1.2 or newer (RFC 5425, RFC 9662).

    Raises: ConfigError naming the file that is missing or wrong.
    """
    key = f"sources.{source}"
    if settings.cert_file is None:
        raise ConfigError(
            Phrase("source {source} listens by TLS and has no certificate", source=source), key=f"{key}.cert_file", hint="set cert_file and key_file (PEM)"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            Phrase("the certificate of source {source} cannot be used: {error}", source=source, error=error),
            file=str(settings.cert_file),
            key=f"{key}.cert_file",
        ) from error
    if settings.client_ca_file is not None:
        try:
            context.load_verify_locations(settings.client_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                Phrase("the client authority of source {source} cannot be used: {error}", source=source, error=error),
                file=str(settings.client_ca_file),
                key=f"{key}.client_ca_file",
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class Datagrams:
    """Reads the datagrams of a UDP socket into a writer, many per turn."""

    def __init__(self, sock: socket.socket, writer: Writer, clock: Clock, most: int) -> None:
        self._socket = sock
        self._inode = os.fstat(sock.fileno()).st_ino
        self._writer = writer
        self._clock = clock
        self._most = most
        self._buffer = bytearray(_DATAGRAM)
        self._view = memoryview(self._buffer)
        self._overflow = 0

    def listen(self) -> None:
        """Begin to read on the running loop."""
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def stop(self) -> None:
        """Read what has arrived, and no more."""
        asyncio.get_running_loop().remove_reader(self._socket)
        while self._readable():
            pass

    def lost(self) -> int:
        """Datagrams that the kernel dropped at the socket, as it counts them."""
        return max(self._overflow, _drops(self._inode))

    def _readable(self) -> int:
        now = self._clock.now_us()
        entries: list[tuple[bytes, int, str, int]] = []
        receive, buffers, view, most, host, known = self._socket.recvmsg_into, [self._buffer], self._view, self._most, "", None
        for _ in range(_TURN):
            try:
                size, ancillary, _flags, address = receive(buffers, 32)
            except (BlockingIOError, ConnectionError):
                break
            if ancillary:
                self._note(ancillary)
            if address is not known:
                known, host = address, address[0]
            raw = bytes(view[: min(size, most)]).rstrip(b"\r\n\0")
            if raw:
                entries.append((raw, now, host, max(0, size - most)))
        if entries:
            self._writer.put_datagrams(entries)
        return len(entries)

    def _note(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL and len(data) >= 4:  # noqa: PLR2004 - a u32
                self._overflow = max(self._overflow, struct.unpack_from("=I", data)[0])


def _drops(inode: int) -> int:
    """The `drops` column of the socket in /proc/net/udp and udp6; 0 where there is no such file."""
    for name in ("udp", "udp6"):
        try:
            lines = Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if len(columns) > 12 and columns[9] == str(inode):  # noqa: PLR2004 - inode and drops; source: proc(5)
                return int(columns[12])
    return 0
