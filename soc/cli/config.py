"""`soc config`: show, path, validate, schema."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from soc.cli._io import Column, json_option, list_options, to_json, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _


@click.group(help=_("The configuration: values and where they come from, files, check, schema."))
def command() -> None:
    """The noun."""


@command.command(help=_("Show every setting; secrets only by the file or command that holds them."))
@click.option("--origin", is_flag=True, help=_("And where each value comes from."))
@click.option("--set-only", is_flag=True, help=_("Only what is not a default."))
@list_options
@pass_session
def show(session: Session, origin: bool, set_only: bool, form: str | None, fields: tuple[str, ...]) -> None:
    """Show the settings."""
    import msgspec

    from soc.application.settings import shown

    rows = [row for row in shown(*session.load()) if not set_only or row.origin != "default"]
    items = [msgspec.to_builtins(row) for row in rows]
    if not origin and form not in ("json", "jsonl"):
        for item in items:
            del item["origin"]
    columns = [Column("key", _("Setting")), Column("value", _("Value"), lambda item: _value(item["value"]))]
    if origin:
        columns.append(Column("origin", _("Origin")))
    session.out.items("settings", items, columns, form=form, fields=fields)


def _value(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else to_json(value)


@command.command(help=_("Show which files are read, the strongest first."))
@list_options
@pass_session
def path(session: Session, form: str | None, fields: tuple[str, ...]) -> None:
    """Show the files."""
    from soc.config_files import candidates

    items = [{"path": str(file), "exists": file.exists(), "required": required} for file, required in candidates(session.config, os.environ)]
    columns = [Column("path", _("File")), Column("exists", _("There"))]
    session.out.items("config-files", items, columns, form=form, fields=fields)


@command.command(help=_("Check FILE (default: the files in use); every error with file, line and key."))
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@json_option
@pass_session
def validate(session: Session, file: Path | None, as_json: bool) -> None:
    """Check the configuration."""
    from soc.application.sources import faults
    from soc.errors import ConfigError

    if file is not None:
        session.config = file
    settings, origins = session.load()
    for fault in faults(settings):
        file_name, _colon, line = origins[fault.key].where.rpartition(":") if fault.key in origins else ("", "", "")
        raise ConfigError(fault.message, file=file_name, line=int(line) if line.isdecimal() else 0, key=fault.key, hint=fault.hint)
    if as_json:
        write_json({"schema_version": 1, "kind": "config-check", "valid": True})
        return
    session.out.say(_("the configuration is right"))


@command.command(help=_("Print the JSON schema of the configuration file."))
def schema() -> None:
    """Print the schema."""
    from soc.config import Settings

    write_json(Settings.model_json_schema())
