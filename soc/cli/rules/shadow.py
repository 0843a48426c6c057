"""`soc rules shadow`."""

from __future__ import annotations

import click

from soc.cli._io import write_json
from soc.cli._session import Session, pass_session
from soc.cli.rules._options import recorded_change
from soc.i18n import gettext as _


@click.command(help=_("Make a rule a shadow: it runs beside the live ones, its alerts are kept apart and nobody is told."))
@recorded_change
@pass_session
def command(session: Session, rule: str, reason: str, as_json: bool) -> None:
    """Make a rule a shadow."""
    from soc.application.shadow import make_shadow

    found = make_shadow(session.app(), rule, why=reason)
    if as_json:
        write_json({"schema_version": 1, "kind": "rule-shadow", "rule": found.id, "title": found.title, "state": "shadow"})
        return
    session.out.say(_("{title} is a shadow; a running pipeline obeys at its next batch").format(title=found.title))
    session.out.say(_("Next: soc rules compare {id} · soc rules promote {id}").format(id=found.id))
