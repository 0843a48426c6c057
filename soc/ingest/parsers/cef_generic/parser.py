"""CEF records of any sender as ECS events.

Source: ArcSight "Common Event Format" implementation standard (header, extension dictionary, date formats); the ECS
fields are those that Elastic documents for its CEF integration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from hashlib import blake2b
from importlib import resources
from typing import Any, NamedTuple

import yaml

from soc.errors import MalformedRecord, UnknownFormat
from soc.ingest.framing import Cef, cef, word_at
from soc.ingest.normalize import (
    TRANSPORTS,
    count,
    decimal,
    duration_ns,
    hash_kind,
    integer,
    ip,
    ip_port,
    iso,
    known_zone,
    mac,
    mail_address,
    midnight_us,
    port,
    time_us,
)
from soc.ingest.parser import Context, Line, Parsed
from soc.ingest.syslog import syslog_fields
from soc.model.event import Doc

NAME = "cef_generic"
EXTENSIONS = "cef.extensions."
WHERE_IT_BEGINS = 512
"""`CEF:` stands behind a syslog header at most; anywhere later it is quoted text."""
MOST_ADDRESSES = 64
LONGEST_LABEL = 128
MOST_KEYS = 4096
"""Remembered; a key has at most 128 characters."""

# Reference: CEF header, Severity: words or 0-10; the words' numbers are the lower ends of their bands, as Elastic has them.
_SEVERITIES = {"low": 0, "medium": 4, "high": 7, "very-high": 9, "very high": 9}
_OUTCOMES = {
    "success": "success",
    "failure": "failure",
    "succeeded": "success",
    "failed": "failure",
    "successful": "success",
    "fail": "failure",
    "ok": "success",
    "error": "failure",
}
_DIRECTIONS = {"0": "inbound", "1": "outbound", "inbound": "inbound", "outbound": "outbound", "in": "inbound", "out": "outbound"}
_DENIED = frozenset(
    [
        "deny",
        "denied",
        "drop",
        "dropped",
        "block",
        "blocked",
        "refuse",
        "refused",
        "reject",
        "rejected",
        "reset",
        "discard",
        "discarded",
        "quarantine",
        "quarantined",
        "prevent",
        "prevented",
        "terminate",
    ]
)
_ALLOWED = frozenset(["allow", "allowed", "accept", "accepted", "permit", "permitted", "pass", "passed", "bypass"])
# Reference: CEF custom fields: `cs1`, `cn2`, `cfp1`, `c6a3`, `flexString1`, `deviceCustomDate1`, each with `...Label`.
_CUSTOM = {"cs": "deviceCustomString", "cn": "deviceCustomNumber", "cfp": "deviceCustomFloatingPoint", "c6a": "deviceCustomIPv6Address"}
_CUSTOM_KEY = re.compile(r"(cs|cn|cfp|c6a)(\d{1,2})([Ll]abel)?$", re.ASCII)
_YEAR = re.compile(r"(?:19|20)\d\d", re.ASCII)
_STRANGE = re.compile(r"[^A-Za-z0-9_-]")
_BETWEEN_WORDS = re.compile(r"[:_/-]")
_NOT_PLAIN = re.compile(r"[^a-z0-9]")
_NOTHING = frozenset(["-", "N/A", "n/a", "null", "NULL", "(null)", "None"])
"""What senders write where they know nothing: no name or address, so only the extensions keep it."""
_TRANSPORT_NAMES = frozenset(TRANSPORTS.values())
_TIMES = ("deviceReceiptTime", "endTime", "startTime", "agentReceiptTime", "managerReceiptTime")
"""Which time is the event's: what the device says, then what the connector says."""


class Entry(NamedTuple):
    """One name of the dictionary: its full name, the kind of its values, and where they go ("" = nowhere but the extensions)."""

    name: str
    kind: str
    field: str


@cache
def _load(name: str) -> Any:
    return yaml.safe_load(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


@cache
def dictionary() -> dict[str, Entry]:
    """By short and by full name: the extension dictionary."""
    rows = [(key, Entry(name, kind, field)) for key, name, kind, field in _load("dictionary.yml")]
    return {entry.name: entry for _, entry in rows} | dict(rows)


@cache
def _folded() -> dict[str, str]:
    return {key.lower(): key for key in reversed(dictionary())}


@lru_cache(maxsize=MOST_KEYS)
def entry_of(key: str) -> Entry | None:
    """What the dictionary says of an extension key; senders differ in its capitals (`requestmethod`)."""
    entry = dictionary().get(key)
    return entry if entry is not None else dictionary().get(_folded().get(key.lower(), ""))


class Sender(NamedTuple):
    """What a vendor's product does beyond the dictionary."""

    labels: dict[str, tuple[str, str]]
    keys: dict[str, tuple[str, str]]
    category: list[str]
    categories: dict[str, str]
    alert: list[str]
    year: str


@lru_cache(maxsize=1024)
def sender(vendor: str, product: str) -> Sender:
    """The habits of the sender, those of all senders included."""
    data = _load("senders.yml")
    sections = [data[name] for name in ("*", f"{vendor}/*", f"{vendor}/{product}") if name in data]

    def merged(part: str) -> dict[str, tuple[str, str]]:
        targets = {}
        for section in sections:
            for name, target in section.get(part, {}).items():
                field, _, kind = target.partition(" ")
                targets[plain(name) if part == "labels" else name] = (field, kind)
        return targets

    last = sections[-1]
    categories = {plain(label): category for section in sections for label, category in section.get("categories", {}).items()}
    return Sender(merged("labels"), merged("keys"), last.get("category", []), categories, last.get("alert", []), last.get("year", ""))


def _sender_of(record: Cef) -> Sender:
    return sender(record.vendor.lower()[:LONGEST_LABEL], record.product.lower()[:LONGEST_LABEL])


def plain(label: str) -> str:
    """A label as it is compared: `Rule Name`, `ruleName` and `rule_name` are the same."""
    return _NOT_PLAIN.sub("", label.lower()) if len(label) <= LONGEST_LABEL else ""


@cache
def natural_keys() -> list[tuple[int, list[str]]]:
    """The content of `natural_key.yml`: since (microseconds since 1970), fields."""
    return [(midnight_us(str(item["since"])), item["fields"]) for item in _load("natural_key.yml")]


def _transport(text: str) -> str:
    """The transport of `6`, `TCP`, `udp/dns` (SonicWall) or `IPv4/TCP` (Tofino): the last part that is one."""
    for part in reversed(text[:64].split("/")):
        name = TRANSPORTS.get(part) or part.strip().lower()
        if name in _TRANSPORT_NAMES:
            return name
    raise ValueError("not a transport")


def _chosen(table: Mapping[str, str]) -> Callable[[str], str]:
    def choose(text: str) -> str:
        value = table.get(text.strip("/ ").lower())
        if value is None:
            raise ValueError("none of the known words")
        return value

    return choose


def _status(text: str) -> int:
    number = count(text)
    if not 100 <= number <= 599:  # noqa: PLR2004 - RFC 9110 15
        raise ValueError("not a status of HTTP")
    return number


def _referrer(text: str) -> str:
    if "://" not in text:
        raise ValueError("not an address of a page")
    return text


def _mails(text: str) -> list[str]:
    addresses = [mail_address(part) for part in re.split(r"[,;]", text)[:MOST_ADDRESSES] if part.strip()]
    if not addresses:
        raise ValueError("no address")
    return addresses


CONVERTERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "ip": ip,
    "ips": lambda text: [ip(text)],
    "port": port,
    "count": count,
    "long": integer,
    "float": decimal,
    "mac": mac,
    "macs": lambda text: [mac(text)],
    "seconds": duration_ns,
    "transport": _transport,
    "direction": _chosen(_DIRECTIONS),
    "outcome": _chosen(_OUTCOMES),
    "referrer": _referrer,
    "status": _status,
    "mails": _mails,
}
"""By kind: text → value. Raises: ValueError; the text then stays among the extensions."""


class CefGeneric:
    """The parser of CEF records."""

    name = NAME
    version = 5
    kind = "other"
    fields_hold_line = True

    def claims(self, line: Line) -> bool:
        """Whether the message is a CEF record, perhaps behind a prefix that is no syslog header."""
        message = line.message
        if message[:4] == "CEF:":
            return True
        return word_at(message, "CEF:", WHERE_IT_BEGINS) > 0 and message.count("|", 0, 2048) >= 6  # noqa: PLR2004 - six pipes end the header

    def parse(self, line: Line, context: Context) -> Parsed:
        """The ECS event of one CEF record.

        Shape: known extension names → ECS, the others `cef.extensions.<full name>` as text. `event.severity` is 0-10.
        Raises: UnknownFormat without `CEF:`; MalformedRecord (with the header's fields) when the CEF header is broken.
        """
        if "CEF:" not in line.message:
            raise UnknownFormat("no CEF record", parser=NAME, fields=dict(syslog_fields(line)))
        record = cef(line.message[1:-1].replace('""', '"') if line.message[:5] == '"CEF:' and line.message[-1] == '"' else line.message)
        if record is None:
            raise MalformedRecord("the CEF header is broken", parser=NAME, fields={**syslog_fields(line), "message": line.message})
        doc = _header(record)
        names, times = _extensions(record, doc, context)
        ts_us = next((times[name] for name in _TIMES if name in times), 0) or _header_time(record, line, context)
        _derive(record, doc)
        doc.update(syslog_fields(line))
        if not ts_us:
            return Parsed(doc, 0, _natural_key(record, names, 0, line))
        doc["@timestamp"] = iso(ts_us)
        return Parsed(doc, ts_us, _natural_key(record, names, ts_us, line))


def _header(record: Cef) -> Doc:
    doc: Doc = {"event.module": "cef", "event.dataset": "cef.log", "event.kind": "event", "cef.version": record.version}
    parts = (
        ("cef.device.vendor", record.vendor),
        ("cef.device.product", record.product),
        ("cef.device.version", record.device_version),
        ("cef.device.event_class_id", record.class_id),
        ("cef.name", record.name),
        ("cef.severity", record.severity),
        ("observer.vendor", record.vendor),
        ("observer.product", record.product),
        ("observer.version", record.device_version),
        ("event.code", record.class_id),
        ("message", record.name),
    )
    doc.update({field: value for field, value in parts if value})
    word = record.severity.lower()
    severity = _SEVERITIES.get(word, int(word) if word.isdecimal() and word.isascii() and len(word) <= 2 else None)  # noqa: PLR2004 - 0 to 10
    if severity is not None:
        doc["event.severity"] = severity
    return doc


@lru_cache(maxsize=MOST_KEYS)
def full_name(key: str) -> str:
    """The full name of an extension key, safe as a field name."""
    custom = _CUSTOM_KEY.match(key)
    if custom is not None:
        return f"{_CUSTOM[custom[1]]}{custom[2]}{'Label' if custom[3] else ''}"
    entry = entry_of(key)
    return entry.name if entry is not None else _STRANGE.sub("_", key)


def _extensions(record: Cef, doc: Doc, context: Context) -> tuple[dict[str, str], dict[str, int]]:
    """Put the extensions into the document; the values by full name and the times come back."""
    habits = _sender_of(record)
    zone = record.extensions.get("dtz") or record.extensions.get("deviceTimeZone") or ""
    if zone and known_zone(zone):
        context = Context(context.received_us, zone, context.offset_us, context.host)
    names: dict[str, str] = {}
    times: dict[str, int] = {}
    for key, value in record.extensions.items():
        entry = entry_of(key)
        name = full_name(key)
        names[name] = value
        if not value.strip():
            continue
        if value.strip('" ') in _NOTHING:
            doc[EXTENSIONS + name] = value
            continue
        placed = _labelled(key, value, record, habits, doc)
        if entry is None or entry.field == "" or entry.kind == "time":
            us = _time(value, context) if entry is not None and entry.kind == "time" else 0
            if us:
                times[name] = us
                doc[entry.field if entry is not None and entry.field else EXTENSIONS + name] = iso(us)
                continue
        elif _put(doc, entry.field, entry.kind, value):
            continue
        if not placed or key not in habits.keys:
            doc[EXTENSIONS + name] = value
    return names, times


def _labelled(key: str, value: str, record: Cef, habits: Sender, doc: Doc) -> bool:
    """Put a value where its label, or the sender's habit, says; whether it was."""
    target = habits.keys.get(key)
    if target is None:
        label = record.extensions.get(key + "Label") or record.extensions.get(key + "label")
        target = habits.labels.get(plain(label)) if label else None
    return target is not None and _put(doc, target[0], target[1], value)


def _put(doc: Doc, field: str, kind: str, value: str) -> bool:
    try:
        if kind == "ip" and field.endswith(".ip"):
            text = value.rstrip("|").strip('"')  # a bar after the last value, quotes around an address
            converted, number = ip_port(text) if "/" not in text else (ip(text), None)  # `[2001:db8::1]:443`; `192.0.2.0/24` is no port
            if number is not None and field not in doc:
                doc[field] = converted
                doc.setdefault(f"{field[:-3]}.port", number)
        elif kind == "hash":
            field, converted = f"file.hash.{hash_kind(value)}", value.lower()
        elif field.startswith("file.hash."):
            converted = value.lower()
        else:
            converted = CONVERTERS[kind](value)
    except ValueError:
        return False
    if field == "message" or field not in doc:
        doc[field] = converted
        return True
    return bool(doc[field] == converted)


def _derive(record: Cef, doc: Doc) -> None:
    """Add what follows from several fields: number of the transport, type by the action, category by the sender."""
    proto = record.extensions.get("proto") or record.extensions.get("transportProtocol") or ""
    if proto in TRANSPORTS:
        doc["network.iana_number"] = proto
    if "observer.ip" not in doc and "observer.hostname" not in doc:
        name = doc.get(EXTENSIONS + "deviceAddress")
        if name:
            doc["observer.hostname"] = name
    words = _BETWEEN_WORDS.sub(" ", str(doc.get("event.action", "")).lower()).split()
    if words and "not" not in words:
        if not _DENIED.isdisjoint(words):
            doc["event.type"] = ["denied"]
        elif not _ALLOWED.isdisjoint(words):
            doc["event.type"] = ["allowed"]
    habits = _sender_of(record)
    categories = list(habits.category) if "source.ip" in doc or "destination.ip" in doc else []
    for key, label in record.extensions.items() if habits.categories else ():
        if key.endswith("Label") and record.extensions.get(key[:-5]):
            category = habits.categories.get(plain(label))
            if category and category not in categories:
                categories.append(category)
    if categories:
        doc["event.category"] = categories
    if any(key in record.extensions for key in habits.alert) and any(field.startswith("rule.") for field in doc):
        doc["event.kind"] = "alert"


def _header_time(record: Cef, line: Line, context: Context) -> int:
    """The header's time, in the year that the sender tells in an extension where the header has none."""
    year = record.extensions.get(_sender_of(record).year, "")
    if _YEAR.fullmatch(year) and line.header_time[:3].isalpha():
        us = _time(f"{year} {line.header_time}", context)
        if us:
            return us
    return _time(line.header_time, context)


def _time(text: str, context: Context) -> int:
    if not text:
        return 0
    try:
        us = time_us(text.strip('"'), context)
        iso(us)
    except ValueError:
        return 0
    return us


def _natural_key(record: Cef, names: Mapping[str, str], ts_us: int, line: Line) -> str:
    """The key by the first entry of `natural_key.yml` that fits, else by the text; "" for a record without any extension."""
    parts = {**names, "vendor": record.vendor, "product": record.product, "class_id": record.class_id}
    for since_us, fields in natural_keys():
        if ts_us >= since_us and all(parts.get(field) for field in fields):
            return "\x1f".join(["cef", *(parts[field] for field in fields)])
    if not ts_us and not names:
        return ""
    text = line.message[line.message.find("CEF:") :].strip()
    return "cef\x1f" + blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


PARSER = CefGeneric()
