"""The webhook adapter against a real gateway that refuses, stalls and answers late."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.adapters.webhook import WebhookMessenger
from soc.adapters.webhook.messenger import filled, without_accents
from soc.clock import SystemClock
from soc.config import WebhookSettings
from soc.errors import ConfigError
from soc.model.message import message
from tests.servers.process import WITHIN_S

ASKED = message("on-call", "p-abc", "call-1", "0912 345 678", 'GỌI TRỰC "{id}"', "Mã độc\ntại Đồng Xoài", channel="webhook")


class Gateway(ThreadingHTTPServer):
    """An SMS gateway: `answers` are statuses, `late` (an answer after the time), `cut` (none at all)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[Any] = []
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.released = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The other side has gone: that is what is tested."""

    @property
    def keys(self) -> set[str]:
        """The distinct idempotency keys of what came."""
        return {headers["Idempotency-Key"] for headers, _ in self.posts}


class _Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((dict(self.headers.items()), body))
        answer = self.server.answers.pop(0) if self.server.answers else 200
        if answer == "late":
            self.server.released.wait()
            answer = 200
        if answer == "cut":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(answer, "said")
        if answer in (301, 302, 307):
            self.send_header("Location", "http://127.0.0.1:1/")
        if answer == 429:
            self.send_header("Retry-After", "120")
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b'"ok"')

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""


@contextmanager
def gateway() -> Iterator[Gateway]:
    """A gateway on a free port."""
    with Gateway() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            found.released.set()
            found.shutdown()
            thread.join(WITHIN_S)


def messenger(port: int, **changed: Any) -> WebhookMessenger:
    """The adapter on a gateway of tests."""
    values = {"url": f"http://127.0.0.1:{port}/sms?x=1", "timeout_s": WITHIN_S, **changed}
    return WebhookMessenger("sms", WebhookSettings.model_validate(values), clock=SystemClock())


@pytest.mark.parametrize(
    ("answer", "result", "is_gateway"),
    [
        (200, "sent", False),
        (202, "sent", False),
        (400, "refused", False),
        (422, "refused", False),
        (302, "refused", False),
        (401, "failed", True),
        (404, "failed", True),
        (429, "failed", True),
        (503, "failed", True),
        ("late", "unknown", True),
        ("cut", "unknown", True),
    ],
)
def test_what_became_of_it_is_told_apart(answer: Any, result: str, is_gateway: bool) -> None:
    """An answer is an answer; what was posted and not answered in time (here: as long as anybody waits) may have arrived; redirections are not followed."""
    with gateway() as server:
        server.answers = [answer]
        found = messenger(server.server_port, **({"timeout_s": 0.4} if answer == "late" else {}))
        outcome = found.send(ASKED, "0912 345 678", [])
        assert (outcome.result, outcome.gateway) == (result, is_gateway)
        assert outcome.retry_after_s == (120.0 if answer == 429 else 0.0)
        # Whoever did not wait for an answer does not know how far the gateway has come by now.
        assert len(server.posts) == 1 or (answer == "late" and not server.posts)


def test_nobody_listens() -> None:
    """A port that is closed: nothing was posted, so it failed and is not unknown."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        outcome = messenger(closed.getsockname()[1]).send(ASKED, "1", [])
    assert (outcome.result, outcome.gateway) == ("failed", True)
    assert messenger(1).check()[0][1] is False


def test_it_is_signed_keyed_and_shaped_as_the_settings_say(tmp_path: Path) -> None:
    """Objects by dotted names, values as they are whatever they hold, bearer token and HMAC from files, the id as idempotency key."""
    token, key = tmp_path / "token", tmp_path / "key"
    for file, text in ((token, "t-1"), (key, "k-1")):
        file.write_text(text + "\n", encoding="utf-8")
        file.chmod(0o600)
    with gateway() as server:
        sent = messenger(
            server.server_port,
            fields={"message.to": "{to}", "message.text": "{subject}: {body} {other}", "channel": "sms"},
            headers={"X-Office": "tinh"},
            token_file=token,
            hmac_key_file=key,
            without_accents=True,
            text_most=6,
        )
        assert sent.send(ASKED, "0912 345 678", []).result == "sent"
        [(headers, body)] = server.posts
    assert json.loads(body) == {"message": {"to": "0912 345 678", "text": 'GOI TRUC "{id}": Ma doc {other}'}, "channel": "sms"}
    assert (headers["Authorization"], headers["Idempotency-Key"], headers["X-Office"]) == ("Bearer t-1", ASKED.id, "tinh")
    signed = hmac.new(b"k-1", headers["X-Soc-Timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-Soc-Signature"] == f"sha256={signed}"


def test_a_header_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """A token with a line break would be a second header."""
    token = tmp_path / "token"
    token.write_text("a\r\nX-Evil: 1", encoding="utf-8")
    token.chmod(0o600)
    with gateway() as server, pytest.raises(ConfigError, match="header"):
        messenger(server.server_port, token_file=token).send(ASKED, "1", [])
    with pytest.raises(ConfigError, match="at once"):
        filled(WebhookSettings(url="http://h/", fields={"a": "1", "a.b": "2"}), ASKED, "1")


@given(st.text(max_size=200), st.text(max_size=200))
def test_values_are_data(subject: str, body: str) -> None:
    """What a text holds is never looked at again: braces, quotes and names of fields arrive as they are."""
    asked = message("k", "a", "s", "1", f"s{subject}", body, channel="webhook")
    out = filled(WebhookSettings(url="http://h/", fields={"text": "{subject}|{body}", "id": "{id}"}), asked, "1")
    assert out == {"text": f"{asked.subject}|{asked.body}", "id": asked.id}


def test_accents_are_left_out_and_nothing_else() -> None:
    """Case and other letters stay."""
    assert without_accents("Đồng Xoài, đặng Ưỡn 5%") == "Dong Xoai, dang Uon 5%"
