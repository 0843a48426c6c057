"""`soc reclassify`: a wrong class is repaired openly."""

from __future__ import annotations

from pathlib import Path

import click

from soc.cli import _show
from soc.cli._io import json_option, write_json
from soc.cli._query import period_options, repair_options, scope_option
from soc.cli._session import Session, may_ask, pass_session
from soc.i18n import gettext as _


@click.command(help=_("Give events another threat class: a stated one, or what the rules say now. Who, why and both figures are kept."))
@click.argument("query", nargs=-1, metavar="[QUERY]")
@period_options
@scope_option
@click.option("--level", default="", metavar="LEVEL", help=_("The right level (critical, high, medium, low, none)."))
@click.option("--category", default="", metavar="NAME", help=_("The right category (spam, malware, …)."))
@click.option("--rules", "rules_dir", type=click.Path(path_type=Path, exists=True, file_okay=False), help=_("Class by the rules of this folder."))
@repair_options
@json_option
@pass_session
def command(
    session: Session,
    query: tuple[str, ...],
    since_us: int | None,
    until_us: int | None,
    scope: str | None,
    level: str,
    category: str,
    rules_dir: Path | None,
    why: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Reclassify events."""
    from soc.application.events import event_query
    from soc.application.reclassify import reclassify
    from soc.cli._beside import counting, stoppable, teller
    from soc.cli._progress import Progress

    app = session.app()
    asked = event_query(" ".join(query), scope=scope, since_us=since_us, until_us=until_us, limit=0)

    def run(*, dry: bool) -> dict[str, int]:
        with Progress(session) as progress:
            return reclassify(
                app,
                query=asked,
                level=level,
                category=category,
                rules_dir=rules_dir,
                why=why,
                dry_run=dry,
                progress=counting(progress),
                tell=teller(session, "soc reclassify"),
            )

    counts = run(dry=True)
    written = False
    if counts.get("changed") and not dry_run:
        plan = _("{count} events will get another class.").format(count=_show.number(counts["changed"]))
        if not yes:
            session.out.say(plan)
        if yes or (may_ask(session) and click.confirm(_("Do it?"), default=False, err=True)):
            with stoppable(session):
                counts = run(dry=False)
            written = True
    if as_json:
        write_json({"schema_version": 1, "kind": "reclassification", "written": written, "counts": counts})
    else:
        words = {"seen": _("seen"), "changed": _("changed")}
        for name, count in counts.items():
            session.out.text(f"{words.get(name, name):<28} {_show.number(count):>11}")
    if written:
        session.out.say(_("The former classes stay countable: {command}").format(command="soc events stats --facet soc.threat.previous"))
    else:
        session.out.say(_("Nothing was changed; --yes does it.") if not dry_run and counts.get("changed") else _("Nothing was changed."))
