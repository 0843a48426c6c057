"""A telephone call becomes an incident on a real terminal: every keystroke counted, in far less than a minute."""

from __future__ import annotations

import json
import os
import pty
import resource
import select
import subprocess
import sys
from pathlib import Path
from time import monotonic

from tests.servers.process import WITHIN_S

ROOT = Path(__file__).parents[2]
AGENCIES = "id,name,level\nso-y-te,Sở Y tế,department\nxa-tan-lap,Xã Tân Lập,commune\n"
ANSWERS = (
    ("What happened", "May tinh bi ma hoa, doi tien chuoc"),
    ("Agency", "so y te"),
    ("Who reports it", "Hoa 0912345678"),
    ("Channel", ""),
    ("When was it detected", "30m"),
    ("Who or what detected it", ""),
    ("Class", "1"),
    ("Severity", ""),
    ("What is known", "hai may, da rut day mang"),
)
MOST_KEYS = 130


def environment(home: Path) -> dict[str, str]:
    """A home of the test's own."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("SOC_", "LC_", "XDG_"))}
    return clean | {"HOME": str(home), "LANG": "C.UTF-8", "TERM": "xterm"}


def soc(home: Path, *words: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "soc", *words, "--store", str(home / "s")], cwd=ROOT, env=environment(home), capture_output=True, text=True, check=True
    )
    return done.stdout


def read_until(terminal: int, text: str, deadline: float) -> str:
    """What the terminal shows until a text stands there."""
    shown = b""
    while text.encode() not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - monotonic()))
        assert ready, f"{text!r} was not asked; shown: {shown.decode(errors='replace')}"
        try:
            more = os.read(terminal, 65_536)
        except OSError:
            more = b""
        assert more, shown.decode(errors="replace")
        shown += more
    return shown.decode(errors="replace")


def _worked() -> float:
    """Processor seconds of the commands that have ended: what else the machine does is not theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_from_the_call_to_running_clocks(tmp_path: Path) -> None:
    """Nine questions, fewer than 130 keystrokes: number, agency, reporter, T0 and class stand there, and the clocks run."""
    (tmp_path / "a.csv").write_text(AGENCIES, encoding="utf-8")
    soc(tmp_path, "agencies", "import", str(tmp_path / "a.csv"), "--yes")
    ours, theirs = pty.openpty()
    begun, before = monotonic(), _worked()
    words = [sys.executable, "-m", "soc", "incidents", "new", "--store", str(tmp_path / "s")]
    keys = len("soc incidents new") + 1
    with subprocess.Popen(words, cwd=ROOT, env=environment(tmp_path), stdin=theirs, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        for question, answer in ANSWERS:
            read_until(ours, question, begun + WITHIN_S)
            os.write(ours, answer.encode() + b"\n")
            keys += len(answer) + 1
        shown = read_until(ours, "incidents triage INC-", begun + WITHIN_S)
        assert running.wait(WITHIN_S) == 0
    seconds = _worked() - before
    os.close(ours)
    assert "72" in shown
    assert keys < MOST_KEYS
    assert seconds < 30, "a caller does not wait for the machine"
    item = json.loads(soc(tmp_path, "incidents", "show", "1", "--json"))["item"]
    assert (item["agencies"], item["channel"], item["class"], item["state"]) == (
        ["so-y-te"], "telephone", {"rsit": "malicious-code/infected-system", "group": "N1"}, "new",
    )  # fmt: skip
    assert item["reported_by"] == item["detected_by"] == "Hoa 0912345678"
    assert item["detected_at"] < item["reported_at"]
    assert item["obligations"][0]["due_at"]
