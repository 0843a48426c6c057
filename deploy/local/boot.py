"""Runs a real Kafka broker and a real Elasticsearch node on this machine, without containers, until Ctrl-C.

For trials, from a checkout: `.venv/bin/python deploy/local/boot.py [kafka] [elasticsearch]` (default: both). The jars come by
Maven, once; the data live in a temporary folder and are gone at the end. Prints the settings to use.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers.elastic_server import ElasticServer
from tests.servers.jars import Unavailable
from tests.servers.kafka_server import KafkaServer
from tests.servers.process import ServerFailed

TOPICS = ("firewall", "mail", "endpoint", "web", "dns", "auth", "other")


def main(wanted: list[str]) -> int:
    """Start what is wanted, print how to reach it, wait for the end; the exit code."""
    names = wanted or ["kafka", "elasticsearch"]
    if unknown := set(names) - {"kafka", "elasticsearch"}:
        sys.stderr.write(f"unknown: {', '.join(sorted(unknown))}; known: kafka, elasticsearch\n")
        return 2
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soc-local-")))
        try:
            lines = [line for name in names for line in _start(name, folder, stack)]
        except (Unavailable, ServerFailed) as error:
            sys.stderr.write(f"{error}\n")
            return 4
        sys.stdout.write("# Put this into the configuration file; Ctrl-C here ends the servers and removes their data.\n" + "\n".join(lines) + "\n")
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            signal.pause()
        except KeyboardInterrupt:
            return 0
    return 0


def _start(name: str, folder: Path, stack: ExitStack) -> list[str]:
    if name == "kafka":
        broker = KafkaServer(folder / name)
        stack.callback(broker.stop)
        broker.start()
        for topic in TOPICS:
            broker.create_topic(f"soc.raw.{topic}", partitions=4)
        return ["[kafka]", f'bootstrap_servers = ["{broker.bootstrap}"]', ""]
    node = ElasticServer(folder / name)
    stack.callback(node.stop)
    node.start()
    return ["[store]", 'kind = "elasticsearch"', f'hosts = ["{node.url}"]', ""]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
