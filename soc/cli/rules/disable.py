"""`soc rules disable`."""

from __future__ import annotations

import click

from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _


@click.command(help=_("Switch a rule off, for the record; a running pipeline obeys at its next batch. RULE: an id, a name or a file."))
@click.argument("rule")
@click.option("--reason", required=True, help=_("Why, for the record."))
@pass_session
def command(session: Session, rule: str, reason: str) -> None:
    """Switch a rule off."""
    from soc.application.rules_state import disable

    found = disable(session.app(), rule, why=reason)
    session.out.say(_("{title} is off; on again: soc rules enable {id}").format(title=found.title, id=found.id))
