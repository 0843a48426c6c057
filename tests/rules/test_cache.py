from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from soc.rules.cache import Cache
from soc.rules.load import load_paths
from tests.rules.test_load import good, put


def test_a_start_from_the_cache_needs_no_pysigma(tmp_path: Path) -> None:
    """The second load gives equal rules and errors, and imports neither pySigma nor YAML."""
    put(tmp_path / "r", "a.yml", good(1))
    put(tmp_path / "r", "b.yml", good(2, "action|contians: x"))
    program = (
        "import sys\nfrom pathlib import Path\nfrom soc.rules.load import load_paths\nfrom soc.rules.cache import Cache\n"
        f"rules, errors = load_paths([Path({str(tmp_path / 'r')!r})], cache=Cache(Path({str(tmp_path / 'c')!r})))\n"
        "print(rules.hash, [rule.title for rule in rules.rules], errors, 'sigma' in sys.modules, 'yaml' in sys.modules)"
    )
    first, second = (subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split(" ") for _ in range(2))
    assert first[:-2] == second[:-2]
    assert (first[-2:], second[-2:]) == (["True", "True\n"], ["False", "False\n"])


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None])
def test_a_damaged_cache_costs_time_and_nothing_else(tmp_path: Path, damage: bytes | None) -> None:
    """Empty, foreign or with one byte changed: everything is read anew and the cache is mended."""
    put(tmp_path / "r", "a.yml", good(1))
    path = tmp_path / "c"
    wanted = load_paths([tmp_path / "r"], cache=Cache(path))[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data) if damage is None else damage)
    assert load_paths([tmp_path / "r"], cache=Cache(path))[0] == wanted
    assert Cache(path)._known


def test_a_cache_that_others_may_write_is_not_read(tmp_path: Path) -> None:
    """Who could write the cache could write rules."""
    put(tmp_path / "r", "a.yml", good(1))
    path = tmp_path / "c"
    load_paths([tmp_path / "r"], cache=Cache(path))
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o666)
    assert not Cache(path)._known


def test_an_unwritable_place_is_no_error(tmp_path: Path) -> None:
    """Where the cache cannot be written, rules load all the same."""
    put(tmp_path / "r", "a.yml", good(1))
    (tmp_path / "file").write_text("")
    ruleset, errors = load_paths([tmp_path / "r"], cache=Cache(tmp_path / "file" / "c"))
    assert len(ruleset.rules) == 1
    assert not errors
