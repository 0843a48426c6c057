"""Whose an event is: network point first, then the prefix inside it; mailbox to agency; address to system.

A private address means nothing without its place: 192.168.1.10 behind two routers is two computers, so prefixes and
systems are looked up inside the point that the event came through, and only public ones everywhere.
Cost: some look-ups in dicts; a network is found by its longest prefix, one look-up per length in use.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

from soc.model.event import Doc
from soc.organization.model import Agency, Mailbox, Point, System
from soc.organization.registry import Registry

_OBSERVER = ("observer.name", "observer.serial_number", "observer.hostname", "host.name")
_INSIDE = ("source.ip", "destination.ip", "host.ip")
_MAIL = ("email.from.address", "email.sender.address", "email.to.address", "user.email", "user.name")


class Prefixes:
    """Networks and what each means; the longest that holds an address counts."""

    def __init__(self, entries: Iterable[tuple[str, str]]) -> None:
        self._tables: dict[tuple[int, int], dict[int, str]] = {}
        for text, meaning in entries:
            network = ip_network(text, strict=False)
            self._tables.setdefault((network.version, network.prefixlen), {})[int(network.network_address)] = meaning
        self._lengths = {version: sorted((length for kind, length in self._tables if kind == version), reverse=True) for version in (4, 6)}

    def find(self, version: int, value: int) -> str:
        """What an address means ("" = nothing known)."""
        bits = 32 if version == 4 else 128  # noqa: PLR2004
        for length in self._lengths[version]:
            shift = bits - length
            found = self._tables[version, length].get(value >> shift << shift)
            if found is not None:
                return found
        return ""


class Directory:
    """The registry as the pipeline asks it, for one day."""

    def __init__(self, registry: Registry, day: date) -> None:
        self._points: dict[str, Point] = {}
        self._sources: dict[str, Point] = {}
        for point in registry.all(Point, day):
            for name in point.observers:
                self._points[name.casefold()] = point
            for name in point.sources:
                self._sources[name] = point
        self._by_id = {point.id: point for point in registry.all(Point, day)}
        self._inside = {
            point.id: Prefixes((text.partition("=")[0], text.partition("=")[2] or point.agency) for text in point.prefixes)
            for point in registry.all(Point, day)
        }
        self._mailboxes = {mailbox.address: mailbox.agency for mailbox in registry.all(Mailbox, day)}
        self._domains = {domain.lower(): agency.id for agency in registry.all(Agency, day) for domain in agency.domains}
        systems = registry.all(System, day)
        self._public = {address: system for system in systems for address in system.public_addresses}
        self._private = {(system.point, address): system for system in systems for address in system.addresses if system.point}
        self.empty = not (self._by_id or self._mailboxes or self._public or self._domains)

    def enrich(self, doc: Doc) -> None:
        """Add to a flat event what is known of its place: `soc.network_point`, `soc.agency.id`, `soc.system.id`, `soc.system.level`.

        What the source's settings said stays.
        """
        point = self._point(doc)
        if point is not None:
            doc.setdefault("soc.network_point", point.id)
        if "soc.agency.id" not in doc:
            agency = self._agency(doc, point)
            if agency:
                doc["soc.agency.id"] = agency
        system = self._system(doc, point)
        if system is not None:
            doc["soc.system.id"] = system.id
            if system.level:
                doc["soc.system.level"] = system.level

    def _point(self, doc: Doc) -> Point | None:
        named = doc.get("soc.network_point")
        if named:
            return self._by_id.get(str(named))
        for field in _OBSERVER:
            value = doc.get(field)
            if isinstance(value, str) and (found := self._points.get(value.casefold())) is not None:
                return found
        return self._sources.get(str(doc.get("soc.source", "")))

    def _agency(self, doc: Doc, point: Point | None) -> str:
        if point is not None:
            for field in _INSIDE:
                for value in _listed(doc.get(field)):
                    parsed = _parsed(value)
                    if parsed is not None and (found := self._inside[point.id].find(*parsed)):
                        return found
            return point.agency
        for field in _MAIL:
            for value in _listed(doc.get(field)):
                address = value.lower()
                found = self._mailboxes.get(address) or self._domains.get(address.rpartition("@")[2], "")
                if found:
                    return found
        return ""

    def _system(self, doc: Doc, point: Point | None) -> System | None:
        for field in ("destination.ip", "source.ip", "host.ip"):
            for value in _listed(doc.get(field)):
                found = self._private.get((point.id, value)) if point is not None else None
                found = found or self._public.get(value)
                if found is not None:
                    return found
        return None


def _listed(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


@lru_cache(maxsize=65_536)
def _parsed(text: str) -> tuple[int, int] | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.version, int(address)
