"""Correlation in a running `soc run`: by events that come in, and by the silence after them."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

from soc.clock import SystemClock, from_iso
from tests.application.test_correlate import DETECTION, MANY, QUIET, SECOND, START, line
from tests.e2e.program import Home

LATENESS_S = 0.5
CONFIG = f"""
[sources.fw]
type = "syslog"
udp = "127.0.0.1:0"
[pipeline]
lateness_s = {LATENESS_S}
heartbeat_s = 0.5
batch_wait_s = 0.1
[rules]
shipped = false
directories = ["{{rules}}"]
"""


def test_what_comes_in_and_what_stops_coming_is_alerted(tmp_path: Path) -> None:
    """Three intrusions make an alert, which says that they were late only if they were; then the sensor falls silent, which heartbeats let time tell."""
    rules = tmp_path / "rules"
    rules.mkdir()
    for name, text in (("seen", DETECTION), ("many", MANY), ("quiet", QUIET.replace("30s", "3s"))):
        (rules / f"{name}.yml").write_text(text, encoding="utf-8")
    with Home(tmp_path / "home", CONFIG.format(rules=rules)) as home:
        run = home.run()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            now = (SystemClock().now_us() - START) / SECOND
            port = run.port("udp")
            for number in range(3):
                sender.sendto(line(now + number / 1000, "198.51.100.7").encode(), ("127.0.0.1", port))
        found = home.await_items("alerts", "list", "--each", least=2)
        assert {item["rule"]["title"] for item in found} == {"Many intrusions from one address", "The sensor fell silent"}
        many = next(item for item in found if item["rule"]["title"].startswith("Many"))
        assert many["events"] == 3
        assert run.end(signal.SIGTERM) == 0
        explained = json.loads(home.soc("alerts", "why", many["id"], "--json").stdout)
        documents = explained["documents"]
        assert len(documents) == 3
        after = max(from_iso(one["soc"]["received_at"]) - from_iso(one["@timestamp"]) for one in documents)
        assert after >= LATENESS_S * SECOND or not many["late"], "a busy machine may bring them late, and then it is said"
