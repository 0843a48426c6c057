"""Metrics for Prometheus, served over HTTP when the settings say where."""

from __future__ import annotations

from typing import Any

from soc.errors import ConfigError, Phrase


class NoMetrics:
    """Metrics that nobody asked for."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Do nothing."""

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Do nothing."""


class PrometheusMetrics:
    """Counters and gauges at `http://<listen>/metrics`.

    Raises: ConfigError when the address cannot be listened on.
    """

    def __init__(self, listen: str) -> None:
        from prometheus_client import CollectorRegistry, start_http_server

        host, _, port = listen.rpartition(":")
        self._registry = CollectorRegistry()
        self._known: dict[str, Any] = {}
        try:
            self._server, self._thread = start_http_server(int(port), addr=host or "127.0.0.1", registry=self._registry)
        except (OSError, ValueError, OverflowError) as error:
            raise ConfigError(
                Phrase("metrics cannot be served at {listen!r}: {error}", listen=listen, error=error), key="metrics.listen", hint="host:port of a free port"
            ) from error
        self.port: int = self._server.server_port

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter; its name is made at first use."""
        if amount:
            self._metric(name, "Counter", labels).inc(amount)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._metric(name, "Gauge", labels).set(value)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _metric(self, name: str, kind: str, labels: dict[str, str]) -> Any:
        import prometheus_client

        metric = self._known.get(name)
        if metric is None:
            words = name.replace("_", " ")
            metric = self._known[name] = getattr(prometheus_client, kind)(name, words, sorted(labels), registry=self._registry)
        return metric.labels(**labels) if labels else metric
