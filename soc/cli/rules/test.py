"""`soc rules test`: the tests beside rules, and how much they prove."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from soc.cli._io import Column, list_options
from soc.cli._session import Session, pass_session
from soc.cli.rules._load import case_parser, rule_folders
from soc.cli.rules._options import ZONE_SET, use_zone_named
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.rules.mutation import Score
    from soc.rules.testing import Result


@click.command("test", help=_("Run the tests that stand beside rules; exit code 1 when one fails."))
@click.argument("rules", metavar="[RULE]...", nargs=-1)
@click.option("--mutate", is_flag=True, help=_("Make small mistakes in the rules instead, and tell which of them the tests do not notice."))
@click.option("--at-least", type=click.FloatRange(0, 1), default=0.0, metavar="N", help=_("With --mutate: exit code 1 when a rule scores less (0 to 1)."))
@ZONE_SET
@list_options
@pass_session
def command(session: Session, rules: tuple[str, ...], mutate: bool, at_least: float, tz: str, form: str | None, fields: tuple[str, ...]) -> int:
    """Test rules: files, folders, ids or names; all that the settings name when none is given."""
    from soc.cli._progress import Progress
    from soc.rules.testing import mutation_scores, run_tests

    use_zone_named(tz or session.settings.rules_in_zone.timezone)
    with rule_folders(session) as library:
        paths = list(_paths(rules, library))
        if mutate:
            with Progress(session) as progress:

                def step(done: int, every: int) -> None:
                    progress(_("{done} of {every} rule files").format(done=done, every=every))

                scores = [score for path in paths for score in mutation_scores(path, parse=case_parser(), library=library, progress=step)]
            return _tell_scores(session, scores, at_least, form, fields)
        results = [result for path in paths for result in run_tests(path, parse=case_parser(), library=library)]
    return _tell_results(session, results, form, fields)


def _paths(rules: tuple[str, ...], library: list[Path]) -> list[Path]:
    """The files and folders that words mean.

    Raises: NotFound for a word that is neither a path nor a rule.
    """
    from soc.rules.collection import load_collection

    found = [Path(word).resolve() for word in rules if Path(word).exists()] if rules else list(library)
    named = [word for word in rules if not Path(word).exists()]
    collection = load_collection(library)[0] if named else None
    for word in named:
        assert collection is not None
        rule = collection.get(word)
        if rule is None:
            raise collection.missing(word)
        found.append(Path(rule.path))
    return list(dict.fromkeys(found))


def _tell_results(session: Session, results: list[Result], form: str | None, fields: tuple[str, ...]) -> int:
    import msgspec

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


def _tell_scores(session: Session, scores: list[Score], at_least: float, form: str | None, fields: tuple[str, ...]) -> int:
    from soc.rules.mutation import as_item, median

    columns = [
        Column("score", _("Score"), lambda item: "-" if item["reason"] else f"{item['score']:.2f}"),
        Column("file", _("File")),
        Column("killed", _("Noticed"), lambda item: f"{item['killed']}/{item['mutants']}"),
        Column("survivors", _("Not noticed"), lambda item: item["reason"] or "; ".join(item["survivors"])),
    ]
    session.out.items("rule-mutations", [as_item(score) for score in scores], columns, form=form, fields=fields)
    weak = [score for score in scores if score.reason or score.score < at_least]
    session.out.say(
        _("{count} rules, {mutants} mistakes, {killed} noticed; median score {median}").format(
            count=len(scores), mutants=sum(one.mutants for one in scores), killed=sum(one.killed for one in scores), median=f"{median(scores):.2f}"
        )
    )
    return 1 if weak or not scores else 0
