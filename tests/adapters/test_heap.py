"""The heap of a pipeline gives large blocks back, whatever was freed before."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_HELD = """
import sys
from pathlib import Path

from soc.adapters.heap import GIVEN_BACK_FROM, give_large_blocks_back


def resident():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


asked = give_large_blocks_back() if sys.argv[1] == "asked" else None
bytearray(30_000_000)  # the largest block that is ever freed
before = resident()
pairs = [(bytearray(b"x" * GIVEN_BACK_FROM), bytearray(b"y" * 4_000)) for _ in range(40)]
stay = [small for _, small in pairs]
del pairs
print(asked, round((resident() - before) / GIVEN_BACK_FROM))
"""


def held(asked: str, **environment: str) -> tuple[str, int]:
    """What the call said, and how many of forty large blocks a process still holds after they were freed, with small ones between them that stay."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", _HELD, asked], env=plain | environment, capture_output=True, text=True, check=True, cwd=ROOT)
    said, blocks = done.stdout.split()
    return said, int(blocks)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps them")
def test_large_blocks_between_small_ones_go_back_to_the_system() -> None:
    """Without it they stay as holes; with it they do not."""
    assert held("not")[1] > 35
    said, blocks = held("asked")
    assert said == "True"
    assert blocks < 5


def test_what_the_environment_says_is_left_alone() -> None:
    """An operator who chose other values has them."""
    assert held("asked", MALLOC_MMAP_THRESHOLD_="33554432")[0] == "False"
    assert held("asked", GLIBC_TUNABLES="glibc.malloc.mmap_threshold=33554432")[0] == "False"
