"""The kinds of documents as data (`kinds.yml`), and what each field of them is called and filled by."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import msgspec
import yaml

from soc.errors import ConfigError, Phrase, UsageError


class Section(msgspec.Struct, frozen=True):
    """A part of a document with one of: rows of labels and values, a text, a list. Names may end in `~`: may be empty."""

    heading: str
    rows: tuple[str, ...] = ()
    text: str = ""
    list: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the section, without `~`."""
        return tuple(name.rstrip("~") for name in (*self.rows, *filter(None, (self.text,))))


class Kind(msgspec.Struct, frozen=True):
    """A kind of document. `form`: a report has a name of its own, a letter (công văn) has none. `first`: others cite its number.

    `continues`: it goes to whom the first report goes.
    """

    id: str
    regimes: tuple[str, ...]
    template: str
    title: dict[str, str]
    form: Literal["report", "letter"]
    sign: str
    subject: str
    source: str
    closing: str
    sections: tuple[Section, ...]
    name: str = ""
    meets: tuple[str, ...] = ()
    first: bool = False
    repeated: bool = False
    continues: bool = False

    @property
    def required(self) -> tuple[str, ...]:
        """The fields that must not be empty, in order."""
        names = [name for section in self.sections for name in (*section.rows, section.text) if name and not name.endswith("~")]
        return tuple(dict.fromkeys(names))


class Field(NamedTuple):
    """What a field is called, and the command that fills it."""

    vi: str
    en: str
    fill: str = "soc reports draft {id} {kind} --set {field}=…"


_EDIT = "soc incidents edit {id} --{option} …"
_SYSTEM = "soc systems import FILE --yes ({column}: {system})"
_AGENCY = "soc agencies import FILE --yes ({column}: {agency})"
_PERSON = "soc people import FILE --yes ({column}, contact: {agency})"


def _edit(option: str) -> str:
    return _EDIT.replace("{option}", option)


def _system(column: str) -> str:
    return _SYSTEM.replace("{column}", column)


FIELDS: dict[str, Field] = {
    "incident_id": Field("Mã sự cố", "Incident"),
    "title": Field("Tên sự cố", "Title", _edit("title")),
    "ordinal": Field("Báo cáo lần thứ", "Number of the report"),
    "incident_class": Field("Loại sự cố", "Class", "soc incidents triage {id} --class CODE"),
    "legal_class": Field("Phân loại theo quy định", "Legal class", _edit("legal-class ordinary|serious --reason")),
    "detected_at": Field("Thời điểm phát hiện", "Detected", _edit("detected")),
    "detected_how": Field("Cách thức phát hiện", "How it was detected", _edit("detected-by")),
    "closed_at": Field("Thời điểm kết thúc xử lý", "Closed", "soc incidents close {id} --resolution …"),
    "status": Field("Hiện trạng", "Status"),
    "summary": Field("Mô tả", "Description", _edit("summary")),
    "notified": Field("Đã gửi thông báo sự cố cho", "Told already"),
    "cause": Field("Nguyên nhân", "Cause"),
    "scope": Field("Phạm vi", "Extent"),
    "consequence": Field("Hậu quả", "Consequences"),
    "measures": Field("Biện pháp đã thực hiện", "Measures taken", "soc incidents task-done {id} TASK --result … | --set measures=…"),
    "next_steps": Field("Việc đang và sẽ thực hiện", "Next steps", "soc incidents task {id} TITLE | --set next_steps=…"),
    "result": Field("Kết quả xử lý", "Result", "soc incidents close {id} --resolution … | --set result=…"),
    "data_kinds": Field("Loại dữ liệu cá nhân bị ảnh hưởng", "Kinds of personal data"),
    "data_subjects": Field("Số lượng chủ thể dữ liệu bị ảnh hưởng", "Number of persons concerned"),
    "plan": Field("Phương án", "Plan"),
    "question": Field("Nội dung xin ý kiến", "Question"),
    "support": Field("Nội dung đề nghị hỗ trợ", "Support asked for"),
    "proposal": Field("Kiến nghị, đề xuất", "Proposals"),
    "lessons": Field("Bài học kinh nghiệm", "Lessons"),
    "attachments": Field("Tài liệu gửi kèm", "Attachments"),
    "secret": Field("Đề nghị giữ bí mật thông tin", "Keep secret"),
    "reported_time": Field("Thời gian báo cáo", "Time of the report"),
    "first_report": Field("Báo cáo đầu tiên", "First report", "soc reports import-signed {id} REPORT FILE --number … --signed-on …"),
    "first_number": Field("Số, ký hiệu báo cáo ban đầu", "Number of the first report", "soc reports import-signed {id} REPORT FILE --number …"),
    "first_date": Field("Ngày báo cáo ban đầu", "Date of the first report", "soc reports import-signed {id} REPORT FILE --signed-on …"),
    "reporter_name": Field("Tên tổ chức", "Organization", "soc config: reports.agency"),
    "reporter_address": Field("Địa chỉ", "Address", _AGENCY.replace("{column}", "address")),
    "reporter_phone": Field("Điện thoại", "Telephone", _AGENCY.replace("{column}", "phone")),
    "reporter_email": Field("Thư điện tử", "Mail", _AGENCY.replace("{column}", "email")),
    "contact_name": Field("Họ và tên", "Contact person", _PERSON.replace("{column}", "name")),
    "contact_title": Field("Chức vụ", "Position", _PERSON.replace("{column}", "title")),
    "contact_phone": Field("Điện thoại liên hệ", "Telephone of the contact", _PERSON.replace("{column}", "phone")),
    "contact_email": Field("Thư điện tử liên hệ", "Mail of the contact", _PERSON.replace("{column}", "email")),
    "system_name": Field("Tên hệ thống thông tin", "System", _edit("system")),
    "system_owner": Field("Chủ quản hệ thống", "Owner", _system("owner")),
    "system_operator": Field("Đơn vị vận hành", "Operator", _system("operator")),
    "system_level": Field("Cấp độ", "Security level", _system("level")),
    "system_hosting": Field("Đơn vị cung cấp dịch vụ, hosting", "Hosting provider", _system("hosting_provider")),
    "system_line": Field("Đơn vị cung cấp kết nối ra bên ngoài", "Line provider", _system("line_provider")),
    "system_os": Field("Hệ điều hành, phiên bản", "Operating system", _system("operating_system")),
    "system_services": Field("Dịch vụ có trên hệ thống", "Services", _system("services")),
    "system_protection": Field("Biện pháp an toàn đã triển khai", "Protection", _system("protection")),
    "system_public_addresses": Field("Địa chỉ IP công cộng", "Public addresses", _system("public_addresses")),
    "system_domains": Field("Tên miền", "Domains", _system("domains")),
    "system_purpose": Field("Mục đích chính sử dụng hệ thống", "Purpose", _system("purpose")),
    "assessment": Field("Đánh giá chung", "Assessment", "soc reports situation --assessment …"),
    "figures_threats": Field("Mối đe dọa đã phát hiện", "Threats"),
    "figures_alerts": Field("Nhóm cảnh báo chưa xử lý", "Open alerts"),
    "figures_incidents": Field("Sự cố", "Incidents"),
    "figures_reports": Field("Báo cáo theo quy định", "Statutory reports"),
    "figures_notices": Field("Văn bản cảnh báo", "Notices"),
    "figures_silence": Field("Nguồn giám sát im lặng", "Silent sources"),
    "notice_body": Field("Nội dung cảnh báo", "Warning", "soc notices edit {id} --body …"),
    "notice_action": Field("Đề nghị đơn vị", "Asked of the agency", "soc notices edit {id} --action …"),
    "notice_due": Field("Thời hạn thực hiện", "Due", "soc notices edit {id} --due …"),
    "notice_code": Field("Mã xác nhận của đơn vị", "Code of the agency"),
    "notice_answer": Field("Cách phản hồi", "How to answer"),
    "notice_tlp": Field("Phạm vi chia sẻ", "Sharing"),
}
"""Every field that a document may ask for."""

SETTABLE = ("status", "notified", "cause", "scope", "consequence", "measures", "next_steps", "result", "plan", "question", "support", "proposal", "lessons",
            "attachments", "secret", "addressee", "data_kinds", "data_subjects")  # fmt: skip
"""What a person writes into a draft; it is carried to the next ones."""

HEAD = (
    "superior",
    "issuer",
    "number_line",
    "place_date",
    "name",
    "subject",
    "addressee",
    "opening",
    "closing",
    "copies",
    "signer_title",
    "signer_name",
    "mark",
)
"""What stands around the sections."""

LISTS: dict[str, dict[str, tuple[str, str, float]]] = {
    "timeline": {"at": ("Thời gian", "Time", 3.6), "what": ("Nội dung", "What", 9.9), "who": ("Người thực hiện", "Who", 3.0)},
    "tasks": {
        "number": ("STT", "No.", 1.2),
        "title": ("Nhiệm vụ", "Task", 7.3),
        "owner": ("Người thực hiện", "Owner", 3.6),
        "due": ("Thời hạn, kết quả", "Due, result", 4.4),
    },
    "indicators": {"kind": ("Loại", "Kind", 3.0), "value": ("Giá trị", "Value", 13.5)},
    "reports": {
        "kind": ("Báo cáo", "Report", 5.5),
        "number": ("Số, ký hiệu", "Number", 4.0),
        "date": ("Ngày ký", "Signed", 2.8),
        "sent": ("Gửi", "Sent", 4.2),
    },
    "open_incidents": {
        "id": ("Mã", "ID", 2.9),
        "title": ("Sự cố", "Incident", 6.1),
        "agency": ("Cơ quan", "Agency", 2.9),
        "state": ("Trạng thái", "State", 4.6),
    },
    "annex": {"number": ("STT", "No.", 1.5), "item": ("Hộp thư, máy, tài khoản", "Mailbox, machine, account", 15.0)},
    "due": {"due": ("Thời hạn", "Due", 5.0), "what": ("Việc phải báo cáo", "What", 8.0), "id": ("Sự cố", "Incident", 3.5)},
}
"""Lists with their columns: Vietnamese, English, width in cm."""


@lru_cache(maxsize=1)
def kinds() -> tuple[Kind, ...]:
    """All kinds that are shipped, in order.

    Raises: ConfigError.
    """
    text = files("soc.reports").joinpath("kinds.yml").read_text(encoding="utf-8")
    try:
        found = msgspec.convert(yaml.safe_load(text), tuple[Kind, ...])
        for kind in found:
            _known(kind)
    except (yaml.YAMLError, msgspec.ValidationError, ValueError) as error:
        raise ConfigError(Phrase("these are no kinds of reports: {error}", error=error), file="kinds.yml") from error
    return found


def _known(kind: Kind) -> None:
    for section in kind.sections:
        unknown: list[Any] = [name for name in section.fields if name not in FIELDS] + [section.list] * (bool(section.list) and section.list not in LISTS)
        if unknown:
            raise ValueError(f"{kind.id}: no field or list is named {unknown[0]}")


def kind_of(name: str, regime: str) -> Kind:
    """The kind of this id under a regime.

    Raises: UsageError naming those that there are.
    """
    fitting = of_regime(regime)
    for kind in fitting:
        if kind.id == name:
            return kind
    raise UsageError(
        Phrase("{regime} knows no report {kind}", regime=regime, kind=name), hint=Phrase("known: {known}", known=", ".join(kind.id for kind in fitting))
    )


def of_regime(regime: str) -> list[Kind]:
    """The kinds that a regime knows."""
    return [kind for kind in kinds() if regime in kind.regimes]


def situation() -> Kind:
    """The situation report, which belongs to no incident."""
    return next(kind for kind in kinds() if kind.id == "situation")


def notice() -> Kind:
    """The letter of a warning notice, which belongs to no incident's reports."""
    return next(kind for kind in kinds() if kind.id == "notice")
