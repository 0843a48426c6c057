"""Objects with a number of their own (`INC-2026-0007`): taken once and for all, and found by the number alone."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

from soc.application.app import App
from soc.clock import from_iso, to_datetime
from soc.errors import Conflict, Phrase, UsageError
from soc.model.fact import NewFact, Stored
from soc.model.journal import FactConflict

FUTURE_US = 300_000_000
"""How far ahead of our clock a time that people give may be: five minutes."""
_TRIES = 50
_LONGEST = 9
"""Digits of a number; more are no number of ours."""


def local_day(app: App, us: int | None = None) -> date:
    """The day of a time (default: now) where the users are."""
    return to_datetime(app.clock.now_us() if us is None else us).astimezone(ZoneInfo(app.settings.timezone)).date()


def take(app: App, stem: str, *facts: NewFact, busy: str, scope: str = "real") -> list[Stored]:
    """The first facts of the new stream `<stem><next number>`; a number that somebody takes meanwhile is skipped.

    Raises: Conflict (`busy` says what) when others are always faster; UsageError for facts that cannot be recorded.
    """
    number = last_number(app, stem)
    for _ in range(_TRIES):
        number += 1
        try:
            return app.journal.append(f"{stem}{number:04d}", 0, facts, actor=app.actor.name, scope=scope)
        except FactConflict:
            continue
    raise Conflict(busy, hint="try again")


def last_number(app: App, stem: str) -> int:
    """The highest number that a stream `<stem><number>` has (0 = there is none)."""
    return max((_number(head.stream[len(stem) :]) for head in app.journal.heads(stem)), default=0)


def identity(stem: str, name: str) -> str:
    """The id that people mean, in capitals: `INC-2026-0007`, or with the stem `INC-2026-` the number alone (`7`)."""
    text = name.strip().upper()
    return f"{stem}{_number(text):04d}" if _number(text) else text


def _number(text: str) -> int:
    """The number that a text is (0 = none)."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST else 0


def local_time(app: App, moment: str | int) -> str:
    """A time (RFC 3339, or microseconds since 1970) to the minute where the users are, for errors: `2026-11-21 22:05`."""
    us = moment if isinstance(moment, int) else from_iso(moment)
    return to_datetime(us).astimezone(ZoneInfo(app.settings.timezone)).strftime("%Y-%m-%d %H:%M")


def not_later(app: App, field: str, value: str, *, hint: str = "") -> str:
    """A time that people gave ("" = none), which must have come.

    Raises: UsageError naming the field.
    """
    if value and (us := from_iso(value)) > app.clock.now_us() + FUTURE_US:
        raise UsageError(Phrase("{field}: {value} lies in the future", field=field, value=local_time(app, us)), hint=hint)
    return value
