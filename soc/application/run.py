"""The main job: collect, ingest, classify, store, watch for silence, until told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from soc.application.app import App, Collector, Forwarder
from soc.application.correlate import CorrelationStage, make_stage
from soc.application.correlating import Correlating, RoutesInForce, by_topic, require_work
from soc.application.directories import RegistryWatch
from soc.application.duties import Duties, beside
from soc.application.pipelines import make_pipeline, note_registry, note_rules, offsets_in_force, overlaps
from soc.application.reload import Reloader
from soc.application.rules_blind import blinded_by
from soc.application.signal_log import SignalWriter
from soc.application.sources import require as require_sources
from soc.clock import iso
from soc.config import FileSource, Settings, SourceSettings, SyslogSource
from soc.errors import SocError, StoreFull, Unreachable
from soc.ingest.offsets import OffsetMeter, OffsetsInForce
from soc.ingest.silence import SilenceWatch, Titled, silence_effects
from soc.ingest.worker import Totals, Worker
from soc.model.alert import Alert, RuleRef
from soc.model.health import health_alert
from soc.model.ids import digest_id
from soc.model.record import SCOPE_REAL
from soc.ports import Classifier, Effects, Gap, RecordSink, RecordSource
from soc.telemetry import get_logger

log = get_logger(__name__)

DEFAULT_SYSLOG = "127.0.0.1:5514"
LEDGER_EVERY_S = 3600.0
LEDGER_RULE = RuleRef("soc-ledger-difference", "The ledger does not balance", "high", digest_id("soc-ledger-difference", "1"), (), "health", "Sổ cái không cân")


def with_default_sources(settings: Settings) -> Settings:
    """Settings that receive something: without any source, syslog by UDP and TCP on loopback."""
    if settings.sources:
        return settings
    source: SourceSettings = SyslogSource(type="syslog", udp=DEFAULT_SYSLOG, tcp=DEFAULT_SYSLOG)
    return settings.model_copy(update={"sources": {"syslog": source}})


def run(
    app: App,
    *,
    once: bool = False,
    on_ready: Callable[[list[str]], None] = lambda _addresses: None,
    on_alerts: Callable[[Sequence[Alert]], None] = lambda _alerts: None,
    on_batch: Callable[[Totals], None] = lambda _totals: None,
    stop: threading.Event | None = None,
    hangup: threading.Event | None = None,
) -> Totals:
    """Run the roles of the settings until `stop` is set (or, with `once`, until everything there is has been read).

    `on_ready` gets what is listened to, once it is. `hangup`, when set, has the rules looked at now. Raises: ConfigError, NotAllowed, Locked, AccessDenied, StoreFull,
    StoreRefused: what waiting cannot mend.
    """
    stop = stop or threading.Event()
    app.use(with_default_sources(app.settings))
    roles = set(app.settings.roles)
    require_work(app.settings)
    require_sources(app.settings)
    with ExitStack() as stack:
        sources: list[RecordSource] = []
        collectors: list[Collector] = []
        carriers: list[_Carrier] = []
        sink: RecordSink | None = None
        if "collect" in roles and _receives(app.settings):
            sink, streams = stack.enter_context(app.wiring.spool())
            collectors = app.wiring.collectors(sink)
            if app.settings.transport == "kafka":
                carriers = [_Carrier(stream, app.wiring.kafka_forward(stream, _topic(app.settings, stream.name), crash=app.crash), stop) for stream in streams]
            else:
                sources += streams
            _tell_forgotten(app, sink)
            for collector in collectors:
                collector.start()
                stack.callback(collector.stop)
        for carrier in carriers:
            carrier.start()
            stack.callback(carrier.join, 30)
        stack.callback(stop.set)
        if "ingest" in roles:
            sources += app.wiring.sources()
        correlating: Correlating | None = None
        if "correlate" in roles and by_topic(app.settings):
            correlating = Correlating(app, stop, alone=not sources, once=once, on_alerts=on_alerts, hangup=hangup)
            if not once:
                correlating.start()
                stack.callback(correlating.join, 60)
                stack.callback(stop.set)
        duties = _Duties(app, collectors, sink, sources)
        if "notify" in roles and not (once or app.settings.read_only or app.settings.store.kind == "memory"):
            notifying = Duties(beside(app), app.settings.duties.every_s)
            notifying.start()
            stack.callback(notifying.join, 10)
            stack.callback(notifying.stop)
        on_ready([address for collector in collectors for address in collector.addresses()])
        totals = Totals()
        if sources:
            totals = _work(app, sources, duties, once=once, on_alerts=on_alerts, on_batch=on_batch, stop=stop, hangup=hangup)
        elif correlating is None or not once:
            stop.wait()
        if correlating is not None:
            if once:
                correlating.work()
            else:
                stop.set()
                correlating.join(60)
            totals.alerts += correlating.totals.alerts
        parts: list[_Carrier | Correlating] = [*carriers, *([correlating] if correlating is not None else [])]
        for part in parts:
            if part.failure is not None:
                raise part.failure
        return totals


def _work(
    app: App,
    sources: Sequence[RecordSource],
    duties: _Duties,
    *,
    once: bool,
    on_alerts: Callable[[Sequence[Alert]], None],
    on_batch: Callable[[Totals], None],
    stop: threading.Event,
    hangup: threading.Event | None = None,
) -> Totals:
    pipeline_settings = app.settings.pipeline
    pipeline = make_pipeline(app, app.store, meter=duties.meter)
    stage = make_stage(app, app.store)
    writer: SignalWriter | None = None
    if by_topic(app.settings):
        writer = duties.writer = SignalWriter(app.wiring.signal_log(RoutesInForce(app).key), sources, clock=app.clock, crash=app.crash)
    else:
        duties.stage = stage

    def use(classifier: Classifier) -> None:
        pipeline.use_rules(classifier)
        stage.use(app.rules.engine.collection, classifier.hash)

    reloader = duties.reloader = Reloader(app, app.rules, use, wake=hangup)
    watch = duties.registry = RegistryWatch(app, pipeline.use_registry)
    worker = Worker(
        store=app.store,
        pipeline=pipeline,
        sources=sources,
        clock=app.clock,
        metrics=app.metrics,
        batch_size=pipeline_settings.batch_size,
        batch_wait_s=pipeline_settings.batch_wait_s,
        on_alerts=on_alerts,
        on_batch=on_batch,
        on_read=duties.heard,
        on_tick=duties.tick,
        before_commit=writer.before_commit if writer is not None else lambda _effects: None,
        on_committed=writer.committed if writer is not None else stage.follow,
        on_again=stage.forget,
        on_end=duties.end,
        switch_due=lambda: reloader.due or watch.due,
        switch=duties.switch_rules,
        tick_s=min(5.0, pipeline_settings.heartbeat_s),
        once=once,
        overlap=overlaps(app.settings.store),
        crash=app.crash,
    )
    duties.worker = worker
    note_rules(app, app.store)
    note_registry(app, app.store)
    if writer is None:
        stage.begin()
    if not once:
        reloader.start()
    try:
        return worker.run(stop)
    finally:
        if not once:
            reloader.stop()
        if writer is not None:
            writer.close()


def _tell_forgotten(app: App, sink: RecordSink) -> None:
    """Say which received lines wait for a source that is no longer configured: they are kept, and read when it is there again."""
    unread = getattr(sink, "unread", None)
    if unread is None or app.settings.transport == "kafka" or "ingest" not in app.settings.roles:
        return
    for stream, records in unread(app.store.positions()).items():
        if records and stream not in app.settings.sources:
            log.error(
                "received lines wait for a source that is gone",
                source=stream,
                records=records,
                hint=f"configure [sources.{stream}] again, with its scope, until they are read",
            )


def _receives(settings: Settings) -> bool:
    return any(source.type in {"syslog", "http"} for source in settings.sources.values())


def _topic(settings: Settings, source: str) -> str:
    return settings.kafka.topic_prefix + (settings.sources[source].kind or "other")


class _Carrier(threading.Thread):
    """Carries one spooled stream on to its topic; what waiting cannot mend ends the run."""

    def __init__(self, stream: RecordSource, forwarder: Forwarder, stop: threading.Event) -> None:
        super().__init__(name=f"forward-{stream.name}", daemon=True)
        self.failure: SocError | None = None
        self._stream = stream
        self._forwarder = forwarder
        self._stop_run = stop

    def run(self) -> None:
        told = ""
        try:
            self._stream.open({})
            while not self._stop_run.is_set():
                try:
                    self._forwarder.step(1.0)
                    told = ""
                except Unreachable as error:  # what is spooled waits
                    if error.message != told:
                        log.warning("kafka unavailable, lines are spooled", source=self._stream.name, error=error.message, hint=error.hint)
                    told = error.message
                    self._stop_run.wait(error.retry_after_s or 5.0)
        except SocError as error:
            log.error("forwarding failed", source=self._stream.name, error=error.message, hint=error.hint)
            self.failure = error
            self._stop_run.set()
        finally:
            self._forwarder.close()
            self._stream.close()


class _Duties:
    """What is done now and then beside the stream: heartbeats, silence, clocks, losses, the ledger."""

    def __init__(self, app: App, collectors: Sequence[Collector], sink: RecordSink | None, sources: Sequence[RecordSource]) -> None:
        self.meter = OffsetMeter()
        self.worker: Worker | None = None
        self.reloader: Reloader | None = None
        self.registry: RegistryWatch | None = None
        self.stage: CorrelationStage | None = None
        self.writer: SignalWriter | None = None
        self._app = app
        self._collectors = collectors
        self._sink = sink
        self._names = [source.name for source in sources]
        watched = {
            name: (source.rhythm_s, source.scope, source.agency)
            for name, source in app.settings.sources.items()
            if not isinstance(source, FileSource) or source.follow
        }
        kept = {name: state for name in watched if (state := app.store.state(f"source:{name}").get("silence"))} if "ingest" in app.settings.roles else {}
        self._watch = SilenceWatch(watched, kept)
        self._watch.started(app.clock.now_us())
        self._ended: list[Effects] = []
        self._lost = 0
        self._proposed: dict[str, float] = {}
        self._offsets: OffsetsInForce | None = None
        self._next_heartbeat = 0.0
        self._next_ledger = app.clock.monotonic() + LEDGER_EVERY_S

    def heard(self, source: str, received_us: int) -> None:
        """Records of a source came."""
        gap = self._watch.heard(source, received_us)
        if gap is not None:
            self._ended.append(Effects(progress=[], gaps=[gap]))

    def end(self) -> Sequence[Effects]:
        """What follows once everything there is has been read: a run from a timer must notice silence too."""
        return [*(self.writer.end() if self.writer is not None else ()), *self.tick()]

    def tick(self) -> Sequence[Effects]:
        """What time itself brings about. What the store or the spool refuses at the moment is done at a later tick."""
        now_us, now = self._app.clock.now_us(), self._app.clock.monotonic()
        effects: list[Effects] = []
        for duty in (self._listen, self._beat, self._check_ledger, self._note_losses, self._propose_offsets, self._registry, self._rules, self._correlate):
            try:
                effects += duty(now_us, now)
            except (Unreachable, StoreFull) as error:
                log.warning("put off for the moment", duty=duty.__name__.strip("_"), error=error.message, hint=error.hint)
        return effects

    def switch_rules(self) -> None:
        """Take over the rule set and the registry that wait; when that cannot be recorded at the moment, it is done at a later tick."""
        for name, part in (("rules", self.reloader), ("registry", self.registry)):
            try:
                if part is not None:
                    part.switch()
            except (Unreachable, StoreFull) as error:
                log.warning("put off for the moment", duty=name, error=error.message, hint=error.hint)

    def _correlate(self, _now_us: int, _now: float) -> list[Effects]:
        """What time brings about among correlations: silence, stragglers, signals that are needed no more; or marks of idle partitions."""
        if self.writer is not None:
            return list(self.writer.tick())
        if self.stage is None:
            return []
        behind = any(sum(reader.source.lag().values()) > 0 for reader in (self.worker.readers if self.worker is not None else ()))
        try:
            return [effects for effects in [self.stage.tick(caught_up=not behind)] if effects.alerts or effects.state or effects.signals]
        except Unreachable:
            self.stage.forget()
            raise

    def _between(self) -> bool:
        """Whether everything that was processed is committed: what is recorded as in force must hold for all that comes after."""
        return self.worker is None or not self.worker.in_hand

    def _registry(self, _now_us: int, _now: float) -> list[Effects]:
        """Whose events are, when that was changed; with a batch in hand the next one begins with it."""
        if self.registry is not None:
            self.registry.look()
            if self._between():
                self.registry.switch()
        return []

    def _rules(self, _now_us: int, _now: float) -> list[Effects]:
        """Rules that were changed, and those that cannot be used."""
        return self.reloader.tick(between=self._between()) if self.reloader is not None else []

    def _listen(self, now_us: int, _now: float) -> list[Effects]:
        """Silences that begin and end."""
        for name in self._watch.doubtful(now_us):  # another worker of the group may have its partitions, and hears it
            if self._behind(name):
                self._watch.behind(name, now_us)
            self._watch.learn(name, self._app.store.state(f"source:{name}").get("silence"))
        effects, self._ended = self._ended, []
        overdue = self._watch.overdue(now_us)
        if overdue:
            agencies = {name: source.agency for name, source in self._app.settings.sources.items()}
            effects.append(silence_effects(overdue, agencies, now_us, self._blinded(overdue)))
        changes = self._watch.take_changes()
        if changes:
            effects.append(Effects(progress=[], state={f"source:{source}\x1fsilence": state for source, state in changes.items()}))
        return effects

    def _blinded(self, overdue: Sequence[Gap]) -> Mapping[str, Sequence[Titled]]:
        """Per source that falls silent the rules that see nothing meanwhile; nothing of it when the store does not answer."""
        try:
            return blinded_by(self._app, self._app.rules.engine.collection, {gap.source: gap.from_us for gap in overdue})
        except Unreachable as error:  # the silence itself must be told all the same
            log.warning("it is not known which rules are blind", error=error.message)
            return {}

    def _behind(self, source: str) -> bool:
        """A backlog is being read: what was silent then is not silent now."""
        if self.worker is not None and self.worker.waits(source):  # the last of it, while the store keeps a batch waiting
            return True
        for reader in self.worker.readers if self.worker is not None else ():
            lag_of = getattr(reader.source, "lag_of", None)  # a consumer of several sources knows the lag of each
            if lag_of is not None or reader.source.name == source:
                lag = lag_of(source) if lag_of is not None else reader.source.lag()
                if sum(lag.values()) > 0:
                    return True
        return False

    def _beat(self, now_us: int, now: float) -> list[Effects]:
        if now < self._next_heartbeat:
            return []
        self._next_heartbeat = now + self._app.settings.pipeline.heartbeat_s
        beat = getattr(self._sink, "append_heartbeat", None)
        if beat is not None:
            for name, source in self._app.settings.sources.items():
                if source.type in {"syslog", "http"}:
                    beat(name, now_us)
        return []

    def _check_ledger(self, now_us: int, now: float) -> list[Effects]:
        if now < self._next_ledger:
            return []
        wrong = [item for item in self._app.store.ledger() if item.difference or item.faults]
        self._next_ledger = now + LEDGER_EVERY_S
        if not wrong:
            return []
        log.error("ledger does not balance", partitions=[item.partition for item in wrong][:10])
        alerts = [
            health_alert(
                LEDGER_RULE,
                occurrence=digest_id(item.partition, str(item.last), str(item.difference), str(item.faults)),
                key={"source": item.source},
                explanation={
                    "node": "ledger",
                    "field": item.partition,
                    "test": "difference",
                    "pattern": "0",
                    "matched_value": str(item.difference),
                    "matched": True,
                    "children": [],
                },
                at=iso(now_us),
                source=item.source,
                scope=self._scope(item.source),
            )
            for item in wrong
        ]
        return [Effects(progress=[], alerts=alerts)]

    def _scope(self, source: str) -> str:
        configured = self._app.settings.sources.get(source)
        return configured.scope if configured is not None else SCOPE_REAL

    def _note_losses(self, now_us: int, _now: float) -> list[Effects]:
        lost = sum(collector.lost() for collector in self._collectors)
        if lost > self._lost:
            self._app.metrics.count("soc_records_lost_total", lost - self._lost)
            self._app.store.record_fact("loss", {"at": iso(now_us), "lost": lost - self._lost, "sources": self._names, "cause": "socket drops"})
            log.warning("records lost before they were received", lost=lost - self._lost)
            self._lost = lost
        return []

    def _propose_offsets(self, now_us: int, _now: float) -> list[Effects]:
        if self._offsets is None:
            self._offsets = offsets_in_force(self._app)
            self._proposed = {str(fact["source"]): float(fact["offset_s"]) for fact in self._app.store.facts("clock-offset-proposal")}
        for source in self.meter.sources():
            proposal = self.meter.proposal_s(source)
            in_force = self._offsets(source, now_us) / 1e6
            # What was proposed before is taken back when the clock is right as it is: then the correction in force is proposed.
            if proposal is not None and self._proposed.get(source, in_force) != proposal:
                self._proposed[source] = proposal
                self._app.store.record_fact(
                    "clock-offset-proposal", {"source": source, "offset_s": proposal, "measured_s": self.meter.measured_s(source), "at": iso(now_us)}
                )
                if proposal == in_force:
                    continue
                log.warning("a device clock is off", source=source, proposed_offset_s=proposal, hint=f"soc sources offset {source} {proposal} --why '…'")
        return []
