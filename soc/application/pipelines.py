"""Puts a pipeline together for the commands that run one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

from soc.application.app import App
from soc.application.directories import enricher, note, present
from soc.application.ruleset import record_change
from soc.config import FileSource, HttpSource, Settings, SourceBase, StoreSettings, SyslogSource
from soc.ingest.offsets import OffsetMeter, OffsetsInForce
from soc.ingest.pipeline import Pipeline, SourceInfo
from soc.ingest.registry import installed
from soc.ports import Classifier, EncodingStore, Store


def source_infos(settings: Settings, more: Mapping[str, SourceBase | None] | None = None) -> dict[str, SourceInfo]:
    """What the pipeline needs to know of each source; `more` are sources that only this run has."""
    everything: dict[str, SourceBase | None] = {**settings.sources, **(more or {})}
    return {name: _info(name, source, settings) for name, source in everything.items()}


def _info(name: str, source: SourceBase | None, settings: Settings) -> SourceInfo:
    if source is None:
        return SourceInfo(name, timezone=settings.timezone, max_record_bytes=settings.pipeline.max_record_bytes)
    return SourceInfo(
        name,
        source.scope,
        source.product,
        source.kind,
        source.timezone,
        source.agency,
        source.network_point,
        settings.pipeline.max_record_bytes,
        _knowledge(source),
    )


def _knowledge(source: SourceBase) -> Literal["proved", "counted", "unknowable"]:
    """Files and topics can be read again; TCP and HTTP are counted on arrival; of UDP only the socket's drops are known."""
    if isinstance(source, SyslogSource):
        return "unknowable" if source.udp else "counted"
    return "counted" if isinstance(source, HttpSource) else "proved"


def offsets_in_force(app: App, more: Mapping[str, SourceBase | None] | None = None) -> OffsetsInForce:
    """The clock offsets by settings and recorded facts: always those of the application's store, which replays must use too."""
    sources: dict[str, SourceBase | None] = {**app.settings.sources, **(more or {})}
    return OffsetsInForce({name: source.clock_offset_s for name, source in sources.items() if source is not None}, app.store.facts("clock-offset"))


def make_pipeline(
    app: App, store: Store, *, more: Mapping[str, SourceBase | None] | None = None, classifier: Classifier | None = None, meter: OffsetMeter | None = None
) -> Pipeline:
    """A pipeline over the application's parsers and rules that keeps its state in `store` (a scratch one for replays)."""
    return Pipeline(
        registry=installed(),
        classifier=classifier or app.classifier,
        sources=source_infos(app.settings, more),
        kept_state=store.state,
        owners=store.owners,
        enrich=enricher(app),
        offset_us=offsets_in_force(app, more),
        meter=meter,
        storm_per_hour=app.settings.rules.storm_per_hour,
        encode=store.encode if isinstance(store, EncodingStore) else None,
    )


def overlaps(store: StoreSettings) -> bool:
    """Whether a batch is committed while the next is parsed: on a store across the network, or where a second core can write and compress meanwhile."""
    return store.kind == "elasticsearch" or len(os.sched_getaffinity(0)) > 1


def pipeline_again(app: App, store: Store, source: str, scope: str, *, classifier: Classifier | None = None) -> Pipeline:
    """A pipeline for records of a source that were received before: they stay in the scope that they came in.

    Settings of a source that is gone, or has another scope by now, must not bring an exercise into real figures.
    """
    configured = app.settings.sources.get(source) or FileSource(type="file", paths=[], timezone=app.settings.timezone)
    return make_pipeline(app, store, more={source: configured.model_copy(update={"scope": scope})}, classifier=classifier)


def note_rules(app: App, store: Store) -> None:
    """Append a fact of kind `rules` when other rules than the last ones recorded are in force from the next batch on.

    Each event names its rules by `soc.rules_hash`; the facts say since when each set counted, and what it changed.
    """
    record_change(app, store, app.rules)


def note_registry(app: App, store: Store) -> None:
    """Append a fact of kind `registry` when another state of it than the last one recorded is in force from the next batch on."""
    note(app, store, present(app))
