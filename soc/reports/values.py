"""What stands in a document: the fields and lists of a fact set as text, and which of them are missing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from soc.model.text import display_safe
from soc.reports.facts import LEGAL, STATES, FactSet, short, when
from soc.reports.kinds import FIELDS, LISTS, SETTABLE, Kind

MISSING = "(chưa có)"
NONE = "(không có)"
EXERCISE = "DIỄN TẬP – KHÔNG PHẢI SỰ CỐ THẬT"
Values = dict[str, "str | list[dict[str, str]]"]
_CHANNELS = {
    "telephone": "điện thoại",
    "letter": "văn bản",
    "hotline": "đường dây nóng",
    "mail": "thư điện tử",
    "alert": "hệ thống giám sát",
    "national-centre": "cảnh báo của trung tâm quốc gia",
    "in-person": "trực tiếp",
    "web": "trang thông tin",
}

# Reference: XML 1.0, 2.2 Char
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text_of(value: Any) -> str:
    """A value as it may stand in a document: NFC, line breaks kept, everything that steers or hides shown."""
    lines = str(value).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return _NO_XML.sub("", "\n".join(display_safe(unicodedata.normalize("NFC", line)) for line in lines))


def values(kind: Kind, facts: FactSet, day: date, at: str = "") -> Values:
    """Every field and list that a template may name; `day` and `at` (RFC 3339 UTC) are those of the draft. What is not known is ""."""
    given = facts.fields
    found: Values = {
        **dict.fromkeys(FIELDS, ""),
        **{name: given.get(name, "") for name in SETTABLE},
        **_about(facts),
        **_systems(facts),
        **_texts(facts),
        **_lists(facts),
    }
    for name in LISTS:
        found.setdefault(name, [])
    found["reported_time"] = when(at) or f"ngày {day:%d/%m/%Y}"
    found |= head(kind, facts, day)
    return found


def _about(facts: FactSet) -> Values:
    first = next((one for one in facts.earlier if one.first and one.number), None)
    corrected = "".join(f"\n(hiệu chỉnh lúc {when(one.at)}: trước đó ghi {when(one.before)}; lý do: {one.reason})" for one in facts.corrections)
    how = " – ".join(filter(None, (facts.detected_by, f"qua {_CHANNELS[facts.channel]}" if facts.channel in _CHANNELS else "", facts.reported_by)))
    legal = LEGAL.get(facts.legal_class, facts.legal_class) if facts.legal_class != "undecided" else ""
    return {
        "incident_id": facts.incident,
        "title": facts.title,
        "ordinal": str(facts.ordinal),
        "incident_class": "; ".join(filter(None, (facts.group, facts.rsit))),
        "legal_class": " – ".join(filter(None, (legal, facts.legal_reason))) if legal else "",
        "detected_at": when(facts.detected_at) + corrected,
        "detected_how": how,
        "closed_at": when(facts.closed_at),
        "summary": facts.summary,
        "first_report": f"số {first.number}, ngày {_day(first.signed_on)}" if first else "",
        "first_number": first.number if first else "",
        "first_date": _day(first.signed_on) if first else "",
        "reporter_name": facts.reporter.name,
        "reporter_address": facts.reporter.address,
        "reporter_phone": facts.reporter.phone,
        "reporter_email": facts.reporter.email,
        "contact_name": facts.contact.name,
        "contact_title": facts.contact.title,
        "contact_phone": facts.contact.phone,
        "contact_email": facts.contact.email,
    }


def _day(text: str) -> str:
    try:
        return f"{date.fromisoformat(text):%d/%m/%Y}"
    except ValueError:
        return text


def _systems(facts: FactSet) -> Values:
    """The fields of the systems: of one plain, of several each with its name."""
    names = ("name", "owner", "operator", "level", "hosting", "line", "os", "services", "protection", "public_addresses", "domains", "purpose")
    found: Values = {}
    for name in names:
        parts = [(one.name, str(getattr(one, name))) for one in facts.systems]
        if name == "level":
            by_id = {one.name: one.decision for one in facts.systems}
            parts = [(of, f"Cấp độ {text}" + (f" (Quyết định {by_id[of]})" if by_id[of] else "") if text else "") for of, text in parts]
        if len(parts) == 1 or name == "name":
            found[f"system_{name}"] = "\n".join(text for _, text in parts if text)
        else:
            found[f"system_{name}"] = "\n".join(f"{of}: {text}" for of, text in parts if text)
    return found


def _texts(facts: FactSet) -> Values:
    """What a person may write and the journal can say as well; what was written counts."""
    given = facts.fields
    done = "\n".join(f"- {one.title}" + (f": {one.result}" if one.result else "") for one in facts.tasks if one.done_at)
    left = "\n".join(f"- {one.title}" + (f" ({one.owner})" if one.owner else "") for one in facts.tasks if not one.done_at)
    sent = "; ".join(dict.fromkeys(one.sent_to for one in facts.earlier if one.sent_to))
    return {
        "status": given.get("status", "") or STATES.get(facts.state, facts.state),
        "measures": given.get("measures", "") or done,
        "next_steps": given.get("next_steps", "") or left,
        "result": given.get("result", "") or facts.resolution,
        "cause": given.get("cause", ""),
        "notified": given.get("notified", "") or sent or "; ".join(facts.notices),
        "secret": given.get("secret", "") or ("Có" if facts.tlp in ("RED", "AMBER+STRICT", "AMBER") else "Không") + f" (TLP:{facts.tlp})",
    }


def _lists(facts: FactSet) -> Values:
    return {
        "timeline": [{"at": short(one.at), "what": one.what, "who": one.who} for one in facts.timeline],
        "tasks": [
            {
                "number": str(number),
                "title": one.title,
                "owner": one.owner,
                "due": " ".join(filter(None, (short(one.due_at), f"xong {short(one.done_at)}" if one.done_at else "", one.result))),
            }
            for number, one in enumerate(facts.tasks, 1)
        ],
        "indicators": [{"kind": one["kind"], "value": one["value"]} for one in facts.indicators],
        "reports": [
            {
                "kind": one.title + (f" (lần {one.ordinal})" if one.ordinal > 1 else ""),
                "number": one.number,
                "date": _day(one.signed_on),
                "sent": " ".join(filter(None, (short(one.sent_at), one.sent_to))),
            }
            for one in facts.earlier
        ],
        "open_incidents": [],
        "due": [],
    }


def head(kind: Kind, facts: FactSet, day: date) -> Values:
    """What stands around the sections: head, addressee, closing, copies, signature."""
    office = facts.office
    issuer = facts.reporter.name
    subject = f"{kind.subject}: {facts.title}"
    if facts.ordinal > 1:
        subject += f" (lần {facts.ordinal})"
    met = [one for one in facts.duties if one.id in kind.meets]
    if not met and kind.continues:  # no deadline of its own, or none of this incident: it goes where the first report went
        met = [one for one in facts.duties if one.id != "personal-data-notice"]
    to = "; ".join(dict.fromkeys(one.to for one in met)) or facts.reporter.superior
    exercise = facts.scope != "real"
    law = facts.regime_title
    if kind.id == "personal-data-notice":
        law = next((one.source for one in met if one.source), kind.source.partition("(")[0].strip())
    return around(
        kind,
        issuer=issuer,
        superior=facts.reporter.superior,
        place=office.place,
        sign=office.sign,
        day=day,
        subject=("[DIỄN TẬP] " if exercise else "") + subject,
        addressee=facts.fields.get("addressee", "") or office.addressee or to,
        opening=f"Căn cứ {law}, {issuer or MISSING} {'thông báo' if kind.name == 'THÔNG BÁO' else 'đề nghị' if kind.form == 'letter' else 'báo cáo'} như sau:",
        copies=office.copies,
        signer=(office.signer_title, office.signer_name),
        mark=EXERCISE if exercise else "",
    )


def around(
    kind: Kind,
    *,
    issuer: str,
    superior: str,
    place: str,
    sign: str,
    day: date,
    subject: str,
    addressee: str,
    opening: str,
    copies: Sequence[str],
    signer: tuple[str, str],
    mark: str = "",
    first_copy: str = "Như trên",
) -> Values:
    """The head and foot of any document."""
    return {
        "superior": superior.upper(),
        "issuer": issuer.upper() or MISSING,
        "number_line": "Số:        /" + "-".join(filter(None, (kind.sign if kind.form == "report" else "", sign))),
        "place_date": f"{place or '…………'}, ngày {day:%d} tháng {day:%m} năm {day:%Y}",
        "name": kind.name,
        "subject": subject,
        "addressee": addressee[:1].upper() + addressee[1:] or MISSING,
        "opening": opening,
        "closing": kind.closing.replace("{issuer}", issuer or MISSING).rstrip(".") + ("./." if kind.closing else ""),
        "copies": [{"name": f"- {one};"} for one in dict.fromkeys((first_copy, *copies))] + [{"name": "- Lưu: VT."}],
        "signer_title": signer[0].upper() or "THỦ TRƯỞNG CƠ QUAN",
        "signer_name": signer[1],
        "mark": mark,
    }


def missing(kind: Kind, found: Mapping[str, object]) -> list[str]:
    """The fields that this kind asks for and nobody has given, in order."""
    return [name for name in kind.required if not found.get(name)]


def filled(kind: Kind, found: Values) -> Values:
    """The values as they are printed: what is missing says so, empty lists say that there is nothing."""
    out: Values = dict(found)
    for section in kind.sections:
        for name in section.fields:
            required = name in section.rows or name == section.text
            out[name] = found.get(name) or (MISSING if required else NONE)
        if section.list and not found.get(section.list):
            columns = list(LISTS[section.list])
            out[section.list] = [dict.fromkeys(columns, "") | {columns[1 if len(columns) > 1 else 0]: NONE}]
    return out
