"""`soc rules lint`."""

from __future__ import annotations

from pathlib import Path

import click

from soc.cli._io import Column, list_options
from soc.cli._session import Session, pass_session
from soc.cli.rules._load import collection_of
from soc.cli.rules._options import RULES
from soc.i18n import gettext as _


@click.command(help=_("What a reviewer would say about rules; exit code 1 when one cannot be used or has an error."))
@RULES
@list_options
@pass_session
def command(session: Session, folder: Path | None, form: str | None, fields: tuple[str, ...]) -> int:
    """Lint rules."""
    import msgspec

    from soc.clock import SystemClock
    from soc.rules.cost import residual_costs
    from soc.rules.lint import Severity, lint_collection

    collection, errors = collection_of(session, folder)
    issues = lint_collection(collection, residual_costs(collection.ruleset, SystemClock().monotonic))
    columns = [
        Column("severity", _("Severity"), whole=True),
        Column("path", _("Place"), lambda item: f"{item['path']}:{item['line']}"),
        Column("text", _("Finding"), lambda item: item["text"] + (f" ({item['hint']})" if item["hint"] else "")),
    ]
    session.out.items("rule-issues", [msgspec.to_builtins(issue) for issue in issues], columns, form=form, fields=fields)
    return 1 if errors or any(issue.severity is Severity.ERROR for issue in issues) else 0
