"""`soc evidence`: add, register, list, show, hand-over, verify, events, dossier, dossier-verify."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from soc.cli import _record, _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.incidents.evidence import Evidence
    from soc.model.fact import Behalf

F = TypeVar("F", bound=Callable[..., Any])


@click.group(
    help=_("Evidence: files kept by their hash, where they came from, and through whose hands they went."),
    epilog=_("Example: soc evidence add INC-2026-0007 mail.eml --why 'thư lừa đảo gốc' --from 'máy chủ thư'"),
)
def command() -> None:
    """The noun."""


def _origin(function: F) -> F:
    """The options that say where a piece of evidence comes from."""
    options = [
        click.option("--why", required=True, metavar="TEXT", help=_("Why it is kept, for the record.")),
        click.option("--from", "origin", default="", metavar="TEXT", help=_("Where it was taken from: a host, a disk, a mailbox.")),
        click.option("--collected-by", default="", metavar="NAME", help=_("Who took it.")),
        click.option("--collected-at", default="", metavar="TIME", help=_("When it was taken, to the minute.")),
        click.option("--description", default="", metavar="TEXT", help=_("What it is.")),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def form_word(form: str) -> str:
    """The word for how a piece of evidence is kept."""
    return {"kept": _("kept here"), "registered": _("kept elsewhere"), "paper": _("on paper only")}.get(form, form)


def _result_word(result: str) -> str:
    words = {
        "ok": _("unchanged"),
        "changed": _("CHANGED"),
        "missing": _("MISSING"),
        "elsewhere": _("kept elsewhere, not looked at"),
        "paper": _("on paper only"),
    }
    return words.get(result, result)


def _answer(session: Session, one: Evidence, as_json: bool) -> None:
    from soc.application import evidence

    if as_json:
        write_json({"schema_version": 1, "kind": "evidence", "item": evidence.item(one)})
        return
    session.out.text("  ".join(filter(None, (one.id, one.incident, form_word(one.form), one.name, _show.size(one.size) if one.size else ""))), "bold")
    for title, value in ((_("SHA-256"), one.sha256), (_("With"), one.holder), (_("Place"), one.place), (_("Seal"), one.seal), (_("Reference"), one.reference)):
        if value:
            session.out.text(f"  {title:<12} {value}")


@command.command(
    help=_record.example(
        _("Copy files into the store of evidence, each with its SHA-256; ID is the incident."),
        "soc evidence add 7 mail.eml --why 'thư lừa đảo gốc' --from 'máy chủ thư'",
    ),
)
@click.argument("id")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@_origin
@json_option
@pass_session
@_record.behalf_options
def add(
    session: Session,
    id: str,
    files: tuple[Path, ...],
    why: str,
    origin: str,
    collected_by: str,
    collected_at: str,
    description: str,
    behalf: Behalf | None,
    as_json: bool,
) -> None:
    """Keep files."""
    from soc.application import evidence

    app, when = session.app(), _record.past(session, collected_at)
    for file in files:
        made = evidence.add(app, id, file, why=why, origin=origin, description=description, collected_by=collected_by, collected_at=when, behalf=behalf)
        _answer(session, made, as_json)


@command.command(
    help=_record.example(
        _(
            "Record evidence that stays where it is: a disk image by its hash, place and seal number. "
            "--paper records only the reference of what may not be stored (state secrets)."
        ),
        "soc evidence register 7 disk.img --place 'Tủ 3, phòng máy' --seal 0123456 --why 'ảnh đĩa'",
    ),
)
@click.argument("id")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--place", default="", metavar="TEXT", help=_("Where it lies."))
@click.option("--seal", default="", metavar="NUMBER", help=_("Number of the seal."))
@click.option("--sha256", default="", metavar="HASH", help=_("Its SHA-256, where the file cannot be read here."))
@click.option("--name", default="", metavar="TEXT", help=_("What it is called."))
@click.option("--reference", default="", metavar="TEXT", help=_("Number of the paper record."))
@click.option("--paper", is_flag=True, help=_("It may not be stored here: nothing but the reference is recorded."))
@_origin
@json_option
@pass_session
@_record.behalf_options
def register(
    session: Session,
    id: str,
    file: Path | None,
    place: str,
    seal: str,
    sha256: str,
    name: str,
    reference: str,
    paper: bool,
    why: str,
    origin: str,
    collected_by: str,
    collected_at: str,
    description: str,
    behalf: Behalf | None,
    as_json: bool,
) -> None:
    """Record evidence that stays elsewhere."""
    from soc.application import evidence

    made = evidence.register(
        session.app(),
        id,
        file,
        why=why,
        place=place,
        seal=seal,
        sha256=sha256,
        name=name,
        reference=reference,
        paper=paper,
        origin=origin,
        description=description,
        collected_by=collected_by,
        collected_at=_record.past(session, collected_at),
        behalf=behalf,
    )
    _answer(session, made, as_json)


@command.command("list", help=_record.example(_("List evidence; ID narrows to one incident."), "soc evidence list 7"))
@click.argument("id", required=False, default="")
@click.option("--scope", default="real", metavar="SCOPE", help=_("real (default), exercise:<id>, or all."))
@list_options
@pass_session
def list_command(session: Session, id: str, scope: str, form: str | None, fields: tuple[str, ...]) -> None:
    """List evidence."""
    from soc.application import evidence

    found = [evidence.item(one) for one in evidence.listed(session.app(), id, scope=None if scope == "all" else scope)]
    columns = [
        Column("id", "ID", whole=True),
        Column("incident", _("Incident"), whole=True),
        Column("form", _("Where"), lambda one: form_word(one["form"])),
        Column("name", _("Name"), lambda one: one["name"] or one["reference"], most=60),
        Column("size", _("Size"), lambda one: _show.size(one["size"]) if one["size"] else "", right=True),
        Column("holder", _("With")),
        Column("sha256", "SHA-256", lambda one: one["sha256"][:16], whole=True),
        Column("checked", _("Last check"), lambda one: _result_word(one["checked"]) if one["checked"] else ""),
    ]
    session.out.items("evidence", found, columns, form=form, fields=fields)
    if not found:
        session.out.say(_("no evidence; to keep a file: soc evidence add INCIDENT FILE --why TEXT"))


@command.command(help=_record.example(_("Show a piece of evidence and its chain of custody. ID may be the number alone."), "soc evidence show EV-2026-0007"))
@click.argument("id")
@json_option
@pass_session
def show(session: Session, id: str, as_json: bool) -> None:
    """Show evidence."""
    import msgspec

    from soc.application import evidence

    one = evidence.get(session.app(), id)
    if as_json:
        write_json({"schema_version": 1, "kind": "evidence", "item": msgspec.to_builtins(one)})
        return
    _answer(session, one, as_json=False)
    zone = session.settings.timezone
    for title, value in (
        (_("Description"), one.description),
        (_("Taken from"), one.origin),
        (_("Taken"), " ".join(filter(None, (_show.when(one.collected_at, zone), one.collected_by)))),
        (_("Recorded"), f"{_show.when(one.recorded_at, zone)} {one.recorded_by}"),
    ):
        if value.strip():
            session.out.text(f"  {title:<12} {value}")
    session.out.text("\n" + _("Custody"), "bold")
    for link in one.custody:
        behalf = _("on behalf of {name}").format(name=link.behalf) if link.behalf else ""
        parts = (f"  {_show.when(link.at, zone)}", f"{link.giver or '?'} → {link.taker}", link.why, link.place, link.seal, behalf, f"[{link.by}]")
        session.out.text(session.out.folded("  ".join(filter(None, parts)), more="      "))
    for check in one.checks[-5:]:
        session.out.text(f"  {_show.when(check.at, zone)}  {_result_word(check.result)}  [{check.by}]")


@command.command(
    "hand-over", help=_record.example(_("Record that evidence went to somebody else."), "soc evidence hand-over 7 --to 'Phòng PA05' --why 'giám định'")
)
@click.argument("id")
@click.option("--to", "to", required=True, metavar="NAME", help=_("Who has it now."))
@click.option("--why", required=True, metavar="TEXT", help=_("Why, for the record."))
@click.option("--giver", default="", metavar="NAME", help=_("Who gave it; must be the one who has it by the record."))
@click.option("--at", "at", default="", metavar="TIME", help=_("When, to the minute; default: now."))
@click.option("--place", default="", metavar="TEXT", help=_("Where it lies now."))
@click.option("--seal", default="", metavar="NUMBER", help=_("Number of its new seal."))
@json_option
@pass_session
@_record.behalf_options
def hand_over(session: Session, id: str, to: str, why: str, giver: str, at: str, place: str, seal: str, behalf: Behalf | None, as_json: bool) -> None:
    """Record a hand-over."""
    from soc.application import evidence

    _answer(
        session, evidence.hand_over(session.app(), id, to, why=why, giver=giver, at=_record.past(session, at), place=place, seal=seal, behalf=behalf), as_json
    )


@command.command(
    help=_record.example(
        _("Compare evidence with its recorded hash: these pieces, those of --incident, or all. Exit code 1 when one is missing or changed."),
        "soc evidence verify --incident 7",
    ),
)
@click.argument("ids", nargs=-1)
@click.option("--incident", default="", metavar="ID", help=_("Only of this incident."))
@click.option("--file", "file", type=click.Path(path_type=Path), help=_("Compare this file (of evidence that is kept elsewhere)."))
@list_options
@pass_session
def verify(session: Session, ids: tuple[str, ...], incident: str, file: Path | None, form: str | None, fields: tuple[str, ...]) -> int:
    """Check evidence."""
    from soc.application import evidence

    found = evidence.verify(session.app(), ids, incident=incident, file=file)
    items = [{"id": one.id, "incident": one.incident, "name": one.name, "sha256": one.sha256, "result": result} for one, result in found]
    columns = [
        Column("id", "ID", whole=True),
        Column("incident", _("Incident"), whole=True),
        Column("name", _("Name"), most=60),
        Column("result", _("Result"), lambda one: _result_word(one["result"]), lambda one: "bold red" if one["result"] in ("changed", "missing") else ""),
    ]
    session.out.items("evidence-check", items, columns, form=form, fields=fields)
    wrong = sum(one["result"] in ("changed", "missing") for one in items)
    if wrong:
        session.out.say(_("{count} pieces are not what they were: keep everything as it is and find out who could write there").format(count=wrong))
    return 1 if wrong else 0


@command.command(
    help=_record.example(
        _("Copy the events that an incident's alerts cite into its evidence, so that they outlive the retention of the store."), "soc evidence events 7"
    ),
)
@click.argument("id")
@click.option("--why", default="", metavar="TEXT", help=_("Why, for the record."))
@json_option
@pass_session
def events(session: Session, id: str, why: str, as_json: bool) -> None:
    """Keep cited events."""
    from soc.application import evidence

    made = evidence.keep_events(session.app(), id, why=why or _("events that the incident cites"))
    if made is None:
        session.out.say(_("no alert of the incident cites an event that is still stored"))
        return
    _answer(session, made, as_json)


@command.command(
    help=_record.example(
        _("Write the dossier of an incident into a new FOLDER: facts, documents, evidence, timeline, manifest and signature."), "soc evidence dossier 7 ho-so"
    ),
)
@click.argument("id")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--without-evidence", is_flag=True, help=_("Leave the files of evidence out; they are listed all the same."))
@json_option
@pass_session
def dossier(session: Session, id: str, folder: Path, without_evidence: bool, as_json: bool) -> None:
    """Write a dossier."""
    from soc.application import dossier as dossiers

    made = dossiers.write(session.app(), id, folder, with_evidence=not without_evidence)
    if as_json:
        write_json({"schema_version": 1, "kind": "dossier", "item": made})
        return
    session.out.text(_("{files} files in {folder}, signed by the key {key}").format(files=made["files"], folder=made["folder"], key=made["key"]))
    session.out.say(_("Check it anywhere: soc evidence dossier-verify {folder} --key {key}").format(folder=folder, key=made["key"]))


@command.command(
    "dossier-verify",
    help=_record.example(
        _("Check a dossier with nothing but its folder: files, facts, signature. Exit code 1 when something does not hold."),
        "soc evidence dossier-verify ho-so --key 0123456789abcdef",
    ),
)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--key", default="", metavar="KEY", help=_("Public key, or its id, that it must be signed by (soc audit key on our machine)."))
@json_option
@pass_session
def dossier_verify(session: Session, folder: Path, key: str, as_json: bool) -> int:
    """Check a dossier."""
    import msgspec

    from soc.application import dossier as dossiers
    from soc.cli._progress import Progress

    with Progress(session) as progress:
        verdict = dossiers.verify(folder, key, lambda files: progress(_("{files} files checked").format(files=_show.number(files))))
    if as_json:
        write_json({"schema_version": 1, "kind": "dossier-verdict", **msgspec.to_builtins(verdict)})
        return 0 if verdict.ok else 1
    words = {
        "manifest": _("the manifest is wrong here"),
        "signature": _("the signature does not hold"),
        "key": _("signed by another key"),
        "missing": _("is missing"),
        "changed": _("was changed"),
        "extra": _("was added"),
        "chain": _("facts were changed or left out"),
    }
    for problem in verdict.problems:
        session.out.text(f"✖ {problem.path}: {words[problem.kind]}", "bold red")
    mark = "✔" if verdict.ok else "✖"
    session.out.text(
        f"{mark} {verdict.incident}: "
        + _("{files} files, {facts} facts, signed by the key {key}").format(files=verdict.files, facts=verdict.facts, key=verdict.key)
    )
    if not key:
        session.out.say(_("Whose key that is proves only a comparison: --key with what soc audit key shows on the machine that signed"))
    return 0 if verdict.ok else 1
