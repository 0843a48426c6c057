"""How many signals a second correlations fold on one core, beside `orjson.loads` of the same signals, and what a group costs.

python -m bench.correlate [--signals 400000] [--groups 100000] [--rounds 3] [--only TYPE,…]

A signal is written as a JSON object that names its fields (`ts`, `key`, `id`, `rules`, `correlation`, `values`, `shown`,
`shape`), as other programs would read it from a topic; the log itself holds the same as msgpack without names. Chunks of
2,000 are parsed by `orjson.loads` (none kept) and folded in turn, so both see the same machine at the same moment. Folding
is `Correlator.extend` and `advance`: signals arrive up to 5 s out of order, and the watermark is 10 s behind. Making
signals out of bytes (`soc.model.signal.unpack`) is measured by itself. A second is one of processor time.

All groups have signals in the window at once; one signal in fifty comes from 200 sources that fire, the others stay below
the threshold.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import msgspec
import orjson

from bench._measure import Measure, apart, pin, rss_mib, show
from soc.rules.correlate import Correlator
from soc.rules.correlation import All, Bound, Correlation, Lacks, Ref
from soc.rules.signals import Signal, shape_of

TYPES = ("event_count", "value_count", "temporal", "temporal_ordered", "temporal with not", "value_sum", "value_percentile")
GOAL = 0.3
CHUNK = 2_000
LOOK_AFTER = 50_000
"""Objects after which unused ones are looked for: as the worker of the pipeline has it, for both sides."""
SECOND = 1_000_000
SPAN_S = 300
START = 1_763_600_000 * SECOND
LATENESS = 10 * SECOND
DISORDER = 5 * SECOND
DISTINCT = (1_000, 10_000, 100_000, 1_000_000)
_NAME = "5f0c8a4e-2d19-4a3b-9c11-b7e2a6f4d803"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Signal]).decode


def rule_of(kind: str) -> Correlation:
    """A rule of a type as people write them: brute force, spraying, a chain of steps, much data, slow answers."""
    bounds: dict[str, tuple[Bound, ...]] = {
        "event_count": (Bound("gte", 20),),
        "value_count": (Bound("gte", 20),),
        "temporal": (Bound("gte", 3),),
        "temporal_ordered": (Bound("gte", 3),),
        "value_sum": (Bound("gte", 10_000_000),),
        "value_percentile": (Bound("gt", 1_000_000),),
    }
    return Correlation(
        id=_NAME,
        title="bench",
        level="high",
        hash="h",
        type=kind.partition(" ")[0],
        rules=("a", "b", "c") if kind.startswith("temporal") else ("a",),
        span_us=SPAN_S * SECOND,
        bounds=bounds.get(kind, ()),
        expression=All((Ref(0), Ref(1), Lacks(2))) if kind == "temporal with not" else None,
        group_by=("source.ip",),
        fields=("user.name",) if kind.startswith("value_") else (),
        percentile=95,
    )


def chunks(kind: str, count: int, groups: int, *, whole_seconds: bool = False) -> Iterator[list[Signal]]:
    """Signals in the order of arrival: a window holds four of each group, and the run is a window and a half."""
    seed = random.Random(7)
    names = [f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}" for number in range(groups)]
    length = SPAN_S * SECOND * 3 // 2
    times = sorted(seed.randrange(length) for _ in range(count))
    if whole_seconds:
        times = [ts // SECOND * SECOND for ts in times]
    made = []
    shape = shape_of(rule_of(kind))
    for number, ts in enumerate(times):
        hot = number % 50 == 0
        name = names[seed.randrange(200) if hot else number % groups]
        mask = 1
        values: tuple[str | int, ...] = ()
        if kind.startswith("temporal"):
            mask = 1 << (seed.randrange(3) if hot else number % 97 == 0)
        elif kind == "value_count":
            values = (f"user{seed.randrange(100_000) if hot else number % 5}",)
        elif kind.startswith("value_"):
            values = (seed.randrange(500_000, 2_000_000) if hot else seed.randrange(60_000),)
        made.append((ts + seed.randrange(DISORDER), Signal(START + ts, ("real", name), f"e-{seed.getrandbits(80):020x}", mask, _NAME, values, (name,), shape)))
    made.sort(key=lambda one: one[0])
    for begin in range(0, count, CHUNK):
        yield [signal for _, signal in made[begin : begin + CHUNK]]


def as_json(signals: list[Signal], *, names: bool = True) -> list[bytes]:
    """Each signal as a line."""
    fields = Signal.__struct_fields__
    return [orjson.dumps({name: getattr(one, name) for name in fields} if names else [getattr(one, name) for name in fields]) for one in signals]


def turn(kind: str, count: int, groups: int, *, whole_seconds: bool = False) -> dict[str, float]:
    """Seconds of a run by step, and what came out."""
    logged = [(_encode(part), as_json(part), as_json(part, names=False)) for part in chunks(kind, count, groups, whole_seconds=whole_seconds)]
    fold = Correlator([rule_of(kind)])
    fold.begin(START)
    gc.collect()
    gc.freeze()
    gc.set_threshold(LOOK_AFTER, *gc.get_threshold()[1:])
    clock, loads = time.process_time, orjson.loads
    spent = dict.fromkeys(("loads", "array", "decode", "fold"), 0.0)
    told = newest = 0
    for packed, lines, arrays in logged:
        begin = clock()
        for line in lines:
            loads(line)
        parsed = clock()
        for line in arrays:
            loads(line)
        arrayed = clock()
        signals = _decode(packed)
        decoded = clock()
        fold.extend(signals)
        newest = max(newest, signals[-1].ts)
        told += len(fold.advance(newest - LATENESS))
        folded = clock()
        spent["loads"] += parsed - begin
        spent["array"] += arrayed - parsed
        spent["decode"] += decoded - arrayed
        spent["fold"] += folded - decoded
        del signals
    begin = clock()
    told += len(fold.advance(newest + DISORDER, final=True))  # what waits for the lateness, or for silence, is part of the work
    spent["fold"] += clock() - begin
    size = sum(len(line) for _, lines, _ in logged for line in lines) / count
    return {**spent, "told": told, "bytes": size}


def memory(kind: str, groups: int, each: int) -> dict[str, float]:
    """Bytes of a group with so many members, without what waits."""
    fold = Correlator([rule_of(kind)])
    one = list(chunks(kind, groups, groups))
    flat = _encode([signal for part in one for signal in part])
    del one
    gc.collect()
    before = rss_mib()
    for number in range(each):
        signals = _decode(flat)
        for place, signal in enumerate(signals):
            signal.ts, signal.id = START + number * SECOND * 10 + place, f"{place:016x}{number:016x}"
        fold.extend(signals)
        del signals
        fold.advance(START + (number + 1) * SECOND * 10)
    gc.collect()
    return {"bytes": (rss_mib() - before) * 1024 * 1024 / groups}


def distinct(count: int, values: int) -> dict[str, float]:
    """Seconds for value_count of one group whose window holds so many different values."""
    fold = Correlator([msgspec.structs.replace(rule_of("value_count"), bounds=(Bound("gte", 2 * values),))])
    texts = [f"user{number}" for number in range(values)]
    step = max(1, SPAN_S * SECOND // (2 * values))
    for number in range(2 * values):
        fold.add(Signal(START + number * step, ("real", "a"), "", 1, _NAME, (texts[number % values],)))
    begin = START + 2 * values * step
    fold.advance(begin)
    signals = [Signal(begin + number * step, ("real", "a"), f"{number:032x}", 1, _NAME, (texts[number % values],)) for number in range(count)]
    gc.collect()
    gc.freeze()
    started = time.process_time()
    for place in range(0, count, CHUNK):
        fold.extend(signals[place : place + CHUNK])
        fold.advance(begin + (place + CHUNK) * step)
    return {"us": (time.process_time() - started) / count * 1e6}


def measure(signals: int = 400_000, groups: int = 100_000, rounds: int = 3, only: str = "") -> Iterator[Measure]:
    """The rows of the table."""
    core = pin()
    wanted = tuple(filter(None, only.split(","))) or TYPES
    for kind in wanted:
        yield from _rows(kind, [apart("bench.correlate", "--turn", json.dumps([kind, signals, groups, False]), core=core) for _ in range(rounds)], groups)
    if not only:
        seconds = [apart("bench.correlate", "--turn", json.dumps(["event_count", signals, groups, True]), core=core) for _ in range(rounds)]
        yield from _rows("event_count, times of whole seconds", seconds, groups)
        costs = [apart("bench.correlate", "--distinct", json.dumps([200_000, values]), core=core)["us"] for values in DISTINCT]
        shown = ", ".join(f"{values:,}: {cost:.1f}" for values, cost in zip(DISTINCT, costs, strict=True))
        yield Measure("correlation, value_count of one group: µs a signal by distinct values in the window", shown)
    for kind in wanted:
        one, five = (apart("bench.correlate", "--memory", json.dumps([kind, groups, each]), core=core)["bytes"] for each in (1, 5))
        yield Measure(f"correlation, {kind}: bytes of a group with one member", f"{one:,.0f}, each further one {(five - one) / 4:,.0f}")


def _rows(what: str, turns: list[dict[str, Any]], groups: int) -> Iterator[Measure]:
    ratio = median(one["loads"] / one["fold"] for one in turns)
    array = median(one["array"] / one["fold"] for one in turns)
    whole = median(one["loads"] / (one["fold"] + one["decode"]) for one in turns)
    rate = median(one["count"] / one["fold"] for one in turns)
    loads = median(one["count"] / one["loads"] for one in turns)
    figure = f"{ratio:.2f} ({rate:,.0f} signals/s, loads {loads:,.0f}; with decoding {whole:.2f}; without names {array:.2f})"
    yield Measure(f"correlation, {what}, {groups:,} groups: rate / `orjson.loads`", figure, f"≥ {GOAL}", ratio >= GOAL)


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--signals", type=int, default=400_000)
    options.add_argument("--groups", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--only", default="")
    for name in ("--turn", "--memory", "--distinct"):
        options.add_argument(name, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.turn:
        kind, count, groups, whole = json.loads(chosen.turn)
        print(json.dumps({**turn(kind, count, groups, whole_seconds=whole), "count": count}))
    elif chosen.memory:
        print(json.dumps(memory(*json.loads(chosen.memory))))
    elif chosen.distinct:
        print(json.dumps(distinct(*json.loads(chosen.distinct))))
    else:
        for row in show(list(measure(chosen.signals, chosen.groups, chosen.rounds, chosen.only))):
            sys.stdout.write(row + "\n")


if __name__ == "__main__":
    main()
