"""Progress on stderr: a line that renews itself on a terminal, else one line per ten seconds."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Self

import click

from soc.clock import SystemClock
from soc.model.text import display_safe

if TYPE_CHECKING:
    from soc.cli._session import Session
    from soc.clock import Clock

RENEW_S = 0.1
TELL_S = 10.0


class Progress:
    """Tells how far something is; use as a context manager, so that the line is cleared."""

    def __init__(self, session: Session, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._off = session.verbosity < 0
        self._last = self._clock.monotonic() - (RENEW_S if self._terminal else 0)
        self._shown = False

    def __call__(self, text: str, done: int = 0, total: int = 0) -> None:
        """Say `text`, with a bar when `total` is known; too frequent calls cost a look at the clock."""
        now = self._clock.monotonic()
        if self._off or now - self._last < (RENEW_S if self._terminal else TELL_S):
            return
        self._last = now
        share = min(done / total, 1.0) if total else 0.0
        line = display_safe(text) + (f"  {share:4.0%}" if total else "")
        if self._terminal:
            filled = round(share * 20)
            drawn = f"[{'━' * filled}{' ' * (20 - filled)}] " if total else ""
            click.echo(f"\r\x1b[K{drawn}{line}", nl=False, err=True)
            self._shown = True
        else:
            click.echo(line, err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)
