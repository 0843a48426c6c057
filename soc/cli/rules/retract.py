"""`soc rules retract`."""

from __future__ import annotations

import click

from soc.cli import _show
from soc.cli._io import json_option, write_json
from soc.cli._query import read_time
from soc.cli._session import Session, may_ask, pass_session
from soc.i18n import gettext as _
from soc.i18n import ngettext


@click.command(help=_("Withdraw the alerts of a wrong rule in a period: kept, shown with alerts list --retracted, in no other list, count or group."))
@click.argument("rule")
@click.option("--from", "from_time", required=True, metavar="TIME", help=_("Alerts of this event time and later."))
@click.option("--to", "to_time", default="now", show_default=True, metavar="TIME", help=_("Alerts before this event time."))
@click.option("--reason", required=True, help=_("Why, for the record."))
@click.option("--yes", is_flag=True, help=_("Do it; without it the plan is shown."))
@json_option
@pass_session
def command(session: Session, rule: str, from_time: str, to_time: str, reason: str, yes: bool, as_json: bool) -> int:
    """Withdraw alerts."""
    import msgspec

    from soc.application import policies_defects, rules_retract

    app = session.app()
    now, zone = app.clock.now_us(), session.settings.timezone
    planned = rules_retract.plan(app, rule, from_us=read_time(from_time, now, zone), until_us=read_time(to_time, now, zone))
    said = _("{title}: {alerts} alerts in {groups} groups, from {since} to {until}").format(
        title=planned.title,
        alerts=_show.number(planned.alerts),
        groups=_show.number(planned.groups),
        since=_show.when(planned.from_us, zone),
        until=_show.when(planned.until_us, zone),
    )
    session.out.say(said)
    sure = yes or (may_ask(session) and click.confirm(_("Withdraw them?"), default=False, err=True))
    defect = rules_retract.retract(app, planned, why=reason) if sure else None
    followers = rules_retract.followers(app, defect) if defect is not None else []
    reached = policies_defects.reached(app, {defect.id, *(one.id for one in followers)}) if defect is not None else None
    if as_json:
        more = {"plan": msgspec.to_builtins(planned), "retraction": msgspec.to_builtins(defect), "incidents": msgspec.to_builtins(reached)}
        write_json({"schema_version": 1, "kind": "retraction", "written": defect is not None, **more})
    if defect is None or reached is None:
        session.out.say(_("Nothing was changed; --yes does it."))
        return 0
    more_alerts = sum(one.alerts for one in followers)
    if more_alerts:
        text = ngettext("with it {count} alert of correlations that no longer holds", "with it {count} alerts of correlations that no longer hold", more_alerts)
        session.out.say(text.format(count=_show.number(more_alerts)))
    if reached.withdrawn:
        session.out.say(_("incidents withdrawn with it, clocks void, unsent messages taken back: {names}").format(names=" ".join(reached.withdrawn)))
    if reached.left:
        session.out.warn(_("people act on these incidents, they stay and say so in a note: {names}").format(names=" ".join(reached.left)))
    session.out.say(
        _("Withdrawn, alerts that come later for this period too. Show: soc alerts list --retracted. Undo: soc rules unretract {id} --reason '…'").format(
            id=defect.id[:10]
        )
    )
    return 0
