"""`soc rules retractions`."""

from __future__ import annotations

import click

from soc.cli import _show
from soc.cli._io import Column, list_options
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _


@click.command(help=_("List the retractions, the newest first, undone ones too."))
@list_options
@pass_session
def command(session: Session, form: str | None, fields: tuple[str, ...]) -> None:
    """List retractions."""
    import msgspec

    from soc.application import rules_retract

    zone = session.settings.timezone
    columns = [
        Column("id", "ID", lambda item: item["id"][:10], whole=True),
        Column("title", _("Rule")),
        Column("since", _("From"), lambda item: _show.when(item["since"], zone), whole=True),
        Column("until", _("To"), lambda item: _show.when(item["until"], zone), whole=True),
        Column("alerts", _("Alerts"), lambda item: _show.number(item["alerts"]), right=True),
        Column("by", _("Who")),
        Column("why", _("Why")),
        Column("undone_at", _("Undone"), lambda item: f"{_show.when(item['undone_at'], zone)} {item['undone_by']}" if item["undone_at"] else ""),
    ]
    items = [msgspec.to_builtins(defect) for defect in rules_retract.retractions(session.app())]
    session.out.items("retractions", items, columns, form=form, fields=fields)
    if not items:
        session.out.say(_("nothing was retracted"))
