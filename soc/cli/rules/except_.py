"""`soc rules except`: exceptions with owner, reason and end."""

from __future__ import annotations

from pathlib import Path

import click

from soc.cli import _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._session import Session, may_ask, pass_session
from soc.i18n import gettext as _

_MOST_TITLES = 3


@click.group(help=_("Exceptions to rules: what a rule lets pass for a while, by whom and why."))
def command() -> None:
    """The noun."""


@command.command(help=_("Write an exception into the own rules, after showing what it would have hidden in the last seven days."))
@click.argument("rule")
@click.option(
    "--where",
    "where",
    multiple=True,
    required=True,
    metavar="YAML",
    help=_("What it covers: 'source.ip: 10.1.2.3', with Sigma's modifiers; all that are given must hold."),
)
@click.option("--owner", required=True, help=_("Who answers for it."))
@click.option("--expires", required=True, metavar="WHEN", help=_("The last day or a time: 2027-01-31, 30d, or never."))
@click.option("--reason", required=True, help=_("Why, for the record."))
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help=_("Write it into this folder (default: exceptions/ in the first of rules.directories)."),
)
@click.option("--yes", is_flag=True, help=_("Do it; without it the plan is shown."))
@json_option
@pass_session
def add(session: Session, rule: str, where: tuple[str, ...], owner: str, expires: str, reason: str, folder: Path | None, yes: bool, as_json: bool) -> None:
    """Add an exception, after a preview."""
    import msgspec

    from soc.application import exceptions

    app = session.app()
    planned = exceptions.plan(app, rule, where=list(where), owner=owner, expires=expires, reason=reason, folder=folder)
    out = session.out
    if not as_json:
        out.text(planned.text.rstrip("\n"))
        shown = {"hidden": _show.number(planned.hidden), "told": _show.number(planned.told), "days": planned.days}
        if planned.through:
            every = {one.id: one for one in app.rules.engine.collection.correlations}
            titles = ", ".join(_show.title(every[name]) for name in planned.through[:_MOST_TITLES]) + (" …" if len(planned.through) > _MOST_TITLES else "")
            out.say(_("The rule makes no alerts of its own; counted are those of: {titles}").format(titles=titles))
        out.say(_("In the last {days} days it would have hidden {hidden} of {told}.").format(**shown))
        for one in planned.examples:
            out.say(f"  {_show.when(one['at'], session.settings.timezone)}  {one['id'][:10]}  {one['original'][:300]}")
        if planned.told and planned.hidden == planned.told:
            out.warn(_("It hides everything that the rule said: is the rule still needed?"))
    written = yes or (may_ask(session) and click.confirm(_("Do it?"), default=False, err=True))
    if written:
        exceptions.write(app, planned)
    if as_json:
        write_json({"schema_version": 1, "kind": "rule-exception", "written": written, **msgspec.to_builtins(planned)})
    if written:
        out.say(_("written: {path}").format(path=planned.path))
        if folder is not None and not any(folder.absolute().is_relative_to(one.absolute()) for one in session.settings.rules.directories):
            out.warn(_("{path} is in no folder of rules.directories: it does not count yet").format(path=planned.path))
    else:
        out.say(_("Nothing was changed; --yes does it."))


@command.command("list", help=_("The exceptions, what ends soonest first, with what each has let pass."))
@list_options
@pass_session
def list_command(session: Session, form: str | None, fields: tuple[str, ...]) -> None:
    """List exceptions."""
    import msgspec

    from soc.application import exceptions

    zone = session.settings.timezone
    words = {"in force": _("in force"), "soon": _("ends soon"), "expired": _("expired")}
    styles = {"in force": "", "soon": "yellow", "expired": "dim"}
    columns = [
        Column("state", _("State"), lambda item: words[item["state"]], lambda item: styles[item["state"]], whole=True),
        Column("expires", _("Ends"), lambda item: _show.when(item["expires"], zone) if item["expires"] else _("never"), whole=True),
        Column("title", _("Exception")),
        Column("owner", _("Owner")),
        Column("reason", _("Reason")),
        Column("hits", _("Let pass"), lambda item: _show.number(item["hits"]), right=True),
        Column("last_hit_at", _("Last"), lambda item: _show.when(item["last_hit_at"], zone) if item["last_hit_at"] else "", whole=True),
        Column("path", _("File"), lambda item: Path(item["path"]).name),
    ]
    session.out.items("rule-exceptions", [msgspec.to_builtins(one) for one in exceptions.listed(session.app())], columns, form=form, fields=fields)
