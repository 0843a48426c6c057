"""Commands and queries about reports: drafted from the facts, exported, signed elsewhere, imported back, and recorded as sent.

Nothing goes to an authority by itself: a person sends, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from soc.application import access, approval, evidence, incidents, notices
from soc.application.app import App
from soc.application.numbered import local_day, not_later
from soc.clock import from_iso, iso
from soc.errors import ConfigError, Conflict, NotAllowed, NotFound, Phrase, UsageError
from soc.incidents.clocks import obligations, regime_at, regimes
from soc.incidents.model import PREFIX, Incident, fold
from soc.model.fact import ANY_VERSION, Behalf, Fact, NewFact
from soc.organization.registry import Registry
from soc.reports import model
from soc.reports.facts import MOST_TEXT, FactSet, Office, digest, gather
from soc.reports.kinds import FIELDS, SETTABLE, Kind, kind_of, kinds, of_regime
from soc.reports.model import Report, Version, carried
from soc.reports.text import text
from soc.reports.values import Values, filled, missing, values

FORMATS = ("docx", "txt", "json")
CHANNELS = ("document", "mail", "paper", "telephone", "fax", "portal")
MOST_SIGNED = 67_108_864
"""Bytes of a signed document."""
_REGISTRY = ("agencies", "people", "systems")


def known(app: App, incident: str = "") -> list[Kind]:
    """The kinds of reports: of an incident's regime, or all."""
    access.require(app, "reports.view")
    return of_regime(_regime(incidents.get(app, incident)).id) if incident else [kind for kind in kinds() if kind.regimes]


def _regime(incident: Incident) -> Any:
    return regimes().get(incident.regime) or regime_at(incident.detected_at)


def _stream(app: App, name: str) -> tuple[Incident, list[Fact]]:
    """An incident and its facts, of one reading."""
    found = incidents.get(app, name)
    facts = [one.fact for one in app.journal.read(PREFIX + found.id)]
    return fold(found.id, facts), facts


def listed(app: App, name: str) -> list[Report]:
    """The reports of an incident, in order of their first draft."""
    access.require(app, "reports.view")
    return model.fold(_stream(app, name)[1])


def get(app: App, name: str, report: str) -> tuple[Incident, Report]:
    """A report by its id (`r2`), or by its kind: the newest of it.

    Raises: NotFound.
    """
    access.require(app, "reports.view")
    incident, facts = _stream(app, name)
    return incident, _chosen(incident, model.fold(facts), report)


def _chosen(incident: Incident, found: Sequence[Report], report: str) -> Report:
    wanted = report.strip().lower()
    for one in reversed(found):
        if wanted in (one.id, one.kind):
            return one
    there = ", ".join(f"{one.id} {one.kind}" for one in found) or "-"
    raise NotFound(
        Phrase("{id} has no report {report}; there are: {known}", id=incident.id, report=report, known=there),
        hint=Phrase("soc reports draft {id} KIND", id=incident.id),
    )


def draft(app: App, name: str, kind: str, given: Mapping[str, str] = {}, *, behalf: Behalf | None = None) -> tuple[Incident, Report, bool]:
    """Draft a report, or a further version of the draft there is; the last part says whether anything is new.

    What was written into earlier reports of the incident is carried over. Raises: UsageError (kind, field), FactConflict.
    """
    access.require(app, "reports.make")
    incident, stream = _stream(app, name)
    regime = _regime(incident)
    chosen = kind_of(kind, regime.id)
    fields = _checked(given)
    reports = model.fold(stream)
    same = [one for one in reports if one.kind == chosen.id]
    current = same[-1] if same and same[-1].state == model.DRAFTED else None
    ordinal = current.ordinal if current else len(same) + 1
    facts = gather(
        chosen,
        ordinal,
        incident,
        stream,
        registry=Registry(app.journal, _REGISTRY),
        regime=regime,
        duties=obligations(incident, app.clock.now_us()),
        reports=reports,
        titles=_titles(regime.id),
        notices=sorted(notices.every(app), key=lambda one: one.id),
        office=office(app),
        fields={**carried(reports), **fields},
        day=local_day(app),
    )
    found = digest(facts)
    if current is not None and current.versions[-1].hash == found:
        return incident, current, False
    data = {
        "report": current.id if current else f"r{len(reports) + 1}",
        "kind": chosen.id,
        "ordinal": ordinal,
        "version": len(current.versions) + 1 if current else 1,
        "hash": found,
        "facts": msgspec.to_builtins(facts),
        "fields": fields,
        "missing": missing(chosen, values(chosen, facts, local_day(app))),
    }
    app.journal.append(PREFIX + incident.id, incident.version, [NewFact("ReportDrafted", data, behalf=behalf)], actor=app.actor.name, scope=incident.scope)
    return (*get(app, incident.id, str(data["report"])), True)


def _titles(regime: str) -> dict[str, str]:
    """Kind → Vietnamese title, and `first <kind>` for those whose number the others cite."""
    fitting = of_regime(regime)
    return {kind.id: kind.title["vi"] for kind in fitting} | {f"first {kind.id}": "" for kind in fitting if kind.first}


def _checked(given: Mapping[str, str]) -> dict[str, str]:
    for field, value in given.items():
        if field not in SETTABLE:
            fill = FIELDS[field].fill if field in FIELDS else ""
            raise UsageError(
                Phrase("{field} is not written into a draft", field=field),
                hint=Phrase("it comes from: {fill}", fill=fill) if fill else Phrase("known: {known}", known=", ".join(SETTABLE)),
            )
        if len(value) > MOST_TEXT:
            raise UsageError(
                Phrase("{field}: {count} characters are too many (most: {most})", field=field, count=len(value), most=MOST_TEXT),
                hint="put the long text into an annex: soc evidence add",
            )
    return dict(given)


def office(app: App) -> Office:
    """Who issues documents, by the settings."""
    chosen = app.settings.reports
    return Office(chosen.agency, chosen.place, chosen.sign, chosen.addressee, tuple(chosen.copies), chosen.signer_title, chosen.signer_name, chosen.contact)


def fills(incident: Incident, report: Report) -> list[tuple[str, str]]:
    """The fields that the last version lacks, each with the command that fills it."""
    version = report.versions[-1]
    facts = msgspec.convert(version.facts, FactSet)
    about = {
        "id": incident.id,
        "kind": report.kind,
        "system": ", ".join(one.id for one in facts.systems) or "ID",
        "agency": facts.reporter.id or "ID",
    }
    return [(name, FIELDS[name].fill.format(field=name, **about)) for name in version.missing if name in FIELDS]


# --- documents -------------------------------------------------------------------------------------------------------


def document(app: App, name: str, report: str, form: str, *, version: int = 0) -> tuple[bytes, Report, Version, str]:
    """The bytes of a report in a form, with the report, the version (0 = the last) and the hash of the template.

    Raises: NotFound, ConfigError (a template that is refused).
    """
    incident, found = get(app, name, report)
    chosen = found.versions[-1] if not version else next((one for one in found.versions if one.number == version), None)
    if chosen is None:
        raise NotFound(Phrase("{report} has no version {version}", report=found.id, version=version), hint=Phrase("soc reports list {id}", id=incident.id))
    return rendered(app, chosen, form), found, chosen, _template_hash(app, chosen) if form == "docx" else ""


def _template_hash(app: App, version: Version) -> str:
    facts = msgspec.convert(version.facts, FactSet)
    return sha256(template(app, kind_of(facts.kind, facts.regime))[0]).hexdigest()


def rendered(app: App, version: Version, form: str) -> bytes:
    """The bytes of a version in a form."""
    facts = msgspec.convert(version.facts, FactSet)
    kind = kind_of(facts.kind, facts.regime)
    printed = filled(kind, values(kind, facts, local_day(app, from_iso(version.at)), version.at))
    return made(app, kind, printed, form, version.facts)


def made(app: App, kind: Kind, printed: Values, form: str, facts: Mapping[str, Any]) -> bytes:
    """A document of printed values in a form.

    Raises: UsageError (no such form), ConfigError (template, or the extra is not installed).
    """
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(facts, order="deterministic"), indent=2) + b"\n"
    if form == "txt":
        return text(kind, printed).encode()
    if form != "docx":
        raise UsageError(Phrase("{field}: {value} is none of {known}", field="format", value=form, known=", ".join(FORMATS)))
    fill = _filling().fill
    data, where = template(app, kind)
    return bytes(fill(data, printed, name=where))


def _filling() -> Any:
    try:
        from soc.reports import template as filling  # noqa: PLC0415 - brings Word libraries along, which few commands need
    except ImportError as error:
        raise ConfigError("DOCX needs the extra [docs]", hint="pip install 'soc[docs]', or --format txt") from error
    return filling


def template(app: App, kind: Kind) -> tuple[bytes, str]:
    """The template of a kind and where it comes from: the office's folder first, then ours.

    Raises: ConfigError.
    """
    name = f"{kind.template}.docx"
    own = app.settings.reports.templates
    if own is not None and (own / name).exists():
        try:
            with (own / name).open("rb") as file:
                return file.read(MOST_SIGNED), str(own / name)
        except OSError as error:
            raise ConfigError(Phrase("the template cannot be read: {strerror}", strerror=error.strerror), file=str(own / name)) from error
    return files("soc.reports").joinpath("templates", name).read_bytes(), name


def templates(folder: Path | None = None) -> dict[str, bytes]:
    """Templates by file name: the shipped ones, or those of a folder that are named like them.

    Raises: ConfigError when the folder holds none.
    """
    names = sorted({f"{kind.template}.docx" for kind in kinds()})
    if folder is None:
        return {name: files("soc.reports").joinpath("templates", name).read_bytes() for name in names}
    try:
        found = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    except OSError as error:
        raise ConfigError(Phrase("the template cannot be read: {strerror}", strerror=error.strerror), file=str(folder)) from error
    if not found:
        raise ConfigError("no template has the name of a shipped one", file=str(folder), hint=Phrase("names: {names}", names=", ".join(names)))
    return found


def faults(data: bytes) -> list[Any]:
    """What is refused in a template: place, what, why each."""
    found: list[Any] = _filling().check(data)
    return found


def export(app: App, name: str, report: str, form: str, write: Callable[[str, bytes], str], *, version: int = 0) -> tuple[Incident, Report, str]:
    """Make the file of a report, let `write` (proposed name, bytes → name) put it somewhere, then record it; and the file's hash.

    Raises: what `document` and `write` raise; nothing is recorded then.
    """
    access.require(app, "reports.make")
    data, found, chosen, of_template = document(app, name, report, form, version=version)
    incident = incidents.get(app, name)
    number = "" if found.ordinal == 1 else f"-{found.ordinal}"
    written = write(f"{incident.id}-{found.kind}{number}-v{chosen.number}.{form}", data)
    fact = {
        "report": found.id,
        "kind": found.kind,
        "version": chosen.number,
        "format": form,
        "name": written,
        "sha256": sha256(data).hexdigest(),
        "bytes": len(data),
        "template": of_template,
    }
    # Whatever else was recorded meanwhile, the file is there.
    app.journal.append(PREFIX + incident.id, ANY_VERSION, [NewFact("ReportExported", fact)], actor=app.actor.name, scope=incident.scope)
    return (*get(app, incident.id, found.id), str(fact["sha256"]))


def _record(app: App, incident: Incident, report: Report, facts: Sequence[NewFact]) -> tuple[Incident, Report]:
    app.journal.append(PREFIX + incident.id, incident.version, facts, actor=app.actor.name, scope=incident.scope)
    return get(app, incident.id, report.id)


def import_signed(
    app: App, name: str, report: str, file: Path, *, number: str, signed_on: str, signer: str, behalf: Behalf | None = None
) -> tuple[Incident, Report]:
    """Take the signed document back: number, date, signer, and the file itself as evidence.

    Raises: UsageError, Conflict (signed already), NotAllowed (the author cannot sign).
    """
    access.require(app, "reports.make")
    incident, found = get(app, name, report)
    for option, value in (("--number", number), ("--signed-on", signed_on), ("--signer", signer)):
        if not value.strip():
            raise UsageError(Phrase("a signed document has {what}", what=option), hint="--number 12/BC-SKHCN --signed-on 2026-11-21 --signer NAME")
    try:
        day = date.fromisoformat(signed_on)
    except ValueError:
        raise UsageError(Phrase("{value} is no date", value=signed_on), hint="as 2026-11-21") from None
    if day > local_day(app):
        raise UsageError(Phrase("{field}: {value} lies in the future", field="signed_on", value=signed_on))
    if found.signed is not None:
        raise Conflict(
            Phrase("{report} is signed already: {number}", report=found.id, number=found.number),
            hint=Phrase("soc reports draft {id} KIND begins the next", id=incident.id),
        )
    if not approval.may_sign(app, found.versions[-1].actor, signer):
        raise NotAllowed(Phrase("{name} wrote the report and cannot sign it", name=signer), hint="another person signs")
    kept = evidence.add_once(app, incident.id, file, why=f"{found.kind}: {number}", origin="soc reports import-signed", description=f"{found.kind} {number}")
    fact = {
        "report": found.id,
        "kind": found.kind,
        "version": found.versions[-1].number,
        "number": number.strip(),
        "signed_on": day.isoformat(),
        "signer": signer.strip(),
        "sha256": kept.sha256,
        "evidence": kept.id,
        "name": kept.name,
    }
    return _record(app, incident, found, [NewFact("ReportSigned", fact, behalf=behalf)])


def sent(
    app: App,
    name: str,
    report: str,
    *,
    to: str,
    channel: str,
    at: str = "",
    reference: str = "",
    obligation: Sequence[str] = (),
    word_of: str = "",
    behalf: Behalf | None = None,
) -> tuple[Incident, Report, list[str]]:
    """Record that a person sent a report; the obligations that it meets are met with it.

    `obligation`: which ones (default: those of its kind that are not met yet); `word_of`: sent before it was signed, on this
    person's word. Raises: Conflict (not signed), UsageError, NotFound (obligation).
    """
    access.require(app, "reports.make")
    incident, found = get(app, name, report)
    if not to.strip():
        raise UsageError("whom was it sent to?", hint="--to 'Phòng PA05, Công an tỉnh'")
    if channel not in CHANNELS:
        raise UsageError(Phrase("{field}: {value} is none of {known}", field="channel", value=channel, known=", ".join(CHANNELS)))
    if found.signed is None and not word_of.strip():
        raise Conflict(
            Phrase("{report} is not signed yet", report=found.id),
            hint="soc reports import-signed, or on a named person's word: --word-of NAME",
        )
    when = not_later(app, "at", at) or iso(app.clock.now_us())
    met = _met(app, incident, found, obligation)
    number = reference or found.number
    data = {"report": found.id, "kind": found.kind, "to": to, "channel": channel, "at": when, "reference": number, "obligations": met, "word_of": word_of}
    facts = [NewFact("ReportSent", {key: value for key, value in data.items() if value not in ("", [])}, behalf=behalf)]
    facts += [
        NewFact("ReportRecorded", {"obligation": one, "at": when, "reference": number, "channel": channel, "report": found.id, "to": to}, behalf=behalf)
        for one in met
    ]
    return (*_record(app, incident, found, facts), met)


def _met(app: App, incident: Incident, report: Report, wanted: Sequence[str]) -> list[str]:
    """The obligations that a sending meets."""
    there = [one.id for one in obligations(incident, app.clock.now_us())]
    for one in wanted:
        if one not in there:
            raise NotFound(Phrase("{id} has no obligation {obligation}", id=incident.id, obligation=one), hint=Phrase("known: {known}", known=", ".join(there)))
    if wanted:
        return list(dict.fromkeys(wanted))
    kind = kind_of(report.kind, _regime(incident).id)
    return [one for one in kind.meets if one in there and one not in incident.reports]


def item(incident: Incident, report: Report) -> dict[str, Any]:
    """A report as the JSON of lists."""
    last = report.versions[-1]
    return {
        "incident": incident.id,
        "id": report.id,
        "kind": report.kind,
        "ordinal": report.ordinal,
        "state": report.state,
        "version": last.number,
        "drafted_at": last.at,
        "drafted_by": last.actor,
        "hash": last.hash,
        "missing": last.missing,
        "number": report.number,
        "signed_on": report.signed.signed_on if report.signed else "",
        "signer": report.signed.signer if report.signed else "",
        "sha256": report.signed.sha256 if report.signed else "",
        "exports": msgspec.to_builtins(report.exports),
        "sent": msgspec.to_builtins(report.sent),
        "confirmed": report.confirmed,
        "scope": incident.scope,
    }
