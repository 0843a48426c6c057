"""`soc rules unretract`."""

from __future__ import annotations

import click

from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _


@click.command(help=_("Undo a retraction, for the record: its alerts count again."))
@click.argument("id")
@click.option("--reason", required=True, help=_("Why, for the record."))
@pass_session
def command(session: Session, id: str, reason: str) -> None:
    """Undo a retraction."""
    from soc.application import rules_retract

    defect = rules_retract.undo(session.app(), id, why=reason)
    session.out.say(_("The alerts of {title} count again.").format(title=defect.title))
