"""Commands and queries about numbered warnings of the national centre: recorded, passed on as notices, answered when the agencies have acted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from soc.application import notices
from soc.application.access import require
from soc.application.app import App
from soc.application.numbered import identity, local_day, not_later, take
from soc.clock import iso
from soc.errors import Conflict, NotFound, Phrase, UsageError
from soc.incidents.classes import TLP
from soc.incidents.letter import printed
from soc.incidents.notices import Notice
from soc.incidents.warnings import CLOSED, PREFIX, SAID, CentreWarning, Progress, fold, progress
from soc.model.fact import Behalf, NewFact, Stored
from soc.model.text import vi_fold
from soc.organization.model import System
from soc.organization.registry import Registry

ISSUER = "Trung tâm An ninh mạng quốc gia"
"""Who issues warnings where nothing else is said."""
_LONGEST = {"number": 100, "issuer": 200, "subject": 500, "asked": 10_000, "summary": 10_000}
_MOST_CVES = 200
_NAMED = 20


def new(
    app: App,
    number: str,
    subject: str,
    *,
    issued_on: str,
    issuer: str = ISSUER,
    asked: str = "",
    tlp: str = "AMBER",
    due_at: str = "",
    received_at: str = "",
    vulnerabilities: Sequence[str] = (),
    file: Path | None = None,
    behalf: Behalf | None = None,
    scope: str = "real",
) -> CentreWarning:
    """A warning that came, under a number of ours.

    Raises: UsageError for a field that cannot be; Conflict when this number of this issuer was recorded before.
    """
    require(app, "warnings.handle")
    texts = {"number": number.strip(), "issuer": issuer.strip(), "subject": subject.strip(), "asked": asked}
    for name, value in texts.items():
        if (not value and name != "asked") or len(value) > _LONGEST[name]:
            raise UsageError(Phrase("a warning needs {field}: up to {most} characters", field=name, most=_LONGEST[name]), hint="soc warnings new --help")
    if tlp not in TLP:
        raise UsageError(Phrase("{field}: {value} is none of {known}", field="tlp", value=tlp, known=", ".join(TLP)))
    if len(vulnerabilities) > _MOST_CVES:
        raise UsageError(Phrase("{count} vulnerabilities are too many (most: {most})", count=len(vulnerabilities), most=_MOST_CVES))
    notices.a_day(issued_on)
    known = next((one for one in every(app) if _same(one, texts["issuer"], texts["number"])), None)
    if known is not None:
        raise Conflict(
            Phrase("{number} of {issuer} was recorded as {id}", number=number, issuer=issuer, id=known.id), hint=Phrase("soc warnings show {id}", id=known.id)
        )
    data = {
        **texts,
        "issued_on": issued_on,
        "tlp": tlp,
        "due_at": due_at,
        "received_at": not_later(app, "received_at", received_at) or iso(app.clock.now_us()),
        "vulnerabilities": list(vulnerabilities),
        **({"sha256": notices.keep(app, file), "file": file.name} if file is not None else {}),
    }
    fact = NewFact("WarningReceived", data, behalf=behalf)
    return _folded(take(app, f"{PREFIX}WN-{local_day(app).year}-", fact, scope=scope, busy="too many warnings are recorded at the same moment"))


def _same(one: CentreWarning, issuer: str, number: str) -> bool:
    return (one.issuer.casefold(), one.number.casefold()) == (issuer.casefold(), number.casefold())


def _folded(facts: Sequence[Stored]) -> CentreWarning:
    return fold(facts[0].fact.stream.removeprefix(PREFIX), [one.fact for one in facts])


def every(app: App) -> list[CentreWarning]:
    """All warnings, the newest first."""
    return [_folded(facts) for _, facts in app.journal.under(PREFIX)][::-1]


def get(app: App, name: str) -> tuple[CentreWarning, Progress]:
    """The warning of this id (`WN-2026-0007`, or the number alone of this year), or with this number of its issuer; and how far the agencies are.

    Raises: NotFound.
    """
    require(app, "warnings.view")
    found = _found(app, name)
    return found, progress(found.id, notices.every(app))


def _found(app: App, name: str) -> CentreWarning:
    facts = app.journal.read(PREFIX + identity(f"WN-{local_day(app).year}-", name))
    if facts:
        return _folded(facts)
    known = [one for one in every(app) if one.number.casefold() == name.strip().casefold()]
    if len(known) == 1:
        return known[0]
    if known:
        raise Conflict(Phrase("several warnings have the number {name}: {ids}", name=name, ids=", ".join(one.id for one in known)), hint="give the id")
    raise NotFound(Phrase("there is no warning {name}", name=name), hint="soc warnings list --all")


def listed(app: App, *, closed: bool = False, scope: str | None = "real") -> list[tuple[CentreWarning, Progress]]:
    """Warnings that are open (`closed`: all) with how far the agencies are; what is due first comes first, then the newest."""
    require(app, "warnings.view")
    passed_on = notices.every(app)
    found = [(one, progress(one.id, passed_on)) for one in every(app) if (closed or one.state != CLOSED) and (scope is None or one.scope == scope)]
    return sorted(found, key=lambda pair: (pair[0].state == CLOSED, pair[0].due_at or "9"))


def concerned(app: App, words: str) -> dict[str, list[str]]:
    """Owner → systems of the registry that name these words (all of them, in any case and without accents): in name, operating system, services or domains.

    Raises: UsageError when there is none.
    """
    require(app, "warnings.handle")
    wanted = vi_fold(words).split()
    found: dict[str, list[str]] = {}
    for system in Registry(app.journal, ("systems",)).all(System, local_day(app)):
        text = vi_fold(" ".join((system.name, system.operating_system, *system.services, *system.domains)))
        if wanted and all(word in text for word in wanted):
            found.setdefault(system.owner, []).append(f"{system.name} ({system.id})")
    if not found:
        raise UsageError(Phrase("no system of the registry names {words}", words=repr(words[:80])), hint="soc systems list; or --to AGENCY")
    return found


def fan_out(
    app: App,
    name: str,
    *,
    to: Sequence[str] = (),
    below: Sequence[str] = (),
    annex: Mapping[str, Sequence[str]] = {},
    subject: str = "",
    body: str = "",
    action: str = "",
    due_at: str = "",
) -> Notice:
    """A draft notice that passes a warning on; what is not said is taken from the warning. Agencies that have it already are left out.

    Raises: Conflict (it is closed, everybody has it), UsageError, NotFound.
    """
    require(app, "warnings.handle")
    warning, done = get(app, name)
    if warning.state == CLOSED:
        raise Conflict(Phrase("{id} is {state}", id=warning.id, state=SAID[warning.state]), hint=Phrase("soc warnings show {id}", id=warning.id))
    wanted = notices.recipients_of(app, to, below, annex)
    left = [agency for agency in wanted if agency not in done.agencies]
    if not left:
        raise Conflict("all of these agencies have it already", hint=Phrase("soc warnings show {id}", id=warning.id))
    first = f"{warning.issuer} có cảnh báo số {warning.number}" + (f" ngày {'/'.join(reversed(warning.issued_on.split('-')))}" if warning.issued_on else "")
    found = [f"{first}: {warning.subject}."]
    if warning.vulnerabilities:
        found.append("Lỗ hổng: " + ", ".join(warning.vulnerabilities) + ".")
    return notices.draft(
        app,
        subject or warning.subject,
        body=body or "\n".join(found),
        action=action or warning.asked,
        due_at=due_at or warning.due_at,
        tlp=warning.tlp,
        warning=warning.id,
        to=left,
        annex={agency: lines for agency, lines in annex.items() if agency in left},
        scope=warning.scope,
    )


def close(app: App, name: str, *, summary: str = "", number: str = "", on: str = "", although: str = "", behalf: Behalf | None = None) -> CentreWarning:
    """Close a warning with what is answered to the centre; without a summary one is made of the figures.

    Raises: Conflict while agencies have not acted (unless it says `although` what), or when it is closed; UsageError.
    """
    require(app, "warnings.handle")
    warning, done = get(app, name)
    if warning.state == CLOSED:
        raise Conflict(Phrase("{id} is {state}", id=warning.id, state=SAID[warning.state]), hint=Phrase("soc warnings show {id}", id=warning.id))
    if on:
        notices.a_day(on)
    if len(summary) > _LONGEST["summary"]:
        raise UsageError(Phrase("{field}: {count} characters are too many (most: {most})", field="summary", count=len(summary), most=_LONGEST["summary"]))
    if not although.strip() and not done.agencies:
        raise Conflict(Phrase("{id} was passed on to nobody", id=warning.id), hint="soc warnings fan-out ID --to AGENCY, or --although REASON")
    if not although.strip() and done.missing:
        named = ", ".join(done.missing[:_NAMED]) + (", …" if len(done.missing) > _NAMED else "")
        raise Conflict(
            Phrase("{count} agencies have not acted: {names}", count=len(done.missing), names=named), hint="soc notices remind, or close it --although REASON"
        )
    data = {"summary": summary.strip() or _summary(app, done), "number": number, "on": on, "counts": done.counts}
    fact = NewFact("WarningClosed", data, although.strip(), behalf)
    app.journal.append(PREFIX + warning.id, warning.version, [fact], actor=app.actor.name, scope=warning.scope)
    return _found(app, warning.id)


def _summary(app: App, done: Progress) -> str:
    """The figures as a sentence, in Vietnamese as the answer is."""
    counts, names = done.counts, notices.names_of(app)
    acted = counts["acted"] + counts["verified"]
    text = f"Đến {printed(iso(app.clock.now_us()), app.settings.timezone)}: đã chuyển {len(done.agencies)} đơn vị; {acted} đơn vị đã thực hiện, trong đó {counts['verified']} đã được kiểm tra"
    if done.missing:
        text += f"; {len(done.missing)} đơn vị chưa thực hiện: " + ", ".join(names.get(one, one) for one in done.missing[:_NAMED])
        text += ", …" if len(done.missing) > _NAMED else ""
    return text + "."
