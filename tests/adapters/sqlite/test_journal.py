"""Many processes write one journal; each may be killed at any time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from soc.adapters.sqlite.journal import SqliteJournal
from soc.application import audit
from soc.clock import FrozenClock
from tests.contracts.samples import T0

ROOT = Path(__file__).parents[3]
_WRITER = """
import sys
from pathlib import Path
from soc.adapters.sqlite.journal import SqliteJournal
from soc.clock import SystemClock
from soc.model.fact import ANY_VERSION, NewFact
from soc.model.journal import FactConflict
from tests.adapters.sqlite.conftest import be_patient

be_patient()
folder, name, mode, most = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
journal = SqliteJournal(folder, clock=SystemClock())
done = 0
while done < most:
    try:
        expected = ANY_VERSION if mode == "log" else len(journal.read("shared"))
        journal.append("shared", expected, [NewFact("NoteAdded", {"by": name, "n": done}), NewFact("NoteAdded", {"by": name, "n": -done - 1})], actor=name)
    except FactConflict:
        continue
    done += 1
    print(done, flush=True)
"""


def start(folder: Path, name: str, mode: str, most: int) -> subprocess.Popen[str]:
    """A process that appends to one stream."""
    return subprocess.Popen([sys.executable, "-c", _WRITER, str(folder), name, mode, str(most)], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def check(folder: Path) -> dict[str, list[int]]:
    """What each writer wrote, once it is sure that nothing forked."""
    journal = SqliteJournal(folder, clock=FrozenClock(T0), read_only=True)
    assert audit.verify(journal).problems == []
    wrote: dict[str, list[int]] = {}
    for one in journal.read("shared"):
        wrote.setdefault(one.fact.actor, []).append(int(one.fact.data["n"]))
    journal.close()
    return wrote


def test_eight_processes_on_one_stream_lose_and_fork_nothing(tmp_path: Path) -> None:
    """Writers with and without expected versions: each fact stands once, pairs whole, in the writer's order."""
    writers = [start(tmp_path, f"w{number}", "log" if number % 2 else "versioned", 15) for number in range(8)]
    said = [writer.communicate(timeout=600)[0].split()[-1] for writer in writers]
    assert said == ["15"] * 8
    wrote = check(tmp_path)
    assert wrote == {f"w{number}": [n for done in range(15) for n in (done, -done - 1)] for number in range(8)}


def test_killed_writer_leaves_whole_appends(tmp_path: Path) -> None:
    """After SIGKILL everything that was reported stands, and of what was under way all or nothing."""
    writer = start(tmp_path, "w", "log", 10**9)
    assert writer.stdout is not None
    said = 0
    while said < 20:
        said = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    said = max([said, *(int(line) for line in writer.communicate(timeout=600)[0].split())])
    wrote = check(tmp_path)["w"]
    assert wrote == [n for done in range(len(wrote) // 2) for n in (done, -done - 1)]
    assert len(wrote) // 2 >= said >= 20
