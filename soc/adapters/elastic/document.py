"""Events as Elasticsearch documents and back.

The document is the nested ECS one plus `store`, which queries need and readers never see:

- `store.text`: the tokens of free text; `store.time`, `store.us`: the usable event time in ms and µs;
- `store.folded`: `field\\x1fvalue` with `vi_fold`ed values, where Elasticsearch cannot fold by itself (not ASCII) or
  does not know the field at all;
- `store.extra`: fields that the mappings do not know;
- `store.odd`: fields whose value the index does not hold faithfully (too long, another type than the mapping's, an
  address or time in unusual spelling). A document is *regular* for a query when none of the query's fields is odd in
  it; for regular documents the translated queries are exact, the others are read and checked here.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import orjson

from soc.adapters.elastic.templates import LONGEST_KEYWORD, field_types
from soc.model.event import Doc, Event, flatten, nest
from soc.model.query.evaluate import as_text
from soc.model.text import vi_fold

SEPARATOR = "\x1f"
LONGEST_FOLDED = 4096
"""Characters: longer folded values are not indexed (Lucene takes 32,766 bytes a term)."""
_LONG = 2**63

# What a regular value is, per type of the mapping; anything else makes the field odd.
_PLAIN, _IP, _LONGS, _DOUBLE, _BOOLEAN, _DATE, _STORED, _FLATTENED = range(8)
_CODES = {"keyword": _PLAIN, "ip": _IP, "long": _LONGS, "double": _DOUBLE, "boolean": _BOOLEAN, "date_nanos": _DATE, "stored": _STORED, "flattened": _FLATTENED}

_TEXTS = frozenset({_PLAIN, _FLATTENED})


class _Codes(dict[str, int]):
    """Code per field, -1 for one that the mappings do not know; remembers what it worked out (bounded)."""

    def __missing__(self, field: str) -> int:
        code = _CODES.get(type_of(field), -1)
        if len(self) < 10_000:  # noqa: PLR2004 - attackers may name fields, products do not have so many
            self[field] = code
        return code


@lru_cache(maxsize=10_000)
def type_of(field: str) -> str:
    """The Elasticsearch type of a field ("" = not mapped)."""
    types = field_types()
    known = types.get(field)
    if known is not None:
        return "" if known == "flattened" else known
    root, dot, rest = field.partition(".")
    return "flattened" if dot and rest and types.get(root) == "flattened" and "*" not in field and "?" not in field else ""


_codes = _Codes()


@lru_cache(maxsize=65_536)
def _is_canonical_address(text: str) -> bool:
    """Whether Elasticsearch gives this address back as it is written (a mapped IPv4 address is not)."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return str(address) == text and "%" not in text and (address.version == 4 or address.ipv4_mapped is None)  # noqa: PLR2004


@lru_cache(maxsize=4096)
def _is_plain_time(text: str) -> bool:
    """Whether it is a UTC time with at most microseconds that date_nanos holds exactly (1970 to 2262)."""
    if len(text) not in (20, 24, 27) or text[-1] != "Z" or text[10] != "T" or not "1970" <= text[:4] <= "2261":
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def body(event: Event) -> bytes:
    """The JSON of an event's document.

    Raises: TypeError when the document cannot be JSON (a lone surrogate, an integer beyond 64 bits).
    Cost: one pass over the fields beside nesting and encoding; part of the writer's share in docs/performance.md.
    """
    doc = event.doc
    store: dict[str, Any] = {"time": event.ts_us // 1000, "us": event.ts_us, "counted": event.counted, "text": event.tokens}
    folded: list[str] = []
    extra: list[str] = []
    odd: list[str] = []
    for field, value in doc.items():
        code = _codes[field]
        kind = value.__class__
        if kind is str:
            if code in _TEXTS:
                if len(value) > LONGEST_KEYWORD:
                    odd.append(field)
                elif not value.isascii():
                    _fold(field, value, folded, odd)
            elif code == _STORED:
                pass
            elif code == _IP:
                if not _is_canonical_address(value):
                    odd.append(field)
            elif code == _DATE:
                if not _is_plain_time(value):
                    odd.append(field)
            else:
                _rare(field, value, code, folded, extra, odd)
        elif kind is int and code == _LONGS:
            if not -_LONG <= value < _LONG:
                odd.append(field)
        elif not (kind is bool and code == _BOOLEAN):
            _rare(field, value, code, folded, extra, odd)
    if folded:
        store["folded"] = folded
    if extra:
        store["extra"] = extra
    if odd:
        store["odd"] = odd
    if doc.get("soc.derived"):
        store["derived"] = True
    document = nest(doc)
    document["store"] = store
    return orjson.dumps(document)


def _rare(field: str, value: Any, code: int, folded: list[str], extra: list[str], odd: list[str]) -> None:
    """Lists, numbers where text is usual, unknown fields."""
    items = value if isinstance(value, list) else [value]
    if code < 0:
        extra.append(field)
    if not all(_is_regular(item, code) for item in items):
        odd.append(field)
    if code in {-1, _PLAIN, _FLATTENED}:
        for item in items:
            if isinstance(item, str) and (code < 0 or not item.isascii()) and len(item) <= LONGEST_KEYWORD:
                _fold(field, item, folded, odd)


def _fold(field: str, text: str, folded: list[str], odd: list[str]) -> None:
    value = vi_fold(text)
    if len(value) > LONGEST_FOLDED:
        odd.append(field)
    else:
        folded.append(field + SEPARATOR + value)


def _is_regular(item: Any, code: int) -> bool:
    if isinstance(item, str):
        if code in {-1, _PLAIN, _FLATTENED}:
            return len(item) <= LONGEST_KEYWORD
        return (code == _IP and _is_canonical_address(item)) or (code == _DATE and _is_plain_time(item)) or code == _STORED
    if isinstance(item, bool):
        return code == _BOOLEAN
    if isinstance(item, int):
        return code == _LONGS and -_LONG <= item < _LONG
    return isinstance(item, float) and code == _DOUBLE


def read(source: dict[str, Any]) -> Doc:
    """The flat document of a stored one."""
    source.pop("store", None)
    return flatten(source)


def facet_text(value: Any, kind: str) -> str:
    """A bucket key of an aggregation as the text that facets show."""
    return as_text(bool(value)) if kind == "boolean" else as_text(value)
