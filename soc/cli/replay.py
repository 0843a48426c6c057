"""`soc replay`: history under other rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soc.cli import _show
from soc.cli._io import json_option, write_json
from soc.cli._query import period_options, scope_option
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _


@click.command(help=_("Run stored lines through parsers and rules again and compare the alerts; nothing is written."))
@click.argument("query", nargs=-1, metavar="[QUERY]")
@period_options
@scope_option
@click.option(
    "--rules", "rules_dir", type=click.Path(path_type=Path, exists=True, file_okay=False), help=_("Use the rules of this folder instead of the present ones.")
)
@click.option(
    "--rules-hash",
    default="",
    metavar="HASH",
    help=_("Use a rule set that was in force once (soc rules history); recorded: for each event the one that it was judged by."),
)
@click.option("--diff", is_flag=True, help=_("Show each alert that is added, removed or changed; exit code 1 when there is any."))
@json_option
@pass_session
def command(
    session: Session,
    query: tuple[str, ...],
    since_us: int | None,
    until_us: int | None,
    scope: str | None,
    rules_dir: Path | None,
    rules_hash: str,
    diff: bool,
    as_json: bool,
) -> int:
    """Replay history."""
    from soc.application.events import event_query
    from soc.application.replay import replay
    from soc.cli._progress import Progress
    from soc.cli._totals import tell_rule_errors
    from soc.cli.alerts import alert_item

    app = session.app()
    asked = event_query(" ".join(query), scope=scope, since_us=since_us, until_us=until_us)
    with Progress(session) as progress:
        report = replay(
            app, query=asked, rules_dir=rules_dir, rules_hash=rules_hash, progress=lambda count: progress(_("{count} events replayed").format(count=count))
        )
    tell_rule_errors(session, app.rule_errors)
    for name in report.missing:
        session.out.warn(_("The rule set {hash} is not kept; its events were judged by the present rules.").format(hash=name))
    changes = (("+", _("added"), report.added), ("-", _("removed"), report.removed), ("~", _("changed"), report.changed))
    different = any(alerts for _sign, _word, alerts in changes)
    if as_json:
        more: dict[str, Any] = {"added": report.added, "removed": report.removed, "changed": report.changed}
        lists = {name: [alert_item(alert) for alert in alerts] for name, alerts in more.items()}
        head = {
            "schema_version": 1,
            "kind": "replay",
            "events": report.events,
            "rules_hash": report.rules_hash,
            "levels": report.levels,
            "missing": report.missing,
        }
        write_json({**head, "alerts_before": report.alerts_before, "alerts_after": report.alerts_after, **lists})
        return 1 if diff and different else 0
    session.out.text(
        _("{events} events, alerts {before} → {after}, rules {hash}").format(
            events=_show.number(report.events), before=_show.number(report.alerts_before), after=_show.number(report.alerts_after), hash=report.rules_hash
        )
    )
    for change, count in sorted(report.levels.items()):
        session.out.text(f"  {change}: {_show.number(count)}")
    for sign, word, alerts in changes:
        if alerts and not diff:
            session.out.text(f"  {sign} {_show.number(len(alerts))} {word}")
        for alert in alerts if diff else ():
            key = " ".join(f"{name}={value}" for name, value in alert.group_key.items())
            style = {"+": "green", "-": "red", "~": "yellow"}[sign]
            session.out.text(
                f"{sign} {_show.level(alert.rule.level)}  {_show.title(alert.rule)}  {_show.when(alert.ts, session.settings.timezone)}  {key}  {alert.id[:10]}",
                style,
            )
    if not different:
        session.out.say(_("The alerts are the same."))
    return 1 if diff and different else 0
