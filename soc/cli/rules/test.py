"""`soc rules test`."""

from __future__ import annotations

from pathlib import Path

import click

from soc.cli._io import Column, list_options
from soc.cli._session import Session, pass_session
from soc.cli.rules._load import case_parser, rule_folders
from soc.cli.rules._options import FOLDER
from soc.i18n import gettext as _


@click.command(help=_("Run the tests that stand beside rules; exit code 1 when one fails."))
@click.argument("path", type=FOLDER)
@list_options
@pass_session
def command(session: Session, path: Path, form: str | None, fields: tuple[str, ...]) -> int:
    """Test rules."""
    import msgspec

    from soc.rules.testing import run_tests

    with rule_folders(session) as library:
        results = run_tests(path.resolve(), parse=case_parser(), library=library)
    items = [{**msgspec.to_builtins(result), "passed": result.passed} for result in results]
    columns = [
        Column("passed", _("Passed")),
        Column("path", _("File"), lambda item: Path(item["path"]).name),
        Column("case", _("Case")),
        Column("reason", _("Reason")),
    ]
    session.out.items("rule-tests", items, columns, form=form, fields=fields)
    failed = sum(not result.passed for result in results)
    session.out.say(_("{count} cases, {failed} failed").format(count=len(results), failed=failed))
    return 1 if failed or not results else 0
