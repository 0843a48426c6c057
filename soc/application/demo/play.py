"""Plays the demonstration, or a scene of one incident: traffic files are written, then read by the real pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from importlib.resources import as_file
from pathlib import Path

import msgspec

from soc.application import registry
from soc.application.app import App
from soc.application.demo.scenarios import SAMPLE, Scene, files, sample_file
from soc.application.demo.traffic import HALF_HOUR_S, firewall_lines, mail_lines
from soc.application.ingest import ingest_files
from soc.application.run import run
from soc.clock import Clock, FrozenClock, to_datetime
from soc.config import FileSource, Settings, SourceSettings
from soc.ingest.worker import Totals
from soc.model.alert import Alert

LOCAL_ZONE = "Asia/Ho_Chi_Minh"


class Played(msgspec.Struct):
    """What the demonstration did: lines written per file, and the totals over both runs."""

    files: dict[str, int]
    totals: Totals


def play(
    app: App,
    folder: Path,
    *,
    seed: int = 2026,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    on_alerts: Callable[[Sequence[Alert]], None] = lambda _alerts: None,
) -> Played:
    """Write the half-hour that ends now into `folder`, and take it in; `progress(done, all)` counts lines."""
    begin = to_datetime(app.clock.now_us()) - timedelta(seconds=HALF_HOUR_S)
    folder.mkdir(parents=True, exist_ok=True)
    plan = (("tuong-lua", "fortinet_fortigate", list(firewall_lines(seed, begin))), ("thu-dien-tu", "postfix", list(mail_lines(seed, begin))))
    everything = sum(len(lines) for _, _, lines in plan)
    totals = Totals()
    for name, product, lines in plan:
        file = folder / f"{name}.log"
        file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        done = totals.received
        run = ingest_files(app, [file], source=name, product=product, progress=partial(_tell, progress, done, everything), on_alerts=on_alerts)
        totals = Totals(*(getattr(totals, field) + getattr(run, field) for field in Totals.__struct_fields__))
    return Played({name: len(lines) for name, _, lines in plan}, totals)


Opening = Callable[[Settings, Clock], App]
"""Opens the application of settings for the pipeline, by a clock."""


def play_scene(
    opening: Opening,
    settings: Settings,
    folder: Path,
    scene: Scene,
    *,
    seed: int = 2026,
    clock: Clock,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Played:
    """Write the lines of a scene into `folder`, and take them in as if they came when they say, after the sample registry."""
    now_us = clock.now_us()
    made = files(scene, seed, to_datetime(now_us))
    folder.mkdir(parents=True, exist_ok=True)
    for file in made:
        (folder / f"{file.source}.log").write_text("".join(line + "\n" for line in file.lines), encoding="utf-8")
    everything, totals = sum(len(file.lines) for file in made), Totals()
    sources: dict[str, SourceSettings] = {
        file.source: FileSource(type="file", paths=[str(folder / f"{file.source}.log")], product=file.product, timezone=LOCAL_ZONE) for file in made
    }
    settings = settings.model_copy(update={"sources": sources})
    # Time enters by the clock alone: what was received in the past is received by a clock that stands there.
    moments = [FrozenClock(now_us - round(scene.silent_s * 1e6)), clock] if scene.silent_s else [clock]
    for number, moment in enumerate(moments):
        with opening(settings, moment) as app:
            if number == 0:
                _import_sample(app)
            done = run(app, once=True, on_batch=lambda now: progress(now.received, everything))
            totals = Totals(*(getattr(totals, field) + getattr(done, field) for field in Totals.__struct_fields__))
    return Played({file.source: len(file.lines) for file in made}, totals)


def _import_sample(app: App) -> None:
    for kind in SAMPLE:
        with as_file(sample_file(kind)) as file:
            registry.apply(app, registry.plan(app, kind, file, replace=False), origin="sample province")


def _tell(progress: Callable[[int, int], None], before: int, everything: int, now: Totals) -> None:
    progress(before + now.received, everything)
