"""Writing batches: events, then alerts, then dead letters, claims, state and gaps, and the position last.

Exactly once without transactions: events, alerts, members and letters are create-only under ids that follow from the
log, so that what is written again answers 409 and the stored position tells an earlier attempt from a replay. State
entries carry the position that makes them valid and the value before it, so that they change with the position and
not before. The position document is written with `if_seq_no`: a worker that lost its partition gets a conflict.
"""

from __future__ import annotations

import threading
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import Any, Literal

import msgspec
import orjson
import zstandard

from soc.adapters.elastic.alerts import Alerts, letter_of
from soc.adapters.elastic.base import Base
from soc.adapters.elastic.bulk import CREATED, EXISTS, Action, Outcome, create, delete, put, send
from soc.adapters.elastic.client import Budget
from soc.adapters.elastic.document import body
from soc.clock import from_datetime, to_datetime
from soc.errors import Conflict, NotFound, Phrase, StoreRefused, StoreUnavailable
from soc.model.alert import Alert
from soc.model.deadletter import SAID, DeadLetter
from soc.model.event import Event
from soc.model.ids import digest_id, raw_hash
from soc.model.retraction import FACT as RETRACTION
from soc.model.signal import Signal, blocks, is_asked_for, pack, unpack
from soc.ports import Committed, Effects, Gap, Progress
from soc.telemetry import get_logger

log = get_logger(__name__)

Row = dict[str, Any]
_DAY_US = 86_400_000_000
_MOST_CLAIMED = 200_000
_POSITION = ["soc.partition", "soc.seq", "soc.raw_hash"]


class _Tally:
    """What a commit finds out on its way."""

    def __init__(self) -> None:
        self.committed = Committed(stored=0, replayed=0, faults=[], new_alerts=[], rejected=[])
        self.replays: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.letters: list[DeadLetter] = []


class Writing(Alerts, Base):
    """The pipeline's side of the store."""

    def _prepare(self) -> None:
        """Begin with empty caches; what stands is read when first needed."""
        self._committing = threading.Lock()
        self._positions: dict[str, tuple[Row | None, int, int]] = {}
        self._entries: dict[str, dict[str, Row]] = {}
        self._claimed: set[str] = set()
        self._known: set[str] = set()
        self._months: dict[int, str] = {}

    # commit ----------------------------------------------------------------------------------------------------

    def commit(self, effects: Effects) -> Committed:
        self._writable()
        self._crash("store.begin")
        with self._committing, self._link.patient() as budget:
            try:
                return self._commit(effects, budget)
            except BaseException:
                # What became of the batch is unknown: whatever comes next begins with what really stands.
                self._positions.clear()
                self._entries.clear()
                raise

    def begin_commit(self, effects: Effects) -> Callable[[], Committed]:
        """See `TwoStepStore.begin_commit`: documents are encoded here, so that what is left mostly waits for the cluster."""
        for event in effects.events:
            if not event.sent:
                with suppress(TypeError):  # the commit rejects it and says why
                    event.sent = body(event)
        return partial(self.commit, effects)

    def _commit(self, effects: Effects, budget: Budget) -> Committed:
        self._load_positions([progress.partition for progress in effects.progress])
        fresh = [progress for progress in effects.progress if self._is_fresh(progress)]
        stale = {progress.partition for progress in effects.progress if progress not in fresh}
        tally = _Tally()
        tally.letters.extend(effects.dead_letters)
        self._put_events(effects.events, tally, budget)
        self._crash("store.events.written")
        tally.committed.new_alerts = self._put_alerts(effects.alerts, budget)
        self._crash("store.alerts.written")
        self._put_letters(tally, budget)
        nexts = {progress.partition: progress.next for progress in fresh}
        actions = [*self._claim_actions(effects.claims), *self._state_actions(effects.state, nexts, stale), *map(self._gap_action, effects.gaps)]
        actions += self._signal_actions(effects.signals)
        _demand(send(self._link, actions, budget=budget), EXISTS)  # a claim that stands; nothing else here can conflict
        self._claimed.update(effects.claims)
        self._crash("store.control.written")
        self._put_positions(fresh, tally, budget, effects.marks)
        return tally.committed

    # positions and ledger rows ---------------------------------------------------------------------------------

    def _load_positions(self, partitions: Iterable[str]) -> None:
        missing = [partition for partition in partitions if partition not in self._positions]
        if not missing:
            return
        index = self._names.control("positions")
        for partition, hit in zip(missing, self._mget([(index, _position_id(partition)) for partition in missing]), strict=True):
            self._positions[partition] = (hit["_source"]["row"], hit["_seq_no"], hit["_primary_term"]) if hit.get("found") else (None, -1, -1)

    def _is_fresh(self, progress: Progress) -> bool:
        """Whether the progress goes beyond what is committed; False for a batch that was committed before.

        Raises: Conflict when it begins before the committed position and ends after it.
        """
        row = self._positions[progress.partition][0]
        if row is None or progress.first >= row["next"]:
            return True
        if progress.next <= row["next"]:
            return False
        raise Conflict(
            Phrase(
                "partition {partition}: records {first} to {last} were given, but all before {next} are committed",
                partition=progress.partition,
                first=progress.first,
                last=progress.last,
                next=row["next"],
            ),
            hint="another worker has taken the partition over; read again from the store's position",
        )

    def _put_positions(self, fresh: Sequence[Progress], tally: _Tally, budget: Budget, marks: Mapping[str, int]) -> None:
        if not fresh:
            return
        index = self._names.control("positions")
        rows = [_counted(self._positions[progress.partition][0], progress, tally, marks) for progress in fresh]
        actions = []
        for progress, row in zip(fresh, rows, strict=True):
            _, seq_no, term = self._positions[progress.partition]
            document = {"source": progress.source, "partition": progress.partition, "row": row}
            identity = _position_id(progress.partition)
            actions.append(put(index, identity, document, seq_no=seq_no, term=term) if seq_no >= 0 else create(index, identity, orjson.dumps(document)))
        for progress, row, outcome in zip(fresh, rows, send(self._link, actions, budget=budget), strict=True):
            if outcome.status == EXISTS:
                self._check_own(progress.partition, row)
            elif outcome.kind:
                raise _unexpected(outcome)
            else:
                self._positions[progress.partition] = (row, outcome.seq_no, outcome.term)

    def _check_own(self, partition: str, row: Row) -> None:
        """A conflict may be our own write whose answer was lost: then the row stands exactly as we wrote it."""
        del self._positions[partition]
        self._load_positions([partition])
        if self._positions[partition][0] != row:
            raise Conflict(
                Phrase("partition {partition} was committed by another worker meanwhile", partition=partition), hint="read again from the store's position"
            )

    def positions(self) -> dict[str, int]:
        self.refresh("positions")
        return {row["partition"]: row["row"]["next"] for row in self._position_documents()}

    def _position_documents(self) -> list[Row]:
        return [hit["_source"] for hit in self._scan(self._names.control("positions"), {"match_all": {}})]

    # events ----------------------------------------------------------------------------------------------------

    def _alias(self, event: Event) -> str:
        """The alias of the event's partition."""
        day = event.ts_us // _DAY_US
        month = self._months.get(day)
        if month is None:
            if len(self._months) > 10_000:  # noqa: PLR2004 - days; a year has 365
                self._months.clear()
            month = self._months[day] = f"{to_datetime(event.ts_us):%Y.%m}"
        alias = self._names.partition(event.kind, month)
        if alias not in self._known:
            self._ensure_partition(alias)
        return alias

    def _ensure_partition(self, alias: str) -> None:
        """Create the partition's first generation unless it stands; safe against others doing the same.

        An index that stands without its aliases (removed by hand, restored from a snapshot without them) gets them back.
        Raises: StoreRefused when an index has the alias's name.
        """
        index = self._names.generation(alias, 1)
        aliases: dict[str, Any] = {alias: {}, self._names.events: {}}
        standing = self._aliases(alias)
        if alias in standing:
            raise StoreRefused(
                Phrase("{alias} is an index, and must be an alias of the store", alias=alias),
                hint=Phrase("another program may have made it: see what is in it, then remove it (DELETE /{alias})", alias=alias),
            )
        if not standing:
            self._put_missing_templates()
            self._link.create_index(index, {"aliases": aliases})
            standing = self._aliases(index)
        for name, its in standing.items():
            if self._names.replaced in its:
                raise StoreUnavailable(
                    Phrase("index {index} is left over from a migration that was interrupted", index=name), hint="run `soc store migrate` again"
                )
            if missing := aliases.keys() - its.keys():
                log.warning("an index was not found by its aliases; they are set again", index=name, aliases=sorted(missing))
                self._attach(name, alias)
        self._known.add(alias)

    def _put_events(self, events: Sequence[Event], tally: _Tally, budget: Budget) -> None:
        """Write events; tells own earlier attempts, replays and faults apart; what mappings refuse becomes a letter."""
        if not events:
            return
        faulty: list[Event] = []
        repeated = self._create_events(events, tally, budget)
        for event, hit in zip(repeated, self._stored(repeated), strict=True):
            if event.derived:
                continue
            if hit["raw_hash"] != event.raw_hash:
                tally.faults[event.partition] += 1
                tally.committed.faults.append(event.id)
                second = digest_id(event.id, event.raw_hash)
                faulty.append(event.with_doc({**event.doc, "soc.id": second}, id=second))
            else:
                _count_repeated(event, hit, tally)
        if faulty:
            again = self._create_events(faulty, tally, budget)
            for event, hit in zip(again, self._stored(again), strict=True):
                _count_repeated(event, hit, tally)

    def _create_events(self, events: Sequence[Event], tally: _Tally, budget: Budget) -> list[Event]:
        """Create what is new; returns those that stand already."""
        sent: list[Event] = []
        actions: list[Action] = []
        for event in events:
            try:
                encoded = event.sent or body(event)
            except TypeError as error:
                self._reject(event, f"cannot be written as JSON: {error}", tally)
                continue
            sent.append(event)
            actions.append(Action(f'{{"create":{{"_index":"{self._alias(event)}","_id":"{event.id}"}}}}'.encode(), encoded))
        outcomes = self._send_events(sent, actions, budget)
        repeated: list[Event] = []
        for event, outcome in zip(sent, outcomes, strict=True):
            if outcome.status == CREATED:
                tally.committed.stored += not event.derived
            elif outcome.status == EXISTS:
                repeated.append(event)
            elif outcome.status == 400:  # noqa: PLR2004 - document_parsing_exception and its like: the document, not the cluster
                self._reject(event, f"{outcome.kind}: {outcome.reason}", tally)
            else:
                raise _unexpected(outcome)
        return repeated

    def _send_events(self, events: Sequence[Event], actions: Sequence[Action], budget: Budget) -> list[Outcome]:
        outcomes = send(self._link, actions, budget=budget, require_alias=True)
        gone = [number for number, outcome in enumerate(outcomes) if outcome.kind == "index_not_found_exception"]
        while gone:  # retention dropped a partition that we knew
            self._known.clear()
            for number in gone:
                self._alias(events[number])
            for number, outcome in zip(gone, send(self._link, [actions[number] for number in gone], budget=budget, require_alias=True), strict=True):
                outcomes[number] = outcome
            gone = [number for number in gone if outcomes[number].kind == "index_not_found_exception" and budget.wait()]
        return outcomes

    def _stored(self, events: Sequence[Event]) -> list[Row]:
        """Position and hash under which events stand, read in real time."""
        hits = self._mget([(self._alias(event), event.id) for event in events], _POSITION)
        if not all(hit.get("found") for hit in hits):
            raise StoreUnavailable("events vanished while they were written: their partition was dropped", retry_after_s=0.1)
        return [hit["_source"]["soc"] for hit in hits]

    def _reject(self, event: Event, why: str, tally: _Tally) -> None:
        doc = event.doc
        raw = b64decode(doc["soc.raw"]) if isinstance(doc.get("soc.raw"), str) else str(doc.get("event.original", "")).encode("utf-8", "surrogateescape")
        derived = bool(doc.get("soc.derived"))
        tally.committed.rejected.append(event.id)
        tally.letters.append(
            DeadLetter(
                id=event.id,
                source=event.source,
                partition="" if derived else event.partition,
                seq=event.seq,
                origin=str(doc.get("soc.origin", "")),
                origin_seq=int(doc.get("soc.origin_seq", -1)),
                sub=int(doc.get("soc.sub", 0)),
                reason="rejected",
                error=f"the store refused the event: {why}"[:2000],
                raw=raw,
                received_us=_us(doc.get("soc.received_at")) or event.ts_us,
                parser=str(doc.get("soc.parser", "")),
                scope=event.scope,
            )
        )

    # dead letters ----------------------------------------------------------------------------------------------

    def _put_letters(self, tally: _Tally, budget: Budget) -> None:
        repeated = self._create_letters(tally.letters, budget)
        faulty: list[DeadLetter] = []
        for letter, hit in repeated:
            if hit["hash"] != raw_hash(letter.raw):
                tally.faults[letter.partition] += 1
                tally.committed.faults.append(letter.id)
                faulty.append(msgspec.structs.replace(letter, id=digest_id(letter.id, raw_hash(letter.raw))))
            else:
                _count_repeated_letter(letter, hit, tally)
        for letter, hit in self._create_letters(faulty, budget):
            _count_repeated_letter(letter, hit, tally)

    def _create_letters(self, letters: Sequence[DeadLetter], budget: Budget) -> list[tuple[DeadLetter, Row]]:
        """Create what is new; returns those that stand already, with what stands."""
        if not letters:
            return []
        index = self._names.control("deadletters")
        outcomes = send(self._link, [create(index, letter.id, orjson.dumps(_letter_document(letter))) for letter in letters], budget=budget)
        _demand(outcomes, EXISTS)
        repeated = [letter for letter, outcome in zip(letters, outcomes, strict=True) if outcome.status == EXISTS]
        hits = self._mget([(index, letter.id) for letter in repeated])
        return [(letter, hit["_source"]) for letter, hit in zip(repeated, hits, strict=True)]

    def settle_dead_letter(self, letter_id: str, state: Literal["redriven", "discarded"], note: str, event: Event | None, alerts: Sequence[Alert] = ()) -> None:
        self._writable()
        index = self._names.control("deadletters")
        [hit] = self._mget([(index, letter_id)])
        if not hit.get("found"):
            raise NotFound(Phrase("no dead letter {letter_id}", letter_id=letter_id))
        letter = letter_of(hit["_source"])
        if letter.state != "open":
            raise Conflict(Phrase("dead letter {letter_id} is already {state}", letter_id=letter_id, state=SAID.get(letter.state, letter.state)))
        budget = self._link.budget()
        if state == "redriven":
            if event is None:
                raise ValueError("a redriven dead letter needs its event")
            tally = _Tally()
            self._put_events([event], tally, budget)
            if tally.letters:
                raise StoreRefused(
                    Phrase("the event of dead letter {letter_id} is refused again: {error}", letter_id=letter_id, error=tally.letters[0].error),
                    hint="the letter stays open",
                )
            self._put_alerts(alerts, budget)
        settled = _letter_document(msgspec.structs.replace(letter, state=state, note=note))
        [outcome] = send(self._link, [put(index, letter_id, settled, seq_no=hit["_seq_no"], term=hit["_primary_term"])], budget=budget)
        if outcome.status == EXISTS:
            [now] = self._mget([(index, letter_id)])
            if now["_source"] != settled:
                raise Conflict(Phrase("dead letter {letter_id} was settled by somebody else meanwhile", letter_id=letter_id))
        elif outcome.kind:
            raise _unexpected(outcome)

    # natural keys ----------------------------------------------------------------------------------------------

    def owners(self, claims: Mapping[str, str]) -> dict[str, str]:
        self._writable()
        if not claims:
            return {}
        out = dict(claims)
        index = self._names.control("claims")
        with self._link.patient() as budget:
            outcomes = send(self._link, self._claim_actions(claims, known=frozenset()), budget=budget)
            _demand(outcomes, EXISTS)
            taken = [key for key, outcome in zip(claims, outcomes, strict=True) if outcome.status == EXISTS]
            for key, hit in zip(taken, self._mget([(index, _claim_id(key)) for key in taken]), strict=True):
                out[key] = hit["_source"]["owner"]
        if len(self._claimed) > _MOST_CLAIMED:
            self._claimed = set()
        self._claimed.update(claims)
        return out

    def _claim_actions(self, claims: Mapping[str, str], *, known: frozenset[str] | None = None) -> list[Action]:
        passed = self._claimed if known is None else known
        index = self._names.control("claims")
        return [create(index, _claim_id(key), orjson.dumps({"owner": owner})) for key, owner in claims.items() if key not in passed]

    # correlation -----------------------------------------------------------------------------------------------

    def _signal_actions(self, signals: Sequence[Signal]) -> list[Action]:
        """Write signals in blocks named by what they hold, so that writing them again changes nothing."""
        index = self._names.control("signals")
        actions = []
        for block in blocks(signals):
            packed = pack(block)
            times = [signal.ts for signal in block]
            document = {"from_us": min(times), "until_us": max(times), "body": b64encode(zstandard.compress(packed, 1)).decode()}
            actions.append(put(index, digest_id("signals", sha256(packed).hexdigest()), document))
        return actions

    def signals(self, since_us: int, of: Mapping[str, int] | None = None) -> Iterator[Signal]:
        self.refresh("signals")
        for hit in self._scan(self._names.control("signals"), {"range": {"until_us": {"gte": since_us}}}, size=50):
            yield from (signal for signal in unpack(zstandard.decompress(b64decode(hit["_source"]["body"]))) if is_asked_for(signal, since_us, of))

    def drop_signals(self, before_us: int) -> None:
        self._writable()
        index = self._names.control("signals")
        old = self._scan(index, {"range": {"until_us": {"lt": before_us}}}, source=False)
        while some := [delete(index, hit["_id"]) for hit in islice(old, 1_000)]:  # by id: deleting by query is a module that not every cluster has
            send(self._link, some)

    def marks(self) -> dict[str, int]:
        self.refresh("positions")
        return {row["partition"]: row["row"]["mark"] for row in self._position_documents() if "mark" in row["row"]}

    # pipeline state, gaps --------------------------------------------------------------------------------------

    def state(self, partition: str) -> dict[str, bytes]:
        with self._committing, self._link.patient():  # another worker may have had the partition: what we remember of it may be old
            self._entries.pop(partition, None)
            self._positions.pop(partition, None)
            entries = dict(self._load_entries(partition))
            self._load_positions([partition])
            at = _next(self._positions[partition][0])
        visible = {what: _value(entry, at) for what, entry in entries.items()}
        return {what: value for what, value in visible.items() if value is not None}

    def _load_entries(self, partition: str) -> dict[str, Row]:
        known = self._entries.get(partition)
        if known is None:
            self.refresh("state")
            hits = self._scan(self._names.control("state"), {"term": {"partition": digest_id(partition)}})
            known = self._entries[partition] = {hit["_source"]["entry"]["what"]: hit["_source"]["entry"] for hit in hits}
        return known

    def _state_actions(self, state: Mapping[str, bytes | None], nexts: Mapping[str, int], stale: set[str]) -> list[Action]:
        """Write changed entries; forget for good what a commit before this one forgot."""
        actions: list[Action] = []
        index = self._names.control("state")
        by_partition: dict[str, dict[str, bytes | None]] = {}
        for key, value in state.items():
            partition, _, what = key.partition("\x1f")
            if partition not in stale:
                by_partition.setdefault(partition, {})[what] = value
        for partition, changes in by_partition.items():
            entries = self._load_entries(partition)
            self._load_positions([partition])
            committed = _next(self._positions[partition][0])
            for what in [what for what, entry in entries.items() if what not in changes and entry["value"] is None and entry["at"] <= committed]:
                del entries[what]
                actions.append(delete(index, digest_id(partition, what)))
            for what, value in changes.items():
                entry = entries[what] = _changed(entries.get(what), what, value, nexts.get(partition, committed), committed)
                actions.append(put(index, digest_id(partition, what), {"partition": digest_id(partition), "entry": entry}))
        return actions

    def _gap_action(self, gap: Gap) -> Action:
        """A gap that began at the same time is the same gap, further on."""
        identity = digest_id("gap", gap.source, gap.scope, str(gap.from_us))
        document = {"source": gap.source, "from_us": gap.from_us, "until_us": gap.until_us, "gap": msgspec.to_builtins(gap)}
        return put(self._names.control("gaps"), identity, document)

    def gaps(self, *, source: str = "", since_us: int | None = None) -> list[Gap]:
        self.refresh("gaps")
        query = {"term": {"source": source}} if source else {"match_all": {}}
        found = [msgspec.convert(hit["_source"]["gap"], Gap) for hit in self._scan(self._names.control("gaps"), query, [{"from_us": "asc"}, {"source": "asc"}])]
        return [gap for gap in found if since_us is None or not gap.until_us or gap.until_us >= since_us]

    # facts -----------------------------------------------------------------------------------------------------

    def facts(self, kind: str) -> list[dict[str, Any]]:
        self.refresh("facts")
        return [hit["_source"]["fact"] for hit in self._scan(self._names.control("facts"), {"term": {"kind": kind}}, [{"number": "asc"}])]

    def record_fact(self, kind: str, fact: Mapping[str, Any]) -> None:
        self._writable()
        index = self._names.control("facts")
        encoded = orjson.dumps(dict(fact))
        number = len(self.facts(kind))
        while True:  # numbered without a gap: whoever is second takes the next number
            document = orjson.dumps({"kind": kind, "number": number, "fact": orjson.Fragment(encoded)})
            [outcome] = send(self._link, [create(index, digest_id("fact", kind, str(number)), document)])
            if outcome.status == CREATED:
                return
            if outcome.status != EXISTS:
                raise _unexpected(outcome)
            number += 1

    def retract(self, fact: Mapping[str, Any]) -> None:
        self.record_fact(RETRACTION, fact)


def _position_id(partition: str) -> str:
    return digest_id("position", partition)


def _claim_id(key: str) -> str:
    return digest_id("claim", key)


def _next(row: Row | None) -> int:
    return int(row["next"]) if row else 0


def _counted(row: Row | None, progress: Progress, tally: _Tally, marks: Mapping[str, int]) -> Row:
    """The position row after a batch: next position, the largest event time, and one ledger row per source."""
    sources = dict(row["sources"]) if row else {}
    known = sources.get(progress.source) or {"first": progress.first, "received": 0, "dropped": {}, "lost": 0, "faults": 0}
    dropped = Counter(known["dropped"])
    dropped.update(progress.dropped)
    if tally.replays[progress.partition]:
        dropped["replay"] += tally.replays[progress.partition]
    sources[progress.source] = {
        "first": known["first"],
        "last": progress.last,
        "received": known["received"] + progress.received,
        "dropped": dict(dropped),
        "lost": known["lost"] + progress.lost,
        "faults": known["faults"] + tally.faults[progress.partition],
        "knowledge": progress.knowledge,
    }
    mark = max(marks.get(progress.partition, 0), int(row.get("mark", 0)) if row else 0)
    return {"next": progress.next, "sources": sources, **({"mark": mark} if mark else {})}


def _changed(entry: Row | None, what: str, value: bytes | None, at: int, committed: int) -> Row:
    """An entry with a new value that holds from position `at` on; the committed value stays beside it until then."""
    now = None if entry is None else _raw_value(entry, committed)
    return {"what": what, "at": at, "value": None if value is None else b64encode(value).decode(), "before": now}


def _raw_value(entry: Row, committed: int) -> str | None:
    value: str | None = entry["value"] if entry["at"] <= committed else entry["before"]
    return value


def _value(entry: Row, committed: int) -> bytes | None:
    text = _raw_value(entry, committed)
    return None if text is None else b64decode(text)


def _letter_document(letter: DeadLetter) -> Row:
    return {
        "id": letter.id,
        "source": letter.source,
        "partition": letter.partition,
        "state": letter.state,
        "hash": raw_hash(letter.raw),
        "received_us": letter.received_us,
        "seq": letter.seq,
        "letter": msgspec.json.decode(msgspec.json.encode(letter)),
    }


def _count_repeated(event: Event, stored: Row, tally: _Tally) -> None:
    if (stored["partition"], stored["seq"]) == (event.partition, event.seq):
        tally.committed.stored += 1
    else:
        tally.committed.replayed += 1
        tally.replays[event.partition] += 1


def _count_repeated_letter(letter: DeadLetter, stored: Row, tally: _Tally) -> None:
    if (stored["partition"], stored["seq"]) != (letter.partition, letter.seq):
        tally.committed.replayed += 1
        tally.replays[letter.partition] += 1


def _us(text: Any) -> int:
    try:
        return from_datetime(datetime.fromisoformat(text)) if isinstance(text, str) else 0
    except ValueError:
        return 0


def _demand(outcomes: Sequence[Outcome], *allowed: int) -> None:
    """Refuse to go on unless everything was written (or has an allowed status)."""
    for outcome in outcomes:
        if outcome.kind and outcome.status not in allowed:
            raise _unexpected(outcome)


def _unexpected(outcome: Outcome) -> StoreRefused:
    return StoreRefused(
        Phrase("Elasticsearch refused a document ({status}): {kind}: {reason}", status=outcome.status, kind=outcome.kind, reason=outcome.reason),
        hint="are the index templates those of this version? `soc store migrate`",
    )
