"""Options of commands that record something: when it was, why, and on whose behalf."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from soc.cli import _show
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.cli._session import Session


def example(help_text: str, words: str) -> str:
    """The help of a command, with a line that shows how it is typed."""
    return help_text + " " + _("Example: {words}").format(words=words)


def past(session: Session, text: str | None) -> str:
    """A time that has come (`2h` is two hours ago), as RFC 3339 UTC; "" for none.

    Raises: click.BadParameter.
    """
    return _read(session, text, _show.read_time)


def ahead(session: Session, text: str | None) -> str:
    """A time that is to come (`3d` is in three days), as RFC 3339 UTC; "" for none.

    Raises: click.BadParameter.
    """
    return _read(session, text, _show.read_end)


def _read(session: Session, text: str | None, read: Callable[[str, int, str], int]) -> str:
    from soc.clock import iso

    return iso(read(text, session.app().clock.now_us(), session.settings.timezone)) if text else ""


def warn_of_unknown(session: Session, owner: str) -> None:
    """Say when work is given to a name that the registry does not know: its reminders would go to others."""
    from soc.application.recipients import is_unknown

    if is_unknown(session.app(), owner):
        text = _("nobody in the registry is called {name}; reminders will go to who is on call and to the leads (soc people list)")
        session.out.warn(text.format(name=owner))


def reason_option(function: Any) -> Any:
    """`--reason`; gives the parameter `reason`."""
    return click.option("--reason", default="", metavar="TEXT", help=_("Why, for the record."))(function)


def behalf_options(function: Any) -> Any:
    """The options of recording for somebody else; gives the parameter `behalf`. Stands below `@pass_session`."""

    @wraps(function)
    def carry_out(session: Session, /, *, on_behalf: str, by: str, said_at: str, their_reference: str, **given: Any) -> Any:
        from soc.model.fact import Behalf

        if not on_behalf and (by or said_at or their_reference):
            raise click.UsageError(_("--by, --said-at and --their-reference say how somebody else said it: --on-behalf NAME is missing"))
        behalf = Behalf(on_behalf, by, past(session, said_at), their_reference) if on_behalf else None
        return function(session, behalf=behalf, **given)

    options = [
        click.option("--on-behalf", default="", metavar="NAME", help=_("Recorded for somebody else (ghi thay).")),
        click.option("--by", "by", default="", metavar="CHANNEL", help=_("How they said so: telephone, paper, mail, …")),
        click.option("--said-at", default="", metavar="TIME", help=_("When they said so.")),
        click.option("--their-reference", default="", metavar="TEXT", help=_("Number of their letter or call.")),
    ]
    wrapped: Any = carry_out
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped
