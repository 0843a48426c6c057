"""`soc rules history`."""

from __future__ import annotations

import click

from soc.cli import _show
from soc.cli._io import Column, list_options
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _


@click.command(help=_("Every rule set that was in force: since when, by whom, what it changed. soc rules show --hash shows one."))
@list_options
@pass_session
def command(session: Session, form: str | None, fields: tuple[str, ...]) -> None:
    """List the rule sets."""
    from soc.application.ruleset import RULES_FACT

    zone = session.settings.timezone
    items = [
        {
            "at": fact["at"],
            "hash": fact["hash"],
            "before": fact["before"],
            "by": fact["by"],
            "cause": fact.get("cause", ""),
            "added": fact.get("added", []),
            "removed": fact.get("removed", []),
            "changed": fact.get("changed", []),
            "counts": fact.get("counts", {}),
            "errors": fact.get("errors", []),
        }
        for fact in reversed(session.app().store.facts(RULES_FACT))
    ]

    def count(name: str) -> Column:
        titles = {"added": _("Added"), "removed": _("Removed"), "changed": _("Changed")}
        return Column(name, titles[name], lambda item: _show.number(item["counts"].get(name, 0)), right=True)

    columns = [
        Column("at", _("Since"), lambda item: _show.when(item["at"], zone), whole=True),
        Column("hash", _("Rule set"), lambda item: item["hash"][:12], whole=True),
        Column("by", _("By")),
        Column("cause", _("Cause")),
        count("added"),
        count("removed"),
        count("changed"),
        Column("errors", _("Refused"), lambda item: _show.number(len(item["errors"])), right=True),
    ]
    session.out.items("rule-sets", items, columns, form=form, fields=fields)
