"""Stored events are put right while `soc run` receives: nothing waits, nothing is lost, and either may be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.program import Home, connected
from tests.e2e.traffic import session_now
from tests.servers.process import WITHIN_S, wait_until

CONFIG = """
[sources.fw]
type = "syslog"
tcp = "127.0.0.1:0"
product = "fortinet_fortigate"
[pipeline]
batch_wait_s = 0.1
[rules]
shipped = false
"""
AGENCIES = "id,name,parent,level\nso-a,Sở A,,department\nso-b,Sở B,,department\n"
POINT = "id,name,agency,observers\np1,P1,{agency},FGT-A\n"


class Stream:
    """Lines that come all the time; `sent` says how many."""

    def __init__(self) -> None:
        self.sent = 0

    @contextmanager
    def to(self, port: int) -> Iterator[None]:
        """Send to a port as long as the block runs; once it is left, all of it was taken in."""
        done = threading.Event()

        def send() -> None:
            with connected(port) as sender:
                while not done.is_set():
                    sender.sendall(b"".join(session_now(self.sent + at) for at in range(50)))
                    self.sent += 50
                    done.wait(0.1)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _total(home: Home, *query: str) -> int:
    return int(json.loads(home.soc("events", "search", *query, "--since", "1d", "--limit", "1", "--json").stdout)["total"])


def _stored(home: Home) -> int:
    return sum(row["stored"] for row in home.items("store", "ledger"))


def test_classes_and_agencies_are_put_right_while_lines_come_in(tmp_path: Path) -> None:
    """No repair is refused or stops the stream; after an import and `soc enrich` no event is of the former agency, also of those that came meanwhile."""
    stream = Stream()
    with Home(tmp_path / "home", CONFIG) as home:
        for kind, text in (("agencies", AGENCIES), ("points", POINT.format(agency="so-a"))):
            (tmp_path / f"{kind}.csv").write_text(text, encoding="utf-8")
            assert home.soc(kind, "import", str(tmp_path / f"{kind}.csv"), "--yes").returncode == 0
        run = home.run()
        port = run.port("tcp")
        run.wait_for("alerts list")
        with stream.to(port):
            wait_until(lambda: _stored(home) > 200, what="lines are stored")
            plan = json.loads(
                home.soc("reclassify", "source.ip:10.1.0.0/16", "--level", "low", "--category", "policy", "--why", "quét nội bộ", "--dry-run", "--json").stdout
            )
            assert plan["counts"]["changed"] > 200
            done = home.soc("reclassify", "source.ip:10.1.0.0/16", "--level", "low", "--category", "policy", "--why", "quét nội bộ", "--yes", "--json")
            assert done.returncode == 0, done.stderr
            changed = json.loads(done.stdout)["counts"]["changed"]
            assert changed >= plan["counts"]["changed"]
            (tmp_path / "points.csv").write_text(POINT.format(agency="so-b"), encoding="utf-8")
            assert home.soc("points", "import", str(tmp_path / "points.csv"), "--yes").returncode == 0
            done = home.soc("enrich", "--why", "điểm mạng của Sở B", "--yes", "--json")
            assert done.returncode == 0, done.stderr
            assert "soc enrich" not in done.stderr
            assert set(json.loads(done.stdout)["agencies"]) == {"so-a→so-b"}
            before = _total(home)
            wait_until(lambda: _total(home) > before + 100, what="lines go on to be stored")
        wait_until(lambda: _stored(home) == stream.sent, what="all lines are stored")
        assert run.end(signal.SIGTERM) == 0
        assert (_total(home, "agency:so-a"), _total(home, "agency:so-b")) == (0, stream.sent)
        assert _total(home, "level:low") == changed
        assert home.soc("store", "ledger").returncode == 0
        again = json.loads(home.soc("enrich", "--why", "điểm mạng của Sở B", "--dry-run", "--json").stdout)
        assert (again["seen"], again["changed"]) == (stream.sent, 0)
        assert [fact["kind"] for fact in home.items("audit", "log", "reclassification")] == ["ReclassificationBegun", "EventsReclassified"]


def test_repair_and_run_are_killed_while_both_work(tmp_path: Path) -> None:
    """kill -9 of the repair within a transaction, of the run beside the next repair, Ctrl-C of a third: each event is stored once and changed once."""
    stream = Stream()
    words = ("reclassify", "--level", "low", "--category", "policy", "--why", "sai mức", "--yes", "--json")
    with Home(tmp_path / "home", CONFIG) as home:

        def start(crash: str = "") -> subprocess.Popen[str]:
            env = {**home.env, **({"SOC_TEST_CRASH": crash} if crash else {})}
            command = [sys.executable, "-m", "soc", *words, *home.words]
            return subprocess.Popen(command, cwd=home.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        run = home.run()
        port = run.port("tcp")
        run.wait_for("alerts list")
        with stream.to(port):
            wait_until(lambda: _stored(home) > 500, what="lines are stored")
            with start("revise.written:3") as repair:
                repair.communicate(timeout=WITHIN_S)
            assert repair.returncode == -signal.SIGKILL
            assert 0 < _total(home, "level:low") < stream.sent
        with start() as repair:
            os.kill(run.process.pid, signal.SIGKILL)
            repair.communicate(timeout=WITHIN_S)
            assert repair.returncode == 0
        run.process.wait(WITHIN_S)
        run = home.run()
        run.wait_for("alerts list")
        wait_until(lambda: _stored(home) == stream.sent, what="all lines are stored")
        with start("revise.committed:1000000") as repair:
            repair.send_signal(signal.SIGINT)
            repair.communicate(timeout=WITHIN_S)
        assert home.soc(*words).returncode == 0
        assert run.end(signal.SIGTERM) == 0
        assert (_total(home), _total(home, "level:low")) == (stream.sent, stream.sent)
        facets = json.loads(home.soc("events", "stats", "--since", "1d", "--facet", "soc.threat.previous", "--json").stdout)["facets"]["soc.threat.previous"]
        assert facets == [{"value": "none/", "count": stream.sent}]
        assert home.soc("store", "ledger").returncode == 0
        threats = json.loads(home.soc("events", "stats", "--since", "1d", "--facet", "threat.level", "--json").stdout)
        assert threats["total"] == stream.sent
