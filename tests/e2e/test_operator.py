"""`soc run` as an operator meets it: without configuration, with a device whose clock is off, with a source that falls silent."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from soc.application.app import Actor
from soc.bootstrap import open_app
from soc.clock import SystemClock, to_datetime
from soc.config import Settings
from tests.e2e.program import Home, Run, send
from tests.servers.process import wait_until

CLOCK_OFF_S = 7 * 3600


def _line(number: int, at: datetime, *, zone: str = ' tz="+0000"', more: str = "") -> bytes:
    return (
        f'<189>date={at:%Y-%m-%d} time={at:%H:%M:%S} devname="FGT-A" devid="FG1"{zone} logid="0000000013" type="traffic" subtype="forward" level="notice" '
        f'vd="root" srcip=10.1.1.{number % 250} dstip=203.0.113.6 sessionid={number} action="accept"{more}'
    ).encode()


def _now() -> datetime:
    return to_datetime(SystemClock().now_us())


def _tcp(port: int, lines: list[bytes]) -> None:
    send(port, b"".join(line + b"\n" for line in lines))


def _udp(port: int, lines: list[bytes]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for line in lines:
            sender.sendto(line, ("127.0.0.1", port))


def _balanced(home: Home, stored: int) -> None:
    ledger = home.soc("store", "ledger", "--json")
    assert ledger.returncode == 0, ledger.stdout + ledger.stderr
    rows = json.loads(ledger.stdout)["items"]
    assert sum(row["stored"] for row in rows) == stored
    assert all(row["difference"] == 0 for row in rows)


def _taken(port: int) -> bool:
    """Whether somebody else has the port (a closed connection of before does not count)."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return True
    return False


def _receive_twice(home: Home, udp: Callable[[Run], int], tcp: Callable[[Run], int], *, at: str) -> None:
    """Two runs, one after the other: lines by both protocols, Ctrl-C, and a balanced ledger each."""
    for round_ in (0, 1):
        run = home.run()
        udp_port, tcp_port = udp(run), tcp(run)
        run.wait_for("soc events tail")
        _udp(udp_port, [_line(round_ * 10, _now())])
        _tcp(tcp_port, [_line(round_ * 10 + number, _now()) for number in (1, 2, 3)])
        home.await_items("events", "search", "source.ip:10.1.1.0/24", least=4 * (round_ + 1))
        assert run.end(signal.SIGINT) == 0, run.said
        _balanced(home, 4 * (round_ + 1))
    assert (home.folder / at / "control.db").is_file()


@pytest.mark.xdist_group("port-5514")
def test_run_without_configuration_in_an_empty_home(tmp_path: Path) -> None:
    """`soc run` alone: creates the store, takes lines by UDP and TCP on 5514, ends with 0 at Ctrl-C, and goes on at the second start."""
    if _taken(5514):
        pytest.skip("port 5514 is taken on this machine")
    with Home(tmp_path / "home") as home:
        _receive_twice(home, lambda run: run.port("udp"), lambda run: run.port("tcp"), at=".local/share/soc/store")
        assert not (home.folder / "soc.toml").exists()


def test_run_with_free_ports_in_an_empty_home(tmp_path: Path) -> None:
    """The same with ports of its own: what the configuration does not name is where it is without one."""
    config = '[sources.syslog]\ntype = "syslog"\nudp = "127.0.0.1:0"\ntcp = "127.0.0.1:0"\n'
    with Home(tmp_path / "home", config) as home:
        _receive_twice(home, lambda run: run.port("udp"), lambda run: run.port("tcp"), at=".local/share/soc/store")


def test_a_device_seven_hours_off_is_found_and_corrected(tmp_path: Path) -> None:
    """A device that writes UTC without a zone: proposed, applied by a person, right from then on, the device's own time kept."""
    config = '[pipeline]\nbatch_size = 1\nheartbeat_s = 0.5\n[sources.fw]\ntype = "syslog"\ntcp = "127.0.0.1:0"\nproduct = "fortinet_fortigate"\ntimezone = "Asia/Ho_Chi_Minh"\n'
    with Home(tmp_path / "home", config) as home:
        begun = _now()
        run = home.run()
        port = run.port("tcp")
        _tcp(port, [_line(number, _now(), zone="") for number in range(60)])
        run.wait_for("clock is off")
        proposals = [row["proposed_offset_s"] for row in home.items("sources", "status")]
        assert proposals == [CLOCK_OFF_S]
        wrong = home.await_items("events", "search", "*", least=60)
        assert all(timedelta(hours=6.9) < _delay(event) < timedelta(hours=7.1) for event in wrong)
        applied = home.soc("sources", "offset", "fw", str(CLOCK_OFF_S), "--why", "thiết bị để giờ UTC")
        assert applied.returncode == 0, applied.stderr
        assert run.end(signal.SIGINT) == 0

        run = home.run()
        port = run.port("tcp")
        _tcp(port, [_line(number, _now(), zone="") for number in range(100, 160)])
        home.await_items("events", "search", "*", "--limit", "500", least=120)
        right = [event for event in home.items("events", "search", "*", "--limit", "500") if event["soc"].get("clock_offset_s")]
        assert len(right) == 60
        for event in right:
            assert abs(_delay(event)) < timedelta(minutes=5)
            assert _time(event["@timestamp"]) - _time(event["soc"]["device_time"]) == timedelta(seconds=CLOCK_OFF_S)
            assert begun <= _time(event["soc"]["received_at"]) <= _now()
        [status] = home.items("sources", "status")
        assert (status["clock_offset_s"], status["proposed_offset_s"]) == (CLOCK_OFF_S, None)

        # The device is mended: with the correction it is now 7 hours ahead, and the right correction is none.
        _tcp(port, [_line(number, _now() + timedelta(hours=7), zone="") for number in range(200, 330)])
        run.wait_for("clock is off")
        assert [row["proposed_offset_s"] for row in home.items("sources", "status")] == [0]
        wait_until(lambda: sum(row["stored"] for row in home.items("store", "ledger")) == 250, what="all lines")
        assert run.end(signal.SIGINT) == 0
        _balanced(home, 250)
        times = _times(home)
        assert home.soc("replay", "--json").returncode == 0
        migrated = home.soc("store", "migrate", "--reparse", "--yes")
        assert migrated.returncode == 0, migrated.stderr
        assert _times(home) == times, "read anew from its line, an event keeps the correction that was in force"
        _balanced(home, 250)


def _times(home: Home) -> dict[str, str]:
    return {event["soc"]["id"]: event["@timestamp"] for event in home.items("events", "search", "*", "--limit", "500")}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _delay(event: dict[str, Any]) -> timedelta:
    """How much later than at its own time an event was received."""
    return _time(event["soc"]["received_at"]) - _time(event["@timestamp"])


def test_a_source_that_falls_silent_is_told_and_leaves_a_gap(tmp_path: Path) -> None:
    """No line for longer than the rhythm: an alert, and a gap fact that gets its end when the source speaks again."""
    config = '[pipeline]\nheartbeat_s = 0.5\n[sources.fw]\ntype = "syslog"\ntcp = "127.0.0.1:0"\nproduct = "fortinet_fortigate"\nrhythm_s = 2.0\n'
    with Home(tmp_path / "home", config) as home:
        run = home.run()
        port = run.port("tcp")
        _tcp(port, [_line(1, _now())])
        [event] = home.await_items("events", "search", "*")
        first = _time(event["soc"]["received_at"])

        def gap() -> dict[str, Any]:
            """The silence after the first line; one before it, while a busy machine sends it late, is another one."""
            return next((gap for gap in _gaps(home) if to_datetime(gap["from_us"]) == first), {})

        wait_until(lambda: bool(gap()), what="there is a gap")
        assert gap()["until_us"] == 0
        groups = home.await_items("alerts", "list")
        assert [group["rule"]["id"] for group in groups] == ["soc-source-silent"]
        status = home.soc("sources", "status", "--json")
        assert status.returncode == 1
        assert json.loads(status.stdout)["items"][0]["state"] == "silent"
        _tcp(port, [_line(2, _now())])
        wait_until(lambda: bool(gap()["until_us"]), what="the gap has an end")
        assert run.end(signal.SIGINT) == 0
        assert [_time(event["soc"]["received_at"]) for event in reversed(home.items("events", "search", "*"))] == [first, to_datetime(gap()["until_us"])]
        assert (gap()["source"], gap()["cause"], gap()["expected_s"]) == ("fw", "silent", 2.0)
        _balanced(home, 2)


def _gaps(home: Home) -> list[dict[str, Any]]:
    import msgspec

    settings = Settings.model_validate({"data_dir": str(home.folder / ".local" / "share" / "soc"), "read_only": True})
    with open_app(settings, Actor("test")) as app:
        return [msgspec.to_builtins(gap) for gap in app.store.gaps()]
