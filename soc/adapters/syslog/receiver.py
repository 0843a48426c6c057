"""Receives syslog and appends it to a sink.

What the ledger can know: by TCP and TLS nothing is read on before what was read is durable, so a sender that is cut
off knows what it must send again (syslog has no acknowledgment: a few lines in the network buffers may still be lost
with the machine); by UDP losses in front of the socket are `unknowable`, those at the socket are counted (`lost`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

from soc.adapters.syslog.framing import Deframer
from soc.adapters.syslog.sockets import Datagrams, bind, tls_context
from soc.adapters.syslog.writer import Writer
from soc.clock import Clock
from soc.config import SyslogSource
from soc.errors import SocError
from soc.ports import RecordSink
from soc.telemetry import get_logger

log = get_logger(__name__)

READ_BYTES = 1 << 18
EVICT_IDLE_S = 60.0
"""When all connections are taken, one that was silent for so long makes room for a new one."""
STALL_S = 300.0
"""An unfinished record that does not grow for so long ends its connection."""
HANDSHAKE_S = 10.0
_STOP_S = 5.0


class _Connection:
    """One sender's connection, as the receiver keeps count of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int, heard_at: float) -> None:
        self.reader = reader
        self.writer = writer
        self.frames = Deframer(most)
        self.heard_at = heard_at


class SyslogReceiver:
    """The listeners of one `syslog` source, in a thread of its own."""

    def __init__(self, name: str, settings: SyslogSource, sink: RecordSink, *, clock: Clock) -> None:
        self.name = name
        self._settings = settings
        self._sink = sink
        self._clock = clock
        self._sockets: dict[str, socket.socket] = {}
        self._addresses: list[str] = []
        self._datagrams: Datagrams | None = None
        self._writer: Writer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._halt: asyncio.Event | None = None
        self._dropped_before = 0
        self.refused = 0
        """Connections that were turned away because all were taken."""

    def start(self) -> None:
        """Bind and begin to listen.

        Raises: ConfigError (an address or certificate that cannot be used), NotAllowed (the port is taken or privileged).
        """
        settings = self._settings
        try:
            context = tls_context(self.name, settings) if settings.tls else None
            for kind in ("udp", "tcp", "tls"):
                if address := getattr(settings, kind):
                    self._sockets[kind] = bind(self.name, kind, address)
        except SocError:
            self._close_sockets()
            raise
        self._addresses = [f"{kind} {_shown(sock)}" for kind, sock in self._sockets.items()]
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(context, ready.set)), name=f"syslog-{self.name}", daemon=True)
        self._thread.start()
        ready.wait()

    def addresses(self) -> list[str]:
        """What is listened to, as `udp 127.0.0.1:5514`."""
        return list(self._addresses)

    def lost(self) -> int:
        """Datagrams lost at the socket or for want of room in the spool, since the start."""
        dropped = self._writer.dropped if self._writer else 0
        return dropped + (self._datagrams.lost() if self._datagrams else 0)

    def stop(self) -> None:
        """Stop receiving; what was received is durable on return. Idempotent."""
        if self._thread is None:
            return
        if self._loop is not None and self._halt is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop ended by itself meanwhile
                self._loop.call_soon_threadsafe(self._halt.set)
        self._thread.join()
        self._thread = None
        self._close_sockets()

    # --- in the thread

    async def _main(self, context: ssl.SSLContext | None, ready: Callable[[], None]) -> None:
        self._loop, self._halt = asyncio.get_running_loop(), asyncio.Event()
        self._writer = Writer(self._sink, self.name)
        writing = asyncio.create_task(self._writer.run())
        servers: list[asyncio.Server] = []
        for kind, sock in self._sockets.items():
            if kind == "udp":
                self._datagrams = Datagrams(sock, self._writer, self._clock, self._settings.max_record_bytes)
                self._datagrams.listen()
            else:
                tls = context if kind == "tls" else None
                servers.append(
                    await asyncio.start_server(
                        self._accept, sock=sock, ssl=tls, limit=READ_BYTES, backlog=256, ssl_handshake_timeout=HANDSHAKE_S if tls else None
                    )
                )
        ready()
        sweeping = asyncio.create_task(self._sweep())
        await self._halt.wait()
        sweeping.cancel()
        await _close(servers)
        if self._datagrams is not None:
            self._datagrams.stop()
        await self._end_connections()
        self._writer.close()
        await writing

    async def _end_connections(self) -> None:
        """Connections hand over what they have read; those whose lines cannot be kept are cut."""
        deadline = self._clock.monotonic() + _STOP_S
        while True:
            # The loop's next turns make connections just accepted into tasks, and close what was given up.
            await asyncio.sleep(0.02)
            if not self._connections:
                return
            connections = list(self._connections.values())
            for connection in connections:
                transport = connection.writer.transport
                if isinstance(transport, asyncio.ReadTransport):
                    transport.pause_reading()
                connection.reader.feed_eof()
            _done, waiting = await asyncio.wait(list(self._connections), timeout=max(0.0, deadline - self._clock.monotonic()))
            for task in waiting:
                task.cancel()
            for connection in connections:
                connection.writer.transport.abort()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(STALL_S / 10)
            now = self._clock.monotonic()
            for connection in list(self._connections.values()):
                if connection.frames.unfinished and now - connection.heard_at > STALL_S:
                    connection.writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= self._settings.max_connections and not self._evict():
            self.refused += 1
            log.warning("syslog connection refused: all are taken", source=self.name, most=self._settings.max_connections)
            writer.transport.abort()
            return
        connection = self._connections[task] = _Connection(reader, writer, self._settings.max_record_bytes, self._clock.monotonic())
        try:
            await self._serve(connection)
        finally:
            self._connections.pop(task, None)
            writer.close()

    def _evict(self) -> bool:
        task, quietest = min(self._connections.items(), key=lambda item: item[1].heard_at)
        if self._clock.monotonic() - quietest.heard_at < EVICT_IDLE_S:
            return False
        quietest.writer.transport.abort()
        self._connections.pop(task)
        return True

    async def _serve(self, connection: _Connection) -> None:
        assert self._writer is not None
        connection.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        host = str((connection.writer.get_extra_info("peername") or ("",))[0])
        frames = connection.frames
        try:
            while data := await connection.reader.read(READ_BYTES):
                connection.heard_at = self._clock.monotonic()
                now = self._clock.now_us()
                if found := frames.feed(data):
                    await self._writer.put([(raw, now, host, lost) for raw, lost in found])
        except (ConnectionError, ssl.SSLError, TimeoutError) as error:
            log.info("syslog connection broke", source=self.name, host=host, error=str(error))
        finally:
            if left := frames.finish():
                now = self._clock.now_us()
                self._writer.put_datagrams([(raw, now, host, lost) for raw, lost in left])

    def _close_sockets(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()


async def _close(servers: list[asyncio.Server]) -> None:
    """Stop accepting; connections accepted just now become tasks before the servers close (asyncio loses them otherwise)."""
    loop = asyncio.get_running_loop()
    for server in servers:
        for sock in server.sockets:
            loop.remove_reader(sock.fileno())
    await asyncio.sleep(0.02)
    for server in servers:
        server.close()


def _shown(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
