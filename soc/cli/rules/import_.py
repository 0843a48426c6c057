"""`soc rules import`: rules of others, looked at and taken over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.cli._io import Column, list_options
from soc.cli._session import Session, pass_session
from soc.cli.rules._options import FOLDER
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.rules.importing import Survey


@click.command(
    "import", help=_("Take over a folder of Sigma rules (SigmaHQ's): what can be used here, what can never match and why; nothing is written without --yes.")
)
@click.argument("folder", type=FOLDER)
@click.option("--to", "target", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="DIR", help=_("Where the rules are copied to."))
@click.option("--yes", "sure", is_flag=True, help=_("Copy the rules that are ready; without it this is a dry run."))
@click.option("--rules", "detailed", is_flag=True, help=_("One line a rule instead of the summary."))
@list_options
@pass_session
def command(session: Session, folder: Path, target: Path, sure: bool, detailed: bool, form: str | None, fields: tuple[str, ...]) -> int:
    """Import rules; exit code 1 when none is ready."""
    from soc.application.rules_import import look, take
    from soc.rules.importing import READY

    settings = session.settings
    found = look(settings, folder.resolve())
    if form in {"json", "jsonl", "csv"} or detailed:
        _tell_rules(session, found, form, fields)
    else:
        _tell_summary(session, found, form)
    counts = found.counts()
    session.out.say(
        _("{total} rules: {ready} ready, {never} can never match here, {duplicate} are there already, {refused} refused").format(
            total=len(found.candidates), **counts
        )
    )
    slow = sum(one.residual for one in found.candidates if one.verdict == READY)
    if slow:
        session.out.say(_("{count} of those that are ready need no particular value and are asked of every event (soc rules lint)").format(count=slow))
    if sure:
        done = take(found, folder.resolve(), target)
        session.out.say(_("{count} rules copied to {folder}").format(count=done.rules, folder=target))
        if target.resolve() not in [Path(one).resolve() for one in settings.rules.directories]:
            session.out.say(_("The folder is not in rules.directories yet: soc config show rules"))
    elif counts[READY]:
        session.out.say(_("Nothing was written; --yes copies what is ready."))
    return 0 if counts[READY] else 1


def _tell_rules(session: Session, found: Survey, form: str | None, fields: tuple[str, ...]) -> None:
    import msgspec

    items: list[dict[str, Any]] = [{key: value for key, value in msgspec.to_builtins(one).items() if key != "text"} for one in found.candidates]
    columns = [
        Column("verdict", _("Verdict"), whole=True),
        Column("path", _("Place"), lambda item: f"{Path(item['path']).name}:{item['line']}"),
        Column("title", _("Title")),
        Column("reason", _("Reason")),
    ]
    more = {"counts": found.counts(), "unmapped": [msgspec.to_builtins(gap) for gap in found.gaps]}
    session.out.items("rule-import", items, columns, form=form, fields=fields, more=more)


def _tell_summary(session: Session, found: Survey, form: str | None) -> None:
    import msgspec

    reasons = [{"verdict": verdict, "reason": reason, "count": count} for verdict, reason, count in found.reasons()]
    session.out.items(
        "rule-import",
        reasons,
        [Column("verdict", _("Verdict"), whole=True), Column("count", _("Rules"), right=True), Column("reason", _("Reason"))],
        form=form,
    )
    if found.gaps:
        session.out.items(
            "rule-import-fields",
            [msgspec.to_builtins(gap) for gap in found.gaps],
            [
                Column("field", _("Field without counterpart")),
                Column("rules", _("Rules"), right=True),
                Column("logsource", _("Log source")),
                Column("near", _("Nearest known")),
            ],
            form=form,
        )
