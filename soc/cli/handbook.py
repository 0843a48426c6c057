"""`soc handbook`."""

from __future__ import annotations

from pathlib import Path

import click

from soc.cli._io import json_option, write_json
from soc.cli._session import Session, pass_session
from soc.errors import ConfigError
from soc.i18n import gettext as _


@click.command(
    help=_("Print contacts, shifts, incidents at work with their deadlines, playbooks and blank forms to a PDF, for the day this host is down."),
    epilog=_("Print it every week, and keep it where the response team sits. Example: soc handbook so-tay.pdf"),
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--overwrite", is_flag=True, help=_("Replace the file."))
@json_option
@pass_session
def command(session: Session, file: Path, overwrite: bool, as_json: bool) -> None:
    """Print the handbook."""
    from soc.cli._export import new_file

    try:
        from soc.application import handbook
    except ImportError as error:
        if error.name not in ("fpdf", "fontTools"):
            raise
        raise ConfigError("PDF needs the extra [docs]", hint="pip install 'soc[docs]'") from error

    def put(data: bytes) -> str:
        part = file.with_name(f".{file.name}.part") if overwrite else file
        part.unlink(missing_ok=True) if overwrite else None
        with new_file(part, hint="give a new name, or --overwrite") as out:
            out.write(data)
        if overwrite:
            part.replace(file)
        return file.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

    name, found = handbook.write(session.app(), put)
    if as_json:
        write_json({"schema_version": 1, "kind": "handbook", "name": name, "sha256": found})
    else:
        session.out.text(f"{file}  sha256 {found}")
        session.out.say(_("It holds telephone numbers and open incidents: for the response team only."))
