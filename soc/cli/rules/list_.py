"""`soc rules list`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.cli import _show
from soc.cli._io import Column, list_options
from soc.cli._session import Session, pass_session
from soc.cli.rules._load import collection_of
from soc.cli.rules._options import RULES
from soc.cli.rules._recorded import recorded
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.rules.ast import Rule
    from soc.rules.correlation import Correlation


def _sees(item: dict[str, Any]) -> str:
    """What keeps a rule from seeing anything, in words."""
    blind = item["blind"]
    if not blind:
        return ""
    return _("blind: {sources} silent").format(sources=", ".join(blind["sources"])) if blind["state"] == "silent" else _("blind: no source feeds it")


@click.command("list", help=_("The rules, with correlations and filters."))
@RULES
@list_options
@pass_session
def command(session: Session, folder: Path | None, form: str | None, fields: tuple[str, ...]) -> int:
    """List rules."""
    from soc.application.rules_blind import blind_rules
    from soc.application.verdicts import false_positive_rate

    kept = recorded(session) if folder is None else None
    collection, errors = collection_of(session, folder, life=dict(kept.states.life) if kept else None)
    off = set(kept.states.off(session.settings.rules) if kept else session.settings.rules.disabled)

    blind = blind_rules(session.app(), collection) if kept else {}

    def life(rule: Rule | Correlation) -> dict[str, object]:
        """What is recorded about a rule."""
        verdicts = kept.verdicts.get(rule.id, {}) if kept else {}
        state = "disabled" if off & {rule.id, Path(rule.path).name, Path(rule.path).stem} else "shadow" if rule.shadow else "live"
        why = blind.get(rule.id)
        blindness = {"state": why.state, "sources": list(why.sources), "since": why.since} if why else None
        return {"state": state, "blind": blindness, "replaces": rule.replaces, "verdicts": verdicts, "false_positive_rate": false_positive_rate(verdicts)}

    items = [
        {
            "id": rule.id,
            "kind": "classification" if rule.classify else "detection",
            "level": rule.classify.level if rule.classify else rule.level,
            "title": rule.title,
            "title_vi": rule.title_vi,
            "logsource": str(rule.logsource),
            "path": rule.path,
            "line": rule.line,
            **life(rule),
        }
        for rule in collection.ruleset.rules
    ]
    items += [
        {
            "id": rule.id,
            "kind": rule.type,
            "level": rule.level,
            "title": rule.title,
            "title_vi": rule.title_vi,
            "logsource": "",
            "path": rule.path,
            "line": rule.line,
            **life(rule),
        }
        for rule in collection.correlations
    ]
    items += [
        {
            "id": one.id,
            "kind": "exception" if one.owner else "filter",
            "level": "",
            "title": one.title,
            "title_vi": "",
            "logsource": str(one.logsource),
            "path": one.path,
            "line": one.line,
            "state": "live",
            "blind": None,
            "replaces": "",
            "verdicts": {},
            "false_positive_rate": None,
            "rules": sorted(rule for rule, several in collection.filters.items() if one in several),
        }
        for one in {one.id: one for several in collection.filters.values() for one in several}.values()
    ]
    items.sort(key=lambda item: (str(item["path"]), item["line"]))
    words = {"live": _("live"), "shadow": _("shadow"), "disabled": _("off")}
    columns = [
        Column("id", _("Id"), whole=True),
        Column("kind", _("Kind")),
        Column("level", _("Level"), whole=True),
        Column("title", _("Title"), _show.title),
        Column("state", _("State"), lambda item: words[item["state"]], lambda item: "" if item["state"] == "live" else "yellow", whole=True),
        Column("blind", _("Sees"), _sees, lambda item: "yellow" if item["blind"] else ""),
        Column("path", _("File"), lambda item: Path(item["path"]).name),
    ]
    session.out.items("rules", items, columns, form=form, fields=fields)
    return 1 if errors else 0
