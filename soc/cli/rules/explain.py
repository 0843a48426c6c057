"""`soc rules explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

from soc.cli import _show
from soc.cli._io import json_option, write_json
from soc.cli._session import Session, pass_session
from soc.cli.rules._load import collection_of
from soc.cli.rules._options import RULES, ZONE_SET, moment, pipeline_option, use_zone_named
from soc.cli.rules._recorded import recorded
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.rules.collection import Collection
    from soc.rules.correlation import Correlation


HINT = "soc events get ID --json > event.json"
"""How a stored event gets into a file."""


@click.command(help=_("Why a rule matches an event, or why not: the condition as a tree with the values that decided it."))
@click.argument("rule")
@RULES
@click.option(
    "--event",
    "--events",
    "file",
    required=True,
    metavar="FILE",
    help=_("A file whose first line is the event, of a correlation all lines; - for standard input."),
)
@click.option("--until", default="", metavar="T", help=_("Of a correlation: the time to which silence is judged; default: the time of the latest event."))
@pipeline_option("ecs")
@ZONE_SET
@json_option
@pass_session
def command(session: Session, rule: str, folder: Path | None, file: str, until: str, pipeline: str, tz: str, as_json: bool) -> int:
    """Explain one rule on one event, or a correlation on several; exit code 1 when it does not match."""
    from soc.cli._why import plain, tree_lines
    from soc.errors import Phrase, UsageError
    from soc.rules.ast import Rule
    from soc.rules.evaluate import MOST_LINE, read_event
    from soc.rules.exceptions import explained, letting_pass

    use_zone_named(tz or session.settings.rules_in_zone.timezone)
    kept = recorded(session) if folder is None else None
    collection, _errors = collection_of(session, folder, ecs=pipeline == "ecs", life=dict(kept.states.life) if kept else None)
    found = collection.get(rule)
    if found is None:
        raise collection.missing(rule)
    if not isinstance(found, Rule):
        return _correlation(session, found, collection, _events(file), moment(until), as_json=as_json)
    try:
        with click.open_file(file, "rb") as stream:
            doc = read_event(stream.readline(MOST_LINE))
    except (OSError, ValueError) as error:
        raise UsageError(Phrase("{file} holds no event: {reason}", file=file, reason=_reason(error)), hint=HINT) from error
    tree = explained(found, doc)
    matched = tree["matched"] and letting_pass(found, doc) is None
    if as_json:
        write_json({"schema_version": 1, "kind": "explanation", "rule_id": found.id, "matched": matched, "explanation": tree})
    else:
        for parts in tree_lines(tree, everything=session.verbosity > 0):
            session.out.text(plain(parts))
        for one in tree.get("exceptions", ()):
            sign = "✔" if one["in_force"] and one["covers"] else "✖"
            words = {"title": one["title"], "owner": one["owner"], "reason": one["reason"], "expires": one["expires"] or _("never")}
            session.out.text(f"{sign} " + _("exception: {title} ({owner}, ends {expires}): {reason}").format(**words))
    return 0 if matched else 1


def _reason(error: Exception) -> str:
    """Why a file could not be read as an event."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _events(file: str) -> list[dict[str, Any]]:
    """The events of a file.

    Raises: UsageError when a line is none.
    """
    from soc.errors import Phrase, UsageError
    from soc.rules.evaluate import read_event, read_lines

    try:
        with click.open_file(file, "rb") as stream:
            return [read_event(line) for line in read_lines(cast("BinaryIO", stream)) if line is None or line.strip()]
    except (OSError, ValueError) as error:
        raise UsageError(Phrase("{file} holds no event: {reason}", file=file, reason=_reason(error)), hint=HINT) from error


def _correlation(session: Session, rule: Correlation, collection: Collection, docs: list[dict[str, Any]], until_us: int | None, *, as_json: bool) -> int:
    """Explain a correlation: members, groups, the window that came nearest and what it lacks."""
    import msgspec

    from soc.rules.explain_time import explain_correlation

    found = explain_correlation(rule, collection, docs, until_us)
    if as_json:
        write_json({"schema_version": 1, "kind": "explanation", "rule_id": rule.id, "matched": found.matched, "explanation": msgspec.to_builtins(found)})
        return 0 if found.matched else 1
    out = session.out
    sign = "✔" if found.matched else "✖"
    head = _("{type} of {condition} within {span}").format(type=found.type, condition=found.condition, span=_show.span(found.timespan_s))
    out.text(f"{sign} {head}" + (" " + _("by {fields}").format(fields=", ".join(found.group_by)) if found.group_by else ""))
    titles = {one.rule: _show.title(one) for one in found.members}
    for one in found.members:
        out.text("  " + _("{title}: {matched} matched, {counted} count").format(title=_show.title(one), matched=one.matched, counted=one.counted))
        for numbers, reason in (
            (one.elsewhere, _("not of its log source")),
            (one.timeless, _("without a readable time")),
            (one.ungrouped, _("without a field of the group")),
            (one.valueless, _("without the value that is counted")),
        ):
            if numbers:
                out.text("    " + reason + ": " + _("events {numbers}").format(numbers=_numbers(numbers)))
    for group in found.groups:
        name = ", ".join(f"{field}={value}" for field, value in group.group.items()) or _("all events")
        line = _("{group}: nearest window {start} to {end}, measure {measure}, events {numbers}").format(
            group=name, start=group.start, end=group.end, measure=group.measure or "-", numbers=_numbers(group.events)
        )
        out.text(("  ✔ " if group.fired else "  ✖ ") + line)
        if group.missing and not group.fired:
            out.text("    " + _("missing: {rules}").format(rules=", ".join(titles.get(name, name) for name in group.missing)))
        if group.unwanted and not group.fired:
            out.text("    " + _("not wanted, but there: {rules}").format(rules=", ".join(titles.get(name, name) for name in group.unwanted)))
    if found.more_groups:
        out.text("  " + _("… and {count} more groups").format(count=found.more_groups))
    return 0 if found.matched else 1


def _numbers(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (" …" if len(numbers) > 10 else "")  # noqa: PLR2004 - enough to find them
