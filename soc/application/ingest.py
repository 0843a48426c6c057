"""Taking in files once: into the store, or onto a Kafka topic."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from soc.application.app import App
from soc.application.correlate import make_stage
from soc.application.pipelines import make_pipeline, note_registry, note_rules, overlaps
from soc.config import FileSource, SourceBase
from soc.errors import Phrase, UsageError
from soc.ingest.worker import Totals, Worker
from soc.model.alert import Alert

Progress = Callable[[Totals], None]
BACKLOG = 3_000
"""Lines of a file in a batch for the embedded store: nobody waits for single ones. Two batches are in memory at a time, some 25 MiB each; 6,000 gain nothing more."""


def ingest_files(
    app: App,
    paths: Sequence[Path],
    *,
    source: str,
    product: str = "",
    progress: Progress = lambda _totals: None,
    on_alerts: Callable[[Sequence[Alert]], None] = lambda _alerts: None,
    stop: threading.Event | None = None,
) -> Totals:
    """Read files to their end, process and store every line; what a former run stored is not read twice.

    At the end correlations are judged up to the last event; time after it is not assumed to have passed.

    Raises: UsageError when a file is missing or `source` is a source of another type; what the store raises.
    """
    settings = file_settings(app, paths, source, product)
    stage = make_stage(app, app.store)
    worker = Worker(
        store=app.store,
        pipeline=make_pipeline(app, app.store, more={source: settings}),
        sources=[app.wiring.file_source(source, paths, settings)],
        clock=app.clock,
        metrics=app.metrics,
        batch_size=_at_once(app),
        batch_wait_s=app.settings.pipeline.batch_wait_s,
        on_alerts=on_alerts,
        on_batch=progress,
        on_committed=stage.follow,
        on_again=stage.forget,
        on_end=stage.end,
        overlap=overlaps(app.settings.store),
        crash=app.crash,
    )
    note_rules(app, app.store)
    note_registry(app, app.store)
    stage.begin()
    return worker.run(stop)


def _at_once(app: App) -> int:
    """Lines of files that are processed and committed together: as the settings say, else many, where each batch costs syncs of its own."""
    settings = app.settings.pipeline
    return settings.batch_size if app.settings.store.kind == "elasticsearch" or "batch_size" in settings.model_fields_set else max(BACKLOG, settings.batch_size)


def to_kafka(app: App, paths: Sequence[Path], *, source: str, topic: str, progress: Callable[[int], None] = lambda _count: None) -> int:
    """Send the lines of files to a Kafka topic under their file positions; how many were sent.

    Delivery: at least once; a line sent twice has the same position, so it becomes one event.
    """
    _present(paths)
    reader = app.wiring.file_source(source, paths, None)
    forwarder = app.wiring.kafka_forward(reader, topic)
    sent = 0
    try:
        reader.open({})
        while not reader.exhausted():
            sent += forwarder.step(app.settings.pipeline.batch_wait_s)
            progress(sent)
    finally:
        forwarder.close()
        reader.close()
    return sent


def file_settings(app: App, paths: Sequence[Path], source: str, product: str) -> SourceBase:
    """The settings of a one-time file source: those configured under its name, else defaults."""
    _present(paths)
    configured = app.settings.sources.get(source)
    if configured is not None and not isinstance(configured, FileSource):
        raise UsageError(Phrase("source {source} is of type {type}, not file", source=source, type=configured.type), hint="choose another name with --source")
    base = configured or FileSource(type="file", paths=[str(path) for path in paths], follow=False, timezone=app.settings.timezone)
    return base.model_copy(update={"product": product or base.product, "follow": False})


def _present(paths: Sequence[Path]) -> None:
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise UsageError(Phrase("no such file: {names}", names=", ".join(missing)))
