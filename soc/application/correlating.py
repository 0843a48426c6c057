"""The role `correlate` as it runs: a worker over the topic of signals, beside the one that ingests or alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from soc.application.app import App
from soc.application.correlate import pace_of
from soc.application.correlate_topic import ReadBack, TopicFold
from soc.application.reload import Reloader
from soc.config import KafkaSource, Settings
from soc.errors import ConfigError, SocError
from soc.ingest.worker import Totals, Worker
from soc.model.alert import Alert
from soc.model.signal import Signal
from soc.ports import Effects, MarkedSource
from soc.rules.engine import Engine
from soc.rules.routes import Routes
from soc.telemetry import get_logger

log = get_logger(__name__)

RECORDS_AT_ONCE = 200
"""A record of signals is up to 250 KB."""


@dataclass(frozen=True, slots=True)
class SignalTopic:
    """The topic of signals as a correlator sees it. `place`: which of so many partitions a key belongs to."""

    source: MarkedSource
    read_back: ReadBack
    place: Callable[[bytes, int], int]
    close: Callable[[], None]


def by_topic(settings: Settings) -> bool:
    """Whether signals go through a topic: several workers share a store, and lines come through Kafka.

    Otherwise the one process that ingests correlates too, and the store keeps the signals.
    """
    from_kafka = settings.transport == "kafka" or any(isinstance(source, KafkaSource) for source in settings.sources.values())
    return from_kafka and settings.store.kind == "elasticsearch"


def require_work(settings: Settings) -> None:
    """Make sure that a process with the role `correlate` alone has something to do.

    Raises: ConfigError.
    """
    if set(settings.roles) == {"correlate"} and not by_topic(settings):
        raise ConfigError(
            "the role correlate by itself needs Elasticsearch as store, and sources or a transport of Kafka",
            key="roles",
            hint="leave it out: without them the process that ingests correlates as well",
        )


def signal_lag(app: App) -> dict[str, int]:
    """Records of the topic of signals that are not judged yet, by partition; {} when there is no such topic.

    Raises: SourceUnavailable, AccessDenied, ConfigError.
    """
    ends = app.wiring.signal_ends()
    positions = app.store.positions() if ends else {}
    return {partition: max(0, end - positions.get(partition, 0)) for partition, end in ends.items()}


class RoutesInForce:
    """The keys of signals by the rules in force."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._engine: Engine | None = None
        self._routes = Routes(())

    def key(self, signal: Signal) -> bytes:
        """See `Routes.key`."""
        engine = self._app.rules.engine
        if engine is not self._engine:
            self._engine, self._routes = engine, Routes(engine.collection.correlations)
        return self._routes.key(signal)


class Correlating(threading.Thread):
    """Correlates until `stop` is set, or with `once` until the topic has been read; what waiting cannot mend ends the run.

    `alone`: nobody else in this process looks at the rules.
    """

    def __init__(
        self,
        app: App,
        stop: threading.Event,
        *,
        alone: bool,
        once: bool = False,
        on_alerts: Callable[[Sequence[Alert]], None] = lambda _alerts: None,
        hangup: threading.Event | None = None,
    ) -> None:
        super().__init__(name="correlate", daemon=True)
        self.failure: SocError | None = None
        self.totals = Totals()
        self._app = app
        self._stop_run = stop
        self._once = once
        log.debug("correlating with rules", rules=app.rules.hash)  # loads them, before there are two threads that would
        self._on_alerts = on_alerts
        self._reloader = Reloader(app, app.rules, lambda _rules: None, wake=hangup) if alone and not once else None

    def run(self) -> None:
        try:
            self.work()
        except SocError as error:
            log.error("correlation failed", error=error.message, hint=error.hint)
            self.failure = error
            self._stop_run.set()

    def work(self) -> None:
        """The same in the caller's thread. Raises: what a source or the store cannot get over."""
        app, settings = self._app, self._app.settings
        topic = app.wiring.signal_topic()
        store = app.wiring.store(pipeline=True, crash=app.crash)  # its own: a store serves one pipeline
        try:
            fold = TopicFold(
                lambda: app.rules.engine,
                store,
                topic.read_back,
                partitions=topic.source.partitions,
                place=topic.place,
                pace=pace_of(settings.pipeline),
                clock=app.clock,
                metrics=app.metrics,
                crash=app.crash,
            )
            worker = Worker(
                store=store,
                pipeline=fold,
                sources=[topic.source],
                clock=app.clock,
                metrics=app.metrics,
                batch_size=min(settings.pipeline.batch_size, RECORDS_AT_ONCE),
                batch_wait_s=settings.pipeline.batch_wait_s,
                on_alerts=self._on_alerts,
                on_tick=self._tick,
                switch_due=lambda: fold.due or (self._reloader is not None and self._reloader.due),
                switch=lambda: self._switch(fold),
                once=self._once,
                overlap=True,
                crash=app.crash,
            )
            if self._reloader is not None:
                self._reloader.start()
            self.totals = worker.run(self._stop_run)
        finally:
            if self._reloader is not None:
                self._reloader.stop()
            topic.close()
            store.close()

    def _switch(self, fold: TopicFold) -> None:
        if self._reloader is not None:
            self._reloader.switch()
        fold.use_rules()

    def _tick(self) -> Sequence[Effects]:
        return self._reloader.tick() if self._reloader is not None else ()
