"""Reads a mailbox by IMAP, changing nothing in it: neither seen marks nor order. Source: RFC 3501; RFC 7162 is not needed."""

from __future__ import annotations

import imaplib
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TypeVar

from imap_tools import BaseMailBox, MailBox, MailBoxStartTls, MailBoxUnencrypted
from imap_tools.errors import ImapToolsError, MailboxLoginError

from soc.config import RepliesSettings, secret
from soc.errors import ConfigError, NotAllowed, Phrase, Unreachable
from soc.model.mail import MOST_BYTES
from soc.ports import ReceivedMail

T = TypeVar("T")
AT_ONCE = 500
"""Numbers and sizes that are asked for together."""
_BROKEN = (OSError, imaplib.IMAP4.error, ImapToolsError, ssl.SSLError, ValueError)
# Reference: `1 (UID 17 RFC822.SIZE 4286)`
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d{1,15})")
_UID = re.compile(rb"\bUID (\d{1,10})")


class ImapReader:
    """See `soc.ports.MailReader`."""

    def __init__(self, settings: RepliesSettings) -> None:
        self._settings = settings
        self._box: BaseMailBox | None = None
        self.name = f"{settings.username}@{settings.host}/{settings.folder}"

    def validity(self) -> int:
        return self._asked(lambda box: int(box.folder.status(self._settings.folder, ["UIDVALIDITY"])["UIDVALIDITY"]))

    def since(self, uid: int) -> Iterator[ReceivedMail]:
        # `n:*` always gives the last mail, also when its number is smaller (RFC 3501 section 6.4.8).
        numbers = sorted(number for number in self._asked(partial(_search, first=uid + 1)) if number > uid)
        for at in range(0, len(numbers), AT_ONCE):
            part = numbers[at : at + AT_ONCE]
            sizes = self._asked(partial(_sizes, numbers=part))
            for number in part:
                if number not in sizes:
                    continue  # deleted meanwhile
                if sizes[number] > MOST_BYTES:
                    yield ReceivedMail(number, sizes[number], None)
                    continue
                raw = self._asked(partial(_body, number=number))
                if raw:
                    yield ReceivedMail(number, sizes[number], raw)

    def close(self) -> None:
        box, self._box = self._box, None
        if box is not None:
            with suppress(*_BROKEN):
                box.logout()

    def _asked(self, question: Callable[[BaseMailBox], T]) -> T:
        """The answer of the server.

        Raises: Unreachable, NotAllowed, ConfigError.
        """
        try:
            return question(self._open())
        except _BROKEN as error:
            self._drop()
            where = f"{self._settings.host}:{self._settings.port}"
            raise Unreachable(
                Phrase("the mailbox at {where} does not answer as it should: {reason}", where=where, reason=_said(error)),
                hint="check replies.host, replies.port, replies.security and replies.folder, and whether the server is up",
            ) from error

    def _open(self) -> BaseMailBox:
        if self._box is not None:
            return self._box
        settings = self._settings
        if not settings.username:
            raise ConfigError("no user is configured for the mailbox", key="replies.username", hint='username = "soc@example.vn"')
        password = secret("replies.password", settings.password_file, settings.password_command)
        context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None) if settings.security != "none" else None
        box: BaseMailBox
        if settings.security == "tls":
            box = MailBox(settings.host, settings.port, timeout=settings.timeout_s, ssl_context=context)
        elif settings.security == "starttls":
            box = MailBoxStartTls(settings.host, settings.port, timeout=settings.timeout_s, ssl_context=context)
        else:
            box = MailBoxUnencrypted(settings.host, settings.port, timeout=settings.timeout_s)
        self._box = box
        try:
            ascii_only = settings.username.isascii() and password.isascii()
            (box.login if ascii_only else box.login_utf8)(settings.username, password, initial_folder=None)
        except imaplib.IMAP4.abort:  # the connection ended
            raise
        except (MailboxLoginError, imaplib.IMAP4.error) as error:
            self._drop()
            raise NotAllowed(
                Phrase("the mailbox does not let {user} in: {reason}", user=settings.username, reason=_said(error)),
                hint="check replies.username and the password",
            ) from error
        box.folder.set(settings.folder, readonly=True)
        return box

    def _drop(self) -> None:
        """End a connection of which nobody knows how it stands."""
        box, self._box = self._box, None
        if box is not None:
            with suppress(*_BROKEN):
                box.client.shutdown()


def _search(box: BaseMailBox, first: int) -> list[int]:
    box.client.noop()  # has the server tell what came since it was asked last
    status, found = box.client.uid("SEARCH", f"UID {first}:*")
    return [int(one) for one in (found[0] or b"").split()] if status == "OK" and found else []


def _sizes(box: BaseMailBox, numbers: list[int]) -> dict[int, int]:
    status, found = box.client.uid("FETCH", ",".join(map(str, numbers)), "(UID RFC822.SIZE)")
    out = {}
    for line in found if status == "OK" else ():
        text = line if isinstance(line, bytes) else b""
        uid, size = _UID.search(text), _SIZE.search(text)
        if uid is not None and size is not None:
            out[int(uid[1])] = int(size[1])
    return out


def _body(box: BaseMailBox, number: int) -> bytes:
    """The bytes of a mail; PEEK leaves it unseen."""
    status, found = box.client.uid("FETCH", str(number), "(BODY.PEEK[])")
    return next((bytes(part[1]) for part in found if isinstance(part, tuple) and len(part) > 1), b"") if status == "OK" else b""


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (str(error) or type(error).__name__)[:300]
