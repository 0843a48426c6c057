"""`soc rules disable`."""

from __future__ import annotations

import click

from soc.cli._io import write_json
from soc.cli._session import Session, pass_session
from soc.cli.rules._options import recorded_change
from soc.i18n import gettext as _


@click.command(help=_("Switch a rule off, for the record; a running pipeline obeys at its next batch. RULE: an id, a name or a file."))
@recorded_change
@pass_session
def command(session: Session, rule: str, reason: str, as_json: bool) -> None:
    """Switch a rule off."""
    from soc.application.rules_state import disable

    found = disable(session.app(), rule, why=reason)
    if as_json:
        write_json({"schema_version": 1, "kind": "rule-disable", "rule": found.id, "title": found.title, "state": "disabled"})
        return
    session.out.say(_("{title} is off; on again: soc rules enable {id}").format(title=found.title, id=found.id))
