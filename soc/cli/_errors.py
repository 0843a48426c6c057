"""Exit codes in one table, and how an error is told: what failed, its causes, what to do."""

from __future__ import annotations

import errno
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator

import click

from soc import errors
from soc.i18n import gettext as _
from soc.i18n import translated
from soc.model.text import display_safe

INTERRUPTED = 130
INTERNAL = 70
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def exit_codes() -> list[tuple[int, str]]:
    """Every exit code and its meaning."""
    return [
        (0, _("ok, also when nothing was found")),
        (1, _("the answer is no (a check failed, a difference was found), or some input was refused")),
        (2, _("the words of the command are wrong")),
        (3, _("a configuration or content file is wrong")),
        (4, _("a server cannot be reached; trying again later may work")),
        (5, _("not allowed: rights, read-only mode, or another process holds the store")),
        (6, _("conflict: somebody else changed it meanwhile")),
        (7, _("the store refuses: newer version, damaged, full")),
        (INTERNAL, _("internal error: a fault of this program")),
        (INTERRUPTED, _("interrupted")),
    ]


def tell_interrupt() -> None:
    """Say that the command was interrupted."""
    click.echo(_("interrupted"), err=True)


def tell(error: Exception, *, debug: bool, zone: str = "UTC", typed: Callable[[str], str] = str) -> int:
    """Tell an error on stderr, times in this zone; its exit code. `typed`: how the commands of a hint are typed here."""
    if isinstance(error, click.ClickException):
        return _tell_usage(error, typed)
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, errors.SocError):
        _line(_("error"), _said(error, zone))
        for cause in _causes(error):
            _line("  " + _("cause"), cause)
        if isinstance(error, errors.QuerySyntaxError):
            click.echo(caret(error.query, error.position), err=True)
        if error.hint:
            _line(_("hint"), typed(translated(error.hint)))
        return error.exit_code
    if isinstance(error, PermissionError):
        _line(_("error"), str(error))
        return errors.NotAllowed.exit_code
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        _line(
            _("error"), _("{place} cannot be written: {reason}").format(place=error.filename or _("standard output"), reason=translated(error.strerror or ""))
        )
        _line(_("hint"), _("make room, then run it again"))
        return errors.StoreFull.exit_code
    _line(_("internal error"), f"{type(error).__name__}: {error}")
    _line(_("hint"), _("run it again with --debug and report what it prints"))
    return INTERNAL


def _said(error: errors.SocError, zone: str) -> str:
    """What failed, and for a conflict what others recorded meanwhile."""
    if isinstance(error, errors.Conflict):
        from soc.cli import _show
        from soc.model.journal import FactConflict

        if isinstance(error, FactConflict) and error.since:
            return "\n".join(_show.conflict(error.stream, error.since, zone))
    return translated(error.message)


def _tell_usage(error: click.ClickException, typed: Callable[[str], str] = str) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return 2
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
    if isinstance(error, click.BadParameter) and error.param is None and error.param_hint is None:
        error.param = _given(error)
    # click breaks its lists of words into lines that begin with a tab.
    _line(_("error"), _named(error).replace("\n\t", " "))
    if isinstance(error, click.NoSuchOption) and error.ctx is not None and any(param.name == "query" for param in error.ctx.command.params):
        _line(
            _("hint"), _("a query that begins with - stands after --, or is written with not: {command}").format(command=f"{error.ctx.command_path} 'not a:b'")
        )
    elif isinstance(error, click.UsageError) and error.ctx is not None:
        _line(_("hint"), typed(f"{error.ctx.command_path} --help"))
    return 2 if isinstance(error, click.UsageError) else error.exit_code


def _given(error: click.BadParameter) -> click.Parameter | None:
    """The option or argument whose value the error speaks of, where only a command itself saw that it is wrong; None = several could be meant."""
    if error.ctx is None:
        return None

    def told(param: click.Parameter) -> bool:
        values = _each(error.ctx.params.get(param.name or "") if error.ctx else None)
        return any(re.search(rf"(?<!\w){re.escape(value)}(?!\w)", error.message) for value in values if isinstance(value, str) and value)

    named = [param for param in error.ctx.command.params if told(param)]
    return named[0] if len(named) == 1 else None


def _each(value: object) -> Iterable[object]:
    return value if isinstance(value, list | tuple) else (value,)


def _named(error: click.ClickException) -> str:
    """The message, in which the kinds of values have the names that people use."""
    message = error.format_message()
    kind = error.param.type if isinstance(error, click.BadParameter) and error.param is not None else None
    if isinstance(kind, click.types.IntParamType):
        return message.replace(kind.name, _("whole number"))
    if isinstance(kind, click.types.FloatParamType):
        return message.replace(kind.name, _("number"))
    if isinstance(kind, click.Path):  # click writes every word of it with a capital
        return message.replace(kind.name.title(), kind.name.capitalize())
    return message


def _line(head: str, text: str) -> None:
    # Line breaks of a message are ours; everything else in it may have come from outside.
    click.echo(f"{head}: " + "\n".join(display_safe(line, most=2000) for line in text.split("\n")), err=True)


def _causes(error: BaseException) -> Iterator[str]:
    seen = {str(error)}
    cause = error.__cause__
    while cause is not None:
        text = str(cause).split("\n", 1)[0] or type(cause).__name__
        if isinstance(cause, OSError) and cause.strerror and any(cause.strerror in told for told in seen):
            text = cause.strerror  # said already, without number and name of the class
        if not any(text in told for told in seen):
            seen.add(text)
            yield translated(cause.message) if isinstance(cause, errors.SocError) else f"{type(cause).__name__}: {text}"
        cause = cause.__cause__


def caret(text: str, position: int, width: int = 100) -> str:
    """Two lines: the part of `text` around `position`, and a caret below that character."""
    start = max(0, position - width // 2)
    shown = display_safe(text[start : start + width])
    before = display_safe(text[start:position])
    return f"  {shown}\n  {' ' * len(before)}^"
