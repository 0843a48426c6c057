"""The situation report: one page for the chairman, of the day up to 06:00."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import msgspec

from soc.reports.facts import Office, Organization, short
from soc.reports.kinds import situation as kind
from soc.reports.values import Values, around

MOST_INCIDENTS, MOST_DUE = 5, 4
"""Rows that fit on one page; the rest is counted."""
_STATES = {"new": "Mới", "triaged": "Đang xử lý", "contained": "Đã khoanh vùng", "eradicated": "Đã gỡ bỏ", "recovered": "Đã khôi phục"}
_LONGEST, _LONGEST_AGENCY, _LONGEST_TEXT = 64, 40, 300
"""Characters, so that it stays one page."""
_LEVELS = {"critical": "nghiêm trọng", "high": "cao", "medium": "trung bình", "low": "thấp"}


class OpenIncident(msgspec.Struct, frozen=True):
    """An incident at work."""

    id: str
    title: str
    agency: str
    state: str
    severity: str
    legal_class: str


class Due(msgspec.Struct, frozen=True):
    """A report that is overdue or due within a day."""

    incident: str
    title: str
    due_at: str
    overdue: bool


class Situation(msgspec.Struct, frozen=True):
    """What the report is filled from. Times: RFC 3339 UTC; counts are of the period unless they say open."""

    since: str
    until: str
    threats: dict[str, int]
    alerts_open: int
    incidents_new: int
    incidents_closed: int
    incidents_serious: int
    reports_met: int
    reports_late: int
    notices_sent: int
    notices_unanswered: int
    notices_overdue: int
    silences: list[str]
    open: list[OpenIncident]
    due: list[Due]
    assessment: str
    proposal: str
    office: Office
    reporter: Organization
    schema: int = 1


def values(found: Situation, day: date) -> Values:
    """Every field and list of the report."""
    overdue = sum(one.overdue for one in found.due)
    out: Values = {
        "assessment": _cut(found.assessment or _assessment(found, overdue), _LONGEST_TEXT),
        "figures_threats": _threats(found.threats),
        "figures_alerts": _number(found.alerts_open),
        "figures_incidents": (
            f"mới {found.incidents_new}, kết thúc {found.incidents_closed}; đang xử lý {len(found.open)}"
            f" (trong đó nghiêm trọng theo quy định: {found.incidents_serious})"
        ),
        "figures_reports": f"đã gửi đúng hạn {found.reports_met}, gửi muộn {found.reports_late}; đang quá hạn {overdue}",
        "figures_notices": f"đã gửi {found.notices_sent} đơn vị; chưa phản hồi {found.notices_unanswered}, quá hạn thực hiện {found.notices_overdue}",
        "figures_silence": ("; ".join(found.silences[:2]) + (f"; và {len(found.silences) - 2} nguồn khác" if len(found.silences) > 2 else ""))  # noqa: PLR2004
        or "không có",
        "open_incidents": [
            {
                "id": one.id,
                "title": _cut(one.title, _LONGEST),
                "agency": _cut(one.agency, _LONGEST_AGENCY),
                "state": f"{_STATES.get(one.state, one.state)}; "
                + ("nghiêm trọng theo quy định" if one.legal_class == "serious" else _LEVELS.get(one.severity, one.severity)),
            }
            for one in found.open[:MOST_INCIDENTS]
        ]
        + _rest("open_incidents", len(found.open) - MOST_INCIDENTS),
        "due": [
            {"due": short(one.due_at) + (" QUÁ HẠN" if one.overdue else ""), "what": one.title.partition(":")[0], "id": one.incident}
            for one in found.due[:MOST_DUE]
        ]
        + _rest("due", len(found.due) - MOST_DUE),
        "proposal": _cut(found.proposal, _LONGEST_TEXT),
    }
    period = f"từ {short(found.since)} đến {short(found.until)}"
    return (
        out
        | around(
            kind(),
            issuer=found.reporter.name,
            superior=found.reporter.superior,
            place=found.office.place,
            sign=found.office.sign,
            day=day,
            subject=kind().subject.replace("{period}", period),
            addressee="",
            opening="",
            copies=found.office.copies,
            signer=(found.office.signer_title, found.office.signer_name),
            first_copy="Chủ tịch UBND tỉnh (để b/c)",
        )
        | {"addressee": ""}
    )


def _rest(name: str, count: int) -> list[dict[str, str]]:
    columns = {"open_incidents": ("id", "title", "agency", "state"), "due": ("due", "what", "id")}[name]
    return [dict.fromkeys(columns, "") | {columns[1]: f"… và {count} mục khác"}] if count > 0 else []


def _cut(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _number(count: int) -> str:
    return f"{count:,}".replace(",", ".")


def _threats(counts: Mapping[str, int]) -> str:
    parts = [f"{name} {_number(counts[level])}" for level, name in _LEVELS.items() if counts.get(level)]
    return _number(sum(counts.get(level, 0) for level in _LEVELS)) + (f" ({', '.join(parts)})" if parts else "")


def _assessment(found: Situation, overdue: int) -> str:
    """A sentence of the figures, where nobody wrote one."""
    grave = sum(one.severity == "critical" or one.legal_class == "serious" for one in found.open)
    parts = [
        f"Có {len(found.open)} sự cố đang xử lý, {grave} ở mức nghiêm trọng." if found.open else "Không có sự cố đang xử lý.",
        f"{overdue} báo cáo theo quy định đang quá hạn, cần chỉ đạo ngay." if overdue else "Không có báo cáo theo quy định bị quá hạn.",
    ]
    if found.silences:
        parts.append(f"{len(found.silences)} nguồn giám sát bị gián đoạn trong kỳ: số liệu của thời gian đó chưa đầy đủ.")
    return " ".join(parts)
