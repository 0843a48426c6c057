"""Hands messages over to a mail server by SMTP, one connection for all of a pass.

What ends a connection is told apart: before the end of the data was sent nothing was taken over; after it nobody knows.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from email.errors import MessageError

from soc.adapters.smtp.letter import letter
from soc.clock import Clock
from soc.config import MailSettings, secret
from soc.errors import ConfigError, Phrase
from soc.model.message import Message, is_mail
from soc.ports import AttachedFile, Outcome

_BROKEN = (OSError, smtplib.SMTPException, ssl.SSLError, UnicodeError)
_STEPS = 4
"""A message may take so many times the limit of one answer."""
READY, GO_ON, UNAVAILABLE, NO_SUCH = 250, 354, 421, 500


class _Cut(Exception):
    """The server said no, or ended the connection, before it had everything."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome


class SmtpMessenger:
    """See `soc.ports.Messenger`."""

    def __init__(self, settings: MailSettings, *, clock: Clock) -> None:
        if not is_mail(settings.sender):
            raise ConfigError(
                Phrase("mail.sender: {value} is no mail address", value=repr(settings.sender[:80])), key="mail.sender", hint='sender = "soc@example.vn"'
            )
        self._settings = settings
        self._clock = clock
        self._connection: smtplib.SMTP | None = None
        self.longest_s = settings.timeout_s * _STEPS

    def send(self, message: Message, to: str, files: Sequence[AttachedFile]) -> Outcome:
        if not is_mail(to):
            return Outcome("refused", f"{to[:120]!r} is no mail address that a server takes")
        try:
            data = letter(message, to, tuple(files), self._settings, self._clock.now_us()).as_bytes()
        except (ValueError, LookupError, MessageError) as error:  # what the library cannot write is this message's fault: the next ones go
            return Outcome("refused", f"no mail can be made of it: {error}"[:300])
        handed_over = False
        fresh = self._connection is None
        connection: smtplib.SMTP | None = None
        try:
            connection = self._open()
            with self._limited(connection):
                self._envelope(connection, to, fresh=fresh)
                connection.send(_stuffed(data))
                handed_over = True  # from here on the server may have it whatever we hear
                connection.send(b".\r\n")
                code, text = connection.getreply()
        except _Cut as cut:
            self._reset()
            return cut.outcome
        except _BROKEN as error:
            self._drop()
            return Outcome("unknown" if handed_over else "failed", _said(error), gateway=True)
        if code == READY:
            return Outcome("sent", _text(code, text))
        if code == UNAVAILABLE:
            self._drop()
        return Outcome("failed" if code < NO_SUCH else "refused", _text(code, text), gateway=code == UNAVAILABLE)

    def _envelope(self, connection: smtplib.SMTP, to: str, *, fresh: bool) -> None:
        """Sender, recipient and the word to begin with the data.

        Raises: _Cut.
        """
        code, text = connection.mail(self._settings.sender)
        if code == UNAVAILABLE and not fresh:  # the server ended a connection that was open for long
            self._drop()
        if code != READY:
            raise _Cut(Outcome("failed", _text(code, text), gateway=True))
        code, text = connection.rcpt(to)
        if code not in (READY, 251):
            raise _Cut(Outcome("failed" if code < NO_SUCH else "refused", _text(code, text), gateway=code == UNAVAILABLE))
        code, text = connection.docmd("DATA")
        if code != GO_ON:
            raise _Cut(Outcome("failed" if code < NO_SUCH else "refused", _text(code, text), gateway=code == UNAVAILABLE))

    def _open(self) -> smtplib.SMTP:
        """The connection, greeted, encrypted and logged in."""
        if self._connection is not None:
            if self._alive(self._connection):
                return self._connection
            self._drop()
        settings = self._settings
        context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None) if settings.security != "none" else None
        password = secret("mail.password", settings.password_file, settings.password_command) if settings.username else ""
        if settings.security == "tls":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(timeout=settings.timeout_s, context=context)
        else:
            connection = smtplib.SMTP(timeout=settings.timeout_s)
        self._connection = connection
        # smtplib checks certificates against the name that it keeps here
        connection._host = settings.host  # type: ignore[attr-defined] # noqa: SLF001
        with self._limited(connection):
            code, text = connection.connect(settings.host, settings.port)
            if code != 220:  # noqa: PLR2004 - RFC 5321 4.2.2
                raise smtplib.SMTPConnectError(code, text)
            connection.ehlo_or_helo_if_needed()
            if settings.security == "starttls":
                connection.starttls(context=context)
                connection.ehlo_or_helo_if_needed()
            if settings.username:
                connection.login(settings.username, password)
        return connection

    def _alive(self, connection: smtplib.SMTP) -> bool:
        try:
            with self._limited(connection):
                return connection.noop()[0] == READY
        except _BROKEN:
            return False

    @contextmanager
    def _limited(self, connection: smtplib.SMTP) -> Iterator[None]:
        """End the connection when all of it takes too long: a server that drips has a new limit with every byte."""
        watch = threading.Timer(self.longest_s / 2, _shut, (connection,))
        watch.daemon = True
        watch.start()
        try:
            yield
        finally:
            watch.cancel()

    def _reset(self) -> None:
        """Forget the message that the server does not take, for the next one."""
        if self._connection is None:
            return
        try:
            self._connection.rset()
        except _BROKEN:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*_BROKEN):
                connection.close()

    def check(self) -> list[tuple[str, bool, str, str]]:
        server = f"{self._settings.host}:{self._settings.port}"
        try:
            connection = self._open()
        except smtplib.SMTPAuthenticationError as error:
            return [(f"mail {server}", False, _said(error), "check mail.username and the password")]
        except ssl.SSLError as error:
            return [(f"mail {server}", False, _said(error), "check mail.security, mail.port and mail.ca_file")]
        except _BROKEN as error:
            return [(f"mail {server}", False, _said(error), "check mail.host, mail.port and mail.security, and whether the server is up")]
        finally:
            if self._connection is not None:
                self.close()
        name = (connection.ehlo_resp or connection.helo_resp or b"").split(b"\n")[0].decode("ascii", "replace")
        return [(f"mail {server}", True, name or Phrase("answers"), "")]

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*_BROKEN), self._limited(connection):
                connection.quit()
            with suppress(*_BROKEN):
                connection.close()


def _shut(connection: smtplib.SMTP) -> None:
    """End both directions at once, so that whoever waits for an answer gets an error."""
    found = getattr(connection, "sock", None)
    if found is not None:
        with suppress(OSError):
            found.shutdown(socket.SHUT_RDWR)


def _stuffed(data: bytes) -> bytes:
    """The data with dots doubled at the beginning of lines, ended by a line end.  Source: RFC 5321 section 4.5.2."""
    if data.startswith(b"."):
        data = b"." + data
    data = data.replace(b"\r\n.", b"\r\n..")
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def _text(code: int, text: bytes) -> str:
    return f"{code} {text.decode('utf-8', 'replace')}"[:300]


def _said(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        found = error.smtp_error
        return _text(error.smtp_code, found if isinstance(found, bytes) else str(found).encode())
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (str(error) or type(error).__name__)[:300]
