"""`soc ingest`: take in files once."""

from __future__ import annotations

import re
from pathlib import Path

import click

from soc.cli._io import json_option, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _


def _source_name(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """A name as the configuration takes it."""
    from soc.config import SOURCE_NAME

    if not re.fullmatch(SOURCE_NAME, value):
        raise click.BadParameter(_("{name!r} is no name of a source: lower-case letters, digits, . _ -").format(name=value))
    return value


@click.group(help=_("Take in lines once: files into the store, or onto Kafka."))
def command() -> None:
    """The noun."""


@command.command("file", help=_("Read files (.gz too) to their end; what was read before is not read twice."))
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--source", default="file", show_default=True, metavar="NAME", callback=_source_name, help=_("Name of the source that the lines count for."))
@click.option("--product", default="", metavar="NAME", help=_("Parser to try first (fortinet_fortigate, postfix, cef_generic)."))
@click.option("--to-kafka", "topic", metavar="TOPIC", help=_("Send the lines to this topic instead of the store."))
@json_option
@pass_session
def file_command(session: Session, paths: tuple[Path, ...], source: str, product: str, topic: str | None, as_json: bool) -> int:
    """Take in files."""
    from soc.application.ingest import ingest_files, to_kafka
    from soc.cli._progress import Progress
    from soc.cli._signals import stop_on_signal
    from soc.cli._totals import alert_teller, tell_rule_errors, totals_item, totals_text
    from soc.ingest.registry import installed

    if topic is not None and product:
        raise click.UsageError(_("--product has no effect with --to-kafka: lines are parsed where they are read"))
    if product:
        installed().get(product)
    app = session.app(pipeline=topic is None, new_store=True)
    with Progress(session) as progress:
        if topic is not None:
            sent = to_kafka(app, paths, source=source, topic=topic, progress=lambda count: progress(_("{count} lines sent").format(count=count)))
            if as_json:
                write_json({"schema_version": 1, "kind": "sent", "topic": topic, "sent": sent})
            session.out.say(_("{count} lines sent to {topic}").format(count=sent, topic=topic))
            return 0
        with stop_on_signal(session) as stop:
            totals = ingest_files(
                app,
                paths,
                source=source,
                product=product,
                progress=lambda now: progress(totals_text(now)),
                on_alerts=alert_teller(session) if session.verbosity > 0 else lambda _alerts: None,
                stop=stop,
            )
    tell_rule_errors(session, app.rule_errors)
    if as_json:
        write_json(totals_item(totals))
    session.out.say(_("done: {totals}").format(totals=totals_text(totals)))
    if totals.alerts:
        session.out.say(_("Next: soc alerts list"))
    if totals.dead_lettered:
        session.out.say(_("Next: soc deadletters list"))
    return 1 if totals.dead_lettered else 0
