"""The process that owns a shared server of one test run: `python -m tests.servers.keeper FOLDER NAME PID`.

It starts the server, writes its address to `FOLDER/NAME.json` (or the reason of a failure), and ends it when the test run
`PID` ends, however that ends, or when it is told to (SIGTERM).
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from tests.servers.elastic_server import ElasticServer
from tests.servers.jars import Unavailable, locked
from tests.servers.kafka_server import KafkaServer
from tests.servers.process import ServerFailed

START_TIMEOUT_S = 900.0
"""With an empty cache the jars are fetched first, over whatever line there is."""


def shared_address(folder: Path, name: str, run_pid: int) -> str:
    """The address of the run's one server `name`, started by whichever process asks first.

    Raises: Unavailable, ServerFailed.
    """
    state = folder / f"{name}.json"
    with locked(folder / f"{name}.lock"):
        if not state.exists():
            _start_keeper(folder, name, run_pid, state)
        said = json.loads(state.read_text(encoding="utf-8"))
    if "unavailable" in said:
        raise Unavailable(said["unavailable"])
    if "failed" in said:
        raise ServerFailed(said["failed"])
    return str(said["address"])


def _start_keeper(folder: Path, name: str, run_pid: int, state: Path) -> None:
    root = Path(__file__).parent.parent.parent
    log = folder / f"{name}.keeper.log"
    with log.open("ab") as out:
        command = [sys.executable, "-m", "tests.servers.keeper", str(folder), name, str(run_pid)]
        keeper = subprocess.Popen(command, cwd=root, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not state.exists():
        ended = keeper.poll() is not None
        if (ended and not state.exists()) or time.monotonic() > deadline:  # it may have said why, and ended, since the first look
            raise ServerFailed(f"the keeper of {name} ended:\n{log.read_text(encoding='utf-8', errors='replace')[-4000:]}")
        time.sleep(0.05)
    keeper.returncode = 0  # it lives on without this process: nobody here waits for it


def stop_keepers(folder: Path) -> None:
    """End every shared server of the run and wait until they are gone."""
    for file in folder.glob("*.pid"):
        if not _try_kill(int(file.read_text(encoding="utf-8")), signal.SIGTERM):
            file.unlink(missing_ok=True)
    deadline = time.monotonic() + 30
    while list(folder.glob("*.pid")) and time.monotonic() < deadline:
        time.sleep(0.05)


def _try_kill(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _wait_for_end(run_pid: int, server: KafkaServer | ElasticServer) -> None:
    ended = False

    def _end(_number: int, _frame: FrameType | None) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watched = os.pidfd_open(run_pid) if hasattr(os, "pidfd_open") else None
    while not ended:
        if watched is not None:
            run_ended = bool(select.select([watched], [], [], 1.0)[0])
        else:
            time.sleep(0.5)
            run_ended = not _try_kill(run_pid, 0)
        if run_ended:
            break
    server.stop()


def main(folder: Path, name: str, run_pid: int) -> None:
    """Start the server, say where it is, keep it until the run ends."""
    mark = folder / f"{name}.pid"
    mark.write_text(str(os.getpid()), encoding="utf-8")
    try:
        _keep(folder, name, run_pid)
    finally:
        mark.unlink(missing_ok=True)


def _keep(folder: Path, name: str, run_pid: int) -> None:
    # Nobody starts it again: a broker whose disk stalls need not be given up for a new one.
    kept = {"broker.session.timeout.ms": "300000"}
    server: KafkaServer | ElasticServer = KafkaServer(folder / name, properties=kept) if name == "kafka" else ElasticServer(folder / name)
    said: dict[str, str] = {}
    try:
        server.start()
        said["address"] = server.bootstrap if isinstance(server, KafkaServer) else server.url
    except Unavailable as reason:
        said["unavailable"] = str(reason)
    except ServerFailed as reason:
        said["failed"] = str(reason)
    partial = folder / f"{name}.json.partial"
    partial.write_text(json.dumps(said), encoding="utf-8")
    partial.rename(folder / f"{name}.json")
    if "address" in said:
        _wait_for_end(run_pid, server)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
