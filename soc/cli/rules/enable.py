"""`soc rules enable`."""

from __future__ import annotations

import click

from soc.cli import _show
from soc.cli._io import write_json
from soc.cli._session import Session, pass_session
from soc.cli.rules._options import guarded_change, tell_too_many
from soc.i18n import gettext as _


@click.command(help=_("Switch a rule on again, unless it would have made too many alerts in the last seven days (rules.enable_limit_per_day)."))
@guarded_change
@pass_session
def command(session: Session, rule: str, reason: str, sure: bool, as_json: bool) -> int:
    """Switch a rule on; exit code 1 when the guard refuses."""
    import msgspec

    from soc.application.rules_state import enable
    from soc.cli._progress import Progress
    from soc.cli.rules.backtest import tell_figures

    app = session.app()
    with Progress(session) as progress:

        def step(read: int, found: int) -> None:
            progress(_("{read} events read, {found} alerts").format(read=_show.number(read), found=_show.number(found)))

        done = enable(app, rule, why=reason, sure=sure, progress=step)
    if as_json:
        write_json({"schema_version": 1, "kind": "rule-enable", **msgspec.to_builtins(done)})
    elif done.test is not None:
        tell_figures(session, done.test.rules[0])
    if done.known:
        session.out.say(_("{title} is on already").format(title=done.title))
    elif done.enabled:
        session.out.say(_("{title} is on; a running pipeline obeys at its next batch").format(title=done.title))
    elif done.test is not None:
        refusal = _("{title} stays off: {per_day} alerts a day are more than {limit} (rules.enable_limit_per_day)")
        advice = _("Make it narrower, or write an exception; soc rules enable {id} --yes switches it on all the same.")
        tell_too_many(session, refusal, advice, title=done.title, rule=done.rule, per_day=done.test.rules[0].per_day, limit=done.limit)
    return 0 if done.enabled else 1
