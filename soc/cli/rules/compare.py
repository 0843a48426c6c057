"""`soc rules compare`."""

from __future__ import annotations

import click

from soc.cli import _show
from soc.cli._io import json_option, write_json
from soc.cli._query import period_options
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _


@click.command(help=_("Compare the alerts of a shadow rule with those of the rule that it is to replace; by default since it is a shadow."))
@click.argument("rule")
@click.option("--with", "other", default="", metavar="RULE", help=_("Compare with this live rule."))
@click.option("--examples", type=click.IntRange(0, 1000), default=5, show_default=True, help=_("How many alerts of each kind are shown."))
@period_options
@json_option
@pass_session
def command(session: Session, rule: str, other: str, examples: int, since_us: int | None, until_us: int | None, as_json: bool) -> int:
    """Compare; exit code 1 when they differ."""
    import msgspec

    from soc.application.shadow import compare

    found = compare(session.app(), rule, since_us=since_us, until_us=until_us, other=other, examples=examples)
    if as_json:
        write_json({"schema_version": 1, "kind": "rule-comparison", **msgspec.to_builtins(found)})
        return 1 if found.only_new or found.only_old else 0
    zone = session.settings.timezone
    out = session.out
    out.text(_("shadow: {title} ({id}), {count} alerts").format(title=found.shadow.title, id=found.shadow.id, count=_show.number(found.shadow.alerts)))
    if found.live is None:
        out.text(_("it replaces no live rule"))
    else:
        out.text(_("live:   {title} ({id}), {count} alerts").format(title=found.live.title, id=found.live.id, count=_show.number(found.live.alerts)))
    if found.since:
        out.text(_("since {time}").format(time=_show.when(found.since, zone)))
    for text, count in ((_("in both"), found.both), (_("only of the live rule"), found.only_old), (_("only of the shadow"), found.only_new)):
        out.text(f"  {text:<24} {_show.number(count):>9}")
    style = {"old": "red", "new": "green", "both": ""}
    sign = {"old": "-", "new": "+", "both": "="}
    for one in found.examples:
        key = " ".join(f"{name}={value}" for name, value in one.key.items())
        out.text(f"{sign[one.where]} {_show.when(one.ts, zone)}  {key}  {one.alert[:10]}  {' '.join(event[:10] for event in one.events)}", style[one.where])
        if one.original:
            out.text("    " + one.original)
    return 1 if found.only_new or found.only_old else 0
