"""`soc rules coverage`: ATT&CK tactics and techniques that the rules cover."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from soc.cli._io import Column, list_options
from soc.cli._session import Session, pass_session
from soc.cli.rules._load import collection_of
from soc.cli.rules._options import RULES
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.rules.ast import Rule
    from soc.rules.collection import Collection
    from soc.rules.correlation import Correlation


@click.command(help=_("Which tactics and techniques of MITRE ATT&CK the rules cover; rules that are off or have no events do not count."))
@RULES
@click.option("--live", is_flag=True, help=_("Count what would make alerts now: without rules that were switched off in the store or are blind."))
@click.option("--techniques", "detailed", is_flag=True, help=_("One line a technique, with its rules."))
@click.option("--navigator", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help=_("Write a layer for the ATT&CK Navigator."))
@list_options
@pass_session
def command(session: Session, folder: Path | None, live: bool, detailed: bool, navigator: Path | None, form: str | None, fields: tuple[str, ...]) -> int:
    """Tell the coverage; tactics on a terminal, techniques with --techniques, both in JSON."""
    import msgspec

    from soc.rules.coverage import coverage, navigator_layer

    collection, errors = collection_of(session, folder)
    found = coverage(collection, _idle(session, collection, live=live))
    titles = {rule.id: rule.title for rule in collection.ruleset.rules} | {rule.id: rule.title for rule in collection.correlations}
    if navigator is not None:
        _write(navigator, navigator_layer(found, titles, name="soc"))
        session.out.say(_("{count} techniques written to {file}").format(count=len(found.techniques), file=navigator))
    tactics = [msgspec.to_builtins(one) for one in found.tactics]
    techniques = [msgspec.to_builtins(one) for one in found.techniques]
    more = {"attack_version": found.version, "tactics": tactics, "untagged": list(found.untagged), "unknown": found.unknown, "revoked": found.revoked}
    if form in {"json", "jsonl", "csv"} or detailed:
        columns = [
            Column("id", _("Technique"), whole=True),
            Column("name", _("Name")),
            Column("tactics", _("Tactics")),
            Column("rules", _("Rules"), lambda item: str(len(item["rules"])), right=True),
            Column(
                "titles",
                _("Titles"),
                lambda item: "; ".join([titles[one] for one in item["rules"]] + [f"{titles[k]} ({why})" for k, why in item["idle"].items()]),
            ),
        ]
        session.out.items("rule-coverage", techniques, columns, form=form, fields=fields, more=more)
    else:
        columns = [
            Column("id", _("Id"), whole=True),
            Column("name", _("Tactic")),
            Column("covered", _("Techniques covered"), lambda item: f"{item['covered']}/{item['techniques']}", right=True),
            Column("rules", _("Rules"), right=True),
        ]
        session.out.items("rule-coverage", tactics, columns, form=form, fields=fields)
    covered = sum("." not in one.id and bool(one.rules) for one in found.techniques)
    session.out.say(
        _(
            "ATT&CK {version}: {count} techniques and sub-techniques covered by rules that make alerts, {idle} only by others; {untagged} rules name none"
        ).format(
            version=found.version,
            count=sum(bool(one.rules) for one in found.techniques),
            idle=sum(not one.rules for one in found.techniques),
            untagged=len(found.untagged),
        )
    )
    for rule, tags in found.unknown.items():
        session.out.say(_("{title}: ATT&CK {version} as shipped does not know {tags}").format(title=titles[rule], version=found.version, tags=", ".join(tags)))
    return 1 if errors or not covered else 0


def _idle(session: Session, collection: Collection, *, live: bool) -> dict[str, str]:
    """The rules that make no alerts now, and why: those that the settings switch off; with `live` those that the store knows of."""
    names = set(session.settings.rules.disabled)
    rules: list[Rule | Correlation] = [*collection.ruleset.rules, *collection.correlations]
    idle = {rule.id: "disabled" for rule in rules if names & {rule.id, Path(rule.path).name, Path(rule.path).stem}}
    if live:
        from soc.application.rules_blind import blind_rules
        from soc.application.ruleset import recorded_states

        app = session.app()
        idle |= {name: f"blind: {why.state}" for name, why in blind_rules(app, collection).items()}
        off = set(recorded_states(app.store).off(session.settings.rules))
        idle |= dict.fromkeys((rule.id for rule in rules if rule.id in off), "disabled")
    return idle


def _write(file: Path, layer: dict[str, object]) -> None:
    """Write the layer.

    Raises: UsageError where the file cannot be written.
    """
    from soc.cli._io import to_json
    from soc.errors import Phrase, UsageError

    try:
        file.write_text(to_json(layer, indent=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(Phrase("{file} cannot be written: {reason}", file=str(file), reason=error.strerror)) from error
