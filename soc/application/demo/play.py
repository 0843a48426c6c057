"""Plays the demonstration: traffic files are written, then read by the real pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import msgspec

from soc.application.app import App
from soc.application.demo.traffic import HALF_HOUR_S, firewall_lines, mail_lines
from soc.application.ingest import ingest_files
from soc.clock import to_datetime
from soc.ingest.worker import Totals
from soc.model.alert import Alert


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


def _tell(progress: Callable[[int, int], None], before: int, everything: int, now: Totals) -> None:
    progress(before + now.received, everything)
