"""`soc rules`: list, lint, test, eval, explain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.cli._io import Column, F, json_option, list_options, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.errors import RuleError
    from soc.rules.collection import Collection

FOLDER = click.Path(path_type=Path, exists=True)
RULES = click.option("--rules", "folder", type=FOLDER, metavar="DIR", help=_("Rules of this file or folder instead of those that are set."))


def pipeline_option(default: str) -> Callable[[F], F]:
    """`--pipeline`."""
    text = _("none: fields as in the rules, log sources not asked; ecs: the shipped mapping and routing.")
    return click.option("--pipeline", type=click.Choice(["none", "ecs"]), default=default, show_default=True, help=text)


ZONE = click.option("--tz", default="Asia/Ho_Chi_Minh", show_default=True, metavar="ZONE", help=_("The zone of hours and days, and of times without a zone."))


@click.group(help=_("Rules: list, lint, test, evaluate, explain."))
def command() -> None:
    """The noun."""


@command.command("eval", help=_("Evaluate rules on a file of events, one JSON object a line; one JSON alert a line. Needs no store and no configuration."))
@click.option("--rules", "folder", type=FOLDER, required=True, metavar="DIR", help=_("A rule file, or a folder: every *.yml below it."))
@click.option("--events", "file", required=True, metavar="FILE", help=_("The events, - for standard input; fields nested or with dots."))
@pipeline_option("none")
@click.option(
    "--lateness",
    default="inf",
    show_default=True,
    metavar="S",
    help=_("How many seconds an event may come late for correlations; inf: all are read before any is judged."),
)
@click.option("--time-field", default="@timestamp", show_default=True, metavar="F", help=_("The field that holds the time; correlations need it."))
@click.option(
    "--until", default="", metavar="T", help=_("The time to which silence is judged, later events are left out; default: the time of the latest event.")
)
@ZONE
def evaluate(folder: Path, file: str, pipeline: str, lateness: str, time_field: str, until: str, tz: str) -> int:
    """Evaluate; exit code 1 when a rule or an event was refused."""
    import contextlib
    import sys

    from soc.cli._io import to_json
    from soc.errors import Phrase, UsageError
    from soc.rules.collection import load_collection
    from soc.rules.evaluate import Options, read_lines
    from soc.rules.evaluate import evaluate as evaluated

    _use_zone(tz)
    options = Options(time_field, _seconds(lateness), _moment(until))
    collection, errors, notes = load_collection([folder], ecs=pipeline == "ecs")
    _tell(errors, notes)
    with contextlib.ExitStack() as stack:
        try:
            stream = sys.stdin.buffer if file == "-" else stack.enter_context(open(file, "rb", buffering=1 << 20))  # noqa: PTH123 - the path is what the user typed
        except OSError as error:
            raise UsageError(Phrase("{file} cannot be read: {reason}", file=file, reason=error.strerror)) from error
        found = evaluated(collection, read_lines(stream), options)
    for n, reason in found.refused:
        _err(f"{file}:{n}: {reason}")
    if found.late:
        _err(_("{count} events came later than {seconds} s; correlations left them out").format(count=found.late, seconds=lateness))
    if found.timeless:
        _err(_("{count} events have no readable time in {field}; correlations left them out").format(count=found.timeless, field=time_field))
    out = sys.stdout
    out.writelines(to_json(alert) + "\n" for alert in found.alerts)
    out.flush()
    return 1 if errors or found.refused else 0


@command.command("list", help=_("The rules, correlations with them."))
@RULES
@list_options
@pass_session
def list_(session: Session, folder: Path | None, form: str | None, fields: tuple[str, ...]) -> int:
    """List rules."""
    collection, errors = _collection(session, folder)
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


@command.command(help=_("What a reviewer would say about rules; exit code 1 when one cannot be used or has an error."))
@RULES
@list_options
@pass_session
def lint(session: Session, folder: Path | None, form: str | None, fields: tuple[str, ...]) -> int:
    """Lint rules."""
    import msgspec

    from soc.rules.lint import Severity
    from soc.rules.lint import lint as linted

    collection, errors = _collection(session, folder)
    issues = linted(collection.ruleset)
    columns = [
        Column("severity", _("Severity"), whole=True),
        Column("path", _("Place"), lambda item: f"{item['path']}:{item['line']}"),
        Column("text", _("Finding"), lambda item: item["text"] + (f" ({item['hint']})" if item["hint"] else "")),
    ]
    session.out.items("rule-issues", [msgspec.to_builtins(issue) for issue in issues], columns, form=form, fields=fields)
    return 1 if errors or any(issue.severity is Severity.ERROR for issue in issues) else 0


@command.command(help=_("Run the tests that stand beside rules; exit code 1 when one fails."))
@click.argument("path", type=FOLDER)
@list_options
@pass_session
def test(session: Session, path: Path, form: str | None, fields: tuple[str, ...]) -> int:
    """Test rules."""
    import msgspec

    from soc.rules.testing import run_tests

    results = run_tests(path, parse=_parser())
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


@command.command(help=_("Why a rule matches an event, or why not: the condition as a tree with the values that decided it."))
@click.argument("rule")
@RULES
@click.option("--event", "file", required=True, metavar="FILE", help=_("A file whose first line is the event, - for standard input."))
@pipeline_option("ecs")
@ZONE
@json_option
@pass_session
def explain(session: Session, rule: str, folder: Path | None, file: str, pipeline: str, tz: str, as_json: bool) -> int:
    """Explain one rule on one event; exit code 1 when it does not match."""
    from soc.cli._why import plain, tree_lines
    from soc.errors import NotFound, Phrase, UsageError
    from soc.rules.ast import Rule
    from soc.rules.evaluate import MOST_LINE, read_event
    from soc.rules.explain import explain as explained

    _use_zone(tz)
    collection, _errors = _collection(session, folder, ecs=pipeline == "ecs")
    found = collection.get(rule)
    if found is None:
        raise NotFound(Phrase("no rule {name}, or several", name=rule), hint="soc rules list")
    if not isinstance(found, Rule):
        raise UsageError(Phrase("{name} is a correlation: it speaks of several events", name=rule), hint="soc rules eval")
    try:
        with click.open_file(file, "rb") as stream:
            doc = read_event(stream.readline(MOST_LINE))
    except (OSError, ValueError) as error:
        raise UsageError(Phrase("{file} holds no event: {reason}", file=file, reason=str(error))) from error
    tree = explained(found.condition, doc)
    if as_json:
        write_json({"schema_version": 1, "kind": "explanation", "rule_id": found.id, "matched": tree["matched"], "explanation": tree})
    else:
        for parts in tree_lines(tree, everything=session.verbosity > 0):
            session.out.text(plain(parts))
    return 0 if tree["matched"] else 1


# --- what they share ----------------------------------------------------------------------------------------------------


def _collection(session: Session, folder: Path | None, *, ecs: bool = True) -> tuple[Collection, list[RuleError]]:
    """The rules of a folder, or those that the settings name; what cannot be used is told."""
    from importlib.resources import as_file, files

    from soc.rules.collection import load_collection

    if folder is not None:
        collection, errors, notes = load_collection([folder], ecs=ecs)
    else:
        settings = session.settings.rules
        with as_file(files("soc.rules").joinpath("content")) as shipped:
            collection, errors, notes = load_collection([*([shipped] if settings.shipped else []), *settings.directories], ecs=ecs)
    _tell(errors, notes)
    return collection, errors


def _tell(errors: list[RuleError], notes: list[str]) -> None:
    for error in errors:
        _err(f"{error.path}:{error.line}: {error.reason}" + (f" ({error.hint})" if error.hint else ""))
    for note in notes:
        _err(note)


def _err(text: str) -> None:
    from soc.model.text import display_safe

    click.echo(display_safe(text, most=2_000), err=True)


def _use_zone(name: str) -> None:
    from zoneinfo import ZoneInfo

    from soc.errors import Phrase, UsageError
    from soc.rules.values import use_zone

    try:
        use_zone(ZoneInfo(name))
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(Phrase("there is no time zone {name}", name=name), hint="--tz Asia/Ho_Chi_Minh") from error


def _seconds(text: str) -> int | None:
    """Microseconds of a lateness in seconds; None for `inf`."""
    from fractions import Fraction

    from soc.errors import Phrase, UsageError

    if text == "inf":
        return None
    try:
        seconds = Fraction(text.removesuffix("s"))
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(Phrase("{text} is neither a number of seconds nor inf", text=text)) from error
    if seconds < 0:
        raise UsageError(Phrase("{text} is neither a number of seconds nor inf", text=text))
    return round(seconds * 1_000_000)


def _moment(text: str) -> int | None:
    from soc.clock import from_datetime
    from soc.errors import Phrase, UsageError
    from soc.rules.values import local_time

    if not text:
        return None
    moment = local_time(text)
    if moment is None:
        raise UsageError(Phrase("{text} is no time", text=text), hint="--until 2026-11-20T08:00:00+07:00")
    return from_datetime(moment)


def _parser() -> Callable[[str, str], dict[str, Any]]:
    """What reads the raw lines of test cases."""
    from soc.application.rules import line_parser
    from soc.clock import SystemClock

    return line_parser(SystemClock().now_us())
