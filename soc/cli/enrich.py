"""`soc enrich`: whose stored events are is asked again when the registry was put right afterwards."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from soc.cli import _show
from soc.cli._io import json_option, write_json
from soc.cli._query import period_options, repair_options, scope_option
from soc.cli._session import Session, may_ask, pass_session
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.application.enrich import Enriched


@click.command(
    help=_(
        "Ask the registry anew whose stored events are (agency, network point, system), as it is known now for the day of each. Who, why and all that was said before are kept."
    )
)
@click.argument("query", nargs=-1, metavar="[QUERY]")
@period_options
@scope_option
@click.option("--original", is_flag=True, help=_("Give the events back what they had when they came (takes a re-enrichment back)."))
@repair_options
@json_option
@pass_session
def command(
    session: Session,
    query: tuple[str, ...],
    since_us: int | None,
    until_us: int | None,
    scope: str | None,
    original: bool,
    why: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Enrich events anew."""
    import msgspec

    from soc.application import enrich as work
    from soc.application.events import event_query
    from soc.cli._beside import counting, stoppable, teller
    from soc.cli._progress import Progress

    app, text = session.app(), " ".join(query)
    asked = event_query(text, scope=scope, since_us=since_us, until_us=until_us, limit=0)

    def run(*, dry: bool) -> work.Enriched:
        with Progress(session) as progress:
            return work.enrich(
                app, query=asked, text=text, original=original, why=why, dry_run=dry, progress=counting(progress), tell=teller(session, "soc enrich")
            )

    written = yes and not dry_run
    with stoppable(session) if written else nullcontext():
        found = run(dry=not written)
    if not written and not dry_run and (found.changed or found.alerts) and may_ask(session):
        _tell(session, found)
        written = click.confirm(_("Do it?"), default=False, err=True)
        if written:
            with stoppable(session):
                found = run(dry=False)
    if as_json:
        write_json({"schema_version": 1, "kind": "enrichment", "written": written, **msgspec.to_builtins(found)})
    else:
        _tell(session, found)
    if written:
        session.out.say(_("What they had before stays: {command}").format(command="soc events stats --facet soc.agency.previous"))
    else:
        session.out.say(_("Nothing was changed; --yes does it.") if not dry_run and (found.changed or found.alerts) else _("Nothing was changed."))


def _tell(session: Session, found: Enriched) -> None:
    """The figures: events by agency before and after, alerts."""
    for word, count in ((_("seen"), found.seen), (_("changed"), found.changed), (_("alerts of another agency"), found.alerts)):
        session.out.text(f"{word:<28} {_show.number(count):>11}")
    nobody = _("(none)")
    for turn, count in found.agencies.items():
        before, _arrow, after = turn.partition("→")
        arrow = f"{before or nobody} → {after or nobody}"
        session.out.text(f"  {arrow:<26} {_show.number(count):>11}")
