"""What a start of correlation reads of the log of signals: what the rules in force need, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import zstandard

from soc.adapters.sqlite.control import Control
from soc.adapters.sqlite.store import open_store
from soc.application.correlate import CorrelationStage
from soc.clock import FrozenClock
from soc.config import StoreSettings
from soc.errors import StoreCorrupt
from soc.model.signal import Signal, pack
from soc.ports import Effects, Store
from soc.rules.rebuild import LiveCorrelator
from soc.rules.signals import shape_of
from tests.application.test_correlate import DETECTION, MANY, NOW, QUIET, SECOND, START, line, records, rules
from tests.application.test_correlate import Rig as Pipes
from tests.contracts.conftest import Rig
from tests.contracts.samples import batch, event

LONG = MANY.replace("name: many", "name: long").replace("22222222", "77777777").replace("timespan: 60s", "timespan: 1h").replace("gte: 3", "gte: 500")
STRANGE = "99999999-9999-4999-8999-999999999999"


class Reading:
    """Reads the log of a store, and notes what it gave."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.given: list[Signal] = []

    def __call__(self, since: int, of: Mapping[str, int]) -> Iterator[Signal]:
        for signal in self._store.signals(since, of):
            self.given.append(signal)
            yield signal


def signals_of(rule: str, shape: str, count: int, *, first: int = 0) -> list[Signal]:
    """Signals of a correlation, one each second."""
    return [Signal(START + (first + n) * SECOND, ("real", f"198.51.100.{n % 200}"), f"{rule[:8]}-{n}", 1, rule, (), (), shape) for n in range(count)]


def test_a_start_reads_nothing_of_rules_that_nobody_correlates(rig: Rig, tmp_path: Path) -> None:
    """However many signals of rules that were taken away are still in the log, and whatever lies before the windows of those in force."""
    collection = rules(tmp_path / "rules", DETECTION, MANY, LONG)
    [many, long] = sorted(collection.correlations, key=lambda rule: rule.span_us)
    reach = LiveCorrelator(collection.correlations)
    end = 30_000
    store = rig.store
    store.commit(
        Effects(progress=batch(event(0)).progress, signals=signals_of(STRANGE, "", 3_000, first=end - 3_000), marks={"fw/0": START + end * SECOND}),
    )
    for rule in (many, long):
        store.commit(Effects(progress=[], signals=signals_of(rule.id, shape_of(rule), end)))
    rig.settle()
    watermark = START + end * SECOND - 60 * SECOND
    kept = {"watermark": str(watermark).encode(), "handled": msgspec.msgpack.encode({"fw/0": START + end * SECOND})}
    store.commit(Effects(progress=[], state={f"correlate\x1f{name}": value for name, value in kept.items()}))
    reading = Reading(store)
    stage = CorrelationStage(collection, store, clock=FrozenClock(NOW + end * SECOND), signals=reading)
    assert stage.start().alerts == []
    given = {rule.id: {signal.ts for signal in reading.given if signal.correlation == rule.id} for rule in (many, long)}
    assert {signal.correlation for signal in reading.given} == {many.id, long.id}, "nothing of the rule that is gone"
    for rule in (many, long):
        since = reach.since(rule.id, watermark)
        assert given[rule.id] == {START + n * SECOND for n in range(end) if START + n * SECOND >= since}
    assert len(given[many.id]) < 400
    assert len(given[long.id]) > 10_000


def test_a_start_that_reads_less_tells_what_one_that_reads_all_tells(rig: Rig, tmp_path: Path) -> None:
    """Also of a rule with the longest window beside short ones, of silence, and after a late event."""
    collection = rules(tmp_path / "rules", DETECTION, MANY, LONG.replace("gte: 500", "gte: 22"), QUIET)
    log = [line(second) for second in (*range(0, 6_000, 200), 6_010, 6_020, 6_030, 6_200, 6_210)]
    pipes = Pipes(collection, rig.store, settle=rig.settle)
    received = START + 7_000 * SECOND
    pipes.feed(records(log[:-2], received=received))
    pipes.tick()

    def start(*, everything: bool) -> CorrelationStage:
        def all_of_it(_since: int, _of: Mapping[str, int]) -> Iterator[Signal]:
            return pipes.store.signals(0)

        return CorrelationStage(collection, pipes.store, clock=pipes.clock, rules_hash=pipes.engine.hash, signals=all_of_it if everything else None)

    less, more = start(everything=False), start(everything=True)
    assert msgspec.to_builtins(less.start()) == msgspec.to_builtins(more.start())
    assert less.watermark == more.watermark > START + 5_000 * SECOND
    rest = pipes.pipeline.process(
        [msgspec.structs.replace(one, partition="fw2", source="fw2", origin="fw2") for one in records([*log[-2:], line(5_995)], received=received)]
    )
    pipes.store.commit(rest)
    told = [msgspec.to_builtins([stage.follow(rest), stage.end()]) for stage in (less, more)]
    assert told[0] == told[1]
    assert any(effects["alerts"] for part in told[0] for effects in part)


@pytest.mark.parametrize("asked_for", [False, True])
def test_rows_of_other_rules_are_not_even_fetched(tmp_path: Path, asked_for: bool) -> None:
    """Of an embedded store: what is damaged does no harm where nobody asks for it; where somebody does, that is said."""
    collection = rules(tmp_path / "rules", DETECTION, MANY)
    [many] = collection.correlations
    clock = FrozenClock(NOW)
    with closing(open_store(StoreSettings(), tmp_path / "store", pipeline=True, clock=clock)) as store:
        for rule, shape in ((many.id, shape_of(many)), (STRANGE, "")):
            store.commit(Effects(progress=[], signals=signals_of(rule, shape, 20)))
        with closing(sqlite3.connect(tmp_path / "store" / "control.db", isolation_level=None)) as control:
            row = "min(no)" if asked_for else "max(no)"
            assert control.execute(f"UPDATE signal SET body = x'00' WHERE no = (SELECT {row} FROM signal)").rowcount == 1
        stage = CorrelationStage(collection, store, clock=clock)
        if asked_for:
            with pytest.raises(StoreCorrupt, match="damaged"):
                stage.start()
        else:
            assert stage.start().alerts == []
            assert len(stage._fold.folds[many.id].waiting) == 20


@pytest.mark.parametrize("killed", [0, 1, 70, 119])
def test_signals_that_an_earlier_version_kept_by_batch_are_sorted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: int) -> None:
    """When the pipeline opens the store; a kill on the way loses none and doubles none."""
    wanted = [signal for n in range(120) for rule in ("c-1", "c-2") for signal in signals_of(rule, "", 2, first=3 * n)]
    open_store(StoreSettings(), tmp_path / "store", pipeline=True, clock=FrozenClock(NOW)).close()
    with closing(sqlite3.connect(tmp_path / "store" / "control.db", isolation_level=None)) as control:
        for place in range(0, len(wanted), 4):
            some = wanted[place : place + 4]
            times = [signal.ts for signal in some]
            control.execute("INSERT INTO signals (from_us, until_us, body) VALUES (?, ?, ?)", (min(times), max(times), zstandard.compress(pack(some), 1)))
    if killed:
        calls = iter(range(killed))
        put = Control.put_signals

        def some_of_them(self: Control, signals: Sequence[Signal]) -> None:
            if next(calls, None) is None:
                raise KeyboardInterrupt
            put(self, signals)

        with monkeypatch.context() as patched:
            patched.setattr(Control, "put_signals", some_of_them)
            with pytest.raises(KeyboardInterrupt):
                open_store(StoreSettings(), tmp_path / "store", pipeline=True, clock=FrozenClock(NOW))
    with closing(open_store(StoreSettings(), tmp_path / "store", pipeline=True, clock=FrozenClock(NOW))) as store:
        assert sorted(map(pack_one, store.signals(0))) == sorted(map(pack_one, wanted))
        assert {signal.correlation for signal in store.signals(0, {"c-2": 0})} == {"c-2"}
        store.drop_signals(START + 180 * SECOND)
        left = [signal.ts for signal in store.signals(0)]
        assert min(left) >= START + 179 * SECOND
        assert sum(signal.ts >= START + 180 * SECOND for signal in wanted) == sum(ts >= START + 180 * SECOND for ts in left)


def pack_one(signal: Signal) -> bytes:
    """A signal as bytes, to compare and sort."""
    return pack([signal])
