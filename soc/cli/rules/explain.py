"""`soc rules explain`."""

from __future__ import annotations

from pathlib import Path

import click

from soc.cli._io import json_option, write_json
from soc.cli._session import Session, pass_session
from soc.cli.rules._load import collection_of
from soc.cli.rules._options import RULES, ZONE, pipeline_option, use_zone_named
from soc.cli.rules._recorded import recorded
from soc.i18n import gettext as _


@click.command(help=_("Why a rule matches an event, or why not: the condition as a tree with the values that decided it."))
@click.argument("rule")
@RULES
@click.option("--event", "file", required=True, metavar="FILE", help=_("A file whose first line is the event, - for standard input."))
@pipeline_option("ecs")
@ZONE
@json_option
@pass_session
def command(session: Session, rule: str, folder: Path | None, file: str, pipeline: str, tz: str, as_json: bool) -> int:
    """Explain one rule on one event; exit code 1 when it does not match."""
    from soc.cli._why import plain, tree_lines
    from soc.errors import NotFound, Phrase, UsageError
    from soc.rules.ast import Rule
    from soc.rules.evaluate import MOST_LINE, read_event
    from soc.rules.exceptions import explained, letting_pass

    use_zone_named(tz)
    kept = recorded(session) if folder is None else None
    collection, _errors = collection_of(session, folder, ecs=pipeline == "ecs", life=dict(kept.states.life) if kept else None)
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
