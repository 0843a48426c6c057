"""`soc rules shadow`."""

from __future__ import annotations

import click

from soc.cli._session import Session, pass_session
from soc.cli.rules._options import recorded_change
from soc.i18n import gettext as _


@click.command(help=_("Make a rule a shadow: it runs beside the live ones, its alerts are kept apart and nobody is told."))
@recorded_change
@pass_session
def command(session: Session, rule: str, reason: str) -> None:
    """Make a rule a shadow."""
    from soc.application.shadow import make_shadow

    found = make_shadow(session.app(), rule, why=reason)
    session.out.say(_("{title} is a shadow; a running pipeline obeys at its next batch").format(title=found.title))
    session.out.say(_("Next: soc rules compare {id} · soc rules promote {id}").format(id=found.id))
