"""`soc rules show`."""

from __future__ import annotations

from pathlib import Path

import click

from soc.cli._io import json_option, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _


@click.command(help=_("Show a rule as it is written, or with --hash as it was in a former rule set; --to writes that set's files out."))
@click.argument("rule", required=False, default="")
@click.option("--hash", "set_hash", default="", metavar="HASH", help=_("A rule set of soc rules history, or the beginning of its hash."))
@click.option("--to", "target", type=click.Path(path_type=Path), metavar="DIR", help=_("Write all files of the set into this new folder."))
@json_option
@pass_session
def command(session: Session, rule: str, set_hash: str, target: Path | None, as_json: bool) -> None:
    """Show a rule or a set."""
    from soc.application.rules_blind import blind_rules
    from soc.application.ruleset import kept_archive, kept_set, one_named, unpack, whole_hash
    from soc.errors import Conflict, Phrase, UsageError

    app = session.app()
    if not rule and not set_hash:
        raise UsageError("say which rule, or which set with --hash", hint="soc rules list, soc rules history")
    loaded = kept_set(app.store, set_hash) if set_hash else app.rules
    if set_hash and loaded.hash != whole_hash(app.store, set_hash):
        session.out.warn(_("This program reads the set in another way than the one that used it: its hash is {hash} now.").format(hash=loaded.hash))
    if target is not None:
        if target.exists():
            raise Conflict(Phrase("{path} exists", path=target), hint="name a new folder")
        unpack(kept_archive(app.store, whole_hash(app.store, set_hash or loaded.hash)), target)
        session.out.say(_("written: {path}").format(path=target))
    if not rule:
        collection = loaded.engine.collection
        every = [(one.id, one.title) for one in collection.ruleset.rules] + [(one.id, one.title) for one in collection.correlations]
        if as_json:
            rules = [{"id": name, "title": title, "hash": loaded.manifest[name]} for name, title in sorted(every)]
            write_json({"schema_version": 1, "kind": "rule-set", "hash": loaded.hash, "total": len(rules), "truncated": False, "items": rules})
            return
        for name, title in sorted(every):
            session.out.text(f"{name}  {title}")
        return
    found = one_named(loaded.engine.collection, rule)
    text = loaded.source_of(found)
    why = blind_rules(app, loaded.engine.collection).get(found.id)
    if why is not None:
        told = _("blind: {sources} silent").format(sources=", ".join(why.sources)) if why.state == "silent" else _("blind: no source feeds it")
        session.out.warn(f"{found.title}: {told}")
    if as_json:
        write_json(
            {
                "schema_version": 1,
                "kind": "rule",
                "id": found.id,
                "title": found.title,
                "hash": found.hash,
                "shadow": found.shadow,
                "blind": why and why.state,
                "source": text,
            }
        )
    else:
        session.out.text(text.rstrip("\n"))
