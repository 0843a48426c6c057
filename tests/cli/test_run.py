"""`soc run` as a process: what it says, what it takes in, how it ends."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from soc.cli.run import TRY
from tests.servers.process import free_port

ROOT = Path(__file__).parents[2]
LINE = 'date=2026-11-20 time=08:00:0{n} devname="FGT-A" devid="FG1" tz="+0700" logid="0000000013" type="traffic" subtype="forward" level="notice" vd="root" srcip=10.1.1.{n} dstip=203.0.113.6 sessionid={n} action="accept"'


class Running:
    """A running `soc run`, whose stderr is read line by line."""

    def __init__(self, folder: Path, config: str) -> None:
        file = folder / "soc.toml"
        file.write_text(config, encoding="utf-8")
        file.chmod(0o600)
        self.words = ["--config", str(file), "--store", str(folder / "store")]
        env = {key: value for key, value in os.environ.items() if not key.startswith("SOC_")} | {"HOME": str(folder), "LANG": "C.UTF-8"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "soc", "run", *self.words], cwd=ROOT, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.env = env
        self.said: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line.rstrip("\n"))

    def wait_for(self, pattern: str, seconds: float = 150) -> re.Match[str]:
        """The match of the first line that fits."""
        while True:
            line = self._lines.get(timeout=seconds)
            self.said.append(line)
            found = re.search(pattern, line)
            if found:
                return found

    def soc(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command on the same store."""
        return subprocess.run([sys.executable, "-m", "soc", *words, *self.words], cwd=ROOT, env=self.env, capture_output=True, text=True, check=False)

    def wait_for_events(self, count: int, query: str = "") -> None:
        """Return when so many events are found, no more and no fewer."""
        deadline, total = time.monotonic() + 150, -1
        while total != count:
            assert time.monotonic() < deadline, f"{total} events instead of {count}"
            total = json.loads(self.soc("events", "search", query, "--json").stdout or "{}").get("total", 0)

    def end(self, *signals: int) -> int:
        """Send the signals and wait for the end; the exit code."""
        for number in signals:
            self.process.send_signal(number)
        return self.process.wait(150)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """`soc run` with a syslog receiver on free ports."""
    found = Running(tmp_path, '[sources.fw]\ntype = "syslog"\nudp = "127.0.0.1:0"\ntcp = "127.0.0.1:0"\nproduct = "fortinet_fortigate"\n')
    yield found
    if found.process.poll() is None:
        found.process.kill()
    found.process.wait(150)
    for stream in (found.process.stdout, found.process.stderr):
        if stream is not None:
            stream.close()


def test_run_receives_stores_and_ends_cleanly(running: Running) -> None:
    """It says where it listens and what next; what comes by UDP and TCP is stored; Ctrl-C once ends with 0 and a balanced ledger."""
    udp = int(running.wait_for(r"udp 127\.0\.0\.1:(\d+)").group(1))
    tcp = int(running.wait_for(r"tcp 127\.0\.0\.1:(\d+)").group(1))
    running.wait_for("soc events tail")
    assert any("store: " in line for line in running.said)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(f"<189>{LINE.format(n=1)}".encode(), ("127.0.0.1", udp))
    with socket.create_connection(("127.0.0.1", tcp), 150) as sender:
        sender.sendall("".join(f"<189>{LINE.format(n=n)}\n" for n in (2, 3)).encode())
    running.wait_for_events(3, "source.ip:10.1.1.0/24")
    assert running.end(signal.SIGINT) == 0
    ledger = running.soc("store", "ledger", "--json")
    assert ledger.returncode == 0
    assert sum(row["stored"] for row in json.loads(ledger.stdout)["items"]) == 3


def test_a_second_run_is_refused(running: Running) -> None:
    """Exit 5, naming the process that holds the store."""
    running.wait_for("soc events tail")
    second = running.soc("run")
    assert second.returncode == 5
    assert str(running.process.pid) in second.stderr
    assert running.end(signal.SIGTERM) == 0


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    """The address, the source, and what to do; exit 5 or 3, never a traceback."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        file = tmp_path / "soc.toml"
        file.write_text(f'[sources.fw]\ntype = "syslog"\ntcp = "127.0.0.1:{port}"\n', encoding="utf-8")
        file.chmod(0o600)
        done = subprocess.run(
            [sys.executable, "-m", "soc", "run", "--config", str(file), "--store", str(tmp_path / "s")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode in (3, 5)
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr


def test_metrics_are_served_by_the_run_alone(tmp_path: Path) -> None:
    """Other commands with the same settings work beside it, as the port of metrics is its own."""
    port = free_port()
    running = Running(tmp_path, f'[sources.fw]\ntype = "syslog"\nudp = "127.0.0.1:0"\n[metrics]\nlisten = "127.0.0.1:{port}"\n')
    try:
        running.wait_for(r"udp 127\.0\.0\.1:(\d+)")
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=150) as answer:
            assert answer.status == 200
        done = running.soc("alerts", "list", "--json")
        assert (done.returncode, json.loads(done.stdout)["total"]) == (0, 0), done.stderr
        assert running.end(signal.SIGINT) == 0
    finally:
        running.process.kill()
        running.process.communicate(timeout=150)


def test_a_source_that_a_run_receives_is_no_other_program(tmp_path: Path) -> None:
    """`sources test` and `doctor` beside it name the run, what to look at, and that a test of the port needs its end."""
    port = free_port()
    running = Running(tmp_path, f'[sources.fw]\ntype = "syslog"\nudp = "127.0.0.1:{port}"\n')
    try:
        running.wait_for(rf"udp 127\.0\.0\.1:{port}")
        tested = running.soc("sources", "test", "fw")
        assert (tested.returncode, f"is taken by a run of soc, process {running.process.pid}" in tested.stdout) == (1, True), tested.stdout
        assert "soc sources status" in tested.stdout
        found = {one["name"]: one for one in json.loads(running.soc("doctor", "--json").stdout)["items"]}
        assert (found["source fw"]["state"], str(running.process.pid) in found["source fw"]["text"]) == ("ok", True)
        assert running.end(signal.SIGINT) == 0
    finally:
        running.process.kill()
        running.process.communicate(timeout=150)


def test_what_a_run_says_to_try_works_beside_it(running: Running, tmp_path: Path) -> None:
    """Nothing of it needs the store, which the run holds; a file that is sent line by line arrives whole."""
    udp = int(running.wait_for(r"udp 127\.0\.0\.1:(\d+)").group(1))
    tcp = int(running.wait_for(r"tcp 127\.0\.0\.1:(\d+)").group(1))
    assert not any("soc " in line for line in TRY)
    log = tmp_path / "mail.log"
    log.write_text("".join(f"Nov 20 08:00:0{n} mx postfix/smtpd[1]: connect from unknown[192.0.2.{n}]\n" for n in range(3)), encoding="utf-8")
    wanted = 3
    for line, port in zip(TRY, (udp, tcp), strict=True):
        if shutil.which(line.split()[0]):
            subprocess.run(line.format(host="127.0.0.1", port=port).replace("/var/log/mail.log", str(log)), shell=True, check=True)
            wanted += line.startswith("logger")
    running.wait_for_events(wanted)
