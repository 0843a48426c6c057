"""Says where each FortiOS field belongs in ECS, from `mapping.yml`, and converts its value.

`assign(keys)` is the whole mapping of a line with these keys; it depends on keys only, so that the lines of one log
type share one plan (see `plan.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import yaml

from soc.ingest.normalize import TRANSPORTS, Remembered, count, hash_kind, ip, ips, mac, mail_address, port
from soc.model.event import Doc

VENDOR = "fortinet.firewall."
MOST_ADDRESSES = 64
"""Addresses of one list that are kept."""


@cache
def table() -> dict[str, Any]:
    """The content of `mapping.yml`."""
    document: dict[str, Any] = yaml.safe_load(resources.files(__package__).joinpath("mapping.yml").read_text(encoding="utf-8"))
    return document


class Target(NamedTuple):
    """Where the value of a key goes: `kind` names the converter ("" = text as it is)."""

    key: str
    field: str
    kind: str


def family(log_type: str) -> str:
    """`traffic`, `event` or `utm`: FortiOS 5.2 and earlier name each UTM log by a type of its own."""
    return log_type if log_type in {"traffic", "event"} else "utm" if log_type else "event"


def assign(keys: tuple[str, ...], group: str) -> list[Target]:
    """The targets of these keys (each at least one, unless dropped) in a line of family `group`.

    Order: of the keys; of several keys for one field the one that `mapping.yml` lists first gets it.
    """
    data = table()
    section = data["event without locip" if group == "event" and "locip" not in keys else group]
    order = {**section, **{key: value for key, value in data["common"].items() if key not in section}}
    rank = {key: number for number, key in enumerate(order)}
    owners: dict[str, str] = {}
    wanted: dict[str, list[tuple[str, str]]] = {}
    for key in sorted(keys, key=lambda key: rank.get(key, len(rank))):
        entry = order.get(key, ())
        for target in [entry] if isinstance(entry, str) else entry:
            field, _, kind = target.partition(" ")
            if owners.setdefault(field, key) == key:
                wanted.setdefault(key, []).append((field, kind))
    targets = []
    for key in keys:
        if key in wanted:
            targets += [Target(key, field, kind) for field, kind in wanted[key]]
        elif key not in data["dropped"]:
            targets.append(Target(key, vendor_field(key), ""))
    return targets


def _product(serial: str) -> Doc:
    return next((said for prefix, said in table()["products"].items() if serial.startswith(prefix)), {})


products = Remembered(_product)
"""By serial number: what is said of the device where it is no FortiGate; nothing for a FortiGate and for one of an unknown kind."""


def vendor_field(key: str) -> str:
    """The field of a key that ECS has no place for."""
    return VENDOR + key.replace(".", "_")


def _direction(text: str) -> str:
    # Reference: ECS network.direction allowed values.
    known = {"outgoing": "outbound", "incoming": "inbound", "outbound": "outbound", "inbound": "inbound", "egress": "outbound", "ingress": "inbound"}
    value = known.get(text.strip().lower())
    if value is None:
        raise ValueError("not a direction")
    return value


def _transport(text: str) -> str:
    name = TRANSPORTS.get(text) or (text.lower() if text.lower() in TRANSPORTS.values() else None)
    if name is None:
        raise ValueError("not a protocol number")
    return name


def _split(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,;]", text) if part.strip()][:MOST_ADDRESSES]


# Reference: `John <a@example.vn>` and `"a@example.vn"` as mail headers give them.
_IN_BRACKETS = re.compile(r"<([^<>\s]{3,320})>")
_CALLS = frozenset(["sip", "sips", "tel"])
"""How the `from` and `to` of VoIP logs begin: those are no mail addresses."""


def _mail(text: str) -> str:
    found = _IN_BRACKETS.search(text)
    address = mail_address(found[1] if found else text.strip("\"' "))
    if address.partition(":")[0].lower() in _CALLS:
        raise ValueError("the address of a call")
    return address


# Reference: FortiOS `ui`: `https(10.0.0.5)`, `ssh(10.0.0.5)`, `GUI(10.0.0.5)`, `jsconsole`.
_UI = re.compile(r"[\w-]{1,32}\(([0-9A-Fa-f.:]{2,45})\)$")


def _ui(text: str) -> str:
    found = _UI.match(text)
    if found is None:
        raise ValueError("no address")
    return ip(found[1])


def _some(values: list[str]) -> list[str]:
    if not values:
        raise ValueError("an empty list")
    return values


def _seconds(text: str) -> int:
    value = count(text) * 1_000_000_000
    if value >= 2**63:
        raise ValueError("not a duration")
    return value


def _category(text: str) -> str:
    return text.replace(".", "-")


CONVERTERS: dict[str, Callable[[str], Any]] = {
    "ip": ips.__getitem__,
    "port": Remembered(port).__getitem__,
    "count": count,
    "seconds": _seconds,
    "mac": mac,
    "lower": Remembered(str.lower).__getitem__,
    "transport": Remembered(_transport, 512).__getitem__,
    "direction": Remembered(_direction, 512).__getitem__,
    "category": Remembered(_category).__getitem__,
    "list": lambda text: [text],
    "ips": lambda text: _some([ip(part) for part in _split(text)]),
    "mail": _mail,
    "mails": lambda text: _some([_mail(part) for part in _split(text)]),
    "ui": _ui,
}
"""By kind: text → value. Raises: ValueError; the text then stays under `fortinet.firewall.`."""


def convert(target: Target, value: str) -> tuple[str, Any]:
    """The field and the value that `value` becomes.

    Raises: ValueError.
    """
    if target.kind == "hash":
        return f"file.hash.{hash_kind(value)}", value.lower()
    if target.field == "url":
        return ("url.path", value) if value[0] == "/" else ("url.original", value)
    return target.field, CONVERTERS[target.kind](value) if target.kind else value
