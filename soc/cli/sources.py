"""`soc sources`: list, status, test, offset."""

from __future__ import annotations

from typing import Any

import click

from soc.cli import _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._query import read_time
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _
from soc.i18n import translated


@click.group(help=_("Sources: where lines come from, and how each is doing."))
def command() -> None:
    """The noun."""


@command.command("list", help=_("List the configured sources."))
@list_options
@pass_session
def list_command(session: Session, form: str | None, fields: tuple[str, ...]) -> None:
    """List the configured sources."""
    from soc.application import sources

    items = sources.listed(session.app())
    columns = [
        Column("source", _("Source"), whole=True),
        Column("type", _("Type")),
        Column("reads", _("Reads")),
        Column("product", _("Product")),
        Column("scope", _("Scope")),
        Column("agency", _("Agency")),
    ]
    session.out.items("sources", items, columns, form=form, fields=fields)
    if not items:
        session.out.say(_("No source is configured: soc run receives syslog on loopback. To configure: soc init"))


@command.command(help=_("How each source is doing: last event, silence, losses, clock."))
@list_options
@pass_session
def status(session: Session, form: str | None, fields: tuple[str, ...]) -> int:
    """Show how sources are doing; exit code 1 when one is silent or its ledger does not balance."""
    import msgspec

    from soc.application import sources

    found = sources.status(session.app())
    topic = any(one.lag is not None for one in found)
    zone = session.settings.timezone
    state_words = {"ok": "● " + _("ok"), "silent": "✖ " + _("silent"), "quiet": "○ " + _("nothing yet")}

    def clock(item: dict[str, Any]) -> str:
        if item["proposed_offset_s"] is not None:
            return _("off by {seconds} s: soc sources offset").format(seconds=f"{item['proposed_offset_s']:+.0f}")
        return f"{item['clock_offset_s']:+.0f} s" if item["clock_offset_s"] else ""

    columns = [
        Column("source", _("Source"), whole=True),
        Column("state", _("State"), lambda item: state_words[item["state"]], lambda item: "bold red" if item["state"] == "silent" else "", whole=True),
        Column("last_event_at", _("Last event"), lambda item: _show.when(item["last_event_at"], zone), whole=True),
        Column("last_hour", _("Last hour"), lambda item: _show.number(item["last_hour"]), right=True),
        Column("received", _("Received"), lambda item: _show.number(item["received"]), right=True),
        Column("stored", _("Stored"), lambda item: _show.number(item["stored"]), right=True),
        Column("dead_lettered", _("Dead letters"), lambda item: _show.number(item["dead_lettered"]), right=True),
        Column("lost", _("Lost"), lambda item: _show.number(item["lost"]), right=True),
        Column("difference", _("Difference"), lambda item: _show.number(item["difference"]), right=True),
        Column("clock_offset_s", _("Clock"), clock),
        *([Column("lag", _("To judge"), lambda item: "" if item["lag"] is None else _show.number(item["lag"]), right=True)] if topic else []),
    ]
    session.out.items("source-status", [msgspec.to_builtins(one) for one in found], columns, form=form, fields=fields)
    return 1 if any(one.state == "silent" or one.difference for one in found) else 0


@command.command(help=_("Open one source and read a few records; nothing is stored, no position moves."))
@click.argument("name")
@click.option("--most", type=click.IntRange(1, 100), default=5, show_default=True, help=_("How many records."))
@click.option("--wait", "wait_s", type=click.FloatRange(0.1, 300), default=5.0, show_default=True, help=_("Seconds to wait for the first."))
@json_option
@pass_session
def test(session: Session, name: str, most: int, wait_s: float, as_json: bool) -> int:
    """Try one source."""
    import tempfile
    from pathlib import Path

    import msgspec

    from soc.application import sources

    session.app(new_store=True)  # who may do this stands there, not in the scratch folder
    with tempfile.TemporaryDirectory(prefix="soc-test-") as scratch:
        app = session.app(new_store=True, settings=sources.settings_for_test(session.settings, name, Path(scratch)))
        found = sources.probe(app, name, most=most, wait_s=wait_s)
    if as_json:
        write_json({"schema_version": 1, "kind": "source-test", **msgspec.structs.asdict(found)})
    else:
        for text, ok, hint in found.steps:
            session.out.text(f"{'✔' if ok else '✖'} {translated(text)}" + (f"  ({translated(hint)})" if hint else ""), "" if ok else "red")
        for record in found.sample:
            session.out.text(f"  {record['seq']}  {record['raw']}")
    return 0 if found.ok else 1


@command.command(help=_("Record that the clock of a source is off by SECONDS from a time on (added to its times)."))
@click.argument("name")
@click.argument("seconds", type=float)
@click.option("--from", "from_time", default="now", metavar="TIME", show_default=True, help=_("For lines received from this time on."))
@click.option("--why", required=True, help=_("The reason, for the record."))
@json_option
@pass_session
def offset(session: Session, name: str, seconds: float, from_time: str, why: str, as_json: bool) -> None:
    """Record a clock offset."""
    from soc.application import store

    app = session.app()
    fact = store.record_offset(app, name, seconds, read_time(from_time, app.clock.now_us(), session.settings.timezone), why)
    if as_json:
        write_json({"schema_version": 1, "kind": "clock-offset", "item": fact})
        return
    session.out.say(
        _("{source}: {seconds} s are added to device times received from {time} on; a running pipeline takes it up at its next start").format(
            source=name, seconds=f"{seconds:+g}", time=_show.when(fact["from"], session.settings.timezone)
        )
    )
