from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from soc.rules.cache import Cache
from soc.rules.collection import load_collection
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


EVERYTHING = """title: Failed
name: failed
id: 11111111-0000-4000-8000-000000000001
logsource: {category: firewall}
detection: {sel: {action: failed}, condition: sel}
---
title: Burst
id: 11111111-0000-4000-8000-000000000002
correlation: {type: temporal, rules: [failed], group-by: [ip], timespan: 60s, condition: failed, aliases: {ip: {failed: source.ip}}}
---
title: Average
id: 11111111-0000-4000-8000-000000000003
correlation: {type: value_avg, rules: [failed], timespan: 60s, condition: {gt: 0.1, field: network.bytes}}
---
title: Not from here
id: 11111111-0000-4000-8000-000000000004
logsource: {category: firewall}
filter: {rules: [failed], sel: {source.ip|cidr: 10.0.0.0/8}, condition: not sel}
---
title: Nothing
id: 11111111-0000-4000-8000-000000000005
correlation: {type: event_count, rules: [nobody], timespan: 60s, condition: {gte: 3}}
"""


def test_correlations_and_filters_come_from_the_cache_as_well(tmp_path: Path) -> None:
    """The second load gives an equal collection and equal errors, and imports neither pySigma nor YAML."""
    put(tmp_path / "r", "a.yml", EVERYTHING)
    program = (
        "import sys\nfrom pathlib import Path\nfrom soc.rules.collection import load_collection\nfrom soc.rules.cache import Cache\n"
        f"found, errors, _ = load_collection([Path({str(tmp_path / 'r')!r})], cache=Cache(Path({str(tmp_path / 'c')!r})))\n"
        "print(found, errors)\nprint('sigma' in sys.modules, 'yaml' in sys.modules)"
    )
    first, second = (subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.splitlines() for _ in range(2))
    assert first[0] == second[0]
    assert first[0].count("Correlation(") == 2
    assert "nobody" in first[0]
    assert (first[1], second[1]) == ("True True", "False False")


def test_a_damaged_cache_of_a_collection_is_not_used(tmp_path: Path) -> None:
    """Whatever one byte of it says instead."""
    put(tmp_path / "r", "a.yml", EVERYTHING)
    path = tmp_path / "c"
    wanted = load_collection([tmp_path / "r"], cache=Cache(path))
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        assert not Cache(path)._known
    found = load_collection([tmp_path / "r"], cache=Cache(path))
    assert (found[0], [str(error) for error in found[1]], found[2]) == (wanted[0], [str(error) for error in wanted[1]], wanted[2])
