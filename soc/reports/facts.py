"""The one set of facts that a document is filled from: what the journal, the registry and the regime know of an incident.

A pure function of those; nothing in it is typed a second time. Its hash stands in the journal with every draft.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from hashlib import sha256

import msgspec

from soc.clock import from_iso, to_datetime
from soc.incidents.classes import GROUPS
from soc.incidents.clocks import ZONE, Obligation, Regime
from soc.incidents.model import Incident
from soc.incidents.notices import Notice
from soc.incidents.workflow import CLOSED
from soc.model.fact import Fact
from soc.organization.model import Agency, Person, System
from soc.organization.registry import Registry
from soc.reports.kinds import Kind
from soc.reports.model import Report

SCHEMA = 1
MOST_TEXT = 4_000
"""Characters of one text of a document; longer ones belong into an annex."""
_MOST_ROWS, _MOST_CELL, _MOST_INDICATORS = 50, 300, 60
CUT = " … [cắt bớt; đủ trong hồ sơ sự cố]"


class Office(msgspec.Struct, frozen=True):
    """Who issues documents, by the settings."""

    agency: str = ""
    place: str = ""
    sign: str = ""
    addressee: str = ""
    copies: tuple[str, ...] = ()
    signer_title: str = ""
    signer_name: str = ""
    contact: str = ""


class Organization(msgspec.Struct, frozen=True):
    """An agency as documents name it."""

    id: str = ""
    name: str = ""
    address: str = ""
    phone: str = ""
    email: str = ""
    superior: str = ""


class Contact(msgspec.Struct, frozen=True):
    """Somebody to call."""

    name: str = ""
    title: str = ""
    phone: str = ""
    email: str = ""


class SystemFacts(msgspec.Struct, frozen=True):
    """An information system as the registry knows it."""

    id: str
    name: str = ""
    owner: str = ""
    operator: str = ""
    level: str = ""
    decision: str = ""
    hosting: str = ""
    line: str = ""
    os: str = ""
    services: str = ""
    protection: str = ""
    public_addresses: str = ""
    domains: str = ""
    purpose: str = ""


class Correction(msgspec.Struct, frozen=True):
    """A time of detection that was put right."""

    at: str
    by: str
    before: str
    after: str
    reason: str


class Earlier(msgspec.Struct, frozen=True):
    """A report that was made before this one."""

    kind: str
    ordinal: int
    title: str
    number: str = ""
    signed_on: str = ""
    sent_at: str = ""
    sent_to: str = ""
    first: bool = False


class Step(msgspec.Struct, frozen=True):
    """Something that happened."""

    at: str
    what: str
    who: str


class TaskFacts(msgspec.Struct, frozen=True):
    """Something to do or done."""

    title: str
    owner: str = ""
    due_at: str = ""
    done_at: str = ""
    result: str = ""


class Duty(msgspec.Struct, frozen=True):
    """An obligation with its deadline."""

    id: str
    title: str
    to: str
    due_at: str
    source: str = ""


class FactSet(msgspec.Struct, frozen=True):
    """Everything that a report of this kind may say. Times: RFC 3339 UTC."""

    kind: str
    ordinal: int
    regime: str
    regime_title: str
    term: str
    incident: str
    title: str
    summary: str
    state: str
    severity: str
    rsit: str
    group: str
    legal_class: str
    legal_reason: str
    tlp: str
    scope: str
    detected_at: str
    detected_by: str
    channel: str
    reported_by: str
    closed_at: str
    resolution: str
    personal_data: bool
    office: Office
    reporter: Organization
    contact: Contact
    agencies: list[str]
    systems: list[SystemFacts]
    corrections: list[Correction]
    earlier: list[Earlier]
    timeline: list[Step]
    tasks: list[TaskFacts]
    indicators: list[dict[str, str]]
    duties: list[Duty]
    notices: list[str]
    fields: dict[str, str]
    schema: int = SCHEMA


def encoded(facts: msgspec.Struct) -> bytes:
    """The bytes that the hash of a fact set is over: JSON with sorted keys."""
    return msgspec.json.encode(facts, order="deterministic")


def digest(facts: msgspec.Struct) -> str:
    """The hash of a fact set, in hex."""
    return sha256(encoded(facts)).hexdigest()


def gather(
    kind: Kind,
    ordinal: int,
    incident: Incident,
    stream: Sequence[Fact],
    *,
    registry: Registry,
    regime: Regime,
    duties: Iterable[Obligation],
    reports: Sequence[Report],
    titles: dict[str, str],
    notices: Iterable[Notice],
    office: Office,
    fields: dict[str, str],
    day: date,
) -> FactSet:
    """The facts for one report. `titles`: kind of report → its Vietnamese title, `first…` marks as in the kinds; `day`: today."""
    systems = [_system(registry, key) for key in incident.systems]
    reporter = _reporter(registry, office, incident)
    names = {key: one.name for one in registry.all(Person) for key in (one.id, one.account) if key}
    return FactSet(
        kind=kind.id,
        ordinal=ordinal,
        regime=regime.id,
        regime_title=regime.title["vi"],
        term=regime.incident,
        incident=incident.id,
        title=_cut(incident.title),
        summary=_cut(incident.summary),
        state=incident.state,
        severity=incident.severity,
        rsit=incident.rsit,
        group=GROUPS.get(incident.class_["group"], ""),
        legal_class=incident.legal_class,
        legal_reason=_cut(incident.legal_reason),
        tlp=incident.tlp,
        scope=incident.scope,
        detected_at=incident.detected_at,
        detected_by=_cut(incident.detected_by, _MOST_CELL),
        channel=incident.channel,
        reported_by=_cut(incident.reported_by, _MOST_CELL),
        closed_at=incident.entered.get(CLOSED, ""),
        resolution=_cut(incident.resolution),
        personal_data=incident.personal_data,
        office=office,
        reporter=reporter,
        contact=_contact(registry, office, reporter.id, day),
        agencies=[_name(registry, key) for key in incident.agencies],
        systems=systems,
        corrections=_corrections(stream, names),
        earlier=[_earlier(one, titles) for one in reports if one.signed or one.sent],
        timeline=_timeline(stream, titles, names),
        tasks=[
            TaskFacts(_cut(one.title, _MOST_CELL), _who(one.owner, names), one.due_at, one.done_at, _cut(one.result, _MOST_CELL))
            for one in incident.tasks[:_MOST_ROWS]
        ],
        indicators=[
            {"kind": str(one.get("type") or one.get("kind") or ""), "value": _cut(str(one.get("value", "")), _MOST_CELL)}
            for one in incident.observables[:_MOST_INDICATORS]
        ],
        duties=[Duty(one.id, one.title["vi"], one.to, one.due_at, one.source) for one in duties if one.state != "void"],
        notices=[f"{one.number or one.id}: {_cut(one.subject, _MOST_CELL)}" for one in notices if one.incident == incident.id],
        fields=fields,
    )


def _cut(text: str, most: int = MOST_TEXT) -> str:
    return text if len(text) <= most else text[:most] + CUT


def _name(registry: Registry, key: str) -> str:
    found = registry.get(Agency, key)
    return found.name if found else key


def _reporter(registry: Registry, office: Office, incident: Incident) -> Organization:
    """Who reports: the office of the settings, else whoever operates or owns the system, else the agency concerned."""
    key = office.agency
    for name in () if key else incident.systems:
        system = registry.get(System, name)
        if system is not None:
            key = key or system.operator or system.owner
    return _organization(registry, key or next(iter(incident.agencies), ""))


def reporter_of(registry: Registry, office: Office) -> Organization:
    """The office of the settings as documents name it; without one, the agency at the top of the tree."""
    top = next((one.id for one in registry.all(Agency) if not one.parent and one.tree == "government"), "")
    return _organization(registry, office.agency or top)


def _organization(registry: Registry, key: str) -> Organization:
    found = registry.get(Agency, key)
    if found is None:
        return Organization(key, key)
    return Organization(found.id, found.name, found.address, found.phone, found.email, _name(registry, found.parent) if found.parent else "")


def _contact(registry: Registry, office: Office, agency: str, day: date) -> Contact:
    """The person of the settings, else a contact person of the agency, those with a telephone first."""
    chosen = registry.get(Person, office.contact) if office.contact else None
    if chosen is None:
        people = [one for one in registry.all(Person, day) if one.agency == agency]
        people.sort(key=lambda one: (one.role != "contact", not one.phone, one.id))
        chosen = people[0] if people else None
    return Contact(chosen.name, chosen.title, chosen.phone, chosen.email) if chosen else Contact()


def _system(registry: Registry, key: str) -> SystemFacts:
    one = registry.get(System, key)
    if one is None:
        return SystemFacts(key, key)
    return SystemFacts(
        one.id,
        one.name,
        _name(registry, one.owner),
        _name(registry, one.operator) if one.operator else "",
        str(one.level) if one.level else "",
        " ".join(filter(None, (one.decision, one.decision_date.strftime("%d/%m/%Y") if one.decision_date else ""))),
        one.hosting_provider,
        one.line_provider,
        one.operating_system,
        ", ".join(one.services),
        one.protection,
        ", ".join(one.public_addresses),
        ", ".join(one.domains),
        one.purpose or one.note,
    )


def _who(actor: str, names: Mapping[str, str]) -> str:
    """Who did something, as a document names them: by name where the registry has one; a policy or duty of the program as what it is."""
    return names.get(actor, "Hệ thống giám sát" if actor.startswith("policy/") or actor in ("policies", "duties") else actor)


def _corrections(stream: Sequence[Fact], names: Mapping[str, str]) -> list[Correction]:
    found, before = [], ""
    for fact in stream:
        after = str(fact.data.get("detected_at", "")) if fact.kind in ("IncidentOpened", "IncidentEdited", "IncidentMoved") else ""
        if after and before and after != before:
            found.append(Correction(fact.at, _who(fact.actor, names), before, after, _cut(fact.reason, _MOST_CELL)))
        before = after or before
    return found


def _earlier(report: Report, titles: dict[str, str]) -> Earlier:
    signed, sent = report.signed, report.sent[0] if report.sent else None
    return Earlier(
        report.kind,
        report.ordinal,
        titles.get(report.kind, report.kind),
        signed.number if signed else sent.reference if sent else "",
        signed.signed_on if signed else "",
        sent.at if sent else "",
        "; ".join(dict.fromkeys(one.to for one in report.sent)),
        f"first {report.kind}" in titles,
    )


STATES = {
    "new": "Mới phát hiện, đang xác minh",
    "triaged": "Đã xác minh là sự cố, đang xử lý",
    "contained": "Đã khoanh vùng, ngăn chặn; đang xử lý nguyên nhân",
    "eradicated": "Đã gỡ bỏ nguyên nhân, đang khôi phục",
    "recovered": "Đã khôi phục hoạt động, đang theo dõi",
    "closed": "Đã xử lý xong",
    "rejected": "Xác minh không phải sự cố",
    "merged": "Đã gộp vào sự cố khác",
}
"""What a state is called in documents."""


def _timeline(stream: Sequence[Fact], titles: dict[str, str], names: Mapping[str, str]) -> list[Step]:
    """What happened, in order of its time; the newest are kept when there is too much."""
    steps = [step for fact in stream if (step := _step(fact, titles, names)) is not None]
    return sorted(steps, key=lambda one: one.at)[-_MOST_ROWS:]


def _step(fact: Fact, titles: dict[str, str], names: Mapping[str, str]) -> Step | None:
    data = fact.data
    at = str(data.get("at") or fact.at)
    match fact.kind:
        case "IncidentOpened":
            what = "Tiếp nhận thông tin, mở hồ sơ sự cố"
        case "IncidentMoved":
            what = STATES.get(str(data.get("to")), str(data.get("to"))) + (f": {fact.reason}" if fact.reason else "")
        case "IncidentEdited" if "legal_class" in data:
            what = f"Phân loại: {LEGAL.get(str(data['legal_class']), '')} ({fact.reason})"
        case "IncidentEdited" if "detected_at" in data:
            what = f"Hiệu chỉnh thời điểm phát hiện thành {when(str(data['detected_at']))} ({fact.reason})"
        case "NoteAdded":
            what = str(data.get("text", ""))
        case "TaskFinished":
            what = "Hoàn thành nhiệm vụ" + (f": {data['result']}" if data.get("result") else "")
        case "ReportSent":
            what = f"Gửi {titles.get(str(data.get('kind')), 'báo cáo')} tới {data.get('to', '')}"
        case _:
            return None
    return Step(at, _cut(what, _MOST_CELL), fact.behalf.person if fact.behalf else _who(fact.actor, names))


LEGAL = {"undecided": "chưa quyết định", "ordinary": "sự cố thông thường", "serious": "sự cố nghiêm trọng"}
"""What a legal class is called in documents."""


def when(moment: str) -> str:
    """A time as forms have it: `22 giờ 05 phút, ngày 21/11/2026` where the law is in force ("" = none)."""
    if not moment:
        return ""
    return to_datetime(from_iso(moment)).astimezone(ZONE).strftime("%H giờ %M phút, ngày %d/%m/%Y")


def short(moment: str) -> str:
    """A time for a narrow column: `22:05 21/11/2026`."""
    return to_datetime(from_iso(moment)).astimezone(ZONE).strftime("%H:%M %d/%m/%Y") if moment else ""
