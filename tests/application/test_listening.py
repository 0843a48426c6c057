"""Who listens at a port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from soc.application.listening import listener


@pytest.mark.parametrize(("kind", "type_"), [("tcp", socket.SOCK_STREAM), ("http", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_this_process_is_found(kind: str, type_: int, family: int, host: str) -> None:
    """By TCP and UDP, both families; tests are no run of soc. A socket that does not listen, and a free port, are nobody's."""
    with socket.socket(family, type_) as one:
        one.bind((host, 0))
        port = one.getsockname()[1]
        if type_ == socket.SOCK_STREAM:
            assert listener(kind, port) is None
            one.listen()
        found = listener(kind, port)
    assert found is not None
    assert (found.pid, found.is_run) == (os.getpid(), False)
    gone = listener(kind, port)
    assert gone is None or gone.pid != os.getpid(), "another program may have been given the port since"


SERVER = "import socket,sys; s=socket.socket(); s.bind(('127.0.0.1',0)); s.listen(); print(s.getsockname()[1],flush=True); sys.stdin.read()"


@pytest.mark.parametrize(
    ("words", "is_run"),
    [(("/opt/x/bin/soc", "run"), True), (("soc", "--store", "x", "run", "--once"), True), (("rsyslogd", "run"), False), (("soc", "api"), False)],
)
def test_a_run_of_soc_is_told_apart(words: tuple[str, ...], is_run: bool) -> None:
    """By what it was started as."""
    with subprocess.Popen([sys.executable, "-c", SERVER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = listener("tcp", int(process.stdout.readline()))
        process.communicate("")
    assert found is not None
    assert (found.pid, found.is_run) == (process.pid, is_run)
    assert words[0] in found.command


def test_without_proc_nobody_is_known(tmp_path: Path) -> None:
    """Other systems have no such files."""
    assert listener("tcp", 1, tmp_path) is None
