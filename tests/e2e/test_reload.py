"""Rules that are changed while `soc run` receives: no line waits, and every event names the rules that judged it."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

from tests.e2e.program import Home, connected
from tests.e2e.traffic import session_now
from tests.servers.process import wait_until

RULE = """\
title: {title}
id: 66666666-0000-4000-8000-{number:012}
logsource: {{category: firewall}}
detection: {{sel: {{source.ip: {value}}}, condition: sel}}
level: medium
"""


def _write(folder: Path, number: int, value: str, title: str = "R") -> None:
    temporary = folder / ".new"
    temporary.write_text(RULE.format(title=title, number=number, value=value))
    temporary.replace(folder / f"{number}.yml")


def test_rules_change_under_a_stream(tmp_path: Path) -> None:
    """While lines come in, three hundred rules are added, one is broken and mended, and SIGHUP and `rules reload` are answered: nothing is lost, and both sets stand on the events."""
    rules = tmp_path / "own"
    rules.mkdir()
    _write(rules, 1, "192.0.2.1")
    home = Home(tmp_path, f'[rules]\nshipped = false\ndirectories = ["{rules}"]\n[sources.fw]\ntype = "syslog"\ntcp = "127.0.0.1:0"\n')
    with home:
        run = home.run()
        port = run.port("tcp")
        run.wait_for("soc alerts list")
        sent = 0
        done = threading.Event()

        def send() -> None:
            nonlocal sent
            with connected(port) as sender:
                while not done.is_set():
                    sender.sendall(b"".join(session_now(sent + at) for at in range(20)))  # all are replayed in the end: few, as this may take long
                    sent += 20
                    done.wait(0.1)

        sending = threading.Thread(target=send)
        sending.start()
        try:
            home.await_items("events", "search", "--limit", "1")
            for number in range(2, 302):
                _write(rules, number, "192.0.2.1", f"R{number}")
            _write(rules, 400, "10.1.0.7", "Accepted")
            answer = home.soc("rules", "reload", "--wait", "300", "--json")
            assert json.loads(answer.stdout)["answer"]["outcome"] in {"live", "same"}, answer.stdout + answer.stderr
            home.await_items("alerts", "list", "--each", "--limit", "1")
            (rules / "400.yml").write_text("title: broken\n")
            answer = home.soc("rules", "reload", "--wait", "300", "--json")
            assert (answer.returncode, json.loads(answer.stdout)["answer"]["outcome"]) == (1, "kept"), answer.stdout + answer.stderr
            refused = home.await_items("alerts", "list", "--rule", "soc-rules-refused")
            assert refused[0]["key"] == {"path": str(rules / "400.yml")}
            _write(rules, 400, "10.1.0.7", "Accepted again")
            run.process.send_signal(signal.SIGHUP)
            changed = ["66666666-0000-4000-8000-000000000400"]
            wait_until(lambda: [one["changed"] for one in home.items("rules", "history")[:1]] == [changed], what="the rule that was mended is in force")
        finally:
            done.set()
            sending.join()
        wait_until(lambda: sum(row["stored"] for row in home.items("store", "ledger")) == sent, what="all lines are stored")
        assert run.end(signal.SIGTERM) == 0
    ledger = home.soc("store", "ledger", "--json")
    assert ledger.returncode == 0
    history = home.items("rules", "history")
    seen = home.soc("events", "stats", "--facet", "soc.rules_hash", "--json")
    hashes = {one["value"] for one in json.loads(seen.stdout)["facets"]["soc.rules_hash"]}
    assert history[-1]["cause"] == "start"
    assert {one["cause"] for one in history[:-1]} <= {"files", "asked"}
    assert len(hashes) > 1
    assert hashes <= {one["hash"] for one in history}
    replayed = json.loads(home.soc("replay", "--rules-hash", "recorded", "--json").stdout)
    assert (replayed["added"], replayed["removed"], replayed["missing"]) == ([], [], [])
    assert replayed["events"] == sent
