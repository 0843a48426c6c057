"""Ctrl-C once finishes the batch, twice stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.cli._session import Session


@contextmanager
def hangup_event() -> Iterator[threading.Event]:
    """An event that SIGHUP sets: what may be read again is to be read again."""
    hangup = threading.Event()
    before = signal.signal(signal.SIGHUP, lambda _number, _frame: hangup.set())
    try:
        yield hangup
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def stop_on_signal(session: Session) -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second SIGINT raises KeyboardInterrupt."""
    stop = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()
        session.out.say(_("finishing the batch in hand; Ctrl-C again stops at once"))

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
