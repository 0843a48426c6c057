"""Events, alerts and letters for the contract suites: small, varied, the same at every run."""

from __future__ import annotations

import unicodedata
from typing import Any

from soc.clock import iso
from soc.model.alert import Alert, RuleRef
from soc.model.deadletter import DeadLetter
from soc.model.event import Doc, Event
from soc.model.ids import alert_id, derived_event_id, digest_id, event_id, group_id, raw_hash
from soc.model.text import event_tokens
from soc.ports import Effects, Progress

T0 = 1_795_136_400_000_000
"""2026-11-20T01:00:00Z = 08:00 in Viet Nam."""
SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR


def event(
    seq: int,
    *,
    partition: str = "fw/0",
    source: str = "fw1",
    origin: str = "",
    origin_seq: int = -1,
    raw: str = "",
    ts_us: int | None = None,
    kind: str = "firewall",
    level: str = "none",
    category: str = "",
    scope: str = "real",
    natural_key: str = "",
    counted: bool = True,
    derived: str = "",
    **fields: Any,
) -> Event:
    """An event at position `seq`; `fields` names use `__` for the dot."""
    ts_us = T0 + seq * SECOND if ts_us is None else ts_us
    origin = origin or partition
    origin_seq = seq if origin_seq < 0 else origin_seq
    raw = raw or f"line {seq} of {origin}"
    identity = derived_event_id(scope, derived) if derived else event_id(origin, origin_seq)
    doc: Doc = {
        "@timestamp": iso(ts_us),
        "event.kind": "event",
        **{name.replace("__", "."): value for name, value in fields.items()},
        "soc.id": identity,
        "soc.scope": scope,
        "soc.source": source,
        "soc.partition": partition,
        "soc.seq": seq,
        "soc.received_at": iso(ts_us),
        "soc.kind": kind,
        "soc.parser": "sample@1",
        "soc.raw_hash": raw_hash(raw.encode()),
        "soc.schema": 1,
        "soc.threat.level": level,
    }
    if derived:
        doc["soc.derived"] = True
    else:
        doc |= {"soc.origin": origin, "soc.origin_seq": origin_seq, "soc.sub": 0, "event.original": raw}
    if category:
        doc["soc.threat.category"] = category
    if natural_key:
        doc["soc.natural_key"] = natural_key
    if not counted:
        doc["soc.counted"] = False
    return Event(
        *(identity, ts_us, kind, source, partition, seq, doc["soc.raw_hash"], level, category, scope, doc, event_tokens(doc), natural_key, counted),
        derived=bool(derived),
        origin="" if derived else origin,
        origin_seq=-1 if derived else origin_seq,
    )


def progress(*events: Event, letters: int = 0, dropped: dict[str, int] | None = None, first: int = -1, until: int = -1) -> list[Progress]:
    """The progress of a batch of consecutive positions of one partition that ends in these events (and letters, and drops)."""
    own = [item for item in events if "soc.derived" not in item.doc]
    first = min(item.seq for item in own) if first < 0 else first
    received = len(own) + letters + sum((dropped or {}).values())
    until = first + received if until < 0 else until
    return [Progress(own[0].source if own else "fw1", own[0].partition if own else "fw/0", first, until - 1, until, received, dict(dropped or {}))]


def batch(*events: Event, **rest: Any) -> Effects:
    """The effects of a batch of events of one partition."""
    return Effects(progress=progress(*events), events=list(events), **rest)


def alert(
    of: Event, *, rule: str = "r-1", rule_level: str = "high", key: str = "203.0.113.7", natural_key: str = "", agency: str = "", title: str = "Quét cổng"
) -> Alert:
    """An alert of a rule about one event."""
    return Alert(
        id=alert_id(rule, of.id),
        group=group_id(rule, key, of.scope),
        group_key={"source.ip": key},
        rule=RuleRef(rule, title, rule_level, "h-" + rule, ("attack.t1046",)),
        scope=of.scope,
        ts=iso(of.ts_us),
        detected_at=iso(of.ts_us + SECOND),
        events=[of.id],
        documents=[{"source": {"ip": key}}],
        explanation={"node": "field", "matched": True, "field": "source.ip", "children": []},
        source=of.source,
        threat_level=of.level,
        threat_category=of.category,
        agency=agency,
        natural_key=natural_key,
        rules_hash="rules-1",
    )


def letter(
    seq: int,
    *,
    partition: str = "fw/0",
    source: str = "fw1",
    raw: bytes = b"\xff\x00 broken",
    reason: str = "unreadable",
    origin: str = "",
    origin_seq: int = -1,
) -> DeadLetter:
    """A dead letter at position `seq`."""
    origin = origin or partition
    origin_seq = seq if origin_seq < 0 else origin_seq
    return DeadLetter(event_id(origin, origin_seq), source, partition, seq, origin, origin_seq, 0, reason, f"{reason}: cannot be read", raw, T0 + seq * SECOND)


def redriven(of: DeadLetter, **fields: Any) -> Event:
    """The event that a mended parser makes of a dead letter."""
    return event(of.seq, partition=of.partition, source=of.source, origin=of.origin, origin_seq=of.origin_seq, raw=of.raw.decode("latin-1"), **fields)


# --- three hundred varied events ---------------------------------------------------------------------------------------

_LEVELS = (("none", ""), ("low", "policy"), ("medium", "scan"), ("high", "spam"), ("high", "malware"), ("critical", "intrusion"), ("none", ""))
_SUBJECTS = (
    "Hoá đơn điện tử tháng 11",
    "HOÁ ĐƠN ĐIỆN TỬ",
    "hoa don dien tu",
    unicodedata.normalize("NFD", "Đăng nhập tài khoản Ủy ban"),
    "Invoice [URGENT] *pay* now?",
    "Re: 50% off \\ final",
    "  spaces   inside  ",
    "Trường Đảng Lê Duẩn",
    "日本語 spam",
    "",
)
_USERS = ("Administrator", "administrator", "Đặng Văn A", "dang van a", "root", "nguyen.van.b@quangtri.gov.vn", "straße", "STRASSE")
_SOURCES = ("10.0.0.1", "10.0.0.12", "10.0.1.1", "192.168.1.10", "203.0.113.7", "2001:db8::1", "2001:db8:0:1::5", "::ffff:10.0.0.1", "fe80::1")
_HOSTS = ("mail.evil.com", "MAIL.EVIL.COM", "fgt-01", "fgt-02.quangtri.gov.vn", "evil.example")
_ACTIONS = ("deny", "Deny", "accept", "close", "server-rst")


def varied(count: int = 300) -> list[Event]:
    """Events of every sort: kinds, scopes, months, levels, IPv4 and IPv6, Vietnamese in NFC and NFD, lists, odd values, equal times."""
    return [_varied(number) for number in range(count)]


def _varied(n: int) -> Event:
    level, category = _LEVELS[n % len(_LEVELS)]
    kind = ("firewall", "mail", "endpoint")[n % 3]
    fields: dict[str, Any] = {
        "event__action": _ACTIONS[n % len(_ACTIONS)],
        "event__module": ("fortinet", "postfix")[n % 2],
        "source__ip": _SOURCES[n * 7 % len(_SOURCES)],
        "source__port": 1024 + n * 37 % 60000,
        "destination__ip": _SOURCES[n * 5 % len(_SOURCES)],
        "destination__port": (22, 25, 80, 443, 3389)[n % 5],
        "network__bytes": n * n * 1000,
        "observer__name": _HOSTS[n % len(_HOSTS)],
        "soc__blocked": n % 4 == 0,
    }
    if kind == "mail":
        fields["email__subject"] = _SUBJECTS[n // 3 % len(_SUBJECTS)]
        fields["email__to__address"] = ["a@quangtri.gov.vn", "b@quangtri.gov.vn"][: n % 2 + 1]
        fields["email__from__address"] = f"Sender{n % 9}@Evil.COM"
    if n % 4 == 1:
        fields["user__name"] = _USERS[n // 4 % len(_USERS)]
    if n % 5 == 2:
        fields["fortinet__firewall__vd"] = ("root", "Root", "dmz")[n // 5 % 3]
        fields["fortinet__firewall__crscore"] = str(n)
        fields["fortinet__firewall__note"] = _SUBJECTS[n // 5 % len(_SUBJECTS)]
    if n % 6 == 3:
        fields["threat__indicator__type"] = ["ipv4-addr", "domain-name"]
        fields["unheard__of__field"] = ("Ố ồ", "plain Value", "x" * 3000 + "END", "42")[n // 6 % 4]
    if n % 10 == 7:
        fields["message"] = f"{_SUBJECTS[n // 10 % len(_SUBJECTS)]} " + "dài " * (n * 10) + "hết"
        fields["event__duration"] = n * 1_000_000_007
        fields["event__risk_score"] = n / 7
    if n % 50 == 11:
        fields["source__ip"] = ("not-an-address", "010.000.000.001", "2001:DB8::1")[n // 50 % 3]
        fields["event__start"] = iso(T0 - n * HOUR + 7)
    ts_us = T0 + (n % 97) * 1_777_777_777 + (n % 3) * 500 - (n % 5) * 20 * DAY
    return event(
        n,
        partition=f"{kind}/0",
        source=f"src-{kind}",
        origin="varied",
        ts_us=ts_us,
        kind=kind,
        level=level,
        category=category,
        scope="exercise:dt-2026" if n % 11 == 5 else "real",
        natural_key=digest_id("natural", str(n // 2)) if level != "none" else "",
        counted=n % 2 == 0 or level == "none",
        **fields,
    )


def seed(events: list[Event]) -> list[Effects]:
    """Effects that store varied events in batches of fifty, partition by partition."""
    out = []
    for partition in sorted({item.partition for item in events}):
        of = [item for item in events if item.partition == partition]
        for begin in range(0, len(of), 50):
            part = of[begin : begin + 50]
            out.append(Effects(progress=[Progress(part[0].source, partition, part[0].seq, part[-1].seq, part[-1].seq + 1, len(part))], events=part))
    return out
