"""Kept lists on Elasticsearch: one document per stream of the journal in the index `<prefix>-lists`.

What the journal said since is found by the sequence numbers of its one shard, up to the global checkpoint, which a refresh makes
findable; the streams concerned are read by real-time look-ups. A document is written with `through` as its version, so that an older
projector never takes the place of a newer one. Each belongs to one version of the projection and to one journal index.
Source: the reference of Elasticsearch on index stats (`seq_no`), `_seq_no` and external versions.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import islice
from typing import Any

import msgspec
import orjson

from soc.adapters.elastic.base import Base
from soc.adapters.elastic.bulk import EXISTS, Action, Outcome, create, delete, put, send
from soc.adapters.elastic.client import Link
from soc.adapters.elastic.journal import ElasticJournal
from soc.adapters.elastic.templates import Names
from soc.application.lists import FoldingLists
from soc.clock import Clock
from soc.config import StoreSettings
from soc.errors import AccessDenied, Phrase, StoreFull, StoreRefused
from soc.model.projection import Difference, Document, ListQuery, Projection
from soc.ports import AlertQuery, Chosen, Store, no_crash
from soc.telemetry import get_logger
from soc.triage.listing import triage_of
from soc.triage.standing import chosen

log = get_logger(__name__)

_NEVER = 1 << 62
_ORDER = [{"due_us": "asc"}, {"order_us": "desc"}, {"stream": "asc"}]
_AT_ONCE = 500
_KEYWORDS = ("made", "list", "stream", "scope", "state", "words")
_NUMBERS = ("through", "due_us", "late_us", "order_us")
_MAPPINGS = {
    "dynamic": False,
    "properties": {
        **{name: {"type": "keyword"} for name in _KEYWORDS},
        **{name: {"type": "long"} for name in _NUMBERS},
        "whole": {"type": "object", "enabled": False},
    },
}


class ElasticLists(Base):
    """See `soc.ports.Lists`."""

    def __init__(self, settings: StoreSettings, journal: ElasticJournal, *, clock: Clock, read_only: bool = False) -> None:
        super().__init__(Link(settings, clock), Names(settings.prefix), clock, read_only=read_only, crash=no_crash)
        self._journal = journal
        self._folding = FoldingLists(journal)
        self._index = self._names.control("lists")
        self._there = False

    def page(self, projection: Projection, query: ListQuery) -> tuple[int, list[Document]]:
        if not self._read_only:
            try:
                return self._kept_page(projection, query)
            except (StoreFull, AccessDenied) as error:  # who only looks needs no room to write, and no right to
                log.warning("a kept list cannot be brought up to date; the journal is read instead", list=projection.name, error=error.message)
        return self._folding.page(projection, query)

    def _kept_page(self, projection: Projection, query: ListQuery) -> tuple[int, list[Document]]:
        made = self._follow(projection)
        wanted = {"bool": {"filter": [{"term": {"made": made}}, {"term": {"list": projection.name}}, *_filters(query)]}}
        if query.limit:
            total, hits = self._page(self._index, wanted, _ORDER, query.offset, query.limit)
        else:
            hits = list(islice(self._scan(self._index, wanted, _ORDER), query.offset, None))
            total = query.offset + len(hits) if hits else self._count(self._index, wanted)
        found = [_document(hit["_source"]["whole"]) for hit in hits]
        if any(one is None for one in found):
            log.warning("a kept list was changed and is made anew", list=projection.name)
            self.rebuild(projection)
            return self._folding.page(projection, query)
        return total, [one for one in found if one is not None]

    def some(self, projection: Projection, streams: Sequence[str]) -> dict[str, Document]:
        return self._folding.some(projection, streams)  # look-ups of the facts themselves cost as much as those of documents

    def standing(self, projection: Projection, store: Store, query: AlertQuery, states: Sequence[str], hidden: frozenset[str]) -> Chosen:
        _, found = self.page(projection, ListQuery(scope=None))
        return chosen({one.stream.removeprefix(projection.prefix): triage_of(one) for one in found}, store, query, states, hidden)

    def rebuild(self, projection: Projection, store: Store | None = None) -> Difference:  # noqa: ARG002 - states of groups are not kept
        found = Difference(projection.name, 0)
        self._make()
        uuid, through = self._end()
        made, before = f"{projection.version}/{uuid}", self._through(f"{projection.version}/{uuid}", projection)
        self.refresh("lists")
        old = {hit["_id"]: hit for hit in self._scan(self._index, {"term": {"list": projection.name}}, versions=True)}
        fresh: list[Document] = []
        suspect: list[tuple[str, bool]] = []
        for stream, facts in self._journal.under(projection.prefix):
            one = projection.document(stream, [each.fact for each in facts])
            found.documents += 1
            kept = old.pop(_name(made, projection, stream), None)
            if kept is not None and _plain(kept["_source"]) == _plain(_body(made, projection, one)):
                continue
            suspect.append((stream, kept is None))
            if kept is not None:  # of whatever version it says it is; somebody who wrote it since has the last word
                body = _body(made, projection, one)
                self._send([put(self._index, kept["_id"], body, seq_no=kept["_seq_no"], term=kept["_primary_term"])])
                continue
            fresh.append(one)
            if len(fresh) >= _AT_ONCE:
                self._put(made, projection, fresh)
                fresh = []
        self._put(made, projection, fresh)
        # Asked last: what others recorded while the list was made was to be made at the next look anyway.
        behind = {stream for some in self._grown(projection, before, self._end()[1]) for stream in some} if before >= 0 else set()
        for stream, missing in suspect if before >= 0 else ():
            if stream not in behind:
                found.missing += missing
                found.changed += not missing
        found.surplus = sum(hit["_source"].get("made") == made for hit in old.values())
        self._send([delete(self._index, name) for name in old])
        self._note(made, projection, through)
        return found

    def close(self) -> None:
        self._link.close()

    # the projector ---------------------------------------------------------------------------------------------------------

    def _follow(self, projection: Projection) -> str:
        """Fold what the journal said since the list was made; the mark of the documents that count."""
        self._make()
        uuid, last = self._end()
        made = f"{projection.version}/{uuid}"
        through = self._through(made, projection)
        if uuid and through < last:
            for streams in self._grown(projection, through, last):
                facts = self._journal.read_each(streams)
                self._put(made, projection, [projection.document(stream, [one.fact for one in held]) for stream, held in facts.items()])
            self._note(made, projection, last)
        return made

    def _end(self) -> tuple[str, int]:
        """The unique id of the journal's index, and the last of its sequence numbers before which nothing is under way."""
        names = self._names.control("journal")
        fields = "indices.*.uuid,indices.*.shards.*.routing.primary,indices.*.shards.*.seq_no.global_checkpoint"
        found = self._link.request("GET", f"/{names}/_stats/docs", params={"level": "shards", "filter_path": fields}, missing={}) or {}
        for index in found.get("indices", {}).values():
            copies = [copy for shard in index.get("shards", {}).values() for copy in shard]
            ends = [int(copy["seq_no"]["global_checkpoint"]) for copy in copies if copy["routing"]["primary"]]
            if ends:
                return str(index["uuid"]), max(ends)
        return "", -1

    def _grown(self, projection: Projection, after: int, last: int) -> Iterator[list[str]]:
        """The streams that have facts in this range of sequence numbers, each once, some at a time."""
        self.refresh("journal")
        wanted = {"bool": {"filter": [{"prefix": {"stream": projection.prefix}}, {"range": {"_seq_no": {"gt": after, "lte": last}}}]}}
        some: dict[str, None] = {}
        for hit in self._scan(self._names.control("journal"), wanted, [{"stream": "asc"}, {"first": "asc"}], source=["stream"]):
            stream = str(hit["_source"]["stream"])
            if stream not in some and len(some) >= _AT_ONCE:
                yield list(some)
                some = {}
            some[stream] = None
        if some:
            yield list(some)

    def _through(self, made: str, projection: Projection) -> int:
        [found] = self._mget([(self._index, f"{projection.name}/{made}")])
        if "error" in found:  # the index was removed meanwhile: writing would make one without our mapping
            self._there = False
            self._make()
        return int(found["_source"]["whole"]["through"]) if found.get("found") else -1

    def _note(self, made: str, projection: Projection, through: int) -> None:
        self.refresh("lists")  # who reads that it was made must find all of it
        self._send([put(self._index, f"{projection.name}/{made}", {"made": "", "list": "", "whole": {"through": through}})])

    def _put(self, made: str, projection: Projection, documents: Sequence[Document]) -> None:
        """Write documents unless newer ones stand; what only pretends to be newer, as somebody else wrote it, gives way."""
        outcomes = self._send([_index(self._index, _name(made, projection, one.stream), made, projection, one) for one in documents])
        refused = [one for one, outcome in zip(documents, outcomes, strict=True) if outcome.status == EXISTS]
        if not refused:
            return
        standing = self._mget([(self._index, _name(made, projection, one.stream)) for one in refused])
        again: list[Action] = []
        for one, kept in zip(refused, standing, strict=True):
            body = _body(made, projection, one)
            if not kept.get("found"):  # removed a moment ago, and its version is remembered
                again.append(create(self._index, kept["_id"], orjson.dumps(body)))
            elif kept["_source"].get("through", 0) < one.through:
                again.append(put(self._index, kept["_id"], body, seq_no=kept["_seq_no"], term=kept["_primary_term"]))
        self._send(again)

    def _send(self, actions: Sequence[Action]) -> list[Outcome]:
        outcomes = send(self._link, actions) if actions else []
        for outcome in outcomes:
            if outcome.kind and outcome.status not in (EXISTS, 404):  # a newer one stands; or somebody else removed it
                raise StoreRefused(
                    Phrase("Elasticsearch refused a document of a list: {reason}", reason=outcome.reason),
                    hint="check the index of the lists: soc store rebuild",
                )
        return outcomes

    def _make(self) -> None:
        if self._there:
            return
        settings = {"index": {"number_of_shards": 1, "number_of_replicas": self._link.settings.replicas}}
        self._link.create_index(self._index, {"settings": settings, "mappings": _MAPPINGS})
        self._there = True


def _name(made: str, projection: Projection, stream: str) -> str:
    return sha256(f"{projection.name}\x1f{made}\x1f{stream}".encode()).hexdigest()[:40]


def _index(index: str, name: str, made: str, projection: Projection, one: Document) -> Action:
    head = {"index": {"_index": index, "_id": name, "version": one.through, "version_type": "external_gte"}}
    return Action(orjson.dumps(head), orjson.dumps(_body(made, projection, one)))


def _body(made: str, projection: Projection, one: Document) -> dict[str, Any]:
    plain = {name: getattr(one, name) for name in ("stream", "scope", "state", "late_us", "order_us", "through")}
    whole = {"document": b64encode(msgspec.msgpack.encode(one)).decode(), "digest": one.digest().hex()}
    return {"made": made, "list": projection.name, **plain, "due_us": one.due_us or _NEVER, "words": list(one.words), "whole": whole}


def _plain(source: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in source.items() if name in (*_KEYWORDS, *_NUMBERS, "whole")}


def _document(whole: dict[str, str]) -> Document | None:
    """The kept document; None when it is not what was kept."""
    try:
        one = msgspec.msgpack.decode(b64decode(whole["document"], validate=True), type=Document)
    except (KeyError, Base64Error, msgspec.DecodeError):
        return None
    return one if one.digest().hex() == whole.get("digest") else None


def _filters(query: ListQuery) -> Iterator[dict[str, Any]]:
    if query.states is not None:
        yield {"terms": {"state": list(query.states)}}
    if query.scope is not None:
        yield {"term": {"scope": query.scope}}
    if query.late_at_us:
        yield {"range": {"late_us": {"gt": 0, "lt": query.late_at_us}}}
    if query.waiting:
        yield {"range": {"due_us": {"lt": _NEVER}}}
    if query.word:
        yield {"term": {"words": query.word}}
