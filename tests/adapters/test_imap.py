"""A mailbox is read as it is, by a real server: everything once, in order, and nothing in it changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soc.adapters import imap
from soc.adapters.imap import ImapReader
from soc.config import RepliesSettings
from soc.errors import ConfigError, NotAllowed, Unreachable
from tests.servers.dovecot_server import PASSWORD, USER, DovecotServer, program
from tests.servers.fixtures import decline
from tests.servers.process import WITHIN_S

MAIL = b"From: a@b.vn\r\nMessage-ID: <%d@b.vn>\r\nSubject: x\r\n\r\nxin ch\xc3\xa0o\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[DovecotServer]:
    """One server for the tests of this file."""
    if not program():
        decline("dovecot is not installed (scripts/install_debian_packages.sh)")
    found = DovecotServer()
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def settings(server: DovecotServer, tmp_path: Path) -> RepliesSettings:
    """Settings that lead to an empty mailbox."""
    (tmp_path / "password").write_text(PASSWORD + "\n", encoding="utf-8")
    (tmp_path / "password").chmod(0o600)
    if server.do("SEARCH", "ALL") != [b""]:
        server.do("STORE", "1:*", "+FLAGS", "(\\Deleted)")
        server.do("EXPUNGE")
    return RepliesSettings(host="127.0.0.1", port=server.tls_port, ca_file=server.ca, username=USER, password_file=tmp_path / "password", timeout_s=WITHIN_S)


@pytest.mark.parametrize("security", ["tls", "starttls", "none"])
def test_mails_come_once_in_order_and_stay_unseen(server: DovecotServer, settings: RepliesSettings, security: Any) -> None:
    """Each security; the bytes are those that came; the next time only what is new."""
    port = server.tls_port if security == "tls" else server.port
    reader = ImapReader(settings.model_copy(update={"security": security, "port": port}))
    assert list(reader.since(0)) == []
    mails = [MAIL % number for number in range(3)]
    server.deliver(*mails)
    found = list(reader.since(0))
    assert [one.raw for one in found] == mails
    assert [one.size for one in found] == [len(mail) for mail in mails]
    assert [one.uid for one in found] == sorted(one.uid for one in found)
    assert list(reader.since(found[-1].uid)) == []
    server.deliver(MAIL % 9)
    assert [one.raw for one in reader.since(found[-1].uid)] == [MAIL % 9]
    assert server.do("SEARCH", "UNSEEN") == [b" ".join(b"%d" % (found[0].uid + n) for n in range(4))]
    reader.close()
    reader.close()


def test_numbers_hold_over_connections_and_a_restart(server: DovecotServer, settings: RepliesSettings) -> None:
    """The same validity and the same numbers, also after the server was killed meanwhile."""
    server.deliver(MAIL % 1)
    reader = ImapReader(settings)
    first = (reader.validity(), [one.uid for one in reader.since(0)])
    server.restart()
    with pytest.raises(Unreachable):
        reader.validity()
    assert (reader.validity(), [one.uid for one in reader.since(0)]) == first, "it connects again"
    reader.close()


def test_what_is_too_large_is_told_and_not_fetched(server: DovecotServer, settings: RepliesSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number and size come, its bytes do not."""
    monkeypatch.setattr(imap, "MOST_BYTES", 200)
    server.deliver(MAIL % 1 + b"x" * 300, MAIL % 2)
    reader = ImapReader(settings)
    assert [one.raw is None for one in reader.since(0)] == [True, False]
    reader.close()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"password_file": None, "password_command": "echo wrong"}, NotAllowed),
        ({"username": ""}, ConfigError),
        ({"ca_file": None}, Unreachable),
        ({"port": 1}, Unreachable),
        ({"folder": "No/such"}, Unreachable),
    ],
)
def test_what_is_wrong_is_said(settings: RepliesSettings, change: dict[str, Any], error: type[Exception]) -> None:
    """A wrong password, an unknown authority, nobody there, no such folder: errors of ours with the next step."""
    reader = ImapReader(settings.model_copy(update=change))
    with pytest.raises(error) as told:
        reader.validity()
    assert getattr(told.value, "hint", "")
    reader.close()
