"""Says which process of this user listens at a port, and whether it is a run of `soc`.

Source: proc(5): `/proc/net/tcp` and its like name the socket by its inode, `/proc/PID/fd` who holds it. Where there is no such
file system, or the process is another user's, nobody is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

PROC = Path("/proc")
_LISTENS = {"tcp": "0A", "udp": "07"}
"""States of sockets that take what comes.  Source: linux/include/net/tcp_states.h"""
_MOST_TEXT = 200


class Listener(msgspec.Struct, frozen=True):
    """A process that listens: what it was started as, and whether that is a pipeline of `soc`."""

    pid: int
    command: str
    is_run: bool


def listener(kind: str, port: int, proc: Path = PROC) -> Listener | None:
    """Who listens at a port (`kind`: tcp, tls, http or udp); None where nobody is known.

    Cost: a look at the open files of every process of this user, some milliseconds.
    """
    protocol = "udp" if kind == "udp" else "tcp"
    sockets = {f"socket:[{inode}]" for inode in _inodes(protocol, port, proc)}
    if not sockets:
        return None
    for folder in proc.glob("[0-9]*"):
        try:
            if any(str(file.readlink()) in sockets for file in (folder / "fd").iterdir()):
                words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                return Listener(int(folder.name), " ".join(filter(None, words))[:_MOST_TEXT], _is_run(words))
        except OSError:  # it ended meanwhile, or is another user's
            continue
    return None


def _inodes(protocol: str, port: int, proc: Path) -> Iterator[str]:
    for name in (protocol, protocol + "6"):
        try:
            rows = (proc / "net" / name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            columns = row.split()
            if len(columns) > 9 and columns[1].endswith(f":{port:04X}") and columns[3] == _LISTENS[protocol]:  # noqa: PLR2004 - the tenth is the inode
                yield columns[9]


def _is_run(words: list[str]) -> bool:
    """Whether these words start a run: `soc run`, `python -m soc run`, wherever `soc` stands."""
    at = next((number for number, word in enumerate(words) if Path(word).name == "soc" or word.endswith("/soc/__main__.py")), None)
    return at is not None and "run" in words[at + 1 :]
