"""A real mail server (aiosmtpd) that misbehaves on demand, for tests: it keeps what it took, and counts distinct message ids."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from aiosmtpd.smtp import SMTP, Envelope, Session


class Server:
    """What the server does next (`behave`), and what it has. Behaviours: ok, refuse, greylist, stall, stall-after, drop-before, drop-after, busy."""

    def __init__(self) -> None:
        self.port = 0
        self.behave: list[str] = []
        self.always = "ok"
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.connections = 0

    @property
    def ids(self) -> set[str]:
        """The distinct Message-IDs of what was taken."""
        return {str(mail["Message-ID"]) for mail in self.mails}

    def next(self, *kinds: str) -> str:
        """What to do now, when it is one of these kinds; else "ok"."""
        wanted = self.behave[0] if self.behave else self.always
        if wanted in kinds:
            if self.behave:
                self.behave.pop(0)
            return wanted
        return "ok"

    async def handle_RCPT(self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        """Refuse, make wait, or end the connection before the data."""
        match self.next("refuse", "greylist", "stall", "drop-before", "busy"):
            case "refuse":
                return "550 5.1.1 no such user"
            case "greylist":
                return "451 4.7.1 try again later"
            case "busy":
                return "421 4.3.2 shutting down"
            case "stall":
                await asyncio.sleep(3600)
            case "drop-before":
                cast("Any", server.transport).abort()
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Take the mail; perhaps say nothing about it."""
        kind = self.next("ok", "stall-after", "drop-after", "full", "spam", "drop-unread")
        if kind == "full":
            return "452 4.2.2 mailbox full"
        if kind == "spam":
            return "554 5.7.1 looks like spam"
        if kind != "drop-unread":
            self.mails.append(message_from_bytes(cast("bytes", envelope.content), policy=default))
            self.recipients += envelope.rcpt_tos
        if kind == "stall-after":
            await asyncio.sleep(3600)
        if kind in ("drop-after", "drop-unread"):
            cast("Any", server.transport).abort()
        return "250 2.0.0 taken"


@contextmanager
def running(**options: Any) -> Iterator[Server]:
    """A server on a free port of loopback."""
    handler = Server()
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    def factory() -> SMTP:
        handler.connections += 1
        return SMTP(handler, hostname="mail.test", loop=loop, **options)

    async def serve() -> None:
        listening = await loop.create_server(factory, "127.0.0.1", 0)
        handler.port = listening.sockets[0].getsockname()[1]
        ready.set()
        async with listening:
            await stopped.wait()

    stopped = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(120)
    try:
        yield handler
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(120)
        loop.run_until_complete(_end(loop))
        loop.close()


async def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what still waits."""
    pending = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    await asyncio.sleep(0)
