"""Blocking lists as gateways read them: plain lists by type, FortiGate's command line, STIX 2.1.

Values come from `soc.intel.observables`, which lets nothing pass that could end a line or a quoted word; what a format cannot say
is left out and told. Sources: PAN-OS Administrator's Guide, External Dynamic List formatting; FortiOS CLI Reference, firewall
address; OASIS STIX 2.1, sections 4.7 and 9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import Any
from uuid import UUID, uuid5

from soc.intel.blocking import Entry
from soc.intel.observables import hash_kind
from soc.model.ids import digest_id

FORMATS = ("edl", "csv", "fortigate", "stix")
EDL_TYPES = ("ip", "domain", "url", "hash", "email")
_FORTIGATE = ("ip", "domain")
_LONGEST_NAME = 79
_MEMBERS = 20
"""Of one line of a group."""
_NAMESPACE = UUID("2f4b1a60-9a4e-5f0f-8c55-0d1f6f3e9b11")
"""Of the ids of our STIX objects; drawn once."""
# Reference: a value that stands between quotes on FortiGate's command line, or on a line of its own
_SAFE = re.compile(r"[A-Za-z0-9._:/@%?&=+~#,;!$*()\[\]-]{1,2048}")
_MARKINGS = {
    "CLEAR": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "GREEN": "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "AMBER": "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "AMBER+STRICT": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    "RED": "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
"""TLP 2.0 as the STIX 2.1 extension defines it."""


def edl(entries: Sequence[Entry], type_: str) -> Iterator[str]:
    """The lines of a plain list of one type; URLs without scheme, as PAN-OS and FortiGate (external resource) want them."""
    for one in entries:
        if one.type == type_ and _SAFE.fullmatch(one.value):
            yield one.value.partition("://")[2] if type_ == "url" else one.value


def fortigate(entries: Sequence[Entry], group: str, expires_at: str) -> Iterator[str]:
    """The lines for FortiGate's command line: an address each, and a group of each version that a policy denies."""
    usable = [one for one in entries if one.type in _FORTIGATE and _SAFE.fullmatch(one.value)]
    groups: dict[str, list[str]] = {"": [], "6": []}
    sections: dict[str, list[str]] = {"": [], "6": []}
    for one in usable:
        name = _named(group, one.value)
        network = ip_network(one.value, strict=False) if one.type == "ip" else None
        kind = "6" if network is not None and network.version == 6 else ""  # noqa: PLR2004
        if network is None:
            what = ["set type fqdn", f'set fqdn "{one.value}"']
        elif kind:
            what = [f"set ip6 {network}"]
        else:
            what = ["set type ipmask", f"set subnet {network.network_address} {network.netmask}"]
        note = f"{','.join(one.incidents[:5])} until {expires_at[:10]}"
        sections[kind] += [f'    edit "{name}"', *(f"        {line}" for line in what), f'        set comment "{note}"', "    next"]
        groups[kind].append(name)
    for kind in ("", "6"):
        if groups[kind]:
            yield from (f"config firewall address{kind}", *sections[kind], "end")
            yield from (f"config firewall addrgrp{kind}", f'    edit "{group}{"-" + kind if kind else ""}"')
            for at in range(0, len(groups[kind]), _MEMBERS):
                members = " ".join(f'"{name}"' for name in groups[kind][at : at + _MEMBERS])
                yield f"        {'append' if at else 'set'} member {members}"
            yield from ("    next", "end")


def _named(group: str, value: str) -> str:
    """The name of an address object: long values are cut, and stay different."""
    name = f"{group} {value}"
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 13]}-{digest_id('fortigate-address', value)[:12]}"


_PATTERNS = {
    "domain": "[domain-name:value = '{value}']",
    "url": "[url:value = '{value}']",
    "email": "[email-message:from_ref.value = '{value}']",
    "file": "[file:name = '{value}']",
}
_HASH_NAMES = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "sha512": "SHA-512"}


def stix(entries: Sequence[Entry], name: str, *, tlp: str, begin: str, expires_at: str) -> list[dict[str, Any]]:
    """STIX 2.1 indicators; the same list gives the same ids."""
    marking = _MARKINGS.get(tlp, _MARKINGS["AMBER"])
    return [_indicator(one, name, marking, begin, expires_at) for one in entries]


def bundle(objects: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """The bundle of the indicators of some lists."""
    return {"type": "bundle", "id": f"bundle--{uuid5(_NAMESPACE, ' '.join(names))}", "objects": list(objects)}


def _indicator(one: Entry, name: str, marking: str, begin: str, expires_at: str) -> dict[str, Any]:
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--{uuid5(_NAMESPACE, f'{name}/{one.type}/{one.value}')}",
        "created": _milli(begin),
        "modified": _milli(begin),
        "name": f"{one.type} {one.value}",
        "description": ", ".join((name, *one.incidents)),
        "indicator_types": ["malicious-activity"],
        "pattern": _pattern(one),
        "pattern_type": "stix",
        "valid_from": _milli(begin),
        "valid_until": _milli(expires_at),
        "object_marking_refs": [marking],
    }


def _pattern(one: Entry) -> str:
    value = one.value.replace("\\", "\\\\").replace("'", "\\'")
    if one.type == "ip":
        return f"[ipv{6 if ':' in value else 4}-addr:value = '{value}']"
    if one.type == "hash":
        return f"[file:hashes.'{_HASH_NAMES[hash_kind(value)]}' = '{value}']"
    return _PATTERNS[one.type].format(value=value)


def _milli(at: str) -> str:
    """A time as STIX has them: with milliseconds."""
    head, _, rest = at.rstrip("Z").partition(".")
    return f"{head}.{(rest + '000')[:3]}Z"
