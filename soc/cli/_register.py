"""`soc incidents new` without a title, on a terminal: one question after the other, for a call that is still on the line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from soc.cli import _record
from soc.cli._session import Session
from soc.i18n import gettext as _
from soc.i18n import translated

if TYPE_CHECKING:
    from soc.application.app import App

_MOST_OFFERED = 10
_CLASSES = (
    ("malicious-code/infected-system", "N1"),
    ("intrusions/unprivileged-account-compromise", "N2"),
    ("availability/ddos", "N3"),
    ("information-content-security/data-leak", "N4"),
    ("information-content-security/unauthorised-information-modification", "N5"),
    ("fraud/phishing", "N6"),
    ("other/undetermined", "N9"),
)
"""What callers have, as they would say it; another code may be typed."""


def ask(session: Session, app: App, given: dict[str, Any]) -> dict[str, Any]:
    """The fields of an incident with what was typed; what was given as an option is not asked for."""
    found = dict(given)

    def take(field: str, question: str, default: str = "") -> None:
        if not found.get(field):
            answer = click.prompt(question, default=default, show_default=bool(default), err=True).strip()
            if answer:
                found[field] = answer

    click.echo(_("Enter leaves a question out; Ctrl-C records nothing."), err=True)
    while not found.get("title"):
        take("title", _("What happened (one line)"))
    if not found.get("agencies"):
        agency = _agency(app)
        if agency:
            found["agencies"] = [agency]
    take("reported_by", _("Who reports it, with a telephone number"))
    take("channel", _("Channel"), "telephone")
    if not found.get("detected_at"):
        found["detected_at"] = _time(session, _("When was it detected (22:05, 30m, 2026-11-21 22:05)"))
    take("detected_by", _("Who or what detected it"), str(found.get("reported_by", "")))
    if not found.get("rsit"):
        found["rsit"] = _class()
    take("severity", _("Severity (critical, high, medium, low)"), "high")
    take("summary", _("What is known"))
    return {name: value for name, value in found.items() if value not in (None, "", [])}


def _agency(app: App) -> str:
    """The agency that was meant, asked for until it is one."""
    from soc.application.registry import agencies_like, agency_named
    from soc.errors import SocError

    while True:
        said = click.prompt(_("Agency (id, or part of the name, without accents too)"), default="", show_default=False, err=True).strip()
        if not said:
            return ""
        try:
            return agency_named(app, said)
        except SocError as error:
            click.echo("  " + translated(error.message), err=True)
            for one in agencies_like(app, said)[:_MOST_OFFERED]:
                click.echo(f"  {one.id:<20} {one.name}", err=True)


def _time(session: Session, question: str) -> str:
    while True:
        said = click.prompt(question, default=_("now"), err=True).strip()
        if said in ("", "now", _("now")):
            from soc.clock import iso

            return iso(session.app().clock.now_us())
        try:
            return _record.past(session, said)
        except click.ClickException as error:
            click.echo("  " + error.format_message(), err=True)


def _class() -> str:
    from soc.incidents.classes import CODES, GROUPS

    for number, (code, group) in enumerate(_CLASSES, 1):
        click.echo(f"  {number} {GROUPS[group]:<32} {code}", err=True)
    while True:
        said = click.prompt(_("Class (number or code)"), default="", show_default=False, err=True).strip()
        if not said or said in CODES:
            return said
        if said.isdigit() and 1 <= int(said) <= len(_CLASSES):
            return _CLASSES[int(said) - 1][0]
        click.echo("  " + _("none of these"), err=True)
