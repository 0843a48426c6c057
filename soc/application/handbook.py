"""The handbook: what is printed today for the day our own host is down."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from soc.application import access, incidents, playbooks, reports
from soc.application.app import App
from soc.application.numbered import local_day
from soc.clock import from_iso, iso
from soc.incidents.clocks import Obligation, regime_at
from soc.incidents.model import Incident
from soc.incidents.playbook import T0, WHO, Playbook
from soc.model.fact import ANY_VERSION, NewFact
from soc.organization import roster
from soc.organization.model import Agency, Partner, Person, Shift
from soc.organization.registry import Registry
from soc.reports.facts import STATES, reporter_of, short
from soc.reports.handbook import Called, Guide, Handbook, OpenOne, pdf
from soc.reports.kinds import of_regime

STREAM = "report/handbook"
_AHEAD_US = 14 * 86_400_000_000
_SORTS = {"national-centre": "trung tâm quốc gia", "police": "công an", "provider": "nhà cung cấp dịch vụ", "vendor": "hãng", "other": "khác"}
_UNITS = {"m": "phút", "h": "giờ", "d": "ngày"}


def gather(app: App) -> Handbook:
    """Contacts, shifts, incidents at work and playbooks as they are now.

    Raises: NotAllowed.
    """
    access.require(app, "reports.make")
    registry = Registry(app.journal, ("agencies", "people", "partners", "systems", "roster"))
    today = local_day(app)
    people = registry.all(Person, today)
    agencies = registry.all(Agency, today)
    names = {one.id: one.name for one in agencies}
    found, _errors = playbooks.load(app.settings)
    return Handbook(
        made_at=iso(app.clock.now_us()),
        made_by=app.actor.name,
        office=reporter_of(registry, reports.office(app)),
        shifts=_shifts(app, registry),
        team=[
            Called(one.name, names.get(one.agency, one.agency), one.phone, one.email, one.title)
            for one in people
            if one.team or one.role in ("lead", "analyst")
        ],
        partners=[Called(one.name, _SORTS[one.sort], one.phone, one.email) for one in registry.all(Partner, today)],
        agencies=_contacts(agencies, people),
        incidents=[_open(one, duties, names) for one, duties in incidents.listed(app)],
        guides=[_guide(one) for one in found],
    )


def _shifts(app: App, registry: Registry) -> list[tuple[str, str, str, str]]:
    now = app.clock.now_us()
    counting = [one for one in roster.counting(registry.all(Shift)) if from_iso(one.end) > now and from_iso(one.begin) < now + _AHEAD_US]
    rows = []
    for one in sorted(counting, key=lambda shift: (shift.begin, shift.post)):
        person = registry.get(Person, one.person)
        rows.append((short(one.begin), short(one.end), person.name if person else one.person, person.phone if person else ""))
    return rows


def _contacts(agencies: list[Agency], people: list[Person]) -> list[tuple[str, str, str, str]]:
    """A row for each contact person, and one for agencies that have none."""
    rows = []
    for agency in sorted(agencies, key=lambda one: (one.tree, one.level != "province", one.level, one.name)):
        contacts = [one for one in people if one.agency == agency.id and one.role == "contact"]
        rows += [(agency.name, one.name, one.phone or agency.phone, one.email or agency.email) for one in contacts]
        if not contacts:
            rows.append((agency.name, "", agency.phone, agency.email))
    return rows


def _open(one: Incident, duties: list[Obligation], names: dict[str, str]) -> OpenOne:
    return OpenOne(
        one.id,
        one.title,
        STATES.get(one.state, one.state),
        ", ".join(names.get(agency, agency) for agency in one.agencies),
        one.owner,
        one.detected_at,
        [(duty.due_at, duty.title["vi"], duty.state == "overdue") for duty in duties if duty.state in ("tentative", "due", "overdue")],
        [(task.title, task.owner, short(task.due_at)) for task in one.tasks if not task.done_at],
    )


def _guide(one: Playbook) -> Guide:
    tasks = [(job.title.vi, WHO[job.who].vi, _span(job.due), list(job.how.vi), job.record.vi) for job in one.tasks]
    return Guide(one.title.vi, one.summary.vi, one.national_centre.vi, tasks)


def _span(text: str) -> str:
    span = text.removeprefix(T0)
    return f"{span[:-1]} {_UNITS.get(span[-1:], span[-1:])}" + (" từ khi phát hiện" if span != text else "")


def write(app: App, put: Callable[[bytes], str]) -> tuple[str, str]:
    """Make the PDF, let `put` write it, record name and hash; both.

    Raises: what `put` raises; nothing is recorded then.
    """
    book = gather(app)
    data = pdf(book, of_regime(regime_at(book.made_at).id))
    name, found = put(data), sha256(data).hexdigest()
    fact = NewFact("HandbookPrinted", {"name": name, "sha256": found, "incidents": [one.id for one in book.incidents]})
    app.journal.append(STREAM, ANY_VERSION, [fact], actor=app.actor.name)
    return name, found
