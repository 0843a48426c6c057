"""`soc rules list`."""

from __future__ import annotations

from pathlib import Path

import click

from soc.cli._io import Column, list_options
from soc.cli._session import Session, pass_session
from soc.cli.rules._load import collection_of
from soc.cli.rules._options import RULES
from soc.i18n import gettext as _


@click.command("list", help=_("The rules, correlations with them."))
@RULES
@list_options
@pass_session
def command(session: Session, folder: Path | None, form: str | None, fields: tuple[str, ...]) -> int:
    """List rules."""
    collection, errors = collection_of(session, folder)
    items = [
        {
            "id": rule.id,
            "kind": "classification" if rule.classify else "detection",
            "level": rule.classify.level if rule.classify else rule.level,
            "title": rule.title,
            "logsource": str(rule.logsource),
            "path": rule.path,
            "line": rule.line,
        }
        for rule in collection.ruleset.rules
    ]
    items += [
        {"id": rule.id, "kind": rule.type, "level": rule.level, "title": rule.title, "logsource": "", "path": rule.path, "line": rule.line}
        for rule in collection.correlations
    ]
    items.sort(key=lambda item: (str(item["path"]), item["line"]))
    columns = [
        Column("id", _("Id"), whole=True),
        Column("kind", _("Kind")),
        Column("level", _("Level"), whole=True),
        Column("title", _("Title")),
        Column("path", _("File"), lambda item: Path(item["path"]).name),
    ]
    session.out.items("rules", items, columns, form=form, fields=fields)
    return 1 if errors else 0
