"""Bad input and broken surroundings at the command line: an error that says what, why and what to do, the right exit code, nothing lost."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from soc.application.demo.traffic import firewall_lines
from tests.e2e.traffic import BEGIN
from tests.servers.kafka_server import Broker
from tests.servers.process import WITHIN_S, wait_until

ROOT = Path(__file__).parents[2]
Soc = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def soc(tmp_path: Path) -> Soc:
    """Runs a command with an empty home and a store of its own."""

    def run(*words: str, most_file_bytes: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path / "home"),
            "LANG": "C.UTF-8",
            "SOC_LANG": "en",
            "SOC_STORE__PATH": str(tmp_path / "store"),
            "SOC_DATA_DIR": str(tmp_path / "data"),
            **variables,
        }

        def limit() -> None:
            if most_file_bytes:
                resource.setrlimit(resource.RLIMIT_FSIZE, (most_file_bytes, most_file_bytes))

        return subprocess.run(
            [sys.executable, "-m", "soc", *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False, preexec_fn=limit
        )

    return run


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """A file of 600 firewall lines."""
    file = tmp_path / "fw.log"
    file.write_text("".join(line + "\n" for _, line in zip(range(600), firewall_lines(5, BEGIN), strict=False)), encoding="utf-8")
    return file


def _ledger(soc: Soc) -> list[dict[str, object]]:
    answer = soc("store", "ledger", "--json")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    items: list[dict[str, object]] = json.loads(answer.stdout)["items"]
    return items


def _stored(soc: Soc) -> int:
    """How many lines are stored by now; 0 where nobody can say."""
    return sum(row["stored"] for row in json.loads(soc("store", "ledger", "--json").stdout or '{"items": []}')["items"])


def test_a_file_full_of_hostile_lines_is_accounted_for_to_the_last(soc: Soc, tmp_path: Path) -> None:
    """Invalid UTF-8, NUL, terminal codes, broken CEF escapes, lines of 1 MB and more, empty lines, 1970 and 2099: each ends somewhere that can be named."""
    hostile = [
        b"\xff\xfe\x80 not text",
        b"nul \x00 inside",
        b"\x1b]2;owned\x07\x1b[2J terminal codes",
        b"CEF:0|V|P|1|2|na\\|me|9|src=10.0.0.1 msg=ends in a backslash\\",
        b"CEF:0|broken",
        b"CEF:0|V|P|1|2|n|9|cs1=\\=\\\\=\\q act==",
        b"",
        b"   ",
        b"x" * 1_000_000,
        b"y" * 1_100_000,
        b'date=1970-01-01 time=00:00:00 devname="F" devid="F" logid="0000000013" type="traffic" subtype="forward" srcip=10.0.0.1',
        b'date=2099-12-31 time=23:59:59 devname="F" devid="F" logid="0000000013" type="traffic" subtype="forward" srcip=10.0.0.1',
        b'date=2026-11-21 time=25:61:61 devname="F" logid="0000000013" type="traffic" srcip=999.1.1.1 dstip=authid= srcport=99999999',
        b"<999>Nov 99 99:99:99 host postfix/smtpd[x]: \xc3\x28",
        b"\xe2\x80\xae right to left",
    ]
    file = tmp_path / "hostile.log"
    file.write_bytes(b"\n".join(hostile) + b"\n")
    done = soc("ingest", "file", str(file), "--source", "hostile")
    assert done.returncode in {0, 1}, done.stderr
    [row] = _ledger(soc)
    assert row["received"] == len(hostile)
    assert row["difference"] == 0
    assert row["dropped"] == {"empty": 2}
    assert row["dead_lettered"] == 1
    assert row["stored"] == len(hostile) - 3
    letters = json.loads(soc("deadletters", "list", "--json").stdout)
    assert [item["reason"] for item in letters["items"]] == ["oversized"]
    shown = soc("events", "search", "*", "--scope", "real")
    assert "\x1b" not in shown.stdout


def test_clock_steps_lose_nothing(soc: Soc, tmp_path: Path) -> None:
    """Device clocks that jump back and forth: every line is an event."""
    file = tmp_path / "steps.log"
    hours = [8, 9, 3, 23, 8, 7, 0, 12]
    file.write_text(
        "".join(
            f'date=2026-11-20 time={hour:02d}:00:00 devname="F" devid="F" logid="0000000013" type="traffic" subtype="forward" srcip=10.0.0.1 sessionid={hour}\n'
            for hour in hours
        ),
        encoding="utf-8",
    )
    assert soc("ingest", "file", str(file), "--source", "fw").returncode == 0
    [row] = _ledger(soc)
    assert (row["stored"], row["difference"]) == (len(hours), 0)


def test_a_full_disk_is_told_and_the_rest_comes_later(soc: Soc, lines: Path) -> None:
    """No room: exit code 7, what to do; with room again the same command goes on and nothing is lost or doubled."""
    failed = soc("ingest", "file", str(lines), "--source", "fw", most_file_bytes=60_000)
    assert failed.returncode == 7, failed.stderr
    assert "no space" in failed.stderr
    assert "hint:" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert soc("ingest", "file", str(lines), "--source", "fw").returncode == 0
    [row] = _ledger(soc)
    assert (row["received"], row["stored"], row["difference"]) == (600, 600, 0)


def test_a_read_only_configuration_writes_nothing(soc: Soc, lines: Path) -> None:
    """read_only: reading works, a run is refused with exit code 5."""
    assert soc("ingest", "file", str(lines), "--source", "fw").returncode == 0
    assert soc("events", "search", "*", SOC_READ_ONLY="true").returncode == 0
    refused = soc("ingest", "file", str(lines), "--source", "fw", SOC_READ_ONLY="true")
    assert refused.returncode == 5, refused.stderr
    assert "read" in refused.stderr


def test_a_store_of_a_newer_version_is_left_alone(soc: Soc, lines: Path, tmp_path: Path) -> None:
    """A newer store: exit code 7, the versions named, not a byte changed."""
    assert soc("ingest", "file", str(lines), "--source", "fw").returncode == 0
    control = tmp_path / "store" / "control.db"
    with sqlite3.connect(control) as database:
        database.execute("PRAGMA user_version = 999")
    database.close()
    before = control.read_bytes()
    for words in (("ingest", "file", str(lines)), ("events", "search", "*")):
        refused = soc(*words)
        assert refused.returncode == 7, refused.stderr
        assert "newer" in refused.stderr
        assert "hint:" in refused.stderr
    assert control.read_bytes() == before


def test_two_pipelines_on_one_store(soc: Soc, lines: Path, tmp_path: Path) -> None:
    """The second pipeline is refused with exit code 5 and names the process that has the store; readers are welcome."""
    environment = {
        **os.environ,
        "HOME": str(tmp_path / "home"),
        "SOC_LANG": "en",
        "SOC_STORE__PATH": str(tmp_path / "store"),
        "SOC_DATA_DIR": str(tmp_path / "data"),
    }
    config = tmp_path / "soc.toml"
    config.write_text(f'[sources.fw]\ntype = "file"\npaths = ["{lines}"]\n', encoding="utf-8")
    config.chmod(0o600)
    first = subprocess.Popen(
        [sys.executable, "-m", "soc", "--config", str(config), "run"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _stored(soc) == 600, what="the first pipeline has stored the lines")
        refused = soc("ingest", "file", str(lines), "--source", "other")
        assert refused.returncode == 5, refused.stderr
        assert str(first.pid) in refused.stderr
        assert soc("events", "search", "*").returncode == 0
    finally:
        first.terminate()
        first.wait(WITHIN_S)


def test_one_bad_rule_among_a_thousand(soc: Soc, lines: Path, tmp_path: Path) -> None:
    """The bad one is named with file, line and reason; all others work."""
    rules = tmp_path / "rules"
    rules.mkdir()
    for number in range(1000):
        (rules / f"r{number:04d}.yml").write_text(
            f"title: Rule {number}\nid: 00000000-0000-4000-8000-{number:012d}\nstatus: test\nlevel: low\nlogsource: {{category: firewall}}\n"
            f"detection:\n    selection:\n        source.port: {70_000 + number if number else 1}\n    condition: selection\n",
            encoding="utf-8",
        )
    bad = rules / "r0500.yml"
    bad.write_text(bad.read_text(encoding="utf-8").replace("source.port:", "source.port|nonsense:"), encoding="utf-8")
    done = soc("ingest", "file", str(lines), "--source", "fw", SOC_RULES__DIRECTORIES=json.dumps([str(rules)]))
    assert done.returncode in {0, 1}, done.stderr
    assert f"{bad}:" in done.stderr
    assert "nonsense" in done.stderr
    [row] = _ledger(soc)
    assert row["stored"] == 600


def test_a_missing_topic_is_named_with_the_command_that_makes_it(soc: Soc, kafka_broker: Broker, tmp_path: Path) -> None:
    """A topic that does not exist: exit code 3 at once, not silence for ever."""
    config = tmp_path / "soc.toml"
    config.write_text(
        f'roles = ["ingest"]\n[kafka]\nbootstrap_servers = ["{kafka_broker.bootstrap}"]\nbootstrap_timeout_s = 120\ngroup = "missing"\n[sources.fw]\ntype = "kafka"\ntopics = ["no.such.topic"]\n',
        encoding="utf-8",
    )
    config.chmod(0o600)
    refused = soc("--config", str(config), "run", "--once")
    assert refused.returncode == 3, refused.stderr
    assert "no.such.topic" in refused.stderr
    assert "hint:" in refused.stderr


def test_servers_that_are_not_there_can_be_tried_again(soc: Soc, lines: Path) -> None:
    """Nobody answers at the address: exit code 4, the address named."""
    refused = soc(
        "events",
        "search",
        "*",
        SOC_STORE__KIND="elasticsearch",
        SOC_STORE__HOSTS='["http://127.0.0.1:9"]',
        SOC_STORE__STALL_BUDGET_S="2",
        SOC_STORE__REQUEST_TIMEOUT_S="1",
    )
    assert refused.returncode == 4, refused.stderr
    assert "127.0.0.1:9" in refused.stderr
    assert "hint:" in refused.stderr


def test_a_configuration_that_others_may_write_is_refused(soc: Soc, tmp_path: Path) -> None:
    """Exit code 3, and how to mend it."""
    config = tmp_path / "soc.toml"
    config.write_text('timezone = "UTC"\n', encoding="utf-8")
    config.chmod(0o666)
    refused = soc("--config", str(config), "config", "show")
    assert refused.returncode == 3
    assert "chmod" in refused.stderr
