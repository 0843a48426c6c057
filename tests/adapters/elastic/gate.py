"""A small reverse proxy before Elasticsearch, as provinces put one there: it asks for a password, speaks TLS, and fails in HTML."""

from __future__ import annotations

import http.client
import ssl
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.servers.process import WITHIN_S


class Gate:
    """Passes requests to `target` (a URL) for who knows `user:password`; with `status` set, answers that in HTML instead.

    `only` limits the failing to requests whose path holds it; `rejected` counts what was refused.
    """

    def __init__(self, target: str, *, login: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.status = 0
        self.only = ""
        self.rejected = 0
        behind = urlsplit(target).netloc
        wanted = "Basic " + b64encode(login.encode()).decode() if login else ""
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status = gate.status if gate.status and gate.only in self.path else 401 if wanted and self.headers.get("authorization") != wanted else 0
                if status:
                    gate.rejected += 1
                    self._answer(status, "text/html", f"<html><head><title>{status}</title></head><body><h1>nginx says no</h1></body></html>".encode(), {})
                    return
                connection = http.client.HTTPConnection(behind, timeout=WITHIN_S)
                try:
                    kept = {name: value for name, value in self.headers.items() if name.lower() in {"content-type", "accept"}}
                    connection.request(self.command, self.path, body, kept)
                    answer = connection.getresponse()
                    content = answer.read()
                    product = {"x-elastic-product": answer.headers.get("x-elastic-product") or "Elasticsearch"}
                    self._answer(answer.status, answer.headers.get("content-type") or "application/json", content, product)
                finally:
                    connection.close()

            def _answer(self, status: int, kind: str, content: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {"content-type": kind, "content-length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Clients that hang up are what is tested."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(WITHIN_S)
