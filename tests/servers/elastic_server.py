"""A real Elasticsearch node: its start and its end."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

from tests.servers.containers import ELASTIC_IMAGE, Container, engine_has
from tests.servers.jars import elastic_jars, find_jdk
from tests.servers.process import Child, Process, Server, free_port


class ElasticServer(Server):
    """A private node at `url`, without security (put a TLS proxy with a login before it to test those)."""

    name = "elasticsearch"

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(folder)
        self._port, self._transport = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.port = self._port
        self._cluster = f"soc-test-{self._port}"
        self._settings = dict(settings or {})

    def _launch(self) -> Child:
        home, data = self.folder / "home", self.folder / "data"
        data.mkdir(exist_ok=True)
        settings = {
            "cluster.name": self._cluster,
            "http.port": str(self._port),
            "transport.port": str(self._transport),
            "network.host": "127.0.0.1",
            "discovery.type": "single-node",
            "path.data": str(data),
            "cluster.routing.allocation.disk.threshold_enabled": "false",
            # A disk that stalls must not make the only node give its mastership up, nor many tests beside each other reach a bound of shards.
            "cluster.publish.timeout": "10m",
            "cluster.max_shards_per_node": "20000",
            **self._settings,
        }
        if engine_has(ELASTIC_IMAGE):
            env = {**settings, "xpack.security.enabled": "false", "ES_JAVA_OPTS": "-Xms512m -Xmx512m", "bootstrap.memory_lock": "false"}
            return Container(ELASTIC_IMAGE, None, folder=self.folder, log=self.log, env=env)
        jars = elastic_jars()
        if not home.exists():
            (home / "config").mkdir(parents=True)
            (home / "plugins").mkdir()
            shutil.copytree(jars / "modules", home / "modules")
        settings |= {"path.home": str(home), "path.logs": str(self.folder / "logs"), "transport.type": "netty4", "http.type": "netty4"}
        java = [str(find_jdk() / "bin" / "java"), "-Xms512m", "-Xmx512m", "--enable-native-access=ALL-UNNAMED", "--add-modules=jdk.incubator.vector"]
        # The data must not be on the class path: the jar-hell check would walk it.
        words = [f"{name}={value}" for name, value in settings.items()]
        return Process([*java, "-cp", f"{jars / 'launcher'}:{jars / 'core'}/*", "Launcher", *words], log=self.log)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_cluster/health", timeout=10) as answer:
                health = json.load(answer)
        except (OSError, HTTPException, ValueError):  # URLError is an OSError
            return False
        return bool(health["cluster_name"] == self._cluster and health["status"] in {"green", "yellow"})
