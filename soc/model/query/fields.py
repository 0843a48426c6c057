"""What the query language knows of fields: short names for daily use, and what they hold: times, addresses, numbers, levels.

Adding a short name is adding a line to `ALIASES`; `docs/reference/query-language.md` lists them (a test compares).
"""

from __future__ import annotations

from soc.model.level import KINDS, THREAT_LEVELS

ALIASES: dict[str, tuple[str, ...]] = {
    "level": ("soc.threat.level",),
    "category": ("soc.threat.category",),
    "kind": ("soc.kind",),
    "agency": ("soc.agency.id",),
    "feed": ("soc.source",),
    "id": ("soc.id",),
    "parser": ("soc.parser",),
    "blocked": ("soc.blocked",),
    "verdict": ("soc.mail.verdict",),
    "campaign": ("soc.mail.campaign",),
    "time": ("@timestamp",),
    "received": ("soc.received_at",),
    "source": ("source.ip",),
    "src": ("source.ip",),
    "sport": ("source.port",),
    "destination": ("destination.ip",),
    "dst": ("destination.ip",),
    "dport": ("destination.port",),
    "ip": ("source.ip", "destination.ip"),
    "port": ("source.port", "destination.port"),
    "proto": ("network.transport",),
    "service": ("network.protocol",),
    "app": ("network.application",),
    "user": ("user.name", "source.user.name"),
    "host": ("host.name", "observer.name"),
    "device": ("observer.name",),
    "action": ("event.action",),
    "outcome": ("event.outcome",),
    "dataset": ("event.dataset",),
    "rule": ("rule.name", "rule.id"),
    "from": ("email.from.address",),
    "to": ("email.to.address",),
    "subject": ("email.subject",),
    "url": ("url.original", "url.full"),
    "domain": ("url.domain", "dns.question.name"),
    "file": ("file.name",),
    "hash": ("file.hash.sha256", "file.hash.sha1", "file.hash.md5"),
}
"""Short name → ECS fields; several mean any of them."""

TIME_FIELDS = frozenset({"@timestamp", "event.created", "event.start", "event.end", "event.ingested", "soc.received_at"})
"""Fields whose values are RFC 3339 UTC times: queries may write them as dates or relative to now."""

ORDERED_FIELDS: dict[str, tuple[str, ...]] = {"soc.threat.level": THREAT_LEVELS}
"""Field → the only values that it has, the least first: comparisons go by this order, not by the alphabet."""

CLOSED_FIELDS: dict[str, tuple[str, ...]] = {**ORDERED_FIELDS, "soc.kind": KINDS}
"""Field → the only values that it has; another one is a slip of the hand."""

_NUMBERS = frozenset({"port", "bytes", "packets"})


def holds_addresses(field: str) -> bool:
    """Whether a field holds IP addresses and nothing else.  Source: ECS, whose fields named `ip` are of type ip."""
    return field.rpartition(".")[2] == "ip"


def holds_numbers(field: str) -> bool:
    """Whether a field of ECS holds whole numbers and nothing else."""
    head, _dot, name = field.rpartition(".")
    return name in _NUMBERS and head in ("source", "destination", "client", "server", "network", "url", "source.nat", "destination.nat")
