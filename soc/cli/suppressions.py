"""`soc suppressions`: add, list, end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from soc.cli import _show
from soc.cli._io import Column, cell, json_option, list_options, write_json
from soc.cli._session import Session, may_ask, pass_session
from soc.i18n import gettext as _
from soc.i18n import ngettext

if TYPE_CHECKING:
    from soc.triage.suppression import Suppression

_SHOWN = 10


@click.group(help=_("Suppressions: groups that nobody wants to be shown for a while; they stay stored and counted."))
def command() -> None:
    """The noun."""


def _item(one: Suppression, now: str) -> dict[str, Any]:
    state = "ended" if one.ended_by or one.until <= now else "waiting" if one.begin > now else "in force"
    return {
        "id": one.id,
        "state": state,
        "fields": one.fields,
        "begin": one.begin,
        "until": one.until,
        "reason": one.reason,
        "by": one.by,
        "at": one.at,
        "ended_by": one.ended_by,
        "scope": one.scope,
    }


def _fields(words: tuple[str, ...]) -> dict[str, str]:
    from soc.errors import Phrase, UsageError

    out: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or name.strip() in out:
            raise UsageError(Phrase("{word} is no NAME=VALUE, or its name was given before", word=repr(word[:80])), hint="--field source.ip=203.0.113.5")
        out[name.strip()] = value
    return out


@command.command(
    help=_("Hide groups whose fields have these values: rule, level, agency, category, or a field of their key. What it would have hidden is shown first.")
)
@click.option("--field", "words", multiple=True, required=True, metavar="NAME=VALUE", help=_("A field and its value (may be repeated: all must fit)."))
@click.option("--expires", required=True, metavar="TIME", help=_("Until when: 7d, 2026-12-31, '2026-12-31 08:00'."))
@click.option("--reason", required=True, metavar="TEXT", help=_("Why, for the record."))
@click.option("--from", "begin", default="", metavar="TIME", help=_("From this time of events on (default: now); 7d is seven days ago."))
@click.option("--scope", default="real", show_default=True, metavar="SCOPE", help=_("real, or exercise:<id>."))
@click.option("--yes", is_flag=True, help=_("Record it; without it the preview is shown."))
@json_option
@pass_session
def add(session: Session, words: tuple[str, ...], expires: str, reason: str, begin: str, scope: str, yes: bool, as_json: bool) -> None:
    """Add a suppression, after a preview."""
    from soc.application import suppressions
    from soc.clock import iso

    app, zone = session.app(), session.settings.timezone
    now, given = app.clock.now_us(), _fields(words)
    until = _show.read_end(expires, now, zone)
    since = _show.read_time(begin, now, zone) if begin else None
    suppressions.may_be(app, given, until_us=until, reason=reason, begin_us=since)
    hidden = suppressions.preview(app, given, scope=scope)
    every = sum(group.count for group in hidden)
    if not as_json:
        groups = ngettext("{count} group", "{count} groups", len(hidden)).format(count=_show.number(len(hidden)))
        session.out.say(_("In the last 7 days it would have hidden {groups} with {count} occurrences.").format(groups=groups, count=_show.number(every)))
        for group in hidden[:_SHOWN]:
            title = _show.title({"title": group.rule.title, "title_vi": group.rule.title_vi})
            session.out.say("  " + "  ".join((group.id[:10], _show.level(group.rule.level), f"×{_show.number(group.count)}", title, cell(group.key))))
        if len(hidden) > _SHOWN:
            session.out.say("  " + _("… and {count} more").format(count=_show.number(len(hidden) - _SHOWN)))
    sure = yes or (not as_json and may_ask(session) and click.confirm(_("Record this?"), default=False, err=True))
    made = None
    if sure:
        made = suppressions.add(app, given, until_us=until, reason=reason, begin_us=since, scope=scope)
    if as_json:
        preview = {"groups": len(hidden), "occurrences": every, "first": [group.id for group in hidden[:_SHOWN]]}
        write_json(
            {"schema_version": 1, "kind": "suppression", "recorded": made is not None, "preview": preview, "item": _item(made, iso(now)) if made else None}
        )
    elif made:
        session.out.text(_("{id} holds until {time}").format(id=made.id, time=_show.when(made.until, zone)))
        if hidden:
            close = "soc alerts close --all-matching --verdict VERDICT" + (f" --rule {given['rule']}" if "rule" in given else "")
            session.out.say(_("In the queue it stays what it is; to close it: {command}").format(command=close))
    else:
        session.out.say(_("nothing was recorded; --yes records it"))


@command.command("list", help=_("List suppressions, the newest first."))
@click.option("--all", "everything", is_flag=True, help=_("Also those that have ended."))
@list_options
@pass_session
def list_command(session: Session, everything: bool, form: str | None, fields: tuple[str, ...]) -> None:
    """List suppressions."""
    from soc.application import suppressions
    from soc.clock import iso

    app, zone = session.app(), session.settings.timezone
    now = iso(app.clock.now_us())
    items = [one for one in (_item(found, now) for found in suppressions.listed(app)) if everything or one["state"] != "ended"]
    words = {"in force": _("in force"), "ended": _("ended"), "waiting": _("not yet")}
    columns = [
        Column("id", "ID", whole=True),
        Column("state", _("State"), lambda item: words[item["state"]]),
        Column("fields", _("Hides")),
        Column("until", _("Ends"), lambda item: _show.when(item["until"], zone), whole=True),
        Column("by", _("By")),
        Column("reason", _("Reason")),
    ]
    session.out.items("suppressions", items, columns, form=form, fields=fields)
    if not items:
        session.out.say(_("no suppressions"))


@command.command(help=_("End a suppression now; what comes from now on is shown."))
@click.argument("id")
@click.option("--reason", default="", metavar="TEXT", help=_("Why, for the record."))
@json_option
@pass_session
def end(session: Session, id: str, reason: str, as_json: bool) -> None:
    """End a suppression."""
    from soc.application import suppressions
    from soc.clock import iso

    app = session.app()
    found = suppressions.end(app, id, reason)
    if as_json:
        write_json({"schema_version": 1, "kind": "suppression", "item": _item(found, iso(app.clock.now_us()))})
        return
    session.out.text(_("{id} has ended").format(id=found.id))
