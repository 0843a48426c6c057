"""Random conditions and events that meet often: few fields, values from one small pool, in all their spellings."""

from __future__ import annotations

import unicodedata
from typing import Any

from hypothesis import strategies as st

from soc.rules.ast import ANY_ONE, STAR, And, Leaf, Node, Not, Or

FIELDS = ("source.ip", "user.name", "event.code", "@timestamp", "tags")
WORDS = (
    "admin",
    "Admin",
    "ADMIN",
    "",
    "a",
    "lừa đảo",
    "LỪA ĐẢO",
    unicodedata.normalize("NFD", "lừa đảo"),
    "lua dao",
    "straße",
    "STRASSE",
    "ﬁle",
    "İ",
    "xT\u0308",
    "xt",
    "\u017f\u212a",
    "SK",
    "C:\\Windows\\cmd.exe",
    "\\CMD.EXE",
    "/bin/cmd.exe",
    "?",
    "x\ny",
    "a*b",
    "\0",
    "\ud800",
    "5",
    "05",
    "5.0",
    "true",
    "Null",
)
ADDRESSES = (
    "10.0.0.1",
    "10.255.255.255",
    "192.168.1.5",
    "203.0.113.7",
    "::1",
    "fe80::1%eth0",
    "2001:DB8::1",
    "2001:db8:0:0:0:0:0:1",
    "::ffff:10.0.0.1",
    "10.0.0.1.evil.com",
    "0",
)
TIMES = (
    "2026-11-20T16:30:00Z",
    "2026-11-20T23:59:59.999999+07:00",
    "2026-11-20T01:00:00",
    "2026-12-31T17:00:00.000Z",
    1_795_137_330,
    1_795_137_330_123,
    "yesterday",
    "2026-13-01T00:00:00Z",
)
NUMBERS = (0, 1, 5, -1, 5.0, 5.5, 1e308, float("inf"), float("nan"), 2**70, 2**5000)

EXPRESSIONS = (
    "^ad.*n$",
    "min",
    "(a|lừa) ?",
    "[0-9]+",
    "\\n",
    ".",
    "xT",
    "(?i)sk",
    "\\?",
    "adm[iI]n?",
    "(?:cmd|win)\\.?(exe)?",
    "ad{1}m+in",
    "[[:alpha:]]dm",
    "(?i:STRASSE)",
    "\\\\cmd",
)

texts = st.sampled_from(WORDS) | st.sampled_from(ADDRESSES) | st.text(max_size=6)
scalars = texts | st.sampled_from(NUMBERS) | st.booleans() | st.sampled_from(TIMES) | st.none()
values: st.SearchStrategy[Any] = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=4)
docs: st.SearchStrategy[dict[str, Any]] = st.dictionaries(st.sampled_from((*FIELDS, "event.original", "message")), values, max_size=6)

_pieces = st.lists(st.sampled_from(("a", "ad", "min", "lừa", "*", "?", "T", "\\", "5", ".", "\n", "\ud800", STAR, ANY_ONE)), min_size=1, max_size=5)


def _joined(parts: list[str | int]) -> tuple[str | int, ...]:
    out: list[str | int] = []
    for part in parts:
        if isinstance(part, str) and out and isinstance(out[-1], str):
            out[-1] += part
        else:
            out.append(part)
    return tuple(out)


_field = st.sampled_from(FIELDS)
_text_leaf = st.builds(Leaf, _field, st.sampled_from(("equals", "contains", "startswith", "endswith")), texts, cased=st.booleans())
_like_leaf = st.builds(lambda field, parts, cased: Leaf(field, "like", "", parts=_joined(parts), cased=cased), _field, _pieces, st.booleans())
_number = st.sampled_from((0, 1, 5, -1, 5.5, 1795137330, 2**70))
_leaf: st.SearchStrategy[Node] = st.one_of(
    _text_leaf,
    _text_leaf,
    _like_leaf,
    st.builds(Leaf, _field, st.sampled_from(("number", "gt", "gte", "lt", "lte")), _number),
    st.builds(Leaf, _field, st.just("bool"), st.booleans()),
    st.builds(Leaf, _field, st.just("exists"), st.booleans()),
    st.builds(Leaf, _field, st.just("null")),
    st.builds(Leaf, _field, st.just("cidr"), st.sampled_from(("10.0.0.0/8", "0.0.0.0/0", "192.168.1.5/32", "2001:db8::/32", "::/0"))),
    st.builds(Leaf, _field, st.just("re"), st.sampled_from(EXPRESSIONS), flags=st.sampled_from(("", "i", "s", "m", "ims"))),
    st.builds(Leaf, _field, st.sampled_from(("fieldref", "fieldref_contains", "fieldref_startswith", "fieldref_endswith")), _field),
    st.builds(
        Leaf,
        _field,
        st.sampled_from(("hour", "day", "minute", "week", "month", "year")),
        st.sampled_from((0, 1, 11, 12, 20, 23, 30, 47, 53, 59, 2026, 2027)),
        flags=st.sampled_from(("", "gt", "gte", "lt", "lte")),
    ),
    st.builds(Leaf, st.just(""), st.just("contains"), texts, cased=st.booleans()),
    st.builds(lambda parts: Leaf("", "like", "", parts=_joined([STAR, *parts, STAR])), _pieces),
    st.builds(Leaf, st.just(""), st.just("re"), st.sampled_from(("admin", "[0-9]{2}"))),
)
conditions: st.SearchStrategy[Node] = st.recursive(
    _leaf,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, min_size=1, max_size=4).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=1, max_size=4).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=8,
)
