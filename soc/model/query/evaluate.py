"""What a query means: whether an event fits. The oracle that every store's translation is tested against.

Readable, total, never optimised. A field holds one value or a list; a comparison holds when it holds for any value.
Absent fields fit nothing but `not`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from soc.model.event import Doc, values
from soc.model.query.moment import instant
from soc.model.query.tree import All, And, Cidr, Exists, Node, Not, Or, Range, Term, Text
from soc.model.text import event_tokens, searched_fields, vi_fold

Address = IPv4Address | IPv6Address
_NUMBER = re.compile(r"-?\d{1,40}(\.\d{1,40})?", re.ASCII)
_SPACES = re.compile(r"\s+")


def matches(node: Node, doc: Doc, tokens: set[str] | None = None) -> bool:
    """Whether the event fits the query; `tokens` are those of `event_tokens(doc)` where they are known already."""
    if isinstance(node, All):
        return True
    if isinstance(node, And):
        return all(matches(child, doc, tokens) for child in node.nodes)
    if isinstance(node, Or):
        return any(matches(child, doc, tokens) for child in node.nodes)
    if isinstance(node, Not):
        return not matches(node.node, doc, tokens)
    if isinstance(node, Text):
        return _text(node, doc, tokens)
    present = [value for value in values(doc, node.field) if value is not None]
    if isinstance(node, Exists):
        return bool(present)
    test = _term if isinstance(node, Term) else _range if isinstance(node, Range) else _cidr
    return any(test(node, value) for value in present)  # type: ignore[arg-type]  # the test is chosen by the node's type


def as_text(value: Any) -> str:
    """A value as the text that terms compare: as JSON writes it."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def as_number(value: Any) -> int | float | None:
    """The number that a value is or spells, None when it is none (NaN and infinities are none)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if not _NUMBER.fullmatch(value):
        return None
    return float(value) if "." in value else int(value)


@lru_cache(maxsize=65_536)
def as_address(text: str) -> Address | None:
    """The IP address that a text spells (an IPv4 address mapped into IPv6 is the IPv4 address), or None."""
    if len(text) > 64 or not (":" in text or text[:1].isdigit()):  # noqa: PLR2004 - the longest address with zone
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped if mapped is not None else address


def glob(pattern: str, text: str) -> bool:
    """Whether the whole text fits a pattern of `*` (any text) and `?` (any character). Cost: at most len(pattern) × len(text)."""
    at = in_text = 0
    star, resume = -1, 0
    while in_text < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, in_text
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[in_text]):
            at += 1
            in_text += 1
        elif star >= 0:
            resume += 1
            at, in_text = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")


def holds_phrase(doc: Doc, phrase: str) -> bool:
    """Whether the line or a searched field holds the phrase, after folding, any white space being one space."""
    wanted = _SPACES.sub(" ", vi_fold(phrase)).strip()
    texts: list[Any] = [doc.get("event.original") or ""]
    for name in searched_fields(doc):
        texts.extend(values(doc, name))
    return any(wanted in _SPACES.sub(" ", vi_fold(as_text(text))) for text in texts if text is not None)


def _text(node: Text, doc: Doc, tokens: set[str] | None) -> bool:
    known = set(event_tokens(doc).split()) if tokens is None else tokens
    whole = node.tokens[:-1] if node.prefix else node.tokens
    if not all(token in known for token in whole):
        return False
    if node.prefix and node.tokens and not any(token.startswith(node.tokens[-1]) for token in known):
        return False
    return not node.phrase or holds_phrase(doc, node.phrase)


def _term(node: Term, value: Any) -> bool:
    text, wanted = vi_fold(as_text(value)), vi_fold(node.value)
    if node.wildcard:
        return glob(wanted, text)
    if text == wanted:
        return True
    if isinstance(value, (int, float)):
        return not isinstance(value, bool) and (number := as_number(node.value)) is not None and number == value
    address = as_address(text)
    return address is not None and address == as_address(wanted)


def _range(node: Range, value: Any) -> bool:
    """Compared as what both bounds are: numbers, times, addresses, else folded text; a value of another sort lies outside."""
    bounds = [bound for bound in (node.low, node.high) if bound is not None]
    if not bounds:
        return True
    for read in (as_number, _instant_of, _address_of, _folded):
        if all(read(bound) is not None for bound in bounds):
            item = read(value)
            return item is not None and _between(
                item, read(node.low) if node.low is not None else None, read(node.high) if node.high is not None else None, node
            )
    return False


def _between(item: Any, low: Any, high: Any, node: Range) -> bool:
    if any(bound is not None and isinstance(item, Address) and bound.version != item.version for bound in (low, high)):
        return False
    if low is not None and not (item >= low if node.include_low else item > low):
        return False
    return high is None or bool(item <= high if node.include_high else item < high)


def _instant_of(value: Any) -> int | None:
    return instant(value) if isinstance(value, str) else None


def _address_of(value: Any) -> Address | None:
    return as_address(value) if isinstance(value, str) else None


def _folded(value: Any) -> str:
    return vi_fold(as_text(value))


@lru_cache(maxsize=1024)
def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _cidr(node: Cidr, value: Any) -> bool:
    network = _network(node.network)
    address = as_address(value) if isinstance(value, str) else None
    return network is not None and address is not None and address.version == network.version and address in network
