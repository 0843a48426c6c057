"""`soc rules stats`."""

from __future__ import annotations

from typing import Any

import click

from soc.cli import _show
from soc.cli._io import Column, list_options
from soc.cli._query import period_options
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _


@click.command(help=_("How rules do: alerts, groups, verdicts of analysts, rate of false positives, what exceptions let pass."))
@click.option("--all", "everything", is_flag=True, help=_("Rules without any figure too."))
@period_options
@list_options
@pass_session
def command(session: Session, everything: bool, since_us: int | None, until_us: int | None, form: str | None, fields: tuple[str, ...]) -> None:
    """Show the figures of rules."""
    import msgspec

    from soc.application.rule_stats import stats

    items = [msgspec.to_builtins(one) for one in stats(session.app(), since_us=since_us, until_us=until_us, everything=everything)]

    def rate(item: dict[str, Any]) -> str:
        return "" if item["false_positive_rate"] is None else f"{item['false_positive_rate']:.0%}"

    columns = [
        Column("title", _("Rule"), lambda item: item["title"] + (" " + _("(shadow)") if item["shadow"] else "")),
        Column("level", _("Level"), lambda item: _show.level(item["level"]), lambda item: _show.style_of(item["level"]), whole=True),
        Column("alerts", _("Alerts"), lambda item: _show.number(item["alerts"]), right=True),
        Column("groups", _("Groups"), lambda item: _show.number(item["groups"]), right=True),
        Column("verdicts", _("Verdicts"), lambda item: " ".join(f"{name}={count}" for name, count in item["verdicts"].items())),
        Column("false_positive_rate", _("False positives"), rate, right=True),
        Column("excepted", _("Let pass"), lambda item: _show.number(item["excepted"]), right=True),
        Column("id", _("Id"), whole=True),
    ]
    session.out.items("rule-stats", items, columns, form=form, fields=fields)
