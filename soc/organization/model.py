"""The objects of the registry, as rows of a table are checked and kept.

Every object is known by a short id of its own (a mailbox by its address) and counts from `valid_from` to `valid_until`
(dates, both inclusive, empty = open): nothing is deleted, it ends. Field names are the column names of imports.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from soc.clock import from_datetime, from_iso, iso, to_datetime
from soc.config import DEFAULT_TIMEZONE
from soc.errors import Phrase
from soc.model.role import ROLES

LONGEST_SHIFT_US = 31 * 86_400_000_000
LONGEST = 2_000
"""Characters of one value."""
# Reference: `so-kh-cn`, `xa-loc-ninh`, `SYT.01`
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Reference: an addr-spec without quoting, RFC 5321 4.1.2; the rest of the world does not give others out
_MAIL = re.compile(r"[^\s@<>\"(),:;\\\[\]]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
# Reference: names of accounts, useradd(8) and Samba (`DOMAIN\\name`); `uid-1000` where an account has no name
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}\$?")
_DIGITS = 6


def _text(value: Any) -> Any:
    if isinstance(value, str):
        text = unicodedata.normalize("NFC", value).strip()
        if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
            raise ValueError("holds control characters")
        return text
    return "" if value is None else str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return [part for part in (_text(part) for part in re.split(r"[;\n]", value)) if part]
    return [] if value is None else value


def _id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise ValueError("is no id: letters, digits, `.`, `_`, `-`, up to 64 of them")
    return value


def _mail(value: str) -> str:
    if value and not _MAIL.fullmatch(value):
        raise ValueError("is no mail address")
    return value.lower()


def _phone(value: str) -> str:
    if value and (sum(character.isdigit() for character in value) < _DIGITS or not set(value) <= set("+0123456789 .()-/")):
        raise ValueError("is no telephone number")
    return value


def _address(value: str) -> str:
    return str(ip_address(value))


def _account(value: str) -> str:
    if value and not _ACCOUNT.fullmatch(value):
        raise ValueError("is no name of an account")
    return value


def _prefix(value: str) -> str:
    network, _, agency = value.partition("=")
    return str(ip_network(network.strip())) + (f"={_id(agency.strip())}" if agency else "")


def _day(value: Any) -> Any:
    if isinstance(value, str):
        value = value.strip()
        # Reference: 01/07/2025, as people here write dates
        found = re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", value)
        if found:
            return date(int(found[3]), int(found[2]), int(found[1]))
        return value or None
    return value


Text = Annotated[str, BeforeValidator(_text), Field(max_length=LONGEST)]
Id = Annotated[Text, AfterValidator(_id)]
OptionalId = Annotated[Text, AfterValidator(lambda value: _id(value) if value else value)]
Mail = Annotated[Text, AfterValidator(_mail)]
Phone = Annotated[Text, AfterValidator(_phone)]
Day = Annotated[date | None, BeforeValidator(_day)]
Ids = Annotated[list[Id], BeforeValidator(_listed), Field(max_length=500)]
Texts = Annotated[list[Text], BeforeValidator(_listed), Field(max_length=500)]
Addresses = Annotated[list[Annotated[Text, AfterValidator(_address)]], BeforeValidator(_listed), Field(max_length=500)]
Prefixes = Annotated[list[Annotated[Text, AfterValidator(_prefix)]], BeforeValidator(_listed), Field(max_length=500)]
Count = Annotated[int | None, BeforeValidator(lambda value: None if value in ("", None) else value), Field(ge=0, le=10_000_000)]
Yes = Annotated[
    bool,
    BeforeValidator(lambda value: {"": False, "có": True, "không": False, "x": True}.get(value.strip().lower(), value) if isinstance(value, str) else value),
]


class Entry(BaseModel):
    """What every object of the registry has."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: ClassVar[str]
    refers: ClassVar[dict[str, str]] = {}
    """Field → kind of object that it names."""

    valid_from: Day = None
    valid_until: Day = None
    note: Text = ""

    @model_validator(mode="after")
    def _in_order(self) -> Entry:
        if self.valid_from and self.valid_until and self.valid_until < self.valid_from:
            raise ValueError("valid_until is before valid_from")
        return self

    @property
    def key(self) -> str:
        """What the object is known by."""
        return str(getattr(self, "id"))  # noqa: B009 - the fields of an object are its model's

    def valid(self, day: date) -> bool:
        """Whether the object counts on a day."""
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_until is None or day <= self.valid_until)


class Agency(Entry):
    """An agency or unit: a dated node of the tree of government, or of the party's tree, which is one of its own."""

    kind = "agencies"
    refers: ClassVar = {"parent": "agencies", "successors": "agencies"}

    id: Id
    name: Annotated[Text, Field(min_length=1)]
    level: Literal["province", "department", "district", "commune", "unit", "other"]
    tree: Literal["government", "party"] = "government"
    parent: OptionalId = ""
    successors: Ids = []
    """The agencies that took over its tasks when it ended."""
    phone: Phone = ""
    email: Mail = ""
    address: Text = ""
    domains: Texts = []
    computers: Count = None
    """Computers of the agency, and licences of endpoint protection for them; those of single systems stand with the systems."""
    licences: Count = None


class Point(Entry):
    """A network point: one router or firewall and the networks behind it."""

    kind = "points"
    refers: ClassVar = {"agency": "agencies"}

    id: Id
    name: Annotated[Text, Field(min_length=1)]
    agency: Id
    observers: Texts = []
    """Names or serial numbers by which its devices call themselves in logs."""
    sources: Texts = []
    """Sources (of the settings) whose records all come from here."""
    prefixes: Prefixes = []
    """Networks behind it: `10.1.2.0/24`, or `10.1.2.0/24=agency` where another agency sits there."""
    public_addresses: Addresses = []
    line_provider: Text = ""


class Person(Entry):
    """Somebody to call: contact persons of agencies, members of the response team, leads."""

    kind = "people"
    refers: ClassVar = {"agency": "agencies"}

    id: Id
    name: Annotated[Text, Field(min_length=1)]
    agency: Id
    role: Literal["contact", "viewer", "analyst", "lead", "officer", "administrator", "other"] = "contact"
    account: Annotated[Text, AfterValidator(_account)] = ""
    """The account of the operating system under which they work with soc; the role says what they may do."""
    title: Text = ""
    phone: Phone = ""
    email: Mail = ""
    channel: Literal["document", "mail", "webhook", "telephone", "paper"] = "mail"
    team: Yes = False
    """A member of the incident response team."""
    decision: Text = ""
    """Number of the decision that appointed them."""

    @model_validator(mode="after")
    def _has_a_role(self) -> Person:
        if self.account and self.role not in ROLES:
            raise ValueError("account: who has one needs a role: viewer, analyst, lead, officer or administrator")
        return self


class System(Entry):
    """An information system with what the initial report of an incident asks for."""

    kind = "systems"
    refers: ClassVar = {"owner": "agencies", "operator": "agencies", "point": "points"}

    id: Id
    name: Annotated[Text, Field(min_length=1)]
    owner: Id
    operator: OptionalId = ""
    point: OptionalId = ""
    level: Annotated[int | None, BeforeValidator(lambda value: None if value in ("", None) else value), Field(ge=1, le=5)] = None
    """Security level 1 to 5; empty = not yet determined."""
    shared: Yes = False
    dossier: Literal["none", "drafting", "submitted", "appraised", "approved"] = "none"
    decision: Text = ""
    decision_date: Day = None
    regulation: Text = ""
    """Number of the regulation that assures its security (quy chế)."""
    review_date: Day = None
    purpose: Text = ""
    """What it is for, as the initial report of an incident asks."""
    operating_system: Text = ""
    services: Texts = []
    addresses: Addresses = []
    public_addresses: Addresses = []
    domains: Texts = []
    protection: Text = ""
    hosting_provider: Text = ""
    line_provider: Text = ""
    computers: Count = None
    licences: Count = None


class Mailbox(Entry):
    """A mailbox of the one domain, and whose it is."""

    kind = "mailboxes"
    refers: ClassVar = {"agency": "agencies", "person": "people"}

    address: Annotated[Mail, Field(min_length=3)]
    agency: Id
    person: OptionalId = ""
    shared: Yes = False

    @property
    def key(self) -> str:
        return self.address


class Partner(Entry):
    """Somebody outside: the national centre, police, providers, vendors."""

    kind = "partners"

    id: Id
    name: Annotated[Text, Field(min_length=1)]
    sort: Literal["national-centre", "police", "provider", "vendor", "other"] = "other"
    phone: Phone = ""
    email: Mail = ""
    address: Text = ""


def _moment(value: Any) -> Any:
    """A time as RFC 3339 UTC; without a zone it is local to where the law counts."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str) and value.strip():
        text = value.strip()
        # Reference: 21/11/2026 19:00, as people here write times
        found = re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})[ T](\d{1,2}):(\d{2})", text)
        moment = datetime.fromisoformat(f"{found[3]}-{found[2]:>02}-{found[1]:>02}T{found[4]:>02}:{found[5]}" if found else text)
    else:
        raise ValueError("is no time (as 2026-11-21 19:00)")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(DEFAULT_TIMEZONE))
    return iso(from_datetime(moment) // 60_000_000 * 60_000_000)


Moment = Annotated[str, BeforeValidator(_moment)]


class Shift(Entry):
    """A stretch of time in which somebody is on call. `post`: 1 is called first, 2 when the first does not answer, and so on."""

    kind = "roster"
    refers: ClassVar = {"person": "people"}

    begin: Moment
    end: Moment
    person: Id
    post: Annotated[int, Field(ge=1, le=9)] = 1
    decision: Text = ""
    """Number of the decision that set the roster up."""

    @model_validator(mode="after")
    def _ends(self) -> Shift:
        length_us = from_iso(self.end) - from_iso(self.begin)
        if length_us <= 0:
            raise ValueError("end is not after begin")
        if length_us > LONGEST_SHIFT_US:
            raise ValueError("is longer than 31 days")
        return self

    @property
    def key(self) -> str:
        """When it begins, local to where the law counts, and its post: `2026-11-21T19:00/1`."""
        begin = to_datetime(from_iso(self.begin)).astimezone(ZoneInfo(DEFAULT_TIMEZONE))
        return f"{begin:%Y-%m-%dT%H:%M}/{self.post}"


KINDS: dict[str, type[Entry]] = {model.kind: model for model in (Agency, Point, Person, System, Mailbox, Partner, Shift)}


def kind_word(kind: str) -> str:
    """The word for a kind of entries, as errors say it."""
    words = {
        "agencies": Phrase("agencies"),
        "points": Phrase("network points"),
        "people": Phrase("people"),
        "systems": Phrase("systems"),
        "mailboxes": Phrase("mailboxes"),
        "partners": Phrase("partners"),
        "roster": Phrase("shifts"),
    }
    return words.get(kind, kind)
