"""What stands in the letter of a warning notice to one recipient: its own annex and code, and nobody else's."""

from __future__ import annotations

from datetime import date

from soc.incidents.letter import ANSWER, day_of, printed
from soc.incidents.notices import Notice, Recipient
from soc.reports.facts import Office, Organization
from soc.reports.kinds import FIELDS, LISTS
from soc.reports.kinds import notice as kind
from soc.reports.values import EXERCISE, Values, around


def values(notice: Notice, one: Recipient, name: str, office: Office, issuer: Organization, day: date, zone: str) -> Values:
    """Every field and list that the template may name; `day`: of the draft, where no signature has a date yet."""
    exercise = notice.scope != "real"
    out: Values = {**dict.fromkeys(FIELDS, ""), **{known: [] for known in LISTS}}
    out |= {
        "title": notice.subject,
        "notice_body": notice.body,
        "notice_action": notice.action,
        "notice_due": f"trước {printed(notice.due_at, zone)}" if notice.due_at else "",
        "notice_code": one.code,
        "notice_answer": ANSWER,
        "notice_tlp": f"TLP:{notice.tlp}",
        "annex": [{"number": str(number), "item": item} for number, item in enumerate(one.annex, 1)],
    }
    out |= around(
        kind(),
        issuer=issuer.name,
        superior=issuer.superior,
        place=office.place,
        sign=office.sign,
        day=date.fromisoformat(notice.signed_on) if notice.signed_on else day,
        subject=("[DIỄN TẬP] " if exercise else "") + notice.subject,
        addressee=name,
        opening="",
        copies=office.copies,
        signer=(office.signer_title, notice.signer or office.signer_name),
        mark=EXERCISE if exercise else "",
    )
    if notice.number:
        out["number_line"] = f"Số: {notice.number}"
    if notice.urgent and not notice.confirmed:
        out["opening"] = f"Thông báo khẩn theo chỉ đạo của {notice.signer}, ngày {day_of(notice.approved_at, zone)}; văn bản ký sẽ gửi sau."
    return out
