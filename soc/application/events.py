"""Asking for events: search, one by id, live tail, statistics, export."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from soc.application.access import only_agencies, require
from soc.application.app import App
from soc.errors import Conflict, NotFound, Phrase, UsageError
from soc.model.event import Doc, values
from soc.model.query.evaluate import as_address, as_number
from soc.model.query.fields import ALIASES, ORDERED_FIELDS
from soc.model.query.parse import parse
from soc.model.query.tree import All, And, Node, Not, Or, Term, Text
from soc.model.text import vi_fold
from soc.ports import Bucket, EventQuery

PAGE = 1000
TAIL_WINDOW_US = 600_000_000
"""A tail also shows events whose device time is up to ten minutes old: clocks and networks are late."""
MOST_SEEN = 200_000


class Found(msgspec.Struct):
    """What a search found: flat documents, and how many fit in all."""

    total: int
    docs: list[Doc]


class Stats(msgspec.Struct):
    """Figures about the events of a query. `threats`: (level, category) → occurrences, each counted once."""

    total: int
    histogram: list[Bucket]
    facets: dict[str, list[tuple[str, int]]]
    threats: dict[tuple[str, str], int]


def event_query(
    text: str, *, scope: str | None = "real", since_us: int | None = None, until_us: int | None = None, limit: int = 100, oldest_first: bool = False
) -> EventQuery:
    """The query of a text in the analyst language.

    Raises: QuerySyntaxError.
    """
    return EventQuery(where=parse(text), scope=scope, since_us=since_us, until_us=until_us, descending=not oldest_first, limit=limit)


def _own(app: App, query: EventQuery) -> EventQuery:
    """The query, narrowed to what the one who asks may see."""
    agencies = only_agencies(app, "events.view")
    if agencies is None:
        return query
    own = Or(tuple(Term("soc.agency.id", agency) for agency in sorted(agencies)))
    return msgspec.structs.replace(query, where=And((query.where, own)))


class Sorting(msgspec.Struct, frozen=True):
    """By which field the found events are ordered, instead of by time; those without a value come last, equal ones stay in the order of time."""

    field: str
    descending: bool = False

    def key(self, doc: Doc) -> tuple[bool, int, Any]:
        """What orders a document: levels by how bad they are, then numbers, addresses and folded text each among themselves."""
        value = next((one for one in values(doc, self.field) if one is not None), None)
        if value is None:
            return (not self.descending, 0, 0)
        order = ORDERED_FIELDS.get(self.field, ())
        if value in order:
            return (self.descending, 0, order.index(value))
        number = as_number(value)
        if number is not None:
            return (self.descending, 1, number)
        address = as_address(str(value))
        if address is not None:
            return (self.descending, 2, (address.version, int(address)))
        return (self.descending, 3, vi_fold(str(value)))


def sorting(text: str) -> Sorting:
    """The order that a text names: a field or its short name, `:desc` for the largest first.

    Raises: UsageError.
    """
    name, _colon, direction = text.partition(":")
    fields = fields_named(name)
    if not name or direction not in ("", "asc", "desc") or len(fields) > 1:
        raise UsageError(
            Phrase("{text!r} names no field to sort by", text=text), hint=Phrase("as in {field} or {field}:desc", field=fields[0] or "source.bytes")
        )
    return Sorting(fields[0], direction == "desc")


def fields_named(name: str) -> tuple[str, ...]:
    """The fields that a short name stands for; of any other name itself."""
    return ALIASES.get(name.lower(), (name,))


def search(app: App, query: EventQuery, sorting: Sorting | None = None) -> Found:
    """The first `limit` events (0 = all), and the total.

    Cost: with `sorting` every event of the query is read, and `limit` of them are kept.
    """
    query = _own(app, query)
    if sorting is not None:
        total = app.store.count(query)
        first = heapq.nlargest if sorting.descending else heapq.nsmallest
        return Found(total, first(query.limit or total, app.store.stream(query), key=sorting.key))
    if query.limit == 0:
        docs = list(app.store.stream(query))
        return Found(len(docs), docs)
    docs, after = [], ""
    while len(docs) < query.limit:
        page = app.store.search(msgspec.structs.replace(query, limit=min(PAGE, query.limit - len(docs)), after=after))
        docs += page.docs
        after = page.next
        if not after:
            return Found(len(docs), docs)
    return Found(app.store.count(query), docs)


def unknown_fields(app: App, query: EventQuery) -> list[tuple[str, str]]:
    """Fields of a query that none of the newest events has, each with the field that it may be a slip of ("" = none).

    Cost: one page of events, whatever the query.
    """
    return strange_names(app, _fields(query.where), query.scope)


def strange_names(app: App, names: Iterable[str], scope: str | None) -> list[tuple[str, str]]:
    """Names that are no field of any of the newest events and no short name, each with the one that it may be a slip of ("" = none).

    Cost: one page of events, none where there are no names.
    """
    asked = dict.fromkeys(names)
    if not asked:
        return []
    page = app.store.search(_own(app, EventQuery(where=All(), scope=scope, limit=PAGE))).docs
    known = {key for doc in page for key in doc}
    known |= {key[: at + 1] for key in known for at, char in enumerate(key[1:]) if char == "."}
    usual = sorted(known | {field for fields in ALIASES.values() for field in fields} | ALIASES.keys())
    strange = [field for field in asked if known and field not in usual and f"{field}." not in known]
    return [(field, next(iter(difflib.get_close_matches(field, usual, 1)), "")) for field in strange]


def _fields(node: Node) -> Iterator[str]:
    if isinstance(node, And | Or):
        for child in node.nodes:
            yield from _fields(child)
    elif isinstance(node, Not):
        yield from _fields(node.node)
    elif not isinstance(node, All | Text):
        yield node.field


def get(app: App, prefix: str) -> Doc:
    """The event of an id or unique prefix.

    Raises: NotFound, Conflict when several fit.
    """
    docs = app.store.get_events([prefix])
    if not docs:
        raise NotFound(Phrase("no event {prefix}", prefix=prefix), hint="soc events search")
    if len(docs) > 1:
        raise Conflict(Phrase("{prefix} fits {count} events", prefix=prefix, count=len(docs)), hint="give more characters of the id")
    require(app, "events.view", docs[0])
    return docs[0]


class Tail:
    """Shows what has come in since the last look."""

    def __init__(self, app: App, query: EventQuery) -> None:
        self._app = app
        self._query = _own(app, query)
        self._seen: dict[str, None] = {}

    def look(self) -> tuple[list[Doc], bool]:
        """New events in time order, and whether there were more than one look can show."""
        since = self._app.clock.now_us() - TAIL_WINDOW_US
        query = msgspec.structs.replace(self._query, since_us=max(since, self._query.since_us or since), limit=PAGE, after="", descending=True)
        page = self._app.store.search(query).docs
        new = [doc for doc in page if doc["soc.id"] not in self._seen]
        self._seen.update((doc["soc.id"], None) for doc in reversed(new))
        while len(self._seen) > MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        return new[::-1], len(new) == PAGE


def stats(app: App, query: EventQuery, *, interval: Literal["hour", "day", "month"], by: str, fields: Sequence[str], most: int, tz: str) -> Stats:
    """Histogram, commonest values and threats of a query."""
    query = _own(app, query)
    return Stats(
        total=app.store.count(query),
        histogram=app.store.histogram(query, interval, by, tz),
        facets={field: app.store.facets(query, field, most) for field in fields},
        threats=app.store.threats(query),
    )


def stream(app: App, query: EventQuery) -> Iterator[Doc]:
    """All events of a query, in constant memory."""
    return app.store.stream(_own(app, query))


def pick(doc: Doc, fields: Sequence[str]) -> dict[str, Any]:
    """The named fields of a flat document, all below a name that is a prefix (`source` = `source.ip`, …), and what short names stand for (`level`)."""
    out: dict[str, Any] = {}
    for field in fields:
        below = {} if field in doc else {key: value for key, value in doc.items() if key.startswith(field + ".")}
        out.update(below or {field: value_of(doc, field)})
    return out


def value_of(doc: Doc, field: str) -> Any:
    """The value of a field or of what a short name stands for (of several fields: a list); None where there is none."""
    if field in doc:
        return doc[field]
    found = [doc[name] for name in ALIASES.get(field.lower(), ()) if name in doc]
    return found[0] if len(found) == 1 else found or None
