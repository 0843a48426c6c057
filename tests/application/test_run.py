"""What a run does beside the stream."""

from __future__ import annotations

from pathlib import Path

from soc.adapters.memory import MemoryStore
from soc.adapters.metrics import NoMetrics
from soc.application.app import Actor
from soc.application.pipelines import make_pipeline
from soc.application.run import _Duties
from soc.bootstrap import open_app
from soc.clock import FrozenClock
from soc.config import Settings
from soc.ingest.reader import Batch, Reader
from soc.ingest.worker import Worker
from tests.conftest import NOW_US
from tests.ingest.supplies import ListSource, record

SECOND = 1_000_000


def test_a_source_whose_last_records_wait_behind_a_slow_commit_is_not_silent(tmp_path: Path) -> None:
    """It is read to its end, and yet nobody has looked at what it said last: silence is told a rhythm after that, not before."""
    settings = Settings.model_validate(
        {
            "store": {"kind": "memory"},
            "data_dir": str(tmp_path),
            "rules": {"shipped": False},
            "sources": {name: {"type": "syslog", "tcp": f"127.0.0.1:{port}", "rhythm_s": 10} for name, port in (("fw", 5514), ("mail", 5515))},
        }
    )
    clock = FrozenClock(NOW_US)
    with open_app(settings, Actor("test"), clock=clock) as app:
        source = ListSource("fw", [])
        store = MemoryStore(clock=clock)
        worker = Worker(
            store=store,
            pipeline=make_pipeline(app, store),
            sources=[source],
            clock=clock,
            metrics=NoMetrics(),
            batch_size=10,
            batch_wait_s=0.1,
        )
        duties = _Duties(app, [], None, [source])
        duties.worker = worker
        reader = Reader(source, worker._queue, most=10, wait_s=0.1, clock=clock, positions={})
        worker._queue.put(Batch(reader, 0, [record(0, b"something", received_us=NOW_US)]))
        assert _told(duties, clock, 11) == {"mail"}
        worker._queue.get()
        assert _told(duties, clock, 9) == set()
        assert _told(duties, clock, 2) == {"fw"}


def _told(duties: _Duties, clock: FrozenClock, seconds: float) -> set[str]:
    """The sources that are called silent so much later."""
    clock.advance(seconds)
    return {gap.source for effects in duties._listen(clock.now_us(), clock.monotonic()) for gap in effects.gaps}
