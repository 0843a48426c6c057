"""The options that say which events or alerts: period, scope, limit."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from soc.cli._session import Session
from soc.cli._show import read_time
from soc.clock import SystemClock
from soc.i18n import gettext as _

F = TypeVar("F", bound=Callable[..., Any])

# Reference: `real`, or `exercise:` and the id of a drill, as sources name it
_SCOPE = re.compile(r"real|exercise:[A-Za-z0-9_.-]+")


__all__ = ["limit_option", "period_options", "read_time", "repair_options", "scope_option"]


def repair_options(command: F) -> F:
    """`--why`, `--dry-run` and `--yes` of commands that change what is stored of events."""
    yes = click.option("--yes", is_flag=True, help=_("Do it; without it the plan is shown."))
    dry_run = click.option("--dry-run", is_flag=True, help=_("Only count what would change."))
    return click.option("--why", default="", help=_("The reason, for the record (required)."))(dry_run(yes(command)))


def period_options(command: F) -> F:
    """`--since`, `--until`; give microseconds since 1970 or None."""
    command = click.option("--until", "until_us", callback=_time, metavar="TIME", help=_("Before this time (exclusive)."))(command)
    return click.option("--since", "since_us", callback=_time, metavar="TIME", help=_("From this time on: 24h, 7d, 2026-11-20, '2026-11-20 08:30', RFC 3339."))(
        command
    )


def _time(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    session = ctx.ensure_object(Session)
    moment = read_time(value, SystemClock().now_us(), session.timezone or session.settings.timezone)
    other = ctx.params.get("until_us" if param.name == "since_us" else "since_us")
    if other is not None and moment != other and (moment > other) == (param.name == "since_us"):
        raise click.BadParameter(_("the period ends before it begins"), ctx=ctx, param=param)
    return moment


def scope_option(command: F) -> F:
    """`--scope`; gives the scope, or None for all."""
    return click.option(
        "--scope",
        default="real",
        callback=_scope,
        help=_("real, exercise:ID, or all."),
        show_default=True,
    )(command)


def _scope(ctx: click.Context, param: click.Parameter, value: str) -> str | None:
    if value == "all":
        return None
    if not _SCOPE.fullmatch(value):
        raise click.BadParameter(_("no scope: {text} (real, exercise:ID or all)").format(text=value), ctx=ctx, param=param)
    return value


def limit_option(default: int = 100) -> Callable[[F], F]:
    """`--limit`."""
    return click.option("--limit", type=click.IntRange(min=0), default=default, show_default=True, help=_("How many at most; 0 = all."))
