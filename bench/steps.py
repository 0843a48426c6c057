"""What each step of the hot path costs: microseconds a line, FortiGate and mail apart, one core, best of several passes.

python -m bench.steps [--lines 20000]
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench import lines
from bench._measure import fresh, opened, pin
from soc.application.pipelines import make_pipeline
from soc.ingest.framing import decode, frame
from soc.ingest.parser import Context
from soc.ingest.pipeline import Pipeline
from soc.ingest.registry import installed
from soc.model.ids import event_id, raw_hash
from soc.model.record import RawRecord
from soc.model.text import event_tokens
from soc.ports import Effects

_BATCH = 2_000
_NOW_US = 1_795_000_000_000_000


def records(mail: float, count: int) -> list[RawRecord]:
    """Records of one kind of line."""
    out, at = [], 0
    for line in lines.lines(count, mail=mail):
        raw = line.encode()
        out.append(RawRecord("bench", "file:bench", at, at + len(raw) + 1, raw, _NOW_US, "file:bench", at))
        at += len(raw) + 1
    return out


def best(work: Callable[[], Any], count: int, passes: int = 5) -> float:
    """Microseconds an item, of the quickest pass: others use the machine too."""
    taken = []
    for _ in range(passes):
        gc.collect()
        gc.disable()  # here everything is kept, so it would be gone through again and again; in life a batch is short-lived
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
        gc.enable()
    return min(taken) / count * 1e6


def steps(mail: float, count: int) -> dict[str, float]:
    """Microseconds a line, by step."""
    some = records(mail, count)
    texts = [decode(record.raw)[0] for record in some]
    framed = [frame(text) for text in texts]
    registry = installed()
    context = Context(_NOW_US, "Asia/Ho_Chi_Minh", 0, "")
    parser = installed().get("postfix" if mail else "fortinet_fortigate")
    out = {
        "decode and frame": best(lambda: [frame(decode(record.raw)[0]) for record in some], count),
        "recognise": best(lambda: [registry.recognise(line) for line in framed], count),
        "parse": best(lambda: [parser.parse(line, context) for line in framed], count),
        "id and hash": best(lambda: [(event_id(record.origin, record.origin_seq, record.sub), raw_hash(record.raw)) for record in some], count),
    }
    with opened(fresh("steps"), pipeline=True) as app:
        batches = [some[at : at + _BATCH] for at in range(0, count, _BATCH)]

        def process() -> list[Effects]:
            pipeline: Pipeline = make_pipeline(app, app.store)
            return [pipeline.process(batch) for batch in batches]

        done = process()
        docs = [event.doc for effects in done for event in effects.events]
        classify = app.classifier.classify
        out["classify"] = best(lambda: [classify(doc) for doc in docs], count)
        out["tokens"] = best(lambda: [event_tokens(doc) for doc in docs], count)
        whole = best(process, count)
        out["the rest of the pipeline (complete, assemble, claims)"] = whole - sum(out.values())
        out["pipeline, all of it"] = whole
        gc.collect()
        begin = time.process_time(), time.perf_counter()
        for effects in done:
            app.store.commit(effects)
        out["commit, CPU"] = (time.process_time() - begin[0]) / count * 1e6
        out["commit, wall"] = (time.perf_counter() - begin[1]) / count * 1e6
        out["tokens of an event"] = sum(event.tokens.count(" ") + 1 for effects in done for event in effects.events) / len(docs)
        out["events of a line"] = len(docs) / count
    return out


def table(count: int) -> list[str]:
    """The steps of both kinds of lines as a Markdown table."""
    forti, mail = steps(0.0, count), steps(1.0, count)
    return ["| step, µs a line | FortiGate | mail |", "|---|---|---|", *(f"| {name} | {forti[name]:.1f} | {mail[name]:.1f} |" for name in forti)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=20_000)
    chosen = options.parse_args(arguments)
    pin()
    for row in table(chosen.lines):
        sys.stdout.write(row + "\n")


if __name__ == "__main__":
    main()
