"""What recipients of a notice read: the letter with its own annex and code, reminders, second letters, and the short form for telephones.

Always in Vietnamese, as official letters are; times as forms print them (dd/mm/yyyy HH giờ MM phút) in the zone of the users.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

from soc.clock import from_iso, to_datetime
from soc.incidents.notices import FIRST, REMINDER, Notice, Recipient

RECEIVED_WORD, ACTED_WORD = "ĐÃ NHẬN", "ĐÃ THỰC HIỆN"
"""What recipients write on a line of their own, so that the answer is understood without a person."""
ANSWER = f"Trả lời thư này, ghi riêng một dòng: {RECEIVED_WORD} — khi đã nhận; {ACTED_WORD} — khi đã làm xong; hoặc gọi điện và đọc mã này."
MOST_SHORT = 300


def printed(moment: str, zone: str) -> str:
    """A time as forms print it: `21/11/2026 08 giờ 05 phút`."""
    return to_datetime(from_iso(moment)).astimezone(ZoneInfo(zone)).strftime("%d/%m/%Y %H giờ %M phút") if moment else ""


def day_of(moment: str, zone: str) -> str:
    """The day of a time as forms print it."""
    return printed(moment, zone)[:10]


def day(text: str) -> str:
    """A date as forms print it: `21/11/2026`."""
    return "/".join(reversed(text.split("-")))


def letter(notice: Notice, one: Recipient, name: str, zone: str, *, annex: bool = True) -> str:
    """The text that one recipient gets, with its own annex and code; `annex=False`: the annex goes as a file of its own."""
    lines = [
        f"Số: {notice.number or '…'}" + (f"    Ngày: {day(notice.signed_on)}" if notice.signed_on else ""),
        f"Kính gửi: {name}",
        "",
        f"Trích yếu: {notice.subject}",
        "",
        *([notice.body, ""] if notice.body else []),
    ]
    if notice.action:
        lines += [f"Đề nghị đơn vị: {notice.action}"]
    if notice.due_at:
        lines += [f"Thời hạn thực hiện: trước {printed(notice.due_at, zone)}"]
    if notice.urgent and not notice.confirmed:
        lines += [f"(Thông báo khẩn theo chỉ đạo của {notice.signer}; văn bản ký số sẽ gửi sau.)"]
    lines += ["", f"TLP:{notice.tlp}", *_how_to_answer(one)]
    if one.annex and annex:
        lines += ["", *_annex(one)]
    elif one.annex:
        lines += ["", f"Phụ lục: tệp đính kèm, {len(one.annex)} mục."]
    return "\n".join(lines) + "\n"


def annex(one: Recipient) -> str:
    """The annex of one recipient as a text of its own."""
    return "\n".join(_annex(one)) + "\n"


def _annex(one: Recipient) -> list[str]:
    return ["PHỤ LỤC (chỉ gồm thông tin của đơn vị)", *(f"{number}. {item}" for number, item in enumerate(one.annex, 1))]


def _how_to_answer(one: Recipient) -> list[str]:
    return [
        f"Mã xác nhận của đơn vị: {one.code}",
        ANSWER,
    ]


def mail_text(notice: Notice, one: Recipient, name: str, zone: str, kind: str, number: int, *, annex: bool = True) -> str:
    """The text of the mail: the letter as an advance copy, a reminder, or the second letter."""
    own = letter(notice, one, name, zone, annex=annex)
    if kind == FIRST:
        return "(Bản điện tử gửi trước; văn bản ký số gửi qua hệ thống quản lý văn bản.)\n\n" + own
    since = printed(one.at.get("sent", ""), zone)
    if kind == REMINDER:
        return f"NHẮC LẦN {number}: đơn vị chưa báo cáo việc thực hiện văn bản dưới đây, gửi {since}.\n\n" + own
    last = notice.second[-1] if notice.second else None
    of = f" số {last.number} ngày {day(last.on)}, người ký: {last.signer}," if last is not None else ""
    return f"VĂN BẢN ĐÔN ĐỐC{of} về văn bản dưới đây, gửi {since}; đến nay chưa nhận được báo cáo của đơn vị.\n\n" + own


def mail_subject(notice: Notice, one: Recipient, kind: str, number: int) -> str:
    """The subject of the mail; the code stands in it, so that every answer brings it back."""
    mark = "" if kind == FIRST else f"[Nhắc lần {number}] " if kind == REMINDER else "[Đôn đốc] "
    return f"{mark}{notice.subject[:300]} [{one.code}]"


def short(notice: Notice, one: Recipient, zone: str) -> str:
    """The form for telephones."""
    due = f" Hạn: {printed(notice.due_at, zone)}." if notice.due_at else ""
    return f"{notice.number or notice.id}: {notice.subject}"[:MOST_SHORT] + f".{due} Mã xác nhận: {one.code}"
