"""FortiGate log lines as ECS events.

Formats: key=value (FortiOS 5.0 to 7.6), the names of 4.3, CSV (`set csv enable`) and CEF (`set format cef`).
Source: FortiOS Log Message Reference, https://docs.fortinet.com/product/fortigate (Reference Manuals).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from soc.errors import MalformedRecord, UnknownFormat
from soc.ingest.framing import cef, word_at
from soc.ingest.normalize import HOUR_US, MINUTE_US, SECOND_US, TRANSPORTS, clock_us, epoch_us, iso, midnight_us, time_us, to_utc_us
from soc.ingest.parser import Context, Line, Parsed
from soc.ingest.parsers.fortinet_fortigate.keys import key_of_text, natural_key_fields
from soc.ingest.parsers.fortinet_fortigate.mapping import table
from soc.ingest.parsers.fortinet_fortigate.plan import NOTHING, Plan, Plans, document, pairs_of
from soc.ingest.syslog import syslog_fields, syslog_tokens
from soc.model.event import Doc

NAME = "fortinet_fortigate"
# Reference: serial numbers begin with the product: FortiMail, FortiWeb, FortiSandbox, FortiDDoS, FortiADC, FortiAuthenticator, FortiNDR
# and FortiClient log alike. FortiManager and FortiAnalyzer (FMG, FAZ, FL) write the event logs that are read here.
_OTHER_PRODUCTS = ("FE", "FV", "FS", "FI", "FAD", "FAC", "FAI", "FCT")
_OURS = ("FG", "FW", "FMG", "FAZ", "FL")
FEW = 4
"""Lines of one sequence of keys that are not worth reading key by key."""
HEAD = 600
"""Where the telling keys of a line must stand: FortiOS writes them first."""
_NO_TIME = -(2**63)
_NUMBERS = {name: number for number, name in TRANSPORTS.items()}
CEF_PREFIXES = ("FTNTFGT", "FortinetFortiGate")


class FortiGate:
    """The parser of FortiGate lines."""

    name = NAME
    version = 4
    kind = "firewall"
    fields_hold_line = True

    def __init__(self) -> None:
        self._plans = Plans()

    def claims(self, line: Line) -> bool:
        """Whether the line carries FortiOS' date (or event time) and log id (or device id), or a FortiGate CEF header."""
        message = line.message
        if message[:4] == "CEF:":
            return "|fortinet|fortigate" in message[:40].lower()
        if message[:5] != "date=" and word_at(message, "date=", HEAD) < 0:  # a relay took the date off: another time or the header has it too
            return word_at(message, "logid=", HEAD) >= 0 and (message.find("eventtime=", 0, HEAD) >= 0 or message.find("devid=", 0, HEAD) >= 0)
        at = message.find("devid=", 0, HEAD)
        if at >= 0:
            if message[:5] != "date=" and message.find(" fctsn=", 0, HEAD) >= 0:  # FortiClient, as its manager hands it on
                return False
            return not message[at + 6 : at + 13].lstrip('"').startswith(_OTHER_PRODUCTS)
        if message.find("log_id=", 0, HEAD) < 0 and message.find("device_id=", 0, HEAD) < 0:
            if message.find("logid=", 0, HEAD) >= 0 or (message[:5] == "date=" and " msg=" in message):
                return True
            return message.find(" devname=", 0, HEAD) >= 0 and message.find(" subtype=", 0, HEAD) >= 0
        return _is_old(message)

    def parse(self, line: Line, context: Context) -> Parsed:
        """The ECS event of one line.

        Shape: one line → one event; `source`, `destination`, `observer`, `rule`, `network` as far as told; the rest under
        `fortinet.firewall.` as text. Units: `event.duration` ns, `network.bytes` = sent + received.
        Raises: UnknownFormat when the line has no pairs; nothing else.
        Cost: about 10 µs for a line whose keys were seen often, 50 µs for a new sequence of keys.
        """
        if line.message[:4] == "CEF:":
            return self._plain(_cef_pairs(line), line, context)
        plan, values = self._plans.read(line.message)
        if not values:
            raise UnknownFormat("no key=value pairs", parser=NAME, fields=syslog_fields(line))
        try:
            doc = plan.fill(values)
        except ValueError:
            return self._plain(pairs_of(line.message), line, context)
        date, clock, zone, event_time = plan.times(values)
        ts_us = moment(date, clock, zone, event_time, line, context)
        if not ts_us:
            return self._plain(pairs_of(line.message), line, context)
        return _finish(doc, ts_us, plan.identify(values, ts_us), line)

    def parse_many(self, lines: Sequence[Line], context: Context) -> list[Parsed | None]:
        """See `BatchParser`: lines with the same keys are read key by key. Cost: two thirds of `parse`."""
        out: list[Parsed | None] = [None] * len(lines)
        usual = [number for number, line in enumerate(lines) if line.message[:4] != "CEF:"]
        for plan, places, rows in self._plans.read_all([lines[number].message for number in usual]).values():
            if len(rows) >= FEW and plan.keys:
                numbers = [usual[place] for place in places]
                columns = list(zip(*rows, strict=True))
                try:
                    docs, tokens = plan.fill_all(columns, tokens=context.tokens)
                except ValueError:
                    continue
                _finish_all(plan, columns, docs, tokens, lines, numbers, context, out)
        return out

    def _plain(self, pairs: dict[str, str], line: Line, context: Context) -> Parsed:
        """The plain way: pair by pair."""
        if not pairs:
            raise UnknownFormat("no key=value pairs", parser=NAME, fields=syslog_fields(line))
        keys, values = tuple(pairs), tuple(pairs.values())
        ts_us = moment(pairs.get("date", ""), pairs.get("time", ""), pairs.get("tz", ""), pairs.get("eventtime", ""), line, context)
        if not ts_us:
            ts_us = next((us for us in (_usable(pairs.get(name, ""), context) for name in ("rt", "start", "timestamp", "itime")) if us), 0)
        identify = natural_key_fields({key: position for position, key in enumerate(keys)})
        return _finish(document(pairs), ts_us, identify(values, ts_us), line)


def _is_old(message: str) -> bool:
    """Whether a line with `device_id` or `log_id` is of FortiOS 4.3 or of a manager: Sophos, FortiMail, FortiADC have such keys too."""
    at = message.find("device_id=", 0, HEAD)
    serial = message[at + 10 : at + 17].lstrip('"') if at >= 0 else ""
    if serial.startswith(_OURS):
        return True
    if serial.startswith(_OTHER_PRODUCTS) or message.find("log_type=", 0, HEAD) >= 0 or message.find(" msg_id=", 0, HEAD) >= 0:
        return False
    return message.find(" vd=", 0, HEAD) >= 0


def _finish(doc: Doc, ts_us: int, natural_key: str, line: Line) -> Parsed:
    doc.update(syslog_fields(line))
    if not ts_us:
        return Parsed(doc, 0)
    doc["@timestamp"] = iso(ts_us)
    return Parsed(doc, ts_us, natural_key or key_of_text(line.message))


def _finish_all(
    plan: Plan,
    columns: Sequence[Sequence[str]],
    docs: Sequence[Doc],
    tokens: Sequence[str],
    lines: Sequence[Line],
    numbers: Sequence[int],
    context: Context,
    out: list[Parsed | None],
) -> None:
    """Add times, keys and what the header says, and put what came of it into `out`; nothing where a line has no plain time."""
    times: list[int] = []
    stamps: list[str] = []
    moments: dict[tuple[str, str, str], tuple[int, str, str]] = {}
    for date, clock, zone, event_time in plan.times_all(columns):
        at = moments.get((date, clock, zone))
        if at is None:
            at = moments[date, clock, zone] = _second_of(date, clock, zone, context)
        ts_us, second, stamp = at
        if not stamp or (event_time and not zone):
            return
        fraction = event_time[10:16]
        if fraction and event_time[:10] == second and fraction.isdecimal() and fraction.isascii():
            fraction = fraction.ljust(6, "0")
            ts_us += int(fraction)
        else:
            fraction = "000000"
        if not ts_us:
            return
        times.append(ts_us)
        stamps.append(f"{stamp}{fraction}Z" if fraction[3:] != "000" else f"{stamp}{fraction[:3]}Z")
    keys = plan.identify_all(columns, times)
    if keys is None:
        keys = [plan.identify([column[row] for column in columns], ts_us) for row, ts_us in enumerate(times)]
    for number, doc, own, ts_us, stamp, key in zip(numbers, docs, tokens, times, stamps, keys, strict=True):
        line = lines[number]
        doc.update(syslog_fields(line))
        doc["@timestamp"] = stamp
        out[number] = Parsed(doc, ts_us, key or key_of_text(line.message), "", own and (own + syslog_tokens(line)))


def _second_of(date: str, clock: str, zone: str, context: Context) -> tuple[int, str, str]:
    """Microseconds since 1970 of a device time, its seconds before the offset as text, and how its time stamp begins; "" for a time that is not plain."""
    ts_us, second = _utc(date, clock, zone, context.timezone) if date else (_NO_TIME, "")
    if ts_us == _NO_TIME or (ts_us + context.offset_us) % SECOND_US:
        return 0, "", ""
    try:
        return ts_us + context.offset_us, second, iso(ts_us + context.offset_us)[:20]
    except ValueError:
        return 0, "", ""


def _usable(text: str, context: Context) -> int:
    if not text:
        return 0
    try:
        us = time_us(text, context)
        iso(us)
    except ValueError:
        return 0
    return us


def moment(date: str, clock: str, zone: str, event_time: str, line: Line, context: Context) -> int:
    """Microseconds since 1970 of a line (0 = it tells none): its date and time, to the fraction that `eventtime` knows.

    Without a zone (before FortiOS 6.2), `eventtime` tells how far the clock is from UTC where both are of one moment;
    else the source's time zone counts.
    """
    ts_us, second = _utc(date, clock, zone, context.timezone) if date else (_NO_TIME, "")
    if ts_us == _NO_TIME:
        exact = event_us(event_time)
        return exact + context.offset_us if exact else _usable(line.header_time, context)
    if not zone and event_time:
        exact = event_us(event_time)
        ahead = civil_us(date, clock) - exact // SECOND_US * SECOND_US
        if exact and abs(ahead) <= 14 * HOUR_US and (ahead + MINUTE_US) % (15 * MINUTE_US) <= 2 * MINUTE_US:
            return exact + context.offset_us
    fraction = event_time[10:16]
    if fraction and event_time[:10] == second and fraction.isdecimal() and fraction.isascii():
        ts_us += int(fraction.ljust(6, "0"))
    return ts_us + context.offset_us


@lru_cache(maxsize=4_096)
def _utc(date: str, clock: str, zone: str, timezone: str) -> tuple[int, str]:
    """Microseconds since 1970 of a device time, and its seconds as text; `_NO_TIME` for a date that is none."""
    civil = civil_us(date, clock)
    if civil == _NO_TIME:
        return _NO_TIME, ""
    ts_us = to_utc_us(civil, zone, timezone)
    try:
        iso(ts_us)
    except ValueError:  # 1 January of the year 1 in the east lies before it
        return _NO_TIME, ""
    return ts_us, str(ts_us // SECOND_US)


def civil_us(date: str, clock: str) -> int:
    """Microseconds since 1970 on the device's own clock; `_NO_TIME` for a date that is none."""
    try:
        clock = clock.replace(" ", "")
        us: int = midnight_us(date) + clock_us(clock if len(clock) >= 8 else ":".join(part.rjust(2, "0") for part in clock.split(":")))  # noqa: PLR2004 - HH:MM:SS
        iso(us)
    except ValueError:
        return _NO_TIME
    return us


def event_us(text: str) -> int:
    """Microseconds of `eventtime` (nanoseconds since FortiOS 6.2, seconds before); 0 for what is none."""
    try:
        us = epoch_us(text)
        iso(us)
    except ValueError:
        return 0
    return us


def _cef_pairs(line: Line) -> dict[str, str]:
    """The FortiOS pairs of a CEF line."""
    record = cef(line.message)
    if record is None:
        raise MalformedRecord("the CEF header is broken", parser=NAME, fields=syslog_fields(line))
    names = table()["cef"]
    pairs: dict[str, str] = {}
    for key, value in record.extensions.items():
        name = names.get(key)
        for prefix in CEF_PREFIXES:
            if key.startswith(prefix):
                name = key[len(prefix) :]
        if value not in NOTHING and name != "":
            pairs.setdefault(name or key, value)
    if not pairs.get("proto", "0").isdigit():
        pairs["proto"] = _NUMBERS.get(pairs["proto"].lower(), pairs["proto"])
    category: Sequence[str] = pairs.pop("cat", record.name.partition(" ")[0]).split(":")
    if len(category) > 1 or "subtype" in pairs:  # FortiAnalyzer puts the two into keys of their own
        pairs.setdefault("type", category[0])
        pairs.setdefault("subtype", category[-1])
    if line.host:  # FortiOS puts its own name there
        pairs.setdefault("devname", line.host)
    if record.class_id:
        pairs.setdefault("logid", record.class_id)
    return pairs


PARSER = FortiGate()
