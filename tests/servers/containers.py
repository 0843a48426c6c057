"""The same servers from the official images, where a container engine answers.

The containers share the host's network and the server's folder, so ports, properties and data are those of the jars.
"""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

KAFKA_IMAGE = "apache/kafka:4.1.0"
ELASTIC_IMAGE = "docker.elastic.co/elasticsearch/elasticsearch:9.2.0"


@cache
def engine_has(image: str) -> bool:
    """Whether an engine answers and the image is there or can be pulled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import docker
        from docker.errors import DockerException

        try:
            client = docker.from_env(timeout=60)
            client.ping()
        except (DockerException, OSError):  # what the client lets through when the engine does not answer in time
            return False
        try:
            client.images.get(image)
        except DockerException:
            try:
                client.api.timeout = 300
                client.images.pull(image)
            except (DockerException, OSError):
                return False
        finally:
            client.close()
    return True


class Container:
    """A server in a container of its own."""

    def __init__(self, image: str, command: Sequence[str] | None, *, folder: Path, log: Path, env: Mapping[str, str], entrypoint: str | None = None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from testcontainers.core.container import DockerContainer

            extra: dict[str, Any] = {"network_mode": "host", "user": f"{os.getuid()}:0"}
            if entrypoint is not None:
                extra["entrypoint"] = entrypoint
            self._made = DockerContainer(image).with_volume_mapping(str(folder), str(folder), "rw").with_kwargs(**extra)
            if command is not None:
                self._made = self._made.with_command(list(command))
            for name, value in env.items():
                self._made = self._made.with_env(name, value)
            self._made.start()
        self._log = log
        self._container: Any = self._made.get_wrapped_container()

    def _keep_log(self) -> None:
        self._log.write_bytes(self._container.logs())

    def alive(self) -> bool:
        self._keep_log()
        self._container.reload()
        return str(self._container.status) in {"created", "running", "paused"}

    def signal(self, number: int) -> None:
        if number == signal.SIGSTOP:
            self._container.pause()
        elif number == signal.SIGCONT:
            self._container.unpause()
        else:
            self._container.kill(signal=number)

    def kill(self) -> None:
        self._keep_log()
        self._made.stop(force=True)

    def stop(self) -> None:
        self._container.stop(timeout=10)
        self.kill()
