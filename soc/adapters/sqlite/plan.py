"""What of a query the store can answer without reading documents.

A query becomes (a) conditions on the class columns, (b) a full-text expression that every fitting event satisfies,
(c) whether those two are the whole of it (`exact`) or documents must still be tested with `matches`, which is the
only meaning that a query has.

Why the full text narrows field tests: `Event.tokens` holds the tokens of every searched field's values
(soc.model.text.event_tokens), so an event whose field equals a value has that value's tokens. What equals without
being written alike (numbers, addresses) is covered by alternatives and by marks that `marks_of` sets on the few
events where that is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Address, ip_network

import msgspec

from soc.model.level import THREAT_LEVELS
from soc.model.query import All, And, Cidr, Node, Not, Or, Term, Text
from soc.model.query.evaluate import as_address, as_number
from soc.model.text import MOST_TOKEN, MOST_TOKENS, SEARCHED_OWN, UNSEARCHED, tokens_of, vi_fold

OVERFLOW = "!"
"""Mark of an event with more tokens than are kept: field tests cannot be narrowed for it."""
ODD_ADDRESS = "!a"
"""Mark of an event that may hold an address that is not written in the usual form (IPv4 in IPv6, zeros not left out)."""
ID_MARK = "~"
ID_CHARS = 12
"""So much of an id is a token (60 bits). No token of a text begins with a mark."""
_LEAST_PREFIX = 3
"""Shorter prefixes fit too many words to be worth looking up."""
_MOST_PARTS = 256
COLUMNS = {"soc.threat.level": "levels", "soc.threat.category": "categories", "soc.source": "sources", "soc.kind": "kinds"}

# Reference: RFC 4291 2.2. Six groups in a row, or a run of zeros left out inside: only such texts can be IPv6 addresses
# whose first and last group are not zero.
_LONG_ADDRESS = re.compile(r"(?:[0-9a-f]{1,4}:){6}")
_IN_TOKENS = re.compile(r"(?<![^ ])[0-9a-f:.]+(?![^ ])")
_PLAIN_PREFIX = re.compile(r"[0-9a-z.:@_-]+")
_WORD = re.compile(r"[0-9a-z]+")
_EDGE = ".:-_@"


class Plan(msgspec.Struct, frozen=True):
    """Conditions on columns (None = any), the full-text expression ("" = none), and whether that is all."""

    levels: frozenset[str] | None = None
    categories: frozenset[str] | None = None
    sources: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    text: str = ""
    exact: bool = True
    worded: bool = False
    """Exact by the words of free text: not for events whose words were changed later (reclassified)."""


def plan(node: Node) -> Plan:
    """The plan of a query."""
    if isinstance(node, And):
        whole = Plan()
        for child in node.nodes:
            whole = _both(whole, plan(child))
        return whole
    found = _columns(node)
    if found is not None:
        return found
    text, exact = _narrow(node)
    return Plan(text=text, exact=exact, worded=exact and bool(text))


def _both(one: Plan, other: Plan) -> Plan:
    return Plan(
        levels=_meet(one.levels, other.levels),
        categories=_meet(one.categories, other.categories),
        sources=_meet(one.sources, other.sources),
        kinds=_meet(one.kinds, other.kinds),
        text=_all_of([one.text, other.text]),
        exact=one.exact and other.exact,
        worded=one.worded or other.worded,
    )


def _meet(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    return other if one is None else one if other is None else one & other


def _columns(node: Node) -> Plan | None:
    """The plan of a test on one column, None when the node is something else."""
    if isinstance(node, All):
        return Plan()
    if isinstance(node, Not) and isinstance(node.node, Term) and node.node.field == "soc.threat.level" and not node.node.wildcard:
        return Plan(levels=frozenset(level for level in THREAT_LEVELS if level != vi_fold(node.node.value)))
    terms = node.nodes if isinstance(node, Or) else (node,)
    fields = {term.field for term in terms if isinstance(term, Term) and not term.wildcard and term.value and term.field in COLUMNS}
    if len(fields) != 1 or not all(isinstance(term, Term) and not term.wildcard and term.value and term.field in fields for term in terms):
        return None
    values = frozenset(vi_fold(term.value) for term in terms if isinstance(term, Term))
    field = fields.pop()
    if any(as_number(value) is not None or as_address(value) is not None for value in values):
        return None  # equal to what is written otherwise: left to `matches`
    return msgspec.structs.replace(Plan(), **{COLUMNS[field]: values})


def _narrow(node: Node) -> tuple[str, bool]:
    """A full-text expression that all fitting events satisfy ("" = none), and whether it says as much as the node."""
    if isinstance(node, Text):
        return _text(node)
    if isinstance(node, And):
        parts = [_narrow(child) for child in node.nodes]
        return _all_of(text for text, _ in parts), all(exact for _, exact in parts)
    if isinstance(node, Or):
        parts = [_narrow(child) for child in node.nodes]
        texts = [text for text, _ in parts]
        narrowed = bool(texts) and all(texts)
        return (_any_of(texts) if narrowed else ""), narrowed and all(exact for _, exact in parts)
    if isinstance(node, All):
        return "", True
    if isinstance(node, Term):
        return _term(node), False
    if isinstance(node, Cidr):
        return _cidr(node), False
    return "", False


def _text(node: Text) -> tuple[str, bool]:
    whole = node.tokens[:-1] if node.prefix else node.tokens
    parts = [quoted(token) for token in whole]
    exact = not node.phrase
    if node.prefix and node.tokens:
        if len(node.tokens[-1]) >= _LEAST_PREFIX:
            parts.append(quoted(node.tokens[-1], prefix=True))
        else:
            exact = False
    return _all_of(parts), exact


def _term(node: Term) -> str:
    if node.field == "soc.id" and not node.wildcard:
        return quoted(id_token(node.value), prefix=len(node.value) < ID_CHARS)
    if not _searched(node.field):
        return ""
    if node.wildcard:
        return _with_marks(_wildcard(vi_fold(node.value)))
    address = as_address(vi_fold(node.value))
    if address is not None:
        odd = isinstance(address, IPv6Address) and not (int(address) & 0xFFFF and int(address) >> 112)
        return "" if odd else _with_marks(_any_of([_tokens(node.value), _tokens(str(address))]), ODD_ADDRESS)
    number = as_number(node.value)
    if number is not None:
        spellings = {node.value, str(number)}
        spellings |= {str(int(number))} if number == int(number) else set()
        with suppress(OverflowError):  # beyond every float: only the integer can be meant
            spellings.add(str(float(number)))
        texts = [_tokens(spelling) for spelling in sorted(spellings)]
        return _with_marks(_any_of(texts)) if all(texts) else ""
    return _with_marks(_tokens(node.value))


def _searched(field: str) -> bool:
    return field in SEARCHED_OWN or not (field.startswith("soc.") or field in UNSEARCHED)


def _wildcard(pattern: str) -> str:
    """What the words before the first wildcard demand: a value that fits begins with them."""
    head = re.split(r"[*?]", pattern, maxsplit=1)[0]
    if _PLAIN_PREFIX.fullmatch(head):
        word = head.lstrip(_EDGE)[:MOST_TOKEN]
        whole = word.rstrip(_EDGE)  # the value may end here, and tokens do not end with a point
        if len(whole) < _LEAST_PREFIX:
            return ""
        return _any_of([quoted(word, prefix=True), *([] if whole == word else [quoted(whole)])])
    *words, _last = head.split(" ")
    return _all_of(quoted(word[:MOST_TOKEN]) for word in words if _WORD.fullmatch(word))


def _cidr(node: Cidr) -> str:
    try:
        network = ip_network(node.network, strict=False)
    except ValueError:
        return ""
    if not _searched(node.field) or not isinstance(network, IPv4Network) or network.prefixlen < 8:  # noqa: PLR2004 - less than one whole octet
        return ""
    octets = str(network.network_address).split(".")[: network.prefixlen // 8]
    start = ".".join(octets)
    return _with_marks(quoted(start) if len(octets) == 4 else quoted(start + ".", prefix=True), ODD_ADDRESS)  # noqa: PLR2004 - a whole address


def _tokens(value: str) -> str:
    return _all_of(quoted(token) for token in sorted(tokens_of(value)))


def quoted(token: str, *, prefix: bool = False) -> str:
    """One token as a full-text expression."""
    return '"' + token.replace('"', '""') + '"' + (" *" if prefix else "")


def _all_of(parts: Iterable[str]) -> str:
    known = [part for part in dict.fromkeys(parts) if part][:_MOST_PARTS]
    return known[0] if len(known) == 1 else f"({' AND '.join(known)})" if known else ""


def _any_of(parts: Iterable[str]) -> str:
    known = list(dict.fromkeys(parts))
    if not all(known) or len(known) > _MOST_PARTS:
        return ""
    return known[0] if len(known) == 1 else f"({' OR '.join(known)})" if known else ""


def _with_marks(text: str, *marks: str) -> str:
    return _any_of([text, *(quoted(mark) for mark in (OVERFLOW, *marks))]) if text else ""


def id_token(identity: str) -> str:
    """The token that an event is found by."""
    return ID_MARK + identity[:ID_CHARS].replace(" ", "_").replace("\x00", "_")


def marks_of(tokens: str) -> str:
    """The marks of an event, with a leading space each. Cost: two or three substring searches for nearly all."""
    marks = ""
    if len(tokens) > MOST_TOKENS and tokens.count(" ") >= MOST_TOKENS - 1:
        marks = " " + OVERFLOW
    if ":" not in tokens:
        return marks
    if "ffff:" in tokens or "::" in tokens or (tokens.count(":") >= 6 and _LONG_ADDRESS.search(tokens)):  # noqa: PLR2004 - fewer colons make no address without "::"
        marks += _odd(tokens)
    return marks


def _odd(tokens: str) -> str:
    for token in _IN_TOKENS.findall(tokens):
        if token.count(":") > 1 and (address := as_address(token)) is not None and str(address) != token:
            return " " + ODD_ADDRESS
    return " " + ODD_ADDRESS if "ffff:" in tokens else ""
