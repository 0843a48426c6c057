"""`soc rules reload`."""

from __future__ import annotations

import click

from soc.cli._io import json_option, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _


@click.command(help=_("Check the rules, say what differs from the set in force, and have a running pipeline take them over now."))
@click.option("--check", is_flag=True, help=_("Only check; nothing is asked of a running pipeline."))
@click.option("--wait", "wait_s", type=click.FloatRange(0, 600), default=30.0, show_default=True, metavar="S", help=_("Seconds to wait for the answer."))
@json_option
@pass_session
def command(session: Session, check: bool, wait_s: float, as_json: bool) -> int:
    """Reload; exit code 1 when something cannot be used, or nobody answered."""
    import msgspec

    from soc.application.rules_reload import ask, checked
    from soc.cli.rules._load import tell

    app = session.app()
    found = checked(app)
    tell(app.rules.errors, app.rules.notes)
    answer = None if check else ask(app, wait_s=wait_s)
    if as_json:
        write_json({"schema_version": 1, "kind": "rules-reload", **msgspec.to_builtins(found), "answer": answer})
    else:
        for sign, names, style in (("+", found.change.added, "green"), ("-", found.change.removed, "red"), ("~", found.change.changed, "yellow")):
            for name in names:
                session.out.text(f"{sign} {name}  {found.titles.get(name, '')}", style)
        if not found.change:
            session.out.say(_("These are the rules that were in force last."))
    outcome = answer["outcome"] if answer else ""
    if outcome == "live":
        session.out.say(_("In force: {hash}").format(hash=answer["hash"] if answer else ""))
    elif outcome == "same":
        session.out.say(_("They are in force."))
    elif outcome == "kept":
        session.out.warn(_("A rule that worked is broken now: the rules before stay in force, all of them."))
    elif not check:
        session.out.warn(_("No running pipeline answered; one that starts takes these rules."))
    return 1 if app.rules.errors or (not check and outcome not in ("live", "same")) else 0
