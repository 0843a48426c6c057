"""How many events a second the rules match on one core: process creation beside rsigma, and a routed mix of what a SOC sees.

python -m bench.rules [--events 30000] [--rounds 3]

Rules and events are read before the clock starts; both engines take turns on one core, and a ratio is that of one turn.
A second is one of processor time, so that what else runs on the core does not count.
rsigma (crate `rsigma-eval` 0.23.0) is what `bench/peers.sh` built, or built from bench/rsigma by cargo, or taken from
SOC_BENCH_RSIGMA=<program>; without any its rows say why they are empty. The rules are those of the corpus (SOC_CORPUS).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from bench._measure import FOLDER, Measure, apart, fresh, pin, rss_mib, show
from bench.rule_events import process_events, soc_events
from soc.config import RulesSettings
from soc.rules.cache import Cache
from soc.rules.engine import Engine, compile_ruleset
from soc.rules.index import SAMPLE
from soc.rules.load import RuleSet, load_paths, load_ruleset, make_ruleset

SIZES = (100, 500, 1_300)
CORPUS = Path(os.environ.get("SOC_CORPUS") or Path(__file__).parents[2] / "shared" / "corpus") / "sigma"
NETWORK = {"proxy", "webserver", "dns", "firewall", "antivirus"}
CRATE = Path(__file__).with_name("rsigma")


def measure(events: int = 30_000, rounds: int = 3) -> Iterator[Measure]:
    """The rows of the table."""
    if not (CORPUS / "bench").is_dir():
        yield Measure("rules", f"left out: no Sigma corpus at {CORPUS} (SOC_CORPUS)")
        return
    core = pin()
    folder = fresh("rules")
    _write(folder, events)
    rival, why = _rival()
    rates: dict[int, float] = {}
    for size in SIZES:
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(apart("bench.rules", "--ours", str(size), core=core))
            if rival:
                theirs.append(_run(rival, folder, size, core))
        rates[size] = median(turn["rate"] for turn in ours)
        yield from _rows(size, ours, theirs, why)
    law = rates[1_300] / rates[100]
    yield Measure("rate at 1,300 rules / rate at 100", f"{law:.2f}", "≥ 0.22", law >= 0.22)
    big = apart("bench.rules", "--build", core=core)
    yield Measure(
        "load of 500 rules from the cache", f"{big['load_500'] * 1000:.0f} ms (1,300: {big['load'] * 1000:.0f} ms)", "< 500 ms", big["load_500"] < 0.5
    )
    yield Measure("1,300 rules: build of the engine and its index", f"{big['build'] * 1000:.0f} ms")
    yield Measure(f"1,300 rules: pause to choose anew after {SAMPLE:,} events", f"{big['pause'] * 1000:.0f} ms")
    yield Measure("1,300 rules: memory of rules, index and remembered values", f"{big['mib']:.0f} MiB, of it rules {big['rules_mib']:.0f}")
    mixed = [apart("bench.rules", "--mix", core=core) for _ in range(rounds)]
    rate = median(turn["rate"] for turn in mixed)
    yield Measure(f"routed mix, {mixed[0]['rules']:,} shipped and imported rules: events/s", f"{rate:,.0f}", "≥ 300,000", rate >= 300_000)


def _rows(size: int, ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]], why: str) -> Iterator[Measure]:
    what = f"process creation, {size:,} rules"
    yield Measure(f"{what}: events/s", f"{median(turn['rate'] for turn in ours):,.0f} ({ours[0]['always']} rules without index, {ours[0]['hits']:,} matches)")
    if not theirs:
        yield Measure(f"{what}: / rsigma 0.23", f"left out: {why}")
        return
    ratio = median(one["rate"] / other["rate"] for one, other in zip(ours, theirs, strict=True))
    same = "the same matches" if ours[0]["hits"] == theirs[0]["hits"] else f"rsigma has {theirs[0]['hits']:,} matches"
    yield Measure(f"{what}: / rsigma 0.23", f"{ratio:.2f} (rsigma {median(turn['rate'] for turn in theirs):,.0f}; {same})", "≥ 0.9", ratio >= 0.9)


def _write(folder: Path, events: int) -> None:
    """Rule sets and events as files that both engines read."""
    # Reference: YAML 1.2 section 9.2, the line between documents.
    documents = [
        document for path in sorted((CORPUS / "bench").glob("*.yml")) for document in re.split(r"(?m)^---[ \t]*$", path.read_text("utf-8")) if document.strip()
    ]
    random.Random(4).shuffle(documents)
    for size in SIZES:
        (folder / f"{size}.yml").write_text("\n---\n".join(documents[:size]), "utf-8")
        (folder / str(size)).mkdir()
        for number, document in enumerate(documents[:size]):
            (folder / str(size) / f"{number:04}.yml").write_text(document, "utf-8")
        load_paths([folder / str(size)], cache=Cache(folder / f"{size}.cache"), ecs=False)
    with (folder / "process.ndjson").open("wb") as file:
        file.writelines(orjson.dumps(event) + b"\n" for event in process_events(events))
    with (folder / "mix.ndjson").open("wb") as file:
        file.writelines(orjson.dumps(event) + b"\n" for event in soc_events(events * 3))


def _rival() -> tuple[Path | None, str]:
    """The program of the other engine, or why there is none."""
    given = os.environ.get("SOC_BENCH_RSIGMA")
    if given:
        return (Path(given), "") if Path(given).is_file() else (None, f"no program at {given}")
    if (FOLDER / "peers" / "bench-rsigma").is_file():
        return FOLDER / "peers" / "bench-rsigma", ""
    cargo = shutil.which("cargo")
    if not cargo:
        return None, "no cargo to build it with, and no SOC_BENCH_RSIGMA"
    place = FOLDER / "rsigma"
    shutil.copytree(CRATE, place, dirs_exist_ok=True)
    built = subprocess.run([cargo, "build", "--release", "--ignore-rust-version", "--quiet"], cwd=place, stderr=subprocess.PIPE, text=True, check=False)
    if built.returncode:
        return None, "cargo could not build it: " + (built.stderr.strip().splitlines() or ["no reason given"])[-1]
    return place / "target" / "release" / "bench-rsigma", ""


def _run(program: Path, folder: Path, size: int, core: int) -> dict[str, Any]:
    command = ["taskset", "-c", str(core), str(program), str(folder / f"{size}.yml"), str(folder / "process.ndjson")]
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return found


def _docs(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def _rate(engine: Engine, docs: list[dict[str, Any]]) -> tuple[float, int]:
    """Events per second, the median of three passes, and the matches. What the engine remembers of values is emptied before each pass."""
    for doc in docs[: SAMPLE + 16]:
        engine.classify(doc)
    gc.collect()
    gc.freeze()
    rates, hits = [], 0
    for _ in range(3):
        engine.forget()
        classify, hits = engine.classify, 0
        begin = time.process_time()
        for doc in docs:
            hits += len(classify(doc).matches)
        rates.append(len(docs) / (time.process_time() - begin))
    return median(rates), hits


def _set(size: int) -> RuleSet:
    folder = FOLDER / "rules"
    return load_paths([folder / str(size)], cache=Cache(folder / f"{size}.cache"), ecs=False)[0]


def _ours(size: int) -> dict[str, Any]:
    docs = _docs(FOLDER / "rules" / "process.ndjson")
    engine = compile_ruleset(_set(size))
    rate, hits = _rate(engine, docs)
    return {"rate": rate, "hits": hits, "always": len(engine.residual())}


def _build() -> dict[str, Any]:
    """What a set of 1,300 costs before it runs."""
    docs = _docs(FOLDER / "rules" / "process.ndjson")
    _set(100)  # what Python reads at first is no part of it
    begin = time.perf_counter()
    _set(500)
    load_500 = time.perf_counter() - begin
    gc.collect()
    empty = rss_mib()
    begin = time.perf_counter()
    rules = _set(1_300)
    load = time.perf_counter() - begin
    gc.collect()
    read = rss_mib()
    begin = time.perf_counter()
    engine = compile_ruleset(rules)
    engine.classify(docs[0])
    build = time.perf_counter() - begin
    longest = 0.0
    for doc in docs:
        begin = time.perf_counter()
        engine.classify(doc)
        longest = max(longest, time.perf_counter() - begin)
    gc.collect()
    return {"load_500": load_500, "load": load, "build": build, "pause": longest, "rules_mib": read - empty, "mib": rss_mib() - empty}


def _mix() -> dict[str, Any]:
    """Shipped rules and those of the corpus for what networks have, asked by log source."""
    shipped, _ = load_ruleset(RulesSettings())
    imported, _ = load_paths([CORPUS / "rules"], cache=Cache(FOLDER / "rules" / "corpus.cache"), ecs=False)
    known = {rule.id for rule in shipped.rules}
    network = make_ruleset([rule for rule in imported.rules if rule.logsource.category in NETWORK and rule.id not in known])
    both = RuleSet((*shipped.rules, *network.rules), "")
    rate, hits = _rate(compile_ruleset(both), _docs(FOLDER / "rules" / "mix.ndjson"))
    return {"rate": rate, "hits": hits, "rules": len(both.rules)}


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=30_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--ours", type=int, help=argparse.SUPPRESS)
    options.add_argument("--build", action="store_true", help=argparse.SUPPRESS)
    options.add_argument("--mix", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.ours or chosen.build or chosen.mix:
        print(json.dumps(_ours(chosen.ours) if chosen.ours else _build() if chosen.build else _mix()))
        return
    for row in show(list(measure(chosen.events, chosen.rounds))):
        sys.stdout.write(row + "\n")


if __name__ == "__main__":
    main()
