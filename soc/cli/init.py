"""`soc init`: a configuration file to begin with."""

from __future__ import annotations

import os
from pathlib import Path

import click

from soc.cli._io import json_option, write_json
from soc.cli._session import Session, pass_session
from soc.errors import Conflict, NotAllowed, Phrase
from soc.i18n import gettext as _

TEMPLATE = """\
# Configuration of soc. Every line below is an example: take the # away to use it.
# What can be set: soc help config · check: soc config validate · values and origins: soc config show --origin

# language = "vi"                     # texts: vi or en
# timezone = "Asia/Ho_Chi_Minh"       # in which times are shown

# [store]
# kind = "embedded"                   # or "elasticsearch"
# path = "/var/lib/soc/store"
# hosts = ["https://es1.example.vn:9200"]
# username = "soc"
# password_file = "/etc/soc/es.password"   # chmod 600
# ca_file = "/etc/soc/ca.pem"

# [kafka]
# bootstrap_servers = ["kafka1.example.vn:9093"]
# security_protocol = "SASL_SSL"
# username = "soc"
# password_file = "/etc/soc/kafka.password"

# Firewalls send syslog here. An address other than loopback is reachable from the network.
# [sources.firewalls]
# type = "syslog"
# udp = "0.0.0.0:5514"
# tcp = "0.0.0.0:5514"
# product = "fortinet_fortigate"
# rhythm_s = 300                      # silent for longer: an alert

# The mail gateway's own log, followed through rotation.
# [sources.mail]
# type = "file"
# paths = ["/var/log/mail.log"]
# product = "postfix"

# Lines that other collectors write to Kafka.
# [sources.raw]
# type = "kafka"
# topics = ["soc.raw.firewall", "soc.raw.mail"]

# [rules]
# directories = ["/etc/soc/rules"]
# disabled = []

# Where messages to people go; soc doctor asks the server, soc outbox test ADDRESS sends one.
# [mail]
# host = "mail.example.vn"
# sender = "soc@example.vn"
# username = "soc"
# password_file = "/etc/soc/mail.password" # chmod 600
# exercise_to = "exercise@example.vn"      # all mail of exercises goes here, and nowhere else

# A gateway for SMS, voice or chat.
# [webhook.sms]
# url = "https://gateway.example.vn/send"
# fields = { "to" = "{to}", "text" = "{subject}: {body}" }
# exercise_to = "0900000000"

# [metrics]
# listen = "127.0.0.1:9464"
"""


@click.command(help=_("Write a commented configuration file (default: the user's own), which nothing overwrites, and make the key that signs the journal."))
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--stdout", "to_stdout", is_flag=True, help=_("Print it instead."))
@json_option
@pass_session
def command(session: Session, file: Path | None, to_stdout: bool, as_json: bool) -> None:
    """Write a configuration file."""
    from soc.config_files import user_file

    if to_stdout:
        click.echo(TEMPLATE, nl=False)
        return
    target = file or session.config or user_file(os.environ)
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(TEMPLATE)
    except FileExistsError:
        raise Conflict(
            Phrase("{target} exists already", target=target), hint=Phrase("edit it, or: soc init --stdout; check: soc config validate {target}", target=target)
        ) from None
    except OSError as error:
        raise NotAllowed(Phrase("{target} cannot be written: {strerror}", target=target, strerror=error.strerror)) from error
    session.out.say(_("written: {path}").format(path=target))
    key = _make_key(session)
    if as_json:
        write_json({"schema_version": 1, "kind": "init", "path": str(target), "key": key})
        return
    if target != user_file(os.environ):
        session.config = target  # the next commands find it where it stands
    session.out.say(_("Next: edit it, then soc config validate, soc doctor, soc run"))


def _make_key(session: Session) -> str:
    """The id of the key that signs checkpoints of the journal, made unless there is one ("" = none was made); and where what it signs is to be kept."""
    from soc.bootstrap import key_file

    app = session.app(new_store=True)
    if session.settings.read_only or app.wiring.signing_key() is not None:
        return ""
    key = app.wiring.signing_key(make=True)
    assert key is not None  # made above
    session.out.say(_("key that signs the journal: {id} in {path} (only this user may read it)").format(id=key.id, path=key_file(session.settings)))
    session.out.say(
        _("Keep an anchor where nobody who can write to the store can change it, on another machine or on paper: soc audit checkpoint --anchor FILE")
    )
    return key.id
