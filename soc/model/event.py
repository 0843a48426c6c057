"""Events: ECS documents, flat inside the program, nested outside it.

Inside, an event is a plain `dict` from dotted ECS name to value (`{"source.ip": "10.0.0.1", ...}`): one look-up
per field for parsers, rules and searches, and one shallow dict to build per event. `nest()` makes the ECS document
that commands print and Elasticsearch stores, `flatten()` the way back.

Values: str, int, float, bool, or a list of those; times are RFC 3339 UTC strings. No field is a prefix of another
(`source.user` and `source.user.name` never stand in one document). Vendor fields that ECS has no place for stand
under one dotted prefix per product (`fortinet.firewall.`), as strings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import orjson

from soc.clock import from_datetime

Doc = dict[str, Any]
"""A flat ECS document."""

SCHEMA = 1
"""`soc.schema` of events written by this version."""


class Event(msgspec.Struct, gc=False):
    """An event on its way into the store.

    `ts_us` is the usable event time (microseconds since 1970) that partitions, windows and sorting use: `@timestamp`,
    or `received_at` where that is out of bounds. `natural_key` identifies the occurrence at its device ("" = each
    line counts); `doc` holds `soc.id`, `soc.scope`, `soc.source`, `soc.partition`, `soc.seq`, `soc.kind`,
    `soc.raw_hash`, `soc.threat.level` and all the rest. `tokens` is what free text searches (space-joined, folded).
    `origin`/`origin_seq` is where its record was first collected ("" = where it was read), `derived` says that it was made of
    several records.
    """

    id: str
    ts_us: int
    kind: str
    source: str
    partition: str
    seq: int
    raw_hash: str
    level: str
    category: str
    scope: str
    kept: Doc | None = msgspec.field(name="doc")
    """The document, or None once only its bytes are kept (`let_go`)."""
    tokens: str
    natural_key: str = ""
    counted: bool = True
    """False for a line that repeats an occurrence already counted (its natural key is known)."""
    body: bytes = b""
    """`doc` as its store writes it, if that was made already (`EncodingStore`): one line of JSON."""
    sent: bytes = b""
    """What a cluster is sent for it, if that was made already (`TwoStepStore`): no document of ours."""
    derived: bool = False
    origin: str = ""
    origin_seq: int = -1

    @property
    def doc(self) -> Doc:
        """The document; read from its bytes, and then a new one each time, where those are all that is kept."""
        if self.kept is not None:
            return self.kept
        return document_of(self.body)

    def let_go(self) -> None:
        """Keep the bytes alone, if there are any: a document takes four times as much, and a batch has thousands."""
        if self.body:
            self.kept = None

    def with_doc(self, doc: Doc, **changes: Any) -> Event:
        """A copy with another document, and with other values of the fields that are named."""
        return msgspec.structs.replace(self, kept=doc, body=b"", sent=b"", **changes)


def document_of(body: bytes) -> Doc:
    """The document of an event's `body`."""
    document: Doc = orjson.loads(body)
    return document


_SHAPES: dict[tuple[str, ...], Callable[..., dict[str, Any]]] = {}
_SEEN: dict[tuple[str, ...], int] = {}
_MOST_SHAPES = 4096
_SEEN_OFTEN = 8
"""Generating the nesting costs as much as walking some thirty documents: a sender that ever changes its keys gets none."""


def nest(doc: Mapping[str, Any]) -> dict[str, Any]:
    """The nested ECS document of a flat one.

    Cost: events of one product share few sets of keys, so the nesting is generated once per set of keys seen often, and
    then one dict display; about three times as fast as walking the names of every document.
    """
    keys = tuple(doc)
    shape = _SHAPES.get(keys)
    if shape is not None:
        return shape(*doc.values())
    seen = _SEEN.get(keys, 0) + 1
    if seen < _SEEN_OFTEN:
        if len(_SEEN) >= _MOST_SHAPES:
            _SEEN.clear()
        _SEEN[keys] = seen
        return _tree(doc)
    if len(_SHAPES) >= _MOST_SHAPES:
        _SHAPES.clear()
    shape = _SHAPES[keys] = _compile_shape(keys)
    return shape(*doc.values())


def _tree(doc: Mapping[str, Any]) -> dict[str, Any]:
    """The values under their names taken apart at the dots; a value that is also a parent (against the rule above) gives way to its children."""
    tree: dict[str, Any] = {}
    for key, value in doc.items():
        node = tree
        *parents, last = key.split(".")
        for parent in parents:
            if not isinstance(node.get(parent), dict):
                node[parent] = {}
            node = node[parent]
        if not isinstance(node.get(last), dict):
            node[last] = value
    return tree


def _compile_shape(keys: tuple[str, ...]) -> Callable[..., dict[str, Any]]:
    tree = _tree({key: position for position, key in enumerate(keys)})

    def source(node: dict[str, Any]) -> str:
        return "{" + ",".join(f"{name!r}:{source(child) if isinstance(child, dict) else f'v{child}'}" for name, child in node.items()) + "}"

    names = ",".join(f"v{position}" for position in range(len(keys)))
    function: Callable[..., dict[str, Any]] = eval(f"lambda {names}: {source(tree)}", {"__builtins__": {}})  # noqa: S307 - the names are quoted by repr, nothing else is in the text
    return function


def flatten(document: Mapping[str, Any], prefix: str = "") -> Doc:
    """The flat document of a nested (or half dotted) one; lists of objects become lists of values per dotted name."""
    out: Doc = {}
    for key, value in document.items():
        name = prefix + key
        if isinstance(value, Mapping):
            out.update(flatten(value, name + "."))
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            for item in value:
                for inner, inner_value in flatten(item, name + ".").items() if isinstance(item, Mapping) else ((name, item),):
                    out.setdefault(inner, []).append(inner_value)
        else:
            out[name] = value
    return out


def values(doc: Mapping[str, Any], field: str) -> Iterable[Any]:
    """The values of a field: none when it is absent or null, all of a list."""
    value = doc.get(field)
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


def usable_us(doc: Mapping[str, Any]) -> int:
    """The time that partitions, windows and sorting use, in microseconds: `@timestamp`, or `soc.received_at` where that is marked out of bounds."""
    text = doc["soc.received_at"] if doc.get("soc.time_fault") else doc["@timestamp"]
    return from_datetime(datetime.fromisoformat(text))


def event_of(doc: Doc, tokens: str) -> Event:
    """The event of a stored document."""
    return Event(
        id=doc["soc.id"],
        ts_us=usable_us(doc),
        kind=doc["soc.kind"],
        source=doc["soc.source"],
        partition=doc["soc.partition"],
        seq=doc["soc.seq"],
        raw_hash=doc["soc.raw_hash"],
        level=doc.get("soc.threat.level", "none"),
        category=doc.get("soc.threat.category", ""),
        scope=doc["soc.scope"],
        kept=doc,
        tokens=tokens,
        natural_key=doc.get("soc.natural_key", ""),
        counted=doc.get("soc.counted", True),
        derived=bool(doc.get("soc.derived")),
        origin=doc.get("soc.origin", ""),
        origin_seq=doc.get("soc.origin_seq", -1),
    )


def reclassified(doc: Mapping[str, Any], level: str, category: str) -> Doc:
    """The document with another class; `soc.threat.previous` keeps the earlier ones as `level/category`, oldest first."""
    before = f"{doc.get('soc.threat.level', 'none')}/{doc.get('soc.threat.category', '')}"
    out = {**doc, "soc.threat.level": level, "soc.threat.category": category, "soc.threat.previous": [*values(doc, "soc.threat.previous"), before]}
    if not category:
        del out["soc.threat.category"]
    return out


def other_class(change: Callable[[Doc], tuple[str, str] | None], counts: Counter[str], doc: Doc) -> Doc | None:
    """The document with the level and category that `change` says, counted as `seen`, `changed` and `old→new`; None when it keeps its own."""
    old = (doc.get("soc.threat.level", "none"), doc.get("soc.threat.category", ""))
    counts["seen"] += 1
    new = change(dict(doc))
    if new is None or new == old:
        return None
    counts["changed"] += 1
    counts[f"{old[0]}→{new[0]}"] += 1
    return reclassified(doc, *new)
