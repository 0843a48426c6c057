"""Kafka to Elasticsearch on real servers: one worker against a bare bulk loader, two workers against one, and rsyslog.

    python -m bench.distributed [--lines 60000]

The servers are those that the tests start (jars or containers), on this machine: they share its cores with what is
measured, so the figures say how ours compares, not what a cluster takes. A rate counts from a worker's first committed
batch to its last. The bare loader reads the documents that the worker wrote from a file and gives them to
`elasticsearch.helpers.streaming_bulk`, in one thread, into indices with the same mappings and settings.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from bench import lines, rsyslog
from bench._measure import FOLDER, Measure, fresh, show
from soc.application.app import Actor
from soc.application.run import run
from soc.bootstrap import open_app
from soc.config import Settings
from soc.ingest.worker import Totals
from tests.servers.elastic_server import ElasticServer
from tests.servers.jars import Unavailable
from tests.servers.kafka_server import KafkaServer

WHAT = "Kafka to Elasticsearch"
_LOADER_CHUNK = 2_000


def settings(folder: Path, kafka: str, elastic: str, topic: str, prefix: str) -> Settings:
    """Settings of a worker that reads one topic into indices of its own."""
    return Settings.model_validate(
        {
            "data_dir": str(folder),
            "roles": ["ingest"],
            "store": {"kind": "elasticsearch", "hosts": [elastic], "prefix": prefix},
            "kafka": {"bootstrap_servers": [kafka], "group": prefix},
            "sources": {"bench": {"type": "kafka", "topics": [topic]}},
        }
    )


def work(configured: Settings, expected: int) -> dict[str, Any]:
    """Read until `expected` records were stored by all workers together, or nothing more comes: when and how much, and at what CPU time."""
    points: list[tuple[float, int, float]] = []

    def note(totals: Totals) -> None:
        points.append((time.time(), totals.received, time.process_time()))

    with open_app(configured, Actor("bench"), pipeline=True) as app:
        run(app, once=True, on_batch=note)
    return {"points": points, "expected": expected}


def spawn(configured: Settings, expected: int, count: int = 1) -> list[list[tuple[float, int, float]]]:
    """The progress of `count` workers that run at the same time."""
    body = configured.model_dump_json()
    workers = [
        subprocess.Popen([sys.executable, "-m", "bench.distributed", "--worker", body, "--lines", str(expected)], stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    said = [worker.communicate()[0] for worker in workers]
    if any(worker.returncode for worker in workers):
        raise RuntimeError("a worker failed")
    return [json.loads(text.splitlines()[-1])["points"] for text in said]


def rate(progress: Sequence[Sequence[tuple[float, int, float]]]) -> float:
    """Records per second of all workers together while all of them work: the sum of the rates between first and last batch."""
    return sum((points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0]) for points in progress if len(points) > 1)


def cpu_per_million(progress: Sequence[Sequence[tuple[float, int, float]]]) -> float:
    """CPU seconds of the workers for a million records."""
    points = progress[0]
    return (points[-1][2] - points[0][2]) / (points[-1][1] - points[0][1]) * 1e6


def documents(elastic: str, prefix: str, file: Path) -> tuple[int, dict[str, Any]]:
    """Write the worker's event documents to a file, one bulk action with its document a line; how many, and how their indices are made."""
    from elasticsearch import Elasticsearch
    from elasticsearch.helpers import scan

    with Elasticsearch(elastic) as client:
        client.indices.refresh(index=f"{prefix}-events-*")
        indices = dict(client.indices.get(index=f"{prefix}-events-*").items())
        count = 0
        with file.open("wb") as out:
            for hit in scan(client, index=f"{prefix}-events-*", query={"query": {"match_all": {}}}, size=2000):
                out.write(orjson.dumps({"_index": "bare-" + hit["_index"], "_id": hit["_id"], "_source": hit["_source"]}) + b"\n")
                count += 1
    return count, indices


def bare_loader(elastic: str, file: Path, indices: dict[str, Any]) -> float:
    """Documents per second of `streaming_bulk` from the file."""
    from elasticsearch import Elasticsearch
    from elasticsearch.helpers import streaming_bulk

    with Elasticsearch(elastic, request_timeout=120) as client:
        for name, body in indices.items():
            index = body["settings"]["index"]
            kept = {
                key: index[key]
                for key in ("analysis", "number_of_shards", "number_of_replicas", "refresh_interval", "codec", "sort", "translog", "mapping")
                if key in index
            }
            client.indices.delete(index="bare-" + name, ignore_unavailable=True)
            client.indices.create(index="bare-" + name, mappings=body["mappings"], settings={"index": kept})

        def actions() -> Iterator[dict[str, Any]]:
            with file.open("rb") as stream:
                for line in stream:
                    yield {"_op_type": "create", **orjson.loads(line)}

        begin, first, count = 0.0, 0, 0
        for _ok, _answer in streaming_bulk(client, actions(), chunk_size=_LOADER_CHUNK):
            count += 1
            if count == _LOADER_CHUNK:
                begin, first = time.perf_counter(), count
        return (count - first) / (time.perf_counter() - begin)


def measure(count: int = 60_000, passes: int = 3) -> list[Measure]:
    """The rows of this measure."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder = fresh("distributed")
    kafka, elastic = KafkaServer(folder / "kafka"), ElasticServer(folder / "elastic")
    try:
        kafka.start()
        elastic.start()
    except Unavailable as why:
        return [Measure(WHAT, f"left out: {why}")]
    try:
        return _measured(folder, kafka, elastic, count, passes)
    finally:
        kafka.stop()
        elastic.stop()


def _measured(folder: Path, kafka: KafkaServer, elastic: ElasticServer, count: int, passes: int) -> list[Measure]:
    raw = [line.encode() for line in lines.lines(count)]
    kafka.create_topic("one", 1)
    kafka.create_topic("two", 2)
    kafka.send("one", raw, partition=0)
    kafka.send("two", raw[::2], partition=0)
    kafka.send("two", raw[1::2], partition=1)
    spawn(settings(folder / "warm", kafka.bootstrap, elastic.url, "one", "benchwarm"), count)  # compiles the servers' hot paths
    stored, indices = documents(elastic.url, "benchwarm", folder / "documents.ndjson")
    workers, loaders = [], []
    for number in range(passes):
        loaders.append(bare_loader(elastic.url, folder / "documents.ndjson", indices))
        workers.append(spawn(settings(folder / f"one{number}", kafka.bootstrap, elastic.url, "one", f"benchone{number}"), count))
    bare, alone = median(loaders), sorted(workers, key=rate)[passes // 2]
    both = spawn(settings(folder / "two", kafka.bootstrap, elastic.url, "two", "benchtwo"), count, 2)
    ratio = median(rate(worker) / loader for worker, loader in zip(workers, loaders, strict=True))
    more = rate(both) / rate(alone)
    spare = (os.cpu_count() or 1) > 4
    return [
        Measure(
            f"{WHAT}, one worker, {count:,} lines, {stored:,} documents: against a bare bulk loader",
            f"{ratio:.2f} ({rate(alone):,.0f}/s, loader {bare:,.0f}/s)",
            "≥ 0.8",
            ratio >= 0.8,
        ),
        Measure(
            f"{WHAT}: two workers on two partitions against one",
            f"{more:.2f} ({rate(both):,.0f}/s)" + ("" if spare else f"; servers, workers and all else share {os.cpu_count()} cores"),
            "≥ 1.6 where cores are left",
            more >= 1.6 if spare or more >= 1.6 else None,
        ),
        Measure(f"{WHAT}: CPU seconds of a worker for a million lines", f"{median(map(cpu_per_million, workers)):.0f}"),
        Measure("rsyslog, FortiGate traffic lines from a file to Elasticsearch: CPU seconds for a million lines", _rsyslog(folder, elastic.url, count)),
    ]


def _rsyslog(folder: Path, elastic: str, count: int) -> str:
    why = rsyslog.why_not()
    if why:
        return f"left out: {why}"
    try:
        return f"{rsyslog.cpu_per_million(folder / 'rsyslog', elastic, count):.0f}"
    except RuntimeError as error:
        return f"left out: {str(error)[:200]}"


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=60_000)
    options.add_argument("--passes", type=int, default=3)
    options.add_argument("--worker", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.worker:
        sys.stdout.write(json.dumps(work(Settings.model_validate_json(chosen.worker), chosen.lines)) + "\n")
        return
    for row in show(measure(chosen.lines, chosen.passes)):
        sys.stdout.write(row + "\n")


if __name__ == "__main__":
    main()
