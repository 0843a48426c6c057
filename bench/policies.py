"""Policies over many groups: one pass of all shipped policies over 100,000 groups of the embedded store, and the same again when nothing is new."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench._measure import Measure
from soc.application import policies
from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.clock import FrozenClock, iso
from soc.config import Settings, StoreSettings
from soc.model.alert import Alert, RuleRef
from soc.model.ids import alert_id, group_id
from soc.ports import Effects

T0 = 1_795_136_400_000_000
FIRES = "3775a20d-448a-4d8a-b366-1e7d3eaab581"
OTHERS = 150
"""Rules whose groups no policy asks for."""
BATCH = 10_000


def measure(count: int = 100_000, fires: int = 1_000) -> Iterator[Measure]:
    """Seconds of the first pass, which decides `fires` groups, and of one that finds nothing new."""
    with TemporaryDirectory() as folder:
        settings = Settings(store=StoreSettings(path=Path(folder) / "store"), data_dir=Path(folder))
        with open_app(settings, Actor("bench"), clock=FrozenClock(T0 + 3_600_000_000), pipeline=True) as app:
            fill(app, count, fires)
            begin = time.perf_counter()
            report = policies.apply(app)
            first = time.perf_counter() - begin
            if sum(one.joined + one.opened for one in report.did) < fires:
                raise AssertionError(report)
            begin = time.perf_counter()
            if policies.apply(app).did:
                raise AssertionError("a second pass did something")
            again = time.perf_counter() - begin
    yield Measure(f"policies: first pass over {count:,} groups, {fires:,} of them decided", f"{first:.2f} s, {count / first:,.0f} groups/s", "", None)
    yield Measure(f"policies: a pass over {count:,} groups of one day that finds nothing new", f"{again:.2f} s, {count / again:,.0f} groups/s", "", None)


def fill(app: App, count: int, fires: int) -> None:
    """Groups of one alert each, one in so many of a rule that a policy asks for."""
    alerts: list[Alert] = []
    for number in range(count):
        rule = FIRES if number < fires else f"rule-{number % OTHERS}"
        key = {"source.ip": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
        at = iso(T0 + number * 1_000)
        identity = alert_id(rule, str(number))
        reference = RuleRef(rule, f"Rule {rule}", "critical" if number % 7 == 0 else "high", "h")
        document = {"source": {"ip": key["source.ip"]}, "soc": {"system": {"id": "web", "level": 1}}}
        alerts.append(
            Alert(
                identity,
                group_id(rule, key["source.ip"], "real"),
                key,
                reference,
                "real",
                at,
                at,
                [str(number)],
                [document],
                {},
                "fw",
                agency=f"x{number % 310}",
            )
        )
        if len(alerts) == BATCH:
            app.store.commit(Effects(progress=[], alerts=alerts))
            alerts = []
    app.store.commit(Effects(progress=[], alerts=alerts))
