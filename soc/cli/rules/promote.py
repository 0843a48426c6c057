"""`soc rules promote`."""

from __future__ import annotations

import click

from soc.cli._io import write_json
from soc.cli._session import Session, pass_session
from soc.cli.rules._options import guarded_change, tell_too_many
from soc.i18n import gettext as _


@click.command(
    help=_("Make a shadow rule live, in the place of the one that it replaces, unless it would have made too many alerts (rules.enable_limit_per_day).")
)
@guarded_change
@pass_session
def command(session: Session, rule: str, reason: str, sure: bool, as_json: bool) -> int:
    """Promote a shadow; exit code 1 when the guard refuses."""
    import msgspec

    from soc.application.shadow import promote

    done = promote(session.app(), rule, why=reason, sure=sure)
    if as_json:
        write_json({"schema_version": 1, "kind": "rule-promote", **msgspec.to_builtins(done)})
    per_day = f"{done.test.rules[0].per_day:g}"
    if done.live:
        session.out.say(
            _("{title} is live ({per_day} alerts a day in the last week); a running pipeline obeys at its next batch").format(title=done.title, per_day=per_day)
        )
    else:
        refusal = _("{title} stays a shadow: {per_day} alerts a day are more than {limit} (rules.enable_limit_per_day)")
        advice = _("Make it narrower, or write an exception; soc rules promote {id} --yes makes it live all the same.")
        tell_too_many(session, refusal, advice, title=done.title, rule=done.rule, per_day=done.test.rules[0].per_day, limit=done.limit)
    return 0 if done.live else 1
