"""The HTTP intake over real sockets, into a real spool."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard

from soc.adapters.http import HttpReceiver
from soc.adapters.http import receiver as module
from soc.adapters.spool import Spool
from soc.clock import SystemClock
from soc.config import HttpSource
from soc.errors import ConfigError, NotAllowed
from tests.servers.process import WITHIN_S


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is too slow because the machine stood still."""
    monkeypatch.setattr(module, "HEADER_S", WITHIN_S)
    monkeypatch.setattr(module, "BODY_S", WITHIN_S)


@contextmanager
def receiving(tmp_path: Path, **settings: object) -> Iterator[tuple[str, Spool]]:
    spool = Spool(tmp_path / "spool", most_bytes=1 << 20)
    receiver = HttpReceiver("web", HttpSource.model_validate({"type": "http", "listen": "127.0.0.1:0", **settings}), spool, clock=SystemClock())
    receiver.start()
    try:
        yield receiver.addresses()[0].removeprefix("http "), spool
    finally:
        receiver.stop()
        spool.close()


def post(address: str, body: bytes, path: str = "/v1/records/web", **headers: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(address, timeout=WITHIN_S)
    try:
        connection.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {**json.loads(answer.read()), "retry": answer.headers.get("retry-after")}
    finally:
        connection.close()


def raws(spool: Spool) -> list[bytes]:
    source = spool.source("web")
    source.open({})
    return [record.raw for record in source.poll(10_000, 0)]


def test_lines_and_ndjson_are_durable_before_the_answer(tmp_path: Path) -> None:
    """Plain, gzip and zstd bodies; blank lines are no records; the same key and body count once."""
    with receiving(tmp_path) as (address, spool):
        assert post(address, b"one\r\n\ntwo") == (200, {"accepted": 2, "stream": "web", "retry": None})
        assert raws(spool) == [b"one", b"two"]
        ndjson = b'{"a":1}\n{"b":2}\n'
        assert post(address, gzip.compress(ndjson), content_encoding="gzip", content_type="application/x-ndjson")[0] == 200
        assert post(address, zstandard.compress(b"three"), content_encoding="zstd")[0] == 200
        for _ in range(2):
            assert post(address, b"once", idempotency_key="k")[1]["accepted"] == 1
        assert post(address, b"other", idempotency_key="k")[1]["accepted"] == 1
        assert raws(spool) == [b"one", b"two", b'{"a":1}', b'{"b":2}', b"three", b"once", b"other"]


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (400, b'{"a":1}\n[2]', {"content_type": "application/x-ndjson"}),
        (400, b'{"a":1}\n{"b"', {"content_type": "application/json"}),
        (400, gzip.compress(b"x" * 100)[:-9], {"content_encoding": "gzip"}),
        (400, zstandard.compress(b"x" * 100)[:-5], {"content_encoding": "zstd"}),
        (400, b"not zstd", {"content_encoding": "zstd"}),
        (400, b"x", {"content_encoding": "br"}),
        (413, b"x" * 5000, {}),
        (413, gzip.compress(b"x" * 10_000_000), {"content_encoding": "gzip"}),
        (413, zstandard.compress(b"x" * 10_000_000), {"content_encoding": "zstd"}),
        (404, b"x", {"path": "/v1/records/other"}),
    ],
    ids=["not-an-object", "broken-json", "torn-gzip", "torn-zstd", "not-zstd", "unknown-encoding", "too-large", "gzip-bomb", "zstd-bomb", "unknown-source"],
)  # fmt: skip
def test_a_bad_body_is_refused_whole(tmp_path: Path, status: int, body: bytes, headers: dict[str, str]) -> None:
    """The status says why, a bad line is named, a bomb is not unpacked, and nothing of the body is kept."""
    with receiving(tmp_path, max_body_bytes=4096 if status == 413 else 1_000_000) as (address, spool):
        got, answer = post(address, body, **headers)
        assert got == status
        assert "line" not in answer or answer["line"] == 2
        assert raws(spool) == []


def test_a_token_is_needed_where_one_is_set(tmp_path: Path) -> None:
    """Without or with a wrong token nothing is accepted."""
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    token.chmod(0o600)
    with receiving(tmp_path, token_file=token) as (address, spool):
        assert post(address, b"x")[0] == 401
        assert post(address, b"x", authorization="Bearer wrong")[0] == 401
        assert post(address, b"x", authorization="Bearer s3cret")[0] == 200
        assert raws(spool) == [b"x"]


def test_a_full_spool_asks_to_come_again(tmp_path: Path) -> None:
    """503 with Retry-After, and what was accepted is there."""
    with receiving(tmp_path) as (address, spool):
        answers = [post(address, b"x" * 300_000) for _ in range(6)]
        assert [status for status, _ in answers] == [200] * 4 + [503] * 2
        assert answers[-1][1]["retry"] == "5"
        assert len(raws(spool)) == 4


def test_what_cannot_be_listened_on_is_named(tmp_path: Path) -> None:
    """A taken port, an open address without token, and no address at all."""
    with receiving(tmp_path) as (address, spool):
        for listen, kind, text in (
            (address, NotAllowed, "is taken by another program"),
            ("0.0.0.0:0", ConfigError, "has no token"),
            ("here", ConfigError, "no address"),
        ):
            with pytest.raises(kind, match=text):
                HttpReceiver("x", HttpSource(type="http", listen=listen), spool, clock=SystemClock()).start()


def test_a_slow_sender_takes_no_place_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a request is closed, a body that does not come is answered with 408; others are served."""
    with receiving(tmp_path) as (address, spool):
        host, _, port = address.rpartition(":")
        # One limit after the other: on a slow machine whoever is within his limit must not be thought beyond it.
        with monkeypatch.context() as short, socket.create_connection((host, int(port)), timeout=WITHIN_S) as slow:
            short.setattr(module, "BODY_S", 0.2)
            slow.sendall(b"POST /v1/records/web HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
            assert b" 408 " in slow.recv(4096)
        with monkeypatch.context() as short:
            short.setattr(module, "HEADER_S", 0.2)
            with socket.create_connection((host, int(port)), timeout=WITHIN_S) as silent:
                assert silent.recv(1) == b""
        assert post(address, b"one")[0] == 200
        assert raws(spool) == [b"one"]


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:99999999999", "here:80"])
def test_an_address_that_is_none_is_an_error_of_the_configuration(tmp_path: Path, listen: str) -> None:
    """The key of the setting is named."""
    spool = Spool(tmp_path / "spool", most_bytes=1 << 20)
    try:
        with pytest.raises(ConfigError) as caught:
            HttpReceiver("web", HttpSource.model_validate({"type": "http", "listen": listen}), spool, clock=SystemClock()).start()
    finally:
        spool.close()
    assert caught.value.key == "sources.web.listen"
