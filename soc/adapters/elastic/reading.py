"""Reading events: pages, streams, counts, figures. What is exact on Elasticsearch stays there; the rest is checked here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from soc.adapters.elastic.base import HIDDEN, SCAN_SIZE, WINDOW, Base, Hit
from soc.adapters.elastic.document import facet_text, read, type_of
from soc.adapters.elastic.queries import Clause, Plan, plan, regular
from soc.clock import from_datetime, iso, to_datetime
from soc.errors import Conflict, Phrase
from soc.model.event import Doc, values
from soc.model.query.evaluate import as_text, matches
from soc.model.query.tree import And, Node, Not, Or, Text
from soc.ports import Bucket, EventPage, EventQuery

ID_LENGTH = 20
_AGGREGATED = frozenset({"keyword", "ip", "long", "double", "boolean", "flattened"})
"""Types whose bucket keys are the values as they stand in regular documents."""


class Reading(Base):
    """The events' side of the store."""

    def get_events(self, ids: Sequence[str]) -> list[Doc]:
        found = self._by_whole_ids([identity for identity in ids if len(identity) == ID_LENGTH])
        out: list[Doc] = []
        for identity in ids:
            doc = found.get(identity) if len(identity) == ID_LENGTH else self._by_prefix(identity)
            if doc is not None:
                out.append(doc)
        return out

    def _by_whole_ids(self, ids: Sequence[str]) -> dict[str, Doc]:
        """Real-time: the id is looked up in every partition."""
        partitions = list(self._partitions_of(self._names.events)) if ids else []
        wanted = [(index, identity) for identity in dict.fromkeys(ids) for index in partitions]
        return {hit["_id"]: read(hit["_source"]) for hit in reversed(self._mget(wanted, HIDDEN)) if hit.get("found")}

    def _by_prefix(self, prefix: str) -> Doc | None:
        hits = self._search(self._names.events, {"query": {"prefix": {"soc.id": prefix}}, "size": 2, "_source": HIDDEN})["hits"]["hits"]
        if len(hits) > 1:
            raise Conflict(Phrase("several events have ids that begin with {prefix!r}", prefix=prefix), hint="give more characters of the id")
        return read(hits[0]["_source"]) if hits else None

    def search(self, query: EventQuery) -> EventPage:
        asked = plan(query)
        after: list[Any] = []
        if query.after:
            ms, _, identity = query.after.partition(":")
            after = [int(ms), identity]
        kept: list[Hit] = []
        docs: list[Doc] = []
        while len(kept) <= query.limit:
            size = min(query.limit + 1 - len(kept) if asked.exact else max(query.limit + 1, 500), WINDOW)
            body: dict[str, Any] = {"query": asked.candidates, "sort": _order(query), "size": size, "_source": HIDDEN, "track_total_hits": False}
            if after:
                body["search_after"] = after
            hits = self._search(self._names.events, body)["hits"]["hits"]
            for hit in hits:
                doc = read(hit["_source"])
                if asked.certain or matches(query.where, doc):
                    kept.append(hit)
                    docs.append(doc)
            if len(hits) < size:
                break
            after = hits[-1]["sort"]
        if len(kept) <= query.limit:
            return EventPage(docs, "")
        last = kept[query.limit - 1]["sort"]
        return EventPage(docs[: query.limit], f"{last[0]}:{last[1]}")

    def stream(self, query: EventQuery) -> Iterator[Doc]:
        asked = plan(query)
        for hit in self._scan(self._names.events, asked.candidates, _order(query), source=HIDDEN):
            doc = read(hit["_source"])
            if asked.certain or matches(query.where, doc):
                yield doc

    def _checked(self, query: EventQuery, candidates: Clause, fields: Sequence[str]) -> Iterator[tuple[int, Doc]]:
        """Time (ms) and document of every event that really fits, only the fields that are needed read."""
        needed: Any = HIDDEN if _needs_all(query.where) else {"includes": sorted({*fields, *plan(query).fields})}
        for hit in self._scan(self._names.events, candidates, [{"store.time": "asc"}, {"soc.id": "asc"}], source=needed, size=SCAN_SIZE):
            doc = read(hit["_source"])
            if matches(query.where, doc):
                yield hit["sort"][0], doc

    def _split(self, query: EventQuery, field: str = "") -> tuple[Clause | None, Clause]:
        """The query that Elasticsearch can answer alone (None = none of it), and the candidates to be read and checked."""
        asked: Plan = plan(query)
        exact = asked.exact and (not field or type_of(field) in _AGGREGATED)
        if not exact:
            return None, asked.candidates
        fields = asked.fields | ({field} if field else frozenset())
        if not fields:
            return asked.candidates, {"match_none": {}}
        return _both(asked.candidates, regular(fields, yes=True)), _both(asked.candidates, regular(fields, yes=False))

    def count(self, query: EventQuery) -> int:
        alone, checked = self._split(query)
        total = self._count(self._names.events, alone) if alone is not None else 0
        return total + sum(1 for _ in self._checked(query, checked, ()))

    def facets(self, query: EventQuery, field: str, most: int = 10) -> list[tuple[str, int]]:
        alone, checked = self._split(query, field)
        counts: Counter[str] = Counter()
        if alone is not None:
            for bucket in self._composite(self._names.events, alone, [{"v": {"terms": {"field": field}}}]):
                counts[facet_text(bucket["key"]["v"], type_of(field))] += bucket["doc_count"]
        for _, doc in self._checked(query, checked, [field]):
            counts.update(_shown(doc, field))
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]

    def histogram(self, query: EventQuery, interval: Literal["hour", "day", "month"], by: str = "", tz: str = "UTC") -> list[Bucket]:
        alone, checked = self._split(query, by)
        counts: Counter[tuple[int, str]] = Counter()
        if alone is not None:
            sources: list[Mapping[str, Any]] = [{"at": {"date_histogram": {"field": "store.time", "calendar_interval": interval, "time_zone": tz}}}]
            if by:
                sources.append({"by": {"terms": {"field": by, "missing_bucket": True}}})
            for bucket in self._composite(self._names.events, alone, sources):
                value = bucket["key"].get("by")
                counts[bucket["key"]["at"] * 1000, "" if value is None else facet_text(value, type_of(by))] += bucket["doc_count"]
        zone = ZoneInfo(tz)
        for ms, doc in self._checked(query, checked, [by] if by else []):
            for value in (_shown(doc, by) if by else []) or [""]:
                counts[_begin(ms * 1000, interval, zone), value] += 1
        return [Bucket(iso(begin), value, count) for (begin, value), count in sorted(counts.items())]

    def threats(self, query: EventQuery) -> dict[tuple[str, str], int]:
        alone, checked = self._split(query)
        counted: Clause = {"term": {"store.counted": True}}
        counts: Counter[tuple[str, str]] = Counter()
        if alone is not None:
            sources: list[Mapping[str, Any]] = [
                {"level": {"terms": {"field": "soc.threat.level"}}},
                {"category": {"terms": {"field": "soc.threat.category", "missing_bucket": True}}},
            ]
            for bucket in self._composite(self._names.events, _both(alone, counted), sources):
                counts[bucket["key"]["level"], bucket["key"]["category"] or ""] += bucket["doc_count"]
        for _, doc in self._checked(query, _both(checked, counted), ["soc.threat.level", "soc.threat.category"]):
            counts[doc.get("soc.threat.level", "none"), doc.get("soc.threat.category", "")] += 1
        return dict(counts)


def _order(query: EventQuery) -> list[dict[str, str]]:
    way = "desc" if query.descending else "asc"
    return [{"store.time": way}, {"soc.id": way}]


def _both(one: Clause, other: Clause) -> Clause:
    return {"bool": {"filter": [one, other]}}


def _needs_all(node: Node) -> bool:
    """Whether checking a node reads the whole document (free text does)."""
    if isinstance(node, (And, Or)):
        return any(_needs_all(child) for child in node.nodes)
    return _needs_all(node.node) if isinstance(node, Not) else isinstance(node, Text)


def _shown(doc: Doc, field: str) -> set[str]:
    """The distinct values of a field as facets name them."""
    return {as_text(value) for value in values(doc, field)}


def _begin(ts_us: int, interval: str, zone: ZoneInfo) -> int:
    """When the interval of a time begins, in its zone."""
    moment: datetime = to_datetime(ts_us).astimezone(zone).replace(minute=0, second=0, microsecond=0)
    if interval != "hour":
        moment = moment.replace(hour=0, fold=0)
    if interval == "month":
        moment = moment.replace(day=1)
    return from_datetime(moment)
