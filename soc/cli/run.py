"""`soc run`: the main job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from soc.cli._io import json_option, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.config import Settings


TRY = (
    "logger --udp --server {host} --port {port} --tag sshd 'Failed password for root from 203.0.113.7 port 40022 ssh2'",
    "bash -c 'cat /var/log/mail.log > /dev/tcp/{host}/{port}'",
)
"""What somebody without a device types beside a run; `soc ingest` is none of it, as the run holds the store."""


@click.command(help=_("Receive, parse, classify and store until Ctrl-C; without any configuration: syslog on 127.0.0.1:5514."))
@click.option("--once", is_flag=True, help=_("Read what is there, then end."))
@click.option("--roles", metavar="A,B", help=_("Only these roles: collect, ingest, correlate, notify."))
@json_option
@pass_session
def command(session: Session, once: bool, roles: str | None, as_json: bool) -> None:
    """Run the pipeline."""
    from soc.application.run import run
    from soc.cli._signals import hangup_event, stop_on_signal
    from soc.cli._totals import alert_teller, tell_rule_errors, totals_item, totals_text

    if roles is not None:
        named = [role.strip() for role in roles.split(",") if role.strip()]
        if not named:
            raise click.BadParameter(_("no role is named"), param_hint="--roles")
        session.overrides["roles"] = named
    app = session.app(pipeline=True, serve_metrics=True)
    out = session.out

    def ready(addresses: list[str]) -> None:
        tell_rule_errors(session, app.rule_errors)
        out.say(_("store: {place}").format(place=place_of(session)))
        for address in addresses:
            out.say(_("listens to {address}").format(address=address))
        _tell_sources(session, app.settings)
        if app.settings.sources.keys() != session.settings.sources.keys():
            out.say(_("No source is configured. To try it, in another window:"))
            for line in TRY:
                out.say("  " + line.format(host="127.0.0.1", port=5514))
        out.say(_("Next: soc events tail · soc alerts list · soc sources status"))

    with stop_on_signal(session) as stop, hangup_event() as hangup:
        totals = run(app, once=once, on_ready=ready, on_alerts=alert_teller(session), stop=stop, hangup=hangup)
    if as_json:
        write_json(totals_item(totals))
    out.say(_("done: {totals}").format(totals=totals_text(totals)))


def _tell_sources(session: Session, settings: Settings) -> None:
    """Say what is read, where records are posted to, and which files are not there yet."""
    from soc.application.sources import missing_files, reads
    from soc.config import FileSource, HttpSource, KafkaSource

    for name, source in settings.sources.items():
        if isinstance(source, HttpSource):
            session.out.say(_("takes records at {address}").format(address=f"POST /v1/records/{name}"))
        elif isinstance(source, FileSource | KafkaSource) and "ingest" in settings.roles:
            session.out.say(_("reads {places}").format(places=", ".join(reads(source))))
            for path in missing_files(source):
                session.out.warn(_("source {name}: no file is there yet: {path}").format(name=name, path=path))


def place_of(session: Session) -> str:
    """Where the store is, for people."""
    from soc.bootstrap import store_path

    store = session.settings.store
    return (
        ", ".join(store.hosts)
        if store.kind == "elasticsearch"
        else _("memory (nothing is kept)")
        if store.kind == "memory"
        else str(store_path(session.settings))
    )
