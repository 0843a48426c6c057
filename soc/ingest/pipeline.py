"""From raw records to effects: frame, recognise, parse, complete, assemble, classify.

A pure function of the log, the rules and the kept state: no clock, no randomness; `received_us` of a record is the
only time. The same records in the same order give the same effects, wherever a batch begins or ends.

Why it is fast: everything that depends only on the source is looked up once per batch, an event is one flat dict from
parser to store, and parsers, rules and tokenizer work on cached plans. Measured shares of one FortiGate line stand in
docs/performance.md.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import msgspec

from soc.clock import from_iso, iso
from soc.errors import Conflict, NotAllowed, ParseError, StoreRefused, Unreachable
from soc.ingest.assembly import Assembly
from soc.ingest.exceptions import ExceptionCounts
from soc.ingest.framing import decode, frame
from soc.ingest.offsets import OffsetMeter
from soc.ingest.parser import Assembler, BatchParser, Context, Line, Parsed, Parser
from soc.ingest.registry import Registry
from soc.ingest.storm import Breaker
from soc.model.alert import Alert
from soc.model.deadletter import DeadLetter
from soc.model.event import SCHEMA, Doc, Event
from soc.model.ids import derived_event_id, digest_id, event_id, event_ids, raw_hash
from soc.model.record import RawRecord
from soc.model.text import TEXT_FROM, events_tokens, with_own_tokens
from soc.ports import Classifier, Effects, Progress
from soc.telemetry import get_logger

log = get_logger(__name__)

DAY_US = 86_400_000_000
OLDEST_US = 400 * DAY_US
"""Event times further back than this before `received_at` are kept but not used (design: identity and time)."""
FUTURE_US = 3_600_000_000
CHUNK = 256
"""Records that go through each step together."""
MOST_KEPT = 4 << 20
"""Bytes of a record that is no event: whoever writes to a topic chooses how long it is, and a store that refuses it would be asked for ever."""
FEW = 4
"""Lines that are not worth reading together."""
LATE_US = 900_000_000
"""An alert found this long after its event says «phát hiện muộn»: a quarter of an hour is more than a healthy relay takes."""


_EVENT_TIME = attrgetter("ts_us")
_RECEIVED = attrgetter("received_us")


class SourceInfo(NamedTuple):
    """What the configuration says of a source."""

    name: str
    scope: str = "real"
    product: str = ""
    kind: str = ""
    timezone: str = "Asia/Ho_Chi_Minh"
    agency: str = ""
    network_point: str = ""
    max_record_bytes: int = 1_048_576
    knowledge: Literal["proved", "counted", "unknowable"] = "proved"
    """What the ledger can know of what was sent: `proved` where it can be read again, `unknowable` for bare UDP."""


class Pipeline:
    """Turns batches of one source into effects.

    `kept_state(partition)` reads back what earlier effects kept; `offset_us(source, received_us)` is the clock offset
    in force; `owners` is `Store.owners`; `enrich` adds whose an event is; `encode` is `EncodingStore.encode` where the store has it.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        classifier: Classifier,
        sources: Mapping[str, SourceInfo],
        kept_state: Callable[[str], Mapping[str, bytes]],
        owners: Callable[[Mapping[str, str]], Mapping[str, str]],
        enrich: Callable[[Doc], None] | None = None,
        offset_us: Callable[[str, int], int] = lambda _source, _received: 0,
        meter: OffsetMeter | None = None,
        storm_per_hour: int = 0,
        encode: Callable[[Doc], bytes] | None = None,
    ) -> None:
        self.classifier = classifier
        self._registry = registry
        self._many = {parser.name: parser.parse_many for parser in registry.parsers() if isinstance(parser, BatchParser)}
        self._assemblers = {parser.name: assembler for parser in registry.parsers() if (assembler := registry.assembler(parser.name)) is not None}
        self._sources = sources
        self._kept_state = kept_state
        self._owners = owners
        self._enrich = enrich
        self._offset_us = offset_us
        self._meter = meter
        self._encode = encode
        self._assemblies: dict[str, dict[str, Assembly]] = {}
        self._breaker = Breaker(storm_per_hour, kept_state)
        self._excepted = ExceptionCounts(kept_state)

    def use_registry(self, enrich: Callable[[Doc], None] | None) -> None:
        """Ask another state of the registry from the next batch on."""
        self._enrich = enrich

    def use_rules(self, classifier: Classifier) -> None:
        """Go on under other rules; to be called between two batches."""
        self.classifier = classifier

    def scope(self, source: str) -> str:
        """The scope that everything of a source has."""
        info = self._sources.get(source)
        return info.scope if info is not None else SourceInfo(source).scope

    def forget(self, partitions: Iterable[str]) -> None:
        """Drop the state of partitions that went elsewhere (it is read back if they return)."""
        for partition in partitions:
            self._assemblies.pop(partition, None)
            self._breaker.forget((partition,))
            self._excepted.forget((partition,))

    def forget_all(self) -> None:
        """Drop all state: after a conflict everything is read again."""
        self._assemblies.clear()
        self._breaker.forget_all()
        self._excepted.forget_all()

    def process(self, records: Sequence[RawRecord]) -> Effects:
        """The effects of a batch of records of one source, in the order of the log.

        Never raises for what a record holds: it ends as an event, an event with a parse error, or a dead letter.
        Raises: StoreUnavailable when the kept state or the owners of natural keys cannot be read; then `forget_all` is due.
        """
        batch = _Batch(self._sources.get(records[0].source) or SourceInfo(records[0].source), self.classifier.hash, self._encode)
        for begin in range(0, len(records), CHUNK):
            self._chunk(batch, records[begin : begin + CHUNK])
        if self._meter is not None and batch.effects.events:
            event = batch.effects.events[-1]  # one a batch is enough to measure a clock, and costs nothing
            if event.doc.get("soc.time_fault") not in {"missing", "past"} and "soc.derived" not in event.doc:
                self._meter.sample(event.source, from_iso(event.doc.get("soc.device_time") or event.doc["@timestamp"]), records[-1].received_us)
        self._settle(batch)
        return batch.effects

    def _chunk(self, batch: _Batch, records: Sequence[RawRecord]) -> None:
        """Take in some records: few enough that what was made of them is still in the processor's cache when the next step wants it."""
        before = batch.mark()
        assembler_of = self._assemblers.get
        ids = event_ids([(record.origin, record.origin_seq, record.sub) for record in records])
        for record, ready, identity in zip(records, self._read(batch, records), ids, strict=True):
            batch.count(record)
            if ready is not None:
                try:
                    self._take(batch, record, ready, identity)
                except (Unreachable, StoreRefused, NotAllowed, Conflict):
                    raise  # of the store that kept state is read from: no fault of the record
                except Exception as error:  # noqa: BLE001 - a fault of ours in one line must not stop the stream; the record is kept whole
                    log.error("record could not be processed", source=record.source, partition=record.partition, seq=record.seq, error=repr(error))
                    batch.dead_letter(record, "parser-fault", repr(error))
                    continue
                if ready.parser is not None and (assembler := assembler_of(ready.parser.name)) is not None:
                    batch.line = batch.effects.events[-1], assembler
                    self._attempt(batch, record, self._assemble)
            elif record.heartbeat:
                batch.drop(record, "heartbeat")
                batch.beats[record.partition] = record.received_us
                self._attempt(batch, record, self._expire)
            elif record.fault or len(record.raw) > batch.source.max_record_bytes:
                batch.dead_letter(record, *_why_unreadable(record, batch.source.max_record_bytes))
                if record.records > 1:  # one letter tells of all of them
                    batch.drop(record, "unread-batch", record.records - 1)
            else:
                batch.drop(record, "empty")
        batch.finish(before)

    def _read(self, batch: _Batch, records: Sequence[RawRecord]) -> list[_Ready | None]:
        """Each record's text, parser and what that read; None for what is no line. Lines of one parser are read together where it can."""
        source, recognise = batch.source, self._registry.recognise
        most = source.max_record_bytes
        out: list[_Ready | None] = []
        together: dict[str, list[_Ready]] = {}
        for record in records:
            raw = record.raw
            if record.heartbeat or record.fault or len(raw) > most or not raw.strip():
                out.append(None)
                continue
            text, broken = decode(raw)
            ready = _Ready(text, broken, _NO_LINE)
            out.append(ready)
            try:
                line = ready.line = frame(text)
                parser = ready.parser = recognise(line, source.product)
            except Exception as error:  # noqa: BLE001 - told when its turn comes
                ready.fault = error
            else:
                if parser is not None and parser.name in self._many:
                    together.setdefault(parser.name, []).append(ready)
        for name, some in together.items():
            if len(some) >= FEW:
                self._read_together(batch, name, some, records)
        return out

    def _read_together(self, batch: _Batch, name: str, some: list[_Ready], records: Sequence[RawRecord]) -> None:
        first_us, last_us = min(map(_RECEIVED, records)), max(map(_RECEIVED, records))
        try:
            found = self._many[name]([ready.line for ready in some], Context(first_us, batch.source.timezone, 0, "", tokens=True, last_us=last_us))
        except Exception as error:  # noqa: BLE001 - then each is read by itself, and the one that is to blame is told of
            log.error("lines could not be read together", source=batch.source.name, parser=name, error=repr(error))
            return
        for ready, parsed in zip(some, found, strict=True):
            ready.parsed = parsed

    # one record ------------------------------------------------------------------------------------------------

    def _attempt(self, batch: _Batch, record: RawRecord, step: Callable[..., None], *more: Event) -> str:
        """Carry out one step for a record; why it failed ("" = it did not), and then nothing of it is in the batch."""
        mark = batch.mark()
        try:
            step(batch, record, *more)
        except (Unreachable, StoreRefused, NotAllowed, Conflict):
            raise  # of the store that kept state is read from: no fault of the record
        except Exception as error:  # noqa: BLE001 - a fault of ours in one line must not stop the stream; the record is kept whole
            log.error("record could not be processed", source=record.source, partition=record.partition, seq=record.seq, error=repr(error))
            batch.back_to(mark)
            return repr(error)
        return ""

    def _take(self, batch: _Batch, record: RawRecord, ready: _Ready, identity: str) -> None:
        """Take in a line; nothing of it is in the batch when this raises."""
        if ready.fault is not None:
            raise ready.fault
        parser, parsed = ready.parser, ready.parsed
        if parsed is None:
            parsed = read_line(parser, ready.line, Context(record.received_us, batch.source.timezone, 0, record.host))
        event = self._complete(batch, record, identity, parser, parsed)
        doc = parsed.doc
        doc["event.original"] = ready.text
        if ready.broken:
            doc["soc.raw"] = b64encode(record.raw).decode()
        if record.truncated_bytes:
            doc["soc.truncated_bytes"] = record.truncated_bytes
        batch.add(event, self.classifier, record)

    def _add(self, batch: _Batch, record: RawRecord, event: Event) -> None:
        batch.add(event, self.classifier, record)

    def _assemble(self, batch: _Batch, record: RawRecord) -> None:
        """Let the line that was just taken in go on into its occurrence."""
        if batch.line is not None:
            event, assembler = batch.line
            finished = self._assembly(record.partition, assembler).fold(event.id, event.ts_us, record.received_us, event.doc)
            self._add_derived(batch, record, assembler, finished)

    def _complete(self, batch: _Batch, record: RawRecord, identity: str, parser: Parser | None, parsed: Parsed) -> Event:
        source = batch.source
        doc = parsed.doc
        same = batch.same
        if (
            same is None
            or same.parser is not parser
            or same.received_us != record.received_us
            or same.partition != record.partition
            or same.origin != record.origin
        ):
            at = (id(parser), record.received_us, record.partition, record.origin)  # lines of two products often take turns
            same = batch.sames.get(at)
            if same is None:
                same = batch.sames[at] = _Same(batch, record, parser, self._offset_us(source.name, record.received_us))
            batch.same = same
        ts_us = parsed.ts_us
        if not same.oldest_us <= ts_us <= same.latest_us or same.offset_us or not ts_us:
            ts_us = _usable_time(doc, ts_us, record.received_us, same.offset_us)
        hashed = raw_hash(record.raw)
        doc.update(same.fields)
        doc["soc.id"] = identity
        doc["soc.seq"] = record.seq
        doc["soc.origin_seq"] = record.origin_seq
        doc["soc.sub"] = record.sub
        doc["soc.raw_hash"] = hashed
        if self._enrich is not None:
            self._enrich(doc)
        if record.host:
            doc["log.source.address"] = record.host
        tokens = ""
        if parsed.error:
            doc["soc.parse_error"] = parsed.error
        elif parser is not None:
            tokens = parsed.tokens
            if parser.fields_hold_line:
                doc[TEXT_FROM] = "fields"
        return Event(
            identity,
            ts_us,
            same.kind,
            source.name,
            record.partition,
            record.seq,
            hashed,
            "none",
            "",
            source.scope,
            doc,
            tokens,
            parsed.natural_key,
            origin=record.origin,
            origin_seq=record.origin_seq,
        )

    # occurrences of several lines ------------------------------------------------------------------------------

    def _assembly(self, partition: str, assembler: Assembler) -> Assembly:
        known = self._assemblies.get(partition)
        if known is None:
            known = self._assemblies[partition] = self._restore(partition)
        assembly = known.get(assembler.name)
        if assembly is None:
            assembly = known[assembler.name] = Assembly(assembler)
        return assembly

    def _restore(self, partition: str) -> dict[str, Assembly]:
        kept: dict[str, dict[str, bytes]] = {}
        for key, value in self._kept_state(partition).items():
            name, _, rest = key.partition("\x1f")
            kept.setdefault(name, {})[rest] = value
        return {name: Assembly(assembler, states) for name, states in kept.items() if (assembler := self._registry.assembler(name)) is not None}

    def _expire(self, batch: _Batch, record: RawRecord) -> None:
        if record.partition not in self._assemblies:
            self._assemblies[record.partition] = self._restore(record.partition)
        for assembly in self._assemblies[record.partition].values():
            self._add_derived(batch, record, assembly.assembler, assembly.expire(record.received_us))

    def _add_derived(self, batch: _Batch, record: RawRecord, assembler: Assembler, finished: Sequence[Parsed]) -> None:
        """Take in occurrences; one that the rules fail at is kept without a class, as its lines are folded already."""
        for parsed in finished:
            event = self._derive(batch, record, assembler, parsed)
            if fault := self._attempt(batch, record, self._add, event):
                batch.add_unclassified(event, fault)

    def _derive(self, batch: _Batch, record: RawRecord, assembler: Assembler, parsed: Parsed) -> Event:
        """The event of an assembled occurrence: named by what it is, not by the lines that happened to tell of it."""
        source = batch.source
        doc = parsed.doc
        identity = derived_event_id(source.scope, f"{source.name}\x1f{assembler.name}\x1f{parsed.natural_key}")
        kind = str(doc.get("soc.kind") or "mail")
        doc.update(
            {
                "soc.id": identity,
                "soc.scope": source.scope,
                "soc.source": source.name,
                "soc.partition": record.partition,
                "soc.seq": record.seq,
                "soc.derived": True,
                "soc.received_at": batch.iso(record.received_us),
                "soc.kind": kind,
                "soc.parser": f"{assembler.name}@{assembler.version}",
                "soc.schema": SCHEMA,
            }
        )
        ts_us = parsed.ts_us or record.received_us
        if "@timestamp" not in doc:
            doc["@timestamp"] = iso(ts_us)
        hashed = raw_hash(parsed.natural_key.encode("utf-8", "surrogateescape"))
        doc["soc.raw_hash"] = hashed
        if source.agency:
            doc["soc.agency.id"] = source.agency
        if source.network_point:
            doc["soc.network_point"] = source.network_point
        if self._enrich is not None:
            self._enrich(doc)
        return Event(
            identity, ts_us, kind, source.name, record.partition, record.seq, hashed, "none", "", source.scope, doc, "", parsed.natural_key, derived=True
        )

    # the end of a batch ----------------------------------------------------------------------------------------

    def _settle(self, batch: _Batch) -> None:
        """Count each occurrence once: the first event with a natural key owns it."""
        effects = batch.effects
        claims = batch.claims
        if claims:
            owners = self._owners(claims)
            for event, key in batch.claimants:
                if owners[key] != event.id:
                    event.counted = False
                    event.doc["soc.counted"] = False
                    event.body = b""
                else:
                    event.let_go()
            effects.claims = {key: owner for key, owner in claims.items() if owners[key] == owner}
            if effects.signals:  # what is no occurrence of its own counts nowhere
                repeated = {event.id for event, key in batch.claimants if owners[key] != event.id}
                effects.signals = [signal for signal in effects.signals if signal.id not in repeated]
        effects.marks = batch.marks()
        for record, event, excepted in batch.excepted:
            for index, exception in excepted:
                effects.excepted[exception] = effects.excepted.get(exception, 0) + 1
                self._excepted.count(record.partition, exception, self.classifier.rule_id(index), event.id, batch.iso(record.received_us))
        if batch.excepted:
            effects.state.update(self._excepted.take_changes())
        if effects.alerts:
            self._break_storms(batch)
        for partition in batch.progress:
            for name, assembly in self._assemblies.get(partition, {}).items():
                for key, state in assembly.take_changes().items():
                    effects.state[f"{partition}\x1f{name}\x1f{key}"] = state

    def _break_storms(self, batch: _Batch) -> None:
        """Put what a rule raises beyond its limit into one group, with one message."""
        effects = batch.effects
        [first, *more] = batch.progress
        partitions = {event.id: event.partition for event in effects.events} if more else {}
        counted = [self._breaker.count(partitions.get(next(iter(alert.events), ""), "" if more else first), alert) for alert in effects.alerts]
        effects.alerts += [message for message in counted if message is not None]
        effects.state.update(self._breaker.take_changes())


_NO_LINE = Line("", "")


class _Ready(msgspec.Struct, gc=False):
    """A line before it becomes an event."""

    text: str
    broken: bool
    line: Line
    parser: Any = None
    """Its `Parser`, if one claims it."""
    parsed: Parsed | None = None
    """What reading it together with others gave; None where it is to be read by itself."""
    fault: Any = None
    """The exception that came of framing it."""


class _Batch:
    """What a batch has gathered so far."""

    def __init__(self, source: SourceInfo, rules_hash: str, encode: Callable[[Doc], bytes] | None) -> None:
        self.source = source
        self.encode = encode
        self.effects = Effects(progress=[], rules_hash=rules_hash)
        self.progress: dict[str, Progress] = {}
        self.claims: dict[str, str] = {}
        self.claimants: list[tuple[Event, str]] = []
        self.excepted: list[tuple[RawRecord, Event, tuple[tuple[int, str], ...]]] = []
        """What exceptions let pass."""
        self.beats: dict[str, int] = {}
        """By partition the received time of its last heartbeat."""
        self.same: _Same | None = None
        self.sames: dict[tuple[int, int, str, str], _Same] = {}
        """All of this batch; `same` is the last one that was asked for."""
        self.line: tuple[Event, Assembler] | None = None
        """The event of the line at hand, if it is part of an occurrence of several lines."""
        self.received_us = 0
        self._received = (-1, "")

    def marks(self) -> dict[str, int]:
        """By partition the largest event time; a device whose clock is fast does not get ahead of when its line was received."""
        out = dict(self.beats)
        if len(self.progress) == 1 and self.effects.events:
            [partition] = self.progress
            out[partition] = max(out.get(partition, 0), min(max(map(_EVENT_TIME, self.effects.events)), self.received_us))
        elif self.effects.events:
            for event in self.effects.events:
                out[event.partition] = max(out.get(event.partition, 0), min(event.ts_us, self.received_us))
        return out

    def mark(self) -> tuple[int, int, int, int]:
        """How much there is, for `back_to` and `finish`."""
        return len(self.effects.events), len(self.effects.alerts), len(self.claimants), len(self.effects.signals)

    def back_to(self, mark: tuple[int, int, int, int]) -> None:
        """Leave out what came after `mark`."""
        events, alerts, claimants, signals = mark
        del self.effects.events[events:], self.effects.alerts[alerts:], self.effects.signals[signals:]
        for event, key in self.claimants[claimants:]:
            if self.claims.get(key) == event.id:
                del self.claims[key]
        del self.claimants[claimants:]

    def iso(self, us: int) -> str:
        """`iso(us)`, remembered: the records of one poll share their received time."""
        if self._received[0] != us:
            self._received = (us, iso(us))
        return self._received[1]

    def count(self, record: RawRecord) -> None:
        progress = self.progress.get(record.partition)
        if progress is None:
            progress = self.progress[record.partition] = Progress(
                record.source, record.partition, record.seq, record.seq, record.next, 0, {}, self.source.knowledge
            )
            self.effects.progress.append(progress)
        self.received_us = record.received_us
        progress.last = record.seq
        progress.next = record.next
        progress.received += record.records

    def drop(self, record: RawRecord, reason: str, records: int = 1) -> None:
        dropped = self.progress[record.partition].dropped
        dropped[reason] = dropped.get(reason, 0) + records

    def dead_letter(self, record: RawRecord, reason: str, error: str) -> None:
        raw, cut = record.raw, len(record.raw) - max(MOST_KEPT, self.source.max_record_bytes)
        if cut > 0:
            raw, error = raw[:-cut], f"{error}; the first {len(raw) - cut} are kept"
        identity = event_id(record.origin, record.origin_seq, record.sub)
        self.effects.dead_letters.append(
            DeadLetter(
                identity,
                record.source,
                record.partition,
                record.seq,
                record.origin,
                record.origin_seq,
                record.sub,
                reason,
                error,
                raw,
                record.received_us,
                scope=self.source.scope,
                host=record.host,
                truncated_bytes=record.truncated_bytes + max(0, cut),
            )
        )

    def add(self, event: Event, classifier: Classifier, record: RawRecord) -> None:
        """Classify an event and take it and its alerts in; all of it or, when something raises, nothing."""
        doc = event.doc
        effects = self.effects
        if "denied" in (doc.get("event.type") or ()) and "soc.blocked" not in doc:
            doc["soc.blocked"] = True
        doc["soc.rules_hash"] = effects.rules_hash
        verdict = classifier.classify(doc)
        level = event.level = doc["soc.threat.level"] = verdict.level
        if verdict.category:
            event.category = doc["soc.threat.category"] = verdict.category
            doc["soc.threat.rule"] = verdict.classified_by
        late = record.received_us - event.ts_us > LATE_US
        if late:
            doc["soc.late"] = True
        key = ""
        if level != "none" and event.natural_key:
            # Devices of two agencies may share names and numbers; a line resent by another relay of the agency is the same.
            key = doc["soc.natural_key"] = digest_id("natural", event.scope, self.source.agency, event.natural_key)
        if verdict.matches:
            signals = classifier.signals(verdict.matches, event)
            alerts: list[Alert] = []
            for index in verdict.matches:
                if index not in classifier.silent:
                    alert = classifier.alert(index, event, self.iso(record.received_us))
                    alert.late = late
                    alerts.append(alert)
            effects.signals += signals
            effects.alerts += alerts
        if key:
            self.claims.setdefault(key, event.id)
            self.claimants.append((event, key))
        effects.events.append(event)
        if verdict.excepted:
            self.excepted.append((record, event, verdict.excepted))

    def add_unclassified(self, event: Event, fault: str) -> None:
        """Take an event in that the rules could not be asked about."""
        event.doc["soc.parse_error"] = f"the rules failed: {fault}"
        event.level = event.doc["soc.threat.level"] = "none"
        self.effects.events.append(event)

    def finish(self, mark: tuple[int, int, int, int]) -> None:
        """Work out what the store needs of the events since `mark`: their documents are complete."""
        events = self.effects.events[mark[0] :]
        claimants = {event.id for event, _ in self.claimants[mark[2] :]}
        docs = [event.doc for event in events]
        bare: list[Event] = []
        for event, doc in zip(events, docs, strict=True):
            if event.tokens:
                event.tokens = with_own_tokens(event.tokens, doc)
            else:
                bare.append(event)
        for event, tokens in zip(bare, events_tokens([event.doc for event in bare]), strict=True):
            event.tokens = tokens
        if self.encode is not None:
            for event, doc in zip(events, docs, strict=True):
                event.body = self.encode(doc)
                if event.id not in claimants:  # `_settle` may still say something of those
                    event.let_go()


class _Same:
    """What the records of a batch have in common that came from one log at one time and were read by one parser."""

    __slots__ = ("fields", "kind", "latest_us", "offset_us", "oldest_us", "origin", "parser", "partition", "received_us")

    def __init__(self, batch: _Batch, record: RawRecord, parser: Parser | None, offset_us: int) -> None:
        source = batch.source
        self.parser = parser
        self.partition = record.partition
        self.origin = record.origin
        self.received_us = record.received_us
        self.offset_us = offset_us
        self.oldest_us = record.received_us - OLDEST_US
        self.latest_us = record.received_us + FUTURE_US
        self.kind = parser.kind if parser is not None else source.kind or "other"
        self.fields: Doc = {
            "soc.id": "",
            "soc.scope": source.scope,
            "soc.source": source.name,
            "soc.partition": record.partition,
            "soc.seq": 0,
            "soc.origin": record.origin,
            "soc.origin_seq": 0,
            "soc.sub": 0,
            "soc.received_at": batch.iso(record.received_us),
            "soc.kind": self.kind,
            "soc.parser": f"{parser.name}@{parser.version}" if parser is not None else "",
            "soc.raw_hash": "",
            "soc.schema": SCHEMA,
        }
        if source.agency:
            self.fields["soc.agency.id"] = source.agency
        if source.network_point:
            self.fields["soc.network_point"] = source.network_point


def _usable_time(doc: Doc, ts_us: int, received_us: int, offset_us: int) -> int:
    """The time that windows and partitions use; the document says where it is not the device's own."""
    if not ts_us:
        doc["@timestamp"] = iso(received_us)
        doc["soc.time_fault"] = "missing"
        return received_us
    if offset_us:
        doc["soc.device_time"] = doc.get("@timestamp") or iso(ts_us)
        doc["soc.clock_offset_s"] = offset_us / 1e6
        ts_us += offset_us
        doc["@timestamp"] = iso(ts_us)
    if ts_us < received_us - OLDEST_US:
        doc["soc.time_fault"] = "past"
        return received_us
    if ts_us > received_us + FUTURE_US:
        doc["soc.time_fault"] = "future"
        return received_us
    return ts_us


def read_line(parser: Parser | None, line: Line, context: Context) -> Parsed:
    """What the parser makes of a line, or what framing could read of it, with the reason."""
    if parser is None:
        return Parsed(header_fields(line), 0, error="no parser recognises this line")
    try:
        return parser.parse(line, context)
    except ParseError as error:
        doc = header_fields(line)
        doc.update(error.fields)
        return Parsed(doc, 0, error=error.reason)


def header_fields(line: Line) -> Doc:
    """The ECS fields that a syslog header gives."""
    doc: Doc = {"message": line.message}
    if line.priority >= 0:
        doc["log.syslog.priority"] = line.priority
        doc["log.syslog.facility.code"] = line.priority >> 3
        doc["log.syslog.severity.code"] = line.priority & 7
    if line.host:
        doc["host.hostname"] = line.host
    if line.app:
        doc["process.name"] = line.app
    return doc


def _why_unreadable(record: RawRecord, most: int) -> tuple[str, str]:
    if record.fault:
        reason = "oversized" if "oversized" in record.fault else "unreadable"
        return reason, record.fault
    return "oversized", f"{len(record.raw)} bytes; the limit is {most} (pipeline.max_record_bytes)"
