"""`soc agencies`: import, list, show, gaps."""

from __future__ import annotations

from pathlib import Path

import click

from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._registry import make
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _

command = make("agencies", _("Agencies: dated nodes of the government's and the party's tree."))


def _words() -> dict[str, str]:
    return {
        "contact": _("no contact person"),
        "contact-phone": _("no telephone number of a contact person"),
        "contact-mail": _("no mail address of a contact person"),
        "network-point": _("no network point"),
        "mailboxes": _("no mailboxes"),
        "level": _("security level not determined"),
        "dossier": _("level dossier not approved"),
        "decision": _("number or date of the decision missing"),
        "review-date": _("no date of the next review"),
        "review-overdue": _("review overdue"),
        "operator": _("no operator named"),
        "protection": _("no protection described"),
        "regulation": _("no regulation that assures its security"),
        "licences": _("fewer licences of endpoint protection than computers"),
    }


@command.command(help=_("Write the files of a sample province (152 network points, 8,023 mailboxes) into FOLDER, to try imports with."))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@json_option
@pass_session
def sample(session: Session, folder: Path, as_json: bool) -> None:
    """Write the sample province."""
    from importlib.resources import files

    from soc.errors import Conflict, NotAllowed, Phrase

    kinds = ("agencies", "points", "people", "systems", "mailboxes", "roster")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind in kinds:
            with (folder / f"{kind}.csv").open("xb") as out:
                out.write(files("soc.organization").joinpath("sample", f"{kind}.csv").read_bytes())
    except FileExistsError as error:
        raise Conflict(Phrase("{target} exists already", target=error.filename), hint="give an empty folder") from None
    except OSError as error:
        raise NotAllowed(Phrase("{path} cannot be written: {strerror}", path=folder, strerror=error.strerror)) from error
    if as_json:
        items = [{"kind": kind, "path": str(folder / f"{kind}.csv")} for kind in kinds]
        write_json({"schema_version": 1, "kind": "sample", "total": len(items), "truncated": False, "items": items})
        return
    for kind in kinds:
        session.out.text(session.as_typed(f"soc {kind} import {folder / f'{kind}.csv'} --yes"))


@command.command(help=_("What the regime asks for and the registry does not have, per agency; example: soc agencies gaps --agency so-yt --regime vn-2026"))
@click.option("--regime", default="", metavar="ID", help=_("By this regime (vn-2017, vn-2026); default: the one in force."))
@click.option("--agency", default="", metavar="ID", help=_("Only of this agency and those below it."))
@list_options
@pass_session
def gaps(session: Session, regime: str, agency: str, form: str | None, fields: tuple[str, ...]) -> int:
    """List what is missing."""
    from soc.application import registry

    found = registry.gaps(session.app(), agency, regime)
    words = _words()
    columns = [
        Column("agency", _("Agency"), whole=True),
        Column("what", _("What is missing"), lambda item: words[item["what"]]),
        Column("about", _("Concerns")),
        Column("source", _("Asked for by"), lambda item: item["source"] + (" (" + _("unverified") + ")" if item["unverified"] else "")),
    ]
    session.out.items("registry-gaps", [gap._asdict() for gap in found], columns, form=form, fields=fields)
    if not found:
        session.out.say(_("nothing is missing"))
    return 1 if found else 0


@command.command(help=_("How many computers have endpoint protection, the least covered agency first; example: soc agencies coverage --csv"))
@click.option("--agency", default="", metavar="ID", help=_("Only of this agency and those below it."))
@list_options
@pass_session
def coverage(session: Session, agency: str, form: str | None, fields: tuple[str, ...]) -> None:
    """List the coverage."""
    from soc.application import registry

    items = [one._asdict() for one in registry.coverage(session.app(), agency)]
    columns = [
        Column("agency", _("Agency"), whole=True),
        Column("name", _("Name")),
        Column("computers", _("Computers"), right=True),
        Column("licences", _("Licences"), right=True),
        Column("covered", _("Protected"), lambda item: f"{item['covered']} ({100 * item['covered'] // (item['computers'] or 1)} %)", right=True),
    ]
    session.out.items("coverage", items, columns, form=form, fields=fields)
    if not items:
        session.out.say(_("no agency told its computers: the columns computers and licences of soc agencies import"))
