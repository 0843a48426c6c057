"""The store that forgets: every method of `Store` in the plainest way that is right.

For trials and tests, and the oracle that the contract suite compares the other stores with: where they differ from
this one, they are wrong. Nothing here is fast; everything is a scan of a dict.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from soc.clock import Clock, from_datetime, iso, to_datetime
from soc.errors import Conflict, NotAllowed, NotFound, Phrase, StoreFull
from soc.model.alert import Alert, AlertGroup
from soc.model.deadletter import SAID, DeadLetter
from soc.model.event import SCHEMA, Doc, Event, event_of, other_class, values
from soc.model.ids import digest_id, raw_hash
from soc.model.level import ThreatLevel
from soc.model.query.evaluate import as_text, matches
from soc.model.retraction import FACT, Retraction, in_force, withdrawn
from soc.model.signal import Signal, is_asked_for
from soc.model.text import event_tokens
from soc.ports import AlertQuery, Bucket, Committed, CrashPoint, Effects, EventPage, EventQuery, Gap, LedgerItem, Progress, no_crash

_EVERY = 1_000_000_000


class _Everything(msgspec.Struct):
    """All that the store holds; what a backup writes."""

    positions: dict[str, int] = {}
    ledger: dict[str, LedgerItem] = {}
    events: dict[str, Event] = {}
    owners: dict[str, str] = {}
    alerts: dict[str, Alert] = {}
    letters: dict[str, DeadLetter] = {}
    letter_hashes: dict[str, str] = {}
    state: dict[str, bytes] = {}
    gaps: list[Gap] = []
    facts: list[tuple[str, dict[str, Any]]] = []
    signals: list[Signal] = []
    marks: dict[str, int] = {}
    revisions: dict[str, list[Alert]] = {}
    """Superseded states of alerts."""


class MemoryStore:
    """A `Store` in the memory of one process; may be used from several threads."""

    def __init__(self, *, clock: Clock, read_only: bool = False, crash: CrashPoint = no_crash) -> None:
        self._all = _Everything()
        self._clock = clock
        self._read_only = read_only
        self._crash = crash
        self._lock = threading.RLock()

    # writing ---------------------------------------------------------------------------------------------------

    def positions(self) -> dict[str, int]:
        return dict(self._all.positions)

    def owners(self, claims: Mapping[str, str]) -> dict[str, str]:
        self._writable()
        with self._lock:
            return {key: self._all.owners.setdefault(key, owner) for key, owner in claims.items()}

    def commit(self, effects: Effects) -> Committed:
        self._writable()
        self._crash("store.begin")
        with self._lock:
            fresh = [progress for progress in effects.progress if self._is_fresh(progress)]
            committed = Committed(stored=0, replayed=0, faults=[], new_alerts=[])
            replays: Counter[str] = Counter()
            faults: Counter[str] = Counter()
            for event in effects.events:
                self._put_event(event, committed, replays, faults)
            self._crash("store.events.written")
            committed.new_alerts = [alert for alert in effects.alerts if self._put_alert(alert)]
            self._crash("store.alerts.written")
            for letter in effects.dead_letters:
                self._put_letter(letter, committed, replays, faults)
            for key, owner in effects.claims.items():
                self._all.owners.setdefault(key, owner)
            self._put_state(effects.state, {one.partition for one in effects.progress if one not in fresh})
            for gap in effects.gaps:
                self._put_gap(gap)
            self._all.signals += effects.signals
            self._crash("store.control.written")
            for progress in fresh:
                if progress.partition in effects.marks:
                    self._all.marks[progress.partition] = max(effects.marks[progress.partition], self._all.marks.get(progress.partition, 0))
                self._count(progress, replays[progress.partition], faults[progress.partition])
        return committed

    def _is_fresh(self, progress: Progress) -> bool:
        """Whether the progress goes beyond what is committed; False for a batch that was committed before.

        Raises: Conflict when it begins before the committed position and ends after it.
        """
        committed = self._all.positions.get(progress.partition)
        if committed is None or progress.first >= committed:
            return True
        if progress.next <= committed:
            return False
        raise Conflict(
            Phrase(
                "partition {partition}: records {first} to {last} were given, but all before {committed} are committed",
                partition=progress.partition,
                first=progress.first,
                last=progress.last,
                committed=committed,
            ),
            hint="another worker has taken the partition over; read again from the store's position",
        )

    def _count(self, progress: Progress, replayed: int, faults: int) -> None:
        key = f"{progress.source}\x1f{progress.partition}"
        row = self._all.ledger.get(key)
        if row is None:
            row = self._all.ledger[key] = LedgerItem(progress.source, progress.partition, progress.first, progress.last, 0, 0, 0, {}, 0, 0, progress.knowledge)
        row.last = progress.last
        row.received += progress.received
        row.lost += progress.lost
        row.faults += faults
        row.knowledge = progress.knowledge
        dropped = Counter(row.dropped)
        dropped.update(progress.dropped)
        dropped.update({"replay": replayed} if replayed else {})
        row.dropped = dict(dropped)
        self._all.positions[progress.partition] = progress.next

    def _put_event(self, event: Event, committed: Committed, replays: Counter[str], faults: Counter[str]) -> None:
        known = self._all.events.get(event.id)
        if event.derived:
            if known is None:
                self._all.events[event.id] = _own(event)
            return
        if known is not None and known.raw_hash != event.raw_hash:
            faults[event.partition] += 1
            committed.faults.append(event.id)
            event = _under(event, digest_id(event.id, event.raw_hash))
            known = self._all.events.get(event.id)
        if known is None:
            self._all.events[event.id] = _own(event)
            committed.stored += 1
        elif (known.partition, known.seq) == (event.partition, event.seq):
            committed.stored += 1
        else:
            committed.replayed += 1
            replays[event.partition] += 1

    def _put_alert(self, alert: Alert) -> bool:
        known = self._all.alerts.get(alert.id)
        if known is None:
            self._all.alerts[alert.id] = _copy(alert)
            return not withdrawn(self._retractions(), alert.rule.id, _us(alert.ts))
        if known.revision < alert.revision:
            self._all.revisions.setdefault(alert.id, []).append(known)
            self._all.alerts[alert.id] = _copy(alert)
        return False

    def _put_letter(self, letter: DeadLetter, committed: Committed, replays: Counter[str], faults: Counter[str]) -> None:
        known = self._all.letters.get(letter.id)
        if known is not None and known.raw != letter.raw:
            faults[letter.partition] += 1
            committed.faults.append(letter.id)
            letter = msgspec.structs.replace(letter, id=digest_id(letter.id, raw_hash(letter.raw)))
            known = self._all.letters.get(letter.id)
        if known is None:
            self._all.letters[letter.id] = _copy(letter)
        elif (known.partition, known.seq) != (letter.partition, letter.seq):
            committed.replayed += 1
            replays[letter.partition] += 1

    def _put_state(self, state: Mapping[str, bytes | None], stale: set[str]) -> None:
        for key, value in state.items():
            if key.partition("\x1f")[0] in stale:
                continue
            if value is None:
                self._all.state.pop(key, None)
            else:
                self._all.state[key] = value

    def _put_gap(self, gap: Gap) -> None:
        """A gap that began at the same time is the same gap, further on."""
        for index, known in enumerate(self._all.gaps):
            if (known.source, known.scope, known.from_us) == (gap.source, gap.scope, gap.from_us):
                self._all.gaps[index] = _copy(gap)
                return
        self._all.gaps.append(_copy(gap))

    def state(self, partition: str) -> dict[str, bytes]:
        prefix = partition + "\x1f"
        return {key[len(prefix) :]: value for key, value in self._all.state.items() if key.startswith(prefix)}

    # correlation -----------------------------------------------------------------------------------------------

    def signals(self, since_us: int, of: Mapping[str, int] | None = None) -> Iterator[Signal]:
        with self._lock:
            return iter([signal for signal in self._all.signals if is_asked_for(signal, since_us, of)])

    def drop_signals(self, before_us: int) -> None:
        self._writable()
        with self._lock:
            self._all.signals = [signal for signal in self._all.signals if signal.ts >= before_us]

    def marks(self) -> dict[str, int]:
        return dict(self._all.marks)

    # events ----------------------------------------------------------------------------------------------------

    def get_events(self, ids: Sequence[str]) -> list[Doc]:
        found: list[Doc] = []
        for prefix in ids:
            fitting = [prefix] if prefix in self._all.events else [known for known in self._all.events if known.startswith(prefix)]
            _unique("event", prefix, fitting)
            found += [dict(self._all.events[known].doc) for known in fitting]
        return found

    def _fitting(self, query: EventQuery) -> list[Event]:
        """All events of a query, in its order."""
        with self._lock:
            events = list(self._all.events.values())
        fitting = [
            event
            for event in events
            if (query.scope is None or event.scope == query.scope)
            and (query.since_us is None or event.ts_us >= query.since_us)
            and (query.until_us is None or event.ts_us < query.until_us)
            and matches(query.where, event.doc)
        ]
        return sorted(fitting, key=_order, reverse=query.descending)

    def search(self, query: EventQuery) -> EventPage:
        fitting = self._fitting(query)
        if query.after:
            ms, _, identity = query.after.partition(":")
            border = (int(ms), identity)
            fitting = [event for event in fitting if (_order(event) < border if query.descending else _order(event) > border)]
        page = fitting[: query.limit]
        last = _order(page[-1]) if page and len(fitting) > len(page) else None
        return EventPage([dict(event.doc) for event in page], f"{last[0]}:{last[1]}" if last else "")

    def stream(self, query: EventQuery) -> Iterator[Doc]:
        for event in self._fitting(query):
            yield dict(event.doc)

    def count(self, query: EventQuery) -> int:
        return len(self._fitting(query))

    def histogram(self, query: EventQuery, interval: Literal["hour", "day", "month"], by: str = "", tz: str = "UTC") -> list[Bucket]:
        counts: Counter[tuple[int, str]] = Counter()
        for event in self._fitting(query):
            begin = _begin(event.ts_us, interval, ZoneInfo(tz))
            for value in (_shown(event.doc, by) if by else []) or [""]:
                counts[begin, value] += 1
        return [Bucket(iso(begin), value, count) for (begin, value), count in sorted(counts.items())]

    def facets(self, query: EventQuery, field: str, most: int = 10) -> list[tuple[str, int]]:
        counts = Counter(value for event in self._fitting(query) for value in _shown(event.doc, field))
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]

    def threats(self, query: EventQuery) -> dict[tuple[str, str], int]:
        return dict(Counter((event.level, event.category) for event in self._fitting(query) if event.counted))

    # alerts ----------------------------------------------------------------------------------------------------

    def _retractions(self) -> tuple[Retraction, ...]:
        return in_force(self.facts(FACT))

    def _kept_alerts(self, *, retracted: bool) -> list[Alert]:
        """The alerts that count, or those that were withdrawn."""
        retractions = self._retractions()
        every = self._all.alerts.values()
        return [alert for alert in every if withdrawn(retractions, alert.rule.id, _us(alert.ts)) == retracted] if retractions or retracted else list(every)

    def alert_groups(self, query: AlertQuery) -> tuple[int, list[AlertGroup]]:
        members: dict[str, list[Alert]] = {}
        for alert in self._kept_alerts(retracted=query.retracted):
            members.setdefault(alert.group, []).append(alert)
        fitting = [_fold(alerts, retracted=query.retracted) for alerts in members.values() if _group_fits(query, alerts)]
        fitting = [group for group in fitting if (query.ids is None or group.id in query.ids) and group.id not in query.without]
        fitting.sort(key=lambda group: (_us(group.last_at), group.id), reverse=True)
        return len(fitting), fitting[query.offset : query.offset + query.limit]

    def group_ends(self, query: AlertQuery) -> dict[str, tuple[str, int]]:
        _, groups = self.alert_groups(msgspec.structs.replace(query, limit=_EVERY, offset=0))
        return {group.id: (group.last_at, group.count) for group in groups}

    def alerts(self, query: AlertQuery) -> tuple[int, list[Alert]]:
        fitting = [alert for alert in self._kept_alerts(retracted=query.retracted) if _alert_fits(query, alert)]
        fitting.sort(key=_alert_order, reverse=True)
        return len(fitting), [_copy(alert) for alert in fitting[query.offset : query.offset + query.limit]]

    def get_alert(self, prefix: str) -> Alert | AlertGroup | None:
        if prefix.startswith("g-"):
            for retracted in (False, True):
                kept = self._kept_alerts(retracted=retracted)
                groups = {alert.group for alert in kept if alert.group.startswith(prefix)}
                found = _unique("group", prefix, sorted(groups))
                if found:
                    return _fold([alert for alert in kept if alert.group == found], retracted=retracted)
            return None
        found = _unique("alert", prefix, [known for known in self._all.alerts if known.startswith(prefix)]) if prefix.startswith("a-") else ""
        return _copy(self._all.alerts[found]) if found else None

    def retract(self, fact: Mapping[str, Any]) -> None:
        self.record_fact(FACT, fact)

    # dead letters ----------------------------------------------------------------------------------------------

    def dead_letters(self, *, state: str = "open", source: str = "", limit: int = 100, offset: int = 0) -> tuple[int, list[DeadLetter]]:
        fitting = [letter for letter in self._all.letters.values() if state in {"", letter.state} and source in {"", letter.source}]
        fitting.sort(key=lambda letter: (letter.received_us, letter.id))
        return len(fitting), [_copy(letter) for letter in fitting[offset : offset + limit]]

    def get_dead_letter(self, prefix: str) -> DeadLetter | None:
        found = _unique("dead letter", prefix, [known for known in self._all.letters if known.startswith(prefix)])
        return _copy(self._all.letters[found]) if found else None

    def settle_dead_letter(self, letter_id: str, state: Literal["redriven", "discarded"], note: str, event: Event | None, alerts: Sequence[Alert] = ()) -> None:
        self._writable()
        with self._lock:
            letter = self._all.letters.get(letter_id)
            if letter is None:
                raise NotFound(Phrase("no dead letter {letter_id}", letter_id=letter_id))
            if letter.state != "open":
                raise Conflict(Phrase("dead letter {letter_id} is already {state}", letter_id=letter_id, state=SAID.get(letter.state, letter.state)))
            if state == "redriven":
                if event is None:
                    raise ValueError("a redriven dead letter needs its event")
                self._put_event(event, Committed(0, 0, [], []), Counter(), Counter())
                for alert in alerts:
                    self._put_alert(alert)
            letter.state, letter.note = state, note

    # ledger, silence -------------------------------------------------------------------------------------------

    def ledger(self) -> list[LedgerItem]:
        with self._lock:
            stored = Counter(f"{event.source}\x1f{event.partition}" for event in self._all.events.values() if not event.derived)
            dead = Counter(f"{letter.source}\x1f{letter.partition}" for letter in self._all.letters.values() if letter.state != "redriven")
            rows = []
            for key, kept in sorted(self._all.ledger.items()):
                row = _copy(kept)
                row.stored, row.dead_lettered = stored[key], dead[key]
                row.difference = row.received - row.stored - row.dead_lettered - sum(row.dropped.values()) - row.in_flight
                rows.append(row)
        return rows

    def gaps(self, *, source: str = "", since_us: int | None = None) -> list[Gap]:
        fitting = [gap for gap in self._all.gaps if source in {"", gap.source} and (since_us is None or not gap.until_us or gap.until_us >= since_us)]
        return [_copy(gap) for gap in sorted(fitting, key=lambda gap: (gap.from_us, gap.source))]

    def facts(self, kind: str) -> list[dict[str, Any]]:
        return [dict(fact) for known, fact in self._all.facts if known == kind]

    def record_fact(self, kind: str, fact: Mapping[str, Any]) -> None:
        self._writable()
        self._all.facts.append((kind, dict(fact)))

    # keeping house ---------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return {"kind": "memory", "place": "memory", "schema": SCHEMA, "partitions": self._partitions(), "free_bytes": None}

    def _partitions(self) -> list[dict[str, Any]]:
        members: dict[tuple[str, str], list[Event]] = {}
        for event in self._all.events.values():
            members.setdefault((event.kind, f"{to_datetime(event.ts_us):%Y.%m}"), []).append(event)
        return [
            {
                "name": f"{kind}-{month}",
                "kind": kind,
                "month": month,
                "events": len(events),
                "bytes": sum(len(msgspec.json.encode(event.doc)) for event in events),
                "from": iso(min(event.ts_us for event in events)),
                "until": iso(max(event.ts_us for event in events)),
            }
            for (kind, month), events in sorted(members.items())
        ]

    def backup(self, target: Path, progress: Callable[[str, int, int], None] | None = None) -> dict[str, Any]:
        target.mkdir(parents=True, exist_ok=True)
        with self._lock:
            content = msgspec.msgpack.encode(self._all)
            counts = {"events": len(self._all.events), "alerts": len(self._all.alerts), "dead_letters": len(self._all.letters)}
        try:
            (target / "store.msgpack").write_bytes(content)
        except OSError as error:
            raise StoreFull(
                Phrase("{target}: the backup cannot be written: {strerror}", target=target, strerror=error.strerror), hint="choose a target with more room"
            ) from error
        if progress:
            progress("store.msgpack", 1, 1)
        return {
            "kind": "memory",
            "schema": SCHEMA,
            "files": [{"name": "store.msgpack", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}],
            **counts,
        }

    def restore(self, source: Path) -> None:
        """Take over what `backup` wrote."""
        self._all = msgspec.msgpack.decode((source / "store.msgpack").read_bytes(), type=_Everything)

    def drop_partitions(self, *, kind: str, before_us: int, dry_run: bool) -> list[dict[str, Any]]:
        with self._lock:
            dropped = [part for part in self._partitions() if part["kind"] == kind and _month_end(part["month"]) <= before_us]
            if dry_run or not dropped:
                return dropped
            self._writable()
            months = {part["month"] for part in dropped}
            for event in list(self._all.events.values()):
                if event.kind == kind and f"{to_datetime(event.ts_us):%Y.%m}" in months:
                    del self._all.events[event.id]
                    row = self._all.ledger.get(f"{event.source}\x1f{event.partition}")
                    if row is not None and not event.derived:
                        row.dropped["retention"] = row.dropped.get("retention", 0) + 1
            self.record_fact("retention", {"at": iso(self._clock.now_us()), "kind": kind, "before": iso(before_us), "partitions": dropped})
        return dropped

    def reclassify(self, query: EventQuery, change: Callable[[Doc], tuple[str, str] | None], *, fact: Mapping[str, Any], dry_run: bool) -> dict[str, int]:
        if not dry_run:
            self._writable()
        counts: Counter[str] = Counter(seen=0, changed=0)
        with self._lock:
            self.revise(query, partial(other_class, change, counts), dry_run=dry_run)
            if not dry_run:
                self.record_fact("reclassification", {"at": iso(self._clock.now_us()), **fact, **counts})
        return dict(counts)

    def revise(self, query: EventQuery, change: Callable[[Doc], Doc | None], *, dry_run: bool) -> None:
        if not dry_run:
            self._writable()
        with self._lock:
            for event in self._fitting(query):
                new = change(dict(event.doc))
                if new is not None and not dry_run:
                    event.kept, event.tokens = new, event_tokens(new)
                    event.level, event.category = new.get("soc.threat.level", "none"), new.get("soc.threat.category", "")

    def attribute(self, agencies: Mapping[str, str]) -> None:
        self._writable()
        with self._lock:
            for identity in agencies.keys() & self._all.alerts.keys():
                self._all.alerts[identity] = msgspec.structs.replace(self._all.alerts[identity], agency=agencies[identity])

    def migrate(self, reparse: Callable[[Doc], Doc] | None, *, dry_run: bool, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
        if not dry_run:
            self._writable()
        changed = 0
        with self._lock:
            events = list(self._all.events.values())
            for number, event in enumerate(events, 1):
                doc = reparse(dict(event.doc)) if reparse else event.doc
                if doc != event.doc:
                    changed += 1
                    if not dry_run:
                        self._all.events[event.id] = event_of(doc, event_tokens(doc))
                if progress:
                    progress(number, len(events))
            report = {"from": SCHEMA, "to": SCHEMA, "events": len(events), "changed": changed}
            if not dry_run:
                self.record_fact("migration", {"at": iso(self._clock.now_us()), **report})
        return report

    def close(self) -> None:
        """Nothing to give back."""

    def _writable(self) -> None:
        if self._read_only:
            raise NotAllowed("the store is open for reading only", hint="leave out read_only to write")


# --- small pure functions -------------------------------------------------------------------------------------------


_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def _copy(value: _Struct) -> _Struct:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=type(value))


def _own(event: Event) -> Event:
    """A copy that the caller cannot change any more."""
    return event.with_doc(dict(event.doc))


def _under(event: Event, identity: str) -> Event:
    return event.with_doc({**event.doc, "soc.id": identity}, id=identity)


def _order(event: Event) -> tuple[int, str]:
    return event.ts_us // 1000, event.id


def _unique(what: str, prefix: str, fitting: Sequence[str]) -> str:
    """The only id that fits ("" = none).

    Raises: Conflict when several fit.
    """
    if len(fitting) > 1 and prefix not in fitting:
        raise Conflict(
            Phrase("{count} {what}s have ids that begin with {prefix!r}", count=len(fitting), what=what, prefix=prefix), hint="give more characters of the id"
        )
    return (prefix if prefix in fitting else fitting[0]) if fitting else ""


def _shown(doc: Doc, field: str) -> list[str]:
    """The distinct values of a field as facets name them."""
    return sorted({as_text(value) for value in values(doc, field)})


def _begin(ts_us: int, interval: str, zone: ZoneInfo) -> int:
    """When the interval of a time begins."""
    moment = to_datetime(ts_us).astimezone(zone).replace(minute=0, second=0, microsecond=0)
    if interval != "hour":
        moment = moment.replace(hour=0, fold=0)
    if interval == "month":
        moment = moment.replace(day=1)
    return from_datetime(moment)


def _month_end(month: str) -> int:
    begin = datetime.fromisoformat(month.replace(".", "-") + "-01T00:00:00+00:00")
    return from_datetime((begin + timedelta(days=31)).replace(day=1))


def _us(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text))


def _alert_order(alert: Alert) -> tuple[int, str]:
    return _us(alert.ts), alert.id


def _alert_fits(query: AlertQuery, alert: Alert) -> bool:
    return (
        query.scope in {None, alert.scope}
        and query.shadow == alert.shadow
        and (not query.levels or alert.rule.level in query.levels)
        and query.rule in {"", alert.rule.id}
        and query.group in {"", alert.group}
        and query.source in {"", alert.source}
        and (query.since_us is None or _us(alert.ts) >= query.since_us)
        and (query.until_us is None or _us(alert.ts) < query.until_us)
    )


def _group_fits(query: AlertQuery, alerts: Sequence[Alert]) -> bool:
    """A group fits when one of its alerts does; it is then shown whole."""
    return any(_alert_fits(query, alert) for alert in alerts)


def _fold(alerts: Sequence[Alert], *, retracted: bool = False) -> AlertGroup:
    """The group of some alerts: each occurrence counts once; the newest alert speaks for the rule, the worst for the threat."""
    newest = max(alerts, key=_alert_order)
    worst = max(alerts, key=lambda alert: (ThreatLevel(alert.threat_level).rank, *_alert_order(alert)))
    return AlertGroup(
        id=newest.group,
        rule=newest.rule,
        key=dict(newest.group_key),
        scope=newest.scope,
        count=len({alert.natural_key or (alert.events[0] if alert.events else alert.id) for alert in alerts}),
        first_at=min(alerts, key=_alert_order).ts,
        last_at=newest.ts,
        last_alert=newest.id,
        threat_level=worst.threat_level,
        threat_category=worst.threat_category,
        agencies=sorted({alert.agency for alert in alerts} - {""}),
        shadow=newest.shadow,
        retracted=retracted,
    )
