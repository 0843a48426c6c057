"""The mail adapter against a real server that refuses, stalls and cuts; and what its headers hold."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.adapters.smtp import SmtpMessenger
from soc.adapters.smtp.letter import letter
from soc.clock import SystemClock
from soc.config import MailSettings
from soc.errors import ConfigError
from soc.model.message import message
from soc.ports import AttachedFile
from tests.adapters.smtp.server import Server, running
from tests.servers.process import WITHIN_S

ASKED = message("notice", "TB-2026-0001", "sent", "an@xa.vn", "Cảnh báo lỗ hổng", "Chào anh chị,\n.\n..\nHết")


def messenger(port: int, **changed: Any) -> SmtpMessenger:
    """The adapter on a server of tests."""
    values: dict[str, Any] = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "soc@tinh.vn", "sender_name": "Trung tâm, SOC"}
    values["timeout_s"] = WITHIN_S
    return SmtpMessenger(MailSettings.model_validate(values | changed), clock=SystemClock())


@pytest.fixture
def server() -> Iterator[Server]:
    """A mail server."""
    with running() as found:
        yield found


@pytest.mark.parametrize(
    ("behaviour", "result", "gateway"),
    [
        ("ok", "sent", False),
        ("refuse", "refused", False),
        ("spam", "refused", False),
        ("greylist", "failed", False),
        ("full", "failed", False),
        ("busy", "failed", True),
        ("drop-before", "failed", True),
        ("drop-after", "unknown", True),
        ("drop-unread", "unknown", True),
    ],
)
def test_what_became_of_it_is_told_apart(server: Server, behaviour: str, result: str, gateway: bool) -> None:
    """Before the end of the data nothing was taken over, after it nobody knows; the next message goes through either way."""
    server.behave = [behaviour]
    found = messenger(server.port)
    outcome = found.send(ASKED, "an@xa.vn", [])
    assert (outcome.result, outcome.gateway) == (result, gateway)
    assert found.send(ASKED, "an@xa.vn", []).result == "sent"
    found.close()


@pytest.mark.parametrize(("behaviour", "result"), [("stall", "failed"), ("stall-after", "unknown")])
def test_a_server_that_says_no_more_is_given_up(behaviour: str, result: str) -> None:
    """It says nothing for as long as anybody waits; the limit says when to go, and how far it had come says what may have become of the message."""
    limit_s = 0.4
    while True:  # on a slow machine the limit is over before the server has come so far: then nothing is known of that, and it gets longer
        with running() as server:
            server.behave = [behaviour]
            found = messenger(server.port, timeout_s=limit_s)
            outcome = found.send(ASKED, "an@xa.vn", [])
            assert outcome.gateway
            assert outcome.result in ("failed", "unknown")
            if not server.behave:
                assert outcome.result == result
                patient = messenger(server.port)
                found._settings, found.longest_s = patient._settings, patient.longest_s
                assert found.send(ASKED, "an@xa.vn", []).result == "sent"
                found.close()
                return
        limit_s *= 4
        assert limit_s < WITHIN_S


def test_nobody_listens_and_nobody_greets(tmp_path: Path) -> None:
    """A port that is closed, and one where somebody listens and says nothing, or drips a letter at a time: it fails within its time."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        outcome = messenger(closed.getsockname()[1]).send(ASKED, "an@xa.vn", [])
        assert (outcome.result, outcome.gateway) == ("failed", True)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert messenger(port, timeout_s=0.4).send(ASKED, "an@xa.vn", []).result == "failed"
        stopped = threading.Event()

        def drip() -> None:
            while not stopped.is_set():
                taken, _ = silent.accept()
                with taken:
                    while not stopped.wait(0.1):
                        try:
                            taken.send(b"2")
                        except OSError:
                            break

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        begin = time.monotonic()
        assert messenger(port, timeout_s=0.4).send(ASKED, "an@xa.vn", []).result == "failed"
        assert time.monotonic() - begin < WITHIN_S, "a line that drips may be 8,192 letters long, which takes a quarter of an hour"
        stopped.set()
    assert tmp_path.exists()


def test_many_messages_use_one_connection(server: Server) -> None:
    """Also after a recipient was refused; a connection that the server has ended meanwhile is made anew."""
    found = messenger(server.port)
    server.behave = ["ok", "refuse"]
    assert [found.send(ASKED, "an@xa.vn", []).result for _ in range(4)] == ["sent", "refused", "sent", "sent"]
    assert server.connections == 1
    found.close()


def test_tls_and_login_by_password_file(tmp_path: Path) -> None:
    """STARTTLS with a certificate of our own authority; a wrong password and an unknown authority are told apart."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            str(key),
            "-out",
            str(cert),
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    password = tmp_path / "password"
    password.write_text("bi-mat\n", encoding="utf-8")
    password.chmod(0o600)

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"soc", b"bi-mat"), handled=False)

    with running(tls_context=context, require_starttls=True, auth_required=True, auth_require_tls=True, authenticator=authenticate) as server:
        options: dict[str, Any] = {"host": "localhost", "security": "starttls", "username": "soc", "password_file": password, "ca_file": cert}
        found = messenger(server.port, **options)
        assert found.send(ASKED, "an@xa.vn", []).result == "sent"
        found.close()
        assert messenger(server.port, **options).check()[0][1] is True
        assert messenger(server.port, **{**options, "ca_file": None}).check()[0][1] is False
        assert messenger(server.port, **{**options, "ca_file": None}).send(ASKED, "an@xa.vn", []).result == "failed"
        password.write_text("sai", encoding="utf-8")
        [(_, fine, text, hint)] = messenger(server.port, **options).check()
        assert (fine, text[:3], "password" in hint) == (False, "535", True)
        assert messenger(server.port, **options).send(ASKED, "an@xa.vn", []).gateway
        password.chmod(0o644)
        with pytest.raises(ConfigError, match="others may read"):
            messenger(server.port, **options).send(ASKED, "an@xa.vn", [])


def test_a_sender_that_is_no_address_is_refused() -> None:
    """Before anything is sent, with the name of the setting."""
    with pytest.raises(ConfigError, match=r"mail\.sender"):
        messenger(25, sender="soc")


def test_the_headers_are_those_of_an_automatic_message(server: Server) -> None:
    """The same Message-ID for every attempt, no answers of robots, names and files in Vietnamese, dots and bytes as they were."""
    found = messenger(server.port, reply_to="truc@tinh.vn")
    files = [AttachedFile("công văn.pdf", "application/pdf", b"%PDF\r\n.\r\n"), AttachedFile("a.eml", "message/rfc822", b"Subject: x")]
    assert found.send(ASKED, "an@xa.vn", files).result == "sent"
    assert found.send(ASKED, "an@xa.vn", files).result == "sent"
    found.close()
    first, second = server.mails
    assert first["Message-ID"] == second["Message-ID"] == f"<{ASKED.id}@tinh.vn>"
    assert (first["Auto-Submitted"], first["Reply-To"], first["X-Soc-Scope"]) == ("auto-generated", "truc@tinh.vn", "real")
    assert first["From"].addresses[0].display_name == "Trung tâm, SOC"
    assert first["Subject"] == "Cảnh báo lỗ hổng"
    body = first.get_body()
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == "Chào anh chị,\n.\n..\nHết\n"
    assert [(part.get_filename(), part.get_payload(decode=True)) for part in first.iter_attachments()] == [
        ("công văn.pdf", files[0].data),
        ("a.eml", files[1].data),
    ]


@settings(max_examples=200, deadline=None)
@given(subject=st.text(min_size=1, max_size=200), body=st.text(max_size=300), name=st.text(max_size=100), file=st.text(max_size=80))
def test_nothing_in_a_text_breaks_out_of_its_place(subject: str, body: str, name: str, file: str) -> None:
    """Whatever subject, sender's name and file name hold: the headers are ours alone, and the bytes are ASCII lines of bounded length."""
    asked = message("notice", "x", "s", "an@xa.vn", f"S{subject}", body)
    options = MailSettings(host="h", sender="soc@tinh.vn", sender_name=name)
    data = letter(asked, "an@xa.vn", (AttachedFile(message_name(file), "text/html", b"<b>"),), options, 0).as_bytes()
    head = data.split(b"\r\n\r\n", 1)[0]
    names = [line.split(b":", 1)[0].lower() for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert sorted(names) == sorted(
        [b"message-id", b"date", b"from", b"to", b"subject", b"auto-submitted", b"x-soc-message", b"x-soc-scope", b"mime-version", b"content-type"]
    )
    assert data.isascii()
    assert all(len(line) <= 998 and b"\r" not in line for line in data.split(b"\r\n"))


def message_name(text: str) -> str:
    """A file name as messages take it."""
    from soc.model.message import file_name

    return file_name(text)
