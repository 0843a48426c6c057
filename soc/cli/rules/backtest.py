"""`soc rules backtest`: what rules would have said of the stored events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from soc.cli import _show
from soc.cli._io import Column, list_options
from soc.cli._query import limit_option, period_options, scope_option
from soc.cli._session import Session, pass_session
from soc.cli.rules._load import say_error, tell
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.application.rules_backtest import Backtest, Figures

DAYS = 30


@click.command(
    help=_("Run rules over the stored events: alerts by day, examples, groups, and whether there would be a storm. RULE: an id, a name, a file or a folder.")
)
@click.argument("rule")
@period_options
@scope_option
@limit_option(20)
@list_options
@pass_session
def command(
    session: Session, rule: str, since_us: int | None, until_us: int | None, scope: str | None, limit: int, form: str | None, fields: tuple[str, ...]
) -> int:
    """Run rules over stored events; exit code 1 when some of them cannot be used."""
    import msgspec

    from soc.application.rules_backtest import DAY_US, backtest
    from soc.application.rules_choice import choose
    from soc.cli._progress import Progress

    app = session.app()
    until = app.clock.now_us() + 1 if until_us is None else until_us
    since = until - DAYS * DAY_US if since_us is None else since_us
    choice = choose(session.settings.rules_in_zone, rule)
    tell(list(choice.errors), [])
    with Progress(session) as progress:

        def step(read: int, found: int) -> None:
            progress(_("{read} events read, {found} alerts").format(read=_show.number(read), found=_show.number(found)))

        result = backtest(app, choice, since_us=since, until_us=until, scope=scope, examples=limit, progress=step)
    items = [msgspec.to_builtins(hit) for hit in result.examples]
    if form is None:
        _tell(session, result)
    more: dict[str, Any] = {
        "since": result.since,
        "until": result.until,
        "stored": result.stored,
        "read": result.read,
        "rules": [msgspec.to_builtins(figures) for figures in result.rules],
    }
    session.out.items("backtest", items, _columns(session), total=result.alerts, form=form, fields=fields, more=more)
    rate = round(result.read / result.seconds) if result.seconds else 0
    session.out.say(
        _("{read} of {stored} stored events read in {seconds} s ({rate} a second)").format(
            read=_show.number(result.read), stored=_show.number(result.stored), seconds=f"{result.seconds:.1f}", rate=_show.number(rate)
        )
    )
    return 1 if choice.errors else 0


def _columns(session: Session) -> list[Column]:
    zone = session.settings.timezone
    return [
        Column("level", _("Level"), lambda item: _show.level(item["level"]), lambda item: _show.style_of(item["level"]), whole=True),
        Column("ts", _("Time"), lambda item: _show.when(item["ts"], zone), whole=True),
        Column("title", _("Rule")),
        Column("key", _("Group"), lambda item: " ".join(f"{name}={value}" for name, value in item["key"].items()), most=80),
        Column("count", _("Events"), lambda item: _show.number(item["count"]), right=True),
        Column("events", _("Event"), lambda item: item["events"][0][:10] if item["events"] else "", whole=True),
    ]


def _tell(session: Session, result: Backtest) -> None:
    """The figures for people, before the examples."""
    for rule in result.rules:
        tell_figures(session, rule)
    if len(result.rules) > 1:
        session.out.text(_("together: {alerts} alerts").format(alerts=_show.number(result.alerts)), "bold")
    if result.examples:
        session.out.text("")


def tell_figures(session: Session, rule: Figures) -> None:
    """What one rule would have done."""
    out = session.out
    out.text(f"{_show.level(rule.level)}  {_show.title(rule)}", _show.style_of(rule.level))
    if not rule.fed:
        say_error(_("warning") + ": " + _("{rule}: no event of this program is of its log source; it can never match").format(rule=rule.title))
    out.text(
        "  "
        + _("{alerts} alerts, {per_day} a day; at most {day} in a day and {hour} in an hour; {groups} groups").format(
            alerts=_show.number(rule.alerts),
            per_day=f"{rule.per_day:g}",
            day=_show.number(rule.most_per_day),
            hour=_show.number(rule.most_per_hour),
            groups=_show.number(rule.groups),
        )
    )
    for key, count in rule.biggest[:1]:
        out.text("  " + _("biggest group: {count} alerts, {key}").format(count=_show.number(count), key=key or _("(no key)")))
    if rule.in_storm:
        out.text("  " + _("a storm: {count} alerts would stand in one storm group").format(count=_show.number(rule.in_storm)), "bold red")
    most = max(rule.days.values(), default=0)
    for day, count in rule.days.items():
        out.text(f"  {day}  {_show.number(count):>9}  {'█' * max(1, round(30 * count / most))}")
