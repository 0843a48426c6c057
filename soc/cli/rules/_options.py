"""Options and arguments that several subcommands of `soc rules` have, and how their texts are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from soc.cli._io import F, json_option
from soc.cli._session import Session
from soc.i18n import gettext as _

FOLDER = click.Path(path_type=Path, exists=True)
RULES = click.option("--rules", "folder", type=FOLDER, metavar="DIR", help=_("Rules of this file or folder instead of those that are set."))
ZONE = click.option("--tz", default="Asia/Ho_Chi_Minh", show_default=True, metavar="ZONE", help=_("The zone of hours and days, and of times without a zone."))
ZONE_SET = click.option("--tz", default="", metavar="ZONE", help=_("The zone of hours and days, and of times without a zone; default: that of the settings."))
REASON = click.option("--reason", required=True, help=_("Why, for the record."))


def recorded_change(command: F) -> F:
    """The argument and options of a change of one rule that is recorded with its reason."""
    return click.argument("rule")(REASON(json_option(command)))


def guarded_change(command: F) -> F:
    """Those of a change that the guard may refuse."""
    sure = click.option("--yes", "sure", is_flag=True, help=_("Also when it would have made too many; recorded with the figures."))
    reason = click.option("--reason", default="", help=_("Why, for the record."))
    return click.argument("rule")(reason(sure(json_option(command))))


def tell_too_many(session: Session, refusal: str, advice: str, *, title: str, rule: str, per_day: float, limit: float) -> None:
    """Say that the guard refused a change, and what may be done."""
    session.out.warn(refusal.format(title=title, per_day=f"{per_day:g}", limit=f"{limit:g}"))
    session.out.say(advice.format(id=rule))


def pipeline_option(default: str) -> Callable[[F], F]:
    """`--pipeline`."""
    text = _("none: fields as in the rules, log sources not asked; ecs: the shipped mapping and routing.")
    return click.option("--pipeline", type=click.Choice(["none", "ecs"]), default=default, show_default=True, help=text)


def use_zone_named(name: str) -> None:
    """Make a zone the one of rules.

    Raises: UsageError when there is none of this name.
    """
    from zoneinfo import ZoneInfo

    from soc.errors import Phrase, UsageError
    from soc.rules.values import use_zone

    try:
        use_zone(ZoneInfo(name))
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(Phrase("there is no time zone {name}", name=name), hint="--tz Asia/Ho_Chi_Minh") from error


def microseconds(text: str) -> int | None:
    """Microseconds of a lateness in seconds; None for `inf`."""
    from fractions import Fraction

    from soc.errors import Phrase, UsageError

    if text == "inf":
        return None
    try:
        seconds = Fraction(text.removesuffix("s"))
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(Phrase("{text} is neither a number of seconds nor inf", text=text)) from error
    if seconds < 0:
        raise UsageError(Phrase("{text} is neither a number of seconds nor inf", text=text))
    return round(seconds * 1_000_000)


def moment(text: str) -> int | None:
    """The time of a text in microseconds; None for "".

    Raises: UsageError when it is no time.
    """
    from soc.clock import from_datetime
    from soc.errors import Phrase, UsageError
    from soc.rules.values import local_time

    if not text:
        return None
    moment = local_time(text)
    if moment is None:
        raise UsageError(Phrase("{text} is no time", text=text), hint="--until 2026-11-20T08:00:00+07:00")
    return from_datetime(moment)
