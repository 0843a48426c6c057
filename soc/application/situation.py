"""The situation report: computed of store and journal for a period, recorded with its hash."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from soc.application import access, incidents, notices, outbox, reports, triage
from soc.application.app import App
from soc.application.numbered import local_day
from soc.clock import from_datetime, from_iso, iso, to_datetime
from soc.errors import ConfigError, Phrase, UsageError
from soc.incidents.clocks import Obligation
from soc.incidents.model import Incident
from soc.incidents.notices import SENT
from soc.incidents.workflow import CLOSED, OPEN, REJECTED, STATES
from soc.model.fact import ANY_VERSION, NewFact
from soc.model.message import Attachment, message
from soc.model.query.parse import parse
from soc.organization.model import Agency
from soc.organization.registry import Registry
from soc.ports import AlertQuery, EventQuery
from soc.reports.facts import digest, reporter_of, short
from soc.reports.kinds import situation as kind_of_situation
from soc.reports.situation import Due, OpenIncident, Situation, values
from soc.reports.values import filled

STREAM = "report/situation"
SENT_STREAM = "report/situation-sent"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HOUR = 6
"""The local hour at which a day of reporting ends."""
_DAY_US = 86_400_000_000
_ORDER = ("critical", "high", "medium", "low")


def period(app: App, until: str = "") -> tuple[int, int]:
    """The day up to 06:00 that has ended last, or up to a time that was given.

    Raises: UsageError for a time that has not come.
    """
    now = app.clock.now_us()
    if until:
        end = from_iso(until)
        if end > now:
            raise UsageError(Phrase("{field}: {value} lies in the future", field="until", value=until))
        return end - _DAY_US, end
    zone = ZoneInfo(app.settings.timezone)
    local = to_datetime(now).astimezone(zone)
    end_local = datetime.combine(local.date(), time(HOUR), zone)
    if end_local > local:
        end_local -= timedelta(days=1)
    end = from_datetime(end_local)
    return end - _DAY_US, end


def gather(app: App, until: str = "", *, assessment: str = "", proposal: str = "") -> Situation:
    """The facts of a situation report; exercises and withdrawn alerts count nowhere."""
    access.require(app, "reports.make")
    since_us, until_us = period(app, until)
    since, end = iso(since_us), iso(until_us)
    every = [(one, found) for one, found in incidents.listed(app, states=STATES) if not one.defect]
    registry = Registry(app.journal, ("agencies", "people", "systems"))
    at_work = [(one, duties) for one, duties in every if one.state in OPEN]
    at_work.sort(key=lambda pair: (pair[0].legal_class != "serious", _ORDER.index(pair[0].severity), pair[0].detected_at))
    duties = [(one, duty) for one, found in every for duty in found]
    letters = notices.listed(app)
    now = iso(app.clock.now_us())
    office = reports.office(app)
    return Situation(
        since=since,
        until=end,
        threats=_threats(app, since_us, until_us),
        alerts_open=triage.queue(app, AlertQuery(limit=1)).total,
        incidents_new=sum(since <= one.opened_at < end for one, _ in every),
        incidents_closed=sum(one.state == CLOSED and since <= one.entered.get(CLOSED, "") < end for one, _ in every),
        incidents_serious=sum(one.legal_class == "serious" for one, _ in at_work),
        reports_met=sum(duty.state == "met" and since <= duty.met_at < end for _, duty in duties),
        reports_late=sum(duty.state == "met-late" and since <= duty.met_at < end for _, duty in duties),
        notices_sent=sum(since <= one.at.get(SENT, "") < end for letter in letters for one in letter.recipients),
        notices_unanswered=sum(len(letter.unanswered()) for letter in letters),
        notices_overdue=sum(len(letter.overdue(now)) for letter in letters),
        silences=_silences(app, since_us, until_us),
        open=[OpenIncident(one.id, one.title, _agencies(registry, one), one.state, one.severity, one.legal_class) for one, _ in at_work],
        due=_due(duties, until_us),
        assessment=assessment,
        proposal=proposal,
        office=office,
        reporter=reporter_of(registry, office),
    )


def _threats(app: App, since_us: int, until_us: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for (level, _), count in app.store.threats(EventQuery(where=parse("*"), since_us=since_us, until_us=until_us)).items():
        if level != "none":
            counts[level] = counts.get(level, 0) + count
    return dict(sorted(counts.items()))


def _silences(app: App, since_us: int, until_us: int) -> list[str]:
    """The gaps of real sources that touch the period."""
    found = []
    for gap in app.store.gaps():
        end = gap.until_us or until_us
        if gap.scope == "real" and gap.from_us < until_us and end > since_us:
            said = "chưa có lại" if not gap.until_us else f"đến {short(iso(gap.until_us))}"
            found.append(f"{gap.source}: từ {short(iso(gap.from_us))} {said}")
    return found


def _agencies(registry: Registry, incident: Incident) -> str:
    names = [known.name if (known := registry.get(Agency, one)) else one for one in incident.agencies]
    return ", ".join(names)


def _due(duties: list[tuple[Incident, Obligation]], until_us: int) -> list[Due]:
    soon = iso(until_us + _DAY_US)
    found = [
        Due(one.id, duty.title["vi"], duty.due_at, duty.due_at < iso(until_us))
        for one, duty in duties
        if duty.due_at and duty.state in ("due", "overdue", "tentative") and one.state != REJECTED and duty.due_at <= soon
    ]
    return sorted(found, key=lambda one: (one.due_at, one.incident))


def document(app: App, found: Situation, form: str) -> bytes:
    """The report in a form: docx, txt or json."""
    kind = kind_of_situation()
    printed = filled(kind, values(found, local_day(app, from_iso(found.until))))
    return reports.made(app, kind, printed, form, msgspec.to_builtins(found))


def part(app: App) -> int:
    """Send the report of the day that ended at 06:00 to those of the settings, once; how many got it.

    The message of a day is one and the same, however often this runs and wherever it was stopped; after days switched off only the
    newest day is told. Raises: UsageError for an address that is none.
    """
    recipients = app.settings.reports.situation_to
    if not recipients or app.settings.read_only:
        return 0
    end = iso(period(app)[1])
    last = next(iter(app.journal.latest(1, SENT_STREAM)), None)
    if last is not None and last.data.get("until") == end:
        return 0
    found = gather(app)
    body = document(app, found, "txt")
    subject = " ".join(str(values(found, local_day(app, from_iso(end)))["subject"]).split())
    name = f"bao-cao-nhanh-{local_day(app, from_iso(end)):%Y-%m-%d}.docx"
    try:
        files = [Attachment(name, DOCX, document(app, found, "docx"))]
    except ConfigError:  # no extra [docs], or a template that is refused: the text says the same
        files = []
    messages = [message("situation", end, "daily", to, subject, body.decode(), attachments=files, cause=SENT_STREAM) for to in dict.fromkeys(recipients)]
    sent = outbox.send_each(app, messages)
    data = {"since": found.since, "until": end, "hash": digest(found), "facts": msgspec.to_builtins(found), "to": list(recipients)}
    app.journal.append(SENT_STREAM, ANY_VERSION, [NewFact("SituationSent", data)], actor=app.actor.name)
    return sent


def record(app: App, found: Situation, form: str, name: str, sha256: str) -> None:
    """Record that a situation report was written."""
    data: dict[str, Any] = {
        "since": found.since,
        "until": found.until,
        "hash": digest(found),
        "facts": msgspec.to_builtins(found),
        "format": form,
        "name": name,
        "sha256": sha256,
    }
    app.journal.append(STREAM, ANY_VERSION, [NewFact("SituationReported", data)], actor=app.actor.name)
