"""`soc reports`: kinds, draft, list, show, export, import-signed, sent, situation, templates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.cli import _record, _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._session import Session, pass_session
from soc.errors import NotAllowed, Phrase
from soc.i18n import current
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.incidents.model import Incident
    from soc.model.fact import Behalf
    from soc.reports.model import Report

_FORMATS = ("docx", "txt", "json")
_CHANNELS = ("document", "mail", "paper", "telephone", "fax", "portal")
_MOST_TEXT = 65_536


@click.group(
    help=_("Statutory and inner reports: drafted from what is recorded, signed elsewhere, sent by a person."),
    epilog=_("Example: soc reports draft INC-2026-0007 first-notice; soc reports export INC-2026-0007 first-notice"),
)
def command() -> None:
    """The noun."""


def state_word(report: dict[str, Any]) -> str:
    """The word for how far a report is."""
    if report["state"] == "sent" and not report["confirmed"]:
        return _("sent, signature due")
    return {"drafted": _("draft"), "signed": _("signed"), "sent": _("sent")}[str(report["state"])]


def _title(kind: str, regime: str) -> str:
    from soc.reports.kinds import of_regime

    titles = next((one.title for one in of_regime(regime) if one.id == kind), {})
    return str(titles.get(current()) or titles.get("en", kind))


def _field(name: str) -> str:
    from soc.reports.kinds import FIELDS

    return FIELDS[name].vi if current() == "vi" else FIELDS[name].en


def _answer(session: Session, incident: Incident, report: Report, as_json: bool) -> None:
    from soc.application import reports

    found = reports.item(incident, report)
    if as_json:
        write_json({"schema_version": 1, "kind": "report", "item": found})
    else:
        title = _title(report.kind, incident.regime)
        session.out.text(
            "  ".join(filter(None, (incident.id, report.id, title, _("version {number}").format(number=found["version"]), state_word(found), report.number))),
            "bold",
        )
        for one in report.sent:
            session.out.text(f"  → {_show.when(one.at, session.settings.timezone)}  {one.to}  {one.channel}  {one.reference}")
    for name, command in reports.fills(incident, report) if report.state == "drafted" else []:
        session.out.warn(_("missing: {field}: {command}").format(field=_field(name), command=command))


@command.command(
    "kinds",
    help=_record.example(
        _("List the kinds of reports, of an incident's regime or all, and the obligations that each meets."), "soc reports kinds INC-2026-0007"
    ),
)
@click.argument("id", required=False, default="")
@list_options
@pass_session
def kinds_command(session: Session, id: str, form: str | None, fields: tuple[str, ...]) -> None:
    """List kinds."""
    from soc.application import reports

    found = [
        {"id": one.id, "title": one.title.get(current()) or one.title["en"], "regimes": list(one.regimes), "meets": list(one.meets), "source": one.source}
        for one in reports.known(session.app(), id)
    ]
    columns = [
        Column("id", "ID", whole=True),
        Column("title", _("Title")),
        Column("regimes", _("Regime")),
        Column("meets", _("Obligations")),
        Column("source", _("Source"), most=80),
    ]
    session.out.items("report-kinds", found, columns, form=form, fields=fields)


def _given(pairs: tuple[str, ...], from_files: tuple[str, ...]) -> dict[str, str]:
    """The fields of `--set` and `--set-file`."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(_("{pair}: as FIELD=TEXT").format(pair=pair))
        found[name.strip()] = value
    for pair in from_files:
        name, equals, file = pair.partition("=")
        if not equals:
            raise click.BadParameter(_("{pair}: as FIELD=FILE").format(pair=pair))
        try:
            with Path(file).open("rb") as source:
                found[name.strip()] = source.read(_MOST_TEXT).decode("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise NotAllowed(Phrase("{path} cannot be read: {strerror}", path=file, strerror=error)) from error
    return found


@command.command(
    help=_record.example(
        _("Draft a report of what is recorded, or a further version of the draft; what is missing is named with the command that fills it."),
        "soc reports draft 7 first-notice --set status='đã cô lập'",
    ),
)
@click.argument("id")
@click.argument("kind")
@click.option("--set", "pairs", multiple=True, metavar="FIELD=TEXT", help=_("Write a field (may be repeated); it is carried to the next reports."))
@click.option("--set-file", "from_files", multiple=True, metavar="FIELD=FILE", help=_("Write a field from a text file."))
@json_option
@pass_session
@_record.behalf_options
def draft(session: Session, id: str, kind: str, pairs: tuple[str, ...], from_files: tuple[str, ...], behalf: Behalf | None, as_json: bool) -> None:
    """Draft a report."""
    from soc.application import reports

    incident, report, new = reports.draft(session.app(), id, kind, _given(pairs, from_files), behalf=behalf)
    _answer(session, incident, report, as_json)
    if not new:
        session.out.say(_("nothing has changed since version {number}").format(number=report.versions[-1].number))
    if not as_json:
        session.out.say(
            _("Next: soc reports export {id} {report}, have it signed, soc reports import-signed {id} {report} FILE").format(id=incident.id, report=report.id)
        )


@command.command("list", help=_record.example(_("List the reports of an incident with their numbers and what was sent."), "soc reports list 7"))
@click.argument("id")
@list_options
@pass_session
def list_command(session: Session, id: str, form: str | None, fields: tuple[str, ...]) -> None:
    """List reports."""
    from soc.application import incidents, reports

    app = session.app()
    incident = incidents.get(app, id)
    found = [reports.item(incident, one) for one in reports.listed(app, id)]
    zone = session.settings.timezone
    columns = [
        Column("id", "ID", whole=True),
        Column("kind", _("Report"), lambda one: _title(one["kind"], incident.regime) + (f" {one['ordinal']}" if one["ordinal"] > 1 else "")),
        Column("version", _("Version"), right=True),
        Column("drafted_at", _("Drafted"), lambda one: _show.when(one["drafted_at"], zone), whole=True),
        Column("state", _("State"), state_word),
        Column("number", _("Number")),
        Column("signed_on", _("Signed")),
        Column("sent", _("Sent"), lambda one: "; ".join(f"{_show.when(sent['at'], zone)} {sent['to']}" for sent in one["sent"])),
        Column("missing", _("Missing"), lambda one: ", ".join(_field(name) for name in one["missing"]), most=60),
    ]
    session.out.items("reports", found, columns, form=form, fields=fields)
    if not found:
        session.out.say(_("no reports yet; to draft one: soc reports draft {id} KIND (soc reports kinds {id})").format(id=incident.id))


@command.command(help=_record.example(_("Show a report as text; REPORT is its id (r1), or its kind for the newest one."), "soc reports show 7 first-notice"))
@click.argument("id")
@click.argument("report")
@click.option("--version", "version", type=click.IntRange(min=1), help=_("An earlier version."))
@json_option
@pass_session
def show(session: Session, id: str, report: str, version: int | None, as_json: bool) -> None:
    """Show a report."""
    from soc.application import reports

    app = session.app()
    if as_json:
        incident, found = reports.get(app, id, report)
        write_json({"schema_version": 1, "kind": "report", "item": {**reports.item(incident, found), "facts": found.versions[-1].facts}})
        return
    session.out.text(reports.document(app, id, report, "txt", version=version or 0)[0].decode())


def _write(out: Path | None, folder: Path | None) -> Any:
    """A function that puts a file where it was asked for, under the proposed name unless there is one."""
    from soc.cli._export import new_file

    def write(name: str, data: bytes) -> str:
        path = out or (folder or Path()) / name
        with new_file(path, hint="give another name with --out, or another folder with --folder") as file:
            file.write(data)
        return path.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

    return write


@command.command(
    help=_record.example(
        _("Write a report to a file that must not exist yet; its hash is recorded."), "soc reports export 7 first-notice --format docx --folder /srv/bao-cao"
    ),
)
@click.argument("id")
@click.argument("report")
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="docx",
    show_default=True,
    help=_("DOCX by the office's template, plain text, or the facts as JSON."),
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help=_("This file; default: a name made of incident, kind and version."))
@click.option("--folder", type=click.Path(path_type=Path, exists=True, file_okay=False), help=_("Into this folder; default: the current one."))
@click.option("--version", "version", type=click.IntRange(min=1), help=_("An earlier version."))
@json_option
@pass_session
def export(session: Session, id: str, report: str, form: str, out: Path | None, folder: Path | None, version: int | None, as_json: bool) -> None:
    """Export a report."""
    from soc.application import reports

    incident, found, digest = reports.export(session.app(), id, report, form, _write(out, folder), version=version or 0)
    _answer(session, incident, found, as_json)
    if not as_json:
        session.out.text(f"  {found.exports[-1].name}  sha256 {digest}")


@command.command(
    "import-signed",
    help=_record.example(
        _("Take the signed document back: its number, date and signer; the file is kept as evidence."),
        "soc reports import-signed 7 first-notice ky.pdf --number 12/TB-SKHCN --signed-on 2026-11-21 --signer 'Trần Văn Bình'",
    ),
)
@click.argument("id")
@click.argument("report")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--number", required=True, metavar="TEXT", help=_("Number and sign of the document, as 12/BC-SKHCN."))
@click.option("--signed-on", required=True, metavar="DATE", help=_("Date of the signature (2026-11-21)."))
@click.option("--signer", required=True, metavar="NAME", help=_("Who signed."))
@json_option
@pass_session
@_record.behalf_options
def import_signed(session: Session, id: str, report: str, file: Path, number: str, signed_on: str, signer: str, behalf: Behalf | None, as_json: bool) -> None:
    """Import a signed document."""
    from soc.application import reports

    incident, found = reports.import_signed(session.app(), id, report, file, number=number, signed_on=signed_on, signer=signer, behalf=behalf)
    _answer(session, incident, found, as_json)
    if not as_json:
        session.out.say(_("Next, once a person has sent it: soc reports sent {id} {report} --to NAME").format(id=incident.id, report=found.id))


@command.command(
    help=_record.example(
        _("Record that a person sent a report; the obligations that it meets are met with it. Nothing is sent by this command."),
        "soc reports sent 7 first-notice --to 'Phòng PA05, Công an tỉnh' --at '2026-11-21 08:30'",
    ),
)
@click.argument("id")
@click.argument("report")
@click.option("--to", "to", required=True, metavar="NAME", help=_("Whom it went to."))
@click.option("--channel", type=click.Choice(_CHANNELS), default="document", show_default=True, help=_("How it went."))
@click.option("--at", "at", default="", metavar="TIME", help=_("When, to the minute; default: now."))
@click.option("--reference", default="", metavar="TEXT", help=_("Number of the sending or receipt; default: the number of the document."))
@click.option("--obligation", multiple=True, metavar="ID", help=_("The obligation that it meets (may be repeated); default: those of its kind."))
@click.option("--word-of", default="", metavar="NAME", help=_("Sent before it was signed, on this person's word; the signed document is still due."))
@json_option
@pass_session
@_record.behalf_options
def sent(
    session: Session,
    id: str,
    report: str,
    to: str,
    channel: str,
    at: str,
    reference: str,
    obligation: tuple[str, ...],
    word_of: str,
    behalf: Behalf | None,
    as_json: bool,
) -> None:
    """Record a sending."""
    from soc.application import reports

    app = session.app()
    when = _record.past(session, at)
    incident, found, met = reports.sent(
        app, id, report, to=to, channel=channel, at=when, reference=reference, obligation=obligation, word_of=word_of, behalf=behalf
    )
    _answer(session, incident, found, as_json)
    if not as_json:
        session.out.say(_("obligations met: {names}").format(names=", ".join(met)) if met else _("it meets no obligation; --obligation names one"))


# --- templates --------------------------------------------------------------------------------------------------------


@command.group(help=_("The DOCX templates: write out the shipped ones, check edited ones."))
def templates() -> None:
    """The templates."""


@templates.command(
    "export", help=_record.example(_("Write the shipped templates into FOLDER; files that exist are not touched."), "soc reports templates export mau")
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@json_option
@pass_session
def export_templates(session: Session, folder: Path, as_json: bool) -> None:
    """Write the templates."""
    from soc.application import reports
    from soc.cli._export import new_file

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotAllowed(Phrase("{path} cannot be written: {strerror}", path=folder, strerror=error.strerror)) from error
    for name, data in reports.templates().items():
        with new_file(folder / name, hint="give an empty folder", mode=0o644) as file:
            file.write(data)
        if not as_json:
            session.out.text(str(folder / name))
    if as_json:
        items = [{"path": str(folder / name)} for name in reports.templates()]
        write_json({"schema_version": 1, "kind": "report-templates", "total": len(items), "truncated": False, "items": items})
    session.out.say(
        _("Edit them with a word processor, then: soc reports templates check {folder}; use them: reports.templates in the settings").format(folder=folder)
    )


@templates.command(
    "check",
    help=_record.example(
        _("Check edited templates: only fields and repeated rows may stand in them. Exit code 1 when one is refused."), "soc reports templates check mau"
    ),
)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@list_options
@pass_session
def check_templates(session: Session, folder: Path, form: str | None, fields: tuple[str, ...]) -> int:
    """Check templates."""
    from soc.application import reports
    from soc.i18n import translated

    found = reports.templates(folder)
    items = [
        {"template": name, "place": fault.place, "what": fault.what, "why": translated(fault.why)}
        for name, data in found.items()
        for fault in reports.faults(data)
    ]
    columns = [Column("template", _("Template"), whole=True), Column("place", _("Place")), Column("what", _("What"), most=80), Column("why", _("Why"))]
    session.out.items("template-faults", items, columns, form=form, fields=fields)
    session.out.say(_("{count} templates, {faults} faults").format(count=len(found), faults=len(items)))
    return 1 if items else 0


# --- situation --------------------------------------------------------------------------------------------------------


@command.command(
    help=_record.example(
        _("Write the one-page situation report of the day up to 06:00 (or --until), as text on the screen or into a file."),
        "soc reports situation --out nhanh.docx",
    ),
)
@click.option("--until", default="", metavar="TIME", help=_("End of the day that it tells of; default: 06:00 today, or yesterday before that."))
@click.option("--assessment", default="", metavar="TEXT", help=_("The assessment; default: a sentence of the figures."))
@click.option("--proposal", default="", metavar="TEXT", help=_("What is proposed."))
@click.option("--format", "form", type=click.Choice(_FORMATS), default="docx", show_default=True, help=_("The form of the file."))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help=_("Write this file; without it the text is shown and nothing is recorded."))
@json_option
@pass_session
def situation(session: Session, until: str, assessment: str, proposal: str, form: str, out: Path | None, as_json: bool) -> None:
    """Report the situation."""
    from hashlib import sha256

    import msgspec

    from soc.application import situation as situations

    app = session.app()
    found = situations.gather(app, _record.past(session, until), assessment=assessment, proposal=proposal)
    if out is None:
        if as_json:
            write_json({"schema_version": 1, "kind": "situation", "item": msgspec.to_builtins(found)})
        else:
            session.out.text(situations.document(app, found, "txt").decode())
        return
    data = situations.document(app, found, form)
    name = _write(out, None)("", data)
    digest = sha256(data).hexdigest()
    situations.record(app, found, form, name, digest)
    if as_json:
        write_json({"schema_version": 1, "kind": "situation", "item": msgspec.to_builtins(found), "name": name, "sha256": digest})
    else:
        session.out.text(f"{out}  sha256 {digest}")
