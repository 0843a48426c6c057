"""Metrics are served where the settings say and nowhere else."""

from __future__ import annotations

from contextlib import closing
from urllib.request import urlopen

import pytest

from soc.adapters.metrics import PrometheusMetrics
from soc.errors import ConfigError
from tests.servers.process import WITHIN_S


def _served(metrics: PrometheusMetrics) -> str:
    with urlopen(f"http://127.0.0.1:{metrics.port}/metrics", timeout=WITHIN_S) as answer:
        text: str = answer.read().decode()
        return text


def test_counters_and_gauges_are_served() -> None:
    """Names and labels as they were counted; a label's value may hold anything."""
    with closing(PrometheusMetrics("127.0.0.1:0")) as metrics:
        metrics.count("soc_records_received_total", 2, source='a"\n{b}')
        metrics.count("soc_records_received_total", source='a"\n{b}')
        metrics.gauge("soc_queue_records", 7)
        text = _served(metrics)
    assert 'soc_records_received_total{source="a\\"\\n{b}"} 3.0' in text
    assert "soc_queue_records 7.0" in text


def test_without_a_host_only_this_machine_is_listened_to() -> None:
    """`:9100` does not open the figures to the network."""
    with closing(PrometheusMetrics(":0")) as metrics:
        assert metrics._server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999999"])
def test_an_address_that_is_none_is_told(listen: str) -> None:
    """The setting is named."""
    with pytest.raises(ConfigError, match="metrics"):
        PrometheusMetrics(listen)


def test_a_taken_port_is_told() -> None:
    """The error names the address."""
    with closing(PrometheusMetrics("127.0.0.1:0")) as metrics, pytest.raises(ConfigError, match=str(metrics.port)):
        PrometheusMetrics(f"127.0.0.1:{metrics.port}")
