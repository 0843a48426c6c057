"""Receives records by `POST /v1/records/<source>`, NDJSON (`application/x-ndjson`) or plain lines.

Answers 200 `{"accepted": n, "stream": …}` only after the records are durable; 400 with the line, 401, 404, 413, and 503 with
`Retry-After` while the spool is full. With an `Idempotency-Key`, the same key and body within ten minutes get the same
answer and are not appended again. `GET /health` answers 200.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import hmac
import ipaddress
import socket
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from soc.adapters.http.body import BadLine, TooLarge, decompress, records
from soc.clock import Clock
from soc.config import HttpSource, secret
from soc.errors import ConfigError, NotAllowed, Phrase, SocError, UsageError
from soc.ports import RecordSink

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

REMEMBERED_S = 600
_MOST_KEYS = 10_000
_RETRY_AFTER_S = 5
BODY_S = 60.0
"""A body that is not there after so long is given up: senders of one byte a minute would else take every place."""
HEADER_S = 30.0
"""A connection on which no request begins and none is answered for so long makes room for others."""
AT_ONCE = 16
"""Requests whose bodies are held at a time; with the largest body that is the memory that senders can make us take."""


class HttpReceiver:
    """The HTTP intake of one `http` source, in a thread of its own."""

    def __init__(self, name: str, settings: HttpSource, sink: RecordSink, *, clock: Clock) -> None:
        self.name = name
        self._settings = settings
        self._sink = sink
        self._clock = clock
        self._token = ""
        self._known: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        self._appending: asyncio.Lock | None = None
        self._bodies: asyncio.Semaphore | None = None
        self._server: Any = None
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._address = ""

    def start(self) -> None:
        """Bind and begin to listen.

        Raises: ConfigError (the `[web]` extra is missing, no token for an open address, a wrong file), NotAllowed (the
        port is taken or privileged).
        """
        try:
            import uvicorn
            from starlette.applications import Starlette
            from starlette.routing import Route
        except ImportError as error:
            raise ConfigError(Phrase("source {name} needs the web extra", name=self.name), key=f"sources.{self.name}", hint="pip install 'soc[web]'") from error
        self._token = secret(f"sources.{self.name}.token", self._settings.token_file, "")
        self._socket = self._bind()
        application = Starlette(routes=[Route("/v1/records/{source}", self._post, methods=["POST"]), Route("/health", self._health)])
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            limit_concurrency=256,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=5,
            ssl_certfile=self._settings.cert_file,
            ssl_keyfile=self._settings.key_file,
        )
        try:
            config.load()
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                Phrase("the certificate of source {name} cannot be used: {error}", name=self.name, error=error), key=f"sources.{self.name}.cert_file"
            ) from error
        config.http_protocol_class = _impatient(config.http_protocol_class)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, name=f"http-{self.name}", daemon=True)
        self._thread.start()

    def addresses(self) -> list[str]:
        """What is listened to, as `http 127.0.0.1:5580`."""
        return [f"{'https' if self._settings.cert_file else 'http'} {self._address}"] if self._address else []

    def lost(self) -> int:
        """Nothing: what was not accepted was refused."""
        return 0

    def stop(self) -> None:
        """Stop receiving; requests that were being answered are answered first. Idempotent."""
        if self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
            self._thread = None
        if self._socket is not None:
            self._socket.close()

    def _bind(self) -> socket.socket:
        key = f"sources.{self.name}.listen"
        host, _, port = self._settings.listen.rpartition(":")
        try:
            address = ipaddress.ip_address(host.strip("[]"))
            number = int(port)
        except ValueError as error:
            raise ConfigError(
                Phrase("{listen!r} is no address to listen on", listen=self._settings.listen), key=key, hint="as in 127.0.0.1:5580 or [::]:5580"
            ) from error
        if not self._token and not address.is_loopback:
            raise ConfigError(
                Phrase("source {name} listens on {address} and has no token", name=self.name, address=address),
                key=key,
                hint="set token_file, or listen on 127.0.0.1",
            )
        sock = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET)  # noqa: PLR2004 - IPv6
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((str(address), number))
            sock.listen(256)
        except OverflowError as error:
            sock.close()
            raise ConfigError(Phrase("{port} is no port", port=port), key=key, hint="1 to 65535") from error
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE:
                raise NotAllowed(
                    Phrase("{kind} {address} of source {source} is taken by another program", kind="http", address=self._settings.listen, source=self.name),
                    hint=Phrase("see who listens: ss -lpn 'sport = :{rpartition}'", rpartition=port),
                ) from error
            raise NotAllowed(
                Phrase(
                    "http {listen} of source {name} cannot be listened on: {strerror}", listen=self._settings.listen, name=self.name, strerror=error.strerror
                ),
                hint="choose a free port above 1023",
            ) from error
        bound, actual = sock.getsockname()[:2]
        self._address = f"[{bound}]:{actual}" if ":" in bound else f"{bound}:{actual}"
        return sock

    async def _health(self, _request: Request) -> Response:
        from starlette.responses import JSONResponse

        return JSONResponse({"status": "ok"})

    async def _post(self, request: Request) -> Response:
        from starlette.responses import JSONResponse

        shown = request.headers.get("authorization", "")
        if self._token and not hmac.compare_digest(shown.encode("utf-8", "replace"), f"Bearer {self._token}".encode()):
            return JSONResponse({"error": "a bearer token is needed"}, 401, {"WWW-Authenticate": "Bearer"})
        if request.path_params["source"] != self.name:
            return JSONResponse({"error": f"no source of that name here; it is {self.name}"}, 404)
        if self._bodies is None:
            self._bodies = asyncio.Semaphore(AT_ONCE)
        try:
            async with self._bodies:
                async with asyncio.timeout(BODY_S):
                    body = await self._received(request)
                body = await self._unpacked(request, body)
                accepted = await self._accept(request, body)
        except TimeoutError:
            return JSONResponse({"error": f"the body did not come within {BODY_S:.0f} s"}, 408, {"Connection": "close"})
        except TooLarge as error:
            return JSONResponse({"error": error.message}, 413)
        except BadLine as error:
            return JSONResponse({"error": error.message, "line": error.line}, 400)
        except UsageError as error:
            return JSONResponse({"error": error.message}, 400)
        except SocError as error:
            return JSONResponse({"error": error.message}, 503, {"Retry-After": str(_RETRY_AFTER_S)})
        return JSONResponse({"accepted": accepted, "stream": self.name})

    async def _received(self, request: Request) -> bytes:
        most = self._settings.max_body_bytes
        parts: list[bytes] = []
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise TooLarge(Phrase("the body is larger than {most:,} bytes", most=most))
            parts.append(part)
        return b"".join(parts)

    async def _unpacked(self, request: Request, body: bytes) -> bytes:
        encoding = request.headers.get("content-encoding", "").strip().lower()
        return await asyncio.to_thread(decompress, body, encoding, self._settings.max_body_bytes)

    async def _accept(self, request: Request, body: bytes) -> int:
        ndjson = "json" in request.headers.get("content-type", "")
        now = self._clock.now_us()
        host = request.client.host if request.client else ""
        lines = await asyncio.to_thread(records, body, ndjson=ndjson, most=self._settings.max_record_bytes)
        key = request.headers.get("idempotency-key", "")[:256]
        known = (key, hashlib.sha256(body).hexdigest()) if key else None
        if self._appending is None:
            self._appending = asyncio.Lock()
        # One append at a time: two requests with one key must not both find it unknown.
        async with self._appending:
            self._forget()
            if known is not None and known in self._known:
                return self._known[known][1]
            await asyncio.to_thread(self._sink.append, self.name, [(raw, now, host, lost) for raw, lost in lines])
            if known is not None:
                self._known[known] = (self._clock.monotonic(), len(lines))
        return len(lines)

    def _forget(self) -> None:
        oldest = self._clock.monotonic() - REMEMBERED_S
        while self._known and (len(self._known) > _MOST_KEYS or next(iter(self._known.values()))[0] < oldest):
            self._known.popitem(last=False)


def _impatient(protocol: Any) -> Any:
    """The server's protocol, but connections whose next request does not come are closed; it waits for ever for a first one."""

    class Impatient(protocol):  # type: ignore[misc]  # one of two classes, by what is installed
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._later(None)  # no request has begun: so it must not be at the first look

        def connection_lost(self, exc: Exception | None) -> None:
            self._timer.cancel()
            super().connection_lost(exc)

        def _later(self, last: object) -> None:
            self._timer = self.loop.call_later(HEADER_S, self._look, last)

        def _look(self, last: object) -> None:
            idle = self.cycle is None or self.cycle.response_complete
            if idle and last is self.cycle:
                self.transport.abort()
            else:
                self._later(self.cycle if idle else object())

    return Impatient
