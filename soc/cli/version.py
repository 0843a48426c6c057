"""`soc version`."""

from __future__ import annotations

import click

from soc import __version__
from soc.cli._io import json_option, write_json
from soc.i18n import gettext as _


@click.command(help=_("Show the versions of soc, Python and what it stands on."))
@json_option
def command(as_json: bool) -> None:
    """Print the versions."""
    import platform
    from importlib import metadata

    parts = {"soc": __version__, "python": platform.python_version(), "platform": platform.platform(terse=True)}
    for name in ("pysigma", "kafka-python", "elasticsearch", "pydantic", "orjson", "google-re2", "zstandard"):
        try:
            parts[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            parts[name] = "-"
    if as_json:
        write_json({"schema_version": 1, "kind": "version", **parts})
    else:
        for name, version in parts.items():
            click.echo(f"{name} {version}")
