"""`soc access`: the table of who may do what."""

from __future__ import annotations

import click

from soc.cli._access import role_word
from soc.cli._io import Column, list_options
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _
from soc.i18n import translated


@click.group(help=_("Rights: which role may do what, with whose objects."))
def command() -> None:
    """The noun."""


@command.command(help=_("Show the table of rights: + with everything, own = only with what belongs to the own agencies; example: soc access show --csv"))
@list_options
@pass_session
def show(session: Session, form: str | None, fields: tuple[str, ...]) -> None:
    """Show the table."""
    from soc.application import access
    from soc.model.role import ROLES

    marks = {"any": "+", "own": _("own"), "": ""}
    items = [
        {
            "action": row.action,
            "what": translated(row.what),
            **{role: row.reach(role) for role in ROLES},
            "commands": [name for name, found in access.COMMANDS.items() if found is row],
        }
        for row in access.TABLE
    ]
    columns = [
        Column("action", _("Action"), whole=True),
        Column("what", _("What")),
        *(Column(role, role_word(role), lambda item, role=role: marks[item[role]], whole=True) for role in ROLES),  # type: ignore[misc]
    ]
    session.out.items("rights", items, columns, form=form, fields=fields)
