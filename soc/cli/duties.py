"""`soc duties`: list, run, steps, calendar."""

from __future__ import annotations

from typing import Any

import click

from soc.cli import _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import current
from soc.i18n import gettext as _


@click.group(help=_("What is due: reports with their deadlines, reminders, calls, messages."))
def command() -> None:
    """The noun."""


@command.command(
    "list", help=_("List reports that are due, with the reminders that went out; exit code 1 when something is overdue. Example: soc duties list --within 24h")
)
@click.option("--overdue", is_flag=True, help=_("Only what is overdue."))
@click.option("--within", default="", metavar="TIME", help=_("Only what is due by then: 24h (from now), 2026-12-01."))
@click.option("--limit", default=0, metavar="N", help=_("At most so many (0 = all)."))
@list_options
@pass_session
def list_command(session: Session, overdue: bool, within: str, limit: int, form: str | None, fields: tuple[str, ...]) -> int:
    """List what is due."""
    import msgspec

    from soc.application import duties
    from soc.application.access import require

    app, zone = session.app(), session.settings.timezone
    require(app, "oncall.view")
    now = app.clock.now_us()
    until = _show.read_end(within, now, zone) if within else 0
    items = [
        {
            "incident": one.incident,
            "incident_title": one.title,
            "owner": one.owner,
            **msgspec.to_builtins(one.duty),
            "reminded": [{"step": key.partition("@")[0], "at": at} for key, at in one.reminded],
            "next_reminder_at": one.next_at,
        }
        for one in duties.listed(app, overdue=overdue, until_us=until, limit=limit)
    ]
    columns = [
        Column("incident", _("Incident"), whole=True),
        Column("due_at", _("Due"), lambda item: _show.when(item["due_at"], zone), lambda item: "bold red" if item["state"] == "overdue" else "", whole=True),
        Column("left", _("Left"), lambda item: _left(item["due_at"], now), whole=True),
        Column("title", _("What"), _what),
        Column("to", _("To"), most=40),
        Column("owner", _("Owner")),
        Column("reminded", _("Reminded"), lambda item: ", ".join(one["step"] for one in item["reminded"])),
        Column("next_reminder_at", _("Next"), lambda item: _show.when(item["next_reminder_at"], zone), whole=True),
    ]
    session.out.items("duties", items, columns, form=form, fields=fields)
    if not items:
        session.out.say(_("nothing is due"))
    return 1 if any(item["state"] == "overdue" for item in items) else 0


def _left(due_at: str, now_us: int) -> str:
    """`+5h` is left, `-2h` is over."""
    text = _show.age(due_at, now_us)
    return text[1:] if text.startswith("-") else f"-{text}"


def _what(item: dict[str, Any]) -> str:
    title = str(item["title"].get(current()) or item["title"]["en"])
    moved = " " + _("(moved)") if item["earlier"] else ""
    return title + moved + (" " + _("(tentative)") if item["state"] == "tentative" else "")


@command.command(help=_("Do once what is due: automated rules, reminders, calls, delivery. soc run does it by itself; a timer may do it too."))
@click.option("--limit", default=1000, show_default=True, metavar="N", help=_("At most so many messages."))
@json_option
@pass_session
def run(session: Session, limit: int, as_json: bool) -> int:
    """Do what is due."""
    import msgspec

    from soc.application import duties
    from soc.cli.outbox import delivered_text

    done = duties.step(session.app(), limit=limit)
    if as_json:
        write_json({"schema_version": 1, "kind": "duties", **msgspec.to_builtins(done)})
    else:
        session.out.text(
            _("{reminders} reminders, {calls} calls; messages: {messages}").format(
                reminders=done.reminders, calls=done.calls, messages=delivered_text(done.outbox)
            )
        )
        for name, why in done.errors.items():
            session.out.warn(f"{name}: {why}")
    return 4 if done.errors else 0


@command.command(help=_("The steps of reminders in force, as a file to begin an own one with (duties.reminders)."))
@pass_session
def steps(session: Session) -> None:
    """Print the steps."""
    from soc.incidents.reminders import shipped, steps_of

    file = session.settings.duties.reminders
    steps_of(file)  # refused by name when it cannot be used
    session.out.text((file.read_text(encoding="utf-8") if file is not None else shipped()).rstrip("\n"))


@command.command(help=_("The days off and exchanged days of a year (default: this one), by which working days are counted."))
@click.argument("year", required=False, type=click.IntRange(2000, 2200))
@list_options
@pass_session
def calendar(session: Session, year: int | None, form: str | None, fields: tuple[str, ...]) -> None:
    """Show the calendar."""
    from soc.application.numbered import local_day
    from soc.organization.calendar import year_of

    found = year_of(year or local_day(session.app()).year)
    days = sorted([(one.day, False, one) for one in found.holidays] + [(one.day, True, one) for one in found.working], key=lambda one: one[0])
    items = [
        {
            "day": one.day.isoformat(),
            "until": (one.until or one.day).isoformat(),
            "working": works,
            "title": one.title,
            "source": one.source or found.source,
            "unverified": one.unverified or found.unverified,
        }
        for _day, works, one in days
    ]
    columns = [
        Column("day", _("Day"), whole=True),
        Column("until", _("Until"), whole=True),
        Column("working", _("Working")),
        Column("title", _("What"), lambda item: item["title"].get(current()) or item["title"]["en"]),
        Column("unverified", _("Unverified")),
    ]
    session.out.items("calendar", items, columns, form=form, fields=fields)
    if found.unverified:
        session.out.warn(f"{found.year}: {found.unverified}")
