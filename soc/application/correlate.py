"""The correlation stage: signals in, alerts out, behind the watermark.

It is told the signals of batches that are durable, folds them when no earlier one is to be expected, and gives effects that
are committed by themselves. What a crash takes is made again: on start the fold is rebuilt from the log of signals, and
alerts that were written already are the same once more (create-only ids, revisions by number). Kept between runs is
only how far time has been told (`watermark`, and `handled` by source partition) and what was told lately (`told`),
committed with the alerts.

Watermark: the least event time of the active source partitions, less the lateness. A partition is active for a while after
it was heard; heartbeats of our collectors are in the log and count. One that reads a backlog does not hold up those that
are up to date: its signals are stragglers, whose groups are folded anew from the log.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from soc.application.app import App
from soc.application.correlate_told import Told
from soc.application.correlation_alert import DocumentsOf, Teller
from soc.clock import Clock, iso
from soc.config import PipelineSettings
from soc.errors import StoreUnavailable
from soc.ingest.storm import Breaker, fold_into_storm
from soc.model.alert import Alert, RuleRef
from soc.model.event import Doc, document_of
from soc.model.health import health_alert
from soc.model.ids import digest_id
from soc.model.signal import Signal, unpack
from soc.ports import CrashPoint, Effects, Store, no_crash
from soc.rules.collection import Collection
from soc.rules.correlation import Correlation
from soc.rules.episodes import Bounds, CorrelationAlert
from soc.rules.rebuild import Key, LiveCorrelator
from soc.telemetry import get_logger

log = get_logger(__name__)

NAME = "correlate"
BOUNDS_RULE = RuleRef(
    "soc-correlation-bounds",
    "A correlation has more groups or members than it keeps",
    "medium",
    digest_id("soc-correlation-bounds", "1"),
    (),
    "health",
    "Quy tắc tương quan có nhiều nhóm hoặc thành phần hơn mức lưu giữ",
)
MOST_RECENT = 10_000
"""Documents that are at hand for alerts; at some 3 kB."""
HOUR_US = 3_600_000_000
_PRUNE_US = 600_000_000
"""After so much time of events it is looked what was told long enough ago to be forgotten."""
_PACE = 5.0
"""Folding anew for stragglers may take one part in so many of the time."""
_SEPARATOR = "\x1f"
_STORMY = "stormy\x1f"
"""Begins the key of what is kept of an alert in a storm."""

REDRIVEN_FACT = "redriven-signals"
"""Of an embedded store, or one without a topic: what redriven dead letters tell correlations, packed; the stage takes it at its next step."""

SignalsSince = Callable[[int, Mapping[str, int]], Iterable[Signal]]
"""All signals that were ever taken, of events at or after a time, of these correlations, each since its own; any order, repeats allowed."""


class Pace(msgspec.Struct, frozen=True):
    """How time is told; microseconds.

    `lateness`: how late an event may come. `idle`: a partition not heard for so long is not waited for. `behind`: one whose
    events are so much older than now does not hold up the others. `keep`: how long signals are kept beyond what the rules
    reach back, for stragglers.
    """

    lateness: int = 60_000_000
    idle: int = 120_000_000
    behind: int = 600_000_000
    keep: int = 3_600_000_000


def pace_of(settings: PipelineSettings) -> Pace:
    """The pace of the settings."""
    lateness = round(settings.lateness_s * 1e6)
    return Pace(lateness, round(settings.idle_s * 1e6), max(600_000_000, 2 * lateness), round(settings.keep_signals_s * 1e6))


def make_stage(app: App, store: Store, *, documents: DocumentsOf | None = None, signals: SignalsSince | None = None) -> CorrelationStage:
    """The stage of the rules in force, at the pace of the settings, over the signals of `store`."""
    engine = app.rules.engine
    pace = pace_of(app.settings.pipeline)
    return CorrelationStage(
        engine.collection,
        store,
        clock=app.clock,
        rules_hash=engine.hash,
        pace=pace,
        documents=documents,
        signals=signals,
        storm_per_hour=app.settings.rules.storm_per_hour,
        crash=app.crash,
    )


class CorrelationStage:
    """Owns the fold of one share of the signals: all of them, or those of one partition of a topic (`name` tells the shares apart).

    `signals` and `marks` read the log back (default: the store's). Not for several threads at a time.
    """

    def __init__(
        self,
        collection: Collection,
        store: Store,
        *,
        clock: Clock,
        rules_hash: str = "",
        pace: Pace | None = None,
        bounds: Bounds | None = None,
        name: str = NAME,
        signals: SignalsSince | None = None,
        marks: Callable[[], Mapping[str, int]] | None = None,
        documents: DocumentsOf | None = None,
        storm_per_hour: int = 0,
        crash: CrashPoint = no_crash,
    ) -> None:
        self.name = name
        self.pace = pace or Pace()
        self.watermark = 0
        """All before it has been judged; 0 = nothing yet."""
        self._collection, self._rules_hash = collection, rules_hash
        self._store = store
        self._clock = clock
        self._bounds = bounds or Bounds()
        self._signals = signals or store.signals
        self._read_marks = marks or store.marks
        self._read = documents or store.get_events
        self._recent: dict[str, Doc | bytes] = {}
        self._crash = crash
        self._marks: dict[str, int] = {}
        self._heard: dict[str, int] = {}
        self._told = Told()
        self._breaker = Breaker(storm_per_hour, store.state)
        self._stormy: dict[str, str] = {}
        """The day of the storm that an alert stands in, by its id: its revisions stay there."""
        self._begun: dict[str, int] = {}
        self._late: list[Signal] = []
        self._redriven = self._redriven_kept = 0
        """How many facts of redriven signals were taken, and of how many the store knows it."""
        self._kept = 0
        self._unkept = False
        self._started = False
        self._opening: Effects | None = None
        """What a start found that no step has given yet."""
        self._started_us = 0
        self._again_at = 0.0
        self._dropped_before = 0
        self._pruned = 0
        self._over: set[tuple[str, int]] = set()
        self._use(collection, rules_hash)

    def _use(self, collection: Collection, rules_hash: str) -> None:
        self._collection, self._rules_hash = collection, rules_hash
        self._fold = LiveCorrelator(collection.correlations, bounds=self._bounds)
        self._teller = Teller(collection, self._told, self._documents, rules_hash)

    def _documents(self, ids: Sequence[str]) -> list[Doc]:
        """Events by id: those that just came are at hand, the others are read once."""
        missing = [name for name in ids if name not in self._recent]
        if missing:
            self._remember({doc["soc.id"]: doc for doc in self._read(missing)})
        found = [(name, self._recent.pop(name)) for name in ids if name in self._recent]
        self._recent.update(found)  # what an alert shows is wanted again when it grows: it goes last
        return [document_of(doc) if isinstance(doc, bytes) else doc for _, doc in found]

    def _remember(self, docs: Mapping[str, Doc | bytes]) -> None:
        if len(self._recent) + len(docs) > MOST_RECENT:
            for name in list(self._recent)[: len(docs) + MOST_RECENT // 8]:
                del self._recent[name]
        self._recent.update(docs)

    # from outside -----------------------------------------------------------------------------------------------------

    def start(self, *, kept: bool = True) -> Effects:
        """Rebuild the fold from the log; the alerts that a crash kept from being told. `kept` False: there is no log yet.

        Raises: StoreUnavailable.
        """
        self._started = True
        self._started_us = self._clock.now_us()
        if not kept:
            return Effects(progress=[])
        state = self._store.state(self.name)
        self._redriven = self._redriven_kept = int(state.get("redriven", b"0"))
        self._told.clear()
        self._breaker.forget_all()
        self._stormy = {key.removeprefix(_STORMY): day.decode() for key, day in state.items() if key.startswith(_STORMY)}
        for key, body in state.items():
            if key.startswith("told" + _SEPARATOR):
                self._told.take_in(body)
        self.watermark = self._kept = max(int(state.get("watermark", b"0")), self.watermark)
        self._begun = msgspec.msgpack.decode(state["begun"], type=dict[str, int]) if "begun" in state else {}
        handled = msgspec.msgpack.decode(state["handled"], type=dict[str, int]) if "handled" in state else {}
        base = self.watermark
        for partition, mark in self._read_marks().items():
            self._marks[partition] = max(mark, self._marks.get(partition, 0))
            self._heard.setdefault(partition, self._started_us)
            if mark > handled.get(partition, 0):  # a crash came between what it sent last and its judgement; it may have been late
                base = min(base, max(0, handled.get(partition, 0) - self.pace.lateness))
        return self._effects(self._rebuild(base))

    def begin(self) -> None:
        """Start before anything is read; what that finds comes with the first step.

        Of a partition that is new with the first batch nobody could say later that no crash had kept it from being judged: the
        whole log would be read and folded anew. A store that does not answer is asked again with the first step.
        """
        try:
            self._opening = self.start()
        except StoreUnavailable:
            self.forget()

    def use(self, collection: Collection, rules_hash: str) -> None:
        """Go on with other rules, once `take` or `tick` is called; one that asks for the same fields as before goes on with its signals."""
        if rules_hash != self._rules_hash:
            self._use(collection, rules_hash)
            self.forget()

    def forget(self) -> None:
        """Drop the fold: it is rebuilt from the log before anything else is done."""
        self._started = False
        self._opening = None
        self._late.clear()
        self._recent.clear()
        self._use(self._collection, self._rules_hash)

    def take(self, signals: Sequence[Signal], marks: Mapping[str, int]) -> Effects:
        """What follows from signals that are durable, and from how far their source partitions have come.

        Raises: StoreUnavailable; then `forget` is due.
        """
        before, started = self._started, self._ensure()
        now = self._clock.now_us()
        for partition, mark in marks.items():
            self._marks[partition] = max(mark, self._marks.get(partition, 0))
            self._heard[partition] = now
        if not self._fold.rules:
            self.watermark = max(self.watermark, self._target(now))
            return started or Effects(progress=[])
        if before:  # else they stand in the log, and were read there
            self._take_in(signals)
        effects = self._effects(self._advance(self._target(now)) + self._straggle(forced=False))
        if not self._kept:  # since when is observed must be known before anything is told
            self._keep_watermark(effects)
        return _joined(started, effects)

    def follow(self, effects: Effects) -> list[Effects]:
        """`take` for a batch that was committed: what is to be committed after it."""
        if effects.signals:
            told = {signal.id for signal in effects.signals}
            self._remember({event.id: event.body or event.doc for event in effects.events if event.id in told})
        found = self.take(effects.signals, effects.marks)
        return [found] if found.alerts or found.state else []

    def end(self) -> list[Effects]:
        """`finish` likewise."""
        found = self.finish()
        return [found] if found.alerts or found.state or found.signals else []

    def tick(self, *, caught_up: bool = False) -> Effects:
        """What time itself brings about: idle partitions, stragglers, old signals. `caught_up`: nothing waits to be read.

        Raises: StoreUnavailable; then `forget` is due.
        """
        effects = self._ensure()
        if effects is not None:
            return effects
        now = self._clock.now_us()
        redriven = self._take_redriven()
        target = self._target(now)
        quiet = now - self.pace.idle
        if caught_up and self._marks and self._started_us <= quiet and all(heard < quiet for heard in self._heard.values()):
            target = max(target, quiet - self.pace.lateness)
        alerts = self._advance(target) + self._straggle(forced=False)
        effects = self._effects(alerts)
        self._keep_redriven(effects, redriven)
        self._prune(effects)
        if (self.watermark != self._kept or self._unkept) and (self._fold.rules or self._told):
            self._keep_watermark(effects)
        self._drop_signals()
        return effects

    def finish(self) -> Effects:
        """Judge all that has been taken, up to its latest time: what was read is read, and comes no more.

        Time after it is not assumed to have passed: silence after the last event and `not` stay undecided.
        """
        effects = self._ensure()
        redriven = self._take_redriven()
        known = [self._marks[partition] for partition, heard in self._heard.items() if heard >= self._started_us]
        known += [signal.ts for signal in redriven]
        alerts = self._advance(max(known, default=0) + 1) + self._straggle(forced=True) + self._fold.settle()
        last = self._effects(alerts)
        self._keep_redriven(last, redriven)
        if self._fold.rules:
            self._keep_watermark(last)
        return _joined(effects, last)

    # folding ----------------------------------------------------------------------------------------------------------

    def _ensure(self) -> Effects | None:
        """The effects of a start that is due, or of the one that `begin` made, once; None when there are none."""
        if not self._started:
            return self.start()
        effects, self._opening = self._opening, None
        return effects

    def _rebuild(self, base: int) -> list[CorrelationAlert]:
        fold = self._fold
        if not fold.rules:
            return []
        for scope, begun in self._begun.items():
            fold.begin(begun, scope)
        told = [self._told[name] for name, head in self._told.heads.items() if head.rule in fold.rules]
        alerts = fold.rebuild(self._log(fold, base), self.watermark, told, base=base)
        self._told.rest()
        return alerts + self._advance(self._target(self._clock.now_us()))

    def _log(self, fold: LiveCorrelator, base: int) -> Iterable[Signal]:
        """The signals of the log that a fold is to be rebuilt from; those of other rules, and older ones, are not even read."""
        since = {rule_id: fold.since(rule_id, base) if base else 0 for rule_id in fold.rules}
        return self._signals(min(since.values()), since)

    def _take_in(self, signals: Iterable[Signal]) -> None:
        fold = self._fold
        fresh = []
        for signal in signals:
            if not fold.understands(signal):
                continue
            if fold.is_late(signal):
                self._late.append(signal)
            else:
                fresh.append(signal)
            if signal.key[0] not in self._begun:
                self._begin(signal.key[0], signal.ts)
        fold.extend(fresh)

    def _take_redriven(self) -> list[Signal]:
        """What redriven dead letters tell since the last step; mostly it comes late."""
        if self._signals != self._store.signals:
            return []  # it came through the topic
        facts = self._store.facts(REDRIVEN_FACT)[self._redriven :]
        self._redriven += len(facts)
        signals = [signal for fact in facts for signal in unpack(b64decode(fact["signals"]))]
        self._take_in(signals)
        return signals

    def _keep_redriven(self, effects: Effects, signals: list[Signal]) -> None:
        """Put redriven signals into the log, and note that they were taken once those that came late are judged."""
        effects.signals += signals
        if self._redriven != self._redriven_kept and not self._late:
            effects.state[f"{self.name}{_SEPARATOR}redriven"] = str(self._redriven).encode()
            self._redriven_kept = self._redriven

    def _begin(self, scope: str, us: int) -> None:
        self._begun[scope] = us
        self._fold.begin(us, scope)

    def _target(self, now_us: int) -> int:
        """The watermark by what is known of the source partitions; it never goes back."""
        idle = now_us - self.pace.idle
        active = [mark for partition, mark in self._marks.items() if self._heard[partition] >= idle]
        if not active:
            return self.watermark
        live = [mark for mark in active if mark >= now_us - self.pace.behind]
        return max(self.watermark, min(live or active) - self.pace.lateness)

    def _advance(self, target: int) -> list[CorrelationAlert]:
        if target <= self.watermark:
            return []
        if not self._begun:
            self._begin("real", target)
        self.watermark = target
        return self._fold.advance(target)

    def _straggle(self, *, forced: bool) -> list[CorrelationAlert]:
        """Fold the groups of stragglers anew from the log."""
        if not self._late or (not forced and self._clock.monotonic() < self._again_at):
            return []
        begun = self._clock.monotonic()
        late, self._late = self._late, []
        touched = self._fold.touched(late)
        base = min(signal.ts for signal in late)
        again = LiveCorrelator([rule for rule in self._fold.rules.values() if rule.id in touched], bounds=self._bounds)
        for scope, us in self._begun.items():
            again.begin(us, scope)
        told = [self._told[name] for name, head in self._told.heads.items() if _touches(touched, head.rule, head.key)]
        signals = (signal for signal in self._log(again, base) if _touches(touched, signal.correlation, signal.key))
        alerts = again.rebuild(_both(signals, late), self.watermark, told, base=base, late_ids={signal.id for signal in late})
        self._fold.graft(again, touched)
        took = self._clock.monotonic() - begun
        self._again_at = self._clock.monotonic() + _PACE * took
        log.debug("folded anew for late events", signals=len(late), alerts=len(alerts), took_s=round(took, 3))
        return alerts

    # effects ----------------------------------------------------------------------------------------------------------

    def _effects(self, told: Sequence[CorrelationAlert]) -> Effects:
        """The alerts, and what must be known of them after a restart."""
        effects = Effects(progress=[], rules_hash=self._rules_hash)
        if not told:
            return effects
        self._crash("correlate.folded")
        for alert in told:
            new = alert.id not in self._told
            effects.state[f"{self.name}{_SEPARATOR}told{_SEPARATOR}{alert.id}"] = self._told.put(alert)
            if alert.rule not in self._collection.silent:
                effects.alerts += self._broken_off(self._teller.alert(self._fold.rules[alert.rule], alert), alert.id, effects, new=new)
        self._told.rest()
        effects.state.update(self._breaker.take_changes())
        effects.alerts += self._overflows(told)
        if self.watermark >= self._pruned + _PRUNE_US:  # what was told goes with a commit that is made anyway
            self._prune(effects)
        self._keep_watermark(effects)
        self._crash("correlate.told")
        return effects

    def _broken_off(self, alert: Alert, name: str, effects: Effects, *, new: bool) -> list[Alert]:
        """The alert, in the storm of its rule if it is beyond the limit, and the message about that storm when it begins."""
        if not new:
            if name in self._stormy:
                fold_into_storm(alert, self._stormy[name])
            return [alert]
        message = self._breaker.count(self.name, alert)
        if alert.storm:
            self._stormy[name] = alert.group_key["storm"]
            effects.state[f"{self.name}{_SEPARATOR}{_STORMY}{name}"] = alert.group_key["storm"].encode()
        return [alert] if message is None else [alert, message]

    def _keep_watermark(self, effects: Effects) -> None:
        if self.watermark:
            effects.state[f"{self.name}{_SEPARATOR}watermark"] = str(self.watermark).encode()
            effects.state[f"{self.name}{_SEPARATOR}begun"] = msgspec.msgpack.encode(self._begun)
            if not self._late:
                effects.state[f"{self.name}{_SEPARATOR}handled"] = msgspec.msgpack.encode(self._marks)
            self._kept = self.watermark
            self._unkept = bool(self._late)

    def _overflows(self, told: Sequence[CorrelationAlert]) -> list[Alert]:
        """One alert an hour and rule where more came than is kept."""
        hour = self.watermark // HOUR_US
        out = []
        for rule_id in sorted({alert.rule for alert in told if alert.truncated or len(self._fold.folds[alert.rule].groups) > self._bounds.groups}):
            if (rule_id, hour) in self._over:
                continue
            self._over = {one for one in self._over if one[1] == hour} | {(rule_id, hour)}
            out.append(_overflow(self._fold.rules[rule_id], self._bounds, len(self._fold.folds[rule_id].groups), hour))
        return out

    # keeping house ----------------------------------------------------------------------------------------------------

    def _horizon(self, reach: int) -> int:
        """What ended before it is needed no more by what reaches back so far."""
        behind = [mark for partition, mark in self._marks.items() if self._heard[partition] >= self._clock.now_us() - self.pace.idle]
        return min([self.watermark, *behind]) - 5 * reach // 2 - self.pace.lateness - self.pace.keep  # of which two and a half are read back

    def _prune(self, effects: Effects) -> None:
        fold = self._fold
        self._pruned = self.watermark
        for name, head in list(self._told.heads.items()):
            if head.end < self._horizon(fold.reach.get(head.rule, 0)) and not fold.is_open(head.rule, head.key, name):
                self._told.forget(name)
                fold.forget_told(name)
                effects.state[f"{self.name}{_SEPARATOR}told{_SEPARATOR}{name}"] = None
                if self._stormy.pop(name, ""):
                    effects.state[f"{self.name}{_SEPARATOR}{_STORMY}{name}"] = None

    def _drop_signals(self) -> None:
        """Forget signals that no rule reaches back to, now and then."""
        before = self._horizon(max(self._fold.reach.values(), default=0))
        if not self._late and self._signals == self._store.signals and before > self._dropped_before + max(60_000_000, self.pace.keep // 10):
            self._store.drop_signals(before)
            self._dropped_before = before


def _joined(first: Effects | None, second: Effects) -> Effects:
    """Both as one commit."""
    if first is None:
        return second
    return msgspec.structs.replace(second, alerts=first.alerts + second.alerts, state=first.state | second.state, signals=first.signals + second.signals)


def _touches(touched: Mapping[str, set[Key] | None], rule_id: str, key: Key) -> bool:
    if rule_id not in touched:
        return False
    keys = touched[rule_id]
    return keys is None or key in keys


def _both(first: Iterable[Signal], second: Iterable[Signal]) -> Iterator[Signal]:
    yield from first
    yield from second


def _overflow(rule: Correlation, bounds: Bounds, groups: int, hour: int) -> Alert:
    return health_alert(
        BOUNDS_RULE,
        occurrence=digest_id(rule.id, str(hour)),
        key={"rule": rule.id},
        explanation={
            "node": "bounds",
            "field": rule.title or rule.id,
            "test": "groups and members kept",
            "pattern": f"{bounds.groups:,} / {bounds.members:,}",
            "matched_value": f"{groups:,}",
            "matched": True,
            "children": [],
        },
        at=iso(hour * HOUR_US),
    )
