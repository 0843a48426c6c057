"""`soc rules diff`: what differs between two sets of rules, and between their alerts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.cli import _show
from soc.cli._io import Column, list_options
from soc.cli._query import period_options
from soc.cli._session import Session, pass_session
from soc.cli.rules._load import rule_folders, tell
from soc.cli.rules._options import ZONE_SET, pipeline_option, use_zone_named
from soc.cli.rules._recorded import recorded
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.rules.collection import Collection
    from soc.rules.diff import Told


MOST_ALERTS = 100_000
"""Alerts of a side that are compared one by one."""


@click.command(
    help=_("What differs between two sets of rules. A, B: a file, a folder, shipped, live (what the settings and the store say), or the hash of a former set.")
)
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option(
    "--events",
    "file",
    metavar="FILE",
    help=_("Also which alerts on these events would differ (one JSON object a line, - for standard input); with --since: on the stored events."),
)
@period_options
@pipeline_option("ecs")
@ZONE_SET
@list_options
@pass_session
def command(
    session: Session,
    before: str,
    after: str,
    file: str | None,
    since_us: int | None,
    until_us: int | None,
    pipeline: str,
    tz: str,
    form: str | None,
    fields: tuple[str, ...],
) -> int:
    """Compare; exit code 1 when something differs beside words. With --since also the alerts on the stored events."""
    import msgspec

    from soc.rules.diff import TEXT, difference

    use_zone_named(tz or session.settings.rules_in_zone.timezone)
    first, second = (_collection(session, name, ecs=pipeline == "ecs") for name in (before, after))
    found = difference(first, second)
    told = None
    if file is not None:
        told = _on_file(first, second, file)
    elif since_us is not None:
        told = _on_store(session, first, second, since_us, until_us)
    columns = [
        Column("kind", _("Change"), lambda item: {"added": _("added"), "removed": _("removed"), "changed": _("changed")}.get(item["kind"], _("text only"))),
        Column("title", _("Title")),
        Column("facts", _("What"), lambda item: "; ".join(f"{key}: {old or '-'} → {new or '-'}" for key, (old, new) in item["facts"].items())),
        Column("path", _("File"), lambda item: Path(item["path"]).name),
    ]
    more = {"alerts": [msgspec.to_builtins(one) for one in told]} if told is not None else None
    session.out.items("rule-diff", [msgspec.to_builtins(one) for one in found], columns, form=form, fields=fields, more=more)
    if told is not None and form not in {"json", "jsonl", "csv"}:
        _tell_alerts(session, told)
    return 1 if told or any(one.kind != TEXT for one in found) else 0


def _tell_alerts(session: Session, told: list[Told]) -> None:
    for one in told:
        session.out.text(
            _("{title}: {both} alerts on both sides, {gone} only before, {come} only after").format(
                title=one.title, both=one.both, gone=len(one.before_only), come=len(one.after_only)
            )
        )
        for sign, several in (("-", one.before_only), ("+", one.after_only)):
            for events in several[:3]:
                session.out.text(f"  {sign} " + _("events {numbers}").format(numbers=", ".join(map(str, events[:10])) + (" …" if len(events) > 10 else "")))  # noqa: PLR2004 - enough to find them
    if not told:
        session.out.say(_("The alerts are the same."))


def _collection(session: Session, name: str, *, ecs: bool) -> Collection:
    """The rules that a word means.

    Raises: NotFound when it is none of the kinds there are.
    """
    from importlib.resources import as_file, files

    from soc.errors import NotFound
    from soc.rules.collection import load_collection

    path = Path(name)
    if name == "shipped":
        with as_file(files("soc.rules").joinpath("content")) as shipped:
            found, errors, notes = load_collection([shipped], ecs=ecs)
    elif name == "live":
        kept = recorded(session)
        life, off = (dict(kept.states.life), kept.states.off(session.settings.rules)) if kept else ({}, session.settings.rules.disabled)
        with rule_folders(session) as folders:
            found, errors, notes = load_collection(folders, ecs=ecs, states=life, disabled=off)
    elif path.exists():
        found, errors, notes = load_collection([path], ecs=ecs)
        if any("there is no rule with the id or name" in error.reason for error in errors):
            with rule_folders(session) as folders:
                found, errors, notes = _with_library(path, folders, ecs=ecs)
    else:
        from soc.application.ruleset import kept_set

        try:
            return kept_set(session.app().store, name).engine.collection
        except NotFound as error:
            raise NotFound(error.args[0], hint=_("a file, a folder, shipped, live, or a hash of soc rules history")) from error
    tell(errors, notes)
    return found


def _with_library(path: Path, folders: list[Path], *, ecs: bool) -> Any:
    """A folder whose correlations build on configured rules: loaded with them, then cut down to what is in it."""
    from soc.application.rules_choice import only
    from soc.rules.collection import load_collection

    top = path.resolve()
    collection, errors, notes = load_collection([top, *(one for one in folders if not top.is_relative_to(one.resolve()))], ecs=ecs)
    inside = {rule.id for rule in collection.ruleset.rules if Path(rule.path).is_relative_to(top)}
    inside |= {rule.id for rule in collection.correlations if Path(rule.path).is_relative_to(top)}
    return only(collection, inside), [error for error in errors if Path(error.path).is_relative_to(top)], notes


def _on_file(first: Collection, second: Collection, file: str) -> list[Told]:
    """The differences on the events of a file.

    Raises: UsageError for a file that cannot be read.
    """
    import sys

    from soc.errors import Phrase, UsageError
    from soc.rules.diff import alerted, alerts_differ
    from soc.rules.evaluate import evaluate, read_lines

    try:
        if file == "-":
            lines = list(read_lines(sys.stdin.buffer))
        else:
            with Path(file).open("rb") as stream:
                lines = list(read_lines(stream))
    except OSError as error:
        raise UsageError(Phrase("{file} cannot be read: {reason}", file=file, reason=error.strerror)) from error
    return alerts_differ(alerted(evaluate(first, lines)), alerted(evaluate(second, lines)))


def _on_store(session: Session, first: Collection, second: Collection, since_us: int, until_us: int | None) -> list[Told]:
    """The differences on the stored events of a time."""
    from soc.application.rules_backtest import backtest
    from soc.application.rules_choice import Choice
    from soc.cli._progress import Progress
    from soc.rules.diff import Alerted, alerts_differ

    app = session.app()
    until = app.clock.now_us() + 1 if until_us is None else until_us

    def alerts(collection: Collection) -> list[Alerted]:
        ids = {rule.id for rule in collection.ruleset.rules if rule.classify is None} | {rule.id for rule in collection.correlations}
        choice = Choice(collection, frozenset(ids - collection.silent))
        with Progress(session) as progress:

            def step(read: int, found: int) -> None:
                progress(_("{read} events read, {found} alerts").format(read=_show.number(read), found=_show.number(found)))

            done = backtest(app, choice, since_us=since_us, until_us=until, scope="real", examples=MOST_ALERTS, progress=step)
        return [(hit.rule, hit.title, tuple(hit.events), tuple(sorted(hit.key.items())), hit.level) for hit in done.examples]

    return alerts_differ(alerts(first), alerts(second))
