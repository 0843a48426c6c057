"""`soc whoami`: the account that asks, and what it may do."""

from __future__ import annotations

import click

from soc.cli._access import role_word, why_text
from soc.cli._io import json_option, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _
from soc.i18n import translated


@click.command(help=_("Show your account, your role and what you may do; example: soc whoami --json"))
@json_option
@pass_session
def command(session: Session, as_json: bool) -> None:
    """Show who asks."""
    import msgspec

    from soc.application import access

    app = session.app(new_store=True)
    who = access.standing(app)
    rights = {row.action: access.reach(app, row.action) for row in access.TABLE}
    if as_json:
        item = {
            **msgspec.to_builtins(who),
            "agencies": sorted(who.agencies),
            "may": [action for action, far in rights.items() if far],
            "own_only": [action for action, far in rights.items() if far == "own"],
        }
        write_json({"schema_version": 1, "kind": "actor", "item": item})
        return
    out = session.out
    out.text("  ".join(filter(None, (who.account, role_word(who.role), who.name, who.agency))), "bold")
    out.say(why_text(who))
    for row in access.TABLE:
        if rights[row.action]:
            own = " " + _("(of the own agencies only)") if rights[row.action] == "own" else ""
            out.text(f"  ✔ {row.action:<22} {translated(row.what)}{own}")
    out.say(_("All rights of all roles: soc access show"))
