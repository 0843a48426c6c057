"""The journal on Elasticsearch: one create-only document per append, named by stream and first number.

Two writers of one stream want the same name, so exactly one of them gets it. The end of a stream is found by real-time
look-ups, never by a search, which would see only what was refreshed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

import orjson

from soc.adapters.elastic.base import Base
from soc.adapters.elastic.bulk import EXISTS, Action, create, send
from soc.adapters.elastic.client import Link
from soc.adapters.elastic.templates import Names
from soc.clock import Clock, iso
from soc.config import StoreSettings
from soc.errors import Phrase, StoreRefused
from soc.model.fact import ANY_VERSION, Fact, NewFact, Stored, chained
from soc.model.journal import Append, FactConflict, Head, readable, sole
from soc.ports import no_crash

_MAPPINGS = {
    "dynamic": False,
    "properties": {
        "stream": {"type": "keyword"},
        "first": {"type": "long"},
        "last": {"type": "long"},
        "at": {"type": "date_nanos"},
        "facts": {"type": "object", "enabled": False},
    },
}
_PROBE = 4
"""Numbers asked for at once; doubled for streams that go on."""
_MOST_PROBE = 256
_TRIES = 20


class ElasticJournal(Base):
    """See `soc.model.journal.Journal`."""

    def __init__(self, settings: StoreSettings, *, clock: Clock, read_only: bool = False) -> None:
        super().__init__(Link(settings, clock), Names(settings.prefix), clock, read_only=read_only, crash=no_crash)
        self._index = self._names.control("journal")
        self._made = False

    def append(self, stream: str, expected: int, facts: Sequence[NewFact], *, actor: str, scope: str = "real") -> list[Stored]:
        return sole(self.append_each([Append(stream, expected, tuple(facts))], actor=actor, scope=scope))

    def append_each(self, appends: Sequence[Append], *, actor: str, scope: str = "real") -> list[list[Stored] | FactConflict]:
        self._writable()
        self._make()
        outcomes: dict[int, list[Stored] | FactConflict] = {}
        waiting = list(range(len(appends)))
        for _ in range(_TRIES):  # only logs, which have no expected version, ever need a second turn
            waiting = self._try(appends, waiting, outcomes, actor, scope)
            if not waiting:
                break
        for number in waiting:
            outcomes[number] = FactConflict(appends[number].stream, appends[number].expected, [])
        return [outcomes[number] for number in range(len(appends))]

    def _try(self, appends: Sequence[Append], waiting: Sequence[int], outcomes: dict[int, list[Stored] | FactConflict], actor: str, scope: str) -> list[int]:
        at = iso(self._clock.now_us())
        streams = self._streams(dict.fromkeys(appends[number].stream for number in waiting))
        actions: list[Action] = []
        sent: list[tuple[int, list[Stored]]] = []
        for number in waiting:
            append = appends[number]
            facts = streams[append.stream]
            last = facts[-1] if facts else None
            sequence = last.fact.sequence if last else 0
            if append.expected not in (ANY_VERSION, sequence):
                outcomes[number] = FactConflict(append.stream, append.expected, [one.fact for one in facts if one.fact.sequence > append.expected])
                continue
            new = chained(append.stream, sequence, last.hash if last else "", append.facts, actor=actor, at=at, scope=scope)
            if not new:
                outcomes[number] = new
                continue
            sent.append((number, new))
            actions.append(create(self._index, _name(append.stream, sequence + 1), _document(new)))
        again: list[int] = []
        for (number, new), outcome in zip(sent, send(self._link, actions), strict=True):
            append = appends[number]
            if outcome.status == EXISTS:
                facts = self.read(append.stream, max(append.expected, 0))
                if any(one.hash == new[-1].hash for one in facts):  # our own, applied by a request that we saw time out
                    outcomes[number] = new
                elif append.expected == ANY_VERSION:
                    again.append(number)
                else:
                    outcomes[number] = FactConflict(append.stream, append.expected, [one.fact for one in facts])
            elif outcome.kind:
                raise StoreRefused(
                    Phrase("Elasticsearch refused a fact of {stream}: {reason}", stream=append.stream, reason=outcome.reason),
                    hint="check the index of the journal",
                )
            else:
                outcomes[number] = new
        return again

    def read(self, stream: str, after: int = 0) -> list[Stored]:
        facts = self._streams([stream])[stream]
        return [one for one in facts if one.fact.sequence > after] if after > 0 else facts

    def read_each(self, streams: Sequence[str]) -> dict[str, list[Stored]]:
        return {stream: facts for stream, facts in self._streams(streams).items() if facts}

    def under(self, prefix: str) -> Iterator[tuple[str, list[Stored]]]:
        name, held = "", list[Stored]()
        for stream, _, body, found in self._all({"prefix": {"stream": prefix}}):
            if held and stream != name:
                yield name, held
                held = []
            name = stream
            held.append(self._decoded(stream, {"body": body.decode("utf-8", "surrogatepass"), "hash": found}))
        if held:
            yield name, held

    def _streams(self, streams: Iterable[str]) -> dict[str, list[Stored]]:
        """All facts of streams, by look-ups of the numbers that may come next."""
        found: dict[str, list[Stored]] = {stream: [] for stream in streams}
        open_at = dict.fromkeys(found, (1, _PROBE))
        while open_at:
            wanted = [(stream, number) for stream, (first, many) in open_at.items() for number in range(first, first + many)]
            answers = self._mget([(self._index, _name(stream, number)) for stream, number in wanted])
            documents = {key: answer["_source"] for key, answer in zip(wanted, answers, strict=True) if answer.get("found")}
            later: dict[str, tuple[int, int]] = {}
            for stream, (first, many) in open_at.items():
                number = first
                while (document := documents.get((stream, number))) is not None:
                    found[stream] += [self._decoded(stream, fact) for fact in document["facts"]]
                    number = int(document["last"]) + 1
                if number >= first + many:
                    later[stream] = (number, min(many * 2, _MOST_PROBE))
            open_at = later
        return found

    def heads(self, prefix: str = "") -> Iterator[Head]:
        last: Head | None = None
        for stream, sequence, _, found in self._all({"prefix": {"stream": prefix}} if prefix else {"match_all": {}}):
            if last is not None and last.stream != stream:
                yield last
            last = Head(stream, sequence, found)
        if last is not None:
            yield last

    def scan(self) -> Iterator[tuple[str, int, bytes, str]]:
        return self._all({"match_all": {}})

    def _all(self, query: dict[str, Any]) -> Iterator[tuple[str, int, bytes, str]]:
        self.refresh("journal")
        for hit in self._scan(self._index, query, [{"stream": "asc"}, {"first": "asc"}]):
            document = hit["_source"]
            for number, fact in enumerate(document["facts"]):
                yield document["stream"], int(document["first"]) + number, str(fact["body"]).encode("utf-8", "surrogatepass"), str(fact["hash"])

    def mend_ends(self) -> list[str]:
        return []  # ends are looked up among the facts themselves

    def latest(self, most: int, prefix: str = "") -> list[Fact]:
        self.refresh("journal")
        query: dict[str, Any] = {"prefix": {"stream": prefix}} if prefix else {"match_all": {}}
        _, hits = self._page(self._index, query, [{"at": "desc"}, {"stream": "desc"}, {"first": "desc"}], 0, most)
        facts = [self._decoded(hit["_source"]["stream"], fact).fact for hit in hits for fact in reversed(hit["_source"]["facts"])]
        return facts[:most]

    def _decoded(self, stream: str, fact: dict[str, str]) -> Stored:
        return readable(fact["body"].encode("utf-8", "surrogatepass"), fact["hash"], place=self._index, stream=stream)

    def _make(self) -> None:
        if not self._made:
            make_journal(self._link, self._names)
            self._made = True

    def close(self) -> None:
        self._link.close()


def make_journal(link: Link, names: Names) -> None:
    """Make the index of the journal unless it is there."""
    settings = {"index": {"number_of_shards": 1, "number_of_replicas": link.settings.replicas}}
    link.create_index(names.control("journal"), {"settings": settings, "mappings": _MAPPINGS})


def _name(stream: str, first: int) -> str:
    return f"{sha256(stream.encode()).hexdigest()[:40]}/{first}"


def _document(facts: Sequence[Stored]) -> bytes:
    first, last = facts[0].fact, facts[-1].fact
    return orjson.dumps(
        {
            "stream": first.stream,
            "first": first.sequence,
            "last": last.sequence,
            "at": first.at,
            "facts": [{"body": one.body.decode(), "hash": one.hash} for one in facts],
        }
    )
