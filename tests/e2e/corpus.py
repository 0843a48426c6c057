"""Real lines of the corpus, for end-to-end tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PRODUCTS = {"fortinet_fortigate": "firewall/fortinet_fortigate", "postfix": "mail/postfix", "cef_generic": "firewall/cef_generic"}


def folder() -> Path:
    """The corpus; the test is skipped where there is none, and fails where `SOC_REQUIRE_CORPUS=1` demands one."""
    path = Path(os.environ.get("SOC_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
    if not path.is_dir():
        if os.environ.get("SOC_REQUIRE_CORPUS") == "1":
            pytest.fail(f"SOC_REQUIRE_CORPUS=1, but there is no {path}")
        pytest.skip(f"no corpus at {path} (SOC_CORPUS)")
    return path


def write(target: Path) -> dict[str, Path]:
    """One file per product with all of its lines."""
    target.mkdir(parents=True, exist_ok=True)
    files = {}
    for product, place in PRODUCTS.items():
        lines = [line for log in sorted((folder() / place).glob("*.log")) for line in log.read_bytes().splitlines(keepends=True)]
        files[product] = target / f"{product}.log"
        files[product].write_bytes(b"".join(line if line.endswith(b"\n") else line + b"\n" for line in lines))
    return files
