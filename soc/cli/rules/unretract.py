"""`soc rules unretract`."""

from __future__ import annotations

import click

from soc.cli._io import json_option, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _


@click.command(help=_("Undo a retraction, for the record: its alerts count again."))
@click.argument("id")
@click.option("--reason", required=True, help=_("Why, for the record."))
@json_option
@pass_session
def command(session: Session, id: str, reason: str, as_json: bool) -> None:
    """Undo a retraction."""
    import msgspec

    from soc.application import policies_defects, rules_retract

    app = session.app()
    defect = rules_retract.undo(app, id, why=reason)
    restored = policies_defects.reached(app, {defect.id, *(one.id for one in rules_retract.followers(app, defect))}).restored
    if as_json:
        write_json({"schema_version": 1, "kind": "retraction", "retraction": msgspec.to_builtins(defect), "incidents": {"restored": restored}})
        return
    if restored:
        session.out.say(_("incidents brought back: {names}").format(names=" ".join(restored)))
    session.out.say(_("The alerts of {title} count again.").format(title=defect.title))
