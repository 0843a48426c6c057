"""What must never be blocked, and why: what is not public, what is ours, what everybody needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from ipaddress import IPv4Network, IPv6Network, ip_network

import msgspec
import yaml

from soc.errors import ConfigError, Phrase
from soc.intel.observables import Observable

Network = IPv4Network | IPv6Network
_SMALLEST = {4: 16, 6: 32}
"""Networks larger than these prefix lengths are no aim but a mistake."""


# Reference: RFC 5737 and RFC 3849: addresses of documentation, which nobody has; demonstrations and drills block them.
_EXAMPLES = tuple(map(ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")))
_NEEDED = "everybody needs {name}"


class _Resolver(msgspec.Struct, frozen=True):
    value: str
    name: str
    source: str


class _Domains(msgspec.Struct, frozen=True):
    source: str
    names: str


class _Data(msgspec.Struct, frozen=True):
    resolvers: list[_Resolver]
    domains: _Domains


@lru_cache(maxsize=1)
def shipped() -> _Data:
    """What is shipped: public resolvers and domains that everybody needs.

    Raises: ConfigError.
    """
    try:
        return msgspec.convert(yaml.safe_load(files("soc.intel").joinpath("data/never_block.yml").read_text(encoding="utf-8")), _Data)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigError(Phrase("it cannot be read: {error}", error=error), file="never_block.yml") from error


class AllowList:
    """What is never blocked. `networks`, `domains`: what is ours, each with its owner's id; `said`: values that people allowed, and why."""

    def __init__(
        self, networks: Iterable[tuple[str, str]] = (), domains: Mapping[str, str] = {}, mailboxes: Iterable[str] = (), said: Mapping[str, str] = {}
    ) -> None:
        self._networks: list[tuple[Network, str]] = [(ip_network(one.value), Phrase("public resolver ({name})", name=one.name)) for one in shipped().resolvers]
        self._networks += [(ip_network(network, strict=False), Phrase("ours ({id})", id=owner)) for network, owner in networks]
        self._domains: dict[str, str] = {name: Phrase("everybody needs {name}", name=name) for name in shipped().domains.names.split()}
        self._domains |= {domain.lower(): Phrase("ours ({id})", id=owner) for domain, owner in domains.items()}
        self._mailboxes = frozenset(mailboxes)
        self._said = dict(said)

    def reason(self, one: Observable) -> str:
        """Why it is never blocked ("" = it may be)."""
        said = self._said.get(one.value)
        if said is not None:
            return Phrase("allowed: {reason}", reason=said)
        if one.type == "ip":
            return self._of_address(one.value)
        if one.type == "domain":
            return self._of_domain(one.value)
        if one.type == "email":
            return Phrase("ours ({id})", id=one.value) if one.value in self._mailboxes else self._of_domain(one.value.rpartition("@")[2], shared=True)
        if one.type == "url":
            return self._of_url(one.value)
        return ""

    def _of_address(self, value: str) -> str:
        network = ip_network(value, strict=False)
        if network.prefixlen < _SMALLEST[network.version]:
            return Phrase("too many addresses at once")
        example = any(one.version == network.version and one.supernet_of(network) for one in _EXAMPLES)  # type: ignore[arg-type]
        if (not network.is_global and not example) or network.is_multicast:
            return Phrase("not a public address")
        for known, why in self._networks:
            if known.version == network.version and known.overlaps(network):
                return why
        return ""

    def _of_domain(self, value: str, *, shared: bool = False) -> str:
        """`shared`: of a mail address; one on a service of all may be blocked, one of ours not."""
        labels = value.split(".")
        for at in range(len(labels)):
            why = self._domains.get(".".join(labels[at:]))
            if why is not None and not (shared and getattr(why, "template", "") == _NEEDED):
                return why
        return Phrase("a whole top-level domain") if len(labels) == 1 else ""

    def _of_url(self, value: str) -> str:
        rest = value.partition("://")[2]
        host = rest.partition("/")[0].partition("?")[0]
        bare = not rest[len(host) :].strip("/")
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if set(name) <= set("0123456789.") or ":" in name:
            return self._of_address(name)
        return self._of_domain(name, shared=not bare)
